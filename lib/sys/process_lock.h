/* SPDX-License-Identifier: MIT */
/*
 * process_lock.h - the one lock over what fork.c and tls.c know about the whole process
 *
 * fork() takes it before and gives it back after, in parent and child, so the child never inherits
 * it from a thread that no longer exists.
 */
#ifndef BWT_SYS_PROCESS_LOCK_H
#define BWT_SYS_PROCESS_LOCK_H

/** Blocks: on threads that open, close or end, and on fork(); never on a disk. */
void sys_process_lock(void);
void sys_process_unlock(void);

#endif
