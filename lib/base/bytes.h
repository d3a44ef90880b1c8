/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - little-endian loads and stores at any alignment, and a reader that cannot overrun
 *
 * Why: stored integers are little-endian and may lie anywhere. memcpy compiles to one move on
 * machines that allow it, and means the same on those that do not.
 *
 * The reader is for bytes that nobody has validated yet. It stops at the first read that does not
 * fit and stays failed, so that a decoder may check once at its end:
 *
 *   B1  start <= pos <= end; a failed read moves nothing and writes nothing.
 *   B2  failed is sticky: after the first failure every read fails.
 */
#ifndef BWT_BASE_BYTES_H
#define BWT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BYTES_LE16(value) (value)
#define BYTES_LE32(value) (value)
#define BYTES_LE64(value) (value)
#else
#define BYTES_LE16(value) __builtin_bswap16(value)
#define BYTES_LE32(value) __builtin_bswap32(value)
#define BYTES_LE64(value) __builtin_bswap64(value)
#endif

static inline uint16_t get_u16(const void *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof value);
	return BYTES_LE16(value);
}

static inline uint32_t get_u32(const void *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof value);
	return BYTES_LE32(value);
}

static inline uint64_t get_u64(const void *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof value);
	return BYTES_LE64(value);
}

/** memcpy() of what is mostly a few bytes, of a size that the compiler does not know. */
static inline void bytes_copy(void *to, const void *from, size_t size)
{
	uint8_t *out = to;
	const uint8_t *in = from;
	uint64_t first, last;
	uint32_t first_half, last_half;

	if (size > 16) {
		memcpy(to, from, size);
	} else if (size >= 8) {
		memcpy(&first, in, 8);
		memcpy(&last, in + size - 8, 8);
		memcpy(out, &first, 8);
		memcpy(out + size - 8, &last, 8);
	} else if (size >= 4) {
		memcpy(&first_half, in, 4);
		memcpy(&last_half, in + size - 4, 4);
		memcpy(out, &first_half, 4);
		memcpy(out + size - 4, &last_half, 4);
	} else {
		for (size_t i = 0; i < size; i++)
			out[i] = in[i];
	}
}

static inline void put_u16(void *to, uint16_t value)
{
	const uint16_t stored = BYTES_LE16(value);

	memcpy(to, &stored, sizeof stored);
}

static inline void put_u32(void *to, uint32_t value)
{
	const uint32_t stored = BYTES_LE32(value);

	memcpy(to, &stored, sizeof stored);
}

static inline void put_u64(void *to, uint64_t value)
{
	const uint64_t stored = BYTES_LE64(value);

	memcpy(to, &stored, sizeof stored);
}

struct bytes_reader {
	const uint8_t *start; /* first byte, the caller's, unchanged while the reader is used */
	const uint8_t *pos;   /* next byte */
	const uint8_t *end;   /* one past the last */
	bool failed;          /* a read did not fit (B2) */
};

/** bytes_reader_init - read @size bytes at @data from the front */
static inline void bytes_reader_init(struct bytes_reader *reader, const void *data, size_t size)
{
	reader->start = data;
	reader->pos = data;
	reader->end = size == 0 ? reader->pos : reader->pos + size;
	reader->failed = false;
}

/** bytes_left - bytes not yet read; 0 once failed */
static inline size_t bytes_left(const struct bytes_reader *reader)
{
	return reader->failed ? 0 : (size_t)(reader->end - reader->pos);
}

/** bytes_read - bytes read so far, which is the offset of the next one in the input */
static inline size_t bytes_read(const struct bytes_reader *reader)
{
	return (size_t)(reader->pos - reader->start);
}

/**
 * bytes_take - step over @size bytes
 * Returns: where they begin, inside the caller's input; NULL, and the reader failed, when fewer
 *          are left. Taking 0 bytes of an empty input gives the input's own address, NULL included
 */
static inline const void *bytes_take(struct bytes_reader *reader, size_t size)
{
	const uint8_t *from = reader->pos;

	if (reader->failed || size > (size_t)(reader->end - reader->pos)) {
		reader->failed = true;
		return NULL;
	}
	if (size != 0)
		reader->pos += size;
	return from;
}

static inline bool bytes_take_u8(struct bytes_reader *reader, uint8_t *value)
{
	const uint8_t *from = bytes_take(reader, sizeof *value);

	if (from == NULL)
		return false;
	*value = *from;
	return true;
}

static inline bool bytes_take_u16(struct bytes_reader *reader, uint16_t *value)
{
	const void *from = bytes_take(reader, sizeof *value);

	if (from == NULL)
		return false;
	*value = get_u16(from);
	return true;
}

static inline bool bytes_take_u32(struct bytes_reader *reader, uint32_t *value)
{
	const void *from = bytes_take(reader, sizeof *value);

	if (from == NULL)
		return false;
	*value = get_u32(from);
	return true;
}

static inline bool bytes_take_u64(struct bytes_reader *reader, uint64_t *value)
{
	const void *from = bytes_take(reader, sizeof *value);

	if (from == NULL)
		return false;
	*value = get_u64(from);
	return true;
}

#endif
