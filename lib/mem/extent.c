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
#define GROW_STEP_MAX                                                                              \
	((uint64_t)8 << 20) /* bytes added to the file at once, at most: some milliseconds */
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

void extents_free_push(struct extents *extents, extent_id id)
{
	extents_stack_push(
		extents, id < EXTENT_SMALL_COUNT ? &extents->free_small : &extents->free_large, id);
	atomic_fetch_add_explicit(&extents->free_bytes, extent_size(id), memory_order_relaxed);
}

uint32_t extents_free_pop(struct extents *extents, uint64_t need)
{
	uint32_t popped =
		need <= EXTENT_SMALL_SIZE ? extents_stack_pop(extents, &extents->free_small) : 0;

	if (popped == 0)
		popped = extents_stack_pop(extents, &extents->free_large);
	if (popped != 0)
		atomic_fetch_sub_explicit(&extents->free_bytes, extent_size(popped - 1),
		                          memory_order_relaxed);
	return popped;
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
	return live;
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

/* ---- growth and the reserve ---- */

/* A few extents and a share of the file; of a store that must stay small no more than half. */
uint64_t extents_reserve(const struct extents *extents)
{
	uint64_t size = arena_size(extents->arena), most = extents->arena->max_size / 2;
	uint64_t reserve = round_up(size / 128, EXTENT_SIZE) + 2 * EXTENT_SIZE;

	if (size <= EXTENT_SIZE)
		return 2 * EXTENT_SMALL_SIZE;
	return reserve < most ? reserve : most;
}

static void add_new(struct extents *extents, uint64_t old_size, uint64_t new_size)
{
	for (uint64_t off = old_size; off < new_size; off += extent_size(extent_of(off)))
		extents_free_push(extents, extent_of(off));
}

/* Smaller steps where a large one does not fit, one extent at a time beyond the limit. */
static int grow(struct extents *extents, uint64_t need)
{
	uint64_t size = arena_size(extents->arena);
	uint64_t limit = atomic_load_explicit(&extents->growth_limit, memory_order_relaxed);
	uint64_t step = round_up(size / 8, EXTENT_SIZE);
	uint64_t old_size, new_size, target;
	int rc;

	if (step > GROW_STEP_MAX)
		step = GROW_STEP_MAX;
	if (limit < size + step)
		step = limit > size + EXTENT_SIZE ? (limit - size) / EXTENT_SIZE * EXTENT_SIZE
		                                  : EXTENT_SIZE;
	if (size < EXTENT_SIZE)
		target = need <= EXTENT_SMALL_SIZE ? size + EXTENT_SMALL_SIZE : 2 * EXTENT_SIZE;
	else
		target = size + step;
	rc = arena_grow(extents->arena, target, &old_size, &new_size);
	if (rc == BWT_FULL && size >= EXTENT_SIZE && step > EXTENT_SIZE)
		rc = arena_grow(extents->arena, size + EXTENT_SIZE, &old_size, &new_size);
	if (rc == BWT_OK)
		add_new(extents, old_size, new_size);
	return rc;
}

int extents_grow(struct extents *extents, uint64_t need)
{
	uint64_t size = arena_size(extents->arena);
	int rc = grow(extents, need);

	if (rc == BWT_FULL)
		atomic_store_explicit(&extents->refused, size, memory_order_relaxed);
	return rc;
}

int extents_extend_ahead(struct extents *extents)
{
	return grow(extents, EXTENT_SMALL_SIZE);
}

static bool free_beyond(const struct extents *extents, uint64_t bytes)
{
	return atomic_load_explicit(&extents->free_bytes, memory_order_relaxed) > bytes;
}

/* Bytes of the extent that a request of @need will get. */
static uint64_t unit_for(const struct extents *extents, uint64_t need)
{
	bool small = arena_size(extents->arena) <= EXTENT_SIZE ||
	             (uint32_t)atomic_load_explicit(&extents->free_small, memory_order_relaxed) != 0;

	return need <= EXTENT_SMALL_SIZE && small ? EXTENT_SMALL_SIZE : EXTENT_SIZE;
}

bool extents_have_room(const struct extents *extents)
{
	return free_beyond(extents,
	                   extents_reserve(extents) + unit_for(extents, EXTENT_SMALL_SIZE) - 1);
}

int extents_make_room(struct extents *extents, uint64_t need, enum extent_urgency urgency)
{
	uint64_t reserve = extents_reserve(extents);
	uint64_t limit = atomic_load_explicit(&extents->growth_limit, memory_order_relaxed);
	uint64_t unit = unit_for(extents, need), bridge;
	int rc = BWT_OK;

	if (free_beyond(extents, reserve + unit - 1))
		return BWT_OK;
	extents_reclaim(extents);
	/* Whoever keeps the file small will soon free something: a part of the reserve bridges the time. */
	bridge = urgency == URGENCY_CARE ? reserve / 2 : reserve - reserve / 4;
	if (arena_size(extents->arena) >= limit && free_beyond(extents, bridge + unit - 1))
		return BWT_OK;
	while (rc == BWT_OK && !free_beyond(extents, reserve + unit - 1))
		rc = extents_grow(extents, need);
	if (rc != BWT_FULL || urgency == URGENCY_PUT)
		return rc;
	return free_beyond(extents, urgency == URGENCY_DELETE ? reserve / 2 : 0) ? BWT_OK : rc;
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
                          uint64_t need, struct chunk *chunk)
{
	uint32_t popped = extents_free_pop(extents, need);
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
                      struct chunk *chunk)
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
		rc = chunk_from_new(extents, kind, seen, need, chunk);
		seen = atomic_load_explicit(&extents->open[kind], memory_order_acquire);
	}
	return rc;
}

/* Close the slot's chunk and take one with room for @need. Inside the gate. */
static int chunk_replace(struct extents *extents, struct chunk *chunk, enum chunk_kind kind,
                         uint64_t need)
{
	uint64_t next = atomic_load_explicit(&chunk->next, memory_order_relaxed);
	struct chunk fresh;
	int rc;

	if (next != 0 && !extent_touch(extents, next))
		return -ENOMEM;
	rc = chunk_take(extents, kind, need, &fresh);
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
	if (!pinned && urgency != URGENCY_CARE && extents->tend != NULL) {
		extents->tend(extents->tend_ctx, slot);
		if (extent_has(slot, kind, bytes)) /* it took chunks for itself */
			return BWT_OK;
	}
	rc = extents_make_room(extents, need, urgency);
	while (rc == BWT_OK) {
		if (!pinned)
			epoch_pin(slot);
		enter_pinned(slot);
		rc = chunk_replace(extents, &slot->chunk[kind], kind, need);
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

/* The chunk's rest goes back to the open extent if it was the last one cut off; else a filler closes it. */
static void chunk_give_back(struct extents *extents, struct chunk *chunk, enum chunk_kind kind)
{
	uint64_t next = atomic_load_explicit(&chunk->next, memory_order_relaxed);
	uint64_t seen = atomic_load_explicit(&extents->open[kind], memory_order_relaxed);
	extent_id id;

	if (next == 0)
		return;
	id = extent_of(next);
	if (seen >> 32 == id && extent_start(id) + (uint32_t)seen == chunk->end)
		atomic_store_explicit(&extents->open[kind], open_word(id, next - extent_start(id)),
		                      memory_order_relaxed);
	else
		close_stretch(extents, next, chunk->end);
	atomic_store_explicit(&chunk->next, 0, memory_order_relaxed);
}

int extents_close_chunks(struct extents *extents, struct epoch_slot *own)
{
	uint32_t count = atomic_load_explicit(&extents->epoch->slot_count, memory_order_acquire);
	int rc = BWT_OK;

	gate_enter(own);
	for (uint32_t i = 0; i < count && rc == BWT_OK; i++) {
		struct epoch_slot *slot = epoch_slot_at(extents->epoch, i);

		for (unsigned kind = 0; slot != NULL && kind < CHUNK_KINDS; kind++) {
			uint64_t next =
				atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed);

			if (next != 0 && !extent_touch(extents, next))
				rc = -ENOMEM;
			else
				chunk_give_back(extents, &slot->chunk[kind], (enum chunk_kind)kind);
		}
	}
	gate_leave(own);
	epoch_unpin(own);
	return rc;
}
