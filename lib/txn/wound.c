/* SPDX-License-Identifier: MIT */
/*
 * wound.c - wait for another writer, or abort it
 */
#include "txn/wound.h"

#include "base/stats.h"
#include "base/testpoint.h"
#include "sys/thread.h"

uint64_t wound_patience(uint64_t writes, unsigned aborts)
{
	uint64_t patience = PATIENCE_LEAST_NS + writes * PATIENCE_WRITE_NS;

	if (aborts > PATIENCE_ABORTS_MAX)
		aborts = PATIENCE_ABORTS_MAX;
	return patience >= PATIENCE_MAX_NS >> aborts ? PATIENCE_MAX_NS : patience << aborts;
}

/* @word was @seen, PENDING: make it ABORTED. */
static void abort_word(struct store *store, struct epoch_slot *slot, _Atomic(uint64_t) *word,
                       uint64_t seen)
{
	while (word_state(seen) == WORD_PENDING) {
		if (!atomic_compare_exchange_strong_explicit(word, &seen, word_make(WORD_ABORTED, 0),
		                                             memory_order_acq_rel,
		                                             memory_order_acquire))
			continue;
		stats_add(&store->stats, slot->index, STAT_WOUNDS, 1);
		return;
	}
}

/* The obstacle is a transaction. */
static enum wound_result look_at_transaction(struct store *store, struct epoch_slot *slot,
                                             struct wound *wound, struct descriptor *victim,
                                             uint64_t seen, bool give_way)
{
	uint64_t ref = descriptor_ref(victim);
	uint64_t patience = atomic_load_explicit(&victim->patience_ns, memory_order_relaxed);
	uint64_t now_ns = sys_now_ns();

	if (wound->victim != victim || wound->ref != ref) {
		wound->victim = victim;
		wound->ref = ref;
		wound->since_ns = now_ns;
	}
	wound->bell = atomic_load_explicit(&victim->bell, memory_order_acquire);
	if (now_ns - wound->since_ns < patience)
		return WOUND_WAIT;
	if (give_way && patience >= PATIENCE_MAX_NS)
		return WOUND_YIELD;
	abort_word(store, slot, &victim->word, seen);
	descriptor_ring(victim);
	return WOUND_GONE;
}

enum wound_result wound_look(struct store *store, struct epoch_slot *slot, struct wound *wound,
                             _Atomic(uint64_t) *own, bool give_way)
{
	uint64_t seen;
	_Atomic(uint64_t) *word = version_word(&store->descriptors, own, &seen);
	struct descriptor *victim = descriptor_of(word, own);

	if (word_state(seen) != WORD_PENDING)
		return WOUND_GONE;
	if (backoff_pause(&wound->backoff, &slot->random))
		return WOUND_GONE;
	if (victim != NULL)
		return look_at_transaction(store, slot, wound, victim, seen, give_way);
	abort_word(store, slot, word, seen);
	wound->backoff = (struct backoff){0};
	return WOUND_GONE;
}

void wound_wait(const struct wound *wound)
{
	struct descriptor *victim = wound->victim;
	uint64_t patience = atomic_load_explicit(&victim->patience_ns, memory_order_relaxed);
	uint64_t waited = sys_now_ns() - wound->since_ns;

	if (waited >= patience)
		return;
	atomic_fetch_add_explicit(&victim->sleepers, 1, memory_order_seq_cst);
	sys_park(&victim->bell, wound->bell, patience - waited);
	atomic_fetch_sub_explicit(&victim->sleepers, 1, memory_order_relaxed);
}
