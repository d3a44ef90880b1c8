/* SPDX-License-Identifier: MIT */
/*
 * verify.c - every rule across files, on a store that nobody changes
 *
 * What each layer can say about itself is asked there (page_check, tree_check, image_read, vlog_check);
 * here the books are compared that are kept twice: what is reachable against the mapping table, the
 * extent table, the key counts, the catalogue and the value log's live bytes.
 *
 *   WARNING  damage or waste that costs no data: a copy is in use, or space is not given back
 *   DAMAGE   data is lost, or would be
 *
 * Memory: a bit per page id, 8 bytes per extent and per value-log file.
 */
#include "recovery/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "recovery/checkpoint_format.h"
#include "tree/tree_check.h"
#include "txn/read.h"

#define REPORT_PAGES 1024u /* pages between looks of the progress bar */

struct verifier {
	struct store *store;
	struct epoch_slot *slot;
	struct verify_report *report;
	uint8_t *reached;      /* a bit per page id */
	uint64_t page_count;   /* ids below it were used */
	uint64_t *extent_live; /* bytes reached, per extent */
	uint64_t extent_count;
	uint64_t *value_live; /* bytes referred to, per value-log file */
	uint64_t value_count;
	uint64_t pages;                /* reached so far, for progress */
	const struct named_tree *tree; /* that is being walked */
};

static void add(struct verify_report *report, struct bwt_finding finding)
{
	if (finding.severity == BWT_DAMAGE)
		report->damages++;
	else if (finding.severity == BWT_WARNING)
		report->warnings++;
	if (report->report != NULL)
		report->report(report->ctx, &finding);
}

static void say(struct verify_report *report, enum bwt_severity severity, const char *file,
                uint64_t off, uint64_t page, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

static void say(struct verify_report *report, enum bwt_severity severity, const char *file,
                uint64_t off, uint64_t page, const char *format, ...)
{
	struct bwt_finding finding = {
		.severity = (int)severity, .file = file, .offset = off, .page = page};
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	finding.text = text;
	add(report, finding);
}

/* ---- trees ---- */

static const char *tree_name(const struct named_tree *tree)
{
	if (tree->tree.id == TREE_ID_MAIN)
		return "the main tree";
	return tree->tree.id == TREE_ID_CATALOG ? "the catalogue" : tree->name;
}

static void tree_fault(void *ctx, const struct tree_fault *fault)
{
	struct verifier *verifier = ctx;
	struct bwt_finding finding = {
		.severity = BWT_DAMAGE,
		.file = "arena",
		.offset = fault->off,
		.page = fault->page,
		.low_key = fault->low,
		.high_key = fault->high,
	};
	char text[512];

	snprintf(text, sizeof text, "%s: %s", tree_name(verifier->tree), fault->text);
	finding.text = text;
	add(verifier->report, finding);
}

static bool reach(void *ctx, page_id page)
{
	struct verifier *verifier = ctx;
	uint8_t bit = (uint8_t)(1u << page % 8);

	if (page >= verifier->page_count || (verifier->reached[page / 8] & bit) != 0)
		return false;
	verifier->reached[page / 8] |= bit;
	if (++verifier->pages % REPORT_PAGES == 0 && verifier->store->progress != NULL)
		verifier->store->progress(
			verifier->store->ctx, "verify", verifier->pages,
			atomic_load_explicit(&verifier->store->mapping.used, memory_order_relaxed));
	return true;
}

static void block(void *ctx, arena_off off, uint32_t size)
{
	struct verifier *verifier = ctx;

	verifier->extent_live[extent_of(off)] += size;
}

static void large(void *ctx, page_id page, const struct page_entry *entry, const struct value_ref *ref)
{
	struct verifier *verifier = ctx;
	struct bwt_finding finding = {.severity = BWT_DAMAGE, .offset = ref->offset, .page = page};
	char file[64];
	uint8_t *key;
	uint32_t size;

	if (ref->segment < verifier->value_count)
		verifier->value_live[ref->segment] += value_ref_stored(ref);
	if (vlog_check(verifier->store->vlog, ref) == BWT_OK)
		return;
	snprintf(file, sizeof file, "vlog/%016llx.vlog", (unsigned long long)ref->segment);
	finding.file = file;
	finding.text = bwt_detail();
	size = key_ref_size(&entry->key);
	key = malloc(size + 1u);
	if (key != NULL) {
		/* The range of this key alone: the next one is the key with a zero byte behind it. */
		key_ref_copy(&entry->key, 0, key);
		key[size] = 0;
		finding.low_key = (struct bwt_slice){key, size};
		finding.high_key = (struct bwt_slice){key, size + 1u};
	}
	add(verifier->report, finding);
	free(key);
}

static int verify_tree(struct verifier *verifier, const struct named_tree *tree)
{
	struct tree_check check = {
		.dropping = tree->state == CATALOG_DROPPING,
		.fault = tree_fault,
		.reach = reach,
		.block = block,
		.large = large,
		.ctx = verifier,
	};
	uint64_t damages = verifier->report->damages;
	int rc;

	verifier->tree = tree;
	rc = tree_check(&tree->tree, &check);
	if (rc < 0)
		return rc;
	/* Behind damage the count says nothing. */
	if (!check.dropping && verifier->report->damages == damages &&
	    check.keys != tree_keys(&tree->tree))
		say(verifier->report, BWT_DAMAGE, "arena", 0, tree->tree.root,
		    "%s: %llu keys are there, %llu are counted", tree_name(tree),
		    (unsigned long long)check.keys, (unsigned long long)tree_keys(&tree->tree));
	return BWT_OK;
}

/* ---- the catalogue against the registry ---- */

static const struct named_tree *tree_named(const struct store *store, const char *name)
{
	const struct named_tree *tree = store->trees;

	while (tree != NULL && (tree->state != CATALOG_LIVE || tree->tree.id < TREE_ID_FIRST ||
	                        strcmp(tree->name, name) != 0))
		tree = tree->next;
	return tree;
}

static void verify_name(struct verifier *verifier, const struct scan_entry *entry)
{
	char name[BWT_TREE_NAME_MAX + 1] = "";
	struct catalog_entry found = {0};
	const struct named_tree *tree;

	if (key_ref_size(&entry->key) <= BWT_TREE_NAME_MAX)
		key_ref_copy(&entry->key, 0, (uint8_t *)name);
	if (entry->value_size == sizeof found && entry->flags == 0)
		memcpy(&found, entry->value, sizeof found);
	tree = tree_named(verifier->store, name);
	if (tree == NULL || tree->tree.id != found.tree ||
	    (found.state != CATALOG_LIVE && found.state != CATALOG_LOADED))
		say(verifier->report, BWT_DAMAGE, "arena", 0, 0,
		    "the catalogue names a tree \"%s\", number %u, that is not there", name,
		    found.tree);
}

static int verify_catalog(struct verifier *verifier)
{
	struct store *store = verifier->store;
	const struct named_tree *catalog = store_tree(store, TREE_ID_CATALOG);
	struct reader reader = {.store = store, .snapshot = READ_NEWEST};
	struct leaf_copy leaf = {0};
	uint8_t next[BWT_KEY_MAX];
	struct bwt_slice from = {"", 0};
	uint32_t names = 0, live = atomic_load_explicit(&store->tree_count, memory_order_relaxed);
	int rc;

	if (catalog == NULL)
		return error_set(BWT_CORRUPT, "the store has no catalogue");
	do {
		rc = tree_copy_leaf(&catalog->tree, verifier->slot, from, false, reader_choose,
		                    &reader, &leaf);
		for (unsigned i = 0; rc == BWT_OK && i < leaf.count; i++, names++)
			verify_name(verifier, &leaf.entries[i]);
		if (rc == BWT_OK && leaf.high.data != NULL) {
			memcpy(next, leaf.high.data, leaf.high.size);
			from = (struct bwt_slice){next, leaf.high.size};
		}
	} while (rc == BWT_OK && leaf.high.data != NULL);
	leaf_copy_free(&leaf);
	if (rc == BWT_OK && names != live)
		say(verifier->report, BWT_DAMAGE, "arena", 0, 0,
		    "the catalogue has %u names, %u named trees are there", names, live);
	return rc;
}

/* ---- the tables ---- */

static void verify_mapping(struct verifier *verifier)
{
	uint64_t first = 0, unreached = 0;

	for (page_id page = 1; page < verifier->page_count; page++) {
		if (mapping_stored(mapping_load(&verifier->store->mapping, page)) == 0 ||
		    (verifier->reached[page / 8] & 1u << page % 8) != 0)
			continue;
		if (unreached++ == 0)
			first = page;
	}
	if (unreached > 0)
		say(verifier->report, BWT_WARNING, "arena", 0, first,
		    "no tree reaches %llu pages that are in use, the first is %llu",
		    (unsigned long long)unreached, (unsigned long long)first);
}

/* What is live without being reached: the rests of open chunks and of open extents. */
static void add_open(struct verifier *verifier)
{
	struct store *store = verifier->store;
	uint32_t slots = atomic_load_explicit(&store->epoch.slot_count, memory_order_acquire);

	for (uint32_t i = 0; i < slots; i++) {
		struct epoch_slot *slot = epoch_slot_at(&store->epoch, i);

		for (unsigned kind = 0; slot != NULL && kind < CHUNK_KINDS; kind++) {
			uint64_t next =
				atomic_load_explicit(&slot->chunk[kind].next, memory_order_relaxed);

			if (next != 0)
				verifier->extent_live[extent_of(next)] +=
					slot->chunk[kind].end - next;
		}
	}
	for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
		uint64_t open =
			atomic_load_explicit(&store->extents.open[kind], memory_order_relaxed);
		extent_id id = (extent_id)(open >> 32);

		if (open != 0)
			verifier->extent_live[id] += extent_size(id) - (uint32_t)open;
	}
}

static void verify_extents(struct verifier *verifier)
{
	uint64_t lost = 0;

	add_open(verifier);
	for (extent_id id = 0; id < verifier->extent_count; id++) {
		uint64_t word = cow_load(&verifier->store->extents.table, id);
		enum extent_kind kind = extent_kind_of(word);
		bool data = kind == EXTENT_DELTA || kind == EXTENT_LEAF || kind == EXTENT_INNER;
		uint64_t found = verifier->extent_live[id];
		uint64_t live = data ? extent_live(word) : 0;

		if (found > live)
			say(verifier->report, BWT_DAMAGE, "arena", extent_start(id),
			    0, "%llu bytes of this extent are in use, the extent table says %llu (kind %d)",
			    (unsigned long long)found, (unsigned long long)live, kind);
		else
			lost += live - found;
	}
	/* Behind damage pages are missing from what was found. */
	if (lost > 0 && verifier->report->damages == 0)
		say(verifier->report, BWT_WARNING, "arena", 0, 0,
		    "%llu bytes count as in use and are not", (unsigned long long)lost);
}

static void verify_values(struct verifier *verifier)
{
	for (uint64_t file = 0; file < verifier->value_count; file++) {
		uint64_t counted = cow_load(&verifier->store->vlog_live, file);
		uint64_t found = verifier->value_live[file];
		char name[64];

		if (counted == found)
			continue;
		snprintf(name, sizeof name, "vlog/%016llx.vlog", (unsigned long long)file);
		if (found > counted || verifier->report->damages == 0)
			say(verifier->report, found > counted ? BWT_DAMAGE : BWT_WARNING, name, 0,
			    0, "%llu bytes of values are in use, %llu are counted",
			    (unsigned long long)found, (unsigned long long)counted);
	}
}

static int verifier_init(struct verifier *verifier)
{
	struct store *store = verifier->store;

	verifier->page_count = atomic_load_explicit(&store->mapping.next_id, memory_order_relaxed);
	verifier->extent_count = extents_count(&store->extents);
	verifier->value_count = vlog_next_segment(store->vlog);
	verifier->reached = calloc(1, verifier->page_count / 8 + 1);
	verifier->extent_live = calloc(verifier->extent_count + 1, sizeof *verifier->extent_live);
	verifier->value_live = calloc(verifier->value_count + 1, sizeof *verifier->value_live);
	if (verifier->reached == NULL || verifier->extent_live == NULL || verifier->value_live == NULL)
		return -ENOMEM;
	return BWT_OK;
}

int verify_store(struct store *store, struct epoch_slot *slot, struct verify_report *report)
{
	struct verifier verifier = {.store = store, .slot = slot, .report = report};
	uint64_t damages = report->damages;
	int rc = verifier_init(&verifier);

	epoch_pin(slot);
	for (const struct named_tree *tree = store->trees; tree != NULL && rc == BWT_OK;
	     tree = tree->next)
		rc = verify_tree(&verifier, tree);
	/* Only sound trees are read by the ordinary ways. */
	if (rc == BWT_OK && report->damages == damages)
		rc = verify_catalog(&verifier);
	epoch_unpin(slot);
	if (rc == BWT_OK) {
		if (report->damages == damages)
			verify_mapping(&verifier);
		verify_extents(&verifier);
		verify_values(&verifier);
		if (store->progress != NULL)
			store->progress(store->ctx, "verify", 1, 1);
	}
	free(verifier.reached);
	free(verifier.extent_live);
	free(verifier.value_live);
	return rc == BWT_OK && store_health(store, false) < 0 ? BWT_IO : rc;
}
