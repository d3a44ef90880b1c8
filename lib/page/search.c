/* SPDX-License-Identifier: MIT */
/*
 * search.c - lower bound over heads and match over fingerprints: scalar, AVX2, AVX-512
 *
 * A binary search is a chain of dependent loads: cheap when the heads are in the cache, one miss
 * after the other when not. The vector versions halve down to LINEAR_MAX heads and then compare all
 * of those, loads that do not wait for each other.
 */
#include "page/search.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

/* ---- scalar: the reference ---- */

static unsigned scalar_lower_bound(const uint32_t *heads, unsigned count, uint32_t head)
{
	const uint32_t *from = heads;

	while (count > 1) {
		unsigned half = count / 2;

		from += from[half - 1] < head ? half
		                              : 0; /* a conditional move: no branch to mispredict */
		count -= half;
	}
	return (unsigned)(from - heads) + (count == 1 && *from < head);
}

/* Bit i: byte i of @word is @byte. Exact: no carry leaves a byte. */
static uint64_t match_word(uint64_t word, uint8_t byte)
{
	const uint64_t low_bits = 0x7f7f7f7f7f7f7f7fu;
	uint64_t differ = word ^ (0x0101010101010101u * byte);
	uint64_t zero = ~(((differ & low_bits) + low_bits) | differ | low_bits);

	/* 0x80 at each match: gather the eight top bits. */
	return (zero >> 7) * 0x0102040810204080u >> 56;
}

static uint64_t scalar_match_bytes(const uint8_t *bytes, unsigned count, uint8_t byte)
{
	uint64_t matches = 0;
	unsigned at = 0;

	BWT_ASSERT(count <= 64);
	for (; at + 8 <= count; at += 8)
		matches |= match_word(get_u64(bytes + at), byte) << at;
	for (; at < count; at++)
		matches |= (uint64_t)(bytes[at] == byte) << at;
	return matches;
}

static const struct search_ops scalar_ops = {scalar_lower_bound, scalar_match_bytes, SEARCH_SCALAR};

const struct search_ops *search_ops_in_use = &scalar_ops;

#if defined(__x86_64__)

#include <immintrin.h>

#define LINEAR_MAX 128u

/* ---- AVX2 ---- */

/* Lanes of @wanted that are not above those of @some, as -1. There is no unsigned comparison. */
__attribute__((target("avx2"))) static inline __m256i not_below(__m256i some, __m256i wanted)
{
	return _mm256_cmpeq_epi32(_mm256_max_epu32(some, wanted), some);
}

__attribute__((target("avx2"))) static unsigned avx2_lower_bound(const uint32_t *heads,
                                                                 unsigned count, uint32_t head)
{
	const __m256i wanted = _mm256_set1_epi32((int)head);
	const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i above = _mm256_setzero_si256(), some;
	const uint32_t *from = heads;
	unsigned at = 0;
	__m128i sum;

	while (count > LINEAR_MAX) {
		unsigned half = count / 2;

		from += from[half - 1] < head ? half : 0;
		count -= half;
	}
	for (; at + 8 <= count; at += 8) {
		some = _mm256_loadu_si256((const __m256i *)(const void *)(from + at));
		above = _mm256_sub_epi32(above, not_below(some, wanted));
	}
	if (at < count) { /* lanes behind the end are not read, and count as above */
		const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(count - at)), lanes);

		some = _mm256_maskload_epi32((const int *)(const void *)(from + at), there);
		some = _mm256_or_si256(some, _mm256_xor_si256(there, _mm256_set1_epi32(-1)));
		above = _mm256_sub_epi32(above, not_below(some, wanted));
		at += 8;
	}
	sum = _mm_add_epi32(_mm256_castsi256_si128(above), _mm256_extracti128_si256(above, 1));
	sum = _mm_hadd_epi32(sum, sum);
	sum = _mm_hadd_epi32(sum, sum);
	return (unsigned)(from - heads) + at - (unsigned)_mm_cvtsi128_si32(sum);
}

__attribute__((target("avx2"))) static uint64_t avx2_match_bytes(const uint8_t *bytes,
                                                                 unsigned count, uint8_t byte)
{
	const __m256i wanted = _mm256_set1_epi8((char)byte);
	uint64_t matches = 0;
	unsigned at = 0;

	BWT_ASSERT(count <= 64);
	for (; at + 32 <= count; at += 32) {
		__m256i some = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + at));

		matches |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(some, wanted))
		           << at;
	}
	if (at + 16 <= count) {
		__m128i some = _mm_loadu_si128((const __m128i *)(const void *)(bytes + at));
		__m128i same = _mm_cmpeq_epi8(some, _mm256_castsi256_si128(wanted));

		matches |= (uint64_t)(uint32_t)_mm_movemask_epi8(same) << at;
		at += 16;
	}
	if (at < count)
		matches |= scalar_match_bytes(bytes + at, count - at, byte) << at;
	return matches;
}

static const struct search_ops avx2_ops = {avx2_lower_bound, avx2_match_bytes, SEARCH_AVX2};

/* ---- AVX-512: masks make every tail a whole step, and masked-out bytes are not read ---- */

__attribute__((target("avx512f,popcnt"))) static unsigned avx512_lower_bound(const uint32_t *heads,
                                                                             unsigned count,
                                                                             uint32_t head)
{
	const __m512i wanted = _mm512_set1_epi32((int)head);
	const uint32_t *from = heads;
	unsigned below = 0, at = 0;

	while (count > LINEAR_MAX) {
		unsigned half = count / 2;

		from += from[half - 1] < head ? half : 0;
		count -= half;
	}
	for (; at + 16 <= count; at += 16)
		below += (unsigned)__builtin_popcount(
			_mm512_cmplt_epu32_mask(_mm512_loadu_si512(from + at), wanted));
	if (at < count) {
		__mmask16 rest = (__mmask16)((1u << (count - at)) - 1);

		below += (unsigned)__builtin_popcount(_mm512_mask_cmplt_epu32_mask(
			rest, _mm512_maskz_loadu_epi32(rest, from + at), wanted));
	}
	return (unsigned)(from - heads) + below;
}

__attribute__((target("avx512f,avx512bw"))) static uint64_t avx512_match_bytes(const uint8_t *bytes,
                                                                               unsigned count,
                                                                               uint8_t byte)
{
	__mmask64 wanted = count == 0 ? 0 : UINT64_MAX >> (64 - count);

	return _mm512_mask_cmpeq_epi8_mask(wanted, _mm512_maskz_loadu_epi8(wanted, bytes),
	                                   _mm512_set1_epi8((char)byte));
}

static const struct search_ops avx512_ops = {avx512_lower_bound, avx512_match_bytes, SEARCH_AVX512};

enum search_level search_select(enum search_level level)
{
	__builtin_cpu_init();
	if (level >= SEARCH_AVX512 && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("popcnt"))
		search_ops_in_use = &avx512_ops;
	else if (level >= SEARCH_AVX2 && __builtin_cpu_supports("avx2"))
		search_ops_in_use = &avx2_ops;
	else
		search_ops_in_use = &scalar_ops;
	return search_ops_in_use->level;
}

#ifndef SEARCH_LEVEL_MOST /* to measure what the others are worth: make CPPFLAGS=-DSEARCH_LEVEL_MOST=SEARCH_SCALAR */
#define SEARCH_LEVEL_MOST SEARCH_AVX512
#endif

/* Before main(), and so before any thread: the pointer needs no ordering. */
__attribute__((constructor)) static void select_best(void)
{
	(void)search_select(SEARCH_LEVEL_MOST);
}

#else

enum search_level search_select(enum search_level level)
{
	(void)level;
	return SEARCH_SCALAR;
}

#endif
