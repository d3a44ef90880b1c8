/* SPDX-License-Identifier: MIT */
/*
 * fork.c - notice that this process is a forked child
 *
 * Why: a child inherits the store's lock, descriptors and memory but none of its threads. It may do
 * nothing with the store, and must let go of the descriptors, or the lock outlives the parent.
 *
 *   K1  The generation differs from the parent's before fork() returns in the child.
 *   K2  Watchers run in the child only, once per fork, before fork() returns.
 *
 * A child made by a bare clone() or vfork() is not noticed; it may only exec or exit anyway.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/atomic.h"
#include "base/error.h"
#include "sys/process_lock.h"
#include "sys/thread.h"

struct watcher {
	void (*child)(void *ctx);
	void *ctx;
	struct watcher *next;
};

static pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct watcher *watchers;  /* under the process lock */
_Atomic(uint32_t) sys_fork_count; /* writer: the only thread of a fresh child; readers: any */
static int watch_error; /* why pthread_atfork() failed, 0 if it did not; set before main() */

void sys_process_lock(void)
{
	pthread_mutex_lock(&process_mutex);
}

void sys_process_unlock(void)
{
	pthread_mutex_unlock(&process_mutex);
}

static void in_child(void)
{
	atomic_fetch_add_explicit(&sys_fork_count, 1, memory_order_relaxed);
	for (struct watcher *watcher = watchers; watcher != NULL; watcher = watcher->next)
		watcher->child(watcher->ctx);
	sys_process_unlock();
}

/* When the library is loaded: K1 holds for every fork that can follow. */
__attribute__((constructor)) static void watch_forks(void)
{
	watch_error = pthread_atfork(sys_process_lock, sys_process_unlock, in_child);
}

int sys_fork_watch(void (*child)(void *ctx), void *ctx, void **handle)
{
	struct watcher *watcher;

	if (watch_error != 0)
		return error_set(error_from_errno(watch_error), "fork() cannot be watched");
	watcher = malloc(sizeof *watcher);
	if (watcher == NULL)
		return -ENOMEM;
	watcher->child = child;
	watcher->ctx = ctx;
	sys_process_lock();
	watcher->next = watchers;
	watchers = watcher;
	sys_process_unlock();
	*handle = watcher;
	return BWT_OK;
}

void sys_fork_forget(void *handle)
{
	struct watcher **link = &watchers;

	if (handle == NULL)
		return;
	sys_process_lock();
	while (*link != NULL && *link != handle)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
	sys_process_unlock();
	free(handle);
}
