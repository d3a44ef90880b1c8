/* SPDX-License-Identifier: MIT */
/*
 * test_ring.c - both engines behind ring.h obey the same rules
 *
 * Most tests run once with each engine. Where io_uring is forbidden on this machine the first round
 * is with plain calls too, which main() says.
 */
#include "sys/ring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "bwt.h"
#include "sys/file.h"
#include "sys/ring_engine.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tests/unit/sys/child.h"

#define BUFFER_SIZE ((size_t)1 << 20)
#define BLOCK 4096u

static char dir[TMPSTORE_PATH_MAX];
static int dir_fd, file;
static uint8_t *buffer; /* registered with the ring under test */

static void set_up(void)
{
	buffer = aligned_alloc(BLOCK, BUFFER_SIZE);
	tmpstore_new(dir);
	if (buffer == NULL || sys_dir_open(dir, &dir_fd) < 0 ||
	    sys_file_open(dir_fd, "log", SYS_CREATE, &file) < 0)
		abort();
	memset(buffer, 0, BUFFER_SIZE);
}

static void tear_down(void)
{
	sys_file_close(file);
	sys_file_close(dir_fd);
	tmpstore_free(dir);
	free(buffer);
}

static struct sys_ring *new_ring(bool plain)
{
	struct sys_ring *ring = NULL;

	CU_ASSERT_EQUAL_FATAL(sys_ring_new(plain, buffer, BUFFER_SIZE, &ring), BWT_OK);
	return ring;
}

static void with_both(void (*body)(struct sys_ring *ring))
{
	for (int plain = 0; plain < 2; plain++) {
		struct sys_ring *ring = new_ring(plain != 0);

		body(ring);
		sys_ring_free(ring);
	}
}

static struct sys_io io_of(enum sys_io_kind kind, void *data, size_t size, uint64_t off)
{
	return (struct sys_io){
		.kind = kind, .fd = file, .data = data, .size = size, .off = off, .rc = 99};
}

static bool file_has(const void *bytes, size_t size, uint64_t off)
{
	uint8_t *back = malloc(size);
	bool same = back != NULL && sys_file_read(file, back, size, off) == BWT_OK &&
	            memcmp(back, bytes, size) == 0;

	free(back);
	return same;
}

static unsigned open_descriptors(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned count = 0;

	if (list == NULL)
		abort();
	while (readdir(list) != NULL) /* NOLINT(concurrency-mt-unsafe): a stream of our own */
		count++;
	closedir(list);
	return count;
}

/* --- Plain use --- */

static void write_durably(struct sys_ring *ring)
{
	struct sys_io io = io_of(SYS_IO_WRITE_DURABLE, buffer, BLOCK, BLOCK);

	memset(buffer, 'w', BLOCK);
	CU_ASSERT_EQUAL(sys_ring_run(ring, &io, 1), BWT_OK);
	CU_ASSERT_EQUAL(io.rc, BWT_OK);
	CU_ASSERT_TRUE(file_has(buffer, BLOCK, BLOCK));
}

static void a_durable_write_is_in_the_file(void)
{
	with_both(write_durably);
}

static void run_full_batch(struct sys_ring *ring)
{
	struct sys_io io[SYS_RING_BATCH_MAX];

	for (unsigned i = 0; i < SYS_RING_BATCH_MAX; i++) {
		memset(buffer + i * BLOCK, (int)(i + 1), BLOCK);
		io[i] = io_of(i % 2 == 0 ? SYS_IO_WRITE_DURABLE : SYS_IO_WRITE, buffer + i * BLOCK,
		              BLOCK, (uint64_t)(SYS_RING_BATCH_MAX - i) * BLOCK);
	}
	for (unsigned again = 0; again < 3; again++)
		CU_ASSERT_EQUAL(sys_ring_run(ring, io, SYS_RING_BATCH_MAX), BWT_OK);
	for (unsigned i = 0; i < SYS_RING_BATCH_MAX; i++) {
		CU_ASSERT_EQUAL(io[i].rc, BWT_OK);
		CU_ASSERT_TRUE(file_has(buffer + i * BLOCK, BLOCK, io[i].off));
	}
}

/* What run_full_batch() wrote. */
static bool file_has_batch(void)
{
	bool all = true;

	for (unsigned i = 0; i < SYS_RING_BATCH_MAX; i++)
		all = all && file_has(buffer + i * BLOCK, BLOCK,
		                      (uint64_t)(SYS_RING_BATCH_MAX - i) * BLOCK);
	return all;
}

static void the_largest_batch_is_done_whole(void)
{
	with_both(run_full_batch);
}

static void mix_kinds(struct sys_ring *ring)
{
	char text[] = "in the other file", back[8] = "";
	struct sys_io io[5];
	int other;

	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "values", SYS_CREATE, &other), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_write(file, "already", 7, 0), BWT_OK);
	sys_ring_register_file(ring, file);
	io[0] = io_of(SYS_IO_READ, back, 7, 0);
	io[1] = io_of(SYS_IO_SYNC, NULL, 0, 0);
	io[2] = io_of(SYS_IO_WRITE_DURABLE, text, sizeof text, 3);
	io[2].fd = other;
	io[3] = io_of(SYS_IO_WRITE, buffer, 0, 0); /* nothing to write */
	io[4] = io_of(SYS_IO_SYNC, NULL, 0, 0);
	io[4].fd = other;
	CU_ASSERT_EQUAL(sys_ring_run(ring, io, 5), BWT_OK);
	CU_ASSERT_STRING_EQUAL(back, "already");
	for (unsigned i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(io[i].rc, BWT_OK);
	memset(text, 0, sizeof text);
	CU_ASSERT_EQUAL(sys_file_read(other, text, sizeof text, 3), BWT_OK);
	CU_ASSERT_STRING_EQUAL(text, "in the other file");
	sys_file_close(other);
}

static void reads_writes_and_syncs_of_several_files_share_a_batch(void)
{
	with_both(mix_kinds);
}

static void write_around_the_buffer(struct sys_ring *ring)
{
	uint8_t *outside = aligned_alloc(BLOCK, BLOCK);
	struct sys_io io[3];

	if (outside == NULL)
		abort();
	memset(outside, 'o', BLOCK);
	memset(buffer, 'f', BLOCK);
	memset(buffer + BUFFER_SIZE - BLOCK, 'l', BLOCK);
	io[0] = io_of(SYS_IO_WRITE_DURABLE, outside, BLOCK, 0);
	io[1] = io_of(SYS_IO_WRITE_DURABLE, buffer + BUFFER_SIZE - BLOCK, BLOCK, BLOCK);
	io[2] = io_of(SYS_IO_WRITE_DURABLE, buffer, BUFFER_SIZE, (uint64_t)2 * BLOCK);
	CU_ASSERT_EQUAL(sys_ring_run(ring, io, 3), BWT_OK);
	CU_ASSERT_TRUE(file_has(outside, BLOCK, 0));
	CU_ASSERT_TRUE(file_has(buffer + BUFFER_SIZE - BLOCK, BLOCK, BLOCK));
	CU_ASSERT_TRUE(file_has(buffer, BUFFER_SIZE, (uint64_t)2 * BLOCK));
	free(outside);
}

static void data_may_lie_in_the_registered_buffer_or_elsewhere(void)
{
	with_both(write_around_the_buffer);
}

static void change_registered_file(struct sys_ring *ring)
{
	int other;

	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "next", SYS_CREATE, &other), BWT_OK);
	sys_ring_register_file(ring, file);
	write_durably(ring);
	sys_ring_register_file(ring, other);
	write_durably(ring); /* still to the first file */
	sys_ring_register_file(ring, file);
	sys_ring_register_file(ring, 9999); /* is not open: taken as none */
	write_durably(ring);
	sys_ring_register_file(ring, file);
	sys_ring_register_file(ring, -1);
	write_durably(ring);
	sys_file_close(other);
}

static void the_registered_file_may_change_or_be_none(void)
{
	with_both(change_registered_file);
}

static void write_directly(struct sys_ring *ring)
{
	struct sys_io io[2];
	int direct;

	if (sys_file_open(dir_fd, "direct", SYS_CREATE | SYS_DIRECT, &direct) < 0)
		return; /* the file system refuses it; test_file.c covers that */
	memset(buffer, 'd', (size_t)2 * BLOCK);
	io[0] = io_of(SYS_IO_WRITE_DURABLE, buffer, BLOCK, BLOCK);
	io[1] = io_of(SYS_IO_WRITE_DURABLE, buffer + BLOCK, BLOCK, 0);
	io[0].fd = io[1].fd = direct;
	CU_ASSERT_EQUAL(sys_ring_run(ring, io, 2), BWT_OK);
	io[1].data = buffer + 1; /* tmpfs would take it, a disk cannot */
	CU_ASSERT_TRUE(sys_ring_run(ring, io, 2) == io[1].rc);
	CU_ASSERT_TRUE(io[1].rc == -EINVAL || io[1].rc == BWT_OK);
	CU_ASSERT_EQUAL(io[0].rc, BWT_OK);
	sys_file_close(direct);
}

static void direct_files_are_written_and_crooked_data_is_refused(void)
{
	with_both(write_directly);
}

static void count_bytes(struct sys_ring *ring)
{
	uint64_t before = sys_file_bytes_written();
	struct sys_io io[4];

	io[0] = io_of(SYS_IO_WRITE, buffer, 1000, 0);
	io[1] = io_of(SYS_IO_WRITE_DURABLE, buffer, BLOCK, BLOCK);
	io[2] = io_of(SYS_IO_SYNC, NULL, 0, 0);
	io[3] = io_of(SYS_IO_READ, buffer + BLOCK, 10, 0);
	CU_ASSERT_EQUAL(sys_ring_run(ring, io, 3), BWT_OK);
	CU_ASSERT_EQUAL(sys_ring_run(ring, &io[3], 1), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_bytes_written() - before, 1000 + BLOCK);
}

static void written_bytes_are_counted_and_no_others(void)
{
	with_both(count_bytes);
}

/* --- Failures --- */

static void fail_some(struct sys_ring *ring)
{
	char back[16];
	struct sys_io io[5];
	int read_only;

	CU_ASSERT_EQUAL(sys_file_truncate(file, 10), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(dir_fd, "log", SYS_RDONLY, &read_only), BWT_OK);
	io[0] = io_of(SYS_IO_WRITE, "fine", 4, 4);
	io[1] = io_of(SYS_IO_READ, back, 16, 0);
	io[2] = io_of(SYS_IO_WRITE_DURABLE, "refused", 7, 0);
	io[2].fd = read_only;
	io[3] = io_of(SYS_IO_SYNC, NULL, 0, 0);
	io[3].fd = -1;
	io[4] = io_of(SYS_IO_WRITE_DURABLE, "good", 4, 0);
	CU_ASSERT_EQUAL(sys_ring_run(ring, io, 5), BWT_CORRUPT); /* the first of three failures */
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "shorter than"));
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "/log"));
	CU_ASSERT_EQUAL(io[0].rc, BWT_OK);
	CU_ASSERT_EQUAL(io[1].rc, BWT_CORRUPT);
	CU_ASSERT_EQUAL(io[2].rc, -EBADF);
	CU_ASSERT_EQUAL(io[3].rc, -EBADF);
	CU_ASSERT_EQUAL(io[4].rc, BWT_OK);
	CU_ASSERT_TRUE(file_has("goodfine", 8, 0));
	CU_ASSERT_EQUAL(sys_ring_run(ring, &io[2], 2), -EBADF);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "write "));
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "/log at offset 0"));
	write_durably(ring);
	sys_file_close(read_only);
}

static void a_failed_operation_is_named_and_stops_no_other(void)
{
	with_both(fail_some);
}

static bool plain_in_child;

static void write_to_the_limit(void)
{
	struct sys_ring *ring = new_ring(plain_in_child);
	struct sys_io io[3];

	signal(SIGXFSZ, SIG_IGN);
	child_limit_file_size(10000);
	memset(buffer, 'x', 20000);
	io[0] = io_of(SYS_IO_WRITE, buffer, 20000, 0);
	io[1] = io_of(SYS_IO_WRITE_DURABLE, buffer, 20000, 5000);
	io[2] = io_of(SYS_IO_WRITE_DURABLE, buffer, 100, 9900);
	CHILD_CHECK(sys_ring_run(ring, io, 3) == BWT_FULL);
	CHILD_CHECK(io[0].rc == BWT_FULL && io[1].rc == BWT_FULL && io[2].rc == BWT_OK);
	CHILD_CHECK(strstr(bwt_detail(), "at offset 10000") != NULL); /* how far it came */
	CHILD_CHECK(file_has(buffer, 10000, 0)); /* the short part was written */
	sys_ring_free(ring);
}

static void a_short_write_is_continued_and_ends_in_its_reason(void)
{
	for (int plain = 0; plain < 2; plain++) {
		plain_in_child = plain != 0;
		CU_ASSERT_EQUAL(sys_file_truncate(file, 0), BWT_OK);
		CU_ASSERT_TRUE(child_passes(write_to_the_limit));
	}
}

static void write_without_dsync(void)
{
	struct sys_ring *ring = new_ring(true);

	child_forbid(SYS_pwritev2, EOPNOTSUPP);
	write_durably(ring);
	CHILD_CHECK(file_has(buffer, BLOCK, BLOCK));
	child_forbid(SYS_fdatasync, EIO); /* which therefore was the way to make it durable */
	for (int again = 0; again < 2; again++) {
		struct sys_io io = io_of(SYS_IO_WRITE_DURABLE, buffer, BLOCK, 0);

		CHILD_CHECK(sys_ring_run(ring, &io, 1) == BWT_IO);
		io.kind = SYS_IO_WRITE;
		CHILD_CHECK(sys_ring_run(ring, &io, 1) == BWT_OK);
	}
	sys_ring_free(ring);
}

static void a_refused_dsync_becomes_a_write_and_a_sync(void)
{
	CU_ASSERT_TRUE(child_passes(write_without_dsync));
}

/* --- The steps of one operation, by hand --- */

static struct ring_op op_of(struct sys_io *io)
{
	return (struct ring_op){.io = io,
	                        .step = io->kind == SYS_IO_SYNC   ? RING_SYNC
	                                : io->kind == SYS_IO_READ ? RING_READ
	                                                          : RING_WRITE,
	                        .dsync = io->kind == SYS_IO_WRITE_DURABLE};
}

static void short_transfers_go_on_where_they_stopped(void)
{
	struct sys_ring ring = {.engine = NULL};
	struct sys_io io = io_of(SYS_IO_WRITE_DURABLE, buffer, 100, 0);
	struct ring_op op = op_of(&io);

	ring_advance(&ring, &op, 40);
	CU_ASSERT_EQUAL(op.step, RING_WRITE);
	CU_ASSERT_EQUAL(op.done, 40);
	ring_advance(&ring, &op, 59);
	CU_ASSERT_EQUAL(op.step, RING_WRITE);
	ring_advance(&ring, &op, 1);
	CU_ASSERT_EQUAL(op.step, RING_DONE);
	CU_ASSERT_EQUAL(op.error, 0);
	CU_ASSERT_FALSE(ring.dsync_refused);
	io.kind = SYS_IO_WRITE;
	op = op_of(&io);
	ring_advance(&ring, &op, 99);
	ring_advance(&ring, &op, 0); /* the system takes no more, and has no reason */
	CU_ASSERT_EQUAL(op.step, RING_DONE);
	CU_ASSERT_EQUAL(op.error, EIO);
	io.kind = SYS_IO_READ;
	op = op_of(&io);
	ring_advance(&ring, &op, 99);
	ring_advance(&ring, &op, 0);
	CU_ASSERT_EQUAL(op.error, RING_END_OF_FILE);
}

static void interruptions_are_repeated_but_not_for_ever(void)
{
	static const int passing[] = {EINTR, EAGAIN, EBUSY, ECANCELED};
	struct sys_ring ring = {.engine = NULL};
	struct sys_io io = io_of(SYS_IO_WRITE, buffer, 100, 0);

	for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
		struct ring_op op = op_of(&io);

		for (unsigned n = 0; n < RING_RETRIES_MAX; n++)
			ring_advance(&ring, &op, -passing[i]);
		CU_ASSERT_EQUAL(op.step, RING_WRITE);
		ring_advance(&ring, &op, 1); /* progress starts the count anew */
		for (unsigned n = 0; n < RING_RETRIES_MAX; n++)
			ring_advance(&ring, &op, -passing[i]);
		CU_ASSERT_EQUAL(op.step, RING_WRITE);
		ring_advance(&ring, &op, -passing[i]);
		CU_ASSERT_EQUAL(op.step, RING_DONE);
		CU_ASSERT_EQUAL(op.error, passing[i]);
	}
}

static void only_a_working_plain_write_proves_that_dsync_is_refused(void)
{
	struct sys_ring ring = {.engine = NULL};
	struct sys_io io = io_of(SYS_IO_WRITE_DURABLE, buffer, 100, 0);
	struct ring_op op = op_of(&io);

	ring_advance(&ring, &op, -EINVAL);
	CU_ASSERT_EQUAL(op.step, RING_WRITE);
	CU_ASSERT_FALSE(op.dsync);
	ring_advance(&ring, &op, -EINVAL); /* so it was something else */
	CU_ASSERT_EQUAL(op.error, EINVAL);
	CU_ASSERT_FALSE(ring.dsync_refused);
	op = op_of(&io);
	ring_advance(&ring, &op, -EOPNOTSUPP);
	ring_advance(&ring, &op, 100);
	CU_ASSERT_EQUAL(op.step, RING_SYNC);
	CU_ASSERT_TRUE(ring.dsync_refused);
	ring_advance(&ring, &op, 0);
	CU_ASSERT_EQUAL(op.step, RING_DONE);
	CU_ASSERT_EQUAL(op.error, 0);
	op = op_of(&io);
	ring_advance(&ring, &op, 50);
	ring_advance(&ring, &op, -EINVAL); /* half was written with it: not the flag */
	CU_ASSERT_EQUAL(op.error, EINVAL);
}

/* --- io_uring that is not to be had --- */

static int setup_error;

static void run_where_setup_fails(void)
{
	struct sys_ring *ring;

	child_forbid(SYS_io_uring_setup, setup_error);
	ring = new_ring(false);
	CHILD_CHECK(strcmp(sys_ring_name(ring), "plain") == 0);
	run_full_batch(ring);
	CHILD_CHECK(file_has_batch());
	sys_ring_free(ring);
}

static void a_forbidden_io_uring_gives_plain_calls(void)
{
	static const int errors[] = {ENOSYS, EPERM, EACCES, ENOMEM, EINVAL};

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		setup_error = errors[i];
		CU_ASSERT_TRUE(child_passes(run_where_setup_fails));
	}
}

static void run_where_registration_is_refused(void)
{
	struct sys_ring *ring;

	child_forbid_with(SYS_io_uring_register, 1, 0, ENOMEM);  /* IORING_REGISTER_BUFFERS */
	child_forbid_with(SYS_io_uring_register, 1, 2, EINVAL);  /* IORING_REGISTER_FILES */
	child_forbid_with(SYS_io_uring_register, 1, 13, EINVAL); /* IORING_REGISTER_FILES2 */
	ring = new_ring(false);
	CHILD_CHECK(strcmp(sys_ring_name(ring), "io_uring") == 0 || plain_in_child);
	sys_ring_register_file(ring, file);
	run_full_batch(ring);
	CHILD_CHECK(file_has_batch());
	sys_ring_free(ring);
}

static void a_ring_works_without_registered_buffers_and_files(void)
{
	struct sys_ring *ring = new_ring(false);

	plain_in_child = strcmp(sys_ring_name(ring), "plain") == 0;
	sys_ring_free(ring);
	CU_ASSERT_TRUE(child_passes(run_where_registration_is_refused));
}

static void run_where_nothing_can_be_probed(void)
{
	struct sys_ring *ring;

	child_forbid(SYS_io_uring_register, EINVAL);
	ring = new_ring(false);
	CHILD_CHECK(strcmp(sys_ring_name(ring), "plain") == 0);
	sys_ring_free(ring);
}

static void a_kernel_that_cannot_say_what_it_knows_gets_plain_calls(void)
{
	CU_ASSERT_TRUE(child_passes(run_where_nothing_can_be_probed));
}

static int enter_error;

static void run_where_enter_fails(void)
{
	struct sys_ring *ring = new_ring(false);

	run_full_batch(ring);
	child_forbid(SYS_io_uring_enter, enter_error);
	for (unsigned again = 0; again < 3; again++) {
		CHILD_CHECK(sys_file_truncate(file, 0) == BWT_OK);
		run_full_batch(ring);
		CHILD_CHECK(file_has_batch());
	}
	sys_ring_free(ring);
}

static void a_ring_that_stops_working_is_replaced_by_plain_calls(void)
{
	static const int errors[] = {EPERM, EBADF, EAGAIN, EBUSY};

	for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
		enter_error = errors[i];
		CU_ASSERT_TRUE(child_passes(run_where_enter_fails));
	}
}

/* --- Life --- */

static void rings_have_names_and_give_everything_back(void)
{
	struct sys_ring *ring = new_ring(true);
	unsigned before;

	CU_ASSERT_STRING_EQUAL(sys_ring_name(ring), "plain");
	sys_ring_free(ring);
	sys_ring_free(NULL);
	before = open_descriptors();
	for (unsigned i = 0; i < 20; i++) {
		ring = new_ring(false);
		write_durably(ring);
		sys_ring_free(ring);
	}
	CU_ASSERT_EQUAL(open_descriptors(), before);
	CU_ASSERT_EQUAL_FATAL(sys_ring_new(false, NULL, 0, &ring), BWT_OK);
	write_durably(ring);
	sys_ring_free(ring);
}

static struct sys_ring *parents_ring;

static void use_after_fork(void)
{
	struct sys_io io = io_of(SYS_IO_WRITE_DURABLE, buffer, BLOCK, 0);
	unsigned before = open_descriptors();
	bool uring = strcmp(sys_ring_name(parents_ring), "io_uring") == 0;

	sys_ring_abandon(parents_ring);
	CHILD_CHECK(open_descriptors() == before - (uring ? 1 : 0));
	CHILD_CHECK(sys_ring_run(parents_ring, &io, 1) == BWT_INVALID);
	sys_ring_register_file(parents_ring, file);
	sys_ring_abandon(parents_ring);
	sys_ring_free(parents_ring);
	CHILD_CHECK(open_descriptors() == before - (uring ? 1 : 0));
}

static void abandon_in_child(struct sys_ring *ring)
{
	parents_ring = ring;
	sys_ring_register_file(ring, file);
	write_durably(ring);
	CU_ASSERT_TRUE(child_passes(use_after_fork));
	write_durably(ring);
	run_full_batch(ring);
}

static void a_forked_child_lets_go_and_the_parent_goes_on(void)
{
	with_both(abandon_in_child);
}

#define THREADS 4
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static unsigned failures; /* under turn */

static void *take_turns(void *ctx)
{
	for (unsigned i = 0; i < 50; i++) {
		pthread_mutex_lock(&turn);
		struct sys_io io[2] = {
			io_of(SYS_IO_WRITE_DURABLE, buffer, BLOCK, (uint64_t)i * BLOCK),
			io_of(SYS_IO_SYNC, NULL, 0, 0),
		};
		if (sys_ring_run(ctx, io, 2) != BWT_OK)
			failures++;
		pthread_mutex_unlock(&turn);
	}
	return NULL;
}

static void share_between_threads(struct sys_ring *ring)
{
	pthread_t threads[THREADS];

	failures = 0;
	for (unsigned i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, take_turns, ring), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(failures, 0);
	write_durably(ring); /* the threads that used it are gone */
}

static void threads_use_a_ring_in_turn(void)
{
	with_both(share_between_threads);
}

/* --- At random --- */

#define MODEL_SIZE ((size_t)256 << 10)

static void random_batches(struct sys_ring *ring)
{
	static uint8_t model[MODEL_SIZE];
	unsigned rounds = suite_short() ? 50 : 500;
	struct rng rng;

	rng_init(&rng, rng_seed());
	memset(model, 0, sizeof model);
	CU_ASSERT_EQUAL(sys_file_truncate(file, 0), BWT_OK);
	CU_ASSERT_EQUAL(sys_file_truncate(file, MODEL_SIZE), BWT_OK);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned count = (unsigned)rng_range(&rng, 1, SYS_RING_BATCH_MAX);
		struct sys_io io[SYS_RING_BATCH_MAX];
		size_t lane = MODEL_SIZE / SYS_RING_BATCH_MAX; /* operations side by side */

		sys_ring_register_file(ring, rng_chance(&rng, 50) ? file : -1);
		rng_fill(&rng, buffer, lane * count);
		for (unsigned i = 0; i < count; i++) {
			size_t size = rng_below(&rng, lane);

			io[i] = io_of((enum sys_io_kind)rng_range(&rng, 1, 3), buffer + i * lane,
			              size, i * lane + rng_below(&rng, lane - size));
			if (io[i].kind != SYS_IO_SYNC)
				memcpy(model + io[i].off, io[i].data, size);
		}
		CU_ASSERT_EQUAL(sys_ring_run(ring, io, count), BWT_OK);
	}
	CU_ASSERT_TRUE(file_has(model, MODEL_SIZE, 0));
	for (size_t off = 0; off < MODEL_SIZE; off += BUFFER_SIZE / 4) {
		struct sys_io io = io_of(SYS_IO_READ, buffer, BUFFER_SIZE / 4, off);

		CU_ASSERT_EQUAL(sys_ring_run(ring, &io, 1), BWT_OK);
		CU_ASSERT_EQUAL(memcmp(buffer, model + off, BUFFER_SIZE / 4), 0);
	}
}

static void random_batches_leave_what_a_model_says(void)
{
	with_both(random_batches);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_durable_write_is_in_the_file),
		TEST(the_largest_batch_is_done_whole),
		TEST(reads_writes_and_syncs_of_several_files_share_a_batch),
		TEST(data_may_lie_in_the_registered_buffer_or_elsewhere),
		TEST(the_registered_file_may_change_or_be_none),
		TEST(direct_files_are_written_and_crooked_data_is_refused),
		TEST(written_bytes_are_counted_and_no_others),
		TEST(a_failed_operation_is_named_and_stops_no_other),
		TEST(a_short_write_is_continued_and_ends_in_its_reason),
		TEST(a_refused_dsync_becomes_a_write_and_a_sync),
		TEST(short_transfers_go_on_where_they_stopped),
		TEST(interruptions_are_repeated_but_not_for_ever),
		TEST(only_a_working_plain_write_proves_that_dsync_is_refused),
		TEST(a_forbidden_io_uring_gives_plain_calls),
		TEST(a_ring_works_without_registered_buffers_and_files),
		TEST(a_kernel_that_cannot_say_what_it_knows_gets_plain_calls),
		TEST(a_ring_that_stops_working_is_replaced_by_plain_calls),
		TEST(rings_have_names_and_give_everything_back),
		TEST(a_forked_child_lets_go_and_the_parent_goes_on),
		TEST(threads_use_a_ring_in_turn),
		TEST(random_batches_leave_what_a_model_says),
		CU_TEST_INFO_NULL,
	};
	struct sys_ring *ring;

	if (sys_ring_new(false, NULL, 0, &ring) == BWT_OK) {
		printf("engine asked of the system: %s\n", sys_ring_name(ring));
		sys_ring_free(ring);
	}
	return suite_run("ring", set_up, tear_down, tests);
}
