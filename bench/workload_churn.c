/* SPDX-License-Identifier: MIT */
/*
 * workload_churn.c - delete a record and put it back, so that a store of constant size keeps dying
 *
 * Each thread has the records whose number leaves its id as remainder: no two delete the same one.
 */
#include "workload.h"

int workload_churn_step(struct worker *worker)
{
	const struct run *run = worker->run;
	const uint64_t mine = run->record_count / run->thread_count;
	int rc;

	worker->records[0] = random_below(&worker->random, mine) * run->thread_count + worker->id;
	rc = worker_delete(worker, worker->records[0]);
	if (rc == 0)
		rc = worker_put(worker, 1);
	return rc < 0 ? rc : 2;
}
