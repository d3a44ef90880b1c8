/* SPDX-License-Identifier: MIT */
/*
 * file_copy.h - bytes from one file to another
 */
#ifndef BWT_LOG_FILE_COPY_H
#define BWT_LOG_FILE_COPY_H

#include <stdint.h>

/**
 * file_copy - [@from_off, @from_off + @len) of @from to @to_off in @to, which holds zeroes there
 *
 * Blocks of zeroes are not written, so what is a hole stays one. Not synced.
 *
 * Returns: BWT_OK; BWT_CORRUPT: @from is shorter; BWT_FULL, BWT_IO, -ENOMEM
 * Threads: any; bytes that others change meanwhile are copied as they were before or after
 */
int file_copy(int from, uint64_t from_off, int to, uint64_t to_off, uint64_t len);

#endif
