/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.c - the order of a checkpoint, and what it may release
 *
 *   (idle) --cut_take--> cut --image_write--> laid down --publish--> durable --release--> (idle)
 *                         |                       |           |
 *                         +-------- attempt_undo -+           +-- the store has failed: final
 *
 *   CP1  The cut only copies small state in the closed gate; everything that waits for a disk comes
 *        after it (I10).
 *   CP2  A superblock is written after everything it names, and the log below its cut, is durable
 *        (K2, I8).
 *   CP3  Before the next cut every segment that was touched in this interval is collected, whatever
 *        became of the attempt (cow_table.h T3). What a failed attempt collected stays dirty: the
 *        next one compares with the interval of the image that it builds on, not with the last cut.
 *   CP4  Nothing that one of the two retained images or its log needs is released; after a superblock
 *        was written, or may have been, its image counts as retained, and so does a pinned one (K3).
 */
#include "recovery/checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "log/wal_keep.h"
#include "recovery/checkpointer.h"

#define GATE_TIMEOUT_NS ((uint64_t)10 * 1000 * 1000)
#define SPARSE_FACTOR                                                                              \
	3u /* extents of the newest image over its bytes, before all of it is rewritten */
#define SPARSE_SLACK (2 * EXTENT_SIZE) /* and this much more */
#define SPARE_IMAGES 3u /* room that is set aside: two images release all that older ones hold */
#define SPARE_FROM (EXTENT_SIZE / 2) /* bytes of the file: a smaller one is not burdened with it */

static uint64_t divide_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit;
}

struct checkpointer *checkpointer_new(void)
{
	struct checkpointer *checkpointer = calloc(1, sizeof *checkpointer);

	if (checkpointer == NULL)
		return NULL;
	/* Never written to but for the slots there are: the rest is address space. */
	checkpointer->chunks =
		malloc((size_t)EPOCH_SLOTS_MAX * CHUNK_KINDS * sizeof *checkpointer->chunks);
	checkpointer->txns = malloc(DESCRIPTORS_MAX * sizeof *checkpointer->txns);
	if (checkpointer->chunks != NULL && checkpointer->txns != NULL)
		return checkpointer;
	checkpointer_free(checkpointer);
	return NULL;
}

void checkpointer_free(struct checkpointer *checkpointer)
{
	if (checkpointer == NULL)
		return;
	image_free(&checkpointer->newest);
	image_free(&checkpointer->older);
	image_pool_free(&checkpointer->pool);
	value_files_free(&checkpointer->values);
	free(checkpointer->chunks);
	free(checkpointer->txns);
	free(checkpointer);
}

void checkpointer_note(struct checkpointer *checkpointer, uint64_t allocated)
{
	atomic_store_explicit(&checkpointer->number, checkpointer->newest.number,
	                      memory_order_relaxed);
	atomic_store_explicit(&checkpointer->start_lsn, checkpointer->newest.state.start_lsn,
	                      memory_order_relaxed);
	atomic_store_explicit(&checkpointer->allocated, allocated, memory_order_relaxed);
	atomic_store_explicit(&checkpointer->taken_ns, sys_now_ns(), memory_order_relaxed);
}

void checkpoint_state(const struct store *store, const struct checkpointer *checkpointer,
                      struct checkpoint_state *state)
{
	uint64_t tail = store_clock((struct store *)(uintptr_t)store);
	uint64_t allocated =
		atomic_load_explicit(&store->extents.allocated_bytes, memory_order_relaxed);
	uint64_t at_cut = atomic_load_explicit(&checkpointer->allocated, memory_order_relaxed);

	state->number = atomic_load_explicit(&checkpointer->number, memory_order_relaxed);
	state->count = atomic_load_explicit(&checkpointer->count, memory_order_acquire);
	state->start_lsn = atomic_load_explicit(&checkpointer->start_lsn, memory_order_relaxed);
	state->log_bytes = tail > state->start_lsn ? tail - state->start_lsn : 0;
	state->allocated_bytes = allocated > at_cut ? allocated - at_cut : 0;
	state->taken_ns = atomic_load_explicit(&checkpointer->taken_ns, memory_order_relaxed);
}

/* ---- the cut ---- */

/* Segments of each table that may have been touched. Exact in the closed gate. */
static void segment_counts(struct store *store, uint64_t count[IMAGE_TABLES])
{
	uint64_t pages = atomic_load_explicit(&store->mapping.next_id, memory_order_acquire);

	count[IMAGE_MAPPING] = divide_up(pages, COW_SEGMENT_WORDS);
	count[IMAGE_EXTENTS] = divide_up(extents_count(&store->extents), COW_SEGMENT_WORDS);
	count[IMAGE_VALUES] = divide_up(vlog_next_segment(store->vlog) + 1, COW_SEGMENT_WORDS);
}

/* CP3: collect what the last attempt did not come to, or what was first touched after it. */
static void collect_rest(struct store *store, struct checkpointer *checkpointer)
{
	uint64_t words[COW_SEGMENT_WORDS];
	uint64_t count[IMAGE_TABLES];
	bool dirty;

	if (atomic_load_explicit(&store->interval, memory_order_relaxed) == 1)
		return; /* no cut yet: nothing was copied */
	segment_counts(store, count);
	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		struct cow_table *table = image_cow_table(store, (enum image_table)t);
		/* Of extents that are not there any more copies may have been made before. */
		uint64_t copies = atomic_load_explicit(&table->copies_end, memory_order_relaxed);
		uint64_t end = count[t] > copies ? count[t] : copies;

		for (uint64_t s = checkpointer->collected[t]; s < end; s++) {
			cow_collect(table, s, 0, words, &dirty);
			checkpointer->collected[t] = s + 1;
		}
	}
}

/* Names and roots; the counts follow in the closed gate. trees_lock is held. */
static int note_trees(struct store *store, struct image *next)
{
	struct image_named *named;
	uint32_t count = 0;

	for (struct named_tree *tree = store->trees; tree != NULL; tree = tree->next)
		count++;
	named = calloc(count + 1, sizeof *named);
	if (named == NULL)
		return -ENOMEM;
	next->trees = named;
	next->state.tree_count = count;
	next->state.next_tree = atomic_load_explicit(&store->next_tree_id, memory_order_relaxed);
	for (struct named_tree *tree = store->trees; tree != NULL; tree = tree->next, named++) {
		named->tree.id = tree->tree.id;
		named->tree.state = tree->state;
		named->tree.root = tree->tree.root;
		named->tree.name_size = (uint16_t)strlen(tree->name);
		memcpy(named->name, tree->name, named->tree.name_size);
	}
	return BWT_OK;
}

static uint32_t note_chunks(struct store *store, struct image_chunk *chunks)
{
	uint32_t slots = atomic_load_explicit(&store->epoch.slot_count, memory_order_seq_cst);
	uint32_t count = 0;

	for (uint32_t i = 0; i < slots; i++) {
		struct epoch_slot *slot = epoch_slot_at(&store->epoch, i);

		for (unsigned kind = 0; slot != NULL && kind < CHUNK_KINDS; kind++) {
			uint64_t next =
				atomic_load_explicit(&slot->chunk[kind].next, memory_order_acquire);

			if (next != 0 && next != slot->chunk[kind].end)
				chunks[count++] = (struct image_chunk){next, slot->chunk[kind].end};
		}
	}
	return count;
}

/* Transactions that are between two gate sections: what their versions mean at the cut (K1). */
static uint32_t note_txns(struct store *store, struct image_txn *txns)
{
	uint32_t slots = atomic_load_explicit(&store->descriptors.count, memory_order_acquire);
	uint32_t count = 0;

	for (uint32_t i = 0; i < slots && !TEST_FAULT("checkpoint_no_txns"); i++) {
		struct descriptor *descriptor = descriptor_at(&store->descriptors, i);
		uint64_t word;

		if (descriptor == NULL ||
		    atomic_load_explicit(&descriptor->in_use, memory_order_acquire) == 0)
			continue;
		word = atomic_load_explicit(&descriptor->word, memory_order_acquire);
		txns[count++] = (struct image_txn){
			.ref = descriptor_ref(descriptor),
			.lsn = word_state(word) == WORD_COMMITTED ? word_lsn(word) : 0,
			.first_lsn =
				atomic_load_explicit(&descriptor->first_lsn, memory_order_relaxed),
		};
	}
	return count;
}

/* All that is in the closed gate (CP1). */
static void note_state(struct store *store, struct checkpointer *checkpointer, struct image *next)
{
	struct image_state *state = &next->state;
	uint32_t i = 0;

	collect_rest(store, checkpointer);
	state->start_lsn = wal_tail(store->wal);
	state->next_page = atomic_load_explicit(&store->mapping.next_id, memory_order_acquire);
	state->extent_count = extents_count(&store->extents);
	state->value_file = vlog_next_segment(store->vlog);
	segment_counts(store, state->segment_count);
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		state->open[kind] =
			atomic_load_explicit(&store->extents.open[kind], memory_order_acquire);
	state->chunk_count = note_chunks(store, checkpointer->chunks);
	state->txn_count = note_txns(store, checkpointer->txns);
	for (struct named_tree *tree = store->trees; tree != NULL; tree = tree->next)
		next->trees[i++].tree.keys = tree_keys(&tree->tree);
	/* RELAXED: opening the gate publishes it to everybody who enters. */
	next->interval = atomic_load_explicit(&store->interval, memory_order_relaxed) + 1;
	atomic_store_explicit(&store->interval, next->interval, memory_order_relaxed);
	memset(checkpointer->collected, 0, sizeof checkpointer->collected);
}

/*
 * The cut. trees_lock comes before the gate, as for everybody, so the list of trees and the
 * catalogue say the same.
 */
static int cut_take(struct store *store, struct checkpointer *checkpointer, struct image *next)
{
	uint64_t allocated;
	size_t size;
	int rc;

	collect_rest(store, checkpointer); /* most of it here, so that little is left for the gate */
	pthread_mutex_lock(store->trees_lock);
	rc = note_trees(store, next);
	if (rc == BWT_OK && !gate_close(&store->epoch, GATE_TIMEOUT_NS))
		rc = error_set(BWT_BUSY,
		               "checkpoint: a thread did not leave the writer gate in time");
	if (rc < 0) {
		pthread_mutex_unlock(store->trees_lock);
		return rc;
	}
	TEST_YIELD("checkpoint_closed");
	note_state(store, checkpointer, next);
	allocated = atomic_load_explicit(&store->extents.allocated_bytes, memory_order_relaxed);
	/* Opened by others, the gate has let changes in: no cut. The interval that began means nothing then. */
	if (!gate_open(&store->epoch))
		rc = error_set(BWT_BUSY, "checkpoint: the gate was closed for too long");
	pthread_mutex_unlock(store->trees_lock);
	if (rc < 0)
		return rc;
	atomic_store_explicit(&checkpointer->allocated, allocated, memory_order_relaxed);
	size = next->state.chunk_count * sizeof *next->chunks;
	next->chunks = malloc(size + 1);
	next->txns = malloc(next->state.txn_count * sizeof *next->txns + 1);
	if (next->chunks == NULL || next->txns == NULL)
		return -ENOMEM;
	memcpy(next->chunks, checkpointer->chunks, size);
	memcpy(next->txns, checkpointer->txns, next->state.txn_count * sizeof *next->txns);
	return BWT_OK;
}

/* ---- from the cut to the superblock ---- */

/* K2: the log up to the cut is on stable storage, whatever the store's durability is. */
static int wait_durable(struct store *store, uint64_t lsn)
{
	int rc = BWT_OK;

	if (TEST_FAULT("checkpoint_skip_wait"))
		return BWT_OK;
	if (wal_durable_lsn(store->wal) < lsn)
		rc = wal_flush(store->wal, true);
	if (rc == BWT_OK && wal_durable_lsn(store->wal) < lsn)
		rc = wal_wait(store->wal, lsn);
	return rc;
}

/* Bytes that the image after @image takes at most: it grows, and ends of extents stay empty. */
static uint64_t room_of(const struct image *image)
{
	uint64_t bytes = image_bytes(image);

	return bytes + bytes / 8 + EXTENT_SMALL_SIZE;
}

/*
 * Is @older spread thinly over its extents? Then none of it is shared, and they die with it. So it is where
 * less than SPARE_IMAGES images are set aside and no more is to be had: two images that share nothing release everything
 * else, and the store can go on for ever within what it has.
 */
static bool share_nothing(const struct store *store, struct image_pool *pool,
                          const struct image *older, const struct image *newest)
{
	return image_pool_bytes(pool, older) > SPARSE_FACTOR * image_bytes(older) + SPARSE_SLACK ||
	       (arena_size(&store->arena) >= SPARE_FROM &&
	        image_pool_spare(pool) < SPARE_IMAGES * room_of(newest));
}

void checkpointer_provide(struct store *store, struct image_pool *pool, const struct image *newest,
                          struct epoch_slot *slot)
{
	uint64_t room = arena_size(&store->arena) < SPARE_FROM ? 0 : room_of(newest);

	image_pool_provide(pool, &store->extents, slot, room, SPARE_IMAGES * room);
}

/* The end of the file is being emptied: no image goes there, and of those that are there nothing is shared. */
static arena_off ceiling_of(const struct store *store)
{
	return atomic_load_explicit(&store->extents.ceiling, memory_order_relaxed);
}

static int lay_down(struct store *store, struct checkpointer *checkpointer, struct epoch_slot *slot,
                    struct image *next)
{
	struct image_writer writer = {
		.store = store,
		.slot = slot,
		.pool = &checkpointer->pool,
		.base = &checkpointer->older,
		.next = next,
		.collected = checkpointer->collected,
		.whole = ceiling_of(store) != UINT64_MAX ||
	                 share_nothing(store, &checkpointer->pool, &checkpointer->older,
	                               &checkpointer->newest),
	};
	int rc = wait_durable(store, next->state.start_lsn);

	TEST_YIELD("checkpoint_waited");
	/* Values that were moved before the cut: no record of the log made them durable (CP2). */
	if (rc == BWT_OK && !TEST_FAULT("checkpoint_values_unsynced"))
		rc = vlog_sync(store->vlog);
	if (rc < 0)
		return rc;
	rc = image_write(&writer);
	TEST_YIELD("checkpoint_collected");
	return rc;
}

void checkpointer_fail(struct store *store, const struct log_hooks *hooks, int rc)
{
	int healthy = 0;

	/* SEQ_CST, before failed() looks at who is to be told: see bwt_durable_fd(). */
	if (!atomic_compare_exchange_strong_explicit(&store->failure, &healthy, rc,
	                                             memory_order_seq_cst, memory_order_relaxed))
		return;
	store_say(store, LOG_CRIT, "the store is read-only from here on: %s", bwt_detail());
	if (hooks->failed != NULL)
		hooks->failed(hooks->ctx);
}

/* CP2. A failure here is final: what is on the disk is not known. */
static int publish(struct store *store, struct checkpointer *checkpointer, const struct image *next,
                   bool clean)
{
	const bool closed = clean || TEST_FAULT("checkpoint_says_closed");
	struct superblock super = {
		.store_id = store->store_id,
		.checkpoint = next->number,
		.start_lsn = next->state.start_lsn,
		.root = next->roots[0],
		.root_size = next->root_sizes[0],
		.arena_size = arena_size(&store->arena),
		.created_ns = checkpointer->created_ns,
		.written_ns = sys_wall_ns(),
		.max_size = store->max_size,
		.clean = closed,
		.log_incarnation = closed ? wal_incarnation(store->wal) : 0,
	};
	bool late = TEST_FAULT("checkpoint_super_early");
	unsigned to = checkpointer->newest.number == 0 ? 0 : 1 - checkpointer->super_slot;
	int rc = late ? BWT_OK : arena_sync(&store->arena);

	TEST_YIELD("checkpoint_synced");
	if (rc == BWT_OK)
		rc = superblock_store(&store->arena, to, &super);
	if (rc == BWT_OK && late)
		rc = arena_sync(&store->arena);
	if (rc < 0) {
		checkpointer_fail(store, &checkpointer->hooks, rc);
		return rc;
	}
	checkpointer->super_slot = to;
	TEST_YIELD("checkpoint_published");
	return BWT_OK;
}

/* ---- afterwards ---- */

/* @next is the newest image now, the newest so far the older one. */
static void advance(struct checkpointer *checkpointer, struct image *next)
{
	image_free(&checkpointer->older);
	checkpointer->older = checkpointer->newest;
	checkpointer->newest = *next;
	memset(next, 0, sizeof *next);
	checkpointer->last_number = checkpointer->newest.number;
}

/* The older one of the two, or what is pinned, if that is older still (K3). */
static struct retained oldest_retained(const struct checkpointer *checkpointer)
{
	const struct image *older = &checkpointer->older;

	if (checkpointer->pinned.number != 0 && checkpointer->pinned.number < older->number &&
	    !TEST_FAULT("checkpoint_forget_pin"))
		return checkpointer->pinned;
	return (struct retained){older->number, older->interval, older->state.start_lsn,
	                         image_log_from(older)};
}

struct kept_values { /* for values_kept() */
	const struct value_files *values;
	uint64_t retained;
};

static uint64_t values_kept(void *ctx, uint64_t from)
{
	const struct kept_values *kept = ctx;

	return value_files_kept(kept->values, kept->retained, from);
}

/* Log and values that go: not what somebody reads again, up to a limit (wal_keep.h). */
static void release_log(struct store *store, struct checkpointer *checkpointer,
                        const struct retained *keep)
{
	struct kept_values values = {&checkpointer->values, keep->number};
	struct wal_kept kept;
	int rc = wal_keep_settle(store->keep, keep->start_lsn, keep->log_from, values_kept, &values,
	                         &kept);

	if (rc < 0)
		store_say(store, LOG_WARNING, "where the log's readers stand was not noted: %s",
		          bwt_detail());
	if (kept.cut_off > 0)
		store_say(store, LOG_WARNING,
		          "%u readers of the log were cut off: they were too far behind",
		          kept.cut_off);
	stats_add(&store->stats, 0, STAT_CHANGES_CUT_OFF, kept.cut_off);
	rc = wal_release(store->wal, kept.log_from);
	if (rc < 0)
		store_say(store, LOG_WARNING, "log files that are not needed any more stay: %s",
		          bwt_detail());
	value_files_unlink(&checkpointer->values, store, keep->number, kept.values_from);
}

/* CP4. The checkpoint is done: a failure here is only told, its space goes with a later one. */
static void release(struct store *store, struct checkpointer *checkpointer, struct epoch_slot *slot)
{
	struct retained keep = oldest_retained(checkpointer);

	if (keep.number != 0) {
		atomic_store_explicit(&store->extents.retained, keep.interval, memory_order_release);
		image_pool_release(&checkpointer->pool, keep.number);
		checkpointer_provide(store, &checkpointer->pool, &checkpointer->newest, slot);
		if (TEST_FAULT("checkpoint_release_early"))
			keep.log_from = checkpointer->newest.state.start_lsn;
		if (TEST_FAULT("value_unlink_early"))
			value_files_notice(&checkpointer->values, store, 0);
		release_log(store, checkpointer, &keep);
	}
	value_files_notice(&checkpointer->values, store, checkpointer->newest.number);
	extents_reclaim(&store->extents);
	mapping_reclaim(&store->mapping);
	TEST_YIELD("checkpoint_released");
}

/* ---- pins ---- */

int checkpoint_pin(const struct store *store, struct checkpointer *checkpointer,
                   struct checkpoint_pin *pin)
{
	const struct image *newest = &checkpointer->newest;
	int rc;

	memset(pin, 0, sizeof *pin);
	if (checkpointer->pinned.number != 0)
		return error_set(BWT_BUSY, "a backup of this store is being made");
	pin->slot = checkpointer->super_slot;
	rc = superblock_read(store->arena_fd, pin->slot, &pin->super);
	if (rc < 0)
		return rc;
	if (pin->super.checkpoint != newest->number)
		return error_set(BWT_CORRUPT, "arena: superblock %u is not that of checkpoint %llu",
		                 pin->slot, (unsigned long long)newest->number);
	rc = value_files_dead(&checkpointer->values, newest->number, &pin->dead_files,
	                      &pin->dead_count);
	if (rc < 0)
		return rc;
	pin->log_from = image_log_from(newest);
	checkpointer->pinned = (struct retained){newest->number, newest->interval,
	                                         newest->state.start_lsn, image_log_from(newest)};
	return BWT_OK;
}

void checkpoint_unpin(struct checkpointer *checkpointer, struct checkpoint_pin *pin)
{
	memset(&checkpointer->pinned, 0, sizeof checkpointer->pinned);
	free(pin->dead_files);
	memset(pin, 0, sizeof *pin);
}

bool checkpoint_pinned(const struct checkpointer *checkpointer)
{
	return checkpointer->pinned.number != 0;
}

int checkpoint_take(struct store *store, struct checkpointer *checkpointer, struct epoch_slot *slot,
                    bool clean)
{
	struct image_pool_mark mark;
	struct image next = {.number = checkpointer->last_number + 1};
	int rc = store_health(store, true);

	if (rc == BWT_OK && ceiling_of(store) != UINT64_MAX)
		image_pool_vacate(&checkpointer->pool, &store->extents, slot, ceiling_of(store));
	mark = image_pool_mark(&checkpointer->pool);
	if (rc == BWT_OK && clean)
		rc = extents_close_chunks(&store->extents, slot);
	if (rc == BWT_OK)
		rc = cut_take(store, checkpointer, &next);
	TEST_YIELD("checkpoint_cut");
	if (rc == BWT_OK) {
		rc = lay_down(store, checkpointer, slot, &next);
		if (rc < 0)
			image_pool_rewind(&checkpointer->pool, mark, next.number);
	}
	if (rc == BWT_OK)
		rc = publish(store, checkpointer, &next, clean);
	if (rc < 0) {
		image_free(&next);
		return rc;
	}
	/* Every block of the image lies in an extent of the pool already: this only marks, and cannot fail. */
	rc = image_pool_use_all(&checkpointer->pool, NULL, &next);
	BWT_CHECK(rc == BWT_OK);
	advance(checkpointer, &next);
	checkpointer_note(checkpointer,
	                  atomic_load_explicit(&checkpointer->allocated, memory_order_relaxed));
	wal_keep_cut(store->keep, checkpointer->newest.state.start_lsn,
	             image_log_from(&checkpointer->newest));
	release(store, checkpointer, slot);
	/* RELEASE: who finds it counted finds gone what went with it; pairs with the ACQUIRE in checkpoint_state(). */
	atomic_fetch_add_explicit(&checkpointer->count, 1, memory_order_release);
	stats_add(&store->stats, slot->index, STAT_CHECKPOINT_COUNT, 1);
	return BWT_OK;
}
