/* SPDX-License-Identifier: MIT */
/*
 * backoff.h - how to wait for another thread that is about to finish
 *
 * The pause doubles each round, with jitter, so that threads which collided do not collide again in
 * step; from BACKOFF_YIELD_ROUND on the processor is given away, because the other thread may not be
 * running at all. Bounded: after BACKOFF_ROUNDS_MAX rounds backoff_pause() says that patience is over.
 */
#ifndef BWT_SYS_BACKOFF_H
#define BWT_SYS_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "sys/thread.h"

#define BACKOFF_YIELD_ROUND 6u
#define BACKOFF_ROUNDS_MAX 10u

struct backoff {
	unsigned round;
};

/**
 * backoff_pause - wait a little longer than the last time
 * @random: state of a generator, owned by the thread, not 0
 * Returns: false when BACKOFF_ROUNDS_MAX pauses have been made
 */
static inline bool backoff_pause(struct backoff *backoff, uint64_t *random)
{
	unsigned spins;

	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	spins = 1 + (unsigned)(*random & ((8u << backoff->round) - 1));
	if (backoff->round >= BACKOFF_YIELD_ROUND)
		sys_yield();
	else
		for (unsigned i = 0; i < spins; i++)
			cpu_relax();
	if (backoff->round >= BACKOFF_ROUNDS_MAX)
		return false;
	backoff->round++;
	return true;
}

#endif
