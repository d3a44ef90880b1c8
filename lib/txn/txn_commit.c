/* SPDX-License-Identifier: MIT */
/*
 * txn_commit.c - from a write set to one record in the log
 *
 *   nothing written     nothing to do
 *   one write           as a single operation (commit.c), refused if the key changed
 *   a few writes        here: everything in one gate section
 *   many                txn_large.c: many sections, the payload in the log first (W6)
 *
 *   large values to the value log     txn_place_values()   may wait for the disk
 *   room in the log and the arena     take_room()          may wait for a flush, may grow the file
 *   ---- pin, find every leaf ------------------------------------------------------------------------
 *   ---- gate ----------------------------------------------------------------------------------------
 *   install all, pending              txn_install()        in key order: two transactions never wait in a circle
 *   serializable: do the reads hold?  read_validate()
 *   reserve, look again, publish, fill  txn_publish()      one CAS on the descriptor makes all visible
 *   stamp every version               txn_stamp()          or abort, and stamp that
 *   ---- gate, unpin ---------------------------------------------------------------------------------
 *
 * So a checkpoint's cut never sees a small transaction half-way, and no image holds a reference to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "log/wal.h"
#include "tree/consolidate.h"
#include "txn/commit.h"
#include "txn/read.h"
#include "txn/txn_private.h"

#define SMALL_WRITES_MAX 64u                 /* versions in one gate section */
#define SMALL_DELTAS_MAX ((size_t)128 << 10) /* bytes of them in the arena */
#define SMALL_RECORD_MAX ((size_t)64 << 10)  /* bytes of them in the log */
#define SMALL_RANGES_MAX 64u                 /* ranges read that are validated inside it */
#define SMALL_TRIES_MAX 32u                  /* attempts before it is done in small steps instead */

/* ---- the record ---- */

size_t txn_op_size(const struct write_entry *entry)
{
	struct version_spec spec = txn_spec(entry);

	return offsetof(struct wal_op, bytes) + entry->key.size + spec.value_size;
}

size_t txn_op_write(const struct write_entry *entry, uint8_t *to)
{
	struct version_spec spec = txn_spec(entry);
	struct wal_op head = {.tree = entry->tree->id,
	                      .flags = spec.flags,
	                      .key_size = (uint16_t)entry->key.size,
	                      .value_size = spec.value_size};
	size_t size = offsetof(struct wal_op, bytes);

	memcpy(to, &head, size);
	if (entry->key.size > 0)
		memcpy(to + size, entry->key.data, entry->key.size);
	size += entry->key.size;
	if (spec.value_size > 0)
		memcpy(to + size, spec.value, spec.value_size);
	return size + spec.value_size;
}

static void make_record(struct commit *commit, uint8_t *record, size_t size)
{
	struct wal_txn head = {.count = (uint32_t)commit->txn->writes.count,
	                       .size = (uint32_t)(size - sizeof head)};
	uint8_t *at = record + sizeof head;

	memcpy(record, &head, sizeof head);
	for (struct write_entry *entry = write_set_next(&commit->txn->writes, NULL); entry != NULL;
	     entry = write_set_next(&commit->txn->writes, entry))
		at += txn_op_write(entry, at);
	commit->payload = (struct wal_payload){.type = WAL_TXN, .count = 1};
	commit->payload.part[0] = (struct bwt_slice){record, size};
	wal_payload_prepare(&commit->payload);
}

/* ---- a few writes ---- */

struct small {
	struct commit *commit;
	size_t record_size;
	size_t delta_bytes;
	unsigned count;
	struct write_entry *entry[SMALL_WRITES_MAX];
	struct place place[SMALL_WRITES_MAX];
};

/* false: it is too large for one gate section. */
static bool measure(struct small *small)
{
	struct txn *txn = small->commit->txn;

	if (txn->writes.count > SMALL_WRITES_MAX || txn->reads.count > SMALL_RANGES_MAX ||
	    TEST_FAULT("txn_large"))
		return false;
	small->record_size = sizeof(struct wal_txn);
	for (struct write_entry *entry = write_set_next(&txn->writes, NULL); entry != NULL;
	     entry = write_set_next(&txn->writes, entry)) {
		struct version_spec spec = txn_spec(entry);

		small->entry[small->count++] = entry;
		small->record_size += txn_op_size(entry);
		small->delta_bytes += tree_prepend_room(&spec);
	}
	return small->record_size <= SMALL_RECORD_MAX && small->delta_bytes <= SMALL_DELTAS_MAX;
}

static int take_room(struct small *small)
{
	struct commit *commit = small->commit;
	uint64_t want = (uint64_t)commit->payload.frame_len * TXN_PUSHES_MAX;
	int rc = BWT_OK;

	if (commit->credits < want) {
		rc = commit->urgency == URGENCY_PUT
		             ? wal_room_take(commit->store->wal, want - commit->credits)
		             : wal_room_take_reserve(commit->store->wal, want - commit->credits);
		if (rc == BWT_OK)
			commit->credits = want;
	}
	if (rc == BWT_OK)
		rc = extent_prepare(&commit->store->extents, commit->slot, CHUNK_DELTA,
		                    small->delta_bytes, commit->urgency);
	return rc;
}

/* Every leaf, with room in its chain for all that goes there. */
static int locate(struct small *small)
{
	struct commit *commit = small->commit;
	unsigned alike = 0;
	int rc = BWT_OK;

	for (unsigned i = 0; i < small->count && rc == BWT_OK; i++) {
		struct write_entry *entry = small->entry[i];
		struct place *place = &small->place[i];

		rc = tree_locate(entry->tree, commit->slot, entry->key, commit->urgency, place);
		alike = i > 0 && rc == BWT_OK && place->page == small->place[i - 1].page ? alike + 1
		                                                                         : 0;
		if (rc == BWT_OK && mapping_chain(place->word) + alike >= DELTA_CHAIN_MAX) {
			rc = tree_consolidate(entry->tree, commit->slot, place, ABORT_PENDING,
			                      commit->urgency);
			if (rc == BWT_OK || rc == BWT_BUSY)
				rc = TXN_AGAIN;
		}
	}
	/* Helping on the way may have used the chunk: room is made outside the gate only. */
	if (rc == BWT_OK && !extent_has(commit->slot, CHUNK_DELTA, small->delta_bytes))
		rc = TXN_AGAIN;
	return rc;
}

static int in_gate(struct small *small)
{
	struct commit *commit = small->commit;
	int rc = txn_descriptor(commit);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < small->count && rc == BWT_OK; i++)
		rc = txn_install(commit, small->entry[i], &small->place[i]);
	if (rc == BWT_OK)
		rc = read_validate(commit->txn, commit->descriptor, &commit->validation);
	if (rc == BWT_OK)
		rc = txn_publish(commit);
	if (rc != BWT_OK)
		txn_abort(commit);
	TEST_YIELD("txn_stamp");
	for (unsigned i = 0; i < small->count; i++)
		if (small->entry[i]->delta != NULL)
			txn_stamp_at(commit, small->entry[i], &small->place[i]);
	descriptor_done(&commit->store->descriptors, commit->descriptor);
	commit->descriptor = NULL;
	return rc;
}

static int attempt(struct small *small)
{
	struct commit *commit = small->commit;
	bool wait = false;
	int rc;

	txn_forget_attempt(commit);
	rc = take_room(small);
	if (rc < 0)
		return rc;
	epoch_pin(commit->slot);
	rc = locate(small);
	if (rc == BWT_OK) {
		if (gate_try_enter(commit->slot)) {
			rc = in_gate(small);
			gate_leave(commit->slot);
		} else {
			gate_wait(commit->slot->epoch);
			rc = TXN_AGAIN;
		}
	}
	if (rc == TXN_PENDING) {
		enum wound_result result = wound_look(commit->store, commit->slot, &commit->wound,
		                                      commit->obstacle, true);

		wait = result == WOUND_WAIT;
		rc = result == WOUND_YIELD ? BWT_CONFLICT : TXN_PENDING;
	}
	TEST_YIELD("txn_stamped");
	for (unsigned i = 0; i < small->count && rc == BWT_OK; i++)
		if (i + 1 == small->count || small->place[i].page != small->place[i + 1].page)
			tree_after_write(small->entry[i]->tree, commit->slot, &small->place[i]);
	epoch_unpin(commit->slot);
	if (wait)
		wound_wait(&commit->wound);
	return rc;
}

/* TXN_AGAIN: it does not get through in one section. */
static int run_small(struct small *small)
{
	struct commit *commit = small->commit;
	uint8_t *record = malloc(small->record_size);
	unsigned tries = 0;
	int rc;

	if (record == NULL)
		return -ENOMEM;
	make_record(commit, record, small->record_size);
	do {
		rc = attempt(small);
		commit->aborts += rc == TXN_WOUNDED;
		tries += rc == TXN_AGAIN;
	} while ((rc == TXN_AGAIN && tries < SMALL_TRIES_MAX) || rc == TXN_PENDING ||
	         rc == TXN_WOUNDED);
	if (commit->credits > 0)
		wal_room_return(commit->store->wal, commit->credits);
	commit->credits = 0;
	free(record);
	return rc;
}

static int run(struct commit *commit)
{
	struct small small = {.commit = commit};
	int rc = txn_place_values(commit);

	if (rc < 0)
		return rc;
	rc = measure(&small) ? run_small(&small) : TXN_AGAIN;
	return rc == TXN_AGAIN ? txn_commit_large(commit) : rc;
}

/* ---- one write ---- */

/* A single operation does all that this needs: no descriptor, and no reads to be validated but the key's own. */
static int commit_single(struct txn *txn, uint64_t *end_lsn)
{
	const struct write_entry *entry = write_set_next(&txn->writes, NULL);
	struct commit_op op = {
		.kind = entry->kind == WRITE_DELETE ? COMMIT_DELETE : COMMIT_PUT,
		.key = entry->key,
		.value = entry->value,
		.unchanged_since = txn->level == TXN_READ_COMMITTED ? 0 : txn->snapshot,
	};
	int rc;

	if (txn->level == TXN_READ_COMMITTED && entry->expects)
		op.unchanged_since = entry->expected_lsn;
	rc = commit_one(txn->store, entry->tree, &op);
	if (rc == BWT_OK)
		*end_lsn = op.end_lsn;
	return rc == BWT_NOT_FOUND ? BWT_OK : rc; /* deleted what the transaction itself had put */
}

static int commit_many(struct txn *txn, struct epoch_slot *slot, bool deletes_only, uint64_t *end_lsn)
{
	struct commit commit = {.txn = txn, .store = txn->store, .slot = slot};
	int rc;

	commit.urgency = deletes_only ? URGENCY_DELETE : URGENCY_PUT;
	rc = run(&commit);
	if (rc == BWT_FULL && txn->store->relieve != NULL) {
		txn->store->relieve(txn->store, commit.urgency);
		commit.urgency = deletes_only ? URGENCY_CARE : URGENCY_PUT;
		rc = run(&commit);
	}
	/* RELEASE: the live bytes were counted before. */
	atomic_store_explicit(&slot->value_hold, 0, memory_order_release);
	*end_lsn = commit.end_lsn;
	free(commit.keys);
	free(commit.values);
	validation_free(&commit.validation);
	if (rc == BWT_OK && commit.end_lsn > slot->seen_lsn)
		slot->seen_lsn = commit.end_lsn;
	return rc;
}

static bool only_deletes(const struct txn *txn)
{
	for (struct write_entry *entry = write_set_next(&txn->writes, NULL); entry != NULL;
	     entry = write_set_next(&txn->writes, entry))
		if (entry->kind != WRITE_DELETE)
			return false;
	return true;
}

int txn_commit(struct txn *txn, uint64_t *end_lsn)
{
	struct epoch_slot *slot = epoch_slot(&txn->store->epoch);
	uint64_t end = txn_read_end(txn);
	int rc = BWT_OK;

	if (slot == NULL)
		return error_set(BWT_BUSY, "more than %u threads are inside the store",
		                 EPOCH_SLOTS_MAX);
	if (txn->writes.count != 0) {
		rc = store_health(txn->store, true);
		if (rc < 0)
			return rc;
		if (txn->writes.count == 1 && txn->reads.count == 0)
			rc = commit_single(txn, &end);
		else
			rc = commit_many(txn, slot, only_deletes(txn), &end);
		if (store_health(txn->store, false) < 0)
			rc = BWT_IO;
	}
	if (rc == BWT_CONFLICT)
		stats_add(&txn->store->stats, slot->index, STAT_CONFLICTS, 1);
	if (rc == BWT_OK)
		*end_lsn = end;
	return rc;
}
