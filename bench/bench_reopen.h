/* SPDX-License-Identifier: MIT */
/*
 * bench_reopen.h - how long a store takes to open
 */
#ifndef BENCH_REOPEN_H
#define BENCH_REOPEN_H

#include "bench_session.h"

/**
 * reopen_crash_load - have another process load the session's directory and die by SIGKILL with the store open
 *
 * Another program, not a fork: threads that a store once had in this one would be missing in the child. It syncs
 * first, so that a store which gathers its log in memory has all of it to replay.
 *
 * Returns: 0 or a negative code, said on standard error
 */
int reopen_crash_load(struct session *session);

/**
 * reopen_measure - time from opening the closed store to the answer of its first get; all records are checked after
 * @run: as for run_measure(); its one operation is the opening
 */
int reopen_measure(struct session *session, struct run *run, struct run_result *result);

#endif
