/* SPDX-License-Identifier: MIT */
/*
 * extent_private.h - what the files of extents share
 */
#ifndef BWT_MEM_EXTENT_PRIVATE_H
#define BWT_MEM_EXTENT_PRIVATE_H

#include "mem/extent.h"

/** Stacks of extents, linked through their side entries; a pop gives id + 1, 0: empty. */
void extents_stack_push(struct extents *extents, _Atomic(uint64_t) *stack, extent_id id);
uint32_t extents_stack_pop(struct extents *extents, _Atomic(uint64_t) *stack);

/** A free extent comes. */
void extents_free_push(struct extents *extents, extent_id id);
/**
 * extents_free_pop - one with room for @need bytes goes
 * @small:  a small one, if there is any; else a large one
 * Returns: its id + 1; 0: there is none beside what @urgency must leave alone, which is decided here, exactly
 */
uint32_t extents_free_pop(struct extents *extents, uint64_t need, bool small,
                          enum extent_urgency urgency);

/** A large one, if @floor bytes of those that leaves may get stay; its id + 1; 0: there is none. */
uint32_t extents_pop_large(struct extents *extents, uint64_t floor);

/** extent_return.c: a free extent behind the ceiling goes. */
void extents_push_gone(struct extents *extents, extent_id id);
/** extent_return.c: one that is gone becomes free. BWT_OK; BWT_NOT_FOUND: there is none; BWT_FULL; BWT_IO */
int extents_bring_back(struct extents *extents);

/** Add at least one extent with room for @need. BWT_OK; BWT_FULL: max_size or the disk; BWT_IO */
int extents_grow(struct extents *extents, uint64_t need);
/** Free extents for one more request of @need, beside what @urgency may not touch. Outside the gate. */
int extents_make_room(struct extents *extents, uint64_t need, enum extent_urgency urgency);

/** A filler over [@next, @end), which is at least a block's head. */
void extents_write_filler(struct arena *arena, arena_off next, arena_off end);

#endif
