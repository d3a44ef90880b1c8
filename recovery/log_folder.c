/* SPDX-License-Identifier: MIT */
/*
 * log_folder.c - where the log of a store stands
 *
 * Why: a log in persistent memory, or on a disk of its own, makes commits quick for arenas that are too large
 * for it. The way there is a symbolic link, so that everything that opens the store finds it, people included.
 *
 *   LF1  A folder elsewhere is taken only when it is empty, or when this store's link leads there already: nothing
 *        of anybody else is removed. The link is durable before the first file is made behind it.
 *   LF2  It is locked as the store is: a copy of the store's folder has the same link in it.
 *   LF3  An empty folder behind the link is no log that ended early, but a file system that is not mounted.
 */
#include "recovery/log_folder.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "sys/file.h"

#define PATH_SIZE 4096

/* The text of the link `wal`. -EINVAL: a folder; -ENOENT: nothing. */
static int link_target(const struct store *store, char target[PATH_SIZE])
{
	return sys_link_read(store->dir_fd, LOG_FOLDER_NAME, target, PATH_SIZE);
}

static int any_name(void *ctx, const char *name)
{
	(void)ctx, (void)name;
	return 1;
}

static int lock_elsewhere(const struct store *store, const char *path)
{
	int rc = sys_file_lock(store->wal_dir_fd);

	if (rc == BWT_BUSY)
		return error_set(rc, "the log folder %s is in use, by a copy of this store perhaps",
		                 path);
	return rc;
}

/* LF2, LF3 */
static int take_elsewhere(const struct store *store, const char *path)
{
	int rc = sys_dir_list(store->wal_dir_fd, any_name, NULL);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return error_set(-ENOENT,
		                 "the log of this store is in %s, which is empty: is it mounted?",
		                 path);
	return lock_elsewhere(store, path);
}

/* Does @path name the folder that is open? */
static int check_same(const struct store *store, const char *path)
{
	bool same = false;
	int fd, rc = sys_dir_open(path, &fd);

	if (rc < 0)
		return rc;
	rc = sys_dir_same(fd, store->wal_dir_fd, &same);
	sys_file_close(fd);
	if (rc == BWT_OK && !same)
		rc = error_set(BWT_INVALID,
		               "options.wal_path: the log of this store is not in %s; "
		               "where it is was settled when the store was created",
		               path);
	return rc;
}

int log_folder_open(struct store *store, const struct recover_config *config)
{
	char target[PATH_SIZE];
	bool elsewhere = link_target(store, target) == BWT_OK;
	int rc = sys_dir_open_at(store->dir_fd, LOG_FOLDER_NAME, &store->wal_dir_fd);

	if ((rc == -ENOENT || rc == -ENOTDIR) && elsewhere)
		return error_set(
			-ENOENT,
			"the log of this store is in %s, which is not there: is it mounted?", target);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return error_set(BWT_CORRUPT,
		                 "the folder \"" LOG_FOLDER_NAME "\" of the store is missing");
	if (rc == BWT_OK && config->wal_path != NULL)
		rc = check_same(store, config->wal_path);
	if (rc == BWT_OK && elsewhere)
		rc = take_elsewhere(store, target);
	return rc;
}

/* ---- a new store ---- */

static int unlink_name(void *ctx, const char *name)
{
	return sys_file_unlink(*(const int *)ctx, name);
}

static int empty(int *dir_fd)
{
	return sys_dir_list(*dir_fd, unlink_name, dir_fd);
}

static int begin_inside(struct store *store)
{
	char target[PATH_SIZE];
	int rc = BWT_OK;

	/* An earlier attempt had its log elsewhere: what it left there is nobody's, and not ours to judge. */
	if (link_target(store, target) == BWT_OK)
		rc = sys_file_unlink(store->dir_fd, LOG_FOLDER_NAME);
	if (rc == BWT_OK)
		rc = sys_dir_create_at(store->dir_fd, LOG_FOLDER_NAME);
	if (rc == BWT_OK)
		rc = sys_dir_open_at(store->dir_fd, LOG_FOLDER_NAME, &store->wal_dir_fd);
	return rc < 0 ? rc : empty(&store->wal_dir_fd);
}

/* Does the link lead to the folder that is open, from an earlier attempt? Else there is no link from here on. */
static int find_link(const struct store *store, bool *there)
{
	char target[PATH_SIZE];
	int fd, rc = link_target(store, target);

	*there = false;
	if (rc == -ENOENT)
		return BWT_OK;
	if (rc == -EINVAL)
		return error_set(
			BWT_INVALID,
			"options.wal_path: the creation of this store was begun without it");
	if (rc < 0)
		return rc;
	if (sys_dir_open_at(store->dir_fd, LOG_FOLDER_NAME, &fd) == BWT_OK) {
		rc = sys_dir_same(fd, store->wal_dir_fd, there);
		sys_file_close(fd);
	}
	if (rc == BWT_OK && !*there)
		rc = sys_file_unlink(store->dir_fd, LOG_FOLDER_NAME);
	return rc;
}

static int begin_elsewhere(struct store *store, const char *path)
{
	char whole[PATH_SIZE];
	bool linked = false;
	int rc = sys_dir_create(path);

	if (rc == BWT_OK || rc == BWT_EXISTS)
		rc = sys_dir_open(path, &store->wal_dir_fd);
	if (rc == BWT_OK)
		rc = sys_dir_path(store->wal_dir_fd, whole, sizeof whole);
	if (rc == BWT_OK)
		rc = lock_elsewhere(store, path);
	if (rc == BWT_OK)
		rc = find_link(store, &linked);
	if (rc < 0)
		return rc;
	if (linked)
		return empty(&store->wal_dir_fd);
	rc = sys_dir_list(store->wal_dir_fd, any_name, NULL); /* LF1 */
	if (rc > 0)
		rc = error_set(BWT_INVALID, "options.wal_path: %s is not empty", path);
	if (rc == BWT_OK)
		rc = sys_link_create(store->dir_fd, whole, LOG_FOLDER_NAME);
	return rc < 0 ? rc : sys_dir_sync(store->dir_fd);
}

int log_folder_begin(struct store *store, const struct recover_config *config)
{
	int rc = config->wal_path == NULL ? begin_inside(store)
	                                  : begin_elsewhere(store, config->wal_path);

	if (rc < 0) { /* LF1: who tidies up after a failure must not find a folder that is not ours */
		sys_file_close(store->wal_dir_fd);
		store->wal_dir_fd = -1;
	}
	return rc;
}
