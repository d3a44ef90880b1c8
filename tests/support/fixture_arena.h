/* SPDX-License-Identifier: MIT */
/*
 * fixture_arena.h - arena, epoch and extents on a temporary file, below any store
 *
 * The caller owns the structs, which may be parts of a struct store. Every function ends the test
 * that calls it when the system refuses.
 */
#ifndef BWT_TESTS_FIXTURE_ARENA_H
#define BWT_TESTS_FIXTURE_ARENA_H

#include "mem/extent.h"
#include "tests/support/tmpstore.h"

struct fixture_arena {
	char folder[TMPSTORE_PATH_MAX];
	char path[TMPSTORE_PATH_MAX]; /* of the file, in the folder */
	int fd;
	struct arena *arena;
	struct epoch *epoch;
	struct extents *extents;
	_Atomic(uint64_t) *interval;
};

/** fixture_arena_new - a folder with an empty file in it; interval is 1, epoch is ready */
void fixture_arena_new(struct fixture_arena *file, struct arena *arena, struct epoch *epoch,
                       struct extents *extents, _Atomic(uint64_t) *interval);
/** fixture_arena_map - map the file, whatever is in it, and make empty tables for it */
void fixture_arena_map(struct fixture_arena *file, uint64_t max_size);
/** fixture_arena_unmap - undo of fixture_arena_map(); the file stays */
void fixture_arena_unmap(struct fixture_arena *file);
/** fixture_arena_free - undo of fixture_arena_new(); not mapped any more */
void fixture_arena_free(struct fixture_arena *file);

#endif
