/* SPDX-License-Identifier: MIT */
/* test_read.c - which version a reader sees, what it does to pending ones, and how a value comes out */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/actor.h"
#include "tests/unit/txn/txn_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static int get(const char *key, uint64_t snapshot, struct bwt_buf *value)
{
	return read_value(&fixture.store, fixture.tree, fixture.slot, snapshot, text_slice(key),
	                  value);
}

/* ---- buffers ---- */

static void a_buffer_grows_and_is_used_again(void)
{
	struct bwt_buf buf = {0};
	void *data;

	CU_ASSERT_EQUAL(buf_reserve(&buf, 0), BWT_OK);
	CU_ASSERT_EQUAL(buf_reserve(&buf, 100), BWT_OK);
	CU_ASSERT_TRUE(buf.capacity >= 100);
	memset(buf.data, 7, 100);
	data = buf.data;
	CU_ASSERT_EQUAL(buf_reserve(&buf, 50), BWT_OK);
	CU_ASSERT_PTR_EQUAL(buf.data, data);
	CU_ASSERT_EQUAL(buf_reserve(&buf, 100000), BWT_OK);
	CU_ASSERT_EQUAL(((uint8_t *)buf.data)[99], 7);
	free(buf.data);
}

static void a_value_of_any_size_comes_back(void)
{
	static const size_t sizes[] = {0, 1, INLINE_MAX, INLINE_MAX + 1, 5000, 200000};
	char *value = calloc(1, 200001), key[16];
	struct bwt_buf got = {0};

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		memset(value, 'a' + (int)i, sizes[i]);
		value[sizes[i]] = '\0';
		snprintf(key, sizeof key, "%u", i);
		fixture_put(&fixture, key, value);
		CU_ASSERT_EQUAL(get(key, READ_NEWEST, &got), BWT_OK);
		CU_ASSERT_EQUAL(got.size, sizes[i]);
		CU_ASSERT_TRUE(sizes[i] == 0 || memcmp(got.data, value, sizes[i]) == 0);
		CU_ASSERT_EQUAL(get(key, READ_NEWEST, NULL), BWT_OK); /* presence only */
	}
	free(got.data);
	free(value);
}

static void what_is_not_there_leaves_the_buffer_alone(void)
{
	struct bwt_buf got = {.size = 77};

	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(got.size, 77);
	CU_ASSERT_PTR_NULL(got.data);
	fixture_put(&fixture, "k", "v");
	CU_ASSERT_EQUAL(fixture_commit(&fixture, COMMIT_DELETE, "k", NULL, NULL), BWT_OK);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, NULL), BWT_NOT_FOUND);
}

/* ---- reader_choose() on versions made by hand ---- */

static _Atomic(uint64_t) words[4];

/* Versions with the LSN words that were set; number @base is an entry of a base page, at LSN 16. */
static int choose(uint64_t snapshot, unsigned count, unsigned base, struct reader *reader)
{
	struct page_entry versions[4] = {0};

	*reader = (struct reader){.store = &fixture.store, .snapshot = snapshot};
	for (unsigned i = 0; i < count; i++) {
		if (i != base)
			versions[i].word = &words[i];
		else
			versions[i].lsn = 16;
	}
	return reader_choose(reader, versions, count);
}

static void the_newest_committed_version_below_the_snapshot_is_chosen(void)
{
	struct reader reader;

	atomic_store(&words[0], word_make(WORD_COMMITTED, 480));
	atomic_store(&words[1], word_make(WORD_ABORTED, 0));
	atomic_store(&words[2], word_make(WORD_COMMITTED, 320));
	CU_ASSERT_EQUAL(choose(READ_NEWEST, 4, 3, &reader), 0);
	CU_ASSERT_EQUAL(reader.newest, 481); /* its record ends behind it (C7) */
	CU_ASSERT_EQUAL(choose(496, 4, 3, &reader), 0);
	CU_ASSERT_EQUAL(choose(481, 4, 3, &reader), 0);
	CU_ASSERT_EQUAL(choose(480, 4, 3, &reader), 2);
	CU_ASSERT_EQUAL(reader.newest, 321);
	CU_ASSERT_EQUAL(choose(320, 4, 3, &reader), 3);
	CU_ASSERT_EQUAL(choose(16, 4, 3, &reader), -1);
	CU_ASSERT_EQUAL(choose(480, 1, 1, &reader), -1);
	CU_ASSERT_EQUAL(reader.newest, 0);
}

static void a_push_raises_the_floor_to_the_snapshot_and_never_lowers_it(void)
{
	struct reader reader;

	atomic_store(&words[0], word_make(WORD_PENDING, 0));
	CU_ASSERT_EQUAL(choose(READ_NEWEST, 2, 1, &reader), 1);
	CU_ASSERT_EQUAL(atomic_load(&words[0]), word_make(WORD_PENDING, 0));
	CU_ASSERT_EQUAL(choose(800, 2, 1, &reader), 1);
	CU_ASSERT_EQUAL(atomic_load(&words[0]), word_make(WORD_PENDING, 800));
	CU_ASSERT_EQUAL(choose(400, 2, 1, &reader), 1);
	CU_ASSERT_EQUAL(atomic_load(&words[0]), word_make(WORD_PENDING, 800)); /* V2 */
	CU_ASSERT_EQUAL(choose(816, 2, 1, &reader), 1);
	CU_ASSERT_EQUAL(atomic_load(&words[0]), word_make(WORD_PENDING, 816));
	CU_ASSERT_EQUAL(stats_sum(&fixture.store.stats, STAT_PUSHES), 2);
}

/* ---- C3: a push that fails reads afresh ---- */

static _Atomic(bool) racing;

static void *resolve_while_pushed(void *arg)
{
	(void)arg;
	while (atomic_load(&racing)) {
		uint64_t pending = word_make(WORD_PENDING, 0);

		if (atomic_load(&words[0]) == pending)
			atomic_compare_exchange_strong(&words[0], &pending,
			                               word_make(WORD_COMMITTED, 320));
	}
	return NULL;
}

static void a_version_committed_under_the_pushing_hand_is_seen_or_pushed_never_missed(void)
{
	unsigned seen = 0, pushed = 0;
	pthread_t thread;

	atomic_store(&words[0], word_make(WORD_COMMITTED, 320));
	atomic_store(&racing, true);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, resolve_while_pushed, NULL), 0);
	for (unsigned i = 0; i < (suite_short() ? 20000u : 200000u); i++) {
		struct reader reader;
		int chosen;

		atomic_store(&words[0], word_make(WORD_PENDING, 0));
		chosen = choose(800, 2, 1, &reader);
		if (chosen == 0)
			seen++;
		else if (atomic_load(&words[0]) == word_make(WORD_PENDING, 800))
			pushed++;
		else
			CU_FAIL("committed below the snapshot, and not seen");
	}
	atomic_store(&racing, false);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(pushed > 0);
	printf("  %u seen, %u pushed\n", seen, pushed);
}

/* ---- threads ---- */

static void what_was_read_is_remembered_for_the_thread(void)
{
	uint64_t end = fixture_put(&fixture, "k", "v");
	struct bwt_buf got = {0};

	fixture.slot->seen_lsn = 0;
	CU_ASSERT_EQUAL(get("absent", READ_NEWEST, &got), BWT_NOT_FOUND);
	CU_ASSERT_EQUAL(fixture.slot->seen_lsn, 0);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_OK);
	CU_ASSERT_TRUE(fixture.slot->seen_lsn > 0 && fixture.slot->seen_lsn <= end);
	free(got.data);
}

static void a_reader_leaves_no_pin_and_no_hold(void)
{
	char large[1001];
	struct bwt_buf got = {0};

	memset(large, 'l', 1000);
	large[1000] = '\0';
	fixture_put(&fixture, "k", large);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_OK);
	CU_ASSERT_FALSE(epoch_pinned(fixture.slot));
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->value_hold), 0);
	free(got.data);
}

/* ---- many keys ---- */

#define MANY 75u

/* What the key with this number has: nothing, inline bytes, or so many that they lie in the value log. */
static size_t many_value(unsigned number, char value[512])
{
	size_t size = number % 4 == 3 ? 400 : number % 4 * 20;

	memset(value, 'a' + (int)(number % 26), size);
	value[size] = '\0';
	return size;
}

static void many_keys_read_at_once_have_the_values_that_each_has_alone(void)
{
	char names[MANY][16], value[512];
	struct bwt_slice keys[MANY];
	struct bwt_buf values[MANY] = {{0}};
	int results[MANY] = {0};
	struct reader reader = {.store = &fixture.store};
	unsigned right = 0;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof names[i], "%u", i);
		keys[i] = text_slice(names[i]);
		if (i % 5 != 4) {
			(void)many_value(i, value);
			fixture_put(&fixture, names[i], value);
		}
	}
	results[7] = BWT_TOO_BIG;
	fixture.slot->seen_lsn = 0;
	CU_ASSERT_EQUAL(read_many(&reader, fixture.tree, fixture.slot, MANY, keys, values, results),
	                BWT_OK);
	for (unsigned i = 0; i < MANY; i++) {
		size_t size = many_value(i, value);

		if (i == 7)
			right += results[i] == BWT_TOO_BIG && values[i].data == NULL;
		else if (i % 5 == 4)
			right += results[i] == BWT_NOT_FOUND && values[i].data == NULL;
		else
			right += results[i] == BWT_OK && values[i].size == size &&
			         (size == 0 || memcmp(values[i].data, value, size) == 0);
		free(values[i].data);
	}
	CU_ASSERT_EQUAL(right, MANY);
	CU_ASSERT_TRUE(fixture.slot->seen_lsn == reader.newest && reader.newest > 0);
	CU_ASSERT_FALSE(epoch_pinned(fixture.slot));
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->value_hold), 0);
}

static void many_keys_are_read_as_of_the_snapshot_and_a_fault_is_told(void)
{
	struct bwt_slice keys[2] = {text_slice("a"), text_slice("b")};
	struct bwt_buf values[2] = {{0}};
	int results[2] = {0};
	struct reader reader = {.store = &fixture.store};

	fixture_put(&fixture, "a", "1");
	reader.snapshot = fixture_snapshot(&fixture);
	fixture_put(&fixture, "a", "2");
	fixture_put(&fixture, "b", "2");
	CU_ASSERT_EQUAL(read_many(&reader, fixture.tree, fixture.slot, 2, keys, values, results),
	                BWT_OK);
	CU_ASSERT_TRUE(results[0] == BWT_OK && *(char *)values[0].data == '1');
	CU_ASSERT_EQUAL(results[1], BWT_NOT_FOUND);
	CU_ASSERT_TRUE(reader.passed);
	results[1] = BWT_OK;
	CU_ASSERT_EQUAL(read_many(&reader, fixture.tree, fixture.slot, 2, keys, NULL, results),
	                BWT_OK);
	CU_ASSERT_TRUE(results[0] == BWT_OK && results[1] == BWT_NOT_FOUND);
	atomic_store(&fixture.store.faulted, 1);
	CU_ASSERT_EQUAL(read_many(&reader, fixture.tree, fixture.slot, 2, keys, values, results),
	                BWT_IO);
	atomic_store(&fixture.store.faulted, 0);
	free(values[0].data);
}

static bool look_at_hold(void *ctx, const char *name, uint64_t hit)
{
	(void)name;
	(void)hit;
	*(uint64_t *)ctx = atomic_load(&fixture.slot->value_hold);
	return false;
}

static void the_first_of_the_files_of_large_values_is_held_until_all_are_read(void)
{
	struct bwt_slice keys[3] = {text_slice("middle"), text_slice("old"), text_slice("new")};
	struct bwt_buf values[3] = {{0}};
	struct reader reader = {.store = &fixture.store};
	int results[3] = {0};
	char *large = malloc(60001); /* one fills a file of this store */
	uint64_t held = 0;

	memset(large, 'l', 60000);
	large[60000] = '\0';
	fixture_put(&fixture, "old", large);
	CU_ASSERT_EQUAL(vlog_append_floor(fixture.store.vlog), 1);
	fixture_put(&fixture, "middle", large);
	fixture_put(&fixture, "new", large);
	CU_ASSERT_TRUE(vlog_append_floor(fixture.store.vlog) >= 3);
	testpoint_set("read_many_large", 0, look_at_hold, &held);
	CU_ASSERT_EQUAL(read_many(&reader, fixture.tree, fixture.slot, 3, keys, values, results),
	                BWT_OK);
	CU_ASSERT_EQUAL(held, 1);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(results[i], BWT_OK);
		CU_ASSERT_EQUAL(values[i].size, 60000);
		free(values[i].data);
	}
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->value_hold), 0);
	free(large);
}

/* ---- damage ---- */

static void a_damaged_large_value_is_corrupt_for_its_key_alone(void)
{
	char large[1001], path[TMPSTORE_PATH_MAX], name[40];
	struct bwt_buf got = {0};
	int fd;

	memset(large, 'l', 1000);
	large[1000] = '\0';
	fixture_put(&fixture, "bad", large);
	large[0] = 'x';
	fixture_put(&fixture, "good", large);
	snprintf(name, sizeof name, "vlog/%016x.vlog", 1);
	tmpstore_join(path, fixture.file.folder, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(pwrite(fd, "?", 1, 500), 1);
	close(fd);
	CU_ASSERT_EQUAL(get("bad", READ_NEWEST, &got), BWT_CORRUPT);
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->value_hold), 0);
	CU_ASSERT_EQUAL(get("bad", READ_NEWEST, NULL), BWT_OK); /* it is there */
	CU_ASSERT_EQUAL(get("good", READ_NEWEST, &got), BWT_OK);
	CU_ASSERT_EQUAL(got.size, 1000);
	free(got.data);
}

static void a_store_whose_mapping_faulted_answers_bwt_io(void)
{
	struct bwt_buf got = {0};

	fixture_put(&fixture, "k", "v");
	atomic_store(&fixture.store.faulted, 1);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_IO);
	atomic_store(&fixture.store.faulted, 0);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_OK);
	free(got.data);
}

static void a_page_that_is_gone_is_corrupt(void)
{
	struct bwt_buf got = {0};
	uint64_t word = mapping_load(&fixture.store.mapping, fixture.tree->root);

	mapping_set(&fixture.store.mapping, fixture.tree->root, 0);
	CU_ASSERT_EQUAL(get("k", READ_NEWEST, &got), BWT_CORRUPT);
	CU_ASSERT_FALSE(epoch_pinned(fixture.slot));
	mapping_set(&fixture.store.mapping, fixture.tree->root, word);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_buffer_grows_and_is_used_again),
		TEST(a_value_of_any_size_comes_back),
		TEST(what_is_not_there_leaves_the_buffer_alone),
		TEST(the_newest_committed_version_below_the_snapshot_is_chosen),
		TEST(a_push_raises_the_floor_to_the_snapshot_and_never_lowers_it),
		TEST(a_version_committed_under_the_pushing_hand_is_seen_or_pushed_never_missed),
		TEST(what_was_read_is_remembered_for_the_thread),
		TEST(a_reader_leaves_no_pin_and_no_hold),
		TEST(many_keys_read_at_once_have_the_values_that_each_has_alone),
		TEST(many_keys_are_read_as_of_the_snapshot_and_a_fault_is_told),
		TEST(the_first_of_the_files_of_large_values_is_held_until_all_are_read),
		TEST(a_damaged_large_value_is_corrupt_for_its_key_alone),
		TEST(a_store_whose_mapping_faulted_answers_bwt_io),
		TEST(a_page_that_is_gone_is_corrupt),
		CU_TEST_INFO_NULL,
	};

	return suite_run("read", set_up, tear_down, tests);
}
