/* SPDX-License-Identifier: MIT */
/* test_vlog.c - appending large values, beside each other, and making them durable with the log */
#include "log/vlog.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/testpoint.h"
#include "log/vlog_private.h"
#include "log/wal_private.h"
#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define SEGMENT ((uint64_t)256 << 10)
#define THREADS 4u

static struct vlog *vlog;

static struct vlog_config config(void)
{
	return (struct vlog_config){
		.dir_fd = fixture_dir_fd, .store_id = FIXTURE_STORE_ID, .segment_size = SEGMENT};
}

static void open_again(const struct vlog_config *with)
{
	vlog_close(vlog);
	vlog = NULL;
	CU_ASSERT_EQUAL_FATAL(vlog_open(with, &vlog), BWT_OK);
}

static void set_up(void)
{
	struct vlog_config with;

	fixture_set_up();
	with = config();
	vlog = NULL;
	open_again(&with);
}

static void tear_down(void)
{
	testpoint_reset();
	vlog_close(vlog);
	fixture_tear_down();
}

/* Bytes that follow from @id. */
static uint8_t *value_of(uint64_t id, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	struct rng rng;

	rng_init(&rng, id);
	rng_fill(&rng, bytes, size);
	return bytes;
}

static int append(uint64_t id, size_t size, struct value_ref *ref)
{
	uint8_t *bytes = value_of(id, size);
	int rc = vlog_append(vlog, 2, (uint32_t)id, (struct bwt_slice){bytes, size}, PACK_NONE, ref);

	free(bytes);
	return rc;
}

static struct value_ref append_ok(uint64_t id, size_t size)
{
	struct value_ref ref = {0};

	CU_ASSERT_EQUAL_FATAL(append(id, size, &ref), BWT_OK);
	CU_ASSERT_EQUAL(ref.size, size);
	return ref;
}

static void expect_value(const struct value_ref *ref, uint64_t id)
{
	uint8_t *bytes = value_of(id, ref->size), *read = malloc(ref->size + 1);

	CU_ASSERT_EQUAL(vlog_read(vlog, ref, read), BWT_OK);
	CU_ASSERT_EQUAL(memcmp(bytes, read, ref->size), 0);
	CU_ASSERT_EQUAL(vlog_check(vlog, ref), BWT_OK);
	free(bytes);
	free(read);
}

static void what_was_appended_is_read_back(void)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, (16 << 10), (16 << 10) + 1, 100000};
	struct value_ref refs[9];

	for (unsigned i = 0; i < 9; i++)
		refs[i] = append_ok(i, sizes[i]);
	for (unsigned i = 0; i < 9; i++) {
		CU_ASSERT_EQUAL(refs[i].segment, 1);
		CU_ASSERT_EQUAL(refs[i].offset % 16, 0);
		expect_value(&refs[i], i);
	}
	CU_ASSERT_EQUAL(vlog_next_segment(vlog), 2);
}

static void no_file_is_made_before_there_is_a_value(void)
{
	CU_ASSERT_EQUAL(count_files(".vlog"), 0);
	CU_ASSERT_EQUAL(vlog_next_segment(vlog), 1);
	CU_ASSERT_EQUAL(vlog_file_bytes(vlog), 0);
}

static void a_full_file_is_followed_by_a_new_one(void)
{
	struct value_ref refs[40];

	for (unsigned i = 0; i < 40; i++)
		refs[i] = append_ok(i, 30000);
	CU_ASSERT_EQUAL(refs[39].segment, 5);
	CU_ASSERT_EQUAL(count_files(".vlog"), 5);
	for (unsigned i = 0; i < 40; i++)
		expect_value(&refs[i], i);
}

static void values_around_the_segment_size_fit(void)
{
	size_t head = sizeof(struct vlog_record);
	struct value_ref ref;

	for (size_t size = SEGMENT - head - 17; size <= SEGMENT - head + 17; size++) {
		ref = append_ok(size, size);
		expect_value(&ref, size);
		CU_ASSERT_EQUAL(ref.offset, 0);
	}
}

static void a_value_larger_than_a_file_gets_one_of_its_own(void)
{
	struct value_ref before = append_ok(1, 100), large = append_ok(2, 4 * SEGMENT + 5);
	struct value_ref after = append_ok(3, 100);

	CU_ASSERT_EQUAL(large.segment, 2);
	CU_ASSERT_EQUAL(large.offset, 0);
	CU_ASSERT_EQUAL(after.segment, before.segment);
	expect_value(&before, 1);
	expect_value(&large, 2);
	expect_value(&after, 3);
}

static void every_life_begins_a_new_file(void)
{
	struct vlog_config with = config();
	struct value_ref refs[5];

	for (unsigned life = 0; life < 5; life++) {
		refs[life] = append_ok(life, 1000);
		CU_ASSERT_EQUAL(refs[life].segment, life + 1);
		open_again(&with);
	}
	for (unsigned life = 0; life < 5; life++)
		expect_value(&refs[life], life);
	with.next_segment = 100;
	open_again(&with);
	CU_ASSERT_EQUAL(append_ok(9, 10).segment, 100);
	with.next_segment = 3; /* files of a crashed life may be beyond what was noted */
	open_again(&with);
	CU_ASSERT_EQUAL(append_ok(9, 10).segment, 101);
}

static void a_read_only_value_log_reads_and_does_not_append(void)
{
	struct vlog_config with = config();
	struct value_ref ref = append_ok(1, 1000);

	with.readonly = true;
	open_again(&with);
	expect_value(&ref, 1);
	CU_ASSERT_EQUAL(append(2, 10, &ref), BWT_READ_ONLY);
}

static void a_value_of_more_than_the_limit_is_too_big(void)
{
	struct value_ref ref;

	CU_ASSERT_EQUAL(vlog_append(vlog, 1, 1, (struct bwt_slice){"", (size_t)BWT_VALUE_MAX + 1},
	                            PACK_NONE, &ref),
	                BWT_TOO_BIG);
}

static void bytes_of_files_are_counted(void)
{
	struct vlog_config with = config();
	uint64_t bytes;

	append_ok(1, 1000);
	append_ok(2, 24);
	bytes = vlog_file_bytes(vlog);
	CU_ASSERT_EQUAL(bytes, 1040 + 64);
	open_again(&with);
	CU_ASSERT_TRUE(vlog_file_bytes(vlog) <= bytes && vlog_file_bytes(vlog) + 16 > bytes);
}

/* --- Threads --- */

struct appender {
	struct sys_thread *thread;
	struct value_ref refs[200];
	uint64_t first_id;
	unsigned count;
};

static void append_many(void *ctx)
{
	struct appender *self = ctx;

	for (unsigned i = 0; i < self->count; i++)
		self->refs[i] = append_ok(self->first_id + i, (self->first_id + i) * 7919 % 40000);
	for (unsigned i = 0; i < self->count; i++)
		expect_value(&self->refs[i], self->first_id + i);
}

static unsigned syncs(struct sys_io *ops, unsigned room)
{
	unsigned count;

	CU_ASSERT_EQUAL(vlog_value_syncs(vlog, ops, room, &count), BWT_OK);
	return count;
}

static void threads_append_and_read_beside_each_other_and_beside_syncs(void)
{
	static struct appender appenders[THREADS];
	struct sys_io ops[8];
	struct sys_ring *ring;

	CU_ASSERT_EQUAL_FATAL(sys_ring_new(true, NULL, 0, &ring), BWT_OK);
	for (unsigned i = 0; i < THREADS; i++) {
		appenders[i].first_id = i * 1000;
		appenders[i].count = suite_short() ? 20 : 200;
		CU_ASSERT_EQUAL_FATAL(sys_thread_start(append_many, &appenders[i], "appender",
		                                       &appenders[i].thread),
		                      BWT_OK);
	}
	for (unsigned i = 0; i < 50; i++) {
		unsigned count = syncs(ops, 8);

		if (count > 0)
			CU_ASSERT_EQUAL(sys_ring_run(ring, ops, count), BWT_OK);
		sys_yield();
	}
	for (unsigned i = 0; i < THREADS; i++)
		sys_thread_join(appenders[i].thread);
	sys_ring_free(ring);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned k = 0; k < appenders[i].count; k++)
			expect_value(&appenders[i].refs[k], appenders[i].first_id + k);
	}
}

/* --- Syncs --- */

static void each_file_with_unsynced_values_is_synced_once(void)
{
	struct sys_io ops[8];

	CU_ASSERT_EQUAL(syncs(ops, 8), 0);
	append_ok(1, 100);
	append_ok(2, 100);
	append_ok(3, 2 * SEGMENT);
	CU_ASSERT_EQUAL(syncs(ops, 8), 2);
	CU_ASSERT_EQUAL(ops[0].kind, SYS_IO_SYNC);
	CU_ASSERT_NOT_EQUAL(ops[0].fd, ops[1].fd);
	CU_ASSERT_EQUAL(syncs(ops, 8), 0);
	append_ok(4, 100);
	CU_ASSERT_EQUAL(syncs(ops, 8), 1);
}

static void more_files_than_there_is_room_for_are_synced_at_once(void)
{
	struct sys_io ops[4];
	unsigned total = 0, count;

	for (uint64_t id = 0; id < 10; id++)
		append_ok(id, 2 * SEGMENT);
	while ((count = syncs(ops, 4)) > 0) {
		CU_ASSERT_TRUE(count <= 4);
		for (unsigned i = 0; i < count; i++)
			CU_ASSERT_EQUAL(sys_file_sync(ops[i].fd), BWT_OK);
		total += count;
	}
	CU_ASSERT_EQUAL(total, 4);
	CU_ASSERT_EQUAL(atomic_load_explicit(&vlog->dirty_files, memory_order_relaxed), 0);
}

static unsigned open_files(void)
{
	unsigned count = 0;

	for (const struct vlog_file *file = vlog->files; file != NULL; file = file->next)
		count += file->fd >= 0;
	return count;
}

static void files_are_closed_once_full_and_synced_or_when_there_are_too_many(void)
{
	struct sys_io ops[8];

	for (uint64_t id = 0; id < 20; id++)
		append_ok(id, 2 * SEGMENT);
	CU_ASSERT_EQUAL(open_files(), 20);
	syncs(ops, 8);
	append_ok(1, 100);
	syncs(ops, 8);
	CU_ASSERT_EQUAL(open_files(), 1);
	for (uint64_t id = 0; id < 3 * VLOG_UNSYNCED_MAX; id++)
		append_ok(id, VLOG_SEGMENT_MIN + SEGMENT);
	CU_ASSERT_TRUE(open_files() <= VLOG_UNSYNCED_MAX);
}

static void a_file_whose_sync_may_still_run_is_not_closed(void)
{
	struct sys_io ops[8];
	unsigned kept = 0;

	append_ok(1, 100);
	CU_ASSERT_EQUAL(syncs(ops, 8), 1); /* runs from here on */
	append_ok(2, 100);                 /* dirty again, then full */
	append_ok(3, SEGMENT - 200);
	for (uint64_t id = 0; id < 3 * VLOG_UNSYNCED_MAX; id++)
		append_ok(id, 2 * SEGMENT);
	CU_ASSERT_TRUE(open_files() <= VLOG_UNSYNCED_MAX);
	for (const struct vlog_file *file = vlog->files; file != NULL; file = file->next)
		kept += file->number == 1 && file->fd == ops[0].fd;
	CU_ASSERT_EQUAL(kept, 1);
	while (syncs(ops, 8) > 0)
		;
	append_ok(4, 100);
	syncs(ops, 8);
	CU_ASSERT_EQUAL(open_files(), 1);
}

static int value_syncs(void *ctx, struct sys_io *ops, unsigned room, unsigned *count)
{
	return vlog_value_syncs(ctx, ops, room, count);
}

static unsigned vlog_syncs_seen;

static void count_vlog_syncs(const struct sys_io *ops, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		vlog_syncs_seen += ops[i].kind == SYS_IO_SYNC;
}

/* Whether the sync of a value went in the batch that made its record durable. */
static bool value_is_synced_with_its_record(void)
{
	struct wal_config with = fixture_config();
	struct wal *wal;

	with.value_syncs = value_syncs;
	with.ctx = vlog;
	vlog_syncs_seen = 0;
	CU_ASSERT_EQUAL_FATAL(wal_open(&with, &wal), BWT_OK);
	wal_observer = count_vlog_syncs;
	append_ok(1, 100);
	record_put_durable(wal, 1, 100);
	wal_observer = NULL;
	wal_close(wal);
	return vlog_syncs_seen == 1;
}

static void values_are_durable_before_their_records_count(void)
{
	CU_ASSERT_TRUE(value_is_synced_with_its_record());
}

static void a_value_sync_left_out_is_noticed(void)
{
	testpoint_set("wal_skip_value_syncs", 0, NULL, NULL);
	CU_ASSERT_FALSE(value_is_synced_with_its_record());
}

/* V6. Each is told of a failed write once, by a file opened before the write: one for both, and one would not be told. */
static void the_flusher_and_vlog_sync_open_a_file_for_themselves(void)
{
	struct vlog_file *file;
	struct sys_io ops[8];
	int fd;

	append_ok(1, 100);
	file = vlog->files;
	CU_ASSERT_EQUAL(lseek(file->fd, 7, SEEK_SET), 7);
	CU_ASSERT_EQUAL(lseek(file->sync_fd, 0, SEEK_CUR), 0);
	CU_ASSERT_EQUAL(syncs(ops, 8), 1);
	CU_ASSERT_EQUAL(ops[0].fd, file->fd);
	fd = file->fd;
	file->fd = INT_MAX; /* no descriptor */
	CU_ASSERT_EQUAL(vlog_sync(vlog), BWT_OK);
	testpoint_set("vlog_sync_shared", 0, NULL, NULL); /* planted: it is the flusher's after all */
	CU_ASSERT_TRUE(vlog_sync(vlog) < 0);
	file->fd = fd;
}

/* --- Failing --- */

static void limit_files(uint64_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_leaves_a_gap_and_passes(void)
{
	struct value_ref before = append_ok(1, 5000), none, after;

	limit_files(10000);
	CU_ASSERT_EQUAL(append(2, 50000, &none), BWT_FULL);
	CU_ASSERT_EQUAL(append(3, 50000, &none), BWT_FULL);
	limit_files(0);
	after = append_ok(4, 5000);
	expect_value(&before, 1);
	expect_value(&after, 4);
}

/* V5, and the bytes of files are those that unlinking them takes away. */
static void a_large_value_that_does_not_fit_leaves_no_file(void)
{
	uint64_t before;
	struct value_ref none, large = append_ok(1, 3 * SEGMENT);

	append_ok(2, 5000);
	before = vlog_file_bytes(vlog);
	limit_files(2 * SEGMENT);
	CU_ASSERT_EQUAL(append(3, 4 * SEGMENT, &none), BWT_FULL);
	limit_files(0);
	CU_ASSERT_EQUAL(count_files(".vlog"), 2);
	CU_ASSERT_EQUAL(vlog_file_bytes(vlog), before);
	append_ok(4, 4 * SEGMENT);
	CU_ASSERT_EQUAL(count_files(".vlog"), 3);
	expect_value(&large, 1);
}

static void a_gap_is_counted_as_it_is_unlinked(void)
{
	struct value_ref none;

	append_ok(1, 5000);
	limit_files(10000);
	CU_ASSERT_EQUAL(append(2, 50000, &none), BWT_FULL); /* its head may have been written */
	limit_files(0);
	append_ok(3, 5001); /* behind the gap */
	limit_files(80000);
	CU_ASSERT_EQUAL(append(4, 50000, &none), BWT_FULL);
	limit_files(0);
	CU_ASSERT_EQUAL(vlog_unlink(vlog, 1), BWT_OK);
	CU_ASSERT_EQUAL(vlog_file_bytes(vlog), 0);
}

/* V7 */
static void an_active_file_is_given_up_when_many_were_made_since(void)
{
	struct value_ref small = append_ok(1, 100), large = {0};
	struct vlog_tails tails;

	for (unsigned i = 0; i < VLOG_BEHIND_MAX; i++)
		large = append_ok(2 + i, 2 * SEGMENT);
	CU_ASSERT_EQUAL(vlog_append_floor(vlog), small.segment);
	CU_ASSERT_EQUAL(append_ok(100, 100).segment, small.segment);
	vlog_tails(vlog, &tails);
	CU_ASSERT_TRUE(vlog_is_tail(&tails, small.segment));
	CU_ASSERT_FALSE(vlog_is_tail(&tails, large.segment));
	CU_ASSERT_TRUE(vlog_is_tail(&tails, large.segment + 1u));
	large = append_ok(50, 2 * SEGMENT);
	CU_ASSERT_EQUAL(vlog_append_floor(vlog), large.segment + 1u);
	CU_ASSERT_EQUAL(append_ok(101, 100).segment, large.segment + 1);
	vlog_tails(vlog, &tails);
	CU_ASSERT_FALSE(vlog_is_tail(&tails, small.segment));
	CU_ASSERT_TRUE(vlog_is_tail(&tails, large.segment + 1u));
}

static void another_failed_write_is_final_and_fails_the_next_batch_of_syncs(void)
{
	struct value_ref ref = append_ok(1, 100), none;
	struct sys_io ops[8];
	unsigned count;
	int rc;

	syncs(ops, 8);
	close(vlog->files->fd);
	CU_ASSERT_EQUAL(sys_file_open(fixture_dir_fd, "0000000000000001.vlog", SYS_RDONLY,
	                              &vlog->files->fd),
	                BWT_OK);
	rc = append(2, 100, &none);
	CU_ASSERT_TRUE(rc < 0 && rc != BWT_FULL);
	CU_ASSERT_EQUAL(append(3, 100, &none), rc);
	for (unsigned i = 0; i < 2; i++) { /* and every later one */
		CU_ASSERT_EQUAL(vlog_value_syncs(vlog, ops, 8, &count), rc);
		CU_ASSERT_EQUAL(count, 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "0000000000000001.vlog"));
	}
	expect_value(&ref, 1);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(what_was_appended_is_read_back),
		TEST(no_file_is_made_before_there_is_a_value),
		TEST(a_full_file_is_followed_by_a_new_one),
		TEST(values_around_the_segment_size_fit),
		TEST(a_value_larger_than_a_file_gets_one_of_its_own),
		TEST(every_life_begins_a_new_file),
		TEST(a_read_only_value_log_reads_and_does_not_append),
		TEST(a_value_of_more_than_the_limit_is_too_big),
		TEST(bytes_of_files_are_counted),
		TEST(threads_append_and_read_beside_each_other_and_beside_syncs),
		TEST(each_file_with_unsynced_values_is_synced_once),
		TEST(more_files_than_there_is_room_for_are_synced_at_once),
		TEST(files_are_closed_once_full_and_synced_or_when_there_are_too_many),
		TEST(a_file_whose_sync_may_still_run_is_not_closed),
		TEST(values_are_durable_before_their_records_count),
		TEST(a_value_sync_left_out_is_noticed),
		TEST(the_flusher_and_vlog_sync_open_a_file_for_themselves),
		TEST(a_full_disk_leaves_a_gap_and_passes),
		TEST(a_large_value_that_does_not_fit_leaves_no_file),
		TEST(a_gap_is_counted_as_it_is_unlinked),
		TEST(an_active_file_is_given_up_when_many_were_made_since),
		TEST(another_failed_write_is_final_and_fails_the_next_batch_of_syncs),
		CU_TEST_INFO_NULL,
	};
	return suite_run("vlog", set_up, tear_down, tests);
}
