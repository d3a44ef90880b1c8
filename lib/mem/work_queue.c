/* SPDX-License-Identifier: MIT */
/*
 * work_queue.c - cells that change hands by turn numbers (protocol and invariants in the header)
 */
#include "mem/work_queue.h"

#include <assert.h>

#include "base/testpoint.h"
#include "sys/thread.h"

static_assert((WORK_QUEUE_CELLS & (WORK_QUEUE_CELLS - 1)) == 0, "positions are masked");

void work_queue_init(struct work_queue *queue)
{
	atomic_init(&queue->push_at, 0);
	atomic_init(&queue->pop_at, 0);
	atomic_init(&queue->bell, 0);
	atomic_init(&queue->sleepers, 0);
	for (unsigned i = 0; i < WORK_QUEUE_CELLS; i++)
		atomic_init(&queue->cell[i].turn, i);
}

/* The cell at *@at once its turn is *@at + @ahead, moved over; NULL: it is not that far. */
static struct work_cell *take(struct work_queue *queue, _Atomic(uint64_t) *at, uint64_t ahead,
                              uint64_t *taken)
{
	uint64_t position = atomic_load_explicit(at, memory_order_relaxed);

	for (;;) {
		struct work_cell *cell = &queue->cell[position & (WORK_QUEUE_CELLS - 1)];
		/* ACQUIRE: pairs with the RELEASE of who had the cell before. */
		uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);

		if (turn == position + ahead) {
			if (atomic_compare_exchange_weak_explicit(at, &position, position + 1,
			                                          memory_order_relaxed,
			                                          memory_order_relaxed)) {
				*taken = position;
				return cell;
			}
		} else if (turn < position + ahead) {
			return NULL;
		} else {
			position = atomic_load_explicit(at, memory_order_relaxed);
		}
	}
}

bool work_push(struct work_queue *queue, const struct work *work)
{
	uint64_t position;
	struct work_cell *cell = take(queue, &queue->push_at, 0, &position);

	if (cell == NULL)
		return false;
	cell->work = *work;
	TEST_YIELD("work_push");
	atomic_store_explicit(&cell->turn, position + 1, memory_order_release);
	work_wake(queue, 1);
	return true;
}

bool work_pop(struct work_queue *queue, struct work *work)
{
	uint64_t position;
	struct work_cell *cell = take(queue, &queue->pop_at, 1, &position);

	if (cell == NULL)
		return false;
	*work = cell->work;
	atomic_store_explicit(&cell->turn, position + WORK_QUEUE_CELLS, memory_order_release);
	return true;
}

/* Not "is it empty": behind a pusher who is stopped in the middle there is nothing to be had, and no need to look again. */
static bool can_pop(const struct work_queue *queue)
{
	uint64_t position = atomic_load_explicit(&queue->pop_at, memory_order_relaxed);
	const struct work_cell *cell = &queue->cell[position & (WORK_QUEUE_CELLS - 1)];

	return atomic_load_explicit(&cell->turn, memory_order_relaxed) == position + 1;
}

void work_wake(struct work_queue *queue, unsigned count)
{
	atomic_thread_fence(memory_order_seq_cst); /* WQ2 */
	if (atomic_load_explicit(&queue->sleepers, memory_order_relaxed) == 0)
		return;
	atomic_fetch_add_explicit(&queue->bell, 1, memory_order_release);
	sys_wake(&queue->bell, count);
}

void work_sleep(struct work_queue *queue, uint64_t timeout_ns, bool (*ready)(void *ctx), void *ctx)
{
	uint32_t bell = atomic_load_explicit(&queue->bell, memory_order_acquire);

	atomic_fetch_add_explicit(&queue->sleepers, 1, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst); /* WQ2 */
	if (!can_pop(queue) && !ready(ctx))
		sys_park(&queue->bell, bell, timeout_ns);
	atomic_fetch_sub_explicit(&queue->sleepers, 1, memory_order_relaxed);
}
