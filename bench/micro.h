/* SPDX-License-Identifier: MIT */
/*
 * micro.h - timing of one function, for the micro_<function>.c programs
 *
 * Why: a loop over inputs that the compiler cannot foresee, timed several times; the fastest round
 * is reported, because everything that disturbs only adds.
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stdint.h>
#include <time.h>

/** Rounds of MICRO_TIME, unless the program has chosen another number before including this. */
#ifndef MICRO_ROUNDS
#define MICRO_ROUNDS 7
#endif

/** What a measured function hands back, so that no call can be left out. */
extern volatile uint64_t micro_sink;

static inline uint64_t micro_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/**
 * MICRO_TIME - nanoseconds of one evaluation of @expression, the best of MICRO_ROUNDS rounds
 * @result: out, a double
 * @i:      name of a uint64_t that counts 0..@count-1 in @expression, which may use the sum of the
 *          round's results so far, micro_sum, to wait for them, and the round's number, micro_round
 */
#define MICRO_TIME(result, i, count, expression)                                                   \
	do {                                                                                       \
		(result) = 0;                                                                      \
		for (unsigned micro_round = 0; micro_round < MICRO_ROUNDS; micro_round++) {        \
			const uint64_t micro_start = micro_now_ns();                               \
			uint64_t micro_sum = 0;                                                    \
			double micro_each;                                                         \
                                                                                                   \
			for (uint64_t i = 0; i < (count); i++)                                     \
				micro_sum += (uint64_t)(expression);                               \
			micro_each = (double)(micro_now_ns() - micro_start) / (double)(count);     \
			if (micro_round == 0 || micro_each < (result))                             \
				(result) = micro_each;                                             \
			micro_sink = micro_sum;                                                    \
		}                                                                                  \
	} while (0)

#endif
