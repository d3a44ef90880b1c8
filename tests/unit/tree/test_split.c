/* SPDX-License-Identifier: MIT */
/* test_split.c - the three states of a split: readers go round the second, writers end it, nobody waits */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/support/rng.h"
#include "tests/unit/tree/tree_fixture.h"

#define PAGE 512u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, PAGE, 8);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

/* Pages of @level that are reached by a right link only. */
static unsigned unposted(unsigned level)
{
	struct missing_child missing;
	unsigned count = 0;
	struct place place;

	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL_FATAL(
		tree_descend(&fixture.tree, slice_of_text(""), false, level, &place, NULL), BWT_OK);
	while (place.base->right != 0) {
		struct bwt_slice low = base_high(place.base);

		CU_ASSERT_EQUAL_FATAL(
			tree_descend(&fixture.tree, low, false, level, &place, &missing), BWT_OK);
		count += missing.found;
	}
	epoch_unpin(fixture.slot);
	return count;
}

/* A tree of two levels, then a leaf that was split without its parent knowing. */
static void make_state_two(void)
{
	fixture_fill(&fixture, 0, 60);
	CU_ASSERT_EQUAL_FATAL(fixture_levels(&fixture), 2);
	CU_ASSERT_EQUAL_FATAL(unposted(0), 0);
	testpoint_set("split_not_posted", 0, NULL, NULL);
	for (unsigned i = 60; unposted(0) == 0; i++)
		fixture_fill(&fixture, i, i + 1);
	testpoint_reset();
}

static void a_root_that_splits_stays_the_root(void)
{
	page_id root = fixture.tree.root;

	for (unsigned to = 1; fixture_levels(&fixture) < 4; to++)
		fixture_fill(&fixture, to - 1, to);
	CU_ASSERT_EQUAL(fixture.tree.root, root);
	CU_ASSERT_EQUAL(unposted(0), 0);
	CU_ASSERT_EQUAL(unposted(1), 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_split_is_posted_by_who_made_it(void)
{
	fixture_fill(&fixture, 0, 500);
	CU_ASSERT_EQUAL(unposted(0), 0);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 500));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void readers_see_everything_in_the_second_state(void)
{
	struct key_text text;
	unsigned keys = 60;

	make_state_two();
	while (fixture_has(&fixture, keys, NEWEST, key_of(keys, &text).data))
		keys++;
	CU_ASSERT_TRUE(keys > 60);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, keys));
	CU_ASSERT_EQUAL(unposted(0), 1); /* readers did not help: that takes the gate (G1) */
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_writer_that_comes_by_ends_the_second_state(void)
{
	make_state_two();
	fixture_put(&fixture, 99999, "at the right edge");
	CU_ASSERT_EQUAL(unposted(0), 0);
	CU_ASSERT_TRUE(fixture_has(&fixture, 99999, NEWEST, "at the right edge"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_writer_elsewhere_does_not_care(void)
{
	make_state_two();
	fixture_put(&fixture, 0, "left");
	CU_ASSERT_EQUAL(unposted(0), 1);
	CU_ASSERT_TRUE(fixture_has(&fixture, 0, NEWEST, "left"));
}

static void posting_twice_is_posting_once(void)
{
	struct missing_child missing;
	struct key_text text;
	struct place place;
	uint64_t root;

	make_state_two();
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL(tree_descend(&fixture.tree, key_of(99999, &text), false, 0, &place, &missing),
	                BWT_OK);
	CU_ASSERT_TRUE_FATAL(missing.found);
	CU_ASSERT_EQUAL(missing.page, place.page);
	CU_ASSERT_EQUAL(missing.level, 0);
	CU_ASSERT_EQUAL(tree_post(&fixture.tree, fixture.slot, &missing, URGENCY_PUT), BWT_OK);
	root = mapping_load(&fixture.mapping, fixture.tree.root);
	CU_ASSERT_EQUAL(tree_post(&fixture.tree, fixture.slot, &missing, URGENCY_PUT), BWT_OK);
	CU_ASSERT_EQUAL(mapping_load(&fixture.mapping, fixture.tree.root), root);
	epoch_unpin(fixture.slot);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_tree_with_no_split_posted_at_all_still_has_every_key(void)
{
	testpoint_set("split_not_posted", 0, NULL, NULL);
	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 300));
	testpoint_reset();
	/* Each write posts what it passes. */
	for (unsigned round = 0; round < 40 && unposted(0) > 0; round++)
		fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL(unposted(0), 0);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 300));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* ---- races ---- */

static void put_beside(void *arg)
{
	fixture_put(&fixture, *(unsigned *)arg, "beside");
}

static void two_that_post_the_same_page_both_go_on(void)
{
	unsigned last = 99999;
	struct actor writer;

	make_state_two();
	actor_start(&writer, "post_swap", put_beside, &last);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	fixture_put(&fixture, 88888, "first"); /* posts it, too */
	CU_ASSERT_EQUAL(unposted(0), 0);
	actor_finish(&writer);
	CU_ASSERT_TRUE(fixture_has(&fixture, 99999, NEWEST, "beside"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 88888, NEWEST, "first"));
	CU_ASSERT_TRUE(stats_sum(&fixture.stats, STAT_SWAPS_LOST) > 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void nobody_waits_for_a_thread_stopped_between_the_two_steps(void)
{
	unsigned next = 60;
	struct actor writer;

	fixture_fill(&fixture, 0, 60);
	do {
		actor_start(&writer, "split_post", put_beside, &next);
		if (actor_await(&writer))
			break;
		actor_finish(&writer);
		next++;
	} while (next < 200);
	CU_ASSERT_TRUE_FATAL(writer.stopped);
	CU_ASSERT_EQUAL(unposted(0), 1);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 60));
	fixture_fill(&fixture, 1000, 1200); /* right of it: helped, and split further */
	CU_ASSERT_TRUE(fixture_filled(&fixture, 1000, 1200));
	CU_ASSERT_EQUAL(unposted(0), 0);
	actor_finish(&writer);
	CU_ASSERT_TRUE(fixture_has(&fixture, next, NEWEST, "beside"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_parent_full_of_deltas_is_consolidated_first(void)
{
	struct place parent;

	for (unsigned i = 0; i < 400; i++) {
		fixture_fill(&fixture, i, i + 1);
		if (fixture_levels(&fixture) == 1)
			continue;
		epoch_pin(fixture.slot);
		CU_ASSERT_EQUAL(
			tree_descend(&fixture.tree, slice_of_text("9"), false, 1, &parent, NULL),
			BWT_OK);
		CU_ASSERT_TRUE(mapping_chain(parent.word) <= fixture.env.limits.inner_chain);
		epoch_unpin(fixture.slot);
	}
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_store_without_space_for_the_post_stays_in_the_second_state(void)
{
	struct missing_child missing;
	struct key_text text;
	struct place place;

	make_state_two();
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL(tree_descend(&fixture.tree, key_of(99999, &text), false, 0, &place, &missing),
	                BWT_OK);
	CU_ASSERT_TRUE_FATAL(missing.found);
	/* The picture of a cut needs memory before anything may change. */
	atomic_fetch_add(&fixture.interval, 1);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_TRUE(tree_post(&fixture.tree, fixture.slot, &missing, URGENCY_PUT) < 0);
	testpoint_reset();
	atomic_fetch_sub(&fixture.interval, 1);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(unposted(0), 1);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 60));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

struct filler {
	unsigned from, step;
	pthread_t thread;
};

static void *fill_every(void *arg)
{
	struct filler *filler = arg;
	struct key_text text;

	for (unsigned i = filler->from; i < (suite_short() ? 600u : 6000u); i += filler->step)
		fixture_put(&fixture, i, key_of(i, &text).data);
	return NULL;
}

static void threads_that_split_the_same_pages_lose_nothing(void)
{
	unsigned keys = suite_short() ? 600 : 6000;
	struct filler fillers[4];

	for (unsigned i = 0; i < 4; i++) {
		fillers[i] = (struct filler){.from = i, .step = 4};
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&fillers[i].thread, NULL, fill_every, &fillers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(fillers[i].thread, NULL);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, keys));
	CU_ASSERT_TRUE(fixture_has(&fixture, keys, NEWEST, NULL));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_root_that_splits_stays_the_root),
		TEST(a_split_is_posted_by_who_made_it),
		TEST(readers_see_everything_in_the_second_state),
		TEST(a_writer_that_comes_by_ends_the_second_state),
		TEST(a_writer_elsewhere_does_not_care),
		TEST(posting_twice_is_posting_once),
		TEST(a_tree_with_no_split_posted_at_all_still_has_every_key),
		TEST(two_that_post_the_same_page_both_go_on),
		TEST(nobody_waits_for_a_thread_stopped_between_the_two_steps),
		TEST(a_parent_full_of_deltas_is_consolidated_first),
		TEST(a_store_without_space_for_the_post_stays_in_the_second_state),
		TEST(threads_that_split_the_same_pages_lose_nothing),
		CU_TEST_INFO_NULL,
	};

	return suite_run("split", set_up, tear_down, tests);
}
