/* SPDX-License-Identifier: MIT */
/*
 * fsck_check.h - bwt_verify() with a progress bar
 *
 * Linked with the internal symbols of the library: the public call has no way to tell how far it is.
 */
#ifndef BWT_TOOLS_FSCK_CHECK_H
#define BWT_TOOLS_FSCK_CHECK_H

#include "bwt.h"

/** fsck_check - check the store at @path; @ctx is handed to both functions; returns as bwt_verify() */
int fsck_check(const char *path,
               void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total),
               void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx);

#endif
