/* SPDX-License-Identifier: MIT */
/* test_wal_keep.c - what is kept for readers of the log, what their register promises, and when it ends */
#include "log/wal_keep.h"

#include <string.h>

#include "base/testpoint.h"
#include "log/wal_format.h"
#include "sys/file.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

static struct wal_keep *keep;
static struct wal_kept kept;
static struct wal_keeper *one, *two;
static uint64_t position;
static uint64_t value_bytes; /* that dead files have, for whoever stands below the cut */

static uint64_t values(void *ctx, uint64_t from)
{
	(void)ctx;
	(void)from;
	return value_bytes;
}

static void open_with_limit(uint64_t limit)
{
	bool damaged;

	CU_ASSERT_EQUAL_FATAL(
		wal_keep_open(fixture_dir_fd, FIXTURE_STORE_ID, limit, &keep, &damaged), BWT_OK);
	CU_ASSERT_FALSE(damaged);
}

static void set_up(void)
{
	fixture_set_up();
	value_bytes = 0;
	open_with_limit(1000000);
	wal_keep_cut(keep, WAL_BLOCK, WAL_BLOCK);
}

static void tear_down(void)
{
	testpoint_reset();
	wal_keep_close(keep);
	fixture_tear_down();
}

static void reopen(void)
{
	wal_keep_close(keep);
	open_with_limit(1000000);
}

static void settle(uint64_t start_lsn, uint64_t log_from)
{
	CU_ASSERT_EQUAL(wal_keep_settle(keep, start_lsn, log_from, values, NULL, &kept), BWT_OK);
}

static void nothing_is_kept_for_nobody(void)
{
	wal_keep_cut(keep, 50000, 40000);
	settle(50000, 40000);
	CU_ASSERT_EQUAL(kept.log_from, 40000);
	CU_ASSERT_EQUAL(kept.values_from, UINT64_MAX);
	CU_ASSERT_EQUAL(kept.cut_off, 0);
	CU_ASSERT_EQUAL(wal_keep_lowest(keep), UINT64_MAX);
	CU_ASSERT_EQUAL(wal_keep_add(keep, NULL, 49999, &one, &position), BWT_TRIMMED);
	CU_ASSERT_EQUAL(wal_keep_add(keep, NULL, 50000, &one, &position), BWT_OK);
}

static void a_reader_keeps_the_log_of_the_cut_below_it(void)
{
	wal_keep_cut(keep, 20000, 10000);
	wal_keep_cut(keep, 30000, 25000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, NULL, 29999, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(position, 29999);
	wal_keep_cut(keep, 50000, 50000);
	settle(30000, 25000);
	CU_ASSERT_EQUAL(kept.log_from, 10000); /* a transaction may have been open since */
	CU_ASSERT_EQUAL(kept.values_from, 29999);
	wal_keep_move(keep, one, 40000);
	settle(50000, 50000);
	CU_ASSERT_EQUAL(kept.log_from, 25000);
	wal_keep_move(keep, one, 30000); /* never back */
	settle(50000, 50000);
	CU_ASSERT_EQUAL(kept.values_from, 40000);
	wal_keep_leave(keep, one);
	settle(50000, 50000);
	CU_ASSERT_EQUAL(kept.log_from, 50000);
}

static void a_newcomer_may_stand_where_another_one_keeps(void)
{
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", WAL_BLOCK, &one, &position), BWT_OK);
	wal_keep_cut(keep, 50000, 50000);
	settle(50000, 50000);
	reopen(); /* cuts before this life are not known: the other reader's floor is */
	wal_keep_cut(keep, 50000, 50000);
	wal_keep_begin(keep, 50000, WAL_BLOCK, 50000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, NULL, 30000, &two, &position), BWT_OK);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(position, WAL_BLOCK);
	wal_keep_move(keep, one, 50000);
	wal_keep_save(keep);
	settle(50000, 50000);
	CU_ASSERT_EQUAL(kept.log_from, WAL_BLOCK); /* now the newcomer's */
	CU_ASSERT_EQUAL(kept.values_from, 30000);
}

static void a_name_is_remembered_with_its_place(void)
{
	struct wal_keeper_info infos[WAL_KEEPERS_MAX];

	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(position, WAL_BLOCK);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &two, &position), BWT_BUSY);
	CU_ASSERT_EQUAL(wal_keep_forget(keep, "one"), BWT_BUSY);
	wal_keep_move(keep, one, 20000);
	CU_ASSERT_EQUAL(wal_keep_save(keep), BWT_OK);
	wal_keep_move(keep, one, 30000);
	wal_keep_leave(keep, one);
	reopen();
	CU_ASSERT_EQUAL_FATAL(wal_keep_list(keep, infos), 1);
	CU_ASSERT_STRING_EQUAL(infos[0].name, "one");
	CU_ASSERT_EQUAL(infos[0].position, 20000); /* 30000 was not written */
	CU_ASSERT_FALSE(infos[0].open);
	CU_ASSERT_EQUAL(wal_keep_forget(keep, "one"), BWT_OK);
	CU_ASSERT_EQUAL(wal_keep_forget(keep, "one"), BWT_NOT_FOUND);
	reopen();
	CU_ASSERT_EQUAL(wal_keep_list(keep, infos), 0);
}

static void who_stands_beyond_the_end_of_the_log_is_cut_off(void)
{
	CU_ASSERT_EQUAL(wal_keep_add(keep, "at", 50000, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "beyond", 50016, &two, &position), BWT_OK);
	reopen();
	wal_keep_cut(keep, WAL_BLOCK, WAL_BLOCK);
	wal_keep_begin(keep, WAL_BLOCK, WAL_BLOCK, 50000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "at", 0, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(position, 50000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "beyond", 0, &two, &position), BWT_TRIMMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "was cut off"));
	CU_ASSERT_EQUAL(wal_keep_add(keep, "beyond", 50000, &two, &position), BWT_OK);
}

/* WK2: what the file promises counts, not what memory knows. */
static void nothing_is_released_that_the_register_on_disk_promises(void)
{
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	wal_keep_cut(keep, 50000, 50000);
	wal_keep_move(keep, one, 60000);
	testpoint_set("wal_keep_write", 0, NULL, NULL);
	CU_ASSERT_EQUAL(wal_keep_settle(keep, 50000, 50000, values, NULL, &kept), BWT_FULL);
	CU_ASSERT_EQUAL(kept.log_from, WAL_BLOCK);
	CU_ASSERT_EQUAL(kept.values_from, WAL_BLOCK);
	wal_keep_press(keep);
	CU_ASSERT_EQUAL(wal_keep_settle(keep, 50000, 50000, values, NULL, &kept), BWT_FULL);
	CU_ASSERT_EQUAL(kept.log_from, WAL_BLOCK);
	testpoint_reset();
	settle(50000, 50000);
	CU_ASSERT_EQUAL(kept.log_from, 50000);
}

static void a_name_that_cannot_be_written_is_no_reader(void)
{
	testpoint_set("wal_keep_write", 0, NULL, NULL);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_FULL);
	testpoint_reset();
	CU_ASSERT_EQUAL(wal_keep_lowest(keep), UINT64_MAX);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	wal_keep_leave(keep, one);
	testpoint_set("wal_keep_write", 0, NULL, NULL);
	CU_ASSERT_EQUAL(wal_keep_forget(keep, "one"), BWT_FULL);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", WAL_BLOCK + 16, &one, &position), BWT_FULL);
	testpoint_reset();
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(position, WAL_BLOCK); /* as it stood */
}

static void who_keeps_more_than_the_limit_is_cut_off_and_nobody_else(void)
{
	wal_keep_close(keep);
	open_with_limit(100000);
	wal_keep_cut(keep, WAL_BLOCK, WAL_BLOCK);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "two", 0, &two, &position), BWT_OK);
	wal_keep_cut(keep, 200000, 200000);
	wal_keep_move(keep, two, 250000);
	wal_keep_cut(keep, 300000, 300000);
	settle(300000, 300000);
	CU_ASSERT_EQUAL(kept.cut_off, 1);
	CU_ASSERT_EQUAL(kept.log_from, 200000); /* exactly the limit */
	CU_ASSERT_TRUE(wal_keep_lost(one));
	CU_ASSERT_FALSE(wal_keep_lost(two));
	value_bytes = 1;
	settle(300000, 300000);
	CU_ASSERT_EQUAL(kept.cut_off, 1);
	CU_ASSERT_TRUE(wal_keep_lost(two));
	CU_ASSERT_EQUAL(kept.log_from, 300000);
	CU_ASSERT_EQUAL(kept.values_from, UINT64_MAX);
	wal_keep_leave(keep, one);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_TRIMMED);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 299999, &one, &position), BWT_TRIMMED);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 300000, &one, &position), BWT_OK);
	CU_ASSERT_FALSE(wal_keep_lost(one));
}

static void a_full_disk_cuts_off_whoever_keeps_anything(void)
{
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	wal_keep_cut(keep, 20000, 20000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "two", 20000, &two, &position), BWT_OK);
	wal_keep_press(keep);
	settle(20000, 20000);
	CU_ASSERT_EQUAL(kept.cut_off, 1);
	CU_ASSERT_TRUE(wal_keep_lost(one));
	CU_ASSERT_FALSE(wal_keep_lost(two));
	CU_ASSERT_EQUAL(wal_keep_add(keep, "three", 20000, &one, &position), BWT_OK);
	wal_keep_cut(keep, 40000, 40000);
	settle(40000, 40000); /* once */
	CU_ASSERT_EQUAL(kept.cut_off, 0);
}

static void many_cuts_only_make_floors_lower(void)
{
	wal_keep_close(keep);
	open_with_limit(UINT64_MAX);
	for (uint64_t cut = 1; cut <= 1000; cut++)
		wal_keep_cut(keep, WAL_BLOCK + cut * 1000, WAL_BLOCK + cut * 1000 - 500);
	for (uint64_t at = 1000; at > 500; at -= 37) {
		uint64_t from = WAL_BLOCK + at * 1000 + 3;

		CU_ASSERT_EQUAL_FATAL(wal_keep_add(keep, NULL, from, &one, &position), BWT_OK);
		settle(UINT64_MAX / 2, UINT64_MAX / 2);
		CU_ASSERT_TRUE(kept.log_from <= from - 503);
		CU_ASSERT_TRUE(kept.log_from > from / 2 || at < 990);
		wal_keep_leave(keep, one);
		wal_keep_begin(keep, WAL_BLOCK, 0, 50000);
	}
}

static void a_reader_whose_log_is_gone_is_cut_off_at_opening(void)
{
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_OK);
	wal_keep_cut(keep, 20000, 20000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "two", 20000, &two, &position), BWT_OK);
	reopen();
	wal_keep_begin(keep, 30000, 20000, 50000);
	wal_keep_cut(keep, 30000, 30000);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "one", 0, &one, &position), BWT_TRIMMED);
	CU_ASSERT_EQUAL(wal_keep_add(keep, "two", 0, &two, &position), BWT_OK);
	CU_ASSERT_EQUAL(position, 20000);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(nothing_is_kept_for_nobody),
		TEST(a_reader_keeps_the_log_of_the_cut_below_it),
		TEST(a_newcomer_may_stand_where_another_one_keeps),
		TEST(a_name_is_remembered_with_its_place),
		TEST(who_stands_beyond_the_end_of_the_log_is_cut_off),
		TEST(nothing_is_released_that_the_register_on_disk_promises),
		TEST(a_name_that_cannot_be_written_is_no_reader),
		TEST(who_keeps_more_than_the_limit_is_cut_off_and_nobody_else),
		TEST(a_full_disk_cuts_off_whoever_keeps_anything),
		TEST(a_reader_whose_log_is_gone_is_cut_off_at_opening),
		TEST(many_cuts_only_make_floors_lower),
		CU_TEST_INFO_NULL,
	};

	return suite_run("wal_keep", set_up, tear_down, tests);
}
