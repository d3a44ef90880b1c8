/* SPDX-License-Identifier: MIT */
/* world.c - setting the store up, and what fibers do to it */
#include "tests/sched/world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sched/region.h"
#include "tests/support/tmpstore.h"
#include "tree/clean.h"
#include "tree/merge.h"
#include "tree/write.h"

#define POISON_SIZE ((size_t)16 << 10)
#define ARENA_MAX ((uint64_t)2 << 20)
#define GATE_NS ((uint64_t)10 * 1000 * 1000)
#define KEY_SIZE 3u
#define PAGES_MAX 64u /* page ids that a run uses, about */

struct world *world;

static char folder[TMPSTORE_PATH_MAX];
static unsigned builds;
static int arena_fd = -1;
static const struct tree_limits tiny = {
	.leaf_bytes = 200, .inner_bytes = 64, .leaf_chain = 3, .inner_chain = 2};

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "sched: %s: %s, %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

void world_init(void)
{
	sim_init();
	region_init();
	tmpstore_new(folder);
	arena_fd = memfd_create("sched-arena", MFD_CLOEXEC);
}

void world_deinit(void)
{
	tmpstore_free(folder);
}

static void open_log(struct store *store)
{
	struct wal_config config = {
		.store_id = 1,
		.segment_size = (uint64_t)1 << 20,
		.ring_size = (uint32_t)4 << 20,
		.plain = true,
		.sync = store->durability == BWT_SYNC,
		.stats = &store->stats,
	};
	char path[TMPSTORE_PATH_MAX], name[32];

	snprintf(name, sizeof name, "wal-%u", builds++);
	tmpstore_join(path, folder, name);
	if (mkdir(path, 0755) < 0)
		must(-1, path);
	store->wal_dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	config.dir_fd = store->wal_dir_fd;
	must(wal_open(&config, &store->wal), "open the log");
}

static void open_memory(struct store *store)
{
	store->trees_lock = &world->lock;
	store->inline_max = 1000;
	atomic_store_explicit(&store->interval, 1, memory_order_relaxed);
	must(epoch_init(&store->epoch), "epochs");
	must(arena_open(&store->arena, arena_fd, ARENA_MAX, true), "arena");
	must(extents_init(&store->extents, &store->arena, &store->epoch, &store->interval),
	     "extents");
	must(extents_format(&store->extents), "extent 0");
	must(mapping_init(&store->mapping, &store->epoch, COW_SEGMENT_WORDS, &store->interval),
	     "mapping");
	must(cow_init(&store->vlog_live, COW_SEGMENT_WORDS, &store->interval), "value files");
	snapshots_init(&store->snapshots);
	descriptors_init(&store->descriptors, &store->epoch);
}

static void add_tree(struct store *store, uint32_t id)
{
	struct named_tree *tree = region_take(sizeof *tree, CACHE_LINE_SIZE);

	must(tree_create(&tree->tree, &store->env, id, world->slot), "tree");
	tree->state = CATALOG_LIVE;
	tree->next = store->trees;
	store->trees = tree;
	world->tree = &tree->tree;
}

/* What a thread has after its first calls: a slot, working memory, a delta chunk. */
static void warm(unsigned fiber)
{
	struct descriptor *descriptor;
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	struct snapshot_slot *snapshot;

	(void)fiber;
	if (slot == NULL || slot_scratch(slot, 1) == NULL)
		must(-1, "slot");
	must(extent_prepare(&world->store.extents, slot, CHUNK_DELTA, 256, URGENCY_PUT), "chunk");
	must(snapshot_acquire(&world->store.snapshots, store_clock, &world->store, &snapshot),
	     "snapshot");
	snapshot_release(snapshot);
	gate_enter(slot);
	must(descriptor_take(&world->store.descriptors, 0, 0, &descriptor), "descriptor");
	atomic_store_explicit(&descriptor->word, word_make(WORD_ABORTED, 0), memory_order_release);
	descriptor_done(&world->store.descriptors, descriptor);
	gate_leave(slot);
	epoch_unpin(slot);
}

/* Counters, and words of tables that are read when a segment is copied but never used here: no points. */
static void be_quiet(const struct store *store)
{
	size_t rest = (COW_SEGMENT_WORDS - PAGES_MAX) * sizeof(uint64_t);

	sim_quiet_clear();
	sim_quiet(&store->stats, sizeof store->stats);
	sim_quiet(store->mapping.table.words + PAGES_MAX, rest);
	sim_quiet(store->extents.table.words + PAGES_MAX, rest);
	sim_quiet(store->vlog_live.words, COW_SEGMENT_WORDS * sizeof(uint64_t));
}

void world_build(const struct world_config *config)
{
	static bool built;
	struct store *store;

	if (built) {
		world_restore();
		wal_close(world->store.wal);
		close(world->store.wal_dir_fd);
	}
	built = true;
	region_reset();
	sim_tls_clear();
	world = region_take(sizeof *world, 4096);
	store = &world->store;
	world->large = config->large;
	store->durability = config->sync ? BWT_SYNC : BWT_NONE;
	open_memory(store);
	open_log(store);
	store->env = (struct tree_env){
		.arena = &store->arena,
		.extents = &store->extents,
		.epoch = &store->epoch,
		.mapping = &store->mapping,
		.stats = &store->stats,
		.limits = config->limits.leaf_bytes != 0 ? config->limits : tiny,
		.clock = store_clock,
		.horizon = store_horizon,
		.decide = store_decide,
		.value_stored = store_value_stored,
		.value_dropped = store_value_dropped,
		.ctx = store,
	};
	world->slot = epoch_slot(&store->epoch);
	add_tree(store, TREE_ID_MAIN);
	work_queue_init(&world->queue);
	be_quiet(store);
	warm(0);
	for (unsigned i = 0; i < config->fibers; i++) {
		sim_tls_of(i, region_take(sim_tls_size(), 64));
		sim_as(i, warm);
	}
}

void world_freeze(void)
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		world->events[i] = stats_sum(&world->store.stats, (enum stat_counter)i);
	world->live = region_live();
	world->log_start = wal_tail(world->store.wal);
	region_freeze();
}

void world_restore(void)
{
	region_restore();
}

void world_events(uint64_t events[STAT_COUNT])
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		events[i] += stats_sum(&world->store.stats, (enum stat_counter)i) - world->events[i];
}

/* ---- what fibers do ---- */

static struct bwt_slice key_slice(unsigned key, char text[KEY_SIZE + 1])
{
	text[0] = 'k';
	text[1] = (char)('0' + key / 10 % 10);
	text[2] = (char)('0' + key % 10);
	text[KEY_SIZE] = '\0';
	return (struct bwt_slice){text, KEY_SIZE};
}

static struct bwt_slice value_slice(history_value value, uint8_t bytes[WORLD_VALUE_SIZE])
{
	memset(bytes, 0x20, WORLD_VALUE_SIZE);
	memcpy(bytes, &value, sizeof value);
	return (struct bwt_slice){bytes, WORLD_VALUE_SIZE};
}

static history_value value_number(const void *bytes, size_t size)
{
	history_value value;

	if (size != WORLD_VALUE_SIZE)
		sim_fail("a value of %zu bytes was read", size);
	memcpy(&value, bytes, sizeof value);
	return value;
}

history_value world_value(const struct bwt_buf *value)
{
	return value_number(value->data, value->size);
}

void world_op_make(struct world_op *op, enum commit_kind kind, unsigned key, history_value value)
{
	op->op = (struct commit_op){.kind = kind, .key = key_slice(key, op->key)};
	op->op.value = value_slice(value, op->value);
}

int world_commit(enum commit_kind kind, unsigned key, history_value value,
                 const history_value *expected, bool durable, uint64_t *lsn)
{
	uint8_t bytes[WORLD_VALUE_SIZE], old[WORLD_VALUE_SIZE];
	struct bwt_slice new, want;
	char text[KEY_SIZE + 1];
	struct commit_op op = {.kind = kind, .key = key_slice(key, text), .durable = durable};
	int rc;

	new = value_slice(value, bytes);
	op.value = new;
	if (kind == COMMIT_CAS) {
		want = value_slice(expected != NULL ? *expected : 0, old);
		op.expected = expected != NULL ? &want : NULL;
		op.desired = value != 0 ? &new : NULL;
	}
	rc = commit_one(&world->store, world->tree, &op);
	*lsn = op.end_lsn;
	return rc;
}

int world_get(uint64_t snapshot, unsigned key, history_value *value)
{
	uint8_t bytes[WORLD_VALUE_SIZE * 2];
	struct bwt_buf buffer = {.data = bytes, .capacity = sizeof bytes};
	char text[KEY_SIZE + 1];
	int rc = read_value(&world->store, world->tree, epoch_slot(&world->store.epoch), snapshot,
	                    key_slice(key, text), &buffer);

	*value = rc == BWT_OK ? value_number(buffer.data, buffer.size) : 0;
	return rc;
}

/* The first key that is not below the fence. */
static unsigned fence_key(struct bwt_slice fence)
{
	char text[KEY_SIZE + 1];
	unsigned key = 0;

	while (key < HISTORY_KEYS && key_compare(key_slice(key, text), fence) < 0)
		key++;
	return key;
}

static void read_copy(const struct leaf_copy *copy, history_value values[HISTORY_KEYS])
{
	for (unsigned i = 0; i < copy->count; i++) {
		uint8_t text[BWT_KEY_MAX];
		uint32_t size = key_ref_copy(&copy->entries[i].key, 0, text);
		unsigned key = size == KEY_SIZE
		                       ? (unsigned)(text[1] - '0') * 10 + (unsigned)(text[2] - '0')
		                       : HISTORY_KEYS;

		if (key >= HISTORY_KEYS || text[0] != 'k')
			sim_fail("a scan met a key that nobody wrote");
		if (values[key] != 0)
			sim_fail("a scan met key %u twice in a leaf", key);
		values[key] = value_number(copy->entries[i].value, copy->entries[i].value_size);
	}
}

void world_scan(uint64_t snapshot,
                void (*leaf)(void *ctx, unsigned from, unsigned to, const history_value *values,
                             uint32_t begin, uint32_t end),
                void *ctx)
{
	struct reader reader = {.store = &world->store, .snapshot = snapshot};
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	struct bwt_slice at = {"", 0};
	struct leaf_copy copy = {0};
	uint8_t fence[BWT_KEY_MAX];
	bool first = true;

	for (unsigned from = 0; from < HISTORY_KEYS; first = false) {
		history_value values[HISTORY_KEYS] = {0};
		uint32_t begin = sim_stamp();
		unsigned to = HISTORY_KEYS;
		int rc;

		epoch_pin(slot);
		if (first)
			rc = tree_copy_leaf(world->tree, slot, at, false, reader_choose, &reader,
			                    &copy);
		else
			rc = tree_copy_next_leaf(world->tree, slot, at, reader_choose, &reader,
			                         &copy);
		epoch_unpin(slot);
		if (rc < 0)
			sim_fail("scan: %s, %s", bwt_strerror(rc), bwt_detail());
		read_copy(&copy, values);
		if (copy.high.data != NULL) {
			memcpy(fence, copy.high.data, copy.high.size);
			at = (struct bwt_slice){fence, copy.high.size};
			to = fence_key(at);
		}
		if (fence_key(copy.low) > from)
			sim_fail("scan: a leaf begins behind the key that it was asked for");
		for (unsigned key = 0; key < HISTORY_KEYS; key++)
			if (values[key] != 0 && key >= to)
				sim_fail("scan: key %u lies behind its leaf's fence", key);
		leaf(ctx, from, to, values, begin, sim_stamp());
		from = to;
	}
	leaf_copy_free(&copy);
}

void world_consolidate(unsigned key, unsigned level, bool abort_pending)
{
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	struct missing_child missing;
	char text[KEY_SIZE + 1];
	struct place place;
	int rc;

	epoch_pin(slot);
	rc = tree_descend(world->tree, key_slice(key, text), false, level, &place, &missing);
	if (rc == BWT_OK)
		rc = tree_consolidate(world->tree, slot, &place,
		                      abort_pending ? ABORT_PENDING : LEAVE_PENDING, URGENCY_CARE);
	epoch_unpin(slot);
	if (rc < 0 && rc != BWT_BUSY && !(level > 0 && rc == BWT_NOT_FOUND))
		sim_fail("consolidate: %s, %s", bwt_strerror(rc), bwt_detail());
}

void world_shrink(unsigned key)
{
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	char text[KEY_SIZE + 1];
	struct place place;

	world_consolidate(key, 0, false);
	epoch_pin(slot);
	if (tree_descend(world->tree, key_slice(key, text), false, 0, &place, NULL) == BWT_OK)
		tree_shrink(world->tree, slot, place.page);
	epoch_unpin(slot);
}

/* The extents on the stack of the free, as bits. */
static uint32_t free_set(void)
{
	const struct extents *extents = &world->store.extents;
	uint32_t link, set = 0;

	memcpy(&link, (const void *)&extents->free_small, sizeof link); /* plain: no point */
	for (unsigned i = 0; link != 0 && i < EXTENT_SMALL_COUNT; i++) {
		set |= 1u << (link - 1);
		memcpy(&link, (const void *)&extents->side[link - 1].next, sizeof link);
	}
	return set;
}

void world_reclaim(void)
{
	uint32_t before = free_set(), now;

	extents_reclaim(&world->store.extents);
	now = free_set() & ~before;
	for (extent_id id = 0; id < EXTENT_SMALL_COUNT; id++)
		if ((now >> id & 1) != 0)
			memset(arena_at(&world->store.arena, extent_start(id)), 0xdb, POISON_SIZE);
	mapping_reclaim(&world->store.mapping);
}

void world_chunk(unsigned kind)
{
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	uint64_t next = atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed);
	uint64_t left = next == 0 ? 0 : slot->chunk[kind].end - next;
	int rc = extent_prepare(&world->store.extents, slot, (enum chunk_kind)kind, left + 64,
	                        URGENCY_PUT);

	if (rc < 0)
		sim_fail("chunk: %s, %s", bwt_strerror(rc), bwt_detail());
}

void world_leave(unsigned kind)
{
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	extent_id from =
		extent_of(atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed));

	do
		world_chunk(kind);
	while (extent_of(atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed)) == from);
}

void world_tree(unsigned keys)
{
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	struct tree tree;
	int rc = tree_create(&tree, &world->store.env, TREE_ID_FIRST + sim_self(), slot);

	for (unsigned key = 0; key < keys && rc == BWT_OK; key++) {
		uint8_t bytes[WORLD_VALUE_SIZE];
		char text[KEY_SIZE + 1];
		struct commit_op op = {.kind = COMMIT_PUT, .key = key_slice(key, text)};

		op.value = value_slice((history_value)key, bytes);
		rc = commit_one(&world->store, &tree, &op);
	}
	if (rc == BWT_OK)
		rc = tree_free(&tree, slot);
	if (rc < 0)
		sim_fail("another tree: %s, %s", bwt_strerror(rc), bwt_detail());
}

static struct tree *tree_hold(void *ctx, uint32_t id)
{
	(void)ctx;
	return id == TREE_ID_MAIN ? world->tree : NULL;
}

static void tree_release(void *ctx, struct tree *tree)
{
	(void)ctx, (void)tree;
}

void world_clean(void)
{
	const struct cleaner cleaner = {
		.env = &world->store.env, .tree_hold = tree_hold, .tree_release = tree_release};
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	struct extents *extents = &world->store.extents;
	struct extent_pick picks[EXTENT_SMALL_COUNT];
	unsigned count = extents_pick(extents, PICK_EVERYTHING, picks, EXTENT_SMALL_COUNT);

	for (unsigned i = 0; i < count; i++) {
		struct clean_result result = {0};
		bool claimed;

		epoch_pin(slot);
		claimed = extent_claim(extents, &picks[i]);
		epoch_unpin(slot);
		if (!claimed)
			continue;
		if (clean_extent(&cleaner, slot, &picks[i], &result) < 0 || result.damaged != 0)
			sim_fail("the cleaner met damage: %s", bwt_detail());
		extent_unclaim(extents, &picks[i], result.left == 0);
	}
}

void world_push(unsigned hint)
{
	const struct work work = {.kind = WORK_CONSOLIDATE, .tree = TREE_ID_MAIN, .page = hint};

	if (work_push(&world->queue, &work))
		world->pushed[hint % WORLD_HINTS_MAX]++;
	else
		sim_fail("a queue of %u cells is full", WORK_QUEUE_CELLS);
}

static bool all_taken(void *ctx)
{
	return world->taken_count >= *(const unsigned *)ctx;
}

/* As the workers of db/worker.c: whoever popped goes on until there is nothing, or told to stop. */
void world_take(unsigned count)
{
	while (!all_taken(&count)) {
		struct work work;

		if (!work_pop(&world->queue, &work)) {
			work_sleep(&world->queue, 0, all_taken, &count);
			continue;
		}
		world->taken[work.page % WORLD_HINTS_MAX]++;
		world->taken_count++;
	}
	work_wake(&world->queue, UINT32_MAX);
}

/* ---- the cut ---- */

/* As note_state() of recovery/checkpoint.c does it. */
static void note_cut(struct world_cut *cut)
{
	struct store *store = &world->store;
	uint32_t slots = atomic_load_explicit(&store->epoch.slot_count, memory_order_seq_cst);

	cut->lsn = wal_tail(store->wal);
	cut->next_page = atomic_load_explicit(&store->mapping.next_id, memory_order_acquire);
	cut->extent_count = extents_count(&store->extents);
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		cut->open[kind] =
			atomic_load_explicit(&store->extents.open[kind], memory_order_acquire);
	for (uint32_t i = 0; i < slots && i <= SIM_FIBERS_MAX; i++) {
		struct epoch_slot *slot = epoch_slot_at(&store->epoch, i);

		for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
			cut->chunk[i][kind].next =
				atomic_load_explicit(&slot->chunk[kind].next, memory_order_acquire);
			cut->chunk[i][kind].end = slot->chunk[kind].end;
		}
	}
	cut->keys = tree_keys(world->tree);
	atomic_fetch_add_explicit(&store->interval, 1, memory_order_relaxed);
}

/* As note_txns() of recovery/checkpoint.c does it. */
static void note_txns(struct world_cut *cut)
{
	struct descriptors *descriptors = &world->store.descriptors;
	uint32_t slots = atomic_load_explicit(&descriptors->count, memory_order_acquire);

	for (uint32_t i = 0;
	     i < slots && cut->txn_count < WORLD_CUT_TXNS && !TEST_FAULT("checkpoint_no_txns"); i++) {
		struct descriptor *descriptor = descriptor_at(descriptors, i);
		uint64_t word;

		if (atomic_load_explicit(&descriptor->in_use, memory_order_acquire) == 0)
			continue;
		word = atomic_load_explicit(&descriptor->word, memory_order_acquire);
		cut->txn[cut->txn_count++] =
			(struct cut_txn){descriptor_ref(descriptor),
		                         word_state(word) == WORD_COMMITTED ? word_lsn(word) : 0};
	}
}

void world_cut(void)
{
	struct store *store = &world->store;
	struct world_cut *cut = &world->cut[world->cut_count];
	uint64_t values[COW_SEGMENT_WORDS];
	bool dirty;

	if (world->cut_count == WORLD_CUTS_MAX)
		return;
	if (!gate_close(&store->epoch, GATE_NS))
		return;
	world->cut_count++;
	note_cut(cut);
	note_txns(cut);
	cut->taken = gate_open(
		&store->epoch); /* else others did: no picture, but all is collected before the next */
	cow_collect(&store->mapping.table, 0, 0, cut->mapping, &dirty);
	cow_collect(&store->extents.table, 0, 0, cut->extents, &dirty);
	cow_collect(&store->vlog_live, 0, 0, values, &dirty);
}
