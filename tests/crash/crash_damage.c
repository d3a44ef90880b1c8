/* SPDX-License-Identifier: MIT */
/*
 * crash_damage.c - files cut short, overwritten, zeroed or deleted at random
 *
 * Whatever was done to them: opening, reading, writing and verifying end with a clear error or with
 * the contents that were stored. Never a fault, never a wrong value, never a key lost in silence.
 * All of that runs in a child, so that a signal is seen as what it is.
 *
 * One exception, which no log can avoid: records at the very end of a log that was overwritten up to
 * its end leave no trace. A store that had to be recovered may lack some of the last steps when the
 * log was overwritten there, no more than fit into what was overwritten; it always holds those up to
 * some step (torture_trail.h). Damage before the end is found, because what follows tells of it; and a newest
 * file of the log that is gone is found, because a record reaches into it (in this store: one that ended
 * just there would leave no trace), unless that is damaged too.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mem/superblock.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tools/torture_trail.h"

#define STEPS 900u
#define STEPS_AT_CHECKPOINT 500u
#define FILES_MAX 64u
#define CHILD_SECONDS 60u
#define ACTS_MAX 3u         /* of damage to one store */
#define RECORD_SIZE_MIN 64u /* bytes of a record in the log */

enum child_status {          /* exit status of the child that looks at a damaged store */
	CHILD_WHOLE = 0,     /* opened, all contents there */
	CHILD_REFUSED = 1,   /* an error, at opening or at some keys */
	CHILD_WRONG = 2,     /* contents that no step leaves, without an error */
	CHILD_NO_DETAIL = 3, /* refused without words */
	CHILD_SHORTER = 10,  /* opened, the last steps are missing: 11 is one, 12 two, and so on */
};

static char master[TMPSTORE_PATH_MAX], victim[TMPSTORE_PATH_MAX];
static uint64_t seed;

static struct bwt_options store_options(unsigned flags)
{
	struct bwt_options options = {
		.flags = flags,
		.max_size = (uint64_t)1 << 30,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.inline_max = 1200, /* puts a record across the end of the first log file */
		.checkpoint_wal_bytes = (uint64_t)BWT_OFF,
		.checkpoint_interval_ms = (unsigned)BWT_OFF,
		.worker_count = (unsigned)BWT_OFF,
	};

	return options;
}

/* The store to damage: closed, or (@killed) as a killed process leaves it. */
static void make_master(bool killed)
{
	struct bwt_options options = store_options(BWT_CREATE);
	char path[TMPSTORE_PATH_MAX];
	uint8_t *room = malloc(TRAIL_VALUE_MAX);
	struct bwt_tree *tree;
	struct bwt_db *db;

	tmpstore_new(path);
	tmpstore_new(master);
	tmpstore_new(victim);
	CU_ASSERT_EQUAL_FATAL(bwt_open(path, &options, &db), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
	for (uint64_t step = 1; step <= STEPS; step++) {
		CU_ASSERT_EQUAL_FATAL(trail_do(tree, NULL, 0, step, room), BWT_OK);
		if (step == STEPS_AT_CHECKPOINT)
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

static void free_master(void)
{
	tmpstore_free(master);
	tmpstore_free(victim);
}

/* ---- what the child does ---- */

/* Reads all that it is handed: bad pointers must show here. */
static void read_finding(void *ctx, const struct bwt_finding *finding)
{
	volatile unsigned *sum = ctx;

	*sum += (unsigned)strlen(finding->text);
	*sum += finding->file != NULL ? (unsigned)strlen(finding->file) : 0;
	for (size_t i = 0; finding->low_key.data != NULL && i < finding->low_key.size; i++)
		*sum += ((const uint8_t *)finding->low_key.data)[i];
	for (size_t i = 0; finding->high_key.data != NULL && i < finding->high_key.size; i++)
		*sum += ((const uint8_t *)finding->high_key.data)[i];
}

/* Walk both ways, read all; true when an error came up. */
static bool walk_everything(struct bwt_tree *tree)
{
	bool failed = false;

	for (unsigned way = 0; way < 2; way++) {
		struct bwt_slice key, value;
		struct bwt_cursor *cursor;
		int rc = bwt_cursor_open(tree, NULL, &cursor);

		if (rc != BWT_OK)
			return true;
		while ((rc = way == 0 ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK)
			if (bwt_cursor_key(cursor, &key) != BWT_OK ||
			    bwt_cursor_value(cursor, &value) != BWT_OK)
				failed = true;
		failed |= rc != BWT_NOT_FOUND;
		bwt_cursor_close(cursor);
	}
	return failed;
}

/* Any key that cannot be read makes it refused, any other difference wrong or shorter. */
static int compare_contents(struct bwt_tree *tree)
{
	struct trail_state state = {0}, full = {0};
	char why[200] = "";
	bool failed = walk_everything(tree);

	for (unsigned key = 0; key < TRAIL_KEYS; key++) {
		struct bwt_buf buf = {NULL, 0, 0};
		uint8_t room[TRAIL_KEY_SIZE_MAX];
		int rc = bwt_get(tree, NULL, trail_key(0, key, room), &buf);

		failed |= rc != BWT_OK && rc != BWT_NOT_FOUND;
		bwt_buf_free(&buf);
	}
	if (failed)
		return bwt_detail()[0] == '\0' ? CHILD_NO_DETAIL : CHILD_REFUSED;
	while (full.step < STEPS)
		trail_advance(0, &full);
	if (trail_match(tree, 0, &full, STEPS, why))
		return CHILD_WHOLE;
	if (trail_match(tree, 0, &state, STEPS, why))
		return CHILD_SHORTER + (STEPS - state.step < 200 ? (int)(STEPS - state.step) : 200);
	printf("    %s\n", why);
	fflush(stdout);
	return CHILD_WRONG;
}

/* Writes into a store that may be damaged: only not to fall over. */
static void write_a_little(struct bwt_db *db, struct bwt_tree *tree)
{
	uint8_t *room = malloc(TRAIL_VALUE_MAX);

	for (uint64_t step = 1; step < 60; step++)
		trail_do(tree, NULL, 1, step, room);
	bwt_checkpoint(db);
	free(room);
}

static int use_store(unsigned flags, bool verify)
{
	struct bwt_options options = store_options(flags | BWT_CATCH_SIGBUS);
	struct bwt_tree *tree;
	struct bwt_db *db;
	int rc, status;

	if (verify) {
		unsigned sum = 0;

		bwt_verify(victim, 0, read_finding, &sum);
	}
	rc = bwt_open(victim, &options, &db);
	if (rc != BWT_OK)
		return bwt_detail()[0] == '\0' ? CHILD_NO_DETAIL : CHILD_REFUSED;
	rc = bwt_tree_open(db, NULL, 0, &tree);
	status = rc == BWT_OK ? compare_contents(tree) : CHILD_REFUSED;
	if (rc == BWT_OK && (flags & BWT_RDONLY) == 0)
		write_a_little(db, tree);
	bwt_close(db);
	return status;
}

/* Runs use_store() in a child; its status, or what killed it as a negative number. */
static int use_in_child(unsigned flags, bool verify)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS); /* a loop without end is a fault too */
		_exit(use_store(flags, verify));
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1000;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- damage ---- */

struct files {
	char names[FILES_MAX][TMPSTORE_PATH_MAX];
	unsigned count;
};

static struct files files; /* of the victim: nftw() has no context */

static int note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type == FTW_F && S_ISREG(st->st_mode) && files.count < FILES_MAX)
		snprintf(files.names[files.count++], TMPSTORE_PATH_MAX, "%s", path);
	return 0;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(left, right);
}

static void write_at(int fd, const void *data, size_t size, off_t off)
{
	if (pwrite(fd, data, size, off) != (ssize_t)size)
		CU_FAIL("cannot write damage");
}

/* Where something is stored, mostly: the middle of nowhere is no test. */
static off_t choose_offset(struct rng *rng, int fd, off_t size)
{
	off_t off = 0;

	for (unsigned tries = 0; tries < 20; tries++) {
		uint8_t bytes[64], sum = 0;
		ssize_t got;

		off = (off_t)rng_below(rng, (uint64_t)size + 1);
		got = pread(fd, bytes, sizeof bytes, off);
		for (ssize_t i = 0; i < got; i++)
			sum |= bytes[i];
		if (sum != 0)
			break;
	}
	return off;
}

struct taken { /* bytes of the log that are gone */
	size_t overwritten;
	size_t deleted;
};

/* One act of damage; its description goes to @what. */
static void damage_once(struct rng *rng, char *what, size_t room, struct taken *taken)
{
	const char *name = files.names[rng_below(rng, files.count)];
	uint8_t bytes[8192];
	struct stat st;
	off_t off, from;
	uint64_t kind;
	size_t size;
	int fd;

	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return; /* deleted by an act before */
	off = choose_offset(rng, fd, st.st_size);
	kind = rng_below(rng, 7);
	size = 1 + rng_below(rng, kind == 1 ? 4 : sizeof bytes);
	switch (kind) {
	case 0:
		if (ftruncate(fd, off) != 0)
			CU_FAIL("cannot truncate");
		break;
	case 1:
	case 2: /* a few bytes, or many */
		rng_fill(rng, bytes, size);
		write_at(fd, bytes, size, off);
		break;
	case 3: /* one bit */
		size = 1;
		if (pread(fd, bytes, 1, off) == 1) {
			bytes[0] ^= (uint8_t)(1u << rng_below(rng, 8));
			write_at(fd, bytes, 1, off);
		}
		break;
	case 4:
		memset(bytes, 0, size);
		write_at(fd, bytes, size, off);
		break;
	case 5: /* a piece of itself in another place */
		from = (off_t)rng_below(rng, (uint64_t)st.st_size + 1);
		if (rng_chance(rng, 70)) {
			from &= ~(off_t)4095;
			off &= ~(off_t)4095;
			size = 4096;
		}
		if (pread(fd, bytes, size, from) == (ssize_t)size)
			write_at(fd, bytes, size, off);
		break;
	default:
		if (rng_chance(rng, 80)) { /* longer than it was */
			rng_fill(rng, bytes, size);
			write_at(fd, bytes, size, st.st_size + (off_t)rng_below(rng, 10000));
		} else {
			unlink(name);
			taken->deleted += strstr(name, "/wal/") != NULL ? (size_t)st.st_size : 0;
			size = 0;
		}
		break;
	}
	close(fd);
	snprintf(what, room, "%s: kind %" PRIu64 ", %zu bytes at %lld of %lld; ",
	         name + strlen(victim) + 1, kind, size, (long long)off, (long long)st.st_size);
	if (strstr(name, "/wal/") != NULL && kind != 0)
		taken->overwritten += size;
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds_for(unsigned parts)
{
	const char *text = getenv("LONG");
	double seconds = suite_short() ? 3 : 24;

	if (text != NULL && text[0] != '\0')
		seconds = strtod(text, NULL);
	return seconds / parts;
}

static void damage_at_random(bool killed)
{
	static uint64_t case_no;
	double deadline = now_seconds() + seconds_for(2);
	unsigned whole = 0, refused = 0, shorter = 0;

	make_master(killed);
	while (now_seconds() < deadline) {
		uint64_t case_seed = seed + case_no++;
		struct rng rng;
		char what[600] = "";
		struct taken taken = {0};
		size_t log_bytes;
		int status, lost;

		rng_init(&rng, case_seed);
		tmpstore_copy(master, victim);
		files.count = 0;
		nftw(victim, note_file, 8, FTW_PHYS);
		qsort(files.names, files.count, sizeof files.names[0], by_name);
		for (uint64_t acts = 1 + rng_below(&rng, ACTS_MAX); acts > 0; acts--)
			damage_once(&rng, what + strlen(what), sizeof what - strlen(what), &taken);
		log_bytes = taken.overwritten + (taken.overwritten > 0 ? taken.deleted : 0);
		status = use_in_child(rng_chance(&rng, 50)   ? BWT_RDONLY
		                      : rng_chance(&rng, 20) ? BWT_VERIFY
		                                             : 0,
		                      rng_chance(&rng, 50));
		lost = status - CHILD_SHORTER;
		whole += status == CHILD_WHOLE;
		refused += status == CHILD_REFUSED;
		if (status == CHILD_WHOLE || status == CHILD_REFUSED)
			continue;
		if (killed && lost > 0 && log_bytes > 0 &&
		    (size_t)lost <= log_bytes / RECORD_SIZE_MIN + ACTS_MAX) {
			shorter++;
			continue;
		}
		printf("    SEED=%" PRIu64 " (%s store): status %d after %s\n", case_seed,
		       killed ? "a killed" : "a closed", status, what);
		CU_FAIL("a damaged store did harm");
		break;
	}
	printf("    %u whole, %u refused, %u shorter\n", whole, refused, shorter);
	CU_ASSERT_TRUE(refused > 0);
	free_master();
}

static void a_damaged_closed_store_gives_errors_or_its_contents(void)
{
	damage_at_random(false);
}

static void a_damaged_killed_store_gives_errors_or_its_contents(void)
{
	damage_at_random(true);
}

/* ---- superblocks ---- */

static void damage_superblock(unsigned slot)
{
	char arena[TMPSTORE_PATH_MAX];
	uint8_t junk[64];
	int fd;

	tmpstore_join(arena, victim, "arena");
	fd = open(arena, O_RDWR | O_CLOEXEC);
	memset(junk, 0x5a, sizeof junk);
	write_at(fd, junk, sizeof junk, (off_t)SUPERBLOCK_OFF(slot) + 0x20);
	close(fd);
}

static void any_one_damaged_superblock_costs_nothing(void)
{
	for (unsigned killed = 0; killed < 2; killed++) {
		make_master(killed == 1);
		for (unsigned slot = 0; slot < 2; slot++) {
			tmpstore_copy(master, victim);
			damage_superblock(slot);
			CU_ASSERT_EQUAL(use_in_child(BWT_RDONLY, false), CHILD_WHOLE);
			CU_ASSERT_EQUAL(use_in_child(0, false), CHILD_WHOLE);
		}
		free_master();
	}
}

static void two_damaged_superblocks_are_corrupt(void)
{
	struct bwt_options options = store_options(0);
	struct bwt_db *db;

	make_master(false);
	tmpstore_copy(master, victim);
	damage_superblock(0);
	damage_superblock(1);
	CU_ASSERT_EQUAL(bwt_open(victim, &options, &db), BWT_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "arena"));
	CU_ASSERT_EQUAL(bwt_verify(victim, 0, NULL, NULL), BWT_CORRUPT);
	free_master();
}

/* ---- files that are gone ---- */

static void a_store_without_its_arena_is_refused(void)
{
	struct bwt_options options = store_options(0);
	char name[TMPSTORE_PATH_MAX];
	struct bwt_db *db;
	int rc;

	make_master(false);
	tmpstore_copy(master, victim);
	tmpstore_join(name, victim, "arena");
	CU_ASSERT_EQUAL(unlink(name), 0);
	rc = bwt_open(victim, &options, &db);
	CU_ASSERT_TRUE(rc == BWT_CORRUPT || rc == BWT_INVALID || rc == -ENOENT);
	CU_ASSERT_TRUE(bwt_detail()[0] != '\0');
	tmpstore_copy(master, victim);
	CU_ASSERT_EQUAL(truncate(name, 0), 0);
	rc = bwt_open(victim, &options, &db);
	CU_ASSERT_TRUE(rc == BWT_CORRUPT || rc == BWT_INVALID);
	free_master();
}

/* ---- a file cut short under its mapping ---- */

/* Exit status: 0 as it must be, else the number of what went wrong. */
static int use_cut_arena(void)
{
	struct bwt_options options = store_options(BWT_CATCH_SIGBUS);
	char arena[TMPSTORE_PATH_MAX];
	struct bwt_tree *tree;
	struct bwt_db *db;
	bool told = false;

	if (bwt_open(victim, &options, &db) != BWT_OK || bwt_tree_open(db, NULL, 0, &tree) != BWT_OK)
		return 1;
	tmpstore_join(arena, victim, "arena");
	if (truncate(arena, 65536) != 0)
		return 2;
	for (unsigned key = 0; key < TRAIL_KEYS && !told; key++) {
		uint8_t room[TRAIL_KEY_SIZE_MAX];
		int rc = bwt_get(tree, NULL, trail_key(0, key, room), NULL);

		told = rc == BWT_IO;
	}
	if (!told)
		return 3;
	/* The store has failed, and says so from now on. */
	if (bwt_put(tree, NULL, (struct bwt_slice){"k", 1}, (struct bwt_slice){"v", 1}, 0) != BWT_IO)
		return 4;
	if (bwt_get(tree, NULL, (struct bwt_slice){"k", 1}, NULL) != BWT_IO)
		return 5;
	if (bwt_detail()[0] == '\0')
		return 6;
	bwt_close(db);
	return 0;
}

static void an_arena_cut_short_under_its_mapping_is_an_io_error(void)
{
	int status;
	pid_t child;

	make_master(false);
	tmpstore_copy(master, victim);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS);
		_exit(use_cut_arena());
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
	free_master();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(any_one_damaged_superblock_costs_nothing),
		TEST(two_damaged_superblocks_are_corrupt),
		TEST(a_store_without_its_arena_is_refused),
		TEST(an_arena_cut_short_under_its_mapping_is_an_io_error),
		TEST(a_damaged_closed_store_gives_errors_or_its_contents),
		TEST(a_damaged_killed_store_gives_errors_or_its_contents),
		CU_TEST_INFO_NULL,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (access("/dev/shm", W_OK) == 0) /* ten times as many cases as on a disk */
		setenv("TMPDIR", "/dev/shm", 1);
	seed = rng_seed();
	return suite_run("crash_damage", NULL, NULL, tests);
}
