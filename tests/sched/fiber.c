/* SPDX-License-Identifier: MIT */
/* fiber.c - the switch: by hand on x86-64, by ucontext elsewhere */
#include "tests/sched/fiber.h"

#include <stdint.h>
#include <string.h>

#ifdef FIBER_BY_HAND

/* The six registers that a called function keeps, then the stack; "ret" goes on where @to stopped. */
__asm__(".text\n"
        ".type sched_fiber_switch, @function\n"
        "sched_fiber_switch:\n"
        "	pushq %rbp\n"
        "	pushq %rbx\n"
        "	pushq %r12\n"
        "	pushq %r13\n"
        "	pushq %r14\n"
        "	pushq %r15\n"
        "	movq %rsp, (%rdi)\n"
        "	movq %rsi, %rsp\n"
        "	popq %r15\n"
        "	popq %r14\n"
        "	popq %r13\n"
        "	popq %r12\n"
        "	popq %rbx\n"
        "	popq %rbp\n"
        "	ret\n"
        ".size sched_fiber_switch, . - sched_fiber_switch\n");
void sched_fiber_switch(void **from, void *to);

#define SAVED_REGISTERS 6u

void fiber_make(struct fiber *fiber, void *stack, size_t size, void (*run)(void))
{
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	/* Below: the registers, @run, and a word so that @run begins with the alignment of a call. */
	void **words = (void **)top - 2 - SAVED_REGISTERS;

	memset(words, 0, (2 + SAVED_REGISTERS) * sizeof *words);
	words[SAVED_REGISTERS] = (void *)(uintptr_t)run;
	fiber->stack_pointer = words;
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
	sched_fiber_switch(&from->stack_pointer, to->stack_pointer);
}

#else

void fiber_make(struct fiber *fiber, void *stack, size_t size, void (*run)(void))
{
	getcontext(&fiber->context);
	fiber->context.uc_stack.ss_sp = stack;
	fiber->context.uc_stack.ss_size = size;
	fiber->context.uc_link = NULL;
	makecontext(&fiber->context, run, 0);
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
	swapcontext(&from->context, &to->context);
}

#endif
