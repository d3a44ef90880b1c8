/* SPDX-License-Identifier: MIT */
/*
 * arena.h - the mapped file that holds every block: offsets, extents, growth
 *
 * The arena is cut into extents: 32 of 64 KiB in its first 2 MiB, so that a small store is a small
 * file, then 2 MiB each. Extent 0 holds the two superblocks. Blocks are bumped off chunks of open
 * extents; see extent.h for the accounting.
 */
#ifndef BWT_MEM_ARENA_H
#define BWT_MEM_ARENA_H

#include "base/atomic.h"
#include "mem/block.h"
#include "sys/map.h"

#define EXTENT_SMALL_SIZE ((uint64_t)64 << 10)
#define EXTENT_SIZE ((uint64_t)2 << 20)
#define EXTENT_SMALL_COUNT 32u

#define ARENA_CUTTING                                                                              \
	1u /* a thread makes the file shorter: sizes are multiples of EXTENT_SMALL_SIZE */

typedef uint32_t extent_id;

struct arena {
	struct sys_map map;
	uint8_t *base;             /* map.base: the address of offset 0 */
	_Atomic(uint64_t) size;    /* bytes of the file that are in use; or-ed with ARENA_CUTTING */
	_Atomic(uint32_t) growers; /* threads that let the file grow: it is not cut meanwhile */
	uint64_t max_size;
	int fd;     /* -1 in a private mapping */
	bool fixed; /* private mapping: growing costs memory only */
};

static inline extent_id extent_of(arena_off off)
{
	return off < EXTENT_SIZE ? (extent_id)(off / EXTENT_SMALL_SIZE)
	                         : (extent_id)(off / EXTENT_SIZE) + EXTENT_SMALL_COUNT - 1;
}

static inline arena_off extent_start(extent_id id)
{
	return id < EXTENT_SMALL_COUNT ? id * EXTENT_SMALL_SIZE
	                               : (uint64_t)(id - EXTENT_SMALL_COUNT + 1) * EXTENT_SIZE;
}

static inline uint64_t extent_size(extent_id id)
{
	return id < EXTENT_SMALL_COUNT ? EXTENT_SMALL_SIZE : EXTENT_SIZE;
}

static inline void *arena_at(const struct arena *arena, arena_off off)
{
	return arena->base + off;
}

/**
 * arena_open - map the file @fd (or, with @private, a copy-on-write picture of it)
 * @max_size: address space, rounded up to 2 MiB; larger than the file
 */
int arena_open(struct arena *arena, int fd, uint64_t max_size, bool private);
void arena_close(struct arena *arena);
/**
 * arena_grow - allocate, map and populate up to @size, if the file is smaller
 * @old_size, @new_size: out: the stretch that this call added, if it was the one that did (else equal)
 * Returns: BWT_OK; BWT_FULL (disk or max_size, or who cuts the file was stopped at it); BWT_IO
 * Threads: any; two that grow at once both do the work, one publishes it
 */
int arena_grow(struct arena *arena, uint64_t size, uint64_t *old_size, uint64_t *new_size);
/**
 * arena_shrink - the bytes from @to on are not in use any more; the file stays as it is until arena_cut()
 * @from:   what the size is; all extents behind @to are the caller's
 * Returns: false: the file has grown meanwhile
 * Threads: any
 */
bool arena_shrink(struct arena *arena, uint64_t from, uint64_t to);
/**
 * arena_cut - make the file as short as arena_size() says
 *
 * Neither of the two superblocks may name a larger size then. Who lets the file grow waits meanwhile.
 *
 * Returns: BWT_OK, also when there is nothing to cut; BWT_BUSY: other threads cut it or let it grow; else as ftruncate()
 * Threads: any
 */
int arena_cut(struct arena *arena);
/**
 * arena_return - the blocks under [off, off+len) go back to the file system
 *
 * Nobody reads or writes there before arena_provide(), not after a failure either: a part may have gone.
 *
 * Returns: BWT_OK; -EOPNOTSUPP, -ENOSYS: the file system knows no holes, and nothing went; others as fallocate()
 */
int arena_return(struct arena *arena, arena_off off, uint64_t len);
/** They are there again, mapped and populated. BWT_OK; BWT_FULL; BWT_IO */
int arena_provide(struct arena *arena, arena_off off, uint64_t len);
/** Is any of [off, off+len) without blocks? */
bool arena_has_hole(const struct arena *arena, arena_off off, uint64_t len);
/** Everything stored so far is durable (one sync of the file, or a fence on DAX). */
int arena_sync(struct arena *arena);

static inline uint64_t arena_size(const struct arena *arena)
{
	return atomic_load_explicit(&arena->size, memory_order_acquire) & ~(uint64_t)ARENA_CUTTING;
}

#endif
