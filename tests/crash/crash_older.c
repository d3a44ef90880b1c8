/* SPDX-License-Identifier: MIT */
/*
 * crash_older.c - a file of the store replaced by an older copy of it, or by that of another store
 *
 *   O1  A file of another store: refused, or not needed; never one byte of it among the answers.
 *   O2  An older copy: refused, or the contents after some step. Where the log's newest file is older than what was
 *       acknowledged, or the whole store is, no trace tells, and the step is an earlier one; in all other cases
 *       the contents are all there, or it is noticed.
 *
 * Each look is made in a child, so that a fault is seen as what it is.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tools/torture_trail.h"

#define PICTURES 6u /* copies of one store in the course of its life */
#define STEPS 250u  /* between two of them */
#define NAMES_MAX 64u
#define CHILD_SECONDS 60u

enum outcome {
	WHOLE,   /* all steps */
	REFUSED, /* at opening, or at some key */
	EARLIER, /* as after an earlier step, without a word */
	WRONG,   /* as after no step */
	FAULTED,
	OUTCOMES,
};

struct names {
	char name[NAMES_MAX][64];
	unsigned count;
};

static char pictures[PICTURES][TMPSTORE_PATH_MAX], other[TMPSTORE_PATH_MAX];
static char victim[TMPSTORE_PATH_MAX];

static struct bwt_options store_options(unsigned flags)
{
	return (struct bwt_options){
		.flags = flags,
		.max_size = (uint64_t)1 << 30,
		.wal_segment_size = (uint64_t)128 << 10,
		.vlog_segment_size = (uint64_t)128 << 10,
		.inline_max = 1000,
		.checkpoint_wal_bytes = (uint64_t)BWT_OFF,
		.checkpoint_interval_ms = (unsigned)BWT_OFF,
		.worker_count = (unsigned)BWT_OFF,
	};
}

/* A life of writer @writer, with pictures of the store as a killed process would leave it, or closed ones. */
static void make_pictures(struct rng *rng, unsigned writer, char (*to)[TMPSTORE_PATH_MAX],
                          unsigned count)
{
	struct bwt_options options = store_options(BWT_CREATE);
	char path[TMPSTORE_PATH_MAX];
	uint8_t *room = malloc(TRAIL_VALUE_MAX);
	struct bwt_tree *tree;
	struct bwt_db *db;
	uint64_t step = 0;

	tmpstore_new(path);
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &options, &db), BWT_OK);
	for (unsigned i = 0; i < count; i++) {
		CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
		while (step < (i + 1) * STEPS) {
			CU_ASSERT_EQUAL_FATAL(trail_do(tree, NULL, writer, ++step, room), BWT_OK);
			if (rng_chance(rng, 1))
				CU_ASSERT_EQUAL(bwt_checkpoint(db), BWT_OK);
		}
		if (rng_chance(rng, 50)) {
			CU_ASSERT_EQUAL(bwt_close(db), BWT_OK);
			tmpstore_copy(path, to[i]);
			CU_ASSERT_EQUAL_FATAL(bwt_open(path, &options, &db), BWT_OK);
		} else {
			tmpstore_copy(path, to[i]);
		}
	}
	CU_ASSERT_EQUAL(bwt_close(db), BWT_OK);
	tmpstore_free(path);
	free(room);
}

static void set_up(void)
{
	for (unsigned i = 0; i < PICTURES; i++)
		tmpstore_new(pictures[i]);
	tmpstore_new(other);
	tmpstore_new(victim);
}

static void tear_down(void)
{
	for (unsigned i = 0; i < PICTURES; i++)
		tmpstore_free(pictures[i]);
	tmpstore_free(other);
	tmpstore_free(victim);
}

/* ---- files ---- */

static void list(struct names *names, const char *store, const char *folder)
{
	char path[TMPSTORE_PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	tmpstore_join(path, store, folder);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL && names->count < NAMES_MAX)
		if (entry->d_name[0] != '.')
			snprintf(names->name[names->count++], 64, "%s/%.50s", folder, entry->d_name);
	if (dir != NULL)
		closedir(dir);
}

static int by_name(const void *left, const void *right)
{
	return strcmp(left, right);
}

/* Files that both stores have, in an order that does not depend on the file system. */
static struct names common_files(const char *store, const char *older)
{
	struct names all = {.name = {"arena"}, .count = 1}, both = {.count = 0};

	list(&all, store, "wal");
	list(&all, store, "vlog");
	qsort(all.name, all.count, sizeof all.name[0], by_name);
	for (unsigned i = 0; i < all.count; i++) {
		char path[TMPSTORE_PATH_MAX];

		tmpstore_join(path, older, all.name[i]);
		if (access(path, R_OK) == 0)
			memcpy(both.name[both.count++], all.name[i], sizeof all.name[i]);
	}
	return both;
}

static void replace(const char *name, const char *from_store)
{
	char from[TMPSTORE_PATH_MAX], to[TMPSTORE_PATH_MAX], bytes[65536];
	size_t got;
	FILE *in, *out;

	tmpstore_join(from, from_store, name);
	tmpstore_join(to, victim, name);
	in = fopen(from, "r");
	out = fopen(to, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(in);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	while ((got = fread(bytes, 1, sizeof bytes, in)) > 0)
		CU_ASSERT_EQUAL(fwrite(bytes, 1, got, out), got);
	fclose(in);
	CU_ASSERT_EQUAL(fclose(out), 0);
}

/* ---- looking ---- */

static enum outcome compare(struct bwt_tree *tree, uint64_t steps)
{
	struct trail_state full = {0}, any = {0};
	char why[200];

	for (unsigned key = 0; key < TRAIL_KEYS; key++) {
		struct bwt_buf buf = {NULL, 0, 0};
		uint8_t room[TRAIL_KEY_SIZE_MAX];
		int rc = bwt_get(tree, NULL, trail_key(0, key, room), &buf);

		bwt_buf_free(&buf);
		if (rc != BWT_OK && rc != BWT_NOT_FOUND)
			return REFUSED;
	}
	while (full.step < steps)
		trail_advance(0, &full);
	if (trail_match(tree, 0, &full, steps, why))
		return WHOLE;
	if (trail_match(tree, 0, &any, steps, why))
		return EARLIER;
	printf("    %s\n", why);
	fflush(stdout);
	return WRONG;
}

static enum outcome use(unsigned flags, uint64_t steps)
{
	struct bwt_options options = store_options(flags | BWT_CATCH_SIGBUS);
	enum outcome outcome = REFUSED;
	struct bwt_tree *tree;
	struct bwt_db *db;

	if (bwt_open(victim, &options, &db) != BWT_OK)
		return REFUSED;
	if (bwt_tree_open(db, NULL, 0, &tree) == BWT_OK)
		outcome = compare(tree, steps);
	bwt_close(db);
	return outcome;
}

static enum outcome look(unsigned flags, uint64_t steps)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS);
		_exit((int)use(flags, steps));
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return FAULTED;
	return (enum outcome)WEXITSTATUS(status);
}

/* ---- tests ---- */

static void expect_rules(unsigned found[OUTCOMES], enum outcome outcome, const char *name,
                         bool may_be_earlier)
{
	found[outcome]++;
	if (outcome == WHOLE || outcome == REFUSED || (outcome == EARLIER && may_be_earlier))
		return;
	printf("    outcome %d with another %s\n", outcome, name);
	CU_FAIL("a replaced file is not noticed");
}

static void say(const char *what, const unsigned found[OUTCOMES])
{
	printf("    %s: %u times all was there, %u times refused, %u times an earlier step\n", what,
	       found[WHOLE], found[REFUSED], found[EARLIER]);
}

static void an_older_copy_of_one_file_is_noticed_or_costs_nothing_or_is_an_earlier_step(void)
{
	unsigned rounds = suite_short() ? 1 : 8, found[OUTCOMES] = {0};
	uint64_t seed = rng_seed();

	for (unsigned round = 0; round < rounds; round++) {
		struct rng rng;

		rng_init(&rng, seed + round);
		make_pictures(&rng, 0, pictures, PICTURES);
		for (unsigned old = 0; old + 1 < PICTURES; old++) {
			struct names names = common_files(pictures[PICTURES - 1], pictures[old]);

			for (unsigned i = 0; i < names.count; i++) {
				tmpstore_copy(pictures[PICTURES - 1], victim);
				replace(names.name[i], pictures[old]);
				expect_rules(found,
				             look(old % 2 == 0 ? BWT_RDONLY : 0, PICTURES * STEPS),
				             names.name[i], strncmp(names.name[i], "wal/", 4) == 0);
			}
		}
	}
	say("older copies", found);
	CU_ASSERT_TRUE(found[REFUSED] > 0 && found[WHOLE] > 0);
}

static void a_file_of_another_store_is_refused_or_not_needed(void)
{
	uint64_t seed = rng_seed();
	unsigned found[OUTCOMES] = {0};
	struct names names;
	struct rng rng;

	rng_init(&rng, seed);
	make_pictures(&rng, 0, pictures, PICTURES);
	make_pictures(&rng, 1, &other, 1);
	for (unsigned at = 0; at < PICTURES; at++) {
		names = common_files(pictures[at], other);
		for (unsigned i = 0; i < names.count; i++) {
			tmpstore_copy(pictures[at], victim);
			replace(names.name[i], other);
			expect_rules(found, look(at % 2 == 0 ? BWT_RDONLY : 0, (at + 1) * STEPS),
			             names.name[i], false);
		}
	}
	say("files of another store", found);
	CU_ASSERT_TRUE(found[REFUSED] > 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(an_older_copy_of_one_file_is_noticed_or_costs_nothing_or_is_an_earlier_step),
		TEST(a_file_of_another_store_is_refused_or_not_needed),
		CU_TEST_INFO_NULL,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return suite_run("crash_older", set_up, tear_down, tests);
}
