/* SPDX-License-Identifier: MIT */
/*
 * scan.h - one leaf at a time, copied out, for ordered walks in both directions
 *
 * A walk holds no pin between leaves: it keeps a private copy of what it saw of one leaf and the
 * fences, and goes on from the fence (G3).
 */
#ifndef BWT_TREE_SCAN_H
#define BWT_TREE_SCAN_H

#include "tree/descend.h"

struct scan_entry {
	struct key_ref key;  /* into the leaf copy */
	const void *value;   /* inline bytes or a struct value_ref, into the leaf copy */
	uint32_t value_size; /* stored bytes */
	uint8_t flags;       /* VERSION_VLOG or 0 */
};

struct leaf_copy { /* zeroed = empty; buffers are kept from leaf to leaf */
	struct scan_entry *entries;
	unsigned count;
	unsigned capacity;
	uint8_t *bytes;
	size_t bytes_capacity;
	struct bwt_slice low; /* all that lies between low and high is there: fences of the leaf, into bytes, */
	struct bwt_slice high; /* or the key that a copy began with; data == NULL: none */
	page_id right;         /* the leaf behind it then; 0: none */
};

/**
 * The answer to "which of these versions (newest first, same key) does this reader see?": index, or -1: none.
 * May push pending versions (txn layer).
 */
typedef int (*version_choice)(void *ctx, struct page_entry *versions, unsigned count);

/**
 * tree_copy_leaf - what a reader sees of the leaf that covers @key (@before: the keys just below it)
 * Threads: pinned
 * Returns: BWT_OK (possibly with no entries); BWT_CORRUPT; -ENOMEM
 */
int tree_copy_leaf(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                   bool before, version_choice choose, void *ctx, struct leaf_copy *copy);
/** The same, but of that leaf only the keys >= @key: for a walk to the right. */
int tree_copy_leaf_from(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                        version_choice choose, void *ctx, struct leaf_copy *copy);
/** The same for the leaf behind @copy; @key: its high fence, in memory of the caller's. Mostly without a descent. */
int tree_copy_next_leaf(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                        version_choice choose, void *ctx, struct leaf_copy *copy);
/** The rightmost leaf. */
int tree_copy_last_leaf(const struct tree *tree, struct epoch_slot *slot, version_choice choose,
                        void *ctx, struct leaf_copy *copy);
void leaf_copy_free(struct leaf_copy *copy);

#endif
