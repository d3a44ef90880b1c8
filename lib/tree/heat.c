/* SPDX-License-Identifier: MIT */
/*
 * heat.c - is a page that is being read still written?
 *
 * The deltas tell when they came, by the clock: a page is quiet when nothing came for a few times the usual
 * distance between two of them, or when the whole store stood still between two samples of this thread.
 * A page that is written as often as before is left to its writers, who will consolidate it anyway.
 */
#include "tree/heat.h"

#include "base/sweep.h"

#define QUIET_TIMES SWEEP("quiet_times", 4u) /* the usual distance */

static bool is_quiet(const struct tree *tree, const struct place *place, uint64_t now)
{
	uint64_t newest = tree_block(tree->env, place_head(place))->lsn, base = place->base->head.lsn;
	uint64_t usual = newest > base ? (newest - base) / mapping_chain(place->word) : 0;

	return now > newest && now - newest >= QUIET_TIMES * usual;
}

void heat_sampled(const struct tree *tree, struct epoch_slot *slot, const struct place *place)
{
	uint64_t now = tree->env->clock(tree->env->ctx), before = slot->heat_lsn;
	const struct work work = {WORK_CONSOLIDATE, tree->id, place->page};

	slot->heat_lsn = now;
	if (now == before || is_quiet(tree, place, now))
		work_push(tree->env->work, &work);
}
