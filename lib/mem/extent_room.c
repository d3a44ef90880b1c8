/* SPDX-License-Identifier: MIT */
/*
 * extent_room.c - free extents: how the file gets more of them, and what of them is left alone by whom
 *
 *   free  |-- all --|-- deletes, care --|---- puts ----|
 *         0      reserve / 2         reserve          (bytes of free extents that stay)
 *
 * Puts leave the reserve, and what is owed: to write a chain as a page takes space before the chain gives any back, so
 * as long as chains are there, a store that cannot grow keeps as many bytes free. Deletes leave half of the reserve, with
 * which space can be made again (db/space.c). Images have extents of their own set aside (recovery/image_pool.c).
 *
 *   ER1  Bytes are taken off free_bytes before a large extent is popped, and added after it was pushed. So two threads
 *        never share what is left for one.
 */
#include "mem/extent_private.h"

#include "base/error.h"

#define GROW_STEP_MAX                                                                              \
	((uint64_t)8 << 20) /* bytes added to the file at once, at most: some milliseconds */
#define SMALL_FILE                                                                                 \
	(EXTENT_SIZE / 2) /* as long as the file is no larger, it grows by small extents */

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* ---- the reserve ---- */

/* A few extents and a share of the file; of a store that must stay small no more than a part. */
uint64_t extents_reserve(const struct extents *extents)
{
	uint64_t size = extents_bytes(extents), most = extents->arena->max_size / 8 * 3;
	uint64_t reserve = size / 128 / EXTENT_SIZE * EXTENT_SIZE + 2 * EXTENT_SIZE;

	if (size <= EXTENT_SIZE)
		return 2 * EXTENT_SMALL_SIZE;
	return reserve < most ? reserve : most;
}

/* Bytes of free extents that @urgency leaves. */
static uint64_t floor_of(const struct extents *extents, enum extent_urgency urgency)
{
	uint64_t reserve = extents_reserve(extents);
	uint64_t owed = atomic_load_explicit(&extents->owed, memory_order_relaxed);
	uint64_t limit = atomic_load_explicit(&extents->growth_limit, memory_order_relaxed);

	switch (urgency) {
	case URGENCY_PUT:
		/* Whoever keeps the file small will soon free something: a part of the reserve bridges the time. */
		if (extents_bytes(extents) >= limit && limit < extents_growth_most(extents))
			return reserve - reserve / 4;
		return reserve + owed;
	case URGENCY_DELETE:
		return reserve / 2 + owed;
	case URGENCY_CARE:
		return reserve / 2;
	default:
		return 0;
	}
}

static bool free_beyond(const struct extents *extents, uint64_t bytes)
{
	return extents_usable(extents) > bytes;
}

/* ---- free extents ---- */

void extents_free_push(struct extents *extents, extent_id id)
{
	bool small = id < EXTENT_SMALL_COUNT;

	if (!small &&
	    extent_start(id) >= atomic_load_explicit(&extents->ceiling, memory_order_relaxed)) {
		extents_push_gone(extents, id);
		return;
	}
	extents_stack_push(extents, small ? &extents->free_small : &extents->free_large, id);
	/* In this order what is usable never seems to be more than it is. */
	if (small)
		atomic_fetch_add_explicit(&extents->small_bytes, EXTENT_SMALL_SIZE,
		                          memory_order_relaxed);
	atomic_fetch_add_explicit(&extents->free_bytes, extent_size(id), memory_order_relaxed);
}

/* ER1. A large one, if its bytes may go. */
uint32_t extents_pop_large(struct extents *extents, uint64_t floor)
{
	uint64_t free = atomic_load_explicit(&extents->free_bytes, memory_order_relaxed);
	uint32_t popped;

	do {
		if (extents_usable(extents) < floor + EXTENT_SIZE)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(&extents->free_bytes, &free,
	                                                free - EXTENT_SIZE, memory_order_relaxed,
	                                                memory_order_relaxed));
	popped = extents_stack_pop(extents, &extents->free_large);
	if (popped == 0)
		atomic_fetch_add_explicit(&extents->free_bytes, EXTENT_SIZE, memory_order_relaxed);
	return popped;
}

static uint32_t pop_small(struct extents *extents)
{
	uint32_t popped = extents_stack_pop(extents, &extents->free_small);

	if (popped == 0)
		return 0;
	atomic_fetch_sub_explicit(&extents->free_bytes, EXTENT_SMALL_SIZE, memory_order_relaxed);
	atomic_fetch_sub_explicit(&extents->small_bytes, EXTENT_SMALL_SIZE, memory_order_relaxed);
	return popped;
}

uint32_t extents_free_pop(struct extents *extents, uint64_t need, bool small,
                          enum extent_urgency urgency)
{
	uint64_t floor = floor_of(extents, urgency);
	bool apart = extents_apart(extents);
	uint32_t popped = 0;

	/* Those that are apart are no part of the reserve. */
	if (!apart)
		small = arena_size(extents->arena) <= EXTENT_SIZE &&
		        free_beyond(extents, floor + EXTENT_SMALL_SIZE - 1);
	if (small && need <= EXTENT_SMALL_SIZE)
		popped = pop_small(extents);
	if (popped == 0)
		popped = extents_pop_large(extents, floor);
	if (popped == 0 && !apart && need <= EXTENT_SMALL_SIZE &&
	    free_beyond(extents, floor + EXTENT_SMALL_SIZE - 1))
		popped = pop_small(extents);
	return popped;
}

/* ---- growth ---- */

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
	int rc = extents_bring_back(extents);

	if (rc != BWT_NOT_FOUND)
		return rc;
	if (step > GROW_STEP_MAX)
		step = GROW_STEP_MAX;
	if (limit < size + step)
		step = limit > size + EXTENT_SIZE ? (limit - size) / EXTENT_SIZE * EXTENT_SIZE
		                                  : EXTENT_SIZE;
	if (size < EXTENT_SIZE)
		target = need <= EXTENT_SMALL_SIZE && size < SMALL_FILE ? size + EXTENT_SMALL_SIZE
		                                                        : 2 * EXTENT_SIZE;
	else
		target = size + step;
	rc = arena_grow(extents->arena, target, &old_size, &new_size);
	if (rc == BWT_FULL && size >= EXTENT_SIZE && step > EXTENT_SIZE)
		rc = arena_grow(extents->arena, size + EXTENT_SIZE, &old_size, &new_size);
	if (rc == BWT_FULL && size >= SMALL_FILE && size < EXTENT_SIZE && need <= EXTENT_SMALL_SIZE)
		rc = arena_grow(extents->arena, size + EXTENT_SMALL_SIZE, &old_size, &new_size);
	if (rc == BWT_OK)
		add_new(extents, old_size, new_size);
	return rc;
}

int extents_grow(struct extents *extents, uint64_t need)
{
	uint64_t size = extents_bytes(extents);
	int rc = grow(extents, need);

	if (rc == BWT_FULL)
		atomic_store_explicit(&extents->refused, size, memory_order_relaxed);
	return rc;
}

uint64_t extents_growth_most(const struct extents *extents)
{
	uint64_t size = extents_bytes(extents);

	/* The disk may have room again: growing is tried whenever there is no other way. */
	if (atomic_load_explicit(&extents->refused, memory_order_relaxed) == size)
		return size;
	return extents->arena->max_size;
}

int extents_extend(struct extents *extents)
{
	return extents_grow(extents, EXTENT_SMALL_SIZE);
}

int extents_extend_ahead(struct extents *extents)
{
	return grow(extents, EXTENT_SMALL_SIZE);
}

/* ---- room for a request ---- */

/* Bytes of the extent that a request of @need will get, at least. */
static uint64_t unit_for(const struct extents *extents, uint64_t need)
{
	bool small = !extents_apart(extents) &&
	             atomic_load_explicit(&extents->small_bytes, memory_order_relaxed) != 0;

	small = small || arena_size(extents->arena) <= EXTENT_SIZE;

	return need <= EXTENT_SMALL_SIZE && small ? EXTENT_SMALL_SIZE : EXTENT_SIZE;
}

bool extents_have_room(const struct extents *extents, enum extent_urgency urgency)
{
	return free_beyond(extents,
	                   floor_of(extents, urgency) + unit_for(extents, EXTENT_SMALL_SIZE) - 1);
}

/* The reserve is kept by growth as long as there is any; only then its parts go. */
int extents_make_room(struct extents *extents, uint64_t need, enum extent_urgency urgency)
{
	uint64_t unit = unit_for(extents, need);
	/* Where the file can grow, small extents are not a reason not to. */
	uint64_t grown = arena_size(extents->arena) > EXTENT_SIZE ? EXTENT_SIZE : unit;
	uint64_t limit = atomic_load_explicit(&extents->growth_limit, memory_order_relaxed);
	uint64_t wanted = floor_of(extents, URGENCY_PUT);
	int rc = BWT_OK;

	if (free_beyond(extents, wanted + grown - 1))
		return BWT_OK;
	extents_reclaim(extents);
	/* Beyond the limit only for who would get nothing. */
	if (extents_bytes(extents) >= limit && urgency >= URGENCY_CARE)
		wanted = floor_of(extents, urgency);
	while (rc == BWT_OK && !free_beyond(extents, wanted + grown - 1))
		rc = extents_grow(extents, need);
	if (rc != BWT_FULL)
		return rc;
	return free_beyond(extents, floor_of(extents, urgency) + unit - 1) ? BWT_OK : rc;
}
