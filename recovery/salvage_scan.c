/* SPDX-License-Identifier: MIT */
/*
 * salvage_scan.c - the leaves of an arena, found by what their blocks say of themselves
 *
 * A base page holds every commit in its key range below its clock (head.lsn), because whoever commits
 * prepends to the page's chain before it reserves its LSN; deltas over it add versions with LSNs of
 * their own. So pages need no mapping table to be understood: of the base pages that cover a key the
 * one with the largest clock says the most.
 *
 *   SC1  A base page younger than the log's end holds what was never durable, and is left out.
 *   SC2  A delta belongs to a base page if it names its offset, page and tree and is not older: the
 *        offset may have held another page before.
 *   SC3  Blocks are looked for in sequence; inside a block that checks there is none. What lies between
 *        two blocks and may have been one, younger than what surrounds it, is counted as suspicious.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "page/page_check.h"
#include "page/visibility.h"
#include "recovery/salvage.h"
#include "sys/file.h"

struct scanning {
	struct salvage_arena *scan;
	uint64_t log_end;
	/* the extent at hand */
	uint64_t newest; /* clock of the last good block */
	arena_off after; /* its end; 0: none yet */
};

static const struct block_head *head_at(const struct salvage_arena *scan, arena_off off)
{
	return arena_at(&scan->arena, off);
}

static bool plausible(const struct block_head *head, size_t room)
{
	bool tag = (head->tag >= BLOCK_FILLER && head->tag <= BLOCK_FILLER + 15) ||
	           (head->tag >= BLOCK_IMAGE_SEGMENT && head->tag <= BLOCK_IMAGE_ROOT);

	return tag && head->size >= sizeof *head && head->size <= room &&
	       head->size % BLOCK_ALIGN == 0 && head->size <= BLOCK_SIZE_MAX;
}

static int add_page(struct salvage_arena *scan, const struct base_page *base)
{
	if (scan->picture_count == scan->picture_capacity) {
		size_t more = scan->picture_capacity * 2 + 256;
		struct picture *grown = realloc(scan->pictures, more * sizeof *grown);

		if (grown == NULL)
			return error_set(-ENOMEM, "no memory for the pages found");
		scan->pictures = grown;
		scan->picture_capacity = more;
	}
	scan->pictures[scan->picture_count++] =
		(struct picture){.base = base, .as_of = base->head.lsn};
	return BWT_OK;
}

static int add_delta(struct salvage_arena *scan, const struct leaf_delta *delta)
{
	if (scan->delta_count == scan->delta_capacity) {
		size_t more = scan->delta_capacity * 2 + 256;
		const struct leaf_delta **grown = realloc(scan->deltas, more * sizeof *grown);

		if (grown == NULL)
			return error_set(-ENOMEM, "no memory for the records found");
		scan->deltas = grown;
		scan->delta_capacity = more;
	}
	scan->deltas[scan->delta_count++] = delta;
	return BWT_OK;
}

static int add_block(struct scanning *scanning, const struct block_head *head)
{
	if (head->lsn > scanning->log_end) /* SC1 */
		return BWT_OK;
	if (head->tag == BLOCK_LEAF)
		return add_page(scanning->scan, (const struct base_page *)head);
	if (head->tag == BLOCK_PUT || head->tag == BLOCK_DELETE)
		return add_delta(scanning->scan, (const struct leaf_delta *)head);
	return BWT_OK;
}

/* SC3: [after, @off) lies before a good block of clock @lsn. */
static void judge_hole(struct scanning *scanning, arena_off start, arena_off off, uint64_t lsn)
{
	arena_off from = scanning->after == 0 ? start : scanning->after;
	struct salvage_arena *scan = scanning->scan;
	const uint8_t *bytes = arena_at(&scan->arena, from);
	const struct block_head *head = head_at(scan, from);

	if (from >= off || lsn < scanning->newest || lsn > scanning->log_end)
		return;
	/* What this block overwrote began before it and reached into it; so did never-written space. */
	if (off - from >= sizeof *head && plausible(head, BLOCK_SIZE_MAX) && from + head->size > off)
		return;
	if (bytes[0] == 0 && memcmp(bytes, bytes + 1, off - from - 1) == 0)
		return;
	if (scan->suspicious++ == 0)
		scan->first_suspicious = from;
}

static int scan_extent(struct scanning *scanning, extent_id id)
{
	struct salvage_arena *scan = scanning->scan;
	arena_off start = extent_start(id), end = start + extent_size(id), off = start;
	int rc = BWT_OK;

	scanning->newest = 0;
	scanning->after = 0;
	while (rc == BWT_OK && off + sizeof(struct block_head) <= end) {
		const struct block_head *head = head_at(scan, off);
		bool good = plausible(head, (size_t)(end - off)) &&
		            block_valid(head, (size_t)(end - off));

		if (!good) {
			off += BLOCK_ALIGN;
			continue;
		}
		judge_hole(scanning, start, off, head->lsn);
		if ((head->tag != BLOCK_LEAF && head->tag != BLOCK_PUT && head->tag != BLOCK_DELETE) ||
		    page_check_block(head, (size_t)(end - off)) == NULL)
			rc = add_block(scanning, head);
		off += head->size;
		scanning->after = off;
		scanning->newest = head->lsn;
	}
	return rc;
}

/* ---- order ---- */

static int by_tree_and_low(const void *a, const void *b)
{
	const struct base_page *left = ((const struct picture *)a)->base;
	const struct base_page *right = ((const struct picture *)b)->base;

	if (left->head.tree != right->head.tree)
		return left->head.tree < right->head.tree ? -1 : 1;
	return salvage_compare(base_low(left), base_low(right));
}

static int by_base(const void *a, const void *b)
{
	const struct leaf_delta *left = *(const struct leaf_delta *const *)a;
	const struct leaf_delta *right = *(const struct leaf_delta *const *)b;

	return (left->base > right->base) - (left->base < right->base);
}

static void attach_deltas(struct salvage_arena *scan, struct picture *picture)
{
	arena_off off = (arena_off)((const uint8_t *)picture->base - scan->arena.base);
	size_t low = 0, high = scan->delta_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (scan->deltas[middle]->base < off)
			low = middle + 1;
		else
			high = middle;
	}
	picture->first_delta = (uint32_t)low;
	picture->extent = extent_of(off);
	picture->newest = picture->base->head.lsn;
	for (; low < scan->delta_count && scan->deltas[low]->base == off; low++) {
		const struct leaf_delta *delta = scan->deltas[low];
		uint64_t word = atomic_load_explicit(
			&((struct leaf_delta *)(uintptr_t)delta)->lsn_word, memory_order_relaxed);

		picture->delta_count++;
		if (!picture_has(picture, delta))
			continue;
		if (delta->head.lsn > picture->as_of)
			picture->as_of = delta->head.lsn;
		picture->undecided = picture->undecided || !word_valid(word) ||
		                     word_state(word) == WORD_DESCRIPTOR;
		if (word_valid(word) && word_state(word) == WORD_COMMITTED &&
		    word_lsn(word) >= picture->newest)
			picture->newest = word_lsn(word) + LSN_ALIGN;
	}
}

int salvage_scan(struct salvage_arena *scan, int arena_fd, uint64_t log_end,
                 const struct salvage_calls *calls)
{
	struct scanning scanning = {.scan = scan, .log_end = log_end};
	uint64_t size;
	int rc = sys_file_size(arena_fd, &size);

	if (rc == BWT_OK)
		rc = arena_open(&scan->arena, arena_fd, EXTENT_SIZE, true);
	if (rc < 0)
		return rc;
	size = arena_size(&scan->arena);
	for (extent_id id = 1; size > 0 && id <= extent_of(size - 1) && rc == BWT_OK; id++) {
		rc = scan_extent(&scanning, id);
		if (calls->progress != NULL)
			calls->progress(calls->ctx, "scan", extent_start(id), size);
	}
	if (rc == BWT_OK && scan->picture_count > 0)
		qsort(scan->pictures, scan->picture_count, sizeof *scan->pictures, by_tree_and_low);
	if (rc == BWT_OK && scan->delta_count > 0)
		qsort(scan->deltas, scan->delta_count, sizeof *scan->deltas, by_base);
	for (size_t i = 0; rc == BWT_OK && i < scan->picture_count; i++)
		attach_deltas(scan, &scan->pictures[i]);
	return rc;
}

void salvage_scan_free(struct salvage_arena *scan)
{
	free(scan->pictures);
	free(scan->deltas);
	if (scan->arena.base != NULL)
		arena_close(&scan->arena);
	memset(scan, 0, sizeof *scan);
}
