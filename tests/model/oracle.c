/* SPDX-License-Identifier: MIT */
/* oracle.c - sorted arrays that know what a store must hold */
#include "tests/model/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"

static void *need(void *memory)
{
	if (memory == NULL) {
		fprintf(stderr, "oracle: no memory\n");
		exit(EXIT_FAILURE);
	}
	return memory;
}

const char *oracle_name(unsigned number)
{
	/* A plain name, the longest one, and one with bytes that need care in text. */
	static char names[ORACLE_TREES][BWT_TREE_NAME_MAX + 1] = {"", "names", "", "\t\\\xff tree"};

	if (names[2][0] == '\0')
		memset(names[2], 'n', BWT_TREE_NAME_MAX);
	return number == 0 ? NULL : names[number];
}

void oracle_init(struct oracle *oracle)
{
	memset(oracle, 0, sizeof *oracle);
	oracle->trees[0].there = true;
}

static uint8_t *copy_key(const void *data, size_t size)
{
	uint8_t *key = need(malloc(size + 1));

	if (size != 0)
		memcpy(key, data, size);
	return key;
}

void oracle_copy(struct oracle *to, const struct oracle *from)
{
	*to = *from;
	for (unsigned t = 0; t < ORACLE_TREES; t++) {
		struct oracle_tree *tree = &to->trees[t];
		const struct oracle_entry *entries = tree->entries;

		tree->capacity = tree->count + 1;
		tree->entries = need(calloc(tree->capacity, sizeof *entries));
		for (size_t i = 0; i < tree->count; i++) {
			tree->entries[i] = entries[i];
			tree->entries[i].key = copy_key(entries[i].key, entries[i].key_size);
		}
	}
}

void oracle_clear(struct oracle_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		free(tree->entries[i].key);
	tree->count = 0;
}

void oracle_free(struct oracle *oracle)
{
	for (unsigned t = 0; t < ORACLE_TREES; t++) {
		oracle_clear(&oracle->trees[t]);
		free(oracle->trees[t].entries);
	}
	memset(oracle, 0, sizeof *oracle);
}

static int compare(struct bwt_slice left, struct bwt_slice right)
{
	size_t common = left.size < right.size ? left.size : right.size;
	int order = common == 0 ? 0 : memcmp(left.data, right.data, common);

	if (order != 0)
		return order;
	return left.size < right.size ? -1 : left.size > right.size;
}

size_t oracle_lower(const struct oracle_tree *tree, struct bwt_slice key, bool *found)
{
	size_t low = 0, high = tree->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(oracle_key(&tree->entries[middle]), key);

		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
			*found |= order == 0;
		}
	}
	return low;
}

struct oracle_value oracle_get(const struct oracle_tree *tree, struct bwt_slice key)
{
	bool found;
	size_t at = oracle_lower(tree, key, &found);

	return found ? tree->entries[at].value : (struct oracle_value){0, 0, false};
}

void oracle_set(struct oracle_tree *tree, struct bwt_slice key, struct oracle_value value)
{
	bool found;
	size_t at = oracle_lower(tree, key, &found);
	struct oracle_entry *entry;

	if (!value.there) {
		if (!found)
			return;
		free(tree->entries[at].key);
		tree->count--;
		memmove(&tree->entries[at], &tree->entries[at + 1],
		        (tree->count - at) * sizeof *tree->entries);
		return;
	}
	if (!found) {
		if (tree->count == tree->capacity) {
			tree->capacity = 2 * tree->capacity + 16;
			tree->entries =
				need(realloc(tree->entries, tree->capacity * sizeof *tree->entries));
		}
		entry = &tree->entries[at];
		memmove(entry + 1, entry, (tree->count - at) * sizeof *entry);
		entry->key = copy_key(key.data, key.size);
		entry->key_size = (uint32_t)key.size;
		tree->count++;
	}
	tree->entries[at].value = value;
}

struct bwt_slice oracle_bytes(struct oracle_value value)
{
	static struct {
		uint8_t *bytes;
		size_t capacity;
	} buffers[2];
	static unsigned turn;
	struct rng rng;

	turn ^= 1;
	if (buffers[turn].capacity < value.size + 1) {
		buffers[turn].capacity = 2 * (size_t)value.size + 64;
		buffers[turn].bytes = need(realloc(buffers[turn].bytes, buffers[turn].capacity));
	}
	rng_init(&rng, value.seed);
	rng_fill(&rng, buffers[turn].bytes, value.size);
	for (uint32_t at = 64; value.seed % 3 == 0 && at < value.size; at++)
		buffers[turn].bytes[at] = buffers[turn].bytes[at - 64]; /* can be compressed */
	return (struct bwt_slice){buffers[turn].bytes, value.size};
}

bool oracle_same(struct oracle_value value, const void *data, size_t size)
{
	if (size != value.size)
		return false;
	return size == 0 || memcmp(oracle_bytes(value).data, data, size) == 0;
}
