/* SPDX-License-Identifier: MIT */
/*
 * ops.c - single operations: check the arguments, then one call down
 */
#include "base/error.h"
#include "db/db.h"
#include "txn/commit.h"

/* ---- writes ---- */

static int check_write(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key)
{
	int rc = db_check_txn(tree, txn);

	if (rc == BWT_OK)
		rc = db_check_key(key);
	if (rc == BWT_OK && txn != NULL && !txn->writes)
		rc = error_set(BWT_READ_ONLY, "a write in a read-only transaction");
	if (rc == BWT_OK && tree->db->store.readonly)
		rc = error_set(BWT_READ_ONLY, "the store was opened with BWT_RDONLY");
	return rc;
}

/* Into the store at once, or into the write set. */
static int run(struct bwt_tree *tree, struct bwt_txn *txn, struct commit_op *op)
{
	struct bwt_db *db = tree->db;
	struct epoch_slot *slot;
	uint64_t started_ns;
	int rc = db_slot(db, &slot);

	if (rc < 0)
		return rc;
	if (txn != NULL)
		return db_txn_note(txn, txn_write(&txn->txn, &tree->named->tree, slot, op));
	op->durable = db->store.durability == BWT_SYNC;
	started_ns = latency_begin(slot, LATENCY_COMMIT);
	rc = commit_one(&db->store, &tree->named->tree, op);
	if (rc == BWT_OK)
		latency_end(&db->latencies, slot, op->durable ? LATENCY_DURABLE : LATENCY_COMMIT,
		            started_ns);
	return rc;
}

int bwt_put(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key,
            struct bwt_slice value, unsigned flags)
{
	struct commit_op op = {.kind = COMMIT_PUT, .key = key, .value = value};
	int rc = check_write(tree, txn, key);

	if (rc == BWT_OK)
		rc = db_check_value(value);
	if (rc < 0)
		return rc;
	if ((flags & ~(BWT_INSERT | BWT_UPDATE)) != 0)
		return error_set(BWT_INVALID, "flags: unknown bits %#x",
		                 flags & ~(BWT_INSERT | BWT_UPDATE));
	if (flags == (BWT_INSERT | BWT_UPDATE))
		return error_set(BWT_INVALID, "flags: BWT_INSERT contradicts BWT_UPDATE");
	if (flags == BWT_INSERT)
		op.kind = COMMIT_INSERT;
	else if (flags == BWT_UPDATE)
		op.kind = COMMIT_UPDATE;
	return run(tree, txn, &op);
}

int bwt_delete(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key)
{
	struct commit_op op = {.kind = COMMIT_DELETE, .key = key};
	int rc = check_write(tree, txn, key);

	return rc < 0 ? rc : run(tree, txn, &op);
}

int bwt_cas(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key,
            const struct bwt_slice *expected, const struct bwt_slice *desired)
{
	struct commit_op op = {
		.kind = COMMIT_CAS, .key = key, .expected = expected, .desired = desired};
	int rc = check_write(tree, txn, key);

	if (rc == BWT_OK && expected != NULL)
		rc = db_check_value(*expected);
	if (rc == BWT_OK && desired != NULL)
		rc = db_check_value(*desired);
	return rc < 0 ? rc : run(tree, txn, &op);
}

/* ---- reads ---- */

static uint64_t snapshot_of(const struct bwt_txn *txn)
{
	return txn == NULL ? READ_NEWEST : txn->lsn;
}

/* One key at @snapshot, own writes over it. */
static int get_at(struct bwt_tree *tree, struct bwt_txn *txn, struct epoch_slot *slot,
                  uint64_t snapshot, struct bwt_slice key, struct bwt_buf *value)
{
	struct reader reader = {.store = &tree->db->store, .snapshot = snapshot};

	if (txn != NULL && txn->writes)
		return txn_get_at(&txn->txn, &tree->named->tree, slot, &reader, key, value);
	return read_version(&reader, &tree->named->tree, slot, key, value);
}

int bwt_get(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice key, struct bwt_buf *value)
{
	struct epoch_slot *slot = NULL;
	uint64_t started_ns;
	int rc = db_check_txn(tree, txn);

	if (rc == BWT_OK)
		rc = db_check_key(key);
	if (rc == BWT_OK)
		rc = db_slot(tree->db, &slot);
	if (rc != BWT_OK)
		return rc;
	started_ns = latency_begin(slot, LATENCY_GET);
	rc = get_at(tree, txn, slot, snapshot_of(txn), key, value);
	if (rc == BWT_OK || rc == BWT_NOT_FOUND)
		latency_end(&tree->db->latencies, slot, LATENCY_GET, started_ns);
	return rc;
}

/* All keys at @snapshot. A key's own failure is its result; BWT_OK when each was looked up. */
static int get_all(struct bwt_tree *tree, struct bwt_txn *txn, struct epoch_slot *slot,
                   uint64_t snapshot, size_t count, const struct bwt_slice keys[],
                   struct bwt_buf values[], int results[])
{
	struct reader reader = {.store = &tree->db->store, .snapshot = snapshot};
	int rc = BWT_OK;

	for (size_t i = 0; i < count; i++)
		results[i] = db_check_key(keys[i]);
	if (txn == NULL || !txn->writes)
		rc = read_many(&reader, &tree->named->tree, slot, count, keys, values, results);
	else
		for (size_t i = 0; i < count; i++)
			if (results[i] == BWT_OK)
				results[i] = get_at(tree, txn, slot, snapshot, keys[i],
				                    values == NULL ? NULL : &values[i]);
	for (size_t i = 0; values != NULL && i < count; i++)
		if (results[i] == BWT_NOT_FOUND)
			values[i].size = 0;
	return rc == BWT_OK ? store_health(&tree->db->store, false) : rc;
}

int bwt_get_many(struct bwt_tree *tree, struct bwt_txn *txn, size_t count,
                 const struct bwt_slice keys[], struct bwt_buf values[], int results[])
{
	struct snapshot_slot *snapshot = NULL;
	struct epoch_slot *slot = NULL;
	int rc = db_check_txn(tree, txn);

	if (rc == BWT_OK && count > 0 && (keys == NULL || results == NULL))
		rc = error_set(BWT_INVALID, "keys or results is NULL");
	if (rc == BWT_OK)
		rc = db_slot(tree->db, &slot);
	/* One moment for all keys, with read committed too. */
	if (rc == BWT_OK && snapshot_of(txn) == READ_NEWEST)
		rc = snapshot_acquire(&tree->db->store.snapshots, store_clock, &tree->db->store,
		                      &snapshot);
	if (rc < 0)
		return rc;
	rc = get_all(tree, txn, slot, snapshot != NULL ? snapshot_lsn(snapshot) : txn->lsn, count,
	             keys, values, results);
	if (snapshot != NULL)
		snapshot_release(snapshot);
	return rc;
}

int bwt_count(struct bwt_tree *tree, uint64_t *count)
{
	int rc = db_check_tree(tree);

	if (rc == BWT_OK && count == NULL)
		rc = error_set(BWT_INVALID, "the place for the count is NULL");
	if (rc == BWT_OK)
		*count = tree_keys(&tree->named->tree);
	return rc;
}
