/* SPDX-License-Identifier: MIT */
/* test_checkpoint.c - cost, failure and crash of a checkpoint; what it releases */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/testpoint.h"
#include "recovery/checkpointer.h"
#include "recovery/verify.h"
#include "tests/unit/recovery/store_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static void checkpoint(void)
{
	CU_ASSERT_EQUAL_FATAL(fixture_checkpoint(&fixture), BWT_OK);
}

static void flush(void)
{
	CU_ASSERT_EQUAL_FATAL(wal_flush(fixture.store.wal, true), BWT_OK);
}

static void reopen(const char *path, bool clean)
{
	if (fixture.open)
		fixture_close(&fixture, clean);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, path), BWT_OK);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static uint64_t image_end(void)
{
	const struct image_pool *pool = &fixture.checkpointer->pool;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < pool->count; i++)
		bytes += pool->extents[i].end;
	return bytes;
}

static void a_checkpoint_counts_and_says_what_it_covers(void)
{
	struct checkpoint_state before, after;

	checkpoint_state(&fixture.store, fixture.checkpointer, &before);
	fixture_put(&fixture, 0, 1000, 1);
	checkpoint_state(&fixture.store, fixture.checkpointer, &after);
	CU_ASSERT_TRUE(after.log_bytes > 1000 * 20);
	CU_ASSERT_TRUE(after.allocated_bytes > 1000 * 20);
	CU_ASSERT_EQUAL(after.number, before.number);
	checkpoint();
	checkpoint_state(&fixture.store, fixture.checkpointer, &after);
	CU_ASSERT_EQUAL(after.number, before.number + 1);
	CU_ASSERT_EQUAL(after.count, before.count + 1);
	CU_ASSERT_EQUAL(after.start_lsn, wal_tail(fixture.store.wal));
	CU_ASSERT_EQUAL(after.log_bytes, 0);
	CU_ASSERT_EQUAL(after.allocated_bytes, 0);
}

static void a_checkpoint_when_nothing_changed_writes_only_a_root(void)
{
	uint64_t before;

	fixture_put(&fixture, 0, 20000, 1);
	for (unsigned i = 0; i < 4; i++)
		checkpoint();
	before = image_end();
	checkpoint();
	CU_ASSERT_TRUE(image_end() - before < 1024);
	reopen(fixture.path, false);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 20000, 1));
}

static void the_cost_follows_what_changed(void)
{
	uint64_t whole, before;

	/* Enough pages for several segments of the mapping table. */
	for (unsigned i = 0; i < 40; i++)
		fixture_put(&fixture, i * 10000, i * 10000 + 2500, 1);
	checkpoint();
	whole = image_bytes(&fixture.checkpointer->newest);
	checkpoint();
	before = image_end();
	fixture_put(&fixture, 5, 6, 2);
	checkpoint();
	CU_ASSERT_TRUE(fixture.checkpointer->newest.table[IMAGE_MAPPING].segment_count >= 4);
	CU_ASSERT_TRUE(image_end() - before < whole / 2);
}

static void image_extents_do_not_pile_up(void)
{
	uint64_t bytes;

	fixture_put(&fixture, 0, 3000, 1);
	for (unsigned i = 0; i < 300; i++) {
		fixture_put(&fixture, i % 3000, i % 3000 + 1, 2);
		checkpoint();
	}
	bytes = image_pool_bytes(&fixture.checkpointer->pool, NULL);
	CU_ASSERT_TRUE(bytes <= 4 * image_bytes(&fixture.checkpointer->newest) + 3 * EXTENT_SIZE);
	reopen(fixture.path, false);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 3000);
}

static void a_failed_checkpoint_changes_nothing_and_its_changes_join_the_next(void)
{
	uint64_t number = fixture.checkpointer->newest.number;

	fixture_put(&fixture, 0, 2000, 1);
	for (unsigned at = 1; at <= 3; at++) {
		testpoint_set("checkpoint_no_memory", at, NULL, NULL);
		CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), -ENOMEM);
		testpoint_reset();
		fixture_put(&fixture, at * 2000, at * 2000 + 2000, 1);
	}
	CU_ASSERT_EQUAL(fixture.checkpointer->newest.number, number);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	flush();
	tmpstore_copy(fixture.path, fixture.copy);
	checkpoint();
	CU_ASSERT_EQUAL(fixture.checkpointer->newest.number, number + 1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	/* No log is needed for any of it. */
	reopen(fixture.path, false);
	CU_ASSERT_EQUAL(fixture.checkpointer->newest.number, number + 1);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 8000, 1));
	reopen(fixture.copy, false);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 8000, 1));
}

static _Atomic(int) inside; /* 1: the thread is in the gate; 2: it may leave; 3: it has left */

static void *stay_in_the_gate(void *ctx)
{
	struct epoch_slot *slot = epoch_slot(&fixture.store.epoch);

	(void)ctx;
	gate_enter(slot);
	atomic_store(&inside, 1);
	while (atomic_load(&inside) != 2)
		sys_yield();
	gate_leave(slot);
	epoch_unpin(slot);
	return NULL;
}

static void a_thread_that_stays_in_the_gate_puts_it_off(void)
{
	uint64_t number = fixture.checkpointer->newest.number;
	pthread_t thread;

	fixture_put(&fixture, 0, 100, 1);
	atomic_store(&inside, 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, stay_in_the_gate, NULL), 0);
	while (atomic_load(&inside) != 1)
		sys_yield();
	CU_ASSERT_EQUAL(fixture_checkpoint(&fixture), BWT_BUSY);
	CU_ASSERT_EQUAL(fixture.checkpointer->newest.number, number);
	fixture_put(&fixture, 100, 200, 1); /* the gate is open again for the others */
	CU_ASSERT_EQUAL(pthread_mutex_trylock(fixture.store.trees_lock), 0);
	pthread_mutex_unlock(fixture.store.trees_lock);
	atomic_store(&inside, 2);
	pthread_join(thread, NULL);
	checkpoint();
	reopen(fixture.path, false);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 200, 1));
}

static void dead_extents_are_used_again(void)
{
	uint64_t early = 0, late;

	for (unsigned round = 0; round < 60; round++) {
		fixture_put(&fixture, 0, 1500, round);
		checkpoint();
		if (round == 20)
			early = arena_size(&fixture.store.arena);
	}
	late = arena_size(&fixture.store.arena);
	printf("         %llu KiB after 20 rounds, %llu KiB after 60\n",
	       (unsigned long long)early / 1024, (unsigned long long)late / 1024);
	CU_ASSERT_TRUE(late <= early + early / 2);
	reopen(fixture.path, false);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 1500, 59));
}

static int count_file(void *ctx, uint64_t file, uint64_t bytes)
{
	(void)file;
	(void)bytes;
	(*(unsigned *)ctx)++;
	return 0;
}

static unsigned value_files(void)
{
	unsigned count = 0;

	CU_ASSERT_EQUAL(vlog_list(fixture.store.vlog, count_file, &count), BWT_OK);
	return count;
}

static void value_files_go_when_two_checkpoints_found_them_dead(void)
{
	unsigned most = 0;

	for (unsigned round = 0; round < 40; round++) {
		fixture_put(&fixture, 0, 1000, round); /* some 60 large values, 100 KiB */
		checkpoint();
		if (value_files() > most)
			most = value_files();
	}
	printf("         at most %u value-log files\n", most);
	CU_ASSERT_TRUE(most < 40);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 1000, 39));
	reopen(fixture.path, false);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 1000, 39));
}

static void a_held_value_file_stays(void)
{
	unsigned before;

	fixture_put(&fixture, 0, 1000, 1);
	before = value_files();
	atomic_store(&fixture.slot->value_hold, 1);
	for (unsigned i = 2; i < 8; i++) {
		struct value_ref ref;
		char big[60000] = "";

		/* Unreferenced values fill files; the hold is renewed, as puts let go of it. */
		CU_ASSERT_EQUAL(vlog_append(fixture.store.vlog, 0, 0,
		                            (struct bwt_slice){big, sizeof big}, PACK_NONE, &ref),
		                BWT_OK);
		checkpoint();
	}
	CU_ASSERT_TRUE(value_files() >= before + 5);
	atomic_store(&fixture.slot->value_hold, 0);
	for (unsigned i = 0; i < 4; i++)
		checkpoint();
	CU_ASSERT_TRUE(value_files() <= before + 1);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 1000, 1));
}

static struct value_ref begun; /* a value in a file of its own, appended and not published */

static bool begin_large_value(void *ctx, const char *name, uint64_t hit)
{
	static const char large[100000];

	(void)ctx, (void)name, (void)hit;
	atomic_store(&fixture.slot->value_hold, vlog_append_floor(fixture.store.vlog));
	CU_ASSERT_EQUAL(vlog_append(fixture.store.vlog, 0, 0,
	                            (struct bwt_slice){large, sizeof large}, PACK_NONE, &begun),
	                BWT_OK);
	testpoint_set("value_notice_tails", 0, NULL, NULL);
	return false;
}

/* As a commit does that publishes the value: counted, and only then not held any more. */
static void count_begun(uint64_t bytes)
{
	gate_enter(fixture.slot);
	CU_ASSERT_TRUE(cow_touch(&fixture.store.vlog_live, begun.segment));
	atomic_fetch_add(&fixture.store.vlog_live.words[begun.segment], bytes);
	gate_leave(fixture.slot);
	epoch_unpin(fixture.slot);
	atomic_store(&fixture.slot->value_hold, 0);
}

/* VF1: it was not made when the checkpointer looked where values go: it is not known, or its hold is seen. */
static void a_file_that_is_begun_while_dead_ones_are_looked_for_stays(void)
{
	testpoint_set("value_notice_tails", 0, begin_large_value, NULL);
	checkpoint();
	count_begun(begun.size);
	for (unsigned i = 0; i < 4; i++)
		checkpoint();
	CU_ASSERT_EQUAL(vlog_check(fixture.store.vlog, &begun), BWT_OK);
	count_begun(-(uint64_t)begun.size);
	for (unsigned i = 0; i < 4; i++)
		checkpoint();
	CU_ASSERT_EQUAL(vlog_check(fixture.store.vlog, &begun), BWT_CORRUPT);
}

/* ---- a crash at each step ---- */

static bool copy_here(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	tmpstore_copy(fixture.path, fixture.copy);
	return false;
}

static const char *const steps[] = {"checkpoint_cut",       "checkpoint_waited",
                                    "checkpoint_collected", "checkpoint_synced",
                                    "checkpoint_published", "checkpoint_released"};

static void a_crash_after_any_step_loses_nothing(void)
{
	for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		fixture_put(&fixture, 0, 1000, 2 * i);
		checkpoint();
		fixture_put(&fixture, 500, 1500, 2 * i + 1);
		flush();
		testpoint_set(steps[i], 1, copy_here, NULL);
		checkpoint();
		CU_ASSERT_EQUAL(testpoint_hits(steps[i]), 1);
		testpoint_reset();
		reopen(fixture.copy, false);
		CU_ASSERT_EQUAL(fixture_keys(&fixture), 1500);
		CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 500, 2 * i));
		CU_ASSERT_TRUE(fixture_holds(&fixture, 500, 1500, 2 * i + 1));
		reopen(fixture.path, false);
	}
}

static void a_crash_while_recovering_ends_in_the_same_state(void)
{
	static const char *const points[] = {
		"recover_loaded",    "recover_replayed",     "recover_log_open",
		"checkpoint_cut",    "checkpoint_waited",    "checkpoint_collected",
		"checkpoint_synced", "checkpoint_published", "checkpoint_released"};
	char again[TMPSTORE_PATH_MAX];

	fixture_put(&fixture, 0, 2000, 1);
	checkpoint();
	fixture_put(&fixture, 1000, 3000, 2);
	fixture_delete(&fixture, 0, 100);
	flush();
	tmpstore_new(again);
	fixture_close(&fixture, false);
	tmpstore_copy(fixture.path, again);
	/* Each opening crashes at the next point, in the state that the last crash left. */
	for (unsigned round = 0; round < 2 * sizeof points / sizeof points[0]; round++) {
		const char *point = points[round % (sizeof points / sizeof points[0])];
		bool met;

		testpoint_set(point, 1, copy_here, NULL);
		CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
		met = testpoint_hits(point) == 1;
		testpoint_reset();
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		fixture_close(&fixture, false);
		CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, met ? fixture.copy : fixture.path),
		                      BWT_OK);
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		CU_ASSERT_EQUAL(fixture_keys(&fixture), 2900);
		CU_ASSERT_TRUE(fixture_lacks(&fixture, 0, 100));
		CU_ASSERT_TRUE(fixture_holds(&fixture, 100, 1000, 1));
		CU_ASSERT_TRUE(fixture_holds(&fixture, 1000, 3000, 2));
		fixture_close(&fixture, false);
		tmpstore_copy(round < sizeof points / sizeof points[0] ? again : fixture.copy,
		              fixture.path);
	}
	tmpstore_free(again);
}

/* ---- the rules can be seen to be broken ---- */

static void without_the_log_of_the_older_checkpoint_a_damaged_newer_one_is_fatal(void)
{
	unsigned slot;

	for (unsigned early = 0; early < 2; early++) {
		/* Several segments of log between the cuts. */
		for (unsigned i = 0; i < 3; i++) {
			fixture_put(&fixture, 0, 20000, i);
			if (early != 0)
				testpoint_set("checkpoint_release_early", 0, NULL, NULL);
			checkpoint();
		}
		testpoint_reset();
		slot = fixture.checkpointer->super_slot;
		fixture_close(&fixture, false);
		tmpstore_copy(fixture.path, fixture.copy);
		fixture_damage(fixture.copy, "arena", SUPERBLOCK_OFF(slot) + 100, 8);
		CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.copy),
		                early != 0 ? BWT_CORRUPT : BWT_OK);
		if (fixture.open) {
			CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 20000, 2));
			fixture_close(&fixture, false);
		}
		CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	}
}

/* While the image is collected, a writer changes extents that the cut had otherwise. */
static bool write_more(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	fixture_put(&fixture, 0, 1000, 9);
	flush();
	return false;
}

static void the_extent_table_is_imaged_as_of_the_cut(void)
{
	for (unsigned late = 0; late < 2; late++) {
		struct verify_report report = {0};

		fixture_put(&fixture, 0, 1000, late);
		testpoint_set("checkpoint_waited", 1, write_more, NULL);
		if (late != 0)
			testpoint_set("checkpoint_extents_late", 0, NULL, NULL);
		checkpoint();
		testpoint_reset();
		fixture_close(&fixture, false);
		if (fixture_open(&fixture, fixture.path) != BWT_OK) {
			CU_ASSERT_EQUAL(late, 1);
			break;
		}
		CU_ASSERT_EQUAL(verify_store(&fixture.store, fixture.slot, &report), BWT_OK);
		CU_ASSERT_EQUAL(report.damages + report.warnings != 0, late != 0);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_checkpoint_counts_and_says_what_it_covers),
		TEST(a_checkpoint_when_nothing_changed_writes_only_a_root),
		TEST(the_cost_follows_what_changed),
		TEST(image_extents_do_not_pile_up),
		TEST(a_failed_checkpoint_changes_nothing_and_its_changes_join_the_next),
		TEST(a_thread_that_stays_in_the_gate_puts_it_off),
		TEST(dead_extents_are_used_again),
		TEST(value_files_go_when_two_checkpoints_found_them_dead),
		TEST(a_held_value_file_stays),
		TEST(a_file_that_is_begun_while_dead_ones_are_looked_for_stays),
		TEST(a_crash_after_any_step_loses_nothing),
		TEST(a_crash_while_recovering_ends_in_the_same_state),
		TEST(without_the_log_of_the_older_checkpoint_a_damaged_newer_one_is_fatal),
		TEST(the_extent_table_is_imaged_as_of_the_cut),
		CU_TEST_INFO_NULL,
	};
	return suite_run("checkpoint", set_up, tear_down, tests);
}
