/* SPDX-License-Identifier: MIT */
/*
 * range.c - bwt_delete_range(): a tombstone in the write set for each key that is seen
 *
 * Without a transaction it takes one of its own, and runs it again on a conflict. Against writers that
 * always come first it falls back to read committed, which nobody can come before.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "db/db.h"
#include "db/walk.h"

#define TRIES_MAX 16u

struct range {
	struct bwt_slice from;
	struct bwt_slice to; /* data == NULL: no bound */
};

static bool beyond(const struct range *range, const struct key_ref *key)
{
	return range->to.data != NULL && key_ref_compare_slice(key, range->to) >= 0;
}

static int bury(struct txn *txn, struct tree *tree, struct bwt_slice key)
{
	return write_set_change(&txn->writes, tree, key, (struct bwt_slice){NULL, 0}, WRITE_DELETE,
	                        NULL);
}

/* What the store has in the range, unless it is deleted already. */
static int bury_stored(struct txn *txn, struct tree *tree, struct walk *walk,
                       const struct range *range)
{
	struct bwt_buf key = {0};
	int rc = walk_right(walk, range->from, false);

	while (rc == BWT_OK && !beyond(range, &walk_entry(walk)->key)) {
		const struct key_ref *stored = &walk_entry(walk)->key;
		const struct write_entry *own;

		rc = buf_reserve(&key, key_ref_size(stored) + 1);
		if (rc < 0)
			break;
		key.size = key_ref_copy(stored, 0, key.data);
		own = write_set_find(&txn->writes, tree, buf_slice(&key));
		if (own == NULL || own->kind != WRITE_DELETE)
			rc = bury(txn, tree, buf_slice(&key));
		if (rc == BWT_OK)
			rc = walk_next(walk);
	}
	bwt_buf_free(&key);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

/* What only the transaction itself has there. */
static int bury_own(struct txn *txn, struct tree *tree, const struct range *range)
{
	const struct write_entry *own = write_set_above(&txn->writes, tree, range->from, true);
	int rc = BWT_OK;

	while (rc == BWT_OK && own != NULL) {
		struct key_ref key = key_ref_of(own->key);

		if (beyond(range, &key))
			break;
		if (own->kind == WRITE_PUT)
			rc = bury(txn, tree, own->key);
		own = write_set_above(&txn->writes, tree, own->key, false);
	}
	return rc;
}

/* At @snapshot; all of it or nothing. */
static int delete_at(struct txn *txn, struct tree *tree, uint64_t snapshot, const struct range *range)
{
	struct walk walk = {.store = txn->store, .tree = tree, .lsn = snapshot};
	size_t mark = write_set_mark(&txn->writes);
	int rc = BWT_OK;

	if (txn->level == TXN_SERIALIZABLE)
		rc = read_set_add(&txn->reads, tree, range->from, false, range->to, false);
	if (rc == BWT_OK)
		rc = bury_stored(txn, tree, &walk, range);
	if (rc == BWT_OK)
		rc = bury_own(txn, tree, range);
	if (rc < 0)
		(void)write_set_rollback(&txn->writes, mark); /* a mark of just now cannot be wrong */
	if (walk.newest > txn->newest)
		txn->newest = walk.newest;
	walk_free(&walk);
	return rc;
}

/* Read committed looks at one moment, too: now. */
static int delete_range(struct txn *txn, struct tree *tree, const struct range *range)
{
	struct snapshot_slot *snapshot = NULL;
	int rc = BWT_OK;

	if (txn->snapshot != READ_NEWEST)
		return delete_at(txn, tree, txn->snapshot, range);
	rc = snapshot_acquire(&txn->store->snapshots, store_clock, txn->store, &snapshot);
	if (rc < 0)
		return rc;
	rc = delete_at(txn, tree, snapshot_lsn(snapshot), range);
	snapshot_release(snapshot);
	return rc;
}

static int delete_alone(struct bwt_tree *tree, const struct range *range)
{
	int rc = BWT_CONFLICT;

	for (unsigned tries = 0; rc == BWT_CONFLICT && tries <= TRIES_MAX; tries++) {
		struct bwt_txn *txn;

		rc = db_begin(tree->db, tries < TRIES_MAX ? 0 : BWT_READ_COMMITTED, &txn);
		if (rc < 0)
			return rc;
		rc = delete_range(&txn->txn, &tree->named->tree, range);
		if (rc == BWT_OK)
			rc = bwt_commit(txn);
		else
			bwt_abort(txn);
	}
	return rc;
}

static int check(struct bwt_tree *tree, struct bwt_txn *txn, const struct range *range)
{
	int rc = db_check_txn(tree, txn);

	if (rc == BWT_OK && range->from.data != NULL)
		rc = db_check_key(range->from);
	if (rc == BWT_OK && range->to.data != NULL)
		rc = db_check_key(range->to);
	if (rc == BWT_OK && txn != NULL && !txn->writes)
		rc = error_set(BWT_READ_ONLY, "a write in a read-only transaction");
	if (rc == BWT_OK && tree->db->store.readonly)
		rc = error_set(BWT_READ_ONLY, "the store was opened with BWT_RDONLY");
	return rc == BWT_OK ? store_health(&tree->db->store, true) : rc;
}

int bwt_delete_range(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_slice from,
                     struct bwt_slice to)
{
	struct range range = {from.data == NULL ? (struct bwt_slice){"", 0} : from, to};
	int rc = check(tree, txn, &range);

	if (rc < 0)
		return rc;
	if (to.data != NULL && key_compare(range.from, to) >= 0)
		return BWT_OK;
	if (txn == NULL)
		return delete_alone(tree, &range);
	return db_txn_note(txn, delete_range(&txn->txn, &tree->named->tree, &range));
}
