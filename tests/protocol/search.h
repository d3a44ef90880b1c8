/* SPDX-License-Identifier: MIT */
/*
 * search.h - exhaustive search of a small concurrent model
 *
 * A model is a fixed number of processes over one packed state of state_size bytes. One step is one
 * access to shared memory by one process, with whatever that process does for itself up to its next
 * access. search_run() visits every state that any interleaving of steps can reach, breadth first,
 * so the trace of a violation is a shortest one. Two states are the same when their bytes are.
 */
#ifndef BWT_TESTS_PROTOCOL_SEARCH_H
#define BWT_TESTS_PROTOCOL_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum search_end {
	SEARCH_CLEAN,     /* every state visited, nothing broken */
	SEARCH_VIOLATION, /* a rule of the model is broken; the trace was printed */
	SEARCH_STUCK,     /* a state from which the end cannot be reached; the trace was printed */
	SEARCH_BLOCKED,   /* a process that must never wait waits; the trace was printed */
	SEARCH_LIMIT,     /* more states than state_count_max: nothing is proven */
	SEARCH_BOUND, /* a step left the model's own bounds: the model is too small for its scenario */
	SEARCH_NO_MEMORY,
};

/* What one call of a model's step() says beside the new state. */
struct search_step {
	const char *violation; /* set by step(): the rule that this very step breaks; static text */
	bool out_of_bounds;    /* set by step(): the model has no room for what the step does */
	char *text;            /* NULL, or where step() writes what it did, for a trace */
	size_t text_size;
};

struct search_model {
	size_t state_size;      /* bytes, no padding inside; at most SEARCH_STATE_MAX */
	unsigned process_count; /* at most 255 */
	const void *scenario;   /* handed to every function below */

	void (*init)(const void *scenario, void *state);

	/*
	 * Take choice @choice (0, 1, ...) of what @process can do next, in place. Returns false when
	 * there is no such choice: after choice 0 that means that the process waits or has ended.
	 */
	bool (*step)(const void *scenario, void *state, unsigned process, unsigned choice,
	             struct search_step *step);

	/* The rule that @state breaks, as static text, or NULL. */
	const char *(*check)(const void *scenario, const void *state);

	/* True when everything that was to be done is done. */
	bool (*finished)(const void *scenario, const void *state);

	/* True when @process, with something left to do, may not be made to wait in @state. */
	bool (*wait_free)(const void *scenario, const void *state, unsigned process);

	void (*print)(const void *scenario, const void *state, FILE *out);
};

struct search_result {
	enum search_end end;
	const char *violation; /* NULL unless end is one of the three failures */
	uint64_t state_count;
	uint64_t transition_count;
	unsigned depth; /* steps: of the trace, or of the deepest state */
	unsigned progress_passes;
	uint64_t memory_bytes; /* at the end */
	double seconds;        /* of processor time */
};

enum {
	SEARCH_STATE_MAX = 256, /* bytes */
};

/**
 * search_run - visit every state of @model, or stop at the first broken rule
 * @model:           see above
 * @state_count_max: states, at most 2^32 - 2; beyond it the search ends with SEARCH_LIMIT
 * @progress:        also prove that the end can be reached from every state (about doubles the time)
 * @trace:           where a violation is printed step by step; NULL prints nothing
 * Returns: what was found; memory is given back
 * Blocks:  never
 */
struct search_result search_run(const struct search_model *model, uint64_t state_count_max,
                                bool progress, FILE *trace);

/* Static text for @end. */
const char *search_end_name(enum search_end end);

#endif
