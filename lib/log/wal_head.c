/* SPDX-License-Identifier: MIT */
/*
 * wal_head.c - names and headers of log segments: bytes, and whether to believe them
 *
 * Why: the writer makes them, the reader and the tools judge them, by the same rules.
 *
 *   H1  A header stands twice in its file; either copy that checks will do (I11).
 *   H2  Checking means CRC, the number in the file's name, and rules between the fields: numbers that
 *       pass can be added and subtracted without a thought.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log/wal_private.h"
#include "log/wal_reader.h"

#define LSN_MAX (UINT64_C(1) << 62)

void wal_segment_name(char name[WAL_NAME_SIZE], uint64_t seq)
{
	snprintf(name, WAL_NAME_SIZE, "%016" PRIx64 ".wal", seq);
}

bool wal_segment_parse(const char *name, uint64_t *seq)
{
	char again[WAL_NAME_SIZE];
	uint64_t value;

	if (sscanf(name, "%16" SCNx64, &value) != 1)
		return false;
	wal_segment_name(again, value);
	if (value == 0 || strcmp(name, again) != 0)
		return false;
	*seq = value;
	return true;
}

uint32_t wal_head_crc(const struct wal_segment_head *head)
{
	size_t from = offsetof(struct wal_segment_head, version);

	return crc32c(0, (const uint8_t *)head + from, sizeof *head - from);
}

/* The rules that hold between the fields; beyond the CRC, because a CRC is easily made. */
static bool head_valid(const struct wal_segment_head *head, uint64_t seq)
{
	bool go_on = head->prev_incarnation == head->incarnation;

	return head->magic == WAL_MAGIC && head->crc == wal_head_crc(head) && head->seq != 0 &&
	       (seq == 0 || head->seq == seq) && head->start_lsn % WAL_BLOCK == 0 &&
	       head->start_lsn != 0 && head->start_lsn < LSN_MAX && head->capacity != 0 &&
	       head->capacity % WAL_BLOCK == 0 && head->capacity < LSN_MAX &&
	       head->incarnation != 0 && head->prev_end_lsn <= head->start_lsn &&
	       (!go_on || head->prev_end_lsn == head->start_lsn);
}

int wal_segment_head(int fd, const char *name, uint64_t seq, uint64_t store_id,
                     struct wal_segment_head *head)
{
	uint8_t bytes[WAL_HEADER_SIZE];
	size_t got;
	int rc = sys_file_read_some(fd, bytes, sizeof bytes, 0, &got);

	if (rc < 0)
		return rc;
	memset(bytes + got, 0, sizeof bytes - got);
	for (size_t off = 0; off < sizeof bytes; off += WAL_BLOCK) {
		struct wal_segment_head copy;

		memcpy(&copy, bytes + off, sizeof copy);
		if (!head_valid(&copy, seq))
			continue;
		if (copy.version != WAL_VERSION)
			return error_set(BWT_VERSION, "%s is a log segment of version %" PRIu32,
			                 name, copy.version);
		if (copy.store_id != store_id)
			return error_set(BWT_CORRUPT, "%s belongs to another store", name);
		*head = copy;
		return BWT_OK;
	}
	return error_set(BWT_CORRUPT, "%s: both copies of its header are damaged (offsets 0 and %u)",
	                 name, WAL_BLOCK);
}

/* --- For tools --- */

struct listing {
	int dir_fd;
	int (*each)(void *ctx, const char *name, const struct wal_segment_head *head);
	void *ctx;
};

static int list_one(void *ctx, const char *name)
{
	const struct listing *listing = ctx;
	struct wal_segment_head head;
	bool valid = false;
	uint64_t seq;
	int fd, rc;

	if (!wal_segment_parse(name, &seq))
		return BWT_OK;
	rc = sys_file_open(listing->dir_fd, name, SYS_RDONLY, &fd);
	if (rc < 0)
		return rc == -ENOENT ? BWT_OK : rc; /* released since it was listed */
	for (uint64_t off = 0; off < WAL_HEADER_SIZE && !valid; off += WAL_BLOCK) {
		size_t got;

		rc = sys_file_read_some(fd, &head, sizeof head, off, &got);
		if (rc < 0)
			break;
		valid = got == sizeof head && head_valid(&head, seq);
	}
	sys_file_close(fd);
	return rc < 0 ? rc : listing->each(listing->ctx, name, valid ? &head : NULL);
}

int wal_segments_list(int dir_fd,
                      int (*each)(void *ctx, const char *name, const struct wal_segment_head *head),
                      void *ctx)
{
	struct listing listing = {dir_fd, each, ctx};

	return sys_dir_list(dir_fd, list_one, &listing);
}
