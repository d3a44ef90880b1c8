/* SPDX-License-Identifier: MIT */
/*
 * life.c - checkpoints, closing, opening, and what a killed process leaves
 *
 * A kill is played by copying the folder while the store is open: the page cache, which the copy
 * reads, is what a killed process leaves. For that the library's own threads must be still, so a
 * store that will be copied has no workers and no timer, and the checkpoint that comes after a replay is over.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "tests/model/world.h"

static void log_text(void *ctx, int level, const char *text)
{
	struct world *world = ctx;

	if (strncmp(text, "recovered: ", 11) == 0)
		atomic_store(&world->settled, false);
	else if (strncmp(text, "checkpoint: ", 12) == 0 || strncmp(text, "no checkpoint", 13) == 0)
		atomic_store(&world->settled, true);
	if (level <= LOG_ERR)
		printf("  the store says in operation %" PRIu64 ": %s\n", world->op_no, text);
}

static void random_options(struct world *world)
{
	static const uint32_t inline_sizes[] = {0, 1, 64, 1024, 4096, (uint32_t)BWT_OFF};
	struct rng *rng = &world->rng;
	struct bwt_options *options = &world->options;
	uint64_t durable = rng_below(rng, 3);

	*options = (struct bwt_options){.log = log_text, .ctx = world};
	options->durability = durable == 0 ? BWT_SYNC : durable == 1 ? BWT_INTERVAL : BWT_NONE;
	options->inline_max =
		inline_sizes[rng_below(rng, sizeof inline_sizes / sizeof *inline_sizes)];
	options->sync_interval_ms = 20;
	options->max_size = world->small ? (uint64_t)6 << 20 : (uint64_t)8 << 30;
	if (rng_chance(rng, 50)) {
		options->wal_segment_size = (uint64_t)1 << 20;
		options->vlog_segment_size =
			rng_chance(rng, 50) ? (uint64_t)1 << 20 : (uint64_t)64 << 10;
		options->vlog_space_target = 110 + (unsigned)rng_below(rng, 50);
		options->vlog_collect_rate = rng_chance(rng, 30) ? (uint64_t)1 << 20 : 0;
	}
	if (rng_chance(rng, 50)) {
		options->worker_count = (unsigned)BWT_OFF;
		options->vlog_space_target = (unsigned)BWT_OFF;
		options->sync_interval_ms = 3600000;
		options->checkpoint_interval_ms = (unsigned)BWT_OFF;
		options->checkpoint_wal_bytes = (uint64_t)BWT_OFF;
	} else {
		options->worker_count = 1 + (unsigned)rng_below(rng, 2);
		options->checkpoint_interval_ms = 30;
		options->checkpoint_wal_bytes = (uint64_t)64 << 10;
	}
	options->flags = rng_chance(rng, 50) ? BWT_NO_URING : 0;
	options->flags |= rng_chance(rng, 20) ? BWT_VERIFY : 0;
}

static bool is_still(const struct world *world)
{
	return world->options.worker_count == (unsigned)BWT_OFF;
}

void world_open(struct world *world, unsigned flags)
{
	random_options(world);
	world->options.flags |= flags;
	memset(world->trees, 0, sizeof world->trees);
	atomic_store(&world->settled, true);
	world_expect(world, "bwt_open", bwt_open(world->path, &world->options, &world->db), BWT_OK);
}

/* What was replayed is in a checkpoint, or could not be put into one, as is said then. */
static void settle(struct world *world)
{
	const struct timespec moment = {0, 1000000};
	struct bwt_stats stats = {0};

	for (unsigned i = 0; i < 20000; i++) {
		world_expect(world, "bwt_stat", bwt_stat(world->db, &stats), BWT_OK);
		if (stats.checkpoint_count != 0 || atomic_load(&world->settled))
			return;
		nanosleep(&moment, NULL);
	}
	world_fail(world, "no checkpoint after a replay");
}

void op_checkpoint(struct world *world)
{
	world_expect(world, "bwt_checkpoint", bwt_checkpoint(world->db), BWT_OK);
	world_durable(world); /* K2: it waits for its log */
}

void op_sync(struct world *world)
{
	world_expect(world, "bwt_sync", bwt_sync(world->db), BWT_OK);
	world_durable(world);
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity == BWT_NOTE)
		return;
	printf("  finding %d: %s offset %" PRIu64 " page %" PRIu64 ": %s\n", finding->severity,
	       finding->file != NULL ? finding->file : "", finding->offset, finding->page,
	       finding->text);
}

static void verify(struct world *world, const char *path)
{
	world_expect(world, "bwt_verify", bwt_verify(path, 0, print_finding, NULL), BWT_OK);
}

/* A reader of the closed store, which may not write. */
static void look_read_only(struct world *world)
{
	const struct bwt_options options = {.flags = BWT_RDONLY, .log = log_text, .ctx = world};
	struct bwt_tree *tree;
	struct bwt_db *db;

	world_expect(world, "bwt_open read-only", bwt_open(world->path, &options, &db), BWT_OK);
	world_compare(world, db, &world->now);
	world_expect(world, "bwt_tree_open", bwt_tree_open(db, NULL, 0, &tree), BWT_OK);
	world_expect(world, "bwt_delete", bwt_delete(tree, NULL, (struct bwt_slice){world->key, 3}),
	             BWT_READ_ONLY);
	world_expect(world, "bwt_close", bwt_close(db), BWT_OK);
}

void op_reopen(struct world *world)
{
	bool busy = false;

	for (unsigned i = 0; i < WORLD_SNAPSHOTS; i++)
		busy |= world->snapshots[i].txn != NULL;
	if (busy)
		world_expect(world, "bwt_close with snapshots", bwt_close(world->db), BWT_BUSY);
	world_end_snapshots(world);
	if (rng_chance(&world->rng, 20))
		world_compare(world, world->db, &world->now);
	world_expect(world, "bwt_close", bwt_close(world->db), BWT_OK);
	world_durable(world);
	if (rng_chance(&world->rng, 30))
		verify(world, world->path);
	if (rng_chance(&world->rng, 20))
		look_read_only(world);
	world_open(world, rng_chance(&world->rng, 20) ? BWT_CREATE : 0);
	if (rng_chance(&world->rng, 40))
		world_compare(world, world->db, &world->now);
}

/* ---- a killed process ---- */

/* Is what @db has under the key of @undo the value that @oracle has? */
static bool key_matches(struct world *world, struct bwt_db *db, const struct undo *undo)
{
	struct bwt_slice key = {undo->key, undo->key_size};
	struct oracle_value expected = oracle_get(&world->now.trees[undo->tree], key);
	struct bwt_tree *tree;
	int rc;

	world_expect(world, "bwt_tree_open", bwt_tree_open(db, oracle_name(undo->tree), 0, &tree),
	             BWT_OK);
	rc = bwt_get(tree, NULL, key, &world->buf);
	if (rc != BWT_OK && rc != BWT_NOT_FOUND)
		world_expect(world, "bwt_get", rc, BWT_OK);
	return rc == BWT_OK
	               ? expected.there && oracle_same(expected, world->buf.data, world->buf.size)
	               : !expected.there;
}

/*
 * Take back changes from the oracle, the last one first, until every key of the undo list is as in
 * @db, with whole transactions only. A later change that survived an earlier one is found by the comparison of everything.
 */
static void take_back(struct world *world, struct bwt_db *db)
{
	bool whole = true;

	while (world->undo_count != 0) {
		struct undo *last = &world->undo[world->undo_count - 1];
		bool same = whole;

		for (size_t i = 0; same && i < world->undo_count; i++)
			same = key_matches(world, db, &world->undo[i]);
		if (same)
			return;
		oracle_set(&world->now.trees[last->tree],
		           (struct bwt_slice){last->key, last->key_size}, last->before);
		whole = !last->joined;
		free(last->key);
		world->undo_count--;
	}
}

/* The store as a process killed now would leave it takes the place of the store. */
static void become_killed(struct world *world)
{
	tmpstore_copy(world->path, world->copy);
	world_expect(world, "bwt_close", bwt_close(world->db), BWT_OK);
	tmpstore_clear(world->path);
	if (rename(world->copy, world->path) != 0)
		world_fail(world, "cannot rename %s", world->copy);
}

void op_kill(struct world *world)
{
	if (!is_still(world))
		return;
	world_end_snapshots(world);
	become_killed(world);
	if (rng_chance(&world->rng, 50))
		verify(world, world->path);
	world_open(world, 0);
	settle(world);
	take_back(world, world->db);
	world_durable(world);
	if (rng_chance(&world->rng, 30) && is_still(world)) { /* killed again, at once */
		become_killed(world);
		world_open(world, 0);
		settle(world);
	}
	world_compare(world, world->db, &world->now);
}
