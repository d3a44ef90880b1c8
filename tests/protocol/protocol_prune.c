/* SPDX-License-Identifier: MIT */
/*
 * protocol_prune.c - consolidation and pruning under snapshots, at log_tail and at durable_lsn
 */
#include "table.h"

#include "tests/support/suite.h"

/* clang-format off */
#define PUT {.kind = OP_PUT}
#define PUT1 {.kind = OP_PUT, .key = 1}
#define GET {.kind = OP_GET}
#define SNAPSHOT {.kind = OP_SNAPSHOT}
#define SYNC_SNAPSHOT {.kind = OP_SNAPSHOT, .sync = true}
#define CONSOLIDATE {.kind = OP_CONSOLIDATE, .prune = true, .rounds = 2}
#define BETWEEN_ONCE {.kind = OP_CONSOLIDATE, .prune = true, .between = true, .rounds = 1}
#define BETWEEN {.kind = OP_CONSOLIDATE, .prune = true, .between = true, .rounds = 2}
#define FLUSH {.kind = OP_FLUSH}
/* clang-format on */

#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

static const struct scenario newest = {
	.name = "pruning, a snapshot at log_tail",
	.program = {{PUT, PUT}, {SNAPSHOT}, {CONSOLIDATE}, {FLUSH}},
	.thread_count = 4,
	.slot_count = 1,
	.abort_max = {0, 0, 1},
	.push_max = 2,
};

static const struct mutant newest_mutants[] = {
	{FLAW_SNAPSHOT_NO_MARKER, "snapshot without ACQUIRING", "kept", "I2"},
	{FLAW_SNAPSHOT_NO_FENCE, "snapshot without the fence", "kept", "I2"},
	{FLAW_PRUNE_SLOTS_FIRST, "prune: slots before the clock", "kept", "I2"},
	{FLAW_PRUNE_PAST_ACQUIRING, "prune past ACQUIRING", "kept", "I2"},
	{FLAW_PRUNE_OFF_BY_ONE, "prune: horizon off by one", "kept", "I2"},
	{FLAW_PRUNE_KEEPS_NEWER, "prune: only what is newer", "kept", "I2"},
	{FLAW_COPY_PENDING, "copy a pending word", "kept", "I2"},
	{FLAW_DROP_PENDING, "take pending for aborted", "kept", "I2"},
	{FLAW_INSTALL_NEWER_HEAD, "install over a head not examined", "kept", "I2"},
};

static const struct scenario durable = {
	.name = "pruning, a snapshot at durable_lsn",
	.program = {{PUT, PUT}, {GET, SYNC_SNAPSHOT}, {CONSOLIDATE}, {FLUSH}},
	.thread_count = 4,
	.slot_count = 1,
	.abort_max = {0, 0, 1},
	.push_max = 2,
};

static const struct mutant durable_mutants[] = {
	{FLAW_PRUNE_NEWEST, "prune at log_tail", "kept", "I2"},
	{FLAW_SNAPSHOT_NO_WAIT, "no wait for what was read", "C7", "C7"},
};

/* A thread that has put takes a snapshot: its own put is in it. */
static const struct scenario own_put = {
	.name = "a snapshot after an own put",
	.program = {{PUT, SYNC_SNAPSHOT}, {PUT, SNAPSHOT}, {FLUSH}},
	.thread_count = 3,
	.slot_count = 1,
	.abort_max = {1, 1},
	.push_max = 2,
};

static const struct mutant own_put_mutants[] = {
	{FLAW_SNAPSHOT_NO_WAIT, "no wait for what was committed", "C7", "C7"},
};

/* Two snapshots; what lies between them goes, as in the library. The clock is log_tail: no flusher. */
static const struct scenario between = {
	.name = "pruning between two snapshots",
	.program = {{PUT, PUT, PUT}, {SNAPSHOT}, {{.kind = OP_SNAPSHOT, .slot = 1}}, {BETWEEN_ONCE}},
	.thread_count = 4,
	.slot_count = 2,
	.push_max = 2,
	.clock_is_tail = true,
	.big = true,
};

static const struct scenario between_long = {
	.name = "pruning between two, durable (long)",
	.program = {{PUT, PUT, PUT}, {SNAPSHOT}, {{.kind = OP_SNAPSHOT, .slot = 1}}, {BETWEEN}, {FLUSH}},
	.thread_count = 5,
	.slot_count = 2,
	.push_max = 2,
	.long_only = true,
};

static const struct mutant between_mutants[] = {
	{FLAW_PRUNE_BETWEEN_ANY, "prune: a snapshot is forgotten", "kept", "I2"},
	{FLAW_SNAPSHOT_NO_MARKER, "two, without ACQUIRING", "kept", "I2"},
	{FLAW_PRUNE_SLOTS_FIRST, "two, slots before the clock", "kept", "I2"},
};

/* A store without sync durability: snapshots and pruning both go by log_tail. */
static const struct scenario by_tail = {
	.name = "pruning by log_tail alone",
	.program = {{PUT, PUT}, {SNAPSHOT, SNAPSHOT}, {BETWEEN}},
	.thread_count = 3,
	.slot_count = 1,
	.abort_max = {0, 0, 1},
	.push_max = 2,
	.clock_is_tail = true,
};

static const struct mutant by_tail_mutants[] = {
	{FLAW_SNAPSHOT_NO_MARKER, "by log_tail, without ACQUIRING", "kept", "I2"},
	{FLAW_SNAPSHOT_NO_FENCE, "by log_tail, without the fence", "kept", "I2"},
	{FLAW_PRUNE_SLOTS_FIRST, "by log_tail, slots first", "kept", "I2"},
};

/* Everything at once, small and large. */
static const struct scenario all = {
	.name = "two writers, all at once",
	.program = {{PUT},
                    {PUT},
                    {SNAPSHOT},
                    {{.kind = OP_CONSOLIDATE, .prune = true, .rounds = 1}},
                    {FLUSH}},
	.thread_count = 5,
	.slot_count = 1,
	.abort_max = {1, 0, 0, 1},
	.push_max = 1,
	.big = true,
};

static const struct scenario all_long = {
	.name = "two writers, all at once (long)",
	.program = {{PUT, PUT},
                    {PUT},
                    {SNAPSHOT},
                    {{.kind = OP_CONSOLIDATE, .prune = true, .rounds = 1}},
                    {FLUSH}},
	.thread_count = 5,
	.slot_count = 1,
	.abort_max = {1, 1, 0, 0},
	.push_max = 1,
	.long_only = true,
};

static void pruning_keeps_what_a_snapshot_at_log_tail_sees(void)
{
	table_holds(&newest);
	table_catches(&newest, newest_mutants, COUNT(newest_mutants));
}

static void pruning_keeps_what_a_snapshot_at_durable_lsn_sees(void)
{
	table_holds(&durable);
	table_catches(&durable, durable_mutants, COUNT(durable_mutants));
}

static void a_snapshot_contains_what_its_thread_has_put(void)
{
	table_holds(&own_put);
	table_catches(&own_put, own_put_mutants, COUNT(own_put_mutants));
}

static void pruning_between_snapshots_keeps_what_each_sees(void)
{
	table_holds(&between);
	table_holds(&between_long);
	table_catches(&between, between_mutants, COUNT(between_mutants));
}

static void pruning_by_log_tail_keeps_what_snapshots_see(void)
{
	table_holds(&by_tail);
	table_catches(&by_tail, by_tail_mutants, COUNT(by_tail_mutants));
}

static void writers_readers_and_pruning_together(void)
{
	table_holds(&all);
	table_holds(&all_long);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(pruning_keeps_what_a_snapshot_at_log_tail_sees),
		TEST(pruning_keeps_what_a_snapshot_at_durable_lsn_sees),
		TEST(a_snapshot_contains_what_its_thread_has_put),
		TEST(pruning_between_snapshots_keeps_what_each_sees),
		TEST(pruning_by_log_tail_keeps_what_snapshots_see),
		TEST(writers_readers_and_pruning_together),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_prune", NULL, NULL, tests);
}
