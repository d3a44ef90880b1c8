/* SPDX-License-Identifier: MIT */
/* tree_fixture.c - what the tests of tree/ share */
#include "tests/unit/tree/tree_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page/visibility.h"

#define MAX_SIZE ((uint64_t)64 << 20)
#define PAGES_MAX ((uint64_t)1 << 16)

static uint64_t clock_now(void *ctx)
{
	struct fixture *fixture = ctx;

	return atomic_load(&fixture->clock) + LSN_ALIGN;
}

static void horizon_now(void *ctx, struct horizon *horizon)
{
	struct fixture *fixture = ctx;

	*horizon = fixture->horizon;
	if (horizon->future == 0)
		horizon->future = clock_now(ctx);
}

static bool value_stored(void *ctx, const struct value_ref *ref)
{
	struct fixture *fixture = ctx;

	(void)ref;
	atomic_fetch_add(&fixture->values_stored, 1);
	return true;
}

static void value_dropped(void *ctx, const struct value_ref *ref)
{
	struct fixture *fixture = ctx;

	atomic_fetch_add(&fixture->values_dropped, 1);
	atomic_fetch_add(&fixture->dropped_segments, ref->segment);
}

void fixture_new(struct fixture *fixture, uint32_t page_bytes, uint32_t chain)
{
	memset(fixture, 0, sizeof *fixture);
	fixture_arena_new(&fixture->file, &fixture->arena, &fixture->epoch, &fixture->extents,
	                  &fixture->interval);
	fixture_arena_map(&fixture->file, MAX_SIZE);
	CU_ASSERT_EQUAL_FATAL(extents_format(&fixture->extents), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(
		mapping_init(&fixture->mapping, &fixture->epoch, PAGES_MAX, &fixture->interval),
		BWT_OK);
	fixture->env = (struct tree_env){
		.arena = &fixture->arena,
		.extents = &fixture->extents,
		.epoch = &fixture->epoch,
		.mapping = &fixture->mapping,
		.stats = &fixture->stats,
		.limits = {page_bytes, page_bytes, chain, chain < 4 ? chain : 4, 0},
		.clock = clock_now,
		.horizon = horizon_now,
		.value_stored = value_stored,
		.value_dropped = value_dropped,
		.ctx = fixture,
	};
	fixture->slot = epoch_slot(&fixture->epoch);
	CU_ASSERT_EQUAL_FATAL(tree_create(&fixture->tree, &fixture->env, 7, fixture->slot), BWT_OK);
}

void fixture_free(struct fixture *fixture)
{
	mapping_deinit(&fixture->mapping);
	fixture_arena_unmap(&fixture->file);
	fixture_arena_free(&fixture->file);
}

struct bwt_slice key_of(unsigned number, struct key_text *text)
{
	return (struct bwt_slice){text->bytes,
	                          (size_t)snprintf(text->bytes, sizeof text->bytes, "%08u", number)};
}

struct bwt_slice slice_of_text(const char *text)
{
	return (struct bwt_slice){text, strlen(text)};
}

/* ---- writes ---- */

/* One attempt: 1 when somebody else was first. */
static int add_once(struct fixture *fixture, struct epoch_slot *slot,
                    const struct version_spec *spec, uint64_t word, struct leaf_delta **delta)
{
	struct place place;
	int rc = extent_prepare(&fixture->extents, slot, CHUNK_DELTA, tree_prepend_room(spec),
	                        URGENCY_PUT);

	if (rc < 0)
		return rc;
	epoch_pin(slot);
	rc = tree_locate(&fixture->tree, slot, spec->key, URGENCY_PUT, &place);
	if (rc == BWT_OK && !extent_has(slot, CHUNK_DELTA, tree_prepend_room(spec)))
		rc = 1;
	if (rc == BWT_OK) {
		while (!gate_try_enter(slot))
			gate_wait(&fixture->epoch);
		rc = place_reload(&fixture->tree, &place, spec->key)
		             ? tree_prepend(&fixture->tree, slot, &place, spec, word, delta)
		             : 1;
		gate_leave(slot);
	}
	if (rc == BWT_OK)
		tree_after_write(&fixture->tree, slot, &place);
	epoch_unpin(slot);
	return rc == BWT_BUSY ? 1 : rc;
}

struct leaf_delta *fixture_add(struct fixture *fixture, const struct version_spec *spec,
                               uint64_t word, int *rc)
{
	struct leaf_delta *delta = NULL;

	do
		*rc = add_once(fixture, epoch_slot(&fixture->epoch), spec, word, &delta);
	while (*rc == 1);
	return delta;
}

static uint64_t commit(struct fixture *fixture, unsigned number, const void *value, size_t size,
                       uint8_t flags)
{
	uint64_t lsn = atomic_fetch_add(&fixture->clock, LSN_ALIGN) + LSN_ALIGN;
	struct version_spec spec = {.value = value, .value_size = (uint32_t)size, .flags = flags};
	struct key_text text;
	int rc;

	spec.key = key_of(number, &text);
	spec.hash = key_hash(spec.key);
	fixture_add(fixture, &spec, word_make(WORD_COMMITTED, lsn), &rc);
	if (rc < 0)
		printf("  key %u: %s, %s\n", number, bwt_strerror(rc), bwt_detail());
	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	return lsn;
}

uint64_t fixture_put(struct fixture *fixture, unsigned number, const char *value)
{
	return commit(fixture, number, value, strlen(value), 0);
}

uint64_t fixture_put_large(struct fixture *fixture, unsigned number, uint64_t segment)
{
	struct value_ref ref = {.segment = (uint32_t)segment, .size = 5000};

	return commit(fixture, number, &ref, sizeof ref, VERSION_VLOG);
}

uint64_t fixture_delete(struct fixture *fixture, unsigned number)
{
	return commit(fixture, number, NULL, 0, VERSION_TOMBSTONE);
}

struct leaf_delta *fixture_pending(struct fixture *fixture, unsigned number, const char *value)
{
	struct version_spec spec = {.value = value, .value_size = (uint32_t)strlen(value)};
	struct leaf_delta *delta;
	struct key_text text;
	int rc;

	spec.key = key_of(number, &text);
	spec.hash = key_hash(spec.key);
	delta = fixture_add(fixture, &spec, word_make(WORD_PENDING, 0), &rc);
	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	return delta;
}

void fixture_fill(struct fixture *fixture, unsigned from, unsigned to)
{
	struct key_text text;

	for (unsigned i = from; i < to; i++)
		fixture_put(fixture, i, key_of(i, &text).data);
}

/* ---- reads ---- */

static bool visible(const struct page_entry *entry, uint64_t snapshot)
{
	uint64_t word = entry->word == NULL ? word_make(WORD_COMMITTED, entry->lsn)
	                                    : atomic_load(entry->word);

	return word_state(word) == WORD_COMMITTED && word_lsn(word) < snapshot;
}

bool fixture_has(struct fixture *fixture, unsigned number, uint64_t snapshot, const char *value)
{
	struct epoch_slot *slot = epoch_slot(&fixture->epoch);
	struct version_walk walk;
	struct page_entry entry;
	struct key_text text;
	struct bwt_slice key = key_of(number, &text);
	struct place place;
	bool found = false, same;

	epoch_pin(slot);
	if (tree_descend(&fixture->tree, key, false, 0, &place, NULL) != BWT_OK) {
		epoch_unpin(slot);
		return false;
	}
	version_walk_init(&walk, fixture->arena.base, place_head(&place), key, key_hash(key));
	while (!found && version_walk_next(&walk, &entry))
		found = visible(&entry, snapshot);
	found = found && (entry.flags & VERSION_TOMBSTONE) == 0;
	same = value == NULL || !found ? found == (value != NULL)
	                               : entry.value_size == strlen(value) &&
	                                         memcmp(entry.value, value, entry.value_size) == 0;
	epoch_unpin(slot);
	return same;
}

bool fixture_filled(struct fixture *fixture, unsigned from, unsigned to)
{
	struct key_text text;

	for (unsigned i = from; i < to; i++)
		if (!fixture_has(fixture, i, NEWEST, key_of(i, &text).data))
			return false;
	return true;
}

/* ---- pages ---- */

struct place fixture_locate(struct fixture *fixture, unsigned number)
{
	struct key_text text;
	struct place place;

	epoch_pin(fixture->slot);
	CU_ASSERT_EQUAL_FATAL(
		tree_descend(&fixture->tree, key_of(number, &text), false, 0, &place, NULL), BWT_OK);
	return place;
}

int fixture_consolidate(struct fixture *fixture, unsigned number, enum patience patience)
{
	struct place place = fixture_locate(fixture, number);
	int rc = tree_consolidate(&fixture->tree, fixture->slot, &place, patience, URGENCY_CARE);

	epoch_unpin(fixture->slot);
	return rc;
}

unsigned fixture_levels(struct fixture *fixture)
{
	uint64_t word = mapping_load(&fixture->mapping, fixture->tree.root);

	return chain_base(fixture->arena.base, mapping_head(word))->level + 1u;
}

struct reached {
	struct fixture *fixture;
	uint64_t bytes;
	uint64_t pages;
	uint8_t *seen;
	unsigned faults;
};

static void count_fault(void *ctx, const struct tree_fault *fault)
{
	struct reached *reached = ctx;

	reached->faults++;
	printf("  page %llu: %s\n", (unsigned long long)fault->page, fault->text);
}

static bool count_page(void *ctx, page_id page)
{
	struct reached *reached = ctx;
	bool first = reached->seen[page] == 0;

	reached->seen[page] = 1;
	reached->pages += first;
	return first;
}

static void count_block(void *ctx, arena_off off, uint32_t size)
{
	struct reached *reached = ctx;

	(void)off;
	reached->bytes += size;
}

static void ignore_large(void *ctx, page_id page, const struct page_entry *entry,
                         const struct value_ref *ref)
{
	(void)ctx;
	(void)page;
	(void)entry;
	(void)ref;
}

static uint64_t open_bytes(const struct extents *extents)
{
	uint64_t bytes = 0;

	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		uint64_t word = atomic_load(&extents->open[kind]);

		if (word != 0)
			bytes += extent_size((extent_id)(word >> 32)) - (uint32_t)word;
	}
	return bytes;
}

bool fixture_sound(struct fixture *fixture)
{
	struct reached reached = {.fixture = fixture, .seen = calloc(PAGES_MAX, 1)};
	struct tree_check check = {
		.fault = count_fault,
		.reach = count_page,
		.block = count_block,
		.large = ignore_large,
		.ctx = &reached,
	};
	uint64_t live, used = atomic_load(&fixture->mapping.used);
	int rc;

	CU_ASSERT_EQUAL_FATAL(extents_close_chunks(&fixture->extents, fixture->slot), BWT_OK);
	live = extents_live_bytes(&fixture->extents) - EXTENT_SMALL_SIZE -
	       open_bytes(&fixture->extents);
	epoch_pin(fixture->slot);
	rc = tree_check(&fixture->tree, &check);
	epoch_unpin(fixture->slot);
	free(reached.seen);
	if (reached.bytes != live || reached.pages != used)
		printf("  reached %llu bytes, %llu pages; live are %llu, %llu\n",
		       (unsigned long long)reached.bytes, (unsigned long long)reached.pages,
		       (unsigned long long)live, (unsigned long long)used);
	return rc == BWT_OK && reached.faults == 0 && reached.bytes == live && reached.pages == used;
}
