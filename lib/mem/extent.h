/* SPDX-License-Identifier: MIT */
/*
 * extent.h - who owns which part of the arena: open extents, chunks, live bytes, reuse
 *
 *   FREE --open--> OPEN (chunks are cut off it) --full--> sealed --live bytes 0--> DEAD --> FREE
 *
 * An extent's live bytes start at its whole size and only fall: a block that is retired, the rest of a
 * closed chunk (a filler block covers it), the rest of an extent too small for a request. At 0
 * nothing in it is reachable. It is free again when (a) nobody who was pinned when it died still is,
 * and (b) no retained checkpoint reaches into it: it lived between two cuts, or it died before the
 * cut of the older of the two last durable checkpoints (I8).
 *
 *   X1  live bytes, kinds and open positions change inside the gate only (G2), so an image has them as
 *       of its cut; what is in DRAM beside them (side) is rebuilt at opening.
 *   X2  A chunk belongs to one thread slot. Blocks are bumped off it inside the gate, after room was
 *       made outside it (extent_prepare), so bumping cannot fail.
 *   X3  Blocks of a chunk follow each other without a gap; what remains is 0 or at least a filler.
 *   X4  Extents of kind IMAGE are not in the picture: opening finds them by the images' directories.
 *
 * Free extents may be given back to the file system, and come again when the file is to grow (extent_return.c).
 */
#ifndef BWT_MEM_EXTENT_H
#define BWT_MEM_EXTENT_H

#include "base/stats.h"
#include "mem/arena.h"
#include "mem/cow_table.h"
#include "mem/epoch.h"

enum chunk_kind {
	CHUNK_DELTA = 0,
	CHUNK_LEAF = 1,
	CHUNK_INNER = 2
}; /* CHUNK_KINDS of them, per slot */

enum extent_kind { /* stored in images; bits 32-39 of an extent's word, bits 0-31 are its live bytes */
	EXTENT_FREE = 0,
	EXTENT_DELTA = 1, /* chunk kind + 1 */
	EXTENT_LEAF = 2,
	EXTENT_INNER = 3,
	EXTENT_IMAGE = 4,
	EXTENT_SUPER = 5, /* extent 0: the superblocks */
};

enum extent_urgency { /* how deep into the reserve a request may reach (design.md section 3) */
	URGENCY_PUT = 0,
	URGENCY_DELETE = 1, /* deletes and what they need */
	URGENCY_CARE = 2,   /* consolidation and cleaning in the background */
	URGENCY_ALL =
		3, /* what gives space back: images, cleaning for who found the store full; replays */
};

struct extent_side {            /* DRAM only */
	_Atomic(uint32_t) next; /* link of the free or dead stack: extent id + 1, 0: end */
	uint32_t opened;        /* interval in which it was opened */
	uint32_t died;          /* interval in which it died */
	_Atomic(uint32_t) claim; /* 0; 1: some thread empties it; else 2 + interval in which that did not succeed */
	uint64_t epoch; /* epoch at death */
	_Atomic(uint64_t) sealed; /* epoch that ended when no chunk was left to cut off it; EXTENT_UNSEALED before */
	_Atomic(uint64_t) age; /* allocated_bytes then */
};

#define EXTENT_UNSEALED UINT64_MAX
#define EXTENTS_APART_FROM ((uint64_t)16 << 20) /* bytes of max_size */

struct extents {
	struct arena *arena;
	struct epoch *epoch;
	struct cow_table table;
	struct extent_side *side;                  /* reserved memory */
	uint64_t capacity;                         /* extents at max_size */
	_Alignas(64) _Atomic(uint64_t) free_small; /* stacks: tag << 32 | (id + 1) */
	_Alignas(64) _Atomic(uint64_t) free_large;
	_Alignas(64) _Atomic(uint64_t) dead;
	_Alignas(64) _Atomic(uint64_t) gone; /* large ones without blocks, or behind the ceiling */
	_Atomic(uint64_t) gone_bytes;
	_Atomic(uint64_t) ceiling; /* from here on nothing free is handed out; UINT64_MAX: everywhere it is */
	_Atomic(uint64_t) free_bytes;
	_Atomic(uint64_t) small_bytes;                    /* of which in small extents */
	_Alignas(64) _Atomic(uint64_t) open[CHUNK_KINDS]; /* id << 32 | bytes handed out of it; 0: none */
	_Atomic(uint64_t) retained; /* interval of the older retained durable checkpoint's cut */
	_Atomic(uint64_t) allocated_bytes; /* chunk bytes handed out since open */
	_Atomic(uint64_t) growth_limit; /* bytes of the file beyond which a part of the reserve goes first */
	_Atomic(uint64_t) refused; /* size of the file when growing it failed; 0: it never did */
	_Atomic(uint64_t) owed; /* bytes that the reserve has beside: chains are yet to be written as pages */
	_Atomic(uint64_t) spare; /* bytes of extents of kind IMAGE that are set aside: no image is in them */
	/* Handed down, NULL: nobody. Called before a chunk is taken, not pinned: space may be made now, in bounds. */
	void (*tend)(void *ctx, struct epoch_slot *slot);
	void *tend_ctx;
};

int extents_init(struct extents *extents, struct arena *arena, struct epoch *epoch,
                 const _Atomic(uint64_t) *interval);
void extents_deinit(struct extents *extents);
/** A new store: extent 0 is taken, the rest of the file is free. */
int extents_format(struct extents *extents);

/**
 * extent_prepare - make sure that @bytes of blocks can be bumped off this slot's chunk
 * Returns: BWT_OK; BWT_FULL: max_size or the disk, and the reserve is not for @urgency; -ENOMEM; BWT_IO
 * Threads: pinned or not, outside the gate. May enter it for a moment (so not inside), may grow the file.
 */
int extent_prepare(struct extents *extents, struct epoch_slot *slot, enum chunk_kind kind,
                   uint64_t bytes, enum extent_urgency urgency);
/** Does the chunk have them already? The quick test before extent_prepare(). */
static inline bool extent_has(const struct epoch_slot *slot, enum chunk_kind kind, uint64_t bytes)
{
	uint64_t next = atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed);

	return next != 0 && slot->chunk[kind].end - next >= bytes + 2 * sizeof(struct block_head);
}
/** Before a thread pins itself for a change that takes space: see extents.tend. Not pinned, not in the gate. */
static inline void extents_tend(struct extents *extents, struct epoch_slot *slot)
{
	if (extents->tend != NULL)
		extents->tend(extents->tend_ctx, slot);
}
/** Inside the gate: @size bytes of the chunk. */
arena_off extent_bump(struct extents *extents, struct epoch_slot *slot, enum chunk_kind kind,
                      uint32_t size);
/** Inside the same gate section: the block bumped last was not installed. Its bytes are free again. */
void extent_unbump(struct extents *extents, struct epoch_slot *slot, enum chunk_kind kind,
                   arena_off off);
/** Inside the gate, before the change that unlinks them: false: no memory, change nothing. */
bool extent_touch(struct extents *extents, arena_off off);
/** Inside the gate, after the unlinking: exactly once per block. extent_touch() was called. */
void extent_retire(struct extents *extents, arena_off off, uint32_t size);

/** Free what may be freed of the dead; returns the bytes that became free. Any thread, not in the gate. */
uint64_t extents_reclaim(struct extents *extents);
/**
 * extents_let_go - seal what keeps extents from being emptied: chunks of @own and of slots that no thread has, open
 *                  extents with dead bytes. Chunks of other threads stay. Enters the gate
 */
void extents_let_go(struct extents *extents, struct epoch_slot *own);
/** The same for the chunks of @own alone: it will not need them for a while. */
void extents_let_go_own(struct extents *extents, struct epoch_slot *own);
/** Close every slot's chunk, giving back what can be. No thread is inside (close, clean shutdown). */
int extents_close_chunks(struct extents *extents, struct epoch_slot *own);

/* For who keeps the arena small (db/space.c, tree/clean.c): extent_pick.c. */

struct extents_survey { /* the whole file, in bytes: size = live + sparse + held + free + spare */
	uint64_t size;
	uint64_t live; /* open extents and those of images counted whole; without what is set aside for images */
	uint64_t deltas;  /* of which deltas */
	uint64_t sparse;  /* dead bytes of extents that hold live ones */
	uint64_t held;    /* dead extents that wait for checkpoints or pinned threads, about */
	uint64_t free;    /* but small extents that are apart */
	uint64_t spare;   /* set aside for images */
	uint64_t open;    /* of the live: not handed out yet of the open extent of leaves */
	uint64_t reserve; /* part of the free that ordinary writes leave alone */
};

/** A scan of the table; others go on meanwhile, so the parts fit each other only about. */
void extents_survey(const struct extents *extents, struct extents_survey *survey);

struct extent_pick { /* a sealed extent that is worth emptying */
	extent_id id;
	uint64_t sealed; /* tells this life of the extent from later ones */
	uint64_t score;  /* bytes won, weighed by age, over the bytes to be moved */
	uint64_t live;   /* bytes that live in it */
	enum extent_kind kind;
};

enum pick_effort {
	PICK_GAIN,       /* only where it wins a fair share of what it moves */
	PICK_EVERYTHING, /* the store is full: whatever may win anything, long chains included */
	PICK_TAIL,       /* what lies behind the ceiling, the last first */
};

/**
 * extents_pick - the sealed extents that are best emptied now, best first
 * @picks:  room for @room
 * Returns: their number; it scans the table
 * Threads: any
 */
unsigned extents_pick(struct extents *extents, enum pick_effort effort, struct extent_pick *picks,
                      unsigned room);
/** Take the extent for this thread: false: another has it, it is gone, or its bytes may still change. Pinned. */
bool extent_claim(struct extents *extents, const struct extent_pick *pick);
/** Is the claimed extent still the one that was picked, with live blocks in it? Pinned; true holds while pinned. */
bool extent_claimed_lives(const struct extents *extents, const struct extent_pick *pick);
/** Give the claim back; @emptied false: leave it alone until after the next checkpoint. */
void extent_unclaim(struct extents *extents, const struct extent_pick *pick, bool emptied);
/** Small extents are for images and inner pages, unless the whole store is small. */
static inline bool extents_apart(const struct extents *extents)
{
	return extents->arena->max_size >= EXTENTS_APART_FROM &&
	       arena_size(extents->arena) >= EXTENTS_APART_FROM / 2;
}
/** Bytes of free extents that leaves and deltas may get. */
static inline uint64_t extents_usable(const struct extents *extents)
{
	uint64_t small = atomic_load_explicit(&extents->small_bytes, memory_order_relaxed);
	uint64_t free = atomic_load_explicit(&extents->free_bytes, memory_order_relaxed);

	if (!extents_apart(extents))
		return free;
	return free > small ? free - small : 0;
}
/** Bytes that ordinary writes leave free for deletes and cleaning, beside what is owed. */
uint64_t extents_reserve(const struct extents *extents);
/** Would a request of this urgency get a chunk without growth? */
bool extents_have_room(const struct extents *extents, enum extent_urgency urgency);
/** Bytes that the file can have: max_size, or its size if the disk refused more. */
uint64_t extents_growth_most(const struct extents *extents);
/** One more extent for the file, though there are other ways. Returns: BWT_OK, BWT_FULL, BWT_IO */
int extents_extend(struct extents *extents);
/** The same before it is needed: nobody concludes from a refusal that the file is as large as it can be. */
int extents_extend_ahead(struct extents *extents);

/* For who gives space back to the file system (db/compact.c): extent_return.c. */

/** Bytes of the file that have blocks, or may: without what is gone. */
static inline uint64_t extents_bytes(const struct extents *extents)
{
	uint64_t gone = atomic_load_explicit(&extents->gone_bytes, memory_order_relaxed);
	uint64_t size = arena_size(extents->arena);

	return size > gone ? size - gone : 0;
}
/**
 * extents_give_back - free extents become holes, those at the end of the file first; those that end it are given even
 *                     where there are no holes
 * @keep:   bytes that stay free
 * @most:   bytes that go
 * @given:  out, also on failure
 * Returns: BWT_OK; -EOPNOTSUPP and others as fallocate(); -ENOMEM
 * Threads: any, not in the gate
 */
int extents_give_back(struct extents *extents, uint64_t keep, uint64_t most, uint64_t *given);
/** What is free from offset @ceiling on, or will be, is not handed out until extents_lift_ceiling(). -ENOMEM: nothing */
int extents_set_ceiling(struct extents *extents, uint64_t ceiling);
/** The end of it: what became free behind the ceiling becomes holes. As extents_give_back(). */
int extents_lift_ceiling(struct extents *extents);
/**
 * extents_cut_tail - the file ends before what is gone at its end, once arena_cut() may cut it (RE3)
 * Returns: the bytes that are not in use any more
 * Threads: any, not pinned; no checkpoint is being taken. Enters the gate
 */
uint64_t extents_cut_tail(struct extents *extents, struct epoch_slot *slot);

/* For checkpoints (recovery/). */

/** An extent of kind IMAGE, small if there is one. Returns: BWT_OK, BWT_FULL, BWT_IO, -ENOMEM. Enters the gate. */
int extents_take_image(struct extents *extents, struct epoch_slot *slot,
                       enum extent_urgency urgency, extent_id *id);
/** An image extent that no retained image needs. Enters the gate. */
int extents_free_image(struct extents *extents, struct epoch_slot *slot, extent_id id);
/** Sum of the live bytes, open extents counted whole, without what is set aside for images: a scan of the table. */
uint64_t extents_live_bytes(const struct extents *extents);
/** Number of extents that the file has now. */
uint64_t extents_count(const struct extents *extents);

/* For opening: alone, in this order. */

/** The tables were restored from an image (cow_restore). Resume open extents at the given positions ... */
void extents_resume(struct extents *extents, enum chunk_kind kind, uint64_t open_word);
/** ... close the chunks that were open at the cut: a filler over [next, end), accounted ... */
void extents_close_stale(struct extents *extents, arena_off next, arena_off end);
/** ... mark image extents, and extents that only the older image needs ... */
void extents_mark_image(struct extents *extents, extent_id id);
void extents_mark_held(struct extents *extents, extent_id id);
/** ... then everything else that is not live is free. */
void extents_finish(struct extents *extents);

static inline uint32_t extent_live(uint64_t word)
{
	return (uint32_t)word;
}

static inline enum extent_kind extent_kind_of(uint64_t word)
{
	return (enum extent_kind)(word >> 32 & 0xff);
}

#endif
