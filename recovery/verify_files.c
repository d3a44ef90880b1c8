/* SPDX-License-Identifier: MIT */
/*
 * verify_files.c - superblocks, images and log headers, as they lie on the disk
 *
 * Why apart from verify.c: opening uses one image and needs one good copy of each thing; what the
 * other copies are worth is only seen here, before anything is opened.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "log/wal_reader.h"
#include "recovery/checkpoint_load.h"
#include "recovery/store_files.h"
#include "recovery/verify.h"
#include "sys/file.h"

static void say(struct verify_report *report, enum bwt_severity severity, const char *file,
                uint64_t off, const char *text)
{
	struct bwt_finding finding = {
		.severity = (int)severity, .file = file, .offset = off, .text = text};

	if (severity == BWT_DAMAGE)
		report->damages++;
	else if (severity == BWT_WARNING)
		report->warnings++;
	if (report->report != NULL)
		report->report(report->ctx, &finding);
}

/* Each superblock that can be read, with its image; one good one makes the other's fault a warning. */
static int verify_images(struct store *store, struct verify_report *report)
{
	struct superblocks supers;
	char text[2][ERROR_DETAIL_MAX] = {"", ""};
	bool good[2] = {false, false};
	int rc = superblocks_read(store->arena_fd, &supers);

	if (rc == BWT_VERSION || rc == BWT_IO)
		return rc;
	rc = arena_open(&store->arena, store->arena_fd, EXTENT_SIZE, true);
	if (rc < 0)
		return rc;
	for (unsigned slot = 0; slot < 2 && rc == BWT_OK; slot++) {
		struct image image = {0};

		rc = superblock_read(store->arena_fd, slot, &supers.super[slot]);
		if (rc == BWT_OK)
			rc = image_read(&store->arena, &supers.super[slot], &image);
		good[slot] = rc == BWT_OK;
		if (rc != BWT_OK)
			snprintf(text[slot], sizeof text[slot], "%s", bwt_detail());
		image_free(&image);
		if (rc == BWT_CORRUPT)
			rc = BWT_OK;
	}
	for (unsigned slot = 0; slot < 2 && rc == BWT_OK; slot++) {
		if (!good[slot])
			say(report, good[1 - slot] ? BWT_WARNING : BWT_DAMAGE, "arena",
			    SUPERBLOCK_OFF(slot), text[slot]);
	}
	arena_close(&store->arena);
	return rc;
}

struct segments {
	struct verify_report *report;
	unsigned count;
};

static int verify_segment(void *ctx, const char *name, const struct wal_segment_head *head)
{
	struct segments *segments = ctx;
	char file[SYS_NAME_SIZE + 8];

	segments->count++;
	snprintf(file, sizeof file, "wal/%s", name);
	if (head == NULL)
		say(segments->report, BWT_WARNING, file, 0,
		    "neither copy of the log segment's header can be used");
	return 0;
}

int verify_files(const char *path, struct verify_report *report)
{
	struct recover_config config = {.path = path, .readonly = true};
	struct store store = {
		.dir_fd = -1, .wal_dir_fd = -1, .vlog_dir_fd = -1, .lock_fd = -1, .arena_fd = -1};
	struct segments segments = {.report = report};
	bool create = false;
	int rc;

	store.readonly = true;
	rc = store_files_open(&store, &config, &create);
	if (rc == BWT_OK)
		rc = verify_images(&store, report);
	if (rc == BWT_OK)
		rc = wal_segments_list(store.wal_dir_fd, verify_segment, &segments);
	if (rc == BWT_OK && segments.count == 0)
		say(report, BWT_DAMAGE, "wal", 0, "there is no log segment");
	store_files_close(&store);
	return rc;
}
