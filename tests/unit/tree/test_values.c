/* SPDX-License-Identifier: MIT */
/* test_values.c - references to large values: found, replaced, never over another version */
#include "tree/values.h"

#include "base/testpoint.h"
#include "tests/unit/tree/tree_fixture.h"

#define KEYS 20u
#define ROOM 64u

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, 1024, 1000);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static bool in_file(void *ctx, const struct value_ref *ref)
{
	return ref->segment == *(const uint64_t *)ctx;
}

static bool anywhere(void *ctx, const struct value_ref *ref)
{
	(void)ctx, (void)ref;
	return true;
}

/* References of the leaf of key 0 that lie in @file, 0: in any. */
static unsigned find(uint64_t file, struct found_value *found, unsigned room)
{
	struct place place = fixture_locate(&fixture, 0);
	int count = tree_find_values(&fixture.tree, fixture.slot, &place,
	                             file == 0 ? anywhere : in_file, &file, found, room);

	epoch_unpin(fixture.slot);
	CU_ASSERT_TRUE_FATAL(count >= 0);
	return (unsigned)count;
}

static int move(const struct value_move *moves, unsigned count)
{
	struct place place = fixture_locate(&fixture, 0);
	int rc = tree_move_values(&fixture.tree, fixture.slot, &place, moves, count);

	epoch_unpin(fixture.slot);
	return rc;
}

static struct value_move move_of(const struct found_value *found, uint64_t to)
{
	struct value_move move = {found->ref, found->ref};

	move.to.segment = (uint32_t)to;
	return move;
}

static void fill(void)
{
	for (unsigned i = 0; i < KEYS; i++) {
		if (i % 4 == 3)
			fixture_put(&fixture, i, "small");
		else
			fixture_put_large(&fixture, i, 10 + i);
	}
}

static void references_are_found_in_deltas_and_in_the_base_page(void)
{
	struct found_value found[ROOM];

	fill();
	CU_ASSERT_EQUAL(find(0, found, ROOM), 15);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 0, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(find(0, found, ROOM), 15);
	for (unsigned i = 1; i < 15; i++)
		CU_ASSERT_TRUE(found[i - 1].ref.segment < found[i].ref.segment);
	CU_ASSERT_EQUAL(find(0, found, 4), 4);
	CU_ASSERT_EQUAL(find(12, found, ROOM), 1);
	CU_ASSERT_EQUAL(found[0].ref.segment, 12);
	CU_ASSERT_EQUAL(find(13, found, ROOM), 0);
}

static void what_was_moved_is_referred_to_where_it_lies_now(void)
{
	struct found_value found[ROOM];
	struct value_move moves[ROOM];
	unsigned count;

	fill();
	count = find(0, found, ROOM);
	for (unsigned i = 0; i < count; i++)
		moves[i] = move_of(&found[i], 100);
	CU_ASSERT_EQUAL(move(moves, count), BWT_OK);
	CU_ASSERT_EQUAL(find(100, found, ROOM), count);
	CU_ASSERT_EQUAL(find(0, found, ROOM), count);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_stored), count);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), count);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void versions_of_one_key_are_told_apart(void)
{
	struct found_value found[ROOM];
	struct value_move moves[ROOM];
	uint64_t first;

	first = fixture_put_large(&fixture, 0, 10);
	fixture.horizon = (struct horizon){.future = UINT64_MAX, .count = 1, .lsn = {first + 1}};
	fixture_put_large(&fixture, 0, 11);
	CU_ASSERT_EQUAL(find(10, found, ROOM), 1);
	moves[0] = move_of(&found[0], 100);
	CU_ASSERT_EQUAL(move(moves, 1), BWT_OK);
	CU_ASSERT_EQUAL(find(100, found, ROOM), 1);
	CU_ASSERT_EQUAL(find(11, found, ROOM), 1);
	CU_ASSERT_EQUAL(find(10, found, ROOM), 0);
}

/* A copy was made, and then the key got another value. */
static unsigned moved_too_late(void)
{
	struct found_value found[ROOM];
	struct value_move moves[1];

	fixture_put_large(&fixture, 0, 10);
	CU_ASSERT_EQUAL(find(10, found, ROOM), 1);
	moves[0] = move_of(&found[0], 100);
	fixture_put_large(&fixture, 0, 11);
	CU_ASSERT_EQUAL(move(moves, 1), BWT_OK);
	return find(100, found, ROOM);
}

static void a_newer_version_is_never_replaced(void)
{
	CU_ASSERT_EQUAL(moved_too_late(), 0);
}

static void a_replaced_newer_version_is_noticed(void)
{
	testpoint_set("move_over_another", 0, NULL, NULL);
	CU_ASSERT_EQUAL(moved_too_late(), 1);
}

static void a_leaf_with_a_pending_version_is_left_alone(void)
{
	struct found_value found[ROOM];
	struct value_move moves[1];

	fixture_put_large(&fixture, 0, 10);
	CU_ASSERT_EQUAL(find(10, found, ROOM), 1);
	moves[0] = move_of(&found[0], 100);
	fixture_pending(&fixture, 1, "pending");
	CU_ASSERT_EQUAL(move(moves, 1), BWT_BUSY);
	CU_ASSERT_EQUAL(find(10, found, ROOM), 1);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_stored), atomic_load(&fixture.values_dropped));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(references_are_found_in_deltas_and_in_the_base_page),
		TEST(what_was_moved_is_referred_to_where_it_lies_now),
		TEST(versions_of_one_key_are_told_apart),
		TEST(a_newer_version_is_never_replaced),
		TEST(a_replaced_newer_version_is_noticed),
		TEST(a_leaf_with_a_pending_version_is_left_alone),
		CU_TEST_INFO_NULL,
	};

	return suite_run("values", set_up, tear_down, tests);
}
