/* SPDX-License-Identifier: MIT */
/*
 * test_commit_history.c - a random run of commit.c by many threads: what every snapshot saw, against
 *                         the history of commits (I1, I2)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/unit/txn/txn_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

enum {
	KEYS = 5,
	WRITERS = 3,
	READERS = 2,
	COMMITS_MAX = 6000,
	READS_MAX = 20000
};

struct commit { /* one version: committed at the record that ends at @end */
	uint64_t end;
	unsigned key;
	unsigned value; /* 0: deleted */
};

struct seen { /* what a snapshot saw */
	uint64_t snapshot;
	unsigned key;
	unsigned value; /* 0: nothing */
};

struct worker {
	pthread_t thread;
	uint64_t seed;
	unsigned number;
	unsigned count;
	struct commit *commits;
	struct seen *reads;
};

static _Atomic(unsigned) writing;

static void *write_history(void *arg)
{
	struct worker *worker = arg;
	unsigned count = suite_short() ? COMMITS_MAX / 10 : COMMITS_MAX;
	char key[2] = {0}, value[16];
	struct rng rng;

	rng_init(&rng, worker->seed);
	for (unsigned i = 1; i <= count; i++) {
		struct commit commit = {.key = (unsigned)rng_below(&rng, KEYS)};
		bool delete = rng_chance(&rng, 20);
		int rc;

		commit.value = delete ? 0 : worker->number * COMMITS_MAX + i;
		key[0] = (char)('a' + commit.key);
		snprintf(value, sizeof value, "%u", commit.value);
		rc = fixture_commit(&fixture, delete ? COMMIT_DELETE : COMMIT_PUT, key,
		                    delete ? NULL : value, &commit.end);
		if (rc == BWT_OK)
			worker->commits[worker->count++] = commit;
		else if (rc != BWT_NOT_FOUND)
			CU_FAIL("a commit failed");
	}
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

static void *read_snapshots(void *arg)
{
	struct worker *worker = arg;
	struct store *store = &fixture.store;
	struct epoch_slot *slot = epoch_slot(&store->epoch);
	struct bwt_buf got = {0};
	char key[2] = {0};
	struct rng rng;

	rng_init(&rng, worker->seed);
	do {
		struct snapshot_slot *snapshot;

		CU_ASSERT_EQUAL_FATAL(
			snapshot_acquire(&store->snapshots, store_clock, store, &snapshot), BWT_OK);
		for (unsigned i = 0; i < 10; i++) {
			struct seen *seen = &worker->reads[worker->count++];
			char text[16] = {0};
			int rc;

			*seen = (struct seen){snapshot_lsn(snapshot),
			                      (unsigned)rng_below(&rng, KEYS), 0};
			key[0] = (char)('a' + seen->key);
			rc = read_value(store, fixture.tree, slot, seen->snapshot, text_slice(key),
			                &got);
			if (rc == BWT_OK) {
				memcpy(text, got.data, got.size < 15 ? got.size : 15);
				seen->value = (unsigned)strtoul(text, NULL, 10);
			} else if (rc != BWT_NOT_FOUND) {
				CU_FAIL("a read failed");
			}
		}
		snapshot_release(snapshot);
	} while (atomic_load(&writing) > 0 && worker->count + 10 < READS_MAX);
	free(got.data);
	return NULL;
}

static int by_key_and_end(const void *a, const void *b)
{
	const struct commit *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* The value of the newest commit of the key that ended at or before the snapshot. */
static unsigned value_at(const struct commit *history, unsigned count, const struct seen *seen)
{
	unsigned from = 0, to = count;

	while (from < to) {
		unsigned middle = (from + to) / 2;
		const struct commit *commit = &history[middle];

		if (commit->key < seen->key ||
		    (commit->key == seen->key && commit->end <= seen->snapshot))
			from = middle + 1;
		else
			to = middle;
	}
	return from > 0 && history[from - 1].key == seen->key ? history[from - 1].value : 0;
}

static void every_snapshot_sees_exactly_the_commits_below_it(void)
{
	struct commit *history = malloc(WRITERS * COMMITS_MAX * sizeof *history);
	struct worker workers[WRITERS + READERS] = {0};
	uint64_t seed = rng_seed();
	unsigned count = 0, present = 0;

	atomic_store(&writing, WRITERS);
	for (unsigned i = WRITERS + READERS; i-- > 0;) { /* readers first */
		workers[i].seed = seed + i;
		workers[i].number = i;
		workers[i].commits = malloc(COMMITS_MAX * sizeof *history);
		workers[i].reads = malloc(READS_MAX * sizeof *workers[i].reads);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL,
		                                     i < WRITERS ? write_history : read_snapshots,
		                                     &workers[i]),
		                      0);
	}
	for (unsigned i = 0; i < WRITERS + READERS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < WRITERS; i++) {
		memcpy(history + count, workers[i].commits, workers[i].count * sizeof *history);
		count += workers[i].count;
	}
	qsort(history, count, sizeof *history, by_key_and_end);
	for (unsigned i = WRITERS; i < WRITERS + READERS; i++) {
		CU_ASSERT_TRUE(workers[i].count > 0);
		for (unsigned r = 0; r < workers[i].count; r++) {
			if (value_at(history, count, &workers[i].reads[r]) !=
			    workers[i].reads[r].value) {
				CU_FAIL("a snapshot saw something else than the commits below it");
				break;
			}
		}
	}
	for (unsigned key = 0; key < KEYS; key++)
		present += value_at(history, count, &(struct seen){UINT64_MAX, key, 0}) != 0;
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), present); /* I6 */
	for (unsigned i = 0; i < WRITERS + READERS; i++) {
		free(workers[i].commits);
		free(workers[i].reads);
	}
	free(history);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(every_snapshot_sees_exactly_the_commits_below_it),
		CU_TEST_INFO_NULL,
	};

	return suite_run("commit_history", set_up, tear_down, tests);
}
