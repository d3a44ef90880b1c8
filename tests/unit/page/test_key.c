/* SPDX-License-Identifier: MIT */
/* test_key.c - order, hash and pieces of keys against their definitions */
#include "page/key.h"

#include <stdlib.h>

#include "page_fixture.h"
#include "tests/support/suite.h"

static struct rng rng;

static int sign(int number)
{
	return (number > 0) - (number < 0);
}

static void the_empty_key_is_the_first(void)
{
	CU_ASSERT_EQUAL(key_compare(TEXT(""), TEXT("")), 0);
	CU_ASSERT_TRUE(key_compare(TEXT(""), TEXT("\0")) < 0);
	CU_ASSERT_TRUE(key_compare(TEXT("a"), TEXT("")) > 0);
	CU_ASSERT_EQUAL(key_compare(NO_KEY, TEXT("")), 0);
}

static void bytes_compare_unsigned_and_the_shorter_key_comes_first(void)
{
	CU_ASSERT_TRUE(key_compare(TEXT("\x7f"), TEXT("\x80")) < 0);
	CU_ASSERT_TRUE(key_compare(TEXT("abcdefgh"), TEXT("abcdefgh\0")) < 0);
	CU_ASSERT_TRUE(key_compare(TEXT("abcdefg\xff"), TEXT("abcdefg\0zzzzzzzz")) > 0);
	CU_ASSERT_TRUE(key_compare(TEXT("aaaaaaaab"), TEXT("aaaaaaaac")) < 0);
}

/* Sizes around each step of the comparison, one byte different at each place. */
static void a_difference_at_any_place_of_any_size_decides(void)
{
	uint8_t a[150], b[150];
	unsigned wrong = 0;

	for (size_t size = 1; size <= sizeof a; size++)
		for (size_t at = 0; at < size; at++) {
			memset(a, 0x80, sizeof a);
			memset(b, 0x80, sizeof b);
			a[at] = 0x7f;
			if (at + 1 < size)
				b[at + 1] = 0; /* later bytes say the opposite */
			wrong += key_compare((struct bwt_slice){a, size},
			                     (struct bwt_slice){b, size}) >= 0;
			wrong += key_compare((struct bwt_slice){b, size},
			                     (struct bwt_slice){a, size}) <= 0;
		}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void pieces_compare_as_the_whole_keys_do(void)
{
	unsigned wrong = 0, rounds = suite_short() ? 20000 : 200000;

	for (unsigned round = 0; round < rounds; round++) {
		enum key_family family = (enum key_family)rng_below(&rng, KEYS_FAMILIES);
		struct bwt_slice a = key_make(&rng, family), b = key_make(&rng, family);
		struct key_ref a_ref = key_cut(a, rng_below(&rng, a.size + 1));
		struct key_ref b_ref = key_cut(b, rng_below(&rng, b.size + 1));
		int order = key_order_by_definition(a, b);
		uint32_t common = 0;

		while (common < a.size && common < b.size &&
		       ((const uint8_t *)a.data)[common] == ((const uint8_t *)b.data)[common])
			common++;
		wrong += sign(key_compare(a, b)) != order;
		wrong += sign(key_ref_compare(&a_ref, &b_ref)) != order;
		wrong += sign(key_ref_compare_slice(&a_ref, b)) != order;
		wrong += key_ref_compare(&a_ref, &a_ref) != 0 ||
		         key_ref_compare_slice(&a_ref, a) != 0;
		wrong += key_ref_common(&a_ref, &b_ref) != common;
		wrong += key_ref_hash(&a_ref) != key_hash(a);
		free((void *)(uintptr_t)a.data);
		free((void *)(uintptr_t)b.data);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void keys_with_one_prefix_in_memory_compare_by_their_suffixes(void)
{
	const char *prefix = "prefix";
	struct key_ref a = {(const uint8_t *)prefix, (const uint8_t *)"a", 6, 1};
	struct key_ref ab = {(const uint8_t *)prefix, (const uint8_t *)"ab", 6, 2};

	CU_ASSERT_TRUE(key_ref_compare(&a, &ab) < 0);
	CU_ASSERT_TRUE(key_ref_compare(&ab, &a) > 0);
	CU_ASSERT_EQUAL(key_ref_common(&a, &ab), 7);
	CU_ASSERT_EQUAL(key_ref_common(&ab, &ab), 8);
}

static void copies_begin_anywhere(void)
{
	struct bwt_slice key = TEXT("prefixsuffix");
	unsigned wrong = 0;

	for (size_t cut = 0; cut <= key.size; cut++)
		for (uint32_t from = 0; from <= key.size; from++) {
			struct key_ref ref = key_cut(key, cut);
			uint8_t bytes[16];
			uint32_t size = key_ref_copy(&ref, from, bytes);

			wrong += size != key.size - from ||
			         memcmp(bytes, (const uint8_t *)key.data + from, size) != 0;
		}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void whole_keys_of_every_size_and_cut_are_written(void)
{
	uint8_t from[40], to[41];
	unsigned wrong = 0;

	for (unsigned i = 0; i < sizeof from; i++)
		from[i] = (uint8_t)(i + 1);
	for (size_t size = 0; size <= sizeof from; size++)
		for (size_t cut = 0; cut <= size; cut++) {
			struct key_ref ref = key_cut((struct bwt_slice){from, size}, cut);

			memset(to, 0, sizeof to);
			wrong += key_ref_write(&ref, to) != size || memcmp(to, from, size) != 0 ||
			         to[size] != 0; /* no byte behind it */
		}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* Stored in every page: these numbers, from a computation elsewhere, may never change. */
static void hashes_are_what_they_always_were(void)
{
	CU_ASSERT_EQUAL(key_hash(TEXT("")), 0);
	CU_ASSERT_EQUAL(key_hash(TEXT("123456789")), 0xd181afd0u);
	CU_ASSERT_EQUAL(key_hash(TEXT("\0\0\0\0\0\0\0\1")), 0x921cf413u);
}

static void low_bytes_of_hashes_are_spread(void)
{
	unsigned counts[256] = {0}, most = 0;

	for (uint64_t number = 0; number < 25600; number++) {
		uint64_t big_endian = __builtin_bswap64(number);

		counts[(uint8_t)key_hash((struct bwt_slice){&big_endian, 8})]++;
	}
	for (unsigned i = 0; i < 256; i++)
		most = counts[i] > most ? counts[i] : most;
	CU_ASSERT_TRUE(most < 160); /* 100 expected; 6 standard deviations */
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_empty_key_is_the_first),
		TEST(bytes_compare_unsigned_and_the_shorter_key_comes_first),
		TEST(a_difference_at_any_place_of_any_size_decides),
		TEST(pieces_compare_as_the_whole_keys_do),
		TEST(keys_with_one_prefix_in_memory_compare_by_their_suffixes),
		TEST(copies_begin_anywhere),
		TEST(whole_keys_of_every_size_and_cut_are_written),
		TEST(hashes_are_what_they_always_were),
		TEST(low_bytes_of_hashes_are_spread),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("key", NULL, NULL, tests);
}
