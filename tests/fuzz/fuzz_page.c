/* SPDX-License-Identifier: MIT */
/*
 * fuzz_page.c - any bytes as a block: what page_check_block() lets pass can be used without a fault
 *
 * The CRC is put right, because no chance meets it.
 */
#include <stdlib.h>
#include <string.h>

#include "page/page_check.h"
#include "tests/fuzz/fuzz.h"

static void use_leaf(const struct base_page *page)
{
	for (unsigned i = 0; i < page->count; i++) {
		uint8_t key[BWT_KEY_MAX];
		struct page_entry entry;
		uint32_t size;

		leaf_entry(page, i, &entry);
		size = key_ref_copy(&entry.key, 0, key);
		fuzz_touch(entry.value, entry.value_size);
		leaf_find(page, (struct bwt_slice){key, size},
		          key_hash((struct bwt_slice){key, size}));
		leaf_lower_bound(page, (struct bwt_slice){key, size});
	}
}

static void use_inner(const struct base_page *page)
{
	for (unsigned i = 0; i < page->count; i++) {
		uint8_t key[BWT_KEY_MAX];
		struct key_ref ref;
		uint32_t size;

		inner_key(page, i, &ref);
		size = key_ref_copy(&ref, 0, key);
		inner_search(page, (struct bwt_slice){key, size}, false);
		inner_child(page, i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct block_head *head;

	if (size < sizeof *head || size > BLOCK_SIZE_MAX)
		return 0;
	head = aligned_alloc(BLOCK_ALIGN, (size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN);
	memcpy(head, data, size);
	fuzz_seal(head, size);
	if (page_check_block(head, size) == NULL) {
		const struct base_page *page = (const struct base_page *)head;
		struct page_bounds bounds;

		if (head->tag == BLOCK_LEAF)
			use_leaf(page);
		if (head->tag == BLOCK_INNER)
			use_inner(page);
		if (head->tag == BLOCK_LEAF || head->tag == BLOCK_INNER)
			base_bounds(page, &bounds);
		if (head->tag == BLOCK_PUT || head->tag == BLOCK_DELETE) {
			const struct leaf_delta *delta = (const struct leaf_delta *)head;
			struct bwt_slice key = leaf_delta_key(delta);

			fuzz_touch(key.data, key.size);
			fuzz_touch(leaf_delta_value(delta), delta->value_size);
		}
	}
	free(head);
	return 0;
}
