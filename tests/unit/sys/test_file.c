/* SPDX-License-Identifier: MIT */
/* test_file.c - files and directories; the full disk itself is in test_full_disk.c */
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "bwt.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tests/unit/sys/child.h"

#define LARGE ((size_t)3 << 20)

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

static bool detail_has(const char *text)
{
	return strstr(bwt_detail(), text) != NULL;
}

static uint64_t size_of(int fd)
{
	uint64_t size = UINT64_MAX;

	CU_ASSERT_EQUAL(sys_file_size(fd, &size), BWT_OK);
	return size;
}

static void what_is_written_is_read_back(void)
{
	char back[6] = "";

	CU_ASSERT_EQUAL(sys_file_write(file, "hello", 5, 1000), BWT_OK);
	CU_ASSERT_EQUAL(size_of(file), 1005);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 5, 1000), BWT_OK);
	CU_ASSERT_STRING_EQUAL(back, "hello");
	CU_ASSERT_EQUAL(sys_file_read(file, back, 5, 0), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, "\0\0\0\0\0", 5), 0);
}

static void reading_and_writing_nothing_succeeds(void)
{
	CU_ASSERT_EQUAL(sys_file_write(file, "", 0, 0), BWT_OK);
	CU_ASSERT_EQUAL(size_of(file), 0);
	CU_ASSERT_EQUAL(sys_file_read(file, NULL, 0, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_zero_fill(file, 0, 0), BWT_OK);
	CU_ASSERT_EQUAL(size_of(file), 0);
}

static void a_read_beyond_the_end_is_corrupt_and_says_where(void)
{
	char back[8];

	CU_ASSERT_EQUAL(sys_file_write(file, "12345", 5, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 5, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 6, 0), BWT_CORRUPT);
	CU_ASSERT_TRUE(detail_has("shorter than"));
	CU_ASSERT_TRUE(detail_has("/data"));
	CU_ASSERT_EQUAL(sys_file_read(file, back, 1, 5000), BWT_CORRUPT);
	CU_ASSERT_TRUE(detail_has("offset 5000"));
}

static void read_some_gives_what_is_there(void)
{
	char back[8];
	size_t got = 99;

	CU_ASSERT_EQUAL(sys_file_write(file, "12345", 5, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read_some(file, back, 8, 2, &got), BWT_OK);
	CU_ASSERT_EQUAL(got, 3);
	CU_ASSERT_EQUAL(sys_file_read_some(file, back, 8, 5, &got), BWT_OK);
	CU_ASSERT_EQUAL(got, 0);
}

static void opening_an_absent_file_says_which(void)
{
	int fd = 77;

	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "absent", 0, &fd), -ENOENT);
	CU_ASSERT_TRUE(detail_has(dir));
	CU_ASSERT_TRUE(detail_has("/absent"));
	CU_ASSERT_EQUAL(fd, 77);
}

static void exclusive_creation_refuses_what_is_there(void)
{
	int fd;

	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "data", SYS_CREATE | SYS_EXCL, &fd), BWT_EXISTS);
	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "new", SYS_CREATE | SYS_EXCL, &fd), BWT_OK);
	sys_file_close(fd);
}

static void a_file_opened_for_reading_takes_no_bytes(void)
{
	int fd;

	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "data", SYS_RDONLY, &fd), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(fd, "x", 1, 4096), -EBADF);
	CU_ASSERT_TRUE(detail_has("write "));
	CU_ASSERT_TRUE(detail_has("offset 4096"));
	sys_file_close(fd);
}

static void what_is_not_a_regular_file_is_corrupt_and_never_waits(void)
{
	char path[TMPSTORE_PATH_MAX];
	int fd;

	tmpstore_join(path, dir, "pipe");
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "pipe", SYS_RDONLY, &fd), BWT_CORRUPT);
	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "pipe", 0, &fd), BWT_CORRUPT);
	CU_ASSERT_TRUE(detail_has("/pipe is not a regular file"));
	CU_ASSERT_EQUAL(sys_dir_create_at(dir_fd, "sub"), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "sub", SYS_RDONLY, &fd), BWT_CORRUPT);
	CU_ASSERT_EQUAL(sys_file_open(dir_fd, "sub", 0, &fd), -EISDIR);
}

static void descriptors_block_and_close_on_exec(void)
{
	CU_ASSERT_EQUAL(fcntl(file, F_GETFL) & O_NONBLOCK, 0);
	CU_ASSERT_EQUAL(fcntl(file, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CU_ASSERT_EQUAL(fcntl(dir_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	sys_file_close(-1);
}

static void direct_files_take_whole_blocks_or_are_refused(void)
{
	void *block = aligned_alloc(4096, 8192);
	int fd, rc = sys_file_open(dir_fd, "direct", SYS_CREATE | SYS_DIRECT, &fd);

	if (block == NULL)
		abort();
	if (rc == BWT_OK) {
		memset(block, 5, 8192);
		CU_ASSERT_EQUAL(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
		CU_ASSERT_EQUAL(sys_file_write(fd, block, 8192, 4096), BWT_OK);
		memset(block, 0, 8192);
		CU_ASSERT_EQUAL(sys_file_read(fd, block, 8192, 4096), BWT_OK);
		CU_ASSERT_EQUAL(((char *)block)[8191], 5);
		CU_ASSERT_EQUAL(sys_file_zero_fill(fd, 0, LARGE), BWT_OK);
		CU_ASSERT_EQUAL(size_of(fd), LARGE);
		sys_file_close(fd);
	} else {
		CU_ASSERT_EQUAL(rc, -EINVAL);
	}
	free(block);
}

static void allocating_takes_blocks_and_keeps_bytes(void)
{
	char back[4];
	uint64_t bytes = 0;

	CU_ASSERT_EQUAL(sys_file_write(file, "keep", 4, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, LARGE), BWT_OK);
	CU_ASSERT_EQUAL(size_of(file), LARGE);
	CU_ASSERT_EQUAL(sys_file_disk_bytes(file, &bytes), BWT_OK);
	CU_ASSERT_TRUE(bytes >= LARGE);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 4, 0), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, "keep", 4), 0);
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, 10), BWT_OK); /* never shrinks */
	CU_ASSERT_EQUAL(size_of(file), LARGE);
}

static void allocate_without_fallocate(void)
{
	char back[4];

	child_forbid(SYS_fallocate, EOPNOTSUPP);
	CHILD_CHECK(sys_file_write(file, "keep", 4, 0) == BWT_OK);
	CHILD_CHECK(sys_file_allocate(file, 0, LARGE) == BWT_OK);
	CHILD_CHECK(sys_file_read(file, back, 4, 0) == BWT_OK && memcmp(back, "keep", 4) == 0);
	CHILD_CHECK(sys_file_allocate(file, 100, 50) == BWT_OK); /* inside: nothing to do */
	CHILD_CHECK(sys_file_allocate(file, LARGE + 4096, 4096) == BWT_OK);
}

static void allocating_works_where_fallocate_does_not(void)
{
	uint64_t bytes = 0;

	CU_ASSERT_TRUE(child_passes(allocate_without_fallocate));
	CU_ASSERT_EQUAL(size_of(file), LARGE + 8192);
	CU_ASSERT_EQUAL(sys_file_disk_bytes(file, &bytes), BWT_OK);
	CU_ASSERT_TRUE(bytes >= LARGE);
}

static void grow_to_the_limit(void)
{
	child_limit_file_size(10000);
	CHILD_CHECK(sys_file_write(file, "1234", 4, 9996) == BWT_OK);
	CHILD_CHECK(sys_file_write(file, "1234", 4, 9997) == BWT_FULL);
	CHILD_CHECK(detail_has("/data at offset 9997"));
	CHILD_CHECK(sys_file_allocate(file, 0, 10000) == BWT_OK);
	CHILD_CHECK(sys_file_allocate(file, 0, 10001) == BWT_FULL);
	CHILD_CHECK(sys_file_truncate(file, 10001) == BWT_FULL);
	CHILD_CHECK(sys_file_zero_fill(file, 0, 10001) == BWT_FULL);
	CHILD_CHECK(sys_file_truncate(file, 10000) == BWT_OK);
}

static void a_file_size_limit_is_full_and_not_a_death(void)
{
	CU_ASSERT_TRUE(child_passes(grow_to_the_limit));
	CU_ASSERT_EQUAL(size_of(file), 10000);
}

static void device_errors_have_our_codes(void)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	char byte;

	CU_ASSERT_TRUE_FATAL(full >= 0 && memory >= 0);
	CU_ASSERT_EQUAL(sys_file_write(full, "x", 1, 0), BWT_FULL);
	CU_ASSERT_TRUE(detail_has("/dev/full"));
	CU_ASSERT_EQUAL(sys_file_read(memory, &byte, 1, 0), BWT_IO); /* address 0: nothing mapped */
	CU_ASSERT_TRUE(detail_has("read "));
	sys_file_close(full);
	sys_file_close(memory);
}

static void sync_with_a_broken_disk(void)
{
	child_forbid(SYS_fdatasync, EIO);
	child_forbid(SYS_fsync, EIO);
	CHILD_CHECK(sys_file_sync(file) == BWT_IO);
	CHILD_CHECK(detail_has("sync ") && detail_has("/data"));
	CHILD_CHECK(sys_file_drop_cache(file) == BWT_IO);
	CHILD_CHECK(sys_dir_sync(dir_fd) == BWT_IO);
	CHILD_CHECK(sys_dir_create("never-mind") == BWT_IO); /* the parent could not be synced */
}

static void a_failed_sync_is_reported(void)
{
	char path[TMPSTORE_PATH_MAX];

	CU_ASSERT_EQUAL(sys_file_sync(file), BWT_OK);
	CU_ASSERT_EQUAL(sys_dir_sync(dir_fd), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(chdir(dir), 0);
	CU_ASSERT_TRUE(child_passes(sync_with_a_broken_disk));
	CU_ASSERT_EQUAL(chdir("/"), 0);
	tmpstore_join(path, dir, "never-mind");
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
}

static void truncating_cuts_and_grows(void)
{
	char back[3] = "zz";

	CU_ASSERT_EQUAL(sys_file_write(file, "123456", 6, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_truncate(file, 1), BWT_OK);
	CU_ASSERT_EQUAL(size_of(file), 1);
	CU_ASSERT_EQUAL(sys_file_truncate(file, 3), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 3, 0), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, "1\0\0", 3), 0);
	CU_ASSERT_EQUAL(sys_file_truncate(dir_fd, 3), -EINVAL);
}

static void zero_fill_covers_its_range_and_no_more(void)
{
	char *bytes = malloc(LARGE);
	size_t i;

	if (bytes == NULL)
		abort();
	memset(bytes, 'x', LARGE);
	CU_ASSERT_EQUAL(sys_file_write(file, bytes, LARGE, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_zero_fill(file, 3, LARGE - 5), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, bytes, LARGE, 0), BWT_OK);
	CU_ASSERT_EQUAL(bytes[2], 'x');
	CU_ASSERT_EQUAL(bytes[LARGE - 2], 'x');
	for (i = 3; i < LARGE - 2 && bytes[i] == 0; i++)
		;
	CU_ASSERT_EQUAL(i, LARGE - 2);
	free(bytes);
}

static void dropping_the_cache_keeps_the_bytes(void)
{
	char back[5];

	CU_ASSERT_EQUAL(sys_file_write(file, "dirty", 5, 70000), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_drop_cache(file), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 5, 70000), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, "dirty", 5), 0);
}

static void names_change_and_go(void)
{
	bool there = false;

	CU_ASSERT_EQUAL(sys_file_rename(dir_fd, "data", "moved"), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_exists(dir_fd, "moved", &there), BWT_OK);
	CU_ASSERT_TRUE(there);
	CU_ASSERT_EQUAL(sys_file_exists(dir_fd, "data", &there), BWT_OK);
	CU_ASSERT_FALSE(there);
	CU_ASSERT_EQUAL(sys_file_rename(dir_fd, "data", "moved"), -ENOENT);
	CU_ASSERT_TRUE(detail_has("rename"));
	CU_ASSERT_EQUAL(sys_file_unlink(dir_fd, "moved"), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_unlink(dir_fd, "moved"), -ENOENT);
	CU_ASSERT_EQUAL(sys_file_exists(file, "x", &there), -ENOTDIR);
}

static void opening_a_folder_says_why_it_cannot(void)
{
	char path[TMPSTORE_PATH_MAX];
	int fd;

	tmpstore_join(path, dir, "absent");
	CU_ASSERT_EQUAL(sys_dir_open(path, &fd), -ENOENT);
	CU_ASSERT_TRUE(detail_has(path));
	tmpstore_join(path, dir, "data");
	CU_ASSERT_EQUAL(sys_dir_open(path, &fd), -ENOTDIR);
	CU_ASSERT_EQUAL(sys_dir_open_at(dir_fd, "data", &fd), -ENOTDIR);
	CU_ASSERT_TRUE(detail_has(path));
	CU_ASSERT_EQUAL(sys_dir_sync(-1), -EBADF);
	CU_ASSERT_TRUE(detail_has("descriptor -1"));
}

static void a_folder_is_created_once(void)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, dir, "sub");
	CU_ASSERT_EQUAL(sys_dir_create(path), BWT_OK);
	CU_ASSERT_EQUAL(sys_dir_create(path), BWT_EXISTS);
	tmpstore_join(path, dir, "data");
	CU_ASSERT_EQUAL(sys_dir_create(path), BWT_EXISTS);
	tmpstore_join(path, dir, "absent/sub");
	CU_ASSERT_EQUAL(sys_dir_create(path), -ENOENT);
	tmpstore_join(path, dir, "slashes//");
	CU_ASSERT_EQUAL(sys_dir_create(path), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(chdir(dir), 0);
	CU_ASSERT_EQUAL(sys_dir_create("relative"), BWT_OK);
	CU_ASSERT_EQUAL(chdir("/"), 0);
}

static void a_folder_inside_may_be_there_already(void)
{
	int fd;

	CU_ASSERT_EQUAL(sys_dir_create_at(dir_fd, "wal"), BWT_OK);
	CU_ASSERT_EQUAL(sys_dir_create_at(dir_fd, "wal"), BWT_OK);
	CU_ASSERT_EQUAL(sys_dir_create_at(dir_fd, "data"), -ENOTDIR);
	CU_ASSERT_EQUAL(sys_dir_create_at(dir_fd, "a/b"), -ENOENT);
	CU_ASSERT_EQUAL_FATAL(sys_dir_open_at(dir_fd, "wal", &fd), BWT_OK);
	sys_file_close(fd);
}

static int count_names(void *ctx, const char *name)
{
	unsigned *seen = ctx;

	CU_ASSERT_TRUE(strcmp(name, "data") == 0 || strcmp(name, "other") == 0);
	(*seen)++;
	return 0;
}

static int stop_at_once(void *ctx, const char *name)
{
	(void)name;
	(*(unsigned *)ctx)++;
	return 42;
}

static void listing_names_all_and_stops_when_told(void)
{
	unsigned seen = 0;
	int fd;

	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "other", SYS_CREATE, &fd), BWT_OK);
	sys_file_close(fd);
	for (int again = 0; again < 2; again++) { /* a list has no position of its own */
		seen = 0;
		CU_ASSERT_EQUAL(sys_dir_list(dir_fd, count_names, &seen), BWT_OK);
		CU_ASSERT_EQUAL(seen, 2);
	}
	seen = 0;
	CU_ASSERT_EQUAL(sys_dir_list(dir_fd, stop_at_once, &seen), 42);
	CU_ASSERT_EQUAL(seen, 1);
	CU_ASSERT_EQUAL(sys_dir_list(file, count_names, &seen), -ENOTDIR);
}

static void a_lock_is_held_by_one_and_names_its_holder(void)
{
	char pid[32];
	int second;

	CU_ASSERT_EQUAL(sys_file_lock_owner(file), 0);
	CU_ASSERT_EQUAL(sys_file_lock(file), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_lock_note(file), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "data", 0, &second), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_lock(second), BWT_BUSY);
	snprintf(pid, sizeof pid, "process %ld", (long)getpid());
	CU_ASSERT_TRUE(detail_has(pid));
	CU_ASSERT_EQUAL(sys_file_lock_owner(second), getpid());
	sys_file_close(file);
	CU_ASSERT_EQUAL(sys_file_lock(second), BWT_OK);
	file = second;
}

static void a_lock_file_with_other_words_names_nobody(void)
{
	static const char *const words[] = {"nobody\n", "12", "-5\n", "0\n", "12 34\n", "\n"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		CU_ASSERT_EQUAL(sys_file_truncate(file, 0), BWT_OK);
		CU_ASSERT_EQUAL(sys_file_write(file, words[i], strlen(words[i]), 0), BWT_OK);
		CU_ASSERT_EQUAL(sys_file_lock_owner(file), 0);
	}
	CU_ASSERT_EQUAL(sys_file_truncate(file, 100), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_lock_owner(file), 0);
}

static void every_byte_written_is_counted(void)
{
	uint64_t before = sys_file_bytes_written();

	CU_ASSERT_EQUAL(sys_file_write(file, "12345", 5, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_zero_fill(file, 0, LARGE), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(dir_fd, "1", 1, 0), -EBADF); /* counts nothing */
	sys_file_count_written(7);
	CU_ASSERT_EQUAL(sys_file_bytes_written() - before, 5 + LARGE + 7);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(what_is_written_is_read_back),
		TEST(reading_and_writing_nothing_succeeds),
		TEST(a_read_beyond_the_end_is_corrupt_and_says_where),
		TEST(read_some_gives_what_is_there),
		TEST(opening_an_absent_file_says_which),
		TEST(exclusive_creation_refuses_what_is_there),
		TEST(a_file_opened_for_reading_takes_no_bytes),
		TEST(what_is_not_a_regular_file_is_corrupt_and_never_waits),
		TEST(descriptors_block_and_close_on_exec),
		TEST(direct_files_take_whole_blocks_or_are_refused),
		TEST(allocating_takes_blocks_and_keeps_bytes),
		TEST(allocating_works_where_fallocate_does_not),
		TEST(a_file_size_limit_is_full_and_not_a_death),
		TEST(device_errors_have_our_codes),
		TEST(a_failed_sync_is_reported),
		TEST(truncating_cuts_and_grows),
		TEST(zero_fill_covers_its_range_and_no_more),
		TEST(dropping_the_cache_keeps_the_bytes),
		TEST(names_change_and_go),
		TEST(opening_a_folder_says_why_it_cannot),
		TEST(a_folder_is_created_once),
		TEST(a_folder_inside_may_be_there_already),
		TEST(listing_names_all_and_stops_when_told),
		TEST(a_lock_is_held_by_one_and_names_its_holder),
		TEST(a_lock_file_with_other_words_names_nobody),
		TEST(every_byte_written_is_counted),
		CU_TEST_INFO_NULL,
	};
	return suite_run("file", set_up, tear_down, tests);
}
