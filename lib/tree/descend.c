/* SPDX-License-Identifier: MIT */
/*
 * descend.c - root to leaf; sideways where a split is not posted yet
 *
 * The low fence of a page never changes, and what left it by a split is behind its right link, so a
 * descent that arrives too far left is right after finitely many steps to the right. A descent that arrives
 * too far right came to a page that was merged into its left neighbour, and goes round: it looks at that
 * neighbour (G1). Right links of a frozen page may be followed like any others.
 * A stored page is input: what a mapping word leads to is looked at before it is believed.
 */
#include "tree/descend.h"

#include "base/error.h"
#include "base/testpoint.h"
#include "page/page_check.h"
#include "tree/heat.h"

#define PREFETCH_LINES 4u
#define MEMORY_PAGE 4096u
#define DESCEND_STEPS_MAX 1000000u /* pages of one descent: beyond it the links form a cycle */
#define DESCEND_ON 1               /* no result of a descent: it is not there yet */

static int wrong_block(const struct tree *tree, page_id page, arena_off off, const char *what)
{
	return error_set(BWT_CORRUPT, "arena: offset %llu, page %llu of tree %u: %s",
	                 (unsigned long long)off, (unsigned long long)page, tree->id, what);
}

static int wrong_links(const struct tree *tree, const struct place *place)
{
	return wrong_block(tree, place->page, place_head(place),
	                   "the levels or links of the tree are wrong");
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

		if (settled != stored) {
			atomic_store_explicit(&delta->lsn_word, settled, memory_order_release);
			/* A reader may be the one, which leaves no gate: it fences itself. */
			sys_persist_flush(&env->arena->map, &delta->lsn_word, sizeof delta->lsn_word);
			sys_persist_drain(&env->arena->map);
		}
		off = left > 1 ? delta->older[0] : delta->base;
	}
}

/* The whole chain of a page that was there at opening. */
static int check_unseen(const struct tree *tree, page_id page, uint64_t *word)
{
	const struct tree_env *env = tree->env;
	arena_off bad = mapping_head(*word);
	const char *wrong = page_check_chain(env->arena->base, arena_size(env->arena),
	                                     mapping_head(*word), page, false, &bad);

	if (wrong == NULL && tree_block(env, mapping_head(*word))->chain != mapping_chain(*word))
		wrong = "the chain has another length than its mapping word says";
	if (wrong != NULL)
		return wrong_block(tree, page, bad, wrong);
	if (env->settle != NULL && !tag_is_index(tree_block(env, mapping_head(*word))->tag))
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

/*
 * The same for a leaf. Its entry often lies in the next page of memory, whose address takes as long to translate as its
 * bytes to come, so that begins now, too.
 */
static inline void prefetch_leaf(const uint8_t *record)
{
	prefetch_record(record);
	__builtin_prefetch(record + MEMORY_PAGE);
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

	if (mapping_has(word, MAPPING_REMOVED))
		return BWT_BUSY;
	if (mapping_has(word, MAPPING_UNSEEN)) {
		rc = check_unseen(tree, page, &word);
		if (rc < 0)
			return rc;
	}
	if (page == tree->root && mapping_frozen(word))
		return wrong_block(tree, page, head, "a root is frozen");
	if (!mapping_is_page(word) || head >= arena_size(tree->env->arena))
		return wrong_block(tree, page, head, "no such page");
	prefetch_record(arena_at(tree->env->arena, head));
	base = chain_base(tree->env->arena->base, head);
	if (mapping_chain(word) != 0)
		prefetch_record((const uint8_t *)base);
	if (base->head.page != page ||
	    base->head.tag != (base->level == 0 ? BLOCK_LEAF : BLOCK_INNER))
		return wrong_block(tree, page, head, "not a page");
	*place = (struct place){page, word, base};
	return BWT_OK;
}

/* Does the page end before @key (or, @before, before the keys just below it)? */
static bool ends_before(const struct base_page *base, struct bwt_slice key, bool before)
{
	if (base->right == 0)
		return false;
	return before ? key_compare(base_high(base), key) < 0 : !base_covers(base, key);
}

static struct missing_child unfinished(const struct place *place, page_id page, bool frozen)
{
	return (struct missing_child){true, frozen, page, place->base->level,
	                              frozen ? base_low(place->base) : base_high(place->base)};
}

struct aim { /* of a descent */
	struct bwt_slice key;
	bool before;
	unsigned level;
	bool as_it_is; /* a frozen page on that level is what is looked for */
};

static int descend(const struct tree *tree, const struct aim *aim, unsigned *steps,
                   struct place *place, struct missing_child *missing);

/*
 * @place is frozen and has the keys that are asked for. Where its left neighbour has taken its content in, that
 * neighbour becomes @place, to go on from. Each level asks the levels above only, so this ends.
 * BWT_BUSY: it is all over, begin anew at the root.
 */
static int go_round(const struct tree *tree, unsigned *steps, struct place *place)
{
	const uint8_t *arena = tree->env->arena->base;
	struct bwt_slice low = base_low(place->base);
	struct aim left = {low, true, place->base->level, true};
	struct place beside;
	int rc;

	if (TEST_FAULT("descend_no_detour"))
		return BWT_OK;
	if (low.size == 0) { /* it is going into the root, which has it still, or is what it was */
		rc = page_look(tree, tree->root, &beside);
		if (rc < 0)
			return rc;
		return beside.base->level == place->base->level + 1 &&
		                       index_search(arena, place_head(&beside), low, false, NULL) ==
		                               place->page
		               ? BWT_OK
		               : BWT_BUSY;
	}
	rc = descend(tree, &left, steps, &beside, NULL);
	if (rc < 0)
		return rc == BWT_NOT_FOUND ? BWT_BUSY : rc;
	if (mapping_frozen(beside.word)) /* only after @place went: one merge at a time below a parent */
		return BWT_BUSY;
	if (beside.base->right != place->page)
		*place = beside;
	return BWT_OK;
}

/* A frozen page with the keys of the aim was met: stay (BWT_OK, same page), go on elsewhere, or begin anew (BWT_BUSY). */
static int meet_frozen(const struct tree *tree, const struct aim *aim, unsigned *steps,
                       struct place *place, struct missing_child *missing)
{
	if (aim->as_it_is && place->base->level == aim->level)
		return BWT_OK;
	if (missing != NULL)
		*missing = unfinished(place, place->page, true);
	return go_round(tree, steps, place);
}

/* From @page one page further: BWT_OK: @place is what is aimed at. DESCEND_ON: *page is to be looked at next. */
static inline int descend_step(const struct tree *tree, const struct aim *aim, unsigned *steps,
                               page_id *page, struct place *place, struct missing_child *missing)
{
	int rc = page_look(tree, *page, place);

	if (rc == BWT_OK && ends_before(place->base, aim->key, aim->before)) {
		*page = place->base->right;
		if (missing != NULL)
			*missing = unfinished(place, *page, false);
		return DESCEND_ON;
	}
	if (rc == BWT_OK && mapping_frozen(place->word)) {
		rc = meet_frozen(tree, aim, steps, place, missing);
		if (rc == BWT_OK && place->page != *page) {
			*page = place->page;
			return DESCEND_ON;
		}
	}
	if (rc == BWT_BUSY) {
		*page = tree->root;
		return DESCEND_ON;
	}
	if (rc < 0 || place->base->level == aim->level)
		return rc;
	if (place->base->level < aim->level)
		return *page == tree->root ? BWT_NOT_FOUND : wrong_links(tree, place);
	*page = index_search(tree->env->arena->base, place_head(place), aim->key, aim->before, NULL);
	return DESCEND_ON;
}

/* @steps: what is left of DESCEND_STEPS_MAX. */
static int descend(const struct tree *tree, const struct aim *aim, unsigned *steps,
                   struct place *place, struct missing_child *missing)
{
	page_id page = tree->root;

	if (missing != NULL)
		missing->found = false;
	for (; *steps > 0; --*steps) {
		int rc = descend_step(tree, aim, steps, &page, place, missing);

		if (rc != DESCEND_ON)
			return rc;
	}
	return wrong_links(tree, place);
}

/* ---- the usual case ---- */

/*
 * Nearly every descent meets pages only that are checked, not frozen, and cover the key. These need fewer questions, so
 * they are asked here; at anything else the answer is "do it step by step", which decides afresh.
 */

/* The record that @page begins with, if there is nothing to be said about it; NULL: look closer. */
static inline const uint8_t *plain_record(const struct tree *tree, page_id page, uint64_t size,
                                          uint64_t *word)
{
	const struct mapping *mapping = tree->env->mapping;
	arena_off head;

	if (page >= mapping->table.capacity)
		return NULL;
	*word = mapping_load(mapping, page);
	head = mapping_head(*word);
	/* Offset 0 is no page's. */
	if (mapping_mark(*word) != MAPPING_PAGE || head - 1 >= size - 1)
		return NULL;
	return arena_at(tree->env->arena, head);
}

static inline const struct base_page *plain_base(const struct tree *tree, page_id page,
                                                 uint64_t word, const uint8_t *record)
{
	const struct base_page *base = (const struct base_page *)(const void *)record;

	if (mapping_chain(word) != 0) {
		base = chain_base(tree->env->arena->base, mapping_head(word));
		prefetch_record((const uint8_t *)base);
	}
	if (base->head.page != page ||
	    base->head.tag != (base->level == 0 ? BLOCK_LEAF : BLOCK_INNER))
		return NULL;
	return base;
}

/* The child of an inner page that covers @key; 0: look closer. */
static inline page_id plain_child(const struct tree *tree, const struct place *place,
                                  struct bwt_slice key)
{
	if (mapping_chain(place->word) == 0)
		return inner_step(place->base, key);
	if (!base_covers(place->base, key))
		return 0;
	return index_search(tree->env->arena->base, place_head(place), key, false, NULL);
}

/* @slot: of a reader, who tells of pages that are quiet; NULL: of somebody else */
static inline bool descend_plainly(const struct tree *tree, struct epoch_slot *slot,
                                   struct bwt_slice key, struct place *place)
{
	const uint64_t size = arena_size(tree->env->arena);
	page_id page = tree->root;
	bool to_leaf = false;

	for (unsigned depth = 0; depth < TREE_DEPTH_MAX && page != 0; depth++) {
		const uint8_t *record = plain_record(tree, page, size, &place->word);

		if (record == NULL)
			return false;
		if (to_leaf)
			prefetch_leaf(record);
		else
			prefetch_record(record);
		place->page = page;
		place->base = plain_base(tree, page, place->word, record);
		if (place->base == NULL)
			return false;
		if (slot != NULL)
			heat_note(tree, slot, place);
		if (place->base->level == 0)
			return base_covers(place->base, key);
		to_leaf = place->base->level == 1;
		page = plain_child(tree, place, key);
	}
	return false;
}

int tree_descend(const struct tree *tree, struct bwt_slice key, bool before, unsigned level,
                 struct place *place, struct missing_child *missing)
{
	struct aim aim = {key, before, level, false};
	unsigned steps = DESCEND_STEPS_MAX;

	if (level == 0 && !before && descend_plainly(tree, NULL, key, place)) {
		if (missing != NULL)
			missing->found = false;
		return BWT_OK;
	}
	return descend(tree, &aim, &steps, place, missing);
}

int tree_descend_reading(const struct tree *tree, struct epoch_slot *slot, struct bwt_slice key,
                         struct place *place)
{
	struct aim aim = {key, false, 0, false};
	unsigned steps = DESCEND_STEPS_MAX;
	int rc;

	if (descend_plainly(tree, slot, key, place))
		return BWT_OK;
	rc = descend(tree, &aim, &steps, place, NULL);
	if (rc == BWT_OK)
		heat_note(tree, slot, place);
	return rc;
}

/* ---- many at once ---- */

/*
 * Level by level for all: while one key's page is on its way from memory, the others' are asked for. A page that a
 * descent comes to is touched in rounds, each of which finds in the cache what the one before has asked for.
 * One that leaves the usual case has page 0 from there on.
 */
static void many_fetch(const struct tree *tree, struct descent *descents, unsigned count)
{
	const uint64_t size = arena_size(tree->env->arena);
	bool chains = false;

	for (unsigned i = 0; i < count; i++) {
		struct descent *one = &descents[i];

		if (one->page == 0)
			continue;
		one->record = plain_record(tree, one->page, size, &one->place.word);
		if (one->record == NULL) {
			one->page = 0;
			continue;
		}
		if (one->to_leaf)
			prefetch_leaf(one->record);
		else
			prefetch_record(one->record);
		chains = chains || mapping_chain(one->place.word) != 0;
	}
	for (unsigned i = 0; chains && i < count; i++)
		if (descents[i].page != 0 && mapping_chain(descents[i].place.word) != 0)
			prefetch_record((const uint8_t *)chain_base(
				tree->env->arena->base, mapping_head(descents[i].place.word)));
}

/* One page further; false: no more, be it at the leaf (BWT_OK) or out of the usual case. */
static inline bool many_step(const struct tree *tree, struct epoch_slot *slot, struct descent *one)
{
	struct place *place = &one->place;

	place->page = one->page;
	place->base = plain_base(tree, one->page, place->word, one->record);
	one->page = 0;
	if (place->base == NULL)
		return false;
	heat_note(tree, slot, place);
	if (place->base->level == 0) {
		if (base_covers(place->base, one->key))
			one->rc = BWT_OK;
		return false;
	}
	one->to_leaf = place->base->level == 1;
	one->page = plain_child(tree, place, one->key);
	if (one->page >= tree->env->mapping->table.capacity)
		one->page = 0;
	__builtin_prefetch(&tree->env->mapping->table.words[one->page]);
	return one->page != 0;
}

void tree_descend_many(const struct tree *tree, struct epoch_slot *slot, struct descent *descents,
                       unsigned count)
{
	unsigned left = count;

	for (unsigned i = 0; i < count; i++) {
		descents[i].rc = DESCEND_ON;
		descents[i].page = tree->root;
		descents[i].to_leaf = false;
	}
	for (unsigned depth = 0; left > 0 && depth < TREE_DEPTH_MAX; depth++) {
		many_fetch(tree, descents, count);
		left = 0;
		for (unsigned i = 0; i < count; i++)
			if (descents[i].page != 0)
				left += many_step(tree, slot, &descents[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		struct aim aim = {descents[i].key, false, 0, false};
		unsigned steps = DESCEND_STEPS_MAX;

		if (descents[i].rc != DESCEND_ON)
			continue;
		descents[i].rc = descend(tree, &aim, &steps, &descents[i].place, NULL);
		if (descents[i].rc == BWT_OK)
			heat_note(tree, slot, &descents[i].place);
	}
}

int tree_descend_left(const struct tree *tree, struct bwt_slice low, unsigned level,
                      struct place *place)
{
	struct aim aim = {low, true, level, true};
	unsigned steps = DESCEND_STEPS_MAX;

	return descend(tree, &aim, &steps, place, NULL);
}

int tree_descend_last(const struct tree *tree, struct place *place)
{
	const uint8_t *arena = tree->env->arena->base;
	page_id page = tree->root;

	for (unsigned steps = DESCEND_STEPS_MAX; steps > 0; steps--) {
		int rc = page_look(tree, page, place);

		if (rc == BWT_OK && place->base->right != 0) {
			page = place->base->right;
			continue;
		}
		if (rc == BWT_OK && mapping_frozen(place->word)) {
			rc = go_round(tree, &steps, place);
			if (rc == BWT_OK && place->page != page) {
				page = place->page;
				continue;
			}
		}
		if (rc == BWT_BUSY) {
			page = tree->root;
			continue;
		}
		if (rc < 0)
			return rc;
		if (place->base->level == 0)
			return BWT_OK;
		page = index_last(arena, place_head(place));
	}
	return wrong_links(tree, place);
}

bool place_reload(const struct tree *tree, struct place *place, struct bwt_slice key)
{
	unsigned level = place->base->level;

	return page_look(tree, place->page, place) == BWT_OK && !mapping_frozen(place->word) &&
	       place->base->level == level && !ends_before(place->base, key, false);
}
