/* SPDX-License-Identifier: MIT */
/*
 * txn_anomaly.c - each anomaly played by hand, at each level: it happens where the level allows it,
 * so that the test can see it, and one of the transactions is refused where the level does not
 *
 * Sources: A. Adya, "Weak Consistency", MIT 1999 (G0, G1, G2); A. Fekete, E. O'Neil, P. O'Neil, "A
 *          Read-Only Transaction Anomaly Under Snapshot Isolation", SIGMOD Record 33(3), 2004.
 */
#include "tests/txn/play.h"

#include <stdio.h>

static const unsigned levels[] = {BWT_READ_COMMITTED, 0, BWT_SERIALIZABLE};

static void start(const char *x, const char *y)
{
	CU_ASSERT_EQUAL(bwt_delete_range(play.tree, NULL, (struct bwt_slice){NULL, 0},
	                                 (struct bwt_slice){NULL, 0}),
	                BWT_OK);
	put(NULL, "x", x);
	put(NULL, "y", y);
}

/* ---- what no level allows ---- */

static void g0_two_transactions_do_not_mix_their_writes(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *first, *second;
		bool first_lost, second_lost;
		int rc = BWT_OK, rc2 = BWT_OK;

		start("0", "0");
		first = begin(levels[i]);
		second = begin(levels[i]);
		rc = try_put(first, "x", "1", 0);
		rc2 = try_put(second, "x", "2", 0);
		if (rc2 == BWT_OK)
			rc2 = try_put(second, "y", "2", 0);
		second_lost = lost(second, rc2);
		if (rc == BWT_OK)
			rc = try_put(first, "y", "1", 0);
		first_lost = lost(first, rc);
		CU_ASSERT_FALSE(first_lost && second_lost);
		CU_ASSERT_EQUAL(first_lost || second_lost, levels[i] != BWT_READ_COMMITTED);
		CU_ASSERT_STRING_EQUAL(walk(NULL), first_lost ? "x=2 y=2" : "x=1 y=1");
	}
}

static void g1a_nobody_reads_what_was_aborted(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *writer, *reader;

		start("0", "0");
		writer = begin(levels[i]);
		reader = begin(levels[i]);
		put(writer, "x", "1");
		CU_ASSERT_TRUE(has(reader, "x", "0"));
		bwt_abort(writer);
		CU_ASSERT_TRUE(has(reader, "x", "0"));
		CU_ASSERT_TRUE(has(NULL, "x", "0"));
		CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	}
}

static void g1b_nobody_reads_what_its_writer_changes_again(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *writer, *reader;

		start("0", "0");
		writer = begin(levels[i]);
		reader = begin(levels[i]);
		put(writer, "x", "1");
		CU_ASSERT_TRUE(has(reader, "x", "0"));
		put(writer, "x", "2");
		CU_ASSERT_EQUAL(bwt_commit(writer), BWT_OK);
		CU_ASSERT_TRUE(has(reader, "x", levels[i] == BWT_READ_COMMITTED ? "2" : "0"));
		CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	}
}

static void g1c_two_transactions_do_not_see_each_other(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *first, *second;
		bool first_lost, second_lost;

		start("0", "0");
		first = begin(levels[i]);
		second = begin(levels[i]);
		put(first, "x", "1");
		put(second, "y", "1");
		CU_ASSERT_TRUE(has(first, "y", "0"));
		CU_ASSERT_TRUE(has(second, "x", "0"));
		first_lost = lost(first, BWT_OK);
		second_lost = lost(second, BWT_OK);
		CU_ASSERT_FALSE(first_lost);
		CU_ASSERT_EQUAL(second_lost, levels[i] == BWT_SERIALIZABLE); /* write skew */
	}
}

/* ---- what read committed allows ---- */

static void half_of_a_transaction_is_seen_under_read_committed_only(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *reader, *writer;

		start("0", "0");
		reader = begin(levels[i]);
		CU_ASSERT_TRUE(has(reader, "x", "0"));
		writer = begin(levels[i]);
		put(writer, "x", "1");
		put(writer, "y", "1");
		CU_ASSERT_EQUAL(bwt_commit(writer), BWT_OK);
		CU_ASSERT_TRUE(has(reader, "y", levels[i] == BWT_READ_COMMITTED ? "1" : "0"));
		CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK); /* it only read */
	}
}

static void an_update_is_lost_under_read_committed_only(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *first, *second;
		bool second_lost;
		int rc;

		start("10", "0");
		first = begin(levels[i]);
		second = begin(levels[i]);
		CU_ASSERT_TRUE(has(first, "x", "10"));
		CU_ASSERT_TRUE(has(second, "x", "10"));
		put(first, "x", "11");
		CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
		rc = try_put(second, "x", "12", 0); /* may say so at once */
		second_lost = lost(second, rc);
		CU_ASSERT_EQUAL(second_lost, levels[i] != BWT_READ_COMMITTED);
		CU_ASSERT_TRUE(has(NULL, "x", second_lost ? "11" : "12"));
	}
}

static void the_first_to_commit_wins_not_the_first_to_write(void)
{
	struct bwt_txn *first, *second;

	start("0", "0");
	first = begin(0);
	second = begin(0);
	put(first, "x", "1");
	put(second, "x", "2");
	CU_ASSERT_EQUAL(bwt_commit(second), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(first), BWT_CONFLICT);
	CU_ASSERT_TRUE(has(NULL, "x", "2"));
}

static void a_plain_write_counts_as_a_transaction_that_came_first(void)
{
	struct bwt_slice zero = text("0"), one = text("1");

	for (unsigned how = 0; how < 4; how++) {
		struct bwt_txn *txn;
		int rc;

		start("0", "0");
		txn = begin(0);
		rc = try_put(txn, "x", "2", 0);
		CU_ASSERT_EQUAL(how == 0   ? try_put(NULL, "x", "1", 0)
		                : how == 1 ? try_delete(NULL, "x")
		                : how == 2 ? bwt_cas(play.tree, NULL, text("x"), &zero, &one)
		                           : bwt_delete_range(play.tree, NULL, text("x"), text("y")),
		                BWT_OK);
		CU_ASSERT_TRUE(lost(txn, rc));
		CU_ASSERT_TRUE(has(NULL, "x", how == 0 || how == 2 ? "1" : NULL));
	}
}

static void conflicts_are_per_key(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *first, *second;

		start("0", "0");
		first = begin(levels[i]);
		second = begin(levels[i]);
		put(first, "x", "1");
		put(second, "x0", "2"); /* neighbours on one page */
		put(second, "w", "2");
		CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
		CU_ASSERT_EQUAL(bwt_commit(second), BWT_OK);
		CU_ASSERT_STRING_EQUAL(walk(NULL), "w=2 x=1 x0=2 y=0");
	}
}

static void inserts_and_deletes_conflict_as_puts_do(void)
{
	struct bwt_txn *first, *second;
	int rc;

	start("0", "0");
	first = begin(0);
	second = begin(0);
	CU_ASSERT_EQUAL(try_put(first, "n", "1", BWT_INSERT), BWT_OK);
	CU_ASSERT_EQUAL(try_put(second, "n", "2", BWT_INSERT), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(second), BWT_CONFLICT);
	first = begin(0);
	second = begin(0);
	CU_ASSERT_EQUAL(try_delete(first, "n"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
	rc = try_put(second, "n", "3", BWT_UPDATE);
	CU_ASSERT_TRUE(lost(second, rc));
	CU_ASSERT_TRUE(has(NULL, "n", NULL));
}

/* Deleted and put again with the same bytes, it is still another version. */
static void a_key_that_came_back_is_a_conflict_too(void)
{
	struct bwt_txn *txn, *strict;
	int rc;

	start("0", "0");
	txn = begin(0);
	strict = begin(BWT_SERIALIZABLE);
	CU_ASSERT_TRUE(has(strict, "x", "0"));
	CU_ASSERT_EQUAL(try_delete(NULL, "x"), BWT_OK);
	put(NULL, "x", "0");
	rc = try_put(txn, "x", "1", 0);
	CU_ASSERT_TRUE(lost(txn, rc));
	rc = try_put(strict, "z", "1", 0);
	(void)lost(strict, rc); /* the same value was read: either answer is a serial order */
	CU_ASSERT_TRUE(has(NULL, "x", "0"));
}

/* What is behind by a thousand versions, checkpoints and consolidations is found all the same. */
static void a_conflict_far_back_is_found(void)
{
	struct bwt_txn *writer, *reader;
	char value[16];

	start("0", "0");
	writer = begin(0);
	reader = begin(BWT_SERIALIZABLE);
	CU_ASSERT_TRUE(has(reader, "x", "0"));
	put(reader, "r", "1");
	put(writer, "x", "1");
	put(NULL, "x", "2");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(value, sizeof value, "%u", i);
		put(NULL, value, value);
		put(NULL, "y", value);
	}
	CU_ASSERT_EQUAL(bwt_checkpoint(play.db), BWT_OK);
	CU_ASSERT_TRUE(has(writer, "y", "0"));
	CU_ASSERT_EQUAL(bwt_commit(writer), BWT_CONFLICT);
	CU_ASSERT_EQUAL(bwt_commit(reader), BWT_CONFLICT);
}

/* ---- what a snapshot allows ---- */

static void write_skew_happens_under_snapshot_and_not_under_serializable(void)
{
	for (unsigned i = 1; i < COUNT_OF(levels);
	     i++) { /* two on call, each may leave if the other stays */
		struct bwt_txn *first, *second;
		bool second_lost;

		start("on", "on");
		first = begin(levels[i]);
		second = begin(levels[i]);
		CU_ASSERT_TRUE(has(first, "y", "on"));
		CU_ASSERT_TRUE(has(second, "x", "on"));
		put(first, "x", "off");
		put(second, "y", "off");
		CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
		second_lost = lost(second, BWT_OK);
		CU_ASSERT_EQUAL(second_lost, levels[i] == BWT_SERIALIZABLE);
		CU_ASSERT_STRING_EQUAL(walk(NULL), second_lost ? "x=off y=on" : "x=off y=off");
	}
}

static void write_skew_by_get_many_and_cas_is_refused_too(void)
{
	for (unsigned how = 0; how < 3; how++) {
		struct bwt_slice key = text("x"), on = text("on"), off = text("off");
		struct bwt_buf got = {NULL, 0, 0};
		struct bwt_txn *first, *second;
		int result, rc;

		start("on", "on");
		first = begin(BWT_SERIALIZABLE);
		second = begin(BWT_SERIALIZABLE);
		CU_ASSERT_TRUE(has(first, "y", "on"));
		put(first, "x", "off");
		if (how == 0)
			rc = bwt_get_many(play.tree, second, 1, &key, &got, &result);
		else if (how == 1)
			rc = bwt_get(play.tree, second, key, &got);
		else /* a mismatch says what x is not */
			rc = bwt_cas(play.tree, second, key, &off, &on) + (0 - BWT_MISMATCH);
		CU_ASSERT_EQUAL(rc, BWT_OK);
		CU_ASSERT_EQUAL(bwt_cas(play.tree, second, text("y"), &on, &off), BWT_OK);
		CU_ASSERT_EQUAL(bwt_commit(first), BWT_OK);
		CU_ASSERT_TRUE(lost(second, BWT_OK));
		CU_ASSERT_STRING_EQUAL(walk(NULL), "x=off y=on");
		bwt_buf_free(&got);
	}
}

static void a_key_put_where_absence_was_read_is_refused_under_serializable(void)
{
	for (unsigned i = 1; i < COUNT_OF(levels); i++) {
		struct bwt_slice missing = text("n");
		bool strict = levels[i] == BWT_SERIALIZABLE;

		for (unsigned how = 0; how < 5; how++) {
			struct bwt_txn *txn;
			int result, rc;

			start("0", "0");
			txn = begin(levels[i]);
			if (how == 0)
				rc = bwt_get(play.tree, txn, missing, NULL);
			else if (how == 1)
				rc = bwt_get_many(play.tree, txn, 1, &missing, NULL, &result);
			else if (how == 2)
				rc = bwt_cas(play.tree, txn, missing, NULL, NULL);
			else if (how == 3)
				rc = try_delete(txn, "n");
			else
				rc = try_put(txn, "n", "1", BWT_UPDATE);
			CU_ASSERT_TRUE(rc == BWT_OK || rc == BWT_NOT_FOUND);
			put(NULL, "n", "1");
			rc = try_put(txn, "z", "1", 0);
			CU_ASSERT_EQUAL(lost(txn, rc), strict);
		}
	}
}

/* Reads [d, g] by a cursor in some way; then somebody changes @key. */
static bool scan_then(unsigned level, unsigned how, const char *key, bool deletes)
{
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;
	bool forward = how % 2 == 0;
	int rc;

	start("0", "0");
	put(NULL, "b", "0");
	put(NULL, "d", "0");
	put(NULL, "e", "0");
	put(NULL, "g", "0");
	put(NULL, "k", "0");
	txn = begin(level);
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, text(forward ? "d" : "g"), forward ? BWT_GE : BWT_LE),
	                BWT_OK);
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_STRING_EQUAL(at(cursor), forward ? "g=0" : "d=0");
	bwt_cursor_close(cursor);
	rc = try_put(txn, "z", "1", 0);
	CU_ASSERT_EQUAL(deletes ? try_delete(NULL, key) : try_put(NULL, key, "1", 0), BWT_OK);
	return lost(txn, rc);
}

static void a_phantom_in_a_scanned_range_is_refused_under_serializable(void)
{
	for (unsigned how = 0; how < 2; how++) {
		CU_ASSERT_FALSE(scan_then(0, how, "f", false));
		CU_ASSERT_FALSE(scan_then(0, how, "e", true));
		CU_ASSERT_TRUE(scan_then(BWT_SERIALIZABLE, how, "f", false)); /* new, inside */
		CU_ASSERT_TRUE(scan_then(BWT_SERIALIZABLE, how, "dd", false));
		CU_ASSERT_TRUE(scan_then(BWT_SERIALIZABLE, how, "e", false)); /* changed */
		CU_ASSERT_TRUE(scan_then(BWT_SERIALIZABLE, how, "e", true));  /* deleted */
		CU_ASSERT_TRUE(scan_then(BWT_SERIALIZABLE, how, "d", false)); /* at the ends */
		CU_ASSERT_TRUE(scan_then(BWT_SERIALIZABLE, how, "g", true));
	}
}

/* A scan that came to the end has read that nothing follows; one of nothing has read emptiness. */
static void the_ends_of_a_scan_are_part_of_it(void)
{
	static const struct {
		const char *key;
		int how;
		const char *phantom;
		bool lost;
	} scans[] = {
		{"p", BWT_PREFIX, "pq", true}, {"p", BWT_PREFIX, "p", true},
		{"m", BWT_GE, "n", true},      {"m", BWT_GE, "w", true},
		{"m", BWT_GT, "m", false},     {"zz", BWT_GE, "zzz", true},
		{"zz", BWT_GT, "zz", false},   {"zz", BWT_GT, "zz0", true},
		{"", BWT_FIRST, "a", true},    {"", BWT_LAST, "zz", true},
		{"m", BWT_EQ, "m", true},      {"m", BWT_LE, "a", true},
		{"w", BWT_LT, "a", true},
	};

	for (unsigned i = 0; i < COUNT_OF(scans); i++) {
		struct bwt_cursor *cursor;
		struct bwt_txn *txn;
		bool was_lost;
		int rc;

		start("0", "0"); /* x and y alone */
		txn = begin(BWT_SERIALIZABLE);
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
		rc = bwt_cursor_seek(cursor, text(scans[i].key), scans[i].how);
		CU_ASSERT_TRUE(rc == BWT_OK || rc == BWT_NOT_FOUND);
		bwt_cursor_close(cursor);
		put(NULL, scans[i].phantom, "1");
		rc = try_put(txn, "r", "1", 0);
		was_lost = lost(txn, rc);
		if (scans[i].lost && !was_lost)
			printf("         seek %u of %s and a put of %s: committed\n",
			       (unsigned)scans[i].how, scans[i].key, scans[i].phantom);
		CU_ASSERT_TRUE(was_lost || !scans[i].lost); /* checks of ranges may be coarser */
	}
}

static void a_scan_of_another_part_is_no_conflict(void)
{
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;

	fill("a", 3000);
	fill("z", 3000);
	txn = begin(BWT_SERIALIZABLE);
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, text("a"), BWT_PREFIX), BWT_OK);
	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	bwt_cursor_close(cursor);
	put(txn, "r", "1");
	put(NULL, "z01500", "1"); /* pages away */
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void a_phantom_on_a_page_that_split_is_found(void)
{
	struct bwt_txn *txn;
	char key[16];

	fill("k", 200);
	txn = begin(BWT_SERIALIZABLE);
	CU_ASSERT_TRUE(strlen(walk(txn)) > 1000);
	put(txn, "r", "1");
	for (unsigned i = 0; i < 5000; i++) { /* pages split; then all but one of the new ones go */
		snprintf(key, sizeof key, "k%05u+", i % 200);
		put(NULL, key, key);
		if (i != 4999)
			CU_ASSERT_EQUAL(try_delete(NULL, key), BWT_OK);
	}
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_CONFLICT);
}

/* The pages around a range that was read are emptied and merge; then something comes into the range. */
static void a_phantom_beside_pages_that_merged_is_found(void)
{
	for (unsigned phantom = 0; phantom < 2; phantom++) {
		struct bwt_cursor *cursor;
		struct bwt_txn *txn;

		CU_ASSERT_EQUAL(bwt_delete_range(play.tree, NULL, text("k"), text("l")), BWT_OK);
		fill("k", 6000);
		txn = begin(BWT_SERIALIZABLE);
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
		CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, text("k03000"), BWT_GE), BWT_OK);
		for (unsigned i = 0; i < 5; i++)
			CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
		bwt_cursor_close(cursor);
		put(txn, "r", "1");
		CU_ASSERT_EQUAL(bwt_delete_range(play.tree, NULL, text("k"), text("k02990")), BWT_OK);
		CU_ASSERT_EQUAL(bwt_delete_range(play.tree, NULL, text("k03020"), text("l")), BWT_OK);
		for (unsigned i = 0; i < 300; i++) /* consolidations, and with them merges */
			put(NULL, "k03010", "1");
		CU_ASSERT_EQUAL(bwt_checkpoint(play.db), BWT_OK);
		if (phantom == 1)
			put(NULL, "k03002+", "1");
		CU_ASSERT_TRUE(lost(txn, BWT_OK) || phantom == 0); /* checks of ranges may be coarser */
		CU_ASSERT_TRUE(has(NULL, "k03000", "k03000"));
	}
}

/*
 * Fekete, O'Neil and O'Neil: x and y are two accounts of a customer. T2 puts 20 into y; T1 takes 10
 * from x and, seeing x + y = 0, charges 1 for overdrawing; T3 only reads, between the two commits, and
 * sees 20 in y and nothing charged: then the charge is wrong in every order.
 */
static bool overdraft(unsigned level, unsigned reader_level, bool *reader_lost)
{
	struct bwt_txn *charge, *deposit, *reader;

	start("0", "0");
	charge = begin(level);
	CU_ASSERT_TRUE(has(charge, "x", "0"));
	CU_ASSERT_TRUE(has(charge, "y", "0"));
	deposit = begin(level);
	CU_ASSERT_TRUE(has(deposit, "y", "0"));
	put(deposit, "y", "20");
	CU_ASSERT_EQUAL(bwt_commit(deposit), BWT_OK);
	reader = begin(reader_level);
	CU_ASSERT_TRUE(has(reader, "x", "0"));
	CU_ASSERT_TRUE(has(reader, "y", "20"));
	*reader_lost = lost(reader, BWT_OK);
	put(charge, "x", "-11");
	return lost(charge, BWT_OK);
}

static void the_read_only_anomaly_happens_under_snapshot_and_not_under_serializable(void)
{
	static const unsigned readers[] = {0, BWT_RDONLY, BWT_RDONLY | BWT_SERIALIZABLE};
	bool reader_lost;

	for (unsigned i = 0; i < COUNT_OF(readers); i++) {
		CU_ASSERT_FALSE(overdraft(0, readers[i], &reader_lost));
		CU_ASSERT_FALSE(reader_lost);
		CU_ASSERT_STRING_EQUAL(walk(NULL), "x=-11 y=20"); /* there it is */
	}
	for (unsigned i = 1; i < COUNT_OF(readers); i++) {
		CU_ASSERT_TRUE(overdraft(BWT_SERIALIZABLE, readers[i], &reader_lost));
		CU_ASSERT_FALSE(reader_lost); /* never the reader */
		CU_ASSERT_STRING_EQUAL(walk(NULL), "x=0 y=20");
	}
	CU_ASSERT_TRUE(overdraft(BWT_SERIALIZABLE, BWT_SERIALIZABLE, &reader_lost));
}

static void read_only_transactions_are_never_refused(void)
{
	static const unsigned flags[] = {0, BWT_NEWEST, BWT_SERIALIZABLE, BWT_READ_COMMITTED};

	for (unsigned i = 0; i < COUNT_OF(flags); i++) {
		struct bwt_txn *reader, *writer;

		start("0", "0");
		reader = begin(BWT_RDONLY | flags[i]);
		CU_ASSERT_TRUE(has(reader, "x", "0"));
		CU_ASSERT_TRUE(has(reader, "n", NULL));
		CU_ASSERT_STRING_EQUAL(walk(reader), "x=0 y=0");
		writer = begin(BWT_SERIALIZABLE);
		put(writer, "x", "1");
		put(writer, "n", "1");
		CU_ASSERT_EQUAL(bwt_commit(writer), BWT_OK); /* nor does it stop a writer */
		CU_ASSERT_EQUAL(bwt_commit(reader), BWT_OK);
	}
}

static void a_serializable_transaction_that_only_read_may_commit_late(void)
{
	struct bwt_txn *txn;

	start("0", "0");
	txn = begin(BWT_SERIALIZABLE);
	CU_ASSERT_TRUE(has(txn, "x", "0"));
	put(NULL, "x", "1");
	(void)lost(txn, BWT_OK); /* without writes its snapshot is a place in the order: both are right */
	CU_ASSERT_TRUE(has(NULL, "x", "1"));
}

/* ---- levels beside each other ---- */

static void a_serializable_reader_is_refused_for_a_write_of_any_level(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *strict, *writer;

		start("0", "0");
		strict = begin(BWT_SERIALIZABLE);
		writer = begin(levels[i]);
		CU_ASSERT_TRUE(has(strict, "x", "0"));
		put(strict, "y", "1");
		put(writer, "x", "1");
		CU_ASSERT_EQUAL(bwt_commit(writer), BWT_OK);
		CU_ASSERT_EQUAL(bwt_commit(strict), BWT_CONFLICT);
		CU_ASSERT_STRING_EQUAL(walk(NULL), "x=1 y=0");
	}
}

static void own_writes_are_no_conflict_for_own_reads(void)
{
	struct bwt_txn *txn;

	start("0", "0");
	txn = begin(BWT_SERIALIZABLE);
	CU_ASSERT_TRUE(has(txn, "x", "0"));
	CU_ASSERT_TRUE(has(txn, "n", NULL));
	CU_ASSERT_STRING_EQUAL(walk(txn), "x=0 y=0");
	put(txn, "x", "1");
	put(txn, "n", "1");
	CU_ASSERT_EQUAL(try_delete(txn, "y"), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(txn), "n=1 x=1");
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "n=1 x=1");
}

/* What was read of one's own writes depends on nobody. */
static void reading_an_own_write_is_no_read(void)
{
	struct bwt_txn *txn;
	int rc;

	start("0", "0");
	txn = begin(BWT_SERIALIZABLE);
	rc = try_put(txn, "n", "1", 0);
	CU_ASSERT_TRUE(has(txn, "n", "1"));
	put(NULL, "x", "1");
	CU_ASSERT_FALSE(lost(txn, rc));
	CU_ASSERT_STRING_EQUAL(walk(NULL), "n=1 x=1 y=0");
}

/* Each condition, found true by the transaction and made false by another before it commits. */
static bool condition_lost(unsigned how, bool more, bool prunes)
{
	struct bwt_slice zero = text("0"), mine = text("mine");
	struct bwt_txn *txn;
	int rc;

	start("0", "0");
	txn = begin(BWT_READ_COMMITTED);
	rc = how == 0   ? try_put(txn, "n", "mine", BWT_INSERT)
	     : how == 1 ? try_put(txn, "x", "mine", BWT_UPDATE)
	     : how == 2 ? try_delete(txn, "x")
	     : how == 3 ? bwt_cas(play.tree, txn, text("n"), NULL, &mine)
	                : bwt_cas(play.tree, txn, text("x"), &zero, &mine);
	CU_ASSERT_EQUAL(rc, BWT_OK);
	CU_ASSERT_EQUAL(how == 0 || how == 3   ? try_put(NULL, "n", "theirs", 0)
	                : how == 1 || how == 2 ? try_delete(NULL, "x")
	                                       : try_put(NULL, "x", "theirs", 0),
	                BWT_OK);
	for (unsigned i = 0; prunes && i < 200; i++) /* LSNs of versions that nobody tells apart go */
		put(NULL, "y", "theirs");
	rc = more ? try_put(txn, "z", "mine", 0) : BWT_OK;
	return lost(txn, rc);
}

static void read_committed_conditions_hold_at_commit_or_are_refused(void)
{
	for (unsigned how = 0; how < 5; how++)
		for (unsigned variant = 0; variant < 4; variant++) {
			CU_ASSERT_TRUE(condition_lost(how, variant % 2 == 1, variant / 2 == 1));
			CU_ASSERT_TRUE(has(NULL, how == 0 || how == 3 ? "n" : "x",
			                   how == 1 || how == 2 ? NULL : "theirs"));
		}
}

/* ---- after a conflict ---- */

static void a_lost_transaction_run_again_comes_through(void)
{
	struct bwt_txn *txn;

	start("0", "0");
	for (unsigned attempt = 0; attempt < 3; attempt++) {
		txn = begin(BWT_SERIALIZABLE);
		(void)has(txn, "x", "0");
		put(txn, "y", "1");
		if (attempt < 2)
			put(NULL, "x", attempt == 0 ? "1" : "2");
		CU_ASSERT_EQUAL(bwt_commit(txn), attempt < 2 ? BWT_CONFLICT : BWT_OK);
	}
	CU_ASSERT_STRING_EQUAL(walk(NULL), "x=2 y=1");
}

static void a_lost_transaction_may_be_aborted(void)
{
	struct bwt_txn *txn;

	start("0", "0");
	txn = begin(0);
	put(NULL, "x", "1");
	(void)try_put(txn, "x", "2", 0);
	bwt_abort(txn);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "x=1 y=0");
}

static void a_refused_commit_changes_nothing_at_all(void)
{
	struct bwt_tree *other;
	struct bwt_txn *txn;
	char key[16];

	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(play.db, "other", BWT_CREATE, &other), BWT_OK);
	start("0", "0");
	txn = begin(0);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "k%04u", i);
		put(txn, key, "mine");
	}
	CU_ASSERT_EQUAL(bwt_put(other, txn, text("k"), text("mine"), 0), BWT_OK);
	CU_ASSERT_EQUAL(try_delete(txn, "y"), BWT_OK);
	put(NULL, "k0999", "theirs"); /* the last of the main tree */
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_CONFLICT);
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k0999=theirs x=0 y=0");
	CU_ASSERT_STRING_EQUAL(walk_back(NULL), "y=0 x=0 k0999=theirs");
	CU_ASSERT_STRING_EQUAL(walk_tree(other, NULL, true), "");
	CU_ASSERT_EQUAL(key_count(), 3);
	play_reopen();
	CU_ASSERT_STRING_EQUAL(walk(NULL), "k0999=theirs x=0 y=0");
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(g0_two_transactions_do_not_mix_their_writes),
		TEST(g1a_nobody_reads_what_was_aborted),
		TEST(g1b_nobody_reads_what_its_writer_changes_again),
		TEST(g1c_two_transactions_do_not_see_each_other),
		TEST(half_of_a_transaction_is_seen_under_read_committed_only),
		TEST(an_update_is_lost_under_read_committed_only),
		TEST(the_first_to_commit_wins_not_the_first_to_write),
		TEST(a_plain_write_counts_as_a_transaction_that_came_first),
		TEST(conflicts_are_per_key),
		TEST(inserts_and_deletes_conflict_as_puts_do),
		TEST(a_key_that_came_back_is_a_conflict_too),
		TEST(a_conflict_far_back_is_found),
		TEST(write_skew_happens_under_snapshot_and_not_under_serializable),
		TEST(write_skew_by_get_many_and_cas_is_refused_too),
		TEST(a_key_put_where_absence_was_read_is_refused_under_serializable),
		TEST(a_phantom_in_a_scanned_range_is_refused_under_serializable),
		TEST(the_ends_of_a_scan_are_part_of_it),
		TEST(a_scan_of_another_part_is_no_conflict),
		TEST(a_phantom_on_a_page_that_split_is_found),
		TEST(a_phantom_beside_pages_that_merged_is_found),
		TEST(the_read_only_anomaly_happens_under_snapshot_and_not_under_serializable),
		TEST(read_only_transactions_are_never_refused),
		TEST(a_serializable_transaction_that_only_read_may_commit_late),
		TEST(a_serializable_reader_is_refused_for_a_write_of_any_level),
		TEST(own_writes_are_no_conflict_for_own_reads),
		TEST(reading_an_own_write_is_no_read),
		TEST(read_committed_conditions_hold_at_commit_or_are_refused),
		TEST(a_lost_transaction_run_again_comes_through),
		TEST(a_lost_transaction_may_be_aborted),
		TEST(a_refused_commit_changes_nothing_at_all),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_anomaly", play_set_up, play_tear_down, tests);
}
