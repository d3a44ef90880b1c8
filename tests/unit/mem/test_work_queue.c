/* SPDX-License-Identifier: MIT */
/* test_work_queue.c - hints come out once, in order, by many threads; a full queue says no; sleepers wake */
#include "mem/work_queue.h"

#include <pthread.h>

#include "base/testpoint.h"
#include "sys/thread.h"
#include "tests/support/actor.h"
#include "tests/support/suite.h"

#define EACH 20000u
#define THREADS 3u

static struct work_queue queue;
static _Atomic(uint64_t) pushed, popped;
static _Atomic(uint32_t) done;

static void set_up(void)
{
	work_queue_init(&queue);
	atomic_store(&pushed, 0);
	atomic_store(&popped, 0);
	atomic_store(&done, 0);
}

static bool push(uint64_t page)
{
	return work_push(&queue, &(struct work){WORK_CONSOLIDATE, 2, page});
}

static void hints_come_out_in_order_until_there_are_none(void)
{
	struct work work;

	CU_ASSERT_FALSE(work_pop(&queue, &work));
	for (uint64_t round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 700; i++)
			CU_ASSERT_TRUE_FATAL(push(i));
		for (uint64_t i = 0; i < 700; i++) {
			CU_ASSERT_TRUE_FATAL(work_pop(&queue, &work));
			CU_ASSERT_EQUAL(work.page, i);
		}
		CU_ASSERT_FALSE(work_pop(&queue, &work));
	}
}

static void a_full_queue_refuses_and_takes_again(void)
{
	struct work work;

	for (uint64_t i = 0; i < WORK_QUEUE_CELLS; i++)
		CU_ASSERT_TRUE(push(i));
	CU_ASSERT_FALSE(push(0));
	CU_ASSERT_TRUE(work_pop(&queue, &work));
	CU_ASSERT_TRUE(push(0));
	CU_ASSERT_FALSE(push(0));
}

static void push_one(void *arg)
{
	(void)arg;
	push(7);
}

/* What a stopped pusher holds up is hints alone. */
static void behind_a_stopped_pusher_there_is_nothing_until_it_goes_on(void)
{
	struct actor actor;
	struct work work;

	actor_start(&actor, "work_push", push_one, NULL);
	CU_ASSERT_TRUE(actor_await(&actor));
	CU_ASSERT_TRUE(push(8));
	CU_ASSERT_FALSE(work_pop(&queue, &work));
	actor_finish(&actor);
	CU_ASSERT_TRUE(work_pop(&queue, &work));
	CU_ASSERT_EQUAL(work.page, 7);
	CU_ASSERT_TRUE(work_pop(&queue, &work));
	testpoint_reset();
}

static void *pushing(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= EACH; i++) {
		while (!push(i))
			sys_yield();
		atomic_fetch_add(&pushed, i);
	}
	return NULL;
}

static bool is_done(void *ctx)
{
	(void)ctx;
	return atomic_load(&done) != 0;
}

static void *popping(void *arg)
{
	struct work work;

	(void)arg;
	for (;;) {
		if (work_pop(&queue, &work))
			atomic_fetch_add(&popped, work.page);
		else if (is_done(NULL))
			return NULL;
		else
			work_sleep(&queue, 0, is_done, NULL);
	}
}

static void many_threads_lose_and_double_nothing_and_sleepers_wake(void)
{
	pthread_t push_thread[THREADS], pop_thread[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		CU_ASSERT_EQUAL_FATAL(pthread_create(&pop_thread[i], NULL, popping, NULL), 0);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&push_thread[i], NULL, pushing, NULL), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(push_thread[i], NULL);
	atomic_store(&done, 1);
	work_wake(&queue, UINT32_MAX);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(pop_thread[i], NULL);
	CU_ASSERT_EQUAL(atomic_load(&pushed), (uint64_t)THREADS * EACH * (EACH + 1) / 2);
	CU_ASSERT_EQUAL(atomic_load(&pushed), atomic_load(&popped));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(hints_come_out_in_order_until_there_are_none),
		TEST(a_full_queue_refuses_and_takes_again),
		TEST(behind_a_stopped_pusher_there_is_nothing_until_it_goes_on),
		TEST(many_threads_lose_and_double_nothing_and_sleepers_wake),
		CU_TEST_INFO_NULL,
	};

	return suite_run("work_queue", set_up, NULL, tests);
}
