/* SPDX-License-Identifier: MIT */
/*
 * repair_log.c - cut a log where it cannot be read on
 *
 *   RL1  What is cut off is in lost+found/, durably, before it goes from where it was; the newest goes
 *        first. So a repair that is cut off leaves a log that is refused as before, or one that ends
 *        where it was decided.
 *   RL2  A segment that is shorter than its header says gets zeroes where bytes are missing: it can be
 *        read up to there then.
 *   RL3  Where nothing holds the LSN that replay begins with, the log begins anew there, empty.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "log/wal_private.h"
#include "log/wal_reader.h"
#include "recovery/repair.h"
#include "sys/thread.h"

struct segments {
	uint64_t *seq; /* descending: the newest first */
	size_t count;
};

static int note_name(void *ctx, const char *name)
{
	struct segments *segments = ctx;
	uint64_t seq, *grown;

	if (!wal_segment_parse(name, &seq))
		return BWT_OK;
	grown = realloc(segments->seq, (segments->count + 1) * sizeof *grown);
	if (grown == NULL)
		return error_set(-ENOMEM, "no memory for the log's segments");
	segments->seq = grown;
	grown[segments->count++] = seq;
	return BWT_OK;
}

static int newest_first(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left < *right) - (*left > *right);
}

/* Free segments->seq afterwards, whatever is returned. */
static int list_segments(const struct repair *repair, struct segments *segments)
{
	int rc;

	memset(segments, 0, sizeof *segments);
	rc = sys_dir_list(repair->files.wal_dir_fd, note_name, segments);
	if (segments->count > 0)
		qsort(segments->seq, segments->count, sizeof *segments->seq, newest_first);
	return rc;
}

static int set_aside(struct repair *repair, uint64_t seq)
{
	char name[WAL_NAME_SIZE];

	wal_segment_name(name, seq);
	return repair_set_aside(repair, "wal", repair->files.wal_dir_fd, name);
}

/* Segments above @seq, the newest first (RL1). */
static int set_aside_above(struct repair *repair, uint64_t seq)
{
	struct segments segments;
	int rc = list_segments(repair, &segments);

	for (size_t i = 0; i < segments.count && segments.seq[i] > seq && rc == BWT_OK; i++)
		rc = set_aside(repair, segments.seq[i]);
	free(segments.seq);
	return rc;
}

/* RL2 */
static int lengthen(struct repair *repair, uint64_t seq)
{
	struct wal_segment_head head;
	char name[WAL_NAME_SIZE];
	uint64_t size, wanted;
	int fd, rc;

	wal_segment_name(name, seq);
	rc = sys_file_open(repair->files.wal_dir_fd, name, 0, &fd);
	if (rc < 0)
		return rc;
	rc = wal_segment_head(fd, name, seq, repair->store_id, &head);
	if (rc == BWT_OK)
		rc = sys_file_size(fd, &size);
	wanted = head.capacity + WAL_HEADER_SIZE;
	if (rc == BWT_OK && size < wanted) {
		repair_say(repair,
		           "wal/%s is %" PRIu64 " bytes too short: zeroes are put in their place",
		           name, wanted - size);
		rc = sys_file_allocate(fd, size, wanted - size);
		if (rc == BWT_OK)
			rc = sys_file_zero_fill(fd, size, wanted - size);
		if (rc == BWT_OK)
			rc = sys_file_sync(fd);
	}
	sys_file_close(fd);
	return rc == BWT_CORRUPT ? BWT_OK : rc; /* a damaged header is for the reader to judge */
}

static int lengthen_all(struct repair *repair)
{
	struct segments segments;
	int rc = list_segments(repair, &segments);

	for (size_t i = 0; i < segments.count && rc == BWT_OK; i++)
		rc = lengthen(repair, segments.seq[i]);
	free(segments.seq);
	return rc;
}

/* RL3: under a spare's name until it is whole, as every segment. */
static int begin_anew(struct repair *repair, uint64_t lsn)
{
	struct wal_segment_head head = {
		.magic = WAL_MAGIC,
		.version = WAL_VERSION,
		.seq = 1,
		.start_lsn = wal_round_up(lsn, WAL_BLOCK),
		.capacity = WAL_SEGMENT_MIN - WAL_HEADER_SIZE,
		.store_id = repair->store_id,
		.prev_end_lsn = lsn,
	};
	int dir_fd = repair->files.wal_dir_fd;
	char name[WAL_NAME_SIZE];
	int fd = -1, rc;

	repair_say(repair, "the log begins anew, empty, at LSN %" PRIu64, lsn);
	rc = sys_random(&head.incarnation, sizeof head.incarnation);
	head.incarnation |= 1;
	head.crc = wal_head_crc(&head);
	if (rc == BWT_OK)
		rc = sys_file_open(dir_fd, "free-repair.wal", SYS_CREATE, &fd);
	if (rc < 0)
		return rc;
	rc = sys_file_zero_fill(fd, 0, WAL_SEGMENT_MIN);
	for (uint64_t off = 0; off < WAL_HEADER_SIZE && rc == BWT_OK; off += WAL_BLOCK)
		rc = sys_file_write(fd, &head, sizeof head, off);
	if (rc == BWT_OK)
		rc = sys_file_sync(fd);
	sys_file_close(fd);
	wal_segment_name(name, head.seq);
	if (rc == BWT_OK)
		rc = sys_file_rename(dir_fd, "free-repair.wal", name);
	return rc < 0 ? rc : sys_dir_sync(dir_fd);
}

/* A reader from @lsn on; what keeps it from opening is set aside, the newest first. */
static int open_reader(struct repair *repair, uint64_t lsn, struct wal_reader **reader)
{
	int rc;

	for (;;) {
		struct segments segments;
		char why[ERROR_DETAIL_MAX];

		rc = list_segments(repair, &segments);
		if (rc == BWT_OK && segments.count == 0)
			rc = begin_anew(repair, lsn);
		else if (rc == BWT_OK) {
			rc = wal_reader_open(repair->files.wal_dir_fd, repair->store_id, lsn, false,
			                     reader);
			if (rc != BWT_CORRUPT) {
				free(segments.seq);
				return rc;
			}
			snprintf(why, sizeof why, "%s", bwt_detail());
			repair_say(repair, "the log cannot be read: %s", why);
			rc = set_aside(repair, segments.seq[0]);
		}
		free(segments.seq);
		if (rc < 0)
			return rc;
	}
}

/* Zeroes from @at to the end of segment @seq, which was saved. */
static int wipe_tail(struct repair *repair, uint64_t seq, uint64_t at)
{
	struct wal_segment_head head;
	char name[WAL_NAME_SIZE], saved[WAL_NAME_SIZE + 32];
	uint64_t off, end;
	int fd, rc;

	wal_segment_name(name, seq);
	rc = sys_file_open(repair->files.wal_dir_fd, name, 0, &fd);
	if (rc < 0)
		return rc;
	rc = wal_segment_head(fd, name, seq, repair->store_id, &head);
	if (rc < 0)
		goto close;
	off = WAL_HEADER_SIZE + (at - head.start_lsn);
	end = WAL_HEADER_SIZE + head.capacity;
	if (off < end) {
		snprintf(saved, sizeof saved, "%s.from-%" PRIu64, name, off);
		repair_say(repair,
		           "the log is cut at LSN %" PRIu64 ": wal/%s from offset %" PRIu64
		           " on becomes zeroes, a copy goes to lost+found/%s",
		           at, name, off, saved);
		rc = repair_save(repair, fd, off, end - off, saved);
	}
	if (rc == BWT_OK)
		rc = set_aside_above(repair, seq);
	if (rc == BWT_OK && off < end)
		rc = sys_file_zero_fill(fd, off, end - off);
	if (rc == BWT_OK)
		rc = sys_file_drop_cache(fd); /* synced: it is read past the cache next */
close:
	sys_file_close(fd);
	return rc;
}

/* Read on to the end, or to @at; the segment that holds the position then. */
static int read_to(struct wal_reader *reader, uint64_t at, uint64_t *end, uint64_t *seq)
{
	struct wal_record record;
	int rc = BWT_OK;

	while (rc == BWT_OK && wal_reader_position(reader) < at)
		rc = wal_reader_next(reader, &record);
	/* The reader passes on to the next run, so a record at @at is the one that was returned last. */
	*end = rc == BWT_OK ? at : wal_reader_position(reader);
	*seq = wal_reader_segment(reader, *end);
	return rc;
}

int repair_cut_log(struct repair *repair, uint64_t lsn, uint64_t at)
{
	struct wal_reader *reader;
	uint64_t end, seq;
	int rc = open_reader(repair, lsn, &reader);

	if (rc < 0)
		return rc;
	rc = read_to(reader, at, &end, &seq);
	wal_reader_close(reader);
	if (rc < 0 && rc != BWT_CORRUPT && rc != BWT_NOT_FOUND)
		return rc;
	if (seq == 0)
		return error_set(BWT_CORRUPT, "wal: no segment holds LSN %" PRIu64, end);
	return wipe_tail(repair, seq, end);
}

int repair_log(struct repair *repair, uint64_t lsn, uint64_t *end)
{
	int rc = lengthen_all(repair);

	while (rc == BWT_OK) {
		struct wal_reader *reader;
		char why[ERROR_DETAIL_MAX];
		uint64_t seq;

		rc = open_reader(repair, lsn, &reader);
		if (rc < 0)
			break;
		rc = read_to(reader, UINT64_MAX, end, &seq);
		snprintf(why, sizeof why, "%s", bwt_detail());
		wal_reader_close(reader);
		if (rc == BWT_NOT_FOUND)
			return BWT_OK;
		if (rc != BWT_CORRUPT)
			break;
		repair_say(repair, "the log is damaged: %s", why);
		rc = seq == 0 ? BWT_CORRUPT : wipe_tail(repair, seq, *end);
	}
	return rc;
}
