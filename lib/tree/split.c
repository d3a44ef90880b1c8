/* SPDX-License-Identifier: MIT */
/*
 * split.c - the second step of a split: the parent learns of the new page (states in the header)
 *
 * Any number of threads may post the same page; all but one find it known. A parent that splits
 * meanwhile is found anew by descending for the separator.
 */
#include "tree/split.h"

#include <errno.h>

#include "base/stats.h"
#include "base/testpoint.h"
#include "tree/consolidate.h"

#define POST_ATTEMPTS_MAX 64u

/* One try to prepend the index delta; inside the gate. */
static int prepend_index(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                         const struct missing_child *missing, struct bwt_slice high, size_t size)
{
	struct tree_env *env = tree->env;
	arena_off off;
	uint64_t word;

	if (mapping_load(env->mapping, parent->page) != parent->word)
		return BWT_BUSY;
	if (!mapping_touch(env->mapping, parent->page))
		return -ENOMEM;
	off = extent_bump(env->extents, slot, CHUNK_DELTA, (uint32_t)size);
	index_delta_build(arena_at(env->arena, off),
	                  &(struct index_spec){ BLOCK_INDEX_INSERT, missing->low, high, missing->page }, parent->page,
	                  tree->id, tree_block(env, place_head(parent)), place_head(parent), env->clock(env->ctx));
	sys_persist_flush(&env->arena->map, arena_at(env->arena, off), size);
	word = mapping_word(off, mapping_chain(parent->word) + 1);
	TEST_YIELD("post_swap");
	if (mapping_swap(env->mapping, parent->page, parent->word, word))
		return BWT_OK;
	extent_unbump(env->extents, slot, CHUNK_DELTA, off);
	stats_add(env->stats, slot->index, STAT_SWAPS_LOST, 1);
	return BWT_BUSY;
}

static int post_once(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                     const struct missing_child *missing, enum extent_urgency urgency)
{
	struct tree_env *env = tree->env;
	uint64_t word = mapping_load(env->mapping, missing->page);
	struct bwt_slice high = base_high(chain_base(env->arena->base, mapping_head(word)));
	size_t size = index_delta_size(missing->low, high);
	int rc = extent_prepare(env->extents, slot, CHUNK_DELTA, size, urgency);

	if (rc < 0)
		return rc;
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
	rc = prepend_index(tree, slot, parent, missing, high, size);
	gate_leave(slot);
	return rc;
}

int tree_post(struct tree *tree, struct epoch_slot *slot, const struct missing_child *missing,
              enum extent_urgency urgency)
{
	int rc = BWT_BUSY;

	for (unsigned attempt = 0; attempt < POST_ATTEMPTS_MAX && rc == BWT_BUSY; attempt++) {
		struct place parent;

		rc = tree_descend(tree, missing->low, false, missing->level + 1, &parent, NULL);
		if (rc < 0)
			return rc;
		if (index_search(tree->env->arena->base, place_head(&parent), missing->low, false, NULL) ==
		        missing->page &&
		    !TEST_FAULT("post_twice"))
			return BWT_OK;
		if (mapping_chain(parent.word) >= tree->env->limits.inner_chain) {
			rc = tree_consolidate(tree, slot, &parent, LEAVE_PENDING, urgency);
			if (rc == BWT_OK)
				rc = BWT_BUSY; /* now there is room for the delta: look again */
			continue;
		}
		rc = post_once(tree, slot, &parent, missing, urgency);
	}
	return rc;
}
