/* SPDX-License-Identifier: MIT */
/*
 * chain.c - walk and merge the deltas over a base page
 */
#include "page/chain.h"

#include "base/assert.h"
#include "page/page_bytes.h"
#include "page/search.h"

#define ENTRY_NOT_SEARCHED (-2)
#define ENTRY_NONE (-1)
#define MERGE_FETCH 128u /* bytes of a delta: where its key mostly lies */
#define DELTA_FETCH 256u /* bytes: header, index, key and a short value */

static const struct block_head *block_at(const uint8_t *arena, arena_off off)
{
	return (const struct block_head *)(const void *)(arena + off);
}

static const struct leaf_delta *delta_at(const uint8_t *arena, arena_off off)
{
	return (const struct leaf_delta *)(const void *)(arena + off);
}

static const struct index_delta *index_at(const uint8_t *arena, arena_off off)
{
	return (const struct index_delta *)(const void *)(arena + off);
}

static const struct base_page *base_at(const uint8_t *arena, arena_off off)
{
	return (const struct base_page *)(const void *)(arena + off);
}

const struct base_page *chain_base(const uint8_t *arena, arena_off head)
{
	switch (block_at(arena, head)->tag) {
	case BLOCK_PUT:
	case BLOCK_DELETE:
		return base_at(arena, delta_at(arena, head)->base);
	case BLOCK_INDEX_INSERT:
	case BLOCK_INDEX_DELETE:
	case BLOCK_INDEX_MERGE:
		return base_at(arena, index_at(arena, head)->base);
	default:
		return base_at(arena, head);
	}
}

/* ---- versions of a leaf ---- */

/* The @index-th newest delta of the chain that begins with @top (D3). */
static const struct leaf_delta *chain_delta(const uint8_t *arena, const struct leaf_delta *top,
                                            unsigned index)
{
	return index == 0 ? top : delta_at(arena, top->older[index - 1]);
}

struct leaf_delta *chain_version(const uint8_t *arena, arena_off head, unsigned index)
{
	if (index >= block_at(arena, head)->chain)
		return NULL;
	return (struct leaf_delta *)(uintptr_t)chain_delta(arena, delta_at(arena, head), index);
}

static void delta_entry(const struct leaf_delta *delta, struct page_entry *entry)
{
	entry->key = key_ref_of(leaf_delta_key(delta));
	entry->value = leaf_delta_value(delta);
	entry->value_size = delta->value_size;
	entry->flags = delta->head.flags;
	entry->lsn = 0;
	/* The word is the one part of a delta that changes; readers of the entry may push or abort. */
	entry->word = (_Atomic(uint64_t) *)&delta->lsn_word;
}

void version_walk_init(struct version_walk *walk, const uint8_t *arena, arena_off head,
                       struct bwt_slice key, uint32_t hash)
{
	const struct block_head *block = block_at(arena, head);

	walk->arena = arena;
	walk->key = key;
	walk->hash = hash;
	walk->entry = ENTRY_NOT_SEARCHED;
	if (block->chain == 0) {
		walk->top = NULL;
		walk->matches = 0;
		walk->base = base_at(arena, head);
		return;
	}
	walk->top = delta_at(arena, head);
	walk->base = base_at(arena, walk->top->base);
	walk->matches = search_ops()->match_bytes(leaf_delta_fingerprints(walk->top), block->chain,
	                                          (uint8_t)hash);
}

void version_walk_fetch(const struct version_walk *walk)
{
	if (walk->matches != 0)
		lines_fetch(chain_delta(walk->arena, walk->top,
		                        (unsigned)__builtin_ctzll(walk->matches)),
		            DELTA_FETCH);
	else
		leaf_fetch_entry(walk->base, walk->hash);
}

/* The next entry of the base page for the walk's key. What lies behind the newest is looked at when it is asked for. */
static bool walk_base(struct version_walk *walk, struct page_entry *entry)
{
	const struct base_page *base = walk->base;
	bool newest = walk->entry == ENTRY_NOT_SEARCHED;

	if (newest)
		walk->entry = leaf_find(base, walk->key, walk->hash);
	else if (walk->entry != ENTRY_NONE && (unsigned)++walk->entry == base->count)
		walk->entry = ENTRY_NONE;
	if (walk->entry == ENTRY_NONE)
		return false;
	entry_read(base, page_slots(base)[walk->entry], entry);
	if (newest || (entry->flags & VERSION_OLDER) != 0)
		return true;
	walk->entry = ENTRY_NONE;
	return false;
}

bool version_walk_next(struct version_walk *walk, struct page_entry *entry)
{
	while (walk->matches != 0) {
		unsigned index = (unsigned)__builtin_ctzll(walk->matches);
		const struct leaf_delta *delta = chain_delta(walk->arena, walk->top, index);

		walk->matches &= walk->matches - 1;
		if (delta->hash == walk->hash && delta->key_size == walk->key.size &&
		    bytes_equal(leaf_delta_key(delta).data, walk->key.data, walk->key.size)) {
			delta_entry(delta, entry);
			return true;
		}
	}
	return walk_base(walk, entry);
}

unsigned chain_version_count(const uint8_t *arena, arena_off head)
{
	return chain_base(arena, head)->count + block_at(arena, head)->chain;
}

struct merge_key {     /* a delta on its way into key order */
	uint64_t head; /* of its key, zero-padded: decides most comparisons */
	const struct leaf_delta *delta;
};

static uint64_t merge_head(struct bwt_slice key)
{
	uint8_t bytes[8] = {0};

	if (key.size >= sizeof bytes)
		return get_be64(key.data);
	memcpy(bytes, key.data, key.size);
	return get_be64(bytes);
}

static bool merge_after(const struct merge_key *a, const struct merge_key *b)
{
	if (a->head != b->head)
		return a->head > b->head;
	return key_compare(leaf_delta_key(a->delta), leaf_delta_key(b->delta)) > 0;
}

/* Put @one among the first @count of @sorted; before (@newer) or behind those with the same key. */
static void merge_insert(struct merge_key *sorted, unsigned count, struct merge_key one, bool newer)
{
	for (; count > 0; count--) {
		if (newer ? merge_after(&one, &sorted[count - 1])
		          : !merge_after(&sorted[count - 1], &one))
			break;
		sorted[count] = sorted[count - 1];
	}
	sorted[count] = one;
}

/*
 * The deltas from @top down by (key, newest first). Keys often come in order: insertion from the end at which the
 * least ones lie moves nothing then.
 */
static void merge_sort(const uint8_t *arena, const struct leaf_delta *top, unsigned count,
                       struct merge_key *sorted)
{
	bool up = key_compare(leaf_delta_key(top),
	                      leaf_delta_key(chain_delta(arena, top, count - 1))) > 0;

	/* Each lies elsewhere, and where is known: their misses overlap. */
	for (unsigned i = 1; i < count; i++)
		lines_fetch(chain_delta(arena, top, i), MERGE_FETCH);
	for (unsigned i = 0; i < count; i++) {
		struct merge_key one;

		one.delta = chain_delta(arena, top, up ? count - 1 - i : i);
		one.head = merge_head(leaf_delta_key(one.delta));
		merge_insert(sorted, i, one, up);
	}
}

/* Entries [from, to) of the base page, behind @before (NULL: nothing) in key order. */
static void merge_base(const struct base_page *base, unsigned from, unsigned to,
                       const struct leaf_delta *before, struct page_entry *entries)
{
	const uint32_t *slots = page_slots(base);

	for (unsigned i = from; i < to; i++)
		entry_read(base, slots[i], &entries[i - from]);
	if (from < to && before != NULL &&
	    key_ref_compare_slice(&entries[0].key, leaf_delta_key(before)) == 0)
		entries[0].flags |= VERSION_OLDER;
}

unsigned chain_merge(const uint8_t *arena, arena_off head, struct page_entry *entries)
{
	const struct base_page *base = chain_base(arena, head);
	unsigned chain = block_at(arena, head)->chain, count = 0, from = 0;
	struct merge_key sorted[DELTA_CHAIN_MAX];

	BWT_ASSERT(chain <= DELTA_CHAIN_MAX);
	if (chain != 0)
		merge_sort(arena, delta_at(arena, head), chain, sorted);
	for (unsigned i = 0; i < chain; i++) {
		/* Deltas are newer than the base page: they go before its entries of the same key. */
		unsigned to = leaf_lower_bound(base, leaf_delta_key(sorted[i].delta));

		merge_base(base, from, to, i == 0 ? NULL : sorted[i - 1].delta, entries + count);
		count += to - from;
		delta_entry(sorted[i].delta, &entries[count]);
		if (from == to && i > 0 && !merge_after(&sorted[i], &sorted[i - 1]))
			entries[count].flags |= VERSION_OLDER;
		count++;
		from = to;
	}
	merge_base(base, from, base->count, chain == 0 ? NULL : sorted[chain - 1].delta,
	           entries + count);
	return count + base->count - from;
}

unsigned chain_deltas(const uint8_t *arena, arena_off head, struct bwt_slice low,
                      struct page_entry *entries)
{
	unsigned chain = block_at(arena, head)->chain, count = 0;
	struct merge_key sorted[DELTA_CHAIN_MAX];

	BWT_ASSERT(chain <= DELTA_CHAIN_MAX);
	if (chain != 0)
		merge_sort(arena, delta_at(arena, head), chain, sorted);
	for (unsigned i = 0; i < chain; i++) {
		if (key_compare(leaf_delta_key(sorted[i].delta), low) < 0)
			continue;
		delta_entry(sorted[i].delta, &entries[count]);
		if (count > 0 && !merge_after(&sorted[i], &sorted[i - 1]))
			entries[count].flags |= VERSION_OLDER;
		count++;
	}
	return count;
}

/* ---- children of an inner page ---- */

static arena_off index_below(const uint8_t *arena, arena_off head)
{
	return index_at(arena, head)->older;
}

/* The newest record that makes @key a separator, or takes it away; NULL: only the base page can tell. */
static const struct index_delta *separator_record(const uint8_t *arena, arena_off head,
                                                  const struct key_ref *key)
{
	for (; block_at(arena, head)->chain != 0; head = index_below(arena, head)) {
		const struct index_delta *delta = index_at(arena, head);

		if (delta->head.tag != BLOCK_INDEX_MERGE &&
		    key_ref_compare_slice(key, index_delta_low(delta)) == 0)
			return delta;
	}
	return NULL;
}

static bool separator_deleted(const uint8_t *arena, arena_off head, const struct key_ref *key)
{
	const struct index_delta *delta = separator_record(arena, head, key);

	return delta != NULL && delta->head.tag == BLOCK_INDEX_DELETE;
}

/* The first separator > @key (@before: >= @key), or the high fence of the page. */
static void next_separator(const uint8_t *arena, arena_off head, struct bwt_slice key, bool before,
                           struct key_ref *high)
{
	const int least = before ? 0 : 1; /* what comparing a separator to the key must give */
	const struct base_page *base = chain_base(arena, head);
	unsigned index = inner_search(base, key, before) + 1;

	*high = key_ref_of(base_high(base));
	for (; index < base->count; index++) {
		struct key_ref there;

		inner_key(base, index, &there);
		if (separator_deleted(arena, head, &there))
			continue;
		*high = there;
		break;
	}
	for (arena_off at = head; block_at(arena, at)->chain != 0; at = index_below(arena, at)) {
		struct bwt_slice low = index_delta_low(index_at(arena, at));
		struct key_ref there = key_ref_of(low);

		if (block_at(arena, at)->tag != BLOCK_INDEX_INSERT || key_compare(low, key) < least ||
		    (key_ref_size(high) != 0 && key_ref_compare_slice(high, low) <= 0))
			continue;
		if (!separator_deleted(arena, head, &there))
			*high = there;
	}
}

page_id index_search(const uint8_t *arena, arena_off head, struct bwt_slice key, bool before,
                     struct key_ref *high)
{
	const int least = before ? 1 : 0; /* what comparing the key to a lower bound must give */

	if (high != NULL)
		next_separator(arena, head, key, before, high);
	/* A newer delta splits or joins ranges of older ones, so the newest that has the key decides. */
	for (; block_at(arena, head)->chain != 0; head = index_below(arena, head)) {
		const struct index_delta *delta = index_at(arena, head);
		struct bwt_slice low = index_delta_low(delta), top = index_delta_high(delta);

		if (delta->head.tag != BLOCK_INDEX_MERGE && key_compare(key, low) >= least &&
		    (top.data == NULL || key_compare(key, top) < least))
			return delta->child;
	}
	return inner_child(base_at(arena, head), inner_search(base_at(arena, head), key, before));
}

page_id index_last(const uint8_t *arena, arena_off head)
{
	const struct base_page *base;

	/* In the rightmost page the last child is the one without an upper bound; the newest such is the last. */
	for (; block_at(arena, head)->chain != 0; head = index_below(arena, head))
		if (block_at(arena, head)->tag != BLOCK_INDEX_MERGE &&
		    index_delta_high(index_at(arena, head)).data == NULL)
			return index_at(arena, head)->child;
	base = base_at(arena, head);
	return inner_child(base, base->count - 1);
}

const struct index_delta *index_unfinished(const uint8_t *arena, arena_off head)
{
	for (; block_at(arena, head)->chain != 0; head = index_below(arena, head)) {
		if (block_at(arena, head)->tag == BLOCK_INDEX_MERGE)
			return index_at(arena, head);
		if (block_at(arena, head)->tag == BLOCK_INDEX_DELETE)
			return NULL;
	}
	return NULL;
}

bool index_has(const uint8_t *arena, arena_off head, struct bwt_slice key)
{
	const struct base_page *base = chain_base(arena, head);
	struct key_ref there = key_ref_of(key);
	const struct index_delta *delta = separator_record(arena, head, &there);

	if (delta != NULL)
		return delta->head.tag == BLOCK_INDEX_INSERT;
	inner_key(base, inner_search(base, key, false), &there);
	return key_ref_compare_slice(&there, key) == 0;
}

unsigned index_child_count(const uint8_t *arena, arena_off head)
{
	return chain_base(arena, head)->count + block_at(arena, head)->chain;
}

/* @delta over the children that are there so far; their new number. */
static unsigned index_apply(const struct index_delta *delta, struct inner_entry *entries,
                            unsigned count)
{
	struct bwt_slice low = index_delta_low(delta);
	unsigned at = count;

	while (at > 0 && key_ref_compare_slice(&entries[at - 1].key, low) > 0)
		at--;
	if (delta->head.tag == BLOCK_INDEX_INSERT) {
		memmove(entries + at + 1, entries + at, (count - at) * sizeof *entries);
		entries[at] = (struct inner_entry){key_ref_of(low), delta->child};
		return count + 1;
	}
	if (delta->head.tag == BLOCK_INDEX_DELETE) {
		BWT_ASSERT(at > 1 && key_ref_compare_slice(&entries[at - 1].key, low) == 0);
		memmove(entries + at - 1, entries + at, (count - at) * sizeof *entries);
		return count - 1;
	}
	return count;
}

unsigned index_merge(const uint8_t *arena, arena_off head, struct inner_entry *entries)
{
	const struct base_page *base = chain_base(arena, head);
	arena_off deltas[DELTA_CHAIN_MAX];
	unsigned count = base->count, chain = 0;

	for (; block_at(arena, head)->chain != 0; head = index_below(arena, head)) {
		BWT_ASSERT(chain < DELTA_CHAIN_MAX);
		deltas[chain++] = head;
	}
	for (unsigned i = 0; i < count; i++) {
		inner_key(base, i, &entries[i].key);
		entries[i].child = inner_child(base, i);
	}
	while (chain-- > 0)
		count = index_apply(index_at(arena, deltas[chain]), entries, count);
	return count;
}
