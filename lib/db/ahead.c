/* SPDX-License-Identifier: MIT */
/*
 * ahead.c - reading large values before they are asked for
 *
 * Why: a walk that asks for each value would wait for each of them. After the first two that were asked for one
 * behind the other, the next ones of the leaf are read along with each, by one batch: 2, 4, ... AHEAD_MAX values, or
 * AHEAD_BYTES. A walk that skips values is read for one at a time.
 *
 *   AH1  A snapshot's value of a key never changes, so what was read ahead stays true as long as the walk has its
 *        snapshot. Places in the value log change: the keys are looked up anew for each read (V1).
 *   AH2  A failure to read ahead is forgotten. Whoever asks for that value has it read again, and is told.
 */
#include "db/ahead.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_BYTES ((uint64_t)1 << 20) /* of values read ahead, the first one not counted */

static bool is_large(const struct walk *walk, unsigned index)
{
	return (walk->copy.entries[index].flags & VERSION_VLOG) != 0;
}

static uint64_t large_size(const struct walk *walk, unsigned index)
{
	struct value_ref ref;

	memcpy(&ref, walk->copy.entries[index].value, sizeof ref);
	return ref.size;
}

/* No large value lies between the two entries of the copy, @from excluded: @step leads from one to the other. */
static bool follows(const struct walk *walk, unsigned from, unsigned to, int step)
{
	for (from += (unsigned)step; from != to; from += (unsigned)step)
		if (from >= walk->copy.count || is_large(walk, from))
			return false;
	return true;
}

/* Which way are values asked for, one after another? 1 to the right, -1 to the left, 0: they are not. */
static int direction(const struct ahead *ahead, const struct walk *walk)
{
	if (ahead->window == 0)
		return 0;
	if (ahead->load == walk->loads) {
		int step = walk->index > ahead->asked ? 1 : -1;

		return walk->index != ahead->asked && follows(walk, ahead->asked, walk->index, step)
		               ? step
		               : 0;
	}
	if (ahead->load + 1 != walk->loads)
		return 0;
	if (follows(walk, UINT_MAX, walk->index, 1))
		return 1;
	return follows(walk, walk->copy.count, walk->index, -1) ? -1 : 0;
}

/* The entries whose values are read now: this one, and in direction @step up to ahead->window of them. */
static void choose(struct ahead *ahead, const struct walk *walk, int step)
{
	uint64_t bytes = 0;
	unsigned index = walk->index;

	ahead->at[0] = index;
	ahead->count = 1;
	if (step == 0)
		return;
	for (index += (unsigned)step; index < walk->copy.count && ahead->count < ahead->window;
	     index += (unsigned)step) {
		if (!is_large(walk, index))
			continue;
		bytes += large_size(walk, index);
		if (bytes > AHEAD_BYTES)
			break;
		ahead->at[ahead->count++] = index;
	}
}

/* The keys of the chosen entries, each in one piece; *@bytes is the caller's to free. */
static int chosen_keys(const struct ahead *ahead, const struct walk *walk,
                       struct bwt_slice keys[AHEAD_MAX], uint8_t **bytes)
{
	size_t size = 0;

	for (unsigned i = 0; i < ahead->count; i++)
		size += key_ref_size(&walk->copy.entries[ahead->at[i]].key);
	*bytes = malloc(size + 1);
	if (*bytes == NULL)
		return -ENOMEM;
	size = 0;
	for (unsigned i = 0; i < ahead->count; i++) {
		const struct key_ref *key = &walk->copy.entries[ahead->at[i]].key;

		keys[i] = (struct bwt_slice){*bytes + size, key_ref_copy(key, 0, *bytes + size)};
		size += keys[i].size;
	}
	return BWT_OK;
}

/* What values of many sizes have made of the buffers that are filled ahead, a cursor does not keep. */
static void drop_buffers(struct ahead *ahead)
{
	size_t bytes = 0;

	for (unsigned i = 1; i < AHEAD_MAX; i++)
		bytes += ahead->values[i].capacity;
	for (unsigned i = 1; i < AHEAD_MAX && bytes > 2 * AHEAD_BYTES; i++)
		bwt_buf_free(&ahead->values[i]);
}

static int read_chosen(struct ahead *ahead, const struct walk *walk, struct tree *tree,
                       struct epoch_slot *slot)
{
	struct reader reader = {.store = walk->store, .snapshot = walk->lsn};
	struct bwt_slice keys[AHEAD_MAX];
	uint8_t *bytes;
	int rc = chosen_keys(ahead, walk, keys, &bytes);

	drop_buffers(ahead);
	if (rc == BWT_OK) {
		memset(ahead->results, 0, sizeof ahead->results);
		rc = read_many(&reader, tree, slot, ahead->count, keys, ahead->values,
		               ahead->results);
		free(bytes);
	}
	if (rc < 0)
		ahead->count = 0;
	return rc;
}

/* The place of the entry's value among those that are there; ahead->count: it is not. */
static unsigned find(const struct ahead *ahead, const struct walk *walk)
{
	unsigned i = 0;

	if (ahead->load != walk->loads)
		return ahead->count;
	while (i < ahead->count && (ahead->at[i] != walk->index || ahead->results[i] < 0))
		i++;
	return i;
}

int ahead_value(struct ahead *ahead, const struct walk *walk, struct tree *tree,
                struct epoch_slot *slot, struct bwt_slice *value)
{
	unsigned place = find(ahead, walk);
	int rc = BWT_OK;

	if (place == ahead->count) {
		int step = direction(ahead, walk);

		ahead->window = step == 0 ? 1 : ahead->window * 2;
		if (ahead->window > AHEAD_MAX)
			ahead->window = AHEAD_MAX;
		choose(ahead, walk, step);
		rc = read_chosen(ahead, walk, tree, slot);
		if (rc == BWT_OK)
			rc = ahead->results[0];
		place = 0;
	}
	ahead->load = walk->loads;
	ahead->asked = walk->index;
	if (rc == BWT_OK)
		*value = buf_slice(&ahead->values[place]);
	return rc;
}

void ahead_free(struct ahead *ahead)
{
	for (unsigned i = 0; i < AHEAD_MAX; i++)
		bwt_buf_free(&ahead->values[i]);
}
