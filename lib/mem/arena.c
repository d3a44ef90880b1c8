/* SPDX-License-Identifier: MIT */
/*
 * arena.c - the mapped file and its growth
 *
 * Growing is idempotent work (allocate, populate) followed by one CAS of the size, so threads that
 * grow at once need no lock: all of them do the work, one of them publishes it and owns the stretch.
 */
#include "mem/arena.h"

#include "base/error.h"
#include "sys/file.h"

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
	/* A file that ends inside an extent was cut short, or its growth was: that extent is not there. */
	atomic_init(&arena->size,
	            size - size % (size < EXTENT_SIZE ? EXTENT_SMALL_SIZE : EXTENT_SIZE));
	return BWT_OK;
}

void arena_close(struct arena *arena)
{
	sys_map_close(&arena->map);
}

int arena_grow(struct arena *arena, uint64_t size, uint64_t *old_size, uint64_t *new_size)
{
	uint64_t seen = arena_size(arena);
	int rc;

	*old_size = *new_size = seen;
	if (size <= seen)
		return BWT_OK;
	if (size > arena->max_size)
		return error_set(BWT_FULL, "arena: %llu bytes would exceed max_size, %llu bytes",
		                 (unsigned long long)size, (unsigned long long)arena->max_size);
	if (!arena->fixed) {
		rc = sys_file_allocate(arena->fd, seen, size - seen);
		if (rc == BWT_OK)
			rc = sys_map_populate(&arena->map, seen, size - seen);
		if (rc < 0)
			return rc;
	}
	/* RELEASE: the blocks are allocated before anybody may touch them; pairs with arena_size(). */
	if (atomic_compare_exchange_strong_explicit(&arena->size, &seen, size, memory_order_acq_rel,
	                                            memory_order_acquire))
		*new_size = size;
	return BWT_OK;
}

int arena_sync(struct arena *arena)
{
	if (arena->fixed)
		return BWT_OK;
	return sys_map_sync(&arena->map, 0, arena_size(arena));
}
