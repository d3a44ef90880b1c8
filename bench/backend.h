/* SPDX-License-Identifier: MIT */
/*
 * backend.h - what the benchmark asks of a store, so that libbwt and its peers run the same code
 *
 * Why: a ratio between two stores means something only when both are driven by one loop. Everything
 * a store does differently (transactions, sessions, iterators) stays in its backend_<name>.c.
 *
 *   A1  A put is one transaction of the store, whatever the number of pairs in it.
 *   A2  A get reads the newest committed state and costs the store a read transaction of its own.
 *   A3  With BACKEND_SYNC a put is on stable storage when it returns; with BACKEND_NONE the
 *       store keeps its log if it has one, but nobody waits for the disk.
 *   A4  Bytes are shown in place where the store can do that; nobody is made to copy.
 */
#ifndef BENCH_BACKEND_H
#define BENCH_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bwt.h" /* struct bwt_slice, and BWT_NOT_FOUND as the one outcome that is no fault */

#define BACKEND_TEXT_MAX 1024

enum backend_sync {
	BACKEND_NONE = 0,
	BACKEND_SYNC = 1,
};

struct backend_config {
	const char *dir; /* an existing directory that is the store's alone */
	enum backend_sync sync;
	uint64_t user_bytes; /* keys and values that the run may hold at once; for stores that fix sizes */
	unsigned thread_count; /* threads that will be open at once, at most */
	uint64_t cache_bytes;  /* memory that a store may keep data in; 0: what its file says */
	bool keep_log;         /* no checkpoint of the store's own accord: the log grows */
	unsigned space_target; /* of libbwt alone, as in struct bwt_options */
	unsigned worker_count;
	unsigned vlog_space_target;
	uint32_t inline_max;
	uint64_t checkpoint_bytes;
};

struct backend_gauge {
	uint64_t data_bytes;  /* of the files that hold data, the log not among them */
	uint64_t checkpoints; /* since the store was opened */
};

struct backend_pair {
	struct bwt_slice key;
	struct bwt_slice value;
};

/** Called with each entry that a get or scan finds; the slices are good during the call only. */
typedef void backend_visit_fn(void *ctx, struct bwt_slice key, struct bwt_slice value);

struct backend_store;  /* each backend's own */
struct backend_thread; /* what one thread needs to use a store: session, cursor, read transaction */

struct backend {
	const char *name;
	const char *about; /* one line for --list */

	/* All return 0, BWT_NOT_FOUND where that is an outcome, or another negative code after
	 * backend_fail() has said why. A NULL operation is one that the store does not have. */
	int (*open)(const struct backend_config *config, struct backend_store **store);
	int (*close)(struct backend_store *store);
	int (*thread_open)(struct backend_store *store, struct backend_thread **thread);
	void (*thread_close)(struct backend_thread *thread);

	int (*put)(struct backend_thread *thread, size_t count, const struct backend_pair pairs[]);
	int (*get)(struct backend_thread *thread, struct bwt_slice key, backend_visit_fn *visit,
	           void *ctx);
	/* Visits the entries of @count keys, BWT_NOT_FOUND if any is not there. NULL: the store has gets of one key only. */
	int (*get_many)(struct backend_thread *thread, size_t count, const struct bwt_slice keys[],
	                backend_visit_fn *visit, void *ctx);
	/* One transaction under snapshot isolation that gets the key of each pair and then puts the pair, tried once:
	 * BWT_CONFLICT, not said anywhere, when another one came first. NULL: the store has no such transactions. */
	int (*update)(struct backend_thread *thread, size_t count,
	              const struct backend_pair pairs[], backend_visit_fn *visit, void *ctx);
	int (*delete)(struct backend_thread *thread, struct bwt_slice key);
	/* Visits up to @count entries in order, from the first key that is at or above @from. With @backward
	 * in falling order, from the last one at or below it; an empty @from is either end. */
	int (*scan)(struct backend_thread *thread, struct bwt_slice from, uint64_t count,
	            bool backward, backend_visit_fn *visit, void *ctx);

	/* All that was put is on stable storage. */
	int (*sync)(struct backend_store *store);
	/* What would shorten the next opening's replay: checkpoint, flush. NULL: nothing is asked of the store. */
	int (*checkpoint)(struct backend_store *store);
	/* Or NULL: what the store says of itself now. */
	void (*gauge)(struct backend_store *store, struct backend_gauge *gauge);
	/* Version and settings as text; @store is open. */
	void (*describe)(struct backend_store *store, char *text, size_t size);
	/* Or NULL: the store's own counters, as " key=value" for each. */
	void (*counters)(struct backend_store *store, char *text, size_t size);
};

extern const struct backend backend_bwt;
extern const struct backend backend_bwt_txn;
extern const struct backend backend_lmdb;
extern const struct backend backend_rocksdb;
extern const struct backend backend_rocksdb_txn;
extern const struct backend backend_wiredtiger;
extern const struct backend backend_leveldb;
extern const struct backend backend_bdb;
extern const struct backend backend_tkrzw;
extern const struct backend backend_raw;
extern const struct backend backend_null;

/**
 * backend_find - the backend of that name
 * Returns: NULL when it is unknown or was not built in
 */
const struct backend *backend_find(const char *name);

/**
 * backend_at - walk over the backends that were built in
 * Returns: NULL when @index is past the last one
 */
const struct backend *backend_at(size_t index);

/**
 * backend_fail - say on standard error what a store refused
 * @name:   of the backend
 * @call:   what was asked of the store
 * @text:   the store's own words
 * Returns: -EIO, for the caller to return
 */
int backend_fail(const char *name, const char *call, const char *text);

#endif
