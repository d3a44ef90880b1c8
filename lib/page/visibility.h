/* SPDX-License-Identifier: MIT */
/*
 * visibility.h - the LSN word of a version, and who sees it
 *
 *               prepend                CAS by the owner
 *   (nothing) ---------> PENDING(floor) ---------------> COMMITTED(lsn), lsn >= floor
 *                        |   ^     |
 *        CAS by a reader |   |     | CAS by another writer (wound), or by the owner (gives up)
 *        (push): floor --+---+     +-------------------> ABORTED
 *        becomes max(floor, S)
 *
 *   V1  COMMITTED and ABORTED are final.
 *   V2  A push only raises the floor.
 *   V3  A snapshot S sees the versions with lsn < S (I2). A plain read sees COMMITTED ones only.
 *
 * The word: bits 0-1 state, 2-55 value (an LSN in units of LSN_ALIGN, or {slot, generation} of a
 * transaction descriptor), 56-63 a check of the other 56 bits, because the block's CRC leaves the
 * word out.
 */
#ifndef BWT_PAGE_VISIBILITY_H
#define BWT_PAGE_VISIBILITY_H

#include <stdbool.h>
#include <stdint.h>

#define LSN_ALIGN 16u               /* every record of the log begins at a multiple */
#define LSN_MAX ((uint64_t)1 << 57) /* 128 PiB of log: the word has 54 bits for lsn / 16 */

enum word_state {
	WORD_PENDING = 0,    /* value: floor, the lowest LSN it may still commit at */
	WORD_COMMITTED = 1,  /* value: the commit's LSN */
	WORD_ABORTED = 2,    /* value: 0 */
	WORD_DESCRIPTOR = 3, /* value: slot and generation of a transaction */
};

/** The exclusive or of the seven bytes: damage to one byte, whatever its new value, is always seen. */
static inline uint64_t word_check(uint64_t low56)
{
	low56 ^= low56 >> 32;
	low56 ^= low56 >> 16;
	low56 ^= low56 >> 8;
	return low56 << 56;
}

static inline uint64_t word_make(enum word_state state, uint64_t lsn)
{
	uint64_t low = (lsn / LSN_ALIGN) << 2 | (uint64_t)state;

	return low | word_check(low);
}

static inline enum word_state word_state(uint64_t word)
{
	return (enum word_state)(word & 3);
}

/** The LSN (or floor) of a word, in bytes of log. */
static inline uint64_t word_lsn(uint64_t word)
{
	return ((word & (((uint64_t)1 << 56) - 1)) >> 2) * LSN_ALIGN;
}

/** Stored words are input: false means damage. */
static inline bool word_valid(uint64_t word)
{
	uint64_t low = word & (((uint64_t)1 << 56) - 1);

	return word == (low | word_check(low));
}

#endif
