/* SPDX-License-Identifier: MIT */
/*
 * key.h - keys: order, hash, and keys in two pieces
 *
 * Base pages store the common prefix of their keys once, so a whole key is often two pieces that
 * are not neighbours in memory. struct key_ref is such a key; a contiguous one has prefix_size 0.
 */
#ifndef BWT_PAGE_KEY_H
#define BWT_PAGE_KEY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "bwt.h"

struct key_ref {
	const uint8_t *prefix;
	const uint8_t *suffix;
	uint32_t prefix_size;
	uint32_t suffix_size;
};

static inline struct key_ref key_ref_of(struct bwt_slice key)
{
	return (struct key_ref){NULL, key.data, 0, (uint32_t)key.size};
}

static inline uint32_t key_ref_size(const struct key_ref *key)
{
	return key->prefix_size + key->suffix_size;
}

/** As memcmp, the shorter first: < 0, 0, > 0. */
int key_compare(struct bwt_slice a, struct bwt_slice b);
int key_ref_compare(const struct key_ref *a, const struct key_ref *b);
int key_ref_compare_slice(const struct key_ref *a, struct bwt_slice b);
/** Bytes that both begin with. */
uint32_t key_ref_common(const struct key_ref *a, const struct key_ref *b);
/** All of the key to @to; returns its size. */
static inline uint32_t key_ref_write(const struct key_ref *key, uint8_t *to)
{
	bytes_copy(to, key->prefix, key->prefix_size);
	bytes_copy(to + key->prefix_size, key->suffix, key->suffix_size);
	return key_ref_size(key);
}

/** Bytes [from, size) of the key to @to; returns their number. */
uint32_t key_ref_copy(const struct key_ref *key, uint32_t from, uint8_t *to);
/** Stored in pages (fingerprint = low byte, deltas hold all of it): CRC32C, then mixed; never changes. */
uint32_t key_hash(struct bwt_slice key);
uint32_t key_ref_hash(const struct key_ref *key);

#endif
