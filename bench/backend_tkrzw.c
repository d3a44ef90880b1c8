/* SPDX-License-Identifier: MIT */
/*
 * backend_tkrzw.c - Tkrzw's TreeDBM, an ordered store without a log, through its C interface
 *
 * Settings: memory-mapped file, hash buckets for pages of half their size, and so many cached pages that 1 GiB
 * of them stay. It has no transactions: several pairs go through one call that is atomic for others. With
 * BACKEND_SYNC every put synchronizes the whole file, which is all that it offers.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <tkrzw_langc.h>

#define CACHE_SIZE (1ull << 30)
#define PAGE_SIZE_MAX 8130u /* Tkrzw's default */
#define BUCKETS_MIN 131101u /* the same */

struct backend_store {
	TkrzwDBM *dbm;
	uint64_t cache_bytes;
	enum backend_sync sync;
};

struct backend_thread {
	struct backend_store *store;
	TkrzwKeyProcPair *procs; /* proc_count of them, for a put of several pairs */
	size_t proc_count;
};

/* Of one record that is shown. */
struct visitor {
	backend_visit_fn *visit;
	void *ctx;
	bool is_there;
};

static int fail(const char *call)
{
	return backend_fail("tkrzw", call, tkrzw_get_last_status_message());
}

static int tkrzw_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	uint64_t buckets = config->user_bytes / PAGE_SIZE_MAX * 2;
	char params[256];
	char path[4096];

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	store->cache_bytes = config->cache_bytes > 0 ? config->cache_bytes : CACHE_SIZE;
	snprintf(path, sizeof path, "%s/bench.tkt", config->dir);
	snprintf(params, sizeof params,
	         "dbm=TreeDBM,file=MemoryMapAtomicFile,max_page_size=%u,num_buckets=%ju,"
	         "max_cached_pages=%ju",
	         PAGE_SIZE_MAX, (uintmax_t)(buckets > BUCKETS_MIN ? buckets : BUCKETS_MIN),
	         (uintmax_t)(store->cache_bytes / PAGE_SIZE_MAX + 1));
	store->dbm = tkrzw_dbm_open(path, true, params);
	if (store->dbm == NULL) {
		free(store);
		return fail("tkrzw_dbm_open");
	}
	*out = store;
	return 0;
}

static int tkrzw_close(struct backend_store *store)
{
	const bool is_closed = tkrzw_dbm_close(store->dbm);

	free(store);
	return is_closed ? 0 : fail("tkrzw_dbm_close");
}

static int tkrzw_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	*out = thread;
	return 0;
}

static void tkrzw_thread_close(struct backend_thread *thread)
{
	free(thread->procs);
	free(thread);
}

static int synchronize(struct backend_store *store)
{
	return tkrzw_dbm_synchronize(store->dbm, true, NULL, NULL, "")
	               ? 0
	               : fail("tkrzw_dbm_synchronize");
}

/* @arg is the pair whose value replaces what is there. */
static const char *replace(void *arg, const char *key, int32_t key_size, const char *value,
                           int32_t value_size, int32_t *new_size)
{
	const struct backend_pair *pair = arg;

	(void)key;
	(void)key_size;
	(void)value;
	(void)value_size;
	*new_size = (int32_t)pair->value.size;
	return pair->value.data;
}

static int put_together(struct backend_thread *thread, size_t count,
                        const struct backend_pair pairs[])
{
	if (count > thread->proc_count) {
		TkrzwKeyProcPair *procs = realloc(thread->procs, count * sizeof *procs);

		if (procs == NULL)
			return -ENOMEM;
		thread->procs = procs;
		thread->proc_count = count;
	}
	for (size_t i = 0; i < count; i++)
		thread->procs[i] = (TkrzwKeyProcPair){(char *)(uintptr_t)pairs[i].key.data,
		                                      (int32_t)pairs[i].key.size, replace,
		                                      (void *)(uintptr_t)&pairs[i]};
	return tkrzw_dbm_process_multi(thread->store->dbm, thread->procs, (int32_t)count, true)
	               ? 0
	               : fail("tkrzw_dbm_process_multi");
}

static int tkrzw_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	int rc = 0;

	if (count > 1)
		rc = put_together(thread, count, pairs);
	else if (!tkrzw_dbm_set(thread->store->dbm, pairs[0].key.data, (int32_t)pairs[0].key.size,
	                        pairs[0].value.data, (int32_t)pairs[0].value.size, true))
		rc = fail("tkrzw_dbm_set");
	if (rc == 0 && thread->store->sync == BACKEND_SYNC)
		rc = synchronize(thread->store);
	return rc;
}

static const char *show(void *arg, const char *key, int32_t key_size, const char *value,
                        int32_t value_size, int32_t *new_size)
{
	struct visitor *visitor = arg;

	(void)new_size;
	visitor->is_there = value != NULL;
	if (value != NULL)
		visitor->visit(visitor->ctx, (struct bwt_slice){key, (size_t)key_size},
		               (struct bwt_slice){value, (size_t)value_size});
	return TKRZW_REC_PROC_NOOP;
}

static int tkrzw_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                     void *ctx)
{
	struct visitor visitor = {visit, ctx, false};

	if (!tkrzw_dbm_process(thread->store->dbm, key.data, (int32_t)key.size, show, &visitor, false))
		return fail("tkrzw_dbm_process");
	return visitor.is_there ? 0 : BWT_NOT_FOUND;
}

static int tkrzw_delete(struct backend_thread *thread, struct bwt_slice key)
{
	if (tkrzw_dbm_remove(thread->store->dbm, key.data, (int32_t)key.size))
		return 0;
	return tkrzw_get_last_status_code() == TKRZW_STATUS_NOT_FOUND_ERROR
	               ? BWT_NOT_FOUND
	               : fail("tkrzw_dbm_remove");
}

static bool seek(TkrzwDBMIter *iterator, struct bwt_slice from, bool backward)
{
	if (from.size == 0)
		return backward ? tkrzw_dbm_iter_last(iterator) : tkrzw_dbm_iter_first(iterator);
	return (backward ? tkrzw_dbm_iter_jump_lower
	                 : tkrzw_dbm_iter_jump_upper)(iterator, from.data, (int32_t)from.size, true);
}

static int tkrzw_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                      bool backward, backend_visit_fn *visit, void *ctx)
{
	TkrzwDBMIter *iterator = tkrzw_dbm_make_iterator(thread->store->dbm);
	struct visitor visitor = {visit, ctx, false};
	bool is_fine = seek(iterator, from, backward);

	for (uint64_t i = 0; i < count && is_fine; i++) {
		is_fine = tkrzw_dbm_iter_process(iterator, show, &visitor, false);
		if (is_fine && i + 1 < count)
			is_fine = backward ? tkrzw_dbm_iter_previous(iterator)
			                   : tkrzw_dbm_iter_next(iterator);
	}
	/* Behind the last record, and where another thread removed the one that it stood on. */
	is_fine = is_fine || tkrzw_get_last_status_code() == TKRZW_STATUS_NOT_FOUND_ERROR;
	tkrzw_dbm_iter_free(iterator);
	return is_fine ? 0 : fail("tkrzw_dbm_iter");
}

static void tkrzw_describe(struct backend_store *store, char *text, size_t size)
{
	snprintf(text, size, "Tkrzw %s, TreeDBM, no log, %s, page cache %ju MiB, memory-mapped file",
	         TKRZW_PACKAGE_VERSION,
	         store->sync == BACKEND_SYNC ? "synchronized at each put" : "never synchronized",
	         (uintmax_t)(store->cache_bytes >> 20));
}

const struct backend backend_tkrzw = {
	.name = "tkrzw",
	.about = "Tkrzw: B+ tree in a hash file, no log",
	.open = tkrzw_open,
	.close = tkrzw_close,
	.thread_open = tkrzw_thread_open,
	.thread_close = tkrzw_thread_close,
	.put = tkrzw_put,
	.get = tkrzw_get,
	.delete = tkrzw_delete,
	.scan = tkrzw_scan,
	.sync = synchronize,
	.checkpoint = synchronize,
	.describe = tkrzw_describe,
};
