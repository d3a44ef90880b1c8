/* SPDX-License-Identifier: MIT */
/*
 * test_wal_reader.c - where the log ends, what is damage, and that nothing stored can crash the reader
 */
#include "log/wal_reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/testpoint.h"
#include "log/wal_private.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define SECTOR 512u

static struct wal *wal;

static void set_up(void)
{
	fixture_set_up();
	wal = NULL;
}

static void tear_down(void)
{
	testpoint_reset();
	wal_close(wal);
	fixture_tear_down();
}

static void open_log(void)
{
	struct wal_config config = fixture_config();

	CU_ASSERT_EQUAL_FATAL(wal_open(&config, &wal), BWT_OK);
}

static void close_log(void)
{
	wal_close(wal);
	wal = NULL;
}

/* Offset in the first segment's file. */
static uint64_t off_of(uint64_t lsn)
{
	return WAL_HEADER_SIZE + (lsn - WAL_BLOCK);
}

struct expected {
	int rc;
	uint64_t count;
	uint64_t end_lsn;
};

static void expect(struct expected want)
{
	struct found *found = read_all(fixture_dir_fd, 0);

	CU_ASSERT_EQUAL(found->open_rc, BWT_OK);
	CU_ASSERT_EQUAL(found->rc, want.rc);
	CU_ASSERT_EQUAL(found->count, want.count);
	CU_ASSERT_EQUAL(found->end_lsn, want.end_lsn);
	CU_ASSERT_EQUAL(found->bad, 0);
	free(found);
}

static void seal_head(struct wal_segment_head *head)
{
	size_t from = offsetof(struct wal_segment_head, version);

	head->crc = crc32c(0, (const uint8_t *)head + from, sizeof *head - from);
}

static void write_head(int fd, const struct wal_segment_head *head)
{
	for (uint64_t off = 0; off < WAL_HEADER_SIZE; off += WAL_BLOCK)
		CU_ASSERT_EQUAL(pwrite(fd, head, sizeof *head, (off_t)off), (ssize_t)sizeof *head);
}

/* --- Plain use --- */

static void an_empty_folder_is_an_empty_log(void)
{
	struct found *found = read_all(fixture_dir_fd, 8192);

	CU_ASSERT_EQUAL(found->open_rc, BWT_OK);
	CU_ASSERT_EQUAL(found->rc, BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(found->end_lsn, 8192);
	CU_ASSERT_EQUAL(found->last_seq, 0);
	CU_ASSERT_EQUAL(found->incarnation, 0);
	free(found);
}

static void reading_may_begin_at_any_record(void)
{
	uint64_t ends[50];

	open_log();
	for (uint64_t id = 0; id < 50; id++)
		ends[id] = record_put_durable(wal, id, FIXTURE_SIZE_BY_ID);
	for (uint64_t id = 0; id < 50; id++) {
		struct found *found = read_all(fixture_dir_fd, ends[id]);

		CU_ASSERT_EQUAL(found->rc, BWT_NOT_FOUND);
		CU_ASSERT_EQUAL(found->count, 49 - id);
		CU_ASSERT_EQUAL(found->end_lsn, ends[49]);
		CU_ASSERT_EQUAL(found->incarnation, wal_incarnation(wal));
		free(found);
	}
}

static void position_and_extent_tell_of_progress(void)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t end;

	open_log();
	record_put(wal, 0, 100);
	end = record_put_durable(wal, 1, 100);
	CU_ASSERT_EQUAL_FATAL(
		wal_reader_open(fixture_dir_fd, FIXTURE_STORE_ID, WAL_BLOCK, true, &reader), BWT_OK);
	CU_ASSERT_EQUAL(wal_reader_position(reader), WAL_BLOCK);
	CU_ASSERT_EQUAL(wal_reader_extent(reader), WAL_SEGMENT_MIN - WAL_HEADER_SIZE);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
	CU_ASSERT_EQUAL(wal_reader_position(reader), record.end_lsn);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(wal_reader_position(reader), end);
	wal_reader_close(reader);
}

static void a_start_that_no_segment_holds_is_damage(void)
{
	struct found *found;

	open_log();
	record_put_durable(wal, 0, 100);
	found = read_all(fixture_dir_fd, WAL_BLOCK + (1 << 20));
	CU_ASSERT_EQUAL(found->open_rc, BWT_CORRUPT);
	free(found);
	found = read_all(fixture_dir_fd, WAL_BLOCK - 16);
	CU_ASSERT_EQUAL(found->open_rc, BWT_CORRUPT);
	free(found);
}

/* --- Torn tails --- */

#define ACKNOWLEDGED 3u
#define GROUP 6u

/* Some records acknowledged one by one, then a group in one flush: what a crash may tear. */
static void write_group(uint64_t ends[ACKNOWLEDGED + GROUP])
{
	open_log();
	for (uint64_t id = 0; id < ACKNOWLEDGED; id++)
		ends[id] = record_put_durable(wal, id, 100);
	for (uint64_t id = ACKNOWLEDGED; id < ACKNOWLEDGED + GROUP; id++)
		ends[id] = record_put(wal, id, id == 5 ? 3000 : 100);
	CU_ASSERT_EQUAL(wal_wait(wal, ends[ACKNOWLEDGED + GROUP - 1]), BWT_OK);
	close_log();
}

static struct expected records_up_to(const uint64_t ends[ACKNOWLEDGED + GROUP], uint64_t lsn)
{
	struct expected want = {BWT_NOT_FOUND, 0, WAL_BLOCK};

	for (unsigned i = 0; i < ACKNOWLEDGED + GROUP && ends[i] <= lsn; i++) {
		want.count = i + 1;
		want.end_lsn = ends[i];
	}
	return want;
}

static void tear_everywhere(void (*make_tail)(uint8_t *tail, size_t size))
{
	uint64_t ends[ACKNOWLEDGED + GROUP];
	uint64_t begin, end;
	uint8_t *whole, *torn;
	size_t size;
	int fd;

	write_group(ends);
	begin = ends[ACKNOWLEDGED - 1];
	end = ends[ACKNOWLEDGED + GROUP - 1];
	size = (size_t)(end - begin);
	whole = malloc(size);
	torn = malloc(size);
	fd = segment_file(1);
	CU_ASSERT_EQUAL(pread(fd, whole, size, (off_t)off_of(begin)), (ssize_t)size);
	for (uint64_t lsn = begin; lsn < end; lsn += WAL_ALIGN) {
		size_t kept = (size_t)(lsn - begin);

		memcpy(torn, whole, kept);
		make_tail(torn + kept, size - kept);
		CU_ASSERT_EQUAL(pwrite(fd, torn, size, (off_t)off_of(begin)), (ssize_t)size);
		expect(records_up_to(ends, lsn));
	}
	close(fd);
	free(whole);
	free(torn);
}

static void zero_tail(uint8_t *tail, size_t size)
{
	memset(tail, 0, size);
}

static void random_tail(uint8_t *tail, size_t size)
{
	struct rng rng;

	rng_init(&rng, size);
	rng_fill(&rng, tail, size);
}

static void a_tail_torn_to_zeroes_at_any_position_ends_the_log_there(void)
{
	tear_everywhere(zero_tail);
}

static void a_tail_torn_to_garbage_at_any_position_ends_the_log_there(void)
{
	tear_everywhere(random_tail);
}

static void any_lost_sector_of_the_last_group_ends_the_log_before_it(void)
{
	uint64_t ends[ACKNOWLEDGED + GROUP];
	uint8_t saved[SECTOR], zeroes[SECTOR] = {0};
	int fd;

	write_group(ends);
	fd = segment_file(1);
	for (uint64_t lsn = wal_round_up(ends[ACKNOWLEDGED - 1], SECTOR);
	     lsn < ends[ACKNOWLEDGED + GROUP - 1]; lsn += SECTOR) {
		CU_ASSERT_EQUAL(pread(fd, saved, SECTOR, (off_t)off_of(lsn)), SECTOR);
		CU_ASSERT_EQUAL(pwrite(fd, zeroes, SECTOR, (off_t)off_of(lsn)), SECTOR);
		expect(records_up_to(ends, lsn));
		CU_ASSERT_EQUAL(pwrite(fd, saved, SECTOR, (off_t)off_of(lsn)), SECTOR);
	}
	expect(records_up_to(ends, UINT64_MAX));
	close(fd);
}

/* --- Damage in what was durable --- */

static void a_bad_record_that_a_later_one_calls_durable_is_damage(void)
{
	uint64_t ends[ACKNOWLEDGED + GROUP];
	int fd;

	write_group(ends);
	fd = segment_file(1);
	for (uint64_t lsn = WAL_BLOCK; lsn < ends[ACKNOWLEDGED - 1]; lsn++) {
		struct found *found;

		file_flip(fd, off_of(lsn));
		found = read_all(fixture_dir_fd, 0);
		/* Padding is under the CRC as well: every byte counts. */
		CU_ASSERT_EQUAL(found->rc, BWT_CORRUPT);
		CU_ASSERT_EQUAL(found->count, (lsn - WAL_BLOCK) / (ends[0] - WAL_BLOCK));
		CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "0000000000000001.wal at offset"), NULL);
		free(found);
		file_flip(fd, off_of(lsn));
	}
	expect(records_up_to(ends, UINT64_MAX));
	close(fd);
}

static void a_log_cut_short_by_a_later_segment_is_damage_where_it_is_bad(void)
{
	uint64_t end;
	int fd;

	open_log();
	end = record_put_durable(wal, 0, 100);
	close_log();
	wal = fixture_reopen(fixture_config(), 0);
	CU_ASSERT_EQUAL(wal_tail(wal), wal_round_up(end, WAL_BLOCK));
	close_log();
	expect((struct expected){BWT_NOT_FOUND, 1, wal_round_up(end, WAL_BLOCK)});
	fd = segment_file(1);
	file_flip(fd, off_of(WAL_BLOCK + 40)); /* nothing behind it but the next segment's header */
	close(fd);
	expect((struct expected){BWT_CORRUPT, 0, WAL_BLOCK});
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "names the end"), NULL);
}

static void a_rejected_record_is_judged_like_a_bad_one(void)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t ends[3], end_lsn, last_seq;
	uint32_t incarnation;

	open_log();
	for (uint64_t id = 0; id < 3; id++)
		ends[id] = record_put_durable(wal, id, 100);
	for (unsigned reject = 0; reject < 3; reject++) {
		CU_ASSERT_EQUAL_FATAL(wal_reader_open(fixture_dir_fd, FIXTURE_STORE_ID, WAL_BLOCK,
		                                      false, &reader),
		                      BWT_OK);
		for (unsigned i = 0; i <= reject; i++)
			CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
		CU_ASSERT_EQUAL(wal_reader_reject(reader), reject == 2 ? BWT_NOT_FOUND : BWT_CORRUPT);
		CU_ASSERT_EQUAL(wal_reader_next(reader, &record),
		                reject == 2 ? BWT_NOT_FOUND : BWT_CORRUPT);
		wal_reader_end(reader, &end_lsn, &incarnation, &last_seq);
		CU_ASSERT_EQUAL(end_lsn, reject == 0 ? WAL_BLOCK : ends[reject - 1]);
		CU_ASSERT_EQUAL(last_seq, 1);
		wal_reader_close(reader);
	}
}

static void a_file_cut_short_is_damage(void)
{
	struct found *found;
	int fd;

	open_log();
	record_put_durable(wal, 0, 100);
	close_log();
	fd = segment_file(1);
	CU_ASSERT_EQUAL(ftruncate(fd, 100000), 0);
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->rc, BWT_CORRUPT);
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "0000000000000001.wal"), NULL);
	free(found);
	close(fd);
}

/* A log whose last record begins @room bytes before the end of the first segment; its second file is gone. */
static void lose_the_second_file(uint64_t room)
{
	uint64_t limit = WAL_BLOCK + WAL_SEGMENT_MIN - WAL_HEADER_SIZE, at = WAL_BLOCK;
	char name[WAL_NAME_SIZE];

	open_log();
	while (limit - room - at > 4096)
		at = record_put_durable(wal, 0, 1000);
	at = record_put_durable(wal, 0, (uint32_t)(limit - room - at - sizeof(struct wal_frame)));
	CU_ASSERT_EQUAL_FATAL(at, limit - room);
	record_put_durable(wal, 0, 500);
	close_log();
	wal_segment_name(name, 2);
	CU_ASSERT_EQUAL(unlinkat(fixture_dir_fd, name, 0), 0);
}

static void a_newest_file_that_is_gone_is_damage_where_a_record_reaches_into_it(void)
{
	for (uint64_t room = 0; room < 200; room += WAL_ALIGN) {
		struct found *found;

		lose_the_second_file(room);
		found = read_all(fixture_dir_fd, 0);
		/* Nothing tells of a file that begins with a record of its own. */
		CU_ASSERT_EQUAL(found->rc, room == 0 ? BWT_NOT_FOUND : BWT_CORRUPT);
		CU_ASSERT_EQUAL(found->end_lsn, WAL_BLOCK + WAL_SEGMENT_MIN - WAL_HEADER_SIZE - room);
		CU_ASSERT_TRUE(room == 0 || strstr(bwt_detail(), "is missing") != NULL);
		free(found);
		tear_down();
		set_up();
	}
}

static void files_of_another_store_are_refused(void)
{
	struct wal_reader *reader;

	open_log();
	record_put_durable(wal, 0, 100);
	CU_ASSERT_EQUAL(
		wal_reader_open(fixture_dir_fd, FIXTURE_STORE_ID + 1, WAL_BLOCK, true, &reader),
		BWT_CORRUPT);
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "another store"), NULL);
}

/* --- Lives --- */

static void each_life_continues_the_log(void)
{
	uint64_t id = 0, last = 0;

	open_log();
	for (unsigned life = 0; life < 10; life++) {
		for (unsigned i = 0; i < life; i++)
			last = record_put_durable(wal, id++, FIXTURE_SIZE_BY_ID);
		close_log();
		wal = fixture_reopen(fixture_config(), 0);
		CU_ASSERT_TRUE(wal_tail(wal) >= last);
		CU_ASSERT_EQUAL(wal_tail(wal) % WAL_BLOCK, 0);
		CU_ASSERT_TRUE(wal_tail(wal) < last + WAL_BLOCK || life == 0);
	}
	close_log();
	expect((struct expected){BWT_NOT_FOUND, id, wal_round_up(last, WAL_BLOCK)});
}

/* A record that was on the disk but torn away by the reader's verdict must not come back. */
static void records_beyond_the_end_of_their_life_never_come_back(void)
{
	uint64_t ends[ACKNOWLEDGED + GROUP];
	int fd;

	write_group(ends);
	fd = segment_file(1);
	file_flip(fd, off_of(ends[4] + 30)); /* record 5 of 9 is torn, 6 to 8 are whole */
	wal = fixture_reopen(fixture_config(), 0);
	record_put_durable(wal, 100, 100);
	file_flip(fd, off_of(ends[4] + 30)); /* and now even 5 is whole again */
	close(fd);
	{
		struct found *found = read_all(fixture_dir_fd, 0);

		CU_ASSERT_EQUAL(found->rc, BWT_NOT_FOUND);
		CU_ASSERT_EQUAL(found->count, 6);
		CU_ASSERT_TRUE(found_id(found, 4));
		CU_ASSERT_FALSE(found_id(found, 5));
		CU_ASSERT_TRUE(found_id(found, 100));
		free(found);
	}
}

static void the_log_of_a_life_whose_predecessor_is_missing_is_damage(void)
{
	struct found *found;

	open_log();
	record_put_durable(wal, 0, 100);
	for (unsigned i = 0; i < 2; i++) {
		close_log();
		wal = fixture_reopen(fixture_config(), 0);
		record_put_durable(wal, i + 1, 100);
	}
	close_log();
	CU_ASSERT_EQUAL(unlinkat(fixture_dir_fd, "0000000000000002.wal", 0), 0);
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->open_rc, BWT_CORRUPT);
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "0000000000000003.wal"), NULL);
	free(found);
}

static void a_record_across_the_named_end_of_its_life_is_damage(void)
{
	struct wal_segment_head head;
	uint64_t ends[2];
	int fd;

	open_log();
	ends[0] = record_put_durable(wal, 0, 100);
	ends[1] = record_put_durable(wal, 1, 100);
	close_log();
	wal = fixture_reopen(fixture_config(), 0);
	record_put_durable(wal, 2, 100);
	close_log();
	fd = segment_file(2);
	CU_ASSERT_EQUAL(pread(fd, &head, sizeof head, 0), (ssize_t)sizeof head);
	CU_ASSERT_EQUAL(head.prev_end_lsn, ends[1]);
	head.prev_end_lsn = ends[1] - 16;
	seal_head(&head);
	write_head(fd, &head);
	close(fd);
	expect((struct expected){BWT_CORRUPT, 1, ends[0]});
}

/* The frames of one store's first life, pasted under the header of another's. */
static void paste_other_incarnation(void)
{
	uint8_t frames[4 * WAL_BLOCK];
	int fd;

	open_log();
	for (uint64_t id = 0; id < 5; id++)
		record_put_durable(wal, id, 100);
	close_log();
	fd = segment_file(1);
	CU_ASSERT_EQUAL(pread(fd, frames, sizeof frames, WAL_HEADER_SIZE), (ssize_t)sizeof frames);
	close(fd);
	tmpstore_clear(fixture_dir);
	open_log();
	close_log();
	fd = segment_file(1);
	CU_ASSERT_EQUAL(pwrite(fd, frames, sizeof frames, WAL_HEADER_SIZE), (ssize_t)sizeof frames);
	close(fd);
}

static void frames_of_another_incarnation_do_not_count(void)
{
	paste_other_incarnation();
	expect((struct expected){BWT_NOT_FOUND, 0, WAL_BLOCK});
}

/* --- Planted faults: what the rules are there for --- */

static void without_the_incarnation_old_frames_would_come_back(void)
{
	struct found *found;

	paste_other_incarnation();
	testpoint_set("wal_accept_incarnation", 0, NULL, NULL);
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->count, 5);
	free(found);
}

static void without_the_crc_wrong_bytes_would_be_read(void)
{
	struct found *found;
	int fd;

	open_log();
	for (uint64_t id = 0; id < 3; id++)
		record_put_durable(wal, id, 100);
	close_log();
	fd = segment_file(1);
	file_flip(fd, off_of(WAL_BLOCK + 60));
	close(fd);
	expect((struct expected){BWT_CORRUPT, 0, WAL_BLOCK});
	testpoint_set("wal_ignore_crc", 0, NULL, NULL);
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->bad, 1);
	free(found);
}

/* --- Hostile bytes --- */

static uint64_t odd_number(struct rng *rng)
{
	static const uint64_t odd[] = {0,      1,          16,         4096,
	                               8192,   UINT32_MAX, UINT64_MAX, INT64_MAX,
	                               253952, 1ull << 62, 1ull << 61, (1ull << 62) - 4096};

	return rng_chance(rng, 70) ? odd[rng_below(rng, sizeof odd / sizeof odd[0])] : rng_u64(rng);
}

static void check_outcome(const struct found *found)
{
	int rc = found->open_rc < 0 ? found->open_rc : found->rc;

	CU_ASSERT_TRUE(rc == BWT_NOT_FOUND || rc == BWT_CORRUPT || rc == BWT_VERSION);
	CU_ASSERT_EQUAL(found->bad, 0);
}

/* Three lives; then headers with good CRCs and wild numbers, or damage anywhere. */
static void no_stored_bytes_crash_the_reader(void)
{
	unsigned rounds = suite_short() ? 100 : 1000;
	uint64_t ends[ACKNOWLEDGED + GROUP];
	char saved[TMPSTORE_PATH_MAX];
	struct rng rng;

	rng_init(&rng, rng_seed());
	write_group(ends);
	for (unsigned i = 0; i < 2; i++) {
		wal = fixture_reopen(fixture_config(), 0);
		record_put_durable(wal, 100 + i, FIXTURE_SIZE_BY_ID);
		close_log();
	}
	tmpstore_new(saved);
	tmpstore_copy(fixture_dir, saved);
	for (unsigned round = 0; round < rounds; round++) {
		int fd = segment_file(rng_range(&rng, 1, 3));
		struct wal_segment_head head;
		struct found *found;

		CU_ASSERT_EQUAL(pread(fd, &head, sizeof head, 0), (ssize_t)sizeof head);
		for (unsigned i = 0; i < 3 && round % 2 == 0; i++) {
			uint64_t *fields[] = {&head.start_lsn, &head.capacity, &head.prev_end_lsn,
			                      &head.seq};

			*fields[rng_below(&rng, 4)] = odd_number(&rng);
			if (rng_chance(&rng, 20))
				head.incarnation = (uint32_t)odd_number(&rng);
			if (rng_chance(&rng, 20))
				head.prev_incarnation = (uint32_t)odd_number(&rng);
		}
		seal_head(&head);
		write_head(fd, &head);
		for (unsigned i = 0; i < 3 && round % 2 == 1; i++)
			file_flip(fd, rng_below(&rng, 3 * WAL_HEADER_SIZE));
		close(fd);
		found = read_all(fixture_dir_fd,
		                 rng_chance(&rng, 80) ? 0 : odd_number(&rng) & ~15ull);
		check_outcome(found);
		free(found);
		if (round % 4 == 3)
			tmpstore_copy(saved, fixture_dir);
	}
	tmpstore_free(saved);
}

static void look_alikes_of_frames_do_not_make_the_search_endless(void)
{
	struct wal_frame frame = {0};
	struct found *found;
	struct wal_segment_head head;
	uint8_t *bytes;
	size_t size = WAL_SEGMENT_MIN - WAL_HEADER_SIZE;
	int fd;

	open_log();
	close_log();
	fd = segment_file(1);
	CU_ASSERT_EQUAL(pread(fd, &head, sizeof head, 0), (ssize_t)sizeof head);
	bytes = calloc(1, size);
	for (uint64_t at = 32; at + 32 <= size; at += 32) {
		frame.lsn = head.start_lsn + at;
		frame.incarnation = head.incarnation;
		frame.len_type = (uint32_t)((size - at) & ~15ull) | WAL_OP << 24;
		memcpy(bytes + at, &frame, sizeof frame);
	}
	CU_ASSERT_EQUAL(pwrite(fd, bytes, size, WAL_HEADER_SIZE), (ssize_t)size);
	found = read_all(fixture_dir_fd, 0);
	CU_ASSERT_EQUAL(found->rc, BWT_CORRUPT);
	CU_ASSERT_NOT_EQUAL(strstr(bwt_detail(), "look-alikes"), NULL);
	free(found);
	free(bytes);
	close(fd);
}

/* ---- live: beside the writer ---- */

static struct wal_reader *open_live(uint64_t lsn)
{
	struct wal_reader *reader = NULL;

	CU_ASSERT_EQUAL_FATAL(wal_reader_open_live(fixture_dir_fd, FIXTURE_STORE_ID, lsn,
	                                           wal_durable_lsn(wal), &reader),
	                      BWT_OK);
	return reader;
}

static void a_live_reader_goes_as_far_as_the_log_is_durable_and_on_later(void)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t ends[4];

	open_log();
	reader = open_live(WAL_BLOCK);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_NOT_FOUND);
	for (unsigned i = 0; i < 4; i++) {
		/* The second one is in the block that the first one's window has: it is read anew. */
		ends[i] = record_put(wal, i + 1, 100);
		CU_ASSERT_EQUAL(wal_flush(wal, false), BWT_OK);
		wal_reader_allow(reader, wal_durable_lsn(wal));
		CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_NOT_FOUND); /* written only */
		CU_ASSERT_EQUAL(wal_wait(wal, ends[i]), BWT_OK);
		CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_NOT_FOUND); /* nobody said so */
		wal_reader_allow(reader, wal_durable_lsn(wal));
		CU_ASSERT_EQUAL_FATAL(wal_reader_next(reader, &record), BWT_OK);
		CU_ASSERT_EQUAL(record.end_lsn, ends[i]);
		CU_ASSERT_EQUAL(wal_reader_position(reader), ends[i]);
	}
	wal_reader_close(reader);
}

static void a_live_reader_knows_the_segments_that_were_there(void)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t position, count = 0, id = 1;
	int rc;

	open_log();
	reader = open_live(WAL_BLOCK);
	for (; wal_file_bytes(wal) < (uint64_t)2 << 20; id++)
		record_put_durable(wal, id, 30000);
	wal_reader_allow(reader, wal_durable_lsn(wal));
	while ((rc = wal_reader_next(reader, &record)) == BWT_OK)
		count++;
	CU_ASSERT_EQUAL(rc, BWT_CORRUPT);
	position = wal_reader_position(reader);
	CU_ASSERT_TRUE(count > 0 && position < wal_durable_lsn(wal));
	wal_reader_close(reader);
	reader = open_live(position);
	while ((rc = wal_reader_next(reader, &record)) == BWT_OK)
		count++;
	CU_ASSERT_EQUAL(rc, BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(count, id - 1);
	CU_ASSERT_EQUAL(wal_reader_position(reader), wal_durable_lsn(wal));
	wal_reader_close(reader);
}

static void a_live_reader_refuses_what_is_no_record(void)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t end;

	open_log();
	end = record_put_durable(wal, 1, 1000);
	reader = open_live(WAL_BLOCK + 16);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_CORRUPT);
	wal_reader_close(reader);
	reader = open_live(end - 16); /* less than a frame's head before what is durable */
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_CORRUPT);
	wal_reader_close(reader);
}

static void a_live_reader_goes_from_life_to_life(void)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t first_end;

	open_log();
	first_end = record_put_durable(wal, 1, 100);
	close_log();
	wal = fixture_reopen(fixture_config(), 0);
	record_put_durable(wal, 2, 100);
	for (unsigned i = 0; i < 2; i++) {
		reader = open_live(i == 0 ? WAL_BLOCK : first_end);
		if (i == 0)
			CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
		CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
		CU_ASSERT_EQUAL(record.incarnation, wal_incarnation(wal));
		CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_NOT_FOUND);
		wal_reader_close(reader);
	}
}

/* --- Closed (L6) --- */

/* Records from the beginning on, where a superblock says that @incarnation closed the log at @closed. */
static void expect_closed(uint64_t closed, uint32_t incarnation, uint64_t count, int rc)
{
	struct wal_reader *reader;
	struct wal_record record;

	CU_ASSERT_EQUAL_FATAL(
		wal_reader_open(fixture_dir_fd, FIXTURE_STORE_ID, WAL_BLOCK, true, &reader), BWT_OK);
	wal_reader_closed(reader, closed, incarnation);
	for (uint64_t i = 0; i < count; i++)
		CU_ASSERT_EQUAL(wal_reader_next(reader, &record), BWT_OK);
	CU_ASSERT_EQUAL(wal_reader_next(reader, &record), rc);
	wal_reader_close(reader);
}

static void a_closed_log_ends_there_and_nothing_behind_is_looked_at(void)
{
	uint64_t ends[3];
	uint32_t incarnation;
	int fd;

	open_log();
	for (uint64_t id = 0; id < 3; id++)
		ends[id] = record_put_durable(wal, id, 100);
	incarnation = wal_incarnation(wal);
	close_log();
	fd = segment_file(1);
	file_flip(fd, off_of(ends[0]));
	close(fd);
	expect_closed(ends[0], incarnation, 1, BWT_NOT_FOUND);
	expect_closed(ends[0], incarnation + 1, 1, BWT_CORRUPT);
	expect_closed(ends[1], incarnation, 1, BWT_CORRUPT);
	expect_closed(ends[0], 0, 1, BWT_CORRUPT);
}

static void a_life_that_began_where_the_log_was_closed_is_read(void)
{
	uint64_t closed;
	uint32_t incarnation;

	open_log();
	(void)record_put_durable(wal, 0, 100);
	incarnation = wal_incarnation(wal);
	close_log();
	wal = fixture_reopen(fixture_config(), 0);
	closed = wal_tail(wal); /* what a life closes at that wrote nothing */
	(void)record_put_durable(wal, 1, 100);
	close_log();
	expect_closed(WAL_BLOCK, incarnation, 2, BWT_NOT_FOUND);
	expect_closed(closed, incarnation, 2, BWT_NOT_FOUND);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(an_empty_folder_is_an_empty_log),
		TEST(a_closed_log_ends_there_and_nothing_behind_is_looked_at),
		TEST(a_life_that_began_where_the_log_was_closed_is_read),
		TEST(reading_may_begin_at_any_record),
		TEST(position_and_extent_tell_of_progress),
		TEST(a_start_that_no_segment_holds_is_damage),
		TEST(a_tail_torn_to_zeroes_at_any_position_ends_the_log_there),
		TEST(a_tail_torn_to_garbage_at_any_position_ends_the_log_there),
		TEST(any_lost_sector_of_the_last_group_ends_the_log_before_it),
		TEST(a_bad_record_that_a_later_one_calls_durable_is_damage),
		TEST(a_log_cut_short_by_a_later_segment_is_damage_where_it_is_bad),
		TEST(a_rejected_record_is_judged_like_a_bad_one),
		TEST(a_file_cut_short_is_damage),
		TEST(a_newest_file_that_is_gone_is_damage_where_a_record_reaches_into_it),
		TEST(files_of_another_store_are_refused),
		TEST(each_life_continues_the_log),
		TEST(records_beyond_the_end_of_their_life_never_come_back),
		TEST(the_log_of_a_life_whose_predecessor_is_missing_is_damage),
		TEST(a_record_across_the_named_end_of_its_life_is_damage),
		TEST(frames_of_another_incarnation_do_not_count),
		TEST(without_the_incarnation_old_frames_would_come_back),
		TEST(without_the_crc_wrong_bytes_would_be_read),
		TEST(no_stored_bytes_crash_the_reader),
		TEST(look_alikes_of_frames_do_not_make_the_search_endless),
		TEST(a_live_reader_goes_as_far_as_the_log_is_durable_and_on_later),
		TEST(a_live_reader_knows_the_segments_that_were_there),
		TEST(a_live_reader_refuses_what_is_no_record),
		TEST(a_live_reader_goes_from_life_to_life),
		CU_TEST_INFO_NULL,
	};
	return suite_run("wal_reader", set_up, tear_down, tests);
}
