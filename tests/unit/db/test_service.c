/* SPDX-License-Identifier: MIT */
/* test_service.c - the thread that a store keeps: checkpoints that are due, flushes, and threads in its way */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "log/wal_private.h"
#include "tests/support/actor.h"
#include "tests/unit/db/db_fixture.h"

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

static uint64_t checkpoints;

static bool another_checkpoint(struct fixture *of)
{
	return fixture_stats(of).checkpoint_count > checkpoints;
}

static bool all_durable(struct fixture *of)
{
	struct bwt_stats stats = fixture_stats(of);

	return stats.durable_lsn == stats.newest_lsn;
}

static void sleep_ms(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* ---- checkpoints ---- */

static void a_checkpoint_is_due_by_log_bytes(void)
{
	fixture.options.checkpoint_wal_bytes = 256 << 10;
	fixture_open(&fixture);
	checkpoints = fixture_stats(&fixture).checkpoint_count;
	fixture_fill(&fixture, 0, 10);
	sleep_ms(50);
	CU_ASSERT_FALSE(another_checkpoint(&fixture)); /* not yet */
	fixture_fill(&fixture, 10, 8000);
	CU_ASSERT_TRUE(fixture_until(&fixture, another_checkpoint));
	CU_ASSERT_TRUE(fixture_stats(&fixture).checkpoint_lsn > 0);
}

static void a_checkpoint_is_due_by_time_if_anything_was_written(void)
{
	fixture.options.checkpoint_interval_ms = 20;
	fixture_open(&fixture);
	sleep_ms(100);
	checkpoints = fixture_stats(&fixture).checkpoint_count;
	sleep_ms(100);
	CU_ASSERT_FALSE(another_checkpoint(&fixture)); /* an idle store rests */
	fixture_fill(&fixture, 0, 1);
	CU_ASSERT_TRUE(fixture_until(&fixture, another_checkpoint));
}

/* A child that writes, and ends as a crash does. */
static void die_with_a_log(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		fixture_open(&fixture);
		fixture_fill(&fixture, 0, 3000);
		_exit(bwt_sync(fixture.db) == BWT_OK ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_EQUAL(status, 0);
}

static bool first_checkpoint(struct fixture *of)
{
	return fixture_stats(of).checkpoint_count == 1;
}

/* RC4: though they are switched off */
static void what_an_opening_replayed_is_in_a_checkpoint_soon(void)
{
	die_with_a_log();
	fixture_open(&fixture);
	CU_ASSERT_TRUE(fixture_until(&fixture, first_checkpoint));
	fixture_fill(&fixture, 3000, 3010);
	sleep_ms(50);
	CU_ASSERT_TRUE(first_checkpoint(&fixture)); /* one is enough */
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 3010));
}

/* RC4: space for it may be had in an opening only */
static void a_store_with_little_room_is_in_a_checkpoint_when_it_opens(void)
{
	fixture.options.max_size = 8 << 20;
	die_with_a_log();
	fixture_open(&fixture);
	CU_ASSERT_TRUE(fixture_stats(&fixture).checkpoint_count >= 1);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 3000));
}

static void switched_off_there_are_none(void)
{
	fixture_open(&fixture);
	checkpoints = fixture_stats(&fixture).checkpoint_count;
	fixture_fill(&fixture, 0, 20000);
	sleep_ms(50);
	CU_ASSERT_FALSE(another_checkpoint(&fixture));
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_OK); /* but those that are asked for */
	CU_ASSERT_TRUE(another_checkpoint(&fixture));
}

static void a_checkpoint_that_fails_is_spoken_of_and_tried_again(void)
{
	fixture.options.checkpoint_interval_ms = 20;
	fixture_open(&fixture);
	checkpoints = fixture_stats(&fixture).checkpoint_count;
	testpoint_set("checkpoint_no_memory", 1, NULL, NULL);
	fixture_fill(&fixture, 0, 10);
	CU_ASSERT_TRUE(fixture_until(&fixture, another_checkpoint));
	CU_ASSERT_TRUE(testpoint_hits("checkpoint_no_memory") >= 1);
	fixture_close(&fixture);
	CU_ASSERT_EQUAL(fixture.said_count, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(fixture.said, "checkpoint"));
}

/* ---- flushes ---- */

static void an_interval_store_becomes_durable_by_itself(void)
{
	fixture.options.durability = BWT_INTERVAL;
	fixture.options.sync_interval_ms = 10;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 100);
	CU_ASSERT_TRUE(fixture_until(&fixture, all_durable));
}

static sem_t stopped, go_on;

/* The service thread stays here, until the test lets it go. */
static bool stop_checkpoint(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	sem_post(&stopped);
	while (sem_wait(&go_on) != 0)
		continue;
	return false;
}

static void an_interval_store_becomes_durable_beside_a_checkpoint(void)
{
	fixture.options.durability = BWT_INTERVAL;
	fixture.options.sync_interval_ms = 10;
	fixture.options.checkpoint_interval_ms = 20;
	sem_init(&stopped, 0, 0);
	sem_init(&go_on, 0, 0);
	fixture_open(&fixture);
	testpoint_set("checkpoint_collected", 1, stop_checkpoint, NULL);
	fixture_fill(&fixture, 0, 10);
	while (sem_wait(&stopped) != 0)
		continue;
	for (unsigned i = 10; i < 13; i++) {
		fixture_fill(&fixture, i, i + 1);
		CU_ASSERT_TRUE(fixture_until(&fixture, all_durable));
	}
	sem_post(&go_on);
	fixture_close(&fixture);
	sem_destroy(&stopped);
	sem_destroy(&go_on);
}

/* Nobody calls the store while it waits. */
static bool becomes_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&poll_fd, 1, 5000) == 1 && read(fd, &count, sizeof count) == sizeof count;
}

static bwt_lsn commit_without_waiting(unsigned flags, const char *key)
{
	struct bwt_txn *txn;
	bwt_lsn lsn = 0;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, flags, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice(key), text_slice(key), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lsn), BWT_OK);
	return lsn;
}

static void commits_that_nobody_waits_for_become_durable(void)
{
	static const struct {
		int durability;
		unsigned flags;
	} cases[] = {{BWT_SYNC, 0}, {BWT_INTERVAL, 0}, {BWT_NONE, BWT_TXN_SYNC}};

	for (unsigned i = 0; i < 3; i++) {
		int fd;

		fixture.options.durability = cases[i].durability;
		fixture_open(&fixture);
		fd = bwt_durable_fd(fixture.db);
		for (unsigned round = 0; round < 5; round++) {
			bwt_lsn lsn = commit_without_waiting(cases[i].flags, "k");

			do {
				CU_ASSERT_TRUE_FATAL(becomes_readable(fd));
			} while (bwt_durable_lsn(fixture.db) < lsn);
		}
		fixture_close(&fixture);
	}
}

static void what_is_not_to_be_durable_is_flushed_for_nobody(void)
{
	bwt_lsn lsn;

	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	lsn = commit_without_waiting(BWT_TXN_NOSYNC, "k");
	sleep_ms(50);
	CU_ASSERT_TRUE(bwt_durable_lsn(fixture.db) < lsn);
	lsn = commit_without_waiting(0, "l"); /* takes it along */
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, lsn), BWT_OK);
}

/* One flush at a time, and those that come meanwhile gather for the next one. */
static bool slow_flush(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	(void)hit;
	sleep_ms(5);
	return false;
}

static void commits_gather_while_a_flush_runs(void)
{
	uint64_t before;

	fixture.options.durability = BWT_SYNC;
	fixture_open(&fixture);
	before = fixture_stats(&fixture).log_flushes;
	testpoint_set("wal_skip_value_syncs", 0, slow_flush, NULL);
	for (unsigned i = 0; i < 1000; i++)
		(void)commit_without_waiting(0, "k");
	CU_ASSERT_TRUE(fixture_until(&fixture, all_durable));
	CU_ASSERT_TRUE(fixture_stats(&fixture).log_flushes - before < 500);
}

/* It sleeps until something is written, and again when that is durable. */
static void an_idle_store_has_an_idle_flusher(void)
{
	uint32_t bell;

	fixture.options.durability = BWT_INTERVAL;
	fixture.options.sync_interval_ms = 1;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 1);
	CU_ASSERT_TRUE(fixture_until(&fixture, all_durable));
	sleep_ms(20);
	bell = atomic_load(&fixture.db->flusher.bell);
	CU_ASSERT_EQUAL(atomic_load(&fixture.db->store.wal->watched), 1);
	sleep_ms(50);
	CU_ASSERT_EQUAL(atomic_load(&fixture.db->flusher.bell), bell);
	fixture_fill(&fixture, 1, 2);
	CU_ASSERT_EQUAL(atomic_load(&fixture.db->flusher.bell), bell + 1);
	CU_ASSERT_TRUE(fixture_until(&fixture, all_durable));
}

static bool all_written(struct fixture *of)
{
	return wal_written_lsn(of->db->store.wal) == wal_tail(of->db->store.wal);
}

static void a_store_without_durability_hands_its_log_to_the_system(void)
{
	fixture.options.sync_interval_ms = 10;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 100);
	CU_ASSERT_TRUE(fixture_until(&fixture, all_written));
}

/* ---- a thread inside the gate ---- */

static void put_it(void *arg)
{
	*(int *)arg = fixture_put(&fixture, "stopped", "value");
}

static void take_checkpoint(void *arg)
{
	*(int *)arg = bwt_checkpoint(fixture.db);
}

static bool gate_was_tried_again(struct fixture *of)
{
	return fixture_stats(of).gate_retries >= 3;
}

static void a_thread_stopped_inside_the_gate_delays_the_checkpoint_and_nothing_else(void)
{
	int put_rc = 1, checkpoint_rc = 1;
	struct actor writer, checkpointer;

	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 100);
	checkpoints = fixture_stats(&fixture).checkpoint_count;
	actor_start(&writer, "commit_publish", put_it, &put_rc);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	actor_start(&checkpointer, NULL, take_checkpoint, &checkpoint_rc);
	CU_ASSERT_TRUE(fixture_until(&fixture, gate_was_tried_again));
	fixture_fill(&fixture, 100, 1000);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 1000));
	CU_ASSERT_FALSE(another_checkpoint(&fixture));
	actor_finish(&writer);
	CU_ASSERT_EQUAL(put_rc, BWT_OK);
	actor_finish(&checkpointer);
	CU_ASSERT_EQUAL(checkpoint_rc, BWT_OK);
	CU_ASSERT_TRUE(another_checkpoint(&fixture));
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "stopped", "value"));
	fixture_reopen(&fixture);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "stopped", "value"));
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 1000));
}

static void one_attempt_at_a_gate_that_does_not_drain_is_busy(void)
{
	struct epoch_slot *slot;
	struct actor writer;
	int put_rc = 1;

	fixture_open(&fixture);
	actor_start(&writer, "commit_fill", put_it, &put_rc);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	CU_ASSERT_EQUAL(db_slot(fixture.db, &slot), BWT_OK);
	CU_ASSERT_EQUAL(checkpoint_take(&fixture.db->store, fixture.db->checkpointer, slot, false),
	                BWT_BUSY);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(checkpoint_take(&fixture.db->store, fixture.db->checkpointer, slot, false),
	                BWT_OK);
}

static void readers_and_writers_go_on_while_a_checkpoint_is_written(void)
{
	static const char *const points[] = {"checkpoint_cut", "checkpoint_waited",
	                                     "checkpoint_collected", "checkpoint_synced",
	                                     "checkpoint_published"};

	fixture_open(&fixture);
	for (unsigned i = 0; i < 5; i++) {
		struct actor checkpointer;
		int rc = 1;

		fixture_fill(&fixture, 0, 500);
		actor_start(&checkpointer, points[i], take_checkpoint, &rc);
		CU_ASSERT_TRUE(actor_await(&checkpointer));
		fixture_fill(&fixture, i * 100, i * 100 + 600);
		CU_ASSERT_TRUE(fixture_filled(&fixture, 0, i * 100 + 600));
		actor_finish(&checkpointer);
		CU_ASSERT_EQUAL(rc, BWT_OK);
		testpoint_reset();
		fixture_reopen(&fixture);
		CU_ASSERT_TRUE(fixture_filled(&fixture, 0, i * 100 + 600));
	}
}

/* ---- its own life ---- */

static void closing_does_not_wait_for_its_sleep(void)
{
	struct timespec from, to;

	fixture_open(&fixture);
	sleep_ms(20); /* it sleeps for good now */
	clock_gettime(CLOCK_MONOTONIC, &from);
	fixture_close(&fixture);
	clock_gettime(CLOCK_MONOTONIC, &to);
	CU_ASSERT_TRUE(to.tv_sec - from.tv_sec < 5);
}

static void a_read_only_store_has_no_such_thread(void)
{
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, 10);
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	CU_ASSERT_PTR_NULL(fixture.db->service);
	CU_ASSERT_PTR_NULL(fixture.db->flusher.thread);
	CU_ASSERT_EQUAL(bwt_checkpoint(fixture.db), BWT_READ_ONLY);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 10));
}

/* The log's files cannot be written any more. */
static void spoil_log(void)
{
	char name[64], file[TMPSTORE_PATH_MAX + 64];
	int bad = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned count = 0;

	for (int fd = 3; fd < 1024; fd++) {
		ssize_t size;

		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		size = readlink(name, file, sizeof file - 1);
		if (size < 0)
			continue;
		file[size] = 0;
		if (strstr(file, fixture.path) != NULL && strstr(file, "/wal/") != NULL)
			count += dup3(bad, fd, O_CLOEXEC) == fd;
	}
	close(bad);
	CU_ASSERT_TRUE(count > 0);
}

static bool refused(int rc)
{
	return rc == BWT_READ_ONLY && strstr(bwt_detail(), "read-only since") != NULL;
}

static void a_store_whose_log_failed_says_so_and_can_be_read(void)
{
	const struct bwt_slice key = text_slice("k"), other = text_slice("other");
	struct bwt_changes *changes;
	struct bwt_tree *tree;
	struct bwt_bulk *bulk;
	struct bwt_txn *txn, *begun;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &begun), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, begun, other, other, 0), BWT_OK);
	spoil_log();
	CU_ASSERT_EQUAL(fixture_put(&fixture, "lost", "v"), BWT_OK); /* nobody waits for it */
	/* Who waits for the log is told what became of it, then and later; who would change anything, that it is too late. */
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), -EBADF);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), -EBADF);
	CU_ASSERT_TRUE(refused(fixture_put(&fixture, "k", "w")));
	CU_ASSERT_TRUE(refused(bwt_delete(fixture.tree, NULL, key)));
	CU_ASSERT_TRUE(refused(bwt_cas(fixture.tree, NULL, key, NULL, &other)));
	CU_ASSERT_TRUE(refused(bwt_delete_range(fixture.tree, NULL, key, other)));
	CU_ASSERT_TRUE(refused(bwt_commit(begun)));
	CU_ASSERT_TRUE(refused(bwt_begin(fixture.db, 0, &txn)));
	CU_ASSERT_TRUE(refused(bwt_tree_open(fixture.db, "new", BWT_CREATE, &tree)));
	CU_ASSERT_TRUE(refused(bwt_bulk_open(fixture.db, "new", 0, &bulk)));
	CU_ASSERT_TRUE(refused(bwt_checkpoint(fixture.db)));
	CU_ASSERT_TRUE(refused(bwt_compact(fixture.db, 0)));
	CU_ASSERT_TRUE(refused(bwt_changes_open(fixture.db, 0, NULL, &changes)));
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, txn, "k", "v"));
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	CU_ASSERT_TRUE(refused(bwt_close(fixture.db)));
	fixture_open(&fixture);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "v"));
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "other", NULL));
}

static bool readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void event_loops_hear_that_the_log_has_failed(void)
{
	struct bwt_changes *changes;
	struct bwt_change change;
	int durable_fd, changes_fd;
	struct bwt_txn *txn;
	uint64_t count;
	bwt_lsn lost;

	fixture_open(&fixture);
	CU_ASSERT_EQUAL_FATAL(bwt_changes_open(fixture.db, 0, NULL, &changes), BWT_OK);
	durable_fd = bwt_durable_fd(fixture.db);
	changes_fd = bwt_changes_fd(changes);
	CU_ASSERT_TRUE_FATAL(durable_fd >= 0 && changes_fd >= 0);
	CU_ASSERT_EQUAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("k"), text_slice("v"), 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_changes_next(changes, 0, &change), BWT_NOT_FOUND);
	while (read(durable_fd, &count, sizeof count) > 0)
		continue;
	CU_ASSERT_FALSE(readable(durable_fd));
	CU_ASSERT_FALSE(readable(changes_fd));
	spoil_log();
	CU_ASSERT_EQUAL(bwt_commit_async(txn, &lost), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), -EBADF);
	CU_ASSERT_TRUE(readable(durable_fd));
	CU_ASSERT_EQUAL(bwt_wait_durable(fixture.db, lost), -EBADF);
	CU_ASSERT_TRUE(readable(changes_fd));
	CU_ASSERT_TRUE(refused(bwt_changes_next(changes, 0, &change)));
	CU_ASSERT_TRUE(readable(changes_fd));
	bwt_changes_close(changes);
	CU_ASSERT_TRUE(refused(bwt_close(fixture.db)));
	fixture.db = NULL;
}

/* It is asked for when it is too late to be told. */
static void the_descriptor_of_a_store_that_has_failed_is_readable(void)
{
	fixture_open(&fixture);
	spoil_log();
	CU_ASSERT_EQUAL(fixture_put(&fixture, "lost", "v"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_sync(fixture.db), -EBADF);
	CU_ASSERT_TRUE(readable(bwt_durable_fd(fixture.db)));
	CU_ASSERT_TRUE(refused(bwt_close(fixture.db)));
	fixture.db = NULL;
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_checkpoint_is_due_by_log_bytes),
		TEST(a_checkpoint_is_due_by_time_if_anything_was_written),
		TEST(what_an_opening_replayed_is_in_a_checkpoint_soon),
		TEST(a_store_with_little_room_is_in_a_checkpoint_when_it_opens),
		TEST(switched_off_there_are_none),
		TEST(a_checkpoint_that_fails_is_spoken_of_and_tried_again),
		TEST(an_interval_store_becomes_durable_by_itself),
		TEST(an_interval_store_becomes_durable_beside_a_checkpoint),
		TEST(commits_that_nobody_waits_for_become_durable),
		TEST(what_is_not_to_be_durable_is_flushed_for_nobody),
		TEST(commits_gather_while_a_flush_runs),
		TEST(an_idle_store_has_an_idle_flusher),
		TEST(a_store_without_durability_hands_its_log_to_the_system),
		TEST(a_thread_stopped_inside_the_gate_delays_the_checkpoint_and_nothing_else),
		TEST(one_attempt_at_a_gate_that_does_not_drain_is_busy),
		TEST(readers_and_writers_go_on_while_a_checkpoint_is_written),
		TEST(closing_does_not_wait_for_its_sleep),
		TEST(a_read_only_store_has_no_such_thread),
		TEST(a_store_whose_log_failed_says_so_and_can_be_read),
		TEST(event_loops_hear_that_the_log_has_failed),
		TEST(the_descriptor_of_a_store_that_has_failed_is_readable),
		CU_TEST_INFO_NULL,
	};

	return suite_run("service", set_up, tear_down, tests);
}
