/* SPDX-License-Identifier: MIT */
/*
 * space.c - how large the arena may be, and what is done to keep it so
 *
 * The file is   live + sparse + held + free   (mem/extent.h: extents_survey). It may grow up to space_target
 * percent of what lives in it. There, three things make room, and each chunk that is taken looks whether
 * they keep up:
 *
 *   cleaning      sparse -> held   by the workers; by the changes themselves where there are none, or they lag
 *   checkpoints   held -> free     by the service thread, each time a share of the slack was allocated
 *   waiting       for the two, a moment, before an extent is added to the file nevertheless
 *
 * Until then workers let it grow ahead of the changes: fresh pages of a file cost the kernel more than what is
 * written to them. Who overtakes the workers lets it grow himself.
 *
 * so nothing waits for good: a thread that stops while pinned, or a slow disk, make the file larger. At
 * max_size, or on a full disk, growth is no way out. Then a change that finds no room makes some: cleaning
 * whatever wins anything, and checkpoints, until it helps or nothing is left to be won.
 */
#include "db/space.h"

#include <limits.h>
#include <syslog.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "db/db.h"
#include "log/wal_keep.h"
#include "tree/clean.h"

#define SLACK_LEAST                                                                                \
	((uint64_t)32 << 20) /* bytes that the file may have over what lives, whatever the target */
#define DUE_SHARE 12u        /* of the slack: allocated bytes between two checkpoints */
#define HELD_SHARES 3u       /* as many of those shares are held, or must be free, at once */
#define HEADROOM 4u          /* and so many extents */
#define WAIT_NS 2000000000ull /* for free extents, at most, before the file grows */
#define WAIT_CHECKPOINTS 3u   /* and no longer than these take: the first may have begun before */
#define RELIEF_ROUNDS_MAX 4u
#define FUTILE_NS 1000000000ull /* a store that stays full is not searched for space more often */
#define PICKS 16u               /* extents chosen at once */
#define AHEAD_SHARE 8u          /* of the file: free bytes that workers provide while it grows */
#define AHEAD_MOST ((uint64_t)32 << 20)
#define LOOK_STEP_LEAST ((uint64_t)64 << 10)

/* ---- trees by id, for the cleaner ---- */

struct tree *space_tree_hold(void *ctx, uint32_t id)
{
	struct bwt_db *db = ctx;
	struct named_tree *tree;

	if (id == TREE_ID_MAIN)
		return db->space.main;
	if (id == TREE_ID_CATALOG)
		return db->space.catalog;
	/* Who drops or creates a tree has the lock, perhaps this very thread: the page stays where it is for now. */
	if (pthread_mutex_trylock(db->store.trees_lock) != 0)
		return NULL;
	for (tree = db->store.trees; tree != NULL; tree = tree->next)
		if (tree->tree.id == id && tree->state == CATALOG_LIVE)
			return &tree->tree;
	pthread_mutex_unlock(db->store.trees_lock);
	return NULL;
}

void space_tree_release(void *ctx, struct tree *tree)
{
	struct bwt_db *db = ctx;

	if (tree != db->space.main && tree != db->space.catalog)
		pthread_mutex_unlock(db->store.trees_lock);
}

/* ---- looking ---- */

static uint64_t unit_of(const struct extents_survey *survey)
{
	return survey->size > EXTENT_SIZE ? EXTENT_SIZE : EXTENT_SMALL_SIZE;
}

/* Bytes that the file may have. */
static uint64_t limit_of(const struct bwt_db *db, const struct extents_survey *survey)
{
	/* Half of the deltas may go when their pages are cleaned, and the file would not shrink again. */
	uint64_t target = (survey->live - survey->deltas / 2) / 100 * db->options.space_target;
	uint64_t least = survey->live + SLACK_LEAST;
	uint64_t most = extents_growth_most(&db->store.extents);
	uint64_t limit = target > least ? target : least;

	return limit < most ? limit : most;
}

static uint64_t usable_of(const struct extents_survey *survey)
{
	return survey->free > survey->reserve ? survey->free - survey->reserve : 0;
}

/* Free bytes that a file of this size should have while it grows. */
static uint64_t ahead_of(const struct extents_survey *survey)
{
	uint64_t share = survey->size / AHEAD_SHARE;

	if (survey->size <= EXTENT_SIZE)
		return 0;
	share = share > EXTENT_SIZE ? share : EXTENT_SIZE;
	return survey->reserve + (share < AHEAD_MOST ? share : AHEAD_MOST);
}

static uint32_t behind_by(uint64_t ready, uint64_t wanted)
{
	if (ready >= wanted)
		return SPACE_ENOUGH;
	return ready >= wanted - wanted / 4 ? SPACE_BEHIND : SPACE_HURRY;
}

void space_freed(struct bwt_db *db)
{
	/* SEQ_CST: pairs with the counting of waiters in wait_for_space(). */
	atomic_fetch_add_explicit(&db->space.bell, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&db->space.waiters, memory_order_seq_cst) != 0)
		sys_wake(&db->space.bell, UINT_MAX);
}

/* Survey the arena and note what follows from it. */
static void look(struct bwt_db *db)
{
	struct extents *extents = &db->store.extents;
	struct space *space = &db->space;
	uint64_t allocated = atomic_load_explicit(&extents->allocated_bytes, memory_order_relaxed);
	struct extents_survey survey;
	uint64_t limit, slack, due, unit, step;
	bool grows;

	extents_survey(extents, &survey);
	unit = unit_of(&survey);
	limit = limit_of(db, &survey);
	slack = limit > survey.live + survey.reserve ? limit - survey.live - survey.reserve : 0;
	due = slack / DUE_SHARE > unit ? slack / DUE_SHARE : unit;
	grows = survey.size + due + HEADROOM * unit <= limit;
	step = grows ? (limit - survey.size) / 4 : due / 4;
	atomic_store_explicit(&extents->growth_limit, limit, memory_order_relaxed);
	atomic_store_explicit(&space->due, grows ? UINT64_MAX : due, memory_order_relaxed);
	atomic_store_explicit(&space->ahead, grows ? ahead_of(&survey) : 0, memory_order_relaxed);
	atomic_store_explicit(&space->low, survey.reserve + 2 * unit, memory_order_relaxed);
	atomic_store_explicit(&space->behind,
	                      grows ? SPACE_ENOUGH
	                            : behind_by(usable_of(&survey) + survey.held,
	                                        HELD_SHARES * due + HEADROOM * unit),
	                      memory_order_relaxed);
	atomic_store_explicit(&space->look_at,
	                      allocated + (step > LOOK_STEP_LEAST ? step : LOOK_STEP_LEAST),
	                      memory_order_relaxed);
	if (grows &&
	    !TEST_FAULT("space_grows_unheard")) /* nobody makes space any more: waiting is over */
		space_freed(db);
}

/* May the file grow, as far as the newest look says? Then nothing is cleaned, and no checkpoint taken for space. */
static bool may_grow(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->space.due, memory_order_relaxed) == UINT64_MAX;
}

bool space_behind(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->space.behind, memory_order_relaxed) != SPACE_ENOUGH;
}

static bool is_low(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->store.extents.free_bytes, memory_order_relaxed) <
	       atomic_load_explicit(&db->space.low, memory_order_relaxed);
}

/* ---- growing ahead ---- */

static bool has_too_little(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->store.extents.free_bytes, memory_order_relaxed) <
	       atomic_load_explicit(&db->space.ahead, memory_order_relaxed);
}

bool space_lags(const struct bwt_db *db)
{
	return has_too_little(db) &&
	       atomic_load_explicit(&db->space.growing, memory_order_relaxed) == 0;
}

/* One thread is enough: two would populate the same pages. If it stops here, the changes let the file grow. */
void space_grow(struct bwt_db *db)
{
	struct space *space = &db->space;

	if (atomic_exchange_explicit(&space->growing, 1, memory_order_acquire) != 0)
		return;
	/* Whoever needs the space will be told what is wrong; until the next look nothing is tried. */
	if (has_too_little(db) &&
	    (store_health(&db->store, true) < 0 || extents_extend_ahead(&db->store.extents) < 0))
		atomic_store_explicit(&space->ahead, 0, memory_order_relaxed);
	atomic_store_explicit(&space->growing, 0, memory_order_release);
}

bool space_checkpoint_due(const struct bwt_db *db, uint64_t allocated)
{
	uint64_t due = atomic_load_explicit(&db->space.due, memory_order_relaxed);

	if (due == UINT64_MAX)
		return false;
	return allocated >= due ||
	       atomic_load_explicit(&db->space.waiters, memory_order_relaxed) != 0;
}

/* ---- cleaning ---- */

static int clean_picked(struct bwt_db *db, struct epoch_slot *slot, const struct extent_pick *pick,
                        enum extent_urgency urgency, struct clean_result *result)
{
	struct extents *extents = &db->store.extents;
	uint64_t reserve = extents_reserve(extents);
	/* Deletes may use a first half of the reserve, so for puts less is cleaned; the rest is for images. */
	const struct cleaner cleaner = {&db->store.env, space_tree_hold, space_tree_release, db,
	                                urgency == URGENCY_PUT ? reserve - reserve / 4 : reserve / 4};
	bool claimed, emptied;
	int rc;

	epoch_pin(slot);
	claimed = extent_claim(extents, pick);
	epoch_unpin(slot);
	if (!claimed)
		return BWT_BUSY;
	rc = clean_extent(&cleaner, slot, pick, result);
	emptied = rc == BWT_OK && result->left == 0 && result->damaged == 0;
	extent_unclaim(extents, pick, emptied);
	stats_add(&db->store.stats, slot->index, STAT_EXTENTS_CLEANED, emptied);
	stats_add(&db->store.stats, slot->index, STAT_CLEANED_PAGES, result->pages);
	stats_add(&db->store.stats, slot->index, STAT_CLEANED_BYTES, result->bytes);
	if (result->damaged > 0)
		store_say(&db->store, LOG_ERR,
		          "arena: the extent at offset %llu cannot be emptied: %s",
		          (unsigned long long)extent_start(pick->id), bwt_detail());
	return rc < 0 || emptied ? rc : BWT_BUSY;
}

/* The best one, or with all effort some; returns how many were emptied; *@pages: moved in all. */
static unsigned clean_best(struct bwt_db *db, struct epoch_slot *slot, enum pick_effort effort,
                           enum extent_urgency urgency, uint64_t *pages)
{
	struct extent_pick picks[PICKS];
	unsigned most = effort == PICK_GAIN ? 1 : PICKS;
	unsigned count = extents_pick(&db->store.extents, effort, picks, PICKS);
	unsigned emptied = 0;
	int rc = BWT_OK;

	*pages = 0;
	/* Some of them may be taken, or left for good reason. */
	for (unsigned i = 0; i < count && emptied < most && (rc == BWT_OK || rc == BWT_BUSY); i++) {
		struct clean_result result = {0};

		rc = clean_picked(db, slot, &picks[i], urgency, &result);
		emptied += rc == BWT_OK;
		*pages += result.pages;
	}
	if (extents_reclaim(&db->store.extents) > 0)
		space_freed(db);
	return emptied;
}

bool space_clean(struct bwt_db *db, struct epoch_slot *slot)
{
	uint64_t pages;
	unsigned emptied;

	if (store_health(&db->store, true) < 0)
		return false;
	emptied = clean_best(db, slot, PICK_GAIN, URGENCY_PUT, &pages);
	look(db);
	return emptied > 0;
}

/* ---- tending: before a chunk is taken ---- */

static uint64_t checkpoint_count(struct bwt_db *db)
{
	struct checkpoint_state state;

	checkpoint_state(&db->store, db->checkpointer, &state);
	return state.count;
}

static bool must_wait(const struct bwt_db *db)
{
	return is_low(db) && !may_grow(db);
}

/* As long as checkpoints and cleaning may help. false: they did not. */
static bool wait_for_space(struct bwt_db *db)
{
	uint64_t now = sys_now_ns(),
		 deadline = TEST_FAULT("space_waits_for_good") ? UINT64_MAX : now + WAIT_NS,
		 last = checkpoint_count(db) + WAIT_CHECKPOINTS;

	atomic_fetch_add_explicit(&db->space.waiters, 1, memory_order_seq_cst);
	while (must_wait(db) && now < deadline && checkpoint_count(db) < last) {
		uint32_t bell = atomic_load_explicit(&db->space.bell, memory_order_seq_cst);

		service_wake(db);
		extents_reclaim(&db->store.extents);
		if (must_wait(db))
			sys_park(&db->space.bell, bell, deadline - now);
		now = sys_now_ns();
	}
	atomic_fetch_sub_explicit(&db->space.waiters, 1, memory_order_seq_cst);
	return !is_low(db);
}

/* Is there anything that a checkpoint or a thread's unpinning would free? */
static bool worth_waiting(struct bwt_db *db)
{
	struct extents_survey survey;

	extents_survey(&db->store.extents, &survey);
	return survey.held >= unit_of(&survey);
}

static void tend(void *ctx, struct epoch_slot *slot)
{
	struct bwt_db *db = ctx;
	struct space *space = &db->space;
	bool late = atomic_load_explicit(&db->store.extents.allocated_bytes, memory_order_relaxed) >=
	            atomic_load_explicit(&space->look_at, memory_order_relaxed);

	if (late)
		look(db);
	if (may_grow(db)) {
		if (space_lags(db))
			work_wake(&db->work, 1);
		return;
	}
	if (late) {
		service_wake(db);
		if (space_behind(db))
			work_wake(&db->work, UINT_MAX);
	}
	if (space_behind(db) &&
	    (!has_workers(db) || is_low(db) ||
	     atomic_load_explicit(&space->behind, memory_order_relaxed) == SPACE_HURRY))
		space_clean(db, slot);
	if (!is_low(db))
		return;
	extents_reclaim(&db->store.extents);
	if (is_low(db) && worth_waiting(db) && !wait_for_space(db))
		(void)extents_extend(&db->store.extents);
}

void space_start(struct bwt_db *db)
{
	db->space.main = &store_tree(&db->store, TREE_ID_MAIN)->tree;
	db->space.catalog = &store_tree(&db->store, TREE_ID_CATALOG)->tree;
	look(db);
	db->store.relieve = space_relieve;
	db->store.extents.tend_ctx = db;
	db->store.extents.tend = tend;
}

/* ---- a full store ---- */

/* Cleaning and two checkpoints: what an image reaches is kept until two younger ones are durable (I8). */
static bool relief_round(struct bwt_db *db, struct epoch_slot *slot, enum extent_urgency urgency)
{
	uint64_t free = atomic_load_explicit(&db->store.extents.free_bytes, memory_order_relaxed);
	uint64_t pages;

	clean_best(db, slot, PICK_EVERYTHING, urgency, &pages);
	if (service_checkpoint(db, false) == BWT_OK)
		service_checkpoint(db, false);
	extents_reclaim(&db->store.extents);
	return pages > 0 ||
	       atomic_load_explicit(&db->store.extents.free_bytes, memory_order_relaxed) > free;
}

static uint64_t allocated_now(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->store.extents.allocated_bytes, memory_order_relaxed);
}

/* Was all of this of no use a moment ago, and nothing changed since? */
static bool is_futile(const struct bwt_db *db, enum extent_urgency urgency)
{
	return urgency == URGENCY_PUT && db->space.futile_allocated == allocated_now(db) &&
	       sys_now_ns() - db->space.futile_ns < FUTILE_NS;
}

/* It is the disk that is full, not the arena that has its max_size: then log and values kept for readers go, too. */
static bool disk_is_full(const struct bwt_db *db)
{
	const struct arena *arena = &db->store.arena;

	return extents_have_room(&db->store.extents) ||
	       arena_size(arena) + EXTENT_SIZE <= arena->max_size;
}

static void relieve(struct bwt_db *db, struct epoch_slot *slot, enum extent_urgency urgency)
{
	bool helped = true;

	if (disk_is_full(db))
		wal_keep_press(db->store.keep);
	for (unsigned round = 0; round < RELIEF_ROUNDS_MAX && helped; round++) {
		helped = relief_round(db, slot, urgency);
		if (extents_have_room(&db->store.extents))
			break;
	}
	look(db);
	space_freed(db);
	db->space.futile_ns = extents_have_room(&db->store.extents) ? 0 : sys_now_ns();
	db->space.futile_allocated = allocated_now(db);
}

void space_relieve(struct store *store, enum extent_urgency urgency)
{
	struct bwt_db *db = (struct bwt_db *)store;
	uint64_t count = atomic_load_explicit(&db->space.relief_count, memory_order_acquire);
	struct epoch_slot *slot;

	if (db_slot(db, &slot) < 0)
		return;
	pthread_mutex_lock(&db->space.relief_lock);
	/* Another thread has done all of it while this one waited? */
	if (count == atomic_load_explicit(&db->space.relief_count, memory_order_relaxed) &&
	    !is_futile(db, urgency)) {
		relieve(db, slot, urgency);
		atomic_fetch_add_explicit(&db->space.relief_count, 1, memory_order_release);
	}
	pthread_mutex_unlock(&db->space.relief_lock);
}
