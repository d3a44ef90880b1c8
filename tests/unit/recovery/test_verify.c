/* SPDX-License-Identifier: MIT */
/* test_verify.c - each kind of wrong book or page is found, and nothing is found in a sound store */
#include <stdio.h>
#include <string.h>

#include "recovery/verify.h"
#include "tests/unit/recovery/store_fixture.h"
#include "tree/descend.h"
#include "txn/commit.h"

#define KEYS 6000u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	fixture_put(&fixture, 0, KEYS, 1);
	fixture_delete(&fixture, 100, 200);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

struct expectation {
	const char *text; /* part of it */
	int severity;
	bool met;
	bool printed;
};

static void compare(void *ctx, const struct bwt_finding *finding)
{
	struct expectation *expected = ctx;

	if (finding->severity == expected->severity && strstr(finding->text, expected->text) != NULL)
		expected->met = true;
	else if (!expected->printed) {
		printf("         also: %s\n", finding->text);
		expected->printed = true;
	}
}

static bool finds(int severity, const char *text)
{
	struct expectation expected = {.text = text, .severity = severity};
	struct verify_report report = {.report = compare, .ctx = &expected};

	CU_ASSERT_EQUAL(verify_store(&fixture.store, fixture.slot, &report), BWT_OK);
	CU_ASSERT_TRUE(severity == BWT_DAMAGE ? report.damages > 0 : report.warnings > 0);
	return expected.met;
}

static struct tree *main_tree(void)
{
	return &store_tree(&fixture.store, TREE_ID_MAIN)->tree;
}

/* The leaf that covers @key. */
static struct place leaf_of(const char *key)
{
	struct place place;

	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL_FATAL(tree_descend(main_tree(), (struct bwt_slice){key, strlen(key)}, false,
	                                   0, &place, NULL),
	                      BWT_OK);
	epoch_unpin(fixture.slot);
	return place;
}

static _Atomic(uint64_t) *word_of(page_id page)
{
	return &fixture.store.mapping.table.words[page];
}

static void a_sound_store_has_no_findings(void)
{
	struct verify_report report = {0};

	CU_ASSERT_EQUAL(verify_store(&fixture.store, fixture.slot, &report), BWT_OK);
	CU_ASSERT_EQUAL(report.damages + report.warnings, 0);
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_wrong_key_count_is_found(void)
{
	tree_keys_add(main_tree(), fixture.slot, 1);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "are counted"));
	tree_keys_add(main_tree(), fixture.slot, -1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_page_that_no_tree_reaches_is_found(void)
{
	page_id page;

	gate_enter(fixture.slot);
	page = mapping_alloc(&fixture.store.mapping);
	mapping_set(&fixture.store.mapping, page, (uint64_t)MAPPING_DROPPED << 56);
	gate_leave(fixture.slot);
	epoch_unpin(fixture.slot);
	CU_ASSERT_TRUE(finds(BWT_WARNING, "no tree reaches"));
}

static void wrong_live_bytes_are_found(void)
{
	struct place place = leaf_of("key-00003000");
	_Atomic(uint64_t) *word = &fixture.store.extents.table.words[extent_of(place_head(&place))];

	atomic_fetch_sub(word, 16);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "the extent table says"));
	atomic_fetch_add(word, 32);
	CU_ASSERT_TRUE(finds(BWT_WARNING, "count as in use and are not"));
}

static void wrong_live_bytes_of_values_are_found(void)
{
	_Atomic(uint64_t) *word = &fixture.store.vlog_live.words[1];

	CU_ASSERT_TRUE(atomic_load(word) > 0);
	atomic_fetch_sub(word, 1);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "of values are in use"));
	atomic_fetch_add(word, 2);
	CU_ASSERT_TRUE(finds(BWT_WARNING, "of values are in use"));
}

static void two_leaves_with_each_others_words_are_found(void)
{
	struct place one = leaf_of("key-00001000"), two = leaf_of("key-00004000");

	CU_ASSERT_NOT_EQUAL_FATAL(one.page, two.page);
	atomic_store(word_of(one.page), two.word);
	atomic_store(word_of(two.page), one.word);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "the main tree: "));
}

static void a_lost_page_is_found_with_its_keys(void)
{
	struct place place = leaf_of("key-00003000");

	atomic_store(word_of(place.page), 0);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "the page is not there"));
}

static void a_chain_of_another_length_is_found(void)
{
	struct place place = leaf_of("key-00003000");

	atomic_fetch_add(word_of(place.page), (uint64_t)1 << 48);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "another chain length"));
}

/* Reseal a base page after @change, so that only the rule itself is broken. */
static struct base_page *writable(struct place *place)
{
	return (struct base_page *)arena_at(
		&fixture.store.arena,
		(arena_off)((const uint8_t *)place->base - fixture.store.arena.base));
}

static void a_link_past_the_neighbour_is_found(void)
{
	struct place one = leaf_of("key-00001000"), far = leaf_of("key-00005000");
	struct base_page *base = writable(&one);

	base->right = far.page;
	block_seal(&base->head, 0);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "the main tree: "));
}

static void a_page_of_another_tree_is_found(void)
{
	struct place place = leaf_of("key-00003000");
	struct base_page *base = writable(&place);

	base->head.tree = 77;
	block_seal(&base->head, 0);
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "another tree"));
}

static void a_flipped_bit_in_a_page_is_found(void)
{
	struct place place = leaf_of("key-00003000");

	writable(&place)->bytes[40] ^= 4;
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "the main tree: "));
}

static void a_name_that_the_catalogue_does_not_have_is_found(void)
{
	struct named_tree *tree;
	uint32_t id = atomic_load(&fixture.store.next_tree_id);

	pthread_mutex_lock(fixture.store.trees_lock);
	CU_ASSERT_EQUAL_FATAL(catalog_create(&fixture.store, "lemon", id, 0, &tree), BWT_OK);
	pthread_mutex_unlock(fixture.store.trees_lock);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	strcpy(tree->name, "melon");
	CU_ASSERT_TRUE(finds(BWT_DAMAGE, "names a tree \"lemon\""));
}

static void a_damaged_large_value_is_damage_of_its_key_alone(void)
{
	struct expectation expected = {.text = "checksum", .severity = BWT_DAMAGE};
	struct verify_report report = {.report = compare, .ctx = &expected};

	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_damage(fixture.path, "vlog/0000000000000001.vlog", 100, 1);
	CU_ASSERT_EQUAL(verify_store(&fixture.store, fixture.slot, &report), BWT_OK);
	CU_ASSERT_TRUE(expected.met);
	CU_ASSERT_EQUAL(report.damages, 1);
	CU_ASSERT_EQUAL(report.warnings, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_sound_store_has_no_findings),
		TEST(a_wrong_key_count_is_found),
		TEST(a_page_that_no_tree_reaches_is_found),
		TEST(wrong_live_bytes_are_found),
		TEST(wrong_live_bytes_of_values_are_found),
		TEST(two_leaves_with_each_others_words_are_found),
		TEST(a_lost_page_is_found_with_its_keys),
		TEST(a_chain_of_another_length_is_found),
		TEST(a_link_past_the_neighbour_is_found),
		TEST(a_page_of_another_tree_is_found),
		TEST(a_flipped_bit_in_a_page_is_found),
		TEST(a_name_that_the_catalogue_does_not_have_is_found),
		TEST(a_damaged_large_value_is_damage_of_its_key_alone),
		CU_TEST_INFO_NULL,
	};
	return suite_run("verify", set_up, tear_down, tests);
}
