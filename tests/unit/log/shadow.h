/* SPDX-License-Identifier: MIT */
/*
 * shadow.h - a disk that knows what was synced, for power cuts in a unit test
 *
 * The shadow is a second folder that holds only what must be there after a power cut: segments as they
 * were when they got their names (which they get when all of them is durable), and whatever the log's
 * batches wrote durably or wrote and then synced. Everything else waits in a list. A cut takes the shadow and, for every
 * write in the list, any subset of its 512-byte sectors; what was written durably is whole.
 */
#ifndef BWT_TESTS_LOG_SHADOW_H
#define BWT_TESTS_LOG_SHADOW_H

#include <stdint.h>

#include "tests/support/rng.h"
#include "tests/support/tmpstore.h"

extern char shadow_dir[TMPSTORE_PATH_MAX];

/** Watch every batch of the log in the folder @dir; @before_batch: while its writes are pending, may be NULL. */
void shadow_start(const char *dir, void (*before_batch)(void));
void shadow_stop(void);
/** Make the folder @to what a power cut leaves now, with every sector of a pending write at a chance of @percent. */
void shadow_cut(const char *to, struct rng *rng, unsigned percent);
/** Take note of new and released segments: to be called before anything is written to a new one. */
void shadow_see_segments(void);
/** Forget everything; the shadow becomes a copy of @from. */
void shadow_reset(const char *from);

#endif
