/* SPDX-License-Identifier: MIT */
/*
 * repair.h - what bwt-fsck --repair does to a store that nobody has open
 *
 * Every action is said before it is done, and what it takes away is in lost+found/ before: a repair
 * that is cut off anywhere leaves a store that is damaged no more than before, and can be begun anew.
 */
#ifndef BWT_RECOVERY_REPAIR_H
#define BWT_RECOVERY_REPAIR_H

#include "recovery/checkpoint_load.h"
#include "recovery/recover.h"

struct repair {
	const char *path;
	void (*say)(void *ctx, const char *action); /* before it is done */
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	void *ctx;
	unsigned actions; /* out: how many */
	/* the rest is its own */
	struct store files; /* descriptors only */
	uint64_t store_id;
};

/**
 * repair_files - make the store's files such that it opens: superblocks, checkpoints, the log's tail
 * @repair: path, say, progress and ctx are set, all else is zero
 * Returns: BWT_OK: it can be opened (open and close it, that replaces what was given up); BWT_CORRUPT: that
 *          is not for this to mend (bwt_detail() says what); BWT_BUSY, BWT_IO, ...: it could not be tried
 */
int repair_files(struct repair *repair);

/**
 * repair_pages - give up pages that no tree reaches, in an open store that nobody else uses
 * Returns: BWT_OK; BWT_IO, BWT_FULL, -ENOMEM
 */
int repair_pages(struct repair *repair, struct store *store, struct epoch_slot *slot);

/* ---- for the files of repair ---- */

/** repair_say - count and tell an action */
void repair_say(struct repair *repair, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** repair_save - copy [@off, @off + @len) of @fd to lost+found/@name (or that with a number), durably */
int repair_save(struct repair *repair, int fd, uint64_t off, uint64_t len, const char *name);
/** repair_set_aside - move @folder/@name to lost+found/, durably; @folder_fd is its descriptor */
int repair_set_aside(struct repair *repair, const char *folder, int folder_fd, const char *name);

/**
 * repair_log - a log that can be read from @lsn to its end, by cutting it where it cannot
 * @end: out: its end
 */
int repair_log(struct repair *repair, uint64_t lsn, uint64_t *end);
/** repair_cut_log - it ends at @at from now on, the start of a record at or above @lsn, where reading begins */
int repair_cut_log(struct repair *repair, uint64_t lsn, uint64_t at);

#endif
