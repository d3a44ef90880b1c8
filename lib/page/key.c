/* SPDX-License-Identifier: MIT */
/*
 * key.c - order, hash and pieces of keys
 *
 * Two keys of one page share the prefix bytes themselves (same address): then only the suffixes are
 * looked at. Other pairs are walked piece by piece.
 */
#include "page/key.h"

#include "base/crc32c.h"
#include "page/page_bytes.h"

int key_compare(struct bwt_slice a, struct bwt_slice b)
{
	return bytes_order(a.data, a.size, b.data, b.size);
}

static bool same_prefix(const struct key_ref *a, const struct key_ref *b)
{
	return a->prefix_size == b->prefix_size && (a->prefix_size == 0 || a->prefix == b->prefix);
}

/* The contiguous bytes of @key from @at on; NULL and 0 at its end. */
static const uint8_t *piece(const struct key_ref *key, uint32_t at, uint32_t *size)
{
	if (at < key->prefix_size) {
		*size = key->prefix_size - at;
		return key->prefix + at;
	}
	at -= key->prefix_size;
	*size = key->suffix_size - at;
	return *size != 0 ? key->suffix + at : NULL;
}

static struct bwt_slice suffix_slice(const struct key_ref *key)
{
	return (struct bwt_slice){key->suffix, key->suffix_size};
}

int key_ref_compare(const struct key_ref *a, const struct key_ref *b)
{
	uint32_t at = 0;

	if (same_prefix(a, b))
		return bytes_order(a->suffix, a->suffix_size, b->suffix, b->suffix_size);
	if (b->prefix_size == 0)
		return key_ref_compare_slice(a, suffix_slice(b));
	if (a->prefix_size == 0)
		return -key_ref_compare_slice(b, suffix_slice(a));
	for (;;) {
		uint32_t a_size, b_size, size;
		const uint8_t *a_piece = piece(a, at, &a_size);
		const uint8_t *b_piece = piece(b, at, &b_size);
		int order;

		size = a_size < b_size ? a_size : b_size;
		if (size == 0)
			return (a_size > b_size) - (a_size < b_size);
		order = bytes_compare(a_piece, b_piece, size);
		if (order != 0)
			return order;
		at += size;
	}
}

int key_ref_compare_slice(const struct key_ref *a, struct bwt_slice b)
{
	const uint8_t *bytes = b.data;
	int order;

	if (b.size < a->prefix_size) {
		order = bytes_compare(a->prefix, bytes, b.size);
		return order != 0 ? order : 1;
	}
	order = bytes_compare(a->prefix, bytes, a->prefix_size);
	if (order != 0)
		return order;
	return bytes_order(a->suffix, a->suffix_size, key_rest(b, a->prefix_size),
	                   b.size - a->prefix_size);
}

static uint32_t bytes_common(const uint8_t *a, const uint8_t *b, uint32_t size)
{
	uint32_t at = 0;

	for (; at + 8 <= size; at += 8) {
		uint64_t differ = get_u64(a + at) ^ get_u64(b + at);

		if (differ != 0)
			return at + (uint32_t)__builtin_ctzll(differ) / 8;
	}
	while (at < size && a[at] == b[at])
		at++;
	return at;
}

uint32_t key_ref_common(const struct key_ref *a, const struct key_ref *b)
{
	uint32_t at = same_prefix(a, b) ? a->prefix_size : 0;

	for (;;) {
		uint32_t a_size, b_size, size, common;
		const uint8_t *a_piece = piece(a, at, &a_size);
		const uint8_t *b_piece = piece(b, at, &b_size);

		size = a_size < b_size ? a_size : b_size;
		if (size == 0)
			return at;
		common = bytes_common(a_piece, b_piece, size);
		at += common;
		if (common < size)
			return at;
	}
}

uint32_t key_ref_copy(const struct key_ref *key, uint32_t from, uint8_t *to)
{
	uint32_t copied = 0, size;

	for (;;) {
		const uint8_t *bytes = piece(key, from + copied, &size);

		if (size == 0)
			return copied;
		memcpy(to + copied, bytes, size);
		copied += size;
	}
}

/*
 * CRC is linear, so keys that differ in few bits would have fingerprints that differ in few ways;
 * the mixing spreads every bit over the low byte.
 * Source: C. Wellons, "Prospecting for hash functions", 2018 (lowbias32).
 */
static uint32_t mix(uint32_t hash)
{
	hash ^= hash >> 16;
	hash *= 0x7feb352du;
	hash ^= hash >> 15;
	hash *= 0x846ca68bu;
	return hash ^ hash >> 16;
}

uint32_t key_hash(struct bwt_slice key)
{
	return mix(crc32c(0, key.data, key.size));
}

uint32_t key_ref_hash(const struct key_ref *key)
{
	uint32_t crc = key->prefix_size != 0 ? crc32c(0, key->prefix, key->prefix_size) : 0;

	return mix(crc32c(crc, key->suffix, key->suffix_size));
}
