/* SPDX-License-Identifier: MIT */
/*
 * tree_check.h - the rules of a whole tree, checked page by page, for trees that nobody changes
 *
 *   TC1  From the root every page is reached exactly once: as a child, or by the right link of a page
 *        whose new sibling the parent does not know yet (split.h, state 2).
 *   TC2  The pages of a level, left to right, cover every key without gap or overlap (I5): each begins
 *        where the one before ended, and each links to the next.
 *   TC3  A child is one level below its parent and of the same tree.
 *   TC4  Every chain obeys page_check_chain(); the keys of a leaf lie between its fences, in order, the
 *        versions of a key newest first (I1).
 *   TC5  A frozen page is the child whose removal its parent has announced, or the only child of the root
 *        (merge.h, states 2, 3 and 5). In state 3 its keys are its left neighbour's: it is checked, not counted.
 *
 * A page that breaks a rule is reported and what is below it left out; the walk goes on beside it.
 */
#ifndef BWT_TREE_TREE_CHECK_H
#define BWT_TREE_TREE_CHECK_H

#include "tree/tree.h"

struct tree_fault { /* good during the call only */
	page_id page;
	arena_off off;              /* of the block concerned, 0: none */
	struct bwt_slice low, high; /* keys that are concerned; high.data == NULL: no upper bound */
	const char *text;
};

struct tree_check {
	bool dropping; /* the tree was dropped and is partly freed: children may be gone */
	void (*fault)(void *ctx, const struct tree_fault *fault);
	/** A page is reached; false: not for the first time. */
	bool (*reach)(void *ctx, page_id page);
	/** A block of a sound chain is reached. */
	void (*block)(void *ctx, arena_off off, uint32_t size);
	/** A committed version whose value lies in the value log. */
	void (*large)(void *ctx, page_id page, const struct page_entry *entry,
	              const struct value_ref *ref);
	void *ctx;
	uint64_t keys;  /* out: keys whose newest version is no tombstone */
	uint64_t pages; /* out */
	unsigned depth; /* out: levels */
};

/**
 * tree_check - walk the whole tree
 * Returns: BWT_OK: everything that could be reached was looked at; -ENOMEM
 * Threads: pinned; nobody changes the tree
 */
int tree_check(const struct tree *tree, struct tree_check *check);

#endif
