/* SPDX-License-Identifier: MIT */
/* fixture_arena.c - make and unmake */
#include "tests/support/fixture_arena.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <unistd.h>

void fixture_arena_new(struct fixture_arena *file, struct arena *arena, struct epoch *epoch,
                       struct extents *extents, _Atomic(uint64_t) *interval)
{
	tmpstore_new(file->folder);
	tmpstore_join(file->path, file->folder, "arena");
	file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	CU_ASSERT_FATAL(file->fd >= 0);
	file->arena = arena;
	file->epoch = epoch;
	file->extents = extents;
	file->interval = interval;
	atomic_store_explicit(interval, 1, memory_order_relaxed);
	CU_ASSERT_EQUAL_FATAL(epoch_init(epoch), 0);
}

void fixture_arena_map(struct fixture_arena *file, uint64_t max_size)
{
	CU_ASSERT_EQUAL_FATAL(arena_open(file->arena, file->fd, max_size, false), 0);
	CU_ASSERT_EQUAL_FATAL(extents_init(file->extents, file->arena, file->epoch, file->interval),
	                      0);
}

void fixture_arena_unmap(struct fixture_arena *file)
{
	extents_deinit(file->extents);
	arena_close(file->arena);
}

void fixture_arena_free(struct fixture_arena *file)
{
	epoch_deinit(file->epoch);
	close(file->fd);
	tmpstore_free(file->folder);
}
