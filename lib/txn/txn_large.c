/* SPDX-License-Identifier: MIT */
/*
 * txn_large.c - a transaction that does not fit one gate section (W6)
 *
 *   parts of the record        one short gate section each; without effect until the commit record names them
 *   versions, pending          one gate section each; leaves are split under them, which carries them
 *   validate, pinned           serializable only
 *   reserve .. publish, fill   one gate section: a small commit record
 *   stamp                      each version on its own, pinned
 *
 * A checkpoint's cut may fall between any two sections. Its image says which descriptors were in use: those
 * committed at the cut with their LSN, the others count as aborted, and their commit record, if it
 * comes, is replayed (K1). From the first part on the log is kept, because the descriptor says so
 * (first_lsn) as long as it is in use and undecided.
 *
 * Aborted by others: a new descriptor takes over before the old one is given up; the parts in the log stay good.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testpoint.h"
#include "log/wal.h"
#include "txn/txn_private.h"

#define PART_BYTES_MAX                                                                             \
	((size_t)256 << 10) /* operations of one part; larger than the largest operation */

struct large {
	struct commit *commit;
	uint64_t number; /* of the transaction, for its parts */
	uint64_t first_lsn;
	uint64_t count; /* operations */
	uint32_t parts;
};

/* ---- the record, in parts ---- */

static int log_part(struct large *large, const struct wal_txn_part *head, const uint8_t *ops)
{
	struct commit *commit = large->commit;
	struct wal_payload payload = {.type = WAL_TXN_PART, .count = 2};
	uint64_t lsn;
	int rc;

	payload.part[0] = (struct bwt_slice){head, sizeof *head};
	payload.part[1] = (struct bwt_slice){ops, head->size};
	wal_payload_prepare(&payload);
	rc = commit->urgency == URGENCY_PUT
	             ? wal_room_take(commit->store->wal, payload.frame_len)
	             : wal_room_take_reserve(commit->store->wal, payload.frame_len);
	if (rc < 0)
		return rc;
	gate_enter(commit->slot);
	lsn = wal_reserve(commit->store->wal, payload.frame_len);
	if (large->parts == 0) {
		large->first_lsn = lsn;
		atomic_store_explicit(&commit->descriptor->first_lsn, lsn, memory_order_relaxed);
	}
	wal_fill(commit->store->wal, lsn, &payload);
	gate_leave(commit->slot);
	epoch_unpin(commit->slot);
	large->parts++;
	large->count += head->count;
	return BWT_OK;
}

static int log_parts(struct large *large)
{
	const struct write_set *writes = &large->commit->txn->writes;
	struct wal_txn_part head = {.txn = large->number};
	uint8_t *ops = malloc(PART_BYTES_MAX);
	int rc = ops == NULL ? -ENOMEM : BWT_OK;

	for (struct write_entry *entry = write_set_next(writes, NULL);
	     entry != NULL && rc == BWT_OK; entry = write_set_next(writes, entry)) {
		if (head.size + txn_op_size(entry) > PART_BYTES_MAX ||
		    (head.count > 0 && TEST_FAULT("txn_large"))) {
			rc = log_part(large, &head, ops);
			head = (struct wal_txn_part){.txn = large->number};
		}
		head.size += (uint32_t)txn_op_write(entry, ops + head.size);
		head.count++;
	}
	if (rc == BWT_OK)
		rc = log_part(large, &head, ops);
	free(ops);
	return rc;
}

/* ---- the versions ---- */

static bool wounded(const struct commit *commit)
{
	return word_state(atomic_load_explicit(&commit->descriptor->word, memory_order_acquire)) ==
	       WORD_ABORTED;
}

static int install_attempt(struct commit *commit, struct write_entry *entry)
{
	struct version_spec spec = txn_spec(entry);
	size_t room = tree_prepend_room(&spec);
	struct place place;
	bool wait = false;
	int rc = extent_prepare(&commit->store->extents, commit->slot, CHUNK_DELTA, room,
	                        commit->urgency);

	if (rc < 0)
		return rc;
	epoch_pin(commit->slot);
	rc = tree_locate(entry->tree, commit->slot, entry->key, commit->urgency, &place);
	if (rc == BWT_OK && !extent_has(commit->slot, CHUNK_DELTA, room))
		rc = TXN_AGAIN;
	if (rc == BWT_OK) {
		if (gate_try_enter(commit->slot)) {
			rc = wounded(commit) ? TXN_WOUNDED : txn_install(commit, entry, &place);
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
		rc = result == WOUND_YIELD ? BWT_CONFLICT : TXN_AGAIN;
	}
	epoch_unpin(commit->slot);
	if (wait)
		wound_wait(&commit->wound);
	return rc;
}

static int install_all(struct commit *commit)
{
	const struct write_set *writes = &commit->txn->writes;
	int rc = BWT_OK;

	for (struct write_entry *entry = write_set_next(writes, NULL);
	     entry != NULL && rc == BWT_OK; entry = write_set_next(writes, entry)) {
		TEST_YIELD("txn_between");
		do
			rc = install_attempt(commit, entry);
		while (rc == TXN_AGAIN);
	}
	return rc;
}

/* Every version that was installed says what was decided; then nothing refers to the descriptor. */
static void stamp_all(struct commit *commit)
{
	const struct write_set *writes = &commit->txn->writes;

	for (struct write_entry *entry = write_set_next(writes, NULL); entry != NULL;
	     entry = write_set_next(writes, entry)) {
		struct place place;

		if (entry->delta == NULL)
			continue;
		TEST_YIELD("txn_stamp");
		epoch_pin(commit->slot);
		if (txn_stamp(commit, entry, &place) == BWT_OK)
			tree_after_write(entry->tree, commit->slot, &place);
		epoch_unpin(commit->slot);
	}
	gate_enter(commit->slot);
	descriptor_done(&commit->store->descriptors, commit->descriptor);
	gate_leave(commit->slot);
	epoch_unpin(commit->slot);
	commit->descriptor = NULL;
}

/* ---- the decision ---- */

static int decide(struct commit *commit)
{
	uint64_t want = (uint64_t)commit->payload.frame_len * TXN_PUSHES_MAX;
	int rc = BWT_OK;

	TEST_YIELD("txn_decide");
	if (commit->credits < want) {
		rc = commit->urgency == URGENCY_PUT
		             ? wal_room_take(commit->store->wal, want - commit->credits)
		             : wal_room_take_reserve(commit->store->wal, want - commit->credits);
		if (rc < 0)
			return rc;
		commit->credits = want;
	}
	epoch_pin(commit->slot);
	rc = read_validate(commit->txn, commit->descriptor, &commit->validation);
	if (rc == BWT_OK && !gate_try_enter(commit->slot)) {
		gate_wait(commit->slot->epoch);
		rc = TXN_AGAIN;
	} else if (rc == BWT_OK) {
		rc = txn_publish(commit);
		gate_leave(commit->slot);
	}
	epoch_unpin(commit->slot);
	return rc;
}

static int descriptor_for_attempt(struct large *large)
{
	struct commit *commit = large->commit;
	int rc;

	gate_enter(commit->slot);
	rc = txn_descriptor(commit);
	if (rc == BWT_OK)
		atomic_store_explicit(&commit->descriptor->first_lsn, large->first_lsn,
		                      memory_order_relaxed);
	gate_leave(commit->slot);
	epoch_unpin(commit->slot);
	return rc;
}

/* Others aborted us: a new descriptor first, so that the log stays kept; then what the old one had installed is stamped. */
static int start_over(struct large *large)
{
	struct commit *commit = large->commit;
	struct descriptor *old = commit->descriptor, *next;
	uint64_t old_ref = commit->ref, ref;
	int rc;

	commit->aborts++;
	rc = descriptor_for_attempt(large);
	if (rc < 0) {
		commit->descriptor = old;
		return rc;
	}
	next = commit->descriptor;
	ref = commit->ref;
	commit->descriptor = old;
	commit->ref = old_ref;
	stamp_all(commit);
	commit->descriptor = next;
	commit->ref = ref;
	txn_forget_attempt(commit);
	return BWT_OK;
}

static int run(struct large *large)
{
	struct commit *commit = large->commit;
	struct wal_txn_commit record = {.txn = large->number};
	int rc = log_parts(large);

	if (rc < 0)
		return rc;
	record.first_lsn = large->first_lsn;
	record.count = large->count;
	record.parts = large->parts;
	commit->payload = (struct wal_payload){.type = WAL_TXN_COMMIT, .count = 1};
	commit->payload.part[0] = (struct bwt_slice){&record, sizeof record};
	wal_payload_prepare(&commit->payload);
	do {
		rc = install_all(commit);
		while (rc == BWT_OK) {
			rc = decide(commit);
			if (rc != TXN_AGAIN)
				break;
			rc = BWT_OK;
		}
		if (rc == TXN_WOUNDED) {
			rc = start_over(large);
			if (rc == BWT_OK)
				rc = TXN_WOUNDED;
		}
	} while (rc == TXN_WOUNDED);
	return rc;
}

int txn_commit_large(struct commit *commit)
{
	struct large large = {.commit = commit};
	int rc;

	txn_forget_attempt(commit);
	large.number =
		atomic_fetch_add_explicit(&commit->store->txn_numbers, 1, memory_order_relaxed) + 1;
	rc = descriptor_for_attempt(&large);
	if (rc < 0)
		return rc;
	rc = run(&large);
	if (rc != BWT_OK)
		txn_abort(commit);
	stamp_all(commit);
	if (commit->credits > 0)
		wal_room_return(commit->store->wal, commit->credits);
	commit->credits = 0;
	return rc;
}
