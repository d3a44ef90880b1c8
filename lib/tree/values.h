/* SPDX-License-Identifier: MIT */
/*
 * values.h - large values that a leaf refers to, and where they were moved
 */
#ifndef BWT_TREE_VALUES_H
#define BWT_TREE_VALUES_H

#include "tree/rebuild.h"

struct value_move { /* of a large value: a copy of it lies elsewhere */
	struct value_ref from, to;
};

struct found_value {
	struct value_ref ref;
	uint32_t hash; /* of the key */
};

/**
 * tree_find_values - references in a leaf, older and undecided versions included, that @wanted says yes to
 * @found:  out, room for @room, sorted by value_ref_compare(); more may be there
 * Returns: their number, or -ENOMEM
 * Threads: pinned
 */
int tree_find_values(const struct tree *tree, struct epoch_slot *slot, const struct place *place,
                     bool (*wanted)(void *ctx, const struct value_ref *ref), void *ctx,
                     struct found_value *found, unsigned room);

/**
 * tree_move_values - tree_consolidate() of a leaf, after which what referred to moves[i].from refers to moves[i].to
 * @moves:  sorted by value_ref_compare() of from. Versions that are undecided, or were dropped, or lie in
 *          another page by now are passed over: nothing then refers to the copy
 * Returns, Threads: as tree_consolidate() with LEAVE_PENDING; BWT_BUSY also for a page that was being merged away
 */
int tree_move_values(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                     const struct value_move *moves, unsigned count);

/** By file and place; for qsort() and bsearch() of what begins with a struct value_ref. */
int value_ref_compare(const void *a, const void *b);

/**
 * values_relocate - let @entries refer to where rebuild->moves say that their values lie
 * @dropped: rebuild's, has room: what is not referred to any more
 * @stored:  the same for what is, and was not
 */
void values_relocate(struct rebuild *rebuild, struct page_entry *entries, unsigned count,
                     struct value_ref *dropped, struct value_ref *stored);

#endif
