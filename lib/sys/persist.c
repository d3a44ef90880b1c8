/* SPDX-License-Identifier: MIT */
/*
 * persist.c - make stores to the arena durable: cache-line flushes on DAX, fdatasync elsewhere
 *
 * Why: every instruction and every call that moves mapped bytes to where a crash cannot take them
 * is here, so that one replacement of this file gives a simulated persistent memory.
 *
 * On DAX a store is durable once its cache line was flushed and a fence has passed; the writer
 * flushes as it goes (sys_persist_flush) and fences when it has done (sys_persist_drain). A fence
 * waits for the flushes of its own thread only, so nobody can make durable what another one flushed:
 * who flushed in the writer gate fences before it leaves (mem/epoch.h), ahead of any cut. In the page cache nothing is durable before fdatasync, and flushing lines would be wasted; msync of
 * one page took 3.5 times as long (facts.md), so it is not used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifndef BWT_NO_PMEM
#include <libpmem.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/error.h"
#include "sys/fail.h"
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

void sys_persist_copy(const struct sys_map *map, void *to, const void *from, size_t len)
{
#ifndef BWT_NO_PMEM
	if (map->media != SYS_MEDIA_FILE) {
		pmem_memcpy(to, from, len, PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
		return;
	}
#else
	(void)map;
#endif
	memcpy(to, from, len);
}

int sys_persist_deep(const struct sys_map *map, const void *addr, size_t len)
{
#ifndef BWT_NO_PMEM
	if (map->media != SYS_MEDIA_FILE && pmem_deep_persist(addr, len) < 0)
		return sys_fail(errno, "sync", map->fd,
		                (uint64_t)((const uint8_t *)addr - map->base));
#else
	(void)map, (void)addr, (void)len;
#endif
	return BWT_OK;
}

#if !defined(BWT_NO_PMEM) && defined(__x86_64__)
#define LEAF_FEATURES 7u
#define BIT_CLFLUSHOPT (1u << 23)
#define BIT_CLWB (1u << 24)

static bool forbidden(const char *variable)
{
	const char *text = getenv(variable); /* NOLINT(concurrency-mt-unsafe): libpmem reads it too */

	return text != NULL && strcmp(text, "1") == 0;
}
#endif

/* libpmem chooses so, and does not tell (libpmem(7), ENVIRONMENT). */
const char *sys_persist_instruction(void)
{
#if !defined(BWT_NO_PMEM) && defined(__x86_64__)
	unsigned a, b = 0, c, d;

	if (pmem_has_auto_flush() == 1)
		return "eadr";
	if (!__get_cpuid_count(LEAF_FEATURES, 0, &a, &b, &c, &d))
		b = 0;
	if ((b & BIT_CLWB) != 0 && !forbidden("PMEM_NO_CLWB"))
		return "clwb";
	if ((b & BIT_CLFLUSHOPT) != 0 && !forbidden("PMEM_NO_CLFLUSHOPT"))
		return "clflushopt";
	return "clflush";
#else
	return "flush";
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
