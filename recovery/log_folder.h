/* SPDX-License-Identifier: MIT */
/*
 * log_folder.h - where the log of a store stands: wal/ in it, or a folder elsewhere that `wal` links to
 */
#ifndef BWT_RECOVERY_LOG_FOLDER_H
#define BWT_RECOVERY_LOG_FOLDER_H

#include "recovery/recover.h"

#define LOG_FOLDER_NAME "wal"

/**
 * log_folder_open - open the log's folder of a store that is there; lock it if it is elsewhere
 * @store:  dir_fd is open; wal_dir_fd is set, also on failure perhaps
 * Returns: BWT_OK; BWT_CORRUPT: there is none; BWT_INVALID: config->wal_path is another one; BWT_BUSY: another
 *          store, a copy of this one perhaps, has it open; -ENOENT: it is elsewhere, and is not there or has no
 *          log in it (its file system is not mounted)
 */
int log_folder_open(struct store *store, const struct recover_config *config);
/**
 * log_folder_begin - an empty folder for a new store's log, where config->wal_path says; what an earlier attempt left is gone
 * Returns: BWT_OK; BWT_INVALID: config->wal_path is not empty, or an earlier attempt began with a folder of its own
 */
int log_folder_begin(struct store *store, const struct recover_config *config);

#endif
