/* SPDX-License-Identifier: MIT */
/* test_arena.c - extents tile the file; it grows under one mapping, once for all who ask */
#include "mem/arena.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "bwt.h"
#include "tests/support/actor.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define MAX_SIZE ((uint64_t)64 << 20)

static char folder[TMPSTORE_PATH_MAX];
static int fd;
static struct arena arena;

static void set_up(void)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_new(folder);
	tmpstore_join(path, folder, "arena");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	CU_ASSERT_FATAL(fd >= 0);
}

static void tear_down(void)
{
	testpoint_reset();
	close(fd);
	tmpstore_free(folder);
}

static void open_arena(bool private)
{
	CU_ASSERT_EQUAL_FATAL(arena_open(&arena, fd, MAX_SIZE, private), BWT_OK);
}

static uint64_t file_size(void)
{
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Grow to @size; bytes that this call added. */
static uint64_t grow(uint64_t size)
{
	uint64_t old_size, new_size;

	CU_ASSERT_EQUAL(arena_grow(&arena, size, &old_size, &new_size), BWT_OK);
	return new_size - old_size;
}

static void extents_tile_the_arena(void)
{
	arena_off next = 0;

	for (extent_id id = 0; id < 100; id++) {
		CU_ASSERT_EQUAL(extent_start(id), next);
		CU_ASSERT_EQUAL(extent_of(next), id);
		CU_ASSERT_EQUAL(extent_of(next + extent_size(id) - 1), id);
		next += extent_size(id);
	}
	CU_ASSERT_EQUAL(extent_start(EXTENT_SMALL_COUNT), EXTENT_SIZE);
	/* The last extent of the largest arena has an id that fits. */
	CU_ASSERT_EQUAL(extent_start(extent_of(((uint64_t)1 << 46) - 1)),
	                ((uint64_t)1 << 46) - EXTENT_SIZE);
}

static void a_new_arena_grows_in_place(void)
{
	uint64_t old_size, new_size;
	uint8_t *first;

	open_arena(false);
	CU_ASSERT_EQUAL(arena_size(&arena), 0);
	CU_ASSERT_EQUAL(arena_grow(&arena, EXTENT_SMALL_SIZE, &old_size, &new_size), BWT_OK);
	CU_ASSERT_EQUAL(old_size, 0);
	CU_ASSERT_EQUAL(new_size, EXTENT_SMALL_SIZE);
	first = arena_at(&arena, 16);
	*first = 42;
	CU_ASSERT_EQUAL(grow(3 * EXTENT_SIZE), 3 * EXTENT_SIZE - EXTENT_SMALL_SIZE);
	CU_ASSERT_EQUAL(arena_size(&arena), 3 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(file_size(), 3 * EXTENT_SIZE);
	CU_ASSERT_PTR_EQUAL(arena_at(&arena, 16), first);
	CU_ASSERT_EQUAL(*first, 42);
	CU_ASSERT_EQUAL(*(uint8_t *)arena_at(&arena, 3 * EXTENT_SIZE - 1), 0);
	arena_close(&arena);
}

static void growing_to_what_is_there_adds_nothing(void)
{
	open_arena(false);
	grow(EXTENT_SIZE);
	CU_ASSERT_EQUAL(grow(EXTENT_SIZE), 0);
	CU_ASSERT_EQUAL(grow(1), 0);
	CU_ASSERT_EQUAL(arena_size(&arena), EXTENT_SIZE);
	arena_close(&arena);
}

static void the_last_byte_of_max_size_is_had_and_the_next_is_not(void)
{
	uint64_t old_size = 1, new_size = 2;

	open_arena(false);
	CU_ASSERT_EQUAL(arena_grow(&arena, MAX_SIZE + 1, &old_size, &new_size), BWT_FULL);
	CU_ASSERT_EQUAL(arena_size(&arena), 0);
	CU_ASSERT_EQUAL(grow(MAX_SIZE), MAX_SIZE);
	*(uint8_t *)arena_at(&arena, MAX_SIZE - 1) = 1;
	CU_ASSERT_EQUAL(arena_grow(&arena, MAX_SIZE + EXTENT_SIZE, &old_size, &new_size), BWT_FULL);
	CU_ASSERT_EQUAL(old_size, new_size);
	arena_close(&arena);
}

static void max_size_is_rounded_up_and_never_below_the_file(void)
{
	CU_ASSERT_EQUAL_FATAL(arena_open(&arena, fd, EXTENT_SIZE + 1, false), BWT_OK);
	CU_ASSERT_EQUAL(arena.max_size, 2 * EXTENT_SIZE);
	arena_close(&arena);
	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)(5 * EXTENT_SIZE)), 0);
	CU_ASSERT_EQUAL_FATAL(arena_open(&arena, fd, EXTENT_SIZE, false), BWT_OK);
	CU_ASSERT_EQUAL(arena.max_size, 5 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(arena_size(&arena), 5 * EXTENT_SIZE);
	arena_close(&arena);
}

static void a_disk_without_space_is_full_and_touches_nothing(void)
{
	struct rlimit unlimited, limit;
	uint64_t old_size, new_size;
	int rc;

	open_arena(false);
	grow(EXTENT_SIZE);
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	limit = (struct rlimit){2 * EXTENT_SIZE, unlimited.rlim_max};
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	rc = arena_grow(&arena, 4 * EXTENT_SIZE, &old_size, &new_size);
	setrlimit(RLIMIT_FSIZE, &unlimited);
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	CU_ASSERT_EQUAL(arena_size(&arena), EXTENT_SIZE);
	CU_ASSERT_EQUAL(grow(4 * EXTENT_SIZE), 3 * EXTENT_SIZE);
	arena_close(&arena);
}

static void a_file_that_ends_inside_an_extent_ends_before_it(void)
{
	static const struct {
		uint64_t file, usable;
	} cases[] = {
		{EXTENT_SMALL_SIZE - 1, 0},
		{EXTENT_SMALL_SIZE, EXTENT_SMALL_SIZE},
		{EXTENT_SIZE - 1, EXTENT_SIZE - EXTENT_SMALL_SIZE},
		{EXTENT_SIZE + EXTENT_SMALL_SIZE, EXTENT_SIZE},
		{3 * EXTENT_SIZE - 1, 2 * EXTENT_SIZE},
		{3 * EXTENT_SIZE, 3 * EXTENT_SIZE},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)cases[i].file), 0);
		open_arena(false);
		CU_ASSERT_EQUAL(arena_size(&arena), cases[i].usable);
		/* The cut extent is made whole by growing. */
		grow(4 * EXTENT_SIZE);
		memset(arena_at(&arena, cases[i].usable), 1, 4 * EXTENT_SIZE - cases[i].usable);
		arena_close(&arena);
	}
}

static void what_was_stored_and_synced_is_in_the_file(void)
{
	char read[5];

	open_arena(false);
	grow(EXTENT_SIZE);
	memcpy(arena_at(&arena, 70000), "bytes", 5);
	CU_ASSERT_EQUAL(arena_sync(&arena), BWT_OK);
	CU_ASSERT_EQUAL(pread(fd, read, 5, 70000), 5);
	CU_ASSERT_EQUAL(memcmp(read, "bytes", 5), 0);
	arena_close(&arena);
	open_arena(false);
	CU_ASSERT_EQUAL(memcmp(arena_at(&arena, 70000), "bytes", 5), 0);
	arena_close(&arena);
}

static void a_private_picture_leaves_the_file_alone(void)
{
	char read;

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)EXTENT_SIZE), 0);
	open_arena(true);
	*(char *)arena_at(&arena, 99) = 'x';
	CU_ASSERT_EQUAL(grow(3 * EXTENT_SIZE), 2 * EXTENT_SIZE);
	memset(arena_at(&arena, EXTENT_SIZE), 'y', 2 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(arena_sync(&arena), BWT_OK);
	arena_close(&arena);
	CU_ASSERT_EQUAL(file_size(), EXTENT_SIZE);
	CU_ASSERT_EQUAL(pread(fd, &read, 1, 99), 1);
	CU_ASSERT_EQUAL(read, 0);
}

static _Atomic(uint64_t) added;

static void *grow_beside(void *arg)
{
	(void)arg;
	for (uint64_t size = EXTENT_SIZE; size <= MAX_SIZE; size += EXTENT_SIZE)
		atomic_fetch_add(&added, grow(size));
	return NULL;
}

static void each_stretch_is_published_by_one_of_those_who_grow_at_once(void)
{
	pthread_t threads[3];

	open_arena(false);
	atomic_store(&added, 0);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, grow_beside, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_EQUAL(arena_size(&arena), MAX_SIZE);
	CU_ASSERT_EQUAL(atomic_load(&added), MAX_SIZE);
	arena_close(&arena);
}

/* ---- shorter ---- */

static void a_file_is_cut_behind_what_is_in_use(void)
{
	open_arena(false);
	CU_ASSERT_EQUAL(arena_cut(&arena), BWT_OK); /* there is nothing to cut */
	grow(5 * EXTENT_SIZE);
	CU_ASSERT_FALSE(arena_shrink(&arena, 4 * EXTENT_SIZE, 3 * EXTENT_SIZE)); /* it has grown since */
	CU_ASSERT_TRUE(arena_shrink(&arena, 5 * EXTENT_SIZE, 3 * EXTENT_SIZE));
	CU_ASSERT_EQUAL(arena_size(&arena), 3 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(file_size(), 5 * EXTENT_SIZE); /* superblocks may name it still */
	CU_ASSERT_EQUAL(arena_cut(&arena), BWT_OK);
	CU_ASSERT_EQUAL(file_size(), 3 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(arena_size(&arena), 3 * EXTENT_SIZE);
	CU_ASSERT_EQUAL(grow(4 * EXTENT_SIZE), EXTENT_SIZE);
	*(uint8_t *)arena_at(&arena, 4 * EXTENT_SIZE - 1) = 1;
	arena_close(&arena);
}

/* AR1 */
static void what_grew_again_meanwhile_is_not_cut(void)
{
	open_arena(false);
	grow(5 * EXTENT_SIZE);
	CU_ASSERT_TRUE(arena_shrink(&arena, 5 * EXTENT_SIZE, 2 * EXTENT_SIZE));
	CU_ASSERT_EQUAL(grow(3 * EXTENT_SIZE), EXTENT_SIZE);
	CU_ASSERT_EQUAL(arena_cut(&arena), BWT_OK);
	CU_ASSERT_EQUAL(file_size(), 3 * EXTENT_SIZE);
	arena_close(&arena);
}

static void grow_by_one(void *rc)
{
	uint64_t old_size, new_size;

	*(int *)rc = arena_grow(&arena, arena_size(&arena) + EXTENT_SIZE, &old_size, &new_size);
}

static void cut(void *rc)
{
	*(int *)rc = arena_cut(&arena);
}

static void shrunk_arena(void)
{
	open_arena(false);
	grow(5 * EXTENT_SIZE);
	CU_ASSERT_TRUE(arena_shrink(&arena, 5 * EXTENT_SIZE, 2 * EXTENT_SIZE));
}

/* AR2: one who grows has allocated the blocks and not published them. What cut() returns, and how long the file is then. */
static int cut_beside_one_who_grows(uint64_t *size)
{
	struct actor actor;
	int grown, rc;

	shrunk_arena();
	actor_start(&actor, "arena_growing", grow_by_one, &grown);
	CU_ASSERT_TRUE_FATAL(actor_await(&actor));
	rc = arena_cut(&arena);
	actor_finish(&actor);
	CU_ASSERT_EQUAL(grown, BWT_OK);
	CU_ASSERT_EQUAL(arena_size(&arena), 3 * EXTENT_SIZE);
	*size = file_size();
	arena_close(&arena);
	return rc;
}

static void nothing_is_cut_while_somebody_grows(void)
{
	uint64_t size;

	CU_ASSERT_EQUAL(cut_beside_one_who_grows(&size), BWT_BUSY);
	CU_ASSERT_EQUAL(size, 5 * EXTENT_SIZE);
}

/* The planted fault: the extent that was taken into use then has no file beneath it. */
static void planted_a_cut_that_does_not_look_is_noticed(void)
{
	uint64_t size;

	testpoint_set("arena_cut_unlooked", 0, NULL, NULL);
	CU_ASSERT_EQUAL(cut_beside_one_who_grows(&size), BWT_OK);
	CU_ASSERT_TRUE(size < 3 * EXTENT_SIZE);
}

/* The limit that is named in lib/README.md: growth waits for the cut, and not for good. */
static void who_grows_beside_a_stopped_cut_is_refused_and_served_afterwards(void)
{
	struct actor actor;
	int rc, grown;

	shrunk_arena();
	actor_start(&actor, "arena_cutting", cut, &rc);
	CU_ASSERT_TRUE_FATAL(actor_await(&actor));
	CU_ASSERT_EQUAL(arena_size(&arena), 2 * EXTENT_SIZE);
	grow_by_one(&grown);
	CU_ASSERT_EQUAL(grown, BWT_FULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "was stopped"));
	CU_ASSERT_EQUAL(arena_cut(&arena), BWT_BUSY);
	actor_finish(&actor);
	CU_ASSERT_EQUAL(rc, BWT_OK);
	CU_ASSERT_EQUAL(file_size(), 2 * EXTENT_SIZE);
	grow_by_one(&grown);
	CU_ASSERT_EQUAL(grown, BWT_OK);
	CU_ASSERT_EQUAL(file_size(), 3 * EXTENT_SIZE);
	arena_close(&arena);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(extents_tile_the_arena),
		TEST(a_new_arena_grows_in_place),
		TEST(growing_to_what_is_there_adds_nothing),
		TEST(the_last_byte_of_max_size_is_had_and_the_next_is_not),
		TEST(max_size_is_rounded_up_and_never_below_the_file),
		TEST(a_disk_without_space_is_full_and_touches_nothing),
		TEST(a_file_that_ends_inside_an_extent_ends_before_it),
		TEST(what_was_stored_and_synced_is_in_the_file),
		TEST(a_private_picture_leaves_the_file_alone),
		TEST(each_stretch_is_published_by_one_of_those_who_grow_at_once),
		TEST(a_file_is_cut_behind_what_is_in_use),
		TEST(what_grew_again_meanwhile_is_not_cut),
		TEST(nothing_is_cut_while_somebody_grows),
		TEST(planted_a_cut_that_does_not_look_is_noticed),
		TEST(who_grows_beside_a_stopped_cut_is_refused_and_served_afterwards),
		CU_TEST_INFO_NULL,
	};

	return suite_run("arena", set_up, tear_down, tests);
}
