/* SPDX-License-Identifier: MIT */
/*
 * wal.h - the write-ahead log: reserve, fill, flush, wait
 *
 *   log_tail      next free position; the clock of the store (design.md section 1)
 *   filled        every record below it is filled; known to the flusher only
 *   written_lsn   handed to the operating system
 *   durable_lsn   on stable storage; only ever the end of a record (W1)
 *
 * A record goes: room taken (before the gate), reserved (fetch_add of log_tail), filled, collected
 * by a flusher into its own block buffer, written, durable. There is at most one flusher: whoever
 * waits and finds none becomes it; the others join the next flush. The ring is zero wherever nothing
 * was filled, and a frame's first word is stored last, so the flusher finds the end of what is filled
 * without a hole by walking frames.
 *
 * In persistent memory the segments are mapped. A flusher copies what is filled straight to its place there, past
 * the cache, and one fence makes it durable: no block buffer, no write, no system call.
 */
#ifndef BWT_LOG_WAL_H
#define BWT_LOG_WAL_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/stats.h"
#include "bwt.h"
#include "log/wal_format.h"
#include "sys/map.h"
#include "sys/ring.h"

struct wal_config {
	int dir_fd; /* of wal/; the wal does not close it */
	uint64_t store_id;
	uint64_t segment_size; /* file bytes of a full-grown segment */
	uint32_t ring_size;    /* bytes, a power of two >= 4 * (WAL_PAYLOAD_MAX + 64); 0: 8 MiB */
	bool plain;            /* no io_uring */
	bool catch_sigbus;     /* faults of mapped segments make the log fail */
	bool sync; /* waiters' flushes are durable ones; false: BWT_INTERVAL and BWT_NONE write without
	                           * sync unless wal_flush(durable) asks */
	/* How the log ends so far, from the reader (all 0: a new store). */
	uint64_t end_lsn; /* the log starts here, rounded up to WAL_BLOCK; 0: at WAL_BLOCK */
	uint32_t end_incarnation;
	uint64_t last_seq;
	struct stats *stats;
	/* Values must be durable before the records that refer to them (design.md section 9): called by the
	 * flusher after it collected records; *@count SYNC operations, at most @room, join the batch that makes them
	 * durable. A failure is the log's, for good. */
	int (*value_syncs)(void *ctx, struct sys_io *ops, unsigned room, unsigned *count);
	void (*moved)(void *ctx); /* durable_lsn moved; called by the flusher, must not block; may be NULL */
	/* The ring, or the newest segment, is half full: wake whoever calls wal_flush() and wal_prepare_segment()
	 * in the background; must not block; may be NULL. */
	void (*want_flush)(void *ctx);
	void (*filled)(void *ctx); /* wal_watch(): a record was filled; inside the gate, must not block; may be NULL */
	void (*failed)(void *ctx,
	               int rc); /* once: a write or sync failed, the log is read-only for ever; may be NULL */
	void *ctx;
};

struct wal;

/** Opens the log for appending in a fresh segment with a fresh random incarnation (W3). Creates nothing durable half-way. */
int wal_open(const struct wal_config *config, struct wal **out);
/** Stops; does not flush. Every thread is out. */
void wal_close(struct wal *wal);
void wal_abandon(struct wal *wal); /* in a forked child: close descriptors, touch nothing else */

/** The clock. seq_cst load: snapshots are taken from it (C8). */
uint64_t wal_tail(const struct wal *wal);
uint64_t wal_durable_lsn(const struct wal *wal);
uint64_t wal_written_lsn(const struct wal *wal);
uint32_t wal_incarnation(const struct wal *wal);
const char *wal_engine(const struct wal *wal);
enum sys_media wal_media(const struct wal *wal); /* of the segments: not SYS_MEDIA_FILE: they are mapped */
int wal_failure(const struct wal *wal);          /* BWT_OK, or why the log is read-only */
uint64_t wal_file_bytes(const struct wal *wal);
/** Nothing below this is in the log's files any more; 0: not known. Before anything is released. */
uint64_t wal_first_lsn(const struct wal *wal);

struct wal_payload { /* up to three pieces laid one after another; their CRC is taken before the reservation */
	uint8_t type;
	unsigned count;
	struct bwt_slice part[3];
	uint32_t frame_len; /* set by wal_payload_prepare() */
	uint32_t crc;       /* set by wal_payload_prepare() */
};

/** Computes size and CRC; every part stays untouched until wal_fill(). At most WAL_PAYLOAD_MAX bytes in all. */
void wal_payload_prepare(struct wal_payload *payload);

/**
 * wal_room_take - credits for @bytes of log (W7)
 * Returns: BWT_OK; BWT_FULL: no space for the next segment, nothing was taken, ask again later (releasing
 *          segments by two checkpoints helps); BWT_TOO_BIG: more than the ring; the log's failure
 * Blocks:  while it makes a segment that nobody prepared; until a flush has emptied enough of the ring, flushing itself; never call inside the gate
 */
int wal_room_take(struct wal *wal, uint64_t bytes);
/** The same for deletes and dropped trees: may use the last part of the log's files when the disk is full. */
int wal_room_take_reserve(struct wal *wal, uint64_t bytes);
void wal_room_return(struct wal *wal, uint64_t bytes); /* credits that were not reserved */

/** Inside the gate, out of credits taken before; wait-free. Returns the record's LSN. */
uint64_t wal_reserve(struct wal *wal, uint32_t len);
void wal_fill(struct wal *wal, uint64_t lsn,
              const struct wal_payload *payload); /* frame_len bytes were reserved */
void wal_fill_pad(struct wal *wal, uint64_t lsn, uint32_t len);

/**
 * wal_watch - have config.filled called, once, by who fills the next record
 *
 * For one who sleeps while the log is at rest: call it, then compare durable_lsn with log_tail, then sleep. Either a
 * record is seen there, or its filler calls.
 */
void wal_watch(struct wal *wal);

/**
 * wal_wait - durable_lsn has reached @lsn on return
 * Returns: BWT_OK; the log's failure; BWT_INVALID when @lsn lies beyond log_tail; BWT_FULL only on file systems
 *          where overwriting takes space (the records stay queued, a later call writes them)
 * Blocks:  on at most two flushes and on records before @lsn that are not filled yet; flushes if nobody else does
 */
int wal_wait(struct wal *wal, uint64_t lsn);
/** Hand everything filled so far to the system; @durable: with sync. The background's call; joins a flush that runs. */
int wal_flush(struct wal *wal, bool durable);

/** Create and zero-fill the next segment if it will be needed soon. For a background thread; the flusher does it itself otherwise. */
int wal_prepare_segment(struct wal *wal);
/** Have at least one file in reserve, of the least size: the next opening needs one, on a full disk too. */
int wal_keep_spare(struct wal *wal);
/** Segments wholly below @lsn are not needed any more: recycled or unlinked. */
int wal_release(struct wal *wal, uint64_t lsn);

#endif
