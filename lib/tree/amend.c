/* SPDX-License-Identifier: MIT */
/*
 * amend.c - plan the short way of a consolidation (rules in the header)
 */
#include "tree/amend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tree/consolidate.h"

#define RUN_MIN 4u                       /* keys in order that are no chance */
#define STEPS_MAX (DELTA_CHAIN_MAX + 2u) /* one a delta, what follows, and one more by a cut */

enum order {
	ORDER_NONE,
	ORDER_UP,
	ORDER_DOWN
};

struct amend { /* in scratch memory */
	const struct base_page *base;
	struct page_entry deltas[DELTA_CHAIN_MAX]; /* by key, newest first; in front, what is put, by key */
	struct splice_step steps[STEPS_MAX];
	struct value_ref dropped[2 * DELTA_CHAIN_MAX];
	unsigned put_count, step_count, dropped_count;
	unsigned gap; /* entry of the base page before which the first put goes */
	bool one_gap; /* all go there, and replace nothing */
	size_t bytes; /* of all entries, as a cut counts them */
	unsigned entry_count;
	struct page_entry entries[]; /* of pieces that are built from entries (SL2): room for all */
};

static size_t put_bytes(const struct page_entry *put)
{
	return key_ref_size(&put->key) + put->value_size + LEAF_ENTRY_OVERHEAD;
}

static size_t run_bytes(const struct amend *amend, unsigned from, unsigned to)
{
	return splice_run_bytes(amend->base, from, to) + (size_t)(to - from) * LEAF_ENTRY_OVERHEAD;
}

/* ---- what changes ---- */

static void drop_value(struct amend *amend, const struct page_entry *entry)
{
	if ((entry->flags & VERSION_VLOG) != 0)
		memcpy(&amend->dropped[amend->dropped_count++], entry->value, sizeof *amend->dropped);
}

static void add_step(struct amend *amend, unsigned from, unsigned to, const struct page_entry *put)
{
	if (from == to && put == NULL)
		return;
	amend->steps[amend->step_count++] = (struct splice_step){from, to, put};
	amend->bytes += from < to ? run_bytes(amend, from, to) : 0;
	amend->bytes += put != NULL ? put_bytes(put) : 0;
}

/* @delta is the newest version of its key; the next entry of the base page that is not planned for yet. */
static unsigned change(struct amend *amend, const struct page_entry *delta, unsigned from)
{
	struct bwt_slice key = {delta->key.suffix,
	                        delta->key.suffix_size}; /* of a delta: in one piece */
	/* Keys ascend: behind the last entry, all that follow are. */
	unsigned at = from == amend->base->count ? from : leaf_lower_bound(amend->base, key);
	struct page_entry there;
	bool replaces = false;

	if (at < amend->base->count) {
		leaf_entry(amend->base, at, &there);
		replaces = key_ref_compare_slice(&there.key, key) == 0;
	}
	if (replaces)
		drop_value(amend, &there);
	if (amend->put_count == 0)
		amend->gap = at;
	if ((delta->flags & VERSION_TOMBSTONE) != 0) {
		amend->one_gap = false;
		add_step(amend, from, at, NULL);
	} else {
		struct page_entry *put = &amend->deltas[amend->put_count++];

		*put = *delta; /* of the same array, where it lies no further on */
		put->flags &= VERSION_VLOG;
		put->word = NULL;
		amend->one_gap = amend->one_gap && !replaces && at == amend->gap;
		add_step(amend, from, at, put);
	}
	return at + replaces;
}

/* false: a version is undecided, or some snapshot may tell it from an older one (AM1). */
static bool change_all(struct amend *amend, unsigned count, uint64_t oldest)
{
	bool decided = false;
	unsigned from = 0;

	for (unsigned i = 0; i < count; i++) {
		struct page_entry delta = amend->deltas[i];
		uint64_t word = atomic_load_explicit(delta.word, memory_order_acquire);

		decided = decided && (delta.flags & VERSION_OLDER) != 0;
		if (word_state(word) == WORD_ABORTED)
			continue;
		if (word_state(word) != WORD_COMMITTED)
			return false;
		if (word_lsn(word) >= oldest && !TEST_FAULT("amend_for_all"))
			return false;
		if (decided)
			drop_value(amend, &delta);
		else
			from = change(amend, &delta, from);
		decided = true;
	}
	add_step(amend, from, amend->base->count, NULL);
	return true;
}

static bool is_key_of(const uint8_t *arena, arena_off head, unsigned index,
                      const struct page_entry *entry)
{
	return key_ref_compare_slice(&entry->key,
	                             leaf_delta_key(chain_version(arena, head, index))) == 0;
}

static enum order order_of(const struct amend *amend, const struct place *place, const uint8_t *arena)
{
	const struct page_entry *first = amend->deltas, *last = first + amend->put_count - 1;
	unsigned oldest = mapping_chain(place->word) - 1;

	if (!amend->one_gap || amend->put_count < RUN_MIN)
		return ORDER_NONE;
	if (is_key_of(arena, place_head(place), 0, last) &&
	    is_key_of(arena, place_head(place), oldest, first))
		return ORDER_UP;
	if (is_key_of(arena, place_head(place), 0, first) &&
	    is_key_of(arena, place_head(place), oldest, last))
		return ORDER_DOWN;
	return ORDER_NONE;
}

/* ---- where to cut ---- */

struct cut { /* an entry of the content: of the base page, or what a step puts */
	unsigned step;
	unsigned entry; /* steps[step].to: what it puts */
	size_t left;    /* bytes before it */
};

/* Go on to the next entry; false: there is none. */
static bool cut_next(const struct amend *amend, struct cut *cut)
{
	const struct splice_step *step = &amend->steps[cut->step];

	cut->left += cut->entry < step->to ? run_bytes(amend, cut->entry, cut->entry + 1)
	                                   : put_bytes(step->put);
	if (cut->entry++ < step->to && (cut->entry < step->to || step->put != NULL))
		return true;
	if (++cut->step == amend->step_count)
		return false;
	cut->entry = amend->steps[cut->step].from;
	return true;
}

static size_t bytes_here(const struct amend *amend, const struct cut *cut)
{
	const struct splice_step *step = &amend->steps[cut->step];

	return cut->entry < step->to ? run_bytes(amend, cut->entry, cut->entry + 1)
	                             : put_bytes(step->put);
}

/* Bytes of what is put, all of it in one gap. */
static size_t puts_bytes(const struct amend *amend)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < amend->put_count; i++)
		bytes += put_bytes(&amend->deltas[i]);
	return bytes;
}

/* The first entry of the right page; false: there is only one entry. */
static bool cut_find(const struct amend *amend, enum order order, size_t page_bytes, struct cut *cut)
{
	size_t before = order == ORDER_NONE ? 0 : run_bytes(amend, 0, amend->gap);
	size_t up = before + (order == ORDER_UP ? puts_bytes(amend) : 0);
	size_t down = amend->bytes - page_bytes > before ? amend->bytes - page_bytes : before;

	*cut = (struct cut){0, amend->steps[0].from, 0};
	up = up < page_bytes ? up : page_bytes;
	while (cut_next(amend, cut)) {
		size_t more = bytes_here(amend, cut);
		bool full;

		if (order == ORDER_UP)
			full = cut->left + more > up;
		else if (order == ORDER_DOWN)
			full = cut->left >= down;
		else
			full = cut->left + more / 2 > amend->bytes / 2;
		/* The last entry is the right page's, whatever it weighs. */
		if (full || cut->left + more == amend->bytes)
			return true;
	}
	return false;
}

/* ---- pieces ---- */

/* The entries of @splice one by one. */
static void list_entries(struct amend *amend, const struct splice *splice)
{
	for (unsigned i = 0; i < splice->count; i++) {
		const struct splice_step *step = &splice->steps[i];

		for (unsigned e = step->from; e < step->to; e++)
			leaf_entry(amend->base, e, &amend->entries[amend->entry_count++]);
		if (step->put != NULL)
			amend->entries[amend->entry_count++] = *step->put;
	}
}

/* Steps [@first, @first + @count) are the next piece. */
static void add_piece(struct rebuild *rebuild, struct amend *amend, unsigned first, unsigned count,
                      struct bwt_slice low)
{
	struct rebuild_piece *piece = &rebuild->piece[rebuild->piece_count++];
	struct splice splice = {amend->base, amend->steps + first, count};

	*piece = (struct rebuild_piece){.first = amend->entry_count, .low = low};
	if (splice_fits(&splice)) {
		piece->splice = splice;
	} else {
		list_entries(amend, &splice);
		piece->count = amend->entry_count - piece->first;
	}
}

static void key_before(const struct amend *amend, const struct cut *cut, struct key_ref *key)
{
	const struct splice_step *step = &amend->steps[cut->step];
	struct page_entry entry;

	if (cut->entry == step->from) {
		step--;
		if (step->put != NULL) {
			*key = step->put->key;
			return;
		}
		leaf_entry(amend->base, step->to - 1, &entry);
	} else {
		leaf_entry(amend->base, cut->entry - 1, &entry);
	}
	*key = entry.key;
}

static void key_behind(const struct amend *amend, const struct cut *cut, struct key_ref *key)
{
	const struct splice_step *step = &amend->steps[cut->step];
	struct page_entry entry;

	if (cut->entry == step->to) {
		*key = step->put->key;
		return;
	}
	leaf_entry(amend->base, cut->entry, &entry);
	*key = entry.key;
}

/* Two pieces; the step that is cut becomes two. */
static int split(struct rebuild *rebuild, struct amend *amend, enum order order, size_t page_bytes,
                 uint8_t **fence)
{
	struct splice_step *step;
	struct key_ref left, right;
	struct bwt_slice low;
	unsigned first;
	struct cut cut;

	if (!cut_find(amend, order, page_bytes, &cut))
		return BWT_NOT_FOUND;
	key_before(amend, &cut, &left);
	key_behind(amend, &cut, &right);
	*fence = malloc(key_ref_size(&right));
	if (*fence == NULL)
		return -ENOMEM;
	low = (struct bwt_slice){*fence, separator_between(&left, &right, *fence)};
	first = cut.step;
	step = &amend->steps[first];
	if (cut.entry > step->from) {
		memmove(step + 1, step, (amend->step_count++ - first) * sizeof *step);
		step[0].to = cut.entry;
		step[0].put = NULL;
		step[1].from = cut.entry;
		first++;
	}
	add_piece(rebuild, amend, 0, first, rebuild->bounds.low);
	add_piece(rebuild, amend, first, amend->step_count - first, low);
	return BWT_OK;
}

static int lay_out(struct rebuild *rebuild, struct amend *amend, uint8_t **fence)
{
	const struct place *place = rebuild->place;
	const uint8_t *arena = rebuild->tree->env->arena->base;
	size_t page_bytes = rebuild->tree->env->limits.leaf_bytes;
	int rc = BWT_NOT_FOUND;

	rebuild->piece_count = 0;
	if (amend->bytes <= page_bytes) {
		add_piece(rebuild, amend, 0, amend->step_count, rebuild->bounds.low);
		rc = BWT_OK;
	} else if (amend->bytes <= 2 * page_bytes) {
		rc = split(rebuild, amend, order_of(amend, place, arena), page_bytes, fence);
	}
	rebuild->entries = amend->entries;
	rebuild->dropped = amend->dropped;
	rebuild->dropped_count = amend->dropped_count;
	return rc;
}

int amend_plan(struct rebuild *rebuild, struct epoch_slot *slot, uint8_t **fence)
{
	const struct place *place = rebuild->place;
	struct tree_env *env = rebuild->tree->env;
	struct horizon horizon;
	struct amend *amend;
	unsigned count;
	int rc;

	*fence = NULL;
	if (!splice_takes(place->base) || TEST_FAULT("prune_nothing"))
		return BWT_NOT_FOUND;
	amend = slot_scratch(
		slot, sizeof *amend + chain_version_count(env->arena->base, place_head(place)) *
					      sizeof *amend->entries);
	if (amend == NULL)
		return -ENOMEM;
	amend->base = place->base;
	amend->put_count = amend->step_count = amend->dropped_count = amend->entry_count = 0;
	amend->one_gap = true;
	amend->bytes = 0;
	count = chain_deltas(env->arena->base, place_head(place), (struct bwt_slice){"", 0},
	                     amend->deltas);
	env->horizon(env->ctx, &horizon);
	if (!change_all(amend, count, horizon.count > 0 ? horizon.lsn[0] : horizon.future) ||
	    amend->step_count == 0)
		return BWT_NOT_FOUND;
	rc = lay_out(rebuild, amend, fence);
	if (rc != BWT_OK) { /* the general way begins afresh */
		free(*fence);
		*fence = NULL;
		rebuild->dropped_count = 0;
	}
	return rc;
}
