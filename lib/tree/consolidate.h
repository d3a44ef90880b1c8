/* SPDX-License-Identifier: MIT */
/*
 * consolidate.h - chain -> new base page, or two
 *
 *   examine   read the chain, drop what nobody can see, lay out the result (pinned, outside the gate)
 *   prepare   room in the arena
 *   install   in one gate section: word unchanged? build, swap, retire the old chain, account
 *
 * A chain with an unresolved word is left alone, or its pending versions are aborted (C1), as @patience says.
 * If the result is too large for a page it is split: see split.h.
 */
#ifndef BWT_TREE_CONSOLIDATE_H
#define BWT_TREE_CONSOLIDATE_H

#include "tree/descend.h"

enum patience {
	LEAVE_PENDING, /* BWT_BUSY when a version is pending */
	ABORT_PENDING, /* back off, then abort it (the chain is at its hard limit) */
};

/**
 * tree_consolidate - replace the chain of @place by fresh base pages; if the page, or a child of it, is being merged
 *                    away, end that merge instead (merge.h, MG1)
 * Returns: BWT_OK; BWT_BUSY: the page changed meanwhile, or LEAVE_PENDING; BWT_FULL, BWT_TOO_BIG (the versions of
 *          one key that snapshots hold do not fit a page), BWT_CORRUPT, -ENOMEM
 * Threads: pinned, not in the gate
 */
int tree_consolidate(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                     enum patience patience, enum extent_urgency urgency);

/**
 * tree_absorb - @place takes in the content of @behind, its right neighbour, which is frozen (merge.h, 2 -> 3)
 * Returns, Threads: as tree_consolidate(), which it is of both in one; inline pending versions are aborted
 */
int tree_absorb(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                const struct place *behind, enum extent_urgency urgency);
/** tree_flatten - the root becomes what @child is, its only one, frozen, which goes (merge.h, 5 -> 6); else the same */
int tree_flatten(struct tree *tree, struct epoch_slot *slot, const struct place *root,
                 const struct place *child, enum extent_urgency urgency);
/** Bytes of entries that would be left of @place and @behind (NULL: nothing) now; SIZE_MAX: a version is pending, or no memory. */
size_t tree_content_bytes(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                          const struct place *behind);

/** Bytes of working memory of at least @size, kept with the slot. NULL: none. Contents are lost at the next call. */
void *slot_scratch(struct epoch_slot *slot, size_t size);

/** Which of the versions of one key (newest first) stay; sets keep[i]; returns their number. Pure. */
unsigned versions_prune(const struct page_entry *versions, unsigned count,
                        const struct horizon *horizon, bool *keep);

/** Prepare the records of the chain of @word for retirement; inside the gate. false: no memory. */
bool chain_touch(const struct tree_env *env, uint64_t word);
/** The chain of @word is unlinked: retire its records. Inside the same gate section. */
void chain_retire(const struct tree_env *env, uint64_t word);

#endif
