/* SPDX-License-Identifier: MIT */
/*
 * splice.c - copy the runs of a leaf between its changes (rules in the header)
 *
 * Entries lie one behind the other in the order of their slots, without a gap (page_check.c), so a run of them is one
 * stretch of bytes, and its slots differ from the new ones by one number.
 */
#include "page/splice.h"

#include "base/assert.h"
#include "page/page_bytes.h"

static uint32_t entry_start(const struct base_page *page, unsigned index)
{
	return index < page->count ? page_slots(page)[index] : page->fences_off;
}

bool splice_takes(const struct base_page *page)
{
	const uint32_t *slots = page_slots(page);
	uint32_t flags = 0;

	for (unsigned i = 0; i < page->count; i++)
		flags |= get_u32(page_at(page, slots[i]));
	return (flags & (VERSION_TOMBSTONE | VERSION_OLDER | VERSION_LSN)) == 0;
}

/* The first entry of the result, or (@last) the last one; false: there is none. */
static bool outermost(const struct splice *splice, bool last, struct page_entry *entry)
{
	for (unsigned i = 0; i < splice->count; i++) {
		const struct splice_step *step = &splice->steps[last ? splice->count - 1 - i : i];
		bool run = step->from < step->to;

		if (!run && step->put == NULL)
			continue;
		if (step->put != NULL && (last || !run))
			*entry = *step->put;
		else
			leaf_entry(splice->base, last ? step->to - 1 : step->from, entry);
		return true;
	}
	return false;
}

static size_t put_size(const struct base_page *base, const struct page_entry *put)
{
	return ENTRY_FIXED_SIZE + key_ref_size(&put->key) - base->prefix_size + put->value_size;
}

struct shape {
	unsigned count;
	size_t heads_off, slots_off, entries_off, fences_off;
};

static void plan(const struct splice *splice, struct shape *shape)
{
	const struct base_page *base = splice->base;
	size_t bytes = 0;

	shape->count = 0;
	for (unsigned i = 0; i < splice->count; i++) {
		const struct splice_step *step = &splice->steps[i];

		shape->count += step->to - step->from;
		bytes += entry_start(base, step->to) - entry_start(base, step->from);
		if (step->put != NULL) {
			shape->count++;
			bytes += put_size(base, step->put);
		}
	}
	shape->heads_off =
		round_up(sizeof *base + base->prefix_size + shape->count, sizeof(uint32_t));
	shape->slots_off = shape->heads_off + shape->count * sizeof(uint32_t);
	shape->entries_off = shape->slots_off + shape->count * sizeof(uint32_t);
	shape->fences_off = shape->entries_off + bytes;
}

bool splice_fits(const struct splice *splice)
{
	struct page_entry first, last;
	bool runs = false;

	/* Without an entry of the old page, a prefix as long may be another one. */
	for (unsigned i = 0; i < splice->count; i++)
		runs = runs || splice->steps[i].from < splice->steps[i].to;
	return runs && outermost(splice, false, &first) && outermost(splice, true, &last) &&
	       key_ref_common(&first.key, &last.key) == splice->base->prefix_size;
}

size_t splice_run_bytes(const struct base_page *page, unsigned from, unsigned to)
{
	size_t stored = entry_start(page, to) - entry_start(page, from);

	return stored - (to - from) * (size_t)ENTRY_FIXED_SIZE +
	       (to - from) * (size_t)page->prefix_size;
}

size_t splice_size(const struct splice *splice, const struct page_bounds *bounds)
{
	struct shape shape;

	plan(splice, &shape);
	return round_up(shape.fences_off + bounds->low.size + bounds->high.size, BLOCK_ALIGN);
}

struct places { /* where the next entry goes */
	uint8_t *fingerprint, *entry;
	uint32_t *head, *slot;
};

static void copy_run(const struct base_page *base, const struct splice_step *step,
                     const struct base_page *to, struct places *at)
{
	const uint32_t *slots = page_slots(base) + step->from;
	unsigned count = step->to - step->from;
	uint32_t start = entry_start(base, step->from), moved;
	size_t bytes = entry_start(base, step->to) - start;

	if (count == 0)
		return;
	moved = (uint32_t)(at->entry - (const uint8_t *)to) - start; /* modulo 2^32 */
	memcpy(at->fingerprint, page_at(base, base->children_off + step->from), count);
	memcpy(at->head, page_heads(base) + step->from, count * sizeof *at->head);
	for (unsigned i = 0; i < count; i++)
		at->slot[i] = slots[i] + moved;
	memcpy(at->entry, page_at(base, start), bytes);
	at->fingerprint += count;
	at->head += count;
	at->slot += count;
	at->entry += bytes;
}

static void put_one(const struct page_entry *put, const struct base_page *to, struct places *at)
{
	uint32_t size = key_ref_size(&put->key) - to->prefix_size;
	uint8_t *suffix = at->entry + ENTRY_FIXED_SIZE;

	BWT_ASSERT(put->lsn == 0 && (put->flags & VERSION_TOMBSTONE) == 0);
	put_u32(at->entry, put->value_size << ENTRY_FLAG_BITS | (put->flags & VERSION_VLOG));
	put_u16(at->entry + 4, (uint16_t)size);
	key_ref_copy(&put->key, to->prefix_size, suffix);
	if (put->value_size != 0)
		memcpy(suffix + size, put->value, put->value_size);
	*at->fingerprint++ = (uint8_t)key_ref_hash(&put->key);
	*at->head++ = head_of(suffix, size);
	*at->slot++ = (uint32_t)(at->entry - (const uint8_t *)to);
	at->entry = suffix + size + put->value_size;
}

void splice_build(struct base_page *to, size_t size, const struct splice *splice,
                  const struct page_bounds *bounds, page_id page, uint32_t tree, uint64_t clock)
{
	const struct base_page *base = splice->base;
	uint8_t *start = (uint8_t *)to;
	struct places at;
	struct shape shape;

	plan(splice, &shape);
	base_begin(to, size, BLOCK_LEAF, bounds, page, tree, clock);
	to->count = shape.count;
	to->keys = shape.count;
	to->prefix_size = base->prefix_size;
	to->children_off = (uint32_t)sizeof *to + base->prefix_size;
	to->heads_off = (uint32_t)shape.heads_off;
	to->slots_off = (uint32_t)shape.slots_off;
	to->fences_off = (uint32_t)shape.fences_off;
	memcpy(to->bytes, base->bytes, base->prefix_size);
	at = (struct places){start + to->children_off, start + shape.entries_off,
	                     (uint32_t *)(void *)(start + to->heads_off),
	                     (uint32_t *)(void *)(start + to->slots_off)};
	for (unsigned i = 0; i < splice->count; i++) {
		copy_run(base, &splice->steps[i], to, &at);
		if (splice->steps[i].put != NULL)
			put_one(splice->steps[i].put, to, &at);
	}
	BWT_ASSERT(at.entry == start + to->fences_off);
	/* Up to three bytes between fingerprints and heads. */
	for (; at.fingerprint < start + to->heads_off; at.fingerprint++)
		*at.fingerprint = 0;
	base_finish(to, bounds);
}
