/* SPDX-License-Identifier: MIT */
/*
 * stress_space.c - the arena stays near space_target, with and without workers
 *
 * Records are overwritten at random for several times their size by two threads, one more watches the
 * arena. Then the store is closed and verified, and every record is looked at. SEED, SHORT as always.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "sys/thread.h"
#include "tests/support/crew.h"
#include "tests/support/suite.h"

#define VALUE_SIZE 600u
#define WRITERS 2u
#define SLACK_LEAST                                                                                \
	((uint64_t)32 << 20) /* what the arena may have over its live bytes, whatever the target */
#define TOLERANCE ((uint64_t)12 << 20) /* extents added while a checkpoint was waited for in vain */

static struct crew crew;
static uint64_t seed;

struct plan {
	uint32_t records;
	uint32_t rounds; /* overwrites of each record, on average */
	struct bwt_options options;
	_Atomic(uint64_t) left; /* overwrites still to do, all threads together */
	uint64_t live_most;     /* bytes; by who checks */
	bool window;            /* insert at the head, delete at the tail, instead */
	bool compacts;          /* who watches makes the file smaller, all the time */
};

static struct plan plan;

static struct bwt_slice key_of(uint64_t number, uint8_t room[8])
{
	for (unsigned i = 0; i < 8; i++)
		room[i] = (uint8_t)(number >> (56 - 8 * i));
	return (struct bwt_slice){room, 8};
}

static struct bwt_slice value_of(uint64_t number, uint64_t version, uint8_t *room)
{
	memset(room, (int)(number * 31 + version), VALUE_SIZE);
	memcpy(room, &number, sizeof number);
	return (struct bwt_slice){room, VALUE_SIZE};
}

static void put(uint64_t number, uint64_t version)
{
	uint8_t key[8], value[VALUE_SIZE];

	crew_need("bwt_put", bwt_put(crew.tree, NULL, key_of(number, key),
	                             value_of(number, version, value), 0));
}

static bool take(uint64_t *number)
{
	*number = atomic_fetch_sub_explicit(&plan.left, 1, memory_order_relaxed);
	return *number > 0 && *number <= (uint64_t)plan.records * plan.rounds;
}

static void work_overwrite(struct member *member)
{
	uint64_t turn;

	while (take(&turn))
		put(rng_below(&member->rng, plan.records), turn);
}

/* Keys [turn, turn + records) are there: the next one comes, the first one goes. */
static void work_window(struct member *member)
{
	uint64_t turn;
	uint8_t key[8];

	(void)member;
	while (take(&turn)) {
		uint64_t step = (uint64_t)plan.records * plan.rounds - turn;

		put(step + plan.records, 0);
		crew_need("bwt_delete", bwt_delete(crew.tree, NULL, key_of(step, key)));
	}
}

static struct bwt_stats stats_now(void)
{
	struct bwt_stats stats;

	crew_need("bwt_stat", bwt_stat(crew.db, &stats));
	return stats;
}

static void fill(void)
{
	for (uint32_t i = 0; i < plan.records; i++) {
		uint64_t live = i % 256 != 0 ? 0 : stats_now().arena_live_bytes;

		put(i, 0);
		if (live > plan.live_most)
			plan.live_most = live;
	}
}

static void check_size(void)
{
	struct bwt_stats stats = stats_now();
	uint64_t target, least, most;

	/* The file shrinks slowly: what lived once counts. */
	if (stats.arena_live_bytes > plan.live_most)
		plan.live_most = stats.arena_live_bytes;
	target = plan.live_most / 100 * plan.options.space_target;
	least = plan.live_most + SLACK_LEAST;
	most = (target > least ? target : least) + TOLERANCE;
	if (stats.arena_bytes > most)
		crew_fail("the arena has %" PRIu64 " KiB, of which %" PRIu64
		          " lived at most: more than %u percent",
		          stats.arena_bytes >> 10, plan.live_most >> 10, plan.options.space_target);
}

static void look_at_all(void)
{
	struct bwt_buf buf = {0};
	uint8_t key[8];
	uint64_t count;

	crew_need("bwt_count", bwt_count(crew.tree, &count));
	if (count != plan.records)
		crew_fail("%" PRIu64 " keys, not %u", count, plan.records);
	for (uint64_t i = 0; i < plan.records && !plan.window; i++) {
		crew_need("bwt_get", bwt_get(crew.tree, NULL, key_of(i, key), &buf));
		if (buf.size != VALUE_SIZE || memcmp(buf.data, &i, sizeof i) != 0)
			crew_fail("record %" PRIu64 " has another's value", i);
	}
	bwt_buf_free(&buf);
}

static void compact(void)
{
	int rc = bwt_compact(crew.db, 0);

	crew_need("bwt_compact", rc == BWT_BUSY ? BWT_OK : rc);
}

static void *watch(void *ctx)
{
	_Atomic(bool) *done = ctx;

	_Atomic(uint32_t) never = 0;

	while (!atomic_load_explicit(done, memory_order_acquire)) {
		if (plan.compacts)
			compact();
		else
			check_size();
		sys_park(&never, 0, 5000000);
	}
	return NULL;
}

static void *run_member(void *ctx)
{
	struct member *member = ctx;

	(plan.window ? work_window : work_overwrite)(member);
	return NULL;
}

static struct bwt_stats run_plan(unsigned writers)
{
	struct member members[WRITERS];
	pthread_t threads[WRITERS], watcher;
	_Atomic(bool) done = false;
	struct bwt_stats stats;

	crew_open(&crew, &plan.options);
	fill();
	atomic_store_explicit(&plan.left, (uint64_t)plan.records * plan.rounds, memory_order_relaxed);
	if (pthread_create(&watcher, NULL, watch, &done) != 0)
		crew_fail("no thread");
	for (unsigned i = 0; i < writers; i++) {
		rng_init(&members[i].rng, seed + i);
		if (pthread_create(&threads[i], NULL, run_member, &members[i]) != 0)
			crew_fail("no thread");
	}
	for (unsigned i = 0; i < writers; i++)
		pthread_join(threads[i], NULL);
	atomic_store_explicit(&done, true, memory_order_release);
	pthread_join(watcher, NULL);
	stats = stats_now();
	printf("    %u%%, %d workers: arena %" PRIu64 " KiB, live %" PRIu64
	       " KiB (%.2f), put %" PRIu64 " KiB, written %" PRIu64 " KiB, cleaned %" PRIu64
	       " extents, %" PRIu64 " KiB, %" PRIu64 " checkpoints\n",
	       plan.options.space_target, (int)plan.options.worker_count, stats.arena_bytes >> 10,
	       stats.arena_live_bytes >> 10,
	       (double)stats.arena_bytes / (double)stats.arena_live_bytes,
	       stats.user_bytes_written >> 10, stats.arena_written_bytes >> 10,
	       stats.extents_cleaned, stats.cleaned_bytes >> 10, stats.checkpoint_count);
	look_at_all();
	return stats;
}

static void set_plan(unsigned target, unsigned workers)
{
	memset(&plan, 0, sizeof plan);
	plan.records = 60000;
	if (target < 200)
		plan.records *= 2; /* the arena may always have some MiB more */
	plan.rounds = suite_short() ? 2 : 8;
	plan.options = (struct bwt_options){
		.flags = BWT_CREATE,
		.durability = BWT_NONE,
		.max_size = (uint64_t)4 << 30,
		.wal_segment_size = (uint64_t)4 << 20,
		.worker_count = workers,
		.space_target = target,
	};
}

static void overwrite(unsigned target, unsigned workers)
{
	set_plan(target, workers);
	run_plan(WRITERS);
	crew_close(&crew);
}

static void overwriting_stays_within_250_percent(void)
{
	overwrite(250, 1);
}

static void overwriting_stays_within_250_percent_without_workers(void)
{
	overwrite(250, (unsigned)BWT_OFF);
}

static void overwriting_stays_within_160_percent_by_cleaning(void)
{
	set_plan(160, 1);
	CU_ASSERT_TRUE(run_plan(WRITERS).extents_cleaned > 0);
	crew_close(&crew);
}

static void overwriting_stays_within_160_percent_without_workers(void)
{
	set_plan(160, (unsigned)BWT_OFF);
	CU_ASSERT_TRUE(run_plan(WRITERS).extents_cleaned > 0);
	crew_close(&crew);
}

/* The tree neither grows nor deepens, nor does the arena. */
static void a_sliding_window_keeps_the_arena_constant(void)
{
	struct bwt_stats stats;

	set_plan(250, 1);
	plan.window = true;
	plan.records = 5000;
	plan.rounds = suite_short() ? 10 : 40;
	stats = run_plan(1);
	CU_ASSERT_TRUE(stats.arena_bytes < (uint64_t)64 << 20);
	crew_close(&crew);
}

/* The file loses its end and gets holes under writers who need the space again the next moment. */
static void compacting_beside_writers_loses_nothing(void)
{
	set_plan(250, 1);
	plan.compacts = true;
	plan.rounds /= 2;
	run_plan(WRITERS);
	crew_close(&crew);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(overwriting_stays_within_250_percent),
		TEST(overwriting_stays_within_250_percent_without_workers),
		TEST(overwriting_stays_within_160_percent_by_cleaning),
		TEST(overwriting_stays_within_160_percent_without_workers),
		TEST(compacting_beside_writers_loses_nothing),
		TEST(a_sliding_window_keeps_the_arena_constant),
		CU_TEST_INFO_NULL,
	};

	/* What is looked at is bytes: a slow disk would only let the arena grow while checkpoints take long. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	seed = rng_seed();
	return suite_run("stress_space", NULL, NULL, tests);
}
