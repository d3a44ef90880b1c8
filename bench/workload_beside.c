/* SPDX-License-Identifier: MIT */
/*
 * workload_beside.c - what other threads do while a workload is measured; none of it is counted
 */
#include "workload.h"

/* A snapshot as long as the store is large, and all of its pages through the caches. */
int workload_beside_scan(struct worker *worker)
{
	return worker_scan_all(worker, false);
}

/* Back to back. Where a store has no such call, this thread is done. */
int workload_beside_checkpoint(struct worker *worker)
{
	const struct run *run = worker->run;

	if (run->options->backend->checkpoint == NULL)
		return 1;
	return run->options->backend->checkpoint(run->store);
}

int workload_beside_put(struct worker *worker)
{
	worker->records[0] = worker_pick(worker);
	return worker_put(worker, 1);
}
