/* SPDX-License-Identifier: MIT */
/*
 * wal.c - the write-ahead log: the ring, room in it, reserving, filling, waiting
 *
 * Why: a commit needs a place in the log and must not wait for anybody to get one. The place is one
 * fetch_add; what could make it wait (room in the ring, room on the disk) was settled before.
 *
 *   credits  --wal_room_take()-->  held  --wal_reserve()-->  reserved  --wal_fill()-->  filled
 *   filled   --wal_flush_step()-->  collected (room given back), written, durable
 *   held     --wal_room_return()-->  given back
 *
 * The rules of the ring and of waiting are in wal_private.h; flushing is wal_flush.c, the files are
 * wal_segment.c.
 */
#include "log/wal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/testpoint.h"
#include "log/wal_private.h"
#include "sys/map.h"
#include "sys/thread.h"

#define FRAME_HEAD sizeof(struct wal_frame)
#define MAPPED_SPINS 256u /* looks for the end of another thread's flush before sleeping */

static const uint8_t zeroes[WAL_BLOCK];

/* --- Life --- */

static int make_buffers(struct wal *wal)
{
	size_t size = wal->config.ring_size == 0 ? WAL_RING_DEFAULT : wal->config.ring_size;

	if (size < WAL_RING_MIN || (size & (size - 1)) != 0)
		return error_set(BWT_INVALID, "a log ring of %zu bytes", size);
	wal->ring_size = size;
	wal->ring = sys_reserve(size);
	wal->staging = sys_reserve(WAL_STAGING_SIZE); /* zeroes, which need not be touched for that */
	if (wal->ring == NULL || wal->staging == NULL)
		return error_set(-ENOMEM, "no memory for the log's buffers");
	return sys_ring_new(wal->config.plain, wal->staging, WAL_STAGING_SIZE, &wal->io);
}

static void free_all(struct wal *wal)
{
	sys_ring_free(wal->io);
	if (wal->ring != NULL)
		sys_release(wal->ring, wal->ring_size);
	sys_release(wal->staging, WAL_STAGING_SIZE);
	free(wal);
}

int wal_open(const struct wal_config *config, struct wal **out)
{
	struct wal *wal = aligned_alloc(CACHE_LINE_SIZE, wal_round_up(sizeof *wal, CACHE_LINE_SIZE));
	uint64_t start;
	int rc;

	if (wal == NULL)
		return error_set(-ENOMEM, "no memory for the log");
	memset(wal, 0, sizeof *wal);
	wal->config = *config;
	rc = make_buffers(wal);
	if (rc < 0)
		goto fail;
	start = config->end_lsn == 0 ? WAL_BLOCK : wal_round_up(config->end_lsn, WAL_BLOCK);
	wal->staging_start = start;
	atomic_store_explicit(&wal->tail, start, memory_order_relaxed);
	atomic_store_explicit(&wal->collected, start, memory_order_relaxed);
	atomic_store_explicit(&wal->durable, start, memory_order_relaxed);
	atomic_store_explicit(&wal->written, start, memory_order_relaxed);
	rc = wal_segments_open(wal);
	if (rc < 0)
		goto fail;
	*out = wal;
	return BWT_OK;

fail:
	free_all(wal);
	return rc;
}

void wal_close(struct wal *wal)
{
	if (wal == NULL)
		return;
	wal_segments_close(wal, false);
	free_all(wal);
}

void wal_abandon(struct wal *wal)
{
	sys_ring_abandon(wal->io);
	wal_segments_close(wal, true);
}

/* --- Looking --- */

uint64_t wal_tail(const struct wal *wal)
{
	/* seq_cst: the clock of C8, ordered against the ACQUIRING slots of snapshots. */
	return atomic_load_explicit(&wal->tail, memory_order_seq_cst);
}

uint64_t wal_durable_lsn(const struct wal *wal)
{
	return atomic_load_explicit(&wal->durable, memory_order_acquire);
}

uint64_t wal_written_lsn(const struct wal *wal)
{
	return atomic_load_explicit(&wal->written, memory_order_acquire);
}

uint32_t wal_incarnation(const struct wal *wal)
{
	return wal->incarnation;
}

const char *wal_engine(const struct wal *wal)
{
	return sys_ring_name(wal->io);
}

enum sys_media wal_media(const struct wal *wal)
{
	return wal->media;
}

uint64_t wal_file_bytes(const struct wal *wal)
{
	return atomic_load_explicit(&wal->file_bytes, memory_order_relaxed);
}

int wal_failure(const struct wal *wal)
{
	/* ACQUIRE: pairs with the RELEASE in wal_fail(); failure_text is there. */
	return atomic_load_explicit(&wal->failure, memory_order_acquire);
}

/* --- Failing --- */

int wal_failed(const struct wal *wal)
{
	int rc = wal_failure(wal);

	return rc == BWT_OK ? rc : error_set(rc, "the log has failed: %s", wal->failure_text);
}

/* Callers are the flusher or hold create_lock; list_lock settles which of them was first. */
int wal_fail(struct wal *wal, int rc)
{
	bool first;

	log_lock(&wal->list_lock);
	first = wal_failure(wal) == BWT_OK;
	if (first) {
		snprintf(wal->failure_text, sizeof wal->failure_text, "%s", bwt_detail());
		atomic_store_explicit(&wal->failure, rc, memory_order_release);
	}
	log_unlock(&wal->list_lock);
	if (first && wal->config.failed != NULL)
		wal->config.failed(wal->config.ctx, rc);
	wal_moved(wal);
	return wal_failed(wal);
}

/* --- Waiting for each other --- */

/*
 * SEQ_CST on both sides: the waker counts, then looks for sleepers; a sleeper announces itself, then
 * the kernel compares the count. One of the two sees the other.
 */
void wal_moved(struct wal *wal)
{
	atomic_fetch_add_explicit(&wal->moves, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&wal->parked, memory_order_seq_cst) != 0)
		sys_wake(&wal->moves, UINT32_MAX);
}

void wal_park(struct wal *wal, uint32_t seen)
{
	atomic_fetch_add_explicit(&wal->parked, 1, memory_order_seq_cst);
	sys_park(&wal->moves, seen, 0);
	atomic_fetch_sub_explicit(&wal->parked, 1, memory_order_relaxed);
}

/*
 * Tell those who wait for room that a record was filled or credits came back. SEQ_CST: the caller's
 * seq_cst store (the frame's first word, or promised) comes before this load; a waiter counts itself
 * in before it looks at either. So a waiter that missed the store is seen here, and woken.
 */
static void tell_room_waiters(struct wal *wal)
{
	if (atomic_load_explicit(&wal->room_waiters, memory_order_seq_cst) != 0)
		wal_moved(wal);
}

/* --- Room --- */

/* Is there a segment for @promised bytes beyond what was collected? Read after promised: R2. */
static bool on_disk(const struct wal *wal, uint64_t promised, bool soft, uint64_t *need)
{
	const _Atomic(uint64_t) *limit = soft ? &wal->space_soft : &wal->space_end;

	/* SEQ_CST, after the caller's change of promised: too large an answer is only careful, since
	 * the flusher moves collected before it lowers promised. */
	*need = atomic_load_explicit(&wal->collected, memory_order_seq_cst) + promised;
	return *need <= atomic_load_explicit(limit, memory_order_acquire);
}

void wal_room_return(struct wal *wal, uint64_t bytes)
{
	if (bytes == 0)
		return;
	atomic_fetch_sub_explicit(&wal->promised, bytes, memory_order_seq_cst);
	tell_room_waiters(wal);
}

/* Of those who took @bytes, the one that made the ring half full. */
static void ask_for_flush(struct wal *wal, uint64_t promised, uint64_t bytes)
{
	uint64_t half = wal->ring_size / 2;

	if (promised >= half && promised - bytes < half && wal->config.want_flush != NULL)
		wal->config.want_flush(wal->config.ctx);
}

/* Take without overshooting, so that waiters do not disturb each other. */
static bool take_if_room(struct wal *wal, uint64_t bytes, uint64_t *promised)
{
	uint64_t seen = atomic_load_explicit(&wal->promised, memory_order_seq_cst);

	do {
		if (seen + bytes > wal->ring_size)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&wal->promised, &seen, seen + bytes,
	                                                memory_order_seq_cst, memory_order_seq_cst));
	*promised = seen + bytes;
	return true;
}

/*
 * One attempt of a waiter, which is counted in room_waiters.
 * Returns BWT_OK with *taken set or not, or why there will be no room.
 */
static int room_attempt(struct wal *wal, uint64_t bytes, bool soft, bool *taken)
{
	uint32_t seen = atomic_load_explicit(&wal->moves, memory_order_seq_cst);
	struct wal_step step = {.target = UINT64_MAX, .durable = wal->config.sync};
	uint64_t promised, need;
	int rc = wal_failed(wal);

	if (rc < 0)
		return rc;
	if (take_if_room(wal, bytes, &promised)) {
		*taken = on_disk(wal, promised, soft, &need);
		if (*taken) {
			ask_for_flush(wal, promised, bytes);
			return BWT_OK;
		}
		wal_room_return(wal, bytes);
		return wal_segment_extend(wal, need, soft);
	}
	if (wal_flusher_try(wal)) {
		rc = wal_flush_step(wal, &step);
		wal_flusher_leave(wal);
		if (rc < 0 || step.progress)
			return rc;
	}
	/* The ring is full of credits held, or of records being filled: their owners tell us. Or there
	 * is a flusher, which tells us when it leaves. */
	wal_park(wal, seen);
	return BWT_OK;
}

static int room_wait(struct wal *wal, uint64_t bytes, bool soft)
{
	bool taken = false;
	int rc;

	atomic_fetch_add_explicit(&wal->room_waiters, 1, memory_order_seq_cst);
	do
		rc = room_attempt(wal, bytes, soft, &taken);
	while (rc == BWT_OK && !taken);
	atomic_fetch_sub_explicit(&wal->room_waiters, 1, memory_order_relaxed);
	return rc;
}

static int room_take(struct wal *wal, uint64_t bytes, bool soft)
{
	uint64_t promised, need;
	int rc = wal_failed(wal);

	if (rc < 0)
		return rc;
	if (bytes > wal->ring_size)
		return error_set(BWT_TOO_BIG, "%llu bytes of log at once, of a ring of %llu",
		                 (unsigned long long)bytes, (unsigned long long)wal->ring_size);
	promised = atomic_fetch_add_explicit(&wal->promised, bytes, memory_order_seq_cst) + bytes;
	if (promised > wal->ring_size || !on_disk(wal, promised, soft, &need)) {
		wal_room_return(wal, bytes);
		return room_wait(wal, bytes, soft);
	}
	ask_for_flush(wal, promised, bytes);
	return BWT_OK;
}

int wal_room_take(struct wal *wal, uint64_t bytes)
{
	return room_take(wal, bytes, true);
}

int wal_room_take_reserve(struct wal *wal, uint64_t bytes)
{
	return room_take(wal, bytes, false);
}

/* --- Reserving and filling --- */

void wal_payload_prepare(struct wal_payload *payload)
{
	size_t size = 0;
	uint32_t crc = 0;

	for (unsigned i = 0; i < payload->count; i++) {
		crc = crc32c(crc, payload->part[i].data, payload->part[i].size);
		size += payload->part[i].size;
	}
	BWT_CHECK(size <= WAL_PAYLOAD_MAX);
	payload->frame_len = (uint32_t)wal_round_up(FRAME_HEAD + size, WAL_ALIGN);
	payload->crc = crc32c(crc, zeroes, payload->frame_len - FRAME_HEAD - size);
}

uint64_t wal_reserve(struct wal *wal, uint32_t len)
{
	BWT_ASSERT(len >= 2 * WAL_ALIGN && len % WAL_ALIGN == 0 && len <= WAL_FRAME_MAX);
	/* SEQ_CST: the clock; and it hands on, reserver to reserver, that the ring is zero here (R3). */
	return atomic_fetch_add_explicit(&wal->tail, len, memory_order_seq_cst);
}

static void ring_write(struct wal *wal, uint64_t lsn, const void *data, size_t size)
{
	uint64_t off = lsn & (wal->ring_size - 1);
	size_t first = wal->ring_size - off < size ? (size_t)(wal->ring_size - off) : size;

	if (size == 0)
		return;
	memcpy(wal->ring + off, data, first);
	memcpy(wal->ring, (const uint8_t *)data + first, size - first);
}

/* The head, its first word last: with it the record is filled. The payload is in the ring. */
static void seal(struct wal *wal, uint64_t lsn, uint8_t type, uint32_t len, uint32_t payload_crc)
{
	struct wal_frame frame = {.lsn = lsn, .incarnation = wal->incarnation};
	/* A lower bound of what is durable is as true; ACQUIRE only to be near it. */
	uint64_t behind = (lsn - wal_durable_lsn(wal)) / WAL_ALIGN;

	frame.len_type = len | (uint32_t)type << 24;
	frame.durable_behind = behind < UINT32_MAX ? (uint32_t)behind : UINT32_MAX;
	frame.crc = wal_frame_crc(payload_crc, &frame);
	ring_write(wal, lsn + sizeof frame.len_type, &frame.crc, FRAME_HEAD - sizeof frame.len_type);
	TEST_YIELD("wal_fill");
	/* SEQ_CST: RELEASE for the flusher's load of the word, and before the loads of room_waiters
	 * and hole: see tell_room_waiters(); the flusher stores hole before it looks at the word. */
	atomic_store_explicit(wal_ring_word(wal, lsn), frame.len_type, memory_order_seq_cst);
	tell_room_waiters(wal);
	if (atomic_load_explicit(&wal->hole, memory_order_seq_cst) == lsn) {
		atomic_fetch_add_explicit(&wal->hole_moves, 1, memory_order_release);
		sys_wake(&wal->hole_moves, 1);
	}
	/* SEQ_CST, after the reservation's fetch_add of the tail: see wal_watch(). */
	if (atomic_load_explicit(&wal->watched, memory_order_seq_cst) != 0 &&
	    atomic_exchange_explicit(&wal->watched, 0, memory_order_seq_cst) != 0 &&
	    wal->config.filled != NULL)
		wal->config.filled(wal->config.ctx);
}

void wal_fill(struct wal *wal, uint64_t lsn, const struct wal_payload *payload)
{
	uint64_t at = lsn + FRAME_HEAD;

	for (unsigned i = 0; i < payload->count; i++) {
		ring_write(wal, at, payload->part[i].data, payload->part[i].size);
		at += payload->part[i].size;
	}
	seal(wal, lsn, payload->type, payload->frame_len, payload->crc);
}

void wal_fill_pad(struct wal *wal, uint64_t lsn, uint32_t len)
{
	uint32_t crc = 0;

	/* The ring is zero here (R3), and so is the payload. */
	for (size_t left = len - FRAME_HEAD, step; left > 0; left -= step) {
		step = left < sizeof zeroes ? left : sizeof zeroes;
		crc = crc32c(crc, zeroes, step);
	}
	seal(wal, lsn, WAL_PAD, len, crc);
}

void wal_watch(struct wal *wal)
{
	/* SEQ_CST: the caller loads the tail after this. A reservation that it does not see there comes after this
	 * store, and its filler loads it. */
	atomic_store_explicit(&wal->watched, 1, memory_order_seq_cst);
}

/* --- Durability --- */

/* As the flusher: one flush, unless @lsn became durable meanwhile. */
static int flush_for(struct wal *wal, uint64_t lsn)
{
	struct wal_step step = {.target = lsn, .durable = true, .patience = WAL_PARK};
	int rc = BWT_OK;

	if (wal_durable_lsn(wal) < lsn) {
		wal_flusher_gather(wal);
		rc = wal_flush_step(wal, &step);
	}
	wal_flusher_leave(wal);
	return rc;
}

/*
 * Until an event after @seen. A flush of mapped segments is over before a thread would be asleep, so there the
 * eyes stay open for a while: the flusher leaves with an event, for this thread has wanted its place.
 */
static void wait_event(struct wal *wal, uint32_t seen)
{
	for (unsigned spins = 0; wal_mapped(wal) && spins < MAPPED_SPINS; spins++) {
		if (atomic_load_explicit(&wal->moves, memory_order_acquire) != seen)
			return;
		cpu_relax();
	}
	wal_park(wal, seen);
}

static int wait_for(struct wal *wal, uint64_t lsn)
{
	int rc;

	do {
		/* Noted before anything is looked at: an event after this lets nobody sleep. */
		uint32_t seen = atomic_load_explicit(&wal->moves, memory_order_seq_cst);

		if (wal_durable_lsn(wal) >= lsn)
			return BWT_OK;
		rc = wal_failed(wal);
		if (rc < 0)
			break;
		if (wal_flusher_try(wal))
			rc = flush_for(wal, lsn);
		else
			wait_event(wal, seen);
	} while (rc == BWT_OK);
	return rc;
}

int wal_wait(struct wal *wal, uint64_t lsn)
{
	if (wal_durable_lsn(wal) >= lsn)
		return BWT_OK;
	if (lsn > wal_tail(wal))
		return error_set(BWT_INVALID, "LSN %llu lies beyond the end of the log",
		                 (unsigned long long)lsn);
	atomic_fetch_add_explicit(&wal->arrivals, 1, memory_order_relaxed);
	return wait_for(wal, lsn);
}

int wal_flush(struct wal *wal, bool durable)
{
	struct wal_step step = {.durable = durable, .patience = WAL_SPIN};
	int rc;

	step.target = wal_tail(wal);
	for (;;) {
		uint32_t seen = atomic_load_explicit(&wal->moves, memory_order_seq_cst);

		rc = wal_failed(wal);
		if (rc < 0)
			return rc;
		if ((durable ? wal_durable_lsn(wal) : wal_written_lsn(wal)) >= step.target)
			return BWT_OK;
		if (!wal_flusher_try(wal)) {
			wal_park(wal, seen);
			continue;
		}
		rc = wal_flush_step(wal, &step);
		wal_flusher_leave(wal);
		if (rc < 0 || step.hole)
			return rc;
	}
}
