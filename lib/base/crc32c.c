/* SPDX-License-Identifier: MIT */
/*
 * crc32c.c - CRC-32C by the SSE4.2 instruction or by tables, chosen once at run time
 *
 * Why three streams: the instruction takes 8 bytes with a latency of three cycles and can start one
 * each cycle. Three neighbouring blocks are checksummed side by side, and joined by "what would
 * this checksum be after so many zero bytes", which is linear and so a table look-up per byte.
 *
 *   CR1  Both versions give the same result for every input; the unit test holds them together.
 *   CR2  Tables are written before the function pointer that leads to their use is published.
 */
#include "base/crc32c.h"

#include <stdbool.h>

#include "base/atomic.h"
#include "base/bytes.h"

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41, bits reversed */

/* Bytes of one of three interleaved blocks; large ones first, small ones for what is left. */
#define LONG_BLOCK 4096u
#define SHORT_BLOCK 256u

typedef uint32_t (*crc32c_fn)(uint32_t crc, const uint8_t *data, size_t size);

static uint32_t byte_table[8][256];  /* slicing-by-8 */
static uint32_t long_shift[4][256];  /* a checksum LONG_BLOCK zero bytes later, by its bytes */
static uint32_t short_shift[4][256]; /* the same by SHORT_BLOCK */

static void make_byte_table(void)
{
	for (uint32_t n = 0; n < 256; n++) {
		uint32_t crc = n;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
		byte_table[0][n] = crc;
	}
	for (uint32_t n = 0; n < 256; n++)
		for (int slice = 1; slice < 8; slice++) {
			uint32_t before = byte_table[slice - 1][n];

			byte_table[slice][n] = (before >> 8) ^ byte_table[0][before & 0xff];
		}
}

static uint32_t table_update(uint32_t crc, const uint8_t *data, size_t size)
{
	for (; size >= 8; data += 8, size -= 8) {
		uint64_t word = get_u64(data) ^ crc;

		crc = byte_table[7][word & 0xff] ^ byte_table[6][word >> 8 & 0xff] ^
		      byte_table[5][word >> 16 & 0xff] ^ byte_table[4][word >> 24 & 0xff] ^
		      byte_table[3][word >> 32 & 0xff] ^ byte_table[2][word >> 40 & 0xff] ^
		      byte_table[1][word >> 48 & 0xff] ^ byte_table[0][word >> 56];
	}
	for (; size > 0; data++, size--)
		crc = (crc >> 8) ^ byte_table[0][(crc ^ *data) & 0xff];
	return crc;
}

#if defined(__x86_64__)

#define SSE42 __attribute__((target("sse4.2")))

/* Fill @shift: the effect of @zero_count zero bytes on each byte value at each of four places. */
static void make_shift(uint32_t shift[4][256], size_t zero_count)
{
	uint32_t bit_effect[32];

	for (int bit = 0; bit < 32; bit++) {
		uint32_t crc = 1u << bit;

		for (size_t n = 0; n < zero_count; n++)
			crc = (crc >> 8) ^ byte_table[0][crc & 0xff];
		bit_effect[bit] = crc;
	}
	for (int place = 0; place < 4; place++)
		for (uint32_t n = 0; n < 256; n++) {
			uint32_t crc = 0;

			for (int bit = 0; bit < 8; bit++)
				if ((n >> bit & 1) != 0)
					crc ^= bit_effect[8 * place + bit];
			shift[place][n] = crc;
		}
}

static inline uint32_t apply_shift(uint32_t shift[4][256], uint32_t crc)
{
	return shift[0][crc & 0xff] ^ shift[1][crc >> 8 & 0xff] ^ shift[2][crc >> 16 & 0xff] ^
	       shift[3][crc >> 24];
}

SSE42 static inline uint32_t three_blocks(uint32_t crc, const uint8_t *data, size_t block,
                                          uint32_t shift[4][256])
{
	uint64_t first = crc, second = 0, third = 0;

	for (const uint8_t *end = data + block; data < end; data += 8) {
		first = __builtin_ia32_crc32di(first, get_u64(data));
		second = __builtin_ia32_crc32di(second, get_u64(data + block));
		third = __builtin_ia32_crc32di(third, get_u64(data + 2 * block));
	}
	crc = apply_shift(shift, (uint32_t)first) ^ (uint32_t)second;
	return apply_shift(shift, crc) ^ (uint32_t)third;
}

SSE42 static uint32_t sse42_update(uint32_t crc, const uint8_t *data, size_t size)
{
	for (; size >= 3 * LONG_BLOCK; data += 3 * LONG_BLOCK, size -= 3 * LONG_BLOCK)
		crc = three_blocks(crc, data, LONG_BLOCK, long_shift);
	for (; size >= 3 * SHORT_BLOCK; data += 3 * SHORT_BLOCK, size -= 3 * SHORT_BLOCK)
		crc = three_blocks(crc, data, SHORT_BLOCK, short_shift);
	for (; size >= 8; data += 8, size -= 8)
		crc = (uint32_t)__builtin_ia32_crc32di(crc, get_u64(data));
	for (; size > 0; data++, size--)
		crc = __builtin_ia32_crc32qi(crc, *data);
	return crc;
}

#endif

static _Atomic(crc32c_fn) chosen_update; /* any thread, once; release here, acquire in update_fn() */

/*
 * The tables are made by whoever comes first. Threads that come at the same time each write the
 * same values; the flag makes the others wait, so that no byte is written while it is read.
 */
static crc32c_fn choose_update(void)
{
	static _Atomic int making; /* 0 nobody yet, 1 somebody makes the tables */
	crc32c_fn update = table_update;
	int nobody = 0;

	if (!atomic_compare_exchange_strong_explicit(&making, &nobody, 1, memory_order_relaxed,
	                                             memory_order_relaxed)) {
		while ((update = atomic_load_explicit(&chosen_update, memory_order_acquire)) == NULL)
			cpu_relax();
		return update;
	}
	make_byte_table();
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2")) {
		make_shift(long_shift, LONG_BLOCK);
		make_shift(short_shift, SHORT_BLOCK);
		update = sse42_update;
	}
#endif
	atomic_store_explicit(&chosen_update, update, memory_order_release); /* CR2 */
	return update;
}

static inline crc32c_fn update_fn(void)
{
	crc32c_fn update = atomic_load_explicit(&chosen_update, memory_order_acquire);

	return update != NULL ? update : choose_update();
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	return ~update_fn()(~crc, data, size);
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t size)
{
	(void)update_fn();
	return ~table_update(~crc, data, size);
}

const char *crc32c_engine(void)
{
	return update_fn() == table_update ? "table" : "sse4.2";
}
