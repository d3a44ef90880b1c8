/* SPDX-License-Identifier: MIT */
/*
 * world_image.c - images: cut, recovered on a nested machine, verified, compared
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recovery/verify.h"
#include "tests/sim/world.h"

#define NESTED_MAX 64u

struct check { /* one image being recovered */
	struct world *world;
	struct machine machine;
	unsigned depth; /* 1: cut from the world's machine */
	const char *what;
	char how[80];     /* names the cut, and the damage */
	bool damaged;     /* an older checkpoint may be in use */
	bool log_damaged; /* it may be refused, but not be shorter */
	uint64_t durable_lsn;
	/* What images cut from this one in its recovery recovered to: all must be as this one (I14). */
	struct picture *nested;
	unsigned nested_count;
};

static void finding(void *ctx, const struct bwt_finding *found)
{
	char *text = ctx;

	if (found->severity >= BWT_WARNING && text[0] == '\0')
		snprintf(text, 400, "%s at %llu, page %llu: %s", found->file,
		         (unsigned long long)found->offset, (unsigned long long)found->page,
		         found->text);
}

/* ---- reading ---- */

static int read_tree(struct bwt_tree *tree, struct picture *picture, unsigned number)
{
	struct bwt_cursor *cursor;
	uint64_t count, seen = 0;
	int rc = bwt_cursor_open(tree, NULL, &cursor);

	if (rc < 0)
		return rc;
	while ((rc = bwt_cursor_next(cursor)) == BWT_OK) {
		struct bwt_slice key, value;
		unsigned k;

		rc = bwt_cursor_key(cursor, &key);
		if (rc == BWT_OK)
			rc = bwt_cursor_value(cursor, &value);
		if (rc < 0)
			break;
		k = world_key_number(key);
		if (k == HISTORY_KEYS || picture->item[number][k].there) {
			rc = BWT_CORRUPT;
			break;
		}
		picture->item[number][k] = world_item(value.data, value.size);
		seen++;
	}
	bwt_cursor_close(cursor);
	if (rc != BWT_NOT_FOUND)
		return rc;
	rc = bwt_count(tree, &count);
	return rc < 0 ? rc : count == seen ? BWT_OK : BWT_CORRUPT;
}

struct names {
	struct picture *picture;
	unsigned strange;
};

static int note_name(void *ctx, const char *name)
{
	struct names *names = ctx;
	unsigned t = 1;

	while (t < HISTORY_TREES && strcmp(world_tree_name(t), name) != 0)
		t++;
	if (t == HISTORY_TREES)
		names->strange++;
	else
		names->picture->tree[t] = true;
	return 0;
}

int world_picture(const struct world *world, struct bwt_db *db, struct picture *picture)
{
	struct names names = {picture, 0};
	int rc;

	(void)world;
	memset(picture, 0, sizeof *picture);
	picture->tree[0] = true;
	rc = bwt_tree_list(db, note_name, &names);
	for (unsigned t = 0; t < HISTORY_TREES && rc == BWT_OK; t++) {
		struct bwt_tree *tree;

		if (!picture->tree[t])
			continue;
		rc = bwt_tree_open(db, world_tree_name(t), 0, &tree);
		if (rc == BWT_OK)
			rc = read_tree(tree, picture, t);
	}
	return rc == BWT_OK && names.strange > 0 ? BWT_CORRUPT : rc;
}

void world_drop(struct bwt_db *db)
{
	int healthy = 0;

	sim->disk->dying = true;
	sim->instant = NULL;
	sim->switch_percent = 0;
	/* A failed store takes no checkpoint when it is closed. */
	atomic_compare_exchange_strong_explicit(&db->store.failure, &healthy, BWT_IO,
	                                        memory_order_relaxed, memory_order_relaxed);
	bwt_close(db);
}

/* ---- one image ---- */

static void verify(const struct world *world, struct bwt_db *db, const char *what, bool damaged)
{
	char text[400] = "";
	struct verify_report report = {.report = finding, .ctx = text};
	int rc = verify_store(&db->store, epoch_slot(&db->store.epoch), &report);

	if (rc < 0)
		world_fail(world, "%s: verification: %s (%s)", what, bwt_strerror(rc), bwt_detail());
	if (report.damages > 0 || (report.warnings > 0 && !damaged))
		world_fail(world, "%s: verification: %s", what, text);
}

static void say(void *ctx, int level, const char *text)
{
	(void)ctx;
	fprintf(stderr, "%*slog %d: %s\n", (int)sim->depth * 2, "", level, text);
}

static void compare(struct check *check, struct bwt_db *db, struct picture *found)
{
	struct world *world = check->world;
	static char why[1200];
	unsigned survived;
	int rc;

	verify(world, db, check->what, check->damaged);
	rc = world_picture(world, db, found);
	if (rc < 0)
		world_fail(world, "%s: reading: %s (%s)", check->what, bwt_strerror(rc),
		           bwt_detail());
	if (!history_allows(&world->history, found, check->durable_lsn, why, sizeof why, &survived))
		world_fail(world, "%s (%s), durable up to LSN %llu, the log found ends at %llu: %s",
		           check->what, check->how, (unsigned long long)check->durable_lsn,
		           (unsigned long long)store_clock(&db->store), why);
	for (unsigned i = 0; i < check->nested_count; i++) {
		if (memcmp(&check->nested[i], found, sizeof *found) != 0)
			world_fail(world, "%s: cut in its recovery, it recovers to another state",
			           check->what);
	}
}

static void check_image(struct check *check, struct disk *disk, struct picture *found)
{
	struct world *world = check->world;
	struct bwt_options options = world->profile.options;
	struct bwt_db *db;
	int rc;

	options.flags = world->created ? 0 : BWT_CREATE;
	if (getenv("SIM_LOG") != NULL)
		options.log = say;
	if (world->created && rng_chance(&world->rng, 2))
		options.flags = BWT_RDONLY;
	sim_enter(&check->machine, disk, rng_u64(&world->rng));
	rc = bwt_open(SIM_PATH, &options, &db);
	world->images++;
	if (world->shared_images != NULL)
		++*world->shared_images;
	if (rc < 0 && !(check->log_damaged && rc == BWT_CORRUPT))
		world_fail(world, "%s (%s): open: %s (%s)", check->what, check->how,
		           bwt_strerror(rc), bwt_detail());
	if (rc == BWT_OK) {
		compare(check, db, found);
		world_drop(db);
	} else {
		world->refused++;
		memset(found, 0, sizeof *found);
	}
	sim_leave(&check->machine);
	disk_free(disk);
	sim_free(check->nested);
}

static const char *cut_name(const struct cut *cut);
static void world_check(struct world *world, struct disk *disk, const char *what, const char *how,
                        const struct check *outer, struct picture *found);

static void nested_instant(struct machine *machine, const void *site, bool io)
{
	struct check *check = machine->ctx;
	struct world *world = check->world;
	struct picture *found;
	struct cut cut;

	if (check->nested_count == NESTED_MAX ||
	    rng_below(&world->rng, 1000) >=
	            (io ? world->profile.recovery_permille : world->profile.recovery_permille / 8))
		return;
	if (check->nested == NULL)
		check->nested = sim_alloc(NESTED_MAX * sizeof *check->nested);
	found = &check->nested[check->nested_count];
	sim_site_cut(site);
	disk_look(machine->disk);
	disk_cut_choose(machine->disk, &world->rng, &cut);
	world_check(world, disk_cut(machine->disk, &cut), check->what, cut_name(&cut), check, found);
	check->nested_count++;
}

static const char *cut_name(const struct cut *cut)
{
	static const char *const names[CUT_MODES] = {"nothing survives", "all survives",
	                                             "up to an instant", "any pages",
	                                             "any sectors",      "files differ"};

	return names[cut->mode];
}

static void world_check(struct world *world, struct disk *disk, const char *what, const char *how,
                        const struct check *outer, struct picture *found)
{
	struct check *check = sim_alloc(sizeof *check);

	check->world = world;
	check->what = what;
	snprintf(check->how, sizeof check->how, "%s", how);
	/* While a life begins, what the one before said counts. */
	check->durable_lsn = world->db == NULL ? world->ending.durable_lsn
	                                       : wal_durable_lsn(world->db->store.wal);
	disk->limit = 0;
	check->depth = outer == NULL ? 1 : outer->depth + 1;
	if (check->depth < world->profile.depth) {
		check->machine.instant = nested_instant;
		check->machine.ctx = check;
	}
	check->machine.short_percent = world->profile.short_percent;
	if (outer != NULL) {
		check->damaged = outer->damaged;
		check->log_damaged = outer->log_damaged;
	} else if (rng_chance(&world->rng, world->profile.damage_percent)) {
		check->damaged = world_damage(world, disk, check->how, sizeof check->how);
	} else if (rng_chance(&world->rng, world->profile.log_damage_percent)) {
		check->log_damaged = world_damage_log(world, disk);
	}
	world->damaged += check->damaged || check->log_damaged;
	check_image(check, disk, found);
	sim_free(check);
}

/* ---- cutting ---- */

static void note_ending(struct world *world, struct machine *machine)
{
	struct cut cut;

	disk_cut_choose(machine->disk, &world->rng, &cut);
	world->ending.disk = rng_chance(&world->rng, world->profile.kill_percent)
	                             ? disk_kill(machine->disk)
	                             : disk_cut(machine->disk, &cut);
	world->ending.history = world->history;
	if (world->db != NULL)
		world->ending.durable_lsn = wal_durable_lsn(world->db->store.wal);
}

void world_instant(struct machine *machine, const void *site, bool io)
{
	struct world *world = machine->ctx;
	const struct profile *profile = &world->profile;
	struct picture found;
	struct cut cut;

	if (world->end_wanted && world->ending.disk == NULL && rng_chance(&world->rng, 3))
		note_ending(world, machine);
	if (world->images_max != 0 && world->images >= world->images_max)
		return;
	if (rng_below(&world->rng, 1000) >=
	    (io ? profile->cut_percent * 10 : profile->point_permille)) {
		if (rng_chance(&world->rng, 1))
			disk_look(machine->disk);
		return;
	}
	sim_site_cut(site);
	disk_look(machine->disk);
	disk_cut_choose(machine->disk, &world->rng, &cut);
	world_check(world, disk_cut(machine->disk, &cut),
	            io ? "cut at a call" : "cut between calls", cut_name(&cut), NULL, &found);
}
