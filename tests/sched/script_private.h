/* SPDX-License-Identifier: MIT */
/*
 * script_private.h - what script.c and script_txn.c share
 */
#ifndef BWT_SCHED_SCRIPT_PRIVATE_H
#define BWT_SCHED_SCRIPT_PRIVATE_H

#include "tests/sched/script.h"
#include "tests/sched/world.h"
#include "txn/txn.h"

struct player {
	unsigned fiber;
	unsigned at; /* step */
	struct history *history;
	const bool *keys;
	history_value last[HISTORY_KEYS]; /* what it read of each key last */
	struct snapshot_slot *snapshot;
	struct history_look *look;
	bool in_txn;
	bool lost; /* a write was refused: the transaction can only end */
	struct txn txn;
	bool wrote[HISTORY_KEYS]; /* in the transaction */
	history_value own[HISTORY_KEYS];
	size_t mark; /* its savepoint, and what it had written there */
	bool wrote_there[HISTORY_KEYS];
	history_value own_there[HISTORY_KEYS];
};

struct history_op *player_begin(struct player *player, enum history_kind kind, unsigned key);
/** player_saw - the snapshot at hand says @value of @key, as it must each time */
void player_saw(struct player *player, unsigned key, history_value value);
struct history_look *player_snap(struct player *player, bool newest);

void script_txn_begin(struct player *player, enum script_word word);
void script_txn_write(struct player *player, unsigned key, bool delete);
void script_txn_get(struct player *player, unsigned key);
void script_txn_commit(struct player *player);
void script_txn_mark(struct player *player);
void script_txn_back(struct player *player);
/** script_txn_end - without commit, if there is one */
void script_txn_end(struct player *player);

#endif
