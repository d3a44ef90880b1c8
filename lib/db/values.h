/* SPDX-License-Identifier: MIT */
/*
 * values.h - keeping the value log near options.vlog_space_target: collection of its files
 */
#ifndef BWT_DB_VALUES_H
#define BWT_DB_VALUES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "db/pace.h"

struct bwt_db;
struct epoch_slot;

struct value_file { /* of the value log */
	uint64_t file;
	uint64_t bytes, live;
	uint64_t score; /* how much is won for what is to be copied */
};

struct values {
	/* What the newest look said; any thread looks and writes them, relaxed: they are advice. */
	_Atomic(uint64_t) look_at; /* vlog_appended() at which to look again */
	_Atomic(uint64_t) due;     /* appended bytes that make a checkpoint due; UINT64_MAX: none */
	_Atomic(uint64_t) cut_at;  /* vlog_appended() before the newest checkpoint */
	_Atomic(uint32_t) behind;  /* VALUES_* */
	_Atomic(uint32_t) retired; /* 1: files wait for checkpoints to be removed */
	_Atomic(uint32_t) over;    /* 1: they make the log larger than it may be (VC7) */
	_Atomic(uint64_t) total;   /* bytes of the log */
	_Atomic(uint32_t) bell; /* futex word of those who wait for that, counted up by each checkpoint */
	_Atomic(uint32_t) waiters;
	_Atomic(uint64_t) futile_until; /* waiting did not help: nobody does until then, ns */
	struct pace pace;
	/* The walk: which leaf is next. Only ever tried, so that nobody waits for who has it. */
	pthread_mutex_t lock;
	struct value_file *victims; /* by number */
	unsigned victim_count;
	bool walking;             /* a walk has begun and not come to its end */
	bool exhausted;           /* it has no more leaves */
	uint32_t tree;            /* id */
	uint8_t *key;             /* in the next leaf; BWT_KEY_MAX bytes of room */
	size_t key_size;          /* bytes */
	_Atomic(uint32_t) claims; /* leaves that some thread is at */
};

#define VALUES_ENOUGH 0u /* nothing to collect */
#define VALUES_BEHIND 1u /* background work */
#define VALUES_HURRY 2u  /* whoever appends helps */

/** values_start - the store is open: from now on changes see to the size of the value log */
void values_start(struct bwt_db *db);
/** values_free - nobody is inside any more */
void values_free(struct bwt_db *db);
/** values_behind - are there files to be emptied, as far as the newest look says? */
bool values_behind(const struct bwt_db *db);
/** values_wait_ns - how long background threads leave it alone still; 0: there is work for them now */
uint64_t values_wait_ns(const struct bwt_db *db);
/** values_retired - are there files that only wait for checkpoints? */
bool values_retired(const struct bwt_db *db);
bool values_checkpoint_due(const struct bwt_db *db);
/** values_checkpointed - a checkpoint is done; @appended: vlog_appended() when it began */
void values_checkpointed(struct bwt_db *db, uint64_t appended);
/**
 * values_collect - move the large values of one leaf that lie in files to be emptied
 * Returns: whether there was a leaf to look at; false: the end of a walk, too
 * Threads: any number beside each other; not pinned, not in the gate, no value_hold; locks are only tried
 * Blocks:  on reading and writing values
 */
bool values_collect(struct bwt_db *db, struct epoch_slot *slot);
/**
 * values_serve - a share of it, for the service thread of a store without workers
 * Returns: in how many nanoseconds it is to be called again; 0: when somebody wakes the thread
 */
uint64_t values_serve(struct bwt_db *db);

#endif
