/* SPDX-License-Identifier: MIT */
/*
 * micro_crc32c.c - the checksum by size of its input: the instruction against the tables
 */
#include <stdio.h>
#include <stdlib.h>

#define MICRO_ROUNDS 64 /* each shorter than a time slice, so that one of them is left in peace */

#include "base/crc32c.h"
#include "bench_random.h"
#include "micro.h"

#define INPUT_SIZE (1u << 20) /* inputs start anywhere in so many bytes, at any alignment */
#define BYTES_A_ROUND (1u << 20)
#define CALLS_A_ROUND_MAX 16384u

volatile uint64_t micro_sink;

int main(void)
{
	static const uint32_t sizes[] = {8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536};
	uint8_t *input = malloc(2 * INPUT_SIZE);
	struct random random;

	if (input == NULL)
		return EXIT_FAILURE;
	random_init(&random, 1, 0);
	for (size_t i = 0; i < 2 * INPUT_SIZE; i++)
		input[i] = (uint8_t)random_next(&random);
	for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
		const uint32_t size = sizes[s];
		const uint64_t calls = BYTES_A_ROUND / size < CALLS_A_ROUND_MAX ? BYTES_A_ROUND / size
		                                                                : CALLS_A_ROUND_MAX;
		double chosen_ns;
		double table_ns;

		/* An odd stride visits every alignment and defeats no prefetcher. */
		MICRO_TIME(chosen_ns, i, calls, crc32c(0, input + i * 4099 % INPUT_SIZE, size));
		MICRO_TIME(table_ns, i, calls, crc32c_table(0, input + i * 4099 % INPUT_SIZE, size));
		printf("function=crc32c size=%u engine=%s ns=%.1f bytes_per_ns=%.2f table_ns=%.1f "
		       "ratio=%.2f\n",
		       size, crc32c_engine(), chosen_ns, (double)size / chosen_ns, table_ns,
		       table_ns / chosen_ns);
	}
	free(input);
	return EXIT_SUCCESS;
}
