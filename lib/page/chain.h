/* SPDX-License-Identifier: MIT */
/*
 * chain.h - a page as its readers see it: deltas over a base page
 *
 * Nothing here decides visibility: LSN words are handed up, because only the layers above may push,
 * abort or wait. The caller is pinned (epoch.h), so no block that it can reach is reused.
 */
#ifndef BWT_PAGE_CHAIN_H
#define BWT_PAGE_CHAIN_H

#include "page/base_page.h"

/** The base page under any record of a chain (delta or base page itself). */
const struct base_page *chain_base(const uint8_t *arena, arena_off head);

/** The @index-th newest version of a leaf's chain (0: the newest) that lies in a delta; NULL: there are not so many. */
struct leaf_delta *chain_version(const uint8_t *arena, arena_off head, unsigned index);

struct version_walk { /* all versions of one key, newest first */
	const uint8_t *arena;
	struct bwt_slice key;
	uint32_t hash;
	const struct leaf_delta *top; /* NULL when there are no deltas */
	uint64_t matches;             /* bit i: fingerprint i of @top matches, not visited yet */
	const struct base_page *base;
	int entry; /* base entry handed out last; -1: none or exhausted, -2: not searched */
};

/** Begin at @head, the newest record of a leaf's chain. */
void version_walk_init(struct version_walk *walk, const uint8_t *arena, arena_off head,
                       struct bwt_slice key, uint32_t hash);
/**
 * version_walk_fetch - begin to fetch what the first version_walk_next() will read
 * Why:   who walks many pages calls it for all of them, and then waits for little
 */
void version_walk_fetch(const struct version_walk *walk);
/** The next older version; false when there is none. */
bool version_walk_next(struct version_walk *walk, struct page_entry *entry);

/**
 * chain_merge - every version of a leaf in key order, newest first within a key
 * @entries: room for chain_version_count() of them; pointers into the arena
 * Returns: their number. Aborted and pending versions are included, with their words. VERSION_OLDER is
 *          set in each that has the key of the one before it.
 */
unsigned chain_merge(const uint8_t *arena, arena_off head, struct page_entry *entries);
unsigned chain_version_count(const uint8_t *arena, arena_off head);

/**
 * chain_deltas - the versions of a leaf that lie in deltas, with keys >= @low, in key order, newest first within a key
 * @entries: room for DELTA_CHAIN_MAX
 * Returns: their number; VERSION_OLDER is set as by chain_merge(), the base page left aside
 */
unsigned chain_deltas(const uint8_t *arena, arena_off head, struct bwt_slice low,
                      struct page_entry *entries);

/**
 * index_search - the child of an inner page that covers @key (@before: the keys just below it)
 * @high:  out, may be NULL: upper bound of that child's range as this page knows it, in two pieces if
 *         it comes from the base page; size 0: none (an upper bound is never the empty key). Not
 *         needed by plain descents
 */
page_id index_search(const uint8_t *arena, arena_off head, struct bwt_slice key, bool before,
                     struct key_ref *high);
/** Does a child begin at @key, which lies within the page? */
bool index_has(const uint8_t *arena, arena_off head, struct bwt_slice key);
/** The merge of a child that was begun and not finished (tree/merge.h), NULL: none. */
const struct index_delta *index_unfinished(const uint8_t *arena, arena_off head);
/** The last child of the rightmost inner page of a level. */
page_id index_last(const uint8_t *arena, arena_off head);
/** Every child in key order: room for index_child_count(); returns their number. */
unsigned index_merge(const uint8_t *arena, arena_off head, struct inner_entry *entries);
/** Children at most. */
unsigned index_child_count(const uint8_t *arena, arena_off head);

#endif
