/* SPDX-License-Identifier: MIT */
/*
 * stat.c - counters gathered from all layers; the file `stats` that bwt-stat reads beside us
 */
#include <string.h>

#include "base/error.h"
#include "base/stats.h"
#include "db/db.h"
#include "log/wal_reader.h"
#include "sys/file.h"
#include "tree/descend.h"

static uint64_t sum(const struct bwt_db *db, enum stat_counter counter)
{
	return stats_sum(&db->store.stats, counter);
}

/* Keys of the main tree and the named ones; the catalogue's are not the user's. */
static uint64_t all_keys(struct bwt_db *db)
{
	uint64_t keys = 0;

	pthread_mutex_lock(db->store.trees_lock);
	for (struct named_tree *tree = db->store.trees; tree != NULL; tree = tree->next)
		if (tree->tree.id != TREE_ID_CATALOG && tree->state == CATALOG_LIVE)
			keys += tree_keys(&tree->tree);
	pthread_mutex_unlock(db->store.trees_lock);
	return keys;
}

static uint64_t main_depth(struct bwt_db *db)
{
	struct epoch_slot *slot = epoch_slot(&db->store.epoch);
	struct named_tree *tree = store_tree(&db->store, TREE_ID_MAIN);
	struct place root;
	uint64_t depth = 0;

	if (slot == NULL || tree == NULL)
		return 0;
	epoch_pin(slot);
	if (page_look(&tree->tree, tree->tree.root, &root) == BWT_OK)
		depth = root.base->level + 1u;
	epoch_unpin(slot);
	return depth;
}

static uint64_t vlog_live(const struct store *store)
{
	uint64_t files = store->vlog == NULL ? 0 : vlog_next_segment(store->vlog) + 1;
	uint64_t live = 0;

	for (uint64_t i = 0; i < files && i < store->vlog_live.capacity; i++)
		live += cow_load(&store->vlog_live, i);
	return live;
}

static const char *media_name(enum sys_media media)
{
	return media == SYS_MEDIA_DAX          ? "dax"
	       : media == SYS_MEDIA_FORCED_DAX ? "forced-dax"
	                                       : "file";
}

static void collect_space(struct bwt_db *db, struct bwt_stats *stats)
{
	struct store *store = &db->store;

	stats->key_count = all_keys(db);
	stats->tree_count = atomic_load_explicit(&store->tree_count, memory_order_relaxed);
	stats->page_count = atomic_load_explicit(&store->mapping.used, memory_order_relaxed);
	stats->tree_depth = main_depth(db);
	stats->arena_bytes = extents_bytes(&store->extents);
	stats->arena_live_bytes = extents_live_bytes(&store->extents);
	stats->arena_free_bytes =
		atomic_load_explicit(&store->extents.free_bytes, memory_order_relaxed) +
		atomic_load_explicit(&store->extents.spare, memory_order_relaxed);
	stats->vlog_bytes = store->vlog == NULL ? 0 : vlog_file_bytes(store->vlog);
	stats->vlog_live_bytes = vlog_live(store);
}

static int add_segment(void *ctx, const char *name, const struct wal_segment_head *head)
{
	uint64_t *bytes = ctx;

	(void)name;
	if (head != NULL)
		*bytes += head->capacity + WAL_HEADER_SIZE;
	return BWT_OK;
}

/* A read-only store has no log open and no checkpointer: the files tell. */
static void collect_files(struct bwt_db *db, struct bwt_stats *stats)
{
	struct superblock super;

	(void)wal_segments_list(db->store.wal_dir_fd, add_segment, &stats->wal_bytes);
	if (superblock_newest(db->store.arena_fd, &super) == BWT_OK)
		stats->checkpoint_lsn = super.start_lsn;
}

/* A version that the oldest snapshot keeps has a newer one, which was logged since. */
static void collect_snapshots(struct store *store, struct bwt_stats *stats)
{
	uint64_t now_ns = sys_now_ns();
	struct snapshot_info info;

	snapshots_look(&store->snapshots, &info);
	stats->snapshot_count = info.live;
	stats->oldest_snapshot_lsn = stats->newest_lsn;
	if (info.lsn == 0)
		return;
	stats->oldest_snapshot_lsn = info.lsn;
	stats->oldest_snapshot_thread = info.thread;
	stats->oldest_snapshot_ms = now_ns > info.begun_ns ? (now_ns - info.begun_ns) / 1000000 : 0;
	stats->oldest_snapshot_keeps =
		stats->newest_lsn > info.lsn ? stats->newest_lsn - info.lsn : 0;
}

static void collect_media(const struct store *store, struct bwt_stats *stats)
{
	enum sys_media arena = store->arena.map.media;
	enum sys_media log = store->wal == NULL ? SYS_MEDIA_FILE : wal_media(store->wal);

	strncpy(stats->media, media_name(arena), sizeof stats->media - 1);
	strncpy(stats->wal_media, media_name(log), sizeof stats->wal_media - 1);
	if (arena != SYS_MEDIA_FILE || log != SYS_MEDIA_FILE)
		strncpy(stats->flush_instruction, sys_persist_instruction(),
		        sizeof stats->flush_instruction - 1);
}

static void collect_log(struct bwt_db *db, struct bwt_stats *stats)
{
	struct store *store = &db->store;
	struct checkpoint_state state = {0};
	const char *engine = "plain";

	stats->newest_lsn = store_clock(store);
	stats->durable_lsn = stats->newest_lsn;
	if (store->wal != NULL) {
		stats->durable_lsn = wal_durable_lsn(store->wal);
		stats->wal_bytes = wal_file_bytes(store->wal);
		engine = wal_engine(store->wal);
	}
	if (db->checkpointer != NULL)
		checkpoint_state(store, db->checkpointer, &state);
	stats->checkpoint_count = state.count;
	stats->checkpoint_lsn = state.start_lsn;
	if (store->wal == NULL)
		collect_files(db, stats);
	collect_snapshots(store, stats);
	strncpy(stats->io_engine, engine, sizeof stats->io_engine - 1);
	collect_media(store, stats);
}

static void collect_written(struct bwt_db *db, struct bwt_stats *stats)
{
	const struct store *store = &db->store;

	stats->user_bytes_written = sum(db, STAT_USER_BYTES);
	stats->arena_written_bytes =
		atomic_load_explicit(&store->extents.allocated_bytes, memory_order_relaxed);
	stats->image_written_bytes = sum(db, STAT_IMAGE_WRITTEN_BYTES);
	stats->wal_written_bytes = sum(db, STAT_WAL_WRITTEN_BYTES);
	stats->vlog_written_bytes = store->vlog == NULL ? 0 : vlog_appended(store->vlog);
	/* Log, values and superblocks as written; arena bytes reach the disk once each, by the system's hand. */
	stats->device_bytes_written = sys_file_bytes_written() - db->written_before +
	                              stats->arena_written_bytes + stats->image_written_bytes;
}

void stat_collect(struct bwt_db *db, struct bwt_stats *stats)
{
	memset(stats, 0, sizeof *stats);
	collect_space(db, stats);
	collect_log(db, stats);
	collect_written(db, stats);
	stats->commits = sum(db, STAT_COMMITS);
	stats->conflicts = sum(db, STAT_CONFLICTS);
	stats->pushes = sum(db, STAT_PUSHES);
	stats->wounds = sum(db, STAT_WOUNDS);
	stats->consolidations = sum(db, STAT_CONSOLIDATIONS);
	stats->splits = sum(db, STAT_SPLITS);
	stats->merges = sum(db, STAT_MERGES);
	stats->swaps_lost = sum(db, STAT_SWAPS_LOST);
	stats->extents_cleaned = sum(db, STAT_EXTENTS_CLEANED);
	stats->cleaned_pages = sum(db, STAT_CLEANED_PAGES);
	stats->cleaned_bytes = sum(db, STAT_CLEANED_BYTES);
	stats->values_moved = sum(db, STAT_VALUES_MOVED);
	stats->value_bytes_moved = sum(db, STAT_VALUE_BYTES_MOVED);
	stats->value_files_freed = sum(db, STAT_VALUE_FILES_FREED);
	changes_stat(db, stats);
	stats->log_flushes = sum(db, STAT_LOG_FLUSHES);
	stats->gate_retries = sum(db, STAT_GATE_RETRIES);
	latency_sum(&db->latencies, LATENCY_GET, &stats->get_latency);
	latency_sum(&db->latencies, LATENCY_COMMIT, &stats->commit_latency);
	latency_sum(&db->latencies, LATENCY_DURABLE, &stats->durable_latency);
}

int bwt_stat(struct bwt_db *db, struct bwt_stats *stats)
{
	int rc = db_check(db);

	if (rc < 0)
		return rc;
	if (stats == NULL)
		return error_set(BWT_INVALID, "the place for the counters is NULL");
	stat_collect(db, stats);
	return BWT_OK;
}

/* ---- the file ---- */

int stat_publish_open(struct bwt_db *db)
{
	int rc = sys_file_open(db->store.dir_fd, STAT_FILE_NAME, SYS_CREATE, &db->stat_fd);

	if (rc < 0)
		return rc;
	rc = sys_file_allocate(db->stat_fd, 0, sizeof(struct stat_file));
	if (rc == BWT_OK)
		rc = sys_map_open(db->stat_fd, SYS_MAP_ALIGN, 0, &db->stat_map);
	if (rc < 0) {
		sys_file_close(db->stat_fd);
		return rc;
	}
	db->stat_file = (struct stat_file *)db->stat_map.base;
	stat_file_init(db->stat_file);
	return BWT_OK;
}

void stat_publish(struct bwt_db *db)
{
	struct bwt_stats stats;

	if (db->stat_file == NULL)
		return;
	stat_collect(db, &stats);
	stat_file_write(db->stat_file, &stats, (uint64_t)sys_pid(), sys_wall_ns());
}

void stat_publish_close(struct bwt_db *db)
{
	if (db->stat_file == NULL)
		return;
	stat_file_init(db->stat_file); /* nobody's any more */
	sys_map_close(&db->stat_map);
	sys_file_close(db->stat_fd);
	db->stat_file = NULL;
}
