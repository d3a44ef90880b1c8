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
 * max_size, or on a full disk, growth is no way out. Then a change that finds no room makes some, in rounds: extents
 * are emptied that what is free suffices for, and two checkpoints free them, until it helps or nothing is left to be won. A
 * put leaves a delete what this needs (mem/extent_room.c).
 *
 * A file that is larger than it may be, for most of what lived in it was deleted, becomes smaller again: db/compact.c.
 */
#include "db/space.h"

#include <limits.h>
#include <string.h>
#include <syslog.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "db/db.h"
#include "log/wal_keep.h"
#include "tree/clean.h"

#define SLACK_LEAST                                                                                \
	((uint64_t)32 << 20) /* bytes that the file may have over what lives, whatever the target */
#define DUE_SHARE 8u         /* of the slack: allocated bytes between two checkpoints */
#define HELD_SHARES 3u       /* as many of those shares are held, or must be free, at once */
#define HEADROOM 4u          /* and so many extents */
#define WAIT_NS 2000000000ull /* for free extents, at most, before the file grows */
#define WAIT_CHECKPOINTS 3u   /* and no longer than these take: the first may have begun before */
#define RELIEF_ROUNDS_MAX 16u /* for a put */
#define RESCUE_ROUNDS_MAX 64u /* for a delete */
#define DELTA_COST 128u /* bytes of a page that are written for one of a delta, at most about */
#define TIGHT_WITHIN                                                                               \
	((uint64_t)8 << 20) /* of the largest size: what chains will take is kept free from there on */
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

uint64_t space_unit(const struct extents_survey *survey)
{
	return survey->size > EXTENT_SIZE ? EXTENT_SIZE : EXTENT_SMALL_SIZE;
}

/* The file is about as large as it can be. */
static bool is_tight(const struct bwt_db *db, const struct extents_survey *survey)
{
	return survey->size + TIGHT_WITHIN >= extents_growth_most(&db->store.extents);
}

/* Bytes that are to be kept free because chains are there, where the file cannot give more. */
static uint64_t owed_of(const struct bwt_db *db, const struct extents_survey *survey)
{
	if (!is_tight(db, survey))
		return 0;
	return survey->deltas < survey->size / 4 ? survey->deltas : survey->size / 4;
}

uint64_t space_limit(const struct bwt_db *db, const struct extents_survey *survey)
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

void space_look(struct bwt_db *db)
{
	struct extents *extents = &db->store.extents;
	struct space *space = &db->space;
	uint64_t allocated = atomic_load_explicit(&extents->allocated_bytes, memory_order_relaxed);
	struct extents_survey survey;
	uint64_t limit, slack, due, unit, step;
	bool grows;

	extents_survey(extents, &survey);
	survey.reserve = extents_reserve(extents) + owed_of(db, &survey);
	unit = space_unit(&survey);
	limit = space_limit(db, &survey);
	slack = limit > survey.live + survey.reserve ? limit - survey.live - survey.reserve : 0;
	due = slack / DUE_SHARE > unit ? slack / DUE_SHARE : unit;
	grows = survey.size + due + HEADROOM * unit <= limit;
	step = grows ? (limit - survey.size) / 4 : due / 4;
	atomic_store_explicit(&extents->growth_limit, limit, memory_order_relaxed);
	atomic_store_explicit(&extents->owed, owed_of(db, &survey), memory_order_relaxed);
	atomic_store_explicit(&space->tight, is_tight(db, &survey), memory_order_relaxed);
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
	return extents_usable(&db->store.extents) <
	       atomic_load_explicit(&db->space.low, memory_order_relaxed);
}

/* ---- growing ahead ---- */

static bool has_too_little(const struct bwt_db *db)
{
	return extents_usable(&db->store.extents) <
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

int space_empty(struct bwt_db *db, struct epoch_slot *slot, const struct extent_pick *pick,
                enum extent_urgency urgency, uint64_t least, struct clean_result *result)
{
	struct extents *extents = &db->store.extents;
	const struct cleaner cleaner = {&db->store.env, space_tree_hold, space_tree_release, db,
	                                least,          urgency};
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

static void reclaim(struct bwt_db *db)
{
	if (extents_reclaim(&db->store.extents) > 0)
		space_freed(db);
}

bool space_clean(struct bwt_db *db, struct epoch_slot *slot)
{
	uint64_t reserve = extents_reserve(&db->store.extents);
	struct extent_pick picks[PICKS];
	unsigned count;
	int rc = BWT_BUSY;

	if (store_health(&db->store, true) < 0)
		return false;
	count = extents_pick(&db->store.extents, PICK_GAIN, picks, PICKS);
	/* Some of them may be taken, or left for good reason. */
	for (unsigned i = 0; i < count && rc == BWT_BUSY; i++) {
		struct clean_result result = {0};

		rc = space_empty(db, slot, &picks[i], URGENCY_CARE, reserve - reserve / 4, &result);
	}
	reclaim(db);
	space_look(db);
	return rc == BWT_OK;
}

void space_rest(struct bwt_db *db, struct epoch_slot *slot)
{
	/* An extent cannot be emptied as long as somebody has a chunk in it. */
	if (atomic_load_explicit(&db->space.tight, memory_order_relaxed) != 0)
		extents_let_go_own(&db->store.extents, slot);
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
	return survey.held >= space_unit(&survey);
}

static void tend(void *ctx, struct epoch_slot *slot)
{
	struct bwt_db *db = ctx;
	struct space *space = &db->space;
	bool late = atomic_load_explicit(&db->store.extents.allocated_bytes, memory_order_relaxed) >=
	            atomic_load_explicit(&space->look_at, memory_order_relaxed);

	if (late)
		space_look(db);
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
	space_look(db);
	db->store.relieve = space_relieve;
	db->store.extents.tend_ctx = db;
	db->store.extents.tend = tend;
}

/* ---- a full store ---- */

/* Bytes into which cleaning may write. */
static uint64_t room_now(const struct bwt_db *db)
{
	struct extents_survey survey;

	extents_survey(&db->store.extents, &survey);
	return survey.free + survey.open;
}

/* Bytes that emptying an extent takes at most, about: its pages are written with their chains. */
static uint64_t cost_of(const struct extent_pick *pick, const struct extents_survey *survey)
{
	uint64_t pages = survey->live > survey->deltas ? survey->live - survey->deltas : 0;
	uint64_t cost = pick->live * DELTA_COST;

	if (pick->kind != EXTENT_DELTA)
		cost = pick->live * (survey->live / (pages / 1024 + 1)) / 1024;
	return cost < survey->live ? cost : survey->live;
}

/* Two, for what an image reaches is kept until two younger ones are durable (I8). */
static void take_checkpoints(struct bwt_db *db)
{
	if (service_checkpoint(db, false) == BWT_OK)
		service_checkpoint(db, false);
	extents_reclaim(&db->store.extents);
	space_look(db);
}

/*
 * Empty extents that can be emptied with what is free beside @leave: one that cannot be brought to an end wins nothing.
 * Returns the pages that were moved.
 */
static uint64_t clean_affordable(struct bwt_db *db, struct epoch_slot *slot,
                                 const struct extents_survey *before, enum extent_urgency urgency,
                                 uint64_t leave)
{
	struct extent_pick picks[PICKS];
	unsigned count = extents_pick(&db->store.extents, PICK_EVERYTHING, picks, PICKS);
	struct clean_result result;
	unsigned least = 0;
	uint64_t pages = 0;
	int rc = BWT_OK;

	for (unsigned i = 0; i < count && (rc == BWT_OK || rc == BWT_BUSY); i++) {
		uint64_t cost = cost_of(&picks[i], before);

		if (cost < cost_of(&picks[least], before))
			least = i;
		if (cost + leave >= room_now(db))
			continue;
		memset(&result, 0, sizeof result);
		rc = space_empty(db, slot, &picks[i], urgency, leave, &result);
		pages += result.pages;
	}
	/* If there is none, the least costly one may still cost less than that. */
	if (count > 0 && pages == 0 && picks[least].live + leave < room_now(db)) {
		memset(&result, 0, sizeof result);
		space_empty(db, slot, &picks[least], urgency, leave, &result);
		pages = result.pages;
	}
	reclaim(db);
	return pages;
}

/* true: it is worth going on. */
static bool relief_round(struct bwt_db *db, struct epoch_slot *slot, enum extent_urgency urgency)
{
	struct extents_survey before, after;
	bool rescue = urgency != URGENCY_PUT;
	uint64_t pages;

	extents_survey(&db->store.extents, &before);
	/* Of puts there will always be more: they leave deletes what these need to do the same. */
	pages = clean_affordable(db, slot, &before, rescue ? URGENCY_ALL : URGENCY_CARE,
	                         rescue ? 0 : extents_reserve(&db->store.extents) / 2);
	take_checkpoints(db);
	extents_survey(&db->store.extents, &after);
	return after.free > before.free || after.deltas < before.deltas - before.deltas / 8 ||
	       (rescue && pages > 0);
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
static bool disk_is_full(const struct bwt_db *db, enum extent_urgency urgency)
{
	const struct arena *arena = &db->store.arena;

	return extents_have_room(&db->store.extents, urgency) ||
	       extents_bytes(&db->store.extents) + EXTENT_SIZE <= arena->max_size;
}

static void relieve(struct bwt_db *db, struct epoch_slot *slot, enum extent_urgency urgency)
{
	struct extents *extents = &db->store.extents;
	unsigned rounds = urgency == URGENCY_PUT ? RELIEF_ROUNDS_MAX : RESCUE_ROUNDS_MAX;
	bool helped = true, let_go = false;

	if (disk_is_full(db, urgency))
		wal_keep_press(db->store.keep);
	space_look(db);
	if (extents_have_room(extents, urgency))
		take_checkpoints(db); /* it is the log that has none */
	while (rounds-- > 0 && (helped || !let_go) && !extents_have_room(extents, urgency)) {
		let_go = !helped;
		if (let_go)
			extents_let_go(extents, slot);
		helped = relief_round(db, slot, urgency);
	}
	space_freed(db);
	db->space.futile_ns =
		urgency == URGENCY_PUT && !extents_have_room(extents, urgency) ? sys_now_ns() : 0;
	db->space.futile_allocated = allocated_now(db);
}

void space_relieve(struct store *store, enum extent_urgency urgency)
{
	struct bwt_db *db = (struct bwt_db *)store;
	uint64_t count = atomic_load_explicit(&db->space.relief_count, memory_order_acquire);
	struct epoch_slot *slot;

	if (db_slot(db, &slot) < 0)
		return;
	extents_let_go_own(&store->extents, slot); /* for who empties extents while this thread waits */
	pthread_mutex_lock(&db->space.relief_lock);
	/* Another thread has done all of it while this one waited? */
	if (count == atomic_load_explicit(&db->space.relief_count, memory_order_relaxed) &&
	    !is_futile(db, urgency)) {
		relieve(db, slot, urgency);
		atomic_fetch_add_explicit(&db->space.relief_count, 1, memory_order_release);
	}
	pthread_mutex_unlock(&db->space.relief_lock);
}
