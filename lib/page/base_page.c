/* SPDX-License-Identifier: MIT */
/*
 * base_page.c - what leaves and inner pages have in common: header, fences, separators
 */
#include "page/base_page.h"

#include "base/assert.h"
#include "page/page_bytes.h"

void base_begin(struct base_page *to, size_t size, enum block_tag tag,
                const struct page_bounds *bounds, page_id page, uint32_t tree, uint64_t clock)
{
	BWT_ASSERT(size >= sizeof *to && size <= BLOCK_SIZE_MAX && size % BLOCK_ALIGN == 0);
	BWT_ASSERT((bounds->high.data == NULL) == (bounds->right == 0)); /* P2 */
	memset(to, 0, sizeof *to);
	to->head.size = (uint32_t)size;
	to->head.tag = (uint8_t)tag;
	to->head.tree = tree;
	to->head.page = page;
	to->head.lsn = clock;
	to->right = bounds->right;
	to->low_size = (uint16_t)bounds->low.size;
	to->high_size = bounds->high.data != NULL ? (uint16_t)bounds->high.size : 0;
}

void base_finish(struct base_page *to, const struct page_bounds *bounds)
{
	uint8_t *at = (uint8_t *)to + to->fences_off;
	uint8_t *end = (uint8_t *)to + to->head.size;

	if (bounds->low.size != 0)
		memcpy(at, bounds->low.data, bounds->low.size);
	at += to->low_size;
	if (to->high_size != 0)
		memcpy(at, bounds->high.data, to->high_size);
	at += to->high_size;
	BWT_ASSERT(at <= end && end - at < (ptrdiff_t)BLOCK_ALIGN);
	memset(at, 0, (size_t)(end - at));
	to->high_head = base_high_head(to);
	block_seal(&to->head, 0);
}

uint32_t base_high_head(const struct base_page *page)
{
	struct bwt_slice high = base_high(page);
	uint32_t prefix_size = page->prefix_size;

	if (high.data == NULL || high.size < prefix_size ||
	    !bytes_equal(high.data, page->bytes, prefix_size))
		return UINT32_MAX;
	return head_of((const uint8_t *)high.data + prefix_size, high.size - prefix_size);
}

struct bwt_slice base_low(const struct base_page *page)
{
	return (struct bwt_slice){page_at(page, page->fences_off), page->low_size};
}

struct bwt_slice base_high(const struct base_page *page)
{
	if (page->right == 0)
		return (struct bwt_slice){NULL, 0};
	return (struct bwt_slice){page_at(page, page->fences_off + page->low_size), page->high_size};
}

void base_bounds(const struct base_page *page, struct page_bounds *bounds)
{
	bounds->low = base_low(page);
	bounds->high = base_high(page);
	bounds->right = page->right;
}

bool base_covers(const struct base_page *page, struct bwt_slice key)
{
	size_t prefix_size = page->prefix_size;

	if (page->right == 0)
		return true;
	/* P4: the fence lies at the far end of the page, a cache miss that most lookups can do without. */
	if (key.size >= prefix_size && bytes_equal(key.data, page->bytes, prefix_size) &&
	    head_of(key_rest(key, prefix_size), key.size - prefix_size) < page->high_head)
		return true;
	return key_compare(key, base_high(page)) < 0;
}

bool base_holds(const struct base_page *page, const struct key_ref *key)
{
	return key_ref_compare_slice(key, base_low(page)) >= 0 &&
	       (page->right == 0 || key_ref_compare_slice(key, base_high(page)) < 0);
}

uint32_t separator_between(const struct key_ref *left, const struct key_ref *right, uint8_t *to)
{
	uint32_t size = key_ref_common(left, right) + 1;
	struct key_ref cut = key_ref_begin(right, size);

	BWT_ASSERT(key_ref_compare(left, right) < 0);
	return key_ref_copy(&cut, 0, to);
}
