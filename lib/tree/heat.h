/* SPDX-License-Identifier: MIT */
/*
 * heat.h - readers tell the workers about pages that are read and no longer written, so that these lose their chain
 */
#ifndef BWT_TREE_HEAT_H
#define BWT_TREE_HEAT_H

#include "tree/descend.h"

#define HEAT_SAMPLE 32u /* one read of a chain in so many looks closer; a power of two */

/** heat_sampled - look whether the page has become quiet, and push a hint if so. Pinned */
void heat_sampled(const struct tree *tree, struct epoch_slot *slot, const struct place *place);

/** heat_note - a reader has come to @place: a few instructions, mostly. Pinned */
static inline void heat_note(const struct tree *tree, struct epoch_slot *slot,
                             const struct place *place)
{
	if (mapping_chain(place->word) != 0 && tree->env->work != NULL &&
	    ++slot->heat % HEAT_SAMPLE == 0)
		heat_sampled(tree, slot, place);
}

#endif
