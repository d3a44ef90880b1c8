/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - the only door to atomic operations
 *
 * Why: the library uses the C11 names in their explicit form (atomic_load_explicit and so on) and
 * includes this header for them, so that one replacement of this file puts every atomic step of
 * the library under the control of a schedule simulator.
 */
#ifndef BWT_BASE_ATOMIC_H
#define BWT_BASE_ATOMIC_H

#include <stdatomic.h>

/** Bytes that two cores fight over as one; x86-64 and most others. */
#define CACHE_LINE_SIZE 64

/**
 * cpu_relax - tell the processor that this thread spins, so that its sibling gets the pipeline
 * Blocks:  never; also no memory barrier of any kind
 */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif
