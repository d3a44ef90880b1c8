/* SPDX-License-Identifier: MIT */
/*
 * backend_rocksdb.c - RocksDB, through its C interface
 *
 * Settings: log on, no compression, bloom filter of 10 bits a key, 1 GiB block cache, as many
 * background jobs as processors (2 at least), level sizes chosen by RocksDB
 * (level_compaction_dynamic_level_bytes). Gets use rocksdb_get_pinned(), which copies least.
 *
 * "rocksdb-txn" is the same opened as an OptimisticTransactionDB, which validates at commit against what its
 * memtables still know; it is a store of its own, so that the other rows measure RocksDB as most use it.
 */
#include "backend.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_SIZE (1ull << 30)
#define BLOOM_BITS 10
#define WRITE_BUFFER_SHARE 4 /* of a cache that was given */

/* BENCH_HAVE_ROCKSDB is the version (the C interface does not tell it). */
#define TEXT_OF(token) #token
#define VERSION_TEXT(version) TEXT_OF(version)

struct backend_store {
	rocksdb_t *db;
	rocksdb_optimistictransactiondb_t *optimistic; /* NULL: "rocksdb" */
	rocksdb_optimistictransaction_options_t *transaction_options;
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *table_options;
	rocksdb_cache_t *cache;
	rocksdb_writeoptions_t *write_options;
	rocksdb_readoptions_t *read_options;
	enum backend_sync sync;
};

struct backend_thread {
	struct backend_store *store;
	rocksdb_writebatch_t *batch;
	rocksdb_transaction_t *transaction; /* the last one, used again; NULL: none yet */
};

static int fail(const char *call, char *error)
{
	int rc = backend_fail("rocksdb", call, error);

	rocksdb_free(error);
	return rc;
}

static void free_options(struct backend_store *store)
{
	rocksdb_readoptions_destroy(store->read_options);
	rocksdb_writeoptions_destroy(store->write_options);
	rocksdb_options_destroy(store->options);
	rocksdb_block_based_options_destroy(store->table_options);
	rocksdb_cache_destroy(store->cache);
	free(store);
}

static void make_options(struct backend_store *store, uint64_t cache_bytes)
{
	const long cpu_count = sysconf(_SC_NPROCESSORS_ONLN);

	store->cache = rocksdb_cache_create_lru(cache_bytes > 0 ? cache_bytes : CACHE_SIZE);
	store->table_options = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_block_cache(store->table_options, store->cache);
	/* The table options take the policy over. */
	rocksdb_block_based_options_set_filter_policy(
		store->table_options, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
	store->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(store->options, 1);
	rocksdb_options_set_compression(store->options, rocksdb_no_compression);
	rocksdb_options_set_block_based_table_factory(store->options, store->table_options);
	rocksdb_options_set_max_background_jobs(store->options, cpu_count < 2 ? 2 : (int)cpu_count);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(store->options, 1);
	if (cache_bytes > 0)
		rocksdb_options_set_write_buffer_size(store->options,
		                                      cache_bytes / WRITE_BUFFER_SHARE);
	store->write_options = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(store->write_options, store->sync == BACKEND_SYNC);
	store->read_options = rocksdb_readoptions_create();
}

static int rocks_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	char *error = NULL;

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	make_options(store, config->cache_bytes);
	store->db = rocksdb_open(store->options, config->dir, &error);
	if (error != NULL) {
		free_options(store);
		return fail("rocksdb_open", error);
	}
	*out = store;
	return 0;
}

static int rocks_txn_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	char *error = NULL;

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	make_options(store, config->cache_bytes);
	store->optimistic = rocksdb_optimistictransactiondb_open(store->options, config->dir, &error);
	if (error != NULL) {
		free_options(store);
		return fail("rocksdb_optimistictransactiondb_open", error);
	}
	store->db = rocksdb_optimistictransactiondb_get_base_db(store->optimistic);
	store->transaction_options = rocksdb_optimistictransaction_options_create();
	rocksdb_optimistictransaction_options_set_set_snapshot(store->transaction_options, 1);
	*out = store;
	return 0;
}

static int rocks_txn_close(struct backend_store *store)
{
	rocksdb_optimistictransaction_options_destroy(store->transaction_options);
	rocksdb_optimistictransactiondb_close_base_db(store->db);
	rocksdb_optimistictransactiondb_close(store->optimistic);
	free_options(store);
	return 0;
}

static int rocks_close(struct backend_store *store)
{
	rocksdb_close(store->db);
	free_options(store);
	return 0;
}

static int rocks_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	thread->batch = rocksdb_writebatch_create();
	*out = thread;
	return 0;
}

static void rocks_thread_close(struct backend_thread *thread)
{
	rocksdb_writebatch_destroy(thread->batch);
	if (thread->transaction != NULL)
		rocksdb_transaction_destroy(thread->transaction);
	free(thread);
}

static int rocks_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	struct backend_store *store = thread->store;
	char *error = NULL;

	if (count == 1) {
		rocksdb_put(store->db, store->write_options, pairs[0].key.data, pairs[0].key.size,
		            pairs[0].value.data, pairs[0].value.size, &error);
		return error != NULL ? fail("rocksdb_put", error) : 0;
	}
	rocksdb_writebatch_clear(thread->batch);
	for (size_t i = 0; i < count; i++)
		rocksdb_writebatch_put(thread->batch, pairs[i].key.data, pairs[i].key.size,
		                       pairs[i].value.data, pairs[i].value.size);
	rocksdb_write(store->db, store->write_options, thread->batch, &error);
	return error != NULL ? fail("rocksdb_write", error) : 0;
}

/* What is read is tracked, so that a commit refuses what another one changed since the snapshot. */
static void update_pairs(struct backend_thread *thread, size_t count,
                         const struct backend_pair pairs[], backend_visit_fn *visit, void *ctx,
                         char **error)
{
	for (size_t i = 0; i < count && *error == NULL; i++) {
		struct bwt_slice key = pairs[i].key, value = pairs[i].value, old;
		char *found = rocksdb_transaction_get_for_update(
			thread->transaction, thread->store->read_options, key.data, key.size,
			&old.size, 1, error);

		if (*error != NULL)
			return;
		old.data = found;
		if (found != NULL)
			visit(ctx, key, old);
		rocksdb_free(found);
		rocksdb_transaction_put(thread->transaction, key.data, key.size, value.data,
		                        value.size, error);
	}
}

static int rocks_update(struct backend_thread *thread, size_t count,
                        const struct backend_pair pairs[], backend_visit_fn *visit, void *ctx)
{
	struct backend_store *store = thread->store;
	char *error = NULL;
	bool refused;

	thread->transaction =
		rocksdb_optimistictransaction_begin(store->optimistic, store->write_options,
	                                            store->transaction_options, thread->transaction);
	update_pairs(thread, count, pairs, visit, ctx, &error);
	if (error == NULL)
		rocksdb_transaction_commit(thread->transaction, &error);
	if (error == NULL)
		return 0;
	refused = strncmp(error, "Resource busy", 13) == 0 || strstr(error, "Try again") != NULL;
	if (!refused)
		return fail("rocksdb_transaction", error);
	rocksdb_free(error);
	error = NULL;
	rocksdb_transaction_rollback(thread->transaction, &error);
	return error != NULL ? fail("rocksdb_transaction_rollback", error) : BWT_CONFLICT;
}

static int rocks_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                     void *ctx)
{
	struct bwt_slice value;
	rocksdb_pinnableslice_t *pinned;
	char *error = NULL;

	pinned = rocksdb_get_pinned(thread->store->db, thread->store->read_options, key.data,
	                            key.size, &error);
	if (error != NULL)
		return fail("rocksdb_get", error);
	if (pinned == NULL)
		return BWT_NOT_FOUND;
	value.data = rocksdb_pinnableslice_value(pinned, &value.size);
	visit(ctx, key, value);
	rocksdb_pinnableslice_destroy(pinned);
	return 0;
}

static int rocks_delete(struct backend_thread *thread, struct bwt_slice key)
{
	char *error = NULL;

	rocksdb_delete(thread->store->db, thread->store->write_options, key.data, key.size, &error);
	return error != NULL ? fail("rocksdb_delete", error) : 0;
}

/* To the last entry at or below @from. */
static void seek_back(rocksdb_iterator_t *iterator, struct bwt_slice from)
{
	if (from.size == 0)
		rocksdb_iter_seek_to_last(iterator);
	else
		rocksdb_iter_seek_for_prev(iterator, from.data, from.size);
}

static int rocks_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                      bool backward, backend_visit_fn *visit, void *ctx)
{
	rocksdb_iterator_t *iterator =
		rocksdb_create_iterator(thread->store->db, thread->store->read_options);
	char *error = NULL;

	if (backward)
		seek_back(iterator, from);
	else if (from.size == 0)
		rocksdb_iter_seek_to_first(iterator);
	else
		rocksdb_iter_seek(iterator, from.data, from.size);
	for (uint64_t i = 0; i < count && rocksdb_iter_valid(iterator); i++) {
		struct bwt_slice key;
		struct bwt_slice value;

		key.data = rocksdb_iter_key(iterator, &key.size);
		value.data = rocksdb_iter_value(iterator, &value.size);
		visit(ctx, key, value);
		if (i + 1 < count)
			(backward ? rocksdb_iter_prev : rocksdb_iter_next)(iterator);
	}
	rocksdb_iter_get_error(iterator, &error);
	rocksdb_iter_destroy(iterator);
	return error != NULL ? fail("rocksdb_iter", error) : 0;
}

static int rocks_sync(struct backend_store *store)
{
	char *error = NULL;

	rocksdb_flush_wal(store->db, 1, &error);
	return error != NULL ? fail("rocksdb_flush_wal", error) : 0;
}

/* Memtables to the disk: the log behind them is no longer needed. */
static int rocks_checkpoint(struct backend_store *store)
{
	rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
	char *error = NULL;

	rocksdb_flushoptions_set_wait(options, 1);
	rocksdb_flush(store->db, options, &error);
	rocksdb_flushoptions_destroy(options);
	return error != NULL ? fail("rocksdb_flush", error) : 0;
}

static void rocks_describe(struct backend_store *store, char *text, size_t size)
{
	snprintf(text, size,
	         "RocksDB " VERSION_TEXT(
			 BENCH_HAVE_ROCKSDB) ", WAL on, sync %d, bloom %d bits, block cache %zu "
	                                     "MiB, "
	                                     "no compression,"
	                                     " dynamic level bytes, background jobs %d",
	         store->sync == BACKEND_SYNC, BLOOM_BITS,
	         rocksdb_cache_get_capacity(store->cache) >> 20,
	         rocksdb_options_get_max_background_jobs(store->options));
}

const struct backend backend_rocksdb = {
	.name = "rocksdb",
	.about = "RocksDB: log-structured merge tree",
	.open = rocks_open,
	.close = rocks_close,
	.thread_open = rocks_thread_open,
	.thread_close = rocks_thread_close,
	.put = rocks_put,
	.get = rocks_get,
	.delete = rocks_delete,
	.scan = rocks_scan,
	.sync = rocks_sync,
	.checkpoint = rocks_checkpoint,
	.describe = rocks_describe,
};

const struct backend backend_rocksdb_txn = {
	.name = "rocksdb-txn",
	.about = "RocksDB as an OptimisticTransactionDB",
	.open = rocks_txn_open,
	.close = rocks_txn_close,
	.thread_open = rocks_thread_open,
	.thread_close = rocks_thread_close,
	.put = rocks_put,
	.get = rocks_get,
	.update = rocks_update,
	.delete = rocks_delete,
	.scan = rocks_scan,
	.sync = rocks_sync,
	.checkpoint = rocks_checkpoint,
	.describe = rocks_describe,
};
