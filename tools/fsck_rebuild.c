/* SPDX-License-Identifier: MIT */
/*
 * fsck_rebuild.c - a store made anew from everything that checks out of a damaged one
 *
 *   STORE --salvage--> STORE/rebuild.new (a whole store) --switch--> STORE; what it was: lost+found/old
 *
 *   RB1  Up to the switch nothing of the store is changed: cut off, it is begun anew.
 *   RB2  The switch moves the old arena away first and the new one in last, so that in between there is
 *        no store, rather than half of one. It begins when the new one is durable, and goes on where
 *        it was cut off when the tool is called again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "db/db.h"
#include "recovery/salvage.h"
#include "recovery/store_files.h"
#include "sys/file.h"
#include "tools/fsck_check.h"

#define NEW_NAME "rebuild.new"
#define OLD_NAME "lost+found/old"
#define NAME_ROOM 64 /* of a name below the store */
#define PATH_ROOM 4096

struct rebuilding {
	const struct fsck_calls *calls;
	struct bwt_db *db; /* the new store */
	struct bwt_tree *tree;
};

static int say_errno(const char *what, const char *name)
{
	return error_set(error_from_errno(errno), "%s %s: %s", what, name, strerror(errno));
}

static void join(char path[PATH_ROOM], const char *store, const char *name)
{
	if ((size_t)snprintf(path, PATH_ROOM, "%s/%s", store, name) >= PATH_ROOM)
		path[0] = '\0'; /* a name that nothing has */
}

static bool exists(const char *store, const char *name)
{
	char path[PATH_ROOM];

	join(path, store, name);
	return access(path, F_OK) == 0;
}

static int sync_folder(const char *store, const char *name)
{
	char path[PATH_ROOM];
	int fd, rc = BWT_OK;

	join(path, store, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		rc = say_errno("sync", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int move(const char *store, const char *from, const char *to)
{
	char from_path[PATH_ROOM], to_path[PATH_ROOM];

	if (!exists(store, from))
		return BWT_OK; /* done before, or never there */
	join(from_path, store, from);
	join(to_path, store, to);
	return rename(from_path, to_path) == 0 ? BWT_OK : say_errno("rename", from_path);
}

/* ---- the new store ---- */

static int remove_listed(void *ctx, const char *name)
{
	char path[PATH_ROOM];

	join(path, ctx, name);
	return unlink(path) == 0 || errno == EISDIR ? 0 : say_errno("unlink", path);
}

/* What an attempt before left. */
static int remove_new(const char *store)
{
	static const char *const folders[] = {NEW_NAME "/wal", NEW_NAME "/vlog", NEW_NAME};
	char path[PATH_ROOM];
	int rc = BWT_OK;

	for (unsigned i = 0; i < 3 && rc == BWT_OK; i++) {
		int fd;

		join(path, store, folders[i]);
		if (sys_dir_open(path, &fd) < 0)
			continue;
		rc = sys_dir_list(fd, remove_listed, path);
		sys_file_close(fd);
		if (rc == BWT_OK && rmdir(path) != 0)
			rc = say_errno("rmdir", path);
	}
	return rc;
}

static int new_tree(void *ctx, const char *name)
{
	struct rebuilding *rebuilding = ctx;

	return bwt_tree_open(rebuilding->db, name, name == NULL ? 0 : BWT_CREATE, &rebuilding->tree);
}

static int new_pair(void *ctx, struct bwt_slice key, struct bwt_slice value)
{
	struct rebuilding *rebuilding = ctx;

	return bwt_put(rebuilding->tree, NULL, key, value, 0);
}

static void pass_report(void *ctx, const struct bwt_finding *finding)
{
	const struct rebuilding *rebuilding = ctx;

	rebuilding->calls->report(rebuilding->calls->ctx, finding);
}

static void pass_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	const struct rebuilding *rebuilding = ctx;

	rebuilding->calls->progress(rebuilding->calls->ctx, phase, done, total);
}

static int make_new(const char *store, const struct store *files, const struct fsck_calls *calls)
{
	struct rebuilding rebuilding = {.calls = calls};
	struct bwt_options options = {.flags = BWT_CREATE | BWT_CATCH_SIGBUS, .durability = BWT_NONE};
	struct salvage_calls salvage_calls = {
		.tree = new_tree,
		.pair = new_pair,
		.report = pass_report,
		.progress = pass_progress,
		.ctx = &rebuilding,
	};
	struct salvaged found;
	char path[PATH_ROOM];
	int closed, rc = remove_new(store);

	join(path, store, NEW_NAME);
	if (rc == BWT_OK)
		rc = bwt_open(path, &options, &rebuilding.db);
	if (rc < 0)
		return rc;
	rc = salvage(files, &salvage_calls, &found);
	closed = bwt_close(rebuilding.db);
	if (rc == BWT_OK)
		rc = closed;
	return rc < 0 ? rc : sync_folder(store, NEW_NAME);
}

/* ---- the switch ---- */

static int switch_over(const char *store, const struct fsck_calls *calls)
{
	char old[NAME_ROOM], next[NAME_ROOM], to[2 * NAME_ROOM], path[PATH_ROOM], text[200];
	static const char *const names[] = {"arena", "wal", "vlog", "stats"};
	int rc = BWT_OK;

	join(path, store, "lost+found");
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		return say_errno("mkdir", path);
	/* The last one that has no new arena yet is gone on with. */
	snprintf(old, sizeof old, OLD_NAME);
	for (unsigned i = 1; exists(store, "arena") && exists(store, old); i++)
		snprintf(old, sizeof old, OLD_NAME "-%u", i);
	for (unsigned i = 1; !exists(store, "arena"); i++) { /* gone on with: the newest one */
		snprintf(next, sizeof next, OLD_NAME "-%u", i);
		if (!exists(store, next))
			break;
		memcpy(old, next, sizeof old);
	}
	snprintf(text, sizeof text, "the store is replaced by the new one; what it was goes to %s",
	         old);
	calls->say(calls->ctx, text);
	join(path, store, old);
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		return say_errno("mkdir", path);
	for (unsigned i = 0; i < 4 && rc == BWT_OK; i++) {
		snprintf(to, sizeof to, "%s/%s", old, names[i]);
		/* What is there already was moved before the tool was cut off. */
		if (!exists(store, to))
			rc = move(store, names[i], to);
		if (rc == BWT_OK && i == 0)
			rc = sync_folder(store, old);
		if (rc == BWT_OK && i == 0)
			rc = sync_folder(store, ".");
	}
	if (rc == BWT_OK)
		rc = move(store, NEW_NAME "/wal", "wal");
	if (rc == BWT_OK)
		rc = move(store, NEW_NAME "/vlog", "vlog");
	if (rc == BWT_OK)
		rc = sync_folder(store, ".");
	if (rc == BWT_OK)
		rc = move(store, NEW_NAME "/arena", "arena");
	if (rc == BWT_OK)
		rc = sync_folder(store, old);
	if (rc == BWT_OK)
		rc = sync_folder(store, ".");
	return rc < 0 ? rc : remove_new(store);
}

bool fsck_rebuild_unfinished(const char *path)
{
	return !exists(path, "arena") && exists(path, NEW_NAME "/arena");
}

int fsck_rebuild(const char *path, const struct fsck_calls *calls)
{
	struct recover_config config = {.path = path};
	struct store files = {
		.dir_fd = -1, .wal_dir_fd = -1, .vlog_dir_fd = -1, .lock_fd = -1, .arena_fd = -1};
	bool create;
	int rc;

	if (fsck_rebuild_unfinished(path))
		return switch_over(path, calls);
	rc = store_files_open(&files, &config, &create);
	if (rc == BWT_OK) {
		calls->say(calls->ctx, "a new store is made in " NEW_NAME
		                       " from the pages and the log that check out");
		rc = make_new(path, &files, calls);
	}
	if (rc == BWT_OK)
		rc = switch_over(path, calls);
	store_files_close(&files);
	return rc;
}
