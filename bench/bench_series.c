/* SPDX-License-Identifier: MIT */
/*
 * bench_series.c - slots of time, of which two become one (S1, S2)
 */
#include "bench_series.h"

#include <string.h>

/* 0 to 3 have a counter each, then four for each power of two. */
static unsigned counter_of(uint64_t value)
{
	unsigned exponent;
	unsigned counter;

	if (value < 4)
		return (unsigned)value;
	exponent = 63u - (unsigned)__builtin_clzll(value);
	counter = (exponent - 1) * 4 + (unsigned)(value >> (exponent - 2) & 3);
	return counter < SERIES_COUNTERS ? counter : SERIES_COUNTERS - 1;
}

/* The largest value that belongs to @counter. */
static uint64_t counter_end(unsigned counter)
{
	const unsigned exponent = counter / 4 + 1;

	return counter < 4 ? counter : ((uint64_t)(counter % 4 + 5) << (exponent - 2)) - 1;
}

static void add_slot(struct series_slot *to, const struct series_slot *from)
{
	to->ops += from->ops;
	to->timed += from->timed;
	to->max_ns = from->max_ns > to->max_ns ? from->max_ns : to->max_ns;
	for (unsigned i = 0; i < SERIES_COUNTERS; i++)
		to->counts[i] += from->counts[i];
}

/* Two slots become one. */
static void lengthen(struct series *series)
{
	const size_t half = (series->used + 1) / 2;

	for (size_t i = 0; i < half; i++) {
		const struct series_slot second = 2 * i + 1 < series->used ? series->slots[2 * i + 1]
		                                                           : (struct series_slot){0};

		series->slots[i] = series->slots[2 * i];
		add_slot(&series->slots[i], &second);
	}
	memset(&series->slots[half], 0, (series->used - half) * sizeof series->slots[0]);
	series->used = half;
	series->interval_ns *= 2;
}

void series_init(struct series *series)
{
	memset(series, 0, sizeof *series);
	series->interval_ns = SERIES_INTERVAL_NS;
}

void series_add(struct series *series, uint64_t at_ns, uint64_t ops_done, uint64_t latency_ns)
{
	struct series_slot *slot;

	while (at_ns / series->interval_ns >= SERIES_SLOTS)
		lengthen(series);
	slot = &series->slots[at_ns / series->interval_ns];
	if (series->used <= at_ns / series->interval_ns)
		series->used = at_ns / series->interval_ns + 1;
	slot->ops += ops_done - series->ops_last;
	series->ops_last = ops_done;
	slot->timed++;
	slot->max_ns = latency_ns > slot->max_ns ? latency_ns : slot->max_ns;
	slot->counts[counter_of(latency_ns)]++;
}

void series_merge(struct series *series, struct series *from)
{
	while (series->interval_ns < from->interval_ns)
		lengthen(series);
	while (from->interval_ns < series->interval_ns)
		lengthen(from);
	for (size_t i = 0; i < from->used; i++)
		add_slot(&series->slots[i], &from->slots[i]);
	series->used = from->used > series->used ? from->used : series->used;
}

uint64_t series_percentile(const struct series_slot *slot, double percent)
{
	const double wanted = (double)slot->timed * percent / 100;
	uint64_t seen = 0;

	for (unsigned i = 0; i < SERIES_COUNTERS && slot->timed > 0; i++) {
		seen += slot->counts[i];
		if (seen > 0 && (double)seen >= wanted)
			return counter_end(i) < slot->max_ns ? counter_end(i) : slot->max_ns;
	}
	return slot->max_ns;
}

void series_mark(struct series_marks *marks, uint64_t at_ns, uint64_t checkpoints)
{
	if (checkpoints > marks->seen && marks->count < SERIES_MARKS_MAX)
		marks->at_ns[marks->count++] = at_ns;
	marks->seen = checkpoints;
}
