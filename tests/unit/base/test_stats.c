/* SPDX-License-Identifier: MIT */
/* test_stats.c - counts of many threads add up; names are those of struct bwt_stats */
#include "base/stats.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "bwt.h"
#include "tests/support/suite.h"

#define THREADS 4u
#define ROUNDS 20000u

static struct stats stats;

static void set_up(void)
{
	memset(&stats, 0, sizeof stats);
}

static void counts_add_up_over_shards(void)
{
	stats_add(&stats, 0, STAT_COMMITS, 1);
	stats_add(&stats, 5, STAT_COMMITS, 2);
	stats_add(&stats, STATS_SHARDS - 1, STAT_COMMITS, 4);
	stats_add(&stats, STATS_SHARDS, STAT_COMMITS, 8);
	stats_add(&stats, 0xffffffffu, STAT_COMMITS, 16);
	CU_ASSERT_EQUAL(stats_sum(&stats, STAT_COMMITS), 31);
}

static void counters_do_not_touch_each_other(void)
{
	for (unsigned c = 0; c < STAT_COUNT; c++)
		stats_add(&stats, c, (enum stat_counter)c, c + 1);
	for (unsigned c = 0; c < STAT_COUNT; c++)
		CU_ASSERT_EQUAL(stats_sum(&stats, (enum stat_counter)c), c + 1);
}

static void shards_do_not_share_cache_lines(void)
{
	CU_ASSERT_EQUAL(sizeof stats.shard[0] % CACHE_LINE_SIZE, 0);
	CU_ASSERT_EQUAL((uintptr_t)&stats % CACHE_LINE_SIZE, 0);
}

static void *count_many(void *arg)
{
	const unsigned *shard = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		stats_add(&stats, *shard, STAT_PUSHES, 1);
		stats_add(&stats, 0, STAT_USER_BYTES, 10); /* all threads in one shard */
	}
	return NULL;
}

static void no_count_of_any_thread_is_lost(void)
{
	pthread_t threads[THREADS];
	unsigned shards[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		shards[i] = i;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, count_many, &shards[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(stats_sum(&stats, STAT_PUSHES), (uint64_t)THREADS * ROUNDS);
	CU_ASSERT_EQUAL(stats_sum(&stats, STAT_USER_BYTES), (uint64_t)THREADS * ROUNDS * 10);
}

static void names_are_those_of_the_public_fields(void)
{
	/* Fails to compile when a field of that name is gone. */
	(void)offsetof(struct bwt_stats, swaps_lost);
	CU_ASSERT_STRING_EQUAL(stats_name(STAT_COMMITS), "commits");
	CU_ASSERT_STRING_EQUAL(stats_name(STAT_SWAPS_LOST), "swaps_lost");
	CU_ASSERT_STRING_EQUAL(stats_name(STAT_USER_BYTES), "user_bytes");
	CU_ASSERT_STRING_EQUAL(stats_name(STAT_COUNT), "?");
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(counts_add_up_over_shards),
		TEST(counters_do_not_touch_each_other),
		TEST(shards_do_not_share_cache_lines),
		TEST(no_count_of_any_thread_is_lost),
		TEST(names_are_those_of_the_public_fields),
		CU_TEST_INFO_NULL,
	};

	return suite_run("stats", set_up, NULL, tests);
}
