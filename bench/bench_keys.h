/* SPDX-License-Identifier: MIT */
/*
 * bench_keys.h - the keys and values of record 0, 1, 2, ..., none of which is ever stored here
 *
 * Why: a benchmark of ten million records must find existing keys and check what it reads without
 * a table of its own, whose cache misses would be measured too. So a key is a function of the record
 * number, and a value carries a word that follows from its key.
 *
 *   8 to 23 bytes  ('k' repeated, then) 8 bytes, big-endian: the record number for ordered stores,
 *                  a bijective hash of it for the others
 *   24 or more     "user" and that number in decimal with leading zeros, as YCSB has it
 *
 *   value          word 0: check = mix(last 8 key bytes, version), word 1: version, then filler.
 *                  Values under 16 bytes have version 0 and as much of word 0 as fits.
 */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "bwt.h"

#define KEYS_SIZE_MIN 8
#define KEYS_SIZE_MAX 1024
#define KEYS_TEXT_SIZE 24 /* from here on keys are text */

struct keys {
	bool ordered; /* record numbers are key order */
	uint32_t key_size;
	uint32_t value_size; /* bytes of every value, or of the largest */
	uint32_t value_least; /* 0, or from here up to value_size, as many in each doubling; the key says which */
	uint32_t prefix_size;
	const char *prefix;    /* NULL: as said above */
	unsigned char *filler; /* random bytes, value_size and some more */
};

/**
 * keys_init - choose sizes
 * @key_size: KEYS_SIZE_MIN..KEYS_SIZE_MAX
 * @seed:     of the filler
 * Returns: 0, -ENOMEM
 * Owner:   keys_deinit() frees
 */
int keys_init(struct keys *keys, bool ordered, uint32_t key_size, uint32_t value_size, uint64_t seed);

/**
 * keys_use_prefix - keys are @prefix and the record number in decimal, of equal length, as others have them
 * @prefix: shorter than key_size; kept by the caller
 * Returns: records that such keys can tell apart
 */
uint64_t keys_use_prefix(struct keys *keys, const char *prefix);

void keys_deinit(struct keys *keys);

/** keys_key - write the key of @record to @key, key_size bytes */
void keys_key(const struct keys *keys, uint64_t record, unsigned char *key);

/** keys_value_size - bytes of every value of @key */
uint32_t keys_value_size(const struct keys *keys, const unsigned char *key);

/** keys_total - bytes of the keys and values of records [0, @count) */
uint64_t keys_total(const struct keys *keys, uint64_t count);

/**
 * keys_value - write a value for @key to @value, keys_value_size() bytes
 * @version: any number; tells writes of one key apart
 */
void keys_value(const struct keys *keys, const unsigned char *key, uint64_t version,
                unsigned char *value);

/**
 * keys_check - whether @value is one that keys_value() made for @key
 * Returns: false too when a size is not the one of keys_init()
 */
bool keys_check(const struct keys *keys, struct bwt_slice key, struct bwt_slice value);

#endif
