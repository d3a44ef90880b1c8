/* SPDX-License-Identifier: MIT */
/*
 * repair.c - from files that do not open to files that do
 *
 *   superblocks -> the newest checkpoint that can be read -> its log, cut where it cannot be read on
 *   -> replayed in memory, cut where that cannot go on -> a newest superblock that the log does not reach is given up
 *
 * The rest is what every opening does: it recovers, and its checkpoints take the place of what is
 * damaged. Nothing is decided here that loses more than what cannot be read: the newest checkpoint that
 * is whole is taken, and of the log all up to the first record that cannot be.
 *
 *   RE1  An action is said, then what it takes away is saved durably, then it is done.
 */
#include "recovery/repair.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "log/file_copy.h"
#include "page/page_check.h"
#include "recovery/image.h"
#include "recovery/store_files.h"
#include "sys/file.h"
#include "tree/consolidate.h"
#include "tree/tree_check.h"

#define LOST_NAME "lost+found"
#define LOST_TRIES 10000u

void repair_say(struct repair *repair, const char *format, ...)
{
	char text[ERROR_DETAIL_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	repair->actions++;
	if (repair->say != NULL)
		repair->say(repair->ctx, text);
	TEST_YIELD("repair_said");
}

/* ---- lost+found ---- */

static int open_lost(struct repair *repair, int *fd)
{
	int rc = sys_dir_create_at(repair->files.dir_fd, LOST_NAME);

	if (rc == BWT_OK)
		rc = sys_dir_sync(repair->files.dir_fd);
	return rc < 0 ? rc : sys_dir_open_at(repair->files.dir_fd, LOST_NAME, fd);
}

/* A name that is not taken in lost+found: @name, or with a number. */
static int free_name(int lost_fd, const char *name, char out[SYS_NAME_SIZE])
{
	bool taken = true;
	int rc = BWT_OK;

	for (unsigned i = 0; i < LOST_TRIES && taken && rc == BWT_OK; i++) {
		if (i == 0)
			snprintf(out, SYS_NAME_SIZE, "%s", name);
		else
			snprintf(out, SYS_NAME_SIZE, "%.200s.%u", name, i);
		rc = sys_file_exists(lost_fd, out, &taken);
	}
	if (rc == BWT_OK && taken)
		rc = error_set(BWT_FULL, LOST_NAME " has too many files called %s", name);
	return rc;
}

int repair_save(struct repair *repair, int fd, uint64_t off, uint64_t len, const char *name)
{
	char to[SYS_NAME_SIZE];
	int lost_fd, to_fd, rc;

	rc = open_lost(repair, &lost_fd);
	if (rc < 0)
		return rc;
	rc = free_name(lost_fd, name, to);
	if (rc == BWT_OK)
		rc = sys_file_open(lost_fd, to, SYS_CREATE | SYS_EXCL, &to_fd);
	if (rc == BWT_OK) {
		rc = sys_file_truncate(to_fd, len);
		if (rc == BWT_OK)
			rc = file_copy(fd, off, to_fd, 0, len);
		if (rc == BWT_OK)
			rc = sys_file_sync(to_fd);
		sys_file_close(to_fd);
	}
	if (rc == BWT_OK)
		rc = sys_dir_sync(lost_fd);
	sys_file_close(lost_fd);
	TEST_YIELD("repair_saved");
	return rc;
}

/* The folder is on another file system: a copy, then gone. */
static int move_over(struct repair *repair, int folder_fd, const char *name, const char *bare)
{
	uint64_t size = 0;
	int fd, rc = sys_file_open(folder_fd, name, SYS_RDONLY, &fd);

	if (rc < 0)
		return rc;
	rc = sys_file_size(fd, &size);
	if (rc == BWT_OK)
		rc = repair_save(repair, fd, 0, size, bare);
	sys_file_close(fd);
	return rc < 0 ? rc : sys_file_unlink(folder_fd, name);
}

int repair_set_aside(struct repair *repair, const char *folder, int folder_fd, const char *name)
{
	char from[2 * SYS_NAME_SIZE], to[2 * SYS_NAME_SIZE], bare[SYS_NAME_SIZE];
	int lost_fd, rc;

	rc = open_lost(repair, &lost_fd);
	if (rc < 0)
		return rc;
	rc = free_name(lost_fd, name, bare);
	if (rc == BWT_OK) {
		snprintf(from, sizeof from, "%s/%s", folder, name);
		snprintf(to, sizeof to, LOST_NAME "/%s", bare);
		repair_say(repair, "%s is moved to %s", from, to);
		rc = sys_file_rename(repair->files.dir_fd, from, to);
		if (rc == -EXDEV)
			rc = move_over(repair, folder_fd, name, bare);
	}
	/* It is there before it is gone: a crash leaves it in one place at least. */
	if (rc == BWT_OK)
		rc = sys_dir_sync(lost_fd);
	if (rc == BWT_OK)
		rc = sys_dir_sync(folder_fd);
	sys_file_close(lost_fd);
	TEST_YIELD("repair_moved");
	return rc;
}

/* ---- superblocks ---- */

static int save_superblock(struct repair *repair, unsigned slot)
{
	char name[32];

	snprintf(name, sizeof name, "superblock-%u", slot);
	return repair_save(repair, repair->files.arena_fd, SUPERBLOCK_OFF(slot), SUPERBLOCK_SIZE,
	                   name);
}

/* What of the two can be used: *use is the slot of the newest whole image, and whole[] says of each. */
static int survey_images(struct repair *repair, struct superblocks *supers, bool whole[2],
                         unsigned *use, uint64_t *lsn)
{
	struct arena arena = {0};
	bool found = false;
	int rc = arena_open(&arena, repair->files.arena_fd, EXTENT_SIZE, true);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < 2 && rc == BWT_OK; i++) {
		struct image image = {0};

		whole[i] = false;
		if (supers->rc[i] != BWT_OK)
			continue;
		rc = image_read(&arena, &supers->super[i], &image);
		whole[i] = rc == BWT_OK;
		if (whole[i] &&
		    (!found || supers->super[i].checkpoint > supers->super[*use].checkpoint)) {
			*use = i;
			*lsn = image.state.start_lsn;
			found = true;
		}
		image_free(&image);
		if (rc == BWT_CORRUPT)
			rc = BWT_OK;
	}
	arena_close(&arena);
	if (rc == BWT_OK && !found)
		rc = error_set(
			BWT_CORRUPT,
			"neither checkpoint can be read: --rebuild makes a store of what there is");
	return rc;
}

/* The newest superblock, whose checkpoint cannot be used and whose cut the log does not reach any more. */
static int give_up_superblock(struct repair *repair, unsigned slot, const struct superblock *super,
                              uint64_t end)
{
	static const uint8_t zeroes[SUPERBLOCK_SIZE];
	int rc;

	repair_say(repair, "checkpoint %llu is given up: it cannot be read, and the log ends at LSN %llu, before its cut",
	           (unsigned long long)super->checkpoint, (unsigned long long)end);
	rc = sys_file_write(repair->files.arena_fd, zeroes, sizeof zeroes, SUPERBLOCK_OFF(slot));
	return rc < 0 ? rc : sys_file_sync(repair->files.arena_fd);
}

/* ---- replay ---- */

/* Recover in memory; *replayed says how far it came. The lock is ours, so it is given up meanwhile. */
static int try_replay(struct repair *repair, struct replayed *replayed)
{
	pthread_mutex_t trees_lock = PTHREAD_MUTEX_INITIALIZER;
	struct store *store = aligned_alloc(CACHE_LINE_SIZE, sizeof *store);
	struct checkpointer *checkpointer;
	struct recover_config config = {
		.path = repair->path,
		.readonly = true,
		.plain = true,
		.catch_sigbus = true,
		.max_size = (uint64_t)1 << 40,
		.inline_max = UINT32_MAX,
		.limits = {8192, 8192, 16, 2, 0},
		.progress = repair->progress,
		.ctx = repair->ctx,
		.replayed = replayed,
	};
	int rc;

	if (store == NULL)
		return error_set(-ENOMEM, "no memory to try the log");
	memset(store, 0, sizeof *store);
	store->trees_lock = &trees_lock;
	rc = recover_open(store, &config, &checkpointer);
	if (rc == BWT_OK)
		recover_close(store, checkpointer);
	free(store);
	return rc;
}

static int open_files(struct repair *repair)
{
	struct recover_config config = {.path = repair->path};
	bool create;
	struct store *files = &repair->files;

	files->dir_fd = files->wal_dir_fd = files->vlog_dir_fd = files->lock_fd = files->arena_fd =
		-1;
	return store_files_open(files, &config, &create);
}

/* The log from @lsn on can be read, and done again. */
static int mend_log(struct repair *repair, uint64_t lsn, uint64_t *end)
{
	struct replayed replayed = {0};
	uint64_t last = UINT64_MAX;
	int rc = repair_log(repair, lsn, end);

	while (rc == BWT_OK) {
		char why[ERROR_DETAIL_MAX];

		store_files_close(&repair->files);
		rc = try_replay(repair, &replayed);
		snprintf(why, sizeof why, "%s", bwt_detail());
		if (rc == BWT_OK || (rc == BWT_CORRUPT && !replayed.log_damaged))
			return open_files(repair) < 0 ? BWT_BUSY : BWT_OK;
		if (rc != BWT_CORRUPT || replayed.end_lsn >= last)
			return rc;
		last = replayed.end_lsn;
		rc = open_files(repair);
		if (rc < 0)
			return rc;
		repair_say(repair, "the log is damaged: %s", why);
		rc = repair_cut_log(repair, lsn, last);
		*end = last;
	}
	return rc;
}

static int mend(struct repair *repair)
{
	struct superblocks supers;
	bool whole[2];
	unsigned use = 0;
	uint64_t lsn = 0, end = 0;
	int rc = superblocks_read(repair->files.arena_fd, &supers);

	if (rc == BWT_CORRUPT)
		rc = error_set(
			BWT_CORRUPT,
			"neither superblock can be read: --rebuild makes a store of what there is");
	if (rc == BWT_OK)
		rc = survey_images(repair, &supers, whole, &use, &lsn);
	if (rc < 0)
		return rc;
	repair->store_id = supers.super[use].store_id;
	for (unsigned slot = 0; slot < 2 && rc == BWT_OK; slot++) {
		if (whole[slot])
			continue;
		repair_say(repair, "superblock %u or its checkpoint is damaged: checkpoint %llu is used, a new one replaces it",
		           slot, (unsigned long long)supers.super[use].checkpoint);
		rc = save_superblock(repair, slot);
	}
	if (rc == BWT_OK)
		rc = mend_log(repair, lsn, &end);
	for (unsigned slot = 0; slot < 2 && rc == BWT_OK; slot++) {
		if (!whole[slot] && supers.rc[slot] == BWT_OK && supers.super[slot].start_lsn > end)
			rc = give_up_superblock(repair, slot, &supers.super[slot], end);
	}
	return rc;
}

int repair_files(struct repair *repair)
{
	int rc = open_files(repair);

	if (rc == BWT_OK)
		rc = mend(repair);
	store_files_close(&repair->files);
	return rc;
}

/* ---- pages that nothing reaches ---- */

struct sweep {
	uint8_t *reached; /* a bit per page id */
	uint64_t page_count;
	unsigned faults;
};

static bool sweep_reach(void *ctx, page_id page)
{
	struct sweep *sweep = ctx;
	uint8_t bit = (uint8_t)(1u << page % 8);
	bool first;

	if (page >= sweep->page_count)
		return false;
	first = (sweep->reached[page / 8] & bit) == 0;
	sweep->reached[page / 8] |= bit;
	return first;
}

static void sweep_fault(void *ctx, const struct tree_fault *fault)
{
	struct sweep *sweep = ctx;

	(void)fault;
	sweep->faults++;
}

static void sweep_block(void *ctx, arena_off off, uint32_t size)
{
	(void)ctx;
	(void)off;
	(void)size;
}

static void sweep_large(void *ctx, page_id page, const struct page_entry *entry,
                        const struct value_ref *ref)
{
	(void)ctx;
	(void)page;
	(void)entry;
	(void)ref;
}

/* In the gate. A chain that is damaged only loses its id: its bytes stay counted. */
static int drop_page(struct store *store, page_id page)
{
	uint64_t word = mapping_stored(mapping_load(&store->mapping, page));
	arena_off bad;
	bool sound = mapping_head(word) != 0 &&
	             page_check_chain(store->arena.base, arena_size(&store->arena),
	                              mapping_head(word), page, true, &bad) == NULL;

	if (!mapping_touch(&store->mapping, page) || (sound && !chain_touch(&store->env, word)))
		return error_set(-ENOMEM, "no memory to give up a page");
	mapping_clear(&store->mapping, page);
	if (sound)
		chain_retire(&store->env, word);
	return BWT_OK;
}

static int sweep_pages(struct repair *repair, struct store *store, struct epoch_slot *slot,
                       const struct sweep *sweep)
{
	int rc = BWT_OK;

	for (page_id page = 1; page < sweep->page_count && rc == BWT_OK; page++) {
		if (mapping_load(&store->mapping, page) == 0 ||
		    (sweep->reached[page / 8] & 1u << page % 8) != 0)
			continue;
		repair_say(repair, "page %llu, which no tree reaches, is given up",
		           (unsigned long long)page);
		gate_enter(slot);
		rc = drop_page(store, page);
		gate_leave(slot);
		epoch_unpin(slot);
	}
	return rc;
}

int repair_pages(struct repair *repair, struct store *store, struct epoch_slot *slot)
{
	struct sweep sweep = {
		.page_count = atomic_load_explicit(&store->mapping.next_id, memory_order_relaxed)};
	int rc = BWT_OK;

	sweep.reached = calloc(1, sweep.page_count / 8 + 1);
	if (sweep.reached == NULL)
		return error_set(-ENOMEM, "no memory to look for pages");
	epoch_pin(slot);
	for (const struct named_tree *tree = store->trees; tree != NULL && rc == BWT_OK;
	     tree = tree->next) {
		struct tree_check check = {
			.dropping = tree->state == CATALOG_DROPPING,
			.fault = sweep_fault,
			.reach = sweep_reach,
			.block = sweep_block,
			.large = sweep_large,
			.ctx = &sweep,
		};

		rc = tree_check(&tree->tree, &check);
	}
	epoch_unpin(slot);
	/* Behind a damaged page others are only out of reach. */
	if (rc == BWT_OK && sweep.faults == 0)
		rc = sweep_pages(repair, store, slot, &sweep);
	free(sweep.reached);
	return rc;
}
