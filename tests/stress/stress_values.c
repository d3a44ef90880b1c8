/* SPDX-License-Identifier: MIT */
/*
 * stress_values.c - large values are overwritten, read and watched by many threads while their files are collected
 *
 * Every value says of which key it is and how it goes on, so a reader can tell a wrong one. One thread holds
 * snapshots and reads them twice; one drops and fills a named tree; checkpoints run all the time. At the end the
 * store is verified, reopened and read. SEED, SHORT, LONG as always.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/crew.h"
#include "tests/support/suite.h"

#define KEYS 400u
#define VALUE_MAX 40000u
#define SEGMENT ((uint64_t)256 << 10)

static struct crew crew;

static struct bwt_slice key_of(uint64_t number, char room[24])
{
	snprintf(room, 24, "key-%06" PRIu64, number);
	return (struct bwt_slice){room, strlen(room)};
}

/* Key, then a number of the writer's, then bytes that follow from both. */
static struct bwt_slice make_value(uint64_t key, struct rng *rng, uint8_t *room)
{
	uint64_t head[2] = {key, rng_u64(rng)};
	size_t size = rng_chance(rng, 70) ? rng_range(rng, 16, 4000) : rng_range(rng, 16, VALUE_MAX);
	struct rng bytes;

	memcpy(room, head, sizeof head);
	rng_init(&bytes, head[1]);
	rng_fill(&bytes, room + sizeof head, size - sizeof head);
	return (struct bwt_slice){room, size};
}

static void check_value(uint64_t key, const void *data, size_t size)
{
	static _Thread_local uint8_t room[VALUE_MAX];
	uint64_t head[2];
	struct rng bytes;

	if (size < sizeof head || size > VALUE_MAX)
		crew_fail("key %" PRIu64 " has a value of %zu bytes", key, size);
	memcpy(head, data, sizeof head);
	rng_init(&bytes, head[1]);
	rng_fill(&bytes, room, size - sizeof head);
	if (head[0] != key ||
	    memcmp(room, (const uint8_t *)data + sizeof head, size - sizeof head) != 0)
		crew_fail("key %" PRIu64 " has the value of key %" PRIu64 ", or damaged bytes", key,
		          head[0]);
}

/* Half of them go to a tenth of the keys. */
static uint64_t any_key(struct rng *rng)
{
	return rng_below(rng, rng_chance(rng, 50) ? KEYS / 10 : KEYS);
}

static void write_values(struct member *member)
{
	uint8_t *room = malloc(VALUE_MAX);
	char name[24];

	while (crew_going(member)) {
		uint64_t key = any_key(&member->rng);
		struct bwt_slice value = make_value(key, &member->rng, room);

		crew_need("bwt_put", bwt_put(crew.tree, NULL, key_of(key, name), value, 0));
		member->done++;
	}
	free(room);
}

/* Several at once, in a transaction. */
static void write_together(struct member *member)
{
	uint8_t *room = malloc(VALUE_MAX);
	char name[24];

	while (crew_going(member)) {
		struct bwt_txn *txn;
		int rc;

		crew_need("bwt_begin", bwt_begin(crew.db, 0, &txn));
		rc = BWT_OK;
		for (unsigned i = 0; i < 5 && rc == BWT_OK; i++) {
			uint64_t key = any_key(&member->rng);

			rc = bwt_put(crew.tree, txn, key_of(key, name),
			             make_value(key, &member->rng, room), 0);
		}
		if (rc == BWT_OK)
			rc = bwt_commit(txn);
		else
			bwt_abort(txn);
		if (rc != BWT_OK && rc != BWT_CONFLICT)
			crew_need("transaction", rc);
		member->done++;
	}
	free(room);
}

static void read_values(struct member *member)
{
	struct bwt_buf buf = {0};
	char name[24];

	while (crew_going(member)) {
		uint64_t key = any_key(&member->rng);

		crew_need("bwt_get", bwt_get(crew.tree, NULL, key_of(key, name), &buf));
		check_value(key, buf.data, buf.size);
		member->done++;
	}
	bwt_buf_free(&buf);
}

/* A snapshot is walked twice, and between the two the files under it are collected. */
static void read_twice(struct member *member)
{
	uint32_t first[KEYS] = {0};

	while (crew_going(member)) {
		struct bwt_txn *txn;

		crew_need("bwt_begin", bwt_begin(crew.db, BWT_RDONLY | BWT_NEWEST, &txn));
		for (unsigned turn = 0; turn < 2; turn++) {
			struct bwt_cursor *cursor;
			uint64_t key = 0;
			int rc;

			crew_need("bwt_cursor_open", bwt_cursor_open(crew.tree, txn, &cursor));
			for (rc = bwt_cursor_next(cursor); rc == BWT_OK;
			     rc = bwt_cursor_next(cursor)) {
				struct bwt_slice value;
				uint64_t number;

				crew_need("bwt_cursor_value", bwt_cursor_value(cursor, &value));
				check_value(key, value.data, value.size);
				memcpy(&number, (const uint8_t *)value.data + 8, 8);
				if (turn == 1 && first[key] != (uint32_t)number)
					crew_fail("key %" PRIu64 " changed under a snapshot", key);
				first[key++] = (uint32_t)number;
			}
			if (rc != BWT_NOT_FOUND || key != KEYS)
				crew_fail("the walk ended after %" PRIu64 " keys: %s", key,
				          bwt_strerror(rc));
			bwt_cursor_close(cursor);
		}
		bwt_abort(txn);
		member->done++;
	}
}

static void drop_and_fill(struct member *member)
{
	uint8_t *room = malloc(VALUE_MAX);
	char name[24];

	while (crew_going(member)) {
		struct bwt_tree *tree;
		int rc;

		crew_need("bwt_tree_open", bwt_tree_open(crew.db, "named", BWT_CREATE, &tree));
		for (uint64_t i = 0; i < 50; i++)
			crew_need("bwt_put", bwt_put(tree, NULL, key_of(i, name),
			                             make_value(i, &member->rng, room), 0));
		do
			rc = bwt_tree_drop(crew.db, "named");
		while (rc == BWT_BUSY && crew_going(member));
		if (rc != BWT_BUSY)
			crew_need("bwt_tree_drop", rc);
		member->done++;
	}
	free(room);
}

static void look_at_all(void)
{
	struct bwt_buf buf = {0};
	char name[24];

	for (uint64_t i = 0; i < KEYS; i++) {
		crew_need("bwt_get", bwt_get(crew.tree, NULL, key_of(i, name), &buf));
		check_value(i, buf.data, buf.size);
	}
	bwt_buf_free(&buf);
}

static void fill(struct rng *rng)
{
	uint8_t *room = malloc(VALUE_MAX);
	char name[24];

	for (uint64_t i = 0; i < KEYS; i++)
		crew_need("bwt_put",
		          bwt_put(crew.tree, NULL, key_of(i, name), make_value(i, rng, room), 0));
	free(room);
}

/* A slow machine may not have come so far: more of the same, as much as would do on any. */
static struct bwt_stats until_collected(struct rng *rng)
{
	struct bwt_stats stats;

	for (unsigned turn = 0; turn < 100; turn++) {
		crew_need("bwt_stat", bwt_stat(crew.db, &stats));
		if (stats.values_moved > 0 && stats.value_files_freed > 0)
			break;
		fill(rng);
		crew_need("bwt_checkpoint", bwt_checkpoint(crew.db));
	}
	return stats;
}

static void run(unsigned workers, int durability)
{
	struct bwt_options options = {
		.durability = durability,
		.inline_max = 500,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = SEGMENT,
		.worker_count = workers,
		.vlog_space_target = 130,
	};
	struct bwt_stats stats;
	struct rng rng;

	crew.seed = rng_seed();
	rng_init(&rng, crew.seed);
	crew_open(&crew, &options);
	fill(&rng);
	crew_add(&crew, write_values, NULL);
	crew_add(&crew, write_together, NULL);
	crew_add(&crew, read_values, NULL);
	crew_add(&crew, read_twice, NULL);
	crew_add(&crew, drop_and_fill, NULL);
	crew_add(&crew, work_checkpoints, NULL);
	crew_run(&crew, crew_seconds(2));
	stats = until_collected(&rng);
	printf("    %d workers: put %" PRIu64 " KiB, log %" PRIu64 " KiB, live %" PRIu64
	       " KiB, moved %" PRIu64 " values, %" PRIu64 " KiB, %" PRIu64 " files removed\n",
	       (int)workers, stats.user_bytes_written >> 10, stats.vlog_bytes >> 10,
	       stats.vlog_live_bytes >> 10, stats.values_moved, stats.value_bytes_moved >> 10,
	       stats.value_files_freed);
	CU_ASSERT_TRUE(stats.value_files_freed > 0);
	CU_ASSERT_TRUE(stats.values_moved > 0);
	look_at_all();
	crew_reopen(&crew, &options);
	look_at_all();
	crew_close(&crew);
}

static void values_are_collected_under_readers_and_writers(void)
{
	run(2, BWT_NONE);
}

static void values_are_collected_without_workers(void)
{
	run((unsigned)BWT_OFF, BWT_SYNC);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(values_are_collected_under_readers_and_writers),
		TEST(values_are_collected_without_workers),
		CU_TEST_INFO_NULL,
	};

	return suite_run("stress_values", NULL, NULL, tests);
}
