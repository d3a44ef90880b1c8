/* SPDX-License-Identifier: MIT */
/*
 * commit.c - one operation, from its arguments to its place in the log
 *
 *   large value to the value log          commit_one()      may wait for the disk
 *   room in the log, room in the arena    attempt()         may wait for a flush, may grow the file
 *   ---- pin, find the leaf ------------------------------------------------------------------
 *   ---- gate --------------------------------------------------------------------------------
 *   look: newest version of the key       look()            somebody else's pending: out, wound.h
 *   is the operation's condition true?    decide()
 *   prepend a PENDING delta               tree_prepend()    the only CAS on the mapping table
 *   reserve an LSN                        publish()         pushed beyond it: pad, reserve again
 *   CAS PENDING -> LSN                                      visible from here on
 *   fill the log, count                   finish()
 *   ---- gate, unpin -------------------------------------------------------------------------
 *   wait until durable, if asked          commit_one()
 *
 * A crash before the record is durable leaves nothing of it: recovery starts from an image that holds
 * no pending version and replays the log (I3). A thread stopped inside the gate holds up nothing but
 * a checkpoint's cut and, between reserving and filling, what comes later in the log.
 */
#include "txn/commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "page/visibility.h"
#include "tree/write.h"
#include "txn/commit_record.h"
#include "txn/read.h"
#include "txn/wound.h"

#define PUSHES_MAX 3u      /* reservations of one delta before its writer starts over (C4) */
#define GATE_TRIES_MAX 16u /* lost swaps before the gate is left for a moment */

enum step {               /* private answers of the steps below; never leave this file */
	STEP_AGAIN = 1,   /* somebody else was first: look again */
	STEP_PENDING = 2, /* somebody else's version of the key is pending */
	STEP_COMPARE = 3, /* the expected value must be compared with one in the value log */
};

struct write {
	struct store *store;
	struct tree *tree;
	struct commit_op *op;
	struct epoch_slot *slot;
	struct version_spec spec;
	struct value_ref ref; /* of a large value */
	struct wal_payload payload;
	enum extent_urgency urgency;
	uint64_t credits; /* log bytes taken and not reserved yet */
	struct place place;
	/* what look() found */
	bool exists;
	struct page_entry found; /* the newest committed version, if exists */
	_Atomic(uint64_t) *pending;
	/* a large value that was compared: its place, and the answer */
	struct value_ref compared;
	bool compared_equal;
};

/* ---- conditions ---- */

static bool slices_equal(const void *data, size_t size, const struct bwt_slice *slice)
{
	return size == slice->size && (size == 0 || memcmp(data, slice->data, size) == 0);
}

/* Value-log files from @file on stay until the hold is let go: see epoch_slot.value_hold. */
static void hold_file(struct epoch_slot *slot, uint64_t file)
{
	uint64_t hold = atomic_load_explicit(&slot->value_hold, memory_order_relaxed);

	if (hold == 0 || file < hold)
		atomic_store_explicit(&slot->value_hold, file, memory_order_seq_cst);
}

/* COMMIT_CAS: is the key as expected? */
static int decide_cas(struct write *write)
{
	const struct bwt_slice *expected = write->op->expected;
	struct value_ref ref;

	if (expected == NULL || !write->exists)
		return (expected == NULL) == !write->exists ? BWT_OK : BWT_MISMATCH;
	if ((write->found.flags & VERSION_VLOG) == 0)
		return slices_equal(write->found.value, write->found.value_size, expected)
		               ? BWT_OK
		               : BWT_MISMATCH;
	memcpy(&ref, write->found.value, sizeof ref);
	if (ref.size != expected->size)
		return BWT_MISMATCH;
	if (memcmp(&ref, &write->compared, sizeof ref) == 0)
		return write->compared_equal ? BWT_OK : BWT_MISMATCH;
	write->compared = ref;
	hold_file(write->slot,
	          ref.segment); /* pinned: the file is there, and stays until run() lets go */
	return STEP_COMPARE;
}

static int decide(struct write *write)
{
	switch (write->op->kind) {
	case COMMIT_PUT:
		return BWT_OK;
	case COMMIT_INSERT:
		return write->exists ? BWT_EXISTS : BWT_OK;
	case COMMIT_UPDATE:
	case COMMIT_DELETE:
		return write->exists ? BWT_OK : BWT_NOT_FOUND;
	case COMMIT_CAS:
		return decide_cas(write);
	}
	return BWT_INVALID;
}

/* Outside the gate, pinned, which keeps the value's file: read the large value that decide_cas() met. */
static int compare_large(struct write *write)
{
	return vlog_compare(write->store->vlog, &write->compared, write->op->expected->data,
	                    &write->compared_equal);
}

/* ---- inside the gate ---- */

/* The newest version of the key that is not aborted. STEP_PENDING: it is somebody else's and open. */
static int look(struct write *write)
{
	struct version_walk walk;
	struct page_entry entry;

	write->exists = false;
	version_walk_init(&walk, write->store->arena.base, place_head(&write->place),
	                  write->spec.key, write->spec.hash);
	while (version_walk_next(&walk, &entry)) {
		uint64_t word = word_make(WORD_COMMITTED, entry.lsn);

		if (entry.word != NULL)
			version_word(&write->store->descriptors, entry.word, &word);
		if (word_state(word) == WORD_ABORTED)
			continue;
		if (word_state(word) != WORD_COMMITTED) {
			write->pending = entry.word;
			return STEP_PENDING;
		}
		entry.lsn = word_lsn(word);
		if (write->op != NULL && write->op->unchanged_since != 0 &&
		    entry.lsn >= write->op->unchanged_since)
			return BWT_CONFLICT;
		if (entry.lsn >= write->slot->seen_lsn)
			write->slot->seen_lsn = entry.lsn + 1;
		write->exists = (entry.flags & VERSION_TOMBSTONE) == 0;
		write->found = entry;
		return BWT_OK;
	}
	return BWT_OK;
}

/* The version is committed at @lsn and visible: nothing below may fail. */
static void finish(struct write *write, uint64_t lsn)
{
	struct store *store = write->store;
	unsigned shard = write->slot->index;
	bool delete = (write->spec.flags & VERSION_TOMBSTONE) != 0;

	TEST_YIELD("commit_fill");
	wal_fill(store->wal, lsn, &write->payload);
	write->op->end_lsn = lsn + write->payload.frame_len;
	if (write->exists == delete)
		tree_keys_add(write->tree, write->slot, delete ? -1 : 1);
	if ((write->spec.flags & VERSION_VLOG) != 0)
		atomic_fetch_add_explicit(&store->vlog_live.words[write->ref.segment],
		                          value_ref_stored(&write->ref), memory_order_relaxed);
	stats_add(&store->stats, shard, STAT_COMMITS, 1);
	stats_add(&store->stats, shard, STAT_USER_BYTES, write->op->key.size + write->op->value.size);
}

/* Give the delta an LSN, or give up. The record's space is never left unfilled. */
static int publish(struct write *write, struct leaf_delta *delta)
{
	struct store *store = write->store;
	uint32_t len = write->payload.frame_len;
	uint64_t seen = word_make(WORD_PENDING, 0);

	for (unsigned pushes = 0; pushes < PUSHES_MAX; pushes++) {
		uint64_t lsn;

		TEST_YIELD("commit_reserve");
		lsn = wal_reserve(store->wal, len);
		write->credits -= len;
		TEST_YIELD("commit_publish");
		while (word_state(seen) == WORD_PENDING &&
		       (word_lsn(seen) <= lsn || TEST_FAULT("publish_below_floor"))) {
			/* RELEASE: pairs with the acquire of every reader of the word. */
			if (!atomic_compare_exchange_strong_explicit(
				    &delta->lsn_word, &seen, word_make(WORD_COMMITTED, lsn),
				    memory_order_acq_rel, memory_order_acquire))
				continue;
			sys_persist_flush(&store->arena.map, &delta->lsn_word,
			                  sizeof delta->lsn_word);
			finish(write, lsn);
			return BWT_OK;
		}
		if (!TEST_FAULT("publish_no_pad"))
			wal_fill_pad(store->wal, lsn, len);
		if (word_state(seen) == WORD_ABORTED && TEST_FAULT("publish_counts_aborted"))
			tree_keys_add(write->tree, write->slot, 1);
		if (word_state(seen) == WORD_ABORTED)
			return STEP_AGAIN;
	}
	/* Pushed again and again: abort ourselves, leave the gate, start over (C4). */
	while (word_state(seen) == WORD_PENDING &&
	       !atomic_compare_exchange_strong_explicit(&delta->lsn_word, &seen,
	                                                word_make(WORD_ABORTED, 0),
	                                                memory_order_acq_rel, memory_order_acquire))
		continue;
	return STEP_AGAIN;
}

/* Everything that happens in one gate section. */
static int in_gate(struct write *write)
{
	struct store *store = write->store;

	for (unsigned tries = 0; tries < GATE_TRIES_MAX; tries++) {
		struct leaf_delta *delta;
		int rc;

		if (!place_reload(write->tree, &write->place, write->spec.key))
			return STEP_AGAIN;
		rc = tries > 0 && TEST_FAULT("commit_looks_once") ? BWT_OK : look(write);
		if (rc == BWT_OK)
			rc = decide(write);
		if (rc != BWT_OK)
			return rc;
		if ((write->spec.flags & VERSION_VLOG) != 0 &&
		    !cow_touch(&store->vlog_live, write->ref.segment))
			return -ENOMEM;
		rc = tree_prepend(write->tree, write->slot, &write->place, &write->spec,
		                  word_make(WORD_PENDING, 0), &delta);
		if (rc == BWT_OK)
			return publish(write, delta);
		if (rc != BWT_BUSY)
			return rc;
	}
	return STEP_AGAIN;
}

/* ---- outside it ---- */

/* Room for one attempt, however often it is pushed. */
static int take_room(struct write *write)
{
	uint64_t want = (uint64_t)write->payload.frame_len * PUSHES_MAX;
	int rc = BWT_OK;

	if (write->credits < want) {
		rc = write->urgency == URGENCY_PUT
		             ? wal_room_take(write->store->wal, want - write->credits)
		             : wal_room_take_reserve(write->store->wal, want - write->credits);
		if (rc == BWT_OK)
			write->credits = want;
	}
	if (rc == BWT_OK)
		rc = extent_prepare(&write->store->extents, write->slot, CHUNK_DELTA,
		                    tree_prepend_room(&write->spec), write->urgency);
	return rc;
}

static int attempt(struct write *write, struct wound *wound)
{
	bool wait = false;
	int rc = take_room(write);

	if (rc < 0)
		return rc;
	epoch_pin(write->slot);
	rc = tree_locate(write->tree, write->slot, write->spec.key, write->urgency, &write->place);
	/* Helping on the way may have used the chunk: room is made outside the gate only. */
	if (rc == BWT_OK && !extent_has(write->slot, CHUNK_DELTA, tree_prepend_room(&write->spec)))
		rc = STEP_AGAIN;
	if (rc == BWT_OK) {
		if (gate_try_enter(write->slot)) {
			rc = in_gate(write);
			gate_leave(write->slot);
		} else {
			gate_wait(write->slot->epoch);
			rc = STEP_AGAIN;
		}
	}
	if (rc == STEP_PENDING) {
		wait = wound_look(write->store, write->slot, wound, write->pending, false) ==
		       WOUND_WAIT;
		rc = STEP_AGAIN;
	}
	if (rc == STEP_COMPARE) {
		rc = compare_large(write);
		rc = rc < 0 ? rc : STEP_AGAIN;
	}
	if (rc == BWT_OK)
		tree_after_write(write->tree, write->slot, &write->place);
	epoch_unpin(write->slot);
	if (wait)
		wound_wait(wound);
	return rc;
}

static int run(struct write *write)
{
	struct wound wound = {0};
	int rc;

	do
		rc = attempt(write, &wound);
	while (rc == STEP_AGAIN);
	if (write->credits > 0)
		wal_room_return(write->store->wal, write->credits);
	write->credits = 0;
	return rc;
}

/* The new value: inline, or appended to the value log now (C6: no disk inside the gate). */
static int place_value(struct write *write, struct bwt_slice value)
{
	int rc;

	/* The catalogue is read before the value log is there. */
	if (value.size <= write->store->inline_max || write->tree->id == TREE_ID_CATALOG) {
		write->spec.value = value.data;
		write->spec.value_size = (uint32_t)value.size;
		return BWT_OK;
	}
	store_tend_values(write->store, write->slot);
	hold_file(write->slot, vlog_append_floor(write->store->vlog));
	rc = vlog_append(write->store->vlog, write->tree->id, write->spec.hash, value,
	                 tree_codec(write->tree), &write->ref);
	if (rc < 0) {
		atomic_store_explicit(&write->slot->value_hold, 0, memory_order_relaxed);
		return rc;
	}
	write->spec.value = &write->ref;
	write->spec.value_size = sizeof write->ref;
	write->spec.flags |= VERSION_VLOG;
	return BWT_OK;
}

static bool is_delete(const struct commit_op *op)
{
	return op->kind == COMMIT_DELETE || (op->kind == COMMIT_CAS && op->desired == NULL);
}

static bool only_asks(const struct commit_op *op)
{
	return op->kind == COMMIT_CAS && op->expected == NULL && op->desired == NULL;
}

int commit_record(struct store *store, struct tree *tree, struct commit_op *op,
                  struct wal_payload *record)
{
	struct write write = {
		.store = store, .tree = tree, .op = op, .slot = epoch_slot(&store->epoch)};
	struct wal_op head = {.tree = tree->id};
	int rc = store_health(store, true);

	op->end_lsn = 0;
	if (rc < 0)
		return rc;
	if (write.slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	write.spec.key = op->key;
	write.spec.hash = key_hash(op->key);
	if (op->kind == COMMIT_CAS)
		op->value = op->desired != NULL ? *op->desired : (struct bwt_slice){NULL, 0};
	if (is_delete(op)) {
		write.spec.flags = VERSION_TOMBSTONE;
		write.urgency = URGENCY_DELETE;
	} else {
		rc = place_value(&write, op->value);
		if (rc < 0)
			return rc;
	}
	if (record != NULL) {
		write.payload = *record;
	} else {
		head.flags = write.spec.flags;
		head.key_size = (uint16_t)op->key.size;
		head.value_size = write.spec.value_size;
		write.payload = (struct wal_payload){.type = WAL_OP, .count = 3};
		write.payload.part[0] = (struct bwt_slice){&head, offsetof(struct wal_op, bytes)};
		write.payload.part[1] = op->key;
		write.payload.part[2] = (struct bwt_slice){write.spec.value, write.spec.value_size};
	}
	wal_payload_prepare(&write.payload);
	rc = run(&write);
	/* Cleaning may make room, and a full store can always be emptied (design.md section 3); others may be faster to
	 * use what became free. Catalogue changes hold a lock that a checkpoint takes. */
	for (unsigned tries = 0;
	     tries < STORE_RELIEFS_MAX && rc == BWT_FULL && record == NULL && store->relieve != NULL;
	     tries++) {
		store->relieve(store, write.urgency);
		/* Chains were written as pages as far as that goes: nothing is owed any more. */
		write.urgency = write.urgency == URGENCY_PUT ? URGENCY_PUT : URGENCY_CARE;
		rc = run(&write);
	}
	/* RELEASE: the live bytes were counted before. */
	atomic_store_explicit(&write.slot->value_hold, 0, memory_order_release);
	if (op->end_lsn > write.slot->seen_lsn)
		write.slot->seen_lsn = op->end_lsn;
	if (rc == BWT_OK && op->durable)
		rc = wal_wait(store->wal, op->end_lsn);
	return store_health(store, false) < 0 ? BWT_IO : rc;
}

/* COMMIT_CAS of nothing to nothing: a read that says BWT_MISMATCH. */
static int ask_absent(struct store *store, struct tree *tree, struct commit_op *op)
{
	struct epoch_slot *slot = epoch_slot(&store->epoch);
	int rc;

	if (slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	rc = read_value(store, tree, slot, READ_NEWEST, op->key, NULL);
	if (rc == BWT_OK)
		return BWT_MISMATCH;
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

int commit_one(struct store *store, struct tree *tree, struct commit_op *op)
{
	op->end_lsn = 0;
	return only_asks(op) ? ask_absent(store, tree, op) : commit_record(store, tree, op, NULL);
}

int commit_wait_seen(struct store *store)
{
	struct epoch_slot *slot = epoch_slot(&store->epoch);

	if (slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	if (store->wal == NULL || store->durability != BWT_SYNC ||
	    slot->seen_lsn <= wal_durable_lsn(store->wal))
		return BWT_OK;
	return wal_wait(store->wal, slot->seen_lsn);
}

/* ---- recovery ---- */

/* As in_gate(), with the LSN known and nobody else there. */
static int replay_in_gate(struct write *write, uint64_t lsn)
{
	struct leaf_delta *delta;
	bool delete = (write->spec.flags & VERSION_TOMBSTONE) != 0;
	int rc;

	if (!place_reload(write->tree, &write->place, write->spec.key))
		return STEP_AGAIN;
	rc = look(write);
	if (rc != BWT_OK)
		return rc;
	if ((write->spec.flags & VERSION_VLOG) != 0 &&
	    !cow_touch(&write->store->vlog_live, write->ref.segment))
		return -ENOMEM;
	rc = tree_prepend(write->tree, write->slot, &write->place, &write->spec,
	                  word_make(WORD_COMMITTED, lsn), &delta);
	if (rc == BWT_BUSY)
		return STEP_AGAIN;
	if (rc < 0)
		return rc;
	if (write->exists == delete)
		tree_keys_add(write->tree, write->slot, delete ? -1 : 1);
	if ((write->spec.flags & VERSION_VLOG) != 0)
		atomic_fetch_add_explicit(&write->store->vlog_live.words[write->ref.segment],
		                          value_ref_stored(&write->ref), memory_order_relaxed);
	return BWT_OK;
}

int commit_replay(struct store *store, struct tree *tree, struct bwt_slice key, uint8_t flags,
                  const void *value, uint32_t value_size, uint64_t lsn)
{
	struct write write = {.store = store, .tree = tree, .slot = epoch_slot(&store->epoch)};
	int rc = STEP_AGAIN;

	if (write.slot == NULL)
		return -ENOMEM;
	write.urgency = URGENCY_ALL;
	write.spec = (struct version_spec){key, key_hash(key), value, value_size, flags};
	if ((flags & VERSION_VLOG) != 0) {
		memcpy(&write.ref, value, sizeof write.ref);
		if (write.ref.segment >= store->vlog_live.capacity)
			return error_set(BWT_CORRUPT, "wal: record at LSN %llu names value file %llu",
			                 (unsigned long long)lsn,
			                 (unsigned long long)write.ref.segment);
	}
	while (rc == STEP_AGAIN) {
		rc = extent_prepare(&store->extents, write.slot, CHUNK_DELTA,
		                    tree_prepend_room(&write.spec), write.urgency);
		if (rc < 0)
			return rc;
		epoch_pin(write.slot);
		rc = tree_locate(tree, write.slot, key, write.urgency, &write.place);
		if (rc == BWT_OK &&
		    !extent_has(write.slot, CHUNK_DELTA, tree_prepend_room(&write.spec)))
			rc = STEP_AGAIN;
		if (rc == BWT_OK) {
			while (!gate_try_enter(write.slot))
				gate_wait(write.slot->epoch);
			rc = replay_in_gate(&write, lsn);
			gate_leave(write.slot);
		}
		if (rc == BWT_OK)
			tree_after_write(tree, write.slot, &write.place);
		epoch_unpin(write.slot);
	}
	return rc;
}
