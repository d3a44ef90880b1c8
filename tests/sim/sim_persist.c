/* SPDX-License-Identifier: MIT */
/*
 * sim_persist.c - each flush and each fence for persistent memory, left out in turn
 *
 * First sound runs, which have to pass and tell which places there are: calls of sys_persist_flush(),
 * sys_persist_copy() (without its flush: stores that stay in the cache), sys_persist_drain(),
 * sys_persist_deep() and sys_map_sync(). Then each of them does nothing, seed after seed in processes of their
 * own, until a power cut leaves what the store may not leave. A table says which seed that took.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/sim/seeds.h"
#include "tests/sim/world.h"
#include "tests/support/suite.h"

#define SEEDS_MAX 300u /* for one place */
#define SEEDS_SOUND 5u /* to find the places with */
#define PLACE_SIZE 200u

/* Places that are not told from none here: by kind, and how their names begin. */
static const struct {
	const char *kind, *place;
} spare[] = {
	/* Good manners: what lies behind the last block of a chunk is told by its checksum. */
	{"flush", "extents_write_filler"},
	/* Whoever opens a store settles its words, and here goes on to write in it: leaving a gate fences them, too. */
	{"fence", "settle_words"},
};

extern const char __executable_start; /* the linker's */

struct one_run {
	const void *left_out;
	uint64_t seed;
};

/* Much of everything that a place may be needed for: several threads, images that are damaged, merges. */
static void tune(struct profile *profile, uint64_t seed)
{
	profile->io_fail_ppm = 0;
	profile->dax = DISK_DAX_ALL;
	profile->fibers = seed % 2 == 0 ? 4 : 1;
	profile->switch_percent = 30;
	profile->checkpoint_percent = 12;
	profile->damage_percent = 40;
	profile->log_damage_percent = 0;
	profile->ops = 150;
	profile->point_permille = 20;
	profile->options.durability = seed % 3 == 0 ? BWT_NONE : BWT_SYNC;
}

static bool any_size(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)hit;
	if (sim != NULL)
		sim_point(name);
	return true;
}

/* Between two sections of a transaction others run, checkpoints among them. */
static bool others_run(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)hit;
	if (sim == NULL)
		return false;
	sim_point(name);
	sim_switch(sim->switch_percent);
	return false;
}

static void run_seed(void *ctx)
{
	static struct world world;
	const struct one_run *run = ctx;
	struct profile profile;

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	world_profile(&profile, run->seed);
	tune(&profile, run->seed);
	world.images_max = 600;
	/* Transactions in many gate sections: what a cut finds half-way is settled when it is met again. */
	if (run->seed % 2 == 0) {
		testpoint_set("txn_large", 0, any_size, NULL);
		testpoint_set("txn_between", 0, others_run, NULL);
		testpoint_set("txn_stamp", 0, others_run, NULL);
	}
	sim_persist_left_out = run->left_out;
	world_run(&world, run->seed, &profile);
}

/* "function at file:line", if there is somebody who can tell. */
static void name_place(const void *address, char text[PLACE_SIZE])
{
	char command[200], function[80] = "?", line[120] = "?";
	FILE *from;

	snprintf(command, sizeof command, "addr2line -f -s -e /proc/%ld/exe 0x%lx 2>/dev/null",
	         (long)getpid(), (unsigned long)((const char *)address - &__executable_start - 1));
	from = popen(command, "r");
	if (from == NULL || fscanf(from, "%79s %119s", function, line) < 1)
		snprintf(function, sizeof function, "%p", address);
	if (from != NULL)
		pclose(from);
	snprintf(text, PLACE_SIZE, "%s %s", function, line);
}

static bool may_be_spared(const char *kind, const char *place)
{
	for (size_t i = 0; i < sizeof spare / sizeof spare[0]; i++) {
		if (strcmp(kind, spare[i].kind) == 0 &&
		    strncmp(place, spare[i].place, strlen(spare[i].place)) == 0)
			return true;
	}
	return false;
}

static bool find(const struct persist_site *site, uint64_t first)
{
	const char *only = getenv("TEST");
	char how[1500] = "", place[PLACE_SIZE];
	unsigned seeds = 0;
	bool found = false;

	name_place(site->address, place);
	if (only != NULL && strstr(place, only) == NULL)
		return true;
	printf("  %-10s %-44s %6llu ", site->kind, place, (unsigned long long)site->calls);
	fflush(stdout);
	if (may_be_spared(site->kind, place)) {
		printf("   -\n");
		return true;
	}
	while (!found && seeds < SEEDS_MAX) {
		struct one_run run = {site->address, first + seeds++};

		found = seed_fails(run_seed, &run, how, sizeof how);
	}
	printf("%4u  %.80s\n", seeds, found ? seed_words(how) : "NOT FOUND");
	return found;
}

int main(void)
{
	size_t size = SIM_PERSISTS * sizeof *sim_persists;
	unsigned count = 0, missed = 0;
	uint64_t seed = rng_seed();
	char how[1500];

#ifdef __SANITIZE_ADDRESS__
	return suite_skip("what is left out is looked for in the plain build");
#endif
	setvbuf(stdout, NULL, _IOLBF, 0);
	sim_persists = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sim_persists == MAP_FAILED)
		return EXIT_FAILURE;
	for (unsigned i = 0; i < SEEDS_SOUND; i++) {
		struct one_run run = {NULL, seed + i};

		if (seed_fails(run_seed, &run, how, sizeof how)) {
			printf("  FALSE with nothing left out: %s\n", how);
			return EXIT_FAILURE;
		}
	}
	printf("  %-10s %-44s %6s %4s  %s\n", "left out", "at", "calls", "seed", "found as");
	for (; count < SIM_PERSISTS && sim_persists[count].address != NULL; count++)
		missed += !find(&sim_persists[count], seed);
	printf("places that make bytes durable: %u, left out and not noticed: %u\n", count, missed);
	return missed == 0 && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
