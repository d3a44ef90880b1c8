/* SPDX-License-Identifier: MIT */
/* test_cursor.c - positions, seeks, prefixes and slices, against a sorted array; no pin between calls (G3) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

static struct fixture fixture;
static struct bwt_cursor *cursor;

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_open(&fixture);
	cursor = NULL;
}

static void tear_down(void)
{
	bwt_cursor_close(cursor);
	fixture_free(&fixture);
}

static void open_cursor(struct bwt_txn *txn)
{
	bwt_cursor_close(cursor);
	cursor = NULL;
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(fixture.tree, txn, &cursor), BWT_OK);
}

static int seek(const char *key, int how)
{
	return bwt_cursor_seek(cursor, text_slice(key), how);
}

/* Does the cursor stand on @key with its own text, or @value, as value? */
static bool stands_on(const char *key, const char *value)
{
	struct bwt_slice got, data;

	if (bwt_cursor_key(cursor, &got) != BWT_OK || bwt_cursor_value(cursor, &data) != BWT_OK)
		return false;
	return got.size == strlen(key) && memcmp(got.data, key, got.size) == 0 &&
	       data.size == strlen(value) && memcmp(data.data, value, data.size) == 0;
}

static bool stands_nowhere(void)
{
	struct bwt_slice slice;

	return bwt_cursor_key(cursor, &slice) == BWT_NOT_FOUND &&
	       bwt_cursor_value(cursor, &slice) == BWT_NOT_FOUND;
}

static void put_each(const char *const *keys)
{
	for (; *keys != NULL; keys++)
		CU_ASSERT_EQUAL_FATAL(fixture_put(&fixture, *keys, *keys), BWT_OK);
}

#define PUT_EACH(...) put_each((const char *const[]){__VA_ARGS__, NULL})

static void a_walk_goes_both_ways(void)
{
	PUT_EACH("b", "a", "c");
	open_cursor(NULL);
	CU_ASSERT_TRUE(stands_nowhere());
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK); /* from nowhere to the first */
	CU_ASSERT_TRUE(stands_on("a", "a"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("c", "c"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	CU_ASSERT_TRUE(stands_nowhere());
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK); /* the opposite move comes back */
	CU_ASSERT_TRUE(stands_on("c", "c"));
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("a", "a"));
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("a", "a"));
	open_cursor(NULL);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK); /* from nowhere to the last */
	CU_ASSERT_TRUE(stands_on("c", "c"));
}

static void an_empty_tree_has_no_positions(void)
{
	open_cursor(NULL);
	for (int how = BWT_GE; how <= BWT_PREFIX; how++)
		CU_ASSERT_EQUAL(seek("x", how), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_NOT_FOUND);
	CU_ASSERT_TRUE(stands_nowhere());
}

static void each_seek_goes_where_it_says(void)
{
	static const struct {
		const char *key;
		int how;
		const char *lands; /* NULL: BWT_NOT_FOUND */
	} seeks[] = {
		{"b", BWT_GE, "b"},     {"c", BWT_GE, "d"},          {"g", BWT_GE, NULL},
		{"", BWT_GE, "b"},      {"b", BWT_GT, "d"},          {"c", BWT_GT, "d"},
		{"f", BWT_GT, NULL},    {"a", BWT_GT, "b"},          {"d", BWT_LE, "d"},
		{"e", BWT_LE, "d"},     {"a", BWT_LE, NULL},         {"z", BWT_LE, "f"},
		{"d", BWT_LT, "b"},     {"e", BWT_LT, "d"},          {"b", BWT_LT, NULL},
		{"z", BWT_LT, "f"},     {"d", BWT_EQ, "d"},          {"c", BWT_EQ, NULL},
		{"", BWT_EQ, NULL},     {"ignored", BWT_FIRST, "b"}, {"x", BWT_LAST, "f"},
		{"d", BWT_PREFIX, "d"}, {"dd", BWT_PREFIX, NULL},    {"", BWT_PREFIX, "b"},
	};

	PUT_EACH("b", "d", "f");
	open_cursor(NULL);
	for (unsigned i = 0; i < sizeof seeks / sizeof *seeks; i++) {
		CU_ASSERT_EQUAL(seek(seeks[i].key, seeks[i].how),
		                seeks[i].lands == NULL ? BWT_NOT_FOUND : BWT_OK);
		CU_ASSERT_TRUE(seeks[i].lands == NULL ? stands_nowhere()
		                                      : stands_on(seeks[i].lands, seeks[i].lands));
	}
}

static void a_seek_that_finds_nothing_stands_past_the_end_it_looked_towards(void)
{
	PUT_EACH("b", "d", "f");
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("g", BWT_GE), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("f", "f"));
	CU_ASSERT_EQUAL(seek("a", BWT_LE), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("b", "b"));
	CU_ASSERT_EQUAL(seek("c", BWT_EQ), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK); /* it stood nowhere */
	CU_ASSERT_TRUE(stands_on("b", "b"));
}

static void a_prefix_bounds_the_moves_until_the_next_seek(void)
{
	PUT_EACH("a", "ab", "aba", "abb", "ac", "b");
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("ab", BWT_PREFIX), BWT_OK);
	CU_ASSERT_TRUE(stands_on("ab", "ab"));
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("ab", "ab"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("abb", "abb"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("abb", "abb"));
	CU_ASSERT_EQUAL(seek("abb", BWT_GE), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("ac", "ac"));
}

static void a_prefix_of_the_largest_bytes_has_an_end(void)
{
	PUT_EACH("a\xff", "a\xff\xff", "a\xff\xff\x01", "b", "\xff", "\xff\xff", "\xff\xff\xff");
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("a\xff\xff", BWT_PREFIX), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("a\xff\xff\x01", "a\xff\xff\x01"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("a\xff\xff\x01", "a\xff\xff\x01"));
	CU_ASSERT_EQUAL(seek("\xff\xff", BWT_PREFIX), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("\xff\xff\xff", "\xff\xff\xff"));
}

static void slices_stay_until_the_next_move(void)
{
	char large[1001];
	struct bwt_slice key, value;

	memset(large, 'L', 1000);
	large[1000] = '\0';
	PUT_EACH("b");
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", large), BWT_OK);
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("", BWT_FIRST), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &key), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &value), BWT_OK); /* from the value log */
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "changed"), BWT_OK);
	fixture_fill(&fixture, 0, 500);
	CU_ASSERT_EQUAL(key.size, 1);
	CU_ASSERT_EQUAL(*(const char *)key.data, 'a');
	CU_ASSERT_EQUAL(value.size, 1000);
	CU_ASSERT_EQUAL(memcmp(value.data, large, 1000), 0);
}

static void a_cursors_own_slices_may_be_the_key_of_its_next_seek(void)
{
	char name[16];
	struct bwt_slice slice;

	for (unsigned i = 0; i < 2000; i++) { /* the value of each key is the one 997 on */
		char next[16];

		snprintf(name, sizeof name, "%08u", i);
		snprintf(next, sizeof next, "%08u", (i + 997) % 2000);
		CU_ASSERT_EQUAL_FATAL(fixture_put(&fixture, name, next), BWT_OK);
	}
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("00000000", BWT_EQ), BWT_OK);
	for (unsigned i = 1; i <= 2000; i++) {
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_value(cursor, &slice), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(bwt_cursor_seek(cursor, slice, i % 2 == 0 ? BWT_EQ : BWT_GE),
		                      BWT_OK);
	}
	CU_ASSERT_TRUE(stands_on("00000000", "00000997"));
	CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &slice), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, slice, BWT_GT), BWT_OK);
	CU_ASSERT_TRUE(stands_on("00000001", "00000998"));
}

/* ---- snapshots ---- */

static void a_cursor_sees_the_moment_it_was_opened(void)
{
	PUT_EACH("a", "b");
	open_cursor(NULL);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "changed"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "c", "new"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, text_slice("b")), BWT_OK);
	for (unsigned round = 0; round < 60; round++)
		fixture_fill(&fixture, 0, 20); /* consolidations */
	CU_ASSERT_EQUAL(seek("", BWT_FIRST), BWT_OK);
	CU_ASSERT_TRUE(stands_on("a", "a"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_TRUE(stands_on("b", "b"));
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_NOT_FOUND);
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("b", BWT_GE), BWT_OK);
	CU_ASSERT_TRUE(stands_on("c", "new"));
}

static void a_cursor_of_an_ended_transaction_is_invalid_until_it_is_closed(void)
{
	struct bwt_slice slice;
	struct bwt_txn *txn;

	PUT_EACH("a");
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	open_cursor(txn);
	CU_ASSERT_EQUAL(seek("", BWT_FIRST), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(seek("", BWT_FIRST), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &slice), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &slice), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_BUSY);
}

static void an_open_cursor_pins_nothing(void)
{
	struct bwt_stats stats;

	fixture_fill(&fixture, 0, 1000);
	open_cursor(NULL);
	CU_ASSERT_EQUAL(seek("", BWT_FIRST), BWT_OK);
	CU_ASSERT_EQUAL(epoch_oldest(&fixture.db->store.epoch), UINT64_MAX);
	stats = fixture_stats(&fixture);
	CU_ASSERT_TRUE(stats.oldest_snapshot_lsn <= stats.newest_lsn);
	for (unsigned round = 0; round < 20;
	     round++) { /* what dies is reused while the cursor is idle */
		fixture_fill(&fixture, 0, 1000);
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	}
	CU_ASSERT_TRUE(fixture_stats(&fixture).arena_bytes < (uint64_t)24 << 20);
	CU_ASSERT_TRUE(stands_on("00000000", "00000000"));
}

/* ---- against a sorted array ---- */

#define KEYS 400

static bool there[KEYS];

static int array_next(int from)
{
	do
		from++;
	while (from < KEYS && !there[from]);
	return from;
}

static int array_prev(int from)
{
	do
		from--;
	while (from >= 0 && !there[from]);
	return from;
}

static void check_at(int rc, int at)
{
	char key[16];

	snprintf(key, sizeof key, "%08d", at);
	if (at < 0 || at >= KEYS) {
		if (rc != BWT_NOT_FOUND || !stands_nowhere())
			CU_FAIL_FATAL("the cursor stands where the array has nothing");
	} else if (rc != BWT_OK || !stands_on(key, key)) {
		CU_FAIL_FATAL("the cursor does not stand where the array does");
	}
}

static void random_moves_agree_with_a_sorted_array(void)
{
	struct rng rng;

	memset(there, 0, sizeof there);
	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < (suite_short() ? 10u : 60u); round++) {
		int at = -1;

		for (unsigned i = 0; i < 60; i++) {
			unsigned key = (unsigned)rng_below(&rng, KEYS);
			char text[16];

			snprintf(text, sizeof text, "%08u", key);
			if (there[key] && rng_chance(&rng, 50)) {
				CU_ASSERT_EQUAL_FATAL(
					bwt_delete(fixture.tree, NULL, text_slice(text)), BWT_OK);
			} else {
				fixture_fill(&fixture, key, key + 1);
			}
			there[key] = fixture_has(&fixture, NULL, text, text);
		}
		open_cursor(NULL);
		for (unsigned i = 0; i < 300; i++) {
			int target = (int)rng_below(&rng, KEYS), rc;
			char text[16];

			snprintf(text, sizeof text, "%08d", target);
			switch (rng_below(&rng, 8)) {
			case 0:
				rc = seek(text, BWT_GE);
				at = array_next(target - 1);
				break;
			case 1:
				rc = seek(text, BWT_GT);
				at = array_next(target);
				break;
			case 2:
				rc = seek(text, BWT_LE);
				at = array_prev(target + 1);
				break;
			case 3:
				rc = seek(text, BWT_LT);
				at = array_prev(target);
				break;
			case 4:
			case 5:
				rc = bwt_cursor_prev(cursor);
				at = i == 0 ? array_prev(KEYS) : at < 0 ? -1 : array_prev(at);
				break;
			default:
				rc = bwt_cursor_next(cursor);
				at = i == 0 ? array_next(-1) : at >= KEYS ? KEYS : array_next(at);
				break;
			}
			check_at(rc, at);
		}
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_walk_goes_both_ways),
		TEST(an_empty_tree_has_no_positions),
		TEST(each_seek_goes_where_it_says),
		TEST(a_seek_that_finds_nothing_stands_past_the_end_it_looked_towards),
		TEST(a_prefix_bounds_the_moves_until_the_next_seek),
		TEST(a_prefix_of_the_largest_bytes_has_an_end),
		TEST(slices_stay_until_the_next_move),
		TEST(a_cursors_own_slices_may_be_the_key_of_its_next_seek),
		TEST(a_cursor_sees_the_moment_it_was_opened),
		TEST(a_cursor_of_an_ended_transaction_is_invalid_until_it_is_closed),
		TEST(an_open_cursor_pins_nothing),
		TEST(random_moves_agree_with_a_sorted_array),
		CU_TEST_INFO_NULL,
	};

	return suite_run("cursor", set_up, tear_down, tests);
}
