/* SPDX-License-Identifier: MIT */
/*
 * read.h - point reads: newest committed, or as of a snapshot
 */
#ifndef BWT_TXN_READ_H
#define BWT_TXN_READ_H

#include "tree/scan.h"
#include "txn/store.h"

#define READ_NEWEST 0u /* as a snapshot LSN: the newest commit; pending versions are skipped */

struct reader { /* what a version_choice needs: ctx of tree_copy_leaf() with reader_choose() */
	struct store *store;
	uint64_t snapshot; /* READ_NEWEST or S */
	uint64_t newest; /* out: end of the newest version that was chosen, at least its LSN + 1; 0: none was */
	bool passed; /* out: a committed version was passed over, because it is not below the snapshot */
};

/** Which of the versions of one key (newest first) is seen; pushes pending ones that might be (section 1). */
int reader_choose(void *ctx, struct page_entry *versions, unsigned count);

/**
 * read_value - the value of @key into @value (NULL: presence only)
 * Returns: BWT_OK, BWT_NOT_FOUND, BWT_CORRUPT, BWT_IO, -ENOMEM
 * Threads: any, not pinned; pins for the look-up, not for the value log
 */
int read_value(struct store *store, struct tree *tree, struct epoch_slot *slot, uint64_t snapshot,
               struct bwt_slice key, struct bwt_buf *value);

/** The same, telling more in @reader, which says store and snapshot and is zero otherwise. */
int read_version(struct reader *reader, struct tree *tree, struct epoch_slot *slot,
                 struct bwt_slice key, struct bwt_buf *value);

/**
 * read_many - read_version() for many keys, whose cache misses overlap
 * @values:  NULL: presence only
 * @results: in: a key with a negative one is left out; out: the others' results
 * Returns:  BWT_OK: each was looked up; BWT_IO: nothing read is worth anything
 */
int read_many(struct reader *reader, struct tree *tree, struct epoch_slot *slot, size_t count,
              const struct bwt_slice keys[], struct bwt_buf values[], int results[]);

/** Room for @size bytes in a caller's buffer. */
int buf_reserve(struct bwt_buf *buf, size_t size);

#endif
