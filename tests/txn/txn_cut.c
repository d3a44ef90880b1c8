/* SPDX-License-Identifier: MIT */
/*
 * txn_cut.c - a checkpoint's cut falls between two steps of a large transaction, and then the process is killed
 *
 * A child lets one thread commit a transaction that is too large for one gate section, and stops it between two of
 * them. Meanwhile others write beside its versions, so that its leaves are consolidated, split or merged under
 * them, and another large transaction commits; then two checkpoints are taken, so that no older image is left. The
 * transaction is left where it is, or goes on to its end, made durable or not; SIGKILL. The parent opens what is left:
 *
 *   committed at the cut          it is there as a whole, whatever came later (its LSN is in the image, K1)
 *   undecided and left there      it is absent
 *   undecided, committed later    there as a whole if that was durable, else there or absent as a whole;
 *                                 its parts lie before the cut, so the log is kept from the first of them (W6)
 *
 * Without the image's list of transactions that must go wrong: see the_list_of_transactions_is_needed().
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/txn/play.h"

#define KEYS                                                                                       \
	240u /* "k00000" and so on: the transaction overwrites, deletes and, between them, inserts */
#define BESIDE 12u /* other keys after each of them, where there are to be merges or splits */
#define ITSELF UINT_MAX

enum beside { /* what the others do to its leaves while it is stopped */
	BESIDE_NOTHING,
	BESIDE_OVERWRITES,
	BESIDE_SPLITS,
	BESIDE_MERGES,
	BESIDE_KINDS
};

enum end {
	END_THERE,   /* it stays where it was stopped */
	END_GOES_ON, /* it commits; nobody waits for the disk */
	END_DURABLE, /* it commits, and bwt_sync() */
	ENDS
};

struct scene {
	const char *point;
	unsigned nth; /* hit of the point at which it stops */
	bool committed;
	enum beside beside;
	enum end end;
	const char *fault; /* armed in the child; NULL: none */
};

enum verdict {
	VERDICT_ABSENT,
	VERDICT_WHOLE,
	VERDICT_WRONG
};

/* ---- the child ---- */

static void must(bool held, const char *what)
{
	if (held)
		return;
	printf("  the child: %s; bwt_detail: %s\n", what, bwt_detail());
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

/* One of the transaction's keys, or number @sub of those after it; good until the next call of the thread. */
static const char *key_of(const char *prefix, unsigned number, unsigned sub)
{
	static _Thread_local char key[32];

	if (sub == ITSELF)
		snprintf(key, sizeof key, "%s%05u", prefix, number);
	else
		snprintf(key, sizeof key, "%s%05u-%02u", prefix, number, sub);
	return key;
}

static void put_key(struct bwt_txn *txn, const char *key, const char *value)
{
	must(try_put(txn, key, value, 0) == BWT_OK, "a put failed");
}

static void delete_key(struct bwt_txn *txn, const char *key)
{
	must(try_delete(txn, key) == BWT_OK, "a delete failed");
}

/* BESIDE keys after each of the transaction's, of 60 bytes of value. */
static void put_beside(void)
{
	char value[61];

	memset(value, 'b', 60);
	value[60] = '\0';
	for (unsigned i = 0; i < KEYS; i++)
		for (unsigned sub = 0; sub < BESIDE; sub++)
			put_key(NULL, key_of("k", i, sub), value);
}

static void delete_beside(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		for (unsigned sub = 0; sub < BESIDE; sub++)
			delete_key(NULL, key_of("k", i, sub));
}

/* A snapshot would keep what others delete, and with it the pages that are to merge; so would a delete, which looks. */
static bool deletes(const struct scene *scene)
{
	return scene->beside != BESIDE_MERGES;
}

/* The actor: of each three keys one is overwritten, one deleted, one inserted. */
static void change_all(void *arg)
{
	const struct scene *scene = arg;
	struct bwt_txn *txn = begin(deletes(scene) ? 0 : BWT_READ_COMMITTED);

	for (unsigned i = 0; i < KEYS; i++)
		if (i % 3 == 0 && deletes(scene))
			delete_key(txn, key_of("k", i, ITSELF));
		else
			put_key(txn, key_of("k", i, ITSELF), "new");
	must(bwt_commit(txn) == BWT_OK, "the transaction did not commit");
}

static void commit_another_one(void)
{
	struct bwt_txn *txn = begin(0);

	for (unsigned i = 0; i < KEYS; i++)
		put_key(txn, key_of("other", i, ITSELF), "other");
	must(bwt_commit(txn) == BWT_OK, "the other transaction did not commit");
}

static void work_beside(const struct scene *scene)
{
	enum beside beside = scene->beside;
	struct bwt_stats before = stats_now(), after;

	if (beside == BESIDE_OVERWRITES)
		for (unsigned round = 0; round < 40; round++)
			for (unsigned i = 0; i < KEYS; i += 8)
				put_key(NULL, key_of("k", i, 0), "beside");
	else if (beside == BESIDE_SPLITS)
		put_beside();
	else if (beside == BESIDE_MERGES)
		delete_beside();
	after = stats_now();
	if (beside == BESIDE_OVERWRITES)
		must(after.consolidations > before.consolidations, "nothing was consolidated");
	if (beside == BESIDE_SPLITS)
		must(after.splits > before.splits, "nothing was split");
	/* Where all versions are pending, two leaves' are too many for one chain. */
	if (beside == BESIDE_MERGES && strcmp(scene->point, "txn_decide") != 0)
		must(after.merges > before.merges, "nothing was merged");
}

static void open_store(void)
{
	must(bwt_open(play.path, &play.options, &play.db) == BWT_OK, "bwt_open failed");
	must(bwt_tree_open(play.db, NULL, 0, &play.tree) == BWT_OK, "bwt_tree_open failed");
}

static void run_child(const struct scene *scene) __attribute__((noreturn));

static void run_child(const struct scene *scene)
{
	struct scene its_scene = *scene;
	struct actor actor;

	open_store();
	for (unsigned i = 0; i < KEYS; i++)
		if (i % 3 != 1)
			put_key(NULL, key_of("k", i, ITSELF), "old");
	if (scene->beside == BESIDE_MERGES)
		put_beside();
	actor_start_nth(&actor, scene->point, scene->nth, change_all, &its_scene);
	must(actor_await(&actor), "the transaction did not come to its point");
	work_beside(scene);
	commit_another_one();
	if (scene->fault != NULL)
		testpoint_set(scene->fault, 0, NULL, NULL);
	for (unsigned i = 0; i < 2; i++)
		must(bwt_checkpoint(play.db) == BWT_OK, "bwt_checkpoint failed");
	if (scene->end != END_THERE)
		actor_finish(&actor);
	if (scene->end == END_DURABLE)
		must(bwt_sync(play.db) == BWT_OK, "bwt_sync failed");
	kill(getpid(), SIGKILL);
	_exit(EXIT_FAILURE);
}

/* ---- the parent ---- */

static bool all_keys(const struct scene *scene, bool changed)
{
	for (unsigned i = 0; i < KEYS; i++) {
		const char *old = i % 3 != 1 ? "old" : NULL;
		const char *new = i % 3 != 0 || !deletes(scene) ? "new" : NULL;

		if (!has(NULL, key_of("k", i, ITSELF), changed ? new : old))
			return false;
	}
	return true;
}

/* What others wrote before the checkpoints is there, and the count says so. */
static bool others_are_there(const struct scene *scene, bool changed)
{
	uint64_t expected = KEYS / 3 * 2 + KEYS, count; /* as many inserted as deleted */
	for (unsigned i = 0; i < KEYS; i++) {
		bool none = scene->beside == BESIDE_NOTHING || scene->beside == BESIDE_MERGES ||
		            (scene->beside == BESIDE_OVERWRITES && i % 8 != 0);

		if (!has(NULL, key_of("other", i, ITSELF), "other") ||
		    has(NULL, key_of("k", i, 0), NULL) != none)
			return false;
	}
	expected += changed && !deletes(scene) ? KEYS / 3 : 0;
	expected += scene->beside == BESIDE_SPLITS ? KEYS * BESIDE : 0;
	expected += scene->beside == BESIDE_OVERWRITES ? KEYS / 8 : 0;
	return bwt_count(play.tree, &count) == BWT_OK && count == expected;
}

static enum verdict verdict_of(const struct scene *scene)
{
	enum verdict verdict = VERDICT_WRONG;

	play.db = NULL;
	if (bwt_open(play.path, &play.options, &play.db) != BWT_OK)
		return VERDICT_WRONG;
	if (bwt_tree_open(play.db, NULL, 0, &play.tree) == BWT_OK) {
		if (all_keys(scene, true))
			verdict = VERDICT_WHOLE;
		else if (all_keys(scene, false))
			verdict = VERDICT_ABSENT;
		if (!others_are_there(scene, verdict == VERDICT_WHOLE))
			verdict = VERDICT_WRONG;
	}
	CU_ASSERT_EQUAL(bwt_close(play.db), BWT_OK);
	play.db = NULL;
	return verdict;
}

/* The child killed itself where it should, and this is what it left. */
static enum verdict play_scene(const struct scene *scene)
{
	enum verdict verdict;
	int status = 0;
	pid_t child;

	tmpstore_clear(play.path);
	fflush(stdout);
	child = fork();
	if (child == 0)
		run_child(scene);
	CU_ASSERT_TRUE_FATAL(child > 0);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE_FATAL(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	verdict = verdict_of(scene);
	if (scene->fault == NULL)
		CU_ASSERT_EQUAL(bwt_verify(play.path, 0, NULL, NULL), BWT_OK);
	return verdict;
}

static bool as_it_must_be(const struct scene *scene, enum verdict verdict)
{
	if (scene->committed || scene->end == END_DURABLE)
		return verdict == VERDICT_WHOLE;
	if (scene->end == END_THERE)
		return verdict == VERDICT_ABSENT;
	return verdict != VERDICT_WRONG;
}

static void play_all(struct scene scene)
{
	for (unsigned beside = 0; beside < BESIDE_KINDS; beside++)
		for (unsigned end = 0; end < ENDS; end++) {
			enum verdict verdict;

			scene.beside = (enum beside)beside;
			scene.end = (enum end)end;
			if (suite_short() && (beside + end) % 4 != 0)
				continue;
			verdict = play_scene(&scene);
			if (!as_it_must_be(&scene, verdict))
				printf("    %s %u, beside %u, end %u: verdict %d\n", scene.point,
				       scene.nth, beside, end, (int)verdict);
			CU_ASSERT_TRUE(as_it_must_be(&scene, verdict));
		}
}

static void a_cut_between_two_versions_keeps_the_parts_and_forgets_the_versions(void)
{
	play_all((struct scene){.point = "txn_between", .nth = 1});
	play_all((struct scene){.point = "txn_between", .nth = KEYS / 2});
}

static void a_cut_before_the_decision_leaves_it_open(void)
{
	play_all((struct scene){.point = "txn_decide", .nth = 1});
}

static void a_cut_between_two_stamps_finds_it_committed(void)
{
	play_all((struct scene){.point = "txn_stamp", .nth = 1, .committed = true});
	play_all((struct scene){.point = "txn_stamp", .nth = KEYS / 2, .committed = true});
}

/* K1, broken: what was committed is lost, or in halves; what commits later has lost its parts. */
static void the_list_of_transactions_is_needed(void)
{
	static const struct scene scenes[] = {
		{"txn_stamp", 1, true, BESIDE_NOTHING, END_THERE, NULL},
		{"txn_stamp", KEYS / 2, true, BESIDE_NOTHING, END_THERE, NULL},
		{"txn_decide", 1, false, BESIDE_NOTHING, END_DURABLE, NULL},
	};

	for (unsigned i = 0; i < COUNT_OF(scenes); i++) {
		struct scene broken = scenes[i];

		CU_ASSERT_TRUE(as_it_must_be(&scenes[i], play_scene(&scenes[i])));
		broken.fault = "checkpoint_no_txns";
		CU_ASSERT_FALSE(as_it_must_be(&broken, play_scene(&broken)));
	}
}

/* The store is the child's; only its folder and options are ours. */
static void set_up(void)
{
	play_set_up();
	CU_ASSERT_EQUAL_FATAL(bwt_close(play.db), BWT_OK);
	play.db = NULL;
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_cut_between_two_versions_keeps_the_parts_and_forgets_the_versions),
		TEST(a_cut_before_the_decision_leaves_it_open),
		TEST(a_cut_between_two_stamps_finds_it_committed),
		TEST(the_list_of_transactions_is_needed),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_cut", set_up, play_tear_down, tests);
}
