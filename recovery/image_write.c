/* SPDX-License-Identifier: MIT */
/*
 * image_write.c - the blocks of a checkpoint image: changed segments, their directories, the root
 *
 * Blocks are laid down in image extents, where nothing durable reaches yet, while readers and
 * writers go on; the caller makes them durable and publishes the root. Children come before
 * parents, so that an offset is known when it is written down. A segment or directory that did not
 * change since the base image, the last but one, is not written again (checkpoint_format.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/testpoint.h"
#include "recovery/image.h"

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

struct cow_table *image_cow_table(struct store *store, enum image_table table)
{
	switch (table) {
	case IMAGE_MAPPING:
		return &store->mapping.table;
	case IMAGE_EXTENTS:
		return &store->extents.table;
	default:
		return &store->vlog_live;
	}
}

/* ---- blocks ---- */

/* A block of @size bytes in the image, its head filled in; to be finished by block_finish(). */
static int block_begin(struct image_writer *writer, enum block_tag tag, uint64_t name,
                       uint64_t size, struct block_head **block, arena_off *off)
{
	int rc = image_pool_take(writer->pool, &writer->store->extents, writer->slot, size,
	                         writer->next->number, off);

	if (rc < 0)
		return rc;
	*block = arena_at(&writer->store->arena, *off);
	memset(*block, 0, sizeof **block);
	(*block)->size = (uint32_t)size;
	(*block)->tag = (uint8_t)tag;
	(*block)->page = name;
	(*block)->lsn = writer->next->state.start_lsn;
	return 0;
}

static void block_finish(struct image_writer *writer, struct block_head *block)
{
	block_seal(block, 0);
	sys_persist_flush(&writer->store->arena.map, block, block->size);
	stats_add(&writer->store->stats, writer->slot->index, STAT_IMAGE_WRITTEN_BYTES, block->size);
}

/* A block of 64-bit words, trailing zero pairs left out; none at all when every word is 0. */
static int words_write(struct image_writer *writer, enum block_tag tag, uint64_t name,
                       const uint64_t *words, uint64_t count, arena_off *off)
{
	struct block_head *block;
	int rc;

	while (count > 0 && words[count - 1] == 0)
		count--;
	*off = 0;
	if (count == 0)
		return 0;
	rc = block_begin(writer, tag, name, sizeof *block + round_up(count, 2) * sizeof *words,
	                 &block, off);
	if (rc < 0)
		return rc;
	memcpy(block + 1, words, count * sizeof *words);
	if (count % 2 != 0)
		memset((uint64_t *)(block + 1) + count, 0, sizeof *words);
	block_finish(writer, block);
	return 0;
}

/* ---- tables ---- */

static int segments_write(struct image_writer *writer, enum image_table table)
{
	const struct image *base = writer->base;
	struct image_blocks *blocks = &writer->next->table[table];
	struct cow_table *live = image_cow_table(writer->store, table);
	bool whole = writer->whole || base->number == 0;
	/* Interval 1 began with opening; what changed before it counts as changed in it. */
	uint64_t since = base->interval == 0 ? 1 : base->interval;
	uint64_t words[COW_SEGMENT_WORDS];
	int rc = 0;

	for (uint64_t s = 0; s < blocks->segment_count && rc == 0; s++) {
		bool dirty;

		/* Every segment "changed" since interval 0. */
		cow_collect(live, s, whole ? 0 : since, words, &dirty);
		writer->collected[table] = s + 1;
		if (TEST_FAULT("checkpoint_no_memory"))
			return -ENOMEM;
		if (table == IMAGE_EXTENTS && TEST_FAULT("checkpoint_extents_late")) {
			for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++)
				words[i] = cow_load(live, s * COW_SEGMENT_WORDS + i);
			dirty = true;
		}
		for (unsigned i = 0; table == IMAGE_MAPPING && dirty && i < COW_SEGMENT_WORDS; i++)
			words[i] = mapping_stored(words[i]);
		if (dirty)
			rc = words_write(writer, BLOCK_IMAGE_SEGMENT, image_block_name(table, s),
			                 words, COW_SEGMENT_WORDS, &blocks->segments[s]);
		else
			blocks->segments[s] = s < base->table[table].segment_count
			                              ? base->table[table].segments[s]
			                              : 0;
	}
	return rc;
}

/* Does the base image have directory @d as it is to be? */
static bool directory_same(const struct image_blocks *base, const struct image_blocks *next,
                           uint64_t d)
{
	uint64_t from = d * IMAGE_DIRECTORY_SEGMENTS;

	for (uint64_t s = from; s < from + IMAGE_DIRECTORY_SEGMENTS; s++) {
		arena_off before = s < base->segment_count ? base->segments[s] : 0;
		arena_off after = s < next->segment_count ? next->segments[s] : 0;

		if (before != after)
			return false;
	}
	return d < image_directories(base->segment_count);
}

static int directories_write(struct image_writer *writer, enum image_table table)
{
	const struct image_blocks *base = &writer->base->table[table];
	struct image_blocks *blocks = &writer->next->table[table];
	int rc = 0;

	for (uint64_t d = 0; d < image_directories(blocks->segment_count) && rc == 0; d++) {
		uint64_t from = d * IMAGE_DIRECTORY_SEGMENTS;
		uint64_t count = blocks->segment_count - from;

		if (!writer->whole && directory_same(base, blocks, d)) {
			blocks->directories[d] = base->directories[d];
			continue;
		}
		if (count > IMAGE_DIRECTORY_SEGMENTS)
			count = IMAGE_DIRECTORY_SEGMENTS;
		rc = words_write(writer, BLOCK_IMAGE_DIRECTORY, image_block_name(table, d),
		                 blocks->segments + from, count, &blocks->directories[d]);
	}
	return rc;
}

/* ---- the root ---- */

static size_t name_room(const struct image_named *named)
{
	return round_up(named->tree.name_size, 8);
}

static size_t root_bytes(const struct image *image)
{
	size_t bytes = sizeof image->state + image->state.chunk_count * sizeof *image->chunks;

	for (unsigned t = 0; t < IMAGE_TABLES; t++)
		bytes += image_directories(image->table[t].segment_count) * sizeof(arena_off);
	for (uint32_t i = 0; i < image->state.tree_count; i++)
		bytes += sizeof(struct image_tree) + name_room(&image->trees[i]);
	return bytes + image->state.txn_count * sizeof *image->txns;
}

static uint8_t *put(uint8_t *to, const void *from, size_t size)
{
	if (size > 0)
		memcpy(to, from, size);
	return to + size;
}

/* The payload of all parts, one after another, in @to: root_bytes() of zeroes. */
static void root_encode(const struct image *image, uint8_t *to)
{
	to = put(to, &image->state, sizeof image->state);
	to = put(to, image->chunks, image->state.chunk_count * sizeof *image->chunks);
	for (unsigned t = 0; t < IMAGE_TABLES; t++)
		to = put(to, image->table[t].directories,
		         image_directories(image->table[t].segment_count) * sizeof(arena_off));
	for (uint32_t i = 0; i < image->state.tree_count; i++) {
		const struct image_named *named = &image->trees[i];

		to = put(to, &named->tree, sizeof named->tree);
		put(to, named->name, named->tree.name_size);
		to += name_room(named);
	}
	put(to, image->txns, image->state.txn_count * sizeof *image->txns);
}

/* One part; the next one is there already. */
static int root_part_write(struct image_writer *writer, unsigned part, const uint8_t *bytes,
                           size_t size)
{
	struct image *next = writer->next;
	size_t block_size = round_up(sizeof(struct image_root) + size, BLOCK_ALIGN);
	struct block_head *block;
	struct image_root *root;
	int rc = block_begin(writer, BLOCK_IMAGE_ROOT, part, block_size, &block, &next->roots[part]);

	if (rc < 0)
		return rc;
	root = (struct image_root *)block;
	root->checkpoint = next->number;
	root->next = part + 1 < next->root_count ? next->roots[part + 1] : 0;
	root->next_size = part + 1 < next->root_count ? next->root_sizes[part + 1] : 0;
	root->bytes_size = (uint32_t)size;
	memcpy(root->bytes, bytes, size);
	memset(root->bytes + size, 0, block_size - sizeof *root - size);
	block_finish(writer, block);
	next->root_sizes[part] = (uint32_t)block_size;
	return 0;
}

/* Last part first: each names the next one. */
static int root_write(struct image_writer *writer)
{
	struct image *next = writer->next;
	size_t size = root_bytes(next);
	unsigned count = (unsigned)((size + IMAGE_ROOT_BYTES_MAX - 1) / IMAGE_ROOT_BYTES_MAX);
	uint8_t *bytes = calloc(1, size);
	int rc = 0;

	next->roots = calloc(count, sizeof *next->roots);
	next->root_sizes = calloc(count, sizeof *next->root_sizes);
	next->root_count = count;
	if (bytes == NULL || next->roots == NULL || next->root_sizes == NULL) {
		free(bytes);
		return -ENOMEM;
	}
	root_encode(next, bytes);
	for (unsigned part = count; part-- > 0 && rc == 0;) {
		size_t from = (size_t)part * IMAGE_ROOT_BYTES_MAX;
		size_t left = size - from;

		rc = root_part_write(writer, part, bytes + from,
		                     left < IMAGE_ROOT_BYTES_MAX ? left : IMAGE_ROOT_BYTES_MAX);
	}
	free(bytes);
	return rc;
}

int image_write(struct image_writer *writer)
{
	struct image *next = writer->next;
	int rc = 0;

	for (unsigned t = 0; t < IMAGE_TABLES && rc == 0; t++) {
		rc = image_resize(next, (enum image_table)t, next->state.segment_count[t]);
		if (rc == 0)
			rc = segments_write(writer, (enum image_table)t);
		if (rc == 0)
			rc = directories_write(writer, (enum image_table)t);
	}
	return rc < 0 ? rc : root_write(writer);
}

uint64_t image_bytes(const struct image *image)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < image->root_count; i++)
		bytes += image->root_sizes[i];
	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		const struct image_blocks *blocks = &image->table[t];

		for (uint64_t s = 0; s < blocks->segment_count; s++)
			bytes += blocks->segments[s] == 0
			                 ? 0
			                 : sizeof(struct image_segment) + COW_SEGMENT_WORDS * 8;
		bytes += image_directories(blocks->segment_count) *
		         (sizeof(struct image_directory) + IMAGE_DIRECTORY_SEGMENTS * 8);
	}
	return bytes;
}
