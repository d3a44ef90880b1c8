/* SPDX-License-Identifier: MIT */
/*
 * value_files.c - value-log files that nothing refers to any more, and when they may go
 *
 *   in use --notice--> dead --two checkpoints later--> unlinked
 *
 *   VF1  A file is dead when it is made and not appended to any more (vlog_tails()), no thread holds a value of it
 *        that is not published yet (epoch_slot.value_hold), and its live bytes are 0, seen in this
 *        order. Who still writes to it has had its hold since before (V7). Live bytes rise only by publishing,
 *        so it stays dead: no image that is cut and no log record that is written after that refers to it.
 *        That goes for younger files than those that are appended to, too: large values have files of their own.
 *   VF2  It is unlinked when both retained images were cut after it was noticed (V1), nobody who was
 *        pinned when it was noticed still is, and no reader holds a reference into it.
 *   VF3  Nor as long as somebody may read a log record that refers to it again (wal_keep.h). Such records lie
 *        below the end that the log had when the file was noticed.
 *
 * Nothing here is stored: after a restart the files are noticed anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "recovery/checkpointer.h"

struct notice {
	struct value_files *values;
	struct store *store;
	struct vlog_tails tails;
	uint64_t hold; /* files below it are not held */
	uint64_t number;
	uint64_t epoch;
};

static bool known(const struct value_files *values, uint64_t file)
{
	for (unsigned i = 0; i < values->count; i++) {
		if (values->dead[i].file == file)
			return true;
	}
	return false;
}

static int notice_file(void *ctx, uint64_t file, uint64_t bytes)
{
	struct notice *notice = ctx;
	struct value_files *values = notice->values;
	unsigned capacity = values->capacity == 0 ? 16 : values->capacity * 2;
	struct dead_file *fresh;

	if ((vlog_is_tail(&notice->tails, file) && !TEST_FAULT("value_notice_active")) ||
	    file >= notice->hold || file >= notice->store->vlog_live.capacity ||
	    cow_load(&notice->store->vlog_live, file) != 0 || known(values, file))
		return 0;
	if (values->count == values->capacity) {
		fresh = realloc(values->dead, capacity * sizeof *fresh);
		if (fresh == NULL)
			return 0;
		values->dead = fresh;
		values->capacity = capacity;
	}
	values->dead[values->count++] = (struct dead_file){.file = file,
	                                                   .bytes = bytes,
	                                                   .lsn = store_clock(notice->store),
	                                                   .noticed = notice->number,
	                                                   .epoch = notice->epoch};
	return 0;
}

void value_files_notice(struct value_files *values, struct store *store, uint64_t number)
{
	struct notice notice = {.values = values, .store = store, .number = number};

	/* VF1: what is appended to first, then the holds, then the live bytes. */
	vlog_tails(store->vlog, &notice.tails);
	TEST_YIELD("value_notice_tails");
	notice.hold = epoch_lowest_hold(&store->epoch);
	notice.epoch = epoch_advance(&store->epoch);
	vlog_list(store->vlog, notice_file, &notice);
}

uint64_t value_files_kept(const struct value_files *values, uint64_t retained, uint64_t read_from)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < values->count; i++)
		if (values->dead[i].noticed < retained && values->dead[i].lsn > read_from)
			bytes += values->dead[i].bytes;
	return bytes;
}

void value_files_unlink(struct value_files *values, struct store *store, uint64_t retained,
                        uint64_t read_from)
{
	/* Pins first: whoever gave up its pin in between has set its hold before (VF2). */
	uint64_t oldest = epoch_oldest(&store->epoch);
	uint64_t hold = epoch_lowest_hold(&store->epoch);
	unsigned kept = 0;

	for (unsigned i = 0; i < values->count; i++) {
		struct dead_file dead = values->dead[i];
		int rc;

		if (dead.noticed >= retained || dead.epoch >= oldest || dead.file >= hold ||
		    (dead.lsn > read_from && !TEST_FAULT("value_unlink_unread"))) {
			values->dead[kept++] = dead;
			continue;
		}
		rc = vlog_unlink(store->vlog, dead.file);
		if (rc < 0)
			store_say(store, LOG_WARNING,
			          "a value-log file that is not needed any more stays: %s",
			          bwt_detail());
		else
			stats_add(&store->stats, 0, STAT_VALUE_FILES_FREED, 1);
	}
	values->count = kept;
}

int value_files_dead(const struct value_files *values, uint64_t number, uint64_t **files,
                     unsigned *count)
{
	uint64_t *found = malloc((values->count + 1) * sizeof *found);

	if (found == NULL)
		return error_set(-ENOMEM, "no memory for a list of value-log files");
	*count = 0;
	for (unsigned i = 0; i < values->count; i++) {
		if (values->dead[i].noticed < number)
			found[(*count)++] = values->dead[i].file;
	}
	*files = found;
	return BWT_OK;
}

void value_files_free(struct value_files *values)
{
	free(values->dead);
	memset(values, 0, sizeof *values);
}
