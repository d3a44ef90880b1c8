/* SPDX-License-Identifier: MIT */
/*
 * trees.c - named trees as handles
 *
 * Opening twice gives the same handle, good until the tree is dropped or the store closed. All of it
 * runs under trees_lock; no data path comes here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "db/db.h"
#include "txn/commit.h"

#define PACKING (BWT_LZ4 | BWT_ZSTD | BWT_PLAIN)

int db_check_name(const char *name)
{
	size_t size = strlen(name);

	if (size >= 1 && size <= BWT_TREE_NAME_MAX)
		return BWT_OK;
	return error_set(BWT_INVALID, "a tree's name has 1 to %u bytes, not %zu", BWT_TREE_NAME_MAX,
	                 size);
}

struct named_tree *db_find_tree(struct bwt_db *db, const char *name)
{
	for (struct named_tree *tree = db->store.trees; tree != NULL; tree = tree->next) {
		if (name == NULL ? tree->tree.id == TREE_ID_MAIN
		                 : tree->tree.id >= TREE_ID_FIRST && tree->state == CATALOG_LIVE &&
		                           strcmp(tree->name, name) == 0)
			return tree;
	}
	return NULL;
}

static int create(struct bwt_db *db, const char *name, struct named_tree **named)
{
	int rc = store_health(&db->store, true);

	if (rc < 0)
		return rc;
	return catalog_create(&db->store, name,
	                      atomic_load_explicit(&db->store.next_tree_id, memory_order_relaxed),
	                      0, named);
}

static enum pack_codec codec_of(unsigned flags)
{
	return (flags & BWT_LZ4) != 0 ? PACK_LZ4 : (flags & BWT_ZSTD) != 0 ? PACK_ZSTD : PACK_NONE;
}

/* Memory for the handle comes first: once the tree is created, nothing fails. */
static int open_locked(struct bwt_db *db, const char *name, unsigned flags, struct bwt_tree **tree)
{
	struct named_tree *named = db_find_tree(db, name);
	struct bwt_tree *handle = named != NULL ? named->handle : NULL;
	int rc = BWT_OK;

	if (named != NULL && (flags & BWT_EXCL) != 0)
		return BWT_EXISTS;
	if (named == NULL && (flags & BWT_CREATE) == 0)
		return BWT_NOT_FOUND;
	if (handle == NULL)
		handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return -ENOMEM;
	if (named == NULL)
		rc = create(db, name, &named);
	if (rc < 0) {
		free(handle);
		return rc;
	}
	handle->db = db;
	handle->named = named;
	named->handle = handle;
	if ((flags & PACKING) != 0)
		atomic_store_explicit(&named->tree.codec, codec_of(flags), memory_order_relaxed);
	*tree = handle;
	return BWT_OK;
}

static int check_flags(unsigned flags)
{
	unsigned packing = flags & PACKING;

	if ((flags & ~(BWT_CREATE | BWT_EXCL | PACKING)) != 0)
		return error_set(BWT_INVALID, "flags: unknown bits %#x",
		                 flags & ~(BWT_CREATE | BWT_EXCL | PACKING));
	if ((flags & BWT_EXCL) != 0 && (flags & BWT_CREATE) == 0)
		return error_set(BWT_INVALID, "flags: BWT_EXCL needs BWT_CREATE");
	if ((packing & (packing - 1)) != 0)
		return error_set(BWT_INVALID,
		                 "flags: BWT_LZ4, BWT_ZSTD and BWT_PLAIN contradict each other");
	if (!pack_has(codec_of(flags)))
		return error_set(BWT_INVALID, "flags: this build of the library has no %s",
		                 pack_name(codec_of(flags)));
	return BWT_OK;
}

int bwt_tree_open(struct bwt_db *db, const char *name, unsigned flags, struct bwt_tree **tree)
{
	int rc = db_check(db);

	if (rc == BWT_OK && tree == NULL)
		rc = error_set(BWT_INVALID, "the place for the handle is NULL");
	if (rc == BWT_OK && name != NULL)
		rc = db_check_name(name);
	if (rc < 0)
		return rc;
	rc = check_flags(flags);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(db->store.trees_lock);
	rc = open_locked(db, name, flags, tree);
	pthread_mutex_unlock(db->store.trees_lock);
	return rc;
}

static int drop_locked(struct bwt_db *db, const char *name)
{
	struct named_tree *named = db_find_tree(db, name);
	struct bwt_tree *handle;
	int rc;

	if (named == NULL)
		return BWT_NOT_FOUND;
	handle = named->handle;
	if (handle != NULL && atomic_load_explicit(&handle->users, memory_order_acquire) != 0)
		return error_set(BWT_BUSY, "a cursor is open on tree \"%s\"", name);
	if (atomic_load_explicit(&db->transactions, memory_order_acquire) != 0)
		return error_set(BWT_BUSY, "a transaction may still read tree \"%s\"", name);
	named->handle = NULL;
	rc = catalog_drop(&db->store, named, 0);
	if (rc == BWT_OK)
		free(handle);
	else
		named->handle = handle;
	return rc;
}

int bwt_tree_drop(struct bwt_db *db, const char *name)
{
	int rc = db_check(db);

	if (rc == BWT_OK && name == NULL)
		rc = error_set(BWT_INVALID, "the main tree cannot be dropped");
	if (rc == BWT_OK)
		rc = db_check_name(name);
	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(db->store.trees_lock);
	rc = drop_locked(db, name);
	pthread_mutex_unlock(db->store.trees_lock);
	return rc;
}

/* ---- listing ---- */

struct name_list {
	char (*names)[BWT_TREE_NAME_MAX + 1];
	size_t count;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The names as they are now, sorted, copied so that @each may open and drop trees. */
static int copy_names(struct bwt_db *db, struct name_list *list)
{
	size_t room = atomic_load_explicit(&db->store.tree_count, memory_order_relaxed);

	list->count = 0;
	list->names = calloc(room + 1, sizeof *list->names);
	if (list->names == NULL)
		return -ENOMEM;
	for (struct named_tree *tree = db->store.trees; tree != NULL && list->count < room;
	     tree = tree->next)
		if (tree->tree.id >= TREE_ID_FIRST && tree->state == CATALOG_LIVE)
			memcpy(list->names[list->count++], tree->name, sizeof tree->name);
	qsort(list->names, list->count, sizeof *list->names, compare_names);
	return BWT_OK;
}

int bwt_tree_list(struct bwt_db *db, int (*each)(void *ctx, const char *name), void *ctx)
{
	struct name_list list;
	int rc = db_check(db);

	if (rc == BWT_OK && each == NULL)
		rc = error_set(BWT_INVALID, "the function to call is NULL");
	if (rc < 0)
		return rc;
	pthread_mutex_lock(db->store.trees_lock);
	rc = copy_names(db, &list);
	pthread_mutex_unlock(db->store.trees_lock);
	for (size_t i = 0; rc == 0 && i < list.count; i++)
		rc = each(ctx, list.names[i]);
	free(list.names);
	return rc;
}
