/* SPDX-License-Identifier: MIT */
/* test_page_print.c - what people see of pages and chains */
#include "page/page_print.h"

#include <stdlib.h>

#include "page/visibility.h"
#include "page_fixture.h"
#include "tests/support/suite.h"

static struct test_arena arena;
static char *text;
static size_t text_size;
static FILE *file;

static void set_up(void)
{
	test_arena_init(&arena, 1u << 20);
	file = open_memstream(&text, &text_size);
}

static void tear_down(void)
{
	fclose(file);
	free(text);
	test_arena_deinit(&arena);
}

static bool printed(const char *expected)
{
	bool same;

	fflush(file);
	same = strcmp(text, expected) == 0;
	if (!same)
		printf("  printed: %s\n  expected: %s\n", text, expected);
	return same;
}

static void keys_are_printed_so_that_they_can_be_told_apart(void)
{
	key_print(file, TEXT("plain key"), 64);
	key_print(file, TEXT("\0\x1f\x7f\xff\\\""), 64);
	key_print(file, TEXT(""), 64);
	key_print(file, NO_KEY, 64);
	CU_ASSERT_TRUE(printed("\"plain key\"\"\\00\\1f\\7f\\ff\\5c\\22\"\"\"\"\""));
}

static void long_keys_are_cut_and_their_size_is_told(void)
{
	key_print(file, TEXT("0123456789"), 10);
	key_print(file, TEXT("0123456789"), 9);
	key_print(file, TEXT("0123456789"), 0);
	CU_ASSERT_TRUE(printed("\"0123456789\"\"012345678\"... (10 bytes)\"\"... (10 bytes)"));
}

static void a_leaf_chain_is_printed_newest_first(void)
{
	struct value_ref ref = {3, 0, 4096, 70000, 0xabcdef01};
	struct page_entry entries[] = {
		entry_make(TEXT("key-a"), TEXT(""), VERSION_TOMBSTONE, 480),
		entry_make(TEXT("key-a"), TEXT("old"), 0, 320),
		entry_make(TEXT("key-b"), (struct bwt_slice){&ref, sizeof ref}, VERSION_VLOG, 0),
	};
	struct page_bounds bounds = {TEXT("key"), TEXT("l"), 9};
	arena_off head = test_leaf(&arena, entries, 3, &bounds, 5);
	struct version_spec put = {TEXT("key-c"), key_hash(TEXT("key-c")), "new", 3, 0};
	struct version_spec del = {TEXT("key-b"), key_hash(TEXT("key-b")), "", 0, VERSION_TOMBSTONE};

	head = test_delta(&arena, &put, head, word_make(WORD_COMMITTED, 640));
	head = test_delta(&arena, &del, head, word_make(WORD_PENDING, 656));
	page_print_chain(file, arena.bytes, head, true);
	CU_ASSERT_TRUE(printed(
		"0x120 delete page 5 tree 1 size 80 made at lsn 160 chain 2 \"key-b\" "
		"pending, not below lsn 656 deleted\n"
		"0xd0 put page 5 tree 1 size 80 made at lsn 160 chain 1 \"key-c\" lsn 640 "
		"value of 3 bytes \"new\"\n"
		"0x10 leaf page 5 tree 1 size 192 made at lsn 160 level 0, 3 entries, prefix "
		"\"key-\", "
		"from \"key\" to \"l\", right 9\n"
		"    \"key-a\" lsn 480 deleted\n"
		"      older \"key-a\" lsn 320 value of 3 bytes \"old\"\n"
		"    \"key-b\" lsn 0 value of 70000 bytes at vlog 3 + 4096 crc abcdef01\n"));
}

static void an_index_chain_is_printed_newest_first(void)
{
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 10}, {key_ref_of(TEXT("m")), 11}};
	struct page_bounds bounds = bounds_all();
	arena_off head = test_inner(&arena, children, 2, 1, &bounds, 5);

	head = test_index_delta(&arena, TEXT("t"), NO_KEY, 12, head);
	page_print_chain(file, arena.bytes, head, false);
	CU_ASSERT_TRUE(printed("0x80 index-insert page 5 tree 1 size 80 made at lsn 160 chain 1 "
	                       "from \"t\" to no end -> page 12\n"
	                       "0x10 inner page 5 tree 1 size 112 made at lsn 160 level 1, 2 "
	                       "entries, prefix \"m\", "
	                       "from \"\" to no end, right 0\n"
	                       "    \"\" -> page 10\n"
	                       "    \"m\" -> page 11\n"));
}

static void values_are_printed_only_where_asked_for(void)
{
	struct page_entry entries[] = {entry_make(TEXT("k"), TEXT("secret"), 0, 16)};
	struct page_bounds bounds = bounds_all();
	arena_off head = test_leaf(&arena, entries, 1, &bounds, 5);

	page_print_chain(file, arena.bytes, head, false);
	fflush(file);
	CU_ASSERT_PTR_NULL(strstr(text, "secret"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "value of 6 bytes\n"));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(keys_are_printed_so_that_they_can_be_told_apart),
		TEST(long_keys_are_cut_and_their_size_is_told),
		TEST(a_leaf_chain_is_printed_newest_first),
		TEST(an_index_chain_is_printed_newest_first),
		TEST(values_are_printed_only_where_asked_for),
		CU_TEST_INFO_NULL,
	};
	return suite_run("page_print", set_up, tear_down, tests);
}
