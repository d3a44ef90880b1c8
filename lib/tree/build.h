/* SPDX-License-Identifier: MIT */
/*
 * build.h - fill a new tree from sorted entries, leaf after leaf
 *
 * Entries gather in memory; now and then the last leaf of the tree is replaced by full leaves and a last one, in one
 * swap (rebuild.h), which are posted as the halves of a split are. So the tree is whole at any instant, and a cut finds
 * nothing that it does not reach.
 *
 *   BU1  Nobody else changes the tree: it has no name, and neither cleaning nor collection look at it.
 *   BU2  What the last leaf holds is in memory too, and is built again with what comes.
 */
#ifndef BWT_TREE_BUILD_H
#define BWT_TREE_BUILD_H

#include "tree/tree.h"

struct tree_build;

/** tree_build_new - @tree is empty and used by nobody else. Returns: BWT_OK; -ENOMEM */
int tree_build_new(struct tree *tree, struct tree_build **out);
/** What was added stays in the tree, as far as it was flushed. */
void tree_build_free(struct tree_build *build);

/** Does @key come behind all that were added? */
bool tree_build_follows(const struct tree_build *build, struct bwt_slice key);
/**
 * tree_build_add - one entry behind all others
 * @key, @value: copied; @flags: VERSION_VLOG: @value is a struct value_ref, which is counted when it is in the tree
 * Returns: BWT_OK; BWT_FULL, BWT_IO, BWT_TOO_BIG, -ENOMEM: it was not added, and all before it still are
 * Threads: one at a time with @slot, not pinned
 */
int tree_build_add(struct tree_build *build, struct epoch_slot *slot, struct bwt_slice key,
                   struct bwt_slice value, uint8_t flags);
/** All that was added is in the tree, and counted. Returns, Threads: as tree_build_add() */
int tree_build_flush(struct tree_build *build, struct epoch_slot *slot);

#endif
