/* SPDX-License-Identifier: MIT */
/*
 * thread.c - threads, parking, time, chance and events
 *
 * Why: who sleeps and who is woken decides every race, so it all goes through the two functions
 * sys_park() and sys_wake(). They carry no order themselves: the caller's atomics on the word do.
 * The waker changes the word, with RELEASE at least, before sys_wake(); the sleeper reads it again
 * after sys_park(). The kernel compares the word under the lock that the waker takes, so a change
 * between the sleeper's last look and its sleep is never missed.
 */
#include "sys/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/fail.h"

#define THREAD_NAME_SIZE 16 /* bytes, final zero included; the kernel's limit */
#define NS_PER_S 1000000000u

struct sys_thread {
	pthread_t thread;
	void (*run)(void *ctx);
	void *ctx;
	char name[THREAD_NAME_SIZE];
};

static void *thread_main(void *argument)
{
	struct sys_thread *self = argument;

	pthread_setname_np(pthread_self(), self->name);
	self->run(self->ctx);
	return NULL;
}

/* Signals are for the program's own threads, except those that a thread causes itself. */
static void signals_not_for_us(sigset_t *set)
{
	static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

	sigfillset(set);
	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
		sigdelset(set, own[i]);
}

int sys_thread_start(void (*run)(void *ctx), void *ctx, const char *name, struct sys_thread **thread)
{
	struct sys_thread *made = malloc(sizeof *made);
	sigset_t blocked, before;
	int error;

	if (made == NULL)
		return -ENOMEM;
	made->run = run;
	made->ctx = ctx;
	snprintf(made->name, sizeof made->name, "%s", name);
	/* A thread starts with its creator's mask, so there is no moment with the wrong one. */
	signals_not_for_us(&blocked);
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	error = pthread_create(&made->thread, NULL, thread_main, made);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0) {
		int rc = sys_fail_name(error, "start thread", -1, made->name);

		free(made);
		return rc;
	}
	*thread = made;
	return BWT_OK;
}

void sys_thread_join(struct sys_thread *thread)
{
	pthread_join(thread->thread, NULL);
	free(thread);
}

bool sys_park(_Atomic(uint32_t) *word, uint32_t seen, uint64_t timeout_ns)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_S),
		.tv_nsec = (long)(timeout_ns % NS_PER_S),
	};

	/* ACQUIRE: pairs with the RELEASE of whoever changed the word before sys_wake(). */
	if (atomic_load_explicit(word, memory_order_acquire) != seen)
		return true;
	if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_ns > 0 ? &timeout : NULL,
	            NULL, 0) == 0)
		return true;
	return errno != ETIMEDOUT;
}

void sys_wake(_Atomic(uint32_t) *word, unsigned count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count > INT_MAX ? INT_MAX : (int)count, NULL,
	        NULL, 0);
}

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

uint64_t sys_now_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

uint64_t sys_wall_ns(void)
{
	return now(CLOCK_REALTIME);
}

int sys_random(void *data, size_t size)
{
	uint8_t *bytes = data;

	while (size > 0) {
		ssize_t got = getrandom(bytes, size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return sys_fail_name(errno, "draw", -1, "random bytes");
		bytes += got;
		size -= (size_t)got;
	}
	return BWT_OK;
}

long sys_pid(void)
{
	return getpid();
}

uint32_t sys_thread_id(void)
{
	static _Thread_local struct {
		uint32_t fork_generation; /* a forked child's thread has another number */
		uint32_t id;
	} cache;
	uint32_t generation = sys_fork_generation();

	if (cache.id == 0 || cache.fork_generation != generation) {
		cache.id = (uint32_t)gettid();
		cache.fork_generation = generation;
	}
	return cache.id;
}

void sys_yield(void)
{
	sched_yield();
}

int sys_eventfd_new(int *fd)
{
	int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (made < 0)
		return sys_fail_name(errno, "create", -1, "event descriptor");
	*fd = made;
	return BWT_OK;
}

void sys_eventfd_signal(int fd)
{
	const uint64_t one = 1;
	ssize_t written;

	/* EAGAIN: the counter is full, so the descriptor is readable, which is all that counts. */
	do
		written = write(fd, &one, sizeof one);
	while (written < 0 && errno == EINTR);
}

void sys_eventfd_clear(int fd)
{
	uint64_t count;
	ssize_t got;

	do
		got = read(fd, &count, sizeof count);
	while (got < 0 && errno == EINTR);
}
