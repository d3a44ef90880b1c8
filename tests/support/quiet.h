/* SPDX-License-Identifier: MIT */
/*
 * quiet.h - from here on without the system
 */
#ifndef BWT_TESTS_QUIET_H
#define BWT_TESTS_QUIET_H

/**
 * quiet_begin - from now on this thread may wait on and wake by futexes, write to standard error, and end
 *
 * Any other system call ends the process with status 1, after its number was said. For a forked child; the
 * memory that the thread will want from malloc() is to be had before.
 */
void quiet_begin(void);

#endif
