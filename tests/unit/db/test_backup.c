/* SPDX-License-Identifier: MIT */
/*
 * test_backup.c - copies of an open store: as of one LSN, whole or said to be unfinished
 *
 * The tests act at the points that backup.c passes: writes, checkpoints and kills come exactly between
 * its steps.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

#define KILL_POINTS 9u
#define CHILD_SKIPPED 77

static struct fixture fixture;
static struct fixture copy; /* its path is that of the copy */

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_new(&copy);
	/* Small, so that a copy takes its own files: neither shares anything with the other. */
	fixture.options.inline_max = 500;
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
	fixture_free(&copy);
}

static void large_value(unsigned seed, uint8_t *room, size_t size)
{
	struct rng rng;

	rng_init(&rng, seed);
	rng_fill(&rng, room, size);
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	printf("    finding %d: %s offset %llu page %llu: %s\n", finding->severity, finding->file,
	       (unsigned long long)finding->offset, (unsigned long long)finding->page, finding->text);
}

/* Every pair of every tree, into one number; and how many there are. */
struct digest {
	struct bwt_db *db;
	uint64_t pairs;
	uint64_t hash;
};

static uint64_t mix(uint64_t hash, struct bwt_slice bytes)
{
	hash = (hash ^ bytes.size) * 0x9e3779b97f4a7c15u;
	for (size_t i = 0; i < bytes.size; i++)
		hash = (hash ^ ((const uint8_t *)bytes.data)[i]) * 0x100000001b3u;
	return hash;
}

static int digest_tree(void *ctx, const char *name)
{
	struct digest *digest = ctx;
	struct bwt_slice key, value;
	struct bwt_cursor *cursor;
	struct bwt_tree *tree;

	if (name != NULL)
		digest->hash = mix(digest->hash, text_slice(name));
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(digest->db, name, 0, &tree), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(tree, NULL, &cursor), BWT_OK);
	while (bwt_cursor_next(cursor) == BWT_OK) {
		CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &key), BWT_OK);
		CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &value), BWT_OK);
		digest->hash = mix(mix(digest->hash, key), value);
		digest->pairs++;
	}
	bwt_cursor_close(cursor);
	return 0;
}

static struct digest digest_of(struct bwt_db *db)
{
	struct digest digest = {.db = db};

	digest_tree(&digest, NULL);
	CU_ASSERT_EQUAL(bwt_tree_list(db, digest_tree, &digest), BWT_OK);
	return digest;
}

static void open_copy(void)
{
	CU_ASSERT_EQUAL_FATAL(bwt_verify(copy.path, 0, print_finding, NULL), BWT_OK);
	copy.options.flags = 0;
	fixture_open(&copy);
}

/* ---- contents ---- */

static void fill_everything(void)
{
	uint8_t value[5000];
	struct bwt_tree *named;
	char name[32];

	fixture_fill(&fixture, 0, 3000);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "large %u", i % 150);
		large_value(i, value, sizeof value);
		CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice(name),
		                        (struct bwt_slice){value, 600 + i * 20}, 0),
		                BWT_OK);
	}
	for (unsigned t = 0; t < 5; t++) {
		snprintf(name, sizeof name, "tree %u", t);
		CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, name, BWT_CREATE, &named), BWT_OK);
		for (unsigned i = 0; i < 100 * t; i++)
			CU_ASSERT_EQUAL(bwt_put(named, NULL, (struct bwt_slice){&i, sizeof i},
			                        text_slice(name), 0),
			                BWT_OK);
	}
}

static void a_copy_has_all_pairs_of_all_trees(void)
{
	struct digest before, after;

	fixture_open(&fixture);
	fill_everything();
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	fill_everything(); /* and something that is in the log alone */
	before = digest_of(fixture.db);
	CU_ASSERT_EQUAL_FATAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	open_copy();
	after = digest_of(copy.db);
	CU_ASSERT_EQUAL(after.pairs, before.pairs);
	CU_ASSERT_EQUAL(after.hash, before.hash);
	CU_ASSERT_EQUAL(before.pairs, 3000 + 150 + 1000);
	/* Both go on, each for itself. */
	fixture_put(&copy, "only", "here");
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "only", NULL));
	fixture_reopen(&copy);
	CU_ASSERT_TRUE(fixture_has(&copy, NULL, "only", "here"));
}

static void an_empty_store_and_one_never_checkpointed_since_are_copied(void)
{
	fixture_open(&fixture);
	CU_ASSERT_EQUAL_FATAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	open_copy();
	CU_ASSERT_EQUAL(digest_of(copy.db).pairs, 0);
	fixture_close(&copy);
	tmpstore_clear(copy.path);
	fixture_reopen(&fixture); /* a run of the log without a record */
	CU_ASSERT_EQUAL_FATAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	open_copy();
	CU_ASSERT_EQUAL(digest_of(copy.db).pairs, 0);
}

/* ---- what goes on meanwhile ---- */

static unsigned turn;

/* Rewrites most of the store and takes checkpoints: only the pin keeps what is being copied. */
static bool churn(void *ctx, const char *name, uint64_t hit)
{
	uint8_t value[2000];

	(void)ctx;
	(void)name;
	if (hit > 12)
		return false;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 1500; i++) {
			char key[16];

			snprintf(key, sizeof key, "%08u", i * 2);
			CU_ASSERT_EQUAL(fixture_put(&fixture, key, "changed"), BWT_OK);
		}
		for (unsigned i = 0; i < 150; i++) {
			char key[16];

			snprintf(key, sizeof key, "large %u", i);
			large_value(++turn, value, sizeof value);
			CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice(key),
			                        (struct bwt_slice){value, sizeof value}, 0),
			                BWT_OK);
		}
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	}
	return false;
}

static struct digest at_end;

static bool note_digest(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	at_end = digest_of(fixture.db);
	return false;
}

static void a_copy_is_as_of_its_end_though_all_is_rewritten_and_checkpointed_meanwhile(void)
{
	struct digest after;

	fixture.options.vlog_segment_size = 64 << 10;
	fixture_open(&fixture);
	fill_everything();
	testpoint_set("backup_extent", 0, churn, NULL);
	testpoint_set("backup_end", 1, note_digest, NULL);
	testpoint_set("backup_value_file", 0, churn, NULL);
	CU_ASSERT_EQUAL_FATAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	CU_ASSERT_TRUE(testpoint_hits("backup_extent") > 2);
	CU_ASSERT_TRUE(testpoint_hits("backup_value_file") > 2);
	testpoint_reset();
	open_copy();
	after = digest_of(copy.db);
	CU_ASSERT_EQUAL(after.pairs, at_end.pairs);
	CU_ASSERT_EQUAL(after.hash, at_end.hash);
	CU_ASSERT_NOT_EQUAL(after.hash, digest_of(fixture.db).hash);
	/* What was pinned is given back. */
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, print_finding, NULL), BWT_OK);
}

static void without_the_pin_a_copy_would_be_damaged(void)
{
	fixture.options.vlog_segment_size = 64 << 10;
	fixture_open(&fixture);
	fill_everything();
	testpoint_set("backup_extent", 0, churn, NULL);
	testpoint_set("backup_value_file", 0, churn, NULL);
	testpoint_set("checkpoint_forget_pin", 0, NULL, NULL);
	CU_ASSERT_NOT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_OK);
}

static _Atomic(uint32_t) stop;

/* "leader" counts up; each "follower" copies what it reads there: never ahead of it. */
static void *write_leader(void *ctx)
{
	(void)ctx;
	for (uint64_t i = 1; atomic_load_explicit(&stop, memory_order_relaxed) == 0; i++)
		CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice("leader"),
		                        (struct bwt_slice){&i, sizeof i}, 0),
		                BWT_OK);
	return NULL;
}

static uint64_t number_under(struct fixture *of, const char *key)
{
	struct bwt_buf buf = {NULL, 0, 0};
	uint64_t number = 0;

	if (bwt_get(of->tree, NULL, text_slice(key), &buf) == BWT_OK && buf.size == sizeof number)
		memcpy(&number, buf.data, sizeof number);
	bwt_buf_free(&buf);
	return number;
}

static void *write_follower(void *ctx)
{
	const char *key = ctx;

	while (atomic_load_explicit(&stop, memory_order_relaxed) == 0) {
		uint64_t i = number_under(&fixture, "leader");

		CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice(key),
		                        (struct bwt_slice){&i, sizeof i}, 0),
		                BWT_OK);
	}
	return NULL;
}

static void copies_under_writers_are_as_of_one_lsn_and_hold_what_was_before_the_call(void)
{
	char *followers[] = {"aaaa", "zzzz"};
	pthread_t threads[3];

	fixture.options.checkpoint_interval_ms = 3;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 2000);
	atomic_store_explicit(&stop, 0, memory_order_relaxed);
	pthread_create(&threads[0], NULL, write_leader, NULL);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[1 + i], NULL, write_follower, followers[i]);
	for (unsigned round = 0; round < (suite_short() ? 3 : 12); round++) {
		uint64_t before = number_under(&fixture, "leader"), leader;

		tmpstore_clear(copy.path);
		CU_ASSERT_EQUAL_FATAL(bwt_backup(fixture.db, copy.path), BWT_OK);
		open_copy();
		leader = number_under(&copy, "leader");
		CU_ASSERT_TRUE(leader >= before);
		for (unsigned i = 0; i < 2; i++)
			CU_ASSERT_TRUE(number_under(&copy, followers[i]) <= leader);
		CU_ASSERT_TRUE(fixture_filled(&copy, 0, 2000));
		fixture_close(&copy);
	}
	atomic_store_explicit(&stop, 1, memory_order_relaxed);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* ---- targets ---- */

static void a_target_that_holds_anything_else_is_refused_and_left_alone(void)
{
	char name[TMPSTORE_PATH_MAX];
	FILE *file;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, fixture.path), BWT_EXISTS);
	tmpstore_join(name, copy.path, "letter");
	file = fopen(name, "w");
	fclose(file);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_EXISTS);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), copy.path));
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, name), -ENOTDIR);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_backup(NULL, copy.path), BWT_INVALID);
	unlink(name);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_EXISTS);
	open_copy();
}

static void a_missing_target_is_made_and_a_missing_parent_is_an_error(void)
{
	char name[TMPSTORE_PATH_MAX], below[TMPSTORE_PATH_MAX];

	fixture_open(&fixture);
	tmpstore_join(name, copy.path, "new");
	tmpstore_join(below, name, "below");
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, below), -ENOENT);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, name), BWT_OK);
	CU_ASSERT_EQUAL(bwt_verify(name, 0, NULL, NULL), BWT_OK);
}

static bool back_up_again(void *ctx, const char *name, uint64_t hit)
{
	(void)name;
	(void)hit;
	*(int *)ctx = bwt_backup(fixture.db, copy.path);
	return false;
}

static void one_backup_at_a_time_and_none_of_a_read_only_store(void)
{
	int second = BWT_OK;

	fixture_open(&fixture);
	testpoint_set("backup_extent", 1, back_up_again, &second);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	CU_ASSERT_EQUAL(second, BWT_BUSY);
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	tmpstore_clear(copy.path);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_READ_ONLY);
}

/* ---- cut off ---- */

static bool die(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	raise(SIGKILL);
	return false;
}

static const char *const points[KILL_POINTS] = {
	"backup_begun", "backup_extent", "backup_end",     "backup_value_file", "backup_copied",
	"backup_super", "backup_named",  "recover_loaded", "recover_log_open",
};

/* A child opens the store, and is killed at a point of its backup. */
static void kill_at(const char *point)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		if (bwt_open(fixture.path, &fixture.options, &fixture.db) != BWT_OK)
			_exit(1);
		testpoint_set(point, 1, die, NULL);
		bwt_backup(fixture.db, copy.path);
		_exit(2);
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_backup_killed_at_any_point_is_unfinished_or_whole_and_can_be_begun_anew(void)
{
	struct bwt_options options;
	struct digest source;

	fixture_open(&fixture);
	fill_everything();
	source = digest_of(fixture.db);
	fixture_close(&fixture);
	for (unsigned i = 0; i < KILL_POINTS; i++) {
		bool named = i >= 6;
		struct bwt_db *db;

		kill_at(points[i]);
		options = copy.options;
		options.flags = BWT_CREATE; /* must not be taken for a folder to fill */
		if (!named) {
			CU_ASSERT_EQUAL(bwt_open(copy.path, &options, &db), BWT_INVALID);
			CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "not finished"));
			CU_ASSERT_EQUAL(bwt_verify(copy.path, 0, NULL, NULL), BWT_INVALID);
		} else {
			fixture_open(&copy);
			CU_ASSERT_EQUAL(digest_of(copy.db).hash, source.hash);
			fixture_close(&copy);
			tmpstore_clear(copy.path);
		}
	}
	kill_at("backup_copied");
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(digest_of(fixture.db).hash, source.hash);
	CU_ASSERT_EQUAL(bwt_backup(fixture.db, copy.path), BWT_OK);
	open_copy();
	CU_ASSERT_EQUAL(digest_of(copy.db).hash, source.hash);
}

static void back_up_to_a_small_file_system(void)
{
	int rc;

	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", copy.path, "tmpfs", 0, "size=300k") != 0)
		_exit(CHILD_SKIPPED);
	if (bwt_open(fixture.path, &fixture.options, &fixture.db) != BWT_OK)
		_exit(1);
	rc = bwt_backup(fixture.db, copy.path);
	if (rc != BWT_FULL || strstr(bwt_detail(), "arena.part") == NULL) {
		printf("    %d: %s\n", rc, bwt_detail());
		fflush(stdout);
		_exit(2);
	}
	if (bwt_open(copy.path, NULL, &copy.db) != BWT_INVALID)
		_exit(3);
	if (mount(NULL, copy.path, NULL, MS_REMOUNT, "size=64m") != 0)
		_exit(CHILD_SKIPPED);
	/* The source goes on, and so does the target once it has space. */
	if (bwt_checkpoint(fixture.db) != BWT_OK || bwt_backup(fixture.db, copy.path) != BWT_OK)
		_exit(4);
	if (bwt_verify(copy.path, 0, NULL, NULL) != BWT_OK)
		_exit(5);
	_exit(0);
}

static void a_full_target_is_said_and_costs_the_store_nothing(void)
{
	pid_t child;
	int status;

	fixture_open(&fixture);
	fill_everything();
	fixture_close(&fixture);
	fflush(stdout);
	child = fork();
	if (child == 0)
		back_up_to_a_small_file_system();
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status));
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED)
		printf("    left out: no file system of its own (needs root)\n");
	else
		CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_copy_has_all_pairs_of_all_trees),
		TEST(an_empty_store_and_one_never_checkpointed_since_are_copied),
		TEST(a_copy_is_as_of_its_end_though_all_is_rewritten_and_checkpointed_meanwhile),
		TEST(without_the_pin_a_copy_would_be_damaged),
		TEST(copies_under_writers_are_as_of_one_lsn_and_hold_what_was_before_the_call),
		TEST(a_target_that_holds_anything_else_is_refused_and_left_alone),
		TEST(a_missing_target_is_made_and_a_missing_parent_is_an_error),
		TEST(one_backup_at_a_time_and_none_of_a_read_only_store),
		TEST(a_backup_killed_at_any_point_is_unfinished_or_whole_and_can_be_begun_anew),
		TEST(a_full_target_is_said_and_costs_the_store_nothing),
		CU_TEST_INFO_NULL,
	};

	return suite_run("backup", set_up, tear_down, tests);
}
