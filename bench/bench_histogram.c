/* SPDX-License-Identifier: MIT */
/*
 * bench_histogram.c - log-linear counters (H1, H2 of bench_histogram.h)
 *
 * Slot of a value v >= 64 with its highest bit at e: row e - 5, and in the row the 6 bits below
 * the highest. Row 0 holds the values below 64 one by one.
 */
#include "bench_histogram.h"

#include <math.h>

static unsigned slot_of(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_SUB_COUNT)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift + 1) * HISTOGRAM_SUB_COUNT +
	       ((unsigned)(value >> shift) & (HISTOGRAM_SUB_COUNT - 1));
}

static uint64_t slot_upper(unsigned slot)
{
	const unsigned row = slot / HISTOGRAM_SUB_COUNT;
	const uint64_t column = slot % HISTOGRAM_SUB_COUNT;

	if (row == 0)
		return column;
	return ((HISTOGRAM_SUB_COUNT + column + 1) << (row - 1)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	const uint64_t limit = (1ull << HISTOGRAM_VALUE_BITS) - 1;

	histogram->counts[slot_of(value < limit ? value : limit)]++;
	histogram->total++;
	if (value > histogram->max)
		histogram->max = value;
}

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
		histogram->counts[i] += from->counts[i];
	histogram->total += from->total;
	if (from->max > histogram->max)
		histogram->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
	const uint64_t wanted = (uint64_t)ceil(percent / 100.0 * (double)histogram->total);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_SLOTS && histogram->total > 0; i++) {
		seen += histogram->counts[i];
		if (seen > 0 && seen >= wanted)
			return slot_upper(i) < histogram->max ? slot_upper(i) : histogram->max;
	}
	return histogram->max;
}
