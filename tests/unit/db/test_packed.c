/* SPDX-License-Identifier: MIT */
/* test_packed.c - trees whose large values are compressed: flags, changes of mind, snapshots, collection, recovery */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

#define KEYS 120u
#define VALUE_MAX_HERE 9000u

static struct fixture fixture;
static unsigned versions[KEYS];

static void set_up(void)
{
	fixture_new(&fixture);
	fixture.options.inline_max = 200;
	fixture.options.vlog_segment_size = 65536;
	fixture.options.worker_count = (unsigned)BWT_OFF;
	memset(versions, 0, sizeof versions);
	fixture_open(&fixture);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

/* The codecs of this build, of which there may be none. */
static unsigned some_codec(void)
{
	return pack_has(PACK_ZSTD) ? BWT_ZSTD : pack_has(PACK_LZ4) ? BWT_LZ4 : BWT_PLAIN;
}

static bool packs(void)
{
	return some_codec() != BWT_PLAIN;
}

static void store_as(unsigned flags)
{
	struct bwt_tree *tree;

	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, flags, &tree), BWT_OK);
	CU_ASSERT_PTR_EQUAL(tree, fixture.tree);
}

/* Text of few words, so that it becomes a third or less. */
static size_t value_of(unsigned number, unsigned version, char room[VALUE_MAX_HERE])
{
	struct rng rng;
	size_t size = 0, want;

	rng_init(&rng, number * 1000003ull + version);
	want = rng_range(&rng, 2000, VALUE_MAX_HERE - 40);
	while (size < want)
		size += (size_t)sprintf(room + size, "%s of key %u, ",
		                        rng_chance(&rng, 50) ? "version" : "some words", number);
	return size + (size_t)sprintf(room + size, "%u", version);
}

static void put(struct bwt_txn *txn, unsigned number)
{
	char value[VALUE_MAX_HERE], key[16];
	size_t size = value_of(number, ++versions[number], value);

	snprintf(key, sizeof key, "%06u", number);
	CU_ASSERT_EQUAL_FATAL(
		bwt_put(fixture.tree, txn, text_slice(key), (struct bwt_slice){value, size}, 0),
		BWT_OK);
}

static void put_all(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		put(NULL, i);
}

/* Keys whose value, read alone or by a cursor, is not that of their version in @seen. */
static unsigned wrong(struct bwt_txn *txn, const unsigned seen[KEYS])
{
	struct bwt_cursor *cursor;
	struct bwt_buf got = {0};
	unsigned bad = 0;

	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(fixture.tree, txn, &cursor), BWT_OK);
	for (unsigned i = 0; i < KEYS; i++) {
		char value[VALUE_MAX_HERE], key[16];
		size_t size = value_of(i, seen[i], value);
		struct bwt_slice there = {NULL, 0};

		snprintf(key, sizeof key, "%06u", i);
		bad += bwt_get(fixture.tree, txn, text_slice(key), &got) != BWT_OK ||
		       got.size != size || memcmp(got.data, value, size) != 0;
		bad += bwt_cursor_next(cursor) != BWT_OK ||
		       bwt_cursor_value(cursor, &there) != BWT_OK || there.size != size ||
		       memcmp(there.data, value, size) != 0;
	}
	bwt_cursor_close(cursor);
	bwt_buf_free(&got);
	return bad;
}

static uint64_t live(void)
{
	return fixture_stats(&fixture).vlog_live_bytes;
}

static void values_are_stored_smaller_and_read_as_they_were(void)
{
	uint64_t plain;

	put_all();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	plain = live();
	fixture_reopen(&fixture);
	store_as(some_codec());
	put_all();
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	/* Some of the old ones count until their leaf is consolidated. */
	CU_ASSERT_TRUE(!packs() || fixture_stats(&fixture).vlog_bytes < 2 * plain);
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_OK);
}

static void a_tree_may_change_its_mind(void)
{
	static const unsigned turns[] = {BWT_LZ4, BWT_PLAIN, BWT_ZSTD, 0, BWT_LZ4};

	for (unsigned i = 0; i < KEYS; i++) {
		unsigned flags = turns[i % 5];
		bool has = flags == BWT_LZ4    ? pack_has(PACK_LZ4)
		           : flags == BWT_ZSTD ? pack_has(PACK_ZSTD)
		                               : true;

		if (has)
			store_as(flags);
		put(NULL, i);
	}
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static void flags_stay_until_they_are_changed_or_the_store_is_closed(void)
{
	store_as(some_codec());
	store_as(0);
	CU_ASSERT_EQUAL(tree_codec(&fixture.tree->named->tree) != PACK_NONE, packs());
	store_as(BWT_PLAIN);
	CU_ASSERT_EQUAL(tree_codec(&fixture.tree->named->tree), PACK_NONE);
	store_as(some_codec());
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(tree_codec(&fixture.tree->named->tree), PACK_NONE);
}

static void flags_that_contradict_or_cannot_be_are_refused(void)
{
	struct bwt_tree *tree;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, BWT_LZ4 | BWT_ZSTD, &tree), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, BWT_LZ4 | BWT_PLAIN, &tree), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, BWT_ZSTD | BWT_PLAIN, &tree), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, BWT_LZ4, &tree),
	                pack_has(PACK_LZ4) ? BWT_OK : BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, BWT_ZSTD, &tree),
	                pack_has(PACK_ZSTD) ? BWT_OK : BWT_INVALID);
}

static void transactions_store_and_compare_them(void)
{
	char value[VALUE_MAX_HERE];
	struct bwt_slice all, other = {value, 3};
	struct bwt_txn *txn;

	store_as(some_codec());
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	for (unsigned i = 0; i < KEYS; i++)
		put(txn, i);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	all = (struct bwt_slice){value, value_of(5, versions[5], value)};
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, text_slice("000005"), &all, &all), BWT_OK);
	value[all.size / 2] ^= 1;
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, text_slice("000005"), &all, &other),
	                BWT_MISMATCH);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static void collection_moves_them_as_they_are(void)
{
	unsigned before[KEYS];
	struct bwt_stats stats;
	struct bwt_txn *txn;
	struct rng rng;

	rng_init(&rng, rng_seed());
	fixture_close(&fixture);
	fixture.options.vlog_space_target = 110;
	fixture_open(&fixture);
	store_as(some_codec());
	put_all();
	memcpy(before, versions, sizeof before);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_NEWEST, &txn), BWT_OK);
	for (unsigned i = 0; i < 30 * KEYS; i++)
		put(NULL, (unsigned)rng_below(&rng, KEYS));
	CU_ASSERT_EQUAL(wrong(txn, before), 0);
	bwt_abort(txn);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	stats = fixture_stats(&fixture);
	CU_ASSERT_TRUE(stats.values_moved > 0);
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_OK);
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

/* The folder as it is while the store is open: what a crash would leave. */
static void they_are_replayed_and_backed_up(void)
{
	char copy[TMPSTORE_PATH_MAX], backup[TMPSTORE_PATH_MAX + 8];
	struct fixture first;

	store_as(some_codec());
	put_all();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	put_all();
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	tmpstore_new(copy);
	snprintf(backup, sizeof backup, "%s.more", copy);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, backup), BWT_OK);
	tmpstore_copy(fixture.path, copy);
	first = fixture;
	for (unsigned turn = 0; turn < 2; turn++) {
		fixture.options.flags = 0;
		CU_ASSERT_EQUAL_FATAL(
			bwt_open(turn == 0 ? copy : backup, &fixture.options, &fixture.db), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
		CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
		CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_OK);
		CU_ASSERT_EQUAL(bwt_verify(turn == 0 ? copy : backup, 0, NULL, NULL), BWT_OK);
	}
	fixture = first;
	tmpstore_free(copy);
	tmpstore_free(backup);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(values_are_stored_smaller_and_read_as_they_were),
		TEST(a_tree_may_change_its_mind),
		TEST(flags_stay_until_they_are_changed_or_the_store_is_closed),
		TEST(flags_that_contradict_or_cannot_be_are_refused),
		TEST(transactions_store_and_compare_them),
		TEST(collection_moves_them_as_they_are),
		TEST(they_are_replayed_and_backed_up),
		CU_TEST_INFO_NULL,
	};

	return suite_run("packed", set_up, tear_down, tests);
}
