/* SPDX-License-Identifier: MIT */
/*
 * write_set.h - what a transaction has written and not committed: an ordered map in private memory
 *
 * A skip list by (tree id, key) whose entries, keys and values lie in blocks that are freed all at once.
 * Every change is noted in a journal, so a savepoint is a length of the journal and a rollback undoes
 * the changes beyond it, newest first. An entry whose every change was undone stays, as WRITE_NONE.
 *
 * One thread at a time.
 */
#ifndef BWT_TXN_WRITE_SET_H
#define BWT_TXN_WRITE_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "tree/tree.h"

#define WRITE_LEVELS 16u /* of the skip list */
#define WRITE_SET_BYTES_MAX                                                                        \
	((uint64_t)16 << 30) /* keys and values of one transaction, at most: BWT_TOO_BIG */
#define WRITE_SET_COUNT_MAX ((uint64_t)1 << 30) /* entries */

enum write_kind {
	WRITE_NONE, /* rolled back: the transaction has not written this key */
	WRITE_PUT,
	WRITE_DELETE,
};

struct write_entry {
	struct tree *tree;
	struct bwt_slice key;   /* in the set's memory */
	struct bwt_slice value; /* the same; WRITE_PUT */
	uint32_t hash;          /* key_hash() */
	uint8_t kind;           /* enum write_kind */
	uint8_t levels;
	/* For the commit (txn_commit.c). */
	uint8_t version_flags; /* VERSION_TOMBSTONE, VERSION_VLOG */
	bool expects; /* read committed, conditional write: newest version must be below expected_lsn */
	bool existed; /* the key had a live version beneath ours when it was installed */
	uint64_t expected_lsn;
	struct value_ref ref;       /* VERSION_VLOG */
	struct leaf_delta *delta;   /* installed; NULL: not yet */
	page_id page;               /* of the delta, then */
	struct write_entry *next[]; /* `levels` of them */
};

struct write_change; /* of the journal */
struct write_block;  /* of memory */

struct write_set { /* zeroed = empty */
	struct write_entry *head[WRITE_LEVELS];
	struct write_block *blocks;
	struct write_change *journal; /* the newest change */
	struct write_change *spare;   /* undone ones, to be used again */
	size_t journal_length;
	uint64_t count;  /* entries that are not WRITE_NONE */
	uint64_t bytes;  /* of keys and values of those */
	uint64_t random; /* of the skip list's levels */
};

void write_set_free(struct write_set *set); /* back to zeroed */
/**
 * write_set_change - the transaction writes @key: bytes of key and value are copied
 * @kind:     WRITE_PUT or WRITE_DELETE
 * @out:      the entry, may be NULL; good until write_set_free(); expects and expected_lsn are the caller's to set
 * Returns: BWT_OK; BWT_TOO_BIG: the limits above; -ENOMEM; nothing changed then
 */
int write_set_change(struct write_set *set, struct tree *tree, struct bwt_slice key,
                     struct bwt_slice value, enum write_kind kind, struct write_entry **out);
/** The transaction's own write of @key; NULL: it has none. */
struct write_entry *write_set_find(const struct write_set *set, const struct tree *tree,
                                   struct bwt_slice key);
/*
 * Neighbours, WRITE_NONE passed over. Entries are good until write_set_free(), and in order whatever is written
 * meanwhile.
 */
/** First entry of @tree with a key > @key (>= with @included; the empty key: the first entry). NULL: none. */
struct write_entry *write_set_above(const struct write_set *set, const struct tree *tree,
                                    struct bwt_slice key, bool included);
/** Last entry of @tree with a key < @key (<= with @included). NULL: none. */
struct write_entry *write_set_below(const struct write_set *set, const struct tree *tree,
                                    struct bwt_slice key, bool included);
/** Last entry of @tree. */
struct write_entry *write_set_last(const struct write_set *set, const struct tree *tree);
/** All entries that are not WRITE_NONE, by (tree id, key): @entry NULL: the first. */
struct write_entry *write_set_next(const struct write_set *set, const struct write_entry *entry);

/** The journal's length: a savepoint. */
static inline size_t write_set_mark(const struct write_set *set)
{
	return set->journal_length;
}
/** Undo all changes after @mark, which stays usable. Marks beyond the journal: BWT_INVALID. */
int write_set_rollback(struct write_set *set, size_t mark);

#endif
