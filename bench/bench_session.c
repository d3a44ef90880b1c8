/* SPDX-License-Identifier: MIT */
/*
 * bench_session.c - open, load, reopen and remove the store of a list of workloads
 */
#include "bench_session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench_report.h"
#include "workload.h"

#define PREFILL_BATCH 1000 /* pairs of one transaction; loading is not measured here */

static int open_store(struct session *session, enum backend_sync sync)
{
	const struct bench_options *options = session->options;
	const struct backend_config config = {
		.dir = session->dir,
		.sync = sync,
		.space_target = options->space_target,
		.worker_count = options->workers,
		.user_bytes = options->records * ((uint64_t)options->key_size + options->value_size),
		.thread_count = session->thread_max,
	};
	int rc;

	if (session->is_open && session->sync == sync)
		return 0;
	if (session->is_open) {
		session->is_open = false;
		rc = options->backend->close(session->store);
		if (rc < 0)
			return rc;
	}
	rc = options->backend->open(&config, &session->store);
	if (rc < 0)
		return rc;
	session->is_open = true;
	session->sync = sync;
	return 0;
}

static int clear(struct session *session)
{
	int rc;

	if (session->is_open) {
		session->is_open = false;
		rc = session->options->backend->close(session->store);
		if (rc < 0)
			return rc;
	}
	session->loaded = 0;
	if (system_remove(session->dir) < 0 || mkdir(session->dir, 0755) < 0) {
		fprintf(stderr, "bwt-bench: %s: %s\n", session->dir, strerror(errno));
		return -errno;
	}
	return 0;
}

int session_init(struct session *session, const struct bench_options *options, unsigned thread_max)
{
	int size;
	int rc;

	memset(session, 0, sizeof *session);
	session->options = options;
	session->thread_max = thread_max;
	rc = keys_init(&session->keys, false, options->key_size, options->value_size, options->seed);
	if (rc < 0)
		return rc;
	size = snprintf(session->dir, sizeof session->dir, "%s/bwt-bench-%s.XXXXXX", options->dir,
	                options->backend->name);
	if (size >= (int)sizeof session->dir || mkdtemp(session->dir) == NULL) {
		rc = size >= (int)sizeof session->dir ? -ENAMETOOLONG : -errno;
		fprintf(stderr, "bwt-bench: %s: %s\n", options->dir, strerror(-rc));
		keys_deinit(&session->keys);
		return rc;
	}
	session->anon_base = system_anon_bytes();
	return 0;
}

/* Put all records by one thread, unmeasured. */
static int prefill(struct session *session)
{
	const struct backend *backend = session->options->backend;
	struct bench_options options = *session->options;
	struct run run = {.options = &options, .keys = &session->keys, .store = session->store};
	struct worker *worker;
	int rc;

	options.batch = PREFILL_BATCH;
	worker = worker_new(&run, 0);
	if (worker == NULL)
		return -ENOMEM;
	rc = backend->thread_open(session->store, &worker->thread);
	if (rc < 0)
		goto fail_worker;
	while (rc == 0 && session->loaded < options.records && !run_interrupted()) {
		const uint64_t left = options.records - session->loaded;
		const size_t count = left < PREFILL_BATCH ? (size_t)left : PREFILL_BATCH;

		for (size_t i = 0; i < count; i++)
			worker->records[i] = session->loaded + i;
		rc = worker_put(worker, count);
		session->loaded += count;
	}
	backend->thread_close(worker->thread);
	if (rc == 0)
		rc = backend->sync(session->store);
	run_settle(session->dir);

fail_worker:
	worker_free(worker);
	return rc;
}

int session_prepare(struct session *session, const struct workload *workload)
{
	const struct bench_options *options = session->options;
	const bool is_durable =
		(workload->flags & WORKLOAD_DURABLE) != 0 || options->sync == BACKEND_SYNC;
	const enum backend_sync sync = is_durable ? BACKEND_SYNC : BACKEND_NONE;
	int rc;

	if ((workload->flags & WORKLOAD_FRESH) != 0) {
		rc = clear(session);
		if (rc < 0)
			return rc;
		session->keys.ordered = (workload->flags & WORKLOAD_ORDERED) != 0;
	} else if (session->loaded == 0 && options->backend->get != NULL) {
		rc = open_store(session, BACKEND_NONE);
		if (rc == 0)
			rc = prefill(session);
		if (rc < 0)
			return rc;
	}
	return open_store(session, sync);
}

static void prepare_run(struct run *run, struct session *session, const struct workload *workload,
                        unsigned thread_count)
{
	const struct bench_options *options = session->options;
	const bool is_fresh = (workload->flags & WORKLOAD_FRESH) != 0;

	memset(run, 0, sizeof *run);
	run->options = options;
	run->workload = workload;
	run->keys = &session->keys;
	run->store = session->store;
	run->dir = session->dir;
	run->record_count = is_fresh ? 0 : session->loaded > 0 ? session->loaded : options->records;
	run->op_count = options->ops;
	run->thread_count = thread_count;
	run->time_every = session->sync == BACKEND_SYNC ? 1 : 16;
	if (options->time_every > 0)
		run->time_every = options->time_every;
	run->shape = workload->shape;
	if (options->shape != RANDOM_DEFAULT && workload->shape != RANDOM_DEFAULT)
		run->shape = options->shape;
	random_zipf_init_scrambled(&run->scrambled);
	if (run->shape == RANDOM_LATEST)
		random_zipf_init(&run->latest, run->record_count);
	atomic_store_explicit(&run->next_record, run->record_count, memory_order_relaxed);
}

int session_measure(struct session *session, const struct workload *workload, unsigned thread_count,
                    unsigned round)
{
	const struct backend *backend = session->options->backend;
	struct report_context context = {.round = round, .sync = session->sync};
	struct run_result *result = malloc(sizeof *result);
	struct run run;
	int rc;

	if (result == NULL)
		return -ENOMEM;
	prepare_run(&run, session, workload, thread_count);
	rc = run_measure(&run, session->anon_base, result);
	if (rc == 0 && !run_interrupted()) {
		session->loaded = atomic_load_explicit(&run.next_record, memory_order_relaxed);
		context.ordered = session->keys.ordered;
		system_names_read(session->dir, &context.names);
		backend->describe(session->store, context.store, sizeof context.store);
		if (backend->counters != NULL)
			backend->counters(session->store, context.counters, sizeof context.counters);
		report_print(stdout, &run, result, &context);
	}
	free(result);
	return rc;
}

int session_close(struct session *session)
{
	int rc = 0;

	if (session->is_open)
		rc = session->options->backend->close(session->store);
	if (session->options->keep)
		fprintf(stderr, "bwt-bench: kept %s\n", session->dir);
	else
		(void)system_remove(session->dir);
	keys_deinit(&session->keys);
	return rc;
}
