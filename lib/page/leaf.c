/* SPDX-License-Identifier: MIT */
/*
 * leaf.c - build a leaf, find a key in it
 *
 * A point lookup reads header, prefix and fingerprints, which are neighbours, then one slot and one
 * entry. The heads serve ordered access.
 */
#include "base/assert.h"
#include "page/base_page.h"
#include "page/page_bytes.h"
#include "page/search.h"

#define FIND_PREFETCH 448u /* bytes: all the arrays of 32 entries; 5 to 10 % of a cold lookup */
#define ENTRY_FETCH 128u   /* bytes */
#define MATCH_MAX 64u      /* fingerprints that one match takes */

struct leaf_layout {
	uint32_t prefix_size;
	size_t heads_off, slots_off, entries_off, fences_off, size;
};

static uint32_t entry_size(const struct page_entry *entry, uint32_t prefix_size)
{
	return ENTRY_FIXED_SIZE + (entry->lsn != 0 ? ENTRY_LSN_SIZE : 0) +
	       key_ref_size(&entry->key) - prefix_size + entry->value_size;
}

static void leaf_plan(struct leaf_layout *plan, const struct page_entry *entries, unsigned count,
                      const struct page_bounds *bounds)
{
	size_t bytes = 0;

	/* Sorted: what the first and the last key share, all share. */
	plan->prefix_size = count != 0 ? key_ref_common(&entries[0].key, &entries[count - 1].key) : 0;
	for (unsigned i = 0; i < count; i++)
		bytes += entry_size(&entries[i], plan->prefix_size);
	plan->heads_off =
		round_up(sizeof(struct base_page) + plan->prefix_size + count, sizeof(uint32_t));
	plan->slots_off = plan->heads_off + count * sizeof(uint32_t);
	plan->entries_off = plan->slots_off + count * sizeof(uint32_t);
	plan->fences_off = plan->entries_off + bytes;
	plan->size = round_up(plan->fences_off + bounds->low.size + bounds->high.size, BLOCK_ALIGN);
}

size_t leaf_size(const struct page_entry *entries, unsigned count, const struct page_bounds *bounds)
{
	struct leaf_layout plan;

	leaf_plan(&plan, entries, count, bounds);
	return plan.size;
}

/* Copy @entry's suffix, the key beyond @prefix_size, to @to; returns its size. */
static inline uint32_t suffix_copy(const struct page_entry *entry, uint32_t prefix_size, uint8_t *to)
{
	const struct key_ref *key = &entry->key;

	if (prefix_size < key->prefix_size)
		return key_ref_copy(key, prefix_size, to);
	prefix_size -= key->prefix_size;
	if (key->suffix_size != prefix_size)
		memcpy(to, key->suffix + prefix_size, key->suffix_size - prefix_size);
	return key->suffix_size - prefix_size;
}

struct suffix { /* as it lies in the page that is being built */
	const uint8_t *bytes;
	uint32_t size;
};

/*
 * Append @entry at @at; returns its end.
 * @last:  in: the suffix of the entry before (NULL bytes: none); out: of this one
 * @older: out, whether both are of one key
 */
static uint8_t *entry_write(uint8_t *at, const struct page_entry *entry, uint32_t prefix_size,
                            struct suffix *last, bool *older)
{
	uint32_t flags = entry->flags & (VERSION_TOMBSTONE | VERSION_VLOG);
	uint8_t *bytes = at + ENTRY_FIXED_SIZE;
	uint32_t size;

	if (entry->lsn != 0) {
		flags |= VERSION_LSN;
		put_u64(bytes, entry->lsn);
		bytes += ENTRY_LSN_SIZE;
	}
	size = suffix_copy(entry, prefix_size, bytes);
	*older = last->bytes != NULL && last->size == size && bytes_equal(last->bytes, bytes, size);
	*last = (struct suffix){bytes, size};
	if (*older)
		flags |= VERSION_OLDER;
	put_u32(at, entry->value_size << ENTRY_FLAG_BITS | flags);
	put_u16(at + 4, (uint16_t)size);
	bytes += size;
	if (entry->value_size != 0)
		memcpy(bytes, entry->value, entry->value_size);
	return bytes + entry->value_size;
}

static void leaf_fill(struct base_page *to, const struct page_entry *entries, unsigned count)
{
	uint8_t *start = (uint8_t *)to;
	uint8_t *fingerprints = start + to->children_off;
	uint32_t *heads = (uint32_t *)(void *)(start + to->heads_off);
	uint32_t *slots = (uint32_t *)(void *)(start + to->slots_off);
	uint8_t *at = (uint8_t *)(slots + count);
	struct suffix last = {NULL, 0};

	for (unsigned i = 0; i < count; i++) {
		const struct page_entry *entry = &entries[i];
		bool older;

		slots[i] = (uint32_t)(at - start);
		at = entry_write(at, entry, to->prefix_size, &last, &older);
		heads[i] = head_of(last.bytes, last.size);
		fingerprints[i] = older ? fingerprints[i - 1] : (uint8_t)key_ref_hash(&entry->key);
		to->keys += !older && (entry->flags & VERSION_TOMBSTONE) == 0;
	}
	BWT_ASSERT(at == start + to->fences_off);
}

void leaf_build(struct base_page *to, size_t size, const struct page_entry *entries, unsigned count,
                const struct page_bounds *bounds, page_id page, uint32_t tree, uint64_t clock)
{
	struct leaf_layout plan;

	leaf_plan(&plan, entries, count, bounds);
	BWT_ASSERT(plan.size == size);
	base_begin(to, size, BLOCK_LEAF, bounds, page, tree, clock);
	to->count = count;
	to->prefix_size = (uint16_t)plan.prefix_size;
	to->children_off = (uint32_t)sizeof *to + plan.prefix_size;
	to->heads_off = (uint32_t)plan.heads_off;
	to->slots_off = (uint32_t)plan.slots_off;
	to->fences_off = (uint32_t)plan.fences_off;
	if (count != 0) {
		struct key_ref prefix = key_ref_begin(&entries[0].key, plan.prefix_size);

		key_ref_copy(&prefix, 0, to->bytes);
	}
	/* Up to three bytes between fingerprints and heads. */
	for (uint32_t off = to->children_off + count; off < to->heads_off; off++)
		((uint8_t *)to)[off] = 0;
	leaf_fill(to, entries, count);
	base_finish(to, bounds);
}

void leaf_fetch_entry(const struct base_page *page, uint32_t hash)
{
	unsigned count = page->count < MATCH_MAX ? page->count : MATCH_MAX;
	uint64_t matches =
		search_ops()->match_bytes(page_at(page, page->children_off), count, (uint8_t)hash);

	if (matches != 0)
		lines_fetch(page_at(page, page_slots(page)[__builtin_ctzll(matches)]), ENTRY_FETCH);
}

int leaf_find(const struct base_page *page, struct bwt_slice key, uint32_t hash)
{
	const struct search_ops *ops = search_ops();
	const uint8_t *fingerprints, *suffix;
	size_t prefix_size, suffix_size;

	lines_fetch(page, FIND_PREFETCH);
	prefix_size = page->prefix_size;
	if (key.size < prefix_size || !bytes_equal(key.data, page->bytes, prefix_size))
		return -1;
	suffix = key_rest(key, prefix_size);
	suffix_size = key.size - prefix_size;
	fingerprints = page_at(page, page->children_off);
	for (unsigned from = 0; from < page->count; from += MATCH_MAX) {
		unsigned count = page->count - from < MATCH_MAX ? page->count - from : MATCH_MAX;
		uint64_t matches = ops->match_bytes(fingerprints + from, count, (uint8_t)hash);

		for (; matches != 0; matches &= matches - 1) {
			unsigned index = from + (unsigned)__builtin_ctzll(matches);
			struct entry_view view;

			/* Ascending, so the first of equal keys is met first: the newest (P1). */
			entry_view(page, page_slots(page)[index], &view);
			if (view.suffix_size == suffix_size &&
			    bytes_equal(view.suffix, suffix, suffix_size))
				return (int)index;
		}
	}
	return -1;
}

/* First of the entries [@from, @to), all with the same head, whose suffix is >= @suffix; @to if none. */
static unsigned tie_lower_bound(const struct base_page *page, unsigned from, unsigned to,
                                const uint8_t *suffix, size_t suffix_size)
{
	const uint32_t *slots = page_slots(page);

	while (from < to) {
		unsigned middle = from + (to - from) / 2;
		struct entry_view view;

		entry_view(page, slots[middle], &view);
		if (bytes_order(view.suffix, view.suffix_size, suffix, suffix_size) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

unsigned leaf_lower_bound(const struct base_page *page, struct bwt_slice key)
{
	const struct search_ops *ops = search_ops();
	const uint32_t *heads = page_heads(page);
	int order = prefix_order(page, key);
	const uint8_t *suffix;
	size_t suffix_size;
	unsigned from, to;
	uint32_t head;

	if (order != 0)
		return order < 0 ? 0 : page->count;
	suffix = key_rest(key, page->prefix_size);
	suffix_size = key.size - page->prefix_size;
	head = head_of(suffix, suffix_size);
	from = ops->lower_bound(heads, page->count, head);
	if (from == page->count || heads[from] != head)
		return from;
	to = from + 1;
	if (to < page->count && heads[to] == head)
		to = head == UINT32_MAX
		             ? page->count
		             : to + ops->lower_bound(heads + to, page->count - to, head + 1);
	return tie_lower_bound(page, from, to, suffix, suffix_size);
}

void leaf_entry(const struct base_page *page, unsigned index, struct page_entry *entry)
{
	BWT_ASSERT(index < page->count);
	entry_read(page, page_slots(page)[index], entry);
}
