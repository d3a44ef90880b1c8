/* SPDX-License-Identifier: MIT */
/*
 * machine.c - machines nested in each other, instants, and calls that fail
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/sim/sim.h"

struct machine *sim;
struct failing failing;
struct site *sim_sites;

static bool any_point(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)hit;
	if (sim != NULL)
		sim_point(name);
	return false;
}

void sim_enter(struct machine *machine, struct disk *disk, uint64_t seed)
{
	if (sim != NULL)
		fiber_save_cache(sim->running);
	else
		testpoint_set("*", 0, any_point, NULL);
	machine->outer = sim;
	machine->depth = sim == NULL ? 0 : sim->depth + 1;
	machine->disk = disk;
	machine->now_ns = 1000000000;
	rng_init(&machine->rng, seed);
	machine->main = machine->running = fiber_main_new();
	machine->fibers[machine->fiber_count++] = machine->main;
	sim = machine;
	fiber_load_cache(machine->running);
}

void sim_leave(struct machine *machine)
{
	fiber_main_free(machine->main);
	machine->fiber_count = 0;
	sim = machine->outer;
	if (sim != NULL)
		fiber_load_cache(sim->running);
}

/* ---- sites ---- */

static struct site *site_of(const void *address)
{
	size_t at = ((uintptr_t)address * 0x9e3779b97f4a7c15u >> 32) % SIM_SITES;

	for (unsigned i = 0; i < SIM_SITES; i++, at = (at + 1) % SIM_SITES) {
		const void *none = NULL;

		if (sim_sites[at].address == address)
			return &sim_sites[at];
		if (sim_sites[at].address == NULL &&
		    __atomic_compare_exchange_n(&sim_sites[at].address, &none, address, false,
		                                __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return &sim_sites[at];
	}
	abort();
}

void sim_site_cut(const void *site)
{
	if (sim_sites != NULL)
		__atomic_fetch_add(&site_of(site)->cuts, 1, __ATOMIC_RELAXED);
}

static void note_call(const void *site)
{
	struct site *found;

	if (sim_sites == NULL)
		return;
	found = site_of(site);
	found->io = true;
	__atomic_fetch_add(&found->calls, 1, __ATOMIC_RELAXED);
}

/* ---- instants ---- */

static void instant(const void *site, bool io)
{
	sim->now_ns += 100;
	if (sim->in_instant)
		return;
	if (sim->instant != NULL) {
		struct machine *machine = sim;

		machine->in_instant = true;
		machine->instant(machine, site, io);
		machine->in_instant = false;
	}
}

bool sim_fails(bool io, const void *site)
{
	bool fails;

	if (io ? !failing.io : !failing.memory)
		return false;
	failing.count++;
	fails = failing.nth != 0 &&
	        (failing.count == failing.nth || (failing.for_ever && failing.count > failing.nth));
	if (fails && failing.failed++ == 0)
		failing.site = site;
	return fails;
}

int sim_before(const void *site, int error)
{
	if (sim == NULL)
		abort();
	note_call(site);
	instant(site, true);
	sim_switch(sim->switch_percent);
	if (error != 0 && sim_fails(true, site))
		return error;
	if (error == EIO && sim->io_fail_ppm > 0 && rng_below(&sim->rng, 1000000) < sim->io_fail_ppm)
		return error;
	return 0;
}

void sim_after(const void *site)
{
	instant(site, true);
	sim_switch(sim->switch_percent);
}

void sim_point(const void *site)
{
	instant(site, false);
}
