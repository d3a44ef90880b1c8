/* SPDX-License-Identifier: MIT */
/*
 * write.c - prepend a version to the leaf of its key
 *
 * Who changes a page first wins; the loser looks again, because the winner may have written the same
 * key or split the leaf away from it.
 */
#include "tree/write.h"

#include <errno.h>
#include <string.h>

#include "base/stats.h"
#include "base/testpoint.h"
#include "tree/consolidate.h"
#include "tree/merge.h"
#include "tree/split.h"

#define BIG_CHAIN_MAX                                                                              \
	4u /* deltas below a big one, at most: bounds the bytes that a rebuild must place */
#define BIG_DELTA ((size_t)8 << 10)

size_t tree_prepend_room(const struct version_spec *spec)
{
	return leaf_delta_size(spec, DELTA_CHAIN_MAX);
}

/* Bytes of the newest delta; 0 when there is none. */
static size_t top_size(const struct tree *tree, const struct place *place)
{
	return mapping_chain(place->word) == 0 ? 0 : tree_block(tree->env, place_head(place))->size;
}

/* The chain is so long, or of such large deltas, that nobody may prepend before it is consolidated. */
static bool chain_is_full(const struct tree *tree, const struct place *place)
{
	unsigned chain = mapping_chain(place->word);

	return chain >= DELTA_CHAIN_MAX ||
	       (chain >= BIG_CHAIN_MAX && top_size(tree, place) >= BIG_DELTA);
}

int tree_locate(struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                enum extent_urgency urgency, struct place *place)
{
	bool helped = false;

	for (;;) {
		struct missing_child missing;
		int rc = tree_descend(tree, key, false, 0, place, &missing);

		if (rc < 0)
			return rc;
		if (mapping_frozen(place->word)) {
			rc = tree_merge_help(tree, slot, place, URGENCY_CARE);
			if (rc < 0 && rc != BWT_BUSY)
				return rc;
			continue;
		}
		if (missing.found && !helped) {
			/* Failing (a full disk, a lost race) is no reason not to write: links lead here. */
			if (missing.frozen)
				tree_finish_merge(tree, slot, &missing, URGENCY_CARE);
			else
				tree_post(tree, slot, &missing, urgency);
			helped = true;
			continue;
		}
		if (!chain_is_full(tree, place))
			return BWT_OK;
		rc = tree_consolidate(tree, slot, place, ABORT_PENDING, urgency);
		if (rc < 0 && rc != BWT_BUSY)
			return rc;
	}
}

int tree_prepend(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                 const struct version_spec *spec, uint64_t word, struct leaf_delta **delta)
{
	struct tree_env *env = tree->env;
	unsigned chain = mapping_chain(place->word);
	size_t size = leaf_delta_size(spec, chain);
	arena_off off;

	if (chain_is_full(tree, place) || mapping_frozen(place->word))
		return BWT_BUSY;
	if (!mapping_touch(env->mapping, place->page))
		return -ENOMEM;
	off = extent_bump(env->extents, slot, CHUNK_DELTA, (uint32_t)size);
	leaf_delta_build(arena_at(env->arena, off), spec, place->page, tree->id,
	                 tree_block(env, place_head(place)), place_head(place), word,
	                 env->clock(env->ctx));
	sys_persist_flush(&env->arena->map, arena_at(env->arena, off), size);
	TEST_YIELD("prepend_swap");
	if (mapping_swap(env->mapping, place->page, place->word, mapping_word(off, chain + 1))) {
		*delta = arena_at(env->arena, off);
		return BWT_OK;
	}
	if (!TEST_FAULT("prepend_bytes_lost"))
		extent_unbump(env->extents, slot, CHUNK_DELTA, off);
	stats_add(env->stats, slot->index, STAT_SWAPS_LOST, 1);
	return BWT_BUSY;
}

/* Deletes came for about every version of a leaf: no further one may come to make its chain long. */
static bool may_be_emptied(const struct tree *tree, const struct place *place)
{
	return tree_block(tree->env, place_head(place))->tag == BLOCK_DELETE &&
	       place->page != tree->root && place->base->level == 0 &&
	       mapping_chain(place->word) >= 2 && mapping_chain(place->word) >= place->base->count;
}

/* What a value of that size replaces is dropped now: of few keys, whole files of the value log would live in chains. */
static bool is_large_put(const struct tree *tree, const struct place *place)
{
	const struct block_head *head = tree_block(tree->env, place_head(place));
	struct value_ref ref;

	if (tree->env->limits.large_value == 0 || head->tag != BLOCK_PUT ||
	    (head->flags & VERSION_VLOG) == 0)
		return false;
	memcpy(&ref, leaf_delta_value((const struct leaf_delta *)head), sizeof ref);
	return value_ref_stored(&ref) >= tree->env->limits.large_value;
}

void tree_after_write(struct tree *tree, struct epoch_slot *slot, const struct place *place)
{
	const struct tree_limits *limits = &tree->env->limits;
	struct place now = *place;
	unsigned chain;

	now.word = mapping_load(tree->env->mapping, place->page);
	chain = mapping_chain(now.word);
	if (mapping_mark(now.word) != MAPPING_PAGE || chain == 0)
		return;
	now.base = chain_base(tree->env->arena->base, place_head(&now));
	if (chain < limits->leaf_chain &&
	    chain * top_size(tree, &now) <= 2 * (size_t)limits->leaf_bytes &&
	    !may_be_emptied(tree, &now) && !is_large_put(tree, &now))
		return;
	/* Not of need: the last of the reserve is for cleaning and images. */
	if (tree_consolidate(tree, slot, &now, LEAVE_PENDING, URGENCY_DELETE) == BWT_OK)
		tree_shrink(tree, slot, now.page);
}
