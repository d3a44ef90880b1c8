/* SPDX-License-Identifier: MIT */
/*
 * stats.h - event counters that threads bump without meeting, summed when somebody asks
 *
 * Why: one shared counter per event would make every commit of every core fight over its cache
 * line. Each thread adds to the shard that its slot number picks; threads that share a shard lose
 * speed, never counts.
 *
 *   ST1  A counter only grows, by stats_add(); wrapping is not handled (2^64 events).
 *   ST2  Sums are not a snapshot: events of other threads may be missing from one counter and
 *        present in another. After the counting threads were joined, sums are exact.
 *
 * Each counter has the name of its field in struct bwt_stats where there is one, and a probe of the
 * same name (trace.h) with the amount as its argument.
 */
#ifndef BWT_BASE_STATS_H
#define BWT_BASE_STATS_H

#include <stdint.h>

#include "base/atomic.h"
#include "base/trace.h"

/** Every counter: enum suffix and name of field and probe. */
#define STATS_COUNTERS(X)                                                                          \
	X(COMMITS, commits)                                                                        \
	X(CONFLICTS, conflicts)                                                                    \
	X(PUSHES, pushes)                                                                          \
	X(WOUNDS, wounds)                                                                          \
	X(CONSOLIDATIONS, consolidations)                                                          \
	X(SPLITS, splits)                                                                          \
	X(MERGES, merges)                                                                          \
	X(SWAPS_LOST, swaps_lost)                                                                  \
	X(EXTENTS_CLEANED, extents_cleaned)                                                        \
	X(CLEANED_PAGES, cleaned_pages)                                                            \
	X(CLEANED_BYTES, cleaned_bytes)                                                            \
	X(VALUES_MOVED, values_moved)                                                              \
	X(VALUE_BYTES_MOVED, value_bytes_moved)                                                    \
	X(VALUE_FILES_FREED, value_files_freed)                                                    \
	X(LOG_FLUSHES, log_flushes)                                                                \
	X(WAL_WRITTEN_BYTES, wal_written_bytes)                                                    \
	X(IMAGE_WRITTEN_BYTES, image_written_bytes)                                                \
	X(GATE_RETRIES, gate_retries)                                                              \
	X(CHECKPOINT_COUNT, checkpoint_count)                                                      \
	X(USER_BYTES, user_bytes)                                                                  \
	X(CHANGES_CUT_OFF, changes_cut_off)

enum stat_counter {
#define STATS_ENUM(suffix, name) STAT_##suffix,
	STATS_COUNTERS(STATS_ENUM)
#undef STATS_ENUM
	STAT_COUNT
};

#define STATS_SHARDS 16u

struct stats {
	struct {
		/* any thread adds and reads, relaxed: a count orders nothing (ST2) */
		_Alignas(CACHE_LINE_SIZE) _Atomic uint64_t counter[STAT_COUNT];
	} shard[STATS_SHARDS];
};

/** stats_trace - fire the probe of @counter; folds to one no-op when @counter is a constant */
static inline void stats_trace(enum stat_counter counter, uint64_t amount)
{
	switch (counter) {
#define STATS_PROBE(suffix, name)                                                                  \
	case STAT_##suffix:                                                                        \
		TRACE1(name, amount);                                                              \
		break;
		STATS_COUNTERS(STATS_PROBE)
#undef STATS_PROBE
	case STAT_COUNT:
		break;
	}
}

/**
 * stats_add - count @amount events or bytes
 * @stats:   zeroed memory is a valid start
 * @shard:   the thread's slot number, any value; taken modulo STATS_SHARDS
 * Threads:  any
 * Blocks:   never
 */
static inline void stats_add(struct stats *stats, unsigned shard, enum stat_counter counter,
                             uint64_t amount)
{
	atomic_fetch_add_explicit(&stats->shard[shard % STATS_SHARDS].counter[counter], amount,
	                          memory_order_relaxed);
	stats_trace(counter, amount);
}

/** stats_sum - the counter over all shards (ST2) */
static inline uint64_t stats_sum(const struct stats *stats, enum stat_counter counter)
{
	uint64_t sum = 0;

	for (unsigned shard = 0; shard < STATS_SHARDS; shard++)
		sum += atomic_load_explicit(&stats->shard[shard].counter[counter],
		                            memory_order_relaxed);
	return sum;
}

/** stats_name - "commits" and so on; "?" for a number that is no counter */
const char *stats_name(enum stat_counter counter);

#endif
