/* SPDX-License-Identifier: MIT */
/*
 * sched_faults.c - the simulator finds each planted fault (faults.c), and its plan shows it again
 *
 * For each fault and scenario: with the point armed some schedule fails within the budget; the same
 * plan fails again in the same words; and without the fault it passes, so it was the fault.
 * ONLY one: FAULT=name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sched/explore.h"
#include "tests/sched/faults.h"
#include "tests/support/rng.h"

static bool complain(const struct fault *fault, const char *scenario, const char *text)
{
	printf("  FAIL %-28s in %s: %s\n", fault->name, scenario, text);
	return false;
}

/* The schedule that failed is one word, and the word is the schedule. */
static bool same_again(const struct fault *fault, struct explore *explore)
{
	char text[SIM_TEXT_MAX], before[sizeof explore->result.why];
	struct sim_plan plan;

	strcpy(before, explore->result.why);
	sim_plan_print(&explore->plan, text);
	if (!sim_plan_parse(&plan, text))
		return complain(fault, explore->scenario->name, "the plan cannot be read back");
	scenario_run(&plan, &explore->result);
	if (!explore->result.failed || strcmp(before, explore->result.why) != 0)
		return complain(fault, explore->scenario->name, "the plan does not show it again");
	sim_fault_set(NULL);
	scenario_run(&plan, &explore->result);
	if (explore->result.failed) {
		explore_report(explore, NULL);
		return complain(fault, explore->scenario->name,
		                "the plan fails without the fault, too");
	}
	printf("  ok   %-28s %6u schedules  %s\n       %-28s        schedule %s: %s\n", fault->name,
	       (unsigned)explore->schedules, explore->scenario->name, "", text, before);
	return true;
}

static bool found(const struct fault *fault, const char *name, uint64_t seed)
{
	const struct scenario *scenario = scenario_find(name);
	uint64_t budget = fault->budget != 0 ? fault->budget : FAULT_BUDGET;
	struct explore explore;

	if (scenario == NULL)
		return complain(fault, name, "there is no such scenario");
	sim_fault_set(NULL);
	explore_begin(&explore, scenario, seed);
	sim_fault_set(fault->name);
	if ((scenario->bound == 0 || explore_bounded(&explore, scenario->bound, budget)) &&
	    explore_random(&explore, 0, budget))
		return complain(fault, name,
		                sim_fault_hits() == 0 ? "the point is never reached" : "not found");
	return same_again(fault, &explore);
}

int main(void)
{
	const char *only = getenv("FAULT");
	bool all = true;
	uint64_t seed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	world_init();
	seed = rng_seed();
	for (unsigned i = 0; i < fault_count; i++)
		for (unsigned s = 0; s < FAULT_SCENARIOS_MAX && faults[i].scenario[s] != NULL; s++)
			if (only == NULL || strcmp(only, faults[i].name) == 0)
				all = found(&faults[i], faults[i].scenario[s], seed) && all;
	printf("%u faults: %s\n", fault_count, all ? "all found" : "not all found");
	world_deinit();
	return all ? EXIT_SUCCESS : EXIT_FAILURE;
}
