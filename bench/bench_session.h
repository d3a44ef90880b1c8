/* SPDX-License-Identifier: MIT */
/*
 * bench_session.h - the store that a list of workloads works on, from empty directory to removal
 *
 * Why: loading ten million records takes longer than measuring them, so one store serves many runs.
 * The session knows what is in it and how it is open, and changes only what the next run needs:
 *
 *   NONE --session_prepare()--> LOADED (records are in it, open in the mode of the run)
 *        ^                        |
 *        +--- a WORKLOAD_FRESH ---+   session_close() removes the directory from either state
 */
#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

#include "bench_memory.h"
#include "bench_plot.h"
#include "bench_run.h"

#define SESSION_PATH_MAX 4096

struct session {
	const struct bench_options *options;
	struct plot *plot; /* runs are kept in it for --plot and --series; NULL: they are not */
	struct keys keys;
	struct backend_store *store;
	bool is_open;
	bool is_used_up; /* what is in it is not what the next workload expects */
	bool is_bounded; /* by --memory */
	struct memory_group memory;
	enum backend_sync sync; /* that it is open with */
	uint64_t loaded;        /* records in it */
	uint64_t anon_base;     /* system_anon_bytes() before anything was opened */
	unsigned thread_max;    /* threads that any run will have */
	char dir[SESSION_PATH_MAX];
};

/**
 * session_init - make the store's directory
 * @plot:       NULL, or where runs are kept for a picture
 * @thread_max: threads that any run will have, at most
 * Returns: 0 or a negative code, said on standard error
 */
int session_init(struct session *session, const struct bench_options *options, struct plot *plot,
                 unsigned thread_max);

/** session_open - open the store in that mode, if it is not */
int session_open(struct session *session, enum backend_sync sync);

/** session_shut - close the store, if it is open */
int session_shut(struct session *session);

/** session_prepare - bring the store into the state from which @workload starts, loading it if it is empty */
int session_prepare(struct session *session, const struct workload *workload);

/** session_measure - one run of @workload by @thread_count threads, and its line on standard output */
int session_measure(struct session *session, const struct workload *workload, unsigned thread_count,
                    unsigned round);

/** session_crash - sync the store and end this process by SIGKILL; returns only when the sync fails */
int session_crash(struct session *session);

/** session_close - close the store and remove it, unless --keep or --store says otherwise */
int session_close(struct session *session);

#endif
