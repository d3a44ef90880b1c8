/* SPDX-License-Identifier: MIT */
/*
 * cursor.c - ordered walks over one snapshot
 *
 *   NOWHERE --seek, next, prev--> AT <--next, prev--> BEFORE (the first) or AFTER (the last)
 *
 * A cursor holds a snapshot and a private copy of what it sees of one leaf, never a pin (G3). It goes
 * on from the fence of its copy, so leaves may split beneath it: the snapshot keeps what it must see,
 * and every key has one leaf (I5).
 *
 *   Q1  AT: copy.entries[index] is the current entry.
 *   Q2  Every entry that is returned begins with the prefix of the last BWT_PREFIX seek.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "db/db.h"

enum where { NOWHERE, AT, BEFORE, AFTER };

struct bwt_cursor {
	struct bwt_tree *tree;
	struct bwt_txn *txn;           /* NULL: a snapshot of its own */
	struct snapshot_slot *snapshot; /* its own, NULL with a read-only transaction */
	uint64_t lsn;
	enum where where;
	unsigned index;
	struct leaf_copy copy;
	struct bwt_buf prefix;         /* of the last BWT_PREFIX seek; size 0: unbounded */
	struct bwt_buf target;         /* the key that a move starts from */
	struct bwt_buf key;            /* the current key in one piece */
	bool key_whole;                /* it is there already */
	struct bwt_buf value;
};

/* ---- the leaf copy ---- */

static int buf_set(struct bwt_buf *buf, struct bwt_slice bytes)
{
	int rc = buf_reserve(buf, bytes.size + 1);

	if (rc < 0)
		return rc;
	if (bytes.size > 0)
		memcpy(buf->data, bytes.data, bytes.size);
	buf->size = bytes.size;
	return BWT_OK;
}

static struct bwt_slice slice_of(const struct bwt_buf *buf)
{
	return (struct bwt_slice){ buf->data, buf->size };
}

/* Index of the first entry of the copy that is >= @key (> @key with @above). */
static unsigned copy_bound(const struct leaf_copy *copy, struct bwt_slice key, bool above)
{
	unsigned from = 0, to = copy->count;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (key_ref_compare_slice(&copy->entries[middle].key, key) < (above ? 1 : 0))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

enum leaf_choice { LEAF_OF, LEAF_BEFORE, LEAF_BEHIND, LEAF_LAST };

/* Load the leaf that covers cursor->target, the keys just below it, the one behind the copy, or the last one. */
static int load(struct bwt_cursor *cursor, enum leaf_choice choice)
{
	struct store *store = &cursor->tree->db->store;
	const struct tree *tree = &cursor->tree->named->tree;
	struct reader reader = { .store = store, .snapshot = cursor->lsn };
	struct bwt_slice target = slice_of(&cursor->target);
	struct epoch_slot *slot;
	int rc = db_slot(cursor->tree->db, &slot);

	if (rc < 0)
		return rc;
	epoch_pin(slot);
	if (choice == LEAF_LAST)
		rc = tree_copy_last_leaf(tree, slot, reader_choose, &reader, &cursor->copy);
	else if (choice == LEAF_BEHIND)
		rc = tree_copy_next_leaf(tree, slot, target, reader_choose, &reader, &cursor->copy);
	else
		rc = tree_copy_leaf(tree, slot, target, choice == LEAF_BEFORE, reader_choose, &reader, &cursor->copy);
	epoch_unpin(slot);
	if (reader.newest > slot->seen_lsn)
		slot->seen_lsn = reader.newest;
	return store_health(store, false) < 0 ? BWT_IO : rc;
}

static int found(struct bwt_cursor *cursor, unsigned index)
{
	cursor->where = AT;
	cursor->index = index;
	return BWT_OK;
}

static int ended(struct bwt_cursor *cursor, enum where where)
{
	cursor->where = where;
	return BWT_NOT_FOUND;
}

/* From entry @index of the copy on to the right, over empty leaves. */
static int settle_right(struct bwt_cursor *cursor, unsigned index)
{
	while (index >= cursor->copy.count) {
		int rc;

		if (cursor->copy.high.data == NULL)
			return ended(cursor, AFTER);
		rc = buf_set(&cursor->target, cursor->copy.high);
		if (rc == BWT_OK)
			rc = load(cursor, LEAF_BEHIND);
		if (rc == BWT_OK && cursor->copy.high.data != NULL &&
		    key_compare(cursor->copy.high, slice_of(&cursor->target)) <= 0)
			rc = error_set(BWT_CORRUPT, "a leaf ends before it begins");
		if (rc < 0)
			return rc;
		index = copy_bound(&cursor->copy, slice_of(&cursor->target), false);
	}
	return found(cursor, index);
}

/* From entry @count - 1 of the copy on to the left, over empty leaves. */
static int settle_left(struct bwt_cursor *cursor, unsigned count)
{
	while (count == 0) {
		int rc;

		if (cursor->copy.low.size == 0)
			return ended(cursor, BEFORE);
		rc = buf_set(&cursor->target, cursor->copy.low);
		if (rc == BWT_OK)
			rc = load(cursor, LEAF_BEFORE);
		if (rc == BWT_OK && key_compare(cursor->copy.low, slice_of(&cursor->target)) >= 0)
			rc = error_set(BWT_CORRUPT, "a leaf begins behind its end");
		if (rc < 0)
			return rc;
		count = copy_bound(&cursor->copy, slice_of(&cursor->target), false);
	}
	return found(cursor, count - 1);
}

/* ---- seeks, unbounded ---- */

static int seek_right(struct bwt_cursor *cursor, struct bwt_slice key, bool above)
{
	int rc = buf_set(&cursor->target, key);

	if (rc == BWT_OK)
		rc = load(cursor, LEAF_OF);
	return rc < 0 ? rc : settle_right(cursor, copy_bound(&cursor->copy, slice_of(&cursor->target), above));
}

static int seek_left(struct bwt_cursor *cursor, struct bwt_slice key, bool included)
{
	int rc = buf_set(&cursor->target, key);

	if (rc == BWT_OK)
		rc = load(cursor, LEAF_OF);
	return rc < 0 ? rc : settle_left(cursor, copy_bound(&cursor->copy, slice_of(&cursor->target), included));
}

static int seek_last(struct bwt_cursor *cursor)
{
	int rc = load(cursor, LEAF_LAST);

	return rc < 0 ? rc : settle_left(cursor, cursor->copy.count);
}

/* ---- the prefix bound ---- */

static bool in_prefix(const struct bwt_cursor *cursor)
{
	const struct key_ref *key = &cursor->copy.entries[cursor->index].key;
	struct key_ref prefix = key_ref_of(slice_of(&cursor->prefix));

	return cursor->prefix.size == 0 || key_ref_common(key, &prefix) == cursor->prefix.size;
}

/* A move came to @rc; what lies outside the prefix is past the end. */
static int bounded(struct bwt_cursor *cursor, int rc, enum where past)
{
	cursor->key_whole = false;
	if (rc == BWT_OK && !in_prefix(cursor))
		return ended(cursor, past);
	if (rc < 0 && rc != BWT_NOT_FOUND)
		cursor->where = NOWHERE;
	return rc;
}

static int to_first(struct bwt_cursor *cursor)
{
	return bounded(cursor, seek_right(cursor, slice_of(&cursor->prefix), false), AFTER);
}

/* The last key below the prefix's successor: the prefix with its last byte that is not 0xff counted up. */
static int to_last(struct bwt_cursor *cursor)
{
	struct bwt_buf next = { 0 };
	uint8_t *bytes;
	int rc = buf_set(&next, slice_of(&cursor->prefix));

	if (rc < 0)
		return rc;
	bytes = next.data;
	while (next.size > 0 && bytes[next.size - 1] == 0xff)
		next.size--;
	if (next.size == 0) {
		rc = seek_last(cursor);
	} else {
		bytes[next.size - 1]++;
		rc = seek_left(cursor, slice_of(&next), false);
	}
	bwt_buf_free(&next);
	return bounded(cursor, rc, BEFORE);
}

/* ---- public ---- */

static int check(const struct bwt_cursor *cursor)
{
	if (cursor == NULL)
		return error_set(BWT_INVALID, "the cursor handle is NULL");
	if (cursor->txn != NULL && atomic_load_explicit(&cursor->txn->ended, memory_order_acquire) != 0)
		return error_set(BWT_INVALID, "the cursor's transaction has ended");
	return db_check_tree(cursor->tree);
}

int bwt_cursor_open(struct bwt_tree *tree, struct bwt_txn *txn, struct bwt_cursor **out)
{
	struct bwt_cursor *cursor;
	int rc = db_check_txn(tree, txn);

	if (rc == BWT_OK && out == NULL)
		rc = error_set(BWT_INVALID, "the place for the handle is NULL");
	if (rc == BWT_OK)
		rc = store_health(&tree->db->store, false);
	if (rc < 0)
		return rc;
	cursor = calloc(1, sizeof *cursor);
	if (cursor == NULL)
		return -ENOMEM;
	cursor->tree = tree;
	cursor->txn = txn;
	if (txn == NULL || txn->lsn == READ_NEWEST) {
		rc = snapshot_acquire(&tree->db->store.snapshots, store_clock, &tree->db->store, &cursor->snapshot);
		if (rc < 0) {
			free(cursor);
			return rc;
		}
	}
	cursor->lsn = txn == NULL || cursor->snapshot != NULL ? snapshot_lsn(cursor->snapshot) : txn->lsn;
	if (txn != NULL)
		atomic_fetch_add_explicit(&txn->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&tree->users, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&tree->db->cursors, 1, memory_order_relaxed);
	*out = cursor;
	return BWT_OK;
}

void bwt_cursor_close(struct bwt_cursor *cursor)
{
	if (cursor == NULL || db_check_tree(cursor->tree) < 0)
		return;
	if (cursor->snapshot != NULL)
		snapshot_release(cursor->snapshot);
	if (cursor->txn != NULL)
		txn_unref(cursor->txn);
	leaf_copy_free(&cursor->copy);
	bwt_buf_free(&cursor->prefix);
	bwt_buf_free(&cursor->target);
	bwt_buf_free(&cursor->key);
	bwt_buf_free(&cursor->value);
	atomic_fetch_sub_explicit(&cursor->tree->users, 1, memory_order_release);
	atomic_fetch_sub_explicit(&cursor->tree->db->cursors, 1, memory_order_release);
	free(cursor);
}

static int seek_exact(struct bwt_cursor *cursor, struct bwt_slice key)
{
	int rc = buf_set(&cursor->target, key);
	unsigned index;

	if (rc == BWT_OK)
		rc = load(cursor, LEAF_OF);
	cursor->where = NOWHERE;
	if (rc < 0)
		return rc;
	/* @key may lie in the leaf copy that was just replaced: the target is compared. */
	index = copy_bound(&cursor->copy, slice_of(&cursor->target), false);
	if (index == cursor->copy.count ||
	    key_ref_compare_slice(&cursor->copy.entries[index].key, slice_of(&cursor->target)) != 0)
		return BWT_NOT_FOUND;
	return found(cursor, index);
}

int bwt_cursor_seek(struct bwt_cursor *cursor, struct bwt_slice key, int how)
{
	bool has_key = how != BWT_FIRST && how != BWT_LAST;
	int rc = check(cursor);

	if (rc == BWT_OK && (how < BWT_GE || how > BWT_PREFIX))
		rc = error_set(BWT_INVALID, "how: %d is not one of enum bwt_seek", how);
	if (rc == BWT_OK && has_key)
		rc = db_check_key(key);
	if (rc == BWT_OK)
		rc = buf_set(&cursor->prefix, how == BWT_PREFIX ? key : (struct bwt_slice){ NULL, 0 });
	if (rc < 0)
		return rc;
	switch ((enum bwt_seek)how) {
	case BWT_GE:
	case BWT_GT:
		return bounded(cursor, seek_right(cursor, key, how == BWT_GT), AFTER);
	case BWT_LE:
	case BWT_LT:
		return bounded(cursor, seek_left(cursor, key, how == BWT_LE), BEFORE);
	case BWT_EQ:
		return bounded(cursor, seek_exact(cursor, key), NOWHERE);
	case BWT_LAST:
		return to_last(cursor);
	case BWT_FIRST:
	case BWT_PREFIX:
		break;
	}
	return to_first(cursor);
}

int bwt_cursor_next(struct bwt_cursor *cursor)
{
	int rc = check(cursor);

	if (rc < 0)
		return rc;
	if (cursor->where == AFTER)
		return BWT_NOT_FOUND;
	if (cursor->where != AT)
		return to_first(cursor);
	return bounded(cursor, settle_right(cursor, cursor->index + 1), AFTER);
}

int bwt_cursor_prev(struct bwt_cursor *cursor)
{
	int rc = check(cursor);

	if (rc < 0)
		return rc;
	if (cursor->where == BEFORE)
		return BWT_NOT_FOUND;
	if (cursor->where != AT)
		return to_last(cursor);
	return bounded(cursor, settle_left(cursor, cursor->index), BEFORE);
}

/* The current entry, or BWT_NOT_FOUND: there is none. */
static int current(struct bwt_cursor *cursor, const struct scan_entry **entry)
{
	int rc = check(cursor);

	if (rc < 0)
		return rc;
	if (cursor->where != AT)
		return BWT_NOT_FOUND;
	*entry = &cursor->copy.entries[cursor->index];
	return BWT_OK;
}

int bwt_cursor_key(struct bwt_cursor *cursor, struct bwt_slice *key)
{
	const struct scan_entry *entry;
	int rc = current(cursor, &entry);

	if (rc == BWT_OK && key == NULL)
		rc = error_set(BWT_INVALID, "the place for the key is NULL");
	if (rc < 0)
		return rc;
	if (!cursor->key_whole) {
		rc = buf_reserve(&cursor->key, key_ref_size(&entry->key) + 1);
		if (rc < 0)
			return rc;
		cursor->key.size = key_ref_copy(&entry->key, 0, cursor->key.data);
		cursor->key_whole = true;
	}
	*key = slice_of(&cursor->key);
	return BWT_OK;
}

/* A large value: looked up anew, because a cursor keeps no place in the value log (V1). */
static int large_value(struct bwt_cursor *cursor, struct bwt_slice *value)
{
	struct bwt_db *db = cursor->tree->db;
	struct epoch_slot *slot;
	struct bwt_slice key;
	int rc = db_slot(db, &slot);

	if (rc == BWT_OK)
		rc = bwt_cursor_key(cursor, &key);
	if (rc == BWT_OK)
		rc = read_value(&db->store, &cursor->tree->named->tree, slot, cursor->lsn, key, &cursor->value);
	if (rc == BWT_OK)
		*value = slice_of(&cursor->value);
	return rc;
}

int bwt_cursor_value(struct bwt_cursor *cursor, struct bwt_slice *value)
{
	const struct scan_entry *entry;
	int rc = current(cursor, &entry);

	if (rc == BWT_OK && value == NULL)
		rc = error_set(BWT_INVALID, "the place for the value is NULL");
	if (rc < 0)
		return rc;
	if ((entry->flags & VERSION_VLOG) != 0)
		return large_value(cursor, value);
	*value = (struct bwt_slice){ entry->value, entry->value_size };
	return BWT_OK;
}
