/* SPDX-License-Identifier: MIT */
/*
 * memory.c - allocations of the library, which may fail; the linker sends its calls here (--wrap)
 */
#include <stdlib.h>

#include "tests/sim/sim.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
	return sim_fails(false, SIM_SITE) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return sim_fails(false, SIM_SITE) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return sim_fails(false, SIM_SITE) ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return sim_fails(false, SIM_SITE) ? NULL : __real_aligned_alloc(alignment, size);
}
