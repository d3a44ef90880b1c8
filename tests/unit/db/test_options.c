/* SPDX-License-Identifier: MIT */
/* test_options.c - defaults where nothing is said, limits where something is */
#include <limits.h>
#include <string.h>

#include "tests/unit/db/db_fixture.h"

static struct bwt_options resolved;

static int resolve(struct bwt_options given)
{
	memset(&resolved, 0xee, sizeof resolved);
	return options_resolve(&given, &resolved);
}

/* Field by field: what lies between them is nobody's. */
static bool same(const struct bwt_options *a, const struct bwt_options *b)
{
	return a->flags == b->flags && a->durability == b->durability &&
	       a->sync_interval_ms == b->sync_interval_ms && a->max_size == b->max_size &&
	       a->inline_max == b->inline_max && a->wal_segment_size == b->wal_segment_size &&
	       a->vlog_segment_size == b->vlog_segment_size &&
	       a->checkpoint_wal_bytes == b->checkpoint_wal_bytes &&
	       a->checkpoint_interval_ms == b->checkpoint_interval_ms &&
	       a->worker_count == b->worker_count && a->space_target == b->space_target &&
	       a->vlog_space_target == b->vlog_space_target &&
	       a->vlog_collect_rate == b->vlog_collect_rate && a->log == b->log &&
	       a->progress == b->progress && a->ctx == b->ctx;
}

static void no_options_are_the_defaults(void)
{
	struct bwt_options none = {0};

	CU_ASSERT_EQUAL(options_resolve(NULL, &resolved), BWT_OK);
	CU_ASSERT_EQUAL(resolved.durability, BWT_SYNC);
	CU_ASSERT_EQUAL(resolved.max_size, (uint64_t)1 << 40);
	CU_ASSERT_EQUAL(resolved.sync_interval_ms, 100);
	CU_ASSERT_EQUAL(resolved.wal_segment_size, (uint64_t)64 << 20);
	CU_ASSERT_EQUAL(resolved.vlog_segment_size, (uint64_t)64 << 20);
	CU_ASSERT_EQUAL(resolved.checkpoint_wal_bytes, (uint64_t)256 << 20);
	CU_ASSERT_EQUAL(resolved.checkpoint_interval_ms, 60000);
	CU_ASSERT_EQUAL(resolved.worker_count, 1);
	CU_ASSERT_EQUAL(resolved.space_target, 250);
	CU_ASSERT_EQUAL(resolved.vlog_space_target, 150);
	CU_ASSERT_EQUAL(resolved.vlog_collect_rate, 0);
	CU_ASSERT_TRUE(resolved.inline_max > 0);
	none = resolved;
	CU_ASSERT_EQUAL(resolve((struct bwt_options){0}), BWT_OK);
	CU_ASSERT_TRUE(same(&none, &resolved));
}

static void what_is_said_is_kept(void)
{
	struct bwt_options given = {
		.flags = BWT_CREATE | BWT_EXCL | BWT_NO_URING | BWT_CATCH_SIGBUS | BWT_VERIFY,
		.durability = BWT_INTERVAL,
		.sync_interval_ms = 7,
		.max_size = (uint64_t)8 << 20,
		.inline_max = 33,
		.wal_segment_size = 1 << 20,
		.vlog_segment_size = 1 << 17,
		.checkpoint_wal_bytes = 5,
		.checkpoint_interval_ms = 6,
		.worker_count = 3,
		.space_target = 150,
		.vlog_space_target = 200,
		.vlog_collect_rate = 1000000,
		.ctx = &resolved,
	};

	CU_ASSERT_EQUAL(resolve(given), BWT_OK);
	CU_ASSERT_TRUE(same(&given, &resolved));
}

static void off_is_none_where_none_makes_sense(void)
{
	struct bwt_options given = {
		.inline_max = (uint32_t)BWT_OFF,
		.checkpoint_wal_bytes = (uint64_t)BWT_OFF,
		.checkpoint_interval_ms = (unsigned)BWT_OFF,
		.worker_count = (unsigned)BWT_OFF,
		.vlog_collect_rate = (uint64_t)BWT_OFF,
	};

	CU_ASSERT_EQUAL(resolve(given), BWT_OK);
	CU_ASSERT_EQUAL(resolved.vlog_collect_rate, UINT64_MAX);
	CU_ASSERT_EQUAL(resolved.inline_max, 0);
	CU_ASSERT_EQUAL(resolved.checkpoint_wal_bytes, UINT64_MAX);
	CU_ASSERT_EQUAL(resolved.checkpoint_interval_ms, UINT_MAX);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.max_size = (uint64_t)BWT_OFF}), BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.wal_segment_size = (uint64_t)BWT_OFF}),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.space_target = (unsigned)BWT_OFF}),
	                BWT_INVALID);
}

static void every_flag_that_open_does_not_take_is_refused(void)
{
	static const unsigned taken =
		BWT_CREATE | BWT_RDONLY | BWT_NO_URING | BWT_CATCH_SIGBUS | BWT_VERIFY;

	for (unsigned bit = 0; bit < 32; bit++) {
		unsigned flag = 1u << bit;

		/* BWT_EXCL is taken with BWT_CREATE only. */
		CU_ASSERT_EQUAL(resolve((struct bwt_options){.flags = flag}),
		                (flag & taken) != 0 ? BWT_OK : BWT_INVALID);
	}
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.flags = BWT_CREATE | BWT_EXCL}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.flags = BWT_RDONLY | BWT_CREATE}), BWT_INVALID);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "BWT_RDONLY"));
}

static void sizes_have_limits_and_the_limits_themselves_are_fine(void)
{
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.max_size = ((uint64_t)4 << 20) - 1}),
	                BWT_INVALID);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "max_size"));
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.max_size = (uint64_t)4 << 20}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.max_size = (uint64_t)1 << 46}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.max_size = ((uint64_t)1 << 46) + 1}),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.inline_max = 65536}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.inline_max = 65537}), BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.wal_segment_size = WAL_SEGMENT_MIN - 1}),
	                BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.wal_segment_size = WAL_SEGMENT_MIN}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.vlog_segment_size = 65535}), BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.vlog_segment_size = 65536}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.space_target = 109}), BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.vlog_space_target = 109}), BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.vlog_space_target = 110}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.vlog_space_target = (unsigned)BWT_OFF}),
	                BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.space_target = 110}), BWT_OK);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.durability = -1}), BWT_INVALID);
	CU_ASSERT_EQUAL(resolve((struct bwt_options){.durability = BWT_NONE + 1}), BWT_INVALID);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(no_options_are_the_defaults),
		TEST(what_is_said_is_kept),
		TEST(off_is_none_where_none_makes_sense),
		TEST(every_flag_that_open_does_not_take_is_refused),
		TEST(sizes_have_limits_and_the_limits_themselves_are_fine),
		CU_TEST_INFO_NULL,
	};

	return suite_run("options", NULL, NULL, tests);
}
