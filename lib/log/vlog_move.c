/* SPDX-License-Identifier: MIT */
/*
 * vlog_move.c - copying a value to another file, for collection
 *
 * The copy has the checksum that the reference says, whatever the bytes: it is compared before the copy is handed
 * out, and every reader compares it again. A copy that is not handed out is a record that nothing refers to.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "log/vlog_private.h"
#include "sys/file.h"

#define MOVE_STEP ((size_t)1 << 20) /* bytes in memory */

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
	rc = vlog_written(vlog, file, len, rc);
	if (rc == BWT_OK)
		rc = read;
	return rc == BWT_OK && crc != from->crc ? vlog_bad_value(from) : rc;
}

int vlog_move(struct vlog *vlog, const struct value_ref *from, uint32_t tree, uint32_t hash,
              struct value_ref *to)
{
	struct vlog_record head = {
		.magic = from->packed != 0 ? VLOG_MAGIC_PACKED : VLOG_MAGIC,
		.size = value_ref_stored(from),
		.crc = from->crc,
		.tree = tree,
		.hash = hash,
		.store_id = vlog->config.store_id,
	};
	struct move move = {.buffer = malloc(head.size < MOVE_STEP ? head.size + 1 : MOVE_STEP)};
	struct vlog_opened opened;
	int rc;

	if (move.buffer == NULL)
		return error_set(-ENOMEM, "no memory to move a value");
	head.head_crc = vlog_head_crc(&head);
	rc = vlog_open_file(vlog, from, &opened);
	if (rc == BWT_OK) {
		move.from_fd = opened.fd;
		rc = move_to(vlog, from, &head, &move, to);
		vlog_close_file(&opened);
	}
	free(move.buffer);
	return rc;
}
