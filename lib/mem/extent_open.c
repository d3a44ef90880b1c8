/* SPDX-License-Identifier: MIT */
/*
 * extent_open.c - extents of images, a new store's first extent, and what opening knows about extents
 *
 * Opening is alone: it puts together what an image holds and what nobody stored (side entries, the free
 * ones), in the order that extent.h lists.
 */
#include "mem/extent_private.h"

#include <errno.h>

#include "bwt.h"

/* ---- images ---- */

int extents_take_image(struct extents *extents, struct epoch_slot *slot,
                       enum extent_urgency urgency, extent_id *id)
{
	bool small = extents_apart(extents) &&
	             atomic_load_explicit(&extents->small_bytes, memory_order_relaxed) != 0;
	int rc = small ? BWT_OK : extents_make_room(extents, EXTENT_SMALL_SIZE, urgency);
	uint32_t popped;

	if (rc < 0)
		return rc;
	gate_enter(slot);
	popped = extents_free_pop(extents, EXTENT_SMALL_SIZE, true, urgency);
	if (popped == 0) { /* others were faster */
		rc = BWT_FULL;
	} else if (!cow_touch(&extents->table, popped - 1)) {
		extents_free_push(extents, popped - 1);
		rc = -ENOMEM;
	} else {
		*id = popped - 1;
		atomic_store_explicit(&extents->table.words[*id],
		                      (uint64_t)EXTENT_IMAGE << 32 | extent_size(*id),
		                      memory_order_relaxed);
	}
	gate_leave(slot);
	epoch_unpin(slot);
	return rc;
}

int extents_free_image(struct extents *extents, struct epoch_slot *slot, extent_id id)
{
	bool touched;

	gate_enter(slot);
	touched = cow_touch(&extents->table, id);
	if (touched)
		atomic_store_explicit(&extents->table.words[id], 0, memory_order_relaxed);
	gate_leave(slot);
	epoch_unpin(slot);
	if (!touched)
		return -ENOMEM;
	extents_free_push(extents, id);
	return BWT_OK;
}

/* ---- opening ---- */

int extents_format(struct extents *extents)
{
	int rc = arena_size(extents->arena) >= EXTENT_SMALL_SIZE
	                 ? BWT_OK
	                 : extents_grow(extents, EXTENT_SMALL_SIZE);

	if (rc < 0)
		return rc;
	/* Growing made extent 0 free: the stack holds nothing else yet. */
	(void)extents_free_pop(extents, EXTENT_SMALL_SIZE, true, URGENCY_ALL);
	atomic_store_explicit(&extents->table.words[0],
	                      (uint64_t)EXTENT_SUPER << 32 | EXTENT_SMALL_SIZE, memory_order_relaxed);
	return BWT_OK;
}

/* While a store is opened, `opened` and `died` of the side entry carry what is known so far. */
#define OPENING_IMAGE 1u
#define OPENING_HELD 2u
#define OPENED_BEFORE UINT32_MAX /* opened: in an earlier life, so never equal to `died` */

void extents_resume(struct extents *extents, enum chunk_kind kind, uint64_t open)
{
	atomic_store_explicit(&extents->open[kind], open, memory_order_relaxed);
	if (open != 0)
		atomic_store_explicit(&extents->side[open >> 32].sealed, EXTENT_UNSEALED,
		                      memory_order_relaxed);
}

void extents_close_stale(struct extents *extents, arena_off next, arena_off end)
{
	if (next == end)
		return;
	extents_write_filler(extents->arena, next, end);
	(void)cow_touch(&extents->table,
	                extent_of(next)); /* no copies in the first interval: cannot fail */
	/* Alone, and extents_finish() looks at what is live: no death to announce here. */
	atomic_fetch_sub_explicit(&extents->table.words[extent_of(next)], end - next,
	                          memory_order_relaxed);
}

void extents_mark_image(struct extents *extents, extent_id id)
{
	extents->side[id].opened = OPENING_IMAGE;
}

void extents_mark_held(struct extents *extents, extent_id id)
{
	extents->side[id].died = OPENING_HELD;
}

void extents_finish(struct extents *extents)
{
	uint64_t count = extents_count(extents);

	for (extent_id id = 0; id < count; id++) {
		struct extent_side *side = &extents->side[id];
		_Atomic(uint64_t) *word = &extents->table.words[id];
		uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);
		bool image = side->opened == OPENING_IMAGE;
		bool held = side->died == OPENING_HELD;
		bool live = extent_live(seen) != 0 && extent_kind_of(seen) != EXTENT_IMAGE;

		side->opened = OPENED_BEFORE;
		side->died = 0;
		side->epoch = 0;
		if (image)
			atomic_store_explicit(word, (uint64_t)EXTENT_IMAGE << 32 | extent_size(id),
			                      memory_order_relaxed);
		else if (!live)
			atomic_store_explicit(word, 0, memory_order_relaxed);
		if (image || live)
			continue;
		if (held)
			extents_stack_push(extents, &extents->dead, id);
		else if (id >= EXTENT_SMALL_COUNT &&
		         arena_has_hole(extents->arena, extent_start(id), extent_size(id)))
			extents_push_gone(extents, id);
		else
			extents_free_push(extents, id);
	}
}
