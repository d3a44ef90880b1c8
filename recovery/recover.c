/* SPDX-License-Identifier: MIT */
/*
 * recover.c - the ordered steps of opening, after any shutdown
 *
 *   lock -> superblocks -> map -> choose image -> wire -> restore -> replay -> log -> drops -> checkpoint
 *                   \-> (no store yet) map -> wire -> format -> log -> two trees -> two checkpoints -> name
 *
 *   RC1  Up to the first checkpoint of this life nothing is written that a durable image reaches:
 *        replay appends behind what the image knows, or takes extents that neither image uses (I14).
 *   RC2  What an earlier life left in the page cache is synced before it is relied on (W5).
 *   RC3  A step that only saves space or time (finishing a drop, the checkpoint at the end) may fail
 *        for want of space or memory without failing the opening: a full store can be opened.
 *   RC4  The checkpoint at the end writes all that the replay changed, which takes as long as the replay. A caller who will
 *        take it soon need not be kept waiting: until then another crash replays the same log and what came after it.
 *        Where both images are not whole, or space may not suffice outside of an opening, it is taken here.
 */
#include "recovery/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "log/wal_keep.h"
#include "recovery/checkpoint_load.h"
#include "recovery/replay.h"
#include "recovery/store_files.h"
#include "sys/file.h"
#include "txn/commit.h"

#define REPLAY_ROOM ((uint64_t)1 << 30) /* bytes beyond max_size that a replay may use */
#define PAGE_BYTES_LEAST 512u /* ids for pages of this average size, if the whole arena is used */
#define PAGES_LEAST ((uint64_t)1 << 20)

struct opening { /* what the steps hand on */
	struct store *store;
	const struct recover_config *config;
	struct epoch_slot *slot;
	struct loaded loaded;
	struct replayed replayed;
	struct checkpointer *checkpointer; /* read-only: not handed out */
};

/* ---- wiring ---- */

static int value_syncs(void *ctx, struct sys_io *ops, unsigned room, unsigned *count)
{
	const struct log_hooks *hooks = ctx;

	return vlog_value_syncs(hooks->store->vlog, ops, room, count);
}

static void log_moved(void *ctx)
{
	const struct log_hooks *hooks = ctx;

	if (hooks->moved != NULL)
		hooks->moved(hooks->ctx);
}

static void log_wants_flush(void *ctx)
{
	const struct log_hooks *hooks = ctx;

	if (hooks->want_flush != NULL)
		hooks->want_flush(hooks->ctx);
}

static void log_filled(void *ctx)
{
	const struct log_hooks *hooks = ctx;

	if (hooks->filled != NULL)
		hooks->filled(hooks->ctx);
}

static void log_failed(void *ctx, int rc)
{
	const struct log_hooks *hooks = ctx;

	checkpointer_fail(hooks->store, hooks, rc);
}

static uint64_t page_capacity(const struct store *store, uint64_t next_page)
{
	uint64_t pages = store->arena.max_size / PAGE_BYTES_LEAST;

	if (pages < PAGES_LEAST)
		pages = PAGES_LEAST;
	if (pages < 2 * next_page)
		pages = 2 * next_page;
	return pages < PAGE_ID_MAX ? pages : PAGE_ID_MAX;
}

static int map_arena(struct opening *opening)
{
	struct store *store = opening->store;
	/* A store that was killed while full has to hold what its log adds: see limit_arena(). */
	int rc = arena_open(&store->arena, store->arena_fd, opening->config->max_size + REPLAY_ROOM,
	                    store->readonly);

	if (rc == BWT_OK && opening->config->catch_sigbus)
		rc = sys_map_catch_faults(&store->arena.map, &store->faulted);
	return rc;
}

/* From here on max_size holds, unless the replay needed more. */
static void limit_arena(struct store *store, uint64_t max_size)
{
	uint64_t limit = (max_size + SYS_MAP_ALIGN - 1) / SYS_MAP_ALIGN * SYS_MAP_ALIGN;

	if (limit < arena_size(&store->arena))
		limit = arena_size(&store->arena);
	if (store->arena.max_size > limit)
		store->arena.max_size = limit;
}

/* Everything between the mapped arena and the log, empty. */
static int wire(struct opening *opening, uint64_t next_page)
{
	struct store *store = opening->store;
	int rc = epoch_init(&store->epoch);

	store->epoch.persist = store->arena.map.media == SYS_MEDIA_FILE ? NULL : &store->arena.map;
	if (rc == BWT_OK)
		rc = extents_init(&store->extents, &store->arena, &store->epoch, &store->interval);
	if (rc == BWT_OK) /* a replay uses what is free before the file exceeds max_size */
		atomic_store_explicit(&store->extents.growth_limit, opening->config->max_size,
		                      memory_order_relaxed);
	if (rc == BWT_OK)
		rc = mapping_init(&store->mapping, &store->epoch, page_capacity(store, next_page),
		                  &store->interval);
	if (rc == BWT_OK)
		rc = cow_init(&store->vlog_live, IMAGE_VALUE_FILES_MAX, &store->interval);
	if (rc < 0)
		return rc;
	snapshots_init(&store->snapshots);
	descriptors_init(&store->descriptors, &store->epoch);
	store->env = (struct tree_env){
		.arena = &store->arena,
		.extents = &store->extents,
		.epoch = &store->epoch,
		.mapping = &store->mapping,
		.stats = &store->stats,
		.limits = opening->config->limits,
		.clock = store_clock,
		.horizon = store_horizon,
		.decide = store_decide,
		.settle = store_settle,
		.value_stored = store_value_stored,
		.value_dropped = store_value_dropped,
		.ctx = store,
	};
	opening->slot = epoch_slot(&store->epoch);
	return opening->slot == NULL ? -ENOMEM : BWT_OK;
}

static int open_values(struct opening *opening, uint64_t next_file)
{
	struct store *store = opening->store;
	struct vlog_config config = {
		.dir_fd = store->vlog_dir_fd,
		.store_id = store->store_id,
		.segment_size = opening->config->vlog_segment_size,
		.next_segment = next_file,
		.readonly = store->readonly,
		.plain = opening->config->plain,
	};
	int rc = vlog_open(&config, &store->vlog);

	if (rc == BWT_OK && vlog_next_segment(store->vlog) >= IMAGE_VALUE_FILES_MAX)
		rc = error_set(BWT_CORRUPT, "vlog: a file has a number that no store reaches, %llu",
		               (unsigned long long)vlog_next_segment(store->vlog) - 1);
	return rc;
}

static int open_log(struct opening *opening)
{
	struct store *store = opening->store;
	const struct recover_config *config = opening->config;
	struct checkpointer *checkpointer = opening->checkpointer;
	struct wal_config wal = {
		.dir_fd = store->wal_dir_fd,
		.store_id = store->store_id,
		.segment_size = config->wal_segment_size,
		.plain = config->plain,
		.catch_sigbus = config->catch_sigbus,
		.sync = config->durability == BWT_SYNC,
		.end_lsn = opening->replayed.end_lsn,
		.end_incarnation = opening->replayed.incarnation,
		.last_seq = opening->replayed.last_seq,
		.stats = &store->stats,
		.value_syncs = value_syncs,
		.moved = log_moved,
		.want_flush = log_wants_flush,
		.filled = log_filled,
		.failed = log_failed,
		.ctx = &checkpointer->hooks,
	};
	bool readers_damaged;
	int rc;

	checkpointer->hooks = (struct log_hooks){
		.store = store,
		.moved = config->durable_moved,
		.want_flush = config->want_flush,
		.filled = config->filled,
		.failed = config->failed,
		.ctx = config->wal_ctx,
	};
	rc = wal_keep_open(store->wal_dir_fd, store->store_id, config->keep_bytes, &store->keep,
	                   &readers_damaged);
	if (rc == BWT_OK && readers_damaged)
		store_say(store,
		          LOG_ERR, "wal/%s: neither copy can be read, so nothing is kept for the log's readers",
		          WAL_READERS_NAME);
	if (rc == BWT_OK)
		rc = wal_open(&wal, &store->wal);
	/* The next opening needs a file, on a full disk too. Without space now there is no spare then. */
	if (rc == BWT_OK)
		(void)wal_keep_spare(store->wal);
	return rc;
}

/* ---- a new store ---- */

static int make_tree(struct opening *opening, uint32_t id)
{
	struct store *store = opening->store;
	struct named_tree *tree = aligned_alloc(CACHE_LINE_SIZE, sizeof *tree);
	int rc;

	if (tree == NULL)
		return -ENOMEM;
	memset(tree, 0, sizeof *tree);
	tree->state = CATALOG_LIVE;
	rc = tree_create(&tree->tree, &store->env, id, opening->slot);
	if (rc < 0) {
		free(tree);
		return rc;
	}
	tree->next = store->trees;
	store->trees = tree;
	return BWT_OK;
}

/* Two checkpoints, so that both superblocks are valid from the beginning. */
static int first_checkpoints(struct opening *opening)
{
	int rc = BWT_OK;

	for (unsigned i = 0; i < 2 && rc == BWT_OK; i++)
		rc = checkpoint_take(opening->store, opening->checkpointer, opening->slot, false);
	return rc;
}

static int create(struct opening *opening)
{
	struct store *store = opening->store;
	int rc = store_files_begin(store, opening->config);

	if (rc == BWT_OK)
		rc = sys_random(&store->store_id, sizeof store->store_id);
	if (rc == BWT_OK)
		rc = map_arena(opening);
	if (rc == BWT_OK)
		rc = wire(opening, 0);
	if (rc == BWT_OK)
		rc = extents_format(&store->extents);
	if (rc == BWT_OK)
		rc = open_values(opening, 1);
	if (rc == BWT_OK)
		rc = open_log(opening);
	TEST_YIELD("create_log");
	atomic_store_explicit(&store->next_tree_id, TREE_ID_FIRST, memory_order_relaxed);
	opening->checkpointer->created_ns = sys_wall_ns();
	if (rc == BWT_OK)
		rc = make_tree(opening, TREE_ID_MAIN);
	if (rc == BWT_OK)
		rc = make_tree(opening, TREE_ID_CATALOG);
	if (rc == BWT_OK)
		rc = first_checkpoints(opening);
	TEST_YIELD("create_rename");
	if (rc == BWT_OK)
		return store_files_finish(store);
	store_files_undo(store);
	return rc;
}

/* ---- a store that is there ---- */

/* RC2: a superblock whose sync failed may be in the page cache, clean, and not on the disk. */
static int read_superblocks(struct store *store, struct superblocks *supers)
{
	int fd, rc = -EINVAL;

	if (!store->readonly)
		rc = store_files_arena_direct(store, &fd);
	if (rc == BWT_OK) {
		rc = superblocks_read(fd, supers);
		sys_file_close(fd);
	}
	return rc == -EINVAL ? superblocks_read(store->arena_fd, supers) : rc;
}

static int load(struct opening *opening)
{
	struct store *store = opening->store;
	struct loaded *loaded = &opening->loaded;
	int rc = BWT_OK;

	if (!store->readonly && !TEST_FAULT("recover_skip_sync"))
		rc = sys_file_sync(store->arena_fd); /* RC2 */
	if (rc == BWT_OK)
		rc = read_superblocks(store, &loaded->supers);
	if (rc == BWT_OK)
		rc = map_arena(opening);
	if (rc < 0)
		return rc;
	store->store_id = loaded->supers.super[loaded->supers.newer].store_id;
	rc = checkpoint_choose(store, loaded);
	if (rc == BWT_OK)
		rc = wire(opening, loaded->newest.state.next_page);
	if (rc == BWT_OK)
		rc = checkpoint_restore(store, loaded, opening->slot, &opening->checkpointer->pool);
	/* Before the replay takes what is free: a checkpoint comes after it. */
	if (rc == BWT_OK && !store->readonly)
		checkpointer_provide(store, &opening->checkpointer->pool, &loaded->newest,
		                     opening->slot);
	TEST_YIELD("recover_loaded");
	return rc;
}

/* The checkpointer goes on from the images that were loaded; they are its own from here on. */
static void resume_checkpoints(struct opening *opening)
{
	struct checkpointer *checkpointer = opening->checkpointer;
	struct loaded *loaded = &opening->loaded;

	checkpointer->super_slot = loaded->slot;
	checkpointer->last_number = loaded->supers.last_number;
	checkpointer->created_ns = loaded->supers.super[loaded->slot].created_ns;
	checkpointer->older = loaded->older;
	checkpointer->older.interval = 0;
	checkpointer->newest = loaded->newest;
	checkpointer->newest.interval = 1;
	memset(&loaded->newest, 0, sizeof loaded->newest);
	memset(&loaded->older, 0, sizeof loaded->older);
	checkpointer_note(checkpointer, 0);
}

/* What the retained images keep anyway, readers of the log may have. */
static void note_cuts(const struct opening *opening)
{
	const struct checkpointer *checkpointer = opening->checkpointer;
	const struct image *images[] = {&checkpointer->older, &checkpointer->newest};
	struct wal_keep *keep = opening->store->keep;
	bool begun = false;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t start_lsn = images[i]->state.start_lsn;

		if (images[i]->number == 0)
			continue;
		if (!begun)
			wal_keep_begin(keep, start_lsn, wal_first_lsn(opening->store->wal),
			               wal_tail(opening->store->wal));
		begun = true;
		wal_keep_cut(keep, start_lsn, image_log_from(images[i]));
	}
}

/* RC3 */
static int finish_drops(struct opening *opening)
{
	struct store *store = opening->store;
	int rc;

	pthread_mutex_lock(store->trees_lock);
	rc = catalog_finish_drops(store);
	pthread_mutex_unlock(store->trees_lock);
	if (rc == BWT_OK || rc == BWT_CORRUPT || rc == BWT_IO)
		return rc;
	store_say(store, LOG_NOTICE, "a dropped tree keeps its space until the next opening: %s",
	          bwt_strerror(rc));
	return BWT_OK;
}

/* RC3: the next opening need not do it all again, and both images are whole again. */
static int last_checkpoint(struct opening *opening, bool one_image)
{
	const struct recover_config *config = opening->config;
	int rc;

	if (!one_image && opening->replayed.records == 0)
		return BWT_OK;
	if (!one_image && config->checkpoint_due != NULL &&
	    arena_size(&opening->store->arena) <= config->max_size / 2) {
		*config->checkpoint_due = true; /* RC4 */
		return BWT_OK;
	}
	rc = checkpoint_take(opening->store, opening->checkpointer, opening->slot, false);
	if (rc != BWT_FULL && rc != BWT_BUSY && rc != -ENOMEM)
		return rc;
	store_say(opening->store, LOG_WARNING, "no checkpoint after recovery: %s", bwt_strerror(rc));
	return BWT_OK;
}

/*
 * A superblock is written when the log is durable up to its cut (K2), so a log that ends before the
 * newest one's was cut short, also when it is the older image that is recovered from.
 */
static int log_reaches_checkpoint(const struct opening *opening)
{
	const struct superblocks *supers = &opening->loaded.supers;
	const struct superblock *newest = &supers->super[supers->newer];

	if (opening->replayed.end_lsn >= newest->start_lsn)
		return BWT_OK;
	return error_set(
		BWT_CORRUPT,
		"wal: the log ends at LSN %llu, before the cut of checkpoint %llu, LSN %llu",
		(unsigned long long)opening->replayed.end_lsn,
		(unsigned long long)newest->checkpoint, (unsigned long long)newest->start_lsn);
}

static int recover(struct opening *opening)
{
	const struct superblocks *supers = &opening->loaded.supers;
	struct store *store = opening->store;
	bool one_image;
	int rc = load(opening);

	if (rc == BWT_OK)
		rc = open_values(opening, opening->loaded.newest.state.value_file);
	if (rc == BWT_OK)
		rc = replay_log(store, opening->loaded.newest.state.start_lsn,
		                &supers->super[supers->newer], &opening->replayed);
	if (opening->config->replayed != NULL)
		*opening->config->replayed = opening->replayed;
	TEST_YIELD("recover_replayed");
	if (rc == BWT_OK)
		rc = log_reaches_checkpoint(opening);
	if (rc < 0)
		return rc;
	if (opening->replayed.records > 0)
		store_say(store, LOG_INFO, "recovered: %llu records after checkpoint %llu",
		          (unsigned long long)opening->replayed.records,
		          (unsigned long long)opening->loaded.newest.number);
	if (store->readonly)
		return BWT_OK;
	one_image = opening->loaded.older.number == 0;
	resume_checkpoints(opening);
	rc = open_log(opening);
	TEST_YIELD("recover_log_open");
	if (rc == BWT_OK)
		note_cuts(opening);
	if (rc == BWT_OK)
		rc = finish_drops(opening);
	if (rc == BWT_OK)
		rc = last_checkpoint(opening, one_image);
	return rc;
}

/* ---- open and close ---- */

static void store_init(struct store *store, const struct recover_config *config)
{
	pthread_mutex_t *trees_lock = store->trees_lock;

	memset(store, 0, sizeof *store);
	store->trees_lock = trees_lock;
	store->dir_fd = store->wal_dir_fd = store->vlog_dir_fd = store->lock_fd = store->arena_fd =
		-1;
	atomic_init(&store->interval, 1);
	store->readonly = config->readonly;
	store->durability = config->durability;
	store->max_size = config->max_size;
	store->inline_max = config->inline_max;
	store->log = config->log;
	store->progress = config->progress;
	store->ctx = config->ctx;
}

int recover_open(struct store *store, const struct recover_config *config,
                 struct checkpointer **checkpointer)
{
	struct opening opening = {.store = store, .config = config};
	bool is_new = false;
	int rc;

	store_init(store, config);
	opening.checkpointer = checkpointer_new();
	if (opening.checkpointer == NULL)
		return -ENOMEM;
	rc = store_files_open(store, config, &is_new);
	if (rc == BWT_OK)
		rc = is_new ? create(&opening) : recover(&opening);
	loaded_free(&opening.loaded);
	if (rc < 0) {
		recover_close(store, opening.checkpointer);
		return rc;
	}
	if (config->readonly) {
		checkpointer_free(opening.checkpointer);
		opening.checkpointer = NULL;
	}
	if (!store->readonly)
		limit_arena(store, config->max_size);
	*checkpointer = opening.checkpointer;
	return BWT_OK;
}

void recover_close(struct store *store, struct checkpointer *checkpointer)
{
	struct named_tree *tree, *next;

	if (store->wal != NULL)
		wal_close(store->wal);
	wal_keep_close(store->keep);
	vlog_close(store->vlog);
	checkpointer_free(checkpointer);
	for (tree = store->trees; tree != NULL; tree = next) {
		next = tree->next;
		free(tree);
	}
	snapshots_deinit(&store->snapshots);
	descriptors_deinit(&store->descriptors);
	cow_deinit(&store->vlog_live);
	mapping_deinit(&store->mapping);
	if (store->extents.side != NULL)
		extents_deinit(&store->extents);
	if (store->epoch.tls != NULL)
		epoch_deinit(&store->epoch);
	if (store->arena.base != NULL)
		arena_close(&store->arena);
	free(store->settled.refs);
	store->trees = NULL;
	store->wal = NULL;
	store->keep = NULL;
	store->vlog = NULL;
	store_files_close(store);
}
