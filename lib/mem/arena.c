/* SPDX-License-Identifier: MIT */
/*
 * arena.c - the mapped file and its growth
 *
 * Growing is idempotent work (allocate, populate) followed by one CAS of the size, so threads that
 * grow at once need no lock: all of them do the work, one of them publishes it and owns the stretch.
 *
 * The file becomes shorter in two steps, because the superblocks on disk name its size:
 *
 *   in use [0, a) --arena_shrink(b)--> in use [0, b), file [0, a) --two checkpoints--> --arena_cut()--> file [0, b)
 *
 *   AR1  Between the steps the file may grow again: its blocks are still there, and the cut leaves them.
 *   AR2  Who cuts sets ARENA_CUTTING and goes on when nobody grows; who grows counts himself and goes on when nobody
 *        cuts. Both seq_cst (Dekker). So nothing that was allocated is cut off before it is in use.
 */
#include "mem/arena.h"

#include <errno.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "sys/file.h"
#include "sys/thread.h"

#define CUT_PATIENCE_NS ((uint64_t)1000 * 1000 * 1000) /* for who cuts the file: one system call */
#define CUT_LOOK_NS ((uint64_t)1000 * 1000)

#define PRIVATE_GROWTH_MAX ((uint64_t)64 << 30) /* bytes of address space beyond the file */

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

int arena_open(struct arena *arena, int fd, uint64_t max_size, bool private)
{
	uint64_t size;
	int rc = sys_file_size(fd, &size);

	if (rc < 0)
		return rc;
	/* A picture grows in memory only, by what a replay writes. */
	if (private)
		max_size = size + (max_size < PRIVATE_GROWTH_MAX ? max_size : PRIVATE_GROWTH_MAX);
	arena->max_size = round_up(max_size > size ? max_size : size, SYS_MAP_ALIGN);
	rc = sys_map_open(fd, arena->max_size, private ? SYS_MAP_PRIVATE : 0, &arena->map);
	if (rc < 0)
		return rc;
	arena->base = arena->map.base;
	arena->fd = private ? -1 : fd;
	arena->fixed = private;
	atomic_init(&arena->growers, 0);
	/* A file that ends inside an extent was cut short, or its growth was: that extent is not there. */
	atomic_init(&arena->size,
	            size - size % (size < EXTENT_SIZE ? EXTENT_SMALL_SIZE : EXTENT_SIZE));
	return BWT_OK;
}

void arena_close(struct arena *arena)
{
	sys_map_close(&arena->map);
}

/* Counted, with nobody cutting (AR2). BWT_FULL: somebody does, and does not come to an end. */
static int grow_begin(struct arena *arena, uint64_t *size)
{
	uint64_t deadline = 0;

	for (;;) {
		_Atomic(uint32_t) never = 0;

		atomic_fetch_add_explicit(&arena->growers, 1, memory_order_seq_cst);
		*size = atomic_load_explicit(&arena->size, memory_order_seq_cst);
		if ((*size & ARENA_CUTTING) == 0)
			return BWT_OK;
		atomic_fetch_sub_explicit(&arena->growers, 1, memory_order_release);
		if (deadline == 0)
			deadline = sys_now_ns() + CUT_PATIENCE_NS;
		else if (sys_now_ns() >= deadline)
			return error_set(BWT_FULL,
			                 "arena: a thread that makes the file shorter was stopped");
		sys_park(&never, 0, CUT_LOOK_NS);
	}
}

static int grow_to(struct arena *arena, uint64_t seen, uint64_t size, uint64_t *new_size)
{
	int rc;

	if (size > arena->max_size)
		return error_set(BWT_FULL, "arena: %llu bytes would exceed max_size, %llu bytes",
		                 (unsigned long long)size, (unsigned long long)arena->max_size);
	BWT_ASSERT(size % EXTENT_SMALL_SIZE == 0);
	rc = arena_provide(arena, seen, size - seen);
	if (rc < 0)
		return rc;
	TEST_YIELD("arena_growing");
	/* RELEASE: the blocks are allocated before anybody may touch them; pairs with arena_size(). */
	if (atomic_compare_exchange_strong_explicit(&arena->size, &seen, size, memory_order_acq_rel,
	                                            memory_order_acquire))
		*new_size = size;
	return BWT_OK;
}

int arena_grow(struct arena *arena, uint64_t size, uint64_t *old_size, uint64_t *new_size)
{
	uint64_t seen;
	int rc = BWT_OK;

	*old_size = *new_size = arena_size(arena);
	if (size <= *old_size)
		return BWT_OK;
	rc = grow_begin(arena, &seen);
	if (rc < 0)
		return rc;
	*old_size = *new_size = seen;
	if (size > seen)
		rc = grow_to(arena, seen, size, new_size);
	atomic_fetch_sub_explicit(&arena->growers, 1, memory_order_release);
	return rc;
}

bool arena_shrink(struct arena *arena, uint64_t from, uint64_t to)
{
	BWT_ASSERT(to < from && to >= EXTENT_SIZE && to % EXTENT_SIZE == 0);
	return atomic_compare_exchange_strong_explicit(&arena->size, &from, to,
	                                               memory_order_acq_rel, memory_order_relaxed);
}

int arena_cut(struct arena *arena)
{
	uint64_t seen = arena_size(arena), size;
	int rc = sys_file_size(arena->fd, &size);

	if (rc < 0 || size <= seen)
		return rc;
	if (!atomic_compare_exchange_strong_explicit(&arena->size, &seen, seen | ARENA_CUTTING,
	                                             memory_order_seq_cst, memory_order_relaxed))
		return BWT_BUSY;
	TEST_YIELD("arena_cutting");
	rc = atomic_load_explicit(&arena->growers, memory_order_seq_cst) != 0 &&
	                     !TEST_FAULT("arena_cut_unlooked")
	             ? BWT_BUSY
	             : sys_file_truncate(arena->fd, seen);
	atomic_store_explicit(&arena->size, seen, memory_order_seq_cst);
	return rc;
}

int arena_return(struct arena *arena, arena_off off, uint64_t len)
{
	int rc;

	if (TEST_FAULT("arena_no_holes"))
		return -EOPNOTSUPP;
	if (!TEST_FAULT("arena_return_part"))
		return sys_file_punch(arena->fd, off, len);
	rc = sys_file_punch(arena->fd, off, len / 2);
	return rc < 0 ? rc : error_set(BWT_IO, "arena: the blocks stay, as a test wants it");
}

int arena_provide(struct arena *arena, arena_off off, uint64_t len)
{
	int rc = arena->fixed ? BWT_OK : sys_file_allocate(arena->fd, off, len);

	return rc < 0 || arena->fixed ? rc : sys_map_populate(&arena->map, off, len);
}

bool arena_has_hole(const struct arena *arena, arena_off off, uint64_t len)
{
	return !arena->fixed && sys_file_has_hole(arena->fd, off, len);
}

int arena_sync(struct arena *arena)
{
	if (arena->fixed)
		return BWT_OK;
	return sys_map_sync(&arena->map, 0, arena_size(arena));
}
