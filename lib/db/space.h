/* SPDX-License-Identifier: MIT */
/*
 * space.h - keeping the arena near options.space_target: when to clean, to checkpoint, to wait, to grow
 */
#ifndef BWT_DB_SPACE_H
#define BWT_DB_SPACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "mem/extent.h"

struct bwt_db;
struct clean_result;
struct store;
struct tree;

struct space {
	/* What the newest look said; any thread looks and writes them, relaxed: they are advice. */
	_Atomic(uint64_t) look_at; /* extents.allocated_bytes at which to look again */
	_Atomic(uint64_t) due; /* allocated bytes that make a checkpoint due; UINT64_MAX: the file may grow */
	_Atomic(uint64_t) low; /* free bytes below which a change waits a moment, or helps */
	_Atomic(uint64_t) ahead; /* free bytes below which workers let the file grow; 0: it should not */
	_Atomic(uint32_t) growing; /* 1: one of them does */
	_Atomic(uint32_t) tight;   /* 1: the file is about as large as it can be */
	_Atomic(uint32_t) behind;  /* SPACE_* */
	_Atomic(uint32_t) bell; /* futex word of those who wait for free extents, counted up to wake them */
	_Atomic(uint32_t) waiters;
	/* Making space for who found the store full: one at a time. */
	pthread_mutex_t relief_lock;
	_Atomic(uint64_t) relief_count;
	uint64_t futile_allocated,
		futile_ns; /* allocated_bytes, and when, as nothing was won; under relief_lock */
	/* Making the file smaller (compact.c). */
	pthread_mutex_t compact_lock; /* one bwt_compact() at a time */
	_Atomic(uint64_t) cut_at; /* checkpoints after which the file's end may go; UINT64_MAX: it stays. checkpoint_lock */
	uint64_t shrink_ns;          /* service thread only: when it looked last, */
	uint64_t shrink_allocated;   /* allocated_bytes then, */
	unsigned shrink_tries;       /* steps since something came of them, */
	bool shrunk;                 /* and whether there was nothing to do */
	struct tree *main, *catalog; /* trees that are never dropped: found without a lock */
};

#define SPACE_ENOUGH 0u /* nothing to clean */
#define SPACE_BEHIND 1u /* background work, if there are workers */
#define SPACE_HURRY 2u  /* everybody helps */

/** space_start - the store is open: from now on changes tend to the arena's size */
void space_start(struct bwt_db *db);
/** space_checkpoint_due - after @allocated bytes since the last cut? */
bool space_checkpoint_due(const struct bwt_db *db, uint64_t allocated);
/** space_lags - should a worker let the file grow, before a change has to, and does none? */
bool space_lags(const struct bwt_db *db);
/** space_grow - by one extent, unless another thread is at it; any thread, outside the gate */
void space_grow(struct bwt_db *db);
/** space_rest - this thread sleeps now: of a store that is about full it holds nothing meanwhile. Not pinned */
void space_rest(struct bwt_db *db, struct epoch_slot *slot);
/** space_freed - extents have become free: whoever waits for them may go on */
void space_freed(struct bwt_db *db);
/** space_behind - are there extents to be emptied, as far as the newest look says? */
bool space_behind(const struct bwt_db *db);
/**
 * space_clean - empty one of the best extents, if any is worth it, and look again
 * Returns: whether one was emptied
 * Threads: not pinned, not in the gate; any locks (it takes none but by trying)
 */
bool space_clean(struct bwt_db *db, struct epoch_slot *slot);
/** space_look - survey the arena and note what follows from it */
void space_look(struct bwt_db *db);
/** space_limit - bytes that the file may have */
uint64_t space_limit(const struct bwt_db *db, const struct extents_survey *survey);
/** space_unit - bytes that the file grows by at least */
uint64_t space_unit(const struct extents_survey *survey);
/**
 * space_empty - move what lives in one extent elsewhere
 * @least:  bytes of free extents with which it goes on
 * @result: added to
 * Returns: BWT_OK; BWT_BUSY: another thread is at it, or something stays in it; BWT_FULL, BWT_IO, -ENOMEM
 */
int space_empty(struct bwt_db *db, struct epoch_slot *slot, const struct extent_pick *pick,
                enum extent_urgency urgency, uint64_t least, struct clean_result *result);
/** space_shrink - compact.c: a step towards what the file may have, if it is larger; the service thread, now and then */
void space_shrink(struct bwt_db *db, uint64_t now_ns);
/** space_relieve - store.relieve: clean and take checkpoints while that helps; not pinned, no locks */
void space_relieve(struct store *store, enum extent_urgency urgency);
/** space_tree_hold - the tree with this id, not to be dropped until space_tree_release(); NULL: none, or not now */
struct tree *space_tree_hold(void *ctx, uint32_t id);
void space_tree_release(void *ctx, struct tree *tree);

#endif
