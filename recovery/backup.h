/* SPDX-License-Identifier: MIT */
/*
 * backup.h - a copy of an open store, as of one LSN, while readers and writers go on
 */
#ifndef BWT_RECOVERY_BACKUP_H
#define BWT_RECOVERY_BACKUP_H

#include "recovery/checkpoint.h"

/**
 * backup_copy - the store as of a durable LSN, as a store of its own in folder @path
 * @pin:    the newest durable checkpoint, held until this returns
 * Returns: BWT_OK; BWT_EXISTS: @path is not empty; BWT_FULL, BWT_IO, BWT_CORRUPT, BWT_BUSY, -ENOMEM, -ENOTDIR:
 *          the target then says that it is not finished, and may be the target again
 * Threads: any, not pinned; readers, writers and checkpoints go on
 * Blocks:  on both disks
 */
int backup_copy(struct store *store, const struct checkpoint_pin *pin, const char *path);

#endif
