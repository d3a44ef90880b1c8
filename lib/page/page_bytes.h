/* SPDX-License-Identifier: MIT */
/*
 * page_bytes.h - the innermost steps of page code, inlined: compare bytes, take heads, read entries
 *
 * For the .c files of page/ only. Keys are short, so most comparisons are one or two words; a call
 * of memcmp() would cost more than the comparison.
 *
 * Entry of a leaf, unaligned:
 *   0x00  u32  value size << 4 | flags
 *   0x04  u16  suffix size
 *   0x06  u64  LSN, only with VERSION_LSN
 *         the suffix (the key after the prefix), the value
 */
#ifndef BWT_PAGE_PAGE_BYTES_H
#define BWT_PAGE_PAGE_BYTES_H

#include "base/atomic.h"
#include "base/bytes.h"
#include "page/base_page.h"

#define ENTRY_FIXED_SIZE 6u
#define ENTRY_FLAG_BITS 4u
#define ENTRY_FLAGS ((1u << ENTRY_FLAG_BITS) - 1)
#define ENTRY_LSN_SIZE 8u
#define WORDS_MAX 64u /* bytes; longer runs are compared faster by the C library */

static inline uint32_t get_be32(const void *from)
{
	return __builtin_bswap32(get_u32(from));
}

static inline uint64_t get_be64(const void *from)
{
	return __builtin_bswap64(get_u64(from));
}

static inline bool bytes_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
	if (size >= 8) {
		if (size > WORDS_MAX)
			return memcmp(a, b, size) == 0;
		for (size_t at = 0; at + 8 < size; at += 8)
			if (get_u64(a + at) != get_u64(b + at))
				return false;
		return get_u64(a + size - 8) == get_u64(b + size - 8);
	}
	if (size >= 4)
		return get_u32(a) == get_u32(b) && get_u32(a + size - 4) == get_u32(b + size - 4);
	if (size >= 2)
		return get_u16(a) == get_u16(b) && a[size - 1] == b[size - 1];
	return size == 0 || a[0] == b[0];
}

/** -1, 0 or 1 as memcmp() says; NULL is fine where @size is 0. */
static inline int bytes_compare(const uint8_t *a, const uint8_t *b, size_t size)
{
	uint64_t x, y;

	if (size >= 8) {
		if (size > WORDS_MAX) {
			int order = memcmp(a, b, size);

			return (order > 0) - (order < 0);
		}
		for (size_t at = 0; at + 8 < size; at += 8) {
			x = get_be64(a + at);
			y = get_be64(b + at);
			if (x != y)
				return x < y ? -1 : 1;
		}
		/* Overlaps what was equal, which decides nothing. */
		x = get_be64(a + size - 8);
		y = get_be64(b + size - 8);
		return x < y ? -1 : x > y;
	}
	if (size >= 4) {
		x = (uint64_t)get_be32(a) << 32 | get_be32(a + size - 4);
		y = (uint64_t)get_be32(b) << 32 | get_be32(b + size - 4);
		return x < y ? -1 : x > y;
	}
	for (size_t at = 0; at < size; at++)
		if (a[at] != b[at])
			return a[at] < b[at] ? -1 : 1;
	return 0;
}

/** @key from byte @from on. An empty key may have NULL data, to which C adds nothing, not even 0. */
static inline const uint8_t *key_rest(struct bwt_slice key, size_t from)
{
	return from != 0 ? (const uint8_t *)key.data + from : key.data;
}

static inline int bytes_order(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	int order = bytes_compare(a, b, a_size < b_size ? a_size : b_size);

	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/** The first four bytes as an integer that compares as they do, zero-padded. */
static inline uint32_t head_of(const uint8_t *bytes, size_t size)
{
	if (__builtin_expect(size >= 4, 1))
		return get_be32(bytes);
	switch (size) {
	case 3:
		return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8;
	case 2:
		return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16;
	case 1:
		return (uint32_t)bytes[0] << 24;
	default:
		return 0;
	}
}

/*
 * Ask for the lines of [@from, @from + @size) before what lies in the first of them says that they are needed, so that
 * one miss is waited for and not several in a row.
 */
static inline void lines_fetch(const void *from, size_t size)
{
	const char *line = from;

	for (size_t at = 0; at < size; at += CACHE_LINE_SIZE)
		__builtin_prefetch(line + at);
}

static inline const uint8_t *page_at(const struct base_page *page, size_t off)
{
	return (const uint8_t *)page + off;
}

static inline const uint32_t *page_heads(const struct base_page *page)
{
	return (const uint32_t *)(const void *)page_at(page, page->heads_off);
}

static inline const uint32_t *page_slots(const struct base_page *page)
{
	return (const uint32_t *)(const void *)page_at(page, page->slots_off);
}

/** Where @key stands to the keys with the page's prefix: < 0 below all, > 0 above all, 0 it has it. */
static inline int prefix_order(const struct base_page *page, struct bwt_slice key)
{
	size_t size = page->prefix_size;

	if (__builtin_expect(key.size >= size, 1))
		return bytes_compare(key.data, page->bytes, size);
	return bytes_compare(key.data, page->bytes, key.size) <= 0 ? -1 : 1;
}

struct entry_view { /* an entry of a leaf, taken apart */
	uint32_t value_size;
	uint32_t suffix_size;
	uint8_t flags;
	const uint8_t *suffix; /* the value follows it */
};

static inline void entry_view(const struct base_page *page, uint32_t off, struct entry_view *view)
{
	const uint8_t *entry = page_at(page, off);
	uint32_t word = get_u32(entry);

	view->flags = (uint8_t)(word & ENTRY_FLAGS);
	view->value_size = word >> ENTRY_FLAG_BITS;
	view->suffix_size = get_u16(entry + 4);
	view->suffix = entry + ENTRY_FIXED_SIZE + ((word & VERSION_LSN) != 0 ? ENTRY_LSN_SIZE : 0);
}

static inline uint64_t entry_lsn(const struct base_page *page, uint32_t off)
{
	const uint8_t *entry = page_at(page, off);

	return (get_u32(entry) & VERSION_LSN) != 0 ? get_u64(entry + ENTRY_FIXED_SIZE) : 0;
}

/** leaf_entry(), inlined for those that read many. */
static inline void entry_read(const struct base_page *page, uint32_t off, struct page_entry *entry)
{
	struct entry_view view;

	entry_view(page, off, &view);
	entry->key.prefix = page->bytes;
	entry->key.prefix_size = page->prefix_size;
	entry->key.suffix = view.suffix;
	entry->key.suffix_size = view.suffix_size;
	entry->value = view.suffix + view.suffix_size;
	entry->value_size = view.value_size;
	entry->flags = view.flags;
	entry->lsn = entry_lsn(page, off);
	entry->word = NULL;
}

/* ---- shared by those that build pages ---- */

static inline size_t round_up(size_t size, size_t to)
{
	return (size + to - 1) / to * to;
}

/** The first @size bytes of @key. */
static inline struct key_ref key_ref_begin(const struct key_ref *key, uint32_t size)
{
	struct key_ref begin = *key;

	begin.prefix_size = size < key->prefix_size ? size : key->prefix_size;
	begin.suffix_size = size - begin.prefix_size;
	return begin;
}

/** Header of a page that is being built: all but the offsets and counts. */
void base_begin(struct base_page *to, size_t size, enum block_tag tag,
                const struct page_bounds *bounds, page_id page, uint32_t tree, uint64_t clock);
/** Fences at @to->fences_off, zeroes to the end, P4, seal. */
void base_finish(struct base_page *to, const struct page_bounds *bounds);
/** Whether @key lies between the fences (P2). */
bool base_holds(const struct base_page *page, const struct key_ref *key);
/** What high_head must be (P4). */
uint32_t base_high_head(const struct base_page *page);

#endif
