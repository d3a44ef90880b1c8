/* SPDX-License-Identifier: MIT */
/*
 * txns.c - transactions as handles: begin, end, savepoints; and durability
 *
 *   begun --bwt_commit, bwt_commit_async, bwt_abort--> ended --last cursor closed--> freed
 *   begun --an operation meets BWT_CONFLICT--> lost --the same--> ended, nothing committed
 *
 * A handle holds nothing of the thread that uses it, so it may be handed on.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "db/db.h"
#include "sys/file.h"
#include "txn/commit.h"

#define MARKS_FIRST 8u
#define MARKS_MAX (1u << 30)

#define BEGIN_FLAGS                                                                                \
	(BWT_RDONLY | BWT_READ_COMMITTED | BWT_SERIALIZABLE | BWT_NEWEST | BWT_TXN_SYNC |          \
	 BWT_TXN_NOSYNC)

static int check_begin(const struct bwt_db *db, unsigned flags)
{
	if ((flags & ~BEGIN_FLAGS) != 0)
		return error_set(BWT_INVALID, "flags: unknown bits %#x", flags & ~BEGIN_FLAGS);
	if ((flags & BWT_READ_COMMITTED) != 0 && (flags & BWT_SERIALIZABLE) != 0)
		return error_set(BWT_INVALID,
		                 "flags: BWT_READ_COMMITTED contradicts BWT_SERIALIZABLE");
	if ((flags & BWT_TXN_SYNC) != 0 && (flags & BWT_TXN_NOSYNC) != 0)
		return error_set(BWT_INVALID, "flags: BWT_TXN_SYNC contradicts BWT_TXN_NOSYNC");
	if ((flags & BWT_RDONLY) == 0 && db->store.readonly)
		return error_set(BWT_READ_ONLY, "the store was opened with BWT_RDONLY");
	return BWT_OK;
}

/* ---- begin ---- */

/* Where it stands: nowhere under read committed; read-write ones see the newest commit (C7). */
static int take_snapshot(struct bwt_txn *txn, unsigned flags)
{
	struct store *store = &txn->db->store;
	bool newest = txn->writes || (flags & BWT_NEWEST) != 0;
	int rc = BWT_OK;

	txn->lsn = READ_NEWEST;
	if ((flags & BWT_READ_COMMITTED) != 0)
		return BWT_OK;
	/* Time does not go back for this thread (C7). */
	if (!newest)
		rc = commit_wait_seen(store);
	if (rc == BWT_OK)
		rc = snapshot_acquire(&store->snapshots, newest ? store_clock : store_stable_clock,
		                      store, &txn->snapshot);
	if (rc == BWT_OK)
		txn->lsn = snapshot_lsn(txn->snapshot);
	return rc;
}

static enum txn_level level_of(unsigned flags)
{
	if ((flags & BWT_READ_COMMITTED) != 0)
		return TXN_READ_COMMITTED;
	return (flags & BWT_SERIALIZABLE) != 0 ? TXN_SERIALIZABLE : TXN_SNAPSHOT;
}

int db_begin(struct bwt_db *db, unsigned flags, struct bwt_txn **out)
{
	struct bwt_txn *txn = malloc(sizeof *txn);
	int rc;

	if (txn == NULL)
		return -ENOMEM;
	memset(txn, 0, offsetof(struct bwt_txn, txn));
	txn->db = db;
	txn->writes = (flags & BWT_RDONLY) == 0;
	txn->durable = db->store.durability == BWT_SYNC ? (flags & BWT_TXN_NOSYNC) == 0
	                                                : (flags & BWT_TXN_SYNC) != 0;
	rc = take_snapshot(txn, flags);
	if (rc < 0) {
		free(txn);
		return rc;
	}
	if (txn->writes)
		txn_begin(&txn->txn, &db->store, level_of(flags), txn->lsn);
	atomic_store_explicit(&txn->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&db->transactions, 1, memory_order_relaxed);
	*out = txn;
	return BWT_OK;
}

int bwt_begin(struct bwt_db *db, unsigned flags, struct bwt_txn **out)
{
	int rc = db_check(db);

	if (rc == BWT_OK && out == NULL)
		rc = error_set(BWT_INVALID, "the place for the handle is NULL");
	if (rc == BWT_OK)
		rc = check_begin(db, flags);
	if (rc == BWT_OK)
		rc = store_health(&db->store, (flags & BWT_RDONLY) == 0);
	return rc < 0 ? rc : db_begin(db, flags, out);
}

/* ---- end ---- */

/* Its own writes go last: a cursor's value may lie among them, which is good until that is closed. */
void db_txn_unref(struct bwt_txn *txn)
{
	if (atomic_fetch_sub_explicit(&txn->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (txn->writes)
		txn_end(&txn->txn);
	free(txn);
}

int db_txn_note(struct bwt_txn *txn, int rc)
{
	if (rc == BWT_CONFLICT && txn != NULL)
		txn->lost = true;
	return rc;
}

static void end(struct bwt_txn *txn)
{
	struct bwt_db *db = txn->db;

	if (txn->writes)
		txn_finish(&txn->txn);
	free(txn->marks);
	atomic_store_explicit(&txn->ended, 1, memory_order_release);
	if (txn->snapshot != NULL)
		snapshot_release(txn->snapshot);
	db_txn_unref(txn);
	atomic_fetch_sub_explicit(&db->transactions, 1, memory_order_release);
}

static int check_txn(const struct bwt_txn *txn)
{
	if (txn == NULL)
		return error_set(BWT_INVALID, "the transaction handle is NULL");
	return db_check(txn->db);
}

/* *lsn: the end of the record; without writes one that all that was read lies below. */
static int publish(struct bwt_txn *txn, uint64_t *lsn)
{
	if (txn->lost)
		return BWT_CONFLICT;
	if (txn->writes)
		return txn_commit(&txn->txn, lsn);
	/* Read-only ones do not count what they read: under read committed that may be a moment old. */
	*lsn = txn->snapshot != NULL ? txn->lsn : store_clock(&txn->db->store);
	return BWT_OK;
}

/* Ends it, whatever becomes of it. */
static int commit(struct bwt_txn *txn, bool waits, uint64_t *lsn)
{
	struct bwt_db *db = txn->db;
	struct epoch_slot *slot = epoch_slot(&db->store.epoch);
	bool changes = txn->writes && txn->txn.writes.count != 0 && slot != NULL;
	uint64_t started_ns = changes ? latency_begin(slot, LATENCY_COMMIT) : 0;
	int rc = publish(txn, lsn);

	end(txn); /* before the wait: its snapshot need not keep anything meanwhile */
	if (rc == BWT_OK && waits)
		rc = wal_wait(db->store.wal, *lsn);
	if (rc == BWT_OK)
		latency_end(&db->latencies, slot, waits ? LATENCY_DURABLE : LATENCY_COMMIT,
		            started_ns);
	return rc;
}

int bwt_commit(struct bwt_txn *txn)
{
	int rc = check_txn(txn);
	uint64_t lsn;

	return rc < 0 ? rc : commit(txn, txn->writes && txn->durable, &lsn);
}

int bwt_commit_async(struct bwt_txn *txn, bwt_lsn *lsn)
{
	int rc = check_txn(txn);
	struct bwt_db *db;
	uint64_t seen;
	bool durable;

	if (rc < 0)
		return rc;
	db = txn->db;
	durable = txn->writes && txn->durable;
	rc = commit(txn, false, &seen);
	if (rc < 0)
		return rc;
	/* The caller does not wait for it, and may have nobody who does. */
	if (durable && wal_durable_lsn(db->store.wal) < seen)
		flusher_ask(db);
	if (lsn != NULL)
		*lsn = seen;
	return rc;
}

void bwt_abort(struct bwt_txn *txn)
{
	if (txn != NULL && check_txn(txn) == BWT_OK)
		end(txn);
}

bwt_lsn bwt_txn_snapshot(const struct bwt_txn *txn)
{
	return check_txn(txn) == BWT_OK ? txn->lsn : 0; /* READ_NEWEST is 0 */
}

/* ---- savepoints ---- */

static int check_marks(const struct bwt_txn *txn)
{
	int rc = check_txn(txn);

	if (rc == BWT_OK && !txn->writes)
		rc = error_set(BWT_READ_ONLY, "a savepoint in a read-only transaction");
	if (rc == BWT_OK && txn->lost)
		rc = BWT_CONFLICT;
	return rc;
}

int bwt_savepoint(struct bwt_txn *txn, unsigned *mark)
{
	int rc = check_marks(txn);

	if (rc == BWT_OK && mark == NULL)
		rc = error_set(BWT_INVALID, "the place for the mark is NULL");
	if (rc < 0)
		return rc;
	if (txn->mark_count == txn->mark_capacity) {
		unsigned capacity = txn->mark_capacity == 0 ? MARKS_FIRST : 2 * txn->mark_capacity;
		size_t *grown =
			capacity > MARKS_MAX ? NULL : realloc(txn->marks, capacity * sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		txn->marks = grown;
		txn->mark_capacity = capacity;
	}
	txn->marks[txn->mark_count] = write_set_mark(&txn->txn.writes);
	*mark = txn->mark_count++;
	return BWT_OK;
}

int bwt_rollback_to(struct bwt_txn *txn, unsigned mark)
{
	int rc = check_marks(txn);

	if (rc == BWT_OK && mark >= txn->mark_count)
		rc = error_set(BWT_INVALID, "mark %u: the transaction has %u savepoints", mark,
		               txn->mark_count);
	if (rc < 0)
		return rc;
	txn->mark_count = mark + 1; /* it stays, later ones do not */
	return write_set_rollback(&txn->txn.writes, txn->marks[mark]);
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
		rc = error_set(BWT_INVALID, "LSN %llu lies beyond the end of the log",
		               (unsigned long long)lsn);
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
	if (atomic_compare_exchange_strong_explicit(&db->durable_fd, &seen, fd,
	                                            memory_order_seq_cst, memory_order_acquire)) {
		/* SEQ_CST on both: who fails the store notes it, then looks for a descriptor. One of the two
		 * sees the other. */
		if (atomic_load_explicit(&db->store.failure, memory_order_seq_cst) != BWT_OK)
			sys_eventfd_signal(fd);
		return fd;
	}
	sys_file_close(fd);
	return seen;
}
