/* SPDX-License-Identifier: MIT */
/*
 * image_pool.c - the extents that hold checkpoint images, and the in-memory form of an image
 *
 * Why: images come and go as a whole, share blocks with their neighbours and are written by one
 * thread, so they need no live-byte accounting: an extent of the pool is set aside when neither of
 * the two retained images has a block in it. The extent that was filled last is filled on, also by
 * the next life of the store, so that a small store's checkpoints stay within a few small extents.
 *
 *   free --provide--> set aside --take--> tail, in use --release, rewind--> set aside --provide--> free
 *
 * What is set aside is there for images only: a full store is emptied by checkpoints, and each of them needs
 * room for an image before it frees anything. No other thread sees it; in the extent table it looks
 * like extents of images.
 *
 *   IP1  Bytes below `end` of an extent are never written again before it is set aside, except
 *        those of an attempt that failed before its superblock was written (image_pool_rewind()).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "recovery/image.h"

/* ---- an image ---- */

void image_free(struct image *image)
{
	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		free(image->table[t].segments);
		free(image->table[t].directories);
	}
	free(image->chunks);
	free(image->trees);
	free(image->txns);
	free(image->roots);
	free(image->root_sizes);
	memset(image, 0, sizeof *image);
}

uint64_t image_log_from(const struct image *image)
{
	uint64_t from = image->state.start_lsn;

	for (uint32_t i = 0; i < image->state.txn_count; i++)
		if (image->txns[i].lsn == 0 && image->txns[i].first_lsn != 0 &&
		    image->txns[i].first_lsn < from)
			from = image->txns[i].first_lsn;
	return from;
}

/* @offs with room for @count, new ones 0. NULL: no memory, @offs is as it was. */
static arena_off *resize_offsets(arena_off *offs, uint64_t old_count, uint64_t count)
{
	arena_off *fresh = realloc(offs, (size_t)(count + 1) * sizeof *fresh);

	if (fresh != NULL && count > old_count)
		memset(fresh + old_count, 0, (size_t)(count - old_count) * sizeof *fresh);
	return fresh;
}

int image_resize(struct image *image, enum image_table table, uint64_t segment_count)
{
	struct image_blocks *blocks = &image->table[table];
	arena_off *fresh = resize_offsets(blocks->segments, blocks->segment_count, segment_count);

	if (fresh == NULL)
		return -ENOMEM;
	blocks->segments = fresh;
	fresh = resize_offsets(blocks->directories, image_directories(blocks->segment_count),
	                       image_directories(segment_count));
	if (fresh == NULL)
		return -ENOMEM;
	blocks->directories = fresh;
	blocks->segment_count = segment_count;
	return 0;
}

/* ---- the pool ---- */

void image_pool_free(struct image_pool *pool)
{
	free(pool->extents);
	memset(pool, 0, sizeof *pool);
}

/* Index of extent @id, or count. Blocks of one image lie together, so the last hit is tried first. */
static unsigned pool_find(struct image_pool *pool, extent_id id)
{
	if (pool->hint < pool->count && pool->extents[pool->hint].id == id)
		return pool->hint;
	for (unsigned i = 0; i < pool->count; i++) {
		if (pool->extents[i].id == id) {
			pool->hint = i;
			return i;
		}
	}
	return pool->count;
}

static int pool_room(struct image_pool *pool)
{
	unsigned capacity = pool->capacity == 0 ? 8 : pool->capacity * 2;
	struct image_extent *fresh;

	if (pool->extents != NULL && pool->count < pool->capacity)
		return 0;
	fresh = realloc(pool->extents, capacity * sizeof *fresh);
	if (fresh == NULL)
		return -ENOMEM;
	pool->extents = fresh;
	pool->capacity = capacity;
	return 0;
}

int image_pool_use(struct image_pool *pool, arena_off off, uint64_t size, uint64_t number)
{
	extent_id id = extent_of(off);
	unsigned i = pool_find(pool, id);
	uint64_t end = off + size - extent_start(id);
	int rc;

	if (i == pool->count) {
		rc = pool_room(pool);
		if (rc < 0)
			return rc;
		pool->extents[pool->count++] = (struct image_extent){.id = id};
	}
	if (pool->extents[i].end < end)
		pool->extents[i].end = end;
	if (pool->extents[i].last_used < number)
		pool->extents[i].last_used = number;
	return 0;
}

static int use_blocks(struct image_pool *pool, const struct arena *arena, const arena_off *offs,
                      uint64_t count, uint64_t number)
{
	int rc = 0;

	for (uint64_t i = 0; i < count && rc == 0; i++) {
		const struct block_head *head = arena == NULL ? NULL : arena_at(arena, offs[i]);

		if (offs[i] != 0)
			rc = image_pool_use(pool, offs[i], head == NULL ? 0 : head->size, number);
	}
	return rc;
}

int image_pool_use_all(struct image_pool *pool, const struct arena *arena, const struct image *image)
{
	int rc = use_blocks(pool, arena, image->roots, image->root_count, image->number);

	for (unsigned t = 0; t < IMAGE_TABLES && rc == 0; t++) {
		const struct image_blocks *blocks = &image->table[t];

		rc = use_blocks(pool, arena, blocks->segments, blocks->segment_count, image->number);
		if (rc == 0)
			rc = use_blocks(pool, arena, blocks->directories,
			                image_directories(blocks->segment_count), image->number);
	}
	return rc;
}

void image_pool_fill(struct image_pool *pool, arena_off off)
{
	unsigned i = pool_find(pool, extent_of(off));

	pool->tail = i == pool->count ? 0 : i + 1;
}

static bool is_spare(const struct image_pool *pool, unsigned i)
{
	return pool->extents[i].last_used == 0 && pool->tail != i + 1;
}

/* One more extent, set aside. */
static int pool_add(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                    enum extent_urgency urgency)
{
	extent_id id;
	int rc = pool_room(pool);

	if (rc == 0)
		rc = extents_take_image(extents, slot, urgency, &id);
	if (rc < 0)
		return rc;
	pool->extents[pool->count++] = (struct image_extent){.id = id};
	return 0;
}

/* An extent that is set aside, else a fresh one, becomes the tail. */
static int pool_extend(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot)
{
	unsigned i = 0;

	BWT_ASSERT(pool->count == 0 || pool->extents != NULL);
	while (i < pool->count && !is_spare(pool, i))
		i++;
	if (i == pool->count) {
		int rc = pool_add(pool, extents, slot, URGENCY_ALL);

		if (rc < 0)
			return rc;
	}
	pool->extents[i].end = 0;
	pool->tail = i + 1;
	atomic_store_explicit(&extents->spare, image_pool_spare(pool), memory_order_relaxed);
	return 0;
}

int image_pool_take(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                    uint64_t size, uint64_t number, arena_off *off)
{
	struct image_extent *tail = pool->tail == 0 ? NULL : &pool->extents[pool->tail - 1];

	BWT_ASSERT(size <= EXTENT_SMALL_SIZE);
	if (tail == NULL || extent_size(tail->id) - tail->end < size) {
		int rc = pool_extend(pool, extents, slot);

		if (rc < 0)
			return rc;
		tail = &pool->extents[pool->tail - 1];
	}
	*off = extent_start(tail->id) + tail->end;
	tail->end += size;
	tail->last_used = number;
	return 0;
}

struct image_pool_mark image_pool_mark(const struct image_pool *pool)
{
	return (struct image_pool_mark){
		.tail = pool->tail,
		.end = pool->tail == 0 ? 0 : pool->extents[pool->tail - 1].end,
	};
}

void image_pool_rewind(struct image_pool *pool, struct image_pool_mark mark, uint64_t number)
{
	for (unsigned i = 0; i < pool->count; i++)
		if (pool->extents[i].last_used == number && mark.tail != i + 1)
			pool->extents[i] = (struct image_extent){.id = pool->extents[i].id};
	pool->tail = mark.tail;
	if (mark.tail != 0)
		pool->extents[mark.tail - 1].end = mark.end;
}

void image_pool_release(struct image_pool *pool, uint64_t number)
{
	for (unsigned i = 0; i < pool->count; i++)
		if (pool->extents[i].last_used < number && pool->tail != i + 1)
			pool->extents[i] = (struct image_extent){.id = pool->extents[i].id};
}

uint64_t image_pool_spare(const struct image_pool *pool)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < pool->count; i++)
		bytes += is_spare(pool, i) ? extent_size(pool->extents[i].id) : 0;
	return bytes;
}

/* Extent @i is set aside no more, but free. false: no memory for that. */
static bool pool_drop(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                      unsigned i)
{
	if (extents_free_image(extents, slot, pool->extents[i].id) < 0)
		return false;
	pool->count--;
	memmove(&pool->extents[i], &pool->extents[i + 1], (pool->count - i) * sizeof *pool->extents);
	pool->tail -= pool->tail > i + 1;
	return true;
}

/* Give back what is more than @bytes, large extents first. Without memory for that it stays. */
static void pool_trim(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                      uint64_t spare, uint64_t bytes)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = pool->count; i-- > 0;) {
			uint64_t size = extent_size(pool->extents[i].id);

			if (!is_spare(pool, i) || spare < bytes + size ||
			    (pass == 0) != (size == EXTENT_SIZE) ||
			    !pool_drop(pool, extents, slot, i))
				continue;
			spare -= size;
		}
	}
}

void image_pool_provide(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                        uint64_t least, uint64_t most)
{
	uint64_t spare = image_pool_spare(pool);

	while (spare < most &&
	       pool_add(pool, extents, slot, spare < least ? URGENCY_ALL : URGENCY_CARE) == 0)
		spare = image_pool_spare(pool);
	pool_trim(pool, extents, slot, spare, most);
	pool->hint = 0;
	atomic_store_explicit(&extents->spare, image_pool_spare(pool), memory_order_relaxed);
}

void image_pool_vacate(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                       arena_off from)
{
	if (pool->tail != 0 && extent_start(pool->extents[pool->tail - 1].id) >= from)
		pool->tail = 0;
	for (unsigned i = pool->count; i-- > 0;) {
		if (extent_start(pool->extents[i].id) >= from && is_spare(pool, i))
			(void)pool_drop(pool, extents, slot, i);
	}
	pool->hint = 0;
	atomic_store_explicit(&extents->spare, image_pool_spare(pool), memory_order_relaxed);
}

/* Mark the extents of these blocks; returns the bytes of those that were not marked yet. */
static uint64_t count_blocks(struct image_pool *pool, const arena_off *offs, uint64_t count)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < count; i++) {
		unsigned at = offs[i] == 0 ? pool->count : pool_find(pool, extent_of(offs[i]));

		if (at == pool->count || pool->extents[at].counted)
			continue;
		pool->extents[at].counted = true;
		bytes += extent_size(pool->extents[at].id);
	}
	return bytes;
}

uint64_t image_pool_bytes(struct image_pool *pool, const struct image *image)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < pool->count; i++) {
		pool->extents[i].counted = image == NULL;
		bytes += image == NULL ? extent_size(pool->extents[i].id) : 0;
	}
	if (image == NULL)
		return bytes;
	bytes = count_blocks(pool, image->roots, image->root_count);
	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		const struct image_blocks *blocks = &image->table[t];

		bytes += count_blocks(pool, blocks->segments, blocks->segment_count);
		bytes += count_blocks(pool, blocks->directories,
		                      image_directories(blocks->segment_count));
	}
	return bytes;
}
