/* SPDX-License-Identifier: MIT */
/*
 * mapping.h - page id -> newest record of that page; the only compare-and-swap on tree state
 *
 *   word: bits 0-47  offset of the chain head / 16
 *         bits 48-55 deltas in the chain
 *         bits 56-63 enum mapping_mark
 *   0: the id is free.
 *
 *   M1  A word changes only by mapping_swap(), mapping_set() and mapping_clear(), inside the gate (G1),
 *       after mapping_touch().
 *   M2  A record is final and sealed before a word can reach it.
 *   M3  The thread whose swap unlinks records retires them, exactly once, in the same gate section (G2).
 *   M4  Words are read, and their records followed, only by a pinned thread.
 *   M5  An id that was freed is handed out again only after every thread that was pinned then is gone,
 *       so a word seen under one pin means one page (no ABA).
 *   M6  Who first comes to a page that was there at opening checks its whole chain and takes the mark
 *       MAPPING_UNSEEN off the word, by mapping_seen(). That is no change in the sense of M1: with and
 *       without it the word means the same, and an image holds it without.
 *   M7  A page that is FROZEN never changes again; its word does once more, when the page goes (merge.h).
 *   M8  The word of a page that went by a merge is MAPPING_REMOVED until its id is free: who still comes
 *       to it begins anew at the root. An image holds 0 there already, so that the change to 0 at the end
 *       is no change in the sense of M1.
 */
#ifndef BWT_TREE_MAPPING_H
#define BWT_TREE_MAPPING_H

#include "mem/cow_table.h"
#include "mem/epoch.h"

#define PAGE_ID_MAX 0xffffffffull /* inner pages store 32 bits */

enum mapping_mark { /* bits; stored in images where nothing else is said */
	MAPPING_PAGE = 0,
	MAPPING_DROPPED = 1, /* an inner page of a dropped tree whose children are freed: offset 0 */
	MAPPING_UNSEEN =
		2, /* never stored: a page that was there at opening and was not checked yet (M6) */
	MAPPING_FROZEN = 4,  /* a page that is being merged away (M7) */
	MAPPING_REMOVED = 8, /* never stored: it was merged away (M8): offset 0 */
};

struct mapping {
	struct cow_table table;
	struct epoch *epoch;
	_Alignas(64) _Atomic(uint64_t) next_id;  /* ids at or above it were never used */
	_Alignas(64) _Atomic(uint64_t) free_ids; /* stack: tag << 32 | id; links in `links` */
	_Alignas(64) _Atomic(uint64_t) limbo; /* stack of ids that wait for their epoch, in the same form */
	_Atomic(uint32_t) *links;             /* reserved memory, one per id: next on its stack */
	uint64_t *died;            /* reserved memory, one per id: epoch at which it was freed */
	_Atomic(uint64_t) used;    /* ids in use */
	_Atomic(uint64_t) removed; /* calls of mapping_remove() */
};

int mapping_init(struct mapping *mapping, struct epoch *epoch, uint64_t capacity,
                 const _Atomic(uint64_t) *interval);
void mapping_deinit(struct mapping *mapping);

static inline uint64_t mapping_word(arena_off head, unsigned chain)
{
	return head / BLOCK_ALIGN | (uint64_t)chain << 48;
}

static inline arena_off mapping_head(uint64_t word)
{
	return (word & (((uint64_t)1 << 48) - 1)) * BLOCK_ALIGN;
}

static inline unsigned mapping_chain(uint64_t word)
{
	return (unsigned)(word >> 48 & 0xff);
}

static inline enum mapping_mark mapping_mark(uint64_t word)
{
	return (enum mapping_mark)(word >> 56);
}

static inline bool mapping_has(uint64_t word, unsigned marks)
{
	return (word >> 56 & marks) != 0;
}

/** Is there a page, frozen or not? */
static inline bool mapping_is_page(uint64_t word)
{
	return word != 0 && !mapping_has(word, MAPPING_DROPPED | MAPPING_REMOVED);
}

static inline bool mapping_frozen(uint64_t word)
{
	return mapping_has(word, MAPPING_FROZEN);
}

/** A word as an image holds it: without what is never stored. */
static inline uint64_t mapping_stored(uint64_t word)
{
	return mapping_has(word, MAPPING_REMOVED) ? 0 : word & ~((uint64_t)MAPPING_UNSEEN << 56);
}

/** ACQUIRE: the records that the word reaches are visible; pairs with the release in mapping_swap(). */
static inline uint64_t mapping_load(const struct mapping *mapping, page_id page)
{
	return cow_load(&mapping->table, page);
}

/** Prepare @page for change in this gate section. false: no memory. */
static inline bool mapping_touch(struct mapping *mapping, page_id page)
{
	return cow_touch(&mapping->table, page);
}

/** Make @next the word of @page if it is still @seen, which is not frozen. mapping_touch() was called in this section. */
bool mapping_swap(struct mapping *mapping, page_id page, uint64_t seen, uint64_t next);
/** Take the mark MAPPING_UNSEEN off @word, if it is still the word of @page; returns the word without it. Any thread. */
uint64_t mapping_seen(struct mapping *mapping, page_id page, uint64_t word);
/** First word of an id that nobody else knows yet. */
void mapping_set(struct mapping *mapping, page_id page, uint64_t word);

/** A free id, touched. In the gate. 0: none left or no memory. */
page_id mapping_alloc(struct mapping *mapping);
/** Give back an id that was never reachable. Same gate section. */
void mapping_unalloc(struct mapping *mapping, page_id page);
/** The page is unreachable: its word becomes 0, the id waits out its epoch. In the gate, touched. */
void mapping_clear(struct mapping *mapping, page_id page);
/** The same, in a tree that is in use: the word becomes MAPPING_REMOVED. By the one thread that took the page off its parent. */
void mapping_remove(struct mapping *mapping, page_id page);
/** Outside the gate, now and then: ids whose epoch has passed become free. */
void mapping_reclaim(struct mapping *mapping);
/** Opening, alone: after cow_restore() of all segments; ids below @next_id with word 0 are free. */
void mapping_finish(struct mapping *mapping, uint64_t next_id);

#endif
