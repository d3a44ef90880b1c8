/* SPDX-License-Identifier: MIT */
/*
 * changes_read.c - transactions out of the log, one after another, change by change
 *
 *   record of one change or transaction -> count what passes the filter -> hand it out, one a call
 *   commit of a large one               -> its parts, read twice by a second reader: to count, to hand out
 *
 * Counting first tells which change is the last one, and that a transaction is all there before anything of it is
 * handed out. It needs no memory: a transaction may be larger than that.
 *
 * Records have the numbers of trees. A number means the same tree for ever, so the registry tells the name of
 * one that is there; of one that was dropped since, the log does, further on.
 */
#include "db/changes_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"

/* ---- the log ---- */

static void close_reader(struct wal_reader **reader)
{
	wal_reader_close(*reader);
	*reader = NULL;
}

static int open_reader(const struct feed *feed, uint64_t lsn, uint64_t durable,
                       struct wal_reader **out)
{
	return wal_reader_open_live(feed->db->store.wal_dir_fd, feed->db->store.store_id, lsn,
	                            durable, out);
}

/* The first record after the place where somebody wants to begin tells whether it is one. */
static int judge(const struct feed *feed, int rc)
{
	if (rc != BWT_CORRUPT || feed->read_before)
		return rc;
	return error_set(BWT_INVALID, "LSN %llu is no place between two records of the log",
	                 (unsigned long long)feed->position);
}

/* The next record, pads passed over. The reader may not know the newest segments: another one does. */
static int next_record(struct feed *feed, uint64_t durable)
{
	bool fresh = feed->reader == NULL;
	int rc;

	for (;;) {
		if (feed->reader == NULL) {
			rc = open_reader(feed, feed->position, durable, &feed->reader);
			if (rc < 0)
				return judge(feed, rc);
		}
		wal_reader_allow(feed->reader, durable);
		rc = wal_reader_next(feed->reader, &feed->record);
		if (rc == BWT_OK || rc == BWT_NOT_FOUND) {
			feed->read_before = true;
			return rc;
		}
		feed->position = wal_reader_position(feed->reader);
		close_reader(&feed->reader);
		if (fresh || rc != BWT_CORRUPT)
			return judge(feed, rc);
		fresh = true;
	}
}

/* ---- the filter ---- */

static bool passes(const struct feed *feed, const struct wal_op_view *op)
{
	if (feed->one_tree && op->tree != feed->tree)
		return false;
	return op->key.size >= feed->prefix_size &&
	       (feed->prefix_size == 0 || memcmp(op->key.data, feed->prefix, feed->prefix_size) == 0);
}

/* ---- the operations of a transaction, from the first one on ---- */

static int nonsense(const struct feed *feed)
{
	return error_set(BWT_CORRUPT, "wal: the record at LSN %llu makes no sense",
	                 (unsigned long long)feed->record.lsn);
}

static int begin_ops(struct feed *feed)
{
	struct bwt_slice ops = feed->record.payload;

	close_reader(&feed->parts);
	feed->parts_seen = feed->ops_seen = 0;
	feed->ops_left = 0;
	if (feed->record.type == WAL_TXN && !wal_txn_ops(&feed->record, &ops, &feed->ops_left))
		return nonsense(feed);
	if (feed->record.type == WAL_TXN_COMMIT && !wal_commit_parts(&feed->record, &feed->commit))
		return nonsense(feed);
	if (feed->record.type == WAL_OP)
		feed->ops_left = 1;
	bytes_reader_init(&feed->ops, ops.data, ops.size);
	return BWT_OK;
}

/* The next part of the large transaction. BWT_NOT_FOUND: that was all of it. */
static int next_part(struct feed *feed)
{
	struct wal_txn_part head;
	struct wal_record part;
	struct bwt_slice ops;
	int rc = BWT_OK;

	if (feed->parts_seen == feed->commit.parts)
		return feed->ops_seen == feed->commit.count ? BWT_NOT_FOUND : nonsense(feed);
	if (feed->parts == NULL)
		rc = open_reader(feed, feed->commit.first_lsn, feed->record.lsn, &feed->parts);
	while (rc == BWT_OK) {
		rc = wal_reader_next(feed->parts, &part);
		if (rc < 0)
			return rc == BWT_NOT_FOUND ? nonsense(feed) : rc;
		if (part.type != WAL_TXN_PART || part.incarnation != feed->record.incarnation)
			continue;
		if (!wal_part_ops(&part, &head, &ops))
			return nonsense(feed);
		if (head.txn != feed->commit.txn)
			continue;
		feed->parts_seen++;
		feed->ops_left = head.count;
		bytes_reader_init(&feed->ops, ops.data, ops.size);
		break;
	}
	return rc;
}

/* BWT_NOT_FOUND: there are no more. */
static int next_op(struct feed *feed, struct wal_op_view *op)
{
	while (feed->ops_left == 0) {
		int rc = feed->record.type == WAL_TXN_COMMIT ? next_part(feed) : BWT_NOT_FOUND;

		if (rc != BWT_OK)
			return rc;
	}
	if (!wal_op_next(&feed->ops, op))
		return nonsense(feed);
	feed->ops_left--;
	feed->ops_seen++;
	return BWT_OK;
}

/* ---- a transaction ---- */

static bool is_tree_event(uint8_t type)
{
	return type == WAL_TREE_CREATE || type == WAL_TREE_LOAD || type == WAL_TREE_DROP;
}

static int count_ops(struct feed *feed)
{
	struct wal_op_view op;
	int rc = begin_ops(feed);

	while (rc == BWT_OK) {
		rc = next_op(feed, &op);
		if (rc == BWT_OK && passes(feed, &op))
			feed->wanted++;
	}
	if (rc == BWT_NOT_FOUND)
		rc = feed->wanted > 0 ? begin_ops(feed) : BWT_OK;
	return rc;
}

/* feed->record is a new one: how much of it is wanted? */
static int begin_txn(struct feed *feed)
{
	uint32_t id;

	feed->wanted = feed->given = 0;
	switch (feed->record.type) {
	case WAL_OP:
	case WAL_TXN:
	case WAL_TXN_COMMIT:
		return count_ops(feed);
	case WAL_TREE_CREATE:
	case WAL_TREE_LOAD:
	case WAL_TREE_DROP:
		if (!wal_tree_name(&feed->record, &id, feed->name))
			return nonsense(feed);
		feed->name_id = id;
		feed->wanted = !feed->one_tree || id == feed->tree;
		return BWT_OK;
	case WAL_TXN_PART:
		return BWT_OK; /* without effect until its commit */
	default:
		return nonsense(feed);
	}
}

void feed_rewind(struct feed *feed)
{
	close_reader(&feed->reader);
	close_reader(&feed->parts);
	feed->record = (struct wal_record){0};
}

static void end_txn(struct feed *feed)
{
	feed->position = feed->record.end_lsn;
	feed->record = (struct wal_record){0};
	close_reader(&feed->parts);
}

/* ---- names ---- */

static bool find_live(struct feed *feed, uint32_t id)
{
	bool found = false;

	pthread_mutex_lock(feed->db->store.trees_lock);
	for (struct named_tree *tree = feed->db->store.trees; tree != NULL && !found;
	     tree = tree->next) {
		if (tree->tree.id != id || tree->state != CATALOG_LIVE || tree->name[0] == '\0')
			continue;
		memcpy(feed->name, tree->name, sizeof feed->name);
		found = true;
	}
	pthread_mutex_unlock(feed->db->store.trees_lock);
	return found;
}

static bool find_dropped(struct feed *feed, uint32_t id)
{
	for (size_t i = 0; i < feed->dropped_count; i++) {
		if (feed->dropped[i].id != id)
			continue;
		memcpy(feed->name, feed->dropped[i].name, sizeof feed->name);
		return true;
	}
	return false;
}

static int note_dropped(struct feed *feed, const struct wal_record *record)
{
	struct tree_id_name *entry;

	if (feed->dropped_count == feed->dropped_capacity) {
		size_t more = feed->dropped_capacity * 2 + 8;
		struct tree_id_name *grown = realloc(feed->dropped, more * sizeof *grown);

		if (grown == NULL)
			return error_set(-ENOMEM, "no memory for the names of dropped trees");
		feed->dropped = grown;
		feed->dropped_capacity = more;
	}
	entry = &feed->dropped[feed->dropped_count];
	if (!wal_tree_name(record, &entry->id, entry->name))
		return nonsense(feed);
	feed->dropped_count++;
	return BWT_OK;
}

/* All drops from the transaction that is handed out to the end of the log: one of them is of tree @id. */
static int read_drops(struct feed *feed, uint32_t id)
{
	struct wal *wal = feed->db->store.wal;
	struct wal_reader *reader;
	struct wal_record record;
	/* The drop is in the log, and may be neither durable nor without records before it that are not filled yet. */
	int rc = wal_wait(wal, wal_tail(wal));

	if (rc == BWT_OK)
		rc = open_reader(feed, feed->record.lsn, wal_durable_lsn(wal), &reader);
	if (rc != BWT_OK)
		return rc;
	feed->dropped_count = 0;
	while (rc == BWT_OK) {
		rc = wal_reader_next(reader, &record);
		if (rc == BWT_OK && record.type == WAL_TREE_DROP)
			rc = note_dropped(feed, &record);
	}
	wal_reader_close(reader);
	if (rc != BWT_NOT_FOUND)
		return rc;
	return find_dropped(feed, id)
	               ? BWT_OK
	               : error_set(BWT_CORRUPT, "wal: record at LSN %llu: tree %u is not known",
	                           (unsigned long long)feed->record.lsn, id);
}

static int name_of(struct feed *feed, uint32_t id, const char **name)
{
	int rc = BWT_OK;

	*name = NULL;
	if (id == TREE_ID_MAIN)
		return BWT_OK;
	if (feed->name_id != id) {
		feed->name_id = 0;
		if (!find_dropped(feed, id) && !find_live(feed, id))
			rc = read_drops(feed, id);
		if (rc < 0)
			return rc;
		feed->name_id = id;
	}
	*name = feed->name;
	return BWT_OK;
}

/* ---- a change ---- */

static int load_value(struct feed *feed, const void *stored, struct bwt_slice *value)
{
	struct value_ref ref;
	int rc;

	memcpy(&ref, stored, sizeof ref);
	if (ref.size > feed->value.capacity) {
		void *grown = realloc(feed->value.data, ref.size);

		if (grown == NULL)
			return error_set(-ENOMEM, "no memory for a value of %u bytes", ref.size);
		feed->value.data = grown;
		feed->value.capacity = ref.size;
	}
	rc = vlog_read(feed->db->store.vlog, &ref, feed->value.data);
	*value = (struct bwt_slice){feed->value.data, ref.size};
	return rc;
}

static int fill_op(struct feed *feed, const struct wal_op_view *op, struct bwt_change *change)
{
	bool deletes = (op->flags & VERSION_TOMBSTONE) != 0;
	int rc = name_of(feed, op->tree, &change->tree);

	change->kind = deletes ? BWT_CHANGE_DELETE : BWT_CHANGE_PUT;
	change->key = op->key;
	change->value = op->value;
	if (rc == BWT_OK && (op->flags & VERSION_VLOG) != 0)
		rc = load_value(feed, op->value.data, &change->value);
	return rc;
}

static int give(struct feed *feed, struct bwt_change *change)
{
	struct bwt_change given = {.lsn = feed->record.end_lsn};
	struct wal_op_view op;
	int rc;

	if (is_tree_event(feed->record.type)) {
		given.kind = feed->record.type == WAL_TREE_CREATE ? BWT_CHANGE_TREE_CREATE
		             : feed->record.type == WAL_TREE_LOAD ? BWT_CHANGE_TREE_LOAD
		                                                  : BWT_CHANGE_TREE_DROP;
		given.tree = feed->name;
		rc = BWT_OK;
	} else {
		do
			rc = next_op(feed, &op);
		while (rc == BWT_OK && !passes(feed, &op));
		if (rc == BWT_OK)
			rc = fill_op(feed, &op, &given);
	}
	if (rc < 0)
		return rc;
	feed->given++;
	given.last = feed->given == feed->wanted;
	*change = given;
	return BWT_OK;
}

int feed_next(struct feed *feed, uint64_t durable, struct bwt_change *change)
{
	int rc = BWT_OK;

	for (;;) {
		/* What was handed out last may point into the record: it stays until now. */
		if (feed->record.end_lsn != 0 && feed->given == feed->wanted)
			end_txn(feed);
		if (feed->record.end_lsn != 0)
			break;
		rc = next_record(feed, durable);
		if (rc == BWT_OK)
			rc = begin_txn(feed);
		if (rc != BWT_OK)
			break;
	}
	if (rc == BWT_OK)
		rc = give(feed, change);
	else if (rc == BWT_NOT_FOUND)
		feed->position = wal_reader_position(feed->reader);
	if (rc < 0 && rc != BWT_NOT_FOUND)
		feed_rewind(feed);
	return rc;
}

void feed_free(struct feed *feed)
{
	feed_rewind(feed);
	bwt_buf_free(&feed->value);
	free(feed->dropped);
	free(feed->prefix);
}
