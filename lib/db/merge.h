/* SPDX-License-Identifier: MIT */
/*
 * merge.h - what a read-write transaction sees in order: a walk over the store under its own writes
 *
 * Both sides are looked up by key at each move, so what the transaction writes between two moves is
 * seen; an own delete hides the store's entry. While the key stays in the walk's leaf that costs no descent.
 *
 * One thread at a time.
 */
#ifndef BWT_DB_MERGE_H
#define BWT_DB_MERGE_H

#include "db/walk.h"
#include "txn/write_set.h"

/*
 * merge_* - go to an entry
 * @out:    the transaction's own write; NULL: the entry is the walk's
 * Returns: as walk_*()
 * Threads: as walk_*(), but keys may not lie in the walk's copy
 */
/** First entry with a key >= @key (> @key with @above). */
int merge_right(struct walk *walk, const struct write_set *writes, struct bwt_slice key, bool above,
                const struct write_entry **out);
/** Last entry with a key < @key (<= @key with @included); @key NULL: the last entry. */
int merge_left(struct walk *walk, const struct write_set *writes, const struct bwt_slice *key,
               bool included, const struct write_entry **out);
/** The entry of @key. */
int merge_exact(struct walk *walk, const struct write_set *writes, struct bwt_slice key,
                const struct write_entry **out);

#endif
