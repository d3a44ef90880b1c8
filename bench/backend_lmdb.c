/* SPDX-License-Identifier: MIT */
/*
 * backend_lmdb.c - LMDB
 *
 * Settings: with BACKEND_NONE, MDB_NOSYNC | MDB_WRITEMAP | MDB_NOMEMINIT, which is LMDB at its
 * fastest and without any protection against a power cut; with BACKEND_SYNC its default (pwrite and
 * fdatasync), because msync of a WRITEMAP store is slower. A read transaction is kept by each
 * thread and renewed for every get or scan, as LMDB's manual recommends.
 */
#include "backend.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAP_SIZE_MIN (16ull << 30)
#define MAP_SIZE_FACTOR 8 /* address space over user bytes; the file stays sparse */

struct backend_store {
	MDB_env *env;
	MDB_dbi dbi;
	enum backend_sync sync;
};

struct backend_thread {
	struct backend_store *store;
	MDB_txn *read_txn;  /* reset between uses */
	MDB_cursor *cursor; /* of read_txn */
};

static int fail(const char *call, int rc)
{
	return backend_fail("lmdb", call, mdb_strerror(rc));
}

static int open_dbi(struct backend_store *store)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(store->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &store->dbi);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int lmdb_open(const struct backend_config *config, struct backend_store **out)
{
	const unsigned flags = config->sync == BACKEND_SYNC
	                               ? MDB_NOTLS
	                               : MDB_NOTLS | MDB_NOSYNC | MDB_WRITEMAP | MDB_NOMEMINIT;
	/* As LMDB's manual has it for data larger than memory. */
	const unsigned read_ahead = config->cache_bytes > 0 ? MDB_NORDAHEAD : 0;
	struct backend_store *store = calloc(1, sizeof *store);
	size_t map_size = config->user_bytes * MAP_SIZE_FACTOR;
	int rc;

	if (store == NULL)
		return -ENOMEM;
	if (map_size < MAP_SIZE_MIN)
		map_size = MAP_SIZE_MIN;
	store->sync = config->sync;
	rc = mdb_env_create(&store->env);
	if (rc != 0) {
		free(store);
		return fail("mdb_env_create", rc);
	}
	rc = mdb_env_set_mapsize(store->env, map_size);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(store->env, config->thread_count + 16);
	if (rc == 0)
		rc = mdb_env_open(store->env, config->dir, flags | read_ahead, 0644);
	if (rc == 0)
		rc = open_dbi(store);
	if (rc != 0) {
		mdb_env_close(store->env);
		free(store);
		return fail("mdb_env_open", rc);
	}
	*out = store;
	return 0;
}

static int lmdb_close(struct backend_store *store)
{
	mdb_env_close(store->env);
	free(store);
	return 0;
}

static int lmdb_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);
	int rc;

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &thread->read_txn);
	if (rc != 0) {
		free(thread);
		return fail("mdb_txn_begin", rc);
	}
	rc = mdb_cursor_open(thread->read_txn, store->dbi, &thread->cursor);
	mdb_txn_reset(thread->read_txn);
	if (rc != 0) {
		mdb_txn_abort(thread->read_txn);
		free(thread);
		return fail("mdb_cursor_open", rc);
	}
	*out = thread;
	return 0;
}

static void lmdb_thread_close(struct backend_thread *thread)
{
	mdb_cursor_close(thread->cursor);
	mdb_txn_abort(thread->read_txn);
	free(thread);
}

/* LMDB's type has no const; it only reads what these point to. */
static MDB_val val_of(struct bwt_slice slice)
{
	MDB_val val = {.mv_size = slice.size};

	memcpy(&val.mv_data, &slice.data, sizeof val.mv_data);
	return val;
}

static struct bwt_slice slice_of(const MDB_val *val)
{
	return (struct bwt_slice){val->mv_data, val->mv_size};
}

static int lmdb_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(thread->store->env, NULL, 0, &txn);

	if (rc != 0)
		return fail("mdb_txn_begin", rc);
	for (size_t i = 0; i < count; i++) {
		MDB_val key = val_of(pairs[i].key);
		MDB_val value = val_of(pairs[i].value);

		rc = mdb_put(txn, thread->store->dbi, &key, &value, 0);
		if (rc != 0) {
			mdb_txn_abort(txn);
			return fail("mdb_put", rc);
		}
	}
	rc = mdb_txn_commit(txn);
	return rc != 0 ? fail("mdb_txn_commit", rc) : 0;
}

static int lmdb_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                    void *ctx)
{
	MDB_val wanted = val_of(key);
	MDB_val value;
	int rc = mdb_txn_renew(thread->read_txn);

	if (rc != 0)
		return fail("mdb_txn_renew", rc);
	rc = mdb_get(thread->read_txn, thread->store->dbi, &wanted, &value);
	if (rc == 0)
		visit(ctx, key, slice_of(&value));
	mdb_txn_reset(thread->read_txn);
	if (rc == MDB_NOTFOUND)
		return BWT_NOT_FOUND;
	return rc != 0 ? fail("mdb_get", rc) : 0;
}

static int lmdb_delete(struct backend_thread *thread, struct bwt_slice key)
{
	MDB_val wanted = val_of(key);
	MDB_txn *txn;
	int rc = mdb_txn_begin(thread->store->env, NULL, 0, &txn);

	if (rc != 0)
		return fail("mdb_txn_begin", rc);
	rc = mdb_del(txn, thread->store->dbi, &wanted, NULL);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return rc == MDB_NOTFOUND ? BWT_NOT_FOUND : fail("mdb_del", rc);
	}
	rc = mdb_txn_commit(txn);
	return rc != 0 ? fail("mdb_txn_commit", rc) : 0;
}

/* To the last entry at or below @from. */
static int seek_back(MDB_cursor *cursor, struct bwt_slice from, MDB_val *key, MDB_val *value)
{
	int rc;

	if (from.size == 0)
		return mdb_cursor_get(cursor, key, value, MDB_LAST);
	rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		return mdb_cursor_get(cursor, key, value, MDB_LAST);
	if (rc == 0 && (key->mv_size != from.size || memcmp(key->mv_data, from.data, from.size) != 0))
		return mdb_cursor_get(cursor, key, value, MDB_PREV);
	return rc;
}

static int lmdb_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                     bool backward, backend_visit_fn *visit, void *ctx)
{
	MDB_val key = val_of(from);
	MDB_val value;
	int rc = mdb_txn_renew(thread->read_txn);

	if (rc == 0)
		rc = mdb_cursor_renew(thread->read_txn, thread->cursor);
	if (rc != 0)
		return fail("mdb_cursor_renew", rc);
	rc = backward ? seek_back(thread->cursor, from, &key, &value)
	              : mdb_cursor_get(thread->cursor, &key, &value,
	                               from.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
	for (uint64_t i = 0; i < count && rc == 0; i++) {
		visit(ctx, slice_of(&key), slice_of(&value));
		if (i + 1 < count)
			rc = mdb_cursor_get(thread->cursor, &key, &value,
			                    backward ? MDB_PREV : MDB_NEXT);
	}
	mdb_txn_reset(thread->read_txn);
	return rc != 0 && rc != MDB_NOTFOUND ? fail("mdb_cursor_get", rc) : 0;
}

static int lmdb_sync(struct backend_store *store)
{
	int rc = mdb_env_sync(store->env, 1);

	return rc != 0 ? fail("mdb_env_sync", rc) : 0;
}

static void lmdb_describe(struct backend_store *store, char *text, size_t size)
{
	int major;
	int minor;
	int patch;

	mdb_version(&major, &minor, &patch);
	snprintf(text, size, "LMDB %d.%d.%d, no log, %s, read txn renewed per get", major, minor,
	         patch,
	         store->sync == BACKEND_SYNC ? "default flags (fdatasync per txn)"
	                                     : "NOSYNC|WRITEMAP|NOMEMINIT");
}

const struct backend backend_lmdb = {
	.name = "lmdb",
	.about = "LMDB: copy-on-write B+tree in a memory map, one writer, no log",
	.open = lmdb_open,
	.close = lmdb_close,
	.thread_open = lmdb_thread_open,
	.thread_close = lmdb_thread_close,
	.put = lmdb_put,
	.get = lmdb_get,
	.delete = lmdb_delete,
	.scan = lmdb_scan,
	.sync = lmdb_sync,
	.checkpoint = lmdb_sync,
	.describe = lmdb_describe,
};
