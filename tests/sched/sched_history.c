/* SPDX-License-Identifier: MIT */
/* sched_history.c - the checker of histories must refuse what no map could have answered, and nothing else */
#include <string.h>

#include "tests/support/history.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define ROUNDS 3000u

static struct history history;
static char why[HISTORY_WHY];

static void set_up(void)
{
	static const history_value nothing[HISTORY_KEYS];

	history_clear(&history, nothing);
	why[0] = '\0';
}

/* An operation of @fiber on key 1, between two stamps; LSNs are given in the order of the calls. */
static struct history_op *add(enum history_kind kind, uint32_t begin, uint32_t end, bool done,
                              history_value value)
{
	struct history_op *op = history_begin(&history, 0, kind, 1, begin);

	op->end = end;
	op->done = done;
	op->value = value;
	op->lsn = done ? history.op_count * 100 : 0;
	return op;
}

static void an_empty_history_is_right(void)
{
	CU_ASSERT_TRUE(history_check(&history, why));
}

static void a_read_of_what_was_written_is_right(void)
{
	add(HISTORY_PUT, 1, 2, true, 5);
	add(HISTORY_GET, 3, 4, false, 5);
	CU_ASSERT_TRUE(history_check(&history, why));
}

static void a_stale_read_is_refused(void)
{
	add(HISTORY_PUT, 1, 2, true, 5);
	add(HISTORY_GET, 3, 4, false, 0);
	CU_ASSERT_FALSE(history_linear(&history, why));
}

static void a_read_during_a_write_may_see_either(void)
{
	add(HISTORY_PUT, 1, 6, true, 5);
	add(HISTORY_GET, 2, 3, false, 0);
	add(HISTORY_GET, 4, 5, false, 5);
	CU_ASSERT_TRUE(history_check(&history, why));
}

static void two_reads_during_a_write_may_not_go_back(void)
{
	add(HISTORY_PUT, 1, 6, true, 5);
	add(HISTORY_GET, 2, 3, false, 5);
	add(HISTORY_GET, 4, 5, false, 0);
	CU_ASSERT_FALSE(history_linear(&history, why));
}

static void a_value_from_nowhere_is_refused(void)
{
	add(HISTORY_GET, 1, 2, false, 7);
	CU_ASSERT_FALSE(history_linear(&history, why));
	set_up();
	add(HISTORY_PUT, 1, 2, true, 5);
	add(HISTORY_GET, 1, 3, false, 7);
	CU_ASSERT_FALSE(history_linear(&history, why));
}

static void a_lost_update_is_refused(void)
{
	add(HISTORY_PUT, 1, 2, true, 5);
	add(HISTORY_PUT, 3, 4, true, 6);
	add(HISTORY_GET, 5, 6, false, 5);
	CU_ASSERT_FALSE(history_linear(&history, why));
}

static void two_inserts_cannot_both_succeed(void)
{
	add(HISTORY_INSERT, 1, 4, true, 5);
	add(HISTORY_INSERT, 2, 3, true, 6);
	CU_ASSERT_FALSE(history_linear(&history, why));
	CU_ASSERT_FALSE(history_lsn_order(&history, why));
}

static void a_refused_insert_needs_a_key_that_is_there(void)
{
	add(HISTORY_INSERT, 1, 2, false, 5);
	CU_ASSERT_FALSE(history_linear(&history, why));
	set_up();
	history.first[1] = 3;
	add(HISTORY_INSERT, 1, 2, false, 5);
	CU_ASSERT_TRUE(history_check(&history, why));
}

static void two_deletes_of_one_key_cannot_both_succeed(void)
{
	history.first[1] = 3;
	add(HISTORY_DELETE, 1, 4, true, 0);
	add(HISTORY_DELETE, 2, 3, true, 0);
	CU_ASSERT_FALSE(history_linear(&history, why));
}

static void a_cas_succeeds_on_what_it_expects_only(void)
{
	history.first[1] = 3;
	add(HISTORY_CAS, 1, 2, true, 5)->expected = 3;
	CU_ASSERT_TRUE(history_check(&history, why));
	add(HISTORY_CAS, 3, 4, true, 6)->expected = 3;
	CU_ASSERT_FALSE(history_linear(&history, why));
	CU_ASSERT_FALSE(history_lsn_order(&history, why));
}

static void an_operation_that_did_not_end_may_have_happened_or_not_yet(void)
{
	add(HISTORY_PUT, 1, UINT32_MAX, true, 5);
	add(HISTORY_GET, 2, 3, false, 0);
	add(HISTORY_GET, 4, 5, false, 5);
	CU_ASSERT_TRUE(history_linear(&history, why));
}

static void lsns_against_the_order_of_effects_are_refused(void)
{
	add(HISTORY_INSERT, 1, 2, true, 5)->lsn = 300;
	add(HISTORY_DELETE, 3, 4, true, 0)->lsn = 200;
	CU_ASSERT_TRUE(history_linear(&history, why));
	CU_ASSERT_FALSE(history_lsn_order(&history, why));
}

static void two_writes_at_one_lsn_are_refused(void)
{
	add(HISTORY_PUT, 1, 2, true, 5)->lsn = 100;
	add(HISTORY_PUT, 3, 4, true, 6)->lsn = 100;
	CU_ASSERT_FALSE(history_lsn_order(&history, why));
}

/* ---- snapshots ---- */

static struct history_look *look_at(uint32_t begin, uint32_t end, uint64_t lsn, history_value value)
{
	struct history_look *look = history_look(&history, 1, begin);

	look->end = end;
	look->lsn = lsn;
	look->looked[1] = true;
	look->seen[1] = value;
	return look;
}

static void a_snapshot_sees_what_ended_below_it(void)
{
	add(HISTORY_PUT, 1, 2, true, 5);
	add(HISTORY_PUT, 5, 6, true, 6);
	look_at(3, 4, 100, 5);
	CU_ASSERT_TRUE(history_check(&history, why));
	history.look[0].seen[1] = 6;
	CU_ASSERT_FALSE(history_snapshots(&history, why));
	history.look[0].seen[1] = 0;
	CU_ASSERT_FALSE(history_snapshots(&history, why));
}

static void a_snapshot_may_not_miss_what_ended_before_it_began(void)
{
	add(HISTORY_PUT, 1, 2, true, 5);
	look_at(3, 4, 50, 0);
	CU_ASSERT_FALSE(history_snapshots(&history, why));
}

static void a_snapshot_may_not_see_what_began_after_it(void)
{
	look_at(1, 2, 500, 5);
	add(HISTORY_PUT, 3, 4, true, 5);
	CU_ASSERT_FALSE(history_snapshots(&history, why));
}

/* ---- against a real map ---- */

/* Random operations, each at a random instant of its interval, on one key of a map that is right. */
static void play_right(struct rng *rng, unsigned count)
{
	history_value state = history.first[1];

	for (unsigned i = 0; i < count; i++) {
		uint32_t at = (i + 1) * 100;
		enum history_kind kind = (enum history_kind)rng_below(rng, 6);
		struct history_op *op = add(kind, at - (uint32_t)rng_below(rng, 250) % at,
		                            at + (uint32_t)rng_below(rng, 250), false, 0);
		bool can = kind == HISTORY_INSERT                             ? state == 0
		           : kind == HISTORY_UPDATE || kind == HISTORY_DELETE ? state != 0
		                                                              : true;

		if (kind == HISTORY_GET) {
			op->value = state;
			continue;
		}
		op->value = kind == HISTORY_DELETE ? 0 : (history_value)i + 10;
		if (kind == HISTORY_CAS) {
			op->expected = rng_chance(rng, 50) ? state : 1;
			can = op->expected == state;
		}
		op->done = can;
		op->lsn = can ? at : 0;
		state = can ? op->value : state;
	}
}

static void what_a_map_answers_is_right_however_the_intervals_overlap(void)
{
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < ROUNDS; round++) {
		set_up();
		history.first[1] = rng_chance(&rng, 50) ? 9 : 0;
		play_right(&rng, 1 + (unsigned)rng_below(&rng, 20));
		CU_ASSERT_TRUE_FATAL(history_check(&history, why));
	}
}

/* One answer of a history without overlaps is changed: there is only one order, so it must be found. */
static void one_wrong_answer_is_found(void)
{
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct history_op *op;

		set_up();
		play_right(&rng, 2 + (unsigned)rng_below(&rng, 20));
		for (unsigned i = 0; i < history.op_count; i++)
			history.op[i].begin = history.op[i].end = (i + 1) * 100;
		op = &history.op[rng_below(&rng, history.op_count)];
		if (op->kind == HISTORY_PUT)
			continue; /* always right */
		if (op->kind == HISTORY_GET)
			op->value += 1000;
		else
			op->done = !op->done;
		CU_ASSERT_FALSE_FATAL(history_linear(&history, why));
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(an_empty_history_is_right),
		TEST(a_read_of_what_was_written_is_right),
		TEST(a_stale_read_is_refused),
		TEST(a_read_during_a_write_may_see_either),
		TEST(two_reads_during_a_write_may_not_go_back),
		TEST(a_value_from_nowhere_is_refused),
		TEST(a_lost_update_is_refused),
		TEST(two_inserts_cannot_both_succeed),
		TEST(a_refused_insert_needs_a_key_that_is_there),
		TEST(two_deletes_of_one_key_cannot_both_succeed),
		TEST(a_cas_succeeds_on_what_it_expects_only),
		TEST(an_operation_that_did_not_end_may_have_happened_or_not_yet),
		TEST(lsns_against_the_order_of_effects_are_refused),
		TEST(two_writes_at_one_lsn_are_refused),
		TEST(a_snapshot_sees_what_ended_below_it),
		TEST(a_snapshot_may_not_miss_what_ended_before_it_began),
		TEST(a_snapshot_may_not_see_what_began_after_it),
		TEST(what_a_map_answers_is_right_however_the_intervals_overlap),
		TEST(one_wrong_answer_is_found),
		CU_TEST_INFO_NULL,
	};
	return suite_run("sched history", set_up, NULL, tests);
}
