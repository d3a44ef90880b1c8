/* SPDX-License-Identifier: MIT */
/*
 * shrink.c - which pages are merged, and when
 *
 * Looked at are pages that have just become smaller: a leaf after its consolidation, the parent of a page that
 * went, and where two inner pages became one, the two children at the seam, which had different parents
 * before. So a tree that is emptied in any order ends as one leaf, each page being looked at after its last
 * change and after each change of who its neighbours are.
 */
#include <errno.h>

#include "base/testpoint.h"
#include "tree/consolidate.h"
#include "tree/merge.h"
#include "tree/split.h"

#define SHRINK_MERGES_MAX 16u /* of one call */
#define BEGIN_ATTEMPTS_MAX 4u
#define RECLAIM_EVERY 64u /* merges: ids out of limbo */

struct shrinker {
	struct tree *tree;
	struct epoch_slot *slot;
	unsigned left; /* of SHRINK_MERGES_MAX */
};

static size_t limit_of(const struct tree *tree, unsigned level)
{
	return level == 0 ? tree->env->limits.leaf_bytes : tree->env->limits.inner_bytes;
}

/* A quick look: could less than a quarter of the limit be left of the page? Deltas may have emptied it. */
static bool may_be_small(const struct tree *tree, const struct place *place)
{
	return place->base->level > 0 || mapping_chain(place->word) > 0 ||
	       place->base->head.size <= limit_of(tree, 0) / 2;
}

static bool is_small(const struct shrinker *shrinker, const struct place *place)
{
	size_t limit = limit_of(shrinker->tree, place->base->level) / 4;

	return may_be_small(shrinker->tree, place) &&
	       tree_content_bytes(shrinker->tree, shrinker->slot, place, NULL) < limit;
}

static bool fit_together(const struct shrinker *shrinker, const struct place *left,
                         const struct place *right)
{
	size_t limit = limit_of(shrinker->tree, left->base->level) / 4 * 3;

	if (mapping_chain(left->word) == 0 && left->base->head.size > limit + limit / 8)
		return false;
	return tree_content_bytes(shrinker->tree, shrinker->slot, left, right) <= limit;
}

/* 0 -> 1 of merge.h: announce that child @gone of @parent is to go. In the gate after room was made. */
static int announce(struct shrinker *shrinker, const struct place *parent, const struct place *gone)
{
	struct tree *tree = shrinker->tree;
	struct epoch_slot *slot = shrinker->slot;
	struct index_spec spec = {BLOCK_INDEX_MERGE, base_low(gone->base), {NULL, 0}, gone->page};
	unsigned chain = mapping_chain(parent->word);
	int rc;

	if (chain >= tree->env->limits.inner_chain ||
	    chain + 1 + INDEX_CHAIN_SPARE >= DELTA_CHAIN_MAX) {
		rc = tree_consolidate(tree, slot, parent, LEAVE_PENDING, URGENCY_CARE);
		return rc == BWT_OK ? BWT_BUSY : rc;
	}
	rc = tree_child_end(tree, slot, parent, spec.low, &spec.high);
	if (rc == BWT_OK)
		rc = extent_prepare(tree->env->extents, slot, CHUNK_DELTA,
		                    index_delta_size(spec.low, spec.high), URGENCY_CARE);
	if (rc < 0)
		return rc;
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
	TEST_YIELD("merge_announce");
	rc = tree_prepend_index(tree, slot, parent, &spec);
	gate_leave(slot);
	return rc;
}

/* The neighbours under @parent that are to become one, of which @place is one. false: none. */
static bool choose(const struct shrinker *shrinker, const struct place *parent,
                   const struct place *place, struct place *left, struct place *gone)
{
	const struct tree *tree = shrinker->tree;
	const uint8_t *arena = tree->env->arena->base;
	arena_off head = place_head(parent);
	struct bwt_slice low = base_low(place->base), high = base_high(place->base);

	*gone = *place;
	if (key_compare(low, base_low(parent->base)) != 0 &&
	    tree_descend_left(tree, low, place->base->level, left) == BWT_OK &&
	    !mapping_frozen(left->word) && left->base->right == place->page &&
	    index_search(arena, head, low, true, NULL) == left->page &&
	    fit_together(shrinker, left, place))
		return true;
	*left = *place;
	return place->base->right != 0 && base_covers(parent->base, high) &&
	       index_search(arena, head, high, false, NULL) == place->base->right &&
	       page_look(tree, place->base->right, gone) == BWT_OK && !mapping_frozen(gone->word) &&
	       key_compare(base_low(gone->base), high) == 0 && fit_together(shrinker, place, gone);
}

/* Merge the page of @level that covers @key with a neighbour, if it is small. @seam: out: where R began. */
static int merge_once(struct shrinker *shrinker, struct bwt_slice key, unsigned level,
                      struct bwt_slice *seam)
{
	struct tree *tree = shrinker->tree;
	struct place place, parent, left, gone;
	int rc = tree_descend(tree, key, false, level, &place, NULL);

	if (rc < 0)
		return rc;
	if (mapping_frozen(place.word))
		return tree_merge_help(tree, shrinker->slot, &place, URGENCY_CARE);
	if (place.page == tree->root || !is_small(shrinker, &place))
		return BWT_NOT_FOUND;
	rc = tree_descend(tree, base_low(place.base), false, level + 1, &parent, NULL);
	if (rc < 0)
		return rc;
	if (mapping_frozen(parent.word))
		return tree_merge_help(tree, shrinker->slot, &parent, URGENCY_CARE);
	if (index_unfinished(tree->env->arena->base, place_head(&parent)) != NULL &&
	    !TEST_FAULT("merge_two_at_once"))
		return tree_finish_child(tree, shrinker->slot, &parent, URGENCY_CARE);
	if (index_search(tree->env->arena->base, place_head(&parent), base_low(place.base), false,
	                 NULL) != place.page ||
	    !choose(shrinker, &parent, &place, &left, &gone))
		return BWT_NOT_FOUND;
	rc = announce(shrinker, &parent, &gone);
	if (rc == BWT_OK) {
		struct missing_child missing = {true, false, gone.page, level, base_low(gone.base)};

		*seam = missing.low;
		rc = tree_finish_merge(tree, shrinker->slot, &missing, URGENCY_CARE);
	}
	return rc;
}

static void shrink_at(struct shrinker *shrinker, struct bwt_slice key, unsigned level)
{
	unsigned failures = 0;

	while (shrinker->left > 0 && failures < BEGIN_ATTEMPTS_MAX) {
		struct bwt_slice seam = key;
		int rc = merge_once(shrinker, key, level, &seam);

		if (rc == BWT_BUSY) {
			failures++;
			continue;
		}
		if (rc < 0)
			return;
		shrinker->left--;
		key = seam; /* now within the page that is left */
		if (level > 0)
			shrink_at(shrinker, seam, level - 1);
		shrink_at(shrinker, seam, level + 1);
	}
}

/* Roots above a single page. */
static void lower_root(struct shrinker *shrinker)
{
	const struct tree *tree = shrinker->tree;

	for (; shrinker->left > 0; shrinker->left--) {
		struct missing_child child = {true, false, 0, 0, {"", 0}};
		struct key_ref high;
		struct place root;

		if (page_look(tree, tree->root, &root) != BWT_OK || root.base->level == 0)
			return;
		child.page = index_search(tree->env->arena->base, place_head(&root), child.low,
		                          false, &high);
		child.level = root.base->level - 1u;
		if (key_ref_size(&high) != 0 ||
		    tree_finish_merge(shrinker->tree, shrinker->slot, &child, URGENCY_CARE) != BWT_OK ||
		    mapping_is_page(mapping_load(tree->env->mapping, child.page)))
			return; /* others are at it, or it has a neighbour that is not posted */
	}
}

void tree_shrink(struct tree *tree, struct epoch_slot *slot, page_id page)
{
	struct mapping *mapping = tree->env->mapping;
	struct shrinker shrinker = {tree, slot, SHRINK_MERGES_MAX};
	struct place place;

	if (page == tree->root || page_look(tree, page, &place) != BWT_OK ||
	    !may_be_small(tree, &place))
		return;
	shrink_at(&shrinker, base_low(place.base), place.base->level);
	if (shrinker.left < SHRINK_MERGES_MAX)
		lower_root(&shrinker);
	if (shrinker.left < SHRINK_MERGES_MAX &&
	    atomic_load_explicit(&mapping->removed, memory_order_relaxed) % RECLAIM_EVERY <
	            SHRINK_MERGES_MAX)
		mapping_reclaim(mapping);
}
