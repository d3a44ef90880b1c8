/* SPDX-License-Identifier: MIT */
/*
 * read_validate.c - look again at the ranges that were read
 *
 * Newest versions are never pruned, and tombstones at or above a live snapshot neither, so what was
 * written since the snapshot can be told from the tree alone.
 */
#include "txn/read_validate.h"

#include <errno.h>
#include <stdlib.h>

#include "base/stats.h"
#include "base/testpoint.h"
#include "tree/descend.h"

#define LSN_OPEN UINT64_MAX /* instead of a reserved LSN: nothing is pushed yet */

struct look {
	const struct txn *txn;
	const struct descriptor *own;
	const struct read_range *range;
	uint64_t lsn; /* reserved, or LSN_OPEN */
	bool pending; /* out */
};

void validation_free(struct validation *validation)
{
	free(validation->leaves);
	*validation = (struct validation){0};
}

/* Does a commit at @lsn contradict what was read? */
static bool contradicts(const struct look *look, uint64_t lsn)
{
	return lsn >= look->txn->snapshot && lsn < look->lsn;
}

/*
 * Somebody else's undecided version lies in the range, and our LSN is reserved: it may not commit below
 * us. Of two serializable transactions the older aborts the younger: two that pushed each other could do so for ever (C4).
 */
static uint64_t forbid(const struct look *look, _Atomic(uint64_t) *own_word,
                       _Atomic(uint64_t) *word, uint64_t seen)
{
	struct store *store = look->txn->store;
	struct descriptor *other = descriptor_of(word, own_word);
	uint64_t order =
		other == NULL ? 0 : atomic_load_explicit(&other->order, memory_order_relaxed);
	bool abort = order > look->txn->order && !TEST_FAULT("txn_push_only");

	while (word_state(seen) == WORD_PENDING && (abort || word_lsn(seen) < look->lsn)) {
		uint64_t next =
			abort ? word_make(WORD_ABORTED, 0) : word_make(WORD_PENDING, look->lsn);

		if (!atomic_compare_exchange_strong_explicit(word, &seen, next, memory_order_acq_rel,
		                                             memory_order_acquire))
			continue;
		stats_add(&store->stats, 0, abort ? STAT_WOUNDS : STAT_PUSHES, 1);
		if (abort)
			descriptor_ring(other);
		return next;
	}
	return seen;
}

static bool delta_contradicts(struct look *look, struct leaf_delta *delta)
{
	struct store *store = look->txn->store;
	uint64_t seen;
	_Atomic(uint64_t) *word = version_word(&store->descriptors, &delta->lsn_word, &seen);

	if (word == &look->own->word)
		return false;
	if (word_state(seen) == WORD_PENDING) {
		look->pending = true;
		if (look->lsn != LSN_OPEN)
			seen = forbid(look, &delta->lsn_word, word, seen);
	}
	return word_state(seen) == WORD_COMMITTED && contradicts(look, word_lsn(seen));
}

static bool in_range(const struct read_range *range, struct bwt_slice key)
{
	if (TEST_FAULT("txn_no_phantom_check")) /* only a range's first key is looked at */
		return key_compare(key, range->low) == 0;
	return key_compare(key, range->low) >= 0 &&
	       (range->high.data == NULL || key_compare(key, range->high) < 0);
}

/* BWT_CONFLICT if a version in the leaf contradicts. */
static int look_at_leaf(struct look *look, const struct place *place)
{
	const struct arena *arena = &look->txn->store->arena;
	const struct base_page *base = place->base;
	struct leaf_delta *delta;

	for (unsigned i = 0; (delta = chain_version(arena->base, place_head(place), i)) != NULL; i++)
		if (in_range(look->range, leaf_delta_key(delta)) && delta_contradicts(look, delta))
			return BWT_CONFLICT;
	if (base->head.lsn <= look->txn->snapshot)
		return BWT_OK; /* built of versions that are all older */
	for (unsigned i = leaf_lower_bound(base, look->range->low); i < base->count; i++) {
		struct page_entry entry;

		leaf_entry(base, i, &entry);
		if (look->range->high.data != NULL &&
		    key_ref_compare_slice(&entry.key, look->range->high) >= 0)
			break;
		if (contradicts(look, entry.lsn))
			return BWT_CONFLICT;
	}
	return BWT_OK;
}

static int note_leaf(struct validation *validation, const struct place *place, size_t range,
                     bool pending)
{
	if (validation->count == validation->capacity) {
		size_t capacity = validation->capacity * 2 + 16;
		struct seen_leaf *grown = realloc(validation->leaves, capacity * sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		validation->leaves = grown;
		validation->capacity = capacity;
	}
	validation->leaves[validation->count++] =
		(struct seen_leaf){place->word, place->page, (uint32_t)range, pending};
	return BWT_OK;
}

/* Range @index, leaf by leaf; each is noted in @validation (NULL: not). */
static int look_at_range(const struct txn *txn, const struct descriptor *own, size_t index,
                         uint64_t lsn, struct validation *validation)
{
	const struct read_range *range = &txn->reads.ranges[index];
	struct bwt_slice key = range->low;
	int rc = BWT_OK;

	while (rc == BWT_OK) {
		struct look look = {txn, own, range, lsn, false};
		struct place place;

		rc = tree_descend(range->tree, key, false, 0, &place, NULL);
		if (rc == BWT_OK)
			rc = look_at_leaf(&look, &place);
		if (rc == BWT_OK && validation != NULL)
			rc = note_leaf(validation, &place, index, look.pending);
		if (rc < 0 || place.base->right == 0)
			break;
		key = base_high(place.base);
		if (range->high.data != NULL && key_compare(key, range->high) >= 0)
			break;
	}
	return rc;
}

int read_validate(const struct txn *txn, const struct descriptor *own, struct validation *validation)
{
	int rc = BWT_OK;

	validation->count = 0;
	for (size_t i = 0; i < txn->reads.count && rc == BWT_OK; i++)
		rc = look_at_range(txn, own, i, LSN_OPEN, validation);
	return rc;
}

int read_revalidate(const struct txn *txn, const struct descriptor *own,
                    const struct validation *validation, uint64_t lsn)
{
	int rc = BWT_OK;

	if (TEST_FAULT("txn_no_second_look"))
		return BWT_OK;
	for (size_t i = 0; i < validation->count && rc == BWT_OK; i++) {
		const struct seen_leaf *leaf = &validation->leaves[i];

		/* What comes to the keys of a frozen page goes to its neighbour, and leaves its word as it is. */
		if (leaf->pending || mapping_frozen(leaf->word) ||
		    mapping_load(&txn->store->mapping, leaf->page) != leaf->word)
			rc = look_at_range(txn, own, leaf->range, lsn, NULL);
	}
	return rc;
}
