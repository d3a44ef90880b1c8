/* SPDX-License-Identifier: MIT */
/*
 * vlog_read.c - reading values: into the caller's memory, many at once, or a piece at a time
 *
 * A value goes from the file into the memory that it is for, and nowhere else. Where it is only looked at, it
 * goes by in pieces, so that memory does not depend on its size.
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

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "log/vlog_private.h"
#include "sys/file.h"

#define STEP ((size_t)256 << 10) /* bytes of a value in memory that is only looked at */

/* --- Rings --- */

static bool take(struct vlog_ring *ring)
{
	uint32_t none = 0;

	/* ACQUIRE: what the last batch left in the ring; pairs with give_ring(). */
	return atomic_compare_exchange_strong_explicit(&ring->taken, &none, 1, memory_order_acquire,
	                                               memory_order_relaxed);
}

static void give_ring(struct vlog_ring *ring)
{
	atomic_store_explicit(&ring->taken, 0, memory_order_release);
}

/* A ring of ours alone, made where none was; NULL: all are in use, or there is no memory for another. */
static struct vlog_ring *take_ring(struct vlog *vlog)
{
	for (unsigned i = 0; i < VLOG_RINGS_MAX; i++) {
		struct vlog_ring *ring = &vlog->rings[i];

		if (atomic_load_explicit(&ring->taken, memory_order_relaxed) != 0 || !take(ring))
			continue;
		if (ring->ring != NULL ||
		    sys_ring_new(vlog->config.plain, NULL, 0, &ring->ring) == BWT_OK)
			return ring;
		give_ring(ring);
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
	                 "%016" PRIx64 ".vlog at offset %" PRIu64 ": the value of %" PRIu32
	                 " bytes does not match its checksum",
	                 ref->segment, ref->offset, ref->size);
}

static int check_bytes(const struct value_ref *ref, const void *bytes)
{
	return crc32c(0, bytes, ref->size) == ref->crc ? BWT_OK : vlog_bad_value(ref);
}

int vlog_read(struct vlog *vlog, const struct value_ref *ref, void *to)
{
	struct vlog_opened opened;
	int rc = vlog_open_file(vlog, ref, &opened);

	if (rc < 0)
		return rc;
	rc = sys_file_read(opened.fd, to, ref->size, ref->offset + sizeof(struct vlog_record));
	vlog_close_file(&opened);
	return rc < 0 ? rc : check_bytes(ref, to);
}

/* One batch: the files of all of them are open while it runs. */
static void read_batch(struct vlog *vlog, struct sys_ring *ring, struct vlog_read *reads,
                       unsigned count)
{
	struct vlog_opened opened[SYS_RING_BATCH_MAX];
	struct sys_io ops[SYS_RING_BATCH_MAX];
	unsigned at[SYS_RING_BATCH_MAX], used = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct value_ref *ref = &reads[i].ref;

		reads[i].rc = vlog_open_file(vlog, ref, &opened[used]);
		if (reads[i].rc < 0)
			continue;
		ops[used] = (struct sys_io){.kind = SYS_IO_READ,
		                            .fd = opened[used].fd,
		                            .data = reads[i].to,
		                            .size = ref->size,
		                            .off = ref->offset + sizeof(struct vlog_record)};
		at[used++] = i;
	}
	if (used > 0)
		(void)sys_ring_run(ring, ops, used); /* each says for itself */
	for (unsigned i = 0; i < used; i++) {
		struct vlog_read *read = &reads[at[i]];

		vlog_close_file(&opened[i]);
		read->rc = ops[i].rc < 0 ? ops[i].rc : check_bytes(&read->ref, read->to);
	}
}

void vlog_read_many(struct vlog *vlog, struct vlog_read *reads, unsigned count)
{
	struct vlog_ring *ring = count > 1 ? take_ring(vlog) : NULL;

	for (unsigned i = 0; i < count && ring == NULL; i++)
		reads[i].rc = vlog_read(vlog, &reads[i].ref, reads[i].to);
	for (unsigned i = 0, batch; i < count && ring != NULL; i += batch) {
		batch = count - i < SYS_RING_BATCH_MAX ? count - i : SYS_RING_BATCH_MAX;
		read_batch(vlog, ring->ring, reads + i, batch);
	}
	if (ring != NULL)
		give_ring(ring);
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
	size_t done = 0;

	for (size_t step; done < ref->size; done += step) {
		int rc;

		step = ref->size - done < STEP ? ref->size - done : STEP;
		rc = sys_file_read(fd, buffer, step, off + done);
		if (rc < 0)
			return rc;
		pieces->crc = crc32c(pieces->crc, buffer, step);
		if (pieces->same != NULL && memcmp(buffer, pieces->same + done, step) != 0)
			pieces->equal = false;
	}
	return pieces->crc == ref->crc ? BWT_OK : vlog_bad_value(ref);
}

static int check_head(struct vlog *vlog, int fd, const struct value_ref *ref)
{
	struct vlog_record head;
	int rc = sys_file_read(fd, &head, sizeof head, ref->offset);

	if (rc < 0)
		return rc;
	if (!vlog_head_valid(vlog, &head) || head.size != ref->size || head.crc != ref->crc)
		return error_set(BWT_CORRUPT,
		                 "%016" PRIx64 ".vlog at offset %" PRIu64
		                 ": no record of the value that refers to it",
		                 ref->segment, ref->offset);
	return BWT_OK;
}

static int look_at(struct vlog *vlog, const struct value_ref *ref, bool head, struct pieces *pieces)
{
	uint8_t *buffer = malloc(ref->size < STEP ? ref->size + 1u : STEP);
	struct vlog_opened opened;
	int rc;

	if (buffer == NULL)
		return error_set(-ENOMEM, "no memory to look at a value");
	rc = vlog_open_file(vlog, ref, &opened);
	if (rc == BWT_OK) {
		if (head)
			rc = check_head(vlog, opened.fd, ref);
		if (rc == BWT_OK)
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
