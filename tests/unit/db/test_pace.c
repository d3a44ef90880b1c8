/* SPDX-License-Identifier: MIT */
/* test_pace.c - pauses of collection: by a rate, by themselves, none; clocks are what they are, so only bounds are said */
#include "db/pace.h"

#include "sys/thread.h"
#include "tests/support/suite.h"

#define SECOND ((uint64_t)1000000000)

static void a_rate_makes_bytes_take_their_time(void)
{
	struct pace_step step = {.bytes = 1000, .took_ns = 5};

	CU_ASSERT_EQUAL(pace_pause_ns(1000, &step), SECOND);
	CU_ASSERT_EQUAL(pace_pause_ns(1000 * SECOND, &step), 1);
	step.pressure = PACE_PRESSURE_MAX; /* whoever sets one means it */
	CU_ASSERT_EQUAL(pace_pause_ns(1000, &step), SECOND);
	step.bytes = UINT64_MAX;
	CU_ASSERT_TRUE(pace_pause_ns(1, &step) > SECOND);
	CU_ASSERT_EQUAL(pace_pause_ns(UINT64_MAX, &step), 0);
}

static void by_itself_it_yields_to_commits_and_not_to_pressure(void)
{
	struct pace_step step = {.bytes = 1000, .took_ns = 1000, .commits = true};
	uint64_t last = UINT64_MAX;

	CU_ASSERT_EQUAL(pace_pause_ns(0, &step), 3000);
	for (step.pressure = 0; step.pressure <= PACE_PRESSURE_MAX; step.pressure++) {
		CU_ASSERT_TRUE(pace_pause_ns(0, &step) < last);
		last = pace_pause_ns(0, &step);
	}
	CU_ASSERT_EQUAL(last, 0);
	step.pressure = 0;
	step.commits = false;
	CU_ASSERT_EQUAL(pace_pause_ns(0, &step), 0);
	step.commits = true;
	step.took_ns = UINT64_MAX; /* as after a sleep of the machine */
	CU_ASSERT_EQUAL(pace_pause_ns(0, &step), SECOND / 10);
}

static void steps_at_a_rate_add_up(void)
{
	struct pace pace = {0};
	uint64_t began = sys_now_ns();

	CU_ASSERT_EQUAL(pace_wait_ns(&pace), 0);
	pace_step_done(&pace, 1, 1000, began, 16);
	pace_step_done(&pace, 1, 1000, began, 16);
	CU_ASSERT_TRUE(pace_wait_ns(&pace) > 1000 * SECOND);
	CU_ASSERT_TRUE(pace_wait_ns(&pace) <= 2000 * SECOND);
}

static void without_commits_beside_it_there_is_nothing_to_wait_for(void)
{
	struct pace pace = {.clock = 16};

	pace_step_done(&pace, 0, 1000, sys_now_ns() - SECOND, 16);
	CU_ASSERT_EQUAL(pace_wait_ns(&pace), 0);
	pace_step_done(&pace, 0, 1000, sys_now_ns() - SECOND, 32);
	CU_ASSERT_TRUE(atomic_load(&pace.next_ns) != 0);
	CU_ASSERT_EQUAL(atomic_load(&pace.clock), 32);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_rate_makes_bytes_take_their_time),
		TEST(by_itself_it_yields_to_commits_and_not_to_pressure),
		TEST(steps_at_a_rate_add_up),
		TEST(without_commits_beside_it_there_is_nothing_to_wait_for),
		CU_TEST_INFO_NULL,
	};

	return suite_run("pace", NULL, NULL, tests);
}
