/* SPDX-License-Identifier: MIT */
/*
 * world.c - lives of a store
 */
#include "tests/sim/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"

void world_fail(const struct world *world, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "FAIL SEED=%llu, image %llu, operation %u: ", (unsigned long long)world->seed,
	        (unsigned long long)world->images, world->history.op_count);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n  durability %d, dax %u, %u fibers, inline %u, values to %u, I/O failures %u ppm, life %u, %s\n",
	        world->profile.options.durability, world->profile.dax, world->profile.fibers,
	        world->profile.options.inline_max, world->profile.value_max,
	        world->profile.io_fail_ppm, world->life, world->stopped ? "stopped" : "going on");
	if (getenv("SIM_ABORT") != NULL)
		abort();
	_exit(1);
}

/* ---- names and bytes ---- */

const char *world_tree_name(unsigned tree)
{
	static const char *const names[HISTORY_TREES] = {NULL, "first", "second"};

	return names[tree];
}

/* Every eighth key is long. */
struct bwt_slice world_key(unsigned key)
{
	static char bytes[400];
	int size = snprintf(bytes, sizeof bytes, "key-%03u", key);

	if (key % 8 == 7) {
		memset(bytes + size, '-', 300);
		return (struct bwt_slice){bytes, (size_t)size + 300};
	}
	return (struct bwt_slice){bytes, (size_t)size};
}

unsigned world_key_number(struct bwt_slice key)
{
	char text[8] = "";
	struct bwt_slice again;
	unsigned number;

	if (key.size < 7)
		return HISTORY_KEYS;
	memcpy(text, key.data, 7);
	if (sscanf(text, "key-%u", &number) != 1 || number >= HISTORY_KEYS)
		return HISTORY_KEYS;
	again = world_key(number);
	return again.size == key.size && memcmp(again.data, key.data, key.size) == 0 ? number
	                                                                             : HISTORY_KEYS;
}

struct item world_item(const void *data, size_t size)
{
	return (struct item){1, (uint32_t)size, crc32c(0, data, size)};
}

struct bwt_slice world_value(uint64_t number, uint32_t size, struct item *item)
{
	static uint8_t bytes[WORLD_VALUE_MAX + 8];
	uint64_t word = 0;
	struct rng rng;

	rng_init(&rng, number);
	for (uint32_t at = 0; at < size; at += 8) {
		if (at % 32 == 0 || number % 3 != 0) /* one in three can be compressed */
			word = rng_u64(&rng);
		memcpy(bytes + at, &word, sizeof word);
	}
	*item = world_item(bytes, size);
	return (struct bwt_slice){bytes, size};
}

/* ---- profiles ---- */

static unsigned one_of(struct rng *rng, const unsigned *list, size_t count)
{
	return list[rng_below(rng, count)];
}

#define ONE_OF(rng, ...)                                                                           \
	one_of(rng, (const unsigned[]){__VA_ARGS__},                                               \
	       sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static unsigned pick_packing(struct rng *rng)
{
	unsigned packing = ONE_OF(rng, BWT_PLAIN, BWT_LZ4, BWT_ZSTD);
	enum pack_codec codec = packing == BWT_LZ4 ? PACK_LZ4 : PACK_ZSTD;

	return packing == BWT_PLAIN || !pack_has(codec) ? BWT_PLAIN : packing;
}

void world_profile(struct profile *profile, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed ^ 0x70726f66696c65u);
	memset(profile, 0, sizeof *profile);
	profile->options.durability = (int)ONE_OF(&rng, BWT_SYNC, BWT_SYNC, BWT_INTERVAL, BWT_NONE);
	profile->options.sync_interval_ms = 1;
	profile->options.max_size = 16u << 20;
	profile->options.inline_max = ONE_OF(&rng, 64, 512, 2048);
	profile->options.wal_segment_size = ONE_OF(&rng, 128u << 10, 256u << 10);
	profile->options.vlog_segment_size = 65536;
	profile->options.vlog_space_target = ONE_OF(&rng, 110, 150, (unsigned)BWT_OFF);
	profile->options.checkpoint_wal_bytes = ONE_OF(&rng, 20000, 100000, 1u << 30);
	profile->options.checkpoint_interval_ms = 1000000;
	profile->fibers = ONE_OF(&rng, 1, 1, 2, 4);
	profile->ops = (unsigned)rng_range(&rng, 10, 160);
	profile->lives = (unsigned)rng_range(&rng, 2, 6);
	profile->keys = ONE_OF(&rng, 6, 24, 64, 96);
	profile->value_max = ONE_OF(&rng, 40, 200, 1000, 3000, 20000);
	profile->same_sizes = rng_chance(&rng, 25);
	profile->checkpoint_percent = ONE_OF(&rng, 1, 4, 15);
	profile->tree_percent = ONE_OF(&rng, 0, 2, 8);
	profile->io_fail_ppm = ONE_OF(&rng, 0, 0, 0, 0, 3000);
	profile->short_percent = ONE_OF(&rng, 0, 2, 20);
	profile->switch_percent = ONE_OF(&rng, 2, 30);
	profile->cut_percent = 12;
	profile->point_permille = 10;
	profile->recovery_permille = 15;
	profile->damage_percent = 10;
	profile->log_damage_percent = 3;
	profile->idle_percent = 10;
	profile->kill_percent = 25;
	profile->depth = 3;
	profile->dax = ONE_OF(&rng, DISK_DAX_NONE, DISK_DAX_NONE, DISK_DAX_LOG, DISK_DAX_ALL);
	profile->packing = pick_packing(&rng);
}

/* ---- operations ---- */

static uint32_t value_size(struct world *world)
{
	uint32_t most = world->profile.value_max;

	if (world->profile.same_sizes)
		return most > SAME_SIZE ? SAME_SIZE : most;
	if (rng_chance(&world->rng, 80))
		return (uint32_t)rng_below(&world->rng, most < 100 ? most : 100);
	return (uint32_t)rng_below(&world->rng, most + 1);
}

static bool acknowledges_durability(const struct world *world)
{
	return world->profile.options.durability == BWT_SYNC;
}

static uint64_t seen_lsn(struct world *world)
{
	struct epoch_slot *slot = epoch_slot(&world->db->store.epoch);

	return slot == NULL ? UINT64_MAX : slot->seen_lsn;
}

/* The answer to an operation: what the oracle makes of it. */
static void settle(struct world *world, struct op *op, int rc, int expected, const char *what)
{
	if (rc == BWT_OK && expected == BWT_OK) {
		op->lsn = seen_lsn(world);
		history_end(&world->history, op, acknowledges_durability(world));
		picture_apply(&world->now, &world->history, op);
		return;
	}
	op->none = rc == expected || rc == BWT_FULL || rc == BWT_READ_ONLY || rc == -ENOMEM;
	if (rc == expected || rc == BWT_FULL)
		return;
	world->stopped = true;
	/* Failing is allowed when the disk fails; not known how it ended. */
	if (world->profile.io_fail_ppm == 0 && failing.failed == 0)
		world_fail(world, "%s: %s (%s), expected %s", what, bwt_strerror(rc), bwt_detail(),
		           bwt_strerror(expected));
}

static unsigned random_tree(struct world *world, unsigned fiber)
{
	unsigned tree = fiber == 0 ? (unsigned)rng_below(&world->rng, HISTORY_TREES) : 0;

	return world->now.tree[tree] && world->trees[tree] != NULL ? tree : 0;
}

static unsigned random_key(struct world *world, unsigned fiber, unsigned tree)
{
	unsigned key;

	do
		key = (unsigned)rng_below(&world->rng, world->profile.keys);
	while (history_owner(&world->history, tree, key) != fiber);
	return key;
}

static void do_put(struct world *world, unsigned fiber)
{
	static const unsigned kinds[] = {0, 0, 0, BWT_INSERT, BWT_UPDATE};
	unsigned tree = random_tree(world, fiber);
	unsigned key = random_key(world, fiber, tree);
	bool there = world->now.item[tree][key].there != 0;
	unsigned flags = kinds[rng_below(&world->rng, 5)];
	struct op *op = history_begin(&world->history, fiber, OP_CHANGES, 0);
	char name[400];
	struct bwt_slice own_key = world_key(key), value;
	struct item item;
	uint8_t *bytes;
	int rc;

	/* Other fibers use the same buffers while this one waits. */
	value = world_value(++world->value_seed, value_size(world), &item);
	bytes = sim_alloc(value.size);
	memcpy(bytes, value.data, value.size);
	memcpy(name, own_key.data, own_key.size);
	history_change(&world->history, op, tree, key, item);
	rc = bwt_put(world->trees[tree], NULL, (struct bwt_slice){name, own_key.size},
	             (struct bwt_slice){bytes, value.size}, flags);
	sim_free(bytes);
	settle(world, op, rc,
	       flags == BWT_INSERT && there    ? BWT_EXISTS
	       : flags == BWT_UPDATE && !there ? BWT_NOT_FOUND
	                                       : BWT_OK,
	       "put");
}

static void do_delete(struct world *world, unsigned fiber)
{
	unsigned tree = random_tree(world, fiber);
	unsigned key = random_key(world, fiber, tree);
	bool there = world->now.item[tree][key].there != 0;
	struct op *op = history_begin(&world->history, fiber, OP_CHANGES, 0);
	char name[400];
	struct bwt_slice own_key = world_key(key);
	int rc;

	memcpy(name, own_key.data, own_key.size);
	history_change(&world->history, op, tree, key, (struct item){0});
	rc = bwt_delete(world->trees[tree], NULL, (struct bwt_slice){name, own_key.size});
	settle(world, op, rc, there ? BWT_OK : BWT_NOT_FOUND, "delete");
}

/* From what is there to something else, as seen a moment before by a get. */
static void do_cas(struct world *world, unsigned fiber)
{
	unsigned tree = random_tree(world, fiber);
	unsigned key = random_key(world, fiber, tree);
	struct bwt_slice own_key = world_key(key), value, expected;
	struct bwt_buf before = {0};
	struct op *op;
	struct item item;
	uint8_t bytes[256];
	char name[400];
	int rc;

	memcpy(name, own_key.data, own_key.size);
	own_key.data = name;
	rc = bwt_get(world->trees[tree], NULL, own_key, &before);
	if (rc < 0 && rc != BWT_NOT_FOUND) {
		bwt_buf_free(&before);
		return;
	}
	op = history_begin(&world->history, fiber, OP_CHANGES, 0);
	value = world_value(++world->value_seed, (uint32_t)rng_below(&world->rng, sizeof bytes),
	                    &item);
	memcpy(bytes, value.data, value.size);
	value.data = bytes;
	expected = (struct bwt_slice){before.data, before.size};
	history_change(&world->history, op, tree, key, item);
	rc = bwt_cas(world->trees[tree], NULL, own_key, rc == BWT_OK ? &expected : NULL, &value);
	settle(world, op, rc, BWT_OK, "cas");
	bwt_buf_free(&before);
}

#define TXN_CHANGES 12u

struct txn_change {
	unsigned tree, key;
	uint64_t number; /* of the value */
	uint32_t size;
	bool remove;
};

/* Chosen before the store is asked: the changes of one operation lie together in the history. */
static unsigned choose_changes(struct world *world, struct op *op, unsigned fiber,
                               struct txn_change *changes)
{
	unsigned count = (unsigned)rng_range(&world->rng, 1, TXN_CHANGES);

	for (unsigned i = 0; i < count; i++) {
		struct txn_change *change = &changes[i];
		struct item item = {0};
		bool there;

		change->tree = random_tree(world, fiber);
		change->key = random_key(world, fiber, change->tree);
		there = world->now.item[change->tree][change->key].there != 0;
		for (unsigned j = 0; j < i; j++) {
			if (changes[j].tree == change->tree && changes[j].key == change->key)
				there = !changes[j].remove;
		}
		change->remove = there && rng_chance(&world->rng, 25);
		change->number = ++world->value_seed;
		change->size = value_size(world);
		if (!change->remove)
			(void)world_value(change->number, change->size, &item);
		history_change(&world->history, op, change->tree, change->key, item);
	}
	return count;
}

static int make_change(struct world *world, struct bwt_txn *txn, const struct txn_change *change)
{
	struct bwt_slice key = world_key(change->key), value;
	struct bwt_tree *tree = world->trees[change->tree];
	struct item item;
	char name[400];
	uint8_t *bytes;
	int rc;

	/* Other fibers use the same buffers while this one waits. */
	memcpy(name, key.data, key.size);
	key.data = name;
	if (change->remove)
		return bwt_delete(tree, txn, key);
	value = world_value(change->number, change->size, &item);
	bytes = sim_alloc(value.size);
	memcpy(bytes, value.data, value.size);
	value.data = bytes;
	rc = bwt_put(tree, txn, key, value, 0);
	sim_free(bytes);
	return rc;
}

/* A record ends at a multiple of 16; what was only read counts one more than where it begins. */
static bool logged(struct world *world, uint64_t before)
{
	uint64_t lsn = seen_lsn(world);

	return lsn != before && lsn % 16 == 0;
}

/* Several changes that come true together, or not at all. */
static void do_txn(struct world *world, unsigned fiber)
{
	struct txn_change changes[TXN_CHANGES];
	struct op *op = history_begin(&world->history, fiber, OP_CHANGES, 0);
	unsigned count = choose_changes(world, op, fiber, changes);
	struct bwt_txn *txn;
	uint64_t before;
	int rc = bwt_begin(world->db, 0, &txn);

	if (rc < 0) {
		settle(world, op, rc, BWT_OK, "begin");
		op->none = true;
		return;
	}
	for (unsigned i = 0; i < count && rc == BWT_OK; i++)
		rc = make_change(world, txn, &changes[i]);
	if (rc < 0 || rng_chance(&world->rng, 10)) {
		bwt_abort(txn);
		op->none = true;
		if (rc < 0)
			settle(world, op, rc, BWT_OK, "change in a transaction");
		op->none = true;
		return;
	}
	before = seen_lsn(world);
	rc = bwt_commit(txn);
	/* Nothing is logged when it leaves all as it was: putting a key that was absent, and removing it. */
	if (rc == BWT_CONFLICT || (rc == BWT_OK && !logged(world, before)))
		op->none = true;
	else
		settle(world, op, rc, BWT_OK, "commit");
}

static void do_get(struct world *world, unsigned fiber)
{
	unsigned tree = random_tree(world, fiber);
	unsigned key = random_key(world, fiber, tree);
	struct item wants = world->now.item[tree][key];
	struct bwt_slice own_key = world_key(key);
	struct bwt_buf value = {0};
	struct item has = {0};
	char name[400];
	int rc;

	memcpy(name, own_key.data, own_key.size);
	rc = bwt_get(world->trees[tree], NULL, (struct bwt_slice){name, own_key.size}, &value);
	if (rc == BWT_OK)
		has = world_item(value.data, value.size);
	bwt_buf_free(&value);
	if (rc == BWT_OK || rc == BWT_NOT_FOUND) {
		if (memcmp(&has, &wants, sizeof has) != 0 && !world->stopped)
			world_fail(world, "get of %u/%u: wrong answer", tree, key);
	} else if (world->profile.io_fail_ppm == 0 && failing.failed == 0) {
		world_fail(world, "get: %s (%s)", bwt_strerror(rc), bwt_detail());
	}
}

static int compare_keys(const void *a, const void *b)
{
	struct bwt_slice key = world_key(*(const unsigned *)a), other;
	char bytes[400];
	size_t size = key.size;
	int order;

	memcpy(bytes, key.data, size);
	other = world_key(*(const unsigned *)b);
	order = memcmp(bytes, other.data, size < other.size ? size : other.size);
	return order != 0 ? order : (size > other.size) - (size < other.size);
}

/* Some of the keys, in order, as changes of @op; their number. */
static unsigned choose_load(struct world *world, struct op *op, unsigned tree,
                            struct txn_change *changes)
{
	unsigned keys[HISTORY_KEYS], count = 0;

	for (unsigned key = 0; key < world->profile.keys; key++)
		if (rng_chance(&world->rng, 40))
			keys[count++] = key;
	qsort(keys, count, sizeof keys[0], compare_keys);
	for (unsigned i = 0; i < count; i++) {
		struct item item;

		changes[i] = (struct txn_change){.tree = tree,
		                                 .key = keys[i],
		                                 .number = ++world->value_seed,
		                                 .size = value_size(world)};
		(void)world_value(changes[i].number, changes[i].size, &item);
		history_change(&world->history, op, tree, keys[i], item);
	}
	return count;
}

/* A pair at a time; the disk, and so an end, may come in between. */
static int put_load(struct bwt_bulk *bulk, const struct txn_change *change)
{
	struct bwt_slice key = world_key(change->key), value;
	struct item item;
	char name[400];
	uint8_t *bytes;
	int rc;

	memcpy(name, key.data, key.size);
	key.data = name;
	value = world_value(change->number, change->size, &item);
	bytes = sim_alloc(value.size + 1);
	memcpy(bytes, value.data, value.size);
	value.data = bytes;
	rc = bwt_bulk_put(bulk, key, value);
	sim_free(bytes);
	return rc;
}

/* A tree that is not there is loaded: all of it, or nothing. */
static void do_load(struct world *world, unsigned tree)
{
	struct op *op = history_begin(&world->history, 0, OP_CREATE, tree);
	struct txn_change changes[HISTORY_KEYS];
	unsigned count = choose_load(world, op, tree, changes);
	struct bwt_bulk *bulk = NULL;
	int rc = bwt_bulk_open(world->db, world_tree_name(tree), 0, &bulk);

	for (unsigned i = 0; i < count && rc == BWT_OK; i++)
		rc = put_load(bulk, &changes[i]);
	op->none = rc < 0;
	if (rc == BWT_OK)
		rc = bwt_bulk_finish(bulk, &world->trees[tree]);
	if (rc < 0)
		bwt_bulk_abort(bulk);
	if (rc == BWT_BUSY) /* no checkpoint could be taken */
		op->none = true;
	else
		settle(world, op, rc, BWT_OK, "load");
	if (rc < 0)
		world->trees[tree] = NULL;
}

static void do_tree(struct world *world)
{
	unsigned tree = (unsigned)rng_range(&world->rng, 1, HISTORY_TREES - 1);
	bool there = world->now.tree[tree];
	struct op *op;
	int rc;

	if (!there && rng_chance(&world->rng, 50)) {
		do_load(world, tree);
		return;
	}
	op = history_begin(&world->history, 0, there ? OP_DROP : OP_CREATE, tree);
	if (there) {
		world->trees[tree] = NULL;
		rc = bwt_tree_drop(world->db, world_tree_name(tree));
	} else {
		rc = bwt_tree_open(world->db, world_tree_name(tree),
		                   BWT_CREATE | world->profile.packing, &world->trees[tree]);
	}
	if (rc == BWT_BUSY) { /* transactions of other fibers are open */
		op->none = true;
		rc = bwt_tree_open(world->db, world_tree_name(tree), world->profile.packing,
		                   &world->trees[tree]);
	} else {
		settle(world, op, rc, BWT_OK, there ? "drop" : "create");
	}
	if (rc < 0)
		world->trees[tree] = NULL;
}

static void refused(struct world *world, const char *what, int rc)
{
	if (world->profile.io_fail_ppm == 0 && failing.failed == 0 && rc != BWT_FULL)
		world_fail(world, "%s: %s (%s)", what, bwt_strerror(rc), bwt_detail());
	if (rc == BWT_IO || rc == BWT_READ_ONLY)
		world->stopped = true;
}

static void do_checkpoint(struct world *world)
{
	uint64_t before = world->history.clock;
	int rc = bwt_checkpoint(world->db);

	if (rc == BWT_OK)
		history_all_durable(&world->history, before);
	else
		refused(world, "checkpoint", rc);
}

static void do_sync(struct world *world)
{
	uint64_t before = world->history.clock;
	int rc = bwt_sync(world->db);

	if (rc == BWT_OK)
		history_all_durable(&world->history, before);
	else
		refused(world, "sync", rc);
}

void world_operation(struct world *world, unsigned fiber)
{
	unsigned dice = (unsigned)rng_below(&world->rng, 100);
	unsigned checkpoints = world->profile.checkpoint_percent;

	if (world->profile.puts_only && dice >= checkpoints + 3)
		do_put(world, fiber);
	else if (dice < checkpoints)
		do_checkpoint(world);
	else if (dice < checkpoints + 3)
		do_sync(world);
	else if (dice < checkpoints + 3 + world->profile.tree_percent && fiber == 0)
		do_tree(world);
	else if (dice < checkpoints + 13)
		do_get(world, fiber);
	else if (dice < checkpoints + 25)
		do_delete(world, fiber);
	else if (dice < checkpoints + 33)
		do_txn(world, fiber);
	else if (dice < checkpoints + 40)
		do_cas(world, fiber);
	else
		do_put(world, fiber);
}

/* ---- fibers ---- */

struct worker {
	struct world *world;
	unsigned fiber;
};

static void work(void *ctx)
{
	const struct worker *worker = ctx;
	struct world *world = worker->world;

	while (world->left > 0 && !world->stopped) {
		world->left--;
		if (world->left == world->profile.ops / 3)
			world->end_wanted = rng_chance(&world->rng, 70);
		world_operation(world, worker->fiber);
		/* Also between operations. */
		if (sim->instant != NULL)
			sim_point("between operations");
		sys_yield();
	}
}

static void work_all(struct world *world)
{
	struct worker workers[HISTORY_FIBERS];
	struct fiber *fibers[HISTORY_FIBERS];

	for (unsigned f = 0; f < world->profile.fibers; f++) {
		workers[f] = (struct worker){world, f};
		if (f > 0)
			fibers[f] = fiber_start(work, &workers[f]);
	}
	work(&workers[0]);
	for (unsigned f = 1; f < world->profile.fibers; f++)
		fiber_join(fibers[f]);
}

/* ---- lives ---- */

static void begin_life(struct world *world)
{
	struct bwt_options options = world->profile.options;
	struct picture found;
	char why[1200];
	unsigned survived;
	struct bwt_db *db;
	int rc;

	options.flags = world->created ? 0 : BWT_CREATE;
	rc = bwt_open(SIM_PATH, &options, &db);
	if (rc < 0)
		world_fail(world, "open: %s (%s)", bwt_strerror(rc), bwt_detail());
	world->created = true;
	rc = world_picture(world, db, &found);
	if (rc < 0)
		world_fail(world, "reading: %s (%s)", bwt_strerror(rc), bwt_detail());
	if (!history_allows(&world->history, &found, world->ending.durable_lsn, why, sizeof why,
	                    &survived))
		world_fail(world, "survivor: %s", why);
	world->db = db;
	world->ending.durable_lsn = 0;
	history_restart(&world->history, &found, world->profile.fibers);
	world->now = found;
	for (unsigned t = 0; t < HISTORY_TREES; t++) {
		world->trees[t] = NULL;
		if (found.tree[t] && bwt_tree_open(world->db, world_tree_name(t),
		                                   world->profile.packing, &world->trees[t]) < 0)
			world_fail(world, "tree_open: %s", bwt_detail());
	}
	world->stopped = world->end_wanted = false;
}

/* The next life finds what the ending left; this one ends unseen. */
static void end_by_crash(struct world *world)
{
	struct bwt_db *db = world->db;

	world_drop(db);
	world->db = NULL;
	disk_free(world->machine.disk);
	world->machine.disk = world->ending.disk;
	world->history = world->ending.history;
	world->ending.disk = NULL;
}

static void end_clean(struct world *world)
{
	struct bwt_db *db = world->db;
	uint64_t before = world->history.clock;
	int rc = bwt_close(db);

	world->db = NULL;
	if (rc == BWT_OK)
		history_all_durable(&world->history, before);
	else if (!world->stopped)
		refused(world, "close", rc);
}

static void arm(struct world *world, bool on)
{
	struct machine *machine = &world->machine;

	machine->instant = on ? world_instant : NULL;
	machine->switch_percent = on && world->profile.fibers > 1 ? world->profile.switch_percent : 0;
	machine->short_percent = world->profile.short_percent;
}

static void live(struct world *world)
{
	struct machine *machine = &world->machine;
	struct cut cut;

	arm(world, true);
	begin_life(world);
	machine->io_fail_ppm = world->profile.io_fail_ppm;
	if (!rng_chance(&world->rng, world->profile.idle_percent)) {
		world->left = world->profile.ops;
	} else if (world->profile.idle_checkpoints) {
		do_checkpoint(world);
		do_checkpoint(world);
	} else {
		world->left = (unsigned)rng_below(&world->rng, 4);
	}
	work_all(world);
	if (world->ending.disk == NULL && rng_chance(&world->rng, 40)) {
		disk_cut_choose(machine->disk, &world->rng, &cut);
		world->ending.disk = disk_cut(machine->disk, &cut);
		world->ending.history = world->history;
		world->ending.durable_lsn = wal_durable_lsn(world->db->store.wal);
	}
	if (world->ending.disk == NULL)
		end_clean(world);
	machine->io_fail_ppm = 0;
	if (world->ending.disk != NULL) {
		/* The end may have been noted in the clean close, which then did not happen. */
		if (world->db != NULL)
			end_by_crash(world);
		else {
			disk_free(machine->disk);
			machine->disk = world->ending.disk;
			world->history = world->ending.history;
			world->ending.disk = NULL;
		}
	}
}

void world_run(struct world *world, uint64_t seed, const struct profile *given)
{
	struct picture empty = {.tree = {true}};
	uint64_t images = world->images, damaged = world->damaged, refused = world->refused;
	uint64_t most = world->images_max, *shared = world->shared_images;

	memset(world, 0, sizeof *world);
	world->images = images;
	world->damaged = damaged;
	world->refused = refused;
	world->shared_images = shared;
	world->images_max = most;
	world->seed = seed;
	rng_init(&world->rng, seed);
	if (given != NULL)
		world->profile = *given;
	else
		world_profile(&world->profile, seed);
	history_restart(&world->history, &empty, world->profile.fibers);
	world->now = empty;
	world->machine.ctx = world;
	sim_enter(&world->machine, disk_new(), rng_u64(&world->rng));
	world->machine.disk->dax = world->profile.dax;
	for (world->life = 0; world->life < world->profile.lives; world->life++)
		live(world);
	sim_leave(&world->machine);
	disk_free(world->machine.disk);
}
