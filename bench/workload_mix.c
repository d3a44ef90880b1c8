/* SPDX-License-Identifier: MIT */
/*
 * workload_mix.c - operations drawn by lot from a workload's shares
 */
#include "workload.h"

#define SCAN_LENGTH_MAX 100 /* YCSB's maxscanlength; lengths are uniform in 1..this */

static int insert_one(struct worker *worker)
{
	worker->records[0] =
		atomic_fetch_add_explicit(&worker->run->next_record, 1, memory_order_relaxed);
	return worker_put(worker, 1);
}

/* batch records, drawn for worker_put() or worker_update() */
static unsigned pick_batch(struct worker *worker)
{
	const unsigned count = worker->run->options->batch;

	for (unsigned i = 0; i < count; i++)
		worker->records[i] = worker_pick(worker);
	return count;
}

/* An update is one transaction of batch pairs and counts as that many operations. */
static int update_batch(struct worker *worker)
{
	const unsigned count = pick_batch(worker);
	int rc = worker_put(worker, count);

	return rc < 0 ? rc : (int)count;
}

static int scan_some(struct worker *worker, const struct workload_mix *mix)
{
	const uint64_t length = mix->fixed_scan ? worker->run->options->scan_length
	                                        : 1 + random_below(&worker->random, SCAN_LENGTH_MAX);

	return worker_scan(worker, worker_pick(worker), length, mix->backward);
}

static int modify_one(struct worker *worker)
{
	int rc;

	worker->records[0] = worker_pick(worker);
	rc = worker_get(worker, worker->records[0]);
	return rc < 0 ? rc : worker_put(worker, 1);
}

/* Does @lot fall into the next @share percent? What is left of it is for the shares that follow. */
static bool drawn(unsigned *lot, unsigned share)
{
	if (*lot < share)
		return true;
	*lot -= share;
	return false;
}

/* A transaction that commits is one operation: goodput. */
int workload_txn_step(struct worker *worker)
{
	int rc = worker_update(worker, pick_batch(worker));

	return rc < 0 ? rc : 1;
}

int workload_many_step(struct worker *worker)
{
	const unsigned count = worker->run->options->read_batch;

	if (worker->run->options->backend->get_many != NULL)
		return worker_get_many(worker);
	for (unsigned i = 0; i < count; i++) {
		int rc = worker_get(worker, worker_pick(worker));

		if (rc < 0)
			return rc;
	}
	return (int)count;
}

uint64_t workload_steady_op_count(const struct run *run)
{
	return run->options->records * 10;
}

int workload_mix_step(struct worker *worker)
{
	const struct workload_mix *mix = &worker->run->workload->mix;
	unsigned lot = (unsigned)random_below(&worker->random, 100);
	int rc;

	if (drawn(&lot, mix->read))
		rc = worker_get(worker, worker_pick(worker));
	else if (drawn(&lot, mix->update))
		return update_batch(worker);
	else if (drawn(&lot, mix->insert))
		rc = insert_one(worker);
	else if (drawn(&lot, mix->scan))
		rc = scan_some(worker, mix);
	else
		rc = modify_one(worker);
	return rc < 0 ? rc : 1;
}
