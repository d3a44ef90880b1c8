/* SPDX-License-Identifier: MIT */
/*
 * latency.c - log-linear counters of nanoseconds: four to each power of two, from 2^5 to 2^37 (137 s)
 *
 * Counter i is of the power e = FIRST_BIT + i / 4, and of the quarter i % 4 of what lies between 2^e and 2^(e + 1). The
 * first one also has what is below, the last one what is above.
 */
#include "db/latency.h"

#include "sys/backoff.h"

#define FIRST_BIT 5u
#define QUARTER_BITS 2u
#define QUARTERS (1u << QUARTER_BITS)
#define LAST_BIT (FIRST_BIT + BWT_LATENCY_BUCKETS / QUARTERS - 1)

unsigned latency_bucket(uint64_t ns)
{
	unsigned bit = 63u - (unsigned)__builtin_clzll(ns | 1);

	if (bit < FIRST_BIT)
		return 0;
	if (bit > LAST_BIT)
		return BWT_LATENCY_BUCKETS - 1;
	return (bit - FIRST_BIT) * QUARTERS +
	       ((unsigned)(ns >> (bit - QUARTER_BITS)) & (QUARTERS - 1));
}

uint64_t bwt_latency_bound(unsigned bucket)
{
	if (bucket >= BWT_LATENCY_BUCKETS)
		bucket = BWT_LATENCY_BUCKETS - 1;
	return (uint64_t)(QUARTERS + bucket % QUARTERS + 1)
	       << (FIRST_BIT - QUARTER_BITS + bucket / QUARTERS);
}

uint64_t bwt_latency_percentile(const struct bwt_latency *latency, double percent)
{
	double wanted = percent / 100 * (double)latency->count;
	uint64_t seen = 0;
	unsigned i = 0;

	if (latency->count == 0)
		return 0;
	while (i < BWT_LATENCY_BUCKETS - 1) {
		seen += latency->buckets[i];
		if (seen > 0 && (double)seen >= wanted)
			break;
		i++;
	}
	return bwt_latency_bound(i);
}

uint64_t latency_start(struct epoch_slot *slot, enum latency_kind kind)
{
	slot->untimed[kind] = (uint16_t)(backoff_random(&slot->random) % (2 * LATENCY_EVERY - 1));
	return sys_now_ns();
}

void latency_note(struct latencies *latencies, const struct epoch_slot *slot,
                  enum latency_kind kind, uint64_t started_ns)
{
	struct latency_shard *shard = &latencies->shard[slot->index % STATS_SHARDS][kind];
	uint64_t ns = sys_now_ns() - started_ns;

	atomic_fetch_add_explicit(&shard->bucket[latency_bucket(ns)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&shard->sum_ns, ns, memory_order_relaxed);
}

void latency_sum(const struct latencies *latencies, enum latency_kind kind, struct bwt_latency *sum)
{
	*sum = (struct bwt_latency){0};
	for (unsigned i = 0; i < STATS_SHARDS; i++) {
		const struct latency_shard *shard = &latencies->shard[i][kind];

		sum->sum_ns += atomic_load_explicit(&shard->sum_ns, memory_order_relaxed);
		for (unsigned j = 0; j < BWT_LATENCY_BUCKETS; j++)
			sum->buckets[j] +=
				atomic_load_explicit(&shard->bucket[j], memory_order_relaxed);
	}
	for (unsigned j = 0; j < BWT_LATENCY_BUCKETS; j++)
		sum->count += sum->buckets[j];
}
