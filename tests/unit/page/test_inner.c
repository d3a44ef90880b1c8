/* SPDX-License-Identifier: MIT */
/* test_inner.c - inner pages: every key leads to the child that covers it */
#include "page/base_page.h"

#include <stdio.h>
#include <stdlib.h>

#include "page/page_check.h"
#include "page/search.h"
#include "page_fixture.h"
#include "tests/support/suite.h"

#define PAGE 5u
#define ARENA_SIZE ((uint64_t)4 << 20)
#define CHILDREN_MAX 700u

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

static struct base_page *build(const struct inner_entry *entries, unsigned count,
                               const struct page_bounds *bounds)
{
	arena_off off = test_inner(&arena, entries, count, 1, bounds, PAGE);
	struct block_head *block = block_alone(test_arena_at(&arena, off));
	const char *wrong = page_check_block(block, block->size);

	if (wrong != NULL)
		printf("  page_check_block: %s\n", wrong);
	CU_ASSERT_PTR_NULL(wrong);
	return (struct base_page *)(void *)block;
}

static void a_key_leads_to_the_child_that_covers_it(void)
{
	struct inner_entry entries[] = {{key_ref_of(TEXT("")), 10},
	                                {key_ref_of(TEXT("g")), 11},
	                                {key_ref_of(TEXT("gg")), 12}};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 3, &bounds);
	struct key_ref key;

	CU_ASSERT_EQUAL(inner_search(page, TEXT(""), false), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("f"), false), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("g"), false), 1);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("g\0"), false), 1);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("gg"), false), 2);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("z"), false), 2);
	CU_ASSERT_EQUAL(inner_child(page, 2), 12);
	CU_ASSERT_EQUAL(page->level, 1);
	inner_key(page, 0, &key);
	CU_ASSERT_TRUE(key_ref_is(&key, TEXT("")));
	inner_key(page, 2, &key);
	CU_ASSERT_TRUE(key_ref_is(&key, TEXT("gg")));
	free(page);
}

static void before_leads_to_the_child_of_the_keys_below(void)
{
	struct inner_entry entries[] = {{key_ref_of(TEXT("")), 10},
	                                {key_ref_of(TEXT("g")), 11},
	                                {key_ref_of(TEXT("gg")), 12}};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 3, &bounds);

	CU_ASSERT_EQUAL(inner_search(page, TEXT("a"), true), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("g"), true), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("g\0"), true), 1);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("gg"), true), 1);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("gga"), true), 2);
	free(page);
}

static void one_child_takes_every_key(void)
{
	struct inner_entry entries[] = {{key_ref_of(TEXT("k")), UINT32_MAX}};
	struct page_bounds bounds = {TEXT("k"), TEXT("p"), 3};
	struct base_page *page = build(entries, 1, &bounds);
	struct key_ref key;

	CU_ASSERT_EQUAL(inner_search(page, TEXT("k"), false), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("k"), true), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("o"), false), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("\xff\xff\xff\xff\xff"), true), 0);
	CU_ASSERT_EQUAL(inner_child(page, 0), UINT32_MAX);
	inner_key(page, 0, &key);
	CU_ASSERT_TRUE(key_ref_is(&key, TEXT("k")));
	free(page);
}

/* The leftmost child's empty key would leave no prefix and make all heads of these equal. */
static void the_low_fence_does_not_spoil_the_heads(void)
{
	struct inner_entry entries[] = {{key_ref_of(TEXT("")), 10},
	                                {key_ref_of(TEXT("\0\0\0\0\0\1")), 11},
	                                {key_ref_of(TEXT("\0\0\0\0\0\2")), 12}};
	struct page_bounds bounds = bounds_all();
	struct base_page *page = build(entries, 3, &bounds);

	CU_ASSERT_EQUAL(page->prefix_size, 5);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("\0\0\0\0"), false), 0);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("\0\0\0\0\0\1\5"), false), 1);
	CU_ASSERT_EQUAL(inner_search(page, TEXT("\0\0\0\1"), false), 2);
	free(page);
}

static void keys_of_the_largest_size_fit(void)
{
	static uint8_t a[BWT_KEY_MAX], b[BWT_KEY_MAX], low[BWT_KEY_MAX], high[BWT_KEY_MAX];
	struct page_bounds bounds = {{low, sizeof low}, {high, sizeof high}, 3};
	struct inner_entry entries[] = {{key_ref_of((struct bwt_slice){low, sizeof low}), 1},
	                                {key_ref_of((struct bwt_slice){a, sizeof a}), 2},
	                                {key_ref_of((struct bwt_slice){b, sizeof b}), 4}};
	struct base_page *page;

	memset(low, 'a', sizeof low);
	memset(a, 'b', sizeof a);
	memset(b, 'c', sizeof b);
	memset(high, 'd', sizeof high);
	page = build(entries, 3, &bounds);
	CU_ASSERT_EQUAL(inner_search(page, (struct bwt_slice){a, sizeof a}, false), 1);
	CU_ASSERT_EQUAL(inner_search(page, (struct bwt_slice){a, sizeof a}, true), 0);
	CU_ASSERT_EQUAL(inner_search(page, (struct bwt_slice){b, sizeof b - 1}, false), 1);
	free(page);
	memset(b, 'b', sizeof b);
	b[sizeof b - 1] = 'c';
	page = build(entries, 3, &bounds);
	CU_ASSERT_EQUAL(page->prefix_size, BWT_KEY_MAX - 1);
	CU_ASSERT_EQUAL(inner_search(page, (struct bwt_slice){b, sizeof b}, false), 2);
	CU_ASSERT_EQUAL(inner_search(page, (struct bwt_slice){b, sizeof b - 1}, false), 0);
	free(page);
}

static unsigned steps_known; /* inner_step() said more than "ask" */

/*
 * inner_step() may know no answer, but must know one for a key below the prefix of children 1 and on, for one with the
 * prefix whose head is below the fence's (P4), and for every key of a page that nothing follows.
 */
static unsigned wrong_step(const struct base_page *page, struct bwt_slice key, bool covered,
                           unsigned at)
{
	page_id child = inner_step(page, key);
	bool prefixed =
		key.size >= page->prefix_size &&
		(page->prefix_size == 0 || memcmp(key.data, page->bytes, page->prefix_size) == 0);

	if (child == 0)
		return (at == 0 && !prefixed) || page->right == 0;
	steps_known++;
	return !covered || (!prefixed && at != 0 && page->right != 0) || child != at + 100;
}

static unsigned check_key(const struct key_set *keys, const struct base_page *page,
                          const struct page_bounds *bounds, struct bwt_slice key)
{
	unsigned at = 0, before = 0;
	bool covered = bounds->right == 0 || key_order_by_definition(key, bounds->high) < 0;

	for (unsigned i = 1; i < keys->count; i++) {
		at += key_order_by_definition(keys->keys[i], key) <= 0;
		before += key_order_by_definition(keys->keys[i], key) < 0;
	}
	return 0u + (inner_search(page, key, false) != at) +
	       (inner_search(page, key, true) != before) + (base_covers(page, key) != covered) +
	       wrong_step(page, key, covered, at);
}

static void random_pages_lead_as_the_sorted_array_says(void)
{
	static struct inner_entry entries[CHILDREN_MAX];
	unsigned wrong = 0, rounds = suite_short() ? 60 : 600;

	steps_known = 0;
	for (unsigned round = 0; round < rounds; round++) {
		enum key_family family = (enum key_family)(round % KEYS_FAMILIES);
		struct key_set keys;
		struct page_bounds bounds;
		struct base_page *page;

		key_set_init(&keys, &rng, family,
		             (unsigned)rng_range(&rng, 2, rng_chance(&rng, 20) ? CHILDREN_MAX : 40));
		if (keys.count < 2) {
			key_set_deinit(&keys);
			continue;
		}
		/* The last key is the high fence, at times; it is no child then. */
		bounds = (struct page_bounds){keys.keys[0], NO_KEY, 0};
		if (rng_chance(&rng, 50))
			bounds = (struct page_bounds){keys.keys[0], keys.keys[--keys.count], 8};
		for (unsigned i = 0; i < keys.count; i++)
			entries[i] = (struct inner_entry){key_ref_of(keys.keys[i]), i + 100};
		arena.used = BLOCK_ALIGN;
		page = build(entries, keys.count, &bounds);
		search_select((enum search_level)(round % 3));
		for (unsigned i = 0; i < keys.count; i++) {
			struct key_ref key;

			inner_key(page, i, &key);
			wrong += !key_ref_is(&key, keys.keys[i]) || inner_child(page, i) != i + 100;
			wrong += check_key(&keys, page, &bounds, keys.keys[i]);
		}
		for (unsigned i = 0; i < 60; i++) {
			struct bwt_slice key = key_make(&rng, family);

			wrong += check_key(&keys, page, &bounds, key);
			free((void *)(uintptr_t)key.data);
		}
		free(page);
		keys.count += bounds.right != 0;
		key_set_deinit(&keys);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_TRUE(steps_known > rounds * 20);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_key_leads_to_the_child_that_covers_it),
		TEST(before_leads_to_the_child_of_the_keys_below),
		TEST(one_child_takes_every_key),
		TEST(the_low_fence_does_not_spoil_the_heads),
		TEST(keys_of_the_largest_size_fit),
		TEST(random_pages_lead_as_the_sorted_array_says),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("inner", set_up, tear_down, tests);
}
