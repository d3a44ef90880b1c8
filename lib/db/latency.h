/* SPDX-License-Identifier: MIT */
/*
 * latency.h - how long gets and commits take, by a sample of the calls
 *
 * Why: two looks at the clock cost 50 ns and more, a get in memory a microsecond; a sample is cheap enough to be always
 * on, and its percentiles are those of all calls.
 *
 *   LT1  Of each kind the first call of a slot is timed, then one in LATENCY_EVERY on average, at distances left to
 *        chance: no rhythm of the program keeps some of its calls from being seen. A thread that takes the slot of one
 *        that ended goes on where that stood, or first calls, which are slow, would count for too much.
 *   LT2  Calls that failed do not count: a refusal is quick, and says nothing about the work.
 *   LT3  Counters are sharded as those of events are (ST1, ST2 in base/stats.h).
 */
#ifndef BWT_DB_LATENCY_H
#define BWT_DB_LATENCY_H

#include "base/stats.h"
#include "bwt.h"
#include "mem/epoch.h"

#define LATENCY_EVERY 32u

enum latency_kind {
	LATENCY_GET,
	LATENCY_COMMIT,  /* nobody waited for the log */
	LATENCY_DURABLE, /* a commit that waited */
	LATENCY_KINDS
};

struct latencies { /* zeroed memory is a valid start */
	struct latency_shard {
		/* any thread adds and reads, relaxed: a count orders nothing */
		_Alignas(CACHE_LINE_SIZE) _Atomic(uint64_t) sum_ns;
		_Atomic(uint64_t) bucket[BWT_LATENCY_BUCKETS];
	} shard[STATS_SHARDS][LATENCY_KINDS];
};

/** latency_bucket - the counter that a call of @ns nanoseconds belongs to: below its bwt_latency_bound() */
unsigned latency_bucket(uint64_t ns);

/** latency_start - choose the next call to be timed after this one. Returns: the clock, ns */
uint64_t latency_start(struct epoch_slot *slot, enum latency_kind kind);
void latency_note(struct latencies *latencies, const struct epoch_slot *slot,
                  enum latency_kind kind, uint64_t started_ns);

/**
 * latency_begin - a call begins
 * @slot:   the thread's own
 * @kind:   LATENCY_GET or LATENCY_COMMIT: whether a commit waits is told at its end
 * Returns: 0: it is not timed (LT1); else what latency_end() wants
 */
static inline uint64_t latency_begin(struct epoch_slot *slot, enum latency_kind kind)
{
	return slot->untimed[kind]-- == 0 ? latency_start(slot, kind) : 0;
}

/** latency_end - it ended well (LT2) */
static inline void latency_end(struct latencies *latencies, const struct epoch_slot *slot,
                               enum latency_kind kind, uint64_t started_ns)
{
	if (started_ns != 0)
		latency_note(latencies, slot, kind, started_ns);
}

/** latency_sum - over all shards (ST2) */
void latency_sum(const struct latencies *latencies, enum latency_kind kind, struct bwt_latency *sum);

#endif
