/* SPDX-License-Identifier: MIT */
/*
 * model_map.c - random operations on a store and on sorted arrays, compared at every step
 *
 * Rounds of a fresh store each, until the time is over: 20 s, LONG=seconds, or 2 s with SHORT=1.
 * A failure prints the SEED of its round, which brings it back in the first round.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/model/world.h"
#include "tests/support/suite.h"

#define ROUND_OPS 4000u
#define PHASE_OPS 400u
#define DISK_ROUNDS 4u /* one of so many is on the disk, the others in memory: far faster */
#define SMALL_SEEDS 5u /* one round of so many has a store that gets full */
#define UNDO_MAX 150u  /* more than this is made durable: comparing after a kill is quadratic */

static const struct {
	const char *name;
	void (*run)(struct world *world);
	unsigned weight; /* 0: op_put or op_delete by the phase */
} ops[] = {
	{"put", op_put, 0},
	{"delete", op_delete, 0},
	{"cas", op_cas, 60},
	{"get", op_get, 120},
	{"get_many", op_get_many, 30},
	{"count", op_count, 20},
	{"too_big", op_too_big, 2},
	{"tree", op_tree, 6},
	{"snapshot", op_snapshot, 12},
	{"txn", op_txn, 200},
	{"walk", op_walk, 60},
	{"walk_beside_changes", op_walk_beside_changes, 6},
	{"checkpoint", op_checkpoint, 6},
	{"sync", op_sync, 6},
	{"reopen", op_reopen, 4},
	{"kill", op_kill, 4},
};

#define OP_COUNT (sizeof ops / sizeof ops[0])
#define CHANGE_WEIGHT 500u /* of puts and deletes together */

static unsigned weight(const struct world *world, size_t op)
{
	if (ops[op].run == op_put)
		return CHANGE_WEIGHT * world->put_percent / 100;
	if (ops[op].run == op_delete)
		return CHANGE_WEIGHT * (100 - world->put_percent) / 100;
	return ops[op].weight;
}

static void run_op(struct world *world)
{
	unsigned total = 0;
	uint64_t choice;
	size_t op = 0;

	for (size_t i = 0; i < OP_COUNT; i++)
		total += weight(world, i);
	choice = rng_below(&world->rng, total);
	while (choice >= weight(world, op))
		choice -= weight(world, op++);
	world->op_name = ops[op].name;
	ops[op].run(world);
	if (world->undo_count > UNDO_MAX)
		op_sync(world);
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Where the store of this round is: TMPDIR says it to tmpstore_new(). */
static void choose_place(unsigned round)
{
	static char given[TMPSTORE_PATH_MAX];

	if (round == 0 && getenv("TMPDIR") != NULL)
		snprintf(given, sizeof given, "%s", getenv("TMPDIR"));
	if (round % DISK_ROUNDS != DISK_ROUNDS - 1 && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	else if (given[0] != '\0')
		setenv("TMPDIR", given, 1);
	else
		unsetenv("TMPDIR");
}

/* One store from creation on; returns the number of operations. */
static uint64_t run_round(uint64_t seed, double deadline)
{
	static struct world world;

	memset(&world, 0, sizeof world);
	world.seed = seed;
	world.op_name = "open";
	world.small = seed % SMALL_SEEDS == 0;
	world.key = malloc(BWT_KEY_MAX + 1);
	rng_init(&world.rng, seed);
	oracle_init(&world.now);
	tmpstore_new(world.path);
	snprintf(world.copy, sizeof world.copy, "%.*s.copy", (int)sizeof world.copy - 6, world.path);
	world_open(&world, BWT_CREATE);
	for (; world.op_no < ROUND_OPS && now_seconds() < deadline; world.op_no++) {
		if (world.op_no % PHASE_OPS == 0) /* growing, steady, shrinking */
			world.put_percent = 30 + 20 * (unsigned)rng_below(&world.rng, 4);
		run_op(&world);
	}
	world.op_name = "the end";
	world_end_snapshots(&world);
	world_compare(&world, world.db, &world.now);
	world_expect(&world, "bwt_close", bwt_close(world.db), BWT_OK);
	world_durable(&world);
	world_open(&world, 0);
	world_compare(&world, world.db, &world.now);
	world_expect(&world, "bwt_close", bwt_close(world.db), BWT_OK);
	tmpstore_clear(world.path);
	rmdir(world.path);
	oracle_free(&world.now);
	bwt_buf_free(&world.buf);
	free(world.undo);
	free(world.key);
	return world.op_no;
}

int main(void)
{
	const char *text = getenv("LONG");
	double seconds = suite_short() ? 2 : 20;
	uint64_t seed = rng_seed(), done = 0;
	double deadline;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (text != NULL && text[0] != '\0')
		seconds = strtod(text, NULL);
	deadline = now_seconds() + seconds;
	for (unsigned round = 0; now_seconds() < deadline; round++) {
		choose_place(round);
		done += run_round(seed + round, deadline);
	}
	printf("%" PRIu64 " operations, all as the model says\n", done);
	return EXIT_SUCCESS;
}
