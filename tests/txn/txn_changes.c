/* SPDX-License-Identifier: MIT */
/* txn_changes.c - savepoints, ranges that are deleted, and where and when commits are durable */
#include "tests/txn/play.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- savepoints ---- */

static unsigned savepoint(struct bwt_txn *txn)
{
	unsigned mark = ~0u;

	CU_ASSERT_EQUAL_FATAL(bwt_savepoint(txn, &mark), BWT_OK);
	return mark;
}

static void a_rollback_forgets_what_came_after_the_mark(void)
{
	static const unsigned levels[] = {0, BWT_READ_COMMITTED, BWT_SERIALIZABLE};

	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *txn;
		unsigned mark;

		put(NULL, "a", "1");
		put(NULL, "b", "1");
		txn = begin(levels[i]);
		put(txn, "a", "2");
		mark = savepoint(txn);
		put(txn, "a", "3");
		put(txn, "c", "3");
		CU_ASSERT_EQUAL(try_delete(txn, "b"), BWT_OK);
		CU_ASSERT_STRING_EQUAL(walk(txn), "a=3 c=3");
		CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK);
		CU_ASSERT_STRING_EQUAL(walk(txn), "a=2 b=1");
		CU_ASSERT_STRING_EQUAL(walk_back(txn), "b=1 a=2");
		CU_ASSERT_TRUE(has(txn, "a", "2"));
		CU_ASSERT_TRUE(has(txn, "c", NULL));
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
		CU_ASSERT_STRING_EQUAL(walk(NULL), "a=2 b=1");
		CU_ASSERT_EQUAL(key_count(), 2);
	}
}

static void a_mark_stays_usable_after_a_rollback_to_it(void)
{
	struct bwt_txn *txn = begin(0);
	unsigned mark;

	put(txn, "k", "0");
	mark = savepoint(txn);
	for (unsigned i = 0; i < 3; i++) {
		put(txn, "k", "1");
		put(txn, "n", "1");
		CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK);
		CU_ASSERT_STRING_EQUAL(walk(txn), "k=0");
		CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK); /* to no effect */
	}
	put(txn, "n", "2");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=0 n=2");
}

static void marks_may_be_nested(void)
{
	struct bwt_txn *txn = begin(0);
	unsigned first, second, third;

	first = savepoint(txn); /* before any write */
	put(txn, "k", "1");
	second = savepoint(txn);
	put(txn, "k", "2");
	third = savepoint(txn);
	put(txn, "k", "3");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, third), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "k=2");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, second), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "k=1");
	put(txn, "k", "4");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, second), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "k=1");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, first), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "");
}

static void a_mark_that_does_not_exist_is_refused(void)
{
	struct bwt_txn *txn = begin(0);

	put(txn, "k", "1");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, 1u << 30), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_savepoint(txn, NULL), BWT_INVALID);
	CU_ASSERT_STRING_EQUAL(walk(txn), "k=1");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void a_rollback_restores_deleted_ranges_and_large_values(void)
{
	char *large = malloc(300000);
	struct bwt_buf got = {NULL, 0, 0};
	struct bwt_slice none = {NULL, 0};
	struct bwt_txn *txn;
	unsigned mark;

	memset(large, 'x', 300000);
	fill("k", 500);
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_put(play.tree, txn, text("k00007"), (struct bwt_slice){large, 300000}, 0),
	                BWT_OK);
	mark = savepoint(txn);
	CU_ASSERT_EQUAL(bwt_delete_range(play.tree, txn, none, none), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "");
	put(txn, "k00007", "small");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(play.tree, txn, text("k00007"), &got), BWT_OK);
	CU_ASSERT_TRUE(got.size == 300000 && memcmp(got.data, large, 300000) == 0);
	CU_ASSERT_TRUE(has(txn, "k00499", "k00499"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(key_count(), 500);
	bwt_buf_free(&got);
	free(large);
}

static void a_cursor_sees_what_a_rollback_left(void)
{
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;
	unsigned mark;

	put(NULL, "b", "1");
	txn = begin(0);
	put(txn, "c", "2");
	mark = savepoint(txn);
	put(txn, "a", "3");
	put(txn, "d", "3");
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, text("a"), BWT_EQ), BWT_OK);
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_STRING_EQUAL(at(cursor), "b=1");
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_STRING_EQUAL(at(cursor), "c=2");
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	bwt_cursor_close(cursor);
	bwt_abort(txn);
}

static void a_write_that_was_rolled_back_conflicts_with_nobody(void)
{
	struct bwt_txn *txn;
	unsigned mark;

	put(NULL, "k", "1");
	txn = begin(0);
	mark = savepoint(txn);
	put(txn, "k", "2");
	put(txn, "n", "2");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK);
	put(txn, "m", "2");
	put(NULL, "k", "3");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=3 m=2");
}

static void reads_before_a_rollback_still_count_under_serializable(void)
{
	struct bwt_txn *txn;
	unsigned mark;
	int rc;

	put(NULL, "k", "1");
	txn = begin(BWT_SERIALIZABLE);
	mark = savepoint(txn);
	CU_ASSERT_TRUE(has(txn, "k", "1"));
	put(txn, "a", "2");
	CU_ASSERT_EQUAL(bwt_rollback_to(txn, mark), BWT_OK);
	put(NULL, "k", "2");
	rc = try_put(txn, "b", "2", 0);
	CU_ASSERT_TRUE(lost(txn, rc));
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k=2");
}

/* ---- delete_range ---- */

static int delete_range(struct bwt_txn *txn, const char *from, const char *to)
{
	struct bwt_slice none = {NULL, 0};

	return bwt_delete_range(play.tree, txn, from == NULL ? none : text(from),
	                        to == NULL ? none : text(to));
}

static void letters(const char *keys)
{
	char key[2] = "";

	for (; *keys != '\0'; keys++) {
		key[0] = *keys;
		put(NULL, key, "1");
	}
}

static void a_range_is_deleted_from_its_lower_up_to_its_upper_bound(void)
{
	letters("abcdef");
	CU_ASSERT_EQUAL(delete_range(NULL, "b", "d"), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 d=1 e=1 f=1");
	CU_ASSERT_EQUAL(key_count(), 4);
	CU_ASSERT_EQUAL(delete_range(NULL, "aa", "dd"), BWT_OK); /* bounds that are no keys */
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 e=1 f=1");
	play_reopen();
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 e=1 f=1");
	CU_ASSERT_EQUAL(key_count(), 3);
}

static void a_missing_bound_is_no_bound(void)
{
	letters("abcdef");
	CU_ASSERT_EQUAL(delete_range(NULL, NULL, "c"), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "c=1 d=1 e=1 f=1");
	CU_ASSERT_EQUAL(delete_range(NULL, "e", NULL), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "c=1 d=1");
	CU_ASSERT_EQUAL(delete_range(NULL, NULL, NULL), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "");
	CU_ASSERT_EQUAL(key_count(), 0);
	CU_ASSERT_EQUAL(delete_range(NULL, NULL, NULL), BWT_OK); /* again, of nothing */
}

static void an_empty_or_reversed_range_is_nothing(void)
{
	letters("abc");
	CU_ASSERT_EQUAL(delete_range(NULL, "b", "b"), BWT_OK);
	CU_ASSERT_EQUAL(delete_range(NULL, "c", "a"), BWT_OK);
	CU_ASSERT_EQUAL(delete_range(NULL, "", ""), BWT_OK); /* [empty key, empty key) */
	CU_ASSERT_EQUAL(delete_range(NULL, "x", "z"), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 b=1 c=1");
	CU_ASSERT_EQUAL(delete_range(NULL, "", NULL), BWT_OK); /* from the empty key on: all */
	CU_ASSERT_STRING_EQUAL(walk(NULL), "");
}

static void too_long_bounds_and_wrong_pointers_are_refused(void)
{
	char *key = calloc(1, BWT_KEY_MAX + 1);
	struct bwt_slice large = {key, BWT_KEY_MAX + 1};

	letters("abc");
	CU_ASSERT_EQUAL(bwt_delete_range(play.tree, NULL, large, text("z")), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_delete_range(play.tree, NULL, text("a"), large), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_delete_range(NULL, NULL, text("a"), text("z")), BWT_INVALID);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 b=1 c=1");
	free(key);
}

static void a_range_in_a_transaction_covers_own_writes_and_the_snapshot(void)
{
	struct bwt_txn *txn;

	letters("bdf");
	txn = begin(0);
	put(txn, "c", "2");
	put(txn, "z", "2");
	put(NULL, "e", "3"); /* not in the snapshot */
	CU_ASSERT_EQUAL(delete_range(txn, "b", "f"), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "f=1 z=2");
	put(txn, "d", "4"); /* after it */
	CU_ASSERT_STRING_EQUAL(walk(txn), "d=4 f=1 z=2");
	CU_ASSERT_STRING_EQUAL(walk(NULL), "b=1 d=1 e=3 f=1");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK); /* e is another key: no conflict */
	CU_ASSERT_STRING_EQUAL(walk(NULL), "d=4 e=3 f=1 z=2");
	CU_ASSERT_EQUAL(key_count(), 4);
}

static void a_key_changed_by_another_in_a_deleted_range_is_a_conflict(void)
{
	struct bwt_txn *txn;
	int rc;

	letters("abc");
	txn = begin(0);
	put(NULL, "b", "2");
	rc = delete_range(txn, "a", "c");
	CU_ASSERT_TRUE(lost(txn, rc));
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 b=2 c=1");
}

static void under_serializable_a_new_key_in_a_deleted_range_is_a_conflict(void)
{
	struct bwt_txn *txn;
	int rc;

	letters("ad");
	txn = begin(BWT_SERIALIZABLE);
	rc = delete_range(txn, "a", "c");
	put(NULL, "b", "2");
	CU_ASSERT_TRUE(lost(txn, rc));
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 b=2 d=1");
}

static void a_long_range_goes_with_all_its_pages_and_is_one_transaction(void)
{
	struct bwt_txn *reader;

	fill("k", 20000);
	letters("az");
	reader = begin(BWT_RDONLY);
	CU_ASSERT_EQUAL(delete_range(NULL, "k", "l"), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 z=1");
	CU_ASSERT_EQUAL(key_count(), 2);
	CU_ASSERT_TRUE(has(reader, "k00000", "k00000"));
	CU_ASSERT_TRUE(has(reader, "k19999", "k19999"));
	CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	play_reopen();
	CU_ASSERT_STRING_EQUAL(walk(NULL), "a=1 z=1");
	fill("k", 3);
	CU_ASSERT_EQUAL(key_count(), 5);
}

/* ---- LSNs and durability ---- */

static bwt_lsn commit_async(struct bwt_txn *txn)
{
	bwt_lsn lsn = 0;

	CU_ASSERT_EQUAL_FATAL(bwt_commit_async(txn, &lsn), BWT_OK);
	return lsn;
}

static void the_lsn_of_a_commit_is_the_end_of_its_record(void)
{
	struct bwt_txn *txn = begin(0), *reader;
	bwt_lsn first, second;

	put(txn, "a", "1");
	first = commit_async(txn);
	CU_ASSERT_TRUE(first > 0);
	reader = begin(BWT_RDONLY | BWT_NEWEST);
	CU_ASSERT_TRUE(bwt_txn_snapshot(reader) >= first);
	CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	txn = begin(0);
	put(txn, "a", "2");
	put(txn, "b", "2");
	second = commit_async(txn);
	CU_ASSERT_TRUE(second > first);
	CU_ASSERT_TRUE(second <= stats_now().newest_lsn);
	CU_ASSERT_EQUAL(bwt_wait_durable(play.db, second), BWT_OK);
	CU_ASSERT_TRUE(bwt_durable_lsn(play.db) >= second);
	CU_ASSERT_EQUAL(bwt_wait_durable(play.db, stats_now().newest_lsn + 1000), BWT_INVALID);
	txn = begin(0);
	put(txn, "c", "3");
	CU_ASSERT_EQUAL(bwt_commit_async(txn, NULL), BWT_OK); /* nobody wants it */
	CU_ASSERT_TRUE(has(NULL, "c", "3"));
}

static void a_commit_without_writes_names_the_newest_that_it_read(void)
{
	static const unsigned levels[] = {0, BWT_READ_COMMITTED, BWT_SERIALIZABLE, BWT_RDONLY};
	struct bwt_txn *txn = begin(0);
	bwt_lsn written;

	put(txn, "k", "1");
	written = commit_async(txn);
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		bwt_lsn read;

		txn = begin(levels[i]);
		CU_ASSERT_TRUE(has(txn, "k", "1"));
		read = commit_async(txn);
		CU_ASSERT_TRUE(read >= written);
		CU_ASSERT_TRUE(read <= stats_now().newest_lsn);
		CU_ASSERT_EQUAL(bwt_wait_durable(play.db, read), BWT_OK);
	}
}

static void a_refused_commit_names_no_lsn(void)
{
	struct bwt_txn *txn = begin(0);
	bwt_lsn lsn = 77;

	put(txn, "k", "1");
	put(NULL, "k", "2");
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_CONFLICT);
	CU_ASSERT_EQUAL(lsn, 77);
}

static void open_sync_store(void)
{
	play.options.durability = BWT_SYNC;
	play_reopen();
}

static void in_a_sync_store_commit_returns_when_it_is_durable(void)
{
	struct bwt_txn *txn;
	bwt_lsn lsn;

	open_sync_store();
	txn = begin(0);
	put(txn, "a", "1");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_durable_lsn(play.db), stats_now().newest_lsn);
	txn = begin(BWT_TXN_NOSYNC); /* but this one need not */
	put(txn, "b", "1");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	txn = begin(0);
	CU_ASSERT_TRUE(has(txn, "b", "1"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK); /* waits for what it read (C7) */
	lsn = stats_now().newest_lsn;
	CU_ASSERT_TRUE(bwt_durable_lsn(play.db) >= lsn);
}

static void txn_sync_is_durable_in_a_store_that_is_not(void)
{
	struct bwt_txn *txn = begin(BWT_TXN_SYNC);

	put(txn, "a", "1");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_durable_lsn(play.db), stats_now().newest_lsn);
}

static void a_read_only_snapshot_of_a_sync_store_waits_for_what_its_thread_committed(void)
{
	struct bwt_txn *txn;
	bwt_lsn lsn;

	open_sync_store();
	txn = begin(0);
	put(txn, "a", "1");
	lsn = commit_async(txn);
	txn = begin(BWT_RDONLY);
	CU_ASSERT_TRUE(bwt_durable_lsn(play.db) >= lsn);
	CU_ASSERT_TRUE(has(txn, "a", "1"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void *commit_without_waiting(void *lsn)
{
	struct bwt_txn *txn = begin(BWT_TXN_NOSYNC);

	put(txn, "a", "2");
	*(bwt_lsn *)lsn = commit_async(txn);
	return NULL;
}

static void a_read_only_snapshot_of_a_sync_store_shows_durable_data_alone(void)
{
	struct bwt_txn *txn;
	pthread_t thread;
	bwt_lsn lsn = 0;

	open_sync_store();
	put(NULL, "a", "1");
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, commit_without_waiting, &lsn), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_join(thread, NULL), 0);
	txn = begin(BWT_RDONLY);
	CU_ASSERT_TRUE(bwt_txn_snapshot(txn) <= bwt_durable_lsn(play.db));
	CU_ASSERT_TRUE(has(txn, "a", bwt_txn_snapshot(txn) >= lsn ? "2" : "1"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	txn = begin(BWT_RDONLY | BWT_NEWEST);
	CU_ASSERT_TRUE(has(txn, "a", "2"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

/* The loop of a server: commits are begun without waiting, and answered when the eventfd says so. */
static void an_event_loop_hears_of_durable_commits(void)
{
	enum {
		COMMITS = 50
	};
	bwt_lsn waiting[COMMITS];
	unsigned begun = 0, answered = 0;
	int fd = bwt_durable_fd(play.db);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	play.options.durability = BWT_INTERVAL;
	play.options.sync_interval_ms = 5;
	play_reopen();
	fd = bwt_durable_fd(play.db);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(bwt_durable_fd(play.db), fd);
	while (answered < COMMITS) {
		struct pollfd poller = {.fd = fd, .events = POLLIN};
		bwt_lsn durable;
		uint64_t moves;

		if (begun < COMMITS) {
			struct bwt_txn *txn = begin(0);
			char key[16];

			snprintf(key, sizeof key, "k%u", begun);
			put(txn, key, "1");
			waiting[begun++] = commit_async(txn);
		}
		CU_ASSERT_TRUE_FATAL(poll(&poller, 1, begun < COMMITS ? 0 : 10000) >= 0);
		if ((poller.revents & POLLIN) == 0) {
			CU_ASSERT_TRUE_FATAL(begun < COMMITS); /* 10 s: it moves without waiters too */
			continue;
		}
		CU_ASSERT_EQUAL(read(fd, &moves, sizeof moves), (ssize_t)sizeof moves);
		durable = bwt_durable_lsn(play.db);
		while (answered < begun && waiting[answered] <= durable)
			answered++;
		usleep(200);
	}
	CU_ASSERT_EQUAL(key_count(), COMMITS);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_rollback_forgets_what_came_after_the_mark),
		TEST(a_mark_stays_usable_after_a_rollback_to_it),
		TEST(marks_may_be_nested),
		TEST(a_mark_that_does_not_exist_is_refused),
		TEST(a_rollback_restores_deleted_ranges_and_large_values),
		TEST(a_cursor_sees_what_a_rollback_left),
		TEST(a_write_that_was_rolled_back_conflicts_with_nobody),
		TEST(reads_before_a_rollback_still_count_under_serializable),
		TEST(a_range_is_deleted_from_its_lower_up_to_its_upper_bound),
		TEST(a_missing_bound_is_no_bound),
		TEST(an_empty_or_reversed_range_is_nothing),
		TEST(too_long_bounds_and_wrong_pointers_are_refused),
		TEST(a_range_in_a_transaction_covers_own_writes_and_the_snapshot),
		TEST(a_key_changed_by_another_in_a_deleted_range_is_a_conflict),
		TEST(under_serializable_a_new_key_in_a_deleted_range_is_a_conflict),
		TEST(a_long_range_goes_with_all_its_pages_and_is_one_transaction),
		TEST(the_lsn_of_a_commit_is_the_end_of_its_record),
		TEST(a_commit_without_writes_names_the_newest_that_it_read),
		TEST(a_refused_commit_names_no_lsn),
		TEST(in_a_sync_store_commit_returns_when_it_is_durable),
		TEST(txn_sync_is_durable_in_a_store_that_is_not),
		TEST(a_read_only_snapshot_of_a_sync_store_waits_for_what_its_thread_committed),
		TEST(a_read_only_snapshot_of_a_sync_store_shows_durable_data_alone),
		TEST(an_event_loop_hears_of_durable_commits),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_changes", play_set_up, play_tear_down, tests);
}
