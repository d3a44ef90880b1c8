/* SPDX-License-Identifier: MIT */
/*
 * txn_install.c - the steps of a commit, for one version or for all
 *
 * Our versions are pending under one descriptor. Between their installation and its decision others may
 * push the descriptor (its LSN must then be higher), or abort it; consolidation may copy the versions.
 * So the owner stamps what it finds under a key now, not only what it installed (C2).
 */
#include <errno.h>
#include <stdlib.h>

#include "base/stats.h"
#include "base/testpoint.h"
#include "log/wal.h"
#include "txn/txn_private.h"

struct version_spec txn_spec(const struct write_entry *entry)
{
	struct version_spec spec = {entry->key, entry->hash, entry->value.data,
	                            (uint32_t)entry->value.size, entry->version_flags};

	if ((entry->version_flags & VERSION_VLOG) != 0) {
		spec.value = &entry->ref;
		spec.value_size = sizeof entry->ref;
	}
	return spec;
}

/* ---- lists that grow ---- */

static int values_add(struct commit *commit, uint64_t segment, uint64_t bytes)
{
	if (commit->values_count != 0 && commit->values[commit->values_count - 1].segment == segment) {
		commit->values[commit->values_count - 1].bytes += bytes;
		return BWT_OK;
	}
	if (commit->values_count == commit->values_capacity) {
		size_t capacity = commit->values_capacity * 2 + 8;
		struct values_change *grown = realloc(commit->values, capacity * sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		commit->values = grown;
		commit->values_capacity = capacity;
	}
	commit->values[commit->values_count++] = (struct values_change){segment, bytes};
	return BWT_OK;
}

/* Room for one more tree is made before the version is installed, so that counting it cannot fail. */
static struct keys_change *keys_of(struct commit *commit, struct tree *tree)
{
	if (commit->keys_count != 0 && commit->keys[commit->keys_count - 1].tree == tree)
		return &commit->keys[commit->keys_count - 1];
	for (size_t i = 0; i < commit->keys_count; i++)
		if (commit->keys[i].tree == tree)
			return &commit->keys[i];
	if (commit->keys_count == commit->keys_capacity) {
		size_t capacity = commit->keys_capacity * 2 + 4;
		struct keys_change *grown = realloc(commit->keys, capacity * sizeof *grown);

		if (grown == NULL)
			return NULL;
		commit->keys = grown;
		commit->keys_capacity = capacity;
	}
	commit->keys[commit->keys_count] = (struct keys_change){tree, 0};
	return &commit->keys[commit->keys_count++];
}

/* ---- before ---- */

int txn_place_values(struct commit *commit)
{
	struct store *store = commit->store;
	int rc = BWT_OK;

	commit->values_count = 0;
	for (struct write_entry *entry = write_set_next(&commit->txn->writes, NULL);
	     entry != NULL && rc == BWT_OK; entry = write_set_next(&commit->txn->writes, entry)) {
		entry->version_flags = entry->kind == WRITE_DELETE ? VERSION_TOMBSTONE : 0;
		if (entry->kind != WRITE_PUT || entry->value.size <= store->inline_max)
			continue;
		if (commit->values_count == 0) {
			store_tend_values(store, commit->slot);
			atomic_store_explicit(&commit->slot->value_hold,
			                      vlog_append_floor(store->vlog), memory_order_seq_cst);
		}
		rc = vlog_append(store->vlog, entry->tree->id, entry->hash, entry->value,
		                 tree_codec(entry->tree), &entry->ref);
		entry->version_flags |= VERSION_VLOG;
		if (rc == BWT_OK)
			rc = values_add(commit, entry->ref.segment, value_ref_stored(&entry->ref));
	}
	return rc;
}

int txn_descriptor(struct commit *commit)
{
	struct txn *txn = commit->txn;
	int rc = descriptor_take(
		&commit->store->descriptors, wound_patience(txn->writes.count, commit->aborts),
		txn->level == TXN_SERIALIZABLE ? txn->order : 0, &commit->descriptor);

	if (rc == BWT_OK)
		commit->ref = descriptor_ref(commit->descriptor);
	return rc;
}

void txn_forget_attempt(struct commit *commit)
{
	for (struct write_entry *entry = write_set_next(&commit->txn->writes, NULL); entry != NULL;
	     entry = write_set_next(&commit->txn->writes, entry))
		entry->delta = NULL;
	for (size_t i = 0; i < commit->keys_count; i++)
		commit->keys[i].keys = 0;
}

/* ---- one version ---- */

/* May @lsn, of the newest committed version of the key, lie below ours? */
static bool conflicts(const struct commit *commit, const struct write_entry *entry, uint64_t lsn)
{
	if (TEST_FAULT("txn_no_conflict"))
		return false;
	if (commit->txn->level != TXN_READ_COMMITTED)
		return lsn >= commit->txn->snapshot; /* first committer wins */
	return entry->expects && lsn >= entry->expected_lsn;
}

/* What lies on the key now. BWT_OK: we may write, entry->existed is set. */
static int look(struct commit *commit, struct write_entry *entry, const struct place *place)
{
	struct version_walk walk;
	struct page_entry found;

	entry->existed = false;
	version_walk_init(&walk, commit->store->arena.base, place_head(place), entry->key,
	                  entry->hash);
	while (version_walk_next(&walk, &found)) {
		uint64_t seen = word_make(WORD_COMMITTED, found.lsn);

		if (found.word != NULL)
			version_word(&commit->store->descriptors, found.word, &seen);
		if (word_state(seen) == WORD_ABORTED)
			continue;
		if (word_state(seen) == WORD_PENDING) {
			commit->obstacle = found.word;
			return TXN_PENDING;
		}
		entry->existed = (found.flags & VERSION_TOMBSTONE) == 0;
		return conflicts(commit, entry, word_lsn(seen)) ? BWT_CONFLICT : BWT_OK;
	}
	return BWT_OK;
}

int txn_install(struct commit *commit, struct write_entry *entry, struct place *place)
{
	bool delete = entry->kind == WRITE_DELETE;
	struct version_spec spec = txn_spec(entry);
	struct keys_change *change = keys_of(commit, entry->tree);

	if (entry->delta != NULL)
		return BWT_OK;
	if (change == NULL)
		return -ENOMEM;
	for (unsigned tries = 0; tries < TXN_GATE_TRIES_MAX; tries++) {
		int rc;

		if (!place_reload(entry->tree, place, entry->key))
			return TXN_AGAIN;
		rc = look(commit, entry, place);
		if (rc != BWT_OK)
			return rc;
		rc = tree_prepend(entry->tree, commit->slot, place, &spec, commit->ref,
		                  &entry->delta);
		if (rc == BWT_OK) {
			if (entry->existed == delete)
				change->keys += delete ? -1 : 1;
			TEST_YIELD("txn_installed");
			return BWT_OK;
		}
		if (rc != BWT_BUSY)
			return rc;
	}
	return TXN_AGAIN;
}

/*
 * Most words of a key are of others, and lie in cold extents. They are looked at first: a compare-and-swap that fails
 * writes all the same, and one byte written makes the kernel write a folio, which is up to an extent.
 */
static void stamp_word(struct commit *commit, _Atomic(uint64_t) *word, uint64_t final)
{
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	if (seen != commit->ref && !TEST_FAULT("txn_stamp_unlooked"))
		return;
	seen = commit->ref;
	/* RELEASE: pairs with the acquire of every reader of the word. */
	if (atomic_compare_exchange_strong_explicit(word, &seen, final, memory_order_acq_rel,
	                                            memory_order_relaxed))
		sys_persist_flush(&commit->store->arena.map, word, sizeof *word);
}

int txn_stamp(struct commit *commit, struct write_entry *entry, struct place *place)
{
	uint64_t final = atomic_load_explicit(&commit->descriptor->word, memory_order_relaxed);
	struct version_walk walk;
	struct page_entry found;
	int rc = tree_descend(entry->tree, entry->key, false, 0, place, NULL);

	if (TEST_FAULT("txn_no_stamp"))
		return rc;
	if (rc < 0) {
		stamp_word(commit, &entry->delta->lsn_word, final);
		return rc;
	}
	version_walk_init(&walk, commit->store->arena.base, place_head(place), entry->key,
	                  entry->hash);
	while (version_walk_next(&walk, &found))
		if (found.word != NULL)
			stamp_word(commit, found.word, final);
	return BWT_OK;
}

int txn_stamp_at(struct commit *commit, struct write_entry *entry, const struct place *place)
{
	struct place now;

	/* SEQ_CST fence of the decision before this load: who rebuilds the leaf after it looks again (C2). */
	uint64_t word = mapping_load(&commit->store->mapping, place->page);

	if (mapping_mark(word) == MAPPING_PAGE && !TEST_FAULT("txn_no_stamp") &&
	    chain_base(commit->store->arena.base, mapping_head(word)) == place->base) {
		stamp_word(commit, &entry->delta->lsn_word,
		           atomic_load_explicit(&commit->descriptor->word, memory_order_relaxed));
		return BWT_OK;
	}
	return txn_stamp(commit, entry, &now);
}

/* ---- the decision ---- */

bool txn_abort(struct commit *commit)
{
	uint64_t seen = atomic_load_explicit(&commit->descriptor->word, memory_order_acquire);

	while (word_state(seen) == WORD_PENDING &&
	       !atomic_compare_exchange_strong_explicit(&commit->descriptor->word, &seen,
	                                                word_make(WORD_ABORTED, 0),
	                                                memory_order_acq_rel, memory_order_acquire))
		continue;
	descriptor_ring(commit->descriptor);
	/* SEQ_CST: pairs with the fence of who carries our versions and looks again (C2). */
	atomic_thread_fence(memory_order_seq_cst);
	return word_state(seen) != WORD_COMMITTED;
}

/* The transaction is committed at @lsn and visible: nothing below may fail. */
static void finish(struct commit *commit, uint64_t lsn)
{
	struct store *store = commit->store;

	descriptor_ring(commit->descriptor);
	/* SEQ_CST: as in txn_abort(). */
	atomic_thread_fence(memory_order_seq_cst);
	TEST_YIELD("txn_fill");
	wal_fill(store->wal, lsn, &commit->payload);
	commit->end_lsn = lsn + commit->payload.frame_len;
	for (size_t i = 0; i < commit->keys_count; i++)
		if (commit->keys[i].keys != 0)
			tree_keys_add(commit->keys[i].tree, commit->slot, commit->keys[i].keys);
	for (size_t i = 0; i < commit->values_count; i++)
		atomic_fetch_add_explicit(&store->vlog_live.words[commit->values[i].segment],
		                          commit->values[i].bytes, memory_order_relaxed);
	stats_add(&store->stats, commit->slot->index, STAT_COMMITS, 1);
	stats_add(&store->stats, commit->slot->index, STAT_USER_BYTES, commit->txn->writes.bytes);
}

int txn_publish(struct commit *commit)
{
	struct store *store = commit->store;
	_Atomic(uint64_t) *word = &commit->descriptor->word;
	uint32_t len = commit->payload.frame_len;
	uint64_t seen = atomic_load_explicit(word, memory_order_acquire);

	for (size_t i = 0; i < commit->values_count; i++)
		if (!cow_touch(&store->vlog_live, commit->values[i].segment))
			return -ENOMEM;
	for (unsigned pushes = 0; pushes < TXN_PUSHES_MAX; pushes++) {
		uint64_t lsn;
		int rc;

		TEST_YIELD("txn_reserve");
		lsn = wal_reserve(store->wal, len);
		commit->credits -= len;
		TEST_YIELD("txn_revalidate");
		rc = read_revalidate(commit->txn, commit->descriptor, &commit->validation, lsn);
		TEST_YIELD("txn_publish");
		while (rc == BWT_OK && word_state(seen) == WORD_PENDING && word_lsn(seen) <= lsn) {
			/* RELEASE: pairs with the acquire of every reader of the word. */
			if (!atomic_compare_exchange_strong_explicit(
				    word, &seen, word_make(WORD_COMMITTED, lsn),
				    memory_order_acq_rel, memory_order_acquire))
				continue;
			finish(commit, lsn);
			return BWT_OK;
		}
		wal_fill_pad(store->wal, lsn, len);
		if (rc != BWT_OK)
			return rc;
		if (word_state(seen) == WORD_ABORTED)
			return TXN_WOUNDED;
	}
	return TXN_AGAIN;
}
