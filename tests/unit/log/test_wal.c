/* SPDX-License-Identifier: MIT */
/*
 * test_wal.c - room, reserve, fill, wait: one thread and many
 *
 * What reaches the disk is judged by the reader after each test: everything acknowledged is there.
 */
#include "log/wal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "log/wal_private.h"
#include "sys/thread.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define THREADS 4u

static struct wal *wal;

static void set_up(void)
{
	struct wal_config config;

	fixture_set_up();
	config = fixture_config();
	if (wal_open(&config, &wal) < 0)
		abort();
}

static void tear_down(void)
{
	testpoint_reset();
	wal_close(wal);
	fixture_tear_down();
}

/* Another log in the same, emptied folder. */
static void set_up_again(const struct wal_config *config)
{
	wal_close(wal);
	tmpstore_clear(fixture_dir);
	CU_ASSERT_EQUAL_FATAL(wal_open(config, &wal), BWT_OK);
}

static void expect_ids(uint64_t first, uint64_t count)
{
	struct found *found = read_all(fixture_dir_fd, 0);

	CU_ASSERT_EQUAL(found->open_rc, BWT_OK);
	CU_ASSERT_EQUAL(found->rc, BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(found->bad, 0);
	CU_ASSERT_EQUAL(found->count, count);
	for (uint64_t id = first; id < first + count; id++)
		CU_ASSERT_TRUE(found_id(found, id));
	free(found);
}

static void what_was_waited_for_is_read_back(void)
{
	CU_ASSERT_EQUAL(wal_tail(wal), WAL_BLOCK);
	for (uint64_t id = 0; id < 100; id++)
		record_put_durable(wal, id, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(0, 100);
}

static void nothing_is_durable_before_somebody_waits(void)
{
	uint64_t end = record_put(wal, 1, FIXTURE_SIZE_BY_ID);

	CU_ASSERT_EQUAL(wal_durable_lsn(wal), WAL_BLOCK);
	CU_ASSERT_EQUAL(wal_written_lsn(wal), WAL_BLOCK);
	expect_ids(0, 0);
	CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
	expect_ids(1, 1);
}

static void payloads_of_every_size_fit_up_to_the_largest(void)
{
	static const uint32_t sizes[] = {
		8, 9, 15, 16, 23, 24, 25, 4095, 4096, 65536, WAL_PAYLOAD_MAX - 1, WAL_PAYLOAD_MAX};
	uint64_t id = 0;

	for (unsigned round = 0; round < 12; round++) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
			record_put(wal, id++, sizes[i]);
		CU_ASSERT_EQUAL(wal_wait(wal, wal_tail(wal)), BWT_OK);
	}
	expect_ids(0, id);
}

static void an_empty_payload_is_a_record(void)
{
	struct wal_payload payload = {.type = WAL_TREE_DROP};
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t lsn;

	wal_payload_prepare(&payload);
	CU_ASSERT_EQUAL(wal_room_take(wal, payload.frame_len), BWT_OK);
	lsn = wal_reserve(wal, payload.frame_len);
	wal_fill(wal, lsn, &payload);
	CU_ASSERT_EQUAL(wal_wait(wal, lsn + payload.frame_len), BWT_OK);
	CU_ASSERT_EQUAL(wal_reader_open(fixture_dir_fd, FIXTURE_STORE_ID, lsn, true, &reader),
	                BWT_OK);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
	CU_ASSERT_EQUAL(record.type, WAL_TREE_DROP);
	CU_ASSERT_EQUAL(record.lsn, lsn);
	CU_ASSERT_EQUAL(record.end_lsn, lsn + payload.frame_len);
	wal_reader_close(reader);
}

static void pads_are_skipped_by_the_reader(void)
{
	uint64_t lsn;

	record_put(wal, 0, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(wal_room_take(wal, 32 + WAL_FRAME_MAX), BWT_OK);
	lsn = wal_reserve(wal, 32);
	wal_fill_pad(wal, lsn, 32);
	lsn = wal_reserve(wal, WAL_FRAME_MAX);
	wal_fill_pad(wal, lsn, WAL_FRAME_MAX);
	record_put_durable(wal, 1, FIXTURE_SIZE_BY_ID);
	expect_ids(0, 2);
}

static void waiting_beyond_the_tail_is_invalid(void)
{
	uint64_t end = record_put(wal, 1, FIXTURE_SIZE_BY_ID);

	CU_ASSERT_EQUAL(wal_wait(wal, end + 1), BWT_INVALID);
	CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
	CU_ASSERT_EQUAL(wal_wait(wal, 0), BWT_OK);
}

static void a_flush_without_sync_moves_written_only(void)
{
	uint64_t end = record_put(wal, 1, FIXTURE_SIZE_BY_ID);

	CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK);
	CU_ASSERT_EQUAL(wal_written_lsn(wal), end);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), WAL_BLOCK);
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), end);
	expect_ids(1, 1);
}

static void the_rest_of_the_last_block_is_zero(void)
{
	uint8_t block[WAL_BLOCK];
	int fd = segment_file(1);
	uint64_t end;

	record_put_durable(wal, 0, 2000);
	end = record_put_durable(wal, 1, 2500); /* over the border of the block */
	CU_ASSERT_EQUAL(pread(fd, block, sizeof block, WAL_HEADER_SIZE + WAL_BLOCK),
	                (ssize_t)sizeof block);
	for (uint64_t off = end % WAL_BLOCK; off < WAL_BLOCK; off++)
		CU_ASSERT_EQUAL(block[off], 0);
	record_put_durable(wal, 2, 10000);
	end = record_put_durable(wal, 3, 10);
	CU_ASSERT_EQUAL(pread(fd, block, sizeof block,
	                      WAL_HEADER_SIZE + (off_t)(end & ~(WAL_BLOCK - 1ull)) - WAL_BLOCK),
	                (ssize_t)sizeof block);
	for (uint64_t off = end % WAL_BLOCK; off < WAL_BLOCK; off++)
		CU_ASSERT_EQUAL(block[off], 0);
	close(fd);
}

static void a_flush_of_nothing_is_fine(void)
{
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK);
	CU_ASSERT_EQUAL(wal_wait(wal, wal_tail(wal)), BWT_OK);
}

static void a_flush_stops_at_a_hole_and_does_not_wait_for_it(void)
{
	struct hole hole;
	uint64_t before = record_put(wal, 1, FIXTURE_SIZE_BY_ID);

	hole_make(wal, 2, FIXTURE_SIZE_BY_ID, &hole);
	record_put(wal, 3, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), before);
	hole_fill(wal, &hole);
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(1, 3);
}

/* --- Room --- */

static void more_than_the_ring_is_too_big(void)
{
	CU_ASSERT_EQUAL(wal_room_take(wal, (4 << 20) + 16), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(wal_room_take(wal, 4 << 20), BWT_OK);
	wal_room_return(wal, 4 << 20);
}

static void a_full_ring_is_emptied_by_whoever_needs_room(void)
{
	struct wal_config config = fixture_config();

	config.sync = false;
	set_up_again(&config);
	for (uint64_t id = 0; id < 200; id++) /* 20 MB through a ring of 4 MiB */
		record_put(wal, id, 100000);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), WAL_BLOCK);
	CU_ASSERT_TRUE(wal_written_lsn(wal) > (12 << 20));
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(0, 200);
}

static _Atomic(uint32_t) steps;

static void take_half(void *ctx)
{
	(void)ctx;
	atomic_fetch_add_explicit(&steps, 1, memory_order_seq_cst);
	CU_ASSERT_EQUAL(wal_room_take(wal, 2 << 20), BWT_OK);
	atomic_fetch_add_explicit(&steps, 1, memory_order_seq_cst);
	wal_room_return(wal, 2 << 20);
}

static void wait_for_steps(uint32_t count)
{
	while (atomic_load_explicit(&steps, memory_order_seq_cst) < count)
		sys_yield();
}

/* Nothing to flush, all credits held: only their return or use can help the waiter. */
static void a_waiter_for_room_wakes_when_credits_come_back(void)
{
	struct sys_thread *threads[2];

	for (unsigned round = 0; round < 50; round++) {
		atomic_store_explicit(&steps, 0, memory_order_seq_cst);
		CU_ASSERT_EQUAL_FATAL(wal_room_take(wal, 4 << 20), BWT_OK);
		for (unsigned i = 0; i < 2; i++)
			CU_ASSERT_EQUAL_FATAL(
				sys_thread_start(take_half, NULL, "taker", &threads[i]), 0);
		wait_for_steps(2);
		if (round % 2 == 0)
			sys_yield();
		wal_room_return(wal, 4 << 20);
		for (unsigned i = 0; i < 2; i++)
			sys_thread_join(threads[i]);
		CU_ASSERT_EQUAL(atomic_load_explicit(&steps, memory_order_seq_cst), 4);
	}
}

static void take_some(void *ctx)
{
	(void)ctx;
	atomic_fetch_add_explicit(&steps, 1, memory_order_seq_cst);
	CU_ASSERT_EQUAL(wal_room_take(wal, 300000), BWT_OK);
	wal_room_return(wal, 300000);
}

/* All else is held and stays held: only the fill can help, and only the waiter flushes. */
static void a_waiter_for_room_wakes_when_credits_become_a_record(void)
{
	for (uint64_t round = 0; round < 20; round++) {
		struct sys_thread *thread;
		struct hole hole;
		uint64_t rest;

		atomic_store_explicit(&steps, 0, memory_order_seq_cst);
		hole_make(wal, round, 400000, &hole);
		rest = (4 << 20) - hole.payload.frame_len;
		CU_ASSERT_EQUAL_FATAL(wal_room_take(wal, rest), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(sys_thread_start(take_some, NULL, "taker", &thread), 0);
		wait_for_steps(1);
		while (round % 2 == 0 && atomic_load_explicit(&wal->parked, memory_order_seq_cst) == 0)
			sys_yield();
		hole_fill(wal, &hole);
		sys_thread_join(thread);
		wal_room_return(wal, rest);
	}
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(0, 20);
}

/* --- Waiting for each other --- */

static void wait_for_all(void *ctx)
{
	uint64_t *end = ctx;

	atomic_fetch_add_explicit(&steps, 1, memory_order_seq_cst);
	CU_ASSERT_EQUAL(wal_wait(wal, *end), BWT_OK);
	CU_ASSERT_TRUE(wal_durable_lsn(wal) >= *end);
}

static void waiters_behind_a_hole_wake_when_it_is_filled(void)
{
	for (uint64_t round = 0; round < 30; round++) {
		struct sys_thread *threads[3];
		struct hole hole;
		uint64_t end;

		atomic_store_explicit(&steps, 0, memory_order_seq_cst);
		hole_make(wal, 2 * round, FIXTURE_SIZE_BY_ID, &hole);
		end = record_put(wal, 2 * round + 1, FIXTURE_SIZE_BY_ID);
		for (unsigned i = 0; i < 3; i++)
			CU_ASSERT_EQUAL_FATAL(
				sys_thread_start(wait_for_all, &end, "waiter", &threads[i]), 0);
		wait_for_steps(3);
		if (round % 3 != 0) { /* let the flusher park at the hole, or not */
			while (atomic_load_explicit(&wal->hole, memory_order_seq_cst) != hole.lsn)
				sys_yield();
		}
		CU_ASSERT_TRUE(wal_durable_lsn(wal) < end);
		hole_fill(wal, &hole);
		for (unsigned i = 0; i < 3; i++)
			sys_thread_join(threads[i]);
	}
	expect_ids(0, 60);
}

struct writer {
	struct sys_thread *thread;
	uint64_t first_id, count;
	uint64_t seed;
	bool wait;
};

static bool yield_sometimes(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	if (hit % 7 == 0)
		sys_yield();
	return false;
}

static void write_many(void *ctx)
{
	const struct writer *writer = ctx;
	struct rng rng;

	rng_init(&rng, writer->seed);
	for (uint64_t i = 0; i < writer->count; i++) {
		uint32_t size = rng_chance(&rng, 2) ? 200000 : FIXTURE_SIZE_BY_ID;
		uint64_t end;

		if (rng_chance(&rng, 10)) { /* credits for a retry, given back */
			CU_ASSERT_EQUAL(wal_room_take(wal, 4096), BWT_OK);
			wal_room_return(wal, 4096);
		}
		if (rng_chance(&rng, 5)) {
			CU_ASSERT_EQUAL(wal_room_take(wal, 64), BWT_OK);
			wal_fill_pad(wal, wal_reserve(wal, 64), 64);
		}
		end = record_put(wal, writer->first_id + i, size);
		if (writer->wait || rng_chance(&rng, 1)) {
			CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
			CU_ASSERT_TRUE(wal_durable_lsn(wal) >= end);
		}
	}
}

static void run_writers(bool wait, uint64_t each)
{
	struct writer writers[THREADS];
	uint64_t seed = rng_seed();

	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){
			.first_id = i * each, .count = each, .seed = seed + i, .wait = wait};
		CU_ASSERT_EQUAL_FATAL(
			sys_thread_start(write_many, &writers[i], "writer", &writers[i].thread), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		sys_thread_join(writers[i].thread);
}

static void many_threads_that_wait_lose_nothing(void)
{
	uint64_t each = suite_short() ? 100 : 1000;

	testpoint_set("wal_fill", 0, yield_sometimes, NULL);
	run_writers(true, each);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(0, THREADS * each);
}

static void many_threads_that_do_not_wait_lose_nothing_once_synced(void)
{
	struct wal_config config = fixture_config();
	uint64_t each = suite_short() ? 500 : 5000;

	config.sync = false;
	set_up_again(&config);
	run_writers(false, each);
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(0, THREADS * each);
}

static void plain_calls_do_the_same(void)
{
	struct wal_config config = fixture_config();

	config.plain = true;
	set_up_again(&config);
	CU_ASSERT_STRING_EQUAL(wal_engine(wal), "plain");
	run_writers(true, 50);
	expect_ids(0, THREADS * 50);
}

/* --- Callbacks --- */

static unsigned moved_count, want_count, failed_count;

static void count_moved(void *ctx)
{
	(void)ctx;
	moved_count++;
}

static void count_want(void *ctx)
{
	(void)ctx;
	want_count++;
}

static void count_failed(void *ctx, int rc)
{
	(void)ctx;
	CU_ASSERT_EQUAL(rc, BWT_IO);
	failed_count++;
}

static void callbacks_tell_of_durability_and_of_a_half_full_ring(void)
{
	struct wal_config config = fixture_config();

	config.moved = count_moved;
	config.want_flush = count_want;
	moved_count = want_count = 0;
	set_up_again(&config);
	record_put_durable(wal, 0, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(moved_count, 1);
	CU_ASSERT_EQUAL(want_count, 0);
	for (uint64_t id = 1; id < 7; id++)
		record_put(wal, id, 400000);
	CU_ASSERT_EQUAL(want_count, 1);
}

static unsigned filled_count;

static void count_filled(void *ctx)
{
	(void)ctx;
	filled_count++;
}

static void who_watches_is_called_by_the_next_record_and_no_other(void)
{
	struct wal_config config = fixture_config();

	config.filled = count_filled;
	filled_count = 0;
	set_up_again(&config);
	record_put(wal, 0, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(filled_count, 0);
	wal_watch(wal);
	CU_ASSERT_EQUAL(filled_count, 0);
	record_put(wal, 1, FIXTURE_SIZE_BY_ID);
	record_put(wal, 2, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(filled_count, 1);
}

/* --- Failing --- */

/* The descriptor of the current segment becomes one that cannot be written to. */
static void break_segment(void)
{
	int null;

	CU_ASSERT_EQUAL_FATAL(
		sys_file_open(fixture_dir_fd, "0000000000000001.wal", SYS_RDONLY, &null), BWT_OK);
	sys_file_close(wal->current->fd);
	wal->current->fd = null;
	sys_ring_register_file(wal->io, -1);
}

static void a_failed_write_is_final_and_told_to_everybody_once(void)
{
	struct wal_config config = fixture_config();
	uint64_t before, end;
	int rc;

	config.failed = NULL;
	set_up_again(&config);
	before = record_put_durable(wal, 0, FIXTURE_SIZE_BY_ID);
	break_segment();
	end = record_put(wal, 1, FIXTURE_SIZE_BY_ID);
	rc = wal_wait(wal, end);
	CU_ASSERT_TRUE(rc < 0);
	CU_ASSERT_EQUAL(wal_failure(wal), rc);
	CU_ASSERT_EQUAL(wal_wait(wal, end), rc);
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "0000000000000001.wal"), NULL);
	CU_ASSERT_EQUAL(wal_wait(wal, before), BWT_OK); /* that was acknowledged, and is true */
	CU_ASSERT_EQUAL(wal_flush(wal, true), rc);
	CU_ASSERT_EQUAL(wal_room_take(wal, 64), rc);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), before);
	expect_ids(0, 1);
}

static int add_bad_sync(void *ctx, struct sys_io *ops, unsigned room, unsigned *count)
{
	(void)ctx;
	CU_ASSERT_TRUE(room > 0);
	ops[0] = (struct sys_io){.kind = SYS_IO_SYNC, .fd = -1};
	*count = 1;
	return BWT_OK;
}

static int fail_sync(void *ctx, struct sys_io *ops, unsigned room, unsigned *count)
{
	(void)ctx, (void)ops, (void)room;
	*count = 0;
	return error_set(BWT_IO, "values are lost");
}

static void expect_values_to_fail(int (*syncs)(void *, struct sys_io *, unsigned, unsigned *),
                                  int wanted)
{
	struct wal_config config = fixture_config();
	uint64_t end;

	config.value_syncs = syncs;
	set_up_again(&config);
	end = record_put(wal, 0, FIXTURE_SIZE_BY_ID);
	CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK); /* does not ask for values */
	CU_ASSERT_EQUAL(wal_wait(wal, end), wanted);
	CU_ASSERT_EQUAL(wal_failure(wal), wanted);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), WAL_BLOCK);
}

static void a_failed_sync_of_values_fails_the_log(void)
{
	expect_values_to_fail(add_bad_sync, -EBADF);
}

static void a_value_log_that_has_failed_fails_the_log_with_its_code_and_words(void)
{
	expect_values_to_fail(fail_sync, BWT_IO);
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_IO);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "values are lost"));
}

static _Atomic(uint32_t) woken_by_failure;

static void wait_for_failure(void *ctx)
{
	uint64_t *end = ctx;
	int rc;

	atomic_fetch_add_explicit(&steps, 1, memory_order_seq_cst);
	rc = wal_wait(wal, *end);
	/* The flusher itself may be past the point of looking, and what it says is true. */
	CU_ASSERT_TRUE(rc == BWT_IO || (rc == BWT_OK && wal_durable_lsn(wal) >= *end));
	if (rc == BWT_IO)
		atomic_fetch_add_explicit(&woken_by_failure, 1, memory_order_seq_cst);
}

static void fail_for_room(void *ctx)
{
	(void)ctx;
	atomic_fetch_add_explicit(&steps, 1, memory_order_seq_cst);
	CU_ASSERT_EQUAL(wal_room_take(wal, 4 << 20), BWT_IO);
	atomic_fetch_add_explicit(&woken_by_failure, 1, memory_order_seq_cst);
}

static void every_sleeper_wakes_when_the_log_fails(void)
{
	struct wal_config config = fixture_config();
	struct sys_thread *threads[THREADS];
	struct hole hole;
	uint64_t end;

	config.failed = count_failed;
	failed_count = 0;
	set_up_again(&config);
	atomic_store_explicit(&steps, 0, memory_order_seq_cst);
	atomic_store_explicit(&woken_by_failure, 0, memory_order_seq_cst);
	hole_make(wal, 0, FIXTURE_SIZE_BY_ID, &hole);
	end = record_put(wal, 1, FIXTURE_SIZE_BY_ID);
	for (unsigned i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(sys_thread_start(i == 0 ? fail_for_room : wait_for_failure,
		                                       &end, "sleeper", &threads[i]),
		                      BWT_OK);
	wait_for_steps(THREADS);
	while (atomic_load_explicit(&wal->parked, memory_order_seq_cst) < THREADS - 1)
		sys_yield();
	CU_ASSERT_EQUAL(wal_fail(wal, BWT_IO), BWT_IO);
	while (atomic_load_explicit(&woken_by_failure, memory_order_seq_cst) < THREADS - 1)
		sys_yield(); /* all but the one that sleeps at the hole */
	hole_fill(wal, &hole);
	for (unsigned i = 0; i < THREADS; i++)
		sys_thread_join(threads[i]);
	CU_ASSERT_EQUAL(wal_fail(wal, BWT_IO), BWT_IO);
	CU_ASSERT_EQUAL(failed_count, 1);
	CU_ASSERT_EQUAL(wal_room_take(wal, 64), BWT_IO);
	CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_IO);
}

static void a_forked_child_gives_the_descriptors_back_and_disturbs_nobody(void)
{
	pid_t child;
	int status;

	record_put_durable(wal, 0, FIXTURE_SIZE_BY_ID);
	child = fork();
	if (child == 0) {
		int before = wal->current->fd;

		wal_abandon(wal);
		_exit(lseek(before, 0, SEEK_CUR) < 0 ? 7 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	record_put_durable(wal, 1, FIXTURE_SIZE_BY_ID);
	expect_ids(0, 2);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(what_was_waited_for_is_read_back),
		TEST(nothing_is_durable_before_somebody_waits),
		TEST(payloads_of_every_size_fit_up_to_the_largest),
		TEST(an_empty_payload_is_a_record),
		TEST(pads_are_skipped_by_the_reader),
		TEST(waiting_beyond_the_tail_is_invalid),
		TEST(a_flush_without_sync_moves_written_only),
		TEST(the_rest_of_the_last_block_is_zero),
		TEST(a_flush_of_nothing_is_fine),
		TEST(a_flush_stops_at_a_hole_and_does_not_wait_for_it),
		TEST(more_than_the_ring_is_too_big),
		TEST(a_full_ring_is_emptied_by_whoever_needs_room),
		TEST(a_waiter_for_room_wakes_when_credits_come_back),
		TEST(a_waiter_for_room_wakes_when_credits_become_a_record),
		TEST(waiters_behind_a_hole_wake_when_it_is_filled),
		TEST(many_threads_that_wait_lose_nothing),
		TEST(many_threads_that_do_not_wait_lose_nothing_once_synced),
		TEST(plain_calls_do_the_same),
		TEST(callbacks_tell_of_durability_and_of_a_half_full_ring),
		TEST(who_watches_is_called_by_the_next_record_and_no_other),
		TEST(a_failed_write_is_final_and_told_to_everybody_once),
		TEST(a_failed_sync_of_values_fails_the_log),
		TEST(a_value_log_that_has_failed_fails_the_log_with_its_code_and_words),
		TEST(every_sleeper_wakes_when_the_log_fails),
		TEST(a_forked_child_gives_the_descriptors_back_and_disturbs_nobody),
		CU_TEST_INFO_NULL,
	};
	return suite_run("wal", set_up, tear_down, tests);
}
