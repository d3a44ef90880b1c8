/* SPDX-License-Identifier: MIT */
/* test_rebuild.c - nothing is there before the one swap, and nothing is left when it is lost (R1, R2) */
#include <errno.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/actor.h"
#include "tests/unit/tree/tree_fixture.h"
#include "tree/rebuild.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, 65536, 1000);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

/* The leaf of key 0 as @pieces even pieces; its entries stay in @entries. */
static struct rebuild in_pieces(const struct place *place, struct page_entry *entries,
                                unsigned count, unsigned pieces, struct key_text *fences)
{
	struct rebuild rebuild = {
		.tree = &fixture.tree, .place = place, .entries = entries, .piece_count = pieces};

	base_bounds(place->base, &rebuild.bounds);
	for (unsigned i = 0; i < pieces; i++) {
		unsigned first = count * i / pieces;

		rebuild.piece[i].first = first;
		rebuild.piece[i].count = count * (i + 1) / pieces - first;
		rebuild.piece[i].low = rebuild.bounds.low;
		if (i > 0)
			rebuild.piece[i].low = (struct bwt_slice){
				fences[i].bytes,
				key_ref_copy(&entries[first].key, 0, (uint8_t *)fences[i].bytes)};
	}
	return rebuild;
}

static unsigned entries_of(const struct place *place, struct page_entry *entries)
{
	unsigned count = chain_merge(fixture.arena.base, place_head(place), entries);

	for (unsigned i = 0; i < count; i++) {
		if (entries[i].word == NULL)
			continue;
		entries[i].lsn = word_lsn(atomic_load(entries[i].word));
		entries[i].word = NULL;
	}
	return count;
}

/* Rebuild the leaf of key @number into @pieces. */
static int rebuild_leaf(struct epoch_slot *slot, unsigned number, unsigned pieces)
{
	struct page_entry entries[DELTA_CHAIN_MAX + 200];
	struct key_text fences[REBUILD_PIECES_MAX], text;
	struct rebuild rebuild;
	struct place place;
	int rc;

	epoch_pin(slot);
	rc = tree_descend(&fixture.tree, key_of(number, &text), false, 0, &place, NULL);
	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	rebuild = in_pieces(&place, entries, entries_of(&place, entries), pieces, fences);
	rc = rebuild_measure(&rebuild);
	if (rc == BWT_OK)
		rc = rebuild_install(&rebuild, slot, URGENCY_CARE);
	epoch_unpin(slot);
	return rc;
}

static uint64_t pages(void)
{
	return atomic_load(&fixture.mapping.used);
}

static void one_piece_takes_the_place_of_the_page(void)
{
	fixture_fill(&fixture, 0, 20);
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 1), BWT_OK);
	CU_ASSERT_EQUAL(pages(), 1);
	CU_ASSERT_EQUAL(mapping_chain(mapping_load(&fixture.mapping, fixture.tree.root)), 0);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 20));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_root_in_pieces_becomes_an_inner_page_over_them(void)
{
	static const unsigned pieces[] = {2, 3, REBUILD_PIECES_MAX};

	for (unsigned i = 0; i < 3; i++) {
		fixture_fill(&fixture, 0, 64);
		CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, pieces[i]), BWT_OK);
		CU_ASSERT_EQUAL(pages(), pieces[i] + 1);
		CU_ASSERT_EQUAL(fixture_levels(&fixture), 2);
		CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 64));
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		fixture_free(&fixture);
		fixture_new(&fixture, 65536, 1000);
	}
}

static void a_leaf_in_pieces_keeps_its_id_for_the_first(void)
{
	struct place before, after;

	fixture_fill(&fixture, 0, 60);
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 2), BWT_OK);
	before = fixture_locate(&fixture, 0);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 4), BWT_OK);
	after = fixture_locate(&fixture, 0);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(before.page, after.page);
	CU_ASSERT_EQUAL(pages(), 6);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 60)); /* over right links: nobody told the parent */
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* ---- R1 ---- */

static int beside_rc;

static void rebuild_beside(void *arg)
{
	beside_rc = rebuild_leaf(epoch_slot(&fixture.epoch), 0, *(unsigned *)arg);
}

/* Somebody prepends at the last moment; is everything as if there had been no rebuild? */
static void lose_the_swap(unsigned pieces)
{
	uint64_t live, used;
	struct actor rebuilder;

	actor_start(&rebuilder, "rebuild_swap", rebuild_beside, &pieces);
	CU_ASSERT_TRUE_FATAL(actor_await(&rebuilder));
	fixture_put(&fixture, 0, "00000000");
	used = pages();
	actor_finish(&rebuilder);
	CU_ASSERT_EQUAL(beside_rc, BWT_BUSY);
	CU_ASSERT_TRUE(pages() <= used);
	CU_ASSERT_EQUAL(stats_sum(&fixture.stats, STAT_SWAPS_LOST), 1);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 40));
	live = extents_live_bytes(&fixture.extents);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_TRUE(extents_live_bytes(&fixture.extents) <= live);
}

static void a_lost_swap_leaves_nothing_of_one_piece(void)
{
	fixture_fill(&fixture, 0, 40);
	lose_the_swap(1);
	CU_ASSERT_EQUAL(pages(), 1);
}

static void a_lost_swap_leaves_nothing_of_a_new_root(void)
{
	fixture_fill(&fixture, 0, 40);
	lose_the_swap(5);
	CU_ASSERT_EQUAL(pages(), 1);
	CU_ASSERT_EQUAL(fixture_levels(&fixture), 1);
}

static void a_lost_swap_leaves_nothing_of_the_right_halves(void)
{
	fixture_fill(&fixture, 0, 40);
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 2), BWT_OK);
	lose_the_swap(4);
	CU_ASSERT_EQUAL(pages(), 3);
}

static void a_page_that_changed_before_is_busy(void)
{
	struct page_entry entries[100];
	struct key_text fences[2];
	struct rebuild rebuild;
	struct place place;

	fixture_fill(&fixture, 0, 40);
	place = fixture_locate(&fixture, 0);
	epoch_unpin(fixture.slot);
	fixture_put(&fixture, 0, "00000000");
	epoch_pin(fixture.slot);
	rebuild = in_pieces(&place, entries, entries_of(&place, entries), 2, fences);
	CU_ASSERT_EQUAL(rebuild_measure(&rebuild), BWT_OK);
	CU_ASSERT_EQUAL(rebuild_install(&rebuild, fixture.slot, URGENCY_CARE), BWT_BUSY);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(pages(), 1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void without_memory_for_the_picture_nothing_changes(void)
{
	uint64_t word;

	fixture_fill(&fixture, 0, 40);
	word = mapping_load(&fixture.mapping, fixture.tree.root);
	atomic_fetch_add(&fixture.interval, 1);
	CU_ASSERT_EQUAL_FATAL(
		extent_prepare(&fixture.extents, fixture.slot, CHUNK_LEAF, 60000, URGENCY_CARE),
		BWT_OK);
	CU_ASSERT_EQUAL_FATAL(
		extent_prepare(&fixture.extents, fixture.slot, CHUNK_INNER, 60000, URGENCY_CARE),
		BWT_OK);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 3), -ENOMEM);
	testpoint_reset();
	CU_ASSERT_EQUAL(mapping_load(&fixture.mapping, fixture.tree.root), word);
	CU_ASSERT_EQUAL(pages(), 1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 3), BWT_OK);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	for (uint64_t s = 0; s < 2; s++) { /* pictures that nobody took would leak */
		uint64_t words[COW_SEGMENT_WORDS];
		bool dirty;

		cow_collect(s == 0 ? &fixture.mapping.table : &fixture.extents.table, 0, 1, words,
		            &dirty);
	}
}

static void when_ids_run_out_those_taken_are_given_back(void)
{
	uint64_t used;

	fixture_fill(&fixture, 0, 40);
	gate_enter(fixture.slot);
	while (atomic_load(&fixture.mapping.next_id) < fixture.mapping.table.capacity - 2)
		CU_ASSERT_NOT_EQUAL_FATAL(mapping_alloc(&fixture.mapping), 0);
	gate_leave(fixture.slot);
	epoch_unpin(fixture.slot);
	used = pages();
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 4), -ENOMEM);
	CU_ASSERT_EQUAL(pages(), used);
	CU_ASSERT_EQUAL(rebuild_leaf(fixture.slot, 0, 2), BWT_OK);
	CU_ASSERT_EQUAL(pages(), used + 2);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 40));
}

/* ---- R2 ---- */

static void at_the_swap_every_right_link_leads_to_a_page(void)
{
	unsigned pieces = 6, linked = 0;
	struct actor rebuilder;

	fixture_fill(&fixture, 0, 40);
	actor_start(&rebuilder, "rebuild_swap", rebuild_beside, &pieces);
	CU_ASSERT_TRUE_FATAL(actor_await(&rebuilder));
	for (page_id page = 1; page < atomic_load(&fixture.mapping.next_id); page++) {
		struct place place, right;

		CU_ASSERT_EQUAL_FATAL(page_look(&fixture.tree, page, &place), BWT_OK);
		if (place.base->right == 0)
			continue;
		linked++;
		CU_ASSERT_EQUAL_FATAL(page_look(&fixture.tree, place.base->right, &right), BWT_OK);
		CU_ASSERT_EQUAL(key_compare(base_high(place.base), base_low(right.base)), 0);
	}
	CU_ASSERT_EQUAL(linked, 5);
	CU_ASSERT_EQUAL(fixture_levels(&fixture), 1); /* not reachable yet (R1) */
	actor_finish(&rebuilder);
	CU_ASSERT_EQUAL(beside_rc, BWT_OK);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void dropped_values_are_told_once_and_only_after_the_swap(void)
{
	struct value_ref dropped = {.segment = 5};
	struct page_entry entries[10];
	struct rebuild rebuild;
	struct place place;

	fixture_fill(&fixture, 0, 3);
	place = fixture_locate(&fixture, 0);
	rebuild = in_pieces(&place, entries, entries_of(&place, entries), 1, NULL);
	rebuild.dropped = &dropped;
	rebuild.dropped_count = 1;
	CU_ASSERT_EQUAL(rebuild_measure(&rebuild), BWT_OK);
	CU_ASSERT_EQUAL(rebuild_install(&rebuild, fixture.slot, URGENCY_CARE), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 1);
	CU_ASSERT_EQUAL(rebuild_install(&rebuild, fixture.slot, URGENCY_CARE), BWT_BUSY);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 1);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(one_piece_takes_the_place_of_the_page),
		TEST(a_root_in_pieces_becomes_an_inner_page_over_them),
		TEST(a_leaf_in_pieces_keeps_its_id_for_the_first),
		TEST(a_lost_swap_leaves_nothing_of_one_piece),
		TEST(a_lost_swap_leaves_nothing_of_a_new_root),
		TEST(a_lost_swap_leaves_nothing_of_the_right_halves),
		TEST(a_page_that_changed_before_is_busy),
		TEST(without_memory_for_the_picture_nothing_changes),
		TEST(when_ids_run_out_those_taken_are_given_back),
		TEST(at_the_swap_every_right_link_leads_to_a_page),
		TEST(dropped_values_are_told_once_and_only_after_the_swap),
		CU_TEST_INFO_NULL,
	};

	return suite_run("rebuild", set_up, tear_down, tests);
}
