/* SPDX-License-Identifier: MIT */
/* graph.c - strongly connected components (Tarjan, 1972), and a short circle in one of them */
#include "tests/txn/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MAX 64u /* nodes of a component from which the shortest circle is looked for */

static const char *const names[] = {"ww", "wr", "so", "rw", "*-rw"};

const char *graph_kind_name(enum graph_kind kind)
{
	return names[kind];
}

void graph_add(struct graph *graph, uint32_t from, uint32_t to, enum graph_kind kind)
{
	if (graph->edge_count == graph->edge_capacity) {
		graph->edge_capacity = graph->edge_capacity == 0 ? 1024 : graph->edge_capacity * 2;
		graph->edges = realloc(graph->edges, graph->edge_capacity * sizeof *graph->edges);
		if (graph->edges == NULL)
			abort();
	}
	graph->edges[graph->edge_count++] = (struct graph_edge){from, to, kind};
}

void graph_free(struct graph *graph)
{
	free(graph->edges);
	memset(graph, 0, sizeof *graph);
}

/* ---- edges by their beginning ---- */

struct links {
	const struct graph_edge **edges; /* of node n: edges[first[n]] .. edges[first[n + 1] - 1] */
	size_t *first;
	uint32_t node_count;
};

static struct links links_new(const struct graph *graph, unsigned kinds)
{
	struct links links = {
		.edges = calloc(graph->edge_count + 1, sizeof *links.edges),
		.first = calloc((size_t)graph->node_count + 2, sizeof *links.first),
		.node_count = graph->node_count,
	};

	for (size_t i = 0; i < graph->edge_count; i++)
		if ((kinds >> graph->edges[i].kind & 1) != 0)
			links.first[graph->edges[i].from + 2]++;
	for (size_t n = 2; n <= graph->node_count; n++)
		links.first[n] += links.first[n - 1];
	for (size_t i = 0; i < graph->edge_count; i++)
		if ((kinds >> graph->edges[i].kind & 1) != 0)
			links.edges[links.first[graph->edges[i].from + 1]++] = &graph->edges[i];
	return links;
}

static void links_free(struct links *links)
{
	free(links->edges);
	free(links->first);
}

/* ---- components ---- */

struct walk {
	uint32_t *order, *low; /* 0: not met yet */
	bool *on_stack;
	uint32_t *stack, *path; /* path: the recursion, as an array */
	size_t *edge;           /* next edge of a node to follow */
	uint32_t stack_size, path_size, met;
	uint32_t *component; /* 1 for members of the component that was found */
};

static void meet(struct walk *walk, const struct links *links, uint32_t node)
{
	walk->order[node] = walk->low[node] = ++walk->met;
	walk->edge[node] = links->first[node];
	walk->on_stack[node] = true;
	walk->stack[walk->stack_size++] = node;
	walk->path[walk->path_size++] = node;
}

/* All of @node was followed. True: it is the root of a component of more than one node. */
static bool leave(struct walk *walk, uint32_t node)
{
	bool several;

	walk->path_size--;
	if (walk->path_size > 0) {
		uint32_t above = walk->path[walk->path_size - 1];

		if (walk->low[node] < walk->low[above])
			walk->low[above] = walk->low[node];
	}
	if (walk->low[node] != walk->order[node])
		return false;
	several = walk->stack[walk->stack_size - 1] != node;
	for (;;) {
		uint32_t member = walk->stack[--walk->stack_size];

		walk->on_stack[member] = false;
		walk->component[member] = several;
		if (member == node)
			return several;
	}
}

/* Follow from @root until a component of several nodes is complete. */
static bool follow(struct walk *walk, const struct links *links, uint32_t root)
{
	meet(walk, links, root);
	while (walk->path_size > 0) {
		uint32_t node = walk->path[walk->path_size - 1];

		if (walk->edge[node] == links->first[node + 1]) {
			if (leave(walk, node))
				return true;
			continue;
		}
		uint32_t to = links->edges[walk->edge[node]++]->to;

		if (to == node) { /* a circle of one composed edge */
			walk->component[node] = 1;
			return true;
		}
		if (walk->order[to] == 0)
			meet(walk, links, to);
		else if (walk->on_stack[to] && walk->order[to] < walk->low[node])
			walk->low[node] = walk->order[to];
	}
	return false;
}

static void walk_free(struct walk *walk)
{
	free(walk->order);
	free(walk->low);
	free(walk->on_stack);
	free(walk->stack);
	free(walk->path);
	free(walk->edge);
	free(walk->component);
}

static struct walk walk_new(uint32_t count)
{
	return (struct walk){
		.order = calloc((size_t)count + 1, sizeof(uint32_t)),
		.low = calloc((size_t)count + 1, sizeof(uint32_t)),
		.on_stack = calloc((size_t)count + 1, sizeof(bool)),
		.stack = calloc((size_t)count + 1, sizeof(uint32_t)),
		.path = calloc((size_t)count + 1, sizeof(uint32_t)),
		.edge = calloc((size_t)count + 1, sizeof(size_t)),
		.component = calloc((size_t)count + 1, sizeof(uint32_t)),
	};
}

/* ---- a short circle ---- */

/* Breadth first from @start within the component, back to @start. Length, 0: none. */
static size_t shortest(const struct links *links, const uint32_t *component, uint32_t start,
                       const struct graph_edge **circle, size_t room)
{
	const struct graph_edge **by = calloc((size_t)links->node_count + 1, sizeof *by);
	uint32_t *queue = calloc((size_t)links->node_count + 1, sizeof *queue);
	uint32_t head = 0, tail = 0;
	size_t length = 0;

	queue[tail++] = start;
	while (head < tail && by[start] == NULL) {
		uint32_t node = queue[head++];

		for (size_t i = links->first[node]; i < links->first[node + 1]; i++) {
			uint32_t to = links->edges[i]->to;

			if (component[to] == 0 || by[to] != NULL)
				continue;
			by[to] = links->edges[i];
			if (to != start)
				queue[tail++] = to;
		}
	}
	for (uint32_t node = start; by[node] != NULL && length < room;) {
		circle[length++] = by[node];
		node = by[node]->from;
		if (node == start)
			break;
	}
	free(by);
	free(queue);
	return length;
}

static void describe(const struct links *links, const uint32_t *component, char *why,
                     unsigned *rw_count)
{
	const struct graph_edge *circle[64], *best[64];
	size_t best_length = 0, size = 0;
	unsigned tried = 0;

	for (uint32_t node = 0; node < links->node_count && tried < START_MAX; node++) {
		size_t length;

		if (component[node] == 0)
			continue;
		tried++;
		length = shortest(links, component, node, circle, 64);
		if (length != 0 && (best_length == 0 || length < best_length)) {
			best_length = length;
			memcpy(best, circle, length * sizeof *best);
		}
	}
	*rw_count = 0;
	for (size_t i = best_length; i-- > 0;) {
		*rw_count += best[i]->kind >= GRAPH_RW;
		if (size < 900)
			size += (size_t)snprintf(why + size, 1000 - size, "T%u -%s-> ",
			                         best[i]->from, names[best[i]->kind]);
	}
	if (best_length > 0)
		snprintf(why + size, 1000 - size, "T%u", best[0]->to);
}

bool graph_circle(const struct graph *graph, unsigned kinds, char *why, unsigned *rw_count)
{
	struct links links = links_new(graph, kinds);
	struct walk walk = walk_new(graph->node_count);
	bool there = false;

	for (uint32_t node = 0; node < graph->node_count && !there; node++)
		if (walk.order[node] == 0)
			there = follow(&walk, &links, node);
	if (there)
		describe(&links, walk.component, why, rw_count);
	walk_free(&walk);
	links_free(&links);
	return there;
}

bool graph_circle_apart(const struct graph *graph, char *why, unsigned *rw_count)
{
	struct graph composed = {.node_count = graph->node_count};
	struct links rw = links_new(graph, 1u << GRAPH_RW);
	bool there;

	for (size_t i = 0; i < graph->edge_count; i++) {
		const struct graph_edge *edge = &graph->edges[i];

		if (edge->kind == GRAPH_RW)
			continue;
		graph_add(&composed, edge->from, edge->to, edge->kind);
		for (size_t n = rw.first[edge->to]; n < rw.first[edge->to + 1]; n++)
			graph_add(&composed, edge->from, rw.edges[n]->to, GRAPH_THEN_RW);
	}
	there = graph_circle(&composed, ~0u, why, rw_count);
	links_free(&rw);
	graph_free(&composed);
	return there;
}
