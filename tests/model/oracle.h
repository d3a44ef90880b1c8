/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - a store as it must be: sorted arrays in plain memory
 *
 * Values are kept as {seed, size}; their bytes are made when they are needed, so that a model with
 * thousands of large values stays small and copies of it (snapshots) are cheap.
 */
#ifndef BWT_TESTS_ORACLE_H
#define BWT_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bwt.h"

#define ORACLE_TREES 4u /* the main tree is number 0, and always there */

struct oracle_value {
	uint64_t seed;
	uint32_t size;
	bool there; /* false: the key is absent, the rest says nothing */
};

struct oracle_entry {
	uint8_t *key; /* owned, never NULL */
	uint32_t key_size;
	struct oracle_value value; /* there */
};

struct oracle_tree {
	bool there;
	struct oracle_entry *entries; /* ascending, no key twice */
	size_t count, capacity;
};

struct oracle {
	struct oracle_tree trees[ORACLE_TREES];
};

/** oracle_name - name of tree @number, NULL for the main one */
const char *oracle_name(unsigned number);

/** oracle_init - an empty store: the main tree only */
void oracle_init(struct oracle *oracle);
void oracle_copy(struct oracle *to, const struct oracle *from);
void oracle_free(struct oracle *oracle);

/** oracle_clear - empty a tree */
void oracle_clear(struct oracle_tree *tree);

/** oracle_lower - index of the first entry >= @key, count if there is none; *@found: it is @key */
size_t oracle_lower(const struct oracle_tree *tree, struct bwt_slice key, bool *found);

/** oracle_get - what is under @key */
struct oracle_value oracle_get(const struct oracle_tree *tree, struct bwt_slice key);

/** oracle_set - put @value under @key, or remove it when @value is not there */
void oracle_set(struct oracle_tree *tree, struct bwt_slice key, struct oracle_value value);

/** oracle_key - the key of an entry as a slice */
static inline struct bwt_slice oracle_key(const struct oracle_entry *entry)
{
	return (struct bwt_slice){entry->key, entry->key_size};
}

/**
 * oracle_bytes - the bytes of a value
 * Owner:    the oracle; good until the second call after this one
 */
struct bwt_slice oracle_bytes(struct oracle_value value);

/** oracle_same - are these the bytes of @value? */
bool oracle_same(struct oracle_value value, const void *data, size_t size);

#endif
