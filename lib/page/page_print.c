/* SPDX-License-Identifier: MIT */
/*
 * page_print.c - pages and chains as text, a line per entry
 */
#include "page/page_print.h"

#include <inttypes.h>

#include "page/page_bytes.h"
#include "page/visibility.h"

#define KEY_LIMIT 64u   /* bytes of a key that are printed */
#define VALUE_LIMIT 64u /* and of a value, where values are asked for */

static void bytes_print(FILE *file, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '\\' && bytes[i] != '"')
			fputc(bytes[i], file);
		else
			fprintf(file, "\\%02x", bytes[i]);
}

void key_print(FILE *file, struct bwt_slice key, size_t limit)
{
	fputc('"', file);
	bytes_print(file, key.data, key.size < limit ? key.size : limit);
	fputc('"', file);
	if (key.size > limit)
		fprintf(file, "... (%zu bytes)", key.size);
}

static void key_ref_print(FILE *file, const struct key_ref *key)
{
	uint8_t bytes[KEY_LIMIT];
	struct key_ref begin = *key;
	uint32_t size = key_ref_size(key);

	if (size > KEY_LIMIT)
		begin = key_ref_begin(key, KEY_LIMIT);
	key_ref_copy(&begin, 0, bytes);
	fputc('"', file);
	bytes_print(file, bytes, key_ref_size(&begin));
	fputc('"', file);
	if (size > KEY_LIMIT)
		fprintf(file, "... (%" PRIu32 " bytes)", size);
}

static void high_print(FILE *file, struct bwt_slice high)
{
	if (high.data == NULL)
		fputs("no end", file);
	else
		key_print(file, high, KEY_LIMIT);
}

static void value_print(FILE *file, uint8_t flags, const void *value, uint32_t size, bool verbose)
{
	if ((flags & VERSION_TOMBSTONE) != 0) {
		fputs(" deleted", file);
	} else if ((flags & VERSION_VLOG) != 0) {
		struct value_ref ref;

		memcpy(&ref, value, sizeof ref);
		fprintf(file,
		        " value of %" PRIu32 " bytes at vlog %" PRIu32 " + %" PRIu64
		        " crc %08" PRIx32,
		        ref.size, ref.segment, ref.offset, ref.crc);
		if (ref.packed != 0)
			fprintf(file, " packed to %" PRIu32, ref.packed);
	} else {
		fprintf(file, " value of %" PRIu32 " bytes", size);
		if (verbose) {
			fputc(' ', file);
			key_print(file, (struct bwt_slice){value, size}, VALUE_LIMIT);
		}
	}
}

static void word_print(FILE *file, uint64_t word)
{
	switch (word_state(word)) {
	case WORD_PENDING:
		fprintf(file, "pending, not below lsn %" PRIu64, word_lsn(word));
		break;
	case WORD_COMMITTED:
		fprintf(file, "lsn %" PRIu64, word_lsn(word));
		break;
	case WORD_ABORTED:
		fputs("aborted", file);
		break;
	case WORD_DESCRIPTOR:
		fprintf(file, "of transaction %" PRIx64, word_lsn(word) / LSN_ALIGN);
		break;
	}
}

static const char *tag_name(uint8_t tag)
{
	switch (tag) {
	case BLOCK_FILLER:
		return "filler";
	case BLOCK_LEAF:
		return "leaf";
	case BLOCK_INNER:
		return "inner";
	case BLOCK_PUT:
		return "put";
	case BLOCK_DELETE:
		return "delete";
	case BLOCK_INDEX_INSERT:
		return "index-insert";
	case BLOCK_INDEX_DELETE:
		return "index-delete";
	case BLOCK_INDEX_MERGE:
		return "index-merge";
	case BLOCK_IMAGE_SEGMENT:
		return "image-segment";
	case BLOCK_IMAGE_DIRECTORY:
		return "image-directory";
	case BLOCK_IMAGE_ROOT:
		return "image-root";
	default:
		return "unknown";
	}
}

static void base_print(FILE *file, const struct base_page *page, bool verbose)
{
	fprintf(file, " level %u, %" PRIu32 " entries, prefix ", page->level, page->count);
	key_print(file, (struct bwt_slice){page->bytes, page->prefix_size}, KEY_LIMIT);
	fputs(", from ", file);
	key_print(file, base_low(page), KEY_LIMIT);
	fputs(" to ", file);
	high_print(file, base_high(page));
	fprintf(file, ", right %" PRIu64 "\n", page->right);
	for (unsigned i = 0; i < page->count; i++) {
		struct page_entry entry;

		if (page->head.tag == BLOCK_INNER) {
			inner_key(page, i, &entry.key);
			fputs("    ", file);
			key_ref_print(file, &entry.key);
			fprintf(file, " -> page %" PRIu64 "\n", inner_child(page, i));
			continue;
		}
		leaf_entry(page, i, &entry);
		fputs((entry.flags & VERSION_OLDER) != 0 ? "      older " : "    ", file);
		key_ref_print(file, &entry.key);
		fprintf(file, " lsn %" PRIu64, entry.lsn);
		value_print(file, entry.flags, entry.value, entry.value_size, verbose);
		fputc('\n', file);
	}
}

static void leaf_delta_print(FILE *file, const struct leaf_delta *delta, bool verbose)
{
	fputc(' ', file);
	key_print(file, leaf_delta_key(delta), KEY_LIMIT);
	fputc(' ', file);
	word_print(file, atomic_load_explicit(&delta->lsn_word, memory_order_acquire));
	value_print(file, delta->head.flags, leaf_delta_value(delta), delta->value_size, verbose);
	fputc('\n', file);
}

static void index_delta_print(FILE *file, const struct index_delta *delta)
{
	fputs(" from ", file);
	key_print(file, index_delta_low(delta), KEY_LIMIT);
	fputs(" to ", file);
	high_print(file, index_delta_high(delta));
	fprintf(file, " -> page %" PRIu64 "\n", delta->child);
}

void page_print_block(FILE *file, const struct block_head *block, arena_off off, bool verbose)
{
	const void *bytes = block;

	fprintf(file,
	        "%#" PRIx64 " %s page %" PRIu64 " tree %" PRIu32 " size %" PRIu32
	        " made at lsn %" PRIu64,
	        off, tag_name(block->tag), block->page, block->tree, block->size, block->lsn);
	if (block->chain != 0)
		fprintf(file, " chain %u", block->chain);
	switch (block->tag) {
	case BLOCK_LEAF:
	case BLOCK_INNER:
		base_print(file, bytes, verbose);
		break;
	case BLOCK_PUT:
	case BLOCK_DELETE:
		leaf_delta_print(file, bytes, verbose);
		break;
	case BLOCK_INDEX_INSERT:
	case BLOCK_INDEX_DELETE:
	case BLOCK_INDEX_MERGE:
		index_delta_print(file, bytes);
		break;
	default:
		fputc('\n', file);
	}
}

void page_print_chain(FILE *file, const uint8_t *arena, arena_off head, bool verbose)
{
	arena_off off = head;

	for (;;) {
		const struct block_head *block =
			(const struct block_head *)(const void *)(arena + off);

		page_print_block(file, block, off, verbose);
		if (block->chain == 0)
			return;
		off = delta_below(block);
	}
}
