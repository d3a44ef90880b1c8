/* SPDX-License-Identifier: MIT */
/*
 * log_lock.h - a small lock for the lists of this layer
 *
 * Why: the lists of segments and of value-log files change once in many megabytes; nothing on the
 * way of a record takes a lock. Three states, so that neither side makes a system call unless
 * somebody really sleeps:
 *
 *   0 free --log_lock()--> 1 held --log_lock() of another--> 2 held, somebody may sleep
 *
 * Source: U. Drepper, "Futexes Are Tricky", 2011, section 6 (mutex, take 2).
 */
#ifndef BWT_LOG_LOG_LOCK_H
#define BWT_LOG_LOG_LOCK_H

#include "base/atomic.h"
#include "sys/thread.h"

struct log_lock {
	_Atomic(uint32_t) state;
};

static inline void log_lock(struct log_lock *lock)
{
	uint32_t seen = 0;

	/* ACQUIRE: pairs with the RELEASE of the holder before. */
	if (atomic_compare_exchange_strong_explicit(&lock->state, &seen, 1, memory_order_acquire,
	                                            memory_order_relaxed))
		return;
	while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
		sys_park(&lock->state, 2, 0);
}

static inline void log_unlock(struct log_lock *lock)
{
	if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2)
		sys_wake(&lock->state, 1);
}

#endif
