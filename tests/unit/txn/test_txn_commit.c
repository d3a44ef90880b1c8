/* SPDX-License-Identifier: MIT */
/*
 * test_txn_commit.c - commits of several writes, and threads stopped at each of their steps
 *
 * txn_installed stands behind each version, txn_reserve before the LSN, txn_publish between it and the
 * CAS, txn_fill behind the CAS, txn_stamp before the versions are stamped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "base/testpoint.h"
#include "tests/support/actor.h"
#include "tests/support/rng.h"
#include "tests/unit/txn/txn_fixture.h"
#include "txn/txn.h"
#include "txn/txn_private.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_new(&fixture, BWT_NONE);
}

static void tear_down(void)
{
	testpoint_reset();
	fixture_free(&fixture);
}

/* ---- a transaction said in text ---- */

struct play {
	struct txn txn;
	struct snapshot_slot *slot;
	uint64_t end_lsn;
	int rc;
};

static void play_begin(struct play *play, enum txn_level level)
{
	memset(play, 0, sizeof *play);
	CU_ASSERT_EQUAL_FATAL(snapshot_acquire(&fixture.store.snapshots, store_clock,
	                                       &fixture.store, &play->slot),
	                      BWT_OK);
	txn_begin(&play->txn, &fixture.store, level,
	          level == TXN_READ_COMMITTED ? READ_NEWEST : snapshot_lsn(play->slot));
	if (level == TXN_SERIALIZABLE)
		play->txn.order = atomic_fetch_add_explicit(&fixture.store.txn_order, 1,
		                                            memory_order_relaxed) +
		                  1;
}

static void play_put(struct play *play, const char *key, const char *value)
{
	CU_ASSERT_EQUAL_FATAL(write_set_change(&play->txn.writes, fixture.tree, text_slice(key),
	                                       text_slice(value), WRITE_PUT, NULL),
	                      BWT_OK);
}

static void play_delete(struct play *play, const char *key)
{
	CU_ASSERT_EQUAL_FATAL(write_set_change(&play->txn.writes, fixture.tree, text_slice(key),
	                                       text_slice(""), WRITE_DELETE, NULL),
	                      BWT_OK);
}

static void play_read(struct play *play, const char *key)
{
	struct bwt_slice slice = text_slice(key);

	CU_ASSERT_EQUAL(read_set_add(&play->txn.reads, fixture.tree, slice, false, slice, true),
	                BWT_OK);
}

static void play_read_all(struct play *play)
{
	CU_ASSERT_EQUAL(read_set_add(&play->txn.reads, fixture.tree, text_slice(""), false,
	                             (struct bwt_slice){NULL, 0}, false),
	                BWT_OK);
}

/* On any thread. */
static void play_commit(void *arg)
{
	struct play *play = arg;

	play->rc = txn_commit(&play->txn, &play->end_lsn);
	snapshot_release(play->slot);
	txn_end(&play->txn);
}

static int commit(struct play *play)
{
	play_commit(play);
	return play->rc;
}

static unsigned descriptors_in_use(void)
{
	unsigned used = 0;

	for (uint32_t i = 0; i < atomic_load(&fixture.store.descriptors.count); i++)
		used += atomic_load(&descriptor_at(&fixture.store.descriptors, i)->in_use);
	return used;
}

/* Every version of every leaf says by itself what became of it. */
static bool all_stamped(void)
{
	const uint8_t *base = fixture.store.arena.base;
	struct mapping *mapping = &fixture.store.mapping;
	bool stamped = true;

	for (page_id page = 1; page < atomic_load(&mapping->next_id); page++) {
		uint64_t word = mapping_load(mapping, page);
		struct leaf_delta *delta;

		if (word == 0 || mapping_chain(word) == 0 ||
		    chain_base(base, mapping_head(word))->level != 0)
			continue;
		for (unsigned i = 0; (delta = chain_version(base, mapping_head(word), i)) != NULL;
		     i++) {
			enum word_state state = word_state(atomic_load(&delta->lsn_word));

			stamped = stamped && (state == WORD_COMMITTED || state == WORD_ABORTED);
		}
	}
	return stamped;
}

#define STILL() CU_ASSERT_TRUE(descriptors_in_use() == 0 && all_stamped())

/* ---- all or nothing ---- */

static void several_writes_become_visible_at_one_lsn(void)
{
	struct play play;
	uint64_t before;

	fixture_put(&fixture, "b", "old");
	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "a", "1");
	play_put(&play, "b", "2");
	play_delete(&play, "c");
	before = fixture_snapshot(&fixture);
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, NULL));
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_EQUAL(play.end_lsn, fixture_snapshot(&fixture));
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, "1") &&
	               fixture_get(&fixture, "b", READ_NEWEST, "2"));
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", before, NULL) &&
	               fixture_get(&fixture, "b", before, "old"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 2);
	STILL();
}

static void the_first_committer_wins(void)
{
	struct play play;

	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "a", "1");
	play_put(&play, "b", "1");
	fixture_put(&fixture, "b", "theirs");
	CU_ASSERT_EQUAL(commit(&play), BWT_CONFLICT);
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, NULL) &&
	               fixture_get(&fixture, "b", READ_NEWEST, "theirs"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	STILL();
	play_begin(&play, TXN_READ_COMMITTED);
	play_put(&play, "a", "1");
	play_put(&play, "b", "1");
	fixture_put(&fixture, "b", "again");
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "b", READ_NEWEST, "1"));
}

static void a_single_write_obeys_the_same_rules(void)
{
	struct play play;

	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "a", "1");
	fixture_put(&fixture, "a", "theirs");
	CU_ASSERT_EQUAL(commit(&play), BWT_CONFLICT);
	play_begin(&play, TXN_SNAPSHOT);
	play_delete(&play, "a");
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, NULL));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 0);
}

/* As if what it wrote so far were that much. */
static void a_write_beyond_the_limits_is_refused_and_the_transaction_is_as_it_was(void)
{
	struct commit_op op = {.kind = COMMIT_PUT, .key = text_slice("c"), .value = text_slice("1")};
	struct play play;
	struct write_set *writes = &play.txn.writes;

	fixture_put(&fixture, "b", "old");
	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "a", "1");
	play_put(&play, "b", "1");
	writes->bytes += WRITE_SET_BYTES_MAX - 5;
	CU_ASSERT_EQUAL(txn_write(&play.txn, fixture.tree, fixture.slot, &op), BWT_TOO_BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "17179869184 bytes"));
	writes->bytes -= WRITE_SET_BYTES_MAX - 5;
	writes->count += WRITE_SET_COUNT_MAX - 2;
	CU_ASSERT_EQUAL(txn_write(&play.txn, fixture.tree, fixture.slot, &op), BWT_TOO_BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(bwt_detail(), "1073741824 keys"));
	writes->count -= WRITE_SET_COUNT_MAX - 2;
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, NULL) &&
	               fixture_get(&fixture, "b", READ_NEWEST, "old"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, "1") &&
	               fixture_get(&fixture, "b", READ_NEWEST, "1") &&
	               fixture_get(&fixture, "c", READ_NEWEST, NULL));
	STILL();
}

/* ---- what was read ---- */

static void a_serializable_commit_is_refused_when_what_it_read_changed(void)
{
	static const char *const changed[] = {"x", "absent", "phantom"};

	for (unsigned i = 0; i < 3; i++) {
		struct play play;

		play_begin(&play, TXN_SERIALIZABLE);
		play_put(&play, "mine", "1");
		if (i == 2)
			play_read_all(&play);
		else
			play_read(&play, changed[i]);
		fixture_put(&fixture, changed[i], "theirs");
		CU_ASSERT_EQUAL(commit(&play), BWT_CONFLICT);
		CU_ASSERT_TRUE(fixture_get(&fixture, "mine", READ_NEWEST, NULL));
		STILL();
	}
}

static void a_serializable_commit_stands_when_nothing_that_it_read_changed(void)
{
	struct play play;

	fixture_put(&fixture, "x", "1");
	play_begin(&play, TXN_SERIALIZABLE);
	play_read(&play, "x");
	play_read(&play, "absent");
	play_put(&play, "x", "2"); /* its own write is no change */
	fixture_put(&fixture, "other", "theirs");
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_TRUE(fixture_get(&fixture, "x", READ_NEWEST, "2"));
	STILL();
}

/* Two that read what the other writes: one of them commits (C4), whoever is stopped where. */
static void of_two_crossing_ones_one_commits(void)
{
	static const char *const points[] = {"txn_installed", "txn_reserve", "txn_revalidate",
	                                     "txn_publish"};

	for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++) {
		struct play one, two;
		struct actor actor;

		play_begin(&one, TXN_SERIALIZABLE);
		play_begin(&two, TXN_SERIALIZABLE);
		play_read(&one, "x");
		play_read(&two, "y");
		play_put(&one, "y", "one");
		play_put(&two, "x", "two");
		actor_start(&actor, points[i], play_commit, &one);
		CU_ASSERT_TRUE(actor_await(&actor));
		play_commit(&two);
		actor_finish(&actor);
		CU_ASSERT_TRUE((one.rc == BWT_OK) != (two.rc == BWT_OK));
		CU_ASSERT_TRUE(one.rc == BWT_OK || one.rc == BWT_CONFLICT);
		CU_ASSERT_TRUE(two.rc == BWT_OK || two.rc == BWT_CONFLICT);
		STILL();
	}
}

/* ---- others in the middle ---- */

static void nobody_sees_half_of_a_transaction_at_any_step(void)
{
	static const char *const points[] = {"txn_installed", "txn_reserve", "txn_publish",
	                                     "txn_fill", "txn_stamp"};

	for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++) {
		bool published = i >= 3;
		struct play play;
		struct actor actor;
		char value[8];
		uint64_t snapshot;

		snprintf(value, sizeof value, "%u", i);
		play_begin(&play, TXN_SNAPSHOT);
		play_put(&play, "a", value);
		play_put(&play, "b", value);
		actor_start(&actor, points[i], play_commit, &play);
		CU_ASSERT_TRUE(actor_await(&actor));
		CU_ASSERT_EQUAL(fixture_get(&fixture, "a", READ_NEWEST, value), published);
		CU_ASSERT_EQUAL(fixture_get(&fixture, "b", READ_NEWEST, value), published);
		/* A snapshot taken now, that is pushed beneath (section 1), sees what it sees for ever. */
		snapshot = fixture_snapshot(&fixture);
		CU_ASSERT_EQUAL(fixture_get(&fixture, "a", snapshot, value), published);
		actor_finish(&actor);
		CU_ASSERT_EQUAL(play.rc, BWT_OK);
		CU_ASSERT_EQUAL(fixture_get(&fixture, "a", snapshot, value), published);
		CU_ASSERT_EQUAL(fixture_get(&fixture, "b", snapshot, value), published);
		CU_ASSERT_TRUE(fixture_get(&fixture, "b", READ_NEWEST, value));
		STILL();
	}
}

static void a_plain_put_wounds_a_stopped_transaction(void)
{
	struct play play;
	struct actor actor;

	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "a", "1");
	play_put(&play, "b", "1");
	actor_start(&actor, "txn_reserve", play_commit, &play);
	CU_ASSERT_TRUE(actor_await(&actor));
	fixture_put(&fixture, "b", "theirs");
	CU_ASSERT_TRUE(fixture_get(&fixture, "b", READ_NEWEST, "theirs"));
	actor_finish(&actor);
	CU_ASSERT_EQUAL(play.rc, BWT_CONFLICT);
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, NULL));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	STILL();
}

/* ---- many writes ---- */

static char *numbered(char *text, size_t size, unsigned number)
{
	snprintf(text, size, "%08u", number);
	return text;
}

static void put_many(struct play *play, unsigned count, const char *value)
{
	char key[16];

	for (unsigned i = 0; i < count; i++)
		play_put(play, numbered(key, sizeof key, i * 7919 % count), value);
}

static bool all_are(unsigned count, uint64_t snapshot, const char *value)
{
	char key[16];

	for (unsigned i = 0; i < count; i++)
		if (!fixture_get(&fixture, numbered(key, sizeof key, i), snapshot, value))
			return false;
	return true;
}

static void a_large_transaction_commits_as_one(void)
{
	unsigned count = 20000;
	struct play play;
	uint64_t before;

	play_begin(&play, TXN_SNAPSHOT);
	put_many(&play, count, "first");
	before = fixture_snapshot(&fixture);
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_TRUE(all_are(count, READ_NEWEST, "first"));
	CU_ASSERT_TRUE(all_are(count, before, NULL));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), count);
	STILL();
	play_begin(&play, TXN_SERIALIZABLE);
	play_read_all(&play);
	put_many(&play, count, "second");
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	CU_ASSERT_TRUE(all_are(count, READ_NEWEST, "second"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), count);
	STILL();
}

static void a_large_transaction_that_is_refused_leaves_nothing(void)
{
	unsigned count = 5000;
	struct play play;

	play_begin(&play, TXN_SNAPSHOT);
	put_many(&play, count, "mine");
	fixture_put(&fixture, "00004000", "theirs");
	CU_ASSERT_EQUAL(commit(&play), BWT_CONFLICT);
	CU_ASSERT_TRUE(fixture_get(&fixture, "00003999", READ_NEWEST, NULL));
	CU_ASSERT_TRUE(fixture_get(&fixture, "00004000", READ_NEWEST, "theirs"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 1);
	STILL();
}

/* Others write beside it, in the same leaves: what is pending is carried, and found again. */
static void versions_of_an_open_transaction_are_carried(void)
{
	unsigned count = 3000;
	struct play play;
	struct actor actor;
	char key[16];

	play_begin(&play, TXN_SNAPSHOT);
	put_many(&play, count, "mine");
	actor_start(&actor, "txn_reserve", play_commit, &play);
	CU_ASSERT_TRUE(actor_await(&actor));
	for (unsigned i = 0; i < 4 * count; i++) {
		snprintf(key, sizeof key, "%08u+%u", i % count, i / count);
		fixture_put(&fixture, key, "theirs");
	}
	CU_ASSERT_TRUE(all_are(count, READ_NEWEST, NULL));
	actor_finish(&actor);
	CU_ASSERT_EQUAL(play.rc, BWT_OK);
	CU_ASSERT_TRUE(all_are(count, READ_NEWEST, "mine"));
	CU_ASSERT_EQUAL(tree_keys(fixture.tree), 5 * count);
	STILL();
}

static void put_one_more(void *arg)
{
	fixture_put(&fixture, arg, "theirs");
}

static unsigned chain_length(void)
{
	return fixture_top(&fixture, "a") == NULL ? 0 : fixture_top(&fixture, "a")->head.chain;
}

static void fill_chain(void *arg)
{
	char key[16];

	(void)arg;
	for (unsigned i = 0; chain_length() < DELTA_CHAIN_MAX && i < 1000; i++)
		fixture_put(&fixture, numbered(key, sizeof key, i), "theirs");
}

/* On the owner's thread, its versions pending: somebody carries them, and stops before it swaps. */
static bool let_carry(void *ctx, const char *name, uint64_t hit)
{
	struct actor filler;

	(void)name;
	if (hit > 1)
		return false;
	actor_start(&filler, NULL, fill_chain, NULL);
	actor_finish(&filler);
	actor_start(ctx, "rebuild_swap", put_one_more, "c");
	CU_ASSERT_TRUE(actor_await(ctx));
	return false;
}

/* Who carries is stopped between copying and swapping, while the owner publishes and stamps what it can find. */
static bool a_copy_is_forgotten(void)
{
	struct actor owner, carrier;
	struct play play;
	bool stamped;

	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "a", "mine");
	play_put(&play, "b", "mine");
	testpoint_set("txn_reserve", 0, let_carry, &carrier);
	actor_start(&owner, "txn_stamped", play_commit, &play);
	CU_ASSERT_TRUE(actor_await(&owner));
	actor_finish(&carrier);
	CU_ASSERT_TRUE(fixture_get(&fixture, "a", READ_NEWEST, "mine") &&
	               fixture_get(&fixture, "b", READ_NEWEST, "mine"));
	stamped = all_stamped();
	actor_finish(&owner);
	CU_ASSERT_EQUAL(play.rc, BWT_OK);
	return !stamped;
}

/* What it read is changed after it was validated, before its LSN is reserved. */
static bool a_late_change_is_missed(void)
{
	struct actor actor;
	struct play play;

	play_begin(&play, TXN_SERIALIZABLE);
	play_read(&play, "x");
	play_put(&play, "y", "mine");
	play_put(&play, "z", "mine");
	actor_start(&actor, "txn_reserve", play_commit, &play);
	CU_ASSERT_TRUE(actor_await(&actor));
	fixture_put(&fixture, "x", "theirs");
	actor_finish(&actor);
	return play.rc == BWT_OK;
}

static bool a_phantom_is_missed(void)
{
	struct play play;

	play_begin(&play, TXN_SERIALIZABLE);
	play_read_all(&play);
	play_put(&play, "y", "mine");
	fixture_put(&fixture, "x", "theirs");
	return commit(&play) == BWT_OK;
}

static bool an_update_is_lost(void)
{
	struct play play;

	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "x", "mine");
	play_put(&play, "y", "mine");
	fixture_put(&fixture, "x", "theirs");
	return commit(&play) == BWT_OK;
}

static bool a_version_is_not_stamped(void)
{
	struct play play;

	play_begin(&play, TXN_SNAPSHOT);
	play_put(&play, "x", "mine");
	play_put(&play, "y", "mine");
	CU_ASSERT_EQUAL(commit(&play), BWT_OK);
	return !all_stamped();
}

struct seen {
	bool there;
};

static void look_at_x(void *arg)
{
	((struct seen *)arg)->there = fixture_get(&fixture, "x", READ_NEWEST, "first");
}

/* A reader holds a reference; its transaction ends, and another one gets the slot (C3). */
static bool a_reader_follows_the_wrong_transaction(void)
{
	struct actor first, reader, second;
	struct play one, two;
	struct seen seen;

	play_begin(&one, TXN_SNAPSHOT);
	play_put(&one, "x", "first");
	play_put(&one, "y", "first");
	actor_start(&first, "txn_stamp", play_commit, &one);
	CU_ASSERT_TRUE(actor_await(&first));
	actor_start(&reader, "descriptor_read", look_at_x, &seen);
	CU_ASSERT_TRUE(actor_await(&reader));
	actor_finish(&first);
	play_begin(&two, TXN_SNAPSHOT);
	play_put(&two, "p", "second");
	play_put(&two, "q", "second");
	actor_start(&second, "txn_reserve", play_commit, &two);
	CU_ASSERT_TRUE(actor_await(&second));
	actor_finish(&reader);
	actor_finish(&second);
	return !seen.there;
}

/* A younger transaction's version lies in what the older one read: it is aborted, for two could push each other for ever. */
static bool a_younger_one_is_only_pushed(void)
{
	struct stats *stats = &fixture.store.stats;
	struct play older, younger;
	struct actor actor;
	uint64_t wounds, pushes;

	play_begin(&older, TXN_SERIALIZABLE);
	play_begin(&younger, TXN_SERIALIZABLE);
	play_read(&older, "x");
	play_put(&older, "y", "older");
	play_put(&older, "z", "older");
	play_read(&younger, "y");
	play_put(&younger, "w", "younger");
	play_put(&younger, "x", "younger");
	actor_start(&actor, "txn_reserve", play_commit, &younger);
	CU_ASSERT_TRUE(actor_await(&actor));
	wounds = stats_sum(stats, STAT_WOUNDS);
	pushes = stats_sum(stats, STAT_PUSHES);
	CU_ASSERT_EQUAL(commit(&older), BWT_OK);
	wounds = stats_sum(stats, STAT_WOUNDS) - wounds;
	pushes = stats_sum(stats, STAT_PUSHES) - pushes;
	CU_ASSERT_EQUAL(wounds + pushes, 1);
	actor_finish(&actor);
	CU_ASSERT_EQUAL(younger.rc, BWT_CONFLICT); /* either way: what it read has changed */
	CU_ASSERT_TRUE(fixture_get(&fixture, "x", READ_NEWEST, NULL) &&
	               fixture_get(&fixture, "y", READ_NEWEST, "older"));
	return wounds == 0;
}

static void broken_rules_show(void)
{
	static const struct {
		bool (*broken)(void);
		const char *faults[2];
	} rules[] = {
		{a_copy_is_forgotten, {"carry_no_second_look"}},
		{a_late_change_is_missed, {"txn_no_second_look"}},
		{a_phantom_is_missed, {"txn_no_phantom_check"}},
		{an_update_is_lost, {"txn_no_conflict"}},
		{a_version_is_not_stamped, {"txn_no_stamp"}},
		{a_younger_one_is_only_pushed, {"txn_push_only"}},
		{a_reader_follows_the_wrong_transaction,
	         {"descriptor_no_generation", "descriptor_reuse_early"}},
	};

	for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		tear_down();
		set_up();
		CU_ASSERT_FALSE(rules[i].broken());
		tear_down();
		set_up();
		for (unsigned f = 0; f < 2 && rules[i].faults[f] != NULL; f++)
			testpoint_set(rules[i].faults[f], 0, NULL, NULL);
		CU_ASSERT_TRUE(rules[i].broken());
	}
	testpoint_reset();
}

/* ---- real threads ---- */

struct mover {
	pthread_t thread;
	struct rng rng;
	unsigned commits, conflicts;
};

#define ACCOUNTS 40u

/* Move one unit between accounts, reading both: the sum stays. */
static void *move(void *arg)
{
	struct mover *mover = arg;
	struct epoch_slot *slot = epoch_slot(&fixture.store.epoch);
	struct bwt_buf value = {0};

	for (unsigned i = 0; i < (suite_short() ? 300 : 3000); i++) {
		unsigned account[2] = {(unsigned)rng_below(&mover->rng, ACCOUNTS),
		                       (unsigned)rng_below(&mover->rng, ACCOUNTS)};
		struct play play;
		int rc = BWT_OK;

		if (account[0] == account[1])
			continue;
		play_begin(&play, i % 2 != 0 ? TXN_SNAPSHOT : TXN_SERIALIZABLE);
		for (unsigned k = 0; k < 2 && rc == BWT_OK; k++) {
			char key[16], text[16] = "";

			rc = txn_get(&play.txn, fixture.tree, slot,
			             text_slice(numbered(key, sizeof key, account[k])), &value);
			if (rc < 0)
				break;
			memcpy(text, value.data, value.size < 15 ? value.size : 15);
			snprintf(text, sizeof text, "%d", atoi(text) + (k == 0 ? -1 : 1));
			play_put(&play, key, text);
		}
		CU_ASSERT_EQUAL(rc, BWT_OK);
		play_commit(&play);
		mover->commits += play.rc == BWT_OK;
		mover->conflicts += play.rc == BWT_CONFLICT;
		CU_ASSERT_TRUE(play.rc == BWT_OK || play.rc == BWT_CONFLICT);
	}
	free(value.data);
	return NULL;
}

static int sum_at(uint64_t snapshot)
{
	struct bwt_buf value = {0};
	int sum = 0;

	for (unsigned i = 0; i < ACCOUNTS; i++) {
		char key[16], text[16] = "";

		CU_ASSERT_EQUAL(read_value(&fixture.store, fixture.tree, fixture.slot, snapshot,
		                           text_slice(numbered(key, sizeof key, i)), &value),
		                BWT_OK);
		memcpy(text, value.data, value.size < 15 ? value.size : 15);
		sum += atoi(text);
	}
	free(value.data);
	return sum;
}

static void the_sum_of_all_accounts_never_moves(void)
{
	struct mover movers[4];
	unsigned commits = 0;
	uint64_t seed = rng_seed();

	for (unsigned i = 0; i < ACCOUNTS; i++) {
		char key[16];

		fixture_put(&fixture, numbered(key, sizeof key, i), "100");
	}
	for (unsigned i = 0; i < 4; i++) {
		movers[i] = (struct mover){0};
		rng_init(&movers[i].rng, seed + i);
		pthread_create(&movers[i].thread, NULL, move, &movers[i]);
	}
	for (unsigned i = 0; i < 200; i++) {
		struct snapshot_slot *slot;

		CU_ASSERT_EQUAL(snapshot_acquire(&fixture.store.snapshots, store_clock,
		                                 &fixture.store, &slot),
		                BWT_OK);
		CU_ASSERT_EQUAL(sum_at(snapshot_lsn(slot)), (int)ACCOUNTS * 100);
		snapshot_release(slot);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(movers[i].thread, NULL);
		commits += movers[i].commits;
	}
	CU_ASSERT_TRUE(commits > 0);
	CU_ASSERT_EQUAL(sum_at(READ_NEWEST), (int)ACCOUNTS * 100);
	STILL();
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(several_writes_become_visible_at_one_lsn),
		TEST(the_first_committer_wins),
		TEST(a_single_write_obeys_the_same_rules),
		TEST(a_write_beyond_the_limits_is_refused_and_the_transaction_is_as_it_was),
		TEST(a_serializable_commit_is_refused_when_what_it_read_changed),
		TEST(a_serializable_commit_stands_when_nothing_that_it_read_changed),
		TEST(of_two_crossing_ones_one_commits),
		TEST(nobody_sees_half_of_a_transaction_at_any_step),
		TEST(a_plain_put_wounds_a_stopped_transaction),
		TEST(a_large_transaction_commits_as_one),
		TEST(a_large_transaction_that_is_refused_leaves_nothing),
		TEST(versions_of_an_open_transaction_are_carried),
		TEST(broken_rules_show),
		TEST(the_sum_of_all_accounts_never_moves),
		CU_TEST_INFO_NULL,
	};

	return suite_run("txn_commit", set_up, tear_down, tests);
}
