/* SPDX-License-Identifier: MIT */
/*
 * protocol_library.c - dangerous interleavings of the models, played step by step on the library
 *
 * A test point stops one thread between two of its atomic steps; another thread runs a whole operation
 * there; then the first goes on. So each test is one fixed schedule.
 *
 *   prepend_swap    the delta is built, the swap of the mapping word comes next
 *   commit_publish  the delta is PENDING and an LSN is reserved
 *   commit_fill     the version is committed, its log record is not filled
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "bwt.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define VALUE_SIZE 60
#define FILL_KEYS 300u /* of VALUE_SIZE bytes: more than one leaf holds */

static char path[TMPSTORE_PATH_MAX];
static struct bwt_db *db;
static struct bwt_tree *tree;

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	abort();
}

static void open_store(int durability)
{
	const struct bwt_options options = {.flags = BWT_CREATE,
	                                    .durability = durability,
	                                    .max_size = UINT64_C(1) << 30,
	                                    .checkpoint_interval_ms = (unsigned)BWT_OFF};

	need("open", bwt_open(path, &options, &db));
	need("main tree", bwt_tree_open(db, NULL, 0, &tree));
}

static void set_up(void)
{
	tmpstore_new(path);
	open_store(BWT_NONE);
}

static void tear_down(void)
{
	testpoint_reset();
	need("close", bwt_close(db));
	tmpstore_free(path);
}

static struct bwt_slice text(const char *bytes)
{
	return (struct bwt_slice){bytes, strlen(bytes)};
}

static int put(const char *key, const char *value, unsigned flags)
{
	return bwt_put(tree, NULL, text(key), text(value), flags);
}

/* Is @value what @txn sees of @key? NULL: nothing. */
static bool sees(struct bwt_txn *txn, const char *key, const char *value)
{
	struct bwt_buf buf = {NULL, 0, 0};
	const int rc = bwt_get(tree, txn, text(key), &buf);
	bool same = value == NULL ? rc == BWT_NOT_FOUND
	                          : rc == BWT_OK && buf.size == strlen(value) &&
	                                    memcmp(buf.data, value, buf.size) == 0;

	bwt_buf_free(&buf);
	return same;
}

static void *aside_thread(void *work)
{
	(*(void (**)(void))work)();
	return NULL;
}

/* The test point's action: another thread does all of @ctx's work while this one stands still. */
static bool aside(void *ctx, const char *name, uint64_t hit)
{
	pthread_t thread;

	(void)name;
	(void)hit;
	if (pthread_create(&thread, NULL, aside_thread, ctx) != 0)
		abort();
	pthread_join(thread, NULL);
	return false;
}

static void at(const char *point, void (**work)(void))
{
	testpoint_set(point, 1, aside, (void *)work);
}

static struct bwt_stats stats_now(void)
{
	struct bwt_stats stats;

	need("stat", bwt_stat(db, &stats));
	return stats;
}

/* ---- the root leaf splits under a writer that is about to prepend ---- */

static void fill(void)
{
	char key[16], value[VALUE_SIZE + 1];

	memset(value, 'v', VALUE_SIZE);
	value[VALUE_SIZE] = '\0';
	for (unsigned i = 0; i < FILL_KEYS; i++) {
		snprintf(key, sizeof key, "key%05u", i);
		need("put", put(key, value, 0));
	}
}

static void a_writer_whose_root_leaf_splits_finds_its_leaf_anew(void)
{
	static void (*work)(void) = fill;
	char key[16];
	uint64_t count;

	at("prepend_swap", &work);
	CU_ASSERT_EQUAL(put("key00100x", "mine", 0), BWT_OK);
	CU_ASSERT(stats_now().tree_depth > 1);
	CU_ASSERT_TRUE(sees(NULL, "key00100x", "mine"));
	for (unsigned i = 0; i < FILL_KEYS; i++) {
		snprintf(key, sizeof key, "key%05u", i);
		CU_ASSERT_EQUAL(bwt_get(tree, NULL, text(key), NULL), BWT_OK);
	}
	CU_ASSERT_EQUAL(bwt_count(tree, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, FILL_KEYS + 1);
}

/* ---- a snapshot meets a version whose writer has reserved below it ---- */

static struct bwt_txn *snapshot;

static void snapshot_and_look(void)
{
	need("begin", bwt_begin(db, BWT_RDONLY | BWT_NEWEST, &snapshot));
	CU_ASSERT_TRUE(sees(snapshot, "key", "old"));
}

static void a_pushed_writer_commits_above_the_snapshot(void)
{
	static void (*work)(void) = snapshot_and_look;
	struct bwt_txn *later;

	need("put", put("key", "old", 0));
	at("commit_publish", &work);
	CU_ASSERT_EQUAL(put("key", "new", 0), BWT_OK);
	CU_ASSERT_EQUAL(stats_now().pushes, 1);
	CU_ASSERT_TRUE(sees(snapshot, "key", "old"));
	CU_ASSERT_TRUE(sees(NULL, "key", "new"));
	need("begin", bwt_begin(db, BWT_RDONLY | BWT_NEWEST, &later));
	CU_ASSERT_TRUE(sees(later, "key", "new"));
	bwt_abort(later);
	bwt_abort(snapshot);
}

/* ---- a writer meets the pending version of another ---- */

static void put_other(void)
{
	CU_ASSERT_EQUAL(put("key", "other", 0), BWT_OK);
	CU_ASSERT_TRUE(sees(NULL, "key", "other"));
}

static void an_aborted_put_starts_over_and_is_the_newest(void)
{
	static void (*work)(void) = put_other;
	uint64_t count;

	at("commit_publish", &work);
	CU_ASSERT_EQUAL(put("key", "mine", 0), BWT_OK);
	CU_ASSERT_EQUAL(stats_now().wounds, 1);
	CU_ASSERT_TRUE(sees(NULL, "key", "mine"));
	CU_ASSERT_EQUAL(bwt_count(tree, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, 1);
}

static void an_aborted_insert_finds_what_aborted_it(void)
{
	static void (*work)(void) = put_other;

	at("commit_publish", &work);
	CU_ASSERT_EQUAL(put("key", "mine", BWT_INSERT), BWT_EXISTS);
	CU_ASSERT_TRUE(sees(NULL, "key", "other"));
}

/* Aborts the pending version and then has nothing to delete. */
static void delete_nothing(void)
{
	CU_ASSERT_EQUAL(bwt_delete(tree, NULL, text("key")), BWT_NOT_FOUND);
}

static char crashed[TMPSTORE_PATH_MAX];

static void copy_as_after_a_crash(void)
{
	need("sync", bwt_sync(db));
	tmpstore_copy(path, crashed);
}

static void what_an_aborted_put_reserved_is_not_replayed(void)
{
	static void (*abort_it)(void) = delete_nothing;
	static void (*crash)(void) = copy_as_after_a_crash;

	tmpstore_new(crashed);
	at("commit_publish", &abort_it);
	testpoint_set("prepend_swap", 2, aside, (void *)&crash); /* when it starts over */
	CU_ASSERT_EQUAL(put("key", "mine", 0), BWT_OK);
	CU_ASSERT_TRUE(sees(NULL, "key", "mine"));
	CU_ASSERT_EQUAL(testpoint_hits("prepend_swap"), 2);
	need("close", bwt_close(db));
	tmpstore_copy(crashed, path);
	tmpstore_free(crashed);
	open_store(BWT_NONE);
	CU_ASSERT_TRUE(sees(NULL, "key", NULL));
}

/* ---- a version is committed, its record is not in the log yet ---- */

static void look_before_it_is_filled(void)
{
	const bwt_lsn durable = bwt_durable_lsn(db);

	/* This thread has read nothing yet, so its snapshot need not wait (C7). */
	need("begin", bwt_begin(db, BWT_RDONLY, &snapshot));
	CU_ASSERT_EQUAL(bwt_txn_snapshot(snapshot), durable);
	CU_ASSERT_TRUE(sees(snapshot, "key", NULL));
	CU_ASSERT_TRUE(sees(NULL, "key", "mine"));
}

static void a_sync_snapshot_does_not_see_what_a_crash_could_take_back(void)
{
	static void (*work)(void) = look_before_it_is_filled;

	need("close", bwt_close(db));
	open_store(BWT_SYNC);
	at("commit_fill", &work);
	CU_ASSERT_EQUAL(put("key", "mine", 0), BWT_OK);
	CU_ASSERT_TRUE(sees(snapshot, "key", NULL));
	CU_ASSERT(bwt_durable_lsn(db) > bwt_txn_snapshot(snapshot));
	bwt_abort(snapshot);
	need("begin", bwt_begin(db, BWT_RDONLY, &snapshot));
	CU_ASSERT_TRUE(sees(snapshot, "key", "mine"));
	bwt_abort(snapshot);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_writer_whose_root_leaf_splits_finds_its_leaf_anew),
		TEST(a_pushed_writer_commits_above_the_snapshot),
		TEST(an_aborted_put_starts_over_and_is_the_newest),
		TEST(an_aborted_insert_finds_what_aborted_it),
		TEST(what_an_aborted_put_reserved_is_not_replayed),
		TEST(a_sync_snapshot_does_not_see_what_a_crash_could_take_back),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_library", set_up, tear_down, tests);
}
