/* SPDX-License-Identifier: MIT */
/*
 * values.c - how large the value log may be, and collection, which keeps it so
 *
 *   in use --choose()--> victim --a walk over all leaves--> dead --three checkpoints--> removed (value_files.c)
 *
 * The log is   live + dead bytes of files in use + files that wait for their removal.   It may be vlog_space_target
 * percent of what lives, and two files more. When half of that slack is used up, the files that give most for
 * the bytes to be copied are chosen, and the leaves of all trees are walked: values that lie in a victim are
 * copied to a file for what has lived long, and the leaf is consolidated so that it refers to the copies. This is
 * done by the workers, or the service thread where there are none; who appends helps when they lag. Checkpoints,
 * of which three are needed before a file may go, are made due by the bytes that were appended.
 *
 *   VC1  A copy is referred to by the swap that consolidation ends with anyway: it loses against any change of
 *        the page, and finds the version by the place of its value (tree/values.h VL1). Nothing is logged. The
 *        log and the images that are there refer to the old place, where the value is as long as they are
 *        retained (recovery/value_files.c VF2); replay from them puts the old reference back, which is as good.
 *   VC2  Copies are durable before an image refers to them: the checkpoint syncs the value log after its cut.
 *        A copy that no image came to refer to is dead after a crash, and so is its file, in time.
 *   VC3  From before a copy is made until the swap, the copier's value_hold keeps its file. The file that is
 *        copied from is not held: if it goes, nothing referred to it any more, and the copy is not needed.
 *   VC4  Live bytes are counted in the gate section of the swap, the new ones before it, the old after it.
 *   VC5  Snapshots lose nothing: all versions that pruning keeps are moved alike.
 *   VC7  Dead files that wait for checkpoints count like all others: where they make the log larger than it may be, who
 *        appends waits for checkpoints, which are taken one after the other then, but not longer than for those that
 *        remove what is dead now, nor than WAIT_NS; and when nothing was removed, nobody waits for a while.
 *   VC6  What cannot be moved now (pending versions, a leaf that was split meanwhile, damage) stays, and its file
 *        with it; it is chosen again when more of it has died.
 */
#include "db/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "db/db.h"
#include "sys/backoff.h"
#include "sys/thread.h"
#include "tree/consolidate.h"
#include "tree/values.h"

#define SLACK_FILES 2u /* the log may have so many files over the target */
#define DUE_SHARE                                                                                  \
	16u /* of the slack: appended bytes between two checkpoints, and between two looks */
#define GAIN_SHARE 8u         /* one part in so many of a victim must be dead */
#define WAIT_NS 2000000000ull /* for checkpoints, at most (VC7) */
#define FUTILE_NS                                                                                  \
	10000000000ull /* nobody waits again so soon after waiting in vain: a backup may keep the files */
#define WAIT_CHECKPOINTS 4u /* the first may have begun before */
#define LOOK_LEAST ((uint64_t)64 << 10)
#define VALUES_PER_CLAIM 256u
#define SERVE_CLAIMS 16u /* leaves between two looks at other duties */

/* ---- looking ---- */

struct survey {
	struct bwt_db *db;
	struct value_file *files;
	unsigned count, capacity;
	struct vlog_tails tails;
	uint64_t hold;    /* who writes a file of its own holds it: it is at or above this number */
	uint64_t total;   /* bytes of all */
	uint64_t live;    /* of which some page refers to */
	uint64_t retired; /* bytes of files in which nothing lives */
};

/* Nothing is appended to it any more; of young ones that are held it is not known. */
static bool is_finished(const struct survey *survey, uint64_t number)
{
	return !vlog_is_tail(&survey->tails, number) &&
	       (number < survey->tails.floor || number < survey->hold);
}

static int survey_file(void *ctx, uint64_t number, uint64_t bytes)
{
	struct survey *survey = ctx;
	const struct cow_table *live = &survey->db->store.vlog_live;
	struct value_file file = {.file = number, .bytes = bytes};

	if (survey->count == survey->capacity) {
		unsigned capacity = survey->capacity == 0 ? 64 : survey->capacity * 2;
		struct value_file *fresh = realloc(survey->files, capacity * sizeof *fresh);

		if (fresh == NULL)
			return -ENOMEM;
		survey->files = fresh;
		survey->capacity = capacity;
	}
	file.live = number < live->capacity ? cow_load(live, number) : bytes;
	survey->files[survey->count++] = file;
	survey->total += bytes;
	survey->live += file.live;
	if (file.live == 0 && is_finished(survey, number))
		survey->retired += bytes;
	return BWT_OK;
}

static int survey_take(struct bwt_db *db, struct survey *survey)
{
	*survey = (struct survey){.db = db};
	vlog_tails(db->store.vlog, &survey->tails); /* first: VF1 */
	survey->hold = epoch_lowest_hold(&db->store.epoch);
	return vlog_list(db->store.vlog, survey_file, survey);
}

static uint64_t slack_of(const struct survey *survey)
{
	const struct bwt_options *options = &survey->db->options;

	return survey->live / 100 * (options->vlog_space_target - 100) +
	       SLACK_FILES * options->vlog_segment_size;
}

static uint64_t used_of(const struct survey *survey)
{
	return survey->total - survey->retired;
}

/* Of the half of the slack that collection has to get along with, the part that is used up. */
static uint32_t pressure_of(const struct survey *survey)
{
	uint64_t half = slack_of(survey) / 2, begin = survey->live + half;
	uint64_t over = survey->total > begin ? survey->total - begin : 0;

	return over >= half ? PACE_PRESSURE_MAX : (uint32_t)(over / (half / PACE_PRESSURE_MAX + 1));
}

static void note(struct bwt_db *db, const struct survey *survey)
{
	struct values *values = &db->values;
	uint64_t slack = slack_of(survey), share = slack / DUE_SHARE;
	bool behind = used_of(survey) > survey->live + slack / 2;
	bool late = behind && survey->total > survey->live + slack;
	/* What readers of changes keep, no checkpoint frees. */
	bool retired = survey->retired > 0 && !changes_hold(db);

	share = share > LOOK_LEAST ? share : LOOK_LEAST;
	atomic_store_explicit(&values->retired, retired, memory_order_relaxed);
	atomic_store_explicit(&values->due, behind || retired ? share : UINT64_MAX,
	                      memory_order_relaxed);
	atomic_store_explicit(&values->behind,
	                      late     ? VALUES_HURRY
	                      : behind ? VALUES_BEHIND
	                               : VALUES_ENOUGH,
	                      memory_order_relaxed);
	atomic_store_explicit(&values->pace.pressure, pressure_of(survey), memory_order_relaxed);
	atomic_store_explicit(&values->total, survey->total, memory_order_relaxed);
	atomic_store_explicit(&values->over, retired && survey->total > survey->live + slack,
	                      memory_order_relaxed);
	atomic_store_explicit(&values->look_at, vlog_appended(db->store.vlog) + share,
	                      memory_order_relaxed);
}

/* A look that fails, for want of memory, is one that comes later. */
static void look(struct bwt_db *db)
{
	struct survey survey;

	if (survey_take(db, &survey) == BWT_OK)
		note(db, &survey);
	free(survey.files);
}

bool values_behind(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->values.behind, memory_order_relaxed) != VALUES_ENOUGH;
}

uint64_t values_wait_ns(const struct bwt_db *db)
{
	return pace_wait_ns(&db->values.pace);
}

bool values_retired(const struct bwt_db *db)
{
	return atomic_load_explicit(&db->values.retired, memory_order_relaxed) != 0;
}

bool values_checkpoint_due(const struct bwt_db *db)
{
	uint64_t due = atomic_load_explicit(&db->values.due, memory_order_relaxed);

	if (due == UINT64_MAX)
		return false;
	return atomic_load_explicit(&db->values.waiters, memory_order_relaxed) != 0 ||
	       vlog_appended(db->store.vlog) -
	                       atomic_load_explicit(&db->values.cut_at, memory_order_relaxed) >=
	               due;
}

/* ---- choosing ---- */

static int by_score(const void *a, const void *b)
{
	const struct value_file *left = a, *right = b;

	return (left->score < right->score) - (left->score > right->score);
}

static int by_number(const void *a, const void *b)
{
	const struct value_file *left = a, *right = b;

	return (left->file > right->file) - (left->file < right->file);
}

/* The last walk could not empty it, and nothing has changed since (VC6). */
static bool was_left(const struct values *values, const struct value_file *file)
{
	const struct value_file *last;

	if (values->victim_count == 0)
		return false;
	last = bsearch(file, values->victims, values->victim_count, sizeof *file, by_number);
	return last != NULL && last->live == file->live;
}

/* Dead bytes for live ones to be copied, older files first: young ones may yet die by themselves. 0: not worth it. */
static uint64_t score_of(const struct survey *survey, const struct value_file *file)
{
	uint64_t dead = file->bytes > file->live ? file->bytes - file->live : 0;

	if (file->live == 0 || !is_finished(survey, file->file) ||
	    dead < file->bytes / GAIN_SHARE || was_left(&survey->db->values, file))
		return 0;
	return dead / 16 * (survey->tails.next - file->file) / (file->live / 4096 + 1) + 1;
}

/* The best ones come first in survey->files; as many as bring the log back to a quarter of its slack. */
static unsigned choose(struct survey *survey)
{
	uint64_t goal = survey->live + slack_of(survey) / 4, used = used_of(survey);
	unsigned count = 0;

	if (survey->count == 0)
		return 0;
	for (unsigned i = 0; i < survey->count; i++)
		survey->files[i].score = score_of(survey, &survey->files[i]);
	qsort(survey->files, survey->count, sizeof *survey->files, by_score);
	for (; count < survey->count && used > goal; count++) {
		const struct value_file *file = &survey->files[count];

		if (file->score == 0)
			break;
		used -= file->bytes - file->live;
	}
	qsort(survey->files, count, sizeof *survey->files, by_number);
	return count;
}

static bool is_victim(void *ctx, const struct value_ref *ref)
{
	const struct values *values = ctx;
	const struct value_file file = {.file = ref->segment};

	return bsearch(&file, values->victims, values->victim_count, sizeof file, by_number) != NULL;
}

/* ---- the walk; all of it under the lock ---- */

/* To the first leaf of tree @id, if there is one; see find_tree(). */
static void go_to_tree(struct values *values, uint32_t id)
{
	values->tree = id;
	values->key_size = 0;
}

/* The walk's tree was not to be had. If there is none with its id, the next one follows; else it is for later. */
static void find_tree(struct bwt_db *db)
{
	struct values *values = &db->values;
	uint32_t found = UINT32_MAX;

	if (pthread_mutex_trylock(db->store.trees_lock) != 0)
		return;
	for (struct named_tree *tree = db->store.trees; tree != NULL; tree = tree->next)
		if (tree->tree.id >= values->tree && tree->tree.id < found &&
		    tree->state == CATALOG_LIVE)
			found = tree->tree.id;
	pthread_mutex_unlock(db->store.trees_lock);
	values->exhausted = found == UINT32_MAX;
	if (found != values->tree)
		go_to_tree(values, found);
}

static void begin(struct bwt_db *db)
{
	struct values *values = &db->values;
	struct survey survey;

	if (values->key == NULL)
		values->key = malloc(BWT_KEY_MAX);
	if (values->key != NULL && survey_take(db, &survey) == BWT_OK) {
		unsigned count;

		note(db, &survey);
		count = values_behind(db) ? choose(&survey) : 0;
		if (count > 0) {
			free(values->victims);
			values->victims = survey.files;
			values->victim_count = count;
			survey.files = NULL;
			values->walking = true;
			values->exhausted = false;
			go_to_tree(values, TREE_ID_MAIN);
		}
		free(survey.files);
	}
	if (!values->walking) /* until more has died, or come */
		atomic_store_explicit(&values->behind, VALUES_ENOUGH, memory_order_relaxed);
}

/* What still lives in the victims could not be moved: remembered for was_left(). */
static void end_if_done(struct bwt_db *db)
{
	struct values *values = &db->values;

	/* ACQUIRE: pairs with the end of each claim. */
	if (!values->walking || !values->exhausted ||
	    atomic_load_explicit(&values->claims, memory_order_acquire) != 0)
		return;
	for (unsigned i = 0; i < values->victim_count; i++)
		values->victims[i].live = cow_load(&db->store.vlog_live, values->victims[i].file);
	vlog_end_moves(db->store.vlog);
	values->walking = false;
	look(db);
}

struct claim { /* a leaf, and what of it is to be moved */
	uint32_t tree;
	uint8_t *key;
	size_t key_size;
	unsigned count;
	struct found_value found[VALUES_PER_CLAIM];
};

static struct bwt_slice key_of(const struct claim *claim)
{
	return (struct bwt_slice){claim->key, claim->key_size};
}

/* The walk goes on behind @place. */
static void step_over(struct bwt_db *db, const struct place *place)
{
	struct values *values = &db->values;
	struct bwt_slice high = base_high(place->base);

	if (high.data == NULL) {
		go_to_tree(values, values->tree + 1);
		return;
	}
	memcpy(values->key, high.data, high.size);
	values->key_size = high.size;
}

/* What is to be moved of the walk's next leaf. Dead versions are dropped first, so that they are not copied. Pinned. */
static int find(struct bwt_db *db, struct epoch_slot *slot, struct tree *tree, struct claim *claim,
                struct place *place)
{
	bool clean = false;
	int rc = BWT_OK, found = 0;

	for (;;) {
		rc = tree_descend(tree, key_of(claim), false, 0, place, NULL);
		if (rc == BWT_OK)
			found = tree_find_values(tree, slot, place, is_victim, &db->values,
			                         claim->found, VALUES_PER_CLAIM);
		if (rc < 0 || found <= 0 || clean || mapping_chain(place->word) == 0)
			return rc < 0 ? rc : found;
		clean = true;
		rc = tree_consolidate(tree, slot, place, LEAVE_PENDING, URGENCY_CARE);
		if (rc < 0 && rc != BWT_BUSY && rc != BWT_TOO_BIG)
			return rc;
	}
}

/* The walk's next leaf. BWT_NOT_FOUND: it had none; BWT_BUSY: not now, or not there. */
static int claim_leaf(struct bwt_db *db, struct epoch_slot *slot, struct claim *claim)
{
	struct values *values = &db->values;
	struct place place;
	struct tree *tree;
	int rc = BWT_BUSY;

	if (values->exhausted)
		return BWT_NOT_FOUND;
	claim->tree = values->tree;
	claim->key_size = values->key_size;
	memcpy(claim->key, values->key, values->key_size);
	epoch_pin(slot);
	tree = space_tree_hold(db, claim->tree);
	if (tree != NULL) {
		rc = find(db, slot, tree, claim, &place);
		space_tree_release(db, tree);
	}
	if (rc >= 0) {
		claim->count = (unsigned)rc;
		step_over(db, &place);
	} else if (rc == BWT_CORRUPT) { /* the rest of the tree keeps its values where they are */
		go_to_tree(values, claim->tree + 1);
	} else if (tree == NULL) {
		find_tree(db);
	}
	epoch_unpin(slot);
	return rc < 0 ? rc : BWT_OK;
}

/* The same, but with patience for who creates or drops a tree, or holds one as we do. */
static int claim_next(struct bwt_db *db, struct epoch_slot *slot, struct claim *claim)
{
	struct backoff backoff = {0};
	int rc;

	claim->key = malloc(BWT_KEY_MAX);
	if (claim->key == NULL)
		return -ENOMEM;
	do
		rc = claim_leaf(db, slot, claim);
	while ((rc == BWT_BUSY || rc == BWT_CORRUPT) && backoff_pause(&backoff, &slot->random));
	return rc;
}

/* ---- moving ---- */

/* Let the leaf refer to the copies. */
static int install(struct bwt_db *db, struct epoch_slot *slot, const struct claim *claim,
                   const struct value_move *moves, unsigned count)
{
	struct backoff backoff = {0};
	int rc;

	do {
		struct tree *tree;
		struct place place;

		rc = BWT_BUSY;
		epoch_pin(slot);
		tree = space_tree_hold(db, claim->tree);
		if (tree != NULL) {
			rc = tree_descend(tree, key_of(claim), false, 0, &place, NULL);
			if (rc == BWT_OK)
				rc = tree_move_values(tree, slot, &place, moves, count);
			space_tree_release(db, tree);
		}
		epoch_unpin(slot);
	} while (rc == BWT_BUSY && backoff_pause(&backoff, &slot->random));
	return rc == BWT_BUSY || rc == BWT_TOO_BIG || rc == BWT_CORRUPT ? BWT_OK : rc;
}

static int move(struct bwt_db *db, struct epoch_slot *slot, const struct claim *claim)
{
	struct vlog_move copies[VALUES_PER_CLAIM];
	struct value_move moves[VALUES_PER_CLAIM];
	uint64_t bytes = 0, began_ns = sys_now_ns();
	unsigned count = 0;
	int rc;

	/* VC3; SEQ_CST: see epoch_slot.value_hold. */
	if (!TEST_FAULT("move_unheld"))
		atomic_store_explicit(&slot->value_hold, vlog_append_floor(db->store.vlog),
		                      memory_order_seq_cst);
	for (unsigned i = 0; i < claim->count; i++)
		copies[i] = (struct vlog_move){.from = claim->found[i].ref,
		                               .hash = claim->found[i].hash};
	rc = vlog_move_many(db->store.vlog, claim->tree, copies, claim->count);
	for (unsigned i = 0; i < claim->count && rc == BWT_OK; i++) {
		if (copies[i].rc < 0)
			continue; /* gone, or damaged: who reads it is told (VC6) */
		moves[count++] = (struct value_move){copies[i].from, copies[i].to};
		bytes += value_ref_stored(&copies[i].from);
	}
	TEST_YIELD("values_copied");
	if (count > 0 && rc == BWT_OK)
		rc = install(db, slot, claim, moves, count);
	/* RELEASE: the live bytes were counted before. */
	atomic_store_explicit(&slot->value_hold, 0, memory_order_release);
	stats_add(&db->store.stats, slot->index, STAT_VALUES_MOVED, count);
	stats_add(&db->store.stats, slot->index, STAT_VALUE_BYTES_MOVED, bytes);
	pace_step_done(&db->values.pace, db->options.vlog_collect_rate, bytes, began_ns,
	               store_clock(&db->store));
	return rc;
}

/* Out of space, or worse: no more of it before the next look. */
static void give_up(struct bwt_db *db)
{
	atomic_store_explicit(&db->values.behind, VALUES_ENOUGH, memory_order_relaxed);
}

bool values_collect(struct bwt_db *db, struct epoch_slot *slot)
{
	struct values *values = &db->values;
	struct claim claim = {.count = 0};
	int rc = BWT_NOT_FOUND;

	if (store_health(&db->store, true) < 0 || pthread_mutex_trylock(&values->lock) != 0)
		return false;
	end_if_done(db);
	if (!values->walking)
		begin(db);
	if (values->walking)
		rc = claim_next(db, slot, &claim);
	if (claim.count > 0)
		atomic_fetch_add_explicit(&values->claims, 1, memory_order_relaxed);
	pthread_mutex_unlock(&values->lock);
	if (claim.count > 0) {
		rc = move(db, slot, &claim);
		/* RELEASE: who ends the walk finds all of it done. */
		atomic_fetch_sub_explicit(&values->claims, 1, memory_order_release);
	}
	free(claim.key);
	if (pthread_mutex_trylock(&values->lock) == 0) {
		end_if_done(db);
		pthread_mutex_unlock(&values->lock);
	}
	if (rc < 0 && rc != BWT_NOT_FOUND && rc != BWT_BUSY && rc != BWT_CORRUPT)
		give_up(db);
	return rc == BWT_OK;
}

uint64_t values_serve(struct bwt_db *db)
{
	struct epoch_slot *slot;

	if (!values_behind(db) || db_slot(db, &slot) < 0)
		return 0;
	for (unsigned i = 0; i < SERVE_CLAIMS; i++) {
		uint64_t wait_ns = values_wait_ns(db);

		if (wait_ns > 0)
			return wait_ns;
		if (!values_collect(db, slot))
			return 0;
	}
	service_wake(db); /* there is more: the other duties first */
	return 0;
}

/* ---- tending: before a value is appended ---- */

static bool is_over(const struct values *values)
{
	return atomic_load_explicit(&values->over, memory_order_relaxed) != 0;
}

static uint64_t checkpoints_taken(const struct bwt_db *db)
{
	struct checkpoint_state state;

	checkpoint_state(&db->store, db->checkpointer, &state);
	return state.count;
}

/* VC7 */
static void wait_for_removal(struct bwt_db *db)
{
	struct values *values = &db->values;
	uint64_t now = sys_now_ns(), deadline = now + WAIT_NS,
		 last = checkpoints_taken(db) + WAIT_CHECKPOINTS,
		 total = atomic_load_explicit(&values->total, memory_order_relaxed);

	if (now < atomic_load_explicit(&values->futile_until, memory_order_relaxed))
		return;
	/* SEQ_CST: pairs with the counting of the bell in values_checkpointed(). */
	atomic_fetch_add_explicit(&values->waiters, 1, memory_order_seq_cst);
	while (is_over(values) && now < deadline && checkpoints_taken(db) < last &&
	       store_health(&db->store, true) == BWT_OK) {
		uint32_t bell = atomic_load_explicit(&values->bell, memory_order_seq_cst);

		service_wake(db);
		if (is_over(values) && checkpoints_taken(db) < last)
			sys_park(&values->bell, bell, deadline - now);
		now = sys_now_ns();
	}
	atomic_fetch_sub_explicit(&values->waiters, 1, memory_order_seq_cst);
	if (is_over(values) && atomic_load_explicit(&values->total, memory_order_relaxed) >= total)
		atomic_store_explicit(&values->futile_until, now + FUTILE_NS, memory_order_relaxed);
}

static void tend(struct store *store, struct epoch_slot *slot)
{
	struct bwt_db *db = (struct bwt_db *)store;
	struct values *values = &db->values;
	uint64_t appended = vlog_appended(store->vlog);
	uint64_t at = atomic_load_explicit(&values->look_at, memory_order_relaxed);

	if (appended >= at &&
	    atomic_compare_exchange_strong_explicit(&values->look_at, &at, appended + LOOK_LEAST,
	                                            memory_order_relaxed, memory_order_relaxed)) {
		look(db);
		if (values_checkpoint_due(db) || (values_behind(db) && !has_workers(db)))
			service_wake(db);
		if (values_behind(db))
			work_wake(&db->work, UINT32_MAX);
	}
	if (atomic_load_explicit(&values->behind, memory_order_relaxed) == VALUES_HURRY)
		(void)values_collect(db, slot);
	if (is_over(values) && !TEST_FAULT("values_never_wait"))
		wait_for_removal(db);
}

void values_checkpointed(struct bwt_db *db, uint64_t appended)
{
	struct values *values = &db->values;

	atomic_store_explicit(&values->cut_at, appended, memory_order_relaxed);
	if (db->store.tend_values == NULL)
		return;
	look(db);
	atomic_fetch_add_explicit(&values->bell, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&values->waiters, memory_order_seq_cst) != 0)
		sys_wake(&values->bell, UINT32_MAX);
	if (values_behind(db))
		work_wake(&db->work, UINT32_MAX);
}

void values_start(struct bwt_db *db)
{
	atomic_store_explicit(&db->values.due, UINT64_MAX, memory_order_relaxed);
	if (db->options.vlog_space_target == (unsigned)BWT_OFF)
		return;
	look(db);
	db->store.tend_values = tend;
}

void values_free(struct bwt_db *db)
{
	free(db->values.victims);
	free(db->values.key);
}
