/* SPDX-License-Identifier: MIT */
/*
 * world.h - the store that the fibers work on: the library's layers up to txn/, on the region
 *
 * Pages are tiny (three entries a leaf, three children an inner page), so that a dozen keys make a tree
 * of three levels that splits all the time. Keys are 00 to 99; a value is a number in some bytes.
 *
 *   build --world_freeze()--> frozen --world_restore(), a run, world_check()--> frozen
 */
#ifndef BWT_SCHED_WORLD_H
#define BWT_SCHED_WORLD_H

#include "tests/sched/sim.h"
#include "tests/support/history.h"
#include "txn/commit.h"
#include "txn/read.h"

#define WORLD_VALUE_SIZE 40u
#define WORLD_CUTS_MAX 2u
#define WORLD_HINTS_MAX 64u

struct world_config {
	unsigned fibers;
	bool sync;                 /* durability: commits wait for a flush */
	bool large;                /* transactions: cuts may find them half-way */
	struct tree_limits limits; /* zeroes: the usual tiny ones */
};

#define WORLD_CUT_TXNS 16u

struct world_cut { /* the picture of a cut */
	bool taken;
	uint64_t lsn;
	uint64_t keys;
	uint64_t next_page;
	uint64_t extent_count;
	uint64_t open[CHUNK_KINDS];
	struct chunk_rest {
		uint64_t next, end;
	} chunk[SIM_FIBERS_MAX + 1][CHUNK_KINDS];
	struct cut_txn { /* descriptors in use: the references to them, and what they mean (0: aborted) */
		uint64_t ref, lsn;
	} txn[WORLD_CUT_TXNS];
	unsigned txn_count;
	uint64_t mapping[COW_SEGMENT_WORDS];
	uint64_t extents[COW_SEGMENT_WORDS];
};

struct world {
	struct store store;
	struct tree *tree;
	pthread_mutex_t lock;
	struct epoch_slot *slot;     /* of the set-up and the checks */
	uint32_t live;               /* allocations when it was frozen */
	uint64_t events[STAT_COUNT]; /* the same */
	bool large;
	uint64_t log_start; /* log_tail when it was frozen */
	struct work_queue queue;
	uint8_t pushed[WORLD_HINTS_MAX], taken[WORLD_HINTS_MAX];
	unsigned taken_count;
	unsigned cut_count;
	struct world_cut cut[WORLD_CUTS_MAX];
};

extern struct world *world;

/** world_init, world_deinit - once */
void world_init(void);
void world_deinit(void);
/** world_build - an empty store; each fiber has a thread slot and a delta chunk already */
void world_build(const struct world_config *config);
void world_freeze(void);
void world_restore(void);
/** world_events - add the store's counters (base/stats.h) since world_freeze() */
void world_events(uint64_t events[STAT_COUNT]);

struct world_op { /* an operation with its own bytes */
	struct commit_op op;
	char key[4];
	uint8_t value[WORLD_VALUE_SIZE];
};
void world_op_make(struct world_op *op, enum commit_kind kind, unsigned key, history_value value);
/** world_value - the number in a value that was read */
history_value world_value(const struct bwt_buf *value);

/** world_commit - as the running fiber; the code of commit_one(), its record's end to *@lsn */
int world_commit(enum commit_kind kind, unsigned key, history_value value,
                 const history_value *expected, bool durable, uint64_t *lsn);
/** world_get - *@value: what @snapshot sees of @key, 0: nothing */
int world_get(uint64_t snapshot, unsigned key, history_value *value);
/**
 * world_scan - leaf by leaf: @leaf is told the keys [@from, @to) that a leaf covers, and their values; its
 *              stamps are those of before and after the look at that leaf
 */
void world_scan(uint64_t snapshot,
                void (*leaf)(void *ctx, unsigned from, unsigned to, const history_value *values,
                             uint32_t begin, uint32_t end),
                void *ctx);
/** world_consolidate - the leaf of @key (the page of @level above it), now */
void world_consolidate(unsigned key, unsigned level, bool abort_pending);
/** world_shrink - as tree_after_write() does when a leaf was consolidated: merge it if little is left */
void world_shrink(unsigned key);
/** world_reclaim - what may be reused is overwritten at once, so that a reader of it is found out */
void world_reclaim(void);
/** world_cut - the cut of a checkpoint, and the collection of what it cut */
void world_cut(void);
/** world_chunk - close the chunk of @kind and take another one */
void world_chunk(unsigned kind);
/** world_leave - do so until the chunk lies in another extent than before */
void world_leave(unsigned kind);
/** world_clean - move what lives in sealed extents elsewhere, as db/space.c does */
void world_clean(void);
/** world_push, world_take - the queue of work, beside the tree: hints are numbers below WORLD_HINTS_MAX, each once */
void world_push(unsigned hint);
/** until @count were taken by all together; sleeps while there are none */
void world_take(unsigned count);
/** world_tree - make another tree of some pages, and free it */
void world_tree(unsigned keys);

/**
 * world_check - everything that must hold when nobody runs: slots, gate, tree, counts, live bytes, ids, log,
 *               pictures, and the history; ends the run by sim_fail() at the first thing that does not
 */
void world_check(struct history *history, const bool keys[HISTORY_KEYS]);

#endif
