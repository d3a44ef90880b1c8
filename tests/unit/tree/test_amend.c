/* SPDX-License-Identifier: MIT */
/* test_amend.c - the short way of a consolidation: when it is taken, what it leaves, where it cuts */
#include "tree/amend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/rng.h"
#include "tests/unit/tree/tree_fixture.h"

#define PAGE 1024u
#define CHAIN 8u
#define MANY 4000u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, PAGE, CHAIN);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

/* What amend_plan() says of the leaf of key @number, which is left alone. */
static int plan_of(unsigned number, struct rebuild *rebuild)
{
	static struct place place;
	uint8_t *fence;
	int rc;

	place = fixture_locate(&fixture, number);
	*rebuild = (struct rebuild){.tree = &fixture.tree, .place = &place};
	base_bounds(place.base, &rebuild->bounds);
	rc = amend_plan(rebuild, fixture.slot, &fence);
	free(fence);
	epoch_unpin(fixture.slot);
	return rc;
}

/* Bytes of the content of the leaf of key @number, as a cut counts them. */
static size_t leaf_bytes_of(unsigned number)
{
	struct place place = fixture_locate(&fixture, number);
	size_t bytes = tree_content_bytes(&fixture.tree, fixture.slot, &place, NULL);

	epoch_unpin(fixture.slot);
	return bytes;
}

static size_t pages_used(void)
{
	return atomic_load(&fixture.mapping.used);
}

/* ---- when ---- */

static void committed_versions_are_amended(void)
{
	struct rebuild rebuild;

	fixture_fill(&fixture, 0, 6);
	fixture_consolidate(&fixture, 0, LEAVE_PENDING);
	fixture_put(&fixture, 3, "new");
	fixture_delete(&fixture, 4);
	fixture_put(&fixture, 7, "seven");
	CU_ASSERT_EQUAL(plan_of(0, &rebuild), BWT_OK);
	CU_ASSERT_EQUAL(rebuild.piece_count, 1);
	CU_ASSERT_PTR_NOT_NULL(rebuild.piece[0].splice.base);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 0, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 3));
	CU_ASSERT_TRUE(fixture_has(&fixture, 3, NEWEST, "new"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 4, NEWEST, NULL));
	CU_ASSERT_TRUE(fixture_has(&fixture, 7, NEWEST, "seven"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void who_may_see_older_versions_is_seen_to_the_general_way(void)
{
	struct rebuild rebuild;
	uint64_t first = fixture_put(&fixture, 1, "one");

	fixture_put(&fixture, 1, "two");
	fixture.horizon = (struct horizon){
		.future = atomic_load(&fixture.clock) + 1, .count = 1, .lsn = {first + 1}};
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, first + 1, "one"));
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_NOT_FOUND); /* the page has LSNs */
	fixture.horizon = (struct horizon){0};
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_OK); /* and none now */
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_way_that_forgets_the_snapshots_is_noticed(void)
{
	uint64_t first = fixture_put(&fixture, 1, "one");

	fixture_put(&fixture, 1, "two");
	fixture.horizon = (struct horizon){
		.future = atomic_load(&fixture.clock) + 1, .count = 1, .lsn = {first + 1}};
	testpoint_set("amend_for_all", 0, NULL, NULL);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_FALSE(fixture_has(&fixture, 1, first + 1, "one"));
}

static void pending_versions_are_for_the_general_way(void)
{
	struct rebuild rebuild;
	struct leaf_delta *delta;

	fixture_put(&fixture, 1, "one");
	delta = fixture_pending(&fixture, 2, "two");
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_NOT_FOUND);
	atomic_store(&delta->lsn_word, word_make(WORD_ABORTED, 0));
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_OK);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "one"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 2, NEWEST, NULL));
}

static void an_emptied_leaf_is_for_the_general_way(void)
{
	struct rebuild rebuild;

	fixture_put(&fixture, 1, "one");
	fixture_delete(&fixture, 1);
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void large_values_are_let_go_once(void)
{
	struct rebuild rebuild;

	fixture_put_large(&fixture, 1, 100);
	fixture_put_large(&fixture, 2, 1000);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	fixture_put_large(&fixture, 1, 20);
	fixture_put_large(&fixture, 1, 3);
	fixture_delete(&fixture, 2);
	CU_ASSERT_EQUAL(plan_of(1, &rebuild), BWT_OK);
	CU_ASSERT_EQUAL(rebuild.dropped_count, 3);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.dropped_segments), 1120);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 3);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* ---- where the cut is ---- */

static void keys_in_ascending_order_leave_full_pages(void)
{
	size_t entry = 8 + 8 + LEAF_ENTRY_OVERHEAD;

	fixture_fill(&fixture, 0, MANY);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, MANY));
	CU_ASSERT_TRUE(leaf_bytes_of(0) + entry > PAGE);
	CU_ASSERT_TRUE(leaf_bytes_of(MANY / 2) + entry > PAGE);
	CU_ASSERT_TRUE(pages_used() < MANY * entry / PAGE * 110 / 100);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void keys_in_descending_order_leave_full_pages(void)
{
	size_t entry = 8 + 8 + LEAF_ENTRY_OVERHEAD;

	for (unsigned i = MANY; i-- > 0;)
		fixture_fill(&fixture, i, i + 1);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, MANY));
	CU_ASSERT_TRUE(pages_used() < MANY * entry / PAGE * 120 / 100);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* Streams of ascending keys, one behind the other in the order of keys: as of many devices, by number and time. */
static void streams_in_the_middle_leave_full_pages(void)
{
	size_t entry = 8 + 8 + LEAF_ENTRY_OVERHEAD;
	unsigned streams = 4, each = MANY / streams;

	for (unsigned i = 0; i < each; i += CHAIN)
		for (unsigned s = 0; s < streams; s++)
			fixture_fill(&fixture, s * 100000 + i, s * 100000 + i + CHAIN);
	for (unsigned s = 0; s < streams; s++)
		CU_ASSERT_TRUE(fixture_filled(&fixture, s * 100000, s * 100000 + each));
	CU_ASSERT_TRUE(pages_used() < MANY * entry / PAGE * 120 / 100);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_few_keys_in_order_are_no_stream(void)
{
	struct rebuild rebuild;

	for (unsigned i = 0; i < 30; i++)
		fixture_fill(&fixture, i * 10, i * 10 + 1);
	fixture_consolidate(&fixture, 0, LEAVE_PENDING);
	fixture_fill(&fixture, 101, 104);
	CU_ASSERT_EQUAL(plan_of(0, &rebuild), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(rebuild.piece_count, 2);
	CU_ASSERT_EQUAL(rebuild.piece[1].low.size, 7); /* "0000016", about the middle */
}

/* ---- against what it should be ---- */

static void random_changes_leave_what_was_written(void)
{
	static unsigned version[600];
	char value[32];
	struct rng rng;

	rng_init(&rng, rng_seed());
	memset(version, 0, sizeof version);
	for (unsigned i = 1; i < 30000; i++) {
		unsigned key = (unsigned)rng_below(&rng, 600);

		version[key] = rng_chance(&rng, 30) ? 0 : i;
		snprintf(value, sizeof value, "%0*u", 1 + (int)(i % 17), i);
		if (version[key] != 0)
			fixture_put(&fixture, key, value);
		else
			fixture_delete(&fixture, key);
	}
	for (unsigned key = 0; key < 600; key++) {
		snprintf(value, sizeof value, "%0*u", 1 + (int)(version[key] % 17), version[key]);
		CU_ASSERT_TRUE(fixture_has(&fixture, key, NEWEST, version[key] != 0 ? value : NULL));
	}
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(committed_versions_are_amended),
		TEST(who_may_see_older_versions_is_seen_to_the_general_way),
		TEST(a_way_that_forgets_the_snapshots_is_noticed),
		TEST(pending_versions_are_for_the_general_way),
		TEST(an_emptied_leaf_is_for_the_general_way),
		TEST(large_values_are_let_go_once),
		TEST(keys_in_ascending_order_leave_full_pages),
		TEST(keys_in_descending_order_leave_full_pages),
		TEST(streams_in_the_middle_leave_full_pages),
		TEST(a_few_keys_in_order_are_no_stream),
		TEST(random_changes_leave_what_was_written),
		CU_TEST_INFO_NULL,
	};
	return suite_run("amend", set_up, tear_down, tests);
}
