/* SPDX-License-Identifier: MIT */
/*
 * txn_history.c - threads append to a few hot lists in transactions, and history.c looks for an order
 *
 * A list is kept in one of two ways, so that values and ranges are both tested:
 *   value   one key; its value is the array of elements. Appending is get and put (or bwt_cas)
 *   range   a key for each element, list and position; appending looks for the last one and puts the
 *           next; reading is a walk in either direction
 * Lists that are long enough are left behind, and new ones become hot.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/support/crew.h"
#include "tests/support/suite.h"
#include "tests/txn/history.h"

#define PARTS 8u
#define LIST_LENGTH_MAX 48u
#define OPS_MAX 5u
#define TXNS_MAX 20000u /* of a thread: enough, and the checker's memory is bounded */

struct run {
	enum history_level level;
	unsigned flags; /* of bwt_begin() */
	unsigned hot;   /* lists in use at a time */
	unsigned threads;
	bool cas; /* append by bwt_cas: what read committed needs to lose nothing */
	bool values, ranges;
	bool mixed;   /* some transactions at a higher level */
	bool dawdles; /* threads stop at the steps of a commit */
	bool sync;    /* read-only transactions stand at what is durable */
};

static struct crew crew;
static struct run run;
static struct history histories[CREW_MAX];
static _Atomic(uint32_t) first_list; /* first of the hot ones: changed by CAS, read by all; relaxed */
static _Atomic(uint64_t) refused;    /* a count; relaxed */

struct list {
	uint32_t number;
	uint64_t elements[LIST_LENGTH_MAX + 64];
	size_t count;
};

static bool is_range(uint32_t number)
{
	return run.ranges && (!run.values || number % 2 == 1);
}

static struct bwt_slice list_key(uint8_t room[8], uint32_t list, uint32_t position)
{
	for (unsigned i = 0; i < 4; i++) {
		room[i] = (uint8_t)(list >> (24 - 8 * i));
		room[4 + i] = (uint8_t)(position >> (24 - 8 * i));
	}
	return (struct bwt_slice){room, is_range(list) ? 8 : 4};
}

static void too_long(const struct list *list, size_t count)
{
	if (count > sizeof list->elements / sizeof list->elements[0])
		crew_fail("list %u has %zu elements", list->number, count);
}

/* ---- reading a list: BWT_OK or BWT_CONFLICT ---- */

static int read_value(struct bwt_txn *txn, struct list *list, struct bwt_buf *buf, bool many)
{
	uint8_t room[8];
	struct bwt_slice key = list_key(room, list->number, 0);
	int result = BWT_OK, rc;

	if (many) {
		rc = bwt_get_many(crew.tree, txn, 1, &key, buf, &result);
		rc = rc == BWT_OK ? result : rc;
	} else {
		rc = bwt_get(crew.tree, txn, key, buf);
	}
	list->count = 0;
	if (rc == BWT_NOT_FOUND)
		return BWT_OK;
	if (rc == BWT_OK) {
		list->count = buf->size / 8;
		too_long(list, list->count);
		memcpy(list->elements, buf->data, buf->size);
	}
	return rc;
}

static int add_entry(struct bwt_cursor *cursor, struct list *list)
{
	struct bwt_slice value;
	int rc = bwt_cursor_value(cursor, &value);

	if (rc != BWT_OK)
		return rc;
	if (value.size != 8)
		crew_fail("a value of %zu bytes", value.size);
	too_long(list, list->count + 1);
	memcpy(&list->elements[list->count++], value.data, 8);
	return BWT_OK;
}

static void reverse(struct list *list)
{
	for (size_t i = 0; i < list->count / 2; i++) {
		uint64_t element = list->elements[i];

		list->elements[i] = list->elements[list->count - 1 - i];
		list->elements[list->count - 1 - i] = element;
	}
}

/* Backwards: from below the first key of the next list, while the keys are of this one. */
static int walk_back(struct bwt_cursor *cursor, struct list *list)
{
	uint8_t room[8];
	struct bwt_slice key;
	int rc = bwt_cursor_seek(
		cursor, (list_key(room, list->number + 1, 0), (struct bwt_slice){room, 4}), BWT_LT);

	while (rc == BWT_OK) {
		rc = bwt_cursor_key(cursor, &key);
		list_key(room, list->number, 0);
		if (rc != BWT_OK || key.size < 4 || memcmp(key.data, room, 4) != 0)
			break;
		rc = add_entry(cursor, list);
		if (rc == BWT_OK)
			rc = bwt_cursor_prev(cursor);
	}
	reverse(list);
	return rc;
}

static int walk_forward(struct bwt_cursor *cursor, struct list *list)
{
	uint8_t room[8];
	int rc;

	list_key(room, list->number, 0);
	rc = bwt_cursor_seek(cursor, (struct bwt_slice){room, 4}, BWT_PREFIX);
	while (rc == BWT_OK) {
		rc = add_entry(cursor, list);
		if (rc == BWT_OK)
			rc = bwt_cursor_next(cursor);
	}
	return rc;
}

static int read_range(struct bwt_txn *txn, struct list *list, bool back)
{
	struct bwt_cursor *cursor;
	int rc = bwt_cursor_open(crew.tree, txn, &cursor);

	if (rc != BWT_OK)
		return rc;
	list->count = 0;
	rc = back ? walk_back(cursor, list) : walk_forward(cursor, list);
	bwt_cursor_close(cursor);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

static int read_list(struct member *member, struct bwt_txn *txn, struct list *list,
                     struct bwt_buf *buf)
{
	bool other_way = rng_chance(&member->rng, 50);

	return is_range(list->number) ? read_range(txn, list, other_way)
	                              : read_value(txn, list, buf, other_way);
}

/* ---- appending ---- */

/* @list is what was read a moment ago. */
static int append(struct bwt_txn *txn, struct list *list, uint64_t element)
{
	struct bwt_slice before = {list->elements, list->count * 8}, value = {&element, 8};
	uint32_t position = (uint32_t)list->count;
	uint8_t room[8];

	too_long(list, list->count + 1);
	if (is_range(list->number))
		return bwt_put(crew.tree, txn, list_key(room, list->number, position), value, 0);
	list->elements[list->count++] = element;
	value = (struct bwt_slice){list->elements, list->count * 8};
	if (run.cas)
		return bwt_cas(crew.tree, txn, list_key(room, list->number, 0),
		               before.size == 0 ? NULL : &before, &value);
	return bwt_put(crew.tree, txn, list_key(room, list->number, 0), value, 0);
}

static void move_on(uint32_t seen)
{
	atomic_compare_exchange_strong_explicit(&first_list, &seen, seen + run.hot,
	                                        memory_order_relaxed, memory_order_relaxed);
}

/* One read, perhaps an append behind it, perhaps a read after that. */
static int do_one(struct member *member, struct bwt_txn *txn, struct history *history, bool writes,
                  struct bwt_buf *buf)
{
	uint32_t first = atomic_load_explicit(&first_list, memory_order_relaxed);
	struct list list = {.number = first + (uint32_t)rng_below(&member->rng, run.hot)};
	uint64_t element = (uint64_t)(member->number + 1) << 40 | ++member->done;
	int rc = read_list(member, txn, &list, buf);

	if (rc != BWT_OK)
		return rc;
	history_read(history, list.number, list.elements, list.count);
	if (list.count >= LIST_LENGTH_MAX)
		move_on(first);
	if (!writes || list.count >= LIST_LENGTH_MAX || rng_chance(&member->rng, 40))
		return BWT_OK;
	if (rng_chance(&member->rng, 5))
		sched_yield();
	rc = append(txn, &list, element);
	if (rc != BWT_OK)
		return rc == BWT_MISMATCH ? BWT_CONFLICT : rc;
	history_append(history, list.number, element);
	if (rng_chance(&member->rng, 20)) {
		rc = read_list(member, txn, &list, buf);
		if (rc == BWT_OK)
			history_read(history, list.number, list.elements, list.count);
	}
	return rc;
}

static unsigned random_flags(struct member *member, bool *reads_only)
{
	unsigned flags = run.flags;

	*reads_only = rng_chance(&member->rng, 25);
	if (*reads_only)
		flags = (run.level == HISTORY_READ_COMMITTED ? flags : BWT_RDONLY) | BWT_RDONLY;
	if (*reads_only && rng_chance(&member->rng, 50))
		flags |= BWT_NEWEST;
	if (run.mixed && rng_chance(&member->rng, 50))
		flags |= BWT_SERIALIZABLE;
	return flags;
}

static void work(struct member *member)
{
	struct history *history = &histories[member->number], taken_back;
	struct bwt_buf buf = {NULL, 0, 0};

	while (crew_going(member) && history->txn_count < TXNS_MAX) {
		unsigned ops = 1 + (unsigned)rng_below(&member->rng, OPS_MAX);
		unsigned mark = 0, mark_at = ~0u;
		bool reads_only;
		unsigned flags = random_flags(member, &reads_only);
		struct bwt_txn *txn;
		bwt_lsn lsn = 0, snapshot;
		int rc = BWT_OK;

		crew_need("bwt_begin", bwt_begin(crew.db, flags, &txn));
		snapshot = bwt_txn_snapshot(txn);
		history_begin(history, member->number);
		if (!reads_only && rng_chance(&member->rng, 20))
			mark_at = (unsigned)rng_below(&member->rng, ops);
		memset(&taken_back, 0,
		       sizeof taken_back); /* an element in it that shows up is garbage */
		history_begin(&taken_back, 0);
		for (unsigned i = 0; i < ops && rc == BWT_OK; i++) {
			if (i == mark_at)
				rc = bwt_savepoint(txn, &mark);
			if (rc == BWT_OK)
				rc = do_one(member, txn, i < mark_at ? history : &taken_back,
				            !reads_only, &buf);
		}
		if (rc == BWT_OK && mark_at < ops)
			rc = bwt_rollback_to(txn, mark);
		history_free(&taken_back);
		if (rc != BWT_OK && rc != BWT_CONFLICT)
			crew_need("an operation in a transaction", rc);
		if (rc == BWT_OK && rng_chance(&member->rng, 95)) {
			rc = bwt_commit_async(txn, &lsn);
			if (rc != BWT_OK && rc != BWT_CONFLICT)
				crew_need("bwt_commit_async", rc);
			if (rc == BWT_CONFLICT && reads_only)
				crew_fail("a read-only transaction was refused");
		} else {
			if (rc == BWT_CONFLICT && reads_only)
				crew_fail("a read in a read-only transaction was refused");
			bwt_abort(txn);
			rc = BWT_CONFLICT;
		}
		if (rc == BWT_CONFLICT)
			atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
		history_end(history, rc == BWT_OK, true, snapshot, reads_only ? 0 : lsn);
	}
	bwt_buf_free(&buf);
}

/* ---- the end ---- */

/* A commit without appends returns what it read, which is no place in the order of writes. */
static void forget_lsns_of_readers(struct history *history)
{
	for (size_t i = 0; i < history->txn_count; i++) {
		struct history_txn *txn = &history->txns[i];
		bool writes = false;

		for (size_t n = txn->op; n < txn->op + txn->op_count; n++)
			writes |= history->ops[n].append;
		if (!writes)
			txn->lsn = 0;
	}
}

static void read_all(struct history *history, uint32_t session)
{
	uint32_t end = atomic_load_explicit(&first_list, memory_order_relaxed) + run.hot;
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_txn *txn;

	crew_need("bwt_begin", bwt_begin(crew.db, BWT_RDONLY | BWT_NEWEST, &txn));
	history_begin(history, session);
	for (uint32_t number = 0; number < end; number++) {
		struct list list = {.number = number};

		crew_need("reading a list", is_range(number) ? read_range(txn, &list, false)
		                                             : read_value(txn, &list, &buf, false));
		history_read(history, number, list.elements, list.count);
	}
	history_end(history, true, true, bwt_txn_snapshot(txn), 0);
	crew_need("bwt_commit", bwt_commit(txn));
	bwt_buf_free(&buf);
}

/* The steps of a commit at which threads are made to dawdle, now and then. */
static const char *const steps[] = {
	"txn_installed", "txn_reserve",    "txn_revalidate", "txn_publish", "txn_fill",
	"txn_stamp",     "commit_reserve", "commit_publish", "commit_fill", "descriptor_read"};

static bool dawdle(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx;
	(void)name;
	if (hit * 7919 % 101 == 0)
		usleep((unsigned)(hit % 13) * 20);
	return false;
}

/* Run for @seconds and look for an order. The anomaly, or NULL; the store is open. */
static const char *play_history(const struct run *what, double seconds, char why[1000])
{
	const struct bwt_options options = {.durability = what->sync ? BWT_SYNC : BWT_NONE,
	                                    .checkpoint_interval_ms = 40,
	                                    .wal_segment_size = (uint64_t)1 << 20,
	                                    .inline_max = 300,
	                                    .worker_count = 1};
	struct history all;
	const char *anomaly;
	size_t committed = 0;

	run = *what;
	memset(&all, 0, sizeof all);
	memset(histories, 0, sizeof histories);
	atomic_store_explicit(&first_list, 0, memory_order_relaxed);
	atomic_store_explicit(&refused, 0, memory_order_relaxed);
	crew_open(&crew, &options);
	for (unsigned i = 0; run.dawdles && i < sizeof steps / sizeof steps[0]; i++)
		testpoint_set(steps[i], 0, dawdle, NULL);
	for (unsigned i = 0; i < run.threads; i++)
		crew_add(&crew, work, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	crew_run(&crew, seconds);
	for (unsigned i = 0; i < run.threads; i++)
		history_merge(&all, &histories[i]);
	forget_lsns_of_readers(&all);
	read_all(&all, run.threads + 1);
	for (size_t i = 0; i < all.txn_count; i++)
		committed += all.txns[i].committed;
	printf("    %zu transactions committed, %" PRIu64 " refused or aborted, %u lists\n",
	       committed, atomic_load_explicit(&refused, memory_order_relaxed),
	       atomic_load_explicit(&first_list, memory_order_relaxed) + run.hot);
	CU_ASSERT_TRUE(committed > 100);
	anomaly = history_check(&all, run.level, why);
	history_free(&all);
	return anomaly;
}

static void run_and_check(const struct run *what)
{
	char why[1000];
	const char *anomaly = play_history(what, crew_seconds(PARTS), why);

	if (anomaly != NULL)
		crew_fail("%s: %s (the store is in %s)", anomaly, why, crew.path);
	testpoint_reset();
	crew_close(&crew);
}

static void read_committed_with_cas_has_no_g0_g1_or_lost_update(void)
{
	run_and_check(&(struct run){.level = HISTORY_READ_COMMITTED,
	                            .flags = BWT_READ_COMMITTED,
	                            .hot = 5,
	                            .threads = 4,
	                            .cas = true,
	                            .values = true});
}

static void snapshots_of_values_have_an_order_but_for_write_skew(void)
{
	run_and_check(
		&(struct run){.level = HISTORY_SNAPSHOT, .hot = 6, .threads = 4, .values = true});
}

static void snapshots_of_ranges_have_an_order_but_for_write_skew(void)
{
	run_and_check(
		&(struct run){.level = HISTORY_SNAPSHOT, .hot = 6, .threads = 4, .ranges = true});
}

static void serializable_transactions_on_values_have_an_order(void)
{
	run_and_check(&(struct run){.level = HISTORY_SERIALIZABLE,
	                            .flags = BWT_SERIALIZABLE,
	                            .hot = 6,
	                            .threads = 4,
	                            .values = true});
}

static void serializable_transactions_on_ranges_have_an_order(void)
{
	run_and_check(&(struct run){.level = HISTORY_SERIALIZABLE,
	                            .flags = BWT_SERIALIZABLE,
	                            .hot = 8,
	                            .threads = 2,
	                            .ranges = true});
}

static void sixteen_serializable_threads_have_an_order(void)
{
	run_and_check(&(struct run){.level = HISTORY_SERIALIZABLE,
	                            .flags = BWT_SERIALIZABLE,
	                            .hot = 24,
	                            .threads = 16,
	                            .values = true,
	                            .ranges = true});
}

static void levels_mix_in_one_store(void)
{
	run_and_check(&(struct run){.level = HISTORY_SNAPSHOT,
	                            .hot = 8,
	                            .threads = 6,
	                            .values = true,
	                            .ranges = true,
	                            .mixed = true,
	                            .sync = true});
}

static void threads_that_dawdle_in_their_commits_have_an_order(void)
{
	run_and_check(&(struct run){.level = HISTORY_SERIALIZABLE,
	                            .flags = BWT_SERIALIZABLE,
	                            .hot = 6,
	                            .threads = 6,
	                            .values = true,
	                            .ranges = true,
	                            .dawdles = true});
}

/* ---- a rule that is broken on purpose shows ---- */

#define FOUND 42 /* exit status of a child that found an anomaly */
#define TRIES_MAX 30u

static const struct fault {
	const char *name;
	struct run run;
} faults[] = {
	{"txn_no_conflict", {.level = HISTORY_SNAPSHOT, .hot = 4, .threads = 4, .values = true}},
	{"txn_no_second_look",
         {.level = HISTORY_SERIALIZABLE, .flags = BWT_SERIALIZABLE, .hot = 3, .threads = 4, .values = true}},
	{"txn_no_phantom_check",
         {.level = HISTORY_SERIALIZABLE, .flags = BWT_SERIALIZABLE, .hot = 3, .threads = 4, .ranges = true}},
	{"read_no_push", {.level = HISTORY_SNAPSHOT, .hot = 3, .threads = 4, .values = true}},
	{"publish_below_floor", {.level = HISTORY_SNAPSHOT, .hot = 3, .threads = 4, .values = true}},
	{"consolidate_drops_pending",
         {.level = HISTORY_SNAPSHOT, .hot = 2, .threads = 4, .values = true}},
	{"prune_visible", {.level = HISTORY_SNAPSHOT, .hot = 3, .threads = 4, .values = true}},
};

/* In a process of its own, which may also come to grief in another way: that is seen, too. */
static int play_fault(const struct fault *fault)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		char why[1000];
		const char *anomaly;
		struct run broken = fault->run;

		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(EXIT_FAILURE);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		broken.dawdles = true;
		testpoint_set(fault->name, 0, NULL, NULL);
		anomaly = play_history(&broken, 0.1, why);
		tmpstore_free(crew.path);
		_exit(anomaly != NULL ? FOUND : 0);
	}
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Chance has to help: the short form, of slow builds, looks for them and does not insist. */
static void a_rule_that_is_broken_on_purpose_shows(void)
{
	const unsigned most = suite_short() ? 3 : TRIES_MAX;

	for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		unsigned tries = 0;
		int end;

		do {
			crew.seed++;
			end = play_fault(&faults[i]);
		} while (end == 0 && ++tries < most);
		printf("    %s: %s after %u runs\n", faults[i].name,
		       end == FOUND ? "found"
		       : end == 0   ? "not found"
		                    : "the program failed",
		       tries + 1);
		CU_ASSERT_TRUE(end != 0 || suite_short());
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(read_committed_with_cas_has_no_g0_g1_or_lost_update),
		TEST(snapshots_of_values_have_an_order_but_for_write_skew),
		TEST(snapshots_of_ranges_have_an_order_but_for_write_skew),
		TEST(serializable_transactions_on_values_have_an_order),
		TEST(serializable_transactions_on_ranges_have_an_order),
		TEST(sixteen_serializable_threads_have_an_order),
		TEST(levels_mix_in_one_store),
		TEST(threads_that_dawdle_in_their_commits_have_an_order),
		TEST(a_rule_that_is_broken_on_purpose_shows),
		CU_TEST_INFO_NULL,
	};

	crew.seed = rng_seed();
	return suite_run("txn_history", NULL, NULL, tests);
}
