/* SPDX-License-Identifier: MIT */
/*
 * block.h - the header that every block of the arena begins with
 *
 * A block is sealed (its CRC computed) before anything can reach it. The one word that changes
 * later, the LSN word of a delta, lies outside the CRC and carries a check of its own.
 *
 *   B1  A block never crosses an extent, begins at a multiple of 16, and its size is a multiple of 16.
 *   B2  The tag says what it is; nothing is recognised by guessing.
 */
#ifndef BWT_MEM_BLOCK_H
#define BWT_MEM_BLOCK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_ALIGN 16u
#define BLOCK_SIZE_MAX (1u << 20) /* bytes; a leaf of one largest key with its two fences fits */

typedef uint64_t arena_off; /* bytes from the start of the arena; 0 is none */
typedef uint64_t page_id;   /* index into the mapping table; 0 is none */

enum block_tag {                /* stored: append, never renumber */
	BLOCK_FILLER = 1,       /* closes a chunk; no content */
	BLOCK_LEAF = 2,         /* base page of a leaf: page/base_page.h */
	BLOCK_INNER = 3,        /* base page of an inner node */
	BLOCK_PUT = 4,          /* leaf delta: page/delta.h */
	BLOCK_DELETE = 5,       /* leaf delta: tombstone */
	BLOCK_INDEX_INSERT = 6, /* inner delta: one more child */
	BLOCK_INDEX_DELETE = 7, /* inner delta: one child less, its left neighbour has its keys */
	BLOCK_INDEX_MERGE =
		8, /* inner delta: a child is to go (tree/merge.h); searches pass over it */
	BLOCK_IMAGE_SEGMENT = 16, /* checkpoint: 512 slots of a table */
	BLOCK_IMAGE_DIRECTORY = 17,
	BLOCK_IMAGE_ROOT = 18,
};

struct block_head {
	uint32_t crc;   /* 0x00  CRC32C of bytes 4..size, the LSN word of deltas left out */
	uint32_t size;  /* 0x04  bytes of the whole block, this head included */
	uint8_t tag;    /* 0x08  enum block_tag */
	uint8_t flags;  /* 0x09  meaning by tag */
	uint16_t chain; /* 0x0a  deltas from here down to the base page; 0 in a base page */
	uint32_t tree;  /* 0x0c  tree id, 0 where there is none */
	page_id page;   /* 0x10  page id; image blocks: table and segment number */
	uint64_t lsn; /* 0x18  log_tail when it was made: the newest block of a page has the largest */
};

static_assert(sizeof(struct block_head) == 0x20, "arena layout");

/**
 * block_seal - fill in the CRC; every other byte is final
 * @skip_off: offset of 8 bytes to leave out, 0 for none
 */
void block_seal(struct block_head *block, uint32_t skip_off);
/** block_valid - size is sane and at most @room, tag is known, CRC matches (@skip_off as above, by tag) */
bool block_valid(const struct block_head *block, size_t room);

#endif
