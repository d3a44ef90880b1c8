/* SPDX-License-Identifier: MIT */
/*
 * store.c - what the lower layers are handed: clock, horizon, dropped values; health and words
 */
#include "txn/store.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

uint64_t store_clock(void *ctx)
{
	const struct store *store = ctx;

	return store->wal != NULL ? wal_tail(store->wal) : store->readonly_tail;
}

uint64_t store_stable_clock(void *ctx)
{
	const struct store *store = ctx;

	if (store->wal != NULL && store->durability == BWT_SYNC)
		return wal_durable_lsn(store->wal);
	return store_clock(ctx);
}

void store_horizon(void *ctx, struct horizon *horizon)
{
	struct store *store = ctx;

	snapshots_horizon(&store->snapshots, store_stable_clock, store, horizon);
}

uint64_t store_decide(void *ctx, _Atomic(uint64_t) *word)
{
	const struct store *store = ctx;
	uint64_t seen;

	version_word(&store->descriptors, word, &seen);
	return seen;
}

uint64_t store_settle(void *ctx, uint64_t stored_word)
{
	const struct settled *settled = &((const struct store *)ctx)->settled;

	if (word_state(stored_word) == WORD_COMMITTED && word_lsn(stored_word) < settled->start_lsn)
		return stored_word;
	for (uint32_t i = 0; word_state(stored_word) == WORD_DESCRIPTOR && i < settled->count; i++)
		if (settled->refs[i].ref == stored_word)
			return word_make(WORD_COMMITTED, settled->refs[i].lsn);
	return word_make(WORD_ABORTED, 0);
}

bool store_value_stored(void *ctx, const struct value_ref *ref)
{
	struct store *store = ctx;

	if (ref->segment >= store->vlog_live.capacity || !cow_touch(&store->vlog_live, ref->segment))
		return false;
	atomic_fetch_add_explicit(&store->vlog_live.words[ref->segment], value_ref_stored(ref),
	                          memory_order_relaxed);
	return true;
}

void store_value_dropped(void *ctx, const struct value_ref *ref)
{
	struct store *store = ctx;

	/* Without memory for the picture the count stays too high: the file is kept longer, nothing else. */
	if (ref->segment < store->vlog_live.capacity && cow_touch(&store->vlog_live, ref->segment))
		atomic_fetch_sub_explicit(&store->vlog_live.words[ref->segment],
		                          value_ref_stored(ref), memory_order_relaxed);
}

int store_health(struct store *store, bool write)
{
	int failure;

	if (atomic_load_explicit(&store->faulted, memory_order_relaxed) != 0)
		return error_set(
			BWT_IO,
			"arena: the mapping faulted (an I/O error, or the file was cut short)");
	if (!write)
		return BWT_OK;
	if (store->readonly)
		return error_set(BWT_READ_ONLY, "the store was opened with BWT_RDONLY");
	failure = atomic_load_explicit(&store->failure, memory_order_relaxed);
	return failure == BWT_OK
	               ? BWT_OK
	               : error_set(BWT_READ_ONLY, "the store is read-only since a write or sync failed: %s",
	                           bwt_strerror(failure));
}

void store_say(struct store *store, int level, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	if (store->log == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	store->log(store->ctx, level, text);
}

struct named_tree *store_tree(struct store *store, uint32_t id)
{
	struct named_tree *tree;

	pthread_mutex_lock(store->trees_lock);
	for (tree = store->trees; tree != NULL && tree->tree.id != id; tree = tree->next)
		continue;
	pthread_mutex_unlock(store->trees_lock);
	return tree;
}
