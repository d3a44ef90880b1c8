/* SPDX-License-Identifier: MIT */
/*
 * page_fixture.h - for the tests of page/: keys of every awkward kind, and an arena to build in
 */
#ifndef BWT_TESTS_PAGE_FIXTURE_H
#define BWT_TESTS_PAGE_FIXTURE_H

#include "page/chain.h"
#include "tests/support/rng.h"

#define TEXT(literal) ((struct bwt_slice){"" literal, sizeof(literal) - 1})
#define NO_KEY ((struct bwt_slice){NULL, 0})

/* ---- keys ---- */

enum key_family {
	KEYS_INTEGER, /* 8 bytes, big-endian, close together */
	KEYS_RANDOM,  /* 8 random bytes */
	KEYS_TINY, /* 0..5 bytes of few letters, 0x00 and 0xff among them: prefixes of each other */
	KEYS_LONG_PREFIX,  /* some 200 equal bytes, then KEYS_TINY */
	KEYS_EQUAL_HEADS,  /* the same four bytes, then KEYS_TINY; one in 32 differs before */
	KEYS_EXTREME_HEAD, /* 0x00000000 or 0xffffffff, then KEYS_TINY */
	KEYS_TEXT,         /* path-like words of very different length */
	KEYS_FAMILIES,
};

/** A random key of @family; free with free((void *)key.data). Never NULL data. */
struct bwt_slice key_make(struct rng *rng, enum key_family family);

struct key_set {
	struct bwt_slice *keys; /* sorted, all different */
	unsigned count;
};

/** At most @count keys of @family (fewer when it has not so many). */
void key_set_init(struct key_set *set, struct rng *rng, enum key_family family, unsigned count);
void key_set_deinit(struct key_set *set);

/** The definition, one byte at a time. */
int key_order_by_definition(struct bwt_slice a, struct bwt_slice b);

/** @key in two pieces, cut at @cut; the pieces are the caller's to keep apart. */
struct key_ref key_cut(struct bwt_slice key, size_t cut);

bool slice_equal(struct bwt_slice a, struct bwt_slice b);
/** @key as bytes of its own; free((void *)data). */
struct bwt_slice key_ref_flat(const struct key_ref *key);
bool key_ref_is(const struct key_ref *key, struct bwt_slice other);

/* ---- arena ---- */

struct test_arena {
	uint8_t *bytes;
	uint64_t size;
	uint64_t used;
};

void test_arena_init(struct test_arena *arena, uint64_t size);
void test_arena_deinit(struct test_arena *arena);
/** Room for a block that crosses no extent, filled with rubbish. Never 0. */
arena_off test_arena_take(struct test_arena *arena, size_t size);
void *test_arena_at(const struct test_arena *arena, arena_off off);

/** leaf_size() and leaf_build() into @arena. */
arena_off test_leaf(struct test_arena *arena, const struct page_entry *entries, unsigned count,
                    const struct page_bounds *bounds, page_id page);
arena_off test_inner(struct test_arena *arena, const struct inner_entry *entries, unsigned count,
                     unsigned level, const struct page_bounds *bounds, page_id page);
/** A delta over @below; @value_size bytes of the key's first byte are its value. */
arena_off test_delta(struct test_arena *arena, const struct version_spec *spec, arena_off below,
                     uint64_t word);
arena_off test_index_delta(struct test_arena *arena, struct bwt_slice low, struct bwt_slice high,
                           page_id child, arena_off below);
/** The same with any tag. */
arena_off test_index_record(struct test_arena *arena, const struct index_spec *spec, arena_off below);

/** The block alone in memory of exactly its size, so that a sanitizer sees every step outside it. */
struct block_head *block_alone(const void *block);

/** Bounds of a leftmost and rightmost page: everything. */
struct page_bounds bounds_all(void);
/** An entry with these contents. */
struct page_entry entry_make(struct bwt_slice key, struct bwt_slice value, uint8_t flags,
                             uint64_t lsn);

#endif
