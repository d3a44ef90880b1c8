/* SPDX-License-Identifier: MIT */
/*
 * suite.c - the CUnit wrapper
 *
 * Every line is flushed before the next test starts, so that after a crash the last line names the
 * last test that ended.
 */
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_result(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
	(void)suite;
	printf("%s %s\n", failure == NULL ? "  ok  " : "  FAIL", test->pName);
	for (CU_pFailureRecord f = failure; f != NULL; f = f->pNext)
		printf("         %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
	fflush(stdout);
}

int suite_run(const char *name, void (*set_up)(void), void (*tear_down)(void), CU_TestInfo *tests)
{
	const char *only = getenv("TEST");
	CU_pSuite suite;
	unsigned failed, ran;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (CU_initialize_registry() != CUE_SUCCESS)
		return EXIT_FAILURE;
	suite = CU_add_suite_with_setup_and_teardown(name, NULL, NULL, set_up, tear_down);
	if (suite == NULL)
		return EXIT_FAILURE;
	for (CU_TestInfo *test = tests; test->pName != NULL; test++) {
		if (only != NULL && strstr(test->pName, only) == NULL)
			continue;
		if (CU_add_test(suite, test->pName, test->pTestFunc) == NULL) {
			fprintf(stderr, "%s: cannot add test %s\n", name, test->pName);
			return EXIT_FAILURE;
		}
	}
	CU_set_error_action(CUEA_IGNORE);
	CU_set_test_complete_handler(print_result);
	printf("%s\n", name);
	CU_run_all_tests();
	failed = CU_get_number_of_tests_failed();
	ran = CU_get_number_of_tests_run();
	printf("%s: %u tests, %u assertions, %u tests failed\n", name, ran,
	       CU_get_number_of_asserts(), failed);
	CU_cleanup_registry();
	return failed == 0 && ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int suite_skip(const char *why)
{
	printf("skipped: %s\n", why);
	fflush(stdout);
	return SUITE_SKIP;
}

bool suite_short(void)
{
	const char *text = getenv("SHORT");

	return text != NULL && text[0] != '\0' && strcmp(text, "0") != 0;
}

void suite_force_pmem(char **argv)
{
	if (getenv("PMEM_IS_PMEM_FORCE") != NULL)
		return;
	setenv("PMEM_IS_PMEM_FORCE", "1", 1);
	execv("/proc/self/exe", argv);
	perror("execv");
	exit(EXIT_FAILURE);
}
