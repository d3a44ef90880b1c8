/* SPDX-License-Identifier: MIT */
/*
 * thread.h - threads, parking, time, chance and fork
 */
#ifndef BWT_SYS_THREAD_H
#define BWT_SYS_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

struct sys_thread;

int sys_thread_start(void (*run)(void *ctx), void *ctx, const char *name, struct sys_thread **thread);
void sys_thread_join(struct sys_thread *thread); /* frees it */

/**
 * sys_park - sleep until woken, while *@word == @seen (futex)
 * @timeout_ns: 0 waits for ever
 * Returns: true when woken or the word differed, false when the time ran out. May wake for nothing.
 */
bool sys_park(_Atomic(uint32_t) *word, uint32_t seen, uint64_t timeout_ns);
void sys_wake(_Atomic(uint32_t) *word, unsigned count); /* UINT_MAX: all */

uint64_t sys_now_ns(void);  /* monotonic */
uint64_t sys_wall_ns(void); /* since 1970, for people */
int sys_random(void *data, size_t size);
void sys_yield(void);
long sys_pid(void);           /* of this process */
uint32_t sys_thread_id(void); /* of this thread, as the system numbers them; asked once a thread */

extern _Atomic(uint32_t) sys_fork_count; /* fork.c alone writes it */

/** Bumped in the child by every fork(); compare with the value at open. One load. RELAXED: fork() orders the rest. */
static inline uint32_t sys_fork_generation(void)
{
	return atomic_load_explicit(&sys_fork_count, memory_order_relaxed);
}

/** Call @child(@ctx) in a forked child, until sys_fork_forget(). Async-signal-safe work only (close). */
int sys_fork_watch(void (*child)(void *ctx), void *ctx, void **handle);
void sys_fork_forget(void *handle);

/**
 * Runs @at_exit(@value) when a thread that called sys_tls_set() ends with a value that is not NULL.
 * @at_exit runs in the ending thread, under a lock that sys_tls_new(), sys_tls_free() and the fork
 * functions above take: it must be short and call none of them. In a forked child it never runs.
 */
struct sys_tls;
int sys_tls_new(void (*at_exit)(void *value), struct sys_tls **tls);
void sys_tls_free(struct sys_tls *tls);            /* no more @at_exit calls */
int sys_tls_set(struct sys_tls *tls, void *value); /* BWT_OK; -ENOMEM: nothing was set */
void *sys_tls_get(struct sys_tls *tls);

int sys_eventfd_new(int *fd); /* non-blocking, close-on-exec */
void sys_eventfd_signal(int fd);
void sys_eventfd_clear(int fd); /* not readable any more, until it is signalled again */

#endif
