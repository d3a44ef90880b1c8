/* SPDX-License-Identifier: MIT */
/*
 * tree.c - a tree's beginning and end
 */
#include "tree/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "page/visibility.h"
#include "tree/consolidate.h"
#include "tree/merge.h"
#include "tree/split.h"

static void enter_pinned(struct epoch_slot *slot)
{
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
}

void tree_attach(struct tree *tree, struct tree_env *env, uint32_t id, page_id root, uint64_t keys)
{
	memset(tree, 0, sizeof *tree);
	tree->env = env;
	tree->id = id;
	tree->root = root;
	atomic_init(&tree->count[0].keys, (int64_t)keys);
}

uint64_t tree_keys(const struct tree *tree)
{
	int64_t keys = 0;

	for (unsigned i = 0; i < TREE_COUNT_SHARDS; i++)
		keys += atomic_load_explicit(&tree->count[i].keys, memory_order_relaxed);
	return keys < 0 ? 0
	                : (uint64_t)keys; /* shards read at different times may not add up for a moment */
}

int tree_create(struct tree *tree, struct tree_env *env, uint32_t id, struct epoch_slot *slot)
{
	struct page_bounds bounds = {.low = {"", 0}};
	size_t size = leaf_size(NULL, 0, &bounds);
	page_id page;
	arena_off off;
	int rc = extent_prepare(env->extents, slot, CHUNK_LEAF, size, URGENCY_PUT);

	if (rc < 0)
		return rc;
	gate_enter(slot);
	page = mapping_alloc(env->mapping);
	if (page != 0) {
		off = extent_bump(env->extents, slot, CHUNK_LEAF, (uint32_t)size);
		leaf_build(arena_at(env->arena, off), size, NULL, 0, &bounds, page, id,
		           env->clock(env->ctx));
		sys_persist_flush(&env->arena->map, arena_at(env->arena, off), size);
		mapping_set(env->mapping, page, mapping_word(off, 0));
		tree_attach(tree, env, id, page, 0);
	}
	gate_leave(slot);
	epoch_unpin(slot);
	return page != 0 ? BWT_OK : -ENOMEM;
}

/* ---- dropping ---- */

struct child_list { /* the children of one inner page, complete */
	page_id *page;
	unsigned count;
};

static const struct base_page *page_base(const struct tree *tree, uint64_t word)
{
	return chain_base(tree->env->arena->base, mapping_head(word));
}

/* An earlier attempt freed it, or all below it. */
static bool was_dropped(const struct tree *tree, page_id page)
{
	uint64_t word = page < tree->env->mapping->table.capacity
	                        ? mapping_load(tree->env->mapping, page)
	                        : 0;

	return !mapping_is_page(word);
}

/* A child whose right neighbour the parent does not know; missing->found false: the list is complete. */
static int find_missing(const struct tree *tree, const struct base_page *parent,
                        const struct child_list *list, struct missing_child *missing)
{
	missing->found = false;
	for (unsigned i = 0; i < list->count; i++) {
		struct place child, beside;
		const struct base_page *base;
		bool last = i + 1 == list->count;
		int rc;

		if (was_dropped(tree, list->page[i]))
			continue; /* its list was complete before it was dropped */
		rc = page_look(tree, list->page[i], &child);
		if (rc < 0)
			return rc;
		base = child.base;
		if (base->right == 0 || (!last && base->right == list->page[i + 1]))
			continue;
		if (last && parent->right != 0 && key_compare(base_high(base), base_high(parent)) == 0)
			continue;
		*missing = (struct missing_child){true, false, base->right, base->level,
		                                  base_high(base)};
		return page_look(tree, base->right, &beside);
	}
	return BWT_OK;
}

/* The merge of a child that an image cut off is ended first: afterwards each child has keys of its own. */
static int end_merge(struct tree *tree, struct epoch_slot *slot, page_id page)
{
	struct place place;
	int rc = page_look(tree, page, &place);

	if (rc == BWT_OK && index_unfinished(tree->env->arena->base, place_head(&place)) != NULL) {
		rc = tree_finish_child(tree, slot, &place, URGENCY_CARE);
		if (rc == BWT_BUSY)
			rc = page_look(tree, page, &place);
	}
	if (rc == BWT_OK && index_unfinished(tree->env->arena->base, place_head(&place)) != NULL)
		rc = error_set(BWT_CORRUPT, "tree %u, page %llu: the merge of a child does not end",
		               tree->id, (unsigned long long)page);
	return rc;
}

/* All children of inner page @page, merges and splits below it ended first. The caller frees list->page. */
static int list_children(struct tree *tree, struct epoch_slot *slot, page_id page,
                         struct child_list *list)
{
	const uint8_t *arena = tree->env->arena->base;
	int rc = end_merge(tree, slot, page);

	list->page = NULL;
	while (rc == BWT_OK) {
		uint64_t word = mapping_load(tree->env->mapping, page);
		unsigned room = index_child_count(arena, mapping_head(word));
		struct inner_entry *entries = calloc(room, sizeof *entries);
		struct missing_child missing;

		free(list->page);
		list->page = calloc(room, sizeof *list->page);
		if (entries == NULL || list->page == NULL) {
			free(entries);
			rc = -ENOMEM;
			break;
		}
		list->count = index_merge(arena, mapping_head(word), entries);
		for (unsigned i = 0; i < list->count; i++)
			list->page[i] = entries[i].child;
		free(entries);
		rc = find_missing(tree, page_base(tree, word), list, &missing);
		if (rc == BWT_OK && !missing.found)
			return BWT_OK;
		if (rc == BWT_OK)
			rc = tree_post(tree, slot, &missing, URGENCY_CARE);
	}
	free(list->page);
	list->page = NULL;
	return rc;
}

/* The large values that a leaf refers to are let go. Inside the gate. */
static void drop_values(struct tree *tree, uint64_t word, struct page_entry *entries)
{
	unsigned count = chain_merge(tree->env->arena->base, mapping_head(word), entries);

	for (unsigned i = 0; i < count; i++) {
		struct value_ref ref;

		if ((entries[i].flags & VERSION_VLOG) == 0)
			continue;
		if (entries[i].word != NULL &&
		    word_state(atomic_load_explicit(entries[i].word, memory_order_acquire)) !=
		            WORD_COMMITTED)
			continue;
		memcpy(&ref, entries[i].value, sizeof ref);
		tree->env->value_dropped(tree->env->ctx, &ref);
	}
}

/* The page itself goes: its records, its values, its id. Inside the gate. */
static int free_page(struct tree *tree, struct epoch_slot *slot, page_id page)
{
	struct tree_env *env = tree->env;
	uint64_t word = mapping_load(env->mapping, page);

	if (!mapping_touch(env->mapping, page))
		return -ENOMEM;
	if (mapping_is_page(word)) {
		unsigned versions =
			page_base(tree, word)->level == 0
				? chain_version_count(env->arena->base, mapping_head(word))
				: 0;
		struct page_entry *entries = slot_scratch(slot, versions * sizeof *entries + 1);

		if (entries == NULL || !chain_touch(env, word))
			return -ENOMEM;
		if (versions > 0)
			drop_values(tree, word, entries);
		chain_retire(env, word);
	}
	mapping_clear(env->mapping, page);
	return BWT_OK;
}

/* Children of @page, all leaves or dropped, go, and the page is marked: one gate section. */
static int free_children(struct tree *tree, struct epoch_slot *slot, page_id page,
                         const struct child_list *list)
{
	struct tree_env *env = tree->env;
	uint64_t word = mapping_load(env->mapping, page);
	int rc;

	enter_pinned(slot);
	rc = mapping_touch(env->mapping, page) && chain_touch(env, word) ? BWT_OK : -ENOMEM;
	for (unsigned i = 0; i < list->count && rc == BWT_OK; i++)
		if (mapping_load(env->mapping, list->page[i]) != 0)
			rc = free_page(tree, slot, list->page[i]);
	if (rc == BWT_OK) {
		mapping_set(env->mapping, page, (uint64_t)MAPPING_DROPPED << 56);
		chain_retire(env, word);
	}
	gate_leave(slot);
	return rc;
}

/* Everything below @page goes, bottom up; the page itself is left as a leaf or marked dropped. */
static int free_below(struct tree *tree, struct epoch_slot *slot, page_id page, unsigned depth)
{
	struct child_list list;
	struct place place;
	int rc;

	if (was_dropped(tree, page))
		return BWT_OK;
	rc = page_look(tree, page, &place);
	if (rc < 0 || place.base->level == 0)
		return rc;
	if (depth >= TREE_DEPTH_MAX)
		return error_set(BWT_CORRUPT, "tree %u is deeper than %u levels", tree->id,
		                 TREE_DEPTH_MAX);
	rc = list_children(tree, slot, page, &list);
	for (unsigned i = 0; rc == BWT_OK && i < list.count; i++)
		rc = free_below(tree, slot, list.page[i], depth + 1);
	if (rc == BWT_OK && TEST_FAULT("tree_free_cut"))
		rc = BWT_IO;
	if (rc == BWT_OK)
		rc = free_children(tree, slot, page, &list);
	free(list.page);
	return rc;
}

int tree_free(struct tree *tree, struct epoch_slot *slot)
{
	int rc = BWT_OK;

	if (tree->root == 0)
		return BWT_OK;
	epoch_pin(slot);
	rc = free_below(tree, slot, tree->root, 0);
	if (rc == BWT_OK) {
		enter_pinned(slot);
		rc = free_page(tree, slot, tree->root);
		if (rc == BWT_OK)
			tree->root =
				0; /* in the same section, so that no image holds a root that is gone */
		gate_leave(slot);
	}
	epoch_unpin(slot);
	return rc;
}
