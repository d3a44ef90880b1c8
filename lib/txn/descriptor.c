/* SPDX-License-Identifier: MIT */
/*
 * descriptor.c - slots of undecided transactions (DS1 to DS3 in the header)
 *
 * Slots lie on two Treiber stacks, free and limbo, whose heads carry a tag against ABA. The limbo is
 * gone through when the free stack is empty.
 */
#include "txn/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "bwt.h"

#define GENERATION_BITS 40u

void descriptors_init(struct descriptors *descriptors, struct epoch *epoch)
{
	memset(descriptors, 0, sizeof *descriptors);
	descriptors->epoch = epoch;
}

void descriptors_deinit(struct descriptors *descriptors)
{
	for (unsigned b = 0; b < DESCRIPTORS_MAX / DESCRIPTOR_BLOCK; b++)
		free(atomic_load_explicit(&descriptors->blocks[b], memory_order_relaxed));
}

struct descriptor *descriptor_at(const struct descriptors *descriptors, uint32_t slot)
{
	struct descriptor *block = atomic_load_explicit(
		&descriptors->blocks[slot / DESCRIPTOR_BLOCK], memory_order_acquire);

	return block == NULL ? NULL : &block[slot % DESCRIPTOR_BLOCK];
}

/* ---- references ---- */

static uint64_t ref_make(uint32_t slot, uint64_t generation)
{
	uint64_t value =
		(generation & (((uint64_t)1 << GENERATION_BITS) - 1)) << DESCRIPTOR_SLOT_BITS | slot;
	uint64_t low = value << 2 | (uint64_t)WORD_DESCRIPTOR;

	return low | word_check(low);
}

uint64_t descriptor_ref(const struct descriptor *descriptor)
{
	return ref_make(descriptor->slot,
	                atomic_load_explicit(&descriptor->generation, memory_order_acquire));
}

static uint32_t ref_slot(uint64_t ref)
{
	return (uint32_t)(ref >> 2) & (DESCRIPTORS_MAX - 1);
}

_Atomic(uint64_t) *version_word(const struct descriptors *descriptors, _Atomic(uint64_t) *word,
                                uint64_t *seen)
{
	for (;;) {
		uint64_t own = atomic_load_explicit(word, memory_order_acquire);
		struct descriptor *descriptor;

		*seen = own;
		if (word_state(own) != WORD_DESCRIPTOR)
			return word;
		descriptor = descriptor_at(descriptors, ref_slot(own));
		BWT_CHECK(descriptor != NULL);
		TEST_YIELD("descriptor_read");
		if (TEST_FAULT("descriptor_no_generation")) {
			*seen = atomic_load_explicit(&descriptor->word, memory_order_acquire);
			return &descriptor->word;
		}
		if (descriptor_ref(descriptor) != own)
			continue;
		*seen = atomic_load_explicit(&descriptor->word, memory_order_acquire);
		/* The word is loaded before the second look (acquire), so both are of one use (DS3). */
		if (descriptor_ref(descriptor) == own)
			return &descriptor->word;
	}
}

/* ---- slots ---- */

static void slot_push(struct descriptors *descriptors, _Atomic(uint64_t) *stack,
                      struct descriptor *descriptor)
{
	uint64_t head = atomic_load_explicit(stack, memory_order_relaxed);
	uint64_t next;

	(void)descriptors;
	do {
		atomic_store_explicit(&descriptor->next, (uint32_t)head, memory_order_relaxed);
		next = ((head >> 32) + 1) << 32 | (descriptor->slot + 1);
	} while (!atomic_compare_exchange_weak_explicit(stack, &head, next, memory_order_release,
	                                                memory_order_relaxed));
}

static struct descriptor *slot_pop(struct descriptors *descriptors)
{
	uint64_t head = atomic_load_explicit(&descriptors->free, memory_order_acquire);

	while ((uint32_t)head != 0) {
		struct descriptor *top = descriptor_at(descriptors, (uint32_t)head - 1);
		uint64_t next = ((head >> 32) + 1) << 32 |
		                atomic_load_explicit(&top->next, memory_order_relaxed);

		if (atomic_compare_exchange_weak_explicit(&descriptors->free, &head, next,
		                                          memory_order_acquire, memory_order_acquire))
			return top;
	}
	return NULL;
}

/* From limbo to free, as far as nobody who was pinned at their end still is (DS2). */
static void reclaim(struct descriptors *descriptors)
{
	uint32_t link =
		(uint32_t)atomic_exchange_explicit(&descriptors->limbo, 0, memory_order_acquire);
	uint64_t oldest = epoch_oldest(descriptors->epoch);

	while (link != 0) {
		struct descriptor *descriptor = descriptor_at(descriptors, link - 1);

		BWT_CHECK(descriptor != NULL);
		link = atomic_load_explicit(&descriptor->next, memory_order_relaxed);
		if (descriptor->died < oldest || TEST_FAULT("descriptor_reuse_early"))
			slot_push(descriptors, &descriptors->free, descriptor);
		else
			slot_push(descriptors, &descriptors->limbo, descriptor);
	}
}

/* Block @b, made on first need; the loser of a race frees its own. */
static struct descriptor *block_make(struct descriptors *descriptors, uint32_t b)
{
	struct descriptor *block = atomic_load_explicit(&descriptors->blocks[b],
	                                                memory_order_acquire),
			  *fresh;

	if (block != NULL)
		return block;
	fresh = aligned_alloc(CACHE_LINE_SIZE, DESCRIPTOR_BLOCK * sizeof *fresh);
	if (fresh == NULL)
		return NULL;
	memset(fresh, 0, DESCRIPTOR_BLOCK * sizeof *fresh);
	for (uint32_t i = 0; i < DESCRIPTOR_BLOCK; i++)
		fresh[i].slot = b * DESCRIPTOR_BLOCK + i;
	if (atomic_compare_exchange_strong_explicit(&descriptors->blocks[b], &block, fresh,
	                                            memory_order_acq_rel, memory_order_acquire))
		return fresh;
	free(fresh);
	return block;
}

static int slot_new(struct descriptors *descriptors, struct descriptor **out)
{
	uint32_t slot = atomic_load_explicit(&descriptors->count, memory_order_relaxed);
	struct descriptor *block;

	do {
		if (slot == DESCRIPTORS_MAX)
			return BWT_BUSY;
		block = block_make(descriptors, slot / DESCRIPTOR_BLOCK);
		if (block == NULL)
			return -ENOMEM;
	} while (!atomic_compare_exchange_weak_explicit(&descriptors->count, &slot, slot + 1,
	                                                memory_order_acq_rel, memory_order_relaxed));
	*out = &block[slot % DESCRIPTOR_BLOCK];
	return BWT_OK;
}

int descriptor_take(struct descriptors *descriptors, uint64_t patience_ns, uint64_t order,
                    struct descriptor **out)
{
	struct descriptor *descriptor = slot_pop(descriptors);
	int rc = BWT_OK;

	if (descriptor == NULL) {
		reclaim(descriptors);
		descriptor = slot_pop(descriptors);
	}
	if (descriptor == NULL)
		rc = slot_new(descriptors, &descriptor);
	if (rc < 0)
		return rc;
	atomic_store_explicit(&descriptor->patience_ns, patience_ns, memory_order_relaxed);
	atomic_store_explicit(&descriptor->order, order, memory_order_relaxed);
	atomic_store_explicit(&descriptor->first_lsn, 0, memory_order_relaxed);
	/* The generation first: who finds the old one beside the new word looks again (DS3). */
	atomic_fetch_add_explicit(&descriptor->generation, 1, memory_order_acq_rel);
	atomic_store_explicit(&descriptor->word, word_make(WORD_PENDING, 0), memory_order_release);
	atomic_store_explicit(&descriptor->in_use, 1, memory_order_release);
	*out = descriptor;
	return BWT_OK;
}

/* SEQ_CST on both sides: the ringer counts, then looks for sleepers; a sleeper announces itself, then compares. */
void descriptor_ring(struct descriptor *descriptor)
{
	atomic_fetch_add_explicit(&descriptor->bell, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&descriptor->sleepers, memory_order_seq_cst) != 0)
		sys_wake(&descriptor->bell, UINT32_MAX);
}

void descriptor_done(struct descriptors *descriptors, struct descriptor *descriptor)
{
	BWT_ASSERT(word_state(atomic_load_explicit(&descriptor->word, memory_order_relaxed)) !=
	           WORD_PENDING);
	atomic_store_explicit(&descriptor->in_use, 0, memory_order_release);
	descriptor->died = epoch_advance(descriptors->epoch);
	slot_push(descriptors, &descriptors->limbo, descriptor);
}
