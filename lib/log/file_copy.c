/* SPDX-License-Identifier: MIT */
/*
 * file_copy.c - bytes from one file to another, holes kept
 */
#include "log/file_copy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sys/file.h"

#define STEP ((size_t)1 << 20)
#define BLOCK ((size_t)4096)

static bool all_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Write the runs of blocks that are not all zeroes. */
static int write_blocks(const uint8_t *bytes, size_t size, int to, uint64_t off)
{
	size_t run = 0;
	int rc = BWT_OK;

	for (size_t at = 0; at < size && rc == BWT_OK; at += BLOCK) {
		size_t part = size - at < BLOCK ? size - at : BLOCK;

		if (!all_zero(bytes + at, part))
			continue;
		if (run < at)
			rc = sys_file_write(to, bytes + run, at - run, off + run);
		run = at + part;
	}
	if (rc == BWT_OK && run < size)
		rc = sys_file_write(to, bytes + run, size - run, off + run);
	return rc;
}

int file_copy(int from, uint64_t from_off, int to, uint64_t to_off, uint64_t len)
{
	/* Aligned for files that are read past the page cache. */
	uint8_t *bytes = aligned_alloc(BLOCK, STEP);
	int rc = BWT_OK;

	if (bytes == NULL)
		return error_set(-ENOMEM, "no memory to copy a file");
	for (uint64_t done = 0; done < len && rc == BWT_OK;) {
		size_t part = len - done < STEP ? (size_t)(len - done) : STEP;

		rc = sys_file_read(from, bytes, part, from_off + done);
		if (rc == BWT_OK)
			rc = write_blocks(bytes, part, to, to_off + done);
		done += part;
	}
	free(bytes);
	return rc;
}
