/* SPDX-License-Identifier: MIT */
/*
 * checkpoint_load.h - the newest image that checks out, and the tables and trees that it holds
 */
#ifndef BWT_RECOVERY_CHECKPOINT_LOAD_H
#define BWT_RECOVERY_CHECKPOINT_LOAD_H

#include "recovery/checkpointer.h"

struct superblocks { /* both slots as they were read */
	struct superblock super[2];
	int rc[2]; /* of superblock_read() */
	int newer; /* slot of the valid one with the larger number; -1: neither is valid */
	uint64_t last_number; /* largest number seen */
};

struct loaded {
	struct superblocks supers;
	unsigned slot;       /* of the superblock whose image is used */
	struct image newest; /* that image */
	struct image older; /* the other one; number 0: there is none that checks out, or nobody asked */
};

/**
 * superblocks_read - both superblocks of the arena @fd
 * Returns: BWT_OK: at least one is valid; BWT_CORRUPT, BWT_VERSION, BWT_IO: as superblock_read() said of the first
 */
int superblocks_read(int fd, struct superblocks *supers);
/**
 * checkpoint_choose - find the image to recover from; nothing of the store changes but its log
 * @loaded: supers is set; out: the rest; loaded_free() it
 * Returns: BWT_OK; BWT_CORRUPT: neither image checks out; -ENOMEM
 */
int checkpoint_choose(struct store *store, struct loaded *loaded);
/**
 * checkpoint_restore - tables, extents and trees as of the chosen image's cut
 * @pool:   out: the extents of both images
 * Returns: BWT_OK; BWT_CORRUPT: the image contradicts itself; -ENOMEM
 * Threads: alone
 */
int checkpoint_restore(struct store *store, const struct loaded *loaded, struct epoch_slot *slot,
                       struct image_pool *pool);
void loaded_free(struct loaded *loaded);

#endif
