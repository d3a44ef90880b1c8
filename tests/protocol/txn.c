/* SPDX-License-Identifier: MIT */
/*
 * txn.c - transactions, step by step, one access to shared memory each
 *
 *   commit   BEGIN    S = log_tail
 *            READ     find the version that S sees; a pending one that could get an LSN below S is pushed
 *            TAKE     a free slot: generation counted up, then the word PENDING(0)
 *            INSTALL  each key: load the mapping word, find the newest version; newer than S: conflict; pending:
 *                     give up this attempt, and perhaps abort the other; CAS the mapping word
 *            VALIDATE serializable: no version at or above S on what was read; is something pending there?
 *            RESERVE  lsn = fetch_add(&log_tail, 1)
 *            LOOK     serializable: again, if the mapping word changed or something was pending; what is
 *                     pending is pushed to lsn, or aborted when it is younger (C4)
 *            PUBLISH  CAS the descriptor to COMMITTED(lsn); pushed above it: RESERVE again; ABORTED: give up
 *            STAMP    each key: what the mapping word leads to now
 *            DONE     the slot is free when all who are pinned now are gone (DS2)
 *
 * Words that are final and links are read for free, as in model.h. Finding out what a reference says takes
 * three steps: generation, word, generation again (C3).
 */
#include "txn.h"

#include <string.h>

enum {
	FREE,
	COMMITTED,
	ABORTED,
	REFERENCE,
	PENDING
};

struct node {
	uint8_t link;  /* node, 0: none */
	uint8_t value; /* transaction, 0: the first version */
	uint8_t kind;  /* FREE, COMMITTED, ABORTED, REFERENCE */
	uint8_t arg;   /* LSN, or slot << 4 | generation */
};

struct slot {
	uint8_t kind; /* PENDING, COMMITTED, ABORTED */
	uint8_t lsn;  /* or floor */
	uint8_t generation;
	uint8_t used;
	uint8_t limbo; /* threads pinned at its end that still are */
	uint8_t order;
};

struct record { /* the rules' own note of a commit */
	uint8_t value;
	uint8_t snapshot;
	uint8_t read; /* LSN that it read + 1 */
};

enum pc {
	PC_BEGIN,
	PC_READ_HEAD,
	PC_WALK, /* load the word of `at`; what for: thread.task */
	PC_GENERATION,
	PC_WORD,
	PC_AGAIN,
	PC_PUSH,
	PC_TAKE,
	PC_TAKE_WORD,
	PC_INSTALL_HEAD,
	PC_PREPEND,
	PC_VALIDATE_HEAD,
	PC_RESERVE,
	PC_LOOK_HEAD,
	PC_FORBID,
	PC_PUBLISH,
	PC_GIVE_UP,
	PC_STAMP_HEAD,
	PC_STAMP,
	PC_DONE,
	PC_WOUND,
	PC_COPY_HEAD,
	PC_COPY_INSTALL,
	PC_COPY_LOOK,
};

enum task {
	TASK_READ,
	TASK_INSTALL,
	TASK_VALIDATE,
	TASK_LOOK,
	TASK_COPY,
	TASK_COPIED
};

enum outcome {
	UNDECIDED,
	DONE,
	REFUSED,
	RESTART
};

struct found { /* by consolidation */
	uint8_t value, kind, arg;
};

struct thread {
	uint8_t op, pc, task, key, outcome, attempts, pushes;
	uint8_t snapshot, lsn, order, slot, generation; /* of its own commit */
	uint8_t at, head, ref, kind, word_lsn;          /* of the walk */
	uint8_t valid_head, valid_pending;              /* VALIDATE saw */
	uint8_t victim, victim_lsn;                     /* to be aborted: slot + 1, floor */
	uint8_t read[TX_KEYS];                          /* LSN + 1 */
	uint8_t found_count;
	struct found found[TX_CHAIN_MAX];
};

struct state {
	uint8_t mapping[TX_KEYS];
	uint8_t tail;
	uint8_t begun;
	uint8_t pinned; /* a bit for each thread */
	struct record record[TX_LSN_MAX];
	struct slot slot[TX_SLOT_MAX];
	struct node node[TX_NODE_MAX + 1]; /* [0] unused */
	struct thread thread[TX_THREAD_MAX];
};

struct context {
	const struct tx_scenario *scenario;
	struct state *state;
	struct thread *thread;
	const struct tx_op *op;
	unsigned index, choice;
	struct search_step *step;
};

static bool has_flaw(const struct context *context, enum tx_flaw flaw)
{
	return context->scenario->flaw == flaw;
}

static void say(struct context *context, const char *what, unsigned a, unsigned b)
{
	if (context->step->text != NULL)
		snprintf(context->step->text, context->step->text_size, "%s %u %u", what, a, b);
}

/* ---- shared memory ---- */

static uint8_t value_of(unsigned thread, unsigned op)
{
	return (uint8_t)(1 + thread * TX_PROGRAM_MAX + op);
}

static const struct tx_op *op_of(const struct tx_scenario *scenario, unsigned value)
{
	return &scenario->program[(value - 1) / TX_PROGRAM_MAX][(value - 1) % TX_PROGRAM_MAX];
}

static uint8_t node_new(struct context *context, struct node node)
{
	for (unsigned i = 1; i <= TX_NODE_MAX; i++)
		if (context->state->node[i].kind == FREE) {
			context->state->node[i] = node;
			return (uint8_t)i;
		}
	context->step->out_of_bounds = true;
	return 1;
}

static uint8_t own_ref(const struct thread *thread)
{
	return (uint8_t)(thread->slot << 4 | thread->generation);
}

/* The slot of a reference, and whether it still is in that use. */
static struct slot *slot_of(struct state *state, uint8_t ref)
{
	return &state->slot[ref >> 4];
}

static bool same_use(const struct state *state, uint8_t ref)
{
	return state->slot[ref >> 4].generation == (ref & 15);
}

/* CAS of a descriptor's word that was seen PENDING(floor). */
static bool slot_swap(struct context *context, uint8_t ref, uint8_t floor, uint8_t kind, uint8_t lsn)
{
	struct slot *slot = slot_of(context->state, ref);

	if (slot->kind != PENDING || slot->lsn != floor)
		return false;
	if (context->scenario->by_generation && !has_flaw(context, TX_FLAW_NO_GENERATION) &&
	    !same_use(context->state, ref))
		return false;
	slot->kind = kind;
	slot->lsn = lsn;
	return true;
}

static void pin(struct context *context)
{
	context->state->pinned |= (uint8_t)(1u << context->index);
}

static void unpin(struct context *context)
{
	context->state->pinned &= (uint8_t) ~(1u << context->index);
	for (unsigned i = 0; i < TX_SLOT_MAX; i++)
		context->state->slot[i].limbo &= context->state->pinned;
}

/* LSN of the newest version of @key with lsn < @below. */
static unsigned newest_below(const struct tx_scenario *scenario, const struct state *state,
                             unsigned key, unsigned below)
{
	for (unsigned lsn = below; lsn-- > 1;)
		if (lsn < TX_LSN_MAX && state->record[lsn].value != 0 &&
		    (op_of(scenario, state->record[lsn].value)->writes >> key & 1) != 0)
			return lsn;
	return 0;
}

/* ---- where a walk goes ---- */

static void op_end(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t op = thread->op;

	unpin(context);
	memset(thread, 0, sizeof *thread);
	thread->op = (uint8_t)(op + 1);
}

static void give_up(struct context *context, enum outcome outcome)
{
	context->thread->outcome = (uint8_t)outcome;
	context->thread->pc = PC_GIVE_UP;
}

/* The next key to install or to stamp, from @key on. */
static unsigned next_key(const struct context *context, unsigned key)
{
	while (key < TX_KEYS && (context->op->writes >> key & 1) == 0)
		key++;
	return key;
}

static void installed(struct context *context)
{
	struct thread *thread = context->thread;
	bool validates = context->op->serializable && context->op->read != TX_NO_KEY &&
	                 !has_flaw(context, TX_FLAW_NO_VALIDATION);

	thread->key = (uint8_t)next_key(context, thread->key + 1u);
	if (thread->key < TX_KEYS)
		thread->pc = PC_INSTALL_HEAD;
	else
		thread->pc = validates ? PC_VALIDATE_HEAD : PC_RESERVE;
}

static void looked(struct context *context)
{
	context->thread->pc = has_flaw(context, TX_FLAW_PUBLISH_FIRST) ? PC_STAMP_HEAD : PC_PUBLISH;
	context->thread->key = (uint8_t)next_key(context, 0);
}

static void read_ends(struct context *context, unsigned lsn)
{
	struct thread *thread = context->thread;

	thread->read[thread->key] = (uint8_t)(lsn + 1);
	thread->at = thread->head = thread->ref = thread->kind = thread->word_lsn = 0;
	unpin(context);
	if (context->op->kind == TX_COMMIT) {
		thread->pc = PC_TAKE;
	} else if (thread->key + 1u < TX_KEYS) {
		thread->key++;
		thread->pc = PC_READ_HEAD;
	} else {
		op_end(context);
	}
}

static void walk(struct context *context, uint8_t node);

static void note_found(struct context *context, uint8_t kind, uint8_t arg)
{
	struct thread *thread = context->thread;

	if (thread->found_count == TX_CHAIN_MAX) {
		context->step->out_of_bounds = true;
		return;
	}
	thread->found[thread->found_count++] =
		(struct found){context->state->node[thread->at].value, kind, arg};
}

/* The version at `at` is committed at @lsn. */
static void met_committed(struct context *context, unsigned lsn)
{
	struct thread *thread = context->thread;
	uint8_t link = context->state->node[thread->at].link;

	switch ((enum task)thread->task) {
	case TASK_READ:
		if (lsn < thread->snapshot)
			read_ends(context, lsn);
		else
			walk(context, link);
		return;
	case TASK_INSTALL:
		if (lsn >= thread->snapshot && !has_flaw(context, TX_FLAW_NO_CONFLICT))
			give_up(context, REFUSED);
		else
			thread->pc = PC_PREPEND;
		return;
	case TASK_VALIDATE:
		if (lsn >= thread->snapshot)
			give_up(context, REFUSED);
		else
			thread->pc = PC_RESERVE;
		return;
	case TASK_LOOK:
		if (lsn >= thread->snapshot && lsn < thread->lsn)
			give_up(context, REFUSED);
		else if (lsn >= thread->lsn)
			walk(context, link);
		else
			looked(context);
		return;
	case TASK_COPY:
		note_found(context, COMMITTED, (uint8_t)lsn);
		walk(context, link);
		return;
	case TASK_COPIED:
		return;
	}
}

static void met_aborted(struct context *context)
{
	walk(context, context->state->node[context->thread->at].link);
}

static void met_pending(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t link = context->state->node[thread->at].link;

	switch ((enum task)thread->task) {
	case TASK_READ:
		if (thread->word_lsn >= thread->snapshot || has_flaw(context, TX_FLAW_NO_PUSH))
			walk(context, link);
		else
			thread->pc = PC_PUSH;
		return;
	case TASK_INSTALL:
		if (has_flaw(context, TX_FLAW_OVER_PENDING)) {
			walk(context, link);
			return;
		}
		if (context->choice == 1) {
			thread->victim = (uint8_t)((thread->ref >> 4) + 1);
			thread->victim_lsn = thread->word_lsn;
		}
		give_up(context, RESTART);
		return;
	case TASK_VALIDATE:
		thread->valid_pending = 1;
		walk(context, link);
		return;
	case TASK_LOOK:
		if (has_flaw(context, TX_FLAW_LOOK_NO_PUSH))
			walk(context, link);
		else
			thread->pc = PC_FORBID;
		return;
	case TASK_COPY:
		if (!has_flaw(context, TX_FLAW_DROP_PENDING))
			note_found(context, REFERENCE, thread->ref);
		walk(context, link);
		return;
	case TASK_COPIED:
		return;
	}
}

/* Go on at @node, as far as words are final. The first version of a key ends every walk. */
static void walk(struct context *context, uint8_t node)
{
	struct thread *thread = context->thread;

	thread->pc = PC_WALK;
	thread->at = node;
	thread->ref = thread->kind = thread->word_lsn = 0;
	if (node == 0) { /* consolidation has seen all */
		thread->pc = PC_COPY_INSTALL;
		return;
	}
	if (context->state->node[node].kind == COMMITTED)
		met_committed(context, context->state->node[node].arg);
	else if (context->state->node[node].kind == ABORTED)
		met_aborted(context);
}

static void walk_from(struct context *context, unsigned key, enum task task)
{
	struct thread *thread = context->thread;

	thread->task = (uint8_t)task;
	thread->head = context->state->mapping[key];
	walk(context, thread->head);
}

/* ---- what a reference says: three steps ---- */

static bool step_walk(struct context *context)
{
	struct thread *thread = context->thread;
	const struct node *node = &context->state->node[thread->at];

	say(context, "loads the word of node", thread->at, node->kind);
	if (node->kind != REFERENCE) {
		walk(context, thread->at); /* it was stamped */
	} else if ((thread->task == TASK_VALIDATE || thread->task == TASK_LOOK) &&
	           node->arg == own_ref(thread)) {
		walk(context, node->link);
	} else {
		thread->ref = node->arg;
		thread->pc = has_flaw(context, TX_FLAW_NO_GENERATION) ? PC_WORD : PC_GENERATION;
	}
	return true;
}

static void decide(struct context *context)
{
	struct thread *thread = context->thread;

	if (thread->kind == COMMITTED)
		met_committed(context, thread->word_lsn);
	else if (thread->kind == ABORTED)
		met_aborted(context);
	else
		met_pending(context);
}

static bool step_generation(struct context *context)
{
	struct thread *thread = context->thread;
	bool same = same_use(context->state, thread->ref);

	if (thread->pc == PC_AGAIN && same && thread->task == TASK_INSTALL &&
	    thread->kind == PENDING) {
		if (context->choice > 1)
			return false;
	} else if (context->choice > 0) {
		return false;
	}
	say(context, same ? "generation fits, slot" : "generation differs, slot", thread->ref >> 4,
	    thread->ref & 15u);
	if (!same)
		thread->pc = PC_WALK; /* the version was stamped meanwhile (C3) */
	else if (thread->pc == PC_GENERATION)
		thread->pc = PC_WORD;
	else
		decide(context);
	return true;
}

static bool step_word(struct context *context)
{
	struct thread *thread = context->thread;
	const struct slot *slot = slot_of(context->state, thread->ref);
	bool blind = has_flaw(context, TX_FLAW_NO_GENERATION);

	if (context->choice > (blind && thread->task == TASK_INSTALL && slot->kind == PENDING))
		return false;
	say(context, "loads the descriptor's word: kind, lsn", slot->kind, slot->lsn);
	thread->kind = slot->kind;
	thread->word_lsn = slot->lsn;
	if (blind)
		decide(context);
	else
		thread->pc = PC_AGAIN;
	return true;
}

static bool step_push(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t at = thread->at;
	bool done = slot_swap(context, thread->ref, thread->word_lsn, PENDING, thread->snapshot);

	say(context, done ? "pushes to" : "fails to push to", thread->snapshot, thread->ref);
	if (done || has_flaw(context, TX_FLAW_PUSH_GIVES_UP))
		walk(context, context->state->node[at].link);
	else
		thread->pc = PC_WALK;
	return true;
}

/* ---- commit ---- */

static bool step_begin(struct context *context)
{
	struct thread *thread = context->thread;

	thread->snapshot = context->state->tail;
	thread->attempts = context->scenario->attempts;
	say(context, "begins, S and order", thread->snapshot, context->state->begun);
	if (context->op->kind == TX_COMMIT && context->op->serializable)
		thread->order = ++context->state->begun;
	thread->key = context->op->kind == TX_READER ? 0 : context->op->read;
	thread->pc = PC_READ_HEAD;
	if (context->op->kind == TX_COMMIT && context->op->read == TX_NO_KEY)
		thread->pc = PC_TAKE;
	return true;
}

static bool step_read_head(struct context *context)
{
	pin(context);
	say(context, "reads key", context->thread->key, 0);
	walk_from(context, context->thread->key, TASK_READ);
	return true;
}

static bool step_take(struct context *context)
{
	struct thread *thread = context->thread;
	struct state *state = context->state;

	for (uint8_t i = 0; i < context->scenario->slot_count; i++) {
		struct slot *slot = &state->slot[i];

		if (slot->used != 0 || slot->limbo != 0)
			continue;
		pin(context);
		slot->used = 1;
		slot->order = thread->order;
		thread->slot = i;
		thread->generation = (slot->generation + 1) & 15;
		if (has_flaw(context, TX_FLAW_WORD_FIRST)) {
			slot->kind = PENDING;
			slot->lsn = 0;
		} else {
			slot->generation = thread->generation;
		}
		say(context, "takes slot, generation", i, thread->generation);
		thread->pc = PC_TAKE_WORD;
		return true;
	}
	return false;
}

static bool step_take_word(struct context *context)
{
	struct thread *thread = context->thread;
	struct slot *slot = &context->state->slot[thread->slot];

	slot->generation = thread->generation;
	if (!has_flaw(context, TX_FLAW_WORD_FIRST)) {
		slot->kind = PENDING;
		slot->lsn = 0;
	}
	say(context, "its slot is pending", thread->slot, 0);
	thread->key = (uint8_t)next_key(context, 0);
	thread->pc = PC_INSTALL_HEAD;
	return true;
}

static bool step_prepend(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t *mapping = &context->state->mapping[thread->key];
	bool done = *mapping == thread->head;

	say(context, done ? "prepends to key" : "fails to prepend to key", thread->key, thread->head);
	if (!done) {
		thread->pc = PC_INSTALL_HEAD;
		return true;
	}
	*mapping = node_new(context, (struct node){thread->head, value_of(context->index, thread->op),
	                                           REFERENCE, own_ref(thread)});
	thread->at = thread->head = 0;
	installed(context);
	return true;
}

static bool step_reserve(struct context *context)
{
	struct thread *thread = context->thread;
	bool looks = context->op->serializable && context->op->read != TX_NO_KEY &&
	             !has_flaw(context, TX_FLAW_NO_VALIDATION) &&
	             !has_flaw(context, TX_FLAW_VALIDATE_FIRST);

	if (context->state->tail >= TX_LSN_MAX) {
		context->step->out_of_bounds = true;
		return true;
	}
	thread->at = thread->head = thread->ref = thread->kind = thread->word_lsn = 0;
	thread->lsn = context->state->tail++;
	thread->pushes++;
	say(context, "reserves", thread->lsn, 0);
	thread->pc = looks && !has_flaw(context, TX_FLAW_PUBLISH_FIRST) ? PC_LOOK_HEAD : PC_PUBLISH;
	return true;
}

static bool step_look_head(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t head = context->state->mapping[context->op->read];

	say(context, "looks again at key", context->op->read, head);
	if (head == thread->valid_head && thread->valid_pending == 0)
		looked(context);
	else
		walk_from(context, context->op->read, TASK_LOOK);
	return true;
}

/* Somebody else is undecided on what was read: not below us, if at all. */
static bool step_forbid(struct context *context)
{
	struct thread *thread = context->thread;
	const struct slot *slot = slot_of(context->state, thread->ref);
	bool younger = slot->order > thread->order;
	uint8_t at = thread->at;
	bool done;

	if (younger)
		done = slot_swap(context, thread->ref, thread->word_lsn, ABORTED, 0);
	else
		done = thread->word_lsn >= thread->lsn ||
		       slot_swap(context, thread->ref, thread->word_lsn, PENDING, thread->lsn);
	say(context, younger ? "aborts the younger one" : "pushes the older one", done, thread->lsn);
	if (done)
		walk(context, context->state->node[at].link);
	else
		thread->pc = PC_WALK;
	return true;
}

static bool step_publish(struct context *context)
{
	struct thread *thread = context->thread;
	struct slot *slot = &context->state->slot[thread->slot];

	if (slot->kind == ABORTED) {
		say(context, "was aborted", thread->slot, 0);
		give_up(context, RESTART);
	} else if (slot->lsn > thread->lsn && !has_flaw(context, TX_FLAW_FLOOR_IGNORED)) {
		say(context, "was pushed to", slot->lsn, 0);
		thread->pc = PC_RESERVE;
		if (thread->pushes >= context->scenario->pushes)
			give_up(context, RESTART);
	} else {
		say(context, "publishes at", thread->lsn, 0);
		slot->kind = COMMITTED;
		slot->lsn = thread->lsn;
		context->state->record[thread->lsn] = (struct record){
			value_of(context->index, thread->op), thread->snapshot,
			context->op->read == TX_NO_KEY ? 0 : thread->read[context->op->read]};
		thread->outcome = DONE;
		thread->key = (uint8_t)next_key(context, 0);
		thread->pc = PC_STAMP_HEAD;
		if (has_flaw(context, TX_FLAW_PUBLISH_FIRST) && context->op->serializable)
			thread->pc = PC_LOOK_HEAD;
	}
	return true;
}

static bool step_give_up(struct context *context)
{
	struct thread *thread = context->thread;
	struct slot *slot = &context->state->slot[thread->slot];

	say(context, "aborts itself, slot", thread->slot, 0);
	if (slot->kind == PENDING)
		slot->kind = ABORTED;
	slot->lsn = slot->kind == ABORTED ? 0 : slot->lsn;
	thread->at = thread->head = thread->ref = thread->kind = thread->word_lsn = 0;
	thread->key = (uint8_t)next_key(context, 0);
	thread->pc = has_flaw(context, TX_FLAW_NO_STAMP) ? PC_DONE : PC_STAMP_HEAD;
	return true;
}

static bool step_stamp_head(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t node = context->state->mapping[thread->key];

	while (node != 0 && !(context->state->node[node].kind == REFERENCE &&
	                      context->state->node[node].arg == own_ref(thread)))
		node = context->state->node[node].link;
	say(context, "looks for its version of key", thread->key, node);
	thread->at = node;
	thread->pc = PC_STAMP;
	if (node == 0 || has_flaw(context, TX_FLAW_NO_STAMP)) {
		thread->at = 0;
		thread->key = (uint8_t)next_key(context, thread->key + 1u);
		thread->pc = thread->key < TX_KEYS ? PC_STAMP_HEAD : PC_DONE;
	}
	return true;
}

static void stamp_node(struct context *context, uint8_t at, uint8_t ref)
{
	struct node *node = &context->state->node[at];
	const struct slot *slot = slot_of(context->state, ref);

	if (node->kind == REFERENCE && node->arg == ref) {
		node->kind = slot->kind;
		node->arg = slot->lsn;
	}
}

static bool step_stamp(struct context *context)
{
	struct thread *thread = context->thread;

	say(context, "stamps node", thread->at, thread->key);
	stamp_node(context, thread->at, own_ref(thread));
	thread->at = 0;
	thread->key = (uint8_t)next_key(context, thread->key + 1u);
	thread->pc = thread->key < TX_KEYS ? PC_STAMP_HEAD : PC_DONE;
	return true;
}

static bool step_done(struct context *context)
{
	struct thread *thread = context->thread;
	struct slot *slot = &context->state->slot[thread->slot];
	const struct tx_scenario *scenario = context->scenario;

	say(context, "its slot is done", thread->slot, thread->outcome);
	slot->used = 0;
	slot->order = 0;
	if (!scenario->by_generation && !has_flaw(context, TX_FLAW_REUSE_EARLY))
		slot->limbo = (uint8_t)(context->state->pinned & ~(1u << context->index));
	if (thread->outcome == RESTART && thread->attempts > 1) {
		thread->attempts--;
		thread->outcome = thread->pushes = thread->lsn = 0;
		thread->valid_head = thread->valid_pending = 0;
		thread->slot = thread->generation = 0;
		thread->pc = thread->victim != 0 ? PC_WOUND : PC_TAKE;
		if (thread->victim == 0)
			unpin(context);
		return true;
	}
	op_end(context);
	return true;
}

/* Still pinned, so the slot is in the use that was met. */
static bool step_wound(struct context *context)
{
	struct thread *thread = context->thread;
	struct slot *slot = &context->state->slot[thread->victim - 1];

	say(context, "aborts the one in its way, slot", thread->victim - 1u, 0);
	if (slot->kind == PENDING && slot->lsn == thread->victim_lsn) {
		slot->kind = ABORTED;
		slot->lsn = 0;
	}
	thread->victim = thread->victim_lsn = 0;
	thread->pc = PC_TAKE;
	unpin(context);
	return true;
}

/* ---- consolidation ---- */

static bool step_copy_head(struct context *context)
{
	struct thread *thread = context->thread;

	pin(context);
	thread->found_count = 0;
	memset(thread->found, 0, sizeof thread->found);
	say(context, "consolidates key", context->op->read, 0);
	walk_from(context, context->op->read, TASK_COPY);
	return true;
}

static bool step_copy_install(struct context *context)
{
	struct thread *thread = context->thread;
	uint8_t *mapping = &context->state->mapping[context->op->read], link = 0;
	bool done = *mapping == thread->head;

	say(context, done ? "installs the page of key" : "fails to install the page of key",
	    context->op->read, thread->found_count);
	thread->at = thread->head = 0;
	if (!done) {
		op_end(context);
		return true;
	}
	for (unsigned i = thread->found_count; i-- > 0;) {
		const struct found *found = &thread->found[i];

		link = node_new(context, (struct node){link, found->value, found->kind, found->arg});
		if (found->kind == REFERENCE) {
			thread->at = link;
			thread->ref = found->arg;
		}
	}
	*mapping = link;
	thread->found_count = 0;
	memset(thread->found, 0, sizeof thread->found);
	thread->pc = PC_COPY_LOOK;
	if (thread->at == 0 || has_flaw(context, TX_FLAW_NAIVE_COPY))
		op_end(context);
	return true;
}

/* C2: what was copied as pending may have been decided before the owner could find the copy. */
static bool step_copy_look(struct context *context)
{
	struct thread *thread = context->thread;

	say(context, "looks at the reference it copied, slot", thread->ref >> 4, 0);
	if (same_use(context->state, thread->ref) &&
	    slot_of(context->state, thread->ref)->kind != PENDING)
		stamp_node(context, thread->at, thread->ref);
	op_end(context);
	return true;
}

/* ---- the whole ---- */

static void tx_init(const void *opaque, void *memory)
{
	struct state *state = memory;

	(void)opaque;
	memset(state, 0, sizeof *state);
	state->tail = 1;
	for (unsigned key = 0; key < TX_KEYS; key++) {
		state->mapping[key] = (uint8_t)(key + 1);
		state->node[key + 1] = (struct node){0, 0, COMMITTED, 0};
	}
	for (unsigned i = 0; i < TX_SLOT_MAX; i++)
		state->slot[i].kind = ABORTED;
}

static bool take_step(struct context *context)
{
	switch ((enum pc)context->thread->pc) {
	case PC_BEGIN:
		return context->op->kind == TX_CONSOLIDATE ? step_copy_head(context)
		                                           : step_begin(context);
	case PC_READ_HEAD:
		return step_read_head(context);
	case PC_WALK:
		return step_walk(context);
	case PC_GENERATION:
	case PC_AGAIN:
	case PC_WORD:
		return false; /* taken before */
	case PC_PUSH:
		return step_push(context);
	case PC_TAKE:
		return step_take(context);
	case PC_TAKE_WORD:
		return step_take_word(context);
	case PC_INSTALL_HEAD:
		say(context, "installs on key", context->thread->key, 0);
		walk_from(context, context->thread->key, TASK_INSTALL);
		return true;
	case PC_PREPEND:
		return step_prepend(context);
	case PC_VALIDATE_HEAD:
		say(context, "validates key", context->op->read, 0);
		context->thread->valid_head = context->state->mapping[context->op->read];
		walk_from(context, context->op->read, TASK_VALIDATE);
		return true;
	case PC_RESERVE:
		return step_reserve(context);
	case PC_LOOK_HEAD:
		return step_look_head(context);
	case PC_FORBID:
		return step_forbid(context);
	case PC_PUBLISH:
		return step_publish(context);
	case PC_GIVE_UP:
		return step_give_up(context);
	case PC_STAMP_HEAD:
		return step_stamp_head(context);
	case PC_STAMP:
		return step_stamp(context);
	case PC_DONE:
		return step_done(context);
	case PC_WOUND:
		return step_wound(context);
	case PC_COPY_HEAD:
		return step_copy_head(context);
	case PC_COPY_INSTALL:
		return step_copy_install(context);
	case PC_COPY_LOOK:
		return step_copy_look(context);
	}
	return false;
}

/* Nodes are numbered in the order in which mapping words and threads reach them; others are wiped. */
static void shape(struct state *state, unsigned thread_count)
{
	struct node fresh[TX_NODE_MAX + 1];
	uint8_t number[TX_NODE_MAX + 1] = {0}, count = 0;
	uint8_t *roots[TX_KEYS + 3 * TX_THREAD_MAX];
	unsigned root_count = 0;

	memset(fresh, 0, sizeof fresh);
	for (unsigned key = 0; key < TX_KEYS; key++)
		roots[root_count++] = &state->mapping[key];
	for (unsigned i = 0; i < thread_count; i++) {
		roots[root_count++] = &state->thread[i].at;
		roots[root_count++] = &state->thread[i].head;
		roots[root_count++] = &state->thread[i].valid_head;
	}
	for (unsigned i = 0; i < root_count; i++) {
		for (uint8_t node = *roots[i]; node != 0 && number[node] == 0;
		     node = state->node[node].link) {
			number[node] = ++count;
			fresh[count] = state->node[node];
		}
		*roots[i] = number[*roots[i]];
	}
	for (unsigned i = 1; i <= count; i++)
		fresh[i].link = number[fresh[i].link];
	memcpy(state->node, fresh, sizeof fresh);
}

static bool tx_step(const void *opaque, void *memory, unsigned index, unsigned choice,
                    struct search_step *step)
{
	const struct tx_scenario *scenario = opaque;
	struct state *state = memory;
	struct context context = {
		.scenario = scenario,
		.state = state,
		.thread = &state->thread[index],
		.op = &scenario->program[index][state->thread[index].op],
		.index = index,
		.choice = choice,
		.step = step,
	};
	bool taken;

	if (context.op->kind == TX_END)
		return false;
	if (context.thread->pc == PC_GENERATION || context.thread->pc == PC_AGAIN)
		taken = step_generation(&context);
	else if (context.thread->pc == PC_WORD)
		taken = step_word(&context);
	else
		taken = choice == 0 && take_step(&context);
	if (taken && !step->out_of_bounds)
		shape(state, scenario->thread_count);
	return taken;
}

/* ---- rules ---- */

static const char *check_page(const struct tx_scenario *scenario, const struct state *state,
                              unsigned key)
{
	unsigned lowest = TX_LSN_MAX, newest = TX_LSN_MAX;

	for (uint8_t at = state->mapping[key]; at != 0; at = state->node[at].link) {
		struct node node = state->node[at];

		if (node.kind == REFERENCE) {
			const struct slot *slot = &state->slot[node.arg >> 4];

			if (slot->generation != (node.arg & 15))
				return "dangling: a page refers to a descriptor in another use";
			node.kind = slot->kind;
			node.arg = slot->lsn;
		}
		if (node.kind != COMMITTED)
			continue;
		if (node.arg >= lowest)
			return "I1: versions of one key are not in LSN order";
		lowest = node.arg;
		newest = newest == TX_LSN_MAX ? node.arg : newest;
	}
	if (newest != newest_below(scenario, state, key, TX_LSN_MAX))
		return "kept: the newest version of a key is gone from its page";
	return NULL;
}

static const char *check_reads(const struct tx_scenario *scenario, const struct state *state)
{
	for (unsigned i = 0; i < scenario->thread_count; i++)
		for (unsigned key = 0; key < TX_KEYS; key++)
			if (state->thread[i].read[key] != 0 &&
			    state->thread[i].read[key] - 1u !=
			            newest_below(scenario, state, key, state->thread[i].snapshot))
				return "I2: a snapshot did not read the newest version below it";
	return NULL;
}

static const char *check_commits(const struct tx_scenario *scenario, const struct state *state)
{
	for (unsigned lsn = 1; lsn < TX_LSN_MAX; lsn++) {
		const struct record *record = &state->record[lsn];
		const struct tx_op *op;

		if (record->value == 0)
			continue;
		op = op_of(scenario, record->value);
		for (unsigned key = 0; key < TX_KEYS; key++)
			if ((op->writes >> key & 1) != 0 &&
			    newest_below(scenario, state, key, lsn) >= record->snapshot)
				return "lost update: another commit lies between snapshot and LSN";
		if (op->serializable && op->read != TX_NO_KEY &&
		    newest_below(scenario, state, op->read, lsn) != record->read - 1u)
			return "serial: what was read is not the newest below the LSN";
		for (unsigned other = lsn + 1; other < TX_LSN_MAX; other++)
			if (state->record[other].value == record->value)
				return "once: a transaction is committed twice";
	}
	return NULL;
}

static const char *tx_check(const void *opaque, const void *memory)
{
	const char *wrong = check_reads(opaque, memory);

	if (wrong == NULL)
		wrong = check_commits(opaque, memory);
	for (unsigned key = 0; key < TX_KEYS && wrong == NULL; key++)
		wrong = check_page(opaque, memory, key);
	return wrong;
}

static bool tx_finished(const void *opaque, const void *memory)
{
	const struct tx_scenario *scenario = opaque;
	const struct state *state = memory;

	for (unsigned i = 0; i < scenario->thread_count; i++)
		if (scenario->program[i][state->thread[i].op].kind != TX_END)
			return false;
	return true;
}

/* Reads wait for nobody. */
static bool tx_wait_free(const void *opaque, const void *memory, unsigned index)
{
	const struct tx_scenario *scenario = opaque;
	const struct thread *thread = &((const struct state *)memory)->thread[index];

	return scenario->program[index][thread->op].kind != TX_END && thread->pc != PC_TAKE;
}

static void tx_print(const void *opaque, const void *memory, FILE *out)
{
	static const char *const kinds[] = {"free", "committed", "aborted", "ref", "pending"};
	const struct tx_scenario *scenario = opaque;
	const struct state *state = memory;

	for (unsigned key = 0; key < TX_KEYS; key++) {
		fprintf(out, "key %u:", key);
		for (uint8_t at = state->mapping[key]; at != 0; at = state->node[at].link)
			fprintf(out, " n%u T%u %s(%x)", at, state->node[at].value,
			        kinds[state->node[at].kind], state->node[at].arg);
		fprintf(out, "; ");
	}
	for (unsigned i = 0; i < scenario->slot_count; i++)
		fprintf(out, "slot %u: %s(%u) generation %u%s; ", i, kinds[state->slot[i].kind],
		        state->slot[i].lsn, state->slot[i].generation,
		        state->slot[i].used != 0 ? " used" : "");
	for (unsigned i = 0; i < scenario->thread_count; i++)
		fprintf(out, "t%u op %u pc %u S %u lsn %u; ", i, state->thread[i].op,
		        state->thread[i].pc, state->thread[i].snapshot, state->thread[i].lsn);
	fprintf(out, "tail %u\n", state->tail);
}

struct search_model tx_model_of(const struct tx_scenario *scenario)
{
	_Static_assert(sizeof(struct state) <= SEARCH_STATE_MAX, "fits the search");

	return (struct search_model){
		.state_size = offsetof(struct state, thread) +
	                      scenario->thread_count * sizeof(struct thread),
		.process_count = scenario->thread_count,
		.scenario = scenario,
		.init = tx_init,
		.step = tx_step,
		.check = tx_check,
		.finished = tx_finished,
		.wait_free = tx_wait_free,
		.print = tx_print,
	};
}
