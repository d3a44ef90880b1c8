/* SPDX-License-Identifier: MIT */
/*
 * sim_crash.c - crash after crash, from one seed each
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/disk_page.h"
#include "tests/sim/world.h"
#include "tests/support/suite.h"

#define WORKERS_MAX 64u

static uint64_t number_of(const char *name, uint64_t usual)
{
	const char *text = getenv(name);

	return text == NULL || text[0] == '\0' ? usual : strtoull(text, NULL, 0);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

extern const char __executable_start, etext; /* the linker's */

struct shared {
	uint64_t images, damaged, seeds;
	struct site sites[SIM_SITES];
};

static void work_seeds(struct shared *shared, uint64_t seed, uint64_t step, uint64_t images,
                       double end)
{
	static struct world world;

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	while (__atomic_load_n(&shared->images, __ATOMIC_RELAXED) < images && seconds() < end) {
		uint64_t before = world.images, damaged = world.damaged;

		world_run(&world, seed, NULL);
		__atomic_fetch_add(&shared->images, world.images - before, __ATOMIC_RELAXED);
		__atomic_fetch_add(&shared->damaged, world.damaged - damaged, __ATOMIC_RELAXED);
		__atomic_fetch_add(&shared->seeds, 1, __ATOMIC_RELAXED);
		if (getenv("SIM_TRACE") != NULL)
			printf("seed %llu: %llu images, ended with %016llx\n",
			       (unsigned long long)seed, (unsigned long long)(world.images - before),
			       (unsigned long long)world.rng.state);
		seed += step;
	}
	sim_maps_free();
	sim_stacks_free();
	disk_pages_free();
}

/* Return addresses as in the program's file, and names of the places that are no call sites. */
static void write_sites(const struct shared *shared, const char *path)
{
	FILE *to = fopen(path, "w");

	for (unsigned i = 0; to != NULL && i < SIM_SITES; i++) {
		const struct site *site = &shared->sites[i];
		const char *at = site->address;

		if (at >= &__executable_start && at < &etext)
			fprintf(to, "%llx %llu %llu\n",
			        (unsigned long long)(at - &__executable_start),
			        (unsigned long long)site->calls, (unsigned long long)site->cuts);
		else if (at != NULL)
			fprintf(to, "\"%s\" %llu %llu\n", at, (unsigned long long)site->calls,
			        (unsigned long long)site->cuts);
	}
	if (to != NULL)
		fclose(to);
}

int main(void)
{
	uint64_t seed = rng_seed();
	uint64_t images = number_of("IMAGES", suite_short() ? 3000 : 100000);
	uint64_t workers = number_of("WORKERS", 2);
	double begun = seconds(), end = begun + (double)number_of("SECONDS_MAX", 240);
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool failed = false;

	if (shared == MAP_FAILED)
		return EXIT_FAILURE;
	sim_sites = shared->sites;
	if (getenv("SEED") != NULL && getenv("IMAGES") == NULL) {
		work_seeds(shared, seed, 1, 1, end);
		return EXIT_SUCCESS;
	}
	for (uint64_t w = 0; w < workers; w++) {
		if (fork() == 0) {
			work_seeds(shared, seed + w, workers, images, end);
			exit(EXIT_SUCCESS);
		}
	}
	for (uint64_t w = 0; w < workers; w++) {
		int status;

		failed |= wait(&status) < 0 || status != 0;
	}
	printf("sim: %llu images recovered (%llu with something damaged), %llu seeds, %.0f s, %.0f "
	       "a second\n",
	       (unsigned long long)shared->images, (unsigned long long)shared->damaged,
	       (unsigned long long)shared->seeds, seconds() - begun,
	       (double)shared->images / (seconds() - begun));
	if (getenv("SIM_SITES") != NULL)
		write_sites(shared, getenv("SIM_SITES"));
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
