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
#include "base/sweep.h"
#include "sys/thread.h"

#define BACKOFF_SPINS_FIRST                                                                        \
	SWEEP("backoff_spins", 8u) /* turns of the first pause, at most; each round doubles it */
#define BACKOFF_YIELD_ROUND                                                                        \
	SWEEP("backoff_yield", 6u) /* from here on a pause gives the processor away */
#define BACKOFF_ROUNDS_MAX 10u     /* pauses; more would be no patience but hope */

struct backoff {
	unsigned round;
};

/** backoff_spins_max - turns of a pause in @round < BACKOFF_YIELD_ROUND, at most */
static inline unsigned backoff_spins_max(unsigned round)
{
	return BACKOFF_SPINS_FIRST << round;
}

/** backoff_random - the next number of a thread's generator, whose state is not 0 (xorshift64, G. Marsaglia 2003) */
static inline uint64_t backoff_random(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/** backoff_spins - turns of this one: 1 .. backoff_spins_max(@round), by chance */
static inline unsigned backoff_spins(unsigned round, uint64_t *random)
{
	return 1 + (unsigned)(backoff_random(random) & (backoff_spins_max(round) - 1));
}

/**
 * backoff_pause - wait a little longer than the last time
 * @random: state of a generator, owned by the thread, not 0
 * Returns: false when BACKOFF_ROUNDS_MAX pauses have been made
 */
static inline bool backoff_pause(struct backoff *backoff, uint64_t *random)
{
	if (backoff->round >= BACKOFF_YIELD_ROUND)
		sys_yield();
	else
		for (unsigned spins = backoff_spins(backoff->round, random); spins > 0; spins--)
			cpu_relax();
	if (backoff->round >= BACKOFF_ROUNDS_MAX)
		return false;
	backoff->round++;
	return true;
}

#endif
