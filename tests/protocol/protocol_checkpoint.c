/* SPDX-License-Identifier: MIT */
/*
 * protocol_checkpoint.c - the writer gate, and recovery from a checkpoint and the log after it
 */
#include "table.h"

#include "tests/support/suite.h"

/* clang-format off */
#define PUT {.kind = OP_PUT}
#define PUT1 {.kind = OP_PUT, .key = 1}
#define CHECKPOINT {.kind = OP_CHECKPOINT}
#define CONSOLIDATE {.kind = OP_CONSOLIDATE, .prune = true, .rounds = 1}
#define FLUSH {.kind = OP_FLUSH}
/* clang-format on */

#define COUNT(array) (unsigned)(sizeof(array) / sizeof(array)[0])

/* Two writers that abort each other go through the gate while a checkpoint is cut. */
static const struct scenario cut = {
	.name = "a checkpoint beside two writers",
	.program = {{PUT, PUT1}, {PUT}, {CHECKPOINT}, {FLUSH}},
	.thread_count = 4,
	.abort_max = {1, 1},
	.push_max = 1,
	.gate = true,
};

static const struct mutant cut_mutants[] = {
	{FLAW_GATE_FLAG_LATE, "gate: looks before it is inside", "K", "K"},
	{FLAW_GATE_LEFT_EARLY, "gate: left before publishing", "K", "K"},
	{FLAW_GATE_NOT_DRAINED, "gate: not drained", "K", "K"},
	{FLAW_CUT_LSN_LATE, "L loaded after opening", "K", "K"},
	{FLAW_SUPERBLOCK_EARLY, "superblock before durable", "K", "K"},
};

/* The page is consolidated and pruned, too, and a snapshot pushes. */
static const struct scenario pruned = {
	.name = "a checkpoint of a pruned page",
	.program = {{PUT, PUT}, {CONSOLIDATE}, {CHECKPOINT}, {{.kind = OP_SNAPSHOT}}, {FLUSH}},
	.thread_count = 5,
	.slot_count = 1,
	.push_max = 1,
	.gate = true,
};

static const struct mutant pruned_mutants[] = {
	{FLAW_CUT_LSN_LATE, "pruned, L loaded after opening", "K", "K"},
	{FLAW_DROP_PENDING, "pruned, pending dropped", "kept", "I2"},
};

static void image_and_log_give_what_was_durable(void)
{
	table_holds(&cut);
	table_catches(&cut, cut_mutants, COUNT(cut_mutants));
}

static void the_image_of_a_pruned_page_is_enough(void)
{
	table_holds(&pruned);
	table_catches(&pruned, pruned_mutants, COUNT(pruned_mutants));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(image_and_log_give_what_was_durable),
		TEST(the_image_of_a_pruned_page_is_enough),
		CU_TEST_INFO_NULL,
	};
	return suite_run("protocol_checkpoint", NULL, NULL, tests);
}
