/* SPDX-License-Identifier: MIT */
/*
 * backend_bwt.c - libbwt, through its public interface alone
 *
 * A put of one pair is a bwt_put(), of several a transaction without a rule against others' writes, as the
 * peers' batches are. "bwt-txn" does everything in transactions, puts under snapshot: what they cost.
 */
#include "backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* No run gets that far. */
#define KEPT_LOG_MAX (1ull << 40)
#define SPACE_TARGET_MAX 100000u /* percent: no checkpoint for the sake of space either */
#define KEPT_LOG_MS 86400000u

struct backend_store {
	struct bwt_db *db;
	struct bwt_tree *tree;
	enum backend_sync sync;
	struct bwt_stats last; /* as of the run before: amounts per put are this run's */
};

struct backend_thread {
	struct backend_store *store;
	struct bwt_buf value;
	struct bwt_buf *values; /* of a get of many keys: value_count of them, and as many results */
	int *results;
	size_t value_count;
};

static int fail(const char *call, int rc)
{
	const char *detail = bwt_detail();

	return backend_fail("bwt", call, detail[0] != '\0' ? detail : bwt_strerror(rc));
}

static int bwt_backend_open(const struct backend_config *config, struct backend_store **out)
{
	struct bwt_options options = {
		.flags = BWT_CREATE,
		.durability = config->sync == BACKEND_SYNC ? BWT_SYNC : BWT_NONE,
		.space_target = config->keep_log ? SPACE_TARGET_MAX : config->space_target,
		.worker_count = config->worker_count,
		.vlog_space_target = config->vlog_space_target,
		.inline_max = config->inline_max,
		.checkpoint_wal_bytes = config->keep_log ? KEPT_LOG_MAX : config->checkpoint_bytes,
		.checkpoint_interval_ms = config->keep_log ? KEPT_LOG_MS : 0,
	};
	struct backend_store *store = calloc(1, sizeof *store);
	int rc;

	if (store == NULL)
		return -ENOMEM;
	store->sync = config->sync;
	rc = bwt_open(config->dir, &options, &store->db);
	if (rc < 0) {
		rc = fail("bwt_open", rc);
		goto fail_free;
	}
	rc = bwt_tree_open(store->db, NULL, 0, &store->tree);
	if (rc < 0) {
		rc = fail("bwt_tree_open", rc);
		goto fail_close;
	}
	*out = store;
	return 0;

fail_close:
	(void)bwt_close(store->db);
fail_free:
	free(store);
	return rc;
}

static int bwt_backend_close(struct backend_store *store)
{
	int rc = bwt_close(store->db);

	free(store);
	return rc < 0 ? fail("bwt_close", rc) : 0;
}

static int bwt_backend_thread_open(struct backend_store *store, struct backend_thread **out)
{
	struct backend_thread *thread = calloc(1, sizeof *thread);

	if (thread == NULL)
		return -ENOMEM;
	thread->store = store;
	*out = thread;
	return 0;
}

static void bwt_backend_thread_close(struct backend_thread *thread)
{
	bwt_buf_free(&thread->value);
	for (size_t i = 0; i < thread->value_count; i++)
		bwt_buf_free(&thread->values[i]);
	free(thread->values);
	free(thread->results);
	free(thread);
}

/* All pairs in one transaction; run again when it is refused. */
static int put_together(struct backend_thread *thread, unsigned level, size_t count,
                        const struct backend_pair pairs[])
{
	int rc;

	do {
		struct bwt_txn *txn;

		rc = bwt_begin(thread->store->db, level, &txn);
		if (rc < 0)
			return fail("bwt_begin", rc);
		for (size_t i = 0; i < count && rc == BWT_OK; i++)
			rc = bwt_put(thread->store->tree, txn, pairs[i].key, pairs[i].value, 0);
		if (rc == BWT_OK)
			rc = bwt_commit(txn);
		else
			bwt_abort(txn);
	} while (rc == BWT_CONFLICT);
	return rc < 0 ? fail("bwt_commit", rc) : 0;
}

static int bwt_backend_put(struct backend_thread *thread, size_t count,
                           const struct backend_pair pairs[])
{
	int rc;

	if (count > 1)
		return put_together(thread, BWT_READ_COMMITTED, count, pairs);
	rc = bwt_put(thread->store->tree, NULL, pairs[0].key, pairs[0].value, 0);
	return rc < 0 ? fail("bwt_put", rc) : 0;
}

static int bwt_txn_put(struct backend_thread *thread, size_t count, const struct backend_pair pairs[])
{
	return put_together(thread, 0, count, pairs);
}

static int bwt_backend_get(struct backend_thread *thread, struct bwt_slice key,
                           backend_visit_fn *visit, void *ctx)
{
	int rc = bwt_get(thread->store->tree, NULL, key, &thread->value);

	if (rc == BWT_NOT_FOUND)
		return rc;
	if (rc < 0)
		return fail("bwt_get", rc);
	visit(ctx, key, (struct bwt_slice){thread->value.data, thread->value.size});
	return 0;
}

static int reserve_values(struct backend_thread *thread, size_t count)
{
	struct bwt_buf *values;
	int *results;

	if (count <= thread->value_count)
		return 0;
	values = realloc(thread->values, count * sizeof *values);
	if (values == NULL)
		return -ENOMEM;
	thread->values = values;
	results = realloc(thread->results, count * sizeof *results);
	if (results == NULL)
		return -ENOMEM;
	thread->results = results;
	for (; thread->value_count < count; thread->value_count++)
		values[thread->value_count] = (struct bwt_buf){0};
	return 0;
}

static int bwt_backend_get_many(struct backend_thread *thread, size_t count,
                                const struct bwt_slice keys[], backend_visit_fn *visit, void *ctx)
{
	int rc = reserve_values(thread, count), outcome = 0;

	if (rc < 0)
		return rc;
	rc = bwt_get_many(thread->store->tree, NULL, count, keys, thread->values, thread->results);
	if (rc < 0)
		return fail("bwt_get_many", rc);
	for (size_t i = 0; i < count; i++) {
		const struct bwt_buf *value = &thread->values[i];

		if (thread->results[i] == BWT_OK)
			visit(ctx, keys[i], (struct bwt_slice){value->data, value->size});
		else if (thread->results[i] == BWT_NOT_FOUND)
			outcome = BWT_NOT_FOUND;
		else
			return fail("bwt_get_many", thread->results[i]);
	}
	return outcome;
}

static int bwt_backend_update(struct backend_thread *thread, size_t count,
                              const struct backend_pair pairs[], backend_visit_fn *visit, void *ctx)
{
	struct bwt_tree *tree = thread->store->tree;
	struct bwt_txn *txn;
	int rc = bwt_begin(thread->store->db, 0, &txn);

	if (rc < 0)
		return fail("bwt_begin", rc);
	for (size_t i = 0; i < count && rc == BWT_OK; i++) {
		rc = bwt_get(tree, txn, pairs[i].key, &thread->value);
		if (rc < 0)
			break;
		visit(ctx, pairs[i].key, (struct bwt_slice){thread->value.data, thread->value.size});
		rc = bwt_put(tree, txn, pairs[i].key, pairs[i].value, 0);
	}
	if (rc == BWT_OK)
		rc = bwt_commit(txn);
	else
		bwt_abort(txn);
	return rc < 0 && rc != BWT_CONFLICT ? fail("update", rc) : rc;
}

/* In a read-only transaction of its own. */
static int bwt_txn_get(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
                       void *ctx)
{
	struct bwt_txn *txn;
	int rc = bwt_begin(thread->store->db, BWT_RDONLY, &txn);

	if (rc < 0)
		return fail("bwt_begin", rc);
	rc = bwt_get(thread->store->tree, txn, key, &thread->value);
	bwt_abort(txn);
	if (rc == BWT_NOT_FOUND)
		return rc;
	if (rc < 0)
		return fail("bwt_get", rc);
	visit(ctx, key, (struct bwt_slice){thread->value.data, thread->value.size});
	return 0;
}

static int bwt_backend_delete(struct backend_thread *thread, struct bwt_slice key)
{
	int rc = bwt_delete(thread->store->tree, NULL, key);

	return rc < 0 && rc != BWT_NOT_FOUND ? fail("bwt_delete", rc) : rc;
}

static int bwt_backend_scan(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
                            bool backward, backend_visit_fn *visit, void *ctx)
{
	struct bwt_cursor *cursor;
	struct bwt_slice key = {NULL, 0};
	struct bwt_slice value = {NULL, 0};
	int rc = bwt_cursor_open(thread->store->tree, NULL, &cursor);

	if (rc < 0)
		return fail("bwt_cursor_open", rc);
	if (backward)
		rc = bwt_cursor_seek(cursor, from, from.size == 0 ? BWT_LAST : BWT_LE);
	else
		rc = bwt_cursor_seek(cursor, from, BWT_GE);
	for (uint64_t i = 0; i < count && rc == BWT_OK; i++) {
		rc = bwt_cursor_key(cursor, &key);
		if (rc == BWT_OK)
			rc = bwt_cursor_value(cursor, &value);
		if (rc < 0)
			break;
		visit(ctx, key, value);
		if (i + 1 < count)
			rc = backward ? bwt_cursor_prev(cursor) : bwt_cursor_next(cursor);
	}
	bwt_cursor_close(cursor);
	return rc < 0 && rc != BWT_NOT_FOUND ? fail("scan", rc) : 0;
}

static int bwt_backend_sync(struct backend_store *store)
{
	int rc = bwt_sync(store->db);

	return rc < 0 ? fail("bwt_sync", rc) : 0;
}

static int bwt_backend_checkpoint(struct backend_store *store)
{
	int rc = bwt_checkpoint(store->db);

	return rc < 0 && rc != BWT_BUSY ? fail("bwt_checkpoint", rc) : 0;
}

static void bwt_backend_gauge(struct backend_store *store, struct backend_gauge *gauge)
{
	struct bwt_stats stats;

	if (bwt_stat(store->db, &stats) < 0)
		return;
	gauge->data_bytes = stats.arena_bytes + stats.vlog_bytes;
	gauge->checkpoints = stats.checkpoint_count;
}

static void bwt_backend_describe(struct backend_store *store, char *text, size_t size)
{
	struct bwt_stats stats;

	if (bwt_stat(store->db, &stats) < 0)
		snprintf(text, size, "libbwt %s", bwt_version());
	else
		snprintf(
			text, size,
			"libbwt %s, WAL on %s, durability %s, engine %s, arena on %s%s%s, defaults",
			bwt_version(), stats.wal_media,
			store->sync == BACKEND_SYNC ? "sync" : "none", stats.io_engine, stats.media,
			stats.flush_instruction[0] == '\0' ? "" : ", flush by ",
			stats.flush_instruction);
}

static void bwt_backend_counters(struct backend_store *store, char *text, size_t size)
{
	struct bwt_stats stats, last = store->last;
	double puts, written, flushes;

	if (bwt_stat(store->db, &stats) < 0) {
		text[0] = '\0';
		return;
	}
	store->last = stats;
	puts = stats.commits > last.commits ? (double)(stats.commits - last.commits) : 1;
	flushes = (double)(stats.log_flushes - last.log_flushes);
	written = (double)(stats.arena_written_bytes - last.arena_written_bytes);
	snprintf(text, size,
	         " bwt_arena_over_live=%.2f bwt_arena_bytes_per_put=%.0f "
	         "bwt_device_bytes_per_put=%.0f"
	         " bwt_group_size=%.2f bwt_cleaner_share=%.3f bwt_extents_cleaned=%ju"
	         " bwt_pages=%ju bwt_depth=%ju bwt_arena=%ju bwt_arena_live=%ju bwt_wal=%ju"
	         " bwt_device_bytes=%ju bwt_checkpoints=%ju bwt_consolidations=%ju bwt_splits=%ju"
	         " bwt_swaps_lost=%ju bwt_log_flushes=%ju bwt_commits=%ju",
	         (double)stats.arena_bytes / (double)stats.arena_live_bytes, written / puts,
	         (double)(stats.device_bytes_written - last.device_bytes_written) / puts,
	         flushes > 0 ? (double)(stats.commits - last.commits) / flushes : 0,
	         written > 0 ? (double)(stats.cleaned_bytes - last.cleaned_bytes) / written : 0,
	         (uintmax_t)(stats.extents_cleaned - last.extents_cleaned),
	         (uintmax_t)stats.page_count, (uintmax_t)stats.tree_depth,
	         (uintmax_t)stats.arena_bytes, (uintmax_t)stats.arena_live_bytes,
	         (uintmax_t)stats.wal_bytes, (uintmax_t)stats.device_bytes_written,
	         (uintmax_t)stats.checkpoint_count, (uintmax_t)stats.consolidations,
	         (uintmax_t)stats.splits, (uintmax_t)stats.swaps_lost, (uintmax_t)stats.log_flushes,
	         (uintmax_t)stats.commits);
}

const struct backend backend_bwt = {
	.name = "bwt",
	.about = "libbwt, this project",
	.open = bwt_backend_open,
	.close = bwt_backend_close,
	.thread_open = bwt_backend_thread_open,
	.thread_close = bwt_backend_thread_close,
	.put = bwt_backend_put,
	.get = bwt_backend_get,
	.get_many = bwt_backend_get_many,
	.update = bwt_backend_update,
	.delete = bwt_backend_delete,
	.scan = bwt_backend_scan,
	.sync = bwt_backend_sync,
	.checkpoint = bwt_backend_checkpoint,
	.gauge = bwt_backend_gauge,
	.describe = bwt_backend_describe,
	.counters = bwt_backend_counters,
};

const struct backend backend_bwt_txn = {
	.name = "bwt-txn",
	.about = "libbwt, each put and each get in a transaction of its own",
	.open = bwt_backend_open,
	.close = bwt_backend_close,
	.thread_open = bwt_backend_thread_open,
	.thread_close = bwt_backend_thread_close,
	.put = bwt_txn_put,
	.get = bwt_txn_get,
	.update = bwt_backend_update,
	.delete = bwt_backend_delete,
	.scan = bwt_backend_scan,
	.sync = bwt_backend_sync,
	.checkpoint = bwt_backend_checkpoint,
	.gauge = bwt_backend_gauge,
	.describe = bwt_backend_describe,
	.counters = bwt_backend_counters,
};
