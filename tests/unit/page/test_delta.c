/* SPDX-License-Identifier: MIT */
/* test_delta.c - what a delta holds and how much room it takes */
#include "page/delta.h"

#include <stdlib.h>

#include "page/page_check.h"
#include "page/visibility.h"
#include "page_fixture.h"
#include "tests/support/suite.h"

static struct test_arena arena;
static arena_off leaf_off, inner_off;

static void set_up(void)
{
	struct page_bounds bounds = bounds_all();
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 1}};

	test_arena_init(&arena, 4u << 20);
	leaf_off = test_leaf(&arena, NULL, 0, &bounds, 5);
	inner_off = test_inner(&arena, children, 1, 1, &bounds, 6);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

static struct version_spec spec_of(struct bwt_slice key, struct bwt_slice value, uint8_t flags)
{
	return (struct version_spec){key, key_hash(key), value.data, (uint32_t)value.size, flags};
}

static const char *check(arena_off off)
{
	const struct block_head *block = test_arena_at(&arena, off);
	struct block_head *alone = block_alone(block);
	const char *wrong = page_check_block(alone, alone->size);

	free(alone);
	return wrong;
}

static void a_put_holds_its_key_value_and_word(void)
{
	struct version_spec spec = spec_of(TEXT("key"), TEXT("value"), 0);
	arena_off off = test_delta(&arena, &spec, leaf_off, word_make(WORD_PENDING, 320));
	const struct leaf_delta *delta = test_arena_at(&arena, off);

	CU_ASSERT_EQUAL(delta->head.tag, BLOCK_PUT);
	CU_ASSERT_EQUAL(delta->head.chain, 1);
	CU_ASSERT_EQUAL(delta->head.page, 5);
	CU_ASSERT_EQUAL(delta->head.tree, 1);
	CU_ASSERT_EQUAL(delta->base, leaf_off);
	CU_ASSERT_EQUAL(delta->hash, spec.hash);
	CU_ASSERT_EQUAL(delta->lsn_word, word_make(WORD_PENDING, 320));
	CU_ASSERT_TRUE(slice_equal(leaf_delta_key(delta), TEXT("key")));
	CU_ASSERT_EQUAL(delta->value_size, 5);
	CU_ASSERT_EQUAL(memcmp(leaf_delta_value(delta), "value", 5), 0);
	CU_ASSERT_PTR_NULL(check(off));
}

static void a_tombstone_is_a_delete(void)
{
	struct version_spec spec = spec_of(TEXT("key"), TEXT(""), VERSION_TOMBSTONE);
	arena_off off = test_delta(&arena, &spec, leaf_off, word_make(WORD_ABORTED, 0));
	const struct leaf_delta *delta = test_arena_at(&arena, off);

	CU_ASSERT_EQUAL(delta->head.tag, BLOCK_DELETE);
	CU_ASSERT_EQUAL(delta->head.flags, VERSION_TOMBSTONE);
	CU_ASSERT_PTR_NULL(check(off));
}

static void a_large_value_is_a_reference(void)
{
	struct value_ref ref = {1, 0, 64, 1u << 20, 7};
	struct version_spec spec =
		spec_of(TEXT("key"), (struct bwt_slice){&ref, sizeof ref}, VERSION_VLOG);
	arena_off off = test_delta(&arena, &spec, leaf_off, word_make(WORD_COMMITTED, 16));
	const struct leaf_delta *delta = test_arena_at(&arena, off);

	CU_ASSERT_EQUAL(delta->head.flags, VERSION_VLOG);
	CU_ASSERT_EQUAL(memcmp(leaf_delta_value(delta), &ref, sizeof ref), 0);
	CU_ASSERT_PTR_NULL(check(off));
}

static void the_empty_key_and_value_take_no_room(void)
{
	struct version_spec spec = spec_of(NO_KEY, NO_KEY, 0);
	arena_off off = test_delta(&arena, &spec, leaf_off, word_make(WORD_COMMITTED, 16));
	const struct leaf_delta *delta = test_arena_at(&arena, off);

	CU_ASSERT_EQUAL(delta->head.size, 0x50); /* header and one fingerprint */
	CU_ASSERT_EQUAL(leaf_delta_key(delta).size, 0);
	CU_ASSERT_PTR_NULL(check(off));
}

static void the_largest_key_and_value_fit(void)
{
	static uint8_t key[BWT_KEY_MAX], value[65536];
	struct version_spec spec = spec_of((struct bwt_slice){key, sizeof key},
	                                   (struct bwt_slice){value, sizeof value}, 0);
	arena_off off = test_delta(&arena, &spec, leaf_off, word_make(WORD_COMMITTED, 16));
	const struct leaf_delta *delta = test_arena_at(&arena, off);

	CU_ASSERT_EQUAL(leaf_delta_key(delta).size, sizeof key);
	CU_ASSERT_EQUAL(delta->value_size, sizeof value);
	CU_ASSERT_PTR_NULL(check(off));
}

/* D2, D3, up to the longest chain. */
static void every_delta_has_the_index_of_the_chain_below(void)
{
	arena_off offs[DELTA_CHAIN_MAX], below = leaf_off;
	uint8_t prints[DELTA_CHAIN_MAX];
	unsigned wrong = 0;

	for (unsigned i = 0; i < DELTA_CHAIN_MAX; i++) {
		uint8_t name = (uint8_t)i;
		struct version_spec spec = spec_of((struct bwt_slice){&name, 1}, TEXT("v"), 0);
		const struct leaf_delta *delta;

		offs[i] = test_delta(&arena, &spec, below, word_make(WORD_COMMITTED, 16 * i + 16));
		prints[i] = (uint8_t)spec.hash;
		delta = test_arena_at(&arena, offs[i]);
		wrong += delta->head.chain != i + 1 || delta->base != leaf_off;
		for (unsigned j = 0; j <= i; j++)
			wrong += leaf_delta_fingerprints(delta)[j] != prints[i - j];
		for (unsigned j = 1; j <= i; j++)
			wrong += delta->older[j - 1] != offs[i - j];
		wrong += !slice_equal(leaf_delta_key(delta), spec.key);
		wrong += check(offs[i]) != NULL;
		below = offs[i];
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void the_word_may_change_after_the_block_is_sealed(void)
{
	struct version_spec spec = spec_of(TEXT("key"), TEXT("value"), 0);
	arena_off off = test_delta(&arena, &spec, leaf_off, word_make(WORD_PENDING, 0));
	struct leaf_delta *delta = test_arena_at(&arena, off);

	delta->lsn_word = word_make(WORD_COMMITTED, 4096);
	CU_ASSERT_PTR_NULL(check(off));
	delta->lsn_word ^= 4;
	CU_ASSERT_PTR_NOT_NULL(check(off));
}

static void an_index_delta_holds_its_range_and_child(void)
{
	arena_off first = test_index_delta(&arena, TEXT("g"), TEXT("m"), 77, inner_off);
	arena_off second = test_index_delta(&arena, TEXT("m"), NO_KEY, 78, first);
	const struct index_delta *delta = test_arena_at(&arena, first);

	CU_ASSERT_EQUAL(delta->head.tag, BLOCK_INDEX_INSERT);
	CU_ASSERT_EQUAL(delta->head.chain, 1);
	CU_ASSERT_EQUAL(delta->older, inner_off);
	CU_ASSERT_EQUAL(delta->base, inner_off);
	CU_ASSERT_EQUAL(delta->child, 77);
	CU_ASSERT_TRUE(slice_equal(index_delta_low(delta), TEXT("g")));
	CU_ASSERT_TRUE(slice_equal(index_delta_high(delta), TEXT("m")));
	CU_ASSERT_PTR_NULL(check(first));
	delta = test_arena_at(&arena, second);
	CU_ASSERT_EQUAL(delta->head.chain, 2);
	CU_ASSERT_EQUAL(delta->older, first);
	CU_ASSERT_EQUAL(delta->base, inner_off);
	CU_ASSERT_PTR_NULL(index_delta_high(delta).data);
	CU_ASSERT_PTR_NULL(check(second));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_put_holds_its_key_value_and_word),
		TEST(a_tombstone_is_a_delete),
		TEST(a_large_value_is_a_reference),
		TEST(the_empty_key_and_value_take_no_room),
		TEST(the_largest_key_and_value_fit),
		TEST(every_delta_has_the_index_of_the_chain_below),
		TEST(the_word_may_change_after_the_block_is_sealed),
		TEST(an_index_delta_holds_its_range_and_child),
		CU_TEST_INFO_NULL,
	};
	return suite_run("delta", set_up, tear_down, tests);
}
