/* SPDX-License-Identifier: MIT */
/* test_vlog_read.c - many values at once, with and without rings; comparing in pieces; damage among them */
#include <stdlib.h>
#include <string.h>

#include "log/vlog_private.h"
#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define VALUES 100u
#define SIZE_MAX_HERE 9000u

static struct vlog *vlog;
static struct value_ref refs[VALUES];
static uint8_t *bytes[VALUES];

static void open_vlog(bool plain)
{
	struct vlog_config config = {
		.store_id = FIXTURE_STORE_ID, .segment_size = VLOG_SEGMENT_MIN, .plain = plain};

	config.dir_fd = fixture_dir_fd;
	if (vlog_open(&config, &vlog) < 0)
		abort();
}

static void set_up(void)
{
	struct rng rng;

	fixture_set_up();
	open_vlog(false);
	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < VALUES; i++) {
		size_t size = rng_range(&rng, 1, SIZE_MAX_HERE);

		bytes[i] = malloc(size);
		rng_fill(&rng, bytes[i], size);
		CU_ASSERT_EQUAL_FATAL(vlog_append(vlog, 2, 77, (struct bwt_slice){bytes[i], size},
		                                  PACK_NONE, &refs[i]),
		                      BWT_OK);
	}
}

static void tear_down(void)
{
	for (unsigned i = 0; i < VALUES; i++)
		free(bytes[i]);
	vlog_close(vlog);
	fixture_tear_down();
}

/* Read all of them by one call; returns how many are there and right. */
static unsigned read_all_values(struct vlog_read reads[VALUES])
{
	unsigned right = 0;

	for (unsigned i = 0; i < VALUES; i++)
		reads[i] = (struct vlog_read){.ref = refs[i], .to = malloc(refs[i].size), .rc = 1};
	vlog_read_many(vlog, reads, VALUES);
	for (unsigned i = 0; i < VALUES; i++) {
		right += reads[i].rc == BWT_OK && memcmp(reads[i].to, bytes[i], refs[i].size) == 0;
		free(reads[i].to);
	}
	return right;
}

static void many_values_are_read_at_once(void)
{
	struct vlog_read reads[VALUES];

	CU_ASSERT_EQUAL(read_all_values(reads), VALUES);
	CU_ASSERT_PTR_NOT_NULL(vlog->rings[0].ring);
	CU_ASSERT_EQUAL(vlog->rings[0].taken, 0);
	vlog_read_many(vlog, reads, 0);
}

static void many_values_are_read_by_plain_calls(void)
{
	struct vlog_read reads[VALUES];

	vlog_close(vlog);
	open_vlog(true);
	CU_ASSERT_EQUAL(read_all_values(reads), VALUES);
	CU_ASSERT_STRING_EQUAL(sys_ring_name(vlog->rings[0].ring), "plain");
}

static void many_values_are_read_where_all_rings_are_in_use(void)
{
	struct vlog_read reads[VALUES];

	for (unsigned i = 0; i < VLOG_RINGS_MAX; i++)
		atomic_store_explicit(&vlog->rings[i].taken, 1, memory_order_relaxed);
	CU_ASSERT_EQUAL(read_all_values(reads), VALUES);
	CU_ASSERT_PTR_NULL(vlog->rings[0].ring);
	for (unsigned i = 0; i < VLOG_RINGS_MAX; i++)
		atomic_store_explicit(&vlog->rings[i].taken, 0, memory_order_relaxed);
}

static void a_bad_value_among_many_spoils_no_other(void)
{
	struct vlog_read reads[VALUES];
	char name[VLOG_NAME_SIZE];
	int fd;

	vlog_name(name, refs[40].segment);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(fixture_dir_fd, name, 0, &fd), BWT_OK);
	file_flip(fd, refs[40].offset + sizeof(struct vlog_record));
	sys_file_close(fd);
	refs[50].segment = 999;
	refs[60].offset += (uint64_t)1 << 30;
	CU_ASSERT_EQUAL(read_all_values(reads), VALUES - 3);
	CU_ASSERT_EQUAL(reads[40].rc, BWT_CORRUPT);
	CU_ASSERT_EQUAL(reads[50].rc, BWT_CORRUPT);
	CU_ASSERT_EQUAL(reads[60].rc, BWT_CORRUPT);
}

/* A value of several pieces, and the place at which @with differs from it, or none. */
static int compare_but(struct value_ref *ref, uint8_t *with, size_t differs, bool *equal)
{
	int rc;

	if (differs < ref->size)
		with[differs] ^= 1;
	rc = vlog_compare(vlog, ref, with, equal);
	if (differs < ref->size)
		with[differs] ^= 1;
	return rc;
}

static void values_are_compared_in_pieces(void)
{
	enum {
		SIZE = 700000
	};
	uint8_t *value = malloc(SIZE + 1);
	struct value_ref ref;
	struct rng rng;
	bool equal = false;

	rng_init(&rng, rng_seed());
	rng_fill(&rng, value, SIZE);
	CU_ASSERT_EQUAL_FATAL(
		vlog_append(vlog, 2, 77, (struct bwt_slice){value, SIZE}, PACK_NONE, &ref), BWT_OK);
	CU_ASSERT_EQUAL(compare_but(&ref, value, SIZE, &equal), BWT_OK);
	CU_ASSERT_TRUE(equal);
	for (size_t at = 0; at < SIZE; at += SIZE / 7) {
		CU_ASSERT_EQUAL(compare_but(&ref, value, at, &equal), BWT_OK);
		CU_ASSERT_FALSE(equal);
	}
	CU_ASSERT_EQUAL(compare_but(&ref, value, SIZE - 1, &equal), BWT_OK);
	CU_ASSERT_FALSE(equal);
	ref.crc ^= 1;
	CU_ASSERT_EQUAL(compare_but(&ref, value, 0, &equal), BWT_CORRUPT); /* not a difference */
	free(value);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(many_values_are_read_at_once),
		TEST(many_values_are_read_by_plain_calls),
		TEST(many_values_are_read_where_all_rings_are_in_use),
		TEST(a_bad_value_among_many_spoils_no_other),
		TEST(values_are_compared_in_pieces),
		CU_TEST_INFO_NULL,
	};

	return suite_run("vlog_read", set_up, tear_down, tests);
}
