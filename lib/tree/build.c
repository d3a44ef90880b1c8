/* SPDX-License-Identifier: MIT */
/*
 * build.c - fill a new tree from sorted entries (invariants in the header)
 */
#include "tree/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tree/rebuild.h"
#include "tree/split.h"

#define LEAVES 16u /* at once, the last one not counted */
#define BUFFER_FIRST ((size_t)64 << 10)
#define ITEMS_FIRST 1024u

static_assert(LEAVES + 1 <= REBUILD_PIECES_MAX, "one swap takes them");

struct item {      /* an entry that waits, or is in the last leaf */
	size_t at; /* of the key in the buffer, the value behind it */
	uint32_t value_size;
	uint16_t key_size;
	uint8_t flags;
};

struct leaf {           /* one that is to be built */
	unsigned first; /* item */
	uint32_t low_size; /* its low fence is the beginning of its first key; 0 in the leftmost leaf */
};

struct tree_build {
	struct tree *tree;
	page_id last; /* the last leaf */
	uint8_t *buffer;
	size_t used, room;
	struct item *items;
	unsigned count, capacity;
	unsigned in_tree;             /* items of the last leaf that are in it */
	unsigned large;               /* references among the others */
	struct leaf leaf[LEAVES + 1]; /* the last one is open */
	unsigned leaf_count;          /* at least 1 */
	size_t bytes;                 /* of the open one, as a cut counts them */
};

int tree_build_new(struct tree *tree, struct tree_build **out)
{
	struct tree_build *build = calloc(1, sizeof *build);

	if (build == NULL)
		return -ENOMEM;
	build->tree = tree;
	build->last = tree->root;
	build->leaf_count = 1;
	*out = build;
	return BWT_OK;
}

void tree_build_free(struct tree_build *build)
{
	free(build->buffer);
	free(build->items);
	free(build);
}

static struct bwt_slice item_key(const struct tree_build *build, unsigned index)
{
	const struct item *item = &build->items[index];

	return (struct bwt_slice){build->buffer + item->at, item->key_size};
}

bool tree_build_follows(const struct tree_build *build, struct bwt_slice key)
{
	return build->count == 0 || key_compare(item_key(build, build->count - 1), key) < 0;
}

static size_t item_bytes(const struct tree_build *build, unsigned index)
{
	const struct item *item = &build->items[index];

	return (size_t)item->key_size + item->value_size + LEAF_ENTRY_OVERHEAD;
}

/* ---- into the tree ---- */

static void list_entries(const struct tree_build *build, struct page_entry *entries,
                         struct value_ref *stored, unsigned *stored_count)
{
	for (unsigned i = 0; i < build->count; i++) {
		const struct item *item = &build->items[i];

		entries[i] = (struct page_entry){
			.key = key_ref_of(item_key(build, i)),
			.value = build->buffer + item->at + item->key_size,
			.value_size = item->value_size,
			.flags = item->flags,
		};
		if (i >= build->in_tree && (item->flags & VERSION_VLOG) != 0)
			memcpy(&stored[(*stored_count)++], entries[i].value, sizeof *stored);
	}
}

static void list_pieces(const struct tree_build *build, struct rebuild *rebuild)
{
	rebuild->piece_count = build->leaf_count;
	for (unsigned i = 0; i < build->leaf_count; i++) {
		const struct leaf *leaf = &build->leaf[i];
		unsigned end = i + 1 < build->leaf_count ? build->leaf[i + 1].first : build->count;

		rebuild->piece[i] = (struct rebuild_piece){
			.first = leaf->first,
			.count = end - leaf->first,
			.low = {build->buffer + build->items[leaf->first].at, leaf->low_size},
		};
	}
	rebuild->piece[0].low = rebuild->bounds.low;
}

/* Tell the parents. What a full disk or memory refuses now is posted with the next ones, or stays in state 2 (split.h). */
static void post(struct rebuild *rebuild, struct epoch_slot *slot)
{
	for (unsigned i = 1; rebuild->root_size == 0 && i < rebuild->piece_count; i++) {
		struct missing_child missing = {
			true, false, rebuild->piece[i].page, 0,
			base_low(arena_at(rebuild->tree->env->arena, rebuild->piece[i].off))};

		tree_post(rebuild->tree, slot, &missing, URGENCY_PUT);
	}
}

/* The last leaf, at @place of @rebuild, is replaced. Pinned. */
static int install(struct tree_build *build, struct epoch_slot *slot, struct rebuild *rebuild,
                   struct place *place)
{
	int rc;

	do {
		rc = page_look(build->tree, build->last, place);
		if (rc < 0)
			return rc;
		base_bounds(place->base, &rebuild->bounds);
		list_pieces(build, rebuild);
		rc = rebuild_measure(rebuild);
		if (rc == BWT_OK)
			rc = rebuild_install(rebuild, slot, URGENCY_PUT);
	} while (rc == BWT_BUSY); /* a reader took the mark of a first look off */
	if (rc == BWT_OK)
		post(rebuild, slot);
	return rc;
}

/* The open leaf stays in memory (BU2), the others are let go. */
static void keep_open_leaf(struct tree_build *build)
{
	unsigned first = build->leaf[build->leaf_count - 1].first, kept = build->count - first;
	size_t from = build->items[first].at;

	memmove(build->buffer, build->buffer + from, build->used - from);
	build->used -= from;
	memmove(build->items, build->items + first, kept * sizeof *build->items);
	for (unsigned i = 0; i < kept; i++)
		build->items[i].at -= from;
	build->count = kept;
	build->in_tree = kept;
	build->large = 0;
	build->leaf[0] = (struct leaf){0, build->leaf[build->leaf_count - 1].low_size};
	build->leaf_count = 1;
}

int tree_build_flush(struct tree_build *build, struct epoch_slot *slot)
{
	struct place place;
	struct rebuild rebuild = {.tree = build->tree, .place = &place};
	unsigned added = build->count - build->in_tree;
	struct page_entry *entries;
	struct value_ref *stored;
	int rc;

	if (added == 0)
		return BWT_OK;
	entries = calloc(build->count, sizeof *entries);
	stored = calloc(build->large + 1u, sizeof *stored);
	rc = entries != NULL && stored != NULL ? BWT_OK : -ENOMEM;
	if (rc == BWT_OK) {
		list_entries(build, entries, stored, &rebuild.stored_count);
		rebuild.entries = entries;
		rebuild.stored = stored;
		extents_tend(build->tree->env->extents, slot);
		epoch_pin(slot);
		rc = install(build, slot, &rebuild, &place);
		epoch_unpin(slot);
	}
	free(entries);
	free(stored);
	if (rc < 0)
		return rc;
	build->last = rebuild.piece[rebuild.piece_count - 1].page;
	tree_keys_add(build->tree, slot, added);
	keep_open_leaf(build);
	return BWT_OK;
}

/* ---- gathering ---- */

static int make_room(struct tree_build *build, size_t bytes)
{
	if (build->room - build->used < bytes) {
		size_t room = build->room * 2 + BUFFER_FIRST + bytes;
		uint8_t *buffer = realloc(build->buffer, room);

		if (buffer == NULL)
			return -ENOMEM;
		build->buffer = buffer;
		build->room = room;
	}
	if (build->count == build->capacity) {
		unsigned capacity = build->capacity * 2 + ITEMS_FIRST;
		struct item *items = realloc(build->items, capacity * sizeof *items);

		if (items == NULL)
			return -ENOMEM;
		build->items = items;
		build->capacity = capacity;
	}
	return BWT_OK;
}

/* The item that was just appended begins a new leaf. */
static void open_leaf(struct tree_build *build)
{
	struct key_ref left = key_ref_of(item_key(build, build->count - 2)),
		       right = key_ref_of(item_key(build, build->count - 1));

	build->leaf[build->leaf_count++] =
		(struct leaf){build->count - 1, key_ref_common(&left, &right) + 1};
	build->bytes = 0;
}

int tree_build_add(struct tree_build *build, struct epoch_slot *slot, struct bwt_slice key,
                   struct bwt_slice value, uint8_t flags)
{
	size_t bytes = key.size + value.size;
	bool begins = build->count > 0 && build->bytes + bytes + LEAF_ENTRY_OVERHEAD >
	                                          build->tree->env->limits.leaf_bytes;
	int rc = begins && build->leaf_count == LEAVES + 1 ? tree_build_flush(build, slot) : BWT_OK;

	if (rc == BWT_OK)
		rc = make_room(build, bytes);
	if (rc < 0)
		return rc;
	build->items[build->count++] =
		(struct item){build->used, (uint32_t)value.size, (uint16_t)key.size, flags};
	if (key.size != 0)
		memcpy(build->buffer + build->used, key.data, key.size);
	if (value.size != 0)
		memcpy(build->buffer + build->used + key.size, value.data, value.size);
	build->used += bytes;
	build->large += (flags & VERSION_VLOG) != 0;
	if (begins)
		open_leaf(build);
	build->bytes += item_bytes(build, build->count - 1);
	return BWT_OK;
}
