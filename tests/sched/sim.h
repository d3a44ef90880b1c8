/* SPDX-License-Identifier: MIT */
/*
 * sim.h - 2 to 8 fibers, one seeded scheduler
 *
 * Fibers run library code and can be switched only at points: atomic operations (the header in
 * include/base/), parking, waking, yielding. Everything else runs undisturbed, so that a run is the
 * list of the scheduler's choices, and those follow from the plan.
 *
 *   P1  The same plan over the same world gives the same run, step by step.
 *   P2  Time is a count of steps; nothing asks the machine for time or chance.
 *   P3  Thread-local variables of the library are a section of the program (sim_tls), copied out
 *       and in when fibers switch.
 *
 * Store buffers (plan.tso): plain and release stores of a fiber wait in its own queue, first in, first
 * out, as on x86; it sees them itself, others when they leave the queue: at the fiber's next read-modify-
 * write, fence, seq_cst store or system call, or when the scheduler says so. Stores to plain memory are
 * not delayed: what a program without data races may see of them is the same.
 */
#ifndef BWT_SCHED_SIM_H
#define BWT_SCHED_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define SIM_FIBERS_MAX 8u
#define SIM_CHOICES_MAX 4u   /* preemptions of a bounded plan */
#define SIM_STEPS_MAX 60000u /* of one run: more is "no progress" */
#define SIM_RECORD_MAX 6000u /* steps of a bounded run that are noted */
#define SIM_TEXT_MAX 128u

enum sim_strategy {
	SIM_WALK, /* at each point, by chance, any fiber */
	SIM_PCT, /* random priorities, which change at `depth` points (Burckhardt et al., ASPLOS 2010) */
	SIM_STOP, /* walk; one fiber stops at its point choice[0].step until no other can go on */
	SIM_BOUNDED, /* the same fiber goes on, but for the choices listed */
};

struct sim_choice {
	uint32_t step;
	uint32_t fiber;
};

struct sim_plan {
	enum sim_strategy strategy;
	bool tso;
	uint64_t seed;
	uint32_t length; /* PCT: change points lie below this step */
	struct sim_choice choice[SIM_CHOICES_MAX];
	unsigned choice_count;
};

/** sim_plan_print, sim_plan_parse - a plan as one word, which is what a failing run prints */
void sim_plan_print(const struct sim_plan *plan, char text[SIM_TEXT_MAX]);
bool sim_plan_parse(struct sim_plan *plan, const char *text);

struct sim_note {         /* of a step of a bounded run */
	uint8_t fiber;    /* that was about to do it */
	uint8_t picked;   /* who went on */
	uint8_t runnable; /* who could have, as bits */
	bool free;        /* the fiber could not go on: a choice here is no preemption */
	bool shared; /* a place for a choice: others use the address, too, and one of them writes */
};

struct sim_result {
	bool failed;
	char why[512];
	uint32_t steps;
	unsigned note_count;
	bool stopped; /* stop plans: it had as many points */
	const char *stopped_at;
	const struct sim_note *note; /* bounded plans: by step, good until the next run */
};

/** sim_init - once */
void sim_init(void);
/** sim_quiet - atomics in this memory are no points */
void sim_quiet_clear(void);
void sim_quiet(const volatile void *memory, size_t size);
/** sim_tls_of - where fiber @fiber keeps its thread-local variables: @memory, sim_tls_size() bytes */
void sim_tls_of(unsigned fiber, void *memory);
size_t sim_tls_size(void);
/** sim_tls_clear - the caller's own are zero again, as in a fresh thread */
void sim_tls_clear(void);
/** sim_as - outside a run: call @act as fiber @fiber would, with its thread-local variables */
void sim_as(unsigned fiber, void (*act)(unsigned fiber));

/** sim_run - one schedule: @body(0) .. @body(@fibers - 1), then @after, alone */
void sim_run(const struct sim_plan *plan, unsigned fibers, void (*body)(unsigned fiber),
             void (*after)(void), struct sim_result *result);
/**
 * sim_on_held - stop plans: called when every other fiber has ended (@asleep 0) or sleeps, with nobody but the
 *               stopped one to wake it (@asleep: those, as bits); then the stopped one goes on. May sim_fail().
 */
void sim_on_held(void (*held)(unsigned stopped, uint32_t asleep));
/** sim_places - every atomic operation that was compiled into the library, as FILE:LINE; some more than once */
const char *const *sim_places(unsigned *count);
/** sim_forget - what bounded plans have learned about shared addresses */
void sim_forget(void);

/** sim_fail - this run is wrong, and ends here; in sim_run(), never elsewhere */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/** sim_self - the running fiber */
unsigned sim_self(void);
/** sim_stamp - a number larger than every one before */
uint32_t sim_stamp(void);
/** sim_chance - 0 .. @bound - 1, from the plan's seed */
uint32_t sim_chance(uint32_t bound);
/** sim_yield - let others go first */
void sim_yield(void);
/** sim_trace - print every step of the next runs */
extern bool sim_trace;

/** Faults: TEST_FAULT(@name) is true during runs; NULL: none. */
void sim_fault_set(const char *name);
/** sim_point_force - the TEST_FAULT @name is true too: no fault, a way that small scenarios would not go; NULL: none */
void sim_point_force(const char *name);
/** How often the point of the armed fault was reached. */
uint64_t sim_fault_hits(void);

#endif
