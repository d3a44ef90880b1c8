/* SPDX-License-Identifier: MIT */
/*
 * child.h - tests that must run in a process of their own: limits, forbidden calls, death by signal
 *
 * The body runs in a forked child, where CUnit's assertions are lost: it uses CHILD_CHECK, which
 * ends the child with a message. Fork while this process has one thread.
 */
#ifndef BWT_TESTS_UNIT_SYS_CHILD_H
#define BWT_TESTS_UNIT_SYS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define CHILD_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: in the child: %s\n", __FILE__, __LINE__,           \
			        #condition);                                                       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/** child_passes - run @body in a child; true if it came back and no CHILD_CHECK failed */
bool child_passes(void (*body)(void));

/** child_killed_by - run @body in a child; the signal that ended it, 0 if none did */
int child_killed_by(void (*body)(void));

/** child_forbid - from now on system call @number fails with @error in this process (seccomp) */
void child_forbid(int number, int error);

/** child_forbid_with - the same, only when argument @index (0..5) is @value */
void child_forbid_with(int number, unsigned index, uint32_t value, int error);

/** child_limit_file_size - RLIMIT_FSIZE; SIGXFSZ keeps its default action: death */
void child_limit_file_size(uint64_t bytes);

#endif
