/* SPDX-License-Identifier: MIT */
/* test_superblock.c - two slots: written, read back, damaged, of other formats */
#include "mem/superblock.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "bwt.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

static char folder[TMPSTORE_PATH_MAX];
static int fd;

static void set_up(void)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_new(folder);
	tmpstore_join(path, folder, "arena");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)EXTENT_SMALL_SIZE), 0);
}

static void tear_down(void)
{
	close(fd);
	tmpstore_free(folder);
}

static struct superblock sample(uint64_t checkpoint)
{
	return (struct superblock){
		.store_id = 0x1122334455667788u,
		.checkpoint = checkpoint,
		.start_lsn = checkpoint * 4096,
		.root = 65536,
		.arena_size = 1 << 20,
		.root_size = 512,
		.clean = 1,
	};
}

static void write_sample(unsigned slot, uint64_t checkpoint)
{
	struct superblock super = sample(checkpoint);

	CU_ASSERT_EQUAL_FATAL(superblock_write(fd, slot, &super), BWT_OK);
}

/* The stored bytes of slot 0 with a checksum that fits them. */
static void store_with_crc(struct superblock *super)
{
	super->crc = crc32c(0, (uint8_t *)super + 12, sizeof *super - 12);
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, super, sizeof *super, 0), (ssize_t)sizeof *super);
}

static void what_was_written_is_read_back(void)
{
	struct superblock got, want = sample(5);

	write_sample(0, 5);
	CU_ASSERT_EQUAL_FATAL(superblock_read(fd, 0, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.magic, SUPERBLOCK_MAGIC);
	CU_ASSERT_EQUAL(got.major, FORMAT_MAJOR);
	CU_ASSERT_EQUAL(got.minor, FORMAT_MINOR);
	CU_ASSERT_EQUAL(got.features, FEATURES_WRITTEN);
	want.features = got.features;
	want.magic = got.magic;
	want.major = got.major;
	want.minor = got.minor;
	want.crc = got.crc;
	CU_ASSERT_EQUAL(memcmp(&got, &want, sizeof got), 0);
}

static void the_slots_do_not_touch_each_other(void)
{
	struct superblock got;

	write_sample(0, 5);
	write_sample(1, 6);
	write_sample(0, 7);
	CU_ASSERT_EQUAL(superblock_read(fd, 0, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.checkpoint, 7);
	CU_ASSERT_EQUAL(superblock_read(fd, 1, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.checkpoint, 6);
	CU_ASSERT_TRUE(SUPERBLOCK_OFF(1) + SUPERBLOCK_SIZE <= EXTENT_SMALL_SIZE);
}

static void an_empty_slot_is_no_superblock_and_says_where(void)
{
	struct superblock got = {.checkpoint = 77};

	write_sample(0, 5);
	CU_ASSERT_EQUAL(superblock_read(fd, 1, &got), BWT_CORRUPT);
	CU_ASSERT_EQUAL(got.checkpoint, 77); /* nothing is handed out on failure */
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "32768"));
}

static void every_changed_byte_is_noticed(void)
{
	struct superblock got;
	uint8_t byte, wrong;

	write_sample(1, 5);
	for (unsigned i = 0; i < SUPERBLOCK_SIZE; i++) {
		off_t at = (off_t)(SUPERBLOCK_OFF(1) + i);
		int rc;

		CU_ASSERT_EQUAL_FATAL(pread(fd, &byte, 1, at), 1);
		wrong = byte ^ 1;
		CU_ASSERT_EQUAL_FATAL(pwrite(fd, &wrong, 1, at), 1);
		rc = superblock_read(fd, 1, &got);
		if (rc != BWT_CORRUPT && !(rc == BWT_VERSION && (i == 0xc || i == 0xd)))
			CU_FAIL("a changed byte was believed");
		CU_ASSERT_EQUAL_FATAL(pwrite(fd, &byte, 1, at), 1);
	}
	CU_ASSERT_EQUAL(superblock_read(fd, 1, &got), BWT_OK);
}

static void a_newer_major_version_is_refused_as_such(void)
{
	struct superblock super;

	write_sample(0, 5);
	CU_ASSERT_EQUAL_FATAL(superblock_read(fd, 0, &super), BWT_OK);
	super.major = FORMAT_MAJOR + 1;
	store_with_crc(&super);
	CU_ASSERT_EQUAL(superblock_read(fd, 0, &super), BWT_VERSION);
	/* Whatever bytes its checksum is of. */
	super.major = UINT16_MAX;
	super.crc = 1;
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, &super, sizeof super, 0), (ssize_t)sizeof super);
	CU_ASSERT_EQUAL(superblock_read(fd, 0, &super), BWT_VERSION);
}

static void a_newer_minor_version_is_accepted(void)
{
	struct superblock super;

	write_sample(0, 5);
	CU_ASSERT_EQUAL_FATAL(superblock_read(fd, 0, &super), BWT_OK);
	super.minor = FORMAT_MINOR + 1;
	store_with_crc(&super);
	CU_ASSERT_EQUAL(superblock_read(fd, 0, &super), BWT_OK);
	CU_ASSERT_EQUAL(super.minor, FORMAT_MINOR + 1);
}

static void unknown_features_are_refused_or_not_by_their_place(void)
{
	struct superblock super, got;

	write_sample(0, 5);
	CU_ASSERT_EQUAL_FATAL(superblock_read(fd, 0, &super), BWT_OK);
	for (unsigned bit = 0; bit < 64; bit++) {
		super.features = (uint64_t)1 << bit;
		store_with_crc(&super);
		CU_ASSERT_EQUAL(superblock_read(fd, 0, &got),
		                bit < 32 && (super.features & FEATURES_WRITTEN) == 0 ? BWT_VERSION
		                                                                     : BWT_OK);
	}
}

static void a_file_that_is_too_short_is_corrupt(void)
{
	struct superblock super;

	write_sample(0, 5);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, SUPERBLOCK_SIZE - 1), 0);
	CU_ASSERT_EQUAL(superblock_read(fd, 0, &super), BWT_CORRUPT);
	CU_ASSERT_EQUAL(superblock_read(fd, 1, &super), BWT_CORRUPT);
}

static void a_file_that_cannot_be_written_is_an_error(void)
{
	struct superblock super = sample(5);
	char path[TMPSTORE_PATH_MAX];
	int closed;

	tmpstore_join(path, folder, "arena");
	closed = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT_TRUE(superblock_write(closed, 0, &super) < 0);
	close(closed);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(what_was_written_is_read_back),
		TEST(the_slots_do_not_touch_each_other),
		TEST(an_empty_slot_is_no_superblock_and_says_where),
		TEST(every_changed_byte_is_noticed),
		TEST(a_newer_major_version_is_refused_as_such),
		TEST(a_newer_minor_version_is_accepted),
		TEST(unknown_features_are_refused_or_not_by_their_place),
		TEST(a_file_that_is_too_short_is_corrupt),
		TEST(a_file_that_cannot_be_written_is_an_error),
		CU_TEST_INFO_NULL,
	};

	return suite_run("superblock", set_up, tear_down, tests);
}
