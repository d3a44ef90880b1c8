/* SPDX-License-Identifier: MIT */
/*
 * worker.c - background threads: pages that readers or writers hint at, extents and files that are to be emptied
 *
 *   asleep --work_push(), work_wake()--> growth of the file, ahead of need --enough--> hints --none left-->
 *          extents --none worth it--> value-log files --none worth it--> asleep
 *
 * Everything a worker does could be done by the threads that work on the store, and is where there are
 * no workers (space.c, values.c, tree/write.c); nobody ever waits for one of them. Without work they sleep on a futex,
 * with no timeout, but for the pauses of collection (pace.h): an idle store uses no processor time.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "db/db.h"
#include "tree/consolidate.h"

struct worker {
	struct bwt_db *db;
	struct sys_thread *thread;
	_Atomic(uint32_t) stop;
	bool fruitless; /* its own: nothing could be emptied just now, so it sleeps until it is woken */
};

/* The chain goes, if there still is one. What changes the page meanwhile makes the hint void. */
static void consolidate_page(struct bwt_db *db, struct epoch_slot *slot, const struct work *work)
{
	struct tree *tree;
	struct place place;

	epoch_pin(slot);
	tree = space_tree_hold(db, work->tree);
	if (tree != NULL) {
		if (page_look(tree, work->page, &place) == BWT_OK &&
		    place.base->head.tree == tree->id && mapping_chain(place.word) != 0)
			tree_consolidate(tree, slot, &place, LEAVE_PENDING, URGENCY_CARE);
		space_tree_release(db, tree);
	}
	epoch_unpin(slot);
}

static void work_on(struct bwt_db *db, struct epoch_slot *slot, const struct work *work)
{
	switch (work->kind) {
	case WORK_CONSOLIDATE:
		consolidate_page(db, slot, work);
		break;
	}
}

static bool values_wanted(const struct bwt_db *db)
{
	return values_behind(db) && values_wait_ns(db) == 0;
}

/* Is there a reason not to go to sleep? */
static bool must_stay(void *ctx)
{
	const struct worker *worker = ctx;

	return atomic_load_explicit(&worker->stop, memory_order_relaxed) != 0 ||
	       space_lags(worker->db) ||
	       (!worker->fruitless && (space_behind(worker->db) || values_wanted(worker->db)));
}

static void worker_run(void *ctx)
{
	struct worker *worker = ctx;
	struct bwt_db *db = worker->db;
	struct epoch_slot *slot;
	struct work work;

	if (db_slot(db, &slot) < 0)
		return;
	while (atomic_load_explicit(&worker->stop, memory_order_acquire) == 0) {
		if (space_lags(db))
			space_grow(db);
		if (work_pop(&db->work, &work)) {
			if (store_health(&db->store, true) == BWT_OK)
				work_on(db, slot, &work);
			continue;
		}
		worker->fruitless = false;
		if (space_behind(db)) {
			if (space_clean(db, slot))
				continue;
			worker->fruitless = true;
		}
		if (values_wanted(db)) {
			if (values_collect(db, slot))
				continue;
			worker->fruitless = true;
		}
		space_rest(db, slot);
		/* What is paced is gone on with by itself. */
		work_sleep(&db->work, values_behind(db) ? values_wait_ns(db) : 0, must_stay, worker);
	}
}

int workers_start(struct bwt_db *db)
{
	unsigned count = has_workers(db) ? db->options.worker_count : 0;
	int rc = BWT_OK;

	if (count == 0)
		return BWT_OK;
	db->workers = calloc(count, sizeof *db->workers);
	if (db->workers == NULL)
		return -ENOMEM;
	while (rc == BWT_OK && db->worker_count < count) {
		struct worker *worker = &db->workers[db->worker_count];

		worker->db = db;
		rc = sys_thread_start(worker_run, worker, "bwt-worker", &worker->thread);
		if (rc == BWT_OK)
			db->worker_count++;
	}
	if (rc < 0)
		workers_stop(db);
	else
		db->store.env.work = &db->work;
	return rc;
}

void workers_stop(struct bwt_db *db)
{
	db->store.env.work = NULL;
	for (unsigned i = 0; i < db->worker_count; i++)
		atomic_store_explicit(&db->workers[i].stop, 1, memory_order_release);
	work_wake(&db->work, UINT32_MAX);
	for (unsigned i = 0; i < db->worker_count; i++)
		sys_thread_join(db->workers[i].thread);
	db->worker_count = 0;
	free(db->workers);
	db->workers = NULL;
}
