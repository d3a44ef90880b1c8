/* SPDX-License-Identifier: MIT */
/*
 * torture_trail.h - a writer whose every step is known from its number; of bwt-torture and of tests/crash
 *
 * Writer w does step 1, 2, 3, ...: step n puts or deletes one of its TRAIL_KEYS keys, with a value
 * that only this step has. So a store tells which steps it holds: it must be exactly those up to
 * some number, and that number cannot be below the last step that was acknowledged as durable, nor
 * above the last one begun.
 */
#ifndef BWT_TOOLS_TORTURE_TRAIL_H
#define BWT_TOOLS_TORTURE_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bwt.h"

#define TRAIL_KEYS 40u
#define TRAIL_KEY_SIZE_MAX 600u
#define TRAIL_VALUE_MAX 70000u

struct trail_step {
	unsigned key; /* 0..TRAIL_KEYS-1 */
	bool put;     /* else delete */
};

/** Which keys a writer has after some step: the number of the step that put each, 0: absent. */
struct trail_state {
	uint64_t step;
	uint64_t put_by[TRAIL_KEYS];
};

struct trail_step trail_step(unsigned writer, uint64_t step);

/** trail_group_ends - steps belong to groups, which bwt-torture does all or not at all; this one is a group's last */
bool trail_group_ends(unsigned writer, uint64_t step);

/** trail_key - the bytes of a key; @room has TRAIL_KEY_SIZE_MAX */
struct bwt_slice trail_key(unsigned writer, unsigned key, uint8_t *room);

/** trail_value - the bytes that a step puts; @room has TRAIL_VALUE_MAX */
struct bwt_slice trail_value(unsigned writer, uint64_t step, uint8_t *room);

/** trail_advance - the state after one step more */
void trail_advance(unsigned writer, struct trail_state *state);

/** trail_do - do a step on a tree, in @txn or (NULL) alone. BWT_NOT_FOUND of a delete counts as BWT_OK */
int trail_do(struct bwt_tree *tree, struct bwt_txn *txn, unsigned writer, uint64_t step,
             uint8_t *room);

/**
 * trail_match - find the state that @tree is in
 * @state:   in: a state that it surely has reached; out: the one that it is in
 * @begun:   the last step that can have left a trace
 * @why:     out, on false: what fits no state, 200 bytes
 * Returns:  true; false when it is in none of the states from *@state to @begun
 */
bool trail_match(struct bwt_tree *tree, unsigned writer, struct trail_state *state, uint64_t begun,
                 char why[200]);

#endif
