/* SPDX-License-Identifier: MIT */
/* test_merge.c - walks over a snapshot, alone and under own writes, compared with arrays */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/merge.h"
#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

#define KEYS 1200 /* numbers that are keys, written in text; some dozen leaves */

static struct fixture fixture;
static struct snapshot_slot *snapshot;
static struct walk walk;
static struct write_set writes;
static const struct write_entry *entry; /* that the last merge came to */
static bool stored[KEYS];               /* in the snapshot */
static uint8_t own[KEYS];               /* enum write_kind */

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_open(&fixture);
	memset(stored, 0, sizeof stored);
	memset(own, 0, sizeof own);
	memset(&writes, 0, sizeof writes);
	snapshot = NULL;
	entry = NULL;
}

static void tear_down(void)
{
	walk_free(&walk);
	write_set_free(&writes);
	if (snapshot != NULL)
		snapshot_release(snapshot);
	fixture_free(&fixture);
}

static struct bwt_slice key_of(char room[64], int number)
{
	/* Long enough that pages split, of different lengths. */
	int size = snprintf(room, 64, "%06d%.*s", number, number % 40,
	                    "........................................");

	return (struct bwt_slice){room, (size_t)size};
}

static void store(int number, bool there)
{
	char room[64];
	struct bwt_slice key = key_of(room, number);
	int rc = there ? bwt_put(fixture.tree, NULL, key, key, 0)
	               : bwt_delete(fixture.tree, NULL, key);

	CU_ASSERT_TRUE_FATAL(rc == BWT_OK || (rc == BWT_NOT_FOUND && !there));
}

static void begin(void)
{
	struct store *all = &fixture.db->store;

	CU_ASSERT_EQUAL_FATAL(snapshot_acquire(&all->snapshots, store_clock, all, &snapshot), BWT_OK);
	walk = (struct walk){
		.store = all, .tree = &fixture.tree->named->tree, .lsn = snapshot_lsn(snapshot)};
}

static void fill(const int *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		store(numbers[i], true);
		stored[numbers[i]] = true;
	}
}

static void change(int number, enum write_kind kind)
{
	char room[64];
	struct bwt_slice key = key_of(room, number);

	CU_ASSERT_EQUAL_FATAL(
		write_set_change(&writes, &fixture.tree->named->tree, key, key, kind, NULL), BWT_OK);
	own[number] = (uint8_t)kind;
}

/* Is what a move came to with @rc, an own entry or the walk's, key @number? */
static bool is(int rc, int number)
{
	char room[64];
	struct bwt_slice key = key_of(room, number < 0 ? 0 : number);

	if (number < 0 || number >= KEYS)
		return rc == BWT_NOT_FOUND;
	if (rc != BWT_OK || (entry != NULL) != (own[number] == WRITE_PUT))
		return false;
	return entry != NULL ? key_compare(entry->key, key) == 0
	                     : key_ref_compare_slice(&walk_entry(&walk)->key, key) == 0;
}

static bool visible(int number)
{
	return own[number] == WRITE_PUT || (own[number] == WRITE_NONE && stored[number]);
}

static int model_right(int number)
{
	while (number < KEYS && !visible(number))
		number++;
	return number;
}

static int model_left(int number)
{
	while (number >= 0 && !visible(number))
		number--;
	return number;
}

/* ---- by hand ---- */

static void a_walk_alone_finds_its_neighbours(void)
{
	static const int numbers[] = {10, 20, 30};
	char room[64];

	fill(numbers, 3);
	begin();
	CU_ASSERT_TRUE(is(walk_right(&walk, key_of(room, 10), false), 10));
	CU_ASSERT_TRUE(is(walk_right(&walk, key_of(room, 10), true), 20));
	CU_ASSERT_TRUE(is(walk_next(&walk), 30));
	CU_ASSERT_TRUE(is(walk_next(&walk), -1));
	CU_ASSERT_TRUE(is(walk_left(&walk, key_of(room, 20), true), 20));
	CU_ASSERT_TRUE(is(walk_prev(&walk), 10));
	CU_ASSERT_TRUE(is(walk_prev(&walk), -1));
	CU_ASSERT_TRUE(is(walk_left(&walk, key_of(room, 10), false), -1));
	CU_ASSERT_TRUE(is(walk_last(&walk), 30));
	CU_ASSERT_TRUE(is(walk_exact(&walk, key_of(room, 20)), 20));
	CU_ASSERT_TRUE(is(walk_exact(&walk, key_of(room, 21)), -1));
	CU_ASSERT_TRUE(walk.newest > 0 && walk.newest <= walk.lsn);
}

static void a_copy_is_gone_back_to_without_a_descent(void)
{
	static const int numbers[] = {10, 20, 30};
	char room[64];
	uint64_t page_looks;

	fill(numbers, 3);
	begin();
	CU_ASSERT_EQUAL(walk_left(&walk, key_of(room, 10), true), BWT_OK);
	page_looks = walk.newest;
	walk.newest = 0; /* set by every leaf that is loaded */
	CU_ASSERT_TRUE(is(walk_right(&walk, key_of(room, 10), true), 20));
	CU_ASSERT_TRUE(is(walk_left(&walk, key_of(room, 20), false), 10));
	CU_ASSERT_TRUE(is(walk_exact(&walk, key_of(room, 30)), 30));
	CU_ASSERT_EQUAL(walk.newest, 0);
	CU_ASSERT_EQUAL(walk_last(&walk), BWT_OK);
	CU_ASSERT_EQUAL(walk.newest, page_looks);
}

static void own_writes_lie_over_the_store_and_own_deletes_hide_it(void)
{
	static const int numbers[] = {10, 20, 30, 40};
	struct bwt_slice key;
	char room[64];

	fill(numbers, 4);
	begin();
	change(5, WRITE_PUT);
	change(10, WRITE_DELETE);
	change(20, WRITE_PUT);
	change(30, WRITE_DELETE);
	change(40, WRITE_DELETE);
	change(50, WRITE_DELETE); /* of nothing */
	key = key_of(room, 5);
	CU_ASSERT_TRUE(is(merge_right(&walk, &writes, key, false, &entry), 5));
	CU_ASSERT_TRUE(is(merge_right(&walk, &writes, key, true, &entry), 20));
	key = key_of(room, 20);
	CU_ASSERT_TRUE(is(merge_right(&walk, &writes, key, true, &entry), -1));
	CU_ASSERT_TRUE(is(merge_left(&walk, &writes, NULL, false, &entry), 20));
	CU_ASSERT_TRUE(is(merge_left(&walk, &writes, &key, false, &entry), 5));
	CU_ASSERT_TRUE(is(merge_exact(&walk, &writes, key, &entry), 20));
	CU_ASSERT_TRUE(is(merge_exact(&walk, &writes, key_of(room, 30), &entry), -1));
	write_set_rollback(&writes, 0);
	memset(own, 0, sizeof own);
	CU_ASSERT_TRUE(is(merge_exact(&walk, &writes, key_of(room, 30), &entry), 30));
	CU_ASSERT_TRUE(is(merge_left(&walk, &writes, NULL, false, &entry), 40));
}

/* ---- at random ---- */

static void random_move(struct rng *rng)
{
	int number = (int)rng_below(rng, KEYS);
	bool flag = rng_chance(rng, 50);
	char room[64];
	struct bwt_slice key = key_of(room, number);
	int rc;

	switch (rng_below(rng, 4)) {
	case 0:
		rc = merge_left(&walk, &writes, &key, flag, &entry);
		CU_ASSERT_TRUE_FATAL(is(rc, model_left(flag ? number : number - 1)));
		break;
	case 1:
		rc = merge_exact(&walk, &writes, key, &entry);
		CU_ASSERT_TRUE_FATAL(is(rc, visible(number) ? number : -1));
		break;
	case 2:
		rc = merge_left(&walk, &writes, NULL, flag, &entry);
		CU_ASSERT_TRUE_FATAL(is(rc, model_left(KEYS - 1)));
		break;
	default:
		rc = merge_right(&walk, &writes, key, flag, &entry);
		CU_ASSERT_TRUE_FATAL(is(rc, model_right(flag ? number + 1 : number)));
	}
}

/* All there is, in one direction, with a write now and then on the way. */
static void random_walk(struct rng *rng)
{
	bool forward = rng_chance(rng, 50);
	int number = forward ? model_right(0) : model_left(KEYS - 1);
	char room[64];

	while (number >= 0 && number < KEYS) {
		struct bwt_slice key = key_of(room, number);
		int rc;

		if (rng_chance(rng, 5))
			change((int)rng_below(rng, KEYS),
			       rng_chance(rng, 50) ? WRITE_PUT : WRITE_DELETE);
		rc = forward ? merge_right(&walk, &writes, key, true, &entry)
		             : merge_left(&walk, &writes, &key, false, &entry);
		number = forward ? model_right(number + 1) : model_left(number - 1);
		CU_ASSERT_TRUE_FATAL(is(rc, number));
	}
}

static void random_writes_over_random_trees_agree_with_arrays(void)
{
	struct rng rng;
	unsigned dense;

	rng_init(&rng, rng_seed());
	dense = (unsigned)rng_range(&rng, 0, 100);
	for (int i = 0; i < KEYS; i++) {
		int number = i * 7 % KEYS;

		stored[number] = rng_chance(&rng, dense);
		store(number, true);
		if (!stored[number] || rng_chance(&rng, 10))
			store(number, false);
		if (stored[number])
			store(number, true);
	}
	begin();
	for (unsigned step = 0; step < (suite_short() ? 400u : 4000u); step++) {
		if (rng_chance(&rng, 30))
			change((int)rng_below(&rng, KEYS),
			       rng_chance(&rng, 50) ? WRITE_PUT : WRITE_DELETE);
		if (rng_chance(&rng, 30)) /* somebody else: not in the snapshot */
			store((int)rng_below(&rng, KEYS), rng_chance(&rng, 50));
		if (rng_chance(&rng, 1)) {
			random_walk(&rng);
		} else if (rng_chance(&rng, 1)) {
			CU_ASSERT_EQUAL(write_set_rollback(&writes, 0), BWT_OK);
			memset(own, 0, sizeof own);
		}
		random_move(&rng);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_walk_alone_finds_its_neighbours),
		TEST(a_copy_is_gone_back_to_without_a_descent),
		TEST(own_writes_lie_over_the_store_and_own_deletes_hide_it),
		TEST(random_writes_over_random_trees_agree_with_arrays),
		CU_TEST_INFO_NULL,
	};
	return suite_run("merge", set_up, tear_down, tests);
}
