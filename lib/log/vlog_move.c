/* SPDX-License-Identifier: MIT */
/*
 * vlog_move.c - copying values to another file, for collection
 *
 * The copy has the checksum that the reference says, whatever the bytes: it is compared before the copy is handed
 * out, and every reader compares it again. A copy that is not handed out is a record that nothing refers to.
 *
 * Many values go by groups: a group is read by one batch of a ring, what lies side by side in one piece, to where it will
 * lie in the other file, and is written there in one piece. A value that is larger than a group goes alone, in steps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "log/vlog_private.h"
#include "sys/file.h"

#define MOVE_STEP ((size_t)1 << 20) /* bytes in memory: of a group, or of a value that goes alone */

static struct vlog_record head_of(const struct vlog *vlog, const struct value_ref *from,
                                  uint32_t tree, uint32_t hash)
{
	struct vlog_record head = {
		.magic = from->packed != 0 ? VLOG_MAGIC_PACKED : VLOG_MAGIC,
		.size = value_ref_stored(from),
		.crc = from->crc,
		.tree = tree,
		.hash = hash,
		.store_id = vlog->config.store_id,
	};

	head.head_crc = vlog_head_crc(&head);
	return head;
}

/* ---- one ---- */

struct move { /* from one file to the other */
	int from_fd, to_fd;
	uint64_t from, to; /* offsets */
	uint8_t *buffer;
};

/* *@read: what reading came to, which is no failure of the file that is written. */
static int copy(struct move *move, uint32_t size, uint32_t *crc, int *read)
{
	int rc = BWT_OK;

	*crc = 0;
	*read = BWT_OK;
	for (size_t left = size, step; left > 0 && rc == BWT_OK; left -= step) {
		step = left < MOVE_STEP ? left : MOVE_STEP;
		*read = sys_file_read(move->from_fd, move->buffer, step, move->from);
		if (*read < 0)
			return BWT_OK;
		*crc = crc32c(*crc, move->buffer, step);
		rc = sys_file_write(move->to_fd, move->buffer, step, move->to);
		move->from += step;
		move->to += step;
	}
	return rc;
}

static int move_to(struct vlog *vlog, const struct value_ref *from, struct vlog_record *head,
                   struct move *move, struct value_ref *to)
{
	uint64_t len = vlog_round_up(sizeof *head + head->size);
	struct vlog_file *file;
	uint64_t off;
	uint32_t crc = 0;
	int read = BWT_OK, rc = vlog_reserve(vlog, VLOG_MOVED, len, &file, &off);

	if (rc < 0)
		return rc;
	move->to_fd = file->fd;
	move->to = off + sizeof *head;
	move->from = from->offset + sizeof *head;
	*to = *from;
	to->segment = (uint32_t)file->number;
	to->offset = off;
	rc = sys_file_write(file->fd, head, sizeof *head, off);
	if (rc == BWT_OK)
		rc = copy(move, head->size, &crc, &read);
	rc = vlog_written(vlog, file, off, len, rc);
	if (rc == BWT_OK)
		rc = read;
	return rc == BWT_OK && crc != from->crc ? vlog_bad_value(from) : rc;
}

int vlog_move(struct vlog *vlog, const struct value_ref *from, uint32_t tree, uint32_t hash,
              struct value_ref *to)
{
	struct vlog_record head = head_of(vlog, from, tree, hash);
	struct move move = {.buffer = malloc(head.size < MOVE_STEP ? head.size + 1 : MOVE_STEP)};
	struct vlog_opened opened;
	int rc;

	if (move.buffer == NULL)
		return error_set(-ENOMEM, "no memory to move a value");
	rc = vlog_open_file(vlog, from, &opened);
	if (rc == BWT_OK) {
		move.from_fd = opened.fd;
		rc = move_to(vlog, from, &head, &move, to);
		vlog_close_file(&opened);
	}
	free(move.buffer);
	return rc;
}

/* ---- many ---- */

struct run {            /* records that lie side by side */
	unsigned first; /* move */
	size_t at;      /* in group->bytes */
	struct vlog_opened opened;
};

struct group {
	struct vlog *vlog;
	struct vlog_ring *ring; /* NULL: plain calls */
	struct vlog_move *moves;
	unsigned count;
	uint8_t *bytes; /* the records as they will lie in the other file */
	size_t size;
	struct run runs[SYS_RING_BATCH_MAX];
	struct sys_io ops[SYS_RING_BATCH_MAX]; /* one for each run */
	unsigned run_count;
};

static size_t record_size(const struct vlog_move *move)
{
	return (size_t)vlog_round_up(sizeof(struct vlog_record) + value_ref_stored(&move->from));
}

static bool side_by_side(const struct vlog_move *left, const struct vlog_move *right)
{
	return left->from.segment == right->from.segment &&
	       left->from.offset + record_size(left) == right->from.offset;
}

/* The next values, as many as fit; none if the first is too large. Runs are as long as they are: where they end is known last. */
static void form(struct group *group, struct vlog_move *moves, unsigned count, size_t limit)
{
	group->moves = moves;
	group->count = group->run_count = 0;
	group->size = 0;
	for (; group->count < count; group->count++) {
		struct vlog_move *move = &moves[group->count];
		size_t size = record_size(move);

		if (size > limit - group->size)
			return;
		if (group->count == 0 || !side_by_side(move - 1, move)) {
			if (group->run_count == SYS_RING_BATCH_MAX)
				return;
			group->runs[group->run_count++] =
				(struct run){.first = group->count, .at = group->size};
		}
		move->rc = BWT_OK;
		group->size += size;
	}
}

static unsigned run_end(const struct group *group, unsigned run)
{
	return run + 1 < group->run_count ? group->runs[run + 1].first : group->count;
}

/* A file may end right behind its last value, without what fills up the record. */
static size_t run_size(const struct group *group, unsigned run)
{
	const struct vlog_move *last = &group->moves[run_end(group, run) - 1];
	size_t end = run + 1 < group->run_count ? group->runs[run + 1].at : group->size;

	return end - group->runs[run].at - record_size(last) + sizeof(struct vlog_record) +
	       value_ref_stored(&last->from);
}

static void run_reads(const struct group *group, struct sys_io *ops, unsigned count)
{
	if (group->ring != NULL) {
		(void)sys_ring_run(group->ring->ring, ops, count); /* each says for itself */
		return;
	}
	for (unsigned i = 0; i < count; i++)
		ops[i].rc = sys_file_read(ops[i].fd, ops[i].data, ops[i].size, ops[i].off);
}

/* The files of all runs are open while they are read. Returns BWT_OK, or what is worse than a value that is not there. */
static int read_runs(struct group *group)
{
	unsigned at[SYS_RING_BATCH_MAX], used = 0;
	int rc = BWT_OK, run_rc[SYS_RING_BATCH_MAX] = {0};

	for (unsigned i = 0; i < group->run_count; i++) {
		struct run *run = &group->runs[i];
		const struct value_ref *from = &group->moves[run->first].from;

		run_rc[i] = vlog_open_file(group->vlog, from, &run->opened);
		if (run_rc[i] < 0)
			continue;
		group->ops[used] = (struct sys_io){.kind = SYS_IO_READ,
		                                   .fd = run->opened.fd,
		                                   .data = group->bytes + run->at,
		                                   .size = run_size(group, i),
		                                   .off = from->offset};
		at[used++] = i;
	}
	if (used > 0)
		run_reads(group, group->ops, used);
	for (unsigned i = 0; i < used; i++) {
		vlog_close_file(&group->runs[at[i]].opened);
		run_rc[at[i]] = group->ops[i].rc;
	}
	for (unsigned i = 0; i < group->run_count; i++) {
		for (unsigned move = group->runs[i].first; move < run_end(group, i); move++)
			group->moves[move].rc = run_rc[i];
		if (run_rc[i] < 0 && run_rc[i] != BWT_CORRUPT && rc == BWT_OK)
			rc = run_rc[i];
	}
	return rc;
}

/* Heads of this store in front of the values that are right, and zeroes for the others. Returns how many are right. */
static unsigned make_records(struct group *group, uint32_t tree)
{
	uint8_t *record = group->bytes;
	unsigned good = 0;

	for (unsigned i = 0; i < group->count; i++) {
		struct vlog_move *move = &group->moves[i];
		struct vlog_record head = head_of(group->vlog, &move->from, tree, move->hash);
		size_t size = record_size(move), used = sizeof head + head.size;

		if (move->rc == BWT_OK && crc32c(0, record + sizeof head, head.size) != head.crc)
			move->rc = vlog_bad_value(&move->from);
		if (move->rc == BWT_OK) {
			memcpy(record, &head, sizeof head);
			memset(record + used, 0, size - used);
			good++;
		} else {
			memset(record, 0, size);
		}
		record += size;
	}
	return good;
}

static int write_records(struct group *group)
{
	struct vlog_file *file;
	uint64_t begin, off;
	int rc = vlog_reserve(group->vlog, VLOG_MOVED, group->size, &file, &begin);

	if (rc < 0)
		return rc;
	/* One piece, so no ring, which would not look at the limit of file sizes (file.c F3). */
	if (!TEST_FAULT("vlog_move_unwritten"))
		rc = sys_file_write(file->fd, group->bytes, group->size, begin);
	off = begin;
	for (unsigned i = 0; i < group->count; i++) {
		struct vlog_move *move = &group->moves[i];

		move->to = move->from;
		move->to.segment = (uint32_t)file->number;
		move->to.offset = off;
		off += record_size(move);
	}
	return vlog_written(group->vlog, file, begin, group->size, rc);
}

static int move_group(struct group *group, uint32_t tree)
{
	int rc = read_runs(group);

	return rc == BWT_OK && make_records(group, tree) > 0 ? write_records(group) : rc;
}

int vlog_move_many(struct vlog *vlog, uint32_t tree, struct vlog_move *moves, unsigned count)
{
	struct group group = {.vlog = vlog};
	size_t limit = vlog->config.segment_size < MOVE_STEP ? (size_t)vlog->config.segment_size
	                                                     : MOVE_STEP;
	int rc = BWT_OK;

	group.bytes = malloc(limit);
	if (group.bytes == NULL)
		return error_set(-ENOMEM, "no memory to move values");
	group.ring = vlog_ring_take(vlog);
	for (unsigned done = 0; done < count && rc == BWT_OK;) {
		struct vlog_move *next = &moves[done];

		form(&group, next, count - done, limit);
		if (group.count > 0) {
			rc = move_group(&group, tree);
			done += group.count;
			continue;
		}
		next->rc = vlog_move(vlog, &next->from, tree, next->hash, &next->to);
		rc = next->rc == BWT_CORRUPT ? BWT_OK : next->rc;
		done++;
	}
	if (group.ring != NULL)
		vlog_ring_give(group.ring);
	free(group.bytes);
	return rc;
}
