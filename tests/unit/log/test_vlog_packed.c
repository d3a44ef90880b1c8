/* SPDX-License-Identifier: MIT */
/* test_vlog_packed.c - compressed values: stored, read in every way, moved, damaged, of codecs that are not there */
#include <stdlib.h>
#include <string.h>

#include "log/vlog_private.h"
#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

static struct vlog *vlog;
static struct rng rng;

static void set_up(void)
{
	fixture_set_up();
	rng_init(&rng, rng_seed());
	vlog = fixture_vlog((uint64_t)1 << 20);
}

static void tear_down(void)
{
	vlog_close(vlog);
	fixture_tear_down();
}

/* Bytes of which one in @noise is random, the rest repeats. */
static uint8_t *make(size_t size, unsigned noise)
{
	uint8_t *bytes = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		bytes[i] = rng_below(&rng, noise) == 0 ? (uint8_t)rng_u64(&rng) : (uint8_t)(i / 50);
	return bytes;
}

static struct value_ref append(const uint8_t *bytes, size_t size, enum pack_codec codec)
{
	struct value_ref ref = {0};

	CU_ASSERT_EQUAL_FATAL(vlog_append(vlog, 2, 77, (struct bwt_slice){bytes, size}, codec, &ref),
	                      BWT_OK);
	CU_ASSERT_EQUAL(ref.size, size);
	return ref;
}

/* Read by itself, as one of many, compared, checked. */
static void is_there(const struct value_ref *ref, const uint8_t *bytes)
{
	uint8_t *got = malloc(ref->size), *other = malloc(ref->size);
	struct vlog_read reads[3] = {{*ref, got, 1}, {*ref, other, 1}, {*ref, got, 1}};
	bool equal = false;

	CU_ASSERT_EQUAL(vlog_check(vlog, ref), BWT_OK);
	CU_ASSERT_EQUAL(vlog_read(vlog, ref, got), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(got, bytes, ref->size), 0);
	memset(got, 0, ref->size);
	vlog_read_many(vlog, reads, 3);
	CU_ASSERT_TRUE(reads[0].rc == BWT_OK && reads[1].rc == BWT_OK && reads[2].rc == BWT_OK);
	CU_ASSERT_EQUAL(memcmp(got, bytes, ref->size), 0);
	CU_ASSERT_EQUAL(memcmp(other, bytes, ref->size), 0);
	CU_ASSERT_EQUAL(vlog_compare(vlog, ref, bytes, &equal), BWT_OK);
	CU_ASSERT_TRUE(equal);
	other[ref->size - 1] ^= 1;
	CU_ASSERT_EQUAL(vlog_compare(vlog, ref, other, &equal), BWT_OK);
	CU_ASSERT_FALSE(equal);
	free(got);
	free(other);
}

static void values_of_all_sizes_come_back(void)
{
	/* In the packer's memory, in memory of their own, packed twice; one block, its border, many. */
	static const size_t sizes[] = {100,    3000,     PACK_BLOCK - 1, PACK_BLOCK, PACK_BLOCK + 1,
	                               600000, 1u << 20, (1u << 20) + 1, 3000000};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (enum pack_codec codec = PACK_LZ4; codec <= PACK_ZSTD; codec++) {
			uint8_t *bytes = make(sizes[i], 20);
			struct value_ref ref = append(bytes, sizes[i], codec), moved;

			CU_ASSERT_EQUAL(ref.packed != 0, pack_has(codec));
			CU_ASSERT_TRUE(!pack_has(codec) ||
			               value_ref_stored(&ref) <= sizes[i] - sizes[i] / 8);
			is_there(&ref, bytes);
			CU_ASSERT_EQUAL(vlog_move(vlog, &ref, 2, 77, &moved), BWT_OK);
			CU_ASSERT_TRUE(moved.segment != ref.segment && moved.packed == ref.packed);
			is_there(&moved, bytes);
			free(bytes);
		}
	}
}

static void what_does_not_become_smaller_is_stored_as_it_is(void)
{
	static const size_t sizes[] = {1, 10, 5000, 700000, 2000000};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint8_t *bytes = make(sizes[i], 1);
		struct value_ref ref = append(bytes, sizes[i], i % 2 == 0 ? PACK_LZ4 : PACK_ZSTD);

		CU_ASSERT_EQUAL(ref.packed, 0);
		is_there(&ref, bytes);
		free(bytes);
	}
}

/* A value of which one block does not become smaller. */
static void a_block_may_stay_as_it_is(void)
{
	size_t size = 4 * PACK_BLOCK;
	uint8_t *bytes = make(size, 1000000);
	struct value_ref ref;

	rng_fill(&rng, bytes + PACK_BLOCK, PACK_BLOCK);
	ref = append(bytes, size, PACK_LZ4);
	CU_ASSERT_TRUE(!pack_has(PACK_LZ4) || ref.packed > PACK_BLOCK);
	is_there(&ref, bytes);
	free(bytes);
}

/* Whoever changes a value while it is put spoils that one, and not what lies behind it in the file. */
static void a_value_that_changes_stays_in_its_room(void)
{
	size_t size = 3000000;

	for (enum pack_codec codec = PACK_LZ4; codec <= PACK_ZSTD; codec++) {
		uint8_t *bytes = make(size, 1000);
		struct vlog_packed packed;
		uint64_t end;
		int fd;

		if (pack_has(codec)) {
			CU_ASSERT_EQUAL_FATAL(
				vlog_pack(vlog, codec, (struct bwt_slice){bytes, size}, &packed),
				BWT_OK);
			CU_ASSERT_PTR_NULL(packed.stored);
			rng_fill(&rng, bytes, size);
			CU_ASSERT_EQUAL_FATAL(
				sys_file_open(fixture_dir_fd, "alone", SYS_CREATE, &fd), BWT_OK);
			CU_ASSERT_EQUAL(vlog_packed_write(&packed, fd, 0), BWT_INVALID);
			CU_ASSERT_EQUAL(sys_file_size(fd, &end), BWT_OK);
			CU_ASSERT_TRUE(end <= packed.size);
			sys_file_close(fd);
			vlog_packed_free(vlog, &packed);
		}
		free(bytes);
	}
}

/* ---- damage ---- */

static int read_again(const struct value_ref *ref)
{
	uint8_t *got = malloc(ref->size);
	int rc = vlog_read(vlog, ref, got);

	free(got);
	return rc;
}

/* As one of a batch, whose stored bytes are in memory before they are unpacked. */
static int read_from_memory(const struct value_ref *ref)
{
	uint8_t *got = malloc(ref->size), *other = malloc(ref->size);
	struct vlog_read reads[2] = {{*ref, got, 1}, {*ref, other, 1}};

	vlog_read_many(vlog, reads, 2);
	CU_ASSERT_EQUAL(reads[0].rc, reads[1].rc);
	free(got);
	free(other);
	return reads[0].rc;
}

static void write_at(const struct value_ref *ref, uint64_t at, const void *bytes, size_t size)
{
	char name[VLOG_NAME_SIZE];
	int fd;

	vlog_name(name, ref->segment);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(fixture_dir_fd, name, 0, &fd), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(fd, bytes, size, ref->offset + sizeof(struct vlog_record) + at),
	                BWT_OK);
	sys_file_close(fd);
}

static void damage_of_any_byte_is_noticed(void)
{
	uint8_t *bytes = make(40000, 10);

	for (enum pack_codec codec = PACK_LZ4; codec <= PACK_ZSTD; codec++) {
		struct value_ref ref = append(bytes, 40000, codec);

		if (ref.packed == 0)
			continue;
		for (uint64_t at = 0; at < ref.packed; at += at < 16 ? 1 : 97) {
			uint8_t old, bad;
			char name[VLOG_NAME_SIZE];
			int fd;

			vlog_name(name, ref.segment);
			CU_ASSERT_EQUAL_FATAL(sys_file_open(fixture_dir_fd, name, 0, &fd), BWT_OK);
			sys_file_read(fd, &old, 1, ref.offset + sizeof(struct vlog_record) + at);
			sys_file_close(fd);
			bad = (uint8_t)(old ^ (1 + rng_below(&rng, 255)));
			write_at(&ref, at, &bad, 1);
			CU_ASSERT_EQUAL(read_again(&ref), BWT_CORRUPT);
			CU_ASSERT_EQUAL(read_from_memory(&ref), BWT_CORRUPT);
			CU_ASSERT_EQUAL(vlog_check(vlog, &ref), BWT_CORRUPT);
			write_at(&ref, at, &old, 1);
		}
		is_there(&ref, bytes);
	}
	free(bytes);
}

static void references_that_lie_are_noticed(void)
{
	uint8_t *bytes = make(40000, 10);
	struct value_ref ref = append(bytes, 40000, PACK_LZ4), lie = ref;

	lie.size--;
	CU_ASSERT_EQUAL(read_again(&lie), BWT_CORRUPT);
	CU_ASSERT_EQUAL(vlog_check(vlog, &lie), BWT_CORRUPT);
	lie = ref;
	lie.packed = ref.packed == 0 ? 1000 : 0;
	CU_ASSERT_EQUAL(read_again(&lie), BWT_CORRUPT);
	CU_ASSERT_EQUAL(vlog_check(vlog, &lie), BWT_CORRUPT);
	for (lie.packed = 1; lie.packed < 12; lie.packed++) {
		CU_ASSERT_EQUAL(read_again(&lie), BWT_CORRUPT);
		CU_ASSERT_EQUAL(vlog_check(vlog, &lie), BWT_CORRUPT);
	}
	free(bytes);
}

/* A codec's byte that nobody knows is damage, unless the checksum says that it is meant. */
static void a_codec_that_is_not_there_is_named(void)
{
	static const size_t sizes[] = {100, 3 * PACK_BLOCK};

	for (size_t i = 0; i < 2; i++) {
		struct pack_head head = {.size = 5000, .codec = 9};
		uint8_t *bytes = make(sizes[i], 10);
		struct value_ref ref;

		/* Stored as it is, it has the right checksum, and the reference says that it is packed. */
		memcpy(bytes, &head, sizeof head);
		ref = append(bytes, sizes[i], PACK_NONE);
		ref.packed = ref.size;
		ref.size = head.size;
		CU_ASSERT_EQUAL(read_again(&ref), BWT_VERSION);
		CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "an unknown codec"));
		CU_ASSERT_EQUAL(read_from_memory(&ref), BWT_VERSION);
		ref.crc ^= 1;
		CU_ASSERT_EQUAL(read_again(&ref), BWT_CORRUPT);
		CU_ASSERT_EQUAL(read_from_memory(&ref), BWT_CORRUPT);
		free(bytes);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(values_of_all_sizes_come_back),
		TEST(what_does_not_become_smaller_is_stored_as_it_is),
		TEST(a_block_may_stay_as_it_is),
		TEST(a_value_that_changes_stays_in_its_room),
		TEST(damage_of_any_byte_is_noticed),
		TEST(references_that_lie_are_noticed),
		TEST(a_codec_that_is_not_there_is_named),
		CU_TEST_INFO_NULL,
	};

	return suite_run("vlog_packed", set_up, tear_down, tests);
}
