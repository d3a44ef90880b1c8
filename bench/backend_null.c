/* SPDX-License-Identifier: MIT */
/*
 * backend_null.c - a store that does nothing at once
 *
 * Why: its rows are the cost of the benchmark itself (choosing keys, making values, reading the
 * clock), which every other row contains too.
 */
#include "backend.h"

#include <stdio.h>

static int null_open(const struct backend_config *config, struct backend_store **out)
{
	(void)config;
	*out = NULL;
	return 0;
}

static int null_close(struct backend_store *store)
{
	(void)store;
	return 0;
}

static int null_thread_open(struct backend_store *store, struct backend_thread **out)
{
	(void)store;
	*out = NULL;
	return 0;
}

static void null_thread_close(struct backend_thread *thread)
{
	(void)thread;
}

static int null_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	(void)thread;
	(void)count;
	(void)pairs;
	return 0;
}

static int null_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                    void *ctx)
{
	(void)thread;
	(void)key;
	(void)visit;
	(void)ctx;
	return 0;
}

static int null_delete(struct backend_thread *thread, struct bwt_slice key)
{
	(void)thread;
	(void)key;
	return 0;
}

static int null_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                     bool backward, backend_visit_fn *visit, void *ctx)
{
	(void)thread;
	(void)from;
	(void)count;
	(void)backward;
	(void)visit;
	(void)ctx;
	return 0;
}

static int null_sync(struct backend_store *store)
{
	(void)store;
	return 0;
}

static void null_describe(struct backend_store *store, char *text, size_t size)
{
	(void)store;
	snprintf(text, size, "no store: the cost of the benchmark itself");
}

const struct backend backend_null = {
	.name = "null",
	.about = "no store at all: the cost of the benchmark itself",
	.open = null_open,
	.close = null_close,
	.thread_open = null_thread_open,
	.thread_close = null_thread_close,
	.put = null_put,
	.get = null_get,
	.delete = null_delete,
	.scan = null_scan,
	.sync = null_sync,
	.describe = null_describe,
};
