/* SPDX-License-Identifier: MIT */
/*
 * clean.c - walk an extent block by block, and move what is alive
 *
 *   CL1  Bytes of the extent are hints. A block's size only says where to look next, within the extent; page
 *        and tree only say what to ask the mapping table. A page is moved only when its own chain, checked
 *        when it was first met (mapping.h M6), leads over the very offset: damaged or stale bytes cost time.
 *   CL2  The walk goes over bytes that nobody writes (extent_pick.c EP1), under pins that are renewed now and
 *        then; after each the extent must still be the one that was claimed (EP2).
 */
#include "tree/clean.h"

#include <errno.h>

#include "base/error.h"
#include "base/testpoint.h"

#define BLOCKS_PER_PIN 256u /* looked at under one pin */
#define PAGES_PER_PIN 16u   /* moved under one pin */
#define MOVE_TRIES 4u       /* of a page that others change meanwhile */

struct walk {
	const struct cleaner *cleaner;
	struct epoch_slot *slot;
	struct clean_result *result;
	arena_off next, end;
};

/* Does the chain of @word lead over @off? */
static bool chain_holds(const struct tree_env *env, uint64_t word, arena_off off)
{
	arena_off at = mapping_head(word);

	/* Beside the arena: zeroes came in the place of a record (sys/fault.h). */
	for (unsigned left = mapping_chain(word);
	     left > 0 && at != off && at >= EXTENT_SMALL_SIZE && at < arena_size(env->arena); left--)
		at = delta_below(tree_block(env, at));
	return at == off;
}

/* Could @page be alive at @off? The chain is not followed before it was checked. */
static bool may_live(const struct tree_env *env, page_id page, arena_off off)
{
	uint64_t word = page != 0 && page < env->mapping->table.capacity
	                        ? mapping_load(env->mapping, page)
	                        : 0;

	if (!mapping_is_page(word))
		return false;
	return mapping_has(word, MAPPING_UNSEEN) || chain_holds(env, word, off);
}

static uint64_t base_size(const struct tree *tree, page_id page)
{
	struct place place;

	return page_look(tree, page, &place) == BWT_OK ? place.base->head.size : 0;
}

/* The page at @off, if it lives there: consolidated, so that it lives elsewhere. */
static int move_page(struct walk *walk, struct tree *tree, page_id page, arena_off off)
{
	struct place place;
	int rc = BWT_BUSY;

	for (unsigned tries = 0; rc == BWT_BUSY && tries < MOVE_TRIES; tries++) {
		rc = page_look(tree, page, &place);
		if (rc == BWT_BUSY)
			return BWT_OK; /* it was merged away */
		if (rc < 0)
			break;
		if (place.base->head.tree != tree->id || !chain_holds(tree->env, place.word, off))
			return BWT_OK; /* somebody else moved it, or the id has another owner now */
		if (TEST_FAULT("clean_skips"))
			return BWT_OK;
		rc = tree_consolidate(tree, walk->slot, &place, LEAVE_PENDING,
		                      walk->cleaner->urgency);
		if (rc == BWT_OK) {
			walk->result->pages++;
			walk->result->bytes += base_size(tree, page);
		}
	}
	if (rc == BWT_CORRUPT && !may_live(tree->env, page, off))
		return BWT_OK; /* it went while we looked: nothing is wrong */
	if (rc == BWT_CORRUPT)
		walk->result->damaged++;
	else if (rc == BWT_BUSY || rc == BWT_TOO_BIG)
		walk->result->left++;
	return rc == BWT_CORRUPT || rc == BWT_BUSY || rc == BWT_TOO_BIG ? BWT_OK : rc;
}

static int look_at(struct walk *walk, arena_off off)
{
	const struct block_head *block = tree_block(walk->cleaner->env, off);
	struct tree *tree;
	int rc;

	if (block->tag < BLOCK_LEAF || block->tag >= BLOCK_IMAGE_SEGMENT ||
	    !may_live(walk->cleaner->env, block->page, off))
		return BWT_OK;
	tree = walk->cleaner->tree_hold(walk->cleaner->ctx, block->tree);
	if (tree == NULL) {
		walk->result->left++;
		return BWT_OK;
	}
	rc = move_page(walk, tree, block->page, off);
	walk->cleaner->tree_release(walk->cleaner->ctx, tree);
	return rc;
}

/* Size of the block at @off, or 0: what is there is no block. */
static uint64_t block_bytes(const struct walk *walk, arena_off off)
{
	uint64_t room = walk->end - off;
	uint64_t size =
		room < sizeof(struct block_head) ? 0 : tree_block(walk->cleaner->env, off)->size;

	return size < sizeof(struct block_head) || size > room || size % BLOCK_ALIGN != 0 ? 0 : size;
}

/* What one pin is good for. Pinned. */
static int walk_on(struct walk *walk)
{
	uint64_t moved = walk->result->pages;

	for (unsigned i = 0; i < BLOCKS_PER_PIN && walk->next < walk->end; i++) {
		uint64_t size = block_bytes(walk, walk->next);
		int rc;

		if (size == 0) {
			walk->result->damaged++;
			walk->next = walk->end;
			return BWT_OK;
		}
		rc = look_at(walk, walk->next);
		if (rc < 0)
			return rc;
		walk->next += size;
		if (walk->result->pages - moved >= PAGES_PER_PIN)
			break;
	}
	return BWT_OK;
}

int clean_extent(const struct cleaner *cleaner, struct epoch_slot *slot,
                 const struct extent_pick *pick, struct clean_result *result)
{
	struct walk walk = {
		.cleaner = cleaner,
		.slot = slot,
		.result = result,
		.next = extent_start(pick->id),
		.end = extent_start(pick->id) + extent_size(pick->id),
	};
	int rc = BWT_OK;

	while (rc == BWT_OK && walk.next < walk.end) {
		if (extents_usable(cleaner->env->extents) < cleaner->free_least)
			return error_set(BWT_FULL, "arena: too little is free for cleaning");
		epoch_pin(slot);
		if (extent_claimed_lives(cleaner->env->extents, pick))
			rc = walk_on(&walk);
		else
			walk.next = walk.end; /* nothing lives in it any more */
		epoch_unpin(slot);
		TEST_YIELD("clean_pinned_anew");
	}
	return rc;
}
