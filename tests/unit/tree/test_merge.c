/* SPDX-License-Identifier: MIT */
/*
 * test_merge.c - trees that shrink: every state of merge.h with readers, writers, helpers and images in it
 *
 * "merge_give_up" leaves a merge in state 1, 2, 3 or 5, as a thread stopped between two steps does. What must hold
 * in each state: everybody sees every key, in both directions; tree_check() finds nothing; writers end it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "page/visibility.h"
#include "tests/support/actor.h"
#include "tests/support/rng.h"
#include "tests/unit/tree/tree_fixture.h"
#include "tree/merge.h"

#define PAGE 512u
#define KEYS_MAX 8000u

static struct fixture fixture;
static bool there[KEYS_MAX]; /* the keys that the tree must have, each with its text as its value */
static unsigned keys_end;    /* no test put a key at or above it */

static const char *kept_fault; /* armed whatever else is, in a child process */

static void disarm(void)
{
	testpoint_reset();
	if (kept_fault != NULL)
		testpoint_set(kept_fault, 0, NULL, NULL);
}

static void set_up(void)
{
	fixture_new(&fixture, PAGE, 8);
	memset(there, 0, sizeof there);
	keys_end = 0;
	disarm();
}

static void tear_down_tree(void)
{
	fixture_free(&fixture);
}

static void tear_down(void)
{
	testpoint_reset();
	tear_down_tree();
}

static void fill(unsigned from, unsigned to)
{
	fixture_fill(&fixture, from, to);
	memset(there + from, 1, to - from);
	keys_end = to > keys_end ? to : keys_end;
}

static void put(unsigned number)
{
	fill(number, number + 1);
}

static void delete (unsigned number)
{
	fixture_delete(&fixture, number);
	there[number] = false;
}

/* ---- what the tree shows ---- */

static int see_newest(void *ctx, struct page_entry *versions, unsigned count)
{
	(void)ctx;
	for (unsigned i = 0; i < count; i++)
		if (versions[i].word == NULL ||
		    word_state(atomic_load(versions[i].word)) == WORD_COMMITTED)
			return (int)i;
	return -1;
}

static unsigned next_there(unsigned number)
{
	while (number < KEYS_MAX && !there[number])
		number++;
	return number;
}

static bool entry_is(const struct scan_entry *entry, unsigned number)
{
	struct key_text text;

	return key_ref_compare_slice(&entry->key, key_of(number, &text)) == 0 &&
	       entry->value_size == 8 && memcmp(entry->value, text.bytes, 8) == 0;
}

struct walker { /* a cursor at work: it keeps a copy of one leaf and no pin */
	struct leaf_copy copy;
	char fence[16];
	unsigned number; /* the next key to come */
	bool good;
};

static void walker_take(struct walker *walker, struct bwt_slice from)
{
	for (unsigned i = 0; i < walker->copy.count; i++) {
		if (key_ref_compare_slice(&walker->copy.entries[i].key, from) < 0)
			continue; /* the leaf begins further left than before */
		walker->number = next_there(walker->number);
		walker->good = walker->good && walker->number < KEYS_MAX &&
		               entry_is(&walker->copy.entries[i], walker->number);
		walker->number++;
	}
}

static void walker_begin(struct walker *walker)
{
	struct epoch_slot *slot = epoch_slot(&fixture.epoch);

	*walker = (struct walker){.good = true};
	epoch_pin(slot);
	walker->good = tree_copy_leaf(&fixture.tree, slot, slice_of_text(""), false, see_newest,
	                              NULL, &walker->copy) == BWT_OK;
	epoch_unpin(slot);
	walker_take(walker, slice_of_text(""));
}

static void walker_step(struct walker *walker)
{
	struct epoch_slot *slot = epoch_slot(&fixture.epoch);
	struct bwt_slice key = {walker->fence, walker->copy.high.size};

	memcpy(walker->fence, walker->copy.high.data, key.size);
	epoch_pin(slot);
	walker->good = tree_copy_next_leaf(&fixture.tree, slot, key, see_newest, NULL,
	                                   &walker->copy) == BWT_OK &&
	               walker->good;
	epoch_unpin(slot);
	walker_take(walker, key);
}

static bool walker_end(struct walker *walker)
{
	bool good;

	while (walker->good && walker->copy.high.data != NULL)
		walker_step(walker);
	good = walker->good && next_there(walker->number) == KEYS_MAX;
	leaf_copy_free(&walker->copy);
	return good;
}

static bool walks_right(void)
{
	struct walker walker;

	walker_begin(&walker);
	return walker_end(&walker);
}

/* From the last leaf to the left, leaf by leaf. */
static bool walks_left(void)
{
	struct epoch_slot *slot = epoch_slot(&fixture.epoch);
	struct leaf_copy copy = {0};
	struct key_text last = {{0}};
	unsigned number = KEYS_MAX;
	bool good = true, first = true;

	for (;;) {
		struct bwt_slice bound = {last.bytes, strlen(last.bytes)};
		int rc;

		epoch_pin(slot);
		rc = first ? tree_copy_last_leaf(&fixture.tree, slot, see_newest, NULL, &copy)
		           : tree_copy_leaf(&fixture.tree, slot, bound, true, see_newest, NULL,
		                            &copy);
		epoch_unpin(slot);
		for (unsigned i = copy.count; rc == BWT_OK && i-- > 0;) {
			if (!first && key_ref_compare_slice(&copy.entries[i].key, bound) >= 0)
				continue;
			while (number > 0 && !there[--number])
				continue;
			good = good && there[number] && entry_is(&copy.entries[i], number);
		}
		if (rc < 0 || copy.low.size == 0)
			break;
		first = false;
		memset(last.bytes, 0, sizeof last.bytes);
		memcpy(last.bytes, copy.low.data, copy.low.size);
	}
	leaf_copy_free(&copy);
	while (number > 0)
		good = !there[--number] && good;
	return good;
}

static bool gets_all(void)
{
	struct key_text text;

	for (unsigned i = 0; i <= keys_end && i < KEYS_MAX; i++)
		if (!fixture_has(&fixture, i, NEWEST, there[i] ? key_of(i, &text).data : NULL)) {
			printf("  key %u\n", i);
			return false;
		}
	return true;
}

static bool all_there(void)
{
	return gets_all() && walks_right() && walks_left();
}

static uint64_t pages_used(void)
{
	return atomic_load(&fixture.mapping.used);
}

static uint64_t merges(void)
{
	return stats_sum(&fixture.stats, STAT_MERGES);
}

/* ---- whole trees ---- */

static void shuffle(struct rng *rng, unsigned *numbers, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		numbers[i] = i;
	for (unsigned i = count; i > 1; i--) {
		unsigned other = (unsigned)rng_below(rng, i), kept = numbers[i - 1];

		numbers[i - 1] = numbers[other];
		numbers[other] = kept;
	}
}

static bool is_one_leaf(void)
{
	if (fixture_levels(&fixture) == 1 && pages_used() == 1)
		return true;
	printf("  %u levels, %llu pages\n", fixture_levels(&fixture),
	       (unsigned long long)pages_used());
	return false;
}

static void a_tree_emptied_in_any_order_is_one_leaf_again(void)
{
	unsigned keys = suite_short() ? 2000 : KEYS_MAX;
	unsigned *order = malloc(keys * sizeof *order);
	struct rng rng;

	rng_init(&rng, rng_seed());
	for (unsigned round = 0; round < 6; round++) {
		fill(0, keys);
		CU_ASSERT_TRUE(fixture_levels(&fixture) >= 3);
		shuffle(&rng, order, keys);
		for (unsigned i = 0; i < keys; i++)
			delete (round % 3 == 0 ? i : round % 3 == 1 ? keys - 1 - i : order[i]);
		CU_ASSERT_TRUE(is_one_leaf());
		CU_ASSERT_TRUE(all_there());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
	}
	CU_ASSERT_TRUE(merges() > keys / 20);
	free(order);
}

static void pages_of_few_keys_are_emptied_too(void)
{
	char value[200];
	struct key_text text;

	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = 0;
	for (unsigned i = 0; i < 500; i++)
		fixture_put(&fixture, i, value); /* two in a leaf: no delete makes a long chain */
	CU_ASSERT_TRUE(pages_used() > 200);
	for (unsigned i = 0; i < 500; i++)
		fixture_delete(&fixture, i);
	CU_ASSERT_TRUE(is_one_leaf());
	CU_ASSERT_TRUE(fixture_has(&fixture, 7, NEWEST, NULL));
	CU_ASSERT_EQUAL(key_of(7, &text).size, 8);
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void what_is_left_is_in_fewer_pages(void)
{
	uint64_t before;
	unsigned levels;

	fill(0, KEYS_MAX);
	before = pages_used();
	levels = fixture_levels(&fixture);
	for (unsigned i = 0; i < KEYS_MAX; i++)
		if (i % 20 != 0)
			delete (i);
	CU_ASSERT_TRUE(pages_used() < before / 5);
	CU_ASSERT_TRUE(fixture_levels(&fixture) < levels);
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	fill(0, KEYS_MAX);
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void a_sliding_window_neither_grows_nor_deepens(void)
{
	unsigned window = 300, to = suite_short() ? 4000 : KEYS_MAX;
	uint64_t pages;
	unsigned levels;

	fill(0, window);
	pages = pages_used();
	levels = fixture_levels(&fixture);
	for (unsigned i = window; i < to; i++) {
		put(i);
		delete (i - window);
		if (pages_used() > pages * 2 + 4 || fixture_levels(&fixture) > levels + 1) {
			CU_FAIL("the window grows");
			printf("  at %u: %llu pages instead of %llu\n", i,
			       (unsigned long long)pages_used(), (unsigned long long)pages);
			break;
		}
	}
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	mapping_reclaim(&fixture.mapping);
	CU_ASSERT_TRUE(atomic_load(&fixture.mapping.next_id) < pages * 2 + 200); /* ids come back */
}

static void versions_that_a_snapshot_sees_survive_merges(void)
{
	uint64_t snapshot;
	struct key_text text;

	fill(0, 1000);
	snapshot = atomic_load(&fixture.clock) + LSN_ALIGN;
	fixture.horizon.count = 1;
	fixture.horizon.lsn[0] = snapshot;
	fixture.horizon.future = snapshot + LSN_ALIGN;
	for (unsigned i = 0; i < 1000; i++)
		delete (i);
	for (unsigned i = 0; i < 1000; i++)
		CU_ASSERT_TRUE(fixture_has(&fixture, i, snapshot, key_of(i, &text).data));
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void large_values_in_merged_pages_are_let_go_once(void)
{
	for (unsigned i = 0; i < 400; i++)
		fixture_put_large(&fixture, i, 1 + i);
	for (unsigned i = 0; i < 400; i++)
		fixture_delete(&fixture, i);
	for (unsigned i = 0; i < 20; i++) { /* the last tombstones */
		fixture_put(&fixture, 0, "x");
		fixture_delete(&fixture, 0);
	}
	CU_ASSERT_EQUAL(atomic_load(&fixture.values_dropped), 400);
	CU_ASSERT_EQUAL(atomic_load(&fixture.dropped_segments), 400 * 401 / 2);
}

/* ---- one state at a time ---- */

#define FIRST 96u /* keys that are deleted until a leaf among them is merged */
#define LAST 200u

/* A merge left at its @step-th look: state @step of merge.h for 1, 2, 3. */
static bool make_state(unsigned step)
{
	fill(0, 400);
	testpoint_set("merge_give_up", step, NULL, NULL);
	for (unsigned i = FIRST; i < LAST && testpoint_hits("merge_give_up") < step; i++)
		delete (i);
	if (testpoint_hits("merge_give_up") != step)
		return false;
	disarm();
	return true;
}

struct under_way { /* the merge that make_state() left */
	struct place gone, left, parent;
	bool frozen;
};

static bool find_under_way(struct under_way *merge)
{
	const struct index_delta *begun = NULL;
	struct key_text text;
	bool found;

	epoch_pin(fixture.slot);
	for (unsigned i = 0; i < 400 && begun == NULL; i++) {
		CU_ASSERT_EQUAL(tree_descend(&fixture.tree, key_of(i, &text), false, 1,
		                             &merge->parent, NULL),
		                BWT_OK);
		begun = index_unfinished(fixture.arena.base, place_head(&merge->parent));
	}
	found = begun != NULL && page_look(&fixture.tree, begun->child, &merge->gone) == BWT_OK &&
	        tree_descend_left(&fixture.tree, index_delta_low(begun), 0, &merge->left) == BWT_OK;
	merge->frozen = found && mapping_frozen(merge->gone.word);
	epoch_unpin(fixture.slot);
	return found;
}

static unsigned state_of(const struct under_way *merge)
{
	if (!merge->frozen)
		return 1;
	return merge->left.base->right == merge->gone.page ? 2 : 3;
}

/* The first number whose key belongs to the page that is to go. */
static unsigned gone_key(const struct under_way *merge)
{
	char text[16] = {0};
	struct bwt_slice low = base_low(merge->gone.base);

	memcpy(text, low.data, low.size);
	for (size_t i = low.size; i < 8; i++)
		text[i] = '0';
	return (unsigned)strtoul(text, NULL, 10);
}

static void readers_see_everything_in_every_state(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge = {0};

		CU_ASSERT_TRUE_FATAL(make_state(step));
		CU_ASSERT_TRUE_FATAL(find_under_way(&merge));
		CU_ASSERT_EQUAL(state_of(&merge), step);
		CU_ASSERT_TRUE(all_there());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		CU_ASSERT_TRUE(find_under_way(&merge)); /* readers did not help (G1) */
		tear_down();
		set_up();
	}
}

static void a_writer_into_the_page_ends_the_merge(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge = {0};

		CU_ASSERT_TRUE_FATAL(make_state(step) && find_under_way(&merge));
		put(gone_key(&merge));
		CU_ASSERT_EQUAL(find_under_way(&merge),
		                step == 1); /* only announced: a page as any other */
		CU_ASSERT_TRUE(all_there());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		tear_down();
		set_up();
	}
}

static void a_writer_elsewhere_does_not_care(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge = {0};

		CU_ASSERT_TRUE_FATAL(make_state(step) && find_under_way(&merge));
		put(399);
		put(0);
		CU_ASSERT_TRUE(find_under_way(&merge));
		CU_ASSERT_EQUAL(state_of(&merge), step);
		CU_ASSERT_TRUE(all_there());
		tear_down();
		set_up();
	}
}

/* The left neighbour grows until it splits, more than once, in every state. */
static void the_left_neighbour_may_split_between_any_two_steps(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge = {0};
		char text[32];
		int rc;

		CU_ASSERT_TRUE_FATAL(make_state(step) && find_under_way(&merge));
		testpoint_set("merge_give_up", 0, NULL, NULL); /* nobody can help for now */
		testpoint_set("split_not_posted", 0, NULL, NULL);
		for (unsigned i = 0; i < 200; i++) {
			struct version_spec spec = {.value = "v", .value_size = 1};
			unsigned base = gone_key(&merge) - 2;

			spec.key = (struct bwt_slice){
				text, (size_t)snprintf(text, sizeof text, "%08u+%04u", base, i)};
			spec.hash = key_hash(spec.key);
			fixture_add(&fixture, &spec,
			            word_make(WORD_COMMITTED,
			                      atomic_fetch_add(&fixture.clock, LSN_ALIGN) + LSN_ALIGN),
			            &rc);
			CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
		}
		CU_ASSERT_TRUE(gets_all());
		testpoint_reset();
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		put(gone_key(&merge));
		for (unsigned i = 0; i < 400; i++)
			put(i); /* all of them come by, and post what is unposted */
		CU_ASSERT_FALSE(find_under_way(&merge));
		CU_ASSERT_TRUE(gets_all());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		tear_down();
		set_up();
	}
}

/* Keys are put in everywhere: the parent wants to split, and the page that goes is among its children. */
static void a_parent_that_is_to_split_ends_the_merge_first(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge, after;

		CU_ASSERT_TRUE_FATAL(make_state(step) && find_under_way(&merge));
		epoch_pin(fixture.slot);
		CU_ASSERT_EQUAL(tree_consolidate(&fixture.tree, fixture.slot, &merge.parent,
		                                 LEAVE_PENDING, URGENCY_CARE),
		                BWT_BUSY); /* it did something else */
		epoch_unpin(fixture.slot);
		CU_ASSERT_FALSE(find_under_way(&after));
		for (unsigned i = 400; i < 2000; i++)
			put(i);
		for (unsigned i = 0; i < 400; i++)
			put(i);
		CU_ASSERT_TRUE(all_there());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		tear_down();
		set_up();
	}
}

static void every_step_may_be_made_twice(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge = {0};
		struct missing_child gone = {.found = true};
		uint64_t before = merges();

		CU_ASSERT_TRUE_FATAL(make_state(step) && find_under_way(&merge));
		epoch_pin(fixture.slot);
		gone.page = merge.gone.page;
		gone.low = base_low(merge.gone.base);
		for (unsigned i = 0; i < 3; i++) /* the id cannot be used again under this pin */
			CU_ASSERT_EQUAL(
				tree_finish_merge(&fixture.tree, fixture.slot, &gone, URGENCY_CARE),
				BWT_OK);
		epoch_unpin(fixture.slot);
		CU_ASSERT_EQUAL(merges(), before + 1);
		CU_ASSERT_TRUE(all_there());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		tear_down();
		set_up();
	}
}

static void a_tree_is_dropped_in_every_state(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		CU_ASSERT_TRUE_FATAL(make_state(step));
		CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
		CU_ASSERT_EQUAL(pages_used(), 0);
		CU_ASSERT_EQUAL(extents_close_chunks(&fixture.extents, fixture.slot), BWT_OK);
		tear_down();
		set_up();
	}
}

/* The words as an image of this moment holds them, and as the next life finds them. */
static void begin_next_life(void)
{
	uint64_t end = atomic_load(&fixture.mapping.next_id);

	for (page_id page = 1; page < end; page++) {
		uint64_t word = mapping_stored(mapping_load(&fixture.mapping, page));

		if (mapping_is_page(word))
			word |= (uint64_t)MAPPING_UNSEEN << 56;
		mapping_set(&fixture.mapping, page, word);
	}
	atomic_store(&fixture.mapping.free_ids, 0);
	atomic_store(&fixture.mapping.limbo, 0);
	mapping_finish(&fixture.mapping, end);
}

static void an_image_of_every_state_is_a_tree_that_goes_on(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		struct under_way merge = {0};

		CU_ASSERT_TRUE_FATAL(make_state(step));
		begin_next_life();
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		CU_ASSERT_TRUE(all_there());
		begin_next_life();
		CU_ASSERT_TRUE(find_under_way(&merge));
		for (unsigned i = 0; i < 400; i++)
			delete (i);
		CU_ASSERT_TRUE(is_one_leaf());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		tear_down();
		set_up();
	}
}

/* ---- a root over one page ---- */

/* Looks until the root is about to become its child: the last one leaves state 5. */
static bool make_root_state(void)
{
	for (unsigned step = 1; step < 4000; step++) {
		struct place root, child;

		tear_down();
		set_up();
		fill(0, 150);
		testpoint_set("merge_give_up", step, NULL, NULL);
		for (unsigned i = 0; i < 150 && testpoint_hits("merge_give_up") < step; i++)
			delete (i);
		testpoint_reset();
		if (fixture_levels(&fixture) == 1)
			return false;
		epoch_pin(fixture.slot);
		CU_ASSERT_EQUAL_FATAL(page_look(&fixture.tree, fixture.tree.root, &root), BWT_OK);
		CU_ASSERT_EQUAL_FATAL(page_look(&fixture.tree,
		                                index_search(fixture.arena.base, place_head(&root),
		                                             slice_of_text(""), false, NULL),
		                                &child),
		                      BWT_OK);
		epoch_unpin(fixture.slot);
		if (mapping_frozen(child.word))
			return true;
	}
	return false;
}

static void a_root_that_is_about_to_sink_is_read_written_and_stored(void)
{
	CU_ASSERT_TRUE_FATAL(make_root_state());
	CU_ASSERT_EQUAL(fixture_levels(&fixture), 2);
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	begin_next_life();
	CU_ASSERT_TRUE(all_there());
	put(77);
	CU_ASSERT_TRUE(is_one_leaf());
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_TRUE_FATAL(make_root_state());
	CU_ASSERT_EQUAL(tree_free(&fixture.tree, fixture.slot), BWT_OK);
	CU_ASSERT_EQUAL(pages_used(), 0);
}

/* ---- threads stopped in the middle ---- */

static void play_fill_elsewhere(void *arg)
{
	(void)arg;
	mapping_reclaim(&fixture.mapping);
	fixture_fill(&fixture, 500, 1200);
	memset(there + 500, 1, 700);
	keys_end = 1200;
}

static void play_delete(void *arg)
{
	unsigned *range = arg;

	for (unsigned i = range[0]; i < range[1]; i++)
		fixture_delete(&fixture, i);
}

static const char *const points[] = {"merge_announce", "merge_step",   "merge_freeze",
                                     "rebuild_swap",   "merge_unlink", "merge_remove",
                                     "post_swap"};
#define POINTS (sizeof points / sizeof points[0])

static void nobody_waits_for_a_thread_stopped_in_a_merge(void)
{
	for (unsigned i = 0; i < POINTS; i++) {
		unsigned range[2] = {FIRST, LAST};
		struct actor actor;

		fill(0, 400);
		actor_start(&actor, points[i], play_delete, range);
		CU_ASSERT_TRUE(actor_await(&actor));
		for (unsigned number = 0; number < FIRST; number++)
			delete (number);
		for (unsigned number = LAST; number < 800; number++)
			put(number);
		for (unsigned number = 0; number < FIRST; number += 3)
			put(number);
		for (unsigned number = FIRST; number < LAST; number++) /* also into the page that goes */
			put(number);
		CU_ASSERT_TRUE(all_there());
		for (unsigned number = LAST; number < 800; number++)
			delete (number);
		CU_ASSERT_TRUE(all_there());
		for (unsigned number = FIRST; number < LAST; number++)
			delete (number);
		actor_finish(&actor);
		CU_ASSERT_TRUE(all_there());
		CU_ASSERT_TRUE(fixture_sound(&fixture));
		tear_down();
		set_up();
	}
}

static void a_scan_stands_on_the_page_while_it_goes(void)
{
	for (unsigned stop = 0; stop < 12; stop++) {
		struct walker walker;
		unsigned leaves = 0;

		fill(0, 400);
		for (unsigned i = 100; i < 200; i++)
			if (i % 10 != 0)
				there[i] = false; /* which of them it sees is up to the moment */
		fill(0, 400);
		walker_begin(&walker);
		while (leaves++ < stop)
			walker_step(&walker);
		/* What lies behind the walker goes, page by page, and its own leaf with it. */
		for (unsigned i = walker.number; i < 400; i++)
			if (i % 7 != 0)
				delete (i);
		for (unsigned i = 0; i + 30 < walker.number; i++)
			delete (i);
		mapping_reclaim(&fixture.mapping);
		fill(410, 600); /* ids come back, at other places */
		CU_ASSERT_TRUE(walker_end(&walker));
		tear_down();
		set_up();
	}
}

static void two_helpers_end_the_same_merge(void)
{
	for (unsigned step = 1; step <= 3; step++) {
		for (unsigned i = 2; i < POINTS; i++) {
			struct under_way merge = {0};
			unsigned range[2];
			struct actor actor;

			CU_ASSERT_TRUE_FATAL(make_state(step) && find_under_way(&merge));
			range[0] = gone_key(&merge);
			range[1] = range[0] + 12;
			memset(there + range[0], 0, 12);
			actor_start(&actor, points[i], play_delete, range);
			actor_await(&actor); /* or it does not come there */
			for (unsigned number = range[0]; number < range[1]; number++) {
				put(number);
				delete (number);
			}
			for (unsigned number = FIRST; number < 320; number++)
				delete (number);
			actor_finish(&actor);
			CU_ASSERT_TRUE(all_there());
			CU_ASSERT_TRUE(fixture_sound(&fixture));
			tear_down();
			set_up();
		}
	}
}

static void play_put(void *arg)
{
	unsigned *number = arg;
	struct key_text text;

	fixture_put(&fixture, *number, key_of(*number, &text).data);
}

/* A writer that has found its leaf, and is stopped before its swap, does not write into a frozen page. */
static void a_put_that_comes_too_late_begins_anew(void)
{
	struct actor actor;
	unsigned number = 150;

	fill(0, 400);
	actor_start(&actor, "prepend_swap", play_put, &number);
	CU_ASSERT_TRUE(actor_await(&actor));
	for (unsigned i = 50; i < 300; i++)
		delete (i);
	actor_finish(&actor);
	there[number] = true;
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
}

static void an_inline_pending_version_does_not_keep_a_page(void)
{
	struct under_way merge = {0};
	struct leaf_delta *delta;
	struct key_text text;
	uint64_t word = word_make(WORD_PENDING, 0);

	CU_ASSERT_TRUE_FATAL(make_state(1) && find_under_way(&merge));
	delta = fixture_pending(&fixture, gone_key(&merge), "open");
	for (unsigned i = 0; i < 400; i++)
		put(i);
	for (unsigned i = 0; i < 400; i++)
		delete (i);
	CU_ASSERT_TRUE(is_one_leaf());
	CU_ASSERT_FALSE(atomic_compare_exchange_strong(&delta->lsn_word, &word,
	                                               word_make(WORD_COMMITTED, 160)));
	CU_ASSERT_EQUAL(word_state(word), WORD_ABORTED);
	CU_ASSERT_TRUE(fixture_has(&fixture, 1, NEWEST, NULL));
	CU_ASSERT_EQUAL(key_of(1, &text).size, 8);
}

/* An id is not used again as long as somebody may be on his way to the page that it was. */
static void an_id_waits_for_the_slowest_reader(void)
{
	struct epoch_slot *slot = fixture.slot;
	unsigned range[2] = {0, 400};
	struct actor actor;
	struct place place;
	page_id end;

	fill(0, 400);
	place = fixture_locate(&fixture, 150);
	memset(there, 0, 400);
	actor_start(&actor, NULL, play_delete, range);
	actor_finish(&actor);
	CU_ASSERT_TRUE(mapping_has(mapping_load(&fixture.mapping, place.page), MAPPING_REMOVED));
	mapping_reclaim(&fixture.mapping);
	CU_ASSERT_TRUE(mapping_has(mapping_load(&fixture.mapping, place.page), MAPPING_REMOVED));
	CU_ASSERT_EQUAL(page_look(&fixture.tree, place.page, &place), BWT_BUSY);
	epoch_unpin(slot);
	end = atomic_load(&fixture.mapping.next_id);
	mapping_reclaim(&fixture.mapping);
	CU_ASSERT_EQUAL(mapping_load(&fixture.mapping, place.page), 0);
	fill(0, 200);
	CU_ASSERT_EQUAL(atomic_load(&fixture.mapping.next_id), end);
	CU_ASSERT_TRUE(all_there());
}

/* ---- real threads ---- */

struct churner {
	pthread_t thread;
	unsigned index, rounds;
};

#define CHURNERS 4u
#define CHURN_KEYS 1200u

/* Each thread fills and empties the keys that are its own modulo the number of threads. */
static void *churn(void *arg)
{
	struct churner *churner = arg;
	struct key_text text;

	for (unsigned round = 0; round < churner->rounds; round++) {
		for (unsigned i = churner->index; i < CHURN_KEYS; i += CHURNERS)
			fixture_put(&fixture, i, key_of(i, &text).data);
		for (unsigned i = churner->index; i < CHURN_KEYS; i += CHURNERS) {
			unsigned number = round % 2 == 0 ? i : CHURN_KEYS - 1 - i;

			if (number % CHURNERS != churner->index)
				number = i;
			if (!fixture_has(&fixture, number, NEWEST, key_of(number, &text).data))
				CU_FAIL("a key of this thread is not there");
			fixture_delete(&fixture, number);
			if (!fixture_has(&fixture, number, NEWEST, NULL))
				CU_FAIL("a key that this thread deleted is there");
		}
	}
	return NULL;
}

static void threads_that_fill_and_empty_the_same_pages_lose_nothing(void)
{
	struct churner churners[CHURNERS];

	for (unsigned i = 0; i < CHURNERS; i++) {
		churners[i] = (struct churner){.index = i, .rounds = suite_short() ? 4 : 30};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&churners[i].thread, NULL, churn, &churners[i]),
		                      0);
	}
	for (unsigned i = 0; i < CHURNERS; i++)
		pthread_join(churners[i].thread, NULL);
	CU_ASSERT_TRUE(all_there());
	CU_ASSERT_TRUE(fixture_sound(&fixture));
	CU_ASSERT_TRUE(merges() > 0);
	fill(0, 400); /* whatever the threads left beside each other goes with the next keys */
	for (unsigned i = 0; i < 400; i++)
		delete (i);
	CU_ASSERT_TRUE(pages_used() < 40);
}

/* ---- broken on purpose ---- */

/* A reader under way to page @page, of key @number, goes on after everybody else has merged and filled again. */
static bool late_reader_is_right(unsigned number)
{
	unsigned range[2] = {0, 400};
	struct place place = fixture_locate(&fixture, number);
	struct actor actor;
	bool right;

	memset(there, 0, 400);
	actor_start(&actor, NULL, play_delete, range);
	actor_finish(&actor);
	actor_start(&actor, NULL, play_fill_elsewhere, NULL);
	actor_finish(&actor);
	right = page_look(&fixture.tree, place.page, &place) == BWT_BUSY;
	epoch_unpin(fixture.slot);
	return right;
}

/* Every state, each gone on from by writers; late readers; posts of pages that went. */
static bool all_is_well(void)
{
	struct missing_child stale = {.found = true};
	struct under_way merge = {0};
	bool well = true;

	for (unsigned step = 1; step <= 3; step++) {
		well = make_state(step) && find_under_way(&merge) && state_of(&merge) == step && well;
		well = all_there() && fixture_sound(&fixture) && well;
		epoch_pin(fixture.slot);
		stale.page = merge.gone.page;
		stale.low = base_low(merge.gone.base);
		tree_consolidate(&fixture.tree, fixture.slot, &merge.parent, LEAVE_PENDING,
		                 URGENCY_CARE);
		tree_finish_merge(&fixture.tree, fixture.slot, &stale, URGENCY_CARE);
		tree_post(&fixture.tree, fixture.slot, &stale, URGENCY_CARE);
		epoch_unpin(fixture.slot);
		for (unsigned i = 0; i < 400; i++)
			put(i);
		well = all_there() && fixture_sound(&fixture) && well;
		tear_down_tree();
		set_up();
	}
	well = make_state(3) && find_under_way(&merge) && well;
	testpoint_reset();
	testpoint_set("merge_give_up", 0, NULL, NULL);
	put(gone_key(&merge)); /* into the neighbour: what the frozen page shows is old */
	disarm();
	well = gets_all() && well;
	for (unsigned i = 0; i < 400; i++)
		delete (i);
	well = all_there() && fixture_sound(&fixture) && well;
	fill(0, 400);
	return late_reader_is_right(150) && well;
}

#define CHILD_SECONDS_MAX 5u

static const char *const faults[] = {
	"merge_wrong_high", /* the page that took another one in ends where it ended before */
	"merge_no_absorb", /* a helper skips a step: the parent is told before the keys have moved */
	"merge_unheeded",  /* the parent is consolidated over an announcement */
	"descend_no_detour",  /* a reader believes a frozen page, come what may */
	"post_what_is_gone",  /* a page that went is made known again */
	"mapping_id_at_once", /* an id is used again under its readers */
	"merge_retires_early", /* the page's records are retired when its neighbour has them, and again when it goes */
};

/* In a child process, for a broken tree may end in a failed assertion. */
static bool is_caught(const char *fault)
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS_MAX); /* an endless loop is a way to be noticed */
		if (freopen("/dev/null", "w", stdout) == NULL ||
		    freopen("/dev/null", "w", stderr) == NULL)
			_exit(0);
		kept_fault = fault;
		set_up();
		_exit(all_is_well() ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child &&
	       (!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

static void what_is_broken_on_purpose_is_noticed(void)
{
	CU_ASSERT_TRUE(all_is_well()); /* and nothing else is */
	for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		bool caught = is_caught(faults[i]);

		CU_ASSERT_TRUE(caught);
		if (!caught)
			printf("  %s goes unnoticed\n", faults[i]);
	}
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_tree_emptied_in_any_order_is_one_leaf_again),
		TEST(pages_of_few_keys_are_emptied_too),
		TEST(what_is_left_is_in_fewer_pages),
		TEST(a_sliding_window_neither_grows_nor_deepens),
		TEST(versions_that_a_snapshot_sees_survive_merges),
		TEST(large_values_in_merged_pages_are_let_go_once),
		TEST(readers_see_everything_in_every_state),
		TEST(a_writer_into_the_page_ends_the_merge),
		TEST(a_writer_elsewhere_does_not_care),
		TEST(the_left_neighbour_may_split_between_any_two_steps),
		TEST(a_parent_that_is_to_split_ends_the_merge_first),
		TEST(every_step_may_be_made_twice),
		TEST(a_tree_is_dropped_in_every_state),
		TEST(an_image_of_every_state_is_a_tree_that_goes_on),
		TEST(a_root_that_is_about_to_sink_is_read_written_and_stored),
		TEST(nobody_waits_for_a_thread_stopped_in_a_merge),
		TEST(a_scan_stands_on_the_page_while_it_goes),
		TEST(two_helpers_end_the_same_merge),
		TEST(a_put_that_comes_too_late_begins_anew),
		TEST(an_inline_pending_version_does_not_keep_a_page),
		TEST(an_id_waits_for_the_slowest_reader),
		TEST(threads_that_fill_and_empty_the_same_pages_lose_nothing),
		TEST(what_is_broken_on_purpose_is_noticed),
		CU_TEST_INFO_NULL,
	};
	return suite_run("merge", set_up, tear_down, tests);
}
