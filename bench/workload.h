/* SPDX-License-Identifier: MIT */
/*
 * workload.h - what a run does: a row of the table
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "bench_run.h"

#define WORKLOAD_BESIDE_MAX 2

enum workload_flag {
	WORKLOAD_FRESH = 1,    /* starts from an empty store */
	WORKLOAD_ORDERED = 2,  /* and gives it records in key order */
	WORKLOAD_READS = 4,    /* needs a store that can be read back */
	WORKLOAD_WRITES = 8,   /* write amplification means something */
	WORKLOAD_DURABLE = 16, /* whatever --sync says */
	WORKLOAD_OWN = 32, /* loads a store for itself, and leaves other records in it than it found */
	WORKLOAD_REOPEN = 64,    /* opens a store that was closed, instead of steps by threads */
	WORKLOAD_CONSTANT = 256, /* the size of the data is looked at while it runs */
	WORKLOAD_CRASH = 128,    /* and that was loaded by a process which was killed then */
};

/** Shares of a mixed workload, percent; together 100. */
struct workload_mix {
	unsigned read;
	unsigned update;
	unsigned insert;
	unsigned scan;   /* of 1 to 100 entries, or scan_length where fixed_scan is set */
	unsigned modify; /* read, then update the same record */
	bool fixed_scan;
	bool backward;
};

struct workload {
	const char *name;
	const char *about;
	unsigned flags;          /* enum workload_flag */
	enum random_shape shape; /* unless the command line chooses */
	struct workload_mix mix;
	/* One step of a worker. Returns the number of operations done, at least 1, or a negative code. */
	int (*step)(struct worker *worker);
	/* What threads beside the counted ones do, again and again until those are done. */
	int (*beside[WORKLOAD_BESIDE_MAX])(struct worker *worker);
	/* Operations of a whole run; NULL: as the command line says. */
	uint64_t (*op_count)(const struct run *run);
};

/** workload_at - walk over all workloads; NULL past the last */
const struct workload *workload_at(size_t index);

/** workload_find - by name, the first @size characters of @name; NULL when unknown */
const struct workload *workload_find(const char *name, size_t size);

/* Steps, one file each. */
int workload_load_step(struct worker *worker); /* workload_load.c */
uint64_t workload_load_op_count(const struct run *run);
int workload_mix_step(struct worker *worker); /* workload_mix.c */
int workload_many_step(struct worker *worker);
int workload_txn_step(struct worker *worker);
uint64_t workload_steady_op_count(const struct run *run);
uint64_t workload_values_op_count(const struct run *run); /* workload_values.c */
int workload_scan_full_step(struct worker *worker);       /* workload_scan.c */
int workload_scan_full_back_step(struct worker *worker);
uint64_t workload_scan_full_op_count(const struct run *run);
int workload_churn_step(struct worker *worker); /* workload_churn.c */
int workload_window_step(struct worker *worker);
int workload_beside_scan(struct worker *worker); /* workload_beside.c */
int workload_beside_checkpoint(struct worker *worker);
int workload_beside_put(struct worker *worker);

#endif
