/* SPDX-License-Identifier: MIT */
/*
 * world.h - a store on a simulated machine, what it was told, and the images that are cut from it
 *
 *   life:  open, operations of one or more fibers, checkpoints; at some instants images are cut and
 *          recovered on nested machines, at some instants of which images are cut and recovered, ...
 *   end of a life: a clean close, or a cut or a kill somewhere in it; the next life goes on from there
 *
 * Everything follows from one seed.
 */
#ifndef BWT_TESTS_SIM_WORLD_H
#define BWT_TESTS_SIM_WORLD_H

#include "db/db.h"
#include "tests/sim/history.h"
#include "tests/sim/sim.h"

#define WORLD_VALUE_MAX 40000u
#define SAME_SIZE 4053u /* with a short key a frame of the log that fills a block of it */

struct profile { /* of one seed */
	struct bwt_options options;
	unsigned fibers;
	unsigned ops; /* of a life, all fibers together */
	unsigned lives;
	unsigned keys;      /* in use, of HISTORY_KEYS */
	uint32_t value_max; /* most are much smaller */
	bool same_sizes;    /* all values have value_max bytes, or SAME_SIZE */
	bool puts_only;
	unsigned checkpoint_percent;
	unsigned tree_percent; /* creations and drops */
	unsigned io_fail_ppm;
	unsigned short_percent;
	unsigned switch_percent;
	unsigned cut_percent;        /* of calls of the disk */
	unsigned point_permille;     /* of test points */
	unsigned recovery_permille;  /* of calls of the disk by a recovery */
	unsigned damage_percent;     /* of images: something that can be spared */
	unsigned log_damage_percent; /* of images: a record that the log itself says was durable */
	unsigned idle_percent;       /* of lives with hardly an operation */
	bool idle_checkpoints;       /* these lives take two checkpoints and do nothing else */
	unsigned kill_percent;       /* of ends by a crash: the system goes on */
	unsigned depth;              /* of cuts in recoveries in recoveries */
	unsigned dax;                /* enum disk_dax */
	unsigned packing; /* how trees store large values: BWT_PLAIN, BWT_LZ4, BWT_ZSTD */
};

struct ending { /* a life's end, noted when it was cut */
	struct disk *disk;
	struct history history;
	uint64_t durable_lsn;
};

struct world {
	uint64_t seed;
	struct rng rng;
	struct profile profile;
	struct machine machine;
	struct bwt_db *db; /* NULL: closed, or being opened */
	struct bwt_tree *trees[HISTORY_TREES];
	struct picture now; /* with everything that ended */
	struct history history;
	unsigned life;
	unsigned left; /* operations of this life */
	bool stopped;  /* the store has failed */
	bool created;  /* bwt_open(BWT_CREATE) has returned */
	bool end_wanted;
	struct ending ending; /* disk NULL: not yet */
	uint64_t value_seed;
	struct item (*items)[HISTORY_KEYS];
	uint64_t images;         /* recovered */
	uint64_t *shared_images; /* counted there too; NULL: not */
	uint64_t images_max;     /* then the rest of the seed runs without cuts; 0: no limit */
	uint64_t damaged;        /* of them, images with one thing damaged */
	uint64_t refused;        /* of them, damaged ones that were refused, as they should be */
	struct bwt_buf buf;
};

/** world_run - one seed, from an empty disk to its last life. Ends the process when something is wrong. */
void world_run(struct world *world, uint64_t seed, const struct profile *given);
/** world_operation - one random operation of @fiber on the open store */
void world_operation(struct world *world, unsigned fiber);
/** world_profile - random, from @seed */
void world_profile(struct profile *profile, uint64_t seed);
/** world_fail - say what is wrong, with the seed, and end the process with status 1 */
void world_fail(const struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* ---- world_image.c ---- */

/** world_instant - machine.instant of a world */
void world_instant(struct machine *machine, const void *site, bool io);
/** world_picture - what is in @db */
int world_picture(const struct world *world, struct bwt_db *db, struct picture *picture);
/** world_drop - close without a checkpoint; nobody looks at the disk again */
void world_drop(struct bwt_db *db);

/* ---- damage.c ---- */

/** world_damage - damage one thing that recovery can do without; false: nothing can be spared here */
bool world_damage(struct world *world, struct disk *disk, char *what, size_t size);
/** world_damage_log - damage a record that the log itself says was durable; false: there is none */
bool world_damage_log(struct world *world, struct disk *disk);

/* ---- names and bytes ---- */

const char *world_tree_name(unsigned tree); /* NULL: the main tree */
struct bwt_slice world_key(unsigned key);
/** world_key_number - the inverse; HISTORY_KEYS: no key of ours */
unsigned world_key_number(struct bwt_slice key);
/** world_value - bytes of value @number; good until the next call */
struct bwt_slice world_value(uint64_t number, uint32_t size, struct item *item);
struct item world_item(const void *data, size_t size);

#endif
