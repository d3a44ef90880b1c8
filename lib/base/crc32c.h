/* SPDX-License-Identifier: MIT */
/*
 * crc32c.h - CRC-32C (Castagnoli), the checksum of everything stored
 */
#ifndef BWT_BASE_CRC32C_H
#define BWT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * crc32c - checksum @size bytes at @data, going on from @crc
 * @crc:    0 to begin, or the result for the bytes before: crc32c(crc32c(0, a), b) is that of a, b
 * @data:   may be NULL when @size is 0
 * Returns: the standard CRC-32C (reflected, inverted in and out): "123456789" gives 0xe3069283
 * Threads: any
 * Blocks:  never
 * Source:  RFC 3720 appendix B.4; three interleaved streams after V. Gopal et al., "Fast CRC
 *          computation for iSCSI polynomial using CRC32 instruction", Intel, 2011
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/** crc32c_table - crc32c() by tables alone; for machines without the instruction, and the reference */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t size);

/** crc32c_engine - "sse4.2" or "table": what crc32c() uses here */
const char *crc32c_engine(void);

#endif
