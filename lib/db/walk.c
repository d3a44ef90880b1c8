/* SPDX-License-Identifier: MIT */
/*
 * walk.c - leaf by leaf over one snapshot
 */
#include "db/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int buf_set(struct bwt_buf *buf, struct bwt_slice bytes)
{
	int rc = buf_reserve(buf, bytes.size + 1);

	if (rc < 0)
		return rc;
	if (bytes.size > 0)
		memcpy(buf->data, bytes.data, bytes.size);
	buf->size = bytes.size;
	return BWT_OK;
}

/* ---- the leaf copy ---- */

/* Index of the first entry of the copy that is >= @key (> @key with @above). */
static unsigned copy_bound(const struct leaf_copy *copy, struct bwt_slice key, bool above)
{
	unsigned from = 0, to = copy->count;

	while (from < to) {
		unsigned middle = (from + to) / 2;

		if (key_ref_compare_slice(&copy->entries[middle].key, key) < (above ? 1 : 0))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

enum leaf_choice {
	LEAF_OF,
	LEAF_FROM,
	LEAF_BEFORE,
	LEAF_BEHIND,
	LEAF_LAST
};

/* Load the leaf that covers walk->target, the keys just below it, the one behind the copy, or the last one. */
static int load(struct walk *walk, enum leaf_choice choice)
{
	struct reader reader = {.store = walk->store, .snapshot = walk->lsn};
	struct bwt_slice target = buf_slice(&walk->target);
	struct epoch_slot *slot = epoch_slot(&walk->store->epoch);
	int rc;

	if (slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	walk->loaded = false;
	walk->loads++;
	epoch_pin(slot);
	if (choice == LEAF_LAST)
		rc = tree_copy_last_leaf(walk->tree, slot, reader_choose, &reader, &walk->copy);
	else if (choice == LEAF_BEHIND)
		rc = tree_copy_next_leaf(walk->tree, slot, target, reader_choose, &reader,
		                         &walk->copy);
	else if (choice == LEAF_FROM)
		rc = tree_copy_leaf_from(walk->tree, slot, target, reader_choose, &reader,
		                         &walk->copy);
	else
		rc = tree_copy_leaf(walk->tree, slot, target, choice == LEAF_BEFORE, reader_choose,
		                    &reader, &walk->copy);
	epoch_unpin(slot);
	if (reader.newest > slot->seen_lsn)
		slot->seen_lsn = reader.newest;
	if (reader.newest > walk->newest)
		walk->newest = reader.newest;
	if (store_health(walk->store, false) < 0)
		return BWT_IO;
	walk->loaded = rc == BWT_OK;
	return rc;
}

/* The leaf of walk->target into the copy, if that is not the one that is there; what lies before it as @choice says. */
static int load_of_target(struct walk *walk, enum leaf_choice choice)
{
	const struct leaf_copy *copy = &walk->copy;
	struct bwt_slice target = buf_slice(&walk->target);

	if (walk->loaded && key_compare(copy->low, target) <= 0 &&
	    (copy->high.data == NULL || key_compare(target, copy->high) < 0))
		return BWT_OK;
	return load(walk, choice);
}

/* From entry @index of the copy on to the right, over empty leaves. */
static int settle_right(struct walk *walk, unsigned index)
{
	while (index >= walk->copy.count) {
		int rc;

		if (walk->copy.high.data == NULL)
			return BWT_NOT_FOUND;
		rc = buf_set(&walk->target, walk->copy.high);
		if (rc == BWT_OK)
			rc = load(walk, LEAF_BEHIND);
		if (rc == BWT_OK && walk->copy.high.data != NULL &&
		    key_compare(walk->copy.high, buf_slice(&walk->target)) <= 0)
			rc = error_set(BWT_CORRUPT, "a leaf ends before it begins");
		if (rc < 0)
			return rc;
		index = copy_bound(&walk->copy, buf_slice(&walk->target), false);
	}
	walk->index = index;
	return BWT_OK;
}

/* From entry @count - 1 of the copy on to the left, over empty leaves. */
static int settle_left(struct walk *walk, unsigned count)
{
	while (count == 0) {
		int rc;

		if (walk->copy.low.size == 0)
			return BWT_NOT_FOUND;
		rc = buf_set(&walk->target, walk->copy.low);
		if (rc == BWT_OK)
			rc = load(walk, LEAF_BEFORE);
		if (rc == BWT_OK && key_compare(walk->copy.low, buf_slice(&walk->target)) >= 0)
			rc = error_set(BWT_CORRUPT, "a leaf begins behind its end");
		if (rc < 0)
			return rc;
		count = copy_bound(&walk->copy, buf_slice(&walk->target), false);
	}
	walk->index = count - 1;
	return BWT_OK;
}

/* ---- moves ---- */

/* @key is compared in walk->target: it may lie in the copy that is replaced. */
static int go_to_leaf(struct walk *walk, struct bwt_slice key, enum leaf_choice choice)
{
	int rc = buf_set(&walk->target, key);

	return rc < 0 ? rc : load_of_target(walk, choice);
}

int walk_right(struct walk *walk, struct bwt_slice key, bool above)
{
	int rc = go_to_leaf(walk, key, LEAF_FROM);

	return rc < 0 ? rc
	              : settle_right(walk, copy_bound(&walk->copy, buf_slice(&walk->target), above));
}

int walk_left(struct walk *walk, struct bwt_slice key, bool included)
{
	int rc = go_to_leaf(walk, key, LEAF_OF);

	return rc < 0 ? rc
	              : settle_left(walk,
	                            copy_bound(&walk->copy, buf_slice(&walk->target), included));
}

int walk_last(struct walk *walk)
{
	int rc = load(walk, LEAF_LAST);

	return rc < 0 ? rc : settle_left(walk, walk->copy.count);
}

int walk_exact(struct walk *walk, struct bwt_slice key)
{
	int rc = go_to_leaf(walk, key, LEAF_FROM);
	unsigned index;

	if (rc < 0)
		return rc;
	index = copy_bound(&walk->copy, buf_slice(&walk->target), false);
	if (index == walk->copy.count ||
	    key_ref_compare_slice(&walk->copy.entries[index].key, buf_slice(&walk->target)) != 0)
		return BWT_NOT_FOUND;
	walk->index = index;
	return BWT_OK;
}

int walk_next_leaf(struct walk *walk)
{
	return settle_right(walk, walk->copy.count);
}

int walk_prev_leaf(struct walk *walk)
{
	return settle_left(walk, 0);
}

void walk_free(struct walk *walk)
{
	leaf_copy_free(&walk->copy);
	bwt_buf_free(&walk->target);
}
