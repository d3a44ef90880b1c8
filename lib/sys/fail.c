/* SPDX-License-Identifier: MIT */
/*
 * fail.c - words and code of a failed system call, for the files of this layer
 *
 * Why: a descriptor says nothing to a person. The name is looked up only here, after a failure, so
 * no file of the store has to carry its path around.
 */
#include "sys/fail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define NAME_MAX_SHOWN 600 /* bytes; leaves room for the other words in ERROR_DETAIL_MAX */
#define REASON_SIZE 128

static const char *reason(int error, char *buffer)
{
	return strerror_r(error, buffer, REASON_SIZE);
}

void sys_fd_name(int fd, char *name, size_t size)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, name, size - 1);
	if (len > 0)
		name[len] = '\0';
	else
		snprintf(name, size, "descriptor %d", fd);
}

int sys_fail(int error, const char *operation, int fd, uint64_t off)
{
	char name[NAME_MAX_SHOWN], text[REASON_SIZE];

	sys_fd_name(fd, name, sizeof name);
	if (off == SYS_NO_OFF)
		return error_set(error_from_errno(error), "%s %s: %s", operation, name,
		                 reason(error, text));
	return error_set(error_from_errno(error), "%s %s at offset %" PRIu64 ": %s", operation,
	                 name, off, reason(error, text));
}

int sys_fail_name(int error, const char *operation, int dir_fd, const char *name)
{
	char dir[NAME_MAX_SHOWN], text[REASON_SIZE];

	if (dir_fd < 0)
		return error_set(error_from_errno(error), "%s %s: %s", operation, name,
		                 reason(error, text));
	sys_fd_name(dir_fd, dir, sizeof dir);
	return error_set(error_from_errno(error), "%s %s/%s: %s", operation, dir, name,
	                 reason(error, text));
}

int sys_fail_short(int fd, uint64_t off, size_t size, size_t got)
{
	char name[NAME_MAX_SHOWN];

	sys_fd_name(fd, name, sizeof name);
	return error_set(BWT_CORRUPT,
	                 "%s is shorter than expected: %zu bytes wanted at offset %" PRIu64
	                 ", %zu are there",
	                 name, size, off, got);
}
