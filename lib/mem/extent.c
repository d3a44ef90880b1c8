/* SPDX-License-Identifier: MIT */
/*
 * extent.c - chunks, live bytes and the reuse of extents (states and invariants in the header)
 *
 * Free and dead extents lie on Treiber stacks, linked through extent_side.next; the heads carry a tag
 * against ABA. An extent is on at most one stack at a time.
 *
 * A crash anywhere here leaves nothing to repair: all of it is DRAM, imaged as of a cut.
 */
#include "mem/extent_private.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"

#define PAGE_BYTES 4096u
#define CHUNK_SMALL_MAX                                                                            \
	((uint64_t)4 << 10) /* bytes of a chunk of a small extent, at most, unless asked */
#define CHUNK_MAX ((uint64_t)64 << 10) /* the same for others */
#define CHUNK_SLACK (2 * sizeof(struct block_head))

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* ---- stacks of extents ---- */

void extents_stack_push(struct extents *extents, _Atomic(uint64_t) *stack, extent_id id)
{
	uint64_t head = atomic_load_explicit(stack, memory_order_relaxed);
	uint64_t next;

	do {
		atomic_store_explicit(&extents->side[id].next, (uint32_t)head, memory_order_relaxed);
		next = ((head >> 32) + 1) << 32 | (id + 1);
	} while (!atomic_compare_exchange_weak_explicit(stack, &head, next, memory_order_release,
	                                                memory_order_relaxed));
}

/* The tag makes a stale `next` fail the CAS. */
uint32_t extents_stack_pop(struct extents *extents, _Atomic(uint64_t) *stack)
{
	uint64_t head = atomic_load_explicit(stack, memory_order_acquire);

	while ((uint32_t)head != 0) {
		uint32_t below = atomic_load_explicit(&extents->side[(uint32_t)head - 1].next,
		                                      memory_order_relaxed);
		uint64_t next = ((head >> 32) + 1) << 32 | below;

		if (atomic_compare_exchange_weak_explicit(stack, &head, next, memory_order_acquire,
		                                          memory_order_acquire))
			return (uint32_t)head;
	}
	return 0;
}

/* ---- life and death ---- */

int extents_init(struct extents *extents, struct arena *arena, struct epoch *epoch,
                 const _Atomic(uint64_t) *interval)
{
	int rc;

	memset(extents, 0, sizeof *extents);
	extents->arena = arena;
	extents->epoch = epoch;
	extents->capacity = extent_of(arena->max_size - 1) + 1;
	atomic_init(&extents->growth_limit, UINT64_MAX);
	atomic_init(&extents->ceiling, UINT64_MAX);
	rc = cow_init(&extents->table, extents->capacity, interval);
	if (rc < 0)
		return rc;
	extents->side = sys_reserve(extents->capacity * sizeof *extents->side);
	if (extents->side != NULL)
		return BWT_OK;
	cow_deinit(&extents->table);
	return -ENOMEM;
}

void extents_deinit(struct extents *extents)
{
	cow_deinit(&extents->table);
	sys_release(extents->side, extents->capacity * sizeof *extents->side);
}

uint64_t extents_count(const struct extents *extents)
{
	uint64_t size = arena_size(extents->arena);

	return size < EXTENT_SMALL_SIZE ? 0 : extent_of(size - 1) + 1;
}

uint64_t extents_live_bytes(const struct extents *extents)
{
	uint64_t count = extents_count(extents);
	uint64_t live = 0;

	for (uint64_t id = 0; id < count; id++)
		live += extent_live(cow_load(&extents->table, id));
	return live - atomic_load_explicit(&extents->spare, memory_order_relaxed);
}

static uint32_t interval_now(const struct extents *extents)
{
	return (uint32_t)atomic_load_explicit(extents->table.interval, memory_order_relaxed);
}

/* @bytes of extent @id are dead. Inside the gate; the segment of @id is touched (X1). */
static void release_bytes(struct extents *extents, extent_id id, uint64_t bytes)
{
	uint64_t word =
		atomic_fetch_sub_explicit(&extents->table.words[id], bytes, memory_order_acq_rel);
	struct extent_side *side = &extents->side[id];

	BWT_ASSERT(extent_live(word) >= bytes);
	if (extent_live(word) != bytes)
		return;
	side->died = interval_now(extents);
	/* What was unlinked before this advance carries the epoch that ends here (E1). */
	side->epoch = epoch_advance(extents->epoch);
	extents_stack_push(extents, &extents->dead, id);
}

bool extent_touch(struct extents *extents, arena_off off)
{
	return cow_touch(&extents->table, extent_of(off));
}

void extent_retire(struct extents *extents, arena_off off, uint32_t size)
{
	if (TEST_FAULT("extent_retire_twice"))
		release_bytes(extents, extent_of(off), size);
	if (!TEST_FAULT("extent_lost_retire"))
		release_bytes(extents, extent_of(off), size);
}

/* May extent @id be overwritten? (a) and (b) of the header. */
static bool reusable(const struct extents *extents, extent_id id, uint64_t oldest)
{
	const struct extent_side *side = &extents->side[id];
	uint64_t retained = atomic_load_explicit(&extents->retained, memory_order_acquire);

	if (TEST_FAULT("extent_reuse_early"))
		return true;
	return side->epoch < oldest && (side->opened == side->died || side->died < retained);
}

uint64_t extents_reclaim(struct extents *extents)
{
	uint64_t head = atomic_exchange_explicit(&extents->dead, 0, memory_order_acquire);
	uint64_t oldest = epoch_oldest(extents->epoch);
	uint64_t freed = 0;
	uint32_t link = (uint32_t)head;

	while (link != 0) {
		extent_id id = link - 1;

		link = atomic_load_explicit(&extents->side[id].next, memory_order_relaxed);
		if (reusable(extents, id, oldest)) {
			freed += extent_size(id);
			extents_free_push(extents, id);
		} else {
			extents_stack_push(extents, &extents->dead, id);
		}
	}
	return freed;
}

/* ---- chunks ---- */

void extents_write_filler(struct arena *arena, arena_off next, arena_off end)
{
	struct block_head *filler = arena_at(arena, next);

	BWT_ASSERT(end - next >= sizeof *filler);
	memset(filler, 0, sizeof *filler);
	filler->size = (uint32_t)(end - next);
	filler->tag = BLOCK_FILLER;
	block_seal(filler, 0);
	sys_persist_flush(&arena->map, filler, sizeof *filler);
}

/* What is left of [next, end) holds nothing: a filler, and the bytes are dead. Inside the gate, touched. */
static void close_stretch(struct extents *extents, arena_off next, arena_off end)
{
	if (next == end)
		return;
	extents_write_filler(extents->arena, next, end);
	release_bytes(extents, extent_of(next), end - next);
}

static uint64_t open_word(extent_id id, uint64_t used)
{
	return (uint64_t)id << 32 | used;
}

/* Bytes to cut off an extent of @size with @left bytes left, for a request of @need <= @left. */
static uint64_t chunk_bytes(uint64_t size, uint64_t left, uint64_t need)
{
	uint64_t usual = size == EXTENT_SIZE ? CHUNK_MAX : CHUNK_SMALL_MAX;
	uint64_t bytes = round_up(need > usual ? need : usual, PAGE_BYTES);

	/* A rest that no block fits into would only be a filler: take it too (X3). */
	return bytes + PAGE_BYTES > left ? left : bytes;
}

/* Nobody cuts chunks off it any more, but who did may not have noted it in the slot yet: see extent_claim(). */
static void extent_seal(struct extents *extents, extent_id id)
{
	atomic_store_explicit(&extents->side[id].age,
	                      atomic_load_explicit(&extents->allocated_bytes, memory_order_relaxed),
	                      memory_order_relaxed);
	atomic_store_explicit(&extents->side[id].sealed, epoch_advance(extents->epoch),
	                      memory_order_release);
}

/* Replace the full open extent @seen by a free one and cut the first chunk off it. Inside the gate. */
static int chunk_from_new(struct extents *extents, enum chunk_kind kind, uint64_t seen,
                          uint64_t need, enum extent_urgency urgency, struct chunk *chunk)
{
	/*
	 * Inner pages are few, and so are the deltas of who empties extents with the last that is free. Of others small
	 * extents would not hold much, and images could not have them.
	 */
	bool small = kind == CHUNK_INNER || (kind == CHUNK_DELTA && urgency == URGENCY_ALL &&
	                                     !extents_have_room(extents, URGENCY_CARE));
	uint32_t popped = extents_free_pop(extents, need, small, urgency);
	extent_id id = popped - 1;
	uint64_t size, bytes;

	if (popped == 0)
		return BWT_FULL;
	if (!cow_touch(&extents->table, id)) {
		extents_free_push(extents, id);
		return -ENOMEM;
	}
	size = extent_size(id);
	bytes = chunk_bytes(size, size, need);
	extents->side[id].opened = interval_now(extents);
	atomic_store_explicit(&extents->side[id].sealed, EXTENT_UNSEALED, memory_order_relaxed);
	/* RELEASE: who sees live bytes does not take the extent for the sealed one that it was (extent_pick.c). */
	atomic_store_explicit(&extents->table.words[id], (uint64_t)(kind + 1) << 32 | size,
	                      memory_order_release);
	if (!atomic_compare_exchange_strong_explicit(&extents->open[kind], &seen, open_word(id, bytes),
	                                             memory_order_acq_rel, memory_order_relaxed)) {
		atomic_store_explicit(&extents->table.words[id], 0, memory_order_relaxed);
		extents_free_push(extents, id);
		return BWT_BUSY;
	}
	if (seen != 0) {
		arena_off start = extent_start((extent_id)(seen >> 32));

		close_stretch(extents, start + (uint32_t)seen,
		              start + extent_size((extent_id)(seen >> 32)));
		extent_seal(extents, (extent_id)(seen >> 32));
	}
	atomic_store_explicit(&chunk->next, extent_start(id), memory_order_relaxed);
	chunk->end = extent_start(id) + bytes;
	return BWT_OK;
}

/* A chunk with room for @need: off the open extent, or off a new one. Inside the gate. */
static int chunk_take(struct extents *extents, enum chunk_kind kind, uint64_t need,
                      enum extent_urgency urgency, struct chunk *chunk)
{
	uint64_t seen = atomic_load_explicit(&extents->open[kind], memory_order_acquire);
	int rc = BWT_BUSY;

	while (rc == BWT_BUSY) {
		extent_id id = (extent_id)(seen >> 32);
		uint64_t used = (uint32_t)seen;
		uint64_t size = extent_size(id);

		if (seen != 0 && !cow_touch(&extents->table, id))
			return -ENOMEM;
		if (seen != 0 && size - used >= need) {
			uint64_t bytes = chunk_bytes(size, size - used, need);

			if (!atomic_compare_exchange_strong_explicit(
				    &extents->open[kind], &seen, open_word(id, used + bytes),
				    memory_order_acq_rel, memory_order_acquire))
				continue;
			atomic_store_explicit(&chunk->next, extent_start(id) + used,
			                      memory_order_relaxed);
			chunk->end = extent_start(id) + used + bytes;
			return BWT_OK;
		}
		rc = chunk_from_new(extents, kind, seen, need, urgency, chunk);
		seen = atomic_load_explicit(&extents->open[kind], memory_order_acquire);
	}
	return rc;
}

/* Close the slot's chunk and take one with room for @need. Inside the gate. */
static int chunk_replace(struct extents *extents, struct chunk *chunk, enum chunk_kind kind,
                         uint64_t need, enum extent_urgency urgency)
{
	uint64_t next = atomic_load_explicit(&chunk->next, memory_order_relaxed);
	struct chunk fresh;
	int rc;

	if (next != 0 && !extent_touch(extents, next))
		return -ENOMEM;
	rc = chunk_take(extents, kind, need, urgency, &fresh);
	if (rc < 0)
		return rc;
	if (next != 0)
		close_stretch(extents, next, chunk->end);
	next = atomic_load_explicit(&fresh.next, memory_order_relaxed);
	chunk->end = fresh.end;
	atomic_store_explicit(&chunk->next, next, memory_order_release);
	atomic_fetch_add_explicit(&extents->allocated_bytes, fresh.end - next, memory_order_relaxed);
	return BWT_OK;
}

/* From pinned to inside the gate, waiting while it is closed: a closer never waits for pins. */
static void enter_pinned(struct epoch_slot *slot)
{
	while (!gate_try_enter(slot))
		gate_wait(slot->epoch);
}

int extent_prepare(struct extents *extents, struct epoch_slot *slot, enum chunk_kind kind,
                   uint64_t bytes, enum extent_urgency urgency)
{
	uint64_t need = bytes + CHUNK_SLACK;
	bool pinned = epoch_pinned(slot);
	int rc;

	BWT_ASSERT(!epoch_in_gate(slot));
	if (extent_has(slot, kind, bytes))
		return BWT_OK;
	if (!pinned && urgency < URGENCY_CARE) {
		extents_tend(extents, slot);
		if (extent_has(slot, kind, bytes)) /* it took chunks for itself */
			return BWT_OK;
	}
	/* What is apart is no part of the reserve. */
	if (kind == CHUNK_INNER && need <= EXTENT_SMALL_SIZE && extents_apart(extents) &&
	    atomic_load_explicit(&extents->small_bytes, memory_order_relaxed) != 0)
		rc = BWT_OK;
	else
		rc = extents_make_room(extents, need, urgency);
	/* The last of it may well be in the open extent. */
	if (rc == BWT_FULL && urgency == URGENCY_ALL)
		rc = BWT_OK;
	while (rc == BWT_OK) {
		if (!pinned)
			epoch_pin(slot);
		enter_pinned(slot);
		rc = chunk_replace(extents, &slot->chunk[kind], kind, need, urgency);
		gate_leave(slot);
		if (!pinned)
			epoch_unpin(slot);
		if (rc != BWT_FULL)
			return rc;
		/* What is free is too small, or others took it between the two steps. */
		rc = extents_grow(extents, need);
	}
	return rc;
}

arena_off extent_bump(struct extents *extents, struct epoch_slot *slot, enum chunk_kind kind,
                      uint32_t size)
{
	struct chunk *chunk = &slot->chunk[kind];
	uint64_t next = atomic_load_explicit(&chunk->next, memory_order_relaxed);

	(void)extents;
	BWT_ASSERT(epoch_in_gate(slot) && size % BLOCK_ALIGN == 0);
	BWT_CHECK(next != 0 && chunk->end - next >= size + sizeof(struct block_head));
	atomic_store_explicit(&chunk->next, next + size, memory_order_release);
	return next;
}

void extent_unbump(struct extents *extents, struct epoch_slot *slot, enum chunk_kind kind,
                   arena_off off)
{
	(void)extents;
	BWT_ASSERT(epoch_in_gate(slot));
	atomic_store_explicit(&slot->chunk[kind].next, off, memory_order_release);
}

/*
 * The chunk's rest goes back to the open extent if it was the last one cut off; else a filler closes it. Inside the gate,
 * by who owns the slot. false: no memory, nothing changed.
 */
static bool chunk_give_back(struct extents *extents, struct chunk *chunk, enum chunk_kind kind)
{
	uint64_t next = atomic_load_explicit(&chunk->next, memory_order_relaxed);
	uint64_t seen = atomic_load_explicit(&extents->open[kind], memory_order_relaxed);
	extent_id id;

	if (next == 0)
		return true;
	if (!extent_touch(extents, next))
		return false;
	id = extent_of(next);
	if (seen >> 32 != id || extent_start(id) + (uint32_t)seen != chunk->end ||
	    !atomic_compare_exchange_strong_explicit(&extents->open[kind], &seen,
	                                             open_word(id, next - extent_start(id)),
	                                             memory_order_acq_rel, memory_order_relaxed))
		close_stretch(extents, next, chunk->end);
	atomic_store_explicit(&chunk->next, 0, memory_order_release);
	return true;
}

static bool chunks_give_back(struct extents *extents, struct epoch_slot *slot)
{
	bool done = true;

	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		done = chunk_give_back(extents, &slot->chunk[kind], (enum chunk_kind)kind) && done;
	return done;
}

/* Nobody cuts chunks off the open extent any more, if bytes in it are dead, or it is to be left. Inside the gate. */
static void open_let_go(struct extents *extents, enum chunk_kind kind)
{
	uint64_t seen = atomic_load_explicit(&extents->open[kind], memory_order_acquire);
	extent_id id = (extent_id)(seen >> 32);

	if (seen == 0 ||
	    (extent_live(cow_load(&extents->table, id)) == extent_size(id) &&
	     extent_start(id) < atomic_load_explicit(&extents->ceiling, memory_order_relaxed)) ||
	    !cow_touch(&extents->table, id) ||
	    !atomic_compare_exchange_strong_explicit(&extents->open[kind], &seen, 0,
	                                             memory_order_acq_rel, memory_order_relaxed))
		return;
	close_stretch(extents, extent_start(id) + (uint32_t)seen, extent_start(id) + extent_size(id));
	extent_seal(extents, id);
}

void extents_let_go(struct extents *extents, struct epoch_slot *own)
{
	uint32_t count = atomic_load_explicit(&extents->epoch->slot_count, memory_order_acquire);

	gate_enter(own);
	chunks_give_back(extents, own);
	for (uint32_t i = 0; i < count; i++) {
		struct epoch_slot *slot = epoch_slot_at(extents->epoch, i);
		uint32_t free = 0;

		/* As a thread that comes takes it, and gives it back when it ends. */
		if (slot == NULL || !atomic_compare_exchange_strong_explicit(&slot->taken, &free, 1,
		                                                             memory_order_acquire,
		                                                             memory_order_relaxed))
			continue;
		chunks_give_back(extents, slot);
		atomic_store_explicit(&slot->taken, 0, memory_order_release);
	}
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		open_let_go(extents, (enum chunk_kind)kind);
	gate_leave(own);
	epoch_unpin(own);
}

void extents_let_go_own(struct extents *extents, struct epoch_slot *own)
{
	gate_enter(own);
	chunks_give_back(extents, own);
	gate_leave(own);
	epoch_unpin(own);
}

int extents_close_chunks(struct extents *extents, struct epoch_slot *own)
{
	uint32_t count = atomic_load_explicit(&extents->epoch->slot_count, memory_order_acquire);
	bool done = true;

	gate_enter(own);
	for (uint32_t i = 0; i < count; i++) {
		struct epoch_slot *slot = epoch_slot_at(extents->epoch, i);

		done = (slot == NULL || chunks_give_back(extents, slot)) && done;
	}
	gate_leave(own);
	epoch_unpin(own);
	return done ? BWT_OK : -ENOMEM;
}
