/* SPDX-License-Identifier: MIT */
/* fsck_check.c - the one internal call of bwt-fsck */
#include "tools/fsck_check.h"

#include "db/db.h"

int fsck_check(const char *path,
               void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total),
               void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx)
{
	return db_verify(path, progress, report, ctx);
}
