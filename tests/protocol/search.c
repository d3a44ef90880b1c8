/* SPDX-License-Identifier: MIT */
/*
 * search.c - exhaustive search of a small concurrent model
 *
 * Why not spin: the models share their words for states, rules and broken variants with the tests
 * around them, and a machine without spin must still be able to run `make check`.
 *
 *   state n     blocks[n / BLOCK_STATES], fixed size, never moved; n is its place in the queue
 *   arrival n   which step of which state first led to n; gives the trace
 *   table       open addressing, {low 32 bits of the hash, n + 1}; grows at half full
 *
 *   S1  States are compared byte by byte. The hash only finds candidates: nothing is left out because two
 *       states happen to collide.
 *   S2  States are expanded in the order of discovery, so arrival paths are shortest paths.
 */
#include "search.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BLOCK_SHIFT = 16,
	BLOCK_STATES = 1 << BLOCK_SHIFT,
	TABLE_SHIFT_MIN = 16,
	CHOICE_MAX = 255,
	TEXT_SIZE = 256,
};

#define NO_STATE UINT32_MAX

struct arrival {
	uint32_t from; /* NO_STATE for the first state */
	uint8_t process;
	uint8_t choice;
	uint16_t unused;
};

struct block {
	struct arrival arrival[BLOCK_STATES];
	unsigned char state[]; /* BLOCK_STATES * state_size */
};

struct cell {
	uint32_t hash;
	uint32_t number; /* state + 1; 0 = empty */
};

struct search {
	const struct search_model *model;
	FILE *trace;
	uint64_t limit;
	struct block **blocks;
	size_t block_count;
	size_t block_room;
	uint32_t state_count;
	struct cell *table;
	unsigned table_shift;
	struct search_result result;
};

static size_t block_size(const struct search *search)
{
	return sizeof(struct block) + (size_t)BLOCK_STATES * search->model->state_size;
}

static unsigned char *state_at(const struct search *search, uint32_t number)
{
	struct block *block = search->blocks[number >> BLOCK_SHIFT];

	return block->state + (size_t)(number & (BLOCK_STATES - 1)) * search->model->state_size;
}

static struct arrival *arrival_at(const struct search *search, uint32_t number)
{
	return &search->blocks[number >> BLOCK_SHIFT]->arrival[number & (BLOCK_STATES - 1)];
}

static uint64_t mix(uint64_t value)
{
	value ^= value >> 32;
	value *= UINT64_C(0xd6e8feb86659fd93);
	value ^= value >> 32;
	return value;
}

static uint32_t hash_of(const unsigned char *state, size_t size)
{
	uint64_t hash = size;
	uint64_t word;

	for (; size >= sizeof word; state += sizeof word, size -= sizeof word) {
		memcpy(&word, state, sizeof word);
		hash = mix(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
	}
	word = 0;
	memcpy(&word, state, size);
	return (uint32_t)mix(hash ^ word);
}

static struct cell *cell_for(const struct search *search, uint32_t hash, const unsigned char *state)
{
	const size_t mask = ((size_t)1 << search->table_shift) - 1;
	size_t at = hash & mask;

	for (;; at = (at + 1) & mask) {
		struct cell *cell = &search->table[at];

		if (cell->number == 0)
			return cell;
		if (cell->hash == hash && memcmp(state_at(search, cell->number - 1), state,
		                                 search->model->state_size) == 0)
			return cell;
	}
}

static bool table_grow(struct search *search)
{
	const unsigned shift = search->table == NULL ? TABLE_SHIFT_MIN : search->table_shift + 1;
	const size_t old_size = search->table == NULL ? 0 : (size_t)1 << search->table_shift;
	const size_t mask = ((size_t)1 << shift) - 1;
	struct cell *grown = calloc((size_t)1 << shift, sizeof *grown);

	if (grown == NULL)
		return false;
	for (size_t i = 0; i < old_size; i++) {
		const struct cell cell = search->table[i];
		size_t at = cell.hash & mask;

		if (cell.number == 0)
			continue;
		while (grown[at].number != 0)
			at = (at + 1) & mask;
		grown[at] = cell;
	}
	free(search->table);
	search->table = grown;
	search->table_shift = shift;
	return true;
}

static bool block_add(struct search *search)
{
	struct block **grown;

	if (search->block_count == search->block_room) {
		search->block_room = search->block_room * 2 + 16;
		grown = realloc(search->blocks, search->block_room * sizeof *grown);
		if (grown == NULL)
			return false;
		search->blocks = grown;
	}
	search->blocks[search->block_count] = malloc(block_size(search));
	if (search->blocks[search->block_count] == NULL)
		return false;
	search->block_count++;
	return true;
}

static enum search_end state_append(struct search *search, struct cell *cell, uint32_t hash,
                                    const unsigned char *state, struct arrival arrival)
{
	const uint32_t number = search->state_count;

	if (number >= search->limit)
		return SEARCH_LIMIT;
	if (number >> BLOCK_SHIFT == search->block_count && !block_add(search))
		return SEARCH_NO_MEMORY;
	memcpy(state_at(search, number), state, search->model->state_size);
	*arrival_at(search, number) = arrival;
	*cell = (struct cell){.hash = hash, .number = number + 1};
	search->state_count++;
	if ((size_t)search->state_count * 2 > (size_t)1 << search->table_shift && !table_grow(search))
		return SEARCH_NO_MEMORY;
	return SEARCH_CLEAN;
}

/* The steps that lead to state @number, first to last; caller frees. */
static uint32_t *path_to(const struct search *search, uint32_t number, unsigned *length)
{
	uint32_t *path;
	unsigned count = 0;

	for (uint32_t at = number; arrival_at(search, at)->from != NO_STATE;
	     at = arrival_at(search, at)->from)
		count++;
	*length = count;
	path = malloc((count + 1U) * sizeof *path);
	if (path == NULL)
		return NULL;
	for (uint32_t at = number; count > 0; at = arrival_at(search, at)->from)
		path[--count] = at;
	return path;
}

static void print_step(const struct search *search, const unsigned char *before, unsigned index,
                       struct arrival arrival)
{
	unsigned char state[SEARCH_STATE_MAX];
	char text[TEXT_SIZE] = "";
	struct search_step step = {.text = text, .text_size = sizeof text};

	memcpy(state, before, search->model->state_size);
	search->model->step(search->model->scenario, state, arrival.process, arrival.choice, &step);
	fprintf(search->trace, "  %3u  process %u: %s\n", index, arrival.process, text);
}

/*
 * Report a failure in state @number, or in the step @last out of it when @last is not NULL.
 * The steps are run again with a buffer for their words.
 */
static void report(struct search *search, enum search_end end, const char *violation,
                   uint32_t number, const struct arrival *last)
{
	unsigned length;
	uint32_t *path = path_to(search, number, &length);

	search->result.end = end;
	search->result.violation = violation;
	search->result.depth = length + (last != NULL ? 1 : 0);
	if (path != NULL && search->trace != NULL) {
		fprintf(search->trace, "%s: %s\n", search_end_name(end), violation);
		for (unsigned i = 0; i < length; i++) {
			const struct arrival arrival = *arrival_at(search, path[i]);

			print_step(search, state_at(search, arrival.from), i + 1, arrival);
		}
		if (last != NULL)
			print_step(search, state_at(search, number), length + 1, *last);
		fprintf(search->trace, "  %s", last != NULL ? "before that step: " : "then: ");
		search->model->print(search->model->scenario, state_at(search, number),
		                     search->trace);
	}
	free(path);
}

/* A step led to @next. Returns false when the search is over. */
static bool expand_step(struct search *search, const unsigned char *next, struct arrival arrival)
{
	const uint32_t hash = hash_of(next, search->model->state_size);
	struct cell *cell = cell_for(search, hash, next);
	const char *violation;
	enum search_end end;

	search->result.transition_count++;
	if (cell->number != 0)
		return true;
	end = state_append(search, cell, hash, next, arrival);
	if (end != SEARCH_CLEAN) {
		search->result.end = end;
		return false;
	}
	violation = search->model->check(search->model->scenario, next);
	if (violation != NULL) {
		report(search, SEARCH_VIOLATION, violation, search->state_count - 1, NULL);
		return false;
	}
	return true;
}

/* Take every choice of @process in state @number. Returns false when the search is over. */
static bool expand_process(struct search *search, uint32_t number, unsigned process, bool *moved)
{
	const struct search_model *model = search->model;
	unsigned char next[SEARCH_STATE_MAX];

	*moved = false;
	for (unsigned choice = 0; choice <= CHOICE_MAX; choice++) {
		const struct arrival arrival = {
			.from = number, .process = (uint8_t)process, .choice = (uint8_t)choice};
		struct search_step step = {.violation = NULL};

		memcpy(next, state_at(search, number), model->state_size);
		if (!model->step(model->scenario, next, process, choice, &step))
			break;
		if (step.out_of_bounds) {
			report(search, SEARCH_BOUND, "the step leaves the bounds of the model",
			       number, &arrival);
			return false;
		}
		if (step.violation != NULL) {
			report(search, SEARCH_VIOLATION, step.violation, number, &arrival);
			return false;
		}
		*moved |= memcmp(next, state_at(search, number), model->state_size) != 0;
		if (!expand_step(search, next, arrival))
			return false;
	}
	return true;
}

static bool expand(struct search *search, uint32_t number)
{
	const struct search_model *model = search->model;

	for (unsigned process = 0; process < model->process_count; process++) {
		bool moved;

		if (!expand_process(search, number, process, &moved))
			return false;
		if (!moved && model->wait_free(model->scenario, state_at(search, number), process)) {
			report(search, SEARCH_BLOCKED, "a process waits that never may", number,
			       NULL);
			return false;
		}
	}
	return true;
}

static bool bit_get(const uint8_t *bits, uint32_t number)
{
	return (bits[number >> 3] >> (number & 7) & 1) != 0;
}

static void bit_set(uint8_t *bits, uint32_t number)
{
	bits[number >> 3] |= (uint8_t)(1U << (number & 7));
}

/* True when some step out of @number leads to a state marked in @good. */
static bool leads_to_good(const struct search *search, uint32_t number, const uint8_t *good)
{
	const struct search_model *model = search->model;
	unsigned char next[SEARCH_STATE_MAX];

	for (unsigned process = 0; process < model->process_count; process++) {
		for (unsigned choice = 0; choice <= CHOICE_MAX; choice++) {
			struct search_step step = {.violation = NULL};
			const struct cell *cell;

			memcpy(next, state_at(search, number), model->state_size);
			if (!model->step(model->scenario, next, process, choice, &step))
				break;
			cell = cell_for(search, hash_of(next, model->state_size), next);
			if (bit_get(good, cell->number - 1))
				return true;
		}
	}
	return false;
}

/*
 * Mark backwards, from the finished states, what can reach one. Steps mostly lead to states found later,
 * so going down the queue settles nearly everything in the first pass.
 */
static void prove_progress(struct search *search)
{
	const struct search_model *model = search->model;
	uint8_t *good = calloc((size_t)search->state_count / 8 + 1, 1);
	bool changed = true;
	uint32_t bad = NO_STATE;

	if (good == NULL) {
		search->result.end = SEARCH_NO_MEMORY;
		return;
	}
	for (uint32_t n = 0; n < search->state_count; n++)
		if (model->finished(model->scenario, state_at(search, n)))
			bit_set(good, n);
	while (changed) {
		changed = false;
		bad = NO_STATE;
		search->result.progress_passes++;
		for (uint32_t n = search->state_count; n-- > 0;) {
			if (bit_get(good, n))
				continue;
			if (leads_to_good(search, n, good)) {
				bit_set(good, n);
				changed = true;
			} else {
				bad = n;
			}
		}
	}
	free(good);
	if (bad != NO_STATE)
		report(search, SEARCH_STUCK, "the end cannot be reached any more", bad, NULL);
}

static void search_free(struct search *search)
{
	search->result.memory_bytes =
		search->block_count * block_size(search) +
		(search->table == NULL ? 0 : sizeof(struct cell) << search->table_shift);
	for (size_t i = 0; i < search->block_count; i++)
		free(search->blocks[i]);
	free(search->blocks);
	free(search->table);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct search_result search_run(const struct search_model *model, uint64_t state_count_max,
                                bool progress, FILE *trace)
{
	struct search search = {.model = model, .trace = trace, .limit = state_count_max};
	const struct arrival none = {.from = NO_STATE};
	unsigned char first[SEARCH_STATE_MAX];
	const double start = seconds_now();
	unsigned depth;

	search.result.end = SEARCH_NO_MEMORY;
	if (search.limit > NO_STATE - 1)
		search.limit = NO_STATE - 1;
	model->init(model->scenario, first);
	if (table_grow(&search) && expand_step(&search, first, none)) {
		uint32_t next = 0;

		search.result.end = SEARCH_CLEAN;
		search.result.transition_count = 0;
		while (next < search.state_count && expand(&search, next))
			next++;
		if (search.result.end == SEARCH_CLEAN) {
			free(path_to(&search, search.state_count - 1, &depth));
			search.result.depth = depth;
		}
		if (search.result.end == SEARCH_CLEAN && progress)
			prove_progress(&search);
	}
	search.result.state_count = search.state_count;
	search_free(&search);
	search.result.seconds = seconds_now() - start;
	return search.result;
}

const char *search_end_name(enum search_end end)
{
	switch (end) {
	case SEARCH_CLEAN:
		return "clean";
	case SEARCH_VIOLATION:
		return "violation";
	case SEARCH_STUCK:
		return "stuck";
	case SEARCH_BLOCKED:
		return "blocked";
	case SEARCH_LIMIT:
		return "too many states";
	case SEARCH_BOUND:
		return "out of bounds";
	case SEARCH_NO_MEMORY:
		return "out of memory";
	}
	return "?";
}
