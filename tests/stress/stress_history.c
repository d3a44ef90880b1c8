/* SPDX-License-Identifier: MIT */
/*
 * stress_history.c - 2, 8 and 32 real threads play rounds; each round's history has to be linearizable
 *
 * A round: every thread makes a few calls, begin and end stamped by one counter; then all meet, every key is read
 * once more, and history_linear() looks for an order of the round that explains all answers. What was read at the
 * end is where the next round begins. So a lost, doubled or reordered write shows at the latest when its round ends.
 * Values are numbers that no two writes share, spread over 900 bytes: a hundred keys are a dozen leaves, which split
 * and merge under the threads, and a mixture of two writes shows.
 *
 * TSan runs this too, with SHORT=1.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "sys/thread.h"
#include "tests/support/crew.h"
#include "tests/support/history.h"
#include "tests/support/suite.h"

#define PATTERNS 5u
#define SIZES 3u
#define PARTS (PATTERNS * SIZES)
#define ROUNDS_MIN 4u      /* however slow the machine is */
#define FAULT_SECONDS 60.0 /* at most, until a planted fault shows */
#define VALUE_WORDS 225u   /* 900 bytes */
#define THREADS_MAX 32u
#define CALLS_MAX (HISTORY_OPS_MAX / THREADS_MAX - 4) /* room for the reads at the end */
#define HOT 12u                                       /* keys that all threads meet on */
#define WINDOW 40u                                    /* keys of the sliding window */

static const unsigned sizes[SIZES] = {2, 8, THREADS_MAX};

/* What the threads of one round share. */
static struct game {
	struct bwt_tree *tree;
	void (*play)(struct member *member, unsigned call);
	bool fresh; /* new threads each round */
	unsigned threads, calls;
	uint64_t round;
	pthread_barrier_t begin, end;
	bool over; /* written before the barrier */
	_Atomic(uint32_t) stamp;
	_Atomic(int32_t) value;              /* the last one that was given out */
	_Atomic(unsigned) met[HISTORY_KEYS]; /* calls on each key in this round */
	_Atomic(unsigned) count;             /* of operations in the history */
	struct history history;
	struct member members[THREADS_MAX];
} game;

static uint32_t stamp(void)
{
	return atomic_fetch_add_explicit(&game.stamp, 1, memory_order_relaxed);
}

/* ---- one call, and its line in the history ---- */

static struct bwt_slice make_key(uint8_t to[4], unsigned key)
{
	to[0] = 'k';
	to[1] = (uint8_t)(key / 10 + '0');
	to[2] = (uint8_t)(key % 10 + '0');
	return (struct bwt_slice){to, 3};
}

static struct bwt_slice make_value(int32_t to[VALUE_WORDS], int32_t value)
{
	for (unsigned i = 0; i < VALUE_WORDS; i++)
		to[i] = value;
	return (struct bwt_slice){to, VALUE_WORDS * sizeof *to};
}

static history_value read_value(struct bwt_slice key)
{
	struct bwt_buf buf = {NULL, 0, 0};
	history_value value = 0;
	int rc = bwt_get(game.tree, NULL, key, &buf);

	if (rc == BWT_OK) {
		const int32_t *words = buf.data;

		if (buf.size != VALUE_WORDS * sizeof *words)
			crew_fail("a value of %zu bytes", buf.size);
		value = words[0];
		for (unsigned i = 1; i < VALUE_WORDS; i++)
			if (words[i] != value)
				crew_fail("a mixture of %d and %d", value, words[i]);
	} else if (rc != BWT_NOT_FOUND) {
		crew_need("bwt_get", rc);
	}
	bwt_buf_free(&buf);
	return value;
}

static struct history_op *record(struct member *member, enum history_kind kind, unsigned key)
{
	unsigned at = atomic_fetch_add_explicit(&game.count, 1, memory_order_relaxed);
	struct history_op *op = &game.history.op[at];

	*op = (struct history_op){.fiber = (uint8_t)member->number, .kind = kind, .key = (uint8_t)key};
	return op;
}

/* @kind on @key: made, and recorded. A key that was met too often for a search is left alone. */
static void call(struct member *member, enum history_kind kind, unsigned key, history_value expected)
{
	int32_t words[VALUE_WORDS], old_words[VALUE_WORDS];
	struct bwt_slice new, old = make_value(old_words, expected);
	uint8_t bytes[4];
	struct bwt_slice name = make_key(bytes, key);
	struct history_op *op;
	int rc = BWT_OK;

	if (atomic_fetch_add_explicit(&game.met[key], 1, memory_order_relaxed) >=
	    HISTORY_KEY_OPS_MAX - 1)
		return;
	op = record(member, kind, key);
	op->expected = expected;
	if (kind != HISTORY_DELETE && kind != HISTORY_GET)
		op->value = 1 + atomic_fetch_add_explicit(&game.value, 1, memory_order_relaxed);
	new = make_value(words, op->value);
	op->begin = stamp();
	switch (kind) {
	case HISTORY_PUT:
		rc = bwt_put(game.tree, NULL, name, new, 0);
		break;
	case HISTORY_INSERT:
		rc = bwt_put(game.tree, NULL, name, new, BWT_INSERT);
		break;
	case HISTORY_UPDATE:
		rc = bwt_put(game.tree, NULL, name, new, BWT_UPDATE);
		break;
	case HISTORY_DELETE:
		rc = bwt_delete(game.tree, NULL, name);
		break;
	case HISTORY_CAS:
		rc = bwt_cas(game.tree, NULL, name, expected != 0 ? &old : NULL, &new);
		break;
	case HISTORY_GET:
		op->value = read_value(name);
		break;
	}
	op->end = stamp();
	op->done = kind != HISTORY_GET && rc == BWT_OK;
	if (rc != BWT_OK && rc != BWT_NOT_FOUND && rc != BWT_EXISTS && rc != BWT_MISMATCH)
		crew_need("a change", rc);
	member->done++;
}

static void any_call(struct member *member, unsigned key)
{
	enum history_kind kind = (enum history_kind)rng_below(&member->rng, HISTORY_GET + 1);
	uint8_t bytes[4];

	call(member, kind, key, kind == HISTORY_CAS ? read_value(make_key(bytes, key)) : 0);
}

/* ---- patterns: one call of a thread's round ---- */

static void play_hot(struct member *member, unsigned number)
{
	(void)number;
	any_call(member, (unsigned)rng_below(&member->rng, HOT));
}

/* Threads beside each other share the ends of their ranges. */
static void play_ranges(struct member *member, unsigned number)
{
	unsigned width = HISTORY_KEYS / game.threads, from = member->number * width;

	(void)number;
	any_call(member, (from + (unsigned)rng_below(&member->rng, width + 2)) % HISTORY_KEYS);
}

/* Inserted at the head, deleted at the tail; the keys go round, so that old names come back. */
static void play_window(struct member *member, unsigned number)
{
	unsigned head = (unsigned)((game.round * 7 + number) % HISTORY_KEYS);
	unsigned tail = (head + HISTORY_KEYS - WINDOW) % HISTORY_KEYS;

	if (number % 3 == 0)
		call(member, HISTORY_INSERT, head, 0);
	else if (number % 3 == 1)
		call(member, HISTORY_DELETE, tail, 0);
	else
		call(member, HISTORY_GET, rng_below(&member->rng, 2) != 0 ? head : tail, 0);
}

/* Some rounds fill the tree, as many empty it: leaves split, merge, and the root comes down to a leaf. */
static void play_tides(struct member *member, unsigned number)
{
	unsigned per_round = game.threads * game.calls;
	unsigned turn = (unsigned)(game.round * per_round / 150 % 2);
	unsigned key = (unsigned)((game.round * per_round + member->number * game.calls + number) %
	                          HISTORY_KEYS);

	if (rng_below(&member->rng, 8) == 0)
		call(member, HISTORY_GET, (key + 3) % HISTORY_KEYS, 0);
	else
		call(member, turn == 0 ? HISTORY_PUT : HISTORY_DELETE, key, 0);
}

static const struct pattern {
	const char *name;
	void (*play)(struct member *member, unsigned call);
	bool fresh;
} patterns[PATTERNS] = {
	{"hot keys", play_hot, false},
	{"ranges", play_ranges, false},
	{"sliding window", play_window, false},
	{"filled and emptied", play_tides, false},
	{"threads that come and go", play_hot, true},
};

/* ---- rounds ---- */

static void *play_once(void *ctx)
{
	struct member *member = ctx;

	for (unsigned i = 0; i < game.calls; i++)
		game.play(member, i);
	return NULL;
}

static void *play_on(void *ctx)
{
	for (;;) {
		pthread_barrier_wait(&game.begin);
		if (game.over)
			return NULL;
		play_once(ctx);
		pthread_barrier_wait(&game.end);
	}
}

static void start(struct member *member, void *(*life)(void *))
{
	if (pthread_create(&member->thread, NULL, life, member) != 0)
		crew_fail("no thread");
}

/* Every key as it is now: the last reads of this round's history, and where the next one begins. How many there are. */
static uint64_t look_round(history_value now[HISTORY_KEYS])
{
	struct member *member = &game.members[0];
	uint8_t bytes[4];
	uint64_t there = 0;

	for (unsigned key = 0; key < HISTORY_KEYS; key++) {
		now[key] = read_value(make_key(bytes, key));
		there += now[key] != 0;
		if (atomic_load_explicit(&game.met[key], memory_order_relaxed) != 0) {
			struct history_op *op = record(member, HISTORY_GET, key);

			op->begin = stamp();
			op->value = now[key];
			op->end = stamp();
		} else if (now[key] != game.history.first[key]) {
			crew_fail("key %u changed, and nobody wrote it", key);
		}
	}
	return there;
}

static void judge_round(void)
{
	history_value now[HISTORY_KEYS];
	uint64_t there = look_round(now), count;
	char why[HISTORY_WHY];

	game.history.op_count = atomic_load_explicit(&game.count, memory_order_relaxed);
	if (!history_linear(&game.history, why)) {
		history_print(&game.history);
		crew_fail("round %" PRIu64 ": %s", game.round, why);
	}
	crew_need("bwt_count", bwt_count(game.tree, &count));
	if (count != there)
		crew_fail("bwt_count: %" PRIu64 ", there are %" PRIu64, count, there);
	history_clear(&game.history, now);
	atomic_store_explicit(&game.count, 0, memory_order_relaxed);
	atomic_store_explicit(&game.stamp, 0, memory_order_relaxed);
	for (unsigned key = 0; key < HISTORY_KEYS; key++)
		atomic_store_explicit(&game.met[key], 0, memory_order_relaxed);
}

static void play_round(void)
{
	if (!game.fresh) {
		pthread_barrier_wait(&game.begin);
		pthread_barrier_wait(&game.end);
		return;
	}
	for (unsigned i = 0; i < game.threads; i++)
		start(&game.members[i], play_once);
	for (unsigned i = 0; i < game.threads; i++)
		pthread_join(game.members[i].thread, NULL);
}

/* One thread beside the rounds, so that checkpoints and their cuts meet them. */
static void work_rounds(struct member *member)
{
	pthread_barrier_init(&game.begin, NULL, game.threads + 1);
	pthread_barrier_init(&game.end, NULL, game.threads + 1);
	game.over = false;
	for (unsigned i = 0; i < game.threads; i++) {
		game.members[i] = (struct member){.crew = member->crew, .number = i};
		rng_init(&game.members[i].rng, rng_u64(&member->rng));
		if (!game.fresh)
			start(&game.members[i], play_on);
	}
	for (game.round = 0; game.round < ROUNDS_MIN || crew_going(member); game.round++) {
		play_round();
		judge_round();
		member->done++;
	}
	if (!game.fresh) {
		game.over = true;
		pthread_barrier_wait(&game.begin);
		for (unsigned i = 0; i < game.threads; i++)
			pthread_join(game.members[i].thread, NULL);
	}
	pthread_barrier_destroy(&game.begin);
	pthread_barrier_destroy(&game.end);
}

static struct crew crew;

static uint64_t run_rounds(const struct pattern *pattern, unsigned threads, double seconds)
{
	static const struct bwt_options fast = {
		.durability = BWT_NONE, .checkpoint_interval_ms = 20, .worker_count = 1};
	static const history_value nothing[HISTORY_KEYS];

	crew_open(&crew, &fast);
	memset(&game, 0, sizeof game);
	history_clear(&game.history, nothing);
	game.tree = crew.tree;
	game.play = pattern->play;
	game.fresh = pattern->fresh;
	game.threads = threads;
	game.calls = CALLS_MAX;
	history_undecided = 0;
	crew_add(&crew, work_rounds, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	crew_run(&crew, seconds);
	return crew.members[0].done;
}

static void run_pattern(const struct pattern *pattern)
{
	for (unsigned size = 0; size < SIZES; size++) {
		uint64_t rounds = run_rounds(pattern, sizes[size], crew_seconds(PARTS));

		printf("    %s, %u threads: %" PRIu64 " rounds, %u keys undecided\n", pattern->name,
		       game.threads, rounds, history_undecided);
		CU_ASSERT_TRUE(history_undecided <= rounds / 10);
		crew_close(&crew);
	}
}

static void hot_keys_have_an_order(void)
{
	run_pattern(&patterns[0]);
}

static void ranges_with_common_ends_have_an_order(void)
{
	run_pattern(&patterns[1]);
}

static void a_sliding_window_has_an_order(void)
{
	run_pattern(&patterns[2]);
}

static void a_tree_that_is_filled_and_emptied_has_an_order(void)
{
	run_pattern(&patterns[3]);
}

static void threads_that_come_and_go_have_an_order(void)
{
	run_pattern(&patterns[4]);
}

/* ---- planted faults ---- */

/* Lets others in at one point in sixteen. */
static bool give_way(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)name;
	if (hit % 16 == 0)
		sys_yield();
	return false;
}

/* Plays on with @fault in a child, which ends by crew_fail() as soon as a round has no order. */
static bool fault_shows(const char *fault)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		const struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(0);
		testpoint_set(fault, 0, NULL, NULL);
		testpoint_set("*", 0, give_way, NULL);
		run_rounds(&patterns[0], 8, FAULT_SECONDS);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void a_write_that_is_lost_on_purpose_shows(void)
{
	static const char *const faults[] = {"commit_looks_once", "rebuild_over_newer",
	                                     "consolidate_drops_pending"};

	for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		bool shows = fault_shows(faults[i]);

		printf("    %s: %s\n", faults[i], shows ? "found" : "not found");
		CU_ASSERT_TRUE(shows);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(hot_keys_have_an_order),
		TEST(ranges_with_common_ends_have_an_order),
		TEST(a_sliding_window_has_an_order),
		TEST(a_tree_that_is_filled_and_emptied_has_an_order),
		TEST(threads_that_come_and_go_have_an_order),
		TEST(a_write_that_is_lost_on_purpose_shows),
		CU_TEST_INFO_NULL,
	};

	crew.seed = rng_seed();
	return suite_run("stress_history", NULL, NULL, tests);
}
