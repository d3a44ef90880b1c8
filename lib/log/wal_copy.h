/* SPDX-License-Identifier: MIT */
/*
 * wal_copy.h - part of a log as a log of its own, while the log may be written
 */
#ifndef BWT_LOG_WAL_COPY_H
#define BWT_LOG_WAL_COPY_H

#include <stdint.h>

/**
 * wal_copy - the segments that hold [@from_lsn, @end_lsn), into the empty folder @to_fd; synced
 *
 * The copy ends at @end_lsn, which is the end of a durable record, whatever follows it.
 *
 * Returns: BWT_OK; BWT_CORRUPT: a segment's header does not check; BWT_FULL, BWT_IO, -ENOMEM
 * Threads: any, beside writers; nothing at or above @from_lsn may be released meanwhile
 */
int wal_copy(int from_fd, int to_fd, uint64_t from_lsn, uint64_t end_lsn);

#endif
