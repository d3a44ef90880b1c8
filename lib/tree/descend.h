/* SPDX-License-Identifier: MIT */
/*
 * descend.h - from the root to the page that covers a key
 */
#ifndef BWT_TREE_DESCEND_H
#define BWT_TREE_DESCEND_H

#include "tree/tree.h"

struct place { /* a page as one load of its mapping word showed it; good under the pin */
	page_id page;
	uint64_t word;
	const struct base_page *base;
};

/**
 * page_look - the page @page as its word shows it, checked if nobody looked at it since opening (mapping.h M6)
 * Returns: BWT_OK, for a frozen page too; BWT_BUSY: it was merged away: begin anew at the root; BWT_CORRUPT: no such
 *          page, or it is damaged
 * Threads: pinned
 */
int page_look(const struct tree *tree, page_id page, struct place *place);

/**
 * tree_descend - the page of @level that covers @key (@before: the keys just below @key, which is not empty)
 * @level:  0: the leaf
 * @place:  a frozen page only while its left neighbour has not taken its content in: that is what is true then
 * @missing: out, may be NULL: set when a page was reached by a right link only, because a split is not posted
 *          in its parent yet, or when a frozen page was met; writers finish it (split.h, merge.h), readers go
 *          on (G1)
 * Returns: BWT_OK; BWT_NOT_FOUND: the tree has no such level; BWT_CORRUPT: a block is not what its mapping word
 *          promises
 * Threads: pinned
 */
struct missing_child {
	bool found;
	bool frozen;          /* the page is being merged away */
	page_id page;         /* the page that the parent does not know, or that is to go */
	unsigned level;       /* of that page */
	struct bwt_slice low; /* its low fence: bytes in the arena, good under the pin */
};
int tree_descend(const struct tree *tree, struct bwt_slice key, bool before, unsigned level,
                 struct place *place, struct missing_child *missing);

/** tree_descend() to the leaf of @key, by a reader: it hints at quiet pages on its way (heat.h). */
int tree_descend_reading(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                         struct place *place);

struct descent {               /* one of many */
	struct bwt_slice key;  /* in */
	int rc;                /* out: as tree_descend() returns it */
	bool to_leaf;          /* the page to look at next is one */
	page_id page;          /* 0: none */
	const uint8_t *record; /* its newest */
	struct place place;    /* out */
};

/**
 * tree_descend_many - tree_descend_reading() for @count keys, faster than one after the other
 * Threads: pinned
 */
void tree_descend_many(const struct tree *tree, struct epoch_slot *slot, struct descent *descents,
                       unsigned count);

/** The page of @level that has the keys just below @low (not empty), frozen or not: the left neighbour of the one at @low. */
int tree_descend_left(const struct tree *tree, struct bwt_slice low, unsigned level,
                      struct place *place);

/** The rightmost leaf. */
int tree_descend_last(const struct tree *tree, struct place *place);

/** Begin to fetch what a visit of @page (0: nothing) will touch first. */
void page_prefetch(const struct tree *tree, page_id page);

static inline arena_off place_head(const struct place *place)
{
	return mapping_head(place->word);
}

/**
 * Load the page's word again; false: descend anew, for it does not cover @key any more, or is gone or about to go, or
 * was the root and has become an inner page over its halves.
 */
bool place_reload(const struct tree *tree, struct place *place, struct bwt_slice key);

#endif
