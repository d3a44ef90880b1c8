/* SPDX-License-Identifier: MIT */
/*
 * vlog.c - large values: appending them
 *
 * Why: a large value in the tree would be copied by every consolidation. It is written once here, and
 * the tree and the log hold a struct value_ref.
 *
 * An appender pins the active file of its stream, reserves its bytes by fetch_add of the tail, and writes
 * beside all others. Who finds the file full replaces it, under the lock.
 *
 *   V1  A file's name is durable before the first reference into it exists.
 *   V2  A file is marked dirty after the write and before the reference is handed out; so the log's flusher,
 *       which collects the record with the reference before it asks for syncs, syncs the value.
 *   V3  A file is closed when it is not active, unused, clean, and in no batch of syncs that may still
 *       run: the next call of vlog_value_syncs() says that the last batch is over.
 *   V4  A pinned file that was active when pinned stays open until unpinned.
 *   V5  What a failed write leaves is a gap that nothing refers to; a file of its own goes at once. No space, or a
 *       value that changed while it was compressed, is no failure of the file; any other failed write or sync
 *       is, and is for good: nothing is appended after it, and the next call of vlog_value_syncs() fails, with
 *       the same code and words, and the log with it.
 *   V6  The system tells of a page that could not be written once to each open file. So who syncs at the same
 *       time has one of their own, opened before the first write: the flusher and vlog_sync(). Else the one is
 *       told, and the other acknowledges what is lost.
 *   V7  A file's number is taken when the file is active, or its one user's: who finds the number taken and the file
 *       not active knows that nobody comes to it any more. Appenders hold what is at or above the
 *       smallest active number, so no active file lags far behind those that are made: what died there could not go.
 */
#include "log/vlog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "log/vlog_private.h"
#include "sys/file.h"

#define ONE_WRITE_MAX ((size_t)16 << 10) /* up to here head and value are copied together */

uint32_t vlog_head_crc(const struct vlog_record *head)
{
	size_t from = offsetof(struct vlog_record, size);

	return crc32c(0, (const uint8_t *)head + from, sizeof *head - from);
}

/* --- Life --- */

struct survey {
	struct vlog *vlog;
	uint64_t largest;
};

static int survey_file(void *ctx, uint64_t number, uint64_t bytes)
{
	struct survey *survey = ctx;

	if (number > survey->largest)
		survey->largest = number;
	atomic_fetch_add_explicit(&survey->vlog->file_bytes, vlog_round_up(bytes),
	                          memory_order_relaxed);
	return BWT_OK;
}

int vlog_open(const struct vlog_config *config, struct vlog **out)
{
	struct vlog *vlog = calloc(1, sizeof *vlog);
	struct survey survey = {vlog, 0};
	uint64_t next;
	int rc;

	if (vlog == NULL)
		return error_set(-ENOMEM, "no memory for the value log");
	vlog->config = *config;
	if (vlog->config.segment_size < VLOG_SEGMENT_MIN)
		vlog->config.segment_size = VLOG_SEGMENT_MIN;
	vlog_slots_init(vlog);
	rc = vlog_list(vlog, survey_file, &survey);
	if (rc < 0) {
		free(vlog);
		return rc;
	}
	/* Never a file that is there: it may hold unsynced bytes of a previous life. */
	next = survey.largest + 1;
	if (config->next_segment > next)
		next = config->next_segment;
	atomic_store_explicit(&vlog->next_number, next, memory_order_relaxed);
	*out = vlog;
	return BWT_OK;
}

static void close_file(struct vlog_file *file)
{
	sys_file_close(file->fd);
	sys_file_close(file->sync_fd);
	file->fd = file->sync_fd = -1;
}

void vlog_close(struct vlog *vlog)
{
	struct vlog_file *file, *next;

	if (vlog == NULL)
		return;
	for (file = vlog->files; file != NULL; file = next) {
		next = file->next;
		close_file(file);
		free(file);
	}
	vlog_slots_close(vlog);
	vlog_rings_close(vlog, false);
	vlog_packers_free(vlog);
	free(vlog);
}

/* Files join the list at its front by one store and never leave it, so it can be walked here. */
void vlog_abandon(struct vlog *vlog)
{
	for (struct vlog_file *file = vlog->files; file != NULL; file = file->next)
		close_file(file);
	vlog_slots_close(vlog);
	vlog_rings_close(vlog, true);
}

uint64_t vlog_file_bytes(const struct vlog *vlog)
{
	return atomic_load_explicit(&vlog->file_bytes, memory_order_relaxed);
}

uint64_t vlog_next_segment(const struct vlog *vlog)
{
	/* SEQ_CST: V7 */
	return atomic_load_explicit(&vlog->next_number, memory_order_seq_cst);
}

uint64_t vlog_appended(const struct vlog *vlog)
{
	return atomic_load_explicit(&vlog->appended, memory_order_relaxed);
}

/* --- Files that are appended to --- */

static int failed(const struct vlog *vlog)
{
	/* ACQUIRE: pairs with the RELEASE in fail(); failure_text is there. */
	int rc = atomic_load_explicit(&vlog->failure, memory_order_acquire);

	return rc == BWT_OK ? rc : error_set(rc, "the value log has failed: %s", vlog->failure_text);
}

static int fail(struct vlog *vlog, int rc)
{
	log_lock(&vlog->failure_lock);
	if (atomic_load_explicit(&vlog->failure, memory_order_relaxed) == BWT_OK) {
		snprintf(vlog->failure_text, sizeof vlog->failure_text, "%s", bwt_detail());
		atomic_store_explicit(&vlog->failure, rc, memory_order_release);
	}
	log_unlock(&vlog->failure_lock);
	/* So that the next durable flush asks us, and is told. */
	atomic_fetch_add_explicit(&vlog->dirty_files, 1, memory_order_seq_cst);
	return rc;
}

/*
 * Pin the active file (V4). SEQ_CST: we count ourselves in, then look whether it is still active; who
 * replaces it stores active, then looks at the users, and so one of the two sees the other.
 */
static struct vlog_file *pin(struct vlog *vlog, enum vlog_stream stream)
{
	struct vlog_file *file = atomic_load_explicit(&vlog->active[stream], memory_order_seq_cst);

	while (file != NULL) {
		struct vlog_file *now;

		atomic_fetch_add_explicit(&file->users, 1, memory_order_seq_cst);
		now = atomic_load_explicit(&vlog->active[stream], memory_order_seq_cst);
		if (now == file)
			break;
		atomic_fetch_sub_explicit(&file->users, 1, memory_order_release);
		file = now;
	}
	return file;
}

static void unpin(struct vlog_file *file)
{
	/* RELEASE: pairs with the load in idle(); our writes to the file are over. */
	atomic_fetch_sub_explicit(&file->users, 1, memory_order_release);
}

void vlog_tails(struct vlog *vlog, struct vlog_tails *tails)
{
	tails->floor = tails->next = vlog_next_segment(vlog); /* first: V7 */
	for (unsigned stream = 0; stream < VLOG_STREAMS; stream++) {
		struct vlog_file *file = pin(vlog, stream); /* so that it keeps its number (V4) */

		tails->active[stream] = file == NULL ? 0 : file->number;
		if (file == NULL)
			continue;
		tails->floor = file->number < tails->floor ? file->number : tails->floor;
		unpin(file);
	}
}

bool vlog_is_tail(const struct vlog_tails *tails, uint64_t segment)
{
	bool tail = segment >= tails->next;

	for (unsigned stream = 0; stream < VLOG_STREAMS; stream++)
		tail |= segment == tails->active[stream];
	return tail;
}

uint64_t vlog_append_floor(struct vlog *vlog)
{
	struct vlog_tails tails;

	vlog_tails(vlog, &tails);
	return tails.floor; /* without an active file the next one has the next number */
}

static bool is_active(const struct vlog *vlog, const struct vlog_file *file)
{
	for (unsigned stream = 0; stream < VLOG_STREAMS; stream++)
		if (file == atomic_load_explicit(&vlog->active[stream], memory_order_seq_cst))
			return true;
	return false;
}

/* Lock held. */
static bool idle(const struct vlog *vlog, const struct vlog_file *file)
{
	return file->fd >= 0 && !is_active(vlog, file) &&
	       atomic_load_explicit(&file->users, memory_order_seq_cst) == 0;
}

static bool take_dirt(struct vlog *vlog, struct vlog_file *file)
{
	/* ACQ_REL: pairs with the RELEASE in mark_dirty(). */
	if (atomic_exchange_explicit(&file->dirty, 0, memory_order_acq_rel) == 0)
		return false;
	atomic_fetch_sub_explicit(&vlog->dirty_files, 1, memory_order_relaxed);
	return true;
}

static void mark_dirty(struct vlog *vlog, struct vlog_file *file)
{
	/* The count first: it is never too small for a flusher that comes after the record (V2). */
	atomic_fetch_add_explicit(&vlog->dirty_files, 1, memory_order_seq_cst);
	if (atomic_exchange_explicit(&file->dirty, 1, memory_order_acq_rel) != 0)
		atomic_fetch_sub_explicit(&vlog->dirty_files, 1, memory_order_relaxed);
}

/* Too many open: sync and close what is idle. Lock held. */
static int close_some(struct vlog *vlog)
{
	unsigned open = 0;

	for (struct vlog_file *file = vlog->files; file != NULL; file = file->next)
		open += file->fd >= 0;
	if (open < VLOG_UNSYNCED_MAX)
		return BWT_OK;
	for (struct vlog_file *file = vlog->files; file != NULL; file = file->next) {
		if (!idle(vlog, file) || file->in_batch ||
		    atomic_load_explicit(&file->dirty, memory_order_acquire) == 0)
			continue;
		if (sys_file_sync(file->fd) < 0)
			return fail(vlog, BWT_IO);
		/* Only now: a flusher that finds nothing dirty does not come for the lock. */
		(void)take_dirt(vlog, file);
		close_file(file);
	}
	return BWT_OK;
}

static struct vlog_file *free_struct(struct vlog *vlog)
{
	struct vlog_file *file = vlog->files;

	while (file != NULL && !(file->fd < 0 && !is_active(vlog, file)))
		file = file->next;
	if (file != NULL)
		return file;
	file = calloc(1, sizeof *file);
	if (file == NULL)
		return NULL;
	file->fd = file->sync_fd = -1;
	file->next = vlog->files;
	vlog->files = file;
	return file;
}

/* Both descriptors of a new file, whose name is not durable yet. */
static int open_new(struct vlog *vlog, struct vlog_file *file, const char *name)
{
	int rc = sys_file_open(vlog->config.dir_fd, name, SYS_CREATE | SYS_EXCL, &file->fd);

	if (rc == BWT_EXISTS)
		return error_set(BWT_INVALID, "somebody else made the value-log file %s", name);
	if (rc < 0)
		return rc;
	rc = sys_file_open(vlog->config.dir_fd, name, SYS_RDONLY, &file->sync_fd);
	if (rc < 0)
		(void)sys_file_unlink(vlog->config.dir_fd, name);
	return rc;
}

/* Empty, with a durable name (V1). */
static int make_named(struct vlog *vlog, struct vlog_file *file, uint64_t number)
{
	char name[VLOG_NAME_SIZE];
	int rc;

	vlog_name(name, number);
	rc = open_new(vlog, file, name);
	if (rc < 0) {
		close_file(file);
		return rc;
	}
	rc = TEST_FAULT("vlog_skip_dir_sync") ? BWT_OK : sys_dir_sync(vlog->config.dir_fd);
	if (rc < 0) {
		close_file(file);
		(void)sys_file_unlink(vlog->config.dir_fd, name);
		return rc == BWT_FULL ? rc : fail(vlog, rc);
	}
	file->number = number;
	atomic_store_explicit(&file->tail, 0, memory_order_relaxed);
	atomic_store_explicit(&file->end, 0, memory_order_relaxed);
	return BWT_OK;
}

/* V7. Lock held. */
static void give_up_old(struct vlog *vlog, uint64_t number)
{
	for (unsigned stream = 0; stream < VLOG_STREAMS; stream++) {
		struct vlog_file *file =
			atomic_load_explicit(&vlog->active[stream], memory_order_relaxed);

		if (file != NULL && number - file->number > VLOG_BEHIND_MAX)
			atomic_store_explicit(&vlog->active[stream], NULL, memory_order_seq_cst);
	}
}

/* A new file: the active one of @stream, or, VLOG_STREAMS, one that is pinned by us alone. Lock held. */
static int make_file(struct vlog *vlog, unsigned stream, struct vlog_file **out)
{
	uint64_t number = atomic_load_explicit(&vlog->next_number, memory_order_relaxed);
	struct vlog_file *file;
	int rc = close_some(vlog);

	if (rc < 0)
		return rc;
	file = free_struct(vlog);
	if (file == NULL)
		return error_set(-ENOMEM, "no memory for a value-log file");
	rc = make_named(vlog, file, number);
	if (rc == BWT_OK && stream == VLOG_STREAMS)
		atomic_fetch_add_explicit(&file->users, 1, memory_order_relaxed);
	else if (rc == BWT_OK) /* RELEASE: the file's fields; see pin() */
		atomic_store_explicit(&vlog->active[stream], file, memory_order_seq_cst);
	/* V7; a name that could not be made is not tried again. */
	atomic_store_explicit(&vlog->next_number, number + 1, memory_order_seq_cst);
	give_up_old(vlog, number);
	*out = file;
	return rc;
}

/* Replace @full, unless another thread did. */
static int replace(struct vlog *vlog, enum vlog_stream stream, const struct vlog_file *full)
{
	struct vlog_file *file;
	int rc = BWT_OK;

	log_lock(&vlog->lock);
	if (atomic_load_explicit(&vlog->active[stream], memory_order_relaxed) == full)
		rc = make_file(vlog, stream, &file);
	log_unlock(&vlog->lock);
	return rc;
}

/* Pin a file with @len bytes reserved at *off. */
static int reserve(struct vlog *vlog, enum vlog_stream stream, uint64_t len, struct vlog_file **out,
                   uint64_t *off)
{
	for (;;) {
		struct vlog_file *file = pin(vlog, stream);
		int rc;

		if (file != NULL) {
			*off = atomic_fetch_add_explicit(&file->tail, len, memory_order_relaxed);
			if (*off + len <= vlog->config.segment_size) {
				*out = file;
				return BWT_OK;
			}
			unpin(file);
		}
		rc = replace(vlog, stream, file);
		if (rc < 0)
			return rc;
	}
}

/* A file for one value that is larger than files are. */
static int reserve_alone(struct vlog *vlog, struct vlog_file **out, uint64_t *off)
{
	int rc;

	log_lock(&vlog->lock);
	rc = make_file(vlog, VLOG_STREAMS, out);
	log_unlock(&vlog->lock);
	*off = 0;
	return rc;
}

int vlog_reserve(struct vlog *vlog, enum vlog_stream stream, uint64_t len, struct vlog_file **file,
                 uint64_t *off)
{
	int rc = failed(vlog);

	if (vlog->config.readonly)
		return error_set(BWT_READ_ONLY, "the value log is open for reading only");
	if (rc < 0)
		return rc;
	return len > vlog->config.segment_size ? reserve_alone(vlog, file, off)
	                                       : reserve(vlog, stream, len, file, off);
}

/* The pinned @file reaches to @end: as far as vlog_unlink() will find it, whatever failed in it. */
static void count_bytes(struct vlog *vlog, struct vlog_file *file, uint64_t end)
{
	uint64_t seen = atomic_load_explicit(&file->end, memory_order_relaxed);

	end = vlog_round_up(end);
	while (seen < end &&
	       !atomic_compare_exchange_weak_explicit(&file->end, &seen, end, memory_order_relaxed,
	                                              memory_order_relaxed))
		continue;
	if (seen < end)
		atomic_fetch_add_explicit(&vlog->file_bytes, end - seen, memory_order_relaxed);
}

/* V5: nothing refers to it, and the disk may be full of it. Pinned by us alone. */
static void drop_alone(struct vlog *vlog, struct vlog_file *file)
{
	uint64_t number = file->number;

	log_lock(&vlog->lock);
	unpin(file);
	close_file(file);
	log_unlock(&vlog->lock);
	(void)vlog_unlink(vlog, number);
}

int vlog_written(struct vlog *vlog, struct vlog_file *file, uint64_t off, uint64_t len, int rc)
{
	uint64_t size;

	if (rc == BWT_OK) {
		count_bytes(vlog, file, off + len);
		atomic_fetch_add_explicit(&vlog->appended, len, memory_order_relaxed);
		mark_dirty(vlog, file);
		unpin(file);
		return rc;
	}
	if (rc != BWT_FULL && rc != BWT_INVALID)
		rc = fail(vlog, rc);
	if (sys_file_size(file->fd, &size) == BWT_OK)
		count_bytes(vlog, file, size);
	if (len > vlog->config.segment_size)
		drop_alone(vlog, file);
	else
		unpin(file);
	return rc;
}

void vlog_end_moves(struct vlog *vlog)
{
	log_lock(&vlog->lock);
	atomic_store_explicit(&vlog->active[VLOG_MOVED], NULL, memory_order_seq_cst);
	log_unlock(&vlog->lock);
}

/* --- Appending --- */

static int write_record(int fd, uint64_t off, const struct vlog_record *head, struct bwt_slice stored)
{
	uint8_t together[sizeof *head + ONE_WRITE_MAX];
	int rc;

	if (stored.size <= ONE_WRITE_MAX) {
		memcpy(together, head, sizeof *head);
		if (stored.size > 0)
			memcpy(together + sizeof *head, stored.data, stored.size);
		return sys_file_write(fd, together, sizeof *head + stored.size, off);
	}
	rc = sys_file_write(fd, head, sizeof *head, off);
	return rc < 0 ? rc : sys_file_write(fd, stored.data, stored.size, off + sizeof *head);
}

/* A value as it is, or @packed, into the room that is made for it; @head says how much that is. */
static int append(struct vlog *vlog, struct vlog_record *head, struct bwt_slice value,
                  const struct vlog_packed *packed, struct value_ref *ref)
{
	uint64_t off = 0, len = vlog_round_up(sizeof *head + head->size);
	struct vlog_file *file = NULL;
	int rc;

	head->head_crc = vlog_head_crc(head);
	rc = vlog_reserve(vlog, VLOG_FRESH, len, &file, &off);
	if (rc != BWT_OK)
		return rc;
	BWT_ASSERT(file != NULL);
	if (packed == NULL)
		rc = write_record(file->fd, off, head, value);
	else if (packed->stored != NULL)
		rc = write_record(file->fd, off, head,
		                  (struct bwt_slice){packed->stored, packed->size});
	else
		rc = sys_file_write(file->fd, head, sizeof *head, off);
	if (rc == BWT_OK && packed != NULL && packed->stored == NULL)
		rc = vlog_packed_write(packed, file->fd, off + sizeof *head);
	if (rc == BWT_OK)
		*ref = (struct value_ref){.segment = (uint32_t)file->number,
		                          .packed = packed != NULL ? packed->size : 0,
		                          .offset = off,
		                          .size = (uint32_t)value.size,
		                          .crc = head->crc};
	return vlog_written(vlog, file, off, len, rc);
}

int vlog_append(struct vlog *vlog, uint32_t tree, uint32_t hash, struct bwt_slice value,
                enum pack_codec codec, struct value_ref *ref)
{
	struct vlog_record head = {
		.magic = VLOG_MAGIC,
		.tree = tree,
		.hash = hash,
		.store_id = vlog->config.store_id,
	};
	struct vlog_packed packed;
	int rc;

	if (value.size > BWT_VALUE_MAX)
		return error_set(BWT_TOO_BIG, "a value of %zu bytes", value.size);
	if (codec != PACK_NONE && vlog_pack(vlog, codec, value, &packed) == BWT_OK) {
		head.magic = VLOG_MAGIC_PACKED;
		head.size = packed.size;
		head.crc = packed.crc;
		rc = append(vlog, &head, value, &packed, ref);
		vlog_packed_free(vlog, &packed);
		return rc;
	}
	head.size = (uint32_t)value.size;
	head.crc = crc32c(0, value.data, value.size);
	return append(vlog, &head, value, NULL, ref);
}

/* --- Syncing --- */

/* The batch before this one is over: close what it left clean (V3). Lock held. */
static void close_clean(struct vlog *vlog)
{
	for (struct vlog_file *file = vlog->files; file != NULL; file = file->next) {
		file->in_batch = false;
		if (idle(vlog, file) && atomic_load_explicit(&file->dirty, memory_order_acquire) == 0)
			close_file(file);
	}
}

int vlog_value_syncs(struct vlog *vlog, struct sys_io *ops, unsigned room, unsigned *count)
{
	int rc;

	*count = 0;
	/* SEQ_CST and before the records that refer to the values were filled: V2. */
	if (atomic_load_explicit(&vlog->dirty_files, memory_order_seq_cst) == 0)
		return BWT_OK;
	log_lock(&vlog->lock);
	rc = failed(vlog); /* V6: who closes files syncs them by the same descriptor, under the lock */
	if (rc == BWT_OK)
		close_clean(vlog);
	for (struct vlog_file *file = vlog->files; file != NULL && rc == BWT_OK; file = file->next) {
		if (file->fd < 0 || !take_dirt(vlog, file))
			continue;
		if (*count == room) {
			rc = sys_file_sync(file->fd);
			continue;
		}
		ops[(*count)++] = (struct sys_io){.kind = SYS_IO_SYNC, .fd = file->fd};
		file->in_batch = true;
	}
	log_unlock(&vlog->lock);
	return rc < 0 ? fail(vlog, rc) : rc;
}

/* Sync @files, which are pinned, and unpin them. */
static int sync_pinned(struct vlog_file **files, unsigned count)
{
	int rc = BWT_OK;

	for (unsigned i = 0; i < count; i++) {
		if (rc == BWT_OK)
			rc = sys_file_sync(TEST_FAULT("vlog_sync_shared") ? files[i]->fd
			                                                  : files[i]->sync_fd);
		unpin(files[i]);
	}
	return rc;
}

/*
 * The files stay marked: a flusher that finds one clean would take the word for the deed while the sync still runs
 * here. One whose sync is in a batch may not be done yet, either.
 */
int vlog_sync(struct vlog *vlog)
{
	struct vlog_file *files[VLOG_UNSYNCED_MAX], *next = NULL;
	int rc = failed(vlog);
	bool more = rc == BWT_OK;

	while (more) {
		unsigned count = 0;

		log_lock(&vlog->lock);
		/* Files join the list at its front only. */
		for (next = next == NULL ? vlog->files : next;
		     next != NULL && count < VLOG_UNSYNCED_MAX; next = next->next) {
			if (next->fd < 0 ||
			    (!next->in_batch &&
			     atomic_load_explicit(&next->dirty, memory_order_acquire) == 0))
				continue;
			/* SEQ_CST: as in pin(). */
			atomic_fetch_add_explicit(&next->users, 1, memory_order_seq_cst);
			files[count++] = next;
		}
		log_unlock(&vlog->lock);
		rc = sync_pinned(files, count);
		more = rc == BWT_OK && next != NULL;
	}
	return rc < 0 && failed(vlog) == BWT_OK ? fail(vlog, rc) : rc;
}
