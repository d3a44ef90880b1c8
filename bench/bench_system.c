/* SPDX-License-Identifier: MIT */
/*
 * bench_system.c - reading /proc, /sys and the file system for the report
 *
 * Which of the two counts of written bytes to believe: the device's is what reached the medium, but
 * of every process on the machine. The process's counts folios when they become dirty, and a folio may
 * be 2 MiB large: right for a dirtied map, which is written by the folio, far too much for small buffered
 * writes, of which the file system writes only the blocks. Both need a flush before and after.
 */
#include "bench_system.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SECTOR_SIZE 512u /* unit of /sys/block and of st_blocks, whatever the device's own */
#define WALK_FDS 16

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t system_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t system_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* The number after "@name:" at the start of a line of @path; 0 when it is not there. */
static uint64_t field_of(const char *path, const char *name)
{
	const size_t name_size = strlen(name);
	FILE *file = fopen(path, "re");
	char line[256];
	uint64_t number = 0;

	if (file == NULL)
		return 0;
	while (number == 0 && fgets(line, sizeof line, file) != NULL)
		if (strncmp(line, name, name_size) == 0 && line[name_size] == ':')
			number = strtoull(line + name_size + 1, NULL, 10);
	fclose(file);
	return number;
}

/* The seventh number of the device's statistics: sectors written. */
static uint64_t device_written(const char *dir)
{
	struct stat status;
	char path[128];
	char line[512];
	char *next = line;
	uint64_t sectors = 0;
	FILE *file;

	if (stat(dir, &status) < 0)
		return 0;
	snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(status.st_dev),
	         minor(status.st_dev));
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fgets(line, sizeof line, file) != NULL)
		for (unsigned i = 0; i < 7; i++)
			sectors = strtoull(next, &next, 10);
	fclose(file);
	return sectors * SECTOR_SIZE;
}

void system_written_read(const char *dir, struct system_written *written)
{
	written->process = field_of("/proc/self/io", "write_bytes") -
	                   field_of("/proc/self/io", "cancelled_write_bytes");
	written->device = device_written(dir);
}

uint64_t system_anon_bytes(void)
{
	return field_of("/proc/self/status", "RssAnon") * 1024; /* the file says kB */
}

static uint64_t walk_bytes; /* of system_disk_bytes(): nftw() hands nothing through */

static int add_size(const char *path, const struct stat *status, int type, struct FTW *level)
{
	(void)path;
	(void)level;
	if (type == FTW_F)
		walk_bytes += (uint64_t)status->st_blocks * SECTOR_SIZE;
	return 0;
}

uint64_t system_disk_bytes(const char *dir)
{
	walk_bytes = 0;
	if (nftw(dir, add_size, WALK_FDS, FTW_PHYS) < 0)
		return 0;
	return walk_bytes;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *level)
{
	(void)status;
	(void)type;
	(void)level;
	return remove(path);
}

int system_remove(const char *dir)
{
	return nftw(dir, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void system_flush(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)syncfs(fd);
	close(fd);
}

static void read_cpu(char *text, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char model[96] = "?";
	char line[256];

	while (file != NULL && fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "model name : %95[^\n]", model) == 1)
			break;
	if (file != NULL)
		fclose(file);
	snprintf(text, size, "%s x%ld", model, sysconf(_SC_NPROCESSORS_ONLN));
}

/*
 * "ext4 on /dev/vda", from the line of mountinfo that names the device of @dir:
 * 26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
 */
static void read_file_system(const char *dir, char *text, size_t size)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	struct stat status;
	char line[1024];
	char device[32];
	char type[32];
	char source[80];

	snprintf(text, size, "?");
	if (file == NULL)
		return;
	if (stat(dir, &status) == 0) {
		snprintf(device, sizeof device, " %u:%u ", major(status.st_dev),
		         minor(status.st_dev));
		while (fgets(line, sizeof line, file) != NULL) {
			const char *rest = strstr(line, " - ");

			if (rest != NULL && strstr(line, device) != NULL &&
			    sscanf(rest, " - %31s %79s", type, source) == 2)
				snprintf(text, size, "%s on %s", type, source);
		}
	}
	fclose(file);
}

void system_names_read(const char *dir, struct system_names *names)
{
	struct utsname kernel;

	read_cpu(names->cpu, sizeof names->cpu);
	if (uname(&kernel) == 0)
		snprintf(names->kernel, sizeof names->kernel, "%.40s %.80s", kernel.sysname,
		         kernel.release);
	else
		snprintf(names->kernel, sizeof names->kernel, "?");
	read_file_system(dir, names->file_system, sizeof names->file_system);
}
