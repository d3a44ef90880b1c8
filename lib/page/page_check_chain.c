/* SPDX-License-Identifier: MIT */
/*
 * page_check_chain.c - the rules of whole chains: offsets, links, indexes, order of versions
 *
 * First every record is checked on its own and against the one below it; the count must fall by one
 * a step, so the walk ends whatever the bytes say. Only then are rules looked at that need several
 * records, with the ordinary functions of the layer.
 */
#include "mem/arena.h"
#include "page/chain.h"
#include "page/page_bytes.h"
#include "page/page_check.h"
#include "page/visibility.h"

struct chain_view { /* a chain whose blocks passed page_check_block(), newest first */
	const uint8_t *arena;
	unsigned count;                      /* deltas */
	arena_off offs[DELTA_CHAIN_MAX + 1]; /* offs[count] is the base page */
};

static const struct block_head *block_of(const struct chain_view *view, unsigned index)
{
	return (const struct block_head *)(const void *)(view->arena + view->offs[index]);
}

static const struct leaf_delta *leaf_of(const struct chain_view *view, unsigned index)
{
	return (const struct leaf_delta *)(const void *)block_of(view, index);
}

static const struct index_delta *index_of(const struct chain_view *view, unsigned index)
{
	return (const struct index_delta *)(const void *)block_of(view, index);
}

/* Bytes from @off to the end of its extent or of the arena (B1); 0: no block can be there. */
static uint64_t room_at(uint64_t arena_size, arena_off off)
{
	uint64_t end;

	if (off == 0 || off >= arena_size || off % BLOCK_ALIGN != 0)
		return 0;
	end = extent_start(extent_of(off)) + extent_size(extent_of(off));
	return (end < arena_size ? end : arena_size) - off;
}

/* D2, D3: the delta at @index against the record below it, and the kinds of both. */
static const char *check_link(const struct chain_view *view, unsigned index)
{
	const struct block_head *upper = block_of(view, index), *lower = block_of(view, index + 1);
	bool leaf = !tag_is_index(upper->tag);
	unsigned below = lower->chain;

	if (below + 1u != upper->chain)
		return "delta's place in its chain is not one above the next";
	if (upper->tree != lower->tree)
		return "records of a chain belong to different trees";
	if (upper->lsn < lower->lsn)
		return "delta is older than the record below it";
	if (below == 0)
		return lower->tag == (leaf ? BLOCK_LEAF : BLOCK_INNER)
		               ? NULL
		               : "base page is of the wrong kind";
	if (leaf != (lower->tag == BLOCK_PUT || lower->tag == BLOCK_DELETE) ||
	    (!leaf && !tag_is_index(lower->tag)))
		return "deltas of leaf and inner page in one chain";
	if (!leaf)
		return index_of(view, index)->base == index_of(view, index + 1)->base
		               ? NULL
		               : "deltas of a chain name different base pages";
	if (leaf_of(view, index)->base != leaf_of(view, index + 1)->base)
		return "deltas of a chain name different base pages";
	if (memcmp(leaf_of(view, index)->older + 1, leaf_of(view, index + 1)->older,
	           (below - 1) * sizeof(arena_off)) != 0 ||
	    memcmp(leaf_delta_fingerprints(leaf_of(view, index)) + 1,
	           leaf_delta_fingerprints(leaf_of(view, index + 1)), below) != 0)
		return "delta's index of its chain is wrong";
	return NULL;
}

/* The record below a delta; 0 for other blocks. */
static arena_off below_of(const struct chain_view *view, unsigned index)
{
	const struct block_head *block = block_of(view, index);

	switch (block->tag) {
	case BLOCK_PUT:
	case BLOCK_DELETE:
		return block->chain > 1 ? leaf_of(view, index)->older[0] : leaf_of(view, index)->base;
	case BLOCK_INDEX_INSERT:
	case BLOCK_INDEX_DELETE:
	case BLOCK_INDEX_MERGE:
		return block->chain == 1 && index_of(view, index)->older != index_of(view, index)->base
		               ? 0
		               : index_of(view, index)->older;
	default:
		return 0;
	}
}

/* Read and check every record on its own and its link; each link lowers the count, so it ends. */
static const char *walk_chain(struct chain_view *view, uint64_t arena_size, arena_off head,
                              page_id page, arena_off *bad)
{
	for (unsigned index = 0; index <= DELTA_CHAIN_MAX; index++) {
		arena_off off = index == 0 ? head : below_of(view, index - 1);
		uint64_t room = room_at(arena_size, off);
		const struct block_head *block;
		const char *wrong;

		*bad = off;
		if (room < sizeof *block)
			return "no block can be at this offset";
		view->offs[index] = off;
		block = block_of(view, index);
		wrong = page_check_block(block, room);
		if (wrong != NULL)
			return wrong;
		if (block->page != page)
			return "block belongs to another page";
		if (index != 0) {
			*bad = view->offs[index - 1];
			wrong = check_link(view, index - 1);
			if (wrong != NULL)
				return wrong;
		}
		*bad = off;
		view->count = index;
		if (block->tag == BLOCK_LEAF || block->tag == BLOCK_INNER)
			return NULL;
		if (block->tag == BLOCK_FILLER || block->tag > BLOCK_INDEX_MERGE)
			return "block is no part of a page";
	}
	return "chain is too long";
}

/* I1: among the versions of one key that committed, LSNs fall strictly. */
static const char *check_version_order(const struct chain_view *view, const struct leaf_delta *delta)
{
	struct version_walk walk;
	struct page_entry entry;
	uint64_t newer = UINT64_MAX;

	version_walk_init(&walk, view->arena, view->offs[0], leaf_delta_key(delta), delta->hash);
	while (version_walk_next(&walk, &entry)) {
		if (entry.word != NULL) {
			uint64_t word = atomic_load_explicit(entry.word, memory_order_acquire);

			if (word_state(word) != WORD_COMMITTED)
				continue;
			entry.lsn = word_lsn(word);
		}
		if (entry.lsn >= newer)
			return "versions of a key are out of order";
		newer = entry.lsn;
	}
	return NULL;
}

static const char *check_leaf_chain(const struct chain_view *view, unsigned index, bool resolved)
{
	const struct leaf_delta *delta = leaf_of(view, index);
	struct key_ref key = key_ref_of(leaf_delta_key(delta));
	const struct base_page *base = chain_base(view->arena, view->offs[0]);
	uint64_t word = atomic_load_explicit(&delta->lsn_word, memory_order_acquire);

	if (!base_holds(base, &key))
		return "key lies outside the fences";
	if (resolved && word_state(word) != WORD_COMMITTED && word_state(word) != WORD_ABORTED)
		return "version is neither committed nor aborted";
	return check_version_order(view, delta);
}

/* A child is to go, or goes: one that is there, not the first one, and one at a time. */
static const char *check_index_removal(const struct chain_view *view, unsigned index)
{
	const struct index_delta *delta = index_of(view, index), *begun;
	arena_off below = view->offs[index + 1];
	struct bwt_slice low = index_delta_low(delta);
	bool deletes = delta->head.tag == BLOCK_INDEX_DELETE;
	struct key_ref high, same = key_ref_of(index_delta_high(delta));

	if (!index_has(view->arena, below, low) ||
	    key_compare(low, base_low(chain_base(view->arena, below))) == 0)
		return "the child to be removed is not there, or the first one";
	if (index_search(view->arena, below, low, deletes, NULL) != delta->child)
		return "the child named with a removal is another one";
	begun = index_unfinished(view->arena, below);
	if (deletes != (begun != NULL) || (deletes && key_compare(index_delta_low(begun), low) != 0))
		return "a child is removed without being announced, or beside another one";
	index_search(view->arena, below, low, false, &high);
	return key_ref_compare(&high, &same) == 0
	               ? NULL
	               : "a removal names another range than the child has";
}

static const char *check_index_chain(const struct chain_view *view, unsigned index)
{
	const struct index_delta *delta = index_of(view, index);
	const struct base_page *base = chain_base(view->arena, view->offs[0]);
	struct bwt_slice low = index_delta_low(delta), high = index_delta_high(delta);
	struct key_ref key = key_ref_of(low);

	if (!base_holds(base, &key))
		return "key lies outside the fences";
	if (base->right != 0 && (high.data == NULL || key_compare(high, base_high(base)) > 0))
		return "delta's range goes beyond the page";
	if (delta->head.tag != BLOCK_INDEX_INSERT)
		return check_index_removal(view, index);
	return index_has(view->arena, view->offs[index + 1], low)
	               ? "two children begin at the same key"
	               : NULL;
}

const char *page_check_chain(const uint8_t *arena, uint64_t arena_size, arena_off head,
                             page_id page, bool resolved, arena_off *bad)
{
	struct chain_view view = {.arena = arena};
	const char *wrong = walk_chain(&view, arena_size, head, page, bad);

	/* Oldest first: what lies below a record holds when it is looked at. */
	for (unsigned index = view.count; wrong == NULL && index-- > 0;) {
		*bad = view.offs[index];
		wrong = tag_is_index(block_of(&view, index)->tag)
		                ? check_index_chain(&view, index)
		                : check_leaf_chain(&view, index, resolved);
	}
	return wrong;
}
