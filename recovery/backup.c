/* SPDX-License-Identifier: MIT */
/*
 * backup.c - a copy of an open store
 *
 *   begin -> arena: what the pinned checkpoint reaches -> log flushed: end E -> values -> log up to E
 *         -> superblock -> arena.part becomes arena -> opened once, as after a crash -> closed
 *
 * Why it is consistent: the copy is what a crash could have left at the instant when E was durable, but
 * for what nothing refers to: one durable checkpoint, whose blocks are not overwritten while it is
 * pinned (I8, K3), and the log from its cut to E. Blocks that change while they are read are those that
 * recovery judges by their own words in any case: deltas that are younger than the cut.
 *
 *   BK1  E is fixed before the value log's files are listed, so every value below E is in them.
 *   BK2  The superblock is written when all it names is durable, and the name `arena` comes last, so a
 *        copy that was cut off is never taken for a store.
 *   BK3  It is opened before it is called done: that proves it, replays its log, and gives it the
 *        second checkpoint that every store has.
 */
#include "recovery/backup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "log/file_copy.h"
#include "log/vlog_private.h"
#include "log/wal_copy.h"
#include "recovery/image.h"
#include "recovery/store_files.h"
#include "sys/file.h"

#define REPORT_BYTES ((uint64_t)1 << 20) /* between calls of options.progress */

struct backup {
	struct store *store; /* the source */
	const struct checkpoint_pin *pin;
	struct store target; /* descriptors only */
	uint64_t end_lsn;    /* E */
	uint64_t done, total, reported;
};

static void report(struct backup *backup, uint64_t bytes)
{
	struct store *store = backup->store;

	backup->done += bytes;
	if (store->progress == NULL || backup->done < backup->reported + REPORT_BYTES)
		return;
	backup->reported = backup->done;
	store->progress(store->ctx, "backup", backup->done,
	                backup->done > backup->total ? backup->done : backup->total);
}

/* ---- the arena ---- */

static void mark_blocks(uint8_t *wanted, const arena_off *offs, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (offs[i] != 0)
			wanted[extent_of(offs[i])] = 1;
	}
}

/* A byte per extent: 1 where the image or a page that it reaches lies. */
static void mark_extents(const struct backup *backup, const struct image *image, uint8_t *wanted)
{
	const struct arena *arena = &backup->store->arena;
	uint64_t words[COW_SEGMENT_WORDS];

	for (unsigned t = 0; t < IMAGE_TABLES; t++) {
		const struct image_blocks *blocks = &image->table[t];

		mark_blocks(wanted, blocks->segments, blocks->segment_count);
		mark_blocks(wanted, blocks->directories, image_directories(blocks->segment_count));
	}
	mark_blocks(wanted, image->roots, image->root_count);
	for (uint64_t id = 1; id < image->state.extent_count; id++) {
		uint64_t word;

		if (id == 1 || id % COW_SEGMENT_WORDS == 0)
			image_segment_words(arena, image, IMAGE_EXTENTS, id / COW_SEGMENT_WORDS,
			                    words);
		word = words[id % COW_SEGMENT_WORDS];
		if (extent_live(word) != 0 && extent_kind_of(word) >= EXTENT_DELTA &&
		    extent_kind_of(word) <= EXTENT_INNER)
			wanted[id] = 1;
	}
}

/*
 * Every byte that the copy may write to by its mapping has a block: a mapping has no way to say "full". What is not
 * wanted is a hole, which is known as one when the copy is opened; but for the small extents, which nobody asks. In
 * this order the file grows with the blocks, so a file system that cannot allocate them has no holes.
 */
static int allocate_extents(const struct backup *backup, const uint8_t *wanted, uint64_t count)
{
	uint64_t size = backup->pin->super.arena_size;
	int fd = backup->target.arena_fd;
	int rc = sys_file_allocate(fd, 0, size < EXTENT_SIZE ? size : EXTENT_SIZE);

	for (uint64_t i = EXTENT_SMALL_COUNT; i < count && rc == BWT_OK; i++)
		if (wanted[i] != 0 || i + 1 == count)
			rc = sys_file_allocate(fd, extent_start((extent_id)i), EXTENT_SIZE);
	return rc;
}

static int copy_extents(struct backup *backup, const uint8_t *wanted, uint64_t count)
{
	int rc = BWT_OK;

	for (uint64_t i = 1; i < count; i++)
		backup->total += wanted[i] != 0 ? extent_size((extent_id)i) : 0;
	for (uint64_t i = 1; i < count && rc == BWT_OK; i++) {
		extent_id id = (extent_id)i;

		if (wanted[i] == 0)
			continue;
		rc = file_copy(backup->store->arena_fd, extent_start(id), backup->target.arena_fd,
		               extent_start(id), extent_size(id));
		report(backup, extent_size(id));
		TEST_YIELD("backup_extent");
	}
	return rc;
}

/*
 * The arena as large as the checkpoint says, and as the copy will be. What is in use of the source may end before by
 * now: of what the image needs nothing is behind that end (RE1), and the file is not cut while the checkpoint is pinned.
 */
static int read_image(const struct backup *backup, struct image *image)
{
	const struct arena *arena = &backup->store->arena;
	struct arena as_of = {.base = arena->base, .max_size = arena->max_size, .fd = -1};

	atomic_init(&as_of.size, backup->pin->super.arena_size);
	return image_read(&as_of, &backup->pin->super, image);
}

static int copy_arena(struct backup *backup)
{
	struct image image = {0};
	uint64_t count = (uint64_t)extent_of(backup->pin->super.arena_size - 1) + 1;
	uint8_t *wanted;
	int rc;

	rc = read_image(backup, &image);
	if (rc < 0)
		return rc;
	wanted = calloc(count, 1);
	rc = wanted == NULL ? error_set(-ENOMEM, "no memory for a backup") : BWT_OK;
	if (rc == BWT_OK) {
		mark_extents(backup, &image, wanted);
		rc = allocate_extents(backup, wanted, count);
	}
	if (rc == BWT_OK)
		rc = copy_extents(backup, wanted, count);
	free(wanted);
	image_free(&image);
	return rc < 0 ? rc : sys_file_sync(backup->target.arena_fd);
}

/* ---- the value log ---- */

static bool is_dead(const struct checkpoint_pin *pin, uint64_t file)
{
	for (unsigned i = 0; i < pin->dead_count; i++) {
		if (pin->dead_files[i] == file)
			return true;
	}
	return false;
}

static int copy_open_file(struct backup *backup, int from, const char *name)
{
	uint64_t size;
	int to = -1, rc = sys_file_size(from, &size);

	if (rc == BWT_OK)
		rc = sys_file_open(backup->target.vlog_dir_fd, name, SYS_CREATE | SYS_EXCL, &to);
	if (rc < 0)
		return rc;
	/* Zeroes at its end are not written, so it gets its size first. */
	rc = sys_file_truncate(to, size);
	if (rc == BWT_OK)
		rc = file_copy(from, 0, to, 0, size);
	if (rc == BWT_OK)
		rc = sys_file_sync(to);
	sys_file_close(to);
	backup->total += size;
	report(backup, size);
	return rc;
}

static int copy_value_file(void *ctx, const char *name)
{
	struct backup *backup = ctx;
	uint64_t number;
	int from, rc;

	if (!vlog_parse(name, &number) || is_dead(backup->pin, number))
		return BWT_OK;
	rc = sys_file_open(backup->store->vlog_dir_fd, name, SYS_RDONLY, &from);
	if (rc == -ENOENT) /* of an append that failed (vlog.c V5); what is needed stays */
		return BWT_OK;
	if (rc < 0)
		return rc;
	rc = copy_open_file(backup, from, name);
	sys_file_close(from);
	TEST_YIELD("backup_value_file");
	return rc;
}

/* ---- the whole ---- */

/* E, and the log behind the pinned checkpoint. */
static int copy_logs(struct backup *backup)
{
	struct store *store = backup->store;
	const struct store *target = &backup->target;
	int rc = wal_flush(store->wal, true);

	if (rc < 0)
		return rc;
	backup->end_lsn = wal_durable_lsn(store->wal);
	TEST_YIELD("backup_end");
	rc = sys_dir_list(store->vlog_dir_fd, copy_value_file, backup); /* BK1 */
	if (rc == BWT_OK)
		rc = sys_dir_sync(target->vlog_dir_fd);
	if (rc == BWT_OK)
		rc = wal_copy(store->wal_dir_fd, target->wal_dir_fd, backup->pin->log_from,
		              backup->end_lsn);
	return rc;
}

static int copy_all(struct backup *backup)
{
	struct superblock super = backup->pin->super;
	int rc = copy_arena(backup);

	if (rc == BWT_OK)
		rc = copy_logs(backup);
	TEST_YIELD("backup_copied");
	super.clean = 0; /* the copy's log goes on */
	super.log_incarnation = 0;
	if (rc == BWT_OK)
		rc = superblock_write(backup->target.arena_fd, backup->pin->slot, &super); /* BK2 */
	TEST_YIELD("backup_super");
	if (rc == BWT_OK)
		rc = store_files_backup_done(&backup->target);
	TEST_YIELD("backup_named");
	return rc;
}

/* BK3 */
static int open_once(const struct backup *backup, const char *path)
{
	const struct store *store = backup->store;
	pthread_mutex_t trees_lock = PTHREAD_MUTEX_INITIALIZER;
	struct checkpointer *checkpointer;
	struct replayed replayed = {0};
	struct store *copy = aligned_alloc(CACHE_LINE_SIZE, sizeof *copy);
	struct recover_config config = {
		.path = path,
		.plain = true,
		.durability = BWT_SYNC,
		.max_size = store->max_size,
		.inline_max = store->inline_max,
		.wal_segment_size = WAL_SEGMENT_MIN,
		.vlog_segment_size = VLOG_SEGMENT_MIN,
		.limits = store->env.limits,
		.replayed = &replayed,
	};
	int rc;

	if (copy == NULL)
		return error_set(-ENOMEM, "no memory for a backup");
	memset(copy, 0, sizeof *copy);
	copy->trees_lock = &trees_lock;
	rc = recover_open(copy, &config, &checkpointer);
	if (rc == BWT_OK) {
		if (replayed.end_lsn < backup->end_lsn)
			rc = error_set(
				BWT_CORRUPT,
				"the backup's log ends at LSN %llu, it was durable up to %llu",
				(unsigned long long)replayed.end_lsn,
				(unsigned long long)backup->end_lsn);
		recover_close(copy, checkpointer);
	}
	free(copy);
	return rc;
}

int backup_copy(struct store *store, const struct checkpoint_pin *pin, const char *path)
{
	struct backup backup = {.store = store, .pin = pin};
	struct store *target = &backup.target;
	int rc;

	target->dir_fd = target->wal_dir_fd = target->vlog_dir_fd = target->lock_fd =
		target->arena_fd = -1;
	rc = store_files_backup(target, path);
	TEST_YIELD("backup_begun");
	if (rc == BWT_OK)
		rc = copy_all(&backup);
	sys_file_unlock(target->lock_fd);
	if (rc == BWT_OK)
		rc = open_once(&backup, path);
	if (rc < 0)
		store_files_backup_undo(target);
	store_files_close(target);
	if (rc == BWT_OK && store->progress != NULL)
		store->progress(store->ctx, "backup", 1, 1);
	return rc;
}
