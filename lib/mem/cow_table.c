/* SPDX-License-Identifier: MIT */
/*
 * cow_table.c - copy-on-first-write of 512-word segments (protocol and invariants in the header)
 */
#include "mem/cow_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/testpoint.h"
#include "bwt.h"
#include "sys/map.h"

struct cow_copy {
	uint64_t touched; /* of the segment, before the interval of the copy */
	uint64_t words[COW_SEGMENT_WORDS];
};

static uint64_t mark_of(uint64_t interval)
{
	return interval << 1 | 1;
}

static bool is_pointer(uint64_t copy)
{
	return copy != 0 && (copy & 1) == 0;
}

int cow_init(struct cow_table *table, uint64_t capacity, const _Atomic(uint64_t) *interval)
{
	uint64_t segments = (capacity + COW_SEGMENT_WORDS - 1) / COW_SEGMENT_WORDS;

	table->capacity = segments * COW_SEGMENT_WORDS;
	table->interval = interval;
	atomic_init(&table->copies_end, 0);
	table->words = sys_reserve(table->capacity * sizeof *table->words);
	table->segments = sys_reserve(segments * sizeof *table->segments);
	if (table->words != NULL && table->segments != NULL)
		return BWT_OK;
	cow_deinit(table);
	return -ENOMEM;
}

void cow_deinit(struct cow_table *table)
{
	uint64_t segments = table->capacity / COW_SEGMENT_WORDS;
	uint64_t copies = atomic_load_explicit(&table->copies_end, memory_order_relaxed);

	for (uint64_t i = 0; table->segments != NULL && i < copies; i++) {
		uint64_t copy = atomic_load_explicit(&table->segments[i].copy, memory_order_relaxed);

		if (is_pointer(copy))
			free((struct cow_copy *)(uintptr_t)copy);
	}
	if (table->words != NULL)
		sys_release(table->words, table->capacity * sizeof *table->words);
	if (table->segments != NULL)
		sys_release(table->segments, segments * sizeof *table->segments);
	table->words = NULL;
	table->segments = NULL;
	atomic_store_explicit(&table->copies_end, 0, memory_order_relaxed);
}

/* RELAXED: a torn picture is recognised by the copy word (T2), loads before it by the fences there. */
static void read_words(const struct cow_table *table, uint64_t segment, uint64_t *words)
{
	for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++)
		words[i] = atomic_load_explicit(&table->words[segment * COW_SEGMENT_WORDS + i],
		                                memory_order_acquire);
}

static void note_copy(struct cow_table *table, uint64_t index)
{
	uint64_t end = atomic_load_explicit(&table->copies_end, memory_order_relaxed);

	while (end <= index &&
	       !atomic_compare_exchange_weak_explicit(&table->copies_end, &end, index + 1,
	                                              memory_order_relaxed, memory_order_relaxed))
		;
}

bool cow_touch_slow(struct cow_table *table, uint64_t index, uint64_t interval)
{
	struct cow_segment *segment = &table->segments[index];
	uint64_t seen = atomic_load_explicit(&segment->copy, memory_order_acquire);

	if (TEST_FAULT("cow_no_copy"))
		return true;
	/* Interval 1 began with opening: what is on disk is the picture, nobody asks for another. */
	while (interval > 1 && !is_pointer(seen) && seen != mark_of(interval)) {
		struct cow_copy *copy = TEST_FAULT("cow_no_memory") ? NULL : malloc(sizeof *copy);

		if (copy == NULL)
			return false;
		copy->touched = atomic_load_explicit(&segment->touched, memory_order_relaxed);
		read_words(table, index, copy->words);
		TEST_YIELD("cow_publish");
		/* ACQ_REL: the copy is complete before it is found; only then may anybody change a word. */
		if (atomic_compare_exchange_strong_explicit(
			    &segment->copy, &seen, (uint64_t)(uintptr_t)copy, memory_order_acq_rel,
			    memory_order_acquire)) {
			note_copy(table, index);
			break;
		}
		free(copy);
	}
	atomic_store_explicit(&segment->touched, interval, memory_order_release);
	return true;
}

void cow_collect(struct cow_table *table, uint64_t index, uint64_t since, uint64_t *words, bool *dirty)
{
	struct cow_segment *segment = &table->segments[index];
	uint64_t interval = atomic_load_explicit(table->interval, memory_order_relaxed);
	uint64_t seen = atomic_load_explicit(&segment->copy, memory_order_acquire);
	struct cow_copy *copy;
	uint64_t touched;

	BWT_ASSERT(seen != mark_of(interval));
	if (!is_pointer(seen)) {
		touched = atomic_load_explicit(&segment->touched, memory_order_acquire);
		read_words(table, index, words);
		TEST_YIELD("cow_collect");
		/* Success: nobody had begun to change it, so touched and words are as of the cut. */
		if (atomic_compare_exchange_strong_explicit(&segment->copy, &seen,
		                                            mark_of(interval), memory_order_acq_rel,
		                                            memory_order_acquire)) {
			*dirty = touched >= since;
			return;
		}
	}
	copy = (struct cow_copy *)(uintptr_t)seen;
	memcpy(words, copy->words, sizeof copy->words);
	*dirty = copy->touched >= since;
	atomic_store_explicit(&segment->copy, mark_of(interval), memory_order_release);
	free(copy);
}

void cow_restore(struct cow_table *table, uint64_t segment, const uint64_t *words)
{
	for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++)
		atomic_store_explicit(&table->words[segment * COW_SEGMENT_WORDS + i], words[i],
		                      memory_order_relaxed);
}
