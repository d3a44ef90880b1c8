/* SPDX-License-Identifier: MIT */
/*
 * sim_sweep.c - the n-th call of the disk, or the n-th allocation, fails: once, or for ever from there on
 *
 * For n = 1, 2, 3, ... the same two lives of a store are run until one of them never comes to the n-th
 * call. Whatever fails has to end in success or in a code with words; no descriptor may be left open
 * (and, in a build with ASan, no memory); and when nothing fails any more, the store has to open, verify
 * and hold what was acknowledged.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "recovery/verify.h"
#include "tests/sim/disk_page.h"
#include "tests/sim/world.h"
#include "tests/support/suite.h"

#define NTH_MAX 20000u
#define OPERATIONS 45u /* of a life */

static uint64_t seed;
static struct world world;

static void failed_words(const char *what, int rc)
{
	if (rc >= 0)
		return;
	if (failing.failed == 0)
		world_fail(&world, "%s: %s (%s) although nothing failed", what, bwt_strerror(rc),
		           bwt_detail());
	if (strcmp(bwt_strerror(rc), "") == 0)
		world_fail(&world, "%s: code %d has no words", what, rc);
}

/* One life under failure; true: it ended well. */
static bool live(bool create)
{
	struct bwt_options options = world.profile.options;
	struct bwt_db *db;
	int rc;

	options.flags = create ? BWT_CREATE : 0;
	rc = bwt_open(SIM_PATH, &options, &db);
	failed_words("open", rc);
	if (rc < 0)
		return false;
	world.created = true;
	world.db = db;
	world.stopped = false;
	for (unsigned t = 0; t < HISTORY_TREES; t++) {
		world.trees[t] = NULL;
		if (world.now.tree[t])
			failed_words("tree",
			             bwt_tree_open(db, world_tree_name(t), 0, &world.trees[t]));
	}
	for (unsigned i = 0; i < OPERATIONS && !world.stopped && world.trees[0] != NULL; i++)
		world_operation(&world, 0);
	rc = bwt_close(db);
	world.db = NULL;
	failed_words("close", rc);
	if (rc == BWT_OK && !world.stopped)
		history_all_durable(&world.history, world.history.clock);
	return rc == BWT_OK && !world.stopped;
}

/* Nothing fails any more. */
static void look(void)
{
	struct bwt_options options = world.profile.options;
	struct verify_report report = {0};
	struct picture found;
	char why[1200];
	unsigned survived;
	struct bwt_db *db;
	int rc;

	options.flags = world.created ? 0 : BWT_CREATE;
	rc = bwt_open(SIM_PATH, &options, &db);
	if (rc < 0)
		world_fail(&world, "it does not open again: %s (%s)", bwt_strerror(rc), bwt_detail());
	rc = verify_store(&db->store, epoch_slot(&db->store.epoch), &report);
	if (rc < 0 || report.damages > 0)
		world_fail(&world, "it does not verify: %s (%s)", bwt_strerror(rc), bwt_detail());
	rc = world_picture(&world, db, &found);
	if (rc < 0)
		world_fail(&world, "it cannot be read: %s (%s)", bwt_strerror(rc), bwt_detail());
	if (!history_allows(&world.history, &found, 0, why, sizeof why, &survived))
		world_fail(&world, "%s", why);
	rc = bwt_close(db);
	if (rc < 0)
		world_fail(&world, "it does not close: %s (%s)", bwt_strerror(rc), bwt_detail());
}

/* Returns whether call @nth was reached. */
static bool run(uint64_t nth, bool io, bool for_ever, bool cut, enum disk_dax dax)
{
	struct picture empty = {.tree = {true}};
	struct disk *disk = disk_new();
	uint64_t reached;

	disk->dax = dax;
	memset(&world, 0, sizeof world);
	world.seed = seed;
	rng_init(&world.rng, seed);
	world_profile(&world.profile, seed);
	world.profile.options.durability = BWT_SYNC;
	world.profile.options.inline_max = 512;
	world.profile.fibers = 1;
	world.profile.io_fail_ppm = 0;
	world.profile.checkpoint_percent = 8;
	world.profile.tree_percent = 8;
	world.profile.value_max = 3000;
	history_restart(&world.history, &empty, 1);
	world.now = empty;
	sim_enter(&world.machine, disk, seed);
	failing = (struct failing){.nth = nth, .io = io, .memory = !io, .for_ever = for_ever};
	if (live(true))
		(void)live(false);
	reached = failing.count;
	failing.nth = 0;
	if (sim_open_files() != 0)
		world_fail(&world, "%u descriptors are left open", sim_open_files());
	if (cut) { /* and then the power, too */
		struct cut how = {.mode = CUT_NOTHING, .rng = &world.rng};

		world.machine.disk = disk_cut(disk, &how);
		disk_free(disk);
	}
	look();
	sim_leave(&world.machine);
	disk_free(world.machine.disk);
	return reached >= nth;
}

static bool sweep(const char *what, bool io, bool for_ever, enum disk_dax dax)
{
	uint64_t nth = 1, step = suite_short() ? 7 : 1;

	while (nth < NTH_MAX && run(nth, io, for_ever, nth % 2 == 0, dax))
		nth += step;
	printf("  %s %s%s: all of %llu\n", what, for_ever ? "for ever" : "once",
	       dax == DISK_DAX_ALL ? ", in persistent memory" : "", (unsigned long long)nth - 1);
	fflush(stdout);
	return nth < NTH_MAX;
}

int main(void)
{
	unsigned seeds = suite_short() ? 1 : 3;
	bool ended = true;

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	seed = rng_seed();
	for (unsigned i = 0; i < seeds && ended; i++, seed++) {
		ended = sweep("a call of the disk fails,", true, false, DISK_DAX_NONE) &&
		        sweep("a call of the disk fails,", true, false, DISK_DAX_ALL) &&
		        sweep("calls of the disk fail,", true, true, DISK_DAX_NONE) &&
		        sweep("an allocation fails,", false, false, DISK_DAX_NONE) &&
		        sweep("an allocation fails,", false, false, DISK_DAX_ALL) &&
		        sweep("allocations fail,", false, true, DISK_DAX_NONE);
	}
	sim_maps_free();
	sim_stacks_free();
	disk_pages_free();
	return ended ? EXIT_SUCCESS : EXIT_FAILURE;
}
