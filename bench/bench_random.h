/* SPDX-License-Identifier: MIT */
/*
 * bench_random.h - random numbers, and the choice of the record that the next operation touches
 *
 * Why: the distributions are those of YCSB, so that rows here can be compared with published ones.
 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

#define RANDOM_ZIPF_THETA 0.99

enum random_shape {
	RANDOM_DEFAULT = 0, /* what the workload prescribes */
	RANDOM_UNIFORM,
	RANDOM_ZIPFIAN, /* YCSB's scrambled zipfian: popular records lie anywhere */
	RANDOM_LATEST,  /* zipfian over age: the newest record is the most popular */
};

struct random {
	uint64_t state[4];
};

/** Constants of a zipfian distribution over a fixed number of items (random_zipf_init()). */
struct random_zipf {
	double item_count;
	double zeta;
	double alpha;
	double eta;
};

/**
 * random_mix - a bijection of 64-bit words that looks random
 * Source:  finalizer of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
 */
static inline uint64_t random_mix(uint64_t word)
{
	word += 0x9e3779b97f4a7c15u;
	word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
	word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
	return word ^ (word >> 31);
}

/**
 * random_next - 64 random bits
 * Source:  xoshiro256++ (Blackman, Vigna, 2019)
 */
static inline uint64_t random_next(struct random *random)
{
	uint64_t *s = random->state;
	const uint64_t sum = s[0] + s[3];
	const uint64_t result = ((sum << 23) | (sum >> 41)) + s[0];
	const uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return result;
}

/** random_below - a uniform number in [0, @limit); @limit is not 0 */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
	return (uint64_t)(((unsigned __int128)random_next(random) * limit) >> 64);
}

/** random_unit - a uniform number in [0, 1) */
static inline double random_unit(struct random *random)
{
	return (double)(random_next(random) >> 11) * 0x1p-53;
}

/**
 * random_init - start a generator; equal @seed and @stream give equal numbers
 * @stream: number of the thread, so that no two threads draw the same
 */
void random_init(struct random *random, uint64_t seed, uint64_t stream);

/**
 * random_zipf_init - prepare draws of ranks 0..@item_count-1 with theta 0.99
 * Blocks:  never, but takes a second for 10^8 items
 * Source:  Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD 1994), as in
 *          YCSB's ZipfianGenerator
 */
void random_zipf_init(struct random_zipf *zipf, uint64_t item_count);

/**
 * random_zipf_init_scrambled - prepare ranks over YCSB's 10^10 items, to be hashed onto the records
 */
void random_zipf_init_scrambled(struct random_zipf *zipf);

/** random_zipf_rank - a rank; 0 is the most frequent */
uint64_t random_zipf_rank(const struct random_zipf *zipf, struct random *random);

/**
 * random_zipf_scrambled - a record in [0, @record_count), zipfian, popular ones spread by FNV-1a
 * @zipf:   from random_zipf_init_scrambled()
 */
uint64_t random_zipf_scrambled(const struct random_zipf *zipf, struct random *random,
                               uint64_t record_count);

#endif
