/* SPDX-License-Identifier: MIT */
/*
 * crash_full.c - no space left: what is stored stays, deletes and closing work, writes resume
 *
 *   limit   RLIMIT_FSIZE in a child (any user): EFBIG
 *   tmpfs   a small file system of its own (root, where mounting is allowed): ENOSPC
 *   arena   options.max_size
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#include "bwt.h"

#define VALUE_SIZE 700u
#define KEYS_MAX 200000u
#define CHILD_SKIPPED 77

/* In children: a failed expectation is printed and makes the child's status 1. */
#define EXPECT(what)                                                                               \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			printf("    %s:%d: not so: %s (bwt_detail: %s)\n", __FILE__, __LINE__,     \
			       #what, bwt_detail());                                               \
			fflush(stdout);                                                            \
			failed = true;                                                             \
		}                                                                                  \
	} while (0)

static bool failed;
static struct bwt_db *db;
static struct bwt_tree *tree;
static char path[TMPSTORE_PATH_MAX];

static struct bwt_slice key_of(uint32_t number, char room[16])
{
	return (struct bwt_slice){room, (size_t)snprintf(room, 16, "key %08u", number)};
}

static struct bwt_slice value_of(uint32_t number, uint8_t room[VALUE_SIZE])
{
	struct rng rng;

	rng_init(&rng, number);
	rng_fill(&rng, room, VALUE_SIZE);
	return (struct bwt_slice){room, VALUE_SIZE};
}

static int put(uint32_t number)
{
	uint8_t value_room[VALUE_SIZE];
	char key_room[16];

	return bwt_put(tree, NULL, key_of(number, key_room), value_of(number, value_room), 0);
}

static void open_store(uint64_t max_size, uint32_t inline_max)
{
	struct bwt_options options = {
		.flags = BWT_CREATE,
		.durability = BWT_NONE,
		.max_size = max_size,
		.inline_max = inline_max,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.checkpoint_wal_bytes = (uint64_t)1 << 20,
		.worker_count = 1,
	};
	int rc = bwt_open(path, &options, &db);

	EXPECT(rc == BWT_OK);
	if (rc == BWT_OK)
		EXPECT(bwt_tree_open(db, NULL, 0, &tree) == BWT_OK);
	if (failed)
		_exit(EXIT_FAILURE);
}

/* Put keys until one is refused; returns how many were taken. */
static uint32_t fill(uint32_t from)
{
	int rc = BWT_OK;

	while (from < KEYS_MAX && (rc = put(from)) == BWT_OK)
		from++;
	EXPECT(rc == BWT_FULL);
	EXPECT(bwt_detail()[0] != '\0');
	return from;
}

static void check(uint32_t from, uint32_t to)
{
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t value_room[VALUE_SIZE];
	char key_room[16];
	uint64_t count;

	for (uint32_t i = from; i < to && !failed; i++) {
		EXPECT(bwt_get(tree, NULL, key_of(i, key_room), &buf) == BWT_OK);
		EXPECT(buf.size == VALUE_SIZE &&
		       memcmp(buf.data, value_of(i, value_room).data, VALUE_SIZE) == 0);
	}
	EXPECT(bwt_count(tree, &count) == BWT_OK && count == to - from);
	bwt_buf_free(&buf);
}

static void delete (uint32_t from, uint32_t to)
{
	char key_room[16];

	for (uint32_t i = from; i < to && !failed; i++)
		EXPECT(bwt_delete(tree, NULL, key_of(i, key_room)) == BWT_OK);
}

/* Run in a child, because limits and mounts are the process's: they end with it. */
static void run_in_child(void (*test)(void))
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		failed = false;
		alarm(300);
		test();
		_exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED)
		return;
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(status, 0);
}

/* ---- max_size ---- */

static void fill_the_arena(void)
{
	uint32_t end, half;

	open_store((uint64_t)8 << 20, 0);
	end = fill(0);
	EXPECT(end > 500);
	check(0, end);
	half = end / 2;
	delete (0, half); /* a full store still takes deletes */
	check(half, end);
	EXPECT(bwt_close(db) == BWT_OK);
	open_store((uint64_t)8 << 20, 0);
	check(half, end);
	delete (half, end); /* and can be emptied */
	for (unsigned i = 0; i < 3; i++) {
		int rc = bwt_checkpoint(db);

		EXPECT(rc == BWT_OK || rc == BWT_BUSY);
	}
	check(end, end);
	EXPECT(put(0) == BWT_OK); /* and then takes new keys */
	check(0, 1);
	EXPECT(bwt_close(db) == BWT_OK);
}

static void a_store_at_max_size_keeps_all_takes_deletes_and_writes_again(void)
{
	run_in_child(fill_the_arena);
}

/* A process that fills the store and dies in it; returns how many keys it put. */
static uint32_t die_full(uint64_t max_size)
{
	uint32_t end = 0;
	int fds[2], status;
	pid_t child;

	EXPECT(pipe(fds) == 0);
	child = fork();
	if (child == 0) {
		open_store(max_size, 0);
		end = fill(0);
		delete (0, end / 8);
		EXPECT(bwt_sync(db) == BWT_OK);
		if (write(fds[1], &end, sizeof end) != (ssize_t)sizeof end)
			failed = true;
		kill(getpid(), failed ? SIGTERM : SIGKILL);
	}
	EXPECT(read(fds[0], &end, sizeof end) == (ssize_t)sizeof end);
	EXPECT(waitpid(child, &status, 0) == child);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return end;
}

static void open_after_dying_full(void)
{
	uint32_t end = die_full((uint64_t)6 << 20);

	EXPECT(bwt_verify(path, 0, NULL, NULL) == BWT_OK);
	for (unsigned i = 0; i < 3 && !failed; i++) {
		open_store((uint64_t)6 << 20, 0);
		check(end / 8, end);
		EXPECT(bwt_close(db) == BWT_OK);
	}
}

static void a_store_killed_while_full_opens_again(void)
{
	run_in_child(open_after_dying_full);
}

/* ---- RLIMIT_FSIZE ---- */

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	setrlimit(RLIMIT_FSIZE, &limit);
}

static void fill_to_the_file_limit(uint32_t inline_max)
{
	struct rlimit limit;
	uint32_t end, more;

	getrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN);
	open_store((uint64_t)1 << 30, inline_max);
	for (uint32_t i = 0; i < 100; i++)
		EXPECT(put(i) == BWT_OK);
	set_file_limit((rlim_t)6 << 20);
	end = fill(100);
	EXPECT(end > 100);
	check(0, end);
	delete (0, 50);
	check(50, end);
	set_file_limit(limit.rlim_max); /* space is there again: no reopening needed */
	for (more = end; more < end + 3000 && !failed; more++)
		EXPECT(put(more) == BWT_OK);
	check(50, more);
	EXPECT(bwt_close(db) == BWT_OK);
	open_store((uint64_t)1 << 30, inline_max);
	check(50, more);
	EXPECT(bwt_close(db) == BWT_OK);
	EXPECT(bwt_verify(path, 0, NULL, NULL) == BWT_OK);
}

static void fill_the_arena_to_the_file_limit(void)
{
	fill_to_the_file_limit(0);
}

static void files_that_may_not_grow_are_bwt_full_until_they_may(void)
{
	run_in_child(fill_the_arena_to_the_file_limit);
}

static void close_at_the_file_limit(void)
{
	uint32_t end;

	signal(SIGXFSZ, SIG_IGN);
	open_store((uint64_t)1 << 30, 0);
	set_file_limit((rlim_t)4 << 20);
	end = fill(0);
	EXPECT(bwt_close(db) == BWT_OK);
	open_store((uint64_t)1 << 30, 0);
	check(0, end);
	EXPECT(bwt_close(db) == BWT_OK);
}

static void a_full_store_closes_and_opens_while_it_is_full(void)
{
	run_in_child(close_at_the_file_limit);
}

/* ---- a small file system ---- */

static void skip_in_child(const char *why)
{
	printf("    SKIPPED: %s: %s\n", why, strerror(errno));
	fflush(stdout);
	_exit(CHILD_SKIPPED);
}

static void mount_small(const char *folder, const char *size)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip_in_child("no mount namespace of its own");
	if (mount("tmpfs", folder, "tmpfs", 0, size) != 0)
		skip_in_child("no tmpfs");
}

static void fill_a_file_system(void)
{
	char folder[TMPSTORE_PATH_MAX], outer[TMPSTORE_PATH_MAX];
	uint32_t end, more;

	strcpy(outer, path);
	tmpstore_new(folder);
	mount_small(folder, "size=24m");
	tmpstore_join(path, folder, "store");
	open_store((uint64_t)1 << 30, 0);
	end = fill(0);
	EXPECT(end > 1000);
	check(0, end);
	delete (0, end / 4);
	check(end / 4, end);
	if (mount(NULL, folder, NULL, MS_REMOUNT, "size=64m") != 0)
		skip_in_child("no remount");
	for (more = end; more < end + 3000 && !failed; more++) /* writes resume */
		EXPECT(put(more) == BWT_OK);
	check(end / 4, more);
	more = fill(more); /* full again, closed while full */
	EXPECT(bwt_close(db) == BWT_OK);
	open_store((uint64_t)1 << 30, 0);
	check(end / 4, more);
	EXPECT(bwt_close(db) == BWT_OK);
	EXPECT(bwt_verify(path, 0, NULL, NULL) == BWT_OK);
	umount(folder);
	rmdir(folder);
	strcpy(path, outer);
}

static void a_full_file_system_loses_nothing_and_writes_resume(void)
{
	run_in_child(fill_a_file_system);
}

static void fill_with_large_values(void)
{
	char folder[TMPSTORE_PATH_MAX];
	uint32_t end;

	tmpstore_new(folder);
	mount_small(folder, "size=24m");
	tmpstore_join(path, folder, "store");
	open_store((uint64_t)1 << 30, 100); /* every value to the value log */
	end = fill(0);
	EXPECT(end > 500);
	check(0, end);
	delete (0, end / 2);
	EXPECT(bwt_close(db) == BWT_OK);
	open_store((uint64_t)1 << 30, 100);
	check(end / 2, end);
	EXPECT(bwt_close(db) == BWT_OK);
	umount(folder);
	rmdir(folder);
}

static void a_full_value_log_loses_nothing(void)
{
	run_in_child(fill_with_large_values);
}

static void create_without_space(void)
{
	struct bwt_options options = {.flags = BWT_CREATE};
	char folder[TMPSTORE_PATH_MAX];
	int rc;

	tmpstore_new(folder);
	mount_small(folder, "size=64k");
	tmpstore_join(path, folder, "store");
	rc = bwt_open(path, &options, &db);
	EXPECT(rc == BWT_FULL);
	if (mount(NULL, folder, NULL, MS_REMOUNT, "size=64m") == 0)
		EXPECT(bwt_open(path, &options, &db) == BWT_OK); /* the remains are no obstacle */
	umount(folder);
}

static void creating_without_space_is_bwt_full_and_can_be_tried_again(void)
{
	run_in_child(create_without_space);
}

static void set_up(void)
{
	tmpstore_new(path);
}

static void tear_down(void)
{
	tmpstore_free(path);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_store_at_max_size_keeps_all_takes_deletes_and_writes_again),
		TEST(a_store_killed_while_full_opens_again),
		TEST(files_that_may_not_grow_are_bwt_full_until_they_may),
		TEST(a_full_store_closes_and_opens_while_it_is_full),
		TEST(a_full_file_system_loses_nothing_and_writes_resume),
		TEST(a_full_value_log_loses_nothing),
		TEST(creating_without_space_is_bwt_full_and_can_be_tried_again),
		CU_TEST_INFO_NULL,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return suite_run("crash_full", set_up, tear_down, tests);
}
