/* SPDX-License-Identifier: MIT */
/*
 * crew.h - a store in a temporary folder, and threads that work on it until time is up
 *
 * A thread that finds something wrong calls crew_fail(), which ends the program at once with what
 * it saw: a core dump or a kept store says more than a run to the end.
 */
#ifndef BWT_TESTS_CREW_H
#define BWT_TESTS_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "bwt.h"
#include "tests/support/rng.h"
#include "tests/support/tmpstore.h"

#define CREW_MAX 64u

struct crew {
	char path[TMPSTORE_PATH_MAX];
	struct bwt_db *db;
	struct bwt_tree *tree; /* the main one */
	uint64_t seed;
	_Atomic(bool) stop; /* set by the main thread, read by all: relaxed, joining orders the rest */
	unsigned count;
	struct member {
		struct crew *crew;
		pthread_t thread;
		unsigned number;
		struct rng rng;
		void (*work)(struct member *member);
		uint64_t done; /* operations; read after the thread was joined */
		void *own;     /* the work's */
	} members[CREW_MAX];
};

/** crew_open - a fresh store with @options (NULL: sync, small logs, eager checkpoints) */
void crew_open(struct crew *crew, const struct bwt_options *options);

/** crew_reopen - close and open again, as a program that starts anew */
void crew_reopen(struct crew *crew, const struct bwt_options *options);

/** crew_close - close, verify, remove */
void crew_close(struct crew *crew);

/** crew_add - one more thread for crew_run() */
struct member *crew_add(struct crew *crew, void (*work)(struct member *member), void *own);

/** crew_run - start all, stop them after @seconds, join; returns the operations that they did */
uint64_t crew_run(struct crew *crew, double seconds);

/** crew_going - may this thread go on? */
static inline bool crew_going(const struct member *member)
{
	return !atomic_load_explicit(&member->crew->stop, memory_order_relaxed);
}

/** crew_fail - say it and end the program */
void crew_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/** crew_need - crew_fail() unless @rc is BWT_OK */
void crew_need(const char *what, int rc);

/** crew_seconds - seconds for one of @parts equal parts of this run: 15, LONG, or 2 with SHORT=1 */
double crew_seconds(unsigned parts);

/* Works that fit beside any other. */
void work_checkpoints(struct member *member);
void work_stats(struct member *member);
void work_syncs(struct member *member);

#endif
