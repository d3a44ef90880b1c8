/* SPDX-License-Identifier: MIT */
/* test_chain.c - chains read and merge as the versions that were put on them, one after the other */
#include "page/chain.h"

#include <stdio.h>
#include <stdlib.h>

#include "page/page_check.h"
#include "page/search.h"
#include "page/visibility.h"
#include "page_fixture.h"
#include "tests/support/suite.h"

#define PAGE 5u
#define ARENA_SIZE ((uint64_t)4 << 20)
#define VERSIONS_MAX 400u

static struct test_arena arena;
static struct rng rng;

static void set_up(void)
{
	test_arena_init(&arena, ARENA_SIZE);
	search_select(SEARCH_AVX512);
}

static void tear_down(void)
{
	test_arena_deinit(&arena);
}

static bool chain_is_sound(arena_off head, bool resolved)
{
	arena_off bad;
	const char *wrong = page_check_chain(arena.bytes, arena.size, head, PAGE, resolved, &bad);

	if (wrong != NULL)
		printf("  page_check_chain: %s\n", wrong);
	return wrong == NULL;
}

static arena_off put(struct bwt_slice key, struct bwt_slice value, arena_off below, uint64_t lsn)
{
	struct version_spec spec = {key, key_hash(key), value.data, (uint32_t)value.size, 0};

	return test_delta(&arena, &spec, below, word_make(WORD_COMMITTED, lsn));
}

static bool entry_is(const struct page_entry *entry, struct bwt_slice key, struct bwt_slice value)
{
	return key_ref_is(&entry->key, key) &&
	       slice_equal((struct bwt_slice){entry->value, entry->value_size}, value);
}

static arena_off sample_chain(void)
{
	struct page_entry entries[] = {
		entry_make(TEXT("a"), TEXT("a2"), 0, 32),
		entry_make(TEXT("a"), TEXT("a1"), 0, 16),
		entry_make(TEXT("c"), TEXT("c1"), 0, 0),
	};
	struct page_bounds bounds = bounds_all();
	arena_off head = test_leaf(&arena, entries, 3, &bounds, PAGE);

	head = put(TEXT("b"), TEXT("b1"), head, 160);
	head = put(TEXT("a"), TEXT("a3"), head, 176);
	return put(TEXT("b"), TEXT("b2"), head, 192);
}

static void a_walk_gives_deltas_then_base_entries_newest_first(void)
{
	arena_off head = sample_chain();
	struct version_walk walk;
	struct page_entry entry;

	version_walk_init(&walk, arena.bytes, head, TEXT("a"), key_hash(TEXT("a")));
	CU_ASSERT_TRUE_FATAL(version_walk_next(&walk, &entry));
	CU_ASSERT_TRUE(entry_is(&entry, TEXT("a"), TEXT("a3")));
	CU_ASSERT_TRUE(entry.word != NULL && *entry.word == word_make(WORD_COMMITTED, 176));
	CU_ASSERT_TRUE_FATAL(version_walk_next(&walk, &entry));
	CU_ASSERT_TRUE(entry_is(&entry, TEXT("a"), TEXT("a2")));
	CU_ASSERT_PTR_NULL(entry.word);
	CU_ASSERT_EQUAL(entry.lsn, 32);
	CU_ASSERT_TRUE_FATAL(version_walk_next(&walk, &entry));
	CU_ASSERT_TRUE(entry_is(&entry, TEXT("a"), TEXT("a1")));
	CU_ASSERT_FALSE(version_walk_next(&walk, &entry));
	CU_ASSERT_FALSE(version_walk_next(&walk, &entry));
}

static void a_walk_for_an_absent_key_gives_nothing(void)
{
	struct version_walk walk;
	struct page_entry entry;

	version_walk_init(&walk, arena.bytes, sample_chain(), TEXT("d"), key_hash(TEXT("d")));
	CU_ASSERT_FALSE(version_walk_next(&walk, &entry));
}

/* Fingerprint and even the whole hash may be those of another key. */
static void keys_with_one_hash_are_told_apart(void)
{
	struct page_bounds bounds = bounds_all();
	arena_off base = test_leaf(&arena, NULL, 0, &bounds, PAGE);
	struct version_spec spec = {TEXT("other"), key_hash(TEXT("key")), "x", 1, 0};
	arena_off head = test_delta(&arena, &spec, base, word_make(WORD_COMMITTED, 160));
	struct version_walk walk;
	struct page_entry entry;

	version_walk_init(&walk, arena.bytes, head, TEXT("key"), key_hash(TEXT("key")));
	CU_ASSERT_FALSE(version_walk_next(&walk, &entry));
}

static void a_merge_is_sorted_by_key_newest_first(void)
{
	arena_off head = sample_chain();
	struct page_entry entries[6];

	CU_ASSERT_EQUAL(chain_version_count(arena.bytes, head), 6);
	CU_ASSERT_EQUAL_FATAL(chain_merge(arena.bytes, head, entries), 6);
	CU_ASSERT_TRUE(entry_is(&entries[0], TEXT("a"), TEXT("a3")));
	CU_ASSERT_TRUE(entry_is(&entries[1], TEXT("a"), TEXT("a2")));
	CU_ASSERT_TRUE(entry_is(&entries[2], TEXT("a"), TEXT("a1")));
	CU_ASSERT_TRUE(entry_is(&entries[3], TEXT("b"), TEXT("b2")));
	CU_ASSERT_TRUE(entry_is(&entries[4], TEXT("b"), TEXT("b1")));
	CU_ASSERT_TRUE(entry_is(&entries[5], TEXT("c"), TEXT("c1")));
}

static void a_base_page_alone_is_a_chain(void)
{
	struct page_entry entries[] = {entry_make(TEXT("k"), TEXT("v"), 0, 0)}, got[1];
	struct page_bounds bounds = bounds_all();
	arena_off head = test_leaf(&arena, entries, 1, &bounds, PAGE);

	CU_ASSERT_PTR_EQUAL(chain_base(arena.bytes, head), test_arena_at(&arena, head));
	CU_ASSERT_EQUAL(chain_version_count(arena.bytes, head), 1);
	CU_ASSERT_EQUAL(chain_merge(arena.bytes, head, got), 1);
	CU_ASSERT_TRUE(entry_is(&got[0], TEXT("k"), TEXT("v")));
	CU_ASSERT_TRUE(chain_is_sound(head, true));
}

/* ---- random chains ---- */

struct version { /* in the order they were put */
	struct bwt_slice key;
	uint64_t word; /* of a delta; 0: in the base page */
	uint64_t lsn;
	uint8_t value[8]; /* the same number in every version's value */
};

struct model {
	struct key_set keys;
	struct version versions[VERSIONS_MAX];
	unsigned count;
	arena_off head;
};

static int order_for_base(const void *a, const void *b)
{
	const struct version *x = *(const struct version *const *)a;
	const struct version *y = *(const struct version *const *)b;
	int order = key_order_by_definition(x->key, y->key);

	return order != 0 ? order : (x->lsn < y->lsn) - (x->lsn > y->lsn);
}

static struct version *add_version(struct model *model)
{
	struct version *version = &model->versions[model->count];
	uint64_t number = model->count;

	version->key = model->keys.keys[rng_below(&rng, model->keys.count)];
	version->lsn = 160 + 16 * (uint64_t)model->count++;
	version->word = 0;
	memcpy(version->value, &number, sizeof number);
	return version;
}

/* Base entries in key order, newest first; the model's array stays in the order of time. */
static arena_off model_base(struct model *model, unsigned count)
{
	struct version *sorted[VERSIONS_MAX];
	struct page_entry entries[VERSIONS_MAX];
	struct page_bounds bounds = bounds_all();

	for (unsigned i = 0; i < count; i++)
		sorted[i] = add_version(model);
	qsort(sorted, count, sizeof *sorted, order_for_base);
	for (unsigned i = 0; i < count; i++)
		entries[i] = entry_make(sorted[i]->key, (struct bwt_slice){sorted[i]->value, 8}, 0,
		                        sorted[i]->lsn);
	return test_leaf(&arena, entries, count, &bounds, PAGE);
}

static void model_init(struct model *model, enum key_family family, unsigned base_count,
                       unsigned delta_count)
{
	key_set_init(&model->keys, &rng, family, (unsigned)rng_range(&rng, 1, 60));
	arena.used = BLOCK_ALIGN;
	model->count = 0;
	model->head = model_base(model, base_count);
	for (unsigned i = 0; i < delta_count; i++) {
		struct version *version = add_version(model);
		struct version_spec spec = {version->key, key_hash(version->key), version->value, 8,
		                            0};

		version->word = rng_chance(&rng, 20) ? word_make(WORD_ABORTED, 0)
		                                     : word_make(WORD_COMMITTED, version->lsn);
		model->head = test_delta(&arena, &spec, model->head, version->word);
	}
}

static bool version_is(const struct page_entry *entry, const struct version *version)
{
	if (!entry_is(entry, version->key, (struct bwt_slice){version->value, 8}))
		return false;
	return version->word != 0 ? entry->word != NULL && *entry->word == version->word
	                          : entry->word == NULL && entry->lsn == version->lsn;
}

static unsigned check_walk(const struct model *model, struct bwt_slice key)
{
	struct version_walk walk;
	struct page_entry entry;
	unsigned wrong = 0;

	version_walk_init(&walk, arena.bytes, model->head, key, key_hash(key));
	for (unsigned i = model->count; i-- > 0;)
		if (slice_equal(model->versions[i].key, key))
			wrong += !version_walk_next(&walk, &entry) ||
			         !version_is(&entry, &model->versions[i]);
	return wrong + version_walk_next(&walk, &entry);
}

static unsigned check_merge(const struct model *model)
{
	static struct page_entry entries[VERSIONS_MAX];
	unsigned count = chain_merge(arena.bytes, model->head, entries), at = 0, wrong = 0;

	if (count != model->count || count != chain_version_count(arena.bytes, model->head))
		return 1;
	for (unsigned k = 0; k < model->keys.count; k++) {
		bool older = false;

		for (unsigned i = model->count; i-- > 0;) {
			if (!slice_equal(model->versions[i].key, model->keys.keys[k]))
				continue;
			wrong += ((entries[at].flags & VERSION_OLDER) != 0) != older;
			wrong += !version_is(&entries[at++], &model->versions[i]);
			older = true;
		}
	}
	return wrong;
}

static void random_chains_read_and_merge_as_the_model(void)
{
	static struct model model;
	unsigned wrong = 0, rounds = suite_short() ? 100 : 1000;

	for (unsigned round = 0; round < rounds; round++) {
		enum key_family family = (enum key_family)(round % KEYS_FAMILIES);

		model_init(&model, family, (unsigned)rng_below(&rng, 100),
		           (unsigned)rng_below(&rng, DELTA_CHAIN_MAX + 1));
		search_select((enum search_level)(round % 3));
		wrong += !chain_is_sound(model.head, true);
		wrong += check_merge(&model);
		for (unsigned i = 0; i < model.keys.count; i++)
			wrong += check_walk(&model, model.keys.keys[i]);
		for (unsigned i = 0; i < 20; i++) {
			struct bwt_slice key = key_make(&rng, family);

			wrong += check_walk(&model, key);
			free((void *)(uintptr_t)key.data);
		}
		key_set_deinit(&model.keys);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* ---- inner pages ---- */

static bool high_is(const struct key_ref *high, struct bwt_slice expected)
{
	return expected.data == NULL ? key_ref_size(high) == 0 : key_ref_is(high, expected);
}

static void newer_index_deltas_split_the_ranges_of_older_ones(void)
{
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 10}, {key_ref_of(TEXT("p")), 20}};
	struct page_bounds bounds = bounds_all();
	arena_off head = test_inner(&arena, children, 2, 1, &bounds, PAGE);
	struct inner_entry entries[5];
	struct key_ref high;

	head = test_index_delta(&arena, TEXT("d"), TEXT("p"), 11, head);
	head = test_index_delta(&arena, TEXT("h"), TEXT("p"), 12, head);
	head = test_index_delta(&arena, TEXT("t"), NO_KEY, 21, head);
	CU_ASSERT_TRUE(chain_is_sound(head, false));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("a"), false, &high), 10);
	CU_ASSERT_TRUE(high_is(&high, TEXT("d")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("d"), false, &high), 11);
	CU_ASSERT_TRUE(high_is(&high, TEXT("h")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("h"), false, &high), 12);
	CU_ASSERT_TRUE(high_is(&high, TEXT("p")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("p"), false, &high), 20);
	CU_ASSERT_TRUE(high_is(&high, TEXT("t")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("t"), false, &high), 21);
	CU_ASSERT_TRUE(high_is(&high, NO_KEY));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("t"), true, &high), 20);
	CU_ASSERT_TRUE(high_is(&high, TEXT("t")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("p"), true, NULL), 12);
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("h"), true, NULL), 11);
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("d"), true, NULL), 10);
	CU_ASSERT_EQUAL(index_child_count(arena.bytes, head), 5);
	CU_ASSERT_EQUAL_FATAL(index_merge(arena.bytes, head, entries), 5);
	for (unsigned i = 0; i < 5; i++) {
		static const page_id expected[] = {10, 11, 12, 20, 21};

		CU_ASSERT_EQUAL(entries[i].child, expected[i]);
	}
	CU_ASSERT_TRUE(key_ref_is(&entries[2].key, TEXT("h")));
}

static arena_off removal(enum block_tag tag, struct bwt_slice low, struct bwt_slice high,
                         page_id child, arena_off below)
{
	struct index_spec spec = {tag, low, high, child};

	return test_index_record(&arena, &spec, below);
}

static void a_child_that_goes_leaves_its_range_to_the_left_one(void)
{
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 10},
	                                 {key_ref_of(TEXT("h")), 15},
	                                 {key_ref_of(TEXT("p")), 20}};
	struct page_bounds bounds = bounds_all();
	arena_off head = test_inner(&arena, children, 3, 1, &bounds, PAGE);
	struct inner_entry entries[6];
	struct key_ref high;

	head = removal(BLOCK_INDEX_MERGE, TEXT("h"), TEXT("p"), 15, head);
	CU_ASSERT_PTR_NOT_NULL(index_unfinished(arena.bytes, head));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("k"), false, NULL), 15);
	CU_ASSERT_TRUE(index_has(arena.bytes, head, TEXT("h")));
	CU_ASSERT_EQUAL(index_merge(arena.bytes, head, entries), 3);
	CU_ASSERT_TRUE(chain_is_sound(head, false));
	head = removal(BLOCK_INDEX_DELETE, TEXT("h"), TEXT("p"), 10, head);
	CU_ASSERT_PTR_NULL(index_unfinished(arena.bytes, head));
	CU_ASSERT_FALSE(index_has(arena.bytes, head, TEXT("h")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("k"), false, &high), 10);
	CU_ASSERT_TRUE(high_is(&high, TEXT("p")));
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("a"), false, &high), 10);
	CU_ASSERT_TRUE(high_is(&high, TEXT("p"))); /* what was a bound is none any more */
	CU_ASSERT_TRUE(chain_is_sound(head, false));
	head = test_index_delta(&arena, TEXT("h"), TEXT("p"), 16, head);
	CU_ASSERT_EQUAL(index_search(arena.bytes, head, TEXT("k"), false, &high), 16);
	head = removal(BLOCK_INDEX_MERGE, TEXT("p"), NO_KEY, 20, head);
	head = removal(BLOCK_INDEX_DELETE, TEXT("p"), NO_KEY, 16, head);
	CU_ASSERT_EQUAL(index_last(arena.bytes, head), 16);
	CU_ASSERT_EQUAL_FATAL(index_merge(arena.bytes, head, entries), 2);
	CU_ASSERT_EQUAL(entries[0].child, 10);
	CU_ASSERT_EQUAL(entries[1].child, 16);
	CU_ASSERT_TRUE(chain_is_sound(head, true));
}

static const char *wrong_with(arena_off head)
{
	arena_off bad;

	return page_check_chain(arena.bytes, arena.used, head, PAGE, true, &bad);
}

static void removals_that_cannot_be_are_told(void)
{
	struct inner_entry children[] = {{key_ref_of(TEXT("")), 10},
	                                 {key_ref_of(TEXT("h")), 15},
	                                 {key_ref_of(TEXT("p")), 20}};
	struct page_bounds bounds = {TEXT("b"), NO_KEY, 0};
	arena_off base, begun;

	children[0].key = key_ref_of(bounds.low);
	base = test_inner(&arena, children, 3, 1, &bounds, PAGE);
	begun = removal(BLOCK_INDEX_MERGE, TEXT("h"), TEXT("p"), 15, base);
	CU_ASSERT_PTR_NULL(wrong_with(begun));
	CU_ASSERT_PTR_NOT_NULL(wrong_with(removal(BLOCK_INDEX_MERGE, TEXT("b"), TEXT("h"), 10, base)));
	CU_ASSERT_PTR_NOT_NULL(wrong_with(removal(BLOCK_INDEX_MERGE, TEXT("i"), TEXT("p"), 15, base)));
	CU_ASSERT_PTR_NOT_NULL(wrong_with(removal(BLOCK_INDEX_MERGE, TEXT("h"), TEXT("p"), 20, base)));
	CU_ASSERT_PTR_NOT_NULL(wrong_with(removal(BLOCK_INDEX_MERGE, TEXT("h"), NO_KEY, 15, base)));
	CU_ASSERT_PTR_NOT_NULL(wrong_with(removal(BLOCK_INDEX_MERGE, TEXT("p"), NO_KEY, 20, begun)));
	CU_ASSERT_PTR_NOT_NULL(
		wrong_with(removal(BLOCK_INDEX_DELETE, TEXT("h"), TEXT("p"), 10, base)));
	CU_ASSERT_PTR_NOT_NULL(wrong_with(removal(BLOCK_INDEX_DELETE, TEXT("p"), NO_KEY, 15, begun)));
	CU_ASSERT_PTR_NOT_NULL(
		wrong_with(removal(BLOCK_INDEX_DELETE, TEXT("h"), TEXT("p"), 20, begun)));
	CU_ASSERT_PTR_NULL(wrong_with(removal(BLOCK_INDEX_DELETE, TEXT("h"), TEXT("p"), 10, begun)));
}

/*
 * Splits and merges in random order: each inserts an unused key, up to the next key there, which is what a
 * parent knows at that time, or takes one away that is there, and perhaps is to come back. The sorted keys with their children are the model.
 */
struct index_model {
	struct key_set keys;
	bool there[VERSIONS_MAX];
	struct page_bounds bounds;
	arena_off head;
	bool unfinished; /* the newest merge was announced only */
};

static struct bwt_slice next_there(const struct index_model *model, unsigned index)
{
	while (++index < model->keys.count)
		if (model->there[index])
			return model->keys.keys[index];
	return model->bounds.high;
}

static unsigned last_there(const struct index_model *model, unsigned index)
{
	while (!model->there[--index])
		continue;
	return index;
}

/* Child @index, not the first one, is announced to go; with @finish it goes. */
static void index_model_remove(struct index_model *model, unsigned index, bool finish)
{
	struct index_spec spec = {BLOCK_INDEX_MERGE, model->keys.keys[index],
	                          next_there(model, index), index + 100};

	model->head = test_index_record(&arena, &spec, model->head);
	model->unfinished = !finish;
	if (!finish)
		return;
	model->there[index] = false;
	spec.tag = BLOCK_INDEX_DELETE;
	spec.child = last_there(model, index) + 100;
	model->head = test_index_record(&arena, &spec, model->head);
}

static void index_model_init(struct index_model *model, enum key_family family)
{
	struct inner_entry entries[VERSIONS_MAX];
	unsigned count = 0, deltas = (unsigned)rng_below(&rng, 20);

	do {
		key_set_init(&model->keys, &rng, family, (unsigned)rng_range(&rng, 8, 100));
	} while (model->keys.count < 3);
	model->bounds = (struct page_bounds){model->keys.keys[0], NO_KEY, 0};
	if (rng_chance(&rng, 50))
		model->bounds = (struct page_bounds){model->keys.keys[0],
		                                     model->keys.keys[--model->keys.count], 9};
	for (unsigned i = 0; i < model->keys.count; i++) {
		model->there[i] = i == 0 || rng_chance(&rng, 50);
		if (model->there[i])
			entries[count++] =
				(struct inner_entry){key_ref_of(model->keys.keys[i]), i + 100};
	}
	arena.used = BLOCK_ALIGN;
	model->unfinished = false;
	model->head = test_inner(&arena, entries, count, 1, &model->bounds, PAGE);
	for (; deltas > 0; deltas--) {
		unsigned index = (unsigned)rng_below(&rng, model->keys.count);

		if (model->there[index]) {
			if (index != 0 && !model->unfinished)
				index_model_remove(model, index, deltas > 2 || rng_chance(&rng, 50));
			continue;
		}
		model->there[index] = true;
		model->head = test_index_delta(&arena, model->keys.keys[index],
		                               next_there(model, index), index + 100, model->head);
	}
}

static unsigned check_index_search(const struct index_model *model, struct bwt_slice key, bool before)
{
	unsigned child = 0;
	struct key_ref high;

	for (unsigned i = 1; i < model->keys.count; i++)
		if (model->there[i] &&
		    key_order_by_definition(model->keys.keys[i], key) < (before ? 0 : 1))
			child = i;
	if (index_search(arena.bytes, model->head, key, before, NULL) != child + 100)
		return 1;
	return index_search(arena.bytes, model->head, key, before, &high) != child + 100 ||
	       !high_is(&high, next_there(model, child));
}

/* index_last(), where there is a rightmost page. */
static unsigned check_index_last(const struct index_model *model)
{
	unsigned last = model->keys.count - 1;

	while (!model->there[last])
		last--;
	return model->bounds.right == 0 && index_last(arena.bytes, model->head) != last + 100;
}

static unsigned check_index_merge(const struct index_model *model)
{
	static struct inner_entry entries[VERSIONS_MAX];
	unsigned count = index_merge(arena.bytes, model->head, entries), at = 0, wrong = 0;

	for (unsigned i = 0; i < model->keys.count; i++) {
		if (!model->there[i])
			continue;
		if (at == count)
			return 1;
		wrong += entries[at].child != i + 100 ||
		         !key_ref_is(&entries[at].key, model->keys.keys[i]);
		at++;
	}
	return wrong + (at != count) + (index_child_count(arena.bytes, model->head) < count) +
	       (model->unfinished != (index_unfinished(arena.bytes, model->head) != NULL));
}

static void random_index_chains_lead_and_merge_as_the_model(void)
{
	static struct index_model model;
	unsigned wrong = 0, rounds = suite_short() ? 100 : 1000;

	for (unsigned round = 0; round < rounds; round++) {
		enum key_family family = (enum key_family)(round % KEYS_FAMILIES);

		index_model_init(&model, family);
		wrong += !chain_is_sound(model.head, true);
		wrong += check_index_merge(&model);
		wrong += check_index_last(&model);
		for (unsigned i = 0; i < model.keys.count + 30; i++) {
			struct bwt_slice key = key_make(&rng, family);
			struct bwt_slice tried = i < model.keys.count ? model.keys.keys[i] : key;

			if (key_order_by_definition(tried, model.bounds.low) >= 0 &&
			    (model.bounds.right == 0 ||
			     key_order_by_definition(tried, model.bounds.high) < 0)) {
				wrong += check_index_search(&model, tried, false);
				if (tried.size != 0)
					wrong += check_index_search(&model, tried, true);
			}
			free((void *)(uintptr_t)key.data);
		}
		model.keys.count += model.bounds.right != 0;
		key_set_deinit(&model.keys);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_walk_gives_deltas_then_base_entries_newest_first),
		TEST(a_walk_for_an_absent_key_gives_nothing),
		TEST(keys_with_one_hash_are_told_apart),
		TEST(a_merge_is_sorted_by_key_newest_first),
		TEST(a_base_page_alone_is_a_chain),
		TEST(random_chains_read_and_merge_as_the_model),
		TEST(newer_index_deltas_split_the_ranges_of_older_ones),
		TEST(a_child_that_goes_leaves_its_range_to_the_left_one),
		TEST(removals_that_cannot_be_are_told),
		TEST(random_index_chains_lead_and_merge_as_the_model),
		CU_TEST_INFO_NULL,
	};

	rng_init(&rng, rng_seed());
	return suite_run("chain", set_up, tear_down, tests);
}
