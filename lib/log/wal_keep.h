/* SPDX-License-Identifier: MIT */
/*
 * wal_keep.h - who reads the log behind the checkpoints, and how much of it is kept for them
 *
 * A reader stands at a position: it has seen every commit whose record ends there or before. What it still
 * needs is the log from there on, the parts of transactions that were open there, and the values that those
 * records refer to. A reader with a name is remembered over restarts, one without until it is closed.
 */
#ifndef BWT_LOG_WAL_KEEP_H
#define BWT_LOG_WAL_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#define WAL_KEEPERS_MAX 64u    /* readers at once, those that are away included */
#define WAL_KEEP_NAME_MAX 255u /* bytes of a reader's name */

struct wal_keep;
struct wal_keeper; /* a reader that is open */

struct wal_kept {          /* what a checkpoint may release, as far as readers are concerned */
	uint64_t log_from; /* log below this */
	uint64_t values_from; /* values that only records below this refer to; UINT64_MAX: nobody reads */
	unsigned cut_off; /* readers that would have kept more than the limit, and lost it */
};

struct wal_keeper_info {
	char name[WAL_KEEP_NAME_MAX + 1]; /* "": it has none */
	uint64_t position;
	bool open;
	bool lost; /* cut off */
};

/**
 * wal_keep_open - the register of a store, as the file `readers` in its log's folder has it
 * @dir_fd:   of wal/; not closed
 * @limit:    bytes of log and values that are kept for readers alone
 * @damaged:  out: there is such a file, and neither copy can be read: the register is empty
 * Returns: BWT_OK; BWT_IO, -ENOMEM
 */
int wal_keep_open(int dir_fd, uint64_t store_id, uint64_t limit, struct wal_keep **out,
                  bool *damaged);
void wal_keep_close(struct wal_keep *keep);

/**
 * wal_keep_begin - the store was opened: its log is whole from @start_lsn on, a retained cut, or before that for readers
 * @first_lsn: nothing below is there: readers that need it were left behind by whoever had the store meanwhile
 * @end_lsn:   where it ends: readers that stand beyond have seen what is not there any more (a repair cut the log), and
 *             would miss what takes its place. Both are cut off
 */
void wal_keep_begin(struct wal_keep *keep, uint64_t start_lsn, uint64_t first_lsn, uint64_t end_lsn);
/** A checkpoint is durable: its cut, and where the log begins that belongs to it. In order. */
void wal_keep_cut(struct wal_keep *keep, uint64_t start_lsn, uint64_t log_from);

/**
 * wal_keep_settle - decide what may be released, and cut off whom the limit does not allow to keep more
 * @start_lsn: cut of the oldest checkpoint that is retained
 * @log_from:  the log that belongs to it
 * @values:    bytes of dead value-log files that are kept because of records at or above @from
 * @kept:      out
 * Returns: BWT_OK; BWT_IO: the register could not be written, and what it promises stays promised in @kept
 * Threads: the checkpointer
 * Blocks:  on the disk, if the register has changed
 */
int wal_keep_settle(struct wal_keep *keep, uint64_t start_lsn, uint64_t log_from,
                    uint64_t (*values)(void *ctx, uint64_t from), void *ctx, struct wal_kept *kept);
/** The disk is full: the next wal_keep_settle() keeps nothing for readers alone. */
void wal_keep_press(struct wal_keep *keep);

/**
 * wal_keep_add - a reader begins, or comes back
 * @name:     1 to WAL_KEEP_NAME_MAX bytes; NULL: none
 * @from:     its position; 0: the one that it had, or the beginning of all
 * @position: out: where it stands
 * Returns: BWT_OK; BWT_TRIMMED: the log from there on is not kept any more; BWT_BUSY:
 *          the name is in use, or there are too many; BWT_FULL, BWT_IO, -ENOMEM
 * Blocks:  on the disk, for one with a name
 */
int wal_keep_add(struct wal_keep *keep, const char *name, uint64_t from, struct wal_keeper **out,
                 uint64_t *position);
/** It has seen everything up to @lsn; never back. On the disk with the next checkpoint. */
void wal_keep_move(struct wal_keep *keep, struct wal_keeper *keeper, uint64_t lsn);
/** Was it cut off? Any thread. */
bool wal_keep_lost(const struct wal_keeper *keeper);
/** It goes: with a name it keeps its place. */
void wal_keep_leave(struct wal_keep *keep, struct wal_keeper *keeper);
/** Forget the reader @name: BWT_OK; BWT_NOT_FOUND; BWT_BUSY: it is open; BWT_FULL, BWT_IO */
int wal_keep_forget(struct wal_keep *keep, const char *name);
/** Positions as they are now on the disk, at the latest: for a clean close. */
int wal_keep_save(struct wal_keep *keep);
/** All of them, into @infos with room for WAL_KEEPERS_MAX; returns how many. */
unsigned wal_keep_list(struct wal_keep *keep, struct wal_keeper_info *infos);
/** The lowest position of a reader that is not lost; UINT64_MAX: there is none. */
uint64_t wal_keep_lowest(struct wal_keep *keep);

#endif
