/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.h - a consistent picture of the store, written while readers and writers go on
 *
 *   cut       gate closed: L = log_tail, interval + 1, small state noted; gate open (I10)
 *   wait      until durable_lsn reached L, values included, in every durability mode (K2)
 *   collect   dirty segments of the three tables into image blocks in image extents
 *   sync      the arena: image blocks, and every block appended since the last time
 *   publish   superblock k in the slot that checkpoint k-1 does not use
 *   release   what only image k-2 reached; log below image k-1's cut; files of dead values
 */
#ifndef BWT_RECOVERY_CHECKPOINT_H
#define BWT_RECOVERY_CHECKPOINT_H

#include "txn/store.h"

struct checkpointer; /* knows the last two images; one per writable store */

/**
 * checkpoint_take - one checkpoint; one at a time (the caller serialises)
 * @clean: the store is being closed: nobody else is inside
 * Returns: BWT_OK; BWT_BUSY: the gate did not drain, try again later; BWT_FULL, BWT_IO, -ENOMEM (the changes join
 *          the next one; BWT_IO is final for the store)
 * Blocks:  on the disk
 */
int checkpoint_take(struct store *store, struct checkpointer *checkpointer, struct epoch_slot *slot,
                    bool clean);
/** Log and arena bytes since the newest cut, its LSN, the number of checkpoints since open: for triggers and bwt_stat. */
struct checkpoint_state {
	uint64_t number;
	uint64_t count;
	uint64_t start_lsn;
	uint64_t log_bytes;
	uint64_t allocated_bytes;
	uint64_t taken_ns;
};
void checkpoint_state(const struct store *store, const struct checkpointer *checkpointer,
                      struct checkpoint_state *state);
void checkpointer_free(struct checkpointer *checkpointer);

#endif
