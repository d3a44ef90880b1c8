/* SPDX-License-Identifier: MIT */
/*
 * sched_scenarios.c - every scenario, under many schedules
 *
 *   sched_scenarios                          what "make check" does
 *   sched_scenarios forever                  round after round, with new seeds, until one fails or it is stopped
 *   sched_scenarios replay SCENARIO PLAN     one schedule, step by step
 *
 * Environment: SEED (printed by every run), SHORT=1 for a tenth of the work, SCENARIO=text for those whose
 * name contains it, FAULT=name for a planted fault (faults.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sched/explore.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define RANDOM_EACH 16000u /* schedules of a scenario by chance */
#define BOUNDED_MAX 24000u /* and by search, at most */
#define MADE_UP 48u        /* scenarios that are made up */
#define MADE_UP_EACH 1600u

static const char *fault;

static double now_s(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

struct totals {
	uint64_t schedules, steps;
	double began;
};

/* What met in the schedules of one scenario, for a hundred of them. */
static void print_line(const struct explore *explore)
{
	static const enum stat_counter counters[] = {STAT_SPLITS, STAT_MERGES, STAT_SWAPS_LOST,
	                                             STAT_PUSHES, STAT_WOUNDS};

	printf("  %-30s %6" PRIu64 " schedules of %4" PRIu64 " steps%s; per 100:",
	       explore->scenario->name, explore->schedules, explore->steps / explore->schedules,
	       explore->scenario->bound == 0 ? ""
	       : !explore->complete          ? ", search cut off"
	                                     : ", search complete");
	for (unsigned i = 0; i < sizeof counters / sizeof counters[0]; i++)
		if (explore->events[counters[i]] != 0)
			printf(" %s %.1f", stats_name(counters[i]),
			       100.0 * (double)explore->events[counters[i]] /
			               (double)explore->schedules);
	printf("\n");
}

static bool explore_one(const struct scenario *scenario, uint64_t seed, uint64_t random,
                        uint64_t bounded, struct totals *totals, bool quiet)
{
	struct explore explore;
	bool right;

	explore_begin(&explore, scenario, seed);
	right = (scenario->bound == 0 || bounded == 0 ||
	         explore_bounded(&explore, scenario->bound, bounded)) &&
	        explore_random(&explore, 0, random);
	totals->schedules += explore.schedules;
	totals->steps += explore.steps;
	if (!right)
		explore_report(&explore, fault);
	else if (!quiet)
		print_line(&explore);
	return right;
}

static bool explore_all(uint64_t seed, unsigned divide, struct totals *totals, bool quiet)
{
	const char *only = getenv("SCENARIO") != NULL ? getenv("SCENARIO") : "";

	for (unsigned i = 0; i < scenario_count; i++)
		if (strstr(scenarios[i].name, only) != NULL &&
		    !explore_one(&scenarios[i], seed, RANDOM_EACH / divide,
		                 quiet ? 0 : BOUNDED_MAX / divide, totals, quiet))
			return false;
	for (unsigned i = 0; i < MADE_UP; i++) {
		char name[SIM_TEXT_MAX];

		snprintf(name, sizeof name, "made up %" PRIu64, seed % 1000000 * MADE_UP + i);
		if (strstr(name, only) != NULL &&
		    !explore_one(scenario_find(name), seed, MADE_UP_EACH / divide, 0, totals, quiet))
			return false;
	}
	return true;
}

static void print_rate(const struct totals *totals)
{
	double seconds = now_s() - totals->began;

	printf("%" PRIu64 " schedules, %" PRIu64 " steps, %.0f s: %.0f schedules/s\n",
	       totals->schedules, totals->steps, seconds, (double)totals->schedules / seconds);
}

int main(int argc, char **argv)
{
	bool forever = argc > 1 && strcmp(argv[1], "forever") == 0, right;
	struct totals totals = {.began = now_s()};
	uint64_t seed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	world_init();
	fault = getenv("FAULT");
	sim_fault_set(fault);
	if (argc > 3 && strcmp(argv[1], "replay") == 0) {
		int status = explore_replay(argv[2], argv[3], true);

		world_deinit();
		return status;
	}
	seed = rng_seed();
	do {
		right = explore_all(seed, suite_short() ? 10 : 1, &totals, forever);
		print_rate(&totals);
		seed += RANDOM_EACH;
	} while (right && forever);
	world_deinit();
	return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
