/* SPDX-License-Identifier: MIT */
/*
 * rebuild.h - put fresh base pages in the place of one chain
 *
 * The common end of consolidation and split: the new content is laid out in pieces, one page each.
 * One piece replaces the page. Several: the first replaces it and links to the others, which get new
 * ids (split.h, state 2); under a root, which never moves, all of them get new ids and the root becomes
 * an inner page over them.
 *
 * Versions of undecided transactions are carried: copied as deltas over the new base pages, for base pages
 * hold final versions only (C2). Who carried one looks at its transaction again after the swap, in the
 * same gate section: it may have been decided, and its versions stamped, before the copy could be found.
 */
#ifndef BWT_TREE_REBUILD_H
#define BWT_TREE_REBUILD_H

#include "page/splice.h"
#include "tree/descend.h"

#define REBUILD_PIECES_MAX 32u
#define LEAF_ENTRY_OVERHEAD                                                                        \
	17u /* bytes of a leaf entry beside key and value: head, slot, fingerprint, sizes */

struct rebuild_piece {
	unsigned first; /* index of its first entry */
	unsigned count;
	unsigned first_carried; /* the same of the versions carried */
	unsigned carried_count;
	struct splice splice; /* of a leaf: what it is made of, instead of entries; base NULL: of entries */
	struct bwt_slice low;
	size_t size; /* bytes of the page; set by rebuild_measure() */
	page_id page;
	arena_off off;  /* of the base page */
	arena_off head; /* of the newest record: the base page, or the last carried version */
};

struct rebuild {
	struct tree *tree;
	const struct place *place; /* whose word is swapped */
	const struct place *gone; /* a frozen page that goes in the same section, NULL: none (merge.h, 6) */
	unsigned level;           /* of the content */
	const struct page_entry *entries;   /* a leaf's content, or */
	const struct inner_entry *children; /* an inner page's */
	const struct page_entry *carried; /* by key, one a key; lsn: the reference that word held */
	unsigned carried_count;
	struct page_bounds bounds; /* of the whole */
	unsigned piece_count;
	struct rebuild_piece piece[REBUILD_PIECES_MAX];
	const struct value_ref *dropped; /* large values that the new content does not refer to any more */
	unsigned dropped_count;
	const struct value_ref *stored; /* and those that the old one did not */
	unsigned stored_count;
	const struct value_move *moves; /* where large values lie now (values.h) */
	unsigned move_count;
	size_t root_size; /* of the new root page, 0: none */
};

/** Sizes of all pages. BWT_TOO_BIG: a piece does not fit a block. */
int rebuild_measure(struct rebuild *rebuild);
/**
 * rebuild_install - in one gate section: swap, retire the old chain, and what is gone
 * Returns: BWT_OK; BWT_BUSY: the page changed since @place was loaded, nothing happened; BWT_FULL, -ENOMEM, BWT_IO
 * Threads: pinned, not in the gate
 */
int rebuild_install(struct rebuild *rebuild, struct epoch_slot *slot, enum extent_urgency urgency);

#endif
