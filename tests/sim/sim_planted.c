/* SPDX-License-Identifier: MIT */
/*
 * sim_planted.c - faults planted in the library, each of which the simulator has to find
 *
 * Each is armed at its test point and run, seed after seed, in a process of its own: it is found when
 * an image does not recover, does not verify, is not what it may be, or the process dies. A table
 * says how many seeds and images that took.
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

#define SEEDS_MAX 400u /* for one fault */
#define SEEDS_SOUND 2u /* of the same profile with nothing planted, which have to pass */

struct planted {
	const char *what;
	const char *rule; /* of design.md */
	const char *point;
	void (*tune)(struct profile *profile);
};

static void tune_async(struct profile *profile)
{
	profile->options.durability = BWT_NONE;
	profile->checkpoint_percent = 10;
}

static void tune_sync(struct profile *profile)
{
	profile->options.durability = BWT_SYNC;
}

static void tune_checkpoints(struct profile *profile)
{
	profile->checkpoint_percent = 25;
	profile->damage_percent = 50;
}

static void tune_large(struct profile *profile)
{
	profile->options.durability = BWT_SYNC;
	profile->options.inline_max = 64;
	profile->value_max = 3000;
	profile->checkpoint_percent = 10;
}

static void tune_failing(struct profile *profile)
{
	profile->options.durability = BWT_SYNC;
	profile->io_fail_ppm = 20000;
	profile->lives = 8;
}

static void tune_short(struct profile *profile)
{
	profile->short_percent = 30;
	profile->value_max = 3000;
	profile->options.inline_max = 4000;
}

static void tune_log_damage(struct profile *profile)
{
	profile->options.durability = BWT_SYNC;
	profile->fibers = 1;
	profile->log_damage_percent = 30;
}

static void tune_idle_lives(struct profile *profile)
{
	profile->options.durability = BWT_NONE;
	profile->fibers = 1;
	profile->same_sizes = true;
	profile->puts_only = true;
	profile->value_max = SAME_SIZE;
	profile->options.inline_max = 5000;
	profile->lives = 80;
	profile->ops = 6;
	profile->kill_percent = 40;
	profile->cut_percent = 3;
	profile->point_permille = 2;
	profile->depth = 1;
	profile->keys = 6;
	profile->idle_percent = 75;
	profile->idle_checkpoints = true;
	profile->checkpoint_percent = 1;
	profile->tree_percent = 0;
}

static void tune_kills(struct profile *profile)
{
	profile->options.durability = BWT_NONE;
	profile->lives = 12;
	profile->ops = 40;
	profile->kill_percent = 80;
}

static void tune_reuse(struct profile *profile)
{
	profile->ops = 400;
	profile->keys = 24;
	profile->same_sizes = true;
	profile->value_max = 1500;
	profile->options.inline_max = 2048;
	profile->checkpoint_percent = 2;
	profile->damage_percent = 40;
}

static void tune_values(struct profile *profile)
{
	tune_large(profile);
	profile->value_max = 20000;
	profile->keys = 6;
	profile->ops = 150;
	profile->checkpoint_percent = 20;
	profile->damage_percent = 40;
}

static void tune_collection(struct profile *profile)
{
	tune_values(profile);
	profile->options.vlog_space_target = 110;
	profile->keys = 24;
	profile->ops = 250;
	profile->damage_percent = 0;
}

static const struct planted planted[] = {
	{"superblock before the arena is synced", "7", "checkpoint_super_early", tune_checkpoints},
	{"superblock before the log reached its cut", "K2", "checkpoint_skip_wait", tune_async},
	{"log recycled one checkpoint early", "I11", "checkpoint_release_early", tune_checkpoints},
	{"extent table not as of the cut", "K1", "checkpoint_extents_late", tune_checkpoints},
	{"segments of tables not copied on first write", "K1", "cow_no_copy", tune_checkpoints},
	{"extent reused while an image reaches it", "I8", "extent_reuse_early", tune_reuse},
	{"value file removed while an image reaches it", "V1", "value_unlink_early", tune_values},
	{"value moved, and not durable before an image refers to it", "VC2",
         "checkpoint_values_unsynced", tune_collection},
	{"value moved, and not counted", "VC4", "move_uncounted", tune_collection},
	{"value moved over another version", "VC1", "move_over_another", tune_collection},
	{"value moved, and the copy never written", "VC2", "vlog_move_unwritten", tune_collection},
	{"value file removed that is still appended to", "VF1", "value_notice_active", tune_values},
	{"log segment's name not synced", "S1", "wal_skip_dir_sync", tune_sync},
	{"log segment's header not synced", "S1", "wal_skip_head_sync", tune_sync},
	{"value file's name not synced", "V1", "vlog_skip_dir_sync", tune_large},
	{"commit acknowledged before it is durable", "I12", "wal_skip_sync", tune_sync},
	{"commit acknowledged before its value is durable", "9", "wal_skip_value_syncs", tune_large},
	{"short write taken for a whole one", "F2", "ring_short_is_whole", tune_short},
	{"retry after a failed sync", "7", "wal_retry", tune_failing},
	{"two flushes share a block", "W2", "wal_share_block", tune_sync},
	{"frame's checksum not looked at", "W3", "wal_ignore_crc", tune_async},
	{"frames of an earlier life accepted", "W3", "wal_accept_incarnation", tune_idle_lives},
	{"bad frame in the middle taken for the end", "W4", "wal_bad_frame_ends", tune_log_damage},
	{"log read from the cache, not synced", "W5", "wal_reader_skip_sync", tune_kills},
	{"records applied twice", "I14", "replay_twice", NULL},
};

static bool plant(void *ctx, const char *name, uint64_t hit)
{
	(void)ctx, (void)hit;
	if (sim != NULL)
		sim_point(name);
	return true;
}

static void run_seed(const struct planted *fault, bool arm, uint64_t seed, uint64_t *images)
{
	static struct world world;
	struct profile profile;

	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	world_profile(&profile, seed);
	profile.io_fail_ppm = 0;
	if (fault->tune != NULL)
		fault->tune(&profile);
	world.shared_images = images;
	world.images_max = 3000;
	if (arm)
		testpoint_set(fault->point, 0, plant, NULL);
	world_run(&world, seed, &profile);
}

struct seed_run {
	const struct planted *fault;
	bool arm;
	uint64_t seed;
	uint64_t *images;
};

static void run_in_child(void *ctx)
{
	const struct seed_run *run = ctx;

	run_seed(run->fault, run->arm, run->seed, run->images);
}

static bool try_seed(const struct planted *fault, bool arm, uint64_t seed, uint64_t *images,
                     char *how, size_t how_size)
{
	struct seed_run run = {fault, arm, seed, images};

	return seed_fails(run_in_child, &run, how, how_size);
}

static bool find(const struct planted *fault, uint64_t first, uint64_t *images)
{
	char how[1500] = "";
	unsigned seeds = 0;
	bool found = false, sound = true;

	for (unsigned i = 0; i < SEEDS_SOUND && sound; i++)
		sound = !try_seed(fault, false, first + i, images, how, sizeof how);
	if (!sound) {
		printf("  FALSE %s, with nothing planted: %s\n", fault->what, how);
		return false;
	}
	*images = 0;
	while (!found && seeds < SEEDS_MAX)
		found = try_seed(fault, true, first + seeds++, images, how, sizeof how);
	printf("  %-4s %-48s %-4s %4u %8llu  %.90s\n", found ? "ok" : "MISS", fault->what,
	       fault->rule, seeds, (unsigned long long)*images, found ? seed_words(how) : "");
	return found;
}

int main(void)
{
	uint64_t *images = mmap(NULL, sizeof *images, PROT_READ | PROT_WRITE,
	                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *only = getenv("TEST");
	uint64_t seed = rng_seed();
	unsigned missed = 0, count = 0;

#ifdef __SANITIZE_ADDRESS__
	return suite_skip("planted faults are looked for in the plain build");
#endif
	if (images == MAP_FAILED)
		return EXIT_FAILURE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("  %-4s %-48s %-4s %4s %8s  %s\n", "", "planted fault", "rule", "seed", "images",
	       "found as");
	for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
		if (only != NULL && strstr(planted[i].what, only) == NULL)
			continue;
		count++;
		missed += !find(&planted[i], seed, images);
	}
	printf("planted faults: %u of %u found\n", count - missed, count);
	return missed == 0 && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
