/* SPDX-License-Identifier: MIT */
/*
 * world.h - a store, the oracle beside it, and what the operations of the model test share
 *
 *   the oracle is changed with every change that the store accepted; every answer of the store is
 *   compared with it at once. A difference ends the program with the seed that brings it back.
 *
 * Changes that may not be durable yet are also kept in an undo list, oldest first: what a killed
 * process leaves must be the oracle with some of the last changes taken back, in order, and none
 * that was durable (I3 of design.md).
 */
#ifndef BWT_TESTS_WORLD_H
#define BWT_TESTS_WORLD_H

#include "tests/model/oracle.h"
#include "tests/support/rng.h"
#include "tests/support/tmpstore.h"

#define WORLD_SNAPSHOTS 3u
#define WORLD_TXNS 3u        /* read-write ones open at a time */
#define WORLD_KEYS_MAX 3000u /* keys of a tree beyond which puts become rare */

struct snapshot {
	struct bwt_txn *txn; /* NULL: free */
	struct oracle then;
};

struct undo {
	unsigned tree;
	uint8_t *key;
	size_t key_size;
	struct oracle_value before;
	bool joined; /* of one transaction with the change before it */
};

struct world {
	uint64_t seed;
	uint64_t op_no;
	const char *op_name; /* for the message of a failure */
	struct rng rng;
	char path[TMPSTORE_PATH_MAX];
	char copy[TMPSTORE_PATH_MAX];
	struct bwt_options options;
	struct bwt_db *db;
	struct bwt_tree *trees[ORACLE_TREES]; /* NULL: not opened */
	struct oracle now;
	struct snapshot snapshots[WORLD_SNAPSHOTS];
	struct undo *undo;
	size_t undo_count, undo_capacity;
	struct bwt_buf buf; /* reused from call to call, as users do */
	_Atomic(bool) settled; /* nothing was replayed, or the checkpoint after it could not be taken */
	bool small;            /* a store of a few MiB: changes may be refused with BWT_FULL */
	unsigned put_percent; /* of this phase: how many of the changes add keys */
	uint8_t *key;         /* room for a key of BWT_KEY_MAX + 1 bytes */
};

/** world_fail - say what differs, with seed and operation, and end the program; the store stays */
void world_fail(const struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/** world_expect - fail unless @rc is @expected */
void world_expect(const struct world *world, const char *what, int rc, int expected);

/** world_refused - was a change refused for lack of space, as a small store may? */
bool world_refused(const struct world *world, int rc);

/** world_tree - the handle of tree @number, which is there */
struct bwt_tree *world_tree(struct world *world, unsigned number);

/** world_compare - everything in @db against @oracle, walking forward and perhaps backward */
void world_compare(struct world *world, struct bwt_db *db, const struct oracle *oracle);

/** world_changed - note that @key is about to change, for the undo list and the oracle */
void world_changed(struct world *world, unsigned tree, struct bwt_slice key,
                   struct oracle_value value);

/** world_joined - the change noted last was made by the same transaction as the one before it */
void world_joined(struct world *world);

/** world_durable - all changes so far are durable: nothing can be undone any more */
void world_durable(struct world *world);

/* model_ops.c: one random operation of each kind */
void op_put(struct world *world);
void op_delete(struct world *world);
void op_cas(struct world *world);
void op_get(struct world *world);
void op_get_many(struct world *world);
void op_count(struct world *world);
void op_too_big(struct world *world);
void op_tree(struct world *world);
void op_snapshot(struct world *world);

/* model_walk.c */
void op_walk(struct world *world);
void op_walk_beside_changes(struct world *world);

/* model_life.c */
void op_checkpoint(struct world *world);
void op_sync(struct world *world);
void op_reopen(struct world *world);
void op_kill(struct world *world);

/** world_open - open the store at world->path with new random options */
void world_open(struct world *world, unsigned flags);

/** random_key - a key that is hard on trees, in world->key */
struct bwt_slice random_key(struct world *world, const struct oracle_tree *tree);

/** random_tree - number of a tree that is there */
unsigned random_tree(struct world *world);

/** random_snapshot - one that is open, or NULL */
struct snapshot *random_snapshot(struct world *world);

/** world_end_snapshots - end all of them, and abort the read-write transactions */
void world_end_snapshots(struct world *world);

/* txns.c: read-write transactions */
void op_txn(struct world *world);
/** world_txns_changed - a key was changed beside the open ones; world_changed() calls it */
void world_txns_changed(unsigned tree, struct bwt_slice key);
/** world_end_txns - abort the open ones; world_end_snapshots() calls it */
void world_end_txns(void);

#endif
