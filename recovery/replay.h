/* SPDX-License-Identifier: MIT */
/*
 * replay.h - the log from an image's cut to its end, done again
 */
#ifndef BWT_RECOVERY_REPLAY_H
#define BWT_RECOVERY_REPLAY_H

#include "mem/superblock.h"
#include "txn/store.h"

struct replayed {
	uint64_t records; /* operations done again */
	uint64_t end_lsn; /* where the log ends, for wal_config; where the bad record is, after a failure */
	bool log_damaged; /* it failed, and not because of a page */
	uint32_t incarnation;
	uint64_t last_seq;
};

/**
 * replay_log - every record from @start_lsn on, at its own LSN, until the log ends
 * @newest: the newest superblock, which may say where that is
 * Returns: BWT_OK; BWT_CORRUPT: the log ends before what was durable (W4), or a record makes no sense; BWT_FULL,
 *          BWT_IO, -ENOMEM
 * Threads: alone, not pinned; the store's clock (readonly_tail) follows the records
 */
int replay_log(struct store *store, uint64_t start_lsn, const struct superblock *newest,
               struct replayed *replayed);

#endif
