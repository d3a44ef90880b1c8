/* SPDX-License-Identifier: MIT */
/* test_changes.c - readers of changes: what comes, in which order, from where, and when no more */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/unit/db/db_fixture.h"

static struct fixture fixture;
static struct bwt_changes *changes;
static struct bwt_change change;
static struct bwt_changes_options reader = {.reader = "follower"};

static void set_up(void)
{
	fixture_new(&fixture);
	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	changes = NULL;
}

static void tear_down(void)
{
	testpoint_reset();
	bwt_changes_close(changes);
	fixture_free(&fixture);
}

static bool is(struct bwt_slice slice, const char *text)
{
	return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

static int next_now(void)
{
	return bwt_changes_next(changes, 0, &change);
}

/* The next change is @kind of @key (and @value) in the main tree. */
static bool came(int kind, const char *key, const char *value, int last)
{
	int rc = next_now();

	if (rc == BWT_OK && change.kind == kind && change.tree == NULL && is(change.key, key) &&
	    change.last == last && (value == NULL || is(change.value, value)))
		return true;
	printf("    %s: kind %d key %.*s value %.*s last %d: %s\n", bwt_strerror(rc), change.kind,
	       (int)change.key.size, (const char *)change.key.data, (int)change.value.size,
	       (const char *)change.value.data, change.last, bwt_detail());
	return false;
}

static void open_reader(uint64_t from, const struct bwt_changes_options *options)
{
	CU_ASSERT_EQUAL_FATAL(bwt_changes_open(fixture.db, from, options, &changes), BWT_OK);
}

static void close_reader(void)
{
	bwt_changes_close(changes);
	changes = NULL;
}

static void checkpoints(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
}

/* As fixture_fill(), a hundred keys a transaction, made durable once. */
static void fill(unsigned from, unsigned to)
{
	struct bwt_txn *txn = NULL;
	char value[190];

	memset(value, 'v', sizeof value);
	for (unsigned i = from; i < to; i++) {
		char key[16];

		snprintf(key, sizeof key, "%08u", i);
		if (txn == NULL)
			CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_TXN_NOSYNC, &txn), BWT_OK);
		CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice(key),
		                        (struct bwt_slice){value, sizeof value}, 0),
		                BWT_OK);
		if (i % 100 != 99 && i + 1 != to)
			continue;
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
		txn = NULL;
	}
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
}

/* @count values of @size bytes under few keys, so that nearly all of them are dead in the end. */
static void overwrite(unsigned count, size_t size)
{
	char *value = malloc(size);
	struct bwt_txn *txn;

	for (unsigned i = 0; i < count; i++) {
		char key[16];

		memset(value, (int)('a' + i % 26), size);
		snprintf(key, sizeof key, "%03u", i % 5);
		CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_TXN_NOSYNC, &txn), BWT_OK);
		CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice(key),
		                        (struct bwt_slice){value, size}, 0),
		                BWT_OK);
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
		if (i % 100 == 99)
			checkpoints(1);
	}
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	free(value);
}

/* ---- what comes ---- */

static void changes_come_in_the_order_of_their_commits(void)
{
	struct bwt_slice key = text_slice("a"), value = text_slice("1");
	struct bwt_txn *txn;
	bwt_lsn lsn;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "b", "2"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, key), BWT_OK);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "a", "1", 1));
	CU_ASSERT_EQUAL(change.lsn, lsn);
	CU_ASSERT_EQUAL(bwt_changes_position(changes), lsn);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "b", "2", 1));
	CU_ASSERT_TRUE(change.lsn > lsn);
	CU_ASSERT_TRUE(came(BWT_CHANGE_DELETE, "a", "", 1));
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_changes_position(changes), bwt_durable_lsn(fixture.db));
}

static void a_transaction_comes_whole_and_its_last_change_says_so(void)
{
	struct bwt_txn *txn;
	bwt_lsn before;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "before", "1"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("b"), text_slice("2"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("a"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, txn, text_slice("before")), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "before", "1", 1));
	before = bwt_changes_position(changes);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "a", "1", 0));
	CU_ASSERT_EQUAL(bwt_changes_position(changes), before); /* not in the middle */
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "b", "2", 0));
	CU_ASSERT_TRUE(came(BWT_CHANGE_DELETE, "before", "", 1));
	CU_ASSERT_EQUAL(bwt_changes_position(changes), change.lsn);
}

static void nothing_comes_that_a_crash_could_take_back(void)
{
	struct bwt_txn *txn;
	bwt_lsn lsn;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_TXN_NOSYNC, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("a"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) < lsn);
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	/* Who waits for it makes it durable. */
	CU_ASSERT_EQUAL(bwt_changes_next(changes, 10000, &change), BWT_OK);
	CU_ASSERT_EQUAL(change.lsn, lsn);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) >= lsn);
}

static void large_values_come_as_they_were_though_collected_since(void)
{
	const unsigned count = 1000;

	open_reader(0, &reader);
	overwrite(count, 5000);
	checkpoints(4);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).value_files_freed, 0);
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *bytes;

		CU_ASSERT_EQUAL_FATAL(next_now(), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(change.value.size, 5000);
		bytes = change.value.data;
		CU_ASSERT_EQUAL(bytes[0], 'a' + i % 26);
		CU_ASSERT_EQUAL(bytes[4999], 'a' + i % 26);
	}
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	/* What was acknowledged goes. */
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, bwt_changes_position(changes)), BWT_OK);
	checkpoints(3);
	CU_ASSERT_TRUE(fixture_stats(&fixture).value_files_freed > 0);
}

static void put_many(struct bwt_txn *txn, unsigned count, char fill)
{
	char value[190];

	memset(value, fill, sizeof value);
	for (unsigned i = 0; i < count; i++) {
		char key[16];

		snprintf(key, sizeof key, "%06u", i);
		CU_ASSERT_EQUAL_FATAL(bwt_put(fixture.tree, txn, text_slice(key),
		                              (struct bwt_slice){value, sizeof value}, 0),
		                      BWT_OK);
	}
}

/* Its parts lie before what was committed while it ran, and before checkpoints. */
static bool beside(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	checkpoints(3);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "beside", "1"), BWT_OK);
	checkpoints(3);
	return false;
}

static void a_large_transaction_comes_at_its_commit(void)
{
	const unsigned count = 20000;
	struct bwt_txn *txn;
	uint64_t lsn;

	open_reader(0, &reader);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	put_many(txn, count, 'x');
	testpoint_set("txn_decide", 1, beside, NULL);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "after", "1"), BWT_OK);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "beside", "1", 1));
	/* It keeps the parts although it has seen what lies behind them. */
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, bwt_changes_position(changes)), BWT_OK);
	checkpoints(4);
	fill(0, 20000);
	checkpoints(4);
	CU_ASSERT_EQUAL_FATAL(next_now(), BWT_OK);
	lsn = change.lsn;
	for (unsigned i = 1; i < count; i++) {
		CU_ASSERT_FALSE(change.last);
		CU_ASSERT_EQUAL_FATAL(next_now(), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(change.lsn, lsn);
		CU_ASSERT_EQUAL(change.value.size, 190);
	}
	CU_ASSERT_TRUE(change.last);
	CU_ASSERT_TRUE(is(change.key, "019999"));
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "after", "1", 1));
}

static void a_large_transaction_that_is_aborted_never_comes(void)
{
	struct bwt_txn *txn;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	put_many(txn, 20000, 'x');
	CU_ASSERT_EQUAL(fixture_put(&fixture, "019999", "first"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_CONFLICT);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "after", "1"), BWT_OK);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "019999", "first", 1));
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "after", "1", 1));
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
}

static void trees_come_by_name_also_those_that_are_gone(void)
{
	struct bwt_tree *tree;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "birds", BWT_CREATE, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("owl"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "birds"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "birds", BWT_CREATE, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("jay"), text_slice("2"), 0), BWT_OK);
	open_reader(0, NULL);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(change.kind, BWT_CHANGE_TREE_CREATE);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_TRUE(change.last);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_TRUE(is(change.key, "owl"));
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(change.kind, BWT_CHANGE_TREE_DROP);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(change.kind, BWT_CHANGE_TREE_CREATE);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_TRUE(is(change.key, "jay"));
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
}

static void the_name_of_a_dropped_tree_is_found_behind_where_one_begins(void)
{
	struct bwt_tree *birds, *fish;
	bwt_lsn from;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "birds", BWT_CREATE, &birds), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "fish", BWT_CREATE, &fish), BWT_OK);
	from = bwt_durable_lsn(fixture.db);
	CU_ASSERT_EQUAL(bwt_put(birds, NULL, text_slice("owl"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fish, NULL, text_slice("eel"), text_slice("2"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "fish"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "birds"), BWT_OK);
	open_reader(from, NULL);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_STRING_EQUAL(change.tree, "fish");
}

static void put_stopped(void *arg)
{
	*(int *)arg = fixture_put(&fixture, "stopped", "1");
}

static void read_next(void *arg)
{
	*(int *)arg = next_now();
}

/* The record of the drop lies behind one that is not filled yet. */
static void the_name_of_a_dropped_tree_is_waited_for(void)
{
	struct actor writer, follower;
	struct bwt_tree *birds;
	int put_rc = 1, next_rc = 1;
	bwt_lsn from;

	fixture_close(&fixture);
	fixture.options.durability = BWT_NONE; /* a drop waits for nobody */
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "birds", BWT_CREATE, &birds), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	from = bwt_durable_lsn(fixture.db);
	CU_ASSERT_EQUAL(bwt_put(birds, NULL, text_slice("owl"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	open_reader(from, NULL);
	actor_start(&writer, "commit_fill", put_stopped, &put_rc);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "birds"), BWT_OK);
	actor_start(&follower, NULL, read_next, &next_rc);
	usleep(50000); /* it has met the hole, if it ever does */
	actor_finish(&writer);
	actor_finish(&follower);
	CU_ASSERT_EQUAL(put_rc, BWT_OK);
	CU_ASSERT_EQUAL_FATAL(next_rc, BWT_OK);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_TRUE(is(change.key, "owl"));
}

static void a_tree_that_was_loaded_comes_without_its_pairs(void)
{
	struct bwt_bulk *bulk;
	struct bwt_tree *tree;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, "birds", 0, &bulk), BWT_OK);
	CU_ASSERT_EQUAL(bwt_bulk_put(bulk, text_slice("jay"), text_slice("1")), BWT_OK);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("owl"), text_slice("2"), 0), BWT_OK);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(change.kind, BWT_CHANGE_TREE_LOAD);
	CU_ASSERT_STRING_EQUAL(change.tree, "birds");
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_TRUE(is(change.key, "owl"));
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
}

static void a_filter_lets_one_tree_and_one_prefix_through(void)
{
	struct bwt_changes_options options = {.prefix = text_slice("ow")};
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "birds", BWT_CREATE, &options.tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(options.tree, txn, text_slice("owl"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(options.tree, txn, text_slice("o"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(options.tree, txn, text_slice("zoo"), text_slice("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("owl"), text_slice("2"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "owl", "3"), BWT_OK);
	open_reader(0, &options);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(change.kind, BWT_CHANGE_TREE_CREATE);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_TRUE(is(change.key, "owl"));
	CU_ASSERT_TRUE(is(change.value, "1"));
	CU_ASSERT_TRUE(change.last);
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	/* It has seen the rest, too. */
	CU_ASSERT_EQUAL(bwt_changes_position(changes), bwt_durable_lsn(fixture.db));
}

/* ---- from where ---- */

static void a_snapshot_and_what_comes_behind_it_are_everything(void)
{
	struct bwt_txn *txn;
	bwt_lsn from;

	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	checkpoints(3);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "b", "1"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	from = bwt_txn_snapshot(txn);
	CU_ASSERT_TRUE(fixture_has(&fixture, txn, "b", "1"));
	open_reader(from, NULL);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "c", "1"), BWT_OK);
	CU_ASSERT_FALSE(fixture_has(&fixture, txn, "c", "1"));
	bwt_abort(txn);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "c", "1", 1));
}

static void changes_come_again_with_the_same_lsns_over_a_restart(void)
{
	uint64_t lsn[3];

	open_reader(0, &reader);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(fixture_put(&fixture, "key", "1"), BWT_OK);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(next_now(), BWT_OK);
		lsn[i] = change.lsn;
	}
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, lsn[0]), BWT_OK);
	close_reader();
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "key", "2"), BWT_OK);
	checkpoints(3);
	fixture_reopen(&fixture);
	/* Where it stands, and from a place of its own choice. */
	for (unsigned from = 0; from < 2; from++) {
		open_reader(from == 0 ? 0 : lsn[0], &reader);
		CU_ASSERT_EQUAL(bwt_changes_position(changes), lsn[0]);
		CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "key", "1", 1));
		CU_ASSERT_EQUAL(change.lsn, lsn[1]);
		CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "key", "1", 1));
		CU_ASSERT_EQUAL(change.lsn, lsn[2]);
		CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "key", "2", 1));
		CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
		close_reader();
	}
}

static void who_begins_too_far_back_is_told_so(void)
{
	bwt_lsn early = bwt_durable_lsn(fixture.db);

	fill(0, 20000);
	checkpoints(3);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, NULL, &changes), BWT_TRIMMED);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, early, &reader, &changes), BWT_TRIMMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "complete from LSN"));
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, early, &reader, &changes), BWT_TRIMMED);
	open_reader(bwt_durable_lsn(fixture.db), &reader);
}

static void places_that_are_none_are_refused(void)
{
	struct bwt_changes_options options = {.reader = ""};
	char name[300];
	bwt_lsn lsn;

	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "b", "1"), BWT_OK);
	lsn = bwt_durable_lsn(fixture.db);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, lsn + 16, NULL, &changes), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, lsn - 16, NULL, &changes), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, lsn - 1, &reader, &changes), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_open(NULL, 0, NULL, &changes), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &options, &changes), BWT_INVALID);
	memset(name, 'n', sizeof name);
	name[256] = '\0';
	options.reader = name;
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &options, &changes), BWT_INVALID);
	options = (struct bwt_changes_options){.prefix = {name, BWT_KEY_MAX + 1}};
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &options, &changes), BWT_TOO_BIG);
	options.prefix = (struct bwt_slice){NULL, 1};
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &options, &changes), BWT_INVALID);
	/* None of them has left a reader behind. */
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 0);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, "follower"), BWT_NOT_FOUND);
}

static void a_tree_of_another_store_is_refused(void)
{
	struct bwt_changes_options options = {0};
	struct fixture other;

	fixture_new(&other);
	fixture_open(&other);
	options.tree = other.tree;
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &options, &changes), BWT_INVALID);
	fixture_free(&other);
}

static void a_place_that_a_crash_took_back_is_refused(void)
{
	struct bwt_txn *txn;
	bwt_lsn lost;
	pid_t child;
	int status, results[2];

	fixture_close(&fixture);
	CU_ASSERT_EQUAL_FATAL(pipe(results), 0);
	child = fork();
	if (child == 0) {
		fixture.options.checkpoint_interval_ms = UINT32_MAX;
		if (bwt_open(fixture.path, &fixture.options, &fixture.db) != BWT_OK ||
		    bwt_tree_open(fixture.db, NULL, 0, &fixture.tree) != BWT_OK)
			_exit(1);
		fixture_put(&fixture, "durable", "1");
		bwt_begin(fixture.db, BWT_TXN_NOSYNC, &txn);
		bwt_put(fixture.tree, txn, text_slice("a"), text_slice("1"), 0);
		bwt_commit_async(txn, &lost);
		_exit(write(results[1], &lost, sizeof lost) != sizeof lost);
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(read(results[0], &lost, sizeof lost), sizeof lost);
	close(results[0]);
	close(results[1]);
	fixture_open(&fixture);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) > lost);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, lost, NULL, &changes), BWT_INVALID);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "no place between two records"));
}

/* A child begins there by name, and dies before the log was written. */
static void what_a_name_stands_behind_outlives_a_crash(void)
{
	pid_t child;
	int status;

	fixture_close(&fixture);
	child = fork();
	if (child == 0) {
		struct bwt_txn *txn;
		bwt_lsn from = 0;

		if (bwt_open(fixture.path, &fixture.options, &fixture.db) != BWT_OK ||
		    bwt_tree_open(fixture.db, NULL, 0, &fixture.tree) != BWT_OK)
			_exit(1);
		bwt_begin(fixture.db, BWT_TXN_NOSYNC, &txn);
		put_many(txn, 100, 'x'); /* more than a block of the log */
		bwt_commit_async(txn, &from);
		_exit(bwt_changes_open(fixture.db, from, &reader, &changes) != BWT_OK);
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "new", "1"), BWT_OK);
	open_reader(0, &reader);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "new", "1", 1));
}

/* ---- who ---- */

static int see_reader(void *ctx, const struct bwt_changes_reader *seen)
{
	*(struct bwt_changes_reader *)ctx = *seen;
	return 7;
}

static void readers_are_listed_and_forgotten(void)
{
	struct bwt_changes_reader seen = {0};
	struct bwt_changes *second;

	open_reader(0, &reader);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &reader, &second), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_changes_list(fixture.db, see_reader, &seen), 7);
	CU_ASSERT_TRUE(seen.open);
	CU_ASSERT_FALSE(seen.lost);
	CU_ASSERT_EQUAL(seen.behind, 0);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, "follower"), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_BUSY);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	close_reader();
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 1);
	CU_ASSERT_TRUE(fixture_stats(&fixture).changes_lsn < bwt_durable_lsn(fixture.db));
	CU_ASSERT_EQUAL(bwt_changes_list(fixture.db, see_reader, &seen), 7);
	CU_ASSERT_FALSE(seen.open);
	CU_ASSERT_TRUE(seen.behind > 0);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, "nobody"), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, "follower"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_changes_list(fixture.db, see_reader, &seen), BWT_OK);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 0);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, ""), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_forget(NULL, "x"), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_list(fixture.db, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_list(NULL, see_reader, NULL), BWT_INVALID);
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 0);
}

static void there_are_at_most_64_readers(void)
{
	struct bwt_changes *many[64];

	for (unsigned i = 0; i < 64; i++)
		CU_ASSERT_EQUAL_FATAL(bwt_changes_open(fixture.db, 0, NULL, &many[i]), BWT_OK);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, NULL, &changes), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &reader, &changes), BWT_BUSY);
	for (unsigned i = 0; i < 64; i++)
		bwt_changes_close(many[i]);
	open_reader(0, &reader);
}

static void acknowledgements_beyond_what_was_handed_out_are_refused(void)
{
	bwt_lsn first;

	open_reader(0, &reader);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, bwt_durable_lsn(fixture.db)), BWT_INVALID);
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	first = change.lsn;
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, first), BWT_OK);
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, first - 16), BWT_OK); /* nothing happens */
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_lsn, first);
	CU_ASSERT_EQUAL(bwt_changes_ack(NULL, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_position(NULL), 0);
	CU_ASSERT_EQUAL(bwt_changes_next(NULL, 0, &change), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_next(changes, 0, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_changes_fd(NULL), BWT_INVALID);
	bwt_changes_close(NULL);
}

static void a_read_only_store_has_no_readers(void)
{
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY | BWT_NO_URING;
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, NULL, &changes), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_changes_forget(fixture.db, "follower"), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_changes_list(fixture.db, see_reader, NULL), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 0);
}

static void a_forked_child_gets_errors_only(void)
{
	pid_t child;
	int status;

	open_reader(0, &reader);
	child = fork();
	if (child == 0) {
		bool good = next_now() == BWT_INVALID && bwt_changes_fd(changes) == BWT_INVALID &&
		            bwt_changes_ack(changes, 0) == BWT_INVALID &&
		            bwt_changes_position(changes) == 0;

		bwt_changes_close(changes);
		_exit(!good);
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
}

/* ---- what is kept, and how long ---- */

static void the_log_is_kept_for_a_reader_that_is_away(void)
{
	uint64_t before, kept;

	open_reader(0, &reader);
	close_reader();
	before = fixture_stats(&fixture).wal_bytes;
	fill(0, 60000);
	checkpoints(4);
	kept = fixture_stats(&fixture).wal_bytes;
	CU_ASSERT_TRUE(kept > before + 8000000);
	fixture_reopen(&fixture);
	open_reader(0, &reader);
	for (unsigned i = 0; i < 60000; i++) {
		char key[16];

		snprintf(key, sizeof key, "%08u", i);
		CU_ASSERT_EQUAL_FATAL(next_now(), BWT_OK);
		CU_ASSERT_TRUE_FATAL(is(change.key, key));
	}
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, change.lsn), BWT_OK);
	checkpoints(3);
	CU_ASSERT_TRUE(fixture_stats(&fixture).wal_bytes < kept - 4000000);
}

static void a_reader_without_a_name_keeps_what_it_has_not_read(void)
{
	open_reader(0, NULL);
	fill(0, 20000);
	checkpoints(4);
	for (unsigned i = 0; i < 20000; i++)
		CU_ASSERT_EQUAL_FATAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_lsn, bwt_durable_lsn(fixture.db));
}

static void who_would_keep_more_than_the_limit_is_cut_off(void)
{
	struct bwt_changes_reader seen = {0};

	fixture_close(&fixture);
	fixture.options.changes_keep_bytes = (uint64_t)1 << 20;
	fixture_open(&fixture);
	open_reader(0, &reader);
	fill(0, 2000);
	checkpoints(3);
	do {
		CU_ASSERT_EQUAL_FATAL(next_now(), BWT_OK); /* within it */
	} while (!change.last);
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, bwt_changes_position(changes)), BWT_OK);
	fill(2000, 40000);
	checkpoints(3);
	CU_ASSERT_EQUAL(next_now(), BWT_TRIMMED);
	CU_ASSERT_EQUAL(next_now(), BWT_TRIMMED);
	CU_ASSERT_EQUAL(bwt_changes_ack(changes, bwt_changes_position(changes)), BWT_TRIMMED);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_cut_off, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(fixture.said, "cut off"));
	close_reader();
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(bwt_changes_list(fixture.db, see_reader, &seen), 7);
	CU_ASSERT_TRUE(seen.lost);
	CU_ASSERT_EQUAL(bwt_changes_open(fixture.db, 0, &reader, &changes), BWT_TRIMMED);
	/* With the data copied anew it comes back. */
	open_reader(bwt_durable_lsn(fixture.db), &reader);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "again", "1"), BWT_OK);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "again", "1", 1));
}

static void values_count_for_the_limit_too(void)
{
	fixture_close(&fixture);
	fixture.options.changes_keep_bytes = (uint64_t)4 << 20;
	fixture_open(&fixture);
	open_reader(0, &reader);
	overwrite(600, 20000);
	checkpoints(4);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_cut_off, 1);
	CU_ASSERT_TRUE(fixture_stats(&fixture).vlog_bytes < (uint64_t)6 << 20);
	CU_ASSERT_EQUAL(next_now(), BWT_TRIMMED);
}

static void with_nothing_to_be_kept_readers_follow_what_is_there(void)
{
	fixture_close(&fixture);
	fixture.options.changes_keep_bytes = (uint64_t)BWT_OFF;
	fixture_open(&fixture);
	open_reader(0, &reader);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	checkpoints(1);
	CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "a", "1", 1));
}

/* The tests above would find it if something went that is kept. */
static void what_goes_too_early_is_found_missing(void)
{
	int rc;

	open_reader(0, &reader);
	testpoint_set("wal_keep_nothing", 0, NULL, NULL);
	fill(0, 40000);
	checkpoints(4);
	CU_ASSERT_EQUAL(next_now(), BWT_INVALID); /* nothing was read yet: it may be no place at all */
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "no place"));
	close_reader();
	testpoint_reset();
	open_reader(bwt_durable_lsn(fixture.db), NULL);
	testpoint_set("value_unlink_unread", 0, NULL, NULL);
	overwrite(1000, 5000);
	checkpoints(4);
	while ((rc = next_now()) == BWT_OK)
		continue;
	CU_ASSERT_EQUAL(rc, BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "missing"));
}

/* ---- waiting ---- */

static void *put_later(void *ctx)
{
	(void)ctx;
	usleep(20000);
	fixture_put(&fixture, "later", "1");
	return NULL;
}

static void who_waits_is_woken_by_the_next_commit(void)
{
	pthread_t thread;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(bwt_changes_next(changes, 1, &change), BWT_NOT_FOUND);
	pthread_create(&thread, NULL, put_later, NULL);
	CU_ASSERT_EQUAL(bwt_changes_next(changes, -1, &change), BWT_OK);
	CU_ASSERT_TRUE(is(change.key, "later"));
	pthread_join(thread, NULL);
}

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void the_descriptor_is_readable_until_nothing_is_left(void)
{
	int fd;

	open_reader(0, NULL);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	fd = bwt_changes_fd(changes);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(bwt_changes_fd(changes), fd);
	CU_ASSERT_TRUE(readable(fd));
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	CU_ASSERT_FALSE(readable(fd));
	CU_ASSERT_EQUAL(fixture_put(&fixture, "b", "1"), BWT_OK);
	CU_ASSERT_TRUE(readable(fd));
	CU_ASSERT_EQUAL(next_now(), BWT_OK);
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	CU_ASSERT_FALSE(readable(fd));
}

/* A transaction of three changes, between the reader's two looks. */
static bool three_more(void *ctx, const char *name, uint64_t hit)
{
	struct bwt_txn *txn;

	(void)ctx;
	(void)name;
	(void)hit;
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	put_many(txn, 3, 'x');
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	return false;
}

static void what_comes_before_the_descriptor_is_cleared_leaves_it_readable(void)
{
	int fd;

	open_reader(0, NULL);
	fd = bwt_changes_fd(changes);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	testpoint_set("changes_clear", 1, three_more, NULL);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(next_now(), BWT_OK);
		CU_ASSERT_EQUAL(change.last, i == 2);
		CU_ASSERT_TRUE(readable(fd));
	}
	CU_ASSERT_EQUAL(next_now(), BWT_NOT_FOUND);
	CU_ASSERT_FALSE(readable(fd));
}

static void a_store_that_does_not_sync_lets_a_waiting_reader_have_it_all_the_same(void)
{
	fixture_close(&fixture);
	fixture.options.durability = BWT_NONE;
	fixture.options.sync_interval_ms = 1;
	fixture_open(&fixture);
	open_reader(0, NULL);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_changes_next(changes, 10000, &change), BWT_OK);
	CU_ASSERT_TRUE(is(change.key, "a"));
}

/* ---- damage ---- */

static void a_register_of_which_one_copy_is_damaged_is_whole(void)
{
	char path[sizeof fixture.path + 32];

	open_reader(0, &reader);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	close_reader();
	snprintf(path, sizeof path, "%s/wal/readers", fixture.path);
	for (unsigned copy = 0; copy < 2; copy++) {
		uint8_t flip;
		FILE *file;

		fixture_close(&fixture);
		file = fopen(path, "r+");
		CU_ASSERT_PTR_NOT_NULL_FATAL(file);
		fseek(file, (long)copy * 20480 + 60, SEEK_SET);
		flip = (uint8_t)(fgetc(file) ^ 0x10);
		fseek(file, (long)copy * 20480 + 60, SEEK_SET);
		fputc(flip, file);
		fclose(file);
		fixture.said[0] = '\0';
		fixture_open(&fixture);
		CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 1);
		CU_ASSERT_EQUAL(fixture.said[0], '\0');
		open_reader(0, &reader); /* writes the damaged one anew */
		CU_ASSERT_TRUE(came(BWT_CHANGE_PUT, "a", "1", 1));
		close_reader();
	}
}

static void a_register_that_cannot_be_read_is_an_empty_one_and_said_so(void)
{
	char path[sizeof fixture.path + 32];
	FILE *file;

	open_reader(0, &reader);
	close_reader();
	fixture_close(&fixture);
	snprintf(path, sizeof path, "%s/wal/readers", fixture.path);
	file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs("no register", file);
	fclose(file);
	fixture_open(&fixture);
	CU_ASSERT_PTR_NOT_NULL(strstr(fixture.said, "readers"));
	CU_ASSERT_EQUAL(fixture_stats(&fixture).changes_readers, 0);
	open_reader(bwt_durable_lsn(fixture.db), &reader);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(changes_come_in_the_order_of_their_commits),
		TEST(a_transaction_comes_whole_and_its_last_change_says_so),
		TEST(nothing_comes_that_a_crash_could_take_back),
		TEST(large_values_come_as_they_were_though_collected_since),
		TEST(a_large_transaction_comes_at_its_commit),
		TEST(a_large_transaction_that_is_aborted_never_comes),
		TEST(trees_come_by_name_also_those_that_are_gone),
		TEST(the_name_of_a_dropped_tree_is_found_behind_where_one_begins),
		TEST(the_name_of_a_dropped_tree_is_waited_for),
		TEST(a_tree_that_was_loaded_comes_without_its_pairs),
		TEST(a_filter_lets_one_tree_and_one_prefix_through),
		TEST(a_snapshot_and_what_comes_behind_it_are_everything),
		TEST(changes_come_again_with_the_same_lsns_over_a_restart),
		TEST(who_begins_too_far_back_is_told_so),
		TEST(places_that_are_none_are_refused),
		TEST(a_tree_of_another_store_is_refused),
		TEST(a_place_that_a_crash_took_back_is_refused),
		TEST(what_a_name_stands_behind_outlives_a_crash),
		TEST(readers_are_listed_and_forgotten),
		TEST(there_are_at_most_64_readers),
		TEST(acknowledgements_beyond_what_was_handed_out_are_refused),
		TEST(a_read_only_store_has_no_readers),
		TEST(a_forked_child_gets_errors_only),
		TEST(the_log_is_kept_for_a_reader_that_is_away),
		TEST(a_reader_without_a_name_keeps_what_it_has_not_read),
		TEST(who_would_keep_more_than_the_limit_is_cut_off),
		TEST(values_count_for_the_limit_too),
		TEST(with_nothing_to_be_kept_readers_follow_what_is_there),
		TEST(what_goes_too_early_is_found_missing),
		TEST(who_waits_is_woken_by_the_next_commit),
		TEST(the_descriptor_is_readable_until_nothing_is_left),
		TEST(what_comes_before_the_descriptor_is_cleared_leaves_it_readable),
		TEST(a_store_that_does_not_sync_lets_a_waiting_reader_have_it_all_the_same),
		TEST(a_register_of_which_one_copy_is_damaged_is_whole),
		TEST(a_register_that_cannot_be_read_is_an_empty_one_and_said_so),
		CU_TEST_INFO_NULL,
	};

	return suite_run("changes", set_up, tear_down, tests);
}
