/* SPDX-License-Identifier: MIT */
/*
 * vlog_private.h - what vlog.c (append), vlog_move.c (copy), vlog_read.c and vlog_file.c (list, unlink) share
 */
#ifndef BWT_LOG_VLOG_PRIVATE_H
#define BWT_LOG_VLOG_PRIVATE_H

#include <stdbool.h>

#include "base/atomic.h"
#include "log/log_lock.h"
#include "log/vlog.h"

#define VLOG_ALIGN 16u
#define VLOG_NAME_SIZE 32u /* bytes of a file's name, final zero included */
#define VLOG_SEGMENT_MIN ((uint64_t)64 << 10)
#define VLOG_BEHIND_MAX 8u   /* files made since an active one was: it is given up (V7) */
#define VLOG_OPEN_MAX 128u   /* files kept open for reading */
#define VLOG_PACKERS_MAX 16u /* kept for the next one who packs or unpacks */
#define VLOG_RINGS_MAX 16u   /* batches of reads at once; more are read without a ring */
#define VLOG_UNSYNCED_MAX                                                                          \
	64u /* files open for appending, synced or not, before append itself syncs */

struct vlog_file { /* appended to in this life; memory is reused, never freed before the end */
	struct vlog_file *next;  /* of the list of all; lock */
	_Atomic(uint64_t) tail;  /* reserved by fetch_add; beyond the limit: full */
	_Atomic(uint64_t) end;   /* bytes of it that vlog->file_bytes has */
	_Atomic(uint32_t) users; /* appenders between pin() and unpin() */
	_Atomic(uint32_t) dirty; /* has bytes written and not synced */
	uint64_t number;
	bool in_batch; /* its sync is in the flusher's last batch, which may still run; lock */
	int fd;        /* -1: this struct is free. Changed under lock while nobody uses it */
	int sync_fd;   /* vlog_sync()'s own, open as long as fd (V6) */
};

struct vlog_slot { /* a file kept open for reading; a file has one possible slot */
	/* number << 16 | SLOT_CLOSING | users; 0: empty; see vlog_file.c */
	_Atomic(uint64_t) word;
	int fd; /* the slot's owner's while the word says SLOT_OPENING */
};

struct vlog_ring { /* for batches of reads; see vlog_read.c VR1 */
	_Atomic(uint32_t) taken;
	struct sys_ring *ring; /* NULL: not made yet */
};

enum vlog_stream { /* what is about as old lies in the same file, and dies at about the same time */
	VLOG_FRESH, /* what commits append */
	VLOG_MOVED, /* what collection moves */
	VLOG_STREAMS
};

static_assert(VLOG_STREAMS == VLOG_TAILS, "one active file each");

struct vlog {
	struct vlog_config config;
	/* appended to now, by stream; NULL: none yet, or none any more. Changed under lock */
	struct vlog_file *_Atomic active[VLOG_STREAMS];
	_Atomic(uint32_t) dirty_files; /* an upper bound: nothing to sync when 0 */
	_Atomic(uint64_t) next_number; /* V7 */
	_Atomic(uint64_t) file_bytes;
	_Atomic(uint64_t) appended; /* bytes of records written in this life */
	_Atomic(int) failure;   /* a write or sync failed for good; RELEASE after failure_text */
	char failure_text[256]; /* of the first failure; failure_lock, then for ever */
	struct log_lock failure_lock; /* a leaf */
	struct log_lock lock;         /* files, active */
	struct vlog_file *files;
	struct vlog_slot slots[VLOG_OPEN_MAX];
	struct vlog_ring rings[VLOG_RINGS_MAX];
	/* Whoever exchanges one for NULL has it. */
	struct packer *_Atomic packers[VLOG_PACKERS_MAX];
};

static inline uint64_t vlog_round_up(uint64_t size)
{
	return (size + VLOG_ALIGN - 1) & ~(uint64_t)(VLOG_ALIGN - 1);
}

void vlog_name(char name[VLOG_NAME_SIZE], uint64_t number);
bool vlog_parse(const char *name, uint64_t *number);
/** vlog_head_valid - magic and CRC, and it is of this store */
bool vlog_head_valid(const struct vlog *vlog, const struct vlog_record *head);
uint32_t vlog_head_crc(const struct vlog_record *head);

/**
 * vlog_reserve - @len bytes at *@off of a file of @stream, which is pinned; of its own, if it is that large
 * Returns: BWT_OK; BWT_READ_ONLY; BWT_FULL, BWT_IO, -ENOMEM
 */
int vlog_reserve(struct vlog *vlog, enum vlog_stream stream, uint64_t len, struct vlog_file **file,
                 uint64_t *off);
/** vlog_written - the end of it: the @len bytes at @off were written, or with @rc < 0 they were not (V5). Returns @rc. */
int vlog_written(struct vlog *vlog, struct vlog_file *file, uint64_t off, uint64_t len, int rc);

struct vlog_opened {            /* a file open for reading */
	struct vlog_slot *slot; /* NULL: the descriptor is ours alone */
	int fd;
};

/** vlog_open_file - BWT_CORRUPT: @ref makes no sense, or there is no such file */
int vlog_open_file(struct vlog *vlog, const struct value_ref *ref, struct vlog_opened *opened);
void vlog_close_file(const struct vlog_opened *opened);
struct vlog_packed { /* a value that is to be stored compressed */
	struct packer *packer;
	enum pack_codec codec;
	struct bwt_slice value;
	uint8_t *bytes; /* memory of its own; NULL: the packer's, or none */
	const uint8_t *stored; /* what is to be stored; NULL: too much for memory, vlog_packed_write() makes it */
	uint32_t size; /* bytes of that */
	uint32_t crc;
};

/**
 * vlog_pack - compress a value
 * @packed:  out; vlog_packed_free() it on BWT_OK
 * Returns:  BWT_OK; BWT_TOO_BIG: it does not become smaller, or there is no memory: store it as it is
 */
int vlog_pack(struct vlog *vlog, enum pack_codec codec, struct bwt_slice value,
              struct vlog_packed *packed);
/** vlog_packed_write - the bytes of one with `stored` NULL, compressed once more, to @fd */
int vlog_packed_write(const struct vlog_packed *packed, int fd, uint64_t off);
void vlog_packed_free(struct vlog *vlog, struct vlog_packed *packed);

struct vlog_sink {        /* where the bytes of a compressed value go */
	void *to;         /* the whole of it, or NULL */
	const void *same; /* what it should be, or NULL; *equal becomes false where it is not */
	bool *equal;
	uint8_t *scratch; /* PACK_BLOCK bytes, if `to` is NULL */
};

/** vlog_unpack_file - the value out of the file that it lies in: BWT_OK, BWT_CORRUPT, BWT_VERSION, BWT_IO, -ENOMEM */
int vlog_unpack_file(struct vlog *vlog, const struct value_ref *ref, int fd,
                     const struct vlog_sink *sink);
/** vlog_unpack_bytes - the same, of the @stored bytes in memory, which are not checked yet */
int vlog_unpack_bytes(struct vlog *vlog, const struct value_ref *ref, const void *stored, void *to);
struct packer *vlog_packer_take(struct vlog *vlog);
void vlog_packer_give(struct vlog *vlog, struct packer *packer);
void vlog_packers_free(struct vlog *vlog);

/** vlog_ring_take - a ring of the caller's alone (VR1), until vlog_ring_give(); NULL: all are in use, or no memory */
struct vlog_ring *vlog_ring_take(struct vlog *vlog);
void vlog_ring_give(struct vlog_ring *ring);
/** vlog_bad_value - BWT_CORRUPT in words: the bytes do not have the checksum of @ref */
int vlog_bad_value(const struct value_ref *ref);
void vlog_slots_init(struct vlog *vlog);
void vlog_slots_close(struct vlog *vlog);
void vlog_rings_close(struct vlog *vlog, bool in_child);

#endif
