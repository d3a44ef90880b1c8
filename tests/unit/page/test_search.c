/* SPDX-License-Identifier: MIT */
/* test_search.c - every version of the two inner loops against their definitions */
#include "page/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define COUNT_MAX 1100u

static struct rng rng;

static unsigned lower_bound_by_definition(const uint32_t *heads, unsigned count, uint32_t head)
{
	unsigned below = 0;

	while (below < count && heads[below] < head)
		below++;
	return below;
}

static int order_for_sort(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Heads as pages have them, and as they should not: @kind 0..5. */
static void make_heads(uint32_t *heads, unsigned count, unsigned kind)
{
	for (unsigned i = 0; i < count; i++)
		switch (kind) {
		case 0:
			heads[i] = (uint32_t)rng_u64(&rng);
			break;
		case 1:
			heads[i] = 0x80000000u; /* all equal, and where signs change */
			break;
		case 2:
			heads[i] = rng_chance(&rng, 50) ? 0 : UINT32_MAX;
			break;
		case 3:
			heads[i] = 0x7ffffff0u + (uint32_t)rng_below(&rng, 32);
			break;
		case 4:
			heads[i] = (uint32_t)rng_below(&rng, 8);
			break;
		default:
			heads[i] = UINT32_MAX - (uint32_t)rng_below(&rng, 3);
			break;
		}
	qsort(heads, count, sizeof *heads, order_for_sort);
}

/* All heads there, their neighbours and the ends of the range; memory ends where the array ends. */
static unsigned check_heads(unsigned count, unsigned kind)
{
	uint32_t *heads = malloc(count * sizeof *heads);
	unsigned wrong = 0;

	make_heads(heads, count, kind);
	for (unsigned i = 0; i < count + 4; i++) {
		uint32_t head = i < count ? heads[i] : i == count ? 0 : (uint32_t)rng_u64(&rng);

		if (i == count + 1)
			head = UINT32_MAX;
		for (uint32_t near = 0; near < 3; near++)
			wrong += search_ops()->lower_bound(heads, count, head + near - 1) !=
			         lower_bound_by_definition(heads, count, head + near - 1);
	}
	free(heads);
	return wrong;
}

static unsigned check_bytes(unsigned count, uint8_t byte, unsigned percent)
{
	uint8_t *bytes = malloc(count);
	uint64_t expected = 0;

	for (unsigned i = 0; i < count; i++) {
		bytes[i] = rng_chance(&rng, percent) ? byte : (uint8_t)rng_u64(&rng);
		if (rng_chance(&rng, 30))
			bytes[i] = (uint8_t)(byte + (rng_chance(&rng, 50) ? 1 : 0x80)); /* near misses */
		expected |= (uint64_t)(bytes[i] == byte) << i;
	}
	expected = search_ops()->match_bytes(bytes, count, byte) ^ expected;
	free(bytes);
	return expected != 0;
}

static unsigned check_level(enum search_level level)
{
	unsigned wrong = 0;

	if (search_select(level) != level) {
		printf("  this CPU lacks level %d\n", (int)level);
		return 0;
	}
	for (unsigned kind = 0; kind < 6; kind++) {
		for (unsigned count = 0; count <= 130; count++)
			wrong += check_heads(count, kind);
		for (unsigned round = 0; round < 10; round++)
			wrong += check_heads((unsigned)rng_range(&rng, 131, COUNT_MAX), kind);
	}
	for (unsigned count = 0; count <= 64; count++)
		for (unsigned round = 0; round < 300; round++)
			wrong += check_bytes(count,
			                     (uint8_t)(round < 3 ? round * 0x7f : rng_u64(&rng)),
			                     (unsigned)rng_below(&rng, 101));
	return wrong;
}

static void scalar_is_right(void)
{
	CU_ASSERT_EQUAL(check_level(SEARCH_SCALAR), 0);
}

static void avx2_is_right(void)
{
	CU_ASSERT_EQUAL(check_level(SEARCH_AVX2), 0);
}

static void avx512_is_right(void)
{
	CU_ASSERT_EQUAL(check_level(SEARCH_AVX512), 0);
}

static void every_byte_value_is_told_from_every_other(void)
{
	for (int level = SEARCH_SCALAR; level <= SEARCH_AVX512; level++) {
		unsigned wrong = 0;

		search_select((enum search_level)level);
		for (unsigned byte = 0; byte < 256; byte++)
			for (unsigned from = 0; from < 256; from += 64) {
				uint8_t bytes[64];

				for (unsigned i = 0; i < 64; i++)
					bytes[i] = (uint8_t)(from + i);
				wrong += search_ops()->match_bytes(bytes, 64, (uint8_t)byte) !=
				         (byte / 64 == from / 64 ? (uint64_t)1 << byte % 64 : 0);
			}
		CU_ASSERT_EQUAL(wrong, 0);
	}
}

static void the_best_level_is_used_from_the_start(void)
{
	const struct search_ops *at_start = search_ops();

	CU_ASSERT_EQUAL(search_select(SEARCH_AVX512), at_start->level);
	CU_ASSERT_PTR_EQUAL(search_ops(), at_start);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_best_level_is_used_from_the_start), /* first: the others select */
		TEST(scalar_is_right),
		TEST(avx2_is_right),
		TEST(avx512_is_right),
		TEST(every_byte_value_is_told_from_every_other),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("search", NULL, NULL, tests);
}
