/* SPDX-License-Identifier: MIT */
/*
 * bench_options.h - the command line of bwt-bench
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "backend.h"
#include "bench_random.h"

#define OPTIONS_THREADS_MAX 256
#define OPTIONS_BATCH_MAX 100000
#define OPTIONS_VALUE_MAX (1u << 30)

enum options_format {
	OPTIONS_LINES = 0,
	OPTIONS_JSON,
	OPTIONS_TABLE,
};

struct bench_options {
	const char *backends;          /* names, separated by commas */
	const struct backend *backend; /* the one of them that is measured now */
	const char *workloads;         /* NAME[:THREADS], separated by commas */
	const char *dir;               /* where the store's directory is made */
	const char *store;      /* the store's directory itself; NULL: one of its own below dir */
	const char *key_prefix; /* NULL: keys as bench_keys.h says */
	const char *label;      /* of the result lines; "": none */
	uint64_t records;
	uint64_t ops;   /* of each measured run, all threads together; 0: as long as seconds says */
	double seconds; /* length of each measured run */
	uint64_t seed;
	uint64_t memory; /* bytes, of a control group that the process enters once the store is loaded; 0: none */
	uint64_t cache; /* bytes that stores with a cache of their own may use; 0: half of memory, or their default */
	uint32_t key_size;
	uint32_t value_size;
	unsigned threads;
	unsigned repeat;
	unsigned batch;       /* pairs of one put */
	unsigned read_batch;  /* keys of one call, workload "read-many" */
	unsigned scan_length; /* entries of one scan, workload "scan" */
	unsigned time_every;  /* every how many operations one is timed; 0: the mode's default */
	uint32_t value_least; /* values are of so many bytes up to value_size; 0: all of value_size */
	unsigned space_target;      /* libbwt: options.space_target; 0: its default */
	unsigned vlog_space_target; /* libbwt: options.vlog_space_target; 0: its default */
	unsigned workers;           /* libbwt: options.worker_count; 0: its default */
	unsigned inline_max;        /* libbwt: options.inline_max; 0: its default */
	uint64_t checkpoint_bytes;  /* libbwt: options.checkpoint_wal_bytes; 0: its default */
	const char *sweep; /* setting to go through, "": all; NULL: measure as the other options say */
	enum backend_sync sync;
	enum random_shape shape;
	enum options_format format;
	const char *series; /* where runs over time are written as text; NULL: nowhere */
	const char *plot;   /* and as a picture */
	bool keep;
	bool crash; /* end by SIGKILL, the store open and its log full */
};

enum options_outcome {
	OPTIONS_RUN = 0,
	OPTIONS_DONE = 1,   /* --help, --version or --list has been answered */
	OPTIONS_WRONG = -1, /* said so on standard error */
};

/**
 * options_next_backend - set options->backend to the first of @rest, and @rest to what follows it
 * @rest:   at first options->backends
 * Returns: whether there was one; options->backend is NULL when it is not in this build
 */
bool options_next_backend(struct bench_options *options, const char **rest);

/** options_parse - fill @options from the command line, defaults where it says nothing */
enum options_outcome options_parse(struct bench_options *options, int argc, char **argv);

#endif
