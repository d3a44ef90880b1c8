/* SPDX-License-Identifier: MIT */
/*
 * history.h - what fibers or threads did and were answered, and whether a map could have answered so
 *
 *   H1  Linearizable: each operation took effect at one instant between its begin and its end, and the
 *       answers are those of a sequential map. Operations on different keys do not tell each other's
 *       order, so each key is searched on its own (Herlihy and Wing's locality).
 *   H2  The order of the LSNs is such an order for the writes that changed something: played in it, each
 *       finds what it needs to succeed (I1).
 *   H3  A snapshot S saw, key by key, the state that the writes with an LSN below S leave (I2), and S
 *       stands between what had ended when it was acquired and what began later. (One that stands at
 *       what is durable: only what its own fiber did, or waited for, had ended.)
 *   H4  A transaction's writes have one LSN, and nobody else committed a key that it wrote between its
 *       snapshot and that LSN; of a serializable one, no key that it read either.
 *
 * Source: J. Wing, C. Gong, "Testing and verifying concurrent objects", JPDC 1993; G. Lowe, "Testing
 *         for linearizability", 2017 (states already met are not searched again).
 */
#ifndef BWT_TESTS_HISTORY_H
#define BWT_TESTS_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_KEYS 100u
#define HISTORY_OPS_MAX 512u
#define HISTORY_KEY_OPS_MAX 64u /* on one key: bits of a set */
#define HISTORY_LOOKS_MAX 32u
#define HISTORY_WHY 256u

typedef int32_t history_value; /* 0: absent */

enum history_kind {
	HISTORY_PUT,
	HISTORY_INSERT,
	HISTORY_UPDATE,
	HISTORY_DELETE,
	HISTORY_CAS,
	HISTORY_GET
};

struct history_op {
	uint8_t fiber, key;
	enum history_kind kind;
	bool done;              /* it changed something; gets: false */
	history_value value;    /* written (0: delete); gets: read */
	history_value expected; /* HISTORY_CAS */
	uint32_t begin, end;    /* stamps */
	uint64_t lsn;           /* end of its record, 0: none */
	bool synced;            /* it ended durable */
	unsigned txn;           /* of a transaction: its look + 1; 0: of none */
};

struct history_look { /* one snapshot's view of all keys */
	uint8_t fiber;
	uint32_t begin, end; /* of acquiring it */
	uint64_t lsn;        /* S */
	bool stable;         /* S was what is durable, not the newest commit */
	bool unseen;         /* read committed: there is no S */
	bool serializable;
	uint64_t commit_lsn; /* end of its transaction's record; 0: it has committed nothing */
	history_value seen[HISTORY_KEYS];
	bool looked[HISTORY_KEYS];
};

struct history {
	history_value first[HISTORY_KEYS];
	unsigned op_count, look_count;
	struct history_op op[HISTORY_OPS_MAX];
	struct history_look look[HISTORY_LOOKS_MAX];
};

/** history_clear - no operations; all keys as in @first */
void history_clear(struct history *history, const history_value first[HISTORY_KEYS]);
/** history_begin - room for one more operation, begun at @stamp; NULL: HISTORY_OPS_MAX are there */
struct history_op *history_begin(struct history *history, uint8_t fiber, enum history_kind kind,
                                 uint8_t key, uint32_t stamp);
struct history_look *history_look(struct history *history, uint8_t fiber, uint32_t stamp);

/** history_check - H1 to H4; false: @why says which and where */
bool history_check(const struct history *history, char why[HISTORY_WHY]);
bool history_linear(const struct history *history, char why[HISTORY_WHY]); /* H1 */
extern unsigned history_undecided; /* keys that history_linear() gave up on: too many orders to try */
bool history_lsn_order(const struct history *history, char why[HISTORY_WHY]);    /* H2 */
bool history_snapshots(const struct history *history, char why[HISTORY_WHY]);    /* H3 */
bool history_transactions(const struct history *history, char why[HISTORY_WHY]); /* H4 */

/** history_state - @state: what the writes whose record ends at or below @lsn leave */
void history_state(const struct history *history, uint64_t lsn, history_value state[HISTORY_KEYS]);
/** history_print - every operation, a line each, to standard output */
void history_print(const struct history *history);

#endif
