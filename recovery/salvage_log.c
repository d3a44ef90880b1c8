/* SPDX-License-Identifier: MIT */
/*
 * salvage_log.c - the log without a checkpoint that says where it begins, and with holes
 *
 * Records do not begin where segments do, so the first one is searched for: a frame names its own
 * position, which no chance hits. Where the log cannot be read on, the next frame is searched for in
 * the same way; what lies between is a gap, and only what comes after the last gap is all of the log.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "log/wal_private.h"
#include "log/wal_reader.h"
#include "recovery/salvage.h"

#define WINDOW ((size_t)1 << 20)

struct heads {
	struct wal_segment_head *head; /* by seq */
	size_t count;
};

struct reading {
	struct salvage_log *log;
	int dir_fd;
	struct heads heads;
	int fd; /* of segment open_head - 1; open_head 0: none */
	size_t open_head;
	uint8_t *bytes; /* of one frame */
	uint8_t *window;
};

static int note_head(void *ctx, const char *name, const struct wal_segment_head *head)
{
	struct heads *heads = ctx;
	struct wal_segment_head *grown;

	(void)name;
	if (head == NULL)
		return BWT_OK;
	grown = realloc(heads->head, (heads->count + 1) * sizeof *grown);
	if (grown == NULL)
		return error_set(-ENOMEM, "no memory for the log's segments");
	heads->head = grown;
	grown[heads->count++] = *head;
	return BWT_OK;
}

static int by_seq(const void *a, const void *b)
{
	const struct wal_segment_head *left = a, *right = b;

	return (left->seq > right->seq) - (left->seq < right->seq);
}

/* ---- operations ---- */

static void *keep_copy(struct salvage_log *log, struct bwt_slice bytes)
{
	void *copy = malloc(bytes.size + 1);

	if (log->copy_count == log->copy_capacity) {
		size_t more = log->copy_capacity * 2 + 64;
		void **grown = realloc(log->copies, more * sizeof *grown);

		if (grown == NULL) {
			free(copy);
			return NULL;
		}
		log->copies = grown;
		log->copy_capacity = more;
	}
	if (copy == NULL)
		return NULL;
	memcpy(copy, bytes.data, bytes.size);
	log->copies[log->copy_count++] = copy;
	return copy;
}

static int add_op(struct salvage_log *log, const struct salvage_op *op)
{
	if (log->count == log->capacity) {
		size_t more = log->capacity * 2 + 256;
		struct salvage_op *grown = realloc(log->ops, more * sizeof *grown);

		if (grown == NULL)
			return error_set(-ENOMEM, "no memory for the log's records");
		log->ops = grown;
		log->capacity = more;
	}
	log->ops[log->count++] = *op;
	return BWT_OK;
}

/* @count operations; what does not decode is left out with all behind it in the record. */
static int take_ops(struct salvage_log *log, struct bwt_slice ops, uint32_t count,
                    const struct salvage_op *common)
{
	struct bytes_reader bytes;
	int rc = BWT_OK;

	bytes_reader_init(&bytes, ops.data, ops.size);
	for (uint32_t i = 0; i < count && rc == BWT_OK; i++) {
		const void *head = bytes_take(&bytes, offsetof(struct wal_op, bytes));
		struct salvage_op op = *common;
		struct wal_op stored;

		if (head == NULL)
			break;
		memcpy(&stored, head, sizeof stored);
		op.tree = stored.tree;
		op.flags = stored.flags;
		op.key_size = stored.key_size;
		op.value_size = stored.value_size;
		op.key = bytes_take(&bytes, stored.key_size);
		op.value = bytes_take(&bytes, stored.value_size);
		if (op.key == NULL || op.value == NULL ||
		    ((op.flags & VERSION_VLOG) != 0 && op.value_size != sizeof(struct value_ref)))
			break;
		rc = add_op(log, &op);
	}
	return rc;
}

/* A name of the catalogue, as a change of its tree. */
static int take_name(struct salvage_log *log, const struct wal_record *record, const uint8_t *copy)
{
	struct catalog_entry entry = {.state = record->type == WAL_TREE_LOAD ? CATALOG_LOADED
	                                                                     : CATALOG_LIVE};
	struct salvage_op op = {.lsn = record->lsn, .tree = TREE_ID_CATALOG};

	if (record->payload.size <= sizeof entry.tree)
		return BWT_OK;
	memcpy(&entry.tree, copy, sizeof entry.tree);
	op.key = copy + sizeof entry.tree;
	op.key_size =
		(uint16_t)strnlen((const char *)op.key, record->payload.size - sizeof entry.tree);
	if (record->type == WAL_TREE_DROP) {
		op.flags = VERSION_TOMBSTONE;
	} else {
		op.value = keep_copy(log, (struct bwt_slice){&entry, sizeof entry});
		op.value_size = sizeof entry;
		if (op.value == NULL)
			return error_set(-ENOMEM, "no memory for the log's records");
	}
	return add_op(log, &op);
}

/*
 * The parts of a transaction count from its commit on, if all of them are there. If not, they lie before
 * the log's beginning or in a gap: the log has every change only since that commit.
 */
static void commit_parts(struct salvage_log *log, const struct wal_record *record, const uint8_t *copy)
{
	struct wal_txn_commit commit;
	uint64_t count = 0;

	if (record->payload.size < sizeof commit)
		return;
	memcpy(&commit, copy, sizeof commit);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < log->count; i++) {
			struct salvage_op *op = &log->ops[i];

			if (op->lsn != 0 || op->txn != commit.txn ||
			    op->incarnation != record->incarnation)
				continue;
			count += pass == 0;
			if (pass == 1)
				op->lsn = record->lsn;
		}
		if (count != commit.count) {
			log->parts_missing = record->end_lsn;
			return;
		}
	}
}

static int take_record(struct salvage_log *log, const struct wal_record *record)
{
	struct salvage_op common = {.lsn = record->lsn, .incarnation = record->incarnation};
	const uint8_t *copy = keep_copy(log, record->payload);
	size_t size = record->payload.size;
	struct wal_txn_part part;
	struct wal_txn txn;

	if (copy == NULL)
		return error_set(-ENOMEM, "no memory for the log's records");
	switch (record->type) {
	case WAL_OP:
		return take_ops(log, (struct bwt_slice){copy, size}, 1, &common);
	case WAL_TXN:
		if (size < sizeof txn)
			return BWT_OK;
		memcpy(&txn, copy, sizeof txn);
		return take_ops(log, (struct bwt_slice){copy + sizeof txn, size - sizeof txn},
		                txn.count, &common);
	case WAL_TXN_PART:
		if (size < sizeof part)
			return BWT_OK;
		memcpy(&part, copy, sizeof part);
		common.lsn = 0;
		common.txn = part.txn;
		return take_ops(log, (struct bwt_slice){copy + sizeof part, size - sizeof part},
		                part.count, &common);
	case WAL_TXN_COMMIT:
		commit_parts(log, record, copy);
		return BWT_OK;
	case WAL_TREE_CREATE:
	case WAL_TREE_LOAD:
	case WAL_TREE_DROP:
		return take_name(log, record, copy);
	default:
		return BWT_OK;
	}
}

/* ---- frames ---- */

struct run {                /* the segments of one life */
	size_t first, last; /* indexes of heads */
	uint64_t limit;     /* named by the next life as its end; UINT64_MAX: the newest */
};

/* [@lsn, @lsn + @size) of @run; *got may be less, where a segment is missing or short. */
static int fetch(struct reading *reading, const struct run *run, uint64_t lsn, uint8_t *bytes,
                 size_t size, size_t *got)
{
	*got = 0;
	for (size_t i = run->first; i <= run->last && *got < size; i++) {
		const struct wal_segment_head *head = &reading->heads.head[i];
		uint64_t at = lsn + *got, end = head->start_lsn + head->capacity;
		size_t part = size - *got, read = 0;
		char name[WAL_NAME_SIZE];
		int rc = BWT_OK;

		if (at < head->start_lsn || at >= end)
			continue;
		if (part > end - at)
			part = (size_t)(end - at);
		if (reading->open_head != i + 1) {
			sys_file_close(reading->fd);
			reading->fd = -1;
			reading->open_head = 0;
			wal_segment_name(name, head->seq);
			rc = sys_file_open(reading->dir_fd, name, SYS_RDONLY, &reading->fd);
			if (rc == BWT_OK)
				reading->open_head = i + 1;
		}
		if (rc == BWT_OK)
			rc = sys_file_read_some(reading->fd, bytes + *got, part,
			                        WAL_HEADER_SIZE + (at - head->start_lsn), &read);
		if (rc < 0)
			return rc;
		*got += read;
		if (read < part)
			break;
	}
	return BWT_OK;
}

static bool head_here(const struct reading *reading, const struct run *run, const uint8_t *bytes,
                      uint64_t lsn, struct wal_frame *frame)
{
	uint32_t len;

	memcpy(frame, bytes, sizeof *frame);
	len = frame->len_type & WAL_LEN_MASK;
	return frame->lsn == lsn &&
	       frame->incarnation == reading->heads.head[run->first].incarnation &&
	       len >= 2 * WAL_ALIGN && len <= WAL_FRAME_MAX && len % WAL_ALIGN == 0 &&
	       lsn + len <= run->limit;
}

/* The frame at @lsn in reading->bytes. BWT_NOT_FOUND: there is no good one. */
static int frame_at(struct reading *reading, const struct run *run, uint64_t lsn,
                    struct wal_frame *frame)
{
	size_t len, got;
	uint32_t crc;
	int rc = fetch(reading, run, lsn, reading->bytes, sizeof *frame, &got);

	if (rc < 0)
		return rc;
	if (got < sizeof *frame || !head_here(reading, run, reading->bytes, lsn, frame))
		return BWT_NOT_FOUND;
	len = frame->len_type & WAL_LEN_MASK;
	rc = fetch(reading, run, lsn, reading->bytes, len, &got);
	if (rc < 0)
		return rc;
	if (got < len) {
		reading->log->cut_off = true;
		return BWT_NOT_FOUND;
	}
	crc = crc32c(0, reading->bytes + sizeof *frame, len - sizeof *frame);
	return frame->crc == wal_frame_crc(crc, frame) ? BWT_OK : BWT_NOT_FOUND;
}

/* The first good frame of @run at or above @from; UINT64_MAX: none. */
static int find_frame(struct reading *reading, const struct run *run, uint64_t from, uint64_t *found)
{
	int rc = BWT_OK;

	*found = UINT64_MAX;
	for (size_t i = run->first; i <= run->last && rc == BWT_OK; i++) {
		const struct wal_segment_head *head = &reading->heads.head[i];
		uint64_t end = head->start_lsn + head->capacity;
		uint64_t at = from > head->start_lsn ? from : head->start_lsn;

		while (at < end && at < run->limit && rc == BWT_OK) {
			struct wal_frame frame;
			size_t got, step = WINDOW;

			rc = fetch(reading, run, at, reading->window, WINDOW, &got);
			if (rc < 0 || got < sizeof frame)
				break;
			if (got < WINDOW)
				step = end > at ? (size_t)(end - at) : got;
			else
				step -= WAL_BLOCK; /* a head may cross the window's end */
			for (size_t off = 0; off + sizeof frame <= got; off += WAL_ALIGN) {
				if (!head_here(reading, run, reading->window + off, at + off, &frame))
					continue;
				rc = frame_at(reading, run, at + off, &frame);
				if (rc == BWT_OK)
					*found = at + off;
				if (rc != BWT_NOT_FOUND)
					return rc;
				rc = BWT_OK;
			}
			at += step;
		}
	}
	return rc;
}

/* ---- reading ---- */

static bool claims_beyond(const struct wal_frame *frame, uint64_t lsn)
{
	uint64_t behind = (uint64_t)frame->durable_behind * WAL_ALIGN;

	return frame->durable_behind != UINT32_MAX && behind < frame->lsn &&
	       frame->lsn - behind > lsn;
}

/* What follows the bad frame at @lsn was never durable: as if it was not there (W4). */
static void forget_from(struct salvage_log *log, uint64_t lsn, size_t count)
{
	log->count = count;
	for (size_t i = 0; i < count; i++)
		if (log->ops[i].lsn >= lsn)
			log->ops[i].lsn = 0;
	log->end = lsn;
}

static int take_frame(struct reading *reading, const struct wal_frame *frame)
{
	size_t len = frame->len_type & WAL_LEN_MASK;
	struct wal_record record = {
		.lsn = frame->lsn,
		.end_lsn = frame->lsn + len,
		.type = (uint8_t)(frame->len_type >> 24),
		.incarnation = frame->incarnation,
		.payload = {reading->bytes + sizeof *frame, len - sizeof *frame},
	};

	reading->log->end = record.end_lsn;
	return record.type == WAL_PAD ? BWT_OK : take_record(reading->log, &record);
}

/* All frames of @run from @at on; *end: where they end. */
static int read_run(struct reading *reading, const struct run *run, uint64_t at)
{
	struct salvage_log *log = reading->log;
	uint64_t bad = UINT64_MAX, from = log->from;
	unsigned gaps = log->gaps;
	size_t count = 0;
	bool claimed = false;
	int rc = BWT_OK;

	while (rc == BWT_OK && at < run->limit) {
		struct wal_frame frame;
		uint64_t next;

		rc = frame_at(reading, run, at, &frame);
		if (rc == BWT_OK) {
			claimed = claimed || (bad != UINT64_MAX && claims_beyond(&frame, bad));
			rc = take_frame(reading, &frame);
			at = log->end;
			continue;
		}
		if (rc != BWT_NOT_FOUND)
			break;
		if (bad == UINT64_MAX) {
			bad = at;
			count = log->count;
		}
		rc = find_frame(reading, run, at + WAL_ALIGN, &next);
		if (rc < 0 || next == UINT64_MAX)
			break;
		log->gaps++;
		log->from = at = next;
	}
	if (rc == BWT_OK && run->limit != UINT64_MAX && log->end < run->limit) {
		log->gaps++;
		log->from = log->end = run->limit;
	} else if (rc == BWT_OK && run->limit == UINT64_MAX && bad != UINT64_MAX && !claimed) {
		forget_from(log, bad, count);
		log->from = from;
		log->gaps = gaps;
	}
	return rc;
}

/* The life that begins with segment @first. */
static struct run run_from(const struct heads *heads, size_t first)
{
	struct run run = {first, first, UINT64_MAX};

	while (run.last + 1 < heads->count &&
	       heads->head[run.last + 1].incarnation == heads->head[first].incarnation)
		run.last++;
	if (run.last + 1 < heads->count)
		run.limit = heads->head[run.last + 1].prev_end_lsn;
	return run;
}

static int read_all(struct reading *reading)
{
	const struct heads *heads = &reading->heads;
	struct salvage_log *log = reading->log;
	struct run run;
	int rc = BWT_OK;

	for (size_t i = 0; i < heads->count && rc == BWT_OK; i = run.last + 1) {
		const struct wal_segment_head *head = &heads->head[i];
		uint64_t at;

		run = run_from(heads, i);
		rc = find_frame(reading, &run, 0, &at);
		if (rc < 0)
			break;
		/* Between the end of the life before and the first record of a life there is none. */
		if (i == 0)
			log->from =
				at == head->start_lsn || at == UINT64_MAX ? head->prev_end_lsn : at;
		else if (head->prev_incarnation != heads->head[i - 1].incarnation ||
		         (at != head->start_lsn && at != UINT64_MAX)) {
			log->gaps++;
			log->from = at == UINT64_MAX ? head->start_lsn : at;
		}
		log->end = run.limit != UINT64_MAX ? run.limit : head->start_lsn;
		if (at == UINT64_MAX && run.limit != UINT64_MAX && run.limit > head->start_lsn) {
			log->gaps++;
			log->from = run.limit;
		}
		if (at != UINT64_MAX)
			rc = read_run(reading, &run, at);
	}
	return rc;
}

static int by_key(const void *a, const void *b)
{
	const struct salvage_op *left = a, *right = b;
	int order;

	if (left->tree != right->tree)
		return left->tree < right->tree ? -1 : 1;
	order = salvage_compare((struct bwt_slice){left->key, left->key_size},
	                        (struct bwt_slice){right->key, right->key_size});
	/* The newest first; of one transaction the one that came last. */
	if (order == 0)
		order = (left->lsn < right->lsn) - (left->lsn > right->lsn);
	return order != 0 ? order : (left->key < right->key) - (left->key > right->key);
}

/* One change a key: the newest. */
static void keep_newest(struct salvage_log *log)
{
	size_t kept = 0;

	for (size_t i = 0; i < log->count; i++)
		if (log->ops[i].lsn != 0)
			log->ops[kept++] = log->ops[i];
	log->count = kept;
	if (kept > 0)
		qsort(log->ops, kept, sizeof *log->ops, by_key);
	kept = 0;
	for (size_t i = 0; i < log->count; i++) {
		const struct salvage_op *op = &log->ops[i],
					*last = kept > 0 ? &log->ops[kept - 1] : NULL;

		if (last == NULL || last->tree != op->tree ||
		    salvage_compare((struct bwt_slice){last->key, last->key_size},
		                    (struct bwt_slice){op->key, op->key_size}) != 0)
			log->ops[kept++] = *op;
	}
	log->count = kept;
}

int salvage_read_log(struct salvage_log *log, int wal_dir_fd)
{
	struct reading reading = {.log = log, .dir_fd = wal_dir_fd, .fd = -1};
	int rc = wal_segments_list(wal_dir_fd, note_head, &reading.heads);

	log->end = UINT64_MAX;
	log->from = UINT64_MAX;
	reading.bytes = malloc(WAL_FRAME_MAX);
	reading.window = malloc(WINDOW);
	if (reading.bytes == NULL || reading.window == NULL)
		rc = error_set(-ENOMEM, "no memory to read the log");
	if (rc == BWT_OK && reading.heads.count > 0) {
		qsort(reading.heads.head, reading.heads.count, sizeof *reading.heads.head, by_seq);
		log->store_id = reading.heads.head[reading.heads.count - 1].store_id;
		rc = read_all(&reading);
	}
	if (log->parts_missing > log->from)
		log->from = log->parts_missing < log->end ? log->parts_missing : log->end;
	keep_newest(log);
	sys_file_close(reading.fd);
	free(reading.bytes);
	free(reading.window);
	free(reading.heads.head);
	return rc;
}

void salvage_log_free(struct salvage_log *log)
{
	for (size_t i = 0; i < log->copy_count; i++)
		free(log->copies[i]);
	free(log->copies);
	free(log->ops);
	memset(log, 0, sizeof *log);
}
