/* SPDX-License-Identifier: MIT */
/*
 * test_full_disk.c - a disk without room gives BWT_FULL wherever it is met
 *
 * The disk is a tmpfs of 4 MiB in a mount name space of this process: needs the right to mount,
 * as root or through a user name space, and is skipped without.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "bwt.h"
#include "sys/file.h"
#include "sys/map.h"
#include "sys/ring.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define DISK_SIZE ((uint64_t)4 << 20)
#define STEP SYS_MAP_ALIGN

static char disk[TMPSTORE_PATH_MAX];
static int dir_fd, file;

static void set_up(void)
{
	if (sys_dir_open(disk, &dir_fd) < 0 || sys_file_open(dir_fd, "data", SYS_CREATE, &file) < 0)
		abort();
}

static void tear_down(void)
{
	sys_file_close(file);
	sys_file_unlink(dir_fd, "data");
	sys_file_close(dir_fd);
}

static bool detail_has(const char *text)
{
	return strstr(bwt_detail(), text) != NULL;
}

static void allocating_more_than_there_is_gives_full(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_allocate(file, STEP, DISK_SIZE), BWT_FULL);
	CU_ASSERT_TRUE(detail_has("allocate space in"));
	CU_ASSERT_TRUE(detail_has("/data at offset 2097152: No space left on device"));
	CU_ASSERT_EQUAL(sys_file_allocate(file, STEP, STEP / 2), BWT_OK); /* less still fits */
}

static void writing_more_than_there_is_gives_full(void)
{
	CU_ASSERT_EQUAL(sys_file_zero_fill(file, 0, DISK_SIZE + 1), BWT_FULL);
	CU_ASSERT_TRUE(detail_has("write "));
	CU_ASSERT_EQUAL(sys_file_write(file, "x", 1, 2 * DISK_SIZE), BWT_FULL);
	CU_ASSERT_EQUAL(sys_file_write(file, "x", 1, 0), BWT_OK); /* over what is there */
}

static void a_ring_write_that_does_not_fit_gives_full(void)
{
	uint8_t *data = calloc(2, DISK_SIZE);

	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	for (int plain = 0; plain < 2; plain++) {
		struct sys_io io = {
			.kind = SYS_IO_WRITE_DURABLE, .fd = file, .data = data, .size = 2 * DISK_SIZE};
		struct sys_ring *ring;

		CU_ASSERT_EQUAL_FATAL(sys_ring_new(plain != 0, NULL, 0, &ring), BWT_OK);
		CU_ASSERT_EQUAL(sys_ring_run(ring, &io, 1), BWT_FULL);
		CU_ASSERT_EQUAL(io.rc, BWT_FULL);
		CU_ASSERT_TRUE(detail_has("/data at offset "));
		sys_ring_free(ring);
		CU_ASSERT_EQUAL(sys_file_truncate(file, 0), BWT_OK);
	}
	free(data);
}

static void populating_a_hole_that_does_not_fit_gives_full(void)
{
	struct sys_map map;

	CU_ASSERT_EQUAL(sys_file_truncate(file, 4 * STEP), BWT_OK); /* a hole, twice the disk */
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 4 * STEP, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, STEP), BWT_OK);
	map.base[0] = 1;
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, 4 * STEP), BWT_FULL);
	CU_ASSERT_TRUE(detail_has("/data"));
	CU_ASSERT_EQUAL(map.base[0], 1);
	sys_map_close(&map);
}

/* Returns false when this process may not mount. */
static bool mount_disk(void)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	/* Or the mount would show, and stay, outside. */
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("bwt-test", disk, "tmpfs", 0, "size=4m") == 0;
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(allocating_more_than_there_is_gives_full),
		TEST(writing_more_than_there_is_gives_full),
		TEST(a_ring_write_that_does_not_fit_gives_full),
		TEST(populating_a_hole_that_does_not_fit_gives_full),
		CU_TEST_INFO_NULL,
	};
	int status;

	tmpstore_new(disk);
	if (mount_disk()) {
		status = suite_run("full_disk", set_up, tear_down, tests);
		umount(disk);
	} else {
		status = suite_skip("no right to mount a small disk");
	}
	tmpstore_free(disk);
	return status;
}
