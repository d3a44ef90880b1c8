/* SPDX-License-Identifier: MIT */
/*
 * mapping.c - page id -> newest record of that page
 *
 * Why: links inside the tree are page ids, so replacing, splitting or consolidating a page is one
 * change to one 64-bit word. When you ask "where does it take effect?", it is mapping_swap().
 * Invariants M1 to M8 are in the header.
 *
 * From the paper (Levandoski, Lomet, Sengupta, ICDE 2013), except that words hold arena offsets,
 * not addresses (after a restart the arena may be mapped elsewhere), and the chain's length, so
 * that deciding to consolidate costs no memory access.
 */
#include "tree/mapping.h"

#include <errno.h>
#include <string.h>

#include "base/testpoint.h"
#include "bwt.h"
#include "sys/map.h"

int mapping_init(struct mapping *mapping, struct epoch *epoch, uint64_t capacity,
                 const _Atomic(uint64_t) *interval)
{
	int rc;

	memset(mapping, 0, sizeof *mapping);
	mapping->epoch = epoch;
	atomic_init(&mapping->next_id, 1);
	rc = cow_init(&mapping->table, capacity, interval);
	if (rc < 0)
		return rc;
	mapping->links = sys_reserve(mapping->table.capacity * sizeof *mapping->links);
	mapping->died = sys_reserve(mapping->table.capacity * sizeof *mapping->died);
	if (mapping->links != NULL && mapping->died != NULL)
		return BWT_OK;
	mapping_deinit(mapping);
	return -ENOMEM;
}

void mapping_deinit(struct mapping *mapping)
{
	if (mapping->links != NULL)
		sys_release(mapping->links, mapping->table.capacity * sizeof *mapping->links);
	if (mapping->died != NULL)
		sys_release(mapping->died, mapping->table.capacity * sizeof *mapping->died);
	cow_deinit(&mapping->table);
	mapping->links = NULL;
	mapping->died = NULL;
}

/*
 * Order: RELEASE on success - the record's bytes are visible before its offset is; pairs with the
 *        ACQUIRE in mapping_load(). RELAXED on failure - the loser follows nothing from here.
 * Strong, not weak: a spurious failure would cost the caller a record built for nothing.
 */
bool mapping_swap(struct mapping *mapping, page_id page, uint64_t seen, uint64_t next)
{
	BWT_ASSERT(page != 0 && page < mapping->table.capacity);
	BWT_ASSERT(next != seen && !mapping_has(seen, MAPPING_FROZEN | MAPPING_REMOVED));
	return atomic_compare_exchange_strong_explicit(&mapping->table.words[page], &seen, next,
	                                               memory_order_release, memory_order_relaxed);
}

uint64_t mapping_seen(struct mapping *mapping, page_id page, uint64_t word)
{
	uint64_t seen = word;

	/* RELAXED: the records were durable before this life. A loser lost to a writer, who had seen it, too. */
	atomic_compare_exchange_strong_explicit(&mapping->table.words[page], &seen,
	                                        mapping_stored(word), memory_order_relaxed,
	                                        memory_order_relaxed);
	return mapping_stored(word);
}

void mapping_set(struct mapping *mapping, page_id page, uint64_t word)
{
	atomic_store_explicit(&mapping->table.words[page], word, memory_order_release);
}

/* Stacks of ids, linked through links[]: tag << 32 | id. Each change counts the tag up. */
static uint64_t tag_step(void)
{
	return TEST_FAULT("ids_no_tag") ? 0 : 1;
}

static void ids_push(struct mapping *mapping, _Atomic(uint64_t) *stack, page_id page)
{
	uint64_t head = atomic_load_explicit(stack, memory_order_relaxed);
	uint64_t next;

	do {
		atomic_store_explicit(&mapping->links[page], (uint32_t)head, memory_order_relaxed);
		next = ((head >> 32) + tag_step()) << 32 | page;
	} while (!atomic_compare_exchange_weak_explicit(stack, &head, next, memory_order_release,
	                                                memory_order_relaxed));
}

static page_id ids_pop(struct mapping *mapping, _Atomic(uint64_t) *stack)
{
	uint64_t head = atomic_load_explicit(stack, memory_order_acquire);

	while ((uint32_t)head != 0) {
		uint32_t below =
			atomic_load_explicit(&mapping->links[(uint32_t)head], memory_order_relaxed);

		if (atomic_compare_exchange_weak_explicit(stack, &head,
		                                          ((head >> 32) + tag_step()) << 32 | below,
		                                          memory_order_acquire, memory_order_acquire))
			return (uint32_t)head;
	}
	return 0;
}

page_id mapping_alloc(struct mapping *mapping)
{
	page_id page = ids_pop(mapping, &mapping->free_ids);

	if (page == 0) {
		page = atomic_load_explicit(&mapping->next_id, memory_order_relaxed);
		do {
			if (page >= mapping->table.capacity)
				return 0;
		} while (!atomic_compare_exchange_weak_explicit(&mapping->next_id, &page, page + 1,
		                                                memory_order_relaxed,
		                                                memory_order_relaxed));
	}
	atomic_fetch_add_explicit(&mapping->used, 1, memory_order_relaxed);
	if (mapping_touch(mapping, page))
		return page;
	mapping_unalloc(mapping, page);
	return 0;
}

void mapping_unalloc(struct mapping *mapping, page_id page)
{
	mapping_set(mapping, page, 0);
	atomic_fetch_sub_explicit(&mapping->used, 1, memory_order_relaxed);
	ids_push(mapping, &mapping->free_ids, page);
}

static void retire_id(struct mapping *mapping, page_id page, uint64_t word)
{
	mapping_set(mapping, page, word);
	atomic_fetch_sub_explicit(&mapping->used, 1, memory_order_relaxed);
	if (TEST_FAULT("mapping_id_at_once")) {
		mapping_set(mapping, page, 0);
		ids_push(mapping, &mapping->free_ids, page);
		return;
	}
	mapping->died[page] = epoch_advance(mapping->epoch);
	ids_push(mapping, &mapping->limbo, page);
}

void mapping_clear(struct mapping *mapping, page_id page)
{
	retire_id(mapping, page, 0);
}

void mapping_remove(struct mapping *mapping, page_id page)
{
	retire_id(mapping, page, (uint64_t)MAPPING_REMOVED << 56);
	atomic_fetch_add_explicit(&mapping->removed, 1, memory_order_relaxed);
}

void mapping_reclaim(struct mapping *mapping)
{
	uint32_t link = (uint32_t)atomic_exchange_explicit(&mapping->limbo, 0, memory_order_acquire);
	uint64_t oldest = epoch_oldest(mapping->epoch);

	while (link != 0) {
		page_id page = link;

		link = atomic_load_explicit(&mapping->links[page], memory_order_relaxed);
		if (mapping->died[page] >= oldest) {
			ids_push(mapping, &mapping->limbo, page);
			continue;
		}
		mapping_set(mapping, page, 0); /* M8: nobody can be on his way to it any more */
		ids_push(mapping, &mapping->free_ids, page);
	}
}

void mapping_finish(struct mapping *mapping, uint64_t next_id)
{
	uint64_t used = 0;

	atomic_store_explicit(&mapping->next_id, next_id, memory_order_relaxed);
	for (page_id page = next_id; page-- > 1;) {
		if (mapping_load(mapping, page) == 0)
			ids_push(mapping, &mapping->free_ids, page);
		else
			used++;
	}
	atomic_store_explicit(&mapping->used, used, memory_order_relaxed);
}
