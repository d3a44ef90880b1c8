/* SPDX-License-Identifier: MIT */
/*
 * map.c - one mapping of the arena for the life of a store, and plain reserved memory
 *
 * Why: pointers into the arena stay good because nothing is ever mapped a second time. So all the
 * address space is taken at the start; it costs nothing, and the file grows underneath.
 *
 *   A1  The base is a multiple of SYS_MAP_ALIGN, as is the file offset 0 that it shows: only then
 *       does a file system with large folios map 2 MiB with one entry.
 *   A2  The address is the system's choice, never ours: sanitizers occupy parts of the space.
 *       MAP_FIXED is used only over address space that this file reserved a moment before.
 *   A3  A mapping is DAX only if the kernel granted MAP_SYNC, whatever libpmem believes.
 *
 *   shared    [ the file, then nothing: touching it is SIGBUS until the file has grown      ]
 *   private   [ the file's pages as they were | zero memory                                 ]
 */
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef BWT_NO_PMEM
#include <libpmem.h>
#endif

#include "base/assert.h"
#include "base/atomic.h"
#include "base/error.h"
#include "sys/fail.h"
#include "sys/fault.h"
#include "sys/file.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; the C library's header may be older */
#define MADV_POPULATE_WRITE 23
#endif
#ifndef EHWPOISON
#define EHWPOISON 133
#endif

#define POPULATE_ATTEMPTS_MAX 16u /* for one range */

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int protection(unsigned flags)
{
	return flags & SYS_MAP_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
}

/* Address space for @size bytes at a multiple of SYS_MAP_ALIGN (A1, A2); NULL: errno says why. */
static uint8_t *reserve_aligned(size_t size)
{
	uint8_t *start, *base;
	size_t before;

	start = mmap(NULL, size + SYS_MAP_ALIGN, PROT_NONE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	before = (SYS_MAP_ALIGN - (uintptr_t)start % SYS_MAP_ALIGN) % SYS_MAP_ALIGN;
	base = start + before;
	if (before > 0)
		munmap(start, before);
	munmap(base + size, SYS_MAP_ALIGN - before);
	return base;
}

/*
 * Map @size bytes of @fd, shared: at @at, or anywhere when it is NULL. A3: ask for MAP_SYNC first.
 * MAP_FAILED: errno says why the file cannot be mapped at all.
 */
static void *map_shared(int fd, void *at, size_t size, int prot, enum sys_media *media)
{
	int fixed = at == NULL ? 0 : MAP_FIXED;
	void *start;

	*media = SYS_MEDIA_FILE;
#ifndef BWT_NO_PMEM
	if (prot & PROT_WRITE) {
		start = mmap(at, size, prot, MAP_SHARED_VALIDATE | MAP_SYNC | fixed, fd, 0);
		if (start != MAP_FAILED) {
			*media = SYS_MEDIA_DAX;
			return start;
		}
	}
#endif
	start = mmap(at, size, prot, MAP_SHARED | fixed, fd, 0);
#ifndef BWT_NO_PMEM
	/* It never registered this range, so it can only say yes when it is forced to. */
	if (start != MAP_FAILED && (prot & PROT_WRITE) && pmem_is_pmem(start, size))
		*media = SYS_MEDIA_FORCED_DAX;
#endif
	return start;
}

enum sys_media sys_map_media(int fd)
{
	enum sys_media media;
	void *start = map_shared(fd, NULL, page_size(), PROT_READ | PROT_WRITE, &media);

	if (start == MAP_FAILED)
		return SYS_MEDIA_FILE;
	munmap(start, page_size());
	return media;
}

/* Zero memory everywhere, then the file over the front of it; its last page ends in zeroes. */
static bool map_private(struct sys_map *map, uint64_t file_size)
{
	const int flags = MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED;
	size_t page = page_size();
	size_t front = file_size < map->size ? (size_t)file_size : map->size;

	map->media = SYS_MEDIA_FILE;
	front = (front + page - 1) / page * page;
	if (mmap(map->base, map->size, protection(map->flags), flags | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED)
		return false;
	return front == 0 ||
	       mmap(map->base, front, protection(map->flags), flags, map->fd, 0) != MAP_FAILED;
}

int sys_map_open(int fd, size_t size, unsigned flags, struct sys_map *map)
{
	struct sys_map made = {.size = size, .flags = flags, .fd = fd};
	uint64_t file_size = 0;
	bool mapped;
	int rc;

	BWT_ASSERT(size > 0 && size % SYS_MAP_ALIGN == 0);
	if (flags & SYS_MAP_PRIVATE) {
		rc = sys_file_size(fd, &file_size);
		if (rc < 0)
			return rc;
	}
	made.base = reserve_aligned(size);
	if (made.base == NULL)
		return sys_fail(errno, "reserve address space for", fd, SYS_NO_OFF);
	mapped = flags & SYS_MAP_PRIVATE ? map_private(&made, file_size)
	                                 : map_shared(fd, made.base, size, protection(flags),
	                                              &made.media) != MAP_FAILED;
	if (!mapped) {
		rc = sys_fail(errno, "map", fd, SYS_NO_OFF);
		munmap(made.base, size);
		return rc;
	}
	*map = made;
	return BWT_OK;
}

void sys_map_close(struct sys_map *map)
{
	if (map->base == NULL)
		return;
	sys_fault_forget(map);
	munmap(map->base, map->size);
	map->base = NULL;
	map->size = 0;
}

/* Huge pages for every whole 2 MiB of the range. Advice: nothing depends on it being taken. */
static void advise_huge(const struct sys_map *map, uint64_t off, uint64_t end)
{
	uint64_t first = (off + SYS_MAP_ALIGN - 1) / SYS_MAP_ALIGN * SYS_MAP_ALIGN;
	uint64_t last = end / SYS_MAP_ALIGN * SYS_MAP_ALIGN;

	if (first < last)
		madvise(map->base + first, last - first, MADV_HUGEPAGE);
}

/* What kernels before 5.14 do not do for us. Adds nothing to a byte of each page: a write that
 * changes nothing, even beside other writers. */
static void touch(const struct sys_map *map, uint64_t off, uint64_t end)
{
	size_t page = page_size();

	for (uint64_t at = off; at < end; at += page) {
		_Atomic(uint8_t) *byte = (_Atomic(uint8_t) *)(map->base + at);

		if (map->flags & SYS_MAP_RDONLY)
			(void)atomic_load_explicit(byte, memory_order_relaxed);
		else
			atomic_fetch_add_explicit(byte, 0, memory_order_relaxed);
	}
}

/*
 * The kernel says EFAULT for a full disk, a disk error and the end of the file alike. Asking for
 * the space by fallocate tells them apart.
 * Returns: BWT_OK when the space is there now and a second try makes sense
 */
static int explain_fault(const struct sys_map *map, uint64_t off, uint64_t end)
{
	uint64_t size = 0;
	int rc = sys_file_size(map->fd, &size);

	if (rc < 0)
		return rc;
	if (size < end || (map->flags & SYS_MAP_RDONLY))
		return sys_fail(EIO, "touch mapped pages of", map->fd, size < end ? size : off);
	if (fallocate(map->fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)(end - off)) < 0)
		return sys_fail(errno == ENOSPC || errno == EDQUOT ? errno : EIO,
		                "touch mapped pages of", map->fd, off);
	return BWT_OK;
}

int sys_map_populate(struct sys_map *map, uint64_t off, uint64_t len)
{
	int advice = map->flags & SYS_MAP_RDONLY ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
	uint64_t start = off / page_size() * page_size();
	uint64_t end = off + len;
	int rc;

	BWT_ASSERT(end >= off && end <= map->size);
	/* Private pages would each be copied; they are cheap to touch when they are needed. */
	if (len == 0 || (map->flags & SYS_MAP_PRIVATE))
		return BWT_OK;
	advise_huge(map, off, end);
	for (unsigned attempt = 1; madvise(map->base + start, end - start, advice) < 0; attempt++) {
		int error = errno;

		if (error == EINVAL) {
			touch(map, start, end);
			return BWT_OK;
		}
		if (error == EFAULT) {
			rc = explain_fault(map, start, end);
			if (rc < 0)
				return rc;
			error = EIO; /* should the fault stay although the space is there */
		} else if (error == EHWPOISON) {
			return sys_fail(EIO, "touch mapped pages of", map->fd, start);
		} else if (error != EINTR && error != EAGAIN) {
			return sys_fail(error, "touch mapped pages of", map->fd, start);
		}
		if (attempt == POPULATE_ATTEMPTS_MAX)
			return sys_fail(error, "touch mapped pages of", map->fd, start);
	}
	return BWT_OK;
}

void *sys_reserve(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void sys_release(void *memory, size_t size)
{
	if (memory != NULL)
		munmap(memory, size);
}
