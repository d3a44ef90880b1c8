/* SPDX-License-Identifier: MIT */
/*
 * bench_run.h - one measured run: threads that start together, each doing a workload's steps
 *
 * Why: the loop, the clock and the counting are the same for every store and workload, so that a
 * row differs from its neighbour in nothing but the store.
 *
 *   R1  A worker's fields are its thread's alone until the thread has ended.
 *   R2  Records [0, record_count) are in the store when a run starts, and a get finds them always.
 *   R3  Records from record_count on are inserted once each, numbered by next_record.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <pthread.h>

#include "base/atomic.h"
#include "bench_histogram.h"
#include "bench_keys.h"
#include "bench_options.h"
#include "bench_series.h"
#include "bench_system.h"

struct workload;

struct run {
	const struct bench_options *options;
	const struct workload *workload;
	const struct keys *keys;
	struct backend_store *store;
	const char *dir;       /* the store's */
	uint64_t record_count; /* R2 */
	uint64_t op_count;     /* to do, all threads together; 0: until time is up */
	unsigned thread_count;
	unsigned time_every;
	enum random_shape shape;
	struct random_zipf scrambled;
	struct random_zipf latest; /* of record_count ranks; only for RANDOM_LATEST */
	pthread_barrier_t start;
	unsigned beside_count;        /* threads of workload->beside */
	_Atomic uint64_t next_record; /* R3; relaxed, only uniqueness matters */
	_Atomic unsigned running; /* workers not done; RELEASE by each, ACQUIRE by the monitor */
	_Atomic int failed;       /* first error code of any worker, or 0; relaxed */
	_Atomic bool stop;        /* set by the monitor when time is up; relaxed */
	_Atomic bool stop_beside; /* set by the monitor when the counted workers are done; relaxed */
};

struct worker {
	_Alignas(CACHE_LINE_SIZE) struct run *run;
	struct backend_thread *thread;
	struct random random;
	unsigned id;
	uint64_t op_limit;
	uint64_t op_done;                     /* operations so far */
	_Atomic uint64_t op_shown;            /* the same, for the monitor; relaxed */
	int (*beside)(struct worker *worker); /* what an uncounted worker does; NULL: it is counted */
	uint64_t entries;                     /* seen by scans */
	uint64_t put_bytes;                   /* keys and values put */
	uint64_t conflicts;                   /* transactions refused, and tried again */
	uint64_t misses; /* gets of records that another thread was about to insert */
	uint64_t version;
	uint64_t wrong; /* values that did not belong to their key */
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t *records;          /* batch of them: what worker_put() is to put */
	struct backend_pair *pairs; /* batch of them, into bytes */
	unsigned char *bytes;       /* batch times key and value, then one more key */
	struct bwt_slice *keys; /* read_batch of them: what worker_get_many() asks for, into key_bytes */
	unsigned char *key_bytes;
	unsigned char *last_key; /* of the scan that goes on, which has seen so many entries */
	uint64_t scanned;
	bool scan_backward;
	uint64_t lane;            /* of the workload window: steps done */
	struct series *series;    /* over time; NULL: not asked for */
	struct histogram latency; /* nanoseconds of the timed operations */
};

struct run_result {
	uint64_t ops;
	uint64_t entries;
	uint64_t misses;
	uint64_t conflicts;
	uint64_t elapsed_ns; /* first start to last end */
	uint64_t cpu_ns; /* processor time of all threads, the store's too, its later work included */
	uint64_t put_bytes;  /* keys and values put */
	uint64_t anon_peak;  /* bytes, beyond what the process had before the store was opened */
	uint64_t disk_bytes; /* of the store, after the run, open and synced */
	uint64_t live_bytes; /* keys and values that the store holds then */
	uint64_t data_first; /* of the gauge, when as many operations were done as there are records */
	uint64_t data_max;     /* and the largest since */
	struct series *series; /* NULL, or the caller's: over time, all threads together */
	struct series_marks marks;
	struct system_written written;
	struct histogram latency;
};

/**
 * run_measure - do one run and say what came of it
 * @run:       all but the synchronisation fields set by the caller; next_record is read back by it
 * @anon_base: system_anon_bytes() before the store was opened
 * @result:    filled; its series is the caller's, and wanted when it is not NULL
 * Returns: 0, or the first error of a worker
 * Blocks:  as long as the run takes, plus up to a minute until the store's background work is done
 */
int run_measure(struct run *run, uint64_t anon_base, struct run_result *result);

/**
 * run_settle - wait until the store's own threads have nothing to do, a minute at most
 * Why:     work that a store postponed belongs to the row that caused it, not to the next one
 */
void run_settle(const char *dir);

/**
 * run_interrupt - end the current run and all later ones early
 * Threads: safe in a signal handler
 */
void run_interrupt(void);

/** run_interrupted - whether run_interrupt() was called */
bool run_interrupted(void);

/**
 * worker_new - memory and random numbers of one worker
 * Returns: NULL without memory
 */
struct worker *worker_new(struct run *run, unsigned id);

void worker_free(struct worker *worker);

/** worker_want_series - record what happens when; -ENOMEM */
int worker_want_series(struct worker *worker);

/**
 * worker_put - put records worker->records[0..@count), as one transaction
 * @count:  1..options.batch
 * Returns: 0 or a negative code
 */
int worker_put(struct worker *worker, size_t count);

/** worker_update - get and put the records as worker_put() does, in one transaction that is tried until it commits */
int worker_update(struct worker *worker, size_t count);

/** worker_get - read @record and check its value; a record that R2 promises must be there */
int worker_get(struct worker *worker, uint64_t record);

/** worker_get_many - worker_get() of options.read_batch records in one call, if the store has one; returns their number */
int worker_get_many(struct worker *worker);

/** worker_delete - delete @record */
int worker_delete(struct worker *worker, uint64_t record);

/** worker_scan - read and check @count entries from @record's key on, in key order, up or down */
int worker_scan(struct worker *worker, uint64_t record, uint64_t count, bool backward);

/** worker_scan_all - read and check every entry of the store, and their number unless records are inserted */
int worker_scan_all(struct worker *worker, bool backward);

/** worker_pick - an existing record, chosen as the run's distribution says */
uint64_t worker_pick(struct worker *worker);

#endif
