/* SPDX-License-Identifier: MIT */
/* test_leaf.c - leaves: what was built is found, ordered and accepted by the checks */
#include "page/base_page.h"

#include <stdio.h>
#include <stdlib.h>

#include "page/page_check.h"
#include "page/search.h"
#include "page_fixture.h"
#include "tests/support/suite.h"

#define PAGE 5u
#define ARENA_SIZE ((uint64_t)4 << 20)
#define VERSIONS_MAX 600u

static struct test_arena arena;
static struct rng rng;

static void set_up(void)
{
	test_arena_init(&arena, ARENA_SIZE);
	search_select(SEARCH_AVX512);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

/* Build in the arena, then copy: steps over the end of the block are seen. Free it. */
static struct base_page *build(const struct page_entry *entries, unsigned count,
                               const struct page_bounds *bounds)
{
	arena_off off = test_leaf(&arena, entries, count, bounds, PAGE);
	struct block_head *block = block_alone(test_arena_at(&arena, off));
	const char *wrong = page_check_block(block, block->size);

	if (wrong != NULL)
		printf("  page_check_block: %s\n", wrong);
	CU_ASSERT_PTR_NULL(wrong);
	return (struct base_page *)(void *)block;
}

static int find(const struct base_page *page, struct bwt_slice key)
{
	return leaf_find(page, key, key_hash(key));
}

static void three_keys_are_found_and_others_are_not(void)
{
	struct page_entry entries[] = {
		entry_make(TEXT("apple"), TEXT("red"), 0, 0),
		entry_make(TEXT("apricot"), TEXT("orange"), 0, 320),
		entry_make(TEXT("avocado"), TEXT(""), VERSION_TOMBSTONE, 336),
	};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 3, &bounds);
	struct page_entry entry;

	CU_ASSERT_EQUAL(find(page, TEXT("apple")), 0);
	CU_ASSERT_EQUAL(find(page, TEXT("apricot")), 1);
	CU_ASSERT_EQUAL(find(page, TEXT("avocado")), 2);
	CU_ASSERT_EQUAL(find(page, TEXT("app")), -1);
	CU_ASSERT_EQUAL(find(page, TEXT("apples")), -1);
	CU_ASSERT_EQUAL(find(page, TEXT("")), -1);
	CU_ASSERT_EQUAL(find(page, TEXT("b")), -1);
	leaf_entry(page, 1, &entry);
	CU_ASSERT_TRUE(key_ref_is(&entry.key, TEXT("apricot")));
	CU_ASSERT_TRUE(
		slice_equal((struct bwt_slice){entry.value, entry.value_size}, TEXT("orange")));
	CU_ASSERT_EQUAL(entry.lsn, 320);
	CU_ASSERT_EQUAL(entry.flags, VERSION_LSN);
	CU_ASSERT_PTR_NULL(entry.word);
	leaf_entry(page, 2, &entry);
	CU_ASSERT_EQUAL(entry.flags, VERSION_LSN | VERSION_TOMBSTONE);
	CU_ASSERT_EQUAL(page->keys, 2);
	CU_ASSERT_EQUAL(page->prefix_size, 1);
	CU_ASSERT_EQUAL(page->head.page, PAGE);
	CU_ASSERT_EQUAL(page->head.tree, 1);
	CU_ASSERT_EQUAL(page->head.lsn, 160);
	free(page);
}

/* A fingerprint is one byte, and a suffix not the whole key. */
static void keys_with_a_fingerprint_of_the_page_are_told_from_its_keys(void)
{
	struct page_entry entries[] = {entry_make(TEXT("apple"), TEXT("red"), 0, 0),
	                               entry_make(TEXT("apricot"), TEXT("orange"), 0, 0)};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 2, &bounds);
	uint32_t hash = key_hash(TEXT("apple"));

	CU_ASSERT_EQUAL(leaf_find(page, TEXT("apple"), hash), 0);
	CU_ASSERT_EQUAL(leaf_find(page, TEXT("xxple"), hash), -1);
	CU_ASSERT_EQUAL(leaf_find(page, TEXT("axple"), hash), -1);
	CU_ASSERT_EQUAL(leaf_find(page, TEXT("apxle"), hash), -1);
	CU_ASSERT_EQUAL(leaf_find(page, TEXT("ap"), hash), -1);
	CU_ASSERT_EQUAL(leaf_find(page, TEXT("applesauce"), hash), -1);
	free(page);
}

static void lower_bound_gives_the_first_key_not_below(void)
{
	struct page_entry entries[] = {
		entry_make(TEXT("b"), TEXT("1"), 0, 0),
		entry_make(TEXT("bb"), TEXT("2"), 0, 0),
		entry_make(TEXT("d"), TEXT("3"), 0, 0),
	};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 3, &bounds);

	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("")), 0);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("a")), 0);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("b")), 0);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("b\0")), 1);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("bb")), 1);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("c")), 2);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("e")), 3);
	free(page);
}

static void an_empty_leaf_has_nothing_and_keeps_its_bounds(void)
{
	struct page_bounds bounds = {TEXT("k"), TEXT("m"), 9}, got;
	struct base_page *page = build(NULL, 0, &bounds);

	CU_ASSERT_EQUAL(find(page, TEXT("")), -1);
	CU_ASSERT_EQUAL(find(page, TEXT("l")), -1);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("l")), 0);
	base_bounds(page, &got);
	CU_ASSERT_TRUE(slice_equal(got.low, TEXT("k")) && slice_equal(got.high, TEXT("m")));
	CU_ASSERT_EQUAL(got.right, 9);
	CU_ASSERT_TRUE(base_covers(page, TEXT("lzzz")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("m")));
	free(page);
}

static void the_empty_key_is_a_key(void)
{
	struct page_entry entries[] = {
		entry_make(TEXT(""), TEXT("nothing"), 0, 0),
		entry_make(TEXT("\0"), TEXT("zero"), 0, 0),
	};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 2, &bounds);

	CU_ASSERT_EQUAL(find(page, TEXT("")), 0);
	CU_ASSERT_EQUAL(find(page, NO_KEY), 0);
	CU_ASSERT_EQUAL(find(page, TEXT("\0")), 1);
	CU_ASSERT_EQUAL(find(page, TEXT("\0\0")), -1);
	free(page);
	page = build(entries, 1, &bounds);
	CU_ASSERT_EQUAL(find(page, TEXT("")), 0);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("")), 0);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("\0")), 1);
	free(page);
}

static void the_newest_version_of_a_key_is_found_first(void)
{
	struct page_entry entries[] = {
		entry_make(TEXT("a"), TEXT("a3"), 0, 480),
		entry_make(TEXT("a"), TEXT(""), VERSION_TOMBSTONE, 320),
		entry_make(TEXT("a"), TEXT("a1"), 0, 0),
		entry_make(TEXT("b"), TEXT(""), VERSION_TOMBSTONE, 640),
		entry_make(TEXT("b"), TEXT("b1"), 0, 160),
	};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 5, &bounds);
	struct page_entry entry;

	CU_ASSERT_EQUAL(find(page, TEXT("a")), 0);
	CU_ASSERT_EQUAL(find(page, TEXT("b")), 3);
	CU_ASSERT_EQUAL(leaf_lower_bound(page, TEXT("b")), 3);
	CU_ASSERT_EQUAL(page->keys, 1);
	for (unsigned i = 0; i < 5; i++) {
		leaf_entry(page, i, &entry);
		CU_ASSERT_EQUAL((entry.flags & VERSION_OLDER) != 0, i == 1 || i == 2 || i == 4);
		CU_ASSERT_EQUAL(entry.lsn, entries[i].lsn);
	}
	free(page);
}

static void the_largest_key_and_value_fit_with_two_fences_of_that_size(void)
{
	static uint8_t key[BWT_KEY_MAX], low[BWT_KEY_MAX], high[BWT_KEY_MAX], value[65536];
	struct page_bounds bounds = {{low, sizeof low}, {high, sizeof high}, 2};
	struct bwt_slice whole = {key, sizeof key};
	struct page_entry entries[1], entry;
	struct base_page *page;

	memset(key, 'k', sizeof key);
	memset(low, 'j', sizeof low);
	memset(high, 'l', sizeof high);
	memset(value, 'v', sizeof value);
	entries[0] = entry_make(whole, (struct bwt_slice){value, sizeof value}, 0, 16);
	page = build(entries, 1, &bounds);
	CU_ASSERT_TRUE(page->head.size <= BLOCK_SIZE_MAX);
	CU_ASSERT_EQUAL(find(page, whole), 0);
	whole.size--;
	CU_ASSERT_EQUAL(find(page, whole), -1);
	leaf_entry(page, 0, &entry);
	CU_ASSERT_EQUAL(entry.value_size, sizeof value);
	CU_ASSERT_EQUAL(memcmp(entry.value, value, sizeof value), 0);
	CU_ASSERT_EQUAL(page->prefix_size, BWT_KEY_MAX);
	free(page);
}

static void a_page_beyond_the_largest_block_says_so(void)
{
	static uint8_t value[65536];
	struct page_entry entries[17];
	struct page_bounds bounds = bounds_all();
	char keys[17];

	for (unsigned i = 0; i < 17; i++) {
		keys[i] = (char)('a' + i);
		entries[i] = entry_make((struct bwt_slice){&keys[i], 1},
		                        (struct bwt_slice){value, sizeof value}, 0, 0);
	}
	CU_ASSERT_TRUE(leaf_size(entries, 15, &bounds) <= BLOCK_SIZE_MAX);
	CU_ASSERT_TRUE(leaf_size(entries, 16, &bounds) > BLOCK_SIZE_MAX);
	CU_ASSERT_TRUE(leaf_size(entries, 17, &bounds) > BLOCK_SIZE_MAX);
}

static void values_in_the_log_keep_their_reference(void)
{
	struct value_ref ref = {3, 0, 4096, 1u << 30, 0xdeadbeef}, got;
	struct page_entry entries[] = {
		entry_make(TEXT("k"), (struct bwt_slice){&ref, sizeof ref}, VERSION_VLOG, 0)};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 1, &bounds);
	struct page_entry entry;

	leaf_entry(page, 0, &entry);
	CU_ASSERT_EQUAL(entry.flags, VERSION_VLOG);
	CU_ASSERT_EQUAL_FATAL(entry.value_size, sizeof got);
	memcpy(&got, entry.value, sizeof got);
	CU_ASSERT_EQUAL(memcmp(&got, &ref, sizeof ref), 0);
	free(page);
}

/* ---- random pages against the sorted array that they were built from ---- */

struct model {
	struct key_set keys;
	struct page_entry entries[VERSIONS_MAX];
	unsigned first[VERSIONS_MAX + 1]; /* of key i */
	unsigned count;
	struct page_bounds bounds;
	uint8_t value[256];
};

static void model_init(struct model *model, enum key_family family, unsigned key_count)
{
	key_set_init(&model->keys, &rng, family, key_count);
	rng_fill(&rng, model->value, sizeof model->value);
	model->count = 0;
	model->bounds = bounds_all();
	for (unsigned i = 0; i < model->keys.count; i++) {
		unsigned versions = rng_chance(&rng, 20) ? (unsigned)rng_range(&rng, 1, 4) : 1;

		model->first[i] = model->count;
		if (model->count + versions > VERSIONS_MAX)
			versions = 1;
		for (; versions > 0; versions--) {
			bool dead = rng_chance(&rng, 10);
			size_t size = dead ? 0 : rng_below(&rng, sizeof model->value);

			model->entries[model->count++] = entry_make(
				model->keys.keys[i], (struct bwt_slice){model->value, size},
				dead ? VERSION_TOMBSTONE : 0, 160 * (versions - 1));
		}
	}
	model->first[model->keys.count] = model->count;
	/* Fences right at the keys, at times: from the first one, up to just above the last. */
	if (model->keys.count != 0 && rng_chance(&rng, 50)) {
		struct bwt_slice last = model->keys.keys[model->keys.count - 1];
		uint8_t *above = calloc(1, last.size + 1);

		memcpy(above, last.data, last.size);
		model->bounds = (struct page_bounds){model->keys.keys[0], {above, last.size + 1}, 77};
	}
}

static void model_deinit(struct model *model)
{
	free((void *)(uintptr_t)model->bounds.high.data);
	key_set_deinit(&model->keys);
}

static unsigned check_entries(const struct model *model, const struct base_page *page)
{
	unsigned wrong = page->count != model->count;

	for (unsigned i = 0; i < model->count; i++) {
		const struct page_entry *expected = &model->entries[i];
		struct page_entry entry;

		leaf_entry(page, i, &entry);
		wrong += key_ref_compare(&entry.key, &expected->key) != 0;
		wrong += entry.lsn != expected->lsn || entry.value_size != expected->value_size ||
		         memcmp(entry.value, expected->value, entry.value_size) != 0;
		wrong += (entry.flags & VERSION_TOMBSTONE) != expected->flags;
	}
	return wrong;
}

/* leaf_find(), leaf_lower_bound() and base_covers() for one key, there or not. */
static unsigned check_key(const struct model *model, const struct base_page *page,
                          struct bwt_slice key)
{
	unsigned i = 0, first;
	bool there, covered;

	while (i < model->keys.count && key_order_by_definition(model->keys.keys[i], key) < 0)
		i++;
	first = model->first[i];
	there = i < model->keys.count && slice_equal(model->keys.keys[i], key);
	covered = model->bounds.right == 0 || key_order_by_definition(key, model->bounds.high) < 0;
	return 0u + (find(page, key) != (there ? (int)first : -1)) +
	       (leaf_lower_bound(page, key) != first) + (base_covers(page, key) != covered);
}

static void random_leaves_read_as_the_array_they_were_built_from(void)
{
	static struct model model;
	unsigned wrong = 0, rounds = suite_short() ? 60 : 600;

	for (unsigned round = 0; round < rounds; round++) {
		enum key_family family = (enum key_family)(round % KEYS_FAMILIES);
		unsigned most = rng_chance(&rng, 20) ? 300 : 40;
		struct base_page *page;

		model_init(&model, family, (unsigned)rng_below(&rng, most));
		arena.used = BLOCK_ALIGN;
		page = build(model.entries, model.count, &model.bounds);
		wrong += check_entries(&model, page);
		search_select((enum search_level)(round % 3));
		for (unsigned i = 0; i < model.keys.count; i++)
			wrong += check_key(&model, page, model.keys.keys[i]);
		for (unsigned i = 0; i < 60; i++) {
			enum key_family other =
				rng_chance(&rng, 70)
					? family
					: (enum key_family)rng_below(&rng, KEYS_FAMILIES);
			struct bwt_slice key = key_make(&rng, other);

			wrong += check_key(&model, page, key);
			free((void *)(uintptr_t)key.data);
		}
		free(page);
		model_deinit(&model);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* Consolidation feeds the entries of one page to the next. */
static void a_leaf_built_from_parts_of_another_is_the_same_as_from_whole_keys(void)
{
	static struct model model;
	static struct page_entry again[VERSIONS_MAX];
	unsigned wrong = 0;

	for (unsigned round = 0; round < 100; round++) {
		struct base_page *page, *from_parts, *from_keys;
		unsigned from, to;

		model_init(&model, (enum key_family)(round % KEYS_FAMILIES), 60);
		model.bounds.right = 0;
		model.bounds.low = TEXT("");
		free((void *)(uintptr_t)model.bounds.high.data);
		model.bounds.high = NO_KEY;
		arena.used = BLOCK_ALIGN;
		page = build(model.entries, model.count, &model.bounds);
		from = model.first[rng_below(&rng, model.keys.count + 1)];
		to = model.first[rng_below(&rng, model.keys.count + 1)];
		for (unsigned i = 0; i < model.count; i++)
			leaf_entry(page, i, &again[i]);
		if (from < to) {
			from_parts = build(again + from, to - from, &model.bounds);
			from_keys = build(model.entries + from, to - from, &model.bounds);
			wrong += from_parts->head.size != from_keys->head.size ||
			         memcmp(from_parts, from_keys, from_keys->head.size) != 0;
			free(from_parts);
			free(from_keys);
		}
		free(page);
		model_deinit(&model);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(three_keys_are_found_and_others_are_not),
		TEST(keys_with_a_fingerprint_of_the_page_are_told_from_its_keys),
		TEST(lower_bound_gives_the_first_key_not_below),
		TEST(an_empty_leaf_has_nothing_and_keeps_its_bounds),
		TEST(the_empty_key_is_a_key),
		TEST(the_newest_version_of_a_key_is_found_first),
		TEST(the_largest_key_and_value_fit_with_two_fences_of_that_size),
		TEST(a_page_beyond_the_largest_block_says_so),
		TEST(values_in_the_log_keep_their_reference),
		TEST(random_leaves_read_as_the_array_they_were_built_from),
		TEST(a_leaf_built_from_parts_of_another_is_the_same_as_from_whole_keys),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("leaf", set_up, tear_down, tests);
}
