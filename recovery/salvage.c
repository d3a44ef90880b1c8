/* SPDX-License-Identifier: MIT */
/*
 * salvage.c - the pairs of a store, out of its leaves and its log, without its tables
 *
 *   log -> leaves -> catalogue -> the main tree, then the named ones: key range by key range
 *
 * Each key range is taken from the base page with the largest clock that covers it; over that go the
 * commits since that clock, from the deltas over any page that covers it, and the newest change of each
 * key that the log holds. Which page a commit was put over does not matter: a replay makes pages
 * that an earlier life had once more, at other clocks, and puts later commits over those.
 *
 *   SV1  From `log.from` on the log has every change, so its newest change of a key is the key's newest
 *        version. A change from before a gap counts if the page is older.
 *   SV2  A range whose page is complete up to log.from or later is exact. Of an older page nothing newer
 *        was found: it is what the store had, unless a block was damaged. Where stretches of the arena
 *        may have been such blocks (salvage_scan.c), those ranges are reported with their age.
 *        The same where two pages have one clock and nothing tells which is the later one, and where
 *        a page names a transaction whose changes the log no longer has.
 *   SV3  A range that no page covers is reported as lost, a value that does not check too. Nothing is
 *        made up for them.
 */
#include "recovery/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "page/chain.h"
#include "page/visibility.h"

#define HEAP_SMALL 64u /* pictures: not worth cleaning up */

struct version { /* of one key, the newest that a picture has */
	struct bwt_slice key;
	uint64_t lsn; /* 0: of the base page */
	const void *value;
	uint32_t value_size;
	uint8_t flags;
};

struct salvaging {
	const struct salvage_calls *calls;
	struct salvaged *found;
	struct salvage_log log;
	struct salvage_arena scan;
	struct vlog *vlog;
	uint32_t tree;
	const char *name;
	int (*emit)(struct salvaging *salvaging, const struct version *version);
	/* of the tree at hand */
	size_t picture, picture_end; /* by low key; those before `picture` are in the heap or done */
	size_t op, op_end;
	const struct picture **heap;     /* by clock, the largest first */
	size_t heap_count, heap_cleaned; /* there are; were left by heap_clean() */
	/* of the picture at hand */
	struct version *versions;
	size_t version_count;
	uint8_t *keys; /* bytes of the base page's keys, put together */
	/* the catalogue's answer */
	struct named {
		char name[BWT_TREE_NAME_MAX + 1];
		uint32_t id;
		bool created; /* says the log: it began empty then */
	} * named;
	size_t named_count;
};

/* ---- words ---- */

static void report(struct salvaging *salvaging, enum bwt_severity severity, struct bwt_slice low,
                   struct bwt_slice high, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

static void report(struct salvaging *salvaging, enum bwt_severity severity, struct bwt_slice low,
                   struct bwt_slice high, const char *format, ...)
{
	struct bwt_finding finding = {
		.severity = (int)severity, .file = "arena", .low_key = low, .high_key = high};
	char text[ERROR_DETAIL_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	finding.text = text;
	if (salvaging->calls->report != NULL)
		salvaging->calls->report(salvaging->calls->ctx, &finding);
}

static const char *title(const struct salvaging *salvaging)
{
	if (salvaging->tree == TREE_ID_CATALOG)
		return "the catalogue";
	return salvaging->tree == TREE_ID_MAIN ? "the main tree" : salvaging->name;
}

/* ---- the versions of a picture ---- */

static int by_key(const void *a, const void *b)
{
	const struct version *left = a, *right = b;
	int order = salvage_compare(left->key, right->key);

	return order != 0 ? order : (left->lsn < right->lsn) - (left->lsn > right->lsn);
}

static bool below(struct bwt_slice key, struct bwt_slice high)
{
	return high.data == NULL || salvage_compare(key, high) < 0;
}

/* Can a delta over @other, which covers @low, say more than @picture does? */
static bool tells(const struct picture *other, const struct picture *picture, struct bwt_slice low)
{
	return other == picture || ((other->newest > picture->base->head.lsn ||
	                             other->base->head.lsn == picture->base->head.lsn) &&
	                            below(low, base_high(other->base)));
}

static int make_room(struct salvaging *salvaging, const struct picture *picture, struct bwt_slice low)
{
	const struct base_page *base = picture->base;
	size_t room = base->count + 1, bytes;
	void *grown;

	for (size_t i = 0; i < salvaging->heap_count; i++)
		if (tells(salvaging->heap[i], picture, low))
			room += salvaging->heap[i]->delta_count;
	grown = realloc(salvaging->versions, room * sizeof *salvaging->versions);
	if (grown == NULL)
		return error_set(-ENOMEM, "no memory for a page");
	salvaging->versions = grown;
	bytes = (size_t)base->count * base->prefix_size + base->head.size + 1;
	grown = realloc(salvaging->keys, bytes);
	if (grown == NULL)
		return error_set(-ENOMEM, "no memory for a page");
	salvaging->keys = grown;
	return BWT_OK;
}

/* What @picture says itself: the newest versions of its base page's keys. */
static void gather_base(struct salvaging *salvaging, const struct picture *picture)
{
	uint8_t *key = salvaging->keys;

	for (unsigned i = 0; i < picture->base->count; i++) {
		struct page_entry entry;
		size_t size;

		leaf_entry(picture->base, i, &entry);
		if ((entry.flags & VERSION_OLDER) != 0)
			continue;
		size = key_ref_copy(&entry.key, 0, key);
		salvaging->versions[salvaging->version_count++] = (struct version){
			.key = {key, size},
			.value = entry.value,
			.value_size = entry.value_size,
			.flags = entry.flags,
		};
		key += size;
	}
}

/* The commits over @other from LSN @from on. */
static void gather_deltas(struct salvaging *salvaging, const struct picture *other, uint64_t from)
{
	for (uint32_t i = 0; i < other->delta_count; i++) {
		const struct leaf_delta *delta = salvaging->scan.deltas[other->first_delta + i];
		uint64_t word = atomic_load_explicit(
			&((struct leaf_delta *)(uintptr_t)delta)->lsn_word, memory_order_relaxed);

		/* Undecided ones are decided by the log. */
		if (!picture_has(other, delta) || !word_valid(word) ||
		    word_state(word) != WORD_COMMITTED || word_lsn(word) < from ||
		    word_lsn(word) >= salvaging->log.end)
			continue;
		salvaging->versions[salvaging->version_count++] = (struct version){
			.key = leaf_delta_key(delta),
			.lsn = word_lsn(word),
			.value = leaf_delta_value(delta),
			.value_size = delta->value_size,
			.flags = delta->head.flags,
		};
	}
}

/*
 * Each key's newest version in the range that begins at @low, in key order. Over pages of the
 * same clock all deltas count; over an older page those do that the base page cannot have.
 */
static int gather(struct salvaging *salvaging, const struct picture *picture, struct bwt_slice low)
{
	uint64_t clock = picture->base->head.lsn;
	int rc = make_room(salvaging, picture, low);
	size_t kept = 0;

	if (rc < 0)
		return rc;
	gather_base(salvaging, picture);
	for (size_t i = 0; i < salvaging->heap_count; i++)
		if (tells(salvaging->heap[i], picture, low))
			gather_deltas(salvaging, salvaging->heap[i],
			              salvaging->heap[i]->base->head.lsn == clock ? 0 : clock);
	if (salvaging->version_count > 0)
		qsort(salvaging->versions, salvaging->version_count, sizeof *salvaging->versions,
		      by_key);
	for (size_t i = 0; i < salvaging->version_count; i++) {
		const struct version *version = &salvaging->versions[i];

		if (kept == 0 || salvage_compare(salvaging->versions[kept - 1].key, version->key) != 0)
			salvaging->versions[kept++] = *version;
	}
	salvaging->version_count = kept;
	return BWT_OK;
}

/* ---- handing out ---- */

static int emit_value(struct salvaging *salvaging, const struct version *version,
                      struct bwt_slice value)
{
	salvaging->found->pairs++;
	return salvaging->calls->pair(salvaging->calls->ctx, version->key, value);
}

static int emit_pair(struct salvaging *salvaging, const struct version *version)
{
	struct bwt_slice value = {version->value, version->value_size};
	struct value_ref ref;
	void *bytes;
	int rc;

	if ((version->flags & VERSION_TOMBSTONE) != 0)
		return BWT_OK;
	if ((version->flags & VERSION_VLOG) == 0)
		return emit_value(salvaging, version, value);
	memcpy(&ref, version->value, sizeof ref);
	rc = vlog_check(salvaging->vlog, &ref); /* before so much memory is taken */
	bytes = rc == BWT_OK ? malloc(ref.size + 1u) : NULL;
	if (rc == BWT_OK)
		rc = bytes == NULL ? error_set(-ENOMEM, "no memory for a value")
		                   : vlog_read(salvaging->vlog, &ref, bytes);
	if (rc == BWT_OK) {
		rc = emit_value(salvaging, version, (struct bwt_slice){bytes, ref.size});
	} else if (rc == BWT_CORRUPT || rc == BWT_IO) {
		salvaging->found->lost++;
		report(salvaging, BWT_DAMAGE, version->key, version->key, "%s: a value is lost: %s",
		       title(salvaging), bwt_detail());
		rc = BWT_OK;
	}
	free(bytes);
	return rc;
}

static int emit_name(struct salvaging *salvaging, const struct version *version)
{
	struct catalog_entry entry;
	struct named *grown;

	if ((version->flags & (VERSION_TOMBSTONE | VERSION_VLOG)) != 0 ||
	    version->value_size != sizeof entry || version->key.size == 0 ||
	    version->key.size > BWT_TREE_NAME_MAX)
		return BWT_OK;
	memcpy(&entry, version->value, sizeof entry);
	grown = realloc(salvaging->named, (salvaging->named_count + 1) * sizeof *grown);
	if (grown == NULL)
		return error_set(-ENOMEM, "no memory for the names of trees");
	salvaging->named = grown;
	grown += salvaging->named_count++;
	memset(grown, 0, sizeof *grown);
	memcpy(grown->name, version->key.data, version->key.size);
	grown->id = entry.tree;
	grown->created = version->lsn != 0 && version->lsn >= salvaging->log.from &&
	                 entry.state == CATALOG_LIVE;
	return BWT_OK;
}

/* ---- a key range: the picture's versions and the log's changes, merged ---- */

static bool op_wins(const struct salvaging *salvaging, const struct salvage_op *op,
                    const struct picture *picture, const struct version *version)
{
	if (op->lsn >= salvaging->log.from || picture == NULL) /* SV1 */
		return true;
	return op->lsn >= picture->base->head.lsn && (version == NULL || op->lsn > version->lsn);
}

/* Keys in [@low, @high), the next ones in order; @picture NULL: only what the log has. */
static int emit_range(struct salvaging *salvaging, const struct picture *picture,
                      struct bwt_slice low, struct bwt_slice high)
{
	const struct salvage_op *ops = salvaging->log.ops;
	size_t i = 0;
	int rc = BWT_OK;

	salvaging->version_count = 0;
	if (picture != NULL)
		rc = gather(salvaging, picture, low);
	while (i < salvaging->version_count && salvage_compare(salvaging->versions[i].key, low) < 0)
		i++;
	while (rc == BWT_OK) {
		const struct version *version =
			i < salvaging->version_count && below(salvaging->versions[i].key, high)
				? &salvaging->versions[i]
				: NULL;
		const struct salvage_op *op =
			salvaging->op < salvaging->op_end ? &ops[salvaging->op] : NULL;
		struct bwt_slice op_key = {NULL, 0};
		int order;

		if (op != NULL)
			op_key = (struct bwt_slice){op->key, op->key_size};
		if (op != NULL && !below(op_key, high))
			op = NULL;
		if (version == NULL && op == NULL)
			break;
		order = version == NULL ? 1
		        : op == NULL    ? -1
		                        : salvage_compare(version->key, op_key);
		if (order >= 0 && op_wins(salvaging, op, picture, order == 0 ? version : NULL)) {
			struct version changed = {.key = op_key,
			                          .lsn = op->lsn,
			                          .value = op->value,
			                          .value_size = op->value_size,
			                          .flags = op->flags};

			rc = salvaging->emit(salvaging, &changed);
		} else if (order <= 0) {
			rc = salvaging->emit(salvaging, version);
		}
		salvaging->op += order >= 0;
		i += order <= 0;
	}
	return rc;
}

/* ---- a tree: its key ranges, each from the newest picture ---- */

/*
 * Of two pages of one clock: one large transaction that is replayed passes through many pages before the clock
 * moves. What commits from that clock on goes to the last of them; else blocks of one extent lie in the order in
 * which they were made. That is no order among more than two, so it does not rule the heap.
 */
static bool later(const struct picture *a, const struct picture *b)
{
	if (a->newest != b->newest)
		return a->newest > b->newest;
	return a->extent == b->extent && a->base > b->base;
}

static bool newer(const struct picture *a, const struct picture *b)
{
	return a->base->head.lsn > b->base->head.lsn;
}

static void heap_push(struct salvaging *salvaging, const struct picture *picture)
{
	const struct picture **heap = salvaging->heap;
	size_t i = salvaging->heap_count++;

	while (i > 0 && newer(picture, heap[(i - 1) / 2])) {
		heap[i] = heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap[i] = picture;
}

static void heap_pop(struct salvaging *salvaging)
{
	const struct picture **heap = salvaging->heap;
	const struct picture *last = heap[--salvaging->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < salvaging->heap_count) {
		if (child + 1 < salvaging->heap_count && newer(heap[child + 1], heap[child]))
			child++;
		if (!newer(heap[child], last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
}

/* Those that end before @at are of no use any more: out, whenever the heap has doubled. */
static void heap_clean(struct salvaging *salvaging, struct bwt_slice at)
{
	size_t count = salvaging->heap_count;

	if (count < 2 * salvaging->heap_cleaned + HEAP_SMALL)
		return;
	salvaging->heap_count = 0;
	for (size_t i = 0; i < count; i++)
		if (below(at, base_high(salvaging->heap[i]->base)))
			heap_push(salvaging, salvaging->heap[i]);
	salvaging->heap_cleaned = salvaging->heap_count;
}

/* Do both cover @at, with one clock and different bytes? */
static bool rivals(const struct picture *other, const struct picture *picture, struct bwt_slice at)
{
	return other->base->head.lsn == picture->base->head.lsn &&
	       other->base->head.crc != picture->base->head.crc && below(at, base_high(other->base));
}

/* The newest picture that covers @at, NULL: none; *next: up to where that is so. */
static const struct picture *picture_at(struct salvaging *salvaging, struct bwt_slice at,
                                        struct bwt_slice *next)
{
	const struct picture *pictures = salvaging->scan.pictures, *top = NULL;
	struct bwt_slice high;

	while (salvaging->picture < salvaging->picture_end &&
	       salvage_compare(base_low(pictures[salvaging->picture].base), at) <= 0)
		heap_push(salvaging, &pictures[salvaging->picture++]);
	heap_clean(salvaging, at);
	while (salvaging->heap_count > 0 && !below(at, base_high(salvaging->heap[0]->base)))
		heap_pop(salvaging);
	*next = (struct bwt_slice){NULL, 0};
	if (salvaging->picture < salvaging->picture_end)
		*next = base_low(pictures[salvaging->picture].base);
	if (salvaging->heap_count > 0) {
		top = salvaging->heap[0];
		for (size_t i = 1; i < salvaging->heap_count; i++)
			if (rivals(salvaging->heap[i], top, at) && later(salvaging->heap[i], top))
				top = salvaging->heap[i];
		high = base_high(top->base);
		if (high.data != NULL && below(high, *next))
			*next = high;
	}
	return top;
}

/* Is there another page of the same clock for these keys, and no telling which of them came first? */
static bool ambiguous(const struct salvaging *salvaging, const struct picture *picture,
                      struct bwt_slice low)
{
	if (picture->base->head.lsn >= salvaging->log.from)
		return false;
	for (size_t i = 0; i < salvaging->heap_count; i++)
		if (rivals(salvaging->heap[i], picture, low) && !later(picture, salvaging->heap[i]))
			return true;
	return false;
}

/* Does a page name a transaction that may have changed these keys since @picture's clock, and the log no more? */
static bool undecided(const struct salvaging *salvaging, const struct picture *picture,
                      struct bwt_slice low)
{
	if (salvaging->log.parts_missing == 0 || picture->base->head.lsn >= salvaging->log.from)
		return false;
	for (size_t i = 0; i < salvaging->heap_count; i++)
		if (salvaging->heap[i]->undecided &&
		    salvaging->heap[i]->as_of >= picture->base->head.lsn &&
		    below(low, base_high(salvaging->heap[i]->base)))
			return true;
	return false;
}

/* What is to be said of the range [@low, @high), taken from @picture. */
static void judge(struct salvaging *salvaging, const struct picture *picture, struct bwt_slice low,
                  struct bwt_slice high)
{
	if (picture == NULL) {
		salvaging->found->lost++;
		report(salvaging, BWT_DAMAGE, low, high,
		       "%s: no page of these keys is left: only changes since LSN %" PRIu64
		       " are there",
		       title(salvaging), salvaging->log.from);
	} else if (ambiguous(salvaging, picture, low)) {
		salvaging->found->older++;
		report(salvaging, BWT_WARNING, low, high,
		       "%s: these keys may lack some of the changes that were made at LSN %" PRIu64
		       ": there is more than one page of that age",
		       title(salvaging), picture->base->head.lsn);
	} else if (undecided(salvaging, picture, low)) {
		salvaging->found->older++;
		report(salvaging, BWT_WARNING, low, high,
		       "%s: these keys may lack what a transaction changed that committed before "
		       "LSN %" PRIu64 ", its changes are no longer in the log",
		       title(salvaging), salvaging->log.from);
	} else if (picture->as_of < salvaging->log.from &&
	           (salvaging->scan.suspicious > 0 || salvaging->log.gaps > 0 ||
	            salvaging->log.end == UINT64_MAX)) {
		salvaging->found->older++;
		report(salvaging, BWT_WARNING, low, high,
		       "%s: these keys are as of LSN %" PRIu64
		       " at least, changes between that and LSN %" PRIu64 " may be missing",
		       title(salvaging), picture->as_of,
		       salvaging->log.end == UINT64_MAX ? UINT64_MAX : salvaging->log.from);
	}
}

static void find_bounds(struct salvaging *salvaging)
{
	const struct salvage_arena *scan = &salvaging->scan;
	const struct salvage_log *log = &salvaging->log;

	salvaging->picture = 0;
	while (salvaging->picture < scan->picture_count &&
	       scan->pictures[salvaging->picture].base->head.tree < salvaging->tree)
		salvaging->picture++;
	salvaging->picture_end = salvaging->picture;
	while (salvaging->picture_end < scan->picture_count &&
	       scan->pictures[salvaging->picture_end].base->head.tree == salvaging->tree)
		salvaging->picture_end++;
	salvaging->op = 0;
	while (salvaging->op < log->count && log->ops[salvaging->op].tree < salvaging->tree)
		salvaging->op++;
	salvaging->op_end = salvaging->op;
	while (salvaging->op_end < log->count && log->ops[salvaging->op_end].tree == salvaging->tree)
		salvaging->op_end++;
	salvaging->heap_count = 0;
	salvaging->heap_cleaned = 0;
}

/* @created: the log says so; it needs no page then, for it began empty. */
static int salvage_tree(struct salvaging *salvaging, uint32_t tree, const char *name, bool created)
{
	struct bwt_slice at = {"", 0}, next;
	int rc = BWT_OK;

	salvaging->tree = tree;
	salvaging->name = name;
	find_bounds(salvaging);
	if (created && salvaging->picture == salvaging->picture_end)
		return emit_range(salvaging, NULL, at, (struct bwt_slice){NULL, 0});
	do {
		const struct picture *picture = picture_at(salvaging, at, &next);

		judge(salvaging, picture, at, next);
		rc = emit_range(salvaging, picture, at, next);
		at = next;
	} while (rc == BWT_OK && at.data != NULL);
	return rc;
}

/* ---- all ---- */

static int salvage_trees(struct salvaging *salvaging)
{
	const struct salvage_calls *calls = salvaging->calls;
	int rc;

	salvaging->emit = emit_name;
	rc = salvage_tree(salvaging, TREE_ID_CATALOG, NULL, false);
	salvaging->emit = emit_pair;
	if (rc == BWT_OK)
		rc = calls->tree(calls->ctx, NULL);
	if (rc == BWT_OK)
		rc = salvage_tree(salvaging, TREE_ID_MAIN, NULL, false);
	for (size_t i = 0; i < salvaging->named_count && rc == BWT_OK; i++) {
		rc = calls->tree(calls->ctx, salvaging->named[i].name);
		if (rc == BWT_OK)
			rc = salvage_tree(salvaging, salvaging->named[i].id,
			                  salvaging->named[i].name, salvaging->named[i].created);
	}
	return rc;
}

static void conclude(struct salvaging *salvaging)
{
	struct bwt_slice none = {NULL, 0};
	struct salvaged *found = salvaging->found;

	found->log_from = salvaging->log.from;
	found->log_end = salvaging->log.end;
	found->suspicious = salvaging->scan.suspicious;
	found->exact = found->lost == 0 && found->older == 0 && !salvaging->log.cut_off &&
	               salvaging->log.end != UINT64_MAX;
	if (found->suspicious > 0)
		report(salvaging, BWT_NOTE, none,
		       none, "%" PRIu64 " stretches of the arena may have held blocks, the first is at offset %" PRIu64,
		       found->suspicious, salvaging->scan.first_suspicious);
	if (salvaging->log.cut_off)
		report(salvaging, BWT_DAMAGE, none, none,
		       "the log breaks off at LSN %" PRIu64 ": a later segment is missing",
		       found->log_end);
	if (salvaging->log.end == UINT64_MAX)
		report(salvaging, BWT_WARNING, none, none, "there is no log at all");
	else if (found->exact)
		report(salvaging, BWT_NOTE, none, none,
		       "exact: this is the store as of LSN %" PRIu64
		       "; the log holds every change since LSN %" PRIu64,
		       found->log_end, found->log_from);
}

int salvage(const struct store *files, const struct salvage_calls *calls, struct salvaged *found)
{
	struct salvaging salvaging = {.calls = calls, .found = found};
	struct vlog_config config = {.dir_fd = files->vlog_dir_fd, .readonly = true};
	int rc;

	memset(found, 0, sizeof *found);
	rc = salvage_read_log(&salvaging.log, files->wal_dir_fd);
	if (rc == BWT_OK)
		rc = salvage_scan(&salvaging.scan, files->arena_fd, salvaging.log.end, calls);
	config.store_id = salvaging.log.store_id;
	if (rc == BWT_OK)
		rc = vlog_open(&config, &salvaging.vlog);
	if (rc == BWT_OK) {
		salvaging.heap = malloc((salvaging.scan.picture_count + 1) * sizeof *salvaging.heap);
		rc = salvaging.heap == NULL ? error_set(-ENOMEM, "no memory for the pages found")
		                            : salvage_trees(&salvaging);
	}
	if (rc == BWT_OK)
		conclude(&salvaging);
	vlog_close(salvaging.vlog);
	salvage_scan_free(&salvaging.scan);
	salvage_log_free(&salvaging.log);
	free(salvaging.heap);
	free(salvaging.versions);
	free(salvaging.keys);
	free(salvaging.named);
	return rc;
}
