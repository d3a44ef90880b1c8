/* SPDX-License-Identifier: MIT */
/*
 * cursor.c - ordered walks over one snapshot, under a transaction's own writes if it has any
 *
 *   NOWHERE --seek, next, prev--> AT <--next, prev--> BEFORE (the first) or AFTER (the last)
 *
 * There are two kinds. A plain cursor stands on the entry of its walk (walk.h). One of a read-write
 * transaction stands on a key, and looks from there in both the store and the write set (merge.h).
 *
 *   Q1  AT: the walk's entry is the current one; in a merging cursor, key is the current key.
 *   Q2  Every entry that is returned begins with the prefix of the last BWT_PREFIX seek.
 *   Q3  Serializable: all that a move looked at, absent keys included, is in the read set before it
 *       returns; beyond a prefix nothing was looked at, as nothing of it is told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "db/ahead.h"
#include "db/db.h"
#include "db/merge.h"

enum where {
	NOWHERE,
	AT,
	BEFORE,
	AFTER
};

struct bwt_cursor {
	struct bwt_tree *tree;
	struct bwt_txn *txn;            /* NULL: none */
	struct snapshot_slot *snapshot; /* its own; NULL: the transaction's */
	bool merges;                    /* of a read-write transaction */
	enum where where;
	struct walk walk;
	struct bwt_buf prefix;     /* of the last BWT_PREFIX seek; size 0: unbounded */
	struct bwt_buf prefix_end; /* first key behind all that begin with it; size 0: there is none */
	struct bwt_buf from;       /* merges: the key that a move starts from */
	struct bwt_buf key;        /* the current key in one piece */
	bool key_whole;            /* it is there already */
	struct ahead ahead;        /* large values */
};

/* ---- the merging kind ---- */

/* Q3 for a move between two keys, or from the position to the end of what may be seen (@to NULL). */
static int note_right(struct bwt_cursor *cursor, struct bwt_slice from, bool above,
                      const struct bwt_slice *to)
{
	struct bwt_slice end = {NULL, 0};

	if (cursor->txn->txn.level != TXN_SERIALIZABLE)
		return BWT_OK;
	if (to == NULL && cursor->prefix_end.size > 0)
		end = buf_slice(&cursor->prefix_end);
	return read_set_add(&cursor->txn->txn.reads, &cursor->tree->named->tree, from, above,
	                    to != NULL ? *to : end, to != NULL);
}

/* The same to the left; @from NULL: from behind the last key. */
static int note_left(struct bwt_cursor *cursor, const struct bwt_slice *from, bool included,
                     const struct bwt_slice *to)
{
	struct bwt_slice end = {NULL, 0};

	if (cursor->txn->txn.level != TXN_SERIALIZABLE)
		return BWT_OK;
	return read_set_add(&cursor->txn->txn.reads, &cursor->tree->named->tree,
	                    to != NULL ? *to : buf_slice(&cursor->prefix), false,
	                    from != NULL ? *from : end, included);
}

/* A move of the merge came to @rc and @own: the key there is the current one. */
static int merged(struct bwt_cursor *cursor, int rc, const struct write_entry *own)
{
	const struct key_ref *stored;

	if (cursor->walk.newest > cursor->txn->txn.newest)
		cursor->txn->txn.newest = cursor->walk.newest;
	if (rc < 0)
		return rc;
	if (own != NULL)
		return buf_set(&cursor->key, own->key);
	stored = &walk_entry(&cursor->walk)->key;
	rc = buf_reserve(&cursor->key, key_ref_size(stored) + 1);
	if (rc == BWT_OK)
		cursor->key.size = key_ref_write(stored, cursor->key.data);
	return rc;
}

static bool key_in_prefix(const struct bwt_cursor *cursor)
{
	return cursor->prefix.size == 0 ||
	       (cursor->key.size >= cursor->prefix.size &&
	        memcmp(cursor->key.data, cursor->prefix.data, cursor->prefix.size) == 0);
}

/* From cursor->from on to the right. */
static int merging_right(struct bwt_cursor *cursor, bool above)
{
	const struct write_entry *own = NULL;
	struct bwt_slice from = buf_slice(&cursor->from), to;
	int rc = merge_right(&cursor->walk, &cursor->txn->txn.writes, from, above, &own);
	int noted;

	rc = merged(cursor, rc, own);
	if (rc == BWT_OK && !key_in_prefix(cursor))
		rc = BWT_NOT_FOUND;
	if (rc < 0 && rc != BWT_NOT_FOUND)
		return rc;
	to = buf_slice(&cursor->key);
	noted = note_right(cursor, from, above, rc == BWT_OK ? &to : NULL);
	return noted < 0 ? noted : rc;
}

/* From cursor->from (@last: from the end of the tree) on to the left. */
static int merging_left(struct bwt_cursor *cursor, bool included, bool last)
{
	const struct write_entry *own = NULL;
	struct bwt_slice from = buf_slice(&cursor->from), to;
	int rc = merge_left(&cursor->walk, &cursor->txn->txn.writes, last ? NULL : &from, included,
	                    &own);
	int noted;

	rc = merged(cursor, rc, own);
	if (rc == BWT_OK && !key_in_prefix(cursor))
		rc = BWT_NOT_FOUND;
	if (rc < 0 && rc != BWT_NOT_FOUND)
		return rc;
	to = buf_slice(&cursor->key);
	noted = note_left(cursor, last ? NULL : &from, included, rc == BWT_OK ? &to : NULL);
	return noted < 0 ? noted : rc;
}

static int merging_exact(struct bwt_cursor *cursor)
{
	const struct write_entry *own = NULL;
	struct bwt_slice from = buf_slice(&cursor->from);
	int rc = merge_exact(&cursor->walk, &cursor->txn->txn.writes, from, &own);
	int noted;

	rc = merged(cursor, rc, own);
	if (rc < 0 && rc != BWT_NOT_FOUND)
		return rc;
	noted = note_right(cursor, from, false, &from);
	return noted < 0 ? noted : rc;
}

/* The current key is where the next move starts. */
static void from_here(struct bwt_cursor *cursor)
{
	struct bwt_buf from = cursor->from;

	cursor->from = cursor->key;
	cursor->key = from;
}

/* ---- both kinds ---- */

static bool entry_in_prefix(const struct bwt_cursor *cursor)
{
	struct key_ref prefix = key_ref_of(buf_slice(&cursor->prefix));

	return cursor->prefix.size == 0 ||
	       key_ref_common(&walk_entry(&cursor->walk)->key, &prefix) == cursor->prefix.size;
}

/* A move came to @rc; what lies outside the prefix is past the end. */
static int moved(struct bwt_cursor *cursor, int rc, enum where past)
{
	if (rc == BWT_OK && !cursor->merges && !entry_in_prefix(cursor))
		rc = BWT_NOT_FOUND;
	cursor->key_whole = cursor->merges;
	cursor->where = rc == BWT_OK ? AT : rc == BWT_NOT_FOUND ? past : NOWHERE;
	return rc;
}

static int seek_right(struct bwt_cursor *cursor, struct bwt_slice key, bool above)
{
	int rc;

	if (!cursor->merges)
		return moved(cursor, walk_right(&cursor->walk, key, above), AFTER);
	rc = buf_set(&cursor->from, key);
	return moved(cursor, rc < 0 ? rc : merging_right(cursor, above), AFTER);
}

static int seek_left(struct bwt_cursor *cursor, struct bwt_slice key, bool included)
{
	int rc;

	if (!cursor->merges)
		return moved(cursor, walk_left(&cursor->walk, key, included), BEFORE);
	rc = buf_set(&cursor->from, key);
	return moved(cursor, rc < 0 ? rc : merging_left(cursor, included, false), BEFORE);
}

static int seek_exact(struct bwt_cursor *cursor, struct bwt_slice key)
{
	int rc;

	if (!cursor->merges)
		return moved(cursor, walk_exact(&cursor->walk, key), NOWHERE);
	rc = buf_set(&cursor->from, key);
	return moved(cursor, rc < 0 ? rc : merging_exact(cursor), NOWHERE);
}

static int to_first(struct bwt_cursor *cursor)
{
	return seek_right(cursor, buf_slice(&cursor->prefix), false);
}

static int to_last(struct bwt_cursor *cursor)
{
	if (cursor->prefix_end.size > 0)
		return seek_left(cursor, buf_slice(&cursor->prefix_end), false);
	if (cursor->merges)
		return moved(cursor, merging_left(cursor, false, true), BEFORE);
	return moved(cursor, walk_last(&cursor->walk), BEFORE);
}

/* The prefix's end is the prefix with its last byte that is not 0xff counted up. */
static int set_prefix(struct bwt_cursor *cursor, struct bwt_slice prefix)
{
	struct bwt_buf *end = &cursor->prefix_end;
	uint8_t *bytes;
	int rc;

	if (prefix.size == 0) {
		cursor->prefix.size = end->size = 0;
		return BWT_OK;
	}
	rc = buf_set(&cursor->prefix, prefix);
	if (rc == BWT_OK)
		rc = buf_set(end, buf_slice(&cursor->prefix));
	if (rc < 0)
		return rc;
	bytes = end->data;
	while (end->size > 0 && bytes[end->size - 1] == 0xff)
		end->size--;
	if (end->size > 0)
		bytes[end->size - 1]++;
	return BWT_OK;
}

/* ---- public ---- */

static int check_all(const struct bwt_cursor *cursor)
{
	int rc;

	if (cursor == NULL)
		return error_set(BWT_INVALID, "the cursor handle is NULL");
	if (cursor->txn != NULL &&
	    atomic_load_explicit(&cursor->txn->ended, memory_order_acquire) != 0)
		return error_set(BWT_INVALID, "the cursor's transaction has ended");
	rc = db_check_tree(cursor->tree);
	return rc == BWT_OK && cursor->txn != NULL && cursor->txn->lost ? BWT_CONFLICT : rc;
}

static inline int check(const struct bwt_cursor *cursor)
{
	if (cursor == NULL || cursor->txn != NULL)
		return check_all(cursor);
	return db_check_tree(cursor->tree);
}

/* One moment for all moves: the transaction's, or one of its own. */
static int take_snapshot(struct bwt_cursor *cursor)
{
	struct store *store = &cursor->tree->db->store;
	int rc;

	cursor->walk.store = store;
	cursor->walk.tree = &cursor->tree->named->tree;
	if (cursor->txn != NULL && cursor->txn->lsn != READ_NEWEST) {
		cursor->walk.lsn = cursor->txn->lsn;
		return BWT_OK;
	}
	rc = snapshot_acquire(&store->snapshots, store_clock, store, &cursor->snapshot);
	if (rc == BWT_OK)
		cursor->walk.lsn = snapshot_lsn(cursor->snapshot);
	return rc;
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
	cursor->merges = txn != NULL && txn->writes;
	rc = take_snapshot(cursor);
	if (rc < 0) {
		free(cursor);
		return rc;
	}
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
		db_txn_unref(cursor->txn);
	walk_free(&cursor->walk);
	bwt_buf_free(&cursor->prefix);
	bwt_buf_free(&cursor->prefix_end);
	bwt_buf_free(&cursor->from);
	bwt_buf_free(&cursor->key);
	ahead_free(&cursor->ahead);
	atomic_fetch_sub_explicit(&cursor->tree->users, 1, memory_order_release);
	atomic_fetch_sub_explicit(&cursor->tree->db->cursors, 1, memory_order_release);
	free(cursor);
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
		rc = set_prefix(cursor, how == BWT_PREFIX ? key : (struct bwt_slice){NULL, 0});
	if (rc < 0)
		return rc;
	switch ((enum bwt_seek)how) {
	case BWT_GE:
	case BWT_GT:
		return seek_right(cursor, key, how == BWT_GT);
	case BWT_LE:
	case BWT_LT:
		return seek_left(cursor, key, how == BWT_LE);
	case BWT_EQ:
		return seek_exact(cursor, key);
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
	if (!cursor->merges) {
		if (cursor->prefix.size > 0 || !walk_has_next(&cursor->walk))
			return moved(cursor, walk_next(&cursor->walk), AFTER);
		cursor->walk.index++;
		cursor->key_whole = false;
		return BWT_OK;
	}
	from_here(cursor);
	return moved(cursor, merging_right(cursor, true), AFTER);
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
	if (!cursor->merges) {
		if (cursor->prefix.size > 0 || cursor->walk.index == 0)
			return moved(cursor, walk_prev(&cursor->walk), BEFORE);
		cursor->walk.index--;
		cursor->key_whole = false;
		return BWT_OK;
	}
	from_here(cursor);
	return moved(cursor, merging_left(cursor, false, false), BEFORE);
}

int bwt_cursor_key(struct bwt_cursor *cursor, struct bwt_slice *key)
{
	int rc = check(cursor);

	if (rc == BWT_OK && cursor->where != AT)
		return BWT_NOT_FOUND;
	if (rc == BWT_OK && key == NULL)
		rc = error_set(BWT_INVALID, "the place for the key is NULL");
	if (rc < 0)
		return rc;
	if (!cursor->key_whole) {
		const struct key_ref *stored = &walk_entry(&cursor->walk)->key;

		rc = buf_reserve(&cursor->key, key_ref_size(stored) + 1);
		if (rc < 0)
			return rc;
		cursor->key.size = key_ref_write(stored, cursor->key.data);
		cursor->key_whole = true;
	}
	*key = buf_slice(&cursor->key);
	return BWT_OK;
}

static int large_value(struct bwt_cursor *cursor, struct bwt_slice *value)
{
	struct epoch_slot *slot;
	int rc = db_slot(cursor->tree->db, &slot);

	return rc < 0 ? rc
	              : ahead_value(&cursor->ahead, &cursor->walk, &cursor->tree->named->tree, slot,
	                            value);
}

/* The value may have been written, or rolled back, since the cursor came here. */
static int merging_value(struct bwt_cursor *cursor, const struct write_entry **own)
{
	return merge_exact(&cursor->walk, &cursor->txn->txn.writes, buf_slice(&cursor->key), own);
}

int bwt_cursor_value(struct bwt_cursor *cursor, struct bwt_slice *value)
{
	const struct write_entry *own = NULL;
	const struct scan_entry *entry;
	int rc = check(cursor);

	if (rc == BWT_OK && cursor->where != AT)
		return BWT_NOT_FOUND;
	if (rc == BWT_OK && value == NULL)
		rc = error_set(BWT_INVALID, "the place for the value is NULL");
	if (rc == BWT_OK && cursor->merges)
		rc = merging_value(cursor, &own);
	if (rc < 0)
		return rc;
	if (own != NULL) {
		*value = own->value;
		return BWT_OK;
	}
	entry = walk_entry(&cursor->walk);
	if ((entry->flags & VERSION_VLOG) != 0)
		return large_value(cursor, value);
	*value = (struct bwt_slice){entry->value, entry->value_size};
	return BWT_OK;
}
