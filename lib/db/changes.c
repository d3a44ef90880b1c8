/* SPDX-License-Identifier: MIT */
/*
 * changes.c - readers of changes: opening, waiting, acknowledging, being told
 *
 * What is read is changes_read.c; what is kept for readers, and when they are cut off, is log/wal_keep.c.
 *
 * Waiting. The flusher counts moves up after durable_lsn moved; a reader notes it, looks at durable_lsn, and
 * parks on the value that it noted. Descriptors are signalled then, too, and cleared by a reader that finds nothing,
 * before it looks once more.
 */
#include "db/changes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "db/changes_read.h"
#include "db/db.h"
#include "log/wal_keep.h"
#include "sys/file.h"

#define MS 1000000ull
#define PARK_MOST_NS (1000 * MS) /* between two looks whether the store has failed */

struct bwt_changes {
	struct feed feed;
	struct wal_keeper *keeper;
	bool named;
	uint64_t acknowledged;
	int fd;                         /* -1: nobody asked for it; changed under changes.lock */
	struct bwt_changes *next, **at; /* changes.list; changes.lock */
};

/* ---- for the others ---- */

void changes_moved(struct bwt_db *db)
{
	struct changes *changes = &db->changes;

	/* SEQ_CST, then the count: a reader counts itself, then notes moves, then looks at durable_lsn. So one that is
	 * not seen here sees what this is about. */
	atomic_fetch_add_explicit(&changes->moves, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&changes->count, memory_order_seq_cst) == 0)
		return;
	sys_wake(&changes->moves, UINT_MAX);
	pthread_mutex_lock(&changes->lock);
	for (const struct bwt_changes *reader = changes->list; reader != NULL; reader = reader->next)
		if (reader->fd >= 0)
			sys_eventfd_signal(reader->fd);
	pthread_mutex_unlock(&changes->lock);
}

static uint64_t checkpoint_lsn(const struct bwt_db *db)
{
	struct checkpoint_state state;

	checkpoint_state(&db->store, db->checkpointer, &state);
	return state.start_lsn;
}

bool changes_hold(const struct bwt_db *db)
{
	return wal_keep_lowest(db->store.keep) < checkpoint_lsn(db);
}

bool changes_released(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->changes.released, memory_order_relaxed) != 0;
}

void changes_settled(struct bwt_db *db)
{
	atomic_store_explicit(&db->changes.released, 0, memory_order_relaxed);
}

void changes_stat(struct bwt_db *db, struct bwt_stats *stats)
{
	struct wal_keeper_info infos[WAL_KEEPERS_MAX];

	stats->changes_lsn = stats->newest_lsn;
	stats->changes_cut_off = stats_sum(&db->store.stats, STAT_CHANGES_CUT_OFF);
	if (db->store.keep == NULL)
		return;
	stats->changes_readers = wal_keep_list(db->store.keep, infos);
	for (unsigned i = 0; i < stats->changes_readers; i++)
		if (!infos[i].lost && infos[i].position < stats->changes_lsn)
			stats->changes_lsn = infos[i].position;
}

/* ---- life ---- */

static int check_reader(const char *name)
{
	size_t size = name == NULL ? 1 : strlen(name);

	if (size >= 1 && size <= WAL_KEEP_NAME_MAX)
		return BWT_OK;
	return error_set(BWT_INVALID, "a reader's name has 1 to %u bytes, not %zu",
	                 WAL_KEEP_NAME_MAX, size);
}

static int check_options(const struct bwt_db *db, const struct bwt_changes_options *options)
{
	int rc = check_reader(options->reader);

	if (rc == BWT_OK)
		rc = db_check_key(options->prefix);
	if (rc == BWT_OK && options->tree != NULL && options->tree->db != db)
		rc = error_set(BWT_INVALID, "the tree belongs to another store");
	return rc;
}

static int set_filter(struct feed *feed, const struct bwt_changes_options *options)
{
	feed->one_tree = options->tree != NULL;
	if (feed->one_tree)
		feed->tree = options->tree->named->tree.id;
	feed->prefix_size = options->prefix.size;
	if (feed->prefix_size == 0)
		return BWT_OK;
	feed->prefix = malloc(feed->prefix_size);
	if (feed->prefix == NULL)
		return error_set(-ENOMEM, "no memory for a prefix");
	memcpy(feed->prefix, options->prefix.data, feed->prefix_size);
	return BWT_OK;
}

static void list_add(struct bwt_changes *changes)
{
	struct changes *all = &changes->feed.db->changes;

	atomic_fetch_add_explicit(&all->count, 1, memory_order_seq_cst);
	pthread_mutex_lock(&all->lock);
	changes->next = all->list;
	changes->at = &all->list;
	if (changes->next != NULL)
		changes->next->at = &changes->next;
	all->list = changes;
	pthread_mutex_unlock(&all->lock);
}

static void list_remove(struct bwt_changes *changes)
{
	struct changes *all = &changes->feed.db->changes;

	pthread_mutex_lock(&all->lock);
	*changes->at = changes->next;
	if (changes->next != NULL)
		changes->next->at = changes->at;
	pthread_mutex_unlock(&all->lock);
	atomic_fetch_sub_explicit(&all->count, 1, memory_order_release);
}

static void free_changes(struct bwt_changes *changes)
{
	sys_file_close(changes->fd);
	feed_free(&changes->feed);
	free(changes);
}

/* A place that is no end of a commit is found out here, unless nothing behind it is durable yet. */
static int look_at_place(struct feed *feed)
{
	uint64_t durable = wal_durable_lsn(feed->db->store.wal);
	struct wal_reader *reader;
	struct wal_record record;
	int rc;

	if (feed->position >= durable)
		return BWT_OK;
	rc = wal_reader_open_live(feed->db->store.wal_dir_fd, feed->db->store.store_id,
	                          feed->position, durable, &reader);
	if (rc == BWT_OK) {
		rc = wal_reader_next(reader, &record);
		wal_reader_close(reader);
	}
	if (rc == BWT_CORRUPT)
		return error_set(BWT_INVALID, "LSN %llu is no place between two records of the log",
		                 (unsigned long long)feed->position);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

/*
 * Into the register. A place that somebody names is kept, without a name, until it was looked at: one that is refused
 * changes nothing for a reader that is known.
 */
static int take_place(struct bwt_changes *changes, uint64_t from, const char *name)
{
	struct feed *feed = &changes->feed;
	struct wal_keep *keep = feed->db->store.keep;
	struct wal_keeper *place;
	int rc = BWT_OK;

	/* A name outlives a crash. So does what it stands behind, or it would miss what takes that place in the log. */
	if (name != NULL && from != 0)
		rc = wal_wait(feed->db->store.wal, from);
	if (rc == BWT_OK)
		rc = wal_keep_add(keep, from == 0 ? name : NULL, from, &place, &feed->position);
	if (rc < 0)
		return rc;
	changes->keeper = place;
	if (from != 0)
		rc = look_at_place(feed);
	if (from != 0 && rc == BWT_OK && name != NULL) {
		rc = wal_keep_add(keep, name, from, &changes->keeper, &feed->position);
		wal_keep_leave(keep, place);
	} else if (rc < 0) {
		wal_keep_leave(keep, place);
	}
	changes->acknowledged = feed->position;
	return rc;
}

static int open_checked(struct bwt_db *db, uint64_t from, const struct bwt_changes_options *options,
                        struct bwt_changes **out)
{
	struct bwt_changes *changes = calloc(1, sizeof *changes);
	int rc;

	if (changes == NULL)
		return error_set(-ENOMEM, "no memory for a reader of changes");
	changes->fd = -1;
	changes->feed.db = db;
	changes->named = options->reader != NULL;
	rc = set_filter(&changes->feed, options);
	if (rc == BWT_OK)
		rc = take_place(changes, from, options->reader);
	if (rc < 0) {
		free_changes(changes);
		return rc;
	}
	list_add(changes);
	*out = changes;
	return BWT_OK;
}

int bwt_changes_open(struct bwt_db *db, bwt_lsn from, const struct bwt_changes_options *options,
                     struct bwt_changes **changes)
{
	static const struct bwt_changes_options none;
	int rc = db_check(db);

	if (options == NULL)
		options = &none;
	if (rc == BWT_OK && changes == NULL)
		rc = error_set(BWT_INVALID, "the place for the handle is NULL");
	if (rc == BWT_OK)
		rc = check_options(db, options);
	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc == BWT_OK && from > wal_tail(db->store.wal))
		rc = error_set(BWT_INVALID, "LSN %llu lies beyond the end of the log",
		               (unsigned long long)from);
	return rc < 0 ? rc : open_checked(db, from, options, changes);
}

void bwt_changes_close(struct bwt_changes *changes)
{
	struct bwt_db *db;

	if (changes == NULL)
		return;
	db = changes->feed.db;
	if (db_check(db) == BWT_OK) {
		wal_keep_leave(db->store.keep, changes->keeper);
		list_remove(changes);
	}
	free_changes(changes);
}

/* ---- reading ---- */

bwt_lsn bwt_changes_position(const struct bwt_changes *changes)
{
	const struct feed *feed;

	if (changes == NULL || db_check(changes->feed.db) < 0)
		return 0;
	feed = &changes->feed;
	return feed->record.end_lsn != 0 && feed->given == feed->wanted ? feed->record.end_lsn
	                                                                : feed->position;
}

static int cut_off(void)
{
	return error_set(BWT_TRIMMED, "this reader of changes was too far behind, and was cut off");
}

static void move(struct bwt_changes *changes, uint64_t lsn)
{
	struct bwt_db *db = changes->feed.db;
	uint64_t newest = checkpoint_lsn(db);

	if (lsn <= changes->acknowledged)
		return;
	wal_keep_move(db->store.keep, changes->keeper, lsn);
	if (changes->acknowledged < newest)
		atomic_store_explicit(&db->changes.released, 1, memory_order_relaxed);
	changes->acknowledged = lsn;
}

/* What is durable now. Whoever was cut off learns it between two transactions, or where something is missing. */
static int read_durable(struct bwt_changes *changes, struct bwt_change *change)
{
	struct feed *feed = &changes->feed;
	bool between = feed->record.end_lsn == 0 || feed->given == feed->wanted;
	uint64_t position;
	int rc;

	if (between && wal_keep_lost(changes->keeper))
		return cut_off();
	rc = feed_next(feed, wal_durable_lsn(feed->db->store.wal), change);
	if (rc < 0 && rc != BWT_NOT_FOUND && wal_keep_lost(changes->keeper))
		return cut_off();
	position = feed->position; /* before what is handed out now */
	if (!changes->named && (rc == BWT_OK || rc == BWT_NOT_FOUND))
		move(changes, position);
	return rc;
}

/* What was committed without waiting becomes durable because we wait: at once in a sync store. */
static int flush(struct bwt_db *db, uint64_t waited_ns)
{
	struct wal *wal = db->store.wal;
	int durability = db->store.durability;

	if (wal_durable_lsn(wal) >= wal_tail(wal) || durability == BWT_INTERVAL ||
	    (durability == BWT_NONE && waited_ns < db->options.sync_interval_ms * MS))
		return BWT_OK;
	return wal_flush(wal, true);
}

static uint64_t park_ns(const struct bwt_db *db, uint64_t left_ns)
{
	uint64_t most =
		db->store.durability == BWT_NONE ? db->options.sync_interval_ms * MS : PARK_MOST_NS;

	return left_ns < most ? left_ns : most;
}

static int next(struct bwt_changes *changes, int timeout_ms, struct bwt_change *change)
{
	struct bwt_db *db = changes->feed.db;
	const uint64_t begun = sys_now_ns();
	uint64_t patience = UINT64_MAX, waited = 0;
	int rc;

	if (timeout_ms >= 0)
		patience = (unsigned)timeout_ms * MS;
	for (;;) {
		uint32_t seen = atomic_load_explicit(&db->changes.moves, memory_order_seq_cst);

		rc = read_durable(changes, change);
		if (rc == BWT_NOT_FOUND && changes->fd >= 0) {
			TEST_YIELD("changes_clear");
			sys_eventfd_clear(changes->fd);
			rc = read_durable(changes, change);
			/* What has told us of this was cleared, and there may be more. */
			if (rc != BWT_NOT_FOUND)
				sys_eventfd_signal(changes->fd);
		}
		if (rc != BWT_NOT_FOUND)
			return rc;
		rc = store_health(&db->store, true);
		if (rc < 0 && changes->fd >= 0)
			sys_eventfd_signal(changes->fd); /* for good: nothing comes any more */
		if (rc < 0 || waited >= patience)
			return rc < 0 ? rc : BWT_NOT_FOUND;
		rc = flush(db, waited);
		if (rc < 0)
			return rc;
		TEST_YIELD("changes_wait");
		sys_park(&db->changes.moves, seen, park_ns(db, patience - waited));
		waited = sys_now_ns() - begun;
	}
}

int bwt_changes_next(struct bwt_changes *changes, int timeout_ms, struct bwt_change *change)
{
	int rc = changes == NULL || change == NULL
	                 ? error_set(BWT_INVALID, "the reader or the place for a change is NULL")
	                 : db_check(changes->feed.db);

	return rc < 0 ? rc : next(changes, timeout_ms, change);
}

int bwt_changes_fd(struct bwt_changes *changes)
{
	int fd, rc = changes == NULL ? error_set(BWT_INVALID, "the reader of changes is NULL")
	                             : db_check(changes->feed.db);

	if (rc < 0 || changes->fd >= 0)
		return rc < 0 ? rc : changes->fd;
	rc = sys_eventfd_new(&fd);
	if (rc < 0)
		return rc;
	sys_eventfd_signal(fd); /* there may be something already */
	pthread_mutex_lock(&changes->feed.db->changes.lock);
	changes->fd = fd;
	pthread_mutex_unlock(&changes->feed.db->changes.lock);
	return fd;
}

int bwt_changes_ack(struct bwt_changes *changes, bwt_lsn lsn)
{
	int rc = changes == NULL ? error_set(BWT_INVALID, "the reader of changes is NULL")
	                         : db_check(changes->feed.db);

	if (rc < 0)
		return rc;
	if (lsn > bwt_changes_position(changes))
		return error_set(BWT_INVALID, "LSN %llu was not handed out yet",
		                 (unsigned long long)lsn);
	if (wal_keep_lost(changes->keeper))
		return cut_off();
	if (changes->named)
		move(changes, lsn);
	return BWT_OK;
}

/* ---- the register ---- */

int bwt_changes_forget(struct bwt_db *db, const char *reader)
{
	int rc = db_check(db);

	if (rc == BWT_OK && reader == NULL)
		rc = error_set(BWT_INVALID, "the name of the reader is NULL");
	if (rc == BWT_OK)
		rc = check_reader(reader);
	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc == BWT_OK)
		rc = wal_keep_forget(db->store.keep, reader);
	if (rc == BWT_OK)
		atomic_store_explicit(&db->changes.released, 1, memory_order_relaxed);
	return rc;
}

int bwt_changes_list(struct bwt_db *db,
                     int (*each)(void *ctx, const struct bwt_changes_reader *reader), void *ctx)
{
	struct wal_keeper_info *infos;
	uint64_t durable;
	unsigned count;
	int rc = db_check(db);

	if (rc == BWT_OK && each == NULL)
		rc = error_set(BWT_INVALID, "the function to call is NULL");
	if (rc == BWT_OK && db->store.keep == NULL)
		rc = BWT_READ_ONLY;
	if (rc < 0)
		return rc;
	infos = calloc(WAL_KEEPERS_MAX, sizeof *infos);
	if (infos == NULL)
		return error_set(-ENOMEM, "no memory for a list of readers");
	count = wal_keep_list(db->store.keep, infos);
	durable = wal_durable_lsn(db->store.wal);
	for (unsigned i = 0; i < count && rc == BWT_OK; i++) {
		struct bwt_changes_reader reader = {
			.name = infos[i].name[0] == '\0' ? NULL : infos[i].name,
			.position = infos[i].position,
			.behind = durable > infos[i].position ? durable - infos[i].position : 0,
			.open = infos[i].open,
			.lost = infos[i].lost,
		};

		rc = each(ctx, &reader);
	}
	free(infos);
	return rc;
}
