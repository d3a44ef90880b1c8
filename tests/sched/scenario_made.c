/* SPDX-License-Identifier: MIT */
/* scenario_made.c - scenarios that nobody thought of: "made up N" is always the same one */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sched/scenario.h"
#include "tests/support/rng.h"

#define PREFIX "made up "
#define TEXT_MAX 512u

struct choice {
	const char *word;
	unsigned weight;
	unsigned bound; /* of the number behind it; 0: none. KEY: one of the scenario's keys */
};
#define KEY 1000u
#define WEIGHTS 174u /* the sum */

static const struct choice choices[] = {
	{"put", 30, KEY},  {"ins", 12, KEY},   {"del", 18, KEY},   {"upd", 4, KEY},
	{"cas", 4, KEY},   {"get", 14, KEY},   {"scan", 5, 0},     {"snap", 6, 0},
	{"fix", 6, KEY},   {"force", 3, KEY},  {"fixup", 2, KEY},  {"chunk", 3, 3},
	{"reclaim", 4, 0}, {"cut", 2, 0},      {"advance", 1, 0},  {"yield", 2, 0},
	{"clean", 3, 0},   {"begin", 5, 0},    {"beginser", 3, 0}, {"beginrc", 2, 0},
	{"tput", 14, KEY}, {"tdel", 5, KEY},   {"tget", 8, KEY},   {"commit", 8, 0},
	{"leave", 2, 2},   {"shrink", 8, KEY},
};

static unsigned pick_key(struct rng *rng, unsigned keys)
{
	return 10 + 3 * (unsigned)rng_below(rng, keys);
}

static void add(char *text, const char *word, unsigned number, bool numbered)
{
	size_t used = strlen(text);

	if (numbered)
		snprintf(text + used, TEXT_MAX - used, "%s %u; ", word, number);
	else
		snprintf(text + used, TEXT_MAX - used, "%s; ", word);
}

static void add_look(struct rng *rng, char *text, unsigned keys)
{
	if (rng_chance(rng, 50))
		add(text, "look", 0, false);
	else
		add(text, "read", pick_key(rng, keys), true);
}

static void make_fiber(struct rng *rng, char *text, unsigned keys, unsigned *cuts)
{
	unsigned steps = 3 + (unsigned)rng_below(rng, 6), scans = 0;
	bool snapshot = false;

	while (steps-- > 0) {
		const struct choice *choice = choices;
		unsigned at = (unsigned)rng_below(rng, WEIGHTS);

		for (; at >= choice->weight; choice++)
			at -= choice->weight;
		if (strcmp(choice->word, "cut") == 0 && (*cuts)++ > 0)
			continue; /* one fiber cuts: a checkpoint is one at a time */
		if (strcmp(choice->word, "scan") == 0 && scans++ > 0)
			continue;
		add(text, choice->word,
		    choice->bound == KEY ? pick_key(rng, keys)
		                         : (unsigned)rng_below(rng, choice->bound),
		    choice->bound != 0);
		snapshot = snapshot || strcmp(choice->word, "snap") == 0;
		if (snapshot && rng_chance(rng, 40))
			add_look(rng, text, keys);
	}
}

const struct scenario *scenario_make(const char *name)
{
	static char texts[SIM_FIBERS_MAX][TEXT_MAX], before[TEXT_MAX], own_name[64];
	static struct scenario made;
	unsigned fibers, keys, cuts = 0;
	struct rng rng;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return NULL;
	rng_init(&rng, strtoull(name + strlen(PREFIX), NULL, 10));
	snprintf(own_name, sizeof own_name, "%s", name);
	memset(&made, 0, sizeof made);
	made.name = own_name;
	made.before = before;
	before[0] = '\0';
	if (rng_chance(&rng, 50)) /* pages that merge easily */
		made.limits = (struct tree_limits){
			.leaf_bytes = 260, .inner_bytes = 100, .leaf_chain = 3, .inner_chain = 3};
	fibers = 2 + (unsigned)rng_below(&rng, 4);
	keys = 4 + (unsigned)rng_below(&rng, 14);
	for (unsigned i = (unsigned)rng_below(&rng, 16); i > 0; i--)
		add(before, "put", pick_key(&rng, keys), true);
	if (rng_chance(&rng, 30)) /* the open extent is nearly full */
		for (unsigned i = 0; i < 9; i++)
			add(before, "chunk", (unsigned)rng_below(&rng, 2), true);
	for (unsigned i = 0; i < fibers; i++) {
		texts[i][0] = '\0';
		make_fiber(&rng, texts[i], keys, &cuts);
		made.fiber[i] = texts[i];
	}
	return &made;
}
