/* SPDX-License-Identifier: MIT */
/*
 * rng.h - random numbers that can be had again: every run prints its seed and takes it from SEED
 *
 * Source: S. Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled",
 *         2016 (xorshift64*); the seed is spread by splitmix64.
 */
#ifndef BWT_TESTS_RNG_H
#define BWT_TESTS_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state; /* never 0; one thread's */
};

/**
 * rng_seed - where a random test begins; printed
 * Source: SEED, if the environment has it; else what CHECK_SEED, the program's name and the number of calls
 *         so far give ("make check"); else time and pid ("make soak")
 */
uint64_t rng_seed(void);

/** rng_fill - @size random bytes */
void rng_fill(struct rng *rng, void *to, size_t size);

/** rng_init - any @seed, 0 included; threads use seed + their number */
static inline void rng_init(struct rng *rng, uint64_t seed)
{
	uint64_t mixed = seed + 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
	mixed ^= mixed >> 31;
	rng->state = mixed != 0 ? mixed : 1;
}

static inline uint64_t rng_u64(struct rng *rng)
{
	rng->state ^= rng->state >> 12;
	rng->state ^= rng->state << 25;
	rng->state ^= rng->state >> 27;
	return rng->state * 0x2545f4914f6cdd1du;
}

/** rng_below - 0 .. @bound - 1; 0 when @bound is 0 */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	return bound == 0 ? 0 : (uint64_t)(((unsigned __int128)rng_u64(rng) * bound) >> 64);
}

/** rng_range - @low .. @high, both included */
static inline uint64_t rng_range(struct rng *rng, uint64_t low, uint64_t high)
{
	return low + rng_below(rng, high - low + 1);
}

/** rng_chance - true in @percent of the calls */
static inline bool rng_chance(struct rng *rng, unsigned percent)
{
	return rng_below(rng, 100) < percent;
}

#endif
