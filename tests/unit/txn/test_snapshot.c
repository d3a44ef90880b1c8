/* SPDX-License-Identifier: MIT */
/* test_snapshot.c - slots, and a horizon that overlooks nobody (S1) */
#include "txn/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

static struct snapshots snapshots;
static _Atomic(uint64_t) now; /* the clock */
static struct horizon horizon;

static void set_up(void)
{
	snapshots_init(&snapshots);
	atomic_store(&now, 1000);
}

static void tear_down(void)
{
	testpoint_reset();
	snapshots_deinit(&snapshots);
}

static uint64_t clock_now(void *ctx)
{
	(void)ctx;
	return atomic_load(&now);
}

static struct snapshot_slot *acquire(uint64_t lsn)
{
	struct snapshot_slot *slot = NULL;

	atomic_store(&now, lsn);
	CU_ASSERT_EQUAL_FATAL(snapshot_acquire(&snapshots, clock_now, NULL, &slot), BWT_OK);
	return slot;
}

/* Will pruning by @horizon keep what a snapshot at @lsn sees? */
static bool covers(const struct horizon *of, uint64_t lsn)
{
	for (unsigned i = 0; i < of->count; i++)
		if (of->lsn[i] == lsn)
			return true;
	return lsn >= of->future;
}

static void a_snapshot_stands_where_the_clock_was(void)
{
	struct snapshot_slot *slot = acquire(160);

	atomic_store(&now, 500);
	CU_ASSERT_EQUAL(snapshot_lsn(slot), 160);
	snapshot_release(slot);
}

static void a_look_names_the_oldest(void)
{
	uint64_t begun_ns = sys_now_ns();
	struct snapshot_slot *young = acquire(320), *old = acquire(160);
	struct snapshot_info info;

	snapshots_look(&snapshots, &info);
	CU_ASSERT_EQUAL(info.live, 2);
	CU_ASSERT_EQUAL(info.lsn, 160);
	CU_ASSERT_EQUAL(info.thread, sys_thread_id());
	CU_ASSERT_TRUE(info.begun_ns >= begun_ns && info.begun_ns <= sys_now_ns());
	snapshot_release(old);
	snapshots_look(&snapshots, &info);
	CU_ASSERT_EQUAL(info.lsn, 320);
	snapshot_release(young);
	snapshots_look(&snapshots, &info);
	CU_ASSERT_EQUAL(info.live, 0);
	CU_ASSERT_EQUAL(info.lsn, 0);
}

static void a_slot_is_used_again(void)
{
	for (unsigned i = 0; i < 10000; i++)
		snapshot_release(acquire(160 + i));
	CU_ASSERT_EQUAL(atomic_load(&snapshots.count), 1);
}

static void the_horizon_names_each_live_snapshot_once_in_order(void)
{
	static const uint64_t lsns[] = {400, 200, 400, 300, 200};
	struct snapshot_slot *slots[5];

	for (unsigned i = 0; i < 5; i++)
		slots[i] = acquire(lsns[i]);
	atomic_store(&now, 1000);
	snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
	CU_ASSERT_EQUAL(horizon.future, 1000);
	CU_ASSERT_EQUAL_FATAL(horizon.count, 3);
	CU_ASSERT_TRUE(horizon.lsn[0] == 200 && horizon.lsn[1] == 300 && horizon.lsn[2] == 400);
	snapshot_release(slots[3]);
	snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
	CU_ASSERT_EQUAL(horizon.count, 2);
	/* Those at or above the clock need no mention: they are future. */
	atomic_store(&now, 400);
	snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
	CU_ASSERT_EQUAL(horizon.count, 1);
	CU_ASSERT_TRUE(covers(&horizon, 400));
}

static void without_snapshots_only_the_future_counts(void)
{
	snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
	CU_ASSERT_EQUAL(horizon.future, 1000);
	CU_ASSERT_EQUAL(horizon.count, 0);
}

/* ---- S1 ---- */

static uint64_t clock_with_horizon(void *ctx)
{
	uint64_t lsn = atomic_load(&now);

	(void)ctx;
	atomic_store(&now, lsn + 1000); /* much is committed between the load and the store of S */
	snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
	return lsn;
}

/* Pruning comes in the middle of acquiring; does it respect the snapshot that will be? */
static bool acquiring_is_respected(void)
{
	struct snapshot_slot *slot;

	CU_ASSERT_EQUAL_FATAL(snapshot_acquire(&snapshots, clock_with_horizon, NULL, &slot), BWT_OK);
	CU_ASSERT_EQUAL(snapshot_lsn(slot), 1000);
	return covers(&horizon, snapshot_lsn(slot));
}

static void who_is_acquiring_makes_pruning_keep_everything(void)
{
	CU_ASSERT_TRUE(acquiring_is_respected());
	CU_ASSERT_EQUAL(horizon.future, 0);
	CU_ASSERT_EQUAL(horizon.count, 0);
}

static void a_horizon_that_ignores_who_is_acquiring_is_noticed(void)
{
	testpoint_set("horizon_ignores_acquiring", 0, NULL, NULL);
	CU_ASSERT_FALSE(acquiring_is_respected());
}

static struct snapshot_slot *between;

static uint64_t clock_with_acquire(void *ctx)
{
	uint64_t lsn = atomic_load(&now);

	(void)ctx;
	CU_ASSERT_EQUAL_FATAL(snapshot_acquire(&snapshots, clock_now, NULL, &between), BWT_OK);
	atomic_fetch_add(&now, 1000);
	return lsn;
}

static void a_snapshot_taken_after_the_clock_was_loaded_is_future_or_seen(void)
{
	snapshots_horizon(&snapshots, clock_with_acquire, NULL, &horizon);
	CU_ASSERT_TRUE(covers(&horizon, snapshot_lsn(between)));
}

/* ---- many ---- */

static void more_snapshots_than_the_horizon_names_are_covered_all_the_same(void)
{
	enum {
		MANY = HORIZON_MAX + 500
	};
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < MANY; i++)
		acquire(16 * (1 + rng_below(&rng, 5000)));
	atomic_store(&now, 100000);
	snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
	for (uint32_t i = 0; i < atomic_load(&snapshots.count); i++) {
		const struct snapshot_slot *slot =
			&atomic_load(&snapshots.blocks[i / SNAPSHOT_BLOCK])[i % SNAPSHOT_BLOCK];

		if (!covers(&horizon, snapshot_lsn(slot)))
			CU_FAIL("a snapshot is not respected");
	}
	for (unsigned i = 1; i < horizon.count; i++)
		CU_ASSERT_TRUE(horizon.lsn[i - 1] < horizon.lsn[i]);
	CU_ASSERT_TRUE(horizon.count == 0 || horizon.lsn[horizon.count - 1] < horizon.future);
}

static void when_all_slots_are_taken_the_store_is_busy(void)
{
	struct snapshot_slot *slot = NULL, *blocks[SNAPSHOT_BLOCKS_MAX];

	for (unsigned b = 0; b < SNAPSHOT_BLOCKS_MAX; b++) {
		blocks[b] = aligned_alloc(CACHE_LINE_SIZE, SNAPSHOT_BLOCK * sizeof *slot);
		memset(blocks[b], 0, SNAPSHOT_BLOCK * sizeof *slot);
		for (unsigned i = 0; i < SNAPSHOT_BLOCK; i++)
			atomic_store(&blocks[b][i].lsn, 500 + b);
		atomic_store(&snapshots.blocks[b], blocks[b]);
	}
	atomic_store(&snapshots.count, SNAPSHOT_BLOCKS_MAX * SNAPSHOT_BLOCK);
	CU_ASSERT_EQUAL(snapshot_acquire(&snapshots, clock_now, NULL, &slot), BWT_BUSY);
	CU_ASSERT_PTR_NULL(slot);
	CU_ASSERT_EQUAL(snapshots_live(&snapshots), SNAPSHOT_BLOCKS_MAX * SNAPSHOT_BLOCK);
	snapshot_release(&blocks[77][5]);
	CU_ASSERT_EQUAL(snapshot_acquire(&snapshots, clock_now, NULL, &slot), BWT_OK);
	CU_ASSERT_PTR_EQUAL(slot, &blocks[77][5]);
}

/* Threads take and release snapshots while the clock runs; a pruner compares with what they say they hold. */
struct holder {
	pthread_t thread;
	_Atomic(uint64_t) held; /* the snapshot, from after acquiring until before releasing; 0: none */
	uint64_t seed;
};

static _Atomic(bool) stop;

static void *hold_snapshots(void *arg)
{
	struct holder *holder = arg;
	struct rng rng;

	rng_init(&rng, holder->seed);
	while (!atomic_load(&stop)) {
		struct snapshot_slot *slot;

		atomic_fetch_add(&now, 16);
		if (snapshot_acquire(&snapshots, clock_now, NULL, &slot) != BWT_OK) {
			CU_FAIL("no slot");
			break;
		}
		atomic_store(&holder->held, snapshot_lsn(slot));
		for (uint64_t i = rng_below(&rng, 200); i > 0; i--)
			atomic_fetch_add(&now, 16);
		atomic_store(&holder->held, 0);
		snapshot_release(slot);
	}
	return NULL;
}

static void no_snapshot_is_overlooked_while_threads_come_and_go(void)
{
	unsigned rounds = suite_short() ? 2000 : 50000;
	uint64_t seed = rng_seed(), before[3];
	struct holder holders[3] = {0};

	atomic_store(&stop, false);
	for (unsigned i = 0; i < 3; i++) {
		holders[i].seed = seed + i;
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&holders[i].thread, NULL, hold_snapshots, &holders[i]), 0);
	}
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < 3; i++)
			before[i] = atomic_load(&holders[i].held);
		snapshots_horizon(&snapshots, clock_now, NULL, &horizon);
		/* Held all the while: the clock never gives the same LSN to two. */
		for (unsigned i = 0; i < 3; i++)
			if (before[i] != 0 && atomic_load(&holders[i].held) == before[i] &&
			    !covers(&horizon, before[i]))
				CU_FAIL("a live snapshot was overlooked");
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(holders[i].thread, NULL);
	CU_ASSERT_EQUAL(snapshots_live(&snapshots), 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_snapshot_stands_where_the_clock_was),
		TEST(a_look_names_the_oldest),
		TEST(a_slot_is_used_again),
		TEST(the_horizon_names_each_live_snapshot_once_in_order),
		TEST(without_snapshots_only_the_future_counts),
		TEST(who_is_acquiring_makes_pruning_keep_everything),
		TEST(a_horizon_that_ignores_who_is_acquiring_is_noticed),
		TEST(a_snapshot_taken_after_the_clock_was_loaded_is_future_or_seen),
		TEST(more_snapshots_than_the_horizon_names_are_covered_all_the_same),
		TEST(when_all_slots_are_taken_the_store_is_busy),
		TEST(no_snapshot_is_overlooked_while_threads_come_and_go),
		CU_TEST_INFO_NULL,
	};

	return suite_run("snapshot", set_up, tear_down, tests);
}
