/* SPDX-License-Identifier: MIT */
/* test_replay.c - records done again; records whose frame is right and whose content is not */
#include <stdio.h>
#include <string.h>

#include "tests/unit/recovery/store_fixture.h"
#include "txn/commit.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture);
	CU_ASSERT_EQUAL_FATAL(fixture_open(&fixture, fixture.path), BWT_OK);
	fixture_put(&fixture, 0, 100, 1);
}

static void tear_down(void)
{
	fixture_free(&fixture);
}

/* A record of any content, as a commit would log it; durable. */
static void log_record(uint8_t type, const void *bytes, size_t size)
{
	struct wal_payload payload = {.type = type, .count = 1, .part = {{bytes, size}}};
	uint64_t lsn;

	wal_payload_prepare(&payload);
	CU_ASSERT_EQUAL_FATAL(wal_room_take(fixture.store.wal, payload.frame_len), BWT_OK);
	gate_enter(fixture.slot);
	lsn = wal_reserve(fixture.store.wal, payload.frame_len);
	wal_fill(fixture.store.wal, lsn, &payload);
	gate_leave(fixture.slot);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL_FATAL(wal_flush(fixture.store.wal, true), BWT_OK);
}

static int crash_and_open(void)
{
	fixture_close(&fixture, false);
	return fixture_open(&fixture, fixture.path);
}

static void expect_refused(const char *why)
{
	char where[64];

	CU_ASSERT_EQUAL(crash_and_open(), BWT_CORRUPT);
	snprintf(where, sizeof where, "wal: record at LSN");
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), where));
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), why));
	/* And again: the answer does not change anything. */
	CU_ASSERT_EQUAL(fixture_open(&fixture, fixture.path), BWT_CORRUPT);
}

struct made_op { /* struct wal_op with room behind it */
	uint32_t tree;
	uint8_t flags;
	uint8_t reserved;
	uint16_t key_size;
	uint32_t value_size;
	uint8_t bytes[64];
};

static_assert(offsetof(struct made_op, bytes) == offsetof(struct wal_op, bytes), "the same layout");

static struct made_op make_op(uint32_t tree, uint8_t flags, uint16_t key_size, uint32_t value_size)
{
	return (struct made_op){
		.tree = tree,
		.flags = flags,
		.key_size = key_size,
		.value_size = value_size,
		.bytes = "abcdefghijklmnopqrstuvwxyz",
	};
}

static void a_handmade_put_is_done_again(void)
{
	struct made_op op = make_op(TREE_ID_MAIN, 0, 3, 5);

	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 101);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 1));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 101);
}

/* RP4: in windows, beside large values, which wait for nothing, and deletes */
static void records_are_done_in_the_order_of_the_log(void)
{
	for (unsigned version = 2; version < 60; version++) {
		fixture_put(&fixture, 0, 1 + version % 7, version);
		if (version % 5 == 0)
			fixture_delete(&fixture, 0, 2);
		if (version % 11 == 0)
			log_record(WAL_PAD, "", 0);
	}
	fixture_put(&fixture, 0, 7, 60);
	fixture_delete(&fixture, 3, 4);
	CU_ASSERT_EQUAL(wal_flush(fixture.store.wal, true), BWT_OK);
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 3, 60));
	CU_ASSERT_TRUE(fixture_lacks(&fixture, 3, 4));
	CU_ASSERT_TRUE(fixture_holds(&fixture, 4, 7, 60));
	CU_ASSERT_TRUE(fixture_holds(&fixture, 7, 100, 1));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* What waits in a window is done before the damage behind it is told, and is no reason to forget that. */
static void damage_behind_a_window_is_told(void)
{
	struct made_op op = make_op(99, 0, 3, 5);

	fixture_put(&fixture, 0, 5, 2);
	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	expect_refused("its tree does not exist");
}

static void the_clock_goes_on_behind_the_log(void)
{
	uint64_t tail = wal_tail(fixture.store.wal);

	CU_ASSERT_EQUAL(wal_flush(fixture.store.wal, true), BWT_OK);
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_TRUE(wal_tail(fixture.store.wal) >= tail);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 1));
}

static void a_record_shorter_than_it_says_is_damage(void)
{
	struct made_op op = make_op(TREE_ID_MAIN, 0, 3, 60000);

	log_record(WAL_OP, &op, sizeof op);
	expect_refused("not an operation");
}

static void a_record_without_a_head_is_damage(void)
{
	log_record(WAL_OP, "", 0);
	expect_refused("not an operation");
}

static void a_tree_that_does_not_exist_is_damage(void)
{
	struct made_op op = make_op(99, 0, 3, 5);

	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	expect_refused("its tree does not exist");
}

/* Who drops a tree is to see that nobody is at work in it. If he did not, the store opens nevertheless. */
static void what_was_written_into_a_tree_behind_its_drop_is_passed_over(void)
{
	struct made_op op = make_op(TREE_ID_FIRST, 0, 3, 5), large = op, other;
	struct named_tree *tree;

	CU_ASSERT_EQUAL_FATAL(catalog_create(&fixture.store, "t", TREE_ID_FIRST, 0, &tree), BWT_OK);
	CU_ASSERT_EQUAL(catalog_drop(&fixture.store, tree, 0), BWT_OK);
	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	large.flags = VERSION_VLOG; /* and its value is nowhere any more */
	large.value_size = sizeof(struct value_ref);
	fixture_put(&fixture, 0, 5, 2);
	log_record(WAL_OP, &large, offsetof(struct made_op, bytes) + 3 + sizeof(struct value_ref));
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 5, 2));
	CU_ASSERT_PTR_NULL(fixture_tree(&fixture, "t"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	/* An id that no tree has had yet is damage as before. */
	other = make_op(TREE_ID_FIRST + 1, 0, 3, 5);
	log_record(WAL_OP, &other, offsetof(struct made_op, bytes) + 8);
	expect_refused("its tree does not exist");
}

static void a_write_to_the_catalogue_is_damage(void)
{
	struct made_op op = make_op(TREE_ID_CATALOG, 0, 3, 5);

	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	expect_refused("its tree does not exist");
}

static void a_tombstone_with_a_value_is_damage(void)
{
	struct made_op op = make_op(TREE_ID_MAIN, VERSION_TOMBSTONE, 3, 5);

	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	expect_refused("not an operation");
}

static void a_reference_of_another_size_is_damage(void)
{
	struct made_op op = make_op(TREE_ID_MAIN, VERSION_VLOG, 3, 5);

	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 8);
	expect_refused("not an operation");
}

static void an_unknown_type_is_damage(void)
{
	log_record(200, "something", 9);
	expect_refused("type");
}

static void a_tree_without_a_name_is_damage(void)
{
	uint32_t id = 16;

	log_record(WAL_TREE_CREATE, &id, sizeof id);
	expect_refused("not the name of a tree");
}

static void dropping_what_is_not_there_is_damage(void)
{
	log_record(WAL_TREE_DROP, "\x20\0\0\0name", 8);
	expect_refused("drops a tree");
}

/* A reference to a value that is not there, and nothing behind it: the log ends before it. */
static void the_log_ends_before_a_value_that_never_came(void)
{
	struct made_op op = make_op(TREE_ID_MAIN, VERSION_VLOG, 3, sizeof(struct value_ref));
	struct value_ref ref = {.segment = 55, .offset = 0, .size = 10, .crc = 1};

	memcpy(op.bytes + 3, &ref, sizeof ref);
	log_record(WAL_OP, &op, offsetof(struct made_op, bytes) + 3 + sizeof ref);
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 100);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 100, 1));
	fixture_put(&fixture, 100, 200, 1);
	CU_ASSERT_EQUAL(wal_flush(fixture.store.wal, true), BWT_OK);
	CU_ASSERT_EQUAL(crash_and_open(), BWT_OK);
	CU_ASSERT_EQUAL(fixture_keys(&fixture), 200);
	CU_ASSERT_TRUE(fixture_holds(&fixture, 0, 200, 1));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_handmade_put_is_done_again),
		TEST(records_are_done_in_the_order_of_the_log),
		TEST(damage_behind_a_window_is_told),
		TEST(the_clock_goes_on_behind_the_log),
		TEST(a_record_shorter_than_it_says_is_damage),
		TEST(a_record_without_a_head_is_damage),
		TEST(a_tree_that_does_not_exist_is_damage),
		TEST(what_was_written_into_a_tree_behind_its_drop_is_passed_over),
		TEST(a_write_to_the_catalogue_is_damage),
		TEST(a_tombstone_with_a_value_is_damage),
		TEST(a_reference_of_another_size_is_damage),
		TEST(an_unknown_type_is_damage),
		TEST(a_tree_without_a_name_is_damage),
		TEST(dropping_what_is_not_there_is_damage),
		TEST(the_log_ends_before_a_value_that_never_came),
		CU_TEST_INFO_NULL,
	};
	return suite_run("replay", set_up, tear_down, tests);
}
