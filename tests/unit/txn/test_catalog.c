/* SPDX-License-Identifier: MIT */
/* test_catalog.c - trees get names and lose them; a change that fails or is cut off leaves no orphan */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/unit/txn/txn_fixture.h"

static struct fixture fixture;
static struct tree *catalog;
static struct logged log_read[1024];

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
	catalog = &store_tree(&fixture.store, TREE_ID_CATALOG)->tree;
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static int create(const char *name, struct named_tree **tree)
{
	int rc;

	pthread_mutex_lock(&fixture.trees_lock);
	rc = catalog_create(&fixture.store, name, atomic_load(&fixture.store.next_tree_id), 0, tree);
	pthread_mutex_unlock(&fixture.trees_lock);
	return rc;
}

static int drop(struct named_tree *tree)
{
	int rc;

	pthread_mutex_lock(&fixture.trees_lock);
	rc = catalog_drop(&fixture.store, tree, 0);
	pthread_mutex_unlock(&fixture.trees_lock);
	return rc;
}

static int finish_drops(void)
{
	int rc;

	pthread_mutex_lock(&fixture.trees_lock);
	rc = catalog_finish_drops(&fixture.store);
	pthread_mutex_unlock(&fixture.trees_lock);
	return rc;
}

/* Id and state that the catalogue tree has under @name; 0: none. */
static uint32_t catalogued(const char *name)
{
	struct catalog_entry entry;
	struct bwt_buf got = {0};
	int rc = read_value(&fixture.store, catalog, fixture.slot, READ_NEWEST, text_slice(name),
	                    &got);

	if (rc != BWT_OK)
		return 0;
	CU_ASSERT_EQUAL_FATAL(got.size, sizeof entry);
	memcpy(&entry, got.data, sizeof entry);
	CU_ASSERT_EQUAL(entry.state, CATALOG_LIVE);
	free(got.data);
	return entry.tree;
}

static void put_into(struct named_tree *tree, unsigned count)
{
	struct tree *main_tree = fixture.tree;
	char key[16];

	fixture.tree = &tree->tree;
	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof key, "%u", i);
		fixture_put(&fixture, key, "value");
	}
	fixture.tree = main_tree;
}

static uint64_t pages(void)
{
	return atomic_load(&fixture.store.mapping.used);
}

static unsigned registered(void)
{
	unsigned count = 0;

	for (struct named_tree *tree = fixture.store.trees; tree != NULL; tree = tree->next)
		count++;
	return count;
}

static void a_created_tree_is_named_registered_and_logged(void)
{
	struct named_tree *tree;

	CU_ASSERT_EQUAL_FATAL(create("paths", &tree), BWT_OK);
	CU_ASSERT_STRING_EQUAL(tree->name, "paths");
	CU_ASSERT_EQUAL(tree->state, CATALOG_LIVE);
	CU_ASSERT_EQUAL(tree->tree.id, TREE_ID_FIRST);
	CU_ASSERT_EQUAL(catalogued("paths"), TREE_ID_FIRST);
	CU_ASSERT_PTR_EQUAL(store_tree(&fixture.store, TREE_ID_FIRST), tree);
	CU_ASSERT_EQUAL(atomic_load(&fixture.store.tree_count), 1);
	put_into(tree, 10);
	CU_ASSERT_EQUAL(tree_keys(&tree->tree), 10);
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 0);
	CU_ASSERT_EQUAL(fixture_log(&fixture, log_read, 1024), 11);
	CU_ASSERT_EQUAL(log_read[0].type, WAL_TREE_CREATE);
	CU_ASSERT_STRING_EQUAL(log_read[0].text, "paths");
}

static void a_dropped_tree_gives_name_and_pages_back(void)
{
	struct named_tree *tree;
	uint64_t before = pages();

	CU_ASSERT_EQUAL_FATAL(create("paths", &tree), BWT_OK);
	put_into(tree, 500);
	CU_ASSERT_TRUE(pages() > before + 5);
	CU_ASSERT_EQUAL(drop(tree), BWT_OK);
	CU_ASSERT_EQUAL(catalogued("paths"), 0);
	CU_ASSERT_EQUAL(registered(), 2);
	CU_ASSERT_EQUAL(atomic_load(&fixture.store.tree_count), 0);
	CU_ASSERT_EQUAL(pages(), before);
	CU_ASSERT_EQUAL(fixture_log(&fixture, log_read, 1024), 502);
	CU_ASSERT_EQUAL(log_read[501].type, WAL_TREE_DROP);
	CU_ASSERT_STRING_EQUAL(log_read[501].text, "paths");
}

static void tree_ids_are_not_used_again(void)
{
	for (uint32_t i = 0; i < 5; i++) {
		struct named_tree *tree;

		CU_ASSERT_EQUAL_FATAL(create("same", &tree), BWT_OK);
		CU_ASSERT_EQUAL(tree->tree.id, TREE_ID_FIRST + i);
		CU_ASSERT_EQUAL(drop(tree), BWT_OK);
	}
}

static void the_longest_name_fits(void)
{
	char name[BWT_TREE_NAME_MAX + 1];
	struct named_tree *tree;

	memset(name, 'n', BWT_TREE_NAME_MAX);
	name[BWT_TREE_NAME_MAX] = '\0';
	CU_ASSERT_EQUAL_FATAL(create(name, &tree), BWT_OK);
	CU_ASSERT_STRING_EQUAL(tree->name, name);
	CU_ASSERT_EQUAL(catalogued(name), TREE_ID_FIRST);
}

static void catalogue_entries_are_inline_whatever_goes_to_the_value_log(void)
{
	struct named_tree *tree;

	fixture.store.inline_max = 0;
	CU_ASSERT_EQUAL_FATAL(create("paths", &tree), BWT_OK);
	CU_ASSERT_EQUAL(catalogued("paths"), TREE_ID_FIRST);
	CU_ASSERT_EQUAL(cow_load(&fixture.store.vlog_live, 1), 0);
}

/* ---- failures ---- */

static void a_tree_whose_name_cannot_be_written_is_not_there(void)
{
	struct named_tree *tree = NULL;
	uint64_t before = pages();

	atomic_store(&fixture.store.failure, BWT_IO);
	CU_ASSERT_EQUAL(create("paths", &tree), BWT_READ_ONLY);
	atomic_store(&fixture.store.failure, BWT_OK);
	CU_ASSERT_PTR_NULL(tree);
	CU_ASSERT_EQUAL(pages(), before);
	CU_ASSERT_EQUAL(registered(), 2);
	CU_ASSERT_EQUAL(atomic_load(&fixture.store.tree_count), 0);
	CU_ASSERT_EQUAL(create("paths", &tree), BWT_OK);
}

static void a_tree_without_memory_for_its_root_is_not_there(void)
{
	struct named_tree *tree = NULL;
	uint64_t before = pages();

	atomic_fetch_add(&fixture.store.interval, 1);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_NOT_EQUAL(create("paths", &tree), BWT_OK);
	testpoint_reset();
	atomic_fetch_sub(&fixture.store.interval, 1);
	CU_ASSERT_EQUAL(pages(), before);
	CU_ASSERT_EQUAL(registered(), 2);
}

static void a_drop_that_cannot_be_logged_leaves_the_tree(void)
{
	struct named_tree *tree;

	CU_ASSERT_EQUAL_FATAL(create("paths", &tree), BWT_OK);
	put_into(tree, 10);
	atomic_store(&fixture.store.failure, BWT_IO);
	CU_ASSERT_EQUAL(drop(tree), BWT_READ_ONLY);
	atomic_store(&fixture.store.failure, BWT_OK);
	CU_ASSERT_EQUAL(catalogued("paths"), TREE_ID_FIRST);
	CU_ASSERT_EQUAL(tree->state, CATALOG_LIVE);
	CU_ASSERT_EQUAL(tree_keys(&tree->tree), 10);
	CU_ASSERT_EQUAL(drop(tree), BWT_OK);
}

static void a_drop_cut_off_half_way_is_finished_by_the_next_opening(void)
{
	uint64_t before = pages();
	struct named_tree *tree;

	CU_ASSERT_EQUAL_FATAL(create("paths", &tree), BWT_OK);
	put_into(tree, 2000);
	testpoint_set("tree_free_cut", 2, NULL, NULL);
	CU_ASSERT_EQUAL(drop(tree), BWT_OK); /* the name is gone, and that is what was asked */
	CU_ASSERT_EQUAL(catalogued("paths"), 0);
	CU_ASSERT_EQUAL(registered(), 3);
	CU_ASSERT_EQUAL(tree->state, CATALOG_DROPPING);
	CU_ASSERT_TRUE(pages() > before);
	testpoint_set("tree_free_cut", 1, NULL, NULL);
	CU_ASSERT_EQUAL(finish_drops(), BWT_IO);
	testpoint_reset();
	CU_ASSERT_EQUAL(registered(), 3);
	CU_ASSERT_EQUAL(finish_drops(), BWT_OK);
	CU_ASSERT_EQUAL(registered(), 2);
	CU_ASSERT_EQUAL(pages(), before);
	CU_ASSERT_EQUAL(finish_drops(), BWT_OK); /* nothing is left to do */
}

static void live_trees_survive_the_finishing_of_others(void)
{
	struct named_tree *kept, *gone;

	CU_ASSERT_EQUAL_FATAL(create("kept", &kept), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(create("gone", &gone), BWT_OK);
	put_into(kept, 100);
	put_into(gone, 100);
	gone->state = CATALOG_DROPPING; /* as an image says it */
	CU_ASSERT_EQUAL(finish_drops(), BWT_OK);
	CU_ASSERT_EQUAL(registered(), 3);
	CU_ASSERT_EQUAL(tree_keys(&store_tree(&fixture.store, TREE_ID_FIRST)->tree), 100);
}

/* ---- replay ---- */

static void a_replayed_creation_takes_the_id_and_lsn_of_its_record(void)
{
	uint64_t tail = fixture_snapshot(&fixture);
	struct named_tree *tree, *next;

	CU_ASSERT_EQUAL(catalog_create(&fixture.store, "old", 40, 64, &tree), BWT_OK);
	CU_ASSERT_EQUAL(tree->tree.id, 40);
	CU_ASSERT_EQUAL(catalogued("old"), 40);
	CU_ASSERT_EQUAL(fixture_snapshot(&fixture), tail); /* nothing is logged again */
	CU_ASSERT_EQUAL(create("new", &next), BWT_OK);
	CU_ASSERT_EQUAL(next->tree.id, 41);
	CU_ASSERT_EQUAL(catalog_drop(&fixture.store, tree, 96), BWT_OK);
	CU_ASSERT_EQUAL(catalogued("old"), 0);
	CU_ASSERT_EQUAL(registered(), 3);
}

static void a_replayed_creation_names_a_tree_that_an_image_had_already(void)
{
	struct named_tree *tree, *again;
	uint64_t before;

	CU_ASSERT_EQUAL_FATAL(create("x", &tree), BWT_OK);
	tree->name[0] = '\0';
	before = pages();
	CU_ASSERT_EQUAL(catalog_create(&fixture.store, "named", TREE_ID_FIRST,
	                               fixture_snapshot(&fixture) + 64, &again),
	                BWT_OK);
	CU_ASSERT_PTR_EQUAL(again, tree);
	CU_ASSERT_STRING_EQUAL(tree->name, "named");
	CU_ASSERT_EQUAL(pages(), before);
}

/* ---- stopped between the two steps ---- */

static void create_it(void *arg)
{
	CU_ASSERT_EQUAL(create("paths", arg), BWT_OK);
}

static void others_read_and_write_while_a_tree_is_being_created(void)
{
	static const char *const points[] = {"catalog_made", "commit_publish", "catalog_named"};

	for (unsigned i = 0; i < 3; i++) {
		struct named_tree *tree = NULL;
		struct actor creator;

		actor_start(&creator, points[i], create_it, &tree);
		CU_ASSERT_TRUE_FATAL(actor_await(&creator));
		CU_ASSERT_EQUAL(catalogued("paths") != 0, i == 2);
		fixture_put(&fixture, "key", "value");
		CU_ASSERT_TRUE(fixture_get(&fixture, "key", READ_NEWEST, "value"));
		actor_finish(&creator);
		CU_ASSERT_PTR_NOT_NULL_FATAL(tree);
		if (tree == NULL) /* what _FATAL does is unknown to the analyser */
			break;
		CU_ASSERT_EQUAL(catalogued("paths"), tree->tree.id);
		CU_ASSERT_EQUAL(drop(tree), BWT_OK);
		testpoint_reset();
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_created_tree_is_named_registered_and_logged),
		TEST(a_dropped_tree_gives_name_and_pages_back),
		TEST(tree_ids_are_not_used_again),
		TEST(the_longest_name_fits),
		TEST(catalogue_entries_are_inline_whatever_goes_to_the_value_log),
		TEST(a_tree_whose_name_cannot_be_written_is_not_there),
		TEST(a_tree_without_memory_for_its_root_is_not_there),
		TEST(a_drop_that_cannot_be_logged_leaves_the_tree),
		TEST(a_drop_cut_off_half_way_is_finished_by_the_next_opening),
		TEST(live_trees_survive_the_finishing_of_others),
		TEST(a_replayed_creation_takes_the_id_and_lsn_of_its_record),
		TEST(a_replayed_creation_names_a_tree_that_an_image_had_already),
		TEST(others_read_and_write_while_a_tree_is_being_created),
		CU_TEST_INFO_NULL,
	};

	return suite_run("catalog", set_up, tear_down, tests);
}
