/* SPDX-License-Identifier: MIT */
/*
 * test_wal_flush.c - power cuts at every batch of the log, life after life
 *
 * One thread puts records, waits for some, flushes now and then. Before each batch counts, the power may be
 * cut: the next life starts from what the shadow disk kept. Every life's log must hold what was
 * acknowledged in it and in all lives before, and of the rest a prefix. Then the same with a fault
 * planted, which must be noticed: a checker that never bites proves nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/testpoint.h"
#include "log/wal_private.h"
#include "sys/file.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"
#include "tests/unit/log/shadow.h"

#define IDS_MAX 20000u
#define FAULTY_LIVES 20u

enum fate {
	FREE_TO_GO = 0,
	ACKNOWLEDGED = 1
};

static char cut_dir[TMPSTORE_PATH_MAX];
static struct rng rng;
static struct wal *wal;
static uint64_t next_id, life_first_id;
static uint8_t fate[IDS_MAX];
static uint64_t life_of[IDS_MAX]; /* first id of its life */
static unsigned violations, cuts;
static bool sync_store;
static uint64_t floor_lsn, floor_id;           /* where reading begins: the older checkpoint */
static uint64_t next_floor_lsn, next_floor_id; /* the newer one */

static void set_up(void)
{
	fixture_set_up();
	tmpstore_new(cut_dir);
	tmpstore_new(shadow_dir);
	memset(fate, 0, sizeof fate);
	next_id = life_first_id = 0;
	violations = cuts = 0;
	sync_store = true;
	floor_lsn = next_floor_lsn = WAL_BLOCK;
	floor_id = next_floor_id = 0;
	wal = NULL;
}

static void tear_down(void)
{
	shadow_stop();
	testpoint_reset();
	wal_close(wal);
	fixture_tear_down();
	tmpstore_free(cut_dir);
	tmpstore_free(shadow_dir);
}

static void violation(const char *what, uint64_t id)
{
	if (getenv("VERBOSE") != NULL)
		printf("    violation: %s (id %llu): %s\n", what, (unsigned long long)id,
		       bwt_detail());
	violations++;
}

/* What a power cut left must be an end of the log, with all that was acknowledged. */
static void judge(const char *dir)
{
	struct found *found;
	int dir_fd;

	cuts++;
	CU_ASSERT_EQUAL_FATAL(sys_dir_open(dir, &dir_fd), BWT_OK);
	found = read_all(dir_fd, floor_lsn);
	if (found->open_rc < 0 || found->rc != BWT_NOT_FOUND)
		violation("the log is not read to an end", next_id);
	if (found->bad > 0)
		violation("wrong bytes or order", found->bad);
	for (uint64_t id = floor_id; id < next_id; id++) {
		if (found_id(found, id))
			continue;
		if (fate[id] == ACKNOWLEDGED)
			violation("an acknowledged record is lost", id);
		if (id + 1 < next_id && life_of[id + 1] == life_of[id] && found_id(found, id + 1))
			violation("a record without the one before it", id);
	}
	free(found);
	sys_file_close(dir_fd);
}

/* Inside a batch: its writes are pending, so any part of them may survive. */
static void maybe_cut(void)
{
	if (!rng_chance(&rng, 20))
		return;
	shadow_cut(cut_dir, &rng, (unsigned)rng_below(&rng, 101));
	judge(cut_dir);
}

/* False: the log is so damaged that there is no next life. */
static bool begin_life(void)
{
	struct wal_config config = fixture_config();
	struct found *found = read_all(fixture_dir_fd, floor_lsn);
	bool ends = found->open_rc == BWT_OK && found->rc == BWT_NOT_FOUND;

	free(found);
	if (!ends)
		return false;
	config.plain = rng_chance(&rng, 30);
	config.sync = sync_store;
	shadow_reset(fixture_dir); /* what recovery reads it has synced (W5) */
	wal = fixture_reopen(config, floor_lsn);
	life_first_id = next_id;
	shadow_start(fixture_dir, maybe_cut);
	return true;
}

/* The power is gone: what the shadow has is the store. */
static void end_life(void)
{
	shadow_cut(cut_dir, &rng, (unsigned)rng_below(&rng, 101));
	judge(cut_dir);
	shadow_stop();
	wal_close(wal);
	wal = NULL;
	tmpstore_copy(cut_dir, fixture_dir);
}

static void acknowledge_all(void)
{
	for (uint64_t id = 0; id < next_id; id++)
		fate[id] = life_of[id] == life_first_id ? ACKNOWLEDGED : fate[id];
}

/* As after a checkpoint: what is below the older of two is not needed. */
static void checkpoint(void)
{
	if (wal_flush(wal, true) < 0)
		violation("a durable flush failed", next_id);
	acknowledge_all();
	floor_lsn = next_floor_lsn;
	floor_id = next_floor_id;
	next_floor_lsn = wal_tail(wal);
	next_floor_id = next_id;
	if (wal_release(wal, floor_lsn) < 0)
		violation("releasing failed", next_id);
}

static void one_action(void)
{
	uint32_t size = rng_chance(&rng, 3) ? (uint32_t)rng_range(&rng, 1, WAL_PAYLOAD_MAX)
	                                    : FIXTURE_SIZE_BY_ID;
	uint64_t end;

	if (next_id == IDS_MAX)
		return;
	life_of[next_id] = life_first_id;
	end = record_put(wal, next_id++, size);
	shadow_see_segments();
	if (rng_chance(&rng, 30) && sync_store) {
		if (wal_wait(wal, end) < 0)
			violation("waiting failed", next_id);
		acknowledge_all();
	} else if (rng_chance(&rng, 10)) {
		if (wal_flush(wal, false) < 0)
			violation("flushing failed", next_id);
	} else if (rng_chance(&rng, 5)) {
		if (wal_flush(wal, true) < 0)
			violation("a durable flush failed", next_id);
		acknowledge_all();
	} else if (rng_chance(&rng, 10)) {
		checkpoint();
	}
}

static void live(unsigned lives)
{
	rng_init(&rng, rng_seed());
	for (unsigned life = 0; life < lives; life++) {
		unsigned actions = (unsigned)rng_below(&rng, 60);

		if (!begin_life())
			break;
		for (unsigned i = 0; i < actions; i++)
			one_action();
		end_life();
	}
}

static unsigned lives(void)
{
	return suite_short() ? 10 : 60;
}

static void power_cuts_take_nothing_that_was_acknowledged(void)
{
	live(lives());
	CU_ASSERT_TRUE(cuts > lives());
	CU_ASSERT_EQUAL(violations, 0);
}

static void power_cuts_between_unsynced_writes_take_nothing_that_was_synced(void)
{
	sync_store = false;
	live(lives());
	CU_ASSERT_TRUE(cuts > lives());
	CU_ASSERT_EQUAL(violations, 0);
}

static void lives_without_a_record_leave_the_log_as_it_is(void)
{
	struct found *found;
	uint64_t tail;

	rng_init(&rng, 1);
	CU_ASSERT_TRUE_FATAL(begin_life());
	one_action();
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	acknowledge_all();
	end_life();
	CU_ASSERT_TRUE_FATAL(begin_life());
	tail = wal_tail(wal);
	end_life();
	for (unsigned i = 0; i < 10; i++) {
		CU_ASSERT_TRUE_FATAL(begin_life());
		CU_ASSERT_EQUAL(wal_tail(wal), tail);
		end_life();
	}
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->count, 1);
	CU_ASSERT_EQUAL(found->last_seq, 12);
	free(found);
	CU_ASSERT_EQUAL(violations, 0);
}

/* --- Planted faults --- */

static void expect_notice(const char *fault)
{
	testpoint_set(fault, 0, NULL, NULL);
	live(FAULTY_LIVES);
	CU_ASSERT_TRUE(testpoint_hits(fault) > 0);
	CU_ASSERT_TRUE(violations > 0);
}

static void a_sync_left_out_is_noticed(void)
{
	expect_notice("wal_skip_sync");
}

static void an_acknowledged_short_write_is_noticed(void)
{
	expect_notice("wal_short_write");
}

static void a_block_shared_by_two_flushes_is_noticed(void)
{
	expect_notice("wal_share_block");
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(power_cuts_take_nothing_that_was_acknowledged),
		TEST(power_cuts_between_unsynced_writes_take_nothing_that_was_synced),
		TEST(lives_without_a_record_leave_the_log_as_it_is),
		TEST(a_sync_left_out_is_noticed),
		TEST(an_acknowledged_short_write_is_noticed),
		TEST(a_block_shared_by_two_flushes_is_noticed),
		CU_TEST_INFO_NULL,
	};
	return suite_run("wal_flush", set_up, tear_down, tests);
}
