/* SPDX-License-Identifier: MIT */
/*
 * follow.c - a second store in step with the first, by applying what is committed there
 *
 *   follow STORE COPY
 *
 * The copy remembers in a tree of its own up to which LSN of the first store it has come, in the same transaction
 * as the changes themselves. So wherever one of the two programs is killed, nothing is applied twice and nothing is
 * left out. Where the log does not reach back that far, all is copied anew from a snapshot, and followed from there.
 */
#include <bwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMITS 500u
#define STATE "follow.state" /* a tree of the copy; the first store has none of that name */

static struct bwt_db *db, *copy;

static void need(const char *what, int rc)
{
	if (rc >= BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static const struct bwt_slice place_key = {"position", 8};

static bwt_lsn place_load(void)
{
	struct bwt_buf value = {0};
	struct bwt_tree *state;
	bwt_lsn lsn = 0;
	int rc;

	need("state", bwt_tree_open(copy, STATE, BWT_CREATE, &state));
	rc = bwt_get(state, NULL, place_key, &value);
	if (rc != BWT_NOT_FOUND)
		need("state", rc);
	if (rc == BWT_OK && value.size == sizeof lsn)
		memcpy(&lsn, value.data, sizeof lsn);
	bwt_buf_free(&value);
	return lsn;
}

static void place_store(struct bwt_txn *txn, bwt_lsn lsn)
{
	struct bwt_tree *state;

	need("state", bwt_tree_open(copy, STATE, BWT_CREATE, &state));
	need("state", bwt_put(state, txn, place_key, (struct bwt_slice){&lsn, sizeof lsn}, 0));
}

/* ---- a copy of everything, as of one snapshot ---- */

static void copy_tree(struct bwt_txn *from, struct bwt_txn *to, const char *name)
{
	struct bwt_slice key, value, all = {NULL, 0};
	struct bwt_tree *source, *target;
	struct bwt_cursor *cursor;
	int rc;

	need("tree", bwt_tree_open(db, name, 0, &source));
	need("tree of the copy", bwt_tree_open(copy, name, BWT_CREATE, &target));
	need("clear", bwt_delete_range(target, to, all, all));
	need("cursor", bwt_cursor_open(source, from, &cursor));
	for (rc = bwt_cursor_seek(cursor, all, BWT_FIRST); rc == BWT_OK;
	     rc = bwt_cursor_next(cursor)) {
		need("key", bwt_cursor_key(cursor, &key));
		need("value", bwt_cursor_value(cursor, &value));
		need("put", bwt_put(target, to, key, value, 0));
	}
	if (rc != BWT_NOT_FOUND)
		need("walk", rc);
	bwt_cursor_close(cursor);
}

struct both {
	struct bwt_txn *from, *to;
};

static int copy_named(void *ctx, const char *name)
{
	const struct both *both = ctx;

	copy_tree(both->from, both->to, name);
	return 0;
}

/* Which trees there are is not part of a snapshot: here none is created or dropped meanwhile. */
static bwt_lsn copy_all(void)
{
	struct both both;
	bwt_lsn lsn;

	need("snapshot", bwt_begin(db, BWT_RDONLY, &both.from));
	lsn = bwt_txn_snapshot(both.from);
	need("begin", bwt_begin(copy, 0, &both.to));
	copy_tree(both.from, both.to, NULL);
	need("trees", bwt_tree_list(db, copy_named, &both));
	place_store(both.to, lsn);
	need("commit", bwt_commit(both.to));
	bwt_abort(both.from);
	return lsn;
}

/* ---- following ---- */

static int is_tree_event(const struct bwt_change *change)
{
	return change->kind != BWT_CHANGE_PUT && change->kind != BWT_CHANGE_DELETE;
}

/* A transaction of its own in the first store. Again after a kill in between it finds its work done. */
static void apply_tree_event(const struct bwt_change *change)
{
	struct bwt_tree *tree;
	struct bwt_txn *txn;
	int rc;

	if (change->kind == BWT_CHANGE_TREE_DROP)
		rc = bwt_tree_drop(copy, change->tree);
	else
		rc = bwt_tree_open(copy, change->tree, BWT_CREATE, &tree);
	if (rc != BWT_NOT_FOUND)
		need("tree of the copy", rc);
	/* Its pairs are in no log. If it is gone already, its end comes, too. */
	if (change->kind != BWT_CHANGE_TREE_LOAD ||
	    bwt_tree_open(db, change->tree, 0, &tree) == BWT_NOT_FOUND)
		return;
	need("begin", bwt_begin(copy, 0, &txn));
	copy_tree(NULL, txn, change->tree);
	need("commit", bwt_commit(txn));
}

static void apply(struct bwt_txn *txn, const struct bwt_change *change)
{
	struct bwt_tree *tree;
	int rc;

	need("tree of the copy", bwt_tree_open(copy, change->tree, BWT_CREATE, &tree));
	if (change->kind == BWT_CHANGE_PUT) {
		need("put", bwt_put(tree, txn, change->key, change->value, 0));
		return;
	}
	rc = bwt_delete(tree, txn, change->key);
	if (rc != BWT_NOT_FOUND)
		need("delete", rc);
}

/* One transaction of the first store is one of the copy. */
static unsigned follow(struct bwt_changes *changes)
{
	struct bwt_change change;
	struct bwt_txn *txn = NULL;
	unsigned count = 0;
	int rc;

	while ((rc = bwt_changes_next(changes, 100, &change)) == BWT_OK) {
		if (is_tree_event(&change))
			apply_tree_event(&change);
		if (txn == NULL)
			need("begin", bwt_begin(copy, 0, &txn));
		if (!is_tree_event(&change))
			apply(txn, &change);
		if (!change.last)
			continue;
		place_store(txn, change.lsn);
		need("commit", bwt_commit(txn));
		txn = NULL;
		need("acknowledge", bwt_changes_ack(changes, change.lsn));
		count++;
	}
	if (rc != BWT_NOT_FOUND)
		need("next change", rc);
	return count;
}

static struct bwt_changes *begin_to_follow(void)
{
	struct bwt_changes_options options = {.reader = "follow.c"};
	struct bwt_changes *changes;
	int rc = bwt_changes_open(db, place_load(), &options, &changes);

	if (rc == BWT_TRIMMED)
		rc = bwt_changes_open(db, copy_all(), &options, &changes);
	need("follow", rc);
	return changes;
}

/* ---- what there is to follow ---- */

static void work(void)
{
	struct bwt_tree *fruit, *main_tree;
	struct bwt_txn *txn;

	need("main tree", bwt_tree_open(db, NULL, 0, &main_tree));
	need("tree", bwt_tree_open(db, "fruit", BWT_CREATE, &fruit));
	for (unsigned i = 0; i < COMMITS; i++) {
		struct bwt_slice key = {&i, sizeof i}, value = {"ripe", 4};

		need("begin", bwt_begin(db, BWT_TXN_NOSYNC, &txn));
		need("put", bwt_put(fruit, txn, key, value, 0));
		need("put", bwt_put(main_tree, txn, key, value, 0));
		need("commit", bwt_commit(txn));
	}
}

static uint64_t keys_of(struct bwt_db *store, const char *name)
{
	struct bwt_tree *tree;
	uint64_t count;

	need("tree", bwt_tree_open(store, name, 0, &tree));
	need("count", bwt_count(tree, &count));
	return count;
}

int main(int argc, char **argv)
{
	struct bwt_options options = {.flags = BWT_CREATE};
	struct bwt_changes *changes;
	unsigned count;

	if (argc != 3)
		return 2;
	need("open", bwt_open(argv[1], &options, &db));
	need("open the copy", bwt_open(argv[2], &options, &copy));
	work();
	changes = begin_to_follow();
	count = follow(changes);
	work();
	count += follow(changes);
	bwt_changes_close(changes);
	if (keys_of(db, NULL) != keys_of(copy, NULL) ||
	    keys_of(db, "fruit") != keys_of(copy, "fruit"))
		return EXIT_FAILURE;
	printf("%u transactions were followed, the stores are in step\n", count);
	need("close", bwt_close(db));
	need("close the copy", bwt_close(copy));
	return 0;
}
