/* SPDX-License-Identifier: MIT */
/*
 * inner.c - build an inner page, find a child in it
 *
 * Keys lie one after the other, so the offset of the next one (of the fences, after the last) is
 * where a key ends.
 */
#include "base/assert.h"
#include "page/base_page.h"
#include "page/page_bytes.h"
#include "page/search.h"

struct inner_layout {
	uint32_t prefix_size;
	size_t heads_off, children_off, slots_off, keys_off, fences_off, size;
};

static void inner_plan(struct inner_layout *plan, const struct inner_entry *entries, unsigned count,
                       const struct page_bounds *bounds)
{
	size_t bytes = 0;

	plan->prefix_size = count > 1 ? key_ref_common(&entries[1].key, &entries[count - 1].key) : 0;
	for (unsigned i = 1; i < count; i++)
		bytes += key_ref_size(&entries[i].key) - plan->prefix_size;
	plan->heads_off = round_up(sizeof(struct base_page) + plan->prefix_size, sizeof(uint32_t));
	plan->children_off = plan->heads_off + count * sizeof(uint32_t);
	plan->slots_off = plan->children_off + count * sizeof(uint32_t);
	plan->keys_off = plan->slots_off + count * sizeof(uint32_t);
	plan->fences_off = plan->keys_off + bytes;
	plan->size = round_up(plan->fences_off + bounds->low.size + bounds->high.size, BLOCK_ALIGN);
}

size_t inner_size(const struct inner_entry *entries, unsigned count, const struct page_bounds *bounds)
{
	struct inner_layout plan;

	inner_plan(&plan, entries, count, bounds);
	return plan.size;
}

static void inner_fill(struct base_page *to, const struct inner_entry *entries, unsigned count)
{
	uint8_t *start = (uint8_t *)to;
	uint32_t *heads = (uint32_t *)(void *)(start + to->heads_off);
	uint32_t *children = (uint32_t *)(void *)(start + to->children_off);
	uint32_t *slots = (uint32_t *)(void *)(start + to->slots_off);
	uint8_t *at = (uint8_t *)(slots + count);

	for (unsigned i = 0; i < count; i++) {
		uint32_t suffix_size = 0;

		BWT_ASSERT(entries[i].child != 0 && entries[i].child <= UINT32_MAX);
		children[i] = (uint32_t)entries[i].child;
		slots[i] = (uint32_t)(at - start);
		if (i != 0) /* P3 */
			suffix_size = key_ref_copy(&entries[i].key, to->prefix_size, at);
		heads[i] = head_of(at, suffix_size);
		at += suffix_size;
	}
	BWT_ASSERT(at == start + to->fences_off);
}

void inner_build(struct base_page *to, size_t size, const struct inner_entry *entries,
                 unsigned count, unsigned level, const struct page_bounds *bounds, page_id page,
                 uint32_t tree, uint64_t clock)
{
	struct inner_layout plan;

	BWT_ASSERT(count != 0 && level != 0);
	inner_plan(&plan, entries, count, bounds);
	BWT_ASSERT(plan.size == size);
	base_begin(to, size, BLOCK_INNER, bounds, page, tree, clock);
	to->count = count;
	to->level = (uint16_t)level;
	to->prefix_size = (uint16_t)plan.prefix_size;
	to->heads_off = (uint32_t)plan.heads_off;
	to->children_off = (uint32_t)plan.children_off;
	to->slots_off = (uint32_t)plan.slots_off;
	to->fences_off = (uint32_t)plan.fences_off;
	if (plan.prefix_size != 0) {
		struct key_ref prefix = key_ref_begin(&entries[1].key, plan.prefix_size);

		key_ref_copy(&prefix, 0, to->bytes);
	}
	for (size_t off = sizeof *to + plan.prefix_size; off < plan.heads_off; off++)
		((uint8_t *)to)[off] = 0;
	inner_fill(to, entries, count);
	base_finish(to, bounds);
}

static inline void suffix_at(const struct base_page *page, unsigned index, const uint8_t **suffix,
                             uint32_t *suffix_size)
{
	const uint32_t *slots = page_slots(page);
	uint32_t end = index + 1 < page->count ? slots[index + 1] : page->fences_off;

	*suffix = page_at(page, slots[index]);
	*suffix_size = end - slots[index];
}

/* Of the children [@from, @to), @from >= 1, whose keys have the same head: the first whose key is
 * > @suffix (with @before: >= @suffix); @to if none. */
static unsigned tie_bound(const struct base_page *page, unsigned from, unsigned to,
                          const uint8_t *suffix, size_t suffix_size, bool before)
{
	while (from < to) {
		unsigned middle = from + (to - from) / 2;
		const uint8_t *other;
		uint32_t other_size;

		suffix_at(page, middle, &other, &other_size);
		if (bytes_order(other, other_size, suffix, suffix_size) < (before ? 0 : 1))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

page_id inner_child(const struct base_page *page, unsigned index)
{
	const uint32_t *children = (const uint32_t *)(const void *)page_at(page, page->children_off);

	BWT_ASSERT(index < page->count);
	return children[index];
}

/* The child of the keys with the page's prefix that go on with @suffix, whose head is @head. */
static inline unsigned search_suffix(const struct base_page *page, const uint8_t *suffix,
                                     size_t suffix_size, uint32_t head, bool before)
{
	const struct search_ops *ops = search_ops();
	const uint32_t *heads = page_heads(page);
	unsigned count = page->count, from, to;

	from = 1 + ops->lower_bound(heads + 1, count - 1, head); /* P3: child 0 has no head */
	if (__builtin_expect(from == count || heads[from] != head, 1))
		return from - 1;
	to = from + 1;
	if (to < count && heads[to] == head)
		to = head == UINT32_MAX ? count
		                        : to + ops->lower_bound(heads + to, count - to, head + 1);
	return tie_bound(page, from, to, suffix, suffix_size, before) - 1;
}

unsigned inner_search(const struct base_page *page, struct bwt_slice key, bool before)
{
	int order = prefix_order(page, key);
	const uint8_t *suffix;
	size_t suffix_size;

	if (order != 0)
		return order < 0 ? 0 : page->count - 1;
	suffix = key_rest(key, page->prefix_size);
	suffix_size = key.size - page->prefix_size;
	return search_suffix(page, suffix, suffix_size, head_of(suffix, suffix_size), before);
}

/* @key has not the prefix of the keys of children 1 and on: it is below all of these, and the high fence, or above all. */
static page_id step_beside(const struct base_page *page, struct bwt_slice key)
{
	if (prefix_order(page, key) < 0)
		return inner_child(page, 0);
	return page->right == 0 ? inner_child(page, page->count - 1) : 0;
}

page_id inner_step(const struct base_page *page, struct bwt_slice key)
{
	size_t prefix_size = page->prefix_size, suffix_size = key.size - prefix_size;
	const uint8_t *suffix;
	uint32_t head;

	if (key.size < prefix_size || !bytes_equal(key.data, page->bytes, prefix_size))
		return step_beside(page, key);
	suffix = key_rest(key, prefix_size);
	head = head_of(suffix, suffix_size);
	if (page->right != 0 && head >= page->high_head)
		return 0;
	return inner_child(page, search_suffix(page, suffix, suffix_size, head, false));
}

void inner_key(const struct base_page *page, unsigned index, struct key_ref *key)
{
	BWT_ASSERT(index < page->count);
	if (index == 0) {
		*key = key_ref_of(base_low(page)); /* P3 */
		return;
	}
	key->prefix = page->bytes;
	key->prefix_size = page->prefix_size;
	suffix_at(page, index, &key->suffix, &key->suffix_size);
}
