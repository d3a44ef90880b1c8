/* SPDX-License-Identifier: MIT */
/*
 * bench_run.c - threads, barrier, clock (R1 to R3 of bench_run.h)
 *
 * The calling thread is the monitor: while the workers run it only sleeps, stops them when time is
 * up, and looks at the memory of the process 20 times a second.
 */
#include "bench_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

#define WORKERS_MAX (OPTIONS_THREADS_MAX + WORKLOAD_BESIDE_MAX)
#define MONITOR_NS 5000000u /* how often the monitor looks whether time is up */
#define MEMORY_ROUNDS 10    /* every how many of those it looks at the memory */
#define SETTLE_WINDOW_NS 50000000u
#define SETTLE_WINDOWS 3 /* so many quiet windows in a row */
#define SETTLE_WINDOWS_MAX 1200
#define SETTLE_BUSY_PERCENT 5 /* of one processor: more is not quiet */

static _Atomic bool interrupted; /* by run_interrupt(); relaxed, it orders nothing */

void run_interrupt(void)
{
	atomic_store_explicit(&interrupted, true, memory_order_relaxed);
}

bool run_interrupted(void)
{
	return atomic_load_explicit(&interrupted, memory_order_relaxed);
}

static void sleep_ns(uint64_t duration_ns)
{
	const struct timespec duration = {(time_t)(duration_ns / 1000000000u),
	                                  (long)(duration_ns % 1000000000u)};

	(void)nanosleep(&duration, NULL); /* shorter by a signal does no harm */
}

void run_settle(const char *dir)
{
	unsigned quiet = 0;

	for (unsigned i = 0; i < SETTLE_WINDOWS_MAX && quiet < SETTLE_WINDOWS && !run_interrupted();
	     i++) {
		const uint64_t before_ns = system_cpu_ns();

		sleep_ns(SETTLE_WINDOW_NS);
		quiet = (system_cpu_ns() - before_ns) * 100 < SETTLE_WINDOW_NS * SETTLE_BUSY_PERCENT
		                ? quiet + 1
		                : 0;
	}
	system_flush(dir);
}

static void fail(struct run *run, int rc)
{
	int expected = 0;

	(void)atomic_compare_exchange_strong_explicit(&run->failed, &expected, rc,
	                                              memory_order_relaxed, memory_order_relaxed);
	atomic_store_explicit(&run->stop, true, memory_order_relaxed);
}

static int steps(struct worker *worker)
{
	struct run *run = worker->run;
	unsigned until_timed = 1;

	while (worker->op_done < worker->op_limit &&
	       !atomic_load_explicit(&run->stop, memory_order_relaxed)) {
		const bool timed = --until_timed == 0;
		const uint64_t before_ns = timed ? system_now_ns() : 0;
		int rc = run->workload->step(worker);

		if (rc < 0)
			return rc;
		if (timed) {
			const uint64_t after_ns = system_now_ns();

			histogram_add(&worker->latency, after_ns - before_ns);
			if (worker->series != NULL)
				series_add(worker->series, after_ns - worker->start_ns,
				           worker->op_done + (uint64_t)rc, after_ns - before_ns);
			until_timed = run->time_every;
		}
		worker->op_done += (uint64_t)rc;
		atomic_store_explicit(&worker->op_shown, worker->op_done, memory_order_relaxed);
	}
	return 0;
}

/* What a thread beside the counted ones does, until it is told that those are done or has nothing more to do. */
static int steps_beside(struct worker *worker)
{
	int rc = 0;

	while (rc == 0 && !atomic_load_explicit(&worker->run->stop_beside, memory_order_relaxed))
		rc = worker->beside(worker);
	return rc;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct run *run = worker->run;
	int rc = run->options->backend->thread_open(run->store, &worker->thread);
	const bool is_open = rc == 0;

	if (!is_open)
		fail(run, rc);
	(void)pthread_barrier_wait(&run->start);
	worker->start_ns = system_now_ns();
	if (is_open) {
		rc = worker->beside != NULL ? steps_beside(worker) : steps(worker);
		if (rc < 0)
			fail(run, rc);
	}
	worker->end_ns = system_now_ns();
	if (is_open)
		run->options->backend->thread_close(worker->thread);
	/* RELEASE: the monitor reads this worker's counts; pairs with the ACQUIRE in monitor(). */
	if (worker->beside == NULL)
		atomic_fetch_sub_explicit(&run->running, 1, memory_order_release);
	return NULL;
}

static void show_progress(const struct run *run, uint64_t elapsed_ns)
{
	const double percent =
		run->op_count > 0 ? 0.0 : (double)elapsed_ns / (run->options->seconds * 1e7);

	if (run->op_count > 0)
		fprintf(stderr, "\r%-10s %-10s %3u threads  %5.1f s ", run->options->backend->name,
		        run->workload->name, run->thread_count, (double)elapsed_ns / 1e9);
	else
		fprintf(stderr, "\r%-10s %-10s %3u threads  %3.0f %% ", run->options->backend->name,
		        run->workload->name, run->thread_count, percent < 100 ? percent : 100);
}

/* Operations of the counted workers so far. */
static uint64_t ops_shown(struct worker *const workers[], unsigned count)
{
	uint64_t ops = 0;

	for (unsigned i = 0; i < count; i++)
		ops += atomic_load_explicit(&workers[i]->op_shown, memory_order_relaxed);
	return ops;
}

/* The size of the data from when every record has had its turn, which is when a constant one is constant. */
static void watch_data(struct run *run, struct worker *const workers[], struct run_result *result)
{
	struct backend_gauge gauge = {0};

	if ((run->workload->flags & (WORKLOAD_OWN | WORKLOAD_CONSTANT)) == 0 ||
	    run->options->backend->gauge == NULL ||
	    ops_shown(workers, run->thread_count) < run->record_count)
		return;
	run->options->backend->gauge(run->store, &gauge);
	if (result->data_first == 0)
		result->data_first = gauge.data_bytes;
	if (gauge.data_bytes > result->data_max)
		result->data_max = gauge.data_bytes;
}

static void watch_checkpoints(struct run *run, uint64_t elapsed_ns, struct run_result *result)
{
	struct backend_gauge gauge = {0};

	if (result->series == NULL || run->options->backend->gauge == NULL)
		return;
	run->options->backend->gauge(run->store, &gauge);
	if (elapsed_ns == 0)
		result->marks.seen = gauge.checkpoints;
	series_mark(&result->marks, elapsed_ns, gauge.checkpoints);
}

/* Wait for the workers, and look at memory and data meanwhile. */
static void monitor(struct run *run, struct worker *const workers[], struct run_result *result)
{
	const uint64_t limit_ns =
		run->op_count > 0 ? UINT64_MAX : (uint64_t)(run->options->seconds * 1e9);
	const bool is_terminal = isatty(STDERR_FILENO) != 0;
	const uint64_t start_ns = system_now_ns();

	result->anon_peak = system_anon_bytes();
	watch_checkpoints(run, 0, result);
	for (unsigned round = 1; atomic_load_explicit(&run->running, memory_order_acquire) > 0;
	     round++) {
		const uint64_t elapsed_ns = system_now_ns() - start_ns;
		uint64_t anon;

		if (elapsed_ns >= limit_ns || run_interrupted())
			atomic_store_explicit(&run->stop, true, memory_order_relaxed);
		if (round % MEMORY_ROUNDS == 0) {
			anon = system_anon_bytes();
			result->anon_peak = anon > result->anon_peak ? anon : result->anon_peak;
			watch_data(run, workers, result);
			watch_checkpoints(run, elapsed_ns, result);
			if (is_terminal)
				show_progress(run, elapsed_ns);
		}
		sleep_ns(limit_ns > elapsed_ns && limit_ns - elapsed_ns < MONITOR_NS
		                 ? limit_ns - elapsed_ns
		                 : MONITOR_NS);
	}
	if (is_terminal)
		fprintf(stderr, "\r%60s\r", "");
	atomic_store_explicit(&run->stop_beside, true, memory_order_relaxed);
}

/* Sum up the counted workers. */
static void collect(struct run *run, struct worker *const workers[], struct run_result *result)
{
	uint64_t start_ns = UINT64_MAX;
	uint64_t end_ns = 0;

	for (unsigned i = 0; i < run->thread_count && workers[i] != NULL; i++) {
		const struct worker *worker = workers[i];

		result->ops += worker->op_done;
		result->entries += worker->entries;
		result->misses += worker->misses;
		result->conflicts += worker->conflicts;
		result->put_bytes += worker->put_bytes;
		histogram_merge(&result->latency, &worker->latency);
		if (result->series != NULL)
			series_merge(result->series, worker->series);
		start_ns = worker->start_ns < start_ns ? worker->start_ns : start_ns;
		end_ns = worker->end_ns > end_ns ? worker->end_ns : end_ns;
	}
	result->elapsed_ns = end_ns - start_ns;
	if (run->options->backend->get != NULL)
		result->live_bytes = keys_total(
			run->keys, atomic_load_explicit(&run->next_record, memory_order_relaxed));
}

static uint64_t op_limit_of(const struct run *run, unsigned id)
{
	if (run->op_count == 0)
		return UINT64_MAX;
	return run->op_count / run->thread_count + (id < run->op_count % run->thread_count ? 1 : 0);
}

/* Workers that could not be started leave the barrier waiting, so that is fatal. */
static int start_and_join(struct run *run, struct worker *const workers[], struct run_result *result)
{
	const unsigned count = run->thread_count + run->beside_count;
	pthread_t threads[WORKERS_MAX] = {0};

	for (unsigned i = 0; i < count; i++) {
		int error = pthread_create(&threads[i], NULL, worker_main, workers[i]);

		if (error != 0) {
			fprintf(stderr, "bwt-bench: cannot start thread %u: %s\n", i,
			        strerror(error));
			exit(EXIT_FAILURE);
		}
	}
	(void)pthread_barrier_wait(&run->start);
	monitor(run, workers, result);
	for (unsigned i = 0; i < count; i++)
		(void)pthread_join(threads[i], NULL);
	return atomic_load_explicit(&run->failed, memory_order_relaxed);
}

/* The counted workers, then those beside them. Returns how many there are; fewer: no memory. */
static unsigned make_workers(struct run *run, struct worker *workers[], bool with_series)
{
	unsigned count;

	for (count = 0; count < run->thread_count + run->beside_count; count++) {
		workers[count] = worker_new(run, count);
		if (workers[count] == NULL)
			break;
		if (count < run->thread_count)
			workers[count]->op_limit = op_limit_of(run, count);
		else
			workers[count]->beside = run->workload->beside[count - run->thread_count];
		if (with_series && worker_want_series(workers[count]) < 0) {
			worker_free(workers[count]);
			break;
		}
	}
	return count;
}

static void start_from_zero(struct run *run)
{
	atomic_store_explicit(&run->running, run->thread_count, memory_order_relaxed);
	atomic_store_explicit(&run->failed, 0, memory_order_relaxed);
	atomic_store_explicit(&run->stop, false, memory_order_relaxed);
	atomic_store_explicit(&run->stop_beside, false, memory_order_relaxed);
	(void)pthread_barrier_init(&run->start, NULL, run->thread_count + run->beside_count + 1);
}

int run_measure(struct run *run, uint64_t anon_base, struct run_result *result)
{
	struct worker *workers[WORKERS_MAX] = {NULL};
	struct system_written before;
	uint64_t cpu_ns;
	unsigned count;
	int rc = -ENOMEM;

	*result = (struct run_result){.series = result->series};
	if (run->workload->op_count != NULL)
		run->op_count = run->workload->op_count(run);
	while (run->beside_count < WORKLOAD_BESIDE_MAX &&
	       run->workload->beside[run->beside_count] != NULL)
		run->beside_count++;
	count = make_workers(run, workers, result->series != NULL);
	if (count < run->thread_count + run->beside_count)
		goto fail_workers;
	start_from_zero(run);
	system_written_read(run->dir, &before);
	cpu_ns = system_cpu_ns();
	rc = start_and_join(run, workers, result);
	(void)pthread_barrier_destroy(&run->start);
	if (rc == 0 && (run->workload->flags & WORKLOAD_WRITES) != 0) {
		rc = run->options->backend->sync(run->store);
		run_settle(run->dir);
	}
	result->cpu_ns = system_cpu_ns() - cpu_ns;
	system_written_read(run->dir, &result->written);
	result->written.process -= before.process;
	result->written.device -= before.device;
	result->anon_peak = result->anon_peak > anon_base ? result->anon_peak - anon_base : 0;
	result->disk_bytes = system_disk_bytes(run->dir);
	collect(run, workers, result);

fail_workers:
	while (count > 0)
		worker_free(workers[--count]);
	return rc;
}
