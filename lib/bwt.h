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
	X(BWT_READ_ONLY, -30012, "the store or transaction is read-only")                          \
	X(BWT_TRIMMED, -30013, "the log does not reach back that far any more")

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
#define BWT_LZ4 0x00000400u            /* tree_open: large values are compressed by LZ4 */
#define BWT_ZSTD 0x00000800u           /* tree_open: large values are compressed by Zstandard */
#define BWT_PLAIN 0x00020000u          /* tree_open: large values are stored as they are */
#define BWT_INSERT 0x00000100u         /* put: BWT_EXISTS if the key is there */
#define BWT_UPDATE 0x00000200u         /* put: BWT_NOT_FOUND if it is not */
#define BWT_READ_COMMITTED 0x00001000u /* begin: every call sees the newest commit */
#define BWT_SERIALIZABLE 0x00002000u   /* begin: as if transactions ran one after another */
#define BWT_NEWEST 0x00004000u         /* begin: see the newest commit, durable or not */
#define BWT_TXN_SYNC 0x00008000u       /* begin: commit returns when durable */
#define BWT_TXN_NOSYNC 0x00010000u     /* begin: commit does not wait, and nobody writes for it */

/** Durability of a store (bwt_options.durability). */
enum bwt_durability {
	BWT_SYNC = 0,     /* a commit returns when it is on stable storage */
	BWT_INTERVAL = 1, /* a crash loses at most the last sync_interval_ms */
	BWT_NONE = 2,     /* the system decides */
};

/** What happened (bwt_change.kind). */
enum bwt_change_kind {
	BWT_CHANGE_PUT = 1,         /* the key has this value now */
	BWT_CHANGE_DELETE = 2,      /* the key is gone */
	BWT_CHANGE_TREE_CREATE = 3, /* the tree is there, and empty */
	BWT_CHANGE_TREE_DROP = 4,   /* the tree is gone with all that was in it */
	BWT_CHANGE_TREE_LOAD = 5, /* it is there, with pairs that do not come: bwt_bulk_finish() */
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
struct bwt_bulk;
struct bwt_changes;

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
	void *ctx;                  /* handed to both */
	unsigned vlog_space_target; /* percent, bytes of the value log over live ones; default 150 */
	const char *wal_path; /* folder for the log of a new store, absent or empty; default: in the store */
	uint64_t changes_keep_bytes; /* log and values kept for readers of changes alone; default 1 GiB */
	uint64_t vlog_collect_rate; /* bytes a second that background collection moves, which adapts itself by default */
};

#define BWT_LATENCY_BUCKETS 128

struct bwt_latency {     /* of a sample of the calls that succeeded, since open: about one in 32 */
	uint64_t count;  /* how many were timed */
	uint64_t sum_ns; /* of their times */
	uint64_t buckets[BWT_LATENCY_BUCKETS]; /* how many took less than bwt_latency_bound(i), and not less than that of i - 1 */
};

struct bwt_stats {
	uint64_t key_count;          /* keys in all named trees and the main tree */
	uint64_t tree_count;         /* named trees */
	uint64_t page_count;         /* logical pages in use */
	uint64_t tree_depth;         /* levels of the main tree, a single leaf is 1 */
	uint64_t arena_bytes;        /* of the arena file, without its holes */
	uint64_t arena_live_bytes;   /* of which blocks that are reachable, open chunks included */
	uint64_t arena_free_bytes;   /* of which extents ready for use */
	uint64_t wal_bytes;          /* log files on disk */
	uint64_t vlog_bytes;         /* value-log files on disk */
	uint64_t vlog_live_bytes;    /* of which referenced by the newest version of some key */
	uint64_t user_bytes_written; /* keys and values put since open */
	uint64_t device_bytes_written; /* bytes this process wrote to the files since open */
	uint64_t durable_lsn;
	uint64_t newest_lsn;
	uint64_t oldest_snapshot_lsn; /* newest_lsn when there is none */
	uint64_t checkpoint_count;    /* since open */
	uint64_t checkpoint_lsn;      /* start of replay after a crash now */
	uint64_t commits;
	uint64_t conflicts;
	uint64_t pushes; /* pending versions moved behind a snapshot */
	uint64_t wounds; /* pending versions aborted by another writer */
	uint64_t consolidations;
	uint64_t splits;
	uint64_t merges;
	uint64_t swaps_lost; /* compare-and-swaps on the mapping table that failed */
	uint64_t extents_cleaned;
	uint64_t log_flushes;   /* group commits */
	uint64_t gate_retries;  /* checkpoint cuts that gave up and came back */
	char io_engine[16];     /* "io_uring" or "plain" */
	char media[16];         /* of the arena: "file", "dax", or "forced-dax" */
	uint64_t cleaned_pages; /* pages moved out of extents that were to be emptied */
	uint64_t cleaned_bytes; /* of the pages written for that */
	uint64_t arena_written_bytes; /* arena bytes taken for new blocks since open, cleaned_bytes included */
	uint64_t snapshot_count;         /* that transactions and cursors hold now */
	uint64_t oldest_snapshot_ms;     /* age of the oldest, 0 when there is none, as below */
	uint64_t oldest_snapshot_thread; /* the system's number of the thread that began it */
	uint64_t oldest_snapshot_keeps; /* log bytes since: the versions kept for it alone are at most that many */
	uint64_t values_moved; /* large values copied out of value-log files that were to be emptied */
	uint64_t value_bytes_moved; /* bytes of these */
	uint64_t value_files_freed; /* value-log files removed since open */
	char wal_media[16];         /* as media, of the log */
	char flush_instruction[16]; /* "clwb", "clflushopt", "clflush" or "eadr"; "": no persistent memory */
	uint64_t changes_readers; /* of changes: open ones, and names of those that are away */
	uint64_t changes_lsn; /* of the one that is furthest behind, newest_lsn when there is none */
	uint64_t changes_cut_off; /* readers that had to be left behind */
	uint64_t wal_written_bytes; /* of the log since open, in whole blocks, without the zeroes of new files */
	uint64_t vlog_written_bytes; /* of the value log since open, those of value_bytes_moved included */
	uint64_t image_written_bytes;   /* of checkpoints since open, beside arena_written_bytes */
	struct bwt_latency get_latency; /* bwt_get() */
	struct bwt_latency commit_latency; /* changes, one by one or as a transaction, that waited for no disk */
	struct bwt_latency durable_latency; /* those that did */
};

struct bwt_change { /* all pointers are good until the next call on the same struct bwt_changes */
	bwt_lsn lsn; /* of its commit, as bwt_commit_async() returns it; the same for all of a transaction */
	const char *tree; /* its name; NULL: the main tree */
	int kind;         /* enum bwt_change_kind */
	int last;         /* 1: the last one of its transaction */
	struct bwt_slice key;
	struct bwt_slice value; /* BWT_CHANGE_PUT */
};

struct bwt_changes_options {
	const char *reader;      /* a name that the store remembers; NULL: none */
	struct bwt_tree *tree;   /* only changes of this tree; NULL: of all */
	struct bwt_slice prefix; /* only keys that begin with it; size 0: all */
};

struct bwt_changes_reader {
	const char *name; /* NULL: it has none, and is open */
	bwt_lsn position; /* it has acknowledged everything up to here */
	uint64_t behind;  /* bytes of log since */
	int open, lost;   /* 1: it is; lost: it was cut off, and nothing is kept for it */
};

enum bwt_severity {
	BWT_NOTE = 0,    /* worth knowing, nothing wrong */
	BWT_WARNING = 1, /* damage that costs nothing: a copy is in use */
	BWT_DAMAGE = 2,  /* stored data is lost or unreachable */
};

struct bwt_finding {
	int severity;     /* enum bwt_severity */
	const char *file; /* path below the store, e.g. "arena" */
	uint64_t offset;  /* bytes from the start of the file */
	uint64_t page;    /* page id, 0 when none is concerned */
	struct bwt_slice low_key,
		high_key; /* keys concerned, [low, high); NULL data: unbounded or none */
	const char *text; /* one sentence; all pointers are good during the call only */
};

/* ---- stores ---------------------------------------------------------------------------------- */

/**
 * bwt_open - open a store, recovering what a crash left; create it if asked
 * @path:    folder of the store; with BWT_CREATE it may be absent (its parent is not) or empty
 * @options: NULL, or what should differ from the defaults; every field that is zero means its
 *           default; read during the call only, except log, progress and ctx, which are kept.
 *           wal_path is recorded in the store: later calls need not name it, and may name no other
 *           flags: BWT_CREATE, BWT_EXCL (needs BWT_CREATE), BWT_RDONLY (not with BWT_CREATE),
 *           BWT_NO_URING, BWT_CATCH_SIGBUS, BWT_VERIFY
 * @db:      out
 * Returns:  BWT_OK
 *           BWT_INVALID    flags that contradict or do not exist, a NULL that may not be one, an
 *                          option out of range, a folder with files in it that is no store, or a
 *                          wal_path that is not empty or not that of the store
 *           BWT_EXISTS     BWT_EXCL, and the store is there already
 *           BWT_BUSY       another opener, in this process or another, has it; bwt_detail() has its
 *                          process id
 *           BWT_VERSION    written in a format that this library does not know
 *           BWT_CORRUPT    damaged beyond what recovery may decide; bwt_detail() has file and offset
 *           BWT_FULL       no space to create it, or to finish recovery
 *           BWT_IO         the device failed
 *           -ENOENT        no such folder, and no BWT_CREATE; or the folder of its log is not there
 *           -ENOTDIR       @path is a file
 *           -EACCES, -ENOMEM and others of the system
 * Owner:    the caller, until bwt_close()
 * Threads:  any; options.log and options.progress may be called by any thread of the library
 * Blocks:   on the disk, for the log since the last checkpoint; BWT_RDONLY recovers in memory and
 *           writes nothing, also on a read-only file system; BWT_VERIFY reads everything
 */
BWT_API int bwt_open(const char *path, const struct bwt_options *options, struct bwt_db **db);

/**
 * bwt_close - take a checkpoint and close the store
 * @db:      not used by any other thread any more; freed with its trees unless BWT_BUSY is returned
 * Returns:  BWT_OK
 *           BWT_BUSY       a transaction, cursor, load or reader of changes is open: nothing happened, @db stays open
 *           BWT_INVALID    @db is NULL, or belongs to the parent process
 *           BWT_IO, BWT_FULL  the checkpoint failed; the store is closed all the same, and what was
 *                          durable is recovered by the next bwt_open()
 *           BWT_READ_ONLY  the store had failed before; otherwise the same
 * Threads:  one, the last one
 * Blocks:   on the disk
 */
BWT_API int bwt_close(struct bwt_db *db);

/**
 * bwt_strerror - what a code means
 * @rc:      a code of this library, or a negative errno value
 * Returns:  one phrase, never NULL, also for numbers that are no code
 * Owner:    the library: static text, English in every locale
 * Threads:  any
 * Blocks:   never
 */
BWT_API const char *bwt_strerror(int rc);

/**
 * bwt_detail - the last failure of this thread in words: file, offset, page, LSN
 *
 * A success does not clear it, and outcomes (BWT_NOT_FOUND, BWT_EXISTS, BWT_CONFLICT,
 * BWT_MISMATCH) leave it alone: look at it only after a failure.
 *
 * Returns:  one sentence without a full stop; "" when there was no failure yet
 * Owner:    the library; good until the next failure of the same thread
 * Threads:  any; each has its own
 * Blocks:   never
 */
BWT_API const char *bwt_detail(void);

/**
 * bwt_version - the version of the library that runs, as "MAJOR.MINOR.PATCH"
 * Threads:  any
 * Blocks:   never
 */
BWT_API const char *bwt_version(void);

/**
 * bwt_buf_free - free the bytes of a buffer and make it empty again
 * @buf:     the struct itself stays the caller's; NULL and empty ones are fine
 * Threads:  any; one at a time per @buf
 * Blocks:   never
 */
BWT_API void bwt_buf_free(struct bwt_buf *buf);

/* ---- trees ----------------------------------------------------------------------------------- */

/**
 * bwt_tree_open - the handle of a tree of the store
 * @name:    1..BWT_TREE_NAME_MAX bytes and a zero; NULL: the main tree, which is always there
 * @flags:   BWT_CREATE, BWT_EXCL (needs BWT_CREATE); BWT_LZ4, BWT_ZSTD or BWT_PLAIN: how values above
 *           inline_max are stored from now on, until a later call says otherwise or the store is
 *           closed; without, as before, at first plain. Each value knows how it is stored
 * @tree:    out; the same handle at every call for the same tree
 * Returns:  BWT_OK
 *           BWT_NOT_FOUND  no tree has this name, and no BWT_CREATE
 *           BWT_EXISTS     BWT_EXCL, and the tree is there already
 *           BWT_INVALID    a name that is empty or too long, flags that contradict or do not exist,
 *                          a compression that this build of the library lacks
 *           BWT_READ_ONLY  it would have to be created in a store opened with BWT_RDONLY
 *           BWT_FULL, BWT_IO, BWT_CORRUPT, -ENOMEM
 * Owner:    the store: good until bwt_tree_drop() or bwt_close(), and never freed by the caller
 * Threads:  any
 * Blocks:   when it creates: as a commit does
 */
BWT_API int bwt_tree_open(struct bwt_db *db, const char *name, unsigned flags,
                          struct bwt_tree **tree);

/**
 * bwt_tree_drop - remove a tree and all that is in it
 * @name:    not NULL: the main tree cannot be dropped
 * Returns:  BWT_OK; the handles of the tree are gone, its space comes back in the background
 *           BWT_NOT_FOUND  no tree has this name
 *           BWT_BUSY       a cursor is open on it, or any transaction is open: nothing changed
 *           BWT_INVALID    @name is NULL, empty or too long
 *           BWT_READ_ONLY  the store was opened with BWT_RDONLY, or has failed
 *           BWT_FULL, BWT_IO, -ENOMEM
 * Threads:  any, when no other thread uses the handle of this tree any more
 * Blocks:   as a commit does
 */
BWT_API int bwt_tree_drop(struct bwt_db *db, const char *name);

/**
 * bwt_tree_list - call @each for every named tree, in the order of their names
 * @each:    gets @ctx and a name that is good during the call; returns 0 to go on. It may open,
 *           create and drop trees
 * Returns:  BWT_OK; what @each returned when that was not 0; BWT_INVALID, -ENOMEM
 * Threads:  any; the names are those at the time of the call
 * Blocks:   never, but in @each
 */
BWT_API int bwt_tree_list(struct bwt_db *db, int (*each)(void *ctx, const char *name), void *ctx);

/* ---- operations ------------------------------------------------------------------------------ */

/*
 * All of these but bwt_count() take @txn: NULL, or a transaction of the same store. Without one, a
 * change is a transaction of its own, durable as the store says, and a read sees the newest commit.
 * With one, a change is seen by this transaction alone until bwt_commit() publishes all of them at
 * once, and a read sees the transaction's own changes over its snapshot. Any of them may then return
 * BWT_CONFLICT: another transaction came first, and only bwt_abort() makes sense. A call without a
 * transaction never returns it.
 */

/**
 * bwt_put - store a value under a key
 * @key:     0..BWT_KEY_MAX bytes, read during the call only
 * @value:   0..BWT_VALUE_MAX bytes, read during the call only; above options.inline_max it goes to
 *           the value log
 * @flags:   0, or BWT_INSERT, or BWT_UPDATE
 * Returns:  BWT_OK         stored; in a store with BWT_SYNC also durable
 *           BWT_EXISTS     BWT_INSERT, and the key is there: nothing changed
 *           BWT_NOT_FOUND  BWT_UPDATE, and the key is not there: nothing changed
 *           BWT_TOO_BIG    key or value is too long
 *           BWT_INVALID    NULL with a size, both flags, unknown flags, @txn of another store
 *           BWT_FULL       no space; everything stored before stays readable, deletes still work,
 *                          and writes resume when space was freed
 *           BWT_READ_ONLY  the store or @txn is read-only, or the store has failed before
 *           BWT_IO         the device failed; the store takes no changes any more
 *           BWT_CORRUPT    a page on the way does not match its checksum
 *           BWT_BUSY, -ENOMEM  too many threads at once, no memory
 * Threads:  any
 * Blocks:   on room in the log, on growth of the arena, on durability if the store says so; never
 *           on another writer
 */
BWT_API int bwt_put(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key,
                    struct bwt_slice value, unsigned flags);

/**
 * bwt_get - read one key in the snapshot of @txn, or the newest committed version without one
 * @key:     0..BWT_KEY_MAX bytes, read during the call only
 * @value:   out; grown as needed and set on BWT_OK; NULL asks only whether the key is there. After a failure its size
 *           is what it was, but not always its bytes: a large value is read into them at once
 * Returns:  BWT_OK
 *           BWT_NOT_FOUND  no version is visible to @txn (an outcome, not a fault)
 *           BWT_TOO_BIG    @key is too long
 *           BWT_INVALID    NULL where a pointer is needed, @txn of another store
 *           BWT_CORRUPT    a checksum did not match; a damaged large value is so for its key alone
 *           BWT_VERSION    the value is compressed by what this build of the library lacks
 *           BWT_IO         the value log could not be read, or the mapping failed (BWT_CATCH_SIGBUS)
 *           BWT_BUSY, -ENOMEM  too many threads at once, no memory for the value
 * Owner:    the caller keeps @value and frees it with bwt_buf_free(); a reused buffer is not shrunk
 * Threads:  any; one thread at a time per @value
 * Blocks:   never on another transaction; at most on one read of the value log
 */
BWT_API int bwt_get(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key,
                    struct bwt_buf *value);

/**
 * bwt_delete - remove a key
 * @key:     0..BWT_KEY_MAX bytes, read during the call only
 * Returns:  BWT_OK         removed; in a store with BWT_SYNC also durably
 *           BWT_NOT_FOUND  it is not there
 *           else           as bwt_put(); a full store still takes deletes
 * Threads, Blocks: as bwt_put()
 */
BWT_API int bwt_delete(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key);

/**
 * bwt_cas - change a key if it is in the expected state
 * @expected: the value that it must have; NULL: it must be absent
 * @desired:  the value that it gets; NULL: it is removed. NULL to NULL only asks for absence
 * Returns:  BWT_OK         it was as expected, and is as desired
 *           BWT_MISMATCH   it is in another state: nothing changed
 *           BWT_VERSION    the value that it has is compressed by what this build of the library lacks
 *           else           as bwt_put()
 * Threads, Blocks: as bwt_put(), and on one read of the value log
 */
BWT_API int bwt_cas(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key,
                    const struct bwt_slice *expected, const struct bwt_slice *desired);

/**
 * bwt_get_many - read many keys in one consistent snapshot, faster than a loop
 * @count:   number of keys; 0 is fine
 * @keys:    @count keys in any order, also equal ones
 * @values:  @count buffers, each as in bwt_get(); that of a missing key gets size 0. NULL: only
 *           whether the keys are there
 * @results: out: @count codes, each as bwt_get() would return
 * Returns:  BWT_OK         every key was looked up: see @results
 *           BWT_INVALID    NULL where a pointer is needed, @txn of another store
 *           BWT_BUSY, BWT_IO, -ENOMEM  nothing could be looked up
 * Owner, Threads: as bwt_get()
 * Blocks:   on reads of the value log; without @txn in no other way
 */
BWT_API int bwt_get_many(struct bwt_tree *tree, struct bwt_txn *txn, size_t count,
                         const struct bwt_slice keys[], struct bwt_buf values[], int results[]);

/**
 * bwt_delete_range - remove all keys of [@from, @to)
 * @from:    first key to remove; data == NULL: from the first key of the tree on
 * @to:      the key to stop before; data == NULL: up to the last key, it included
 * Returns:  BWT_OK         none of them is there any more, for @txn; also when none was, and when
 *                          the range is empty or reversed
 *           BWT_TOO_BIG    a bound is too long, or there are more keys than one transaction can
 *                          change: nothing changed
 *           BWT_CONFLICT   in @txn only: as bwt_put()
 *           else           as bwt_delete()
 * Threads:  any; one thread at a time per @txn
 * Blocks:   as bwt_put()
 *
 * It removes the keys that @txn sees: under a snapshot, those of the snapshot and @txn's own. A key
 * that another transaction puts into the range meanwhile stays; under BWT_SERIALIZABLE that is a
 * conflict at commit. Without @txn it is a transaction of its own, with all keys or none.
 */
BWT_API int bwt_delete_range(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice from,
                             struct bwt_slice to);

/**
 * bwt_count - number of keys in the tree
 * @count:   out; exact whenever no change is under way
 * Returns:  BWT_OK, BWT_INVALID
 * Threads:  any
 * Blocks:   never; costs a few counters, not a walk
 */
BWT_API int bwt_count(struct bwt_tree *tree, uint64_t *count);

/* ---- transactions ---------------------------------------------------------------------------- */

/**
 * bwt_begin - begin a transaction over all trees of the store
 * @flags:   isolation: 0, a snapshot; or BWT_READ_COMMITTED: every call sees the newest commit, and
 *           nobody comes first; or BWT_SERIALIZABLE: as if transactions ran one after another.
 *           BWT_RDONLY: no changes, and never refused; with BWT_SERIALIZABLE it is a snapshot.
 *           BWT_NEWEST: see below, idle without BWT_RDONLY. BWT_TXN_SYNC or BWT_TXN_NOSYNC:
 *           durability of this commit, whatever the store's. See bwt-transactions(7)
 * @txn:     out
 * Returns:  BWT_OK
 *           BWT_INVALID    flags that contradict or do not exist, a NULL that may not be one
 *           BWT_READ_ONLY  no BWT_RDONLY, and the store is read-only, or has failed before
 *           BWT_BUSY       too many snapshots or threads at once
 *           BWT_IO, -ENOMEM
 * Owner:    the caller, until bwt_commit(), bwt_commit_async() or bwt_abort()
 * Threads:  any; a read-only transaction may be shared by threads, a read-write one is used by one
 *           thread at a time; both may be handed on
 * Blocks:   with BWT_RDONLY in a store with BWT_SYNC until what this thread has read or committed is
 *           durable: the snapshot then stands at bwt_durable_lsn(). BWT_NEWEST, a store that is not
 *           sync, or a read-write transaction does not wait and sees the newest commit
 */
BWT_API int bwt_begin(struct bwt_db *db, unsigned flags, struct bwt_txn **txn);

/**
 * bwt_commit - publish all changes of a transaction at once, and end it
 * @txn:     freed whatever is returned; its cursors answer BWT_INVALID until they are closed
 * Returns:  BWT_OK         all changes are visible, and durable if they were to be
 *           BWT_CONFLICT   another transaction changed the same data first: nothing changed, run it
 *                          again from the start; never for a read-only one
 *           BWT_TOO_BIG    too many changes for one transaction: nothing changed
 *           BWT_FULL       no space: nothing changed
 *           BWT_IO         the device failed; the store takes no changes any more
 *           BWT_INVALID    @txn is NULL or belongs to the parent process
 *           BWT_READ_ONLY, BWT_CORRUPT, BWT_BUSY, -ENOMEM  nothing changed
 * Threads:  one, the last one to use @txn
 * Blocks:   never for a read-only transaction; else as bwt_put(). Without changes, and if it were to
 *           be durable: until what it read is
 */
BWT_API int bwt_commit(struct bwt_txn *txn);

/**
 * bwt_commit_async - publish all changes of a transaction without waiting for the disk, and end it
 *
 * Where bwt_commit() would wait, in a store with BWT_SYNC or with BWT_TXN_SYNC, a thread of the store writes the log at
 * once, so bwt_durable_lsn() gets there without another call; many commits share a write. With BWT_INTERVAL
 * it gets there by the interval. With BWT_NONE or BWT_TXN_NOSYNC nobody writes for this commit's sake: others, a
 * checkpoint, bwt_wait_durable() or bwt_sync() take it along.
 *
 * @txn:     freed whatever is returned
 * @lsn:     out; the end of its record, for bwt_wait_durable(): durable when bwt_durable_lsn() has
 *           reached it. A transaction without changes returns the newest LSN that it can have read.
 *           May be NULL
 * Returns:  as bwt_commit()
 * Threads:  one, the last one to use @txn
 * Blocks:   on room in the log, on growth of the arena
 */
BWT_API int bwt_commit_async(struct bwt_txn *txn, bwt_lsn *lsn);

/**
 * bwt_abort - end a transaction and forget its changes
 * @txn:     freed; NULL is fine
 * Threads:  one, the last one to use @txn
 * Blocks:   never
 */
BWT_API void bwt_abort(struct bwt_txn *txn);

/**
 * bwt_savepoint - mark a point in a read-write transaction that bwt_rollback_to() can go back to
 * @mark:    out; good until @txn ends, or a rollback to an older mark
 * Returns:  BWT_OK
 *           BWT_READ_ONLY  @txn is read-only
 *           BWT_INVALID    NULL where a pointer is needed, or @txn belongs to the parent process
 *           BWT_CONFLICT   @txn has lost already: only bwt_abort() makes sense
 *           -ENOMEM
 * Threads:  one at a time per @txn
 * Blocks:   never
 */
BWT_API int bwt_savepoint(struct bwt_txn *txn, unsigned *mark);

/**
 * bwt_rollback_to - forget the changes that a transaction made after a savepoint
 * @mark:    of bwt_savepoint(), on the same @txn; it stays usable, those made after it do not.
 *           Cursors of @txn stay open and see what is left
 * Returns:  BWT_OK
 *           BWT_READ_ONLY  @txn is read-only
 *           BWT_INVALID    no such mark, @txn is NULL or belongs to the parent process
 *           BWT_CONFLICT   @txn has lost already: only bwt_abort() makes sense
 *           -ENOMEM
 * Threads:  one at a time per @txn
 * Blocks:   never. Reads made after the mark still count under BWT_SERIALIZABLE
 */
BWT_API int bwt_rollback_to(struct bwt_txn *txn, unsigned mark);

/**
 * bwt_txn_snapshot - where a transaction's snapshot stands: it sees every commit below this LSN
 * Returns:  the LSN; 0 for one with BWT_READ_COMMITTED, which has no snapshot, and for NULL
 * Threads:  any
 * Blocks:   never
 */
BWT_API bwt_lsn bwt_txn_snapshot(const struct bwt_txn *txn);

/* ---- cursors --------------------------------------------------------------------------------- */

/**
 * bwt_cursor_open - a cursor over one tree, without a position
 * @txn:     whose snapshot it walks; NULL: one of its own, of the newest commit, taken now
 * @cursor:  out
 * Returns:  BWT_OK; BWT_INVALID; BWT_BUSY  too many snapshots or threads at once; -ENOMEM
 * Owner:    the caller, until bwt_cursor_close(), also when its transaction has ended
 * Threads:  any; one at a time per cursor
 * Blocks:   never; an open cursor keeps old versions, but stops nobody
 */
BWT_API int bwt_cursor_open(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_cursor **cursor);

/**
 * bwt_cursor_close - end a cursor
 * @cursor:  freed with the slices it gave out; NULL is fine
 * Blocks:   never
 */
BWT_API void bwt_cursor_close(struct bwt_cursor *cursor);

/**
 * bwt_cursor_seek - go to a key
 * @key:     0..BWT_KEY_MAX bytes, read during the call only; not looked at for BWT_FIRST, BWT_LAST
 * @how:     enum bwt_seek. BWT_PREFIX also bounds the moves that follow, until the next seek
 * Returns:  BWT_OK         it stands on an entry
 *           BWT_NOT_FOUND  there is no such entry. It stands past the end that it looked towards
 *                          (BWT_LE, BWT_LT, BWT_LAST: before the first entry, else behind the last
 *                          one, of the prefix where there is one), after BWT_EQ nowhere
 *           BWT_INVALID    @how does not exist, or the transaction has ended
 *           BWT_TOO_BIG    @key is too long
 *           BWT_CORRUPT, BWT_IO, BWT_BUSY, -ENOMEM
 * Threads:  one at a time per cursor
 * Blocks:   never on another transaction
 */
BWT_API int bwt_cursor_seek(struct bwt_cursor *cursor, struct bwt_slice key, int how);

/**
 * bwt_cursor_next - go to the next entry; standing nowhere or before the first, to the first
 * Returns:  BWT_OK
 *           BWT_NOT_FOUND  there is none: it stands past the end, from where prev comes back to the
 *                          last entry
 *           BWT_INVALID    the transaction has ended
 *           BWT_CORRUPT, BWT_IO, BWT_BUSY, -ENOMEM
 * Threads, Blocks: as bwt_cursor_seek()
 */
BWT_API int bwt_cursor_next(struct bwt_cursor *cursor);

/**
 * bwt_cursor_prev - go to the entry before; standing nowhere or behind the last, to the last
 * Returns:  as bwt_cursor_next(), the other way round
 * Threads, Blocks: as bwt_cursor_seek()
 */
BWT_API int bwt_cursor_prev(struct bwt_cursor *cursor);

/**
 * bwt_cursor_key - the key that the cursor stands on
 * @key:     out
 * Returns:  BWT_OK
 *           BWT_NOT_FOUND  it stands nowhere
 *           BWT_INVALID    the transaction has ended
 * Owner:    the cursor: good until it is moved or closed; bwt_cursor_value() leaves it alone
 * Threads:  one at a time per cursor
 * Blocks:   never
 */
BWT_API int bwt_cursor_key(struct bwt_cursor *cursor, struct bwt_slice *key);

/**
 * bwt_cursor_value - the value there; a large one is read from the value log now, and if values are asked
 * for one after another, the next ones of them along with it (1 MiB at most)
 * @value:   out; in a read-write transaction as it is for it now, also if it was written since the move
 * Returns:  BWT_OK
 *           BWT_NOT_FOUND  the cursor stands nowhere, or the transaction has removed the entry since
 *           BWT_INVALID    the transaction has ended
 *           BWT_CORRUPT    the value is damaged; the cursor can move on
 *           BWT_VERSION    it is compressed by what this build of the library lacks
 *           BWT_IO, -ENOMEM
 * Owner:    the cursor: good until the next call on it, except bwt_cursor_key()
 * Threads:  one at a time per cursor
 * Blocks:   at most on one read of the value log, of some values at once
 */
BWT_API int bwt_cursor_value(struct bwt_cursor *cursor, struct bwt_slice *value);

/* ---- durability ------------------------------------------------------------------------------ */

/**
 * bwt_durable_lsn - up to where the log is on stable storage
 * Returns:  an LSN that only grows: a commit that returned lsn is durable when this is >= lsn.
 *           0 for a handle of the parent process
 * Threads:  any
 * Blocks:   never
 */
BWT_API bwt_lsn bwt_durable_lsn(struct bwt_db *db);

/**
 * bwt_wait_durable - wait until bwt_durable_lsn() has reached @lsn, flushing if nobody else does
 * Returns:  BWT_OK
 *           BWT_INVALID    the log has not got that far
 *           BWT_IO, BWT_FULL  the log could not be written, now or before, and it never will be durable; the store
 *                          takes no changes any more
 * Threads:  any
 * Blocks:   on the disk
 */
BWT_API int bwt_wait_durable(struct bwt_db *db, bwt_lsn lsn);

/**
 * bwt_durable_fd - an eventfd(2) that becomes readable whenever bwt_durable_lsn() has moved
 *
 * Once more when the store fails: then bwt_begin() of a change returns BWT_READ_ONLY, and bwt_wait_durable() says
 * of a commit that is not durable what happened.
 *
 * Returns:  a file descriptor (0 or more), the same at every call; BWT_INVALID, -EMFILE and others
 * Owner:    the store: read it, poll it, do not close it; non-blocking
 * Threads:  any
 * Blocks:   never
 */
BWT_API int bwt_durable_fd(struct bwt_db *db);

/**
 * bwt_sync - make everything durable that was committed before the call, whatever the store's mode
 * Returns:  BWT_OK; BWT_IO, BWT_FULL  as bwt_wait_durable(); BWT_INVALID
 * Threads:  any
 * Blocks:   on the disk
 */
BWT_API int bwt_sync(struct bwt_db *db);

/**
 * bwt_checkpoint - write a checkpoint, so that opening after a crash replays nothing older
 *
 * Checkpoints come by themselves (options checkpoint_wal_bytes and checkpoint_interval_ms, and at
 * bwt_close()). A call beside a running one waits for one that began after the call.
 *
 * Returns:  BWT_OK
 *           BWT_FULL       no space for it; the store goes on
 *           BWT_BUSY       writers did not pause for the instant that it needs; call again
 *           BWT_READ_ONLY  the store was opened with BWT_RDONLY, or has failed
 *           BWT_IO, BWT_INVALID, -ENOMEM
 * Threads:  any; readers and writers go on
 * Blocks:   on the disk
 */
BWT_API int bwt_checkpoint(struct bwt_db *db);

/* ---- loading --------------------------------------------------------------------------------- */

/**
 * bwt_bulk_open - begin to load a new tree from sorted pairs
 *
 * Several times faster than bwt_put(): the pairs are not logged, and each page is written once. Nobody sees
 * the tree before bwt_bulk_finish(). A crash before leaves nothing of it, one after that all of it. The last large
 * values that were put, 64 at most, keep the value log's files from theirs on until as many more were put, or the end.
 *
 * @name:    of the tree: 1..BWT_TREE_NAME_MAX bytes and a zero; no tree may have it. Not the main tree
 * @flags:   0
 * @bulk:    out: for bwt_bulk_finish() or bwt_bulk_abort(). bwt_close() returns BWT_BUSY until then
 * Returns:  BWT_OK
 *           BWT_EXISTS     a tree has this name
 *           BWT_INVALID    a name that is NULL, empty or too long, @bulk is NULL, flags that do not exist
 *           BWT_BUSY       too many threads are inside the store
 *           BWT_READ_ONLY  the store was opened with BWT_RDONLY, or has failed
 *           BWT_FULL, BWT_IO, -ENOMEM
 * Threads:  any; any number of loads at once; everybody else goes on
 * Blocks:   on growing the file, or on making space in a full store
 */
BWT_API int bwt_bulk_open(struct bwt_db *db, const char *name, unsigned flags,
                          struct bwt_bulk **bulk);

/**
 * bwt_bulk_put - add a pair behind all others
 * @key:     behind the key of the last call that returned BWT_OK
 * Returns:  BWT_OK
 *           BWT_INVALID    @key does not lie behind it, or a NULL; nothing happened, the load goes on
 *           BWT_TOO_BIG    @key or @value is too long; likewise
 *           BWT_FULL, BWT_IO, BWT_READ_ONLY, BWT_CORRUPT, -ENOMEM: the pair was not added, all before it still are
 * Threads:  one at a time per load
 * Blocks:   on growing the file, or on making space in a full store; on writing a large value
 */
BWT_API int bwt_bulk_put(struct bwt_bulk *bulk, struct bwt_slice key, struct bwt_slice value);

/**
 * bwt_bulk_finish - give the tree its name; the load ends
 * @tree:    out: its handle, as of bwt_tree_open(); NULL: not asked for
 * Returns:  BWT_OK; the name is as durable as a commit
 *           BWT_EXISTS     a tree of this name has been made meanwhile
 *           BWT_BUSY       a backup is being made, or a checkpoint could not be taken: try again later
 *           BWT_INVALID    @bulk is NULL
 *           BWT_FULL, BWT_IO, BWT_READ_ONLY, BWT_CORRUPT, -ENOMEM
 *           After any failure the load is still open, with all its pairs
 * Threads:  one at a time per load
 * Blocks:   on two checkpoints, and as a commit does
 */
BWT_API int bwt_bulk_finish(struct bwt_bulk *bulk, struct bwt_tree **tree);

/**
 * bwt_bulk_abort - end a load and leave nothing of it
 * @bulk:    NULL is fine
 * Threads:  one at a time per load
 * Blocks:   on freeing the pages, never on the disk
 */
BWT_API void bwt_bulk_abort(struct bwt_bulk *bulk);
/* ---- changes --------------------------------------------------------------------------------- */

/**
 * bwt_changes_open - read what is committed, in the order of commits, from some point on
 *
 * The log itself is read. Transactions come whole, one after another in LSN order, and only when they are
 * durable: what was handed out, no crash takes back, and it comes again with the same LSNs. Of what is not
 * yet acknowledged, log and values are kept, up to options.changes_keep_bytes; a reader that would need more
 * is cut off and gets BWT_TRIMMED. So is everybody who is behind when the disk is full.
 *
 * @from:    only commits behind this LSN: one that an earlier change had, or bwt_txn_snapshot() of a transaction
 *           whose data was copied, once it is durable, which a reader with a name waits for. 0: where the reader @options->reader stands, if it is
 *           known, else from the beginning of the store on
 * @options: NULL, or zeroed but for what is wanted; read during the call only. reader: 1 to 255 bytes and a zero:
 *           it stands where it last acknowledged, also while it is not open, over restarts, until
 *           bwt_changes_forget()
 * @changes: out
 * Returns:  BWT_OK
 *           BWT_TRIMMED    what was committed since is not all there any more, or a repair has cut the log before
 *                          the place of this name: copy the data anew, and go on from that snapshot
 *           BWT_INVALID    @from is beyond the end of the log, or no place between two commits (as after a
 *                          crash that took back what was not durable); an empty or too long name; a NULL
 *           BWT_BUSY       this reader is open already, or there are 64 of them
 *           BWT_TOO_BIG    the prefix is longer than a key
 *           BWT_READ_ONLY  the store was opened with BWT_RDONLY, or has failed
 *           BWT_FULL, BWT_IO, -ENOMEM
 * Owner:    the caller, until bwt_changes_close(), before bwt_close()
 * Threads:  any; one at a time per @changes
 * Blocks:   on the disk
 */
BWT_API int bwt_changes_open(struct bwt_db *db, bwt_lsn from,
                             const struct bwt_changes_options *options, struct bwt_changes **changes);

/**
 * bwt_changes_close - end a reader; one with a name keeps its place
 * @changes: freed with what it gave out; NULL is fine
 * Blocks:   never
 */
BWT_API void bwt_changes_close(struct bwt_changes *changes);

/**
 * bwt_changes_next - the next change
 * @timeout_ms: how long to wait until there is one; 0: not at all; negative: for good
 * @change:  out
 * Returns:  BWT_OK
 *           BWT_NOT_FOUND  nothing more is durable yet
 *           BWT_TRIMMED    the reader was cut off, as bwt_changes_open() says
 *           BWT_CORRUPT    the log or a value is damaged
 *           BWT_VERSION    a value is compressed by what this build of the library lacks
 *           BWT_READ_ONLY  the store has failed: all that was durable was handed out, and nothing comes any more
 *           BWT_IO         it could not be read
 *           BWT_INVALID    NULL, or the store belongs to the parent process
 *           -ENOMEM
 *           After BWT_IO and -ENOMEM the same transaction begins anew with the next call
 * Owner:    the reader: @change is good until the next call
 * Threads:  one at a time per @changes
 * Blocks:   as asked; on the disk. While it waits in a store with BWT_SYNC it makes durable what was committed
 *           without waiting for that; in one with BWT_NONE, now and then
 */
BWT_API int bwt_changes_next(struct bwt_changes *changes, int timeout_ms, struct bwt_change *change);

/**
 * bwt_changes_fd - an eventfd(2) that is readable when bwt_changes_next() may have something
 *
 * It is readable until bwt_changes_next() returns BWT_NOT_FOUND; poll it, and do not read it. Once the store has failed
 * it stays readable, and bwt_changes_next() says so after the last change.
 *
 * Returns:  a file descriptor (0 or more), the same at every call; BWT_INVALID, -EMFILE and others
 * Owner:    the reader: do not close it
 * Threads:  one at a time per @changes
 * Blocks:   never
 */
BWT_API int bwt_changes_fd(struct bwt_changes *changes);

/**
 * bwt_changes_position - everything up to here was handed out, or was not for this reader
 *
 * It moves with transactions as a whole, also past those of which the options of the reader let nothing through.
 *
 * Returns:  an LSN, for bwt_changes_ack() and as @from of another bwt_changes_open(); 0 for NULL
 * Threads:  one at a time per @changes
 * Blocks:   never
 */
BWT_API bwt_lsn bwt_changes_position(const struct bwt_changes *changes);

/**
 * bwt_changes_ack - nothing up to @lsn is needed any more by a reader with a name
 *
 * Call it when what was handed out has been dealt with, durably. The log below is released by checkpoints. A reader
 * without a name acknowledges by reading.
 *
 * @lsn:     at most bwt_changes_position(); below an earlier one nothing happens
 * Returns:  BWT_OK; BWT_INVALID  @lsn was not handed out yet; BWT_TRIMMED  the reader was cut off
 * Threads:  one at a time per @changes
 * Blocks:   never; after a crash an older acknowledgement may count, and no later one than the newest
 */
BWT_API int bwt_changes_ack(struct bwt_changes *changes, bwt_lsn lsn);

/**
 * bwt_changes_forget - a reader does not come back: nothing is kept for it any more
 * @reader:  its name
 * Returns:  BWT_OK; BWT_NOT_FOUND  no reader has this name; BWT_BUSY  it is open; BWT_READ_ONLY; BWT_INVALID; BWT_FULL,
 *           BWT_IO, -ENOMEM
 * Threads:  any
 * Blocks:   on the disk
 */
BWT_API int bwt_changes_forget(struct bwt_db *db, const char *reader);

/**
 * bwt_changes_list - call @each for every reader, open or known by name
 * @each:    gets @ctx and a reader, good during the call; any return but 0 ends the walk
 * Returns:  BWT_OK, or what @each returned; BWT_INVALID; BWT_READ_ONLY; -ENOMEM
 * Threads:  any; @each is called by the calling thread and may call any function
 * Blocks:   never
 */
BWT_API int bwt_changes_list(struct bwt_db *db,
                             int (*each)(void *ctx, const struct bwt_changes_reader *reader),
                             void *ctx);

/* ---- care ------------------------------------------------------------------------------------ */

/**
 * bwt_stat - sizes and counters of the store
 * @stats:   out, all fields; counters of events begin at bwt_open(). The numbers are not of one
 *           instant while others work
 * Returns:  BWT_OK; BWT_INVALID, BWT_IO
 * Threads:  any
 * Blocks:   on a few file system look-ups
 */
BWT_API int bwt_stat(struct bwt_db *db, struct bwt_stats *stats);

/**
 * bwt_latency_percentile - a time that @percent percent of the timed calls were below
 * @latency: of bwt_stat(), or the difference of two, field by field
 * @percent: 0..100
 * Returns:  nanoseconds, by which it is at most a fourth too much; 0 when nothing was timed
 * Threads:  any
 * Blocks:   never
 */
BWT_API uint64_t bwt_latency_percentile(const struct bwt_latency *latency, double percent);

/**
 * bwt_latency_bound - the time that the calls in buckets[@bucket] were below
 * Returns:  nanoseconds, from 40 to 2^37 (137 s); the last bucket also has what took longer
 * Threads:  any
 * Blocks:   never
 */
BWT_API uint64_t bwt_latency_bound(unsigned bucket);

/**
 * bwt_compact - give the space that deleted data has left back to the file system, as far as that goes
 *
 * Pages are moved together, the rest of the arena becomes holes, and its end is cut off, while readers and writers go
 * on. Of a store whose file is larger than options.space_target allows, the part above that goes by itself,
 * some megabytes a second; this call goes all the way, and writes up to as much as lives in the arena for it. A little
 * is kept, so that a store on a full disk can still be emptied. The value log is collected apart from this
 * (options.vlog_space_target).
 *
 * @flags:   0
 * Returns:  BWT_OK         what could go is gone. What a snapshot, a backup or a thread at work needs stayed
 *           BWT_INVALID    flags that do not exist, NULL, or @db belongs to the parent process
 *           BWT_READ_ONLY  the store was opened with BWT_RDONLY, or has failed
 *           BWT_BUSY       too many threads are inside the store, or writers did not pause for the instant that a checkpoint needs
 *           BWT_FULL       no space for a checkpoint; the store goes on
 *           BWT_IO         the device failed; in a checkpoint: the store takes no changes any more
 *           -ENOMEM
 *           After any other failure the store goes on as before, and what was won until then stays won
 * Threads:  any; a second call waits for the first one
 * Blocks:   on the disk, on several checkpoints
 */
BWT_API int bwt_compact(struct bwt_db *db, unsigned flags);

/**
 * bwt_backup - copy the store to another folder while readers and writers go on
 *
 * The copy is a store of its own: everything that was committed and durable at one LSN, which is not
 * below bwt_durable_lsn() at the call, and nothing that came later. What the copy needs is kept in the
 * store until it is done, so space that becomes free meanwhile is used again only afterwards.
 *
 * @path:    folder of the copy: absent (its parent is not), empty, or an unfinished backup
 * Returns:  BWT_OK         the copy is complete, durable, and was opened once to prove it
 *           BWT_EXISTS     @path holds something else
 *           BWT_BUSY       another backup of this store, or to @path, is being made
 *           BWT_FULL       no space at @path
 *           BWT_READ_ONLY  the store was opened with BWT_RDONLY, or has failed
 *           BWT_INVALID    NULL, or @db belongs to the parent process
 *           BWT_IO, BWT_CORRUPT, -ENOENT, -ENOTDIR, -EACCES, -ENOMEM
 *           After any of these, and after a crash on the way, @path is no store: bwt_open() says that it
 *           is an unfinished backup, and another bwt_backup() begins it anew
 * Threads:  any
 * Blocks:   on both disks, for as long as copying takes; nobody else waits for it
 */
BWT_API int bwt_backup(struct bwt_db *db, const char *path);

/**
 * bwt_verify - check every rule of a store that nobody has open; changes nothing
 * @path:    folder of the store
 * @flags:   0: there are none yet. Mapping faults are always turned into BWT_IO
 * @report:  called for each finding, with @ctx; NULL: only the code is wanted
 * Returns:  BWT_OK         no finding; a store that only needs recovery is in order
 *           BWT_CORRUPT    damage, or a copy that had to stand in for a damaged one: see @report
 *           BWT_BUSY       it is open; bwt_detail() has the process id
 *           BWT_VERSION, BWT_INVALID, BWT_IO, -ENOENT, -ENOTDIR, -ENOMEM  it could not be checked
 * Owner:    what @report gets is good during that call
 * Threads:  any; @report is called by the calling thread
 * Blocks:   on reading the whole store
 */
BWT_API int bwt_verify(const char *path, unsigned flags,
                       void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx);

#ifdef __cplusplus
}
#endif

#endif
