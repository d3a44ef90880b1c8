/* SPDX-License-Identifier: MIT */
/* graph.h - a directed graph with edges of four kinds, and circles in it (see history.h) */
#ifndef BWT_TESTS_GRAPH_H
#define BWT_TESTS_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum graph_kind {
	GRAPH_WW,
	GRAPH_WR,
	GRAPH_SO,
	GRAPH_RW,
	GRAPH_THEN_RW, /* one of the first three and then a rw: made by graph_circle_apart() */
};

struct graph_edge {
	uint32_t from, to;
	enum graph_kind kind;
};

struct graph {
	uint32_t node_count;
	struct graph_edge *edges; /* zeroed = none */
	size_t edge_count, edge_capacity;
};

void graph_add(struct graph *graph, uint32_t from, uint32_t to, enum graph_kind kind);
void graph_free(struct graph *graph);
const char *graph_kind_name(enum graph_kind kind);

/**
 * graph_circle - is there a circle of edges of these kinds?
 * @kinds:    a bit for each enum graph_kind
 * @why:      out: a short one in words; 1000 bytes
 * @rw_count: out: how many rw are in it
 */
bool graph_circle(const struct graph *graph, unsigned kinds, char *why, unsigned *rw_count);

/** graph_circle_apart - is there one, of all kinds, without two rw in a row? */
bool graph_circle_apart(const struct graph *graph, char *why, unsigned *rw_count);

#endif
