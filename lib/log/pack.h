/* SPDX-License-Identifier: MIT */
/*
 * pack.h - compressed values: bytes to bytes, in blocks, so that memory does not depend on a value's size
 *
 *   struct pack_head, then for each PACK_BLOCK bytes of the value:  u32 word, bytes
 *
 * word: bits 0-30 bytes that follow; bit 31: they are those of the value, which did not become fewer.
 */
#ifndef BWT_LOG_PACK_H
#define BWT_LOG_PACK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_BLOCK                                                                                 \
	((size_t)256 << 10) /* bytes of a value in a block; the last one may have fewer */
#define PACK_WORD_SIZE 4u

enum pack_codec { /* stored: append, never renumber */
	PACK_NONE = 0,
	PACK_LZ4 = 1,
	PACK_ZSTD = 2,
};

struct pack_head {
	uint32_t size;     /* 0x00  bytes of the value */
	uint8_t codec;     /* 0x04  enum pack_codec */
	uint8_t reserved0; /* 0x05  zero */
	uint16_t reserved; /* 0x06  zero */
};

static_assert(sizeof(struct pack_head) == 0x08, "log layout");

struct packer; /* what one thread needs to pack and unpack */

/** pack_has - is the codec part of this build? */
bool pack_has(enum pack_codec codec);
/** pack_name - "lz4", "zstd", or "an unknown codec" */
const char *pack_name(unsigned codec);

struct packer *packer_new(void); /* NULL: no memory */
void packer_free(struct packer *packer);
/** packer_buffer - scratch memory of 2 * PACK_BLOCK bytes */
uint8_t *packer_buffer(struct packer *packer);

/**
 * pack_block - compress 1..PACK_BLOCK bytes
 * @to:      room for PACK_WORD_SIZE + @size bytes
 * Returns:  bytes at @to, the word included; never more than that room
 */
size_t pack_block(struct packer *packer, enum pack_codec codec, const void *from, size_t size,
                  uint8_t *to);
/**
 * unpack_block - the @size bytes of the value out of the @packed bytes behind @word
 * Returns:  false: @from is damaged; whatever its bytes are, nothing but @to is written
 */
bool unpack_block(struct packer *packer, enum pack_codec codec, uint32_t word, const uint8_t *from,
                  void *to, size_t size);
/** pack_word_size - bytes that follow the word */
static inline size_t pack_word_size(uint32_t word)
{
	return word & 0x7fffffffu;
}

#endif
