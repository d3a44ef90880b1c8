/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - live snapshots, and what pruning may drop
 *
 *   slot: 0 free -> ACQUIRING (1) -> S -> 0
 *
 *   S1  Acquiring: store ACQUIRING, fence, load S, store S (C8). Computing the horizon: load the clock, then
 *       the slots; a slot that is ACQUIRING makes the caller keep everything. So a snapshot either is seen,
 *       or was begun after the clock was loaded and stands at or above it.
 */
#ifndef BWT_TXN_SNAPSHOT_H
#define BWT_TXN_SNAPSHOT_H

#include "tree/tree.h"

#define SNAPSHOT_BLOCK 128u
#define SNAPSHOT_BLOCKS_MAX 512u /* 65,536 snapshots at once */
#define SNAPSHOT_ACQUIRING 1u

struct snapshot_slot {
	_Alignas(64) _Atomic(uint64_t) lsn; /* 0 free, 1 acquiring, else S */
	_Atomic(uint64_t) begun_ns; /* for bwt_stat: when, and by which thread; relaxed, written by the owner */
	_Atomic(uint32_t) thread;
};

struct snapshots {
	_Atomic(struct snapshot_slot *) blocks[SNAPSHOT_BLOCKS_MAX];
	_Atomic(uint32_t) count; /* slots that may be in use */
};

void snapshots_init(struct snapshots *snapshots);
void snapshots_deinit(struct snapshots *snapshots);
/**
 * snapshot_acquire - a slot whose S is what @clock(@ctx) says
 * Returns: BWT_OK; BWT_BUSY: all slots are taken; -ENOMEM
 */
int snapshot_acquire(struct snapshots *snapshots, uint64_t (*clock)(void *ctx), void *ctx,
                     struct snapshot_slot **out);
void snapshot_release(struct snapshot_slot *slot);
static inline uint64_t snapshot_lsn(const struct snapshot_slot *slot)
{
	return atomic_load_explicit(&slot->lsn, memory_order_relaxed);
}
/** Everything that pruning must respect; @clock is asked before the slots are looked at (S1). */
void snapshots_horizon(struct snapshots *snapshots, uint64_t (*clock)(void *ctx), void *ctx,
                       struct horizon *horizon);
struct snapshot_info {   /* for people: of a moment that may be over */
	uint32_t live;   /* snapshots */
	uint32_t thread; /* of the oldest: who began it */
	uint64_t lsn;
	uint64_t begun_ns; /* as sys_now_ns() */
};

/** Number of live snapshots, and the oldest (all zero: none). */
void snapshots_look(struct snapshots *snapshots, struct snapshot_info *info);
static inline uint32_t snapshots_live(struct snapshots *snapshots)
{
	struct snapshot_info info;

	snapshots_look(snapshots, &info);
	return info.live;
}

#endif
