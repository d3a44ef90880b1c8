/* SPDX-License-Identifier: MIT */
/*
 * wal_reader.h - the log read back: validated, in LSN order, across segments and incarnations
 *
 * Hostile bytes give BWT_CORRUPT or an earlier end, never a fault. Reads past the page cache after a
 * sync of the files (W5), unless read-only.
 */
#ifndef BWT_LOG_WAL_READER_H
#define BWT_LOG_WAL_READER_H

#include <stdbool.h>

#include "bwt.h"
#include "log/wal_format.h"

struct wal_reader;

struct wal_record {
	uint64_t lsn;
	uint64_t end_lsn;
	uint8_t type;
	uint32_t incarnation;
	struct bwt_slice payload; /* zero padding included; good until the next call */
};

/**
 * wal_reader_open - begin at @lsn, the start of a record (or the end of the log)
 * @readonly: sync nothing
 * Returns: BWT_OK; BWT_CORRUPT: no segment covers @lsn although later ones exist, or both copies of a needed
 *          header are damaged; BWT_IO
 */
int wal_reader_open(int dir_fd, uint64_t store_id, uint64_t lsn, bool readonly,
                    struct wal_reader **out);
/**
 * wal_reader_open_live - read a log that is being written, up to where it is durable
 * @lsn:     the start of a record, or the end of what is durable
 * @durable: durable_lsn, for wal_reader_allow()
 * Returns: as wal_reader_open(); files that are released meanwhile are passed over
 * It knows the segments that were there when it was opened: where more is durable than wal_reader_next() finds,
 * which it answers with BWT_CORRUPT, a reader that is opened anew tells the end of those from damage.
 */
int wal_reader_open_live(int dir_fd, uint64_t store_id, uint64_t lsn, uint64_t durable,
                         struct wal_reader **out);
/**
 * wal_reader_closed - the writer of @incarnation ended the log at @lsn, all of it durable, and said so in a superblock
 * Where it is the last to have written, the log is not searched for more there.
 */
void wal_reader_closed(struct wal_reader *reader, uint64_t lsn, uint32_t incarnation);
/** The log is durable up to @durable: a live reader goes so far, and then answers BWT_NOT_FOUND until it may go on. */
void wal_reader_allow(struct wal_reader *reader, uint64_t durable);
void wal_reader_close(struct wal_reader *reader);
/**
 * Returns: BWT_OK; BWT_NOT_FOUND: the log ends here; BWT_CORRUPT: a bad frame although a later frame of the same
 *          incarnation claims durability beyond it, or a later segment names an end beyond it (W4)
 * Pads are skipped.
 */
int wal_reader_next(struct wal_reader *reader, struct wal_record *record);
/** The record returned last does not check (its large value is damaged): the answer is as for a bad frame there. */
int wal_reader_reject(struct wal_reader *reader);
/** After the end: where the log ends, for wal_config. */
void wal_reader_end(const struct wal_reader *reader, uint64_t *end_lsn, uint32_t *incarnation,
                    uint64_t *last_seq);
/** The segment of the run being read that holds @lsn, or that ends there; 0: none. */
uint64_t wal_reader_segment(const struct wal_reader *reader, uint64_t lsn);
uint64_t wal_reader_position(const struct wal_reader *reader);
/** LSN bytes between the first record and the last segment's end: for progress. */
uint64_t wal_reader_extent(const struct wal_reader *reader);

/** Every header in the directory, for bwt-fsck and bwt-dump: @each gets NULL for a damaged one. */
int wal_segments_list(int dir_fd,
                      int (*each)(void *ctx, const char *name, const struct wal_segment_head *head),
                      void *ctx);

#endif
