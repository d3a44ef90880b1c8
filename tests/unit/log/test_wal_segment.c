/* SPDX-License-Identifier: MIT */
/*
 * test_wal_segment.c - the files of the log: growth, borders, using them again, headers, a full disk
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "log/wal_private.h"
#include "sys/thread.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define SMALL_CAPACITY (WAL_SEGMENT_MIN - WAL_HEADER_SIZE)

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

static void open_log(uint64_t segment_size)
{
	struct wal_config config = fixture_config();

	config.segment_size = segment_size;
	CU_ASSERT_EQUAL_FATAL(wal_open(&config, &wal), BWT_OK);
}

static void close_log(void)
{
	wal_close(wal);
	wal = NULL;
}

static void expect_ids(uint64_t lsn, uint64_t first, uint64_t count)
{
	struct found *found = read_all(fixture_dir_fd, lsn);

	CU_ASSERT_EQUAL(found->open_rc, BWT_OK);
	CU_ASSERT_EQUAL(found->rc, BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(found->bad, 0);
	CU_ASSERT_EQUAL(found->count, count);
	for (uint64_t id = first; id < first + count; id++)
		CU_ASSERT_TRUE(found_id(found, id));
	free(found);
}

static uint64_t file_size(const char *name)
{
	struct stat st;

	return fstatat(fixture_dir_fd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

/* --- Growth and borders --- */

static void segments_grow_fourfold_up_to_the_set_size(void)
{
	open_log(3 << 20);
	for (uint64_t id = 0; id < 300; id++)
		record_put_durable(wal, id, 20000);
	CU_ASSERT_EQUAL(file_size("0000000000000001.wal"), WAL_SEGMENT_MIN);
	CU_ASSERT_EQUAL(file_size("0000000000000002.wal"), 4 * WAL_SEGMENT_MIN);
	CU_ASSERT_EQUAL(file_size("0000000000000003.wal"), 16 * WAL_SEGMENT_MIN);
	CU_ASSERT_EQUAL(file_size("0000000000000004.wal"), 3 << 20);
	CU_ASSERT_EQUAL(file_size("0000000000000005.wal"), 3 << 20);
	CU_ASSERT_EQUAL(wal_file_bytes(wal), (6 << 20) + 21 * WAL_SEGMENT_MIN);
	expect_ids(0, 0, 300);
}

/* Records end just before, at and behind the border, for every 16 bytes around it. */
static void records_cross_segment_borders_at_any_offset(void)
{
	for (uint64_t shift = 0; shift < 160; shift += 16) {
		uint64_t border = WAL_BLOCK + SMALL_CAPACITY, id = 0;

		tmpstore_clear(fixture_dir);
		open_log(WAL_SEGMENT_MIN);
		while (wal_tail(wal) + 4096 < border)
			record_put(wal, id++, 1000);
		/* One record up to shift bytes before the border: the next one crosses it. */
		record_put(wal, id++,
		           (uint32_t)(border - shift - wal_tail(wal) - sizeof(struct wal_frame)));
		CU_ASSERT_EQUAL(wal_tail(wal), border - shift);
		record_put_durable(wal, id++, 100);
		record_put_durable(wal, id++, 100);
		close_log();
		expect_ids(0, 0, id);
	}
}

static void a_record_larger_than_a_segment_spans_several(void)
{
	open_log(WAL_SEGMENT_MIN);
	record_put(wal, 0, 100);
	record_put(wal, 1, WAL_PAYLOAD_MAX);
	record_put_durable(wal, 2, WAL_PAYLOAD_MAX);
	CU_ASSERT_TRUE(count_files(".wal") >= 5);
	record_put_durable(wal, 3, 100);
	expect_ids(0, 0, 4);
}

static void one_unsynced_flush_over_many_segments_is_synced_whole(void)
{
	open_log(WAL_SEGMENT_MIN);
	for (uint64_t id = 0; id < 30; id++) {
		record_put(wal, id, 400000);
		CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK);
	}
	CU_ASSERT_TRUE(wal->dirty_count > SYS_RING_BATCH_MAX); /* more than one batch of syncs */
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	CU_ASSERT_EQUAL(wal->dirty_count, 0);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	expect_ids(0, 0, 30);
}

static unsigned wanted;

static void count_wanted(void *ctx)
{
	(void)ctx;
	wanted++;
}

static void the_next_segment_is_asked_for_and_prepared_in_time(void)
{
	struct wal_config config = fixture_config();
	uint64_t id = 0;

	config.want_flush = count_wanted;
	wanted = 0;
	CU_ASSERT_EQUAL_FATAL(wal_open(&config, &wal), BWT_OK);
	CU_ASSERT_EQUAL(wal_prepare_segment(wal), BWT_OK);
	CU_ASSERT_EQUAL(count_files(".wal"), 1);
	while (wal_tail(wal) < WAL_BLOCK + SMALL_CAPACITY / 2)
		record_put_durable(wal, id++, 5000);
	CU_ASSERT_EQUAL(wanted, 1);
	CU_ASSERT_EQUAL(wal_prepare_segment(wal), BWT_OK);
	CU_ASSERT_EQUAL(wal_prepare_segment(wal), BWT_OK);
	CU_ASSERT_EQUAL(count_files(".wal"), 2);
	expect_ids(0, 0, id);
}

/* --- Releasing and using again --- */

static void released_segments_are_used_again_with_old_frames_inside(void)
{
	uint64_t id = 0, first_id = 0, lsn = WAL_BLOCK;

	open_log(WAL_SEGMENT_MIN);
	for (unsigned round = 0; round < 30; round++) {
		uint64_t round_id = id, round_lsn = wal_tail(wal);

		for (unsigned i = 0; i < 20; i++)
			record_put_durable(wal, id++, 20000);
		CU_ASSERT_EQUAL(wal_release(wal, lsn), BWT_OK);
		expect_ids(lsn, first_id, id - first_id);
		lsn = round_lsn;
		first_id = round_id;
	}
	CU_ASSERT_TRUE(count_files(".wal") <= 12);
	CU_ASSERT_EQUAL(wal_file_bytes(wal), count_files(".wal") * (uint64_t)WAL_SEGMENT_MIN);
	close_log();
	wal = fixture_reopen(fixture_config(), lsn);
	expect_ids(lsn, first_id, id - first_id);
}

static void at_most_four_spares_are_kept_and_the_largest_ones(void)
{
	uint64_t id = 0;

	open_log(1 << 20);
	while (id < 400)
		record_put_durable(wal, id++, 20000);
	CU_ASSERT_EQUAL(wal_release(wal, wal_tail(wal)), BWT_OK);
	CU_ASSERT_EQUAL(count_files("free-"), 4);
	for (unsigned i = 0; i < wal->spare_count; i++)
		CU_ASSERT_EQUAL(wal->spares[i].file_size, 1 << 20);
	record_put_durable(wal, id++, 100);
	expect_ids(wal_tail(wal) - wal_round_up(sizeof(struct wal_frame) + 100, 16), id - 1, 1);
}

static void nothing_that_is_not_durable_is_released(void)
{
	open_log(WAL_SEGMENT_MIN);
	for (uint64_t id = 0; id < 20; id++)
		record_put(wal, id, 100000);
	CU_ASSERT_EQUAL(wal_release(wal, UINT64_MAX), BWT_OK);
	CU_ASSERT_EQUAL(wal_wait(wal, wal_tail(wal)), BWT_OK);
	expect_ids(0, 0, 20);
}

static void a_full_segment_that_is_written_to_is_not_released(void)
{
	uint64_t border = WAL_BLOCK + SMALL_CAPACITY, id = 0;

	open_log(WAL_SEGMENT_MIN);
	while (wal_tail(wal) + 4096 < border)
		record_put(wal, id++, 1000);
	record_put_durable(wal, id++, (uint32_t)(border - wal_tail(wal) - sizeof(struct wal_frame)));
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), border);
	CU_ASSERT_EQUAL(wal_release(wal, border), BWT_OK);
	CU_ASSERT_EQUAL(file_size("0000000000000001.wal"), WAL_SEGMENT_MIN);
	record_put_durable(wal, id++, 100);
	expect_ids(0, 0, id);
	CU_ASSERT_EQUAL(wal_release(wal, border), BWT_OK);
	CU_ASSERT_EQUAL(file_size("0000000000000001.wal"), 0);
	expect_ids(border, id - 1, 1);
}

static void spares_of_an_earlier_life_are_used_and_half_made_ones_removed(void)
{
	struct found *found;
	uint64_t id = 0;
	int fd;

	open_log(WAL_SEGMENT_MIN);
	while (id < 30)
		record_put_durable(wal, id++, 20000);
	CU_ASSERT_EQUAL(wal_release(wal, wal_tail(wal)), BWT_OK);
	close_log();
	/* What a crash in the middle of making a segment leaves. */
	fd = openat(fixture_dir_fd, "free-77.wal", O_RDWR | O_CREAT, 0666);
	CU_ASSERT_EQUAL(ftruncate(fd, 100000), 0);
	close(fd);
	CU_ASSERT_EQUAL(
		linkat(fixture_dir_fd, "0000000000000005.wal", fixture_dir_fd, "free-78.wal", 0), 0);
	found = read_all(fixture_dir_fd, wal_round_up(550000, WAL_BLOCK));
	free(found);
	{
		struct wal_config config = fixture_config();
		unsigned before = count_files("free-");

		config.end_lsn = 2 << 20;
		config.end_incarnation = 5;
		config.last_seq = 20;
		CU_ASSERT_EQUAL_FATAL(wal_open(&config, &wal), BWT_OK);
		CU_ASSERT_EQUAL(file_size("free-77.wal"), 0);
		CU_ASSERT_EQUAL(file_size("free-78.wal"), 0);
		CU_ASSERT_EQUAL(file_size("0000000000000005.wal"), WAL_SEGMENT_MIN);
		CU_ASSERT_EQUAL(count_files("free-"), before - 3); /* these two, and one in use again */
	}
}

/* On a full disk a file cannot be made; that of the life before must do, though it never was a segment. */
static void a_kept_spare_is_what_the_next_opening_begins_in(void)
{
	struct stat spare, segment;

	open_log(WAL_SEGMENT_MIN);
	record_put_durable(wal, 1, 100);
	CU_ASSERT_EQUAL(wal_keep_spare(wal), BWT_OK);
	CU_ASSERT_EQUAL(wal_keep_spare(wal), BWT_OK); /* there is one */
	CU_ASSERT_EQUAL(count_files("free-"), 1);
	CU_ASSERT_EQUAL(fstatat(fixture_dir_fd, "free-1.wal", &spare, 0), 0);
	close_log();
	wal = fixture_reopen(fixture_config(), 0);
	CU_ASSERT_EQUAL(count_files("free-"), 0);
	CU_ASSERT_EQUAL(fstatat(fixture_dir_fd, "0000000000000002.wal", &segment, 0), 0);
	CU_ASSERT_EQUAL(segment.st_ino, spare.st_ino);
	record_put_durable(wal, 2, 100);
	expect_ids(0, 1, 2);
}

static void segments_of_dead_lives_go_with_the_end_of_their_life(void)
{
	uint64_t last = 0;

	open_log(1 << 20);
	for (uint64_t life = 0; life < 8; life++) {
		last = record_put_durable(wal, life, 100);
		close_log();
		wal = fixture_reopen(fixture_config(), 0);
	}
	CU_ASSERT_EQUAL(count_files(".wal"), 9);
	record_put_durable(wal, 8, 100);
	CU_ASSERT_EQUAL(wal_release(wal, last), BWT_OK);
	CU_ASSERT_EQUAL(count_files(".wal"), 1 + 4);
	expect_ids(last, 8, 1); /* the end of a life that is gone is still a place to begin */
}

/* --- Headers --- */

static void damage_head(uint64_t seq, bool first, bool second)
{
	uint8_t garbage[sizeof(struct wal_segment_head)];
	int fd = segment_file(seq);

	memset(garbage, 0xa5, sizeof garbage);
	if (first)
		CU_ASSERT_EQUAL(pwrite(fd, garbage, sizeof garbage, 0), (ssize_t)sizeof garbage);
	if (second)
		CU_ASSERT_EQUAL(pwrite(fd, garbage, sizeof garbage, WAL_BLOCK),
		                (ssize_t)sizeof garbage);
	close(fd);
}

/* Two lives, the first one over three segments. Returns the number of the last segment. */
static uint64_t make_two_lives(uint64_t *records)
{
	uint64_t id = 0;

	open_log(WAL_SEGMENT_MIN);
	while (id < 18)
		record_put_durable(wal, id++, 30000);
	close_log();
	wal = fixture_reopen(fixture_config(), 0);
	record_put_durable(wal, id++, 100);
	close_log();
	*records = id;
	return count_files(".wal");
}

static void one_damaged_copy_of_any_header_costs_nothing(void)
{
	uint64_t records, last = make_two_lives(&records);

	for (uint64_t seq = 1; seq <= last; seq++) {
		for (unsigned which = 0; which < 2; which++) {
			char saved[TMPSTORE_PATH_MAX];

			tmpstore_new(saved);
			tmpstore_copy(fixture_dir, saved);
			damage_head(seq, which == 0, which == 1);
			expect_ids(0, 0, records);
			tmpstore_copy(saved, fixture_dir);
			tmpstore_free(saved);
		}
	}
}

static void every_single_byte_of_a_header_is_checked(void)
{
	struct found *found;
	int fd;

	open_log(WAL_SEGMENT_MIN);
	record_put_durable(wal, 0, 100);
	close_log();
	damage_head(1, true, false);
	fd = segment_file(1);
	for (uint64_t off = 0; off < sizeof(struct wal_segment_head); off++) {
		file_flip(fd, WAL_BLOCK + off);
		found = read_all(fixture_dir_fd, 0);
		CU_ASSERT_TRUE(found->open_rc == BWT_CORRUPT);
		free(found);
		file_flip(fd, WAL_BLOCK + off);
	}
	expect_ids(0, 0, 1);
	close(fd);
}

static void both_copies_damaged_is_damage_wherever_the_segment_matters(void)
{
	uint64_t records, last = make_two_lives(&records);
	struct found *found;

	for (uint64_t seq = 1; seq <= last; seq++) {
		char saved[TMPSTORE_PATH_MAX];

		tmpstore_new(saved);
		tmpstore_copy(fixture_dir, saved);
		damage_head(seq, true, true);
		found = read_all(fixture_dir_fd, 0);
		CU_ASSERT_EQUAL(found->open_rc < 0 ? found->open_rc : found->rc, BWT_CORRUPT);
		free(found);
		tmpstore_copy(saved, fixture_dir);
		tmpstore_free(saved);
	}
	/* Below the start it does not. */
	damage_head(1, true, true);
	expect_ids(WAL_BLOCK + 9 * (wal_round_up(30000 + sizeof(struct wal_frame), 16)), 9,
	           records - 9);
	wal = fixture_reopen(fixture_config(),
	                     WAL_BLOCK + 9 * (wal_round_up(30000 + sizeof(struct wal_frame), 16)));
	CU_ASSERT_EQUAL(wal_release(wal, wal_tail(wal)), BWT_OK);
	CU_ASSERT_EQUAL(file_size("0000000000000001.wal"), 0);
}

static void another_version_is_refused(void)
{
	struct wal_segment_head head;
	struct found *found;
	int fd;

	open_log(WAL_SEGMENT_MIN);
	close_log();
	fd = segment_file(1);
	CU_ASSERT_EQUAL(pread(fd, &head, sizeof head, 0), (ssize_t)sizeof head);
	head.version = 2;
	head.crc = crc32c(0, (const uint8_t *)&head + 12, sizeof head - 12);
	CU_ASSERT_EQUAL(pwrite(fd, &head, sizeof head, 0), (ssize_t)sizeof head);
	close(fd);
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->open_rc, BWT_VERSION);
	free(found);
}

static unsigned listed, listed_damaged;

static int list_one(void *ctx, const char *name, const struct wal_segment_head *head)
{
	(void)ctx;
	(void)name;
	listed++;
	listed_damaged += head == NULL;
	return listed == 100 ? 7 : 0;
}

static void tools_see_every_header_and_which_are_damaged(void)
{
	uint64_t records, last = make_two_lives(&records);

	listed = listed_damaged = 0;
	damage_head(2, true, true);
	damage_head(1, true, false);
	CU_ASSERT_EQUAL(wal_segments_list(fixture_dir_fd, list_one, NULL), BWT_OK);
	CU_ASSERT_EQUAL(listed, last);
	CU_ASSERT_EQUAL(listed_damaged, 1);
	listed = 99;
	CU_ASSERT_EQUAL(wal_segments_list(fixture_dir_fd, list_one, NULL), 7);
}

/* --- A full disk: no file may grow beyond a limit --- */

static void limit_files(uint64_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_met_before_anything_is_reserved_and_passes(void)
{
	uint64_t id = 0, end = 0;
	int rc = BWT_OK;

	open_log(1 << 20);
	limit_files(WAL_SEGMENT_MIN - WAL_BLOCK); /* the first segment is usable but for its last block */
	while (rc == BWT_OK && id < 1000) {
		end = record_put_rc(wal, id, 5000, &rc);
		if (rc == BWT_OK) {
			CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
			id++;
		}
	}
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	CU_ASSERT_TRUE(id > 15);
	CU_ASSERT_EQUAL(wal_failure(wal), BWT_OK);
	CU_ASSERT_EQUAL(wal_durable_lsn(wal), wal_tail(wal));
	CU_ASSERT_EQUAL(count_files("free-"), 0); /* nothing half-made stays */
	/* Deletes go on for a while. */
	CU_ASSERT_EQUAL(wal_room_take(wal, 5000), BWT_FULL);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t lsn;

		CU_ASSERT_EQUAL(wal_room_take_reserve(wal, 64), BWT_OK);
		lsn = wal_reserve(wal, 64);
		wal_fill_pad(wal, lsn, 64);
		CU_ASSERT_EQUAL(wal_wait(wal, lsn + 64), BWT_OK);
	}
	limit_files(0);
	for (unsigned i = 0; i < 50; i++)
		record_put_durable(wal, id++, 5000);
	expect_ids(0, 0, id);
}

/* As where overwriting takes space: the write itself finds none. */
static void records_that_found_no_space_are_written_when_there_is_some(void)
{
	uint64_t id = 0, end = 0;
	int rc = BWT_OK;

	open_log(1 << 20);
	limit_files(24 * WAL_BLOCK);
	while (rc == BWT_OK && id < 100) {
		end = record_put(wal, id++, 5000);
		rc = wal_wait(wal, end);
	}
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_FULL);
	CU_ASSERT_EQUAL(wal_failure(wal), BWT_OK);
	CU_ASSERT_TRUE(wal_durable_lsn(wal) < end);
	expect_ids(0, 0, id - 1);
	limit_files(0);
	CU_ASSERT_EQUAL(wal_wait(wal, end), BWT_OK);
	record_put_durable(wal, id++, 5000);
	expect_ids(0, 0, id);
}

static void room_comes_back_on_a_full_disk_when_segments_are_released(void)
{
	uint64_t id = 0, lsn;
	int rc = BWT_OK;

	open_log(WAL_SEGMENT_MIN);
	while (id < 40)
		record_put_durable(wal, id++, 30000);
	limit_files(WAL_SEGMENT_MIN - 1);
	while (rc == BWT_OK && id < 1000)
		id += record_put_rc(wal, id, 5000, &rc) != 0;
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	CU_ASSERT_EQUAL(wal_flush(wal, true), BWT_OK);
	lsn = wal_tail(wal);
	CU_ASSERT_EQUAL(wal_release(wal, lsn), BWT_OK);
	wanted = count_files(".wal");
	limit_files(WAL_SEGMENT_MIN); /* large enough for an old file */
	for (unsigned i = 0; i < 40; i++)
		record_put_durable(wal, id++, 5000);
	limit_files(0);
	CU_ASSERT_EQUAL(count_files(".wal"), wanted); /* no new one */
	expect_ids(lsn, id - 40, 40);
}

/* --- Beside writers --- */

static _Atomic(int) stop;

static void care(void *ctx)
{
	(void)ctx;
	while (atomic_load_explicit(&stop, memory_order_relaxed) == 0) {
		CU_ASSERT_EQUAL(wal_prepare_segment(wal), BWT_OK);
		CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK);
		CU_ASSERT_EQUAL(wal_release(wal, wal_durable_lsn(wal)), BWT_OK);
		sys_yield();
	}
}

static void write_some(void *ctx)
{
	uint64_t *first = ctx;
	uint64_t count = suite_short() ? 40 : 300;

	for (uint64_t i = 0; i < count; i++)
		record_put_durable(wal, *first + i, i % 10 == 0 ? 50000 : FIXTURE_SIZE_BY_ID);
}

static void preparing_and_releasing_beside_writers_disturbs_nobody(void)
{
	struct sys_thread *writers[3], *carer;
	uint64_t firsts[3] = {0, 10000, 20000}, lsn;

	open_log(WAL_SEGMENT_MIN);
	atomic_store_explicit(&stop, 0, memory_order_relaxed);
	CU_ASSERT_EQUAL_FATAL(sys_thread_start(care, NULL, "care", &carer), BWT_OK);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL_FATAL(
			sys_thread_start(write_some, &firsts[i], "writer", &writers[i]), BWT_OK);
	for (unsigned i = 0; i < 3; i++)
		sys_thread_join(writers[i]);
	atomic_store_explicit(&stop, 1, memory_order_relaxed);
	sys_thread_join(carer);
	lsn = wal_tail(wal);
	record_put_durable(wal, 5, 100);
	expect_ids(lsn, 5, 1);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(segments_grow_fourfold_up_to_the_set_size),
		TEST(records_cross_segment_borders_at_any_offset),
		TEST(a_record_larger_than_a_segment_spans_several),
		TEST(one_unsynced_flush_over_many_segments_is_synced_whole),
		TEST(the_next_segment_is_asked_for_and_prepared_in_time),
		TEST(released_segments_are_used_again_with_old_frames_inside),
		TEST(at_most_four_spares_are_kept_and_the_largest_ones),
		TEST(nothing_that_is_not_durable_is_released),
		TEST(a_full_segment_that_is_written_to_is_not_released),
		TEST(spares_of_an_earlier_life_are_used_and_half_made_ones_removed),
		TEST(a_kept_spare_is_what_the_next_opening_begins_in),
		TEST(segments_of_dead_lives_go_with_the_end_of_their_life),
		TEST(one_damaged_copy_of_any_header_costs_nothing),
		TEST(every_single_byte_of_a_header_is_checked),
		TEST(both_copies_damaged_is_damage_wherever_the_segment_matters),
		TEST(another_version_is_refused),
		TEST(tools_see_every_header_and_which_are_damaged),
		TEST(a_full_disk_is_met_before_anything_is_reserved_and_passes),
		TEST(records_that_found_no_space_are_written_when_there_is_some),
		TEST(room_comes_back_on_a_full_disk_when_segments_are_released),
		TEST(preparing_and_releasing_beside_writers_disturbs_nobody),
		CU_TEST_INFO_NULL,
	};
	return suite_run("wal_segment", set_up, tear_down, tests);
}
