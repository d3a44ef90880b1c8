/* SPDX-License-Identifier: MIT */
/*
 * region.h - all memory of the world under test, put back whole before each run
 *
 * One stretch of memory holds what the library allocates, reserves and maps. region_freeze() makes the
 * present contents the beginning of every run; region_restore() goes back to them.
 *
 *   build --region_freeze()--> frozen --runs, region_restore()--> frozen
 *     ^---------------------- region_reset() ----------------------'
 */
#ifndef BWT_SCHED_REGION_H
#define BWT_SCHED_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_SIZE ((size_t)32 << 20)

void region_init(void);  /* once */
void region_reset(void); /* empty, zero */
void region_freeze(void);
void region_restore(void);
/** region_write - a write to @memory was refused: true if it may go on now, false if that is no matter of the region's */
bool region_write(const void *memory);

/** region_take - @size zero bytes at a multiple of @align, until the next region_reset() */
void *region_take(size_t size, size_t align);
bool region_holds(const void *memory);

/** What the library gets for malloc() and so on. A wrong free ends the run (sim_fail). */
void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *memory, size_t size);
void *sim_aligned_alloc(size_t align, size_t size);
void sim_free(void *memory);
void sim_abort(void) __attribute__((noreturn));
/** Allocations that were made and not freed. */
uint32_t region_live(void);

#endif
