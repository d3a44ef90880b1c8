/* SPDX-License-Identifier: MIT */
/*
 * workload_load.c - put records 0, 1, 2, ... once each, whichever thread comes next
 */
#include "workload.h"

uint64_t workload_load_op_count(const struct run *run)
{
	return run->options->records;
}

int workload_load_step(struct worker *worker)
{
	struct run *run = worker->run;
	const uint64_t left = worker->op_limit - worker->op_done;
	const size_t count = left < run->options->batch ? (size_t)left : run->options->batch;
	const uint64_t first =
		atomic_fetch_add_explicit(&run->next_record, count, memory_order_relaxed);
	int rc;

	for (size_t i = 0; i < count; i++)
		worker->records[i] = first + i;
	rc = worker_put(worker, count);
	return rc < 0 ? rc : (int)count;
}
