/* SPDX-License-Identifier: MIT */
/*
 * backend_raw.c - "write 4 KiB and make it durable", the bound of every durable commit
 *
 * Why: a durable commit needs at least one durable write. This loop overwrites a file that was
 * zero-filled once, with O_DIRECT and RWF_DSYNC, which is the cheapest way to do that on the
 * machines that were measured. Where O_DIRECT is refused (tmpfs) it writes through the page cache.
 */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/atomic.h"

#define RAW_BLOCK_SIZE 4096u
#define RAW_FILE_SIZE (64u << 20)
#define RAW_BLOCK_COUNT (RAW_FILE_SIZE / RAW_BLOCK_SIZE)
#define RAW_FILL_SIZE (1u << 20)

struct backend_store {
	int fd;
	int direct;
	int write_flags;
	_Atomic uint64_t next_block; /* every thread adds one; relaxed, it only spreads the writes */
};

struct backend_thread {
	struct backend_store *store;
	unsigned char *block; /* RAW_BLOCK_SIZE, aligned to it */
};

static int fail(const char *call)
{
	return backend_fail("raw", call, strerror(errno));
}

static int fill(int fd)
{
	void *zeroes = NULL;

	if (posix_memalign(&zeroes, RAW_BLOCK_SIZE, RAW_FILL_SIZE) != 0)
		return -ENOMEM;
	memset(zeroes, 0, RAW_FILL_SIZE);
	for (off_t off = 0; off < RAW_FILE_SIZE; off += RAW_FILL_SIZE) {
		if (pwrite(fd, zeroes, RAW_FILL_SIZE, off) != RAW_FILL_SIZE) {
			free(zeroes);
			return fail("pwrite");
		}
	}
	free(zeroes);
	return fsync(fd) < 0 ? fail("fsync") : 0;
}

static int raw_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	char path[4096];
	int rc;

	if (store == NULL)
		return -ENOMEM;
	snprintf(path, sizeof path, "%s/raw", config->dir);
	store->direct = 1;
	store->write_flags = config->sync == BACKEND_SYNC ? RWF_DSYNC : 0;
	store->fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
	if (store->fd < 0 && errno == EINVAL) {
		store->direct = 0;
		store->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	}
	if (store->fd < 0) {
		rc = fail("open");
		goto fail_free;
	}
	rc = fill(store->fd);
	if (rc < 0)
		goto fail_close;
	*out = store;
	return 0;

fail_close:
	close(store->fd);
fail_free:
	free(store);
	return rc;
}

static int raw_close(struct backend_store *store)
{
	int rc = close(store->fd) < 0 ? fail("close") : 0;

	free(store);
	return rc;
}

static int raw_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);
	void *block = NULL;

	if (thread == NULL)
		return -ENOMEM;
	if (posix_memalign(&block, RAW_BLOCK_SIZE, RAW_BLOCK_SIZE) != 0) {
		free(thread);
		return -ENOMEM;
	}
	memset(block, 0, RAW_BLOCK_SIZE);
	thread->store = store;
	thread->block = block;
	*out = thread;
	return 0;
}

static void raw_thread_close(struct backend_thread *thread)
{
	free(thread->block);
	free(thread);
}

static int raw_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	struct backend_store *store = thread->store;
	const size_t size =
		pairs[0].value.size < RAW_BLOCK_SIZE ? pairs[0].value.size : RAW_BLOCK_SIZE;
	const uint64_t block = atomic_fetch_add_explicit(&store->next_block, 1, memory_order_relaxed);
	const off_t off = (off_t)(block % RAW_BLOCK_COUNT * RAW_BLOCK_SIZE);
	struct iovec iov = {thread->block, RAW_BLOCK_SIZE};

	(void)count; /* one write, however much is in it */
	memcpy(thread->block, pairs[0].value.data, size);
	if (pwritev2(store->fd, &iov, 1, off, store->write_flags) != (ssize_t)RAW_BLOCK_SIZE)
		return fail("pwritev2");
	return 0;
}

static int raw_sync(struct backend_store *store)
{
	return fdatasync(store->fd) < 0 ? fail("fdatasync") : 0;
}

static void raw_describe(struct backend_store *store, char *text, size_t size)
{
	snprintf(text, size, "pwritev2 of 4 KiB over a zero-filled file, %s%s",
	         store->direct ? "O_DIRECT" : "buffered",
	         store->write_flags != 0 ? ", RWF_DSYNC" : "");
}

const struct backend backend_raw = {
	.name = "raw",
	.about = "no store: write 4 KiB and make it durable (workload commit only)",
	.open = raw_open,
	.close = raw_close,
	.thread_open = raw_thread_open,
	.thread_close = raw_thread_close,
	.put = raw_put,
	.sync = raw_sync,
	.describe = raw_describe,
};
