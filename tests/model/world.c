/* SPDX-License-Identifier: MIT */
/* world.c - comparing a store with the oracle, and what it may forget in a crash */
#include "tests/model/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void world_fail(const struct world *world, const char *format, ...)
{
	va_list args;

	printf("FAILED in operation %" PRIu64 " (%s) of SEED=%" PRIu64 ": ", world->op_no,
	       world->op_name, world->seed);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  bwt_detail: %s\n  the store is in %s\n", bwt_detail(), world->path);
	fflush(stdout);
	exit(EXIT_FAILURE);
}

void world_expect(const struct world *world, const char *what, int rc, int expected)
{
	if (rc != expected)
		world_fail(world, "%s: %d (%s), not %d (%s)", what, rc, bwt_strerror(rc), expected,
		           bwt_strerror(expected));
}

bool world_refused(const struct world *world, int rc)
{
	return world->small && rc == BWT_FULL;
}

struct bwt_tree *world_tree(struct world *world, unsigned number)
{
	if (world->trees[number] == NULL) {
		int rc = bwt_tree_open(world->db, oracle_name(number), 0, &world->trees[number]);

		world_expect(world, "bwt_tree_open", rc, BWT_OK);
	}
	return world->trees[number];
}

/* ---- the whole store ---- */

struct listing {
	const struct oracle *oracle;
	unsigned seen; /* bit of each tree */
};

static int check_name(void *ctx, const char *name)
{
	struct listing *listing = ctx;

	for (unsigned t = 1; t < ORACLE_TREES; t++)
		if (strcmp(name, oracle_name(t)) == 0 && listing->oracle->trees[t].there &&
		    (listing->seen & 1u << t) == 0) {
			listing->seen |= 1u << t;
			return 0;
		}
	return 1;
}

static void compare_list(struct world *world, struct bwt_db *db, const struct oracle *oracle)
{
	struct listing listing = {oracle, 1};
	unsigned expected = 0;

	world_expect(world, "bwt_tree_list", bwt_tree_list(db, check_name, &listing), BWT_OK);
	for (unsigned t = 0; t < ORACLE_TREES; t++)
		expected |= oracle->trees[t].there ? 1u << t : 0;
	if (listing.seen != expected)
		world_fail(world, "trees %#x are listed, %#x are there", listing.seen, expected);
}

static void compare_entry(struct world *world, struct bwt_cursor *cursor,
                          const struct oracle_tree *tree, size_t at)
{
	struct bwt_slice key, value;

	world_expect(world, "bwt_cursor_key", bwt_cursor_key(cursor, &key), BWT_OK);
	if (at >= tree->count)
		world_fail(world, "a key too many, of %zu bytes, after %zu", key.size, at);
	if (key.size != tree->entries[at].key_size ||
	    memcmp(key.data, tree->entries[at].key, key.size) != 0)
		world_fail(world, "key %zu is of %zu bytes, and another than that of %u bytes", at,
		           key.size, tree->entries[at].key_size);
	world_expect(world, "bwt_cursor_value", bwt_cursor_value(cursor, &value), BWT_OK);
	if (!oracle_same(tree->entries[at].value, value.data, value.size))
		world_fail(world, "key %zu has another value, of %zu and not %u bytes or of that",
		           at, value.size, tree->entries[at].value.size);
}

static void compare_tree(struct world *world, struct bwt_tree *handle, const struct oracle_tree *tree)
{
	struct bwt_cursor *cursor;
	bool forward = rng_chance(&world->rng, 60);
	uint64_t count;
	size_t seen = 0;
	int rc;

	world_expect(world, "bwt_count", bwt_count(handle, &count), BWT_OK);
	if (count != tree->count)
		world_fail(world, "bwt_count says %" PRIu64 ", it is %zu", count, tree->count);
	world_expect(world, "bwt_cursor_open", bwt_cursor_open(handle, NULL, &cursor), BWT_OK);
	while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK) {
		if (seen >= tree->count)
			world_fail(world, "more than the %zu keys", tree->count);
		compare_entry(world, cursor, tree, forward ? seen : tree->count - 1 - seen);
		seen++;
	}
	world_expect(world, "the end of a walk", rc, BWT_NOT_FOUND);
	if (seen != tree->count)
		world_fail(world, "the walk ended after %zu of %zu keys", seen, tree->count);
	bwt_cursor_close(cursor);
}

void world_compare(struct world *world, struct bwt_db *db, const struct oracle *oracle)
{
	compare_list(world, db, oracle);
	for (unsigned t = 0; t < ORACLE_TREES; t++) {
		struct bwt_tree *handle;
		int rc = bwt_tree_open(db, oracle_name(t), 0, &handle);

		world_expect(world, "bwt_tree_open", rc,
		             oracle->trees[t].there ? BWT_OK : BWT_NOT_FOUND);
		if (rc == BWT_OK)
			compare_tree(world, handle, &oracle->trees[t]);
	}
}

/* ---- changes ---- */

void world_changed(struct world *world, unsigned tree, struct bwt_slice key, struct oracle_value value)
{
	if (world->options.durability != BWT_SYNC) {
		struct undo *undo;

		if (world->undo_count == world->undo_capacity) {
			world->undo_capacity = 2 * world->undo_capacity + 64;
			world->undo =
				realloc(world->undo, world->undo_capacity * sizeof *world->undo);
		}
		undo = &world->undo[world->undo_count++];
		undo->tree = tree;
		undo->key = malloc(key.size + 1);
		undo->key_size = key.size;
		if (key.size != 0)
			memcpy(undo->key, key.data, key.size);
		undo->before = oracle_get(&world->now.trees[tree], key);
		undo->joined = false;
	}
	world_txns_changed(tree, key);
	oracle_set(&world->now.trees[tree], key, value);
}

void world_joined(struct world *world)
{
	if (world->undo_count != 0)
		world->undo[world->undo_count - 1].joined = true;
}

void world_durable(struct world *world)
{
	for (size_t i = 0; i < world->undo_count; i++)
		free(world->undo[i].key);
	world->undo_count = 0;
}

/* ---- choices ---- */

unsigned random_tree(struct world *world)
{
	unsigned tree;

	do {
		tree = (unsigned)rng_below(&world->rng, ORACLE_TREES);
	} while (!world->now.trees[tree].there);
	return tree;
}

struct snapshot *random_snapshot(struct world *world)
{
	struct snapshot *snapshot = &world->snapshots[rng_below(&world->rng, WORLD_SNAPSHOTS)];

	return snapshot->txn != NULL ? snapshot : NULL;
}

void world_end_snapshots(struct world *world)
{
	world_end_txns();
	for (unsigned i = 0; i < WORLD_SNAPSHOTS; i++) {
		if (world->snapshots[i].txn == NULL)
			continue;
		world_expect(world, "bwt_commit", bwt_commit(world->snapshots[i].txn), BWT_OK);
		world->snapshots[i].txn = NULL;
		oracle_free(&world->snapshots[i].then);
	}
}

/* A fresh key of one of the kinds that trees find hard; its size. */
static size_t new_key(struct world *world)
{
	static const uint8_t alphabet[] = {0x00, 0x01, 'a', 'b', 0x7f, 0x80, 0xff};
	struct rng *rng = &world->rng;
	uint8_t *key = world->key;
	size_t size = 0;

	switch (rng_below(rng, 12)) {
	case 0: /* the empty key, and runs of zeroes */
		size = rng_below(rng, 6);
		memset(key, 0, size);
		return size;
	case 1: /* each a prefix of the next */
		size = rng_below(rng, 60);
		memset(key, 'p', size);
		return size;
	case 2: /* a long common prefix */
		size = 200 + rng_below(rng, 3);
		memset(key, 'c', size);
		for (size_t i = 198; i < size; i++)
			key[i] = (uint8_t)rng_u64(rng);
		return size;
	case 3: /* few, and as long as can be */
		if (!rng_chance(rng, 5))
			break;
		size = BWT_KEY_MAX - rng_below(rng, 2);
		memset(key, 'x', size);
		key[rng_chance(rng, 50) ? 0 : size - 1] = (uint8_t)rng_below(rng, 3);
		return size;
	case 4: /* over a kilobyte */
		size = 1000 + rng_below(rng, 2000);
		rng_fill(rng, key, 4);
		memset(key + 4, key[3], size - 4);
		return size;
	case 5:
	case 6:
	case 7: /* dense numbers */
		size = 8;
		memset(key, 0, size);
		key[7] = (uint8_t)rng_u64(rng);
		key[6] = (uint8_t)rng_below(rng, 8);
		return size;
	default:
		break;
	}
	size = rng_below(rng, 7);
	for (size_t i = 0; i < size; i++)
		key[i] = alphabet[rng_below(rng, sizeof alphabet)];
	return size;
}

struct bwt_slice random_key(struct world *world, const struct oracle_tree *tree)
{
	size_t size;

	if (tree->count != 0 && rng_chance(&world->rng, 60)) {
		const struct oracle_entry *entry =
			&tree->entries[rng_below(&world->rng, tree->count)];

		size = entry->key_size;
		memcpy(world->key, entry->key, size);
		/* Sometimes its closest neighbours. */
		if (rng_chance(&world->rng, 8) && size < BWT_KEY_MAX)
			world->key[size++] = 0;
		else if (rng_chance(&world->rng, 8) && size > 0)
			size--;
	} else {
		size = new_key(world);
	}
	return (struct bwt_slice){world->key, size};
}
