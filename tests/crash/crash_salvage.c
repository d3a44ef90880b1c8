/* SPDX-License-Identifier: MIT */
/*
 * crash_salvage.c - stores without superblocks and checkpoints, put together again from pages and log
 *
 * Random changes to three trees, with checkpoints, crashes and reopening on the way, against an
 * oracle; then both superblocks and every block of every image are destroyed. What salvage() finds must be exactly
 * the oracle, and it must say so; where it cannot be sure, it must say that. With more destroyed (the log, some pages) it may say that keys are lost or older,
 * but never hand out a pair that nobody ever put.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mem/superblock.h"
#include "recovery/salvage.h"
#include "recovery/store_files.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define TREES 3u
#define KEYS 1500u
#define VALUE_MAX 6000u

struct oracle { /* the number of the put that each key holds, 0: absent */
	uint32_t put[TREES][KEYS];
	bool there[TREES];
	uint32_t puts;
};

static struct oracle oracle;
static char path[TMPSTORE_PATH_MAX], victim[TMPSTORE_PATH_MAX];

static void set_up(void)
{
	tmpstore_new(path);
	tmpstore_new(victim);
}

static void tear_down(void)
{
	tmpstore_free(path);
	tmpstore_free(victim);
}

static const char *const names[TREES] = {NULL, "one", "two"};

static struct bwt_slice key_of(uint32_t tree, uint32_t key, char room[40])
{
	/* Of different lengths, in an order of their own. */
	return (struct bwt_slice){room,
	                          (size_t)snprintf(room, 40, "%u-%08x%.*s", tree, key * 2654435761u,
	                                           (int)(key % 9), "abcdefghi")};
}

static struct bwt_slice value_of(uint32_t tree, uint32_t key, uint32_t put, uint8_t room[VALUE_MAX])
{
	uint32_t head[3] = {tree, key, put};
	struct rng rng;
	size_t size;

	rng_init(&rng, put * UINT64_C(7919) + key);
	size = sizeof head + rng_below(&rng, rng_chance(&rng, 3) ? VALUE_MAX - sizeof head : 120);
	rng_fill(&rng, room, size);
	memcpy(room, head, sizeof head);
	return (struct bwt_slice){room, size};
}

/* ---- making a store ---- */

static struct bwt_db *open_store(const char *where)
{
	struct bwt_options options = {
		.flags = BWT_CREATE,
		.durability = BWT_NONE,
		.max_size = (uint64_t)1 << 30,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.inline_max = 1000,
		.checkpoint_wal_bytes = (uint64_t)BWT_OFF,
		.checkpoint_interval_ms = (unsigned)BWT_OFF,
		.worker_count = (unsigned)BWT_OFF,
	};
	struct bwt_db *db = NULL;

	CU_ASSERT_EQUAL_FATAL(bwt_open(where, &options, &db), BWT_OK);
	return db;
}

static void change(struct bwt_db *db, struct rng *rng, uint32_t tree)
{
	uint32_t key = (uint32_t)rng_below(rng, rng_chance(rng, 50) ? KEYS : KEYS / 10);
	uint8_t value[VALUE_MAX];
	struct bwt_tree *handle;
	char room[40];

	if (bwt_tree_open(db, names[tree], BWT_CREATE, &handle) != BWT_OK)
		CU_FAIL_FATAL("cannot open a tree");
	oracle.there[tree] = true;
	if (rng_chance(rng, 25)) {
		int rc = bwt_delete(handle, NULL, key_of(tree, key, room));

		CU_ASSERT_TRUE(rc == BWT_OK || rc == BWT_NOT_FOUND);
		oracle.put[tree][key] = 0;
		return;
	}
	oracle.put[tree][key] = ++oracle.puts;
	CU_ASSERT_EQUAL(bwt_put(handle, NULL, key_of(tree, key, room),
	                        value_of(tree, key, oracle.puts, value), 0),
	                BWT_OK);
}

/* Several puts that commit together, now and then so many that the log holds them in parts; or an abort. */
static void change_in_transaction(struct bwt_db *db, struct rng *rng)
{
	static struct {
		uint32_t key, put;
	} done[4000];
	unsigned count = 1 + (unsigned)rng_below(rng, rng_chance(rng, 3) ? 4000 : 20);
	bool commit = rng_chance(rng, 80);
	struct bwt_tree *tree;
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(db, 0, &txn), BWT_OK);
	for (unsigned i = 0; i < count; i++) {
		uint8_t value[VALUE_MAX];
		char room[40];

		done[i].key = (uint32_t)rng_below(rng, KEYS);
		done[i].put = ++oracle.puts;
		CU_ASSERT_EQUAL_FATAL(bwt_put(tree, txn, key_of(0, done[i].key, room),
		                              value_of(0, done[i].key, done[i].put, value), 0),
		                      BWT_OK);
	}
	if (!commit) {
		bwt_abort(txn);
		return;
	}
	CU_ASSERT_EQUAL_FATAL(bwt_commit(txn), BWT_OK);
	for (unsigned i = 0; i < count; i++)
		oracle.put[0][done[i].key] = done[i].put;
}

static void drop(struct bwt_db *db, uint32_t tree)
{
	int rc = bwt_tree_drop(db, names[tree]);

	CU_ASSERT_TRUE(rc == BWT_OK || rc == BWT_NOT_FOUND);
	oracle.there[tree] = false;
	memset(oracle.put[tree], 0, sizeof oracle.put[tree]);
}

/* A store after random work in @path, its files in @victim; @lives: how often it is killed or closed on the way. */
static void make_store(struct rng *rng, unsigned lives)
{
	struct bwt_db *db = NULL;
	bool kill_it;

	memset(&oracle, 0, sizeof oracle);
	oracle.there[0] = true;
	tmpstore_clear(path);
	for (unsigned life = 0; life < lives; life++) {
		unsigned changes = (unsigned)rng_below(rng, 4000);

		db = open_store(path);
		for (unsigned i = 0; i < changes; i++) {
			if (rng_chance(rng, 1))
				change_in_transaction(db, rng);
			change(db, rng, (uint32_t)rng_below(rng, TREES));
			if (rng_chance(rng, 1) && rng_chance(rng, 30))
				CU_ASSERT_EQUAL(bwt_checkpoint(db), BWT_OK);
			if (rng_chance(rng, 1) && rng_chance(rng, 4))
				drop(db, 1 + (uint32_t)rng_below(rng, 2));
		}
		kill_it = rng_chance(rng, 60);
		if (kill_it) {
			CU_ASSERT_EQUAL(bwt_sync(db), BWT_OK);
			tmpstore_copy(path, victim);
		}
		CU_ASSERT_EQUAL(bwt_close(db), BWT_OK);
		if (kill_it)
			tmpstore_copy(victim, path);
	}
	tmpstore_copy(path, victim);
}

/* ---- destroying ---- */

static void destroy_tables(void)
{
	char name[TMPSTORE_PATH_MAX];
	struct stat st;
	uint8_t *bytes;
	int fd;

	tmpstore_join(name, victim, "arena");
	fd = open(name, O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(fstat(fd, &st), 0);
	bytes = aligned_alloc(4096, (size_t)st.st_size);
	CU_ASSERT_EQUAL_FATAL(pread(fd, bytes, (size_t)st.st_size, 0), (ssize_t)st.st_size);
	memset(bytes, 0x5a, EXTENT_SMALL_SIZE);
	for (uint64_t off = EXTENT_SMALL_SIZE; off + 64 < (uint64_t)st.st_size; off += BLOCK_ALIGN) {
		struct block_head *head = (struct block_head *)(bytes + off);
		extent_id id = extent_of(off);
		uint64_t room = extent_start(id) + extent_size(id) - off;

		if (head->tag < BLOCK_IMAGE_SEGMENT || !block_valid(head, room))
			continue;
		memset(head, 0x5a, sizeof *head);
	}
	CU_ASSERT_EQUAL(pwrite(fd, bytes, (size_t)st.st_size, 0), (ssize_t)st.st_size);
	free(bytes);
	close(fd);
}

/* Junk over some of a file below @folder of the victim. */
static void destroy_some(struct rng *rng, const char *folder)
{
	char dir_name[TMPSTORE_PATH_MAX], name[TMPSTORE_PATH_MAX];
	struct dirent *entry;
	uint8_t junk[3000];
	DIR *dir;

	tmpstore_join(dir_name, victim, folder);
	dir = opendir(dir_name);
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;
		int fd;

		tmpstore_join(name, dir_name, entry->d_name);
		fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 10000 && rng_chance(rng, 50)) {
			rng_fill(rng, junk, sizeof junk);
			if (pwrite(fd, junk, sizeof junk,
			           (off_t)rng_below(rng, (uint64_t)st.st_size - sizeof junk)) < 0)
				CU_FAIL("cannot write junk");
		}
		if (fd >= 0)
			close(fd);
		if (rng_chance(rng, 10) && strcmp(folder, "wal") == 0)
			unlink(name);
	}
	closedir(dir);
}

/* ---- comparing ---- */

struct compare {
	uint32_t tree;
	uint32_t seen[TREES][KEYS]; /* puts that were handed out */
	bool began[TREES];
	unsigned wrong; /* pairs that nobody put, or put there, or out of order */
	char last[40];
	unsigned damages, warnings;
};

static int compare_tree(void *ctx, const char *name)
{
	struct compare *compare = ctx;

	for (compare->tree = 0; compare->tree < TREES; compare->tree++)
		if ((name == NULL) == (names[compare->tree] == NULL) &&
		    (name == NULL || strcmp(name, names[compare->tree]) == 0))
			break;
	CU_ASSERT_TRUE_FATAL(compare->tree < TREES);
	compare->began[compare->tree] = true;
	compare->last[0] = '\0';
	return 0;
}

static int compare_pair(void *ctx, struct bwt_slice key, struct bwt_slice value)
{
	struct compare *compare = ctx;
	uint8_t room[VALUE_MAX];
	uint32_t head[3] = {0};
	char text[40] = "";
	struct bwt_slice wanted, wanted_key;
	char key_room[40];

	if (value.size >= sizeof head)
		memcpy(head, value.data, sizeof head);
	if (value.size < sizeof head || head[0] != compare->tree || head[1] >= KEYS ||
	    head[2] == 0 || head[2] > oracle.puts || key.size >= sizeof text) {
		compare->wrong++;
		return 0;
	}
	memcpy(text, key.data, key.size);
	wanted = value_of(head[0], head[1], head[2], room);
	wanted_key = key_of(head[0], head[1], key_room);
	compare->wrong +=
		wanted.size != value.size || memcmp(wanted.data, value.data, value.size) != 0 ||
		wanted_key.size != key.size || memcmp(wanted_key.data, key.data, key.size) != 0 ||
		strcmp(text, compare->last) <= 0;
	strcpy(compare->last, text);
	compare->seen[head[0]][head[1]] = head[2];
	return 0;
}

static void compare_report(void *ctx, const struct bwt_finding *finding)
{
	struct compare *compare = ctx;

	compare->damages += finding->severity == BWT_DAMAGE;
	compare->warnings += finding->severity == BWT_WARNING;
	if (getenv("VERBOSE") != NULL)
		printf("    %d: %s\n", finding->severity, finding->text);
}

static struct salvaged salvage_victim(struct compare *compare)
{
	struct salvage_calls calls = {
		.tree = compare_tree, .pair = compare_pair, .report = compare_report, .ctx = compare};
	struct recover_config config = {.path = victim, .readonly = true};
	struct store files = {
		.dir_fd = -1, .wal_dir_fd = -1, .vlog_dir_fd = -1, .lock_fd = -1, .arena_fd = -1};
	struct salvaged found = {0};
	bool create;

	files.readonly = true;
	memset(compare, 0, sizeof *compare);
	CU_ASSERT_EQUAL_FATAL(store_files_open(&files, &config, &create), BWT_OK);
	CU_ASSERT_EQUAL(salvage(&files, &calls, &found), BWT_OK);
	store_files_close(&files);
	return found;
}

static unsigned differences(const struct compare *compare)
{
	unsigned count = 0;

	for (uint32_t t = 0; t < TREES; t++) {
		count += compare->began[t] != oracle.there[t];
		for (uint32_t k = 0; k < KEYS; k++) {
			if (compare->seen[t][k] == oracle.put[t][k])
				continue;
			count++;
			if (getenv("VERBOSE") != NULL)
				printf("    tree %u, key %u: put %u, not %u of %u\n", t, k,
				       compare->seen[t][k], oracle.put[t][k], oracle.puts);
		}
	}
	return count;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* @more: what is destroyed beside the tables; NULL: nothing, so all must come back. */
static void salvage_many(const char *more)
{
	double deadline = seconds() + (suite_short() ? 2 : 8);
	uint64_t seed = rng_seed(), cases = 0, exact = 0, damaged = 0, silent = 0;
	static struct compare compare;
	unsigned before = CU_get_number_of_failures();

	for (; seconds() < deadline && CU_get_number_of_failures() == before; cases++) {
		struct salvaged found;
		struct rng rng;
		unsigned wrong;

		rng_init(&rng, seed + cases);
		make_store(&rng, 1 + (unsigned)rng_below(&rng, 3));
		destroy_tables();
		if (more != NULL)
			destroy_some(&rng, more);
		found = salvage_victim(&compare);
		wrong = differences(&compare);
		exact += found.exact;
		damaged += compare.damages > 0;
		silent += found.exact && wrong > 0;
		CU_ASSERT_EQUAL(compare.wrong, 0);
		if (more == NULL) {
			/* What it is not sure of it says; nothing is lost. */
			CU_ASSERT_TRUE(wrong == 0 || (!found.exact && compare.warnings > 0));
			CU_ASSERT_EQUAL(compare.damages, 0);
		}
		if (CU_get_number_of_failures() != before)
			printf("    SEED=%" PRIu64
			       ": %u differences, %u wrong, %u damages, %u warnings\n",
			       seed + cases, wrong, compare.wrong, compare.damages, compare.warnings);
	}
	CU_ASSERT_TRUE(more != NULL || exact * 10 >= cases * 8);
	printf("    %" PRIu64 " stores, %" PRIu64 " exact, %" PRIu64 " with losses, %" PRIu64
	       " with differences that left no trace\n",
	       cases, exact, damaged, silent);
}

static void without_superblocks_and_images_all_comes_back_and_is_said_to_be_exact(void)
{
	salvage_many(NULL);
}

static void with_a_damaged_log_too_nothing_is_invented(void)
{
	salvage_many("wal");
}

static void with_damaged_pages_too_nothing_is_invented(void)
{
	salvage_many(".");
}

static void with_damaged_large_values_too_nothing_is_invented(void)
{
	salvage_many("vlog");
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(without_superblocks_and_images_all_comes_back_and_is_said_to_be_exact),
		TEST(with_a_damaged_log_too_nothing_is_invented),
		TEST(with_damaged_pages_too_nothing_is_invented),
		TEST(with_damaged_large_values_too_nothing_is_invented),
		CU_TEST_INFO_NULL,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return suite_run("crash_salvage", set_up, tear_down, tests);
}
