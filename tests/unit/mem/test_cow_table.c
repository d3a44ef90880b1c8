/* SPDX-License-Identifier: MIT */
/* test_cow_table.c - the picture as of the cut, whatever writers do meanwhile (T1 to T3) */
#include "mem/cow_table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define SEGMENTS 6u
#define WORDS (SEGMENTS * COW_SEGMENT_WORDS)

static struct cow_table table;
static _Atomic(uint64_t) interval;

static void set_up(void)
{
	atomic_store(&interval, 1);
	CU_ASSERT_EQUAL_FATAL(cow_init(&table, WORDS, &interval), 0);
}

/* Pictures that nobody took would leak: take them (T3). */
static void tear_down(void)
{
	uint64_t words[COW_SEGMENT_WORDS];
	bool dirty;

	testpoint_reset();
	atomic_fetch_add(&interval, 1);
	for (uint64_t s = 0; s < SEGMENTS; s++)
		cow_collect(&table, s, 0, words, &dirty);
	cow_deinit(&table);
}

static void change(uint64_t index, uint64_t value)
{
	CU_ASSERT_TRUE_FATAL(cow_touch(&table, index));
	atomic_store(&table.words[index], value);
}

static void cut(void)
{
	atomic_fetch_add(&interval, 1);
}

/* Collect segment @s; words it as of the cut. */
static bool collect(uint64_t s, uint64_t since, uint64_t *words)
{
	bool dirty;

	cow_collect(&table, s, since, words, &dirty);
	return dirty;
}

static void collect_all(uint64_t since)
{
	uint64_t words[COW_SEGMENT_WORDS];

	for (uint64_t s = 0; s < SEGMENTS; s++)
		collect(s, since, words);
}

static void a_fresh_table_is_zero_and_clean(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	CU_ASSERT_EQUAL(cow_load(&table, 0), 0);
	CU_ASSERT_EQUAL(cow_load(&table, WORDS - 1), 0);
	cut();
	for (uint64_t s = 0; s < SEGMENTS; s++) {
		CU_ASSERT_FALSE(collect(s, 1, words));
		CU_ASSERT_EQUAL(words[0] | words[COW_SEGMENT_WORDS - 1], 0);
	}
}

static void the_capacity_is_rounded_up_to_whole_segments(void)
{
	struct cow_table small;

	CU_ASSERT_EQUAL_FATAL(cow_init(&small, 1, &interval), 0);
	CU_ASSERT_EQUAL(small.capacity, COW_SEGMENT_WORDS);
	CU_ASSERT_TRUE(cow_touch(&small, COW_SEGMENT_WORDS - 1));
	cow_deinit(&small);
	CU_ASSERT_EQUAL_FATAL(cow_init(&small, COW_SEGMENT_WORDS + 1, &interval), 0);
	CU_ASSERT_EQUAL(small.capacity, 2 * COW_SEGMENT_WORDS);
	cow_deinit(&small);
}

static void only_changed_segments_are_dirty(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	change(COW_SEGMENT_WORDS - 1, 7);
	change(3 * COW_SEGMENT_WORDS, 8);
	cut();
	for (uint64_t s = 0; s < SEGMENTS; s++)
		CU_ASSERT_EQUAL(collect(s, 1, words), s == 0 || s == 3);
	CU_ASSERT_EQUAL(words[0], 0);
}

static void the_second_picture_of_an_unchanged_segment_is_clean(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	change(0, 7);
	cut();
	collect_all(1);
	cut();
	CU_ASSERT_FALSE(collect(0, 2, words)); /* an image of interval 2's cut has it */
	CU_ASSERT_EQUAL(words[0], 7);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 2, words);
	cut();
	CU_ASSERT_TRUE(collect(0, 1, words)); /* one that builds on an older image needs it */
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 2, words);
}

/* A word changes after the cut; is the picture the one before? */
static bool picture_survives_a_change(void)
{
	uint64_t words[COW_SEGMENT_WORDS];
	bool dirty;

	change(5, 1);
	cut();
	change(5, 2);
	change(6, 3);
	change(5, 4);
	dirty = collect(0, 1, words);
	CU_ASSERT_EQUAL(cow_load(&table, 5), 4);
	return dirty && words[5] == 1 && words[6] == 0;
}

static void changes_after_the_cut_are_not_in_the_picture(void)
{
	CU_ASSERT_TRUE(picture_survives_a_change());
}

static void a_change_without_a_copy_is_noticed(void)
{
	testpoint_set("cow_no_copy", 0, NULL, NULL);
	CU_ASSERT_FALSE(picture_survives_a_change());
}

static void changes_after_the_cut_are_in_the_next_picture(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	cut();
	change(5, 2);
	CU_ASSERT_FALSE(collect(0, 1, words)); /* the change was after the cut */
	CU_ASSERT_EQUAL(words[5], 0);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 1, words);
	change(5, 3); /* the picture is taken: no copy is needed any more */
	cut();
	CU_ASSERT_TRUE(collect(0, 2, words));
	CU_ASSERT_EQUAL(words[5], 3);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 2, words);
}

static void without_memory_for_the_copy_nothing_may_change(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	change(0, 1);
	cut();
	testpoint_set("cow_no_memory", 1, NULL, NULL);
	CU_ASSERT_FALSE(cow_touch(&table, 0));
	CU_ASSERT_TRUE(cow_touch(&table, 0)); /* the next one may succeed */
	atomic_store(&table.words[0], 2);
	CU_ASSERT_TRUE(collect(0, 1, words));
	CU_ASSERT_EQUAL(words[0], 1);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 1, words);
}

static void before_the_first_cut_no_copies_are_made(void)
{
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	change(0, 1);
	change(0, 2);
	CU_ASSERT_EQUAL(testpoint_hits("cow_no_memory"), 0);
}

static void restored_words_count_as_unchanged(void)
{
	uint64_t words[COW_SEGMENT_WORDS];

	for (unsigned i = 0; i < COW_SEGMENT_WORDS; i++)
		words[i] = i * 3;
	cow_restore(&table, 2, words);
	CU_ASSERT_EQUAL(cow_load(&table, 2 * COW_SEGMENT_WORDS + 9), 27);
	CU_ASSERT_EQUAL(cow_load(&table, 3 * COW_SEGMENT_WORDS), 0);
	cut();
	CU_ASSERT_FALSE(collect(2, 1, words));
	CU_ASSERT_EQUAL(words[9], 27);
	for (uint64_t s = 0; s < SEGMENTS; s++)
		if (s != 2)
			collect(s, 1, words);
}

/* ---- writer and checkpointer at the same segment ---- */

static void touch_and_change(void *arg)
{
	(void)arg;
	change(5, 2);
}

struct collection {
	uint64_t words[COW_SEGMENT_WORDS];
	bool dirty;
};

static void collect_segment(void *arg)
{
	struct collection *collection = arg;

	cow_collect(&table, 0, 1, collection->words, &collection->dirty);
}

static void a_writer_that_comes_while_the_words_are_read_hands_its_copy_over(void)
{
	struct collection collection;
	struct actor checkpointer;

	change(5, 1);
	cut();
	actor_start(&checkpointer, "cow_collect", collect_segment, &collection);
	CU_ASSERT_TRUE_FATAL(actor_await(&checkpointer));
	change(5, 2);
	change(6, 2);
	actor_finish(&checkpointer);
	CU_ASSERT_TRUE(collection.dirty);
	CU_ASSERT_EQUAL(collection.words[5], 1);
	CU_ASSERT_EQUAL(collection.words[6], 0);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 1, collection.words);
}

static void a_writer_that_comes_late_finds_the_picture_taken(void)
{
	struct collection collection;
	struct actor writer;

	change(5, 1);
	cut();
	actor_start(&writer, "cow_publish", touch_and_change, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	collect_segment(&collection);
	CU_ASSERT_EQUAL(collection.words[5], 1);
	actor_finish(&writer);
	CU_ASSERT_EQUAL(cow_load(&table, 5), 2);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 1, collection.words);
	cut();
	CU_ASSERT_TRUE(collect(0, 2, collection.words));
	CU_ASSERT_EQUAL(collection.words[5], 2);
	for (uint64_t s = 1; s < SEGMENTS; s++)
		collect(s, 2, collection.words);
}

/* Threads change words under a lock that stands for the gate; each cut notes what a picture must show. */
struct writers {
	pthread_rwlock_t gate; /* writers share it, the cut has it alone */
	_Atomic(bool) stop;
	_Atomic(uint64_t) seed;
};

static void *write_words(void *arg)
{
	struct writers *writers = arg;
	struct rng rng;

	rng_init(&rng, atomic_fetch_add(&writers->seed, 1));
	while (!atomic_load(&writers->stop)) {
		uint64_t index = rng_below(&rng, WORDS);

		pthread_rwlock_rdlock(&writers->gate);
		if (cow_touch(&table, index))
			atomic_fetch_add(&table.words[index], 1);
		pthread_rwlock_unlock(&writers->gate);
	}
	return NULL;
}

static void pictures_are_of_one_instant_while_writers_go_on(void)
{
	struct writers writers = {.seed = rng_seed()};
	unsigned rounds = suite_short() ? 30 : 300;
	uint64_t *expected = malloc(WORDS * sizeof *expected);
	uint64_t words[COW_SEGMENT_WORDS];
	pthread_t threads[2];

	pthread_rwlock_init(&writers.gate, NULL);
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, write_words, &writers), 0);
	for (unsigned round = 0; round < rounds; round++) {
		pthread_rwlock_wrlock(&writers.gate);
		for (unsigned i = 0; i < WORDS; i++)
			expected[i] = cow_load(&table, i);
		cut();
		pthread_rwlock_unlock(&writers.gate);
		for (uint64_t s = 0; s < SEGMENTS; s++) {
			collect(s, 1, words);
			if (memcmp(words, expected + s * COW_SEGMENT_WORDS, sizeof words) != 0)
				CU_FAIL("a picture is not as of its cut");
		}
	}
	atomic_store(&writers.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_rwlock_destroy(&writers.gate);
	free(expected);
}

/* A checkpoint that failed, and then the store is closed. In a build with ASan a lost copy fails the test. */
static void copies_that_nobody_collected_go_with_the_table(void)
{
	cut();
	for (uint64_t s = 0; s < SEGMENTS; s++)
		CU_ASSERT_TRUE(cow_touch(&table, s * COW_SEGMENT_WORDS));
	CU_ASSERT_EQUAL(atomic_load(&table.copies_end), SEGMENTS);
	cow_deinit(&table);
	CU_ASSERT_PTR_NULL(table.segments);
	set_up();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_fresh_table_is_zero_and_clean),
		TEST(the_capacity_is_rounded_up_to_whole_segments),
		TEST(only_changed_segments_are_dirty),
		TEST(the_second_picture_of_an_unchanged_segment_is_clean),
		TEST(changes_after_the_cut_are_not_in_the_picture),
		TEST(a_change_without_a_copy_is_noticed),
		TEST(changes_after_the_cut_are_in_the_next_picture),
		TEST(without_memory_for_the_copy_nothing_may_change),
		TEST(before_the_first_cut_no_copies_are_made),
		TEST(restored_words_count_as_unchanged),
		TEST(a_writer_that_comes_while_the_words_are_read_hands_its_copy_over),
		TEST(a_writer_that_comes_late_finds_the_picture_taken),
		TEST(pictures_are_of_one_instant_while_writers_go_on),
		TEST(copies_that_nobody_collected_go_with_the_table),
		CU_TEST_INFO_NULL,
	};

	return suite_run("cow_table", set_up, tear_down, tests);
}
