/* SPDX-License-Identifier: MIT */
/* test_tree_check.c - a sound tree has no faults; each broken rule is told, and the walk goes on */
#include <stdio.h>
#include <string.h>

#include "page/visibility.h"
#include "tests/unit/tree/tree_fixture.h"

#define KEYS 400u
#define PAGES_MAX 4096u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, 512, 8);
	fixture_fill(&fixture, 0, KEYS);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

struct walk {
	struct tree_check check;
	uint8_t reached[PAGES_MAX];
	uint64_t blocks, bytes, large;
	unsigned faults;
	char first[128]; /* the first fault's text */
	page_id page;    /* and page */
};

static void note_fault(void *ctx, const struct tree_fault *fault)
{
	struct walk *walk = ctx;

	if (walk->faults++ > 0)
		return;
	snprintf(walk->first, sizeof walk->first, "%s", fault->text);
	walk->page = fault->page;
}

static bool note_page(void *ctx, page_id page)
{
	struct walk *walk = ctx;

	CU_ASSERT_TRUE_FATAL(page < PAGES_MAX);
	return walk->reached[page]++ == 0;
}

static void note_block(void *ctx, arena_off off, uint32_t size)
{
	struct walk *walk = ctx;

	(void)off;
	walk->blocks++;
	walk->bytes += size;
}

static void note_large(void *ctx, page_id page, const struct page_entry *entry,
                       const struct value_ref *ref)
{
	struct walk *walk = ctx;

	(void)page;
	(void)entry;
	walk->large += ref->segment;
}

static struct walk *walk_tree(bool dropping)
{
	static struct walk walk;

	memset(&walk, 0, sizeof walk);
	walk.check = (struct tree_check){
		.dropping = dropping,
		.fault = note_fault,
		.reach = note_page,
		.block = note_block,
		.large = note_large,
		.ctx = &walk,
	};
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL(tree_check(&fixture.tree, &walk.check), BWT_OK);
	epoch_unpin(fixture.slot);
	return &walk;
}

static struct place leaf_of(unsigned number)
{
	struct place place = fixture_locate(&fixture, number);

	epoch_unpin(fixture.slot);
	return place;
}

static struct base_page *base_of(const struct place *place)
{
	return arena_at(&fixture.arena,
	                (arena_off)((const uint8_t *)place->base - fixture.arena.base));
}

static void expect(const char *text)
{
	struct walk *walk = walk_tree(false);

	CU_ASSERT_TRUE(walk->faults > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(walk->first, text));
	if (walk->faults > 0 && strstr(walk->first, text) == NULL)
		printf("         \"%s\" instead of \"%s\"\n", walk->first, text);
	CU_ASSERT_TRUE(walk->check.pages > 10); /* it went on */
}

static void a_sound_tree_is_walked_whole(void)
{
	struct walk *walk = walk_tree(false);

	CU_ASSERT_EQUAL(walk->faults, 0);
	CU_ASSERT_EQUAL(walk->check.keys, KEYS);
	CU_ASSERT_TRUE(walk->check.depth >= 3);
	CU_ASSERT_EQUAL(walk->check.depth, fixture_levels(&fixture));
	CU_ASSERT_TRUE(walk->blocks >= walk->check.pages);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void an_empty_tree_is_one_page(void)
{
	struct walk *walk;

	fixture_free(&fixture);
	fixture_new(&fixture, 512, 8);
	walk = walk_tree(false);
	CU_ASSERT_EQUAL(walk->faults, 0);
	CU_ASSERT_EQUAL(walk->check.pages, 1);
	CU_ASSERT_EQUAL(walk->check.keys, 0);
	CU_ASSERT_EQUAL(walk->check.depth, 1);
}

static void tombstones_do_not_count_and_large_values_are_named(void)
{
	struct walk *walk;

	fixture_delete(&fixture, 5);
	fixture_delete(&fixture, 6);
	fixture_put_large(&fixture, 7, 33);
	walk = walk_tree(false);
	CU_ASSERT_EQUAL(walk->faults, 0);
	CU_ASSERT_EQUAL(walk->check.keys, KEYS - 2);
	CU_ASSERT_EQUAL(walk->large, 33);
}

static void a_pending_version_is_a_fault(void)
{
	fixture_pending(&fixture, 100, "open");
	CU_ASSERT_TRUE(walk_tree(false)->faults > 0);
}

static void a_missing_page_is_told_by_its_number(void)
{
	struct place place = leaf_of(200);
	struct walk *walk;

	mapping_set(&fixture.mapping, place.page, 0);
	expect("is not there");
	walk = walk_tree(false);
	CU_ASSERT_EQUAL(walk->page, place.page);
	CU_ASSERT_EQUAL(walk->faults, 1);
	mapping_set(&fixture.mapping, place.page, place.word);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_freed_page_is_a_fault_only_in_a_tree_that_is_not_dropped(void)
{
	struct place place = leaf_of(200);

	mapping_set(&fixture.mapping, place.page, (uint64_t)MAPPING_DROPPED << 56);
	expect("was freed");
	CU_ASSERT_EQUAL(walk_tree(true)->faults, 0);
	CU_ASSERT_EQUAL(walk_tree(true)->reached[place.page], 1);
	mapping_set(&fixture.mapping, place.page, place.word);
}

static void a_chain_of_another_length_is_told(void)
{
	struct place place = leaf_of(200);

	mapping_set(&fixture.mapping, place.page, place.word + ((uint64_t)1 << 48));
	expect("another chain length");
	mapping_set(&fixture.mapping, place.page, place.word);
}

static void a_page_of_another_tree_is_told(void)
{
	struct place place = leaf_of(200);

	base_of(&place)->head.tree++;
	block_seal(&base_of(&place)->head, 0);
	expect("another tree");
}

static void a_link_that_leaves_a_page_out_is_told(void)
{
	struct place place = leaf_of(100), far = leaf_of(300);

	base_of(&place)->right = far.page;
	block_seal(&base_of(&place)->head, 0);
	CU_ASSERT_TRUE(walk_tree(false)->faults > 0);
}

static void a_page_on_another_level_is_told(void)
{
	struct place root;

	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL(page_look(&fixture.tree, fixture.tree.root, &root), BWT_OK);
	epoch_unpin(fixture.slot);
	base_of(&root)->level++;
	block_seal(&base_of(&root)->head, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(walk_tree(false)->first, "one level below"));
	base_of(&root)->level--;
	block_seal(&base_of(&root)->head, 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_flipped_bit_is_told_and_the_rest_is_walked(void)
{
	struct walk *walk;
	uint64_t pages = walk_tree(false)->check.pages;
	struct place place = leaf_of(200);

	base_of(&place)->bytes[base_of(&place)->head.size / 2] ^= 1;
	walk = walk_tree(false);
	CU_ASSERT_EQUAL(walk->faults, 1);
	CU_ASSERT_EQUAL(walk->page, place.page);
	CU_ASSERT_EQUAL(walk->check.pages, pages);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_sound_tree_is_walked_whole),
		TEST(an_empty_tree_is_one_page),
		TEST(tombstones_do_not_count_and_large_values_are_named),
		TEST(a_pending_version_is_a_fault),
		TEST(a_missing_page_is_told_by_its_number),
		TEST(a_freed_page_is_a_fault_only_in_a_tree_that_is_not_dropped),
		TEST(a_chain_of_another_length_is_told),
		TEST(a_page_of_another_tree_is_told),
		TEST(a_link_that_leaves_a_page_out_is_told),
		TEST(a_page_on_another_level_is_told),
		TEST(a_flipped_bit_is_told_and_the_rest_is_walked),
		CU_TEST_INFO_NULL,
	};
	return suite_run("tree_check", set_up, tear_down, tests);
}
