/* SPDX-License-Identifier: MIT */
/*
 * store_files.h - the directory of a store: is it one, whose is it, and how a new one comes into being
 *
 *   LOCK        held (flock) by the one opener; the text in it is the pid of the last one that could write
 *   arena       superblocks, pages, images; its name is what makes the directory a store
 *   arena.new   a creation that was cut off
 *   arena.part  a backup that was cut off
 *   wal/ vlog/  the logs; wal may be a link to a folder elsewhere (log_folder.h)
 *   stats       counters for bwt-stat (db layer)
 */
#ifndef BWT_RECOVERY_STORE_FILES_H
#define BWT_RECOVERY_STORE_FILES_H

#include "recovery/recover.h"

/**
 * store_files_open - open and lock the directory; open arena, wal/ and vlog/ of a store that is there
 * @store:  its descriptors are all -1; they are set; store_files_close() them, after a failure too
 * @create: out: there is no store yet, and there may be one: store_files_begin() is next
 * Returns: BWT_OK; the codes of bwt_open() (api.md "Open"); BWT_CORRUPT: wal/ or vlog/ is missing
 */
int store_files_open(struct store *store, const struct recover_config *config, bool *create);
/** store_files_arena_direct - a second descriptor of the arena, reading past the page cache; -EINVAL: refused here */
int store_files_arena_direct(const struct store *store, int *fd);
/** store_files_begin - an empty arena.new, an empty folder for the log, an empty vlog/; what an earlier attempt left is gone */
int store_files_begin(struct store *store, const struct recover_config *config);
/**
 * store_files_backup - lock the target of a backup, and make arena.part and empty wal/ and vlog/ in it
 * @target: its descriptors are all -1; they are set; store_files_close() them, after a failure too
 * Returns: BWT_OK; BWT_EXISTS: there is something else than an unfinished backup; BWT_BUSY: one is being made;
 *          -ENOTDIR, BWT_FULL, BWT_IO
 */
int store_files_backup(struct store *target, const char *path);
/** store_files_backup_done - everything is durable: arena.part becomes arena. From here on it is a store. */
int store_files_backup_done(struct store *target);
/** store_files_backup_undo - it failed: give its space back; what stays says that it is unfinished */
void store_files_backup_undo(struct store *target);
/**
 * store_files_finish - everything is durable: arena.new becomes arena. From here on it is a store
 *
 * A failure before the change of the name is undone. After it the store stays, though its name may not be durable.
 */
int store_files_finish(struct store *store);
/** store_files_undo - the creation failed before store_files_finish(): give its space back */
void store_files_undo(struct store *store);
void store_files_close(struct store *store);

#endif
