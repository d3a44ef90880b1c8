/* SPDX-License-Identifier: MIT */
/* shadow.c - a disk that knows what was synced */
#include "tests/unit/log/shadow.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/wal_private.h"

#define SECTOR 512u

struct pending {
	struct pending *next;
	char name[64];
	uint64_t off;
	size_t size;
	uint8_t *replaced; /* per sector: a later durable write stands there, this one cannot come back */
	uint8_t data[];
};

char shadow_dir[TMPSTORE_PATH_MAX];
static struct pending *pending, **pending_end = &pending;
static void (*before)(void);
static char real_dir[TMPSTORE_PATH_MAX];

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(EXIT_FAILURE);
}

/* The name of @fd's file in its folder. */
static void name_of(int fd, char name[64])
{
	char link[64], real[TMPSTORE_PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, real, sizeof real - 1);
	check(len > 0, "readlink");
	real[len] = '\0';
	check(strlen(strrchr(real, '/') + 1) < 64, "name");
	strcpy(name, strrchr(real, '/') + 1);
}

static void copy_file(const char *name)
{
	char from[TMPSTORE_PATH_MAX], to[TMPSTORE_PATH_MAX];
	off_t from_off = 0, to_off = 0, size;
	ssize_t copied;
	int in, out;

	tmpstore_join(from, real_dir, name);
	tmpstore_join(to, shadow_dir, name);
	in = open(from, O_RDONLY);
	if (in < 0 && errno == ENOENT)
		return; /* released since it was listed */
	out = open(to, O_RDWR | O_CREAT | O_EXCL, 0666);
	check(in >= 0 && out >= 0, to);
	size = lseek(in, 0, SEEK_END);
	do
		copied = copy_file_range(in, &from_off, out, &to_off, (size_t)(size - to_off), 0);
	while (copied > 0 && to_off < size);
	check(copied >= 0 && to_off == size, to);
	close(in);
	close(out);
}

/*
 * A segment may have been made by the very call that writes to it: its header is durable then. -1: it
 * was released meanwhile, so what it holds matters to nobody.
 */
static int open_shadow(const char *name)
{
	char path[TMPSTORE_PATH_MAX];
	int fd;

	tmpstore_join(path, shadow_dir, name);
	if (access(path, F_OK) != 0)
		copy_file(name);
	fd = open(path, O_RDWR);
	check(fd >= 0 || errno == ENOENT, path);
	return fd;
}

/* Calls @act for each segment in @dir that @other has not. */
static void each_missing(const char *dir, const char *other, void (*act)(const char *name))
{
	DIR *list = opendir(dir);
	struct dirent *entry;

	check(list != NULL, dir);
	while ((entry = readdir(list)) != NULL) {
		char path[TMPSTORE_PATH_MAX];
		uint64_t seq;

		tmpstore_join(path, other, entry->d_name);
		if (wal_segment_parse(entry->d_name, &seq) && access(path, F_OK) != 0)
			act(entry->d_name);
	}
	closedir(list);
}

static void drop_file(const char *name)
{
	char path[TMPSTORE_PATH_MAX];

	tmpstore_join(path, shadow_dir, name);
	check(unlink(path) == 0, path);
}

void shadow_see_segments(void)
{
	each_missing(real_dir, shadow_dir, copy_file);
	each_missing(shadow_dir, real_dir, drop_file);
}

static void replace_pending(const char *name, uint64_t off, size_t size)
{
	for (struct pending *write = pending; write != NULL; write = write->next) {
		for (size_t at = 0; strcmp(write->name, name) == 0 && at < write->size; at += SECTOR) {
			if (write->off + at >= off && write->off + at < off + size)
				write->replaced[at / SECTOR] = 1;
		}
	}
}

static void make_durable(const char *name, const struct sys_io *op)
{
	int fd = open_shadow(name);

	if (fd < 0)
		return;
	check(pwrite(fd, op->data, op->size, (off_t)op->off) == (ssize_t)op->size, name);
	close(fd);
	replace_pending(name, op->off, op->size);
}

static void remember(const char *name, const struct sys_io *op)
{
	struct pending *write = malloc(sizeof *write + op->size);

	check(write != NULL, "malloc");
	*write = (struct pending){.off = op->off, .size = op->size};
	write->replaced = calloc(op->size / SECTOR + 1, 1);
	check(write->replaced != NULL, "calloc");
	strcpy(write->name, name);
	memcpy(write->data, op->data, op->size);
	*pending_end = write;
	pending_end = &write->next;
}

static void forget(struct pending *write)
{
	free(write->replaced);
	free(write);
}

/* Write each sector that could still come, at a chance of @percent. */
static void apply(int fd, const struct pending *write, struct rng *rng, unsigned percent)
{
	for (size_t at = 0; at < write->size; at += SECTOR) {
		if (!write->replaced[at / SECTOR] && (rng == NULL || rng_chance(rng, percent)))
			check(pwrite(fd, write->data + at, SECTOR, (off_t)(write->off + at)) == SECTOR,
			      write->name);
	}
}

/* The pending writes to @name, in order, are durable now; NULL: all are forgotten. */
static void settle(const char *name)
{
	struct pending **link = &pending;

	while (*link != NULL) {
		struct pending *write = *link;

		if (name != NULL && strcmp(write->name, name) != 0) {
			link = &write->next;
			continue;
		}
		if (name != NULL) {
			int fd = open_shadow(name);

			if (fd >= 0) {
				apply(fd, write, NULL, 100);
				close(fd);
			}
		}
		*link = write->next;
		forget(write);
	}
	pending_end = link;
}

static void observe(const struct sys_io *ops, unsigned count)
{
	char name[64];
	unsigned pass;

	/* Twice: as it is while the batch runs, when a cut may take any part, and when it is over. */
	for (pass = 0; pass < 2; pass++) {
		struct pending **keep = pending_end;

		for (unsigned i = 0; i < count; i++) {
			name_of(ops[i].fd, name);
			if (ops[i].size == 0 && ops[i].kind != SYS_IO_SYNC)
				continue;
			if (ops[i].kind == SYS_IO_WRITE ||
			    (pass == 0 && ops[i].kind == SYS_IO_WRITE_DURABLE))
				remember(name, &ops[i]);
			else if (ops[i].kind == SYS_IO_WRITE_DURABLE)
				make_durable(name, &ops[i]);
			else if (pass == 1)
				settle(name);
		}
		if (pass == 1)
			break;
		if (before != NULL)
			before();
		while (*keep != NULL) {
			struct pending *next = (*keep)->next;

			forget(*keep);
			*keep = next;
		}
		pending_end = keep;
	}
}

void shadow_start(const char *dir, void (*before_batch)(void))
{
	strcpy(real_dir, dir);
	before = before_batch;
	wal_observer = observe;
}

void shadow_stop(void)
{
	wal_observer = NULL;
	settle(NULL);
}

void shadow_reset(const char *from)
{
	settle(NULL);
	tmpstore_copy(from, shadow_dir);
}

void shadow_cut(const char *to, struct rng *rng, unsigned percent)
{
	shadow_see_segments();
	tmpstore_copy(shadow_dir, to);
	for (const struct pending *write = pending; write != NULL; write = write->next) {
		char path[TMPSTORE_PATH_MAX];
		int fd;

		tmpstore_join(path, to, write->name);
		fd = open(path, O_WRONLY);
		if (fd < 0 && errno == ENOENT)
			continue; /* released since */
		check(fd >= 0, path);
		apply(fd, write, rng, percent);
		close(fd);
	}
}
