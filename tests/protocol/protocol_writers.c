/* SPDX-License-Identifier: MIT */
/*
 * protocol_writers.c - writers of one page against each other, the log and crashes
 *
 * Recovery at any moment is part of every state (check_log() in model.c): what is below durable_lsn is
 * there, whatever was acknowledged is below it, and it is a prefix of what memory holds.
 */
#include "table.h"

#include "tests/support/suite.h"

/* clang-format off */
#define PUT {.kind = OP_PUT}
#define SYNC_PUT {.kind = OP_PUT, .sync = true}
#define CAS {.kind = OP_PUT, .conditional = true}
#define FLUSH {.kind = OP_FLUSH}
/* clang-format on */

#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

/* Two threads put twice each, blindly, and abort each other up to twice. */
static const struct scenario two_writers = {
	.name = "two blind writers",
	.program = {{PUT, PUT}, {PUT, SYNC_PUT}, {FLUSH}},
	.thread_count = 3,
	.abort_max = {2, 2},
	.push_max = 2,
};

static const struct mutant two_writers_mutants[] = {
	{FLAW_PREPEND_OVER_PENDING, "prepend over a pending version", "I1", NULL},
	{FLAW_RESERVE_FIRST, "reserve before prepending", "I1", NULL},
	{FLAW_PUBLISH_FIRST, "publish before prepending", "I1", NULL},
	{FLAW_FILL_FIRST, "fill before publishing", "I3", "I3"},
	{FLAW_PUBLISH_STORE, "publish by a store", "I1", NULL},
	{FLAW_ABORT_STORE, "abort by a store", "kept", NULL},
	{FLAW_REUSE_DELTA, "reuse an installed delta", "I1", NULL},
	{FLAW_STALE_PREPEND, "prepend to a head not examined", "I1", NULL},
	{FLAW_ACK_EARLY, "acknowledge before durable", "I3", "I3"},
	{FLAW_NO_PAD_ON_ABORT, "no pad after an abort", "stuck", "stuck"},
	{FLAW_DURABLE_OVER_HOLE, "durable_lsn over a hole", "I3", "I3"},
};

/* Three threads that abort each other in turn. */
static const struct scenario three_writers = {
	.name = "three writers",
	.program = {{PUT}, {SYNC_PUT}, {CAS}, {FLUSH}},
	.thread_count = 4,
	.abort_max = {1, 1, 1},
	.push_max = 2,
};

/* insert, update, delete and cas do not lose what they were based on. */
static const struct scenario conditional = {
	.name = "two conditional writers",
	.program = {{CAS, CAS}, {CAS, SYNC_PUT}, {FLUSH}},
	.thread_count = 3,
	.abort_max = {2, 2},
	.push_max = 2,
};

static const struct mutant conditional_mutants[] = {
	{FLAW_STALE_PREPEND, "cas onto a head not examined", "lost update", "lost update"},
	{FLAW_PREPEND_OVER_PENDING, "cas over a pending version", "lost update", "lost update"},
};

/* At the hard chain length writers consolidate inline; the page holds two keys. */
static const struct scenario full_chain = {
	.name = "full chains, two keys",
	.program = {{PUT, {.kind = OP_PUT, .key = 1}}, {PUT, CAS}, {FLUSH}},
	.thread_count = 3,
	.abort_max = {1, 1},
	.push_max = 2,
	.chain_max = 2,
};

static const struct mutant full_chain_mutants[] = {
	{FLAW_COPY_PENDING, "copy a pending word", "kept", "lost update"},
	{FLAW_DROP_PENDING, "take pending for aborted", "kept", "lost update"},
	{FLAW_INSTALL_NEWER_HEAD, "install over a head not examined", "kept", "lost update"},
};

static void two_blind_writers_keep_lsn_order_and_lose_nothing(void)
{
	table_holds(&two_writers);
	table_holds(&three_writers);
	table_catches(&two_writers, two_writers_mutants, COUNT(two_writers_mutants));
}

static void conditional_writers_lose_no_update(void)
{
	table_holds(&conditional);
	table_catches(&conditional, conditional_mutants, COUNT(conditional_mutants));
}

static void a_full_chain_is_consolidated_before_anybody_prepends(void)
{
	table_holds(&full_chain);
	table_catches(&full_chain, full_chain_mutants, COUNT(full_chain_mutants));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(two_blind_writers_keep_lsn_order_and_lose_nothing),
		TEST(conditional_writers_lose_no_update),
		TEST(a_full_chain_is_consolidated_before_anybody_prepends),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_writers", NULL, NULL, tests);
}
