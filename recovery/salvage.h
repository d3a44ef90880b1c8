/* SPDX-License-Identifier: MIT */
/*
 * salvage.h - everything that checks out of a store that may have no superblock and no checkpoint
 *
 * For bwt-fsck --rebuild and bwt-dump --salvage. Nothing of the store is changed.
 */
#ifndef BWT_RECOVERY_SALVAGE_H
#define BWT_RECOVERY_SALVAGE_H

#include "recovery/recover.h"

struct salvage_calls { /* all get @ctx; a negative return stops and is returned */
	/** A tree begins; NULL: the main tree, which comes first. */
	int (*tree)(void *ctx, const char *name);
	/** A pair of it, in key order. */
	int (*pair)(void *ctx, struct bwt_slice key, struct bwt_slice value);
	/** What is lost, may be older than it was, or is worth knowing. */
	void (*report)(void *ctx, const struct bwt_finding *finding);
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	void *ctx;
};

struct salvaged {
	uint64_t pairs;
	uint64_t lost;       /* key ranges and values of which nothing is there */
	uint64_t older;      /* key ranges that may be older than the store was */
	uint64_t log_from;   /* the log holds every change from here ... */
	uint64_t log_end;    /* ... to here */
	uint64_t suspicious; /* stretches of the arena that may have held blocks */
	bool exact;          /* the result is the store as of log_end, as far as can be told */
};

/**
 * salvage - find all pairs of the store whose descriptors @files has, and hand them out
 * @files:  arena_fd, wal_dir_fd and vlog_dir_fd are open; the store is locked
 * @found:  out
 * Returns: BWT_OK, whatever is lost (@found and report() say what); what a callback returned; BWT_IO, -ENOMEM
 * Memory:  40 bytes a page found, and the log's records
 */
int salvage(const struct store *files, const struct salvage_calls *calls, struct salvaged *found);

/* ---- for the files of salvage ---- */

struct picture { /* a leaf's base page: all of its key range as of its clock */
	const struct base_page *base;
	uint32_t first_delta; /* index of its first delta, by salvage_arena.deltas */
	uint32_t delta_count;
	uint64_t as_of;  /* complete up to here: its own clock, or that of its newest delta */
	uint64_t newest; /* end of the newest commit since its clock that is over it, or its clock */
	extent_id extent; /* where it lies */
	bool undecided;   /* a delta over it names its transaction, not its LSN */
};

/** Does @delta, which names the offset of the picture's base page, belong to it? (salvage_scan.c, SC2) */
static inline bool picture_has(const struct picture *picture, const struct leaf_delta *delta)
{
	const struct block_head *base = &picture->base->head;

	return delta->head.page == base->page && delta->head.tree == base->tree &&
	       delta->head.lsn >= base->lsn;
}

struct salvage_arena { /* what was found in it; zeroed: nothing */
	struct arena arena;
	struct picture *pictures; /* by tree, then low key */
	size_t picture_count, picture_capacity;
	const struct leaf_delta **deltas; /* by base page */
	size_t delta_count, delta_capacity;
	uint64_t suspicious;
	arena_off first_suspicious;
};

/** salvage_scan - every leaf and leaf delta that checks and is not younger than @log_end. -ENOMEM, BWT_IO */
int salvage_scan(struct salvage_arena *scan, int arena_fd, uint64_t log_end,
                 const struct salvage_calls *calls);
void salvage_scan_free(struct salvage_arena *scan);

struct salvage_op {   /* a change that the log holds */
	uint64_t lsn; /* 0: of a transaction that is not committed */
	uint64_t txn; /* of a part */
	uint32_t incarnation;
	uint32_t tree;
	uint32_t value_size;
	uint16_t key_size;
	uint8_t flags;      /* enum version_flags */
	const uint8_t *key; /* in a copy of the record */
	const uint8_t *value;
};

struct salvage_log {
	struct salvage_op *ops; /* the newest of each key, by tree, then key */
	size_t count, capacity;
	void **copies;
	size_t copy_count, copy_capacity;
	uint64_t store_id;
	uint64_t from;          /* every change in [from, end) is there */
	uint64_t end;           /* UINT64_MAX: there is no log */
	uint64_t parts_missing; /* end of the last commit whose parts are not there; 0: none */
	unsigned gaps;          /* stretches before `from` that are missing */
	bool cut_off; /* the last record reaches beyond what is there: a segment is missing */
};

/** salvage_read_log - all records that can be found. -ENOMEM, BWT_IO */
int salvage_read_log(struct salvage_log *log, int wal_dir_fd);
void salvage_log_free(struct salvage_log *log);

static inline int salvage_compare(struct bwt_slice a, struct bwt_slice b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order = size == 0 ? 0 : __builtin_memcmp(a.data, b.data, size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
