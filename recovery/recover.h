/* SPDX-License-Identifier: MIT */
/*
 * recover.h - a store from its files: after a clean close, after any crash, or brand-new
 *
 *   superblocks -> newest image that checks out (else the older, I11) -> tables, trees -> log from its L
 *   -> fresh log segment -> (if anything was replayed) a checkpoint, now or soon
 *
 * A crash at any point of it leaves the files so that the next opening ends in the same state (I14):
 * nothing that a durable image reaches is written, and the superblock comes last.
 */
#ifndef BWT_RECOVERY_RECOVER_H
#define BWT_RECOVERY_RECOVER_H

#include "recovery/checkpoint.h"
#include "recovery/replay.h"

struct recover_config {
	const char *path;
	const char *wal_path; /* folder of the log; NULL: wal/ in the store, or where an earlier opening put it */
	bool create; /* make it if the directory is absent, empty, or holds only a creation cut off */
	bool exclusive; /* with create: BWT_EXISTS if it is a store already */
	bool readonly;  /* write nothing: recover in a private mapping */
	bool plain;     /* no io_uring */
	bool catch_sigbus;
	int durability;
	uint64_t max_size;
	uint32_t inline_max;
	uint64_t wal_segment_size, vlog_segment_size;
	uint64_t keep_bytes; /* of log and values that are kept for readers of the log alone */
	struct tree_limits limits;
	void (*log)(void *ctx, int level, const char *text);
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	void *ctx;
	struct replayed *replayed; /* out, may be NULL: what replay found, also when it failed */
	bool *checkpoint_due; /* out: one is left to the caller, soon (RC4); NULL: none ever is */
	/* handed to the log: see wal_config */
	void (*durable_moved)(void *ctx);
	void (*want_flush)(void *ctx);
	void (*filled)(void *ctx);
	void (*failed)(void *ctx); /* once: the store is read-only from here on; must not block; may be NULL */
	void *wal_ctx;
};

/**
 * recover_open - lock, open or create, recover; fills @store completely (all layers up to txn)
 * @store:  trees_lock is set, the caller's; all else is overwritten
 * @checkpointer: out; NULL in a read-only store
 * Returns: BWT_OK; the codes of bwt_open() (api.md "Open"); on failure everything is undone and closed
 */
int recover_open(struct store *store, const struct recover_config *config,
                 struct checkpointer **checkpointer);
/** Undo of recover_open(): no thread is inside; takes no checkpoint. */
void recover_close(struct store *store, struct checkpointer *checkpointer);

#endif
