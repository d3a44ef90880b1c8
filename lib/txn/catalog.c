/* SPDX-License-Identifier: MIT */
/*
 * catalog.c - named trees: the catalogue tree (name -> id) and the registry of open trees
 *
 * Creating: root page and registry entry in one gate section each, then the commit of the name. An
 * image cut in between holds a tree without a name; opening drops it, unless the log's record names
 * it. Loading: the tree is filled while the registry says DROPPING and it has no name; when every image that the store may
 * be opened from holds all of it, the commit of the name makes it live. Dropping: the commit that removes the name, then the pages, in many gate sections; the registry
 * says DROPPING, images keep that, and opening goes on with it. Tree ids are not reused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "txn/commit_record.h"

static struct named_tree *registry_find(struct store *store, uint32_t id)
{
	struct named_tree *tree = store->trees;

	while (tree != NULL && tree->tree.id != id)
		tree = tree->next;
	return tree;
}

/* WAL_TREE_CREATE, WAL_TREE_LOAD and WAL_TREE_DROP: the id, then the name. */
static struct wal_payload name_record(uint8_t type, const uint32_t *id, struct bwt_slice name)
{
	struct wal_payload record = {.type = type, .count = 2};

	record.part[0] = (struct bwt_slice){id, sizeof *id};
	record.part[1] = name;
	return record;
}

/* The catalogue's own change: logged when it happens, or at @lsn when it is replayed. */
static int change_name(struct store *store, struct named_tree *tree, uint8_t type, uint64_t lsn)
{
	struct tree *catalog = &registry_find(store, TREE_ID_CATALOG)->tree;
	struct catalog_entry entry = {tree->tree.id,
	                              type == WAL_TREE_LOAD ? CATALOG_LOADED : CATALOG_LIVE};
	struct bwt_slice name = {tree->name, strlen(tree->name)};
	bool create = type != WAL_TREE_DROP;
	struct wal_payload record;
	struct commit_op op = {
		.kind = create ? COMMIT_PUT : COMMIT_DELETE, .key = name, .durable = true};

	if (lsn != 0)
		return commit_replay(store, catalog, name, create ? 0 : VERSION_TOMBSTONE,
		                     create ? &entry : NULL, create ? sizeof entry : 0, lsn);
	op.durable = store->durability == BWT_SYNC;
	op.value = (struct bwt_slice){&entry, create ? sizeof entry : 0};
	record = name_record(type, &tree->tree.id, name);
	return commit_record(store, catalog, &op, &record);
}

static void raise_next_id(struct store *store, uint32_t id)
{
	if (atomic_load_explicit(&store->next_tree_id, memory_order_relaxed) <= id)
		atomic_store_explicit(&store->next_tree_id, id + 1, memory_order_relaxed);
}

/* The registry entry of a new tree, its root page made. */
static int registry_add(struct store *store, const char *name, uint32_t id, struct named_tree **out)
{
	struct epoch_slot *slot = epoch_slot(&store->epoch);
	struct named_tree *tree = aligned_alloc(CACHE_LINE_SIZE, sizeof *tree);
	int rc;

	if (slot == NULL || tree == NULL) {
		free(tree);
		return -ENOMEM;
	}
	memset(tree, 0, sizeof *tree);
	rc = tree_create(&tree->tree, &store->env, id, slot);
	if (rc < 0) {
		free(tree);
		return rc;
	}
	tree->state = CATALOG_LIVE;
	memcpy(tree->name, name, strlen(name) + 1);
	tree->next = store->trees;
	store->trees = tree;
	raise_next_id(store, id);
	*out = tree;
	return BWT_OK;
}

static void registry_remove(struct store *store, struct named_tree *tree)
{
	struct named_tree **link = &store->trees;

	while (*link != tree)
		link = &(*link)->next;
	*link = tree->next;
	free(tree);
}

int catalog_finish_drops(struct store *store)
{
	struct epoch_slot *slot = epoch_slot(&store->epoch);
	struct named_tree *tree, *next;
	int rc = slot == NULL ? -ENOMEM : BWT_OK;

	for (tree = store->trees; tree != NULL && rc == BWT_OK; tree = next) {
		next = tree->next;
		if (tree->state != CATALOG_DROPPING)
			continue;
		rc = tree_free(&tree->tree, slot);
		if (rc == BWT_OK)
			registry_remove(store, tree);
	}
	return rc;
}

int catalog_create(struct store *store, const char *name, uint32_t id, uint64_t lsn,
                   struct named_tree **out)
{
	struct named_tree *tree = registry_find(store, id);
	int rc = BWT_OK;

	/* Replayed over an image that was cut between the two steps: the tree is there already. */
	if (tree == NULL)
		rc = registry_add(store, name, id, &tree);
	else
		memcpy(tree->name, name, strlen(name) + 1);
	if (rc < 0)
		return rc;
	TEST_YIELD("catalog_made");
	rc = change_name(store, tree, WAL_TREE_CREATE, lsn);
	TEST_YIELD("catalog_named");
	if (rc < 0) {
		struct epoch_slot *slot = epoch_slot(&store->epoch);

		tree->state = CATALOG_DROPPING;
		if (tree_free(&tree->tree, slot) == BWT_OK)
			registry_remove(store, tree);
		return rc;
	}
	atomic_fetch_add_explicit(&store->tree_count, 1, memory_order_relaxed);
	*out = tree;
	return BWT_OK;
}

int catalog_drop(struct store *store, struct named_tree *tree, uint64_t lsn)
{
	struct epoch_slot *slot = epoch_slot(&store->epoch);
	int rc = change_name(store, tree, WAL_TREE_DROP, lsn);

	if (rc < 0)
		return rc;
	tree->state = CATALOG_DROPPING;
	tree->name[0] = '\0';
	atomic_fetch_sub_explicit(&store->tree_count, 1, memory_order_relaxed);
	TEST_YIELD("catalog_unnamed");
	/* The name is gone, and that is what was asked; pages that could not be freed now are freed at the next opening. */
	if (tree_free(&tree->tree, slot) == BWT_OK)
		registry_remove(store, tree);
	return BWT_OK;
}

int catalog_load_begin(struct store *store, struct named_tree **out)
{
	int rc = registry_add(store, "",
	                      atomic_load_explicit(&store->next_tree_id, memory_order_relaxed), out);

	if (rc == BWT_OK)
		(*out)->state = CATALOG_DROPPING;
	return rc;
}

int catalog_load_finish(struct store *store, struct named_tree *tree, const char *name, uint64_t lsn)
{
	int rc;

	memcpy(tree->name, name, strlen(name) + 1);
	rc = change_name(store, tree, WAL_TREE_LOAD, lsn);
	if (rc < 0) {
		tree->name[0] = '\0';
		return rc;
	}
	TEST_YIELD("catalog_loaded");
	tree->state = CATALOG_LIVE;
	atomic_fetch_add_explicit(&store->tree_count, 1, memory_order_relaxed);
	return BWT_OK;
}

void catalog_load_abort(struct store *store, struct named_tree *tree)
{
	/* Pages that could not be freed now are freed at the next opening. */
	if (tree_free(&tree->tree, epoch_slot(&store->epoch)) == BWT_OK)
		registry_remove(store, tree);
}
