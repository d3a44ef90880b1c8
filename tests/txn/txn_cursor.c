/* SPDX-License-Identifier: MIT */
/* txn_cursor.c - cursors that merge a transaction's own changes with its snapshot, both directions */
#include "tests/txn/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/rng.h"

static const unsigned levels[] = {0, BWT_READ_COMMITTED, BWT_SERIALIZABLE};

static struct bwt_cursor *cursor_of(struct bwt_txn *txn)
{
	struct bwt_cursor *cursor;

	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(play.tree, txn, &cursor), BWT_OK);
	return cursor;
}

static const char *seek(struct bwt_cursor *cursor, const char *key, int how)
{
	int rc = bwt_cursor_seek(cursor, text(key), how);

	return rc == BWT_OK ? at(cursor) : rc == BWT_NOT_FOUND ? "none" : "failed";
}

static const char *next(struct bwt_cursor *cursor)
{
	int rc = bwt_cursor_next(cursor);

	return rc == BWT_OK ? at(cursor) : rc == BWT_NOT_FOUND ? "none" : "failed";
}

static const char *prev(struct bwt_cursor *cursor)
{
	int rc = bwt_cursor_prev(cursor);

	return rc == BWT_OK ? at(cursor) : rc == BWT_NOT_FOUND ? "none" : "failed";
}

/* Committed: b=1 d=1 f=1 h=1. Own: a, c (new), d (changed), f (deleted), i (new). */
static struct bwt_txn *begin_mixed(unsigned flags)
{
	struct bwt_txn *txn;

	put(NULL, "b", "1");
	put(NULL, "d", "1");
	put(NULL, "f", "1");
	put(NULL, "h", "1");
	txn = begin(flags);
	put(txn, "i", "9");
	put(txn, "a", "9");
	put(txn, "d", "9");
	put(txn, "c", "9");
	CU_ASSERT_EQUAL(try_delete(txn, "f"), BWT_OK);
	return txn;
}

static void walks_merge_own_changes_in_both_directions(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *txn = begin_mixed(levels[i]);

		CU_ASSERT_STRING_EQUAL(walk(txn), "a=9 b=1 c=9 d=9 h=1 i=9");
		CU_ASSERT_STRING_EQUAL(walk_back(txn), "i=9 h=1 d=9 c=9 b=1 a=9");
		CU_ASSERT_STRING_EQUAL(walk(NULL), "b=1 d=1 f=1 h=1");
		bwt_abort(txn);
	}
}

static void every_way_to_seek_merges(void)
{
	struct bwt_txn *txn = begin_mixed(0);
	struct bwt_cursor *cursor = cursor_of(txn);

	CU_ASSERT_STRING_EQUAL(seek(cursor, "", BWT_FIRST), "a=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "", BWT_LAST), "i=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "c", BWT_EQ), "c=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "d", BWT_EQ), "d=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "h", BWT_EQ), "h=1");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "f", BWT_EQ), "none");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "f", BWT_GE), "h=1");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "f", BWT_LE), "d=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "c", BWT_GE), "c=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "c", BWT_GT), "d=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "c", BWT_LE), "c=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "c", BWT_LT), "b=1");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "b", BWT_GT), "c=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "b", BWT_LT), "a=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "h", BWT_GT), "i=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "i", BWT_GT), "none");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "i=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "a", BWT_LT), "none");
	CU_ASSERT_STRING_EQUAL(next(cursor), "a=9");
	bwt_cursor_close(cursor);
	bwt_abort(txn);
}

static void moves_turn_round_anywhere_and_at_both_ends(void)
{
	struct bwt_txn *txn = begin_mixed(BWT_SERIALIZABLE);
	struct bwt_cursor *cursor = cursor_of(txn);

	CU_ASSERT_STRING_EQUAL(next(cursor), "a=9"); /* without a position: the first */
	CU_ASSERT_STRING_EQUAL(next(cursor), "b=1");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "a=9");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "none");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "none");
	CU_ASSERT_STRING_EQUAL(next(cursor), "a=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "b=1");
	CU_ASSERT_STRING_EQUAL(next(cursor), "c=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "d=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "h=1");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "d=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "h=1");
	CU_ASSERT_STRING_EQUAL(next(cursor), "i=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "i=9");
	bwt_cursor_close(cursor);
	cursor = cursor_of(txn);
	CU_ASSERT_STRING_EQUAL(prev(cursor), "i=9"); /* without a position: the last */
	bwt_cursor_close(cursor);
	bwt_abort(txn);
}

static void writes_made_after_the_cursor_was_opened_are_seen(void)
{
	for (unsigned i = 0; i < COUNT_OF(levels); i++) {
		struct bwt_txn *txn = begin_mixed(levels[i]);
		struct bwt_cursor *cursor = cursor_of(txn);

		CU_ASSERT_STRING_EQUAL(seek(cursor, "b", BWT_EQ), "b=1");
		put(txn, "bb", "9");
		CU_ASSERT_STRING_EQUAL(next(cursor), "bb=9"); /* right before it */
		CU_ASSERT_EQUAL(try_delete(txn, "c"), BWT_OK);
		CU_ASSERT_STRING_EQUAL(next(cursor), "d=9");
		put(txn, "h", "10"); /* ahead, committed before */
		CU_ASSERT_STRING_EQUAL(next(cursor), "h=10");
		CU_ASSERT_EQUAL(try_delete(txn, "h"), BWT_OK); /* where it stands */
		CU_ASSERT_STRING_EQUAL(next(cursor), "i=9");
		CU_ASSERT_STRING_EQUAL(prev(cursor), "d=9");
		put(txn, "f", "11"); /* deleted, and put again */
		CU_ASSERT_STRING_EQUAL(next(cursor), "f=11");
		CU_ASSERT_STRING_EQUAL(prev(cursor), "d=9");
		put(txn, "cc", "9"); /* behind it */
		CU_ASSERT_STRING_EQUAL(prev(cursor), "cc=9");
		CU_ASSERT_STRING_EQUAL(prev(cursor), "bb=9");
		bwt_cursor_close(cursor);
		bwt_abort(txn);
	}
}

static void writes_past_the_end_are_seen_when_it_turns_there(void)
{
	struct bwt_txn *txn;
	struct bwt_cursor *cursor;

	put(NULL, "b", "1");
	txn = begin(0);
	cursor = cursor_of(txn);
	CU_ASSERT_STRING_EQUAL(next(cursor), "b=1");
	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	put(txn, "c", "2");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "c=2"); /* the last one now */
	CU_ASSERT_STRING_EQUAL(prev(cursor), "b=1");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "none");
	put(txn, "a", "0");
	CU_ASSERT_STRING_EQUAL(next(cursor), "a=0");
	bwt_cursor_close(cursor);
	bwt_abort(txn);
}

static void a_cursor_over_own_writes_alone_works(void)
{
	struct bwt_txn *txn = begin(0);
	struct bwt_cursor *cursor = cursor_of(txn);

	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	put(txn, "b", "2");
	put(txn, "a", "1");
	CU_ASSERT_STRING_EQUAL(walk(txn), "a=1 b=2");
	CU_ASSERT_STRING_EQUAL(walk_back(txn), "b=2 a=1");
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void a_prefix_bounds_both_directions_over_own_writes(void)
{
	struct bwt_txn *txn;
	struct bwt_cursor *cursor;

	put(NULL, "a", "1");
	put(NULL, "p2", "1");
	put(NULL, "p4", "1");
	put(NULL, "q", "1");
	txn = begin(0);
	put(txn, "p1", "9");
	put(txn, "p3", "9");
	put(txn, "p5", "9");
	put(txn, "o", "9");
	put(txn, "pz", "9");
	CU_ASSERT_EQUAL(try_delete(txn, "p4"), BWT_OK);
	cursor = cursor_of(txn);
	CU_ASSERT_STRING_EQUAL(seek(cursor, "p", BWT_PREFIX), "p1=9");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "none");
	CU_ASSERT_STRING_EQUAL(next(cursor), "p1=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "p2=1");
	CU_ASSERT_STRING_EQUAL(next(cursor), "p3=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "p5=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "pz=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	CU_ASSERT_STRING_EQUAL(prev(cursor), "pz=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "p3", BWT_PREFIX), "p3=9");
	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "p4", BWT_PREFIX), "none");
	CU_ASSERT_STRING_EQUAL(next(cursor), "none");
	put(txn, "p42", "9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "p4", BWT_PREFIX), "p42=9");
	CU_ASSERT_STRING_EQUAL(seek(cursor, "pz", BWT_EQ), "pz=9"); /* no bound any more */
	CU_ASSERT_STRING_EQUAL(next(cursor), "q=1");
	bwt_cursor_close(cursor);
	bwt_abort(txn);
}

static void the_key_survives_the_value(void)
{
	char *large = malloc(100000);
	struct bwt_slice key, value;
	struct bwt_cursor *cursor;
	struct bwt_txn *txn = begin(0);

	memset(large, 'x', 100000);
	CU_ASSERT_EQUAL(bwt_put(play.tree, txn, text("key"), (struct bwt_slice){large, 100000}, 0),
	                BWT_OK);
	cursor = cursor_of(txn);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &key), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &value), BWT_OK);
	CU_ASSERT_TRUE(key.size == 3 && memcmp(key.data, "key", 3) == 0);
	CU_ASSERT_TRUE(value.size == 100000 && memcmp(value.data, large, 100000) == 0);
	bwt_cursor_close(cursor);
	bwt_abort(txn);
	free(large);
}

static void a_read_committed_cursor_shows_nothing_uncommitted(void)
{
	struct bwt_txn *moving, *writer;
	struct bwt_cursor *cursor;
	const char *entry;

	put(NULL, "a", "1");
	put(NULL, "z", "1");
	moving = begin(BWT_READ_COMMITTED);
	cursor = cursor_of(moving);
	CU_ASSERT_STRING_EQUAL(next(cursor), "a=1");
	writer = begin(0);
	put(writer, "z", "2");
	entry = next(cursor);
	CU_ASSERT_STRING_EQUAL(entry, "z=1"); /* not what nobody committed */
	CU_ASSERT_EQUAL(bwt_commit(writer), BWT_OK);
	CU_ASSERT_STRING_EQUAL(walk(moving), "a=1 z=2"); /* a new walk sees it */
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(bwt_commit(moving), BWT_OK);
}

/* ---- many keys, over many pages, against an array ---- */

#define MODEL_KEYS 4000u

static unsigned model[MODEL_KEYS]; /* 0: absent, else the version */

static const char *model_key(char room[16], unsigned number)
{
	snprintf(room, 16, "%08u", number);
	return room;
}

static void model_put(struct bwt_txn *txn, unsigned number, unsigned version)
{
	char key[16], value[16];

	snprintf(value, sizeof value, "%u", version);
	put(txn, model_key(key, number), value);
	model[number] = version;
}

static void model_delete(struct bwt_txn *txn, unsigned number)
{
	char key[16];

	CU_ASSERT_EQUAL_FATAL(try_delete(txn, model_key(key, number)),
	                      model[number] != 0 ? BWT_OK : BWT_NOT_FOUND);
	model[number] = 0;
}

/* Is @cursor on what the array says is next to @from in this direction? Moves @from there. */
static bool model_move(struct bwt_cursor *cursor, int *from, bool forward)
{
	int rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor);
	char expected[40];

	do
		*from += forward ? 1 : -1;
	while (*from >= 0 && *from < (int)MODEL_KEYS && model[*from] == 0);
	if (*from < 0 || *from >= (int)MODEL_KEYS) {
		*from = forward ? (int)MODEL_KEYS : -1;
		return rc == BWT_NOT_FOUND;
	}
	snprintf(expected, sizeof expected, "%08d=%u", *from, model[*from]);
	return rc == BWT_OK && strcmp(at(cursor), expected) == 0;
}

static void long_walks_beside_own_writes_agree_with_an_array(void)
{
	struct rng rng;
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;
	unsigned steps = suite_short() ? 20000 : 100000;
	int from = -1;

	rng_init(&rng, rng_seed());
	memset(model, 0, sizeof model);
	for (unsigned i = 0; i < MODEL_KEYS; i += 2)
		model_put(NULL, i, 1);
	txn = begin(0);
	cursor = cursor_of(txn);
	for (unsigned step = 1; step <= steps; step++) {
		unsigned near = (unsigned)(from < 0 ? 0 : from) + (unsigned)rng_below(&rng, 8);
		unsigned number = near >= 4 ? (near - 4) % MODEL_KEYS : near;
		bool forward = step == 1 || rng_chance(&rng, 55); /* it begins nowhere */

		if (rng_chance(&rng, 20))
			model_put(txn, number, step + 1);
		else if (rng_chance(&rng, 15))
			model_delete(txn, number);
		if (rng_chance(&rng, 2)) { /* somebody else, between the keys: not in this snapshot */
			char key[16];

			model_key(key, (unsigned)rng_below(&rng, MODEL_KEYS));
			strcat(key, "x");
			put(NULL, key, "other");
		}
		if (!model_move(cursor, &from, forward)) {
			printf("         step %u, %s to %d: it is on %s\n", step,
			       forward ? "forward" : "back", from, at(cursor));
			CU_FAIL_FATAL("the walk differs from the array");
			break;
		}
	}
	bwt_cursor_close(cursor);
	bwt_abort(txn);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(walks_merge_own_changes_in_both_directions),
		TEST(every_way_to_seek_merges),
		TEST(moves_turn_round_anywhere_and_at_both_ends),
		TEST(writes_made_after_the_cursor_was_opened_are_seen),
		TEST(writes_past_the_end_are_seen_when_it_turns_there),
		TEST(a_cursor_over_own_writes_alone_works),
		TEST(a_prefix_bounds_both_directions_over_own_writes),
		TEST(the_key_survives_the_value),
		TEST(a_read_committed_cursor_shows_nothing_uncommitted),
		TEST(long_walks_beside_own_writes_agree_with_an_array),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_cursor", play_set_up, play_tear_down, tests);
}
