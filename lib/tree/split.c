/* SPDX-License-Identifier: MIT */
/*
 * split.c - the second step of a split: the parent learns of the new page (states in the header)
 *
 * Any number of threads may post the same page; all but one find it known. A parent that splits
 * meanwhile is found anew by descending for the separator.
 *
 *   SP1  The delta says "up to the next child that the parent knows", not "up to the end of the page": the page
 *        may end before (a further split is to be posted) or behind (it has just taken its right neighbour in,
 *        which the parent still knows).
 *   SP2  A page that is frozen or gone is posted no more: it was known once, for only children that are known
 *        go. Its word is read after the parent's, so that a parent that was swapped is one that knows (ABA).
 */
#include "tree/split.h"

#include <errno.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "tree/consolidate.h"
#include "tree/merge.h"

#define POST_ATTEMPTS_MAX 64u

int tree_prepend_index(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                       const struct index_spec *spec)
{
	struct tree_env *env = tree->env;
	size_t size = index_delta_size(spec->low, spec->high);
	arena_off off;

	if (mapping_load(env->mapping, parent->page) != parent->word || mapping_frozen(parent->word))
		return BWT_BUSY;
	if (!mapping_touch(env->mapping, parent->page))
		return -ENOMEM;
	off = extent_bump(env->extents, slot, CHUNK_DELTA, (uint32_t)size);
	index_delta_build(arena_at(env->arena, off), spec, parent->page, tree->id,
	                  tree_block(env, place_head(parent)), place_head(parent),
	                  env->clock(env->ctx));
	sys_persist_flush(&env->arena->map, arena_at(env->arena, off), size);
	TEST_YIELD("post_swap");
	if (mapping_swap(env->mapping, parent->page, parent->word,
	                 mapping_word(off, mapping_chain(parent->word) + 1)))
		return BWT_OK;
	extent_unbump(env->extents, slot, CHUNK_DELTA, off);
	stats_add(env->stats, slot->index, STAT_SWAPS_LOST, 1);
	return BWT_BUSY;
}

int tree_child_end(const struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                   struct bwt_slice key, struct bwt_slice *high)
{
	struct key_ref bound;
	uint8_t *bytes;

	index_search(tree->env->arena->base, place_head(parent), key, false, &bound);
	*high = (struct bwt_slice){NULL, 0};
	if (key_ref_size(&bound) == 0)
		return BWT_OK;
	bytes = slot_scratch(slot, key_ref_size(&bound));
	if (bytes == NULL)
		return -ENOMEM;
	*high = (struct bwt_slice){bytes, key_ref_copy(&bound, 0, bytes)};
	return BWT_OK;
}

static int post_once(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                     const struct missing_child *missing, enum extent_urgency urgency)
{
	struct tree_env *env = tree->env;
	struct index_spec spec = {BLOCK_INDEX_INSERT, missing->low, {NULL, 0}, missing->page};
	int rc = tree_child_end(tree, slot, parent, missing->low, &spec.high);

	if (rc == BWT_OK)
		rc = extent_prepare(env->extents, slot, CHUNK_DELTA,
		                    index_delta_size(spec.low, spec.high), urgency);
	if (rc < 0)
		return rc;
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
	rc = tree_prepend_index(tree, slot, parent, &spec);
	gate_leave(slot);
	return rc;
}

/* Was it known to the parent, and went (SP2)? @parent was loaded before. */
static bool has_gone(const struct tree *tree, const struct missing_child *missing)
{
	uint64_t word = mapping_load(tree->env->mapping, missing->page);

	return (!mapping_is_page(word) || mapping_frozen(word)) && !TEST_FAULT("post_what_is_gone");
}

/* What keeps @missing from being posted in @parent is cleared away. BWT_OK: nothing does; BWT_BUSY: look again. */
static int clear_way(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                     const struct missing_child *missing, enum extent_urgency urgency)
{
	const uint8_t *arena = tree->env->arena->base;
	arena_off head = place_head(parent);
	unsigned chain = mapping_chain(parent->word);
	int rc;

	if (mapping_frozen(parent->word))
		return tree_merge_help(tree, slot, parent, urgency);
	if (index_has(arena, head, missing->low) && !TEST_FAULT("post_twice")) {
		/* That of a page which is about to go: its left neighbour took it in and split at the same place. */
		if (index_unfinished(arena, head) != NULL)
			return tree_finish_child(tree, slot, parent, urgency);
		return error_set(BWT_CORRUPT, "tree %u: page %llu begins where another does",
		                 tree->id, (unsigned long long)missing->page);
	}
	if (chain < tree->env->limits.inner_chain && chain + INDEX_CHAIN_SPARE < DELTA_CHAIN_MAX)
		return BWT_OK;
	rc = tree_consolidate(tree, slot, parent, LEAVE_PENDING, urgency);
	return rc == BWT_OK ? BWT_BUSY : rc;
}

int tree_post(struct tree *tree, struct epoch_slot *slot, const struct missing_child *missing,
              enum extent_urgency urgency)
{
	int rc = BWT_BUSY;

	for (unsigned attempt = 0; attempt < POST_ATTEMPTS_MAX && rc == BWT_BUSY; attempt++) {
		struct place parent;

		rc = tree_descend(tree, missing->low, false, missing->level + 1, &parent, NULL);
		if (rc == BWT_NOT_FOUND)
			return BWT_OK; /* the tree has shrunk: that level is one page, the root */
		if (rc < 0)
			return rc;
		if (index_search(tree->env->arena->base, place_head(&parent), missing->low, false,
		                 NULL) == missing->page &&
		    !TEST_FAULT("post_twice"))
			return BWT_OK;
		if (has_gone(tree, missing))
			return BWT_OK;
		rc = clear_way(tree, slot, &parent, missing, urgency);
		if (rc == BWT_OK)
			rc = post_once(tree, slot, &parent, missing, urgency);
	}
	return rc;
}
