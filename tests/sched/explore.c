/* SPDX-License-Identifier: MIT */
/*
 * explore.c - plans by chance, and plans by systematic search
 *
 * The bounded search runs a plan, then each plan that makes one more choice at a later step, depth
 * first. Choices where a fiber could not go on anyway are not counted as preemptions.
 */
#include "tests/sched/explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sim_note notes[SIM_CHOICES_MAX][SIM_RECORD_MAX];

static bool run(struct explore *explore, const struct sim_plan *plan)
{
	scenario_run(plan, &explore->result);
	explore->schedules++;
	world_events(explore->events);
	explore->steps += explore->result.steps;
	if (explore->result.failed)
		explore->plan = *plan;
	return !explore->result.failed;
}

void explore_begin(struct explore *explore, const struct scenario *scenario, uint64_t seed)
{
	struct sim_plan first = {.strategy = SIM_BOUNDED};

	memset(explore, 0, sizeof *explore);
	explore->scenario = scenario;
	explore->seed = seed;
	scenario_load(scenario);
	run(explore, &first);
	explore->length = explore->result.steps;
}

bool explore_random(struct explore *explore, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		struct sim_plan plan = {
			.strategy = i % 2 == 0 ? SIM_WALK : SIM_PCT,
			.tso = i % 4 >= 2,
			.seed = explore->seed + i,
			.length = i % 2 == 0 ? 0 : explore->length,
		};

		if (!run(explore, &plan))
			return false;
	}
	return true;
}

static bool search(struct explore *explore, struct sim_plan *plan, unsigned bound, uint64_t max)
{
	unsigned depth = plan->choice_count, count;
	uint32_t from = depth == 0 ? 0 : plan->choice[depth - 1].step + 1;

	if (explore->schedules >= max) {
		explore->complete = false;
		return true;
	}
	if (!run(explore, plan))
		return false;
	if (depth == SIM_CHOICES_MAX)
		return true;
	count = explore->result.note_count;
	memcpy(notes[depth], explore->result.note, count * sizeof *notes[depth]);
	for (uint32_t step = from; step < count; step++) {
		const struct sim_note *note = &notes[depth][step];

		if (!note->shared || (bound == 0 && !note->free))
			continue;
		for (unsigned fiber = 0; fiber < scenario_fibers(); fiber++) {
			if (fiber == note->picked || (note->runnable >> fiber & 1) == 0)
				continue;
			plan->choice[depth] = (struct sim_choice){step, fiber};
			plan->choice_count = depth + 1;
			if (!search(explore, plan, note->free ? bound : bound - 1, max))
				return false;
		}
	}
	plan->choice_count = depth;
	return true;
}

bool explore_bounded(struct explore *explore, unsigned bound, uint64_t max)
{
	struct sim_plan plan = {.strategy = SIM_BOUNDED};

	explore->complete = true;
	/* Twice: what the first pass learned about shared addresses holds for the second from its start. */
	return search(explore, &plan, bound > 0 ? bound - 1 : 0, explore->schedules + max / 4) &&
	       (explore->complete = true, plan.choice_count = 0,
	        search(explore, &plan, bound, explore->schedules + max));
}

void explore_report(const struct explore *explore, const char *fault)
{
	char text[SIM_TEXT_MAX];

	sim_plan_print(&explore->plan, text);
	printf("FAILED: %s\n  after %llu schedules, in one of %u steps\n", explore->result.why,
	       (unsigned long long)explore->schedules, explore->result.steps);
	scenario_print();
	printf("again: %s%s%s$BUILD/tests/sched/sched_scenarios replay '%s' '%s'\n",
	       fault != NULL ? "FAULT=" : "", fault != NULL ? fault : "", fault != NULL ? " " : "",
	       explore->scenario->name, text);
}

int explore_replay(const char *name, const char *text, bool trace)
{
	const struct scenario *scenario = scenario_find(name);
	struct sim_result result;
	struct sim_plan plan;

	if (scenario == NULL || !sim_plan_parse(&plan, text)) {
		fprintf(stderr, "sched: no scenario \"%s\", or no plan \"%s\"\n", name, text);
		return EXIT_FAILURE;
	}
	scenario_load(scenario);
	sim_trace = trace;
	scenario_run(&plan, &result);
	sim_trace = false;
	scenario_print();
	printf("%u steps: %s\n", result.steps, result.failed ? result.why : "nothing wrong");
	return result.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
