/* SPDX-License-Identifier: MIT */
/*
 * txn_checker.c - the checker of histories on histories made by hand: it flags each anomaly, and
 * nothing that its level allows
 */
#include <stdio.h>
#include <string.h>

#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/txn/history.h"

static struct history history;
static char why[1000];

static void set_up(void)
{
	memset(&history, 0, sizeof history);
}

static void tear_down(void)
{
	history_free(&history);
}

/* One transaction in text: "+1:5" appends 5 to list 1, "1:5,6" reads 5, 6 in it, "1:" nothing. */
static void add(uint32_t session, bool committed, const char *text)
{
	uint64_t elements[16];

	history_begin(&history, session);
	while (*text != '\0') {
		bool append = *text == '+';
		unsigned list;
		size_t count = 0;
		int size;

		text += append;
		if (sscanf(text, "%u:%n", &list, &size) != 1)
			break;
		text += size;
		while (sscanf(text, "%lu%n", &elements[count], &size) == 1 && *text != ' ') {
			count++;
			text += size;
			if (*text != ',')
				break;
			text++;
		}
		if (append)
			history_append(&history, list, elements[0]);
		else
			history_read(&history, list, elements, count);
		while (*text == ' ')
			text++;
	}
	history_end(&history, committed, true, 0, 0);
}

static void expect(enum history_level level, const char *anomaly)
{
	const char *is = history_check(&history, level, why);

	if (anomaly == NULL ? is != NULL : is == NULL || strcmp(is, anomaly) != 0)
		printf("         level %d: %s (%s), not %s\n", level, is == NULL ? "clean" : is,
		       why, anomaly == NULL ? "clean" : anomaly);
	CU_ASSERT_TRUE(anomaly == NULL ? is == NULL : is != NULL && strcmp(is, anomaly) == 0);
}

static void a_history_without_anything_odd_is_clean(void)
{
	expect(HISTORY_SERIALIZABLE, NULL); /* an empty one */
	add(1, true, "1: +1:1 1:1");
	add(1, true, "1:1 +1:2 +2:20");
	add(2, true, "2: 1:1");
	add(3, false, "1:1 +1:99 1:1,99");
	add(2, true, "1:1,2 +1:3 2:20");
	add(4, true, "1:1,2,3 2:20");
	expect(HISTORY_SERIALIZABLE, NULL);
}

static void an_element_that_nobody_appended_is_garbage(void)
{
	add(1, true, "1: +1:1");
	add(2, true, "1:1,7");
	expect(HISTORY_READ_COMMITTED, "garbage");
}

static void an_element_twice_is_a_duplicate(void)
{
	add(1, true, "1: +1:1");
	add(2, true, "1:1,1");
	expect(HISTORY_READ_COMMITTED, "duplicate");
}

static void an_aborted_read_is_g1a(void)
{
	add(1, false, "1: +1:1");
	add(2, true, "1:1");
	expect(HISTORY_READ_COMMITTED, "G1a");
}

static void an_intermediate_read_is_g1b(void)
{
	add(1, true, "1: +1:1 +1:2");
	add(2, true, "1:1");
	add(3, true, "1:1,2");
	expect(HISTORY_READ_COMMITTED, "G1b");
}

static void an_own_append_that_is_not_read_is_internal(void)
{
	add(1, true, "1: +1:1 1:");
	add(2, true, "1:1");
	expect(HISTORY_READ_COMMITTED, "internal");
}

static void an_own_append_that_was_not_made_yet_is_internal(void)
{
	add(1, true, "1:1 +1:1");
	add(2, true, "1:1");
	expect(HISTORY_READ_COMMITTED, "internal");
}

static void two_orders_of_one_list_are_flagged(void)
{
	add(1, true, "+1:1");
	add(2, true, "+1:2");
	add(3, true, "1:1,2");
	add(4, true, "1:2");
	expect(HISTORY_READ_COMMITTED, "order");
}

static void an_append_that_vanished_is_a_lost_update(void)
{
	add(1, true, "1: +1:1");
	add(2, true, "1: +1:2");
	add(3, true, "1:2");
	expect(HISTORY_READ_COMMITTED, "lost update");
}

static void a_circle_of_writes_is_g0(void)
{
	add(1, true, "+1:1 +2:10");
	add(2, true, "+1:2 +2:20");
	add(3, true, "1:1,2 2:20,10");
	expect(HISTORY_READ_COMMITTED, "G0");
}

static void a_circle_of_reads_from_each_other_is_g1c(void)
{
	add(1, true, "+1:1 2:20");
	add(2, true, "+2:20 1:1");
	add(3, true, "1:1 2:20");
	expect(HISTORY_READ_COMMITTED, "G1c");
}

static void a_session_that_goes_back_is_flagged(void)
{
	add(1, true, "1: +1:1");
	add(2, true, "1:1");
	add(2, true, "1:"); /* later in the same session */
	add(3, true, "1:1");
	expect(HISTORY_READ_COMMITTED, NULL);
	expect(HISTORY_SNAPSHOT, "G-single");
}

static void half_of_a_transaction_is_g_single(void)
{
	add(1, true, "1: 2: +1:1 +2:10");
	add(2, true, "1:1 2:");
	add(3, true, "1:1 2:10");
	expect(HISTORY_READ_COMMITTED, NULL);
	expect(HISTORY_SNAPSHOT, "G-single");
	expect(HISTORY_SERIALIZABLE, "G-single");
}

static void a_second_read_that_differs_is_g_single(void)
{
	add(1, true, "1: +1:1");
	add(2, true, "1: 1:1");
	add(3, true, "1:1");
	expect(HISTORY_READ_COMMITTED, NULL);
	expect(HISTORY_SNAPSHOT, "G-single");
}

static void a_blind_append_over_what_was_read_is_g_single(void)
{
	/* T1 read nothing, T0 appended, T1 appended behind it: T1 -rw-> T0 -ww-> T1 */
	add(1, true, "+1:1");
	add(2, true, "1: +1:2");
	add(3, true, "1:1,2");
	expect(HISTORY_READ_COMMITTED, NULL);
	expect(HISTORY_SNAPSHOT, "G-single");
}

static void a_fork_that_joins_again_is_nonadjacent(void)
{
	/* the long fork: two readers see two writers in different orders */
	add(1, true, "1: +1:1");
	add(2, true, "2: +2:20");
	add(3, true, "1:1 2:");
	add(4, true, "1: 2:20");
	add(5, true, "1:1 2:20");
	expect(HISTORY_READ_COMMITTED, NULL);
	expect(HISTORY_SNAPSHOT, "G-nonadjacent");
	expect(HISTORY_SERIALIZABLE, "G-nonadjacent");
}

static void write_skew_is_g2_and_allowed_under_snapshot(void)
{
	add(1, true, "1: 2: +1:1");
	add(2, true, "1: 2: +2:20");
	add(3, true, "1:1 2:20");
	expect(HISTORY_SNAPSHOT, NULL);
	expect(HISTORY_SERIALIZABLE, "G2");
}

static void the_read_only_anomaly_is_g2_and_allowed_under_snapshot(void)
{
	add(1, true, "1: 2: +1:1"); /* the charge */
	add(2, true, "2: +2:20");   /* the deposit */
	add(3, true, "1: 2:20");    /* the reader */
	add(4, true, "1:1 2:20");
	expect(HISTORY_SNAPSHOT, NULL);
	expect(HISTORY_SERIALIZABLE, "G2");
}

static void a_circle_of_three_rw_is_g2(void)
{
	add(1, true, "1: +2:20");
	add(2, true, "2: +3:30");
	add(3, true, "3: +1:10");
	add(4, true, "1:10 2:20 3:30");
	expect(HISTORY_SNAPSHOT, NULL);
	expect(HISTORY_SERIALIZABLE, "G2");
}

static void what_a_refused_transaction_read_makes_no_circle(void)
{
	add(1, true, "1: 2: +1:1");
	add(2, false, "1: 2: +2:20");
	add(3, true, "1:1 2:");
	expect(HISTORY_SERIALIZABLE, NULL);
}

/* ---- LSNs ---- */

static void timed(const char *text, uint64_t snapshot, uint64_t lsn)
{
	add((uint32_t)history.txn_count, true, text);
	history_end(&history, true, true, snapshot, lsn);
}

static void lsns_that_agree_are_clean(void)
{
	timed("1: +1:1", 5, 10);
	timed("1:1 +1:2", 10, 20);
	timed("1:1", 19, 0);
	timed("1:1,2", 20, 0);
	expect(HISTORY_SERIALIZABLE, NULL);
}

static void versions_against_the_order_of_lsns_are_flagged(void)
{
	timed("1: +1:1", 5, 20);
	timed("1:1 +1:2", 0, 10);
	timed("1:1,2", 0, 0);
	expect(HISTORY_READ_COMMITTED, "clock");
}

static void a_read_beyond_the_snapshot_is_flagged(void)
{
	timed("1: +1:1", 5, 20);
	timed("1:1", 19, 0);
	expect(HISTORY_SNAPSHOT, "clock");
}

static void a_read_that_misses_what_its_snapshot_has_is_flagged(void)
{
	timed("1: +1:1", 5, 20);
	timed("1:", 20, 0);
	timed("1:1", 0, 0);
	expect(HISTORY_SNAPSHOT, "clock");
}

static void a_serializable_commit_past_a_change_of_what_it_read_is_flagged(void)
{
	timed("1: 2: +2:20", 5, 30);
	timed("1: +1:1", 5, 20); /* at 30 list 1 was not empty any more */
	timed("1:1 2:20", 0, 0);
	expect(HISTORY_SNAPSHOT, NULL);
	expect(HISTORY_SERIALIZABLE, "clock");
}

/* ---- size ---- */

/* A serial execution is clean, however long; one exchange of two reads in it is found. */
static void long_serial_histories_are_clean_and_one_fault_in_them_is_found(void)
{
	enum {
		LISTS = 500,
		LENGTH = 20
	};
	static uint64_t lists[LISTS][LENGTH];
	unsigned sizes[LISTS] = {0};
	uint64_t element = 1;
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned i = 0; i < 20000; i++) {
		history_begin(&history, i % 7);
		for (unsigned n = 0; n < 3; n++) {
			uint32_t list = (uint32_t)rng_below(&rng, LISTS);

			history_read(&history, list, lists[list], sizes[list]);
			if (sizes[list] < LENGTH && rng_chance(&rng, 50)) {
				lists[list][sizes[list]++] = element;
				history_append(&history, list, element++);
			}
		}
		history_end(&history, true, true, i + 1, i + 2);
	}
	history_begin(&history, 7);
	for (uint32_t list = 0; list < LISTS; list++)
		history_read(&history, list, lists[list], sizes[list]);
	history_end(&history, true, true, 30000, 0);
	expect(HISTORY_SERIALIZABLE, NULL);
	for (size_t i = history.op_count / 2; i < history.op_count; i++)
		if (!history.ops[i].append && history.ops[i].seen_count > 3 &&
		    (i == 0 || !history.ops[i - 1].append)) {
			history.ops[i].seen_count -= 3; /* as an old snapshot would have it */
			break;
		}
	CU_ASSERT_PTR_NOT_NULL(history_check(&history, HISTORY_SNAPSHOT, why));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_history_without_anything_odd_is_clean),
		TEST(an_element_that_nobody_appended_is_garbage),
		TEST(an_element_twice_is_a_duplicate),
		TEST(an_aborted_read_is_g1a),
		TEST(an_intermediate_read_is_g1b),
		TEST(an_own_append_that_is_not_read_is_internal),
		TEST(an_own_append_that_was_not_made_yet_is_internal),
		TEST(two_orders_of_one_list_are_flagged),
		TEST(an_append_that_vanished_is_a_lost_update),
		TEST(a_circle_of_writes_is_g0),
		TEST(a_circle_of_reads_from_each_other_is_g1c),
		TEST(a_session_that_goes_back_is_flagged),
		TEST(half_of_a_transaction_is_g_single),
		TEST(a_second_read_that_differs_is_g_single),
		TEST(a_blind_append_over_what_was_read_is_g_single),
		TEST(a_fork_that_joins_again_is_nonadjacent),
		TEST(write_skew_is_g2_and_allowed_under_snapshot),
		TEST(the_read_only_anomaly_is_g2_and_allowed_under_snapshot),
		TEST(a_circle_of_three_rw_is_g2),
		TEST(what_a_refused_transaction_read_makes_no_circle),
		TEST(lsns_that_agree_are_clean),
		TEST(versions_against_the_order_of_lsns_are_flagged),
		TEST(a_read_beyond_the_snapshot_is_flagged),
		TEST(a_read_that_misses_what_its_snapshot_has_is_flagged),
		TEST(a_serializable_commit_past_a_change_of_what_it_read_is_flagged),
		TEST(long_serial_histories_are_clean_and_one_fault_in_them_is_found),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_checker", set_up, tear_down, tests);
}
