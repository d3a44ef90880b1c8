/* SPDX-License-Identifier: MIT */
/*
 * protocol_txn.c - transactions against each other, readers and consolidation (txn.h)
 *
 * Environment: TRACE=1 prints the shortest trace of every variant that is caught; SHORT=1 leaves out
 * the scenarios marked big; LONG=1 runs them again with one attempt more for each commit (3 GiB).
 */
#include "txn.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/suite.h"

#define STATES_MAX UINT64_C(12000000)
#define STATES_MAX_LONG UINT64_C(400000000)
#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

struct mutant {
	enum tx_flaw flaw;
	const char *name;
	const char *caught_by; /* how the rule begins */
};

static bool switched_on(const char *name)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */

	return value != NULL && strcmp(value, "0") != 0;
}

static const char *outcome_of(const struct search_result *result)
{
	if (result->end == SEARCH_CLEAN)
		return "holds";
	return result->end == SEARCH_VIOLATION ? result->violation : search_end_name(result->end);
}

static struct search_result run(const struct tx_scenario *scenario, const char *name, FILE *trace)
{
	const struct search_model model = tx_model_of(scenario);
	struct search_result result =
		search_run(&model, switched_on("LONG") ? STATES_MAX_LONG : STATES_MAX, true, trace);

	printf("%-40s %-34.34s %10llu %6u %7.1f %6llu\n", name, outcome_of(&result),
	       (unsigned long long)result.state_count, result.depth, result.seconds,
	       (unsigned long long)(result.memory_bytes >> 20));
	fflush(stdout);
	return result;
}

static void holds(const struct tx_scenario *scenario)
{
	if (scenario->big && suite_short())
		return;
	CU_ASSERT_EQUAL(run(scenario, scenario->name, stdout).end, SEARCH_CLEAN);
	if (scenario->big && switched_on("LONG")) {
		struct tx_scenario longer = *scenario;

		longer.attempts++;
		CU_ASSERT_EQUAL(run(&longer, "  one attempt more", stdout).end, SEARCH_CLEAN);
	}
}

static void catches(const struct tx_scenario *scenario, const struct mutant *mutants, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct tx_scenario broken = *scenario;
		struct search_result result;
		const char *outcome;
		char name[80];

		broken.flaw = mutants[i].flaw;
		snprintf(name, sizeof name, "- %s", mutants[i].name);
		result = run(&broken, name, switched_on("TRACE") ? stdout : NULL);
		outcome = outcome_of(&result);
		if (strncmp(outcome, mutants[i].caught_by, strlen(mutants[i].caught_by)) != 0)
			printf("  %s: not caught by \"%s\"\n", mutants[i].name, mutants[i].caught_by);
		CU_ASSERT_TRUE(
			strncmp(outcome, mutants[i].caught_by, strlen(mutants[i].caught_by)) == 0);
	}
}

/* clang-format off */
#define READER {.kind = TX_READER}
#define WRITE(keys) {.kind = TX_COMMIT, .read = TX_NO_KEY, .writes = keys}
#define STRICT(key, keys) {.kind = TX_COMMIT, .read = key, .writes = keys, .serializable = true}
#define CONSOLIDATE(key) {.kind = TX_CONSOLIDATE, .read = key}
/* clang-format on */

/* Write skew: each reads what the other writes. */
static const struct tx_scenario crossing = {
	.name = "two crossing serializable transactions",
	.program = {{STRICT(0, 2)}, {STRICT(1, 1)}},
	.thread_count = 2,
	.slot_count = 3,
	.attempts = 2,
	.pushes = 2,
};

static const struct mutant crossing_mutants[] = {
	{TX_FLAW_VALIDATE_FIRST, "validate before reserve", "serial"},
	{TX_FLAW_NO_VALIDATION, "no validation", "serial"},
	{TX_FLAW_LOOK_NO_PUSH, "the second look does not push", "serial"},
	{TX_FLAW_PUBLISH_FIRST, "publish before the second look", "serial"},
	{TX_FLAW_FLOOR_IGNORED, "publish below the floor", "I2"},
};

static const struct tx_scenario crossing_reader = {
	.name = "the same and a two-key reader",
	.program = {{STRICT(0, 2)}, {STRICT(1, 1)}, {READER}},
	.thread_count = 3,
	.slot_count = 3,
	.attempts = 1,
	.pushes = 2,
	.big = true,
};

static const struct mutant crossing_reader_mutants[] = {
	{TX_FLAW_NO_PUSH, "the reader does not push", "I2"},
	{TX_FLAW_PUSH_GIVES_UP, "a failed push means not visible", "I2"},
};

/* A serializable one beside a writer of the same keys at the default level. */
static const struct tx_scenario mixed = {
	.name = "a serializable one and two writers",
	.program = {{STRICT(0, 2)}, {WRITE(1)}, {WRITE(3)}},
	.thread_count = 3,
	.slot_count = 3,
	.attempts = 1,
	.pushes = 2,
	.big = true,
};

/* Both write both keys. */
static const struct tx_scenario torn = {
	.name = "two writers of two keys and a reader",
	.program = {{WRITE(3)}, {WRITE(3)}, {READER}},
	.thread_count = 3,
	.slot_count = 3,
	.attempts = 2,
	.pushes = 2,
	.big = true,
};

static const struct mutant torn_mutants[] = {
	{TX_FLAW_NO_PUSH, "no push", "I2"},
	{TX_FLAW_PUSH_GIVES_UP, "a failed push means not visible", "I2"},
	{TX_FLAW_FLOOR_IGNORED, "publish below the floor", "I2"},
	{TX_FLAW_NO_CONFLICT, "install over what is newer", "lost update"},
	{TX_FLAW_OVER_PENDING, "install over what is pending", "lost update"},
};

static const struct tx_scenario wounds = {
	.name = "two writers of two keys wound each other",
	.program = {{WRITE(3)}, {WRITE(3)}},
	.thread_count = 2,
	.slot_count = 3,
	.attempts = 3,
	.pushes = 2,
};

/* What was read is consolidated meanwhile: its mapping word changes, and references move. */
static const struct tx_scenario moved = {
	.name = "validation beside consolidation",
	.program = {{STRICT(0, 2)}, {WRITE(1)}, {CONSOLIDATE(0), CONSOLIDATE(0)}},
	.thread_count = 3,
	.slot_count = 2,
	.attempts = 2,
	.pushes = 2,
	.big = true,
};

static const struct mutant moved_mutants[] = {
	{TX_FLAW_VALIDATE_FIRST, "validate before reserve", "serial"},
	{TX_FLAW_LOOK_NO_PUSH, "the second look does not push", "serial"},
	{TX_FLAW_NAIVE_COPY, "naive copying", "dangling"},
};

/* One slot, used again as soon as its owner has stamped: the generation alone tells. */
static const struct tx_scenario generations = {
	.name = "a slot in its next use, by generation",
	.program = {{WRITE(3), WRITE(1)}, {READER, READER}},
	.thread_count = 2,
	.slot_count = 1,
	.attempts = 1,
	.pushes = 2,
	.by_generation = true,
};

static const struct mutant generations_mutants[] = {
	{TX_FLAW_NO_GENERATION, "without generations", "I2"},
	{TX_FLAW_WORD_FIRST, "the word before the generation", "I2"},
	{TX_FLAW_NO_STAMP, "a decided one is not stamped", "dangling"},
};

/* As the library does it: a slot waits until all who were pinned are gone. */
static const struct tx_scenario copies = {
	.name = "stamping, consolidation, slot reuse",
	.program = {{WRITE(1), WRITE(3)}, {CONSOLIDATE(0), CONSOLIDATE(0)}, {READER}},
	.thread_count = 3,
	.slot_count = 1,
	.attempts = 2,
	.pushes = 2,
	.big = true,
};

static const struct tx_scenario copies_two = {
	.name = "the same of two writers",
	.program = {{WRITE(1)}, {WRITE(3)}, {CONSOLIDATE(0), CONSOLIDATE(0)}, {READER}},
	.thread_count = 4,
	.slot_count = 2,
	.attempts = 1,
	.pushes = 1,
	.big = true,
};

static const struct mutant copies_mutants[] = {
	{TX_FLAW_NAIVE_COPY, "naive copying", "dangling"},
	{TX_FLAW_DROP_PENDING, "pending is taken for aborted", "kept"},
	{TX_FLAW_NO_STAMP, "a decided one is not stamped", "dangling"},
	{TX_FLAW_REUSE_EARLY, "a slot is reused at once", "dangling"},
};

static void crossing_serializable_transactions_are_in_lsn_order(void)
{
	holds(&crossing);
	catches(&crossing, crossing_mutants, COUNT(crossing_mutants));
}

static void a_reader_of_both_keys_sees_whole_transactions(void)
{
	holds(&crossing_reader);
	catches(&crossing_reader, crossing_reader_mutants, COUNT(crossing_reader_mutants));
	holds(&torn);
	catches(&torn, torn_mutants, COUNT(torn_mutants));
}

static void levels_mix(void)
{
	holds(&mixed);
}

static void validation_stands_consolidation(void)
{
	holds(&moved);
	catches(&moved, moved_mutants, COUNT(moved_mutants));
}

static void writers_that_wound_each_other_come_through_or_give_up(void)
{
	holds(&wounds);
}

static void a_descriptor_in_its_next_use_is_not_taken_for_the_last_one(void)
{
	holds(&generations);
	catches(&generations, generations_mutants, COUNT(generations_mutants));
}

static void stamping_finds_what_consolidation_copied(void)
{
	holds(&copies);
	holds(&copies_two);
	catches(&copies, copies_mutants, COUNT(copies_mutants));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(crossing_serializable_transactions_are_in_lsn_order),
		TEST(a_reader_of_both_keys_sees_whole_transactions),
		TEST(levels_mix),
		TEST(validation_stands_consolidation),
		TEST(writers_that_wound_each_other_come_through_or_give_up),
		TEST(a_descriptor_in_its_next_use_is_not_taken_for_the_last_one),
		TEST(stamping_finds_what_consolidation_copied),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_txn", NULL, NULL, tests);
}
