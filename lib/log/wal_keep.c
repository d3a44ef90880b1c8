/* SPDX-License-Identifier: MIT */
/*
 * wal_keep.c - who reads the log behind the checkpoints, and how much of it is kept for them
 *
 * Why: a reader that comes back after hours finds the log that it has not seen. It costs space, so there is
 * a limit, and whoever would need more is cut off: a slow reader never fills the disk.
 *
 *   (none) --wal_keep_add()--> open --wal_keep_leave()--> away --wal_keep_add()--> open
 *                               |                          |
 *                               +--- wal_keep_settle() ----+--> lost --wal_keep_add(), a later position--> open
 *
 *   WK1  A reader at P needs the log from its floor on: the first part of any transaction that is committed at or
 *        above P. Of checkpoints that is known: at a cut L <= P every open transaction began at or above the
 *        log_from of that cut, and those that began later began above L. The floor of another reader at
 *        or below P is as good.
 *   WK2  What is released was released in the register before, durably: a register that is read back never
 *        promises what is gone. So of readers with a name the positions that the file has count, not those in memory.
 *   WK3  Commits from `complete` on can be read by whoever comes, values included: nothing of them was released.
 *
 * The file `readers` has two copies, written in turn; the one with the higher sequence that checks out counts.
 * It is made whole when the first name is registered, so that no later write of it needs space.
 *
 * Locks: file_lock over changes that are written, and the writing; lock inside it, never over I/O.
 */
#include "log/wal_keep.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "log/log_lock.h"
#include "log/wal_format.h"
#include "sys/file.h"

#define CUTS_MAX 64u

static_assert(sizeof(struct wal_readers_head) + WAL_KEEPERS_MAX * sizeof(struct wal_reader_entry) <=
                      WAL_READERS_COPY_SIZE,
              "all readers fit");
static_assert(sizeof(((struct wal_reader_entry *)0)->name) == WAL_KEEP_NAME_MAX + 1, "log layout");

struct keeper_state { /* what is promised to a reader */
	uint64_t position;
	uint64_t floor; /* WK1 */
	bool lost;
};

struct wal_keeper {
	bool used;
	bool open;
	bool saved_valid; /* has a name, and the file has it */
	char name[WAL_KEEP_NAME_MAX + 1];
	struct keeper_state now;
	struct keeper_state saved; /* as the file has it */
	_Atomic(uint32_t) cut_off; /* now.lost, for the reader's own thread: RELEASE; ACQUIRE */
};

struct cut {
	uint64_t start_lsn;
	uint64_t log_from;
};

struct wal_keep {
	int dir_fd;
	int fd; /* of the file; -1: there is none yet */
	uint64_t store_id;
	uint64_t limit;
	uint64_t sequence; /* of the newest copy; 0: none */
	struct log_lock file_lock;
	struct log_lock lock; /* all below */
	struct wal_keeper keepers[WAL_KEEPERS_MAX];
	struct cut cuts[CUTS_MAX]; /* ascending */
	unsigned cut_count;
	uint64_t complete; /* WK3 */
	bool changed;      /* the file is older than this */
	bool pressed;
};

/* ---- the file ---- */

static uint32_t head_crc(const uint8_t *copy, size_t size)
{
	size_t from = offsetof(struct wal_readers_head, version);

	return crc32c(0, copy + from, size - from);
}

/* Read one copy; false: it is not one. */
static bool parse_copy(struct wal_keep *keep, const uint8_t *copy, struct wal_keeper *keepers,
                       uint64_t *sequence)
{
	struct wal_readers_head head;
	struct wal_reader_entry entry;

	memcpy(&head, copy, sizeof head);
	if (head.magic != WAL_READERS_MAGIC || head.version != WAL_READERS_VERSION ||
	    head.store_id != keep->store_id || head.count > WAL_KEEPERS_MAX || head.sequence == 0 ||
	    head.crc != head_crc(copy, sizeof head + head.count * sizeof entry))
		return false;
	memset(keepers, 0, WAL_KEEPERS_MAX * sizeof *keepers);
	for (uint32_t i = 0; i < head.count; i++) {
		struct wal_keeper *keeper = &keepers[i];

		memcpy(&entry, copy + sizeof head + i * sizeof entry, sizeof entry);
		if (entry.name[0] == '\0' || entry.name[sizeof entry.name - 1] != '\0')
			return false;
		keeper->used = true;
		memcpy(keeper->name, entry.name, sizeof entry.name);
		keeper->now.position = entry.position;
		keeper->now.floor = entry.floor;
		keeper->now.lost = (entry.flags & WAL_READER_LOST) != 0;
		keeper->saved = keeper->now;
		keeper->saved_valid = true;
		atomic_init(&keeper->cut_off, keeper->now.lost);
	}
	*sequence = head.sequence;
	return true;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static int read_file(struct wal_keep *keep, uint8_t *bytes, bool *damaged)
{
	struct wal_keeper *keepers = malloc(sizeof keep->keepers);
	size_t got = 0;
	int rc;

	if (keepers == NULL)
		return error_set(-ENOMEM, "no memory for the log's readers");
	rc = sys_file_read_some(keep->fd, bytes, WAL_READERS_FILE_SIZE, 0, &got);
	memset(bytes + got, 0, WAL_READERS_FILE_SIZE - got);
	for (unsigned i = 0; i < 2 && rc == BWT_OK; i++) {
		uint64_t sequence;

		if (!parse_copy(keep, bytes + i * WAL_READERS_COPY_SIZE, keepers, &sequence) ||
		    sequence <= keep->sequence)
			continue;
		memcpy(keep->keepers, keepers, sizeof keep->keepers);
		keep->sequence = sequence;
	}
	*damaged = rc == BWT_OK && keep->sequence == 0 && !all_zero(bytes, WAL_READERS_FILE_SIZE);
	free(keepers);
	return rc;
}

/* Whole, and its name durable, before anything in it counts. */
static int make_file(struct wal_keep *keep)
{
	int rc = sys_file_open(keep->dir_fd, WAL_READERS_NAME, SYS_CREATE, &keep->fd);

	if (rc == BWT_OK)
		rc = sys_file_allocate(keep->fd, 0, WAL_READERS_FILE_SIZE);
	if (rc == BWT_OK)
		rc = sys_file_zero_fill(keep->fd, 0, WAL_READERS_FILE_SIZE);
	if (rc == BWT_OK)
		rc = sys_file_sync(keep->fd);
	if (rc == BWT_OK)
		rc = sys_dir_sync(keep->dir_fd);
	if (rc < 0 && keep->fd >= 0) {
		sys_file_close(keep->fd);
		keep->fd = -1;
		(void)sys_file_unlink(keep->dir_fd, WAL_READERS_NAME);
	}
	return rc;
}

/* The copy to be written: every reader with a name, as it is now. lock held. Returns its bytes. */
static size_t build_copy(struct wal_keep *keep, uint8_t *copy, struct keeper_state *written)
{
	struct wal_readers_head head = {.magic = WAL_READERS_MAGIC,
	                                .version = WAL_READERS_VERSION,
	                                .store_id = keep->store_id,
	                                .sequence = keep->sequence + 1};
	size_t size = sizeof head;

	memset(copy, 0, WAL_READERS_COPY_SIZE);
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++) {
		const struct wal_keeper *keeper = &keep->keepers[i];
		struct wal_reader_entry entry = {.position = keeper->now.position,
		                                 .floor = keeper->now.floor};

		written[i] = keeper->now;
		if (!keeper->used || keeper->name[0] == '\0')
			continue;
		entry.flags = keeper->now.lost ? WAL_READER_LOST : 0;
		memcpy(entry.name, keeper->name, sizeof entry.name);
		memcpy(copy + size, &entry, sizeof entry);
		size += sizeof entry;
		head.count++;
	}
	memcpy(copy, &head, sizeof head);
	head.crc = head_crc(copy, size);
	memcpy(copy, &head, sizeof head);
	return size;
}

/*
 * Write the register if it has changed. file_lock held: nobody adds, forgets or settles meanwhile, but readers
 * move on, so what was written is noted as it was then.
 */
static int save(struct wal_keep *keep)
{
	struct keeper_state written[WAL_KEEPERS_MAX];
	uint8_t *copy;
	int rc = BWT_OK;

	if (!keep->changed)
		return BWT_OK;
	copy = malloc(WAL_READERS_COPY_SIZE);
	if (copy == NULL)
		return error_set(-ENOMEM, "no memory for the log's readers");
	if (TEST_FAULT("wal_keep_write"))
		rc = error_set(BWT_FULL, "no space, says a test");
	if (rc == BWT_OK && keep->fd < 0)
		rc = make_file(keep);
	if (rc == BWT_OK) {
		log_lock(&keep->lock);
		keep->changed = false;
		(void)build_copy(keep, copy, written);
		log_unlock(&keep->lock);
		rc = sys_file_write(keep->fd, copy, WAL_READERS_COPY_SIZE,
		                    (keep->sequence + 1) % 2 * WAL_READERS_COPY_SIZE);
		if (rc == BWT_OK)
			rc = sys_file_sync(keep->fd);
	}
	log_lock(&keep->lock);
	if (rc < 0)
		keep->changed = true;
	for (unsigned i = 0; i < WAL_KEEPERS_MAX && rc == BWT_OK; i++) {
		struct wal_keeper *keeper = &keep->keepers[i];

		keeper->saved_valid = keeper->used && keeper->name[0] != '\0';
		keeper->saved = written[i];
	}
	if (rc == BWT_OK)
		keep->sequence++;
	log_unlock(&keep->lock);
	free(copy);
	return rc;
}

/* ---- life ---- */

int wal_keep_open(int dir_fd, uint64_t store_id, uint64_t limit, struct wal_keep **out, bool *damaged)
{
	struct wal_keep *keep = calloc(1, sizeof *keep);
	uint8_t *bytes = malloc(WAL_READERS_FILE_SIZE);
	bool exists = false;
	int rc;

	*damaged = false;
	if (keep == NULL || bytes == NULL) {
		free(keep);
		free(bytes);
		return error_set(-ENOMEM, "no memory for the log's readers");
	}
	keep->dir_fd = dir_fd;
	keep->store_id = store_id;
	keep->limit = limit;
	keep->fd = -1;
	rc = sys_file_exists(dir_fd, WAL_READERS_NAME, &exists);
	if (rc == BWT_OK && exists)
		rc = sys_file_open(dir_fd, WAL_READERS_NAME, 0, &keep->fd);
	if (rc == BWT_OK && exists)
		rc = read_file(keep, bytes, damaged);
	free(bytes);
	if (rc < 0) {
		wal_keep_close(keep);
		return rc;
	}
	*out = keep;
	return BWT_OK;
}

void wal_keep_close(struct wal_keep *keep)
{
	if (keep == NULL)
		return;
	sys_file_close(keep->fd);
	free(keep);
}

int wal_keep_save(struct wal_keep *keep)
{
	int rc;

	log_lock(&keep->file_lock);
	rc = save(keep);
	log_unlock(&keep->file_lock);
	return rc;
}

/* ---- floors ---- */

/* Where the log begins that a reader at @position needs (WK1); false: nobody knows. lock held. */
static bool floor_of(const struct wal_keep *keep, uint64_t position, uint64_t *floor)
{
	bool known = false;

	*floor = 0;
	for (unsigned i = keep->cut_count; i-- > 0;) {
		if (keep->cuts[i].start_lsn > position)
			continue;
		*floor = keep->cuts[i].log_from;
		known = true;
		break;
	}
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++) {
		const struct wal_keeper *keeper = &keep->keepers[i];

		if (!keeper->used || keeper->now.lost || keeper->now.position > position)
			continue;
		if (!known || keeper->now.floor > *floor)
			*floor = keeper->now.floor;
		known = true;
	}
	return known;
}

static void cut_off(struct wal_keep *keep, struct wal_keeper *keeper)
{
	keeper->now.lost = true;
	keep->changed = keep->changed || keeper->name[0] != '\0';
	atomic_store_explicit(&keeper->cut_off, 1, memory_order_release);
}

void wal_keep_begin(struct wal_keep *keep, uint64_t start_lsn, uint64_t first_lsn, uint64_t end_lsn)
{
	uint64_t position;

	log_lock(&keep->lock);
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++)
		if (keep->keepers[i].used && !keep->keepers[i].now.lost &&
		    (keep->keepers[i].now.floor < first_lsn ||
		     keep->keepers[i].now.position > end_lsn))
			cut_off(keep, &keep->keepers[i]);
	log_unlock(&keep->lock);
	position = wal_keep_lowest(keep);
	log_lock(&keep->lock);
	keep->complete = position < start_lsn ? position : start_lsn;
	log_unlock(&keep->lock);
}

void wal_keep_cut(struct wal_keep *keep, uint64_t start_lsn, uint64_t log_from)
{
	log_lock(&keep->lock);
	if (keep->cut_count == CUTS_MAX) {
		/* Every other one of the older half goes: who stands there keeps a little more. */
		unsigned kept = 0;

		for (unsigned i = 0; i < CUTS_MAX; i++)
			if (i % 2 == 0 || i >= CUTS_MAX / 2)
				keep->cuts[kept++] = keep->cuts[i];
		keep->cut_count = kept;
	}
	keep->cuts[keep->cut_count++] = (struct cut){start_lsn, log_from};
	log_unlock(&keep->lock);
}

/* ---- what may go ---- */

/* WK2: the file's word counts where there is one. */
static const struct keeper_state *promised(const struct wal_keeper *keeper)
{
	return keeper->saved_valid ? &keeper->saved : &keeper->now;
}

/* The reader that keeps most, if any keeps something. lock held. */
static struct wal_keeper *lowest(struct wal_keep *keep)
{
	struct wal_keeper *found = NULL;

	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++) {
		struct wal_keeper *keeper = &keep->keepers[i];

		if (keeper->used && !keeper->now.lost &&
		    (found == NULL || keeper->now.floor < found->now.floor ||
		     (keeper->now.floor == found->now.floor &&
		      keeper->now.position < found->now.position)))
			found = keeper;
	}
	return found;
}

uint64_t wal_keep_lowest(struct wal_keep *keep)
{
	uint64_t position = UINT64_MAX;

	log_lock(&keep->lock);
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++)
		if (keep->keepers[i].used && !keep->keepers[i].now.lost &&
		    keep->keepers[i].now.position < position)
			position = keep->keepers[i].now.position;
	log_unlock(&keep->lock);
	return position;
}

/* Everybody follows what is known now: floors only go up. lock held. */
static void raise_floors(struct wal_keep *keep)
{
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++) {
		struct wal_keeper *keeper = &keep->keepers[i];
		uint64_t floor;

		if (!keeper->used || keeper->now.lost ||
		    !floor_of(keep, keeper->now.position, &floor) || floor <= keeper->now.floor)
			continue;
		keeper->now.floor = floor;
		keep->changed = keep->changed || keeper->name[0] != '\0';
	}
}

/* One after another, while they keep more than the limit. file_lock held; @values may not be called under lock. */
static unsigned apply_limit(struct wal_keep *keep, uint64_t start_lsn, uint64_t log_from,
                            uint64_t (*values)(void *ctx, uint64_t from), void *ctx)
{
	uint64_t limit = keep->pressed ? 0 : keep->limit;
	unsigned count = 0;

	for (;; count++) {
		struct wal_keeper *keeper;
		uint64_t bytes = 0, position = UINT64_MAX;

		log_lock(&keep->lock);
		keeper = lowest(keep);
		if (keeper != NULL && keeper->now.floor < log_from)
			bytes = log_from - keeper->now.floor;
		if (keeper != NULL)
			position = keeper->now.position;
		log_unlock(&keep->lock);
		if (keeper == NULL)
			return count;
		if (position < start_lsn)
			bytes += values(ctx, position);
		if (bytes <= limit)
			return count;
		log_lock(&keep->lock);
		cut_off(keep, keeper);
		log_unlock(&keep->lock);
	}
}

int wal_keep_settle(struct wal_keep *keep, uint64_t start_lsn, uint64_t log_from,
                    uint64_t (*values)(void *ctx, uint64_t from), void *ctx, struct wal_kept *kept)
{
	uint64_t complete = start_lsn;
	int rc;

	*kept = (struct wal_kept){log_from, UINT64_MAX, 0};
	log_lock(&keep->file_lock);
	log_lock(&keep->lock);
	raise_floors(keep);
	log_unlock(&keep->lock);
	kept->cut_off = apply_limit(keep, start_lsn, log_from, values, ctx);
	rc = save(keep);
	log_lock(&keep->lock);
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++) {
		const struct keeper_state *state = promised(&keep->keepers[i]);

		if (!keep->keepers[i].used || state->lost || TEST_FAULT("wal_keep_nothing"))
			continue;
		if (state->floor < kept->log_from)
			kept->log_from = state->floor;
		if (state->position < kept->values_from)
			kept->values_from = state->position;
	}
	if (kept->values_from < complete)
		complete = kept->values_from;
	if (complete > keep->complete)
		keep->complete = complete;
	keep->pressed = false;
	log_unlock(&keep->lock);
	log_unlock(&keep->file_lock);
	return rc;
}

void wal_keep_press(struct wal_keep *keep)
{
	log_lock(&keep->lock);
	keep->pressed = true;
	log_unlock(&keep->lock);
}

/* ---- readers ---- */

static struct wal_keeper *find(struct wal_keep *keep, const char *name)
{
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++)
		if (keep->keepers[i].used && strcmp(keep->keepers[i].name, name) == 0)
			return &keep->keepers[i];
	return NULL;
}

static struct wal_keeper *free_one(struct wal_keep *keep)
{
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++)
		if (!keep->keepers[i].used)
			return &keep->keepers[i];
	return NULL;
}

static int trimmed(const struct wal_keep *keep, uint64_t from)
{
	return error_set(BWT_TRIMMED,
	                 "the log is complete from LSN %llu on, and was wanted from %llu on",
	                 (unsigned long long)keep->complete, (unsigned long long)from);
}

static int was_cut_off(const char *name)
{
	return error_set(BWT_TRIMMED,
	                 "the reader \"%s\" was cut off: it may begin at a place of its choice",
	                 name);
}

/* lock held. */
static int add(struct wal_keep *keep, const char *name, uint64_t from, struct wal_keeper **out)
{
	struct wal_keeper *known = name == NULL ? NULL : find(keep, name), *keeper;
	struct keeper_state state = {.position = from};

	if (known != NULL && known->open)
		return error_set(BWT_BUSY, "the reader \"%s\" is open already", name);
	if (from == 0)
		state.position = known != NULL ? known->now.position : WAL_BLOCK;
	if (from == 0 && known != NULL && known->now.lost)
		return was_cut_off(name);
	if (state.position < keep->complete || !floor_of(keep, state.position, &state.floor))
		return trimmed(keep, state.position);
	keeper = known != NULL ? known : free_one(keep);
	if (keeper == NULL)
		return error_set(BWT_BUSY, "there are %u readers of the log already",
		                 WAL_KEEPERS_MAX);
	if (known == NULL) {
		memset(keeper, 0, sizeof *keeper);
		keeper->used = true;
		if (name != NULL)
			memcpy(keeper->name, name, strlen(name) + 1);
	}
	keeper->open = true;
	keeper->now = state;
	atomic_store_explicit(&keeper->cut_off, 0, memory_order_release);
	keep->changed = keep->changed || name != NULL;
	*out = keeper;
	return BWT_OK;
}

int wal_keep_add(struct wal_keep *keep, const char *name, uint64_t from, struct wal_keeper **out,
                 uint64_t *position)
{
	struct wal_keeper *keeper = NULL;
	struct wal_keeper before;
	bool was_known;
	int rc;

	log_lock(&keep->file_lock);
	log_lock(&keep->lock);
	keeper = name == NULL ? NULL : find(keep, name);
	was_known = keeper != NULL;
	if (was_known)
		before = *keeper;
	rc = add(keep, name, from, &keeper);
	log_unlock(&keep->lock);
	if (rc == BWT_OK && name != NULL)
		rc = save(keep);
	log_lock(&keep->lock);
	if (rc == BWT_OK) {
		*position = keeper->now.position;
		*out = keeper;
	} else if (keeper != NULL && was_known) {
		*keeper = before;
	} else if (keeper != NULL) {
		keeper->used = false;
	}
	log_unlock(&keep->lock);
	log_unlock(&keep->file_lock);
	return rc;
}

void wal_keep_move(struct wal_keep *keep, struct wal_keeper *keeper, uint64_t lsn)
{
	uint64_t floor;

	log_lock(&keep->lock);
	if (lsn > keeper->now.position && !keeper->now.lost) {
		keeper->now.position = lsn;
		if (floor_of(keep, lsn, &floor) && floor > keeper->now.floor)
			keeper->now.floor = floor;
		keep->changed = keep->changed || keeper->name[0] != '\0';
	}
	log_unlock(&keep->lock);
}

bool wal_keep_lost(const struct wal_keeper *keeper)
{
	return atomic_load_explicit(&keeper->cut_off, memory_order_acquire) != 0;
}

void wal_keep_leave(struct wal_keep *keep, struct wal_keeper *keeper)
{
	log_lock(&keep->lock);
	keeper->open = false;
	if (keeper->name[0] == '\0')
		keeper->used = false;
	log_unlock(&keep->lock);
}

int wal_keep_forget(struct wal_keep *keep, const char *name)
{
	struct wal_keeper *keeper;
	int rc = BWT_OK;

	log_lock(&keep->file_lock);
	log_lock(&keep->lock);
	keeper = find(keep, name);
	if (keeper == NULL)
		rc = BWT_NOT_FOUND;
	else if (keeper->open)
		rc = error_set(BWT_BUSY, "the reader \"%s\" is open", name);
	if (rc == BWT_OK) {
		keeper->used = false;
		keep->changed = true;
	}
	log_unlock(&keep->lock);
	if (rc == BWT_OK) {
		rc = save(keep);
		if (rc < 0)
			keeper->used = true;
	}
	log_unlock(&keep->file_lock);
	return rc;
}

unsigned wal_keep_list(struct wal_keep *keep, struct wal_keeper_info *infos)
{
	unsigned count = 0;

	log_lock(&keep->lock);
	for (unsigned i = 0; i < WAL_KEEPERS_MAX; i++) {
		const struct wal_keeper *keeper = &keep->keepers[i];
		struct wal_keeper_info *info = &infos[count];

		if (!keeper->used)
			continue;
		memcpy(info->name, keeper->name, sizeof info->name);
		info->position = keeper->now.position;
		info->open = keeper->open;
		info->lost = keeper->now.lost;
		count++;
	}
	log_unlock(&keep->lock);
	return count;
}
