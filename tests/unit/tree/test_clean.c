/* SPDX-License-Identifier: MIT */
/* test_clean.c - extents are emptied: what lived in them lives elsewhere, and nothing else changed */
#include "tree/clean.h"

#include <string.h>

#include "base/testpoint.h"
#include "tests/unit/tree/tree_fixture.h"

#define KEYS 3000u

static struct fixture fixture;
static bool tree_away; /* as if it was being dropped */

static void set_up(void)
{
	fixture_new(&fixture, 1024, 8);
	fixture_fill(&fixture, 0, KEYS);
	for (unsigned i = 0; i < KEYS; i += 7)
		fixture_put(&fixture, i, "new");
	tree_away = false;
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static struct tree *hold(void *ctx, uint32_t id)
{
	(void)ctx;
	return id == fixture.tree.id && !tree_away ? &fixture.tree : NULL;
}

static void release(void *ctx, struct tree *tree)
{
	(void)ctx;
	(void)tree;
}

static uint32_t live(const struct extent_pick *pick)
{
	return extent_live(cow_load(&fixture.extents.table, pick->id));
}

/* Claim and clean one; false: it could not be claimed. */
static bool clean(const struct extent_pick *pick, struct clean_result *result)
{
	const struct cleaner cleaner = {&fixture.env, hold, release, NULL, 0, URGENCY_CARE};
	bool claimed;

	epoch_pin(fixture.slot);
	claimed = extent_claim(&fixture.extents, pick);
	epoch_unpin(fixture.slot);
	memset(result, 0, sizeof *result);
	if (!claimed)
		return false;
	CU_ASSERT_EQUAL(clean_extent(&cleaner, fixture.slot, pick, result), BWT_OK);
	extent_unclaim(&fixture.extents, pick, result->left == 0);
	return true;
}

static struct extent_pick first_pick(void)
{
	struct extent_pick picks[8];
	unsigned count = extents_pick(&fixture.extents, PICK_EVERYTHING, picks, 8);

	for (unsigned i = 0; i < count; i++)
		if (live(&picks[i]) > 1000)
			return picks[i];
	CU_FAIL_FATAL("no extent to pick");
	return picks[0];
}

static bool all_there(void)
{
	struct key_text text;

	for (unsigned i = 0; i < KEYS; i++) {
		struct bwt_slice key = key_of(i, &text);

		(void)key;
		if (!fixture_has(&fixture, i, NEWEST, i % 7 == 0 ? "new" : text.bytes))
			return false;
	}
	return true;
}

static void every_sealed_extent_can_be_emptied(void)
{
	unsigned emptied = 0;

	for (unsigned round = 0; round < 4; round++) {
		struct extent_pick picks[64];
		unsigned count = extents_pick(&fixture.extents, PICK_EVERYTHING, picks, 64);

		for (unsigned i = 0; i < count; i++) {
			struct clean_result result;

			if (!clean(&picks[i], &result))
				continue;
			CU_ASSERT_EQUAL(live(&picks[i]), 0);
			CU_ASSERT_EQUAL(result.left + result.damaged, 0);
			emptied++;
		}
	}
	CU_ASSERT_TRUE(emptied > 2);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_TRUE(all_there());
}

static void a_base_page_alone_is_moved_too(void)
{
	struct extent_pick pick;
	struct clean_result result;

	for (unsigned i = 0; i < KEYS; i += 5)
		fixture_consolidate(&fixture, i, ABORT_PENDING);
	pick = first_pick();
	CU_ASSERT_TRUE(clean(&pick, &result));
	CU_ASSERT_TRUE(result.pages > 0 && result.bytes > 0);
	CU_ASSERT_EQUAL(live(&pick), 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void what_cannot_be_moved_is_left_and_the_extent_rests(void)
{
	struct extent_pick pick = first_pick(), again[64];
	struct clean_result result;
	unsigned count;

	tree_away = true;
	CU_ASSERT_TRUE(clean(&pick, &result));
	CU_ASSERT_TRUE(result.left > 0);
	CU_ASSERT_EQUAL(result.pages, 0);
	count = extents_pick(&fixture.extents, PICK_EVERYTHING, again, 64);
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_NOT_EQUAL(again[i].id, pick.id);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* CL1: sizes, pages and trees of the extent's blocks may say anything. */
static void damaged_heads_cost_time_and_nothing_else(void)
{
	struct extent_pick pick = first_pick();
	struct block_head *head = arena_at(&fixture.arena, extent_start(pick.id));
	struct block_head kept = *head;
	struct clean_result result;

	head->page = UINT64_MAX;
	head->tree = 12345;
	CU_ASSERT_TRUE(clean(&pick, &result));
	*head = kept;
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	pick = first_pick();
	head = arena_at(&fixture.arena, extent_start(pick.id));
	kept = *head;
	head->size = 0xfffffff1;
	CU_ASSERT_TRUE(clean(&pick, &result));
	CU_ASSERT_EQUAL(result.damaged, 1);
	*head = kept;
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_claim_is_one_threads(void)
{
	struct extent_pick pick = first_pick();

	epoch_pin(fixture.slot);
	CU_ASSERT_TRUE(extent_claim(&fixture.extents, &pick));
	CU_ASSERT_FALSE(extent_claim(&fixture.extents, &pick));
	epoch_unpin(fixture.slot);
	extent_unclaim(&fixture.extents, &pick, true);
}

/* EP1: somebody who was pinned when it was sealed may still note a chunk in it. */
static void an_extent_sealed_under_a_pin_is_not_claimed(void)
{
	struct extent_pick pick = first_pick();

	pick.sealed = atomic_load(&fixture.epoch.now) + 1;
	epoch_pin(fixture.slot);
	CU_ASSERT_FALSE(extent_claim(&fixture.extents, &pick));
	epoch_unpin(fixture.slot);
}

static void a_lost_or_repeated_retirement_shows(void)
{
	static const char *const faults[] = {"extent_lost_retire", "extent_retire_twice"};

	for (unsigned i = 0; i < 2; i++) {
		struct extent_pick pick = first_pick();
		struct clean_result result;

		testpoint_set(faults[i], 2, NULL, NULL);
		clean(&pick, &result);
		CU_ASSERT_TRUE(testpoint_hits(faults[i]) >= 2);
		testpoint_reset();
		CU_ASSERT_FALSE(fixture_sound(&fixture));
		fixture_free(&fixture);
		set_up();
	}
}

static void a_page_that_is_not_moved_shows(void)
{
	struct extent_pick pick = first_pick();
	struct clean_result result;

	testpoint_set("clean_skips", 1, NULL, NULL);
	clean(&pick, &result);
	CU_ASSERT_TRUE(live(&pick) > 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(every_sealed_extent_can_be_emptied),
		TEST(a_base_page_alone_is_moved_too),
		TEST(what_cannot_be_moved_is_left_and_the_extent_rests),
		TEST(damaged_heads_cost_time_and_nothing_else),
		TEST(a_claim_is_one_threads),
		TEST(an_extent_sealed_under_a_pin_is_not_claimed),
		TEST(a_lost_or_repeated_retirement_shows),
		TEST(a_page_that_is_not_moved_shows),
		CU_TEST_INFO_NULL,
	};

	return suite_run("clean", set_up, tear_down, tests);
}
