/* SPDX-License-Identifier: MIT */
/*
 * suite.h - run a file's tests with CUnit and say what failed, where
 *
 *   int main(void)
 *   {
 *           CU_TestInfo tests[] = { TEST(a_put_key_is_found), CU_TEST_INFO_NULL };
 *           return suite_run("ops", set_up, tear_down, tests);
 *   }
 *
 * Environment: TEST=text runs only tests whose name contains it; SHORT=1 asks for about a tenth of
 * the work (sanitizer slices of "make check" set it).
 */
#ifndef BWT_TESTS_SUITE_H
#define BWT_TESTS_SUITE_H

#include <CUnit/CUnit.h>
#include <stdbool.h>

/** Exit status of a test program that could not run here; the runner counts it as skipped. */
#define SUITE_SKIP 77

/** One line of the array for suite_run(); the function's name is the sentence. */
/* clang-format off */
#define TEST(function) { #function, function }
/* clang-format on */

/**
 * suite_run - run tests one after another, a line each, and failures with file and line
 * @name:      of the suite
 * @set_up:    called before each test, or NULL
 * @tear_down: called after each test, failed ones included, or NULL
 * @tests:     ends with CU_TEST_INFO_NULL
 * Returns:    exit status: 0 all passed, 1 not
 */
int suite_run(const char *name, void (*set_up)(void), void (*tear_down)(void), CU_TestInfo *tests);

/** suite_skip - say why this program cannot run here; returns SUITE_SKIP for main() to return */
int suite_skip(const char *why);

/**
 * suite_force_pmem - go on as a program for which every file is persistent memory (PMEM_IS_PMEM_FORCE)
 *
 * libpmem looks when it is loaded, so the program begins anew. For the first line of main(); returns the
 * second time.
 */
void suite_force_pmem(char **argv);

/** suite_short - SHORT=1: this run should do about a tenth of its work */
bool suite_short(void);

#endif
