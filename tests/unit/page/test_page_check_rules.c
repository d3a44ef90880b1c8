/* SPDX-License-Identifier: MIT */
/*
 * test_page_check_rules.c - each rule of page_check.c, broken alone in a sound block, is the one that
 * is named
 */
#include "page/page_check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "page/visibility.h"
#include "page_samples.h"
#include "tests/support/suite.h"

static struct test_arena arena;

static void set_up(void)
{
	test_arena_init(&arena, (uint64_t)4 << 20);
	memset(arena.bytes, 0, arena.size);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

static bool says(const char *wrong, const char *words)
{
	bool same = wrong != NULL && strstr(wrong, words) != NULL;

	if (!same)
		printf("  \"%s\": %s\n", words, wrong != NULL ? wrong : "passed");
	return same;
}

/* ---- fields ---- */

struct field_rule {
	enum sample_kind kind;
	size_t off;
	size_t size;  /* of the field, bytes */
	uint64_t add; /* to what is there */
	const char *words;
};

#define MINUS(number) ((uint64_t)0 - (number))
#define HEAD(field) offsetof(struct block_head, field), sizeof(((struct block_head *)0)->field)
#define BASE(field) offsetof(struct base_page, field), sizeof(((struct base_page *)0)->field)
#define PUT(field) offsetof(struct leaf_delta, field), sizeof(((struct leaf_delta *)0)->field)
#define INDEX(field) offsetof(struct index_delta, field), sizeof(((struct index_delta *)0)->field)

static const struct field_rule field_rules[] = {
	{SAMPLE_LEAF, HEAD(chain), 1, "must be zero"},
	{SAMPLE_LEAF, HEAD(flags), 1, "must be zero"},
	{SAMPLE_LEAF, HEAD(page), MINUS(SAMPLE_PAGE), "no page id"},
	{SAMPLE_LEAF, BASE(reserved), 1, "must be zero"},
	{SAMPLE_LEAF, BASE(level), 1, "level"},
	{SAMPLE_INNER, BASE(level), MINUS(2), "level"},
	{SAMPLE_LEAF, BASE(right), MINUS(9), "rightmost"},
	{SAMPLE_LEAF, BASE(right), MINUS(9 - SAMPLE_PAGE), "right sibling"},
	{SAMPLE_LEAF, BASE(right), (uint64_t)1 << 32, "right sibling"},
	{SAMPLE_LEAF, BASE(count), 1, "slots are not where"},
	{SAMPLE_LEAF, BASE(count), UINT32_MAX - 5, "heads are not where"},
	{SAMPLE_INNER, BASE(count), MINUS(4), "no child"},
	{SAMPLE_INNER, BASE(count), 1, "children do not follow"},
	{SAMPLE_INNER, BASE(count), UINT32_MAX - 4, "children do not follow"},
	{SAMPLE_LEAF, BASE(prefix_size), MINUS(1), "do not follow the prefix"},
	{SAMPLE_LEAF, BASE(children_off), 1, "do not follow the prefix"},
	{SAMPLE_LEAF, BASE(heads_off), 4, "heads are not where"},
	{SAMPLE_INNER, BASE(heads_off), MINUS(4), "heads are not where"},
	{SAMPLE_INNER, BASE(children_off), 4, "children do not follow"},
	{SAMPLE_INNER, BASE(slots_off), 4, "slots are not where"},
	{SAMPLE_LEAF, BASE(slots_off), MINUS(4), "slots are not where"},
	{SAMPLE_LEAF, BASE(fences_off), 0xfffffff0u, "fences do not end"},
	{SAMPLE_LEAF, BASE(low_size), 16, "fences do not end"},
	{SAMPLE_LEAF, BASE(high_size), 16, "fences do not end"},
	{SAMPLE_LEAF, BASE(high_head), MINUS(1), "head of the high fence"},
	{SAMPLE_LEAF, BASE(keys), 1, "live keys"},
	{SAMPLE_INNER, BASE(keys), 1, "live keys"},
	{SAMPLE_PUT, HEAD(flags), VERSION_LSN, "flags"},
	{SAMPLE_PUT, HEAD(flags), VERSION_VLOG, "flags"}, /* a value of 5 bytes is no reference */
	{SAMPLE_PUT, HEAD(tag), BLOCK_DELETE - BLOCK_PUT, "flags"},
	{SAMPLE_PUT, HEAD(chain), MINUS(3), "out of range"},
	{SAMPLE_PUT, HEAD(chain), DELTA_CHAIN_MAX - 2, "out of range"},
	{SAMPLE_PUT, HEAD(page), MINUS(SAMPLE_PAGE), "no page id"},
	{SAMPLE_PUT, PUT(hash), 256, "hash"},
	{SAMPLE_PUT, PUT(value_size), 16, "do not fill"},
	{SAMPLE_PUT, PUT(value_size), MINUS(1), "not zero"},
	{SAMPLE_PUT, PUT(value_size), UINT32_MAX - 5, "do not fill"},
	{SAMPLE_PUT, PUT(key_size), 16, "do not fill"},
	{SAMPLE_PUT, PUT(reserved[1]), 1, "must be zero"},
	{SAMPLE_PUT, PUT(lsn_word), 4, "check byte"},
	{SAMPLE_INDEX, HEAD(flags), 1, "must be zero"},
	{SAMPLE_INDEX, HEAD(chain), MINUS(2), "out of range"},
	{SAMPLE_INDEX, HEAD(chain), DELTA_CHAIN_MAX - 1, "out of range"},
	{SAMPLE_INDEX, HEAD(page), MINUS(SAMPLE_PAGE), "no page id"},
	{SAMPLE_INDEX, INDEX(child), MINUS(15), "no child"},
	{SAMPLE_INDEX, INDEX(child), (uint64_t)1 << 32, "no child"},
	{SAMPLE_INDEX, INDEX(low_size), 16, "do not fill"},
	{SAMPLE_INDEX, INDEX(high_size), 16, "do not fill"},
	{SAMPLE_INDEX, INDEX(high_size), MINUS(1), "not zero"},
	{SAMPLE_INDEX, INDEX(high_infinite), 1, "must be zero"},
	{SAMPLE_INDEX, INDEX(high_infinite), 2, "must be zero"},
	{SAMPLE_INDEX, INDEX(reserved[2]), 1, "must be zero"},
};

static void each_field_is_checked(void)
{
	for (unsigned i = 0; i < sizeof field_rules / sizeof *field_rules; i++) {
		const struct field_rule *rule = &field_rules[i];
		struct block_head *block =
			block_alone(test_arena_at(&arena, sample_block(&arena, rule->kind)));
		uint64_t field = 0;

		memcpy(&field, (uint8_t *)block + rule->off, rule->size);
		field += rule->add;
		memcpy((uint8_t *)block + rule->off, &field, rule->size);
		sample_seal(block);
		CU_ASSERT_TRUE(says(page_check_block(block, block->size), rule->words));
		free(block);
	}
}

/* Deltas and pages of less than their header, sealed. */
static void blocks_smaller_than_their_header_are_refused(void)
{
	for (unsigned kind = 0; kind < SAMPLE_KINDS; kind++) {
		struct block_head *block = test_arena_at(&arena, sample_block(&arena, kind));

		block->size = 0x30;
		sample_seal(block);
		CU_ASSERT_TRUE(says(page_check_block(block, 0x30), "smaller"));
	}
}

/* ---- contents ---- */

static uint32_t *array_of(struct base_page *page, uint32_t off)
{
	return (uint32_t *)(void *)((uint8_t *)page + off);
}

static uint8_t *entry_at(struct base_page *page, unsigned index)
{
	return (uint8_t *)page + array_of(page, page->slots_off)[index];
}

static void set_head(struct base_page *page)
{
	array_of(page, page->heads_off)[3]++;
}

static void set_first_head(struct base_page *page)
{
	array_of(page, page->heads_off)[0]++;
}

static void set_print(struct base_page *page)
{
	((uint8_t *)page)[page->children_off]++;
}

static void set_lsn_order(struct base_page *page)
{
	put_u64(entry_at(page, 1) + 6, 480);
}

static void set_lsn_odd(struct base_page *page)
{
	put_u64(entry_at(page, 0) + 6, 481);
}

static void set_lsn_huge(struct base_page *page)
{
	put_u64(entry_at(page, 0) + 6, LSN_MAX);
}

static void set_lsn_zero(struct base_page *page)
{
	put_u64(entry_at(page, 1) + 6, 0);
}

static void set_value_size(struct base_page *page)
{
	put_u32(entry_at(page, 3), get_u32(entry_at(page, 3)) + 16);
}

static void set_value_huge(struct base_page *page)
{
	put_u32(entry_at(page, 3), 0xfffffff8u);
}

static void set_suffix_huge(struct base_page *page)
{
	put_u16(entry_at(page, 3) + 4, 0xffff);
}

/* Entry 3 reaches to 3 bytes before the fences, where entry 4 has no room. */
static void set_last_entry_cut(struct base_page *page)
{
	uint32_t grown = page->fences_off - 3 - array_of(page, page->slots_off)[4];

	put_u32(entry_at(page, 3), get_u32(entry_at(page, 3)) + (grown << 4));
	array_of(page, page->slots_off)[4] += grown;
}

static void set_tombstone(struct base_page *page)
{
	entry_at(page, 3)[0] |= VERSION_TOMBSTONE;
}

static void set_reference(struct base_page *page)
{
	entry_at(page, 3)[0] |= VERSION_VLOG;
}

static void set_older(struct base_page *page)
{
	entry_at(page, 3)[0] |= VERSION_OLDER;
}

static void set_first_older(struct base_page *page)
{
	entry_at(page, 0)[0] |= VERSION_OLDER;
}

static void set_not_older(struct base_page *page)
{
	entry_at(page, 1)[0] &= (uint8_t)~VERSION_OLDER;
}

static void set_slot(struct base_page *page)
{
	array_of(page, page->slots_off)[2]++;
}

static void set_fence(struct base_page *page)
{
	((uint8_t *)page)[page->fences_off] = 'l';
}

static void set_padding(struct base_page *page)
{
	((uint8_t *)page)[page->head.size - 1] = 1;
}

static void set_gap(struct base_page *page)
{
	((uint8_t *)page)[page->heads_off - 1] = 1;
}

static void set_fences_into_arrays(struct base_page *page)
{
	page->low_size = (uint16_t)(page->low_size + page->fences_off - page->slots_off);
	page->fences_off = page->slots_off;
}

static void set_no_child(struct base_page *page)
{
	array_of(page, page->children_off)[2] = 0;
}

static void set_first_key(struct base_page *page)
{
	array_of(page, page->slots_off)[1]++;
}

static void set_key_end(struct base_page *page)
{
	array_of(page, page->slots_off)[3] = array_of(page, page->slots_off)[2] - 1;
}

static void set_key_beyond(struct base_page *page)
{
	array_of(page, page->slots_off)[2] = page->fences_off + 16;
}

static void each_part_of_a_page_is_checked(void)
{
	static const struct {
		enum sample_kind kind;
		void (*damage)(struct base_page *page);
		const char *words;
	} rules[] = {
		{SAMPLE_LEAF, set_head, "head of an entry"},
		{SAMPLE_LEAF, set_print, "fingerprint"},
		{SAMPLE_LEAF, set_lsn_order, "versions of a key"},
		{SAMPLE_LEAF, set_lsn_odd, "no LSN"},
		{SAMPLE_LEAF, set_lsn_huge, "no LSN"},
		{SAMPLE_LEAF, set_lsn_zero, "no LSN"},
		{SAMPLE_LEAF, set_value_size, "where the one before it ends"},
		{SAMPLE_LEAF, set_value_huge, "runs into the fences"},
		{SAMPLE_LEAF, set_suffix_huge, "runs into the fences"},
		{SAMPLE_LEAF, set_last_entry_cut, "runs into the fences"},
		{SAMPLE_LEAF, set_tombstone, "flags"},
		{SAMPLE_LEAF, set_reference, "flags"},
		{SAMPLE_LEAF, set_older, "mark for older"},
		{SAMPLE_LEAF, set_first_older, "mark for older"},
		{SAMPLE_LEAF, set_not_older, "mark for older"},
		{SAMPLE_LEAF, set_slot, "where the one before it ends"},
		{SAMPLE_LEAF, set_fence, "fences are out of order"},
		{SAMPLE_LEAF, set_fences_into_arrays, "within the arrays"},
		{SAMPLE_LEAF, set_padding, "not zero"},
		{SAMPLE_LEAF, set_gap, "not zero"},
		{SAMPLE_INNER, set_head, "head of an entry"},
		{SAMPLE_INNER, set_first_head, "head of an entry"},
		{SAMPLE_INNER, set_no_child, "child without an id"},
		{SAMPLE_INNER, set_first_key, "stored twice"},
		{SAMPLE_INNER, set_key_end, "ends before it begins"},
		{SAMPLE_INNER, set_key_beyond, "ends before it begins"},
		{SAMPLE_INNER, set_fences_into_arrays, "within the arrays"},
	};

	for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++) {
		arena_off off = sample_block(&arena, rules[i].kind);
		struct base_page *page = (void *)block_alone(test_arena_at(&arena, off));

		rules[i].damage(page);
		sample_seal(&page->head);
		CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), rules[i].words));
		free(page);
	}
}

static void words_and_fingerprints_of_deltas_are_checked(void)
{
	struct leaf_delta *delta = test_arena_at(&arena, sample_block(&arena, SAMPLE_PUT));
	struct index_delta *index = test_arena_at(&arena, sample_block(&arena, SAMPLE_INDEX));

	delta->lsn_word = word_make(WORD_ABORTED, 16);
	CU_ASSERT_TRUE(says(page_check_block(&delta->head, delta->head.size), "aborted"));
	delta->lsn_word = word_make(WORD_ABORTED, 0);
	((uint8_t *)(delta->older + delta->head.chain - 1))[0]++;
	sample_seal(&delta->head);
	CU_ASSERT_TRUE(says(page_check_block(&delta->head, delta->head.size), "fingerprint"));
	index->bytes[0] = 'g'; /* from "g" to "f" */
	sample_seal(&index->head);
	CU_ASSERT_TRUE(says(page_check_block(&index->head, index->head.size), "out of order"));
	index->low_size = 0; /* from "" to "gf" */
	index->high_size = 2;
	sample_seal(&index->head);
	CU_ASSERT_TRUE(says(page_check_block(&index->head, index->head.size), "out of order"));
}

/* Pages as builders would write them if they were given wrong entries. */
static const char *check_leaf(struct page_entry *entries, unsigned count, struct page_bounds bounds)
{
	struct base_page *page =
		test_arena_at(&arena, test_leaf(&arena, entries, count, &bounds, SAMPLE_PAGE));

	return page_check_block(&page->head, page->head.size);
}

static void entries_that_end_before_the_fences_are_noticed(void)
{
	struct page_entry entries[] = {entry_make(TEXT("a"), TEXT("value"), 0, 0)};
	struct page_bounds bounds = bounds_all();
	struct base_page *page =
		test_arena_at(&arena, test_leaf(&arena, entries, 1, &bounds, SAMPLE_PAGE));

	put_u32(entry_at(page, 0), 4u << 4); /* a value of 4 bytes */
	sample_seal(&page->head);
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "do not follow"));
}

/* The page ends with its entries: what is read beyond them is read beyond the block. */
static void an_entry_cut_by_the_end_of_the_block_is_not_read(void)
{
	struct page_bounds bounds = bounds_all();
	struct base_page *page;
	uint32_t grown;
	size_t size = 0;

	do {
		struct page_entry entries[] = {
			entry_make(TEXT("a"), (struct bwt_slice){"0123456789abcdef", size++}, 0, 0),
			entry_make(TEXT("b"), TEXT("value"), 0, 16)};

		page = test_arena_at(&arena, test_leaf(&arena, entries, 2, &bounds, SAMPLE_PAGE));
	} while (page->fences_off != page->head.size);
	for (uint32_t left = 1; left < 14; left++) {
		struct base_page *cut = (void *)block_alone(page);

		grown = cut->fences_off - left - array_of(cut, cut->slots_off)[1];
		put_u32(entry_at(cut, 0), get_u32(entry_at(cut, 0)) + (grown << 4));
		array_of(cut, cut->slots_off)[1] += grown;
		if (left >= 4)
			put_u32(entry_at(cut, 1), VERSION_LSN);
		sample_seal(&cut->head);
		CU_ASSERT_TRUE(says(page_check_block(&cut->head, cut->head.size), "runs into"));
		free(cut);
	}
}

/* Prefix and suffix may each be of a size that a key can have. */
static void keys_longer_than_keys_can_be_are_noticed(void)
{
	static uint8_t a[BWT_KEY_MAX], b[BWT_KEY_MAX];
	struct page_bounds bounds = bounds_all();
	struct page_entry entries[] = {
		entry_make((struct bwt_slice){a, sizeof a}, TEXT("value"), 0, 0),
		entry_make((struct bwt_slice){b, sizeof b}, TEXT("value"), 0, 0)};
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 1},
	                                 {key_ref_of((struct bwt_slice){a, sizeof a}), 2},
	                                 {key_ref_of((struct bwt_slice){b, sizeof b}), 3}};
	struct base_page *page;
	uint8_t *entry;

	memset(a, 'a', sizeof a);
	memset(b, 'a', sizeof b);
	b[60000] = 'b';
	page = test_arena_at(&arena, test_leaf(&arena, entries, 2, &bounds, SAMPLE_PAGE));
	entry = entry_at(page, 0);
	put_u16(entry + 4, (uint16_t)(get_u16(entry + 4) + 1)); /* a byte of the value */
	put_u32(entry, 4u << 4);
	sample_seal(&page->head);
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "too long"));
	page = test_arena_at(&arena, test_inner(&arena, children, 3, 1, &bounds, SAMPLE_PAGE));
	CU_ASSERT_PTR_NULL(page_check_block(&page->head, page->head.size));
	array_of(page, page->slots_off)[2]++;
	sample_seal(&page->head);
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "too long"));
}

/* Keys changed afterwards, with head and fingerprint: they share more than the page says. */
static void a_prefix_that_could_be_longer_is_noticed(void)
{
	struct page_entry entries[] = {entry_make(TEXT("a1"), TEXT(""), 0, 0),
	                               entry_make(TEXT("b2"), TEXT(""), 0, 0)};
	struct inner_entry children[] = {
		{key_ref_of(TEXT("")), 1}, {key_ref_of(TEXT("a1")), 2}, {key_ref_of(TEXT("b2")), 3}};
	struct page_bounds bounds = bounds_all();
	struct base_page *page =
		test_arena_at(&arena, test_leaf(&arena, entries, 2, &bounds, SAMPLE_PAGE));

	entry_at(page, 1)[6] = 'a';
	array_of(page, page->heads_off)[1] -= 1u << 24;
	((uint8_t *)page)[page->children_off + 1] = (uint8_t)key_hash(TEXT("a2"));
	sample_seal(&page->head);
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "not the longest"));
	page = test_arena_at(&arena, test_inner(&arena, children, 3, 1, &bounds, SAMPLE_PAGE));
	entry_at(page, 2)[0] = 'a';
	array_of(page, page->heads_off)[2] -= 1u << 24;
	sample_seal(&page->head);
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "not the longest"));
}

static void keys_out_of_order_are_noticed(void)
{
	struct page_entry entries[] = {entry_make(TEXT("b"), TEXT("1"), 0, 0),
	                               entry_make(TEXT("a"), TEXT("2"), 0, 0),
	                               entry_make(TEXT("c"), TEXT("3"), 0, 0)};
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 10},
	                                 {key_ref_of(TEXT("c")), 11},
	                                 {key_ref_of(TEXT("b")), 12}};
	struct page_bounds bounds = bounds_all();
	struct base_page *page;

	CU_ASSERT_TRUE(says(check_leaf(entries, 3, bounds), "out of order"));
	page = test_arena_at(&arena, test_inner(&arena, children, 3, 1, &bounds, SAMPLE_PAGE));
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "out of order"));
	children[2].key = children[1].key; /* twice the same */
	page = test_arena_at(&arena, test_inner(&arena, children, 3, 1, &bounds, SAMPLE_PAGE));
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "out of order"));
}

static void keys_outside_the_fences_are_noticed(void)
{
	struct page_entry entries[] = {entry_make(TEXT("a"), TEXT("1"), 0, 0),
	                               entry_make(TEXT("b"), TEXT("2"), 0, 0)};
	struct inner_entry children[] = {{key_ref_of(TEXT("a")), 1}, {key_ref_of(TEXT("b")), 2}};
	struct page_bounds bounds = {TEXT("a"), TEXT("b"), 3};
	struct base_page *page;

	CU_ASSERT_TRUE(says(check_leaf(entries, 2, bounds), "outside the fences"));
	bounds = (struct page_bounds){TEXT("aa"), NO_KEY, 0};
	CU_ASSERT_TRUE(says(check_leaf(entries, 2, bounds), "outside the fences"));
	bounds = (struct page_bounds){TEXT("a"), TEXT("b\0"), 3};
	CU_ASSERT_PTR_NULL(check_leaf(entries, 2, bounds));
	bounds = (struct page_bounds){TEXT("a"), TEXT("b"), 3};
	page = test_arena_at(&arena, test_inner(&arena, children, 2, 1, &bounds, SAMPLE_PAGE));
	CU_ASSERT_TRUE(says(page_check_block(&page->head, page->head.size), "outside the fences"));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(each_field_is_checked),
		TEST(blocks_smaller_than_their_header_are_refused),
		TEST(each_part_of_a_page_is_checked),
		TEST(words_and_fingerprints_of_deltas_are_checked),
		TEST(entries_that_end_before_the_fences_are_noticed),
		TEST(an_entry_cut_by_the_end_of_the_block_is_not_read),
		TEST(keys_longer_than_keys_can_be_are_noticed),
		TEST(a_prefix_that_could_be_longer_is_noticed),
		TEST(keys_out_of_order_are_noticed),
		TEST(keys_outside_the_fences_are_noticed),
		CU_TEST_INFO_NULL,
	};
	return suite_run("page_check_rules", set_up, tear_down, tests);
}
