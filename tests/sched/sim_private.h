/* SPDX-License-Identifier: MIT */
/*
 * sim_private.h - what sim.c, strategy.c and sim_sys.c share
 */
#ifndef BWT_SCHED_SIM_PRIVATE_H
#define BWT_SCHED_SIM_PRIVATE_H

#include <setjmp.h>

#include "tests/sched/fiber.h"
#include "tests/sched/sim.h"
#include "tests/support/rng.h"

#define SIM_BUFFER_MAX 8u /* stores that wait */

struct sim_pending { /* a store that waits */
	volatile void *address;
	uint64_t value;
	uint8_t size;
};

enum sim_state {
	SIM_READY,
	SIM_PARKED,
	SIM_DONE
};

struct sim_fiber {
	struct fiber fiber;
	enum sim_state state;
	const volatile void *word; /* parked on */
	uint32_t seen;             /* in it, when it fell asleep */
	uint64_t deadline_ns;      /* 0: none */
	bool timed_out;
	uint32_t points;  /* it was at */
	bool spun;        /* since its last point: one yield is enough */
	int64_t priority; /* PCT */
	struct sim_pending buffer[SIM_BUFFER_MAX];
	unsigned buffered;
	void *tls;
};

struct sim {
	bool running;
	unsigned self, fibers;
	uint32_t runnable; /* bits */
	uint32_t step;
	uint32_t stamp;
	uint64_t now_ns;
	bool fair; /* the run is long: yields rotate, everybody gets turns */
	struct sim_plan plan;
	struct rng rng;
	uint32_t drain_percent; /* of the points: a store leaves a buffer unasked */
	/* walk */
	uint32_t switch_below; /* of 256 */
	/* PCT */
	uint32_t change[SIM_CHOICES_MAX];
	unsigned changes, changed;
	int64_t lowest;
	bool stubborn; /* yielding gives nothing away: waiters come to the end of their patience */
	/* stop */
	uint32_t stopped;    /* bit of the one that is */
	uint32_t first_from; /* from this step up to there it goes first */
	/* bounded */
	unsigned chosen;
	struct fiber main;
	sigjmp_buf escape;
	struct sim_fiber fiber[SIM_FIBERS_MAX];
	void (*body)(unsigned fiber);
	struct sim_result *result;
};

extern struct sim sim;

enum sim_reason {
	SIM_AT_POINT,
	SIM_AT_YIELD,
	SIM_AT_BLOCK
};

/* strategy.c */
void strategy_begin(void);
/** The fiber that goes on; one of sim.runnable, which is not empty. */
unsigned strategy_pick(enum sim_reason reason, const volatile void *address, enum sim_access access);
const struct sim_note *strategy_notes(unsigned *count);

/* sim.c */
void sim_step(enum sim_reason reason, const volatile void *address, enum sim_access access,
              const char *where);
/** What waits in the running fiber's store buffer becomes visible. */
void sim_drain(void);
/** The running fiber sleeps until it is made runnable. */
void sim_block(void);

#endif
