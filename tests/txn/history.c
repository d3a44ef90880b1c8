/* SPDX-License-Identifier: MIT */
/*
 * history.c - inferring the order of versions from lists, and what follows for each transaction
 *
 *   record -> index of elements -> each read alone -> longest list of each name -> edges -> graph.c
 */
#include "tests/txn/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/txn/graph.h"

/* ---- recording ---- */

static void *grow(void *array, size_t count, size_t *capacity, size_t item)
{
	if (count < *capacity)
		return array;
	*capacity = *capacity == 0 ? 256 : *capacity * 2;
	array = realloc(array, *capacity * item);
	if (array == NULL)
		abort();
	return array;
}

void history_begin(struct history *history, uint32_t session)
{
	history->txns = grow(history->txns, history->txn_count, &history->txn_capacity,
	                     sizeof *history->txns);
	history->txns[history->txn_count++] =
		(struct history_txn){.session = session, .op = history->op_count};
}

static struct history_op *op_new(struct history *history, uint32_t list)
{
	history->ops =
		grow(history->ops, history->op_count, &history->op_capacity, sizeof *history->ops);
	history->txns[history->txn_count - 1].op_count++;
	history->ops[history->op_count] =
		(struct history_op){.list = list, .seen = history->element_count};
	return &history->ops[history->op_count++];
}

void history_append(struct history *history, uint32_t list, uint64_t element)
{
	struct history_op *op = op_new(history, list);

	op->append = true;
	op->element = element;
}

void history_read(struct history *history, uint32_t list, const uint64_t *elements, size_t count)
{
	op_new(history, list)->seen_count = count;
	for (size_t i = 0; i < count; i++) {
		history->elements = grow(history->elements, history->element_count,
		                         &history->element_capacity, sizeof *history->elements);
		history->elements[history->element_count++] = elements[i];
	}
}

void history_end(struct history *history, bool committed, bool strict, uint64_t snapshot, uint64_t lsn)
{
	struct history_txn *txn = &history->txns[history->txn_count - 1];

	txn->committed = committed;
	txn->strict = strict;
	txn->snapshot = snapshot;
	txn->lsn = lsn;
}

void history_merge(struct history *into, struct history *from)
{
	for (size_t i = 0; i < from->txn_count; i++) {
		const struct history_txn *txn = &from->txns[i];

		history_begin(into, txn->session);
		for (size_t n = txn->op; n < txn->op + txn->op_count; n++) {
			const struct history_op *op = &from->ops[n];

			if (op->append)
				history_append(into, op->list, op->element);
			else
				history_read(into, op->list, from->elements + op->seen,
				             op->seen_count);
		}
		history_end(into, txn->committed, txn->strict, txn->snapshot, txn->lsn);
	}
	history_free(from);
}

void history_free(struct history *history)
{
	free(history->txns);
	free(history->ops);
	free(history->elements);
	memset(history, 0, sizeof *history);
}

/* ---- who appended what ---- */

struct append {
	uint64_t element;
	uint32_t list;
	uint32_t txn;
	bool last;  /* of its transaction, to its list */
	bool there; /* in the longest list */
};

struct longest {
	uint32_t list;
	size_t seen, seen_count;
};

struct check {
	const struct history *history;
	char *why;
	struct append *appends; /* by element */
	size_t append_count;
	struct longest *lists; /* by list */
	size_t list_count;
	struct graph graph;
};

static const char *found(const struct check *check, const char *anomaly, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static const char *found(const struct check *check, const char *anomaly, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(check->why, 1000, format, args);
	va_end(args);
	return anomaly;
}

static int by_element(const void *left, const void *right)
{
	const struct append *a = left, *b = right;

	return a->element < b->element ? -1 : a->element > b->element;
}

static struct append *append_of(const struct check *check, uint64_t element)
{
	struct append key = {.element = element};

	return bsearch(&key, check->appends, check->append_count, sizeof key, by_element);
}

static bool appends_later(const struct history *history, const struct history_txn *txn, size_t op)
{
	for (size_t n = op + 1; n < txn->op + txn->op_count; n++)
		if (history->ops[n].append && history->ops[n].list == history->ops[op].list)
			return true;
	return false;
}

static const char *index_appends(struct check *check)
{
	const struct history *history = check->history;

	check->appends = calloc(history->op_count + 1, sizeof *check->appends);
	for (size_t i = 0; i < history->txn_count; i++) {
		const struct history_txn *txn = &history->txns[i];

		for (size_t n = txn->op; n < txn->op + txn->op_count; n++)
			if (history->ops[n].append)
				check->appends[check->append_count++] = (struct append){
					.element = history->ops[n].element,
					.list = history->ops[n].list,
					.txn = (uint32_t)i,
					.last = !appends_later(history, txn, n),
				};
	}
	qsort(check->appends, check->append_count, sizeof *check->appends, by_element);
	for (size_t i = 1; i < check->append_count; i++)
		if (check->appends[i].element == check->appends[i - 1].element)
			return found(check, "duplicate", "element %" PRIu64 " was appended twice",
			             check->appends[i].element);
	return NULL;
}

/* ---- each read alone ---- */

static const uint64_t *seen_of(const struct check *check, const struct history_op *op)
{
	return check->history->elements + op->seen;
}

/* Elements of the read before the first one of the transaction's own. */
static size_t foreign_count(const struct check *check, uint32_t txn, const struct history_op *op)
{
	size_t count = 0;

	while (count < op->seen_count && append_of(check, seen_of(check, op)[count])->txn != txn)
		count++;
	return count;
}

static const char *check_elements(const struct check *check, uint32_t txn, const struct history_op *op)
{
	const uint64_t *seen = seen_of(check, op);

	for (size_t i = 0; i < op->seen_count; i++) {
		const struct append *append = append_of(check, seen[i]);

		if (append == NULL || append->list != op->list)
			return found(check, "garbage", "T%u read %" PRIu64 " in list %u", txn,
			             seen[i], op->list);
		for (size_t n = 0; n < i; n++)
			if (seen[n] == seen[i])
				return found(check, "duplicate",
				             "T%u read %" PRIu64 " twice in list %u", txn, seen[i],
				             op->list);
		if (append->txn != txn && !check->history->txns[append->txn].committed)
			return found(check, "G1a", "T%u read %" PRIu64 " of T%u, which was aborted",
			             txn, seen[i], append->txn);
	}
	if (op->seen_count > 0) {
		const struct append *append = append_of(check, seen[op->seen_count - 1]);

		if (append->txn != txn && !append->last)
			return found(check, "G1b",
			             "T%u read list %u up to %" PRIu64
			             ", after which T%u appended more",
			             txn, op->list, append->element, append->txn);
	}
	return NULL;
}

/* Behind what others appended come the transaction's own elements so far, in order. */
static const char *check_own(const struct check *check, uint32_t number, size_t op_index)
{
	const struct history *history = check->history;
	const struct history_txn *txn = &history->txns[number];
	const struct history_op *op = &history->ops[op_index];
	size_t at = foreign_count(check, number, op);

	for (size_t n = txn->op; n < op_index; n++) {
		const struct history_op *own = &history->ops[n];

		if (!own->append || own->list != op->list)
			continue;
		if (at >= op->seen_count || seen_of(check, op)[at] != own->element)
			return found(check, "internal",
			             "T%u appended %" PRIu64
			             " to list %u and did not read it there",
			             number, own->element, op->list);
		at++;
	}
	if (at != op->seen_count)
		return found(check, "internal",
		             "T%u read more of its own in list %u than it appended", number,
		             op->list);
	return NULL;
}

static const char *check_reads(const struct check *check)
{
	const struct history *history = check->history;

	for (size_t i = 0; i < history->txn_count; i++) {
		const struct history_txn *txn = &history->txns[i];

		for (size_t n = txn->op; n < txn->op + txn->op_count; n++) {
			const char *wrong;

			if (history->ops[n].append)
				continue;
			wrong = check_elements(check, (uint32_t)i, &history->ops[n]);
			if (wrong == NULL)
				wrong = check_own(check, (uint32_t)i, n);
			if (wrong != NULL)
				return wrong;
		}
	}
	return NULL;
}

/* ---- the order of versions ---- */

static int by_list(const void *left, const void *right)
{
	const struct longest *a = left, *b = right;

	if (a->list != b->list)
		return a->list < b->list ? -1 : 1;
	return a->seen_count > b->seen_count ? -1 : a->seen_count < b->seen_count;
}

static int by_list_only(const void *left, const void *right)
{
	const struct longest *a = left, *b = right;

	return a->list < b->list ? -1 : a->list > b->list;
}

static const struct longest *longest_of(const struct check *check, uint32_t list)
{
	struct longest key = {.list = list};

	return bsearch(&key, check->lists, check->list_count, sizeof key, by_list_only);
}

/* What a refused transaction read counts as well, but without what it appended itself. */
static size_t shared_count(const struct check *check, size_t txn, const struct history_op *op)
{
	return check->history->txns[txn].committed ? op->seen_count
	                                           : foreign_count(check, (uint32_t)txn, op);
}

static void collect_lists(struct check *check)
{
	const struct history *history = check->history;
	size_t count = 0, kept = 0;

	check->lists = calloc(history->op_count + 1, sizeof *check->lists);
	for (size_t i = 0; i < history->txn_count; i++) {
		const struct history_txn *txn = &history->txns[i];

		for (size_t n = txn->op; n < txn->op + txn->op_count; n++) {
			const struct history_op *op = &history->ops[n];

			if (!op->append)
				check->lists[count++] = (struct longest){op->list, op->seen,
				                                         shared_count(check, i, op)};
		}
	}
	qsort(check->lists, count, sizeof *check->lists, by_list);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || check->lists[kept - 1].list != check->lists[i].list)
			check->lists[kept++] = check->lists[i];
	check->list_count = kept;
}

static const char *two_orders(const struct check *check, size_t txn, const struct history_op *op,
                              const struct longest *longest)
{
	const uint64_t *elements = check->history->elements + longest->seen;
	size_t at = 0;

	while (seen_of(check, op)[at] == elements[at])
		at++;
	return found(check, "order",
	             "list %u has at %zu: %" PRIx64 " of T%u, says T%zu, but %" PRIx64
	             " of T%u in another read",
	             op->list, at, seen_of(check, op)[at],
	             append_of(check, seen_of(check, op)[at])->txn, txn, elements[at],
	             append_of(check, elements[at])->txn);
}

/* Does the longest list begin with each list that was read? */
static const char *check_prefixes(const struct check *check)
{
	const struct history *history = check->history;

	for (size_t i = 0; i < history->txn_count; i++) {
		const struct history_txn *txn = &history->txns[i];

		for (size_t n = txn->op; n < txn->op + txn->op_count; n++) {
			const struct history_op *op = &history->ops[n];
			const struct longest *longest;

			if (op->append)
				continue;
			longest = longest_of(check, op->list);
			if (memcmp(seen_of(check, op), history->elements + longest->seen,
			           shared_count(check, i, op) * sizeof(uint64_t)) != 0)
				return two_orders(check, i, op, longest);
		}
	}
	return NULL;
}

static const char *check_order(struct check *check)
{
	const struct history *history = check->history;
	const char *wrong;

	collect_lists(check);
	wrong = check_prefixes(check);
	if (wrong != NULL)
		return wrong;
	for (size_t i = 0; i < check->list_count; i++)
		for (size_t n = 0; n < check->lists[i].seen_count; n++)
			append_of(check, history->elements[check->lists[i].seen + n])->there = true;
	for (size_t i = 0; i < check->append_count; i++)
		if (!check->appends[i].there && history->txns[check->appends[i].txn].committed)
			return found(check, "lost update",
			             "T%u committed %" PRIu64 ", which is not in list %u",
			             check->appends[i].txn, check->appends[i].element,
			             check->appends[i].list);
	return NULL;
}

/* ---- edges ---- */

static void add_edge(struct check *check, uint32_t from, uint32_t to, enum graph_kind kind)
{
	if (from != to)
		graph_add(&check->graph, from, to, kind);
}

static void edges_of_list(struct check *check, const struct longest *longest)
{
	const uint64_t *elements = check->history->elements + longest->seen;

	for (size_t i = 1; i < longest->seen_count; i++)
		add_edge(check, append_of(check, elements[i - 1])->txn,
		         append_of(check, elements[i])->txn, GRAPH_WW);
}

static void edges_of_read(struct check *check, uint32_t txn, const struct history_op *op)
{
	const struct longest *longest = longest_of(check, op->list);
	const uint64_t *elements = check->history->elements + longest->seen;
	size_t count = foreign_count(check, txn, op);

	if (count > 0)
		add_edge(check, append_of(check, elements[count - 1])->txn, txn, GRAPH_WR);
	if (count < longest->seen_count)
		add_edge(check, txn, append_of(check, elements[count])->txn, GRAPH_RW);
}

static void build_graph(struct check *check)
{
	const struct history *history = check->history;
	uint32_t session_count = 0, *newest;

	for (size_t i = 0; i < check->list_count; i++)
		edges_of_list(check, &check->lists[i]);
	for (size_t i = 0; i < history->txn_count; i++) {
		const struct history_txn *txn = &history->txns[i];

		if (txn->session >= session_count)
			session_count = txn->session + 1;
		for (size_t n = txn->op; txn->committed && n < txn->op + txn->op_count; n++)
			if (!history->ops[n].append)
				edges_of_read(check, (uint32_t)i, &history->ops[n]);
	}
	newest = calloc(session_count + 1, sizeof *newest); /* number + 1 */
	for (size_t i = 0; i < history->txn_count; i++) {
		uint32_t session = history->txns[i].session;

		if (!history->txns[i].committed)
			continue;
		if (newest[session] != 0)
			add_edge(check, newest[session] - 1, (uint32_t)i, GRAPH_SO);
		newest[session] = (uint32_t)i + 1;
	}
	free(newest);
}

/* ---- the clock ---- */

static const char *check_clock(const struct check *check, enum history_level level)
{
	for (size_t i = 0; i < check->graph.edge_count; i++) {
		const struct graph_edge *edge = &check->graph.edges[i];
		const struct history_txn *from = &check->history->txns[edge->from];
		const struct history_txn *to = &check->history->txns[edge->to];
		bool good = true;

		if (edge->kind == GRAPH_WW && from->lsn != 0 && to->lsn != 0)
			good = from->lsn < to->lsn;
		if (edge->kind == GRAPH_WR && from->lsn != 0 && to->snapshot != 0)
			good = from->lsn <= to->snapshot;
		if (edge->kind == GRAPH_RW && from->snapshot != 0 && to->lsn != 0)
			good = to->lsn > from->snapshot;
		if (edge->kind == GRAPH_RW && from->strict && from->lsn != 0 && to->lsn != 0 &&
		    level == HISTORY_SERIALIZABLE)
			good = good && to->lsn > from->lsn;
		if (!good)
			return found(check, "clock",
			             "T%u -%s-> T%u, with snapshots %" PRIu64 " and %" PRIu64
			             ", LSNs %" PRIu64 " and %" PRIu64,
			             edge->from, graph_kind_name(edge->kind), edge->to,
			             from->snapshot, to->snapshot, from->lsn, to->lsn);
	}
	return NULL;
}

static const char *check_circles(struct check *check, enum history_level level)
{
	unsigned rw_count;

	if (graph_circle(&check->graph, 1u << GRAPH_WW, check->why, &rw_count))
		return "G0";
	if (graph_circle(&check->graph, 1u << GRAPH_WW | 1u << GRAPH_WR | 1u << GRAPH_SO,
	                 check->why, &rw_count))
		return "G1c";
	if (level >= HISTORY_SNAPSHOT && graph_circle_apart(&check->graph, check->why, &rw_count))
		return rw_count == 1 ? "G-single" : "G-nonadjacent";
	if (level >= HISTORY_SERIALIZABLE && graph_circle(&check->graph, ~0u, check->why, &rw_count))
		return "G2";
	return NULL;
}

const char *history_check(const struct history *history, enum history_level level, char why[1000])
{
	struct check check = {.history = history, .why = why};
	const char *wrong;

	why[0] = '\0';
	check.graph.node_count = (uint32_t)history->txn_count;
	wrong = index_appends(&check);
	if (wrong == NULL)
		wrong = check_reads(&check);
	if (wrong == NULL)
		wrong = check_order(&check);
	if (wrong == NULL) {
		build_graph(&check);
		wrong = check_circles(&check, level);
	}
	if (wrong == NULL)
		wrong = check_clock(&check, level);
	free(check.appends);
	free(check.lists);
	graph_free(&check.graph);
	return wrong;
}
