/* SPDX-License-Identifier: MIT */
/*
 * read.c - which version a reader sees, and its value
 *
 * A snapshot S that meets a pending version must not guess, because the writer may already hold an
 * LSN below S: it pushes the writer (design.md section 1). After the push the version is not S's. A
 * push that fails says nothing: the word is read afresh (C3).
 */
#include "txn/read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/stats.h"
#include "base/testpoint.h"
#include "page/visibility.h"

int buf_reserve(struct bwt_buf *buf, size_t size)
{
	void *grown;

	if (size <= buf->capacity)
		return BWT_OK;
	grown = realloc(buf->data, size);
	if (grown == NULL)
		return -ENOMEM;
	buf->data = grown;
	buf->capacity = size;
	return BWT_OK;
}

/* Is the version with this word visible to @reader? *lsn: of it, if so. */
static bool word_visible(struct reader *reader, _Atomic(uint64_t) *own, uint64_t *lsn)
{
	struct store *store = reader->store;
	uint64_t seen;
	_Atomic(uint64_t) *word = version_word(&store->descriptors, own, &seen);

	while (word_state(seen) == WORD_PENDING) {
		uint64_t pushed = word_make(WORD_PENDING, reader->snapshot);

		if (reader->snapshot == READ_NEWEST || word_lsn(seen) >= reader->snapshot)
			return false;
		if (TEST_FAULT("read_no_push"))
			return false;
		if (atomic_compare_exchange_strong_explicit(
			    word, &seen, pushed, memory_order_acq_rel, memory_order_acquire)) {
			stats_add(&store->stats, 0, STAT_PUSHES, 1);
			return false;
		}
		if (TEST_FAULT("read_lost_push_unseen"))
			return false;
		word = version_word(&store->descriptors, own, &seen);
	}
	*lsn = word_lsn(seen);
	if (word_state(seen) != WORD_COMMITTED)
		return false;
	if (reader->snapshot == READ_NEWEST || *lsn < reader->snapshot)
		return true;
	reader->passed = true;
	return false;
}

static bool entry_visible(struct reader *reader, const struct page_entry *entry)
{
	uint64_t lsn = entry->lsn;

	if (entry->word != NULL) {
		if (!word_visible(reader, entry->word, &lsn))
			return false;
	} else if (reader->snapshot != READ_NEWEST && lsn >= reader->snapshot) {
		reader->passed = true;
		return false;
	}
	if (lsn >= reader->newest)
		reader->newest = lsn + 1;
	return true;
}

int reader_choose(void *ctx, struct page_entry *versions, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (entry_visible(ctx, &versions[i]))
			return (int)i;
	return -1;
}

/* The version that @reader sees among those of @walk; BWT_NOT_FOUND: none, or a tombstone. */
static int walk_visible(struct reader *reader, struct version_walk *walk, struct page_entry *entry)
{
	while (version_walk_next(walk, entry))
		if (entry_visible(reader, entry))
			return (entry->flags & VERSION_TOMBSTONE) != 0 ? BWT_NOT_FOUND : BWT_OK;
	return BWT_NOT_FOUND;
}

/* The visible version of @key; pinned. */
static int find_visible(struct reader *reader, struct tree *tree, struct epoch_slot *slot,
                        struct bwt_slice key, struct page_entry *entry)
{
	struct version_walk walk;
	struct place place;
	int rc = tree_descend_reading(tree, slot, key, &place);

	if (rc < 0)
		return rc;
	version_walk_init(&walk, tree->env->arena->base, place_head(&place), key, key_hash(key));
	return walk_visible(reader, &walk, entry);
}

static int copy_inline(const struct page_entry *entry, struct bwt_buf *value)
{
	int rc = buf_reserve(value, entry->value_size);

	if (rc < 0)
		return rc;
	if (entry->value_size > 0)
		memcpy(value->data, entry->value, entry->value_size);
	value->size = entry->value_size;
	return BWT_OK;
}

/* Not pinned; slot->value_hold keeps the file. */
static int copy_large(struct store *store, const struct value_ref *ref, struct bwt_buf *value)
{
	int rc = buf_reserve(value, ref->size);

	if (rc == BWT_OK)
		rc = vlog_read(store->vlog, ref, value->data);
	if (rc == BWT_OK)
		value->size = ref->size;
	return rc;
}

int read_version(struct reader *reader, struct tree *tree, struct epoch_slot *slot,
                 struct bwt_slice key, struct bwt_buf *value)
{
	struct store *store = reader->store;
	struct page_entry entry;
	struct value_ref ref;
	bool large;
	int rc = store_health(store, false);

	if (rc < 0)
		return rc;
	epoch_pin(slot);
	rc = find_visible(reader, tree, slot, key, &entry);
	large = rc == BWT_OK && value != NULL && (entry.flags & VERSION_VLOG) != 0;
	if (large) {
		memcpy(&ref, entry.value, sizeof ref);
		atomic_store_explicit(&slot->value_hold, ref.segment, memory_order_seq_cst);
	} else if (rc == BWT_OK && value != NULL) {
		rc = copy_inline(&entry, value);
	}
	epoch_unpin(slot);
	if (large) {
		rc = copy_large(store, &ref, value);
		atomic_store_explicit(&slot->value_hold, 0, memory_order_release);
	}
	if (reader->newest > slot->seen_lsn)
		slot->seen_lsn = reader->newest;
	/* A fault during the look-up led it through zero pages. */
	return store_health(store, false) < 0 ? BWT_IO : rc;
}

int read_value(struct store *store, struct tree *tree, struct epoch_slot *slot, uint64_t snapshot,
               struct bwt_slice key, struct bwt_buf *value)
{
	struct reader reader = {.store = store, .snapshot = snapshot};

	return read_version(&reader, tree, slot, key, value);
}

/* ---- many keys ---- */

#define GROUP_MAX 32u /* look-ups whose cache misses overlap */

struct group { /* look-ups done together; number i is of keys[at[i]] */
	unsigned count;
	size_t at[GROUP_MAX];
	struct descent descents[GROUP_MAX];
	struct version_walk walks[GROUP_MAX];
	struct value_ref large[GROUP_MAX]; /* segment 0: the value is copied, or there is none */
};

/* Each look-up's walk, with its first version on the way from memory; pinned. */
static void group_descend(struct tree *tree, struct epoch_slot *slot, struct group *group)
{
	tree_descend_many(tree, slot, group->descents, group->count);
	for (unsigned i = 0; i < group->count; i++) {
		const struct descent *one = &group->descents[i];

		if (one->rc < 0)
			continue;
		version_walk_init(&group->walks[i], tree->env->arena->base, place_head(&one->place),
		                  one->key, key_hash(one->key));
		version_walk_fetch(&group->walks[i]);
	}
}

/* Values into their buffers, those in the value log into group->large; pinned. Returns the first file of these, 0: none. */
static uint64_t group_collect(struct reader *reader, struct group *group, struct bwt_buf values[],
                              int results[])
{
	uint64_t hold = 0;

	for (unsigned i = 0; i < group->count; i++) {
		struct value_ref *large = &group->large[i];
		struct page_entry entry = {0};
		int rc = group->descents[i].rc;

		large->segment = 0;
		if (rc == BWT_OK)
			rc = walk_visible(reader, &group->walks[i], &entry);
		if (rc == BWT_OK && values != NULL && (entry.flags & VERSION_VLOG) != 0) {
			memcpy(large, entry.value, sizeof *large);
			if (hold == 0 || large->segment < hold)
				hold = large->segment;
		} else if (rc == BWT_OK && values != NULL) {
			rc = copy_inline(&entry, &values[group->at[i]]);
		}
		results[group->at[i]] = rc;
	}
	return hold;
}

/* All in one batch. Not pinned; slot->value_hold keeps the files. */
static void group_read_large(struct store *store, const struct group *group,
                             struct bwt_buf values[], int results[])
{
	struct vlog_read reads[GROUP_MAX];
	size_t at[GROUP_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < group->count; i++) {
		const struct value_ref *ref = &group->large[i];
		size_t number = group->at[i];

		if (ref->segment == 0)
			continue;
		results[number] = buf_reserve(&values[number], ref->size);
		if (results[number] < 0)
			continue;
		reads[count] = (struct vlog_read){.ref = *ref, .to = values[number].data};
		at[count++] = number;
	}
	vlog_read_many(store->vlog, reads, count);
	for (unsigned i = 0; i < count; i++) {
		results[at[i]] = reads[i].rc;
		if (reads[i].rc == BWT_OK)
			values[at[i]].size = reads[i].ref.size;
	}
}

static void group_read(struct reader *reader, struct tree *tree, struct epoch_slot *slot,
                       struct group *group, struct bwt_buf values[], int results[])
{
	uint64_t hold;

	epoch_pin(slot);
	group_descend(tree, slot, group);
	hold = group_collect(reader, group, values, results);
	if (hold != 0)
		atomic_store_explicit(&slot->value_hold, hold, memory_order_seq_cst);
	epoch_unpin(slot);
	if (hold == 0)
		return;
	TEST_YIELD("read_many_large");
	group_read_large(reader->store, group, values, results);
	atomic_store_explicit(&slot->value_hold, 0, memory_order_release);
}

int read_many(struct reader *reader, struct tree *tree, struct epoch_slot *slot, size_t count,
              const struct bwt_slice keys[], struct bwt_buf values[], int results[])
{
	struct group group;
	size_t next = 0;
	int rc = store_health(reader->store, false);

	while (rc == BWT_OK && next < count) {
		for (group.count = 0; next < count && group.count < GROUP_MAX; next++) {
			if (results[next] < 0)
				continue;
			group.at[group.count] = next;
			group.descents[group.count++].key = keys[next];
		}
		group_read(reader, tree, slot, &group, values, results);
		rc = store_health(reader->store, false);
	}
	if (reader->newest > slot->seen_lsn)
		slot->seen_lsn = reader->newest;
	return rc;
}
