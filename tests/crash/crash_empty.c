/* SPDX-License-Identifier: MIT */
/*
 * crash_empty.c - a full store can be emptied (design.md section 3)
 *
 * A store is filled up to options.max_size, or up to the end of a small file system, and then emptied key by
 * key, in several orders and by several threads: no delete may be refused. Then writes resume, and the store
 * closes and opens. SIZES=16,40 runs other sizes (MiB); with LONG the large ones are run, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#include "bwt.h"

#define VALUE_SIZE 700u
#define KEYS_MAX 2000000u
#define THREADS_MAX 4u
#define CHILD_SKIPPED 77

enum order {
	ASCENDING,
	DESCENDING,
	SCATTERED,
};

struct plan {
	uint64_t bytes; /* of the arena at most, or of the file system */
	bool small_disk;
	enum order fill, empty;
	unsigned threads; /* that delete */
	unsigned workers;
};

static struct bwt_db *db;
static struct bwt_tree *tree;
static char path[TMPSTORE_PATH_MAX];
static const struct plan *plan;
static uint32_t end; /* keys [0, end) were put */
static _Atomic(bool) failed;

/* Run in children: what fails is said, and the child's status is 1. */
static void fail(const char *what, uint64_t number, int rc)
{
	printf("    %s %" PRIu64 ": %s (%s); %" PRIu64
	       " MiB, %s, orders %d and %d, %u threads, %u workers\n",
	       what, number, bwt_strerror(rc), bwt_detail(), plan->bytes >> 20,
	       plan->small_disk ? "of a file system" : "of max_size", plan->fill, plan->empty,
	       plan->threads, plan->workers);
	fflush(stdout);
	failed = true;
}

static void need(const char *what, uint64_t number, int rc)
{
	if (rc != BWT_OK)
		fail(what, number, rc);
}

/* The number of the @i-th key of @count in an order. */
static uint32_t nth(enum order order, uint32_t i, uint32_t count)
{
	if (order == ASCENDING)
		return i;
	if (order == DESCENDING)
		return count - 1 - i;
	return (uint32_t)((uint64_t)i * 2654435761u % count); /* a prime: no number twice */
}

static struct bwt_slice key_of(uint32_t number, char room[16])
{
	return (struct bwt_slice){room, (size_t)snprintf(room, 16, "key %08u", number)};
}

static int put(uint32_t number)
{
	uint8_t value[VALUE_SIZE];
	char key[16];

	memset(value, (int)number, sizeof value);
	return bwt_put(tree, NULL, key_of(number, key), (struct bwt_slice){value, sizeof value}, 0);
}

static void open_store(void)
{
	struct bwt_options options = {
		.flags = BWT_CREATE,
		.durability = BWT_NONE,
		.max_size = plan->small_disk ? (uint64_t)1 << 30 : plan->bytes,
		.wal_segment_size = (uint64_t)1 << 20,
		.worker_count = plan->workers,
	};

	need("open", 0, bwt_open(path, &options, &db));
	if (!failed)
		need("open the tree", 0, bwt_tree_open(db, NULL, 0, &tree));
	if (failed)
		_exit(EXIT_FAILURE);
}

/* Numbers of keys: where they are scattered, not many more than there will be. */
static uint32_t span(void)
{
	return plan->fill == SCATTERED ? (uint32_t)(plan->bytes / VALUE_SIZE) | 1 : KEYS_MAX - 1;
}

static void fill(void)
{
	int rc = BWT_OK;

	for (end = 0; end < span() && rc == BWT_OK; end++)
		rc = put(nth(plan->fill, end, span()));
	if (rc != BWT_FULL)
		fail("fill", end, rc);
	end--;
}

/* Deletes what fill() put, the @part-th of @threads parts of it. */
static void *empty_part(void *part)
{
	char key[16];

	for (uint32_t i = (uint32_t)(uintptr_t)part; i < end && !failed; i += plan->threads) {
		uint32_t turn = nth(plan->empty, i, end);

		need("delete", i, bwt_delete(tree, NULL, key_of(nth(plan->fill, turn, span()), key)));
	}
	return NULL;
}

static void empty(void)
{
	pthread_t threads[THREADS_MAX] = {0};

	for (unsigned i = 1; i < plan->threads; i++)
		need("thread", i,
		     -pthread_create(&threads[i], NULL, empty_part, (void *)(uintptr_t)i));
	empty_part(0);
	for (unsigned i = 1; i < plan->threads; i++)
		pthread_join(threads[i], NULL);
}

static void need_count(uint64_t wanted)
{
	uint64_t count = 0;

	need("count", 0, bwt_count(tree, &count));
	if (count != wanted)
		fail("count", count, BWT_CORRUPT);
}

static void fill_and_empty(void)
{
	uint32_t first;

	open_store();
	fill();
	need_count(end);
	first = end;
	empty();
	need_count(0);
	for (uint32_t i = 0; i < first / 2 && !failed; i++) /* writes resume */
		need("put again", i, put(nth(plan->fill, i, span())));
	need("close", 0, bwt_close(db));
	open_store();
	need_count(first / 2);
	fill(); /* the first of them anew */
	end = end < first / 2 ? first / 2 : end;
	need("close while full", 0, bwt_close(db));
	open_store();
	empty();
	need_count(0);
	need("close", 0, bwt_close(db));
	need("verify", 0, bwt_verify(path, 0, NULL, NULL));
}

/* ---- children: mounts end with them, and a store that fails leaves no threads behind ---- */

static void skip_in_child(const char *why)
{
	printf("    SKIPPED: %s: %s\n", why, strerror(errno));
	fflush(stdout);
	_exit(CHILD_SKIPPED);
}

static void run_on_small_disk(void)
{
	char folder[TMPSTORE_PATH_MAX], size[32];

	tmpstore_new(folder);
	snprintf(size, sizeof size, "size=%" PRIu64 "m", plan->bytes >> 20);
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip_in_child("no mount namespace of its own");
	if (mount("tmpfs", folder, "tmpfs", 0, size) != 0)
		skip_in_child("no tmpfs");
	tmpstore_join(path, folder, "store");
	fill_and_empty();
	umount(folder);
	rmdir(folder);
}

static void run_plan(const struct plan *of)
{
	int status;
	pid_t child;

	plan = of;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		alarm(600);
		if (plan->small_disk)
			run_on_small_disk();
		else
			fill_and_empty();
		_exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	plan = NULL; /* the child has its own */
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPPED)
		return;
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(status, 0);
}

/* ---- sizes ---- */

static void run_sizes(struct plan of, const char *short_sizes, const char *long_sizes)
{
	const char *sizes = getenv("LONG") != NULL ? long_sizes : short_sizes;
	char text[64], *save = NULL;

	if (getenv("SIZES") != NULL)
		sizes = getenv("SIZES");
	snprintf(text, sizeof text, "%s", sizes);
	for (char *size = strtok_r(text, ",", &save); size != NULL;
	     size = strtok_r(NULL, ",", &save)) {
		of.bytes = strtoull(size, NULL, 10) << 20;
		tmpstore_clear(path);
		run_plan(&of);
	}
}

#define ALL_SIZES "16,24,40,100,200"

static void in_key_order(void)
{
	run_sizes((struct plan){.fill = ASCENDING, .empty = ASCENDING, .threads = 1, .workers = 1},
	          "16,40", ALL_SIZES);
}

static void in_any_order(void)
{
	run_sizes((struct plan){.fill = SCATTERED, .empty = SCATTERED, .threads = 1, .workers = 1},
	          "24", ALL_SIZES);
}

static void filled_in_order_and_emptied_in_any(void)
{
	run_sizes((struct plan){.fill = ASCENDING, .empty = SCATTERED, .threads = 1, .workers = 2},
	          "24", ALL_SIZES);
}

static void from_the_end_without_workers(void)
{
	run_sizes((struct plan){.fill = ASCENDING,
	                        .empty = DESCENDING,
	                        .threads = 1,
	                        .workers = (unsigned)BWT_OFF},
	          "16", ALL_SIZES);
}

static void by_several_threads(void)
{
	run_sizes(
		(struct plan){
			.fill = SCATTERED, .empty = SCATTERED, .threads = THREADS_MAX, .workers = 1},
		"24", ALL_SIZES);
}

static void on_a_full_file_system(void)
{
	run_sizes((struct plan){.small_disk = true,
	                        .fill = SCATTERED,
	                        .empty = SCATTERED,
	                        .threads = 1,
	                        .workers = 1},
	          "40", "24,40,100,200");
}

static void on_a_full_file_system_by_several_threads(void)
{
	run_sizes((struct plan){.small_disk = true,
	                        .fill = ASCENDING,
	                        .empty = SCATTERED,
	                        .threads = THREADS_MAX,
	                        .workers = 2},
	          "24", "24,40,100,200");
}

static void set_up(void)
{
	tmpstore_new(path);
}

static void tear_down(void)
{
	tmpstore_free(path);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(in_key_order),
		TEST(in_any_order),
		TEST(filled_in_order_and_emptied_in_any),
		TEST(from_the_end_without_workers),
		TEST(by_several_threads),
		TEST(on_a_full_file_system),
		TEST(on_a_full_file_system_by_several_threads),
		CU_TEST_INFO_NULL,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return suite_run("crash_empty", set_up, tear_down, tests);
}
