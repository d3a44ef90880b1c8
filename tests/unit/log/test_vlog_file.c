/* SPDX-License-Identifier: MIT */
/* test_vlog_file.c - reading values, shared descriptors, walking and removing files, damage */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/vlog_private.h"
#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define SEGMENT VLOG_SEGMENT_MIN

static struct vlog *vlog;

static void set_up(void)
{
	fixture_set_up();
	vlog = fixture_vlog(SEGMENT);
}

static void tear_down(void)
{
	vlog_close(vlog);
	fixture_tear_down();
}

static struct value_ref append(char letter, size_t size)
{
	struct value_ref ref = {0};
	char *bytes = malloc(size + 1);

	memset(bytes, letter, size);
	CU_ASSERT_EQUAL_FATAL(
		vlog_append(vlog, 2, 77, (struct bwt_slice){bytes, size}, PACK_NONE, &ref), BWT_OK);
	free(bytes);
	return ref;
}

static int read_letter(const struct value_ref *ref, char *letter)
{
	char *bytes = malloc(ref->size + 1);
	int rc = vlog_read(vlog, ref, bytes);

	*letter = bytes[0];
	free(bytes);
	return rc;
}

static int open_file(const char *name)
{
	int fd = openat(fixture_dir_fd, name, O_RDWR);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	return fd;
}

static void values_of_many_files_are_read_in_any_order(void)
{
	enum {
		FILES = 3 * VLOG_OPEN_MAX
	};
	static struct value_ref refs[FILES];
	struct rng rng;
	char letter;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < FILES; i++) {
		refs[i] = append((char)('a' + i % 26), SEGMENT);
		CU_ASSERT_EQUAL(refs[i].segment, i + 1);
	}
	for (unsigned i = 0; i < 4 * FILES; i++) {
		unsigned k = (unsigned)rng_below(&rng, FILES);

		CU_ASSERT_EQUAL(read_letter(&refs[k], &letter), BWT_OK);
		CU_ASSERT_EQUAL(letter, (char)('a' + k % 26));
	}
}

/* --- Threads --- */

static struct value_ref shared[4];

static void read_shared(void *ctx)
{
	unsigned rounds = suite_short() ? 200 : 2000;
	struct rng rng;

	rng_init(&rng, *(uint64_t *)ctx);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned k = (unsigned)rng_below(&rng, 4);
		char letter;
		int rc = read_letter(&shared[k], &letter);

		/* File 4 goes while we read; never anything but its value or its absence. */
		CU_ASSERT_TRUE(rc == BWT_OK || (k == 3 && rc == BWT_CORRUPT));
		CU_ASSERT_TRUE(rc < 0 || letter == (char)('a' + k));
	}
}

/* Two of the files want the same slot, one is removed meanwhile. */
static void readers_share_descriptors_without_mixing_them_up(void)
{
	struct sys_thread *threads[4];
	uint64_t seeds[4] = {1, 2, 3, 4};
	struct value_ref ref;
	unsigned found = 0;

	for (unsigned i = 0; found < 4; i++) {
		uint64_t wanted[4] = {1, 2, 1 + VLOG_OPEN_MAX, 2 + VLOG_OPEN_MAX};

		ref = append((char)('a' + found), SEGMENT);
		if (ref.segment == wanted[found])
			shared[found++] = ref;
	}
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(
			sys_thread_start(read_shared, &seeds[i], "reader", &threads[i]), BWT_OK);
	for (unsigned i = 0; i < 200; i++)
		sys_yield();
	CU_ASSERT_EQUAL(vlog_unlink(vlog, shared[3].segment), BWT_OK);
	for (unsigned i = 0; i < 4; i++)
		sys_thread_join(threads[i]);
	for (unsigned i = 0; i < VLOG_OPEN_MAX; i++)
		CU_ASSERT_EQUAL(
			atomic_load_explicit(&vlog->slots[i].word, memory_order_relaxed) & 0xffff, 0);
}

/* --- Damage --- */

static void a_damaged_value_is_corrupt_and_named(void)
{
	struct value_ref ref = append('x', 5000);
	int fd = open_file("0000000000000001.vlog");
	char letter;

	file_flip(fd, ref.offset + sizeof(struct vlog_record) + 4999);
	CU_ASSERT_EQUAL(read_letter(&ref, &letter), BWT_CORRUPT);
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "0000000000000001.vlog at offset 0"), NULL);
	CU_ASSERT_EQUAL(vlog_check(vlog, &ref), BWT_CORRUPT);
	file_flip(fd, ref.offset + sizeof(struct vlog_record) + 4999);
	CU_ASSERT_EQUAL(vlog_check(vlog, &ref), BWT_OK);
	for (uint64_t off = 0; off < sizeof(struct vlog_record); off++) {
		file_flip(fd, ref.offset + off);
		CU_ASSERT_EQUAL(vlog_check(vlog, &ref), BWT_CORRUPT);
		file_flip(fd, ref.offset + off);
	}
	close(fd);
}

static void references_to_nowhere_are_corrupt(void)
{
	struct value_ref good = append('x', 5000), bad;
	static const uint64_t odd[] = {0, 2, 1ull << 47 | 2, 1ull << 48 | 1 << 30, UINT64_MAX};
	char letter;

	for (unsigned i = 0; i < 5; i++) {
		bad = good;
		bad.segment = (uint32_t)odd[i];
		CU_ASSERT_EQUAL(read_letter(&bad, &letter), BWT_CORRUPT);
		CU_ASSERT_EQUAL(vlog_check(vlog, &bad), BWT_CORRUPT);
		bad = good;
		bad.offset = odd[i] == 0 ? 16 : odd[i];
		CU_ASSERT_EQUAL(read_letter(&bad, &letter), BWT_CORRUPT);
		CU_ASSERT_EQUAL(vlog_check(vlog, &bad), BWT_CORRUPT);
	}
	bad = good;
	bad.size++;
	CU_ASSERT_EQUAL(read_letter(&bad, &letter), BWT_CORRUPT);
	CU_ASSERT_EQUAL(vlog_check(vlog, &bad), BWT_CORRUPT);
	CU_ASSERT_EQUAL(read_letter(&good, &letter), BWT_OK);
}

static void a_file_cut_short_is_corrupt(void)
{
	struct value_ref ref = append('x', 5000);
	int fd = open_file("0000000000000001.vlog");
	char letter;

	CU_ASSERT_EQUAL(ftruncate(fd, 3000), 0);
	close(fd);
	CU_ASSERT_EQUAL(read_letter(&ref, &letter), BWT_CORRUPT);
	CU_ASSERT_EQUAL(vlog_check(vlog, &ref), BWT_CORRUPT);
}

/* --- Whole files --- */

static uint64_t walked[16];
static unsigned walked_count;

static int note_offset(void *ctx, uint64_t offset, const struct vlog_record *record)
{
	(void)ctx;
	CU_ASSERT_EQUAL(record->tree, 2);
	CU_ASSERT_EQUAL(record->hash, 77);
	walked[walked_count++] = offset;
	return walked_count == 16 ? 5 : 0;
}

static void walking_meets_every_record_and_steps_over_gaps(void)
{
	static const uint8_t zeroes[9000];
	struct value_ref refs[6];
	int fd;

	for (unsigned i = 0; i < 6; i++)
		refs[i] = append('a', i * 3000);
	fd = open_file("0000000000000001.vlog");
	walked_count = 0;
	CU_ASSERT_EQUAL(vlog_walk(vlog, 1, note_offset, NULL), BWT_OK);
	CU_ASSERT_EQUAL(walked_count, 6);
	for (unsigned i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(walked[i], refs[i].offset);
	/* What a crash leaves of a value that never reached the disk. */
	CU_ASSERT_EQUAL(pwrite(fd, zeroes, refs[3].offset - refs[2].offset, (off_t)refs[2].offset),
	                (ssize_t)(refs[3].offset - refs[2].offset));
	walked_count = 0;
	CU_ASSERT_EQUAL(vlog_walk(vlog, 1, note_offset, NULL), BWT_OK);
	CU_ASSERT_EQUAL(walked_count, 5);
	file_flip(fd, refs[4].offset);
	walked_count = 0;
	CU_ASSERT_EQUAL(vlog_walk(vlog, 1, note_offset, NULL), BWT_CORRUPT);
	CU_ASSERT_EQUAL(walked_count, 3);
	CU_ASSERT_EQUAL(vlog_walk(vlog, 9, note_offset, NULL), BWT_CORRUPT);
	walked_count = 15;
	CU_ASSERT_EQUAL(vlog_walk(vlog, 1, note_offset, NULL), 5);
	close(fd);
}

static int unlink_while_reading(void *ctx, uint64_t offset, const struct vlog_record *record)
{
	struct value_ref *ref = ctx;
	char letter;

	(void)record;
	if (offset == 0)
		CU_ASSERT_EQUAL(vlog_unlink(vlog, ref->segment), BWT_OK);
	CU_ASSERT_EQUAL(read_letter(ref, &letter), BWT_CORRUPT);
	return BWT_OK;
}

static void the_last_reader_closes_a_removed_file(void)
{
	struct value_ref ref = append('a', 100);
	const struct vlog_slot *slot = &vlog->slots[ref.segment % VLOG_OPEN_MAX];

	append('b', 100);
	CU_ASSERT_EQUAL(vlog_walk(vlog, ref.segment, unlink_while_reading, &ref), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load_explicit(&slot->word, memory_order_relaxed), 0);
	CU_ASSERT_EQUAL(slot->fd, -1);
}

static uint64_t listed_bytes;
static unsigned listed;

static int note_file(void *ctx, uint64_t segment, uint64_t bytes)
{
	(void)ctx;
	CU_ASSERT_TRUE(segment >= 1 && segment <= 3);
	listed++;
	listed_bytes += bytes;
	return listed == 10 ? 3 : 0;
}

static void files_are_listed_and_unlinked(void)
{
	struct value_ref refs[3];
	char letter;
	int fd;

	for (unsigned i = 0; i < 3; i++)
		refs[i] = append('a', SEGMENT);
	fd = openat(fixture_dir_fd, "1.vlog", O_CREAT | O_RDWR, 0666); /* not ours */
	close(fd);
	listed = 0;
	listed_bytes = 0;
	CU_ASSERT_EQUAL(vlog_list(vlog, note_file, NULL), BWT_OK);
	CU_ASSERT_EQUAL(listed, 3);
	CU_ASSERT_EQUAL(listed_bytes, vlog_file_bytes(vlog));
	CU_ASSERT_EQUAL(read_letter(&refs[1], &letter), BWT_OK);
	CU_ASSERT_EQUAL(vlog_unlink(vlog, 2), BWT_OK);
	CU_ASSERT_EQUAL(read_letter(&refs[1], &letter), BWT_CORRUPT);
	CU_ASSERT_EQUAL(read_letter(&refs[2], &letter), BWT_OK);
	CU_ASSERT_EQUAL(vlog_file_bytes(vlog), 2 * listed_bytes / 3);
	CU_ASSERT_TRUE(vlog_unlink(vlog, 2) < 0);
	listed = 9;
	CU_ASSERT_EQUAL(vlog_list(vlog, note_file, NULL), 3);
}

static void all_files_can_be_synced(void)
{
	struct value_ref ref = append('a', 3 * SEGMENT);

	append('b', 10);
	CU_ASSERT_EQUAL(vlog_sync_all(vlog), BWT_OK);
	CU_ASSERT_EQUAL(vlog_check(vlog, &ref), BWT_OK);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(values_of_many_files_are_read_in_any_order),
		TEST(readers_share_descriptors_without_mixing_them_up),
		TEST(a_damaged_value_is_corrupt_and_named),
		TEST(references_to_nowhere_are_corrupt),
		TEST(a_file_cut_short_is_corrupt),
		TEST(walking_meets_every_record_and_steps_over_gaps),
		TEST(the_last_reader_closes_a_removed_file),
		TEST(files_are_listed_and_unlinked),
		TEST(all_files_can_be_synced),
		CU_TEST_INFO_NULL,
	};
	return suite_run("vlog_file", set_up, tear_down, tests);
}
