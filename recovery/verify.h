/* SPDX-License-Identifier: MIT */
/*
 * verify.h - every rule across files, reported by callback: bwt_verify, bwt-fsck and the crash tests share it
 */
#ifndef BWT_RECOVERY_VERIFY_H
#define BWT_RECOVERY_VERIFY_H

#include "recovery/recover.h"

struct verify_report {
	void (*report)(void *ctx, const struct bwt_finding *finding);
	void *ctx;
	uint64_t warnings; /* out */
	uint64_t damages;  /* out */
};

/**
 * verify_store - check an open store that nobody else uses: trees (order, fences, links, reachability, levels),
 *                counts, every page, mapping ids reached exactly once, extent live bytes recomputed, large values
 * Returns: BWT_OK when it could look at everything (findings are in @report); BWT_IO, -ENOMEM otherwise
 */
int verify_store(struct store *store, struct epoch_slot *slot, struct verify_report *report);
/** Superblocks, both images, log segments of the store at @path, before it is opened. */
int verify_files(const char *path, struct verify_report *report);

#endif
