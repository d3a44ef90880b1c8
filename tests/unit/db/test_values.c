/* SPDX-License-Identifier: MIT */
/* test_values.c - collection of the value log: its size, what it must not lose, and faults that would */
#include "db/values.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/testpoint.h"
#include "tests/support/rng.h"
#include "tests/unit/db/db_fixture.h"

#define KEYS 300u
#define VALUE_SIZE 3000u
#define SEGMENT ((uint64_t)64 << 10)
#define ROUNDS 12u

static struct fixture fixture;
static unsigned versions[KEYS];

static void set_up(void)
{
	fixture_new(&fixture);
	fixture.options.vlog_segment_size = SEGMENT;
	fixture.options.worker_count = (unsigned)BWT_OFF;
	memset(versions, 0, sizeof versions);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static struct bwt_slice key_of(unsigned number)
{
	static char text[16];

	snprintf(text, sizeof text, "%08u", number);
	return text_slice(text);
}

static void value_of(unsigned number, unsigned version, uint8_t value[VALUE_SIZE])
{
	struct rng rng;

	rng_init(&rng, number * 1000003ull + version);
	rng_fill(&rng, value, VALUE_SIZE);
}

static void put(unsigned number)
{
	uint8_t value[VALUE_SIZE];

	value_of(number, ++versions[number], value);
	CU_ASSERT_EQUAL_FATAL(bwt_put(fixture.tree, NULL, key_of(number),
	                              (struct bwt_slice){value, VALUE_SIZE}, 0),
	                      BWT_OK);
}

/* Does a reader see @version of the key? */
static bool has(struct bwt_txn *txn, unsigned number, unsigned version)
{
	uint8_t value[VALUE_SIZE];
	struct bwt_buf got = {0};
	bool same;

	value_of(number, version, value);
	same = bwt_get(fixture.tree, txn, key_of(number), &got) == BWT_OK &&
	       got.size == VALUE_SIZE && memcmp(got.data, value, VALUE_SIZE) == 0;
	bwt_buf_free(&got);
	return same;
}

static unsigned wrong(struct bwt_txn *txn, const unsigned seen[KEYS])
{
	unsigned count = 0;

	for (unsigned i = 0; i < KEYS; i++)
		count += !has(txn, i, seen[i]);
	return count;
}

static void overwrite(unsigned rounds)
{
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < KEYS; i++)
		put(i);
	for (unsigned i = 0; i < KEYS * rounds; i++)
		put((unsigned)rng_below(&rng, KEYS));
}

static unsigned findings; /* of the last verification */

static void count_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	findings += finding->severity != BWT_NOTE;
}

static void verify(void)
{
	findings = 0;
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(bwt_verify(fixture.path, 0, count_finding, NULL) == BWT_OK, findings == 0);
	fixture_open(&fixture);
}

/* By hand, on this thread: one value in three of each file is overwritten, and what lives is moved. */
static void collect(void)
{
	struct epoch_slot *slot;

	CU_ASSERT_EQUAL_FATAL(db_slot(fixture.db, &slot), BWT_OK);
	for (unsigned i = 0; i < KEYS; i++)
		put(i);
	for (unsigned i = 0; i < KEYS; i++)
		if (i % 3 == 0)
			put(i);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	while (values_collect(fixture.db, slot))
		;
}

static void open_for_hand(void)
{
	/* Nothing of it happens by itself: without a slack there would be little to move. */
	fixture.options.vlog_space_target = 110;
	fixture_open(&fixture);
	fixture.db->store.tend_values = NULL;
}

static void checkpoints(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
}

/* ---- size ---- */

static bool is_small(struct fixture *of)
{
	struct bwt_stats stats;

	CU_ASSERT_EQUAL(bwt_checkpoint(of->db), BWT_OK);
	stats = fixture_stats(of);
	/* A put in a chain is counted as live until its page is consolidated: a sixteenth of the leaf's at most. */
	return stats.vlog_bytes <= stats.vlog_live_bytes / 100 * 150 + 2 * SEGMENT;
}

static void stays_small(void)
{
	struct bwt_stats stats;

	fixture_open(&fixture);
	overwrite(ROUNDS);
	CU_ASSERT_TRUE(fixture_until(&fixture, is_small));
	stats = fixture_stats(&fixture);
	printf("    put %u KiB, log %u KiB, live %u KiB, moved %u KiB in %u values, %u files "
	       "removed\n",
	       (unsigned)(stats.user_bytes_written >> 10), (unsigned)(stats.vlog_bytes >> 10),
	       (unsigned)(stats.vlog_live_bytes >> 10), (unsigned)(stats.value_bytes_moved >> 10),
	       (unsigned)stats.values_moved, (unsigned)stats.value_files_freed);
	CU_ASSERT_TRUE(stats.values_moved > 0 && stats.value_files_freed > 0);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	verify();
	CU_ASSERT_EQUAL(findings, 0);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static void overwriting_keeps_the_log_near_its_target(void)
{
	fixture.options.worker_count = 1;
	stays_small();
}

static void overwriting_keeps_the_log_near_its_target_without_workers(void)
{
	stays_small();
}

static bool slow_disk(void *ctx, const char *name, uint64_t hit)
{
	struct timespec time = {.tv_nsec = 10000000};

	(void)ctx, (void)name, (void)hit;
	nanosleep(&time, NULL);
	return false;
}

/* The most that the log is above its target while values are overwritten faster than checkpoints come, in files. */
static uint64_t most_above(void)
{
	uint64_t most = 0;

	fixture.options.worker_count = 1;
	fixture_open(&fixture);
	testpoint_set("checkpoint_synced", 0, slow_disk, NULL);
	for (unsigned i = 0; i < 3; i++) {
		overwrite(1);
		for (unsigned k = 0; k < KEYS; k++) {
			struct bwt_stats stats = fixture_stats(&fixture);
			uint64_t target = stats.vlog_live_bytes / 100 * 150 + 2 * SEGMENT;

			put(k);
			if (stats.vlog_bytes > target && stats.vlog_bytes - target > most)
				most = stats.vlog_bytes - target;
		}
	}
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	testpoint_reset();
	fixture_close(&fixture);
	return most / SEGMENT;
}

/* VC7 */
static void puts_wait_while_dead_files_make_the_log_too_large(void)
{
	uint64_t waiting = most_above(), never;

	testpoint_set("values_never_wait", 0, NULL, NULL);
	never = most_above();
	printf("    %u files above the target, %u if nobody waits\n", (unsigned)waiting,
	       (unsigned)never);
	CU_ASSERT_TRUE(waiting <= 8);
	CU_ASSERT_TRUE(never > 2 * waiting + 8);
}

static void collection_that_is_off_moves_nothing(void)
{
	struct bwt_stats stats;

	fixture.options.vlog_space_target = (unsigned)BWT_OFF;
	fixture_open(&fixture);
	overwrite(ROUNDS);
	checkpoints(3);
	stats = fixture_stats(&fixture);
	CU_ASSERT_EQUAL(stats.values_moved, 0);
	CU_ASSERT_TRUE(stats.vlog_bytes > stats.vlog_live_bytes / 100 * 150 + 2 * SEGMENT);
	CU_ASSERT_TRUE(stats.value_files_freed > 0); /* wholly dead ones go nevertheless */
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

/* A value that is larger than files are, and so in a file of its own. */
static void put_huge(const char *key, uint8_t fill)
{
	static uint8_t value[2 * SEGMENT];

	memset(value, fill, sizeof value);
	CU_ASSERT_EQUAL_FATAL(bwt_put(fixture.tree, NULL, text_slice(key),
	                              (struct bwt_slice){value, sizeof value}, 0),
	                      BWT_OK);
}

static void dead_files_of_their_own_go_whatever_is_appended_to(void)
{
	fixture.options.vlog_space_target = (unsigned)BWT_OFF;
	fixture_open(&fixture);
	put(0); /* the file that is appended to has the smallest number */
	for (unsigned i = 0; i < 100; i++)
		put_huge("huge", (uint8_t)i);
	checkpoints(4);
	CU_ASSERT_TRUE(fixture_stats(&fixture).vlog_bytes < 20 * 2 * SEGMENT);
	CU_ASSERT_TRUE(has(NULL, 0, 1));
	verify();
	CU_ASSERT_EQUAL(findings, 0);
}

static void a_large_value_that_is_overwritten_does_not_live_in_the_chain(void)
{
	uint64_t live;
	struct bwt_txn *txn;

	fixture.options.vlog_space_target = (unsigned)BWT_OFF;
	fixture_open(&fixture);
	for (unsigned i = 0; i < 15; i++)
		put_huge("huge", (uint8_t)i);
	live = fixture_stats(&fixture).vlog_live_bytes;
	CU_ASSERT_TRUE(live <= 2 * 2 * SEGMENT);
	/* A snapshot keeps what it sees, and no more. */
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_NEWEST, &txn), BWT_OK);
	for (unsigned i = 0; i < 15; i++)
		put_huge("huge", (uint8_t)i);
	live = fixture_stats(&fixture).vlog_live_bytes;
	CU_ASSERT_TRUE(live >= 2 * 2 * SEGMENT && live <= 3 * 2 * SEGMENT);
	bwt_abort(txn);
}

/* Moved values lie in younger files than those that commits append to. */
static void files_of_moved_values_go_when_they_are_dead(void)
{
	struct bwt_stats before, after;

	open_for_hand();
	collect();
	checkpoints(4);
	before = fixture_stats(&fixture);
	CU_ASSERT_TRUE(before.values_moved > 0);
	for (unsigned i = 0; i < KEYS; i++)
		CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, key_of(i)), BWT_OK);
	checkpoints(4);
	after = fixture_stats(&fixture);
	printf("    %u files, %u when all is deleted; %u KiB live\n",
	       (unsigned)(before.vlog_bytes / SEGMENT), (unsigned)(after.vlog_bytes / SEGMENT),
	       (unsigned)(after.vlog_live_bytes >> 10));
	CU_ASSERT_TRUE(after.vlog_bytes <= before.vlog_bytes / 4);
}

/* ---- what it must not lose ---- */

static unsigned old_wrong; /* values that the snapshot does not see any more */

static void collect_below_a_snapshot(void)
{
	unsigned before[KEYS];
	struct bwt_txn *txn;

	open_for_hand();
	for (unsigned i = 0; i < KEYS; i++)
		put(i);
	memcpy(before, versions, sizeof before);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_NEWEST, &txn), BWT_OK);
	for (unsigned i = 0; i < KEYS; i++)
		if (i % 2 == 0)
			put(i);
	collect();
	checkpoints(3);
	old_wrong = wrong(txn, before);
	bwt_abort(txn);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static void a_snapshot_sees_what_it_saw(void)
{
	collect_below_a_snapshot();
	CU_ASSERT_TRUE(fixture_stats(&fixture).values_moved > 0);
	CU_ASSERT_EQUAL(old_wrong, 0);
}

static void a_collection_that_forgets_snapshots_is_noticed(void)
{
	testpoint_set("prune_visible", 0, NULL, NULL);
	collect_below_a_snapshot();
	CU_ASSERT_TRUE(old_wrong > 0);
}

/*
 * An idle snapshot: what it sees of each key and the newest version, and nothing of what came between. So the live
 * bytes are twice those of one version each, and the files are in proportion.
 */
static void an_idle_snapshot_keeps_what_it_sees_and_no_more(void)
{
	const uint64_t once = (uint64_t)KEYS * VALUE_SIZE;
	unsigned before[KEYS];
	struct bwt_stats stats;
	struct bwt_txn *txn;

	fixture_open(&fixture);
	for (unsigned i = 0; i < KEYS; i++)
		put(i);
	memcpy(before, versions, sizeof before);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY | BWT_NEWEST, &txn), BWT_OK);
	overwrite(ROUNDS);
	CU_ASSERT_TRUE(fixture_until(&fixture, is_small));
	stats = fixture_stats(&fixture);
	printf("    live %u KiB of %u KiB put, one version of all has %u KiB\n",
	       (unsigned)(stats.vlog_live_bytes >> 10), (unsigned)(stats.user_bytes_written >> 10),
	       (unsigned)(once >> 10));
	CU_ASSERT_TRUE(stats.values_moved > 0 && stats.value_files_freed > 0);
	CU_ASSERT_TRUE(stats.vlog_live_bytes >= 2 * once);
	CU_ASSERT_TRUE(stats.vlog_live_bytes <= 2 * once + once / 2); /* chains: see is_small() */
	CU_ASSERT_EQUAL(wrong(txn, before), 0);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	bwt_abort(txn);
	/* What it alone kept goes when it has ended, as pages are consolidated. */
	overwrite(ROUNDS);
	CU_ASSERT_TRUE(fixture_until(&fixture, is_small));
	CU_ASSERT_TRUE(fixture_stats(&fixture).vlog_live_bytes <= once + once / 2);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static bool has_moved(struct fixture *of)
{
	work_wake(&of->db->work, UINT32_MAX);
	return fixture_stats(of).values_moved > 0;
}

/* A byte a second: after one leaf the background rests for more than the test will take. */
static void a_rate_stops_the_background(void)
{
	void (*tend)(struct store * store, struct epoch_slot * slot);
	uint64_t moved;

	fixture.options.worker_count = 1;
	fixture.options.vlog_space_target = 110;
	fixture.options.vlog_collect_rate = 1;
	fixture_open(&fixture);
	tend = fixture.db->store.tend_values;
	fixture.db->store.tend_values = NULL; /* nobody else helps */
	for (unsigned i = 0; i < 4 * KEYS; i++)
		put(i * 7 % KEYS);
	for (unsigned i = 0; i < KEYS; i += 2)
		put(i);
	fixture.db->store.tend_values = tend;
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK); /* looks, and wakes: there is much to do */
	fixture.db->store.tend_values = NULL;
	CU_ASSERT_TRUE(fixture_until(&fixture, has_moved));
	moved = fixture_stats(&fixture).values_moved;
	CU_ASSERT_TRUE(values_behind(fixture.db) && values_wait_ns(fixture.db) > 1000000000);
	for (unsigned i = 0; i < 100; i++)
		(void)has_moved(&fixture);
	CU_ASSERT_EQUAL(fixture_stats(&fixture).values_moved, moved);
}

static void what_was_moved_is_there_after_opening_again(void)
{
	open_for_hand();
	collect();
	CU_ASSERT_TRUE(fixture_stats(&fixture).values_moved > 0);
	checkpoints(3);
	verify();
	CU_ASSERT_EQUAL(findings, 0);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static void values_that_are_not_counted_are_noticed(void)
{
	open_for_hand();
	testpoint_set("move_uncounted", 0, NULL, NULL);
	collect();
	testpoint_reset();
	verify();
	CU_ASSERT_TRUE(findings > 0);
}

static void values_that_end_up_under_another_key_are_noticed(void)
{
	open_for_hand();
	testpoint_set("move_over_another", 0, NULL, NULL);
	collect();
	CU_ASSERT_TRUE(wrong(NULL, versions) > 0);
}

/* While copies are made and not referred to, others begin new files, and checkpoints look for dead ones. */
static bool checkpoint_between(void *ctx, const char *name, uint64_t hit)
{
	static const uint8_t bytes[VALUE_SIZE];
	struct value_ref ref;

	(void)ctx, (void)name, (void)hit;
	for (unsigned i = 0; i < 2 * SEGMENT / VALUE_SIZE; i++)
		CU_ASSERT_EQUAL(vlog_append(fixture.db->store.vlog, TREE_ID_MAIN, 0,
		                            (struct bwt_slice){bytes, sizeof bytes}, PACK_NONE, &ref),
		                BWT_OK);
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(service_checkpoint(fixture.db, false), BWT_OK);
	return false;
}

static void collect_beside_checkpoints(void)
{
	open_for_hand();
	testpoint_set("values_copied", 0, checkpoint_between, NULL);
	collect();
	CU_ASSERT_TRUE(testpoint_hits("values_copied") > 0);
}

static void copies_are_kept_before_anything_refers_to_them(void)
{
	collect_beside_checkpoints();
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
}

static void copies_that_nobody_holds_are_lost(void)
{
	testpoint_set("move_unheld", 0, NULL, NULL);
	collect_beside_checkpoints();
	CU_ASSERT_TRUE(wrong(NULL, versions) > 0);
}

static void a_tree_that_is_dropped_takes_its_values_along(void)
{
	struct bwt_tree *named;
	uint8_t value[VALUE_SIZE];

	open_for_hand();
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(fixture.db, "named", BWT_CREATE, &named), BWT_OK);
	for (unsigned i = 0; i < KEYS; i++) {
		value_of(i, 1, value);
		CU_ASSERT_EQUAL(
			bwt_put(named, NULL, key_of(i), (struct bwt_slice){value, VALUE_SIZE}, 0),
			BWT_OK);
	}
	collect();
	CU_ASSERT_EQUAL(bwt_tree_drop(fixture.db, "named"), BWT_OK);
	collect();
	checkpoints(3);
	CU_ASSERT_EQUAL(wrong(NULL, versions), 0);
	verify();
	CU_ASSERT_EQUAL(findings, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(overwriting_keeps_the_log_near_its_target),
		TEST(overwriting_keeps_the_log_near_its_target_without_workers),
		TEST(puts_wait_while_dead_files_make_the_log_too_large),
		TEST(collection_that_is_off_moves_nothing),
		TEST(dead_files_of_their_own_go_whatever_is_appended_to),
		TEST(a_large_value_that_is_overwritten_does_not_live_in_the_chain),
		TEST(files_of_moved_values_go_when_they_are_dead),
		TEST(a_snapshot_sees_what_it_saw),
		TEST(a_collection_that_forgets_snapshots_is_noticed),
		TEST(an_idle_snapshot_keeps_what_it_sees_and_no_more),
		TEST(a_rate_stops_the_background),
		TEST(what_was_moved_is_there_after_opening_again),
		TEST(values_that_are_not_counted_are_noticed),
		TEST(values_that_end_up_under_another_key_are_noticed),
		TEST(copies_are_kept_before_anything_refers_to_them),
		TEST(copies_that_nobody_holds_are_lost),
		TEST(a_tree_that_is_dropped_takes_its_values_along),
		CU_TEST_INFO_NULL,
	};

	return suite_run("values", set_up, tear_down, tests);
}
