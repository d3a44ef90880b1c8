/* SPDX-License-Identifier: MIT */
/* test_page_check_chain.c - sound chains pass, each damage is named, hostile links do no harm */
#include "page/page_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "mem/arena.h"
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

static const char *check_chain(arena_off head, bool resolved)
{
	arena_off bad = 1;

	return page_check_chain(arena.bytes, arena.size, head, SAMPLE_PAGE, resolved, &bad);
}

#define ASSERT_SAYS(wrong, words)                                                                  \
	do {                                                                                       \
		const char *sentence = (wrong);                                                    \
		if (sentence == NULL || strstr(sentence, words) == NULL)                           \
			printf("  \"%s\": %s\n", words, sentence != NULL ? sentence : "passed");   \
		CU_ASSERT_TRUE(sentence != NULL && strstr(sentence, words) != NULL);               \
	} while (0)

static void offsets_where_no_block_can_be_are_refused(void)
{
	arena_off offs[4];
	static const arena_off wrong[] = {0,
	                                  8,
	                                  17,
	                                  ARENA_SIZE,
	                                  ARENA_SIZE - 16,
	                                  ARENA_SIZE + 16,
	                                  UINT64_MAX,
	                                  UINT64_MAX - 15,
	                                  (uint64_t)1 << 63};

	sample_chain(&arena, offs);
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct leaf_delta *delta = test_arena_at(&arena, offs[0]);
		arena_off was = delta->older[0];

		CU_ASSERT_PTR_NOT_NULL(check_chain(wrong[i], false));
		delta->older[0] = wrong[i];
		sample_seal(&delta->head);
		CU_ASSERT_PTR_NOT_NULL(check_chain(offs[0], false));
		delta->older[0] = was;
		sample_seal(&delta->head);
	}
	CU_ASSERT_PTR_NULL(check_chain(offs[0], false));
}

static void a_block_across_the_end_of_the_arena_or_of_its_extent_is_refused(void)
{
	const struct block_head *leaf = test_arena_at(&arena, sample_leaf(&arena));
	arena_off bad, at = 4 * EXTENT_SMALL_SIZE - leaf->size;

	memcpy(arena.bytes + at, leaf, leaf->size);
	CU_ASSERT_PTR_NULL(check_chain(at, true));
	CU_ASSERT_PTR_NOT_NULL(
		page_check_chain(arena.bytes, at + leaf->size - 1, at, SAMPLE_PAGE, true, &bad));
	CU_ASSERT_EQUAL(bad, at);
	memmove(arena.bytes + at + BLOCK_ALIGN, leaf, leaf->size);
	CU_ASSERT_PTR_NOT_NULL(check_chain(at + BLOCK_ALIGN, true));
}

static void cycles_are_refused(void)
{
	arena_off offs[4];
	struct leaf_delta *delta;
	struct index_delta *index;

	for (unsigned to = 0; to < 3; to++) {
		sample_chain(&arena, offs);
		delta = test_arena_at(&arena, offs[1]);
		delta->older[0] = offs[to];
		sample_seal(&delta->head);
		if (to != 2)
			CU_ASSERT_PTR_NOT_NULL(check_chain(offs[0], false));
		sample_index_chain(&arena, offs);
		index = test_arena_at(&arena, offs[1]);
		index->older = offs[to];
		sample_seal(&index->head);
		if (to != 2)
			CU_ASSERT_PTR_NOT_NULL(check_chain(offs[0], false));
	}
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[2]);
	delta->base = offs[2];
	sample_seal(&delta->head);
	CU_ASSERT_PTR_NOT_NULL(check_chain(offs[2], false));
}

static void links_that_do_not_fit_are_named(void)
{
	arena_off offs[4], other, bad;
	struct leaf_delta *delta;

	sample_chain(&arena, offs);
	ASSERT_SAYS(page_check_chain(arena.bytes, arena.size, offs[0], SAMPLE_PAGE + 1, true, &bad),
	            "another page");
	delta = test_arena_at(&arena, offs[0]);
	delta->older[1] = offs[3];
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "index of its chain");
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[0]);
	((uint8_t *)(delta->older + 2))[2]++;
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "index of its chain");
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[0]);
	delta->older[0] = offs[2];
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "one above the next");
	sample_chain(&arena, offs);
	other = sample_leaf(&arena);
	delta = test_arena_at(&arena, offs[0]);
	delta->base = other;
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "different base pages");
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[2]);
	delta->base = sample_inner(&arena);
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[2], true), "wrong kind");
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[2]);
	delta->head.tree++;
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "different trees");
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[0]);
	delta->head.chain = 2; /* an own, a next, a fingerprint of each: then key and value follow */
	delta->older[0] = test_index_delta(&arena, TEXT("c"), TEXT("f"), 14, sample_inner(&arena));
	delta->value_size = 0;
	delta->key_size = 5 + 5 + 8 + 1;
	memcpy((uint8_t *)(delta->older + 1) + 2, "0123456789012345678", 19);
	delta->hash = key_hash(leaf_delta_key(delta));
	*(uint8_t *)(delta->older + 1) = (uint8_t)delta->hash;
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "leaf and inner page");
	sample_chain(&arena, offs);
	delta = test_arena_at(&arena, offs[1]);
	delta->head.lsn = 1;
	sample_seal(&delta->head);
	ASSERT_SAYS(check_chain(offs[0], true), "older than the record below");
}

static void words_and_versions_are_checked(void)
{
	arena_off offs[4];
	struct leaf_delta *delta;

	sample_chain(&arena, offs);
	CU_ASSERT_PTR_NULL(check_chain(offs[0], true));
	delta = test_arena_at(&arena, offs[1]);
	delta->lsn_word = word_make(WORD_PENDING, 320);
	CU_ASSERT_PTR_NULL(check_chain(offs[0], false));
	ASSERT_SAYS(check_chain(offs[0], true), "neither committed nor aborted");
	delta->lsn_word = word_make(WORD_DESCRIPTOR, 320);
	CU_ASSERT_PTR_NULL(check_chain(offs[0], false));
	ASSERT_SAYS(check_chain(offs[0], true), "neither committed nor aborted");
	delta->lsn_word = word_make(WORD_COMMITTED, 480); /* that of the base page's version */
	ASSERT_SAYS(check_chain(offs[0], true), "out of order");
	delta->lsn_word = word_make(WORD_COMMITTED, 496);
	CU_ASSERT_PTR_NULL(check_chain(offs[0], true));
	delta = test_arena_at(&arena, offs[0]);
	delta->lsn_word = word_make(WORD_COMMITTED, 624);
	ASSERT_SAYS(check_chain(offs[0], true), "out of order");
}

static void deltas_outside_the_fences_are_noticed(void)
{
	arena_off off = sample_put(&arena, TEXT("key-d"), 0, sample_leaf(&arena),
	                           word_make(WORD_COMMITTED, 640));

	ASSERT_SAYS(check_chain(off, true), "outside the fences");
	off = sample_put(&arena, TEXT("a"), 0, sample_leaf(&arena), word_make(WORD_COMMITTED, 640));
	ASSERT_SAYS(check_chain(off, true), "outside the fences");
	off = test_index_delta(&arena, TEXT("g"), TEXT("h"), 14, sample_inner(&arena));
	ASSERT_SAYS(check_chain(off, true), "outside the fences");
	off = test_index_delta(&arena, TEXT("e"), TEXT("g"), 14, sample_inner(&arena));
	ASSERT_SAYS(check_chain(off, true), "beyond the page");
	off = test_index_delta(&arena, TEXT("e"), NO_KEY, 14, sample_inner(&arena));
	ASSERT_SAYS(check_chain(off, true), "beyond the page");
	off = test_index_delta(&arena, TEXT("bce"), TEXT("f"), 14, sample_inner(&arena));
	ASSERT_SAYS(check_chain(off, true), "same key");
	off = test_index_delta(&arena, TEXT("d"), TEXT("f"), 14, sample_inner(&arena));
	off = test_index_delta(&arena, TEXT("d"), TEXT("e"), 15, off);
	ASSERT_SAYS(check_chain(off, true), "same key");
}

static void a_head_that_is_no_page_is_refused(void)
{
	struct block_head *block = test_arena_at(&arena, test_arena_take(&arena, 64));
	arena_off off = (arena_off)((uint8_t *)block - arena.bytes);

	memset(block, 0, 64);
	block->size = 64;
	block->page = SAMPLE_PAGE;
	for (unsigned i = 0; i < 2; i++) {
		block->tag = i == 0 ? BLOCK_FILLER : BLOCK_IMAGE_SEGMENT;
		sample_seal(block);
		CU_ASSERT_PTR_NULL(page_check_block(block, 64));
		ASSERT_SAYS(check_chain(off, true), "no part of a page");
	}
}

/* Forged chains: what passes can be walked, merged and printed. */
static void forged_chains_are_noticed_or_harmless(void)
{
	unsigned rounds = suite_short() ? 10000 : 100000;
	arena_off offs[4], head;

	for (unsigned round = 0; round < rounds; round++) {
		unsigned target;
		struct block_head *block;
		size_t at;

		arena.used = BLOCK_ALIGN;
		head = round % 2 == 0 ? sample_chain(&arena, offs) : sample_index_chain(&arena, offs);
		target = (unsigned)rng_below(&rng, round % 2 == 0 ? 4 : 3);
		block = test_arena_at(&arena, offs[target]);
		at = 8 + 2 * rng_below(&rng, block->size / 2 - 4);
		put_u16((uint8_t *)block + at,
		        rng_chance(&rng, 50) ? (uint16_t)offs[rng_below(&rng, 3)]
		                             : (uint16_t)(get_u16((uint8_t *)block + at) +
		                                          (uint16_t)rng_range(&rng, 0, 4) - 2));
		sample_seal(block);
		if (check_chain(head, false) != NULL)
			continue;
		page_print_chain(nowhere, arena.bytes, head, true);
		if (round % 2 == 0) {
			struct page_entry entries[64];

			CU_ASSERT_TRUE_FATAL(chain_version_count(arena.bytes, head) <= 64);
			CU_ASSERT_EQUAL(chain_merge(arena.bytes, head, entries),
			                chain_version_count(arena.bytes, head));
		} else {
			struct inner_entry entries[64];

			CU_ASSERT_TRUE_FATAL(index_child_count(arena.bytes, head) <= 64);
			CU_ASSERT_EQUAL(index_merge(arena.bytes, head, entries),
			                index_child_count(arena.bytes, head));
		}
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(offsets_where_no_block_can_be_are_refused),
		TEST(a_block_across_the_end_of_the_arena_or_of_its_extent_is_refused),
		TEST(cycles_are_refused),
		TEST(links_that_do_not_fit_are_named),
		TEST(words_and_versions_are_checked),
		TEST(deltas_outside_the_fences_are_noticed),
		TEST(a_head_that_is_no_page_is_refused),
		TEST(forged_chains_are_noticed_or_harmless),
		CU_TEST_INFO_NULL,
	};

	nowhere = fopen("/dev/null", "w");
	rng_init(&rng, rng_seed());
	return suite_run("page_check_chain", set_up, tear_down, tests);
}
