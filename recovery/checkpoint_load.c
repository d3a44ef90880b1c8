/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_load.c - choose the newest complete image and take the store's state from it
 *
 *   both superblocks --> newer image whole? --yes--> restore it; the older one is held, too
 *                              |no
 *                              +--> older image whole? --yes--> restore it (the longer log makes up for it)
 *                                        |no
 *                                        +--> BWT_CORRUPT
 *
 *   CL1  Until an image was read whole (image_read()) nothing of it is believed.
 *   CL2  A superblock of another format whose checksum does not match is a damaged one, if the other one is
 *        good: one damaged byte must not make a store of this format look newer (I11).
 *   CL3  What the other valid image reaches and the chosen one does not is neither written nor handed
 *        out: its image extents are marked, its data extents held (I8, I11).
 */
#include "recovery/checkpoint_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "tree/descend.h"

int superblocks_read(int fd, struct superblocks *supers)
{
	supers->newer = -1;
	supers->last_number = 0;
	for (int slot = 0; slot < 2; slot++) {
		struct superblock *super = &supers->super[slot];

		supers->rc[slot] = superblock_read(fd, (unsigned)slot, super);
		if (supers->rc[slot] == BWT_VERSION && superblock_matches(fd, (unsigned)slot))
			return BWT_VERSION;
		if (supers->rc[slot] != BWT_OK)
			continue;
		if (super->checkpoint > supers->last_number) {
			supers->last_number = super->checkpoint;
			supers->newer = slot;
		}
	}
	if (supers->newer >= 0)
		return BWT_OK;
	if (supers->rc[1] == BWT_VERSION)
		return BWT_VERSION;
	/* The words of the first slot: the second was read last. */
	return superblock_read(fd, 0, &supers->super[0]) < 0 ? supers->rc[0] : supers->rc[1];
}

static bool other_usable(const struct superblocks *supers)
{
	int other = 1 - supers->newer;

	return supers->rc[other] == BWT_OK &&
	       supers->super[other].store_id == supers->super[supers->newer].store_id &&
	       supers->super[other].checkpoint != supers->super[supers->newer].checkpoint;
}

int checkpoint_choose(struct store *store, struct loaded *loaded)
{
	const struct superblocks *supers = &loaded->supers;
	int newer = supers->newer;
	int other = 1 - newer;
	int rc;

	if (!other_usable(supers))
		store_say(store, LOG_WARNING,
		          "one of the two superblocks cannot be used; the other one can");
	rc = image_read(&store->arena, &supers->super[newer], &loaded->newest);
	if (rc == BWT_OK) {
		loaded->slot = (unsigned)newer;
		if (store->readonly || !other_usable(supers))
			return BWT_OK;
		rc = image_read(&store->arena, &supers->super[other], &loaded->older);
		if (rc == BWT_CORRUPT)
			store_say(store, LOG_WARNING,
			          "the older checkpoint is damaged, the newer one is not: %s",
			          bwt_detail());
		return rc == BWT_CORRUPT ? BWT_OK : rc;
	}
	if (rc != BWT_CORRUPT || !other_usable(supers))
		return rc;
	store_say(store, LOG_WARNING, "falling back to checkpoint %llu, the newer one is damaged: %s",
	          (unsigned long long)supers->super[other].checkpoint, bwt_detail());
	loaded->slot = (unsigned)other;
	return image_read(&store->arena, &supers->super[other], &loaded->newest);
}

void loaded_free(struct loaded *loaded)
{
	image_free(&loaded->newest);
	image_free(&loaded->older);
}

/* ---- restoring ---- */

/* Pages are checked when somebody first comes to them (mapping.h M6). */
static void mark_unseen(uint64_t *words)
{
	for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++) {
		if (mapping_is_page(words[i]))
			words[i] |= (uint64_t)MAPPING_UNSEEN << 56;
	}
}

static void restore_tables(struct store *store, const struct image *image)
{
	uint64_t words[COW_SEGMENT_WORDS];

	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		const struct image_blocks *blocks = &image->table[t];

		for (uint64_t s = 0; s < blocks->segment_count; s++) {
			if (blocks->segments[s] == 0)
				continue;
			image_segment_words(&store->arena, image, (enum image_table)t, s, words);
			if (t == IMAGE_MAPPING)
				mark_unseen(words);
			cow_restore(image_cow_table(store, (enum image_table)t), s, words);
		}
	}
}

/*
 * What counts as changed in the first interval of this life: segments that the two images have
 * otherwise, because the next image builds on the older one; and the whole extent table, which is
 * put right here behind the back of its segments.
 */
static void touch_changed(struct store *store, const struct loaded *loaded)
{
	uint64_t newer[COW_SEGMENT_WORDS], older[COW_SEGMENT_WORDS];

	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		const struct image_blocks *blocks = &loaded->newest.table[t];
		struct cow_table *table = image_cow_table(store, (enum image_table)t);

		for (uint64_t s = 0; s < blocks->segment_count; s++) {
			image_segment_words(&store->arena, &loaded->newest, (enum image_table)t, s,
			                    newer);
			image_segment_words(&store->arena, &loaded->older, (enum image_table)t, s,
			                    older);
			if (t == IMAGE_EXTENTS || memcmp(newer, older, sizeof newer) != 0)
				cow_touch(table,
				          s * COW_SEGMENT_WORDS); /* in interval 1 it only marks */
		}
	}
}

static uint64_t extent_word(const struct store *store, extent_id id)
{
	return cow_load(&store->extents.table, id);
}

static bool holds_data(uint64_t word)
{
	return extent_live(word) != 0 && extent_kind_of(word) >= EXTENT_DELTA &&
	       extent_kind_of(word) <= EXTENT_INNER;
}

static int contradiction(const struct image *image, const char *what, uint64_t off)
{
	return error_set(BWT_CORRUPT, "arena: checkpoint %llu contradicts itself: %s at offset %llu",
	                 (unsigned long long)image->number, what, (unsigned long long)off);
}

/* Chunks that were open at the cut are closed, open extents go on where they were. */
static int restore_chunks(struct store *store, const struct image *image)
{
	const struct image_state *state = &image->state;

	for (uint32_t i = 0; i < state->chunk_count; i++) {
		const struct image_chunk *chunk = &image->chunks[i];
		uint64_t word = extent_word(store, extent_of(chunk->next));

		if (!holds_data(word) || extent_live(word) < chunk->end - chunk->next)
			return contradiction(image, "an open chunk", chunk->next);
		extents_close_stale(&store->extents, chunk->next, chunk->end);
	}
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		extent_id id = (extent_id)(state->open[kind] >> 32);
		uint64_t rest = extent_size(id) - (uint32_t)state->open[kind];
		uint64_t word = extent_word(store, id);

		if (state->open[kind] == 0)
			continue;
		if (rest > 0 && (extent_live(word) < rest ||
		                 extent_kind_of(word) != (enum extent_kind)(kind + 1)))
			return contradiction(image, "an open extent", extent_start(id));
		extents_resume(&store->extents, (enum chunk_kind)kind, state->open[kind]);
	}
	return BWT_OK;
}

/* Extents with data that only the older image reaches (CL3). */
static void hold_older(struct store *store, const struct image *older)
{
	uint64_t words[COW_SEGMENT_WORDS];

	for (uint64_t s = 0; s < older->table[IMAGE_EXTENTS].segment_count; s++) {
		image_segment_words(&store->arena, older, IMAGE_EXTENTS, s, words);
		for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++) {
			extent_id id = (extent_id)(s * COW_SEGMENT_WORDS + i);

			if (holds_data(words[i]) && !holds_data(extent_word(store, id)))
				extents_mark_held(&store->extents, id);
		}
	}
}

static int restore_pool(struct store *store, const struct loaded *loaded, struct image_pool *pool)
{
	int rc = image_pool_use_all(pool, &store->arena, &loaded->newest);

	if (rc == 0 && loaded->older.number != 0)
		rc = image_pool_use_all(pool, &store->arena, &loaded->older);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < pool->count; i++) {
		extent_id id = pool->extents[i].id;

		if (holds_data(extent_word(store, id)))
			return contradiction(&loaded->newest, "an image beside data",
			                     extent_start(id));
		extents_mark_image(&store->extents, id);
	}
	image_pool_fill(pool, loaded->newest.roots[0]);
	return BWT_OK;
}

static int restore_trees(struct store *store, const struct image *image)
{
	struct named_tree **link = &store->trees;
	uint32_t live = 0;

	for (uint32_t i = 0; i < image->state.tree_count; i++) {
		const struct image_named *named = &image->trees[i];
		struct named_tree *tree = aligned_alloc(CACHE_LINE_SIZE, sizeof *tree);

		if (tree == NULL)
			return -ENOMEM;
		memset(tree, 0, sizeof *tree);
		tree_attach(&tree->tree, &store->env, named->tree.id, named->tree.root,
		            named->tree.keys);
		tree->state = named->tree.state;
		memcpy(tree->name, named->name, named->tree.name_size);
		live += tree->state == CATALOG_LIVE && named->tree.id >= TREE_ID_FIRST;
		*link = tree;
		link = &tree->next;
	}
	atomic_store_explicit(&store->next_tree_id, image->state.next_tree, memory_order_relaxed);
	atomic_store_explicit(&store->tree_count, live, memory_order_relaxed);
	return BWT_OK;
}

/*
 * Versions whose transactions were between two gate sections at the cut, and words that were stamped
 * after it: they get their meaning now, on every leaf that has deltas, because nobody can tell them apart
 * later. A leaf that is damaged keeps its words, and is refused whenever somebody comes to it.
 */
static int settle(struct store *store, struct epoch_slot *slot, const struct image *image)
{
	const struct image_state *state = &image->state;
	struct settled *settled = &store->settled;

	settled->start_lsn = UINT64_MAX;
	if (state->txn_count == 0)
		return BWT_OK;
	settled->refs = calloc(state->txn_count, sizeof *settled->refs);
	if (settled->refs == NULL)
		return -ENOMEM;
	settled->start_lsn = state->start_lsn;
	for (uint32_t i = 0; i < state->txn_count; i++)
		if (image->txns[i].lsn != 0)
			settled->refs[settled->count++] =
				(struct settled_ref){image->txns[i].ref, image->txns[i].lsn};
	epoch_pin(slot);
	for (page_id page = 1; page < state->next_page; page++) {
		struct place place;

		if (mapping_chain(mapping_load(&store->mapping, page)) != 0)
			(void)page_look(&store->trees->tree, page, &place);
	}
	epoch_unpin(slot);
	return BWT_OK;
}

int checkpoint_restore(struct store *store, const struct loaded *loaded, struct epoch_slot *slot,
                       struct image_pool *pool)
{
	const struct image *image = &loaded->newest;
	int rc;

	restore_tables(store, image);
	rc = restore_chunks(store, image);
	if (rc == BWT_OK)
		rc = restore_pool(store, loaded, pool);
	if (rc < 0)
		return rc;
	if (loaded->older.number != 0)
		hold_older(store, &loaded->older);
	touch_changed(store, loaded);
	extents_finish(&store->extents);
	mapping_finish(&store->mapping, image->state.next_page);
	rc = restore_trees(store, image);
	return rc < 0 ? rc : settle(store, slot, image);
}
