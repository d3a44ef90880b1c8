/* SPDX-License-Identifier: MIT */
/*
 * model_errors.c - bad input, contradictions, handles at the wrong time: a code each, never a crash
 *
 * What the header blocks of bwt.h promise for single calls, one test a promise.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/model/fixture.h"

/* ---- flags ---- */

static void flags_that_contradict_or_do_not_exist_are_invalid(void)
{
	struct bwt_tree *other;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(
		bwt_put(fixture.tree, NULL, fixture_key, fixture_value, BWT_INSERT | BWT_UPDATE),
		BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, BWT_CREATE),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_EXCL, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_RDONLY, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_CREATE, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(
		bwt_begin(fixture.db, BWT_RDONLY | BWT_READ_COMMITTED | BWT_SERIALIZABLE, &txn),
		BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_TXN_SYNC | BWT_TXN_NOSYNC, &txn),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, fixture_key, NULL), BWT_NOT_FOUND);
}

static void serializable_and_read_only_is_a_snapshot(void)
{
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_SERIALIZABLE, &txn), BWT_OK);
	CU_ASSERT_TRUE(bwt_txn_snapshot(txn) != 0);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, txn, fixture_key, NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void read_committed_sees_each_newest_commit(void)
{
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_READ_COMMITTED, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, txn, fixture_key, NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, txn, fixture_key, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

/* ---- limits ---- */

static void keys_and_values_at_and_beyond_their_limits(void)
{
	static uint8_t bytes[BWT_KEY_MAX + 1];
	struct bwt_slice longest = {bytes, BWT_KEY_MAX}, longer = {bytes, BWT_KEY_MAX + 1};
	struct bwt_slice huge = {bytes, (size_t)BWT_VALUE_MAX + 1};
	struct bwt_cursor *cursor;
	int result;

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, longest, longest, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, longest, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, longer, fixture_value, 0), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, huge, 0), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, longer, NULL), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, longer), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, longer, NULL, &fixture_value), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, fixture_key, NULL, &huge), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 1, &longer, NULL, &result), BWT_OK);
	CU_ASSERT_EQUAL(result, BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cursor_open(fixture.tree, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, longer, BWT_GE), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, longest, BWT_EQ), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, fixture_key, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, fixture_key, 9), BWT_INVALID);
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(bwt_count(fixture.tree, &(uint64_t){0}), BWT_OK);
}

static void names_of_trees_have_1_to_255_bytes(void)
{
	char name[BWT_TREE_NAME_MAX + 2];
	struct bwt_tree *other;

	memset(name, 'n', sizeof name);
	name[BWT_TREE_NAME_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, name, BWT_CREATE, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, name), BWT_INVALID);
	name[BWT_TREE_NAME_MAX] = '\0';
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, name, BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, name), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "", BWT_CREATE, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, ""), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, NULL), BWT_INVALID);
}

/* ---- trees, cursors, transactions ---- */

static void trees_are_found_once_created_and_gone_once_dropped(void)
{
	struct bwt_tree *other, *again, *main_again;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", 0, &other), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_CREATE | BWT_EXCL, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_CREATE | BWT_EXCL, &again), BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", 0, &again), BWT_OK);
	CU_ASSERT_PTR_EQUAL(again, other);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, 0, &main_again), BWT_OK);
	CU_ASSERT_PTR_EQUAL(main_again, fixture.tree);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", 0, &other), BWT_NOT_FOUND);
}

static void a_tree_in_use_is_not_dropped(void)
{
	struct bwt_cursor *cursor;
	struct bwt_tree *other;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(other, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_BUSY);
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
}

static int stop_at_second(void *ctx, const char *name)
{
	int *calls = ctx;

	CU_ASSERT_EQUAL(strlen(name), 1);
	return ++*calls == 2 ? 4711 : 0;
}

static void listing_stops_where_the_caller_says(void)
{
	struct bwt_tree *other;
	int calls = 0;

	CU_ASSERT_EQUAL(bwt_tree_list(fixture.db, stop_at_second, &calls), BWT_OK);
	CU_ASSERT_EQUAL(calls, 0);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "c", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "a", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "b", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_list(fixture.db, stop_at_second, &calls), 4711);
	CU_ASSERT_EQUAL(calls, 2);
}

static void closing_is_refused_while_something_is_open(void)
{
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0),
	                BWT_OK); /* it is open as before */
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(fixture.tree, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_BUSY);
	bwt_cursor_close(cursor);
	fixture_close();
}

static void a_cursor_outlives_its_transaction_only_to_be_closed(void)
{
	struct bwt_cursor *cursor;
	struct bwt_slice slice;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(fixture.tree, txn, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, fixture_key, BWT_GE), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &slice), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &slice), BWT_INVALID);
	bwt_cursor_close(cursor);
}

static void a_transaction_of_another_store_is_invalid(void)
{
	char other_path[TMPSTORE_PATH_MAX];
	const struct bwt_options options = {.flags = BWT_CREATE, .max_size = 1 << 30};
	struct bwt_cursor *cursor;
	struct bwt_db *other;
	struct bwt_txn *txn;
	int result;

	tmpstore_join(other_path, fixture.folder, "other");
	CU_ASSERT_EQUAL_FATAL(bwt_open(other_path, &options, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(other, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, txn, fixture_key, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, txn, 1, &fixture_key, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_open(fixture.tree, txn, &cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, fixture_key, fixture_value, 0), BWT_INVALID);
	bwt_abort(txn);
	CU_ASSERT_EQUAL(bwt_close(other), BWT_OK);
}

/* ---- words and outcomes ---- */

static void outcomes_leave_the_detail_and_the_buffer_alone(void)
{
	struct bwt_buf buf = {NULL, 0, 0};
	char before[1200];

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, BWT_CREATE),
	                BWT_INVALID);
	snprintf(before, sizeof before, "%s", bwt_detail());
	CU_ASSERT_TRUE(before[0] != '\0');
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, BWT_UPDATE),
	                BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, fixture_key, &buf), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, BWT_INSERT),
	                BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, fixture_key, NULL, &fixture_value), BWT_MISMATCH);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, (struct bwt_slice){"k", 1}, &buf), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(buf.size, fixture_value.size);
	CU_ASSERT_EQUAL(memcmp(buf.data, fixture_value.data, fixture_value.size), 0);
	CU_ASSERT_STRING_EQUAL(bwt_detail(), before);
	bwt_buf_free(&buf);
}

static void *detail_of_a_new_thread(void *ctx)
{
	(void)ctx;
	return bwt_detail()[0] == '\0' ? NULL : &fixture.db;
}

static void *open_and_reopen(void *ctx)
{
	struct bwt_options options = {.flags = BWT_CREATE, .max_size = 64 << 20};
	const char *path = ctx;
	struct bwt_db *db;

	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(bwt_open(path, &options, &db), BWT_OK);
		CU_ASSERT_EQUAL(bwt_close(db), BWT_OK);
	}
	options.flags |= BWT_EXCL;
	CU_ASSERT_EQUAL(bwt_open(path, &options, &db), BWT_EXISTS);
	CU_ASSERT_STRING_EQUAL(bwt_detail(), "");
	options.flags = BWT_RDONLY;
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &options, &db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_checkpoint(db), BWT_READ_ONLY);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "BWT_RDONLY"));
	CU_ASSERT_EQUAL(bwt_close(db), BWT_OK);
	return NULL;
}

/* No words of what the library met on its way, and could help itself with. */
static void success_and_outcomes_have_no_words(void)
{
	char path[TMPSTORE_PATH_MAX];
	pthread_t thread;

	tmpstore_join(path, fixture.folder, "second");
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, open_and_reopen, path), 0);
	pthread_join(thread, NULL);
}

static void each_thread_has_its_own_detail(void)
{
	void *result = &fixture.db;
	pthread_t thread;

	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, NULL), BWT_INVALID);
	CU_ASSERT_TRUE(bwt_detail()[0] != '\0');
	CU_ASSERT_EQUAL(pthread_create(&thread, NULL, detail_of_a_new_thread, NULL), 0);
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
}

static void every_code_has_a_text_of_its_own(void)
{
	static const int codes[] = {
		BWT_OK,
#define CODE(name, number, text) name,
		BWT_ERRORS(CODE)
#undef CODE
			- ENOENT,
	};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		CU_ASSERT_TRUE(bwt_strerror(codes[i])[0] != '\0');
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(bwt_strerror(codes[i]), bwt_strerror(codes[j]));
	}
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-ENOENT), strerror(ENOENT));
	CU_ASSERT_PTR_NOT_NULL(bwt_strerror(12345));
	CU_ASSERT_PTR_NOT_NULL(bwt_strerror(-40000));
}

/* ---- durability ---- */

static void lsns_beyond_the_log_are_invalid_and_those_in_it_become_durable(void)
{
	struct bwt_stats stats;
	struct bwt_txn *txn;
	bwt_lsn lsn = 0;

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_stat(fixture.db, &stats), BWT_OK);
	CU_ASSERT_TRUE(stats.newest_lsn != 0);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, stats.newest_lsn + (1 << 20)), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, stats.newest_lsn), BWT_OK);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) >= stats.newest_lsn);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, lsn), BWT_OK);
}

static void the_eventfd_tells_when_the_log_became_durable(void)
{
	int fd = bwt_durable_fd(fixture.db);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	uint64_t counter;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(bwt_durable_fd(fixture.db), fd);
	CU_ASSERT_TRUE((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	while (read(fd, &counter, sizeof counter) > 0)
		;
	CU_ASSERT_EQUAL(errno, EAGAIN);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(poll(&poll_fd, 1, 2000), 1);
	CU_ASSERT_EQUAL(read(fd, &counter, sizeof counter), (ssize_t)sizeof counter);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(flags_that_contradict_or_do_not_exist_are_invalid),
		TEST(serializable_and_read_only_is_a_snapshot),
		TEST(read_committed_sees_each_newest_commit),
		TEST(keys_and_values_at_and_beyond_their_limits),
		TEST(names_of_trees_have_1_to_255_bytes),
		TEST(trees_are_found_once_created_and_gone_once_dropped),
		TEST(a_tree_in_use_is_not_dropped),
		TEST(listing_stops_where_the_caller_says),
		TEST(closing_is_refused_while_something_is_open),
		TEST(a_cursor_outlives_its_transaction_only_to_be_closed),
		TEST(a_transaction_of_another_store_is_invalid),
		TEST(outcomes_leave_the_detail_and_the_buffer_alone),
		TEST(each_thread_has_its_own_detail),
		TEST(success_and_outcomes_have_no_words),
		TEST(every_code_has_a_text_of_its_own),
		TEST(lsns_beyond_the_log_are_invalid_and_those_in_it_become_durable),
		TEST(the_eventfd_tells_when_the_log_became_durable),
		CU_TEST_INFO_NULL,
	};

	return suite_run("model_errors", fixture_set_up, fixture_tear_down, tests);
}
