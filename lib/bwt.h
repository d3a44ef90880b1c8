/* SPDX-License-Identifier: MIT */
/*
 * bwt.h - the public interface of libbwt, an embedded, ordered, transactional key-value store
 *
 * A store is a directory. It holds trees (ordered maps of byte strings), of which one, the main
 * tree, always exists. Every function returns BWT_OK (0) or a negative code: one of BWT_ERRORS
 * below, or the system's -errno. Out-parameters are written on success only.
 *
 * The library prints nothing, never exits, and installs no signal handler unless it is asked to
 * (BWT_CATCH_SIGBUS). Any number of threads may call any function at once, except where "Threads:"
 * says otherwise. After fork() every call in the child returns BWT_INVALID.
 */
#ifndef BWT_H
#define BWT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if UINTPTR_MAX < UINT64_MAX
#error "libbwt needs a 64-bit address space: a store is mapped whole"
#endif

#define BWT_VERSION_MAJOR 0
#define BWT_VERSION_MINOR 1
#define BWT_VERSION_PATCH 0

#define BWT_API __attribute__((visibility("default")))

/** The one table of our codes: name, value, text. Values never change and are never reused. */
#define BWT_ERRORS(X)                                                                              \
	X(BWT_NOT_FOUND, -30001, "the key or name is not there")                                   \
	X(BWT_EXISTS, -30002, "the key, name or store is already there")                           \
	X(BWT_MISMATCH, -30003, "the key is not in the expected state")                            \
	X(BWT_CONFLICT, -30004, "another transaction changed the same data first; run it again")   \
	X(BWT_BUSY, -30005, "the store or tree is open elsewhere or still in use")                 \
	X(BWT_FULL, -30006, "no space left for the store")                                         \
	X(BWT_INVALID, -30007, "an argument, flag or handle is not valid here")                    \
	X(BWT_TOO_BIG, -30008, "the key, value or transaction is too large")                       \
	X(BWT_CORRUPT, -30009, "stored bytes are damaged")                                         \
	X(BWT_IO, -30010, "the system could not read or write the store")                          \
	X(BWT_VERSION, -30011, "the store has a format that this library does not know")           \
	X(BWT_READ_ONLY, -30012, "the store or transaction is read-only")

enum bwt_code {
	BWT_OK = 0,
#define BWT_ERROR_ENUM(name, value, text) name = (value),
	BWT_ERRORS(BWT_ERROR_ENUM)
#undef BWT_ERROR_ENUM
};

#define BWT_KEY_MAX 65535u        /* bytes of a key, at most */
#define BWT_VALUE_MAX 4294967295u /* bytes of a value, at most: 4 GiB - 1 */
#define BWT_TREE_NAME_MAX 255u    /* bytes of a tree's name, at most; 1 at least */
#define BWT_OFF (-1)              /* in an option: none (no workers, no timer, nothing inline) */

/** Flags. Every function says which it takes; any other bit is BWT_INVALID. */
#define BWT_CREATE 0x00000001u         /* open, tree_open: create it if it is not there */
#define BWT_EXCL 0x00000002u           /* with BWT_CREATE: BWT_EXISTS if it is there */
#define BWT_RDONLY 0x00000004u         /* open, begin: no writes */
#define BWT_NO_URING 0x00000008u       /* open: plain system calls instead of io_uring */
#define BWT_CATCH_SIGBUS 0x00000010u   /* open: turn mapping faults of the arena into BWT_IO */
#define BWT_VERIFY 0x00000020u         /* open: check every block first */
#define BWT_INSERT 0x00000100u         /* put: BWT_EXISTS if the key is there */
#define BWT_UPDATE 0x00000200u         /* put: BWT_NOT_FOUND if it is not */
#define BWT_READ_COMMITTED 0x00001000u /* begin: every call sees the newest commit */
#define BWT_SERIALIZABLE 0x00002000u   /* begin: as if transactions ran one after another */
#define BWT_NEWEST 0x00004000u         /* begin: see the newest commit, durable or not */
#define BWT_TXN_SYNC 0x00008000u       /* begin: commit returns when durable */
#define BWT_TXN_NOSYNC 0x00010000u     /* begin: commit does not wait */

/** Durability of a store (bwt_options.durability). */
enum bwt_durability {
	BWT_SYNC = 0,     /* a commit returns when it is on stable storage */
	BWT_INTERVAL = 1, /* a crash loses at most the last sync_interval_ms */
	BWT_NONE = 2,     /* the system decides */
};

/** Where bwt_cursor_seek() goes. */
enum bwt_seek {
	BWT_GE = 1,     /* the first key >= the given one */
	BWT_GT = 2,     /* the first key > it */
	BWT_LE = 3,     /* the last key <= it */
	BWT_LT = 4,     /* the last key < it */
	BWT_EQ = 5,     /* exactly it */
	BWT_FIRST = 6,  /* the first key of the tree */
	BWT_LAST = 7,   /* the last key of the tree */
	BWT_PREFIX = 8, /* the first key that starts with it; bounds the moves that follow */
};

struct bwt_slice {
	const void *data; /* bytes that somebody else owns */
	size_t size;
};

struct bwt_buf {
	void *data; /* the caller's, grown by the library, freed by bwt_buf_free() */
	size_t size;
	size_t capacity;
};

typedef uint64_t bwt_lsn; /* a position in the log: name and age of a commit */

struct bwt_db;
struct bwt_tree;
struct bwt_txn;
struct bwt_cursor;

struct bwt_options {
	unsigned flags;                  /* BWT_CREATE, BWT_EXCL, BWT_RDONLY, ... */
	int durability;                  /* enum bwt_durability */
	unsigned sync_interval_ms;       /* for BWT_INTERVAL; default 100 */
	uint64_t max_size;               /* bytes of address space for the arena; default 1 TiB */
	uint32_t inline_max;             /* larger values, in bytes, go to the value log */
	uint64_t wal_segment_size;       /* bytes of a full-grown log file; default 64 MiB */
	uint64_t vlog_segment_size;      /* bytes of a value-log file; default 64 MiB */
	uint64_t checkpoint_wal_bytes;   /* log bytes that make a checkpoint due; default 256 MiB */
	unsigned checkpoint_interval_ms; /* time that makes one due; default 60000 */
	unsigned worker_count;           /* background threads; default 1 */
	unsigned space_target;           /* percent, arena bytes over live bytes; default 250 */
	void (*log)(void *ctx, int level, const char *text); /* levels are syslog's */
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	void *ctx; /* handed to both */
};

struct bwt_stats {
	uint64_t key_count;            /* keys in all named trees and the main tree */
	uint64_t tree_count;           /* named trees */
	uint64_t page_count;           /* logical pages in use */
	uint64_t tree_depth;           /* levels of the main tree, a single leaf is 1 */
	uint64_t arena_bytes;          /* size of the arena file */
	uint64_t arena_live_bytes;     /* of which blocks that are reachable, open chunks included */
	uint64_t arena_free_bytes;     /* of which extents ready for use */
	uint64_t wal_bytes;            /* log files on disk */
	uint64_t vlog_bytes;           /* value-log files on disk */
	uint64_t vlog_live_bytes;      /* of which referenced by the newest version of some key */
	uint64_t user_bytes_written;   /* keys and values put since open */
	uint64_t device_bytes_written; /* bytes this process wrote to the files since open */
	uint64_t durable_lsn;
	uint64_t newest_lsn;
	uint64_t oldest_snapshot_lsn; /* newest_lsn when there is none */
	uint64_t checkpoint_count;    /* since open */
	uint64_t checkpoint_lsn;      /* start of replay after a crash now */
	uint64_t commits;
	uint64_t conflicts;
	uint64_t pushes;       /* pending versions moved behind a snapshot */
	uint64_t wounds;       /* pending versions aborted by another writer */
	uint64_t consolidations;
	uint64_t splits;
	uint64_t merges;
	uint64_t swaps_lost;   /* compare-and-swaps on the mapping table that failed */
	uint64_t extents_cleaned;
	uint64_t log_flushes;  /* group commits */
	uint64_t gate_retries; /* checkpoint cuts that gave up and came back */
	char io_engine[16];    /* "io_uring" or "plain" */
	char media[16];        /* "file", "dax", or "forced-dax" */
};

enum bwt_severity {
	BWT_NOTE = 0,    /* worth knowing, nothing wrong */
	BWT_WARNING = 1, /* damage that costs nothing: a copy is in use */
	BWT_DAMAGE = 2,  /* stored data is lost or unreachable */
};

struct bwt_finding {
	int severity;      /* enum bwt_severity */
	const char *file;  /* path below the store, e.g. "arena" */
	uint64_t offset;   /* bytes from the start of the file */
	uint64_t page;     /* page id, 0 when none is concerned */
	struct bwt_slice low_key, high_key; /* keys concerned, [low, high); NULL data: unbounded or none */
	const char *text;  /* one sentence; all pointers are good during the call only */
};

BWT_API int bwt_open(const char *path, const struct bwt_options *options, struct bwt_db **db);
BWT_API int bwt_close(struct bwt_db *db);
BWT_API const char *bwt_strerror(int rc);
BWT_API const char *bwt_detail(void);
BWT_API const char *bwt_version(void);
BWT_API void bwt_buf_free(struct bwt_buf *buf);

BWT_API int bwt_tree_open(struct bwt_db *db, const char *name, unsigned flags, struct bwt_tree **tree);
BWT_API int bwt_tree_drop(struct bwt_db *db, const char *name);
BWT_API int bwt_tree_list(struct bwt_db *db, int (*each)(void *ctx, const char *name), void *ctx);

BWT_API int bwt_put(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key, struct bwt_slice value, unsigned flags);
BWT_API int bwt_get(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key, struct bwt_buf *value);
BWT_API int bwt_delete(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key);
BWT_API int bwt_cas(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key, const struct bwt_slice *expected, const struct bwt_slice *desired);
BWT_API int bwt_get_many(struct bwt_tree *tree, struct bwt_txn *txn, size_t count, const struct bwt_slice keys[], struct bwt_buf values[], int results[]);
BWT_API int bwt_count(struct bwt_tree *tree, uint64_t *count);

BWT_API int bwt_begin(struct bwt_db *db, unsigned flags, struct bwt_txn **txn);
BWT_API int bwt_commit(struct bwt_txn *txn);
BWT_API int bwt_commit_async(struct bwt_txn *txn, bwt_lsn *lsn);
BWT_API void bwt_abort(struct bwt_txn *txn);
BWT_API bwt_lsn bwt_txn_snapshot(const struct bwt_txn *txn);

BWT_API int bwt_cursor_open(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_cursor **cursor);
BWT_API void bwt_cursor_close(struct bwt_cursor *cursor);
BWT_API int bwt_cursor_seek(struct bwt_cursor *cursor, struct bwt_slice key, int how);
BWT_API int bwt_cursor_next(struct bwt_cursor *cursor);
BWT_API int bwt_cursor_prev(struct bwt_cursor *cursor);
BWT_API int bwt_cursor_key(struct bwt_cursor *cursor, struct bwt_slice *key);
BWT_API int bwt_cursor_value(struct bwt_cursor *cursor, struct bwt_slice *value);

BWT_API bwt_lsn bwt_durable_lsn(struct bwt_db *db);
BWT_API int bwt_wait_durable(struct bwt_db *db, bwt_lsn lsn);
BWT_API int bwt_durable_fd(struct bwt_db *db);
BWT_API int bwt_sync(struct bwt_db *db);
BWT_API int bwt_checkpoint(struct bwt_db *db);

BWT_API int bwt_stat(struct bwt_db *db, struct bwt_stats *stats);
BWT_API int bwt_verify(const char *path, unsigned flags, void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx);

#ifdef __cplusplus
}
#endif

#endif
