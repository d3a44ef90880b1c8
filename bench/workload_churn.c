/* SPDX-License-Identifier: MIT */
/*
 * workload_churn.c - stores of constant size: delete a record and put it back; a window that slides
 *
 * Each thread has the records whose number leaves its id as remainder: no two delete the same one.
 */
#include <errno.h>
#include <stdio.h>

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

/*
 * Insert the next record, delete the oldest. Threads share nothing: each has the records whose number leaves its id
 * as remainder, old and new ones.
 */
int workload_window_step(struct worker *worker)
{
	const struct run *run = worker->run;
	const uint64_t width = run->thread_count;
	const uint64_t oldest = worker->lane++ * width + worker->id;
	const uint64_t first = run->record_count + width - 1;
	int rc;

	worker->records[0] = oldest + (first - worker->id) / width * width;
	rc = worker_put(worker, 1);
	if (rc == 0)
		rc = worker_delete(worker, oldest);
	if (rc == BWT_NOT_FOUND) {
		fprintf(stderr, "bwt-bench: %s: record %ju is gone\n", run->options->backend->name,
		        (uintmax_t)oldest);
		return -ENODATA;
	}
	return rc < 0 ? rc : 1;
}
