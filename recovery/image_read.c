/* SPDX-License-Identifier: MIT */
/*
 * image_read.c - an image from its blocks, every byte of it taken as hostile
 *
 * Why: an image that checks out is trusted from then on (its words are followed into the arena), and
 * one that does not is answered by falling back to the other. So everything that can be judged from
 * the image alone is judged here, before anything of the store is touched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "page/delta.h"
#include "recovery/image.h"

#define PAGES_FLOOR ((uint64_t)1 << 20)

struct image_reader {
	const struct arena *arena;
	const struct superblock *super;
	struct image *image;
};

static uint64_t divide_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit;
}

static int damaged(const struct image_reader *reader, arena_off off, const char *what)
{
	return error_set(BWT_CORRUPT, "arena: checkpoint %llu, offset %llu: %s",
	                 (unsigned long long)reader->super->checkpoint, (unsigned long long)off,
	                 what);
}

/* The block at @off, if it is one, whole, and the one that was asked for; else NULL. */
static const struct block_head *block_find(const struct arena *arena, arena_off off,
                                           enum block_tag tag, uint64_t name)
{
	uint64_t size = arena_size(arena);
	const struct block_head *block;
	uint64_t room;

	if (off % BLOCK_ALIGN != 0 || off < EXTENT_SMALL_SIZE || off >= size ||
	    size - off < sizeof *block)
		return NULL;
	room = extent_start(extent_of(off)) + extent_size(extent_of(off)) - off; /* B1 */
	if (room > size - off)
		room = size - off;
	block = arena_at(arena, off);
	return block_valid(block, room) && block->tag == tag && block->page == name ? block : NULL;
}

/* ---- the root ---- */

/* Part @part at @off to @root; NULL: it is not there. */
static const struct image_root *root_part(const struct image_reader *reader, arena_off off,
                                          uint32_t size, unsigned part)
{
	const struct block_head *block = block_find(reader->arena, off, BLOCK_IMAGE_ROOT, part);
	const struct image_root *root = (const struct image_root *)block;

	if (block == NULL || block->size != size || size < sizeof *root ||
	    root->bytes_size > size - sizeof *root || root->bytes_size > IMAGE_ROOT_BYTES_MAX ||
	    root->checkpoint != reader->super->checkpoint)
		return NULL;
	return root;
}

static int root_add(struct image *image, arena_off off, uint32_t size)
{
	arena_off *roots = realloc(image->roots, (image->root_count + 1) * sizeof *roots);
	uint32_t *sizes;

	if (roots == NULL)
		return -ENOMEM;
	image->roots = roots;
	sizes = realloc(image->root_sizes, (image->root_count + 1) * sizeof *sizes);
	if (sizes == NULL)
		return -ENOMEM;
	image->root_sizes = sizes;
	roots[image->root_count] = off;
	sizes[image->root_count++] = size;
	return BWT_OK;
}

/* All parts, laid one after another in fresh memory. */
static int root_gather(struct image_reader *reader, uint8_t **bytes, size_t *size)
{
	arena_off off = reader->super->root;
	uint32_t block_size = reader->super->root_size;
	uint8_t *all = NULL;
	size_t used = 0;
	int rc = BWT_OK;

	for (unsigned part = 0; off != 0 && rc == BWT_OK; part++) {
		const struct image_root *root = root_part(reader, off, block_size, part);
		uint8_t *grown;

		if (root == NULL || part >= IMAGE_ROOT_PARTS_MAX) {
			rc = damaged(reader, off, "not a part of its root");
			break;
		}
		rc = root_add(reader->image, off, block_size);
		grown = realloc(all, used + root->bytes_size + 1);
		if (grown == NULL)
			rc = -ENOMEM;
		else
			all = grown;
		if (rc < 0)
			break;
		memcpy(all + used, root->bytes, root->bytes_size);
		used += root->bytes_size;
		off = root->next;
		block_size = root->next_size;
	}
	if (rc < 0 || all == NULL) {
		free(all);
		return rc < 0 ? rc : damaged(reader, 0, "it has no root");
	}
	*bytes = all;
	*size = used;
	return BWT_OK;
}

/* More page ids than this make no sense: the tables that they need would be larger than the arena. */
static uint64_t pages_max(const struct arena *arena)
{
	uint64_t pages = arena_size(arena) / BLOCK_ALIGN;

	if (pages < PAGES_FLOOR)
		pages = PAGES_FLOOR;
	return pages < PAGE_ID_MAX ? pages : PAGE_ID_MAX;
}

static int state_check(const struct image_reader *reader)
{
	const struct image_state *state = &reader->image->state;
	uint64_t extents = extent_of(arena_size(reader->arena) - 1) + 1;

	if (state->start_lsn != reader->super->start_lsn || state->start_lsn % 16 != 0)
		return damaged(reader, reader->super->root, "its cut is not that of the superblock");
	if (state->next_page == 0 || state->next_page > pages_max(reader->arena) ||
	    state->extent_count > extents || state->value_file >= IMAGE_VALUE_FILES_MAX ||
	    state->tree_count > IMAGE_TREES_MAX ||
	    state->chunk_count > EPOCH_SLOTS_MAX * CHUNK_KINDS || state->txn_count > DESCRIPTORS_MAX)
		return damaged(reader, reader->super->root, "a count in its root is out of range");
	if (state->segment_count[IMAGE_MAPPING] != divide_up(state->next_page, COW_SEGMENT_WORDS) ||
	    state->segment_count[IMAGE_EXTENTS] != divide_up(state->extent_count, COW_SEGMENT_WORDS) ||
	    state->segment_count[IMAGE_VALUES] != divide_up(state->value_file + 1, COW_SEGMENT_WORDS))
		return damaged(reader, reader->super->root, "the counts in its root do not agree");
	return BWT_OK;
}

static int chunks_decode(struct image_reader *reader, struct bytes_reader *bytes)
{
	struct image *image = reader->image;
	size_t size = image->state.chunk_count * sizeof *image->chunks;
	const void *from = bytes_take(bytes, size);

	if (from == NULL)
		return damaged(reader, reader->super->root, "its root is too short");
	image->chunks = calloc(1, size + 1);
	if (image->chunks == NULL)
		return -ENOMEM;
	memcpy(image->chunks, from, size);
	for (uint32_t i = 0; i < image->state.chunk_count; i++) {
		const struct image_chunk *chunk = &image->chunks[i];
		extent_id id = extent_of(chunk->next);

		if (chunk->next % BLOCK_ALIGN != 0 || chunk->end % BLOCK_ALIGN != 0 || id == 0 ||
		    chunk->next >= arena_size(reader->arena) || id >= image->state.extent_count ||
		    chunk->end < chunk->next + sizeof(struct block_head) ||
		    chunk->end > extent_start(id) + extent_size(id))
			return damaged(reader, reader->super->root,
			               "a chunk in its root is out of range");
	}
	return BWT_OK;
}

static int trees_decode(struct image_reader *reader, struct bytes_reader *bytes)
{
	struct image *image = reader->image;
	const struct image_state *state = &image->state;

	image->trees = calloc(state->tree_count + 1, sizeof *image->trees);
	if (image->trees == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < state->tree_count; i++) {
		struct image_named *named = &image->trees[i];
		const void *from = bytes_take(bytes, sizeof named->tree);
		const char *name;

		if (from == NULL)
			return damaged(reader, reader->super->root, "its root is too short");
		memcpy(&named->tree, from, sizeof named->tree);
		name = named->tree.name_size > BWT_TREE_NAME_MAX
		               ? NULL
		               : bytes_take(bytes, divide_up(named->tree.name_size, 8) * 8);
		if (name == NULL || memchr(name, '\0', named->tree.name_size) != NULL)
			return damaged(reader, reader->super->root,
			               "a tree's name in its root is wrong");
		memcpy(named->name, name, named->tree.name_size);
		if (named->tree.id == 0 || named->tree.id >= state->next_tree ||
		    named->tree.root == 0 || named->tree.root >= state->next_page ||
		    named->tree.keys > INT64_MAX ||
		    (named->tree.state != CATALOG_LIVE && named->tree.state != CATALOG_DROPPING))
			return damaged(reader, reader->super->root, "a tree in its root is wrong");
	}
	return BWT_OK;
}

static int txns_decode(struct image_reader *reader, struct bytes_reader *bytes)
{
	struct image *image = reader->image;
	uint64_t cut = image->state.start_lsn;
	size_t size = image->state.txn_count * sizeof *image->txns;
	const void *from = bytes_take(bytes, size);

	if (from == NULL)
		return damaged(reader, reader->super->root, "its root is too short");
	image->txns = calloc(1, size + 1);
	if (image->txns == NULL)
		return -ENOMEM;
	memcpy(image->txns, from, size);
	for (uint32_t i = 0; i < image->state.txn_count; i++)
		if (image->txns[i].lsn >= cut || image->txns[i].first_lsn >= cut)
			return damaged(reader, reader->super->root,
			               "a transaction in its root is wrong");
	return BWT_OK;
}

static int root_decode(struct image_reader *reader, const uint8_t *all, size_t size)
{
	struct image *image = reader->image;
	struct bytes_reader bytes;
	const void *from;
	int rc;

	bytes_reader_init(&bytes, all, size);
	from = bytes_take(&bytes, sizeof image->state);
	if (from == NULL)
		return damaged(reader, reader->super->root, "its root is too short");
	memcpy(&image->state, from, sizeof image->state);
	rc = state_check(reader);
	if (rc == BWT_OK)
		rc = chunks_decode(reader, &bytes);
	for (unsigned t = 0; t < IMAGE_TABLES && rc == BWT_OK; t++) {
		size_t part = image_directories(image->state.segment_count[t]) * sizeof(arena_off);

		rc = image_resize(image, (enum image_table)t, image->state.segment_count[t]);
		from = bytes_take(&bytes, part);
		if (rc == BWT_OK && from == NULL)
			rc = damaged(reader, reader->super->root, "its root is too short");
		if (rc == BWT_OK)
			memcpy(image->table[t].directories, from, part);
	}
	if (rc == BWT_OK)
		rc = trees_decode(reader, &bytes);
	return rc < 0 ? rc : txns_decode(reader, &bytes);
}

/* ---- the tables ---- */

static uint64_t block_words(const struct block_head *block)
{
	return (block->size - sizeof *block) / sizeof(uint64_t);
}

static bool mapping_word_ok(const struct image_reader *reader, uint64_t word)
{
	arena_off head = mapping_head(word);

	if (word == 0)
		return true;
	if (mapping_mark(word) == MAPPING_DROPPED)
		return head == 0;
	return (mapping_mark(word) & ~(unsigned)MAPPING_FROZEN) == MAPPING_PAGE &&
	       mapping_chain(word) <= DELTA_CHAIN_MAX && head >= EXTENT_SMALL_SIZE &&
	       head <= arena_size(reader->arena) - sizeof(struct block_head);
}

static bool extent_word_ok(extent_id id, uint64_t word)
{
	return extent_live(word) <= extent_size(id) && extent_live(word) % BLOCK_ALIGN == 0 &&
	       extent_kind_of(word) <= EXTENT_SUPER &&
	       (id == 0) == (extent_kind_of(word) == EXTENT_SUPER);
}

static int words_check(const struct image_reader *reader, enum image_table table, uint64_t segment,
                       arena_off off)
{
	const struct block_head *block = arena_at(reader->arena, off);
	const uint64_t *words = (const uint64_t *)(block + 1);
	uint64_t count = block_words(block);

	if (count > COW_SEGMENT_WORDS)
		return damaged(reader, off, "a segment is too long");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t index = segment * COW_SEGMENT_WORDS + i;

		if (words[i] == 0)
			continue;
		if (table == IMAGE_MAPPING &&
		    (index >= reader->image->state.next_page || !mapping_word_ok(reader, words[i])))
			return damaged(reader, off, "a word of the mapping table is wrong");
		if (table == IMAGE_EXTENTS && (index >= reader->image->state.extent_count ||
		                               !extent_word_ok((extent_id)index, words[i])))
			return damaged(reader, off, "a word of the extent table is wrong");
	}
	return BWT_OK;
}

static int directory_read(const struct image_reader *reader, enum image_table table, uint64_t d)
{
	struct image_blocks *blocks = &reader->image->table[table];
	uint64_t from = d * IMAGE_DIRECTORY_SEGMENTS;
	uint64_t count = blocks->segment_count - from;
	arena_off off = blocks->directories[d];
	const struct block_head *block;

	if (off == 0)
		return BWT_OK;
	block = block_find(reader->arena, off, BLOCK_IMAGE_DIRECTORY, image_block_name(table, d));
	if (block == NULL)
		return damaged(reader, off, "not its directory");
	if (count > IMAGE_DIRECTORY_SEGMENTS)
		count = IMAGE_DIRECTORY_SEGMENTS;
	if (count > block_words(block))
		count = block_words(block);
	memcpy(blocks->segments + from, block + 1, count * sizeof *blocks->segments);
	return BWT_OK;
}

static int table_read(const struct image_reader *reader, enum image_table table)
{
	const struct image_blocks *blocks = &reader->image->table[table];
	int rc = BWT_OK;

	for (uint64_t d = 0; d < image_directories(blocks->segment_count) && rc == BWT_OK; d++)
		rc = directory_read(reader, table, d);
	for (uint64_t s = 0; s < blocks->segment_count && rc == BWT_OK; s++) {
		arena_off off = blocks->segments[s];

		if (off == 0)
			continue;
		if (block_find(reader->arena, off, BLOCK_IMAGE_SEGMENT,
		               image_block_name(table, s)) == NULL)
			return damaged(reader, off, "not its segment");
		rc = words_check(reader, table, s, off);
	}
	return rc;
}

void image_segment_words(const struct arena *arena, const struct image *image,
                         enum image_table table, uint64_t segment, uint64_t *words)
{
	const struct image_blocks *blocks = &image->table[table];
	arena_off off = segment < blocks->segment_count ? blocks->segments[segment] : 0;
	const struct block_head *block;

	memset(words, 0, COW_SEGMENT_WORDS * sizeof *words);
	if (off == 0)
		return;
	block = arena_at(arena, off);
	memcpy(words, block + 1, block_words(block) * sizeof *words);
}

static uint64_t image_word(const struct image_reader *reader, enum image_table table, uint64_t index)
{
	uint64_t words[COW_SEGMENT_WORDS];

	image_segment_words(reader->arena, reader->image, table, index / COW_SEGMENT_WORDS, words);
	return words[index % COW_SEGMENT_WORDS];
}

/* What ties the parts together: open extents, the two trees that every store has, roots that are there. */
static int whole_check(const struct image_reader *reader)
{
	const struct image *image = reader->image;
	const struct image_state *state = &image->state;
	unsigned main_trees = 0, catalogues = 0;

	if (extent_kind_of(image_word(reader, IMAGE_EXTENTS, 0)) != EXTENT_SUPER)
		return damaged(reader, reader->super->root, "the superblocks' extent is not marked");
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		uint64_t id = state->open[kind] >> 32;
		uint64_t used = (uint32_t)state->open[kind];

		if (state->open[kind] != 0 &&
		    (id == 0 || id >= state->extent_count || used > extent_size((extent_id)id) ||
		     used % BLOCK_ALIGN != 0))
			return damaged(reader, reader->super->root,
			               "an open extent in its root is wrong");
	}
	for (uint32_t i = 0; i < state->tree_count; i++) {
		const struct image_tree *tree = &image->trees[i].tree;

		main_trees += tree->id == TREE_ID_MAIN && tree->state == CATALOG_LIVE;
		catalogues += tree->id == TREE_ID_CATALOG && tree->state == CATALOG_LIVE;
		if (tree->state == CATALOG_LIVE && image_word(reader, IMAGE_MAPPING, tree->root) == 0)
			return damaged(reader, reader->super->root, "a tree has no root page");
	}
	if (main_trees != 1 || catalogues != 1)
		return damaged(reader, reader->super->root,
		               "the main tree or the catalogue is missing");
	return BWT_OK;
}

int image_read(const struct arena *arena, const struct superblock *super, struct image *image)
{
	struct image found = {.number = super->checkpoint};
	struct image_reader reader = {arena, super, &found};
	uint8_t *bytes = NULL;
	size_t size = 0;
	int rc;

	if (super->checkpoint == 0 || super->arena_size > arena_size(arena))
		return error_set(BWT_CORRUPT, "arena: %llu bytes long, checkpoint %llu needs %llu",
		                 (unsigned long long)arena_size(arena),
		                 (unsigned long long)super->checkpoint,
		                 (unsigned long long)super->arena_size);
	rc = root_gather(&reader, &bytes, &size);
	if (rc == BWT_OK)
		rc = root_decode(&reader, bytes, size);
	free(bytes);
	for (unsigned t = 0; t < IMAGE_TABLES && rc == BWT_OK; t++)
		rc = table_read(&reader, (enum image_table)t);
	if (rc == BWT_OK)
		rc = whole_check(&reader);
	if (rc == BWT_OK)
		*image = found;
	else
		image_free(&found);
	return rc;
}
