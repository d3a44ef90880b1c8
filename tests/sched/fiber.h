/* SPDX-License-Identifier: MIT */
/*
 * fiber.h - stacks that one thread switches between
 *
 * A fiber is a stack and the place where it stopped. Switching saves the registers that a call keeps,
 * nothing else: no system call, no signal mask.
 */
#ifndef BWT_SCHED_FIBER_H
#define BWT_SCHED_FIBER_H

#include <stddef.h>

#if defined(__x86_64__)
#define FIBER_BY_HAND 1
struct fiber {
	void *stack_pointer;
};
#else
#include <ucontext.h>
struct fiber {
	ucontext_t context;
};
#endif

/** fiber_make - a fiber that calls @run, which never returns, when it is first switched to */
void fiber_make(struct fiber *fiber, void *stack, size_t size, void (*run)(void));
/** fiber_switch - go on with @to; returns when somebody switches to @from */
void fiber_switch(struct fiber *from, struct fiber *to);

#endif
