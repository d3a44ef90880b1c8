/* SPDX-License-Identifier: MIT */
/*
 * txn_crash.c - SIGKILL while transactions commit: each is there as a whole or not at all
 *
 * A child runs some threads of transactions; transaction n of thread t puts keys that only it puts,
 * deletes those of transaction n - WINDOW, and counts up one of a few counters that all threads fight for. It
 * reports through a pipe what it begins, the LSNs of commits, and what is durable. After the kill:
 *
 *   whole      of each thread exactly the transactions 1..N are there, each with all it did
 *   durable    N is not below what was acknowledged as durable, nor above what was begun
 *   prefix     no transaction that is missing has a lower LSN than one that is there
 *   counters   add up to what is there
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
#include <unistd.h>

#include "bwt.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define THREADS 3u
#define WINDOW 20u   /* transactions of a thread whose keys are kept */
#define PARTS_MAX 9u /* keys of one */
#define COUNTERS 3u
#define VALUE_MAX 60000u
#define OPEN_TRIES 200u

enum message_kind {
	BEGUN,
	COMMITTED,
	DURABLE
};

struct message { /* one write of less than PIPE_BUF bytes is whole */
	uint32_t thread;
	uint32_t kind;
	uint64_t number;
	uint64_t lsn;
};

#define LSNS_MAX 65536u

struct known { /* of one thread */
	uint64_t begun, durable, there;
	uint64_t lsns[LSNS_MAX]; /* of transaction n at n % LSNS_MAX; 0: not known */
};

static struct known known[THREADS];
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
	printf("\n  bwt_detail: %s\n  the store is in %s\n", bwt_detail(), path);
	exit(EXIT_FAILURE);
}

static void need(const char *what, int rc)
{
	if (rc != BWT_OK)
		fail("%s: %d (%s)", what, rc, bwt_strerror(rc));
}

static void say(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= LOG_ERR)
		printf("  the store says: %s\n", text);
}

/* ---- what transaction n of a thread is ---- */

static void seed_of(struct rng *rng, unsigned thread, uint64_t number)
{
	rng_init(rng, ((uint64_t)thread << 48) + number);
}

static unsigned part_count(unsigned thread, uint64_t number)
{
	struct rng rng;

	seed_of(&rng, thread, number);
	return 1 + (unsigned)rng_below(&rng, PARTS_MAX);
}

static unsigned counter_of(unsigned thread, uint64_t number)
{
	return (unsigned)((number * 7 + thread) % COUNTERS);
}

static struct bwt_slice part_key(uint8_t room[64], unsigned thread, uint64_t number, unsigned part)
{
	/* The parts lie far from each other, on pages of their own sooner or later. */
	int size = snprintf((char *)room, 64, "part %u of %u: %012" PRIu64, part, thread, number);

	return (struct bwt_slice){room, (size_t)size};
}

static struct bwt_slice part_value(uint8_t *room, unsigned thread, uint64_t number, unsigned part)
{
	struct rng rng;
	size_t size;

	seed_of(&rng, thread + 100 + part, number);
	size = rng_chance(&rng, 5) ? rng_below(&rng, VALUE_MAX) : rng_below(&rng, 200);
	rng_fill(&rng, room, size);
	return (struct bwt_slice){room, size};
}

static struct bwt_slice counter_key(uint8_t room[64], unsigned counter)
{
	int size = snprintf((char *)room, 64, "counter %u", counter);

	return (struct bwt_slice){room, (size_t)size};
}

static int read_counter(struct bwt_tree *tree, struct bwt_txn *txn, unsigned counter, uint64_t *count)
{
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t room[64];
	int rc = bwt_get(tree, txn, counter_key(room, counter), &buf);

	*count = 0;
	if (rc == BWT_OK)
		memcpy(count, buf.data, 8);
	bwt_buf_free(&buf);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

/* ---- the child ---- */

struct worker {
	unsigned thread;
	uint64_t first;
	struct bwt_db *db;
	struct bwt_tree *trees[2];
	unsigned flags;
	bool sync;
	int pipe;
};

static void tell(const struct worker *me, enum message_kind kind, uint64_t number, uint64_t lsn)
{
	struct message message = {me->thread, kind, number, lsn};

	if (write(me->pipe, &message, sizeof message) != (ssize_t)sizeof message)
		_exit(EXIT_FAILURE);
}

static int change(struct worker *me, struct bwt_txn *txn, uint64_t number, uint8_t *room)
{
	uint8_t key_room[64];
	uint64_t count;
	unsigned counter = counter_of(me->thread, number);
	int rc = BWT_OK;

	for (unsigned part = 0; part < part_count(me->thread, number) && rc == BWT_OK; part++)
		rc = bwt_put(me->trees[part % 2], txn, part_key(key_room, me->thread, number, part),
		             part_value(room, me->thread, number, part), BWT_INSERT);
	if (number > WINDOW)
		for (unsigned part = 0;
		     part < part_count(me->thread, number - WINDOW) && rc == BWT_OK; part++)
			rc = bwt_delete(me->trees[part % 2], txn,
			                part_key(key_room, me->thread, number - WINDOW, part));
	if (rc == BWT_OK)
		rc = read_counter(me->trees[0], txn, counter, &count);
	if (rc != BWT_OK)
		return rc;
	count++;
	return bwt_put(me->trees[0], txn, counter_key(key_room, counter),
	               (struct bwt_slice){&count, 8}, 0);
}

static void *work(void *ctx)
{
	struct worker *me = ctx;
	uint8_t *room = malloc(VALUE_MAX);

	for (uint64_t number = me->first;; number++) {
		bwt_lsn lsn = 0;
		int rc;

		tell(me, BEGUN, number, 0);
		do {
			struct bwt_txn *txn;

			need("bwt_begin in the child", bwt_begin(me->db, me->flags, &txn));
			rc = change(me, txn, number, room);
			if (rc == BWT_OK)
				rc = bwt_commit_async(txn, &lsn);
			else
				bwt_abort(txn);
		} while (rc == BWT_CONFLICT);
		need("a transaction in the child", rc);
		tell(me, COMMITTED, number, lsn);
		if (me->sync || number % 16 == 0) {
			need("bwt_wait_durable in the child", bwt_wait_durable(me->db, lsn));
			tell(me, DURABLE, number, lsn);
		}
	}
	return NULL;
}

static struct bwt_options options_of(struct rng *rng)
{
	return (struct bwt_options){
		.flags = BWT_CREATE | (rng_chance(rng, 50) ? BWT_NO_URING : 0),
		.durability = rng_chance(rng, 60) ? BWT_SYNC : BWT_INTERVAL,
		.sync_interval_ms = 5,
		.max_size = (uint64_t)4 << 30,
		.inline_max = 4000,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.checkpoint_wal_bytes = (uint64_t)128 << 10,
		.checkpoint_interval_ms = 1 + (unsigned)rng_below(rng, 40),
		.worker_count = 1,
		.log = say,
	};
}

/* A killed process may hold the lock for an instant longer than it can be waited for. */
static struct bwt_db *open_patiently(const struct bwt_options *options)
{
	struct bwt_db *db;
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < OPEN_TRIES; i++) {
		rc = bwt_open(path, options, &db);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	need("bwt_open", rc);
	return db;
}

static void open_trees(struct bwt_db *db, struct bwt_tree *trees[2])
{
	need("bwt_tree_open", bwt_tree_open(db, NULL, 0, &trees[0]));
	need("bwt_tree_open", bwt_tree_open(db, "second", BWT_CREATE, &trees[1]));
}

static void run_child(int pipe_fd, struct rng *rng) __attribute__((noreturn));

static void run_child(int pipe_fd, struct rng *rng)
{
	struct bwt_options options = options_of(rng);
	struct bwt_db *db = open_patiently(&options);
	struct worker workers[THREADS];
	struct bwt_tree *trees[2];
	pthread_t thread;

	open_trees(db, trees);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.thread = i,
			.first = known[i].there + 1,
			.db = db,
			.trees = {trees[0], trees[1]},
			.flags = rng_chance(rng, 50) ? BWT_SERIALIZABLE : 0,
			.sync = options.durability == BWT_SYNC,
			.pipe = pipe_fd,
		};
		if (pthread_create(&thread, NULL, work, &workers[i]) != 0)
			_exit(EXIT_FAILURE);
	}
	for (;;) {
		int rc;

		usleep((unsigned)rng_below(rng, 20000));
		rc = bwt_checkpoint(db);
		need("bwt_checkpoint in the child", rc == BWT_BUSY ? BWT_OK : rc);
	}
}

/* ---- the parent ---- */

static void take_messages(int fd)
{
	struct message message;

	while (read(fd, &message, sizeof message) == (ssize_t)sizeof message) {
		struct known *of = &known[message.thread];

		if (message.kind == BEGUN) {
			of->begun = message.number;
			of->lsns[message.number % LSNS_MAX] = 0;
		} else if (message.kind == COMMITTED) {
			of->lsns[message.number % LSNS_MAX] = message.lsn;
		} else {
			of->durable = message.number;
		}
	}
}

/* Start a child that does @play, and kill it after a random time of at most @most_us. */
static void kill_a_child(struct rng *rng, uint64_t most_us,
                         void (*play)(int pipe_fd, struct rng *rng))
{
	uint64_t wait_us = rng_below(rng, most_us), waited = 0;
	struct rng child_rng;
	int fds[2], status;
	pid_t child;

	rng_init(&child_rng, rng_u64(rng));
	fflush(stdout);
	if (pipe(fds) != 0 || (child = fork()) < 0)
		fail("no child: %s", strerror(errno));
	if (child == 0) {
		close(fds[0]);
		play(fds[1], &child_rng);
		_exit(EXIT_FAILURE);
	}
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	while (waited < wait_us) { /* the pipe must not fill up */
		usleep(500);
		waited += 500;
		take_messages(fds[0]);
	}
	kill(child, SIGKILL);
	if (waitpid(child, &status, 0) != child)
		fail("the child is gone: %s", strerror(errno));
	fcntl(fds[0], F_SETFL, 0);
	take_messages(fds[0]);
	close(fds[0]);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail("the child ended by itself, status %#x", (unsigned)status);
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity != BWT_NOTE)
		printf("  finding: %s offset %" PRIu64 " page %" PRIu64 ": %s\n",
		       finding->file != NULL ? finding->file : "", finding->offset, finding->page,
		       finding->text);
}

/* Parts of the transaction that are there, as they must be. */
static unsigned parts_there(struct bwt_tree *const trees[2], unsigned thread, uint64_t number)
{
	static uint8_t room[VALUE_MAX];
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t key_room[64];
	unsigned there = 0;

	for (unsigned part = 0; part < part_count(thread, number); part++) {
		int rc = bwt_get(trees[part % 2], NULL, part_key(key_room, thread, number, part),
		                 &buf);
		struct bwt_slice expected = part_value(room, thread, number, part);

		if (rc == BWT_NOT_FOUND)
			continue;
		need("bwt_get", rc);
		if (buf.size != expected.size ||
		    (buf.size != 0 && memcmp(buf.data, expected.data, buf.size) != 0))
			fail("part %u of transaction %" PRIu64 " of thread %u has other bytes",
			     part, number, thread);
		there++;
	}
	bwt_buf_free(&buf);
	return there;
}

static void find_what_is_there(struct bwt_tree *const trees[2], unsigned thread)
{
	struct known *of = &known[thread];
	uint64_t low = of->there > WINDOW ? of->there - WINDOW : 1;

	for (uint64_t number = low; number <= of->begun; number++) {
		unsigned parts = part_count(thread, number);
		unsigned there = parts_there(trees, thread, number);

		if (there != 0 && there != parts)
			fail("thread %u: %u of %u parts of transaction %" PRIu64 " are there",
			     thread, there, parts, number);
		if (there != 0 && number > of->there)
			of->there = number;
	}
	if (of->there < of->durable)
		fail("thread %u: transaction %" PRIu64 " was durable, %" PRIu64
		     " is the last there",
		     thread, of->durable, of->there);
	for (uint64_t number = low; number <= of->there; number++) {
		bool expected = number + WINDOW > of->there;

		if ((parts_there(trees, thread, number) != 0) != expected)
			fail("thread %u: transaction %" PRIu64 " is %s, the last one is %" PRIu64,
			     thread, number, expected ? "missing" : "still there", of->there);
	}
}

static uint64_t lsn_of(unsigned thread, uint64_t number)
{
	return number != 0 && number <= known[thread].begun ? known[thread].lsns[number % LSNS_MAX]
	                                                    : 0;
}

/* LSNs of one thread grow, so the last one there and the first one missing decide. */
static void check_prefix(void)
{
	for (unsigned a = 0; a < THREADS; a++)
		for (unsigned b = 0; b < THREADS; b++) {
			uint64_t there = lsn_of(a, known[a].there);
			uint64_t missing = lsn_of(b, known[b].there + 1);

			if (there != 0 && missing != 0 && missing < there)
				fail("thread %u's %" PRIu64 " at LSN %" PRIu64
				     " is missing, thread %u's %" PRIu64 " at %" PRIu64 " is there",
				     b, known[b].there + 1, missing, a, known[a].there, there);
		}
}

static void check_counters(struct bwt_tree *tree)
{
	uint64_t expected[COUNTERS] = {0};

	for (unsigned thread = 0; thread < THREADS; thread++)
		for (uint64_t number = 1; number <= known[thread].there; number++)
			expected[counter_of(thread, number)]++;
	for (unsigned counter = 0; counter < COUNTERS; counter++) {
		uint64_t count;

		need("bwt_get", read_counter(tree, NULL, counter, &count));
		if (count != expected[counter])
			fail("counter %u is %" PRIu64 " and not %" PRIu64, counter, count,
			     expected[counter]);
	}
}

static void check_count(struct bwt_tree *const trees[2])
{
	uint64_t expected[2] = {0, 0}, count;

	for (unsigned thread = 0; thread < THREADS; thread++) {
		uint64_t there = known[thread].there;

		for (uint64_t number = there > WINDOW ? there - WINDOW + 1 : 1; number <= there;
		     number++)
			for (unsigned part = 0; part < part_count(thread, number); part++)
				expected[part % 2]++;
	}
	for (unsigned counter = 0; counter < COUNTERS; counter++) {
		need("bwt_get", read_counter(trees[0], NULL, counter, &count));
		expected[0] += count != 0;
	}
	for (unsigned tree = 0; tree < 2; tree++) {
		need("bwt_count", bwt_count(trees[tree], &count));
		if (count != expected[tree])
			fail("tree %u has %" PRIu64 " keys and not %" PRIu64, tree, count,
			     expected[tree]);
	}
}

/* As killed, checked by bwt_verify(); then recovered. */
static struct bwt_db *recover(struct rng *rng)
{
	struct bwt_options options = options_of(rng);
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < OPEN_TRIES; i++) {
		rc = bwt_verify(path, 0, print_finding, NULL);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	need("bwt_verify", rc == -ENOENT || rc == BWT_INVALID ? BWT_OK : rc); /* hardly begun */
	return open_patiently(&options);
}

static unsigned rounds(unsigned normal)
{
	const char *text = getenv("LONG");

	if (suite_short())
		return normal / 4 + 1;
	return text != NULL && text[0] != '\0' ? normal * 20 : normal;
}

static void killed_transactions_are_whole_or_absent_and_a_prefix(void)
{
	struct rng rng;

	rng_init(&rng, seed);
	tmpstore_new(path);
	memset(known, 0, sizeof known);
	for (round_no = 1; round_no <= rounds(16); round_no++) {
		struct bwt_tree *trees[2];
		struct bwt_db *db;

		kill_a_child(&rng, 500000, run_child);
		db = recover(&rng);
		open_trees(db, trees);
		for (unsigned thread = 0; thread < THREADS; thread++)
			find_what_is_there(trees, thread);
		check_prefix();
		check_counters(trees[0]);
		check_count(trees);
		need("bwt_close", bwt_close(db));
		need("bwt_verify", bwt_verify(path, 0, print_finding, NULL));
		for (unsigned thread = 0; thread < THREADS; thread++) { /* what is there is durable */
			known[thread].durable = known[thread].begun = known[thread].there;
		}
	}
	printf("    %" PRIu64 ", %" PRIu64 " and %" PRIu64 " transactions survived\n",
	       known[0].there, known[1].there, known[2].there);
	CU_ASSERT_TRUE(known[0].there + known[1].there + known[2].there > 0);
	tmpstore_free(path);
}

/* ---- one large transaction ---- */

#define LARGE_KEYS 60000u

static struct bwt_slice large_key(uint8_t room[64], unsigned number)
{
	int size = snprintf((char *)room, 64, "%08u", number * 7919u % LARGE_KEYS);

	return (struct bwt_slice){room, (size_t)size};
}

/* Over and over: generation g is put into all keys by one transaction. */
static void run_large_child(int pipe_fd, struct rng *rng)
{
	struct bwt_options options = options_of(rng);
	struct worker me = {.pipe = pipe_fd};
	struct bwt_tree *trees[2];

	options.durability = BWT_SYNC;
	me.db = open_patiently(&options);
	open_trees(me.db, trees);
	for (uint64_t generation = known[0].there + 1;; generation++) {
		struct bwt_txn *txn;
		uint8_t room[64];

		tell(&me, BEGUN, generation, 0);
		need("bwt_begin in the child", bwt_begin(me.db, 0, &txn));
		for (unsigned i = 0; i < LARGE_KEYS; i++)
			need("bwt_put in the child", bwt_put(trees[0], txn, large_key(room, i),
			                                     (struct bwt_slice){&generation, 8}, 0));
		need("bwt_commit in the child", bwt_commit(txn));
		tell(&me, DURABLE, generation, 0);
	}
}

static void a_large_transaction_that_is_killed_is_whole_or_absent(void)
{
	struct rng rng;

	rng_init(&rng, seed + 1);
	tmpstore_new(path);
	memset(known, 0, sizeof known);
	for (round_no = 1; round_no <= rounds(8); round_no++) {
		uint64_t generation = 0, keys = 0, count;
		struct bwt_tree *trees[2];
		struct bwt_cursor *cursor;
		struct bwt_db *db;
		int rc;

		kill_a_child(&rng, 1500000, run_large_child);
		db = recover(&rng);
		open_trees(db, trees);
		need("bwt_cursor_open", bwt_cursor_open(trees[0], NULL, &cursor));
		while ((rc = bwt_cursor_next(cursor)) == BWT_OK) {
			struct bwt_slice value;
			uint64_t its;

			need("bwt_cursor_value", bwt_cursor_value(cursor, &value));
			memcpy(&its, value.data, 8);
			if (keys++ != 0 && its != generation)
				fail("generations %" PRIu64 " and %" PRIu64 " are both there",
				     generation, its);
			generation = its;
		}
		bwt_cursor_close(cursor);
		need("a walk", rc == BWT_NOT_FOUND ? BWT_OK : rc);
		if (keys != (generation == 0 ? 0 : LARGE_KEYS))
			fail("%" PRIu64 " keys of generation %" PRIu64, keys, generation);
		if (generation < known[0].durable || generation > known[0].begun)
			fail("generation %" PRIu64 ", durable %" PRIu64 ", begun %" PRIu64,
			     generation, known[0].durable, known[0].begun);
		need("bwt_count", bwt_count(trees[0], &count));
		if (count != keys)
			fail("bwt_count says %" PRIu64 ", a walk %" PRIu64, count, keys);
		need("bwt_close", bwt_close(db));
		need("bwt_verify", bwt_verify(path, 0, print_finding, NULL));
		known[0].there = known[0].durable = known[0].begun = generation;
	}
	printf("    %" PRIu64 " large transactions survived\n", known[0].there);
	tmpstore_free(path);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(killed_transactions_are_whole_or_absent_and_a_prefix),
		TEST(a_large_transaction_that_is_killed_is_whole_or_absent),
		CU_TEST_INFO_NULL,
	};

	seed = rng_seed();
	return suite_run("txn_crash", NULL, NULL, tests);
}
