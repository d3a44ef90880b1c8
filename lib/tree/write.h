/* SPDX-License-Identifier: MIT */
/*
 * write.h - prepend a version to the leaf of its key
 */
#ifndef BWT_TREE_WRITE_H
#define BWT_TREE_WRITE_H

#include "tree/descend.h"

/** Bytes that tree_prepend() may take off the slot's delta chunk: for extent_prepare(). */
size_t tree_prepend_room(const struct version_spec *spec);

/**
 * tree_locate - the leaf for a write of @key: finishes half-done splits and merges on the way, consolidates a chain that
 *               has reached its hard limit
 * Threads: pinned, not in the gate
 * Returns: BWT_OK; BWT_FULL, BWT_CORRUPT, -ENOMEM
 */
int tree_locate(struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                enum extent_urgency urgency, struct place *place);

/**
 * tree_prepend - one attempt to put a version on top of @place; inside the gate
 * @word:  first value of the LSN word
 * @delta: out: the installed delta
 * Returns: BWT_OK; BWT_BUSY: somebody else changed the page first (nothing happened): reload and look again;
 *          -ENOMEM
 */
int tree_prepend(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                 const struct version_spec *spec, uint64_t word, struct leaf_delta **delta);

/** After a write, outside the gate, pinned: consolidate if the chain has become long, or a large value was put; merge if little is left. Failures do no harm. */
void tree_after_write(struct tree *tree, struct epoch_slot *slot, const struct place *place);

#endif
