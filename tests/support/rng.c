/* SPDX-License-Identifier: MIT */
/* rng.c - where the seed comes from */
#include "tests/support/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t rng_seed(void)
{
	const char *text = getenv("SEED"), *check = getenv("CHECK_SEED");
	static _Atomic unsigned asked;
	struct timespec now;
	uint64_t seed;

	if (text != NULL && text[0] != '\0') {
		seed = strtoull(text, NULL, 0);
	} else if (check != NULL && check[0] != '\0') {
		seed = strtoull(check, NULL, 0) + asked++;
		for (const char *name = program_invocation_short_name; *name != '\0'; name++)
			seed = (seed * 1000003u ^ (uint8_t)*name) & 0xffffffffu;
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = ((uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec) * 1000003u ^
		       (uint64_t)getpid();
		seed &= 0xffffffffu; /* short enough to type */
	}
	printf("seed %llu (run again with SEED=%llu)\n", (unsigned long long)seed,
	       (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

void rng_fill(struct rng *rng, void *to, size_t size)
{
	uint8_t *bytes = to;

	while (size > 0) {
		uint64_t word = rng_u64(rng);
		size_t part = size < sizeof word ? size : sizeof word;

		memcpy(bytes, &word, part);
		bytes += part;
		size -= part;
	}
}
