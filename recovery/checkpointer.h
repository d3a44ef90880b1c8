/* SPDX-License-Identifier: MIT */
/*
 * checkpointer.h - what the files of recovery/ share about the checkpoints of an open store
 */
#ifndef BWT_RECOVERY_CHECKPOINTER_H
#define BWT_RECOVERY_CHECKPOINTER_H

#include "recovery/checkpoint.h"
#include "recovery/image.h"

struct dead_file { /* a value-log file that nothing can refer to any more but records read again */
	uint64_t file;
	uint64_t bytes;
	uint64_t lsn;     /* those records lie below this */
	uint64_t noticed; /* number of the newest checkpoint then */
	uint64_t epoch;   /* that ended then: whoever was pinned may still hold a reference */
};

struct value_files { /* zeroed: nothing noticed */
	struct dead_file *dead;
	unsigned count;
	unsigned capacity;
};

struct log_hooks { /* ctx of the log's callbacks */
	struct store *store;
	void (*moved)(void *ctx);
	void (*want_flush)(void *ctx);
	void (*filled)(void *ctx);
	void (*failed)(void *ctx);
	void *ctx;
};

struct retained { /* the oldest image that must stay whole */
	uint64_t number;
	uint64_t interval;
	uint64_t start_lsn; /* its cut */
	uint64_t log_from;  /* image_log_from() */
};

struct checkpointer {
	struct image newest;    /* the newest durable image; number 0: none yet */
	struct image older;     /* the one before; number 0: none */
	unsigned super_slot;    /* where the newest superblock is */
	struct retained pinned; /* of a backup; number 0: none */
	uint64_t last_number;   /* largest checkpoint number ever seen (K2) */
	uint64_t created_ns;
	struct image_pool pool;
	uint64_t collected[IMAGE_TABLES]; /* segments [0, this) were collected since the newest cut (T3) */
	struct image_chunk *chunks; /* room for the chunks of all slots */
	struct image_txn *txns;     /* room for all descriptors */
	struct value_files values;
	struct log_hooks hooks;
	/* For checkpoint_state(): written by the checkpointer, read by anybody, relaxed. */
	_Atomic(uint64_t) number;
	_Atomic(uint64_t) count;
	_Atomic(uint64_t) start_lsn;
	_Atomic(uint64_t) allocated; /* extents.allocated_bytes at the newest cut */
	_Atomic(uint64_t) taken_ns;
};

/** checkpointer_new - before any image: everything is zero */
struct checkpointer *checkpointer_new(void);
/** checkpointer_note - the newest image is set: what checkpoint_state() says from now on */
void checkpointer_note(struct checkpointer *checkpointer, uint64_t allocated);
/** checkpointer_fail - a write or sync failed for good: the store is read-only from here on, with code @rc; who waits is told */
void checkpointer_fail(struct store *store, const struct log_hooks *hooks, int rc);

/** checkpointer_provide - set extents aside for the images after @newest, as far as they are to be had. Enters the gate */
void checkpointer_provide(struct store *store, struct image_pool *pool, const struct image *newest,
                          struct epoch_slot *slot);

/* ---- value_files.c ---- */

/** value_files_notice - look for files that died; @number: the newest checkpoint. Failures lose nothing. */
void value_files_notice(struct value_files *values, struct store *store, uint64_t number);
/**
 * value_files_unlink - remove those that were dead before checkpoint @retained, the older one, was cut
 * @read_from: records at or above this are read again
 */
void value_files_unlink(struct value_files *values, struct store *store, uint64_t retained,
                        uint64_t read_from);
/** value_files_kept - bytes of those that would go but for a reader of records at or above @read_from */
uint64_t value_files_kept(const struct value_files *values, uint64_t retained, uint64_t read_from);
/** value_files_dead - files that were dead before checkpoint @number was cut; -ENOMEM. free() @files */
int value_files_dead(const struct value_files *values, uint64_t number, uint64_t **files,
                     unsigned *count);
void value_files_free(struct value_files *values);

#endif
