/* SPDX-License-Identifier: MIT */
/* test_scan.c - leaf after leaf, copied out: what one reader sees, in both directions, while leaves split */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/rng.h"
#include "tests/unit/tree/tree_fixture.h"
#include "tree/heat.h"

static struct fixture fixture;
static struct leaf_copy copy;

static void set_up(void)
{
	fixture_new(&fixture, 512, 8);
	memset(&copy, 0, sizeof copy);
}

static void tear_down(void)
{
	testpoint_reset();
	leaf_copy_free(&copy);
	fixture_free(&fixture);
}

/* A version_choice: the newest committed version below the snapshot at @ctx. */
static int see(void *ctx, struct page_entry *versions, unsigned count)
{
	uint64_t snapshot = *(uint64_t *)ctx;

	for (unsigned i = 0; i < count; i++) {
		uint64_t word = versions[i].word == NULL ? word_make(WORD_COMMITTED, versions[i].lsn)
		                                         : atomic_load(versions[i].word);

		if (word_state(word) == WORD_COMMITTED && word_lsn(word) < snapshot)
			return (int)i;
	}
	return -1;
}

static void load(struct bwt_slice key, bool before, uint64_t snapshot)
{
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL_FATAL(
		tree_copy_leaf(&fixture.tree, fixture.slot, key, before, see, &snapshot, &copy),
		BWT_OK);
	epoch_unpin(fixture.slot);
}

static void load_next(uint64_t snapshot)
{
	char fence[64];
	struct bwt_slice key = {fence, copy.high.size};

	memcpy(fence, copy.high.data, copy.high.size);
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL_FATAL(
		tree_copy_next_leaf(&fixture.tree, fixture.slot, key, see, &snapshot, &copy), BWT_OK);
	epoch_unpin(fixture.slot);
}

static void load_before(uint64_t snapshot)
{
	char fence[64];
	struct bwt_slice key = {fence, copy.low.size};

	memcpy(fence, copy.low.data, copy.low.size);
	load(key, true, snapshot);
}

static void load_last(uint64_t snapshot)
{
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL_FATAL(
		tree_copy_last_leaf(&fixture.tree, fixture.slot, see, &snapshot, &copy), BWT_OK);
	epoch_unpin(fixture.slot);
}

static unsigned number_of(const struct scan_entry *entry)
{
	uint8_t text[16] = {0};

	CU_ASSERT_EQUAL_FATAL(key_ref_size(&entry->key), 8);
	key_ref_copy(&entry->key, 0, text);
	return (unsigned)strtoul((char *)text, NULL, 10);
}

static bool value_is(const struct scan_entry *entry, const char *text)
{
	return entry->value_size == strlen(text) &&
	       memcmp(entry->value, text, entry->value_size) == 0;
}

/* All keys from left to right at @snapshot, each value checked to be its key's text; their number. */
static unsigned walk_right(uint64_t snapshot, unsigned *numbers)
{
	struct key_text text;
	unsigned count = 0;

	load(slice_of_text(""), false, snapshot);
	for (;;) {
		for (unsigned i = 0; i < copy.count; i++) {
			numbers[count] = number_of(&copy.entries[i]);
			if (!value_is(&copy.entries[i], key_of(numbers[count], &text).data))
				CU_FAIL("a value of another key");
			count++;
		}
		if (copy.high.data == NULL)
			return count;
		load_next(snapshot);
	}
}

static unsigned walk_left(uint64_t snapshot, unsigned *numbers)
{
	unsigned count = 0;

	load_last(snapshot);
	for (;;) {
		for (unsigned i = copy.count; i-- > 0;)
			numbers[count++] = number_of(&copy.entries[i]);
		if (copy.low.size == 0)
			return count;
		load_before(snapshot);
	}
}

#define KEYS 2000u
static unsigned numbers[4 * KEYS];

static void a_walk_meets_every_key_in_order(void)
{
	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_EQUAL(walk_right(NEWEST, numbers), KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		CU_ASSERT_EQUAL(numbers[i], i);
	CU_ASSERT_EQUAL(walk_left(NEWEST, numbers), KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		CU_ASSERT_EQUAL(numbers[i], KEYS - 1 - i);
}

static void an_empty_tree_is_walked_at_once(void)
{
	CU_ASSERT_EQUAL(walk_right(NEWEST, numbers), 0);
	CU_ASSERT_PTR_NULL(copy.high.data);
	CU_ASSERT_EQUAL(copy.low.size, 0);
	CU_ASSERT_EQUAL(walk_left(NEWEST, numbers), 0);
}

static void deltas_and_base_page_are_one(void)
{
	fixture_fill(&fixture, 0, 6);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 0, LEAVE_PENDING), BWT_OK);
	fixture_put(&fixture, 2, "changed");
	fixture_delete(&fixture, 4);
	fixture_put(&fixture, 9, "added");
	fixture_put(&fixture, 0, "");
	load(slice_of_text(""), false, NEWEST);
	CU_ASSERT_EQUAL_FATAL(copy.count, 6);
	CU_ASSERT_TRUE(value_is(&copy.entries[0], ""));
	CU_ASSERT_TRUE(value_is(&copy.entries[1], "00000001"));
	CU_ASSERT_TRUE(value_is(&copy.entries[2], "changed"));
	CU_ASSERT_EQUAL(number_of(&copy.entries[3]), 3);
	CU_ASSERT_EQUAL(number_of(&copy.entries[4]), 5);
	CU_ASSERT_EQUAL(number_of(&copy.entries[5]), 9);
	CU_ASSERT_TRUE(value_is(&copy.entries[5], "added"));
}

static void the_reader_chooses_the_version(void)
{
	uint64_t before = fixture_put(&fixture, 1, "one"), after;

	after = fixture_put(&fixture, 1, "two");
	fixture_put(&fixture, 2, "late");
	load(slice_of_text(""), false, before);
	CU_ASSERT_EQUAL(copy.count, 0);
	load(slice_of_text(""), false, before + 1);
	CU_ASSERT_EQUAL_FATAL(copy.count, 1);
	CU_ASSERT_TRUE(value_is(&copy.entries[0], "one"));
	load(slice_of_text(""), false, after + 1);
	CU_ASSERT_EQUAL_FATAL(copy.count, 1);
	CU_ASSERT_TRUE(value_is(&copy.entries[0], "two"));
	load(slice_of_text(""), false, NEWEST);
	CU_ASSERT_EQUAL(copy.count, 2);
}

static void a_key_whose_seen_version_is_a_tombstone_is_not_there(void)
{
	uint64_t deleted;

	fixture_put(&fixture, 1, "one");
	deleted = fixture_delete(&fixture, 1);
	fixture_put(&fixture, 1, "again");
	load(slice_of_text(""), false, deleted);
	CU_ASSERT_EQUAL(copy.count, 1);
	load(slice_of_text(""), false, deleted + 1);
	CU_ASSERT_EQUAL(copy.count, 0);
	load(slice_of_text(""), false, NEWEST);
	CU_ASSERT_EQUAL(copy.count, 1);
}

static void a_pending_version_is_the_readers_to_judge(void)
{
	struct leaf_delta *delta;

	fixture_put(&fixture, 1, "one");
	delta = fixture_pending(&fixture, 1, "two");
	load(slice_of_text(""), false, NEWEST);
	CU_ASSERT_TRUE(value_is(&copy.entries[0], "one"));
	atomic_store(&delta->lsn_word, word_make(WORD_COMMITTED, 64));
	load(slice_of_text(""), false, NEWEST);
	CU_ASSERT_TRUE(value_is(&copy.entries[0], "two"));
}

static void a_large_value_is_handed_out_as_its_reference(void)
{
	struct value_ref ref;

	fixture_put_large(&fixture, 1, 77);
	load(slice_of_text(""), false, NEWEST);
	CU_ASSERT_EQUAL_FATAL(copy.count, 1);
	CU_ASSERT_EQUAL(copy.entries[0].flags, VERSION_VLOG);
	CU_ASSERT_EQUAL_FATAL(copy.entries[0].value_size, sizeof ref);
	memcpy(&ref, copy.entries[0].value, sizeof ref);
	CU_ASSERT_EQUAL(ref.segment, 77);
}

static void a_copy_outlives_what_it_was_made_from(void)
{
	fixture_fill(&fixture, 0, 5);
	fixture_put(&fixture, 3, "00000003");
	load(slice_of_text(""), false, NEWEST);
	for (unsigned round = 0; round < 200;
	     round++) { /* the leaf is rebuilt, its extents used again */
		fixture_put(&fixture, round % 5, "something else");
		extents_reclaim(&fixture.extents);
	}
	CU_ASSERT_EQUAL_FATAL(copy.count, 5);
	for (unsigned i = 0; i < 5; i++) {
		struct key_text text;

		CU_ASSERT_EQUAL(number_of(&copy.entries[i]), i);
		CU_ASSERT_TRUE(value_is(&copy.entries[i], key_of(i, &text).data));
	}
}

static void a_walk_goes_on_over_leaves_that_split_under_it(void)
{
	uint64_t snapshot;
	unsigned met = 0;

	for (unsigned i = 0; i < KEYS; i += 2)
		fixture_fill(&fixture, i, i + 1);
	snapshot = atomic_load(&fixture.clock) + 1;
	fixture.horizon = (struct horizon){.future = snapshot, .count = 0};
	load(slice_of_text(""), false, snapshot);
	for (;;) {
		for (unsigned i = 0; i < copy.count; i++, met += 2)
			if (number_of(&copy.entries[i]) != met)
				CU_FAIL_FATAL("a key is missing or met twice");
		if (copy.high.data == NULL)
			break;
		/* Where the walk is, and to the right of it; not for ever. */
		for (unsigned at = met + 1; at < met + 80 && at < KEYS + 500; at += 2)
			fixture_fill(&fixture, at, at + 1);
		load_next(snapshot);
	}
	CU_ASSERT_EQUAL(met, KEYS);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void the_next_leaf_is_found_when_the_neighbours_id_is_another_page_now(void)
{
	page_id stale;

	fixture_fill(&fixture, 0, 300);
	load(slice_of_text(""), false, NEWEST);
	stale = copy.right;
	CU_ASSERT_NOT_EQUAL_FATAL(stale, 0);
	copy.right = fixture.tree.root; /* an inner page */
	load_next(NEWEST);
	CU_ASSERT_EQUAL(copy.entries[0].key.suffix == NULL, false);
	load(slice_of_text(""), false, NEWEST);
	copy.right = stale + 1; /* a leaf that begins elsewhere, or none */
	load_next(NEWEST);
	load_before(NEWEST);
	CU_ASSERT_EQUAL(number_of(&copy.entries[0]), 0);
	load(slice_of_text(""), false, NEWEST);
	copy.right = 60000; /* an id that is not in use */
	load_next(NEWEST);
	load_before(NEWEST);
	CU_ASSERT_EQUAL(number_of(&copy.entries[0]), 0);
}

static void unposted_splits_hide_nothing(void)
{
	testpoint_set("split_not_posted", 0, NULL, NULL);
	fixture_fill(&fixture, 0, 400);
	CU_ASSERT_EQUAL(walk_right(NEWEST, numbers), 400);
	CU_ASSERT_EQUAL(walk_left(NEWEST, numbers), 400);
	for (unsigned i = 0; i < 400; i++)
		CU_ASSERT_EQUAL(numbers[i], 399 - i);
}

/* Over leaves with and without deltas, tombstones and old versions. */
static void a_copy_from_a_key_holds_all_of_the_leaf_behind_it(void)
{
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < 2000; round++) {
		unsigned number = (unsigned)rng_below(&rng, KEYS), first = 0;
		struct leaf_copy part = {0};
		uint64_t snapshot = NEWEST;
		struct key_text text;
		struct bwt_slice key;

		if (rng_chance(&rng, 20))
			fixture_delete(&fixture, number);
		else
			fixture_fill(&fixture, number, number + 1);
		key = key_of((unsigned)rng_below(&rng, KEYS), &text);
		load(key, false, snapshot);
		epoch_pin(fixture.slot);
		CU_ASSERT_EQUAL(tree_copy_leaf_from(&fixture.tree, fixture.slot, key, see,
		                                    &snapshot, &part),
		                BWT_OK);
		epoch_unpin(fixture.slot);
		/* The whole leaf where it had to be chosen from: then the same entries from the same place on. */
		while (first < copy.count && part.count < copy.count - first)
			first++;
		CU_ASSERT_EQUAL_FATAL(part.count, copy.count - first);
		CU_ASSERT_TRUE(first == 0 ||
		               key_ref_compare_slice(&copy.entries[first - 1].key, key) < 0);
		CU_ASSERT_TRUE(key_compare(part.low, key) <= 0);
		for (unsigned i = 0; i < part.count; i++)
			if (number_of(&part.entries[i]) != number_of(&copy.entries[first + i]) ||
			    part.entries[i].value_size != copy.entries[first + i].value_size)
				CU_FAIL_FATAL("another entry");
		leaf_copy_free(&part);
	}
}

static void walks_agree_with_an_array(void)
{
	static bool there[KEYS];
	struct rng rng;

	memset(there, 0, sizeof there);
	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < (suite_short() ? 5u : 40u); round++) {
		unsigned count, next = 0;

		for (unsigned i = 0; i < 300; i++) {
			unsigned key = (unsigned)rng_below(&rng, KEYS);

			if (there[key] && rng_chance(&rng, 70))
				fixture_delete(&fixture, key);
			else
				fixture_fill(&fixture, key, key + 1);
			there[key] = fixture_has(&fixture, key, NEWEST, NULL) == false;
		}
		count = walk_right(NEWEST, numbers);
		for (unsigned key = 0; key < KEYS; key++)
			if (there[key] && (next == count || numbers[next++] != key))
				CU_FAIL_FATAL("a key is missing");
		CU_ASSERT_EQUAL(next, count);
		CU_ASSERT_EQUAL(walk_left(NEWEST, numbers), count);
	}
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_damaged_leaf_stops_the_walk(void)
{
	uint64_t snapshot = NEWEST;
	struct place place;
	char fence[64];

	fixture_fill(&fixture, 0, 300);
	load(slice_of_text(""), false, NEWEST);
	place = fixture_locate(&fixture, 250);
	mapping_set(&fixture.mapping, place.page, 0);
	CU_ASSERT_EQUAL(tree_copy_leaf(&fixture.tree, fixture.slot, base_low(place.base), false,
	                               see, &snapshot, &copy),
	                BWT_CORRUPT);
	copy.right = place.page;
	memcpy(fence, base_low(place.base).data, base_low(place.base).size);
	CU_ASSERT_EQUAL(tree_copy_next_leaf(&fixture.tree, fixture.slot,
	                                    (struct bwt_slice){fence, base_low(place.base).size},
	                                    see, &snapshot, &copy),
	                BWT_CORRUPT);
	epoch_unpin(fixture.slot);
}

/* ---- hints ---- */

static void walks_tell_the_workers_of_a_chain_that_is_read_and_no_longer_written(void)
{
	struct work_queue *queue = aligned_alloc(64, sizeof *queue);
	struct work hint;

	work_queue_init(queue);
	fixture.env.work = queue;
	fixture_fill(&fixture, 0, 3);
	for (unsigned i = 0; i < 2 * HEAT_SAMPLE; i++)
		load(slice_of_text(""), false, LSN_MAX);
	CU_ASSERT_TRUE_FATAL(work_pop(queue, &hint));
	CU_ASSERT_EQUAL(hint.kind, WORK_CONSOLIDATE);
	CU_ASSERT_EQUAL(hint.page, fixture.tree.root);
	fixture.env.work = NULL;
	free(queue);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_walk_meets_every_key_in_order),
		TEST(an_empty_tree_is_walked_at_once),
		TEST(deltas_and_base_page_are_one),
		TEST(the_reader_chooses_the_version),
		TEST(a_key_whose_seen_version_is_a_tombstone_is_not_there),
		TEST(a_pending_version_is_the_readers_to_judge),
		TEST(a_large_value_is_handed_out_as_its_reference),
		TEST(a_copy_outlives_what_it_was_made_from),
		TEST(a_walk_goes_on_over_leaves_that_split_under_it),
		TEST(the_next_leaf_is_found_when_the_neighbours_id_is_another_page_now),
		TEST(unposted_splits_hide_nothing),
		TEST(a_copy_from_a_key_holds_all_of_the_leaf_behind_it),
		TEST(walks_agree_with_an_array),
		TEST(a_damaged_leaf_stops_the_walk),
		TEST(walks_tell_the_workers_of_a_chain_that_is_read_and_no_longer_written),
		CU_TEST_INFO_NULL,
	};

	return suite_run("scan", set_up, tear_down, tests);
}
