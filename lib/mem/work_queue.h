/* SPDX-License-Identifier: MIT */
/*
 * work_queue.h - a bounded queue of hints from the threads that meet work to those that have time for it
 *
 * Many push, many pop. Each cell has a turn number that says whose it is: turn == position: a pusher's;
 * position + 1: a popper's. A hint is never needed: a full queue refuses it, and what it names is looked at
 * anew by whoever pops it. So a thread stopped between taking a cell and passing it on may stop the queue, and
 * costs the others nothing but their hints.
 *
 *   WQ1  The bytes of a cell belong to the thread that moved push_at or pop_at over it, until it sets the turn.
 *   WQ2  Who goes to sleep says so in `sleepers`, then looks again; who pushes looks at `sleepers` afterwards.
 *        Both seq_cst: no hint is left lying with everybody asleep.
 *
 * Source: D. Vyukov, "Bounded MPMC queue", 1024cores.net.
 */
#ifndef BWT_MEM_WORK_QUEUE_H
#define BWT_MEM_WORK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define WORK_QUEUE_CELLS 1024u /* a power of two */

enum work_kind {
	WORK_CONSOLIDATE = 1, /* the page is read often, or its chain is long */
};

struct work {
	uint32_t kind; /* enum work_kind */
	uint32_t tree; /* id */
	uint64_t page; /* id */
};

struct work_cell {
	_Atomic(uint64_t) turn;
	struct work work;
};

struct work_queue {
	_Alignas(64) _Atomic(uint64_t) push_at;
	_Alignas(64) _Atomic(uint64_t) pop_at;
	_Alignas(64) _Atomic(uint32_t) bell; /* futex word of the sleepers, counted up to wake them */
	_Atomic(uint32_t) sleepers;
	struct work_cell cell[WORK_QUEUE_CELLS];
};

void work_queue_init(struct work_queue *queue);

/** work_push - false: the queue is full, do it yourself or forget it. Wakes a sleeper if there is one. */
bool work_push(struct work_queue *queue, const struct work *work);
/** work_pop - the oldest hint; false: none */
bool work_pop(struct work_queue *queue, struct work *work);

/** work_wake - wake up to @count sleepers, if there are any; never blocks */
void work_wake(struct work_queue *queue, unsigned count);
/**
 * work_sleep - sleep until somebody pushes or wakes; may return for nothing
 * @timeout_ns: at most so long; 0: no limit
 * @ready:  asked with @ctx once it is known that the thread will sleep: true: do not
 */
void work_sleep(struct work_queue *queue, uint64_t timeout_ns, bool (*ready)(void *ctx), void *ctx);

#endif
