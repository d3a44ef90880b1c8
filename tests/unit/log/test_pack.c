/* SPDX-License-Identifier: MIT */
/* test_pack.c - blocks through each codec and back; damaged bytes are noticed or harmless */
#include "log/pack.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"

static const enum pack_codec codecs[] = {PACK_LZ4, PACK_ZSTD};
static struct packer *packer;
static uint8_t *value, *packed, *got;

static void set_up(void)
{
	packer = packer_new();
	value = malloc(PACK_BLOCK);
	packed = malloc(PACK_BLOCK + PACK_WORD_SIZE);
	got = malloc(PACK_BLOCK);
}

static void tear_down(void)
{
	packer_free(packer);
	free(value);
	free(packed);
	free(got);
}

static void make_text(struct rng *rng, size_t size)
{
	for (size_t i = 0; i < size; i++)
		value[i] = (uint8_t)('a' + rng_below(rng, 4));
}

/* Returns the bytes that the block takes. */
static size_t there_and_back(enum pack_codec codec, size_t size)
{
	size_t bytes = pack_block(packer, codec, value, size, packed);
	uint32_t word;

	memcpy(&word, packed, sizeof word);
	CU_ASSERT_TRUE(bytes <= size + PACK_WORD_SIZE);
	CU_ASSERT_EQUAL(bytes, pack_word_size(word) + PACK_WORD_SIZE);
	memset(got, 0, size);
	CU_ASSERT_TRUE(unpack_block(packer, codec, word, packed + PACK_WORD_SIZE, got, size));
	CU_ASSERT_EQUAL(memcmp(got, value, size), 0);
	return bytes;
}

static void blocks_come_back_as_they_were(void)
{
	static const size_t sizes[] = {1, 2, 15, 16, 1000, 65536, PACK_BLOCK - 1, PACK_BLOCK};
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			size_t bytes;

			make_text(&rng, sizes[i]);
			bytes = there_and_back(codecs[c], sizes[i]);
			CU_ASSERT_TRUE(!pack_has(codecs[c]) || sizes[i] < 1000 || bytes < sizes[i]);
			rng_fill(&rng, value, sizes[i]);
			bytes = there_and_back(codecs[c], sizes[i]);
			CU_ASSERT_EQUAL(bytes, sizes[i] + PACK_WORD_SIZE);
		}
	}
}

/* A build without the codec stores blocks as they are, and says so of those that are not. */
static void a_codec_that_is_not_there_unpacks_nothing(void)
{
	memset(value, 'x', PACK_BLOCK);
	CU_ASSERT_FALSE(pack_has((enum pack_codec)7));
	CU_ASSERT_STRING_EQUAL(pack_name(7), "an unknown codec");
	CU_ASSERT_FALSE(unpack_block(packer, (enum pack_codec)7, 5, value, got, 100));
	for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++)
		if (!pack_has(codecs[c]))
			CU_ASSERT_FALSE(unpack_block(packer, codecs[c], 5, value, got, 100));
}

static void wrong_sizes_are_refused(void)
{
	uint32_t word;

	for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
		memset(value, 'x', 1000);
		pack_block(packer, codecs[c], value, 1000, packed);
		memcpy(&word, packed, sizeof word);
		CU_ASSERT_FALSE(unpack_block(packer, codecs[c], word, packed + 4, got, 999));
		CU_ASSERT_FALSE(unpack_block(packer, codecs[c], word, packed + 4, got, 1001));
		CU_ASSERT_FALSE(
			unpack_block(packer, codecs[c], 0x80000000u | 999, packed + 4, got, 1000));
		CU_ASSERT_FALSE(unpack_block(packer, codecs[c], 1000, packed + 4, got, 1000));
	}
}

/* In memory of its own size, so that ASan sees a step beyond it. */
static void damaged_blocks_stay_within_their_memory(void)
{
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < 4000; i++) {
		enum pack_codec codec = codecs[i % 2];
		size_t size = rng_range(&rng, 1, 3000), room = rng_range(&rng, 1, 3000), bytes;
		uint8_t *from, *to = malloc(room);
		uint32_t word;

		make_text(&rng, size);
		bytes = pack_block(packer, codec, value, size, packed) - PACK_WORD_SIZE;
		from = malloc(bytes);
		memcpy(&word, packed, sizeof word);
		memcpy(from, packed + PACK_WORD_SIZE, bytes);
		for (unsigned k = 0; k < 3; k++)
			from[rng_below(&rng, bytes)] = (uint8_t)rng_u64(&rng);
		(void)unpack_block(packer, codec, word, from, to, room);
		free(from);
		free(to);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(blocks_come_back_as_they_were),
		TEST(a_codec_that_is_not_there_unpacks_nothing),
		TEST(wrong_sizes_are_refused),
		TEST(damaged_blocks_stay_within_their_memory),
		CU_TEST_INFO_NULL,
	};

	return suite_run("pack", set_up, tear_down, tests);
}
