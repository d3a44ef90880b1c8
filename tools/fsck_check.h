/* SPDX-License-Identifier: MIT */
/*
 * fsck_check.h - what bwt-fsck has beyond the public interface
 *
 * Linked with the internal symbols of the library: the public call has no way to tell how far it is,
 * and repairing is for this tool alone.
 */
#ifndef BWT_TOOLS_FSCK_CHECK_H
#define BWT_TOOLS_FSCK_CHECK_H

#include <stdbool.h>

#include "bwt.h"

/** fsck_check - check the store at @path; @ctx is handed to both functions; returns as bwt_verify() */
int fsck_check(const char *path,
               void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total),
               void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx);

struct fsck_calls { /* all get @ctx */
	void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total);
	void (*say)(void *ctx, const char *action);                   /* before it is done */
	void (*report)(void *ctx, const struct bwt_finding *finding); /* what is lost by it */
	void *ctx;
};

/**
 * fsck_repair - make the store at @path open again, and give up what nothing reaches
 * Returns: BWT_OK; BWT_CORRUPT: there is damage that it cannot mend; BWT_BUSY, BWT_IO, ...: it could not try
 */
int fsck_repair(const char *path, const struct fsck_calls *calls);

/**
 * fsck_rebuild - make a new store of everything that checks out, in the place of the one at @path
 * Returns: BWT_OK, whatever was lost (report() says what); BWT_BUSY, BWT_FULL, BWT_IO, ...
 */
int fsck_rebuild(const char *path, const struct fsck_calls *calls);
/** fsck_rebuild_unfinished - fsck_rebuild() was cut off while it put the new store in place: call it again */
bool fsck_rebuild_unfinished(const char *path);

#endif
