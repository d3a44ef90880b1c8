/* SPDX-License-Identifier: MIT */
/*
 * test_pmem.c - a store in persistent memory, and one whose log stands elsewhere
 *
 * Any file is persistent memory when libpmem is told so.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file.h"
#include "tests/support/quiet.h"
#include "tests/unit/db/db_fixture.h"

#define WARM 30000u
#define QUIET 3000u

static struct fixture fixture;
static char log_path[TMPSTORE_PATH_MAX];

static void set_up(void)
{
	fixture_new(&fixture);
	tmpstore_new(log_path);
}

static void tear_down(void)
{
	fixture_free(&fixture);
	tmpstore_free(log_path);
}

/* ---- the log elsewhere ---- */

static void open_with_log_elsewhere(void)
{
	fixture.options.wal_path = log_path;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 100);
}

static bool has_segments(const char *folder)
{
	char first[TMPSTORE_PATH_MAX];

	tmpstore_join(first, folder, "0000000000000001.wal");
	return access(first, F_OK) == 0;
}

static void a_store_finds_its_log_where_it_was_put(void)
{
	struct bwt_options options;

	open_with_log_elsewhere();
	CU_ASSERT_TRUE(has_segments(log_path));
	fixture_reopen(&fixture); /* named again */
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 100));
	fixture.options.wal_path = NULL;
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 100));
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_OK);
	options = fixture.options;
	options.flags = BWT_RDONLY;
	CU_ASSERT_EQUAL_FATAL(bwt_open(fixture.path, &options, &fixture.db), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, NULL, 0, &fixture.tree), BWT_OK);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 100));
}

static void a_relative_path_is_kept_whole(void)
{
	char name[] = "relative-log", before[TMPSTORE_PATH_MAX];

	CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(before, sizeof before));
	CU_ASSERT_EQUAL_FATAL(chdir(log_path), 0);
	fixture.options.wal_path = name; /* absent: it is made */
	fixture_open(&fixture);
	memset(name, 'x', sizeof name - 1); /* read during the call only */
	fixture_fill(&fixture, 0, 10);
	CU_ASSERT_EQUAL_FATAL(chdir(before), 0);
	fixture.options.wal_path = NULL;
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 10));
}

static void refused(const char *wal_path, int code, const char *words)
{
	struct bwt_options options = fixture.options;
	struct bwt_db *db;

	options.wal_path = wal_path;
	CU_ASSERT_EQUAL(bwt_open(fixture.path, &options, &db), code);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), words));
}

static void another_place_than_that_of_the_store_is_invalid(void)
{
	char inside[TMPSTORE_PATH_MAX];

	refused("", BWT_INVALID, "wal_path");
	fixture_open(&fixture);
	fixture_close(&fixture);
	refused(log_path, BWT_INVALID, "not in");
	tmpstore_join(inside, fixture.path, "wal");
	fixture.options.wal_path = inside; /* where it is in any case */
	fixture_open(&fixture);
}

static void a_folder_with_something_in_it_is_left_alone(void)
{
	char file[TMPSTORE_PATH_MAX];
	int fd;

	tmpstore_join(file, log_path, "letter");
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	close(fd);
	refused(log_path, BWT_INVALID, "not empty");
	CU_ASSERT_EQUAL(unlink(file), 0); /* it was still there */
	open_with_log_elsewhere();        /* and the store can be made after all */
}

static void a_log_that_is_not_mounted_is_said_so(void)
{
	char away[TMPSTORE_PATH_MAX + 8];

	open_with_log_elsewhere();
	fixture_close(&fixture);
	fixture.options.wal_path = NULL;
	snprintf(away, sizeof away, "%s.away", log_path);
	CU_ASSERT_EQUAL_FATAL(rename(log_path, away), 0);
	refused(NULL, -ENOENT, "mounted");
	CU_ASSERT_EQUAL_FATAL(mkdir(log_path, 0777), 0);
	refused(NULL, -ENOENT, "mounted");
	CU_ASSERT_EQUAL_FATAL(rmdir(log_path), 0);
	CU_ASSERT_EQUAL_FATAL(rename(away, log_path), 0);
	fixture_open(&fixture);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 100));
}

static void a_copy_of_the_store_does_not_share_its_log(void)
{
	char copy[TMPSTORE_PATH_MAX], link[TMPSTORE_PATH_MAX], target[TMPSTORE_PATH_MAX];
	struct bwt_db *db;
	ssize_t len;

	open_with_log_elsewhere();
	tmpstore_new(copy);
	tmpstore_copy(fixture.path, copy);
	tmpstore_join(link, fixture.path, "wal");
	len = readlink(link, target, sizeof target - 1);
	CU_ASSERT_TRUE_FATAL(len > 0);
	target[len] = '\0';
	tmpstore_join(link, copy, "wal");
	(void)unlink(link);
	(void)rmdir(link);
	CU_ASSERT_EQUAL_FATAL(symlink(target, link), 0);
	CU_ASSERT_EQUAL(bwt_open(copy, &(struct bwt_options){.flags = 0}, &db), BWT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "copy"));
	tmpstore_free(copy);
}

static void a_backup_has_its_log_inside(void)
{
	char copy[TMPSTORE_PATH_MAX], inside[TMPSTORE_PATH_MAX];
	struct stat st;

	open_with_log_elsewhere();
	tmpstore_new(copy);
	CU_ASSERT_EQUAL_FATAL(bwt_backup(fixture.db, copy), BWT_OK);
	tmpstore_join(inside, copy, "wal");
	CU_ASSERT_EQUAL(lstat(inside, &st), 0);
	CU_ASSERT_TRUE(S_ISDIR(st.st_mode));
	CU_ASSERT_EQUAL(bwt_verify(copy, 0, NULL, NULL), BWT_OK);
	tmpstore_free(copy);
}

/* ---- persistent memory ---- */

#ifndef BWT_NO_PMEM
static void the_counters_name_what_is_in_use(void)
{
	struct bwt_stats stats;

	fixture_open(&fixture);
	stats = fixture_stats(&fixture);
	CU_ASSERT_PTR_NOT_NULL(strstr(stats.media, "dax")); /* on real DAX not a forced one */
	CU_ASSERT_STRING_EQUAL(stats.wal_media, stats.media);
	CU_ASSERT_TRUE(strlen(stats.flush_instruction) > 0);
}

static void a_store_comes_back_whole(void)
{
	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	for (unsigned round = 0; round < 4; round++) {
		fixture_fill(&fixture, round * 500, round * 500 + 500);
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
		if (round % 2 == 1)
			fixture_reopen(&fixture);
	}
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 2000));
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, NULL, NULL), BWT_OK);
}

static int child_status(void (*body)(void))
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		body();
		_exit(EXIT_SUCCESS);
	}
	return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void be_killed(void)
{
	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 1000);
	_exit(EXIT_SUCCESS); /* no close */
}

static void what_was_durable_is_there_after_a_kill(void)
{
	CU_ASSERT_EQUAL(child_status(be_killed), 0);
	fixture_open(&fixture);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 1000));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void put_and_get(struct bwt_buf *buf, unsigned number)
{
	char key[16], value[400];
	struct bwt_slice slice = {key, 8};

	snprintf(key, sizeof key, "%08u", number);
	memset(value, (int)('a' + number % 26), sizeof value);
	if (bwt_put(fixture.tree, NULL, slice, (struct bwt_slice){value, sizeof value}, 0) != BWT_OK ||
	    bwt_get(fixture.tree, NULL, slice, buf) != BWT_OK || buf->size != sizeof value ||
	    memcmp(buf->data, value, sizeof value) != 0)
		_exit(EXIT_FAILURE);
}

/*
 * Warm: files, free extents and memory for what follows are there, as they are in a store that has been at work
 * for a while. Then consolidations, splits, commits and gets, and nothing of the system.
 */
static void work_quietly(void)
{
	struct bwt_buf buf = {0};

	mallopt(M_TOP_PAD, 64 << 20);
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 256 << 20);
	fixture.options.durability = BWT_SYNC;
	fixture.options.inline_max = 1000;
	fixture.options.wal_segment_size = (uint64_t)64 << 20;
	fixture_open(&fixture);
	for (unsigned i = 0; i < WARM; i++)
		put_and_get(&buf, i);
	if (bwt_delete_range(fixture.tree, NULL, (struct bwt_slice){NULL, 0},
	                     (struct bwt_slice){NULL, 0}) != BWT_OK ||
	    bwt_checkpoint(fixture.db) != BWT_OK || bwt_checkpoint(fixture.db) != BWT_OK ||
	    bwt_checkpoint(fixture.db) != BWT_OK)
		_exit(EXIT_FAILURE);
	for (unsigned i = 0; i < QUIET; i++)
		put_and_get(&buf, i);
	quiet_begin();
	for (unsigned i = 0; i < QUIET; i++)
		put_and_get(&buf, i * 7 % QUIET);
}

static void durable_commits_and_reads_make_no_system_call(void)
{
	CU_ASSERT_EQUAL(child_status(work_quietly), 0);
}
#endif
#endif

int main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
		TEST(a_store_finds_its_log_where_it_was_put),
		TEST(a_relative_path_is_kept_whole),
		TEST(another_place_than_that_of_the_store_is_invalid),
		TEST(a_folder_with_something_in_it_is_left_alone),
		TEST(a_log_that_is_not_mounted_is_said_so),
		TEST(a_copy_of_the_store_does_not_share_its_log),
		TEST(a_backup_has_its_log_inside),
#ifndef BWT_NO_PMEM
		TEST(the_counters_name_what_is_in_use),
		TEST(a_store_comes_back_whole),
		TEST(what_was_durable_is_there_after_a_kill),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		TEST(durable_commits_and_reads_make_no_system_call),
#endif
#endif
		CU_TEST_INFO_NULL,
	};

	(void)argc;
#ifndef BWT_NO_PMEM
	suite_force_pmem(argv);
#else
	(void)argv;
#endif
	return suite_run("pmem", set_up, tear_down, tests);
}
