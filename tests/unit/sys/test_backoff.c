/* SPDX-License-Identifier: MIT */
/* test_backoff.c - how long a pause may be, that it is random, and that patience has an end */
#include "sys/backoff.h"

#include "tests/support/suite.h"

#define SAMPLES 4000u

static void the_first_pause_is_short_and_each_bound_is_twice_the_one_before(void)
{
	CU_ASSERT_EQUAL(backoff_spins_max(0), BACKOFF_SPINS_FIRST);
	for (unsigned round = 1; round < BACKOFF_YIELD_ROUND; round++)
		CU_ASSERT_EQUAL(backoff_spins_max(round), 2 * backoff_spins_max(round - 1));
	CU_ASSERT_EQUAL(backoff_spins_max(BACKOFF_YIELD_ROUND - 1),
	                BACKOFF_SPINS_FIRST << (BACKOFF_YIELD_ROUND - 1));
}

static void every_pause_lies_within_its_bound_and_all_of_it_is_used(void)
{
	uint64_t random = 88172645463325252u;

	for (unsigned round = 0; round < BACKOFF_YIELD_ROUND; round++) {
		unsigned most = backoff_spins_max(round), least_seen = most, most_seen = 0;

		for (unsigned i = 0; i < SAMPLES; i++) {
			unsigned spins = backoff_spins(round, &random);

			CU_ASSERT_TRUE(spins >= 1 && spins <= most);
			least_seen = spins < least_seen ? spins : least_seen;
			most_seen = spins > most_seen ? spins : most_seen;
		}
		CU_ASSERT_TRUE(least_seen <= 1 + most / 8);
		CU_ASSERT_TRUE(most_seen >= most - most / 8);
	}
}

static void two_threads_that_collided_do_not_pause_alike(void)
{
	uint64_t one = 1, other = 2;
	unsigned alike = 0;

	for (unsigned i = 0; i < SAMPLES; i++)
		alike += backoff_spins(BACKOFF_YIELD_ROUND - 1, &one) ==
		         backoff_spins(BACKOFF_YIELD_ROUND - 1, &other);
	CU_ASSERT_TRUE(alike < SAMPLES / 20);
}

static void patience_is_over_after_the_named_number_of_pauses(void)
{
	struct backoff backoff = {0};
	uint64_t random = 7;
	unsigned pauses = 0;

	while (backoff_pause(&backoff, &random))
		pauses++;
	CU_ASSERT_EQUAL(pauses, BACKOFF_ROUNDS_MAX);
	CU_ASSERT_FALSE(backoff_pause(&backoff, &random)); /* and stays so */
	backoff = (struct backoff){0};
	CU_ASSERT_TRUE(backoff_pause(&backoff, &random));
	CU_ASSERT_NOT_EQUAL(random, 0); /* the generator would stand still */
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_first_pause_is_short_and_each_bound_is_twice_the_one_before),
		TEST(every_pause_lies_within_its_bound_and_all_of_it_is_used),
		TEST(two_threads_that_collided_do_not_pause_alike),
		TEST(patience_is_over_after_the_named_number_of_pauses),
		CU_TEST_INFO_NULL,
	};

	return suite_run("backoff", NULL, NULL, tests);
}
