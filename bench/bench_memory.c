/* SPDX-License-Identifier: MIT */
/*
 * bench_memory.c - make, enter and remove a memory control group, version 1 or 2
 */
#include "bench_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALK_FDS 16

static int refuse(const char *what, const char *path, int error)
{
	fprintf(stderr, "bwt-bench: --memory: %s %s: %s\n", what, path, strerror(error));
	return -error;
}

/* Write @text to the file @name of the directory @dir. Returns 0 or -errno. */
static int write_text(const char *dir, const char *name, const char *text)
{
	const size_t size = strlen(text);
	char path[MEMORY_PATH_MAX + 64];
	ssize_t written;
	int error;
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	written = write(fd, text, size);
	error = written < 0 ? errno : EIO;
	close(fd);
	return written == (ssize_t)size ? 0 : -error;
}

/*
 * Where the memory controller is mounted, from a line of mountinfo such as
 * 35 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
 */
static bool find_mount(char *mount, bool *is_v2)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[MEMORY_PATH_MAX * 2];
	char path[MEMORY_PATH_MAX];
	char type[32];
	char unified[MEMORY_PATH_MAX] = "";

	mount[0] = '\0';
	while (file != NULL && mount[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
		const char *rest = strstr(line, " - ");
		char *controller;

		if (rest == NULL || sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1 ||
		    sscanf(rest, " - %31s", type) != 1)
			continue;
		controller = strstr(line, ",memory");
		if (strcmp(type, "cgroup") == 0 && controller != NULL && controller > rest)
			snprintf(mount, MEMORY_PATH_MAX, "%s", path);
		else if (strcmp(type, "cgroup2") == 0)
			snprintf(unified, sizeof unified, "%s", path);
	}
	if (file != NULL)
		fclose(file);
	*is_v2 = mount[0] == '\0';
	if (*is_v2)
		snprintf(mount, MEMORY_PATH_MAX, "%s", unified);
	return mount[0] != '\0';
}

/* This process' group below @mount, from "5:memory:/path" or "0::/path"; the mount itself where that is not seen. */
static void find_parent(const char *mount, bool is_v2, char *parent)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[MEMORY_PATH_MAX];

	snprintf(parent, MEMORY_PATH_MAX, "%s", mount);
	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		const char *path = strchr(line, '/');
		const char *memory = strstr(line, "memory");
		char candidate[MEMORY_PATH_MAX];

		line[strcspn(line, "\n")] = '\0';
		if (path == NULL || (is_v2 ? line[0] != '0' : memory == NULL || memory > path))
			continue;
		if (snprintf(candidate, sizeof candidate, "%s%s", mount, path) <
		            (int)sizeof candidate &&
		    access(candidate, F_OK) == 0)
			snprintf(parent, MEMORY_PATH_MAX, "%s", candidate);
	}
	if (file != NULL)
		fclose(file);
}

int memory_open(struct memory_group *group, uint64_t bytes)
{
	char mount[MEMORY_PATH_MAX];
	char number[32];
	bool is_v2;
	int rc;

	group->path[0] = '\0';
	group->bytes = bytes;
	if (!find_mount(mount, &is_v2))
		return refuse("no memory controller below", "/sys/fs/cgroup", ENOENT);
	find_parent(mount, is_v2, group->parent);
	/* Version 2 hands controllers only to children of a group without processes, or of the root. */
	if (is_v2)
		(void)write_text(mount, "cgroup.subtree_control", "+memory");
	if (snprintf(group->path, sizeof group->path, "%s/bwt-bench-%d", mount, (int)getpid()) >=
	    (int)sizeof group->path) {
		group->path[0] = '\0';
		return -ENAMETOOLONG;
	}
	if (mkdir(group->path, 0755) < 0) {
		rc = refuse("cannot make", group->path, errno);
		group->path[0] = '\0';
		return rc;
	}
	snprintf(number, sizeof number, "%ju", (uintmax_t)bytes);
	rc = write_text(group->path, is_v2 ? "memory.max" : "memory.limit_in_bytes", number);
	if (rc < 0) {
		rc = refuse("cannot bound", group->path, -rc);
		memory_close(group);
		return rc;
	}
	/* Without swap accounting there is no such file; then there is hardly swap either. */
	(void)write_text(group->path, is_v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
	                 is_v2 ? "0" : number);
	return 0;
}

static int drop_one(const char *path, const struct stat *status, int type, struct FTW *level)
{
	int fd;

	(void)status;
	(void)level;
	if (type != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	(void)fdatasync(fd); /* dirty pages would stay */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

int memory_enter(struct memory_group *group, const char *dir)
{
	int rc;

	(void)nftw(dir, drop_one, WALK_FDS, FTW_PHYS);
	rc = write_text(group->path, "cgroup.procs", "0"); /* the writer itself */
	return rc < 0 ? refuse("cannot enter", group->path, -rc) : 0;
}

void memory_close(struct memory_group *group)
{
	if (group->path[0] == '\0')
		return;
	(void)write_text(group->parent, "cgroup.procs", "0");
	if (rmdir(group->path) < 0)
		(void)refuse("cannot remove", group->path, errno);
	group->path[0] = '\0';
}
