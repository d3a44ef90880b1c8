/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_format.h - bytes of a checkpoint image
 *
 *   superblock --> root part 0 --> root part 1 ...     what the store was at the cut
 *                     |
 *                     +--> directories of table 0, 1, 2 --> segments: 512 words of a table each
 *
 * Every block carries a CRC and is found only through the root (I9). An image shares the segments and
 * directories that did not change with the last but one, never with the last: so no block is part of
 * both retained images, and damage to one block costs one image at most (I11). The price is that what
 * changed is written twice. A root belongs to one image. Blocks lie in extents of kind EXTENT_IMAGE
 * and are never moved.
 *
 * The parts of a root, laid one after another, hold:
 *
 *   struct image_state
 *   struct image_chunk [chunk_count]
 *   arena_off directory[...] of table 0, then of 1, then of 2: image_directories(segment_count[i]) each
 *   tree_count times: struct image_tree, the name, zeroes up to a multiple of 8
 *   struct image_txn [txn_count]
 */
#ifndef BWT_RECOVERY_CHECKPOINT_FORMAT_H
#define BWT_RECOVERY_CHECKPOINT_FORMAT_H

#include "mem/block.h"
#include "mem/cow_table.h"
#include "mem/epoch.h"

enum image_table {         /* stored: number of a table in an image */
	IMAGE_MAPPING = 0, /* page id -> mapping word */
	IMAGE_EXTENTS = 1, /* extent -> kind and live bytes; those of kind EXTENT_IMAGE mean nothing */
	IMAGE_VALUES = 2, /* value-log file -> live bytes */
	IMAGE_TABLES = 3,
};

#define IMAGE_DIRECTORY_SEGMENTS 1024u   /* segments that one directory block lists */
#define IMAGE_ROOT_BYTES_MAX (32u << 10) /* payload bytes of one root part */
#define IMAGE_ROOT_PARTS_MAX 65536u      /* 2 GiB of root: a million trees with the longest names */
#define IMAGE_TREES_MAX (1u << 20)
#define IMAGE_VALUE_FILES_MAX (1u << 26) /* numbers of value-log files: 4 EiB of 64 MiB each */

/** head.page of segments and directories: which table, which one of it. */
static inline page_id image_block_name(enum image_table table, uint64_t number)
{
	return (uint64_t)table << 56 | number;
}

static inline uint64_t image_directories(uint64_t segment_count)
{
	return (segment_count + IMAGE_DIRECTORY_SEGMENTS - 1) / IMAGE_DIRECTORY_SEGMENTS;
}

struct image_segment {          /* BLOCK_IMAGE_SEGMENT; size says how many words: the rest are 0 */
	struct block_head head; /* 0x00 */
	uint64_t words[];       /* 0x20  an even number, 2 to 512 */
};

struct image_directory {        /* BLOCK_IMAGE_DIRECTORY; size says how many: the rest are 0 */
	struct block_head head; /* 0x00 */
	arena_off segments[]; /* 0x20  an even number, 2 to 1024; 0: all words of that segment are 0 */
};

struct image_root {             /* BLOCK_IMAGE_ROOT; head.page: number of the part, from 0 */
	struct block_head head; /* 0x00 */
	uint64_t checkpoint;    /* 0x20  number, as in the superblock */
	arena_off next;         /* 0x28  the next part; 0: this is the last */
	uint32_t next_size;     /* 0x30  bytes of the next part */
	uint32_t bytes_size;    /* 0x34  bytes used of bytes[] */
	uint8_t bytes[];        /* 0x38  zeroes up to head.size */
};

struct image_state {                /* the store at the cut */
	uint64_t start_lsn;         /* 0x00  the cut */
	uint64_t next_page;         /* 0x08  page ids at or above were never used */
	uint64_t extent_count;      /* 0x10  of the file */
	uint64_t value_file;        /* 0x18  value-log files with larger numbers did not exist */
	uint64_t open[CHUNK_KINDS]; /* 0x20  struct extents.open: extent << 32 | bytes handed out */
	uint64_t segment_count[IMAGE_TABLES]; /* 0x38 */
	uint32_t next_tree;                   /* 0x50  tree ids at or above were never used */
	uint32_t tree_count;                  /* 0x54 */
	uint32_t chunk_count;                 /* 0x58 */
	uint32_t txn_count; /* 0x5c  transactions whose versions may be half-way: image_txn */
};

struct image_chunk {    /* a chunk that was open at the cut: what lies in it is not in the image */
	arena_off next; /* 0x00 */
	arena_off end;  /* 0x08 */
};

struct image_txn {          /* a descriptor in use at the cut (K1) */
	uint64_t ref;       /* 0x00  LSN word of its versions */
	uint64_t lsn;       /* 0x08  of its commit, below the cut; 0: not committed then */
	uint64_t first_lsn; /* 0x10  of its first part in the log; 0: none */
};

struct image_tree {
	uint32_t id;          /* 0x00 */
	uint32_t state;       /* 0x04  enum catalog_state */
	page_id root;         /* 0x08 */
	uint64_t keys;        /* 0x10 */
	uint16_t name_size;   /* 0x18  0: the main tree and the catalogue */
	uint16_t reserved[3]; /* 0x1a  zero */
};

static_assert(CHUNK_KINDS == 3, "image layout");
static_assert(sizeof(struct image_segment) == 0x20, "arena layout");
static_assert(sizeof(struct image_directory) == 0x20, "arena layout");
static_assert(sizeof(struct image_root) == 0x38, "arena layout");
static_assert(sizeof(struct image_state) == 0x60, "arena layout");
static_assert(sizeof(struct image_chunk) == 0x10, "arena layout");
static_assert(sizeof(struct image_tree) == 0x20, "arena layout");
static_assert(sizeof(struct image_txn) == 0x18, "arena layout");
static_assert(sizeof(struct image_segment) + COW_SEGMENT_WORDS * 8 <= BLOCK_SIZE_MAX, "blocks");

#endif
