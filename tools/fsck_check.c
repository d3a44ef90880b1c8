/* SPDX-License-Identifier: MIT */
/* fsck_check.c - checking with a progress bar, and repairing: the steps between recovery/ and the tool */
#include "tools/fsck_check.h"

#include "db/db.h"
#include "recovery/repair.h"

int fsck_check(const char *path,
               void (*progress)(void *ctx, const char *phase, uint64_t done, uint64_t total),
               void (*report)(void *ctx, const struct bwt_finding *finding), void *ctx)
{
	return db_verify(path, true, progress, report, ctx);
}

/* Opening recovers, closing takes a checkpoint: both superblocks and images are whole then. */
static int open_and_close(struct repair *repair)
{
	struct bwt_options options = {
		.flags = BWT_CATCH_SIGBUS,
		.checkpoint_wal_bytes = UINT64_MAX,
		.checkpoint_interval_ms = (unsigned)BWT_OFF,
		.worker_count = (unsigned)BWT_OFF,
		.progress = repair->progress,
		.ctx = repair->ctx,
	};
	struct epoch_slot *slot;
	struct bwt_db *db;
	int closed, rc = bwt_open(repair->path, &options, &db);

	if (rc < 0)
		return rc;
	rc = db_slot(db, &slot);
	if (rc == BWT_OK)
		rc = repair_pages(repair, &db->store, slot);
	closed = bwt_close(db);
	return rc < 0 ? rc : closed;
}

int fsck_repair(const char *path, const struct fsck_calls *calls)
{
	struct repair repair = {
		.path = path,
		.say = calls->say,
		.progress = calls->progress,
		.ctx = calls->ctx,
	};
	int rc = repair_files(&repair);

	return rc < 0 ? rc : open_and_close(&repair);
}
