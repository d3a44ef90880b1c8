/* SPDX-License-Identifier: MIT */
/*
 * search.h - the two inner loops of every lookup, in scalar, AVX2 and AVX-512 versions
 *
 * The scalar versions always work and are the reference. The best that the CPU has is chosen once;
 * tests choose each in turn and compare.
 */
#ifndef BWT_PAGE_SEARCH_H
#define BWT_PAGE_SEARCH_H

#include <stdint.h>

enum search_level {
	SEARCH_SCALAR = 0,
	SEARCH_AVX2 = 1,
	SEARCH_AVX512 = 2
};

struct search_ops {
	/* Number of heads < @head in a sorted array. */
	unsigned (*lower_bound)(const uint32_t *heads, unsigned count, uint32_t head);
	/* Bit i set: bytes[i] == byte, for i < count <= 64. Reads bytes[0..count) only. */
	uint64_t (*match_bytes)(const uint8_t *bytes, unsigned count, uint8_t byte);
	enum search_level level;
};

/** Set before main() runs and by search_select(); never NULL. Read it through search_ops(). */
extern const struct search_ops *search_ops_in_use;

/** The versions in use: the CPU's best until search_select(). */
static inline const struct search_ops *search_ops(void)
{
	return search_ops_in_use;
}

/**
 * search_select - use another level, for tests and benchmarks
 * Returns: the level that is in use afterwards (lower if the CPU lacks it)
 * Threads: no other thread is searching
 */
enum search_level search_select(enum search_level level);

#endif
