/* SPDX-License-Identifier: MIT */
/*
 * backend_bdb.c - Berkeley DB 5.3, B-tree access method in a transactional environment
 *
 * Settings: private environment with 1 GiB cache, log on and removed when no longer needed, 32 MiB
 * log buffer, a checkpoint whenever 256 MiB were logged (Berkeley DB leaves that to its caller, so
 * every few thousand puts a thread asks for one that is due). With BACKEND_NONE commits neither
 * write nor flush the log (DB_TXN_NOSYNC). Deadlock victims run again.
 */
#include "backend.h"

#include <db.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_SIZE (1ull << 30)
#define LOG_BUFFER_SHARE 4 /* of a cache that was given, at most */
#define LOG_BUFFER_SIZE (32u << 20)
#define LOG_FILE_SIZE (256u << 20)
#define LOCKS_MAX 100000
#define CHECKPOINT_KIB (256u << 10)
#define CHECKPOINT_PUTS 4096 /* how often a thread asks whether one is due */

struct backend_store {
	DB_ENV *env;
	DB *db;
	uint64_t cache_bytes;
	enum backend_sync sync;
};

struct backend_thread {
	struct backend_store *store;
	uint64_t put_count;
	DBT value; /* DB_DBT_REALLOC */
	DBT key;   /* DB_DBT_REALLOC */
};

static int fail(const char *call, int rc)
{
	return backend_fail("bdb", call, db_strerror(rc));
}

static int open_env(struct backend_store *store, const struct backend_config *config)
{
	const uint64_t cache = store->cache_bytes;
	int rc = db_env_create(&store->env, 0);

	if (rc != 0)
		return rc;
	rc = store->env->set_cachesize(store->env, (u_int32_t)(cache >> 30),
	                               (u_int32_t)(cache & ((1u << 30) - 1)), 1);
	if (rc == 0)
		rc = store->env->set_lg_bsize(store->env,
		                              cache / LOG_BUFFER_SHARE < LOG_BUFFER_SIZE
		                                      ? (u_int32_t)(cache / LOG_BUFFER_SHARE)
		                                      : LOG_BUFFER_SIZE);
	if (rc == 0)
		rc = store->env->set_lg_max(store->env, LOG_FILE_SIZE);
	if (rc == 0)
		rc = store->env->set_lk_detect(store->env, DB_LOCK_DEFAULT);
	if (rc == 0)
		rc = store->env->set_lk_max_locks(store->env, LOCKS_MAX);
	if (rc == 0)
		rc = store->env->set_lk_max_objects(store->env, LOCKS_MAX);
	if (rc == 0)
		rc = store->env->log_set_config(store->env, DB_LOG_AUTO_REMOVE, 1);
	if (rc == 0 && config->sync == BACKEND_NONE)
		rc = store->env->set_flags(store->env, DB_TXN_NOSYNC, 1);
	if (rc == 0)
		rc = store->env->open(store->env, config->dir,
		                      DB_CREATE | DB_RECOVER | DB_INIT_LOCK | DB_INIT_LOG |
		                              DB_INIT_MPOOL | DB_INIT_TXN | DB_PRIVATE | DB_THREAD,
		                      0644);
	if (rc != 0)
		(void)store->env->close(store->env, 0);
	return rc;
}

static int bdb_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	int rc;

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	store->cache_bytes = config->cache_bytes > 0 ? config->cache_bytes : CACHE_SIZE;
	rc = open_env(store, config);
	if (rc != 0) {
		free(store);
		return fail("DB_ENV->open", rc);
	}
	rc = db_create(&store->db, store->env, 0);
	if (rc == 0) {
		rc = store->db->open(store->db, NULL, "bench.db", NULL, DB_BTREE,
		                     DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0644);
		if (rc != 0)
			(void)store->db->close(store->db, 0);
	}
	if (rc != 0) {
		(void)store->env->close(store->env, 0);
		free(store);
		return fail("DB->open", rc);
	}
	*out = store;
	return 0;
}

static int bdb_close(struct backend_store *store)
{
	int rc = store->db->close(store->db, 0);
	int env_rc = store->env->txn_checkpoint(store->env, 0, 0, 0);

	if (rc == 0)
		rc = env_rc;
	env_rc = store->env->close(store->env, 0);
	if (rc == 0)
		rc = env_rc;
	free(store);
	return rc != 0 ? fail("DB_ENV->close", rc) : 0;
}

static int bdb_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	thread->key.flags = DB_DBT_REALLOC;
	thread->value.flags = DB_DBT_REALLOC;
	*out = thread;
	return 0;
}

static void bdb_thread_close(struct backend_thread *thread)
{
	free(thread->key.data);
	free(thread->value.data);
	free(thread);
}

/* Berkeley DB's type has no const; it only reads what these point to. */
static DBT dbt_of(struct bwt_slice slice)
{
	DBT dbt = {.size = (u_int32_t)slice.size};

	memcpy(&dbt.data, &slice.data, sizeof dbt.data);
	return dbt;
}

static struct bwt_slice slice_of(const DBT *dbt)
{
	return (struct bwt_slice){dbt->data, dbt->size};
}

static int put_pairs(DB *db, DB_TXN *txn, size_t count, const struct backend_pair pairs[])
{
	for (size_t i = 0; i < count; i++) {
		DBT key = dbt_of(pairs[i].key);
		DBT value = dbt_of(pairs[i].value);
		int rc = db->put(db, txn, &key, &value, 0);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static int put_in_txn(struct backend_store *store, size_t count, const struct backend_pair pairs[])
{
	DB_TXN *txn;
	int rc = store->env->txn_begin(store->env, NULL, &txn, 0);

	if (rc != 0)
		return rc;
	rc = put_pairs(store->db, txn, count, pairs);
	if (rc == 0)
		return txn->commit(txn, 0);
	(void)txn->abort(txn);
	return rc;
}

static int bdb_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	struct backend_store *store = thread->store;
	int rc;

	do {
		rc = count == 1 ? put_pairs(store->db, NULL, count, pairs)
		                : put_in_txn(store, count, pairs);
	} while (rc == DB_LOCK_DEADLOCK);
	if (rc != 0)
		return fail("DB->put", rc);
	if (++thread->put_count % CHECKPOINT_PUTS == 0) {
		rc = store->env->txn_checkpoint(store->env, CHECKPOINT_KIB, 0, 0);
		if (rc != 0)
			return fail("txn_checkpoint", rc);
	}
	return 0;
}

static int bdb_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                   void *ctx)
{
	DB *db = thread->store->db;
	DBT wanted = dbt_of(key);
	int rc;

	do {
		rc = db->get(db, NULL, &wanted, &thread->value, 0);
	} while (rc == DB_LOCK_DEADLOCK);
	if (rc == DB_NOTFOUND)
		return BWT_NOT_FOUND;
	if (rc != 0)
		return fail("DB->get", rc);
	visit(ctx, key, slice_of(&thread->value));
	return 0;
}

static int bdb_delete(struct backend_thread *thread, struct bwt_slice key)
{
	DB *db = thread->store->db;
	DBT wanted = dbt_of(key);
	int rc;

	do {
		rc = db->del(db, NULL, &wanted, 0);
	} while (rc == DB_LOCK_DEADLOCK);
	if (rc == DB_NOTFOUND)
		return BWT_NOT_FOUND;
	return rc != 0 ? fail("DB->del", rc) : 0;
}

/* Put @from where the cursor reads its key and, as DB_DBT_REALLOC, writes the key that it finds. */
static int set_key(DBT *dbt, struct bwt_slice from)
{
	void *data = realloc(dbt->data, from.size);

	if (data == NULL)
		return ENOMEM;
	memcpy(data, from.data, from.size);
	dbt->data = data;
	dbt->size = (u_int32_t)from.size;
	return 0;
}

/* A deadlock ends the scan early, as a program that shows a page of results would take it. */
/* From where a seek for @from ended with @rc to the last entry at or below it. */
static int to_below(DBC *cursor, struct backend_thread *thread, struct bwt_slice from, int rc)
{
	if (rc == DB_NOTFOUND)
		return cursor->get(cursor, &thread->key, &thread->value, DB_LAST);
	if (rc == 0 &&
	    (thread->key.size != from.size || memcmp(thread->key.data, from.data, from.size) != 0))
		return cursor->get(cursor, &thread->key, &thread->value, DB_PREV);
	return rc;
}

static int bdb_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                    bool backward, backend_visit_fn *visit, void *ctx)
{
	DB *db = thread->store->db;
	const u_int32_t step = backward ? DB_PREV : DB_NEXT;
	u_int32_t move = from.size > 0 ? DB_SET_RANGE : backward ? DB_LAST : DB_FIRST;
	DBC *cursor;
	int rc = db->cursor(db, NULL, &cursor, 0);

	if (rc != 0)
		return fail("DB->cursor", rc);
	if (from.size != 0)
		rc = set_key(&thread->key, from);
	for (uint64_t i = 0; i < count && rc == 0; i++) {
		rc = cursor->get(cursor, &thread->key, &thread->value, move);
		if (i == 0 && backward && from.size > 0)
			rc = to_below(cursor, thread, from, rc);
		if (rc == 0)
			visit(ctx, slice_of(&thread->key), slice_of(&thread->value));
		move = step;
	}
	(void)cursor->close(cursor);
	return rc != 0 && rc != DB_NOTFOUND && rc != DB_LOCK_DEADLOCK ? fail("DBC->get", rc) : 0;
}

static int bdb_sync(struct backend_store *store)
{
	int rc = store->env->log_flush(store->env, NULL);

	return rc != 0 ? fail("log_flush", rc) : 0;
}

static int bdb_checkpoint(struct backend_store *store)
{
	int rc = store->env->txn_checkpoint(store->env, 0, 0, DB_FORCE);

	return rc != 0 ? fail("txn_checkpoint", rc) : 0;
}

static void bdb_describe(struct backend_store *store, char *text, size_t size)
{
	snprintf(text,
	         size, "%s, log on, %s, private cache %ju MiB, log buffer 32 MiB, checkpoint every 256 MiB of log",
	         db_version(NULL, NULL, NULL),
	         store->sync == BACKEND_SYNC ? "commits flush the log" : "DB_TXN_NOSYNC",
	         (uintmax_t)(store->cache_bytes >> 20));
}

const struct backend backend_bdb = {
	.name = "bdb",
	.about = "Berkeley DB: B-tree with page locks, cache and log",
	.open = bdb_open,
	.close = bdb_close,
	.thread_open = bdb_thread_open,
	.thread_close = bdb_thread_close,
	.put = bdb_put,
	.get = bdb_get,
	.delete = bdb_delete,
	.scan = bdb_scan,
	.sync = bdb_sync,
	.checkpoint = bdb_checkpoint,
	.describe = bdb_describe,
};
