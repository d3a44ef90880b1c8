/* SPDX-License-Identifier: MIT */
/* test_mapping.c - words, the one swap, ids that come back only when nobody can mean the old page (M1 to M6) */
#include "tree/mapping.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define CAPACITY 1024u

static struct mapping mapping;
static struct epoch epoch;
static _Atomic(uint64_t) interval;
static struct epoch_slot *slot;

static void set_up(void)
{
	atomic_store(&interval, 1);
	CU_ASSERT_EQUAL_FATAL(epoch_init(&epoch), 0);
	CU_ASSERT_EQUAL_FATAL(mapping_init(&mapping, &epoch, CAPACITY, &interval), 0);
	slot = epoch_slot(&epoch);
}

static void tear_down(void)
{
	uint64_t words[COW_SEGMENT_WORDS];
	bool dirty;

	testpoint_reset();
	atomic_fetch_add(&interval, 1);
	for (uint64_t s = 0; s < CAPACITY / COW_SEGMENT_WORDS; s++)
		cow_collect(&mapping.table, s, 0, words, &dirty);
	mapping_deinit(&mapping);
	epoch_deinit(&epoch);
}

static page_id alloc(void)
{
	page_id page;

	gate_enter(slot);
	page = mapping_alloc(&mapping);
	gate_leave(slot);
	epoch_unpin(slot);
	return page;
}

static void clear(page_id page)
{
	gate_enter(slot);
	CU_ASSERT_TRUE_FATAL(mapping_touch(&mapping, page));
	mapping_clear(&mapping, page);
	gate_leave(slot);
	epoch_unpin(slot);
}

static void a_word_holds_offset_chain_and_mark(void)
{
	static const arena_off offs[] = {16, 4096, (arena_off)1 << 40, ((arena_off)1 << 52) - 16};

	for (unsigned i = 0; i < sizeof offs / sizeof *offs; i++) {
		for (unsigned chain = 0; chain < 256; chain += 51) {
			uint64_t word = mapping_word(offs[i], chain);

			CU_ASSERT_EQUAL(mapping_head(word), offs[i]);
			CU_ASSERT_EQUAL(mapping_chain(word), chain);
			CU_ASSERT_EQUAL(mapping_mark(word), MAPPING_PAGE);
			word |= (uint64_t)MAPPING_UNSEEN << 56;
			CU_ASSERT_EQUAL(mapping_mark(word), MAPPING_UNSEEN);
			CU_ASSERT_EQUAL(mapping_head(word), offs[i]);
			CU_ASSERT_EQUAL(mapping_chain(word), chain);
			CU_ASSERT_EQUAL(mapping_stored(word), mapping_word(offs[i], chain));
		}
	}
	CU_ASSERT_EQUAL(mapping_stored((uint64_t)MAPPING_DROPPED << 56),
	                (uint64_t)MAPPING_DROPPED << 56);
}

static void a_swap_succeeds_for_who_saw_the_newest_word(void)
{
	page_id page = alloc();
	uint64_t first = mapping_word(64, 0), second = mapping_word(128, 1);

	CU_ASSERT_NOT_EQUAL_FATAL(page, 0);
	mapping_set(&mapping, page, first);
	CU_ASSERT_FALSE(mapping_swap(&mapping, page, second, first));
	CU_ASSERT_EQUAL(mapping_load(&mapping, page), first);
	CU_ASSERT_TRUE(mapping_swap(&mapping, page, first, second));
	CU_ASSERT_FALSE(mapping_swap(&mapping, page, first, second));
	CU_ASSERT_EQUAL(mapping_load(&mapping, page), second);
}

static void ids_begin_at_one_and_are_all_different(void)
{
	for (page_id expected = 1; expected < 100; expected++)
		CU_ASSERT_EQUAL(alloc(), expected);
	CU_ASSERT_EQUAL(atomic_load(&mapping.used), 99);
}

static void an_id_that_was_never_reachable_comes_back_at_once(void)
{
	page_id page = alloc();

	gate_enter(slot);
	mapping_unalloc(&mapping, page);
	CU_ASSERT_EQUAL(mapping_alloc(&mapping), page);
	gate_leave(slot);
	epoch_unpin(slot);
	CU_ASSERT_EQUAL(atomic_load(&mapping.used), 1);
}

static void when_all_ids_are_taken_there_is_none(void)
{
	for (unsigned i = 1; i < CAPACITY; i++)
		if (alloc() == 0)
			CU_FAIL_FATAL("too few ids");
	CU_ASSERT_EQUAL(alloc(), 0);
	clear(77);
	CU_ASSERT_EQUAL(alloc(), 0); /* still in limbo */
	mapping_reclaim(&mapping);
	CU_ASSERT_EQUAL(alloc(), 77);
	CU_ASSERT_EQUAL(alloc(), 0);
}

static void without_memory_there_is_no_id_and_none_is_lost(void)
{
	page_id page = alloc();

	atomic_fetch_add(&interval, 1);
	testpoint_set("cow_no_memory", 1, NULL, NULL);
	CU_ASSERT_EQUAL(alloc(), 0);
	CU_ASSERT_EQUAL(atomic_load(&mapping.used), 1);
	CU_ASSERT_EQUAL(alloc(), page + 1);
}

/* ---- M5 ---- */

static void hold_pin(void *arg)
{
	struct epoch_slot *own = epoch_slot(&epoch);

	(void)arg;
	epoch_pin(own);
	TEST_YIELD("test_pinned");
	epoch_unpin(own);
}

/* A page goes while a thread is pinned that may have seen its word; true if its id waits for that thread. */
static bool an_id_waits_for_pins(void)
{
	page_id page = alloc(), early;
	struct actor reader;

	mapping_set(&mapping, page, mapping_word(64, 0));
	actor_start(&reader, "test_pinned", hold_pin, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&reader));
	clear(page);
	CU_ASSERT_EQUAL(mapping_load(&mapping, page), 0);
	mapping_reclaim(&mapping);
	early = alloc();
	actor_finish(&reader);
	mapping_reclaim(&mapping);
	CU_ASSERT_TRUE(early == page || alloc() == page);
	return early != page;
}

static void a_freed_id_waits_for_those_who_were_pinned(void)
{
	CU_ASSERT_TRUE(an_id_waits_for_pins());
}

static void an_id_that_does_not_wait_is_noticed(void)
{
	testpoint_set("epoch_pins_unseen", 0, NULL, NULL);
	CU_ASSERT_FALSE(an_id_waits_for_pins());
}

/* ---- M6 ---- */

static void the_mark_of_an_unseen_page_is_taken_off_once(void)
{
	page_id page = alloc();
	uint64_t plain = mapping_word(64, 3), unseen = plain | (uint64_t)MAPPING_UNSEEN << 56;

	mapping_set(&mapping, page, unseen);
	CU_ASSERT_EQUAL(mapping_seen(&mapping, page, unseen), plain);
	CU_ASSERT_EQUAL(mapping_load(&mapping, page), plain);
	/* A writer was first: his word stays. */
	mapping_set(&mapping, page, mapping_word(128, 4));
	CU_ASSERT_EQUAL(mapping_seen(&mapping, page, unseen), plain);
	CU_ASSERT_EQUAL(mapping_load(&mapping, page), mapping_word(128, 4));
}

/* ---- opening ---- */

static void after_opening_the_holes_are_free_and_the_rest_in_use(void)
{
	uint64_t words[COW_SEGMENT_WORDS] = {0};
	bool seen[10] = {false};

	words[1] = mapping_word(64, 0);
	words[3] = mapping_word(128, 2);
	words[6] = (uint64_t)MAPPING_DROPPED << 56; /* freed by its parent later: in use */
	cow_restore(&mapping.table, 0, words);
	mapping_finish(&mapping, 8);
	CU_ASSERT_EQUAL(atomic_load(&mapping.used), 3);
	for (unsigned i = 0; i < 4; i++) { /* 2, 4, 5, 7 */
		page_id page = alloc();

		CU_ASSERT_TRUE_FATAL(page < 8);
		CU_ASSERT_EQUAL(words[page], 0);
		CU_ASSERT_FALSE(seen[page]);
		seen[page] = true;
	}
	CU_ASSERT_EQUAL(alloc(), 8);
}

/* ---- K1 ---- */

static void a_cut_has_the_words_as_they_were(void)
{
	uint64_t words[COW_SEGMENT_WORDS];
	page_id page = alloc(), next;
	bool dirty;

	mapping_set(&mapping, page, mapping_word(64, 0));
	atomic_fetch_add(&interval, 1);
	gate_enter(slot);
	CU_ASSERT_TRUE(mapping_touch(&mapping, page));
	CU_ASSERT_TRUE(mapping_swap(&mapping, page, mapping_word(64, 0), mapping_word(128, 1)));
	next = mapping_alloc(&mapping);
	mapping_set(&mapping, next, mapping_word(256, 0));
	gate_leave(slot);
	epoch_unpin(slot);
	cow_collect(&mapping.table, 0, 1, words, &dirty);
	CU_ASSERT_TRUE(dirty);
	CU_ASSERT_EQUAL(words[page], mapping_word(64, 0));
	CU_ASSERT_EQUAL(words[next], 0);
	cow_collect(&mapping.table, 1, 1, words, &dirty);
}

/* ---- threads ---- */

static _Atomic(uint32_t) owner[CAPACITY]; /* of each id, 0: nobody */

static void *take_and_give(void *arg)
{
	struct epoch_slot *own = epoch_slot(&epoch);
	page_id mine[16] = {0};
	struct rng rng;

	rng_init(&rng, *(uint64_t *)arg);
	for (unsigned i = 0; i < (suite_short() ? 3000u : 50000u); i++) {
		page_id *page = &mine[rng_below(&rng, 16)];

		gate_enter(own);
		if (*page != 0) {
			if (atomic_exchange(&owner[*page], 0) != own->index + 1)
				CU_FAIL("an id had two owners");
			if (rng_chance(&rng, 50))
				mapping_clear(&mapping, *page);
			else
				mapping_unalloc(&mapping, *page);
			*page = 0;
		} else {
			*page = mapping_alloc(&mapping);
			if (*page != 0 && atomic_exchange(&owner[*page], own->index + 1) != 0)
				CU_FAIL("an id was handed out twice");
		}
		gate_leave(own);
		epoch_unpin(own);
		if (rng_chance(&rng, 5))
			mapping_reclaim(&mapping);
	}
	for (unsigned i = 0; i < 16; i++)
		if (mine[i] != 0)
			atomic_store(&owner[mine[i]], 0);
	return NULL;
}

static void threads_never_share_an_id(void)
{
	uint64_t seeds[4], seed = rng_seed();
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		seeds[i] = seed + i;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, take_and_give, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CU_ASSERT_TRUE(atomic_load(&mapping.used) <= 64);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_word_holds_offset_chain_and_mark),
		TEST(a_swap_succeeds_for_who_saw_the_newest_word),
		TEST(ids_begin_at_one_and_are_all_different),
		TEST(an_id_that_was_never_reachable_comes_back_at_once),
		TEST(when_all_ids_are_taken_there_is_none),
		TEST(without_memory_there_is_no_id_and_none_is_lost),
		TEST(a_freed_id_waits_for_those_who_were_pinned),
		TEST(an_id_that_does_not_wait_is_noticed),
		TEST(the_mark_of_an_unseen_page_is_taken_off_once),
		TEST(after_opening_the_holes_are_free_and_the_rest_in_use),
		TEST(a_cut_has_the_words_as_they_were),
		TEST(threads_never_share_an_id),
		CU_TEST_INFO_NULL,
	};

	return suite_run("mapping", set_up, tear_down, tests);
}
