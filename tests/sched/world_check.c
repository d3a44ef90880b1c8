/* SPDX-License-Identifier: MIT */
/*
 * world_check.c - what must hold when nobody runs any more
 *
 *   no slot is pinned, the gate is open, no lock is left
 *   the tree is sound (I5), every version is resolved, every split is posted
 *   its count is the number of its keys (I6), its contents are what the history's LSNs say
 *   every extent's live bytes are those of the blocks that are reachable, and of chunks' rests; what has none is
 *   on one stack, once
 *   every page id is reachable, or free once, or waiting once
 *   every reserved byte of the log is filled, every credit came back
 *   every hint of work was taken once, or is in the queue
 *   no memory was lost
 *   the pictures that cuts took are such stores, too, as of their LSN
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/wal_private.h"
#include "page/visibility.h"
#include "tests/sched/region.h"
#include "tests/sched/world.h"
#include "tree/tree_check.h"

#define PAGE_IDS COW_SEGMENT_WORDS

struct picture { /* a store's tables, now or as of a cut */
	const char *name;
	struct tree tree;
	struct tree_env env;
	struct mapping mapping;
	const uint64_t *extents;
	bool quiet;    /* nobody is in the middle of anything: splits are posted */
	bool half_way; /* transactions may be: versions from @lsn on do not count */
	uint64_t lsn;
	uint64_t keys;
	uint64_t next_page;
	const uint64_t *open;
	uint64_t live[EXTENT_SMALL_COUNT]; /* bytes that are reachable */
	bool reached[PAGE_IDS];
	unsigned pages;
	history_value state[HISTORY_KEYS];
	history_value expected[HISTORY_KEYS];
};

static struct picture picture;

static void on_fault(void *ctx, const struct tree_fault *fault)
{
	const struct picture *of = ctx;

	sim_fail("%s: page %llu: %s", of->name, (unsigned long long)fault->page, fault->text);
}

static bool on_reach(void *ctx, page_id page)
{
	struct picture *of = ctx;

	if (page >= PAGE_IDS || page >= of->next_page)
		sim_fail("%s: page id %llu was never handed out", of->name, (unsigned long long)page);
	if (of->reached[page])
		return false;
	of->reached[page] = true;
	of->pages++;
	return true;
}

static void on_block(void *ctx, arena_off off, uint32_t size)
{
	struct picture *of = ctx;

	of->live[extent_of(off)] += size;
}

/* ---- contents ---- */

static unsigned key_of(const struct page_entry *entry)
{
	uint8_t text[BWT_KEY_MAX];
	uint32_t size = key_ref_copy(&entry->key, 0, text);

	if (size != 3 || text[0] != 'k')
		sim_fail("a leaf holds a key that nobody wrote");
	return (unsigned)(text[1] - '0') * 10 + (unsigned)(text[2] - '0');
}

static void read_leaf(struct picture *of, page_id page, arena_off head)
{
	static struct page_entry entries[4096];
	const uint8_t *arena = of->env.arena->base;
	unsigned count;

	if (chain_version_count(arena, head) > sizeof entries / sizeof entries[0])
		sim_fail("%s: page %llu holds too many versions", of->name, (unsigned long long)page);
	count = chain_merge(arena, head, entries);
	for (unsigned i = 0; i < count; i++) {
		uint64_t word = entries[i].word != NULL
		                        ? *(const uint64_t *)(const void *)entries[i].word
		                        : word_make(WORD_COMMITTED, entries[i].lsn);
		unsigned key = key_of(&entries[i]);

		if (word_state(word) != WORD_COMMITTED && word_state(word) != WORD_ABORTED)
			sim_fail("%s: page %llu: a version of key %u is pending for ever", of->name,
			         (unsigned long long)page, key);
		if (word_state(word) != WORD_COMMITTED || of->state[key] != -1 ||
		    (of->half_way && word_lsn(word) >= of->lsn))
			continue;
		of->state[key] = 0;
		if ((entries[i].flags & VERSION_TOMBSTONE) == 0)
			memcpy(&of->state[key], entries[i].value, sizeof of->state[key]);
	}
}

/* Every page: contents of leaves; children of inner pages, of which each must be known to one. */
static void read_pages(struct picture *of)
{
	const uint8_t *arena = of->env.arena->base;
	struct inner_entry children[PAGE_IDS + DELTA_CHAIN_MAX];
	unsigned known = 1; /* the root */
	uint64_t keys = 0;

	for (unsigned key = 0; key < HISTORY_KEYS; key++)
		of->state[key] = -1;
	for (page_id page = 1; page < PAGE_IDS; page++) {
		arena_off head;

		if (!of->reached[page])
			continue;
		head = mapping_head(mapping_load(&of->mapping, page));
		if (chain_base(arena, head)->level == 0)
			read_leaf(of, page, head);
		else
			known += index_merge(arena, head, children);
	}
	if (of->quiet && known != of->pages)
		sim_fail("%s: %u pages, but the inner ones know %u: a split was not posted",
		         of->name, of->pages, known);
	for (unsigned key = 0; key < HISTORY_KEYS; key++) {
		history_value value = of->state[key] == -1 ? 0 : of->state[key];

		keys += value != 0;
		if (value != of->expected[key])
			sim_fail("%s: key %u is %d, should be %d", of->name, key, value,
			         of->expected[key]);
	}
	if (keys != of->keys)
		sim_fail("%s: there are %llu keys, the count says %llu", of->name,
		         (unsigned long long)keys, (unsigned long long)of->keys);
}

/* ---- bytes ---- */

static void check_extents(struct picture *of, uint32_t on_stack)
{
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		if (of->open[kind] != 0)
			of->live[of->open[kind] >> 32] +=
				EXTENT_SMALL_SIZE - (uint32_t)of->open[kind];
	for (extent_id id = 1; id < EXTENT_SMALL_COUNT; id++) {
		uint64_t live = extent_live(of->extents[id]);

		if (live != of->live[id])
			sim_fail("%s: extent %u has %llu live bytes, %llu are reachable", of->name,
			         id, (unsigned long long)live, (unsigned long long)of->live[id]);
		if (on_stack != UINT32_MAX && id < extents_count(&world->store.extents) &&
		    (live == 0) != ((on_stack >> id & 1) != 0))
			sim_fail("%s: extent %u with %llu live bytes is %s", of->name, id,
			         (unsigned long long)live, live == 0 ? "on no stack" : "on a stack");
	}
}

static uint64_t plain(const void *word)
{
	uint64_t value;

	memcpy(&value, word, sizeof value);
	return value;
}

static uint32_t plain32(const void *word)
{
	uint32_t value;

	memcpy(&value, word, sizeof value);
	return value;
}

static uint32_t stack_set(const void *head, uint32_t set, const char *what)
{
	const struct extents *extents = &world->store.extents;
	uint32_t link = (uint32_t)plain(head);

	while (link != 0) {
		uint32_t bit = 1u << (link - 1);

		if (link > EXTENT_SMALL_COUNT || (set & bit) != 0)
			sim_fail("extent %u is twice on the stacks (%s)", link - 1, what);
		set |= bit;
		memcpy(&link, (const void *)&extents->side[link - 1].next, sizeof link);
	}
	return set;
}

static void picture_check(struct picture *of, const uint64_t *mapping, uint32_t on_stack)
{
	struct tree_check check = {.fault = on_fault, .reach = on_reach, .block = on_block, .ctx = of};

	of->env = world->store.env;
	of->mapping = world->store.mapping;
	of->mapping.table.words = (_Atomic(uint64_t) *)(uintptr_t)mapping;
	of->env.mapping = &of->mapping;
	of->tree = *world->tree;
	of->tree.env = &of->env;
	memset(of->reached, 0, sizeof of->reached);
	of->pages = 0;
	if (tree_check(&of->tree, &check) < 0)
		sim_fail("%s: no memory for the check", of->name);
	if (check.keys != of->keys && !of->half_way)
		sim_fail("%s: the tree holds %llu keys, its count says %llu", of->name,
		         (unsigned long long)check.keys, (unsigned long long)of->keys);
	read_pages(of);
	check_extents(of, on_stack);
}

/* ---- now ---- */

static void add_chunk(uint64_t live[], uint64_t next, uint64_t end)
{
	if (next != 0 && next != end)
		live[extent_of(next)] += end - next;
}

static void check_slots(void)
{
	struct epoch *epoch = &world->store.epoch;
	uint32_t slots = atomic_load_explicit(&epoch->slot_count, memory_order_relaxed);

	for (uint32_t i = 0; i < slots; i++) {
		struct epoch_slot *slot = epoch_slot_at(epoch, i);

		if (plain(&slot->state) != 0 || plain(&slot->value_hold) != 0)
			sim_fail("slot %u is still pinned, in the gate, or holds a value file", i);
		for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
			add_chunk(picture.live, plain(&slot->chunk[kind].next),
			          slot->chunk[kind].end);
	}
	for (uint32_t i = 0; i < plain32(&world->store.descriptors.count); i++)
		if (plain32(&descriptor_at(&world->store.descriptors, i)->in_use) != 0)
			sim_fail("descriptor %u is still in use", i);
	if (atomic_load_explicit(&epoch->closed, memory_order_relaxed) != 0)
		sim_fail("the gate is still closed");
}

static void check_ids(void)
{
	struct mapping *mapping = &world->store.mapping;
	uint64_t next = atomic_load_explicit(&mapping->next_id, memory_order_relaxed);
	const void *stacks[] = {&mapping->free_ids, &mapping->limbo};
	bool listed[PAGE_IDS] = {false};

	for (unsigned s = 0; s < 2; s++) {
		uint32_t id = (uint32_t)plain(stacks[s]);

		while (id != 0) {
			if (id >= next || listed[id])
				sim_fail("page id %u is twice on the stacks, or was never used", id);
			listed[id] = true;
			memcpy(&id, (const void *)&mapping->links[id], sizeof id);
		}
	}
	for (page_id page = 1; page < next && page < PAGE_IDS; page++) {
		bool used = mapping_is_page(mapping_load(mapping, page));

		if (used != picture.reached[page] || used == listed[page])
			sim_fail("page id %llu is lost, or reachable and free",
			         (unsigned long long)page);
	}
	if (plain(&mapping->used) != picture.pages)
		sim_fail("%llu page ids are counted as used, %u are",
		         (unsigned long long)plain(&mapping->used), picture.pages);
}

/* Every frame from where the run began to the tail is there, one behind the other; no credit is held. */
static void check_log(void)
{
	struct wal *wal = world->store.wal;
	uint64_t tail = wal_tail(wal), collected = plain(&wal->collected), at;

	if (plain(&wal->promised) != tail - collected)
		sim_fail("log: %llu bytes of room are promised, %llu are in use",
		         (unsigned long long)plain(&wal->promised),
		         (unsigned long long)(tail - collected));
	at = collected > world->log_start ? collected : world->log_start;
	while (at < tail) {
		uint32_t len = atomic_load_explicit(wal_ring_word(wal, at), memory_order_relaxed) &
		               WAL_LEN_MASK;

		if (len == 0)
			sim_fail("log: the record at %llu was reserved and never filled",
			         (unsigned long long)at);
		at += len;
	}
	if (at != tail)
		sim_fail("log: records overlap before %llu", (unsigned long long)tail);
}

/* Hints that nobody took are still in the queue; none was taken twice. */
static void check_queue(void)
{
	struct work work;

	while (work_pop(&world->queue, &work))
		world->taken[work.page % WORLD_HINTS_MAX]++;
	for (unsigned hint = 0; hint < WORLD_HINTS_MAX; hint++)
		if (world->taken[hint] != world->pushed[hint])
			sim_fail("hint %u was pushed %u times and taken %u times", hint,
			         world->pushed[hint], world->taken[hint]);
}

static void check_now(const struct history *history)
{
	struct store *store = &world->store;
	uint32_t on_stack;

	memset(picture.live, 0, sizeof picture.live);
	picture.name = "after the run";
	picture.half_way = false;
	/* A page that took its neighbour in and is split at once is posted by the next writer that passes. */
	picture.quiet = atomic_load_explicit(&store->mapping.removed, memory_order_relaxed) == 0;
	check_slots();
	picture.keys = tree_keys(world->tree);
	picture.next_page = atomic_load_explicit(&store->mapping.next_id, memory_order_relaxed);
	picture.extents = (const uint64_t *)(const void *)store->extents.table.words;
	picture.open = (const uint64_t *)(const void *)store->extents.open;
	history_state(history, UINT64_MAX, picture.expected);
	on_stack = stack_set(&store->extents.free_small, 0, "free");
	on_stack = stack_set(&store->extents.dead, on_stack, "dead");
	picture_check(&picture, (const uint64_t *)(const void *)store->mapping.table.words, on_stack);
	check_ids();
	check_log();
	check_queue();
}

static uint64_t settle(const struct world_cut *cut, uint64_t word)
{
	for (unsigned i = 0; i < cut->txn_count && word_state(word) == WORD_DESCRIPTOR; i++)
		if (cut->txn[i].ref == word)
			return cut->txn[i].lsn != 0 ? word_make(WORD_COMMITTED, cut->txn[i].lsn)
			                            : word_make(WORD_ABORTED, 0);
	return word;
}

/*
 * As opening does it (settle_words() of tree/descend.c), in place: what the last cut says of a transaction is right
 * for those before it, whose LSNs are lower. A reference that no cut knows stays, and is found.
 */
static void settle_all(const struct world_cut *cut)
{
	const struct arena *arena = &world->store.arena;

	for (page_id page = 1; page < PAGE_IDS; page++) {
		uint64_t word = cut->mapping[page];
		arena_off off = mapping_head(word);

		if (!mapping_is_page(word) || chain_base(arena->base, off)->level != 0)
			continue;
		for (unsigned left = mapping_chain(word); left > 0; left--) {
			struct leaf_delta *delta = arena_at(arena, off);
			uint64_t stored = plain((const void *)&delta->lsn_word);

			stored = settle(cut, stored);
			memcpy((void *)&delta->lsn_word, &stored, sizeof stored);
			off = left > 1 ? delta->older[0] : delta->base;
		}
	}
}

static void check_cut(const struct history *history, struct world_cut *cut, unsigned number)
{
	static char name[32];

	snprintf(name, sizeof name, "picture of cut %u", number);
	memset(picture.live, 0, sizeof picture.live);
	picture.name = name;
	picture.quiet = false;
	picture.half_way = world->large;
	picture.lsn = cut->lsn;
	settle_all(cut);
	picture.keys = cut->keys;
	picture.next_page = cut->next_page;
	picture.extents = cut->extents;
	picture.open = cut->open;
	for (unsigned i = 0; i <= SIM_FIBERS_MAX; i++)
		for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
			add_chunk(picture.live, cut->chunk[i][kind].next, cut->chunk[i][kind].end);
	history_state(history, cut->lsn, picture.expected);
	picture_check(&picture, cut->mapping, UINT32_MAX);
}

/* What the last cut left: copies of segments that nobody collects but the next one. */
static void collect_rest(void)
{
	struct store *store = &world->store;
	uint64_t words[COW_SEGMENT_WORDS];
	struct cow_table *tables[] = {&store->mapping.table, &store->extents.table,
	                              &store->vlog_live};
	bool dirty;

	if (world->cut_count == 0)
		return;
	atomic_fetch_add_explicit(&store->interval, 1, memory_order_relaxed);
	for (unsigned t = 0; t < 3; t++)
		cow_collect(tables[t], 0, 0, words, &dirty);
}

void world_check(struct history *history, const bool keys[HISTORY_KEYS])
{
	char why[HISTORY_WHY];

	for (unsigned key = 0; key < HISTORY_KEYS; key++) {
		struct history_op *op;

		if (!keys[key])
			continue;
		op = history_begin(history, SIM_FIBERS_MAX, HISTORY_GET, (uint8_t)key, sim_stamp());
		if (op == NULL)
			sim_fail("the history is full");
		world_get(READ_NEWEST, key, &op->value);
		op->end = sim_stamp();
	}
	if (!history_check(history, why))
		sim_fail("%s", why);
	check_now(history);
	for (unsigned i = world->cut_count; i-- > 0;)
		if (world->cut[i].taken)
			check_cut(history, &world->cut[i], i);
	collect_rest();
	if (region_live() != world->live)
		sim_fail("%u allocations are left, %u were there", region_live(), world->live);
}
