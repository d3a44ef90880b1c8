/* SPDX-License-Identifier: MIT */
/*
 * stress_large.c - one value of hundreds of megabytes, with LONG of the largest size: it is put, read, compared and
 * verified without a second copy of it in memory
 *
 * Memory is what the process may map beyond what it has: RLIMIT_AS, lowered for each call.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bwt.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define SLACK                                                                                      \
	((uint64_t)48 << 20) /* bytes of memory for all but the value; stacks of threads, too */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAPS_AS_IT_LIKES true /* the sanitizer */
#else
#define MAPS_AS_IT_LIKES false
#endif

static char path[TMPSTORE_PATH_MAX];
static struct bwt_db *db;
static struct bwt_tree *tree;
static const struct bwt_slice key = {"large", 5};
static uint8_t *value;
static size_t size;

static void open_store(void)
{
	const struct bwt_options options = {.flags = BWT_CREATE, .durability = BWT_NONE};

	if (bwt_open(path, &options, &db) < 0 || bwt_tree_open(db, NULL, 0, &tree) < 0)
		abort();
}

static uint64_t mapped(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL || fscanf(file, "%llu", &pages) != 1)
		abort();
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Until the next call nobody maps more than @bytes and the slack. */
static void allow(uint64_t bytes)
{
	struct rlimit limit;

	if (MAPS_AS_IT_LIKES)
		return;
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = mapped() + bytes + SLACK;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
}

static void allow_all(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = limit.rlim_max;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
}

/* Bytes that tell where they belong, without a random number for each. */
static void make_value(void)
{
	uint64_t word;

	value = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (value == MAP_FAILED)
		abort();
	for (size_t i = 0; i + 8 <= size; i += 8) {
		word = i * 0x9e3779b97f4a7c15u;
		memcpy(value + i, &word, 8);
	}
}

static void a_large_value_is_put_in_pieces(void)
{
	allow(0);
	CU_ASSERT_EQUAL(bwt_put(tree, NULL, key, (struct bwt_slice){value, size}, 0), BWT_OK);
	allow_all();
}

static void it_is_read_into_the_callers_buffer(void)
{
	struct bwt_buf got = {0};

	allow(size);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, &got), BWT_OK);
	CU_ASSERT_TRUE(got.size == size && memcmp(got.data, value, size) == 0);
	memset(got.data, 0, size);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, &got), BWT_OK); /* the same memory again */
	CU_ASSERT_TRUE(got.size == size && memcmp(got.data, value, size) == 0);
	allow_all();
	bwt_buf_free(&got);
}

static void it_is_compared_in_pieces(void)
{
	struct bwt_slice all = {value, size};

	allow(0);
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, &all, &all), BWT_OK);
	value[size / 2] ^= 1;
	CU_ASSERT_EQUAL(bwt_cas(tree, NULL, key, &all, &key), BWT_MISMATCH);
	value[size / 2] ^= 1;
	allow_all();
}

static void it_is_verified_and_there_after_opening_again(void)
{
	struct bwt_buf got = {0};

	CU_ASSERT_EQUAL_FATAL(bwt_close(db), BWT_OK);
	CU_ASSERT_EQUAL(bwt_verify(path, 0, NULL, NULL), BWT_OK);
	open_store();
	allow(size);
	CU_ASSERT_EQUAL(bwt_get(tree, NULL, key, &got), BWT_OK);
	CU_ASSERT_TRUE(got.size == size && memcmp(got.data, value, size) == 0);
	allow_all();
	bwt_buf_free(&got);
}

static bool has_room(void)
{
	struct statvfs disk;
	uint64_t memory = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	return statvfs(path, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize > 3 * size &&
	       memory > 2 * size + ((uint64_t)1 << 30);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_large_value_is_put_in_pieces),
		TEST(it_is_read_into_the_callers_buffer),
		TEST(it_is_compared_in_pieces),
		TEST(it_is_verified_and_there_after_opening_again),
		CU_TEST_INFO_NULL,
	};
	int rc;

	size = getenv("LONG") != NULL ? BWT_VALUE_MAX : suite_short() ? 30000001 : 300000001;
	mallopt(M_ARENA_MAX,
	        1); /* threads of the store would map some memory for each, when they like */
	tmpstore_new(path);
	if (!has_room()) {
		tmpstore_free(path);
		return suite_skip("too little memory or disk for the value");
	}
	make_value();
	open_store();
	rc = suite_run("stress_large", NULL, NULL, tests);
	bwt_close(db);
	tmpstore_free(path);
	return rc;
}
