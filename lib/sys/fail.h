/* SPDX-License-Identifier: MIT */
/*
 * fail.h - words and code of a failed system call, for the files of this layer
 */
#ifndef BWT_SYS_FAIL_H
#define BWT_SYS_FAIL_H

#include <stddef.h>
#include <stdint.h>

#define SYS_NO_OFF UINT64_MAX /* the failed call had no offset */

/**
 * sys_fail - leave "operation file at offset N: reason" in bwt_detail()
 * @error:  positive errno value
 * @operation: what was tried, as a verb
 * @fd:     the file or directory, still open; its name is asked of /proc
 * @off:    bytes from the start of the file, or SYS_NO_OFF
 * Returns: error_from_errno(@error)
 * Threads: any
 */
int sys_fail(int error, const char *operation, int fd, uint64_t off);

/**
 * sys_fail_name - the same for a call that names its file
 * @dir_fd: directory that @name is relative to, or -1 when @name is a whole path
 */
int sys_fail_name(int error, const char *operation, int dir_fd, const char *name);

/**
 * sys_fail_short - a read met the end of the file
 * @off, @size: what was to be read
 * @got:    bytes that were there
 * Returns: BWT_CORRUPT
 */
int sys_fail_short(int fd, uint64_t off, size_t size, size_t got);

/**
 * sys_fd_name - the path behind @fd, or "descriptor N" when it cannot be found out
 * @name:   out, always terminated; longer paths are cut
 */
void sys_fd_name(int fd, char *name, size_t size);

#endif
