/* SPDX-License-Identifier: MIT */
/*
 * crash_follow.c - a second store that follows the first, and SIGKILL: it is always a state that the first had
 *
 * A child has both stores open. Writers change the first (torture_trail.h; transactions over two trees; trees that come and
 * go), and one thread applies what bwt_changes_next() gives to the second, one transaction for one, with the
 * position in the same transaction. This process kills the child at a random moment, opens both stores, and finds
 *
 *   - the second in a state that the first was in: the steps of each writer up to one number, pairs that agree;
 *   - after the rest was followed: the second equal to the first, every pair of every tree.
 *
 * Checkpoints are frequent and files small, so that log and values are released as soon as they may be. The second
 * store may lose what it had not synced: then it begins further back, at what it does remember.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tools/torture_trail.h"

#define WRITERS 2u
#define PAIRS 50u
#define OPEN_TRIES 100u
#define SECONDS_MOST 120
#define STATE "state"
#define STEPS_MOST 10000000u /* that a writer does between two looks */

static char first_path[TMPSTORE_PATH_MAX], second_path[TMPSTORE_PATH_MAX];
static uint64_t seed, round_no;
static struct bwt_db *first, *second;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
	va_list args;

	printf("FAILED in round %" PRIu64 " of SEED=%" PRIu64 ": ", round_no, seed);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  (%s) the stores are in %s and %s\n", bwt_detail(), first_path, second_path);
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

static void need(const char *what, int rc)
{
	if (rc < 0)
		fail("%s: %d (%s)", what, rc, bwt_strerror(rc));
}

static void say(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= LOG_WARNING)
		printf("  a store says: %s\n", text);
}

static struct bwt_options random_options(struct rng *rng)
{
	struct bwt_options options = {
		.flags = BWT_CREATE | (rng_chance(rng, 50) ? BWT_NO_URING : 0),
		.durability = rng_chance(rng, 50) ? BWT_SYNC : BWT_INTERVAL,
		.sync_interval_ms = 3,
		.max_size = (uint64_t)1 << 30,
		.wal_segment_size = (uint64_t)256 << 10,
		.vlog_segment_size = (uint64_t)256 << 10,
		.checkpoint_wal_bytes = (uint64_t)128 << 10,
		.checkpoint_interval_ms = 1 + (unsigned)rng_below(rng, 30),
		.worker_count = 1,
		.log = say,
	};

	return options;
}

static int open_patiently(const char *path, const struct bwt_options *options, struct bwt_db **db)
{
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < OPEN_TRIES; i++) {
		rc = bwt_open(path, options, db);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	return rc;
}

static void open_both(struct rng *rng)
{
	struct bwt_options options = random_options(rng);

	need("open the first store", open_patiently(first_path, &options, &first));
	options = random_options(rng);
	need("open the second store", open_patiently(second_path, &options, &second));
}

static struct bwt_slice text(const char *bytes)
{
	return (struct bwt_slice){bytes, strlen(bytes)};
}

static struct bwt_tree *tree_of(struct bwt_db *db, const char *name)
{
	struct bwt_tree *tree;

	need("open a tree", bwt_tree_open(db, name, BWT_CREATE, &tree));
	return tree;
}

/* ---- following ---- */

static bwt_lsn position(void)
{
	struct bwt_buf value = {0};
	bwt_lsn lsn = 0;
	int rc = bwt_get(tree_of(second, STATE), NULL, text("position"), &value);

	if (rc == BWT_OK && value.size == sizeof lsn)
		memcpy(&lsn, value.data, sizeof lsn);
	else if (rc != BWT_NOT_FOUND)
		fail("the position cannot be read: %d", rc);
	bwt_buf_free(&value);
	return lsn;
}

static bool is_event(const struct bwt_change *change)
{
	return change->kind == BWT_CHANGE_TREE_CREATE || change->kind == BWT_CHANGE_TREE_DROP;
}

static void apply(struct bwt_txn *txn, const struct bwt_change *change)
{
	int rc;

	if (change->kind == BWT_CHANGE_TREE_CREATE) {
		tree_of(second, change->tree);
	} else if (change->kind == BWT_CHANGE_TREE_DROP) {
		rc = bwt_tree_drop(second, change->tree);
		if (rc != BWT_NOT_FOUND)
			need("drop a tree of the second store", rc);
	} else if (change->kind == BWT_CHANGE_PUT) {
		need("put into the second store",
		     bwt_put(tree_of(second, change->tree), txn, change->key, change->value, 0));
	} else {
		rc = bwt_delete(tree_of(second, change->tree), txn, change->key);
		if (rc != BWT_NOT_FOUND)
			need("delete from the second store", rc);
	}
}

/* What lies between is applied twice after a kill, as its tree may have come or gone already: to the same end. */
static void one_change(struct bwt_changes *changes, const struct bwt_change *change,
                       struct bwt_txn **txn)
{
	if (is_event(change))
		apply(NULL, change);
	if (*txn == NULL)
		need("begin", bwt_begin(second, 0, txn));
	if (!is_event(change))
		apply(*txn, change);
	if (!change->last)
		return;
	need("put the position", bwt_put(tree_of(second, STATE), *txn, text("position"),
	                                 (struct bwt_slice){&change->lsn, sizeof change->lsn}, 0));
	need("commit", bwt_commit(*txn));
	*txn = NULL;
	/* Only what the second store cannot lose any more. */
	if (change->lsn / 16 % 7 == 0) {
		need("sync", bwt_sync(second));
		need("acknowledge", bwt_changes_ack(changes, change->lsn));
	}
}

/* Until nothing comes for @timeout_ms. */
static void follow(int timeout_ms)
{
	struct bwt_changes_options options = {.reader = "second"};
	struct bwt_txn *txn = NULL;
	struct bwt_changes *changes;
	struct bwt_change change;
	int rc;

	need("bwt_changes_open", bwt_changes_open(first, position(), &options, &changes));
	while ((rc = bwt_changes_next(changes, timeout_ms, &change)) == BWT_OK)
		one_change(changes, &change, &txn);
	if (rc != BWT_NOT_FOUND || txn != NULL)
		fail("bwt_changes_next: %d (%s)", rc, bwt_strerror(rc));
	bwt_changes_close(changes);
}

/* ---- the child ---- */

static void *child_follow(void *ctx)
{
	(void)ctx;
	follow(-1);
	return NULL;
}

struct child_writer {
	unsigned writer;
	uint64_t step;
};

static void *child_write(void *ctx)
{
	struct child_writer *me = ctx;
	uint8_t *room = malloc(TRAIL_VALUE_MAX);

	for (;; me->step++)
		need("a step", trail_do(tree_of(first, NULL), NULL, me->writer, me->step, room));
	return NULL;
}

/* The same number under the same key of two trees, several keys at once; now and then a large transaction. */
static void *child_pairs(void *ctx)
{
	struct bwt_tree *left = tree_of(first, "left"), *right = tree_of(first, "right");
	struct rng rng;

	rng_init(&rng, *(uint64_t *)ctx);
	for (uint64_t number = rng_u64(&rng);; number++) {
		unsigned count = 1 + (unsigned)rng_below(&rng, rng_chance(&rng, 10) ? PAIRS : 5);
		struct bwt_txn *txn;
		int rc;

		need("begin", bwt_begin(first, rng_chance(&rng, 50) ? BWT_TXN_NOSYNC : 0, &txn));
		for (unsigned i = 0; i < count; i++) {
			unsigned key = (unsigned)rng_below(&rng, PAIRS);
			struct bwt_slice name = {&key, sizeof key}, value = {&number, sizeof number};

			need("put", bwt_put(left, txn, name, value, 0));
			need("put", bwt_put(right, txn, name, value, 0));
		}
		if (rng_chance(&rng, 30))
			testpoint_set("txn_large", 0, NULL, NULL);
		else
			testpoint_reset();
		rc = bwt_commit(txn);
		if (rc != BWT_CONFLICT)
			need("commit", rc);
	}
	return NULL;
}

/* Without a transaction or cursor open a tree can be dropped; else it stays until the next try. */
static void *child_trees(void *ctx)
{
	(void)ctx;
	for (unsigned i = 0;; i++) {
		struct bwt_tree *tree = tree_of(first, "passing");
		struct bwt_slice key = {&i, sizeof i};
		int rc;

		need("put", bwt_put(tree, NULL, key, key, 0));
		usleep(500);
		rc = bwt_tree_drop(first, "passing");
		if (rc != BWT_BUSY)
			need("drop", rc);
	}
	return NULL;
}

static void run_child(struct rng *rng, struct trail_state *states)
{
	struct child_writer writers[WRITERS];
	char why[200];
	uint64_t pair_seed = rng_u64(rng);
	pthread_t thread;

	open_both(rng);
	for (unsigned i = 0; i < WRITERS; i++) {
		if (!trail_match(tree_of(first, NULL), i, &states[i], states[i].step + STEPS_MOST,
		                 why))
			fail("the first store: %s", why);
		writers[i] = (struct child_writer){i, states[i].step + 1};
		pthread_create(&thread, NULL, child_write, &writers[i]);
	}
	pthread_create(&thread, NULL, child_pairs, &pair_seed);
	pthread_create(&thread, NULL, child_trees, NULL);
	pthread_create(&thread, NULL, child_follow, NULL);
	for (;;)
		pause();
}

static void kill_a_child(struct rng *rng, struct trail_state *states)
{
	unsigned patience_us = 1000 + (unsigned)rng_below(rng, rng_chance(rng, 20) ? 20000 : 800000);
	struct rng child_rng;
	int status;
	pid_t child;

	rng_init(&child_rng, rng_u64(rng));
	child = fork();
	if (child == 0) {
		run_child(&child_rng, states);
		_exit(EXIT_FAILURE);
	}
	usleep(patience_us);
	kill(child, SIGKILL);
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
		fail("the child ended by itself, status %#x", status);
}

/* ---- looking ---- */

static void check_pairs(struct bwt_db *db, const char *which)
{
	struct bwt_tree *left = tree_of(db, "left"), *right = tree_of(db, "right");
	struct bwt_buf one = {0}, other = {0};

	for (unsigned key = 0; key < PAIRS; key++) {
		struct bwt_slice name = {&key, sizeof key};
		int rc = bwt_get(left, NULL, name, &one);

		if (rc != bwt_get(right, NULL, name, &other) ||
		    (rc == BWT_OK &&
		     (one.size != other.size || memcmp(one.data, other.data, one.size) != 0)))
			fail("half of a transaction is in the %s store, key %u", which, key);
	}
	bwt_buf_free(&one);
	bwt_buf_free(&other);
}

/* The second store is in a state of each writer that the first is in, or was in before. */
static void check_prefix(struct trail_state *states)
{
	struct trail_state zero = {0};
	char why[200];

	for (unsigned i = 0; i < WRITERS; i++) {
		struct trail_state behind = zero;

		if (!trail_match(tree_of(first, NULL), i, &states[i], states[i].step + STEPS_MOST,
		                 why))
			fail("the first store: %s", why);
		if (!trail_match(tree_of(second, NULL), i, &behind, states[i].step, why))
			fail("the second store: %s", why);
	}
	check_pairs(second, "second");
}

static void compare_tree(const char *name)
{
	struct bwt_slice keys[2], values[2], none = {0};
	struct bwt_cursor *cursors[2];
	int rc[2];

	need("cursor", bwt_cursor_open(tree_of(first, name), NULL, &cursors[0]));
	need("cursor", bwt_cursor_open(tree_of(second, name), NULL, &cursors[1]));
	for (unsigned i = 0; i < 2; i++)
		rc[i] = bwt_cursor_seek(cursors[i], none, BWT_FIRST);
	while (rc[0] == BWT_OK && rc[1] == BWT_OK) {
		for (unsigned i = 0; i < 2; i++) {
			need("key", bwt_cursor_key(cursors[i], &keys[i]));
			need("value", bwt_cursor_value(cursors[i], &values[i]));
		}
		if (keys[0].size != keys[1].size || values[0].size != values[1].size ||
		    memcmp(keys[0].data, keys[1].data, keys[0].size) != 0 ||
		    memcmp(values[0].data, values[1].data, values[0].size) != 0)
			fail("tree %s differs", name == NULL ? "main" : name);
		for (unsigned i = 0; i < 2; i++)
			rc[i] = bwt_cursor_next(cursors[i]);
	}
	if (rc[0] != BWT_NOT_FOUND || rc[1] != BWT_NOT_FOUND)
		fail("tree %s: one of the stores has more", name == NULL ? "main" : name);
	bwt_cursor_close(cursors[0]);
	bwt_cursor_close(cursors[1]);
}

struct names {
	unsigned count;
	char name[8][BWT_TREE_NAME_MAX + 1];
};

static int note_name(void *ctx, const char *name)
{
	struct names *names = ctx;

	if (strcmp(name, STATE) != 0)
		snprintf(names->name[names->count++ % 8], sizeof names->name[0], "%s", name);
	return 0;
}

static void compare(void)
{
	struct names names[2] = {0};

	need("list", bwt_tree_list(first, note_name, &names[0]));
	need("list", bwt_tree_list(second, note_name, &names[1]));
	if (names[0].count != names[1].count)
		fail("the first store has %u trees, the second %u", names[0].count, names[1].count);
	compare_tree(NULL);
	for (unsigned i = 0; i < names[0].count; i++) {
		if (strcmp(names[0].name[i], names[1].name[i]) != 0)
			fail("the first store has tree %s, the second %s", names[0].name[i],
			     names[1].name[i]);
		compare_tree(names[0].name[i]);
	}
}

/* On a machine that has much else to do, until something was followed. */
static bool goes_on(const struct timespec *begun, const struct timespec *now, double seconds,
                    const struct trail_state *states, uint64_t in_step)
{
	double passed = (double)(now->tv_sec - begun->tv_sec);

	return passed < seconds || (passed < SECONDS_MOST && (states[0].step == 0 || in_step == 0));
}

static void run(double seconds)
{
	struct trail_state states[WRITERS] = {0};
	struct timespec begun, now;
	uint64_t kills = 0, in_step = 0;
	struct rng rng;

	rng_init(&rng, seed);
	tmpstore_new(first_path);
	tmpstore_new(second_path);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (now = begun; goes_on(&begun, &now, seconds, states, in_step); round_no++) {
		for (kills++, kill_a_child(&rng, states); rng_chance(&rng, 20); kills++)
			kill_a_child(&rng, states);
		open_both(&rng);
		check_prefix(states);
		if (rng_chance(&rng, 50) || in_step == 0) {
			need("sync", bwt_sync(first));
			follow(0);
			check_pairs(first, "first");
			compare();
			in_step++;
		}
		need("close the first store", bwt_close(first));
		need("close the second store", bwt_close(second));
		clock_gettime(CLOCK_MONOTONIC, &now);
	}
	printf("%" PRIu64 " kills, %" PRIu64 " times followed to the end, %" PRIu64
	       " steps, in step\n",
	       kills, in_step, states[0].step + states[1].step);
	if (states[0].step == 0 || in_step == 0)
		fail("nothing was followed: the kills come too early for this machine");
	tmpstore_free(first_path);
	tmpstore_free(second_path);
}

int main(void)
{
	const char *long_run = getenv("LONG");
	double seconds = suite_short() ? 3 : 12;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (long_run != NULL && long_run[0] != '\0')
		seconds = strtod(long_run, NULL);
	seed = rng_seed();
	run(seconds);
	return 0;
}
