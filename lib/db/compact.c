/* SPDX-License-Identifier: MIT */
/*
 * compact.c - space goes back to the file system: bwt_compact(), and by itself, slowly, what is over space_target
 *
 *   sparse extents --emptied--> held --two checkpoints--> free --+--> holes             mem/extent_return.c
 *   extents behind the ceiling --emptied--> held --> gone -------+--> end of the file   mem/arena.c
 *
 * bwt_compact() goes all the way: what is sparse is gathered, then what lies behind the ceiling, the size that the file
 * needs, is moved before it, images included, and the end is cut off. Of free extents the reserve stays, so that a
 * full store can be emptied (mem/extent_room.c). The service thread does no more than once in SHRINK_EVERY_NS, and as much as to
 * come back to space_target: holes, and the end as far as it is free by then.
 *
 *   CO1  A free extent may become a hole at any time (RE1). The end of the file goes only when two checkpoints were taken
 *        after its size went down (RE3), and while no backup pins an older one (K3). The size goes down under
 *        checkpoint_lock: a checkpoint that is being taken counts as one before.
 *   CO2  Readers and writers go on. Who needs more space than there is gets it back: growing takes what is gone first.
 *   CO3  A crash leaves a file that is longer, or has fewer holes: nothing else.
 */
#include <errno.h>
#include <syslog.h>

#include "base/error.h"
#include "db/db.h"
#include "recovery/checkpoint.h"
#include "tree/clean.h"

#define PICKS 16u                        /* extents chosen at once */
#define ROUNDS_MAX 64u                   /* of emptying extents and taking two checkpoints */
#define ROUND_SHARE 8u                   /* of the live bytes are moved in a round at most, */
#define ROUND_LEAST ((uint64_t)16 << 20) /* or so many bytes */
#define HEADROOM 4u                      /* extents: for those who work on the store meanwhile */
#define SLACK_SHARE 32u /* of what the file needs: extents are not filled to the last byte */
#define IMAGE_ROUNDS 2u /* after these four checkpoints no image is where the first one was */
#define SHRINK_EVERY_NS ((uint64_t)1000 * 1000 * 1000)
#define SHRINK_STEP ((uint64_t)32 << 20) /* bytes that become holes at once */
#define SHRINK_MARGIN 16u                /* of the limit: a file that is larger by less stays */
#define SHRINK_TRIES_MAX 3u /* steps in a row, checkpoints mostly, of which nothing came */

static uint64_t checkpoints_taken(struct bwt_db *db)
{
	struct checkpoint_state state;

	checkpoint_state(&db->store, db->checkpointer, &state);
	return state.count;
}

/* ---- the end of the file ---- */

/* What is gone there is not in use any more, if nobody needs the size of the file as it is. */
static void leave_end(struct bwt_db *db, struct epoch_slot *slot)
{
	pthread_mutex_lock(&db->checkpoint_lock);
	if (!checkpoint_pinned(db->checkpointer) && extents_cut_tail(&db->store.extents, slot) > 0)
		atomic_store_explicit(&db->space.cut_at, checkpoints_taken(db) + 2,
		                      memory_order_relaxed);
	pthread_mutex_unlock(&db->checkpoint_lock);
}

/* CO1. What fails is tried again. */
static int cut_end(struct bwt_db *db)
{
	int rc = BWT_OK;

	pthread_mutex_lock(&db->checkpoint_lock);
	if (!checkpoint_pinned(db->checkpointer) &&
	    checkpoints_taken(db) >= atomic_load_explicit(&db->space.cut_at, memory_order_relaxed)) {
		rc = arena_cut(&db->store.arena);
		if (rc == BWT_OK)
			atomic_store_explicit(&db->space.cut_at, UINT64_MAX, memory_order_relaxed);
	}
	pthread_mutex_unlock(&db->checkpoint_lock);
	return rc == BWT_BUSY ? BWT_OK : rc;
}

static bool end_is_left(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->space.cut_at, memory_order_relaxed) != UINT64_MAX;
}

/* ---- holes ---- */

/* A file system that knows no holes still has an end to cut. */
static int without_holes(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOSYS ? BWT_OK : rc;
}

static int give_back(struct bwt_db *db, uint64_t most, uint64_t *given)
{
	struct extents_survey survey;

	extents_survey(&db->store.extents, &survey);
	return without_holes(extents_give_back(
		&db->store.extents, survey.reserve + HEADROOM * space_unit(&survey), most, given));
}

/* ---- emptying ---- */

/* Two: what an image reaches is kept until two younger ones are durable (I8). */
static int take_checkpoints(struct bwt_db *db)
{
	int rc = service_checkpoint(db, false);

	if (rc == BWT_OK)
		rc = service_checkpoint(db, false);
	extents_reclaim(&db->store.extents);
	return rc;
}

/* Some of those that @effort picks. Returns how many are empty now; *moved is added to. */
static unsigned empty_some(struct bwt_db *db, struct epoch_slot *slot, enum pick_effort effort,
                           uint64_t *moved)
{
	uint64_t least = extents_reserve(&db->store.extents) / 2;
	struct extent_pick picks[PICKS];
	unsigned count = extents_pick(&db->store.extents, effort, picks, PICKS), emptied = 0;
	int rc = BWT_OK;

	for (unsigned i = 0; i < count && (rc == BWT_OK || rc == BWT_BUSY); i++) {
		struct clean_result result = {0};

		rc = space_empty(db, slot, &picks[i], URGENCY_CARE, least, &result);
		emptied += rc == BWT_OK;
		*moved += result.bytes;
	}
	return emptied;
}

/* A round: what is moved is written anew before it is free where it was, so it is done in parts. */
static int empty_round(struct bwt_db *db, struct epoch_slot *slot, enum pick_effort effort,
                       unsigned *emptied)
{
	struct extents_survey survey;
	uint64_t most, moved = 0;
	unsigned some = 1;

	extents_survey(&db->store.extents, &survey);
	most = survey.live / ROUND_SHARE > ROUND_LEAST ? survey.live / ROUND_SHARE : ROUND_LEAST;
	extents_let_go(&db->store.extents, slot);
	*emptied = 0;
	while (some > 0 && moved < most) {
		some = empty_some(db, slot, effort, &moved);
		*emptied += some;
	}
	extents_let_go_own(&db->store.extents, slot);
	return take_checkpoints(db);
}

static int empty_all(struct bwt_db *db, struct epoch_slot *slot, enum pick_effort effort,
                     unsigned least)
{
	unsigned emptied = 1;
	int rc = BWT_OK;

	for (unsigned round = 0;
	     rc == BWT_OK && round < ROUNDS_MAX && (emptied > 0 || round < least); round++)
		rc = empty_round(db, slot, effort, &emptied);
	return rc;
}

/* ---- bwt_compact ---- */

/* Where the file could end. */
static uint64_t ceiling_for(const struct extents_survey *survey)
{
	uint64_t need = survey->live + survey->held + survey->spare + survey->reserve;

	need += need / SLACK_SHARE + HEADROOM * EXTENT_SIZE;
	return (need + EXTENT_SIZE - 1) / EXTENT_SIZE * EXTENT_SIZE;
}

static int empty_end(struct bwt_db *db, struct epoch_slot *slot)
{
	struct extents *extents = &db->store.extents;
	struct extents_survey survey;
	int rc, lifted;

	extents_survey(extents, &survey);
	if (ceiling_for(&survey) >= arena_size(&db->store.arena))
		return BWT_OK;
	rc = extents_set_ceiling(extents, ceiling_for(&survey));
	if (rc < 0)
		return rc;
	rc = empty_all(db, slot, PICK_TAIL, IMAGE_ROUNDS);
	leave_end(db, slot);
	lifted = without_holes(extents_lift_ceiling(extents));
	return rc < 0 ? rc : lifted;
}

static int compact(struct bwt_db *db, struct epoch_slot *slot)
{
	int rc = empty_all(db, slot, PICK_GAIN, 1);
	uint64_t given;

	if (rc == BWT_OK)
		rc = empty_end(db, slot);
	if (rc == BWT_OK)
		rc = give_back(db, UINT64_MAX, &given);
	if (rc == BWT_OK && !end_is_left(db))
		leave_end(db, slot);
	if (rc == BWT_OK && end_is_left(db)) {
		rc = take_checkpoints(db);
		if (rc == BWT_OK)
			rc = cut_end(db);
	}
	space_look(db);
	return rc;
}

int bwt_compact(struct bwt_db *db, unsigned flags)
{
	struct epoch_slot *slot;
	int rc = db_check(db);

	if (rc == BWT_OK && flags != 0)
		rc = error_set(BWT_INVALID, "flags that do not exist: %#x", flags);
	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc == BWT_OK)
		rc = db_slot(db, &slot);
	if (rc != BWT_OK)
		return rc;
	pthread_mutex_lock(&db->space.compact_lock);
	rc = compact(db, slot);
	pthread_mutex_unlock(&db->space.compact_lock);
	return rc;
}

/* ---- slowly, by itself ---- */

/* Sparse extents are emptied by the workers; without them by this thread, one at a time. */
static void shrink_sparse(struct bwt_db *db, struct epoch_slot *slot)
{
	if (has_workers(db))
		work_wake(&db->work, 1);
	else
		space_clean(db, slot);
}

/* The file is larger than it may be: what is free goes; else something is to become free. */
static void shrink_step(struct bwt_db *db, struct epoch_slot *slot,
                        const struct extents_survey *survey, uint64_t over)
{
	struct space *space = &db->space;
	uint64_t unit = space_unit(survey), given = 0;
	bool plenty = survey->free >= survey->reserve + (HEADROOM + 1) * unit;
	bool waits;

	space_look(db);
	if (plenty && give_back(db, over < SHRINK_STEP ? over : SHRINK_STEP, &given) == BWT_OK &&
	    !end_is_left(db))
		leave_end(db, slot);
	if (given > 0) {
		space->shrink_tries = 0;
		return;
	}
	if (space_behind(db))
		shrink_sparse(db, slot);
	waits = survey->held >= unit || end_is_left(db);
	/* Without holes what is free may be nowhere near the end: it would be looked at for good. */
	space->shrink_tries += plenty || waits;
	if (waits)
		(void)service_checkpoint(db, false);
}

/* true: there is more to come. */
static bool shrink(struct bwt_db *db, struct epoch_slot *slot)
{
	struct space *space = &db->space;
	struct extents_survey survey;
	uint64_t limit;

	if (cut_end(db) < 0)
		store_say(&db->store, LOG_WARNING, "the arena's end stays: %s", bwt_detail());
	extents_survey(&db->store.extents, &survey);
	limit = space_limit(db, &survey);
	if (space->shrink_tries >= SHRINK_TRIES_MAX)
		return false;
	if (survey.size > limit + limit / SHRINK_MARGIN) {
		shrink_step(db, slot, &survey, survey.size - limit);
		return true;
	}
	if (!end_is_left(db))
		return false;
	space->shrink_tries++;
	return service_checkpoint(db, false) == BWT_OK;
}

void space_shrink(struct bwt_db *db, uint64_t now_ns)
{
	struct space *space = &db->space;
	uint64_t allocated =
		atomic_load_explicit(&db->store.extents.allocated_bytes, memory_order_relaxed);
	struct epoch_slot *slot;

	if (now_ns - space->shrink_ns < SHRINK_EVERY_NS ||
	    (space->shrunk && allocated == space->shrink_allocated) ||
	    store_health(&db->store, true) < 0 || db_slot(db, &slot) < 0)
		return;
	if (allocated != space->shrink_allocated)
		space->shrink_tries = 0;
	space->shrink_ns = now_ns;
	space->shrink_allocated = allocated;
	space->shrunk = !shrink(db, slot);
}
