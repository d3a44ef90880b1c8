/* SPDX-License-Identifier: MIT */
/*
 * region.c - the region's pages are read-only until a run writes them; what was there is kept then
 *
 * So going back is to copy the pages that some run has written since region_freeze(), a hundred or so. A new
 * mapping or dropped copies would cost a fault for each of them in each run.
 */
#include "tests/sched/region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/sched/sim.h"

#define BASE ((void *)0x510000000000)
#define PAGE ((size_t)4096)
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

static uint8_t *const region = BASE;
static struct heap *const heap = BASE;

static uint8_t *kept; /* of each page that is writable, what it was when frozen */
static bool frozen, writable[REGION_SIZE / PAGE];
static uint32_t written[REGION_SIZE / PAGE], written_count;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void *map(void *address, int flags)
{
	void *memory = mmap(address, REGION_SIZE, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

	if (memory == MAP_FAILED)
		die("sched: map the region");
	return memory;
}

void region_init(void)
{
	kept = map(NULL, 0);
	region_reset();
}

void region_reset(void)
{
	map(BASE, MAP_FIXED);
	frozen = false;
	memset(writable, 0, sizeof writable);
	written_count = 0;
	heap->used = sizeof *heap;
}

void region_freeze(void)
{
	if (mprotect(BASE, REGION_SIZE, PROT_READ) < 0)
		die("sched: freeze the region");
	frozen = true;
}

bool region_write(const void *memory)
{
	size_t page = (size_t)((const uint8_t *)memory - region) / PAGE;

	if (!frozen || !region_holds(memory) || writable[page])
		return false;
	memcpy(kept + page * PAGE, region + page * PAGE, PAGE);
	if (mprotect(region + page * PAGE, PAGE, PROT_READ | PROT_WRITE) < 0)
		die("sched: make a page writable");
	writable[page] = true;
	written[written_count++] = (uint32_t)page;
	return true;
}

void region_restore(void)
{
	for (uint32_t i = 0; i < written_count; i++)
		memcpy(region + written[i] * PAGE, kept + written[i] * PAGE, PAGE);
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
