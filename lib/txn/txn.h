/* SPDX-License-Identifier: MIT */
/*
 * txn.h - a read-write transaction: a snapshot, a private write set, a commit through a descriptor
 *
 *   open --txn_commit--> committed or refused (BWT_CONFLICT, ...)      the caller frees it either way
 *
 * | level          | reads see                        | refused at commit when                               |
 * | read committed | the newest commit, at each call  | never (but conditional writes: write_entry.expects)   |
 * | snapshot       | commits below its snapshot       | a key it wrote was committed by another since         |
 * | serializable   | the same                         | the same, or something it read was (absence included) |
 *
 * All see their own writes first.
 */
#ifndef BWT_TXN_TXN_H
#define BWT_TXN_TXN_H

#include "txn/commit.h"
#include "txn/read.h"
#include "txn/read_set.h"
#include "txn/store.h"
#include "txn/write_set.h"

enum txn_level {
	TXN_READ_COMMITTED,
	TXN_SNAPSHOT,
	TXN_SERIALIZABLE
};

struct txn {
	struct store *store;
	enum txn_level level;
	uint64_t snapshot; /* S; READ_NEWEST with read committed. The caller keeps the slot */
	uint64_t order;    /* serializable: place in the order of beginning (C4) */
	uint64_t newest;   /* out: LSN of the newest version that it read, plus 1; 0: none (C7) */
	struct snapshot_slot *guard; /* read committed: see txn_write(); NULL: no conditional write yet */
	struct write_set writes;
	struct read_set reads; /* serializable only */
};

/** Begin, with @snapshot acquired by the caller (READ_NEWEST: read committed). */
void txn_begin(struct txn *txn, struct store *store, enum txn_level level, uint64_t snapshot);
/** It is over: nothing is kept for it in the store any more. Its writes can still be looked at. */
void txn_finish(struct txn *txn);
/** Free all that it holds, finished or not; without effect on the store. */
void txn_end(struct txn *txn);

/**
 * txn_read_end - an LSN that all that it read lies below, and that is durable if all of that is
 *
 * A record ends somewhere behind its LSN, but at the latest at any later place where a record ends: where a
 * snapshot stands, and durable_lsn.
 */
uint64_t txn_read_end(const struct txn *txn);

/**
 * txn_commit - all writes, or none, at one LSN
 * @end_lsn: out: end of the commit record; without writes txn_read_end()
 * Returns: BWT_OK; BWT_CONFLICT; BWT_FULL, BWT_IO, BWT_READ_ONLY, BWT_CORRUPT, -ENOMEM, BWT_BUSY (slots): nothing was done
 * Threads: one at a time, not pinned
 * Blocks:  on room in the log, on growing the arena, on writing large values; never on another writer without bound.
 *          Does not wait for durability
 */
int txn_commit(struct txn *txn, uint64_t *end_lsn);

/**
 * txn_get - the value of @key as the transaction sees it
 * Returns: as read_value(); -ENOMEM also when the read could not be noted
 */
int txn_get(struct txn *txn, struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
            struct bwt_buf *value);
/** The same as of @reader->snapshot, telling more in @reader, see read_version(); nothing when it is an own write. */
int txn_get_at(struct txn *txn, struct tree *tree, struct epoch_slot *slot, struct reader *reader,
               struct bwt_slice key, struct bwt_buf *value);

/**
 * txn_write - commit_one() into the write set: the condition is about what the transaction sees
 * @op:     durable and end_lsn are idle
 * Returns: BWT_OK; the outcome codes of enum commit_kind, and nothing changed; BWT_CONFLICT: somebody else wrote the
 *          key since, the commit would be refused; BWT_TOO_BIG; as txn_get()
 */
int txn_write(struct txn *txn, struct tree *tree, struct epoch_slot *slot,
              const struct commit_op *op);

#endif
