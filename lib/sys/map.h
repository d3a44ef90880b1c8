/* SPDX-License-Identifier: MIT */
/*
 * map.h - one mapping of the arena for the life of a store, and plain reserved memory
 *
 * The address space is reserved once at full size, 2 MiB-aligned; the file grows under it, so no
 * pointer ever moves. Touching an offset beyond what was populated or loaded is a bug of the caller
 * (it would be SIGBUS), except in a private mapping, where everything beyond the file is zero memory.
 */
#ifndef BWT_SYS_MAP_H
#define BWT_SYS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_MAP_ALIGN ((size_t)2 << 20)

enum sys_map_flags {
	SYS_MAP_PRIVATE = 1, /* changes stay in memory: opening read-only recovers here */
	SYS_MAP_RDONLY = 2,  /* PROT_READ only */
};

enum sys_media {
	SYS_MEDIA_FILE = 0, /* page cache: sync with sys_file_sync() */
	SYS_MEDIA_DAX = 1,  /* a MAP_SYNC mapping succeeded: cache-line flushes make it durable */
	SYS_MEDIA_FORCED_DAX = 2, /* PMEM_IS_PMEM_FORCE=1 on a plain file: for tests only */
};

struct sys_map {
	uint8_t *base; /* 2 MiB-aligned */
	size_t size;   /* bytes reserved */
	enum sys_media media;
	unsigned flags;
	int fd;
};

/**
 * sys_map_open - map @fd at full size, whatever its size is now
 * @size: bytes of address space, a multiple of SYS_MAP_ALIGN
 * Returns: BWT_OK; -ENOMEM when the address space is not to be had; else as mmap
 */
int sys_map_open(int fd, size_t size, unsigned flags, struct sys_map *map);
void sys_map_close(struct sys_map *map);
/** Huge pages where they are to be had, page tables filled, blocks already allocated by the caller. */
int sys_map_populate(struct sys_map *map, uint64_t off, uint64_t len);
/** Everything stored in [off, off+len) so far is durable on return: fdatasync of the file, or a fence on DAX. */
int sys_map_sync(struct sys_map *map, uint64_t off, uint64_t len);
/** What a mapping of @fd would be; SYS_MEDIA_FILE when it cannot be mapped at all. */
enum sys_media sys_map_media(int fd);

/** On DAX: flush the cache lines of [addr, addr+len), no fence; elsewhere nothing. */
void sys_persist_flush(const struct sys_map *map, const void *addr, size_t len);
/** Copy into the mapping; on DAX past the cache (non-temporal stores), as good as flushed, no fence. */
void sys_persist_copy(const struct sys_map *map, void *to, const void *from, size_t len);
/** On DAX: what this thread flushed or copied before is durable; elsewhere nothing. */
void sys_persist_drain(const struct sys_map *map);
/**
 * sys_persist_deep - [addr, addr+len), and all that was durable before it, as deep as software can ask for
 *
 * What is durable may still be in the queues of the memory controller, which the platform's own power empties
 * when the mains fail. After this it is in the memory itself, so that even a platform that fails to do so
 * loses nothing. A system call (msync, which reaches the device's flush), for places that may wait.
 *
 * Returns: BWT_OK; BWT_IO. Elsewhere than on DAX nothing
 */
int sys_persist_deep(const struct sys_map *map, const void *addr, size_t len);
/** How bytes reach persistent memory here: "clwb", "clflushopt", "clflush", "eadr" (no flush needed), "flush". */
const char *sys_persist_instruction(void);

/** Reserved zero memory that costs nothing until touched (tables that grow without moving). NULL: none. */
void *sys_reserve(size_t size);
void sys_release(void *memory, size_t size);

/**
 * sys_map_catch_faults - answer mapping faults (SIGBUS) inside @map with zero pages
 *
 * Installs one process-wide handler on first use; faults outside every registered mapping go to the
 * handler that was there before. *@failed is set to 1 (relaxed) at the first fault. Undone by
 * sys_map_close(). Source: design.md section 7, SIGBUS.
 */
int sys_map_catch_faults(struct sys_map *map, _Atomic(uint32_t) *failed);

#endif
