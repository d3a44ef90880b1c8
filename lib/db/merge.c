/* SPDX-License-Identifier: MIT */
/*
 * merge.c - the smaller of two neighbours, own tombstones passed over
 */
#include "db/merge.h"

/* The own write behind @own in the same tree. */
static const struct write_entry *own_next(const struct write_set *writes,
                                          const struct write_entry *own)
{
	const struct write_entry *next = write_set_next(writes, own);

	return next != NULL && next->tree->id == own->tree->id ? next : NULL;
}

int merge_right(struct walk *walk, const struct write_set *writes, struct bwt_slice key, bool above,
                const struct write_entry **out)
{
	const struct write_entry *own = write_set_above(writes, walk->tree, key, !above);
	int rc = walk_right(walk, key, above);

	while (own != NULL && (rc == BWT_OK || rc == BWT_NOT_FOUND)) {
		int order =
			rc == BWT_OK ? key_ref_compare_slice(&walk_entry(walk)->key, own->key) : 1;

		if (order < 0)
			break;
		if (own->kind == WRITE_PUT) {
			*out = own;
			return BWT_OK;
		}
		if (order == 0)
			rc = walk_next(walk);
		own = own_next(writes, own);
	}
	*out = NULL;
	return rc;
}

int merge_left(struct walk *walk, const struct write_set *writes, const struct bwt_slice *key,
               bool included, const struct write_entry **out)
{
	const struct write_entry *own =
		key == NULL ? write_set_last(writes, walk->tree)
			    : write_set_below(writes, walk->tree, *key, included);
	int rc = key == NULL ? walk_last(walk) : walk_left(walk, *key, included);

	while (own != NULL && (rc == BWT_OK || rc == BWT_NOT_FOUND)) {
		int order =
			rc == BWT_OK ? key_ref_compare_slice(&walk_entry(walk)->key, own->key) : -1;

		if (order > 0)
			break;
		if (own->kind == WRITE_PUT) {
			*out = own;
			return BWT_OK;
		}
		if (order == 0)
			rc = walk_prev(walk);
		own = write_set_below(writes, walk->tree, own->key, false);
	}
	*out = NULL;
	return rc;
}

int merge_exact(struct walk *walk, const struct write_set *writes, struct bwt_slice key,
                const struct write_entry **out)
{
	const struct write_entry *own = write_set_find(writes, walk->tree, key);

	*out = own;
	if (own == NULL)
		return walk_exact(walk, key);
	return own->kind == WRITE_PUT ? BWT_OK : BWT_NOT_FOUND;
}
