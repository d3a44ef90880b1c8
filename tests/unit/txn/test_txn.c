/* SPDX-License-Identifier: MIT */
/* test_txn.c - what a transaction sees, notes and remembers until its commit */
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/unit/txn/txn_fixture.h"
#include "txn/txn.h"

static struct fixture fixture;
static struct snapshot_slot *snapshot;
static struct txn txn;

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
	snapshot = NULL;
}

static void tear_down(void)
{
	txn_end(&txn);
	if (snapshot != NULL)
		snapshot_release(snapshot);
	testpoint_reset();
	CU_ASSERT_EQUAL(snapshots_live(&fixture.store.snapshots), 0);
	fixture_free(&fixture);
}

static void begin(enum txn_level level)
{
	if (level != TXN_READ_COMMITTED)
		CU_ASSERT_EQUAL_FATAL(snapshot_acquire(&fixture.store.snapshots, store_clock,
		                                       &fixture.store, &snapshot),
		                      BWT_OK);
	txn_begin(&txn, &fixture.store, level,
	          snapshot == NULL ? READ_NEWEST : snapshot_lsn(snapshot));
}

static bool sees(const char *key, const char *value)
{
	struct bwt_buf got = {0};
	int rc = txn_get(&txn, fixture.tree, fixture.slot, text_slice(key), &got);
	bool same = value == NULL
	                    ? rc == BWT_NOT_FOUND
	                    : rc == BWT_OK && got.size == strlen(value) &&
	                              (got.size == 0 || memcmp(got.data, value, got.size) == 0);

	free(got.data);
	return same;
}

static int write(enum commit_kind kind, const char *key, const char *value)
{
	struct commit_op op = {.kind = kind, .key = text_slice(key), .value = text_slice(value)};

	return txn_write(&txn, fixture.tree, fixture.slot, &op);
}

static int cas(const char *key, const char *expected, const char *desired)
{
	struct bwt_slice old = text_slice(expected), new = text_slice(desired);
	struct commit_op op = {.kind = COMMIT_CAS, .key = text_slice(key)};

	op.expected = expected == NULL ? NULL : &old;
	op.desired = desired == NULL ? NULL : &new;
	return txn_write(&txn, fixture.tree, fixture.slot, &op);
}

static int commit(void)
{
	uint64_t end_lsn;

	return txn_commit(&txn, &end_lsn);
}

/* ---- reading ---- */

static void own_writes_come_first(void)
{
	fixture_put(&fixture, "k", "stored");
	begin(TXN_SNAPSHOT);
	CU_ASSERT_TRUE(sees("k", "stored"));
	CU_ASSERT_EQUAL(write(COMMIT_PUT, "k", "own"), BWT_OK);
	CU_ASSERT_TRUE(sees("k", "own"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "stored"));
	CU_ASSERT_EQUAL(write(COMMIT_DELETE, "k", NULL), BWT_OK);
	CU_ASSERT_TRUE(sees("k", NULL));
	CU_ASSERT_EQUAL(write(COMMIT_DELETE, "k", NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(write(COMMIT_PUT, "k", ""), BWT_OK);
	CU_ASSERT_TRUE(sees("k", ""));
	CU_ASSERT_EQUAL(txn_get(&txn, fixture.tree, fixture.slot, text_slice("k"), NULL), BWT_OK);
}

static void what_was_read_ends_where_it_is_durable_if_it_is(void)
{
	uint64_t end = fixture_put(&fixture, "k", "1"), read;

	begin(TXN_READ_COMMITTED);
	CU_ASSERT_TRUE(txn_read_end(&txn) <= end); /* nothing was read */
	CU_ASSERT_TRUE(sees("k", "1"));
	CU_ASSERT_TRUE(txn.newest > 0 && txn.newest <= end);
	read = txn_read_end(&txn);
	CU_ASSERT_EQUAL(read, end);
	CU_ASSERT_EQUAL(wal_wait(fixture.store.wal, read), BWT_OK);
	fixture_put(&fixture, "other", "1");
	CU_ASSERT_EQUAL(txn_read_end(&txn), wal_durable_lsn(fixture.store.wal));
}

static void serializable_ones_note_what_they_looked_at(void)
{
	fixture_put(&fixture, "k", "1");
	begin(TXN_SERIALIZABLE);
	CU_ASSERT_NOT_EQUAL(txn.order, 0);
	CU_ASSERT_TRUE(sees("k", "1"));
	CU_ASSERT_TRUE(sees("absent", NULL));
	CU_ASSERT_TRUE(sees("", NULL));
	CU_ASSERT_EQUAL(txn.reads.count, 3);
	CU_ASSERT_NOT_EQUAL(txn.reads.ranges[2].high.data, NULL); /* not all keys */
	CU_ASSERT_EQUAL(write(COMMIT_PUT, "blind", "1"), BWT_OK);
	CU_ASSERT_TRUE(sees("blind", "1"));
	CU_ASSERT_EQUAL(txn.reads.count, 3);
	CU_ASSERT_EQUAL(write(COMMIT_INSERT, "new", "1"), BWT_OK);
	CU_ASSERT_EQUAL(txn.reads.count, 4);
}

/* ---- conditions ---- */

static void conditions_are_about_what_the_transaction_sees(void)
{
	fixture_put(&fixture, "k", "1");
	begin(TXN_SNAPSHOT);
	fixture_put(&fixture, "later", "1");
	CU_ASSERT_EQUAL(write(COMMIT_INSERT, "k", "2"), BWT_EXISTS);
	CU_ASSERT_EQUAL(write(COMMIT_UPDATE, "none", "2"), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(write(COMMIT_UPDATE, "later", "2"), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(cas("k", "0", "2"), BWT_MISMATCH);
	CU_ASSERT_EQUAL(cas("k", NULL, "2"), BWT_MISMATCH);
	CU_ASSERT_EQUAL(cas("none", "0", NULL), BWT_MISMATCH);
	CU_ASSERT_EQUAL(cas("none", NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(txn.writes.count, 0);
	CU_ASSERT_EQUAL(cas("k", "1", "2"), BWT_OK);
	CU_ASSERT_EQUAL(cas("k", "2", "3"), BWT_OK);
	CU_ASSERT_EQUAL(cas("none", NULL, "4"), BWT_OK);
	CU_ASSERT_EQUAL(commit(), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "3"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "none", READ_NEWEST, "4"));
}

static void a_condition_that_holds_only_in_the_past_is_a_conflict_at_once(void)
{
	fixture_put(&fixture, "k", "1");
	begin(TXN_SNAPSHOT);
	fixture_put(&fixture, "k", "2");
	CU_ASSERT_EQUAL(write(COMMIT_INSERT, "k", "3"), BWT_EXISTS); /* it would not be written */
	CU_ASSERT_EQUAL(cas("k", "1", "3"), BWT_CONFLICT);
	CU_ASSERT_EQUAL(write(COMMIT_UPDATE, "k", "3"), BWT_CONFLICT);
	CU_ASSERT_EQUAL(write(COMMIT_DELETE, "k", NULL), BWT_CONFLICT);
	CU_ASSERT_EQUAL(txn.writes.count, 0);
	CU_ASSERT_EQUAL(stats_sum(&fixture.store.stats, STAT_CONFLICTS), 3);
}

/* ---- read committed ---- */

static void an_unconditional_write_under_read_committed_overwrites(void)
{
	fixture_put(&fixture, "k", "1");
	begin(TXN_READ_COMMITTED);
	CU_ASSERT_EQUAL(write(COMMIT_PUT, "k", "mine"), BWT_OK);
	CU_ASSERT_EQUAL(write(COMMIT_PUT, "l", "mine"), BWT_OK);
	CU_ASSERT_PTR_NULL(txn.guard);
	fixture_put(&fixture, "k", "2");
	fixture_put(&fixture, "l", "2");
	CU_ASSERT_EQUAL(commit(), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "mine"));
}

/* Each condition, met at the look, and broken by somebody else before the commit; @more: beside another write. */
static void broken(enum commit_kind kind, bool more)
{
	const char *key = kind == COMMIT_INSERT ? "absent" : "k";

	fixture_commit(&fixture, COMMIT_DELETE, "absent", NULL, NULL);
	fixture_put(&fixture, "k", "1");
	begin(TXN_READ_COMMITTED);
	if (more)
		CU_ASSERT_EQUAL(write(COMMIT_PUT, "other", "1"), BWT_OK);
	CU_ASSERT_EQUAL(kind == COMMIT_CAS ? cas("k", "1", "2") : write(kind, key, "2"), BWT_OK);
	CU_ASSERT_NOT_EQUAL(txn.guard, NULL);
	fixture_put(&fixture, key, "theirs");
	/* Enough to have the leaf rebuilt, and old versions stripped of their LSNs. */
	for (unsigned i = 0; i < 40; i++)
		fixture_put(&fixture, "unrelated", "1");
	CU_ASSERT_EQUAL(commit(), BWT_CONFLICT);
	txn_end(&txn);
	memset(&txn, 0, sizeof txn);
	CU_ASSERT_TRUE(fixture_get(&fixture, key, READ_NEWEST, "theirs"));
}

static void a_condition_under_read_committed_still_holds_at_commit(void)
{
	static const enum commit_kind kinds[] = {COMMIT_INSERT, COMMIT_UPDATE, COMMIT_DELETE,
	                                         COMMIT_CAS};

	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		broken(kinds[i], false);
		broken(kinds[i], true);
	}
}

static void put_theirs(void *arg)
{
	(void)arg;
	fixture_put(&fixture, "k", "theirs");
}

static void a_writer_that_is_pending_at_the_look_comes_after_it(void)
{
	struct actor writer;

	begin(TXN_READ_COMMITTED);
	actor_start(&writer, "commit_publish", put_theirs, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer)); /* it has an LSN below any snapshot to come */
	CU_ASSERT_EQUAL(write(COMMIT_INSERT, "k", "mine"), BWT_OK);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(commit(), BWT_CONFLICT);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "theirs"));
}

static void a_rolled_back_condition_is_forgotten(void)
{
	fixture_put(&fixture, "k", "1");
	begin(TXN_READ_COMMITTED);
	CU_ASSERT_EQUAL(write(COMMIT_UPDATE, "k", "2"), BWT_OK);
	CU_ASSERT_EQUAL(write_set_rollback(&txn.writes, 0), BWT_OK);
	CU_ASSERT_EQUAL(write(COMMIT_PUT, "k", "3"), BWT_OK);
	fixture_put(&fixture, "k", "theirs");
	CU_ASSERT_EQUAL(commit(), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "k", READ_NEWEST, "3"));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(own_writes_come_first),
		TEST(what_was_read_ends_where_it_is_durable_if_it_is),
		TEST(serializable_ones_note_what_they_looked_at),
		TEST(conditions_are_about_what_the_transaction_sees),
		TEST(a_condition_that_holds_only_in_the_past_is_a_conflict_at_once),
		TEST(an_unconditional_write_under_read_committed_overwrites),
		TEST(a_condition_under_read_committed_still_holds_at_commit),
		TEST(a_writer_that_is_pending_at_the_look_comes_after_it),
		TEST(a_rolled_back_condition_is_forgotten),
		CU_TEST_INFO_NULL,
	};
	return suite_run("txn", set_up, tear_down, tests);
}
