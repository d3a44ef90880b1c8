/* SPDX-License-Identifier: MIT */
/*
 * protocol_search.c - the search itself, on models whose states can be counted by hand
 *
 * A grid: each process counts from 0 to its limit, one step at a time. With limits a and b there are
 * (a + 1)(b + 1) states, and the last one lies a + b steps deep.
 */
#include "search.h"

#include "tests/support/suite.h"

#include <string.h>

struct grid {
	unsigned char limit[2];
	bool break_corner; /* the state (2, 1) breaks a rule */
	bool break_step;   /* the step to (0, 3) breaks a rule */
	bool trap;         /* process 0 may jump to 99 and stays there */
	bool choices;      /* process 0 may take one step or two */
	bool wait;         /* process 1 never moves, though it never may wait */
	bool too_small;    /* the model has no room for (1, 1) */
};

static void grid_init(const void *opaque, void *state)
{
	(void)opaque;
	memset(state, 0, 2);
}

static bool grid_step(const void *opaque, void *memory, unsigned process, unsigned choice,
                      struct search_step *step)
{
	const struct grid *grid = opaque;
	unsigned char *at = memory;

	if (at[process] >= grid->limit[process])
		return false;
	if (grid->wait && process == 1)
		return choice == 0; /* spins */
	if (choice == 0) {
		at[process]++;
	} else if (choice == 1 && process == 0 && grid->trap) {
		at[0] = 99;
	} else if (choice == 1 && process == 0 && grid->choices && at[0] + 2 <= grid->limit[0]) {
		at[0] = (unsigned char)(at[0] + 2);
	} else {
		return false;
	}
	if (grid->break_step && at[0] == 0 && at[1] == 3)
		step->violation = "step";
	if (grid->too_small && at[0] == 1 && at[1] == 1)
		step->out_of_bounds = true;
	if (step->text != NULL)
		snprintf(step->text, step->text_size, "(%u, %u)", at[0], at[1]);
	return true;
}

static const char *grid_check(const void *opaque, const void *memory)
{
	const struct grid *grid = opaque;
	const unsigned char *at = memory;

	return grid->break_corner && at[0] == 2 && at[1] == 1 ? "corner" : NULL;
}

static bool grid_finished(const void *opaque, const void *memory)
{
	return memcmp(((const struct grid *)opaque)->limit, memory, 2) == 0;
}

static bool grid_wait_free(const void *opaque, const void *memory, unsigned process)
{
	const struct grid *grid = opaque;
	const unsigned char *at = memory;

	return process == 1 && at[1] < grid->limit[1];
}

static void grid_print(const void *opaque, const void *memory, FILE *out)
{
	const unsigned char *at = memory;

	(void)opaque;
	fprintf(out, "(%u, %u)\n", at[0], at[1]);
}

static struct search_result search_grid(const struct grid *grid, uint64_t limit)
{
	const struct search_model model = {
		.state_size = 2,
		.process_count = 2,
		.scenario = grid,
		.init = grid_init,
		.step = grid_step,
		.check = grid_check,
		.finished = grid_finished,
		.wait_free = grid_wait_free,
		.print = grid_print,
	};

	return search_run(&model, limit, true, NULL);
}

static void every_state_of_a_grid_is_visited_once(void)
{
	const struct grid grid = {.limit = {40, 7}};
	const struct search_result result = search_grid(&grid, UINT64_MAX);

	CU_ASSERT_EQUAL(result.end, SEARCH_CLEAN);
	CU_ASSERT_EQUAL(result.state_count, 41 * 8);
	CU_ASSERT_EQUAL(result.transition_count, 40 * 8 + 41 * 7);
	CU_ASSERT_EQUAL(result.depth, 47);
}

static void tables_and_blocks_grow_with_the_states(void)
{
	const struct grid grid = {.limit = {255, 255}};
	const struct search_result result = search_grid(&grid, UINT64_MAX);

	CU_ASSERT_EQUAL(result.end, SEARCH_CLEAN);
	CU_ASSERT_EQUAL(result.state_count, 65536);
	CU_ASSERT_EQUAL(result.depth, 510);
}

static void all_choices_of_a_process_are_taken(void)
{
	const struct grid grid = {.limit = {4, 0}, .choices = true};
	const struct search_result result = search_grid(&grid, UINT64_MAX);

	CU_ASSERT_EQUAL(result.state_count, 5);
	CU_ASSERT_EQUAL(result.transition_count, 4 + 3);
	CU_ASSERT_EQUAL(result.depth, 2);
}

static void a_broken_state_is_found_at_its_shortest_distance(void)
{
	const struct grid grid = {.limit = {9, 9}, .break_corner = true};
	const struct search_result result = search_grid(&grid, UINT64_MAX);

	CU_ASSERT_EQUAL(result.end, SEARCH_VIOLATION);
	CU_ASSERT_STRING_EQUAL(result.violation, "corner");
	CU_ASSERT_EQUAL(result.depth, 3);
}

static void a_broken_step_is_found(void)
{
	const struct grid grid = {.limit = {9, 9}, .break_step = true};
	const struct search_result result = search_grid(&grid, UINT64_MAX);

	CU_ASSERT_EQUAL(result.end, SEARCH_VIOLATION);
	CU_ASSERT_STRING_EQUAL(result.violation, "step");
	CU_ASSERT_EQUAL(result.depth, 3);
}

static void a_state_without_a_way_to_the_end_is_stuck(void)
{
	const struct grid grid = {.limit = {3, 3}, .trap = true};
	const struct search_result result = search_grid(&grid, UINT64_MAX);

	CU_ASSERT_EQUAL(result.end, SEARCH_STUCK);
	CU_ASSERT_EQUAL(result.depth, 1);
}

static void a_process_that_may_not_wait_and_spins_is_blocked(void)
{
	const struct grid grid = {.limit = {3, 3}, .wait = true};

	CU_ASSERT_EQUAL(search_grid(&grid, UINT64_MAX).end, SEARCH_BLOCKED);
}

static void limits_are_told_apart_from_success(void)
{
	const struct grid grid = {.limit = {9, 9}};
	const struct grid too_small = {.limit = {9, 9}, .too_small = true};

	CU_ASSERT_EQUAL(search_grid(&grid, 99).end, SEARCH_LIMIT);
	CU_ASSERT_EQUAL(search_grid(&grid, 100).end, SEARCH_CLEAN);
	CU_ASSERT_EQUAL(search_grid(&too_small, UINT64_MAX).end, SEARCH_BOUND);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(every_state_of_a_grid_is_visited_once),
		TEST(tables_and_blocks_grow_with_the_states),
		TEST(all_choices_of_a_process_are_taken),
		TEST(a_broken_state_is_found_at_its_shortest_distance),
		TEST(a_broken_step_is_found),
		TEST(a_state_without_a_way_to_the_end_is_stuck),
		TEST(a_process_that_may_not_wait_and_spins_is_blocked),
		TEST(limits_are_told_apart_from_success),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_search", NULL, NULL, tests);
}
