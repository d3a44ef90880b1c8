/* SPDX-License-Identifier: MIT */
/*
 * persist.c - make stores to the arena durable: cache-line flushes on DAX, fdatasync elsewhere
 *
 * Why: every instruction and every call that moves mapped bytes to where a crash cannot take them
 * is here, so that one replacement of this file gives a simulated persistent memory.
 *
 * On DAX a store is durable once its cache line was flushed and a fence has passed; the writer
 * flushes as it goes (sys_persist_flush) and fences before it publishes (sys_persist_drain). In
 * the page cache nothing is durable before fdatasync, and flushing lines would be wasted; msync of
 * one page took 3.5 times as long (facts.md), so it is not used.
 */
#ifndef BWT_NO_PMEM
#include <libpmem.h>
#endif

#include "base/error.h"
#include "sys/file.h"
#include "sys/map.h"

void sys_persist_flush(const struct sys_map *map, const void *addr, size_t len)
{
#ifndef BWT_NO_PMEM
	if (map->media != SYS_MEDIA_FILE)
		pmem_flush(addr, len);
#else
	(void)map, (void)addr, (void)len;
#endif
}

void sys_persist_drain(const struct sys_map *map)
{
#ifndef BWT_NO_PMEM
	if (map->media != SYS_MEDIA_FILE)
		pmem_drain();
#else
	(void)map;
#endif
}

int sys_map_sync(struct sys_map *map, uint64_t off, uint64_t len)
{
	/* The whole file: a range would need msync. On DAX the range was flushed as it was written. */
	(void)off, (void)len;
	if (map->flags & (SYS_MAP_PRIVATE | SYS_MAP_RDONLY))
		return BWT_OK;
	if (map->media == SYS_MEDIA_FILE)
		return sys_file_sync(map->fd);
	sys_persist_drain(map);
	return BWT_OK;
}
