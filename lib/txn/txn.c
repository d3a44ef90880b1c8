/* SPDX-License-Identifier: MIT */
/*
 * txn.c - what a transaction sees and what it notes until its commit
 *
 * Nothing here changes the store.
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"

#define LOOKS_MAX 16u /* at a condition that others change all the time */

void txn_begin(struct txn *txn, struct store *store, enum txn_level level, uint64_t snapshot)
{
	memset(txn, 0, sizeof *txn);
	txn->store = store;
	txn->level = level;
	txn->snapshot = snapshot;
	if (level == TXN_SERIALIZABLE)
		txn->order =
			atomic_fetch_add_explicit(&store->txn_order, 1, memory_order_relaxed) + 1;
}

void txn_finish(struct txn *txn)
{
	if (txn->guard != NULL)
		snapshot_release(txn->guard);
	txn->guard = NULL;
	read_set_free(&txn->reads);
}

void txn_end(struct txn *txn)
{
	txn_finish(txn);
	write_set_free(&txn->writes);
}

uint64_t txn_read_end(const struct txn *txn)
{
	uint64_t durable = wal_durable_lsn(txn->store->wal);
	uint64_t end = txn->snapshot != READ_NEWEST ? txn->snapshot : store_clock(txn->store);

	return txn->newest <= durable && durable < end ? durable : end;
}

/* ---- reading ---- */

static int copy_own(const struct write_entry *own, struct bwt_buf *value)
{
	int rc;

	if (own->kind != WRITE_PUT)
		return BWT_NOT_FOUND;
	if (value == NULL)
		return BWT_OK;
	rc = buf_reserve(value, own->value.size);
	if (rc < 0)
		return rc;
	if (own->value.size > 0)
		memcpy(value->data, own->value.data, own->value.size);
	value->size = own->value.size;
	return BWT_OK;
}

/* The store's version, past own writes. */
static int get_stored(struct txn *txn, struct tree *tree, struct epoch_slot *slot,
                      struct reader *reader, struct bwt_slice key, struct bwt_buf *value)
{
	int rc = read_version(reader, tree, slot, key, value);
	int noted;

	if (reader->newest > txn->newest)
		txn->newest = reader->newest;
	if (txn->level != TXN_SERIALIZABLE || (rc != BWT_OK && rc != BWT_NOT_FOUND))
		return rc;
	if (key.size == 0)
		key.data = ""; /* a bound without bytes would be none */
	noted = read_set_add(&txn->reads, tree, key, false, key, true);
	return noted < 0 ? noted : rc;
}

int txn_get_at(struct txn *txn, struct tree *tree, struct epoch_slot *slot, struct reader *reader,
               struct bwt_slice key, struct bwt_buf *value)
{
	const struct write_entry *own = write_set_find(&txn->writes, tree, key);

	return own != NULL ? copy_own(own, value) : get_stored(txn, tree, slot, reader, key, value);
}

int txn_get(struct txn *txn, struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
            struct bwt_buf *value)
{
	struct reader reader = {.store = txn->store, .snapshot = txn->snapshot};

	return txn_get_at(txn, tree, slot, &reader, key, value);
}

/* ---- writing ---- */

static bool value_is(const struct bwt_buf *value, const struct bwt_slice *expected)
{
	return value->size == expected->size &&
	       (value->size == 0 || memcmp(value->data, expected->data, value->size) == 0);
}

/* What the condition of @op comes to; @found and @value as txn_get() gave them. */
static int decide(const struct commit_op *op, bool found, const struct bwt_buf *value)
{
	switch (op->kind) {
	case COMMIT_PUT:
		return BWT_OK;
	case COMMIT_INSERT:
		return found ? BWT_EXISTS : BWT_OK;
	case COMMIT_UPDATE:
	case COMMIT_DELETE:
		return found ? BWT_OK : BWT_NOT_FOUND;
	case COMMIT_CAS:
		if (op->expected == NULL || !found)
			return (op->expected == NULL) == !found ? BWT_OK : BWT_MISMATCH;
		return value_is(value, op->expected) ? BWT_OK : BWT_MISMATCH;
	}
	return BWT_INVALID;
}

/* Does the condition of @op hold? @reader: what it was about, if that was the store's. */
static int check_condition(struct txn *txn, struct tree *tree, struct epoch_slot *slot,
                           const struct commit_op *op, struct reader *reader)
{
	bool compares = op->kind == COMMIT_CAS && op->expected != NULL;
	struct bwt_buf value = {0};
	int rc = txn_get_at(txn, tree, slot, reader, op->key, compares ? &value : NULL);

	if (rc == BWT_OK || rc == BWT_NOT_FOUND)
		rc = decide(op, rc == BWT_OK, &value);
	free(value.data);
	return rc;
}

/* Change the write set as @op says. */
static int change(struct txn *txn, struct tree *tree, const struct commit_op *op,
                  struct write_entry **entry)
{
	struct bwt_slice none = {NULL, 0};

	if (op->kind == COMMIT_DELETE || (op->kind == COMMIT_CAS && op->desired == NULL))
		return write_set_change(&txn->writes, tree, op->key, none, WRITE_DELETE, entry);
	return write_set_change(&txn->writes, tree, op->key,
	                        op->kind == COMMIT_CAS ? *op->desired : op->value, WRITE_PUT, entry);
}

static bool only_asks(const struct commit_op *op)
{
	return op->kind == COMMIT_CAS && op->expected == NULL && op->desired == NULL;
}

/*
 * Read committed: nobody comes first, but the condition must still hold at the commit. It is about the newest
 * version below a snapshot of this moment; one that is at or above it then is another state. The first such
 * snapshot is kept to the end: versions at or above it keep their LSNs (tree/consolidate.c).
 */
static int check_unguarded(struct txn *txn, struct tree *tree, struct epoch_slot *slot,
                           const struct commit_op *op, struct reader *reader)
{
	struct store *store = txn->store;
	int rc = BWT_CONFLICT;

	for (unsigned looks = 0; looks < LOOKS_MAX && rc == BWT_CONFLICT; looks++) {
		struct snapshot_slot *moment;

		rc = snapshot_acquire(&store->snapshots, store_clock, store, &moment);
		if (rc < 0)
			return rc;
		*reader = (struct reader){.store = store, .snapshot = snapshot_lsn(moment)};
		rc = check_condition(txn, tree, slot, op, reader);
		if (rc == BWT_OK && reader->passed)
			rc = BWT_CONFLICT; /* somebody committed just now: look again */
		if (txn->guard == NULL)
			txn->guard = moment;
		else
			snapshot_release(moment);
	}
	return rc;
}

static int check_guarded(struct txn *txn, struct tree *tree, struct epoch_slot *slot,
                         const struct commit_op *op, struct reader *reader)
{
	int rc;

	*reader = (struct reader){.store = txn->store, .snapshot = txn->snapshot};
	rc = check_condition(txn, tree, slot, op, reader);
	/* First committer wins, and it is there already. Who only asks has no part in that. */
	return rc == BWT_OK && reader->passed && !only_asks(op) ? BWT_CONFLICT : rc;
}

int txn_write(struct txn *txn, struct tree *tree, struct epoch_slot *slot, const struct commit_op *op)
{
	bool unguarded = txn->level == TXN_READ_COMMITTED && op->kind != COMMIT_PUT &&
	                 write_set_find(&txn->writes, tree, op->key) == NULL;
	struct write_entry *entry;
	struct reader reader;
	int rc = BWT_OK;

	if (unguarded)
		rc = check_unguarded(txn, tree, slot, op, &reader);
	else if (op->kind != COMMIT_PUT)
		rc = check_guarded(txn, tree, slot, op, &reader);
	if (rc == BWT_CONFLICT)
		stats_add(&txn->store->stats, slot->index, STAT_CONFLICTS, 1);
	if (rc < 0 || only_asks(op))
		return rc;
	rc = change(txn, tree, op, &entry);
	if (rc == BWT_OK && unguarded) {
		entry->expects = true;
		entry->expected_lsn = reader.snapshot;
	}
	return rc;
}
