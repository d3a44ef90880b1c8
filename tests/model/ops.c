/* SPDX-License-Identifier: MIT */
/* ops.c - one random operation of each kind, its answer known beforehand */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/pack.h"
#include "tests/model/world.h"

#define MANY_MAX 80u

/* How large values of a tree are stored: as this build can, or 0, as before. */
static unsigned random_packing(struct rng *rng)
{
	switch (rng_below(rng, 4)) {
	case 0:
		return pack_has(PACK_LZ4) ? BWT_LZ4 : 0;
	case 1:
		return pack_has(PACK_ZSTD) ? BWT_ZSTD : 0;
	case 2:
		return BWT_PLAIN;
	default:
		return 0;
	}
}

static struct oracle_value random_value(struct world *world)
{
	struct rng *rng = &world->rng;
	uint32_t inline_max = world->options.inline_max;
	uint32_t size;

	switch (rng_below(rng, 16)) {
	case 0:
		size = 0;
		break;
	case 1: /* around the border of the value log */
		if (inline_max == 0 || inline_max == (uint32_t)BWT_OFF)
			inline_max = 1024;
		size = inline_max - 1 + (uint32_t)rng_below(rng, 3);
		break;
	case 2:
		size = (uint32_t)rng_below(rng, 10000);
		break;
	case 3:
		size = rng_chance(rng, 10) ? (uint32_t)rng_below(rng, 300u << 10) : 5000;
		break;
	default:
		size = (uint32_t)rng_below(rng, 120);
		break;
	}
	return (struct oracle_value){rng_u64(rng), size, true};
}

void op_put(struct world *world)
{
	unsigned tree = random_tree(world);
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value before = oracle_get(&world->now.trees[tree], key);
	struct oracle_value value = random_value(world);
	unsigned flags = rng_chance(&world->rng, 20)   ? BWT_INSERT
	                 : rng_chance(&world->rng, 20) ? BWT_UPDATE
	                                               : 0;
	int expected = BWT_OK;
	int rc;

	if (!before.there && world->now.trees[tree].count >= WORLD_KEYS_MAX)
		flags = BWT_UPDATE;
	if (flags == BWT_INSERT && before.there)
		expected = BWT_EXISTS;
	if (flags == BWT_UPDATE && !before.there)
		expected = BWT_NOT_FOUND;
	rc = bwt_put(world_tree(world, tree), NULL, key, oracle_bytes(value), flags);
	if (world_refused(world, rc))
		return;
	world_expect(world, "bwt_put", rc, expected);
	if (rc == BWT_OK)
		world_changed(world, tree, key, value);
}

void op_delete(struct world *world)
{
	unsigned tree = random_tree(world);
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value before = oracle_get(&world->now.trees[tree], key);
	int rc = bwt_delete(world_tree(world, tree), NULL, key);

	if (world_refused(world, rc))
		return;
	world_expect(world, "bwt_delete", rc, before.there ? BWT_OK : BWT_NOT_FOUND);
	if (rc == BWT_OK)
		world_changed(world, tree, key, (struct oracle_value){0, 0, false});
}

void op_cas(struct world *world)
{
	unsigned tree = random_tree(world);
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value before = oracle_get(&world->now.trees[tree], key);
	struct oracle_value wanted = before, after = random_value(world);
	struct bwt_slice expected, desired;
	bool match = true;
	int rc;

	if (rng_chance(&world->rng, 30))
		after.there = false;
	if (rng_chance(&world->rng, 25)) { /* another state than it has */
		match = false;
		if (before.there && rng_chance(&world->rng, 50))
			wanted.there = false;
		else
			wanted = (struct oracle_value){before.seed + 1, before.size + 1, true};
	}
	/* Slices of no bytes may have no data either. */
	expected = wanted.there ? oracle_bytes(wanted) : (struct bwt_slice){NULL, 0};
	desired = after.there ? oracle_bytes(after) : (struct bwt_slice){NULL, 0};
	rc = bwt_cas(world_tree(world, tree), NULL, key, wanted.there ? &expected : NULL,
	             after.there ? &desired : NULL);
	if (world_refused(world, rc))
		return;
	world_expect(world, "bwt_cas", rc, match ? BWT_OK : BWT_MISMATCH);
	if (rc == BWT_OK && (before.there || after.there))
		world_changed(world, tree, key, after);
}

static void check_value(struct world *world, const char *what, struct oracle_value expected,
                        const struct bwt_buf *buf)
{
	if (!oracle_same(expected, buf->data, buf->size))
		world_fail(world, "%s gave another value: %zu bytes, expected %u", what, buf->size,
		           expected.size);
}

void op_get(struct world *world)
{
	struct snapshot *snapshot = random_snapshot(world);
	const struct oracle *oracle = snapshot != NULL ? &snapshot->then : &world->now;
	unsigned tree = random_tree(world);
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value expected = oracle_get(&oracle->trees[tree], key);
	struct bwt_txn *txn = snapshot != NULL ? snapshot->txn : NULL;
	struct bwt_buf fresh = {NULL, 0, 0};
	struct bwt_buf *buf = rng_chance(&world->rng, 80) ? &world->buf : &fresh;
	int rc;

	if (rng_chance(&world->rng, 10))
		buf = NULL;
	rc = bwt_get(world_tree(world, tree), txn, key, buf);
	world_expect(world, "bwt_get", rc, expected.there ? BWT_OK : BWT_NOT_FOUND);
	if (rc == BWT_OK && buf != NULL)
		check_value(world, "bwt_get", expected, buf);
	if (rc != BWT_OK && buf == &fresh && fresh.data != NULL)
		world_fail(world, "bwt_get touched the buffer of a missing key");
	bwt_buf_free(&fresh);
}

void op_get_many(struct world *world)
{
	struct snapshot *snapshot = random_snapshot(world);
	const struct oracle *oracle = snapshot != NULL ? &snapshot->then : &world->now;
	struct bwt_txn *txn = snapshot != NULL ? snapshot->txn : NULL;
	unsigned tree = random_tree(world);
	size_t count = rng_below(&world->rng, MANY_MAX);
	struct bwt_slice keys[MANY_MAX];
	struct bwt_buf values[MANY_MAX];
	int results[MANY_MAX];
	bool with_values = rng_chance(&world->rng, 80);

	memset(values, 0, sizeof values);
	for (size_t i = 0; i < count; i++) {
		struct bwt_slice key = random_key(world, &world->now.trees[tree]);
		void *copy = malloc(key.size + 1);

		if (key.size != 0)
			memcpy(copy, key.data, key.size);
		keys[i] = (struct bwt_slice){copy, key.size};
	}
	world_expect(world, "bwt_get_many",
	             bwt_get_many(world_tree(world, tree), txn, count, keys,
	                          with_values ? values : NULL, results),
	             BWT_OK);
	for (size_t i = 0; i < count; i++) {
		struct oracle_value expected = oracle_get(&oracle->trees[tree], keys[i]);

		world_expect(world, "a result of bwt_get_many", results[i],
		             expected.there ? BWT_OK : BWT_NOT_FOUND);
		if (with_values && expected.there)
			check_value(world, "bwt_get_many", expected, &values[i]);
		if (with_values && !expected.there && values[i].size != 0)
			world_fail(world, "a missing key's buffer has %zu bytes", values[i].size);
		bwt_buf_free(&values[i]);
		free((void *)(uintptr_t)keys[i].data);
	}
}

void op_count(struct world *world)
{
	unsigned tree = random_tree(world);
	uint64_t count;

	world_expect(world, "bwt_count", bwt_count(world_tree(world, tree), &count), BWT_OK);
	if (count != world->now.trees[tree].count)
		world_fail(world, "bwt_count says %" PRIu64 ", it is %zu", count,
		           world->now.trees[tree].count);
}

void op_too_big(struct world *world)
{
	struct bwt_tree *tree = world_tree(world, random_tree(world));
	struct bwt_slice key = {world->key, BWT_KEY_MAX + 1};
	struct bwt_slice value = {"v", 1};

	memset(world->key, 'x', key.size);
	world_expect(world, "bwt_put", bwt_put(tree, NULL, key, value, 0), BWT_TOO_BIG);
	world_expect(world, "bwt_get", bwt_get(tree, NULL, key, &world->buf), BWT_TOO_BIG);
	world_expect(world, "bwt_delete", bwt_delete(tree, NULL, key), BWT_TOO_BIG);
	world_expect(world, "bwt_cas", bwt_cas(tree, NULL, key, NULL, &value), BWT_TOO_BIG);
	key.size = 3;
	value.size = (size_t)BWT_VALUE_MAX + 1; /* refused before it is looked at */
	world_expect(world, "bwt_put", bwt_put(tree, NULL, key, value, 0), BWT_TOO_BIG);
}

/* Drop a named tree, or create one; both are as durable as a commit, and cannot be undone here. */
void op_tree(struct world *world)
{
	unsigned number = 1 + (unsigned)rng_below(&world->rng, ORACLE_TREES - 1);
	struct oracle_tree *tree = &world->now.trees[number];
	const char *name = oracle_name(number);

	if (tree->there && rng_chance(&world->rng, 60)) {
		world_expect(world, "BWT_EXCL",
		             bwt_tree_open(world->db, name, BWT_CREATE | BWT_EXCL,
		                           &world->trees[number]),
		             BWT_EXISTS);
		return;
	}
	if (tree->there) {
		int rc;

		world_end_snapshots(world);
		rc = bwt_tree_drop(world->db, name);
		if (world_refused(world, rc))
			return;
		world_expect(world, "bwt_tree_drop", rc, BWT_OK);
		world->trees[number] = NULL;
		oracle_clear(tree);
		tree->there = false;
		world_expect(world, "bwt_tree_drop", bwt_tree_drop(world->db, name), BWT_NOT_FOUND);
	} else {
		struct bwt_tree *again;
		int rc;

		world_expect(world, "bwt_tree_open", bwt_tree_open(world->db, name, 0, &again),
		             BWT_NOT_FOUND);
		rc = bwt_tree_open(world->db, name, BWT_CREATE | random_packing(&world->rng),
		                   &world->trees[number]);
		if (world_refused(world, rc))
			return;
		world_expect(world, "bwt_tree_open", rc, BWT_OK);
		world_expect(world, "bwt_tree_open",
		             bwt_tree_open(world->db, name, BWT_CREATE, &again), BWT_OK);
		if (again != world->trees[number])
			world_fail(world, "two handles for one tree");
		tree->there = true;
	}
	world_expect(world, "bwt_sync", bwt_sync(world->db), BWT_OK);
	world_durable(world);
}

void op_snapshot(struct world *world)
{
	struct snapshot *snapshot = &world->snapshots[rng_below(&world->rng, WORLD_SNAPSHOTS)];
	unsigned flags = BWT_RDONLY;

	if (snapshot->txn != NULL) {
		if (rng_chance(&world->rng, 50))
			bwt_abort(snapshot->txn);
		else
			world_expect(world, "bwt_commit", bwt_commit(snapshot->txn), BWT_OK);
		snapshot->txn = NULL;
		oracle_free(&snapshot->then);
		return;
	}
	flags |= rng_chance(&world->rng, 50) ? BWT_NEWEST : 0;
	world_expect(world, "bwt_begin", bwt_begin(world->db, flags, &snapshot->txn), BWT_OK);
	oracle_copy(&snapshot->then, &world->now);
	world_expect(world, "bwt_put in it",
	             bwt_put(world_tree(world, 0), snapshot->txn, (struct bwt_slice){"k", 1},
	                     (struct bwt_slice){"v", 1}, 0),
	             BWT_READ_ONLY);
}
