/* SPDX-License-Identifier: MIT */
/* test_store.c - what the lower layers are handed: clocks, horizon, dropped values; health and words */
#include "txn/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/testpoint.h"
#include "tests/unit/txn/txn_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, BWT_SYNC);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

/* A put that does not wait for the disk. */
static uint64_t put_unsynced(const char *key)
{
	struct commit_op op = {.kind = COMMIT_PUT, .key = text_slice(key), .value = text_slice("v")};

	CU_ASSERT_EQUAL_FATAL(commit_one(&fixture.store, fixture.tree, &op), BWT_OK);
	return op.end_lsn;
}

static void the_clock_is_the_end_of_the_log(void)
{
	uint64_t before = store_clock(&fixture.store), end = put_unsynced("k");

	CU_ASSERT_TRUE(before < end);
	CU_ASSERT_EQUAL(store_clock(&fixture.store), end);
}

static void the_stable_clock_of_a_sync_store_is_what_is_durable(void)
{
	uint64_t end = put_unsynced("k");

	CU_ASSERT_TRUE(store_stable_clock(&fixture.store) < end);
	CU_ASSERT_EQUAL(wal_wait(fixture.store.wal, end), BWT_OK);
	CU_ASSERT_EQUAL(store_stable_clock(&fixture.store), end);
	fixture.store.durability = BWT_NONE;
	end = put_unsynced("k");
	CU_ASSERT_EQUAL(store_stable_clock(&fixture.store), end);
}

static void a_store_without_a_log_stands_still(void)
{
	struct wal *wal = fixture.store.wal;

	fixture.store.wal = NULL;
	fixture.store.readonly_tail = 4711;
	CU_ASSERT_EQUAL(store_clock(&fixture.store), 4711);
	CU_ASSERT_EQUAL(store_stable_clock(&fixture.store), 4711);
	fixture.store.wal = wal;
}

/* C8: snapshots to come may stand at durable_lsn, so pruning goes no further. */
static void pruning_stops_at_what_is_durable(void)
{
	static struct horizon horizon;
	uint64_t durable = wal_durable_lsn(fixture.store.wal), end = put_unsynced("k");
	struct snapshot_slot *slot;

	store_horizon(&fixture.store, &horizon);
	CU_ASSERT_EQUAL(horizon.future, durable);
	CU_ASSERT_EQUAL(wal_wait(fixture.store.wal, end), BWT_OK);
	CU_ASSERT_EQUAL(snapshot_acquire(&fixture.store.snapshots, store_stable_clock,
	                                 &fixture.store, &slot),
	                BWT_OK);
	end = fixture_put(&fixture, "k", "w");
	store_horizon(&fixture.store, &horizon);
	CU_ASSERT_EQUAL(horizon.future, end);
	CU_ASSERT_EQUAL_FATAL(horizon.count, 1);
	CU_ASSERT_EQUAL(horizon.lsn[0], snapshot_lsn(slot));
	snapshot_release(slot);
}

static void a_version_that_is_not_durable_hides_none_that_is(void)
{
	uint64_t stable = fixture_put(&fixture, "k", "durable");

	for (unsigned i = 0; i < 100; i++)
		put_unsynced("k");
	CU_ASSERT_TRUE(stats_sum(&fixture.store.stats, STAT_CONSOLIDATIONS) > 0);
	/* A read-only snapshot of this moment. */
	CU_ASSERT_EQUAL(store_stable_clock(&fixture.store), stable);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", stable, "durable"));
}

static void dropped_values_leave_their_files_count(void)
{
	struct value_ref ref = {.segment = 3, .size = 100};

	atomic_store(&fixture.store.vlog_live.words[3], 250);
	store_value_dropped(&fixture.store, &ref);
	store_value_dropped(&fixture.store, &ref);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 3), 50);
	ref.segment = (uint32_t)fixture.store.vlog_live.capacity; /* stored bytes are input */
	store_value_dropped(&fixture.store, &ref);
	/* Without memory for the picture it stays too high. */
	ref.segment = 3;
	atomic_fetch_add(&fixture.store.interval, 1);
	testpoint_set("cow_no_memory", 1, NULL, NULL);
	store_value_dropped(&fixture.store, &ref);
	atomic_fetch_sub(&fixture.store.interval, 1);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 3), 50);
}

static void health_says_what_still_works(void)
{
	struct store *store = &fixture.store;

	CU_ASSERT_EQUAL(store_health(store, true), BWT_OK);
	CU_ASSERT_EQUAL(store_health(store, false), BWT_OK);
	atomic_store(&store->failure, BWT_IO);
	CU_ASSERT_EQUAL(store_health(store, true), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(store_health(store, false), BWT_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), bwt_strerror(BWT_IO)));
	store->readonly = true;
	CU_ASSERT_EQUAL(store_health(store, true), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(store_health(store, false), BWT_OK);
	atomic_store(&store->faulted, 1);
	CU_ASSERT_EQUAL(store_health(store, true), BWT_IO);
	CU_ASSERT_EQUAL(store_health(store, false), BWT_IO);
}

static char said[2000];
static int said_level;

static void hear(void *ctx, int level, const char *text)
{
	CU_ASSERT_PTR_EQUAL(ctx, &fixture);
	said_level = level;
	snprintf(said, sizeof said, "%s", text);
}

static void words_reach_the_callers_log_if_there_is_one(void)
{
	char longest[3000];

	store_say(&fixture.store, LOG_ERR, "nobody %s", "hears");
	fixture.store.log = hear;
	fixture.store.ctx = &fixture;
	store_say(&fixture.store, LOG_WARNING, "%s %d", "number", 7);
	CU_ASSERT_EQUAL(said_level, LOG_WARNING);
	CU_ASSERT_STRING_EQUAL(said, "number 7");
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	store_say(&fixture.store, LOG_WARNING, "%s", longest);
	CU_ASSERT_TRUE(strlen(said) > 500 && strlen(said) < sizeof longest - 1);
}

static void trees_are_found_by_their_id(void)
{
	struct named_tree *main_tree = store_tree(&fixture.store, TREE_ID_MAIN);

	CU_ASSERT_PTR_NOT_NULL_FATAL(main_tree);
	if (main_tree == NULL)
		return;
	CU_ASSERT_EQUAL(main_tree->tree.id, TREE_ID_MAIN);
	CU_ASSERT_PTR_EQUAL(&main_tree->tree, fixture.tree);
	CU_ASSERT_EQUAL(store_tree(&fixture.store, TREE_ID_CATALOG)->tree.id, TREE_ID_CATALOG);
	CU_ASSERT_PTR_NULL(store_tree(&fixture.store, TREE_ID_FIRST));
	CU_ASSERT_EQUAL(pthread_mutex_trylock(fixture.store.trees_lock), 0); /* not held any more */
	pthread_mutex_unlock(fixture.store.trees_lock);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_clock_is_the_end_of_the_log),
		TEST(the_stable_clock_of_a_sync_store_is_what_is_durable),
		TEST(a_store_without_a_log_stands_still),
		TEST(pruning_stops_at_what_is_durable),
		TEST(a_version_that_is_not_durable_hides_none_that_is),
		TEST(dropped_values_leave_their_files_count),
		TEST(health_says_what_still_works),
		TEST(words_reach_the_callers_log_if_there_is_one),
		TEST(trees_are_found_by_their_id),
		CU_TEST_INFO_NULL,
	};

	return suite_run("store", set_up, tear_down, tests);
}
