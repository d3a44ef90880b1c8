/* SPDX-License-Identifier: MIT */
/* test_crc32c.c - both versions against published results, a bit-by-bit reference and each other */
#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define BIG ((size_t)64 << 10)

static uint64_t seed;

/* The definition, one bit at a time; shares nothing with the code under test. */
static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t size)
{
	crc = ~crc;
	while (size-- > 0) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static void published_results_come_out(void)
{
	uint8_t zeroes[32] = {0}, ones[32], rising[32], falling[32];

	memset(ones, 0xff, sizeof ones);
	for (unsigned i = 0; i < 32; i++) {
		rising[i] = (uint8_t)i;
		falling[i] = (uint8_t)(31 - i);
	}
	CU_ASSERT_EQUAL(crc32c(0, "123456789", 9), 0xe3069283u);
	/* RFC 3720, B.4 */
	CU_ASSERT_EQUAL(crc32c(0, zeroes, 32), 0x8a9136aau);
	CU_ASSERT_EQUAL(crc32c(0, ones, 32), 0x62a8ab43u);
	CU_ASSERT_EQUAL(crc32c(0, rising, 32), 0x46dd794eu);
	CU_ASSERT_EQUAL(crc32c(0, falling, 32), 0x113fdb5cu);
	CU_ASSERT_EQUAL(crc32c_table(0, "123456789", 9), 0xe3069283u);
	CU_ASSERT_EQUAL(crc32c_table(0, rising, 32), 0x46dd794eu);
}

static void no_bytes_change_nothing(void)
{
	CU_ASSERT_EQUAL(crc32c(0, NULL, 0), 0);
	CU_ASSERT_EQUAL(crc32c(0x12345678u, NULL, 0), 0x12345678u);
	CU_ASSERT_EQUAL(crc32c_table(0x12345678u, NULL, 0), 0x12345678u);
}

/* Sizes around every block boundary of the interleaved loops, at every alignment. */
static void both_versions_equal_the_definition_at_all_sizes(void)
{
	static const size_t middles[] = {
		8, 64, 256, 3 * 256, 6 * 256, 4096, 3 * 4096, 3 * 4096 + 3 * 256, 6 * 4096};
	uint8_t *bytes = malloc(BIG);
	unsigned wrong = 0;
	struct rng rng;

	rng_init(&rng, seed);
	rng_fill(&rng, bytes, BIG);
	for (size_t size = 0; size < 300; size++) {
		uint32_t want = by_definition(0, bytes + 1, size);

		wrong += crc32c(0, bytes + 1, size) != want;
		wrong += crc32c_table(0, bytes + 1, size) != want;
	}
	for (size_t m = 0; m < sizeof middles / sizeof middles[0]; m++)
		for (size_t size = middles[m] - 8; size <= middles[m] + 8; size++) {
			size_t shift = rng_below(&rng, 16);
			uint32_t start = (uint32_t)rng_u64(&rng);
			uint32_t want = by_definition(start, bytes + shift, size);

			wrong += crc32c(start, bytes + shift, size) != want;
			wrong += crc32c_table(start, bytes + shift, size) != want;
		}
	CU_ASSERT_EQUAL(wrong, 0);
	free(bytes);
}

static void both_versions_are_equal_on_random_input(void)
{
	uint8_t *bytes = malloc(BIG);
	unsigned wrong = 0;
	struct rng rng;

	rng_init(&rng, seed + 1);
	for (unsigned round = 0; round < 300; round++) {
		size_t size = rng_below(&rng, BIG / 2), shift = rng_below(&rng, 64);
		uint32_t start = (uint32_t)rng_u64(&rng);

		rng_fill(&rng, bytes, size + shift);
		wrong += crc32c(start, bytes + shift, size) !=
		         crc32c_table(start, bytes + shift, size);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	free(bytes);
}

static void parts_chain_to_the_whole(void)
{
	uint8_t *bytes = malloc(BIG);
	unsigned wrong = 0;
	struct rng rng;

	rng_init(&rng, seed + 2);
	rng_fill(&rng, bytes, BIG);
	for (unsigned round = 0; round < 200; round++) {
		size_t size = rng_below(&rng, BIG), cut = rng_below(&rng, size + 1);
		uint32_t first = crc32c(0, bytes, cut);

		wrong += crc32c(first, bytes + cut, size - cut) != crc32c(0, bytes, size);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	free(bytes);
}

static void every_single_bit_matters(void)
{
	uint8_t bytes[1024] = {0};
	uint32_t before = crc32c(0, bytes, sizeof bytes);
	unsigned missed = 0;

	for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		missed += crc32c(0, bytes, sizeof bytes) == before;
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CU_ASSERT_EQUAL(missed, 0);
}

static void the_engine_has_a_name(void)
{
	const char *engine = crc32c_engine();

	CU_ASSERT_TRUE(strcmp(engine, "sse4.2") == 0 || strcmp(engine, "table") == 0);
#if defined(__x86_64__)
	CU_ASSERT_EQUAL(strcmp(engine, "sse4.2") == 0, __builtin_cpu_supports("sse4.2") != 0);
#endif
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(published_results_come_out),
		TEST(no_bytes_change_nothing),
		TEST(both_versions_equal_the_definition_at_all_sizes),
		TEST(both_versions_are_equal_on_random_input),
		TEST(parts_chain_to_the_whole),
		TEST(every_single_bit_matters),
		TEST(the_engine_has_a_name),
		CU_TEST_INFO_NULL,
	};

	seed = rng_seed();
	return suite_run("crc32c", NULL, NULL, tests);
}
