/* SPDX-License-Identifier: MIT */
/* test_latency.c - which calls are timed (LT1, LT2), where they are counted, and what is said of them */
#include <pthread.h>
#include <string.h>

#include "tests/unit/db/db_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_open(&fixture);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

/* ---- counters ---- */

static void a_time_is_counted_below_its_bound(void)
{
	for (uint64_t ns = 0; ns < (uint64_t)1 << 37; ns += 1 + ns / 50) {
		unsigned bucket = latency_bucket(ns);

		CU_ASSERT_FATAL(bucket < BWT_LATENCY_BUCKETS);
		CU_ASSERT_TRUE(ns < bwt_latency_bound(bucket));
		CU_ASSERT_TRUE(bucket == 0 || ns >= bwt_latency_bound(bucket - 1));
	}
	for (unsigned i = 1; i < BWT_LATENCY_BUCKETS; i++) {
		uint64_t below = bwt_latency_bound(i - 1);

		CU_ASSERT_EQUAL(latency_bucket(below - 1), i - 1);
		CU_ASSERT_EQUAL(latency_bucket(below), i);
		CU_ASSERT_TRUE((bwt_latency_bound(i) - below) * 4 <= below);
	}
	CU_ASSERT_EQUAL(bwt_latency_bound(0), 40);
	CU_ASSERT_EQUAL(latency_bucket(UINT64_MAX), BWT_LATENCY_BUCKETS - 1);
	CU_ASSERT_EQUAL(bwt_latency_bound(BWT_LATENCY_BUCKETS - 1), (uint64_t)1 << 37);
	CU_ASSERT_EQUAL(bwt_latency_bound(UINT32_MAX), (uint64_t)1 << 37);
}

static void percentiles_are_those_of_the_counters(void)
{
	struct bwt_latency latency = {0};

	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 99), 0);
	latency.buckets[10] = 90;
	latency.buckets[20] = 9;
	latency.buckets[BWT_LATENCY_BUCKETS - 1] = 1;
	latency.count = 100;
	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 0), bwt_latency_bound(10));
	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 90), bwt_latency_bound(10));
	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 90.1), bwt_latency_bound(20));
	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 99), bwt_latency_bound(20));
	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 99.9), (uint64_t)1 << 37);
	CU_ASSERT_EQUAL(bwt_latency_percentile(&latency, 1000), (uint64_t)1 << 37);
}

/* ---- the sample ---- */

#define SURELY (2 * LATENCY_EVERY) /* so many calls in a row, and one is timed */

/* LT1: as many as were asked for, and of each residue, so that no rhythm hides. */
static void one_in_so_many_is_timed_at_distances_left_to_chance(void)
{
	struct epoch_slot *slot = epoch_slot(&fixture.db->store.epoch);
	unsigned timed = 0, residues = 0;
	bool seen[LATENCY_EVERY] = {false};

	CU_ASSERT_TRUE(latency_begin(slot, LATENCY_GET) != 0); /* the first one */
	for (unsigned i = 0; i < 1000 * LATENCY_EVERY; i++) {
		if (latency_begin(slot, LATENCY_GET) == 0)
			continue;
		timed++;
		residues += !seen[i % LATENCY_EVERY];
		seen[i % LATENCY_EVERY] = true;
	}
	CU_ASSERT_TRUE(timed > 800);
	CU_ASSERT_TRUE(timed < 1200);
	CU_ASSERT_EQUAL(residues, LATENCY_EVERY);
	CU_ASSERT_TRUE(latency_begin(slot, LATENCY_COMMIT) != 0); /* a kind of its own */
}

static void *get_once(void *arg)
{
	struct bwt_buf value = {0};

	(void)arg;
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, text_slice("k"), &value), BWT_OK);
	bwt_buf_free(&value);
	return NULL;
}

static void each_of_two_threads_times_its_first_get(void)
{
	struct bwt_stats stats;
	pthread_t thread;

	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	get_once(NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, get_once, NULL), 0);
	pthread_join(thread, NULL);
	stats = fixture_stats(&fixture);
	CU_ASSERT_EQUAL(stats.get_latency.count, 2);
	CU_ASSERT_TRUE(stats.get_latency.sum_ns > 0);
	CU_ASSERT_TRUE(bwt_latency_percentile(&stats.get_latency, 100) * 2 >=
	               stats.get_latency.sum_ns);
}

static void what_is_not_there_was_looked_for_and_counts(void)
{
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, text_slice("k"), NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).get_latency.count, 1);
}

/* LT2 */
static void what_was_refused_does_not_count(void)
{
	struct bwt_txn *txn;

	for (unsigned i = 0; i < SURELY; i++)
		CU_ASSERT_EQUAL(
			bwt_put(fixture.tree, NULL, text_slice("k"), text_slice("v"), BWT_UPDATE),
			BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK); /* changes nothing */
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).commit_latency.count, 0);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).durable_latency.count, 0);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).get_latency.count, 0);
}

/* ---- kinds ---- */

enum {
	PUT,
	COMMIT,
	COMMIT_ASYNC
};

static void change_once(int how)
{
	struct bwt_txn *txn;
	bwt_lsn lsn;

	if (how == PUT) {
		CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
		return;
	}
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("k"), text_slice("v"), 0), BWT_OK);
	CU_ASSERT_EQUAL(how == COMMIT ? bwt_commit(txn) : bwt_commit_async(txn, &lsn), BWT_OK);
}

static void change(int how, uint64_t *commits, uint64_t *durable)
{
	struct bwt_stats before = fixture_stats(&fixture), after;

	for (unsigned i = 0; i < SURELY; i++)
		change_once(how);
	after = fixture_stats(&fixture);
	*commits = after.commit_latency.count - before.commit_latency.count;
	*durable = after.durable_latency.count - before.durable_latency.count;
}

static void changes_are_counted_by_whether_they_waited(void)
{
	uint64_t commits, durable;

	for (int how = PUT; how <= COMMIT_ASYNC; how++) {
		change(how, &commits, &durable);
		CU_ASSERT_TRUE(commits > 0);
		CU_ASSERT_EQUAL(durable, 0);
	}
	fixture.options.durability = BWT_SYNC;
	fixture_reopen(&fixture);
	for (int how = PUT; how <= COMMIT_ASYNC; how++) {
		change(how, &commits, &durable);
		CU_ASSERT_EQUAL(commits > 0, how == COMMIT_ASYNC);
		CU_ASSERT_EQUAL(durable > 0, how != COMMIT_ASYNC);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_time_is_counted_below_its_bound),
		TEST(percentiles_are_those_of_the_counters),
		TEST(one_in_so_many_is_timed_at_distances_left_to_chance),
		TEST(each_of_two_threads_times_its_first_get),
		TEST(what_is_not_there_was_looked_for_and_counts),
		TEST(what_was_refused_does_not_count),
		TEST(changes_are_counted_by_whether_they_waited),
		CU_TEST_INFO_NULL,
	};

	return suite_run("latency", set_up, tear_down, tests);
}
