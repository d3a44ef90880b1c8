/* SPDX-License-Identifier: MIT */
/*
 * flush.c - durable_lsn passes the next record when it is filled
 *
 * One step stands for collecting what is filled without a hole, writing it, and moving durable_lsn.
 * Nobody sees what lies between, so longer groups are sequences of this step.
 */
#include "model.h"

bool flush_step(struct context *context)
{
	struct state *state = context->state;

	if (context->choice > 0 || state->durable >= state->tail)
		return false;
	if (state->record[state->durable] % 16 == RECORD_EMPTY) {
		bool later = false;

		for (unsigned lsn = state->durable; lsn < state->tail; lsn++)
			later |= state->record[lsn] % 16 != RECORD_EMPTY;
		if (!later || !has_flaw(context, FLAW_DURABLE_OVER_HOLE))
			return false;
	}
	state->durable++;
	say(context, "flush: durable_lsn = %u", state->durable);
	return true;
}
