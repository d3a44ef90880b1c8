/* SPDX-License-Identifier: MIT */
/* test_splice.c - a leaf made from another one is the leaf made from all its entries (SL1) */
#include "page/splice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page/page_check.h"
#include "page_fixture.h"
#include "tests/support/suite.h"

#define PAGE 5u
#define ARENA_SIZE ((uint64_t)8 << 20)
#define KEYS_MAX 200u
#define ROUNDS 20000u

static struct test_arena arena;

static void set_up(void)
{
	test_arena_init(&arena, ARENA_SIZE);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

static const struct base_page *make(const struct page_entry *entries, unsigned count,
                                    const struct page_bounds *bounds)
{
	return test_arena_at(&arena, test_leaf(&arena, entries, count, bounds, PAGE));
}

/* @splice and @entries are the same leaf. */
static bool same_leaf(const struct splice *splice, const struct page_entry *entries, unsigned count,
                      const struct page_bounds *bounds)
{
	const struct base_page *right = make(entries, count, bounds);
	size_t size = splice_size(splice, bounds);
	struct base_page *made = test_arena_at(&arena, test_arena_take(&arena, size));

	splice_build(made, size, splice, bounds, PAGE, right->head.tree, right->head.lsn);
	return size == right->head.size && memcmp(made, right, size) == 0 &&
	       page_check_block(&made->head, size) == NULL;
}

static void one_entry_between_two_runs(void)
{
	struct page_entry before[] = {
		entry_make(TEXT("apple"), TEXT("red"), 0, 0),
		entry_make(TEXT("avocado"), TEXT("green"), 0, 0),
	};
	struct page_entry after[] = {before[0], entry_make(TEXT("apricot"), TEXT("orange"), 0, 0),
	                             before[1]};
	struct page_bounds bounds = bounds_all();
	const struct base_page *base = make(before, 2, &bounds);
	struct splice_step steps[] = {{0, 1, &after[1]}, {1, 2, NULL}};
	struct splice splice = {base, steps, 2};

	CU_ASSERT_TRUE(splice_takes(base));
	CU_ASSERT_TRUE_FATAL(splice_fits(&splice));
	CU_ASSERT_TRUE(same_leaf(&splice, after, 3, &bounds));
	CU_ASSERT_EQUAL(splice_run_bytes(base, 0, 1), 8);
	CU_ASSERT_EQUAL(splice_run_bytes(base, 1, 1), 0);
	CU_ASSERT_EQUAL(splice_run_bytes(base, 0, 2), 20);
}

static void another_prefix_does_not_fit(void)
{
	struct page_entry before[] = {
		entry_make(TEXT("apple"), TEXT("red"), 0, 0),
		entry_make(TEXT("apricot"), TEXT("orange"), 0, 0),
	};
	struct page_entry pear = entry_make(TEXT("pear"), TEXT("yellow"), 0, 0);
	struct page_bounds bounds = bounds_all();
	const struct base_page *base = make(before, 2, &bounds);
	struct splice_step shorter[] = {{0, 2, &pear}}, longer[] = {{0, 1, NULL}},
			   nothing[] = {{0, 0, NULL}};
	struct page_entry banana = entry_make(TEXT("banana"), TEXT("yellow"), 0, 0),
			  bapple = entry_make(TEXT("bapple"), TEXT("red"), 0, 0);
	struct splice_step others[] = {{0, 0, &banana}, {0, 0, &bapple}};

	CU_ASSERT_FALSE(splice_fits(&(struct splice){base, shorter, 1}));
	CU_ASSERT_FALSE(splice_fits(&(struct splice){base, longer, 1}));
	CU_ASSERT_FALSE(splice_fits(&(struct splice){base, nothing, 1}));
	CU_ASSERT_FALSE(splice_fits(&(struct splice){base, nothing, 0}));
	CU_ASSERT_FALSE(splice_fits(&(struct splice){base, others, 2})); /* as long, but another */
}

static void leaves_with_older_versions_and_tombstones_are_not_taken(void)
{
	struct page_entry live = entry_make(TEXT("b"), TEXT("x"), 0, 0),
			  reference = entry_make(TEXT("b"), TEXT("123456789012345678901234"),
	                                         VERSION_VLOG, 0),
			  stamped = entry_make(TEXT("b"), TEXT("x"), 0, 320),
			  gone = entry_make(TEXT("b"), TEXT(""), VERSION_TOMBSTONE, 0);
	struct page_entry two[] = {stamped, live};
	struct page_bounds bounds = bounds_all();

	CU_ASSERT_TRUE(splice_takes(make(NULL, 0, &bounds)));
	CU_ASSERT_TRUE(splice_takes(make(&live, 1, &bounds)));
	CU_ASSERT_TRUE(splice_takes(make(&reference, 1, &bounds)));
	CU_ASSERT_FALSE(splice_takes(make(&stamped, 1, &bounds)));
	CU_ASSERT_FALSE(splice_takes(make(&gone, 1, &bounds)));
	CU_ASSERT_FALSE(splice_takes(make(two, 2, &bounds)));
}

struct change { /* old entries, changes to them, and what should come of it */
	struct page_entry before[KEYS_MAX], after[KEYS_MAX];
	struct splice_step steps[KEYS_MAX + 1];
	unsigned before_count, after_count, step_count;
};

/* Each key of the set was there or not, and is there, the same or with another value, or not. */
static void make_change(struct change *change, const struct key_set *set, struct rng *rng)
{
	unsigned from = 0, busy = (unsigned)rng_range(rng, 1, 60);

	change->before_count = change->after_count = change->step_count = 0;
	for (unsigned i = 0; i < set->count; i++) {
		bool was = rng_chance(rng, 70), touched = rng_chance(rng, busy);
		bool stays = touched ? rng_chance(rng, 80) : was;
		size_t size = rng_below(rng, set->keys[i].size + 1);
		struct page_entry *after = &change->after[change->after_count];

		if (was)
			change->before[change->before_count++] = entry_make(
				set->keys[i], (struct bwt_slice){set->keys[i].data, size}, 0, 0);
		if (!touched) {
			if (was)
				change->after[change->after_count++] =
					change->before[change->before_count - 1];
			continue;
		}
		*after = entry_make(set->keys[i], set->keys[i], 0, 0);
		change->after_count += stays;
		change->steps[change->step_count++] =
			(struct splice_step){from, change->before_count - was, stays ? after : NULL};
		from = change->before_count;
	}
	change->steps[change->step_count++] = (struct splice_step){from, change->before_count, NULL};
}

static void any_change_gives_what_a_fresh_leaf_would_be(void)
{
	struct page_bounds all = bounds_all();
	static struct change change;
	unsigned fitted = 0;
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < ROUNDS; round++) {
		enum key_family family = (enum key_family)rng_below(&rng, KEYS_FAMILIES);
		struct splice splice;
		struct key_set set;

		arena.used = 0;
		key_set_init(&set, &rng, family, (unsigned)rng_range(&rng, 1, KEYS_MAX));
		make_change(&change, &set, &rng);
		splice = (struct splice){make(change.before, change.before_count, &all),
		                         change.steps, change.step_count};
		if (splice_fits(&splice)) {
			fitted++;
			CU_ASSERT_TRUE(change.after_count > 0);
			CU_ASSERT_TRUE(same_leaf(&splice, change.after, change.after_count, &all));
		}
		key_set_deinit(&set);
	}
	CU_ASSERT_TRUE(fitted > ROUNDS / 4);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(one_entry_between_two_runs),
		TEST(another_prefix_does_not_fit),
		TEST(leaves_with_older_versions_and_tombstones_are_not_taken),
		TEST(any_change_gives_what_a_fresh_leaf_would_be),
		CU_TEST_INFO_NULL,
	};
	return suite_run("splice", set_up, tear_down, tests);
}
