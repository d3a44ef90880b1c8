/* SPDX-License-Identifier: MIT */
/*
 * commit.h - single operations: pending, reserve, publish, fill (design.md section 1)
 */
#ifndef BWT_TXN_COMMIT_H
#define BWT_TXN_COMMIT_H

#include "txn/store.h"

enum commit_kind {
	COMMIT_PUT,    /* whatever is there */
	COMMIT_INSERT, /* BWT_EXISTS if it is there */
	COMMIT_UPDATE, /* BWT_NOT_FOUND if it is not */
	COMMIT_DELETE, /* BWT_NOT_FOUND if it is not */
	COMMIT_CAS,    /* BWT_MISMATCH unless the key is as expected */
};

struct commit_op {
	enum commit_kind kind;
	struct bwt_slice key;
	struct bwt_slice value;           /* the new value; COMMIT_CAS: see desired */
	const struct bwt_slice *expected; /* COMMIT_CAS; NULL: absent */
	const struct bwt_slice *desired;  /* COMMIT_CAS; NULL: delete */
	uint64_t unchanged_since; /* BWT_CONFLICT if the key was written at or above this LSN; 0: whatever */
	bool durable;             /* return when it is durable */
	uint64_t end_lsn; /* out: end of the record; 0 when nothing was written */
};

/**
 * commit_one - one operation as a transaction of its own
 * Returns: BWT_OK; the outcome codes above; BWT_FULL, BWT_IO, BWT_READ_ONLY, BWT_CORRUPT, -ENOMEM, BWT_BUSY (all
 *          thread slots are taken)
 * Threads: any, not pinned
 * Blocks:  on room in the log, on growing the arena, on durability if asked; never on another writer
 */
int commit_one(struct store *store, struct tree *tree, struct commit_op *op);

/** Recovery: the operation of a log record, at its LSN. No log, no conflicts, one thread a key. */
int commit_replay(struct store *store, struct tree *tree, struct bwt_slice key, uint8_t flags,
                  const void *value, uint32_t value_size, uint64_t lsn);

/** Create (or recreate in replay, @lsn != 0) a named tree; drop one. trees_lock held. */
int catalog_create(struct store *store, const char *name, uint32_t id, uint64_t lsn,
                   struct named_tree **out);
int catalog_drop(struct store *store, struct named_tree *tree, uint64_t lsn);
/** A tree to be loaded: without a name, not to be found; it is gone at the next opening. trees_lock held. */
int catalog_load_begin(struct store *store, struct named_tree **out);
/** It gets its name, and is live (@lsn != 0: in replay). Failed: as before. trees_lock held. */
int catalog_load_finish(struct store *store, struct named_tree *tree, const char *name, uint64_t lsn);
/** It goes. trees_lock held. */
void catalog_load_abort(struct store *store, struct named_tree *tree);
/** Opening: free what is left of trees whose drop was cut off. trees_lock held. */
int catalog_finish_drops(struct store *store);

/** Wait until this thread's own reads and commits are durable: before a read-only snapshot of a sync store (C7). */
int commit_wait_seen(struct store *store);

#endif
