/* SPDX-License-Identifier: MIT */
/* test_base_page.c - fences and separators */
#include "page/base_page.h"

#include <stdlib.h>

#include "page_fixture.h"
#include "tests/support/suite.h"

static struct test_arena arena;
static struct rng rng;

static void set_up(void)
{
	test_arena_init(&arena, 1u << 20);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

static const struct base_page *leaf(const struct page_entry *entries, unsigned count,
                                    struct bwt_slice low, struct bwt_slice high, page_id right)
{
	struct page_bounds bounds = {low, high, right};

	return test_arena_at(&arena, test_leaf(&arena, entries, count, &bounds, 5));
}

static void the_rightmost_page_covers_everything(void)
{
	const struct base_page *page = leaf(NULL, 0, TEXT(""), NO_KEY, 0);

	CU_ASSERT_PTR_NULL(base_high(page).data);
	CU_ASSERT_EQUAL(base_low(page).size, 0);
	CU_ASSERT_TRUE(base_covers(page, TEXT("")));
	CU_ASSERT_TRUE(base_covers(page, TEXT("\xff\xff\xff\xff\xff\xff")));
}

static void the_high_fence_itself_is_not_covered(void)
{
	struct page_entry entries[] = {entry_make(TEXT("key-100"), TEXT(""), 0, 0),
	                               entry_make(TEXT("key-150"), TEXT(""), 0, 0)};
	const struct base_page *page = leaf(entries, 2, TEXT("key-100"), TEXT("key-2"), 8);

	CU_ASSERT_TRUE(base_covers(page, TEXT("key-150")));
	CU_ASSERT_TRUE(base_covers(page, TEXT("key-199999")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("key-2")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("key-20")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("l")));
	CU_ASSERT_TRUE(base_covers(page, TEXT("key-1")));
	CU_ASSERT_TRUE(base_covers(page, TEXT("")));
}

/* P4: the fence shares the prefix and its head with keys on both sides. */
static void a_fence_with_the_head_of_the_keys_is_compared_in_full(void)
{
	struct page_entry entries[] = {entry_make(TEXT("pABCD1"), TEXT(""), 0, 0),
	                               entry_make(TEXT("pABCD5"), TEXT(""), 0, 0)};
	const struct base_page *page = leaf(entries, 2, TEXT("p"), TEXT("pABCD7"), 8);

	CU_ASSERT_TRUE(base_covers(page, TEXT("pABCD6")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("pABCD7")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("pABCD8")));
	page = leaf(entries, 1, TEXT("p"), TEXT("pABCD1\0"), 8); /* shorter than prefix and head */
	CU_ASSERT_TRUE(base_covers(page, TEXT("pABCD1")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("pABCD1\0")));
	page = leaf(entries, 2, TEXT("p"), TEXT("pABCD\xff\xff\xff\xff"), 8); /* the largest head */
	CU_ASSERT_TRUE(base_covers(page, TEXT("pABCD\xff\xff\xff")));
	CU_ASSERT_TRUE(base_covers(page, TEXT("pABCD\xff\xff\xfe\xff")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("pABCD\xff\xff\xff\xff")));
	CU_ASSERT_FALSE(base_covers(page, TEXT("pABCD\xff\xff\xff\xff\xff")));
}

static struct bwt_slice separator(struct bwt_slice left, struct bwt_slice right, uint8_t *to)
{
	struct key_ref left_ref = key_ref_of(left), right_ref = key_ref_of(right);

	return (struct bwt_slice){to, separator_between(&left_ref, &right_ref, to)};
}

static void separators_are_as_short_as_can_be(void)
{
	uint8_t to[32];

	CU_ASSERT_TRUE(slice_equal(separator(TEXT("apple"), TEXT("banana"), to), TEXT("b")));
	CU_ASSERT_TRUE(slice_equal(separator(TEXT("key-199"), TEXT("key-200"), to), TEXT("key-2")));
	CU_ASSERT_TRUE(slice_equal(separator(TEXT("a"), TEXT("aa"), to), TEXT("aa")));
	CU_ASSERT_TRUE(slice_equal(separator(TEXT(""), TEXT("xyz"), to), TEXT("x")));
	CU_ASSERT_TRUE(slice_equal(separator(TEXT(""), TEXT("\0\0"), to), TEXT("\0")));
}

static void separators_lie_between_and_nothing_shorter_does(void)
{
	unsigned wrong = 0;

	for (unsigned round = 0; round < 20000; round++) {
		enum key_family family = (enum key_family)rng_below(&rng, KEYS_FAMILIES);
		struct bwt_slice left = key_make(&rng, family), right = key_make(&rng, family), got;
		int order = key_order_by_definition(left, right);
		struct key_ref left_ref, right_ref;
		uint8_t *to;

		if (order > 0) {
			struct bwt_slice swap = left;

			left = right;
			right = swap;
		}
		left_ref = key_cut(left, rng_below(&rng, left.size + 1));
		right_ref = key_cut(right, rng_below(&rng, right.size + 1));
		to = malloc(right.size + 1);
		if (order != 0) {
			got = (struct bwt_slice){to, separator_between(&left_ref, &right_ref, to)};
			wrong += key_order_by_definition(left, got) >= 0 ||
			         key_order_by_definition(got, right) > 0;
			/* What is shorter and not above @right is at most @right's beginning. */
			got = (struct bwt_slice){right.data, got.size - 1};
			wrong += key_order_by_definition(left, got) < 0;
		}
		free(to);
		free((void *)(uintptr_t)left.data);
		free((void *)(uintptr_t)right.data);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_rightmost_page_covers_everything),
		TEST(the_high_fence_itself_is_not_covered),
		TEST(a_fence_with_the_head_of_the_keys_is_compared_in_full),
		TEST(separators_are_as_short_as_can_be),
		TEST(separators_lie_between_and_nothing_shorter_does),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("base_page", set_up, tear_down, tests);
}
