/* SPDX-License-Identifier: MIT */
/*
 * tree_check.c - depth first, left to right, with what the level's neighbour said kept beside
 *
 * Memory is bounded by the depth: of each inner page on the way its list of children is kept. What a
 * page promises is compared with what led to it: its parent's key for it, the fence at which the page
 * to its left ended, and the link of that page.
 */
#include "tree/tree_check.h"

#include <errno.h>
#include <stdlib.h>

#include "page/page_check.h"
#include "page/visibility.h"
#include "tree/descend.h"

struct level_end { /* what the last page of a level said about the next one */
	bool known;
	page_id right;
};

struct checker {
	const struct tree *tree;
	struct tree_check *check;
	struct level_end ends[TREE_DEPTH_MAX];
	struct page_entry *entries; /* of one leaf */
	unsigned entry_room;
	int rc;
};

struct expected { /* of a page, by what led to it */
	unsigned level;
	bool may_be_frozen;
	struct key_ref low;
	bool endless;        /* the range has no upper bound */
	struct key_ref high; /* of the range that is left, unless endless */
};

static int check_page(struct checker *checker, page_id page, const struct expected *expected,
                      const struct base_page **base);

static void report(struct checker *checker, page_id page, arena_off off,
                   const struct base_page *base, const char *text)
{
	struct tree_fault fault = {.page = page, .off = off, .text = text};

	if (checker->check->dropping)
		return;
	if (base != NULL) {
		fault.low = base_low(base);
		fault.high = base_high(base);
	}
	checker->check->fault(checker->check->ctx, &fault);
}

/* The page cannot be followed: its keys are those that its parent promised. */
static void report_lost(struct checker *checker, page_id page, arena_off off,
                        const struct expected *expected, const char *text)
{
	struct tree_fault fault = {.page = page, .off = off, .text = text};
	size_t low_size = key_ref_size(&expected->low);
	size_t high_size = expected->endless ? 0 : key_ref_size(&expected->high);
	uint8_t *keys;

	for (unsigned level = 0; level <= expected->level; level++)
		checker->ends[level].known = false; /* of what is below it nothing is known either */
	if (checker->check->dropping)
		return;
	keys = malloc(low_size + high_size + 1);
	if (keys != NULL) {
		key_ref_copy(&expected->low, 0, keys);
		fault.low = (struct bwt_slice){keys, low_size};
		if (!expected->endless) {
			key_ref_copy(&expected->high, 0, keys + low_size);
			fault.high = (struct bwt_slice){keys + low_size, high_size};
		}
	}
	checker->check->fault(checker->check->ctx, &fault);
	free(keys);
}

/* ---- one page ---- */

static void each_block(struct checker *checker, arena_off head)
{
	const uint8_t *arena = checker->tree->env->arena->base;
	const struct block_head *block = (const struct block_head *)(arena + head);
	void *ctx = checker->check->ctx;

	while (block->chain > 0) {
		checker->check->block(ctx, head, block->size);
		head = delta_below(block);
		block = (const struct block_head *)(arena + head);
	}
	checker->check->block(ctx, head, block->size);
}

static uint64_t entry_word(const struct page_entry *entry)
{
	return entry->word == NULL ? word_make(WORD_COMMITTED, entry->lsn)
	                           : atomic_load_explicit(entry->word, memory_order_acquire);
}

/* TC4 for the versions [first, count) of one key; returns how many there are. */
static unsigned check_key(struct checker *checker, page_id page, const struct base_page *base,
                          const struct page_entry *entries, unsigned count)
{
	bool newest = true;
	uint64_t above = UINT64_MAX;
	unsigned i = 0;

	do {
		const struct page_entry *entry = &entries[i];
		uint64_t word = entry_word(entry);
		struct value_ref ref;

		i++;
		if (word_state(word) != WORD_COMMITTED)
			continue;
		if (word_lsn(word) >= above)
			report(checker, page, 0, base, "the versions of a key are not in LSN order");
		above = word_lsn(word);
		if (newest && (entry->flags & VERSION_TOMBSTONE) == 0)
			checker->check->keys++;
		newest = false;
		if ((entry->flags & VERSION_VLOG) != 0) {
			memcpy(&ref, entry->value, sizeof ref);
			checker->check->large(checker->check->ctx, page, entry, &ref);
		}
	} while (i < count && key_ref_compare(&entries[i].key, &entries[0].key) == 0);
	return i;
}

static int check_leaf(struct checker *checker, page_id page, arena_off head,
                      const struct base_page *base)
{
	const uint8_t *arena = checker->tree->env->arena->base;
	unsigned room = chain_version_count(arena, head);
	struct bwt_slice low = base_low(base), high = base_high(base);
	unsigned count, i = 0;

	if (room > checker->entry_room) {
		free(checker->entries);
		checker->entry_room = 0;
		checker->entries = malloc(room * sizeof *checker->entries);
		if (checker->entries == NULL)
			return -ENOMEM;
		checker->entry_room = room;
	}
	if (room == 0)
		return 0;
	count = chain_merge(arena, head, checker->entries);
	while (i < count) {
		const struct page_entry *entry = &checker->entries[i];

		if (key_ref_compare_slice(&entry->key, low) < 0 ||
		    (high.data != NULL && key_ref_compare_slice(&entry->key, high) >= 0))
			report(checker, page, head, base,
			       "a key lies outside the fences of its page");
		if (i > 0 && key_ref_compare(&checker->entries[i - 1].key, &entry->key) >= 0)
			report(checker, page, head, base, "keys are not in order");
		i += check_key(checker, page, base, entry, count - i);
	}
	return 0;
}

/* ---- children ---- */

/* Child @page and the siblings to its right that its parent does not know yet, up to the end of the range. */
static int check_range(struct checker *checker, page_id page, struct expected *expected)
{
	const struct base_page *base = NULL;
	int rc = check_page(checker, page, expected, &base);

	while (rc == 0 && base != NULL) {
		struct bwt_slice high = base_high(base);
		int order = 0;

		if (base->right == 0)
			order = expected->endless ? 0 : 1;
		else
			order = expected->endless ? -1
			                          : -key_ref_compare_slice(&expected->high, high);
		if (order > 0)
			report(checker, page, 0, base,
			       "the page covers keys that are its neighbour's");
		if (order >= 0)
			break;
		expected->low = key_ref_of(high);
		page = base->right;
		rc = check_page(checker, page, expected, &base);
	}
	return rc;
}

/* Has the left neighbour of child @gone, of which only the announcement tells, taken its keys? (merge.h, MG4) */
static bool was_absorbed(const struct checker *checker, const struct index_delta *gone, unsigned level)
{
	const struct mapping *mapping = checker->tree->env->mapping;
	uint64_t word =
		gone->child < mapping->table.capacity ? mapping_load(mapping, gone->child) : 0;
	struct place left;

	return mapping_frozen(word) &&
	       tree_descend_left(checker->tree, index_delta_low(gone), level, &left) == BWT_OK &&
	       left.base->right != gone->child;
}

/* TC5, state 3: a page whose keys are its neighbour's already. */
static void check_absorbed(struct checker *checker, page_id page)
{
	const struct tree_env *env = checker->tree->env;
	arena_off head = mapping_head(mapping_load(env->mapping, page)), bad = 0;
	const char *wrong;

	if (!checker->check->reach(checker->check->ctx, page)) {
		report(checker, page, 0, NULL, "the page is reached twice");
		return;
	}
	checker->check->pages++;
	wrong = page_check_chain(env->arena->base, arena_size(env->arena), head, page, false, &bad);
	if (wrong != NULL)
		report(checker, page, bad, NULL, wrong);
	else
		each_block(checker, head);
}

static int check_children(struct checker *checker, page_id page, arena_off head,
                          const struct base_page *base)
{
	const uint8_t *arena = checker->tree->env->arena->base;
	unsigned room = index_child_count(arena, head);
	struct inner_entry *children = malloc((room + 1) * sizeof *children);
	const struct index_delta *gone = index_unfinished(arena, head);
	bool absorbed = gone != NULL && was_absorbed(checker, gone, base->level - 1u);
	struct bwt_slice high = base_high(base);
	unsigned count, next;
	int rc = 0;

	if (children == NULL)
		return -ENOMEM;
	count = index_merge(arena, head, children);
	for (unsigned i = 0; i < count && rc == 0; i = next) {
		struct expected expected = {
			.level = base->level - 1u,
			.may_be_frozen = gone != NULL ? gone->child == children[i].child
		                                      : count == 1 && page == checker->tree->root,
			.low = i == 0 ? key_ref_of(base_low(base)) : children[i].key,
		};

		next = i + 1;
		if (next < count && absorbed && children[next].child == gone->child)
			check_absorbed(checker, children[next++].child);
		expected.endless = next == count && high.data == NULL;
		if (!expected.endless)
			expected.high = next == count ? key_ref_of(high) : children[next].key;
		if (!expected.endless && key_ref_compare(&expected.low, &expected.high) >= 0) {
			report(checker, page, head, base,
			       "the keys of an inner page are not in order");
			continue;
		}
		rc = check_range(checker, children[i].child, &expected);
	}
	free(children);
	return rc;
}

/* TC1 to TC3: does @base stand where it was expected? */
static void check_place(struct checker *checker, page_id page, const struct base_page *base,
                        const struct expected *expected)
{
	struct level_end *end = &checker->ends[expected->level];

	if (base->head.tree != checker->tree->id)
		report(checker, page, 0, base, "the page belongs to another tree");
	if (key_ref_compare_slice(&expected->low, base_low(base)) != 0)
		report(checker, page, 0, base,
		       "the page does not begin where its parent and its left neighbour say");
	if (end->known && end->right != page)
		report(checker, page, 0, base, "the page to the left links to another page");
	*end = (struct level_end){true, base->right};
}

/* @base: out: the page, NULL when it cannot be followed. */
static int check_page(struct checker *checker, page_id page, const struct expected *expected,
                      const struct base_page **base)
{
	const struct tree_env *env = checker->tree->env;
	uint64_t word = page < env->mapping->table.capacity
	                        ? mapping_stored(mapping_load(env->mapping, page))
	                        : 0;
	arena_off head = mapping_head(word);
	arena_off bad = 0;
	const char *wrong;

	*base = NULL;
	if (word == 0) {
		report_lost(checker, page, 0, expected, "the page is not there");
		return 0;
	}
	if (!checker->check->reach(checker->check->ctx, page)) {
		report_lost(checker, page, 0, expected, "the page is reached twice");
		return 0;
	}
	checker->check->pages++;
	if (!mapping_is_page(word)) {
		report_lost(checker, page, 0, expected, "the page was freed");
		return 0;
	}
	if (mapping_frozen(word) && !expected->may_be_frozen)
		report(checker, page, head, NULL, "the page is frozen, and its parent does not know");
	wrong = page_check_chain(env->arena->base, arena_size(env->arena), head, page, true, &bad);
	if (wrong == NULL && mapping_chain(word) != tree_block(env, head)->chain) {
		wrong = "the mapping word has another chain length than the chain";
		bad = head;
	}
	if (wrong == NULL && chain_base(env->arena->base, head)->level != expected->level) {
		wrong = "the page is not one level below its parent";
		bad = head;
	}
	if (wrong != NULL) {
		report_lost(checker, page, bad, expected, wrong);
		return 0;
	}
	*base = chain_base(env->arena->base, head);
	each_block(checker, head);
	check_place(checker, page, *base, expected);
	return (*base)->level == 0 ? check_leaf(checker, page, head, *base)
	                           : check_children(checker, page, head, *base);
}

/* The level of the root, which nothing above it tells. */
static bool root_level(const struct tree *tree, unsigned *level)
{
	const struct tree_env *env = tree->env;
	uint64_t word = mapping_stored(mapping_load(env->mapping, tree->root));
	arena_off bad;

	*level = 0;
	if (!mapping_is_page(word) ||
	    page_check_chain(env->arena->base, arena_size(env->arena), mapping_head(word),
	                     tree->root, true, &bad) != NULL)
		return true; /* the walk finds it, and says so */
	*level = chain_base(env->arena->base, mapping_head(word))->level;
	return *level < TREE_DEPTH_MAX;
}

int tree_check(const struct tree *tree, struct tree_check *check)
{
	struct checker checker = {.tree = tree, .check = check};
	struct expected expected = {.low = key_ref_of((struct bwt_slice){"", 0}), .endless = true};
	unsigned level;
	int rc;

	check->keys = 0;
	check->pages = 0;
	check->depth = 0;
	if (tree->root == 0 && check->dropping)
		return 0;
	if (!root_level(tree, &level)) {
		report(&checker, tree->root, 0, NULL, "the tree is deeper than any tree");
		return 0;
	}
	check->depth = level + 1;
	expected.level = level;
	rc = check_range(&checker, tree->root, &expected);
	for (unsigned i = 0; i <= level && rc == 0; i++) {
		if (checker.ends[i].known && checker.ends[i].right != 0)
			report(&checker, checker.ends[i].right, 0, NULL,
			       "the last page of a level links to a further one");
	}
	free(checker.entries);
	return rc;
}
