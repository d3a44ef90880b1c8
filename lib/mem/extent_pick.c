/* SPDX-License-Identifier: MIT */
/*
 * extent_pick.c - which extents are best emptied, and that one thread empties them at a time
 *
 *   sealed --extent_claim()--> claimed --extent_unclaim()--> sealed, and most often dead by then
 *
 * The choice is that of log-structured file systems (Rosenblum and Ousterhout, "The design and
 * implementation of a log-structured file system", SOSP 1991, section 3.5): bytes won times age over
 * bytes moved. Old extents go first, for what still lives in them will live on, while a young one's
 * blocks die by themselves. Moving a delta means to rewrite the page under it, so the live bytes of delta
 * extents weigh more.
 *
 *   EP1  Only the bytes of an extent that nobody writes any more are walked: it was sealed before every
 *        pin that there is, so whoever cut a chunk off it has left the gate and noted the chunk in the slot;
 *        and no slot's chunk lies in it.
 *   EP2  While a thread is pinned, an extent that it found alive is not reused (E1), so its bytes stay.
 */
#include "mem/extent_private.h"

#define MOVE_COST_DELTA 4u           /* bytes written for one live byte of a delta extent, about */
#define GAIN_SHARE 8u                /* one part in so many must be dead */
#define AGE_UNIT ((uint64_t)1 << 20) /* bytes allocated since */
#define CLAIM_FREE 0u
#define CLAIM_TAKEN 1u
#define CLAIM_RESTS 2u /* plus the interval in which it was given up */

static bool is_data(uint64_t word)
{
	enum extent_kind kind = extent_kind_of(word);

	return (kind == EXTENT_DELTA || kind == EXTENT_LEAF || kind == EXTENT_INNER) &&
	       extent_live(word) != 0;
}

/* What is not handed out yet of the open extent of a kind. */
static uint64_t open_rest(const struct extents *extents, enum chunk_kind kind)
{
	uint64_t open = atomic_load_explicit(&extents->open[kind], memory_order_relaxed);

	return open == 0 ? 0 : extent_size((extent_id)(open >> 32)) - (uint32_t)open;
}

void extents_survey(const struct extents *extents, struct extents_survey *survey)
{
	uint64_t count = extents_count(extents);
	uint64_t live = 0, deltas = 0, sparse = 0, rest = open_rest(extents, CHUNK_DELTA), used,
		 apart;

	for (extent_id id = 0; id < count; id++) {
		uint64_t word = cow_load(&extents->table, id);

		live += extent_live(word);
		if (extent_kind_of(word) == EXTENT_DELTA)
			deltas += extent_live(word);
		if (is_data(word))
			sparse += extent_size(id) - extent_live(word);
	}
	survey->size = extents_bytes(extents);
	survey->open = open_rest(extents, CHUNK_LEAF);
	survey->spare = atomic_load_explicit(&extents->spare, memory_order_relaxed);
	survey->live = live > survey->spare ? live - survey->spare : 0;
	survey->deltas = deltas > rest ? deltas - rest : 0;
	survey->sparse = sparse;
	survey->free = extents_usable(extents);
	apart = atomic_load_explicit(&extents->free_bytes, memory_order_relaxed) - survey->free;
	survey->reserve = extents_reserve(extents) +
	                  atomic_load_explicit(&extents->owed, memory_order_relaxed);
	used = survey->live + sparse + survey->free + survey->spare + apart;
	survey->held = survey->size > used ? survey->size - used : 0;
}

/* ---- choosing ---- */

/* 0: not worth it. */
static uint64_t score_of(const struct extents *extents, extent_id id, uint64_t word,
                         enum pick_effort effort)
{
	uint64_t size = extent_size(id), live = extent_live(word), dead = size - live;
	uint64_t allocated = atomic_load_explicit(&extents->allocated_bytes, memory_order_relaxed);
	uint64_t sealed_at = atomic_load_explicit(&extents->side[id].age, memory_order_relaxed);
	uint64_t age = allocated > sealed_at ? (allocated - sealed_at) / AGE_UNIT + 1 : 1;
	uint64_t cost = extent_kind_of(word) == EXTENT_DELTA ? live * MOVE_COST_DELTA : live;

	if (effort == PICK_TAIL)
		return extent_start(id) >=
		                       atomic_load_explicit(&extents->ceiling, memory_order_relaxed)
		               ? id
		               : 0;
	if (effort == PICK_GAIN && dead < size / GAIN_SHARE)
		return 0;
	/* A page without its deltas is smaller, and may not even need them any more. */
	if (effort == PICK_EVERYTHING && dead == 0)
		return 1;
	return dead * age / (cost / 1024 + size / 16384) + 1;
}

static bool rests(const struct extents *extents, extent_id id)
{
	uint32_t claim = atomic_load_explicit(&extents->side[id].claim, memory_order_relaxed);
	uint64_t interval = atomic_load_explicit(extents->table.interval, memory_order_relaxed);

	return claim == CLAIM_TAKEN || claim == CLAIM_RESTS + (uint32_t)interval;
}

/* Keep @picks sorted, best first. */
static unsigned insert(struct extent_pick *picks, unsigned count, unsigned room,
                       struct extent_pick pick)
{
	unsigned at = count < room ? count : room - 1;

	if (count == room && picks[at].score >= pick.score)
		return count;
	for (; at > 0 && picks[at - 1].score < pick.score; at--)
		picks[at] = picks[at - 1];
	picks[at] = pick;
	return count < room ? count + 1 : count;
}

unsigned extents_pick(struct extents *extents, enum pick_effort effort, struct extent_pick *picks,
                      unsigned room)
{
	uint64_t count = extents_count(extents);
	unsigned found = 0;

	for (extent_id id = 0; id < count; id++) {
		uint64_t word = cow_load(&extents->table, id);
		struct extent_pick pick = {
			.id = id, .live = extent_live(word), .kind = extent_kind_of(word)};

		if (!is_data(word))
			continue;
		pick.sealed = atomic_load_explicit(&extents->side[id].sealed, memory_order_acquire);
		if (pick.sealed == EXTENT_UNSEALED || rests(extents, id))
			continue;
		pick.score = score_of(extents, id, word, effort);
		if (pick.score != 0)
			found = insert(picks, found, room, pick);
	}
	return found;
}

/* ---- claims ---- */

/* Does some slot fill a chunk in this extent? */
static bool has_chunk(const struct extents *extents, extent_id id)
{
	uint32_t slots = atomic_load_explicit(&extents->epoch->slot_count, memory_order_seq_cst);

	for (uint32_t i = 0; i < slots; i++) {
		const struct epoch_slot *slot = epoch_slot_at(extents->epoch, i);

		for (unsigned kind = 0; slot != NULL && kind < CHUNK_KINDS; kind++) {
			uint64_t next =
				atomic_load_explicit(&slot->chunk[kind].next, memory_order_acquire);

			if (next != 0 && extent_of(next) == id)
				return true;
		}
	}
	return false;
}

bool extent_claimed_lives(const struct extents *extents, const struct extent_pick *pick)
{
	return is_data(cow_load(&extents->table, pick->id)) &&
	       atomic_load_explicit(&extents->side[pick->id].sealed, memory_order_acquire) ==
	               pick->sealed;
}

bool extent_claim(struct extents *extents, const struct extent_pick *pick)
{
	struct extent_side *side = &extents->side[pick->id];
	uint32_t seen = atomic_load_explicit(&side->claim, memory_order_relaxed);

	if (seen == CLAIM_TAKEN ||
	    !atomic_compare_exchange_strong_explicit(&side->claim, &seen, CLAIM_TAKEN,
	                                             memory_order_acquire, memory_order_relaxed))
		return false;
	/* EP1: the first makes the second's answer final. */
	if (extent_claimed_lives(extents, pick) && pick->sealed < epoch_oldest(extents->epoch) &&
	    !has_chunk(extents, pick->id))
		return true;
	atomic_store_explicit(&side->claim, CLAIM_FREE, memory_order_relaxed);
	return false;
}

void extent_unclaim(struct extents *extents, const struct extent_pick *pick, bool emptied)
{
	uint32_t interval =
		(uint32_t)atomic_load_explicit(extents->table.interval, memory_order_relaxed);

	atomic_store_explicit(&extents->side[pick->id].claim,
	                      emptied ? CLAIM_FREE : CLAIM_RESTS + interval, memory_order_release);
}
