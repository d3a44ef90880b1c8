/* SPDX-License-Identifier: MIT */
/*
 * backend_wiredtiger.c - WiredTiger
 *
 * Settings: row store, 2 GiB cache, log enabled, checkpoints every 60 s or 1 GiB of log, no
 * compression. With BACKEND_SYNC every commit waits for an fsync of the log, with BACKEND_NONE
 * the log is buffered and nobody waits. One session and one cursor per thread; a put of one pair is
 * an autocommit transaction, of several an explicit one.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <wiredtiger.h>

#define TABLE_URI "table:bench"
#define CACHE_SIZE (2ull << 30)

struct backend_store {
	WT_CONNECTION *connection;
	uint64_t cache_bytes;
	enum backend_sync sync;
};

struct backend_thread {
	struct backend_store *store;
	WT_SESSION *session;
	WT_CURSOR *cursor;
};

static int fail(const char *call, int rc)
{
	return backend_fail("wiredtiger", call, wiredtiger_strerror(rc));
}

static int create_table(WT_CONNECTION *connection)
{
	WT_SESSION *session;
	int rc = connection->open_session(connection, NULL, NULL, &session);

	if (rc != 0)
		return rc;
	rc = session->create(session, TABLE_URI, "key_format=u,value_format=u,type=file");
	if (rc != 0) {
		(void)session->close(session, NULL);
		return rc;
	}
	return session->close(session, NULL);
}

static int wt_open(const struct backend_config *config, struct backend_store **out)
{
	struct backend_store *store = calloc(1, sizeof *store);
	char settings[512];
	int rc;

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	store->cache_bytes = config->cache_bytes > 0 ? config->cache_bytes : CACHE_SIZE;
	snprintf(settings, sizeof settings,
	         "create,cache_size=%ju,session_max=%u,log=(enabled=true,file_max=100MB),"
	         "transaction_sync=(enabled=%s,method=fsync),checkpoint=(wait=60,log_size=1GB),"
	         "statistics=(none)",
	         (uintmax_t)store->cache_bytes, config->thread_count + 64,
	         config->sync == BACKEND_SYNC ? "true" : "false");
	rc = wiredtiger_open(config->dir, NULL, settings, &store->connection);
	if (rc != 0) {
		free(store);
		return fail("wiredtiger_open", rc);
	}
	rc = create_table(store->connection);
	if (rc != 0) {
		(void)store->connection->close(store->connection, NULL);
		free(store);
		return fail("create", rc);
	}
	*out = store;
	return 0;
}

static int wt_close(struct backend_store *store)
{
	int rc = store->connection->close(store->connection, NULL);

	free(store);
	return rc != 0 ? fail("close", rc) : 0;
}

static int wt_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);
	int rc;

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	rc = store->connection->open_session(store->connection, NULL, NULL, &thread->session);
	if (rc != 0) {
		free(thread);
		return fail("open_session", rc);
	}
	rc = thread->session->open_cursor(thread->session, TABLE_URI, NULL, "overwrite=true",
	                                  &thread->cursor);
	if (rc != 0) {
		(void)thread->session->close(thread->session, NULL);
		free(thread);
		return fail("open_cursor", rc);
	}
	*out = thread;
	return 0;
}

static void wt_thread_close(struct backend_thread *thread)
{
	(void)thread->session->close(thread->session, NULL); /* and its cursor */
	free(thread);
}

static WT_ITEM item_of(struct bwt_slice slice)
{
	return (WT_ITEM){.data = slice.data, .size = slice.size};
}

static int insert_pairs(WT_CURSOR *cursor, size_t count, const struct backend_pair pairs[])
{
	for (size_t i = 0; i < count; i++) {
		WT_ITEM key = item_of(pairs[i].key);
		WT_ITEM value = item_of(pairs[i].value);
		int rc;

		cursor->set_key(cursor, &key);
		cursor->set_value(cursor, &value);
		rc = cursor->insert(cursor);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int insert_in_txn(struct backend_thread *thread, size_t count,
                         const struct backend_pair pairs[])
{
	WT_SESSION *session = thread->session;
	int rc = session->begin_transaction(session, NULL);

	if (rc != 0)
		return rc;
	rc = insert_pairs(thread->cursor, count, pairs);
	if (rc == 0)
		return session->commit_transaction(session, NULL);
	(void)session->rollback_transaction(session, NULL);
	return rc;
}

/* WiredTiger refuses the later of two writers of a key; the loser runs again. */
static int wt_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	int rc;

	do {
		rc = count == 1 ? insert_pairs(thread->cursor, count, pairs)
		                : insert_in_txn(thread, count, pairs);
	} while (rc == WT_ROLLBACK);
	return rc != 0 ? fail("insert", rc) : 0;
}

static int update_pairs(WT_CURSOR *cursor, size_t count, const struct backend_pair pairs[],
                        backend_visit_fn *visit, void *ctx)
{
	for (size_t i = 0; i < count; i++) {
		WT_ITEM key = item_of(pairs[i].key), value;
		int rc;

		cursor->set_key(cursor, &key);
		rc = cursor->search(cursor);
		if (rc == 0)
			rc = cursor->get_value(cursor, &value);
		if (rc == 0) {
			visit(ctx, pairs[i].key, (struct bwt_slice){value.data, value.size});
			rc = insert_pairs(cursor, 1, &pairs[i]);
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int wt_update(struct backend_thread *thread, size_t count, const struct backend_pair pairs[],
                     backend_visit_fn *visit, void *ctx)
{
	WT_SESSION *session = thread->session;
	int rc = session->begin_transaction(session, "isolation=snapshot");

	if (rc != 0)
		return fail("begin_transaction", rc);
	rc = update_pairs(thread->cursor, count, pairs, visit, ctx);
	if (rc == 0)
		rc = session->commit_transaction(session, NULL);
	else
		(void)session->rollback_transaction(session, NULL);
	if (rc == WT_ROLLBACK)
		return BWT_CONFLICT;
	return rc != 0 ? fail("update", rc) : 0;
}

static int wt_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                  void *ctx)
{
	WT_CURSOR *cursor = thread->cursor;
	WT_ITEM wanted = item_of(key);
	WT_ITEM value;
	int rc;

	cursor->set_key(cursor, &wanted);
	rc = cursor->search(cursor);
	if (rc == WT_NOTFOUND)
		return BWT_NOT_FOUND;
	if (rc == 0)
		rc = cursor->get_value(cursor, &value);
	if (rc == 0)
		visit(ctx, key, (struct bwt_slice){value.data, value.size});
	(void)cursor->reset(cursor);
	return rc != 0 ? fail("search", rc) : 0;
}

static int wt_delete(struct backend_thread *thread, struct bwt_slice key)
{
	WT_CURSOR *cursor = thread->cursor;
	WT_ITEM wanted = item_of(key);
	int rc;

	do {
		cursor->set_key(cursor, &wanted);
		rc = cursor->remove(cursor);
	} while (rc == WT_ROLLBACK);
	return rc != 0 && rc != WT_NOTFOUND ? fail("remove", rc) : 0;
}

static int wt_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                   bool backward, backend_visit_fn *visit, void *ctx)
{
	WT_CURSOR *cursor = thread->cursor;
	int (*const step)(WT_CURSOR *) = backward ? cursor->prev : cursor->next;
	WT_ITEM key = item_of(from);
	WT_ITEM value;
	int exact = 0;
	int rc;

	if (from.size == 0) {
		rc = step(cursor); /* a reset cursor starts at the first entry, or the last */
	} else {
		cursor->set_key(cursor, &key);
		rc = cursor->search_near(cursor, &exact);
		if (rc == 0 && (backward ? exact > 0 : exact < 0))
			rc = step(cursor);
	}
	for (uint64_t i = 0; i < count && rc == 0; i++) {
		rc = cursor->get_key(cursor, &key);
		if (rc == 0)
			rc = cursor->get_value(cursor, &value);
		if (rc != 0)
			break;
		visit(ctx, (struct bwt_slice){key.data, key.size},
		      (struct bwt_slice){value.data, value.size});
		if (i + 1 < count)
			rc = step(cursor);
	}
	(void)cursor->reset(cursor);
	return rc != 0 && rc != WT_NOTFOUND ? fail(backward ? "prev" : "next", rc) : 0;
}

static int wt_sync(struct backend_store *store)
{
	WT_SESSION *session;
	int rc = store->connection->open_session(store->connection, NULL, NULL, &session);

	if (rc != 0)
		return fail("open_session", rc);
	rc = session->log_flush(session, "sync=on");
	(void)session->close(session, NULL);
	return rc != 0 ? fail("log_flush", rc) : 0;
}

static int wt_checkpoint(struct backend_store *store)
{
	WT_SESSION *session;
	int rc = store->connection->open_session(store->connection, NULL, NULL, &session);

	if (rc != 0)
		return fail("open_session", rc);
	rc = session->checkpoint(session, NULL);
	(void)session->close(session, NULL);
	return rc != 0 ? fail("checkpoint", rc) : 0;
}

static void wt_describe(struct backend_store *store, char *text, size_t size)
{
	int major;
	int minor;
	int patch;

	(void)wiredtiger_version(&major, &minor, &patch);
	snprintf(text, size,
	         "WiredTiger %d.%d.%d, log enabled, commits %s, cache %ju MiB, no compression,"
	         " checkpoint every 60 s or 1 GB of log",
	         major, minor, patch, store->sync == BACKEND_SYNC ? "fsync the log" : "do not wait",
	         (uintmax_t)(store->cache_bytes >> 20));
}

const struct backend backend_wiredtiger = {
	.name = "wiredtiger",
	.about = "WiredTiger: B-tree with its own cache and log",
	.open = wt_open,
	.close = wt_close,
	.thread_open = wt_thread_open,
	.thread_close = wt_thread_close,
	.put = wt_put,
	.get = wt_get,
	.update = wt_update,
	.delete = wt_delete,
	.scan = wt_scan,
	.sync = wt_sync,
	.checkpoint = wt_checkpoint,
	.describe = wt_describe,
};
