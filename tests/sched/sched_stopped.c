/* SPDX-License-Identifier: MIT */
/*
 * sched_stopped.c - a thread that is stopped for good stops nobody else
 *
 * In every scenario each fiber is stopped at each of its atomic operations in turn (plans "stop:SEED:N>FIBER"),
 * until all others have ended; then it goes on, and what must hold after any schedule must hold. It comes there alone,
 * or in the middle of the others. Who waits must do so for a time that has an end.
 * Two waits have none, and are allowed:
 *
 *   sync, stable   for what is durable, while a record is reserved and not filled, or the flusher is stopped
 *                  (from taking the role until it has woken those who wait)
 *   take           for work, which is what an idle worker waits for
 *
 * Every file of the library with atomic operations must have been such a place, but for those listed below.
 * Environment: SEED, SHORT=1, SCENARIO=text; a failing run prints its plan for "sched_scenarios replay".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sched/explore.h"
#include "tests/sched/script.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define PLACES_MAX 4096u
#define ROUNDS 32u /* ways to come to a point */
#define STRIDE 5u

static const char *seen[PLACES_MAX]; /* where a fiber was stopped */
static unsigned seen_count;
static uint64_t runs, held_runs;

/* What the others sleep for, and that only the stopped fiber can bring. */
static void held(unsigned stopped, uint32_t asleep)
{
	held_runs += asleep != 0;
	for (; asleep != 0; asleep &= asleep - 1) {
		unsigned fiber = (unsigned)__builtin_ctz(asleep);
		enum script_word word = script_word(fiber);

		if (word == SCRIPT_TAKE)
			continue;
		if (word != SCRIPT_SYNC && word != SCRIPT_STABLE)
			sim_fail("fiber %u sleeps for good while fiber %u is stopped", fiber,
			         stopped);
	}
}

static void note(const char *place)
{
	if (strstr(place, "lib/") == NULL)
		return;
	for (unsigned i = 0; i < seen_count; i++)
		if (seen[i] == place || strcmp(seen[i], place) == 0)
			return;
	if (seen_count == PLACES_MAX)
		abort();
	seen[seen_count++] = place;
}

/* One plan; false: the fiber has fewer points, or the run is wrong (*@right). */
static bool stop(struct explore *explore, unsigned fiber, uint32_t point, uint64_t seed, bool *right)
{
	struct sim_plan *plan = &explore->plan;

	*plan = (struct sim_plan){.strategy = SIM_STOP, .seed = seed, .choice_count = 1};
	plan->choice[0] = (struct sim_choice){point, fiber};
	scenario_run(plan, &explore->result);
	runs++;
	explore->schedules++;
	*right = !explore->result.failed;
	if (!*right) {
		explore_report(explore, NULL);
		return false;
	}
	if (explore->result.stopped)
		note(explore->result.stopped_at);
	return explore->result.stopped;
}

/*
 * Round 0: an even seed, the fiber comes there alone. Round 1: a new seed for each point. The others: the same seed
 * along a run, every STRIDE-th point of it, because the long ones (who waits to the end of its patience) are rare.
 */
static uint64_t seed_of(uint64_t seed, uint32_t point, unsigned round)
{
	if (round == 0)
		return 0;
	return (seed + (round == 1 ? point : 0)) * 2 * ROUNDS + 2 * round + 1;
}

static bool stop_everywhere(const struct scenario *scenario, uint64_t seed, unsigned divide)
{
	struct explore explore;
	bool right = true;

	explore_begin(&explore, scenario, seed);
	for (unsigned fiber = 0; fiber < scenario_fibers(); fiber++)
		for (unsigned round = 0; round < ROUNDS; round++) {
			uint32_t step = (round > 1 ? STRIDE : 1) * divide;
			uint32_t point = 1 + (uint32_t)(seed + round) % step;

			while (stop(&explore, fiber, point, seed_of(seed, point, round), &right))
				point += step;
			if (!right)
				return false;
		}
	return true;
}

/* Files of which no operation is part of a scenario, or sure to be met, and why; in all others a fiber must have been stopped. */
static const struct {
	const char *name, *why;
} left_out[] = {
	{"lib/base/stats.h", "counters, which order nothing"},
	{"lib/base/crc32c.c", "chooses an implementation once"},
	{"lib/sys/file.c", "counts descriptors"},
	{"lib/log/vlog.c", "value log: needs files"},
	{"lib/log/vlog_file.c", "value log: needs files"},
	{"lib/log/vlog_read.c", "value log: needs files"},
	{"lib/log/vlog_packed.c", "value log: needs files"},
	{"lib/log/log_lock.h", "lists of files"},
	{"lib/log/wal_segment.c", "files of the log"},
	{"lib/log/wal_keep.c", "files of the log kept for readers"},
	{"lib/log/wal_mapped.c", "files of the log in persistent memory"},
	{"lib/mem/arena.c", "growth of the file"},
	{"lib/mem/extent_return.c", "holes in the file, and its end"},
	{"lib/mem/extent_open.c", "opening"},
	{"lib/page/page_check.c", "checks of pages at rest"},
	{"lib/page/page_check_chain.c", "checks of pages at rest"},
	{"lib/page/page_print.c", "prints"},
	{"lib/tree/tree_check.c", "checks a tree at rest"},
	{"lib/tree/descend.c", "first looks at pages of an earlier life of the store"},
	{"lib/tree/heat.c", "readers' hints: one at a time per page, none waits"},
	{"lib/txn/read.c", "pushes: by chance, when a snapshot meets what is pending"},
	{"lib/txn/read_validate.c", "the same"},
	{"lib/txn/wound.c", "by chance, when patience is over"},
	{"lib/txn/catalog.c", "creates and drops trees, under a lock"},
};

static bool same_file(const char *place, const char *file)
{
	size_t length = strlen(file);

	return strncmp(place, file, length) == 0 && place[length] == ':';
}

static bool file_is_known(const char *place)
{
	for (unsigned i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
		if (same_file(place, left_out[i].name))
			return true;
	for (unsigned i = 0; i < seen_count; i++) {
		const char *in = strstr(seen[i], "lib/");

		if (strncmp(in, place, strcspn(place, ":") + 1) == 0)
			return true;
	}
	return false;
}

/* Every file with atomic operations is one where fibers were stopped, or one of those above. */
static bool all_known(void)
{
	unsigned count;
	const char *const *places = sim_places(&count);
	bool all = true;

	for (unsigned i = 0; i < count; i++) {
		const char *place = strstr(places[i], "lib/");

		if (place == NULL || file_is_known(place))
			continue;
		printf("  no fiber was stopped at %s, nor anywhere in that file\n", place);
		all = false;
	}
	return all;
}

int main(void)
{
	const char *only = getenv("SCENARIO") != NULL ? getenv("SCENARIO") : "";
	bool right = true;
	uint64_t seed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	world_init();
	sim_on_held(held);
	seed = rng_seed();
	for (unsigned i = 0; i < scenario_count && right; i++)
		if (strstr(scenarios[i].name, only) != NULL)
			right = stop_everywhere(&scenarios[i], seed, suite_short() ? 10 : 1);
	printf("%llu runs, %llu of them held back; stopped at %u places\n",
	       (unsigned long long)runs, (unsigned long long)held_runs, seen_count);
	right = right && (*only != '\0' || suite_short() || all_known());
	world_deinit();
	return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
