/* SPDX-License-Identifier: MIT */
/*
 * explore.h - many schedules of one scenario
 */
#ifndef BWT_SCHED_EXPLORE_H
#define BWT_SCHED_EXPLORE_H

#include "tests/sched/scenario.h"

struct explore {
	const struct scenario *scenario; /* loaded */
	uint64_t seed;
	uint64_t schedules, steps;   /* done so far */
	uint64_t events[STAT_COUNT]; /* of all of them: what really met */
	uint32_t length;             /* of a run, for PCT */
	bool complete;               /* the bounded search came to its end */
	struct sim_plan plan;        /* of the run that failed */
	struct sim_result result;
};

/** explore_begin - load @scenario; with a fault armed already, it is armed in all runs */
void explore_begin(struct explore *explore, const struct scenario *scenario, uint64_t seed);
/** explore_random - schedules [@from, @to) by chance; false: one failed, see plan and result */
bool explore_random(struct explore *explore, uint64_t from, uint64_t to);
/** explore_bounded - every schedule with at most @bound preemptions, at most @max of them; false: one failed */
bool explore_bounded(struct explore *explore, unsigned bound, uint64_t max);
/** explore_report - what failed, and the command that shows it again */
void explore_report(const struct explore *explore, const char *fault);
/** explore_replay - one plan, told step by step; the exit status */
int explore_replay(const char *scenario, const char *plan, bool trace);

#endif
