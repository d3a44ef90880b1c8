/* SPDX-License-Identifier: MIT */
/*
 * rebuild.c - measure and install the pages that replace a chain
 *
 *   R1  Nothing is reachable before the one mapping_swap(); if it is lost, ids and bytes are given back in
 *       the same gate section, as if they had never been taken (G2).
 *   R2  Pieces are built from right to left, so that each right link names a page that is there.
 */
#include "tree/rebuild.h"

#include <errno.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "page/visibility.h"
#include "tree/consolidate.h"

static bool splits_root(const struct rebuild *rebuild)
{
	return rebuild->piece_count > 1 && rebuild->place->page == rebuild->tree->root;
}

static void piece_bounds(const struct rebuild *rebuild, unsigned index, struct page_bounds *bounds)
{
	bool last = index + 1 == rebuild->piece_count;

	bounds->low = rebuild->piece[index].low;
	bounds->high = last ? rebuild->bounds.high : rebuild->piece[index + 1].low;
	bounds->right = last ? rebuild->bounds.right : rebuild->piece[index + 1].page;
}

static void root_entries(const struct rebuild *rebuild, struct inner_entry *entries)
{
	for (unsigned i = 0; i < rebuild->piece_count; i++) {
		entries[i].key = key_ref_of(rebuild->piece[i].low);
		entries[i].child = rebuild->piece[i].page;
	}
}

int rebuild_measure(struct rebuild *rebuild)
{
	for (unsigned i = 0; i < rebuild->piece_count; i++) {
		struct rebuild_piece *piece = &rebuild->piece[i];
		struct page_bounds bounds;

		piece_bounds(rebuild, i, &bounds);
		if (piece->splice.base != NULL)
			piece->size = splice_size(&piece->splice, &bounds);
		else if (rebuild->level == 0)
			piece->size =
				leaf_size(rebuild->entries + piece->first, piece->count, &bounds);
		else
			piece->size =
				inner_size(rebuild->children + piece->first, piece->count, &bounds);
		if (piece->size > BLOCK_SIZE_MAX)
			return error_set(BWT_TOO_BIG,
			                 "tree %u, page %llu: %u versions do not fit a page",
			                 rebuild->tree->id,
			                 (unsigned long long)rebuild->place->page, piece->count);
	}
	rebuild->root_size = 0;
	if (splits_root(rebuild)) {
		struct inner_entry entries[REBUILD_PIECES_MAX];

		root_entries(rebuild, entries);
		rebuild->root_size = inner_size(entries, rebuild->piece_count, &rebuild->bounds);
	}
	return BWT_OK;
}

static enum chunk_kind chunk_kind_of(unsigned level)
{
	return level == 0 ? CHUNK_LEAF : CHUNK_INNER;
}

static struct version_spec carried_spec(const struct page_entry *entry)
{
	struct bwt_slice key = {entry->key.suffix,
	                        entry->key.suffix_size}; /* of a delta: in one piece */

	BWT_ASSERT(entry->key.prefix_size == 0);
	return (struct version_spec){key, key_hash(key), entry->value, entry->value_size,
	                             entry->flags};
}

/* Bytes of all the versions that are carried. */
static size_t carried_bytes(const struct rebuild *rebuild)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < rebuild->carried_count; i++) {
		struct version_spec spec = carried_spec(&rebuild->carried[i]);

		bytes += leaf_delta_size(&spec, DELTA_CHAIN_MAX);
	}
	return bytes;
}

/* Room for all pages in this slot's chunks. */
static int prepare(struct rebuild *rebuild, struct epoch_slot *slot, enum extent_urgency urgency)
{
	struct extents *extents = rebuild->tree->env->extents;
	enum chunk_kind kind = chunk_kind_of(rebuild->level);
	size_t bytes = 0;
	int rc;

	for (unsigned i = 0; i < rebuild->piece_count; i++)
		bytes += rebuild->piece[i].size;
	if (rebuild->root_size != 0 && kind == CHUNK_INNER)
		bytes += rebuild->root_size;
	rc = extent_prepare(extents, slot, kind, bytes, urgency);
	if (rc == BWT_OK && rebuild->root_size != 0 && kind == CHUNK_LEAF)
		rc = extent_prepare(extents, slot, CHUNK_INNER, rebuild->root_size, urgency);
	if (rc == BWT_OK && rebuild->carried_count != 0)
		rc = extent_prepare(extents, slot, CHUNK_DELTA, carried_bytes(rebuild), urgency);
	return rc;
}

/* Give the ids of pieces [@first, piece_count) back. */
static void unalloc(struct rebuild *rebuild, unsigned first)
{
	for (unsigned i = rebuild->piece_count; i-- > first;)
		mapping_unalloc(rebuild->tree->env->mapping, rebuild->piece[i].page);
}

/* Ids for the pieces that need new ones; the others keep the page's. */
static bool alloc_ids(struct rebuild *rebuild)
{
	unsigned first = splits_root(rebuild) ? 0 : 1;

	rebuild->piece[0].page = rebuild->place->page;
	for (unsigned i = first; i < rebuild->piece_count; i++) {
		rebuild->piece[i].page = mapping_alloc(rebuild->tree->env->mapping);
		if (rebuild->piece[i].page != 0)
			continue;
		while (i-- > first)
			mapping_unalloc(rebuild->tree->env->mapping, rebuild->piece[i].page);
		return false;
	}
	return true;
}

static void build_piece(struct rebuild *rebuild, struct epoch_slot *slot, unsigned index,
                        uint64_t clock)
{
	struct tree *tree = rebuild->tree;
	struct rebuild_piece *piece = &rebuild->piece[index];
	unsigned level = rebuild->level;
	struct page_bounds bounds;
	struct base_page *to;

	piece->off =
		extent_bump(tree->env->extents, slot, chunk_kind_of(level), (uint32_t)piece->size);
	to = arena_at(tree->env->arena, piece->off);
	piece_bounds(rebuild, index, &bounds);
	if (piece->splice.base != NULL)
		splice_build(to, piece->size, &piece->splice, &bounds, piece->page, tree->id, clock);
	else if (level == 0)
		leaf_build(to, piece->size, rebuild->entries + piece->first, piece->count, &bounds,
		           piece->page, tree->id, clock);
	else
		inner_build(to, piece->size, rebuild->children + piece->first, piece->count, level,
		            &bounds, piece->page, tree->id, clock);
	sys_persist_flush(&tree->env->arena->map, to, piece->size);
	piece->head = piece->off;
}

/* The carried versions of piece @index, as deltas over its base page. */
static void build_carried(struct rebuild *rebuild, struct epoch_slot *slot, unsigned index,
                          uint64_t clock)
{
	struct tree *tree = rebuild->tree;
	struct tree_env *env = tree->env;
	struct rebuild_piece *piece = &rebuild->piece[index];

	for (unsigned i = 0; i < piece->carried_count; i++) {
		const struct page_entry *entry = &rebuild->carried[piece->first_carried + i];
		struct version_spec spec = carried_spec(entry);
		size_t size = leaf_delta_size(&spec, i);
		arena_off off = extent_bump(env->extents, slot, CHUNK_DELTA, (uint32_t)size);

		leaf_delta_build(arena_at(env->arena, off), &spec, piece->page, tree->id,
		                 tree_block(env, piece->head), piece->head, entry->lsn, clock);
		sys_persist_flush(&env->arena->map, arena_at(env->arena, off), size);
		piece->head = off;
	}
}

/* The copies can be found now. Those whose transaction was decided meanwhile are stamped here (C2). */
static void settle_carried(struct rebuild *rebuild)
{
	struct tree_env *env = rebuild->tree->env;

	/* SEQ_CST: pairs with the fence between an owner's publishing and its search for what to stamp. */
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < rebuild->piece_count && !TEST_FAULT("carry_no_second_look"); i++) {
		const struct rebuild_piece *piece = &rebuild->piece[i];
		arena_off off = piece->head;

		for (unsigned left = piece->carried_count; left > 0; left--) {
			struct leaf_delta *delta = arena_at(env->arena, off);
			uint64_t seen = atomic_load_explicit(&delta->lsn_word, memory_order_relaxed);
			uint64_t word = env->decide(env->ctx, &delta->lsn_word);

			if (word_state(seen) == WORD_DESCRIPTOR && word_state(word) != WORD_PENDING &&
			    atomic_compare_exchange_strong_explicit(&delta->lsn_word, &seen, word,
			                                            memory_order_acq_rel,
			                                            memory_order_relaxed))
				sys_persist_flush(&env->arena->map, &delta->lsn_word,
				                  sizeof delta->lsn_word);
			off = left > 1 ? delta->older[0] : delta->base;
		}
	}
}

static arena_off build_root(struct rebuild *rebuild, struct epoch_slot *slot, uint64_t clock)
{
	struct tree *tree = rebuild->tree;
	struct inner_entry entries[REBUILD_PIECES_MAX];
	arena_off off =
		extent_bump(tree->env->extents, slot, CHUNK_INNER, (uint32_t)rebuild->root_size);

	root_entries(rebuild, entries);
	inner_build(arena_at(tree->env->arena, off), rebuild->root_size, entries,
	            rebuild->piece_count, rebuild->level + 1, &rebuild->bounds, tree->root,
	            tree->id, clock);
	sys_persist_flush(&tree->env->arena->map, arena_at(tree->env->arena, off),
	                  rebuild->root_size);
	return off;
}

/* Where the slot's chunks stood, to give back what was not installed. */
struct chunk_marks {
	arena_off next[CHUNK_KINDS];
};

static struct chunk_marks mark_chunks(const struct epoch_slot *slot)
{
	struct chunk_marks marks;

	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		marks.next[kind] =
			atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed);
	return marks;
}

static void unbump(struct rebuild *rebuild, struct epoch_slot *slot, const struct chunk_marks *marks)
{
	enum chunk_kind kind = chunk_kind_of(rebuild->level);

	extent_unbump(rebuild->tree->env->extents, slot, kind, marks->next[kind]);
	if (rebuild->root_size != 0)
		extent_unbump(rebuild->tree->env->extents, slot, CHUNK_INNER,
		              marks->next[CHUNK_INNER]);
	if (rebuild->carried_count != 0)
		extent_unbump(rebuild->tree->env->extents, slot, CHUNK_DELTA,
		              marks->next[CHUNK_DELTA]);
}

static uint64_t piece_word(const struct rebuild_piece *piece)
{
	return mapping_word(piece->head, piece->carried_count);
}

static bool touch_gone(const struct rebuild *rebuild)
{
	const struct tree_env *env = rebuild->tree->env;

	return rebuild->gone == NULL || (mapping_touch(env->mapping, rebuild->gone->page) &&
	                                 chain_touch(env, rebuild->gone->word));
}

/* Before anybody can find them: their files are in use from here on. */
static bool count_stored(const struct rebuild *rebuild)
{
	const struct tree_env *env = rebuild->tree->env;

	for (unsigned i = 0; i < rebuild->stored_count; i++) {
		if (env->value_stored(env->ctx, &rebuild->stored[i]))
			continue;
		while (i-- > 0)
			env->value_dropped(env->ctx, &rebuild->stored[i]);
		return false;
	}
	return true;
}

static void uncount(const struct tree_env *env, const struct value_ref *refs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		env->value_dropped(env->ctx, &refs[i]);
}

/* Inside the gate. */
static int install(struct rebuild *rebuild, struct epoch_slot *slot)
{
	struct tree_env *env = rebuild->tree->env;
	const struct place *place = rebuild->place;
	struct chunk_marks marks = mark_chunks(slot);
	uint64_t clock = env->clock(env->ctx);
	uint64_t word;

	if (mapping_load(env->mapping, place->page) != place->word || mapping_frozen(place->word))
		return BWT_BUSY;
	if (!mapping_touch(env->mapping, place->page) || !chain_touch(env, place->word) ||
	    !touch_gone(rebuild) || !count_stored(rebuild))
		return -ENOMEM;
	if (!alloc_ids(rebuild)) {
		uncount(env, rebuild->stored, rebuild->stored_count);
		return -ENOMEM;
	}
	for (unsigned i = rebuild->piece_count; i-- > 0;) {
		build_piece(rebuild, slot, i, clock);
		build_carried(rebuild, slot, i, clock);
		if (rebuild->piece[i].page != place->page)
			mapping_set(env->mapping, rebuild->piece[i].page,
			            piece_word(&rebuild->piece[i]));
	}
	word = rebuild->root_size != 0 ? mapping_word(build_root(rebuild, slot, clock), 0)
	                               : piece_word(&rebuild->piece[0]);
	TEST_YIELD("rebuild_swap");
	if (TEST_FAULT("rebuild_retires_first"))
		chain_retire(env, place->word);
	if (!mapping_swap(env->mapping, place->page,
	                  TEST_FAULT("rebuild_over_newer") ? mapping_load(env->mapping, place->page)
	                                                   : place->word,
	                  word)) {
		stats_add(env->stats, slot->index, STAT_SWAPS_LOST, 1);
		if (!TEST_FAULT("rebuild_ids_lost"))
			unalloc(rebuild, splits_root(rebuild) ? 0 : 1);
		unbump(rebuild, slot, &marks);
		uncount(env, rebuild->stored, rebuild->stored_count);
		return BWT_BUSY;
	}
	if (rebuild->carried_count != 0)
		settle_carried(rebuild);
	if (!TEST_FAULT("rebuild_retires_first"))
		chain_retire(env, place->word);
	if (rebuild->gone != NULL) {
		chain_retire(env, rebuild->gone->word);
		mapping_remove(env->mapping, rebuild->gone->page);
	}
	uncount(env, rebuild->dropped, rebuild->dropped_count);
	return BWT_OK;
}

int rebuild_install(struct rebuild *rebuild, struct epoch_slot *slot, enum extent_urgency urgency)
{
	struct stats *stats = rebuild->tree->env->stats;
	int rc = prepare(rebuild, slot, urgency);

	if (rc < 0)
		return rc;
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
	rc = install(rebuild, slot);
	gate_leave(slot);
	if (rc == BWT_OK) {
		stats_add(stats, slot->index, STAT_CONSOLIDATIONS, 1);
		if (rebuild->piece_count > 1)
			stats_add(stats, slot->index, STAT_SPLITS, rebuild->piece_count - 1);
	}
	return rc;
}
