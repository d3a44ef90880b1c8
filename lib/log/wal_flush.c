/* SPDX-License-Identifier: MIT */
/*
 * wal_flush.c - the flusher: collect what is filled, write it, say what is durable
 *
 * Why: there is no thread for it. Whoever waits and finds no flusher becomes it for one step, which
 * takes along everything that others have filled meanwhile: a group commit without a group leader
 * that anybody depends on.
 *
 *   free --wal_flusher_try()--> held --wal_flusher_try() of another--> wanted
 *   held, wanted --wal_flusher_leave()--> free
 *
 * A step copies the filled records out of the ring into the staging buffer, zeroes the ring behind
 * them and gives the room back at once; then it writes whole blocks out of the staging buffer. Records
 * are collected whole, so every position reached is the end of one (W1). Where segments are mapped it copies
 * to them instead, and one fence takes the place of the write (wal_mapped.c).
 *
 *   F1  One step at a time: no two writes in flight share a block (W2).
 *   F2  The front of the staging buffer is the last, partial block as it was written: writing it
 *       again with more behind it changes no durable byte (W2).
 *   F3  durable moves only after every operation of the step has succeeded in full: the write with its own
 *       sync, the sync of each segment written before without one, the syncs of the values.
 *   F4  What was collected and not written stays in the staging buffer: a full disk (possible here only
 *       where overwriting takes space) loses nothing, and the next step writes it again.
 */
#include <string.h>

#include "base/assert.h"
#include "base/testpoint.h"
#include "log/wal_private.h"
#include "sys/ring.h"
#include "sys/thread.h"

#define HOLE_SPINS 200u /* looks at a hole before leaving or parking */
#define GATHER_SHARE 4u /* a flush gathers for this part of the last one's time at most */
#define GATHER_NS_MAX 200000u
#define GATHER_SKIP_MAX 63u /* flushes without gathering after it was in vain again and again */

#ifdef BWT_TEST
void (*wal_observer)(const struct sys_io *ops, unsigned count);
#endif

/* --- The role --- */

bool wal_flusher_try(struct wal *wal)
{
	uint32_t role = WAL_ROLE_FREE;

	for (;;) {
		/* ACQUIRE: pairs with the flusher before, whose private state we take over. SEQ_CST
		 * against moves: the caller noted it before this. */
		if (role == WAL_ROLE_FREE && atomic_compare_exchange_strong_explicit(
						     &wal->role, &role, WAL_ROLE_HELD,
						     memory_order_seq_cst, memory_order_seq_cst))
			return true;
		if (role == WAL_ROLE_WANTED)
			return false;
		if (role == WAL_ROLE_HELD && atomic_compare_exchange_strong_explicit(
						     &wal->role, &role, WAL_ROLE_WANTED,
						     memory_order_seq_cst, memory_order_seq_cst))
			return false;
	}
}

void wal_flusher_leave(struct wal *wal)
{
	/* Who parks has wanted the role since somebody had it, so nobody else sleeps on this. Waking
	 * in other cases too would let waiters for room that find nothing to do wake each other
	 * for ever. */
	if (atomic_exchange_explicit(&wal->role, WAL_ROLE_FREE, memory_order_seq_cst) ==
	    WAL_ROLE_WANTED)
		wal_moved(wal);
}

/* Threads that came to wait since the last durable flush began. */
static uint32_t came(const struct wal *wal)
{
	return atomic_load_explicit(&wal->arrivals, memory_order_relaxed) - wal->arrived;
}

void wal_flusher_gather(struct wal *wal)
{
	uint64_t deadline, patience_ns = wal->flush_ns / GATHER_SHARE;
	uint32_t before = came(wal);

	if (before >= wal->group ||
	    wal_mapped(wal)) /* a step there costs less than a look at the clock */
		return;
	if (wal->gather_skip > 0) {
		wal->gather_skip--;
		return;
	}
	deadline = sys_now_ns() + (patience_ns < GATHER_NS_MAX ? patience_ns : GATHER_NS_MAX);
	while (came(wal) < wal->group && sys_now_ns() < deadline)
		sys_yield(); /* they may need this processor to come */
	wal->gather_penalty = came(wal) > before ? 0 : 2 * wal->gather_penalty + 1;
	if (wal->gather_penalty > GATHER_SKIP_MAX)
		wal->gather_penalty = GATHER_SKIP_MAX;
	wal->gather_skip = wal->gather_penalty;
}

/* --- Collecting --- */

static uint64_t collected_lsn(const struct wal *wal)
{
	return atomic_load_explicit(&wal->collected, memory_order_relaxed); /* our own stores */
}

/* End of the filled records without a hole that fit into the staging buffer. */
static uint64_t filled_end(struct wal *wal, uint64_t from, bool *hole)
{
	uint64_t limit = wal->staging_start + WAL_STAGING_SIZE;

	*hole = false;
	for (uint64_t lsn = from;;) {
		/* SEQ_CST: ACQUIRE for the record's bytes; and see wal_private.h on waiting. */
		uint32_t word = atomic_load_explicit(wal_ring_word(wal, lsn), memory_order_seq_cst);

		if (word == 0)
			*hole = true;
		if (word == 0 || lsn + (word & WAL_LEN_MASK) > limit)
			return lsn;
		lsn += word & WAL_LEN_MASK;
	}
}

/* Move [from, to) from the ring to the staging buffer, or the mapped segments, leaving zeroes (R3). */
static void copy_out(struct wal *wal, uint64_t from, uint64_t to)
{
	uint8_t *staged = wal->staging + (from - wal->staging_start);
	uint64_t off = from & (wal->ring_size - 1);
	size_t size = (size_t)(to - from);
	size_t first = wal->ring_size - off < size ? (size_t)(wal->ring_size - off) : size;

	if (wal_mapped(wal)) {
		wal_mapped_copy(wal, from, to);
	} else {
		memcpy(staged, wal->ring + off, first);
		memcpy(staged + first, wal->ring, size - first);
	}
	memset(wal->ring + off, 0, first);
	memset(wal->ring, 0, size - first);
}

/* Returns whether anything was collected; *hole: the next record is not filled. */
static bool collect(struct wal *wal, bool *hole)
{
	uint64_t from = collected_lsn(wal);
	uint64_t to = filled_end(wal, from, hole);

	if (to == from)
		return false;
	copy_out(wal, from, to);
	/* This order: collected + promised is never too small (R2). SEQ_CST on promised: RELEASE of
	 * the zeroes (R3), and before the load of room_waiters. */
	atomic_store_explicit(&wal->collected, to, memory_order_seq_cst);
	atomic_fetch_sub_explicit(&wal->promised, to - from, memory_order_seq_cst);
	if (atomic_load_explicit(&wal->room_waiters, memory_order_seq_cst) != 0)
		wal_moved(wal);
	return true;
}

/* Sleep until the record at the end of what was collected is filled. */
static void park_at_hole(struct wal *wal)
{
	uint64_t lsn = collected_lsn(wal);
	uint32_t seen = atomic_load_explicit(&wal->hole_moves, memory_order_acquire);

	/* SEQ_CST, store before load; the filler stores the word before it loads hole: one of the two
	 * sees the other, so the filler wakes us or we do not sleep. */
	atomic_store_explicit(&wal->hole, lsn, memory_order_seq_cst);
	if (atomic_load_explicit(wal_ring_word(wal, lsn), memory_order_seq_cst) == 0)
		sys_park(&wal->hole_moves, seen, 0);
	atomic_store_explicit(&wal->hole, 0, memory_order_relaxed);
}

/* Is there anything to write or sync for this step? */
static bool work_left(const struct wal *wal, const struct wal_step *step)
{
	return collected_lsn(wal) > (step->durable ? wal_durable_lsn(wal) : wal_written_lsn(wal));
}

static void collect_for(struct wal *wal, struct wal_step *step)
{
	for (unsigned spins = 0;;) {
		if (collect(wal, &step->hole))
			step->progress = true;
		if (!step->hole || collected_lsn(wal) >= step->target ||
		    step->patience == WAL_NO_PATIENCE)
			return;
		if (spins++ < HOLE_SPINS) {
			cpu_relax();
			continue;
		}
		/* The records before the hole first: their owners are waiting. */
		if (work_left(wal, step) || step->patience != WAL_PARK)
			return;
		park_at_hole(wal);
	}
}

/* --- Writing --- */

struct batch {
	struct wal *wal;
	struct sys_io ops[SYS_RING_BATCH_MAX];
	unsigned count;
	int rc;     /* the first failure */
	bool final; /* some failure was not a mere lack of space for a direct write */
};

static void batch_run(struct batch *batch)
{
	struct wal *wal = batch->wal;

	if (batch->count == 0)
		return;
	/* Each has its own rc. */
	if (sys_ring_run(wal->io, batch->ops, batch->count) < 0 && TEST_FAULT("wal_retry"))
		(void)sys_ring_run(wal->io, batch->ops, batch->count);
#ifdef BWT_TEST
	if (wal_observer != NULL)
		wal_observer(batch->ops, batch->count);
#endif
	for (unsigned i = 0; i < batch->count; i++) {
		const struct sys_io *op = &batch->ops[i];

		if (op->rc >= 0)
			continue;
		if (batch->rc == BWT_OK)
			batch->rc = op->rc;
		if (op->rc != BWT_FULL || op->kind == SYS_IO_SYNC || !wal->direct)
			batch->final = true;
	}
	batch->count = 0;
}

static struct sys_io *batch_add(struct batch *batch)
{
	if (batch->count == SYS_RING_BATCH_MAX)
		batch_run(batch);
	batch->ops[batch->count] = (struct sys_io){0};
	return &batch->ops[batch->count++];
}

/* The blocks of the staging buffer up to @to, in as many writes as they touch segments. */
static void add_writes(struct batch *batch, uint64_t to, bool durable)
{
	struct wal *wal = batch->wal;
	uint64_t from = wal->staging_start;

	while (from < to) {
		struct wal_segment *segment = wal_segment_at(wal, from);
		uint64_t end = to < segment->end_lsn ? to : segment->end_lsn;
		struct sys_io *op = batch_add(batch);

		op->kind = durable && !TEST_FAULT("wal_skip_sync") ? SYS_IO_WRITE_DURABLE
		                                                   : SYS_IO_WRITE;
		op->fd = segment->fd;
		op->data = wal->staging + (from - wal->staging_start);
		op->size = (size_t)(end - from);
		op->off = WAL_HEADER_SIZE + (from - segment->start_lsn);
		if (TEST_FAULT("wal_short_write"))
			op->size -= WAL_BLOCK;
		if (!durable && !segment->dirty) {
			segment->dirty = true;
			wal->dirty_count++;
		}
		from = end;
	}
}

/* Syncs of segments that were written without: the list is ours to read, their flags too. */
static void add_segment_syncs(struct batch *batch)
{
	struct wal *wal = batch->wal;
	unsigned left = wal->dirty_count;

	if (left == 0)
		return;
	log_lock(&wal->list_lock);
	for (struct wal_segment *s = atomic_load_explicit(&wal->oldest, memory_order_relaxed);
	     s != NULL && left > 0; s = s->next) {
		struct sys_io *op;

		if (!s->dirty)
			continue;
		if (batch->count == SYS_RING_BATCH_MAX) {
			/* Dirty segments are not released, so @s stays. */
			log_unlock(&wal->list_lock);
			batch_run(batch);
			log_lock(&wal->list_lock);
		}
		op = batch_add(batch);
		op->kind = SYS_IO_SYNC;
		op->fd = s->fd;
		left--;
	}
	log_unlock(&wal->list_lock);
}

static void forget_dirty(struct wal *wal)
{
	if (wal->dirty_count == 0)
		return;
	log_lock(&wal->list_lock);
	for (struct wal_segment *s = atomic_load_explicit(&wal->oldest, memory_order_relaxed);
	     s != NULL; s = s->next)
		s->dirty = false;
	log_unlock(&wal->list_lock);
	wal->dirty_count = 0;
}

static void add_value_syncs(struct batch *batch)
{
	struct wal *wal = batch->wal;
	unsigned added;
	int rc;

	if (wal->config.value_syncs == NULL || TEST_FAULT("wal_skip_value_syncs"))
		return;
	if (batch->count > SYS_RING_BATCH_MAX / 2)
		batch_run(batch);
	rc = wal->config.value_syncs(wal->config.ctx, batch->ops + batch->count,
	                             SYS_RING_BATCH_MAX - batch->count, &added);
	batch->count += added;
	if (rc < 0) {
		batch->rc = rc;
		batch->final = true;
	}
}

/* The partial block moves to the front of the staging buffer (F2). */
static void keep_partial_block(struct wal *wal, uint64_t end)
{
	uint64_t start = end & ~(uint64_t)(WAL_BLOCK - 1);

	if (start != wal->staging_start && !wal_mapped(wal))
		memmove(wal->staging, wal->staging + (start - wal->staging_start),
		        (size_t)(end - start));
	wal->staging_start = start;
}

/* A flush that succeeded: itself, and what it wrote. */
static void count_flush(struct wal *wal, uint64_t bytes)
{
	if (wal->config.stats == NULL)
		return;
	stats_add(wal->config.stats, 0, STAT_LOG_FLUSHES, 1);
	stats_add(wal->config.stats, 0, STAT_WAL_WRITTEN_BYTES, bytes);
}

/* Everything of the step succeeded: say so. */
static void advance(struct wal *wal, uint64_t end, bool durable)
{
	keep_partial_block(wal, end);
	/* RELEASE: whoever sees the position sees what made it true. */
	atomic_store_explicit(&wal->written, end, memory_order_release);
	if (!durable)
		return;
	forget_dirty(wal);
	atomic_store_explicit(&wal->durable, end, memory_order_release);
	if (wal->config.moved != NULL)
		wal->config.moved(wal->config.ctx);
}

/* The same where the bytes are in their place already (WM4). A failure is final: what was there is not known. */
static int drain_out(struct wal *wal, bool durable)
{
	struct batch batch = {.wal = wal, .rc = BWT_OK};
	int rc = wal_mapped_drain(wal);

	if (rc == BWT_OK && durable) {
		add_value_syncs(&batch);
		batch_run(&batch);
		rc = batch.rc;
	}
	if (rc < 0)
		return wal_fail(wal, rc);
	count_flush(wal, collected_lsn(wal) - wal_written_lsn(wal));
	advance(wal, collected_lsn(wal), durable);
	return BWT_OK;
}

static int write_out(struct wal *wal, bool durable)
{
	struct batch batch = {.wal = wal, .rc = BWT_OK};
	uint64_t end = collected_lsn(wal);
	uint64_t block_end = wal_round_up(end, WAL_BLOCK);
	uint64_t begun = sys_now_ns();

	if (end > wal_written_lsn(wal)) {
		memset(wal->staging + (end - wal->staging_start), 0, (size_t)(block_end - end));
		if (TEST_FAULT("wal_share_block"))
			memset(wal->staging, 0, (size_t)(wal_written_lsn(wal) - wal->staging_start));
		add_writes(&batch, block_end, durable);
	}
	if (durable && !TEST_FAULT("wal_skip_sync"))
		add_segment_syncs(&batch);
	if (durable)
		add_value_syncs(&batch);
	batch_run(&batch);
	if (batch.rc < 0)
		return batch.final ? wal_fail(wal, batch.rc) : batch.rc;
	count_flush(wal, end > wal_written_lsn(wal) ? block_end - wal->staging_start : 0);
	advance(wal, end, durable);
	wal->flush_ns = sys_now_ns() - begun;
	return BWT_OK;
}

/* Past the middle of the last segment: somebody should make the next one in time. */
static void ask_for_segment(struct wal *wal)
{
	if (collected_lsn(wal) < atomic_load_explicit(&wal->prepare_at, memory_order_relaxed))
		return;
	atomic_store_explicit(&wal->prepare_at, UINT64_MAX, memory_order_relaxed);
	if (wal->config.want_flush != NULL)
		wal->config.want_flush(wal->config.ctx);
}

int wal_flush_step(struct wal *wal, struct wal_step *step)
{
	uint32_t arrivals = atomic_load_explicit(&wal->arrivals, memory_order_relaxed);
	int rc = wal_failed(wal);

	if (rc < 0)
		return rc;
	collect_for(wal, step);
	if (!work_left(wal, step))
		return BWT_OK;
	step->progress = true;
	rc = wal_mapped(wal) ? drain_out(wal, step->durable) : write_out(wal, step->durable);
	if (step->durable) {
		wal->group = came(wal);
		wal->arrived = arrivals;
	}
	ask_for_segment(wal);
	return rc;
}
