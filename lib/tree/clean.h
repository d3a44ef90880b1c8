/* SPDX-License-Identifier: MIT */
/*
 * clean.h - move the pages that live in one extent, so that all of it can be used again
 *
 * The blocks of an extent say which page and tree they belong to. Whether they still do, the mapping table
 * says: a block is alive if the chain of its page leads over it. Such a page is consolidated, which writes it
 * elsewhere and retires its old records, whatever extents they are in. The extent is only read (design.md
 * section 3: cold extents are never written to).
 */
#ifndef BWT_TREE_CLEAN_H
#define BWT_TREE_CLEAN_H

#include "tree/consolidate.h"

struct cleaner {
	struct tree_env *env;
	/* The tree with this id, kept from being dropped until it is let go; NULL: there is none, or not now.
	 * Called pinned; must not block for long, and may hold a lock between the two, for one page. */
	struct tree *(*tree_hold)(void *ctx, uint32_t id);
	void (*tree_release)(void *ctx, struct tree *tree);
	void *ctx;
	uint64_t free_least;         /* bytes of free extents with which it goes on */
	enum extent_urgency urgency; /* of what it writes */
};

struct clean_result {
	uint64_t pages; /* moved */
	uint64_t bytes; /* of the base pages that were written for that */
	uint64_t left; /* pages that could not be moved now: pending versions, a tree being dropped */
	uint64_t damaged; /* blocks or pages that are not what they should be */
};

/**
 * clean_extent - move every page that lives in a claimed extent (extent_claim())
 * @result: added to
 * Returns: BWT_OK, also when pages were left; BWT_FULL, BWT_IO, -ENOMEM: given up half-way, no harm
 * Threads: not pinned, not in the gate, no locks. Pins for a few pages at a time
 */
int clean_extent(const struct cleaner *cleaner, struct epoch_slot *slot,
                 const struct extent_pick *pick, struct clean_result *result);

#endif
