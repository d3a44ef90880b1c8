/* SPDX-License-Identifier: MIT */
/* crew.c - threads on one store */
#include "tests/support/crew.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/suite.h"

static void sleep_seconds(double seconds)
{
	struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&time, NULL);
}

void crew_fail(const char *format, ...)
{
	va_list args;

	flockfile(stdout);
	printf("FAILED: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  bwt_detail: %s\n", bwt_detail());
	fflush(stdout);
	abort();
}

void crew_need(const char *what, int rc)
{
	if (rc != BWT_OK)
		crew_fail("%s: %d (%s)", what, rc, bwt_strerror(rc));
}

double crew_seconds(unsigned parts)
{
	const char *text = getenv("LONG");
	double seconds = suite_short() ? 2 : 15;

	if (text != NULL && text[0] != '\0')
		seconds = strtod(text, NULL);
	return seconds / parts;
}

static void say(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= LOG_ERR)
		printf("  the store says: %s\n", text);
}

static void open_store(struct crew *crew, const struct bwt_options *options, unsigned flags)
{
	struct bwt_options own = {
		.checkpoint_wal_bytes = (uint64_t)256 << 10,
		.checkpoint_interval_ms = 50,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.worker_count = 2,
	};

	if (options != NULL)
		own = *options;
	own.flags |= flags;
	own.max_size = own.max_size != 0 ? own.max_size : (uint64_t)8 << 30;
	own.log = say;
	crew_need("bwt_open", bwt_open(crew->path, &own, &crew->db));
	crew_need("bwt_tree_open", bwt_tree_open(crew->db, NULL, 0, &crew->tree));
}

void crew_open(struct crew *crew, const struct bwt_options *options)
{
	uint64_t seed = crew->seed;

	memset(crew, 0, sizeof *crew);
	crew->seed = seed;
	tmpstore_new(crew->path);
	open_store(crew, options, BWT_CREATE);
}

void crew_reopen(struct crew *crew, const struct bwt_options *options)
{
	crew_need("bwt_close", bwt_close(crew->db));
	open_store(crew, options, 0);
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity == BWT_NOTE)
		return;
	printf("  finding %d: %s offset %" PRIu64 " page %" PRIu64 ": %s\n", finding->severity,
	       finding->file != NULL ? finding->file : "", finding->offset, finding->page,
	       finding->text);
}

void crew_close(struct crew *crew)
{
	crew_need("bwt_close", bwt_close(crew->db));
	crew_need("bwt_verify", bwt_verify(crew->path, 0, print_finding, NULL));
	tmpstore_free(crew->path);
}

struct member *crew_add(struct crew *crew, void (*work)(struct member *member), void *own)
{
	struct member *member = &crew->members[crew->count];

	*member = (struct member){.crew = crew, .number = crew->count, .work = work, .own = own};
	rng_init(&member->rng, crew->seed + crew->count);
	crew->count++;
	return member;
}

static void *run_member(void *ctx)
{
	struct member *member = ctx;

	member->work(member);
	return NULL;
}

uint64_t crew_run(struct crew *crew, double seconds)
{
	uint64_t done = 0;

	atomic_store_explicit(&crew->stop, false, memory_order_relaxed);
	for (unsigned i = 0; i < crew->count; i++)
		if (pthread_create(&crew->members[i].thread, NULL, run_member, &crew->members[i]) != 0)
			crew_fail("no thread %u", i);
	sleep_seconds(seconds);
	atomic_store_explicit(&crew->stop, true, memory_order_relaxed);
	for (unsigned i = 0; i < crew->count; i++) {
		pthread_join(crew->members[i].thread, NULL);
		done += crew->members[i].done;
	}
	crew->count = 0;
	return done;
}

void work_checkpoints(struct member *member)
{
	while (crew_going(member)) {
		int rc = bwt_checkpoint(member->crew->db);

		if (rc != BWT_BUSY)
			crew_need("bwt_checkpoint", rc);
		sleep_seconds((double)rng_below(&member->rng, 20) * 1e-3);
	}
}

void work_stats(struct member *member)
{
	struct bwt_stats stats;
	uint64_t durable = 0;

	while (crew_going(member)) {
		crew_need("bwt_stat", bwt_stat(member->crew->db, &stats));
		if (stats.durable_lsn < durable)
			crew_fail("durable_lsn went back from %" PRIu64 " to %" PRIu64, durable,
			          stats.durable_lsn);
		durable = stats.durable_lsn;
		if (bwt_durable_lsn(member->crew->db) < durable)
			crew_fail("bwt_durable_lsn is behind bwt_stat");
		sleep_seconds(1e-3);
	}
}

void work_syncs(struct member *member)
{
	while (crew_going(member)) {
		crew_need("bwt_sync", bwt_sync(member->crew->db));
		sleep_seconds(5e-3);
	}
}
