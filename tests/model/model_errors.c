/* SPDX-License-Identifier: MIT */
/*
 * model_errors.c - bad input, contradictions, handles at the wrong time: a code each, never a crash
 *
 * What the header blocks of bwt.h promise for single calls, one test a promise.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bwt.h"
#include "mem/superblock.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

static char folder[TMPSTORE_PATH_MAX]; /* with the stores of one test */
static char path[TMPSTORE_PATH_MAX];   /* folder/store */
static struct bwt_db *db;
static struct bwt_tree *tree;

static const struct bwt_slice key = {"key", 3};
static const struct bwt_slice value = {"value", 5};

static int open_flags(unsigned flags)
{
	const struct bwt_options options = {.flags = flags, .durability = BWT_NONE};

	return bwt_open(path, &options, &db);
}

static void set_up(void)
{
	tmpstore_new(folder);
	tmpstore_join(path, folder, "store");
	db = NULL;
	CU_ASSERT_EQUAL_FATAL(open_flags(BWT_CREATE), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
}

static void tear_down(void)
{
	if (db != NULL)
		CU_ASSERT_EQUAL(bwt_close(db), BWT_OK);
	tmpstore_free(folder);
}

static void close_store(void)
{
	CU_ASSERT_EQUAL_FATAL(bwt_close(db), BWT_OK);
	db = NULL;
}

/* An open that must fail, and leave the handle alone. */
static void expect_open(unsigned flags, int expected)
{
	struct bwt_db *untouched = (struct bwt_db *)&folder;
	const struct bwt_options options = {.flags = flags};
	struct bwt_db *out = untouched;

	CU_ASSERT_EQUAL(bwt_open(path, &options, &out), expected);
	CU_ASSERT_PTR_EQUAL(out, untouched);
}

/* ---- opening ---- */

static void opening_what_is_not_there_needs_create(void)
{
	close_store();
	tmpstore_join(path, folder, "absent");
	expect_open(0, -ENOENT);
	expect_open(BWT_RDONLY, -ENOENT);
	tmpstore_join(path, folder, "no/parent");
	expect_open(BWT_CREATE, -ENOENT);
}

static void opening_a_file_is_enotdir(void)
{
	FILE *file;

	close_store();
	tmpstore_join(path, folder, "file");
	file = fopen(path, "w");
	fputs("not a folder", file);
	fclose(file);
	expect_open(0, -ENOTDIR);
	expect_open(BWT_CREATE, -ENOTDIR);
	CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), -ENOTDIR);
}

static void opening_a_folder_that_is_no_store_is_invalid(void)
{
	char name[TMPSTORE_PATH_MAX];

	close_store();
	tmpstore_join(path, folder, "other");
	CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
	expect_open(0, BWT_INVALID); /* empty, and nobody asked to create */
	tmpstore_join(name, path, "letter.txt");
	fclose(fopen(name, "w"));
	expect_open(0, BWT_INVALID);
	expect_open(BWT_CREATE, BWT_INVALID);
	CU_ASSERT_EQUAL(access(name, F_OK), 0);
	CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), BWT_INVALID);
}

static void an_empty_folder_becomes_a_store_with_create(void)
{
	close_store();
	tmpstore_join(path, folder, "empty");
	CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
	CU_ASSERT_EQUAL(open_flags(BWT_CREATE | BWT_EXCL), BWT_OK);
}

static void flags_of_open_that_contradict_are_invalid(void)
{
	close_store();
	expect_open(BWT_EXCL, BWT_INVALID);
	expect_open(BWT_RDONLY | BWT_CREATE, BWT_INVALID);
	expect_open(BWT_INSERT, BWT_INVALID);
	expect_open(0x80000000u, BWT_INVALID);
	expect_open(BWT_CREATE | BWT_EXCL, BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_verify(path, 0x80000000u, NULL, NULL), BWT_INVALID);
}

static void options_out_of_range_are_invalid(void)
{
	struct bwt_options options = {.durability = 3};
	struct bwt_db *out;

	close_store();
	CU_ASSERT_EQUAL(bwt_open(path, &options, &out), BWT_INVALID);
	options = (struct bwt_options){.durability = -1};
	CU_ASSERT_EQUAL(bwt_open(path, &options, &out), BWT_INVALID);
	options = (struct bwt_options){.max_size = 1};
	CU_ASSERT_EQUAL(bwt_open(path, &options, &out), BWT_INVALID);
	options = (struct bwt_options){.max_size = UINT64_MAX};
	CU_ASSERT_EQUAL(bwt_open(path, &options, &out), BWT_INVALID);
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
	CU_ASSERT_EQUAL(bwt_open(path, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_close(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(NULL, NULL, 0, &tree), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(db, NULL, 0, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(NULL, "t"), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_list(NULL, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_list(db, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(NULL, NULL, key, value, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, bad, value, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, bad, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(NULL, NULL, key, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, bad, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_delete(NULL, NULL, key), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_delete(tree, NULL, bad), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(NULL, NULL, key, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, bad, NULL, &value), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, &bad, &value), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, NULL, &bad), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(NULL, NULL, 1, &key, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(tree, NULL, 1, NULL, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(tree, NULL, 1, &key, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(tree, NULL, 0, NULL, NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_count(NULL, &count), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_count(tree, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(NULL, BWT_RDONLY, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit(NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit_async(NULL, NULL), BWT_INVALID);
	bwt_abort(NULL);
	CU_ASSERT_EQUAL(bwt_txn_snapshot(NULL), 0);
	CU_ASSERT_EQUAL(bwt_cursor_open(NULL, NULL, &cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_open(tree, NULL, NULL), BWT_INVALID);
	bwt_cursor_close(NULL);
	CU_ASSERT_EQUAL(bwt_cursor_seek(NULL, key, BWT_GE), BWT_INVALID);
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
	CU_ASSERT_EQUAL(bwt_stat(db, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_verify(NULL, 0, NULL, NULL), BWT_INVALID);
	bwt_buf_free(NULL);
	/* No bytes need no pointer. */
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, empty, empty, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, empty, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, empty, &empty, NULL), BWT_OK);
}

/* ---- one opener ---- */

static void a_second_opener_of_the_process_is_busy(void)
{
	char pid[32];

	expect_open(0, BWT_BUSY);
	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), pid));
	expect_open(BWT_RDONLY, BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), BWT_BUSY);
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

	wrong += bwt_put(tree, NULL, key, value, 0) != BWT_INVALID;
	wrong += bwt_get(tree, NULL, key, NULL) != BWT_INVALID;
	wrong += bwt_delete(tree, NULL, key) != BWT_INVALID;
	wrong += bwt_cas(tree, NULL, key, NULL, &value) != BWT_INVALID;
	wrong += bwt_get_many(tree, NULL, 1, &key, NULL, &result) != BWT_INVALID;
	wrong += bwt_count(tree, &count) != BWT_INVALID;
	wrong += bwt_tree_open(db, "x", BWT_CREATE, &other) != BWT_INVALID;
	wrong += bwt_tree_drop(db, "x") != BWT_INVALID;
	wrong += bwt_begin(db, BWT_RDONLY, &txn) != BWT_INVALID;
	wrong += bwt_cursor_next(inherited_cursor) != BWT_INVALID;
	wrong += bwt_cursor_key(inherited_cursor, &slice) != BWT_INVALID;
	wrong += bwt_commit(inherited_txn) != BWT_INVALID;
	wrong += bwt_durable_lsn(db) != 0;
	wrong += bwt_sync(db) != BWT_INVALID;
	wrong += bwt_checkpoint(db) != BWT_INVALID;
	wrong += bwt_stat(db, &stats) != BWT_INVALID;
	wrong += bwt_close(db) != BWT_INVALID;
	return wrong;
}

static void after_fork_every_call_in_the_child_is_invalid(void)
{
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY, &inherited_txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(tree, inherited_txn, &inherited_cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(inherited_cursor), BWT_OK);
	in_child(use_everything_inherited);
	/* And nothing of that touched the parent's. */
	CU_ASSERT_EQUAL(bwt_cursor_prev(inherited_cursor), BWT_NOT_FOUND);
	bwt_cursor_close(inherited_cursor);
	CU_ASSERT_EQUAL(bwt_commit(inherited_txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(tree, NULL, key), BWT_OK);
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
	close_store();
	CU_ASSERT_EQUAL(open_flags(0), BWT_OK);
	close(hold[1]);
	waitpid(child, NULL, 0);
}

static int open_elsewhere(void)
{
	struct bwt_db *mine;
	int rc = bwt_open(path, NULL, &mine);

	return rc == BWT_BUSY ? 0 : 1;
}

static void another_process_is_busy_too(void)
{
	in_child(open_elsewhere);
}

/* ---- read-only ---- */

static void a_read_only_store_refuses_every_change(void)
{
	struct bwt_tree *other;

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "there", BWT_CREATE, &other), BWT_OK);
	close_store();
	CU_ASSERT_EQUAL_FATAL(open_flags(BWT_RDONLY), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_delete(tree, NULL, key), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, &value, NULL), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "new", BWT_CREATE, &other), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "there", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, "there"), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_checkpoint(db), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_sync(db), BWT_OK);
}

static void a_read_only_open_writes_nothing_at_all(void)
{
	char copy[TMPSTORE_PATH_MAX], command[2 * TMPSTORE_PATH_MAX + 64];

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(db), BWT_OK);
	tmpstore_join(copy, folder, "killed"); /* needs recovery */
	tmpstore_copy(path, copy);
	close_store();
	strcpy(path, copy);
	tmpstore_join(copy, folder, "before");
	tmpstore_copy(path, copy);
	CU_ASSERT_EQUAL_FATAL(open_flags(BWT_RDONLY), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, NULL), BWT_OK);
	close_store();
	CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), BWT_OK);
	snprintf(command, sizeof command, "diff -r '%s' '%s'", path, copy);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void a_read_only_file_system_is_no_obstacle(void)
{
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	close_store();
	if (geteuid() != 0 || mount(folder, folder, NULL, MS_BIND, NULL) != 0) {
		printf("    SKIPPED: cannot mount\n");
		return;
	}
	if (mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0) {
		CU_ASSERT_EQUAL(open_flags(BWT_RDONLY), BWT_OK);
		if (db != NULL) {
			CU_ASSERT_EQUAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
			CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, NULL), BWT_OK);
			close_store();
		}
		CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), BWT_OK);
		expect_open(0, -EROFS);
	}
	umount(folder);
}

/* ---- flags ---- */

static void flags_that_contradict_or_do_not_exist_are_invalid(void)
{
	struct bwt_tree *other;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, BWT_INSERT | BWT_UPDATE), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, BWT_CREATE), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", BWT_EXCL, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", BWT_RDONLY, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY | BWT_CREATE, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY | BWT_READ_COMMITTED | BWT_SERIALIZABLE, &txn),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY | BWT_TXN_SYNC | BWT_TXN_NOSYNC, &txn), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_begin(db, 0, &txn), BWT_INVALID); /* not in this version */
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, NULL), BWT_NOT_FOUND);
}

static void serializable_and_read_only_is_a_snapshot(void)
{
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(db, BWT_RDONLY | BWT_SERIALIZABLE, &txn), BWT_OK);
	CU_ASSERT_TRUE(bwt_txn_snapshot(txn) != 0);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, txn, key, NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

static void read_committed_sees_each_newest_commit(void)
{
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(db, BWT_RDONLY | BWT_READ_COMMITTED, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, txn, key, NULL), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, txn, key, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
}

/* ---- limits ---- */

static void keys_and_values_at_and_beyond_their_limits(void)
{
	static uint8_t bytes[BWT_KEY_MAX + 1];
	struct bwt_slice longest = {bytes, BWT_KEY_MAX}, longer = {bytes, BWT_KEY_MAX + 1};
	struct bwt_slice huge = {bytes, (size_t)BWT_VALUE_MAX + 1};
	struct bwt_cursor *cursor;
	int result;

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, longest, longest, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, longest, NULL), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, longer, value, 0), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, huge, 0), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, longer, NULL), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_delete(tree, NULL, longer), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, longer, NULL, &value), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, NULL, &huge), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_get_many(tree, NULL, 1, &longer, NULL, &result), BWT_OK);
	CU_ASSERT_EQUAL(result, BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cursor_open(tree, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, longer, BWT_GE), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, longest, BWT_EQ), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, key, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, key, 9), BWT_INVALID);
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(bwt_count(tree, &(uint64_t){0}), BWT_OK);
}

static void names_of_trees_have_1_to_255_bytes(void)
{
	char name[BWT_TREE_NAME_MAX + 2];
	struct bwt_tree *other;

	memset(name, 'n', sizeof name);
	name[BWT_TREE_NAME_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(bwt_tree_open(db, name, BWT_CREATE, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, name), BWT_INVALID);
	name[BWT_TREE_NAME_MAX] = '\0';
	CU_ASSERT_EQUAL(bwt_tree_open(db, name, BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, name), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "", BWT_CREATE, &other), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, ""), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, NULL), BWT_INVALID);
}

/* ---- trees, cursors, transactions ---- */

static void trees_are_found_once_created_and_gone_once_dropped(void)
{
	struct bwt_tree *other, *again, *main_again;

	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", 0, &other), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, "t"), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", BWT_CREATE | BWT_EXCL, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", BWT_CREATE | BWT_EXCL, &again), BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", 0, &again), BWT_OK);
	CU_ASSERT_PTR_EQUAL(again, other);
	CU_ASSERT_EQUAL(bwt_tree_open(db, NULL, 0, &main_again), BWT_OK);
	CU_ASSERT_PTR_EQUAL(main_again, tree);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, "t"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", 0, &other), BWT_NOT_FOUND);
}

static void a_tree_in_use_is_not_dropped(void)
{
	struct bwt_cursor *cursor;
	struct bwt_tree *other;

	CU_ASSERT_EQUAL(bwt_tree_open(db, "t", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(other, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, "t"), BWT_BUSY);
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(bwt_tree_drop(db, "t"), BWT_OK);
}

static int stop_at_second(void *ctx, const char *name)
{
	int *calls = ctx;

	CU_ASSERT_EQUAL(strlen(name), 1);
	return ++*calls == 2 ? 4711 : 0;
}

static void listing_stops_where_the_caller_says(void)
{
	struct bwt_tree *other;
	int calls = 0;

	CU_ASSERT_EQUAL(bwt_tree_list(db, stop_at_second, &calls), BWT_OK);
	CU_ASSERT_EQUAL(calls, 0);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "c", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "a", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_open(db, "b", BWT_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_tree_list(db, stop_at_second, &calls), 4711);
	CU_ASSERT_EQUAL(calls, 2);
}

static void closing_is_refused_while_something_is_open(void)
{
	struct bwt_cursor *cursor;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_close(db), BWT_BUSY);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK); /* it is open as before */
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(tree, NULL, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_close(db), BWT_BUSY);
	bwt_cursor_close(cursor);
	close_store();
}

static void a_cursor_outlives_its_transaction_only_to_be_closed(void)
{
	struct bwt_cursor *cursor;
	struct bwt_slice slice;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_open(tree, txn, &cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_cursor_next(cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_prev(cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_seek(cursor, key, BWT_GE), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_key(cursor, &slice), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_value(cursor, &slice), BWT_INVALID);
	bwt_cursor_close(cursor);
}

static void a_transaction_of_another_store_is_invalid(void)
{
	char other_path[TMPSTORE_PATH_MAX];
	const struct bwt_options options = {.flags = BWT_CREATE};
	struct bwt_cursor *cursor;
	struct bwt_db *other;
	struct bwt_txn *txn;
	int result;

	tmpstore_join(other_path, folder, "other");
	CU_ASSERT_EQUAL_FATAL(bwt_open(other_path, &options, &other), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(other, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, txn, key, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(tree, txn, 1, &key, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cursor_open(tree, txn, &cursor), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(tree, txn, key, value, 0), BWT_INVALID);
	bwt_abort(txn);
	CU_ASSERT_EQUAL(bwt_close(other), BWT_OK);
}

/* ---- words and outcomes ---- */

static void outcomes_leave_the_detail_and_the_buffer_alone(void)
{
	struct bwt_buf buf = {NULL, 0, 0};
	char before[1200];

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, BWT_CREATE), BWT_INVALID);
	snprintf(before, sizeof before, "%s", bwt_detail());
	CU_ASSERT_TRUE(before[0] != '\0');
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, BWT_UPDATE), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, &buf), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, BWT_INSERT), BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, NULL, &value), BWT_MISMATCH);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, (struct bwt_slice){"k", 1}, &buf), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(buf.size, value.size);
	CU_ASSERT_EQUAL(memcmp(buf.data, value.data, value.size), 0);
	CU_ASSERT_STRING_EQUAL(bwt_detail(), before);
	bwt_buf_free(&buf);
}

static void *detail_of_a_new_thread(void *ctx)
{
	(void)ctx;
	return bwt_detail()[0] == '\0' ? NULL : &db;
}

static void each_thread_has_its_own_detail(void)
{
	void *result = &db;
	pthread_t thread;

	CU_ASSERT_EQUAL(bwt_tree_drop(db, NULL), BWT_INVALID);
	CU_ASSERT_TRUE(bwt_detail()[0] != '\0');
	CU_ASSERT_EQUAL(pthread_create(&thread, NULL, detail_of_a_new_thread, NULL), 0);
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
}

static void every_code_has_a_text_of_its_own(void)
{
	static const int codes[] = {
		BWT_OK,
#define CODE(name, number, text) name,
		BWT_ERRORS(CODE)
#undef CODE
			- ENOENT,
	};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		CU_ASSERT_TRUE(bwt_strerror(codes[i])[0] != '\0');
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(bwt_strerror(codes[i]), bwt_strerror(codes[j]));
	}
	CU_ASSERT_STRING_EQUAL(bwt_strerror(-ENOENT), strerror(ENOENT));
	CU_ASSERT_PTR_NOT_NULL(bwt_strerror(12345));
	CU_ASSERT_PTR_NOT_NULL(bwt_strerror(-40000));
}

/* ---- durability ---- */

static void lsns_beyond_the_log_are_invalid_and_those_in_it_become_durable(void)
{
	struct bwt_stats stats;
	struct bwt_txn *txn;
	bwt_lsn lsn = 0;

	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_stat(db, &stats), BWT_OK);
	CU_ASSERT_TRUE(stats.newest_lsn != 0);
	CU_ASSERT_EQUAL(bwt_wait_durable(db, stats.newest_lsn + (1 << 20)), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_wait_durable(db, stats.newest_lsn), BWT_OK);
	CU_ASSERT_TRUE(bwt_durable_lsn(db) >= stats.newest_lsn);
	CU_ASSERT_EQUAL(bwt_begin(db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_wait_durable(db, lsn), BWT_OK);
}

static void the_eventfd_tells_when_the_log_became_durable(void)
{
	int fd = bwt_durable_fd(db);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	uint64_t counter;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(bwt_durable_fd(db), fd);
	CU_ASSERT_TRUE((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	while (read(fd, &counter, sizeof counter) > 0)
		;
	CU_ASSERT_EQUAL(errno, EAGAIN);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, value, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(db), BWT_OK);
	CU_ASSERT_EQUAL(poll(&poll_fd, 1, 2000), 1);
	CU_ASSERT_EQUAL(read(fd, &counter, sizeof counter), (ssize_t)sizeof counter);
}

/* ---- versions ---- */

static void patch_version(uint16_t major, uint16_t minor, bool both)
{
	char arena[TMPSTORE_PATH_MAX];
	struct superblock super;
	int fd;

	tmpstore_join(arena, path, "arena");
	fd = open(arena, O_RDWR);
	for (unsigned slot = 0; slot < (both ? 2 : 1); slot++) {
		CU_ASSERT_EQUAL(pread(fd, &super, sizeof super, (off_t)SUPERBLOCK_OFF(slot)),
		                (ssize_t)sizeof super);
		super.major = major;
		super.minor = minor;
		CU_ASSERT_EQUAL(pwrite(fd, &super, sizeof super, (off_t)SUPERBLOCK_OFF(slot)),
		                (ssize_t)sizeof super);
	}
	close(fd);
}

static void a_newer_format_is_refused_as_such(void)
{
	close_store();
	patch_version(FORMAT_MAJOR + 1, 0, true);
	expect_open(0, BWT_VERSION);
	expect_open(BWT_RDONLY, BWT_VERSION);
	expect_open(BWT_CREATE, BWT_VERSION);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "arena"));
	CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), BWT_VERSION);
}

static void a_superblock_of_a_newer_format_is_not_passed_over(void)
{
	close_store();
	/* The other one is older: going back to it would drop what a newer library wrote. */
	patch_version(FORMAT_MAJOR + 1, 0, false);
	expect_open(0, BWT_VERSION);
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
		TEST(after_fork_every_call_in_the_child_is_invalid),
		TEST(a_child_that_lives_on_holds_no_lock),
		TEST(a_read_only_store_refuses_every_change),
		TEST(a_read_only_open_writes_nothing_at_all),
		TEST(a_read_only_file_system_is_no_obstacle),
		TEST(flags_that_contradict_or_do_not_exist_are_invalid),
		TEST(serializable_and_read_only_is_a_snapshot),
		TEST(read_committed_sees_each_newest_commit),
		TEST(keys_and_values_at_and_beyond_their_limits),
		TEST(names_of_trees_have_1_to_255_bytes),
		TEST(trees_are_found_once_created_and_gone_once_dropped),
		TEST(a_tree_in_use_is_not_dropped),
		TEST(listing_stops_where_the_caller_says),
		TEST(closing_is_refused_while_something_is_open),
		TEST(a_cursor_outlives_its_transaction_only_to_be_closed),
		TEST(a_transaction_of_another_store_is_invalid),
		TEST(outcomes_leave_the_detail_and_the_buffer_alone),
		TEST(each_thread_has_its_own_detail),
		TEST(every_code_has_a_text_of_its_own),
		TEST(lsns_beyond_the_log_are_invalid_and_those_in_it_become_durable),
		TEST(the_eventfd_tells_when_the_log_became_durable),
		TEST(a_newer_format_is_refused_as_such),
		TEST(a_superblock_of_a_newer_format_is_not_passed_over),
		CU_TEST_INFO_NULL,
	};

	return suite_run("model_errors", set_up, tear_down, tests);
}
