/* SPDX-License-Identifier: MIT */
/* page_fixture.c - keys of every awkward kind, and an arena to build in */
#include "page_fixture.h"

#include <assert.h>
#include <stdlib.h>

#include "mem/arena.h"

#define KEY_BUFFER 512u

static size_t tiny(struct rng *rng, uint8_t *to)
{
	static const uint8_t letters[] = {0x00, 0x01, 'a', 'b', 0x7f, 0x80, 0xff};
	size_t size = rng_below(rng, 6);

	for (size_t i = 0; i < size; i++)
		to[i] = letters[rng_below(rng, sizeof letters)];
	return size;
}

static size_t text(struct rng *rng, uint8_t *to)
{
	static const char *const words[] = {"usr", "share", "doc", "lib", "a", "x86_64-linux-gnu",
	                                    ""};
	size_t size = 0, parts = rng_range(rng, 1, 12);

	while (parts-- > 0) {
		const char *word = words[rng_below(rng, sizeof words / sizeof *words)];

		to[size++] = '/';
		while (*word != '\0')
			to[size++] = (uint8_t)*word++;
	}
	return size + tiny(rng, to + size);
}

struct bwt_slice key_make(struct rng *rng, enum key_family family)
{
	uint8_t bytes[KEY_BUFFER] = {0};
	size_t size = 0;
	void *key;

	switch (family) {
	case KEYS_INTEGER: {
		uint64_t number = __builtin_bswap64(0x123400 + rng_below(rng, 1000));

		memcpy(bytes, &number, size = sizeof number);
		break;
	}
	case KEYS_RANDOM:
		rng_fill(rng, bytes, size = 8);
		break;
	case KEYS_TINY:
		size = tiny(rng, bytes);
		break;
	case KEYS_LONG_PREFIX:
		memset(bytes, 'p', 203);
		size = 203 + tiny(rng, bytes + 203);
		break;
	case KEYS_EQUAL_HEADS:
		memset(bytes, 'h', 4);
		if (rng_below(rng, 32) == 0)
			bytes[0] = 'g';
		size = 4 + tiny(rng, bytes + 4);
		break;
	case KEYS_EXTREME_HEAD:
		memset(bytes, rng_chance(rng, 50) ? 0xff : 0x00, 4);
		size = 4 + tiny(rng, bytes + 4);
		break;
	default:
		size = text(rng, bytes);
		break;
	}
	key = malloc(size + 1); /* never of size 0: data is not NULL */
	memcpy(key, bytes, size);
	return (struct bwt_slice){key, size};
}

int key_order_by_definition(struct bwt_slice a, struct bwt_slice b)
{
	const uint8_t *x = a.data, *y = b.data;

	for (size_t i = 0;; i++) {
		if (i == a.size || i == b.size)
			return i < a.size ? 1 : i < b.size ? -1 : 0;
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	}
}

static int order_for_sort(const void *a, const void *b)
{
	return key_order_by_definition(*(const struct bwt_slice *)a, *(const struct bwt_slice *)b);
}

void key_set_init(struct key_set *set, struct rng *rng, enum key_family family, unsigned count)
{
	unsigned different = 0;

	set->keys = malloc((count + 1) * sizeof *set->keys);
	for (unsigned i = 0; i < count; i++)
		set->keys[i] = key_make(rng, family);
	qsort(set->keys, count, sizeof *set->keys, order_for_sort);
	for (unsigned i = 0; i < count; i++)
		if (i != 0 && order_for_sort(&set->keys[different - 1], &set->keys[i]) == 0)
			free((void *)(uintptr_t)set->keys[i].data);
		else
			set->keys[different++] = set->keys[i];
	set->count = different;
}

void key_set_deinit(struct key_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		free((void *)(uintptr_t)set->keys[i].data);
	free(set->keys);
}

struct key_ref key_cut(struct bwt_slice key, size_t cut)
{
	const uint8_t *bytes = key.data;

	return (struct key_ref){bytes, bytes + cut, (uint32_t)cut, (uint32_t)(key.size - cut)};
}

bool slice_equal(struct bwt_slice a, struct bwt_slice b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

struct bwt_slice key_ref_flat(const struct key_ref *key)
{
	uint8_t *bytes = malloc(key_ref_size(key) + 1u);

	memcpy(bytes, key->prefix != NULL ? key->prefix : bytes, key->prefix_size);
	memcpy(bytes + key->prefix_size, key->suffix != NULL ? key->suffix : bytes, key->suffix_size);
	return (struct bwt_slice){bytes, key_ref_size(key)};
}

bool key_ref_is(const struct key_ref *key, struct bwt_slice other)
{
	struct bwt_slice flat = key_ref_flat(key);
	bool same = slice_equal(flat, other);

	free((void *)(uintptr_t)flat.data);
	return same;
}

void test_arena_init(struct test_arena *arena, uint64_t size)
{
	arena->bytes = aligned_alloc(64, size);
	arena->size = size;
	arena->used = BLOCK_ALIGN; /* offset 0 means none */
}

void test_arena_deinit(struct test_arena *arena)
{
	free(arena->bytes);
}

arena_off test_arena_take(struct test_arena *arena, size_t size)
{
	arena_off off = arena->used;

	assert(size % BLOCK_ALIGN == 0);
	while (extent_of(off) != extent_of(off + size - 1)) /* B1 */
		off = size > EXTENT_SMALL_SIZE && off < EXTENT_SIZE
		              ? EXTENT_SIZE
		              : extent_start(extent_of(off) + 1);
	assert(off + size <= arena->size);
	arena->used = off + size;
	memset(arena->bytes + off, 0xa5, size);
	return off;
}

void *test_arena_at(const struct test_arena *arena, arena_off off)
{
	return arena->bytes + off;
}

arena_off test_leaf(struct test_arena *arena, const struct page_entry *entries, unsigned count,
                    const struct page_bounds *bounds, page_id page)
{
	size_t size = leaf_size(entries, count, bounds);
	arena_off off = test_arena_take(arena, size);

	leaf_build(test_arena_at(arena, off), size, entries, count, bounds, page, 1, 160);
	return off;
}

arena_off test_inner(struct test_arena *arena, const struct inner_entry *entries, unsigned count,
                     unsigned level, const struct page_bounds *bounds, page_id page)
{
	size_t size = inner_size(entries, count, bounds);
	arena_off off = test_arena_take(arena, size);

	inner_build(test_arena_at(arena, off), size, entries, count, level, bounds, page, 1, 160);
	return off;
}

arena_off test_delta(struct test_arena *arena, const struct version_spec *spec, arena_off below,
                     uint64_t word)
{
	const struct block_head *under = test_arena_at(arena, below);
	arena_off off = test_arena_take(arena, leaf_delta_size(spec, under->chain));

	leaf_delta_build(test_arena_at(arena, off), spec, under->page, under->tree, under, below,
	                 word, under->lsn);
	return off;
}

arena_off test_index_record(struct test_arena *arena, const struct index_spec *spec, arena_off below)
{
	const struct block_head *under = test_arena_at(arena, below);
	arena_off off = test_arena_take(arena, index_delta_size(spec->low, spec->high));

	index_delta_build(test_arena_at(arena, off), spec, under->page, under->tree, under, below,
	                  under->lsn);
	return off;
}

arena_off test_index_delta(struct test_arena *arena, struct bwt_slice low, struct bwt_slice high,
                           page_id child, arena_off below)
{
	struct index_spec spec = {BLOCK_INDEX_INSERT, low, high, child};

	return test_index_record(arena, &spec, below);
}

struct block_head *block_alone(const void *block)
{
	const struct block_head *head = block;
	struct block_head *alone = aligned_alloc(BLOCK_ALIGN, head->size);

	memcpy(alone, block, head->size);
	return alone;
}

struct page_bounds bounds_all(void)
{
	return (struct page_bounds){TEXT(""), NO_KEY, 0};
}

struct page_entry entry_make(struct bwt_slice key, struct bwt_slice value, uint8_t flags, uint64_t lsn)
{
	return (struct page_entry){key_ref_of(key), value.data, (uint32_t)value.size,
	                           flags,           lsn,        NULL};
}
