/* SPDX-License-Identifier: MIT */
/* test_fork.c - a forked child is noticed, by itself only */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "bwt.h"
#include "sys/thread.h"
#include "tests/support/suite.h"
#include "tests/unit/sys/child.h"

static unsigned first_calls, second_calls;
static uint32_t generation_before;

static void set_up(void)
{
	first_calls = second_calls = 0;
	generation_before = sys_fork_generation();
}

static void count_call(void *ctx)
{
	(*(unsigned *)ctx)++;
}

static void see_another_generation(void)
{
	CHILD_CHECK(sys_fork_generation() == generation_before + 1);
	CHILD_CHECK(sys_fork_generation() == generation_before + 1);
}

static void see_two_generations(void)
{
	see_another_generation();
	generation_before++;
	CHILD_CHECK(child_passes(see_another_generation));
	CHILD_CHECK(sys_fork_generation() == generation_before);
}

static void the_generation_changes_in_the_child_alone(void)
{
	CU_ASSERT_TRUE(child_passes(see_another_generation));
	CU_ASSERT_EQUAL(sys_fork_generation(), generation_before);
	CU_ASSERT_TRUE(child_passes(see_two_generations));
	CU_ASSERT_EQUAL(sys_fork_generation(), generation_before);
}

static void both_were_called_once(void)
{
	CHILD_CHECK(first_calls == 1 && second_calls == 1);
}

static void only_the_second_was_called(void)
{
	CHILD_CHECK(first_calls == 0 && second_calls == 1);
}

static void none_was_called(void)
{
	CHILD_CHECK(first_calls == 0 && second_calls == 0);
}

static void watchers_run_in_the_child_until_they_are_forgotten(void)
{
	void *first, *second;

	CU_ASSERT_EQUAL_FATAL(sys_fork_watch(count_call, &first_calls, &first), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(sys_fork_watch(count_call, &second_calls, &second), BWT_OK);
	CU_ASSERT_TRUE(child_passes(both_were_called_once));
	CU_ASSERT_EQUAL(first_calls, 0);
	sys_fork_forget(first);
	CU_ASSERT_TRUE(child_passes(only_the_second_was_called));
	sys_fork_forget(second);
	CU_ASSERT_TRUE(child_passes(none_was_called));
	sys_fork_forget(NULL);
}

static void watch_again_and_fork(void)
{
	void *handle;
	unsigned calls = 0;

	/* A child may open a store of its own. */
	CHILD_CHECK(sys_fork_watch(count_call, &calls, &handle) == BWT_OK);
	CHILD_CHECK(calls == 0);
	sys_fork_forget(handle);
}

static void a_child_may_watch_for_its_own_children(void)
{
	CU_ASSERT_TRUE(child_passes(watch_again_and_fork));
}

static _Atomic(uint32_t) stop;

static void *watch_and_forget(void *ctx)
{
	while (atomic_load_explicit(&stop, memory_order_relaxed) == 0) {
		void *handle;

		if (sys_fork_watch(count_call, &first_calls, &handle) < 0)
			return ctx;
		sys_fork_forget(handle);
	}
	return NULL;
}

static void a_fork_beside_watching_threads_does_not_block_the_child(void)
{
	unsigned forks = suite_short() ? 30 : 300;
	pthread_t thread;
	void *wrong;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, watch_and_forget, &stop), 0);
	for (unsigned i = 0; i < forks; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(20); /* a child that waits for a lock for ever dies of this */
			sys_fork_forget(malloc(8)); /* takes the lock; finds nothing */
			_exit(0);
		}
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
		CU_ASSERT_EQUAL(status, 0);
	}
	atomic_store_explicit(&stop, 1, memory_order_relaxed);
	pthread_join(thread, &wrong);
	CU_ASSERT_PTR_NULL(wrong);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(the_generation_changes_in_the_child_alone),
		TEST(watchers_run_in_the_child_until_they_are_forgotten),
		TEST(a_child_may_watch_for_its_own_children),
		TEST(a_fork_beside_watching_threads_does_not_block_the_child),
		CU_TEST_INFO_NULL,
	};
	return suite_run("fork", set_up, NULL, tests);
}
