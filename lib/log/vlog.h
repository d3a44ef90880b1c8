/* SPDX-License-Identifier: MIT */
/*
 * vlog.h - large values: append and read
 *
 * Files vlog/<number as 16 hex digits>.vlog, append-only. A record is {struct vlog_record, value},
 * 16-aligned; a compressed value has a head of its own in front of its blocks (pack.h). Appending reserves
 * room by fetch_add and writes in parallel; a new file takes over when the current one is full; a value larger than a segment gets a file of its own. A fresh file
 * is begun at every open, so nothing is ever written into a file of a previous life. What is moved out of
 * old files (db/values.c) goes to files of its own: it has lived long already, and will go on.
 *
 * The live bytes of each file are a cow_table (mem/cow_table.h): they change inside the gate only
 * and are imaged by checkpoints.
 */
#ifndef BWT_LOG_VLOG_H
#define BWT_LOG_VLOG_H

#include <stdbool.h>

#include "bwt.h"
#include "log/pack.h"
#include "page/delta.h"
#include "sys/ring.h"

#define VLOG_MAGIC 0x4c415642u
#define VLOG_MAGIC_PACKED 0x50415642u /* the value is compressed: log/pack.h */

struct vlog_record {
	uint32_t magic;    /* 0x00 */
	uint32_t head_crc; /* 0x04  CRC32C of 0x08..0x20 */
	uint32_t size;     /* 0x08  bytes of the value, or of it compressed: what is stored */
	uint32_t crc;      /* 0x0c  CRC32C of these */
	uint32_t tree;     /* 0x10 */
	uint32_t hash;     /* 0x14  of the key */
	uint64_t store_id; /* 0x18 */
};

static_assert(sizeof(struct vlog_record) == 0x20, "log layout");

struct vlog_config {
	int dir_fd; /* of vlog/; not closed */
	uint64_t store_id;
	uint64_t segment_size;
	uint64_t next_segment; /* first number to use; 0: 1 + the largest that is there */
	bool readonly;
	bool plain; /* no io_uring */
};

struct vlog;

int vlog_open(const struct vlog_config *config, struct vlog **out);
void vlog_close(struct vlog *vlog);
void vlog_abandon(struct vlog *vlog); /* in a forked child */
/**
 * vlog_append - store a value; not durable, not referenced by anything yet
 * @codec:  compress it, if that makes it smaller
 * Returns: BWT_OK; BWT_FULL; BWT_IO (then the store has failed: nothing later may be acknowledged)
 * Blocks:  on the write; never inside the gate
 */
int vlog_append(struct vlog *vlog, uint32_t tree, uint32_t hash, struct bwt_slice value,
                enum pack_codec codec, struct value_ref *ref);
/**
 * vlog_move - store a value once more, beside others that were moved; not durable, not referenced by anything yet
 * @from:   a value that the caller's file holds, or that may be gone by now
 * @to:     out
 * Returns: BWT_OK; BWT_CORRUPT: it is not there any more, or does not have its checksum; else as vlog_append()
 * Blocks:  on reading and writing, in pieces of bounded memory; never inside the gate
 */
int vlog_move(struct vlog *vlog, const struct value_ref *from, uint32_t tree, uint32_t hash,
              struct value_ref *to);
struct vlog_move {
	struct value_ref from;
	uint32_t hash;       /* of the key */
	struct value_ref to; /* out, if rc is BWT_OK */
	int rc;              /* out: BWT_OK, or BWT_CORRUPT as of vlog_move() */
};

/**
 * vlog_move_many - vlog_move() of values of one tree, many at once
 * @moves:  sorted by file and place of from: what lies side by side is read in one piece
 * Returns: BWT_OK: each says for itself what became of it; else as vlog_move(), and none counts as moved
 * Blocks:  as vlog_move()
 */
int vlog_move_many(struct vlog *vlog, uint32_t tree, struct vlog_move *moves, unsigned count);
/** No more values come for now: the next one that is moved begins a new file. */
void vlog_end_moves(struct vlog *vlog);
/** All that was appended before the call is on stable storage. BWT_IO: final, as for vlog_append(). One thread at a time (V6). */
int vlog_sync(struct vlog *vlog);
/**
 * Reads and checks a value into @to (ref->size bytes): BWT_CORRUPT names file and offset; BWT_VERSION: compressed by
 * what this build lacks. Any thread.
 */
int vlog_read(struct vlog *vlog, const struct value_ref *ref, void *to);
struct vlog_read {
	struct value_ref ref;
	void *to; /* ref.size bytes */
	int rc;   /* out: as of vlog_read() */
};

/** vlog_read() of @count values, side by side; their files are open meanwhile. Any thread. */
void vlog_read_many(struct vlog *vlog, struct vlog_read *reads, unsigned count);
/** Checks what is stored of a value (recovery, fsck); bounded memory. */
int vlog_check(struct vlog *vlog, const struct value_ref *ref);
/** Is a value the ref->size bytes at @with? Damage is BWT_CORRUPT, not a difference; bounded memory. */
int vlog_compare(struct vlog *vlog, const struct value_ref *ref, const void *with, bool *equal);
/**
 * vlog_value_syncs - see wal_config.value_syncs: SYNC operations for files with appended, unsynced bytes
 *
 * More files than @room are synced inside.
 * Returns: BWT_OK; or how the value log failed, now or before: what was appended may never be durable. *@count
 *          operations are to be run in either case.
 */
int vlog_value_syncs(struct vlog *vlog, struct sys_io *ops, unsigned room, unsigned *count);
/** Directory and every file there are on stable storage (W5); for recovery. */
int vlog_sync_all(struct vlog *vlog);
uint64_t vlog_file_bytes(const struct vlog *vlog);
/** Bytes of the records that were appended since it was opened, moved ones included; only grows. */
uint64_t vlog_appended(const struct vlog *vlog);
/** The first number not in use. */
uint64_t vlog_next_segment(const struct vlog *vlog);
/** No later append goes to a file with a smaller number: what a value_hold begins at. */
uint64_t vlog_append_floor(struct vlog *vlog);

#define VLOG_TAILS 2u
struct vlog_tails {                  /* where values are appended to */
	uint64_t next;               /* files from this number on are not made yet */
	uint64_t active[VLOG_TAILS]; /* 0: none */
	uint64_t floor;              /* the smallest of them all */
};

/** vlog_tails - to all other files only he appends who has set a value_hold at or below their number before (V7) */
void vlog_tails(struct vlog *vlog, struct vlog_tails *tails);
bool vlog_is_tail(const struct vlog_tails *tails, uint64_t segment);
/** Forget and unlink a file that nothing refers to; names synced later. */
int vlog_unlink(struct vlog *vlog, uint64_t segment);
/** Walk the records of one file: for bwt-dump and bwt-fsck. BWT_CORRUPT where a record head does not check. */
int vlog_walk(struct vlog *vlog, uint64_t segment,
              int (*each)(void *ctx, uint64_t offset, const struct vlog_record *record), void *ctx);
int vlog_list(struct vlog *vlog, int (*each)(void *ctx, uint64_t segment, uint64_t bytes), void *ctx);

#endif
