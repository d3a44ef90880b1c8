/* SPDX-License-Identifier: MIT */
/* scenario.c - from a scenario's text to runs */
#include "tests/sched/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sched/script.h"

static const struct scenario *loaded;
static struct script scripts[SIM_FIBERS_MAX];
static unsigned fibers;
static bool keys[HISTORY_KEYS];
static history_value first[HISTORY_KEYS]; /* what the set-up left */
static struct history history;

const struct scenario *scenario_find(const char *name)
{
	for (unsigned i = 0; i < scenario_count; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return scenario_make(name);
}

unsigned scenario_fibers(void)
{
	return fibers;
}

/* The set-up's script, played alone; its history says what each key is at the beginning. */
static void play_before(const char *text)
{
	static const history_value nothing[HISTORY_KEYS];
	struct script before;

	script_parse(&before, text, keys);
	history_clear(&history, nothing);
	script_play(&before, SIM_FIBERS_MAX, &history, keys);
	history_state(&history, UINT64_MAX, first);
}

void scenario_load(const struct scenario *scenario)
{
	struct world_config config = {
		.sync = scenario->sync, .large = scenario->large, .limits = scenario->limits};

	loaded = scenario;
	memset(keys, 0, sizeof keys);
	for (fibers = 0; fibers < SIM_FIBERS_MAX && scenario->fiber[fibers] != NULL; fibers++)
		script_parse(&scripts[fibers], scenario->fiber[fibers], keys);
	config.fibers = fibers;
	sim_point_force(scenario->large ? "txn_large" : NULL);
	world_build(&config);
	play_before(scenario->before);
	world_freeze();
	sim_forget();
}

static void body(unsigned fiber)
{
	script_play(&scripts[fiber], fiber, &history, keys);
}

static bool some_commit(void)
{
	for (unsigned i = 0; i < history.look_count; i++)
		if (history.look[i].commit_lsn != 0)
			return true;
	return false;
}

static void after(void)
{
	if (loaded->one_commits && !some_commit())
		sim_fail("every transaction was refused");
	world_check(&history, keys);
}

void scenario_run(const struct sim_plan *plan, struct sim_result *result)
{
	world_restore();
	history_clear(&history, first);
	sim_run(plan, fibers, body, after, result);
}

void scenario_print(void)
{
	printf("scenario \"%s\"\n  before:  %s\n", loaded->name, loaded->before);
	for (unsigned i = 0; i < fibers; i++) {
		printf("  fiber %u: ", i);
		script_print(&scripts[i]);
	}
	history_print(&history);
}
