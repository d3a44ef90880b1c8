/* SPDX-License-Identifier: MIT */
/*
 * vlog_read.c - reading values: into the caller's memory, many at once, or a piece at a time
 *
 * A value goes from the file into the memory that it is for, and nowhere else. Where it is only looked at, it
 * goes by in pieces, so that memory does not depend on its size.
 *
 * A compressed value goes through a packer's buffer, a block at a time (vlog_packed.c).
 *
 * Many values are read by one batch of a ring. A ring serves one batch at a time, so there are some: readers take
 * one that is free, and where all are in use they read one value after another.
 *
 *   VR1  A ring is used by the thread that took its `taken` from 0 to 1; its file descriptor lives as long as the
 *        value log, so a forked child finds all of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "log/vlog_private.h"
#include "sys/file.h"

#define STEP ((size_t)256 << 10)         /* bytes of a value in memory that is only looked at */
#define PACKED_MAX ((uint32_t)256 << 10) /* compressed bytes of one value of a batch */

/* --- Rings --- */

static bool take(struct vlog_ring *ring)
{
	uint32_t none = 0;

	/* ACQUIRE: what the last batch left in the ring; pairs with vlog_ring_give(). */
	return atomic_compare_exchange_strong_explicit(&ring->taken, &none, 1, memory_order_acquire,
	                                               memory_order_relaxed);
}

void vlog_ring_give(struct vlog_ring *ring)
{
	atomic_store_explicit(&ring->taken, 0, memory_order_release);
}

/* Made where none was. */
struct vlog_ring *vlog_ring_take(struct vlog *vlog)
{
	for (unsigned i = 0; i < VLOG_RINGS_MAX; i++) {
		struct vlog_ring *ring = &vlog->rings[i];

		if (atomic_load_explicit(&ring->taken, memory_order_relaxed) != 0 || !take(ring))
			continue;
		if (ring->ring != NULL ||
		    sys_ring_new(vlog->config.plain, NULL, 0, &ring->ring) == BWT_OK)
			return ring;
		vlog_ring_give(ring);
		return NULL;
	}
	return NULL;
}

void vlog_rings_close(struct vlog *vlog, bool in_child)
{
	for (unsigned i = 0; i < VLOG_RINGS_MAX; i++) {
		struct vlog_ring *ring = &vlog->rings[i];

		if (ring->ring == NULL)
			continue;
		if (in_child) {
			sys_ring_abandon(ring->ring);
		} else {
			sys_ring_free(ring->ring);
			ring->ring = NULL;
		}
	}
}

/* --- Whole values --- */

int vlog_bad_value(const struct value_ref *ref)
{
	return error_set(BWT_CORRUPT,
	                 "%016" PRIx32 ".vlog at offset %" PRIu64 ": the value of %" PRIu32
	                 " bytes does not match its checksum",
	                 ref->segment, ref->offset, ref->size);
}

static int check_bytes(const struct value_ref *ref, const void *bytes)
{
	return crc32c(0, bytes, ref->size) == ref->crc ? BWT_OK : vlog_bad_value(ref);
}

static int read_from(struct vlog *vlog, int fd, const struct value_ref *ref, void *to)
{
	const struct vlog_sink sink = {.to = to};
	int rc;

	if (ref->packed != 0)
		return vlog_unpack_file(vlog, ref, fd, &sink);
	rc = sys_file_read(fd, to, ref->size, ref->offset + sizeof(struct vlog_record));
	return rc < 0 ? rc : check_bytes(ref, to);
}

int vlog_read(struct vlog *vlog, const struct value_ref *ref, void *to)
{
	struct vlog_opened opened;
	int rc = vlog_open_file(vlog, ref, &opened);

	if (rc < 0)
		return rc;
	rc = read_from(vlog, opened.fd, ref, to);
	vlog_close_file(&opened);
	return rc;
}

/* Memory for the compressed bytes of those values of a batch that are not too large for that; NULL: there are none. */
static uint8_t *packed_room(const struct vlog_read *reads, unsigned count)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += reads[i].ref.packed <= PACKED_MAX ? reads[i].ref.packed : 0;
	return bytes > 0 ? malloc(bytes) : NULL;
}

struct batch { /* reads that are done at once; operation i is for reads[at[i]] */
	struct vlog_read *reads;
	unsigned used;
	unsigned at[SYS_RING_BATCH_MAX];
	struct sys_io ops[SYS_RING_BATCH_MAX];
	struct vlog_opened opened[SYS_RING_BATCH_MAX];
};

/* The value is read where it belongs, or packed to *@room. What is too large for that is read alone, now. */
static void prepare(struct vlog *vlog, struct batch *batch, unsigned number, uint8_t **room)
{
	struct vlog_read *read = &batch->reads[number];
	struct vlog_opened *opened = &batch->opened[batch->used];
	bool packed = read->ref.packed != 0;

	if (packed && (read->ref.packed > PACKED_MAX || *room == NULL)) {
		read->rc = vlog_read(vlog, &read->ref, read->to);
		return;
	}
	read->rc = vlog_open_file(vlog, &read->ref, opened);
	if (read->rc < 0)
		return;
	batch->ops[batch->used] =
		(struct sys_io){.kind = SYS_IO_READ,
	                        .fd = opened->fd,
	                        .data = packed ? *room : read->to,
	                        .size = value_ref_stored(&read->ref),
	                        .off = read->ref.offset + sizeof(struct vlog_record)};
	batch->at[batch->used++] = number;
	if (packed)
		*room += read->ref.packed;
}

/* One batch: the files of all of them are open while it runs. */
static void read_batch(struct vlog *vlog, struct sys_ring *ring, struct vlog_read *reads,
                       unsigned count)
{
	struct batch batch = {.reads = reads};
	uint8_t *bytes = packed_room(reads, count), *room = bytes;

	for (unsigned i = 0; i < count; i++)
		prepare(vlog, &batch, i, &room);
	if (batch.used > 0)
		(void)sys_ring_run(ring, batch.ops, batch.used); /* each says for itself */
	for (unsigned i = 0; i < batch.used; i++) {
		struct vlog_read *read = &reads[batch.at[i]];

		vlog_close_file(&batch.opened[i]);
		if (batch.ops[i].rc < 0)
			read->rc = batch.ops[i].rc;
		else if (read->ref.packed != 0)
			read->rc = vlog_unpack_bytes(vlog, &read->ref, batch.ops[i].data, read->to);
		else
			read->rc = check_bytes(&read->ref, read->to);
	}
	free(bytes);
}

void vlog_read_many(struct vlog *vlog, struct vlog_read *reads, unsigned count)
{
	struct vlog_ring *ring = count > 1 ? vlog_ring_take(vlog) : NULL;

	for (unsigned i = 0; i < count && ring == NULL; i++)
		reads[i].rc = vlog_read(vlog, &reads[i].ref, reads[i].to);
	for (unsigned i = 0, batch; i < count && ring != NULL; i += batch) {
		batch = count - i < SYS_RING_BATCH_MAX ? count - i : SYS_RING_BATCH_MAX;
		read_batch(vlog, ring->ring, reads + i, batch);
	}
	if (ring != NULL)
		vlog_ring_give(ring);
}

/* --- In pieces --- */

struct pieces { /* what the bytes are for */
	uint32_t crc;
	const uint8_t *same; /* what they should be, or NULL */
	bool equal;
};

static int go_through(int fd, const struct value_ref *ref, uint8_t *buffer, struct pieces *pieces)
{
	uint64_t off = ref->offset + sizeof(struct vlog_record);
	size_t done = 0, size = value_ref_stored(ref);

	for (size_t step; done < size; done += step) {
		int rc;

		step = size - done < STEP ? size - done : STEP;
		rc = sys_file_read(fd, buffer, step, off + done);
		if (rc < 0)
			return rc;
		pieces->crc = crc32c(pieces->crc, buffer, step);
		if (pieces->same != NULL && memcmp(buffer, pieces->same + done, step) != 0)
			pieces->equal = false;
	}
	return pieces->crc == ref->crc ? BWT_OK : vlog_bad_value(ref);
}

/* What is stored at @ref is what it says: the record's head, and the size of a compressed value. */
static int check_head(struct vlog *vlog, int fd, const struct value_ref *ref)
{
	struct vlog_record head;
	struct pack_head pack = {.size = ref->size};
	int rc = sys_file_read(fd, &head, sizeof head, ref->offset);

	if (rc == BWT_OK && ref->packed >= sizeof pack)
		rc = sys_file_read(fd, &pack, sizeof pack, ref->offset + sizeof head);
	if (rc < 0)
		return rc;
	if (!vlog_head_valid(vlog, &head) || head.size != value_ref_stored(ref) ||
	    head.crc != ref->crc || (head.magic == VLOG_MAGIC_PACKED) != (ref->packed != 0) ||
	    pack.size != ref->size || (ref->packed != 0 && ref->packed < sizeof pack))
		return error_set(BWT_CORRUPT,
		                 "%016" PRIx32 ".vlog at offset %" PRIu64
		                 ": no record of the value that refers to it",
		                 ref->segment, ref->offset);
	return BWT_OK;
}

/* A piece of memory as it is needed for the value: no larger than the value for many small ones. */
static uint8_t *piece_new(const struct value_ref *ref)
{
	uint32_t stored = value_ref_stored(ref);

	return malloc(ref->packed == 0 && stored < STEP ? stored + 1u : STEP);
}

static int look_at(struct vlog *vlog, const struct value_ref *ref, bool head, struct pieces *pieces)
{
	uint8_t *buffer = piece_new(ref);
	const struct vlog_sink sink = {
		.same = pieces->same, .equal = &pieces->equal, .scratch = buffer};
	struct vlog_opened opened;
	int rc;

	if (buffer == NULL)
		return error_set(-ENOMEM, "no memory to look at a value");
	rc = vlog_open_file(vlog, ref, &opened);
	if (rc == BWT_OK) {
		if (head)
			rc = check_head(vlog, opened.fd, ref);
		if (rc == BWT_OK && pieces->same != NULL && ref->packed != 0)
			rc = vlog_unpack_file(vlog, ref, opened.fd, &sink);
		else if (rc == BWT_OK)
			rc = go_through(opened.fd, ref, buffer, pieces);
		vlog_close_file(&opened);
	}
	free(buffer);
	return rc;
}

int vlog_check(struct vlog *vlog, const struct value_ref *ref)
{
	struct pieces pieces = {.same = NULL};

	return look_at(vlog, ref, true, &pieces);
}

int vlog_compare(struct vlog *vlog, const struct value_ref *ref, const void *with, bool *equal)
{
	struct pieces pieces = {.same = with, .equal = true};
	int rc = look_at(vlog, ref, false, &pieces);

	if (rc == BWT_OK)
		*equal = pieces.equal;
	return rc;
}
