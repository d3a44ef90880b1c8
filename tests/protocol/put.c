/* SPDX-License-Identifier: MIT */
/*
 * put.c - a put: prepend PENDING, reserve, publish, fill (lib/DESIGN.md section 1, steps 1 to 5)
 *
 *   HEAD      load the mapping word; at the hard chain length consolidate first (C1)
 *   EXAMINE   load the word of the key's newest delta, then of older ones past aborted versions;
 *             PENDING: back off (HEAD), or go and abort it (ABORT) while the budget lasts
 *   PREPEND   CAS the mapping word from the examined head to a delta that says PENDING(0)
 *   RESERVE   lsn = fetch_add(&log_tail, 1)
 *   PUBLISH   CAS the delta's word from the word last seen to COMMITTED(lsn). It fails for
 *             a floor <= lsn: the same again; a floor above it: PAD, RESERVE; too many floors: PAD, QUIT;
 *             ABORTED: PAD, HEAD with a new delta
 *   FILL      mark the record filled
 *   LEAVE     with a gate: leave it
 *   WAIT      sync: until durable_lsn > lsn
 *
 * With a gate, HEAD is preceded by ENTER (say that we are inside), CHECK (is it closed? then out again)
 * and PARK (until it is open). Backing off, aborting another and starting over leave the gate, in the
 * same step as what comes before; a prepend that loses its CAS stays inside.
 *
 * A conditional put stands for insert, update, delete and cas: what it found in EXAMINE must be what is
 * newest when it commits, or an update is lost (C1 and the check while walking take care of it).
 */
#include "model.h"

enum pc {
	PC_HEAD,
	PC_EXAMINE,
	PC_ABORT,
	PC_PREPEND,
	PC_RESERVE,
	PC_PUBLISH,
	PC_PAD_AGAIN,   /* pushed: pad, then RESERVE */
	PC_PAD_RESTART, /* aborted: pad, then HEAD */
	PC_PAD_QUIT,    /* pushed too often: pad, then QUIT */
	PC_QUIT,        /* abort the own delta, then HEAD */
	PC_FILL,
	PC_LEAVE,
	PC_WAIT,
	PC_REUSE,
	PC_CHECK,
	PC_PARK,
	PC_INSIDE, /* HEAD, with the gate passed */
};

#define RULE_LOST_UPDATE "lost update: a conditional put is not on top of what it was based on"
#define RULE_ACK "I3: a put was acknowledged as durable before it was"

/* Examining has ended: what comes next. */
static uint8_t examined(const struct context *context)
{
	const bool reserve_first =
		has_flaw(context, FLAW_RESERVE_FIRST) || has_flaw(context, FLAW_PUBLISH_FIRST);

	return reserve_first && context->thread->lsn == 0 ? PC_RESERVE : PC_PREPEND;
}

/* Examine the key's deltas at and below @node, as far as their words are settled. */
static void examine_from(struct context *context, unsigned node)
{
	const struct state *state = context->state;
	struct thread *thread = context->thread;

	node = chain_find(context->scenario, state, node, context->op->key);
	while (word_is_settled(context, node) &&
	       word_state(node_get(state, node)->word) == WORD_ABORTED)
		node = chain_find(context->scenario, state, node_get(state, node)->link,
		                  context->op->key);
	thread->at = (uint8_t)node;
	thread->pc = node_is_base(state, node) || word_is_settled(context, node) ? examined(context)
	                                                                         : PC_EXAMINE;
}

/* The version that the put is based on: what the walk ended at. */
static unsigned based_on(const struct context *context, unsigned node)
{
	const struct state *state = context->state;

	if (!node_is_base(state, node))
		return word_lsn(node_get(state, node)->word);
	return mask_top(base_mask(state, node) & key_mask(context->scenario, state, context->op->key));
}

/* Start over, outside the gate. */
static void start_over(struct context *context)
{
	leave_gate(context);
	op_restart(context, PC_HEAD);
}

static bool step_enter(struct context *context)
{
	struct thread *thread = context->thread;

	if (has_flaw(context, FLAW_GATE_FLAG_LATE) && thread->pc == PC_HEAD) {
		say(context, "put: the gate is %s", context->state->closed != 0 ? "closed" : "open");
		thread->pc = context->state->closed != 0 ? PC_PARK : PC_CHECK;
		return true;
	}
	say(context, "put: says that it is inside the gate");
	context->state->inside |= (uint8_t)(1U << context->index);
	thread->pc = has_flaw(context, FLAW_GATE_FLAG_LATE) ? PC_INSIDE : PC_CHECK;
	return true;
}

static bool step_check(struct context *context)
{
	if (has_flaw(context, FLAW_GATE_FLAG_LATE))
		return step_enter(context);
	say(context, "put: the gate is %s", context->state->closed != 0 ? "closed" : "open");
	context->thread->pc = PC_INSIDE;
	if (context->state->closed != 0) {
		leave_gate(context);
		context->thread->pc = PC_PARK;
	}
	return true;
}

static bool step_park(struct context *context)
{
	if (context->state->closed != 0)
		return false;
	say(context, "put: sees the gate open");
	context->thread->pc = PC_HEAD;
	return true;
}

static bool step_leave(struct context *context)
{
	say(context, "put: leaves the gate");
	leave_gate(context);
	context->thread->pc = has_flaw(context, FLAW_GATE_LEFT_EARLY) ? PC_PUBLISH : PC_WAIT;
	return true;
}

static bool step_head(struct context *context)
{
	struct thread *thread = context->thread;
	const unsigned chain_max = context->scenario->chain_max;

	if (chain_max != 0 && chain_length(context->state, context->state->mapping) >= chain_max) {
		say(context, "put: loads the mapping word; the chain is full: consolidate first");
		op_restart(context, CONSOLIDATE_FIRST);
		return true;
	}
	thread->head = context->state->mapping;
	examine_from(context, thread->head);
	say(context, "put: loads the mapping word -> n%u", thread->head);
	return true;
}

static bool step_examine(struct context *context)
{
	struct thread *thread = context->thread;
	const struct node *delta = node_get(context->state, thread->at);
	const uint8_t word = delta->word;
	const uint8_t keep_lsn = thread->lsn;

	say(context, "put: loads the word of n%u -> %s(%u)", thread->at,
	    word_state(word) == WORD_PENDING     ? "pending"
	    : word_state(word) == WORD_COMMITTED ? "committed"
	                                         : "aborted",
	    word_lsn(word));
	switch (word_state(word)) {
	case WORD_ABORTED:
		if (context->choice > 0)
			return false;
		examine_from(context, delta->link);
		return true;
	case WORD_COMMITTED:
		if (context->choice > 0)
			return false;
		thread->pc = examined(context);
		return true;
	case WORD_PENDING:
		break;
	}
	if (has_flaw(context, FLAW_PREPEND_OVER_PENDING)) {
		examine_from(context, delta->link);
		return context->choice == 0;
	}
	if (context->choice == 0) {
		start_over(context);
		thread->lsn = keep_lsn;
		return true;
	}
	if (context->choice > 1 || budget_aborts(thread) == 0)
		return false;
	leave_gate(context);
	thread->word = word;
	thread->pc = PC_ABORT;
	return true;
}

static bool step_abort(struct context *context)
{
	struct thread *thread = context->thread;
	const uint8_t aborted = word_make(WORD_ABORTED, 0);
	bool done;

	if (has_flaw(context, FLAW_ABORT_STORE)) {
		node_at(context->state, thread->at)->word = aborted;
		done = true;
	} else {
		done = word_swap(context, thread->at, thread->word, aborted);
	}
	say(context, "put: CAS of n%u to aborted %s", thread->at, done ? "succeeds" : "fails");
	if (done)
		thread->budget = (uint8_t)(thread->budget - 0x10);
	op_restart(context, PC_HEAD);
	return true;
}

static bool step_prepend(struct context *context)
{
	struct thread *thread = context->thread;
	struct state *state = context->state;
	const unsigned value = value_of(context->index, thread->op);
	const unsigned base = context->op->conditional ? based_on(context, thread->at) : 0;
	struct node delta = {.value = (uint8_t)value, .word = word_make(WORD_PENDING, 0)};

	if (has_flaw(context, FLAW_STALE_PREPEND))
		thread->head = state->mapping;
	if (state->mapping != thread->head) {
		const uint8_t lsn = thread->lsn;

		say(context, "put: CAS of the mapping word fails");
		op_restart(context, is_inside(context) ? PC_INSIDE : PC_HEAD);
		thread->lsn = lsn;
		return true;
	}
	delta.link = thread->head;
	if (has_flaw(context, FLAW_PUBLISH_FIRST)) {
		delta.word = word_make(WORD_COMMITTED, thread->lsn);
		note_committed(context, thread->lsn, value);
		thread->pc = PC_FILL;
	} else {
		thread->pc = thread->lsn != 0 ? PC_PUBLISH : PC_RESERVE;
	}
	thread->own = node_new(context, delta);
	say(context, "put: CAS of the mapping word n%u -> n%u, put %u, succeeds", thread->head,
	    thread->own, value);
	state->mapping = thread->own;
	thread->word = delta.word;
	thread->mask_low = (uint8_t)base;
	thread->head = thread->at = 0;
	return true;
}

static bool step_reserve(struct context *context)
{
	struct thread *thread = context->thread;

	thread->lsn = log_reserve(context);
	say(context, "put: reserves LSN %u", thread->lsn);
	if (thread->own == 0)
		thread->pc = PC_PREPEND;
	else
		thread->pc = has_flaw(context, FLAW_FILL_FIRST) ? PC_FILL : PC_PUBLISH;
	if (has_flaw(context, FLAW_GATE_LEFT_EARLY) && is_inside(context))
		thread->pc = PC_LEAVE;
	return true;
}

static void published(struct context *context)
{
	struct thread *thread = context->thread;
	const unsigned value = value_of(context->index, thread->op);
	const unsigned key = context->op->key;

	if (context->op->conditional)
		rule(context,
		     newest_below(context->scenario, context->state, key, MODEL_LSN_MAX) ==
		             thread->mask_low,
		     RULE_LOST_UPDATE);
	note_committed(context, thread->lsn, value);
	thread->own = 0;
	thread->word = 0;
	thread->mask_low = 0;
	thread->pc = PC_FILL;
	if (has_flaw(context, FLAW_FILL_FIRST))
		thread->pc = PC_WAIT;
}

/* The publishing CAS found @word. */
static void publish_failed(struct context *context, uint8_t word)
{
	struct thread *thread = context->thread;

	if (word_state(word) == WORD_ABORTED) {
		thread->pc = PC_PAD_RESTART;
		if (has_flaw(context, FLAW_REUSE_DELTA))
			thread->pc = PC_REUSE;
		else if (has_flaw(context, FLAW_NO_PAD_ON_ABORT) ||
		         has_flaw(context, FLAW_FILL_FIRST))
			start_over(context);
		return;
	}
	thread->word = word;
	if (word_lsn(word) <= thread->lsn || has_flaw(context, FLAW_FLOOR_IGNORED))
		return;
	thread->budget++;
	thread->pc = PC_PAD_AGAIN;
	if (budget_pushes(thread) > context->scenario->push_max)
		thread->pc = PC_PAD_QUIT;
	else if (has_flaw(context, FLAW_NO_PAD_ON_PUSH) || has_flaw(context, FLAW_FILL_FIRST))
		thread->pc = PC_RESERVE;
}

static bool step_publish(struct context *context)
{
	struct thread *thread = context->thread;
	struct node *delta = node_at(context->state, thread->own);
	const uint8_t next = word_make(WORD_COMMITTED, thread->lsn);

	if (has_flaw(context, FLAW_PUBLISH_STORE))
		thread->word = delta->word;
	if (word_swap(context, thread->own, thread->word, next)) {
		say(context, "put: CAS of n%u to committed(%u) succeeds", thread->own, thread->lsn);
		published(context);
	} else {
		say(context, "put: CAS of n%u to committed(%u) fails: it is %s(%u)", thread->own,
		    thread->lsn, word_state(delta->word) == WORD_PENDING ? "pending" : "aborted",
		    word_lsn(delta->word));
		publish_failed(context, delta->word);
	}
	return true;
}

/* The mistake of making an aborted delta, wherever it is by now, pending again. */
static bool step_reuse(struct context *context)
{
	struct thread *thread = context->thread;

	say(context, "put: makes n%u pending again and fills LSN %u with a pad", thread->own,
	    thread->lsn);
	log_fill(context, thread->lsn, RECORD_PAD);
	thread->word = word_make(WORD_PENDING, 0);
	node_at(context->state, thread->own)->word = thread->word;
	thread->pc = PC_RESERVE;
	return true;
}

static bool step_pad(struct context *context)
{
	struct thread *thread = context->thread;

	say(context, "put: fills LSN %u with a pad", thread->lsn);
	log_fill(context, thread->lsn, RECORD_PAD);
	thread->lsn = 0;
	if (thread->pc == PC_PAD_AGAIN) {
		thread->pc = PC_RESERVE;
	} else if (thread->pc == PC_PAD_QUIT) {
		thread->pc = PC_QUIT;
	} else {
		start_over(context);
		thread->budget &= 0xf0;
	}
	return true;
}

static bool step_quit(struct context *context)
{
	struct thread *thread = context->thread;
	const uint8_t word = node_get(context->state, thread->own)->word;

	if (word_swap(context, thread->own, thread->word, word_make(WORD_ABORTED, 0)) ||
	    word_state(word) == WORD_ABORTED) {
		say(context, "put: aborts its own n%u, pushed too often", thread->own);
		start_over(context);
		thread->budget &= 0xf0;
	} else {
		say(context, "put: CAS of n%u to aborted fails", thread->own);
		thread->word = word;
	}
	return true;
}

static void returns(struct context *context)
{
	context->thread->seen[context->op->key] = context->thread->lsn;
	op_end(context);
}

static bool step_fill(struct context *context)
{
	struct thread *thread = context->thread;

	log_fill(context, thread->lsn, value_of(context->index, thread->op));
	say(context, "put: fills LSN %u with put %u", thread->lsn,
	    value_of(context->index, thread->op));
	if (has_flaw(context, FLAW_FILL_FIRST))
		thread->pc = PC_PUBLISH;
	else
		thread->pc = is_inside(context) ? PC_LEAVE : PC_WAIT;
	if (thread->pc == PC_WAIT && !context->op->sync)
		returns(context);
	return true;
}

static bool step_wait(struct context *context)
{
	struct thread *thread = context->thread;

	if (context->op->sync && context->state->durable <= thread->lsn &&
	    !has_flaw(context, FLAW_ACK_EARLY))
		return false;
	say(context, "put: returns, durable_lsn is %u", context->state->durable);
	rule(context, !context->op->sync || context->state->durable > thread->lsn, RULE_ACK);
	returns(context);
	return true;
}

bool put_step(struct context *context)
{
	const uint8_t pc = context->thread->pc;

	if (pc >= CONSOLIDATE_FIRST)
		return consolidate_step(context);
	if (pc == PC_EXAMINE)
		return step_examine(context);
	if (context->choice > 0)
		return false;
	switch ((enum pc)pc) {
	case PC_HEAD:
		return context->scenario->gate ? step_enter(context) : step_head(context);
	case PC_CHECK:
		return step_check(context);
	case PC_PARK:
		return step_park(context);
	case PC_INSIDE:
		return step_head(context);
	case PC_LEAVE:
		return step_leave(context);
	case PC_EXAMINE:
		break;
	case PC_ABORT:
		return step_abort(context);
	case PC_PREPEND:
		return step_prepend(context);
	case PC_RESERVE:
		return step_reserve(context);
	case PC_PUBLISH:
		return step_publish(context);
	case PC_PAD_AGAIN:
	case PC_PAD_RESTART:
	case PC_PAD_QUIT:
		return step_pad(context);
	case PC_QUIT:
		return step_quit(context);
	case PC_FILL:
		return step_fill(context);
	case PC_WAIT:
		return step_wait(context);
	case PC_REUSE:
		return step_reuse(context);
	}
	return false;
}
