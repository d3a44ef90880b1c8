/* SPDX-License-Identifier: MIT */
/*
 * model_open.c - opening: what is there, who else has it, read-only, forked, of another version
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "mem/superblock.h"
#include "tests/model/fixture.h"

/* ---- opening ---- */

static void opening_what_is_not_there_needs_create(void)
{
	fixture_close();
	tmpstore_join(fixture.path, fixture.folder, "absent");
	fixture_refuse(0, -ENOENT);
	fixture_refuse(BWT_RDONLY, -ENOENT);
	tmpstore_join(fixture.path, fixture.folder, "no/parent");
	fixture_refuse(BWT_CREATE, -ENOENT);
}

static void opening_a_file_is_enotdir(void)
{
	FILE *file;

	fixture_close();
	tmpstore_join(fixture.path, fixture.folder, "file");
	file = fopen(fixture.path, "w");
	fputs("not a folder", file);
	fclose(file);
	fixture_refuse(0, -ENOTDIR);
	fixture_refuse(BWT_CREATE, -ENOTDIR);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), -ENOTDIR);
}

static void opening_a_folder_that_is_no_store_is_invalid(void)
{
	char name[TMPSTORE_PATH_MAX];

	fixture_close();
	tmpstore_join(fixture.path, fixture.folder, "other");
	CU_ASSERT_EQUAL(mkdir(fixture.path, 0755), 0);
	fixture_refuse(0, BWT_INVALID); /* empty, and nobody asked to create */
	tmpstore_join(name, fixture.path, "letter.txt");
	fclose(fopen(name, "w"));
	fixture_refuse(0, BWT_INVALID);
	fixture_refuse(BWT_CREATE, BWT_INVALID);
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_INVALID);
}

static void an_empty_folder_becomes_a_store_with_create(void)
{
	fixture_close();
	tmpstore_join(fixture.path, fixture.folder, "empty");
	CU_ASSERT_EQUAL(mkdir(fixture.path, 0755), 0);
	CU_ASSERT_EQUAL(fixture_open(BWT_CREATE | BWT_EXCL), BWT_OK);
}

static void flags_of_open_that_contradict_are_invalid(void)
{
	fixture_close();
	fixture_refuse(BWT_EXCL, BWT_INVALID);
	fixture_refuse(BWT_RDONLY | BWT_CREATE, BWT_INVALID);
	fixture_refuse(BWT_INSERT, BWT_INVALID);
	fixture_refuse(0x80000000u, BWT_INVALID);
	fixture_refuse(BWT_CREATE | BWT_EXCL, BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0x80000000u, NULL, NULL), BWT_INVALID);
}

static void options_out_of_range_are_invalid(void)
{
	struct bwt_options options = {.durability = 3};
	struct bwt_db *out;

	fixture_close();
	CU_ASSERT_EQUAL(bwt_open(fixture.path, &options, &out), BWT_INVALID);
	options = (struct bwt_options){.durability = -1};
	CU_ASSERT_EQUAL(bwt_open(fixture.path, &options, &out), BWT_INVALID);
	options = (struct bwt_options){.max_size = 1};
	CU_ASSERT_EQUAL(bwt_open(fixture.path, &options, &out), BWT_INVALID);
	options = (struct bwt_options){.max_size = UINT64_MAX};
	CU_ASSERT_EQUAL(bwt_open(fixture.path, &options, &out), BWT_INVALID);
}

static void null_pointers_are_invalid(void)
{
	struct bwt_db *out;
	struct bwt_stats stats;
	struct bwt_slice bad = {NULL, 4}, empty = {NULL, 0};
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;
	uint64_t count;
	int result;

	CU_ASSERT_EQUAL(bwt_open(NULL, NULL, &out), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_open(fixture.path, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_close(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(NULL, NULL, 0, &fixture.tree), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, 0, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(NULL, "t"), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_list(NULL, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_list(fixture.db, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(NULL, NULL, fixture_key, fixture_value, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, bad, fixture_value, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, bad, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(NULL, NULL, fixture_key, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, bad, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_delete(NULL, NULL, fixture_key), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, bad), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(NULL, NULL, fixture_key, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, bad, NULL, &fixture_value), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, fixture_key, &bad, &fixture_value), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, fixture_key, NULL, &bad), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(NULL, NULL, 1, &fixture_key, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 1, NULL, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 1, &fixture_key, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 0, NULL, NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_count(NULL, &count), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_count(fixture.tree, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(NULL, BWT_RDONLY, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit_async(NULL, NULL), BWT_INVALID);
	bwt_abort(NULL);
	CU_ASSERT_EQUAL(bwt_txn_snapshot(NULL), 0);
	CU_ASSERT_EQUAL(bwt_cursor_open(NULL, NULL, &cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_open(fixture.tree, NULL, NULL), BWT_INVALID);
	bwt_cursor_close(NULL);
	CU_ASSERT_EQUAL(bwt_cursor_seek(NULL, fixture_key, BWT_GE), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_next(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_prev(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_key(NULL, &empty), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_value(NULL, &empty), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_durable_lsn(NULL), 0);
	CU_ASSERT_EQUAL(bwt_wait_durable(NULL, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_durable_fd(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_sync(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_checkpoint(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_stat(NULL, &stats), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_stat(fixture.db, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_verify(NULL, 0, NULL, NULL), BWT_INVALID);
	bwt_buf_free(NULL);
	/* No bytes need no pointer. */
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, empty, empty, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, empty, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, empty, &empty, NULL), BWT_OK);
}

/* ---- one opener ---- */

static void a_second_opener_of_the_process_is_busy(void)
{
	char pid[32];

	fixture_refuse(0, BWT_BUSY);
	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), pid));
	fixture_refuse(BWT_RDONLY, BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_BUSY);
}

/* Runs @work in a child, which must return 0. */
static void in_child(int (*work)(void))
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(work());
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
}

static struct bwt_cursor *inherited_cursor;
static struct bwt_txn *inherited_txn;

static int use_everything_inherited(void)
{
	struct bwt_stats stats;
	struct bwt_slice slice;
	struct bwt_tree *other;
	struct bwt_txn *txn;
	uint64_t count;
	int wrong = 0, result;

	wrong += bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0) != BWT_INVALID;
	wrong += bwt_get(fixture.tree, NULL, fixture_key, NULL) != BWT_INVALID;
	wrong += bwt_delete(fixture.tree, NULL, fixture_key) != BWT_INVALID;
	wrong += bwt_cas(fixture.tree, NULL, fixture_key, NULL, &fixture_value) != BWT_INVALID;
	wrong += bwt_get_many(fixture.tree, NULL, 1, &fixture_key, NULL, &result) != BWT_INVALID;
	wrong += bwt_count(fixture.tree, &count) != BWT_INVALID;
	wrong += bwt_tree_open(fixture.db, "x", BWT_CREATE, &other) != BWT_INVALID;
	wrong += bwt_tree_drop(fixture.db, "x") != BWT_INVALID;
	wrong += bwt_begin(fixture.db, BWT_RDONLY, &txn) != BWT_INVALID;
	wrong += bwt_cursor_next(inherited_cursor) != BWT_INVALID;
	wrong += bwt_cursor_key(inherited_cursor, &slice) != BWT_INVALID;
	wrong += bwt_commit(inherited_txn) != BWT_INVALID;
	wrong += bwt_durable_lsn(fixture.db) != 0;
	wrong += bwt_sync(fixture.db) != BWT_INVALID;
	wrong += bwt_checkpoint(fixture.db) != BWT_INVALID;
	wrong += bwt_stat(fixture.db, &stats) != BWT_INVALID;
	wrong += bwt_close(fixture.db) != BWT_INVALID;
	return wrong;
}

static void after_fork_every_call_in_the_child_is_invalid(void)
{
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, BWT_RDONLY, &inherited_txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(fixture.tree, inherited_txn, &inherited_cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(inherited_cursor), BWT_OK);
	in_child(use_everything_inherited);
	/* And nothing of that touched the parent's. */
	CU_ASSERT_EQUAL(bwt_cursor_prev(inherited_cursor), BWT_NOT_FOUND);
	bwt_cursor_close(inherited_cursor);
	CU_ASSERT_EQUAL(bwt_commit(inherited_txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, fixture_key), BWT_OK);
}

static void a_child_that_lives_on_holds_no_lock(void)
{
	int hold[2];
	char byte = 0;
	pid_t child;

	CU_ASSERT_EQUAL_FATAL(pipe(hold), 0);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(hold[1]);
		_exit((int)read(hold[0], &byte, 1)); /* until the parent closes its end */
	}
	close(hold[0]);
	fixture_close();
	CU_ASSERT_EQUAL(fixture_open(0), BWT_OK);
	close(hold[1]);
	waitpid(child, NULL, 0);
}

static int open_elsewhere(void)
{
	struct bwt_db *mine;
	int rc = bwt_open(fixture.path, NULL, &mine);

	return rc == BWT_BUSY ? 0 : 1;
}

static void another_process_is_busy_too(void)
{
	in_child(open_elsewhere);
}

static int put_and_die(void)
{
	struct bwt_tree *tree;
	struct bwt_db *mine;

	if (bwt_open(fixture.path, NULL, &mine) != BWT_OK ||
	    bwt_tree_open(mine, NULL, 0, &tree) != BWT_OK)
		return 1;
	_exit(bwt_put(tree, NULL, fixture_key, fixture_value, 0) == BWT_OK ? 0 : 1);
}

static void count_finding(void *ctx, const struct bwt_finding *finding)
{
	unsigned *count = ctx;

	(void)finding;
	++*count;
}

static void needing_recovery_is_no_finding(void)
{
	unsigned count = 0;

	fixture_close();
	in_child(put_and_die);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, count_finding, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_EQUAL(fixture_open(0), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, fixture_key, NULL), BWT_OK);
}

/* ---- read-only ---- */

static void a_read_only_store_refuses_every_change(void)
{
	struct bwt_tree *other;

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "there", BWT_CREATE, &other), BWT_OK);
	fixture_close();
	CU_ASSERT_EQUAL_FATAL(fixture_open(BWT_RDONLY), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, fixture_key, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, fixture_key), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, fixture_key, &fixture_value, NULL),
	                BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "new", BWT_CREATE, &other), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, "there", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "there"), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
}

static void a_read_only_open_writes_nothing_at_all(void)
{
	char copy[TMPSTORE_PATH_MAX], command[2 * TMPSTORE_PATH_MAX + 64];

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	tmpstore_join(copy, fixture.folder, "killed"); /* needs recovery */
	tmpstore_copy(fixture.path, copy);
	fixture_close();
	strcpy(fixture.path, copy);
	tmpstore_join(copy, fixture.folder, "before");
	tmpstore_copy(fixture.path, copy);
	CU_ASSERT_EQUAL_FATAL(fixture_open(BWT_RDONLY), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, fixture_key, NULL), BWT_OK);
	fixture_close();
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_OK);
	snprintf(command, sizeof command, "diff -r '%s' '%s'", fixture.path, copy);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void a_read_only_file_system_is_no_obstacle(void)
{
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, fixture_key, fixture_value, 0), BWT_OK);
	fixture_close();
	if (geteuid() != 0 || mount(fixture.folder, fixture.folder, NULL, MS_BIND, NULL) != 0) {
		printf("    SKIPPED: cannot mount\n");
		return;
	}
	if (mount(NULL, fixture.folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0) {
		CU_ASSERT_EQUAL(fixture_open(BWT_RDONLY), BWT_OK);
		if (fixture.db != NULL) {
			CU_ASSERT_EQUAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
			CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, fixture_key, NULL), BWT_OK);
			fixture_close();
		}
		CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_OK);
		fixture_refuse(0, -EROFS);
	}
	umount(fixture.folder);
}

/* ---- versions ---- */

static void patch_version(uint16_t major, uint16_t minor, bool both)
{
	char arena[TMPSTORE_PATH_MAX];
	struct superblock super;
	int fd;

	tmpstore_join(arena, fixture.path, "arena");
	fd = open(arena, O_RDWR);
	for (unsigned slot = 0; slot < (both ? 2 : 1); slot++) {
		CU_ASSERT_EQUAL(pread(fd, &super, sizeof super, (off_t)SUPERBLOCK_OFF(slot)),
		                (ssize_t)sizeof super);
		super.major = major;
		super.minor = minor;
		/* One that does not match its checksum is damaged, not newer. */
		super.crc = crc32c(0, (uint8_t *)&super + 12, sizeof super - 12);
		CU_ASSERT_EQUAL(pwrite(fd, &super, sizeof super, (off_t)SUPERBLOCK_OFF(slot)),
		                (ssize_t)sizeof super);
	}
	close(fd);
}

static void a_newer_format_is_refused_as_such(void)
{
	fixture_close();
	patch_version(FORMAT_MAJOR + 1, 0, true);
	fixture_refuse(0, BWT_VERSION);
	fixture_refuse(BWT_RDONLY, BWT_VERSION);
	fixture_refuse(BWT_CREATE, BWT_VERSION);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "arena"));
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_VERSION);
}

static void a_superblock_of_a_newer_format_is_not_passed_over(void)
{
	fixture_close();
	/* The other one is older: going back to it would drop what a newer library wrote. */
	patch_version(FORMAT_MAJOR + 1, 0, false);
	fixture_refuse(0, BWT_VERSION);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(opening_what_is_not_there_needs_create),
		TEST(opening_a_file_is_enotdir),
		TEST(opening_a_folder_that_is_no_store_is_invalid),
		TEST(an_empty_folder_becomes_a_store_with_create),
		TEST(flags_of_open_that_contradict_are_invalid),
		TEST(options_out_of_range_are_invalid),
		TEST(null_pointers_are_invalid),
		TEST(a_second_opener_of_the_process_is_busy),
		TEST(another_process_is_busy_too),
		TEST(needing_recovery_is_no_finding),
		TEST(after_fork_every_call_in_the_child_is_invalid),
		TEST(a_child_that_lives_on_holds_no_lock),
		TEST(a_read_only_store_refuses_every_change),
		TEST(a_read_only_open_writes_nothing_at_all),
		TEST(a_read_only_file_system_is_no_obstacle),
		TEST(a_newer_format_is_refused_as_such),
		TEST(a_superblock_of_a_newer_format_is_not_passed_over),
		CU_TEST_INFO_NULL,
	};

	return suite_run("model_open", fixture_set_up, fixture_tear_down, tests);
}
