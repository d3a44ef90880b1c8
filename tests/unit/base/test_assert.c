/* SPDX-License-Identifier: MIT */
/* test_assert.c - assertions stop a test build; conditions with effects run exactly once */
#include "base/assert.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/suite.h"

static void assert_false(void)
{
	BWT_ASSERT(getpid() == 0);
}

static void check_false(void)
{
	BWT_CHECK(getpid() == 0);
}

/* Signal that ended a child which ran @fn; 0 when it came back. */
static int signal_of(void (*fn)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct rlimit no_core = {0, 0};

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_true_condition_is_evaluated_once(void)
{
	int count = 0;

	BWT_CHECK(++count == 1);
	CU_ASSERT_EQUAL(count, 1);
	BWT_ASSERT(++count == 2);
	CU_ASSERT_EQUAL(count, 2);
}

static void a_false_check_aborts(void)
{
	CU_ASSERT_EQUAL(signal_of(check_false), SIGABRT);
}

static void a_false_assertion_aborts_in_test_builds(void)
{
	CU_ASSERT_EQUAL(signal_of(assert_false), SIGABRT);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_true_condition_is_evaluated_once),
		TEST(a_false_check_aborts),
		TEST(a_false_assertion_aborts_in_test_builds),
		CU_TEST_INFO_NULL,
	};

	return suite_run("assert", NULL, NULL, tests);
}
