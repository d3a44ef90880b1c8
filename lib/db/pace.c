/* SPDX-License-Identifier: MIT */
/*
 * pace.c - pauses between the steps of collection
 *
 * Why: collection reads and writes the same device as commits. With space to wait with it takes a quarter of the time
 * that it could have, and leaves the rest to them; as that space is used up it takes all of it. Threads that append
 * while the log is over its target do not wait: what they do is counted, and the background pauses for it.
 */
#include "db/pace.h"

#include "sys/thread.h"

#define PAUSE_SHARE 3u /* times as long as the step took, without pressure */
#define SECOND_NS ((uint64_t)1000000000)
#define PAUSE_MAX_NS (SECOND_NS / 10) /* of a pause that adapts itself: the pressure may change */
#define RATE_PAUSE_MAX_NS (SECOND_NS * 3600)

static uint64_t at_rate(uint64_t rate, uint64_t bytes)
{
	uint64_t pause = bytes > UINT64_MAX / SECOND_NS ? UINT64_MAX : bytes * SECOND_NS / rate;

	return pause < RATE_PAUSE_MAX_NS ? pause : RATE_PAUSE_MAX_NS;
}

uint64_t pace_pause_ns(uint64_t rate, const struct pace_step *step)
{
	uint64_t pause;

	if (rate == UINT64_MAX)
		return 0;
	if (rate != 0)
		return at_rate(rate, step->bytes);
	if (!step->commits || step->pressure >= PACE_PRESSURE_MAX)
		return 0;
	if (step->took_ns > PAUSE_MAX_NS)
		return PAUSE_MAX_NS;
	pause = step->took_ns * PAUSE_SHARE * (PACE_PRESSURE_MAX - step->pressure) /
	        PACE_PRESSURE_MAX;
	return pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS;
}

void pace_step_done(struct pace *pace, uint64_t rate, uint64_t bytes, uint64_t began_ns,
                    uint64_t clock)
{
	uint64_t now = sys_now_ns();
	uint64_t before = atomic_exchange_explicit(&pace->clock, clock, memory_order_relaxed);
	struct pace_step step = {
		.bytes = bytes,
		.took_ns = now - began_ns,
		.commits = clock != before,
		.pressure = atomic_load_explicit(&pace->pressure, memory_order_relaxed),
	};
	uint64_t pause = pace_pause_ns(rate, &step);
	/* A rate counts from where a step began; steps side by side count one after another. */
	uint64_t from = rate != 0 ? began_ns : now;
	uint64_t next = atomic_load_explicit(&pace->next_ns, memory_order_relaxed);

	if (pause == 0)
		return;
	if (rate != 0 && next > from)
		from = next;
	atomic_store_explicit(&pace->next_ns, from + pause, memory_order_relaxed);
}

uint64_t pace_wait_ns(const struct pace *pace)
{
	uint64_t next = atomic_load_explicit(&pace->next_ns, memory_order_relaxed);
	uint64_t now = next == 0 ? 0 : sys_now_ns();

	return next > now ? next - now : 0;
}
