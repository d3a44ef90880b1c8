/* SPDX-License-Identifier: MIT */
/*
 * crash_kill.c - SIGKILL at random moments: nothing acknowledged is lost, nothing is invented
 *
 * A child works on the store with several writers (torture_trail.h) and reports through a pipe what is
 * durable and what was begun; this process kills it at a random moment, also while it opens,
 * recovers or takes a checkpoint, then verifies the store and finds out which steps it holds.
 *
 *   durable steps <= steps in the store <= begun steps      for each writer, and no other state
 *
 * The same store goes through all rounds. One more writer creates, fills and drops trees.
 */
#include <errno.h>
#include <fcntl.h>
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

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tools/torture_trail.h"

#define WRITERS 3u
#define TREE_WRITER WRITERS /* the number of the one that works on trees */
#define TREE_NAMES 3u
#define OPEN_TRIES 100u

struct message { /* one write to a pipe of less than PIPE_BUF bytes is whole */
	uint32_t writer;
	uint32_t durable; /* 1: the step is durable; 0: it is about to begin */
	uint64_t step;
};

struct known {                    /* of one writer */
	struct trail_state state; /* in the store for sure */
	uint64_t durable, begun;
};

static struct known known[WRITERS];
static uint64_t tree_durable = 2, tree_begun = 2; /* as after dropping the first tree */
static char path[TMPSTORE_PATH_MAX];
static uint64_t seed;
static uint64_t round_no;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
	va_list args;

	printf("FAILED in round %" PRIu64 " of SEED=%" PRIu64 ": ", round_no, seed);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  the store is in %s\n", path);
	exit(EXIT_FAILURE);
}

static void say(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= LOG_ERR)
		printf("  the store says: %s\n", text);
}

static struct bwt_options random_options(struct rng *rng)
{
	struct bwt_options options = {
		.flags = BWT_CREATE | (rng_chance(rng, 50) ? BWT_NO_URING : 0),
		.durability = rng_chance(rng, 75) ? BWT_SYNC : BWT_INTERVAL,
		.sync_interval_ms = 5,
		.max_size = (uint64_t)4 << 30,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.checkpoint_wal_bytes = (uint64_t)64 << 10,
		.checkpoint_interval_ms = 1 + (unsigned)rng_below(rng, 40),
		.worker_count = 1,
		.log = say,
	};

	return options;
}

/* A killed process may hold the lock for an instant longer than it can be waited for. */
static int open_patiently(const struct bwt_options *options, struct bwt_db **db)
{
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < OPEN_TRIES; i++) {
		rc = bwt_open(path, options, db);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	return rc;
}

/* ---- the child ---- */

struct child_writer {
	unsigned writer;
	uint64_t first; /* step to begin with */
	struct bwt_db *db;
	struct bwt_tree *tree;
	bool sync;
	int pipe;
};

static void child_need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	printf("  in the child: %s: %d (%s): %s\n", what, rc, bwt_strerror(rc), bwt_detail());
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

static void tell(const struct child_writer *me, bool durable, uint64_t step)
{
	struct message message = {me->writer, durable, step};

	if (write(me->pipe, &message, sizeof message) != (ssize_t)sizeof message)
		_exit(EXIT_FAILURE);
}

static void *child_write(void *ctx)
{
	struct child_writer *me = ctx;
	uint8_t *room = malloc(TRAIL_VALUE_MAX);

	for (uint64_t step = me->first;; step++) {
		tell(me, false, step);
		child_need("a step", trail_do(me->tree, NULL, me->writer, step, room));
		if (!me->sync && step % 16 == 0)
			child_need("bwt_sync", bwt_sync(me->db));
		if (me->sync || step % 16 == 0)
			tell(me, true, step);
	}
	return NULL;
}

/* Step n of the writer of trees; three steps make, fill and drop one. */
static void tree_name(uint64_t step, char name[16])
{
	snprintf(name, 16, "tree %u", (unsigned)(step / 3 % TREE_NAMES));
}

static void *child_trees(void *ctx)
{
	struct child_writer *me = ctx;

	for (uint64_t step = me->first;; step++) {
		struct bwt_slice key = {"key", 3}, value = {&step, sizeof step};
		struct bwt_tree *tree;
		char name[16];
		int rc;

		tree_name(step, name);
		tell(me, false, step);
		if (step % 3 == 0) {
			rc = bwt_tree_open(me->db, name, BWT_CREATE, &tree);
			child_need("bwt_tree_open, creating", rc);
		} else if (step % 3 == 1) {
			child_need("bwt_tree_open", bwt_tree_open(me->db, name, 0, &tree));
			child_need("bwt_put", bwt_put(tree, NULL, key, value, 0));
		} else {
			rc = bwt_tree_drop(me->db, name);
			child_need("bwt_tree_drop", rc == BWT_NOT_FOUND ? BWT_OK : rc);
		}
		if (!me->sync)
			child_need("bwt_sync", bwt_sync(me->db));
		tell(me, true, step);
		usleep(500);
	}
	return NULL;
}

static void run_child(int pipe_fd, struct rng *rng, bool idle) __attribute__((noreturn));

static void run_child(int pipe_fd, struct rng *rng, bool idle)
{
	struct bwt_options options = random_options(rng);
	struct child_writer writers[WRITERS + 1];
	pthread_t thread;
	struct bwt_tree *tree;
	struct bwt_db *db;

	child_need("bwt_open", open_patiently(&options, &db));
	child_need("bwt_tree_open", bwt_tree_open(db, NULL, 0, &tree));
	for (unsigned i = 0; !idle && i <= WRITERS; i++) {
		writers[i] = (struct child_writer){
			.writer = i,
			.first = i == TREE_WRITER ? tree_durable + 1 : known[i].state.step + 1,
			.db = db,
			.tree = tree,
			.sync = options.durability == BWT_SYNC,
			.pipe = pipe_fd,
		};
		if (pthread_create(&thread, NULL, i == TREE_WRITER ? child_trees : child_write,
		                   &writers[i]) != 0)
			_exit(EXIT_FAILURE);
	}
	for (;;) { /* and checkpoints beside the timed ones */
		usleep((unsigned)rng_below(rng, 20000));
		int rc = bwt_checkpoint(db);

		child_need("bwt_checkpoint", rc == BWT_BUSY ? BWT_OK : rc);
	}
}

/* ---- the parent ---- */

static void take_messages(int fd)
{
	struct message message;

	while (read(fd, &message, sizeof message) == (ssize_t)sizeof message) {
		uint64_t *to;

		if (message.writer == TREE_WRITER)
			to = message.durable != 0 ? &tree_durable : &tree_begun;
		else if (message.durable != 0)
			to = &known[message.writer].durable;
		else
			to = &known[message.writer].begun;
		*to = message.step;
	}
}

/* A child that is killed within @most microseconds; an idle one recovers, and changes nothing. */
static void kill_a_child(struct rng *rng, uint64_t most, bool idle)
{
	uint64_t wait_us = rng_below(rng, most), waited = 0;
	struct rng child_rng;
	int fds[2], status;
	pid_t child;

	rng_init(&child_rng, rng_u64(rng));
	fflush(stdout);
	if (pipe(fds) != 0 || (child = fork()) < 0)
		fail("no child: %s", strerror(errno));
	if (child == 0) {
		close(fds[0]);
		run_child(fds[1], &child_rng, idle);
	}
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	while (waited < wait_us) { /* the pipe must not fill up */
		uint64_t part = wait_us - waited < 500 ? wait_us - waited : 500;

		usleep((unsigned)part);
		waited += part;
		take_messages(fds[0]);
	}
	kill(child, SIGKILL);
	if (waitpid(child, &status, 0) != child)
		fail("the child is gone: %s", strerror(errno));
	fcntl(fds[0], F_SETFL, 0);
	take_messages(fds[0]);
	close(fds[0]);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("the child ended by itself, status %#x", status);
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity == BWT_NOTE)
		return;
	printf("  finding %d: %s offset %" PRIu64 " page %" PRIu64 ": %s\n", finding->severity,
	       finding->file != NULL ? finding->file : "", finding->offset, finding->page,
	       finding->text);
}

struct listing {
	unsigned seen;
};

static int note_tree(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	unsigned number;

	if (sscanf(name, "tree %u", &number) != 1 || number >= TREE_NAMES)
		fail("a tree that nobody made: %s", name);
	listing->seen |= 1u << number;
	return 0;
}

/* Is the store as after this step of the writer of trees? */
static bool trees_match(struct bwt_db *db, unsigned seen, uint64_t step)
{
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_tree *tree;
	uint64_t value = 0;
	char name[16];
	bool there = step % 3 != 2 && step != 0;
	unsigned expected = there ? 1u << (step / 3 % TREE_NAMES) : 0;
	int rc;

	if (seen != expected)
		return false;
	if (!there)
		return true;
	tree_name(step, name);
	rc = bwt_tree_open(db, name, 0, &tree);
	if (rc != BWT_OK)
		fail("a listed tree does not open: %d", rc);
	rc = bwt_get(tree, NULL, (struct bwt_slice){"key", 3}, &buf);
	if (rc == BWT_OK && buf.size == sizeof value)
		memcpy(&value, buf.data, sizeof value);
	bwt_buf_free(&buf);
	return step % 3 == 0 ? rc == BWT_NOT_FOUND : rc == BWT_OK && value == step;
}

static bool anything_begun(void)
{
	for (unsigned i = 0; i < WRITERS; i++)
		if (known[i].begun != 0)
			return true;
	return tree_begun != 2;
}

/* What the store holds now, as the truth to go on from. */
static void look(struct rng *rng)
{
	struct bwt_options options = random_options(rng);
	struct listing listing = {0};
	bool created = anything_begun(); /* else the kill may have cut off the creation */
	struct bwt_tree *tree;
	struct bwt_db *db;
	uint64_t count, present = 0;
	char why[200];
	int rc;

	if (rng_chance(rng, 60)) {
		rc = bwt_verify(path, 0, print_finding, NULL);
		for (unsigned i = 0; rc == BWT_BUSY && i < OPEN_TRIES; i++) {
			usleep(10000);
			rc = bwt_verify(path, 0, print_finding, NULL);
		}
		if (rc != BWT_OK && (created || rc != BWT_INVALID))
			fail("bwt_verify: %d: %s", rc, bwt_detail());
	}
	if (created && rng_chance(rng, 40))
		options.flags = BWT_RDONLY;
	rc = open_patiently(&options, &db);
	if (rc != BWT_OK)
		fail("bwt_open: %d (%s): %s", rc, bwt_strerror(rc), bwt_detail());
	if (bwt_tree_open(db, NULL, 0, &tree) != BWT_OK)
		fail("no main tree");
	for (unsigned i = 0; i < WRITERS; i++) {
		struct known *writer = &known[i];

		while (writer->state.step < writer->durable)
			trail_advance(i, &writer->state);
		if (!trail_match(tree, i, &writer->state, writer->begun, why))
			fail("%s", why);
		/* From here on the store holds just these. */
		writer->begun = writer->state.step;
		writer->durable = writer->state.step;
		for (unsigned key = 0; key < TRAIL_KEYS; key++)
			present += writer->state.put_by[key] != 0;
	}
	if (bwt_count(tree, &count) != BWT_OK || count != present)
		fail("bwt_count says %" PRIu64 ", it is %" PRIu64, count, present);
	if (bwt_tree_list(db, note_tree, &listing) != BWT_OK)
		fail("bwt_tree_list failed");
	if (trees_match(db, listing.seen, tree_begun))
		tree_durable = tree_begun;
	else if (!trees_match(db, listing.seen, tree_durable))
		fail("the trees are neither as after step %" PRIu64 " nor %" PRIu64, tree_durable,
		     tree_begun);
	tree_begun = tree_durable;
	rc = bwt_close(db);
	if (rc != BWT_OK)
		fail("bwt_close: %d: %s", rc, bwt_detail());
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* One store through many rounds. */
static void run(const char *place, double seconds)
{
	double deadline = now_seconds() + seconds;
	uint64_t kills = 0, steps = 0;
	struct rng rng;

	rng_init(&rng, seed);
	memset(known, 0, sizeof known);
	tree_durable = tree_begun = 2;
	tmpstore_new(path);
	for (round_no = 0; now_seconds() < deadline; round_no++) {
		kill_a_child(&rng, rng_chance(&rng, 30) ? 6000 : 120000, false);
		/* Sometimes again and again while it opens and recovers. */
		for (kills++; rng_chance(&rng, 30); kills++)
			kill_a_child(&rng, 8000, true);
		look(&rng);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		steps += known[i].state.step;
	printf("%s: %" PRIu64 " kills, %" PRIu64 " steps kept, none lost\n", place, kills, steps);
	if (steps == 0)
		fail("no step survived: the kills come too early for this machine");
	tmpstore_free(path);
}

int main(void)
{
	const char *text = getenv("LONG");
	double seconds = suite_short() ? 3 : 30;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (text != NULL && text[0] != '\0')
		seconds = strtod(text, NULL);
	seed = rng_seed();
	run("on the disk", seconds / 2);
	/* Where writing costs nothing, everything else meets more often. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	run("in memory", seconds / 2);
	return EXIT_SUCCESS;
}
