/* SPDX-License-Identifier: MIT */
/*
 * bulk.c - a new tree, loaded from sorted pairs
 *
 *   bwt_bulk_open      a tree without a name         a crash from here on: it is freed at the next opening
 *   bwt_bulk_put       full leaves, bottom-up        (tree/build.h); nothing of it is logged
 *   bwt_bulk_finish    the rest
 *                      two checkpoints               both images that the store may be opened from hold it
 *                      the name, logged              a crash from here on: it is there, as a commit is
 *
 * A backup of an older checkpoint would have the name and not the tree: as long as one is made, the name waits.
 * A load has an epoch slot of its own, so that its chunks and the value-log files that it holds are not a thread's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "db/db.h"
#include "recovery/checkpoint.h"
#include "tree/build.h"
#include "txn/commit.h"

#define LARGE_MAX 64u /* values appended and not in the tree yet: their files are held */

struct bwt_bulk {
	unsigned large; /* since the last flush, at most LARGE_MAX */
	struct bwt_db *db;
	struct named_tree *named;
	struct epoch_slot *slot;
	struct tree_build *build;
	char name[BWT_TREE_NAME_MAX + 1];
};

/* ---- a full store ---- */

/*
 * After @rc, is it worth trying again? Cleaning and checkpoints may have made room. No locks; @slot, NULL: none, keeps no
 * extent from being emptied meanwhile.
 */
static bool relieved(struct bwt_db *db, struct epoch_slot *slot, int rc, unsigned *tries)
{
	if (rc != BWT_FULL || (*tries)++ == STORE_RELIEFS_MAX)
		return false;
	if (slot != NULL)
		extents_let_go_own(&db->store.extents, slot);
	space_relieve(&db->store, URGENCY_PUT);
	return true;
}

/* ---- beginning ---- */

/* The tree, its slot and its builder. trees_lock held. */
static int begin(struct bwt_bulk *bulk)
{
	struct store *store = &bulk->db->store;
	int rc;

	if (db_find_tree(bulk->db, bulk->name) != NULL)
		return BWT_EXISTS;
	bulk->slot = epoch_slot_take(&store->epoch);
	if (bulk->slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	rc = catalog_load_begin(store, &bulk->named);
	if (rc == BWT_OK) {
		rc = tree_build_new(&bulk->named->tree, &bulk->build);
		if (rc < 0)
			catalog_load_abort(store, bulk->named);
	}
	if (rc < 0)
		epoch_slot_give_back(bulk->slot);
	return rc;
}

int bwt_bulk_open(struct bwt_db *db, const char *name, unsigned flags, struct bwt_bulk **bulk)
{
	struct bwt_bulk *opened;
	unsigned tries = 0;
	int rc = db_check(db);

	if (rc == BWT_OK && (name == NULL || bulk == NULL))
		rc = error_set(BWT_INVALID, "the name, or the place for the load, is NULL");
	if (rc == BWT_OK)
		rc = db_check_name(name);
	if (rc == BWT_OK && flags != 0)
		rc = error_set(BWT_INVALID, "flags: unknown bits %#x", flags);
	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc < 0)
		return rc;
	opened = calloc(1, sizeof *opened);
	if (opened == NULL)
		return -ENOMEM;
	opened->db = db;
	memcpy(opened->name, name, strlen(name) + 1);
	do {
		pthread_mutex_lock(db->store.trees_lock);
		rc = begin(opened);
		pthread_mutex_unlock(db->store.trees_lock);
	} while (relieved(db, NULL, rc, &tries));
	if (rc < 0) {
		free(opened);
		return rc;
	}
	atomic_fetch_add_explicit(&db->loads, 1, memory_order_relaxed);
	*bulk = opened;
	return BWT_OK;
}

/* ---- pairs ---- */

/* RELEASE: what was appended is counted. */
static int flush(struct bwt_bulk *bulk)
{
	unsigned tries = 0;
	int rc;

	do
		rc = tree_build_flush(bulk->build, bulk->slot);
	while (relieved(bulk->db, bulk->slot, rc, &tries));
	if (rc < 0)
		return rc;
	bulk->large = 0;
	atomic_store_explicit(&bulk->slot->value_hold, 0, memory_order_release);
	return BWT_OK;
}

static int add(struct bwt_bulk *bulk, struct bwt_slice key, struct bwt_slice value, uint8_t flags)
{
	unsigned tries = 0;
	int rc;

	do
		rc = tree_build_add(bulk->build, bulk->slot, key, value, flags);
	while (relieved(bulk->db, bulk->slot, rc, &tries));
	return rc;
}

/* A value that is not kept inline is appended now; its file is held until the leaf that refers to it is in the tree. */
static int put_large(struct bwt_bulk *bulk, struct bwt_slice key, struct bwt_slice value)
{
	struct store *store = &bulk->db->store;
	struct value_ref ref;
	int rc = bulk->large == LARGE_MAX ? flush(bulk) : BWT_OK;

	if (rc < 0)
		return rc;
	if (atomic_load_explicit(&bulk->slot->value_hold, memory_order_relaxed) == 0) {
		store_tend_values(store, bulk->slot);
		atomic_store_explicit(&bulk->slot->value_hold, vlog_append_floor(store->vlog),
		                      memory_order_seq_cst);
	}
	rc = vlog_append(store->vlog, bulk->named->tree.id, key_hash(key), value,
	                 tree_codec(&bulk->named->tree), &ref);
	if (rc < 0)
		return rc;
	bulk->large++;
	return add(bulk, key, (struct bwt_slice){&ref, sizeof ref}, VERSION_VLOG);
}

static int check_put(const struct bwt_bulk *bulk, struct bwt_slice key, struct bwt_slice value)
{
	int rc;

	if (bulk == NULL)
		return error_set(BWT_INVALID, "the load is NULL");
	rc = db_check(bulk->db);
	if (rc == BWT_OK)
		rc = db_check_key(key);
	if (rc == BWT_OK)
		rc = db_check_value(value);
	if (rc == BWT_OK && !tree_build_follows(bulk->build, key))
		rc = error_set(BWT_INVALID, "the key does not come behind the one before");
	return rc == BWT_OK ? store_health(&bulk->db->store, true) : rc;
}

int bwt_bulk_put(struct bwt_bulk *bulk, struct bwt_slice key, struct bwt_slice value)
{
	int rc = check_put(bulk, key, value);

	if (rc < 0)
		return rc;
	if (value.size > bulk->db->store.inline_max)
		rc = put_large(bulk, key, value);
	else
		rc = add(bulk, key, value, 0);
	if (rc == BWT_OK)
		stats_add(&bulk->db->store.stats, bulk->slot->index, STAT_USER_BYTES,
		          key.size + value.size);
	return rc;
}

/* ---- ends ---- */

static void end(struct bwt_bulk *bulk)
{
	atomic_store_explicit(&bulk->slot->value_hold, 0, memory_order_release);
	epoch_slot_give_back(bulk->slot);
	tree_build_free(bulk->build);
	atomic_fetch_sub_explicit(&bulk->db->loads, 1, memory_order_release);
	free(bulk);
}

/* Every image that the store may be opened from, or a backup is made of, holds all of the tree. */
static int make_last(struct bwt_bulk *bulk)
{
	struct bwt_db *db = bulk->db;
	int rc = BWT_OK;

	for (unsigned i = 0; i < 2 && rc == BWT_OK && !TEST_FAULT("bulk_no_checkpoint"); i++)
		rc = service_checkpoint(db, false);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&db->checkpoint_lock);
	if (checkpoint_pinned(db->checkpointer))
		rc = error_set(BWT_BUSY, "a backup of the store is being made");
	pthread_mutex_unlock(&db->checkpoint_lock);
	return rc;
}

/* trees_lock held. */
static int give_name(struct bwt_bulk *bulk, struct bwt_tree **tree)
{
	struct bwt_tree *handle;
	int rc;

	if (db_find_tree(bulk->db, bulk->name) != NULL)
		return BWT_EXISTS;
	handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return -ENOMEM;
	rc = catalog_load_finish(&bulk->db->store, bulk->named, bulk->name, 0);
	if (rc < 0) {
		free(handle);
		return rc;
	}
	handle->db = bulk->db;
	handle->named = bulk->named;
	bulk->named->handle = handle;
	*tree = handle;
	return BWT_OK;
}

int bwt_bulk_finish(struct bwt_bulk *bulk, struct bwt_tree **tree)
{
	struct bwt_tree *loaded;
	unsigned tries = 0;
	int rc;

	if (bulk == NULL)
		return error_set(BWT_INVALID, "the load is NULL");
	rc = db_check(bulk->db);
	if (rc == BWT_OK)
		rc = flush(bulk);
	if (rc == BWT_OK)
		rc = make_last(bulk);
	if (rc < 0)
		return rc;
	do {
		pthread_mutex_lock(bulk->db->store.trees_lock);
		rc = give_name(bulk, &loaded);
		pthread_mutex_unlock(bulk->db->store.trees_lock);
	} while (relieved(bulk->db, bulk->slot, rc, &tries));
	if (rc < 0)
		return rc;
	end(bulk);
	if (tree != NULL)
		*tree = loaded;
	return BWT_OK;
}

void bwt_bulk_abort(struct bwt_bulk *bulk)
{
	struct store *store;

	if (bulk == NULL)
		return;
	/* In a forked child nothing is touched but the memory. */
	if (db_check(bulk->db) < 0) {
		tree_build_free(bulk->build);
		free(bulk);
		return;
	}
	store = &bulk->db->store;
	pthread_mutex_lock(store->trees_lock);
	catalog_load_abort(store, bulk->named);
	pthread_mutex_unlock(store->trees_lock);
	end(bulk);
}
