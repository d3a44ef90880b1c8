/* SPDX-License-Identifier: MIT */
/*
 * scan.c - what a reader sees of one leaf, copied out
 *
 * The base page is copied whole, or from some entry on, to its own offsets, so that pointers into it only move;
 * what deltas add is appended behind it. Most leaves leave no choice but among their deltas: those
 * are merged with the base page's entries on the fly.
 */
#include "tree/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "page/page_bytes.h"
#include "tree/consolidate.h"
#include "tree/heat.h"

static const struct bwt_slice all = {NULL, 0}; /* as a lower bound: the whole leaf */

static int reserve(void **memory, size_t *capacity, size_t need, size_t unit)
{
	void *grown;

	if (need <= *capacity)
		return BWT_OK;
	need += need / 2;
	grown = realloc(*memory, need * unit);
	if (grown == NULL)
		return -ENOMEM;
	*memory = grown;
	*capacity = need;
	return BWT_OK;
}

static int copy_reserve(struct leaf_copy *copy, unsigned entries, size_t bytes)
{
	size_t capacity = copy->capacity;
	void *memory = copy->entries;
	int rc = reserve(&memory, &capacity, entries, sizeof *copy->entries);

	copy->entries = memory;
	copy->capacity = (unsigned)capacity;
	if (rc < 0)
		return rc;
	memory = copy->bytes;
	rc = reserve(&memory, &copy->bytes_capacity, bytes, 1);
	copy->bytes = memory;
	return rc;
}

struct copier {
	const struct base_page *base;
	struct leaf_copy *copy;
	size_t used; /* bytes of the copy so far */
};

/* Where @data of the arena lies in the copy: in the base page's copy, or appended now. */
static const uint8_t *carry(struct copier *copier, const void *data, size_t size)
{
	uintptr_t off = (uintptr_t)data - (uintptr_t)copier->base;
	uint8_t *to = copier->copy->bytes + copier->used;

	if (size == 0)
		return copier->copy->bytes;
	if (off < copier->base->head.size)
		return copier->copy->bytes + off;
	memcpy(to, data, size);
	copier->used += size;
	return to;
}

static void carry_entry(struct copier *copier, const struct page_entry *from)
{
	struct scan_entry *to = &copier->copy->entries[copier->copy->count++];

	to->key.prefix_size = from->key.prefix_size;
	to->key.suffix_size = from->key.suffix_size;
	to->key.prefix = carry(copier, from->key.prefix, from->key.prefix_size);
	to->key.suffix = carry(copier, from->key.suffix, from->key.suffix_size);
	to->value = carry(copier, from->value, from->value_size);
	to->value_size = from->value_size;
	to->flags = from->flags & VERSION_VLOG;
}

/* @low: what the copy began with; size 0: the leaf's own fence */
static int carry_fences(struct copier *copier, struct bwt_slice low)
{
	const struct base_page *base = copier->base;
	struct leaf_copy *copy = copier->copy;
	struct bwt_slice high = base_high(base);

	if (low.size == 0 || key_compare(low, base_low(base)) < 0)
		low = base_low(base);
	copy->low = (struct bwt_slice){carry(copier, low.data, low.size), low.size};
	copy->right = base->right;
	copy->high = (struct bwt_slice){NULL, 0};
	if (base->right != 0)
		copy->high = (struct bwt_slice){carry(copier, high.data, high.size), high.size};
	return BWT_OK;
}

/* The versions that are chosen, compacted to the front; returns their number, *extra: bytes outside the base page. */
static unsigned choose_all(const struct base_page *base, struct page_entry *entries, unsigned count,
                           version_choice choose, void *ctx, size_t *extra)
{
	unsigned kept = 0, end;

	*extra = 0;
	for (unsigned from = 0; from < count; from = end) {
		int chosen;

		for (end = from + 1; end < count && (entries[end].flags & VERSION_OLDER) != 0; end++)
			continue;
		chosen = choose(ctx, entries + from, end - from);
		if (chosen < 0 || (entries[from + (unsigned)chosen].flags & VERSION_TOMBSTONE) != 0)
			continue;
		entries[kept] = entries[from + (unsigned)chosen];
		if ((uintptr_t)entries[kept].value - (uintptr_t)base >= base->head.size ||
		    entries[kept].word != NULL)
			*extra += key_ref_size(&entries[kept].key) + entries[kept].value_size;
		kept++;
	}
	return kept;
}

/* ---- leaves without a choice ---- */

/*
 * Does the reader see every entry of the base page, and has each key one? Then only deltas have versions to choose
 * from, and entries are carried without being looked at. All of a page's LSNs lie below that of the page.
 */
static bool is_plain(const struct base_page *base, version_choice choose, void *ctx)
{
	struct page_entry newest = {.lsn = base->head.lsn == 0 ? 0 : base->head.lsn - 1};

	return base->keys == base->count && base->count != 0 && choose(ctx, &newest, 1) == 0;
}

/* Entries [from, to) of the base page, whose bytes are in the copy. */
static void carry_base(struct copier *copier, unsigned from, unsigned to)
{
	const struct base_page *base = copier->base;
	const uint32_t *slots = page_slots(base);
	ptrdiff_t moved = copier->copy->bytes - (const uint8_t *)base;
	struct scan_entry *entries = copier->copy->entries + copier->copy->count;

	for (unsigned i = from; i < to; i++) {
		struct scan_entry *entry = &entries[i - from];
		struct entry_view view;

		entry_view(base, slots[i], &view);
		entry->key.prefix = base->bytes + moved;
		entry->key.prefix_size = base->prefix_size;
		entry->key.suffix = view.suffix + moved;
		entry->key.suffix_size = view.suffix_size;
		entry->value = view.suffix + view.suffix_size + moved;
		entry->value_size = view.value_size;
		entry->flags = view.flags & VERSION_VLOG;
	}
	copier->copy->count += to - from;
}

/* The versions [@deltas, @end) of one key, over entries of the base page from @from on; returns where to go on there. */
static unsigned carry_key(struct copier *copier, struct page_entry *deltas, unsigned count,
                          unsigned from, version_choice choose, void *ctx)
{
	const struct base_page *base = copier->base;
	struct bwt_slice key = {deltas->key.suffix,
	                        deltas->key.suffix_size}; /* of a delta: in one piece */
	unsigned to = leaf_lower_bound(base, key);
	struct page_entry beneath;
	int chosen;

	carry_base(copier, from, to);
	chosen = choose(ctx, deltas, count);
	if (chosen < 0)
		return to;
	if ((deltas[chosen].flags & VERSION_TOMBSTONE) == 0)
		carry_entry(copier, &deltas[chosen]);
	if (to == base->count)
		return to;
	leaf_entry(base, to, &beneath);
	return to + (key_ref_compare_slice(&beneath.key, key) == 0);
}

static int copy_plain(const struct tree *tree, const struct place *place, struct bwt_slice low,
                      version_choice choose, void *ctx, struct leaf_copy *copy)
{
	const struct base_page *base = place->base;
	struct copier copier = {base, copy, base->head.size};
	struct page_entry deltas[DELTA_CHAIN_MAX];
	unsigned count = chain_deltas(tree->env->arena->base, place_head(place), low, deltas);
	unsigned from = low.size == 0 ? 0 : leaf_lower_bound(base, low), end;
	uint32_t start = from < base->count ? page_slots(base)[from] : base->fences_off;
	size_t extra = 0;
	int rc;

	for (unsigned i = 0; i < count; i++)
		extra += key_ref_size(&deltas[i].key) + deltas[i].value_size;
	rc = copy_reserve(copy, base->count - from + count, base->head.size + extra + low.size);
	if (rc < 0)
		return rc;
	/* Only what is pointed to: the prefix, the entries, the fences; where they were. */
	memcpy(copy->bytes + offsetof(struct base_page, bytes), base->bytes, base->prefix_size);
	memcpy(copy->bytes + start, (const uint8_t *)base + start, base->head.size - start);
	copy->count = 0;
	for (unsigned i = 0; i < count; i = end) {
		for (end = i + 1; end < count && (deltas[end].flags & VERSION_OLDER) != 0; end++)
			continue;
		from = carry_key(&copier, deltas + i, end - i, from, choose, ctx);
	}
	carry_base(&copier, from, base->count);
	return carry_fences(&copier, low);
}

/* ---- all others ---- */

static int copy_chosen(const struct tree *tree, struct epoch_slot *slot, const struct place *place,
                       version_choice choose, void *ctx, struct leaf_copy *copy)
{
	const uint8_t *arena = tree->env->arena->base;
	const struct base_page *base = place->base;
	struct copier copier = {base, copy, base->head.size};
	unsigned room = chain_version_count(arena, place_head(place));
	struct page_entry *entries = slot_scratch(slot, room * sizeof *entries + 1);
	unsigned count;
	size_t extra;
	int rc;

	if (entries == NULL)
		return -ENOMEM;
	count = choose_all(base, entries, chain_merge(arena, place_head(place), entries), choose,
	                   ctx, &extra);
	rc = copy_reserve(copy, count, base->head.size + extra);
	if (rc < 0)
		return rc;
	memcpy(copy->bytes, base, base->head.size);
	copy->count = 0;
	for (unsigned i = 0; i < count; i++)
		carry_entry(&copier, &entries[i]);
	return carry_fences(&copier, (struct bwt_slice){NULL, 0});
}

/* @low: the keys from there on are enough; size 0: all */
static int copy_place(const struct tree *tree, struct epoch_slot *slot, const struct place *place,
                      struct bwt_slice low, version_choice choose, void *ctx, struct leaf_copy *copy)
{
	page_prefetch(tree, place->base->right);
	return is_plain(place->base, choose, ctx)
	               ? copy_plain(tree, place, low, choose, ctx, copy)
	               : copy_chosen(tree, slot, place, choose, ctx, copy);
}

int tree_copy_leaf(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                   bool before, version_choice choose, void *ctx, struct leaf_copy *copy)
{
	struct place place;
	int rc = before ? tree_descend(tree, key, true, 0, &place, NULL)
	                : tree_descend_reading(tree, slot, key, &place);

	if (rc < 0)
		return rc;
	if (before)
		heat_note(tree, slot, &place);
	return copy_place(tree, slot, &place, all, choose, ctx, copy);
}

int tree_copy_leaf_from(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                        version_choice choose, void *ctx, struct leaf_copy *copy)
{
	struct place place;
	int rc = tree_descend_reading(tree, slot, key, &place);

	return rc < 0 ? rc : copy_place(tree, slot, &place, key, choose, ctx, copy);
}

/*
 * @page was the right neighbour of the leaf that ended at @key. It still begins there unless it went by a merge
 * meanwhile, or its id was given to another page, which tree, level and low fence tell.
 */
static bool still_begins_at(const struct tree *tree, page_id page, struct bwt_slice key,
                            struct place *place)
{
	uint64_t word = mapping_load(tree->env->mapping, page);

	return mapping_is_page(word) && page_look(tree, page, place) == BWT_OK &&
	       !mapping_frozen(place->word) && place->base->head.tree == tree->id &&
	       place->base->level == 0 && key_compare(base_low(place->base), key) == 0;
}

int tree_copy_next_leaf(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                        version_choice choose, void *ctx, struct leaf_copy *copy)
{
	struct place place;

	if (copy->right != 0 && still_begins_at(tree, copy->right, key, &place)) {
		heat_note(tree, slot, &place);
		return copy_place(tree, slot, &place, all, choose, ctx, copy);
	}
	return tree_copy_leaf(tree, slot, key, false, choose, ctx, copy);
}

int tree_copy_last_leaf(const struct tree *tree, struct epoch_slot *slot, version_choice choose,
                        void *ctx, struct leaf_copy *copy)
{
	struct place place;
	int rc = tree_descend_last(tree, &place);

	if (rc < 0)
		return rc;
	heat_note(tree, slot, &place);
	return copy_place(tree, slot, &place, all, choose, ctx, copy);
}

void leaf_copy_free(struct leaf_copy *copy)
{
	free(copy->entries);
	free(copy->bytes);
	memset(copy, 0, sizeof *copy);
}
