/* SPDX-License-Identifier: MIT */
/*
 * stress_map.c - real threads on one store: what single operations and snapshots promise
 *
 * Values carry what they need to be judged: a version number and a pattern made from it, so that a
 * mixture of two writes shows. TSan runs this too, with SHORT=1.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crew.h"
#include "tests/support/suite.h"

#define PARTS 6u

static struct crew crew;

static struct bwt_slice number_key(uint8_t to[8], uint64_t number)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(number >> (56 - 8 * i));
	return (struct bwt_slice){to, 8};
}

/* ---- increments ---- */

#define HOT_KEYS 3u
#define HOT_THREADS 4u

/* Each success of compare-and-swap adds one: none may be lost, none counted twice. */
static void work_increments(struct member *member)
{
	struct bwt_tree *tree = member->crew->tree;
	struct bwt_buf buf = {NULL, 0, 0};
	uint64_t *successes = member->own;
	uint8_t bytes[8];

	while (crew_going(member)) {
		uint64_t hot = rng_below(&member->rng, HOT_KEYS);
		struct bwt_slice key = number_key(bytes, hot);
		struct bwt_slice seen, next;
		uint64_t count = 0;
		int rc = bwt_get(tree, NULL, key, &buf);

		if (rc == BWT_OK && buf.size == sizeof count)
			memcpy(&count, buf.data, sizeof count);
		else if (rc != BWT_NOT_FOUND)
			crew_fail("bwt_get: %d, %zu bytes", rc, buf.size);
		seen = (struct bwt_slice){buf.data, buf.size};
		count++;
		next = (struct bwt_slice){&count, sizeof count};
		rc = bwt_cas(tree, NULL, key, rc == BWT_OK ? &seen : NULL, &next);
		if (rc == BWT_OK)
			successes[hot]++;
		else if (rc != BWT_MISMATCH)
			crew_need("bwt_cas", rc);
		member->done++;
	}
	bwt_buf_free(&buf);
}

static void increments_by_many_threads_are_all_counted(void)
{
	uint64_t successes[HOT_THREADS][HOT_KEYS] = {{0}};
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t bytes[8];

	crew_open(&crew, NULL);
	for (unsigned i = 0; i < HOT_THREADS; i++)
		crew_add(&crew, work_increments, successes[i]);
	crew_add(&crew, work_checkpoints, NULL);
	printf("    %" PRIu64 " increments tried\n", crew_run(&crew, crew_seconds(PARTS)));
	crew_reopen(&crew, NULL);
	for (unsigned hot = 0; hot < HOT_KEYS; hot++) {
		uint64_t sum = 0, stored = 0;

		for (unsigned i = 0; i < HOT_THREADS; i++)
			sum += successes[i][hot];
		CU_ASSERT_TRUE(sum > 0);
		CU_ASSERT_EQUAL(bwt_get(crew.tree, NULL, number_key(bytes, hot), &buf), BWT_OK);
		if (buf.size == sizeof stored)
			memcpy(&stored, buf.data, sizeof stored);
		CU_ASSERT_EQUAL(stored, sum);
	}
	bwt_buf_free(&buf);
	crew_close(&crew);
}

/* ---- disjoint ranges ---- */

#define RANGE_THREADS 4u
#define RANGE_KEYS 600u

#define RANGE_MANY 40u /* more than are looked up at a time */

struct range {
	uint64_t versions[RANGE_KEYS]; /* 0: the key is absent */
	uint64_t present;
};

/* A value of some size that only this version of this key has. */
static struct bwt_slice pattern(uint8_t *to, uint64_t number, uint64_t version)
{
	struct rng rng;
	size_t size;

	rng_init(&rng, number * 1000003u + version);
	size = 8 + rng_below(&rng, version % 50 == 0 ? 9000 : 100);
	rng_fill(&rng, to, size);
	memcpy(to, &version, sizeof version);
	return (struct bwt_slice){to, size};
}

/* Is @rc with @buf what a get of the member's key @index must answer? */
static void judge_range_key(struct member *member, const struct range *range, uint64_t index,
                            int rc, const struct bwt_buf *buf, uint8_t *room)
{
	uint64_t number = member->number * (uint64_t)RANGE_KEYS + index;
	struct bwt_slice expected;

	if (range->versions[index] == 0) {
		if (rc != BWT_NOT_FOUND)
			crew_fail("key %" PRIu64 " is there (%d), and was deleted", number, rc);
		return;
	}
	crew_need("bwt_get of an own key", rc);
	expected = pattern(room, number, range->versions[index]);
	if (buf->size != expected.size || memcmp(buf->data, expected.data, expected.size) != 0)
		crew_fail("key %" PRIu64 " has another value than its version %" PRIu64, number,
		          range->versions[index]);
}

static void check_range_key(struct member *member, const struct range *range, uint64_t index,
                            struct bwt_buf *buf, uint8_t *room)
{
	uint8_t bytes[8];
	struct bwt_slice key = number_key(bytes, member->number * (uint64_t)RANGE_KEYS + index);

	judge_range_key(member, range, index, bwt_get(member->crew->tree, NULL, key, buf), buf, room);
}

/* The same for some keys in one call. */
static void check_range_keys(struct member *member, const struct range *range,
                             struct bwt_buf bufs[RANGE_MANY], uint8_t *room)
{
	struct bwt_slice keys[RANGE_MANY];
	uint64_t indexes[RANGE_MANY];
	uint8_t bytes[RANGE_MANY][8];
	int results[RANGE_MANY];

	for (unsigned i = 0; i < RANGE_MANY; i++) {
		indexes[i] = rng_below(&member->rng, RANGE_KEYS);
		keys[i] = number_key(bytes[i], member->number * (uint64_t)RANGE_KEYS + indexes[i]);
	}
	crew_need("bwt_get_many",
	          bwt_get_many(member->crew->tree, NULL, RANGE_MANY, keys, bufs, results));
	for (unsigned i = 0; i < RANGE_MANY; i++)
		judge_range_key(member, range, indexes[i], results[i], &bufs[i], room);
}

/* Nobody else touches these keys: every answer is known. */
static void work_range(struct member *member)
{
	struct range *range = member->own;
	struct bwt_tree *tree = member->crew->tree;
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_buf bufs[RANGE_MANY] = {{NULL, 0, 0}};
	uint8_t *room = malloc(16384);
	uint8_t bytes[8];

	while (crew_going(member)) {
		uint64_t index = rng_below(&member->rng, RANGE_KEYS);
		uint64_t number = member->number * (uint64_t)RANGE_KEYS + index;
		struct bwt_slice key = number_key(bytes, number);
		bool there = range->versions[index] != 0;

		member->done++;
		if (rng_chance(&member->rng, 40)) {
			check_range_key(member, range, index, &buf, room);
		} else if (rng_chance(&member->rng, 4)) {
			check_range_keys(member, range, bufs, room);
		} else if (there && rng_chance(&member->rng, 40)) {
			crew_need("bwt_delete", bwt_delete(tree, NULL, key));
			range->versions[index] = 0;
			range->present--;
		} else {
			uint64_t version = member->done;

			crew_need("bwt_put", bwt_put(tree, NULL, key, pattern(room, number, version),
			                             there ? BWT_UPDATE : BWT_INSERT));
			range->versions[index] = version;
			range->present += there ? 0 : 1;
		}
	}
	for (uint64_t index = 0; index < RANGE_KEYS; index++)
		check_range_key(member, range, index, &buf, room);
	for (unsigned i = 0; i < RANGE_MANY; i++)
		bwt_buf_free(&bufs[i]);
	bwt_buf_free(&buf);
	free(room);
}

static void threads_on_ranges_of_their_own_find_what_they_wrote(void)
{
	static const struct bwt_options fast = {.durability = BWT_NONE,
	                                        .checkpoint_interval_ms = 30,
	                                        .inline_max = 2000,
	                                        .worker_count = 2,
	                                        .wal_segment_size = 1 << 20,
	                                        .vlog_segment_size = 1 << 20};
	struct range *ranges = calloc(RANGE_THREADS, sizeof *ranges);
	uint64_t count, present = 0;

	crew_open(&crew, &fast);
	for (unsigned i = 0; i < RANGE_THREADS; i++)
		crew_add(&crew, work_range, &ranges[i]);
	crew_add(&crew, work_checkpoints, NULL);
	crew_add(&crew, work_stats, NULL);
	crew_add(&crew, work_syncs, NULL);
	printf("    %" PRIu64 " operations\n", crew_run(&crew, crew_seconds(PARTS)));
	for (unsigned i = 0; i < RANGE_THREADS; i++)
		present += ranges[i].present;
	CU_ASSERT_EQUAL(bwt_count(crew.tree, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, present);
	crew_reopen(&crew, &fast);
	for (unsigned i = 0; i < RANGE_THREADS; i++) /* the same keys again, after opening */
		crew_add(&crew, work_range, &ranges[i]);
	crew_run(&crew, 0.05);
	crew_close(&crew);
	free(ranges);
}

/* ---- one writer's order ---- */

#define RING_KEYS 16u
#define RING_READERS 3u

static _Atomic(uint64_t) ring_written; /* versions below it were acknowledged */

/* Version v goes to key v % RING_KEYS: what a snapshot holds is told by the newest version in it. */
static void work_ring_writer(struct member *member)
{
	uint8_t *room = malloc(16384);
	uint8_t bytes[8];

	for (uint64_t version = RING_KEYS; crew_going(member); version++) {
		uint64_t number = version % RING_KEYS;

		crew_need("bwt_put", bwt_put(member->crew->tree, NULL, number_key(bytes, number),
		                             pattern(room, number, version), 0));
		/* RELEASE: pairs with the readers' ACQUIRE: the put came before. */
		atomic_store_explicit(&ring_written, version + 1, memory_order_release);
		member->done++;
	}
	free(room);
}

static uint64_t ring_version(uint64_t number, const void *data, size_t size, uint8_t *room)
{
	struct bwt_slice expected;
	uint64_t version;

	if (size < sizeof version)
		crew_fail("a value of %zu bytes", size);
	memcpy(&version, data, sizeof version);
	expected = pattern(room, number, version);
	if (expected.size != size || memcmp(expected.data, data, size) != 0)
		crew_fail("key %" PRIu64 ": the bytes are not those of version %" PRIu64, number,
		          version);
	return version;
}

/* A prefix of the writes: each key has its last version that is not above the newest one. */
static void check_ring(const char *what, const uint64_t versions[RING_KEYS], uint64_t at_least)
{
	uint64_t newest = 0;

	for (unsigned i = 0; i < RING_KEYS; i++)
		newest = versions[i] > newest ? versions[i] : newest;
	for (unsigned i = 0; newest != 0 && i < RING_KEYS; i++) {
		uint64_t expected = newest - (newest - i) % RING_KEYS;

		if (expected < RING_KEYS)
			expected = 0;
		if (versions[i] != expected)
			crew_fail("%s: key %u has version %" PRIu64 " and not %" PRIu64
			          ", the newest is %" PRIu64,
			          what, i, versions[i], expected, newest);
	}
	if (newest + 1 < at_least)
		crew_fail("%s: the newest version is %" PRIu64 ", but %" PRIu64
		          " was acknowledged before",
		          what, newest, at_least - 1);
}

static void read_ring_by_gets(struct member *member, struct bwt_txn *txn,
                              uint64_t versions[RING_KEYS], struct bwt_buf *buf, uint8_t *room)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < RING_KEYS; i++) {
		int rc = bwt_get(member->crew->tree, txn, number_key(bytes, i), buf);

		if (rc != BWT_NOT_FOUND)
			crew_need("bwt_get", rc);
		versions[i] = rc == BWT_OK ? ring_version(i, buf->data, buf->size, room) : 0;
	}
}

static void read_ring_by_many(struct member *member, struct bwt_txn *txn,
                              uint64_t versions[RING_KEYS], uint8_t *room)
{
	uint8_t bytes[RING_KEYS][8];
	struct bwt_slice keys[RING_KEYS];
	struct bwt_buf values[RING_KEYS];
	int results[RING_KEYS];

	memset(values, 0, sizeof values);
	for (unsigned i = 0; i < RING_KEYS; i++)
		keys[i] = number_key(bytes[i], i);
	crew_need("bwt_get_many",
	          bwt_get_many(member->crew->tree, txn, RING_KEYS, keys, values, results));
	for (unsigned i = 0; i < RING_KEYS; i++) {
		if (results[i] != BWT_NOT_FOUND)
			crew_need("a result of bwt_get_many", results[i]);
		versions[i] = results[i] == BWT_OK
		                      ? ring_version(i, values[i].data, values[i].size, room)
		                      : 0;
		bwt_buf_free(&values[i]);
	}
}

static void read_ring_by_cursor(struct member *member, struct bwt_txn *txn,
                                uint64_t versions[RING_KEYS], uint8_t *room)
{
	bool forward = rng_chance(&member->rng, 50);
	struct bwt_cursor *cursor;
	struct bwt_slice key, value;
	int rc;

	memset(versions, 0, RING_KEYS * sizeof versions[0]);
	crew_need("bwt_cursor_open", bwt_cursor_open(member->crew->tree, txn, &cursor));
	while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK) {
		unsigned number;

		crew_need("bwt_cursor_key", bwt_cursor_key(cursor, &key));
		number = ((const uint8_t *)key.data)[key.size - 1];
		if (key.size != 8 || number >= RING_KEYS)
			crew_fail("a key that nobody wrote");
		crew_need("bwt_cursor_value", bwt_cursor_value(cursor, &value));
		versions[number] = ring_version(number, value.data, value.size, room);
	}
	if (rc != BWT_NOT_FOUND)
		crew_need("a move", rc);
	bwt_cursor_close(cursor);
}

static void work_ring_reader(struct member *member)
{
	uint64_t versions[RING_KEYS], again[RING_KEYS], last[RING_KEYS] = {0};
	struct bwt_buf buf = {NULL, 0, 0};
	uint8_t *room = malloc(16384);

	while (crew_going(member)) {
		uint64_t written = atomic_load_explicit(&ring_written, memory_order_acquire);
		unsigned flags = BWT_RDONLY | (rng_chance(&member->rng, 30) ? BWT_NEWEST : 0);
		struct bwt_txn *txn;

		read_ring_by_gets(member, NULL, versions, &buf, room);
		for (unsigned i = 0; i < RING_KEYS; i++) { /* what was read stays read */
			if (versions[i] < last[i])
				crew_fail("key %u went back from %" PRIu64 " to %" PRIu64, i,
				          last[i], versions[i]);
			last[i] = versions[i];
		}
		read_ring_by_many(member, NULL, versions, room);
		check_ring("bwt_get_many", versions, written);
		read_ring_by_cursor(member, NULL, versions, room);
		check_ring("a cursor", versions, written);
		for (unsigned i = 0; i < RING_KEYS; i++)
			if (versions[i] < last[i])
				crew_fail("a cursor sees less than a get before it");

		crew_need("bwt_begin", bwt_begin(member->crew->db, flags, &txn));
		read_ring_by_gets(member, txn, versions, &buf, room);
		check_ring("a snapshot", versions, 0);
		for (unsigned i = 0; i < RING_KEYS; i++)
			if (versions[i] < last[i])
				crew_fail("a snapshot sees less than this thread has read");
		read_ring_by_cursor(member, txn, again, room);
		if (memcmp(versions, again, sizeof versions) != 0)
			crew_fail("a snapshot changed between gets and a cursor");
		read_ring_by_many(member, txn, again, room);
		if (memcmp(versions, again, sizeof versions) != 0)
			crew_fail("a snapshot changed between gets and bwt_get_many");
		crew_need("bwt_commit", bwt_commit(txn));
		member->done++;
	}
	bwt_buf_free(&buf);
	free(room);
}

static void snapshots_and_cursors_see_a_prefix_of_the_writes(void)
{
	static const struct bwt_options modes[] = {
		{.durability = BWT_SYNC, .checkpoint_interval_ms = 30, .inline_max = 3000},
		{.durability = BWT_NONE, .checkpoint_interval_ms = 30},
	};

	for (unsigned mode = 0; mode < 2; mode++) {
		atomic_store_explicit(&ring_written, 0, memory_order_relaxed);
		crew_open(&crew, &modes[mode]);
		crew_add(&crew, work_ring_writer, NULL);
		for (unsigned i = 0; i < RING_READERS; i++)
			crew_add(&crew, work_ring_reader, NULL);
		crew_add(&crew, work_checkpoints, NULL);
		printf("    %" PRIu64 " writes and rounds of reading\n",
		       crew_run(&crew, crew_seconds(PARTS) / 2));
		crew_close(&crew);
	}
}

/* ---- growing and shrinking ---- */

#define BAND_KEYS 4000u

/* All put and delete in one band of keys in order, so that pages split and empty under each other. */
static void work_band(struct member *member)
{
	uint8_t *room = malloc(16384);
	uint8_t bytes[8];
	int64_t *balance = member->own;

	while (crew_going(member)) {
		uint64_t from = rng_below(&member->rng, BAND_KEYS);
		uint64_t run = rng_below(&member->rng, 300);
		bool put = rng_chance(&member->rng, 50);

		for (uint64_t i = from; i < from + run && i < BAND_KEYS; i++) {
			struct bwt_slice key = number_key(bytes, i);
			int rc = put ? bwt_put(member->crew->tree, NULL, key, pattern(room, i, i),
			                       BWT_INSERT)
			             : bwt_delete(member->crew->tree, NULL, key);

			member->done++;
			if (rc == BWT_OK)
				*balance += put ? 1 : -1;
			else if (rc != (put ? BWT_EXISTS : BWT_NOT_FOUND))
				crew_need(put ? "bwt_put" : "bwt_delete", rc);
		}
	}
	free(room);
}

/* Keys come in order, none twice, whatever is put and deleted meanwhile. */
static void work_band_reader(struct member *member)
{
	while (crew_going(member)) {
		bool forward = rng_chance(&member->rng, 50);
		struct bwt_cursor *cursor;
		struct bwt_slice key;
		uint8_t last[8];
		uint64_t seen = 0;
		int rc;

		crew_need("bwt_cursor_open", bwt_cursor_open(member->crew->tree, NULL, &cursor));
		while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK) {
			int order;

			crew_need("bwt_cursor_key", bwt_cursor_key(cursor, &key));
			order = seen == 0 ? 0 : memcmp(last, key.data, 8);
			if (key.size != 8 || (seen != 0 && (forward ? order >= 0 : order <= 0)))
				crew_fail("key %" PRIu64 " of a walk is out of order", seen);
			memcpy(last, key.data, 8);
			seen++;
		}
		if (rc != BWT_NOT_FOUND)
			crew_need("a move", rc);
		bwt_cursor_close(cursor);
		member->done++;
	}
}

static void the_count_is_exact_after_splits_under_each_other(void)
{
	static const struct bwt_options fast = {
		.durability = BWT_NONE, .checkpoint_interval_ms = 50, .worker_count = 1};
	int64_t balances[4] = {0}, balance = 0;
	uint64_t count, walked = 0;
	struct bwt_cursor *cursor;

	crew_open(&crew, &fast);
	for (unsigned i = 0; i < 4; i++)
		crew_add(&crew, work_band, &balances[i]);
	crew_add(&crew, work_band_reader, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	printf("    %" PRIu64 " operations\n", crew_run(&crew, crew_seconds(PARTS)));
	for (unsigned i = 0; i < 4; i++)
		balance += balances[i];
	CU_ASSERT_EQUAL(bwt_count(crew.tree, &count), BWT_OK);
	CU_ASSERT_EQUAL((int64_t)count, balance);
	CU_ASSERT_EQUAL(bwt_cursor_open(crew.tree, NULL, &cursor), BWT_OK);
	while (bwt_cursor_next(cursor) == BWT_OK)
		walked++;
	CU_ASSERT_EQUAL(walked, count);
	bwt_cursor_close(cursor);
	crew_close(&crew);
}

/* ---- threads that come and go ---- */

static _Atomic(uint64_t) churn_next; /* numbers for keys: each thread takes its own */

static void *short_life(void *ctx)
{
	uint64_t number = atomic_fetch_add_explicit(&churn_next, 1, memory_order_relaxed);
	struct bwt_buf buf = {NULL, 0, 0};
	struct bwt_txn *txn;
	uint8_t bytes[8];
	struct bwt_slice key = number_key(bytes, number);

	(void)ctx;
	crew_need("bwt_put", bwt_put(crew.tree, NULL, key, key, BWT_INSERT));
	crew_need("bwt_get", bwt_get(crew.tree, NULL, key, &buf));
	crew_need("bwt_begin", bwt_begin(crew.db, BWT_RDONLY | BWT_NEWEST, &txn));
	crew_need("bwt_get", bwt_get(crew.tree, txn, key, &buf));
	crew_need("bwt_commit", bwt_commit(txn));
	if (number % 3 == 0)
		crew_need("bwt_delete", bwt_delete(crew.tree, NULL, key));
	bwt_buf_free(&buf);
	return NULL;
}

static void work_parent(struct member *member)
{
	while (crew_going(member)) {
		pthread_t threads[8];

		for (unsigned i = 0; i < 8; i++)
			if (pthread_create(&threads[i], NULL, short_life, NULL) != 0)
				crew_fail("no thread");
		for (unsigned i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		member->done += 8;
	}
}

static void thousands_of_short_threads_may_come_and_go(void)
{
	static const struct bwt_options fast = {.durability = BWT_NONE, .worker_count = 1};
	uint64_t threads, count, expected = 0;

	atomic_store_explicit(&churn_next, 0, memory_order_relaxed);
	crew_open(&crew, &fast);
	crew_add(&crew, work_parent, NULL);
	crew_add(&crew, work_parent, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	threads = crew_run(&crew, crew_seconds(PARTS));
	printf("    %" PRIu64 " threads\n", threads);
	for (uint64_t number = 0; number < threads; number++)
		expected += number % 3 != 0;
	CU_ASSERT_EQUAL(bwt_count(crew.tree, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, expected);
	crew_close(&crew);
}

/* ---- trees that come and go ---- */

static void work_trees(struct member *member)
{
	char name[32];
	uint8_t bytes[8];

	snprintf(name, sizeof name, "tree of %u", member->number);
	while (crew_going(member)) {
		uint64_t keys = rng_below(&member->rng, 400), count;
		struct bwt_tree *tree;
		int rc;

		crew_need("bwt_tree_open",
		          bwt_tree_open(member->crew->db, name, BWT_CREATE | BWT_EXCL, &tree));
		for (uint64_t i = 0; i < keys; i++)
			crew_need("bwt_put", bwt_put(tree, NULL, number_key(bytes, i),
			                             (struct bwt_slice){bytes, 8}, BWT_INSERT));
		crew_need("bwt_count", bwt_count(tree, &count));
		if (count != keys)
			crew_fail("%" PRIu64 " keys in a tree of %" PRIu64, count, keys);
		rc = bwt_tree_drop(member->crew->db, name);
		while (rc == BWT_BUSY && crew_going(member))
			rc = bwt_tree_drop(member->crew->db, name);
		if (rc == BWT_BUSY)
			break;
		crew_need("bwt_tree_drop", rc);
		member->done++;
	}
}

static void trees_are_created_filled_and_dropped_side_by_side(void)
{
	static const struct bwt_options fast = {
		.durability = BWT_NONE, .checkpoint_interval_ms = 30, .worker_count = 1};

	crew_open(&crew, &fast);
	for (unsigned i = 0; i < 3; i++)
		crew_add(&crew, work_trees, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	printf("    %" PRIu64 " trees\n", crew_run(&crew, crew_seconds(PARTS)));
	crew_reopen(&crew, &fast);
	crew_close(&crew);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(increments_by_many_threads_are_all_counted),
		TEST(threads_on_ranges_of_their_own_find_what_they_wrote),
		TEST(snapshots_and_cursors_see_a_prefix_of_the_writes),
		TEST(the_count_is_exact_after_splits_under_each_other),
		TEST(thousands_of_short_threads_may_come_and_go),
		TEST(trees_are_created_filled_and_dropped_side_by_side),
		CU_TEST_INFO_NULL,
	};

	crew.seed = rng_seed();
	return suite_run("stress_map", NULL, NULL, tests);
}
