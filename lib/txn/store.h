/* SPDX-License-Identifier: MIT */
/*
 * store.h - everything that makes up an open store, wired together
 *
 * Filled in by recovery/ (opening) and db/ (wiring); the layers below see only their own parts.
 */
#ifndef BWT_TXN_STORE_H
#define BWT_TXN_STORE_H

#include <pthread.h>

#include "log/vlog.h"
#include "log/wal.h"
#include "mem/superblock.h"
#include "tree/tree.h"
#include "txn/descriptor.h"
#include "txn/snapshot.h"

#define TREE_ID_CATALOG 1u /* name -> struct catalog_entry */
#define TREE_ID_MAIN 2u
#define TREE_ID_FIRST 16u /* of named trees; never reused */
#define STORE_RELIEFS_MAX 3u /* times that one call has space made for it (struct store, relieve) */

struct catalog_entry {  /* value of a key of the catalogue tree */
	uint32_t tree;  /* 0x00  id */
	uint32_t state; /* 0x04  enum catalog_state */
};

enum catalog_state {
	CATALOG_LIVE = 1,
	CATALOG_DROPPING =
		2, /* or being loaded: it goes when the store is next opened, unless it gets its name */
	CATALOG_LOADED = 3, /* in the catalogue alone: it is live, and did not begin empty */
};

struct named_tree { /* the registry: every tree of the store, by id; guarded by store.trees_lock */
	struct tree tree; /* first: a struct tree * of a named tree can be cast */
	struct named_tree *next;
	uint32_t state;                   /* enum catalog_state */
	char name[BWT_TREE_NAME_MAX + 1]; /* "" for the main tree and the catalogue */
	void *handle;                     /* the db layer's struct bwt_tree, NULL: not opened */
};

struct settled_ref { /* a transaction that was committed at an image's cut, some of its versions not stamped yet */
	uint64_t ref; /* LSN word of those */
	uint64_t lsn;
};

struct settled {            /* what the words of an image mean (K1) */
	uint64_t start_lsn; /* the cut: versions at or above it are replayed */
	struct settled_ref *refs;
	uint32_t count; /* other references: not committed at the cut */
};

struct store {
	/* files */
	int dir_fd, wal_dir_fd, vlog_dir_fd, lock_fd, arena_fd; /* -1: not open */
	bool readonly;
	int durability; /* enum bwt_durability */
	/* mem */
	struct arena arena;
	struct epoch epoch;
	struct extents extents;
	_Atomic(uint64_t) interval; /* cow_table.h: counted up by each cut */
	/* log */
	struct wal *wal;       /* NULL in a read-only store */
	struct wal_keep *keep; /* who reads the log behind the checkpoints; NULL in a read-only store */
	struct vlog *vlog;
	struct cow_table vlog_live; /* live bytes by value-log file number */
	uint64_t readonly_tail;     /* the clock of a read-only store: end of the log */
	/* tree and txn */
	struct mapping mapping;
	struct tree_env env;
	struct snapshots snapshots;
	struct descriptors descriptors;
	struct settled settled;        /* by the image that it was opened from */
	_Atomic(uint64_t) txn_order;   /* serializable transactions begun so far */
	_Atomic(uint64_t) txn_numbers; /* of transactions logged in parts: the newest one */
	struct stats stats;
	pthread_mutex_t *trees_lock; /* registry and catalogue changes; taken by no data path */
	struct named_tree *trees;    /* main and catalogue included */
	_Atomic(uint32_t) next_tree_id;
	_Atomic(uint32_t) tree_count; /* live named trees */
	/* health: 0, or what failed first, for good: every later write answers BWT_READ_ONLY */
	_Atomic(int) failure;
	_Atomic(uint32_t) faulted; /* a mapping fault was caught: everything answers BWT_IO */
	/* Make space by cleaning and checkpoints, for who found the store full. NULL: cannot. Not pinned, no locks. */
	void (*relieve)(struct store *store, enum extent_urgency urgency);
	/* The value log grows: see to its size (db/values.h). NULL: nobody does. Not pinned, before a value_hold is set. */
	void (*tend_values)(struct store *store, struct epoch_slot *slot);
	uint64_t store_id;
	uint64_t max_size;
	uint32_t inline_max;
	void (*log)(void *ctx, int level, const char *text);
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	void *ctx;
};

/** The clock: log_tail. the store as void * so that it can be handed down. */
uint64_t store_clock(void *ctx);
/** Where read-only snapshots stand unless asked for the newest: durable_lsn in a sync store, else the clock. */
uint64_t store_stable_clock(void *ctx);
/** tree_env.horizon */
void store_horizon(void *ctx, struct horizon *horizon);
/** tree_env.decide: see version_word(). */
uint64_t store_decide(void *ctx, _Atomic(uint64_t) *word);
/** tree_env.settle: against store.settled. */
uint64_t store_settle(void *ctx, uint64_t stored_word);
static inline void store_tend_values(struct store *store, struct epoch_slot *slot)
{
	if (store->tend_values != NULL)
		store->tend_values(store, slot);
}
/** tree_env.value_stored */
bool store_value_stored(void *ctx, const struct value_ref *ref);
/** tree_env.value_dropped */
void store_value_dropped(void *ctx, const struct value_ref *ref);
/** BWT_OK, or why nothing works (BWT_IO) or nothing may be written any more. */
int store_health(struct store *store, bool write);
/** Words for options.log: level as in syslog, printf-like. */
void store_say(struct store *store, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/** The tree with this id, or NULL. Takes trees_lock. */
struct named_tree *store_tree(struct store *store, uint32_t id);

#endif
