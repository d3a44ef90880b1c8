/* SPDX-License-Identifier: MIT */
/*
 * bench_series.h - throughput and latency over the time of a run
 *
 * Why: a median hides the second in which a store did nothing. Nobody knows how long a load will take, so the
 * slots start short and two become one whenever they are used up.
 *
 *   S1  slots[i] is of the time from i to i + 1 times interval_ns after the start; those from used on are zero.
 *   S2  A slot's counters are 4 for each power of two: a percentile is known to within 19 percent.
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <stddef.h>
#include <stdint.h>

#define SERIES_SLOTS 80u
#define SERIES_COUNTERS 160u /* up to 2^40 ns */
#define SERIES_INTERVAL_NS 20000000u
#define SERIES_MARKS_MAX 512u

struct series_slot {
	uint64_t ops;
	uint64_t timed;
	uint64_t max_ns;
	uint32_t counts[SERIES_COUNTERS];
};

struct series {
	uint64_t interval_ns;
	uint64_t ops_last; /* operations that are in some slot */
	size_t used;
	struct series_slot slots[SERIES_SLOTS];
};

/** When the store said that it had finished one more checkpoint. */
struct series_marks {
	uint64_t seen; /* checkpoints since the store was opened, as last asked */
	size_t count;
	uint64_t at_ns[SERIES_MARKS_MAX];
};

/** series_init - nothing seen yet */
void series_init(struct series *series);

/**
 * series_add - a timed operation ended @at_ns after the start, which makes @ops_done of them
 * @latency_ns: how long it took
 */
void series_add(struct series *series, uint64_t at_ns, uint64_t ops_done, uint64_t latency_ns);

/** series_merge - add all of @from, which may get longer slots by that, as @series may */
void series_merge(struct series *series, struct series *from);

/** series_percentile - of the slot's timed operations, nanoseconds; 0 without any */
uint64_t series_percentile(const struct series_slot *slot, double percent);

/** series_mark - note that there have been @checkpoints by now */
void series_mark(struct series_marks *marks, uint64_t at_ns, uint64_t checkpoints);

#endif
