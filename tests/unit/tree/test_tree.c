/* SPDX-License-Identifier: MIT */
/* test_tree.c - a tree's beginning, its count, and its end, cut off at every point and begun anew */
#include <pthread.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/unit/tree/tree_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, 512, 8);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static void a_new_tree_is_one_empty_leaf(void)
{
	struct place place = fixture_locate(&fixture, 0);

	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(place.page, fixture.tree.root);
	CU_ASSERT_EQUAL(place.base->level, 0);
	CU_ASSERT_EQUAL(place.base->count, 0);
	CU_ASSERT_EQUAL(place.base->right, 0);
	CU_ASSERT_EQUAL(place.base->low_size, 0);
	CU_ASSERT_EQUAL(place.base->head.tree, 7);
	CU_ASSERT_EQUAL(tree_keys(&fixture.tree), 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void trees_share_the_store_and_nothing_else(void)
{
	struct tree other, first = fixture.tree;
	uint64_t live;

	fixture_fill(&fixture, 0, 100);
	CU_ASSERT_EQUAL_FATAL(tree_create(&other, &fixture.env, 8, fixture.slot), BWT_OK);
	CU_ASSERT_NOT_EQUAL(other.root, first.root);
	fixture.tree = other;
	fixture_fill(&fixture, 50, 150);
	CU_ASSERT_TRUE(fixture_has(&fixture, 10, NEWEST, NULL));
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	fixture.tree = first;
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 100));
	CU_ASSERT_TRUE(fixture_has(&fixture, 120, NEWEST, NULL));
	live = extents_live_bytes(&fixture.extents);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_TRUE(live > 0);
}

static void without_ids_or_memory_no_tree_is_made(void)
{
	uint64_t live = extents_live_bytes(&fixture.extents),
		 used = atomic_load(&fixture.mapping.used);
	struct tree other;

	atomic_fetch_add(&fixture.interval, 1);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_NOT_EQUAL(tree_create(&other, &fixture.env, 8, fixture.slot), BWT_OK);
	testpoint_reset();
	atomic_fetch_sub(&fixture.interval, 1);
	CU_ASSERT_EQUAL(extents_live_bytes(&fixture.extents), live);
	CU_ASSERT_EQUAL(atomic_load(&fixture.mapping.used), used);
}

/* ---- I6 ---- */

static void *add_keys(void *arg)
{
	struct epoch_slot *slot = epoch_slot(&fixture.epoch);

	for (unsigned i = 0; i < 20000; i++)
		tree_keys_add(&fixture.tree, slot, i % 4 == 3 ? -1 : 1);
	(void)arg;
	return NULL;
}

static void the_count_is_exact_when_nobody_changes_it(void)
{
	pthread_t threads[4];

	tree_attach(&fixture.tree, &fixture.env, 7, fixture.tree.root, 1000);
	CU_ASSERT_EQUAL(tree_keys(&fixture.tree), 1000);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, add_keys, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(tree_keys(&fixture.tree), 1000 + 4 * 10000);
	tree_keys_add(&fixture.tree, fixture.slot,
	              -2000000); /* shards caught in the middle of a change */
	CU_ASSERT_EQUAL(tree_keys(&fixture.tree), 0);
}

/* ---- dropping ---- */

/* Nothing of the tree is left: no page, no byte. */
static bool gone(void)
{
	uint64_t open = 0;

	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&fixture.extents, fixture.slot), BWT_OK);
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		uint64_t word = atomic_load(&fixture.extents.open[kind]);

		open += word == 0 ? 0 : extent_size((extent_id)(word >> 32)) - (uint32_t)word;
	}
	return fixture.tree.root == 0 && atomic_load(&fixture.mapping.used) == 0 &&
	       extents_live_bytes(&fixture.extents) == EXTENT_SMALL_SIZE + open;
}

static void a_dropped_tree_gives_everything_back(void)
{
	static const unsigned keys[] = {0, 1, 30, 3000};

	for (unsigned i = 0; i < 4; i++) {
		fixture_fill(&fixture, 0, keys[i]);
		CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
		CU_ASSERT_TRUE(gone());
		fixture_free(&fixture);
		fixture_new(&fixture, 512, 8);
	}
}

static void dropping_twice_is_dropping_once(void)
{
	fixture_fill(&fixture, 0, 100);
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_TRUE(gone());
}

static void the_ids_of_a_dropped_tree_are_used_again(void)
{
	uint64_t next;

	for (unsigned round = 0; round < 5; round++) {
		fixture_fill(&fixture, 0, 1000);
		CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
		mapping_reclaim(&fixture.mapping);
		CU_ASSERT_EQUAL(tree_create(&fixture.tree, &fixture.env, 8 + round, fixture.slot),
		                BWT_OK);
		if (round == 0)
			next = atomic_load(&fixture.mapping.next_id);
	}
	CU_ASSERT_EQUAL(atomic_load(&fixture.mapping.next_id), next);
}

static void a_tree_with_splits_that_nobody_posted_is_dropped_whole(void)
{
	fixture_fill(&fixture, 0, 100);
	testpoint_set("split_not_posted", 0, NULL, NULL);
	fixture_fill(&fixture, 100, 1000);
	testpoint_reset();
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_TRUE(gone());
}

static void large_values_are_let_go_with_their_tree_if_they_were_committed(void)
{
	struct leaf_delta *delta;
	struct value_ref ref = {.segment = 1000};
	struct version_spec spec = {.value = &ref, .value_size = sizeof ref, .flags = VERSION_VLOG};
	struct key_text text;
	int rc;

	fixture.horizon.future = 1; /* old versions stay, too */
	for (unsigned i = 0; i < 100; i++)
		fixture_put_large(&fixture, i % 70, 1);
	spec.key = key_of(5, &text);
	spec.hash = key_hash(spec.key);
	delta = fixture_add(&fixture, &spec, word_make(WORD_PENDING, 0), &rc);
	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	atomic_store(&delta->lsn_word, word_make(WORD_ABORTED, 0));
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 100);
	CU_ASSERT_EQUAL(atomic_load(&fixture.dropped_segments), 100);
	CU_ASSERT_TRUE(gone());
}

/* The drop stops @cut inner pages on; what is left is dropped by another attempt, as after an opening. */
static bool resumes(unsigned cut, bool large)
{
	struct tree copy;
	int rc;

	for (unsigned i = 0; i < 700; i++) {
		if (large)
			fixture_put_large(&fixture, i, 1);
		else
			fixture_fill(&fixture, i, i + 1);
	}
	CU_ASSERT_TRUE(fixture_levels(&fixture) >= 3);
	testpoint_set("tree_free_cut", cut, NULL, NULL);
	rc = tree_free(&fixture.tree, fixture.slot);
	testpoint_reset();
	if (rc == BWT_OK)
		return false; /* there are not so many */
	CU_ASSERT_NOT_EQUAL(fixture.tree.root, 0);
	/* An image would hold no more of the tree than this. */
	tree_attach(&copy, &fixture.env, 7, fixture.tree.root, 0);
	fixture.tree = copy;
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_TRUE(gone());
	if (large)
		CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 700);
	return true;
}

static void a_drop_that_was_cut_off_anywhere_is_finished_by_the_next(void)
{
	unsigned cut = 1;

	while (resumes(cut, false)) {
		fixture_free(&fixture);
		fixture_new(&fixture, 512, 8);
		cut++;
	}
	CU_ASSERT_TRUE(cut > 3);
}

static void no_value_is_let_go_twice_by_a_drop_in_two_attempts(void)
{
	CU_ASSERT_TRUE(resumes(2, true));
}

static void a_partly_dropped_tree_is_known_as_such(void)
{
	unsigned dropped = 0;

	fixture_fill(&fixture, 0, 700);
	testpoint_set("tree_free_cut", 3, NULL, NULL);
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_IO);
	for (page_id page = 1; page < atomic_load(&fixture.mapping.next_id); page++)
		dropped += mapping_mark(mapping_load(&fixture.mapping, page)) == MAPPING_DROPPED;
	CU_ASSERT_EQUAL(dropped, 2);
}

static void a_drop_that_cannot_read_a_page_says_so_and_frees_nothing_twice(void)
{
	struct place place;

	fixture_fill(&fixture, 0, 300);
	place = fixture_locate(&fixture, 150);
	epoch_unpin(fixture.slot);
	mapping_set(&fixture.mapping, place.page, mapping_word(arena_size(&fixture.arena) + 4096, 0));
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_CORRUPT);
	mapping_set(&fixture.mapping, place.page, place.word);
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_TRUE(gone());
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_new_tree_is_one_empty_leaf),
		TEST(trees_share_the_store_and_nothing_else),
		TEST(without_ids_or_memory_no_tree_is_made),
		TEST(the_count_is_exact_when_nobody_changes_it),
		TEST(a_dropped_tree_gives_everything_back),
		TEST(dropping_twice_is_dropping_once),
		TEST(the_ids_of_a_dropped_tree_are_used_again),
		TEST(a_tree_with_splits_that_nobody_posted_is_dropped_whole),
		TEST(large_values_are_let_go_with_their_tree_if_they_were_committed),
		TEST(a_drop_that_was_cut_off_anywhere_is_finished_by_the_next),
		TEST(no_value_is_let_go_twice_by_a_drop_in_two_attempts),
		TEST(a_partly_dropped_tree_is_known_as_such),
		TEST(a_drop_that_cannot_read_a_page_says_so_and_frees_nothing_twice),
		CU_TEST_INFO_NULL,
	};

	return suite_run("tree", set_up, tear_down, tests);
}
