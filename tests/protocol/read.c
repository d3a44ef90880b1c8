/* SPDX-License-Identifier: MIT */
/*
 * read.c - a plain get, and two reads in one snapshot
 *
 * Get:       HEAD   load the mapping word
 *            WALK   load the word of each delta of the key, newest first: COMMITTED is the answer, PENDING and
 *                   ABORTED are passed; the base page ends the walk
 *
 * Snapshot:  WAIT     sync: until durable_lsn is past all that this thread has read or committed (C7)
 *            ACQUIRE  store ACQUIRING in the slot
 *            LOAD     S = log_tail, or durable_lsn in sync mode
 *            STORE    store S in the slot
 *            HEAD, WALK as above, for versions with lsn < S. PENDING(floor >= S) is passed; any other
 *                   PENDING goes to PUSH
 *            PUSH     CAS PENDING(floor) to PENDING(S); it fails: WALK reads the word afresh (C3)
 *            the second read, then RELEASE: the slot is free
 *
 * A read ends with the step that decides it. check_reads() of model.c and the rules here judge it.
 */
#include "model.h"

enum pc {
	PC_FIRST, /* get: HEAD; snapshot: WAIT or ACQUIRE */
	PC_ACQUIRE,
	PC_LOAD,
	PC_STORE,
	PC_HEAD,
	PC_WALK,
	PC_PUSH,
	PC_RELEASE,
	PC_MARK, /* the marker, stored too late */
};

#define RULE_GET "get: a version older than one that this thread has seen"
#define RULE_SNAPSHOT_BACK "C7: a snapshot older than what its thread has seen"
#define RULE_SNAPSHOT_CRASH "C7: a sync snapshot read what a crash could take back"

static unsigned read_key(const struct context *context)
{
	const struct op *op = context->op;

	return op->kind == OP_SNAPSHOT && context->thread->mask_low != 0 ? op->key2 : op->key;
}

/* The newest version that a base page has of the key, below @snapshot. */
static unsigned base_newest(const struct context *context, unsigned node, unsigned snapshot)
{
	const unsigned mask = base_mask(context->state, node) &
	                      key_mask(context->scenario, context->state, read_key(context));

	return mask_top(mask & ((1U << snapshot) - 1));
}

/* ------------------------------------------------------------------------------ get ------ */

static void get_returns(struct context *context, unsigned lsn)
{
	struct thread *thread = context->thread;
	const unsigned key = context->op->key;

	rule(context, lsn != LSN_NONE && lsn >= seen_lsn(context->state, thread->seen[key]),
	     RULE_GET);
	if (lsn != LSN_NONE)
		thread->seen[key] = (uint8_t)lsn;
	op_end(context);
}

/* The mistake of handing out a version that may yet be aborted. */
static void get_returns_pending(struct context *context, unsigned value)
{
	context->thread->seen[context->op->key] = (uint8_t)(SEEN_PENDING | value);
	op_end(context);
}

static void get_look(struct context *context);

/* Go to the next delta of the key at or below @node, or end the read at the base page. */
static void get_go(struct context *context, unsigned node)
{
	node = chain_find(context->scenario, context->state, node, context->op->key);
	context->thread->pc = PC_WALK;
	context->thread->at = (uint8_t)node;
	if (node_is_base(context->state, node))
		get_returns(context, base_newest(context, node, MODEL_LSN_MAX));
	else if (word_is_settled(context, node))
		get_look(context);
}

static void get_look(struct context *context)
{
	const struct node *delta = node_get(context->state, context->thread->at);

	if (word_state(delta->word) == WORD_COMMITTED) {
		get_returns(context, word_lsn(delta->word));
		return;
	}
	if (word_state(delta->word) == WORD_PENDING) {
		if (has_flaw(context, FLAW_GET_WAITS))
			return;
		if (has_flaw(context, FLAW_GET_SEES_PENDING)) {
			get_returns_pending(context, delta->value);
			return;
		}
	}
	get_go(context, delta->link);
}

bool get_step(struct context *context)
{
	if (context->choice > 0)
		return false;
	if (context->thread->pc == PC_FIRST) {
		say(context, "get: loads the mapping word -> n%u", context->state->mapping);
		get_go(context, context->state->mapping);
	} else {
		say(context, "get: loads the word of n%u", context->thread->at);
		get_look(context);
	}
	return true;
}

/* ------------------------------------------------------------------------- snapshot ------ */

static unsigned seen_newest(const struct context *context)
{
	unsigned newest = 0;

	for (unsigned key = 0; key < MODEL_KEY_MAX; key++) {
		const unsigned lsn = seen_lsn(context->state, context->thread->seen[key]);

		if (lsn > newest)
			newest = lsn;
	}
	return newest;
}

static void read_returns(struct context *context, unsigned lsn)
{
	struct thread *thread = context->thread;
	const unsigned key = read_key(context);
	const uint8_t result = (uint8_t)(lsn + 1); /* LSN_NONE: 0, which no version is */

	rule(context, lsn != LSN_NONE, "I2: a snapshot found no version of a key");
	rule(context, !context->op->sync || lsn < context->state->durable, RULE_SNAPSHOT_CRASH);
	if (lsn != LSN_NONE && lsn > thread->seen[key])
		thread->seen[key] = (uint8_t)lsn;
	thread->head = thread->at = thread->word = 0;
	thread->pc = thread->mask_low == 0 ? PC_HEAD : PC_RELEASE;
	if (thread->mask_low == 0)
		thread->mask_low = result;
	else
		thread->mask_high = result;
}

static void snapshot_look(struct context *context);

/* As get_go(), for versions below S. */
static void snapshot_go(struct context *context, unsigned node)
{
	struct thread *thread = context->thread;

	node = chain_find(context->scenario, context->state, node, read_key(context));
	thread->pc = PC_WALK;
	thread->at = (uint8_t)node;
	thread->word = 0;
	if (node_is_base(context->state, node))
		read_returns(context, base_newest(context, node, thread->lsn));
	else if (word_is_settled(context, node))
		snapshot_look(context);
}

static void snapshot_look(struct context *context)
{
	struct thread *thread = context->thread;
	const struct node *delta = node_get(context->state, thread->at);
	const unsigned lsn = word_lsn(delta->word);

	switch (word_state(delta->word)) {
	case WORD_COMMITTED:
		if (lsn < thread->lsn)
			read_returns(context, lsn);
		else
			snapshot_go(context, delta->link);
		return;
	case WORD_ABORTED:
		snapshot_go(context, delta->link);
		return;
	case WORD_PENDING:
		break;
	}
	if (lsn >= thread->lsn || has_flaw(context, FLAW_SKIP_PENDING)) {
		snapshot_go(context, delta->link);
		return;
	}
	thread->word = delta->word;
	thread->pc = PC_PUSH;
}

static void snapshot_push(struct context *context)
{
	struct thread *thread = context->thread;
	const unsigned node = thread->at;
	unsigned floor = thread->lsn;
	bool pushed;

	if (has_flaw(context, FLAW_PUSH_LOW_FLOOR))
		floor--;
	if (has_flaw(context, FLAW_PUSH_NO_FLOOR))
		floor = word_lsn(thread->word);
	pushed = word_swap(context, node, thread->word, word_make(WORD_PENDING, floor));

	say(context, "snapshot %u: CAS of n%u to pending(%u) %s", thread->lsn, node, floor,
	    pushed ? "succeeds" : "fails");
	thread->word = 0;
	thread->pc = PC_WALK;
	if (pushed || has_flaw(context, FLAW_PUSH_GIVES_UP))
		snapshot_go(context, node_get(context->state, node)->link);
}

static bool snapshot_first(struct context *context)
{
	struct thread *thread = context->thread;
	const bool wait = context->op->sync && !has_flaw(context, FLAW_SNAPSHOT_NO_WAIT);

	if (wait && seen_newest(context) >= context->state->durable)
		return false;
	say(context, "snapshot: begins");
	thread->pc = PC_ACQUIRE;
	if (has_flaw(context, FLAW_SNAPSHOT_NO_MARKER) || has_flaw(context, FLAW_SNAPSHOT_NO_FENCE))
		thread->pc = PC_LOAD;
	return true;
}

static void snapshot_load(struct context *context)
{
	struct thread *thread = context->thread;

	thread->lsn = context->op->sync ? context->state->durable : context->state->tail;
	say(context, "snapshot: loads S = %u", thread->lsn);
	rule(context, thread->lsn > seen_newest(context), RULE_SNAPSHOT_BACK);
	thread->pc = has_flaw(context, FLAW_SNAPSHOT_NO_FENCE) ? PC_MARK : PC_STORE;
}

bool snapshot_step(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t *slot = &context->state->slot[context->op->slot];

	if (context->choice > 0)
		return false;
	switch ((enum pc)thread->pc) {
	case PC_FIRST:
		return snapshot_first(context);
	case PC_ACQUIRE:
	case PC_MARK:
		say(context, "snapshot: stores ACQUIRING");
		*slot = SLOT_ACQUIRING;
		thread->pc = thread->pc == PC_MARK ? PC_STORE : PC_LOAD;
		return true;
	case PC_LOAD:
		snapshot_load(context);
		return true;
	case PC_STORE:
		say(context, "snapshot: stores S = %u", thread->lsn);
		*slot = thread->lsn;
		thread->pc = PC_HEAD;
		return true;
	case PC_HEAD:
		say(context, "snapshot %u: loads the mapping word -> n%u", thread->lsn,
		    context->state->mapping);
		snapshot_go(context, context->state->mapping);
		return true;
	case PC_WALK:
		say(context, "snapshot %u: loads the word of n%u", thread->lsn, thread->at);
		snapshot_look(context);
		return true;
	case PC_PUSH:
		snapshot_push(context);
		return true;
	case PC_RELEASE:
		say(context, "snapshot %u: is released", thread->lsn);
		*slot = SLOT_FREE;
		op_end(context);
		return true;
	}
	return false;
}
