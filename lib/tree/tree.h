/* SPDX-License-Identifier: MIT */
/*
 * tree.h - what the functions of a Bw-tree share
 *
 * A tree is a root page id that never changes; pages are reached through the mapping table. Below
 * the txn layer a transaction is only numbers: an LSN word, a snapshot, a horizon.
 */
#ifndef BWT_TREE_TREE_H
#define BWT_TREE_TREE_H

#include "log/pack.h"
#include "mem/extent.h"
#include "mem/work_queue.h"
#include "page/chain.h"
#include "tree/mapping.h"

#define TREE_COUNT_SHARDS 16u
#define TREE_DEPTH_MAX 32u /* levels; a fan-out of 2 over 2^32 pages */
#define HORIZON_MAX                                                                                \
	1024u /* snapshots that pruning tells apart; with more, the oldest ones keep everything */

struct tree_limits {
	uint32_t leaf_bytes;  /* a leaf larger than this is split, if it has two keys */
	uint32_t inner_bytes; /* the same for inner pages */
	uint32_t leaf_chain; /* deltas at which a leaf is consolidated; at DELTA_CHAIN_MAX it must be */
	uint32_t inner_chain;
	uint32_t large_value; /* stored bytes: a leaf that such a value is put into is consolidated; 0: none is that large */
};

struct horizon {         /* which versions somebody may still need */
	uint64_t future; /* snapshots to come are at or above it */
	unsigned count;
	uint64_t lsn[HORIZON_MAX]; /* live snapshots below `future`, ascending, distinct */
};

struct tree_env { /* one per store; set up by the db layer, constant afterwards */
	struct arena *arena;
	struct extents *extents;
	struct epoch *epoch;
	struct mapping *mapping;
	struct stats *stats;
	struct work_queue *work; /* hints for background workers; NULL: there are none */
	struct tree_limits limits;
	/* Handed down (style.md section 3): the clock (log_tail), the pruning horizon, a large value that a page is
	 * about to refer to (false: no memory to count it) and one that none refers to any more; what a
	 * version whose word refers to a transaction has come to (PENDING, COMMITTED or ABORTED; pinned), and what such
	 * a word, or an LSN from behind the cut, meant in the image that the store was opened from (COMMITTED or ABORTED). */
	uint64_t (*clock)(void *ctx);
	uint64_t (*decide)(void *ctx, _Atomic(uint64_t) *word);
	uint64_t (*settle)(void *ctx, uint64_t stored_word);
	void (*horizon)(void *ctx, struct horizon *horizon);
	bool (*value_stored)(void *ctx, const struct value_ref *ref);  /* inside the gate */
	void (*value_dropped)(void *ctx, const struct value_ref *ref); /* inside the gate */
	void *ctx;
};

struct tree_count { /* keys added less keys deleted by the threads of one shard */
	_Alignas(64) _Atomic(int64_t) keys;
};

struct tree {
	struct tree_env *env;
	uint32_t id;
	page_id root;
	_Atomic(uint32_t) codec; /* enum pack_codec of large values to come; set by bwt_tree_open(), any time */
	struct tree_count count[TREE_COUNT_SHARDS];
};

/** A new tree: one empty leaf. Enters the gate. Not reachable from anywhere but @tree. */
int tree_create(struct tree *tree, struct tree_env *env, uint32_t id, struct epoch_slot *slot);
/** @tree of an image: root and key count as stored. */
void tree_attach(struct tree *tree, struct tree_env *env, uint32_t id, page_id root, uint64_t keys);
/**
 * tree_free - give back every page of a dropped tree, many gate sections; may be cut off by a crash at any
 *             point and begun anew (a freed inner page stays behind as MAPPING_DROPPED until its parent goes)
 * Threads: nobody else uses the tree
 */
int tree_free(struct tree *tree, struct epoch_slot *slot);

/** Exact at every quiescent point (I6). */
uint64_t tree_keys(const struct tree *tree);
/** Inside the gate, by whoever published the change. */
static inline void tree_keys_add(struct tree *tree, const struct epoch_slot *slot, int64_t keys)
{
	atomic_fetch_add_explicit(&tree->count[slot->index % TREE_COUNT_SHARDS].keys, keys,
	                          memory_order_relaxed);
}

static inline enum pack_codec tree_codec(const struct tree *tree)
{
	return (enum pack_codec)atomic_load_explicit(&tree->codec, memory_order_relaxed);
}

static inline const struct block_head *tree_block(const struct tree_env *env, arena_off off)
{
	return arena_at(env->arena, off);
}

#endif
