/* SPDX-License-Identifier: MIT */
/* test_page_check.c - sound blocks and chains pass, each damage is named, hostile bytes do no harm */
#include "page/page_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "page/page_print.h"
#include "page/visibility.h"
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

static arena_off sample(unsigned kind)
{
	arena_off offs[4];

	switch (kind) {
	case 0:
		return sample_leaf(&arena);
	case 1:
		return sample_inner(&arena);
	case 2:
		return sample_chain(&arena, offs);
	default:
		return sample_index_chain(&arena, offs);
	}
}

static void samples_pass(void)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		arena_off off = sample(kind), bad;
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
	for (unsigned kind = 0; kind < 4; kind++) {
		struct block_head *block = block_alone(test_arena_at(&arena, sample(kind)));
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
	for (unsigned kind = 0; kind < 4; kind++) {
		struct block_head *block = block_alone(test_arena_at(&arena, sample(kind)));
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

	for (unsigned kind = 0; kind < 4; kind++) {
		struct block_head *good = block_alone(test_arena_at(&arena, sample(kind)));
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
	for (unsigned kind = 0; kind < 4; kind++) {
		const struct block_head *good = test_arena_at(&arena, sample(kind));

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

/* ---- each rule by name ---- */

static struct base_page *leaf_page;

static uint8_t *entry_at(unsigned index)
{
	return (uint8_t *)leaf_page +
	       ((uint32_t *)(void *)((uint8_t *)leaf_page + leaf_page->slots_off))[index];
}

#define HEADS(page) ((uint32_t *)(void *)((uint8_t *)(page) + (page)->heads_off))

static void set_chain(void)
{
	leaf_page->head.chain = 1;
}
static void set_page_zero(void)
{
	leaf_page->head.page = 0;
}
static void set_level(void)
{
	leaf_page->level = 1;
}
static void set_reserved(void)
{
	leaf_page->reserved = 1;
}
static void set_right_zero(void)
{
	leaf_page->right = 0;
}
static void set_right_itself(void)
{
	leaf_page->right = SAMPLE_PAGE;
}
static void set_count_up(void)
{
	leaf_page->count++;
}
static void set_count_huge(void)
{
	leaf_page->count = UINT32_MAX;
}
static void set_prefix_size(void)
{
	leaf_page->prefix_size--;
}
static void set_heads_off(void)
{
	leaf_page->heads_off += 4;
}
static void set_fences_off(void)
{
	leaf_page->fences_off = 0xfffffff0u;
}
static void set_low_size(void)
{
	leaf_page->low_size += 16;
}
static void set_high_head(void)
{
	leaf_page->high_head--;
}
static void set_keys(void)
{
	leaf_page->keys++;
}
static void set_head(void)
{
	HEADS(leaf_page)[3]++;
}
static void set_print(void)
{
	((uint8_t *)leaf_page)[leaf_page->children_off]++;
}
static void set_key_order(void)
{
	entry_at(2)[6] = 'd';
}
static void set_lsn_order(void)
{
	put_u64(entry_at(1) + 6, 480);
}
static void set_lsn_odd(void)
{
	put_u64(entry_at(0) + 6, 481);
}
static void set_lsn_huge(void)
{
	put_u64(entry_at(0) + 6, LSN_MAX);
}
static void set_value_size(void)
{
	put_u32(entry_at(3), get_u32(entry_at(3)) + 16);
}
static void set_value_huge(void)
{
	put_u32(entry_at(3), 0xfffffff8u);
}
static void set_suffix_huge(void)
{
	put_u16(entry_at(3) + 4, 0xffff);
}
static void set_tombstone(void)
{
	entry_at(3)[0] |= VERSION_TOMBSTONE;
}
static void set_older(void)
{
	entry_at(3)[0] |= VERSION_OLDER;
}
static void set_not_older(void)
{
	entry_at(1)[0] &= (uint8_t)~VERSION_OLDER;
}
static void set_slot(void)
{
	((uint32_t *)(void *)((uint8_t *)leaf_page + leaf_page->slots_off))[2]++;
}
static void set_fence(void)
{
	((uint8_t *)leaf_page)[leaf_page->fences_off] = 'l';
}
static void set_padding(void)
{
	((uint8_t *)leaf_page)[leaf_page->head.size - 1] = 1;
}
static void set_gap(void)
{
	((uint8_t *)leaf_page)[leaf_page->heads_off - 1] = 1;
}

static void each_rule_of_a_leaf_is_checked(void)
{
	static const struct {
		void (*damage)(void);
		const char *words; /* part of the sentence */
	} rules[] = {
		{set_chain, "must be zero"},
		{set_reserved, "must be zero"},
		{set_page_zero, "no page id"},
		{set_level, "level"},
		{set_right_zero, "rightmost"},
		{set_right_itself, "right sibling"},
		{set_count_up, "slots are not where"},
		{set_count_huge, "heads are not where"},
		{set_prefix_size, "do not follow the prefix"},
		{set_heads_off, "heads are not where"},
		{set_fences_off, "fences do not end"},
		{set_low_size, "fences do not end"},
		{set_high_head, "head of the high fence"},
		{set_keys, "live keys"},
		{set_head, "head of an entry"},
		{set_print, "fingerprint"},
		{set_key_order, "head of an entry"},
		{set_lsn_order, "versions of a key"},
		{set_lsn_odd, "no LSN"},
		{set_lsn_huge, "no LSN"},
		{set_value_size, "where the one before it ends"},
		{set_value_huge, "runs into the fences"},
		{set_suffix_huge, "runs into the fences"},
		{set_tombstone, "flags"},
		{set_older, "mark for older"},
		{set_not_older, "mark for older"},
		{set_slot, "where the one before it ends"},
		{set_fence, "fences are out of order"},
		{set_padding, "not zero"},
		{set_gap, "not zero"},
	};

	for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++) {
		const char *wrong;

		leaf_page = (void *)block_alone(test_arena_at(&arena, sample_leaf(&arena)));
		rules[i].damage();
		sample_seal(&leaf_page->head);
		wrong = page_check_block(&leaf_page->head, leaf_page->head.size);
		if (wrong == NULL || strstr(wrong, rules[i].words) == NULL)
			printf("  rule %u \"%s\": %s\n", i, rules[i].words,
			       wrong != NULL ? wrong : "passed");
		CU_ASSERT_TRUE(wrong != NULL && strstr(wrong, rules[i].words) != NULL);
		free(leaf_page);
	}
}

/* Two entries and their heads and fingerprints exchanged: only the order is wrong. */
static void keys_out_of_order_are_noticed(void)
{
	struct page_entry entries[] = {entry_make(TEXT("a"), TEXT("1"), 0, 0),
	                               entry_make(TEXT("b"), TEXT("2"), 0, 0),
	                               entry_make(TEXT("c"), TEXT("3"), 0, 0)};
	struct page_entry swapped[] = {entries[1], entries[0], entries[2]};
	struct page_bounds bounds = bounds_all();
	struct base_page *page =
		test_arena_at(&arena, test_leaf(&arena, swapped, 3, &bounds, SAMPLE_PAGE));
	const char *wrong = page_check_block(&page->head, page->head.size);

	CU_ASSERT_TRUE(wrong != NULL && strstr(wrong, "out of order") != NULL);
	page = test_arena_at(&arena, test_leaf(&arena, entries, 3, &bounds, SAMPLE_PAGE));
	CU_ASSERT_PTR_NULL(page_check_block(&page->head, page->head.size));
}

static void keys_outside_the_fences_are_noticed(void)
{
	struct page_entry entries[] = {entry_make(TEXT("a"), TEXT("1"), 0, 0),
	                               entry_make(TEXT("b"), TEXT("2"), 0, 0)};
	struct page_bounds bounds[] = {
		{TEXT("aa"), NO_KEY, 0}, {TEXT(""), TEXT("b"), 3}, {TEXT("a"), TEXT("b\0"), 3}};

	for (unsigned i = 0; i < 3; i++) {
		struct base_page *page =
			test_arena_at(&arena, test_leaf(&arena, entries, 2, &bounds[i], SAMPLE_PAGE));
		const char *wrong = page_check_block(&page->head, page->head.size);

		CU_ASSERT_EQUAL(wrong == NULL, i == 2);
		if (i != 2)
			CU_ASSERT_PTR_NOT_NULL(strstr(wrong, "outside the fences"));
	}
}

static void inner_keys_out_of_order_or_without_child_are_noticed(void)
{
	struct inner_entry entries[] = {{key_ref_of(TEXT("")), 10},
	                                {key_ref_of(TEXT("c")), 11},
	                                {key_ref_of(TEXT("b")), 12}};
	struct page_bounds bounds = bounds_all();
	struct base_page *page =
		test_arena_at(&arena, test_inner(&arena, entries, 3, 1, &bounds, SAMPLE_PAGE));
	const char *wrong = page_check_block(&page->head, page->head.size);

	CU_ASSERT_TRUE(wrong != NULL && strstr(wrong, "out of order") != NULL);
	page = test_arena_at(&arena, sample_inner(&arena));
	memset((uint8_t *)page + page->children_off, 0, sizeof(uint32_t));
	sample_seal(&page->head);
	wrong = page_check_block(&page->head, page->head.size);
	CU_ASSERT_TRUE(wrong != NULL && strstr(wrong, "child") != NULL);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(samples_pass),
		TEST(every_changed_byte_is_noticed),
		TEST(every_forged_byte_is_noticed_or_harmless),
		TEST(forged_fields_are_noticed_or_harmless),
		TEST(blocks_cut_short_are_refused),
		TEST(random_bytes_with_a_right_checksum_are_harmless),
		TEST(each_rule_of_a_leaf_is_checked),
		TEST(keys_out_of_order_are_noticed),
		TEST(keys_outside_the_fences_are_noticed),
		TEST(inner_keys_out_of_order_or_without_child_are_noticed),
		CU_TEST_INFO_NULL,
	};

	nowhere = fopen("/dev/null", "w");
	rng_init(&rng, rng_seed());
	return suite_run("page_check", set_up, tear_down, tests);
}
