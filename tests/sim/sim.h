/* SPDX-License-Identifier: MIT */
/*
 * sim.h - the machine that a simulated store runs on: a disk, a clock, fibers, and what may go wrong
 *
 * files.c, maps.c, rings.c and threads.c stand in for the files of lib/sys that call the system; all
 * of the library above is as shipped. Every call passes sim_before() and sim_after(), every test
 * point of the library passes sim_point(): at each of these instants the power may be cut, another
 * fiber may go on, or the call may fail.
 *
 * A cut does not end the run: what may be on the disk is copied, and a second machine, nested in the
 * first, recovers the copy, and perhaps is cut itself. So nothing is lost to tidy up.
 */
#ifndef BWT_TESTS_SIM_SIM_H
#define BWT_TESTS_SIM_SIM_H

#include "mem/epoch.h"
#include "tests/sim/disk.h"

#define SIM_PATH "store" /* of the store, on every machine */
#define SIM_FIBERS 9u
#define SIM_FD_BASE (1 << 20)
#define SIM_TLS 4u /* values of a fiber */

struct fiber;

struct machine {
	struct machine *outer; /* that this one is nested in */
	struct disk *disk;
	struct rng rng;
	unsigned depth;
	uint64_t now_ns;
	uint64_t wall_ns; /* of a clock that jumps */
	/* The power may be cut here: called with the site of the call. May be NULL. */
	void (*instant)(struct machine *machine, const void *site, bool io);
	void *ctx;
	unsigned switch_percent; /* at each instant: chance that another fiber goes on */
	unsigned io_fail_ppm;    /* chance that a write or sync fails with EIO */
	unsigned short_percent;  /* chance that a ring's transfer comes back short */
	bool in_instant;
	struct fiber *fibers[SIM_FIBERS];
	unsigned fiber_count;
	struct fiber *running;
	struct fiber *main;
};

/** The machine that runs; NULL: none. */
extern struct machine *sim;

/** sim_enter - @machine runs from here on, on this stack; sim_leave() goes back to the outer one */
void sim_enter(struct machine *machine, struct disk *disk, uint64_t seed);
void sim_leave(struct machine *machine);

/* ---- what goes wrong: the n-th call ---- */

struct failing {
	uint64_t count;   /* calls so far that could fail */
	uint64_t nth;     /* this one does; 0: none */
	bool for_ever;    /* and all after it */
	bool io, memory;  /* which calls are counted */
	uint64_t failed;  /* how many did */
	const void *site; /* of the first */
};
extern struct failing failing;

/** sim_fails - count a call of the library that may fail; true: it does */
bool sim_fails(bool io, const void *site);

/**
 * sim_before - a call begins
 * @error: what it could fail with; 0: it cannot fail
 * Returns: 0, or the positive errno to fail with
 */
int sim_before(const void *site, int error);
void sim_after(const void *site);
/** sim_point - a test point of the library */
void sim_point(const void *site);

#define SIM_SITE __builtin_return_address(0)

/* ---- which places were cut at: shared by forked workers ---- */

#define SIM_SITES 1024u

struct site {
	const void *address; /* NULL: free */
	uint64_t calls, cuts;
	bool io;
};
extern struct site *sim_sites; /* SIM_SITES of them, in shared memory; NULL: nobody counts */

void sim_site_cut(const void *site);

/* ---- places that make bytes durable: flush, copy, fence, deep flush ---- */

#define SIM_PERSISTS 64u

struct persist_site {
	const void *address; /* NULL: free */
	const char *kind;
	uint64_t calls;
};
extern struct persist_site *sim_persists; /* SIM_PERSISTS of them, in shared memory; NULL: nobody counts */
extern const void *sim_persist_left_out; /* the place whose calls do nothing */

/* ---- files.c, for the other files ---- */

struct inode *sim_inode(int fd);
/** sim_sync - what is behind @fd is synced, or was not (@error != 0). Returns: 0, or the error that @fd is told of (D4) */
int sim_sync(int fd, int error);
unsigned sim_open_files(void);

/* ---- maps.c ---- */

void sim_maps_free(void); /* give the pooled memory back */

/* ---- threads.c ---- */

/** fiber_start - run @run(@ctx) beside the caller, when it waits */
struct fiber *fiber_start(void (*run)(void *ctx), void *ctx);
/** fiber_join - let others run until @fiber has ended; frees it */
void fiber_join(struct fiber *fiber);
/** sim_switch - perhaps let another fiber run */
void sim_switch(unsigned percent);
/** sim_main_fiber - for sim_enter() and sim_leave() */
struct fiber *fiber_main_new(void);
void fiber_main_free(struct fiber *fiber);
void fiber_save_cache(struct fiber *fiber);
void fiber_load_cache(const struct fiber *fiber);
void sim_stacks_free(void);

#endif
