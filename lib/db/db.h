/* SPDX-License-Identifier: MIT */
/*
 * db.h - what the public handles point to
 *
 * Locks, in this order: space.compact_lock, space.relief_lock, checkpoint_lock, store.trees_lock. None is taken by a get, a put or a
 * cursor, but by a change that found the store full.
 */
#ifndef BWT_DB_DB_H
#define BWT_DB_DB_H

#include <pthread.h>

#include "db/changes.h"
#include "db/latency.h"
#include "db/space.h"
#include "db/stat_file.h"
#include "db/values.h"
#include "recovery/recover.h"
#include "txn/txn.h"

struct flusher { /* what nobody waits for (flusher.c) */
	_Alignas(CACHE_LINE_SIZE) _Atomic(uint32_t) asked; /* 1: a flush is wanted, now */
	_Atomic(uint32_t) bell; /* futex word, counted up to wake it */
	_Atomic(uint32_t) stop;
	struct sys_thread *thread; /* NULL: none */
};

struct bwt_db {
	struct store store; /* first: callbacks are handed the store */
	struct checkpointer *checkpointer;
	pthread_mutex_t checkpoint_lock; /* one checkpoint at a time */
	pthread_mutex_t trees_lock;      /* store.trees_lock points to it */
	struct bwt_options options;      /* defaults filled in */
	uint32_t fork_generation;        /* of the process that opened it */
	void *fork_handle;
	_Atomic(uint32_t) transactions; /* open ones */
	_Atomic(uint32_t) cursors;      /* open ones */
	_Atomic(uint32_t) loads;        /* open ones (bulk.c) */
	uint64_t written_before;        /* sys_file_bytes_written() when it was opened */
	_Atomic(int) durable_fd;        /* the eventfd, -1: nobody asked for it yet */
	struct flusher flusher;
	/* the service thread: checkpoints, counters (service.c) */
	struct sys_thread *service;
	_Atomic(uint32_t) service_bell; /* futex word, counted up to wake it */
	_Atomic(uint32_t) service_stop;
	bool recovered; /* the log was replayed, and no checkpoint taken since (RC4); then the thread's own */
	_Atomic(uint64_t) service_lsn; /* it wants to look when the log has come so far */
	struct space space;     /* how large the arena may be, and what to do about it (space.c) */
	struct changes changes; /* who reads them (changes.c) */
	struct values values;   /* how large the value log may be (values.c) */
	struct latencies latencies;
	struct work_queue work;      /* hints for the workers; store.env.work points to it */
	struct worker *workers;      /* worker.c */
	unsigned worker_count;       /* that run */
	struct sys_map stat_map;     /* of the file `stats` */
	struct stat_file *stat_file; /* in it; NULL: none. Written by the service thread */
	int stat_fd;
};

struct bwt_tree {
	struct bwt_db *db;
	struct named_tree *named;
	_Atomic(uint32_t) users; /* cursors on it */
};

struct bwt_txn {
	struct bwt_db *db;
	struct snapshot_slot *snapshot; /* NULL: read committed */
	uint64_t lsn;                   /* of the snapshot; READ_NEWEST: read committed */
	bool writes;                    /* read-write: txn is in use, by one thread at a time */
	bool durable;                   /* bwt_commit() waits */
	bool lost;                      /* an operation has returned BWT_CONFLICT */
	_Atomic(uint32_t) ended;        /* 1: only cursors still refer to it */
	_Atomic(uint32_t) refs;         /* itself and its cursors */
	size_t *marks;                  /* savepoints: marks of the write set */
	unsigned mark_count, mark_capacity;
	struct txn txn; /* the last: not looked at in a read-only one */
};

/** Checks that come first in every call: BWT_OK, BWT_INVALID (NULL, forked child), BWT_IO (failed). */
int db_refuse(const struct bwt_db *db); /* it is NULL, or another process's */
int db_refuse_tree(const struct bwt_tree *tree);

static inline int db_check(const struct bwt_db *db)
{
	return db != NULL && db->fork_generation == sys_fork_generation() ? BWT_OK : db_refuse(db);
}

static inline int db_check_tree(const struct bwt_tree *tree)
{
	return tree != NULL && tree->db->fork_generation == sys_fork_generation()
	               ? BWT_OK
	               : db_refuse_tree(tree);
}

/** Also that @txn (may be NULL) is of the same store, and BWT_CONFLICT if it has lost already. */
int db_check_txn(const struct bwt_tree *tree, const struct bwt_txn *txn);
/** Key size and pointer: BWT_OK, BWT_INVALID, BWT_TOO_BIG. */
int db_check_key(struct bwt_slice key);
/** The same of a value. */
int db_check_value(struct bwt_slice value);
/** Size of a tree's name: BWT_OK, BWT_INVALID. */
int db_check_name(const char *name);
/** The live tree of this name (NULL: the main tree), or NULL. trees_lock held. */
struct named_tree *db_find_tree(struct bwt_db *db, const char *name);
/** This thread's slot, or BWT_BUSY. */
int db_slot(struct bwt_db *db, struct epoch_slot **slot);

/** txns.c: the handle is freed when the transaction has ended and its last cursor is closed. */
void db_txn_unref(struct bwt_txn *txn);
/** @rc of an operation in @txn (may be NULL): BWT_CONFLICT is remembered. Returns it. */
int db_txn_note(struct bwt_txn *txn, int rc);
/** bwt_begin() once the arguments are checked. */
int db_begin(struct bwt_db *db, unsigned flags, struct bwt_txn **out);

/**
 * bwt_verify(), telling @progress (may be NULL) how far it is, and with @notes what is worth knowing and no finding; @ctx is
 * handed to both. For bwt-fsck.
 */
int db_verify(const char *path, bool notes,
              void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total),
              void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx);

/** options.c: @given (may be NULL) with defaults filled in, checked. */
int options_resolve(const struct bwt_options *given, struct bwt_options *resolved);

/** service.c */
int service_start(struct bwt_db *db);
void service_stop(struct bwt_db *db); /* joins it */
void service_wake(struct bwt_db *db);
void service_wants_flush(void *ctx); /* callback: somebody should look at the log */
void service_durable_moved(void *ctx);
void service_failed(void *ctx); /* callback: the store has failed */
/** One checkpoint, now; tries again while the gate does not drain. */
int service_checkpoint(struct bwt_db *db, bool clean);

/** flusher.c */
int flusher_start(struct bwt_db *db);
void flusher_stop(struct bwt_db *db); /* joins it, if there is one */
/** flusher_ask - make durable what is in the log now, soon; two loads when that was asked already. Does not block */
void flusher_ask(struct bwt_db *db);
void flusher_filled(void *ctx); /* callback of wal_watch() */

/** worker.c: options.worker_count threads that consolidate and clean, or none */
int workers_start(struct bwt_db *db);
void workers_stop(struct bwt_db *db); /* joins them */

/**
 * Whether background work is left to workers, so that a writer need not do it inline. Asks the
 * options, which never change: worker_count is written while other threads run (open and close).
 */
static inline bool has_workers(const struct bwt_db *db)
{
	return db->options.worker_count != (unsigned)BWT_OFF;
}

/** stat.c */
void stat_collect(struct bwt_db *db, struct bwt_stats *stats);
int stat_publish_open(struct bwt_db *db);
void stat_publish(struct bwt_db *db);
void stat_publish_close(struct bwt_db *db);

#endif
