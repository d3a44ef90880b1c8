/* SPDX-License-Identifier: MIT */
/*
 * bench_worker.c - the operations of which workloads are made, counted and checked
 *
 * Every value that a get or scan shows is compared with its key (bench_keys.h): a store that answers
 * fast and wrong ends the run.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

#define VERSION_ID_SHIFT 48 /* versions of different workers differ in the bits from here on */

struct worker *worker_new(struct run *run, unsigned id)
{
	const unsigned batch = run->options->batch;
	const size_t pair_size = (size_t)run->keys->key_size + run->keys->value_size;
	struct worker *worker = aligned_alloc(_Alignof(struct worker), sizeof *worker);

	if (worker == NULL)
		return NULL;
	memset(worker, 0, sizeof *worker);
	worker->run = run;
	worker->id = id;
	worker->version = (uint64_t)id << VERSION_ID_SHIFT;
	random_init(&worker->random, run->options->seed, 1 + id);
	worker->records = calloc(batch, sizeof *worker->records);
	worker->pairs = calloc(batch, sizeof *worker->pairs);
	worker->bytes = malloc(batch * pair_size + run->keys->key_size);
	worker->keys = calloc(run->options->read_batch, sizeof *worker->keys);
	worker->key_bytes = calloc(run->options->read_batch, run->keys->key_size);
	worker->last_key = calloc(1, run->keys->key_size);
	if (worker->records == NULL || worker->pairs == NULL || worker->bytes == NULL ||
	    worker->keys == NULL || worker->key_bytes == NULL || worker->last_key == NULL) {
		worker_free(worker);
		return NULL;
	}
	for (unsigned i = 0; i < batch; i++) {
		unsigned char *key = worker->bytes + i * pair_size;

		worker->pairs[i].key = (struct bwt_slice){key, run->keys->key_size};
		worker->pairs[i].value =
			(struct bwt_slice){key + run->keys->key_size, run->keys->value_size};
	}
	return worker;
}

int worker_want_series(struct worker *worker)
{
	worker->series = malloc(sizeof *worker->series);
	if (worker->series == NULL)
		return -ENOMEM;
	series_init(worker->series);
	return 0;
}

void worker_free(struct worker *worker)
{
	free(worker->series);
	free(worker->records);
	free(worker->pairs);
	free(worker->bytes);
	free(worker->keys);
	free(worker->key_bytes);
	free(worker->last_key);
	free(worker);
}

uint64_t worker_pick(struct worker *worker)
{
	const struct run *run = worker->run;
	uint64_t newest;

	switch (run->shape) {
	case RANDOM_ZIPFIAN:
		return random_zipf_scrambled(&run->scrambled, &worker->random, run->record_count);
	case RANDOM_LATEST:
		newest = atomic_load_explicit(&run->next_record, memory_order_relaxed) - 1;
		return newest - random_zipf_rank(&run->latest, &worker->random);
	default:
		return random_below(&worker->random, run->record_count);
	}
}

/* The pairs of worker->records[0..@count), with values of a new version. */
static void make_pairs(struct worker *worker, size_t count)
{
	const struct keys *keys = worker->run->keys;
	const size_t pair_size = (size_t)keys->key_size + keys->value_size;

	for (size_t i = 0; i < count; i++) {
		unsigned char *key = worker->bytes + i * pair_size;

		keys_key(keys, worker->records[i], key);
		keys_value(keys, key, worker->version++, key + keys->key_size);
		worker->pairs[i].value.size = keys_value_size(keys, key);
		worker->put_bytes += keys->key_size + worker->pairs[i].value.size;
	}
}

int worker_put(struct worker *worker, size_t count)
{
	make_pairs(worker, count);
	return worker->run->options->backend->put(worker->thread, count, worker->pairs);
}

/* The key of @record in the worker's spare place. */
static struct bwt_slice key_of(struct worker *worker, uint64_t record)
{
	const struct keys *keys = worker->run->keys;
	const size_t pair_size = (size_t)keys->key_size + keys->value_size;
	unsigned char *key = worker->bytes + worker->run->options->batch * pair_size;

	keys_key(keys, record, key);
	return (struct bwt_slice){key, keys->key_size};
}

static int wrong_value(const struct worker *worker)
{
	fprintf(stderr, "bwt-bench: %s: a value does not belong to its key, or is out of order\n",
	        worker->run->options->backend->name);
	return -EBADMSG;
}

static void check_entry(void *ctx, struct bwt_slice key, struct bwt_slice value)
{
	struct worker *worker = ctx;

	worker->entries++;
	if (!keys_check(worker->run->keys, key, value))
		worker->wrong++;
}

/* Two keys of this run in the order that the scan must show them in. */
static bool is_in_order(const struct worker *worker, const void *before, const void *after)
{
	const size_t size = worker->run->keys->key_size;
	uint64_t words[2];
	int order;

	if (size == sizeof words[0]) {
		memcpy(&words[0], before, sizeof words[0]);
		memcpy(&words[1], after, sizeof words[1]);
		words[0] = be64toh(words[0]);
		words[1] = be64toh(words[1]);
		order = words[0] < words[1] ? -1 : words[0] > words[1];
	} else {
		order = memcmp(before, after, size);
	}
	return worker->scan_backward ? order > 0 : order < 0;
}

static void check_scanned(void *ctx, struct bwt_slice key, struct bwt_slice value)
{
	struct worker *worker = ctx;
	const uint64_t wrong = worker->wrong;

	check_entry(worker, key, value);
	if (worker->wrong != wrong)
		return;
	if (worker->scanned++ > 0 && !is_in_order(worker, worker->last_key, key.data))
		worker->wrong++;
	memcpy(worker->last_key, key.data, key.size);
}

int worker_update(struct worker *worker, size_t count)
{
	const struct backend *backend = worker->run->options->backend;
	int rc;

	if (backend->update == NULL) {
		fprintf(stderr, "bwt-bench: %s has no transactions that read and write\n",
		        backend->name);
		return -ENOTSUP;
	}
	make_pairs(worker, count);
	while ((rc = backend->update(worker->thread, count, worker->pairs, check_entry, worker)) ==
	       BWT_CONFLICT)
		worker->conflicts++;
	return rc == 0 && worker->wrong > 0 ? wrong_value(worker) : rc;
}

int worker_get(struct worker *worker, uint64_t record)
{
	const struct backend *backend = worker->run->options->backend;
	int rc = backend->get(worker->thread, key_of(worker, record), check_entry, worker);

	if (worker->wrong > 0)
		return wrong_value(worker);
	if (rc != BWT_NOT_FOUND)
		return rc;
	if (record < worker->run->record_count) { /* R2 */
		fprintf(stderr, "bwt-bench: %s: record %ju is gone\n", backend->name,
		        (uintmax_t)record);
		return -ENODATA;
	}
	worker->misses++;
	return 0;
}

/* All records are there (R2). */
int worker_get_many(struct worker *worker)
{
	const struct backend *backend = worker->run->options->backend;
	const struct keys *keys = worker->run->keys;
	const unsigned count = worker->run->options->read_batch;
	int rc;

	for (unsigned i = 0; i < count; i++) {
		unsigned char *key = worker->key_bytes + (size_t)i * keys->key_size;

		keys_key(keys, worker_pick(worker), key);
		worker->keys[i] = (struct bwt_slice){key, keys->key_size};
	}
	rc = backend->get_many(worker->thread, count, worker->keys, check_entry, worker);
	if (worker->wrong > 0)
		return wrong_value(worker);
	if (rc == BWT_NOT_FOUND) {
		fprintf(stderr, "bwt-bench: %s: a record is gone\n", backend->name);
		return -ENODATA;
	}
	return rc < 0 ? rc : (int)count;
}

int worker_delete(struct worker *worker, uint64_t record)
{
	return worker->run->options->backend->delete (worker->thread, key_of(worker, record));
}

static int scan_from(struct worker *worker, struct bwt_slice from, uint64_t count, bool backward)
{
	int rc;

	worker->scanned = 0;
	worker->scan_backward = backward;
	rc = worker->run->options->backend->scan(worker->thread, from, count, backward,
	                                         check_scanned, worker);
	return rc == 0 && worker->wrong > 0 ? wrong_value(worker) : rc;
}

int worker_scan(struct worker *worker, uint64_t record, uint64_t count, bool backward)
{
	return scan_from(worker, key_of(worker, record), count, backward);
}

int worker_scan_all(struct worker *worker, bool backward)
{
	struct run *run = worker->run;
	int rc = scan_from(worker, (struct bwt_slice){NULL, 0}, UINT64_MAX, backward);

	/* R2, R3: while nobody inserted, there is nothing but the records. */
	if (rc < 0 || run->options->backend == &backend_null || worker->scanned == run->record_count ||
	    atomic_load_explicit(&run->next_record, memory_order_relaxed) != run->record_count)
		return rc;
	fprintf(stderr, "bwt-bench: %s: a scan of all saw %ju of %ju records\n",
	        run->options->backend->name, (uintmax_t)worker->scanned,
	        (uintmax_t)run->record_count);
	return -ENODATA;
}
