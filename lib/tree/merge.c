/* SPDX-License-Identifier: MIT */
/*
 * merge.c - end a merge, in whatever state it is (table and rules MG1 to MG8 in the header); shrink.c begins them
 *
 * Each call of step() looks at the state afresh and makes at most one step; the step's swap fails if the state
 * is not that any more. So the same code serves who began a merge and any number of helpers.
 *
 * Ending a merge of inner pages may need a merge below one of them to be ended first, and so on downwards:
 * bounded by the depth of the tree.
 */
#include "tree/merge.h"

#include <errno.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "tree/consolidate.h"
#include "tree/split.h"

#define FINISH_STEPS_MAX 64u /* looks at the state, lost swaps included */

static int broken(const struct tree *tree, page_id page, const char *what)
{
	return error_set(BWT_CORRUPT, "arena: page %llu of tree %u: %s", (unsigned long long)page,
	                 tree->id, what);
}

static const struct index_delta *unfinished_below(const struct tree *tree, const struct place *place)
{
	return place->base->level == 0 ? NULL
	                               : index_unfinished(tree->env->arena->base, place_head(place));
}

/* 1 -> 2, or -> 5. */
static int freeze(struct tree *tree, struct epoch_slot *slot, const struct place *place)
{
	struct mapping *mapping = tree->env->mapping;

	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
	TEST_YIELD("merge_freeze");
	if (mapping_touch(mapping, place->page))
		mapping_swap(mapping, place->page, place->word,
		             place->word | (uint64_t)MAPPING_FROZEN << 56);
	gate_leave(slot);
	return BWT_BUSY;
}

/* The swap of the parent, and what only its winner does. In the gate. */
static int unlink_in_gate(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                          const struct place *gone, const struct index_spec *spec)
{
	struct tree_env *env = tree->env;
	int rc;

	if (!mapping_touch(env->mapping, gone->page) || !chain_touch(env, gone->word))
		return -ENOMEM;
	TEST_YIELD("merge_unlink");
	rc = tree_prepend_index(tree, slot, parent, spec);
	if (rc < 0)
		return rc;
	TEST_YIELD("merge_remove");
	chain_retire(env, gone->word);
	mapping_remove(env->mapping, gone->page);
	stats_add(env->stats, slot->index, STAT_MERGES, 1);
	return BWT_OK;
}

/* 3 -> 4. */
static int unlink(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                  const struct place *gone, enum extent_urgency urgency)
{
	struct tree_env *env = tree->env;
	struct bwt_slice low = base_low(gone->base);
	struct index_spec spec = {BLOCK_INDEX_DELETE, low, {NULL, 0}, 0};
	int rc = tree_child_end(tree, slot, parent, low, &spec.high);

	if (rc < 0)
		return rc;
	spec.child = index_search(env->arena->base, place_head(parent), low, true, NULL);
	rc = extent_prepare(env->extents, slot, CHUNK_DELTA, index_delta_size(spec.low, spec.high),
	                    urgency);
	if (rc < 0)
		return rc;
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
	rc = unlink_in_gate(tree, slot, parent, gone, &spec);
	gate_leave(slot);
	return rc;
}

/* States 1 to 3 of @gone, which @parent names. */
static int step_below(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                      const struct place *gone, enum extent_urgency urgency)
{
	struct bwt_slice low = base_low(gone->base);
	struct place left;
	int rc;

	if (!mapping_frozen(gone->word)) {
		if (unfinished_below(tree, gone) != NULL)
			return tree_finish_child(tree, slot, gone, urgency);
		return freeze(tree, slot, gone);
	}
	rc = tree_descend_left(tree, low, gone->base->level, &left);
	if (rc < 0)
		return rc == BWT_NOT_FOUND ? BWT_BUSY : rc;
	if (left.base->right != gone->page || TEST_FAULT("merge_no_absorb")) {
		if (mapping_frozen(left.word))
			return BWT_BUSY; /* only after @gone went (MG2) */
		return unlink(tree, slot, parent, gone, urgency);
	}
	if (mapping_frozen(left.word))
		return broken(tree, left.page, "it is to be merged away, and its neighbour too");
	if (unfinished_below(tree, &left) != NULL)
		return tree_finish_child(tree, slot, &left, urgency);
	rc = tree_absorb(tree, slot, &left, gone, urgency);
	return rc == BWT_OK ? BWT_BUSY : rc;
}

/* Up to state 6 of @child, if the root has nothing else. */
static int step_root(struct tree *tree, struct epoch_slot *slot, const struct place *child,
                     enum extent_urgency urgency)
{
	const uint8_t *arena = tree->env->arena->base;
	struct bwt_slice low = base_low(child->base);
	bool frozen = mapping_frozen(child->word);
	struct key_ref high;
	struct place root;
	int rc = page_look(tree, tree->root, &root);

	if (rc < 0)
		return rc;
	if (root.base->level != child->base->level + 1u ||
	    index_search(arena, place_head(&root), low, false, &high) != child->page)
		return BWT_OK;
	if (unfinished_below(tree, &root) != NULL)
		return tree_finish_child(tree, slot, &root, urgency);
	if (key_ref_size(&high) != 0 || child->base->right != 0)
		return frozen ? broken(tree, child->page,
		                       "it is to become the root, and has neighbours")
		              : BWT_OK;
	if (unfinished_below(tree, child) != NULL)
		return frozen ? broken(tree, child->page, "it is frozen with a merge below it")
		              : tree_finish_child(tree, slot, child, urgency);
	if (!frozen)
		return freeze(tree, slot, child);
	rc = tree_flatten(tree, slot, &root, child, urgency);
	if (rc == BWT_OK)
		stats_add(tree->env->stats, slot->index, STAT_MERGES, 1);
	return rc;
}

/* One look, and at most one step. BWT_OK: it is all over; BWT_BUSY: look again. */
static int step(struct tree *tree, struct epoch_slot *slot, const struct missing_child *gone,
                enum extent_urgency urgency)
{
	const struct index_delta *begun;
	struct place page, parent;
	int rc;

	if (!mapping_is_page(mapping_load(tree->env->mapping, gone->page)))
		return BWT_OK;
	rc = page_look(tree, gone->page, &page);
	if (rc < 0)
		return rc == BWT_BUSY ? BWT_OK : rc;
	if (gone->low.size == 0)
		return step_root(tree, slot, &page, urgency);
	rc = tree_descend(tree, gone->low, false, gone->level + 1, &parent, NULL);
	if (rc < 0)
		return rc == BWT_NOT_FOUND ? BWT_OK : rc;
	if (index_search(tree->env->arena->base, place_head(&parent), gone->low, false, NULL) !=
	    gone->page)
		return BWT_OK;
	begun = unfinished_below(tree, &parent);
	if (begun != NULL && begun->child == gone->page && !mapping_frozen(parent.word))
		return step_below(tree, slot, &parent, &page, urgency);
	return mapping_frozen(page.word)
	               ? broken(tree, gone->page, "it is frozen, and its parent does not know")
	               : BWT_OK;
}

int tree_finish_merge(struct tree *tree, struct epoch_slot *slot, const struct missing_child *gone,
                      enum extent_urgency urgency)
{
	int rc = BWT_BUSY;

	for (unsigned steps = 0; steps < FINISH_STEPS_MAX && rc == BWT_BUSY; steps++) {
		TEST_YIELD("merge_step");
		rc = TEST_FAULT("merge_give_up") ? BWT_FULL : step(tree, slot, gone, urgency);
	}
	return rc;
}

int tree_merge_help(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                    enum extent_urgency urgency)
{
	struct missing_child gone = {true, true, place->page, place->base->level,
	                             base_low(place->base)};
	int rc = tree_finish_merge(tree, slot, &gone, urgency);

	return rc == BWT_OK ? BWT_BUSY : rc;
}

int tree_finish_child(struct tree *tree, struct epoch_slot *slot, const struct place *parent,
                      enum extent_urgency urgency)
{
	const struct index_delta *begun =
		index_unfinished(tree->env->arena->base, place_head(parent));
	struct missing_child gone = {true, false, begun->child, parent->base->level - 1u,
	                             index_delta_low(begun)};
	int rc = tree_finish_merge(tree, slot, &gone, urgency);

	return rc == BWT_OK ? BWT_BUSY : rc;
}
