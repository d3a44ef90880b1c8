/* SPDX-License-Identifier: MIT */
/*
 * read_set.c - key ranges in the order of reading, each joined with the one before if they touch
 *
 *   RS1  A range is not empty: low < high.
 *   RS2  low lies at the front of bytes, high right behind it.
 *
 * The key right above k is k with a zero byte behind it, so every bound is a plain key.
 */
#include "txn/read_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define RANGES_FIRST 8u

struct bound { /* a key, with a zero byte behind it if so said */
	struct bwt_slice key;
	bool zero;
};

static size_t bound_size(const struct bound *bound)
{
	return bound->key.size + (bound->zero ? 1 : 0);
}

static void bound_copy(const struct bound *bound, uint8_t *to)
{
	BWT_ASSERT(to != NULL);
	if (bound->key.size > 0)
		memcpy(to, bound->key.data, bound->key.size);
	if (bound->zero)
		to[bound->key.size] = 0;
}

/* Neither is unbounded, and @a's key is not the longer one. */
static int compare_shorter(const struct bound *a, const struct bound *b)
{
	int order = a->key.size == 0 ? 0 : memcmp(a->key.data, b->key.data, a->key.size);

	if (order != 0)
		return order;
	if (a->key.size == b->key.size)
		return (int)a->zero - (int)b->zero;
	/* The longer one goes on where @a has its zero byte, or nothing. */
	if (!a->zero || ((const uint8_t *)b->key.data)[a->key.size] != 0 ||
	    a->key.size + 1 < b->key.size)
		return -1;
	return b->zero ? -1 : 0;
}

static int bound_compare(const struct bound *a, const struct bound *b)
{
	return a->key.size <= b->key.size ? compare_shorter(a, b) : -compare_shorter(b, a);
}

static int key_bound_compare(struct bwt_slice key, const struct bound *bound)
{
	struct bound plain = {key, false};

	return bound_compare(&plain, bound);
}

/* ---- one range ---- */

static int range_reserve(struct read_range *range, size_t size)
{
	uint8_t *grown;

	if (size <= range->capacity)
		return BWT_OK;
	if (range->bytes != NULL)
		size += size / 2; /* joined once, it will be again */
	grown = realloc(range->bytes, size);
	if (grown == NULL)
		return -ENOMEM;
	range->low.data = grown;
	if (range->high.data != NULL)
		range->high.data = grown + range->low.size;
	range->bytes = grown;
	range->capacity = size;
	return BWT_OK;
}

/* high.data == NULL: no bound. */
static int range_set_high(struct read_range *range, const struct bound *high)
{
	int rc;

	if (high->key.data == NULL) {
		range->high = (struct bwt_slice){NULL, 0};
		return BWT_OK;
	}
	rc = range_reserve(range, range->low.size + bound_size(high));
	if (rc < 0)
		return rc;
	bound_copy(high, range->bytes + range->low.size);
	range->high = (struct bwt_slice){range->bytes + range->low.size, bound_size(high)};
	return BWT_OK;
}

static int range_set_low(struct read_range *range, const struct bound *low)
{
	size_t size = bound_size(low);
	int rc = range_reserve(range, size + range->high.size + 1);

	if (rc < 0)
		return rc;
	if (range->high.data != NULL) {
		memmove(range->bytes + size, range->high.data, range->high.size);
		range->high.data = range->bytes + size;
	}
	bound_copy(low, range->bytes);
	range->low = (struct bwt_slice){range->bytes, size};
	return BWT_OK;
}

/* [@low, @high) touches or overlaps @range. */
static bool touches(const struct read_range *range, const struct bound *low, const struct bound *high)
{
	return (range->high.data == NULL || key_bound_compare(range->high, low) >= 0) &&
	       (high->key.data == NULL || key_bound_compare(range->low, high) <= 0);
}

static int join(struct read_range *range, const struct bound *low, const struct bound *high)
{
	int rc = BWT_OK;

	if (range->high.data != NULL &&
	    (high->key.data == NULL || key_bound_compare(range->high, high) < 0))
		rc = range_set_high(range, high);
	if (rc == BWT_OK && key_bound_compare(range->low, low) > 0)
		rc = range_set_low(range, low);
	return rc;
}

/* ---- the set ---- */

void read_set_free(struct read_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		free(set->ranges[i].bytes);
	free(set->ranges);
	memset(set, 0, sizeof *set);
}

static int set_reserve(struct read_set *set)
{
	size_t capacity = set->capacity == 0 ? RANGES_FIRST : 2 * set->capacity;
	struct read_range *grown;

	if (set->count < set->capacity)
		return BWT_OK;
	grown = realloc(set->ranges, capacity * sizeof *grown);
	if (grown == NULL)
		return -ENOMEM;
	set->ranges = grown;
	set->capacity = capacity;
	return BWT_OK;
}

int read_set_add(struct read_set *set, struct tree *tree, struct bwt_slice low, bool above,
                 struct bwt_slice high, bool with)
{
	struct bound from = {low, above}, to = {high, with && high.data != NULL};
	struct read_range *last = set->count == 0 ? NULL : &set->ranges[set->count - 1];
	struct read_range fresh = {.tree = tree};
	int rc;

	if (to.key.data != NULL && bound_compare(&from, &to) >= 0)
		return BWT_OK;
	if (last != NULL && last->tree == tree && touches(last, &from, &to))
		return join(last, &from, &to);
	rc = set_reserve(set);
	if (rc == BWT_OK)
		rc = range_reserve(&fresh, bound_size(&from) + bound_size(&to) + 1);
	if (rc == BWT_OK)
		rc = range_set_low(&fresh, &from);
	if (rc == BWT_OK)
		rc = range_set_high(&fresh, &to);
	if (rc < 0) {
		free(fresh.bytes);
		return rc;
	}
	BWT_ASSERT(set->ranges != NULL);
	set->ranges[set->count++] = fresh;
	return BWT_OK;
}
