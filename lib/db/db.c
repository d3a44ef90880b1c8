/* SPDX-License-Identifier: MIT */
/*
 * db.c - opening and closing a store, and the checks that every call begins with
 *
 *   bwt_open:  options -> recover_open() (lock, files, recovery) -> workers, flusher, service thread
 *   bwt_close: workers, service thread and flusher stopped -> chunks closed -> clean checkpoint -> files closed
 *
 * A forked child holds copies of the descriptors; the fork watch closes them there, so that the child
 * holds no lock, and every call finds another fork generation and answers BWT_INVALID.
 */
#include "db/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/sweep.h"
#include "recovery/verify.h"
#include "sys/file.h"

#define LEAF_BYTES SWEEP("leaf_bytes", 8192u)
#define INNER_BYTES SWEEP("inner_bytes", 8192u)
#define LEAF_CHAIN SWEEP("leaf_chain", 16u)
#define INNER_CHAIN SWEEP("inner_chain", 2u)
#define LARGE_SHARE 16u /* of a value-log file: a value of so much is large to a chain */

int db_refuse(const struct bwt_db *db)
{
	if (db == NULL)
		return error_set(BWT_INVALID, "the store handle is NULL");
	return error_set(BWT_INVALID, "the store was opened by the parent of this forked process");
}

int db_refuse_tree(const struct bwt_tree *tree)
{
	if (tree == NULL)
		return error_set(BWT_INVALID, "the tree handle is NULL");
	return db_refuse(tree->db);
}

int db_check_txn(const struct bwt_tree *tree, const struct bwt_txn *txn)
{
	int rc = db_check_tree(tree);

	if (rc < 0 || txn == NULL)
		return rc;
	if (txn->db != tree->db)
		return error_set(BWT_INVALID, "the transaction belongs to another store");
	return txn->lost ? BWT_CONFLICT : BWT_OK;
}

int db_check_key(struct bwt_slice key)
{
	if (key.size > BWT_KEY_MAX)
		return error_set(BWT_TOO_BIG, "a key of %zu bytes; the largest is %u", key.size,
		                 BWT_KEY_MAX);
	if (key.data == NULL && key.size > 0)
		return error_set(BWT_INVALID, "the key's data is NULL");
	return BWT_OK;
}

int db_check_value(struct bwt_slice value)
{
	if (value.size > BWT_VALUE_MAX)
		return error_set(BWT_TOO_BIG, "a value of %zu bytes; the largest is %u", value.size,
		                 BWT_VALUE_MAX);
	if (value.data == NULL && value.size > 0)
		return error_set(BWT_INVALID, "the value's data is NULL");
	return BWT_OK;
}

int db_slot(struct bwt_db *db, struct epoch_slot **slot)
{
	*slot = epoch_slot(&db->store.epoch);
	if (*slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	return BWT_OK;
}

void bwt_buf_free(struct bwt_buf *buf)
{
	if (buf == NULL)
		return;
	free(buf->data);
	*buf = (struct bwt_buf){0};
}

/* In a forked child: give the descriptors back. Async-signal-safe. */
static void forget_in_child(void *ctx)
{
	struct bwt_db *db = ctx;
	int *fds[] = {&db->store.lock_fd, &db->store.arena_fd, &db->store.wal_dir_fd,
	              &db->store.vlog_dir_fd, &db->store.dir_fd};

	for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++) {
		sys_file_close(*fds[i]);
		*fds[i] = -1;
	}
	if (db->store.wal != NULL)
		wal_abandon(db->store.wal);
	if (db->store.vlog != NULL)
		vlog_abandon(db->store.vlog);
}

static uint32_t large_value(const struct bwt_options *options)
{
	uint64_t size = options->vlog_segment_size / LARGE_SHARE;

	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

static void fill_config(struct bwt_db *db, const char *path, struct recover_config *config)
{
	const struct bwt_options *options = &db->options;

	*config = (struct recover_config){
		.path = path,
		.wal_path = options->wal_path,
		.create = (options->flags & BWT_CREATE) != 0,
		.exclusive = (options->flags & BWT_EXCL) != 0,
		.readonly = (options->flags & BWT_RDONLY) != 0,
		.plain = (options->flags & BWT_NO_URING) != 0,
		.catch_sigbus = (options->flags & BWT_CATCH_SIGBUS) != 0,
		.durability = options->durability,
		.max_size = options->max_size,
		.inline_max = options->inline_max,
		.wal_segment_size = options->wal_segment_size,
		.vlog_segment_size = options->vlog_segment_size,
		.keep_bytes = options->changes_keep_bytes,
		.limits = {LEAF_BYTES, INNER_BYTES, LEAF_CHAIN, INNER_CHAIN, large_value(options)},
		.log = options->log,
		.progress = options->progress,
		.ctx = options->ctx,
		.checkpoint_due = &db->recovered,
		.durable_moved = service_durable_moved,
		.want_flush = service_wants_flush,
		.filled = flusher_filled,
		.failed = service_failed,
		.wal_ctx = db,
	};
}

/* BWT_VERIFY: everything is looked at before the store is handed out. */
static int verify_open(struct bwt_db *db)
{
	struct verify_report report = {0};
	struct epoch_slot *slot;
	int rc = db_slot(db, &slot);

	if (rc == BWT_OK)
		rc = verify_store(&db->store, slot, &report);
	if (rc == BWT_OK && report.damages > 0)
		rc = error_set(BWT_CORRUPT, "verification found %llu damages",
		               (unsigned long long)report.damages);
	return rc;
}

static struct bwt_db *db_new(void)
{
	struct bwt_db *db = aligned_alloc(CACHE_LINE_SIZE, sizeof *db);

	if (db == NULL)
		return NULL;
	memset(db, 0, sizeof *db);
	pthread_mutex_init(&db->checkpoint_lock, NULL);
	pthread_mutex_init(&db->trees_lock, NULL);
	pthread_mutex_init(&db->space.relief_lock, NULL);
	pthread_mutex_init(&db->space.compact_lock, NULL);
	atomic_init(&db->space.cut_at, UINT64_MAX);
	pthread_mutex_init(&db->values.lock, NULL);
	pthread_mutex_init(&db->changes.lock, NULL);
	work_queue_init(&db->work);
	atomic_init(&db->durable_fd, -1);
	db->fork_generation = sys_fork_generation();
	db->written_before = sys_file_bytes_written();
	return db;
}

static void db_free(struct bwt_db *db)
{
	sys_file_close(atomic_load_explicit(&db->durable_fd, memory_order_relaxed));
	pthread_mutex_destroy(&db->checkpoint_lock);
	pthread_mutex_destroy(&db->trees_lock);
	pthread_mutex_destroy(&db->space.relief_lock);
	pthread_mutex_destroy(&db->space.compact_lock);
	pthread_mutex_destroy(&db->values.lock);
	pthread_mutex_destroy(&db->changes.lock);
	values_free(db);
	free(db);
}

static int start(struct bwt_db *db)
{
	int rc = BWT_OK;

	if ((db->options.flags & BWT_VERIFY) != 0)
		rc = verify_open(db);
	if (rc < 0)
		return rc;
	rc = sys_fork_watch(forget_in_child, db, &db->fork_handle);
	if (rc < 0 || db->store.readonly)
		return rc;
	if (stat_publish_open(db) < 0)
		store_say(&db->store, LOG_NOTICE, "no file of counters: %s", bwt_detail());
	space_start(db);
	values_start(db);
	rc = workers_start(db);
	if (rc == BWT_OK)
		rc = flusher_start(db);
	if (rc == BWT_OK)
		rc = service_start(db);
	if (rc < 0) {
		flusher_stop(db);
		workers_stop(db);
		stat_publish_close(db);
		sys_fork_forget(db->fork_handle);
	}
	return rc;
}

int bwt_open(const char *path, const struct bwt_options *options, struct bwt_db **out)
{
	struct recover_config config;
	struct bwt_db *db;
	int rc;

	if (path == NULL || out == NULL)
		return error_set(BWT_INVALID, "the path or the place for the handle is NULL");
	db = db_new();
	if (db == NULL)
		return -ENOMEM;
	rc = options_resolve(options, &db->options);
	if (rc < 0)
		goto fail_free;
	fill_config(db, path, &config);
	db->options.wal_path = NULL; /* the caller's */
	db->store.trees_lock = &db->trees_lock;
	rc = recover_open(&db->store, &config, &db->checkpointer);
	if (rc < 0)
		goto fail_free;
	rc = start(db);
	if (rc < 0)
		goto fail_close;
	*out = db;
	return BWT_OK;

fail_close:
	recover_close(&db->store, db->checkpointer);
fail_free:
	db_free(db);
	return rc;
}

/* Handles of trees live in the registry, which recover_close() frees. */
static void free_handles(struct bwt_db *db)
{
	for (struct named_tree *tree = db->store.trees; tree != NULL; tree = tree->next) {
		free(tree->handle);
		tree->handle = NULL;
	}
}

/* Everything into a checkpoint that needs no log. A failed store keeps its last one. */
static int close_clean(struct bwt_db *db)
{
	struct epoch_slot *slot;
	int rc = db_slot(db, &slot);

	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc == BWT_OK)
		rc = extents_close_chunks(&db->store.extents, slot);
	if (rc == BWT_OK)
		rc = service_checkpoint(db, true);
	return rc;
}

int bwt_close(struct bwt_db *db)
{
	int rc = db_check(db);

	if (rc < 0)
		return rc;
	if (atomic_load_explicit(&db->transactions, memory_order_acquire) != 0 ||
	    atomic_load_explicit(&db->cursors, memory_order_acquire) != 0 ||
	    atomic_load_explicit(&db->loads, memory_order_acquire) != 0 ||
	    atomic_load_explicit(&db->changes.count, memory_order_acquire) != 0)
		return error_set(BWT_BUSY, "transactions, cursors, loads or readers of changes of "
		                           "the store are open");
	if (!db->store.readonly) {
		workers_stop(db);
		service_stop(db);
		flusher_stop(db);
		rc = close_clean(db);
		stat_publish_close(db);
	}
	sys_fork_forget(db->fork_handle);
	free_handles(db);
	recover_close(&db->store, db->checkpointer);
	db_free(db);
	return rc;
}

/* Needing recovery is nothing wrong, but worth a note: the log behind the newest checkpoint was replayed in memory. */
static void note_replay(struct bwt_db *db, const struct verify_report *findings)
{
	struct bwt_finding finding = {.severity = BWT_NOTE, .file = "wal"};
	struct superblock newest;
	char text[160];

	if (findings->report == NULL || superblock_newest(db->store.arena_fd, &newest) < 0 ||
	    db->store.readonly_tail <= newest.start_lsn)
		return;
	snprintf(text,
	         sizeof text, "the store was not closed: %llu bytes of log since checkpoint %llu are replayed at opening",
	         (unsigned long long)(db->store.readonly_tail - newest.start_lsn),
	         (unsigned long long)newest.checkpoint);
	finding.text = text;
	findings->report(findings->ctx, &finding);
}

int db_verify(const char *path, bool notes,
              void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total),
              void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx)
{
	struct verify_report findings = {.report = report, .ctx = ctx};
	struct bwt_options options = {
		.flags = BWT_RDONLY | BWT_CATCH_SIGBUS, .progress = progress, .ctx = ctx};
	struct epoch_slot *slot;
	struct bwt_db *db;
	int rc;

	rc = verify_files(path, &findings);
	if (rc < 0 && rc != BWT_CORRUPT)
		return rc;
	rc = bwt_open(path, &options, &db);
	if (rc == BWT_OK) {
		if (notes)
			note_replay(db, &findings);
		rc = db_slot(db, &slot);
		if (rc == BWT_OK)
			rc = verify_store(&db->store, slot, &findings);
		bwt_close(db);
	} else if (rc == BWT_CORRUPT || rc == BWT_IO) {
		struct bwt_finding finding = {
			.severity = BWT_DAMAGE, .file = "", .text = bwt_detail()};

		if (report != NULL)
			report(ctx, &finding);
		findings.damages++;
	}
	if (rc < 0)
		return rc;
	return findings.damages + findings.warnings > 0 ? BWT_CORRUPT : BWT_OK;
}

int bwt_verify(const char *path, unsigned flags,
               void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx)
{
	if (path == NULL)
		return error_set(BWT_INVALID, "the path is NULL");
	if (flags != 0)
		return error_set(BWT_INVALID, "flags: unknown bits %#x", flags);
	return db_verify(path, false, NULL, report, ctx);
}
