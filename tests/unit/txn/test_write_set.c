/* SPDX-License-Identifier: MIT */
/* test_write_set.c - changes, neighbours and rollbacks, compared with plain arrays */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "txn/write_set.h"

static struct tree trees[3] = {{.id = 2}, {.id = 16}, {.id = 17}};
static struct write_set set;

static void set_up(void)
{
	memset(&set, 0, sizeof set);
}

static void tear_down(void)
{
	write_set_free(&set);
}

static struct bwt_slice text(const char *words)
{
	return (struct bwt_slice){words, strlen(words)};
}

static struct write_entry *put(unsigned tree, const char *key, const char *value)
{
	struct write_entry *entry = NULL;

	CU_ASSERT_EQUAL_FATAL(
		write_set_change(&set, &trees[tree], text(key), text(value), WRITE_PUT, &entry),
		BWT_OK);
	return entry;
}

static void delete (unsigned tree, const char *key)
{
	CU_ASSERT_EQUAL_FATAL(write_set_change(&set, &trees[tree], text(key),
	                                       (struct bwt_slice){NULL, 0}, WRITE_DELETE, NULL),
	                      BWT_OK);
}

static bool is(const struct write_entry *entry, const char *words)
{
	return words == NULL ? entry == NULL
	                     : entry != NULL && entry->key.size == strlen(words) &&
	                               memcmp(entry->key.data, words, entry->key.size) == 0;
}

static bool holds(unsigned tree, const char *key, const char *value)
{
	const struct write_entry *entry = write_set_find(&set, &trees[tree], text(key));

	return entry != NULL && entry->kind == WRITE_PUT && entry->value.size == strlen(value) &&
	       memcmp(entry->value.data, value, entry->value.size) == 0;
}

static void a_write_is_found_with_bytes_of_its_own(void)
{
	char key[] = "key", value[] = "value";
	struct write_entry *entry = put(0, key, value);

	key[0] = value[0] = 'x';
	CU_ASSERT_TRUE(holds(0, "key", "value"));
	CU_ASSERT_EQUAL(entry->hash, key_hash(text("key")));
	CU_ASSERT_EQUAL(set.count, 1);
	CU_ASSERT_EQUAL(set.bytes, 8);
	CU_ASSERT_PTR_NULL(write_set_find(&set, &trees[1], text("key")));
	CU_ASSERT_PTR_NULL(write_set_find(&set, &trees[0], text("ke")));
	delete (0, "key");
	CU_ASSERT_EQUAL(entry->kind, WRITE_DELETE);
	CU_ASSERT_EQUAL(set.count, 1);
	CU_ASSERT_EQUAL(set.bytes, 3);
}

static void neighbours_stay_within_their_tree(void)
{
	put(1, "b", "");
	put(1, "d", "");
	put(2, "a", "");
	put(0, "c", "");
	put(0, "", "");
	CU_ASSERT_TRUE(is(write_set_above(&set, &trees[1], text(""), true), "b"));
	CU_ASSERT_TRUE(is(write_set_above(&set, &trees[1], text("b"), true), "b"));
	CU_ASSERT_TRUE(is(write_set_above(&set, &trees[1], text("b"), false), "d"));
	CU_ASSERT_TRUE(is(write_set_above(&set, &trees[1], text("d"), false), NULL));
	CU_ASSERT_TRUE(is(write_set_below(&set, &trees[1], text("d"), true), "d"));
	CU_ASSERT_TRUE(is(write_set_below(&set, &trees[1], text("d"), false), "b"));
	CU_ASSERT_TRUE(is(write_set_below(&set, &trees[1], text("b"), false), NULL));
	CU_ASSERT_TRUE(is(write_set_last(&set, &trees[0]), "c"));
	CU_ASSERT_TRUE(is(write_set_last(&set, &trees[1]), "d"));
	CU_ASSERT_TRUE(is(write_set_above(&set, &trees[0], text(""), true), ""));
	CU_ASSERT_TRUE(is(write_set_above(&set, &trees[0], text(""), false), "c"));
}

static void a_rollback_brings_back_what_was_and_its_mark_stays_usable(void)
{
	struct write_entry *entry = put(0, "a", "one");
	size_t mark;

	entry->expects = true;
	entry->expected_lsn = 77;
	mark = write_set_mark(&set);
	for (unsigned i = 0; i < 3; i++) {
		put(0, "a", "two");
		entry->expects = false;
		put(0, "b", "new");
		delete (0, "a");
		CU_ASSERT_EQUAL(write_set_rollback(&set, mark), BWT_OK);
		CU_ASSERT_TRUE(holds(0, "a", "one"));
		CU_ASSERT_TRUE(entry->expects);
		CU_ASSERT_EQUAL(entry->expected_lsn, 77);
		CU_ASSERT_PTR_NULL(write_set_find(&set, &trees[0], text("b")));
		CU_ASSERT_TRUE(is(write_set_above(&set, &trees[0], text("a"), false), NULL));
		CU_ASSERT_TRUE(is(write_set_last(&set, &trees[0]), "a"));
		CU_ASSERT_EQUAL(set.count, 1);
		CU_ASSERT_EQUAL(set.bytes, 4);
	}
	CU_ASSERT_EQUAL(write_set_rollback(&set, mark + 1), BWT_INVALID);
	CU_ASSERT_EQUAL(write_set_rollback(&set, 0), BWT_OK);
	CU_ASSERT_EQUAL(set.count, 0);
	CU_ASSERT_PTR_NULL(write_set_next(&set, NULL));
}

static void what_is_too_big_changes_nothing(void)
{
	/* The limit is looked at before the bytes are. */
	struct bwt_slice value = {"v", (size_t)WRITE_SET_BYTES_MAX - 1};

	put(0, "a", "b");
	CU_ASSERT_EQUAL(write_set_change(&set, &trees[0], text("c"), value, WRITE_PUT, NULL),
	                BWT_TOO_BIG);
	value.size = (size_t)WRITE_SET_BYTES_MAX;
	CU_ASSERT_EQUAL(write_set_change(&set, &trees[0], text("a"), value, WRITE_PUT, NULL),
	                BWT_TOO_BIG);
	set.count = WRITE_SET_COUNT_MAX;
	CU_ASSERT_EQUAL(write_set_change(&set, &trees[0], text("c"), text(""), WRITE_PUT, NULL),
	                BWT_TOO_BIG);
	CU_ASSERT_EQUAL(write_set_change(&set, &trees[0], text("a"), text("c"), WRITE_PUT, NULL),
	                BWT_OK);
	set.count = 1;
	CU_ASSERT_TRUE(holds(0, "a", "c"));
	CU_ASSERT_EQUAL(set.bytes, 2);
	CU_ASSERT_EQUAL(set.journal_length, 2);
}

static void large_values_and_many_keys_keep_their_order(void)
{
	static const size_t sizes[] = {0, 1, 7, 8, 900, 1100, 70000, 3000000};
	char *value = malloc(3000000), key[16];
	const struct write_entry *entry = NULL;

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "%08u", i * 7919u % 20000u);
		put(0, key, key);
	}
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		memset(value, 'a' + (int)i, sizes[i]);
		snprintf(key, sizeof key, "%08u", i);
		CU_ASSERT_EQUAL(write_set_change(&set, &trees[0], text(key),
		                                 (struct bwt_slice){value, sizes[i]}, WRITE_PUT, NULL),
		                BWT_OK);
	}
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "%08u", i);
		entry = write_set_next(&set, entry);
		CU_ASSERT_TRUE_FATAL(is(entry, key));
		if (i >= sizeof sizes / sizeof *sizes)
			continue;
		memset(value, 'a' + (int)i, sizes[i]);
		CU_ASSERT_EQUAL_FATAL(entry->value.size, sizes[i]);
		CU_ASSERT_TRUE(sizes[i] == 0 || memcmp(entry->value.data, value, sizes[i]) == 0);
	}
	CU_ASSERT_PTR_NULL(write_set_next(&set, entry));
	free(value);
}

/* ---- against arrays ---- */

#define KEYS 24u /* "", "a", "aa", "ab", ... of each tree */
#define MARKS 8u

struct model { /* kind and value of every key there can be */
	uint8_t kind[3][KEYS];
	uint32_t value[3][KEYS];
};

static const char *const names[KEYS] = {"",    "\x01", "a",  "aa", "aaa", "ab", "abc", "b",
                                        "ba",  "bb",   "c",  "ca", "cb",  "cc", "d",   "da",
                                        "dab", "db",   "dc", "dd", "e",   "ea", "f",   "\xff"};

static bool same(const struct write_entry *entry, const struct model *model, unsigned tree, int key)
{
	if (key < 0 || key >= (int)KEYS)
		return entry == NULL;
	return is(entry, names[key]) && entry->tree == &trees[tree] &&
	       entry->kind == model->kind[tree][key] &&
	       (entry->kind == WRITE_DELETE ||
	        memcmp(entry->value.data, &model->value[tree][key], 4) == 0);
}

static void compare(const struct model *model)
{
	const struct write_entry *entry = NULL;
	uint64_t count = 0, bytes = 0;

	for (unsigned t = 0; t < 3; t++) {
		for (unsigned k = 0; k < KEYS; k++) {
			if (model->kind[t][k] == WRITE_NONE)
				continue;
			entry = write_set_next(&set, entry);
			CU_ASSERT_TRUE_FATAL(same(entry, model, t, (int)k));
			count++;
			bytes += strlen(names[k]) + (model->kind[t][k] == WRITE_PUT ? 4 : 0);
		}
	}
	CU_ASSERT_PTR_NULL(write_set_next(&set, entry));
	CU_ASSERT_EQUAL_FATAL(set.count, count);
	CU_ASSERT_EQUAL_FATAL(set.bytes, bytes);
}

static void compare_neighbours(const struct model *model, unsigned t, unsigned k)
{
	int above = (int)k + 1, below = (int)k - 1, last = KEYS - 1;
	bool here = model->kind[t][k] != WRITE_NONE;

	while (above < (int)KEYS && model->kind[t][above] == WRITE_NONE)
		above++;
	while (below >= 0 && model->kind[t][below] == WRITE_NONE)
		below--;
	while (last >= 0 && model->kind[t][last] == WRITE_NONE)
		last--;
	CU_ASSERT_TRUE(same(write_set_find(&set, &trees[t], text(names[k])), model, t,
	                    here ? (int)k : -1));
	CU_ASSERT_TRUE(same(write_set_above(&set, &trees[t], text(names[k]), false), model, t, above));
	CU_ASSERT_TRUE(same(write_set_above(&set, &trees[t], text(names[k]), true), model, t,
	                    here ? (int)k : above));
	CU_ASSERT_TRUE(same(write_set_below(&set, &trees[t], text(names[k]), false), model, t, below));
	CU_ASSERT_TRUE(same(write_set_below(&set, &trees[t], text(names[k]), true), model, t,
	                    here ? (int)k : below));
	CU_ASSERT_TRUE(same(write_set_last(&set, &trees[t]), model, t, last));
}

static void random_changes_and_rollbacks_agree_with_arrays(void)
{
	struct model now = {0}, saved[MARKS];
	size_t marks[MARKS];
	unsigned mark_count = 0;
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned step = 0; step < (suite_short() ? 4000u : 40000u); step++) {
		unsigned t = (unsigned)rng_below(&rng, 3), k = (unsigned)rng_below(&rng, KEYS);

		if (rng_chance(&rng, 5) && mark_count < MARKS) {
			saved[mark_count] = now;
			marks[mark_count++] = write_set_mark(&set);
		} else if (rng_chance(&rng, 5) && mark_count > 0) {
			mark_count = (unsigned)rng_below(&rng, mark_count) + 1;
			CU_ASSERT_EQUAL_FATAL(write_set_rollback(&set, marks[mark_count - 1]),
			                      BWT_OK);
			now = saved[mark_count - 1];
			mark_count -= rng_chance(&rng, 50);
		} else {
			bool kill = rng_chance(&rng, 30);
			struct bwt_slice value = {&step, kill ? 0 : 4};

			now.kind[t][k] = kill ? WRITE_DELETE : WRITE_PUT;
			now.value[t][k] = step;
			CU_ASSERT_EQUAL_FATAL(write_set_change(&set, &trees[t], text(names[k]),
			                                       value, now.kind[t][k], NULL),
			                      BWT_OK);
		}
		compare(&now);
		compare_neighbours(&now, (unsigned)rng_below(&rng, 3),
		                   (unsigned)rng_below(&rng, KEYS));
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_write_is_found_with_bytes_of_its_own),
		TEST(neighbours_stay_within_their_tree),
		TEST(a_rollback_brings_back_what_was_and_its_mark_stays_usable),
		TEST(what_is_too_big_changes_nothing),
		TEST(large_values_and_many_keys_keep_their_order),
		TEST(random_changes_and_rollbacks_agree_with_arrays),
		CU_TEST_INFO_NULL,
	};
	return suite_run("write_set", set_up, tear_down, tests);
}
