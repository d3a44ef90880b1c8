/* SPDX-License-Identifier: MIT */
/*
 * base_page.h - the sorted, immutable page under a chain
 *
 * Leaf:  header | prefix | fingerprints | heads | entry offsets | entries | low fence, high fence
 * Inner: header | prefix | heads | children | key offsets | keys | fences
 *
 * Keys share @prefix (the common prefix of the keys that are there, not of the fences). A head is the
 * four bytes after the prefix, big-endian, zero-padded, so heads compare as the keys do, ties decided
 * by the rest. A fingerprint is the low byte of key_hash(). The arrays that a lookup touches lie in
 * the first lines of the page.
 *
 *   P1  Entries are sorted by key; versions of one key lie newest first, all but the first flagged
 *       VERSION_OLDER; LSNs fall strictly.
 *   P2  low fence <= every key < high fence; the leftmost page of a level has the empty low fence,
 *       the rightmost no high fence and right == 0; else right != 0.
 *   P3  An inner page has at least one child; child i covers [key i, key i+1). Key 0 is the low fence
 *       and stored only there: child 0 takes whatever lies below key 1, so key 0 has no part in the
 *       prefix, its head is 0 and its suffix empty. (The leftmost page's empty key would make every
 *       prefix empty, and heads of keys that begin alike useless.)
 *   P4  high_head is the head of the high fence if that begins with the prefix, else UINT32_MAX: a
 *       key with the prefix and a smaller head is below the fence, which need not be touched then.
 */
#ifndef BWT_PAGE_BASE_PAGE_H
#define BWT_PAGE_BASE_PAGE_H

#include "mem/block.h"
#include "page/delta.h"
#include "page/key.h"

struct base_page {
	struct block_head head; /* 0x00  BLOCK_LEAF or BLOCK_INNER; chain is 0 */
	page_id right;          /* 0x20  right sibling, 0: none */
	uint32_t count;         /* 0x28  entries (leaf: versions; inner: children) */
	uint16_t level;         /* 0x2c  0: leaf */
	uint16_t prefix_size;   /* 0x2e */
	uint16_t low_size;      /* 0x30 */
	uint16_t high_size;     /* 0x32 */
	uint32_t fences_off;    /* 0x34  low fence, then high fence */
	uint32_t heads_off;     /* 0x38  uint32_t[count], 4-aligned */
	uint32_t slots_off;     /* 0x3c  uint32_t[count]: offsets of entries (inner: of keys) */
	uint32_t keys;         /* 0x40  leaf: keys whose newest version is no tombstone; inner: 0 */
	uint32_t children_off; /* 0x44  inner: uint32_t page ids[count]; leaf: fingerprints[count] */
	uint32_t high_head;    /* 0x48  P4 */
	uint32_t reserved;     /* 0x4c  zero */
	uint8_t bytes[];       /* 0x50  the prefix, ... */
};

static_assert(sizeof(struct base_page) == 0x50, "arena layout");
static_assert(offsetof(struct base_page, bytes) == 0x50, "arena layout");

struct page_entry { /* one version of one key, as lookups, walks and builders hand it around */
	struct key_ref key;
	const void *value;       /* inline bytes or struct value_ref (may be unaligned) */
	uint32_t value_size;     /* stored bytes */
	uint8_t flags;           /* enum version_flags; the builder makes VERSION_LSN from lsn */
	uint64_t lsn;            /* 0: older than every snapshot. Deltas: see word */
	_Atomic(uint64_t) *word; /* the delta's LSN word, NULL for entries of a base page */
};

struct page_bounds { /* key range and neighbour of a page */
	struct bwt_slice low;
	struct bwt_slice high; /* data == NULL: none */
	page_id right;
};

/** Bytes that leaf_build() will need, a multiple of BLOCK_ALIGN; > BLOCK_SIZE_MAX: it does not fit. */
size_t leaf_size(const struct page_entry *entries, unsigned count, const struct page_bounds *bounds);
/** Lay out and seal a leaf at @to; @entries obey P1 and P2 (VERSION_OLDER is derived). */
void leaf_build(struct base_page *to, size_t size, const struct page_entry *entries, unsigned count,
                const struct page_bounds *bounds, page_id page, uint32_t tree, uint64_t clock);

struct inner_entry {
	struct key_ref key;
	page_id child;
};

size_t inner_size(const struct inner_entry *entries, unsigned count,
                  const struct page_bounds *bounds);
void inner_build(struct base_page *to, size_t size, const struct inner_entry *entries,
                 unsigned count, unsigned level, const struct page_bounds *bounds, page_id page,
                 uint32_t tree, uint64_t clock);

struct bwt_slice base_low(const struct base_page *page);
/** data == NULL: no upper bound. */
struct bwt_slice base_high(const struct base_page *page);
/** Is @key below the high fence? (The caller came from the left or from above: low needs no check.) */
bool base_covers(const struct base_page *page, struct bwt_slice key);
void base_bounds(const struct base_page *page, struct page_bounds *bounds);

/** Index of the newest version of @key, or -1. Uses the fingerprints: one line, then the entry. */
int leaf_find(const struct base_page *page, struct bwt_slice key, uint32_t hash);
/** Begin to fetch the entry that leaf_find() will look at first. */
void leaf_fetch_entry(const struct base_page *page, uint32_t hash);
/** Index of the first entry >= @key (count if none). */
unsigned leaf_lower_bound(const struct base_page *page, struct bwt_slice key);
void leaf_entry(const struct base_page *page, unsigned index, struct page_entry *entry);

/** Index of the child that covers @key; with @before: that covers the keys just below @key (@key not empty). */
unsigned inner_search(const struct base_page *page, struct bwt_slice key, bool before);
page_id inner_child(const struct base_page *page, unsigned index);
/**
 * inner_step - the child that covers @key
 * Returns: 0 when header and prefix do not tell that @key is below the high fence, or where among the keys it is: ask
 *          base_covers(), then inner_search()
 */
page_id inner_step(const struct base_page *page, struct bwt_slice key);
void inner_key(const struct base_page *page, unsigned index, struct key_ref *key);

/** The shortest key s with left < s <= right; at most right's size bytes to @to; returns its size. */
uint32_t separator_between(const struct key_ref *left, const struct key_ref *right, uint8_t *to);

#endif
