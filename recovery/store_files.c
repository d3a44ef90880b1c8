/* SPDX-License-Identifier: MIT */
/*
 * store_files.c - the directory of a store (its names are in the header)
 *
 *   nothing, or an empty folder --begin--> LOCK, arena.new --begin--> wal/, vlog/ --finish--> arena
 *
 *   SF1  arena.new is there, durably, before wal/ and vlog/ are, and all of it is durable before it
 *        is renamed: so a folder with logs and neither arena nor arena.new was never ours to fill.
 *   SF2  Nothing is created in a folder that is not a store and may not become one.
 *        A backup's arena is called arena.part as long as the rest of it is not durable: such a folder
 *        is never taken for a store, nor for one that may be created, only for the same again.
 *   SF3  Read-only, nothing is created or written, the lock's text included. A read-only descriptor
 *        can be locked like any other; a copy of a store without LOCK is locked by its folder.
 */
#include "recovery/store_files.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "recovery/log_folder.h"
#include "sys/file.h"

#define ARENA_NAME "arena"
#define ARENA_NEW_NAME "arena.new"
#define ARENA_PART_NAME "arena.part"
#define LOCK_NAME "LOCK"
#define VLOG_NAME "vlog"

struct contents {
	bool arena;
	bool arena_new;
	bool arena_part;
	bool logs;  /* wal or vlog */
	bool other; /* something that no store has before its arena */
};

static int survey_name(void *ctx, const char *name)
{
	struct contents *contents = ctx;

	if (strcmp(name, ARENA_NAME) == 0)
		contents->arena = true;
	else if (strcmp(name, ARENA_NEW_NAME) == 0)
		contents->arena_new = true;
	else if (strcmp(name, ARENA_PART_NAME) == 0)
		contents->arena_part = true;
	else if (strcmp(name, LOG_FOLDER_NAME) == 0 || strcmp(name, VLOG_NAME) == 0)
		contents->logs = true;
	else if (strcmp(name, LOCK_NAME) != 0)
		contents->other = true;
	return 0;
}

/* What there is, and whether @config may go on with it. */
static int survey(int dir_fd, const struct recover_config *config, struct contents *contents)
{
	int rc;

	memset(contents, 0, sizeof *contents);
	rc = sys_dir_list(dir_fd, survey_name, contents);
	if (rc < 0)
		return rc;
	if (contents->arena && config->exclusive)
		return BWT_EXISTS;
	if (contents->arena)
		return BWT_OK;
	if (contents->arena_part)
		return error_set(BWT_INVALID, "%s is a backup that was not finished", config->path);
	if (!config->create)
		return error_set(BWT_INVALID, "%s is not a store: it has no file \"" ARENA_NAME "\"",
		                 config->path);
	if (contents->other || (contents->logs && !contents->arena_new))
		return error_set(BWT_INVALID, "%s is neither a store nor empty", config->path);
	return BWT_OK;
}

static int open_dir(const struct recover_config *config, int *dir_fd)
{
	int rc = config->create ? sys_dir_create(config->path) : BWT_OK;

	return rc == BWT_OK || rc == BWT_EXISTS ? sys_dir_open(config->path, dir_fd) : rc;
}

static int lock_readonly(struct store *store)
{
	int rc = sys_file_open(store->dir_fd, LOCK_NAME, SYS_RDONLY, &store->lock_fd);

	if (rc == -ENOENT)
		return sys_file_lock(store->dir_fd); /* SF3 */
	return rc < 0 ? rc : sys_file_lock(store->lock_fd);
}

static int lock(struct store *store)
{
	int rc;

	if (store->readonly)
		return lock_readonly(store);
	rc = sys_file_open(store->dir_fd, LOCK_NAME, SYS_CREATE, &store->lock_fd);
	if (rc == BWT_OK)
		rc = sys_file_lock(store->lock_fd);
	return rc < 0 ? rc : sys_file_lock_note(store->lock_fd);
}

static int open_vlog(int dir_fd, int *out)
{
	int rc = sys_dir_open_at(dir_fd, VLOG_NAME, out);

	if (rc == -ENOENT || rc == -ENOTDIR)
		return error_set(BWT_CORRUPT,
		                 "the folder \"" VLOG_NAME "\" of the store is missing");
	return rc;
}

int store_files_open(struct store *store, const struct recover_config *config, bool *create)
{
	struct contents contents = {0};
	int rc;

	if (config->readonly && config->create)
		return error_set(BWT_INVALID, "a store cannot be created read-only");
	rc = open_dir(config, &store->dir_fd);
	if (rc == BWT_OK)
		rc = survey(store->dir_fd, config, &contents);
	if (rc == BWT_OK)
		rc = lock(store);
	/* Again: somebody may have made it, or gone on with it, before we had the lock. */
	if (rc == BWT_OK)
		rc = survey(store->dir_fd, config, &contents);
	if (rc < 0)
		return rc;
	*create = !contents.arena;
	if (!contents.arena)
		return BWT_OK;
	rc = sys_file_open(store->dir_fd, ARENA_NAME, store->readonly ? SYS_RDONLY : 0,
	                   &store->arena_fd);
	if (rc == BWT_OK)
		rc = log_folder_open(store, config);
	if (rc == BWT_OK)
		rc = open_vlog(store->dir_fd, &store->vlog_dir_fd);
	return rc;
}

int store_files_arena_direct(const struct store *store, int *fd)
{
	return sys_file_open(store->dir_fd, ARENA_NAME, SYS_RDONLY | SYS_DIRECT, fd);
}

static int unlink_name(void *ctx, const char *name)
{
	return sys_file_unlink(*(const int *)ctx, name);
}

static int fresh_dir(int dir_fd, const char *name, int *out)
{
	int rc = sys_dir_create_at(dir_fd, name);

	if (rc == BWT_OK)
		rc = sys_dir_open_at(dir_fd, name, out);
	return rc < 0 ? rc : sys_dir_list(*out, unlink_name, out);
}

int store_files_begin(struct store *store, const struct recover_config *config)
{
	int rc = sys_file_open(store->dir_fd, ARENA_NEW_NAME, SYS_CREATE, &store->arena_fd);

	if (rc == BWT_OK)
		rc = sys_file_truncate(store->arena_fd, 0);
	if (rc == BWT_OK)
		rc = sys_dir_sync(store->dir_fd); /* SF1 */
	if (rc == BWT_OK)
		rc = log_folder_begin(store, config);
	if (rc == BWT_OK)
		rc = fresh_dir(store->dir_fd, VLOG_NAME, &store->vlog_dir_fd);
	return rc;
}

int store_files_finish(struct store *store)
{
	int rc = sys_dir_sync(store->dir_fd); /* SF1 */

	if (rc == BWT_OK)
		rc = sys_file_rename(store->dir_fd, ARENA_NEW_NAME, ARENA_NAME);
	if (rc < 0)
		store_files_undo(store);
	/* A failure after the rename undoes nothing: under the one name or the other, what is there is whole. */
	return rc < 0 ? rc : sys_dir_sync(store->dir_fd);
}

void store_files_undo(struct store *store)
{
	/* Best effort: a later attempt empties them as well. arena.new stays, as the sign that it may. */
	if (store->arena_fd >= 0)
		(void)sys_file_truncate(store->arena_fd, 0);
	if (store->wal_dir_fd >= 0)
		(void)sys_dir_list(store->wal_dir_fd, unlink_name, &store->wal_dir_fd);
}

/* ---- the target of a backup ---- */

/* Only what an unfinished backup left, or nothing. */
static int survey_target(int dir_fd, const char *path)
{
	struct contents contents = {0};
	int rc = sys_dir_list(dir_fd, survey_name, &contents);

	if (rc < 0)
		return rc;
	if (contents.arena || contents.arena_new || contents.other ||
	    (contents.logs && !contents.arena_part))
		return error_set(BWT_EXISTS, "%s is not empty: a backup needs a folder of its own",
		                 path);
	return BWT_OK;
}

int store_files_backup(struct store *target, const char *path)
{
	struct recover_config config = {.path = path, .create = true};
	int rc = open_dir(&config, &target->dir_fd);

	if (rc == BWT_OK)
		rc = survey_target(target->dir_fd, path);
	if (rc == BWT_OK)
		rc = lock(target);
	if (rc == BWT_OK)
		rc = survey_target(target->dir_fd, path);
	if (rc == BWT_OK)
		rc = sys_file_open(target->dir_fd, ARENA_PART_NAME, SYS_CREATE, &target->arena_fd);
	if (rc == BWT_OK)
		rc = sys_file_truncate(target->arena_fd, 0);
	if (rc == BWT_OK)
		rc = sys_dir_sync(target->dir_fd); /* SF1 */
	if (rc == BWT_OK)
		rc = fresh_dir(target->dir_fd, LOG_FOLDER_NAME, &target->wal_dir_fd);
	if (rc == BWT_OK)
		rc = fresh_dir(target->dir_fd, VLOG_NAME, &target->vlog_dir_fd);
	return rc;
}

int store_files_backup_done(struct store *target)
{
	int rc = sys_dir_sync(target->dir_fd); /* SF1 */

	if (rc == BWT_OK)
		rc = sys_file_rename(target->dir_fd, ARENA_PART_NAME, ARENA_NAME);
	return rc < 0 ? rc : sys_dir_sync(target->dir_fd);
}

void store_files_backup_undo(struct store *target)
{
	bool named = false;

	/* Best effort, as store_files_undo(). If the rename was done, it is undone first. */
	if (target->arena_fd < 0)
		return;
	if (sys_file_exists(target->dir_fd, ARENA_NAME, &named) == BWT_OK && named)
		(void)sys_file_rename(target->dir_fd, ARENA_NAME, ARENA_PART_NAME);
	(void)sys_file_truncate(target->arena_fd, 0);
	if (target->wal_dir_fd >= 0)
		(void)sys_dir_list(target->wal_dir_fd, unlink_name, &target->wal_dir_fd);
	if (target->vlog_dir_fd >= 0)
		(void)sys_dir_list(target->vlog_dir_fd, unlink_name, &target->vlog_dir_fd);
}

/* ---- the end ---- */

void store_files_close(struct store *store)
{
	/* The lock goes last. */
	int *fds[] = {&store->arena_fd, &store->wal_dir_fd, &store->vlog_dir_fd, &store->dir_fd,
	              &store->lock_fd};

	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
		if (fds[i] == &store->lock_fd)
			sys_file_unlock(store->lock_fd);
		sys_file_close(*fds[i]);
		*fds[i] = -1;
	}
}
