/* SPDX-License-Identifier: MIT */
/*
 * protocol_gets.c - plain gets: never a version older than one seen before, never a wait
 */
#include "table.h"

#include "tests/support/suite.h"

/* clang-format off */
#define PUT {.kind = OP_PUT}
#define GET {.kind = OP_GET}
#define FLUSH {.kind = OP_FLUSH}
/* clang-format on */

#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

/* A thread gets the same key twice; each writer gets what it has put. */
static const struct scenario gets = {
	.name = "two writers, two gets",
	.program = {{PUT, GET, PUT}, {PUT, GET}, {GET, GET}},
	.thread_count = 3,
	.abort_max = {1, 1},
	.push_max = 2,
};

static const struct mutant gets_mutants[] = {
	{FLAW_GET_SEES_PENDING, "get sees a pending version", "get", "get"},
	{FLAW_GET_WAITS, "get waits for a pending version", "blocked", "blocked"},
	{FLAW_RESERVE_FIRST, "gets, reserve before prepending", "I1", "get"},
	{FLAW_PUBLISH_FIRST, "gets, publish before prepending", "I1", "get"},
	{FLAW_PUBLISH_STORE, "gets, publish by a store", "I1", "get"},
	{FLAW_ABORT_STORE, "gets, abort by a store", "kept", "get"},
	{FLAW_REUSE_DELTA, "gets, reuse an installed delta", "I1", "get"},
	{FLAW_STALE_PREPEND, "gets, prepend to another head", "I1", "get"},
	{FLAW_PREPEND_OVER_PENDING, "gets, prepend over pending", "I1", "get"},
};

/* The same while the page is consolidated and pruned under the readers. */
static const struct scenario gets_consolidated = {
	.name = "gets, consolidation",
	.program = {{PUT, GET},
                    {PUT},
                    {GET, GET},
                    {{.kind = OP_CONSOLIDATE, .prune = true, .rounds = 2}},
                    {FLUSH}},
	.thread_count = 5,
	.abort_max = {1, 0, 0, 1},
	.push_max = 2,
	.big = true,
};

static const struct mutant gets_consolidated_mutants[] = {
	{FLAW_COPY_PENDING, "gets, copy a pending word", "kept", "get"},
	{FLAW_INSTALL_NEWER_HEAD, "gets, install over another head", "kept", "get"},
};

static void two_gets_in_succession_never_go_back(void)
{
	table_holds(&gets);
	table_catches(&gets, gets_mutants, COUNT(gets_mutants));
}

static void gets_never_go_back_while_the_page_is_consolidated(void)
{
	table_holds(&gets_consolidated);
	table_catches(&gets_consolidated, gets_consolidated_mutants,
	              COUNT(gets_consolidated_mutants));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(two_gets_in_succession_never_go_back),
		TEST(gets_never_go_back_while_the_page_is_consolidated),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_gets", NULL, NULL, tests);
}
