/* SPDX-License-Identifier: MIT */
/* test_vlog_move.c - a value copied to another file, and syncing what was appended */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/vlog_private.h"
#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/unit/log/log_fixture.h"

#define SEGMENT ((uint64_t)256 << 10)

static struct vlog *vlog;

static void set_up(void)
{
	struct vlog_config config;

	fixture_set_up();
	config = (struct vlog_config){
		.dir_fd = fixture_dir_fd, .store_id = FIXTURE_STORE_ID, .segment_size = SEGMENT};
	CU_ASSERT_EQUAL_FATAL(vlog_open(&config, &vlog), BWT_OK);
}

static void tear_down(void)
{
	vlog_close(vlog);
	fixture_tear_down();
}

static struct value_ref append(uint64_t seed, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	struct value_ref ref = {0};
	struct rng rng;

	rng_init(&rng, seed);
	rng_fill(&rng, bytes, size);
	CU_ASSERT_EQUAL_FATAL(vlog_append(vlog, 2, (uint32_t)seed, (struct bwt_slice){bytes, size},
	                                  PACK_NONE, &ref),
	                      BWT_OK);
	free(bytes);
	return ref;
}

static struct value_ref move(const struct value_ref *from)
{
	struct value_ref to = {0};

	CU_ASSERT_EQUAL_FATAL(vlog_move(vlog, from, 2, 7, &to), BWT_OK);
	return to;
}

static void a_copy_has_the_bytes_of_the_value_in_another_file(void)
{
	static const size_t sizes[] = {0, 1, 4096, 100000, 3 << 20};

	for (unsigned i = 0; i < 5; i++) {
		struct value_ref from = append(i, sizes[i]), to = move(&from);
		uint8_t *before = malloc(sizes[i] + 1), *after = malloc(sizes[i] + 1);

		CU_ASSERT_NOT_EQUAL(from.segment, to.segment);
		CU_ASSERT_EQUAL(vlog_read(vlog, &from, before), BWT_OK);
		CU_ASSERT_EQUAL(vlog_read(vlog, &to, after), BWT_OK);
		CU_ASSERT_EQUAL(memcmp(before, after, sizes[i]), 0);
		CU_ASSERT_EQUAL(vlog_check(vlog, &to), BWT_OK);
		free(before);
		free(after);
	}
}

/* ---- many at once ---- */

#define MANY 200u

static struct vlog_move moves[MANY];

static int compare(const struct value_ref *left, const struct value_ref *right)
{
	if (left->segment != right->segment)
		return left->segment < right->segment ? -1 : 1;
	return (left->offset > right->offset) - (left->offset < right->offset);
}

static int by_place(const void *a, const void *b)
{
	return compare(&((const struct vlog_move *)a)->from, &((const struct vlog_move *)b)->from);
}

/* Of @step values one is moved: 1: what lies side by side; 3: each by itself. Each tenth is larger than a group. */
static void append_many(unsigned step)
{
	for (unsigned i = 0; i < MANY * step; i++) {
		size_t size = i % (10 * step) == 0 ? 3 * SEGMENT / 2 : i * 37 % 9000;
		struct value_ref ref = append(i, i == 0 ? 0 : size);

		if (i % step == 0)
			moves[i / step] = (struct vlog_move){.from = ref, .hash = i};
	}
	qsort(moves, MANY, sizeof moves[0], by_place);
}

static bool same_bytes(const struct value_ref *a, const struct value_ref *b)
{
	uint8_t *left = malloc(a->size + 1), *right = malloc(a->size + 1);
	bool same = vlog_read(vlog, a, left) == BWT_OK && vlog_read(vlog, b, right) == BWT_OK &&
	            memcmp(left, right, a->size) == 0 && vlog_check(vlog, b) == BWT_OK;

	free(left);
	free(right);
	return same;
}

static int see_record(void *ctx, uint64_t offset, const struct vlog_record *record)
{
	(void)offset;
	for (unsigned i = 0; i < MANY; i++)
		*(unsigned *)ctx += record->hash == moves[i].hash && record->tree == 2;
	return BWT_OK;
}

/* Those of @bad are CORRUPT, all others are there, in files whose records can be walked. */
static unsigned moved_well(const struct value_ref *bad)
{
	uint64_t last = 0;
	unsigned seen = 0, good = 0;

	for (unsigned i = 0; i < MANY; i++) {
		struct vlog_move *move = &moves[i];

		if (bad != NULL && compare(bad, &move->from) == 0) {
			CU_ASSERT_EQUAL(move->rc, BWT_CORRUPT);
			continue;
		}
		CU_ASSERT_EQUAL_FATAL(move->rc, BWT_OK);
		good += same_bytes(&move->from, &move->to);
		if (move->to.segment != last)
			CU_ASSERT_EQUAL(vlog_walk(vlog, move->to.segment, see_record, &seen), BWT_OK);
		last = move->to.segment;
	}
	CU_ASSERT_TRUE(seen >= good);
	return good;
}

static void many_values_are_copied_at_once(void)
{
	struct vlog_config config = {.dir_fd = fixture_dir_fd,
	                             .store_id = FIXTURE_STORE_ID,
	                             .segment_size = SEGMENT,
	                             .plain = true};

	for (unsigned turn = 0; turn < 4; turn++) {
		append_many(turn % 2 == 0 ? 1 : 3);
		CU_ASSERT_EQUAL(vlog_move_many(vlog, 2, moves, MANY), BWT_OK);
		CU_ASSERT_EQUAL(moved_well(NULL), MANY);
		if (turn == 1) { /* and by plain calls */
			vlog_close(vlog);
			CU_ASSERT_EQUAL_FATAL(vlog_open(&config, &vlog), BWT_OK);
		}
	}
}

/* SIGXFSZ, which would end the process, has its default action. */
static void a_move_beyond_the_limit_of_file_sizes_is_full(void)
{
	int status = 0;
	pid_t pid;

	append_many(1);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct rlimit limit = {100000, 100000};

		setrlimit(RLIMIT_FSIZE, &limit);
		_exit(vlog_move_many(vlog, 2, moves, MANY) == BWT_FULL ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_damaged_value_among_many_stays_alone(void)
{
	struct value_ref bad;
	char name[VLOG_NAME_SIZE];
	int fd;

	append_many(1);
	bad = moves[MANY / 2 + 3].from;
	vlog_name(name, bad.segment);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(fixture_dir_fd, name, 0, &fd), BWT_OK);
	CU_ASSERT_EQUAL(pwrite(fd, "damage", 6, (off_t)(bad.offset + bad.size)), 6);
	sys_file_close(fd);
	CU_ASSERT_EQUAL(vlog_move_many(vlog, 2, moves, MANY), BWT_OK);
	CU_ASSERT_EQUAL(moved_well(&bad), MANY - 1);
}

static void values_whose_file_has_gone_are_not_moved(void)
{
	unsigned gone = 0;
	uint64_t segment;

	append_many(3);
	segment = moves[MANY / 2].from.segment;
	CU_ASSERT_EQUAL(vlog_unlink(vlog, segment), BWT_OK);
	CU_ASSERT_EQUAL(vlog_move_many(vlog, 2, moves, MANY), BWT_OK);
	for (unsigned i = 0; i < MANY; i++) {
		bool is_gone = moves[i].from.segment == segment;

		CU_ASSERT_EQUAL(moves[i].rc, is_gone ? BWT_CORRUPT : BWT_OK);
		gone += is_gone;
	}
	CU_ASSERT_TRUE(gone > 0 && gone < MANY);
}

static void copies_lie_together_until_the_moves_end(void)
{
	struct value_ref first = append(1, 100), second = append(2, 100);
	struct value_ref moved = move(&first), again = move(&second);

	CU_ASSERT_EQUAL(moved.segment, again.segment);
	CU_ASSERT_EQUAL(append(3, 100).segment, first.segment);
	CU_ASSERT_EQUAL(vlog_append_floor(vlog), first.segment);
	vlog_end_moves(vlog);
	CU_ASSERT_NOT_EQUAL(move(&first).segment, moved.segment);
}

static void no_append_goes_below_the_floor_while_values_are_moved(void)
{
	struct value_ref first = append(1, 100), moved = move(&first);

	while (append(2, 60000).segment == first.segment)
		;
	CU_ASSERT_EQUAL(vlog_append_floor(vlog), moved.segment);
	vlog_end_moves(vlog);
	CU_ASSERT_TRUE(vlog_append_floor(vlog) > moved.segment);
}

static void a_value_that_was_damaged_is_not_moved(void)
{
	struct value_ref from = append(1, 5000), to = {0};
	char name[VLOG_NAME_SIZE];
	int fd;

	vlog_name(name, from.segment);
	CU_ASSERT_EQUAL_FATAL(sys_file_open(fixture_dir_fd, name, 0, &fd), BWT_OK);
	CU_ASSERT_EQUAL(pwrite(fd, "damage", 6, (off_t)from.offset + 1000), 6);
	sys_file_close(fd);
	CU_ASSERT_EQUAL(vlog_move(vlog, &from, 2, 7, &to), BWT_CORRUPT);
	from.segment = 77;
	CU_ASSERT_EQUAL(vlog_move(vlog, &from, 2, 7, &to), BWT_CORRUPT);
	append(2, 100); /* and the log goes on */
}

static void what_was_copied_counts_as_appended_and_as_unsynced(void)
{
	struct value_ref from = append(1, 5000);
	uint64_t bytes = vlog_file_bytes(vlog), appended = vlog_appended(vlog);

	CU_ASSERT_EQUAL(vlog_sync(vlog), BWT_OK);
	move(&from);
	CU_ASSERT_EQUAL(vlog_file_bytes(vlog), 2 * bytes);
	CU_ASSERT_EQUAL(vlog_appended(vlog), 2 * appended);
	CU_ASSERT_TRUE(atomic_load(&vlog->dirty_files) > 0);
	CU_ASSERT_EQUAL(vlog_sync(vlog), BWT_OK);
	/* The mark is the flusher's: it may not take a running sync for a finished one. */
	CU_ASSERT_TRUE(atomic_load(&vlog->dirty_files) > 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_copy_has_the_bytes_of_the_value_in_another_file),
		TEST(many_values_are_copied_at_once),
		TEST(a_move_beyond_the_limit_of_file_sizes_is_full),
		TEST(a_damaged_value_among_many_stays_alone),
		TEST(values_whose_file_has_gone_are_not_moved),
		TEST(copies_lie_together_until_the_moves_end),
		TEST(no_append_goes_below_the_floor_while_values_are_moved),
		TEST(a_value_that_was_damaged_is_not_moved),
		TEST(what_was_copied_counts_as_appended_and_as_unsynced),
		CU_TEST_INFO_NULL,
	};

	return suite_run("vlog_move", set_up, tear_down, tests);
}
