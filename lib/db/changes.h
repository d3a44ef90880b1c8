/* SPDX-License-Identifier: MIT */
/*
 * changes.h - readers of changes: those that are open, and telling them that there is more
 */
#ifndef BWT_DB_CHANGES_H
#define BWT_DB_CHANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "bwt.h"

struct changes {
	_Atomic(uint32_t) count; /* open readers; seq_cst: see changes_moved() */
	_Atomic(uint32_t) moves; /* futex word: counted up when durable_lsn moved, or never will */
	_Atomic(uint32_t) released; /* 1: one has acknowledged what a checkpoint may release now */
	pthread_mutex_t lock;       /* the list and its descriptors; innermost, held for no I/O */
	struct bwt_changes *list;   /* open ones */
};

/** changes_moved - durable_lsn has moved, or never will again: wake who waits, signal who polls. Does not block */
void changes_moved(struct bwt_db *db);
/** changes_hold - does a reader stand before the newest checkpoint, so that this one may not release all that it could? */
bool changes_hold(const struct bwt_db *db);
/** changes_released - would a checkpoint release something only because of an acknowledgement since the last one? */
bool changes_released(const struct bwt_db *db);
/** changes_settled - a checkpoint begins */
void changes_settled(struct bwt_db *db);
/** changes_stat - the fields of bwt_stat() that speak of readers; newest_lsn is set */
void changes_stat(struct bwt_db *db, struct bwt_stats *stats);

#endif
