/* SPDX-License-Identifier: MIT */
/*
 * history.h - what a store was told, and whether what is in it after a crash may be
 *
 *   H1  Each fiber changes keys of its own, so what survived of its operations shows which prefix of
 *       them it is: the keys must be exactly as after some prefix.
 *   H2  The prefix holds everything that was acknowledged as durable.
 *   H3  Across fibers: if an operation survived, so did all that had ended before it began, since their
 *       LSNs are smaller (I3).
 */
#ifndef BWT_TESTS_SIM_HISTORY_H
#define BWT_TESTS_SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_TREES 3u /* number 0 is the main tree */
#define HISTORY_KEYS 96u
#define HISTORY_FIBERS 4u
#define HISTORY_OPS 600u /* of one life of the store */
#define HISTORY_WRITES 6000u

struct item { /* under a key; all 0: nothing */
	uint32_t there;
	uint32_t size;
	uint32_t crc;
};

struct picture { /* a store */
	bool tree[HISTORY_TREES];
	struct item item[HISTORY_TREES][HISTORY_KEYS];
};

struct change {
	uint8_t tree;
	uint8_t key;
	struct item item;
};

enum op_kind {
	OP_CHANGES,
	OP_CREATE, /* with changes: a tree that is loaded, all or nothing */
	OP_DROP
};

struct op {
	enum op_kind kind;
	unsigned fiber;
	unsigned tree;         /* OP_CREATE, OP_DROP */
	unsigned first, count; /* OP_CHANGES: all or nothing */
	uint64_t begun, ended; /* ended 0: not yet, or not known how */
	uint64_t lsn;          /* its record lies below; UINT64_MAX: not known yet */
	bool durable;          /* acknowledged as such */
	bool none;             /* it changed nothing */
};

struct history {
	unsigned fibers;
	uint64_t clock;
	struct picture base;
	struct op ops[HISTORY_OPS];
	unsigned op_count;
	struct change changes[HISTORY_WRITES];
	unsigned change_count;
};

static inline unsigned history_owner(const struct history *history, unsigned tree, unsigned key)
{
	return tree == 0 ? key % history->fibers : 0;
}

void history_restart(struct history *history, const struct picture *base, unsigned fibers);
/** history_begin - an operation of @fiber; it has changes [change_count, ...) that are added until it ends */
struct op *history_begin(struct history *history, unsigned fiber, enum op_kind kind, unsigned tree);
void history_change(struct history *history, struct op *op, unsigned tree, unsigned key,
                    struct item item);
void history_end(struct history *history, struct op *op, bool durable);
/** history_all_durable - whatever ended before clock @before is durable */
void history_all_durable(struct history *history, uint64_t before);

void picture_apply(struct picture *picture, const struct history *history, const struct op *op);

/**
 * history_allows - may a store that had @history be as @found?
 * @durable_lsn: what the store said was durable
 * @why:     out, on false: words
 * @survived: out: number of operations
 */
bool history_allows(const struct history *history, const struct picture *found,
                    uint64_t durable_lsn, char *why, size_t why_size, unsigned *survived);

#endif
