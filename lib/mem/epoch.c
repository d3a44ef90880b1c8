/* SPDX-License-Identifier: MIT */
/*
 * epoch.c - slots, pins and the writer gate (invariants E1 to E3 in the header)
 *
 * A slot is found through a thread-local cache, so pinning costs no look-up. Slots are handed to the
 * next thread when their owner ends, chunks and working memory with them: thousands of short threads
 * need no more of them than ran at once.
 */
#include "mem/epoch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"

#define GATE_SPINS 64u /* looks at a slot before the processor is given away */

_Thread_local struct epoch_cache epoch_cache;

static _Atomic(uint64_t) epoch_serials; /* numbers of epochs made so far; never reused */

/* The owner ends: what it left in the slot is for the next one. */
static void slot_release(void *value)
{
	struct epoch_slot *slot = value;

	BWT_ASSERT(!epoch_pinned(slot));
	/* RELEASE: chunk and scratch are written before; pairs with the acquiring CAS in slot_take(). */
	atomic_store_explicit(&slot->taken, 0, memory_order_release);
}

int epoch_init(struct epoch *epoch)
{
	memset(epoch, 0, sizeof *epoch);
	atomic_init(&epoch->now, 1);
	epoch->serial = atomic_fetch_add_explicit(&epoch_serials, 1, memory_order_relaxed) + 1;
	return sys_tls_new(slot_release, &epoch->tls);
}

void epoch_deinit(struct epoch *epoch)
{
	sys_tls_free(epoch->tls);
	for (unsigned b = 0; b < EPOCH_SLOTS_MAX / EPOCH_SLOT_BLOCK; b++) {
		struct epoch_slot *block =
			atomic_load_explicit(&epoch->blocks[b], memory_order_relaxed);

		for (unsigned i = 0; block != NULL && i < EPOCH_SLOT_BLOCK; i++)
			free(block[i].scratch);
		free(block);
	}
}

/* Block @b, made on first need; two makers race by CAS and the loser frees its own. */
static struct epoch_slot *slot_block(struct epoch *epoch, unsigned b)
{
	struct epoch_slot *block = atomic_load_explicit(&epoch->blocks[b], memory_order_acquire);
	struct epoch_slot *fresh;

	if (block != NULL)
		return block;
	fresh = aligned_alloc(CACHE_LINE_SIZE, EPOCH_SLOT_BLOCK * sizeof *fresh);
	if (fresh == NULL)
		return NULL;
	memset(fresh, 0, EPOCH_SLOT_BLOCK * sizeof *fresh);
	for (unsigned i = 0; i < EPOCH_SLOT_BLOCK; i++) {
		fresh[i].epoch = epoch;
		fresh[i].index = b * EPOCH_SLOT_BLOCK + i;
	}
	if (atomic_compare_exchange_strong_explicit(&epoch->blocks[b], &block, fresh,
	                                            memory_order_acq_rel, memory_order_acquire))
		return fresh;
	free(fresh);
	return block;
}

static bool slot_take(struct epoch_slot *slot)
{
	uint32_t vacant = 0;

	if (atomic_load_explicit(&slot->taken, memory_order_relaxed) != 0)
		return false;
	return atomic_compare_exchange_strong_explicit(&slot->taken, &vacant, 1,
	                                               memory_order_acquire, memory_order_relaxed);
}

/* Scanners look at [0, slot_count): SEQ_CST, before the first pin of the slot's owner (E1, E2). */
static void slot_count_raise(struct epoch *epoch, uint32_t count)
{
	uint32_t seen = atomic_load_explicit(&epoch->slot_count, memory_order_relaxed);

	while (seen < count &&
	       !atomic_compare_exchange_weak_explicit(&epoch->slot_count, &seen, count,
	                                              memory_order_seq_cst, memory_order_relaxed))
		continue;
}

struct epoch_slot *epoch_slot_take(struct epoch *epoch)
{
	for (uint32_t i = 0; i < EPOCH_SLOTS_MAX; i++) {
		struct epoch_slot *block = slot_block(epoch, i / EPOCH_SLOT_BLOCK);
		struct epoch_slot *slot;

		if (block == NULL)
			return NULL;
		slot = &block[i % EPOCH_SLOT_BLOCK];
		if (!slot_take(slot))
			continue;
		slot->seen_lsn = 0;
		if (slot->random == 0)
			slot->random = (epoch->serial << 32 | i) * 0x9E3779B97F4A7C15ull | 1;
		slot_count_raise(epoch, i + 1);
		return slot;
	}
	return NULL;
}

void epoch_slot_give_back(struct epoch_slot *slot)
{
	slot_release(slot);
}

struct epoch_slot *epoch_slot_slow(struct epoch *epoch)
{
	struct epoch_slot *slot = sys_tls_get(epoch->tls);

	if (slot == NULL) {
		slot = epoch_slot_take(epoch);
		if (slot == NULL)
			return NULL;
		if (TEST_FAULT("epoch_no_memory") || sys_tls_set(epoch->tls, slot) < 0) {
			slot_release(slot); /* nobody would give it back when this thread ends */
			return NULL;
		}
	}
	epoch_cache = (struct epoch_cache){epoch->serial, slot};
	return slot;
}

struct epoch_slot *epoch_slot_at(struct epoch *epoch, uint32_t index)
{
	struct epoch_slot *block =
		atomic_load_explicit(&epoch->blocks[index / EPOCH_SLOT_BLOCK], memory_order_acquire);

	return block == NULL ? NULL : &block[index % EPOCH_SLOT_BLOCK];
}

uint64_t epoch_advance(struct epoch *epoch)
{
	return atomic_fetch_add_explicit(&epoch->now, 1, memory_order_seq_cst);
}

uint64_t epoch_oldest(struct epoch *epoch)
{
	/* SEQ_CST: pairs with the exchange in epoch_pin() (E1). */
	uint32_t count = atomic_load_explicit(&epoch->slot_count, memory_order_seq_cst);
	uint64_t oldest = UINT64_MAX;

	for (uint32_t i = 0; i < count; i++) {
		struct epoch_slot *slot = epoch_slot_at(epoch, i);
		uint64_t state;

		if (slot == NULL)
			continue;
		state = atomic_load_explicit(&slot->state, memory_order_seq_cst);
		if (state != 0 && state >> 2 < oldest && !TEST_FAULT("epoch_pins_unseen"))
			oldest = state >> 2;
	}
	return oldest;
}

uint64_t epoch_lowest_hold(struct epoch *epoch)
{
	/* SEQ_CST: see epoch_slot.value_hold. */
	uint32_t count = atomic_load_explicit(&epoch->slot_count, memory_order_seq_cst);
	uint64_t lowest = UINT64_MAX;

	for (uint32_t i = 0; i < count; i++) {
		const struct epoch_slot *slot = epoch_slot_at(epoch, i);
		uint64_t hold =
			slot == NULL ? 0
				     : atomic_load_explicit(&slot->value_hold, memory_order_seq_cst);

		if (hold != 0 && hold < lowest)
			lowest = hold;
	}
	return lowest;
}

/* SEQ_CST: E2; RELEASE for those who enter: what the closer did is visible, if it was the closer who opened. */
static bool open_turn(struct epoch *epoch, uint32_t turn)
{
	bool opened = atomic_compare_exchange_strong_explicit(
		&epoch->closed, &turn, 0, memory_order_seq_cst, memory_order_relaxed);

	if (opened && !TEST_FAULT("gate_no_wake"))
		sys_wake(&epoch->closed, UINT_MAX);
	return opened;
}

void gate_wait(struct epoch *epoch)
{
	uint32_t turn = atomic_load_explicit(&epoch->closed, memory_order_acquire);
	uint64_t waited, since;

	if (turn == 0)
		return;
	since = sys_now_ns();
	do {
		waited = sys_now_ns() - since;
		if (waited < GATE_PATIENCE_NS)
			sys_park(&epoch->closed, turn, GATE_PATIENCE_NS - waited);
		else if (open_turn(epoch, turn))
			return;
	} while (atomic_load_explicit(&epoch->closed, memory_order_acquire) == turn);
}

void gate_drain(const struct epoch *epoch)
{
	sys_persist_drain(epoch->persist);
}

void gate_enter(struct epoch_slot *slot)
{
	epoch_pin(slot);
	while (!gate_try_enter(slot)) {
		epoch_unpin(slot);
		gate_wait(slot->epoch);
		epoch_pin(slot);
	}
}

/* Has the owner of @slot left the gate before @deadline_ns? */
static bool slot_drain(struct epoch_slot *slot, uint64_t deadline_ns)
{
	unsigned spins = 0;

	/* SEQ_CST: pairs with the exchange in gate_try_enter() (E2); acquires what was done inside. */
	while ((atomic_load_explicit(&slot->state, memory_order_seq_cst) & EPOCH_GATE) != 0 &&
	       !TEST_FAULT("gate_no_drain")) {
		if (++spins < GATE_SPINS) {
			cpu_relax();
			continue;
		}
		if (sys_now_ns() > deadline_ns)
			return false;
		sys_yield();
	}
	return true;
}

bool gate_close(struct epoch *epoch, uint64_t timeout_ns)
{
	uint64_t deadline_ns = sys_now_ns() + timeout_ns;
	uint32_t count;

	if (++epoch->closings == 0)
		epoch->closings = 1;
	atomic_store_explicit(&epoch->closed, epoch->closings, memory_order_seq_cst);
	count = atomic_load_explicit(&epoch->slot_count, memory_order_seq_cst);
	for (uint32_t i = 0; i < count; i++) {
		struct epoch_slot *slot = epoch_slot_at(epoch, i);

		if (slot != NULL && !slot_drain(slot, deadline_ns)) {
			gate_open(epoch);
			return false;
		}
	}
	return true;
}

bool gate_open(struct epoch *epoch)
{
	return open_turn(epoch, epoch->closings) || TEST_FAULT("gate_opened_unseen");
}
