/* SPDX-License-Identifier: MIT */
/*
 * walk.c - cursors: every way of seeking, moves in both directions, ends, prefixes
 *
 * Where a cursor stands is an index into the oracle's array, -1 before it and count behind it,
 * within the bounds [first, end) of a prefix.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/world.h"

#define MOVES_MAX 40u

struct walk {
	struct world *world;
	struct bwt_cursor *cursor;
	const struct oracle_tree *tree;
	long first, end; /* bounds of the moves */
	long at;
};

static bool starts_with(const struct oracle_entry *entry, struct bwt_slice prefix)
{
	return entry->key_size >= prefix.size &&
	       (prefix.size == 0 || memcmp(entry->key, prefix.data, prefix.size) == 0);
}

static void check_here(struct walk *walk)
{
	const struct oracle_entry *entry = &walk->tree->entries[walk->at];
	struct world *world = walk->world;
	struct bwt_slice key, value;

	world_expect(world, "bwt_cursor_key", bwt_cursor_key(walk->cursor, &key), BWT_OK);
	if (key.size != entry->key_size || memcmp(key.data, entry->key, key.size) != 0)
		world_fail(world, "the cursor stands on another key than number %ld", walk->at);
	if (rng_chance(&world->rng, 70)) {
		world_expect(world, "bwt_cursor_value", bwt_cursor_value(walk->cursor, &value),
		             BWT_OK);
		if (!oracle_same(entry->value, value.data, value.size))
			world_fail(world, "the cursor gave another value for key %ld", walk->at);
		/* The key survived the call. */
		if (memcmp(key.data, entry->key, key.size) != 0)
			world_fail(world, "bwt_cursor_value changed the key");
	}
}

static void check_nowhere(struct walk *walk)
{
	struct bwt_slice slice;

	world_expect(walk->world, "bwt_cursor_key", bwt_cursor_key(walk->cursor, &slice),
	             BWT_NOT_FOUND);
	world_expect(walk->world, "bwt_cursor_value", bwt_cursor_value(walk->cursor, &slice),
	             BWT_NOT_FOUND);
}

/* Where the oracle says that @how leads; -1 or count when there is no such entry. */
static long target(const struct oracle_tree *tree, struct bwt_slice key, int how)
{
	long count = (long)tree->count;
	bool found;
	long lower = (long)oracle_lower(tree, key, &found);

	switch (how) {
	case BWT_GE:
		return lower;
	case BWT_GT:
		return found ? lower + 1 : lower;
	case BWT_LE:
		return found ? lower : lower - 1;
	case BWT_LT:
		return lower - 1;
	case BWT_EQ:
		return found ? lower : count;
	case BWT_FIRST:
		return count == 0 ? count : 0;
	case BWT_LAST:
		return count - 1;
	default:
		return lower < count && starts_with(&tree->entries[lower], key) ? lower : count;
	}
}

/* Returns whether the cursor stands somewhere afterwards. */
static bool seek(struct walk *walk)
{
	static const int ways[] = {BWT_GE, BWT_GT,    BWT_LE,   BWT_LT,
	                           BWT_EQ, BWT_FIRST, BWT_LAST, BWT_PREFIX};
	struct world *world = walk->world;
	int how = ways[rng_below(&world->rng, sizeof ways / sizeof ways[0])];
	struct bwt_slice key = random_key(world, walk->tree);
	int rc;

	if (how == BWT_PREFIX && key.size > 1)
		key.size = rng_below(&world->rng, key.size);
	walk->at = target(walk->tree, key, how);
	walk->first = 0;
	walk->end = (long)walk->tree->count;
	rc = bwt_cursor_seek(walk->cursor, key, how);
	if (walk->at < 0 || walk->at >= walk->end) {
		world_expect(world, "bwt_cursor_seek", rc, BWT_NOT_FOUND);
		check_nowhere(walk);
		return false;
	}
	world_expect(world, "bwt_cursor_seek", rc, BWT_OK);
	if (how == BWT_PREFIX) {
		walk->first = walk->at;
		while (walk->end > walk->at && !starts_with(&walk->tree->entries[walk->end - 1], key))
			walk->end--;
	}
	check_here(walk);
	return true;
}

static void move(struct walk *walk)
{
	bool forward = rng_chance(&walk->world->rng, 60);
	int rc = forward ? bwt_cursor_next(walk->cursor) : bwt_cursor_prev(walk->cursor);

	if (forward)
		walk->at = walk->at + 1 < walk->end ? walk->at + 1 : walk->end;
	else
		walk->at = walk->at - 1 >= walk->first ? walk->at - 1 : walk->first - 1;
	if (walk->at >= walk->first && walk->at < walk->end) {
		world_expect(walk->world, "a move of a cursor", rc, BWT_OK);
		check_here(walk);
	} else {
		world_expect(walk->world, "a move off the end", rc, BWT_NOT_FOUND);
		check_nowhere(walk);
	}
}

void op_walk(struct world *world)
{
	struct snapshot *snapshot = random_snapshot(world);
	const struct oracle *oracle = snapshot != NULL ? &snapshot->then : &world->now;
	unsigned number = random_tree(world);
	struct walk walk = {.world = world, .tree = &oracle->trees[number]};
	unsigned moves = (unsigned)rng_below(&world->rng, MOVES_MAX);

	world_expect(world, "bwt_cursor_open",
	             bwt_cursor_open(world_tree(world, number),
	                             snapshot != NULL ? snapshot->txn : NULL, &walk.cursor),
	             BWT_OK);
	check_nowhere(&walk);
	if (rng_chance(&world->rng, 20)) { /* without a position */
		walk.end = (long)walk.tree->count;
		walk.at = rng_chance(&world->rng, 50) ? -1 : walk.end;
		if (walk.end != 0) {
			int rc = walk.at < 0 ? bwt_cursor_next(walk.cursor)
			                     : bwt_cursor_prev(walk.cursor);

			walk.at = walk.at < 0 ? 0 : walk.end - 1;
			world_expect(world, "the first move", rc, BWT_OK);
			check_here(&walk);
		}
	} else {
		while (!seek(&walk) && rng_chance(&world->rng, 80))
			;
		if (walk.at < walk.first || walk.at >= walk.end)
			moves = 0; /* it stands nowhere */
	}
	while (moves-- > 0)
		move(&walk);
	bwt_cursor_close(walk.cursor);
}

/* A cursor of its own stands on one snapshot, whatever is changed around it. */
void op_walk_beside_changes(struct world *world)
{
	unsigned number = random_tree(world);
	struct oracle then;
	struct walk walk = {.world = world};
	unsigned rounds = (unsigned)rng_below(&world->rng, 12);

	oracle_copy(&then, &world->now);
	walk.tree = &then.trees[number];
	world_expect(world, "bwt_cursor_open",
	             bwt_cursor_open(world_tree(world, number), NULL, &walk.cursor), BWT_OK);
	while (rounds-- > 0) {
		unsigned changes = (unsigned)rng_below(&world->rng, 10);

		while (changes-- > 0) {
			if (rng_chance(&world->rng, 50))
				op_put(world);
			else
				op_delete(world);
		}
		if (!seek(&walk))
			continue;
		for (unsigned moves = (unsigned)rng_below(&world->rng, 20); moves > 0; moves--)
			move(&walk);
	}
	bwt_cursor_close(walk.cursor);
	oracle_free(&then);
}
