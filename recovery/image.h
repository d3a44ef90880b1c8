/* SPDX-License-Identifier: MIT */
/*
 * image.h - a checkpoint image in memory: what it says, where its blocks lie, how it is written and read
 *
 * For the files of recovery/ only. The bytes are in checkpoint_format.h.
 */
#ifndef BWT_RECOVERY_IMAGE_H
#define BWT_RECOVERY_IMAGE_H

#include "mem/superblock.h"
#include "recovery/checkpoint_format.h"
#include "txn/store.h"

struct image_blocks { /* where the blocks of one table lie; 0: all words of it are 0 */
	arena_off *segments;
	arena_off *directories; /* image_directories(segment_count) of them */
	uint64_t segment_count;
};

struct image_named { /* a tree at the cut */
	struct image_tree tree;
	char name[BWT_TREE_NAME_MAX + 1];
};

struct image {           /* zeroed: no image, number 0 */
	uint64_t number; /* of the checkpoint */
	uint64_t interval; /* that began with its cut; 0 and 1: it was there when the store was opened */
	struct image_state state;
	struct image_chunk *chunks; /* state.chunk_count */
	struct image_named *trees;  /* state.tree_count */
	struct image_txn *txns;     /* state.txn_count */
	struct image_blocks table[IMAGE_TABLES];
	arena_off *roots;     /* one per part of the root */
	uint32_t *root_sizes; /* bytes of each */
	unsigned root_count;
};

void image_free(struct image *image); /* back to zeroed */
/** image_log_from - the log from here on belongs to @image: its cut, or the first part of a transaction open then */
uint64_t image_log_from(const struct image *image);
/** image_resize - room for @segment_count segments; offsets that are there stay, new ones are 0. -ENOMEM */
int image_resize(struct image *image, enum image_table table, uint64_t segment_count);

/* ---- the extents that hold images: image_pool.c ---- */

struct image_extent {
	extent_id id;
	uint64_t end;       /* bytes from its start that hold blocks */
	uint64_t last_used; /* number of the newest image with a block in it; 0: none, it is set aside */
	bool counted;       /* by image_pool_bytes() */
};

struct image_pool { /* zeroed: empty */
	struct image_extent *extents;
	unsigned count;
	unsigned capacity;
	unsigned tail; /* index + 1 of the extent that is filled; 0: none */
	unsigned hint; /* index of the last look-up */
};

void image_pool_free(struct image_pool *pool);
/** image_pool_use - image @number has a block of @size bytes at @off; an unknown extent is added. -ENOMEM */
int image_pool_use(struct image_pool *pool, arena_off off, uint64_t size, uint64_t number);
/** image_pool_use_all - the same for every block of @image; @arena NULL: their extents and ends are known already */
int image_pool_use_all(struct image_pool *pool, const struct arena *arena, const struct image *image);
/** image_pool_fill - go on filling the extent that @off lies in */
void image_pool_fill(struct image_pool *pool, arena_off off);
/** image_pool_take - @size bytes for a block of image @number. BWT_FULL, BWT_IO, -ENOMEM. Enters the gate. */
int image_pool_take(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                    uint64_t size, uint64_t number, arena_off *off);
struct image_pool_mark { /* the pool before an attempt */
	unsigned tail;
	uint64_t end;
};
struct image_pool_mark image_pool_mark(const struct image_pool *pool);
/** image_pool_rewind - the attempt at image @number failed and nothing durable refers to what it took: that is set aside */
void image_pool_rewind(struct image_pool *pool, struct image_pool_mark mark, uint64_t number);
/** image_pool_release - set aside the extents that only images older than @number need */
void image_pool_release(struct image_pool *pool, uint64_t number);
/**
 * image_pool_provide - set extents aside: @least bytes whatever is left of the reserve then, @most if it allows; what
 *                      is more than that is free again. Enters the gate, may let the file grow
 */
void image_pool_provide(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                        uint64_t least, uint64_t most);
/**
 * image_pool_vacate - nothing is set aside or written from offset @from on any more, until image_pool_provide() finds nothing
 *                     else; extents there go when no retained image needs them, at a later call. Enters the gate
 */
void image_pool_vacate(struct image_pool *pool, struct extents *extents, struct epoch_slot *slot,
                       arena_off from);
/** image_pool_spare - bytes that are set aside */
uint64_t image_pool_spare(const struct image_pool *pool);
/** image_pool_bytes - of the extents with a block of @image; NULL: of all */
uint64_t image_pool_bytes(struct image_pool *pool, const struct image *image);

/* ---- writing: image_write.c ---- */

struct image_writer {
	struct store *store;
	struct epoch_slot *slot;
	struct image_pool *pool;
	const struct image *base; /* the last but one, whose blocks may be shared; number 0: none */
	struct image *next; /* number, interval, state, chunks and trees are set: what the cut noted */
	bool whole;         /* share nothing */
	uint64_t *collected; /* per table: segments [0, this) were collected since the cut */
};

/**
 * image_write - every block of @writer->next; sets its table and roots
 * Returns: BWT_OK; BWT_FULL, BWT_IO, -ENOMEM (collected says how far it came)
 * Threads: the checkpointer; not pinned
 */
int image_write(struct image_writer *writer);
/** image_bytes - of blocks that @image reaches, at most */
uint64_t image_bytes(const struct image *image);
/** image_table - the live table behind a table of images */
struct cow_table *image_cow_table(struct store *store, enum image_table table);

/* ---- reading: image_read.c ---- */

/**
 * image_read - the image that @super names, every block of it checked
 * Returns: BWT_OK; BWT_CORRUPT: some block or number is wrong (bwt_detail() says which); -ENOMEM. @image is set
 *          on BWT_OK only; image_free() it
 */
int image_read(const struct arena *arena, const struct superblock *super, struct image *image);
/** image_segment_words - copy segment @segment to COW_SEGMENT_WORDS @words. @image was read by image_read() */
void image_segment_words(const struct arena *arena, const struct image *image,
                         enum image_table table, uint64_t segment, uint64_t *words);

#endif
