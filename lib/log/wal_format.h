/* SPDX-License-Identifier: MIT */
/*
 * wal_format.h - bytes of the write-ahead log
 *
 * The log is one endless stream of bytes; an LSN is a position in it. Files (segments) hold
 * consecutive stretches of it: a segment covers [start_lsn, start_lsn + capacity), the byte at LSN
 * x stands at file offset WAL_HEADER_SIZE + (x - start_lsn). Frames follow each other without
 * regard to segment borders. start_lsn and capacity are multiples of WAL_BLOCK.
 *
 * Names: wal/<seq as 16 hex digits>.wal; recycled and half-made ones are wal/free-<n>.wal, never read. A
 * file gets the name of a segment when all of it is durable, so a segment that is short, or without one
 * good copy of its header, is damaged.
 */
#ifndef BWT_LOG_WAL_FORMAT_H
#define BWT_LOG_WAL_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_BLOCK 4096u
#define WAL_HEADER_SIZE 8192u /* two copies of struct wal_segment_head, at 0 and at 4096 (I11) */
#define WAL_SEGMENT_MIN ((uint64_t)128 << 10) /* file bytes of the first segment; then fourfold */
#define WAL_PAYLOAD_MAX ((uint32_t)512 << 10) /* bytes of one frame's payload */
#define WAL_MAGIC 0x31474f4c54574221ull

struct wal_segment_head {
	uint64_t magic;     /* 0x00 */
	uint32_t crc;       /* 0x08  CRC32C of 0x0c..0x50 */
	uint32_t version;   /* 0x0c  1 */
	uint64_t seq;       /* 0x10  1, 2, 3, ... over the life of the store */
	uint64_t start_lsn; /* 0x18 */
	uint64_t capacity;  /* 0x20  bytes of log; file size is this plus WAL_HEADER_SIZE */
	uint64_t store_id; /* 0x28  random, from the superblock: files of another store are refused */
	uint32_t incarnation;      /* 0x30  of the open that writes here (W3) */
	uint32_t prev_incarnation; /* 0x34  of the predecessor; 0: there is none */
	uint64_t prev_end_lsn; /* 0x38  end of the predecessor's last valid record: nothing beyond is read */
	uint64_t reserved[2]; /* 0x40 */
};

static_assert(sizeof(struct wal_segment_head) == 0x50, "log layout");

enum wal_type {              /* stored: append, never renumber */
	WAL_PAD = 1,         /* no content */
	WAL_OP = 2,          /* one put or delete: struct wal_op */
	WAL_TREE_CREATE = 3, /* u32 tree id, then the name */
	WAL_TREE_DROP = 4,   /* u32 tree id, then the name */
	WAL_TXN = 5,         /* a whole transaction: struct wal_txn */
	WAL_TXN_PART = 6,    /* operations of a large one, without effect: struct wal_txn_part */
	WAL_TXN_COMMIT = 7,  /* its commit: struct wal_txn_commit */
	WAL_TREE_LOAD = 8, /* u32 tree id, then the name: of a tree that images hold already, loaded */
};

struct wal_frame {
	uint32_t len_type; /* 0x00  bits 0-23: bytes of the frame, head included, a multiple of 16;
	                          *       bits 24-31: enum wal_type */
	uint32_t crc; /* 0x04  CRC32C over payload, padding, lsn, incarnation, len_type, durable_behind:
	                          *       the payload first, so that its share is known before the lsn */
	uint64_t lsn;         /* 0x08  its own position */
	uint32_t incarnation; /* 0x10 */
	uint32_t durable_behind; /* 0x14  W4: durable_lsn when filled was lsn - 16 * this; UINT32_MAX: no claim */
	uint8_t payload[]; /* 0x18  payload, zeroes up to len: type decides the exact payload size */
};

static_assert(sizeof(struct wal_frame) == 0x18, "log layout");

struct wal_op {
	uint32_t tree;       /* 0x00 */
	uint8_t flags;       /* 0x04  enum version_flags: TOMBSTONE, VLOG */
	uint8_t reserved;    /* 0x05 */
	uint16_t key_size;   /* 0x06 */
	uint32_t value_size; /* 0x08  stored bytes: the value, or sizeof(struct value_ref) */
	uint8_t bytes[];     /* 0x0c  key, value */
};

static_assert(sizeof(struct wal_op) == 0x0c, "log layout");

struct wal_txn {
	uint32_t count; /* 0x00  operations */
	uint32_t size;  /* 0x04  bytes of them: struct wal_op and its bytes, one after another */
	uint8_t ops[];  /* 0x08 */
};

struct wal_txn_part {
	uint64_t txn;   /* 0x00  number of the transaction, unique in its incarnation */
	uint32_t count; /* 0x08  operations, whole ones */
	uint32_t size;  /* 0x0c  bytes of them */
	uint8_t ops[];  /* 0x10 */
};

struct wal_txn_commit {
	uint64_t txn;       /* 0x00 */
	uint64_t first_lsn; /* 0x08  of its first part */
	uint64_t count;     /* 0x10  operations of all parts */
	uint32_t parts;     /* 0x18 */
	uint32_t reserved;  /* 0x1c  zero */
};

/*
 * wal/readers: who reads the log behind the checkpoints, so that it is kept (wal_keep.h). Two copies, at 0 and at
 * WAL_READERS_COPY_SIZE, written in turn; the one with the higher sequence that checks out counts. All zeroes, or
 * no such file: nobody. Libraries that do not know the file leave it alone, and its readers behind.
 */
#define WAL_READERS_NAME "readers"
#define WAL_READERS_COPY_SIZE ((size_t)20 << 10)
#define WAL_READERS_FILE_SIZE (2 * WAL_READERS_COPY_SIZE)
#define WAL_READERS_MAGIC 0x3172646165525742ull
#define WAL_READERS_VERSION 1u
#define WAL_READER_LOST 1u /* it was cut off: nothing is kept for it */

struct wal_readers_head {
	uint64_t magic;    /* 0x00 */
	uint32_t crc;      /* 0x08  CRC32C of 0x0c to the end of the entries */
	uint32_t version;  /* 0x0c  1 */
	uint64_t store_id; /* 0x10 */
	uint64_t sequence; /* 0x18  1, 2, 3, ... */
	uint32_t count;    /* 0x20  entries that follow */
	uint32_t reserved; /* 0x24  zero */
};

struct wal_reader_entry {
	uint64_t position; /* 0x00  every commit up to here was seen */
	uint64_t floor;    /* 0x08  the log from here on is kept */
	uint32_t flags;    /* 0x10  WAL_READER_LOST */
	uint32_t reserved; /* 0x14  zero */
	char name[256];    /* 0x18  1 to 255 bytes, then zeroes */
};

static_assert(sizeof(struct wal_readers_head) == 0x28, "log layout");
static_assert(sizeof(struct wal_reader_entry) == 0x118, "log layout");
static_assert(sizeof(struct wal_txn) == 0x08, "log layout");
static_assert(sizeof(struct wal_txn_part) == 0x10, "log layout");
static_assert(sizeof(struct wal_txn_commit) == 0x20, "log layout");

#endif
