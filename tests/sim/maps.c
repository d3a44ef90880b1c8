/* SPDX-License-Identifier: MIT */
/*
 * maps.c - sys/map.h on the simulated disk: stands in for lib/sys/map.c, persist.c and fault.c
 *
 * A mapping is real memory; what was stored to it is found by comparing (inode_look()), at every cut and
 * sync and at some instants between. Memory is used again: mapping address space afresh for every
 * recovered image would cost more than recovering it.
 */
#include "sys/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "mem/superblock.h"
#include "sys/fail.h"
#include "sys/fault.h"
#include "sys/file.h"
#include "tests/sim/sim.h"

#define POOL 64u

struct pooled {
	uint8_t *base; /* all zeroes */
	size_t size;
	void *start;
};

static struct pooled pool[POOL];
static struct pooled used[POOL];

static int take(size_t size, uint8_t **base)
{
	struct pooled *to = used;

	while (to < used + POOL && to->base != NULL)
		to++;
	if (to == used + POOL)
		abort();
	for (unsigned i = 0; i < POOL; i++) {
		if (pool[i].base == NULL || pool[i].size != size)
			continue;
		*to = pool[i];
		pool[i].base = NULL;
		*base = to->base;
		return 0;
	}
	to->start = mmap(NULL, size + SYS_MAP_ALIGN, PROT_READ | PROT_WRITE,
	                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (to->start == MAP_FAILED)
		return ENOMEM;
	to->base = (uint8_t *)(((uintptr_t)to->start + SYS_MAP_ALIGN - 1) / SYS_MAP_ALIGN *
	                       SYS_MAP_ALIGN);
	to->size = size;
	*base = to->base;
	return 0;
}

/* The first @dirty bytes may be something. */
static void give(uint8_t *base, uint64_t dirty)
{
	struct pooled *from = used;

	while (from < used + POOL && from->base != base)
		from++;
	memset(base, 0, dirty);
	for (unsigned i = 0; i < POOL; i++) {
		if (pool[i].base != NULL)
			continue;
		pool[i] = *from;
		from->base = NULL;
		return;
	}
	munmap(from->start, from->size + SYS_MAP_ALIGN);
	from->base = NULL;
}

void sim_maps_free(void)
{
	for (unsigned i = 0; i < POOL; i++) {
		if (pool[i].base != NULL)
			munmap(pool[i].start, pool[i].size + SYS_MAP_ALIGN);
		pool[i].base = NULL;
	}
}

/* ---- persistent memory ---- */

struct persist_site *sim_persists;
const void *sim_persist_left_out;

/* A place is reached: perhaps the power is cut. False: it is left out. */
static bool persists(const void *site, const char *kind)
{
	for (unsigned i = 0; sim_persists != NULL && i < SIM_PERSISTS; i++) {
		if (sim_persists[i].address != NULL && sim_persists[i].address != site)
			continue;
		sim_persists[i].address = site;
		sim_persists[i].kind = kind;
		sim_persists[i].calls++;
		break;
	}
	sim_point(site);
	return site != sim_persist_left_out;
}

static void flush(const struct sys_map *map, const void *addr, size_t len)
{
	if (!sim->disk->dying)
		disk_flush(sim_inode(map->fd), sim->running,
		           (uint64_t)((const uint8_t *)addr - map->base), len);
}

void sys_persist_flush(const struct sys_map *map, const void *addr, size_t len)
{
	if (map->media != SYS_MEDIA_FILE && persists(SIM_SITE, "flush"))
		flush(map, addr, len);
}

void sys_persist_copy(const struct sys_map *map, void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	if (map->media != SYS_MEDIA_FILE && persists(SIM_SITE, "copy"))
		flush(map, to, len);
}

void sys_persist_drain(const struct sys_map *map)
{
	if (map->media != SYS_MEDIA_FILE && persists(SIM_SITE, "fence"))
		disk_fence(sim->disk, sim->running);
}

int sys_persist_deep(const struct sys_map *map, const void *addr, size_t len)
{
	int error = 0;

	if (map->media == SYS_MEDIA_FILE)
		return BWT_OK;
	error = sim_before(SIM_SITE, EIO);
	if (persists(SIM_SITE, "deep flush")) {
		flush(map, addr, len);
		disk_fence(sim->disk, sim->running);
	}
	return error == 0 ? BWT_OK : sys_fail(error, "sync", map->fd, 0);
}

static bool named(const struct inode *dir, const char *name, const struct inode *inode)
{
	return dir != NULL && inode_find(dir, name) == inode;
}

/* Files of a store that are mapped: the arena, by either name, the counters, which never are, and the log. */
static enum sys_media media_of(const struct inode *inode)
{
	const struct inode *store = inode_find(sim->disk->root, SIM_PATH);
	bool arena = named(store, "arena", inode) || named(store, "arena.new", inode);

	if (sim->disk->dax == DISK_DAX_NONE || named(store, "stats", inode) ||
	    (arena && sim->disk->dax != DISK_DAX_ALL))
		return SYS_MEDIA_FILE;
	return SYS_MEDIA_DAX;
}

enum sys_media sys_map_media(int fd)
{
	return media_of(sim_inode(fd));
}

const char *sys_persist_instruction(void)
{
	return "none";
}

/* ---- mappings ---- */

int sys_map_open(int fd, size_t size, unsigned flags, struct sys_map *map)
{
	int error = sim_before(SIM_SITE, ENOMEM);
	struct sys_map made = {.size = size, .flags = flags, .fd = fd};
	struct inode *inode = sim_inode(fd);

	if (error == 0)
		error = take(size, &made.base);
	if (error != 0)
		return sys_fail(error, "map", fd, SYS_NO_OFF);
	inode_read(inode, made.base, inode->size < size ? (size_t)inode->size : size, 0);
	if ((flags & SYS_MAP_PRIVATE) == 0) {
		if (inode->memory != NULL)
			abort();
		made.media = media_of(inode);
		inode->dax = made.media != SYS_MEDIA_FILE;
		if (!inode->dax)
			inode_written_again(inode, SUPERBLOCK_OFF(1) + SUPERBLOCK_SIZE);
		inode->memory = made.base;
	}
	*map = made;
	return BWT_OK;
}

void sys_map_close(struct sys_map *map)
{
	struct inode *inode;

	if (map->base == NULL)
		return;
	inode = sim_inode(map->fd);
	if (inode->memory == map->base) {
		if (!sim->disk->dying)
			inode_look(inode);
		inode->memory = NULL;
		give(map->base, inode->size < map->size ? inode->size : map->size);
	} else { /* private: it may have grown in memory */
		for (unsigned i = 0; i < POOL; i++) {
			if (used[i].base == map->base) {
				munmap(used[i].start, used[i].size + SYS_MAP_ALIGN);
				used[i].base = NULL;
			}
		}
	}
	map->base = NULL;
	map->size = 0;
}

int sys_map_populate(struct sys_map *map, uint64_t off, uint64_t len)
{
	int error = sim_before(SIM_SITE, ENOSPC);

	(void)len;
	if (error == 0 && map->media != SYS_MEDIA_FILE)
		inode_touch(sim_inode(map->fd));
	return error != 0 ? sys_fail(error, "touch mapped pages of", map->fd, off) : BWT_OK;
}

int sys_map_sync(struct sys_map *map, uint64_t off, uint64_t len)
{
	const void *site = SIM_SITE;
	int error;

	(void)off, (void)len;
	if (map->media != SYS_MEDIA_FILE) {
		if (persists(site, "fence"))
			disk_fence(sim->disk, sim->running);
		return BWT_OK;
	}
	error = sim_sync(map->fd, sim_before(site, EIO));
	if (error != 0)
		return sys_fail(error, "sync", map->fd, SYS_NO_OFF);
	sim_after(site);
	return BWT_OK;
}

void *sys_reserve(size_t size)
{
	void *memory;

	if (sim != NULL && sim_fails(false, SIM_SITE))
		return NULL;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

void sys_release(void *memory, size_t size)
{
	if (memory != NULL)
		munmap(memory, size);
}

int sys_map_catch_faults(struct sys_map *map, _Atomic(uint32_t) *failed)
{
	(void)map, (void)failed;
	return BWT_OK; /* no mapping of a simulated disk faults */
}

void sys_fault_forget(const struct sys_map *map)
{
	(void)map;
}
