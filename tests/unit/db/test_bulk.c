/* SPDX-License-Identifier: MIT */
/* test_bulk.c - a tree loaded from sorted pairs: all of it or nothing, whatever happens on the way */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "recovery/checkpoint.h"
#include "tests/unit/db/db_fixture.h"

#define MANY 20000u

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

static struct bwt_bulk *open_load(const char *name)
{
	struct bwt_bulk *bulk = NULL;

	CU_ASSERT_EQUAL_FATAL(bwt_bulk_open(fixture.db, name, 0, &bulk), BWT_OK);
	return bulk;
}

struct pair {
	char key[16];
	char value[4000];
	size_t value_size;
};

/* Pair @number; every 50th value is one for the value log. */
static void make_pair(unsigned number, struct pair *pair)
{
	snprintf(pair->key, sizeof pair->key, "%08u", number);
	pair->value_size = number % 50 == 7 ? 3000 : number % 90;
	memset(pair->value, (int)('a' + number % 26), sizeof pair->value);
	memcpy(pair->value, pair->key, pair->value_size < 8 ? pair->value_size : 8);
}

static int put_pair(struct bwt_bulk *bulk, unsigned number)
{
	struct pair pair;

	make_pair(number, &pair);
	return bwt_bulk_put(bulk, text_slice(pair.key),
	                    (struct bwt_slice){pair.value, pair.value_size});
}

static void put_pairs(struct bwt_bulk *bulk, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		CU_ASSERT_EQUAL_FATAL(put_pair(bulk, i), BWT_OK);
}

static struct bwt_tree *tree_of(const char *name)
{
	struct bwt_tree *tree = NULL;

	return bwt_tree_open(fixture.db, name, 0, &tree) == BWT_OK ? tree : NULL;
}

static uint64_t count_of(struct bwt_tree *tree)
{
	uint64_t count = UINT64_MAX;

	CU_ASSERT_EQUAL(bwt_count(tree, &count), BWT_OK);
	return count;
}

/* Pairs [0, @to) and nothing else, found one by one and by a walk. */
static bool holds(struct bwt_tree *tree, unsigned to)
{
	struct bwt_cursor *cursor;
	struct bwt_buf value = {0};
	struct bwt_slice key;
	struct pair pair;
	unsigned good = 0;

	if (tree == NULL || count_of(tree) != to)
		return false;
	for (unsigned i = 0; i < to; i++) {
		make_pair(i, &pair);
		good += bwt_get(tree, NULL, text_slice(pair.key), &value) == BWT_OK &&
		        value.size == pair.value_size &&
		        (value.size == 0 || memcmp(value.data, pair.value, value.size) == 0);
	}
	bwt_buf_free(&value);
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(tree, NULL, &cursor), BWT_OK);
	for (unsigned i = 0; bwt_cursor_next(cursor) == BWT_OK; i++) {
		make_pair(i, &pair);
		good += bwt_cursor_key(cursor, &key) == BWT_OK && key.size == 8 &&
		        memcmp(key.data, pair.key, 8) == 0;
	}
	bwt_cursor_close(cursor);
	return good == 2 * to;
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity != BWT_NOTE)
		printf("  %s: %s\n", finding->file, finding->text);
}

/* Closed, checked and opened again. */
static bool sound(void)
{
	int rc;

	fixture_close(&fixture);
	rc = bwt_verify(fixture.path, 0, print_finding, NULL);
	fixture_open(&fixture);
	return rc == BWT_OK;
}

/* The files as a crash leaves them now are kept aside ... */
static char aside[TMPSTORE_PATH_MAX];

static void save(void)
{
	tmpstore_new(aside);
	tmpstore_copy(fixture.path, aside);
}

/* ... and opened in the place of what the store has become. */
static void put_back(void)
{
	fixture_close(&fixture);
	tmpstore_clear(fixture.path);
	tmpstore_copy(aside, fixture.path);
}

static void go_back(void)
{
	put_back();
	fixture_open(&fixture);
	tmpstore_free(aside);
}

/* The superblock in @slot becomes zeroes. */
static void damage_super(unsigned slot)
{
	static const uint8_t zeroes[64];
	char path[TMPSTORE_PATH_MAX];
	FILE *arena;

	tmpstore_join(path, fixture.path, "arena");
	arena = fopen(path, "r+");
	CU_ASSERT_PTR_NOT_NULL_FATAL(arena);
	CU_ASSERT_EQUAL(fseek(arena, slot * 32768L, SEEK_SET), 0);
	CU_ASSERT_EQUAL(fwrite(zeroes, sizeof zeroes, 1, arena), 1);
	fclose(arena);
}

/* ---- the use ---- */

static void a_tree_is_loaded_and_can_be_changed(void)
{
	struct bwt_bulk *bulk = open_load("t");
	struct bwt_tree *tree = NULL;

	put_pairs(bulk, 0, MANY);
	CU_ASSERT_PTR_NULL(tree_of("t"));
	CU_ASSERT_EQUAL_FATAL(bwt_bulk_finish(bulk, &tree), BWT_OK);
	CU_ASSERT_PTR_EQUAL(tree_of("t"), tree);
	CU_ASSERT_TRUE(holds(tree, MANY));
	CU_ASSERT_TRUE(sound());
	tree = tree_of("t");
	CU_ASSERT_TRUE(holds(tree, MANY));
	for (unsigned i = MANY / 2; i < MANY; i++) {
		struct pair pair;

		make_pair(i, &pair);
		CU_ASSERT_EQUAL(bwt_delete(tree, NULL, text_slice(pair.key)), BWT_OK);
	}
	CU_ASSERT_TRUE(holds(tree, MANY / 2));
	CU_ASSERT_TRUE(sound());
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	CU_ASSERT_TRUE(sound());
	CU_ASSERT_EQUAL(fixture_stats(&fixture).vlog_live_bytes, 0);
}

static void an_empty_load_is_an_empty_tree(void)
{
	struct bwt_bulk *bulk = open_load("t");

	CU_ASSERT_EQUAL_FATAL(bwt_bulk_finish(bulk, NULL), BWT_OK);
	CU_ASSERT_TRUE(holds(tree_of("t"), 0));
	CU_ASSERT_TRUE(sound());
}

static void keys_and_values_of_any_size(void)
{
	static char key[BWT_KEY_MAX], value[100000];
	struct bwt_bulk *bulk = open_load("t");
	struct bwt_buf got = {0};
	struct bwt_tree *tree;

	CU_ASSERT_EQUAL(bwt_bulk_put(bulk, (struct bwt_slice){NULL, 0}, (struct bwt_slice){NULL, 0}),
	                BWT_OK);
	for (unsigned i = 1; i < 40; i++) {
		memset(key, (int)i, sizeof key);
		CU_ASSERT_EQUAL(bwt_bulk_put(bulk, (struct bwt_slice){key, 1}, text_slice("")),
		                BWT_OK);
		CU_ASSERT_EQUAL(bwt_bulk_put(bulk, (struct bwt_slice){key, sizeof key},
		                             (struct bwt_slice){value, i * 2500u}),
		                BWT_OK);
	}
	CU_ASSERT_EQUAL_FATAL(bwt_bulk_finish(bulk, &tree), BWT_OK);
	CU_ASSERT_EQUAL(count_of(tree), 79);
	memset(key, 9, sizeof key);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, (struct bwt_slice){key, sizeof key}, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.size, 9 * 2500);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, (struct bwt_slice){NULL, 0}, &got), BWT_OK);
	bwt_buf_free(&got);
	CU_ASSERT_TRUE(sound());
}

static void what_does_not_ascend_is_refused_and_the_load_goes_on(void)
{
	struct bwt_bulk *bulk = open_load("t");

	put_pairs(bulk, 0, 5);
	CU_ASSERT_EQUAL(put_pair(bulk, 4), BWT_INVALID);
	CU_ASSERT_EQUAL(put_pair(bulk, 1), BWT_INVALID);
	put_pairs(bulk, 5, 3000);
	CU_ASSERT_EQUAL(put_pair(bulk, 100), BWT_INVALID);
	CU_ASSERT_EQUAL_FATAL(bwt_bulk_finish(bulk, NULL), BWT_OK);
	CU_ASSERT_TRUE(holds(tree_of("t"), 3000));
}

static void others_work_beside_a_load(void)
{
	struct bwt_bulk *first = open_load("a"), *second = open_load("b");
	struct bwt_tree *tree;

	for (unsigned i = 0; i < 3000; i++) {
		put_pairs(first, i, i + 1);
		put_pairs(second, i, i + 1);
		fixture_fill(&fixture, i, i + 1);
		if (i % 700 == 0)
			CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	}
	CU_ASSERT_EQUAL(bwt_bulk_finish(second, &tree), BWT_OK);
	CU_ASSERT_TRUE(holds(tree, 3000));
	CU_ASSERT_EQUAL(bwt_bulk_finish(first, &tree), BWT_OK);
	CU_ASSERT_TRUE(holds(tree, 3000));
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 3000));
	CU_ASSERT_TRUE(sound());
}

static void an_aborted_load_leaves_nothing(void)
{
	struct bwt_bulk *bulk = open_load("t");

	put_pairs(bulk, 0, MANY);
	bwt_bulk_abort(bulk);
	bwt_bulk_abort(NULL);
	CU_ASSERT_PTR_NULL(tree_of("t"));
	CU_ASSERT_TRUE(sound());
	CU_ASSERT_EQUAL(fixture_stats(&fixture).vlog_live_bytes, 0);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).page_count, 2);
	bulk = open_load("t"); /* the name is free */
	put_pairs(bulk, 0, 10);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, NULL), BWT_OK);
	CU_ASSERT_TRUE(holds(tree_of("t"), 10));
}

/* ---- refusals ---- */

static void arguments_are_checked(void)
{
	struct bwt_bulk *bulk = NULL;
	struct bwt_tree *tree;
	char name[300];

	memset(name, 'n', sizeof name);
	name[256] = '\0';
	CU_ASSERT_EQUAL(bwt_bulk_open(NULL, "t", 0, &bulk), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, NULL, 0, &bulk), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, "", 0, &bulk), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, name, 0, &bulk), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, "t", 1, &bulk), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, "t", 0, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "there", BWT_CREATE, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, "there", 0, &bulk), BWT_EXISTS);
	CU_ASSERT_PTR_NULL(bulk);
	CU_ASSERT_EQUAL(bwt_bulk_put(NULL, text_slice("k"), text_slice("v")), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_finish(NULL, &tree), BWT_INVALID);
	bulk = open_load("t");
	CU_ASSERT_EQUAL(bwt_bulk_put(bulk, (struct bwt_slice){NULL, 1}, text_slice("v")),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_bulk_put(bulk, (struct bwt_slice){name, BWT_KEY_MAX + 1}, text_slice("v")),
	                BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_bulk_put(bulk, text_slice("k"),
	                             (struct bwt_slice){name, (size_t)BWT_VALUE_MAX + 1}),
	                BWT_TOO_BIG);
	bwt_bulk_abort(bulk);
}

static void an_open_load_keeps_the_store_open(void)
{
	struct bwt_bulk *bulk = open_load("t");

	CU_ASSERT_EQUAL(bwt_close(fixture.db), BWT_BUSY);
	put_pairs(bulk, 0, 10);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, NULL), BWT_OK);
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(holds(tree_of("t"), 10));
}

static void a_name_that_was_taken_meanwhile_is_refused(void)
{
	struct bwt_bulk *bulk = open_load("t");
	struct bwt_tree *tree;

	put_pairs(bulk, 0, 100);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "t", BWT_CREATE, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, &tree), BWT_EXISTS);
	put_pairs(bulk, 100, 200); /* it is still open */
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "t"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, &tree), BWT_OK);
	CU_ASSERT_TRUE(holds(tree, 200));
	CU_ASSERT_TRUE(sound());
}

static void a_store_that_is_read_only_loads_nothing(void)
{
	struct bwt_bulk *bulk;

	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_bulk_open(fixture.db, "t", 0, &bulk), BWT_READ_ONLY);
}

static void a_full_store_refuses_and_the_load_can_be_aborted(void)
{
	struct bwt_bulk *bulk;
	unsigned i = 0;
	int rc = BWT_OK;

	fixture_close(&fixture);
	fixture.options.max_size = (uint64_t)16 << 20;
	fixture_open(&fixture);
	bulk = open_load("t");
	for (; rc == BWT_OK && i < 1000000; i++)
		rc = put_pair(bulk, i);
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	bwt_bulk_abort(bulk);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_TRUE(sound());
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "v"));
}

/* What a dropped tree held is held until two checkpoints were taken: here nobody but the load takes them. */
static void a_load_into_a_full_store_makes_room(void)
{
	const unsigned pairs = 205000;

	fixture_close(&fixture);
	fixture.options.max_size = (uint64_t)32 << 20;
	fixture_open(&fixture);
	service_stop(fixture.db);
	fixture.db->store.extents.tend = NULL; /* it would wait for the service thread */
	for (unsigned round = 0; round < 2; round++) {
		const char *name = round % 2 == 0 ? "even" : "odd";
		struct bwt_bulk *bulk = open_load(name);

		put_pairs(bulk, 0, pairs);
		CU_ASSERT_EQUAL_FATAL(bwt_bulk_finish(bulk, NULL), BWT_OK);
		CU_ASSERT_EQUAL(count_of(tree_of(name)), pairs);
		CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, name), BWT_OK);
	}
	atomic_store(&fixture.db->service_stop, 0);
	CU_ASSERT_EQUAL_FATAL(service_start(fixture.db), BWT_OK);
	CU_ASSERT_TRUE(sound());
}

/* As any change that takes space, so that the file stays what space_target says, and grows ahead. */
static void a_load_looks_after_the_size_of_the_file(void)
{
	struct bwt_bulk *bulk = open_load("t");
	uint64_t first = atomic_load(&fixture.db->space.look_at);

	put_pairs(bulk, 0, 240000);
	CU_ASSERT_TRUE(atomic_load(&fixture.db->space.look_at) > first);
	bwt_bulk_abort(bulk);
}

/* ---- crashes ---- */

static void a_crash_before_the_end_leaves_nothing(void)
{
	struct bwt_bulk *bulk = open_load("t");
	struct bwt_stats stats;

	put_pairs(bulk, 0, MANY);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK); /* which holds most of it */
	put_pairs(bulk, MANY, MANY + 1000);
	bwt_bulk_abort(bulk);
	bulk = open_load("t");
	put_pairs(bulk, 0, MANY);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	fixture_put(&fixture, "k", "v");
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	save();
	bwt_bulk_abort(bulk);
	go_back();
	CU_ASSERT_PTR_NULL(tree_of("t"));
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "v"));
	stats = fixture_stats(&fixture);
	CU_ASSERT_EQUAL(stats.vlog_live_bytes, 0);
	CU_ASSERT_EQUAL(stats.page_count, 2);
	CU_ASSERT_TRUE(sound());
}

static void after_the_end_the_log_has_the_name(void)
{
	struct bwt_bulk *bulk = open_load("t");
	struct bwt_tree *tree;

	put_pairs(bulk, 0, MANY);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, text_slice("k"), text_slice("v"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(tree, NULL, text_slice("k")), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	save();
	go_back();
	CU_ASSERT_TRUE(holds(tree_of("t"), MANY));
	CU_ASSERT_TRUE(sound());
}

/* Either superblock is damaged: the image of the other one holds the tree too (I11). */
static bool survives_damage(void)
{
	struct bwt_bulk *bulk = open_load("t");
	bool good = true;

	put_pairs(bulk, 0, 2000);
	CU_ASSERT_EQUAL_FATAL(bwt_bulk_finish(bulk, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	save();
	for (unsigned slot = 0; slot < 2; slot++) {
		put_back();
		damage_super(slot);
		if (bwt_open(fixture.path, &fixture.options, &fixture.db) != BWT_OK) {
			fixture.db = NULL;
			good = false;
			break;
		}
		good = holds(tree_of("t"), 2000) && good;
	}
	tmpstore_free(aside);
	return good;
}

static void either_image_will_do(void)
{
	CU_ASSERT_TRUE(survives_damage());
}

static void a_name_without_its_images_is_noticed(void)
{
	testpoint_set("bulk_no_checkpoint", 0, NULL, NULL);
	CU_ASSERT_FALSE(survives_damage());
}

/* ---- a backup ---- */

static void a_backup_that_is_being_made_is_waited_for_by_the_caller(void)
{
	struct bwt_bulk *bulk = open_load("t");
	struct checkpoint_pin pin = {0};
	struct bwt_tree *tree;

	put_pairs(bulk, 0, 100);
	pthread_mutex_lock(&fixture.db->checkpoint_lock);
	CU_ASSERT_EQUAL_FATAL(checkpoint_pin(&fixture.db->store, fixture.db->checkpointer, &pin),
	                      BWT_OK);
	pthread_mutex_unlock(&fixture.db->checkpoint_lock);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, &tree), BWT_BUSY);
	pthread_mutex_lock(&fixture.db->checkpoint_lock);
	checkpoint_unpin(fixture.db->checkpointer, &pin);
	pthread_mutex_unlock(&fixture.db->checkpoint_lock);
	CU_ASSERT_EQUAL(bwt_bulk_finish(bulk, &tree), BWT_OK);
	CU_ASSERT_TRUE(holds(tree, 100));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_tree_is_loaded_and_can_be_changed),
		TEST(an_empty_load_is_an_empty_tree),
		TEST(keys_and_values_of_any_size),
		TEST(what_does_not_ascend_is_refused_and_the_load_goes_on),
		TEST(others_work_beside_a_load),
		TEST(an_aborted_load_leaves_nothing),
		TEST(arguments_are_checked),
		TEST(an_open_load_keeps_the_store_open),
		TEST(a_name_that_was_taken_meanwhile_is_refused),
		TEST(a_store_that_is_read_only_loads_nothing),
		TEST(a_full_store_refuses_and_the_load_can_be_aborted),
		TEST(a_load_into_a_full_store_makes_room),
		TEST(a_load_looks_after_the_size_of_the_file),
		TEST(a_crash_before_the_end_leaves_nothing),
		TEST(after_the_end_the_log_has_the_name),
		TEST(either_image_will_do),
		TEST(a_name_without_its_images_is_noticed),
		TEST(a_backup_that_is_being_made_is_waited_for_by_the_caller),
		CU_TEST_INFO_NULL,
	};
	return suite_run("bulk", set_up, tear_down, tests);
}
