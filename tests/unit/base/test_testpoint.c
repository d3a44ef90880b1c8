/* SPDX-License-Identifier: MIT */
/* test_testpoint.c - points do nothing until armed, and act on the hit that was asked for */
#include "base/testpoint.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "tests/support/suite.h"

static struct {
	unsigned calls;
	uint64_t last_hit;
	char last_name[32];
	bool answer;
} seen;

static bool remember(void *ctx, const char *name, uint64_t hit)
{
	CU_ASSERT_PTR_EQUAL(ctx, &seen);
	seen.calls++;
	seen.last_hit = hit;
	strncpy(seen.last_name, name, sizeof seen.last_name - 1);
	return seen.answer;
}

static void set_up(void)
{
	memset(&seen, 0, sizeof seen);
	testpoint_reset();
}

static void tear_down(void)
{
	testpoint_reset();
}

static void a_point_that_is_not_armed_does_nothing(void)
{
	CU_ASSERT_FALSE(TEST_FAULT("one"));
	testpoint_set("two", 0, NULL, NULL);
	CU_ASSERT_FALSE(TEST_FAULT("one"));
	CU_ASSERT_FALSE(TEST_FAULT("twofold"));
	CU_ASSERT_EQUAL(testpoint_hits("one"), 0);
}

static void a_fault_comes_at_the_nth_hit_only(void)
{
	testpoint_set("write", 3, NULL, NULL);
	CU_ASSERT_FALSE(TEST_FAULT("write"));
	CU_ASSERT_FALSE(TEST_FAULT("write"));
	CU_ASSERT_TRUE(TEST_FAULT("write"));
	CU_ASSERT_FALSE(TEST_FAULT("write"));
	CU_ASSERT_EQUAL(testpoint_hits("write"), 4);
}

static void zero_means_every_hit(void)
{
	testpoint_set("write", 0, NULL, NULL);
	CU_ASSERT_TRUE(TEST_FAULT("write"));
	CU_ASSERT_TRUE(TEST_FAULT("write"));
}

static void a_callback_decides_and_hears_name_and_hit(void)
{
	testpoint_set("swap", 2, remember, &seen);
	seen.answer = true;
	CU_ASSERT_FALSE(TEST_FAULT("swap"));
	CU_ASSERT_EQUAL(seen.calls, 0);
	CU_ASSERT_TRUE(TEST_FAULT("swap"));
	CU_ASSERT_EQUAL(seen.calls, 1);
	CU_ASSERT_EQUAL(seen.last_hit, 2);
	CU_ASSERT_STRING_EQUAL(seen.last_name, "swap");
	testpoint_set("swap", 0, remember, &seen);
	seen.answer = false;
	CU_ASSERT_FALSE(TEST_FAULT("swap"));
	CU_ASSERT_EQUAL(seen.last_hit, 1);
	TEST_YIELD("swap");
	CU_ASSERT_EQUAL(seen.last_hit, 2);
}

static void the_star_takes_all_other_points(void)
{
	testpoint_set("*", 0, remember, &seen);
	testpoint_set("own", 0, NULL, NULL);
	TEST_YIELD("first");
	TEST_YIELD("second");
	CU_ASSERT_TRUE(TEST_FAULT("own"));
	CU_ASSERT_EQUAL(seen.calls, 2);
	CU_ASSERT_EQUAL(testpoint_hits("*"), 2);
	CU_ASSERT_STRING_EQUAL(seen.last_name, "second");
}

static void names_are_compared_not_addresses(void)
{
	char built[8];

	snprintf(built, sizeof built, "%s", "write");
	testpoint_set("write", 0, NULL, NULL);
	CU_ASSERT_TRUE(testpoint_hit(built));
}

static void reset_disarms_and_forgets(void)
{
	testpoint_set("write", 0, NULL, NULL);
	CU_ASSERT_TRUE(TEST_FAULT("write"));
	testpoint_reset();
	CU_ASSERT_FALSE(TEST_FAULT("write"));
	testpoint_set("write", 2, NULL, NULL);
	CU_ASSERT_FALSE(TEST_FAULT("write"));
	CU_ASSERT_TRUE(TEST_FAULT("write"));
}

static void as_many_points_as_promised_fit(void)
{
	static char names[TESTPOINT_MAX][4];

	for (unsigned i = 0; i < TESTPOINT_MAX; i++) {
		names[i][0] = (char)('a' + i / 10);
		names[i][1] = (char)('0' + i % 10);
		testpoint_set(names[i], 0, NULL, NULL);
	}
	for (unsigned i = 0; i < TESTPOINT_MAX; i++)
		CU_ASSERT_TRUE(TEST_FAULT(names[i]));
	testpoint_set(names[0], 0, NULL, NULL); /* again: takes no new place */
	CU_ASSERT_TRUE(TEST_FAULT(names[0]));
}

#define RACERS 4
#define RACER_HITS 50000u

static _Atomic unsigned faults;
static pthread_barrier_t start;

static void *race(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < RACER_HITS; i++)
		if (TEST_FAULT("race"))
			atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed);
	return NULL;
}

static void of_many_threads_exactly_one_makes_the_nth_hit(void)
{
	pthread_t threads[RACERS];

	pthread_barrier_init(&start, NULL, RACERS);
	testpoint_set("race", RACERS * RACER_HITS / 2, NULL, NULL);
	for (unsigned i = 0; i < RACERS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, race, NULL), 0);
	for (unsigned i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	CU_ASSERT_EQUAL(atomic_load_explicit(&faults, memory_order_relaxed), 1);
	CU_ASSERT_EQUAL(testpoint_hits("race"), RACERS * RACER_HITS);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_point_that_is_not_armed_does_nothing),
		TEST(a_fault_comes_at_the_nth_hit_only),
		TEST(zero_means_every_hit),
		TEST(a_callback_decides_and_hears_name_and_hit),
		TEST(the_star_takes_all_other_points),
		TEST(names_are_compared_not_addresses),
		TEST(reset_disarms_and_forgets),
		TEST(as_many_points_as_promised_fit),
		TEST(of_many_threads_exactly_one_makes_the_nth_hit),
		CU_TEST_INFO_NULL,
	};

	return suite_run("testpoint", set_up, tear_down, tests);
}
