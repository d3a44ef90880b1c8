/* SPDX-License-Identifier: MIT */
/*
 * model.c - shared memory of the model, one shape for states that mean the same, and the rules
 *
 * Nodes are numbered anew after every step, in the order in which the mapping word and then the
 * threads reach them; what nobody reaches is wiped. So states differ only where somebody could tell.
 *
 *   I1        versions of a key lie in LSN order, newest first
 *   I2        a read in snapshot S returned the newest version with lsn < S, and nothing below S is
 *             committed later
 *   I3        what the log holds below durable_lsn is what memory holds there, no more and no less
 *   K         recovery from a published checkpoint: its image and the log from its L up to durable_lsn
 *             give the newest version below durable_lsn of each key, and the image holds nothing beyond
 *   kept      the newest version of each key, the newest below durable_lsn and what each live snapshot
 *             sees are in the page
 */
#include "model.h"

#include <stdarg.h>
#include <string.h>

#define RULE_I1 "I1: versions of one key are not in LSN order"
#define RULE_I2 "I2: a snapshot did not read the newest version below it"
#define RULE_I3_HOLE "I3: durable_lsn passed a record that is not filled"
#define RULE_I3_EXTRA "I3: the durable log holds a put that is not committed there"
#define RULE_I3_LOST "I3: the durable log lacks a put that is committed there"
#define RULE_K_BEYOND "K: a published image holds what is not durable"
#define RULE_K_LOST "K: image and log together lack a durable version"
#define RULE_KEPT_NEWEST "kept: the newest version of a key is gone from its page"
#define RULE_KEPT_DURABLE "kept: what a snapshot at durable_lsn would see is gone"
#define RULE_KEPT_SNAPSHOT "kept: what a live snapshot sees is gone"

/* ----------------------------------------------------------------- for operations -------- */

void rule(struct context *context, bool good, const char *text)
{
	if (!good && context->step->violation == NULL)
		context->step->violation = text;
}

void say(struct context *context, const char *format, ...)
{
	va_list list;

	if (context->step->text == NULL)
		return;
	va_start(list, format);
	vsnprintf(context->step->text, context->step->text_size, format, list);
	va_end(list);
}

static void forget_locals(struct context *context)
{
	struct thread *thread = context->thread;

	thread->head = thread->at = thread->own = 0;
	thread->word = thread->lsn = 0;
	thread->mask_low = thread->mask_high = 0;
	memset(thread->live, 0, sizeof thread->live);
	thread->budget &= 0xf0;
}

/* What a thread has seen counts only as long as it has something left that reads. */
static bool reads_later(const struct context *context)
{
	for (const struct op *op = context->op + 1; op->kind != OP_END; op++)
		if (op->kind == OP_GET || op->kind == OP_SNAPSHOT)
			return true;
	return false;
}

void op_end(struct context *context)
{
	struct thread *thread = context->thread;

	forget_locals(context);
	thread->pc = 0;
	thread->op++;
	if (!reads_later(context))
		memset(thread->seen, 0, sizeof thread->seen);
	if (context->op[1].kind == OP_END)
		thread->budget = 0;
}

bool word_is_settled(const struct context *context, unsigned node)
{
	switch (context->scenario->flaw) {
	case FLAW_ABORT_STORE:
	case FLAW_PUBLISH_STORE:
	case FLAW_REUSE_DELTA:
		return false; /* words that should be final are not */
	default:
		return !context->scenario->unreduced && !node_is_base(context->state, node) &&
		       word_state(node_get(context->state, node)->word) != WORD_PENDING;
	}
}

void op_restart(struct context *context, uint8_t pc)
{
	const uint8_t budget = context->thread->budget;

	forget_locals(context);
	context->thread->budget = budget;
	context->thread->pc = pc;
}

uint8_t node_new(struct context *context, struct node node)
{
	for (unsigned i = 0; i < MODEL_NODE_MAX; i++) {
		struct node *free_node = &context->state->node[i];

		if ((free_node->link | free_node->value | free_node->word) == 0) {
			*free_node = node;
			return (uint8_t)(i + 1);
		}
	}
	context->step->out_of_bounds = true;
	return 1;
}

bool word_swap(struct context *context, unsigned node, uint8_t seen, uint8_t next)
{
	struct node *delta = node_at(context->state, node);

	if (delta->word != seen)
		return false;
	delta->word = next;
	return true;
}

uint8_t log_reserve(struct context *context)
{
	const uint8_t lsn = context->state->tail;

	if (lsn >= MODEL_LSN_MAX) {
		context->step->out_of_bounds = true;
		return lsn - 1;
	}
	context->state->tail++;
	return lsn;
}

void log_fill(struct context *context, unsigned lsn, unsigned content)
{
	context->state->record[lsn] |= (uint8_t)content;
}

static unsigned record_content(const struct state *state, unsigned lsn)
{
	return state->record[lsn] & 15U;
}

static unsigned committed_at(const struct state *state, unsigned lsn)
{
	return (unsigned)state->record[lsn] >> 4;
}

void note_committed(struct context *context, unsigned lsn, unsigned value)
{
	for (unsigned i = 1; i < context->state->tail; i++)
		rule(context, committed_at(context->state, i) != value,
		     "once: a put is committed twice");
	rule(context, committed_at(context->state, lsn) == 0, "once: two puts have one LSN");
	context->state->record[lsn] |= (uint8_t)(value << 4);
}

unsigned seen_lsn(const struct state *state, unsigned seen)
{
	if ((seen & SEEN_PENDING) == 0)
		return seen;
	for (unsigned lsn = 1; lsn < state->tail; lsn++)
		if (committed_at(state, lsn) == (seen & ~(unsigned)SEEN_PENDING))
			return lsn;
	return LSN_NONE;
}

unsigned value_of(unsigned thread, unsigned op)
{
	return 1 + thread * MODEL_PROGRAM_MAX + op;
}

unsigned value_key(const struct scenario *scenario, unsigned value)
{
	return scenario->program[(value - 1) / MODEL_PROGRAM_MAX][(value - 1) % MODEL_PROGRAM_MAX].key;
}

unsigned chain_find(const struct scenario *scenario, const struct state *state, unsigned node,
                    unsigned key)
{
	while (!node_is_base(state, node) && value_key(scenario, node_get(state, node)->value) != key)
		node = node_get(state, node)->link;
	return node;
}

unsigned chain_mask(const struct state *state, unsigned node)
{
	unsigned mask = 0;

	for (; !node_is_base(state, node); node = node_get(state, node)->link)
		if (word_state(node_get(state, node)->word) == WORD_COMMITTED)
			mask |= 1U << word_lsn(node_get(state, node)->word);
	return mask | base_mask(state, node);
}

unsigned chain_length(const struct state *state, unsigned node)
{
	unsigned length = 0;

	for (; !node_is_base(state, node); node = node_get(state, node)->link)
		length++;
	return length;
}

unsigned base_mask(const struct state *state, unsigned node)
{
	const struct node *base = node_get(state, node);

	return base->value | (unsigned)base->word << 8;
}

unsigned key_mask(const struct scenario *scenario, const struct state *state, unsigned key)
{
	unsigned mask = 1;

	for (unsigned lsn = 1; lsn < state->tail; lsn++) {
		const unsigned value = committed_at(state, lsn);

		if (value != 0 && value_key(scenario, value) == key)
			mask |= 1U << lsn;
	}
	return mask;
}

unsigned mask_top(unsigned mask)
{
	return mask == 0 ? LSN_NONE : 31U - (unsigned)__builtin_clz(mask);
}

unsigned newest_below(const struct scenario *scenario, const struct state *state, unsigned key,
                      unsigned snapshot)
{
	return mask_top(key_mask(scenario, state, key) & ((1U << snapshot) - 1));
}

/* -------------------------------------------------------------------------- shape -------- */

struct renumbering {
	struct state *state;
	struct node node[MODEL_NODE_MAX];
	uint8_t number[MODEL_NODE_MAX + 1]; /* old -> new, 0: not reached yet */
	uint8_t count;
};

/* Follow the chain from *@link and number what is new; the links are put right at the end. */
static void renumber(struct renumbering *renumbering, uint8_t *link)
{
	uint8_t node = *link;

	if (node == 0)
		return;
	while (renumbering->number[node] == 0) {
		const struct node *from = node_get(renumbering->state, node);

		renumbering->node[renumbering->count] = *from;
		renumbering->number[node] = ++renumbering->count;
		if (from->link == NODE_BASE)
			break;
		node = from->link;
	}
	*link = renumbering->number[*link];
}

static void shape(const struct scenario *scenario, struct state *state)
{
	struct renumbering renumbering = {.state = state};

	renumber(&renumbering, &state->mapping);
	for (unsigned i = 0; i < scenario->thread_count; i++) {
		renumber(&renumbering, &state->thread[i].head);
		renumber(&renumbering, &state->thread[i].at);
		renumber(&renumbering, &state->thread[i].own);
	}
	for (unsigned i = 0; i < renumbering.count; i++)
		if (renumbering.node[i].link != NODE_BASE)
			renumbering.node[i].link = renumbering.number[renumbering.node[i].link];
	memcpy(state->node, renumbering.node, sizeof state->node);
}

/* -------------------------------------------------------------------------- rules -------- */

/* The versions of @key that the page holds: deltas from the mapping word down, then the base page. */
static unsigned page_mask(const struct scenario *scenario, const struct state *state, unsigned key,
                          bool *ordered)
{
	unsigned mask = 0;
	unsigned lowest = MODEL_LSN_MAX;
	unsigned node = chain_find(scenario, state, state->mapping, key);
	unsigned base;

	*ordered = true;
	while (!node_is_base(state, node)) {
		const struct node *delta = node_get(state, node);

		if (word_state(delta->word) == WORD_COMMITTED) {
			*ordered &= word_lsn(delta->word) < lowest;
			lowest = word_lsn(delta->word);
			mask |= 1U << lowest;
		}
		node = chain_find(scenario, state, delta->link, key);
	}
	base = base_mask(state, node) & key_mask(scenario, state, key);
	*ordered &= base == 0 || mask_top(base) < lowest;
	return mask | base;
}

static bool holds(unsigned mask, unsigned lsn)
{
	return lsn < MODEL_LSN_MAX && (mask >> lsn & 1) != 0;
}

static const char *check_page(const struct scenario *scenario, const struct state *state)
{
	for (unsigned key = 0; key < MODEL_KEY_MAX; key++) {
		bool ordered;
		const unsigned mask = page_mask(scenario, state, key, &ordered);

		if (!ordered)
			return RULE_I1;
		if (!holds(mask, newest_below(scenario, state, key, MODEL_LSN_MAX)))
			return RULE_KEPT_NEWEST;
		if (!scenario->clock_is_tail &&
		    !holds(mask, newest_below(scenario, state, key, state->durable)))
			return RULE_KEPT_DURABLE;
		for (unsigned slot = 0; slot < MODEL_SLOT_MAX; slot++) {
			const unsigned snapshot = state->slot[slot];

			if (snapshot >= SLOT_ACQUIRING)
				continue;
			if (!holds(mask, newest_below(scenario, state, key, snapshot)))
				return RULE_KEPT_SNAPSHOT;
		}
	}
	return NULL;
}

/* Crash now: recovery replays the records below durable_lsn. */
static const char *check_log(const struct state *state)
{
	for (unsigned lsn = 1; lsn < state->durable; lsn++) {
		const unsigned content = record_content(state, lsn);
		const unsigned value = committed_at(state, lsn);

		if (content == RECORD_EMPTY)
			return RULE_I3_HOLE;
		if (content != RECORD_PAD && content != value)
			return RULE_I3_EXTRA;
		if (content == RECORD_PAD && value != 0)
			return RULE_I3_LOST;
	}
	return NULL;
}

/* Crash now: recovery loads the image and replays the log from its L on. check_log() has judged the log. */
static const char *check_image(const struct scenario *scenario, const struct state *state)
{
	const unsigned image = state->cut.mask_low | (unsigned)state->cut.mask_high << 8;
	const unsigned replayed = (1U << state->durable) - (1U << state->cut.lsn);

	if (state->cut.published == 0)
		return NULL;
	if (state->cut.lsn > state->durable || image >> state->durable != 0)
		return RULE_K_BEYOND;
	for (unsigned key = 0; key < MODEL_KEY_MAX; key++) {
		const unsigned mask = key_mask(scenario, state, key);

		if (mask_top(mask & (image | replayed)) !=
		    newest_below(scenario, state, key, state->durable))
			return RULE_K_LOST;
	}
	return NULL;
}

/* Reads of a snapshot that have returned stay right whatever is committed after them. */
static const char *check_reads(const struct scenario *scenario, const struct state *state)
{
	for (unsigned i = 0; i < scenario->thread_count; i++) {
		const struct thread *thread = &state->thread[i];
		const struct op *op = &scenario->program[i][thread->op];

		if (op->kind != OP_SNAPSHOT || thread->mask_low == 0)
			continue;
		if (thread->mask_low - 1U != newest_below(scenario, state, op->key, thread->lsn))
			return RULE_I2;
		if (thread->mask_high != 0 &&
		    thread->mask_high - 1U != newest_below(scenario, state, op->key2, thread->lsn))
			return RULE_I2;
	}
	return NULL;
}

const char *model_check(const void *opaque, const void *memory)
{
	const struct scenario *scenario = opaque;
	const struct state *state = memory;
	const char *violation = NULL;

	if (!scenario->outside_only)
		violation = check_page(scenario, state);
	if (violation == NULL)
		violation = check_log(state);
	if (violation == NULL)
		violation = check_image(scenario, state);
	if (violation == NULL)
		violation = check_reads(scenario, state);
	return violation;
}

/* -------------------------------------------------------------------------- whole -------- */

void model_init(const void *opaque, void *memory)
{
	const struct scenario *scenario = opaque;
	struct state *state = memory;

	memset(state, 0, sizeof *state);
	state->mapping = 1;
	*node_at(state, 1) = (struct node){.link = NODE_BASE, .value = 1};
	state->tail = state->durable = 1;
	memset(state->slot, SLOT_FREE, sizeof state->slot);
	for (unsigned i = 0; i < scenario->thread_count; i++)
		state->thread[i].budget = (uint8_t)(scenario->abort_max[i] << 4);
}

bool model_step(const void *opaque, void *memory, unsigned index, unsigned choice,
                struct search_step *step)
{
	const struct scenario *scenario = opaque;
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
	bool taken = false;

	switch ((enum op_kind)context.op->kind) {
	case OP_END:
		return false;
	case OP_PUT:
		taken = put_step(&context);
		break;
	case OP_GET:
		taken = get_step(&context);
		break;
	case OP_SNAPSHOT:
		taken = snapshot_step(&context);
		break;
	case OP_CONSOLIDATE:
		taken = consolidate_step(&context);
		break;
	case OP_CHECKPOINT:
		taken = checkpoint_step(&context);
		break;
	case OP_FLUSH:
		taken = flush_step(&context);
		break;
	}
	if (taken && !step->out_of_bounds)
		shape(scenario, state);
	return taken;
}

bool model_finished(const void *opaque, const void *memory)
{
	const struct scenario *scenario = opaque;
	const struct state *state = memory;

	for (unsigned i = 0; i < scenario->thread_count; i++) {
		const enum op_kind kind =
			(enum op_kind)scenario->program[i][state->thread[i].op].kind;

		if (kind == OP_FLUSH && state->durable < state->tail)
			return false;
		if (kind != OP_END && kind != OP_FLUSH)
			return false;
	}
	return true;
}

/* Readers wait for nobody, except to be allowed a snapshot at durable_lsn (C7). */
bool model_wait_free(const void *opaque, const void *memory, unsigned index)
{
	const struct scenario *scenario = opaque;
	const struct thread *thread = &((const struct state *)memory)->thread[index];
	const struct op *op = &scenario->program[index][thread->op];

	return op->kind == OP_GET || (op->kind == OP_SNAPSHOT && thread->pc != 0);
}

static void print_node(const struct state *state, unsigned number, FILE *out)
{
	static const char *const names[] = {"pending", "committed", "aborted"};
	const struct node *node = node_get(state, number);

	if (node->link == NODE_BASE) {
		fprintf(out, "n%u base{", number);
		for (unsigned lsn = 0; lsn < 16; lsn++)
			if (base_mask(state, number) >> lsn & 1)
				fprintf(out, " %u", lsn);
		fprintf(out, " }");
	} else {
		fprintf(out, "n%u put %u %s(%u) -> ", number, node->value,
		        names[word_state(node->word)], word_lsn(node->word));
	}
}

void model_print(const void *opaque, const void *memory, FILE *out)
{
	const struct scenario *scenario = opaque;
	const struct state *state = memory;
	unsigned node = state->mapping;

	for (; !node_is_base(state, node); node = node_get(state, node)->link)
		print_node(state, node, out);
	print_node(state, node, out);
	fprintf(out, "; log");
	for (unsigned lsn = 1; lsn < state->tail; lsn++) {
		fprintf(out, " %u:", lsn);
		if (record_content(state, lsn) == RECORD_PAD)
			fprintf(out, "pad");
		else if (record_content(state, lsn) == RECORD_EMPTY)
			fprintf(out, "-");
		else
			fprintf(out, "put %u", record_content(state, lsn));
		if (committed_at(state, lsn) != 0)
			fprintf(out, "(=%u)", committed_at(state, lsn));
	}
	fprintf(out, "; tail %u durable %u; slots", state->tail, state->durable);
	for (unsigned slot = 0; slot < MODEL_SLOT_MAX; slot++)
		fprintf(out,
		        state->slot[slot] == SLOT_FREE        ? " free"
		        : state->slot[slot] == SLOT_ACQUIRING ? " acquiring"
		                                              : " %u",
		        state->slot[slot]);
	if (scenario->gate)
		fprintf(out, "; gate %s, inside %#x; image L %u versions %#x%s",
		        state->closed != 0 ? "closed" : "open", state->inside, state->cut.lsn,
		        state->cut.mask_low | (unsigned)state->cut.mask_high << 8,
		        state->cut.published != 0 ? " published" : "");
	for (unsigned i = 0; i < scenario->thread_count; i++)
		fprintf(out, "; t%u op %u pc %u lsn %u", i, state->thread[i].op,
		        state->thread[i].pc, state->thread[i].lsn);
	fprintf(out, "\n");
}

struct search_model model_of(const struct scenario *scenario)
{
	return (struct search_model){
		.state_size = offsetof(struct state, thread) +
	                      scenario->thread_count * sizeof(struct thread),
		.process_count = scenario->thread_count,
		.scenario = scenario,
		.init = model_init,
		.step = model_step,
		.check = model_check,
		.finished = model_finished,
		.wait_free = model_wait_free,
		.print = model_print,
	};
}
