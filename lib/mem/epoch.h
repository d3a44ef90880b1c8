/* SPDX-License-Identifier: MIT */
/*
 * epoch.h - thread slots, pins, and the writer gate
 *
 * Every thread that works on a store has a slot, taken at its first call and given back when the
 * thread ends. Pinning is one exchange on the slot's word:
 *
 *   state = epoch << 2 | GATE | PINNED          0: outside
 *
 *   E1  What was unlinked before epoch e was advanced past it may be reused when no slot is pinned at
 *       an epoch <= e. A thread pins before it loads any mapping word, and the exchange is seq_cst, so
 *       either the reclaimer sees the pin, or the thread sees the unlinking.
 *   E2  While the gate is closed nobody is inside it: entering is exchange (GATE set), then a load of
 *       `closed`; closing is a store of `closed`, then a scan of the slots. Both seq_cst (Dekker).
 *   E3  A gate section never blocks. One that lasts (a stopped thread) makes the closer give up. A gate that
 *       stays closed (a stopped closer) is opened by those who wait; the closer finds out when it opens it.
 *
 * Pins do not nest: the public functions pin, everything below says "the caller is pinned".
 */
#ifndef BWT_MEM_EPOCH_H
#define BWT_MEM_EPOCH_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/testpoint.h"
#include "mem/block.h"
#include "sys/map.h"
#include "sys/thread.h"

#define EPOCH_SLOTS_MAX 8192u /* threads inside one store at once */
#define EPOCH_SLOT_BLOCK                                                                           \
	64u            /* slots are allocated in blocks of this many and never freed before close */
#define CHUNK_KINDS 3u /* enum chunk_kind in extent.h */

#define GATE_PATIENCE_NS                                                                           \
	((uint64_t)1000 * 1000 * 1000) /* for a gate that stays closed; then whoever waits opens it */

#define EPOCH_PINNED 1u
#define EPOCH_GATE 2u

struct chunk { /* a stretch of an open extent that one slot fills front to back; owner: the slot's thread */
	_Atomic(uint64_t) next; /* offset of the next free byte; 0: no chunk. Read by the checkpointer in a closed gate */
	uint64_t end;
};

struct epoch_slot {
	_Alignas(64) _Atomic(uint64_t) state; /* written by the owner, read by closer and reclaimer */
	_Atomic(uint32_t) taken; /* 1: some thread owns it (CAS 0 -> 1; store 0 at exit) */
	uint32_t index;
	struct epoch *epoch;
	struct chunk chunk[CHUNK_KINDS];
	_Alignas(64) uint64_t seen_lsn; /* owner only: end of the newest version read or committed (C7) */
	uint64_t random;                /* owner only: state of its generator (sys/backoff.h), not 0 */
	uint64_t heat_lsn; /* owner only: the clock when it last looked at a chain's age (tree/heat.h) */
	uint32_t heat; /* owner only: chains read */
	uint16_t untimed[2]; /* owner only: gets, commits until one is timed (db/latency.h) */
	void *scratch; /* owner only: the tree's working memory, freed with the slot */
	size_t scratch_size;
	/* Value-log files from this number on may hold a value that the owner has appended and not published yet,
	 * or found under a pin and not read yet; 0: none. Owner: store vlog_append_floor() SEQ_CST before appending,
	 * or the file of the reference before unpinning, 0 RELEASE after publishing or reading. The checkpointer
	 * unlinks no file at or above it (recovery/value_files.c). */
	_Atomic(uint64_t) value_hold;
};

struct epoch {
	_Alignas(64) _Atomic(uint64_t) now; /* current epoch, from 1; advanced by reclaimers */
	_Alignas(64) _Atomic(uint32_t)
		closed; /* number of the closing that closed the gate; 0: it is open; a futex word */
	uint32_t closings;            /* closer only: the number of the last one */
	_Atomic(uint32_t) slot_count; /* slots ever handed out: [0, slot_count) are scanned */
	_Atomic(struct epoch_slot *) blocks[EPOCH_SLOTS_MAX / EPOCH_SLOT_BLOCK];
	struct sys_tls *tls;
	const struct sys_map *persist; /* of the arena on DAX, else NULL; set before any thread comes */
	uint64_t serial;               /* of this epoch among all ever made: see epoch_slot() */
};

int epoch_init(struct epoch *epoch);
void epoch_deinit(struct epoch *epoch); /* no thread is inside, none comes */

/** This thread's slot, taken on first use. NULL: all EPOCH_SLOTS_MAX are taken, or no memory. */
struct epoch_slot *epoch_slot_slow(struct epoch *epoch);

struct epoch_cache { /* the slot that this thread used last */
	uint64_t serial;
	struct epoch_slot *slot;
};
extern _Thread_local struct epoch_cache epoch_cache;

/**
 * epoch_slot_take - a slot that belongs to no thread, but to something that one thread at a time works on
 * Returns: it, for epoch_slot_give_back(); NULL: all are taken, or no memory
 */
struct epoch_slot *epoch_slot_take(struct epoch *epoch);
void epoch_slot_give_back(struct epoch_slot *slot);

static inline struct epoch_slot *epoch_slot(struct epoch *epoch)
{
	return epoch_cache.serial == epoch->serial ? epoch_cache.slot : epoch_slot_slow(epoch);
}

/** SEQ_CST: see E1. The epoch may be stale by the time it is stored; that only keeps more. */
static inline void epoch_pin(struct epoch_slot *slot)
{
	uint64_t now = atomic_load_explicit(&slot->epoch->now, memory_order_acquire);

	BWT_ASSERT(atomic_load_explicit(&slot->state, memory_order_relaxed) == 0);
	if (TEST_FAULT("pin_no_fence"))
		atomic_store_explicit(&slot->state, now << 2 | EPOCH_PINNED, memory_order_release);
	else
		atomic_exchange_explicit(&slot->state, now << 2 | EPOCH_PINNED, memory_order_seq_cst);
}

static inline void epoch_unpin(struct epoch_slot *slot)
{
	atomic_store_explicit(&slot->state, 0, memory_order_release);
}

static inline bool epoch_pinned(const struct epoch_slot *slot)
{
	return atomic_load_explicit(&slot->state, memory_order_relaxed) != 0;
}

static inline bool epoch_in_gate(const struct epoch_slot *slot)
{
	return (atomic_load_explicit(&slot->state, memory_order_relaxed) & EPOCH_GATE) != 0;
}

/**
 * gate_try_enter - from pinned to pinned and inside the gate
 * Returns: false when the gate is closed (still pinned, outside): unpin, gate_wait(), start over
 */
static inline bool gate_try_enter(struct epoch_slot *slot)
{
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

	BWT_ASSERT((state & EPOCH_PINNED) != 0 && (state & EPOCH_GATE) == 0);
	atomic_exchange_explicit(&slot->state, state | EPOCH_GATE, memory_order_seq_cst);
	if (atomic_load_explicit(&slot->epoch->closed, memory_order_seq_cst) == 0 ||
	    TEST_FAULT("gate_unlooked"))
		return true;
	atomic_store_explicit(&slot->state, state, memory_order_release);
	return false;
}

/** The lines that this thread flushed are durable (sys/persist.c). */
void gate_drain(const struct epoch *epoch);

/**
 * RELEASE: all that was done inside is visible to the closer that sees the flag gone, and on DAX durable:
 * a fence of the checkpoint would not wait for lines that others flushed.
 */
static inline void gate_leave(struct epoch_slot *slot)
{
	uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

	if (slot->epoch->persist != NULL)
		gate_drain(slot->epoch);
	atomic_store_explicit(&slot->state, state & ~(uint64_t)EPOCH_GATE, memory_order_release);
}

/** Pin and enter, waiting while the gate is closed. The thread was not pinned. */
void gate_enter(struct epoch_slot *slot);
/** Wait until the gate is open, GATE_PATIENCE_NS at most; pinned or not (a closer never waits for pins), not inside it. */
void gate_wait(struct epoch *epoch);
/** Close it and drain. false: somebody stayed inside for @timeout_ns; it is open again. One closer at a time. */
bool gate_close(struct epoch *epoch, uint64_t timeout_ns);
/** false: somebody else has opened it meanwhile (E3), and what was seen since gate_close() is no picture of one instant. */
bool gate_open(struct epoch *epoch);

/** Advance the epoch and return the one that ended: what was unlinked before this call carries it. */
uint64_t epoch_advance(struct epoch *epoch);
/** Smallest pinned epoch; UINT64_MAX when nobody is pinned. What carries a smaller one may be reused (E1). */
uint64_t epoch_oldest(struct epoch *epoch);
/** Value-log files at or above this number are held by some thread (epoch_slot.value_hold); UINT64_MAX: none is. */
uint64_t epoch_lowest_hold(struct epoch *epoch);
/** Slot @index < slot_count, for scans; NULL while its block is being made. */
struct epoch_slot *epoch_slot_at(struct epoch *epoch, uint32_t index);

#endif
