/* SPDX-License-Identifier: MIT */
/* test_read_set.c - what was read is covered, what was not is not, and walks become one range */
#include <string.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "txn/read_set.h"

static struct tree trees[2] = {{.id = 2}, {.id = 16}};
static struct read_set set;

static void set_up(void)
{
	memset(&set, 0, sizeof set);
}

static void tear_down(void)
{
	read_set_free(&set);
}

static struct bwt_slice text(const char *words)
{
	return (struct bwt_slice){words, words == NULL ? 0 : strlen(words)};
}

static void add(const char *low, bool above, const char *high, bool with)
{
	CU_ASSERT_EQUAL_FATAL(read_set_add(&set, &trees[0], text(low), above, text(high), with),
	                      BWT_OK);
}

static bool covers(unsigned tree, struct bwt_slice key)
{
	for (size_t i = 0; i < set.count; i++)
		if (set.ranges[i].tree == &trees[tree] && key_compare(set.ranges[i].low, key) <= 0 &&
		    (set.ranges[i].high.data == NULL || key_compare(key, set.ranges[i].high) < 0))
			return true;
	return false;
}

static void a_point_covers_its_key_alone(void)
{
	add("key", false, "key", true);
	CU_ASSERT_TRUE(covers(0, text("key")));
	CU_ASSERT_FALSE(covers(1, text("key")));
	CU_ASSERT_FALSE(covers(0, text("ke")));
	CU_ASSERT_FALSE(covers(0, (struct bwt_slice){"key\0", 4}));
	add("", false, "", true);
	CU_ASSERT_TRUE(covers(0, text("")));
	CU_ASSERT_FALSE(covers(0, (struct bwt_slice){"", 1}));
}

static void bounds_are_in_or_out_as_said(void)
{
	add("b", true, "d", false);
	CU_ASSERT_FALSE(covers(0, text("b")));
	CU_ASSERT_TRUE(covers(0, text("ba")));
	CU_ASSERT_TRUE(covers(0, text("c")));
	CU_ASSERT_FALSE(covers(0, text("d")));
	add("x", false, NULL, false);
	CU_ASSERT_TRUE(covers(0, text("x")));
	CU_ASSERT_TRUE(covers(0, text("\xff\xff")));
	CU_ASSERT_FALSE(covers(0, text("w")));
}

static void an_empty_range_is_nothing(void)
{
	add("b", true, "b", true);
	add("b", false, "b", false);
	add("c", false, "b", true);
	CU_ASSERT_EQUAL(set.count, 0);
}

static void a_walk_to_the_right_is_one_range(void)
{
	add("b", false, "c", true);
	add("c", true, "d", true);
	add("d", true, "longer than all before", true);
	add("longer than all before", true, NULL, false);
	add("zz", false, NULL, false);
	CU_ASSERT_EQUAL(set.count, 1);
	CU_ASSERT_FALSE(covers(0, text("a")));
	CU_ASSERT_TRUE(covers(0, text("b")));
	CU_ASSERT_TRUE(covers(0, text("zzz")));
}

static void a_walk_to_the_left_is_one_range(void)
{
	add("x", false, NULL, false);
	add("w and more", false, "x", false);
	add("c", false, "w and more", false);
	add("", false, "c", false);
	CU_ASSERT_EQUAL(set.count, 1);
	CU_ASSERT_TRUE(covers(0, text("")));
	CU_ASSERT_TRUE(covers(0, text("zzz")));
	set.ranges[0].tree = &trees[1]; /* another tree's is not joined */
	add("a", false, "b", false);
	CU_ASSERT_EQUAL(set.count, 2);
}

/* Keys of up to two letters, zero bytes among them, so that k and k\0 meet. */
#define KEYS 13u

static struct bwt_slice key_at(unsigned i)
{
	static const char bytes[KEYS][3] = {"",   "\0", "\0\0", "\0a", "\0b", "a", "a\0",
	                                    "aa", "ab", "b",    "b\0", "ba",  "bb"};
	static const size_t sizes[KEYS] = {0, 1, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2};

	return (struct bwt_slice){bytes[i], sizes[i]};
}

static void random_ranges_cover_what_was_read_and_no_more(void)
{
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < (suite_short() ? 500u : 5000u); round++) {
		bool read[2][KEYS] = {{false}};

		read_set_free(&set);
		for (unsigned n = (unsigned)rng_below(&rng, 8); n-- > 0;) {
			unsigned t = rng_chance(&rng, 20), l = (unsigned)rng_below(&rng, KEYS),
				 h = (unsigned)rng_below(&rng, KEYS);
			bool above = rng_chance(&rng, 50), with = rng_chance(&rng, 50);
			bool unbounded = rng_chance(&rng, 10);
			struct bwt_slice high = unbounded ? text(NULL) : key_at(h);

			CU_ASSERT_EQUAL_FATAL(
				read_set_add(&set, &trees[t], key_at(l), above, high, with), BWT_OK);
			for (unsigned k = l + above; k < KEYS && (unbounded || k < h + with); k++)
				read[t][k] = true;
		}
		for (unsigned k = 0; k < KEYS; k++) {
			CU_ASSERT_EQUAL_FATAL(covers(0, key_at(k)), read[0][k]);
			CU_ASSERT_EQUAL_FATAL(covers(1, key_at(k)), read[1][k]);
		}
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_point_covers_its_key_alone),
		TEST(bounds_are_in_or_out_as_said),
		TEST(an_empty_range_is_nothing),
		TEST(a_walk_to_the_right_is_one_range),
		TEST(a_walk_to_the_left_is_one_range),
		TEST(random_ranges_cover_what_was_read_and_no_more),
		CU_TEST_INFO_NULL,
	};
	return suite_run("read_set", set_up, tear_down, tests);
}
