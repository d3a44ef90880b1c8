/* SPDX-License-Identifier: MIT */
/*
 * test_persist.c - which call makes which mapping durable
 *
 * libpmem reads PMEM_IS_PMEM_FORCE when it is loaded, so the forced case is this program again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bwt.h"
#include "sys/file.h"
#include "sys/map.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tests/unit/sys/child.h"

static char dir[TMPSTORE_PATH_MAX];
static int dir_fd, file;
static struct sys_map map;

static void set_up(void)
{
	tmpstore_new(dir);
	if (sys_dir_open(dir, &dir_fd) < 0 || sys_file_open(dir_fd, "arena", SYS_CREATE, &file) < 0 ||
	    sys_file_allocate(file, 0, SYS_MAP_ALIGN) < 0)
		abort();
	memset(&map, 0, sizeof map);
}

static void tear_down(void)
{
	sys_map_close(&map);
	sys_file_close(file);
	sys_file_close(dir_fd);
	tmpstore_free(dir);
}

static void a_plain_file_is_not_persistent_memory(void)
{
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, SYS_MAP_ALIGN, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(map.media, SYS_MEDIA_FILE);
	memcpy(map.base + 60, "12345678", 8);
	sys_persist_flush(&map, map.base + 60, 8); /* allowed, and nothing */
	sys_persist_drain(&map);
	sys_persist_copy(&map, map.base + 8, "abcdefgh", 8);
	CU_ASSERT_EQUAL(memcmp(map.base + 8, "abcdefgh", 8), 0);
	CU_ASSERT_EQUAL(sys_persist_deep(&map, map.base + 60, 8), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_sync(&map, 60, 8), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_media(file), SYS_MEDIA_FILE);
}

static void sync_with_a_broken_disk(void)
{
	child_forbid(SYS_fdatasync, EIO);
	CHILD_CHECK(sys_map_open(file, SYS_MAP_ALIGN, 0, &map) == BWT_OK);
	CHILD_CHECK(sys_map_sync(&map, 0, 4096) == BWT_IO);
	CHILD_CHECK(strstr(bwt_detail(), "/arena") != NULL);
	sys_map_close(&map);
	CHILD_CHECK(sys_map_open(file, SYS_MAP_ALIGN, SYS_MAP_PRIVATE, &map) == BWT_OK);
	CHILD_CHECK(sys_map_sync(&map, 0, 4096) == BWT_OK); /* has nothing to make durable */
	sys_map_close(&map);
	CHILD_CHECK(sys_map_open(file, SYS_MAP_ALIGN, SYS_MAP_RDONLY, &map) == BWT_OK);
	CHILD_CHECK(sys_map_sync(&map, 0, 4096) == BWT_OK);
}

static void a_file_mapping_is_synced_by_fdatasync_whose_failure_is_reported(void)
{
	CU_ASSERT_TRUE(child_passes(sync_with_a_broken_disk));
}

#ifndef BWT_NO_PMEM
static void run_forced(void)
{
	char *arguments[] = {"test_persist", "forced", dir, NULL};
	char *environment[] = {"PMEM_IS_PMEM_FORCE=1", NULL};

	execve("/proc/self/exe", arguments, environment);
	_exit(2); /* could not be run */
}

/* In the second program: the mapping claims to be persistent, and no file is synced any more. */
static int forced(const char *path)
{
	static const char text[] = "across a cache line";
	char back[sizeof text];

	CHILD_CHECK(sys_dir_open(path, &dir_fd) == BWT_OK);
	CHILD_CHECK(sys_file_open(dir_fd, "arena", 0, &file) == BWT_OK);
	child_forbid(SYS_fdatasync, EIO);
	CHILD_CHECK(sys_map_open(file, SYS_MAP_ALIGN, 0, &map) == BWT_OK);
	CHILD_CHECK(map.media == SYS_MEDIA_FORCED_DAX);
	memcpy(map.base + 50, text, sizeof text);
	sys_persist_flush(&map, map.base + 50, sizeof text);
	sys_persist_drain(&map);
	CHILD_CHECK(sys_map_sync(&map, 50, sizeof text) == BWT_OK);
	CHILD_CHECK(sys_persist_deep(&map, map.base + 50, sizeof text) == BWT_OK);
	CHILD_CHECK(sys_map_media(file) == SYS_MEDIA_FORCED_DAX);
	CHILD_CHECK(sys_file_read(file, back, sizeof back, 50) == BWT_OK);
	CHILD_CHECK(memcmp(back, text, sizeof text) == 0);
	sys_map_close(&map);
	CHILD_CHECK(sys_map_open(file, SYS_MAP_ALIGN, SYS_MAP_PRIVATE, &map) == BWT_OK);
	CHILD_CHECK(map.media == SYS_MEDIA_FILE);
	return EXIT_SUCCESS;
}

static void forcing_libpmem_is_reported_as_forced(void)
{
	CU_ASSERT_TRUE(child_passes(run_forced));
}
#endif

/* ---- where TMPDIR is on persistent memory (tests/nvdimm) ---- */

static bool on_dax(void)
{
	bool dax;

	set_up();
	dax = sys_map_media(file) == SYS_MEDIA_DAX;
	tear_down();
	return dax;
}

/* The file is never synced: what is flushed and fenced is there. */
static void a_file_on_dax_is_persistent_memory_and_is_not_synced(void)
{
	static const char text[] = "across a cache line";
	char back[sizeof text];

	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, SYS_MAP_ALIGN, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(map.media, SYS_MEDIA_DAX);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, SYS_MAP_ALIGN), BWT_OK);
	memcpy(map.base + 50, text, sizeof text);
	sys_persist_flush(&map, map.base + 50, sizeof text);
	sys_persist_copy(&map, map.base + 5000, text, sizeof text);
	sys_persist_drain(&map);
	CU_ASSERT_EQUAL(sys_map_sync(&map, 50, sizeof text), BWT_OK);
	CU_ASSERT_EQUAL(sys_persist_deep(&map, map.base + 50, sizeof text), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, sizeof back, 50), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, text, sizeof text), 0);
	CU_ASSERT_EQUAL(sys_file_read(file, back, sizeof back, 5000), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, text, sizeof text), 0);
	CU_ASSERT_TRUE(strlen(sys_persist_instruction()) > 0);
}

int main(int argc, char **argv)
{
	CU_TestInfo dax_tests[] = {
		TEST(a_file_on_dax_is_persistent_memory_and_is_not_synced),
		CU_TEST_INFO_NULL,
	};

	CU_TestInfo tests[] = {
		TEST(a_plain_file_is_not_persistent_memory),
		TEST(a_file_mapping_is_synced_by_fdatasync_whose_failure_is_reported),
#ifndef BWT_NO_PMEM
		TEST(forcing_libpmem_is_reported_as_forced),
#endif
		CU_TEST_INFO_NULL,
	};
#ifndef BWT_NO_PMEM
	if (argc == 3 && strcmp(argv[1], "forced") == 0)
		return forced(argv[2]);
#else
	(void)argc, (void)argv;
#endif
	return suite_run("persist", set_up, tear_down, on_dax() ? dax_tests : tests);
}
