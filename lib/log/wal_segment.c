/* SPDX-License-Identifier: MIT */
/*
 * wal_segment.c - the files of the log: made, found, used again
 *
 * Why: a commit must not make the file system commit metadata, so a segment is written full of
 * zeroes and synced before its first frame, and used again when its records are not needed.
 *
 *   none --make_spare()--> free-<n>.wal --name_segment()--> <seq>.wal
 *   <seq>.wal --wal_release()--> free-<n>.wal, or unlinked
 *
 *   S1  A file gets the name of a segment when all of it, header included, is durable; a frame in it counts
 *       when that name is durable. So a named segment whose header does not check is damage, never
 *       the trace of a crash, and a crash leaves at most one file more under a name that is not read.
 *   S2  A file of an earlier life called free-<n>.wal is used only with a valid header: it was a segment
 *       once, or got the header of one that never comes when it had been written in full (mark_spare()).
 *       Half-made ones go when the log is opened.
 *   S3  Frames of an earlier use are told by their LSN and incarnation (W3).
 *   S4  Segments are released from the oldest on, and only below durable_lsn.
 *
 * Locks: create_lock over making and releasing; list_lock inside it, never over I/O.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/testpoint.h"
#include "log/wal_private.h"
#include "sys/thread.h"

#define GROWTH 4u            /* the next segment's size over the last one's */
#define SEQ_NEVER UINT64_MAX /* of a spare that was no segment yet */
#define SOFT_RESERVE 8u      /* an eighth of the last segment is not for ordinary records */

/* --- Names --- */

static void spare_name(char name[WAL_NAME_SIZE], uint64_t number)
{
	snprintf(name, WAL_NAME_SIZE, "free-%" PRIu64 ".wal", number);
}

static bool spare_parse(const char *name, uint64_t *number)
{
	char again[WAL_NAME_SIZE];
	uint64_t value;

	if (sscanf(name, "free-%" SCNu64, &value) != 1)
		return false;
	spare_name(again, value);
	if (strcmp(name, again) != 0)
		return false;
	*number = value;
	return true;
}

/* Open @name, read its header and size, close it. */
static int look_at(const struct wal *wal, const char *name, uint64_t seq,
                   struct wal_segment_head *head, uint64_t *size)
{
	int fd, rc = sys_file_open(wal->config.dir_fd, name, SYS_RDONLY, &fd);

	if (rc < 0)
		return rc;
	rc = sys_file_size(fd, size);
	if (rc == BWT_OK)
		rc = wal_segment_head(fd, name, seq, wal->config.store_id, head);
	sys_file_close(fd);
	return rc;
}

/* --- The list --- */

static struct wal_segment *oldest(const struct wal *wal)
{
	return atomic_load_explicit(&wal->oldest, memory_order_relaxed); /* list_lock is held */
}

/* In its place by seq; each step leaves a list that a forked child can walk. */
static void list_add(struct wal *wal, struct wal_segment *segment)
{
	struct wal_segment *before = NULL;

	for (struct wal_segment *s = oldest(wal); s != NULL && s->seq < segment->seq; s = s->next)
		before = s;
	segment->next = before == NULL ? oldest(wal) : before->next;
	if (before == NULL)
		atomic_store_explicit(&wal->oldest, segment, memory_order_release);
	else
		before->next = segment;
	if (segment->next == NULL)
		wal->newest = segment;
}

static void count_bytes(struct wal *wal, uint64_t added, uint64_t removed)
{
	atomic_fetch_add_explicit(&wal->file_bytes, added - removed, memory_order_relaxed);
}

struct wal_segment *wal_segment_at(struct wal *wal, uint64_t lsn)
{
	struct wal_segment *segment = wal->current;

	if (lsn >= segment->start_lsn && lsn < segment->end_lsn)
		return segment;
	log_lock(&wal->list_lock);
	while (lsn >= segment->end_lsn && segment->next != NULL)
		segment = segment->next;
	wal->current = segment;
	log_unlock(&wal->list_lock);
	BWT_CHECK(lsn >= segment->start_lsn && lsn < segment->end_lsn); /* R2 */
	if (!wal_mapped(wal))
		sys_ring_register_file(wal->io, segment->fd);
	return segment;
}

/* --- Spares --- */

/* Take the spare that fits best: the largest of at least @least file bytes. */
static bool spare_take(struct wal *wal, uint64_t least, struct wal_spare *spare)
{
	unsigned best = WAL_SPARE_MAX;

	log_lock(&wal->list_lock);
	for (unsigned i = 0; i < wal->spare_count; i++) {
		if (wal->spares[i].file_size >= least &&
		    (best == WAL_SPARE_MAX || wal->spares[i].file_size > wal->spares[best].file_size))
			best = i;
	}
	if (best != WAL_SPARE_MAX) {
		*spare = wal->spares[best];
		wal->spares[best] = wal->spares[--wal->spare_count];
	}
	log_unlock(&wal->list_lock);
	return best != WAL_SPARE_MAX;
}

/* Keep @spare, or the larger of it and the smallest kept: *extra has to go, number UINT64_MAX: none. */
static void spare_keep(struct wal *wal, struct wal_spare spare, struct wal_spare *extra)
{
	*extra = (struct wal_spare){.number = UINT64_MAX};
	log_lock(&wal->list_lock);
	if (wal->spare_count < WAL_SPARE_MAX) {
		wal->spares[wal->spare_count++] = spare;
	} else {
		unsigned least = 0;

		for (unsigned i = 1; i < WAL_SPARE_MAX; i++) {
			if (wal->spares[i].file_size < wal->spares[least].file_size)
				least = i;
		}
		*extra = spare;
		if (spare.file_size > wal->spares[least].file_size) {
			*extra = wal->spares[least];
			wal->spares[least] = spare;
		}
	}
	log_unlock(&wal->list_lock);
}

static void spare_unlink(struct wal *wal, const struct wal_spare *spare)
{
	char name[WAL_NAME_SIZE];

	spare_name(name, spare->number);
	/* Best effort: what stays is found when the log is next opened. */
	(void)sys_file_unlink(wal->config.dir_fd, name);
	count_bytes(wal, 0, spare->file_size);
}

uint64_t wal_first_lsn(const struct wal *wal)
{
	const struct wal_segment *segment = oldest(wal);

	/* The end of the life before: what lies between is no log. A damaged header says nothing: all zero. */
	return segment == NULL ? 0 : segment->prev_end_lsn;
}

/* --- Making a segment --- */

/* A new file of zeroes under a spare's name. Leaves nothing behind on failure. */
static int make_spare(struct wal *wal, uint64_t file_size, struct wal_spare *spare)
{
	char name[WAL_NAME_SIZE];
	int fd, rc;

	spare->number = wal->next_spare++;
	spare->file_size = file_size;
	spare_name(name, spare->number);
	rc = sys_file_open(wal->config.dir_fd, name, SYS_CREATE | SYS_EXCL, &fd);
	if (rc < 0)
		return rc;
	/* Finds a full disk before anything is written. */
	rc = sys_file_allocate(fd, 0, file_size);
	if (rc == BWT_OK)
		rc = sys_file_zero_fill(fd, 0, file_size);
	/* Synced; and no cached page is in the way of writes past the cache. */
	if (rc == BWT_OK)
		rc = sys_file_drop_cache(fd);
	sys_file_close(fd);
	if (rc < 0) {
		(void)sys_file_unlink(wal->config.dir_fd, name);
		return rc;
	}
	count_bytes(wal, file_size, 0);
	return BWT_OK;
}

static int write_heads(int fd, const struct wal_segment_head *head)
{
	_Alignas(WAL_BLOCK) uint8_t block[WAL_BLOCK] = {0};
	int rc = BWT_OK;

	memcpy(block, head, sizeof *head);
	for (uint64_t off = 0; off < WAL_HEADER_SIZE && rc == BWT_OK; off += WAL_BLOCK) {
		rc = sys_file_write(fd, block, sizeof block, off);
		if (rc == BWT_OK && !TEST_FAULT("wal_skip_head_sync"))
			rc = sys_file_sync(fd);
	}
	return rc;
}

/* The descriptor that frames go through: past the page cache where that is allowed and of use. */
static int open_for_frames(struct wal *wal, const char *name, int *fd)
{
	int rc = -EINVAL;

	if (wal->direct && !wal_mapped(wal))
		rc = sys_file_open(wal->config.dir_fd, name, SYS_DIRECT, fd);
	if (rc == -EINVAL) {
		wal->direct = false;
		rc = sys_file_open(wal->config.dir_fd, name, 0, fd);
	}
	return rc;
}

/* Is this file, and so the folder that the log stands in, in persistent memory? */
static int find_media(struct wal *wal, const char *name)
{
	int fd, rc = sys_file_open(wal->config.dir_fd, name, 0, &fd);

	if (rc < 0)
		return rc;
	wal->media = sys_map_media(fd);
	sys_file_close(fd);
	return BWT_OK;
}

static struct wal_segment_head head_of(const struct wal *wal, const struct wal_segment *segment)
{
	struct wal_segment_head head = {
		.magic = WAL_MAGIC,
		.version = WAL_VERSION,
		.seq = segment->seq,
		.start_lsn = segment->start_lsn,
		.capacity = segment->end_lsn - segment->start_lsn,
		.store_id = wal->config.store_id,
		.incarnation = segment->incarnation,
		.prev_incarnation = segment->prev_incarnation,
		.prev_end_lsn = segment->prev_end_lsn,
	};

	head.crc = wal_head_crc(&head);
	return head;
}

/* Header, then name (S1). A failure after the rename is final: nobody knows which name is durable. */
static int name_segment(struct wal *wal, const struct wal_spare *spare, struct wal_segment *segment)
{
	struct wal_segment_head head = head_of(wal, segment);
	char from[WAL_NAME_SIZE], to[WAL_NAME_SIZE];
	int fd, rc;

	spare_name(from, spare->number);
	wal_segment_name(to, segment->seq);
	rc = sys_file_open(wal->config.dir_fd, from, 0, &fd);
	if (rc < 0)
		return rc;
	rc = write_heads(fd, &head);
	sys_file_close(fd);
	if (rc < 0)
		return rc;
	if (wal->newest == NULL || wal->newest->fd < 0) /* the first of this life */
		rc = find_media(wal, from);
	if (rc == BWT_OK)
		rc = open_for_frames(wal, from, &segment->fd);
	if (rc < 0)
		return rc;
	if (wal_mapped(wal)) /* WM2: what may fail without harm comes first */
		rc = wal_segment_map(wal, segment);
	if (rc < 0) {
		sys_file_close(segment->fd);
		return rc;
	}
	rc = sys_file_rename(wal->config.dir_fd, from, to);
	if (rc == BWT_OK && !TEST_FAULT("wal_skip_dir_sync"))
		rc = sys_dir_sync(wal->config.dir_fd);
	if (rc < 0) {
		sys_map_close(&segment->map);
		sys_file_close(segment->fd);
		return wal_fail(wal, rc);
	}
	return BWT_OK;
}

/* A file for a segment of about @wanted file bytes; of less, down to the least, on a full disk. */
static int find_file(struct wal *wal, uint64_t wanted, struct wal_spare *spare)
{
	int rc;

	if (spare_take(wal, wanted, spare))
		return BWT_OK;
	for (uint64_t size = wanted;;
	     size = size / GROWTH < WAL_SEGMENT_MIN ? WAL_SEGMENT_MIN : size / GROWTH) {
		rc = make_spare(wal, size, spare);
		if (rc != BWT_FULL)
			return rc;
		if (spare_take(wal, WAL_SEGMENT_MIN, spare))
			return BWT_OK;
		if (size <= WAL_SEGMENT_MIN)
			return rc;
	}
}

static void publish(struct wal *wal, struct wal_segment *segment)
{
	uint64_t capacity = segment->end_lsn - segment->start_lsn;

	log_lock(&wal->list_lock);
	list_add(wal, segment);
	log_unlock(&wal->list_lock);
	atomic_store_explicit(&wal->prepare_at, segment->start_lsn + capacity / 2,
	                      memory_order_relaxed);
	/* RELEASE: a taker that sees the room may have the flusher look for the segment. */
	atomic_store_explicit(&wal->space_end, segment->end_lsn, memory_order_release);
	atomic_store_explicit(&wal->space_soft, segment->end_lsn - capacity / SOFT_RESERVE,
	                      memory_order_release);
}

/* Append a segment to the list. Caller holds create_lock, or nobody else is there yet. */
static int add_segment(struct wal *wal, uint64_t start, uint32_t prev_incarnation,
                       uint64_t prev_end_lsn, uint64_t wanted)
{
	struct wal_segment *segment = calloc(1, sizeof *segment);
	struct wal_spare spare;
	int rc;

	if (segment == NULL)
		return error_set(-ENOMEM, "no memory for a log segment");
	rc = find_file(wal, wanted, &spare);
	if (rc < 0)
		goto fail;
	segment->seq = wal->next_seq;
	segment->start_lsn = start;
	segment->end_lsn = start + (spare.file_size - WAL_HEADER_SIZE);
	segment->read_end_lsn = segment->end_lsn;
	segment->file_size = spare.file_size;
	segment->incarnation = wal->incarnation;
	segment->prev_incarnation = prev_incarnation;
	segment->prev_end_lsn = prev_end_lsn;
	rc = name_segment(wal, &spare, segment);
	if (rc < 0) {
		spare_unlink(wal, &spare);
		goto fail;
	}
	wal->next_seq++;
	publish(wal, segment);
	return BWT_OK;

fail:
	free(segment);
	return rc;
}

/* The size after @file_size. */
static uint64_t grown(const struct wal *wal, uint64_t file_size)
{
	return file_size >= wal->segment_size / GROWTH ? wal->segment_size : file_size * GROWTH;
}

static int extend_locked(struct wal *wal, uint64_t need, bool soft)
{
	const _Atomic(uint64_t) *limit = soft ? &wal->space_soft : &wal->space_end;
	int rc = wal_failed(wal);

	/* Only the holder of create_lock changes the newest segment. */
	while (rc == BWT_OK && atomic_load_explicit(limit, memory_order_relaxed) < need) {
		const struct wal_segment *last = wal->newest;

		rc = add_segment(wal, last->end_lsn, wal->incarnation, last->end_lsn,
		                 grown(wal, last->file_size));
	}
	return rc;
}

int wal_segment_extend(struct wal *wal, uint64_t need, bool soft)
{
	int rc;

	log_lock(&wal->create_lock);
	rc = extend_locked(wal, need, soft);
	log_unlock(&wal->create_lock);
	return rc;
}

int wal_prepare_segment(struct wal *wal)
{
	uint64_t promised = atomic_load_explicit(&wal->promised, memory_order_seq_cst);
	uint64_t end = atomic_load_explicit(&wal->collected, memory_order_seq_cst) + promised;
	int rc = BWT_OK;

	log_lock(&wal->create_lock);
	if (end >= wal->newest->start_lsn + (wal->newest->end_lsn - wal->newest->start_lsn) / 2)
		rc = extend_locked(wal, wal->newest->end_lsn + 1, false);
	log_unlock(&wal->create_lock);
	return rc;
}

/* S2: so that the next opening finds it whole, and need not make another one. Removed on failure. */
static int mark_spare(struct wal *wal, const struct wal_spare *spare)
{
	const struct wal_segment unused = {
		.seq = SEQ_NEVER,
		.start_lsn = WAL_BLOCK,
		.end_lsn = WAL_BLOCK + spare->file_size - WAL_HEADER_SIZE,
		.incarnation = wal->incarnation,
	};
	struct wal_segment_head head = head_of(wal, &unused);
	char name[WAL_NAME_SIZE];
	int fd, rc;

	spare_name(name, spare->number);
	rc = sys_file_open(wal->config.dir_fd, name, 0, &fd);
	if (rc == BWT_OK) {
		rc = write_heads(fd, &head);
		sys_file_close(fd);
	}
	if (rc < 0)
		spare_unlink(wal, spare);
	return rc;
}

int wal_keep_spare(struct wal *wal)
{
	struct wal_spare spare, extra;
	int rc = wal_failed(wal);

	log_lock(&wal->create_lock);
	if (rc == BWT_OK && wal->spare_count == 0) {
		rc = make_spare(wal, WAL_SEGMENT_MIN, &spare);
		if (rc == BWT_OK)
			rc = mark_spare(wal, &spare);
		if (rc == BWT_OK)
			spare_keep(wal, spare, &extra);
	}
	log_unlock(&wal->create_lock);
	return rc;
}

/* --- Releasing --- */

/* The oldest segment, taken off the list, if nothing at or above @lsn is read from it (S4). */
static struct wal_segment *take_oldest(struct wal *wal, uint64_t lsn)
{
	struct wal_segment *segment;

	log_lock(&wal->list_lock);
	segment = oldest(wal);
	if (segment == wal->current || segment->read_end_lsn > lsn)
		segment = NULL;
	else
		atomic_store_explicit(&wal->oldest, segment->next, memory_order_relaxed);
	log_unlock(&wal->list_lock);
	return segment;
}

/* *spare: the file under its new name; number UINT64_MAX: it was removed. */
static int retire(struct wal *wal, const struct wal_segment *segment, struct wal_spare *spare)
{
	char from[WAL_NAME_SIZE], to[WAL_NAME_SIZE];
	int rc;

	*spare = (struct wal_spare){.file_size = segment->file_size, .number = UINT64_MAX};
	wal_segment_name(from, segment->seq);
	if (segment->end_lsn == 0) {
		count_bytes(wal, 0, segment->file_size);
		return sys_file_unlink(wal->config.dir_fd, from);
	}
	spare->number = wal->next_spare++;
	spare_name(to, spare->number);
	rc = sys_file_rename(wal->config.dir_fd, from, to);
	if (rc < 0)
		spare->number = UINT64_MAX;
	return rc;
}

int wal_release(struct wal *wal, uint64_t lsn)
{
	struct wal_spare retired, extra;
	struct wal_segment *segment;
	int rc = BWT_OK;

	/* ACQUIRE: whatever is durable is in no operation of the flusher any more. */
	if (lsn > wal_durable_lsn(wal))
		lsn = wal_durable_lsn(wal);
	log_lock(&wal->create_lock);
	while (rc == BWT_OK && (segment = take_oldest(wal, lsn)) != NULL) {
		rc = retire(wal, segment, &retired);
		/* The old name is gone for good before a new header may stand in the file. */
		if (rc == BWT_OK)
			rc = sys_dir_sync(wal->config.dir_fd);
		if (rc == BWT_OK && retired.number != UINT64_MAX) {
			spare_keep(wal, retired, &extra);
			if (extra.number != UINT64_MAX)
				spare_unlink(wal, &extra);
		}
		sys_map_close(&segment->map);
		sys_file_close(segment->fd);
		free(segment);
	}
	log_unlock(&wal->create_lock);
	return rc;
}

/* --- Opening --- */

static int add_old(struct wal *wal, const char *name, uint64_t seq)
{
	struct wal_segment *segment = calloc(1, sizeof *segment);
	struct wal_segment_head head;
	int rc;

	if (segment == NULL)
		return error_set(-ENOMEM, "no memory for a log segment");
	segment->seq = seq;
	segment->fd = -1;
	rc = look_at(wal, name, seq, &head, &segment->file_size);
	if (rc < 0 && rc != BWT_CORRUPT) {
		free(segment);
		return rc;
	}
	if (rc == BWT_OK) { /* else the reader has said whether it matters */
		segment->start_lsn = head.start_lsn;
		segment->end_lsn = head.start_lsn + head.capacity;
		segment->incarnation = head.incarnation;
		segment->prev_incarnation = head.prev_incarnation;
		segment->prev_end_lsn = head.prev_end_lsn;
	}
	if (seq >= wal->next_seq)
		wal->next_seq = seq + 1;
	count_bytes(wal, segment->file_size, 0);
	list_add(wal, segment);
	return BWT_OK;
}

/* S2; also a file that has a segment's name as well, if the file system tore a rename. */
static int add_spare(struct wal *wal, const char *name, uint64_t number)
{
	struct wal_spare spare = {.number = number}, extra;
	struct wal_segment_head head;
	char segment[WAL_NAME_SIZE];
	bool twice = false;
	int rc;

	if (number >= wal->next_spare)
		wal->next_spare = number + 1;
	rc = look_at(wal, name, 0, &head, &spare.file_size);
	if (rc == BWT_OK) {
		wal_segment_name(segment, head.seq);
		rc = sys_file_exists(wal->config.dir_fd, segment, &twice);
	}
	if (rc < 0 && rc != BWT_CORRUPT)
		return rc;
	count_bytes(wal, spare.file_size, 0);
	if (rc == BWT_CORRUPT || twice || spare.file_size < WAL_SEGMENT_MIN ||
	    spare.file_size % WAL_BLOCK != 0)
		extra = spare;
	else
		spare_keep(wal, spare, &extra);
	if (extra.number != UINT64_MAX)
		spare_unlink(wal, &extra);
	return BWT_OK;
}

static int each_file(void *ctx, const char *name)
{
	struct wal *wal = ctx;
	uint64_t number;

	if (wal_segment_parse(name, &number))
		return add_old(wal, name, number);
	if (spare_parse(name, &number))
		return add_spare(wal, name, number);
	return BWT_OK;
}

/* Up to where each old segment is ever read: to the end of its life's log at most. */
static void find_read_ends(struct wal *wal)
{
	for (struct wal_segment *s = oldest(wal); s != NULL; s = s->next) {
		uint64_t end = wal->config.end_lsn;
		const struct wal_segment *later = s->next;

		while (later != NULL && (later->end_lsn == 0 || later->incarnation == s->incarnation))
			later = later->next;
		if (later != NULL)
			end = later->prev_end_lsn;
		s->read_end_lsn = s->end_lsn != 0 && s->end_lsn < end ? s->end_lsn : end;
	}
}

static int draw_incarnation(struct wal *wal)
{
	const struct wal_segment *s;
	int rc;

	do {
		rc = sys_random(&wal->incarnation, sizeof wal->incarnation);
		if (rc < 0)
			return rc;
		for (s = oldest(wal); s != NULL && s->incarnation != wal->incarnation;)
			s = s->next;
	} while (s != NULL || wal->incarnation == 0 ||
	         wal->incarnation == wal->config.end_incarnation);
	return BWT_OK;
}

int wal_segments_open(struct wal *wal)
{
	uint64_t size = wal->config.segment_size & ~(uint64_t)(WAL_BLOCK - 1);
	int rc;

	wal->segment_size = size < WAL_SEGMENT_MIN ? WAL_SEGMENT_MIN : size;
	wal->direct = true;
	wal->next_seq = wal->config.last_seq + 1;
	rc = sys_dir_list(wal->config.dir_fd, each_file, wal);
	if (rc == BWT_OK)
		rc = draw_incarnation(wal);
	if (rc == BWT_OK) {
		find_read_ends(wal);
		rc = add_segment(wal, wal->staging_start, wal->config.end_incarnation,
		                 wal->config.end_lsn, WAL_SEGMENT_MIN);
	}
	if (rc < 0) {
		wal_segments_close(wal, false);
		return rc;
	}
	wal->current = wal->newest;
	if (!wal_mapped(wal))
		sys_ring_register_file(wal->io, wal->current->fd);
	return BWT_OK;
}

/* @only_descriptors: in a forked child, where another thread may have been changing the list. */
void wal_segments_close(struct wal *wal, bool only_descriptors)
{
	struct wal_segment *s, *next;

	for (s = atomic_load_explicit(&wal->oldest, memory_order_acquire); s != NULL; s = next) {
		next = s->next;
		if (!only_descriptors)
			sys_map_close(&s->map);
		sys_file_close(s->fd);
		s->fd = -1;
		if (!only_descriptors)
			free(s);
	}
}
