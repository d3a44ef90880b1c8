/* SPDX-License-Identifier: MIT */
/* history.c - recording, and the four checks */
#include "tests/support/history.h"

#include <stdio.h>
#include <string.h>

#define VISITED_MAX ((unsigned)1 << 18) /* slots for the states of one search, a power of two */

unsigned history_undecided;

static const char *const names[] = {"put", "insert", "update", "delete", "cas", "get"};

void history_clear(struct history *history, const history_value first[HISTORY_KEYS])
{
	memcpy(history->first, first, sizeof history->first);
	history->op_count = 0;
	history->look_count = 0;
}

struct history_op *history_begin(struct history *history, uint8_t fiber, enum history_kind kind,
                                 uint8_t key, uint32_t stamp)
{
	struct history_op *op;

	if (history->op_count == HISTORY_OPS_MAX)
		return NULL;
	op = &history->op[history->op_count++];
	*op = (struct history_op){
		.fiber = fiber, .kind = kind, .key = key, .begin = stamp, .end = UINT32_MAX};
	return op;
}

struct history_look *history_look(struct history *history, uint8_t fiber, uint32_t stamp)
{
	struct history_look *look;

	if (history->look_count == HISTORY_LOOKS_MAX)
		return NULL;
	look = &history->look[history->look_count++];
	memset(look, 0, sizeof *look);
	look->fiber = fiber;
	look->begin = stamp;
	look->end = UINT32_MAX;
	return look;
}

void history_print(const struct history *history)
{
	for (unsigned i = 0; i < history->op_count; i++) {
		const struct history_op *op = &history->op[i];

		printf("  fiber %u  [%3u,%3u]  %-6s key %02u  %s %d", op->fiber, op->begin, op->end,
		       names[op->kind], op->key,
		       op->kind == HISTORY_GET ? "reads"
		       : op->done              ? "writes"
		                               : "refused, would write",
		       op->value);
		if (op->kind == HISTORY_CAS)
			printf(", expects %d", op->expected);
		printf(op->lsn != 0 ? "  lsn < %llu\n" : "\n", (unsigned long long)op->lsn);
	}
	for (unsigned i = 0; i < history->look_count; i++) {
		const struct history_look *look = &history->look[i];

		printf("  fiber %u  [%3u,%3u]  snapshot %llu%s:", look->fiber, look->begin, look->end,
		       (unsigned long long)look->lsn, look->serializable ? " (serializable)" : "");
		for (unsigned key = 0; key < HISTORY_KEYS; key++)
			if (look->looked[key] && look->seen[key] != 0)
				printf(" %02u=%d", key, look->seen[key]);
		printf(look->commit_lsn != 0 ? "  committed at %llu\n" : "\n",
		       (unsigned long long)look->commit_lsn);
	}
}

/* ---- the sequential map ---- */

/* Would @op, on a key that is @state, be answered as it was? *next: the state after it. */
static bool step(const struct history_op *op, history_value state, history_value *next)
{
	bool can = true;

	*next = state;
	switch (op->kind) {
	case HISTORY_GET:
		return op->value == state;
	case HISTORY_PUT:
		break;
	case HISTORY_INSERT:
		can = state == 0;
		break;
	case HISTORY_UPDATE:
	case HISTORY_DELETE:
		can = state != 0;
		break;
	case HISTORY_CAS:
		can = state == op->expected;
		break;
	}
	if (can && op->done)
		*next = op->value;
	return can == op->done;
}

/* ---- H1 ---- */

struct search {
	const struct history_op *op[HISTORY_KEY_OPS_MAX];
	unsigned count;
	struct {
		uint64_t set; /* operations that have taken effect */
		history_value state;
		uint32_t round; /* of the search that came here */
	} visited[VISITED_MAX];
	uint32_t round;
	unsigned visits; /* of this round */
};

static bool visit(struct search *search, uint64_t set, history_value state)
{
	uint64_t mixed = set * 0x9e3779b97f4a7c15u ^ (uint32_t)state * 0x85ebca6bu;
	unsigned slot = (unsigned)(mixed >> 40) % VISITED_MAX;

	while (search->visited[slot].round == search->round) {
		if (search->visited[slot].set == set && search->visited[slot].state == state)
			return false;
		slot = (slot + 1) % VISITED_MAX;
	}
	search->visits++;
	search->visited[slot].round = search->round;
	search->visited[slot].set = set;
	search->visited[slot].state = state;
	return true;
}

/* Can the operations that are not in @set yet follow, from @state? */
static bool follow(struct search *search, uint64_t set, history_value state)
{
	uint32_t first_end = UINT32_MAX;

	if (search->count == 0 || set == UINT64_MAX >> (64 - search->count))
		return true;
	if (search->visits > VISITED_MAX / 2)
		return true; /* undecided: history_linear() counts it */
	if (!visit(search, set, state))
		return false;
	for (unsigned i = 0; i < search->count; i++)
		if ((set >> i & 1) == 0 && search->op[i]->end < first_end)
			first_end = search->op[i]->end;
	for (unsigned i = 0; i < search->count; i++) {
		history_value next;

		if ((set >> i & 1) != 0 || search->op[i]->begin > first_end)
			continue;
		if (step(search->op[i], state, &next) && follow(search, set | (uint64_t)1 << i, next))
			return true;
	}
	return false;
}

/* The operations on @key, for a search; false: too many of them. */
static bool gather(struct search *search, const struct history *history, unsigned key)
{
	search->count = 0;
	for (unsigned i = 0; i < history->op_count; i++) {
		if (history->op[i].key != key)
			continue;
		if (search->count == HISTORY_KEY_OPS_MAX)
			return false;
		search->op[search->count++] = &history->op[i];
	}
	search->round++;
	search->visits = 0;
	return true;
}

bool history_linear(const struct history *history, char why[HISTORY_WHY])
{
	static struct search search;
	bool written[HISTORY_KEYS] = {false};

	for (unsigned i = 0; i < history->op_count; i++)
		if (history->op[i].kind != HISTORY_GET)
			written[history->op[i].key] = true;
	for (unsigned i = 0; i < history->op_count; i++) {
		const struct history_op *op = &history->op[i];

		if (written[op->key] || op->value == history->first[op->key])
			continue;
		snprintf(why, HISTORY_WHY, "key %u reads %d, and nobody wrote it", op->key,
		         op->value);
		return false;
	}
	for (unsigned key = 0; key < HISTORY_KEYS; key++) {
		if (!written[key])
			continue;
		if (!gather(&search, history, key)) {
			snprintf(why, HISTORY_WHY, "more than %u operations on key %u: not checked",
			         HISTORY_KEY_OPS_MAX, key);
			return false;
		}
		if (!follow(&search, 0, history->first[key])) {
			snprintf(why, HISTORY_WHY, "not linearizable: key %u", key);
			return false;
		}
		history_undecided += search.visits > VISITED_MAX / 2;
	}
	return true;
}

/* ---- H2 to H4 ---- */

/* The indexes of the writes that changed something, by LSN; their number. */
static unsigned by_lsn(const struct history *history, uint16_t order[HISTORY_OPS_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < history->op_count; i++) {
		unsigned at = count;

		if (!history->op[i].done)
			continue;
		for (; at > 0 && history->op[order[at - 1]].lsn > history->op[i].lsn; at--)
			order[at] = order[at - 1];
		order[at] = (uint16_t)i;
		count++;
	}
	return count;
}

bool history_lsn_order(const struct history *history, char why[HISTORY_WHY])
{
	history_value state[HISTORY_KEYS];
	uint16_t order[HISTORY_OPS_MAX];
	unsigned count = by_lsn(history, order);

	memcpy(state, history->first, sizeof state);
	for (unsigned i = 0; i < count; i++) {
		const struct history_op *op = &history->op[order[i]];

		const struct history_op *before = i > 0 ? &history->op[order[i - 1]] : NULL;

		if (op->lsn == 0 || (before != NULL && op->lsn == before->lsn &&
		                     (op->txn == 0 || op->txn != before->txn))) {
			snprintf(why, HISTORY_WHY, "%s of key %u by fiber %u has no LSN of its own",
			         names[op->kind], op->key, op->fiber);
			return false;
		}
		if (!step(op, state[op->key], &state[op->key])) {
			snprintf(why, HISTORY_WHY,
			         "in LSN order, %s of key %u by fiber %u cannot succeed",
			         names[op->kind], op->key, op->fiber);
			return false;
		}
	}
	return true;
}

void history_state(const struct history *history, uint64_t lsn, history_value state[HISTORY_KEYS])
{
	uint16_t order[HISTORY_OPS_MAX];
	unsigned count = by_lsn(history, order);

	memcpy(state, history->first, HISTORY_KEYS * sizeof *state);
	for (unsigned i = 0; i < count && history->op[order[i]].lsn <= lsn; i++)
		state[history->op[order[i]].key] = history->op[order[i]].value;
}

/* Does S stand where @op's and its own intervals say? */
static bool right_side(const struct history_look *look, const struct history_op *op)
{
	if (op->end < look->begin)
		return op->lsn <= look->lsn ||
		       (look->stable && op->fiber != look->fiber && !op->synced);
	return op->begin <= look->end || op->lsn > look->lsn;
}

bool history_snapshots(const struct history *history, char why[HISTORY_WHY])
{
	history_value state[HISTORY_KEYS];

	for (unsigned l = 0; l < history->look_count; l++) {
		const struct history_look *look = &history->look[l];

		history_state(history, look->lsn, state);
		for (unsigned key = 0; key < HISTORY_KEYS; key++)
			if (look->looked[key] && !look->unseen && look->seen[key] != state[key]) {
				snprintf(why, HISTORY_WHY,
				         "snapshot %llu of fiber %u: key %u is %d, should be %d",
				         (unsigned long long)look->lsn, look->fiber, key,
				         look->seen[key], state[key]);
				return false;
			}
		for (unsigned i = 0; i < history->op_count; i++) {
			const struct history_op *op = &history->op[i];

			if (!op->done || look->unseen || right_side(look, op))
				continue;
			snprintf(why, HISTORY_WHY,
			         "snapshot %llu of fiber %u is on the wrong side of %s of key %u",
			         (unsigned long long)look->lsn, look->fiber, names[op->kind],
			         op->key);
			return false;
		}
	}
	return true;
}

/* Did somebody else commit @key between the snapshot of @look and its transaction's commit? */
static const struct history_op *between(const struct history *history,
                                        const struct history_look *look, unsigned key)
{
	for (unsigned i = 0; i < history->op_count; i++) {
		const struct history_op *op = &history->op[i];

		if (op->done && op->key == key && op->lsn > look->lsn && op->lsn < look->commit_lsn)
			return op;
	}
	return NULL;
}

static bool transaction_right(const struct history *history, unsigned number, char why[HISTORY_WHY])
{
	const struct history_look *look = &history->look[number];
	bool alone[HISTORY_KEYS] = {false}; /* nobody may come between */

	for (unsigned key = 0; key < HISTORY_KEYS; key++)
		alone[key] = look->serializable && look->looked[key];
	for (unsigned i = 0; i < history->op_count; i++)
		if (history->op[i].txn == number + 1) {
			alone[history->op[i].key] = true;
			if (history->op[i].lsn == look->commit_lsn)
				continue;
			snprintf(why, HISTORY_WHY, "a transaction of fiber %u has two LSNs",
			         look->fiber);
			return false;
		}
	for (unsigned key = 0; key < HISTORY_KEYS; key++) {
		const struct history_op *op = alone[key] ? between(history, look, key) : NULL;

		if (op == NULL)
			continue;
		snprintf(why,
		         HISTORY_WHY, "fiber %u committed key %u between snapshot %llu and commit %llu of fiber %u",
		         op->fiber, key, (unsigned long long)look->lsn,
		         (unsigned long long)look->commit_lsn, look->fiber);
		return false;
	}
	return true;
}

bool history_transactions(const struct history *history, char why[HISTORY_WHY])
{
	for (unsigned i = 0; i < history->look_count; i++)
		if (history->look[i].commit_lsn != 0 && !history->look[i].unseen &&
		    !transaction_right(history, i, why))
			return false;
	return true;
}

bool history_check(const struct history *history, char why[HISTORY_WHY])
{
	return history_lsn_order(history, why) && history_snapshots(history, why) &&
	       history_transactions(history, why) && history_linear(history, why);
}
