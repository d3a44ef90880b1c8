/* SPDX-License-Identifier: MIT */
/*
 * bench_histogram.h - latencies, log-linear, so that any percentile is known to within 1.6 percent
 *
 * Why: percentiles of a merged sample need all of it; 64 counters for each power of two hold it in
 * 18 KiB a thread, and adding to them costs two instructions more than a store.
 *
 *   H1  Values below 64 have a counter each; above, a counter spans 1/64 of its power of two.
 *   H2  total is the sum of all counters; max is exact.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_VALUE_BITS 40 /* 2^40 ns, 18 minutes; larger values count as that */
#define HISTOGRAM_SLOTS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_COUNT)

struct histogram {
	uint64_t counts[HISTOGRAM_SLOTS];
	uint64_t total;
	uint64_t max;
};

/** histogram_add - count one value */
void histogram_add(struct histogram *histogram, uint64_t value);

/** histogram_merge - add all of @from to @histogram */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/**
 * histogram_percentile - the smallest counted value that at least @percent percent are not above
 * @percent: 0..100
 * Returns: the upper end of that value's counter, at most max; 0 when nothing was counted
 */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
