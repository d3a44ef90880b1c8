/* SPDX-License-Identifier: MIT */
/* test_recover.c - create, close, crash, open again; the rules of the directory */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "mem/superblock.h"
#include "tests/unit/recovery/store_fixture.h"
#include "txn/commit.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static void reopen(bool clean)
{
	fixture_close(&fixture, clean);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_EQUAL(fixture.warnings, 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_EQUAL(fixture.warnings, 0);
}

/* What is in the log reaches the files without a checkpoint. */
static void flush(void)
{
	CU_ASSERT_EQUAL_FATAL(wal_flush(fixture.store.wal, true), BWT_OK);
}

static void a_new_store_is_empty_sound_and_opens_again(void)
{
	begin();
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	reopen(true);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 0);
	CU_ASSERT_TRUE(fixture_lacks(&fixture, 0, 10));
}

static void what_was_put_is_there_after_a_clean_close(void)
{
	begin();
	fixture_put(&fixture, 0, 5000, 1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	reopen(true);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 5000);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 5000, 1));
}

/* So that the next opening need not search the rest of the log's last file. */
static void a_clean_close_names_the_life_whose_log_ends(void)
{
	struct superblock super;
	uint32_t incarnation;

	begin();
	fixture_put(&fixture, 0, 100, 1);
	incarnation = wal_incarnation(fixture.store.wal);
	reopen(true);
	CU_ASSERT_EQUAL(superblock_newest(fixture.store.arena_fd, &super), BWT_OK);
	CU_ASSERT_EQUAL(super.clean, 1);
	CU_ASSERT_EQUAL(super.log_incarnation, incarnation);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 1));
	fixture_put(&fixture, 0, 100, 2);
	flush();
	reopen(false);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 2));
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	CU_ASSERT_EQUAL(superblock_newest(fixture.store.arena_fd, &super), BWT_OK);
	CU_ASSERT_EQUAL(super.clean, 0);
	CU_ASSERT_EQUAL(super.log_incarnation, 0);
}

/* The planted fault: a checkpoint of a store that goes on says so, too. What follows it is lost, and must be seen to be. */
static void a_log_that_is_called_closed_and_goes_on_is_lost(void)
{
	begin();
	fixture_put(&fixture, 0, 100, 1);
	testpoint_set("checkpoint_says_closed", 0, NULL, NULL);
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_put(&fixture, 100, 101, 1);
	flush();
	fixture_close(&fixture, false);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 1));
	CU_ASSERT_TRUE(fixture_lacks(&fixture, 100, 101));
}

static void what_is_in_the_log_is_there_after_a_crash(void)
{
	begin();
	fixture_put(&fixture, 0, 3000, 1);
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_put(&fixture, 1000, 4000, 2);
	fixture_delete(&fixture, 0, 500);
	flush();
	reopen(false);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 3500);
	CU_ASSERT_TRUE(fixture_lacks(&fixture, 0, 500));
	CU_ASSERT_TRUE(fixture_holds(&fixture, 500, 1000, 1));
	CU_ASSERT_TRUE(fixture_holds(&fixture, 1000, 4000, 2));
}

static void many_lives_with_and_without_a_clean_close_lose_nothing(void)
{
	begin();
	for (unsigned life = 0; life < 12; life++) {
		fixture_put(&fixture, life * 100, life * 100 + 1000, life);
		if (life % 3 == 0)
			CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
		flush();
		reopen(life % 2 == 0);
		for (unsigned before = 0; before < life; before++)
			CU_ASSERT_TRUE(
				fixture_holds(&fixture, before * 100, before * 100 + 100, before));
		CU_ASSERT_TRUE(fixture_holds(&fixture, life * 100, life * 100 + 1000, life));
		CU_ASSERT_EQUAL(fixture_keys(&fixture), life * 100 + 1000);
	}
}

static void named_trees_are_created_and_dropped_across_crashes(void)
{
	struct named_tree *tree;
	char name[32], key[32];

	begin();
	for (unsigned life = 0; life < 6; life++) {
		for (unsigned i = 0; i < 3; i++) {
			uint32_t id = atomic_load(&fixture.store.next_tree_id);

			snprintf(name, sizeof name, "tree-%u-%u", life, i);
			pthread_mutex_lock(fixture.store.trees_lock);
			CU_ASSERT_EQUAL_FATAL(catalog_create(&fixture.store, name, id, 0, &tree),
			                      BWT_OK);
			pthread_mutex_unlock(fixture.store.trees_lock);
			for (unsigned k = 0; k < 300; k++) {
				struct commit_op op = {.kind = COMMIT_INSERT};

				op.key = (struct bwt_slice){
					key, (size_t)snprintf(key, sizeof key, "%u", k)};
				op.value = op.key;
				CU_ASSERT_EQUAL_FATAL(commit_one(&fixture.store, &tree->tree, &op),
				                      BWT_OK);
			}
			if (life == 2 && i == 1)
				CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
		}
		snprintf(name, sizeof name, "tree-%u-1", life);
		pthread_mutex_lock(fixture.store.trees_lock);
		CU_ASSERT_EQUAL(catalog_drop(&fixture.store, fixture_tree(&fixture, name), 0),
		                BWT_OK);
		pthread_mutex_unlock(fixture.store.trees_lock);
		flush();
		reopen(life % 2 == 1);
		CU_ASSERT_EQUAL(atomic_load(&fixture.store.tree_count), 2 * (life + 1));
		for (unsigned before = 0; before <= life; before++) {
			for (unsigned i = 0; i < 3; i++) {
				snprintf(name, sizeof name, "tree-%u-%u", before, i);
				tree = fixture_tree(&fixture, name);
				CU_ASSERT_EQUAL(tree != NULL, i != 1);
				if (tree != NULL)
					CU_ASSERT_EQUAL(tree_keys(&tree->tree), 300);
			}
		}
	}
}

static void a_small_store_is_a_small_folder(void)
{
	begin();
	fixture_put(&fixture, 8, 100, 1);
	reopen(true);
	printf("         %llu KiB on disk\n",
	       (unsigned long long)tmpstore_bytes(fixture.path) / 1024);
	CU_ASSERT_TRUE(tmpstore_bytes(fixture.path) < (uint64_t)960 * 1024);
	for (unsigned i = 0; i < 20; i++)
		reopen(true);
	printf("         %llu KiB after 20 more lives\n",
	       (unsigned long long)tmpstore_bytes(fixture.path) / 1024);
	CU_ASSERT_TRUE(tmpstore_bytes(fixture.path) < (uint64_t)1024 * 1024);
}

/* ---- the directory ---- */

static int open_code(const char *path, bool create, bool exclusive, bool readonly)
{
	int rc;

	fixture.config.create = create;
	fixture.config.exclusive = exclusive;
	fixture.config.readonly = readonly;
	rc = fixture_open(&fixture, path);
	if (rc == BWT_OK)
		fixture_close(&fixture, !readonly);
	return rc;
}

static void make_file(const char *folder, const char *name)
{
	int fd = open(fixture_file(folder, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
}

static void a_path_that_is_no_store_gets_its_code_and_is_left_alone(void)
{
	const char *absent = "/absent/store";
	char inside[TMPSTORE_PATH_MAX];

	CU_ASSERT_EQUAL(open_code(absent, false, false, false), -ENOENT);
	CU_ASSERT_EQUAL(open_code(absent, true, false, false), -ENOENT); /* the parent is missing */
	CU_ASSERT_EQUAL(open_code("/dev/null", true, false, false), -ENOTDIR);
	CU_ASSERT_EQUAL(open_code(fixture.path, false, false, false), BWT_INVALID);
	CU_ASSERT_EQUAL(open_code(fixture.path, false, false, true), BWT_INVALID);
	CU_ASSERT_EQUAL(open_code(fixture.path, true, false, true), BWT_INVALID);
	make_file(fixture.path, "letter.txt");
	CU_ASSERT_EQUAL(open_code(fixture.path, true, false, false), BWT_INVALID);
	CU_ASSERT_EQUAL(open_code(fixture.path, false, false, false), BWT_INVALID);
	CU_ASSERT_NOT_EQUAL(access(fixture_file(fixture.path, "LOCK"), F_OK), 0);
	tmpstore_join(inside, fixture.copy, "new");
	CU_ASSERT_EQUAL(open_code(inside, true, true, false), BWT_OK);
	CU_ASSERT_EQUAL(open_code(inside, true, true, false), BWT_EXISTS);
	CU_ASSERT_EQUAL(open_code(inside, true, false, false), BWT_OK);
	CU_ASSERT_EQUAL(open_code(inside, false, false, true), BWT_OK);
}

static void logs_without_an_arena_are_not_overwritten(void)
{
	begin();
	fixture_put(&fixture, 0, 100, 1);
	fixture_close(&fixture, true);
	CU_ASSERT_EQUAL_FATAL(unlink(fixture_file(fixture.path, "arena")), 0);
	CU_ASSERT_EQUAL(open_code(fixture.path, true, false, false), BWT_INVALID);
	CU_ASSERT_EQUAL(open_code(fixture.path, false, false, false), BWT_INVALID);
}

static void a_missing_log_folder_is_damage(void)
{
	begin();
	fixture_close(&fixture, true);
	tmpstore_copy(fixture.path, fixture.copy);
	tmpstore_clear(fixture_file(fixture.copy, "wal"));
	CU_ASSERT_EQUAL(open_code(fixture.copy, false, false, false), BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "wal"));
	CU_ASSERT_EQUAL(rmdir(fixture_file(fixture.copy, "wal")), 0);
	CU_ASSERT_EQUAL(open_code(fixture.copy, false, false, false), BWT_CORRUPT);
}

static void the_second_opener_is_told_who_the_first_is(void)
{
	struct store second = {.trees_lock = &fixture.trees_lock};
	struct checkpointer *checkpointer;
	struct recover_config config;
	char pid[32];

	begin();
	config = fixture.config;
	snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	CU_ASSERT_EQUAL(recover_open(&second, &config, &checkpointer), BWT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), pid));
	config.create = false;
	config.readonly = true;
	CU_ASSERT_EQUAL(recover_open(&second, &config, &checkpointer), BWT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), pid));
	fixture_put(&fixture, 0, 10, 1);
	reopen(true);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 10, 1));
}

static void a_reader_that_holds_the_store_is_named_too(void)
{
	int ready[2], done[2];
	char byte, pid[64];
	pid_t child;
	int rc;

	begin();
	fixture_close(&fixture, true);
	CU_ASSERT_EQUAL_FATAL(pipe(ready) + pipe(done), 0);
	child = fork();
	if (child == 0) {
		fixture.config.create = false;
		fixture.config.readonly = true;
		rc = fixture_open(&fixture, fixture.path);
		close(done[1]);
		if (write(ready[1], &rc, sizeof rc) == sizeof rc && read(done[0], &byte, 1) == 0)
			fixture_close(&fixture, false);
		_exit(0);
	}
	close(done[0]);
	CU_ASSERT_EQUAL(read(ready[0], &rc, sizeof rc), sizeof rc);
	CU_ASSERT_EQUAL(rc, BWT_OK);
	snprintf(pid, sizeof pid, "locked by process %ld", (long)child);
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), pid));
	close(done[1]);
	waitpid(child, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_OK);
}

/* ---- creation cut off ---- */

static bool copy_here(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	tmpstore_copy(fixture.path, fixture.copy);
	return false;
}

static void a_creation_that_was_cut_off_is_done_again(void)
{
	static const char *const points[] = {"create_log", "checkpoint_cut", "checkpoint_published",
	                                     "create_rename"};

	for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++) {
		testpoint_set(points[i], 1, copy_here, NULL);
		tmpstore_clear(fixture.path);
		begin();
		CU_ASSERT_EQUAL(testpoint_hits(points[i]) >= 1, true);
		testpoint_reset();
		fixture_close(&fixture, true);
		fixture.config.create = false;
		CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.copy), BWT_INVALID);
		fixture.config.create = true;
		CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.copy), BWT_OK);
		fixture_put(&fixture, 0, 100, 1);
		fixture_close(&fixture, true);
		CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.copy), BWT_OK);
		CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 1));
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		fixture_close(&fixture, true);
	}
}

/* ---- read-only ---- */

static void a_read_only_opening_recovers_and_changes_no_byte(void)
{
	char command[3 * TMPSTORE_PATH_MAX];

	begin();
	fixture_put(&fixture, 0, 2000, 1);
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_OK);
	fixture_put(&fixture, 1000, 3000, 2);
	flush();
	fixture_close(&fixture, false);
	tmpstore_copy(fixture.path, fixture.copy);
	fixture.config.create = false;
	fixture.config.readonly = true;
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_PTR_NULL(fixture.checkpointer);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 3000);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 1000, 1));
	CU_ASSERT_TRUE(fixture_holds(&fixture, 1000, 3000, 2));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	fixture_close(&fixture, false);
	snprintf(command, sizeof command, "diff -r %s %s", fixture.path, fixture.copy);
	CU_ASSERT_EQUAL(system(command), 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_new_store_is_empty_sound_and_opens_again),
		TEST(what_was_put_is_there_after_a_clean_close),
		TEST(a_clean_close_names_the_life_whose_log_ends),
		TEST(a_log_that_is_called_closed_and_goes_on_is_lost),
		TEST(what_is_in_the_log_is_there_after_a_crash),
		TEST(many_lives_with_and_without_a_clean_close_lose_nothing),
		TEST(named_trees_are_created_and_dropped_across_crashes),
		TEST(a_small_store_is_a_small_folder),
		TEST(a_path_that_is_no_store_gets_its_code_and_is_left_alone),
		TEST(logs_without_an_arena_are_not_overwritten),
		TEST(a_missing_log_folder_is_damage),
		TEST(the_second_opener_is_told_who_the_first_is),
		TEST(a_reader_that_holds_the_store_is_named_too),
		TEST(a_creation_that_was_cut_off_is_done_again),
		TEST(a_read_only_opening_recovers_and_changes_no_byte),
		CU_TEST_INFO_NULL,
	};
	return suite_run("recover", set_up, tear_down, tests);
}
