/* SPDX-License-Identifier: MIT */
/*
 * test_commit.c - the commit protocol: its outcomes, and threads stopped at each of its steps
 *
 * reserve: commit_reserve stands before it, commit_publish after it and before the CAS, commit_fill
 * after the CAS and before the record is filled.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/actor.h"
#include "tests/unit/txn/txn_fixture.h"

#define MS 1000000ull

static struct fixture fixture;
static struct logged log_read[4096];

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static uint64_t stat_of(enum stat_counter counter)
{
	return stats_sum(&fixture.store.stats, counter);
}

/* Does the log hold exactly these records, in this order? Ends with NULL. */
static bool log_is(const char *const *texts)
{
	unsigned count = fixture_log(&fixture, log_read, 4096), i = 0;

	for (; i < count && texts[i] != NULL; i++) {
		if (strcmp(log_read[i].text, texts[i]) != 0) {
			printf("  record %u is %s\n", i, log_read[i].text);
			return false;
		}
	}
	if (i != count || texts[i] != NULL)
		printf("  %u records\n", count);
	return i == count && texts[i] == NULL;
}

#define LOG_IS(...) log_is((const char *const[]){__VA_ARGS__, NULL})

/* ---- outcomes ---- */

static void a_put_is_there_and_in_the_log(void)
{
	uint64_t start = fixture_snapshot(&fixture), end = fixture_put(&fixture, "key", "value");

	CU_ASSERT_TRUE(end > start);
	CU_ASSERT_EQUAL(end, fixture_snapshot(&fixture));
	CU_ASSERT_TRUE(fixture_get(&fixture, "key", READ_NEWEST, "value"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "key", start, NULL)); /* I2: not below its LSN */
	CU_ASSERT_TRUE(fixture_get(&fixture, "key", end, "value"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	CU_ASSERT_EQUAL(stat_of(STAT_COMMITS), 1);
	CU_ASSERT_EQUAL(stat_of(STAT_USER_BYTES), 8);
	CU_ASSERT_TRUE(LOG_IS("key=value"));
	CU_ASSERT_EQUAL(log_read[0].lsn, start);
	CU_ASSERT_EQUAL(log_read[0].end_lsn, end);
}

static void each_kind_asks_for_the_state_that_it_needs(void)
{
	static const struct {
		enum commit_kind kind;
		int absent, present;
		const char *after_absent, *after_present;
	} kinds[] = {
		{COMMIT_PUT, BWT_OK, BWT_OK, "new", "new"},
		{COMMIT_INSERT, BWT_OK, BWT_EXISTS, "new", "old"},
		{COMMIT_UPDATE, BWT_NOT_FOUND, BWT_OK, NULL, "new"},
		{COMMIT_DELETE, BWT_NOT_FOUND, BWT_OK, NULL, NULL},
	};
	char key[16];

	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const char *value = kinds[i].kind == COMMIT_DELETE ? NULL : "new";
		uint64_t end;

		snprintf(key, sizeof key, "absent%u", i);
		CU_ASSERT_EQUAL(fixture_commit(&fixture, kinds[i].kind, key, value, &end),
		                kinds[i].absent);
		CU_ASSERT_EQUAL(end == 0, kinds[i].absent != BWT_OK);
		CU_ASSERT_TRUE(fixture_get(&fixture, key, READ_NEWEST, kinds[i].after_absent));
		snprintf(key, sizeof key, "present%u", i);
		fixture_put(&fixture, key, "old");
		CU_ASSERT_EQUAL(fixture_commit(&fixture, kinds[i].kind, key, value, &end),
		                kinds[i].present);
		CU_ASSERT_TRUE(fixture_get(&fixture, key, READ_NEWEST, kinds[i].after_present));
		/* A deleted key is as good as absent. */
		fixture_commit(&fixture, COMMIT_DELETE, key, NULL, NULL);
		CU_ASSERT_EQUAL(fixture_commit(&fixture, kinds[i].kind, key, value, &end),
		                kinds[i].absent);
	}
}

static void cas_changes_only_what_is_as_expected(void)
{
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "x", "y"), BWT_MISMATCH);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "x", NULL), BWT_MISMATCH);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", NULL, "one"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", NULL, "two"), BWT_MISMATCH);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", NULL, NULL), BWT_MISMATCH);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "onE", "two"), BWT_MISMATCH);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "on", "two"), BWT_MISMATCH);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "one", "two"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "two", "two"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "two", NULL), BWT_OK);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", NULL, ""), BWT_OK);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", NULL, "x"), BWT_MISMATCH); /* empty is not absent */
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "k", "", "x"), BWT_OK);
	CU_ASSERT_TRUE(LOG_IS("k=one", "k=two", "k=two", "k!", "k=", "k=x"));
}

static void the_count_follows_what_is_there(void)
{
	for (unsigned round = 0; round < 3; round++) {
		fixture_put(&fixture, "a", "1");
		fixture_put(&fixture, "b", "1");
		fixture_put(&fixture, "a", "2");
		CU_ASSERT_EQUAL(tree_keys(fixture.tree), 2);
		CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_INSERT, "a", "3", NULL), BWT_EXISTS);
		CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_DELETE, "a", NULL, NULL), BWT_OK);
		CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_DELETE, "a", NULL, NULL),
		                BWT_NOT_FOUND);
		CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
		CU_ASSERT_EQUAL(fixture_cas(&fixture, "b", "1", NULL), BWT_OK);
		CU_ASSERT_EQUAL(tree_keys(fixture.tree), 0);
	}
}

static void a_durable_commit_is_durable_on_return(void)
{
	uint64_t end;

	fixture_free(&fixture);
	fixture_new(&fixture, BWT_SYNC);
	for (unsigned i = 0; i < 20; i++) {
		end = fixture_put(&fixture, "key", "value");
		CU_ASSERT_TRUE(wal_durable_lsn(fixture.store.wal) >= end);
		CU_ASSERT_TRUE(fixture.slot->seen_lsn >= end); /* C7 */
	}
}

static void what_a_thread_read_is_durable_before_its_snapshot(void)
{
	struct commit_op op = {.kind = COMMIT_PUT, .key = text_slice("key"), .value = text_slice("v")};

	fixture_free(&fixture);
	fixture_new(&fixture, BWT_SYNC);
	CU_ASSERT_EQUAL(commit_one(&fixture.store, fixture.tree, &op), BWT_OK); /* asynchronous */
	CU_ASSERT_TRUE(wal_durable_lsn(fixture.store.wal) < op.end_lsn);
	fixture.slot->seen_lsn = 0;
	CU_ASSERT_EQUAL(commit_wait_seen(&fixture.store), BWT_OK);
	CU_ASSERT_TRUE(wal_durable_lsn(fixture.store.wal) <
	               op.end_lsn); /* nothing read, nothing awaited */
	CU_ASSERT_TRUE(fixture_get(&fixture, "key", READ_NEWEST, "v"));
	CU_ASSERT_EQUAL(commit_wait_seen(&fixture.store), BWT_OK);
	CU_ASSERT_TRUE(wal_durable_lsn(fixture.store.wal) >= op.end_lsn);
	CU_ASSERT_TRUE(fixture_get(&fixture, "key", store_stable_clock(&fixture.store), "v"));
}

/* ---- large values ---- */

static void large_values_go_to_the_value_log_and_are_counted(void)
{
	char value[5001];

	memset(value, 'L', 5000);
	value[5000] = '\0';
	fixture_put(&fixture, "large", value);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), 5000);
	CU_ASSERT_TRUE(fixture_get(&fixture, "large", READ_NEWEST, value));
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->value_hold), 0);
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "large", "other", "x"), BWT_MISMATCH);
	value[4999] = 'M';
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "large", value, "x"), BWT_MISMATCH);
	value[4999] = 'L';
	CU_ASSERT_EQUAL(fixture_cas(&fixture, "large", value, "small"), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "large", READ_NEWEST, "small"));
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->value_hold), 0);
	/* Consolidation lets the old value go. */
	for (unsigned i = 0; i < 20; i++)
		fixture_put(&fixture, "large", "small");
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), 0);
}

static void a_value_at_the_threshold_is_inline(void)
{
	char value[INLINE_MAX + 2];

	memset(value, 'i', sizeof value);
	value[INLINE_MAX] = '\0';
	fixture_put(&fixture, "k", value);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), 0);
	value[INLINE_MAX] = 'i';
	value[INLINE_MAX + 1] = '\0';
	fixture_put(&fixture, "k", value);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), INLINE_MAX + 1);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, value));
}

/* ---- refusals ---- */

static void a_store_that_takes_no_writes_says_why(void)
{
	uint64_t tail;

	fixture_put(&fixture, "k", "v");
	tail = fixture_snapshot(&fixture);
	fixture.store.readonly = true;
	CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_PUT, "k", "w", NULL), BWT_READ_ONLY);
	fixture.store.readonly = false;
	atomic_store(&fixture.store.failure, BWT_IO);
	CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_DELETE, "k", NULL, NULL),
	                BWT_READ_ONLY);
	atomic_store(&fixture.store.failure, BWT_OK);
	atomic_store(&fixture.store.faulted, 1);
	CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_PUT, "k", "w", NULL), BWT_IO);
	atomic_store(&fixture.store.faulted, 0);
	CU_ASSERT_EQUAL(fixture_snapshot(&fixture), tail);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "v"));
}

static void without_memory_for_the_picture_nothing_is_committed(void)
{
	uint64_t tail;

	fixture_put(&fixture, "k", "v");
	tail = fixture_snapshot(&fixture);
	atomic_fetch_add(&fixture.store.interval, 1);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_PUT, "k", "w", NULL), -ENOMEM);
	testpoint_reset();
	atomic_fetch_sub(&fixture.store.interval, 1);
	CU_ASSERT_EQUAL(fixture_snapshot(&fixture), tail);
	CU_ASSERT_FALSE(epoch_pinned(fixture.slot));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "v"));
	fixture_put(&fixture, "k", "w");
	CU_ASSERT_TRUE(LOG_IS("k=v", "k=w"));
}

/* A put that is refused keeps no room in the log: else these would wait for ever for more. */
static void refused_operations_give_their_room_in_the_log_back(void)
{
	char key[4001];

	memset(key, 'k', 4000);
	key[4000] = '\0';
	fixture_put(&fixture, key, "v");
	for (unsigned i = 0; i < 3000; i++)
		if (fixture_commit(&fixture, COMMIT_INSERT, key, "w", NULL) != BWT_EXISTS)
			CU_FAIL("it was there");
	fixture_put(&fixture, key, "w");
}

static void a_full_arena_still_takes_deletes(void)
{
	char key[16], value[INLINE_MAX + 1];
	unsigned count = 0, deleted = 0;
	int rc = BWT_OK;

	memset(value, 'f', INLINE_MAX);
	value[INLINE_MAX] = '\0';
	while (rc == BWT_OK) {
		snprintf(key, sizeof key, "%08u", count);
		rc = fixture_commit(&fixture, COMMIT_PUT, key, value, NULL);
		count += rc == BWT_OK;
		/* What consolidation leaves behind is no help without checkpoints, so this is soon full. */
	}
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), count);
	for (unsigned i = 0; i < count && i < 2000; i++, deleted++) {
		snprintf(key, sizeof key, "%08u", i);
		if (fixture_commit(&fixture, COMMIT_DELETE, key, NULL, NULL) != BWT_OK)
			break;
	}
	CU_ASSERT_EQUAL(deleted, count < 2000 ? count : 2000);
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), count - deleted);
}

/* ---- the protocol: pushes ---- */

struct play { /* what an actor does */
	const char *key, *value;
	int rc;
	uint64_t end_lsn;
};

static void put_it(void *arg)
{
	struct play *play = arg;

	play->rc = fixture_commit(&fixture, COMMIT_PUT, play->key, play->value, &play->end_lsn);
}

/* A writer holds an LSN and has not published; a snapshot above it looks, and looks again later. */
static bool a_snapshot_stays_the_same(void)
{
	struct play play = {.key = "k", .value = "new"};
	struct actor writer;
	uint64_t snapshot;
	bool same;

	fixture_put(&fixture, "k", "old");
	actor_start(&writer, "commit_publish", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	snapshot = fixture_snapshot(&fixture);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", snapshot, "old"));
	actor_finish(&writer);
	CU_ASSERT_EQUAL(play.rc, BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "new"));
	same = fixture_get(&fixture, "k", snapshot, "old");
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", fixture_snapshot(&fixture), "new"));
	CU_ASSERT_EQUAL(same, play.end_lsn > snapshot);
	return same;
}

static void a_snapshot_pushes_a_writer_that_may_hold_an_older_lsn(void)
{
	CU_ASSERT_TRUE(a_snapshot_stays_the_same());
	CU_ASSERT_EQUAL(stat_of(STAT_PUSHES), 1);
	/* The space that the writer reserved first is a pad. */
	CU_ASSERT_TRUE(LOG_IS("k=old", "k=new"));
	CU_ASSERT_TRUE(log_read[1].lsn > log_read[0].end_lsn);
}

static void a_reader_that_does_not_push_is_noticed(void)
{
	testpoint_set("read_no_push", 0, NULL, NULL);
	CU_ASSERT_FALSE(a_snapshot_stays_the_same());
}

static void a_plain_get_skips_what_is_pending_and_disturbs_nobody(void)
{
	struct play play = {.key = "k", .value = "new"};
	struct actor writer;

	fixture_put(&fixture, "k", "old");
	actor_start(&writer, "commit_publish", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "old"));
	actor_finish(&writer);
	CU_ASSERT_EQUAL(stat_of(STAT_PUSHES), 0);
	CU_ASSERT_TRUE(LOG_IS("k=old", "k=new"));
	CU_ASSERT_EQUAL(log_read[1].lsn, log_read[0].end_lsn); /* no pad */
}

static void a_snapshot_below_the_floor_need_not_push(void)
{
	struct play play = {.key = "k", .value = "new"};
	uint64_t early, late;
	struct actor writer;

	fixture_put(&fixture, "k", "old");
	early = fixture_snapshot(&fixture);
	fixture_put(&fixture, "other", "x");
	late = fixture_snapshot(&fixture);
	actor_start(&writer, "commit_reserve", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", late, "old"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", early, "old"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", late, "old"));
	CU_ASSERT_EQUAL(stat_of(STAT_PUSHES), 1);
	CU_ASSERT_EQUAL(word_lsn(atomic_load(&fixture_top(&fixture, "k")->lsn_word)), late); /* V2 */
	actor_finish(&writer);
	/* It had not reserved yet: what it gets is above the floor anyway. */
	CU_ASSERT_TRUE(LOG_IS("k=old", "other=x", "k=new"));
}

/* C4: at every reservation of the writer somebody pushes it beyond. */
static bool push_the_writer(void *ctx, const char *name, uint64_t hit)
{
	struct leaf_delta *delta =
		arena_at(&fixture.store.arena,
	                 mapping_head(mapping_load(&fixture.store.mapping, fixture.tree->root)));

	(void)name;
	if (hit <= *(unsigned *)ctx)
		atomic_store(&delta->lsn_word, word_make(WORD_PENDING, fixture_snapshot(&fixture)));
	return false;
}

static void a_writer_that_is_pushed_again_and_again_starts_over(void)
{
	for (unsigned pushes = 0; pushes < 8; pushes++) {
		char value[8];
		uint64_t end;

		snprintf(value, sizeof value, "%u", pushes);
		testpoint_set("commit_publish", 0, push_the_writer, &pushes);
		end = fixture_put(&fixture, "k", value);
		CU_ASSERT_EQUAL(testpoint_hits("commit_publish"), pushes + 1);
		testpoint_reset();
		CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, value));
		CU_ASSERT_EQUAL(end, fixture_snapshot(&fixture));
	}
	CU_ASSERT_EQUAL(stat_of(STAT_COMMITS), 8);
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	CU_ASSERT_TRUE(LOG_IS("k=0", "k=1", "k=2", "k=3", "k=4", "k=5", "k=6", "k=7"));
}

/* ---- the protocol: wounds ---- */

static void a_second_writer_of_the_key_wounds_the_first_which_starts_over(void)
{
	static const char *const points[] = {"commit_reserve", "commit_publish"};

	for (unsigned i = 0; i < 2; i++) {
		struct play play = {.key = "k", .value = "first"};
		struct actor writer;
		uint64_t second;

		actor_start(&writer, points[i], put_it, &play);
		CU_ASSERT_TRUE_FATAL(actor_await(&writer));
		second = fixture_put(&fixture, "k", "second");
		CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "second"));
		actor_finish(&writer);
		CU_ASSERT_EQUAL(play.rc, BWT_OK);
		CU_ASSERT_TRUE(play.end_lsn > second);
		CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "first"));
		CU_ASSERT_TRUE(fixture_get(&fixture, "k", second, "second"));
		CU_ASSERT_EQUAL(stat_of(STAT_WOUNDS), i + 1);
		CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
		testpoint_reset();
	}
	CU_ASSERT_TRUE(LOG_IS("k=second", "k=first", "k=second", "k=first"));
}

static void insert_it(void *arg)
{
	struct play *play = arg;

	play->rc = fixture_commit(&fixture, COMMIT_INSERT, play->key, play->value, &play->end_lsn);
}

static void of_two_inserts_of_one_key_one_succeeds(void)
{
	struct play play = {.key = "k", .value = "first"};
	struct actor writer;

	actor_start(&writer, "commit_publish", insert_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_INSERT, "k", "second", NULL), BWT_OK);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(play.rc, BWT_EXISTS); /* it looked again */
	CU_ASSERT_EQUAL(play.end_lsn, 0);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "second"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	CU_ASSERT_TRUE(LOG_IS("k=second"));
}

static void a_wounded_large_value_is_counted_once(void)
{
	char large[501];
	struct play play = {.key = "k", .value = large};
	struct actor writer;

	memset(large, 'l', 500);
	large[500] = '\0';
	actor_start(&writer, "commit_publish", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	fixture_put(&fixture, "k", "second");
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), 0);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), 500);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, large));
}

static void writers_of_other_keys_of_the_leaf_are_not_disturbed(void)
{
	struct play play = {.key = "a", .value = "first"};
	struct actor writer;

	actor_start(&writer, "commit_publish", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	fixture_put(&fixture, "b", "x");
	fixture_put(&fixture, "c", "x");
	CU_ASSERT_EQUAL(stat_of(STAT_WOUNDS), 0);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(play.rc, BWT_OK);
	CU_ASSERT_TRUE(LOG_IS("a=first", "b=x", "c=x")); /* LSN order, whoever was visible first */
}

static void a_chain_at_its_limit_costs_a_stopped_writer_its_version(void)
{
	struct play play = {.key = "0", .value = "first"};
	struct actor writer;
	char key[8];

	actor_start(&writer, "commit_publish", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	for (unsigned i = 1; i < DELTA_CHAIN_MAX + 10; i++) {
		snprintf(key, sizeof key, "%u", i);
		fixture_put(&fixture, key, "x"); /* nobody waits (C1) */
	}
	actor_finish(&writer);
	CU_ASSERT_EQUAL(play.rc, BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "0", READ_NEWEST, "first"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), DELTA_CHAIN_MAX + 10);
}

/* ---- stopped inside the gate ---- */

static void a_thread_stopped_inside_the_gate_stops_only_the_cut(void)
{
	static const char *const points[] = {"prepend_swap", "commit_reserve", "commit_publish",
	                                     "commit_fill"};
	char key[16];

	for (unsigned i = 0; i < 4; i++) {
		struct play play = {.key = "stopped", .value = "x"};
		struct actor writer;

		actor_start(&writer, points[i], put_it, &play);
		CU_ASSERT_TRUE_FATAL(actor_await(&writer));
		CU_ASSERT_FALSE(gate_close(&fixture.store.epoch,
		                           2 * MS)); /* a checkpoint would try again */
		for (unsigned j = 0; j < 200; j++) {
			snprintf(key, sizeof key, "k%u", j);
			fixture_put(&fixture, key, "y");
			CU_ASSERT_TRUE(fixture_get(&fixture, key, READ_NEWEST, "y"));
			CU_ASSERT_TRUE(fixture_get(&fixture, key, fixture_snapshot(&fixture), "y"));
		}
		actor_finish(&writer);
		CU_ASSERT_EQUAL(play.rc, BWT_OK);
		CU_ASSERT_TRUE(gate_close(&fixture.store.epoch, 1000 * MS));
		gate_open(&fixture.store.epoch);
		testpoint_reset();
	}
}

static void a_published_version_is_seen_before_its_record_is_filled(void)
{
	struct play play = {.key = "k", .value = "new"};
	struct actor writer;
	uint64_t durable;

	actor_start(&writer, "commit_fill", put_it, &play);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "new"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", fixture_snapshot(&fixture), "new"));
	/* It cannot be durable, nor can what comes after it (I3). */
	fixture_put(&fixture, "other", "x");
	CU_ASSERT_EQUAL(wal_flush(fixture.store.wal, true), BWT_OK);
	durable = wal_durable_lsn(fixture.store.wal);
	actor_finish(&writer);
	CU_ASSERT_TRUE(durable < play.end_lsn);
	CU_ASSERT_EQUAL(wal_flush(fixture.store.wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(fixture.store.wal), fixture_snapshot(&fixture));
	CU_ASSERT_TRUE(LOG_IS("k=new", "other=x"));
}

static void a_closed_gate_makes_writers_wait_and_readers_not(void)
{
	struct play play = {.key = "k", .value = "new"};
	struct timespec moment = {0, 5 * (long)MS};
	struct actor writer;
	bool old, early;

	fixture_put(&fixture, "k", "old");
	CU_ASSERT_TRUE_FATAL(gate_close(&fixture.store.epoch, 1000 * MS));
	actor_start(&writer, NULL, put_it, &play);
	nanosleep(&moment, NULL);
	old = fixture_get(&fixture, "k", READ_NEWEST, "old"); /* I10 */
	early = sem_trywait(&writer.arrived) == 0;
	if (early)
		sem_post(&writer.arrived);
	if (gate_open(&fixture.store.epoch)) { /* else this thread stood still for so long that the writer did it */
		CU_ASSERT_TRUE(old);
		CU_ASSERT_FALSE(early);
	}
	actor_finish(&writer);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "new"));
}

/* ---- replay ---- */

static void a_replayed_operation_has_the_lsn_of_its_record(void)
{
	struct bwt_slice key = text_slice("k");
	uint64_t tail = fixture_snapshot(&fixture);

	CU_ASSERT_EQUAL(commit_replay(&fixture.store, fixture.tree, key, 0, "one", 3, 32), BWT_OK);
	CU_ASSERT_EQUAL(commit_replay(&fixture.store, fixture.tree, key, 0, "two", 3, 64), BWT_OK);
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", 32, NULL));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", 33, "one"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", 65, "two"));
	CU_ASSERT_EQUAL(
		commit_replay(&fixture.store, fixture.tree, key, VERSION_TOMBSTONE, NULL, 0, 96),
		BWT_OK);
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 0);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, NULL));
	CU_ASSERT_EQUAL(fixture_snapshot(&fixture), tail); /* nothing is logged again */
}

static void a_replayed_value_reference_out_of_range_is_corrupt(void)
{
	struct value_ref ref = {.segment = 1 << 20, .size = 10};

	CU_ASSERT_EQUAL(commit_replay(&fixture.store, fixture.tree, text_slice("k"), VERSION_VLOG,
	                              &ref, sizeof ref, 32),
	                BWT_CORRUPT);
	ref.segment = 7;
	CU_ASSERT_EQUAL(commit_replay(&fixture.store, fixture.tree, text_slice("k"), VERSION_VLOG,
	                              &ref, sizeof ref, 32),
	                BWT_OK);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 7), 10);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_put_is_there_and_in_the_log),
		TEST(each_kind_asks_for_the_state_that_it_needs),
		TEST(cas_changes_only_what_is_as_expected),
		TEST(the_count_follows_what_is_there),
		TEST(a_durable_commit_is_durable_on_return),
		TEST(what_a_thread_read_is_durable_before_its_snapshot),
		TEST(large_values_go_to_the_value_log_and_are_counted),
		TEST(a_value_at_the_threshold_is_inline),
		TEST(a_store_that_takes_no_writes_says_why),
		TEST(without_memory_for_the_picture_nothing_is_committed),
		TEST(refused_operations_give_their_room_in_the_log_back),
		TEST(a_full_arena_still_takes_deletes),
		TEST(a_snapshot_pushes_a_writer_that_may_hold_an_older_lsn),
		TEST(a_reader_that_does_not_push_is_noticed),
		TEST(a_plain_get_skips_what_is_pending_and_disturbs_nobody),
		TEST(a_snapshot_below_the_floor_need_not_push),
		TEST(a_writer_that_is_pushed_again_and_again_starts_over),
		TEST(a_second_writer_of_the_key_wounds_the_first_which_starts_over),
		TEST(of_two_inserts_of_one_key_one_succeeds),
		TEST(a_wounded_large_value_is_counted_once),
		TEST(writers_of_other_keys_of_the_leaf_are_not_disturbed),
		TEST(a_chain_at_its_limit_costs_a_stopped_writer_its_version),
		TEST(a_thread_stopped_inside_the_gate_stops_only_the_cut),
		TEST(a_published_version_is_seen_before_its_record_is_filled),
		TEST(a_closed_gate_makes_writers_wait_and_readers_not),
		TEST(a_replayed_operation_has_the_lsn_of_its_record),
		TEST(a_replayed_value_reference_out_of_range_is_corrupt),
		CU_TEST_INFO_NULL,
	};

	return suite_run("commit", set_up, tear_down, tests);
}
