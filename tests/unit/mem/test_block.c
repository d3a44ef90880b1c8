/* SPDX-License-Identifier: MIT */
/* test_block.c - what block_valid() takes and refuses */
#include "mem/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/support/suite.h"

#define SIZE 96u
#define WORD_OFF 0x20u /* the LSN word of a leaf delta */

static struct block_head *block;

static void set_up(void)
{
	block = aligned_alloc(BLOCK_ALIGN, SIZE);
	memset(block, 0, SIZE);
	for (unsigned i = sizeof *block; i < SIZE; i++)
		((uint8_t *)block)[i] = (uint8_t)i;
	block->size = SIZE;
	block->tag = BLOCK_LEAF;
	block->page = 7;
}

static void tear_down(void)
{
	free(block);
}

static void a_sealed_block_is_valid(void)
{
	block_seal(block, 0);
	CU_ASSERT_TRUE(block_valid(block, SIZE));
	CU_ASSERT_TRUE(block_valid(block, SIZE + 1));
}

static void a_block_of_nothing_but_its_head_is_valid(void)
{
	block->size = sizeof *block;
	block->tag = BLOCK_FILLER;
	block_seal(block, 0);
	CU_ASSERT_TRUE(block_valid(block, sizeof *block));
}

static void the_largest_block_is_valid_and_a_larger_one_is_not(void)
{
	struct block_head *large = aligned_alloc(BLOCK_ALIGN, BLOCK_SIZE_MAX + BLOCK_ALIGN);

	memset(large, 0, BLOCK_SIZE_MAX + BLOCK_ALIGN);
	large->tag = BLOCK_IMAGE_SEGMENT;
	large->size = BLOCK_SIZE_MAX;
	block_seal(large, 0);
	CU_ASSERT_TRUE(block_valid(large, BLOCK_SIZE_MAX + BLOCK_ALIGN));
	large->size = BLOCK_SIZE_MAX + BLOCK_ALIGN;
	block_seal(large, 0);
	CU_ASSERT_FALSE(block_valid(large, BLOCK_SIZE_MAX + BLOCK_ALIGN));
	free(large);
}

static void too_little_room_is_refused(void)
{
	block_seal(block, 0);
	CU_ASSERT_FALSE(block_valid(block, SIZE - 1));
	CU_ASSERT_FALSE(block_valid(block, sizeof *block - 1));
	CU_ASSERT_FALSE(block_valid(block, 0));
}

static void sizes_that_no_block_has_are_refused(void)
{
	static const uint32_t sizes[] = {0,        1,         16,         31,      SIZE - 1,
	                                 SIZE - 8, SIZE + 16, UINT32_MAX, 1u << 31};

	block_seal(block, 0);
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		block->size = sizes[i];
		CU_ASSERT_FALSE(block_valid(block, SIZE));
	}
}

/* A right checksum does not help. */
static void a_size_that_is_no_multiple_of_16_is_refused(void)
{
	block->size = SIZE - 8;
	block->crc = crc32c(0, (uint8_t *)block + sizeof block->crc, SIZE - 8 - sizeof block->crc);
	CU_ASSERT_FALSE(block_valid(block, SIZE));
	block->size = SIZE - 16;
	block->crc = crc32c(0, (uint8_t *)block + sizeof block->crc, SIZE - 16 - sizeof block->crc);
	CU_ASSERT_TRUE(block_valid(block, SIZE));
}

static void unknown_tags_are_refused_and_known_ones_are_not(void)
{
	static const uint8_t known[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18};
	unsigned next = 0;

	for (unsigned tag = 0; tag < 256; tag++) {
		bool is_known = next < sizeof known && known[next] == tag;

		next += is_known;
		block->tag = (uint8_t)tag;
		block_seal(block, tag == BLOCK_PUT || tag == BLOCK_DELETE ? WORD_OFF : 0);
		CU_ASSERT_EQUAL(block_valid(block, SIZE), is_known);
	}
}

/* Flip every bit in turn; @free_from .. @free_to may change without notice. */
static void flip_every_bit(unsigned free_from, unsigned free_to)
{
	uint8_t *bytes = (uint8_t *)block;

	for (unsigned bit = 0; bit < SIZE * 8; bit++) {
		bool free_bit = bit / 8 >= free_from && bit / 8 < free_to;

		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT_EQUAL(block_valid(block, SIZE), free_bit);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CU_ASSERT_TRUE(block_valid(block, SIZE));
}

static void every_flipped_bit_is_noticed(void)
{
	block_seal(block, 0);
	flip_every_bit(0, 0);
}

static void only_the_lsn_word_of_a_delta_may_change(void)
{
	block->tag = BLOCK_PUT;
	block_seal(block, WORD_OFF);
	flip_every_bit(WORD_OFF, WORD_OFF + 8);
	block->tag = BLOCK_DELETE;
	block_seal(block, WORD_OFF);
	flip_every_bit(WORD_OFF, WORD_OFF + 8);
}

static void a_delta_without_room_for_its_lsn_word_is_refused(void)
{
	block->tag = BLOCK_PUT;
	block->size = sizeof *block;
	block_seal(block, 0);
	CU_ASSERT_FALSE(block_valid(block, SIZE));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_sealed_block_is_valid),
		TEST(a_block_of_nothing_but_its_head_is_valid),
		TEST(the_largest_block_is_valid_and_a_larger_one_is_not),
		TEST(too_little_room_is_refused),
		TEST(sizes_that_no_block_has_are_refused),
		TEST(a_size_that_is_no_multiple_of_16_is_refused),
		TEST(unknown_tags_are_refused_and_known_ones_are_not),
		TEST(every_flipped_bit_is_noticed),
		TEST(only_the_lsn_word_of_a_delta_may_change),
		TEST(a_delta_without_room_for_its_lsn_word_is_refused),
		CU_TEST_INFO_NULL,
	};
	return suite_run("block", set_up, tear_down, tests);
}
