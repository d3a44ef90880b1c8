/* SPDX-License-Identifier: MIT */
/* test_wal_ops.c - records decoded, and what is none refused */
#include "log/wal_ops.h"

#include <string.h>

#include "page/delta.h"
#include "tests/support/suite.h"

static uint8_t bytes[1000];
static size_t size;

static void add(const void *data, size_t length)
{
	memcpy(bytes + size, data, length);
	size += length;
}

static void add_op(uint32_t tree, uint8_t flags, const char *key, uint32_t value_size)
{
	struct wal_op op = {.tree = tree,
	                    .flags = flags,
	                    .key_size = (uint16_t)strlen(key),
	                    .value_size = value_size};
	uint8_t value[100] = "value";

	add(&op, offsetof(struct wal_op, bytes));
	add(key, strlen(key));
	add(value, value_size);
}

static void set_up(void)
{
	size = 0;
	memset(bytes, 0, sizeof bytes);
}

static struct wal_record record_of(uint8_t type)
{
	return (struct wal_record){
		.lsn = 8192, .end_lsn = 9000, .type = type, .payload = {bytes, size}};
}

/* Does one operation come out, and is all of it read? */
static bool decodes(struct wal_op_view *op)
{
	struct bytes_reader reader;

	bytes_reader_init(&reader, bytes, size);
	return wal_op_next(&reader, op) && bytes_left(&reader) == 0;
}

static void operations_come_with_key_and_value(void)
{
	struct wal_op_view op;

	add_op(7, 0, "key", 5);
	CU_ASSERT_TRUE_FATAL(decodes(&op));
	CU_ASSERT_EQUAL(op.tree, 7);
	CU_ASSERT_EQUAL(op.flags, 0);
	CU_ASSERT_EQUAL(op.key.size, 3);
	CU_ASSERT_EQUAL(memcmp(op.key.data, "key", 3), 0);
	CU_ASSERT_EQUAL(op.value.size, 5);
	CU_ASSERT_EQUAL(memcmp(op.value.data, "value", 5), 0);
	set_up();
	add_op(7, VERSION_TOMBSTONE, "", 0);
	CU_ASSERT_TRUE(decodes(&op));
	set_up();
	add_op(7, VERSION_VLOG, "key", sizeof(struct value_ref));
	CU_ASSERT_TRUE(decodes(&op));
}

static void operations_that_make_no_sense_are_refused(void)
{
	struct wal_op_view op;

	CU_ASSERT_FALSE(decodes(&op)); /* nothing */
	add_op(7, 0, "key", 5);
	for (size_t whole = size--; size > 0; size--)
		CU_ASSERT_FALSE_FATAL(whole > size && decodes(&op)); /* cut off anywhere */
	add_op(7, 0x80, "key", 5);
	CU_ASSERT_FALSE(decodes(&op));
	set_up();
	add_op(7, VERSION_TOMBSTONE, "key", 1);
	CU_ASSERT_FALSE(decodes(&op));
	set_up();
	add_op(7, VERSION_TOMBSTONE | VERSION_VLOG, "key", 0);
	CU_ASSERT_FALSE(decodes(&op));
	set_up();
	add_op(7, VERSION_VLOG, "key", sizeof(struct value_ref) - 1);
	CU_ASSERT_FALSE(decodes(&op));
}

static void a_transaction_has_its_operations(void)
{
	struct wal_txn head = {2, 60};
	struct wal_record record;
	struct bwt_slice ops;
	uint32_t count;

	add(&head, sizeof head);
	size += 60;
	record = record_of(WAL_TXN);
	CU_ASSERT_TRUE(wal_txn_ops(&record, &ops, &count));
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT_EQUAL(ops.size, 60);
	CU_ASSERT_PTR_EQUAL(ops.data, bytes + sizeof head);
	record.payload.size--;
	CU_ASSERT_FALSE(wal_txn_ops(&record, &ops, &count));
	record.payload.size = sizeof head - 1;
	CU_ASSERT_FALSE(wal_txn_ops(&record, &ops, &count));
}

static void a_part_has_head_and_operations(void)
{
	struct wal_txn_part head = {.txn = 9, .count = 3, .size = 50}, part;
	struct wal_record record;
	struct bwt_slice ops;

	add(&head, sizeof head);
	size += 50;
	record = record_of(WAL_TXN_PART);
	CU_ASSERT_TRUE(wal_part_ops(&record, &part, &ops));
	CU_ASSERT_EQUAL(part.txn, 9);
	CU_ASSERT_EQUAL(ops.size, 50);
	record.payload.size--;
	CU_ASSERT_FALSE(wal_part_ops(&record, &part, &ops));
	record.payload.size = sizeof head - 1;
	CU_ASSERT_FALSE(wal_part_ops(&record, &part, &ops));
}

static void a_commit_lies_behind_its_parts(void)
{
	struct wal_txn_commit head = {.txn = 9, .first_lsn = 4096}, commit;
	struct wal_record record;

	add(&head, sizeof head);
	record = record_of(WAL_TXN_COMMIT);
	CU_ASSERT_TRUE(wal_commit_parts(&record, &commit));
	record.lsn = 4096;
	CU_ASSERT_FALSE(wal_commit_parts(&record, &commit));
	record = record_of(WAL_TXN_COMMIT);
	record.payload.size--;
	CU_ASSERT_FALSE(wal_commit_parts(&record, &commit));
	set_up();
	head.first_lsn = 4097;
	add(&head, sizeof head);
	record = record_of(WAL_TXN_COMMIT);
	CU_ASSERT_FALSE(wal_commit_parts(&record, &commit));
}

static void a_tree_has_a_name(void)
{
	char name[BWT_TREE_NAME_MAX + 1], longest[BWT_TREE_NAME_MAX + 1];
	struct wal_record record;
	uint32_t id = 5;

	add(&id, sizeof id);
	record = record_of(WAL_TREE_CREATE);
	CU_ASSERT_FALSE(wal_tree_name(&record, &id, name)); /* none */
	record.payload.size = 3;
	CU_ASSERT_FALSE(wal_tree_name(&record, &id, name));
	add("fruit\0\0\0", 8); /* padded */
	record = record_of(WAL_TREE_CREATE);
	CU_ASSERT_TRUE(wal_tree_name(&record, &id, name));
	CU_ASSERT_EQUAL(id, 5);
	CU_ASSERT_STRING_EQUAL(name, "fruit");
	size = sizeof id;
	memset(longest, 'n', sizeof longest);
	add(longest, BWT_TREE_NAME_MAX);
	record = record_of(WAL_TREE_DROP);
	CU_ASSERT_TRUE(wal_tree_name(&record, &id, name));
	CU_ASSERT_EQUAL(strlen(name), BWT_TREE_NAME_MAX);
	add("n", 1);
	record = record_of(WAL_TREE_DROP);
	CU_ASSERT_FALSE(wal_tree_name(&record, &id, name));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(operations_come_with_key_and_value),
		TEST(operations_that_make_no_sense_are_refused),
		TEST(a_transaction_has_its_operations),
		TEST(a_part_has_head_and_operations),
		TEST(a_commit_lies_behind_its_parts),
		TEST(a_tree_has_a_name),
		CU_TEST_INFO_NULL,
	};

	return suite_run("wal_ops", set_up, NULL, tests);
}
