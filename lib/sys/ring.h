/* SPDX-License-Identifier: MIT */
/*
 * ring.h - batches of file writes and syncs: io_uring, or the same over plain calls
 *
 * One batch at a time per ring: the caller (the log's flusher) serialises. sys_ring_run() submits a
 * batch, waits for all of it and checks every length: short writes are continued, and only what is
 * wholly written is reported as BWT_OK. A durable write carries its own sync (RWF_DSYNC), which
 * facts.md shows to be the cheapest way.
 */
#ifndef BWT_SYS_RING_H
#define BWT_SYS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_RING_BATCH_MAX 32 /* operations of one sys_ring_run() */

enum sys_io_kind {
	SYS_IO_WRITE = 1,
	SYS_IO_WRITE_DURABLE = 2, /* RWF_DSYNC; falls back to write, then fdatasync */
	SYS_IO_SYNC = 3,          /* fdatasync of fd */
	SYS_IO_READ = 4,
};

struct sys_io {
	enum sys_io_kind kind;
	int fd;
	void *data; /* write: only read from. O_DIRECT files: aligned to 4096, size too */
	size_t size;
	uint64_t off;
	int rc; /* out: BWT_OK, BWT_IO, BWT_FULL, -errno, BWT_CORRUPT (read beyond the end) */
};

struct sys_ring;

/**
 * sys_ring_new - an engine: io_uring, or plain calls where it is forbidden, absent, or @plain
 * @buffer, @buffer_size: registered with the kernel when that is possible (writes out of it skip
 *          page pinning); may be NULL. The caller keeps it and frees it after sys_ring_free().
 * Returns: BWT_OK, -ENOMEM. A refused io_uring is not an error.
 */
int sys_ring_new(bool plain, void *buffer, size_t buffer_size, struct sys_ring **ring);
void sys_ring_free(struct sys_ring *ring);              /* NULL is ignored */
const char *sys_ring_name(const struct sys_ring *ring); /* "io_uring" or "plain" */
/** Register @fd (replacing the one registered before), or -1 for none; purely an acceleration. */
void sys_ring_register_file(struct sys_ring *ring, int fd);
/** Run 1..SYS_RING_BATCH_MAX operations side by side. Returns BWT_OK or the first failed op's rc. */
int sys_ring_run(struct sys_ring *ring, struct sys_io *ops, unsigned count);
/** In a forked child: give the descriptors back without touching the parent's ring. */
void sys_ring_abandon(struct sys_ring *ring);

#endif
