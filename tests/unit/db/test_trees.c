/* SPDX-License-Identifier: MIT */
/* test_trees.c - named trees as handles; creating and dropping cut off at every step */
#include <stdio.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/unit/db/db_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_open(&fixture);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static struct bwt_tree *tree_of(const char *name, unsigned flags)
{
	struct bwt_tree *tree = NULL;

	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, name, flags, &tree), BWT_OK);
	return tree;
}

static int collect_names(void *ctx, const char *name)
{
	strcat(strcat(ctx, name), " ");
	return 0;
}

static bool names_are(const char *expected)
{
	char names[200] = "";

	CU_ASSERT_EQUAL(bwt_tree_list(fixture.db, collect_names, names), BWT_OK);
	if (strcmp(names, expected) != 0)
		printf("  names: %s\n", names);
	return strcmp(names, expected) == 0;
}

static uint64_t count_of(struct bwt_tree *tree)
{
	uint64_t count = UINT64_MAX;

	CU_ASSERT_EQUAL(bwt_count(tree, &count), BWT_OK);
	return count;
}

static void a_tree_is_created_and_found_again(void)
{
	struct bwt_tree *tree;

	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", 0, &tree), BWT_NOT_FOUND);
	tree = tree_of("t", BWT_CREATE);
	CU_ASSERT_PTR_EQUAL(tree_of("t", BWT_CREATE), tree); /* the same handle */
	CU_ASSERT_PTR_EQUAL(tree_of("t", 0), tree);
	CU_ASSERT_PTR_EQUAL(tree_of(NULL, 0), fixture.tree);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_CREATE | BWT_EXCL, &tree), BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("k"), text_slice("v"), 0), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", NULL)); /* not in the main tree */
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(count_of(tree_of("t", 0)), 1);
}

static void names_are_listed_in_order_without_the_main_tree(void)
{
	tree_of("b", BWT_CREATE);
	tree_of("a", BWT_CREATE);
	tree_of("c", BWT_CREATE);
	CU_ASSERT_TRUE(names_are("a b c "));
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "b"), BWT_OK);
	CU_ASSERT_TRUE(names_are("a c "));
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(names_are("a c "));
	CU_ASSERT_EQUAL(fixture_stats(&fixture).tree_count, 2);
}

static int drop_each(void *ctx, const char *name)
{
	return bwt_tree_drop(ctx, name);
}

static int stop_at_b(void *ctx, const char *name)
{
	*(unsigned *)ctx += 1;
	return strcmp(name, "b") == 0 ? 7 : 0;
}

static void the_list_may_be_changed_by_who_gets_it(void)
{
	unsigned calls = 0;

	tree_of("a", BWT_CREATE);
	tree_of("b", BWT_CREATE);
	tree_of("c", BWT_CREATE);
	CU_ASSERT_EQUAL(bwt_tree_list(fixture.db, stop_at_b, &calls), 7);
	CU_ASSERT_EQUAL(calls, 2);
	CU_ASSERT_EQUAL(bwt_tree_list(fixture.db, drop_each, fixture.db), BWT_OK);
	CU_ASSERT_TRUE(names_are(""));
}

static void names_have_1_to_255_bytes(void)
{
	char name[BWT_TREE_NAME_MAX + 2];
	struct bwt_tree *tree;

	memset(name, 'n', sizeof name);
	name[BWT_TREE_NAME_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, name, BWT_CREATE, &tree), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, name), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "", BWT_CREATE, &tree), BWT_INVALID);
	name[BWT_TREE_NAME_MAX] = '\0';
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, name, BWT_CREATE, &tree), BWT_OK);
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, name), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, NULL), BWT_INVALID);
}

static void a_tree_in_use_is_not_dropped(void)
{
	struct bwt_tree *tree = tree_of("t", BWT_CREATE);
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(tree, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_BUSY);
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_NOT_FOUND);
}

static void a_dropped_trees_name_is_free_for_a_new_one(void)
{
	for (unsigned round = 0; round < 4; round++) {
		struct bwt_tree *tree = tree_of("t", BWT_CREATE | BWT_EXCL);

		CU_ASSERT_EQUAL(count_of(tree), 0);
		CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("k"), text_slice("v"), 0), BWT_OK);
		CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	}
}

static void a_dropped_trees_space_is_used_again(void)
{
	uint64_t pages = 0;

	for (unsigned round = 0; round < 12; round++) {
		struct bwt_tree *main_tree = fixture.tree;

		fixture.tree = tree_of("t", BWT_CREATE);
		fixture_fill(&fixture, 0, 3000);
		fixture.tree = main_tree;
		CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
		if (round == 0)
			pages = fixture_stats(&fixture).page_count;
	}
	CU_ASSERT_EQUAL(fixture_stats(&fixture).page_count, pages);
	CU_ASSERT_TRUE(fixture_stats(&fixture).arena_bytes < (uint64_t)24 << 20);
}

static void a_read_only_store_creates_and_drops_nothing(void)
{
	struct bwt_tree *tree;

	tree_of("t", BWT_CREATE);
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", 0, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "new", BWT_CREATE, &tree), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_READ_ONLY);
	CU_ASSERT_TRUE(names_are("t "));
}

/* ---- cut off ---- */

/* What the files say now, as after a crash: the names, and whether all is sound. */
static bool crash_leaves(const char *names)
{
	struct fixture copy;
	bool same;

	CU_ASSERT_EQUAL(wal_flush(fixture.db->store.wal, true), BWT_OK);
	fixture_new(&copy);
	tmpstore_copy(fixture.path, copy.path);
	copy.options.flags = BWT_VERIFY | BWT_NO_URING;
	fixture_open(&copy);
	{
		struct bwt_db *db = fixture.db;

		fixture.db = copy.db;
		same = names_are(names);
		fixture.db = db;
	}
	fixture_close(&copy);
	same = same && bwt_verify(copy.path, 0, NULL, NULL) == BWT_OK;
	fixture_free(&copy);
	return same;
}

static void create_it(void *arg)
{
	struct bwt_tree *tree;

	(void)arg;
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "new", BWT_CREATE, &tree), BWT_OK);
}

static void a_creation_cut_off_before_its_commit_leaves_no_tree(void)
{
	struct actor creator;

	tree_of("old", BWT_CREATE);
	actor_start(&creator, "catalog_made", create_it, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&creator));
	fixture_fill(&fixture, 0, 100);
	CU_ASSERT_TRUE(crash_leaves("old "));
	actor_finish(&creator);
	CU_ASSERT_TRUE(names_are("new old "));
	CU_ASSERT_TRUE(crash_leaves("new old "));
}

static void a_creation_cut_off_after_its_commit_is_one(void)
{
	struct actor creator;

	actor_start(&creator, "catalog_named", create_it, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&creator));
	CU_ASSERT_TRUE(crash_leaves("new "));
	actor_finish(&creator);
}

static void drop_it(void *arg)
{
	*(int *)arg = bwt_tree_drop(fixture.db, "t");
}

static void a_drop_cut_off_before_its_pages_are_freed_is_one(void)
{
	struct bwt_tree *main_tree = fixture.tree;
	struct actor dropper;
	int rc = 1;

	fixture.tree = tree_of("t", BWT_CREATE);
	fixture_fill(&fixture, 0, 3000);
	fixture.tree = main_tree;
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	actor_start(&dropper, "catalog_unnamed", drop_it, &rc);
	CU_ASSERT_TRUE_FATAL(actor_await(&dropper));
	CU_ASSERT_TRUE(crash_leaves(""));
	actor_finish(&dropper);
	CU_ASSERT_EQUAL(rc, BWT_OK);
	CU_ASSERT_TRUE(crash_leaves(""));
}

static void a_drop_cut_off_in_the_middle_is_finished_by_the_next_opening(void)
{
	struct bwt_tree *tree = tree_of("t", BWT_CREATE);
	char key[400];

	memset(key, 'k', sizeof key); /* long separators make many inner pages */
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key + sizeof key - 9, 9, "%08u", i);
		CU_ASSERT_EQUAL_FATAL(bwt_put(tree, NULL, text_slice(key), text_slice("v"), 0),
		                      BWT_OK);
	}
	testpoint_set("tree_free_cut", 2, NULL, NULL);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	CU_ASSERT_TRUE(testpoint_hits("tree_free_cut") >= 2);
	testpoint_reset();
	CU_ASSERT_TRUE(names_are(""));
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK); /* an image of the half-dropped tree */
	CU_ASSERT_TRUE(fixture_stats(&fixture).page_count > 10);
	CU_ASSERT_TRUE(crash_leaves(""));
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(fixture_stats(&fixture).page_count < 10);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_tree_is_created_and_found_again),
		TEST(names_are_listed_in_order_without_the_main_tree),
		TEST(the_list_may_be_changed_by_who_gets_it),
		TEST(names_have_1_to_255_bytes),
		TEST(a_tree_in_use_is_not_dropped),
		TEST(a_dropped_trees_name_is_free_for_a_new_one),
		TEST(a_dropped_trees_space_is_used_again),
		TEST(a_read_only_store_creates_and_drops_nothing),
		TEST(a_creation_cut_off_before_its_commit_leaves_no_tree),
		TEST(a_creation_cut_off_after_its_commit_is_one),
		TEST(a_drop_cut_off_before_its_pages_are_freed_is_one),
		TEST(a_drop_cut_off_in_the_middle_is_finished_by_the_next_opening),
		CU_TEST_INFO_NULL,
	};

	return suite_run("trees", set_up, tear_down, tests);
}
