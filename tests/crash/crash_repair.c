/* SPDX-License-Identifier: MIT */
/*
 * crash_repair.c - damaged logs, superblocks and checkpoints, repaired; and repairs that are killed
 *
 *   R1  After a repair the store opens, verifies clean, and holds the contents after some step: none
 *       invented, and all of them when only one superblock or checkpoint was damaged.
 *   R2  What was cut off is in lost+found/.
 *   R3  A repair killed at any of its points, and done again, ends with the same contents as one that
 *       was not; in between the store is refused, or holds at least these.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "mem/superblock.h"
#include "recovery/repair.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tools/torture_trail.h"

#define STEPS 900u
#define CHILD_SECONDS 60u
#define KILLS_MAX 40u /* points of one repair at which it is killed, at most */
#define NOT_OPEN UINT64_MAX

static char master[TMPSTORE_PATH_MAX], victim[TMPSTORE_PATH_MAX], spare[TMPSTORE_PATH_MAX];

static void set_up(void)
{
	tmpstore_new(master);
	tmpstore_new(victim);
	tmpstore_new(spare);
}

static void tear_down(void)
{
	testpoint_reset();
	tmpstore_free(master);
	tmpstore_free(victim);
	tmpstore_free(spare);
}

static struct bwt_options store_options(unsigned flags)
{
	return (struct bwt_options){
		.flags = flags,
		.max_size = (uint64_t)1 << 30,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.inline_max = 1000,
		.checkpoint_wal_bytes = (uint64_t)BWT_OFF,
		.checkpoint_interval_ms = (unsigned)BWT_OFF,
		.worker_count = (unsigned)BWT_OFF,
	};
}

/* The store to damage, with two checkpoints on the way: closed, or as a killed process leaves it. */
static void make_master(bool killed)
{
	struct bwt_options options = store_options(BWT_CREATE);
	char path[TMPSTORE_PATH_MAX];
	uint8_t *room = malloc(TRAIL_VALUE_MAX);
	struct bwt_tree *tree;
	struct bwt_db *db = NULL;

	tmpstore_new(path);
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &options, &db), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
	for (uint64_t step = 1; step <= STEPS; step++) {
		CU_ASSERT_EQUAL_FATAL(trail_do(tree, NULL, 0, step, room), BWT_OK);
		if (step == 300 || step == 600)
			CU_ASSERT_EQUAL_FATAL(bwt_checkpoint(db), BWT_OK);
	}
	if (killed)
		tmpstore_copy(path, master);
	CU_ASSERT_EQUAL_FATAL(bwt_close(db), BWT_OK);
	if (!killed)
		tmpstore_copy(path, master);
	tmpstore_free(path);
	free(room);
}

/* The step after which the store's contents are, NOT_OPEN, or STEPS + 1: contents of no step. */
static uint64_t step_of(const char *path)
{
	struct bwt_options options = store_options(BWT_RDONLY | BWT_CATCH_SIGBUS);
	struct trail_state state = {0};
	struct bwt_tree *tree;
	struct bwt_db *db;
	char why[200];
	uint64_t step = STEPS + 1;

	if (bwt_open(path, &options, &db) != BWT_OK)
		return NOT_OPEN;
	if (bwt_tree_open(db, NULL, 0, &tree) == BWT_OK && trail_match(tree, 0, &state, STEPS, why))
		step = state.step;
	bwt_close(db);
	return step;
}

static unsigned said;

static void count_action(void *ctx, const char *action)
{
	(void)ctx;
	if (getenv("VERBOSE") != NULL)
		printf("    action: %s\n", action);
	said++;
}

/* As bwt-fsck --repair does it. */
static int repair(const char *path)
{
	struct repair mending = {.path = path, .say = count_action};
	struct bwt_options options = store_options(BWT_CATCH_SIGBUS);
	struct bwt_db *db = NULL;
	int rc = repair_files(&mending);

	if (rc == BWT_OK)
		rc = bwt_open(path, &options, &db);
	return rc != BWT_OK ? rc : bwt_close(db);
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity != BWT_NOTE)
		printf("    %s offset %" PRIu64 ": %s\n", finding->file, finding->offset,
		       finding->text);
}

static void expect_repaired(uint64_t least)
{
	uint64_t step;
	int rc;

	said = 0;
	rc = repair(victim);
	if (rc != BWT_OK)
		printf("    repair: %d: %s\n", rc, bwt_detail());
	CU_ASSERT_EQUAL(rc, BWT_OK);
	CU_ASSERT_EQUAL(bwt_verify(victim, 0, print_finding, NULL), BWT_OK);
	step = step_of(victim);
	CU_ASSERT_TRUE(step <= STEPS && step >= least);
}

/* ---- damage ---- */

static void overwrite(const char *folder, const char *name, off_t off, size_t size, uint8_t with)
{
	char path[TMPSTORE_PATH_MAX];
	uint8_t *bytes = malloc(size);
	int fd;

	memset(bytes, with, size);
	tmpstore_join(path, folder, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT_EQUAL(pwrite(fd, bytes, size, off), (ssize_t)size);
	close(fd);
	free(bytes);
}

/* Bytes of the first file there whose name begins so; -1: none. */
static off_t lost_bytes(const char *begin)
{
	char folder[TMPSTORE_PATH_MAX], path[TMPSTORE_PATH_MAX];
	struct dirent *entry;
	struct stat st;
	off_t bytes = -1;
	DIR *dir;

	tmpstore_join(folder, victim, "lost+found");
	dir = opendir(folder);
	while (dir != NULL && bytes < 0 && (entry = readdir(dir)) != NULL) {
		tmpstore_join(path, folder, entry->d_name);
		if (strncmp(entry->d_name, begin, strlen(begin)) == 0 && stat(path, &st) == 0)
			bytes = st.st_size;
	}
	if (dir != NULL)
		closedir(dir);
	return bytes;
}

static void one_damaged_superblock_or_image_is_replaced_and_costs_nothing(void)
{
	for (unsigned killed = 0; killed < 2; killed++) {
		make_master(killed == 1);
		for (unsigned slot = 0; slot < 2; slot++) {
			struct superblock super;
			char arena[TMPSTORE_PATH_MAX];
			int fd;

			tmpstore_copy(master, victim);
			overwrite(victim, "arena", (off_t)SUPERBLOCK_OFF(slot) + 0x20, 64, 0x5a);
			expect_repaired(STEPS);
			CU_ASSERT_TRUE(lost_bytes(slot == 0 ? "superblock-0" : "superblock-1") ==
			               SUPERBLOCK_SIZE);
			tmpstore_copy(master, victim);
			tmpstore_join(arena, victim, "arena");
			fd = open(arena, O_RDONLY | O_CLOEXEC);
			CU_ASSERT_EQUAL_FATAL(superblock_read(fd, slot, &super), BWT_OK);
			close(fd);
			overwrite(victim, "arena", (off_t)super.root + 40, 8, 0x5a);
			expect_repaired(STEPS);
		}
		tmpstore_copy(master, victim);
		said = 0;
		CU_ASSERT_EQUAL(repair(victim), BWT_OK);
		CU_ASSERT_EQUAL(said, 0); /* nothing to do */
		CU_ASSERT_EQUAL(step_of(victim), STEPS);
	}
}

static void without_superblocks_it_says_that_rebuild_is_the_way(void)
{
	make_master(true);
	tmpstore_copy(master, victim);
	overwrite(victim, "arena", 0x20, 64, 0x5a);
	overwrite(victim, "arena", (off_t)SUPERBLOCK_OFF(1) + 0x20, 64, 0x5a);
	CU_ASSERT_EQUAL(repair(victim), BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "--rebuild"));
}

/* ---- logs ---- */

struct log_files {
	char name[8][64];
	off_t size[8];
	unsigned count;
};

static struct log_files log_files(void)
{
	struct log_files files = {.count = 0};

	for (unsigned seq = 1; seq < 64 && files.count < 8; seq++) {
		char path[TMPSTORE_PATH_MAX], name[64];
		struct stat st;

		snprintf(name, sizeof name, "wal/%016x.wal", seq);
		tmpstore_join(path, master, name);
		if (stat(path, &st) != 0)
			continue;
		snprintf(files.name[files.count], sizeof files.name[0], "%s", name);
		files.size[files.count++] = st.st_size;
	}
	return files;
}

/* One act of damage to the log of the victim. */
static void damage_log(struct rng *rng, const struct log_files *files)
{
	unsigned i = (unsigned)rng_below(rng, files->count);
	off_t off = (off_t)rng_below(rng, (uint64_t)files->size[i]);
	size_t room = (size_t)(files->size[i] - off);
	size_t size = 1 + (size_t)rng_below(rng, room < 20000 ? room : 20000);
	char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, victim, files->name[i]);
	switch (rng_below(rng, 5)) {
	case 0:
		CU_ASSERT_EQUAL(truncate(path, off), 0);
		break;
	case 1:
		CU_ASSERT_EQUAL(unlink(path), 0);
		break;
	case 2: /* both headers */
		overwrite(victim, files->name[i], 0, 8192, 0x77);
		break;
	case 3:
		overwrite(victim, files->name[i], off, size, 0);
		break;
	default:
		overwrite(victim, files->name[i], off, size, 0x77);
		break;
	}
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What it ends with when nothing cuts it off; STEPS + 2: the damage had no effect. */
static uint64_t whole_repair(void)
{
	tmpstore_copy(victim, spare);
	said = 0;
	CU_ASSERT_EQUAL(repair(spare), BWT_OK);
	return step_of(spare);
}

static bool die(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	if (strncmp(name, "repair_", 7) != 0 && strncmp(name, "recover_", 8) != 0 &&
	    strncmp(name, "checkpoint_p", 12) != 0)
		return false;
	if (hit >= *(uint64_t *)ctx)
		raise(SIGKILL);
	return false;
}

/* false: it came to its end before the @nth point. */
static bool killed_at(uint64_t nth)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS);
		testpoint_set("*", 0, die, &nth);
		_exit(repair(victim) == BWT_OK ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
	               (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	return WIFSIGNALED(status);
}

static void repair_again_and_again(bool kill_it)
{
	double deadline = seconds() + (suite_short() ? 2 : 10);
	uint64_t seed = rng_seed(), cases = 0, cuts = 0, kills = 0;
	unsigned before = CU_get_number_of_failures();

	make_master(true);
	for (struct log_files files = log_files(); seconds() < deadline; cases++) {
		struct rng rng;
		uint64_t whole;

		rng_init(&rng, seed + cases);
		tmpstore_copy(master, victim);
		damage_log(&rng, &files);
		if (rng_chance(&rng, 30))
			overwrite(victim, "arena", (off_t)SUPERBLOCK_OFF(rng_below(&rng, 2)) + 0x20,
			          64, 0x5a);
		whole = whole_repair();
		cuts += said > 0;
		CU_ASSERT_TRUE(whole <= STEPS);
		CU_ASSERT_EQUAL(bwt_verify(spare, 0, print_finding, NULL), BWT_OK);
		for (uint64_t nth = 1; kill_it && nth <= KILLS_MAX; nth++) {
			uint64_t between;
			bool killed = killed_at(1 + rng_below(&rng, 12));

			kills += killed;
			between = step_of(victim);
			CU_ASSERT_TRUE(between == NOT_OPEN || (between <= STEPS && between >= whole));
			if (!killed)
				break;
		}
		if (kill_it) {
			CU_ASSERT_EQUAL(repair(victim), BWT_OK);
			CU_ASSERT_EQUAL(step_of(victim), whole);
		}
		if (CU_get_number_of_failures() != before) {
			printf("    SEED=%" PRIu64 ", step %" PRIu64 "\n", seed + cases, whole);
			break;
		}
	}
	printf("    %" PRIu64 " damaged logs, %" PRIu64 " repaired, %" PRIu64 " kills\n", cases,
	       cuts, kills);
	CU_ASSERT_TRUE(cuts > 0);
}

static void a_damaged_log_is_cut_and_the_contents_are_those_after_some_step(void)
{
	repair_again_and_again(false);
}

static void a_repair_killed_at_any_point_and_done_again_ends_the_same(void)
{
	repair_again_and_again(true);
}

static void what_is_cut_off_is_in_lost_and_found(void)
{
	unsigned cut = 0, moved = 0;
	struct log_files files;

	make_master(true);
	files = log_files();
	for (unsigned at = 0; at < 12 * files.count; at++) {
		unsigned i = at / 12;
		char name[128];

		tmpstore_copy(master, victim);
		overwrite(victim, files.name[i], 8192 + (files.size[i] - 8192) / 12 * (at % 12),
		          100, 0x77);
		expect_repaired(600);
		if (step_of(victim) == STEPS)
			continue; /* below the cut of the newest checkpoint, or behind the end */
		cut++;
		snprintf(name, sizeof name, "%s.from-", files.name[i] + 4);
		/* Or the record began in the segment before, and all of this one went. */
		CU_ASSERT_TRUE(lost_bytes(name) > 0 ||
		               lost_bytes(files.name[i] + 4) == files.size[i]);
		if (i + 1 < files.count) {
			moved++;
			CU_ASSERT_EQUAL(lost_bytes(files.name[i + 1] + 4), files.size[i + 1]);
		}
	}
	CU_ASSERT_TRUE(cut > 0 && moved > 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(one_damaged_superblock_or_image_is_replaced_and_costs_nothing),
		TEST(without_superblocks_it_says_that_rebuild_is_the_way),
		TEST(what_is_cut_off_is_in_lost_and_found),
		TEST(a_damaged_log_is_cut_and_the_contents_are_those_after_some_step),
		TEST(a_repair_killed_at_any_point_and_done_again_ends_the_same),
		CU_TEST_INFO_NULL,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return suite_run("crash_repair", set_up, tear_down, tests);
}
