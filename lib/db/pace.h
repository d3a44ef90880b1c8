/* SPDX-License-Identifier: MIT */
/*
 * pace.h - how fast background threads collect the value log: options.vlog_collect_rate
 */
#ifndef BWT_DB_PACE_H
#define BWT_DB_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define PACE_PRESSURE_MAX 16u /* no space is left to wait with */

struct pace {
	/* Any thread that collects writes them, relaxed: they are advice. */
	_Atomic(uint64_t) next_ns; /* sys_now_ns() before which background threads do something else */
	_Atomic(uint64_t) clock; /* store_clock() when something was collected last */
	_Atomic(uint32_t) pressure; /* 0..PACE_PRESSURE_MAX: how much of the space to wait with is used up */
};

struct pace_step { /* one leaf's values were moved */
	uint64_t bytes, took_ns;
	bool commits; /* others have committed since the step before */
	uint32_t pressure;
};

/**
 * pace_pause_ns - how long to wait after a step
 * @rate:   bytes a second; 0: it adapts itself: the more of the space is used up the shorter, and not at all
 *          where nobody else commits; UINT64_MAX: no limit
 */
uint64_t pace_pause_ns(uint64_t rate, const struct pace_step *step);
/** pace_step_done - note a step that began at @began_ns (sys_now_ns()), and ended now, with the log's end at @clock */
void pace_step_done(struct pace *pace, uint64_t rate, uint64_t bytes, uint64_t began_ns,
                    uint64_t clock);
/** pace_wait_ns - how long a background thread has to wait still; 0: not at all */
uint64_t pace_wait_ns(const struct pace *pace);

#endif
