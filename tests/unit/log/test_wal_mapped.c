/* SPDX-License-Identifier: MIT */
/*
 * test_wal_mapped.c - the log in persistent memory: any file is, when libpmem is told so
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/wal_private.h"
#include "sys/file.h"
#include "tests/support/quiet.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#ifdef BWT_NO_PMEM

int main(void)
{
	return suite_skip("this build knows no persistent memory");
}

#else

#define THREADS 4u
#define EACH 500u

static struct wal *wal;

static void set_up(void)
{
	fixture_set_up();
	wal = NULL;
}

static void tear_down(void)
{
	wal_close(wal);
	fixture_tear_down();
}

static void open_log(struct wal_config config)
{
	CU_ASSERT_EQUAL_FATAL(wal_open(&config, &wal), BWT_OK);
	CU_ASSERT_NOT_EQUAL_FATAL(wal_media(wal), SYS_MEDIA_FILE); /* on real DAX it is that */
}

/* A file must not be read beside its mapping by the reader, which syncs it: that is for the next life. */
static struct found *close_and_read(uint64_t lsn)
{
	wal_close(wal);
	wal = NULL;
	return read_all(fixture_dir_fd, lsn);
}

static void expect_all(struct found *found, uint64_t from, uint64_t to)
{
	unsigned missing = 0;

	CU_ASSERT_EQUAL(found->rc, BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(found->bad, 0);
	CU_ASSERT_EQUAL(found->count, to - from);
	for (uint64_t id = from; id < to; id++)
		missing += !found_id(found, id);
	CU_ASSERT_EQUAL(missing, 0);
	free(found);
}

static void what_was_durable_is_read_back_by_the_same_reader(void)
{
	open_log(fixture_config());
	for (uint64_t id = 0; id < 100; id++)
		(void)record_put_durable(wal, id, FIXTURE_SIZE_BY_ID);
	expect_all(close_and_read(0), 0, 100);
}

static void records_cross_the_ends_of_ring_and_segments(void)
{
	struct wal_config config = fixture_config();
	uint64_t id = 0;

	config.ring_size = 4 << 20;
	config.segment_size = WAL_SEGMENT_MIN;
	open_log(config);
	while (wal_tail(wal) < 6u << 20) {
		uint64_t end = record_put(wal, id++, 40000);

		if (id % 7 == 0)
			CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
	}
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_all(close_and_read(0), 0, id);
}

/* Behind the end stands what an earlier use of the file left. */
static void segments_that_are_used_again_hold_no_old_records(void)
{
	struct wal_config config = fixture_config();
	uint64_t id = 0, keep = 0, keep_id = 0;

	config.segment_size = WAL_SEGMENT_MIN;
	open_log(config);
	while (wal_tail(wal) < 4u << 20) {
		uint64_t end = record_put_durable(wal, id++, 3000);

		if (id % 50 == 0) {
			CU_ASSERT_EQUAL(wal_release(wal, keep), BWT_OK);
			keep = end;
			keep_id = id;
		}
	}
	CU_ASSERT_TRUE(count_files(".wal") < 16);
	expect_all(close_and_read(keep), keep_id, id);
}

static void a_flush_that_asks_for_nothing_durable_makes_it_so_when_it_is_asked(void)
{
	struct wal_config config = fixture_config();
	uint64_t end;

	config.sync = false;
	open_log(config);
	end = record_put(wal, 0, 100);
	CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK);
	CU_ASSERT_EQUAL(wal_written_lsn(wal), end);
	CU_ASSERT_TRUE(wal_durable_lsn(wal) < end);
	CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), end);
	expect_all(close_and_read(0), 0, 1);
}

static void *put_many(void *ctx)
{
	uint64_t first = *(const uint64_t *)ctx;

	for (uint64_t id = first; id < first + EACH; id++)
		(void)record_put_durable(wal, id, FIXTURE_SIZE_BY_ID);
	return NULL;
}

static void threads_that_commit_at_once_all_come_to_an_end(void)
{
	pthread_t threads[THREADS];
	uint64_t first[THREADS];

	open_log(fixture_config());
	for (unsigned i = 0; i < THREADS; i++) {
		first[i] = (uint64_t)i * EACH;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, put_many, &first[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	expect_all(close_and_read(0), 0, (uint64_t)THREADS * EACH);
}

static void the_log_goes_on_in_a_next_life(void)
{
	open_log(fixture_config());
	for (uint64_t id = 0; id < 20; id++)
		(void)record_put_durable(wal, id, 200);
	wal_close(wal);
	wal = fixture_reopen(fixture_config(), 0);
	for (uint64_t id = 20; id < 40; id++)
		(void)record_put_durable(wal, id, 200);
	expect_all(close_and_read(0), 0, 40);
}

static bool child_ends_well(void (*body)(void))
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		body();
		_exit(EXIT_SUCCESS);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* A sanitizer makes system calls of its own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void commit_quietly(void)
{
	uint64_t last = 0;

	open_log(fixture_config());
	(void)record_put_durable(wal, 0, 200);
	CU_ASSERT_EQUAL_FATAL(wal_prepare_segment(wal), BWT_OK);
	quiet_begin();
	for (uint64_t id = 1; id < 300; id++)
		last = record_put_durable(wal, id, 200);
	if (wal_durable_lsn(wal) != last)
		_exit(EXIT_FAILURE);
}

static void a_durable_commit_makes_no_system_call(void)
{
	CU_ASSERT_TRUE(child_ends_well(commit_quietly));
}
#endif

static void lose_the_file(void)
{
	struct wal_config config = fixture_config();
	uint64_t end;
	int fd;

	config.catch_sigbus = true;
	open_log(config);
	(void)record_put_durable(wal, 0, 200);
	fd = segment_file(1);
	if (sys_file_truncate(fd, 4096) < 0)
		_exit(EXIT_FAILURE);
	end = record_put(wal, 1, 200);
	if (wal_wait(wal, end) != BWT_IO || wal_failure(wal) != BWT_IO ||
	    wal_durable_lsn(wal) >= end || strstr(bwt_detail(), "memory of the log") == NULL)
		_exit(EXIT_FAILURE);
}

static void memory_that_fails_under_a_copy_fails_the_log_and_acknowledges_nothing(void)
{
	CU_ASSERT_TRUE(child_ends_well(lose_the_file));
}

int main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
		TEST(what_was_durable_is_read_back_by_the_same_reader),
		TEST(records_cross_the_ends_of_ring_and_segments),
		TEST(segments_that_are_used_again_hold_no_old_records),
		TEST(a_flush_that_asks_for_nothing_durable_makes_it_so_when_it_is_asked),
		TEST(threads_that_commit_at_once_all_come_to_an_end),
		TEST(the_log_goes_on_in_a_next_life),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		TEST(a_durable_commit_makes_no_system_call),
#endif
		TEST(memory_that_fails_under_a_copy_fails_the_log_and_acknowledges_nothing),
		CU_TEST_INFO_NULL,
	};

	(void)argc;
	suite_force_pmem(argv);
	return suite_run("wal_mapped", set_up, tear_down, tests);
}

#endif
