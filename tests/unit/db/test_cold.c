/* SPDX-License-Identifier: MIT */
/*
 * test_cold.c - nothing is written into a cold extent: one that is sealed (mem/extent.h)
 *
 * A byte written there is a folio to the device, up to 2 MiB, at the next checkpoint. So the sealed extents that hold
 * leaves, or the deltas on them, are made read-only for the length of a test; a store into one is caught, noted, and let
 * through.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/testpoint.h"
#include "tests/unit/db/db_fixture.h"
#include "tree/descend.h"

#define KEYS 20000u
#define STEP 100u /* of the keys that have a delta of their own: one or so of a leaf */

static struct fixture fixture;
static struct sigaction usual;
static uint8_t *base;
static uint64_t size;
static volatile sig_atomic_t written; /* cold extents that were stored into */

static void caught(int number, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr;
	extent_id id;

	(void)context;
	if (at < base || at >= base + size) {
		sigaction(number, &usual, NULL);
		return;
	}
	written++;
	id = extent_of((uint64_t)(at - base));
	mprotect(base + extent_start(id), extent_size(id), PROT_READ | PROT_WRITE);
}

static void key_of(char key[16], unsigned number)
{
	snprintf(key, 16, "%08u", number);
}

static bool is_open(extent_id id)
{
	bool open = false;

	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++)
		open |= atomic_load(&fixture.db->store.extents.open[kind]) >> 32 == id;
	return open;
}

static bool cold[1000];

static unsigned protect(uint64_t off)
{
	extent_id id = extent_of(off);

	CU_ASSERT_FATAL(id < sizeof cold);
	if (cold[id] || is_open(id))
		return 0;
	cold[id] = true;
	mprotect(base + extent_start(id), extent_size(id), PROT_READ);
	return 1;
}

/* Extents of all leaves, and of the newest delta of each; returns how many. */
static unsigned protect_leaves(void)
{
	struct epoch_slot *slot = epoch_slot(&fixture.db->store.epoch);
	unsigned count = 0;

	memset(cold, 0, sizeof cold);
	epoch_pin(slot);
	for (unsigned i = 0; i < KEYS; i++) {
		struct place place;
		char key[16];

		key_of(key, i);
		CU_ASSERT_EQUAL_FATAL(tree_descend(&fixture.tree->named->tree, text_slice(key),
		                                   false, 0, &place, NULL),
		                      BWT_OK);
		count += protect((uint64_t)((const uint8_t *)place.base - base));
		count += protect(place_head(&place));
	}
	epoch_unpin(slot);
	return count;
}

static void put_each(unsigned from, unsigned to, unsigned step, const char *value)
{
	char key[16];

	for (unsigned i = from; i < to; i += step) {
		key_of(key, i);
		CU_ASSERT_EQUAL_FATAL(fixture_put(&fixture, key, value), BWT_OK);
	}
}

/* Leaves with a delta on them below KEYS / 2; the extents of these deltas are sealed, for many were written since. */
static void set_up(void)
{
	struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};

	fixture_new(&fixture);
	fixture.options.worker_count = (unsigned)BWT_OFF;
	fixture_open(&fixture);
	fixture_fill(&fixture, 0, KEYS);
	put_each(0, KEYS / 2, STEP, "before");
	put_each(KEYS / 2, KEYS, 1, "before");
	CU_ASSERT_EQUAL_FATAL(bwt_checkpoint(fixture.db), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&fixture.db->store.extents,
	                                           epoch_slot(&fixture.db->store.epoch)),
	                      BWT_OK);
	base = fixture.db->store.arena.base;
	size = arena_size(&fixture.db->store.arena);
	written = 0;
	sigaction(SIGSEGV, &action, &usual);
	CU_ASSERT_TRUE(protect_leaves() > 0);
}

static void tear_down(void)
{
	mprotect(base, size, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &usual, NULL);
	testpoint_reset();
	fixture_free(&fixture);
}

/* More keys than fit in one section of the gate, few of each leaf: none is rebuilt before they are stamped. */
static void change_many(bool commits)
{
	struct bwt_txn *txn;
	char key[16];

	CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, 0, &txn), BWT_OK);
	for (unsigned i = 0; i < KEYS / 2; i += STEP) {
		key_of(key, i);
		CU_ASSERT_EQUAL(bwt_put(fixture.tree, txn, text_slice(key), text_slice("new"), 0),
		                BWT_OK);
	}
	if (commits) {
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	} else {
		bwt_abort(txn);
	}
	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "00000200", commits ? "new" : "before"));
}

static void single_changes_write_beside_what_is_cold(void)
{
	char key[16];

	for (unsigned i = 0; i < KEYS; i += 3) {
		key_of(key, i);
		CU_ASSERT_EQUAL(i % 2 == 0 ? fixture_put(&fixture, key, "new")
		                           : bwt_delete(fixture.tree, NULL, text_slice(key)),
		                BWT_OK);
	}
	CU_ASSERT_EQUAL(written, 0);
}

static void small_transactions_write_beside_what_is_cold(void)
{
	struct bwt_txn *txn;
	char key[16];

	for (unsigned i = 0; i < KEYS; i += 40) {
		CU_ASSERT_EQUAL_FATAL(bwt_begin(fixture.db, BWT_SERIALIZABLE, &txn), BWT_OK);
		for (unsigned j = i; j < i + 40; j += 4) {
			key_of(key, j);
			CU_ASSERT_EQUAL(bwt_get(fixture.tree, txn, text_slice(key), NULL), BWT_OK);
			CU_ASSERT_EQUAL(
				bwt_put(fixture.tree, txn, text_slice(key), text_slice("new"), 0),
				BWT_OK);
		}
		CU_ASSERT_EQUAL(bwt_commit(txn), BWT_OK);
	}
	CU_ASSERT_EQUAL(written, 0);
}

static void a_large_transaction_writes_beside_what_is_cold(void)
{
	change_many(true);
	CU_ASSERT_EQUAL(written, 0);
}

static void one_that_is_given_up_does_too(void)
{
	change_many(false);
	CU_ASSERT_EQUAL(written, 0);
}

static void readers_write_nothing(void)
{
	struct bwt_cursor *cursor;
	struct bwt_slice key, value;
	unsigned seen = 0;

	CU_ASSERT_TRUE(fixture_has(&fixture, NULL, "00000200", "before"));
	CU_ASSERT_TRUE(fixture_filled(&fixture, 201, 300));
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(fixture.tree, NULL, &cursor), BWT_OK);
	for (int rc = bwt_cursor_seek(cursor, (struct bwt_slice){NULL, 0}, BWT_FIRST); rc == BWT_OK;
	     rc = bwt_cursor_next(cursor))
		seen += bwt_cursor_key(cursor, &key) == BWT_OK &&
		        bwt_cursor_value(cursor, &value) == BWT_OK;
	bwt_cursor_close(cursor);
	CU_ASSERT_EQUAL(seen, KEYS);
	CU_ASSERT_EQUAL(written, 0);
}

static void planted_swaps_of_others_words_are_noticed(void)
{
	testpoint_set("txn_stamp_unlooked", 0, NULL, NULL);
	change_many(true);
	CU_ASSERT_TRUE(written > 0);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(single_changes_write_beside_what_is_cold),
		TEST(small_transactions_write_beside_what_is_cold),
		TEST(a_large_transaction_writes_beside_what_is_cold),
		TEST(one_that_is_given_up_does_too),
		TEST(readers_write_nothing),
		TEST(planted_swaps_of_others_words_are_noticed),
		CU_TEST_INFO_NULL,
	};

	return suite_run("cold", set_up, tear_down, tests);
}
