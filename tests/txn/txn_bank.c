/* SPDX-License-Identifier: MIT */
/*
 * txn_bank.c - money is moved between accounts, and the sum never moves, whoever looks and how
 *
 * Accounts are of different sizes of value, in two trees; some are closed (deleted) and opened again
 * with what is left in them given to another in the same transaction. Readers walk forward and
 * backward, use bwt_get_many() and read-only snapshots, while checkpoints are taken all the time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crew.h"
#include "tests/support/suite.h"

#define PARTS 4u
#define ACCOUNTS 60u /* in each tree */
#define START 1000
#define PADDING_MAX 3000u

static struct crew crew;
static struct bwt_tree *trees[2];
static unsigned level;              /* flags of the transfers */
static _Atomic(uint64_t) conflicts; /* a count; relaxed */

static struct bwt_slice account_key(uint8_t room[32], unsigned account)
{
	int size = snprintf((char *)room, 32, "account %04u", account);

	return (struct bwt_slice){room, (size_t)size};
}

/* An amount, and bytes behind it that depend on the amount. */
static struct bwt_slice account_value(uint8_t *room, unsigned account, int64_t amount)
{
	size_t size = 8 + (account % 7 == 0 ? (size_t)((uint64_t)amount * 31 % PADDING_MAX)
	                                    : account % 20);

	memcpy(room, &amount, 8);
	memset(room + 8, (int)(amount & 0xff), size - 8);
	return (struct bwt_slice){room, size};
}

static int64_t amount_in(const char *what, unsigned account, const void *data, size_t size)
{
	uint8_t room[8 + PADDING_MAX];
	struct bwt_slice whole;
	int64_t amount;

	if (size < 8)
		crew_fail("%s: account %u has %zu bytes", what, account, size);
	memcpy(&amount, data, 8);
	whole = account_value(room, account, amount);
	if (whole.size != size || memcmp(whole.data, data, size) != 0)
		crew_fail("%s: account %u has bytes that nobody wrote", what, account);
	return amount;
}

/* Amount in one account; 0 when it is closed. */
static int balance(struct bwt_txn *txn, unsigned tree, unsigned account, struct bwt_buf *buf,
                   int64_t *amount)
{
	uint8_t room[32];
	int rc = bwt_get(trees[tree], txn, account_key(room, account), buf);

	*amount = rc == BWT_OK ? amount_in("bwt_get", account, buf->data, buf->size) : 0;
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

static int set_balance(struct bwt_txn *txn, unsigned tree, unsigned account, int64_t amount)
{
	uint8_t key_room[32], room[8 + PADDING_MAX];
	struct bwt_slice key = account_key(key_room, account);
	int rc;

	if (amount != 0)
		return bwt_put(trees[tree], txn, key, account_value(room, account, amount), 0);
	rc = bwt_delete(trees[tree], txn, key);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

static int transfer(struct member *member, struct bwt_txn *txn, struct bwt_buf *buf)
{
	unsigned from_tree = (unsigned)rng_below(&member->rng, 2);
	unsigned to_tree = (unsigned)rng_below(&member->rng, 2);
	unsigned from = (unsigned)rng_below(&member->rng, ACCOUNTS);
	unsigned to = (unsigned)rng_below(&member->rng, ACCOUNTS);
	bool same = from == to && trees[from_tree] == trees[to_tree];
	int64_t left, there, moved;
	int rc = balance(txn, from_tree, from, buf, &left);

	if (rc != BWT_OK || same)
		return rc;
	rc = balance(txn, to_tree, to, buf, &there);
	if (rc != BWT_OK)
		return rc;
	moved = rng_chance(&member->rng, 10) ? left : (int64_t)rng_below(&member->rng, 50);
	moved = moved > left ? left : moved;
	rc = set_balance(txn, from_tree, from, left - moved);
	if (rc == BWT_OK)
		rc = set_balance(txn, to_tree, to, there + moved);
	return rc;
}

static void work_transfers(struct member *member)
{
	struct bwt_buf buf = {NULL, 0, 0};

	while (crew_going(member)) {
		unsigned count = rng_chance(&member->rng, 5) ? 20 : 1;
		struct bwt_txn *txn;
		int rc = BWT_OK;

		crew_need("bwt_begin", bwt_begin(crew.db, level, &txn));
		for (unsigned i = 0; i < count && rc == BWT_OK; i++)
			rc = transfer(member, txn, &buf);
		if (rc == BWT_OK && rng_chance(&member->rng, 95)) {
			rc = bwt_commit(txn);
			member->done += rc == BWT_OK;
		} else {
			bwt_abort(txn);
		}
		if (rc == BWT_CONFLICT)
			atomic_fetch_add_explicit(&conflicts, 1, memory_order_relaxed);
		else
			crew_need("a transfer", rc);
	}
	bwt_buf_free(&buf);
}

/* ---- looking ---- */

static int sum_by_walk(struct bwt_txn *txn, unsigned tree, bool forward, int64_t *sum)
{
	struct bwt_cursor *cursor;
	int rc = bwt_cursor_open(trees[tree], txn, &cursor);

	if (rc != BWT_OK)
		return rc;
	while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK) {
		struct bwt_slice key, value;
		char name[32];
		unsigned account;

		crew_need("bwt_cursor_key", bwt_cursor_key(cursor, &key));
		snprintf(name, sizeof name, "%.*s", (int)key.size, (const char *)key.data);
		if (sscanf(name, "account %u", &account) != 1)
			crew_fail("a key that nobody put: %s", name);
		crew_need("bwt_cursor_value", bwt_cursor_value(cursor, &value));
		*sum += amount_in("a cursor", account, value.data, value.size);
	}
	bwt_cursor_close(cursor);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

static int sum_by_many(struct bwt_txn *txn, unsigned tree, int64_t *sum)
{
	uint8_t rooms[ACCOUNTS][32];
	struct bwt_slice keys[ACCOUNTS];
	struct bwt_buf values[ACCOUNTS];
	int results[ACCOUNTS];
	int rc;

	memset(values, 0, sizeof values);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		keys[i] = account_key(rooms[i], i);
	rc = bwt_get_many(trees[tree], txn, ACCOUNTS, keys, values, results);
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		if (rc == BWT_OK && results[i] == BWT_OK)
			*sum += amount_in("bwt_get_many", i, values[i].data, values[i].size);
		else if (rc == BWT_OK && results[i] != BWT_NOT_FOUND)
			crew_need("a result of bwt_get_many", results[i]);
		bwt_buf_free(&values[i]);
	}
	return rc;
}

static int sum_by_gets(struct bwt_txn *txn, unsigned tree, int64_t *sum)
{
	struct bwt_buf buf = {NULL, 0, 0};
	int rc = BWT_OK;

	for (unsigned i = 0; i < ACCOUNTS && rc == BWT_OK; i++) {
		int64_t amount;

		rc = balance(txn, tree, i, &buf, &amount);
		*sum += amount;
	}
	bwt_buf_free(&buf);
	return rc;
}

static int sum_somehow(struct bwt_txn *txn, unsigned tree, unsigned how, int64_t *sum)
{
	if (how < 2)
		return sum_by_walk(txn, tree, how == 0, sum);
	return how == 2 ? sum_by_many(txn, tree, sum) : sum_by_gets(txn, tree, sum);
}

#define TOTAL ((int64_t)2 * ACCOUNTS * START)

/* Both trees in one transaction of some kind; twice, in other ways. */
static void work_looks(struct member *member)
{
	static const unsigned flags[] = {BWT_RDONLY, BWT_RDONLY | BWT_NEWEST,
	                                 BWT_RDONLY | BWT_SERIALIZABLE, 0, BWT_SERIALIZABLE};

	while (crew_going(member)) {
		unsigned kind = (unsigned)rng_below(&member->rng, 5);
		struct bwt_txn *txn;
		int rc = BWT_OK;

		crew_need("bwt_begin", bwt_begin(crew.db, flags[kind], &txn));
		for (unsigned i = 0; i < 2 && rc == BWT_OK; i++) {
			unsigned how = (unsigned)rng_below(&member->rng, 4);
			int64_t sum = 0;

			for (unsigned tree = 0; tree < 2 && rc == BWT_OK; tree++)
				rc = sum_somehow(txn, tree, how, &sum);
			if (rc == BWT_OK && sum != TOTAL)
				crew_fail("flags %#x, way %u: %" PRId64 " and not %" PRId64,
				          flags[kind], how, sum, TOTAL);
		}
		if (rc == BWT_OK)
			rc = bwt_commit(txn);
		else
			bwt_abort(txn);
		if (rc != BWT_CONFLICT || kind < 3)
			crew_need("a look", rc);
		member->done++;
	}
}

/* With one tree alone, calls without a transaction have a snapshot each that is enough. */
static void work_plain_looks(struct member *member)
{
	while (crew_going(member)) {
		unsigned how = (unsigned)rng_below(&member->rng, 3);
		int64_t sum = 0;

		crew_need("a plain look", sum_somehow(NULL, 0, how, &sum));
		if (sum != TOTAL)
			crew_fail("without a transaction, way %u: %" PRId64 " and not %" PRId64,
			          how, sum, TOTAL);
		member->done++;
	}
}

static void open_bank(int durability)
{
	const struct bwt_options options = {.durability = durability,
	                                    .checkpoint_interval_ms = 20,
	                                    .inline_max = 1000,
	                                    .wal_segment_size = (uint64_t)1 << 20,
	                                    .vlog_segment_size = (uint64_t)1 << 20,
	                                    .worker_count = 2};

	crew_open(&crew, &options);
}

static void run_bank(unsigned flags, int durability, bool one_tree)
{
	uint64_t committed = 0;
	int64_t sum = 0;

	level = flags;
	atomic_store_explicit(&conflicts, 0, memory_order_relaxed);
	open_bank(durability);
	trees[0] = trees[1] = crew.tree;
	if (!one_tree)
		crew_need("bwt_tree_open", bwt_tree_open(crew.db, "other", BWT_CREATE, &trees[1]));
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		crew_need("filling", set_balance(NULL, 0, i, one_tree ? 2 * START : START));
		if (!one_tree)
			crew_need("filling", set_balance(NULL, 1, i, START));
	}
	for (unsigned i = 0; i < 3; i++)
		crew_add(&crew, work_transfers, NULL);
	crew_add(&crew, one_tree ? work_plain_looks : work_looks, NULL);
	crew_add(&crew, one_tree ? work_plain_looks : work_looks, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	crew_run(&crew, crew_seconds(PARTS));
	for (unsigned i = 0; i < 3; i++)
		committed += crew.members[i].done;
	printf("    %" PRIu64 " transfers, %" PRIu64 " conflicts, %" PRIu64 " looks\n", committed,
	       atomic_load_explicit(&conflicts, memory_order_relaxed),
	       crew.members[3].done + crew.members[4].done);
	CU_ASSERT_TRUE(committed > 10);
	crew_need("bwt_close", bwt_close(crew.db));
	crew_need("bwt_open",
	          bwt_open(crew.path, &(struct bwt_options){.max_size = (uint64_t)8 << 30}, &crew.db));
	crew_need("bwt_tree_open", bwt_tree_open(crew.db, NULL, 0, &crew.tree));
	trees[0] = trees[1] = crew.tree;
	if (!one_tree)
		crew_need("bwt_tree_open", bwt_tree_open(crew.db, "other", 0, &trees[1]));
	crew_need("the end", sum_by_walk(NULL, 0, true, &sum));
	if (!one_tree)
		crew_need("the end", sum_by_walk(NULL, 1, false, &sum));
	CU_ASSERT_EQUAL(sum, TOTAL);
	crew_close(&crew);
}

static void the_sum_of_two_trees_never_moves_under_snapshot(void)
{
	run_bank(0, BWT_NONE, false);
}

static void the_sum_of_two_trees_never_moves_under_serializable(void)
{
	run_bank(BWT_SERIALIZABLE, BWT_NONE, false);
}

static void the_sum_of_two_trees_never_moves_in_a_sync_store(void)
{
	run_bank(0, BWT_SYNC, false);
}

static void the_sum_never_moves_for_calls_without_a_transaction(void)
{
	run_bank(0, BWT_NONE, true);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_sum_of_two_trees_never_moves_under_snapshot),
		TEST(the_sum_of_two_trees_never_moves_under_serializable),
		TEST(the_sum_of_two_trees_never_moves_in_a_sync_store),
		TEST(the_sum_never_moves_for_calls_without_a_transaction),
		CU_TEST_INFO_NULL,
	};

	crew.seed = rng_seed();
	return suite_run("txn_bank", NULL, NULL, tests);
}
