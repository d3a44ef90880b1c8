/* SPDX-License-Identifier: MIT */
/*
 * walk.h - a position among what one snapshot sees of a tree, moved in both directions
 *
 * It holds a private copy of what is seen of one leaf, never a pin (G3), and goes on from the fence of
 * its copy, so leaves may split beneath it: the snapshot keeps what it must see, and every key has one
 * leaf (I5). A copy stays true as long as the snapshot is held, so going back to a key in it costs no descent.
 *
 * One thread at a time.
 */
#ifndef BWT_DB_WALK_H
#define BWT_DB_WALK_H

#include "txn/read.h"

struct walk { /* zeroed but for store, tree and lsn: without a position */
	struct store *store;
	const struct tree *tree;
	uint64_t lsn;    /* S; whoever walks keeps its slot */
	uint64_t newest; /* out: end of the newest version seen */
	unsigned index;  /* after BWT_OK: copy.entries[index] is the entry */
	bool loaded;     /* copy is whole */
	uint64_t loads;  /* copies made so far: which one this is */
	struct leaf_copy copy;
	struct bwt_buf target; /* the key that a move starts from */
};

/*
 * walk_* - go to an entry
 * Returns: BWT_OK; BWT_NOT_FOUND: none in that direction; BWT_CORRUPT, BWT_IO, BWT_BUSY, -ENOMEM
 * Threads: not pinned; keys may lie in the walk's own copy
 */
/** First entry with a key >= @key (> @key with @above). */
int walk_right(struct walk *walk, struct bwt_slice key, bool above);
/** Last entry with a key < @key (<= @key with @included). */
int walk_left(struct walk *walk, struct bwt_slice key, bool included);
/** The last entry. */
int walk_last(struct walk *walk);
/** The entry of @key. */
int walk_exact(struct walk *walk, struct bwt_slice key);
/** Over the end of the copy to the neighbour of the entry it stands on. */
int walk_next_leaf(struct walk *walk);
int walk_prev_leaf(struct walk *walk);

static inline bool walk_has_next(const struct walk *walk) /* in its copy */
{
	return walk->index + 1 < walk->copy.count;
}

/** The neighbours of the entry it stands on. */
static inline int walk_next(struct walk *walk)
{
	if (!walk_has_next(walk))
		return walk_next_leaf(walk);
	walk->index++;
	return BWT_OK;
}

static inline int walk_prev(struct walk *walk)
{
	if (walk->index == 0)
		return walk_prev_leaf(walk);
	walk->index--;
	return BWT_OK;
}

static inline const struct scan_entry *walk_entry(const struct walk *walk)
{
	return &walk->copy.entries[walk->index];
}

void walk_free(struct walk *walk);

/** @bytes into @buf; BWT_OK, -ENOMEM */
int buf_set(struct bwt_buf *buf, struct bwt_slice bytes);

static inline struct bwt_slice buf_slice(const struct bwt_buf *buf)
{
	return (struct bwt_slice){buf->data, buf->size};
}

#endif
