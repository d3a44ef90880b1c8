/* SPDX-License-Identifier: MIT */
/* test_ops.c - single operations: arguments checked, limits met, many keys read at one instant */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/unit/db/db_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	fixture_open(&fixture);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static const struct bwt_slice none = {NULL, 5}; /* size without data */

static void put_get_delete(void)
{
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "v"));
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice("k"), text_slice("w"), BWT_INSERT),
	                BWT_EXISTS);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice("x"), text_slice("w"), BWT_UPDATE),
	                BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, text_slice("k"), text_slice("w"), BWT_UPDATE),
	                BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "w"));
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, text_slice("k")), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, text_slice("k")), BWT_NOT_FOUND);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", NULL));
}

static void the_empty_key_and_the_longest_are_keys(void)
{
	char *bytes = calloc(1, BWT_KEY_MAX + 1);
	struct bwt_slice longest = {bytes, BWT_KEY_MAX}, longer = {bytes, BWT_KEY_MAX + 1};
	struct bwt_slice empty = {NULL, 0};
	struct bwt_buf got = {0};

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, longest, longest, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, empty, empty, 0), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, longest, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.size, BWT_KEY_MAX);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, empty, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.size, 0);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, longer, empty, 0), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, longer, &got), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, longer), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, longer, NULL, &empty), BWT_TOO_BIG);
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, longest, &got), BWT_OK);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, longest), BWT_OK);
	bwt_buf_free(&got);
	free(bytes);
}

static void a_value_beyond_the_limit_is_too_big_before_it_is_read(void)
{
	struct bwt_slice huge = {"x", (size_t)BWT_VALUE_MAX + 1}, key = text_slice("k");

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, key, huge, 0), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, key, NULL, &huge), BWT_TOO_BIG);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, key, &huge, NULL), BWT_TOO_BIG);
}

static void null_where_bytes_are_needed_is_invalid(void)
{
	struct bwt_slice key = text_slice("k");
	int result;

	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, none, key, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, NULL, key, none, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, NULL, none, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, none), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, key, &none, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, NULL, key, NULL, &none), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_put(NULL, NULL, key, key, 0), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get(NULL, NULL, key, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_count(fixture.tree, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 1, NULL, NULL, &result), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 1, &key, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 0, NULL, NULL, NULL), BWT_OK);
}

static void a_write_in_a_read_only_transaction_or_store_is_read_only(void)
{
	struct bwt_txn *txn;

	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice("k"), text_slice("w"), 0),
	                BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, txn, text_slice("k")), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_cas(fixture.tree, txn, text_slice("k"), NULL, NULL), BWT_READ_ONLY);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	fixture_close(&fixture);
	fixture.options.flags = BWT_RDONLY;
	fixture_open(&fixture);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "w"), BWT_READ_ONLY);
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "k", "v"));
}

static void a_transaction_of_another_store_is_invalid(void)
{
	struct fixture other;
	struct bwt_txn *txn;

	fixture_new(&other);
	fixture_open(&other);
	CU_ASSERT_EQUAL_FATAL(bwt_begin(other.db, BWT_RDONLY, &txn), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get(fixture.tree, txn, text_slice("k"), NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, txn, 0, NULL, NULL, NULL), BWT_INVALID);
	CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	fixture_free(&other);
}

/* ---- bwt_get_many ---- */

static void many_keys_are_looked_up_each_with_its_own_answer(void)
{
	char longest[1001];
	struct bwt_slice keys[5];
	struct bwt_buf values[5] = {{0}};
	int results[5];

	memset(longest, 'L', 1000);
	longest[1000] = '\0';
	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "1"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "c", longest), BWT_OK);
	keys[0] = text_slice("c");
	keys[1] = text_slice("b");
	keys[2] = text_slice("a");
	keys[3] = text_slice("a");
	keys[4] = none;
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 5, keys, NULL, results), BWT_OK);
	CU_ASSERT_TRUE(results[0] == BWT_OK && results[1] == BWT_NOT_FOUND && results[2] == BWT_OK);
	values[1].size = 99;
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 5, keys, values, results), BWT_OK);
	CU_ASSERT_TRUE(values[0].size == 1000 && memcmp(values[0].data, longest, 1000) == 0);
	CU_ASSERT_EQUAL(values[1].size, 0);
	CU_ASSERT_TRUE(values[2].size == 1 && values[3].size == 1);
	CU_ASSERT_EQUAL(results[4], BWT_INVALID);
	for (unsigned i = 0; i < 5; i++)
		bwt_buf_free(&values[i]);
}

static _Atomic(bool) stop;

/* b is never ahead of a. */
static void *count_up(void *arg)
{
	char value[16];

	(void)arg;
	for (unsigned i = 1; !atomic_load(&stop); i++) {
		snprintf(value, sizeof value, "%08u", i);
		fixture_put(&fixture, "a", value);
		fixture_put(&fixture, "b", value);
	}
	return NULL;
}

static void many_keys_are_read_at_one_instant(void)
{
	struct bwt_slice keys[2] = {{"a", 1}, {"b", 1}};
	struct bwt_buf values[2] = {{0}};
	int results[2];
	pthread_t thread;

	CU_ASSERT_EQUAL(fixture_put(&fixture, "a", "00000000"), BWT_OK);
	CU_ASSERT_EQUAL(fixture_put(&fixture, "b", "00000000"), BWT_OK);
	atomic_store(&stop, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, count_up, NULL), 0);
	for (unsigned i = 0; i < (suite_short() ? 2000u : 20000u); i++) {
		long ahead;

		CU_ASSERT_EQUAL_FATAL(bwt_get_many(fixture.tree, NULL, 2, keys, values, results),
		                      BWT_OK);
		ahead = strtol(strndupa(values[0].data, 8), NULL, 10) -
		        strtol(strndupa(values[1].data, 8), NULL, 10);
		if (ahead != 0 && ahead != 1) {
			CU_FAIL("two keys of different instants");
			break;
		}
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	bwt_buf_free(&values[0]);
	bwt_buf_free(&values[1]);
}

static void snapshots_and_holds_of_calls_end_with_them(void)
{
	struct bwt_slice key = text_slice("k");
	int result;

	CU_ASSERT_EQUAL(fixture_put(&fixture, "k", "v"), BWT_OK);
	CU_ASSERT_EQUAL(bwt_get_many(fixture.tree, NULL, 1, &key, NULL, &result), BWT_OK);
	CU_ASSERT_EQUAL(snapshots_live(&fixture.db->store.snapshots), 0);
	CU_ASSERT_EQUAL(epoch_oldest(&fixture.db->store.epoch), UINT64_MAX);
}

static void the_count_is_exact_and_survives(void)
{
	uint64_t count = 0;

	fixture_fill(&fixture, 0, 3000);
	fixture_fill(&fixture, 0, 1000);
	CU_ASSERT_EQUAL(bwt_delete(fixture.tree, NULL, text_slice("00000007")), BWT_OK);
	CU_ASSERT_EQUAL(bwt_count(fixture.tree, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, 2999);
	fixture_reopen(&fixture);
	CU_ASSERT_EQUAL(bwt_count(fixture.tree, &count), BWT_OK);
	CU_ASSERT_EQUAL(count, 2999);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(put_get_delete),
		TEST(the_empty_key_and_the_longest_are_keys),
		TEST(a_value_beyond_the_limit_is_too_big_before_it_is_read),
		TEST(null_where_bytes_are_needed_is_invalid),
		TEST(a_write_in_a_read_only_transaction_or_store_is_read_only),
		TEST(a_transaction_of_another_store_is_invalid),
		TEST(many_keys_are_looked_up_each_with_its_own_answer),
		TEST(many_keys_are_read_at_one_instant),
		TEST(snapshots_and_holds_of_calls_end_with_them),
		TEST(the_count_is_exact_and_survives),
		CU_TEST_INFO_NULL,
	};

	return suite_run("ops", set_up, tear_down, tests);
}
