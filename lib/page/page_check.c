/* SPDX-License-Identifier: MIT */
/*
 * page_check.c - the rules of stored blocks, each on its own
 *
 * Why so strict: a page has exactly one layout for its contents, so "every offset is what the
 * builder would have written" is both the shortest check and the one that finds most damage.
 * Nothing is read before its bounds are known; sizes are added up in 64 bits.
 */
#include "page/page_check.h"

#include "base/assert.h"
#include "page/page_bytes.h"
#include "page/visibility.h"

#define ENTRY_FLAGS_KNOWN (VERSION_TOMBSTONE | VERSION_VLOG | VERSION_OLDER | VERSION_LSN)

static bool all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool lsn_valid(uint64_t lsn)
{
	return lsn % LSN_ALIGN == 0 && lsn < LSN_MAX;
}

static bool value_valid(uint8_t flags, uint64_t value_size)
{
	switch (flags & (VERSION_TOMBSTONE | VERSION_VLOG)) {
	case 0:
		return true;
	case VERSION_TOMBSTONE:
		return value_size == 0;
	case VERSION_VLOG:
		return value_size == sizeof(struct value_ref);
	default:
		return false;
	}
}

/* ---- base pages ---- */

/* Offsets, sizes, fences: afterwards arrays, prefix and fences may be read, entries not yet. */
static const char *check_frame(const struct base_page *page)
{
	bool leaf = page->head.tag == BLOCK_LEAF;
	uint64_t size = page->head.size, count, at;

	if (size < sizeof *page)
		return "base page is smaller than its header";
	count = page->count;
	if (page->head.chain != 0 || page->head.flags != 0 || page->reserved != 0)
		return "base page has a field set that must be zero";
	if (page->head.page == 0)
		return "base page has no page id";
	if (leaf != (page->level == 0))
		return "level does not fit the kind of page";
	if (!leaf && count == 0)
		return "inner page has no child";
	at = sizeof *page + page->prefix_size;
	if (leaf && page->children_off != at)
		return "fingerprints do not follow the prefix";
	at = round_up(at + (leaf ? count : 0), sizeof(uint32_t));
	if (page->heads_off != at)
		return "heads are not where they must be";
	at += count * sizeof(uint32_t);
	if (!leaf && page->children_off != at)
		return "children do not follow the heads";
	at += leaf ? 0 : count * sizeof(uint32_t);
	if (page->slots_off != at)
		return "slots are not where they must be";
	at += count * sizeof(uint32_t);
	if (page->fences_off < at)
		return "fences lie within the arrays";
	at = (uint64_t)page->fences_off + page->low_size + page->high_size;
	if (at > size || size - at >= BLOCK_ALIGN)
		return "fences do not end where the page ends";
	if (!all_zero(page_at(page, at), size - at))
		return "bytes after the fences are not zero";
	at = sizeof *page + page->prefix_size + (leaf ? count : 0);
	if (!all_zero(page_at(page, at), page->heads_off - at))
		return "bytes before the heads are not zero";
	return NULL;
}

/* P2 without the keys, P4. */
static const char *check_fences(const struct base_page *page)
{
	if (page->right > UINT32_MAX || page->right == page->head.page)
		return "right sibling is no other page";
	if (page->right == 0 && page->high_size != 0)
		return "rightmost page has a high fence";
	if (page->right != 0 && key_compare(base_low(page), base_high(page)) >= 0)
		return "fences are out of order";
	if (page->high_head != base_high_head(page))
		return "head of the high fence is wrong";
	return NULL;
}

/* Entry @index begins at @off; afterwards it may be read. @end: out, where the next one begins. */
static const char *check_entry_bounds(const struct base_page *page, unsigned index, uint64_t off,
                                      uint64_t *end)
{
	uint64_t limit = page->fences_off;
	struct entry_view view;

	if (page_slots(page)[index] != off)
		return "entry is not where the one before it ends";
	if (off + ENTRY_FIXED_SIZE + ENTRY_LSN_SIZE > limit &&
	    (off + ENTRY_FIXED_SIZE > limit || (get_u32(page_at(page, off)) & VERSION_LSN) != 0))
		return "entry runs into the fences";
	entry_view(page, (uint32_t)off, &view);
	*end = off + ENTRY_FIXED_SIZE + ((view.flags & VERSION_LSN) != 0 ? ENTRY_LSN_SIZE : 0);
	*end += (uint64_t)view.suffix_size + view.value_size;
	if (*end > limit)
		return "entry runs into the fences";
	if ((uint32_t)page->prefix_size + view.suffix_size > BWT_KEY_MAX)
		return "key is too long";
	return NULL;
}

/* Entry @entry on its own, and its head and fingerprint. */
static const char *check_entry(const struct base_page *page, unsigned index,
                               const struct page_entry *entry)
{
	if ((entry->flags & ~ENTRY_FLAGS_KNOWN) != 0 || !value_valid(entry->flags, entry->value_size))
		return "flags of an entry do not fit its value";
	if (((entry->flags & VERSION_LSN) != 0) != (entry->lsn != 0) || !lsn_valid(entry->lsn))
		return "LSN of an entry is no LSN";
	if (page_heads(page)[index] != head_of(entry->key.suffix, entry->key.suffix_size))
		return "head of an entry is not that of its key";
	if (page_at(page, page->children_off)[index] != (uint8_t)key_ref_hash(&entry->key))
		return "fingerprint of an entry is not that of its key";
	return NULL;
}

/* P1: @entry after @last. */
static const char *check_entry_order(const struct page_entry *last, const struct page_entry *entry)
{
	int order = key_ref_compare(&last->key, &entry->key);

	if (order > 0)
		return "keys are out of order";
	if ((order == 0) != ((entry->flags & VERSION_OLDER) != 0))
		return "an entry's mark for older versions is wrong";
	if (order == 0 && last->lsn <= entry->lsn)
		return "versions of a key are out of order";
	return NULL;
}

static const char *check_leaf(const struct base_page *page)
{
	uint64_t off = page->slots_off + (uint64_t)page->count * sizeof(uint32_t);
	struct page_entry first = {0}, last = {0}, entry = {0};
	const char *wrong;
	uint32_t keys = 0;

	for (unsigned i = 0; i < page->count; i++) {
		wrong = check_entry_bounds(page, i, off, &off);
		if (wrong != NULL)
			return wrong;
		leaf_entry(page, i, &entry);
		wrong = check_entry(page, i, &entry);
		if (wrong != NULL)
			return wrong;
		if (i != 0)
			wrong = check_entry_order(&last, &entry);
		else if ((entry.flags & VERSION_OLDER) != 0)
			wrong = "an entry's mark for older versions is wrong";
		else
			first = entry;
		if (wrong != NULL)
			return wrong;
		keys += (entry.flags & (VERSION_OLDER | VERSION_TOMBSTONE)) == 0;
		last = entry;
	}
	if (off != page->fences_off)
		return "fences do not follow the entries";
	if (keys != page->keys)
		return "number of live keys is wrong";
	if (page->count == 0)
		return page->prefix_size == 0 ? NULL : "empty leaf has a prefix";
	if (key_ref_common(&first.key, &last.key) != page->prefix_size)
		return "prefix is not the longest";
	if (!base_holds(page, &first.key) || !base_holds(page, &last.key))
		return "key lies outside the fences";
	return NULL;
}

/* Afterwards every key may be read. */
static const char *check_inner_bounds(const struct base_page *page)
{
	uint64_t off = page->slots_off + (uint64_t)page->count * sizeof(uint32_t);
	const uint32_t *slots = page_slots(page);

	for (unsigned i = 0; i < page->count; i++) {
		uint64_t end = i + 1 < page->count ? slots[i + 1] : page->fences_off;

		if (i == 0 && (slots[i] != off || end != off))
			return "first key of an inner page is stored twice";
		if (end < slots[i] || end > page->fences_off)
			return "key of an inner page ends before it begins";
		if (end - slots[i] + page->prefix_size > BWT_KEY_MAX)
			return "key is too long";
	}
	return NULL;
}

static const char *check_inner(const struct base_page *page)
{
	const char *wrong = check_inner_bounds(page);
	struct key_ref first, last, key;

	if (wrong != NULL)
		return wrong;
	if (page->keys != 0)
		return "inner page counts live keys";
	inner_key(page, 0, &last);
	first = last;
	for (unsigned i = 0; i < page->count; i++) {
		if (inner_child(page, i) == 0)
			return "inner page has a child without an id";
		inner_key(page, i, &key);
		if (page_heads(page)[i] != (i == 0 ? 0 : head_of(key.suffix, key.suffix_size)))
			return "head of an entry is not that of its key";
		if (i != 0 && key_ref_compare(&last, &key) >= 0)
			return "keys are out of order";
		if (i == 1)
			first = key;
		last = key;
	}
	if (page->count == 1)
		return page->prefix_size == 0 ? NULL : "inner page of one child has a prefix";
	if (key_ref_common(&first, &last) != page->prefix_size)
		return "prefix is not the longest";
	return base_holds(page, &last) ? NULL : "key lies outside the fences";
}

static const char *check_base(const struct base_page *page)
{
	const char *wrong = check_frame(page);

	if (wrong == NULL)
		wrong = check_fences(page);
	if (wrong == NULL)
		wrong = page->head.tag == BLOCK_LEAF ? check_leaf(page) : check_inner(page);
	return wrong;
}

/* ---- deltas ---- */

static const char *check_word(uint64_t word)
{
	if (!word_valid(word))
		return "LSN word does not match its check byte";
	if (word_state(word) == WORD_ABORTED && word_lsn(word) != 0)
		return "aborted version has an LSN";
	return NULL;
}

static const char *check_leaf_delta(const struct leaf_delta *delta)
{
	uint64_t chain = delta->head.chain, end;

	if (delta->head.size < sizeof *delta)
		return "delta is smaller than its header";
	if (chain == 0 || chain > DELTA_CHAIN_MAX)
		return "delta's place in its chain is out of range";
	end = sizeof *delta + (chain - 1) * sizeof(arena_off) + chain + delta->key_size +
	      (uint64_t)delta->value_size;
	if (end > delta->head.size || delta->head.size - end >= BLOCK_ALIGN)
		return "delta's parts do not fill it";
	if (!all_zero((const uint8_t *)delta + end, delta->head.size - end))
		return "bytes after a delta's value are not zero";
	if (!all_zero((const uint8_t *)delta->reserved, sizeof delta->reserved))
		return "delta has a field set that must be zero";
	if (delta->head.page == 0)
		return "delta has no page id";
	if ((delta->head.flags & ~(VERSION_TOMBSTONE | VERSION_VLOG)) != 0 ||
	    (delta->head.tag == BLOCK_DELETE) != ((delta->head.flags & VERSION_TOMBSTONE) != 0) ||
	    !value_valid(delta->head.flags, delta->value_size))
		return "delta's flags do not fit its tag and value";
	if (delta->hash != key_hash(leaf_delta_key(delta)))
		return "delta's hash is not that of its key";
	if (leaf_delta_fingerprints(delta)[0] != (uint8_t)delta->hash)
		return "delta's fingerprint is not that of its key";
	return check_word(atomic_load_explicit(&delta->lsn_word, memory_order_acquire));
}

static const char *check_index_delta(const struct index_delta *delta)
{
	struct bwt_slice low, high;
	uint64_t end;

	if (delta->head.size < sizeof *delta)
		return "delta is smaller than its header";
	if (delta->head.chain == 0 || delta->head.chain > DELTA_CHAIN_MAX)
		return "delta's place in its chain is out of range";
	end = sizeof *delta + (uint64_t)delta->low_size + delta->high_size;
	if (end > delta->head.size || delta->head.size - end >= BLOCK_ALIGN)
		return "delta's parts do not fill it";
	if (!all_zero((const uint8_t *)delta + end, delta->head.size - end))
		return "bytes after a delta's keys are not zero";
	if (delta->high_infinite > 1 || (delta->high_infinite && delta->high_size != 0) ||
	    delta->head.flags != 0 || !all_zero(delta->reserved, sizeof delta->reserved))
		return "delta has a field set that must be zero";
	if (delta->head.page == 0 || delta->child == 0 || delta->child > UINT32_MAX)
		return "delta has no page id or no child";
	low = index_delta_low(delta);
	high = index_delta_high(delta);
	if (low.size == 0 || (high.data != NULL && key_compare(low, high) >= 0))
		return "delta's keys are out of order";
	return NULL;
}

const char *page_check_block(const struct block_head *block, size_t room)
{
	const void *bytes = block;

	if (!block_valid(block, room))
		return "checksum, size or tag of the block is wrong";
	switch (block->tag) {
	case BLOCK_LEAF:
	case BLOCK_INNER:
		return check_base(bytes);
	case BLOCK_PUT:
	case BLOCK_DELETE:
		return check_leaf_delta(bytes);
	case BLOCK_INDEX_INSERT:
	case BLOCK_INDEX_DELETE:
	case BLOCK_INDEX_MERGE:
		return check_index_delta(bytes);
	default:
		return NULL;
	}
}
