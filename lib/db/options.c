/* SPDX-License-Identifier: MIT */
/*
 * options.c - options of bwt_open(): defaults, limits, contradictions
 *
 * Zero means the default; BWT_OFF (all bits set) means none, where none makes sense.
 */
#include <string.h>

#include "base/error.h"
#include "db/db.h"

#define OPEN_FLAGS                                                                                 \
	(BWT_CREATE | BWT_EXCL | BWT_RDONLY | BWT_NO_URING | BWT_CATCH_SIGBUS | BWT_VERIFY)
#define INLINE_LIMIT ((uint32_t)64 << 10)
#define SEGMENT_LIMIT ((uint64_t)1 << 40)
#define MAX_SIZE_LIMIT ((uint64_t)1 << 46)

static const struct bwt_options defaults = {
	.sync_interval_ms = 100,
	.max_size = (uint64_t)1 << 40,
	.inline_max = 2048,
	.wal_segment_size = (uint64_t)64 << 20,
	.vlog_segment_size = (uint64_t)64 << 20,
	.checkpoint_wal_bytes = (uint64_t)256 << 20,
	.checkpoint_interval_ms = 60000,
	.worker_count = 1,
	.space_target = 250,
	.vlog_space_target = 150,
	.changes_keep_bytes = (uint64_t)1 << 30,
};

static int check_flags(unsigned flags)
{
	if ((flags & ~OPEN_FLAGS) != 0)
		return error_set(BWT_INVALID, "options.flags: unknown bits %#x", flags & ~OPEN_FLAGS);
	if ((flags & BWT_EXCL) != 0 && (flags & BWT_CREATE) == 0)
		return error_set(BWT_INVALID, "options.flags: BWT_EXCL needs BWT_CREATE");
	if ((flags & BWT_RDONLY) != 0 && (flags & BWT_CREATE) != 0)
		return error_set(BWT_INVALID, "options.flags: BWT_RDONLY contradicts BWT_CREATE");
	return BWT_OK;
}

static int check_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
	if (value >= least && value <= most)
		return BWT_OK;
	return error_set(BWT_INVALID, "options.%s: %llu is not between %llu and %llu", name,
	                 (unsigned long long)value, (unsigned long long)least,
	                 (unsigned long long)most);
}

static int check_values(const struct bwt_options *options)
{
	int rc = BWT_OK;

	if (options->wal_path != NULL && options->wal_path[0] == '\0')
		return error_set(BWT_INVALID, "options.wal_path: an empty path");
	if (options->durability < BWT_SYNC || options->durability > BWT_NONE)
		return error_set(
			BWT_INVALID,
			"options.durability: %d is not one of BWT_SYNC, BWT_INTERVAL, BWT_NONE",
			options->durability);
	if (rc == BWT_OK)
		rc = check_range("max_size", options->max_size, (uint64_t)4 << 20, MAX_SIZE_LIMIT);
	if (rc == BWT_OK)
		rc = check_range("inline_max", options->inline_max, 0, INLINE_LIMIT);
	if (rc == BWT_OK)
		rc = check_range("wal_segment_size", options->wal_segment_size, WAL_SEGMENT_MIN,
		                 SEGMENT_LIMIT);
	if (rc == BWT_OK)
		rc = check_range("vlog_segment_size", options->vlog_segment_size, 65536,
		                 SEGMENT_LIMIT);
	if (rc == BWT_OK)
		rc = check_range("space_target", options->space_target, 110, 100000);
	if (rc == BWT_OK && options->vlog_space_target != (unsigned)BWT_OFF)
		rc = check_range("vlog_space_target", options->vlog_space_target, 110, 100000);
	return rc;
}

/* Zero fields take their defaults. */
#define FILL(options, field)                                                                       \
	do {                                                                                       \
		if ((options)->field == 0)                                                         \
			(options)->field = defaults.field;                                         \
	} while (0)

int options_resolve(const struct bwt_options *given, struct bwt_options *resolved)
{
	int rc;

	memset(resolved, 0, sizeof *resolved);
	if (given != NULL)
		*resolved = *given;
	rc = check_flags(resolved->flags);
	if (rc < 0)
		return rc;
	FILL(resolved, sync_interval_ms);
	FILL(resolved, max_size);
	FILL(resolved, inline_max);
	FILL(resolved, wal_segment_size);
	FILL(resolved, vlog_segment_size);
	FILL(resolved, checkpoint_wal_bytes);
	FILL(resolved, checkpoint_interval_ms);
	FILL(resolved, worker_count);
	FILL(resolved, space_target);
	FILL(resolved, vlog_space_target);
	FILL(resolved, changes_keep_bytes);
	if (resolved->inline_max == (uint32_t)BWT_OFF)
		resolved->inline_max = 0;
	if (resolved->changes_keep_bytes == (uint64_t)BWT_OFF)
		resolved->changes_keep_bytes = 0;
	return check_values(resolved);
}
