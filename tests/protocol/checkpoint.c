/* SPDX-License-Identifier: MIT */
/*
 * checkpoint.c - a checkpoint of the page: the cut in the closed gate, and its superblock
 *
 *   CLOSE     store closed
 *   DRAIN n   until thread n is not inside
 *   CUT       L = log_tail, and the page as it is: copy-on-first-write gives the whole store as of one
 *             instant, so one step stands for it
 *   OPEN      the gate is open again
 *   PUBLISH   once durable_lsn has reached L (K2): recovery begins from this image
 *
 * check_image() of model.c crashes and recovers in every state.
 */
#include "model.h"

enum pc {
	PC_CLOSE,
	PC_DRAIN,
	PC_CUT = PC_DRAIN + MODEL_THREAD_MAX,
	PC_OPEN,
	PC_LATE_LSN, /* L, loaded too late */
	PC_PUBLISH,
};

static bool step_close(struct context *context)
{
	say(context, "checkpoint: closes the gate");
	context->state->closed = 1;
	context->thread->pc = has_flaw(context, FLAW_GATE_NOT_DRAINED) ? PC_CUT : PC_DRAIN;
	return true;
}

static bool step_drain(struct context *context)
{
	const unsigned index = context->thread->pc - (unsigned)PC_DRAIN;

	if ((context->state->inside >> index & 1) != 0)
		return false;
	say(context, "checkpoint: thread %u is not inside", index);
	context->thread->pc++;
	if (index + 1U == context->scenario->thread_count)
		context->thread->pc = PC_CUT;
	return true;
}

static bool step_cut(struct context *context)
{
	struct state *state = context->state;
	const unsigned mask = chain_mask(state, state->mapping);

	state->cut = (struct cut){
		.lsn = state->tail, .mask_low = (uint8_t)mask, .mask_high = (uint8_t)(mask >> 8)};
	say(context, "checkpoint: L = %u, versions %#x", state->tail, mask);
	context->thread->pc = PC_OPEN;
	return true;
}

static bool step_open(struct context *context)
{
	say(context, "checkpoint: opens the gate");
	context->state->closed = 0;
	context->thread->pc = has_flaw(context, FLAW_CUT_LSN_LATE) ? PC_LATE_LSN : PC_PUBLISH;
	return true;
}

static bool step_late_lsn(struct context *context)
{
	context->state->cut.lsn = context->state->tail;
	say(context, "checkpoint: L = %u", context->state->tail);
	context->thread->pc = PC_PUBLISH;
	return true;
}

static bool step_publish(struct context *context)
{
	if (context->state->durable < context->state->cut.lsn &&
	    !has_flaw(context, FLAW_SUPERBLOCK_EARLY))
		return false;
	say(context, "checkpoint: writes the superblock, durable_lsn is %u", context->state->durable);
	context->state->cut.published = 1;
	op_end(context);
	return true;
}

bool checkpoint_step(struct context *context)
{
	const unsigned pc = context->thread->pc;

	if (context->choice > 0)
		return false;
	if (pc >= PC_DRAIN && pc < PC_CUT)
		return step_drain(context);
	switch ((enum pc)pc) {
	case PC_CLOSE:
		return step_close(context);
	case PC_CUT:
		return step_cut(context);
	case PC_OPEN:
		return step_open(context);
	case PC_LATE_LSN:
		return step_late_lsn(context);
	case PC_PUBLISH:
		return step_publish(context);
	default:
		return false;
	}
}
