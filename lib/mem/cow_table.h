/* SPDX-License-Identifier: MIT */
/*
 * cow_table.h - a growing array of 64-bit words with a consistent picture "as of the cut"
 *
 * The mapping table, the extent table and the value log's live bytes are such tables. A checkpoint
 * cuts them all at one instant, in a closed gate, by counting up the interval number that they
 * share. From then on the first writer to change a segment of 512 words publishes a copy of it as
 * it was; the checkpointer takes that copy, or the words themselves where nobody changed them, while
 * writers go on. A segment's copy word goes, within interval i:
 *
 *   old mark --CAS by the first writer--> pointer to the copy --checkpointer--> mark(i)
 *   old mark --CAS by the checkpointer, who has read the words before---------> mark(i)
 *
 *   T1  Words change only inside the gate, after cow_touch() of their segment.
 *   T2  The picture is safe (pointer or mark(i)) before any word changes in interval i.
 *   T3  A pointer is always the current interval's: each checkpoint, failed ones too, collects every
 *       segment before the next cut. Only the checkpointer follows or frees it.
 *
 * Source: design.md section 7, K1.
 */
#ifndef BWT_MEM_COW_TABLE_H
#define BWT_MEM_COW_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define COW_SEGMENT_WORDS 512u

struct cow_segment {
	_Atomic(uint64_t) touched; /* interval in which it last changed; 0: not since it was restored */
	_Atomic(uint64_t) copy; /* 0, mark(i) = i << 1 | 1, or the address of a struct cow_copy */
};

struct cow_table {
	_Atomic(uint64_t) *words;     /* reserved memory, zero until touched */
	struct cow_segment *segments; /* reserved memory */
	uint64_t capacity;            /* words, a multiple of COW_SEGMENT_WORDS */
	const _Atomic(uint64_t) *interval; /* from 1; counted up in a closed gate; shared by all tables */
	_Atomic(uint64_t) copies_end; /* above every segment that was ever copied */
};

int cow_init(struct cow_table *table, uint64_t capacity, const _Atomic(uint64_t) *interval);
void cow_deinit(struct cow_table *table); /* copies that no checkpoint came to collect go, too */

bool cow_touch_slow(struct cow_table *table, uint64_t segment, uint64_t interval);

/**
 * cow_touch - make the segment of word @index ready for change; inside the gate
 * Returns: false when there is no memory for the copy; nothing may be changed then
 */
static inline bool cow_touch(struct cow_table *table, uint64_t index)
{
	uint64_t segment = index / COW_SEGMENT_WORDS;
	uint64_t interval = atomic_load_explicit(table->interval,
	                                         memory_order_relaxed); /* fixed inside the gate */

	if (atomic_load_explicit(&table->segments[segment].touched, memory_order_acquire) == interval)
		return true;
	return cow_touch_slow(table, segment, interval);
}

static inline uint64_t cow_load(const struct cow_table *table, uint64_t index)
{
	return atomic_load_explicit(&table->words[index], memory_order_acquire);
}

/**
 * cow_collect - the words of one segment as of the newest cut; the checkpointer's call, once a cut and segment
 * @since:  interval that began with the cut of the image that this one builds on
 * @words:  out, COW_SEGMENT_WORDS
 * @dirty:  out: the segment changed between that cut and the newest
 */
void cow_collect(struct cow_table *table, uint64_t index, uint64_t since, uint64_t *words,
                 bool *dirty);
/** Recovery, alone: fill a segment; it counts as unchanged. */
void cow_restore(struct cow_table *table, uint64_t segment, const uint64_t *words);

#endif
