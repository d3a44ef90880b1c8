/* SPDX-License-Identifier: MIT */
/*
 * table.c - run scenarios and their broken variants, and print what came of it, a line each
 */
#include "table.h"

#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

#define STATES_MAX UINT64_C(12000000)       /* about 1.7 GiB */
#define STATES_MAX_LONG UINT64_C(400000000) /* whatever there is */

static bool switched_on(const char *name)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */

	return value != NULL && strcmp(value, "0") != 0;
}

static void heading(void)
{
	static bool printed;

	if (!printed)
		printf("\n%-34s %-34s %10s %12s %6s %7s %6s\n", "scenario, - broken variant",
		       "result", "states", "transitions", "depth", "seconds", "MiB");
	printed = true;
}

static void row(const char *name, const char *outcome, const struct search_result *result)
{
	heading();
	printf("%-34s %-34.34s %10llu %12llu %6u %7.1f %6llu\n", name, outcome,
	       (unsigned long long)result->state_count, (unsigned long long)result->transition_count,
	       result->depth, result->seconds, (unsigned long long)(result->memory_bytes >> 20));
	fflush(stdout);
}

static void holds(const struct scenario *scenario, const char *name)
{
	const struct search_model model = model_of(scenario);
	const struct search_result result =
		search_run(&model, switched_on("LONG") ? STATES_MAX_LONG : STATES_MAX, true, stdout);

	row(name, result.end == SEARCH_CLEAN ? "holds" : search_end_name(result.end), &result);
	CU_ASSERT_EQUAL(result.end, SEARCH_CLEAN);
}

void table_holds(const struct scenario *scenario)
{
	struct scenario unreduced = *scenario;

	if ((scenario->long_only && !switched_on("LONG")) || (scenario->big && suite_short()))
		return;
	holds(scenario, scenario->name);
	unreduced.unreduced = true;
	if (switched_on("LONG") && !scenario->long_only)
		holds(&unreduced, "  every load a step of its own");
}

/* The rule that ended the search, as the tables name it. */
static const char *outcome_of(const struct search_result *result)
{
	return result->end == SEARCH_VIOLATION ? result->violation : search_end_name(result->end);
}

static void catches(const struct scenario *scenario, const struct mutant *mutant, bool outside_only)
{
	const char *caught_by = outside_only ? mutant->seen_by : mutant->caught_by;
	struct scenario broken = *scenario;
	const struct search_model model = model_of(&broken);
	struct search_result result;
	char name[64];
	bool caught;

	broken.flaw = mutant->flaw;
	broken.outside_only = outside_only;
	result = search_run(&model, STATES_MAX, true, switched_on("TRACE") ? stdout : NULL);
	caught = strncmp(outcome_of(&result), caught_by, strlen(caught_by)) == 0;
	snprintf(name, sizeof name, "%s %s", outside_only ? " " : "-",
	         outside_only ? "as callers see it" : mutant->name);
	row(name, outcome_of(&result), &result);
	if (!caught)
		printf("  %s: not caught by \"%s\"\n", mutant->name, caught_by);
	CU_ASSERT_TRUE(caught);
}

void table_catches(const struct scenario *scenario, const struct mutant *mutants, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		catches(scenario, &mutants[i], false);
		if (mutants[i].seen_by != NULL)
			catches(scenario, &mutants[i], true);
	}
}
