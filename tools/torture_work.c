/* SPDX-License-Identifier: MIT */
/*
 * torture_work.c - the process that is to be killed
 *
 * The writers run until the time is over, their steps are done, or the store refuses one. A store that has
 * refused because the device failed must refuse everything from then on: nothing may be acknowledged
 * after a failed sync, so that is tried once all writers stand.
 */
#include "tools/torture_work.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC_EVERY 8u   /* groups of a store that does not sync each */
#define LATE_TRIES 20u  /* steps tried in a store that has failed */
#define TXN_TRIES 1000u /* of one group, against BWT_CONFLICT and BWT_BUSY */

struct work {
	const struct torture *torture;
	struct bwt_db *db;
	struct bwt_tree *tree;
	uint64_t steps;
	bool sync;
	int out_fd;
	atomic_bool stop;
	_Atomic int refusal; /* the first code that a writer got; 0: none */
	_Atomic unsigned running;
};

struct writer {
	struct work *work;
	unsigned number;
	struct trail_state at;
	uint8_t *room;
	pthread_t thread;
	bool started;
};

static void tell(const struct work *work, const char *word, unsigned writer, uint64_t step,
                 const char *more)
{
	char line[TORTURE_LINE_MAX];
	int size = snprintf(line, sizeof line - 1, "%s %u %" PRIu64 "%s", word, writer, step, more);

	if (size > (int)sizeof line - 2)
		size = (int)sizeof line - 2;
	line[size++] = '\n';
	if (write(work->out_fd, line, (size_t)size) != size)
		_exit(EXIT_FAILURE); /* whoever listens is gone */
}

/* What is there already, and durable, because it was checked: one write for all, so that all or none is known. */
static void tell_found(const struct torture *torture, int out_fd)
{
	char lines[TORTURE_WRITERS_MAX * 64];
	size_t size = 0;

	for (unsigned i = 0; i < torture->writers; i++) {
		uint64_t step = torture->known[i].state.step;

		size += (size_t)snprintf(lines + size, sizeof lines - size,
		                         "begin %u %" PRIu64 "\nack %u %" PRIu64 "\n", i, step, i,
		                         step);
	}
	if (write(out_fd, lines, size) != (ssize_t)size)
		_exit(EXIT_FAILURE);
}

static int do_together(const struct writer *writer, uint64_t first, uint64_t last)
{
	struct bwt_txn *txn;
	int rc = bwt_begin(writer->work->db, 0, &txn);

	for (uint64_t step = first; rc == BWT_OK && step <= last; step++) {
		rc = trail_do(writer->work->tree, txn, writer->number, step, writer->room);
		if (rc != BWT_OK)
			bwt_abort(txn);
	}
	return rc != BWT_OK ? rc : bwt_commit(txn);
}

/* Steps @first to @last, all or none. */
static int do_group(const struct writer *writer, uint64_t first, uint64_t last)
{
	int rc = BWT_BUSY;

	if (first == last)
		return trail_do(writer->work->tree, NULL, writer->number, first, writer->room);
	for (unsigned i = 0; i < TXN_TRIES && (rc == BWT_BUSY || rc == BWT_CONFLICT); i++)
		rc = do_together(writer, first, last);
	return rc;
}

static void refuse(struct work *work, unsigned writer, uint64_t step, int rc)
{
	char more[TORTURE_LINE_MAX];
	int none = 0;

	snprintf(more, sizeof more, " %d %s: %s", rc, bwt_strerror(rc), bwt_detail());
	tell(work, "refused", writer, step, more);
	atomic_compare_exchange_strong(&work->refusal, &none, rc);
	atomic_store(&work->stop, true);
}

static void *write_steps(void *ctx)
{
	struct writer *writer = ctx;
	struct work *work = writer->work;
	uint64_t step = writer->at.step, last, groups = 0;

	while (!atomic_load(&work->stop) && (work->steps == 0 || step < work->steps)) {
		int rc;

		last = step + 1;
		while (!trail_group_ends(writer->number, last))
			last++;
		tell(work, "begin", writer->number, last, "");
		rc = do_group(writer, step + 1, last);
		groups++;
		if (rc == BWT_OK && !work->sync && groups % SYNC_EVERY == 0)
			rc = bwt_sync(work->db);
		if (rc != BWT_OK) {
			refuse(work, writer->number, last, rc);
			break;
		}
		if (work->sync || groups % SYNC_EVERY == 0)
			tell(work, "ack", writer->number, last, "");
		step = last;
	}
	atomic_fetch_sub(&work->running, 1);
	return NULL;
}

/* A store whose device failed must not say yes again. */
static int try_late(const struct work *work, const struct writer *writers)
{
	for (unsigned i = 0; i < LATE_TRIES; i++) {
		const struct writer *writer = &writers[i % work->torture->writers];
		int rc = trail_do(work->tree, NULL, writer->number, 1 + i, writer->room);

		/* Of an absent key: nothing was changed, nothing was said to be durable. */
		if (rc == BWT_OK && trail_step(writer->number, 1 + i).put) {
			fprintf(stderr, "bwt-torture: a store that had failed took a change\n");
			return EXIT_FAILURE;
		}
	}
	return TORTURE_REFUSED;
}

static struct bwt_options random_options(const struct torture *torture, uint64_t word)
{
	return (struct bwt_options){
		.flags = BWT_CREATE | (torture->catch_sigbus ? BWT_CATCH_SIGBUS : 0) |
	                 (torture->plain || (word & 3) == 0 ? BWT_NO_URING : 0),
		.durability = (word >> 2) % 4 == 0 ? BWT_INTERVAL : BWT_SYNC,
		.sync_interval_ms = 5,
		.max_size = (uint64_t)4 << 30,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.checkpoint_wal_bytes = (uint64_t)1 << (14 + (word >> 4) % 8),
		.checkpoint_interval_ms = 1 + (unsigned)((word >> 8) % 200),
		.worker_count = 1 + (unsigned)((word >> 16) % 2),
	};
}

static int say(const char *what, int rc)
{
	fprintf(stderr, "bwt-torture: %s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	return EXIT_FAILURE;
}

/* Until the writers stand: checkpoints beside the timed ones. */
static void attend(struct work *work, uint64_t word, double end)
{
	while (atomic_load(&work->running) > 0) {
		usleep(1000 + (unsigned)(word % 20000));
		word = word * 6364136223846793005u + 1442695040888963407u;
		if (end != 0 && torture_seconds() >= end)
			atomic_store(&work->stop, true);
		else if ((word >> 60) == 0)
			(void)bwt_checkpoint(work->db); /* it fails where the store fails */
	}
}

/* The writers, from start to end; an exit status. */
static int run_writers(struct work *work, struct writer *writers, uint64_t word, double end)
{
	const struct torture *torture = work->torture;
	int status = TORTURE_ENDED;

	for (unsigned i = 0; i < torture->writers; i++) {
		struct writer *writer = &writers[i];

		*writer = (struct writer){
			work, i, torture->known[i].state, malloc(TRAIL_VALUE_MAX), 0, false};
		atomic_fetch_add(&work->running, 1);
		writer->started = writer->room != NULL &&
		                  pthread_create(&writer->thread, NULL, write_steps, writer) == 0;
		if (!writer->started) {
			fprintf(stderr, "bwt-torture: no thread\n");
			atomic_fetch_sub(&work->running, 1);
			atomic_store(&work->stop, true);
			status = EXIT_FAILURE;
		}
	}
	attend(work, word, end);
	for (unsigned i = 0; i < torture->writers; i++)
		if (writers[i].started)
			pthread_join(writers[i].thread, NULL);
	if (status != TORTURE_ENDED || work->refusal == 0)
		return status;
	if (work->refusal == BWT_IO || work->refusal == BWT_READ_ONLY)
		return try_late(work, writers);
	return work->refusal == BWT_FULL || work->refusal == BWT_CORRUPT ? TORTURE_REFUSED
	                                                                 : EXIT_FAILURE;
}

int torture_work(const struct torture *torture, double seconds, uint64_t steps, int out_fd)
{
	uint64_t word = (torture->seed + 1) * 0x9e3779b97f4a7c15u;
	struct bwt_options options = random_options(torture, word ^ (word >> 29));
	struct work work = {.torture = torture, .steps = steps, .out_fd = out_fd};
	struct writer writers[TORTURE_WRITERS_MAX] = {0};
	int status, rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < 200; i++) {
		rc = bwt_open(torture->store, &options, &work.db);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	if (rc == BWT_OK)
		rc = bwt_tree_open(work.db, NULL, 0, &work.tree);
	if (rc == BWT_FULL || rc == BWT_IO) {
		refuse(&work, 0, 0, rc);
		return TORTURE_REFUSED;
	}
	if (rc != BWT_OK)
		return say("opening", rc);
	tell_found(torture, out_fd);
	work.sync = options.durability == BWT_SYNC;
	status = run_writers(&work, writers, word, seconds == 0 ? 0 : torture_seconds() + seconds);
	for (unsigned i = 0; i < torture->writers; i++)
		free(writers[i].room);
	rc = bwt_close(work.db);
	if (rc != BWT_OK && status == TORTURE_ENDED)
		return say("closing", rc);
	return status;
}
