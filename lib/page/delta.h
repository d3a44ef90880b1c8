/* SPDX-License-Identifier: MIT */
/*
 * delta.h - the records that are prepended to a page
 *
 * A chain is  mapping slot -> newest delta -> ... -> oldest delta -> base page.
 *
 * Walking a chain costs a cache miss a delta, so every leaf delta carries an index of the whole
 * chain at and below it: the fingerprints (low byte of the key's hash), its own first, newest
 * first, and the offsets of the deltas below it. A lookup reads the newest delta, compares all the
 * fingerprints at once, and goes only to the deltas that match, or straight to the base page.
 *
 *   D1  Everything but lsn_word is final and sealed before the delta is installed.
 *   D2  head.chain = 1 + head.chain of the next older; the base page has 0.
 *   D3  fingerprints[i], older[i-1] describe the i-th newest delta of the chain; i = 0 is this one.
 */
#ifndef BWT_PAGE_DELTA_H
#define BWT_PAGE_DELTA_H

#include "base/atomic.h"
#include "mem/block.h"
#include "page/key.h"

#define DELTA_CHAIN_MAX 64u /* deltas of a chain, at most: nobody prepends beyond (C1) */

/* Stored in deltas and in the entries of leaves. */
enum version_flags {
	VERSION_TOMBSTONE = 1, /* the key was deleted */
	VERSION_VLOG = 2,      /* the value bytes are a struct value_ref */
	VERSION_OLDER = 4,     /* leaf entries only: an older version of the entry before */
	VERSION_LSN = 8, /* leaf entries only: an LSN is stored; else it is 0, visible to all */
};

struct value_ref {        /* where a large value lies in the value log */
	uint32_t segment; /* 0x00  number of the file */
	uint32_t packed; /* 0x04  bytes that are stored, compressed (log/pack.h); 0: the value as it is */
	uint64_t offset; /* 0x08  of the record in the file */
	uint32_t size;   /* 0x10  bytes of the value */
	uint32_t crc;    /* 0x14  CRC32C of what is stored */
};

/** value_ref_stored - bytes of a value in its file, the record's head not counted */
static inline uint32_t value_ref_stored(const struct value_ref *ref)
{
	return ref->packed != 0 ? ref->packed : ref->size;
}

static_assert(sizeof(struct value_ref) == 0x18, "arena and log layout");

struct leaf_delta {                 /* BLOCK_PUT, BLOCK_DELETE */
	struct block_head head;     /* 0x00  flags: enum version_flags */
	_Atomic(uint64_t) lsn_word; /* 0x20  visibility.h; outside the CRC */
	arena_off base;             /* 0x28  the base page under the chain */
	uint32_t hash;              /* 0x30  key_hash() */
	uint32_t value_size;        /* 0x34  bytes stored here: the value, or 24 for a value_ref */
	uint16_t key_size;          /* 0x38 */
	uint16_t reserved[3];       /* 0x3a  zero */
	arena_off older[];          /* 0x40  head.chain - 1 offsets, then head.chain fingerprint
	                               *       bytes, then the key, then the value, then zeroes to 16 */
};

static_assert(sizeof(struct leaf_delta) == 0x40, "arena layout");
#define LEAF_DELTA_WORD_OFF 0x20u /* for block_seal() */

/*
 * BLOCK_INDEX_INSERT: keys in [low, high) are at @child, which is new. BLOCK_INDEX_DELETE: they are at @child, the
 * child to the left of low, and low is no separator any more. BLOCK_INDEX_MERGE: @child, which has these keys, is to
 * be merged into its left neighbour; nothing else changes.
 */
struct index_delta {
	struct block_head head; /* 0x00 */
	arena_off older;        /* 0x20  next older record of the chain */
	arena_off base;         /* 0x28 */
	page_id child;          /* 0x30 */
	uint16_t low_size;      /* 0x38  the separator */
	uint16_t high_size;     /* 0x3a  the next one at that time */
	uint8_t high_infinite;  /* 0x3c  1: no upper bound */
	uint8_t reserved[3];    /* 0x3d  zero */
	uint8_t bytes[];        /* 0x40  low, high, zeroes to 16 */
};

static_assert(sizeof(struct index_delta) == 0x40, "arena layout");

struct version_spec { /* what a leaf delta is made from */
	struct bwt_slice key;
	uint32_t hash;
	const void *value; /* inline bytes, or a struct value_ref */
	uint32_t value_size;
	uint8_t flags; /* VERSION_TOMBSTONE, VERSION_VLOG */
};

/** Bytes of a leaf delta on top of a chain of @chain_below deltas, a multiple of BLOCK_ALIGN. */
size_t leaf_delta_size(const struct version_spec *spec, unsigned chain_below);
/**
 * leaf_delta_build - lay out and seal a delta at @to (leaf_delta_size() bytes, 16-aligned)
 * @below:     the newest record of the page so far (delta or base page), at @below_off
 * @word:      the first value of lsn_word
 * @clock:     log_tail, for head.lsn
 */
void leaf_delta_build(struct leaf_delta *to, const struct version_spec *spec, page_id page,
                      uint32_t tree, const struct block_head *below, arena_off below_off,
                      uint64_t word, uint64_t clock);
struct bwt_slice leaf_delta_key(const struct leaf_delta *delta);
const void *leaf_delta_value(const struct leaf_delta *delta);
const uint8_t *leaf_delta_fingerprints(const struct leaf_delta *delta);

/** Is a block with this tag a delta of an inner page? */
static inline bool tag_is_index(uint8_t tag)
{
	return tag >= BLOCK_INDEX_INSERT && tag <= BLOCK_INDEX_MERGE;
}

/** The record below a delta in its chain. */
arena_off delta_below(const struct block_head *delta);

struct index_spec { /* what an index delta is made from */
	enum block_tag tag;
	struct bwt_slice low;
	struct bwt_slice high; /* data == NULL: no upper bound */
	page_id child;
};

size_t index_delta_size(struct bwt_slice low, struct bwt_slice high);
/** Lay out and seal a delta at @to (index_delta_size() bytes) over @below, the newest record of page @page so far. */
void index_delta_build(struct index_delta *to, const struct index_spec *spec, page_id page,
                       uint32_t tree, const struct block_head *below, arena_off below_off,
                       uint64_t clock);
struct bwt_slice index_delta_low(const struct index_delta *delta);
/** data == NULL: no upper bound. */
struct bwt_slice index_delta_high(const struct index_delta *delta);

#endif
