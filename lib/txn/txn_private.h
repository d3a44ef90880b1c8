/* SPDX-License-Identifier: MIT */
/*
 * txn_private.h - what txn_commit.c (small transactions), txn_large.c and txn_install.c share
 */
#ifndef BWT_TXN_TXN_PRIVATE_H
#define BWT_TXN_TXN_PRIVATE_H

#include "tree/write.h"
#include "txn/read_validate.h"
#include "txn/txn.h"
#include "txn/wound.h"

#define TXN_PUSHES_MAX 3u /* reservations of one commit record before its writer starts over (C4) */
#define TXN_GATE_TRIES_MAX 16u /* lost swaps of one version before the gate is left for a moment */

enum txn_step {          /* private answers; never leave these files */
	TXN_AGAIN = 1,   /* somebody else was first: look again */
	TXN_PENDING = 2, /* somebody else's version is in the way: commit->obstacle */
	TXN_WOUNDED = 3, /* somebody aborted us */
};

struct keys_change { /* of one tree's key count */
	struct tree *tree;
	int64_t keys;
};

struct values_change { /* live bytes of one value-log file */
	uint64_t segment;
	uint64_t bytes;
};

struct commit { /* one txn_commit() */
	struct txn *txn;
	struct store *store;
	struct epoch_slot *slot;
	struct descriptor *descriptor; /* NULL: none at hand */
	uint64_t ref;                  /* LSN word of our versions */
	struct wal_payload payload;    /* of the record that commits */
	uint64_t credits;              /* log bytes taken and not reserved yet */
	enum extent_urgency urgency;
	struct wound wound;
	_Atomic(uint64_t) *obstacle; /* TXN_PENDING: the word of the version in the way */
	unsigned aborts;             /* how often others aborted us */
	struct keys_change *keys;    /* by tree id; those that a commit now would make */
	size_t keys_count, keys_capacity;
	struct values_change *values; /* by file; those of the write set */
	size_t values_count, values_capacity;
	struct validation validation;
	uint64_t end_lsn;
};

/** The version that @entry becomes. */
struct version_spec txn_spec(const struct write_entry *entry);

/** Large values go to the value log, all of them, before anything else (C6); held by slot->value_hold. */
int txn_place_values(struct commit *commit);

/** A fresh descriptor for one attempt. BWT_BUSY, -ENOMEM. */
int txn_descriptor(struct commit *commit);

/**
 * txn_install - put @entry's version on its leaf, pending; inside the gate
 * @place: of the leaf; loaded again here
 * Returns: BWT_OK (also when it is there already); BWT_CONFLICT; TXN_AGAIN, TXN_PENDING; -ENOMEM, BWT_CORRUPT
 */
int txn_install(struct commit *commit, struct write_entry *entry, struct place *place);

/**
 * txn_publish - reserve, look at the reads again, publish by one CAS, fill, count; inside the gate
 * Returns: BWT_OK: committed; TXN_WOUNDED, TXN_AGAIN (pushed too often), BWT_CONFLICT, BWT_CORRUPT: not
 */
int txn_publish(struct commit *commit);

/** Nobody may publish any more: PENDING becomes ABORTED. false: it was published. */
bool txn_abort(struct commit *commit);

/** Set the word of @entry's version to what was decided, wherever it is by now; pinned. @place: out: its leaf now */
int txn_stamp(struct commit *commit, struct write_entry *entry, struct place *place);

/** The same, quicker while its leaf, installed on @place, was not rebuilt. */
int txn_stamp_at(struct commit *commit, struct write_entry *entry, const struct place *place);

/** What the last attempt left in the write set is void. */
void txn_forget_attempt(struct commit *commit);

/** Bytes of @entry in a log record: a struct wal_op and what follows it; and write them. */
size_t txn_op_size(const struct write_entry *entry);
size_t txn_op_write(const struct write_entry *entry, uint8_t *to);

/** As txn_commit(), for what does not fit one gate section: txn_large.c. */
int txn_commit_large(struct commit *commit);

#endif
