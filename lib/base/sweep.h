/* SPDX-License-Identifier: MIT */
/*
 * sweep.h - constants that a build for "bwt-bench --sweep" takes from the environment
 *
 * Why: which page size or chain length is best is found by trying them, and a build for each would take hours. In
 * every other build SWEEP() is its second argument and nothing else.
 */
#ifndef BASE_SWEEP_H
#define BASE_SWEEP_H

#ifdef BWT_SWEEP
#include <stdint.h>
#include <stdlib.h>

/** sweep_value - the number that the environment has for @name, else @normal */
static inline uint32_t sweep_value(const char *name, uint32_t normal)
{
	const char *text = getenv(name);

	return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : normal;
}

/* Asked for once at each place; threads that ask together get the same answer. */
#define SWEEP(name, normal)                                                                        \
	__extension__({                                                                            \
		static uint32_t once;                                                              \
		if (once == 0)                                                                     \
			once = sweep_value("BWT_SWEEP_" name, (uint32_t)(normal));                 \
		once;                                                                              \
	})
#else
#define SWEEP(name, normal) (normal)
#endif

#endif
