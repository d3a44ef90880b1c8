/* SPDX-License-Identifier: MIT */
/*
 * descend.c - root to leaf; sideways where a split is not posted yet
 *
 * The high fence of a page never grows (pages only split), and what left it is behind its right
 * link, so a descent that arrives too far left is right after finitely many steps to the right.
 * A stored page is input: what a mapping word leads to is looked at before it is believed.
 */
#include "tree/descend.h"

#include "base/error.h"
#include "page/page_check.h"

#define PREFETCH_LINES 4u
#define DESCEND_STEPS_MAX 1000000u /* pages of one descent: beyond it the links form a cycle */

static int wrong_block(const struct tree *tree, page_id page, arena_off off, const char *what)
{
	return error_set(BWT_CORRUPT, "arena: offset %llu, page %llu of tree %u: %s", (unsigned long long)off,
	                 (unsigned long long)page, tree->id, what);
}

/*
 * Words that the image left open get their meaning: references to transactions, and LSNs stamped after the
 * cut, whose records are replayed (K1). Racing threads write the same.
 */
static void settle_words(const struct tree_env *env, uint64_t word)
{
	arena_off off = mapping_head(word);

	for (unsigned left = mapping_chain(word); left > 0; left--) {
		struct leaf_delta *delta = arena_at(env->arena, off);
		uint64_t stored = atomic_load_explicit(&delta->lsn_word, memory_order_relaxed);
		uint64_t settled = env->settle(env->ctx, stored);

		if (settled != stored)
			atomic_store_explicit(&delta->lsn_word, settled, memory_order_release);
		off = left > 1 ? delta->older[0] : delta->base;
	}
}

/* The whole chain of a page that was there at opening. */
static int check_unseen(const struct tree *tree, page_id page, uint64_t *word)
{
	const struct tree_env *env = tree->env;
	arena_off bad = mapping_head(*word);
	const char *wrong =
	        page_check_chain(env->arena->base, arena_size(env->arena), mapping_head(*word), page, false, &bad);

	if (wrong == NULL && tree_block(env, mapping_head(*word))->chain != mapping_chain(*word))
		wrong = "the chain has another length than its mapping word says";
	if (wrong != NULL)
		return wrong_block(tree, page, bad, wrong);
	if (env->settle != NULL && tree_block(env, mapping_head(*word))->tag != BLOCK_INDEX_INSERT)
		settle_words(env, *word);
	*word = mapping_seen(env->mapping, page, *word);
	return BWT_OK;
}

/*
 * The first lines of a record hold what a look-up touches: fetched together, they cost one cache miss
 * instead of one each.
 */
static inline void prefetch_record(const uint8_t *record)
{
	for (unsigned line = 0; line < PREFETCH_LINES; line++)
		__builtin_prefetch(record + line * CACHE_LINE_SIZE);
}

void page_prefetch(const struct tree *tree, page_id page)
{
	const struct mapping *mapping = tree->env->mapping;

	if (page != 0 && page < mapping->table.capacity)
		prefetch_record(arena_at(tree->env->arena, mapping_head(mapping_load(mapping, page))));
}

/* What a word leads to was checked when it was first met; afterwards this is enough to walk on safely. */
int page_look(const struct tree *tree, page_id page, struct place *place)
{
	const struct mapping *mapping = tree->env->mapping;
	uint64_t word = page < mapping->table.capacity ? mapping_load(mapping, page) : 0;
	arena_off head = mapping_head(word);
	const struct base_page *base;
	int rc;

	if (mapping_mark(word) == MAPPING_UNSEEN) {
		rc = check_unseen(tree, page, &word);
		if (rc < 0)
			return rc;
	}
	if (word == 0 || mapping_mark(word) != MAPPING_PAGE || head >= arena_size(tree->env->arena))
		return wrong_block(tree, page, head, "no such page");
	prefetch_record(arena_at(tree->env->arena, head));
	base = chain_base(tree->env->arena->base, head);
	if (mapping_chain(word) != 0)
		prefetch_record((const uint8_t *)base);
	if (base->head.page != page || base->head.tag != (base->level == 0 ? BLOCK_LEAF : BLOCK_INNER))
		return wrong_block(tree, page, head, "not a page");
	*place = (struct place){ page, word, base };
	return BWT_OK;
}

/* Does the page end before @key (or, @before, before the keys just below it)? */
static bool ends_before(const struct base_page *base, struct bwt_slice key, bool before)
{
	if (base->right == 0)
		return false;
	return before ? key_compare(base_high(base), key) < 0 : !base_covers(base, key);
}

int tree_descend(const struct tree *tree, struct bwt_slice key, bool before, unsigned level, struct place *place,
                 struct missing_child *missing)
{
	const uint8_t *arena = tree->env->arena->base;
	page_id page = tree->root;

	if (missing != NULL)
		missing->found = false;
	for (unsigned step = 0; step < DESCEND_STEPS_MAX; step++) {
		int rc = page_look(tree, page, place);

		if (rc < 0)
			return rc;
		if (ends_before(place->base, key, before)) {
			page = place->base->right;
			if (missing != NULL)
				*missing = (struct missing_child){ true, page, place->base->level,
				                                   base_high(place->base) };
			continue;
		}
		if (place->base->level == level)
			return BWT_OK;
		if (place->base->level < level)
			break;
		page = index_search(arena, place_head(place), key, before, NULL);
	}
	return wrong_block(tree, page, place_head(place), "the levels or links of the tree are wrong");
}

int tree_descend_last(const struct tree *tree, struct place *place)
{
	const uint8_t *arena = tree->env->arena->base;
	page_id page = tree->root;

	for (unsigned step = 0; step < DESCEND_STEPS_MAX; step++) {
		int rc = page_look(tree, page, place);

		if (rc < 0)
			return rc;
		if (place->base->right != 0)
			page = place->base->right;
		else if (place->base->level == 0)
			return BWT_OK;
		else
			page = index_last(arena, place_head(place));
	}
	return wrong_block(tree, page, place_head(place), "the levels or links of the tree are wrong");
}

bool place_reload(const struct tree *tree, struct place *place, struct bwt_slice key)
{
	unsigned level = place->base->level;

	return page_look(tree, place->page, place) == BWT_OK && place->base->level == level &&
	       !ends_before(place->base, key, false);
}
