/* SPDX-License-Identifier: MIT */
/*
 * wal_private.h - what wal.c, wal_flush.c, wal_segment.c and wal_reader.c share
 *
 * Room in the ring (W7). Let `taken` be the credits that threads hold, and `filled` the bytes that
 * are reserved and not yet collected:
 *
 *   R1  promised >= taken + filled, and promised <= ring size whenever a take succeeds; so
 *       log_tail - collected <= ring size, and a reservation never overtakes the flusher.
 *   R2  collected + promised <= space_end whenever a take succeeds: every record that may be
 *       reserved has a durable, zero-filled segment already. A full disk is met before the gate,
 *       never behind it.
 *   R3  The ring is zero wherever nothing was filled. The flusher zeroes what it collected before
 *       it lowers `promised`; a reserver's fetch_add of log_tail follows, in its modification order,
 *       those of all whose credits came from there. So both counters are read and written in order.
 *
 * Waiting. There is one event count, `moves`: whoever waits for anything but a hole notes its value,
 * tries, and parks on that value. It is counted up by a flusher that leaves while somebody wants its
 * place, by a failure, and, while somebody waits for room, by every fill, by every return of credits and
 * by every collection.
 */
#ifndef BWT_LOG_WAL_PRIVATE_H
#define BWT_LOG_WAL_PRIVATE_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/sweep.h"
#include "log/log_lock.h"
#include "log/wal.h"
#include "log/wal_format.h"
#include "sys/file.h"

#define WAL_ALIGN 16u /* frames begin at multiples of this */
#define WAL_FRAME_MAX ((uint32_t)(WAL_PAYLOAD_MAX + 2 * WAL_ALIGN))
#define WAL_STAGING_SIZE ((size_t)1 << 20)
#define WAL_RING_DEFAULT SWEEP("wal_ring", (uint32_t)8 << 20)
#define WAL_RING_MIN (4u * (WAL_PAYLOAD_MAX + 64u))
#define WAL_SPARE_MAX 4u  /* segments that wait to be used again */
#define WAL_NAME_SIZE 32u /* bytes of a file's name, final zero included */
#define WAL_LEN_MASK 0xffffffu
#define WAL_VERSION 1u /* of segments */

static_assert(WAL_FRAME_MAX + WAL_BLOCK <= WAL_STAGING_SIZE, "a frame fits behind a partial block");
static_assert(WAL_STAGING_SIZE <= WAL_RING_MIN, "one collection never goes round the ring");
static_assert(WAL_FRAME_MAX <= WAL_LEN_MASK, "24 bits hold a length");

struct wal_segment {
	struct wal_segment *next; /* by seq; NULL: the newest */
	uint64_t seq;
	uint64_t start_lsn;
	uint64_t end_lsn;      /* start_lsn + capacity; 0: both copies of the header are damaged */
	uint64_t read_end_lsn; /* nothing at or beyond this is read here */
	uint64_t file_size;
	uint64_t prev_end_lsn;
	uint32_t incarnation;
	uint32_t prev_incarnation;
	int fd;             /* -1: of an earlier life */
	struct sys_map map; /* in persistent memory; base NULL: written through the descriptor */
	bool dirty;         /* the flusher's: written to without sync since the last sync */
};

struct wal_spare {
	uint64_t file_size;
	uint64_t number; /* in its name */
};

enum wal_role {
	WAL_ROLE_FREE = 0,
	WAL_ROLE_HELD = 1,
	WAL_ROLE_WANTED = 2
};

struct wal {
	/* Reservers: fetch_add, seq_cst (the clock, C8). */
	_Alignas(CACHE_LINE_SIZE) _Atomic(uint64_t) tail;

	/* Takers and returners: fetch_add and fetch_sub, seq_cst; the flusher gives back. */
	_Alignas(CACHE_LINE_SIZE) _Atomic(uint64_t) promised;
	/* End of what was copied out of the ring. Writer: the flusher, before it lowers promised. */
	_Atomic(uint64_t) collected;

	/* Hardly ever written, read by every taker and filler. */
	_Alignas(CACHE_LINE_SIZE) uint8_t *ring;
	uint64_t ring_size;
	uint32_t incarnation;
	_Atomic(uint32_t) room_waiters; /* seq_cst, against a fill's or return's own store */
	_Atomic(uint32_t) watched; /* 1: config.filled is to be called; seq_cst, against tail */
	_Atomic(uint64_t) hole; /* where the parked flusher waits, 0: nowhere; seq_cst likewise */
	_Atomic(uint64_t) space_end;  /* segments exist up to here. Writer: holder of create_lock */
	_Atomic(uint64_t) space_soft; /* up to here for ordinary takers */
	_Atomic(int) failure;         /* 0, then once the code; RELEASE after failure_text */

	/* Writer: the flusher. RELEASE; readers ACQUIRE. */
	_Alignas(CACHE_LINE_SIZE) _Atomic(uint64_t) durable;
	_Atomic(uint64_t) written;

	_Alignas(CACHE_LINE_SIZE) _Atomic(uint32_t) role; /* enum wal_role */
	_Atomic(uint32_t) moves;                          /* the event count */
	_Atomic(uint32_t) parked;                         /* threads at or near sys_park(moves) */
	_Atomic(uint32_t) hole_moves;                     /* counted up by the filler of the hole */
	_Atomic(uint32_t) arrivals; /* of threads that wait for durability; a hint, relaxed */

	/* The flusher's alone. */
	uint8_t *staging; /* log bytes from staging_start on; a partial block stays in front */
	uint64_t staging_start;      /* a multiple of WAL_BLOCK */
	struct wal_segment *current; /* holds staging_start; changed under list_lock */
	unsigned dirty_count;        /* segments with dirty set */
	uint32_t arrived;            /* arrivals when the last durable flush began */
	uint32_t group;    /* how many it took along, and found waiting at its end: may all come */
	uint64_t flush_ns; /* how long it took */
	unsigned gather_skip; /* flushes that do not wait for a group, because that was in vain */
	unsigned gather_penalty;
	struct sys_ring *io;

	struct log_lock create_lock; /* one segment is made or released at a time; taken first */
	struct log_lock list_lock;   /* the list, the spares; never held over I/O */
	struct wal_segment *_Atomic oldest;
	struct wal_segment *newest;
	struct wal_spare spares[WAL_SPARE_MAX];
	unsigned spare_count;
	uint64_t next_spare; /* number of the next spare's name */
	uint64_t next_seq;
	uint64_t segment_size; /* file bytes */
	bool direct;           /* O_DIRECT has not been refused */
	enum sys_media media; /* of this life's segments, told by the first; constant from then on */
	_Atomic(uint32_t) faulted; /* set to 1 by a fault in a mapped segment: its bytes are lost */
	_Atomic(uint64_t) prepare_at; /* collected beyond this: ask for the next segment */
	_Atomic(uint64_t) file_bytes; /* of segments and spares */

	struct wal_config config;
	char failure_text[256];
};

static inline uint64_t wal_round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/** wal_frame_crc - @payload_crc goes on over the head; the payload comes first, its CRC is known before the LSN */
static inline uint32_t wal_frame_crc(uint32_t payload_crc, const struct wal_frame *frame)
{
	struct {
		uint64_t lsn;
		uint32_t incarnation, len_type, durable_behind;
	} __attribute__((packed))
	head = {frame->lsn, frame->incarnation, frame->len_type, frame->durable_behind};

	return crc32c(payload_crc, &head, sizeof head);
}

static inline bool wal_mapped(const struct wal *wal)
{
	return wal->media != SYS_MEDIA_FILE;
}

static inline _Atomic(uint32_t) *wal_ring_word(const struct wal *wal, uint64_t lsn)
{
	return (_Atomic(uint32_t) *)(void *)(wal->ring + (lsn & (wal->ring_size - 1)));
}

/* --- wal.c --- */

/** wal_fail - the log is read-only from here on; the words are those of bwt_detail(). Returns the first failure. */
int wal_fail(struct wal *wal, int rc);
/** wal_failed - BWT_OK, or the failure, with its words in bwt_detail() */
int wal_failed(const struct wal *wal);
/** wal_moved - count the event and wake who sleeps on it */
void wal_moved(struct wal *wal);
void wal_park(struct wal *wal, uint32_t seen);

/* --- wal_flush.c --- */

/** wal_flusher_try - become the flusher; if not, the one there is will count an event when it leaves */
bool wal_flusher_try(struct wal *wal);
void wal_flusher_leave(struct wal *wal);

/**
 * wal_flusher_gather - give those whom the last flush satisfied a moment to come with their next record
 *
 * Without it, threads that commit in a loop fall into two halves, each waiting for the other's flush.
 * Threads: the flusher, in wal_wait()
 * Blocks:  for a quarter of the last flush's time and 0.2 ms at most, and only while that helps
 */
void wal_flusher_gather(struct wal *wal);

enum wal_patience {
	WAL_NO_PATIENCE, /* take what is filled */
	WAL_SPIN,        /* give a hole a moment */
	WAL_PARK,        /* sleep on a hole when there is nothing else to do */
};

struct wal_step {
	uint64_t target; /* an LSN that the caller wants collected */
	bool durable;
	enum wal_patience patience;
	bool progress; /* out: something was collected, written or synced */
	bool hole;     /* out: stopped at a record that is not filled */
};

/**
 * wal_flush_step - collect what is filled, write it, in one go
 * Returns: BWT_OK; the log's failure; BWT_FULL: nothing changed and nothing is lost, try again later
 * Threads: the flusher
 */
int wal_flush_step(struct wal *wal, struct wal_step *step);

#ifdef BWT_TEST
/** What every batch of the log did, after it ran: for the shadow disk of the unit tests. NULL: nobody looks. */
extern void (*wal_observer)(const struct sys_io *ops, unsigned count);
#endif

/* --- wal_segment.c --- */

/** The directory as earlier lives left it; then the first segment of this one. */
int wal_segments_open(struct wal *wal);
void wal_segments_close(struct wal *wal, bool only_descriptors);
/** wal_segment_extend - segments up to @need at least, @soft: with the reserve to spare. BWT_FULL is not final. */
int wal_segment_extend(struct wal *wal, uint64_t need, bool soft);
/** wal_segment_at - the segment of this life that holds @lsn; becomes current. Threads: the flusher */
struct wal_segment *wal_segment_at(struct wal *wal, uint64_t lsn);

/* --- wal_mapped.c --- */

/** wal_segment_map - map a segment of a mapped log, page tables filled; -ENOTSUP: its file cannot be mapped so */
int wal_segment_map(struct wal *wal, struct wal_segment *segment);
/** wal_mapped_copy - [from, to) of the ring to its place in the segments, no fence. Threads: the flusher */
void wal_mapped_copy(struct wal *wal, uint64_t from, uint64_t to);
/** wal_mapped_drain - what was copied is durable; BWT_IO: memory failed under it. Threads: the flusher */
int wal_mapped_drain(struct wal *wal);

/* --- wal_head.c --- */

void wal_segment_name(char name[WAL_NAME_SIZE], uint64_t seq);
bool wal_segment_parse(const char *name, uint64_t *seq);
uint32_t wal_head_crc(const struct wal_segment_head *head);
/**
 * wal_segment_head - the header of a segment, from whichever copy checks
 * @seq: from the name; 0: any
 * Returns: BWT_OK; BWT_CORRUPT: no copy checks, or it belongs to another store; BWT_IO
 */
int wal_segment_head(int fd, const char *name, uint64_t seq, uint64_t store_id,
                     struct wal_segment_head *head);

#endif
