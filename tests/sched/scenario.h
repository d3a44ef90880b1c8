/* SPDX-License-Identifier: MIT */
/*
 * scenario.h - the small worlds that are searched, and one run of one of them
 */
#ifndef BWT_SCHED_SCENARIO_H
#define BWT_SCHED_SCENARIO_H

#include "tests/sched/sim.h"
#include "tests/sched/world.h"

struct scenario {
	const char *name;
	const char *before;                /* the set-up's script */
	const char *fiber[SIM_FIBERS_MAX]; /* each fiber's script; NULL ends the list */
	struct tree_limits limits;         /* zeroes: the usual ones */
	bool sync;
	bool large; /* transactions are committed in steps (txn/txn_large.c), each operation a part of the record */
	bool one_commits; /* not all transactions may be refused (C4) */
	unsigned bound;   /* preemptions of the bounded search; 0: none */
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

/** scenario_find - by name; "made up N" is made from the number. NULL: there is none */
const struct scenario *scenario_find(const char *name);
/** scenario_make - good until the next one is made */
const struct scenario *scenario_make(const char *name);
/** scenario_load - build its world; the runs that follow are of it */
void scenario_load(const struct scenario *scenario);
/** scenario_run - one schedule from the world's beginning */
void scenario_run(const struct sim_plan *plan, struct sim_result *result);
/** scenario_print - scripts and history of the last run */
void scenario_print(void);
unsigned scenario_fibers(void);

#endif
