/* SPDX-License-Identifier: MIT */
/* support.c - files in memory for the fuzz targets */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static char dir_name[64];
static int dir_fd = -1;

void fuzz_touch(const void *data, size_t size)
{
	const volatile uint8_t *bytes = data;
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
}

void fuzz_seal(struct block_head *head, size_t room)
{
	uint32_t skip = head->tag == BLOCK_PUT || head->tag == BLOCK_DELETE ? 0x20 : 0;

	if (head->size >= sizeof *head && head->size <= room && head->size % BLOCK_ALIGN == 0 &&
	    skip + sizeof(uint64_t) <= head->size)
		block_seal(head, skip);
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

int fuzz_file(const void *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	need(fd >= 0, "memfd_create");
	need(pwrite(fd, data, size, 0) == (ssize_t)size, "pwrite");
	return fd;
}

static void remove_dir(void)
{
	char command[sizeof dir_name + 16];

	snprintf(command, sizeof command, "rm -rf %s", dir_name);
	need(system(command) == 0, "rm");
}

int fuzz_dir(void)
{
	if (dir_fd >= 0)
		return dir_fd;
	snprintf(dir_name, sizeof dir_name, "%s/bwt-fuzz-XXXXXX",
	         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	need(mkdtemp(dir_name) != NULL, "mkdtemp");
	atexit(remove_dir);
	dir_fd = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(dir_fd >= 0, "open");
	return dir_fd;
}

void fuzz_dir_file(const char *name, const void *data, size_t used, size_t size)
{
	int fd = openat(fuzz_dir(), name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	need(fd >= 0, name);
	need(pwrite(fd, data, used, 0) == (ssize_t)used, "pwrite");
	need(ftruncate(fd, (off_t)size) == 0, "ftruncate");
	close(fd);
}
