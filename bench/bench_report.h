/* SPDX-License-Identifier: MIT */
/*
 * bench_report.h - one line for each run: the result, then everything it depends on
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench_run.h"

/** What the report says beside the numbers of the run. */
struct report_context {
	struct system_names names;
	char store[BACKEND_TEXT_MAX];    /* backend's describe() */
	char counters[BACKEND_TEXT_MAX]; /* backend's counters(), or "" */
	enum backend_sync sync;          /* that the store was opened with */
	unsigned round;                  /* 1.. --repeat */
	bool ordered;
};

/**
 * report_print - write the line of one run
 *
 * Latencies are microseconds; amplifications are 0 where they mean nothing. write_amp counts what
 * this process wrote, device_write_amp what the whole machine did (bench_system.c says which to
 * believe).
 */
void report_print(FILE *out, const struct run *run, const struct run_result *result,
                  const struct report_context *context);

#endif
