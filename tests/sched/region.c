/* SPDX-License-Identifier: MIT */
/*
 * region.c - the region is a file in memory, mapped privately while runs go on
 *
 * So a run's changes are copies of pages, and going back is to drop them.
 */
#include "tests/sched/region.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/sched/sim.h"

#define BASE ((void *)0x510000000000)
#define CLASSES 24u /* of sizes: 64 << class */
#define HEAD 64u    /* bytes before an allocation */
#define LIVE 0x4c495645u
#define FREE 0x46524545u
#define POISON_MAX 512u

struct heap { /* at the region's beginning */
	size_t used;
	uint32_t live;
	struct head *free[CLASSES];
};

struct head {
	uint32_t state;
	uint32_t class;
	size_t room;
	struct head *next;
};

static int file = -1;
static uint8_t *const region = BASE;
static struct heap *const heap = BASE;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void map(int flags)
{
	if (mmap(BASE, REGION_SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0) != BASE)
		die("sched: map the region");
}

void region_init(void)
{
	file = memfd_create("sched-region", MFD_CLOEXEC);
	if (file < 0)
		die("sched: make the region");
	region_reset();
}

void region_reset(void)
{
	if (ftruncate(file, 0) < 0 || ftruncate(file, (off_t)REGION_SIZE) < 0)
		die("sched: empty the region");
	map(MAP_SHARED);
	heap->used = sizeof *heap;
}

void region_freeze(void)
{
	map(MAP_PRIVATE);
}

void region_restore(void)
{
	if (madvise(BASE, REGION_SIZE, MADV_DONTNEED) < 0)
		die("sched: put the region back");
}

void *region_take(size_t size, size_t align)
{
	size_t at = (heap->used + align - 1) / align * align;

	if (at + size > REGION_SIZE) {
		fprintf(stderr, "sched: the region is full\n");
		abort();
	}
	heap->used = at + size;
	return region + at;
}

bool region_holds(const void *memory)
{
	return (const uint8_t *)memory >= region && (const uint8_t *)memory < region + REGION_SIZE;
}

uint32_t region_live(void)
{
	return heap->live;
}

/* ---- the library's malloc ---- */

static struct head *head_of(void *memory)
{
	return (struct head *)(void *)((uint8_t *)memory - HEAD);
}

static void *allocate(size_t size, size_t align)
{
	unsigned class = 0;
	struct head *head;

	while ((size_t)64 << class < size)
		class ++;
	if (align < HEAD)
		align = HEAD;
	head = heap->free[class];
	if (head != NULL && ((uintptr_t)head + HEAD) % align == 0) {
		heap->free[class] = head->next;
	} else {
		size_t room = (size_t)64 << class;

		head = head_of((uint8_t *)region_take(room + align, align) + align);
		head->class = class;
		head->room = room;
	}
	head->state = LIVE;
	heap->live++;
	return (uint8_t *)head + HEAD;
}

void *sim_malloc(size_t size)
{
	return allocate(size, HEAD);
}

void *sim_aligned_alloc(size_t align, size_t size)
{
	return allocate(size, align);
}

void *sim_calloc(size_t count, size_t size)
{
	void *memory = allocate(count * size, HEAD);

	memset(memory, 0, count * size);
	return memory;
}

void sim_free(void *memory)
{
	struct head *head = head_of(memory);

	if (memory == NULL)
		return;
	if (!region_holds(memory) || head->state != LIVE)
		sim_fail("free() of what is not allocated, or not any more");
	head->state = FREE;
	memset(memory, 0xdd, head->room < POISON_MAX ? head->room : POISON_MAX);
	head->next = heap->free[head->class];
	heap->free[head->class] = head;
	heap->live--;
}

void *sim_realloc(void *memory, size_t size)
{
	void *grown;

	if (memory != NULL && size <= head_of(memory)->room)
		return memory;
	grown = allocate(size, HEAD);
	if (memory != NULL) {
		memcpy(grown, memory, head_of(memory)->room);
		sim_free(memory);
	}
	return grown;
}
