/* SPDX-License-Identifier: MIT */
/* test_recover.c - create, close, crash, open again */
#include <stdio.h>

#include "tests/unit/recovery/store_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

static void a_new_store_is_empty_and_opens_again(void)
{
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 0);
	fixture_close(&fixture, true);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 0);
	CU_ASSERT_EQUAL(fixture.warnings, 0);
}

static void what_was_put_is_there_after_a_clean_close(void)
{
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	fixture_put(&fixture, 0, 5000, 1);
	fixture_close(&fixture, true);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 5000);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 5000, 1));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_new_store_is_empty_and_opens_again),
		TEST(what_was_put_is_there_after_a_clean_close),
		CU_TEST_INFO_NULL,
	};
	return suite_run("recover", set_up, tear_down, tests);
}
