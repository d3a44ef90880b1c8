/* SPDX-License-Identifier: MIT */
/*
 * read_set.h - what a serializable transaction has read: key ranges, absent keys included
 *
 * A point read of k is the range [k, k\0). The commit holds if no version with an LSN in [snapshot,
 * commit LSN) lies in any range: whatever was read is then what would be read at the commit LSN.
 *
 * One thread at a time.
 */
#ifndef BWT_TXN_READ_SET_H
#define BWT_TXN_READ_SET_H

#include <stdbool.h>

#include "tree/tree.h"

struct read_range { /* [low, high); bytes in one allocation of its own */
	struct tree *tree;
	struct bwt_slice low;
	struct bwt_slice high; /* data == NULL: no bound */
	uint8_t *bytes;
	size_t capacity;
};

struct read_set { /* zeroed = empty */
	struct read_range *ranges;
	size_t count, capacity;
};

void read_set_free(struct read_set *set); /* back to zeroed */
/**
 * read_set_add - the transaction has seen all of a range
 * @low:        its lower bound; @above: the bound itself was not looked at
 * @high:       its upper bound, data == NULL: none; @with: the bound itself was looked at
 * Ranges that touch the one added last (a cursor's walk) are joined with it; empty ones are nothing.
 * Returns: BWT_OK, -ENOMEM
 */
int read_set_add(struct read_set *set, struct tree *tree, struct bwt_slice low, bool above,
                 struct bwt_slice high, bool with);

#endif
