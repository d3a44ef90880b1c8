/* SPDX-License-Identifier: MIT */
/* test_write.c - one version onto the leaf of its key: the swap, its loser, chains at their limits */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/actor.h"
#include "tests/unit/tree/tree_fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, 4096, 1000); /* no consolidation but at the limits */
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

static struct version_spec spec_of(unsigned number, const char *value, struct key_text *text)
{
	struct version_spec spec = {.value = value, .value_size = (uint32_t)strlen(value)};

	spec.key = key_of(number, text);
	spec.hash = key_hash(spec.key);
	return spec;
}

/* tree_prepend() of a committed version at @place, in a gate section of its own; pinned. */
static int prepend_at(const struct place *place, const struct version_spec *spec)
{
	struct leaf_delta *delta;
	int rc;

	CU_ASSERT_TRUE_FATAL(gate_try_enter(fixture.slot));
	rc = tree_prepend(&fixture.tree, fixture.slot, place, spec, word_make(WORD_COMMITTED, 16),
	                  &delta);
	gate_leave(fixture.slot);
	return rc;
}

static void prepare(const struct version_spec *spec)
{
	CU_ASSERT_EQUAL_FATAL(extent_prepare(&fixture.extents, fixture.slot, CHUNK_DELTA,
	                                     tree_prepend_room(spec), URGENCY_PUT),
	                      BWT_OK);
}

static void a_prepended_version_is_the_newest_of_its_key(void)
{
	struct place place;

	fixture_put(&fixture, 1, "one");
	fixture_put(&fixture, 1, "two");
	fixture_put(&fixture, 2, "other");
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "two"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 2, NEWEST, "other"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 3, NEWEST, NULL));
	place = fixture_locate(&fixture, 1);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(mapping_chain(place.word), 3);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void the_delta_is_what_was_asked_for(void)
{
	struct key_text text;
	struct version_spec spec = spec_of(9, "value", &text);
	struct leaf_delta *delta;
	int rc;

	delta = fixture_add(&fixture, &spec, word_make(WORD_PENDING, 0), &rc);
	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&delta->lsn_word), word_make(WORD_PENDING, 0));
	CU_ASSERT_EQUAL(delta->head.page, fixture.tree.root);
	CU_ASSERT_EQUAL(delta->head.tree, 7);
	CU_ASSERT_EQUAL(key_compare(leaf_delta_key(delta), spec.key), 0);
	CU_ASSERT_TRUE(block_valid(&delta->head, delta->head.size)); /* M2: sealed */
	CU_ASSERT_EQUAL(delta->head.lsn, atomic_load(&fixture.clock) + 16);
}

static void keys_and_values_of_any_size_go_in(void)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 255, 4096, BWT_KEY_MAX};
	char *bytes = malloc(BWT_KEY_MAX);

	memset(bytes, 'k', BWT_KEY_MAX);
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct version_spec spec = {
			.key = {bytes, sizes[i]}, .value = bytes, .value_size = (uint32_t)sizes[i]};
		struct page_entry entry;
		struct version_walk walk;
		struct place place;
		int rc;

		spec.hash = key_hash(spec.key);
		fixture_add(&fixture, &spec, word_make(WORD_COMMITTED, 16 * (i + 1)), &rc);
		CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
		epoch_pin(fixture.slot);
		CU_ASSERT_EQUAL(tree_descend(&fixture.tree, spec.key, false, 0, &place, NULL),
		                BWT_OK);
		version_walk_init(&walk, fixture.arena.base, place_head(&place), spec.key, spec.hash);
		CU_ASSERT_TRUE_FATAL(version_walk_next(&walk, &entry));
		CU_ASSERT_EQUAL(entry.value_size, sizes[i]);
		CU_ASSERT_FALSE(version_walk_next(&walk, &entry));
		epoch_unpin(fixture.slot);
	}
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	free(bytes);
}

/* ---- who is first ---- */

static void a_place_that_is_not_the_newest_is_busy_and_changes_nothing(void)
{
	struct key_text text;
	struct version_spec spec = spec_of(2, "late", &text);
	struct place place = fixture_locate(&fixture, 1);
	uint64_t next;

	epoch_unpin(fixture.slot);
	fixture_put(&fixture, 1, "first");
	prepare(&spec);
	next = atomic_load(&fixture.slot->chunk[CHUNK_DELTA].next);
	epoch_pin(fixture.slot);
	CU_ASSERT_EQUAL(prepend_at(&place, &spec), BWT_BUSY);
	/* Its bytes are free again, and nothing of it is left. */
	CU_ASSERT_EQUAL(atomic_load(&fixture.slot->chunk[CHUNK_DELTA].next), next);
	CU_ASSERT_TRUE(place_reload(&fixture.tree, &place, spec.key));
	CU_ASSERT_EQUAL(mapping_chain(place.word), 1);
	CU_ASSERT_EQUAL(prepend_at(&place, &spec), BWT_OK);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(stats_sum(&fixture.stats, STAT_SWAPS_LOST), 1);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "first"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 2, NEWEST, "late"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void put_beside(void *arg)
{
	fixture_put(&fixture, 1, arg);
}

static void the_loser_of_a_swap_comes_after_the_winner(void)
{
	struct actor writer;

	actor_start(&writer, "prepend_swap", put_beside, "loser");
	CU_ASSERT_TRUE_FATAL(actor_await(&writer));
	fixture_put(&fixture, 1, "winner");
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "winner"));
	actor_finish(&writer);
	/* The chain has both; order among them is the commit protocol's business. */
	CU_ASSERT_EQUAL(stats_sum(&fixture.stats, STAT_SWAPS_LOST), 1);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "loser"));
	CU_ASSERT_TRUE(mapping_chain(mapping_load(&fixture.mapping, fixture.tree.root)) == 2);
	CU_ASSERT_EQUAL(
		chain_version_count(fixture.arena.base,
	                            mapping_head(mapping_load(&fixture.mapping, fixture.tree.root))),
		2);
}

static void without_memory_for_the_picture_nothing_is_written(void)
{
	struct key_text text;
	struct version_spec spec = spec_of(2, "never", &text);
	struct place place;

	fixture_put(&fixture, 1, "one");
	prepare(&spec);
	place = fixture_locate(&fixture, 1);
	atomic_fetch_add(&fixture.interval, 1);
	testpoint_set("cow_no_memory", 0, NULL, NULL);
	CU_ASSERT_EQUAL(prepend_at(&place, &spec), -ENOMEM);
	testpoint_reset();
	atomic_fetch_sub(&fixture.interval, 1);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(mapping_load(&fixture.mapping, place.page), place.word);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* ---- limits of chains ---- */

static void nobody_prepends_to_a_full_chain(void)
{
	struct key_text text;
	struct version_spec spec = spec_of(500, "no", &text);
	struct place place;

	fixture_free(&fixture);
	fixture_new(&fixture, 65536, 1000);
	fixture_fill(&fixture, 0, DELTA_CHAIN_MAX);
	prepare(&spec);
	place = fixture_locate(&fixture, 0);
	CU_ASSERT_EQUAL(mapping_chain(place.word), DELTA_CHAIN_MAX);
	CU_ASSERT_EQUAL(prepend_at(&place, &spec), BWT_BUSY);
	/* Looking for the place to write makes room. */
	CU_ASSERT_EQUAL(tree_locate(&fixture.tree, fixture.slot, spec.key, URGENCY_PUT, &place),
	                BWT_OK);
	CU_ASSERT_EQUAL(mapping_chain(place.word), 0);
	epoch_unpin(fixture.slot);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, DELTA_CHAIN_MAX));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void chains_of_big_deltas_are_short(void)
{
	char *value = malloc(20001);

	memset(value, 'b', 20000);
	value[20000] = '\0';
	for (unsigned i = 0; i < 30; i++) {
		struct place place;

		value[0] = (char)('a' + i % 26);
		fixture_put(&fixture, i, value);
		place = fixture_locate(&fixture, i);
		epoch_unpin(fixture.slot);
		CU_ASSERT_TRUE(mapping_chain(place.word) <= 4);
	}
	CU_ASSERT_TRUE(fixture_has(&fixture, 29, NEWEST, value));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	free(value);
}

static void a_chain_is_consolidated_after_the_write_that_made_it_long(void)
{
	fixture_free(&fixture);
	fixture_new(&fixture, 4096, 5);
	for (unsigned i = 0; i < 200; i++) {
		struct place place;

		fixture_fill(&fixture, i, i + 1);
		place = fixture_locate(&fixture, i);
		epoch_unpin(fixture.slot);
		CU_ASSERT_TRUE(mapping_chain(place.word) < 5);
	}
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 200));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_pending_version_keeps_only_its_chain_long(void)
{
	struct leaf_delta *delta;

	fixture_free(&fixture);
	fixture_new(&fixture, 4096, 5);
	delta = fixture_pending(&fixture, 1, "pending");
	for (unsigned i = 0; i < 20; i++)
		fixture_put(&fixture, 2, "x");
	CU_ASSERT_EQUAL(word_state(atomic_load(&delta->lsn_word)), WORD_PENDING);
	CU_ASSERT_EQUAL(mapping_chain(mapping_load(&fixture.mapping, fixture.tree.root)), 21);
	atomic_store(&delta->lsn_word, word_make(WORD_ABORTED, 0));
	fixture_put(&fixture, 2, "x");
	CU_ASSERT_EQUAL(mapping_chain(mapping_load(&fixture.mapping, fixture.tree.root)), 0);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

/* ---- a full store ---- */

static void a_full_store_refuses_puts_and_keeps_what_it_has(void)
{
	struct key_text text;
	struct version_spec spec;
	char *value = malloc(30001);
	unsigned count = 0;
	int rc = BWT_OK;

	memset(value, 'f', 30000);
	value[30000] = '\0';
	while (rc == BWT_OK) {
		spec = spec_of(count, value, &text);
		fixture_add(&fixture, &spec,
		            word_make(WORD_COMMITTED, atomic_fetch_add(&fixture.clock, 16) + 16),
		            &rc);
		count += rc == BWT_OK;
	}
	CU_ASSERT_EQUAL(rc, BWT_FULL);
	CU_ASSERT_TRUE(count > 500);
	for (unsigned i = 0; i < count; i += 17)
		CU_ASSERT_TRUE(fixture_has(&fixture, i, NEWEST, value));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	free(value);
}

struct writer {
	unsigned number;
	pthread_t thread;
};

static void *write_one_key_each(void *arg)
{
	const struct writer *writer = arg;
	char value[16];

	for (unsigned i = 0; i < (suite_short() ? 300u : 3000u); i++) {
		snprintf(value, sizeof value, "%u", i);
		fixture_put(&fixture, writer->number, value);
		if (!fixture_has(&fixture, writer->number, NEWEST, value))
			CU_FAIL("a thread does not see its own write");
	}
	return NULL;
}

static void threads_at_one_leaf_lose_no_write(void)
{
	struct writer writers[4];

	fixture_free(&fixture);
	fixture_new(&fixture, 4096, 8);
	for (unsigned i = 0; i < 4; i++) {
		writers[i].number = i;
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&writers[i].thread, NULL, write_one_key_each, &writers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(writers[i].thread, NULL);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_prepended_version_is_the_newest_of_its_key),
		TEST(the_delta_is_what_was_asked_for),
		TEST(keys_and_values_of_any_size_go_in),
		TEST(a_place_that_is_not_the_newest_is_busy_and_changes_nothing),
		TEST(the_loser_of_a_swap_comes_after_the_winner),
		TEST(without_memory_for_the_picture_nothing_is_written),
		TEST(nobody_prepends_to_a_full_chain),
		TEST(chains_of_big_deltas_are_short),
		TEST(a_chain_is_consolidated_after_the_write_that_made_it_long),
		TEST(a_pending_version_keeps_only_its_chain_long),
		TEST(a_full_store_refuses_puts_and_keeps_what_it_has),
		TEST(threads_at_one_leaf_lose_no_write),
		CU_TEST_INFO_NULL,
	};

	return suite_run("write", set_up, tear_down, tests);
}
