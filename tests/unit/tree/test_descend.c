/* SPDX-License-Identifier: MIT */
/* test_descend.c - to the right leaf, round what is not posted yet, and no step on trust */
#include <stdio.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/rng.h"
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

static int descend(struct bwt_slice key, bool before, unsigned level, struct place *place)
{
	int rc;

	epoch_pin(fixture.slot);
	rc = tree_descend(&fixture.tree, key, before, level, place, NULL);
	epoch_unpin(fixture.slot);
	return rc;
}

static int descend_to(unsigned number, struct place *place)
{
	struct key_text text;

	return descend(key_of(number, &text), false, 0, place);
}

static bool covers(const struct place *place, struct bwt_slice key)
{
	return key_compare(base_low(place->base), key) <= 0 &&
	       (place->base->right == 0 || key_compare(key, base_high(place->base)) < 0);
}

static void an_empty_tree_is_one_leaf(void)
{
	struct place place;

	CU_ASSERT_EQUAL(descend_to(5, &place), BWT_OK);
	CU_ASSERT_EQUAL(place.page, fixture.tree.root);
	CU_ASSERT_EQUAL(place.base->level, 0);
	CU_ASSERT_EQUAL(descend(slice_of_text(""), false, 0, &place), BWT_OK);
	CU_ASSERT_EQUAL(place.page, fixture.tree.root);
}

static void every_key_leads_to_the_page_that_covers_it_at_every_level(void)
{
	struct key_text text;
	struct place place;

	fixture_fill(&fixture, 0, 1500);
	CU_ASSERT_TRUE(fixture_levels(&fixture) >= 3);
	for (unsigned i = 0; i < 1500; i += 7) {
		for (unsigned level = 0; level < fixture_levels(&fixture); level++) {
			CU_ASSERT_EQUAL(descend(key_of(i, &text), false, level, &place), BWT_OK);
			CU_ASSERT_EQUAL(place.base->level, level);
			CU_ASSERT_TRUE(covers(&place, key_of(i, &text)));
		}
	}
}

static void before_leads_to_the_page_of_the_keys_just_below(void)
{
	struct place place, left;
	unsigned fences = 0;

	fixture_fill(&fixture, 0, 500);
	CU_ASSERT_EQUAL(descend(slice_of_text(""), false, 0, &place), BWT_OK);
	while (place.base->right != 0) {
		struct bwt_slice fence = base_high(place.base);
		page_id page = place.page;

		CU_ASSERT_EQUAL(descend(fence, true, 0, &left), BWT_OK);
		CU_ASSERT_EQUAL(left.page, page);
		CU_ASSERT_EQUAL(descend(fence, false, 0, &place), BWT_OK);
		CU_ASSERT_NOT_EQUAL(place.page, page);
		CU_ASSERT_EQUAL(key_compare(base_low(place.base), fence), 0);
		fences++;
	}
	CU_ASSERT_TRUE(fences > 10);
}

static void the_last_leaf_is_found_in_every_state_of_a_split(void)
{
	struct place place;

	for (unsigned i = 0; i < 300; i++) {
		if (i == 150)
			testpoint_set("split_not_posted", 0, NULL, NULL);
		fixture_fill(&fixture, i, i + 1);
		epoch_pin(fixture.slot);
		CU_ASSERT_EQUAL(tree_descend_last(&fixture.tree, &place), BWT_OK);
		epoch_unpin(fixture.slot);
		CU_ASSERT_EQUAL(place.base->right, 0);
		CU_ASSERT_EQUAL(place.base->level, 0);
	}
}

/* ---- many at once ---- */

#define MANY 100u

/* Of @from and the numbers behind it, in no order: do all lead where each leads alone? */
static bool many_are_as_alone(unsigned from)
{
	struct key_text texts[MANY];
	struct descent descents[MANY];
	unsigned same = 0;

	for (unsigned i = 0; i < MANY; i++)
		descents[i].key = key_of(from + i * 37 % MANY, &texts[i]);
	epoch_pin(fixture.slot);
	tree_descend_many(&fixture.tree, fixture.slot, descents, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		struct place alone;
		int rc = tree_descend(&fixture.tree, descents[i].key, false, 0, &alone, NULL);

		same += rc == descents[i].rc && (rc < 0 || (alone.page == descents[i].place.page &&
		                                            alone.word == descents[i].place.word &&
		                                            alone.base == descents[i].place.base));
	}
	epoch_unpin(fixture.slot);
	return same == MANY;
}

static void many_descents_lead_where_each_leads_alone(void)
{
	CU_ASSERT_TRUE(many_are_as_alone(0));
	fixture_fill(&fixture, 0, 50);
	CU_ASSERT_TRUE(many_are_as_alone(0));
	fixture_fill(&fixture, 50, 1000);
	CU_ASSERT_TRUE(fixture_levels(&fixture) >= 3);
	for (unsigned from = 0; from <= 900; from += MANY)
		CU_ASSERT_TRUE(many_are_as_alone(from));
	epoch_pin(fixture.slot);
	tree_descend_many(&fixture.tree, fixture.slot, NULL, 0);
	epoch_unpin(fixture.slot);
}

static void many_descents_find_what_is_behind_right_links_only(void)
{
	fixture_fill(&fixture, 0, 150);
	testpoint_set("split_not_posted", 0, NULL, NULL);
	for (unsigned i = 150; i < 300; i += 5) {
		fixture_fill(&fixture, i, i + 5);
		CU_ASSERT_TRUE(many_are_as_alone(200));
	}
}

static void a_damaged_page_fails_the_descents_to_it_and_no_others(void)
{
	struct key_text texts[2];
	struct descent descents[2];
	struct place place;

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &place), BWT_OK);
	for (unsigned way = 0; way < 3; way++) {
		static const uint64_t nowhere = ((uint64_t)1 << 52) - 16;

		mapping_set(&fixture.mapping, place.page,
		            way == 0 ? 0
		                     : mapping_word(way == 1 ? arena_size(&fixture.arena) : nowhere,
		                                    way));
		descents[0].key = key_of(250, &texts[0]);
		descents[1].key = key_of(0, &texts[1]);
		epoch_pin(fixture.slot);
		tree_descend_many(&fixture.tree, fixture.slot, descents, 2);
		epoch_unpin(fixture.slot);
		CU_ASSERT_EQUAL(descents[0].rc, BWT_CORRUPT);
		CU_ASSERT_EQUAL(descents[1].rc, BWT_OK);
	}
}

/* ---- readers ---- */

/* Hints that readers of all keys, one by one or (@many) together, leave behind: how many name inner pages? */
static unsigned hints_of_inner_pages(bool many)
{
	struct work_queue *queue = aligned_alloc(64, sizeof *queue);
	struct work hint;
	unsigned inner = 0;

	work_queue_init(queue);
	fixture.env.work = queue;
	epoch_pin(fixture.slot);
	for (unsigned i = 0; i < 2000; i++) {
		struct key_text text;
		struct descent one = {.key = key_of(i % 300, &text)};

		if (many)
			tree_descend_many(&fixture.tree, fixture.slot, &one, 1);
		else
			one.rc = tree_descend_reading(&fixture.tree, fixture.slot, one.key,
			                              &one.place);
		CU_ASSERT_EQUAL_FATAL(one.rc, BWT_OK);
	}
	while (work_pop(queue, &hint)) {
		struct place place;

		CU_ASSERT_EQUAL_FATAL(page_look(&fixture.tree, hint.page, &place), BWT_OK);
		CU_ASSERT_NOT_EQUAL(mapping_chain(place.word), 0);
		inner += place.base->level > 0;
	}
	epoch_unpin(fixture.slot);
	fixture.env.work = NULL;
	free(queue);
	return inner;
}

static void readers_hint_at_inner_pages_that_have_become_quiet(void)
{
	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_TRUE(hints_of_inner_pages(false) > 0);
	CU_ASSERT_TRUE(hints_of_inner_pages(true) > 0);
}

/* ---- place_reload ---- */

static void a_place_is_good_until_its_page_does_not_cover_the_key(void)
{
	struct key_text text, low;
	struct place place;

	fixture_fill(&fixture, 0, 100);
	CU_ASSERT_EQUAL(descend_to(99, &place), BWT_OK);
	epoch_pin(fixture.slot);
	CU_ASSERT_TRUE(place_reload(&fixture.tree, &place, key_of(99, &text)));
	epoch_unpin(fixture.slot);
	fixture_fill(&fixture, 100, 200); /* the leaf splits away from the key */
	memcpy(&low, key_of(199, &text).data, sizeof low);
	epoch_pin(fixture.slot);
	CU_ASSERT_FALSE(place_reload(&fixture.tree, &place, (struct bwt_slice){low.bytes, 8}));
	epoch_unpin(fixture.slot);
}

static void a_place_that_was_the_root_leaf_is_not_good_once_it_is_an_inner_page(void)
{
	struct key_text text;
	struct place place;

	fixture_fill(&fixture, 0, 1);
	CU_ASSERT_EQUAL(descend_to(0, &place), BWT_OK);
	fixture_fill(&fixture, 1, 100);
	epoch_pin(fixture.slot);
	CU_ASSERT_FALSE(place_reload(&fixture.tree, &place, key_of(0, &text)));
	epoch_unpin(fixture.slot);
}

/* ---- damage ---- */

static struct base_page *writable(const struct place *place)
{
	return (struct base_page *)place->base;
}

static void a_page_that_is_not_there_is_corrupt_and_named(void)
{
	struct place place;
	char page[32];

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &place), BWT_OK);
	snprintf(page, sizeof page, "page %llu", (unsigned long long)place.page);
	mapping_set(&fixture.mapping, place.page, 0);
	CU_ASSERT_EQUAL(descend_to(250, &place), BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), page));
	CU_ASSERT_EQUAL(descend_to(0, &place), BWT_OK); /* others are as they were */
}

static void an_offset_outside_the_arena_is_corrupt(void)
{
	struct place place, good;

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &good), BWT_OK);
	mapping_set(&fixture.mapping, good.page, mapping_word(arena_size(&fixture.arena), 0));
	CU_ASSERT_EQUAL(descend_to(250, &place), BWT_CORRUPT);
	mapping_set(&fixture.mapping, good.page, mapping_word(((arena_off)1 << 52) - 16, 0));
	CU_ASSERT_EQUAL(descend_to(250, &place), BWT_CORRUPT);
	mapping_set(&fixture.mapping, good.page, (uint64_t)MAPPING_DROPPED << 56);
	CU_ASSERT_EQUAL(descend_to(250, &place), BWT_CORRUPT);
	mapping_set(&fixture.mapping, good.page, good.word);
	CU_ASSERT_EQUAL(descend_to(250, &place), BWT_OK);
}

static void a_page_under_another_ones_id_is_corrupt(void)
{
	struct place place, other;

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &place), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(descend_to(0, &other), BWT_OK);
	mapping_set(&fixture.mapping, place.page, other.word);
	CU_ASSERT_EQUAL(descend_to(250, &place), BWT_CORRUPT);
}

static void right_links_in_a_cycle_are_corrupt_not_endless(void)
{
	struct place place, left;

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &place), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(descend(base_low(place.base), true, 0, &left), BWT_OK);
	/* Both end before the key, and link to each other. */
	writable(&left)->right = left.page;
	epoch_pin(fixture.slot);
	mapping_set(&fixture.mapping, place.page, left.word);
	writable(&left)->head.page = place.page;
	writable(&left)->right = place.page;
	CU_ASSERT_EQUAL(tree_descend(&fixture.tree, base_high(left.base), false, 0, &place, NULL),
	                BWT_CORRUPT);
	epoch_unpin(fixture.slot);
}

static void a_child_of_the_wrong_level_is_corrupt(void)
{
	struct place place;

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &place), BWT_OK);
	writable(&place)->level = 40;
	CU_ASSERT_EQUAL(descend(slice_of_text("00000250"), false, 1, &place), BWT_OK);
	CU_ASSERT_NOT_EQUAL(descend_to(250, &place), BWT_OK);
	CU_ASSERT_EQUAL(descend(slice_of_text("0"), false, 9, &place),
	                BWT_NOT_FOUND); /* no level 9 here */
}

/* ---- M6: pages of an earlier life ---- */

static void mark_unseen(const struct place *place)
{
	mapping_set(&fixture.mapping, place->page, place->word | (uint64_t)MAPPING_UNSEEN << 56);
}

static void a_page_of_an_earlier_life_is_checked_once(void)
{
	struct place place, again;

	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(250, &place), BWT_OK);
	mark_unseen(&place);
	CU_ASSERT_EQUAL(descend_to(250, &again), BWT_OK);
	CU_ASSERT_EQUAL(again.word, place.word);
	CU_ASSERT_EQUAL(mapping_load(&fixture.mapping, place.page), place.word);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 300));
}

static void damage_of_an_earlier_life_is_noticed_wherever_it_is(void)
{
	struct place place;
	uint64_t seed = rng_seed();
	struct rng rng;

	rng_init(&rng, seed);
	fixture_fill(&fixture, 0, 300);
	CU_ASSERT_EQUAL_FATAL(descend_to(297, &place), BWT_OK);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t *byte = (uint8_t *)place.base + rng_below(&rng, place.base->head.size);
		uint8_t bit = (uint8_t)(1u << rng_below(&rng, 8));
		struct place damaged;
		int rc;

		*byte ^= bit;
		mark_unseen(&place);
		rc = descend_to(297, &damaged);
		*byte ^= bit;
		if (rc != BWT_CORRUPT) {
			CU_FAIL("a damaged page was believed");
			return;
		}
	}
	mark_unseen(&place);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 300));
}

static void a_chain_of_another_length_than_its_word_says_is_corrupt(void)
{
	struct place place;

	fixture_fill(&fixture, 0, 3);
	CU_ASSERT_EQUAL_FATAL(descend_to(1, &place), BWT_OK);
	place.word = mapping_word(mapping_head(place.word), mapping_chain(place.word) + 1);
	mark_unseen(&place);
	CU_ASSERT_EQUAL(descend_to(1, &place), BWT_CORRUPT);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(an_empty_tree_is_one_leaf),
		TEST(every_key_leads_to_the_page_that_covers_it_at_every_level),
		TEST(before_leads_to_the_page_of_the_keys_just_below),
		TEST(the_last_leaf_is_found_in_every_state_of_a_split),
		TEST(many_descents_lead_where_each_leads_alone),
		TEST(many_descents_find_what_is_behind_right_links_only),
		TEST(readers_hint_at_inner_pages_that_have_become_quiet),
		TEST(a_damaged_page_fails_the_descents_to_it_and_no_others),
		TEST(a_place_is_good_until_its_page_does_not_cover_the_key),
		TEST(a_place_that_was_the_root_leaf_is_not_good_once_it_is_an_inner_page),
		TEST(a_page_that_is_not_there_is_corrupt_and_named),
		TEST(an_offset_outside_the_arena_is_corrupt),
		TEST(a_page_under_another_ones_id_is_corrupt),
		TEST(right_links_in_a_cycle_are_corrupt_not_endless),
		TEST(a_child_of_the_wrong_level_is_corrupt),
		TEST(a_page_of_an_earlier_life_is_checked_once),
		TEST(damage_of_an_earlier_life_is_noticed_wherever_it_is),
		TEST(a_chain_of_another_length_than_its_word_says_is_corrupt),
		CU_TEST_INFO_NULL,
	};

	return suite_run("descend", set_up, tear_down, tests);
}
