/* SPDX-License-Identifier: MIT */
/*
 * values.c - references to large values in a leaf: finding those that are to go, and replacing them
 *
 *   VL1  A place in the value log belongs to one version of one key for good. So a reference that is found again is
 *        the version that it was found in, whatever else became of the page: nothing newer is ever replaced.
 */
#include "tree/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tree/consolidate.h"

int value_ref_compare(const void *a, const void *b)
{
	const struct value_ref *left = a, *right = b;

	if (left->segment != right->segment)
		return left->segment < right->segment ? -1 : 1;
	return (left->offset > right->offset) - (left->offset < right->offset);
}

void values_relocate(struct rebuild *rebuild, struct page_entry *entries, unsigned count,
                     struct value_ref *dropped, struct value_ref *stored)
{
	for (unsigned i = 0; i < count; i++) {
		const struct value_move *move;
		struct value_ref ref;

		if ((entries[i].flags & VERSION_VLOG) == 0)
			continue;
		memcpy(&ref, entries[i].value, sizeof ref);
		move = bsearch(&ref, rebuild->moves, rebuild->move_count, sizeof *move,
		               value_ref_compare);
		if (move == NULL && TEST_FAULT("move_over_another"))
			move = rebuild->moves;
		if (move == NULL)
			continue;
		entries[i].value = &move->to;
		dropped[rebuild->dropped_count++] = ref;
		if (!TEST_FAULT("move_uncounted"))
			stored[rebuild->stored_count++] = move->to;
	}
}

int tree_find_values(const struct tree *tree, struct epoch_slot *slot, const struct place *place,
                     bool (*wanted)(void *ctx, const struct value_ref *ref), void *ctx,
                     struct found_value *found, unsigned room)
{
	const uint8_t *arena = tree->env->arena->base;
	struct page_entry *entries;
	unsigned count, hits = 0;

	entries = slot_scratch(slot, (chain_version_count(arena, place_head(place)) + 1) *
	                                     sizeof *entries);
	if (entries == NULL)
		return -ENOMEM;
	count = chain_merge(arena, place_head(place), entries);
	for (unsigned i = 0; i < count && hits < room; i++) {
		struct value_ref ref;

		if ((entries[i].flags & VERSION_VLOG) == 0)
			continue;
		memcpy(&ref, entries[i].value, sizeof ref);
		if (wanted(ctx, &ref))
			found[hits++] = (struct found_value){ref, key_ref_hash(&entries[i].key)};
	}
	qsort(found, hits, sizeof *found, value_ref_compare);
	return (int)hits;
}
