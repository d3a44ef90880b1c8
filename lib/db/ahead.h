/* SPDX-License-Identifier: MIT */
/*
 * ahead.h - the large values of a cursor: the one that is asked for, and those that will be asked for next
 *
 * One thread at a time, as the cursor.
 */
#ifndef BWT_DB_AHEAD_H
#define BWT_DB_AHEAD_H

#include "db/walk.h"

#define AHEAD_MAX 32u /* values read at once */

struct ahead { /* zeroed: nothing has been asked for */
	/* What was asked for last: entry `asked` of the leaf copy that was the walk's load number `load`. */
	uint64_t load;
	unsigned asked;
	unsigned window; /* values of the last read, at most; doubled while they are asked for one after another */
	/* What is there, of the same load: values[i] is that of entry at[i], if results[i] says so. */
	unsigned count;
	unsigned at[AHEAD_MAX];
	int results[AHEAD_MAX];
	struct bwt_buf values[AHEAD_MAX];
};

/**
 * ahead_value - the large value of the entry on which @walk stands
 * @tree:    the walk's
 * @value:   out; @ahead's, good until the next call of this
 * Returns:  BWT_OK, BWT_CORRUPT, BWT_IO, -ENOMEM
 * Threads:  not pinned
 * Blocks:   on the value log, for this value and some that lie behind it in the direction of the last calls
 */
int ahead_value(struct ahead *ahead, const struct walk *walk, struct tree *tree,
                struct epoch_slot *slot, struct bwt_slice *value);
void ahead_free(struct ahead *ahead);

#endif
