/* SPDX-License-Identifier: MIT */
/*
 * wal_reader.c - the log read back
 *
 * Why: after a crash the directory holds segments of several lives, with records that were never
 * acknowledged, torn ones, and frames of earlier uses of the same files. What the log says is found by
 * rules, not by trying:
 *
 *   a run    the segments of one incarnation, in order; each run's first segment names the
 *            incarnation of the run before and where that one ended
 *   the log  run after run, each up to exactly the end that the next one names; the last one up to
 *            its first bad frame
 *
 *   L1  A frame counts if it stands where its lsn says, is of the run's incarnation, and its CRC
 *       matches; so neither a torn frame nor one of an earlier use counts (W3).
 *   L2  A bad frame before an end that a later run names is damage: those records were there.
 *   L3  A bad frame in the last run is damage if a later frame of the run says that the log was durable
 *       beyond it (W4), else the end.
 *   L4  A hole between segments of a run, or a segment without a good header behind the last one, is
 *       damage: crashes make neither (wal_segment.c, S1 and S4).
 *   L5  A frame of the last run whose head stands in its place and reaches beyond the end of the newest
 *       segment is damage: the segment behind was durable, name included, before its room was handed
 *       out, so a file is missing. Where an LSN stands in a file is told by no earlier use of it.
 *   L6  The last run ends, unread, where a superblock says that its writer closed it: nothing is behind. Another life
 *       that began there is another run, by its incarnation.
 */
#include "log/wal_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "log/wal_private.h"

#define WINDOW_SIZE ((size_t)1 << 20)
#define FRAME_MIN (2u * WAL_ALIGN)
#define NO_END UINT64_MAX
/* Bytes that the search for a later claim may checksum, per byte of log: look-alikes are not for free. */
#define SEARCH_EFFORT 8u

static_assert(WAL_FRAME_MAX + WAL_BLOCK <= WINDOW_SIZE,
              "a frame fits whatever its place in a block");

struct entry {
	uint64_t seq;
	struct wal_segment_head head; /* capacity 0: no copy checks */
	bool synced;
};

struct wal_reader {
	int dir_fd;
	uint64_t store_id;
	bool readonly;
	bool live;             /* a writer is there */
	uint64_t durable;      /* live: nothing at or beyond this is looked at; else UINT64_MAX */
	struct entry *entries; /* by seq */
	size_t count, capacity;
	/* The run: entries [first, last], without those whose header is damaged. */
	size_t first, last;
	uint64_t run_end;            /* named by the next run; NO_END: the last run */
	uint64_t limit;              /* no byte at or beyond this belongs to the run */
	uint64_t begin;              /* where reading began */
	uint64_t position;           /* of the next frame */
	uint64_t last_lsn;           /* of the record returned last */
	uint64_t closed_lsn;         /* L6 */
	uint32_t closed_incarnation; /* 0: no such word */
	int state;                   /* BWT_OK, or what every later call answers */
	/* Bytes [window_lsn, window_lsn + window_len) of the run. */
	uint8_t *window;
	uint64_t window_lsn;
	size_t window_len;
	/* The one open file. */
	size_t open_entry;
	int fd; /* -1: none */
};

/* --- The directory --- */

static bool damaged(const struct entry *entry)
{
	return entry->head.capacity == 0;
}

static uint64_t entry_end(const struct entry *entry)
{
	return entry->head.start_lsn + entry->head.capacity;
}

/* The header of segment @seq, if one copy checks. */
static int read_head(const struct wal_reader *reader, const char *name, uint64_t seq,
                     struct wal_segment_head *head)
{
	int fd, rc = sys_file_open(reader->dir_fd, name, SYS_RDONLY, &fd);

	if (rc < 0)
		return rc;
	rc = wal_segment_head(fd, name, seq, reader->store_id, head);
	sys_file_close(fd);
	return rc;
}

static int add_entry(struct wal_reader *reader, const char *name, uint64_t seq)
{
	struct entry *entry;
	int rc;

	if (reader->count == reader->capacity) {
		size_t more = reader->capacity * 2 + 16;
		struct entry *entries = realloc(reader->entries, more * sizeof *entries);

		if (entries == NULL)
			return error_set(-ENOMEM, "no memory for %zu log segments", more);
		reader->entries = entries;
		reader->capacity = more;
	}
	entry = &reader->entries[reader->count];
	*entry = (struct entry){.seq = seq};
	rc = read_head(reader, name, seq, &entry->head);
	if (rc == -ENOENT && reader->live)
		return BWT_OK; /* released since it was listed */
	if (rc < 0 && rc != BWT_CORRUPT)
		return rc;
	reader->count++;
	return BWT_OK;
}

static int each_name(void *ctx, const char *name)
{
	uint64_t seq;

	return wal_segment_parse(name, &seq) ? add_entry(ctx, name, seq) : BWT_OK;
}

static int by_seq(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return (left->seq > right->seq) - (left->seq < right->seq);
}

/* --- Runs --- */

/* The first good entry after @i, or count. */
static size_t next_good(const struct wal_reader *reader, size_t i)
{
	do
		i++;
	while (i < reader->count && damaged(&reader->entries[i]));
	return i;
}

/* Make the run that begins at @first the current one; sets last, run_end and limit. */
static void set_run(struct wal_reader *reader, size_t first)
{
	uint32_t incarnation = reader->entries[first].head.incarnation;
	size_t i = first;
	bool whole = true;

	reader->first = reader->last = first;
	reader->limit = entry_end(&reader->entries[first]);
	while ((i = next_good(reader, i)) < reader->count) {
		const struct wal_segment_head *head = &reader->entries[i].head;

		if (head->incarnation != incarnation)
			break;
		whole = whole && head->start_lsn == reader->limit;
		if (whole)
			reader->limit = head->start_lsn + head->capacity;
		reader->last = i;
	}
	reader->run_end = i < reader->count ? reader->entries[i].head.prev_end_lsn : NO_END;
	if (reader->run_end < reader->limit)
		reader->limit = reader->run_end;
	reader->window_len = 0;
}

static int corrupt_entry(const struct wal_reader *reader, size_t i, const char *why)
{
	char name[WAL_NAME_SIZE];

	wal_segment_name(name, reader->entries[i].seq);
	return error_set(BWT_CORRUPT, "%s: %s", name, why);
}

/* A damaged header that matters after all: its words again. */
static int damaged_entry(const struct wal_reader *reader, size_t i)
{
	struct wal_segment_head head;
	char name[WAL_NAME_SIZE];
	int rc;

	wal_segment_name(name, reader->entries[i].seq);
	rc = read_head(reader, name, reader->entries[i].seq, &head);
	return rc < 0 ? rc : corrupt_entry(reader, i, "its header changes while it is read");
}

/* From the current run on every run must follow the one before it; and L4. */
static int check_runs(struct wal_reader *reader, size_t from)
{
	const struct entry *entries = reader->entries;
	size_t i = from, next;

	while ((next = next_good(reader, i)) < reader->count) {
		const struct wal_segment_head *head = &entries[next].head;
		uint32_t before = entries[i].head.incarnation;

		if (head->incarnation != before && head->prev_incarnation != before)
			return corrupt_entry(reader, next,
			                     "the log segment that it follows is missing");
		i = next;
	}
	if (i != reader->count - 1)
		return damaged_entry(reader, reader->count - 1);
	return BWT_OK;
}

/* The run that holds @lsn: the first one that does not end before it. */
static int find_run(struct wal_reader *reader, uint64_t lsn)
{
	size_t i = next_good(reader, SIZE_MAX); /* from -1: the first good entry */

	if (i == reader->count)
		return damaged_entry(reader, 0);
	for (set_run(reader, i); reader->run_end < lsn; set_run(reader, i))
		i = next_good(reader, reader->last);
	return check_runs(reader, i);
}

/* The segment of the current run that holds @lsn < limit. */
static size_t entry_at(const struct wal_reader *reader, uint64_t lsn)
{
	size_t i = reader->first;

	while (i < reader->count && entry_end(&reader->entries[i]) <= lsn)
		i = next_good(reader, i);
	return i;
}

static int find_start(struct wal_reader *reader, uint64_t lsn)
{
	const struct wal_segment_head *head;
	int rc;

	reader->begin = reader->position = lsn;
	reader->limit = lsn;
	reader->run_end = NO_END;
	if (reader->count == 0)
		return BWT_OK;
	rc = find_run(reader, lsn);
	if (rc < 0)
		return rc;
	head = &reader->entries[reader->first].head;
	if (head->start_lsn > lsn && head->prev_incarnation != head->incarnation &&
	    head->prev_end_lsn == lsn)
		reader->position = head->start_lsn; /* the run that ended at @lsn is not needed */
	else if (head->start_lsn > lsn || lsn > reader->limit)
		return error_set(BWT_CORRUPT,
		                 "no log segment holds LSN %" PRIu64
		                 ", the oldest begins at %" PRIu64
		                 " and the newest ends at %" PRIu64,
		                 lsn, head->start_lsn, entry_end(&reader->entries[reader->last]));
	return BWT_OK;
}

/* --- Life --- */

static int open_with(const struct wal_reader *how, uint64_t lsn, struct wal_reader **out)
{
	struct wal_reader *reader = malloc(sizeof *reader);
	int rc;

	if (reader == NULL)
		return error_set(-ENOMEM, "no memory to read the log");
	*reader = *how;
	reader->fd = -1;
	reader->window = aligned_alloc(WAL_BLOCK, WINDOW_SIZE);
	rc = reader->window == NULL ? error_set(-ENOMEM, "no memory to read the log")
	                            : sys_dir_list(reader->dir_fd, each_name, reader);
	if (rc == BWT_OK) {
		if (reader->count > 0)
			qsort(reader->entries, reader->count, sizeof *reader->entries, by_seq);
		rc = find_start(reader, lsn);
	}
	if (rc < 0) {
		wal_reader_close(reader);
		return rc;
	}
	*out = reader;
	return BWT_OK;
}

int wal_reader_open(int dir_fd, uint64_t store_id, uint64_t lsn, bool readonly,
                    struct wal_reader **out)
{
	const struct wal_reader how = {
		.dir_fd = dir_fd, .store_id = store_id, .readonly = readonly, .durable = UINT64_MAX};

	return open_with(&how, lsn, out);
}

int wal_reader_open_live(int dir_fd, uint64_t store_id, uint64_t lsn, uint64_t durable,
                         struct wal_reader **out)
{
	const struct wal_reader how = {
		.dir_fd = dir_fd, .store_id = store_id, .live = true, .durable = durable};

	return open_with(&how, lsn, out);
}

void wal_reader_allow(struct wal_reader *reader, uint64_t durable)
{
	reader->durable = durable;
}

void wal_reader_closed(struct wal_reader *reader, uint64_t lsn, uint32_t incarnation)
{
	reader->closed_lsn = lsn;
	reader->closed_incarnation = incarnation;
}

void wal_reader_close(struct wal_reader *reader)
{
	if (reader == NULL)
		return;
	sys_file_close(reader->fd);
	free(reader->window);
	free(reader->entries);
	free(reader);
}

void wal_reader_end(const struct wal_reader *reader, uint64_t *end_lsn, uint32_t *incarnation,
                    uint64_t *last_seq)
{
	*end_lsn = reader->position;
	*incarnation = reader->count > 0 ? reader->entries[reader->first].head.incarnation : 0;
	*last_seq = reader->count > 0 ? reader->entries[reader->count - 1].seq : 0;
}

uint64_t wal_reader_segment(const struct wal_reader *reader, uint64_t lsn)
{
	uint64_t seq = 0;

	for (size_t i = reader->first; i < reader->count && i <= reader->last; i++) {
		const struct entry *entry = &reader->entries[i];

		if (!damaged(entry) && entry->head.start_lsn <= lsn && lsn <= entry_end(entry))
			seq = entry->seq; /* where one ends and the next begins: the next */
	}
	return seq;
}

uint64_t wal_reader_position(const struct wal_reader *reader)
{
	return reader->position;
}

uint64_t wal_reader_extent(const struct wal_reader *reader)
{
	uint64_t end = reader->limit;

	if (reader->count > 0)
		end = entry_end(&reader->entries[reader->count - 1]);
	return end > reader->begin ? end - reader->begin : 0;
}

/* --- Bytes --- */

/* Open entry @i, synced (W5), to be read past the page cache unless that is refused or read-only. */
static int open_entry(struct wal_reader *reader, size_t i)
{
	struct entry *entry = &reader->entries[i];
	char name[WAL_NAME_SIZE];
	uint64_t size;
	int rc = -EINVAL;

	if (reader->fd >= 0 && reader->open_entry == i)
		return BWT_OK;
	sys_file_close(reader->fd);
	reader->fd = -1;
	wal_segment_name(name, entry->seq);
	if (!reader->readonly)
		rc = sys_file_open(reader->dir_fd, name, SYS_RDONLY | SYS_DIRECT, &reader->fd);
	if (rc == -EINVAL)
		rc = sys_file_open(reader->dir_fd, name, SYS_RDONLY, &reader->fd);
	if (rc < 0)
		return rc;
	reader->open_entry = i;
	/* Live, all that is looked at is durable, and was written past the cache as it is read. */
	if (!reader->readonly && !reader->live && !entry->synced &&
	    !TEST_FAULT("wal_reader_skip_sync")) {
		rc = sys_file_drop_cache(reader->fd);
		if (rc < 0)
			return rc;
		entry->synced = true;
	}
	rc = sys_file_size(reader->fd, &size);
	if (rc == BWT_OK && size < entry->head.capacity + WAL_HEADER_SIZE)
		rc = error_set(BWT_CORRUPT,
		               "%s is shorter than its header says: %" PRIu64 " bytes of %" PRIu64,
		               name, size, entry->head.capacity + WAL_HEADER_SIZE);
	return rc;
}

/* Fill the window from the block of @lsn on, across segments, up to the limit. */
static int load(struct wal_reader *reader, uint64_t lsn)
{
	uint64_t at = lsn & ~(uint64_t)(WAL_BLOCK - 1);
	uint64_t end = at + WINDOW_SIZE;
	uint64_t stop = wal_round_up(reader->limit, WAL_BLOCK);

	reader->window_lsn = at;
	reader->window_len = 0;
	if (end > stop)
		end = stop;
	while (at < end) {
		size_t i = entry_at(reader, at);
		const struct wal_segment_head *head = &reader->entries[i].head;
		uint64_t segment_end = head->start_lsn + head->capacity;
		size_t size = (size_t)((end < segment_end ? end : segment_end) - at);
		int rc = open_entry(reader, i);

		if (rc == BWT_OK)
			rc = sys_file_read(reader->fd, reader->window + reader->window_len, size,
			                   WAL_HEADER_SIZE + (at - head->start_lsn));
		if (rc < 0) {
			reader->window_len = 0;
			return rc;
		}
		reader->window_len += size;
		at += size;
	}
	/* What was not durable when it was read is read again when it is. */
	if (reader->window_len > reader->durable - reader->window_lsn)
		reader->window_len = (size_t)(reader->durable - reader->window_lsn);
	return BWT_OK;
}

/* *bytes: [lsn, lsn + size) of the run, which lies below the limit; good until the next call. */
static int fetch(struct wal_reader *reader, uint64_t lsn, size_t size, const uint8_t **bytes)
{
	if (lsn < reader->window_lsn || lsn + size > reader->window_lsn + reader->window_len) {
		int rc = load(reader, lsn);

		if (rc < 0)
			return rc;
	}
	*bytes = reader->window + (lsn - reader->window_lsn);
	return BWT_OK;
}

/* --- Frames --- */

static uint32_t frame_len(const struct wal_frame *frame)
{
	return frame->len_type & WAL_LEN_MASK;
}

/* No frame that counts reaches beyond this. */
static uint64_t end_of(const struct wal_reader *reader)
{
	return reader->limit < reader->durable ? reader->limit : reader->durable;
}

static bool len_fits(uint32_t len)
{
	return len >= FRAME_MIN && len <= WAL_FRAME_MAX && len % WAL_ALIGN == 0;
}

/* Everything of L1 that the head alone says. */
static bool head_fits(const struct wal_reader *reader, uint64_t lsn, const struct wal_frame *frame)
{
	uint32_t len = frame_len(frame);

	if (frame->incarnation != reader->entries[reader->first].head.incarnation &&
	    !TEST_FAULT("wal_accept_incarnation"))
		return false;
	return frame->lsn == lsn && len_fits(len) && len <= end_of(reader) - lsn;
}

static bool crc_fits(const struct wal_frame *frame, const uint8_t *bytes)
{
	uint32_t crc = crc32c(0, bytes + sizeof *frame, frame_len(frame) - sizeof *frame);

	return frame->crc == wal_frame_crc(crc, frame) || TEST_FAULT("wal_ignore_crc");
}

/*
 * The frame at @lsn, whole in the window at *bytes.
 * Returns BWT_OK, BWT_NOT_FOUND when it is a bad one, or why it could not be read.
 */
static int frame_at(struct wal_reader *reader, uint64_t lsn, struct wal_frame *frame,
                    const uint8_t **bytes)
{
	int rc;

	if (lsn > end_of(reader) || end_of(reader) - lsn < FRAME_MIN)
		return BWT_NOT_FOUND;
	rc = fetch(reader, lsn, FRAME_MIN, bytes);
	if (rc < 0)
		return rc;
	memcpy(frame, *bytes, sizeof *frame);
	if (!head_fits(reader, lsn, frame))
		return BWT_NOT_FOUND;
	rc = fetch(reader, lsn, frame_len(frame), bytes);
	if (rc < 0)
		return rc;
	return crc_fits(frame, *bytes) ? BWT_OK : BWT_NOT_FOUND;
}

static bool claims_beyond(const struct wal_frame *frame, uint64_t lsn)
{
	uint64_t behind = (uint64_t)frame->durable_behind * WAL_ALIGN;

	return frame->durable_behind != UINT32_MAX && behind < frame->lsn &&
	       frame->lsn - behind > lsn;
}

/* --- The end, or damage --- */

static int corrupt_at(struct wal_reader *reader, uint64_t lsn, const char *why, uint64_t evidence)
{
	size_t i = entry_at(reader, lsn);
	char name[WAL_NAME_SIZE] = "log";
	uint64_t off = 0;

	if (i < reader->count && reader->entries[i].head.start_lsn <= lsn) {
		wal_segment_name(name, reader->entries[i].seq);
		off = WAL_HEADER_SIZE + (lsn - reader->entries[i].head.start_lsn);
	}
	return error_set(BWT_CORRUPT,
	                 "%s at offset %" PRIu64 ": bad record at LSN %" PRIu64
	                 ", although %s %" PRIu64,
	                 name, off, lsn, why, evidence);
}

/* W4: is there a frame behind @lsn that says it was durable? BWT_OK: none. */
static int search_claims(struct wal_reader *reader, uint64_t lsn)
{
	uint64_t effort = (reader->limit - lsn) * SEARCH_EFFORT;
	struct wal_frame frame;
	const uint8_t *bytes;
	int rc;

	for (uint64_t at = lsn + WAL_ALIGN; at + FRAME_MIN <= reader->limit; at += WAL_ALIGN) {
		rc = fetch(reader, at, FRAME_MIN, &bytes);
		if (rc < 0)
			return rc;
		memcpy(&frame, bytes, sizeof frame);
		if (frame.lsn != at || !head_fits(reader, at, &frame) || !claims_beyond(&frame, lsn))
			continue;
		if (frame_len(&frame) > effort)
			return corrupt_at(reader, lsn,
			                  "too many look-alikes of records follow, up to LSN", at);
		effort -= frame_len(&frame);
		rc = fetch(reader, at, frame_len(&frame), &bytes);
		if (rc < 0)
			return rc;
		if (crc_fits(&frame, bytes))
			return corrupt_at(reader, lsn, "it was durable says the record at LSN", at);
	}
	return BWT_OK;
}

/* L5: is @lsn in the last segment, and the head of a frame there that ends behind it? BWT_OK: no. */
static int search_cut_off(struct wal_reader *reader, uint64_t lsn)
{
	struct wal_frame frame = {0};
	const uint8_t *bytes;
	size_t size = sizeof frame;
	int rc;

	if (reader->count == 0 || lsn > reader->limit || reader->limit - lsn < WAL_ALIGN)
		return BWT_OK;
	if (reader->limit - lsn < size)
		size = WAL_ALIGN; /* what is before the incarnation */
	rc = fetch(reader, lsn, size, &bytes);
	if (rc < 0)
		return rc;
	memcpy(&frame, bytes, size);
	if (frame.lsn != lsn || !len_fits(frame_len(&frame)) ||
	    frame_len(&frame) <= reader->limit - lsn ||
	    (size == sizeof frame &&
	     frame.incarnation != reader->entries[reader->first].head.incarnation))
		return BWT_OK;
	return corrupt_at(reader, lsn,
	                  "it begins there and the log segment it ends in is missing, LSN",
	                  reader->limit);
}

/* The frame at @lsn is a bad one: L2, L4, L5, L3. The answer stays. */
static int bad_frame(struct wal_reader *reader, uint64_t lsn)
{
	int rc;

	reader->position = lsn;
	if (reader->live)
		rc = corrupt_at(reader, lsn, "the log is durable up to LSN", reader->durable);
	else if (reader->run_end != NO_END)
		rc = corrupt_at(reader, lsn, "a later log segment names the end", reader->run_end);
	else if (reader->count > 0 && entry_end(&reader->entries[reader->last]) > reader->limit)
		rc = corrupt_at(reader, lsn, "there is a later log segment behind a hole at LSN",
		                reader->limit);
	else
		rc = search_cut_off(reader, lsn);
	if (rc == BWT_OK)
		rc = search_claims(reader, lsn);
	if (TEST_FAULT("wal_bad_frame_ends"))
		rc = BWT_OK;
	reader->state = rc == BWT_OK ? BWT_NOT_FOUND : rc;
	return reader->state;
}

/* L6; a hole behind it is damage all the same (L4). */
static bool at_closed_end(const struct wal_reader *reader)
{
	return reader->closed_incarnation != 0 && reader->position == reader->closed_lsn &&
	       reader->count > 0 && reader->run_end == NO_END &&
	       reader->entries[reader->first].head.incarnation == reader->closed_incarnation &&
	       entry_end(&reader->entries[reader->last]) == reader->limit;
}

int wal_reader_next(struct wal_reader *reader, struct wal_record *record)
{
	struct wal_frame frame;
	const uint8_t *bytes;

	while (reader->state == BWT_OK) {
		int rc;

		if (reader->position >= reader->durable)
			return BWT_NOT_FOUND;
		if (reader->position == reader->run_end) {
			set_run(reader, next_good(reader, reader->last));
			reader->position = reader->entries[reader->first].head.start_lsn;
			continue;
		}
		if (at_closed_end(reader)) {
			reader->state = BWT_NOT_FOUND;
			break;
		}
		rc = frame_at(reader, reader->position, &frame, &bytes);
		if (rc == BWT_NOT_FOUND)
			return bad_frame(reader, reader->position);
		if (rc < 0) {
			reader->state = rc;
			break;
		}
		reader->last_lsn = reader->position;
		reader->position += frame_len(&frame);
		if (frame.len_type >> 24 == WAL_PAD)
			continue;
		record->lsn = frame.lsn;
		record->end_lsn = reader->position;
		record->type = (uint8_t)(frame.len_type >> 24);
		record->incarnation = frame.incarnation;
		record->payload =
			(struct bwt_slice){bytes + sizeof frame, frame_len(&frame) - sizeof frame};
		return BWT_OK;
	}
	return reader->state;
}

int wal_reader_reject(struct wal_reader *reader)
{
	return bad_frame(reader, reader->last_lsn);
}
