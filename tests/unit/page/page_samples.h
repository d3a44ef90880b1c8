/* SPDX-License-Identifier: MIT */
/*
 * page_samples.h - small sound blocks and chains, for the tests of the checks
 *
 * Each has at least one of everything: versions, tombstones, references, fences, suffixes of
 * different size. All belong to SAMPLE_PAGE.
 */
#ifndef BWT_TESTS_PAGE_SAMPLES_H
#define BWT_TESTS_PAGE_SAMPLES_H

#include "page_fixture.h"

#define SAMPLE_PAGE 5u

/** Keys from "key-a" to "key-cabcdef" between the fences "key" and "key-d"; "key-a" has LSN 480. */
arena_off sample_leaf(struct test_arena *arena);
/** Children from "a" to "bceeeeee" between the fences "a" and "f". */
arena_off sample_inner(struct test_arena *arena);
/** A delta over @below with some value. */
arena_off sample_put(struct test_arena *arena, struct bwt_slice key, uint8_t flags, arena_off below,
                     uint64_t word);
/** Three deltas over sample_leaf(); @offs: out, newest first, the base page last. */
arena_off sample_chain(struct test_arena *arena, arena_off offs[4]);
/** Two deltas over sample_inner(). */
arena_off sample_index_chain(struct test_arena *arena, arena_off offs[3]);

enum sample_kind {
	SAMPLE_LEAF,
	SAMPLE_INNER,
	SAMPLE_PUT,   /* the newest delta of sample_chain() */
	SAMPLE_INDEX, /* the newest delta of sample_index_chain() */
	SAMPLE_KINDS,
};

arena_off sample_block(struct test_arena *arena, unsigned kind);

/** Make the checksum right again. */
void sample_seal(struct block_head *block);

#endif
