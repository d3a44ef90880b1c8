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
 * @clean: the store is being closed: nobody else is inside, and nothing is written to the log any more (L6)
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
struct checkpoint_pin {          /* a durable checkpoint that counts as one more in I8 (K3) */
	struct superblock super; /* as it was written */
	unsigned slot;           /* where */
	uint64_t log_from;       /* the log from here on belongs to it */
	uint64_t *dead_files; /* value-log files that nothing of it refers to, nor the log from its cut on */
	unsigned dead_count;
};
/**
 * checkpoint_pin - keep all that the newest durable checkpoint reaches, and the log from its cut on
 * @pin:    out; checkpoint_unpin() it
 * Returns: BWT_OK; BWT_BUSY: another one is pinned; BWT_IO, BWT_CORRUPT, -ENOMEM
 * Threads: the caller serialises it with checkpoint_take()
 */
int checkpoint_pin(const struct store *store, struct checkpointer *checkpointer,
                   struct checkpoint_pin *pin);
/** What only it kept goes with the next checkpoint. Serialised as checkpoint_pin(). */
void checkpoint_unpin(struct checkpointer *checkpointer, struct checkpoint_pin *pin);
/** Is one pinned? Serialised as checkpoint_pin(). */
bool checkpoint_pinned(const struct checkpointer *checkpointer);
void checkpointer_free(struct checkpointer *checkpointer);

#endif
