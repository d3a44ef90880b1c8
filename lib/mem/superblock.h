/* SPDX-License-Identifier: MIT */
/*
 * superblock.h - identity of a store and the two alternating roots of its checkpoints
 *
 * Two slots, 4096 bytes each, at offsets 0 and 32768 of the arena (extent 0 holds nothing else).
 * Written only after what they name is durable: through the file, never through the mapping, but on DAX,
 * where the mapping is the device.
 */
#ifndef BWT_MEM_SUPERBLOCK_H
#define BWT_MEM_SUPERBLOCK_H

#include "mem/arena.h"

#define SUPERBLOCK_SIZE 4096u
#define SUPERBLOCK_OFF(slot) ((uint64_t)(slot)*32768u)
#define SUPERBLOCK_MAGIC 0x3145524f54535742ull /* "BWSTORE1" */
#define FORMAT_MAJOR 1u                        /* a larger one is refused: BWT_VERSION */
#define FORMAT_MINOR 2u                        /* a larger one is accepted */

enum superblock_feature {   /* stored: bits of features */
	FEATURE_TXNS = 1,   /* records of transactions in the log, open ones in images */
	FEATURE_MERGES = 2, /* pages that merge: two more inner deltas, frozen pages */
	FEATURE_PACKED = 4, /* large values may be compressed */
	FEATURE_LOADS = 8,  /* trees that were loaded: a log record and a state of their own */
};
#define FEATURES_WRITTEN                                                                           \
	((uint64_t)(FEATURE_TXNS | FEATURE_MERGES | FEATURE_PACKED |                               \
	            FEATURE_LOADS)) /* by this library, in every superblock */

struct superblock {
	uint64_t magic;           /* 0x00 */
	uint32_t crc;             /* 0x08  CRC32C of 0x0c..4096 */
	uint16_t major;           /* 0x0c */
	uint16_t minor;           /* 0x0e */
	uint64_t features;        /* 0x10  bits 0-31: unknown ones refused; 32-63: accepted */
	uint64_t store_id;        /* 0x18  random, made at creation; in every log file too */
	uint64_t checkpoint;      /* 0x20  1, 2, 3, ... the larger valid one is the newer */
	uint64_t start_lsn;       /* 0x28  the cut: replay begins here */
	arena_off root;           /* 0x30  BLOCK_IMAGE_ROOT */
	uint64_t arena_size;      /* 0x38  bytes of the file at the cut, at least */
	uint64_t created_ns;      /* 0x40  wall clock, for people */
	uint64_t written_ns;      /* 0x48 */
	uint64_t max_size;        /* 0x50  as given when it was written, for people */
	uint32_t root_size;       /* 0x58  bytes of the root block */
	uint32_t clean;           /* 0x5c  1: written by a clean close, the log ends at start_lsn */
	uint32_t log_incarnation; /* 0x60  clean: of the log that ends there; 0: not said */
	uint8_t reserved[SUPERBLOCK_SIZE - 0x64];
};

static_assert(sizeof(struct superblock) == SUPERBLOCK_SIZE, "arena layout");

/**
 * superblock_read - one slot
 * Returns: BWT_OK; BWT_CORRUPT: not a superblock or damaged; BWT_VERSION: a format that we do not know; BWT_IO
 */
int superblock_read(int fd, unsigned slot, struct superblock *super);
/** Does the checksum match, whatever the version? Every format sums the same bytes. */
bool superblock_matches(int fd, unsigned slot);
/** The newer of the two that check out; BWT_CORRUPT or BWT_VERSION when none does. */
int superblock_newest(int fd, struct superblock *super);
/** Fills in magic, version and CRC, writes, and syncs the file. */
int superblock_write(int fd, unsigned slot, struct superblock *super);
/** The same in a mapped arena: on DAX it is stored and flushed there, as deep as it goes (sys_persist_deep()). */
int superblock_store(const struct arena *arena, unsigned slot, struct superblock *super);

#endif
