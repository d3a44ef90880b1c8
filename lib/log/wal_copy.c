/* SPDX-License-Identifier: MIT */
/*
 * wal_copy.c - part of a log as a log of its own
 *
 * A segment is copied with its header, so runs and incarnations stay what they were. The one that
 * holds the end gets a smaller capacity: what follows the end must not be taken for the log, and
 * room that nobody will append to need not be there.
 */
#include "log/wal_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log/file_copy.h"
#include "log/wal_private.h"
#include "log/wal_reader.h"

struct copying {
	int from_fd, to_fd;
	uint64_t from_lsn, end_lsn;
	struct wal_segment_head *heads;
	size_t count;
};

/* wal_segments_list() callback: remember the segments that are needed. */
static int note_segment(void *ctx, const char *name, const struct wal_segment_head *head)
{
	struct copying *copying = ctx;
	struct wal_segment_head *heads;

	if (head == NULL)
		return error_set(BWT_CORRUPT, "wal/%s: both copies of its header are damaged", name);
	if (head->start_lsn > copying->end_lsn || head->start_lsn + head->capacity < copying->from_lsn)
		return BWT_OK;
	heads = realloc(copying->heads, (copying->count + 1) * sizeof *heads);
	if (heads == NULL)
		return error_set(-ENOMEM, "no memory to copy the log");
	copying->heads = heads;
	heads[copying->count++] = *head;
	return BWT_OK;
}

static int write_heads(int fd, const struct wal_segment_head *head)
{
	int rc = BWT_OK;

	for (uint64_t off = 0; off < WAL_HEADER_SIZE && rc == BWT_OK; off += WAL_BLOCK)
		rc = sys_file_write(fd, head, sizeof *head, off);
	return rc;
}

/* Past the page cache, where the log's own writes go, if that is allowed. */
static int open_source(int dir_fd, const char *name, int *fd)
{
	int rc = sys_file_open(dir_fd, name, SYS_RDONLY | SYS_DIRECT, fd);

	return rc == -EINVAL ? sys_file_open(dir_fd, name, SYS_RDONLY, fd) : rc;
}

/* The log bytes of @head below the end, in whole blocks, and zeroes behind the end. */
static int copy_frames(const struct copying *copying, int from, int to,
                       const struct wal_segment_head *head)
{
	static const uint8_t zeroes[WAL_BLOCK];
	uint64_t bytes = head->capacity, used;
	uint64_t end = copying->end_lsn - head->start_lsn;
	int rc;

	used = end < bytes ? end : bytes;
	rc = file_copy(from, WAL_HEADER_SIZE, to, WAL_HEADER_SIZE, wal_round_up(used, WAL_BLOCK));
	if (rc == BWT_OK && used % WAL_BLOCK != 0)
		rc = sys_file_write(to, zeroes, WAL_BLOCK - used % WAL_BLOCK, WAL_HEADER_SIZE + used);
	return rc;
}

static int copy_segment(const struct copying *copying, const struct wal_segment_head *found)
{
	struct wal_segment_head head = *found;
	uint64_t wanted = wal_round_up(copying->end_lsn - head.start_lsn, WAL_BLOCK);
	char name[WAL_NAME_SIZE];
	int from, to, rc;

	if (wanted < WAL_BLOCK)
		wanted = WAL_BLOCK;
	if (head.capacity > wanted)
		head.capacity = wanted;
	head.crc = wal_head_crc(&head);
	wal_segment_name(name, head.seq);
	rc = open_source(copying->from_fd, name, &from);
	if (rc < 0)
		return rc;
	rc = sys_file_open(copying->to_fd, name, SYS_CREATE | SYS_EXCL, &to);
	if (rc == BWT_OK) {
		rc = sys_file_allocate(to, 0, head.capacity + WAL_HEADER_SIZE);
		if (rc == BWT_OK)
			rc = copy_frames(copying, from, to, &head);
		if (rc == BWT_OK)
			rc = write_heads(to, &head);
		if (rc == BWT_OK)
			rc = sys_file_sync(to);
		sys_file_close(to);
	}
	sys_file_close(from);
	return rc;
}

int wal_copy(int from_fd, int to_fd, uint64_t from_lsn, uint64_t end_lsn)
{
	struct copying copying = {
		.from_fd = from_fd, .to_fd = to_fd, .from_lsn = from_lsn, .end_lsn = end_lsn};
	int rc = wal_segments_list(from_fd, note_segment, &copying);

	for (size_t i = 0; i < copying.count && rc == BWT_OK; i++)
		rc = copy_segment(&copying, &copying.heads[i]);
	free(copying.heads);
	return rc < 0 ? rc : sys_dir_sync(to_fd);
}
