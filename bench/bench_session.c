/* SPDX-License-Identifier: MIT */
/*
 * bench_session.c - open, load, reopen and remove the store of a list of workloads
 */
#include "bench_session.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_reopen.h"
#include "bench_report.h"
#include "workload.h"

#define PREFILL_BATCH 1000 /* pairs of one transaction; loading is not measured here */

int session_shut(struct session *session)
{
	if (!session->is_open)
		return 0;
	session->is_open = false;
	return session->options->backend->close(session->store);
}

int session_open(struct session *session, enum backend_sync sync)
{
	const struct bench_options *options = session->options;
	const struct backend_config config = {
		.dir = session->dir,
		.sync = sync,
		.cache_bytes = options->cache > 0 ? options->cache : options->memory / 2,
		.keep_log = options->crash,
		.space_target = options->space_target,
		.vlog_space_target = options->vlog_space_target,
		.worker_count = options->workers,
		.inline_max = options->inline_max,
		.checkpoint_bytes = options->checkpoint_bytes,
		.user_bytes = options->records * ((uint64_t)options->key_size + options->value_size),
		.thread_count = session->thread_max,
	};
	int rc;

	if (session->is_open && session->sync == sync)
		return 0;
	rc = session_shut(session);
	if (rc < 0)
		return rc;
	rc = options->backend->open(&config, &session->store);
	if (rc < 0)
		return rc;
	session->is_open = true;
	session->sync = sync;
	return 0;
}

static int clear(struct session *session)
{
	int rc = session_shut(session);

	if (rc < 0)
		return rc;
	if (session->options->store != NULL && session->loaded > 0) {
		fprintf(stderr, "bwt-bench: %s is not empty, and no store made here\n", session->dir);
		return -ENOTEMPTY;
	}
	session->loaded = 0;
	session->is_used_up = false;
	if (system_remove(session->dir) < 0 || mkdir(session->dir, 0755) < 0) {
		fprintf(stderr, "bwt-bench: %s: %s\n", session->dir, strerror(errno));
		return -errno;
	}
	return 0;
}

/* The directory that --store names, made where it is missing. Something in it is taken for a loaded store. */
static int use_dir(struct session *session)
{
	const struct bench_options *options = session->options;
	DIR *dir;

	if (snprintf(session->dir, sizeof session->dir, "%s", options->store) >=
	    (int)sizeof session->dir)
		return -ENAMETOOLONG;
	if (mkdir(session->dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	dir = opendir(session->dir);
	if (dir == NULL)
		return -errno;
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			session->loaded = options->records;
	closedir(dir);
	return 0;
}

static int make_dir(struct session *session)
{
	const struct bench_options *options = session->options;

	if (snprintf(session->dir, sizeof session->dir, "%s/bwt-bench-%s.XXXXXX", options->dir,
	             options->backend->name) >= (int)sizeof session->dir)
		return -ENAMETOOLONG;
	return mkdtemp(session->dir) == NULL ? -errno : 0;
}

int session_init(struct session *session, const struct bench_options *options, struct plot *plot,
                 unsigned thread_max)
{
	int rc;

	memset(session, 0, sizeof *session);
	session->options = options;
	session->plot = plot;
	session->thread_max = thread_max;
	rc = keys_init(&session->keys, false, options->key_size, options->value_size, options->seed);
	if (rc < 0)
		return rc;
	session->keys.value_least = options->value_least;
	if (options->key_prefix != NULL &&
	    keys_use_prefix(&session->keys, options->key_prefix) < options->records) {
		fprintf(stderr, "bwt-bench: keys of %u bytes are too short for so many records\n",
		        options->key_size);
		rc = -EINVAL;
		goto fail_keys;
	}
	if (options->memory > 0) {
		rc = memory_open(&session->memory, options->memory);
		if (rc < 0)
			goto fail_keys;
	}
	rc = options->store != NULL ? use_dir(session) : make_dir(session);
	if (rc < 0) {
		fprintf(stderr, "bwt-bench: %s: %s\n",
		        options->store != NULL ? options->store : options->dir, strerror(-rc));
		memory_close(&session->memory);
		goto fail_keys;
	}
	session->anon_base = system_anon_bytes();
	return 0;

fail_keys:
	keys_deinit(&session->keys);
	return rc;
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

/* All records, in key order where @ordered says so. */
static int load(struct session *session, bool ordered)
{
	int rc;

	session->keys.ordered = ordered;
	rc = session_open(session, BACKEND_NONE);
	return rc < 0 ? rc : prefill(session);
}

/* From here on the store has to do with --memory. */
static int bound_memory(struct session *session)
{
	int rc = session_shut(session);

	if (rc == 0)
		rc = memory_enter(&session->memory, session->dir);
	session->is_bounded = rc == 0;
	return rc;
}

int session_prepare(struct session *session, const struct workload *workload)
{
	const struct bench_options *options = session->options;
	const bool is_durable =
		(workload->flags & WORKLOAD_DURABLE) != 0 || options->sync == BACKEND_SYNC;
	const enum backend_sync sync = is_durable ? BACKEND_SYNC : BACKEND_NONE;
	const bool is_ordered = (workload->flags & WORKLOAD_ORDERED) != 0;
	int rc = 0;

	if ((workload->flags & (WORKLOAD_FRESH | WORKLOAD_OWN)) != 0 || session->is_used_up)
		rc = clear(session);
	if (rc < 0)
		return rc;
	if ((workload->flags & WORKLOAD_CRASH) != 0) {
		session->keys.ordered = false;
		return reopen_crash_load(session);
	}
	if ((workload->flags & WORKLOAD_FRESH) != 0)
		session->keys.ordered = is_ordered;
	else if (session->loaded == 0 && options->backend->get != NULL)
		rc = load(session, is_ordered);
	if (rc == 0 && options->memory > 0 && !session->is_bounded && session->loaded > 0)
		rc = bound_memory(session);
	return rc < 0 ? rc : session_open(session, sync);
}

static void prepare_run(struct run *run, struct session *session, const struct workload *workload,
                        unsigned thread_count)
{
	const struct bench_options *options = session->options;
	const bool is_fresh = (workload->flags & WORKLOAD_FRESH) != 0 && session->loaded == 0;

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
	struct run_result *result = calloc(1, sizeof *result);
	struct run run;
	int rc = -ENOMEM;

	if (result == NULL)
		return rc;
	if (session->plot != NULL) {
		result->series = malloc(sizeof *result->series);
		if (result->series == NULL)
			goto fail_result;
		series_init(result->series);
	}
	prepare_run(&run, session, workload, thread_count);
	rc = (workload->flags & WORKLOAD_REOPEN) != 0
	             ? reopen_measure(session, &run, result)
	             : run_measure(&run, session->anon_base, result);
	session->is_used_up = (workload->flags & WORKLOAD_OWN) != 0;
	if (rc == 0 && !run_interrupted()) {
		session->loaded = atomic_load_explicit(&run.next_record, memory_order_relaxed);
		context.ordered = session->keys.ordered;
		system_names_read(session->dir, &context.names);
		backend->describe(session->store, context.store, sizeof context.store);
		if (backend->counters != NULL)
			backend->counters(session->store, context.counters, sizeof context.counters);
		report_print(stdout, &run, result, &context);
		if (result->series != NULL && result->series->used > 0)
			plot_keep(session->plot, &run, result->series, &result->marks);
	}
	free(result->series);

fail_result:
	free(result);
	return rc;
}

int session_crash(struct session *session)
{
	int rc = session->options->backend->sync(session->store);

	if (rc == 0)
		(void)kill(getpid(), SIGKILL);
	return rc;
}

int session_close(struct session *session)
{
	int rc = session_shut(session);

	if (session->options->keep)
		fprintf(stderr, "bwt-bench: kept %s\n", session->dir);
	else if (session->options->store == NULL)
		(void)system_remove(session->dir);
	memory_close(&session->memory);
	keys_deinit(&session->keys);
	return rc;
}
