/* SPDX-License-Identifier: MIT */
/* test_txns.c - read-only snapshots as handles, and durability */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/unit/db/db_fixture.h"
#include "txn/commit.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static struct bwt_txn *begin(unsigned flags)
{
	struct bwt_txn *txn = NULL;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | flags, &txn), BWT_OK);
	return txn;
}

/* A put that does not wait for the disk, as in a commit of another thread that is still waiting. */
static bwt_lsn put_unsynced(const char *key, const char *value)
{
	struct commit_op op = {.kind = COMMIT_PUT, .key = text_slice(key), .value = text_slice(value)};

	CU_ASSERT_EQUAL_FATAL(commit_one(&fixture.db->store, &fixture.tree->named->tree, &op),
	                      BWT_OK);
	return op.end_lsn;
}

static void a_snapshot_sees_its_moment(void)
{
	struct bwt_txn *first, *second;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "one"), BWT_OK);
	first = begin(0);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "two"), BWT_OK);
	second = begin(0);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, text_slice("k")), BWT_OK);
	for (unsigned i = 0; i < 100; i++) /* consolidations */
		CU_ASSERT_EQUAL(fixture_put(&fixture, "other", "x"), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, first, "k", "one"));
	CU_ASSERT_TRUE(fixture_has(&fixture, second, "k", "two"));
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", NULL));
	CU_ASSERT_TRUE(bwt_txn_snapshot(first) < bwt_txn_snapshot(second));
	CU_ASSERT_EQUAL(fixture_stats(&fixture).oldest_snapshot_lsn, bwt_txn_snapshot(first));
	CU_ASSERT_EQUAL(fixture_stats(&fixture).oldest_snapshot_thread, sys_thread_id());
	CU_ASSERT_EQUAL(fixture_stats(&fixture).oldest_snapshot_keeps,
	                fixture_stats(&fixture).newest_lsn - bwt_txn_snapshot(first));
	CU_ASSERT_EQUAL(fixture_stats(&fixture).snapshot_count, 2);
	CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).oldest_snapshot_lsn, bwt_txn_snapshot(second));
	bwt_abort(second);
	bwt_abort(NULL);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).oldest_snapshot_lsn,
	                fixture_stats(&fixture).newest_lsn);
}

static void read_committed_has_no_snapshot_and_sees_each_commit(void)
{
	struct bwt_txn *txn;
	bwt_lsn lsn = 0;

	fixture_open(&fixture);
	txn = begin(BWT_READ_COMMITTED);
	CU_ASSERT_TRUE(fixture_has(&fixture, txn, "k", NULL));
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, txn, "k", "v"));
	CU_ASSERT_EQUAL(bwt_txn_snapshot(txn), 0);
	CU_ASSERT_EQUAL(bwt_txn_snapshot(NULL), 0);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	CU_ASSERT_EQUAL(
		lsn, store_clock(&fixture.db->store)); /* not where the clock was at its beginning */
}

static void the_flags_of_begin_are_checked(void)
{
	static const unsigned wrong[] = {
		BWT_CREATE,
		BWT_READ_COMMITTED | BWT_SERIALIZABLE,
		BWT_RDONLY | BWT_CREATE,
		BWT_RDONLY | 0x80000000u,
		BWT_RDONLY | BWT_READ_COMMITTED | BWT_SERIALIZABLE,
		BWT_RDONLY | BWT_TXN_SYNC | BWT_TXN_NOSYNC,
	};
	struct bwt_txn *txn = NULL;

	fixture_open(&fixture);
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
		CU_ASSERT_EQUAL(bwt_begin(fixture.db, wrong[i], &txn), BWT_INVALID);
	CU_ASSERT_PTR_NULL(txn);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(NULL, BWT_RDONLY, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit(NULL), BWT_INVALID);
	bwt_abort(begin(BWT_SERIALIZABLE | BWT_NEWEST | BWT_TXN_SYNC));
}

static void an_open_transaction_keeps_the_store_open(void)
{
	struct bwt_txn *txn;

	fixture_open(&fixture);
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_BUSY);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK); /* nothing happened to it */
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void a_commit_without_writes_names_what_it_can_have_read(void)
{
	struct bwt_txn *txn;
	bwt_lsn lsn = 0;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	CU_ASSERT_EQUAL(lsn, store_clock(&fixture.db->store));
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, lsn), BWT_OK);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) >= lsn);
	txn = begin(0);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, NULL), BWT_OK);
}

/* ---- C7: where snapshots of a sync store stand ---- */

static void a_snapshot_of_a_sync_store_sees_nothing_that_a_crash_could_take_back(void)
{
	struct bwt_txn *stable, *newest;

	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "durable"), BWT_OK);
	put_unsynced("k", "not yet");
	epoch_slot(&fixture.db->store.epoch)->seen_lsn = 0; /* as for a thread that has not read it */
	stable = begin(0);
	newest = begin(BWT_NEWEST);
	CU_ASSERT_TRUE(bwt_txn_snapshot(stable) <= bwt_durable_lsn(fixture.db));
	CU_ASSERT_TRUE(fixture_has(&fixture, stable, "k", "durable"));
	CU_ASSERT_TRUE(fixture_has(&fixture, newest, "k", "not yet"));
	CU_ASSERT_EQUAL(bwt_commit(stable), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(newest), BWT_OK);
}

static void time_does_not_go_back_for_a_thread(void)
{
	struct bwt_txn *txn;
	bwt_lsn end;

	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	end = put_unsynced("k", "v");
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) < end);
	txn = begin(0); /* waits for what this thread has committed */
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) >= end);
	CU_ASSERT_TRUE(fixture_has(&fixture, txn, "k", "v"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	(void)put_unsynced("k", "w");
	epoch_slot(&fixture.db->store.epoch)->seen_lsn = 0;
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "w")); /* read, not durable */
	txn = begin(0);
	CU_ASSERT_TRUE(fixture_has(&fixture, txn, "k", "w"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

/* ---- durability ---- */

static void waiting_makes_durable_what_nobody_else_flushes(void)
{
	bwt_lsn end;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	end = store_clock(&fixture.db->store);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, end), BWT_OK);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) >= end);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, end + 16), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, 0), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "w"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_durable_lsn(fixture.db), store_clock(&fixture.db->store));
}

static bool readable(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	return poll(&poller, 1, 0) == 1;
}

static void the_eventfd_moves_with_what_is_durable(void)
{
	uint64_t count;
	int fd;

	fixture_open(&fixture);
	fd = bwt_durable_fd(fixture.db);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(bwt_durable_fd(fixture.db), fd);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	CU_ASSERT_TRUE(readable(fd));
	CU_ASSERT_EQUAL(read(fd, &count, sizeof count), (ssize_t)sizeof count);
	CU_ASSERT_FALSE(readable(fd));
	CU_ASSERT_EQUAL(read(fd, &count, sizeof count), -1); /* it does not block */
}

static void a_read_only_store_is_durable_already(void)
{
	bwt_lsn end;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	end = bwt_durable_lsn(fixture.db);
	CU_ASSERT_TRUE(end > 0);
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, end), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(begin(0)), BWT_OK);
	fixture_close(&fixture);
	fixture.options.flags = BWT_CREATE | BWT_NO_URING;
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_snapshot_sees_its_moment),
		TEST(read_committed_has_no_snapshot_and_sees_each_commit),
		TEST(the_flags_of_begin_are_checked),
		TEST(an_open_transaction_keeps_the_store_open),
		TEST(a_commit_without_writes_names_what_it_can_have_read),
		TEST(a_snapshot_of_a_sync_store_sees_nothing_that_a_crash_could_take_back),
		TEST(time_does_not_go_back_for_a_thread),
		TEST(waiting_makes_durable_what_nobody_else_flushes),
		TEST(the_eventfd_moves_with_what_is_durable),
		TEST(a_read_only_store_is_durable_already),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txns", set_up, tear_down, tests);
}
