/* SPDX-License-Identifier: MIT */
/*
 * txn_large.c - transactions of many writes and many bytes: all or nothing, beside others, and the
 * memory comes back
 *
 * LONG set in the environment ("make soak"): a million writes and a GiB, else 200,000 and 256 MiB; SHORT=1: a tenth.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/crew.h"
#include "tests/support/suite.h"

#define SMALL_KEYS 100000u /* above the keys of the large ones */

static struct crew crew;
static const struct bwt_options fast = {.durability = BWT_NONE,
                                        .checkpoint_interval_ms = 100,
                                        .wal_segment_size = (uint64_t)4 << 20,
                                        .vlog_segment_size = (uint64_t)16 << 20,
                                        .max_size = (uint64_t)16 << 30,
                                        .worker_count = 1};

static bool is_long(void)
{
	const char *text = getenv("LONG");

	return text != NULL && text[0] != '\0';
}

static unsigned writes(void)
{
	return is_long() ? 1000000 : suite_short() ? 20000 : 200000;
}

static struct bwt_slice key_of(uint8_t room[8], uint64_t number)
{
	for (unsigned i = 0; i < 8; i++)
		room[i] = (uint8_t)(number >> (56 - 8 * i));
	return (struct bwt_slice){room, 8};
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Put @count keys in an order that is not theirs; the value tells the generation. */
static int put_all(struct bwt_txn *txn, unsigned count, uint64_t generation)
{
	uint8_t room[8];
	int rc = BWT_OK;

	for (unsigned i = 0; i < count && rc == BWT_OK; i++)
		rc = bwt_put(crew.tree, txn, key_of(room, (uint64_t)i * 7919 % count),
		             (struct bwt_slice){&generation, 8}, 0);
	return rc;
}

/* Keys that walking finds, all of this generation. */
static uint64_t walk_all(struct bwt_txn *txn, uint64_t generation)
{
	struct bwt_cursor *cursor;
	struct bwt_slice value;
	uint64_t keys = 0;
	int rc;

	crew_need("bwt_cursor_open", bwt_cursor_open(crew.tree, txn, &cursor));
	while ((rc = bwt_cursor_next(cursor)) == BWT_OK) {
		crew_need("bwt_cursor_value", bwt_cursor_value(cursor, &value));
		if (value.size != 8 || memcmp(value.data, &generation, 8) != 0)
			crew_fail("a key is not of generation %" PRIu64, generation);
		keys++;
	}
	if (rc != BWT_NOT_FOUND)
		crew_need("a walk", rc);
	bwt_cursor_close(cursor);
	return keys;
}

static uint64_t count_now(void)
{
	uint64_t count;

	crew_need("bwt_count", bwt_count(crew.tree, &count));
	return count;
}

static struct bwt_txn *begin(unsigned flags)
{
	struct bwt_txn *txn;

	crew_need("bwt_begin", bwt_begin(crew.db, flags, &txn));
	return txn;
}

static void many_writes_commit_at_once_and_survive(void)
{
	unsigned count = writes();
	struct bwt_txn *txn;
	double start = now();

	crew_open(&crew, &fast);
	for (uint64_t generation = 1; generation <= 2; generation++) { /* new keys, then old ones */
		txn = begin(0);
		crew_need("bwt_put", put_all(txn, count, generation));
		CU_ASSERT_EQUAL(count_now(), generation == 1 ? 0 : count);
		CU_ASSERT_EQUAL(walk_all(txn, generation), count);
		crew_need("bwt_commit", bwt_commit(txn));
		CU_ASSERT_EQUAL(count_now(), count);
		CU_ASSERT_EQUAL(walk_all(NULL, generation), count);
	}
	printf("    twice %u writes in %.1f s\n", count, now() - start);
	crew_reopen(&crew, &fast);
	CU_ASSERT_EQUAL(count_now(), count);
	CU_ASSERT_EQUAL(walk_all(NULL, 2), count);
	txn = begin(0);
	crew_need("bwt_delete_range", bwt_delete_range(crew.tree, txn, (struct bwt_slice){NULL, 0},
	                                               (struct bwt_slice){NULL, 0}));
	crew_need("bwt_commit", bwt_commit(txn));
	CU_ASSERT_EQUAL(count_now(), 0);
	CU_ASSERT_EQUAL(walk_all(NULL, 0), 0);
	crew_close(&crew);
}

static void an_abort_gives_the_memory_back(void)
{
	unsigned count = writes();
	size_t before, during, after;
	struct bwt_txn *txn;
	unsigned mark;

	crew_open(&crew, &fast);
	crew_need("bwt_put", put_all(NULL, 1000, 1));
	txn = begin(0); /* what is allocated once stays */
	crew_need("bwt_put", put_all(txn, 1000, 2));
	bwt_abort(txn);
	before = heap_bytes();
	txn = begin(BWT_SERIALIZABLE);
	crew_need("bwt_savepoint", bwt_savepoint(txn, &mark));
	crew_need("bwt_put", put_all(txn, count, 2));
	CU_ASSERT_EQUAL(walk_all(txn, 2), count);
	during = heap_bytes();
	crew_need("bwt_rollback_to", bwt_rollback_to(txn, mark));
	CU_ASSERT_EQUAL(walk_all(txn, 1), 1000);
	crew_need("bwt_put", put_all(txn, count / 2, 3));
	bwt_abort(txn);
	after = heap_bytes();
	CU_ASSERT_EQUAL(count_now(), 1000);
	CU_ASSERT_EQUAL(walk_all(NULL, 1), 1000);
	printf("    %zu KiB before, %zu during, %zu after\n", before >> 10, during >> 10,
	       after >> 10);
	if (during > before) /* a sanitizer's allocator does not tell */
		CU_ASSERT_TRUE(after < before + (1 << 20));
	crew_close(&crew);
}

/* ---- many bytes ---- */

#define LARGE_VALUE ((size_t)4 << 20)

static void fill_value(uint8_t *to, unsigned number)
{
	struct rng rng;

	rng_init(&rng, number);
	rng_fill(&rng, to, LARGE_VALUE);
}

static void many_bytes_commit_at_once_and_survive(void)
{
	unsigned count = is_long() ? 256 : suite_short() ? 8 : 64;
	uint8_t *value = malloc(LARGE_VALUE), room[8];
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_txn *txn;
	double start = now();

	crew_open(&crew, &fast);
	txn = begin(0);
	for (unsigned i = 0; i < count; i++) {
		fill_value(value, i);
		crew_need("bwt_put", bwt_put(crew.tree, txn, key_of(room, i),
		                             (struct bwt_slice){value, LARGE_VALUE}, 0));
	}
	crew_need("bwt_commit", bwt_commit(txn));
	printf("    %u MiB in %.1f s\n", count * 4, now() - start);
	crew_reopen(&crew, &fast);
	for (unsigned i = 0; i < count; i++) {
		fill_value(value, i);
		crew_need("bwt_get", bwt_get(crew.tree, NULL, key_of(room, i), &buf));
		CU_ASSERT_TRUE(buf.size == LARGE_VALUE && memcmp(buf.data, value, LARGE_VALUE) == 0);
	}
	CU_ASSERT_EQUAL(count_now(), count);
	bwt_buf_free(&buf);
	free(value);
	crew_close(&crew);
}

/* Values that stay in the log and the pages: the transaction is many times the log's ring. */
static void many_inline_bytes_commit_at_once(void)
{
	unsigned count = writes() / 10;
	uint8_t value[2000], room[8];
	struct bwt_options options = fast;
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_txn *txn;

	options.inline_max = 2000;
	crew_open(&crew, &options);
	txn = begin(BWT_TXN_SYNC);
	for (unsigned i = 0; i < count; i++) {
		memset(value, (int)(i % 251), sizeof value);
		crew_need("bwt_put", bwt_put(crew.tree, txn, key_of(room, i),
		                             (struct bwt_slice){value, sizeof value}, 0));
	}
	crew_need("bwt_commit", bwt_commit(txn));
	crew_reopen(&crew, &options);
	CU_ASSERT_EQUAL(count_now(), count);
	for (unsigned i = 0; i < count; i += 97) {
		memset(value, (int)(i % 251), sizeof value);
		crew_need("bwt_get", bwt_get(crew.tree, NULL, key_of(room, i), &buf));
		CU_ASSERT_TRUE(buf.size == sizeof value && memcmp(buf.data, value, buf.size) == 0);
	}
	bwt_buf_free(&buf);
	crew_close(&crew);
}

/* ---- beside others ---- */

static _Atomic(double) longest_put; /* of one thread, in seconds: relaxed */

/* Elsewhere: neither gate nor log are kept from it. */
static void work_elsewhere(struct member *member)
{
	uint8_t room[8];

	while (crew_going(member)) {
		uint64_t number = ((uint64_t)1 << 40) + rng_below(&member->rng, SMALL_KEYS);
		double start = now(), took;

		crew_need("bwt_put", bwt_put(crew.tree, NULL, key_of(room, number),
		                             (struct bwt_slice){&number, 8}, 0));
		took = now() - start;
		if (took > atomic_load_explicit(&longest_put, memory_order_relaxed))
			atomic_store_explicit(&longest_put, took, memory_order_relaxed);
		member->done++;
	}
}

/* On the same keys: two at a time, in transactions, or one plainly. */
static void work_conflicting(struct member *member)
{
	unsigned count = writes();
	uint64_t mine = 1000 + member->number;
	uint8_t room[8];

	while (crew_going(member)) {
		struct bwt_slice value = {&mine, 8};
		struct bwt_txn *txn;
		int rc;

		if (rng_chance(&member->rng, 50)) {
			crew_need("bwt_put",
			          bwt_put(crew.tree, NULL,
			                  key_of(room, rng_below(&member->rng, count)), value, 0));
			member->done++;
			continue;
		}
		txn = begin(0);
		rc = bwt_put(crew.tree, txn, key_of(room, rng_below(&member->rng, count)), value, 0);
		if (rc == BWT_OK)
			rc = bwt_put(crew.tree, txn, key_of(room, rng_below(&member->rng, count)),
			             value, 0);
		if (rc == BWT_OK)
			rc = bwt_commit(txn);
		else
			bwt_abort(txn);
		if (rc != BWT_CONFLICT)
			crew_need("a small transaction", rc);
		member->done += rc == BWT_OK;
	}
}

struct large {
	unsigned flags;
	unsigned attempts, committed;
};

/* Large ones of read committed: nobody comes first, so only wounds could keep it from committing. */
static void work_large(struct member *member)
{
	struct large *large = member->own;
	unsigned count = writes();

	while (crew_going(member) || large->committed == 0) {
		struct bwt_txn *txn = begin(large->flags);
		int rc = put_all(txn, count, 7);

		large->attempts++;
		if (rc == BWT_OK)
			rc = bwt_commit(txn);
		else
			bwt_abort(txn);
		if (rc == BWT_CONFLICT && large->attempts > 200)
			crew_fail("a large transaction was refused %u times", large->attempts);
		if (rc != BWT_CONFLICT)
			crew_need("a large transaction", rc);
		large->committed += rc == BWT_OK;
		member->done++;
	}
}

static void a_large_one_does_not_starve_under_small_conflicting_writers(void)
{
	struct large large = {.flags = BWT_READ_COMMITTED};
	struct member *elsewhere, *small;

	atomic_store_explicit(&longest_put, 0, memory_order_relaxed);
	crew_open(&crew, &fast);
	crew_need("bwt_put", put_all(NULL, writes(), 1));
	crew_add(&crew, work_large, &large);
	small = crew_add(&crew, work_conflicting, NULL);
	crew_add(&crew, work_conflicting, NULL);
	elsewhere = crew_add(&crew, work_elsewhere, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	crew_run(&crew, crew_seconds(2));
	printf("    %u of %u large ones, %" PRIu64 " small ones, %" PRIu64
	       " puts elsewhere, the longest took %.0f ms\n",
	       large.committed, large.attempts, small->done, elsewhere->done,
	       atomic_load_explicit(&longest_put, memory_order_relaxed) * 1e3);
	CU_ASSERT_TRUE(large.committed > 0);
	CU_ASSERT_TRUE(small->done > 0);
	CU_ASSERT_TRUE(elsewhere->done > 100);
	crew_close(&crew);
}

/* Readers see a large transaction as a whole, in whatever moment of its commit they look. */
static void work_whole(struct member *member)
{
	while (crew_going(member)) {
		uint64_t generation = 0, keys = 0;
		struct bwt_cursor *cursor;
		struct bwt_slice value;
		bool forward = rng_chance(&member->rng, 50);
		int rc;

		crew_need("bwt_cursor_open", bwt_cursor_open(crew.tree, NULL, &cursor));
		while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK &&
		       crew_going(member)) {
			uint64_t its;

			crew_need("bwt_cursor_value", bwt_cursor_value(cursor, &value));
			memcpy(&its, value.data, 8);
			if (keys++ != 0 && its != generation)
				crew_fail("generations %" PRIu64 " and %" PRIu64 " in one walk",
				          generation, its);
			generation = its;
		}
		if (rc == BWT_NOT_FOUND && keys != writes())
			crew_fail("%" PRIu64 " keys in a walk", keys);
		bwt_cursor_close(cursor);
		member->done++;
	}
}

static void work_generations(struct member *member)
{
	for (uint64_t generation = 2; crew_going(member); generation++) {
		struct bwt_txn *txn = begin(generation % 2 == 0 ? 0 : BWT_SERIALIZABLE);

		crew_need("bwt_put", put_all(txn, writes(), generation));
		if (generation % 5 == 0)
			bwt_abort(txn);
		else
			crew_need("bwt_commit", bwt_commit(txn));
		member->done++;
	}
}

static void a_large_one_is_seen_as_a_whole_while_checkpoints_are_taken(void)
{
	uint64_t done;

	crew_open(&crew, &fast);
	crew_need("bwt_put", put_all(NULL, writes(), 1));
	crew_add(&crew, work_generations, NULL);
	crew_add(&crew, work_whole, NULL);
	crew_add(&crew, work_whole, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	done = crew_run(&crew, crew_seconds(2));
	printf("    %" PRIu64 " generations and walks\n", done);
	CU_ASSERT_EQUAL(count_now(), writes());
	crew_close(&crew);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(many_writes_commit_at_once_and_survive),
		TEST(an_abort_gives_the_memory_back),
		TEST(many_bytes_commit_at_once_and_survive),
		TEST(many_inline_bytes_commit_at_once),
		TEST(a_large_one_does_not_starve_under_small_conflicting_writers),
		TEST(a_large_one_is_seen_as_a_whole_while_checkpoints_are_taken),
		CU_TEST_INFO_NULL,
	};

	crew.seed = rng_seed();
	return suite_run("txn_large", NULL, NULL, tests);
}
