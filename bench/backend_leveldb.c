/* SPDX-License-Identifier: MIT */
/*
 * backend_leveldb.c - LevelDB, through its C interface
 *
 * Settings: no compression, bloom filter of 10 bits a key, 1 GiB block cache, 64 MiB write buffer
 * (the default of 4 MiB would only measure compaction). The log is always on.
 */
#include "backend.h"

#include <errno.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_SIZE (1ull << 30)
#define WRITE_BUFFER_SIZE (64ull << 20)
#define OPEN_FILES_MAX 4000
#define BLOOM_BITS 10
#define WRITE_BUFFER_SHARE 4 /* of a cache that was given */

struct backend_store {
	leveldb_t *db;
	leveldb_options_t *options;
	leveldb_filterpolicy_t *filter;
	leveldb_cache_t *cache;
	leveldb_writeoptions_t *write_options;
	leveldb_readoptions_t *read_options;
	uint64_t cache_bytes;
	uint64_t write_buffer;
	enum backend_sync sync;
};

struct backend_thread {
	struct backend_store *store;
	leveldb_writebatch_t *batch;
};

static int fail(const char *call, char *error)
{
	int rc = backend_fail("leveldb", call, error);

	leveldb_free(error);
	return rc;
}

static void free_options(struct backend_store *store)
{
	leveldb_readoptions_destroy(store->read_options);
	leveldb_writeoptions_destroy(store->write_options);
	leveldb_options_destroy(store->options);
	leveldb_filterpolicy_destroy(store->filter);
	leveldb_cache_destroy(store->cache);
	free(store);
}

static void make_options(struct backend_store *store, uint64_t cache_bytes)
{
	store->cache_bytes = cache_bytes > 0 ? cache_bytes : CACHE_SIZE;
	store->write_buffer = cache_bytes > 0 ? cache_bytes / WRITE_BUFFER_SHARE : WRITE_BUFFER_SIZE;
	store->cache = leveldb_cache_create_lru(store->cache_bytes);
	store->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
	store->options = leveldb_options_create();
	leveldb_options_set_create_if_missing(store->options, 1);
	leveldb_options_set_compression(store->options, leveldb_no_compression);
	leveldb_options_set_cache(store->options, store->cache);
	leveldb_options_set_filter_policy(store->options, store->filter);
	leveldb_options_set_write_buffer_size(store->options, store->write_buffer);
	leveldb_options_set_max_open_files(store->options, OPEN_FILES_MAX);
	store->write_options = leveldb_writeoptions_create();
	leveldb_writeoptions_set_sync(store->write_options, store->sync == BACKEND_SYNC);
	store->read_options = leveldb_readoptions_create();
}

static int level_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	char *error = NULL;

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	make_options(store, config->cache_bytes);
	store->db = leveldb_open(store->options, config->dir, &error);
	if (error != NULL) {
		free_options(store);
		return fail("leveldb_open", error);
	}
	*out = store;
	return 0;
}

static int level_close(struct backend_store *store)
{
	leveldb_close(store->db);
	free_options(store);
	return 0;
}

static int level_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	thread->batch = leveldb_writebatch_create();
	*out = thread;
	return 0;
}

static void level_thread_close(struct backend_thread *thread)
{
	leveldb_writebatch_destroy(thread->batch);
	free(thread);
}

static int level_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	struct backend_store *store = thread->store;
	char *error = NULL;

	if (count == 1) {
		leveldb_put(store->db, store->write_options, pairs[0].key.data, pairs[0].key.size,
		            pairs[0].value.data, pairs[0].value.size, &error);
		return error != NULL ? fail("leveldb_put", error) : 0;
	}
	leveldb_writebatch_clear(thread->batch);
	for (size_t i = 0; i < count; i++)
		leveldb_writebatch_put(thread->batch, pairs[i].key.data, pairs[i].key.size,
		                       pairs[i].value.data, pairs[i].value.size);
	leveldb_write(store->db, store->write_options, thread->batch, &error);
	return error != NULL ? fail("leveldb_write", error) : 0;
}

static int level_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                     void *ctx)
{
	struct bwt_slice value;
	char *error = NULL;
	char *copy = leveldb_get(thread->store->db, thread->store->read_options, key.data, key.size,
	                         &value.size, &error);

	if (error != NULL)
		return fail("leveldb_get", error);
	if (copy == NULL)
		return BWT_NOT_FOUND;
	value.data = copy;
	visit(ctx, key, value);
	leveldb_free(copy);
	return 0;
}

static int level_delete(struct backend_thread *thread, struct bwt_slice key)
{
	char *error = NULL;

	leveldb_delete(thread->store->db, thread->store->write_options, key.data, key.size, &error);
	return error != NULL ? fail("leveldb_delete", error) : 0;
}

/* To the last entry at or below @from. */
static void seek_back(leveldb_iterator_t *iterator, struct bwt_slice from)
{
	const char *key;
	size_t size;

	if (from.size > 0)
		leveldb_iter_seek(iterator, from.data, from.size);
	if (from.size == 0 || !leveldb_iter_valid(iterator)) {
		leveldb_iter_seek_to_last(iterator);
		return;
	}
	key = leveldb_iter_key(iterator, &size);
	if (size != from.size || memcmp(key, from.data, size) != 0)
		leveldb_iter_prev(iterator);
}

static int level_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                      bool backward, backend_visit_fn *visit, void *ctx)
{
	leveldb_iterator_t *iterator =
		leveldb_create_iterator(thread->store->db, thread->store->read_options);
	char *error = NULL;

	if (backward)
		seek_back(iterator, from);
	else if (from.size == 0)
		leveldb_iter_seek_to_first(iterator);
	else
		leveldb_iter_seek(iterator, from.data, from.size);
	for (uint64_t i = 0; i < count && leveldb_iter_valid(iterator); i++) {
		struct bwt_slice key;
		struct bwt_slice value;

		key.data = leveldb_iter_key(iterator, &key.size);
		value.data = leveldb_iter_value(iterator, &value.size);
		visit(ctx, key, value);
		if (i + 1 < count)
			(backward ? leveldb_iter_prev : leveldb_iter_next)(iterator);
	}
	leveldb_iter_get_error(iterator, &error);
	leveldb_iter_destroy(iterator);
	return error != NULL ? fail("leveldb_iter", error) : 0;
}

/* LevelDB has no call for this; an empty write that waits for its log flushes what came before. */
static int level_sync(struct backend_store *store)
{
	leveldb_writeoptions_t *durable = leveldb_writeoptions_create();
	leveldb_writebatch_t *nothing = leveldb_writebatch_create();
	char *error = NULL;

	leveldb_writeoptions_set_sync(durable, 1);
	leveldb_write(store->db, durable, nothing, &error);
	leveldb_writebatch_destroy(nothing);
	leveldb_writeoptions_destroy(durable);
	return error != NULL ? fail("leveldb_write", error) : 0;
}

static void level_describe(struct backend_store *store, char *text, size_t size)
{
	snprintf(text, size,
	         "LevelDB %d.%d, log on, sync %d, bloom %d bits, block cache %ju MiB, write buffer "
	         "%ju MiB, no compression",
	         leveldb_major_version(), leveldb_minor_version(), store->sync == BACKEND_SYNC,
	         BLOOM_BITS, (uintmax_t)(store->cache_bytes >> 20),
	         (uintmax_t)(store->write_buffer >> 20));
}

const struct backend backend_leveldb = {
	.name = "leveldb",
	.about = "LevelDB: log-structured merge tree, one writer",
	.open = level_open,
	.close = level_close,
	.thread_open = level_thread_open,
	.thread_close = level_thread_close,
	.put = level_put,
	.get = level_get,
	.delete = level_delete,
	.scan = level_scan,
	.sync = level_sync,
	.describe = level_describe,
};
