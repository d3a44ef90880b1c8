/* SPDX-License-Identifier: MIT */
/* txn_rules.c - what one transaction sees of its own and of others, and what its handles refuse */
#include "tests/txn/play.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned levels[] = {0, BWT_READ_COMMITTED, BWT_SERIALIZABLE};

/* ---- own reads, and nobody else's ---- */

static void a_transaction_reads_what_it_wrote_and_publishes_it_at_commit(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *txn = begin(levels[i]);
		uint64_t before = key_count();

		put(txn, "k", "1");
		CU_ASSERT_TRUE(has(txn, "k", "1"));
		CU_ASSERT_TRUE(has(NULL, "k", NULL));
		CU_ASSERT_EQUAL(key_count(), before);
		put(txn, "k", "2");
		CU_ASSERT_TRUE(has(txn, "k", "2"));
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
		CU_ASSERT_TRUE(has(NULL, "k", "2"));
		CU_ASSERT_EQUAL(key_count(), before + 1);
		CU_ASSERT_EQUAL(try_delete(NULL, "k"), BWT_OK);
	}
}

static void an_aborted_transaction_leaves_nothing(void)
{
	put(NULL, "old", "1");
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *txn = begin(levels[i]);

		put(txn, "old", "2");
		put(txn, "new", "1");
		CU_ASSERT_EQUAL(try_delete(txn, "old"), BWT_OK);
		bwt_abort(txn);
		CU_ASSERT_STRING_EQUAL(walk(NULL), "old=1");
		CU_ASSERT_EQUAL(key_count(), 1);
	}
	play_reopen();
	CU_ASSERT_STRING_EQUAL(walk(NULL), "old=1");
}

static void a_deleted_key_is_gone_for_its_transaction_first(void)
{
	struct bwt_txn *txn;

	put(NULL, "a", "1");
	put(NULL, "b", "2");
	txn = begin(0);
	CU_ASSERT_EQUAL(try_delete(txn, "a"), BWT_OK);
	CU_ASSERT_TRUE(has(txn, "a", NULL));
	CU_ASSERT_EQUAL(try_delete(txn, "a"), BWT_NOT_FOUND);
	CU_ASSERT_TRUE(has(NULL, "a", "1"));
	put(txn, "c", "3");
	CU_ASSERT_EQUAL(try_delete(txn, "c"), BWT_OK); /* its own */
	CU_ASSERT_EQUAL(try_delete(txn, "c"), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "b=2");
	CU_ASSERT_EQUAL(key_count(), 1);
}

static void a_snapshot_does_not_move_but_read_committed_does(void)
{
	struct bwt_txn *still = begin(0), *strict = begin(BWT_SERIALIZABLE);
	struct bwt_txn *moving = begin(BWT_READ_COMMITTED);

	put(NULL, "k", "1");
	CU_ASSERT_TRUE(has(still, "k", NULL));
	CU_ASSERT_TRUE(has(strict, "k", NULL));
	CU_ASSERT_TRUE(has(moving, "k", "1"));
	CU_ASSERT_STRING_EQUAL(walk(still), "");
	CU_ASSERT_STRING_EQUAL(walk(moving), "k=1");
	put(NULL, "k", "2");
	CU_ASSERT_TRUE(has(still, "k", NULL));
	CU_ASSERT_TRUE(has(moving, "k", "2"));
	CU_ASSERT_NOT_EQUAL(bwt_txn_snapshot(still), 0);
	CU_ASSERT_EQUAL(bwt_txn_snapshot(moving), 0);
	CU_ASSERT_EQUAL(bwt_commit(still), BWT_OK); /* it only read */
	CU_ASSERT_EQUAL(bwt_commit(moving), BWT_OK);
	bwt_abort(strict);
}

static void a_read_write_transaction_begins_at_the_newest_commit(void)
{
	struct bwt_txn *quick = begin(BWT_TXN_NOSYNC), *txn;

	put(quick, "k", "1");
	CU_ASSERT_EQUAL(bwt_commit(quick), BWT_OK); /* perhaps not durable yet */
	txn = begin(0);
	CU_ASSERT_TRUE(has(txn, "k", "1"));
	bwt_abort(txn);
	txn = begin(BWT_NEWEST); /* allowed and idle */
	CU_ASSERT_TRUE(has(txn, "k", "1"));
	put(txn, "k", "2");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void one_transaction_changes_several_trees_at_once(void)
{
	struct bwt_tree *first, *second;
	struct bwt_txn *txn, *reader;

	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(play.db, "first", BWT_CREATE, &first), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(play.db, "second", BWT_CREATE, &second), BWT_OK);
	reader = begin(BWT_RDONLY | BWT_NEWEST);
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_put(first, txn, text("k"), text("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(second, txn, text("k"), text("2"), 0), BWT_OK);
	put(txn, "k", "0");
	CU_ASSERT_STRING_EQUAL(walk_tree(first, txn, true), "k=1");
	CU_ASSERT_STRING_EQUAL(walk_tree(second, txn, false), "k=2");
	CU_ASSERT_STRING_EQUAL(walk(txn), "k=0");
	CU_ASSERT_STRING_EQUAL(walk_tree(second, NULL, true), "");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk_tree(first, NULL, true), "k=1");
	CU_ASSERT_STRING_EQUAL(walk_tree(second, NULL, true), "k=2");
	CU_ASSERT_STRING_EQUAL(walk_tree(second, reader, true), "");
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=0");
	CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	play_reopen();
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(play.db, "second", 0, &second), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk_tree(second, NULL, true), "k=2");
}

/* ---- conditional writes ---- */

static void insert_and_update_ask_what_the_transaction_sees(void)
{
	struct bwt_txn *txn;

	put(NULL, "there", "1");
	txn = begin(0);
	CU_ASSERT_EQUAL(try_put(txn, "there", "x", BWT_INSERT), BWT_EXISTS);
	CU_ASSERT_EQUAL(try_put(txn, "absent", "x", BWT_UPDATE), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(try_put(txn, "absent", "2", BWT_INSERT), BWT_OK);
	CU_ASSERT_EQUAL(try_put(txn, "absent", "x", BWT_INSERT), BWT_EXISTS); /* its own */
	CU_ASSERT_EQUAL(try_put(txn, "absent", "3", BWT_UPDATE), BWT_OK);
	CU_ASSERT_EQUAL(try_delete(txn, "there"), BWT_OK);
	CU_ASSERT_EQUAL(try_put(txn, "there", "x", BWT_UPDATE), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(try_put(txn, "there", "4", BWT_INSERT), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "absent=3 there=4");
	CU_ASSERT_EQUAL(key_count(), 2);
}

static void cas_compares_with_what_the_transaction_sees(void)
{
	struct bwt_slice one = text("1"), two = text("2"), three = text("3");
	struct bwt_txn *txn;

	put(NULL, "k", "1");
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &two, &three), BWT_MISMATCH);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), NULL, &three), BWT_MISMATCH);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &one, &two), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &one, &three), BWT_MISMATCH);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &two, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &two, NULL), BWT_MISMATCH);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), NULL, &three), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("n"), NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK); /* a mismatch leaves it usable */
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=3");
}

/* It asks for absence alone, and that is what its snapshot shows. */
static void cas_that_only_asks_is_no_conflict(void)
{
	static const unsigned flags[] = {0, BWT_READ_COMMITTED};

	for (unsigned i = 0; i < COUNT_OF(flags); i++) {
		struct bwt_txn *txn = begin(flags[i]);

		put(NULL, "n", "1");
		CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("n"), NULL, NULL),
		                flags[i] == 0 ? BWT_OK : BWT_MISMATCH);
		put(txn, "k", "1");
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
		CU_ASSERT_EQUAL(try_delete(NULL, "n"), BWT_OK);
	}
}

static void cas_compares_large_values_too(void)
{
	char *large = malloc(100000);
	struct bwt_slice before = {large, 100000}, after = text("small");
	struct bwt_txn *txn;

	memset(large, 'x', 100000);
	CU_ASSERT_EQUAL(bwt_put(play.tree, NULL, text("k"), before, 0), BWT_OK);
	txn = begin(0);
	large[50000] = 'y';
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &before, &after), BWT_MISMATCH);
	large[50000] = 'x';
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &before, &after), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &after, &before), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &before, &before), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	free(large);
}

static void get_many_shows_own_writes_over_the_snapshot(void)
{
	struct bwt_slice keys[] = {text("c"), text("a"), text("d"), text("b"), text("a")};
	struct bwt_buf values[5];
	int results[5] = {1, 1, 1, 1, 1};
	struct bwt_txn *txn;

	memset(values, 0, sizeof values);
	put(NULL, "a", "1");
	put(NULL, "b", "2");
	txn = begin(0);
	put(txn, "a", "10");
	put(txn, "c", "30");
	CU_ASSERT_EQUAL(try_delete(txn, "b"), BWT_OK);
	put(NULL, "d", "4"); /* too late for it */
	CU_ASSERT_EQUAL(bwt_get_many(play.tree, txn, 5, keys, values, results), BWT_OK);
	CU_ASSERT_EQUAL(results[0], BWT_OK);
	CU_ASSERT_EQUAL(results[1], BWT_OK);
	CU_ASSERT_EQUAL(results[2], BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(results[3], BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(results[4], BWT_OK);
	CU_ASSERT_TRUE(values[0].size == 2 && memcmp(values[0].data, "30", 2) == 0);
	CU_ASSERT_TRUE(values[1].size == 2 && memcmp(values[1].data, "10", 2) == 0);
	CU_ASSERT_EQUAL(values[2].size, 0);
	CU_ASSERT_EQUAL(values[3].size, 0);
	memset(results, 1, sizeof results);
	CU_ASSERT_EQUAL(bwt_get_many(play.tree, txn, 5, keys, NULL, results), BWT_OK);
	CU_ASSERT_EQUAL(results[2], BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(results[4], BWT_OK);
	CU_ASSERT_EQUAL(bwt_get_many(play.tree, txn, 0, keys, values, results), BWT_OK);
	bwt_abort(txn);
	for (unsigned i = 0; i < 5; i++)
		bwt_buf_free(&values[i]);
}

static void a_get_may_ask_for_presence_only(void)
{
	struct bwt_txn *txn = begin(BWT_SERIALIZABLE);

	put(txn, "k", "1");
	CU_ASSERT_EQUAL(bwt_get(play.tree, txn, text("k"), NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(play.tree, txn, text("n"), NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void empty_keys_and_values_and_the_largest_ones_work(void)
{
	char *key = malloc(BWT_KEY_MAX + 1);
	struct bwt_txn *txn = begin(0);
	struct bwt_buf got = {NULL, 0, 0};

	memset(key, 'k', BWT_KEY_MAX + 1);
	CU_ASSERT_EQUAL(bwt_put(play.tree, txn, text(""), text(""), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(play.tree, txn, (struct bwt_slice){NULL, 0}, text("v"), BWT_INSERT),
	                BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_put(play.tree, txn, (struct bwt_slice){key, BWT_KEY_MAX}, text("1"), 0),
	                BWT_OK);
	CU_ASSERT_EQUAL(
		bwt_put(play.tree, txn, (struct bwt_slice){key, BWT_KEY_MAX + 1}, text("1"), 0),
		BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_put(play.tree, txn, (struct bwt_slice){NULL, 1}, text("1"), 0),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(play.tree, NULL, text(""), &got), BWT_OK);
	CU_ASSERT_EQUAL(got.size, 0);
	CU_ASSERT_EQUAL(bwt_get(play.tree, NULL, (struct bwt_slice){key, BWT_KEY_MAX}, &got), BWT_OK);
	CU_ASSERT_EQUAL(key_count(), 2);
	bwt_buf_free(&got);
	free(key);
}

/* ---- flags and handles ---- */

static void flags_that_contradict_or_do_not_exist_are_refused(void)
{
	static const unsigned wrong[] = {
		BWT_READ_COMMITTED | BWT_SERIALIZABLE,
		BWT_TXN_SYNC | BWT_TXN_NOSYNC,
		BWT_RDONLY | BWT_READ_COMMITTED | BWT_SERIALIZABLE,
		BWT_CREATE,
		BWT_INSERT,
		0x40000000u,
		BWT_SERIALIZABLE | 0x80000000u,
	};
	struct bwt_txn *txn = NULL;

	for (unsigned i = 0; i < COUNT_OF(wrong); i++)
		CU_ASSERT_EQUAL(bwt_begin(play.db, wrong[i], &txn), BWT_INVALID);
	CU_ASSERT_PTR_NULL(txn);
	CU_ASSERT_EQUAL(bwt_begin(NULL, 0, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(play.db, 0, NULL), BWT_INVALID);
	txn = begin(BWT_SERIALIZABLE | BWT_NEWEST | BWT_TXN_NOSYNC);
	CU_ASSERT_EQUAL(try_put(txn, "k", "1", BWT_INSERT | BWT_UPDATE), BWT_INVALID);
	CU_ASSERT_EQUAL(try_put(txn, "k", "1", BWT_RDONLY), BWT_INVALID);
	CU_ASSERT_EQUAL(try_put(txn, "k", "1", 0x40000000u), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(key_count(), 0);
}

static void a_null_handle_is_refused(void)
{
	bwt_lsn lsn = 7;
	unsigned mark = 7;

	CU_ASSERT_EQUAL(bwt_commit(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit_async(NULL, &lsn), BWT_INVALID);
	CU_ASSERT_EQUAL(lsn, 7);
	CU_ASSERT_EQUAL(bwt_savepoint(NULL, &mark), BWT_INVALID);
	CU_ASSERT_EQUAL(mark, 7);
	CU_ASSERT_EQUAL(bwt_rollback_to(NULL, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_txn_snapshot(NULL), 0);
	bwt_abort(NULL);
}

static void a_read_only_transaction_refuses_every_change(void)
{
	static const unsigned flags[] = {0, BWT_NEWEST, BWT_SERIALIZABLE, BWT_READ_COMMITTED};
	struct bwt_slice value = text("1");
	unsigned mark;

	put(NULL, "k", "1");
	for (unsigned i = 0; i < COUNT_OF(flags); i++) {
		struct bwt_txn *txn = begin(BWT_RDONLY | flags[i]);

		CU_ASSERT_EQUAL(try_put(txn, "k", "2", 0), BWT_READ_ONLY);
		CU_ASSERT_EQUAL(try_put(txn, "n", "2", BWT_INSERT), BWT_READ_ONLY);
		CU_ASSERT_EQUAL(try_delete(txn, "k"), BWT_READ_ONLY);
		CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &value, NULL), BWT_READ_ONLY);
		CU_ASSERT_EQUAL(bwt_delete_range(play.tree, txn, text("a"), text("z")),
		                BWT_READ_ONLY);
		CU_ASSERT_EQUAL(bwt_savepoint(txn, &mark), BWT_READ_ONLY);
		CU_ASSERT_EQUAL(bwt_rollback_to(txn, 0), BWT_READ_ONLY);
		CU_ASSERT_TRUE(has(txn, "k", "1"));
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	}
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=1");
}

static void a_read_only_store_has_read_only_transactions(void)
{
	struct bwt_txn *txn = NULL;

	put(NULL, "k", "1");
	play.options.flags = BWT_RDONLY;
	play_reopen();
	CU_ASSERT_EQUAL(bwt_begin(play.db, 0, &txn), BWT_READ_ONLY);
	CU_ASSERT_PTR_NULL(txn);
	txn = begin(BWT_RDONLY | BWT_SERIALIZABLE);
	CU_ASSERT_TRUE(has(txn, "k", "1"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void a_transaction_of_another_store_is_refused(void)
{
	char path[TMPSTORE_PATH_MAX];
	struct bwt_slice value = text("1");
	struct bwt_txn *foreign = NULL;
	struct bwt_cursor *cursor = NULL;
	struct bwt_buf got = {NULL, 0, 0};
	struct bwt_slice key = text("k");
	struct bwt_db *other;
	int result;

	tmpstore_new(path);
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &play.options, &other), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(other, 0, &foreign), BWT_OK);
	CU_ASSERT_EQUAL(try_put(foreign, "k", "1", 0), BWT_INVALID);
	CU_ASSERT_EQUAL(try_delete(foreign, "k"), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, foreign, key, NULL, &value), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_delete_range(play.tree, foreign, key, key), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(play.tree, foreign, key, &got), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(play.tree, foreign, 1, &key, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_open(play.tree, foreign, &cursor), BWT_INVALID);
	CU_ASSERT_PTR_NULL(cursor);
	CU_ASSERT_EQUAL(bwt_commit(foreign), BWT_OK);
	CU_ASSERT_EQUAL(bwt_close(other), BWT_OK);
	tmpstore_free(path);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "");
}

static void a_cursor_of_an_ended_transaction_answers_invalid(void)
{
	for (unsigned end = 0; end < 3; end++) {
		struct bwt_txn *txn = begin(0);
		struct bwt_slice slice = {NULL, 77}, value;
		struct bwt_cursor *cursor, *second;
		bwt_lsn lsn;

		put(txn, "k", "1");
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &second), BWT_OK);
		CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_value(cursor, &value), BWT_OK);
		if (end == 2)
			bwt_abort(txn);
		else
			CU_ASSERT_EQUAL(end == 0 ? bwt_commit(txn) : bwt_commit_async(txn, &lsn),
			                BWT_OK);
		/* Its own write, good until the next call on the cursor. */
		CU_ASSERT_TRUE(value.size == 1 && memcmp(value.data, "1", 1) == 0);
		CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_INVALID);
		CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_INVALID);
		CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &slice), BWT_INVALID);
		CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &slice), BWT_INVALID);
		CU_ASSERT_EQUAL(slice.size, 77);
		CU_ASSERT_EQUAL(bwt_cursor_seek(second, text("k"), BWT_GE), BWT_INVALID);
		bwt_cursor_close(cursor);
		bwt_cursor_close(second);
	}
}

static void close_is_refused_while_a_transaction_is_open(void)
{
	struct bwt_txn *txn = begin(0), *reader = begin(BWT_RDONLY);

	put(txn, "k", "1");
	CU_ASSERT_EQUAL(bwt_close(play.db), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	CU_ASSERT_EQUAL(bwt_close(play.db), BWT_BUSY);
	CU_ASSERT_TRUE(has(txn, "k", "1"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK); /* the store is as before */
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=1");
	txn = begin(BWT_SERIALIZABLE);
	CU_ASSERT_EQUAL(bwt_close(play.db), BWT_BUSY);
	bwt_abort(txn);
	play_reopen();
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=1");
}

static void a_tree_is_not_dropped_under_a_transaction(void)
{
	struct bwt_tree *tree;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(play.db, "t", BWT_CREATE, &tree), BWT_OK);
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_put(tree, txn, text("k"), text("1"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(play.db, "t"), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk_tree(tree, NULL, true), "k=1");
	CU_ASSERT_EQUAL(bwt_tree_drop(play.db, "t"), BWT_OK);
}

static void *commit_elsewhere(void *txn)
{
	put(txn, "b", "2");
	return (void *)(intptr_t)bwt_commit(txn);
}

static void a_transaction_may_be_handed_from_thread_to_thread(void)
{
	struct bwt_txn *txn = begin(BWT_SERIALIZABLE);
	pthread_t thread;
	void *rc;

	put(txn, "a", "1");
	CU_ASSERT_TRUE(has(txn, "n", NULL));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, commit_elsewhere, txn), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_join(thread, &rc), 0);
	CU_ASSERT_EQUAL((intptr_t)rc, BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 b=2");
}

static void a_forked_child_can_do_nothing_with_it(void)
{
	struct bwt_txn *txn = begin(0), *other = NULL;
	struct bwt_buf got = {NULL, 0, 0};
	unsigned mark;
	int status;
	pid_t child;

	put(txn, "k", "1");
	fflush(stdout);
	child = fork();
	if (child == 0) {
		bool good = try_put(txn, "k", "2", 0) == BWT_INVALID &&
		            bwt_get(play.tree, txn, text("k"), &got) == BWT_INVALID &&
		            bwt_savepoint(txn, &mark) == BWT_INVALID &&
		            bwt_rollback_to(txn, 0) == BWT_INVALID &&
		            bwt_begin(play.db, 0, &other) == BWT_INVALID &&
		            bwt_delete_range(play.tree, txn, text("a"), text("z")) == BWT_INVALID &&
		            bwt_commit(txn) == BWT_INVALID;

		_exit(good ? 0 : 1);
	}
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=1");
}

static void outcomes_leave_the_words_of_the_last_failure_alone(void)
{
	struct bwt_txn *txn = begin(0), *second;
	struct bwt_slice value = text("x");
	char before[200];
	int rc;

	CU_ASSERT_EQUAL(try_put(txn, "k", "1", BWT_INSERT | BWT_UPDATE), BWT_INVALID);
	snprintf(before, sizeof before, "%s", bwt_detail());
	CU_ASSERT_NOT_EQUAL(before[0], '\0');
	CU_ASSERT_EQUAL(try_put(txn, "k", "1", BWT_UPDATE), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cas(play.tree, txn, text("k"), &value, &value), BWT_MISMATCH);
	second = begin(0);
	put(txn, "k", "1");
	rc = try_put(second, "k", "2", 0);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_TRUE(lost(second, rc));
	CU_ASSERT_STRING_EQUAL(bwt_detail(), before);
}

static void counters_of_commits_and_conflicts_move(void)
{
	struct bwt_stats before = stats_now();
	struct bwt_txn *first = begin(0), *second = begin(0);

	put(first, "k", "1");
	put(second, "k", "2");
	CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(second), BWT_CONFLICT);
	CU_ASSERT_TRUE(stats_now().commits > before.commits);
	CU_ASSERT_TRUE(stats_now().conflicts > before.conflicts);
}

static void an_open_transaction_is_the_oldest_snapshot(void)
{
	struct bwt_txn *txn;

	put(NULL, "k", "1");
	txn = begin(0);
	put(NULL, "k", "2");
	CU_ASSERT_EQUAL(stats_now().oldest_snapshot_lsn, bwt_txn_snapshot(txn));
	bwt_abort(txn);
	CU_ASSERT_EQUAL(stats_now().oldest_snapshot_lsn, stats_now().newest_lsn);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_transaction_reads_what_it_wrote_and_publishes_it_at_commit),
		TEST(an_aborted_transaction_leaves_nothing),
		TEST(a_deleted_key_is_gone_for_its_transaction_first),
		TEST(a_snapshot_does_not_move_but_read_committed_does),
		TEST(a_read_write_transaction_begins_at_the_newest_commit),
		TEST(one_transaction_changes_several_trees_at_once),
		TEST(insert_and_update_ask_what_the_transaction_sees),
		TEST(cas_compares_with_what_the_transaction_sees),
		TEST(cas_that_only_asks_is_no_conflict),
		TEST(cas_compares_large_values_too),
		TEST(get_many_shows_own_writes_over_the_snapshot),
		TEST(a_get_may_ask_for_presence_only),
		TEST(empty_keys_and_values_and_the_largest_ones_work),
		TEST(flags_that_contradict_or_do_not_exist_are_refused),
		TEST(a_null_handle_is_refused),
		TEST(a_read_only_transaction_refuses_every_change),
		TEST(a_read_only_store_has_read_only_transactions),
		TEST(a_transaction_of_another_store_is_refused),
		TEST(a_cursor_of_an_ended_transaction_answers_invalid),
		TEST(close_is_refused_while_a_transaction_is_open),
		TEST(a_tree_is_not_dropped_under_a_transaction),
		TEST(a_transaction_may_be_handed_from_thread_to_thread),
		TEST(a_forked_child_can_do_nothing_with_it),
		TEST(outcomes_leave_the_words_of_the_last_failure_alone),
		TEST(counters_of_commits_and_conflicts_move),
		TEST(an_open_transaction_is_the_oldest_snapshot),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_rules", play_set_up, play_tear_down, tests);
}
