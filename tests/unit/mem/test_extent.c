/* SPDX-License-Identifier: MIT */
/*
 * test_extent.c - bump, retire, die, be reused; accounting to the byte
 *
 * Blocks are written as fillers with a valid seal, so that the extents can be walked afterwards.
 */
#include "mem/extent.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "bwt.h"
#include "tests/support/actor.h"
#include "tests/support/fixture_arena.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define MAX_SIZE ((uint64_t)32 << 20)

static struct fixture_arena file;
static struct arena arena;
static struct epoch epoch;
static struct extents extents;
static _Atomic(uint64_t) interval;
static struct epoch_slot *slot;

static struct block { /* one that was bumped */
	arena_off off;
	uint32_t size;
} leftover; /* the one by which fill_one_extent() saw that an extent is full */

static void set_up(void)
{
	fixture_arena_new(&file, &arena, &epoch, &extents, &interval);
	fixture_arena_map(&file, MAX_SIZE);
	slot = epoch_slot(&epoch);
	leftover.size = 0;
	CU_ASSERT_EQUAL_FATAL(extents_format(&extents), BWT_OK);
}

/* Pictures that nobody took would leak. */
static void collect_pictures(void)
{
	uint64_t words[COW_SEGMENT_WORDS];
	bool dirty;

	atomic_fetch_add(&interval, 1);
	for (uint64_t s = 0; s < extents.table.capacity / COW_SEGMENT_WORDS; s++)
		cow_collect(&extents.table, s, 0, words, &dirty);
}

static void tear_down(void)
{
	testpoint_reset();
	collect_pictures();
	fixture_arena_unmap(&file);
	fixture_arena_free(&file);
}

/* ---- blocks ---- */

static int prepare(enum chunk_kind kind, uint64_t bytes, enum extent_urgency urgency)
{
	return extent_prepare(&extents, slot, kind, bytes, urgency);
}

/* Bump and fill one block in a gate section; room was prepared. */
static struct block bump(struct epoch_slot *own, enum chunk_kind kind, uint32_t size)
{
	struct block block = {0, size};
	struct block_head *head;

	gate_enter(own);
	block.off = extent_bump(&extents, own, kind, size);
	head = arena_at(&arena, block.off);
	memset(head, 0xaa, size);
	*head = (struct block_head){.size = size, .tag = BLOCK_FILLER};
	block_seal(head, 0);
	gate_leave(own);
	epoch_unpin(own);
	return block;
}

static struct block put(enum chunk_kind kind, uint32_t size)
{
	CU_ASSERT_EQUAL_FATAL(prepare(kind, size, URGENCY_PUT), BWT_OK);
	return bump(slot, kind, size);
}

static void retire(struct epoch_slot *own, struct block block)
{
	gate_enter(own);
	CU_ASSERT_TRUE_FATAL(extent_touch(&extents, block.off));
	extent_retire(&extents, block.off, block.size);
	gate_leave(own);
	epoch_unpin(own);
}

static uint64_t word_of(extent_id id)
{
	return cow_load(&extents.table, id);
}

/* Blocks follow each other from start to end without a gap (X3). */
static bool tiled(extent_id id)
{
	arena_off off = extent_start(id), end = off + extent_size(id);

	while (off < end && block_valid(arena_at(&arena, off), end - off))
		off += ((struct block_head *)arena_at(&arena, off))->size;
	return off == end;
}

/* Fill the open extent of @kind until it is sealed; its blocks go to @blocks. */
static extent_id fill_one_extent(enum chunk_kind kind, struct block *blocks, unsigned *count)
{
	struct block block = put(kind, 1024);
	extent_id id = extent_of(block.off);

	if (leftover.size != 0)
		retire(slot, leftover);
	*count = 0;
	while (extent_of(block.off) == id) {
		blocks[(*count)++] = block;
		block = put(kind, 1024);
	}
	leftover = block;
	return id;
}

static void retire_all(const struct block *blocks, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		retire(slot, blocks[i]);
}

/* ---- plain use ---- */

static void a_new_arena_has_its_superblocks_extent_taken(void)
{
	CU_ASSERT_EQUAL(arena_size(&arena), EXTENT_SMALL_SIZE);
	CU_ASSERT_EQUAL(extent_kind_of(word_of(0)), EXTENT_SUPER);
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), EXTENT_SMALL_SIZE);
	CU_ASSERT_EQUAL(atomic_load(&extents.free_bytes), 0);
	CU_ASSERT_EQUAL(extents_count(&extents), 1);
}

static void blocks_of_a_chunk_follow_each_other(void)
{
	struct block first = put(CHUNK_LEAF, 64), second = put(CHUNK_LEAF, 1024);

	CU_ASSERT_NOT_EQUAL(extent_of(first.off), 0);
	CU_ASSERT_EQUAL(second.off, first.off + 64);
	CU_ASSERT_EQUAL(first.off % BLOCK_ALIGN, 0);
	CU_ASSERT_EQUAL(extent_kind_of(word_of(extent_of(first.off))), EXTENT_LEAF);
}

static void kinds_fill_different_extents(void)
{
	extent_id delta = extent_of(put(CHUNK_DELTA, 64).off);
	extent_id leaf = extent_of(put(CHUNK_LEAF, 64).off);
	extent_id inner = extent_of(put(CHUNK_INNER, 64).off);

	CU_ASSERT_TRUE(delta != leaf && leaf != inner && delta != inner);
	CU_ASSERT_EQUAL(extent_kind_of(word_of(delta)), EXTENT_DELTA);
	CU_ASSERT_EQUAL(extent_kind_of(word_of(inner)), EXTENT_INNER);
}

static void a_small_store_is_a_small_file(void)
{
	for (unsigned i = 0; i < 100; i++) {
		put(CHUNK_DELTA, 160);
		put(CHUNK_LEAF, 160);
	}
	CU_ASSERT_TRUE(arena_size(&arena) < (uint64_t)512 << 10);
}

static void the_largest_block_is_placed(void)
{
	struct block block = put(CHUNK_LEAF, BLOCK_SIZE_MAX);

	CU_ASSERT_EQUAL(extent_of(block.off), extent_of(block.off + block.size - 1));
	CU_ASSERT_EQUAL(extent_size(extent_of(block.off)), EXTENT_SIZE);
	put(CHUNK_LEAF, BLOCK_SIZE_MAX);
}

static void an_unbumped_block_gives_its_bytes_back(void)
{
	arena_off first, second;

	CU_ASSERT_EQUAL_FATAL(prepare(CHUNK_DELTA, 512, URGENCY_PUT), BWT_OK);
	gate_enter(slot);
	first = extent_bump(&extents, slot, CHUNK_DELTA, 256);
	second = extent_bump(&extents, slot, CHUNK_DELTA, 256);
	extent_unbump(&extents, slot, CHUNK_DELTA, first);
	CU_ASSERT_EQUAL(second, first + 256);
	CU_ASSERT_EQUAL(extent_bump(&extents, slot, CHUNK_DELTA, 256), first);
	gate_leave(slot);
	epoch_unpin(slot);
}

/* ---- X3 and accounting ---- */

static void sealed_extents_are_whole(void)
{
	struct rng rng;
	extent_id last;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < 4000; i++) {
		unsigned large = rng_chance(&rng, 3) ? 64 : 1;

		put((enum chunk_kind)rng_below(&rng, CHUNK_KINDS),
		    (uint32_t)rng_range(&rng, 2, 90) * BLOCK_ALIGN * large);
	}
	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&extents, slot), BWT_OK);
	last = (extent_id)extents_count(&extents);
	for (extent_id id = 1; id < last; id++) {
		bool open = false;

		for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
			open = open || atomic_load(&extents.open[kind]) >> 32 == id;
		if (!open && extent_live(word_of(id)) != 0)
			CU_ASSERT_TRUE(tiled(id));
	}
}

static void live_bytes_are_those_of_the_blocks_once_chunks_are_closed(void)
{
	static struct block blocks[3000];
	uint64_t live = EXTENT_SMALL_SIZE, open = 0;
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < 3000; i++) {
		blocks[i] = put((enum chunk_kind)rng_below(&rng, CHUNK_KINDS),
		                (uint32_t)rng_range(&rng, 2, 90) * BLOCK_ALIGN);
		live += blocks[i].size;
		if (rng_chance(&rng, 60)) {
			unsigned victim = (unsigned)rng_below(&rng, i + 1);

			if (blocks[victim].size == 0)
				continue;
			retire(slot, blocks[victim]);
			live -= blocks[victim].size;
			blocks[victim].size = 0;
		}
	}
	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&extents, slot), BWT_OK);
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		uint64_t word = atomic_load(&extents.open[kind]);

		open += word == 0 ? 0 : extent_size((extent_id)(word >> 32)) - (uint32_t)word;
	}
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live + open);
}

/* ---- death and reuse ---- */

static struct block filled[EXTENT_SIZE / 1024];
static unsigned filled_count;

static void nothing_is_free_before_the_last_block_is_retired(void)
{
	extent_id id = fill_one_extent(CHUNK_DELTA, filled, &filled_count);

	atomic_store(&extents.retained, 0);
	retire_all(filled, filled_count - 1);
	CU_ASSERT_EQUAL(extents_reclaim(&extents), 0);
	CU_ASSERT_EQUAL(extent_live(word_of(id)), filled[filled_count - 1].size);
	retire(slot, filled[filled_count - 1]);
	CU_ASSERT_EQUAL(extent_live(word_of(id)), 0);
	CU_ASSERT_EQUAL(extents_reclaim(&extents), extent_size(id));
	CU_ASSERT_EQUAL(extents_reclaim(&extents), 0);
}

static void a_retirement_that_is_lost_is_noticed(void)
{
	extent_id id = fill_one_extent(CHUNK_DELTA, filled, &filled_count);

	testpoint_set("extent_lost_retire", 1, NULL, NULL);
	retire_all(filled, filled_count);
	CU_ASSERT_NOT_EQUAL(extent_live(word_of(id)), 0);
	CU_ASSERT_EQUAL(extents_reclaim(&extents), 0);
}

static void a_dead_extent_is_used_again_before_the_file_grows(void)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < 40; i++) { /* far more than the file ever has */
		fill_one_extent(CHUNK_DELTA, filled, &filled_count);
		retire_all(filled, filled_count);
		if (i == 10)
			size = arena_size(&arena);
	}
	CU_ASSERT_TRUE(arena_size(&arena) <= size + EXTENT_SMALL_SIZE);
}

static void pinned_reader(void *arg)
{
	struct epoch_slot *own = epoch_slot(&epoch);

	(void)arg;
	epoch_pin(own);
	TEST_YIELD("test_pinned");
	epoch_unpin(own);
}

/* An extent dies while a thread is pinned; true if it is not reused before that thread is gone. */
static bool a_pin_is_respected(void)
{
	extent_id id = fill_one_extent(CHUNK_LEAF, filled, &filled_count);
	struct actor reader;
	uint64_t early, late;

	actor_start(&reader, "test_pinned", pinned_reader, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&reader));
	retire_all(filled, filled_count);
	early = extents_reclaim(&extents);
	actor_finish(&reader);
	late = extents_reclaim(&extents);
	CU_ASSERT_EQUAL(early + late, extent_size(id));
	return early == 0;
}

static void a_thread_stopped_while_pinned_holds_back_reuse(void)
{
	CU_ASSERT_TRUE(a_pin_is_respected());
}

static void reuse_under_a_pin_is_noticed(void)
{
	testpoint_set("extent_reuse_early", 0, NULL, NULL);
	CU_ASSERT_FALSE(a_pin_is_respected());
}

static void cut(void)
{
	collect_pictures(); /* counts the interval up, and takes the picture at once */
}

/* An extent of before a cut dies after it; true if it stays as it is until no retained image has it (I8). */
static bool images_are_respected(void)
{
	extent_id id = fill_one_extent(CHUNK_LEAF, filled, &filled_count);
	uint64_t early;

	cut(); /* interval 2 begins: image k has the extent */
	atomic_store(&extents.retained, 1);
	retire_all(filled, filled_count);
	early = extents_reclaim(&extents);
	cut(); /* interval 3: image k+1 has it not, k is the older one still */
	atomic_store(&extents.retained, 2);
	early += extents_reclaim(&extents);
	cut(); /* interval 4: image k is not retained any more */
	atomic_store(&extents.retained, 3);
	CU_ASSERT_EQUAL(early + extents_reclaim(&extents), extent_size(id));
	return early == 0;
}

static void what_a_retained_image_reaches_is_not_reused(void)
{
	CU_ASSERT_TRUE(images_are_respected());
}

static void reuse_of_what_an_image_reaches_is_noticed(void)
{
	testpoint_set("extent_reuse_early", 0, NULL, NULL);
	CU_ASSERT_FALSE(images_are_respected());
}

static void what_lived_between_two_cuts_is_reused_at_once(void)
{
	extent_id id;

	cut();
	atomic_store(&extents.retained, 1);
	fill_one_extent(CHUNK_LEAF, filled, &filled_count); /* the extent that was open at the cut */
	id = fill_one_extent(CHUNK_LEAF, filled, &filled_count);
	retire_all(filled, filled_count);
	CU_ASSERT_EQUAL(extents_reclaim(&extents), extent_size(id));
}

/* ---- X1, X2: the gate ---- */

static int late_rc;

static void prepare_beside(void *arg)
{
	struct epoch_slot *own = epoch_slot(&epoch);

	(void)arg;
	late_rc = extent_prepare(&extents, own, CHUNK_DELTA, 100, URGENCY_PUT);
}

static void nothing_changes_while_the_gate_is_closed(void)
{
	struct timespec moment = {0, 5000000};
	struct actor writer;
	uint64_t live, open;
	bool early, changed;

	put(CHUNK_DELTA, 64);
	CU_ASSERT_TRUE_FATAL(gate_close(&epoch, 1000000000));
	live = extents_live_bytes(&extents);
	open = atomic_load(&extents.open[CHUNK_DELTA]);
	actor_start(&writer, NULL, prepare_beside, NULL);
	nanosleep(&moment, NULL);
	early = sem_trywait(&writer.arrived) == 0;
	if (early)
		sem_post(&writer.arrived);
	changed = extents_live_bytes(&extents) != live ||
	          atomic_load(&extents.open[CHUNK_DELTA]) != open;
	if (gate_open(&epoch)) { /* else this thread stood still for so long that the writer did it */
		CU_ASSERT_FALSE(early);
		CU_ASSERT_FALSE(changed);
	}
	actor_finish(&writer);
	CU_ASSERT_EQUAL(late_rc, BWT_OK);
	CU_ASSERT_NOT_EQUAL(atomic_load(&extents.open[CHUNK_DELTA]), open);
}

static void the_table_is_imaged_as_of_the_cut(void)
{
	uint64_t words[COW_SEGMENT_WORDS], live = 0;
	bool dirty;

	fill_one_extent(CHUNK_LEAF, filled, &filled_count);
	atomic_fetch_add(&interval, 1);
	for (unsigned i = 0; i < 64; i++)
		live += extent_live(word_of(i));
	retire_all(filled, filled_count);
	put(CHUNK_INNER, 64);
	cow_collect(&extents.table, 0, 1, words, &dirty);
	CU_ASSERT_TRUE(dirty);
	for (unsigned i = 0; i < 64; i++)
		live -= extent_live(words[i]);
	CU_ASSERT_EQUAL(live, 0);
	CU_ASSERT_TRUE(extents_live_bytes(&extents) > 0);
}

static void without_memory_for_the_picture_nothing_is_cut_off(void)
{
	uint64_t live;

	put(CHUNK_DELTA, 64);
	atomic_fetch_add(&interval, 1);
	live = extents_live_bytes(&extents);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_EQUAL(prepare(CHUNK_DELTA, 40000, URGENCY_PUT), -ENOMEM);
	CU_ASSERT_EQUAL(prepare(CHUNK_INNER, 64, URGENCY_PUT), -ENOMEM);
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live);
	testpoint_reset();
	put(CHUNK_DELTA, 40000);
	put(CHUNK_INNER, 64);
	CU_ASSERT_TRUE(extents_live_bytes(&extents) > live);
}

/* ---- full ---- */

/* Blocks until there is no room for @urgency; their number. */
static unsigned fill_up(struct block *blocks, unsigned from, enum extent_urgency urgency)
{
	int rc;

	while ((rc = prepare(CHUNK_LEAF, 65536, urgency)) == BWT_OK)
		blocks[from++] = bump(slot, CHUNK_LEAF, 65536);
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	return from;
}

static void a_full_store_keeps_a_reserve_for_deletes_and_care(void)
{
	static struct block blocks[600];
	unsigned puts = fill_up(blocks, 0, URGENCY_PUT);
	unsigned deletes = fill_up(blocks, puts, URGENCY_DELETE);
	unsigned all = fill_up(blocks, deletes, URGENCY_ALL);

	CU_ASSERT_TRUE(puts > 300);
	CU_ASSERT_TRUE(deletes - puts >= EXTENT_SIZE / 65536 / 2);
	CU_ASSERT_TRUE(all - deletes >= EXTENT_SIZE / 65536 / 2);
	CU_ASSERT_EQUAL(arena_size(&arena), MAX_SIZE);
	/* Space that comes back is there for everybody. */
	retire_all(blocks, all);
	CU_ASSERT_TRUE(fill_up(blocks, 0, URGENCY_PUT) >= puts - 40);
}

/* ---- images ---- */

static void image_extents_are_taken_and_given_back(void)
{
	uint64_t live = extents_live_bytes(&extents), bytes = 0;
	extent_id ids[8];

	for (unsigned i = 0; i < 8; i++) {
		CU_ASSERT_EQUAL_FATAL(extents_take_image(&extents, slot, URGENCY_CARE, &ids[i]),
		                      BWT_OK);
		CU_ASSERT_EQUAL(extent_kind_of(word_of(ids[i])), EXTENT_IMAGE);
		bytes += extent_size(ids[i]);
	}
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live + bytes);
	atomic_store(&extents.spare, bytes); /* nothing is in them */
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live);
	atomic_store(&extents.spare, 0);
	for (unsigned i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(extents_free_image(&extents, slot, ids[i]), BWT_OK);
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live);
	CU_ASSERT_TRUE(atomic_load(&extents.free_bytes) >= bytes);
}

/* Leaves and deltas, until nothing is left, do not touch the small extents of a store that is not small. */
static void images_and_inner_pages_have_the_small_extents(void)
{
	static struct block blocks[600];
	extent_id id;
	uint64_t small;

	while (!extents_apart(&extents))
		put(CHUNK_LEAF, 4096);
	fill_up(blocks, 0, URGENCY_ALL);
	small = atomic_load(&extents.small_bytes);
	CU_ASSERT_TRUE(small >= 8 * EXTENT_SMALL_SIZE);
	CU_ASSERT_EQUAL(prepare(CHUNK_DELTA, 100, URGENCY_CARE), BWT_FULL);
	CU_ASSERT_EQUAL(prepare(CHUNK_INNER, 100, URGENCY_PUT), BWT_OK);
	CU_ASSERT_EQUAL(extents_take_image(&extents, slot, URGENCY_PUT, &id), BWT_OK);
	CU_ASSERT_EQUAL(extent_size(id), EXTENT_SMALL_SIZE);
	CU_ASSERT_EQUAL(atomic_load(&extents.small_bytes), small - 2 * EXTENT_SMALL_SIZE);
}

/* ---- letting go ---- */

static void leave_a_chunk(void *arg)
{
	(void)arg;
	CU_ASSERT_EQUAL(extent_prepare(&extents, epoch_slot(&epoch), CHUNK_LEAF, 64, URGENCY_PUT),
	                BWT_OK);
}

/* Open extents with dead bytes are sealed, and neither an own chunk nor that of a thread which ended is in the way. */
static void what_is_let_go_can_be_emptied(void)
{
	struct extent_pick picks[4];
	struct actor other;
	struct block block;
	unsigned count;
	bool claimed;

	block = put(CHUNK_LEAF, 1024);
	actor_start(&other, NULL, leave_a_chunk, NULL);
	actor_finish(&other);
	put(CHUNK_LEAF, 1024);
	retire(slot, block);
	CU_ASSERT_EQUAL(extents_pick(&extents, PICK_EVERYTHING, picks, 4), 0);
	extents_let_go(&extents, slot);
	CU_ASSERT_EQUAL(atomic_load(&extents.open[CHUNK_LEAF]), 0);
	CU_ASSERT_TRUE(tiled(extent_of(block.off)));
	count = extents_pick(&extents, PICK_EVERYTHING, picks, 4);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(picks[0].id, extent_of(block.off));
	epoch_pin(slot);
	claimed = extent_claim(&extents, &picks[0]);
	epoch_unpin(slot);
	CU_ASSERT_TRUE(claimed);
	extent_unclaim(&extents, &picks[0], false);
	CU_ASSERT_NOT_EQUAL(extent_of(put(CHUNK_LEAF, 1024).off), extent_of(block.off));
}

/* ---- opening ---- */

/* Tables of the store as they are now, in a second life of the file. */
static void reopen(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++)
		words[i] = word_of(i);
	collect_pictures();
	fixture_arena_unmap(&file);
	atomic_store(&interval, 1);
	fixture_arena_map(&file, MAX_SIZE);
	cow_restore(&extents.table, 0, words);
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) /* of the life before */
		atomic_store(&slot->chunk[kind].next, 0);
}

static void open_extents_are_resumed_and_open_chunks_closed(void)
{
	struct block block = put(CHUNK_LEAF, 64), more;
	uint64_t open = atomic_load(&extents.open[CHUNK_LEAF]), live;
	arena_off next = atomic_load(&slot->chunk[CHUNK_LEAF].next);
	arena_off end = slot->chunk[CHUNK_LEAF].end;

	live = extents_live_bytes(&extents);
	reopen();
	extents_resume(&extents, CHUNK_LEAF, open);
	extents_close_stale(&extents, next, end);
	extents_finish(&extents);
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live - (end - next));
	CU_ASSERT_TRUE(block_valid(arena_at(&arena, next), end - next));
	more = put(CHUNK_LEAF, 64);
	CU_ASSERT_EQUAL(more.off, end); /* the next chunk of the same extent */
	CU_ASSERT_EQUAL(extent_of(more.off), extent_of(block.off));
}

static void opening_frees_what_is_not_live_and_keeps_what_an_image_holds(void)
{
	extent_id image, held, live = fill_one_extent(CHUNK_DELTA, filled, &filled_count);
	extent_id ids[2];
	uint64_t free_bytes;

	CU_ASSERT_EQUAL_FATAL(extents_take_image(&extents, slot, URGENCY_ALL, ids), BWT_OK);
	image = ids[0];
	held = fill_one_extent(CHUNK_LEAF, filled, &filled_count);
	retire_all(filled, filled_count);
	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&extents, slot), BWT_OK);
	reopen();
	atomic_store(&extents.table.words[image], 0); /* images are not in the picture (X4) */
	extents_mark_image(&extents, image);
	extents_mark_held(&extents, held);
	extents_finish(&extents);
	CU_ASSERT_EQUAL(extent_kind_of(word_of(image)), EXTENT_IMAGE);
	CU_ASSERT_EQUAL(extent_live(word_of(image)), extent_size(image));
	CU_ASSERT_EQUAL(extent_kind_of(word_of(live)), EXTENT_DELTA);
	CU_ASSERT_EQUAL(extent_kind_of(word_of(0)), EXTENT_SUPER);
	free_bytes = atomic_load(&extents.free_bytes);
	/* Held by the older image: free when its successor is the older one, not before. */
	CU_ASSERT_EQUAL(extents_reclaim(&extents), 0);
	atomic_store(&extents.retained, 1);
	CU_ASSERT_EQUAL(extents_reclaim(&extents), extent_size(held));
	CU_ASSERT_EQUAL(atomic_load(&extents.free_bytes), free_bytes + extent_size(held));
}

static void an_extent_of_an_earlier_life_is_not_young(void)
{
	extent_id id = fill_one_extent(CHUNK_LEAF, filled, &filled_count);

	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&extents, slot), BWT_OK);
	reopen();
	extents_finish(&extents);
	atomic_store(&extents.retained, 0);
	retire_all(filled, filled_count); /* in interval 1, as if it had been opened there */
	CU_ASSERT_EQUAL(extents_reclaim(&extents), 0);
	atomic_store(&extents.retained, 2);
	CU_ASSERT_EQUAL(extents_reclaim(&extents), extent_size(id));
}

/* ---- many threads ---- */

struct worker {
	uint64_t seed;
	uint64_t live; /* bytes of its blocks that are not retired */
	pthread_t thread;
};

/* A thread that lost its processor while it was pinned holds back reuse: it is not full for long. */
static bool prepare_patiently(struct epoch_slot *own, enum chunk_kind kind, uint32_t size)
{
	for (unsigned tries = 0; tries < 100000; tries++) {
		if (extent_prepare(&extents, own, kind, size, URGENCY_PUT) == BWT_OK)
			return true;
		sys_yield();
	}
	return false;
}

static void *allocate_and_retire(void *arg)
{
	struct worker *worker = arg;
	struct epoch_slot *own = epoch_slot(&epoch);
	static _Thread_local struct block blocks[12];
	struct rng rng;

	rng_init(&rng, worker->seed);
	for (unsigned i = 0; i < (suite_short() ? 2000u : 20000u); i++) {
		struct block *block = &blocks[rng_below(&rng, 12)];
		enum chunk_kind kind = (enum chunk_kind)rng_below(&rng, CHUNK_KINDS);
		uint32_t size = (uint32_t)rng_range(&rng, 2, 300) * BLOCK_ALIGN;

		if (block->size != 0) {
			if (!block_valid(arena_at(&arena, block->off), block->size))
				CU_FAIL("a live block was overwritten");
			retire(own, *block);
			worker->live -= block->size;
		}
		if (!prepare_patiently(own, kind, size)) {
			CU_FAIL("no room, though little is live");
			break;
		}
		*block = bump(own, kind, size);
		worker->live += size;
		if (rng_chance(&rng, 2))
			extents_reclaim(&extents);
	}
	return NULL;
}

static void threads_that_allocate_and_retire_lose_and_share_nothing(void)
{
	struct worker workers[4] = {0};
	uint64_t seed = rng_seed(), live = EXTENT_SMALL_SIZE, open = 0;

	/* Chunks and blocks of threads that wait for a processor keep extents alive: room for these. */
	fixture_arena_unmap(&file);
	CU_ASSERT_EQUAL_FATAL(ftruncate(file.fd, 0), 0);
	fixture_arena_map(&file, 4 * MAX_SIZE);
	CU_ASSERT_EQUAL_FATAL(extents_format(&extents), BWT_OK);
	for (unsigned i = 0; i < 4; i++) {
		workers[i].seed = seed + i;
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&workers[i].thread, NULL, allocate_and_retire, &workers[i]),
			0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(workers[i].thread, NULL);
		live += workers[i].live;
	}
	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&extents, slot), BWT_OK);
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		uint64_t word = atomic_load(&extents.open[kind]);

		open += word == 0 ? 0 : extent_size((extent_id)(word >> 32)) - (uint32_t)word;
	}
	CU_ASSERT_EQUAL(extents_live_bytes(&extents), live + open);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_new_arena_has_its_superblocks_extent_taken),
		TEST(blocks_of_a_chunk_follow_each_other),
		TEST(kinds_fill_different_extents),
		TEST(a_small_store_is_a_small_file),
		TEST(the_largest_block_is_placed),
		TEST(an_unbumped_block_gives_its_bytes_back),
		TEST(sealed_extents_are_whole),
		TEST(live_bytes_are_those_of_the_blocks_once_chunks_are_closed),
		TEST(nothing_is_free_before_the_last_block_is_retired),
		TEST(a_retirement_that_is_lost_is_noticed),
		TEST(a_dead_extent_is_used_again_before_the_file_grows),
		TEST(a_thread_stopped_while_pinned_holds_back_reuse),
		TEST(reuse_under_a_pin_is_noticed),
		TEST(what_a_retained_image_reaches_is_not_reused),
		TEST(reuse_of_what_an_image_reaches_is_noticed),
		TEST(what_lived_between_two_cuts_is_reused_at_once),
		TEST(nothing_changes_while_the_gate_is_closed),
		TEST(the_table_is_imaged_as_of_the_cut),
		TEST(without_memory_for_the_picture_nothing_is_cut_off),
		TEST(a_full_store_keeps_a_reserve_for_deletes_and_care),
		TEST(image_extents_are_taken_and_given_back),
		TEST(images_and_inner_pages_have_the_small_extents),
		TEST(what_is_let_go_can_be_emptied),
		TEST(open_extents_are_resumed_and_open_chunks_closed),
		TEST(opening_frees_what_is_not_live_and_keeps_what_an_image_holds),
		TEST(an_extent_of_an_earlier_life_is_not_young),
		TEST(threads_that_allocate_and_retire_lose_and_share_nothing),
		CU_TEST_INFO_NULL,
	};

	return suite_run("extent", set_up, tear_down, tests);
}
