/* SPDX-License-Identifier: MIT */
/* test_tls.c - a value per thread, and the call when the thread ends */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"
#include "sys/thread.h"
#include "tests/support/suite.h"
#include "tests/unit/sys/child.h"

#define LIMIT 1024u /* sys_tls at a time in a process */
#define THREADS 8u

static _Atomic(uint32_t) exits;   /* calls of at_exit */
static _Atomic(uintptr_t) values; /* sum of what they were given */
static struct sys_tls *tls;

static void at_exit(void *value)
{
	atomic_fetch_add_explicit(&exits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&values, (uintptr_t)value, memory_order_relaxed);
}

/* Values are only numbers here. */
static void *number(uintptr_t value)
{
	return (void *)value; /* NOLINT(performance-no-int-to-ptr) */
}

static uint32_t exit_count(void)
{
	return atomic_load_explicit(&exits, memory_order_relaxed);
}

static void set_up(void)
{
	atomic_store_explicit(&exits, 0, memory_order_relaxed);
	atomic_store_explicit(&values, 0, memory_order_relaxed);
	if (sys_tls_new(at_exit, &tls) < 0)
		abort();
}

static void tear_down(void)
{
	sys_tls_free(tls);
}

static void run_thread(void *(*body)(void *ctx), void *ctx)
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, body, ctx), 0);
	pthread_join(thread, NULL);
}

static void *set_and_end(void *value)
{
	if (sys_tls_get(tls) == NULL && sys_tls_set(tls, value) == BWT_OK && sys_tls_get(tls) == value)
		return value;
	return NULL;
}

static void a_value_is_its_threads_own_and_is_handed_back_at_its_end(void)
{
	CU_ASSERT_PTR_NULL(sys_tls_get(tls));
	CU_ASSERT_EQUAL(sys_tls_set(tls, &tls), BWT_OK);
	run_thread(set_and_end, number(7));
	CU_ASSERT_EQUAL(exit_count(), 1);
	CU_ASSERT_EQUAL(atomic_load_explicit(&values, memory_order_relaxed), 7);
	CU_ASSERT_PTR_EQUAL(sys_tls_get(tls), &tls);
	CU_ASSERT_EQUAL(sys_tls_set(tls, NULL), BWT_OK);
	CU_ASSERT_PTR_NULL(sys_tls_get(tls));
}

static void *set_and_take_back(void *value)
{
	sys_tls_set(tls, value);
	sys_tls_set(tls, NULL);
	return NULL;
}

static void *only_look(void *unused)
{
	(void)unused;
	return sys_tls_get(tls);
}

static void a_thread_without_a_value_ends_quietly(void)
{
	run_thread(set_and_take_back, number(7));
	run_thread(only_look, NULL);
	CU_ASSERT_EQUAL(exit_count(), 0);
}

static void many_threads_come_and_go(void)
{
	uintptr_t count = suite_short() ? 300 : 3000;

	for (uintptr_t i = 1; i <= count; i++)
		run_thread(set_and_end, number(i));
	CU_ASSERT_EQUAL(exit_count(), count);
	CU_ASSERT_EQUAL(atomic_load_explicit(&values, memory_order_relaxed), count * (count + 1) / 2);
}

static void *set_many(void *ctx)
{
	struct sys_tls **all = ctx;

	for (uintptr_t i = 0; i < 100; i++)
		sys_tls_set(all[i], number(i + 1));
	for (uintptr_t i = 0; i < 100; i++) {
		if (sys_tls_get(all[i]) != number(i + 1))
			at_exit(number(1000000));
	}
	return NULL;
}

static void a_thread_has_a_value_for_each(void)
{
	struct sys_tls *all[100];

	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT_EQUAL_FATAL(sys_tls_new(at_exit, &all[i]), BWT_OK);
	run_thread(set_many, all);
	CU_ASSERT_EQUAL(exit_count(), 100);
	CU_ASSERT_EQUAL(atomic_load_explicit(&values, memory_order_relaxed), 5050);
	for (unsigned i = 0; i < 100; i++)
		sys_tls_free(all[i]);
}

/* --- Freed while threads live --- */

static _Atomic(uint32_t) step; /* the thread and the test take turns */

static void turn_is(uint32_t mine)
{
	uint32_t seen;

	while ((seen = atomic_load_explicit(&step, memory_order_acquire)) != mine)
		sys_park(&step, seen, 0);
}

static void next_turn(void)
{
	atomic_fetch_add_explicit(&step, 1, memory_order_release);
	sys_wake(&step, UINT32_MAX);
}

static void *live_on(void *value)
{
	struct sys_tls *old = tls;

	sys_tls_set(old, value);
	next_turn(); /* 0 to 1: the test frees it and makes another, in the same slot */
	turn_is(2);
	if (sys_tls_get(tls) != NULL)
		at_exit(number(1000000));
	next_turn();
	turn_is(4);
	return NULL;
}

static void a_freed_one_is_not_called_and_its_successor_sees_nothing_of_it(void)
{
	pthread_t thread;

	atomic_store_explicit(&step, 0, memory_order_relaxed);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, live_on, number(7)), 0);
	turn_is(1);
	sys_tls_free(tls);
	CU_ASSERT_EQUAL_FATAL(sys_tls_new(at_exit, &tls), BWT_OK);
	next_turn();
	turn_is(3);
	next_turn();
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(exit_count(), 0);
}

static _Atomic(uint32_t) freed, late;

static void count_late(void *value)
{
	(void)value;
	sys_yield(); /* so that a free that does not wait has its chance */
	if (atomic_load_explicit(&freed, memory_order_acquire) != 0)
		atomic_fetch_add_explicit(&late, 1, memory_order_relaxed);
}

static _Atomic(uint32_t) ready, go;

static void *set_and_wait(void *value)
{
	sys_tls_set(tls, value);
	atomic_fetch_add_explicit(&ready, 1, memory_order_release);
	while (atomic_load_explicit(&go, memory_order_acquire) == 0)
		sys_park(&go, 0, 0);
	return NULL;
}

static void threads_may_end_while_it_is_freed(void)
{
	unsigned rounds = suite_short() ? 30 : 300;

	for (unsigned round = 0; round < rounds; round++) {
		pthread_t threads[THREADS];

		sys_tls_free(tls);
		CU_ASSERT_EQUAL_FATAL(sys_tls_new(count_late, &tls), BWT_OK);
		atomic_store_explicit(&freed, 0, memory_order_relaxed);
		atomic_store_explicit(&ready, 0, memory_order_relaxed);
		atomic_store_explicit(&go, 0, memory_order_relaxed);
		for (uintptr_t i = 0; i < THREADS; i++)
			CU_ASSERT_EQUAL_FATAL(
				pthread_create(&threads[i], NULL, set_and_wait, number(i + 1)), 0);
		while (atomic_load_explicit(&ready, memory_order_acquire) < THREADS)
			sys_yield();
		atomic_store_explicit(&go, 1, memory_order_release);
		sys_wake(&go, UINT32_MAX);
		for (unsigned i = 0; i < round % 8; i++)
			sys_yield(); /* some rounds free it early, some late */
		sys_tls_free(tls);
		atomic_store_explicit(&freed, 1, memory_order_release);
		CU_ASSERT_EQUAL_FATAL(sys_tls_new(at_exit, &tls), BWT_OK);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	CU_ASSERT_EQUAL(atomic_load_explicit(&late, memory_order_relaxed), 0);
}

/* --- Destructors of the program --- */

static pthread_key_t programs_key;

static void use_in_destructor(void *value)
{
	sys_tls_set(tls, value); /* after our own values were handed back, or before */
}

static void *set_both(void *value)
{
	sys_tls_set(tls, value);
	pthread_setspecific(programs_key, value);
	return NULL;
}

static void a_value_set_by_a_destructor_is_handed_back_too(void)
{
	CU_ASSERT_EQUAL_FATAL(pthread_key_create(&programs_key, use_in_destructor), 0);
	run_thread(set_both, number(7));
	pthread_key_delete(programs_key);
	CU_ASSERT_EQUAL(exit_count(), 2);
	CU_ASSERT_EQUAL(atomic_load_explicit(&values, memory_order_relaxed), 14);
}

/* --- Limits and fork --- */

static void as_many_as_the_limit_and_no_more(void)
{
	static struct sys_tls *all[LIMIT];
	struct sys_tls *more = NULL;
	unsigned made = 0;

	while (made < LIMIT && sys_tls_new(at_exit, &all[made]) == BWT_OK)
		made++;
	CU_ASSERT_EQUAL(made, LIMIT - 1); /* with the one of set_up */
	CU_ASSERT_EQUAL(sys_tls_new(at_exit, &more), -EAGAIN);
	CU_ASSERT_PTR_NULL(more);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "1024"));
	CU_ASSERT_EQUAL(sys_tls_set(all[made - 1], &more), BWT_OK);
	CU_ASSERT_PTR_EQUAL(sys_tls_get(all[made - 1]), &more);
	while (made > 0)
		sys_tls_free(all[--made]);
	sys_tls_free(NULL);
}

static void leave(void)
{
	_exit(0);
}

static void end_in_child(void)
{
	CHILD_CHECK(sys_tls_get(tls) == &tls); /* memory is copied, threads are not */
	/* Before LeakSanitizer, which would find what belonged to the threads left behind. */
	CHILD_CHECK(atexit(leave) == 0);
	pthread_exit(NULL); /* runs the destructors, then exits with 0 */
}

static void *fork_and_end(void *wrong)
{
	sys_tls_set(tls, &tls);
	return child_passes(end_in_child) ? NULL : wrong;
}

static void fail_in_child(void *value)
{
	(void)value;
	if (sys_fork_generation() != 0)
		_exit(9);
}

static void a_forked_child_is_not_the_one_to_hand_back(void)
{
	void *result = NULL;
	pthread_t thread;

	sys_tls_free(tls);
	CU_ASSERT_EQUAL_FATAL(sys_tls_new(fail_in_child, &tls), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, fork_and_end, &tls), 0);
	pthread_join(thread, &result);
	CU_ASSERT_PTR_NULL(result);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_value_is_its_threads_own_and_is_handed_back_at_its_end),
		TEST(a_thread_without_a_value_ends_quietly),
		TEST(many_threads_come_and_go),
		TEST(a_thread_has_a_value_for_each),
		TEST(a_freed_one_is_not_called_and_its_successor_sees_nothing_of_it),
		TEST(threads_may_end_while_it_is_freed),
		TEST(a_value_set_by_a_destructor_is_handed_back_too),
		TEST(as_many_as_the_limit_and_no_more),
		TEST(a_forked_child_is_not_the_one_to_hand_back),
		CU_TEST_INFO_NULL,
	};
	return suite_run("tls", set_up, tear_down, tests);
}
