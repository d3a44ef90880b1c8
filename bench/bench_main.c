/* SPDX-License-Identifier: MIT */
/*
 * bench_main.c - bwt-bench: measure libbwt and its peers with one loop
 *
 * A list of workloads is checked whole before anything is created, then done in order on one store.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bench_session.h"
#include "bench_sweep.h"
#include "workload.h"

#define PLAN_MAX 256

struct plan_item {
	const struct workload *workload;
	unsigned thread_count;
};

struct plan {
	struct plan_item items[PLAN_MAX];
	size_t count;
	unsigned thread_max;
};

static void on_signal(int number)
{
	(void)number;
	run_interrupt();
}

static int wrong_item(const char *why, const char *item, size_t size)
{
	fprintf(stderr, "bwt-bench: %s: '%.*s'\n", why, (int)size, item);
	return -EINVAL;
}

/* Why @backend or the options cannot do @item; NULL when they can. */
static const char *refusal(const struct bench_options *options, const struct plan_item *item)
{
	const bool is_durable =
		(item->workload->flags & WORKLOAD_DURABLE) != 0 && options->backend->put != NULL;

	if (options->backend->get == NULL && !is_durable)
		return "this backend is for the workload commit only";
	if ((item->workload->flags & WORKLOAD_REOPEN) != 0 && item->thread_count > 1)
		return "this workload is for one thread";
	if (options->records < item->thread_count)
		return "there must be at least one record for each thread";
	return NULL;
}

/* "NAME" or "NAME:THREADS", @size characters at @text. */
static int plan_item(struct plan *plan, const struct bench_options *options, const char *text,
                     size_t size)
{
	const char *colon = memchr(text, ':', size);
	const size_t name_size = colon != NULL ? (size_t)(colon - text) : size;
	struct plan_item item = {workload_find(text, name_size), options->threads};
	const char *why;
	char *end;

	if (item.workload == NULL)
		return wrong_item("no such workload", text, size);
	if (colon != NULL) {
		const unsigned long threads = strtoul(colon + 1, &end, 10);

		if (end != text + size || threads < 1 || threads > OPTIONS_THREADS_MAX)
			return wrong_item("not a number of threads", text, size);
		item.thread_count = (unsigned)threads;
	}
	why = refusal(options, &item);
	if (why != NULL)
		return wrong_item(why, text, size);
	if (plan->count == PLAN_MAX)
		return wrong_item("the list is too long", text, size);
	plan->items[plan->count++] = item;
	if (item.thread_count > plan->thread_max)
		plan->thread_max = item.thread_count;
	return 0;
}

static int plan_make(struct plan *plan, const struct bench_options *options)
{
	const char *text = options->workloads;

	for (;;) {
		const size_t size = strcspn(text, ",");
		int rc = plan_item(plan, options, text, size);

		if (rc < 0)
			return rc;
		if (text[size] == '\0')
			return 0;
		text += size + 1;
	}
}

static int measure(struct session *session, const struct plan *plan)
{
	int rc = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *item = &plan->items[i];

		for (unsigned round = 1; round <= session->options->repeat; round++) {
			rc = session_prepare(session, item->workload);
			if (rc == 0 && !run_interrupted())
				rc = session_measure(session, item->workload, item->thread_count,
				                     round);
			if (rc < 0 || run_interrupted())
				return rc;
		}
	}
	return rc;
}

/* The whole list on one store, options->backend. */
static int measure_store(const struct bench_options *options, const struct plan *plan,
                         struct plot *plot)
{
	struct session session;
	int close_rc;
	int rc = session_init(&session, options, plot, plan->thread_max);

	if (rc < 0)
		return rc;
	rc = measure(&session, plan);
	if (rc == 0 && options->crash && !run_interrupted())
		rc = session_crash(&session);
	close_rc = session_close(&session);
	if (rc < 0)
		fprintf(stderr, "bwt-bench: %s failed\n", options->backend->name);
	return rc < 0 ? rc : close_rc;
}

static int measure_stores(struct bench_options *options, const struct plan *plan)
{
	const bool is_drawn = options->plot != NULL || options->series != NULL;
	const char *rest = options->backends;
	struct plot plot = {.count = 0};
	int rc = 0;

	while (rc == 0 && !run_interrupted() && options_next_backend(options, &rest))
		rc = measure_store(options, plan, is_drawn ? &plot : NULL);
	if (rc == 0 && options->series != NULL)
		rc = plot_write(&plot, options->series);
	if (rc == 0 && options->plot != NULL)
		rc = plot_draw(&plot, options->plot);
	plot_free(&plot);
	return rc;
}

/* Before anything is created: every store can do all of the list. */
static int plan_all(struct plan *plan, struct bench_options *options)
{
	const char *rest = options->backends;

	while (options_next_backend(options, &rest)) {
		memset(plan, 0, sizeof *plan);
		if (plan_make(plan, options) < 0)
			return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct plan plan;
	struct sigaction action = {.sa_handler = on_signal};
	struct bench_options options;
	int rc;

	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_DONE:
		return EXIT_SUCCESS;
	case OPTIONS_WRONG:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	if (plan_all(&plan, &options) < 0)
		return 2;
	if (options.sweep != NULL) {
		rc = sweep_run(&options);
		return rc == -EINVAL ? 2 : rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	rc = measure_stores(&options, &plan);
	return rc < 0 || run_interrupted() ? EXIT_FAILURE : EXIT_SUCCESS;
}
