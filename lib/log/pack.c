/* SPDX-License-Identifier: MIT */
/*
 * pack.c - the codecs: liblz4 and libzstd, each of which a build may lack
 *
 * Blocks do not refer to each other, so each is packed and unpacked alone, and what is damaged in one is nothing
 * to the others. Both libraries say of any bytes whether they are a block, without reading or writing beyond
 * what they are given.
 */
#include "log/pack.h"

#include <stdlib.h>
#include <string.h>

#ifndef BWT_NO_LZ4
#include <lz4.h>
#endif
#ifndef BWT_NO_ZSTD
#include <zstd.h>
#endif

#include "base/assert.h"
#include "base/bytes.h"

#define AS_IT_IS 0x80000000u
#define ZSTD_LEVEL 3

struct packer {
	uint8_t *buffer;
#ifndef BWT_NO_ZSTD
	ZSTD_CCtx *compress; /* NULL until it is needed */
	ZSTD_DCtx *decompress;
#endif
};

bool pack_has(enum pack_codec codec)
{
	switch (codec) {
	case PACK_NONE:
		return true;
	case PACK_LZ4:
#ifndef BWT_NO_LZ4
		return true;
#else
		return false;
#endif
	case PACK_ZSTD:
#ifndef BWT_NO_ZSTD
		return true;
#else
		return false;
#endif
	}
	return false;
}

const char *pack_name(unsigned codec)
{
	return codec == PACK_LZ4 ? "lz4" : codec == PACK_ZSTD ? "zstd" : "an unknown codec";
}

struct packer *packer_new(void)
{
	struct packer *packer = calloc(1, sizeof *packer);

	if (packer == NULL)
		return NULL;
	packer->buffer = malloc(2 * PACK_BLOCK);
	if (packer->buffer == NULL) {
		free(packer);
		return NULL;
	}
	return packer;
}

void packer_free(struct packer *packer)
{
	if (packer == NULL)
		return;
#ifndef BWT_NO_ZSTD
	ZSTD_freeCCtx(packer->compress);
	ZSTD_freeDCtx(packer->decompress);
#endif
	free(packer->buffer);
	free(packer);
}

uint8_t *packer_buffer(struct packer *packer)
{
	return packer->buffer;
}

/* Fewer than @size bytes at @to, or 0: they would not be fewer, or there is no memory. */
static size_t compress(struct packer *packer, enum pack_codec codec, const void *from, size_t size,
                       uint8_t *to)
{
	(void)packer, (void)codec, (void)from, (void)size, (void)to;
#ifndef BWT_NO_LZ4
	if (codec == PACK_LZ4) {
		int got = LZ4_compress_default(from, (char *)to, (int)size, (int)size - 1);

		return got > 0 ? (size_t)got : 0;
	}
#endif
#ifndef BWT_NO_ZSTD
	if (codec == PACK_ZSTD) {
		size_t got;

		if (packer->compress == NULL)
			packer->compress = ZSTD_createCCtx();
		if (packer->compress == NULL)
			return 0;
		got = ZSTD_compressCCtx(packer->compress, to, size - 1, from, size, ZSTD_LEVEL);
		return ZSTD_isError(got) ? 0 : got;
	}
#endif
	return 0;
}

size_t pack_block(struct packer *packer, enum pack_codec codec, const void *from, size_t size,
                  uint8_t *to)
{
	size_t got;

	BWT_ASSERT(size > 0 && size <= PACK_BLOCK);
	got = compress(packer, codec, from, size, to + PACK_WORD_SIZE);
	if (got == 0) {
		memcpy(to + PACK_WORD_SIZE, from, size);
		got = size;
		put_u32(to, (uint32_t)size | AS_IT_IS);
	} else {
		put_u32(to, (uint32_t)got);
	}
	return got + PACK_WORD_SIZE;
}

bool unpack_block(struct packer *packer, enum pack_codec codec, uint32_t word, const uint8_t *from,
                  void *to, size_t size)
{
	size_t packed = pack_word_size(word);

	(void)packer, (void)codec;
	if ((word & AS_IT_IS) != 0) {
		if (packed != size)
			return false;
		memcpy(to, from, size);
		return true;
	}
	if (packed >= size)
		return false;
#ifndef BWT_NO_LZ4
	if (codec == PACK_LZ4)
		return LZ4_decompress_safe((const char *)from, to, (int)packed, (int)size) ==
		       (int)size;
#endif
#ifndef BWT_NO_ZSTD
	if (codec == PACK_ZSTD) {
		if (packer->decompress == NULL)
			packer->decompress = ZSTD_createDCtx();
		return packer->decompress != NULL &&
		       ZSTD_decompressDCtx(packer->decompress, to, size, from, packed) == size;
	}
#endif
	return false;
}
