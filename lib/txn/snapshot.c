/* SPDX-License-Identifier: MIT */
/*
 * snapshot.c - slots of live snapshots (S1 in the header)
 *
 * Acquiring is a CAS on a slot of one's own, a fence and a load; slots are found from a hint that each
 * thread keeps, so that threads do not fight over the first ones.
 */
#include "txn/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"

#define SNAPSHOT_SLOTS_MAX (SNAPSHOT_BLOCK * SNAPSHOT_BLOCKS_MAX)

static _Thread_local uint32_t slot_hint;

void snapshots_init(struct snapshots *snapshots)
{
	memset(snapshots, 0, sizeof *snapshots);
}

void snapshots_deinit(struct snapshots *snapshots)
{
	for (unsigned b = 0; b < SNAPSHOT_BLOCKS_MAX; b++)
		free(atomic_load_explicit(&snapshots->blocks[b], memory_order_relaxed));
}

static struct snapshot_slot *block_at(const struct snapshots *snapshots, unsigned b)
{
	return atomic_load_explicit(&snapshots->blocks[b], memory_order_acquire);
}

/* Block @b, made on first need; the loser of a race frees its own. */
static struct snapshot_slot *block_make(struct snapshots *snapshots, unsigned b)
{
	struct snapshot_slot *block = block_at(snapshots, b), *fresh;

	if (block != NULL)
		return block;
	fresh = aligned_alloc(CACHE_LINE_SIZE, SNAPSHOT_BLOCK * sizeof *fresh);
	if (fresh == NULL)
		return NULL;
	memset(fresh, 0, SNAPSHOT_BLOCK * sizeof *fresh);
	if (atomic_compare_exchange_strong_explicit(&snapshots->blocks[b], &block, fresh,
	                                            memory_order_acq_rel, memory_order_acquire))
		return fresh;
	free(fresh);
	return block;
}

/* SEQ_CST: a scanner that does not see the slot began before it was marked (S1). */
static bool slot_claim(struct snapshots *snapshots, struct snapshot_slot *slot, uint32_t index)
{
	uint64_t vacant = 0;
	uint32_t count = atomic_load_explicit(&snapshots->count, memory_order_seq_cst);

	if (atomic_load_explicit(&slot->lsn, memory_order_relaxed) != 0)
		return false;
	while (count <= index &&
	       !atomic_compare_exchange_weak_explicit(&snapshots->count, &count, index + 1,
	                                              memory_order_seq_cst, memory_order_seq_cst))
		continue;
	return atomic_compare_exchange_strong_explicit(&slot->lsn, &vacant, SNAPSHOT_ACQUIRING,
	                                               memory_order_seq_cst, memory_order_relaxed);
}

int snapshot_acquire(struct snapshots *snapshots, uint64_t (*clock)(void *ctx), void *ctx,
                     struct snapshot_slot **out)
{
	/* Claimed slots first, so that the scanned range stays short. */
	uint32_t count = atomic_load_explicit(&snapshots->count, memory_order_acquire);
	uint64_t early = TEST_FAULT("snapshot_clock_early") ? clock(ctx) : 0;

	for (uint32_t tried = 0; tried < SNAPSHOT_SLOTS_MAX; tried++) {
		uint32_t index = tried < count ? (slot_hint + tried) % count : tried;
		struct snapshot_slot *block = block_make(snapshots, index / SNAPSHOT_BLOCK);
		struct snapshot_slot *slot;

		if (block == NULL)
			return -ENOMEM;
		slot = &block[index % SNAPSHOT_BLOCK];
		if (!slot_claim(snapshots, slot, index))
			continue;
		slot_hint = index;
		atomic_store_explicit(&slot->begun_ns, sys_now_ns(), memory_order_relaxed);
		atomic_store_explicit(&slot->thread, sys_thread_id(), memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
		atomic_store_explicit(&slot->lsn, early != 0 ? early : clock(ctx),
		                      memory_order_seq_cst);
		*out = slot;
		return BWT_OK;
	}
	return BWT_BUSY;
}

void snapshot_release(struct snapshot_slot *slot)
{
	atomic_store_explicit(&slot->lsn, 0, memory_order_release);
}

static int compare_lsn(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* More snapshots than HORIZON_MAX: those that found no place are covered by lowering `future`. */
static void horizon_add(struct horizon *horizon, uint64_t lsn)
{
	if (lsn >= horizon->future)
		return;
	if (horizon->count < HORIZON_MAX)
		horizon->lsn[horizon->count++] = lsn;
	else
		horizon->future = lsn;
}

static void horizon_sort(struct horizon *horizon)
{
	unsigned kept = 0;

	if (horizon->count > 1)
		qsort(horizon->lsn, horizon->count, sizeof horizon->lsn[0], compare_lsn);
	for (unsigned i = 0; i < horizon->count; i++)
		if (horizon->lsn[i] < horizon->future &&
		    (kept == 0 || horizon->lsn[i] != horizon->lsn[kept - 1]))
			horizon->lsn[kept++] = horizon->lsn[i];
	horizon->count = kept;
}

void snapshots_horizon(struct snapshots *snapshots, uint64_t (*clock)(void *ctx), void *ctx,
                       struct horizon *horizon)
{
	uint32_t count;

	horizon->future = clock(ctx); /* before the slots: S1 */
	horizon->count = 0;
	atomic_thread_fence(memory_order_seq_cst);
	count = atomic_load_explicit(&snapshots->count, memory_order_seq_cst);
	for (uint32_t i = 0; i < count; i++) {
		struct snapshot_slot *block = block_at(snapshots, i / SNAPSHOT_BLOCK);
		uint64_t lsn;

		if (block == NULL)
			continue;
		lsn = atomic_load_explicit(&block[i % SNAPSHOT_BLOCK].lsn, memory_order_seq_cst);
		if (lsn == SNAPSHOT_ACQUIRING) {
			if (TEST_FAULT("horizon_ignores_acquiring"))
				continue;
			horizon->future =
				0; /* it may stand anywhere below the clock: keep everything */
			horizon->count = 0;
			return;
		}
		if (lsn != 0)
			horizon_add(horizon, lsn);
	}
	horizon_sort(horizon);
	if (TEST_FAULT("horizon_clock_late"))
		horizon->future = clock(ctx);
}

void snapshots_look(struct snapshots *snapshots, struct snapshot_info *info)
{
	uint32_t count = atomic_load_explicit(&snapshots->count, memory_order_acquire);

	*info = (struct snapshot_info){0};
	for (uint32_t i = 0; i < count; i++) {
		struct snapshot_slot *block = block_at(snapshots, i / SNAPSHOT_BLOCK), *slot;
		uint64_t lsn;

		if (block == NULL)
			continue;
		slot = &block[i % SNAPSHOT_BLOCK];
		lsn = atomic_load_explicit(&slot->lsn, memory_order_acquire);
		if (lsn == 0)
			continue;
		info->live++;
		if (lsn == SNAPSHOT_ACQUIRING || (info->lsn != 0 && lsn >= info->lsn))
			continue;
		info->lsn = lsn;
		info->begun_ns = atomic_load_explicit(&slot->begun_ns, memory_order_relaxed);
		info->thread = atomic_load_explicit(&slot->thread, memory_order_relaxed);
	}
}
