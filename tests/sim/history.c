/* SPDX-License-Identifier: MIT */
/*
 * history.c - prefixes of what a store was told (rules in the header)
 */
#include "tests/sim/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void history_restart(struct history *history, const struct picture *base, unsigned fibers)
{
	struct picture copy = *base;

	memset(history, 0, sizeof *history);
	history->base = copy;
	history->fibers = fibers;
}

struct op *history_begin(struct history *history, unsigned fiber, enum op_kind kind, unsigned tree)
{
	struct op *op = &history->ops[history->op_count++];

	if (history->op_count > HISTORY_OPS)
		abort();
	*op = (struct op){.kind = kind, .fiber = fiber, .tree = tree, .lsn = UINT64_MAX};
	op->first = history->change_count;
	op->begun = ++history->clock;
	return op;
}

void history_change(struct history *history, struct op *op, unsigned tree, unsigned key,
                    struct item item)
{
	if (history->change_count == HISTORY_WRITES || op->first + op->count != history->change_count)
		abort();
	history->changes[history->change_count++] =
		(struct change){(uint8_t)tree, (uint8_t)key, item};
	op->count++;
}

void history_end(struct history *history, struct op *op, bool durable)
{
	op->ended = ++history->clock;
	op->durable = durable;
}

void history_all_durable(struct history *history, uint64_t before)
{
	for (unsigned i = 0; i < history->op_count; i++) {
		if (history->ops[i].ended != 0 && history->ops[i].ended <= before)
			history->ops[i].durable = true;
	}
}

static void set(struct picture *picture, unsigned tree, unsigned key, struct item item)
{
	picture->item[tree][key] = item;
}

void picture_apply(struct picture *picture, const struct history *history, const struct op *op)
{
	if (op->none)
		return;
	if (op->kind != OP_CHANGES) {
		picture->tree[op->tree] = op->kind == OP_CREATE;
		memset(picture->item[op->tree], 0, sizeof picture->item[op->tree]);
	}
	for (unsigned i = op->first; i < op->first + op->count; i++)
		set(picture, history->changes[i].tree, history->changes[i].key,
		    history->changes[i].item);
}

/* ---- one fiber ---- */

struct lane {
	unsigned ops[HISTORY_OPS]; /* that changed something, in order */
	unsigned count;
	bool fits[HISTORY_OPS + 1]; /* after so many of them */
	unsigned least;             /* H2, H3 */
	unsigned prefix;
};

static bool same(const struct item *a, const struct item *b)
{
	return a->there == b->there && a->size == b->size && a->crc == b->crc;
}

/* Keys (and trees) of @fiber that differ. */
static unsigned differences(const struct history *history, unsigned fiber, const struct picture *a,
                            const struct picture *b)
{
	unsigned count = 0;

	for (unsigned t = 0; t < HISTORY_TREES; t++) {
		if (t > 0 && fiber != 0)
			break;
		count += t > 0 && a->tree[t] != b->tree[t];
		for (unsigned k = 0; k < HISTORY_KEYS; k++) {
			if (history_owner(history, t, k) == fiber)
				count += !same(&a->item[t][k], &b->item[t][k]);
		}
	}
	return count;
}

/* differences() before and after one operation, of what it touches only. */
static int difference_of(const struct history *history, const struct op *op,
                         const struct picture *a, const struct picture *b)
{
	int count = 0;

	if (op->kind != OP_CHANGES) {
		count += a->tree[op->tree] != b->tree[op->tree];
		for (unsigned k = 0; k < HISTORY_KEYS; k++)
			count += !same(&a->item[op->tree][k], &b->item[op->tree][k]);
		return count;
	}
	for (unsigned i = op->first; i < op->first + op->count; i++) {
		const struct change *change = &history->changes[i];
		bool again = false;

		for (unsigned j = op->first; j < i; j++)
			again |= history->changes[j].tree == change->tree &&
			         history->changes[j].key == change->key;
		if (!again)
			count += !same(&a->item[change->tree][change->key],
			               &b->item[change->tree][change->key]);
	}
	return count;
}

static void lane_fill(struct lane *lane, const struct history *history, unsigned fiber,
                      const struct picture *found, uint64_t durable_lsn)
{
	struct picture now = history->base;
	int differ = (int)differences(history, fiber, &now, found);

	lane->count = lane->least = 0;
	lane->fits[0] = differ == 0;
	for (unsigned i = 0; i < history->op_count; i++) {
		const struct op *op = &history->ops[i];

		if (op->fiber != fiber || op->none)
			continue;
		lane->ops[lane->count++] = i;
		differ -= difference_of(history, op, &now, found);
		picture_apply(&now, history, op);
		differ += difference_of(history, op, &now, found);
		lane->fits[lane->count] = differ == 0;
		if (op->durable || (op->ended != 0 && op->lsn <= durable_lsn))
			lane->least = lane->count;
	}
}

/* The shortest prefix from @least on that fits. */
static bool lane_choose(struct lane *lane)
{
	for (lane->prefix = lane->least; lane->prefix <= lane->count; lane->prefix++) {
		if (lane->fits[lane->prefix])
			return true;
	}
	return false;
}

/* ---- all of them ---- */

/* H3: does what survived of @from ask for more of @to? */
static bool raise(const struct history *history, const struct lane *from, struct lane *to)
{
	uint64_t begun;
	unsigned least = 0;

	if (from->prefix == 0)
		return false;
	begun = history->ops[from->ops[from->prefix - 1]].begun;
	for (unsigned i = 0; i < to->count; i++) {
		const struct op *op = &history->ops[to->ops[i]];

		if (op->ended != 0 && op->ended < begun)
			least = i + 1;
	}
	if (least <= to->prefix)
		return false;
	to->least = least;
	return true;
}

static void explain(const struct history *history, const struct lane *lane, unsigned fiber,
                    const struct picture *found, char *why, size_t size)
{
	struct picture now = history->base;
	int len;

	for (unsigned i = 0; i < lane->least; i++)
		picture_apply(&now, history, &history->ops[lane->ops[i]]);
	len = snprintf(
		why, size,
		"fiber %u: no prefix of its %u operations with at least the first %u (the last one "
		"below LSN %llu%s); after those %u things differ:",
		fiber, lane->count, lane->least,
		lane->least == 0 ? 0ull
				 : (unsigned long long)history->ops[lane->ops[lane->least - 1]].lsn,
		lane->least > 0 && history->ops[lane->ops[lane->least - 1]].durable
			? ", said to be durable"
			: "",
		differences(history, fiber, &now, found));
	for (unsigned t = 0; t < HISTORY_TREES; t++) {
		if (now.tree[t] != found->tree[t] && len > 0 && (size_t)len < size)
			len += snprintf(why + len, size - (size_t)len, " tree %u is %s;", t,
			                found->tree[t] ? "there" : "missing");
		for (unsigned k = 0; k < HISTORY_KEYS; k++) {
			const struct item *wants = &now.item[t][k], *has = &found->item[t][k];

			if (history_owner(history, t, k) != fiber || same(wants, has) || len < 0 ||
			    (size_t)len >= size)
				continue;
			len += snprintf(why + len, size - (size_t)len,
			                " %u/%u expected %d:%u:%08x has %d:%u:%08x;", t, k,
			                (int)wants->there, wants->size, wants->crc, (int)has->there,
			                has->size, has->crc);
		}
	}
}

static void list_ops(const struct history *history, const struct lane *lanes)
{
	for (unsigned f = 0; f < history->fibers; f++) {
		for (unsigned i = 0; i < lanes[f].count; i++) {
			const struct op *op = &history->ops[lanes[f].ops[i]];

			fprintf(stderr, "fiber %u op %u kind %d: %llu to %llu, LSN %llu, %u changes from %u/%u%s%s\n",
			        f, i, (int)op->kind, (unsigned long long)op->begun,
			        (unsigned long long)op->ended, (unsigned long long)op->lsn,
			        op->count, history->changes[op->first].tree,
			        history->changes[op->first].key, op->durable ? ", durable" : "",
			        i < lanes[f].prefix ? ", survived" : "");
		}
	}
}

bool history_allows(const struct history *history, const struct picture *found,
                    uint64_t durable_lsn, char *why, size_t why_size, unsigned *survived)
{
	static struct lane lanes[HISTORY_FIBERS];
	bool again = true;

	for (unsigned f = 0; f < history->fibers; f++)
		lane_fill(&lanes[f], history, f, found, durable_lsn);
	while (again) {
		again = false;
		for (unsigned f = 0; f < history->fibers; f++) {
			if (!lane_choose(&lanes[f])) {
				if (getenv("SIM_OPS") != NULL)
					list_ops(history, lanes);
				explain(history, &lanes[f], f, found, why, why_size);
				return false;
			}
		}
		for (unsigned f = 0; f < history->fibers; f++) {
			for (unsigned g = 0; g < history->fibers; g++)
				again |= f != g && raise(history, &lanes[f], &lanes[g]);
		}
	}
	*survived = 0;
	for (unsigned f = 0; f < history->fibers; f++)
		*survived += lanes[f].prefix;
	return true;
}
