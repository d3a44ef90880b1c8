/* SPDX-License-Identifier: MIT */
/* page_samples.c - small sound blocks and chains, for the tests of the checks */
#include "page_samples.h"

#include "page/visibility.h"

arena_off sample_leaf(struct test_arena *arena)
{
	struct page_entry entries[] = {
		entry_make(TEXT("key-a"), TEXT("newest"), 0, 480),
		entry_make(TEXT("key-a"), TEXT(""), VERSION_TOMBSTONE, 320),
		entry_make(TEXT("key-b"), TEXT("123456789012345678901234"), VERSION_VLOG, 0),
		entry_make(TEXT("key-bb"), TEXT("x"), 0, 16),
		entry_make(TEXT("key-cabcdef"), TEXT(""), 0, 0),
	};
	struct page_bounds bounds = {TEXT("key"), TEXT("key-d"), 9};

	return test_leaf(arena, entries, 5, &bounds, SAMPLE_PAGE);
}

arena_off sample_inner(struct test_arena *arena)
{
	struct inner_entry entries[] = {{key_ref_of(TEXT("a")), 10},
	                                {key_ref_of(TEXT("bcd")), 11},
	                                {key_ref_of(TEXT("bce")), 12},
	                                {key_ref_of(TEXT("bceeeeee")), 13}};
	struct page_bounds bounds = {TEXT("a"), TEXT("f"), 9};

	return test_inner(arena, entries, 4, 2, &bounds, SAMPLE_PAGE);
}

arena_off sample_put(struct test_arena *arena, struct bwt_slice key, uint8_t flags, arena_off below,
                     uint64_t word)
{
	struct bwt_slice value = (flags & VERSION_TOMBSTONE) != 0 ? TEXT("") : TEXT("value");
	struct version_spec spec = {key, key_hash(key), value.data, (uint32_t)value.size, flags};

	return test_delta(arena, &spec, below, word);
}

arena_off sample_chain(struct test_arena *arena, arena_off offs[4])
{
	offs[3] = sample_leaf(arena);
	offs[2] = sample_put(arena, TEXT("key-b"), 0, offs[3], word_make(WORD_COMMITTED, 640));
	offs[1] = sample_put(arena, TEXT("key-a"), VERSION_TOMBSTONE, offs[2],
	                     word_make(WORD_ABORTED, 0));
	offs[0] = sample_put(arena, TEXT("key-b"), 0, offs[1], word_make(WORD_COMMITTED, 800));
	return offs[0];
}

arena_off sample_index_chain(struct test_arena *arena, arena_off offs[3])
{
	offs[2] = sample_inner(arena);
	offs[1] = test_index_delta(arena, TEXT("c"), TEXT("f"), 14, offs[2]);
	offs[0] = test_index_delta(arena, TEXT("d"), TEXT("f"), 15, offs[1]);
	return offs[0];
}

arena_off sample_block(struct test_arena *arena, unsigned kind)
{
	arena_off offs[4];

	switch (kind) {
	case SAMPLE_LEAF:
		return sample_leaf(arena);
	case SAMPLE_INNER:
		return sample_inner(arena);
	case SAMPLE_PUT:
		return sample_chain(arena, offs);
	default:
		return sample_index_chain(arena, offs);
	}
}

void sample_seal(struct block_head *block)
{
	block_seal(block,
	           block->tag == BLOCK_PUT || block->tag == BLOCK_DELETE ? LEAF_DELTA_WORD_OFF : 0);
}
