/* SPDX-License-Identifier: MIT */
/*
 * bench_random.c - random numbers and YCSB's distributions
 *
 * Why scrambled ranks come from 10^10 items whatever the number of records: that is what YCSB does
 * (ScrambledZipfianGenerator), so that the constants need no summing and the shape stays the same
 * while a store grows.
 */
#include "bench_random.h"

#include <math.h>

#define SCRAMBLED_ITEM_COUNT 10000000000.0
#define SCRAMBLED_ZETA 26.46902820178302 /* zeta of that many items at theta 0.99 */

void random_init(struct random *random, uint64_t seed, uint64_t stream)
{
	uint64_t word = random_mix(seed) ^ random_mix(~stream);

	for (unsigned i = 0; i < 4; i++) {
		word = random_mix(word);
		random->state[i] = word;
	}
}

static void finish(struct random_zipf *zipf)
{
	const double zeta_two = 1.0 + pow(0.5, RANDOM_ZIPF_THETA);

	zipf->alpha = 1.0 / (1.0 - RANDOM_ZIPF_THETA);
	zipf->eta = (1.0 - pow(2.0 / zipf->item_count, 1.0 - RANDOM_ZIPF_THETA)) /
	            (1.0 - zeta_two / zipf->zeta);
}

void random_zipf_init(struct random_zipf *zipf, uint64_t item_count)
{
	zipf->item_count = (double)item_count;
	zipf->zeta = 0;
	for (uint64_t i = 1; i <= item_count; i++)
		zipf->zeta += pow(1.0 / (double)i, RANDOM_ZIPF_THETA);
	finish(zipf);
}

void random_zipf_init_scrambled(struct random_zipf *zipf)
{
	zipf->item_count = SCRAMBLED_ITEM_COUNT;
	zipf->zeta = SCRAMBLED_ZETA;
	finish(zipf);
}

uint64_t random_zipf_rank(const struct random_zipf *zipf, struct random *random)
{
	const double unit = random_unit(random);
	const double scaled = unit * zipf->zeta;
	double rank;

	if (scaled < 1.0)
		return 0;
	if (scaled < 1.0 + pow(0.5, RANDOM_ZIPF_THETA))
		return zipf->item_count > 1.0 ? 1 : 0;
	rank = zipf->item_count * pow(zipf->eta * unit - zipf->eta + 1.0, zipf->alpha);
	return rank < zipf->item_count ? (uint64_t)rank : (uint64_t)zipf->item_count - 1;
}

uint64_t random_zipf_scrambled(const struct random_zipf *zipf, struct random *random,
                               uint64_t record_count)
{
	uint64_t rank = random_zipf_rank(zipf, random);
	uint64_t hash = 0xcbf29ce484222325u;

	for (unsigned i = 0; i < 8; i++) {
		hash = (hash ^ (rank & 0xff)) * 0x100000001b3u;
		rank >>= 8;
	}
	return hash % record_count;
}
