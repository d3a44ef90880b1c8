/* SPDX-License-Identifier: MIT */
/*
 * strategy.c - who goes on at a point
 *
 * Walk and PCT draw from the plan's seed; a bounded plan lists its preemptions. A bounded run notes what
 * else could have been chosen at each step, from which explore.c makes the next plans; steps at addresses
 * that only one fiber uses, or that all only read, are no places for a preemption: nothing
 * between two shared accesses can be told apart by the others.
 *
 * Source: S. Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs",
 *         ASPLOS 2010 (PCT); M. Musuvathi, S. Qadeer, "Iterative context bounding", PLDI 2007.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sched/sim_private.h"

#define STOP_FIRST_FROM 400u /* steps, at most, before the fiber of a stop plan goes first */
#define SEEN_SLOTS 8192u     /* addresses, a power of two */

struct seen { /* an address, and who used it how */
	uintptr_t address;
	uint8_t readers, writers; /* bits */
};

static struct seen seen[SEEN_SLOTS];
static struct sim_note notes[SIM_RECORD_MAX];
static struct seen *note_seen[SIM_RECORD_MAX];
static unsigned note_count;

void sim_forget(void)
{
	memset(seen, 0, sizeof seen);
}

static struct seen *seen_at(const volatile void *address)
{
	uintptr_t value = (uintptr_t)address;
	unsigned slot = (unsigned)((value >> 2) * 0x9e3779b1u >> 8) % SEEN_SLOTS;

	for (unsigned tries = 0; tries < SEEN_SLOTS; tries++, slot = (slot + 1) % SEEN_SLOTS) {
		if (seen[slot].address == 0)
			seen[slot].address = value;
		if (seen[slot].address == value)
			return &seen[slot];
	}
	abort();
}

/* What the step of a bounded run could have been. */
static void note_step(enum sim_reason reason, const volatile void *address, enum sim_access access)
{
	struct sim_note *note = &notes[note_count];

	if (sim.step != note_count) /* step 0 is the choice of the first fiber */
		return;
	if (note_count == SIM_RECORD_MAX)
		return;
	note->fiber = (uint8_t)sim.self;
	note->runnable = (uint8_t)sim.runnable;
	note->free = reason == SIM_AT_BLOCK;
	note->shared = reason != SIM_AT_POINT;
	note_seen[note_count] = NULL;
	if (address != NULL && reason == SIM_AT_POINT) {
		struct seen *entry = seen_at(address);

		if (access == SIM_LOAD)
			entry->readers |= (uint8_t)(1u << sim.self);
		else
			entry->writers |= (uint8_t)(1u << sim.self);
		note_seen[note_count] = entry;
	}
	note_count++;
}

static bool is_shared(const struct seen *entry)
{
	uint8_t users = entry->readers | entry->writers;

	return entry->writers != 0 && (users & (users - 1)) != 0;
}

const struct sim_note *strategy_notes(unsigned *count)
{
	for (unsigned i = 0; i < note_count; i++)
		notes[i].shared =
			notes[i].shared || (note_seen[i] != NULL && is_shared(note_seen[i]));
	*count = note_count;
	return notes;
}

/* ---- plans ---- */

static const char *const names[] = {"walk", "pct", "stop", "bounded"};

void sim_plan_print(const struct sim_plan *plan, char text[SIM_TEXT_MAX])
{
	int used =
		snprintf(text, SIM_TEXT_MAX, "%s%s", names[plan->strategy], plan->tso ? "-tso" : "");

	if (plan->strategy != SIM_BOUNDED)
		used += snprintf(text + used, SIM_TEXT_MAX - (size_t)used, ":%" PRIu64, plan->seed);
	if (plan->strategy == SIM_PCT)
		used += snprintf(text + used, SIM_TEXT_MAX - (size_t)used, ":%u", plan->length);
	for (unsigned i = 0; i < plan->choice_count; i++)
		used += snprintf(text + used, SIM_TEXT_MAX - (size_t)used, ":%u>%u",
		                 plan->choice[i].step, plan->choice[i].fiber);
}

bool sim_plan_parse(struct sim_plan *plan, const char *text)
{
	size_t length = strcspn(text, ":-");
	char *end;

	memset(plan, 0, sizeof *plan);
	while (plan->strategy <= SIM_BOUNDED && (strlen(names[plan->strategy]) != length ||
	                                         strncmp(names[plan->strategy], text, length) != 0))
		plan->strategy++;
	if (plan->strategy > SIM_BOUNDED)
		return false;
	text += length;
	if (strncmp(text, "-tso", 4) == 0) {
		plan->tso = true;
		text += 4;
	}
	if (plan->strategy != SIM_BOUNDED) {
		if (*text != ':')
			return false;
		plan->seed = strtoull(text + 1, &end, 10);
		text = end;
		if (plan->strategy == SIM_PCT && *text == ':') {
			plan->length = (uint32_t)strtoul(text + 1, &end, 10);
			text = end;
		}
		if (plan->strategy != SIM_STOP)
			return *text == '\0';
	}
	while (*text == ':' && plan->choice_count < SIM_CHOICES_MAX) {
		struct sim_choice *choice = &plan->choice[plan->choice_count++];

		if (sscanf(text, ":%u>%u", &choice->step, &choice->fiber) != 2)
			return false;
		text += 1 + strcspn(text + 1, ":");
	}
	return *text == '\0';
}

void strategy_begin(void)
{
	static const uint32_t rates[] = {128, 64, 25, 8};

	static const uint32_t drains[] = {0, 1, 15};

	sim.drain_percent = drains[rng_below(&sim.rng, 3)];
	sim.switch_below = rates[rng_below(&sim.rng, 4)];
	sim.stubborn = rng_chance(&sim.rng, 40);
	sim.changes = (unsigned)rng_below(&sim.rng, SIM_CHOICES_MAX + 1);
	sim.changed = 0;
	sim.lowest = 0;
	sim.chosen = 0;
	sim.first_from = UINT32_MAX;
	if (sim.plan.strategy == SIM_STOP)
		sim.first_from =
			sim.plan.seed % 2 == 0 ? 0 : sim_chance(1 + sim_chance(STOP_FIRST_FROM));
	note_count = 0;
	if (sim.plan.strategy != SIM_PCT)
		return;
	for (unsigned i = 0; i < sim.fibers; i++)
		sim.fiber[i].priority = (int64_t)(rng_u64(&sim.rng) >> 8) + 1;
	for (unsigned i = 0; i < sim.changes; i++) {
		uint32_t step = 1 + (uint32_t)rng_below(&sim.rng, sim.plan.length + 1);
		unsigned at = i;

		for (; at > 0 && sim.change[at - 1] > step; at--)
			sim.change[at] = sim.change[at - 1];
		sim.change[at] = step;
	}
}

/* ---- picking ---- */

static unsigned any_of(uint32_t runnable)
{
	unsigned skip = (unsigned)rng_below(&sim.rng, (uint64_t)__builtin_popcount(runnable));

	while (skip-- > 0)
		runnable &= runnable - 1;
	return (unsigned)__builtin_ctz(runnable);
}

static uint32_t others(void)
{
	uint32_t rest = sim.runnable & ~(1u << sim.self);

	return rest != 0 ? rest : sim.runnable;
}

static unsigned pick_walk(enum sim_reason reason)
{
	if (sim.step >= sim.first_from && (sim.runnable >> sim.plan.choice[0].fiber & 1) != 0)
		return sim.plan.choice[0].fiber;
	if (reason == SIM_AT_BLOCK)
		return any_of(sim.runnable);
	if (reason == SIM_AT_YIELD && (!sim.stubborn || sim.fair))
		return any_of(others());
	if (rng_below(&sim.rng, 256) >= (sim.fair ? 64 : sim.switch_below))
		return sim.self;
	return any_of(sim.runnable);
}

static unsigned pick_pct(enum sim_reason reason)
{
	unsigned best = (unsigned)__builtin_ctz(sim.runnable);

	if (sim.changed < sim.changes && sim.step >= sim.change[sim.changed]) {
		sim.changed++;
		sim.fiber[sim.self].priority = --sim.lowest;
	}
	if (reason == SIM_AT_YIELD && !sim.stubborn)
		sim.fiber[sim.self].priority = --sim.lowest;
	for (uint32_t rest = sim.runnable; rest != 0; rest &= rest - 1) {
		unsigned fiber = (unsigned)__builtin_ctz(rest);

		if (sim.fiber[fiber].priority > sim.fiber[best].priority)
			best = fiber;
	}
	return best;
}

static unsigned choose_bounded(enum sim_reason reason)
{
	if (sim.chosen < sim.plan.choice_count && sim.plan.choice[sim.chosen].step == sim.step) {
		unsigned fiber = sim.plan.choice[sim.chosen++].fiber;

		if (fiber < sim.fibers && (sim.runnable >> fiber & 1) != 0)
			return fiber;
	}
	if (reason == SIM_AT_POINT && (sim.runnable >> sim.self & 1) != 0)
		return sim.self;
	for (unsigned i = 1; i <= sim.fibers; i++)
		if ((sim.runnable >> (sim.self + i) % sim.fibers & 1) != 0)
			return (sim.self + i) % sim.fibers;
	abort();
}

static unsigned pick_bounded(enum sim_reason reason, const volatile void *address,
                             enum sim_access access)
{
	unsigned picked = choose_bounded(reason);

	note_step(reason, address, access);
	if (note_count == sim.step + 1)
		notes[sim.step].picked = (uint8_t)picked;
	return picked;
}

unsigned strategy_pick(enum sim_reason reason, const volatile void *address, enum sim_access access)
{
	if (sim.fair)
		return pick_walk(reason);
	switch (sim.plan.strategy) {
	case SIM_WALK:
	case SIM_STOP:
		return pick_walk(reason);
	case SIM_PCT:
		return pick_pct(reason);
	case SIM_BOUNDED:
		break;
	}
	return pick_bounded(reason, address, access);
}
