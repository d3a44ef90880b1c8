/* SPDX-License-Identifier: MIT */
/* test_page_check.c - sound blocks pass, hostile bytes are noticed or do no harm */
#include "page/page_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "page/page_print.h"
#include "page_samples.h"
#include "tests/support/suite.h"

#define ARENA_SIZE ((uint64_t)1 << 20)

static struct test_arena arena;
static struct rng rng;
static FILE *nowhere;

static void set_up(void)
{
	test_arena_init(&arena, ARENA_SIZE);
	memset(arena.bytes, 0, ARENA_SIZE);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

/* ---- hostile bytes ---- */

/* Everything that may be done with a block that passed; a sanitizer watches. */
static void use_block(const struct block_head *block)
{
	static const char *const keys[] = {"", "key", "key-a", "key-bb", "bce", "zzzzzzzzzzzz"};
	const struct base_page *page = (const struct base_page *)(const void *)block;

	page_print_block(nowhere, block, 16, true);
	for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct bwt_slice key = {keys[i], strlen(keys[i])};

		if (block->tag == BLOCK_LEAF) {
			struct page_entry entry;
			int found = leaf_find(page, key, key_hash(key));

			if (found >= 0)
				leaf_entry(page, (unsigned)found, &entry);
			CU_ASSERT_TRUE(leaf_lower_bound(page, key) <= page->count);
		} else if (block->tag == BLOCK_INNER) {
			CU_ASSERT_TRUE(inner_search(page, key, false) < page->count);
			CU_ASSERT_TRUE(inner_search(page, key, true) < page->count);
		}
		if (block->tag == BLOCK_LEAF || block->tag == BLOCK_INNER)
			(void)base_covers(page, key);
	}
}

static void samples_pass(void)
{
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		arena_off off = sample_block(&arena, kind), bad;
		struct block_head *block = block_alone(test_arena_at(&arena, off));

		CU_ASSERT_PTR_NULL(page_check_block(block, block->size));
		CU_ASSERT_PTR_NULL(
			page_check_chain(arena.bytes, arena.size, off, SAMPLE_PAGE, true, &bad));
		use_block(block);
		free(block);
	}
}

static void every_changed_byte_is_noticed(void)
{
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct block_head *block =
			block_alone(test_arena_at(&arena, sample_block(&arena, kind)));
		uint8_t *bytes = (uint8_t *)block;
		uint32_t size = block->size;
		unsigned unnoticed = 0;

		for (uint32_t at = 0; at < size; at++)
			for (unsigned change = 1; change < 256; change++) {
				bytes[at] ^= (uint8_t)change;
				unnoticed += page_check_block(block, size) == NULL;
				bytes[at] ^= (uint8_t)change;
			}
		CU_ASSERT_EQUAL(unnoticed, 0);
		free(block);
	}
}

/* With the checksum made right again: whoever forges a file can do that. */
static void every_forged_byte_is_noticed_or_harmless(void)
{
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct block_head *block =
			block_alone(test_arena_at(&arena, sample_block(&arena, kind)));
		uint8_t *bytes = (uint8_t *)block;
		uint32_t size = block->size;

		for (uint32_t at = sizeof block->crc; at < size; at++)
			for (unsigned change = 1; change < 256; change += suite_short() ? 7 : 1) {
				bytes[at] ^= (uint8_t)change;
				if (block->size >= LEAF_DELTA_WORD_OFF + 8 && block->size <= size &&
				    block->size % BLOCK_ALIGN == 0) {
					sample_seal(block);
					if (page_check_block(block, size) == NULL)
						use_block(block);
				}
				bytes[at] ^= (uint8_t)change;
			}
		free(block);
	}
}

static void forged_fields_are_noticed_or_harmless(void)
{
	static const uint32_t numbers[] = {0,       1,          4,          0x50,      0xffff,
	                                   0x10000, 0x7fffffff, 0xfffffff0, UINT32_MAX};
	unsigned rounds = suite_short() ? 20000 : 400000;

	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct block_head *good =
			block_alone(test_arena_at(&arena, sample_block(&arena, kind)));
		struct block_head *block = block_alone(good);
		uint8_t *bytes = (uint8_t *)block;

		for (unsigned round = 0; round < rounds / 4; round++) {
			unsigned changes = (unsigned)rng_range(&rng, 1, 3);

			memcpy(block, good, good->size);
			for (; changes > 0; changes--) {
				size_t at = 8 + 4 * rng_below(&rng, good->size / 4 - 2);
				uint32_t number = get_u32(bytes + at);

				if (rng_chance(&rng, 40))
					number =
						numbers[rng_below(&rng, sizeof numbers / sizeof *numbers)];
				else
					number += (uint32_t)rng_range(&rng, 0, 8) - 4;
				put_u32(bytes + at, number);
			}
			sample_seal(block);
			if (page_check_block(block, block->size) == NULL)
				use_block(block);
		}
		free(block);
		free(good);
	}
}

static void blocks_cut_short_are_refused(void)
{
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		const struct block_head *good = test_arena_at(&arena, sample_block(&arena, kind));

		for (uint32_t room = 0; room < good->size; room++) {
			struct block_head *block = malloc(room); /* aligned to 16 */

			memcpy(block, good, room);
			CU_ASSERT_PTR_NOT_NULL(page_check_block(block, room));
			/* Its own size says the same: parts that do not fit the size. */
			if (room >= 0x40 && room % BLOCK_ALIGN == 0) {
				block->size = room;
				sample_seal(block);
				CU_ASSERT_PTR_NOT_NULL(page_check_block(block, room));
			}
			free(block);
		}
	}
}

static void random_bytes_with_a_right_checksum_are_harmless(void)
{
	unsigned rounds = suite_short() ? 20000 : 200000;

	for (unsigned round = 0; round < rounds; round++) {
		uint32_t size = 0x40 + BLOCK_ALIGN * (uint32_t)rng_below(&rng, 16);
		struct block_head *block = aligned_alloc(BLOCK_ALIGN, size);

		rng_fill(&rng, block, size);
		for (uint32_t at = 0x20; at < size; at += 2)
			if (rng_chance(&rng, 70))
				put_u16((uint8_t *)block + at, (uint16_t)rng_below(&rng, 256));
		block->size = size;
		block->tag = (uint8_t)rng_range(&rng, BLOCK_FILLER, BLOCK_INDEX_INSERT);
		block->flags = (uint8_t)rng_below(&rng, 4);
		block->chain = (uint16_t)rng_below(&rng, 3);
		sample_seal(block);
		if (page_check_block(block, size) == NULL)
			use_block(block);
		free(block);
	}
}

/* Nothing may be read behind a block, not even to find out that it is too small: the file may end there. */
static void a_block_of_a_header_alone_at_the_end_of_memory_is_judged_without_reading_on(void)
{
	static const uint8_t tags[] = {BLOCK_LEAF, BLOCK_INNER, BLOCK_PUT, BLOCK_DELETE,
	                               BLOCK_INDEX_INSERT};
	size_t page_size = 4096;
	uint8_t *pages = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE,
	                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct block_head *head = (struct block_head *)(pages + page_size) - 1;

	CU_ASSERT_EQUAL_FATAL(mprotect(pages + page_size, page_size, PROT_NONE), 0);
	for (unsigned i = 0; i < sizeof tags; i++) {
		*head = (struct block_head){.size = sizeof *head, .tag = tags[i], .page = 1};
		block_seal(head, 0);
		CU_ASSERT_PTR_NOT_NULL(page_check_block(head, sizeof *head));
	}
	munmap(pages, 2 * page_size);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(samples_pass),
		TEST(every_changed_byte_is_noticed),
		TEST(every_forged_byte_is_noticed_or_harmless),
		TEST(forged_fields_are_noticed_or_harmless),
		TEST(blocks_cut_short_are_refused),
		TEST(a_block_of_a_header_alone_at_the_end_of_memory_is_judged_without_reading_on),
		TEST(random_bytes_with_a_right_checksum_are_harmless),
		CU_TEST_INFO_NULL,
	};

	nowhere = fopen("/dev/null", "w");
	rng_init(&rng, rng_seed());
	return suite_run("page_check", set_up, tear_down, tests);
}
