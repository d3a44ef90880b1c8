/* SPDX-License-Identifier: MIT */
/*
 * stress_stopped.c - a thread stopped for good at any yield point stops nobody else's gets, puts and commits
 *
 * Every yield point that is compiled into the library is either one where a thread is stopped here, while others
 * read, write and commit without sync; or it is in the table below with the reason why not. A new one that no work
 * of the stopped thread comes to fails the test. The two limits are tests of their own: stopped between reserving
 * and filling the log, a thread holds back durability; stopped while pinned, it holds back reuse.
 *
 * tests/sched/sched_stopped.c does the same for every atomic operation, on the layers up to txn/.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "db/db.h"
#include "tests/support/actor.h"
#include "tests/support/crew.h"
#include "tests/support/suite.h"

#define KEYS 3000u
#define OTHERS 400u  /* keys that the others work on, beside the stopped thread */
#define LARGE 100u   /* writes: more than a commit in one section takes */
#define HANGS_S 300u /* more than any machine needs for one point */

/* The linker's names for the section of yield points. */
extern const char *const __start_testpoint_names[], *const __stop_testpoint_names[];

static const struct {
	const char *begins, *why;
} left_out[] = {
	{"recover_", "opening: nobody else has the store yet"},
	{"create_", "opening"},
	{"repair_", "repairing: nobody else has the store"},
	{"descriptor_read",
         "needs a transaction in the middle of another one's read: sched_stopped has it"},
};

static struct crew crew;

static struct bwt_slice key_of(uint8_t to[8], uint64_t number)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(number >> (56 - 8 * i));
	return (struct bwt_slice){to, 8};
}

/* What may happen to a writer among others. */
static bool is_usual(int rc)
{
	return rc == BWT_OK || rc == BWT_CONFLICT || rc == BWT_NOT_FOUND || rc == BWT_EXISTS;
}

static void need_usual(const char *what, int rc)
{
	if (!is_usual(rc))
		crew_need(what, rc);
}

static void put_range(unsigned from, unsigned to, size_t size)
{
	static const uint8_t value[2000];
	uint8_t bytes[8];

	for (unsigned i = from; i < to; i++)
		crew_need("bwt_put", bwt_put(crew.tree, NULL, key_of(bytes, i),
		                             (struct bwt_slice){value, size}, 0));
}

static void delete_range(unsigned from, unsigned to)
{
	uint8_t bytes[8];

	for (unsigned i = from; i < to; i++)
		need_usual("bwt_delete", bwt_delete(crew.tree, NULL, key_of(bytes, i)));
}

static void transaction(unsigned flags, unsigned from, unsigned writes)
{
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_txn *txn;
	uint8_t bytes[8];
	int rc;

	crew_need("bwt_begin", bwt_begin(crew.db, flags, &txn));
	rc = bwt_get(crew.tree, txn, key_of(bytes, from + writes), &buf);
	for (unsigned i = from; i < from + writes && is_usual(rc); i++)
		rc = bwt_put(crew.tree, txn, key_of(bytes, i), (struct bwt_slice){bytes, 8}, 0);
	need_usual("a transaction", rc);
	if (rc == BWT_OK || rc == BWT_NOT_FOUND)
		need_usual("bwt_commit", bwt_commit(txn));
	else
		bwt_abort(txn);
	bwt_buf_free(&buf);
}

/* Overwrites until extents must be cleaned, and reads that hint at quiet pages. */
static void churn(const struct actor *self)
{
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t bytes[8];

	for (unsigned round = 0; round < 60 && !self->stopped; round++) {
		put_range(0, KEYS, 900);
		put_range(0, 3, 100);
		for (unsigned i = 0; i < 3 * KEYS; i++)
			need_usual("bwt_get", bwt_get(crew.tree, NULL, key_of(bytes, i % 3), &buf));
	}
	bwt_buf_free(&buf);
}

/* Large values, of which one in three is dead: what lives is moved, by this thread. */
static void collect(const struct actor *self)
{
	struct epoch_slot *slot = epoch_slot(&crew.db->store.epoch);

	for (unsigned round = 0; round < 60 && !self->stopped; round++) {
		put_range(0, 300, 2000);
		for (unsigned i = 0; i < 300; i += 3)
			put_range(i, i + 1, 2000);
		crew_need("bwt_checkpoint", bwt_checkpoint(crew.db));
		while (values_collect(crew.db, slot))
			;
	}
}

/* Much that goes again, and the end of the file with it. */
static void shrink(const struct actor *self)
{
	for (unsigned round = 0; round < 10 && !self->stopped; round++) {
		put_range(10 * KEYS, 20 * KEYS, 900);
		delete_range(10 * KEYS, 20 * KEYS);
		crew_need("bwt_compact", bwt_compact(crew.db, 0));
	}
}

static void get_many(void)
{
	struct bwt_slice keys[20];
	struct bwt_buf values[20] = {{NULL, 0, 0}};
	uint8_t bytes[20][8];
	int found[20];

	for (unsigned i = 0; i < 20; i++)
		keys[i] = key_of(bytes[i], i);
	crew_need("bwt_get_many", bwt_get_many(crew.tree, NULL, 20, keys, values, found));
	for (unsigned i = 0; i < 20; i++)
		bwt_buf_free(&values[i]);
}

/* A tree from sorted pairs. */
static void load(void)
{
	struct bwt_bulk *bulk;
	struct bwt_tree *tree;
	uint8_t bytes[8];

	crew_need("bwt_bulk_open", bwt_bulk_open(crew.db, "loaded", 0, &bulk));
	for (unsigned i = 0; i < 10; i++)
		crew_need("bwt_bulk_put",
		          bwt_bulk_put(bulk, key_of(bytes, i), (struct bwt_slice){bytes, 8}));
	crew_need("bwt_bulk_finish", bwt_bulk_finish(bulk, &tree));
}

/* A reader of changes that has seen all waits a millisecond for more. */
static void follow(void)
{
	struct bwt_changes *changes;
	struct bwt_change change;
	int rc;

	crew_need("bwt_changes_open",
	          bwt_changes_open(crew.db, bwt_durable_lsn(crew.db), NULL, &changes));
	rc = bwt_changes_fd(changes); /* cleared where nothing is left */
	crew_need("bwt_changes_fd", rc < 0 ? rc : BWT_OK);
	do
		rc = bwt_changes_next(changes, 1, &change);
	while (rc == BWT_OK);
	if (rc != BWT_NOT_FOUND)
		crew_need("bwt_changes_next", rc);
	bwt_changes_close(changes);
}

/* Everything that comes to a yield point; with a checkpoint between, so that segments are copied. */
static void play_all(void *arg)
{
	const struct actor *self = arg;
	char copy[TMPSTORE_PATH_MAX];
	struct bwt_tree *named;

	put_range(0, KEYS, 200);
	transaction(0, 10, 3);
	transaction(BWT_SERIALIZABLE, 20, 3);
	transaction(0, 30, LARGE);
	crew_need("bwt_checkpoint", bwt_checkpoint(crew.db));
	put_range(0, 300, 200);
	delete_range(0, KEYS);
	put_range(0, 300, 200);
	crew_need("bwt_tree_open", bwt_tree_open(crew.db, "named", BWT_CREATE, &named));
	crew_need("bwt_tree_drop", bwt_tree_drop(crew.db, "named"));
	put_range(0, 20, 2000); /* to the value log */
	get_many();
	load();
	follow();
	tmpstore_new(copy);
	tmpstore_clear(copy);
	rmdir(copy);
	crew_need("bwt_backup", bwt_backup(crew.db, copy));
	tmpstore_free(copy);
	if (strcmp(self->stop_at, "values_copied") == 0)
		collect(self);
	else if (strcmp(self->stop_at, "arena_cutting") == 0)
		shrink(self);
	else
		churn(self);
}

/* Beside the stopped thread, on its keys and on others. */
static void others_go_on(void)
{
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t bytes[8];

	put_range(0, OTHERS, 100);
	put_range(KEYS, KEYS + OTHERS, 100);
	for (unsigned i = 0; i < OTHERS; i++)
		crew_need("bwt_get", bwt_get(crew.tree, NULL, key_of(bytes, KEYS + i), &buf));
	transaction(0, 10, 5);
	transaction(BWT_SERIALIZABLE, 0, LARGE);
	transaction(0, KEYS, LARGE);
	delete_range(0, OTHERS);
	delete_range(KEYS, KEYS + OTHERS);
	bwt_buf_free(&buf);
}

static bool is_left_out(const char *name)
{
	for (unsigned i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
		if (strncmp(name, left_out[i].begins, strlen(left_out[i].begins)) == 0)
			return true;
	return false;
}

static void stop_at(const char *name)
{
	/* Without workers the stopped thread cleans; hints are for workers. */
	const struct bwt_options options = {
		.durability = BWT_NONE,
		.inline_max = 1000,
		.vlog_segment_size = (uint64_t)64 << 10,
		.vlog_space_target = 110,
		.worker_count = strcmp(name, "work_push") == 0 ? 1 : (unsigned)BWT_OFF,
	};
	struct actor actor;

	crew_open(&crew, &options);
	alarm(HANGS_S);
	actor_start(&actor, name, play_all, &actor);
	if (actor_await(&actor)) {
		others_go_on();
	} else {
		printf("    nothing comes to \"%s\"\n", name);
		CU_FAIL("a yield point that nothing comes to");
	}
	actor_finish(&actor);
	testpoint_reset();
	alarm(0);
	crew_close(&crew);
}

static void a_thread_stopped_at_any_yield_point_stops_nobody_else(void)
{
	unsigned stops = 0;

	for (const char *const *name = __start_testpoint_names; name < __stop_testpoint_names;
	     name++) {
		bool again = false;

		for (const char *const *older = __start_testpoint_names; older < name; older++)
			again = again || strcmp(*older, *name) == 0;
		if (again || is_left_out(*name))
			continue;
		stop_at(*name);
		stops++;
	}
	printf("    %u yield points\n", stops);
	CU_ASSERT_TRUE(stops > 20);
}

/* ---- the two limits ---- */

static void write_one(void *arg)
{
	(void)arg;
	put_range(5, 6, 100);
}

static void write_three(void *arg)
{
	(void)arg;
	transaction(0, 10, 3);
}

static void sync_all(void *arg)
{
	(void)arg;
	crew_need("bwt_sync", bwt_sync(crew.db));
}

static struct bwt_stats stats_now(void)
{
	struct bwt_stats stats = {0};

	crew_need("bwt_stat", bwt_stat(crew.db, &stats));
	return stats;
}

static void stopped_between_reserving_and_filling_it_holds_back_durability_only(void)
{
	static const struct bwt_options options = {.durability = BWT_INTERVAL, .sync_interval_ms = 1};
	struct actor writer, syncer;
	uint64_t reserved;

	crew_open(&crew, &options);
	put_range(0, 100, 100);
	crew_need("bwt_sync", bwt_sync(crew.db));
	actor_start(&writer, "commit_fill", write_one, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	testpoint_reset();
	reserved = stats_now().newest_lsn;
	others_go_on();
	actor_start(&syncer, NULL, sync_all, NULL);
	others_go_on();
	CU_ASSERT_TRUE(stats_now().newest_lsn > reserved);
	CU_ASSERT_TRUE(stats_now().durable_lsn < reserved);
	CU_ASSERT_EQUAL(sem_trywait(&syncer.arrived), -1);
	actor_finish(&writer);
	actor_finish(&syncer);
	crew_need("bwt_sync", bwt_sync(crew.db));
	CU_ASSERT_TRUE(stats_now().durable_lsn > reserved);
	crew_close(&crew);
}

/* Extents that die, and checkpoints enough that no image reaches them. */
static uint64_t free_after_deaths(bool write)
{
	if (write) {
		put_range(0, KEYS, 900);
		put_range(0, KEYS, 900);
		delete_range(0, KEYS);
	}
	for (unsigned i = 0; i < 4; i++)
		crew_need("bwt_checkpoint", bwt_checkpoint(crew.db));
	return stats_now().arena_free_bytes;
}

static void stopped_while_pinned_it_holds_back_reuse_only(void)
{
	static const struct bwt_options options = {.durability = BWT_NONE,
	                                           .worker_count = (unsigned)BWT_OFF};
	struct actor writer;
	uint64_t held, free;

	crew_open(&crew, &options);
	put_range(0, 100, 100);
	actor_start(&writer, "txn_stamped", write_three, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	testpoint_reset();
	others_go_on();
	held = free_after_deaths(true);
	actor_finish(&writer);
	free = free_after_deaths(false);
	CU_ASSERT_TRUE(free > held + ((uint64_t)1 << 20));
	crew_close(&crew);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(stopped_between_reserving_and_filling_it_holds_back_durability_only),
		TEST(stopped_while_pinned_it_holds_back_reuse_only),
		TEST(a_thread_stopped_at_any_yield_point_stops_nobody_else),
		CU_TEST_INFO_NULL,
	};

	crew.seed = rng_seed();
	return suite_run("stress_stopped", NULL, NULL, tests);
}
