/* SPDX-License-Identifier: MIT */
/*
 * replay.c - redo committed records
 *
 * Why it is idempotent: an image holds exactly what was committed below its cut, and every record at
 * or above it is applied once, in LSN order, at the LSN that it has. Nothing that replay does is
 * durable before the checkpoint after it, so a crash on the way begins from the same image (I14).
 *
 *   RP1  A record's large value is checked before the record is applied. If it does not check, the
 *        record counts as a bad frame: the log ends there, or it is damaged (W4).
 *   RP2  A record whose CRC is right and whose content is not is damage, never skipped.
 */
#include "recovery/replay.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "log/wal_reader.h"
#include "txn/commit.h"

#define REPORT_RECORDS 4096u   /* records between looks at the clock of the progress bar */
#define RECLAIM_RECORDS 65536u /* between rounds of taking back what died on the way */

struct replay {
	struct store *store;
	struct wal_reader *reader;
	struct named_tree *tree; /* of the record before: most often of the next one, too */
	uint64_t start_lsn;
	uint64_t records;
	bool values_synced; /* W5: before the first value is believed */
};

static int nonsense(const struct wal_record *record, const char *what)
{
	return error_set(BWT_CORRUPT, "wal: record at LSN %llu: %s",
	                 (unsigned long long)record->lsn, what);
}

static struct named_tree *find_tree(struct replay *replay, uint32_t id)
{
	if (replay->tree == NULL || replay->tree->tree.id != id)
		replay->tree = store_tree(replay->store, id);
	return replay->tree;
}

/* RP1. BWT_NOT_FOUND: the log ends before this record. */
static int check_value(struct replay *replay, const void *value)
{
	struct value_ref ref;
	int rc;

	if (!replay->values_synced && !replay->store->readonly) {
		rc = vlog_sync_all(replay->store->vlog);
		if (rc < 0)
			return rc;
		replay->values_synced = true;
	}
	memcpy(&ref, value, sizeof ref);
	rc = ref.segment >= replay->store->vlog_live.capacity
	             ? BWT_CORRUPT
	             : vlog_check(replay->store->vlog, &ref);
	return rc == BWT_CORRUPT ? wal_reader_reject(replay->reader) : rc;
}

static int apply_op(struct replay *replay, const struct wal_record *record)
{
	struct bytes_reader bytes;
	const uint8_t *head;
	const void *key, *value;
	struct named_tree *tree;
	struct wal_op op;
	int rc = BWT_OK;

	bytes_reader_init(&bytes, record->payload.data, record->payload.size);
	head = bytes_take(&bytes, offsetof(struct wal_op, bytes));
	if (head == NULL)
		return nonsense(record, "too short for an operation");
	memcpy(&op, head, sizeof op);
	key = bytes_take(&bytes, op.key_size);
	value = bytes_take(&bytes, op.value_size);
	if (key == NULL || value == NULL || (op.flags & ~(VERSION_TOMBSTONE | VERSION_VLOG)) != 0 ||
	    ((op.flags & VERSION_TOMBSTONE) != 0 &&
	     (op.value_size != 0 || (op.flags & VERSION_VLOG) != 0)))
		return nonsense(record, "not an operation");
	tree = find_tree(replay, op.tree);
	if (tree == NULL || tree->state != CATALOG_LIVE || op.tree == TREE_ID_CATALOG)
		return nonsense(record, "its tree does not exist");
	if ((op.flags & VERSION_VLOG) != 0 && op.value_size != sizeof(struct value_ref))
		return nonsense(record, "not a reference to a value");
	if ((op.flags & VERSION_VLOG) != 0)
		rc = check_value(replay, value);
	if (rc < 0)
		return rc;
	return commit_replay(replay->store, &tree->tree, (struct bwt_slice){key, op.key_size},
	                     op.flags, value, op.value_size, record->lsn);
}

/* WAL_TREE_CREATE, WAL_TREE_DROP: u32 id, then the name, then zeroes. */
static int apply_name(struct replay *replay, const struct wal_record *record)
{
	char name[BWT_TREE_NAME_MAX + 1] = "";
	struct bytes_reader bytes;
	struct named_tree *tree;
	const char *text;
	uint32_t id = 0;
	size_t size;
	int rc;

	bytes_reader_init(&bytes, record->payload.data, record->payload.size);
	bytes_take_u32(&bytes, &id);
	size = bytes_left(&bytes);
	text = bytes_take(&bytes, size);
	size = text == NULL ? 0 : strnlen(text, size);
	if (size == 0 || size > BWT_TREE_NAME_MAX || id < TREE_ID_FIRST || id == UINT32_MAX)
		return nonsense(record, "not the name of a tree");
	memcpy(name, text, size);
	tree = store_tree(replay->store, id);
	replay->tree = NULL; /* it may be freed below */
	if (record->type == WAL_TREE_DROP && (tree == NULL || tree->state != CATALOG_LIVE))
		return nonsense(record, "drops a tree that does not exist");
	pthread_mutex_lock(replay->store->trees_lock);
	if (record->type == WAL_TREE_CREATE)
		rc = catalog_create(replay->store, name, id, record->lsn, &tree);
	else
		rc = catalog_drop(replay->store, tree, record->lsn);
	pthread_mutex_unlock(replay->store->trees_lock);
	return rc;
}

static int apply(struct replay *replay, const struct wal_record *record)
{
	switch (record->type) {
	case WAL_OP:
		return apply_op(replay, record);
	case WAL_TREE_CREATE:
	case WAL_TREE_DROP:
		return apply_name(replay, record);
	default:
		return nonsense(record, "of a type that this library does not know");
	}
}

/* Now and then: the bar moves, and what consolidation left behind is used again. */
static void look_up(const struct replay *replay)
{
	struct store *store = replay->store;
	uint64_t done = wal_reader_position(replay->reader) - replay->start_lsn;
	uint64_t total = wal_reader_extent(replay->reader);

	if (replay->records % REPORT_RECORDS == 0 && store->progress != NULL)
		store->progress(store->ctx, "replay", done, total > done ? total : done);
	if (replay->records % RECLAIM_RECORDS == 0) {
		extents_reclaim(&store->extents);
		mapping_reclaim(&store->mapping);
	}
}

static int replay_all(struct replay *replay)
{
	struct wal_record record;
	int rc = wal_reader_next(replay->reader, &record);

	while (rc == BWT_OK) {
		/* The clock: nothing that is applied may lie in its future. */
		replay->store->readonly_tail = record.end_lsn;
		rc = apply(replay, &record);
		if (rc < 0)
			break;
		replay->records++;
		look_up(replay);
		rc = wal_reader_next(replay->reader, &record);
	}
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

int replay_log(struct store *store, uint64_t start_lsn, struct replayed *replayed)
{
	struct replay replay = {.store = store, .start_lsn = start_lsn};
	int rc;

	store->readonly_tail = start_lsn;
	rc = wal_reader_open(store->wal_dir_fd, store->store_id, start_lsn, store->readonly,
	                     &replay.reader);
	if (rc < 0)
		return rc;
	rc = replay_all(&replay);
	wal_reader_end(replay.reader, &replayed->end_lsn, &replayed->incarnation,
	               &replayed->last_seq);
	wal_reader_close(replay.reader);
	if (rc == BWT_OK && replayed->last_seq == 0)
		rc = error_set(BWT_CORRUPT, "wal: there is no log segment, so LSN %llu is not there",
		               (unsigned long long)start_lsn);
	replayed->records = replay.records;
	store->readonly_tail = replayed->end_lsn;
	if (rc == BWT_OK && replay.records > 0 && store->progress != NULL)
		store->progress(store->ctx, "replay", 1, 1);
	return rc;
}
