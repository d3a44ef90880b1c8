/* SPDX-License-Identifier: MIT */
/*
 * consolidate.c - a chain becomes a base page, without the versions that nobody can see
 *
 *   CLOCK     horizon = durable_lsn
 *   SLOT n    load slot n: a snapshot lowers the horizon; ACQUIRING keeps everything: horizon 0 (C8)
 *   HEAD      load the mapping word; a page without deltas ends the round
 *   WALK      load the word of each delta; PENDING: back off (HEAD), or abort it while the budget lasts
 *   INSTALL   CAS the mapping word from the examined head to the new base page; a failure drops it (C1)
 *
 * Kept of each key: all versions with lsn >= horizon, and the newest one below it. With op->between, as in
 * the library: those that some snapshot found in a slot sees, or that one at or above the clock may see.
 * Aborted ones go. Without pruning the horizon stays 0.
 *
 * As an operation of its own it makes op->rounds pages and ends early when there is nothing to do.
 * A put calls it in its own thread when the chain is full, from pc CONSOLIDATE_FIRST up.
 */
#include "model.h"

enum pc {
	PC_CLOCK = CONSOLIDATE_FIRST,
	PC_SLOT,
	PC_HEAD = PC_SLOT + MODEL_SLOT_MAX,
	PC_WALK,
	PC_ABORT,
	PC_INSTALL,
	PC_LATE_CLOCK, /* the clock, loaded after the slots */
};

static unsigned found(const struct thread *thread)
{
	return thread->mask_low | (unsigned)thread->mask_high << 8;
}

static void found_add(struct thread *thread, unsigned mask)
{
	thread->mask_low = (uint8_t)(thread->mask_low | (mask & 0xff));
	thread->mask_high = (uint8_t)(thread->mask_high | mask >> 8);
}

/* A round is over: the put goes on, the operation counts. */
static void round_end(struct context *context, bool installed)
{
	struct thread *thread = context->thread;

	if (context->op->kind == OP_PUT) {
		op_restart(context, 0);
	} else if (installed && budget_pushes(thread) + 1U < context->op->rounds) {
		thread->budget++;
		op_restart(context, 0);
	} else {
		op_end(context);
	}
}

/* Begin the round again, horizon and all. */
static void round_again(struct context *context)
{
	op_restart(context, context->op->kind == OP_PUT ? CONSOLIDATE_FIRST : 0);
}

static uint8_t clock_of(const struct context *context)
{
	return has_flaw(context, FLAW_PRUNE_NEWEST) || context->scenario->clock_is_tail
	               ? context->state->tail
	               : context->state->durable;
}

/* Past the last slot that the scenario has: go on. */
static void slots_end(struct context *context)
{
	struct thread *thread = context->thread;

	if (thread->pc == PC_SLOT + context->scenario->slot_count)
		thread->pc = has_flaw(context, FLAW_PRUNE_SLOTS_FIRST) ? PC_LATE_CLOCK : PC_HEAD;
}

static bool step_clock(struct context *context)
{
	struct thread *thread = context->thread;

	if (context->op->kind == OP_CONSOLIDATE && !context->op->prune) {
		thread->lsn = 0;
		thread->pc = PC_HEAD;
		say(context, "consolidate: begins");
		return true;
	}
	thread->lsn = has_flaw(context, FLAW_PRUNE_SLOTS_FIRST) ? MODEL_LSN_MAX : clock_of(context);
	thread->pc = PC_SLOT;
	slots_end(context);
	say(context, "consolidate: loads the clock, %u", thread->lsn);
	return true;
}

/* Slot @index holds @slot: what follows for the horizon. */
static void slot_look(struct context *context, unsigned index, uint8_t slot)
{
	struct thread *thread = context->thread;

	if (slot == SLOT_ACQUIRING && !has_flaw(context, FLAW_PRUNE_PAST_ACQUIRING)) {
		thread->lsn = 0;
	} else if (slot < SLOT_ACQUIRING && slot < thread->lsn) {
		if (context->op->between)
			thread->live[index] = slot;
		else
			thread->lsn = slot;
	}
}

static bool step_slot(struct context *context)
{
	struct thread *thread = context->thread;
	const unsigned index = thread->pc - (unsigned)PC_SLOT;

	say(context, "consolidate: loads slot %u", index);
	slot_look(context, index, context->state->slot[index]);
	thread->pc++;
	slots_end(context);
	return true;
}

static bool step_late_clock(struct context *context)
{
	struct thread *thread = context->thread;

	say(context, "consolidate: loads the clock, %u", clock_of(context));
	if (clock_of(context) < thread->lsn)
		thread->lsn = clock_of(context);
	thread->pc = PC_HEAD;
	return true;
}

static unsigned committed_bit(const struct node *delta)
{
	return word_state(delta->word) == WORD_COMMITTED ? 1U << word_lsn(delta->word) : 0;
}

/* Take up what is at @node: a base page ends the walk. */
static void walk_go(struct context *context, unsigned node)
{
	struct thread *thread = context->thread;

	for (; word_is_settled(context, node); node = node_get(context->state, node)->link)
		found_add(thread, committed_bit(node_get(context->state, node)));
	thread->at = (uint8_t)node;
	thread->pc = PC_WALK;
	if (node_is_base(context->state, node)) {
		found_add(thread, base_mask(context->state, node));
		thread->at = 0;
		thread->pc = PC_INSTALL;
	}
}

static bool step_head(struct context *context)
{
	struct thread *thread = context->thread;

	thread->head = context->state->mapping;
	say(context, "consolidate: loads the mapping word -> n%u", thread->head);
	if (node_is_base(context->state, thread->head))
		round_end(context, false);
	else
		walk_go(context, thread->head);
	return true;
}

static bool step_walk(struct context *context)
{
	struct thread *thread = context->thread;
	const struct node *delta = node_get(context->state, thread->at);
	const unsigned link = delta->link;

	if (word_state(delta->word) == WORD_PENDING && !has_flaw(context, FLAW_COPY_PENDING) &&
	    !has_flaw(context, FLAW_DROP_PENDING)) {
		if (context->choice > 1 || (context->choice == 1 && budget_aborts(thread) == 0))
			return false;
		say(context, "consolidate: n%u is pending, %s", thread->at,
		    context->choice == 0 ? "backs off" : "will abort it");
		if (context->choice == 0) {
			round_again(context);
		} else {
			thread->word = delta->word;
			thread->pc = PC_ABORT;
		}
		return true;
	}
	if (context->choice > 0)
		return false;
	say(context, "consolidate: loads the word of n%u", thread->at);
	found_add(thread, committed_bit(delta));
	if (word_state(delta->word) == WORD_PENDING && has_flaw(context, FLAW_COPY_PENDING)) {
		thread->own = thread->at;
		thread->word = delta->word;
	}
	walk_go(context, link);
	return true;
}

static bool step_abort(struct context *context)
{
	struct thread *thread = context->thread;
	const bool done = word_swap(context, thread->at, thread->word, word_make(WORD_ABORTED, 0));

	say(context, "consolidate: CAS of n%u to aborted %s", thread->at,
	    done ? "succeeds" : "fails");
	if (done)
		thread->budget = (uint8_t)(thread->budget - 0x10);
	thread->word = 0;
	thread->pc = PC_WALK; /* its word is final now, or is read afresh */
	return true;
}

/* Does a snapshot S with @older < S <= @newer exist, or may one come? As seen_between() of the library. */
static bool seen_between(const struct context *context, unsigned older, unsigned newer)
{
	const struct thread *thread = context->thread;

	if (newer >= thread->lsn)
		return true;
	for (unsigned i = 0; i < MODEL_SLOT_MAX; i++) {
		const unsigned snapshot = thread->live[i];

		if (snapshot != 0 && older < snapshot && snapshot <= newer &&
		    !(has_flaw(context, FLAW_PRUNE_BETWEEN_ANY) && i > 0))
			return true;
	}
	return false;
}

static unsigned prune_between(const struct context *context, unsigned mask)
{
	unsigned kept = mask == 0 ? 0 : 1U << mask_top(mask);
	unsigned newer = mask_top(mask);

	for (unsigned left = mask & ~kept; left != 0; left &= ~(1U << mask_top(left))) {
		const unsigned lsn = mask_top(left);

		if (seen_between(context, lsn, newer))
			kept |= 1U << lsn;
		newer = lsn;
	}
	return kept;
}

/* Of the versions in @mask, those of one key that stay. */
static unsigned prune(const struct context *context, unsigned mask)
{
	const unsigned horizon = context->thread->lsn;
	const unsigned below = (1U << horizon) - 1;
	unsigned seen = mask & below;

	if (horizon == 0)
		return mask;
	if (context->op->between)
		return prune_between(context, mask);
	if (has_flaw(context, FLAW_PRUNE_KEEPS_NEWER))
		return mask & ~below;
	if (has_flaw(context, FLAW_PRUNE_OFF_BY_ONE))
		seen = mask & (below << 1 | 1U);
	return (mask & ~below) | (seen == 0 ? 0 : 1U << mask_top(seen));
}

static struct node new_base(const struct context *context)
{
	unsigned mask = 0;

	for (unsigned key = 0; key < MODEL_KEY_MAX; key++)
		mask |= prune(context, found(context->thread) &
		                               key_mask(context->scenario, context->state, key));
	return (struct node){.link = NODE_BASE, .value = (uint8_t)mask, .word = (uint8_t)(mask >> 8)};
}

static bool step_install(struct context *context)
{
	struct thread *thread = context->thread;
	struct state *state = context->state;
	const bool swapped =
		state->mapping == thread->head || has_flaw(context, FLAW_INSTALL_NEWER_HEAD);
	uint8_t installed;

	if (state->closed != 0)
		return false; /* entering, installing and leaving the gate is one step here */
	if (swapped) {
		installed = node_new(context, new_base(context));
		if (thread->own != 0) {
			const struct node copy = {.link = installed,
			                          .value = node_get(state, thread->own)->value,
			                          .word = thread->word};

			installed = node_new(context, copy);
		}
		say(context, "consolidate: CAS of the mapping word n%u -> n%u succeeds, horizon %u",
		    thread->head, installed, thread->lsn);
		state->mapping = installed;
		round_end(context, true);
	} else {
		say(context, "consolidate: CAS of the mapping word fails");
		round_again(context);
	}
	return true;
}

bool consolidate_step(struct context *context)
{
	struct thread *thread = context->thread;

	if (thread->pc == 0)
		thread->pc = PC_CLOCK;
	if (thread->pc == PC_WALK)
		return step_walk(context);
	if (context->choice > 0)
		return false;
	if (thread->pc >= PC_SLOT && thread->pc < PC_HEAD)
		return step_slot(context);
	switch ((enum pc)thread->pc) {
	case PC_CLOCK:
		return step_clock(context);
	case PC_HEAD:
		return step_head(context);
	case PC_ABORT:
		return step_abort(context);
	case PC_INSTALL:
		return step_install(context);
	case PC_LATE_CLOCK:
		return step_late_clock(context);
	default:
		return false;
	}
}
