/* SPDX-License-Identifier: MIT */
/*
 * protocol_snapshot.c - reads in a snapshot at log_tail, which push pending versions
 */
#include "table.h"

#include "tests/support/suite.h"

/* clang-format off */
#define PUT {.kind = OP_PUT}
#define PUT1 {.kind = OP_PUT, .key = 1}
#define SNAPSHOT {.kind = OP_SNAPSHOT}
#define FLUSH {.kind = OP_FLUSH}
/* clang-format on */

#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

/* One key, read twice in one snapshot, while two writers put. */
static const struct scenario snapshot = {
	.name = "two writers, a snapshot",
	.program = {{PUT, PUT}, {PUT}, {SNAPSHOT}},
	.thread_count = 3,
	.slot_count = 1,
	.abort_max = {1, 1},
	.push_max = 2,
};

static const struct mutant snapshot_mutants[] = {
	{FLAW_SKIP_PENDING, "reader skips pending, no push", "I2", "I2"},
	{FLAW_PUSH_GIVES_UP, "a failed push means not visible", "I2", "I2"},
	{FLAW_PUSH_NO_FLOOR, "a push that leaves no floor", "I2", "I2"},
	{FLAW_PUSH_LOW_FLOOR, "floor one too low", "I2", "I2"},
	{FLAW_FLOOR_IGNORED, "the writer ignores the floor", "I2", "I2"},
	{FLAW_PUBLISH_STORE, "publish by a store", "I2", "I2"},
	{FLAW_RESERVE_FIRST, "reserve before prepending", "I2", "I2"},
};

/* A writer that is pushed once gives up and starts over (C4). */
static const struct scenario push_quit = {
	.name = "a pushed writer starts over",
	.program = {{PUT, PUT}, {PUT}, {SNAPSHOT}, {FLUSH}},
	.thread_count = 4,
	.slot_count = 1,
	.abort_max = {1, 0},
	.push_max = 0,
};

static const struct mutant push_quit_mutants[] = {
	{FLAW_NO_PAD_ON_ABORT, "no pad after an abort", "stuck", "stuck"},
};

/* Two snapshots push the same writer, one above the other. */
static const struct scenario two_snapshots = {
	.name = "two snapshots push a writer",
	.program = {{PUT, PUT},
                    {SNAPSHOT},
                    {{.kind = OP_SNAPSHOT, .slot = 1}, {.kind = OP_GET}},
                    {FLUSH}},
	.thread_count = 4,
	.slot_count = 2,
	.push_max = 2,
};

static const struct mutant two_snapshots_mutants[] = {
	{FLAW_NO_PAD_ON_PUSH, "no pad after a push", "stuck", "stuck"},
	{FLAW_PUSH_GIVES_UP, "two snapshots, failed push", "I2", "I2"},
};

/* Two keys of one page in one snapshot. */
static const struct scenario two_keys = {
	.name = "two keys in a snapshot",
	.program = {{PUT, PUT1}, {PUT1, PUT}, {{.kind = OP_SNAPSHOT, .key = 0, .key2 = 1}}},
	.thread_count = 3,
	.slot_count = 1,
	.abort_max = {1, 1},
	.push_max = 2,
	.big = true,
};

static const struct mutant two_keys_mutants[] = {
	{FLAW_SKIP_PENDING, "two keys, no push", "I2", "I2"},
};

static void a_snapshot_reads_the_same_both_times(void)
{
	table_holds(&snapshot);
	table_catches(&snapshot, snapshot_mutants, COUNT(snapshot_mutants));
}

static void a_writer_pushed_too_often_starts_over(void)
{
	table_holds(&push_quit);
	table_catches(&push_quit, push_quit_mutants, COUNT(push_quit_mutants));
}

static void two_snapshots_push_one_writer(void)
{
	table_holds(&two_snapshots);
	table_catches(&two_snapshots, two_snapshots_mutants, COUNT(two_snapshots_mutants));
}

static void a_snapshot_of_two_keys_is_one_moment(void)
{
	table_holds(&two_keys);
	table_catches(&two_keys, two_keys_mutants, COUNT(two_keys_mutants));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_snapshot_reads_the_same_both_times),
		TEST(a_writer_pushed_too_often_starts_over),
		TEST(two_snapshots_push_one_writer),
		TEST(a_snapshot_of_two_keys_is_one_moment),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_snapshot", NULL, NULL, tests);
}
