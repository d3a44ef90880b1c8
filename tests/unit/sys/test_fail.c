/* SPDX-License-Identifier: MIT */
/* test_fail.c - the words and codes of failed system calls */
#include "sys/fail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"
#include "sys/file.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

static char dir[TMPSTORE_PATH_MAX];
static int dir_fd, file;

static void set_up(void)
{
	tmpstore_new(dir);
	if (sys_dir_open(dir, &dir_fd) < 0 || sys_file_open(dir_fd, "data", SYS_CREATE, &file) < 0)
		abort();
}

static void tear_down(void)
{
	sys_file_close(file);
	sys_file_close(dir_fd);
	tmpstore_free(dir);
}

static bool detail_is(const char *before, const char *name, const char *after)
{
	char text[3 * TMPSTORE_PATH_MAX];

	snprintf(text, sizeof text, "%s%s%s", before, name, after);
	return strcmp(bwt_detail(), text) == 0;
}

static void words_name_operation_file_offset_and_reason(void)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, dir, "data");
	CU_ASSERT_EQUAL(sys_fail(EACCES, "write", file, 4096), -EACCES);
	CU_ASSERT_TRUE(detail_is("write ", path, " at offset 4096: Permission denied"));
	CU_ASSERT_EQUAL(sys_fail(EIO, "sync", file, SYS_NO_OFF), BWT_IO);
	CU_ASSERT_TRUE(detail_is("sync ", path, ": Input/output error"));
	CU_ASSERT_EQUAL(sys_fail(ENOSPC, "write", file, 0), BWT_FULL);
	CU_ASSERT_TRUE(detail_is("write ", path, " at offset 0: No space left on device"));
}

static void names_are_relative_to_a_folder_or_whole(void)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, dir, "gone");
	CU_ASSERT_EQUAL(sys_fail_name(ENOENT, "open", dir_fd, "gone"), -ENOENT);
	CU_ASSERT_TRUE(detail_is("open ", path, ": No such file or directory"));
	CU_ASSERT_EQUAL(sys_fail_name(EDQUOT, "create", -1, "/some/path"), BWT_FULL);
	CU_ASSERT_TRUE(detail_is("create ", "/some/path", ": Disk quota exceeded"));
}

static void a_short_file_says_what_was_wanted_and_what_is_there(void)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, dir, "data");
	CU_ASSERT_EQUAL(sys_fail_short(file, 100, 50, 7), BWT_CORRUPT);
	CU_ASSERT_TRUE(detail_is("", path,
	                         " is shorter than expected: 50 bytes wanted at offset 100, "
	                         "7 are there"));
}

static void a_descriptor_without_a_name_is_numbered(void)
{
	char name[64], path[TMPSTORE_PATH_MAX];

	sys_fd_name(-1, name, sizeof name);
	CU_ASSERT_STRING_EQUAL(name, "descriptor -1");
	sys_fd_name(9999, name, 5);
	CU_ASSERT_STRING_EQUAL(name, "desc"); /* cut, and ended */
	tmpstore_join(path, dir, "data");
	sys_fd_name(file, name, sizeof name);
	CU_ASSERT_EQUAL(strncmp(name, path, sizeof name - 1), 0);
	sys_fd_name(file, name, 5);
	CU_ASSERT_EQUAL(strlen(name), 4);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(words_name_operation_file_offset_and_reason),
		TEST(names_are_relative_to_a_folder_or_whole),
		TEST(a_short_file_says_what_was_wanted_and_what_is_there),
		TEST(a_descriptor_without_a_name_is_numbered),
		CU_TEST_INFO_NULL,
	};
	return suite_run("fail", set_up, tear_down, tests);
}
