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
 *   RP3  Of a transaction all values are checked before the first operation is done again. Its parts, which
 *        may lie before the image's cut, are read by a second reader when its commit record comes.
 *   RP4  Plain operations wait in a window until it is full, so that the leaves of all of them are fetched from
 *        memory at once; they are done in the order of the log. Any other record, and the end, comes after them.
 *   RP2  A record whose CRC is right and whose content is not is damage, never skipped.
 */
#include "recovery/replay.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "log/wal_ops.h"
#include "log/wal_reader.h"
#include "page/chain.h"
#include "tree/descend.h"
#include "txn/commit.h"

#define REPORT_RECORDS 4096u   /* records between looks at the clock of the progress bar */
#define RECLAIM_RECORDS 65536u /* between rounds of taking back what died on the way */
#define WINDOW_MAX 32u
#define WINDOW_BYTES 32768u

struct operation {
	struct tree *tree;
	struct wal_op_view op;
};

struct window { /* RP4: operations of one tree, in the order of the log */
	unsigned count;
	size_t used;
	struct queued {
		struct operation operation; /* its key and value are in bytes */
		uint64_t lsn, end_lsn;
	} queued[WINDOW_MAX];
	uint8_t bytes[WINDOW_BYTES];
};

struct replay {
	struct store *store;
	struct wal_reader *reader;
	struct named_tree *tree; /* of the record before: most often of the next one, too */
	uint64_t start_lsn;
	uint64_t records;
	uint64_t bad_lsn;   /* of the record that could not be done again; 0: none */
	bool page_damaged;  /* because of a page, not of the record */
	bool values_synced; /* W5: before the first value is believed */
	struct window window;
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

/* Was there a tree with this id? Then it was dropped, while a thread that should not have was still at work in it. */
static bool had_tree(const struct replay *replay, uint32_t id)
{
	return id != TREE_ID_CATALOG &&
	       id < atomic_load_explicit(&replay->store->next_tree_id, memory_order_relaxed);
}

/* The next operation of @bytes, which are of @record. Its tree is NULL when that was dropped before: nothing is to be done. */
static int read_op(struct replay *replay, const struct wal_record *record,
                   struct bytes_reader *bytes, struct operation *operation)
{
	struct named_tree *tree;

	if (!wal_op_next(bytes, &operation->op))
		return nonsense(record, "not an operation");
	tree = find_tree(replay, operation->op.tree);
	operation->tree = NULL;
	if (operation->op.tree == TREE_ID_CATALOG ||
	    (tree == NULL && !had_tree(replay, operation->op.tree)))
		return nonsense(record, "its tree does not exist");
	if (tree != NULL && tree->state == CATALOG_LIVE)
		operation->tree = &tree->tree;
	return BWT_OK;
}

static int check_op(struct replay *replay, const struct operation *operation)
{
	return operation->tree != NULL && (operation->op.flags & VERSION_VLOG) != 0
	               ? check_value(replay, operation->op.value.data)
	               : BWT_OK;
}

static int redo(struct replay *replay, const struct operation *operation, uint64_t lsn)
{
	const struct wal_op_view *op = &operation->op;
	int rc;

	if (operation->tree == NULL)
		return BWT_OK;
	rc = commit_replay(replay->store, operation->tree, op->key, op->flags, op->value.data,
	                   (uint32_t)op->value.size, lsn);
	replay->page_damaged = replay->page_damaged || rc == BWT_CORRUPT;
	return rc;
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

/* ---- plain operations (RP4) ---- */

/* What the operations of the window will touch, on its way from memory. What is wrong there they will say. */
static void fetch_leaves(const struct window *window, struct epoch_slot *slot)
{
	const struct tree *tree = window->queued[0].operation.tree;
	struct descent descents[WINDOW_MAX];

	for (unsigned i = 0; i < window->count; i++)
		descents[i].key = window->queued[i].operation.op.key;
	tree_descend_many(tree, slot, descents, window->count);
	for (unsigned i = 0; i < window->count; i++) {
		struct version_walk walk;

		if (descents[i].rc != BWT_OK)
			continue;
		version_walk_init(&walk, tree->env->arena->base, place_head(&descents[i].place),
		                  descents[i].key, key_hash(descents[i].key));
		version_walk_fetch(&walk);
	}
}

/* All that waits is done. */
static int drain(struct replay *replay)
{
	struct epoch_slot *slot = epoch_slot(&replay->store->epoch);
	struct window *window = &replay->window;
	int rc = slot == NULL ? -ENOMEM : BWT_OK;

	if (rc == BWT_OK && window->count > 1) {
		epoch_pin(slot);
		fetch_leaves(window, slot);
		epoch_unpin(slot);
	}
	for (unsigned i = 0; rc == BWT_OK && i < window->count; i++) {
		const struct queued *queued = &window->queued[i];

		/* The clock: nothing that is applied may lie in its future. */
		replay->store->readonly_tail = queued->end_lsn;
		rc = redo(replay, &queued->operation, queued->lsn);
		if (rc == BWT_OK && TEST_FAULT("replay_twice"))
			rc = redo(replay, &queued->operation, queued->lsn);
		if (rc < 0) {
			replay->bad_lsn = queued->lsn;
		} else {
			replay->records++;
			look_up(replay);
		}
	}
	window->count = 0;
	window->used = 0;
	return rc;
}

/* Put at the end of the window: the reader's bytes are good until its next record only. */
static void enqueue(struct window *window, const struct operation *operation,
                    const struct wal_record *record)
{
	struct queued *queued = &window->queued[window->count++];
	struct wal_op_view *op = &queued->operation.op;
	uint8_t *key = window->bytes + window->used, *value = key + operation->op.key.size;

	memcpy(key, operation->op.key.data, operation->op.key.size);
	memcpy(value, operation->op.value.data, operation->op.value.size);
	window->used += operation->op.key.size + operation->op.value.size;
	*queued = (struct queued){*operation, record->lsn, record->end_lsn};
	op->key.data = key;
	op->value.data = value;
}

static int apply_later(struct replay *replay, const struct wal_record *record)
{
	struct window *window = &replay->window;
	struct operation operation;
	struct bytes_reader bytes;
	size_t size;
	int rc;

	bytes_reader_init(&bytes, record->payload.data, record->payload.size);
	rc = read_op(replay, record, &bytes, &operation);
	if (rc < 0 || operation.tree == NULL)
		return rc;
	size = operation.op.key.size + operation.op.value.size;
	if (window->count == WINDOW_MAX || WINDOW_BYTES - window->used < size ||
	    (window->count > 0 && window->queued[0].operation.tree != operation.tree))
		rc = drain(replay);
	if (rc < 0)
		return rc;
	enqueue(window, &operation, record);
	return BWT_OK;
}

/* Plain, and small enough for the window: neither its value nor its record needs another look (RP1). */
static bool may_wait(const struct wal_record *record)
{
	struct wal_op op;

	if (record->type != WAL_OP || record->payload.size > WINDOW_BYTES ||
	    record->payload.size < sizeof op)
		return false;
	memcpy(&op, record->payload.data, sizeof op);
	return (op.flags & VERSION_VLOG) == 0;
}

/* One that may not wait. */
static int apply_op(struct replay *replay, const struct wal_record *record)
{
	struct operation operation;
	struct bytes_reader bytes;
	int rc;

	bytes_reader_init(&bytes, record->payload.data, record->payload.size);
	rc = read_op(replay, record, &bytes, &operation);
	if (rc == BWT_OK)
		rc = check_op(replay, &operation);
	return rc < 0 ? rc : redo(replay, &operation, record->lsn);
}

/* ---- transactions: all operations check out, or none is done (RP3) ---- */

enum pass {
	CHECK,
	REDO
};

/* @count operations in @size bytes, at @lsn. */
static int each_op(struct replay *replay, const struct wal_record *record, struct bwt_slice ops,
                   uint32_t count, enum pass pass, uint64_t lsn)
{
	struct bytes_reader bytes;
	int rc = BWT_OK;

	bytes_reader_init(&bytes, ops.data, ops.size);
	for (uint32_t i = 0; i < count && rc == BWT_OK; i++) {
		struct operation operation;

		rc = read_op(replay, record, &bytes, &operation);
		if (rc == BWT_OK)
			rc = pass == CHECK ? check_op(replay, &operation)
			                   : redo(replay, &operation, lsn);
	}
	if (rc == BWT_OK && bytes_left(&bytes) != 0)
		rc = nonsense(record, "longer than its operations");
	return rc;
}

static int apply_txn(struct replay *replay, const struct wal_record *record)
{
	struct bwt_slice ops;
	uint32_t count;
	int rc;

	if (!wal_txn_ops(record, &ops, &count))
		return nonsense(record, "not a transaction");
	rc = each_op(replay, record, ops, count, CHECK, record->lsn);
	return rc < 0 ? rc : each_op(replay, record, ops, count, REDO, record->lsn);
}

/* One part of the transaction that @commit ends, if @record is one. */
static int apply_part(struct replay *replay, const struct wal_record *record,
                      const struct wal_txn_commit *commit, enum pass pass, uint64_t lsn,
                      struct wal_txn_commit *found)
{
	struct wal_txn_part head;
	struct bwt_slice ops;

	if (!wal_part_ops(record, &head, &ops))
		return nonsense(record, "not a part of a transaction");
	if (head.txn != commit->txn)
		return BWT_OK;
	found->parts++;
	found->count += head.count;
	return each_op(replay, record, ops, head.count, pass, lsn);
}

/*
 * All parts, between the first one and the commit record. Fewer are found only where the log before that record is
 * damaged. BWT_NOT_FOUND of a part is something else: a value of it is not there, and the log ends (RP1).
 */
static int each_part(struct replay *replay, const struct wal_record *record,
                     const struct wal_txn_commit *commit, enum pass pass)
{
	struct wal_txn_commit found = {0};
	struct wal_reader *reader;
	struct wal_record part;
	bool all_read = false;
	int rc = wal_reader_open(replay->store->wal_dir_fd, replay->store->store_id,
	                         commit->first_lsn, true, &reader);

	if (rc < 0)
		return rc;
	while (rc == BWT_OK) {
		rc = wal_reader_next(reader, &part);
		all_read = rc == BWT_NOT_FOUND || (rc == BWT_OK && part.lsn >= record->lsn);
		if (rc != BWT_OK || all_read)
			break;
		if (part.type == WAL_TXN_PART && part.incarnation == record->incarnation)
			rc = apply_part(replay, &part, commit, pass, record->lsn, &found);
	}
	wal_reader_close(reader);
	if (all_read && (found.parts != commit->parts || found.count != commit->count))
		rc = nonsense(record, "parts of its transaction are missing");
	return rc;
}

static int apply_commit(struct replay *replay, const struct wal_record *record)
{
	struct wal_txn_commit commit;
	int rc;

	if (!wal_commit_parts(record, &commit))
		return nonsense(record, "its first part does not lie before it");
	rc = each_part(replay, record, &commit, CHECK);
	return rc < 0 ? rc : each_part(replay, record, &commit, REDO);
}

/* WAL_TREE_CREATE, WAL_TREE_LOAD, WAL_TREE_DROP: u32 id, then the name, then zeroes. */
static int apply_name(struct replay *replay, const struct wal_record *record)
{
	char name[BWT_TREE_NAME_MAX + 1];
	struct named_tree *tree;
	uint32_t id;
	int rc;

	if (!wal_tree_name(record, &id, name) || id < TREE_ID_FIRST || id == UINT32_MAX)
		return nonsense(record, "not the name of a tree");
	tree = store_tree(replay->store, id);
	replay->tree = NULL; /* it may be freed below */
	if (record->type == WAL_TREE_DROP && (tree == NULL || tree->state != CATALOG_LIVE))
		return nonsense(record, "drops a tree that does not exist");
	/* Every image that this log goes on from holds it. */
	if (record->type == WAL_TREE_LOAD && tree == NULL)
		return nonsense(record, "names a loaded tree that is not there");
	pthread_mutex_lock(replay->store->trees_lock);
	if (record->type == WAL_TREE_LOAD)
		rc = tree->state == CATALOG_LIVE
		             ? BWT_OK
		             : catalog_load_finish(replay->store, tree, name, record->lsn);
	else if (record->type == WAL_TREE_CREATE)
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
	case WAL_TXN:
		return apply_txn(replay, record);
	case WAL_TXN_PART:
		return BWT_OK; /* without effect until its commit */
	case WAL_TXN_COMMIT:
		return apply_commit(replay, record);
	case WAL_TREE_CREATE:
	case WAL_TREE_LOAD:
	case WAL_TREE_DROP:
		return apply_name(replay, record);
	default:
		return nonsense(record, "of a type that this library does not know");
	}
}

/* Behind all that waits. */
static int apply_now(struct replay *replay, const struct wal_record *record)
{
	int rc = drain(replay);

	if (rc < 0)
		return rc;
	replay->store->readonly_tail = record->end_lsn;
	rc = apply(replay, record);
	if (rc == BWT_OK && TEST_FAULT("replay_twice"))
		rc = apply(replay, record);
	if (rc < 0)
		return rc;
	replay->records++;
	look_up(replay);
	return BWT_OK;
}

static int replay_all(struct replay *replay)
{
	struct wal_record record;
	int drained, rc = wal_reader_next(replay->reader, &record);

	while (rc == BWT_OK) {
		rc = may_wait(&record) ? apply_later(replay, &record) : apply_now(replay, &record);
		if (rc < 0) {
			if (replay->bad_lsn == 0)
				replay->bad_lsn = record.lsn;
			break;
		}
		rc = wal_reader_next(replay->reader, &record);
	}
	/* What waits lies before whatever ended it. */
	drained = drain(replay);
	if (drained < 0)
		return drained;
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

int replay_log(struct store *store, uint64_t start_lsn, const struct superblock *newest,
               struct replayed *replayed)
{
	struct replay replay = {.store = store, .start_lsn = start_lsn};
	int rc;

	store->readonly_tail = start_lsn;
	rc = wal_reader_open(store->wal_dir_fd, store->store_id, start_lsn, store->readonly,
	                     &replay.reader);
	if (rc < 0)
		return rc;
	if (newest->clean == 1)
		wal_reader_closed(replay.reader, newest->start_lsn, newest->log_incarnation);
	rc = replay_all(&replay);
	wal_reader_end(replay.reader, &replayed->end_lsn, &replayed->incarnation,
	               &replayed->last_seq);
	wal_reader_close(replay.reader);
	if (rc == BWT_OK && replayed->last_seq == 0)
		rc = error_set(BWT_CORRUPT, "wal: there is no log segment, so LSN %llu is not there",
		               (unsigned long long)start_lsn);
	if (replay.bad_lsn != 0)
		replayed->end_lsn = replay.bad_lsn;
	replayed->log_damaged = rc == BWT_CORRUPT && !replay.page_damaged;
	replayed->records = replay.records;
	store->readonly_tail = replayed->end_lsn;
	if (rc == BWT_OK && replay.records > 0 && store->progress != NULL)
		store->progress(store->ctx, "replay", 1, 1);
	return rc;
}
