/* SPDX-License-Identifier: MIT */
/* test_map.c - the mapping of the arena, and reserved memory; faults in it are in test_fault.c */
#include "sys/map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "bwt.h"
#include "sys/file.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tests/unit/sys/child.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN_OF_CLANG
#endif
#endif

#define STEP SYS_MAP_ALIGN
/* The default address space of a store; TSan leaves a program 1.5 TiB in all. */
#if defined(__SANITIZE_THREAD__) || defined(TSAN_OF_CLANG)
#define HUGE ((size_t)1 << 37)
#else
#define HUGE ((size_t)1 << 40)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static char dir[TMPSTORE_PATH_MAX];
static int dir_fd, file;
static struct sys_map map;

static void set_up(void)
{
	tmpstore_new(dir);
	if (sys_dir_open(dir, &dir_fd) < 0 || sys_file_open(dir_fd, "arena", SYS_CREATE, &file) < 0)
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

/* Bit 63 of an entry of pagemap: this process has the page in its table. */
static unsigned pages_present(const uint8_t *start, unsigned count)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned present = 0;

	CU_ASSERT_TRUE_FATAL(pagemap >= 0);
	for (unsigned i = 0; i < count; i++) {
		uint64_t entry = 0;
		off_t off = (off_t)(((uintptr_t)start / 4096 + i) * sizeof entry);

		CU_ASSERT_EQUAL(pread(pagemap, &entry, sizeof entry, off), sizeof entry);
		present += (unsigned)(entry >> 63);
	}
	close(pagemap);
	return present;
}

static void a_mapping_shows_the_file_and_takes_stores(void)
{
	char back[4];

	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(file, "file", 4, 100), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 4 * STEP, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(map.base + 100, "file", 4), 0);
	memcpy(map.base + STEP - 4, "mine", 4);
	CU_ASSERT_EQUAL(sys_map_sync(&map, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 4, STEP - 4), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, "mine", 4), 0);
}

static void a_mapping_is_aligned_and_says_what_it_is(void)
{
	for (unsigned i = 1; i < 6; i++) {
		CU_ASSERT_EQUAL_FATAL(sys_map_open(file, i * STEP, 0, &map), BWT_OK);
		CU_ASSERT_EQUAL((uintptr_t)map.base % STEP, 0);
		CU_ASSERT_EQUAL(map.size, i * STEP);
		CU_ASSERT_EQUAL(map.fd, file);
		CU_ASSERT_EQUAL(map.flags, 0);
		CU_ASSERT_EQUAL(map.media, SYS_MEDIA_FILE);
		sys_map_close(&map);
		CU_ASSERT_PTR_NULL(map.base);
	}
	sys_map_close(&map); /* closed already: nothing */
}

static void the_file_grows_under_a_mapping_of_full_size(void)
{
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, HUGE, 0, &map), BWT_OK);
	for (uint64_t off = 0; off < 4 * STEP; off += STEP) {
		CU_ASSERT_EQUAL(sys_file_allocate(file, off, STEP), BWT_OK);
		CU_ASSERT_EQUAL(sys_map_populate(&map, off, STEP), BWT_OK);
		map.base[off] = 7;
		map.base[off + STEP - 1] = 8;
	}
	CU_ASSERT_EQUAL(map.base[0], 7);
	CU_ASSERT_EQUAL(map.base[4 * STEP - 1], 8);
}

static void several_stores_are_mapped_at_full_size(void)
{
	struct sys_map more[4];

	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(sys_map_open(file, HUGE, 0, &more[i]), BWT_OK);
	for (unsigned i = 0; i < 4; i++)
		sys_map_close(&more[i]);
}

static void too_much_address_space_is_refused(void)
{
	struct sys_map none = {.base = (uint8_t *)1};

	CU_ASSERT_EQUAL(sys_map_open(file, (size_t)1 << 57, 0, &none), -ENOMEM);
	CU_ASSERT_PTR_EQUAL(none.base, (uint8_t *)1);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "/arena"));
}

static void what_cannot_be_mapped_is_refused(void)
{
	struct sys_map none;
	int read_only;

	CU_ASSERT_EQUAL(sys_map_open(-1, STEP, 0, &none), -EBADF);
	CU_ASSERT_EQUAL(sys_map_open(-1, STEP, SYS_MAP_PRIVATE, &none), -EBADF);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "arena", SYS_RDONLY, &read_only), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_open(read_only, STEP, 0, &none), -EACCES);
	CU_ASSERT_EQUAL(sys_map_open(read_only, STEP, SYS_MAP_RDONLY, &map), BWT_OK);
	sys_file_close(read_only);
}

static void store_into_the_map(void)
{
	signal(SIGSEGV, SIG_DFL);
	((volatile uint8_t *)map.base)[0] = 1;
}

static void a_read_only_mapping_takes_no_stores(void)
{
	CU_ASSERT_EQUAL(sys_file_write(file, "file", 4, 0), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, STEP, SYS_MAP_RDONLY, &map), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(map.base, "file", 4), 0);
	CU_ASSERT_EQUAL(child_killed_by(store_into_the_map), SIGSEGV);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, 4), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_sync(&map, 0, 4), BWT_OK);
	sys_map_close(&map);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, STEP, SYS_MAP_RDONLY | SYS_MAP_PRIVATE, &map),
	                      BWT_OK);
	CU_ASSERT_EQUAL(memcmp(map.base, "file", 4), 0);
	CU_ASSERT_EQUAL(map.base[STEP - 1], 0);
	CU_ASSERT_EQUAL(child_killed_by(store_into_the_map), SIGSEGV);
}

static void a_private_mapping_keeps_changes_to_itself(void)
{
	char back[4];
	int read_only;

	CU_ASSERT_EQUAL(sys_file_write(file, "file", 4, 0), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "arena", SYS_RDONLY, &read_only), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(read_only, HUGE, SYS_MAP_PRIVATE, &map), BWT_OK);
	CU_ASSERT_EQUAL((uintptr_t)map.base % STEP, 0);
	CU_ASSERT_EQUAL(memcmp(map.base, "file", 4), 0);
	memcpy(map.base, "mine", 4);
	CU_ASSERT_EQUAL(sys_map_sync(&map, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_read(file, back, 4, 0), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(back, "file", 4), 0);
	sys_file_close(read_only);
}

static void a_private_mapping_goes_on_as_zero_memory(void)
{
	static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, STEP, STEP + 5, 3 * STEP};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t shown = sizes[i] < 2 * STEP ? sizes[i] : 2 * STEP;
		uint64_t zeroes = 0;

		CU_ASSERT_EQUAL(sys_file_truncate(file, sizes[i]), BWT_OK);
		if (shown > 0)
			CU_ASSERT_EQUAL(sys_file_write(file, "E", 1, shown - 1), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 2 * STEP, SYS_MAP_PRIVATE, &map), BWT_OK);
		if (shown > 0)
			CU_ASSERT_EQUAL(map.base[shown - 1], 'E');
		while (shown + zeroes < 2 * STEP && map.base[shown + zeroes] == 0)
			zeroes++;
		CU_ASSERT_EQUAL(shown + zeroes, 2 * STEP);
		CU_ASSERT_EQUAL(sys_map_populate(&map, 0, 2 * STEP), BWT_OK);
		map.base[2 * STEP - 1] = 1;
		sys_map_close(&map);
		CU_ASSERT_EQUAL(sys_file_truncate(file, 0), BWT_OK);
	}
}

static void populating_a_private_mapping_copies_nothing(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 2 * STEP, SYS_MAP_PRIVATE, &map), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, 2 * STEP), BWT_OK);
	CU_ASSERT_EQUAL(pages_present(map.base, 1024), 0);
}

static void populating_fills_the_page_tables_and_keeps_bytes(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, 3 * STEP), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(file, "keep", 4, 2 * STEP), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 4 * STEP, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(pages_present(map.base + STEP, 1024), 0);
	CU_ASSERT_EQUAL(sys_map_populate(&map, STEP, 2 * STEP), BWT_OK);
	CU_ASSERT_EQUAL(pages_present(map.base + STEP, 1024), 1024);
	CU_ASSERT_EQUAL(memcmp(map.base + 2 * STEP, "keep", 4), 0);
}

static void populating_takes_any_range_inside(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 2 * STEP, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 2 * STEP, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 5000, 10000), BWT_OK);
	CU_ASSERT_EQUAL(pages_present(map.base + 4096, 3), 3);
	CU_ASSERT_EQUAL(sys_map_populate(&map, STEP - 1, 1), BWT_OK);
}

static void populating_beyond_the_file_is_an_error(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 4 * STEP, 0, &map), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 0, STEP + 1), BWT_IO);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "/arena at offset 2097152"));
	sys_map_close(&map);
	CU_ASSERT_EQUAL_FATAL(sys_map_open(file, 4 * STEP, SYS_MAP_RDONLY, &map), BWT_OK);
	CU_ASSERT_EQUAL(sys_map_populate(&map, 2 * STEP, STEP), BWT_IO);
}

static void populate_without_the_advice(void)
{
	child_forbid_with(SYS_madvise, 2, MADV_POPULATE_WRITE, EINVAL);
	child_forbid_with(SYS_madvise, 2, MADV_POPULATE_READ, EINVAL);
	CHILD_CHECK(sys_map_open(file, STEP, 0, &map) == BWT_OK);
	CHILD_CHECK(sys_map_populate(&map, 0, STEP) == BWT_OK);
	CHILD_CHECK(pages_present(map.base, 512) == 512);
	CHILD_CHECK(map.base[4096] == 'k' && map.base[0] == 0);
	sys_map_close(&map);
	CHILD_CHECK(sys_map_open(file, STEP, SYS_MAP_RDONLY, &map) == BWT_OK);
	CHILD_CHECK(sys_map_populate(&map, 0, STEP) == BWT_OK);
	CHILD_CHECK(pages_present(map.base, 512) == 512);
}

static void populating_works_on_kernels_without_the_advice(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(file, "k", 1, 4096), BWT_OK);
	CU_ASSERT_TRUE(child_passes(populate_without_the_advice));
}

static int expected;

static void populate_with_an_error(void)
{
	int forbidden = expected == BWT_IO ? EFAULT : -expected;

	child_forbid_with(SYS_madvise, 2, MADV_POPULATE_WRITE, forbidden);
	CHILD_CHECK(sys_map_open(file, STEP, 0, &map) == BWT_OK);
	CHILD_CHECK(sys_map_populate(&map, 0, STEP) == expected);
}

static void populate_poisoned(void)
{
	child_forbid_with(SYS_madvise, 2, MADV_POPULATE_WRITE, EHWPOISON);
	CHILD_CHECK(sys_map_open(file, STEP, 0, &map) == BWT_OK);
	CHILD_CHECK(sys_map_populate(&map, 0, STEP) == BWT_IO);
}

static void populate_on_a_full_disk(void)
{
	child_forbid_with(SYS_madvise, 2, MADV_POPULATE_WRITE, EFAULT);
	child_forbid(SYS_fallocate, ENOSPC);
	CHILD_CHECK(sys_map_open(file, STEP, 0, &map) == BWT_OK);
	CHILD_CHECK(sys_map_populate(&map, 0, STEP) == BWT_FULL);
}

static void errors_of_populating_have_our_codes(void)
{
	CU_ASSERT_EQUAL(sys_file_allocate(file, 0, STEP), BWT_OK);
	expected = BWT_IO; /* and the space is there: tried again, a bounded number of times */
	CU_ASSERT_TRUE(child_passes(populate_with_an_error));
	expected = -ENOMEM;
	CU_ASSERT_TRUE(child_passes(populate_with_an_error));
	expected = -EAGAIN;
	CU_ASSERT_TRUE(child_passes(populate_with_an_error));
	CU_ASSERT_TRUE(child_passes(populate_poisoned));
	CU_ASSERT_TRUE(child_passes(populate_on_a_full_disk));
}

static void reserved_memory_is_zero_and_costs_nothing(void)
{
	uint8_t *memory = sys_reserve(HUGE);

	if (memory == NULL)
		abort();
	CU_ASSERT_EQUAL(pages_present(memory, 16), 0);
	CU_ASSERT_EQUAL(memory[0], 0);
	CU_ASSERT_EQUAL(memory[HUGE - 1], 0);
	memory[HUGE / 2] = 1;
	sys_release(memory, HUGE);
	sys_release(NULL, HUGE);
	CU_ASSERT_PTR_NULL(sys_reserve((size_t)1 << 57));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_mapping_shows_the_file_and_takes_stores),
		TEST(a_mapping_is_aligned_and_says_what_it_is),
		TEST(the_file_grows_under_a_mapping_of_full_size),
		TEST(several_stores_are_mapped_at_full_size),
		TEST(too_much_address_space_is_refused),
		TEST(what_cannot_be_mapped_is_refused),
		TEST(a_read_only_mapping_takes_no_stores),
		TEST(a_private_mapping_keeps_changes_to_itself),
		TEST(a_private_mapping_goes_on_as_zero_memory),
		TEST(populating_a_private_mapping_copies_nothing),
		TEST(populating_fills_the_page_tables_and_keeps_bytes),
		TEST(populating_takes_any_range_inside),
		TEST(populating_beyond_the_file_is_an_error),
		TEST(populating_works_on_kernels_without_the_advice),
		TEST(errors_of_populating_have_our_codes),
		TEST(reserved_memory_is_zero_and_costs_nothing),
		CU_TEST_INFO_NULL,
	};
	return suite_run("map", set_up, tear_down, tests);
}
