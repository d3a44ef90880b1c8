/* SPDX-License-Identifier: MIT */
/* test_space.c - the file grows ahead of need, a grower that stops stops nobody, waiting for space ends */
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#include "db/space.h"
#include "tests/unit/db/db_fixture.h"

#define KEYS 20000u
#define SPACE_TARGET 5000u /* percent */

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static void open_with(unsigned workers)
{
	fixture.options.worker_count = workers;
	fixture.options.space_target = SPACE_TARGET; /* the file may grow, as far as these tests go */
	fixture_open(&fixture);
}

static bool plant(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)name, (void)hit;
	return true;
}

/* ---- growth ahead of need ---- */

static bool has_enough(struct fixture *of)
{
	const struct bwt_db *db = of->db;

	return atomic_load(&db->space.ahead) != 0 &&
	       atomic_load(&db->store.extents.free_bytes) >= atomic_load(&db->space.ahead);
}

static void workers_keep_free_extents_ready_while_the_file_may_grow(void)
{
	open_with(2);
	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_TRUE(fixture_until(&fixture, has_enough));
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, KEYS));
}

static bool ahead_is_given_up(struct fixture *of)
{
	return atomic_load(&of->db->space.ahead) == 0;
}

/* What the file cannot have is not asked for again and again, and nothing is concluded from it. */
static void a_growth_that_is_refused_is_given_up(void)
{
	open_with(1);
	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_TRUE(fixture_until(&fixture, has_enough));
	atomic_store(&fixture.db->space.ahead, UINT64_MAX); /* more than max_size */
	work_wake(&fixture.db->work, 1);
	CU_ASSERT_TRUE(fixture_until(&fixture, ahead_is_given_up));
	CU_ASSERT_EQUAL(atomic_load(&fixture.db->store.extents.refused), 0);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "more", "of it"), BWT_OK);
}

static uint64_t processor_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* As if one worker had stopped in the middle: the others neither spin nor fail to do all else. */
static void a_grower_that_stopped_leaves_the_others_asleep(void)
{
	struct timespec moment = {0, 200000000}, while_idle = {1, 0};
	uint64_t before, used;

	open_with(3);
	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_TRUE(fixture_until(&fixture, has_enough));
	nanosleep(&moment, NULL);
	atomic_store(&fixture.db->space.growing, 1);
	atomic_store(&fixture.db->space.ahead, UINT64_MAX);
	before = processor_us();
	work_wake(&fixture.db->work, 3);
	nanosleep(&while_idle, NULL);
	used = processor_us() - before;
	CU_ASSERT_TRUE(used < 200000); /* one that spins would use a second */
	atomic_store(&fixture.db->space.ahead, 0);
	fixture_fill(&fixture, KEYS, 2 * KEYS);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 2 * KEYS));
	atomic_store(&fixture.db->space.growing, 0);
}

/* ---- waiting ---- */

static void *tend(void *arg)
{
	struct bwt_db *db = arg;
	struct epoch_slot *slot;

	CU_ASSERT_EQUAL_FATAL(db_slot(db, &slot), BWT_OK);
	db->store.extents.tend(db->store.extents.tend_ctx, slot);
	return NULL;
}

static bool somebody_waits(struct fixture *of)
{
	return atomic_load(&of->db->space.waiters) != 0;
}

static bool nobody_waits(struct fixture *of)
{
	return !somebody_waits(of);
}

/* Dead extents that only a checkpoint frees, and a file that seems to be full but for them. */
static void hold_space(void)
{
	struct space *space = &fixture.db->space;
	struct extents_survey survey;

	fixture_fill(&fixture, 0, KEYS);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK);
	fixture_fill(&fixture, 0, KEYS);
	fixture_fill(&fixture, 0, KEYS);
	extents_survey(&fixture.db->store.extents, &survey);
	CU_ASSERT_TRUE_FATAL(survey.held >= EXTENT_SIZE);
	atomic_store(&space->behind, SPACE_ENOUGH);
	atomic_store(&space->look_at, UINT64_MAX);
	atomic_store(&space->low, UINT64_MAX);
	atomic_store(&space->due, 1);
}

/*
 * A thread waits for checkpoints, which do not come; then another finds out that the file may grow: no checkpoint will be
 * taken for space any more.
 */
static void wait_and_look(const char *fault, bool ends)
{
	struct bwt_db *db;
	struct epoch_slot *slot;
	pthread_t thread;

	open_with((unsigned)BWT_OFF);
	db = fixture.db;
	hold_space();
	testpoint_set("space_waits_for_good", 0, plant, NULL);
	if (fault != NULL)
		testpoint_set(fault, 0, plant, NULL);
	pthread_mutex_lock(&db->checkpoint_lock);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, tend, db), 0);
	CU_ASSERT_TRUE(fixture_until(&fixture, somebody_waits));
	nanosleep(&(struct timespec){0, 100000000}, NULL); /* it is asleep, most likely */
	CU_ASSERT_EQUAL_FATAL(db_slot(db, &slot), BWT_OK);
	(void)space_clean(db, slot); /* looks */
	CU_ASSERT_EQUAL(atomic_load(&db->space.due), UINT64_MAX);
	if (ends) {
		CU_ASSERT_TRUE(fixture_until(&fixture, nobody_waits));
	} else {
		nanosleep(&(struct timespec){0, 300000000}, NULL);
		CU_ASSERT_TRUE(somebody_waits(&fixture));
	}
	pthread_mutex_unlock(&db->checkpoint_lock);
	space_freed(db);
	CU_ASSERT_EQUAL(pthread_join(thread, NULL), 0);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, KEYS));
}

static void waiting_ends_when_the_file_may_grow(void)
{
	wait_and_look(NULL, true);
}

static void planted_a_look_that_rings_nobody_is_noticed(void)
{
	wait_and_look("space_grows_unheard", false);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(workers_keep_free_extents_ready_while_the_file_may_grow),
		TEST(a_growth_that_is_refused_is_given_up),
		TEST(a_grower_that_stopped_leaves_the_others_asleep),
		TEST(waiting_ends_when_the_file_may_grow),
		TEST(planted_a_look_that_rings_nobody_is_noticed),
		CU_TEST_INFO_NULL,
	};

	return suite_run("space", set_up, tear_down, tests);
}
