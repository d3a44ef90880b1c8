/* SPDX-License-Identifier: MIT */
/*
 * workload_scan.c - read the whole store in key order, once per thread
 */
#include "workload.h"

uint64_t workload_scan_full_op_count(const struct run *run)
{
	return run->thread_count;
}

int workload_scan_full_step(struct worker *worker)
{
	const int rc = worker_scan_all(worker, false);

	return rc < 0 ? rc : 1;
}

int workload_scan_full_back_step(struct worker *worker)
{
	const int rc = worker_scan_all(worker, true);

	return rc < 0 ? rc : 1;
}
