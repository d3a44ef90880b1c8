/* SPDX-License-Identifier: MIT */
/* tmpstore.c - make, copy and remove the folders of tests */
#include "tests/support/tmpstore.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BLOCK 65536
#define OPEN_FOLDERS_MAX 16

static void give_up(const char *what, const char *path) __attribute__((noreturn));

static void give_up(const char *what, const char *path)
{
	fprintf(stderr, "tmpstore: cannot %s %s: %s\n", what, path, strerror(errno));
	exit(EXIT_FAILURE);
}

void tmpstore_new(char path[TMPSTORE_PATH_MAX])
{
	const char *base = getenv("TMPDIR");

	if (base == NULL || base[0] == '\0')
		base = "/tmp";
	if (snprintf(path, TMPSTORE_PATH_MAX, "%s/bwt-test-XXXXXX", base) >= TMPSTORE_PATH_MAX) {
		errno = ENAMETOOLONG;
		give_up("make", base);
	}
	if (mkdtemp(path) == NULL)
		give_up("make", path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	if (ftw->level > 0 && remove(path) != 0)
		give_up("remove", path);
	return 0;
}

void tmpstore_clear(const char *path)
{
	nftw(path, remove_one, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS);
}

void tmpstore_free(const char *path)
{
	const char *keep = getenv("KEEP");

	if (keep != NULL && strcmp(keep, "1") == 0) {
		printf("kept %s\n", path);
		return;
	}
	tmpstore_clear(path);
	if (rmdir(path) != 0 && errno != ENOENT)
		give_up("remove", path);
}

static bool all_zero(const char *bytes, size_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void copy_file(const char *from, const char *to, const struct stat *st)
{
	static char block[COPY_BLOCK];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st->st_mode & 0777);
	ssize_t got;
	off_t off = 0;

	if (in < 0)
		give_up("open", from);
	if (out < 0)
		give_up("create", to);
	while (off < st->st_size) {
		off_t data = lseek(in, off, SEEK_DATA);

		if (data < 0) /* a hole up to the end, or a file system that cannot say */
			data = errno == ENXIO ? st->st_size : off;
		off = data - data % COPY_BLOCK > off ? data - data % COPY_BLOCK : off;
		if (data >= st->st_size)
			break;
		got = pread(in, block, sizeof block, off);
		if (got <= 0)
			break;
		if (!all_zero(block, (size_t)got) && pwrite(out, block, (size_t)got, off) != got)
			give_up("write", to);
		off += got;
	}
	if (ftruncate(out, st->st_size) != 0)
		give_up("truncate", to);
	close(in);
	close(out);
}

/* Of the one running tmpstore_copy(): nftw() hands no context on. */
static const char *copy_from, *copy_to;

static int copy_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char to[2 * TMPSTORE_PATH_MAX];

	(void)ftw;
	snprintf(to, sizeof to, "%s%s", copy_to, path + strlen(copy_from));
	if (type == FTW_D) {
		if (mkdir(to, 0755) != 0 && errno != EEXIST)
			give_up("make", to);
	} else if (type == FTW_F && S_ISREG(st->st_mode)) {
		copy_file(path, to, st);
	}
	return 0;
}

void tmpstore_copy(const char *from, const char *to)
{
	struct stat st;

	if (stat(to, &st) == 0)
		tmpstore_clear(to);
	copy_from = from;
	copy_to = to;
	if (nftw(from, copy_one, OPEN_FOLDERS_MAX, FTW_PHYS) != 0)
		give_up("copy", from);
}

void tmpstore_join(char path[TMPSTORE_PATH_MAX], const char *folder, const char *name)
{
	if (snprintf(path, TMPSTORE_PATH_MAX, "%s/%s", folder, name) >= TMPSTORE_PATH_MAX) {
		errno = ENAMETOOLONG;
		give_up("name", name);
	}
}

static uint64_t bytes_sum;

static int add_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (type == FTW_F)
		bytes_sum += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t tmpstore_bytes(const char *path)
{
	bytes_sum = 0;
	nftw(path, add_one, OPEN_FOLDERS_MAX, FTW_PHYS);
	return bytes_sum;
}
