/* SPDX-License-Identifier: MIT */
/*
 * txns.c - transactions as handles: read-only snapshots; and durability
 *
 *   begun --bwt_commit, bwt_commit_async, bwt_abort--> ended --last cursor closed--> freed
 */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "db/db.h"
#include "sys/file.h"
#include "txn/commit.h"

#define BEGIN_FLAGS                                                                                \
	(BWT_RDONLY | BWT_READ_COMMITTED | BWT_SERIALIZABLE | BWT_NEWEST | BWT_TXN_SYNC | BWT_TXN_NOSYNC)

static int check_begin(unsigned flags)
{
	if ((flags & ~BEGIN_FLAGS) != 0)
		return error_set(BWT_INVALID, "flags: unknown bits %#x", flags & ~BEGIN_FLAGS);
	if ((flags & BWT_READ_COMMITTED) != 0 && (flags & BWT_SERIALIZABLE) != 0)
		return error_set(BWT_INVALID, "flags: BWT_READ_COMMITTED contradicts BWT_SERIALIZABLE");
	if ((flags & BWT_TXN_SYNC) != 0 && (flags & BWT_TXN_NOSYNC) != 0)
		return error_set(BWT_INVALID, "flags: BWT_TXN_SYNC contradicts BWT_TXN_NOSYNC");
	if ((flags & BWT_RDONLY) == 0)
		return error_set(BWT_INVALID, "flags: this version has read-only transactions (BWT_RDONLY) only");
	return BWT_OK;
}

int bwt_begin(struct bwt_db *db, unsigned flags, struct bwt_txn **out)
{
	bool newest = (flags & (BWT_NEWEST | BWT_READ_COMMITTED)) != 0;
	struct bwt_txn *txn;
	int rc = db_check(db);

	if (rc == BWT_OK && out == NULL)
		rc = error_set(BWT_INVALID, "the place for the handle is NULL");
	if (rc == BWT_OK)
		rc = check_begin(flags);
	if (rc == BWT_OK)
		rc = store_health(&db->store, false);
	/* Time does not go back for this thread (C7). */
	if (rc == BWT_OK && !newest)
		rc = commit_wait_seen(&db->store);
	if (rc < 0)
		return rc;
	txn = calloc(1, sizeof *txn);
	if (txn == NULL)
		return -ENOMEM;
	txn->db = db;
	rc = snapshot_acquire(&db->store.snapshots, newest ? store_clock : store_stable_clock, &db->store,
	                      &txn->snapshot);
	if (rc < 0) {
		free(txn);
		return rc;
	}
	/* Read committed: every call sees the newest. */
	txn->lsn = (flags & BWT_READ_COMMITTED) != 0 ? READ_NEWEST : snapshot_lsn(txn->snapshot);
	atomic_store_explicit(&txn->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&db->transactions, 1, memory_order_relaxed);
	*out = txn;
	return BWT_OK;
}

void txn_unref(struct bwt_txn *txn)
{
	if (atomic_fetch_sub_explicit(&txn->refs, 1, memory_order_acq_rel) == 1)
		free(txn);
}

static void txn_end(struct bwt_txn *txn)
{
	struct bwt_db *db = txn->db;

	atomic_store_explicit(&txn->ended, 1, memory_order_release);
	snapshot_release(txn->snapshot);
	txn_unref(txn);
	atomic_fetch_sub_explicit(&db->transactions, 1, memory_order_release);
}

static int check_txn(const struct bwt_txn *txn)
{
	if (txn == NULL)
		return error_set(BWT_INVALID, "the transaction handle is NULL");
	return db_check(txn->db);
}

int bwt_commit(struct bwt_txn *txn)
{
	return bwt_commit_async(txn, NULL);
}

int bwt_commit_async(struct bwt_txn *txn, bwt_lsn *lsn)
{
	int rc = check_txn(txn);

	if (rc < 0)
		return rc;
	/* Read committed may have read what was committed a moment ago. */
	if (lsn != NULL)
		*lsn = txn->lsn != READ_NEWEST ? txn->lsn : store_clock(&txn->db->store);
	txn_end(txn);
	return BWT_OK;
}

void bwt_abort(struct bwt_txn *txn)
{
	if (check_txn(txn) == BWT_OK)
		txn_end(txn);
}

bwt_lsn bwt_txn_snapshot(const struct bwt_txn *txn)
{
	return check_txn(txn) == BWT_OK ? txn->lsn : 0; /* READ_NEWEST is 0 */
}

/* ---- durability ---- */

bwt_lsn bwt_durable_lsn(struct bwt_db *db)
{
	if (db_check(db) < 0)
		return 0;
	return db->store.wal != NULL ? wal_durable_lsn(db->store.wal) : db->store.readonly_tail;
}

int bwt_wait_durable(struct bwt_db *db, bwt_lsn lsn)
{
	int rc = db_check(db);

	if (rc == BWT_OK && lsn > store_clock(&db->store))
		rc = error_set(BWT_INVALID, "LSN %llu lies beyond the end of the log", (unsigned long long)lsn);
	if (rc < 0 || db->store.wal == NULL)
		return rc;
	return wal_wait(db->store.wal, lsn);
}

int bwt_sync(struct bwt_db *db)
{
	int rc = db_check(db);

	if (rc < 0 || db->store.wal == NULL)
		return rc;
	return wal_wait(db->store.wal, wal_tail(db->store.wal));
}

int bwt_checkpoint(struct bwt_db *db)
{
	int rc = db_check(db);

	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	return rc < 0 ? rc : service_checkpoint(db, false);
}

int bwt_durable_fd(struct bwt_db *db)
{
	int rc = db_check(db);
	int seen, fd;

	if (rc < 0)
		return rc;
	seen = atomic_load_explicit(&db->durable_fd, memory_order_acquire);
	if (seen >= 0)
		return seen;
	rc = sys_eventfd_new(&fd);
	if (rc < 0)
		return rc;
	if (atomic_compare_exchange_strong_explicit(&db->durable_fd, &seen, fd, memory_order_acq_rel,
	                                            memory_order_acquire))
		return fd;
	sys_file_close(fd);
	return seen;
}
