/* SPDX-License-Identifier: MIT */
/*
 * split.h - pages that became too large
 *
 * | state                                        | reader                  | writer                       |
 * | 1 P holds [low, high)                        | reads P                 | writes P                     |
 * | 2 P holds [low, sep) and links to Q, which   | keys >= sep: right link | the same, and posts Q to the |
 * |   holds [sep, high); the parent knows only P |                         | parent first (helping)       |
 * | 3 the parent knows both                      | reads P or Q            | writes P or Q                |
 *
 * 1 -> 2 is one swap of P's word: P's left half as a fresh base page, with Q's base page made in the
 * same gate section. (The papers prepend a split delta; since P is consolidated at that moment
 * anyway, its left half is at hand, and a delta type, a kind of chain and a rule less are needed.)
 * 2 -> 3 is one swap of the parent's word (BLOCK_INDEX_INSERT); who finds Q known already has been helped.
 * The root never moves: its halves go to two new ids, and its word is swapped to an inner page over them.
 *
 * Tests, in tests/unit/tree/test_split.c, and scenarios of tests/sched:
 *
 * | 1 -> 2 | threads_that_split_the_same_pages_lose_nothing                        | split/get, split while pending (C1) |
 * | 2      | readers_see_everything_in_the_second_state, a_writer_that_comes_by_   | split/split, scan/split, cut/split  |
 * |        | ends_the_second_state, nobody_waits_for_a_thread_stopped_between_     |                                     |
 * |        | the_two_steps, a_store_without_space_for_the_post_stays_in_the_       |                                     |
 * |        | second_state, a_tree_with_no_split_posted_at_all_still_has_every_key  |                                     |
 * | 2 -> 3 | a_split_is_posted_by_who_made_it, posting_twice_is_posting_once,      | parent split                        |
 * |        | a_parent_full_of_deltas_is_consolidated_first                         |                                     |
 * | root   | a_root_that_splits_stays_the_root                                     | root split                          |
 */
#ifndef BWT_TREE_SPLIT_H
#define BWT_TREE_SPLIT_H

#include "tree/descend.h"

/**
 * tree_post - tell the parent about @missing
 * Returns: BWT_OK: it knows now, or knew it and let it go; BWT_FULL, BWT_CORRUPT, -ENOMEM, BWT_BUSY (again and again
 *          somebody else was first): state 2 stays, which is harmless
 * Threads: pinned, not in the gate
 */
int tree_post(struct tree *tree, struct epoch_slot *slot, const struct missing_child *missing,
              enum extent_urgency urgency);

#define INDEX_CHAIN_SPARE                                                                          \
	2u /* deltas that a chain of a parent must have room for, beyond the next: to end a merge */

/**
 * tree_prepend_index - one attempt to put an index delta on top of @parent
 * Returns: BWT_OK; BWT_BUSY: somebody else changed it first; -ENOMEM
 * Threads: inside the gate, after extent_prepare()
 */
int tree_prepend_index(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                       const struct index_spec *spec);
/** Where the child of @parent that covers @key ends, as @parent knows it: bytes in the slot's scratch memory. -ENOMEM */
int tree_child_end(const struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                   struct bwt_slice key, struct bwt_slice *high);

#endif
