/* SPDX-License-Identifier: MIT */
/* test_consolidate.c - what stays of a chain: pruning against its definition, C1, cutting into pages */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/actor.h"
#include "tests/support/rng.h"
#include "tests/unit/tree/tree_fixture.h"

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

/* ---- versions_prune ---- */

#define VERSIONS_MAX 9u

struct history { /* versions of one key, newest first, and who may look */
	struct page_entry versions[VERSIONS_MAX];
	unsigned count;
	struct horizon horizon;
};

static void make_history(struct history *history, struct rng *rng)
{
	uint64_t lsn = 20 + rng_below(rng, 20);

	memset(history, 0, sizeof *history);
	history->count = (unsigned)rng_range(rng, 1, VERSIONS_MAX);
	for (unsigned i = 0; i < history->count; i++) {
		history->versions[i].lsn = lsn;
		history->versions[i].flags = rng_chance(rng, 30) ? VERSION_TOMBSTONE : 0;
		lsn -= lsn == 0 ? 0 : rng_range(rng, 1, 5);
		if (lsn > 40 || (lsn == 0 && i + 2 < history->count)) { /* it went below 0 */
			history->count = i + 1;
			break;
		}
	}
	history->horizon.future = rng_below(rng, 45);
	for (uint64_t s = 1; s < history->horizon.future; s++)
		if (rng_chance(rng, 15))
			history->horizon.lsn[history->horizon.count++] = s;
}

/* What a snapshot sees by the definition (I2): LSN of the value, or -1. @keep NULL: all versions are there. */
static int64_t seen_by(const struct history *history, const bool *keep, uint64_t snapshot)
{
	for (unsigned i = 0; i < history->count; i++) {
		if ((keep != NULL && !keep[i]) || history->versions[i].lsn >= snapshot)
			continue;
		return (history->versions[i].flags & VERSION_TOMBSTONE) != 0
		               ? -1
		               : (int64_t)history->versions[i].lsn;
	}
	return -1;
}

/* Can @snapshot exist, now or later? */
static bool possible(const struct horizon *horizon, uint64_t snapshot)
{
	bool live = snapshot >= horizon->future;

	for (unsigned i = 0; i < horizon->count; i++)
		live = live || horizon->lsn[i] == snapshot;
	return live;
}

/* Everybody sees of what is kept what he saw before. */
static bool nobody_notices(const struct history *history, const bool *keep)
{
	for (uint64_t s = 0; s <= 50; s++)
		if (possible(&history->horizon, s) &&
		    seen_by(history, NULL, s) != seen_by(history, keep, s))
			return false;
	return true;
}

/* Is version @i seen by somebody, or needed to hide what lies below it? */
static bool needed(const struct history *history, const bool *keep, unsigned i)
{
	bool without[VERSIONS_MAX];

	memcpy(without, keep, sizeof without);
	without[i] = false;
	return !nobody_notices(history, without);
}

static unsigned prune(const struct history *history, bool *keep)
{
	memset(keep, 0, VERSIONS_MAX * sizeof *keep);
	return versions_prune(history->versions, history->count, &history->horizon, keep);
}

static void pruning_changes_nothing_for_any_snapshot(void)
{
	struct history history;
	bool keep[VERSIONS_MAX];
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < 100000; round++) {
		unsigned kept, sum = 0;

		make_history(&history, &rng);
		kept = prune(&history, keep);
		for (unsigned i = 0; i < history.count; i++)
			sum += keep[i];
		if (kept != sum || !nobody_notices(&history, keep)) {
			CU_FAIL("a snapshot sees something else after pruning");
			return;
		}
	}
}

static void pruning_keeps_no_value_that_nobody_sees(void)
{
	struct history history;
	bool keep[VERSIONS_MAX];
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < 100000; round++) {
		make_history(&history, &rng);
		prune(&history, keep);
		/* A tombstone may stay where another one below it would do; a value may not. */
		for (unsigned i = 0; i < history.count; i++) {
			if (keep[i] && (history.versions[i].flags & VERSION_TOMBSTONE) == 0 &&
			    !needed(&history, keep, i)) {
				CU_FAIL("a value is kept for nobody");
				return;
			}
		}
	}
}

static void a_pruning_that_drops_what_a_snapshot_sees_is_noticed(void)
{
	struct history history = {.count = 2};
	bool keep[VERSIONS_MAX];

	history.versions[0].lsn = 20;
	history.versions[1].lsn = 10;
	history.horizon = (struct horizon){.future = 30, .count = 1, .lsn = {15}};
	CU_ASSERT_EQUAL(prune(&history, keep), 2);
	CU_ASSERT_TRUE(nobody_notices(&history, keep));
	testpoint_set("prune_visible", 0, NULL, NULL);
	prune(&history, keep);
	CU_ASSERT_FALSE(nobody_notices(&history, keep));
}

static void a_lone_tombstone_goes_when_everybody_sees_it(void)
{
	struct history history = {.count = 1};
	bool keep[VERSIONS_MAX];

	history.versions[0] = (struct page_entry){.lsn = 10, .flags = VERSION_TOMBSTONE};
	history.horizon = (struct horizon){.future = 11};
	CU_ASSERT_EQUAL(prune(&history, keep), 0);
	history.horizon = (struct horizon){.future = 10};
	CU_ASSERT_EQUAL(prune(&history, keep), 1);
	/* In front of everybody who may come, but not of one who is there. */
	history.horizon = (struct horizon){.future = 11, .count = 1, .lsn = {10}};
	CU_ASSERT_EQUAL(prune(&history, keep), 1);
}

static void with_a_horizon_of_zero_everything_stays(void)
{
	struct history history;
	bool keep[VERSIONS_MAX];
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < 1000; round++) {
		make_history(&history, &rng);
		history.horizon = (struct horizon){0};
		CU_ASSERT_EQUAL(prune(&history, keep), history.count);
	}
}

/* ---- leaves ---- */

static unsigned chain_of(unsigned number)
{
	struct place place = fixture_locate(&fixture, number);

	epoch_unpin(fixture.slot);
	return mapping_chain(place.word);
}

static unsigned versions_of_leaf(unsigned number)
{
	struct place place = fixture_locate(&fixture, number);
	unsigned count = chain_version_count(fixture.arena.base, place_head(&place));

	epoch_unpin(fixture.slot);
	return count;
}

static void a_chain_becomes_a_base_page(void)
{
	fixture_fill(&fixture, 0, 8);
	fixture_put(&fixture, 3, "new");
	fixture_delete(&fixture, 5);
	CU_ASSERT_EQUAL(chain_of(0), 10);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 0, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(chain_of(0), 0);
	CU_ASSERT_EQUAL(versions_of_leaf(0), 7);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 3));
	CU_ASSERT_TRUE(fixture_has(&fixture, 3, NEWEST, "new"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 5, NEWEST, NULL));
	CU_ASSERT_EQUAL(stats_sum(&fixture.stats, STAT_CONSOLIDATIONS), 1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void an_empty_leaf_stays_one(void)
{
	fixture_put(&fixture, 1, "x");
	fixture_delete(&fixture, 1);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(versions_of_leaf(1), 0);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, NULL));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void snapshots_keep_their_versions(void)
{
	uint64_t first = fixture_put(&fixture, 1, "one"), second, third;

	second = fixture_put(&fixture, 1, "two");
	third = fixture_put(&fixture, 1, "three");
	fixture_put(&fixture, 1, "four");
	fixture.horizon = (struct horizon){.future = third + 1, .count = 1, .lsn = {first + 1}};
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(versions_of_leaf(1), 3); /* "two" is seen by nobody */
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, first + 1, "one"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, second + 1,
	                           "one")); /* nobody may ask at that LSN any more */
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, third + 1, "three"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "four"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	/* When they are gone, so are the versions. */
	fixture.horizon = (struct horizon){0};
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(versions_of_leaf(1), 1);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void aborted_versions_are_dropped(void)
{
	struct leaf_delta *delta;

	fixture_put(&fixture, 1, "one");
	delta = fixture_pending(&fixture, 1, "never");
	atomic_store(&delta->lsn_word, word_make(WORD_ABORTED, 0));
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(versions_of_leaf(1), 1);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "one"));
}

/* C1 */
static void a_pending_version_is_left_alone_with_its_chain(void)
{
	struct leaf_delta *delta;
	struct place before, after;

	fixture_put(&fixture, 1, "one");
	delta = fixture_pending(&fixture, 1, "two");
	before = fixture_locate(&fixture, 1);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_BUSY);
	after = fixture_locate(&fixture, 1);
	epoch_unpin(fixture.slot);
	CU_ASSERT_EQUAL(before.word, after.word);
	CU_ASSERT_EQUAL(word_state(atomic_load(&delta->lsn_word)), WORD_PENDING);
	/* Its owner commits: now the chain may go. */
	atomic_store(&delta->lsn_word,
	             word_make(WORD_COMMITTED, atomic_fetch_add(&fixture.clock, 16) + 16));
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "two"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_pending_version_in_the_way_is_aborted_never_copied(void)
{
	struct leaf_delta *delta;

	fixture_put(&fixture, 1, "one");
	delta = fixture_pending(&fixture, 1, "two");
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, ABORT_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(word_state(atomic_load(&delta->lsn_word)), WORD_ABORTED);
	CU_ASSERT_EQUAL(stats_sum(&fixture.stats, STAT_WOUNDS), 1);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "one"));
	CU_ASSERT_EQUAL(versions_of_leaf(1), 1);
}

static void at_its_hard_limit_a_chain_is_consolidated_over_pending_versions(void)
{
	struct leaf_delta *first = fixture_pending(&fixture, 0, "pending");

	fixture_fill(&fixture, 1, DELTA_CHAIN_MAX);
	CU_ASSERT_EQUAL(chain_of(0), DELTA_CHAIN_MAX);
	CU_ASSERT_EQUAL(word_state(atomic_load(&first->lsn_word)), WORD_PENDING);
	fixture_put(&fixture, 500, "one more");
	CU_ASSERT_EQUAL(word_state(atomic_load(&first->lsn_word)), WORD_ABORTED);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 1, DELTA_CHAIN_MAX));
	CU_ASSERT_TRUE(fixture_has(&fixture, 500, NEWEST, "one more"));
	CU_ASSERT_TRUE(fixture_has(&fixture, 0, NEWEST, NULL));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void large_values_are_let_go_once_and_only_when_nobody_sees_them(void)
{
	uint64_t first = fixture_put_large(&fixture, 1, 100);

	fixture_put_large(&fixture, 1, 20);
	fixture_put_large(&fixture, 1, 3);
	fixture.horizon = (struct horizon){
		.future = atomic_load(&fixture.clock) + 1, .count = 1, .lsn = {first + 1}};
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.dropped_segments), 20);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 1);
	fixture.horizon = (struct horizon){0};
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.dropped_segments), 120);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 2);
}

static void the_large_value_of_an_aborted_version_was_never_counted(void)
{
	struct value_ref ref = {.segment = 9, .size = 5000};
	struct version_spec spec = {.value = &ref, .value_size = sizeof ref, .flags = VERSION_VLOG};
	struct leaf_delta *delta;
	struct key_text text;
	int rc;

	spec.key = key_of(1, &text);
	spec.hash = key_hash(spec.key);
	delta = fixture_add(&fixture, &spec, word_make(WORD_PENDING, 0), &rc);
	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	atomic_store(&delta->lsn_word, word_make(WORD_ABORTED, 0));
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 0);
}

/* ---- races ---- */

static int beside_rc;

static void consolidate_beside(void *arg)
{
	struct epoch_slot *slot = epoch_slot(&fixture.epoch);
	struct key_text text;
	struct place place;

	(void)arg;
	epoch_pin(slot);
	beside_rc = tree_descend(&fixture.tree, key_of(1, &text), false, 0, &place, NULL);
	if (beside_rc == BWT_OK)
		beside_rc =
			tree_consolidate(&fixture.tree, slot, &place, LEAVE_PENDING, URGENCY_CARE);
	epoch_unpin(slot);
}

static void what_was_prepended_meanwhile_is_not_lost(void)
{
	struct actor consolidator;

	fixture_put(&fixture, 1, "one");
	actor_start(&consolidator, "rebuild_swap", consolidate_beside, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&consolidator));
	fixture_put(&fixture, 1, "two");
	actor_finish(&consolidator);
	CU_ASSERT_EQUAL(beside_rc, BWT_BUSY);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, "two"));
	CU_ASSERT_EQUAL(chain_of(1), 2);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void two_consolidations_of_one_page_end_with_one(void)
{
	struct actor consolidator;

	fixture_fill(&fixture, 0, 8);
	actor_start(&consolidator, "rebuild_swap", consolidate_beside, NULL);
	CU_ASSERT_TRUE_FATAL(actor_await(&consolidator));
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	actor_finish(&consolidator);
	CU_ASSERT_EQUAL(beside_rc, BWT_BUSY);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 8));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void records_that_are_retired_too_often_or_never_are_noticed(void)
{
	fixture_fill(&fixture, 0, 8);
	testpoint_set("extent_lost_retire", 1, NULL, NULL);
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 1, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_FALSE(fixture_sound(&fixture));
}

/* ---- cutting ---- */

static void a_leaf_that_is_too_large_is_cut(void)
{
	fixture_fill(&fixture, 0, 60); /* 60 entries of some 33 bytes in pages of 1024 */
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 0, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(fixture_levels(&fixture), 2);
	CU_ASSERT_TRUE(stats_sum(&fixture.stats, STAT_SPLITS) >= 1);
	CU_ASSERT_TRUE(fixture_filled(&fixture, 0, 60));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void versions_of_one_key_stay_in_one_page(void)
{
	char value[64];

	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	fixture.horizon.future = 1; /* everything is seen by somebody to come */
	for (unsigned i = 0; i < 60; i++) {
		value[0] = (char)('a' + i % 26);
		fixture_put(&fixture, 7, value);
	}
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 7, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(fixture_levels(&fixture), 1);
	CU_ASSERT_EQUAL(versions_of_leaf(7), 60);
	fixture_put(&fixture, 8, "beside");
	CU_ASSERT_EQUAL(fixture_consolidate(&fixture, 7, LEAVE_PENDING), BWT_OK);
	CU_ASSERT_EQUAL(fixture_levels(&fixture), 2);
	CU_ASSERT_EQUAL(versions_of_leaf(7), 60);
	CU_ASSERT_TRUE(fixture_has(
		&fixture, 7, 17, "avvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void ascending_keys_fill_the_pages_that_they_leave_behind(void)
{
	uint64_t random_pages, pages;
	struct rng rng;

	fixture_free(&fixture);
	fixture_new(&fixture, 1024, 8);
	rng_init(&rng, 1);
	for (unsigned i = 0; i < 4000; i++)
		fixture_put(&fixture, (unsigned)rng_below(&rng, 1000000), "12345678");
	random_pages = atomic_load(&fixture.mapping.used);
	fixture_free(&fixture);
	fixture_new(&fixture, 1024, 8);
	fixture_fill(&fixture, 0, 4000);
	pages = atomic_load(&fixture.mapping.used);
	CU_ASSERT_TRUE(pages < random_pages);
	CU_ASSERT_TRUE(pages * 1024 < 4000 * 33 * 13 / 10);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void versions_that_fit_no_page_are_refused_and_stay(void)
{
	struct version_spec spec = {.value_size = 60000};
	char *value = malloc(spec.value_size + 1);
	struct key_text text;
	int rc = BWT_OK;

	memset(value, 'x', spec.value_size);
	value[spec.value_size] = '\0';
	spec.value = value;
	spec.key = key_of(3, &text);
	spec.hash = key_hash(spec.key);
	fixture.horizon.future = 1;
	for (unsigned i = 0; i < 40 && rc == BWT_OK; i++)
		fixture_add(&fixture, &spec,
		            word_make(WORD_COMMITTED, atomic_fetch_add(&fixture.clock, 16) + 16),
		            &rc);
	CU_ASSERT_EQUAL(rc, BWT_TOO_BIG);
	CU_ASSERT_TRUE(fixture_has(&fixture, 3, 17, value));
	CU_ASSERT_TRUE(fixture_has(&fixture, 3, NEWEST, value));
	fixture.horizon.future = 0; /* the snapshots are gone: it works again */
	value[0] = 'y';
	fixture_put(&fixture, 3, value);
	CU_ASSERT_TRUE(fixture_has(&fixture, 3, NEWEST, value));
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	free(value);
}

static void working_memory_grows_and_is_kept(void)
{
	void *small = slot_scratch(fixture.slot, 10), *large;

	CU_ASSERT_PTR_NOT_NULL_FATAL(small);
	CU_ASSERT_PTR_EQUAL(slot_scratch(fixture.slot, 20), small);
	large = slot_scratch(fixture.slot, 1000000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(large);
	if (large != NULL) /* what _FATAL does is unknown to the analyser */
		memset(large, 1, 1000000);
	CU_ASSERT_PTR_EQUAL(slot_scratch(fixture.slot, 1), large);
	CU_ASSERT_TRUE(fixture.slot->scratch_size >= 1000000);
}

/* Random writes with snapshots that come and go, consolidated all the time: everybody sees what he should. */
static void random_histories_stay_right_for_their_snapshots(void)
{
	enum {
		KEYS = 40,
		SNAPSHOTS = 6
	};
	struct {
		uint64_t lsn;
		int value[KEYS];
	} snapshot[SNAPSHOTS] = {0};
	int now[KEYS];
	struct rng rng;

	fixture_free(&fixture);
	fixture_new(&fixture, 512, 6);
	rng_init(&rng, rng_seed());
	memset(now, -1, sizeof now);
	for (int i = 0; i < (suite_short() ? 3000 : 20000); i++) {
		unsigned key = (unsigned)rng_below(&rng, KEYS),
			 s = (unsigned)rng_below(&rng, SNAPSHOTS);
		char text[16];

		if (rng_chance(&rng, 70)) {
			snprintf(text, sizeof text, "%d", i);
			fixture_put(&fixture, key, text);
			now[key] = i;
		} else {
			fixture_delete(&fixture, key);
			now[key] = -1;
		}
		if (rng_chance(&rng, 5)) { /* a snapshot ends, another begins */
			snapshot[s].lsn = atomic_load(&fixture.clock) + 16;
			memcpy(snapshot[s].value, now, sizeof now);
		}
		fixture.horizon = (struct horizon){.future = atomic_load(&fixture.clock) + 16};
		for (uint64_t lsn = 1; lsn != 0;) { /* ascending */
			uint64_t next = 0;

			for (unsigned j = 0; j < SNAPSHOTS; j++)
				if (snapshot[j].lsn >= lsn && (next == 0 || snapshot[j].lsn < next))
					next = snapshot[j].lsn;
			if (next != 0 && next < fixture.horizon.future)
				fixture.horizon.lsn[fixture.horizon.count++] = next;
			lsn = next == 0 ? 0 : next + 1;
		}
		snprintf(text, sizeof text, "%d", snapshot[s].value[key]);
		if (snapshot[s].lsn != 0 && !fixture_has(&fixture, key, snapshot[s].lsn,
		                                         snapshot[s].value[key] < 0 ? NULL : text)) {
			CU_FAIL("a snapshot sees something else than when it began");
			break;
		}
	}
	CU_ASSERT_TRUE(stats_sum(&fixture.stats, STAT_CONSOLIDATIONS) > 100);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(pruning_changes_nothing_for_any_snapshot),
		TEST(pruning_keeps_no_value_that_nobody_sees),
		TEST(a_pruning_that_drops_what_a_snapshot_sees_is_noticed),
		TEST(a_lone_tombstone_goes_when_everybody_sees_it),
		TEST(with_a_horizon_of_zero_everything_stays),
		TEST(a_chain_becomes_a_base_page),
		TEST(an_empty_leaf_stays_one),
		TEST(snapshots_keep_their_versions),
		TEST(aborted_versions_are_dropped),
		TEST(a_pending_version_is_left_alone_with_its_chain),
		TEST(a_pending_version_in_the_way_is_aborted_never_copied),
		TEST(at_its_hard_limit_a_chain_is_consolidated_over_pending_versions),
		TEST(large_values_are_let_go_once_and_only_when_nobody_sees_them),
		TEST(the_large_value_of_an_aborted_version_was_never_counted),
		TEST(what_was_prepended_meanwhile_is_not_lost),
		TEST(two_consolidations_of_one_page_end_with_one),
		TEST(records_that_are_retired_too_often_or_never_are_noticed),
		TEST(a_leaf_that_is_too_large_is_cut),
		TEST(versions_of_one_key_stay_in_one_page),
		TEST(ascending_keys_fill_the_pages_that_they_leave_behind),
		TEST(versions_that_fit_no_page_are_refused_and_stay),
		TEST(working_memory_grows_and_is_kept),
		TEST(random_histories_stay_right_for_their_snapshots),
		CU_TEST_INFO_NULL,
	};

	return suite_run("consolidate", set_up, tear_down, tests);
}
