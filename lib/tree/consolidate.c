/* SPDX-License-Identifier: MIT */
/*
 * consolidate.c - what of a chain stays, and how it is cut into pages
 *
 * Only resolved versions go into base pages (C1), those of undecided transactions are carried as deltas (C2),
 * and what is decided stays right while the page is rebuilt:
 * resolved words are final, and a horizon only keeps more than is needed when it ages. The swap in
 * rebuild_install() fails if anything was prepended meanwhile.
 */
#include "tree/consolidate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "page/visibility.h"
#include "sys/backoff.h"
#include "tree/amend.h"
#include "tree/merge.h"
#include "tree/rebuild.h"
#include "tree/split.h"
#include "tree/values.h"

#define INNER_OVERHEAD 16u
#define CARRY_MAX 24u /* versions carried over one new base page, at most */
#define CARRY_BYTES_MAX                                                                            \
	((size_t)24 << 10) /* their bytes: fewer large ones than make a chain full (write.c) */
#define SCRATCH_STEP ((size_t)64 << 10)

void *slot_scratch(struct epoch_slot *slot, size_t size)
{
	if (size > slot->scratch_size) {
		size_t room = (size + SCRATCH_STEP - 1) / SCRATCH_STEP * SCRATCH_STEP;
		void *scratch = malloc(room);

		if (scratch == NULL)
			return NULL;
		free(slot->scratch);
		slot->scratch = scratch;
		slot->scratch_size = room;
	}
	return slot->scratch;
}

/* ---- the old chain ---- */

/*
 * What a chain leads to was checked once. Where the mapping faulted since (sys/fault.h) there are zeroes, which lead
 * nowhere: the store has failed, and what is behind them is nobody's any more.
 */
static bool chain_ends_here(const struct tree_env *env, arena_off off)
{
	const struct block_head *block = tree_block(env, off);

	return off < EXTENT_SMALL_SIZE || off >= arena_size(env->arena) ||
	       block->tag < BLOCK_LEAF || block->tag >= BLOCK_IMAGE_SEGMENT || block->size == 0;
}

/* Calls @each for every record of the chain, newest first; stops at false. */
static bool chain_each(const struct tree_env *env, uint64_t word,
                       bool (*each)(const struct tree_env *env, arena_off off, uint32_t size))
{
	arena_off off = mapping_head(word);

	for (unsigned left = mapping_chain(word); left > 0; left--) {
		const struct block_head *block = tree_block(env, off);
		arena_off older;

		if (chain_ends_here(env, off))
			return true;
		older = delta_below(block);
		if (!each(env, off, block->size))
			return false;
		off = older;
	}
	return chain_ends_here(env, off) || each(env, off, tree_block(env, off)->size);
}

static bool touch_one(const struct tree_env *env, arena_off off, uint32_t size)
{
	(void)size;
	return extent_touch(env->extents, off);
}

static bool retire_one(const struct tree_env *env, arena_off off, uint32_t size)
{
	extent_retire(env->extents, off, size);
	return true;
}

bool chain_touch(const struct tree_env *env, uint64_t word)
{
	return chain_each(env, word, touch_one);
}

void chain_retire(const struct tree_env *env, uint64_t word)
{
	chain_each(env, word, retire_one);
}

/* ---- pruning ---- */

/* Does some snapshot S with older < S <= newer exist, or may one come? */
static bool seen_between(const struct horizon *horizon, uint64_t older, uint64_t newer)
{
	unsigned from = 0, to = horizon->count;

	if (newer >= horizon->future)
		return true;
	while (from < to) { /* the first live snapshot above `older` */
		unsigned middle = (from + to) / 2;

		if (horizon->lsn[middle] <= older)
			from = middle + 1;
		else
			to = middle;
	}
	return from < horizon->count && horizon->lsn[from] <= newer;
}

unsigned versions_prune(const struct page_entry *versions, unsigned count,
                        const struct horizon *horizon, bool *keep)
{
	uint64_t oldest = horizon->count > 0 ? horizon->lsn[0] : horizon->future;
	unsigned last = 0, kept = 0;

	for (unsigned i = 0; i < count; i++) {
		keep[i] = i == 0 || TEST_FAULT("prune_nothing") ||
		          seen_between(horizon, versions[i].lsn, versions[i - 1].lsn);
		if (TEST_FAULT("prune_visible"))
			keep[i] = i == 0;
		if (keep[i]) {
			last = i;
			kept++;
		}
	}
	/* A tombstone with nothing kept below says no more than absence does, once every snapshot sees it. */
	if (kept > 0 && (versions[last].flags & VERSION_TOMBSTONE) != 0 &&
	    versions[last].lsn < oldest) {
		keep[last] = false;
		kept--;
	}
	return kept;
}

/* ---- a leaf's new content ---- */

/*
 * The final word of a version; or the reference to its transaction, which is undecided: the version is to be
 * carried; or BWT_BUSY: pending and to be left alone.
 */
static int resolve(struct tree *tree, struct epoch_slot *slot, struct page_entry *entry,
                   enum patience patience, uint64_t *word)
{
	const struct tree_env *env = tree->env;
	struct backoff backoff = {0};

	*word = atomic_load_explicit(entry->word, memory_order_acquire);
	if (word_state(*word) == WORD_DESCRIPTOR) {
		uint64_t decided = env->decide(env->ctx, entry->word);

		if (word_state(decided) != WORD_PENDING)
			*word = decided;
		else if (patience == LEAVE_PENDING)
			return BWT_BUSY;
		return BWT_OK;
	}
	while (word_state(*word) == WORD_PENDING) {
		if (TEST_FAULT("consolidate_drops_pending"))
			break;
		if (patience == LEAVE_PENDING)
			return BWT_BUSY;
		if (backoff_pause(&backoff, &slot->random)) {
			*word = atomic_load_explicit(entry->word, memory_order_acquire);
		} else if (atomic_compare_exchange_strong_explicit(
				   entry->word, word, word_make(WORD_ABORTED, 0),
				   memory_order_acq_rel, memory_order_acquire)) {
			*word = word_make(WORD_ABORTED, 0);
			stats_add(tree->env->stats, slot->index, STAT_WOUNDS, 1);
		}
	}
	return BWT_OK;
}

/*
 * Replace words by LSNs, drop aborted versions and move those to be carried to @carried. The new count, or BWT_BUSY.
 */
static int resolve_all(struct tree *tree, struct epoch_slot *slot, struct page_entry *entries,
                       unsigned count, enum patience patience, struct page_entry *carried,
                       unsigned *carried_count)
{
	bool headless = false; /* the newest versions of the key at hand were dropped */
	unsigned kept = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t word;
		int rc;

		headless = headless && (entries[i].flags & VERSION_OLDER) != 0;
		if (entries[i].word != NULL) {
			rc = resolve(tree, slot, &entries[i], patience, &word);
			if (rc < 0)
				return rc;
			if (word_state(word) == WORD_DESCRIPTOR) {
				carried[*carried_count] = entries[i];
				carried[(*carried_count)++].lsn = word;
			}
			if (word_state(word) != WORD_COMMITTED) {
				headless = headless || (entries[i].flags & VERSION_OLDER) == 0;
				continue;
			}
			entries[i].lsn = word_lsn(word);
			entries[i].word = NULL;
		}
		if (headless)
			entries[i].flags &= (uint8_t)~VERSION_OLDER;
		headless = false;
		entries[kept++] = entries[i];
	}
	return (int)kept;
}

static unsigned run_of_key(const struct page_entry *entries, unsigned from, unsigned count)
{
	unsigned end = from + 1;

	while (end < count && (entries[end].flags & VERSION_OLDER) != 0)
		end++;
	return end;
}

/* Keep what somebody may see; LSNs that tell nobody anything become 0. Large values let go are noted. */
static unsigned prune_all(struct page_entry *entries, unsigned count, const struct horizon *horizon,
                          bool *keep, struct value_ref *dropped, unsigned *dropped_count)
{
	uint64_t oldest = horizon->count > 0 ? horizon->lsn[0] : horizon->future;
	unsigned kept = 0, end;

	for (unsigned from = 0; from < count; from = end) {
		end = run_of_key(entries, from, count);
		versions_prune(entries + from, end - from, horizon, keep);
		for (unsigned i = from; i < end; i++) {
			if (!keep[i - from]) {
				if ((entries[i].flags & VERSION_VLOG) != 0)
					memcpy(&dropped[(*dropped_count)++], entries[i].value,
					       sizeof *dropped);
				continue;
			}
			entries[kept] = entries[i];
			entries[kept].flags &= VERSION_TOMBSTONE | VERSION_VLOG;
			if (entries[kept].lsn < oldest)
				entries[kept].lsn = 0;
			kept++;
		}
	}
	return kept;
}

/* ---- cutting into pieces ---- */

/* The content in key order, carried versions before the entries of the same key. */
struct cut_point {
	unsigned entry; /* the next of each */
	unsigned carried;
};

static struct key_ref entry_key(const struct rebuild *rebuild, unsigned index)
{
	return rebuild->children != NULL ? rebuild->children[index].key : rebuild->entries[index].key;
}

static bool at_carried(const struct rebuild *rebuild, unsigned count, const struct cut_point *at)
{
	return at->carried < rebuild->carried_count &&
	       (at->entry == count || key_ref_compare(&rebuild->carried[at->carried].key,
	                                              &rebuild->entries[at->entry].key) <= 0);
}

static size_t entry_bytes(const struct rebuild *rebuild, unsigned index)
{
	const struct page_entry *entry;

	if (rebuild->children != NULL)
		return key_ref_size(&rebuild->children[index].key) + INNER_OVERHEAD;
	entry = &rebuild->entries[index];
	return key_ref_size(&entry->key) + entry->value_size + LEAF_ENTRY_OVERHEAD;
}

static size_t carried_size(const struct rebuild *rebuild, unsigned index)
{
	const struct page_entry *entry = &rebuild->carried[index];

	return key_ref_size(&entry->key) + entry->value_size + LEAF_ENTRY_OVERHEAD;
}

/* The fence between the keys @left and @right, written to @to; children are told apart by their own keys. */
static struct bwt_slice fence_between(const struct rebuild *rebuild, const struct key_ref *left,
                                      const struct key_ref *right, uint8_t *to)
{
	uint32_t size = rebuild->children != NULL ? key_ref_copy(right, 0, to)
	                                          : separator_between(left, right, to);

	return (struct bwt_slice){to, size};
}

struct cut_rule {
	size_t pieces; /* at most */
	size_t goal;   /* bytes of a piece */
	bool fill;     /* and not one more */
};

/*
 * As many pieces as the bytes want. Even halves, but at the right edge of the tree, where keys mostly come
 * in order, the left pages are filled: nothing will be put into them again. (An inner page keeps some room, for
 * its children may still split.) More pieces where the carried versions would make chains too long or too large again.
 */
static struct cut_rule cut_rule(const struct rebuild *rebuild, size_t total, uint32_t page_bytes,
                                bool ascending)
{
	struct cut_rule rule = {.pieces = total / page_bytes + 1};

	rule.fill = ascending && rule.pieces == 2 && rebuild->level == 0;
	rule.goal = ascending && rule.pieces == 2 ? page_bytes - page_bytes / 8 : total / rule.pieces;
	if (rule.fill)
		rule.goal = page_bytes;
	if (total <= page_bytes)
		rule.goal = SIZE_MAX;
	if (rebuild->carried_count > CARRY_MAX || rule.pieces > REBUILD_PIECES_MAX)
		rule.pieces = REBUILD_PIECES_MAX;
	return rule;
}

static void cut(struct rebuild *rebuild, unsigned count, struct cut_rule rule, uint8_t *fences)
{
	struct cut_point at = {0, 0};
	struct key_ref last = {0};
	size_t bytes = 0, carried = 0;
	bool first = true;

	rebuild->piece_count = 1;
	rebuild->piece[0] = (struct rebuild_piece){.low = rebuild->bounds.low};
	while (at.entry < count || at.carried < rebuild->carried_count) {
		struct rebuild_piece *piece = &rebuild->piece[rebuild->piece_count - 1];
		bool is_carried = at_carried(rebuild, count, &at);
		struct key_ref key = is_carried ? rebuild->carried[at.carried].key
		                                : entry_key(rebuild, at.entry);
		size_t more = is_carried ? carried_size(rebuild, at.carried)
		                         : entry_bytes(rebuild, at.entry);
		bool full = bytes + (rule.fill ? more : more / 2) > rule.goal ||
		            (is_carried && (piece->carried_count == CARRY_MAX ||
		                            carried + more > CARRY_BYTES_MAX));

		if (full && !first && rebuild->piece_count < rule.pieces &&
		    key_ref_compare(&last, &key) != 0) {
			struct bwt_slice low = fence_between(rebuild, &last, &key, fences);

			fences += low.size;
			piece++;
			*piece = (struct rebuild_piece){
				.first = at.entry, .first_carried = at.carried, .low = low};
			rebuild->piece_count++;
			bytes = 0;
			carried = 0;
		}
		first = false;
		last = key;
		bytes += more;
		carried += is_carried ? more : 0;
		piece->count += !is_carried;
		piece->carried_count += is_carried;
		at.entry += !is_carried;
		at.carried += is_carried;
	}
}

/* Bytes of all entries, carried versions included; *key_max: of the longest key. */
static size_t content_bytes(const struct rebuild *rebuild, unsigned count, uint32_t *key_max)
{
	size_t total = 0;

	*key_max = 0;
	for (unsigned i = 0; i < count; i++) {
		struct key_ref key = entry_key(rebuild, i);

		total += entry_bytes(rebuild, i);
		*key_max = key_ref_size(&key) > *key_max ? key_ref_size(&key) : *key_max;
	}
	for (unsigned i = 0; i < rebuild->carried_count; i++) {
		uint32_t size = key_ref_size(&rebuild->carried[i].key);

		total += carried_size(rebuild, i);
		*key_max = size > *key_max ? size : *key_max;
	}
	return total;
}

static int cut_and_install(struct rebuild *rebuild, struct epoch_slot *slot, unsigned count,
                           bool ascending, enum extent_urgency urgency)
{
	const struct tree_limits *limits = &rebuild->tree->env->limits;
	uint32_t page_bytes = rebuild->level > 0 ? limits->inner_bytes : limits->leaf_bytes;
	uint32_t key_max;
	size_t total = content_bytes(rebuild, count, &key_max);
	uint8_t *fences = NULL;
	int rc;

	if (total > page_bytes || rebuild->carried_count > 0) {
		fences = malloc((size_t)key_max * REBUILD_PIECES_MAX + 1);
		if (fences == NULL)
			return -ENOMEM;
		cut(rebuild, count, cut_rule(rebuild, total, page_bytes, ascending), fences);
	} else {
		rebuild->piece_count = 1;
		rebuild->piece[0] = (struct rebuild_piece){
			.first = 0, .count = count, .low = rebuild->bounds.low};
	}
	rc = rebuild_measure(rebuild);
	if (rc == BWT_OK)
		rc = rebuild_install(rebuild, slot, urgency);
	free(fences);
	return rc;
}

/* The halves are in place; tell the parent. A failure leaves state 2 of split.h, which is harmless. */
static void post_pieces(const struct rebuild *rebuild, struct epoch_slot *slot,
                        enum extent_urgency urgency)
{
	struct tree *tree = rebuild->tree;

	for (unsigned i = 1; rebuild->root_size == 0 && i < rebuild->piece_count; i++) {
		const struct base_page *base = arena_at(tree->env->arena, rebuild->piece[i].off);
		struct missing_child missing = {true, false, rebuild->piece[i].page, rebuild->level,
		                                base_low(base)};

		TEST_YIELD("split_post");
		if (TEST_FAULT("split_not_posted"))
			continue;
		tree_post(tree, slot, &missing, urgency);
	}
}

/* Is the newest delta's key the last one of the leaf? Then more of the kind will come. */
static bool appended(const struct rebuild *rebuild, unsigned count)
{
	const struct place *place = rebuild->place;
	const struct leaf_delta *top =
		(const struct leaf_delta *)tree_block(rebuild->tree->env, place_head(place));
	struct bwt_slice key;

	if (place->base->right != 0 || mapping_chain(place->word) == 0 ||
	    count + rebuild->carried_count == 0)
		return false;
	key = leaf_delta_key(top);
	return (count == 0 || key_ref_compare_slice(&rebuild->entries[count - 1].key, key) <= 0) &&
	       (rebuild->carried_count == 0 ||
	        key_ref_compare_slice(&rebuild->carried[rebuild->carried_count - 1].key, key) <= 0);
}

/* ---- what to consolidate ---- */

/* What is left of leaf @from and of its right neighbour @behind (NULL: not asked for), in scratch memory. */
static int leaf_content(struct rebuild *rebuild, struct epoch_slot *slot, const struct place *from,
                        const struct place *behind, enum patience patience)
{
	struct tree *tree = rebuild->tree;
	const uint8_t *arena = tree->env->arena->base;
	unsigned room = chain_version_count(arena, place_head(from)),
		 chain = mapping_chain(from->word), read;
	struct page_entry *entries, *carried;
	struct value_ref *dropped, *stored;
	struct horizon horizon;
	int count;

	if (behind != NULL) {
		room += chain_version_count(arena, place_head(behind));
		chain += mapping_chain(behind->word);
	}
	entries = slot_scratch(slot, (room + chain) * sizeof *entries +
	                                     room * (2 * sizeof *dropped + sizeof(bool)) + 1);
	if (entries == NULL)
		return -ENOMEM;
	carried = entries + room;
	dropped = (struct value_ref *)(carried + chain);
	stored = dropped + room;
	read = chain_merge(arena, place_head(from), entries);
	if (behind != NULL)
		read += chain_merge(arena, place_head(behind), entries + read);
	count = resolve_all(tree, slot, entries, read, patience, carried, &rebuild->carried_count);
	if (count < 0)
		return count;
	tree->env->horizon(tree->env->ctx, &horizon);
	count = (int)prune_all(entries, (unsigned)count, &horizon, (bool *)(stored + room), dropped,
	                       &rebuild->dropped_count);
	if (rebuild->move_count > 0)
		values_relocate(rebuild, entries, (unsigned)count, dropped, stored);
	rebuild->stored = stored;
	rebuild->entries = entries;
	rebuild->carried = carried;
	rebuild->dropped = dropped;
	return count;
}

static int inner_content(struct rebuild *rebuild, struct epoch_slot *slot, const struct place *from,
                         const struct place *behind)
{
	const uint8_t *arena = rebuild->tree->env->arena->base;
	unsigned room = index_child_count(arena, place_head(from)), count;
	struct inner_entry *children;

	if (behind != NULL)
		room += index_child_count(arena, place_head(behind));
	children = slot_scratch(slot, room * sizeof *children);
	if (children == NULL)
		return -ENOMEM;
	count = index_merge(arena, place_head(from), children);
	if (behind != NULL)
		count += index_merge(arena, place_head(behind), children + count);
	rebuild->children = children;
	return (int)count;
}

/* Number of entries, or a code. */
static int content(struct rebuild *rebuild, struct epoch_slot *slot, const struct place *from,
                   const struct place *behind, enum patience patience)
{
	rebuild->level = from->base->level;
	base_bounds(from->base, &rebuild->bounds);
	if (behind != NULL) {
		struct page_bounds bounds;

		base_bounds(behind->base, &bounds);
		if (!TEST_FAULT("merge_wrong_high"))
			rebuild->bounds.high = bounds.high;
		rebuild->bounds.right = bounds.right;
	}
	if (rebuild->level > 0)
		return inner_content(rebuild, slot, from, behind);
	return leaf_content(rebuild, slot, from, behind, patience);
}

/* The short way. BWT_NOT_FOUND: it does not lead there. */
static int amend(struct rebuild *rebuild, struct epoch_slot *slot, enum extent_urgency urgency)
{
	uint8_t *fence;
	int rc;

	rebuild->level = 0;
	base_bounds(rebuild->place->base, &rebuild->bounds);
	rc = amend_plan(rebuild, slot, &fence);
	if (rc < 0)
		return rc;
	rc = rebuild_measure(rebuild);
	if (rc == BWT_OK)
		rc = rebuild_install(rebuild, slot, urgency);
	if (rc == BWT_OK)
		post_pieces(rebuild, slot, urgency);
	free(fence);
	return rc;
}

static int consolidate(struct rebuild *rebuild, struct epoch_slot *slot, enum patience patience,
                       enum extent_urgency urgency)
{
	struct tree *tree = rebuild->tree;
	const struct place *place = rebuild->place;
	bool inner = place->base->level > 0, ascending;
	int count, rc;

	if (mapping_frozen(place->word))
		return tree_merge_help(tree, slot, place, urgency);
	if (inner && index_unfinished(tree->env->arena->base, place_head(place)) != NULL &&
	    !TEST_FAULT("merge_unheeded"))
		return tree_finish_child(tree, slot, place, urgency);
	rc = inner || rebuild->move_count > 0 ? BWT_NOT_FOUND : amend(rebuild, slot, urgency);
	if (rc != BWT_NOT_FOUND)
		return rc;
	count = content(rebuild, slot, place, NULL, patience);
	if (count < 0)
		return count;
	ascending = inner ? place->base->right == 0 : appended(rebuild, (unsigned)count);
	rc = cut_and_install(rebuild, slot, (unsigned)count, ascending, urgency);
	if (rc == BWT_OK)
		post_pieces(rebuild, slot, urgency);
	return rc;
}

int tree_consolidate(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                     enum patience patience, enum extent_urgency urgency)
{
	struct rebuild rebuild = {.tree = tree, .place = place};

	return consolidate(&rebuild, slot, patience, urgency);
}

int tree_move_values(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                     const struct value_move *moves, unsigned count)
{
	struct rebuild rebuild = {.tree = tree, .place = place, .moves = moves, .move_count = count};

	if (mapping_frozen(place->word)) {
		int rc = tree_merge_help(tree, slot, place, URGENCY_CARE);

		return rc < 0 ? rc : BWT_BUSY;
	}
	return consolidate(&rebuild, slot, LEAVE_PENDING, URGENCY_CARE);
}

/* If it comes to several pieces, writers that come by post them: here the parent is to be told of the merge first. */
int tree_absorb(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                const struct place *behind, enum extent_urgency urgency)
{
	struct rebuild rebuild = {.tree = tree, .place = place};
	int count = content(&rebuild, slot, place, behind, ABORT_PENDING);

	if (TEST_FAULT("merge_retires_early")) {
		while (!gate_try_enter(slot))
			gate_wait(slot->epoch);
		if (chain_touch(tree->env, behind->word))
			chain_retire(tree->env, behind->word);
		gate_leave(slot);
	}
	return count < 0 ? count : cut_and_install(&rebuild, slot, (unsigned)count, false, urgency);
}

int tree_flatten(struct tree *tree, struct epoch_slot *slot, const struct place *root,
                 const struct place *child, enum extent_urgency urgency)
{
	struct rebuild rebuild = {.tree = tree, .place = root, .gone = child};
	int count = content(&rebuild, slot, child, NULL, ABORT_PENDING);

	return count < 0 ? count : cut_and_install(&rebuild, slot, (unsigned)count, false, urgency);
}

size_t tree_content_bytes(struct tree *tree, struct epoch_slot *slot, const struct place *place,
                          const struct place *behind)
{
	struct rebuild rebuild = {.tree = tree, .place = place};
	int count = content(&rebuild, slot, place, behind, LEAVE_PENDING);
	uint32_t key_max;

	return count < 0 ? SIZE_MAX : content_bytes(&rebuild, (unsigned)count, &key_max);
}
