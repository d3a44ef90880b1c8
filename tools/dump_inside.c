/* SPDX-License-Identifier: MIT */
/*
 * dump_inside.c - superblocks, log, value log and pages as text
 *
 * The superblocks and both logs are read as files, without opening the store: they can be looked at
 * when nothing opens, and while somebody else has the store (what he writes meanwhile may look torn).
 * Pages need the mapping table, so the store is opened read-only for them.
 */
#include "tools/dump_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "db/db.h"
#include "log/vlog.h"
#include "log/wal_reader.h"
#include "mem/superblock.h"
#include "page/page_check.h"
#include "page/page_print.h"
#include "sys/file.h"

#define SUPERBLOCK_SLOTS 2u
#define KEY_LIMIT 64u

/* ---- superblocks ---- */

static void print_time(const char *label, uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000u);
	struct tm tm;
	char text[32];

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(text, sizeof text, "%" PRIu64 " ns", time_ns);
	printf("  %-16s %s\n", label, text);
}

static void print_super(unsigned slot, const struct superblock *super)
{
	printf("superblock %u at %#" PRIx64 "\n", slot, SUPERBLOCK_OFF(slot));
	printf("  %-16s %u.%u, features %#" PRIx64 "\n", "format", super->major, super->minor,
	       super->features);
	printf("  %-16s %016" PRIx64 "\n", "store id", super->store_id);
	printf("  %-16s %" PRIu64 "%s\n", "checkpoint", super->checkpoint,
	       super->clean == 1 ? ", closed clean" : "");
	printf("  %-16s %" PRIu64 "\n", "replay from LSN", super->start_lsn);
	printf("  %-16s %#" PRIx64 ", %" PRIu32 " bytes\n", "image root", super->root,
	       super->root_size);
	printf("  %-16s %" PRIu64 " bytes\n", "arena", super->arena_size);
	printf("  %-16s %" PRIu64 " bytes\n", "address space", super->max_size);
	print_time("created", super->created_ns);
	print_time("written", super->written_ns);
}

/*
 * Both slots, each printed if @print; the newest valid one to *@newest. Returns BWT_OK when there is
 * one, else what is wrong with the last.
 */
static int read_supers(int dir_fd, bool print, struct superblock *newest)
{
	struct superblock super;
	bool found = false;
	int fd, rc, failed = BWT_CORRUPT;

	rc = sys_file_open(dir_fd, "arena", SYS_RDONLY, &fd);
	if (rc < 0)
		return rc;
	for (unsigned slot = 0; slot < SUPERBLOCK_SLOTS; slot++) {
		rc = superblock_read(fd, slot, &super);
		if (rc < 0) {
			failed = rc;
			if (print)
				printf("superblock %u at %#" PRIx64 ": %s: %s\n", slot,
				       SUPERBLOCK_OFF(slot), bwt_strerror(rc), bwt_detail());
			continue;
		}
		if (print)
			print_super(slot, &super);
		if (!found || super.checkpoint > newest->checkpoint)
			*newest = super;
		found = true;
	}
	sys_file_close(fd);
	return found ? BWT_OK : failed;
}

int inside_show_super(const char *path)
{
	struct superblock newest;
	int dir_fd, rc;

	rc = sys_dir_open(path, &dir_fd);
	if (rc < 0)
		return rc;
	rc = read_supers(dir_fd, true, &newest);
	sys_file_close(dir_fd);
	return rc;
}

/* ---- the log ---- */

static int print_segment(void *ctx, const char *name, const struct wal_segment_head *head)
{
	(void)ctx;
	if (head == NULL) {
		printf("segment %s: damaged header\n", name);
		return BWT_OK;
	}
	printf("segment %s: seq %" PRIu64 ", LSN %" PRIu64 " to %" PRIu64
	       ", incarnation %08" PRIx32,
	       name, head->seq, head->start_lsn, head->start_lsn + head->capacity, head->incarnation);
	if (head->prev_incarnation != 0)
		printf(", after %08" PRIx32 " up to LSN %" PRIu64, head->prev_incarnation,
		       head->prev_end_lsn);
	putchar('\n');
	return BWT_OK;
}

static void print_op(struct bwt_slice payload)
{
	struct bytes_reader reader;
	const void *head, *key, *value;
	struct wal_op op;

	bytes_reader_init(&reader, payload.data, payload.size);
	head = bytes_take(&reader, sizeof op);
	if (head == NULL) {
		printf(" cut off\n");
		return;
	}
	memcpy(&op, head, sizeof op);
	key = bytes_take(&reader, op.key_size);
	value = bytes_take(&reader, op.value_size);
	if (reader.failed) {
		printf(" cut off\n");
		return;
	}
	printf(" %s tree %" PRIu32 " ", (op.flags & VERSION_TOMBSTONE) != 0 ? "delete" : "put",
	       op.tree);
	key_print(stdout, (struct bwt_slice){key, op.key_size}, KEY_LIMIT);
	if ((op.flags & VERSION_VLOG) != 0 && op.value_size == sizeof(struct value_ref)) {
		struct value_ref ref;

		memcpy(&ref, value, sizeof ref);
		printf(" value of %" PRIu32 " bytes at vlog %" PRIu32 " + %" PRIu64, ref.size,
		       ref.segment, ref.offset);
		if (ref.packed != 0)
			printf(" packed to %" PRIu32, ref.packed);
	} else if ((op.flags & VERSION_TOMBSTONE) == 0) {
		printf(" value of %" PRIu32 " bytes", op.value_size);
	}
	putchar('\n');
}

static void print_tree_change(const char *what, struct bwt_slice payload)
{
	const char *name = (const char *)payload.data + sizeof(uint32_t);
	size_t room;

	if (payload.size < sizeof(uint32_t)) {
		printf(" %s tree, cut off\n", what);
		return;
	}
	room = payload.size - sizeof(uint32_t);
	printf(" %s tree %" PRIu32 " ", what, get_u32(payload.data));
	key_print(stdout, (struct bwt_slice){name, strnlen(name, room)}, KEY_LIMIT);
	putchar('\n');
}

static void print_txn(const struct wal_record *record)
{
	struct wal_txn_commit commit;
	struct wal_txn_part part;
	struct wal_txn whole;

	if (record->type == WAL_TXN && record->payload.size >= sizeof whole) {
		memcpy(&whole, record->payload.data, sizeof whole);
		printf(" transaction of %" PRIu32 " operations\n", whole.count);
	} else if (record->type == WAL_TXN_PART && record->payload.size >= sizeof part) {
		memcpy(&part, record->payload.data, sizeof part);
		printf(" transaction %" PRIu64 ": %" PRIu32 " operations\n", part.txn, part.count);
	} else if (record->type == WAL_TXN_COMMIT && record->payload.size >= sizeof commit) {
		memcpy(&commit, record->payload.data, sizeof commit);
		printf(" transaction %" PRIu64 " commits: %" PRIu64 " operations in %" PRIu32
		       " parts from LSN %" PRIu64 "\n",
		       commit.txn, commit.count, commit.parts, commit.first_lsn);
	} else {
		printf(" transaction, cut off\n");
	}
}

static void print_record(const struct wal_record *record)
{
	printf("%" PRIu64 " to %" PRIu64 " [%08" PRIx32 "]", record->lsn, record->end_lsn,
	       record->incarnation);
	switch (record->type) {
	case WAL_OP:
		print_op(record->payload);
		break;
	case WAL_TREE_CREATE:
		print_tree_change("create", record->payload);
		break;
	case WAL_TREE_LOAD:
		print_tree_change("load", record->payload);
		break;
	case WAL_TREE_DROP:
		print_tree_change("drop", record->payload);
		break;
	case WAL_TXN:
	case WAL_TXN_PART:
	case WAL_TXN_COMMIT:
		print_txn(record);
		break;
	default:
		printf(" type %u, %zu bytes\n", record->type, record->payload.size);
		break;
	}
}

static int print_records(int wal_fd, const struct superblock *super)
{
	struct wal_reader *reader;
	struct wal_record record;
	uint64_t end_lsn, last_seq;
	uint32_t incarnation;
	int rc;

	rc = wal_reader_open(wal_fd, super->store_id, super->start_lsn, true, &reader);
	if (rc < 0)
		return rc;
	printf("records from LSN %" PRIu64 ", where checkpoint %" PRIu64 " was cut\n",
	       super->start_lsn, super->checkpoint);
	while ((rc = wal_reader_next(reader, &record)) == BWT_OK)
		print_record(&record);
	if (rc == BWT_NOT_FOUND) {
		wal_reader_end(reader, &end_lsn, &incarnation, &last_seq);
		printf("the log ends at LSN %" PRIu64 "\n", end_lsn);
		rc = BWT_OK;
	}
	wal_reader_close(reader);
	return rc;
}

int inside_show_wal(const char *path)
{
	struct superblock super;
	int dir_fd, wal_fd, rc;

	rc = sys_dir_open(path, &dir_fd);
	if (rc < 0)
		return rc;
	rc = sys_dir_open_at(dir_fd, "wal", &wal_fd);
	if (rc < 0)
		goto close_dir;
	rc = wal_segments_list(wal_fd, print_segment, NULL);
	if (rc == BWT_OK)
		rc = read_supers(dir_fd, false, &super);
	if (rc == BWT_OK)
		rc = print_records(wal_fd, &super);
	sys_file_close(wal_fd);
close_dir:
	sys_file_close(dir_fd);
	return rc;
}

/* ---- the value log ---- */

static int print_value(void *ctx, uint64_t offset, const struct vlog_record *record)
{
	(void)ctx;
	printf("  %" PRIu64 ": tree %" PRIu32 ", key hash %08" PRIx32 ", value %s %" PRIu32
	       " bytes, crc %08" PRIx32 "\n",
	       offset, record->tree, record->hash,
	       record->magic == VLOG_MAGIC_PACKED ? "packed to" : "of", record->size, record->crc);
	return BWT_OK;
}

static int print_vlog_file(void *ctx, uint64_t segment, uint64_t bytes)
{
	int rc;

	printf("file %016" PRIx64 ".vlog: %" PRIu64 " bytes\n", segment, bytes);
	rc = vlog_walk(ctx, segment, print_value, NULL);
	if (rc != BWT_CORRUPT)
		return rc;
	/* The next file may be good. */
	printf("  %s: %s\n", bwt_strerror(rc), bwt_detail());
	return BWT_OK;
}

int inside_show_vlog(const char *path)
{
	struct vlog_config config = {.readonly = true};
	struct superblock super;
	struct vlog *vlog;
	int dir_fd, rc;

	rc = sys_dir_open(path, &dir_fd);
	if (rc < 0)
		return rc;
	rc = read_supers(dir_fd, false, &super);
	if (rc < 0)
		goto close_dir;
	rc = sys_dir_open_at(dir_fd, "vlog", &config.dir_fd);
	if (rc < 0)
		goto close_dir;
	config.store_id = super.store_id;
	rc = vlog_open(&config, &vlog);
	if (rc == BWT_OK) {
		rc = vlog_list(vlog, print_vlog_file, vlog);
		vlog_close(vlog);
	}
	sys_file_close(config.dir_fd);
close_dir:
	sys_file_close(dir_fd);
	return rc;
}

/* ---- pages ---- */

static void say_recovery(void *ctx, int level, const char *text)
{
	(void)ctx;
	(void)level;
	fprintf(stderr, "bwt-dump: %s\n", text);
}

static int open_inside(const char *path, struct bwt_db **db)
{
	const struct bwt_options options = {
		.flags = BWT_RDONLY | BWT_CATCH_SIGBUS,
		.log = say_recovery,
	};

	return bwt_open(path, &options, db);
}

const char *inside_check_page(const struct store *store, page_id page, uint64_t word, arena_off *bad)
{
	*bad = 0;
	return page_check_chain(store->arena.base, arena_size(&store->arena), mapping_head(word),
	                        page, false, bad);
}

/* The page's chain if its records hold together, else what is wrong with it. */
static void print_page(const struct store *store, page_id page, uint64_t word, bool verbose)
{
	arena_off bad;
	const char *wrong = inside_check_page(store, page, word, &bad);

	printf("page %" PRIu64 ": chain of %u deltas at %#" PRIx64 "%s\n", page, mapping_chain(word),
	       mapping_head(word), mapping_frozen(word) ? ", frozen: it is being merged away" : "");
	if (wrong == NULL)
		page_print_chain(stdout, store->arena.base, mapping_head(word), verbose);
	else
		printf("  damaged at arena offset %#" PRIx64 ": %s\n", bad, wrong);
}

/* Tree of the page's newest record, 0 when that cannot be read. */
static uint32_t tree_of(const struct store *store, uint64_t word)
{
	arena_off head = mapping_head(word);

	if (head == 0 || head + sizeof(struct block_head) > arena_size(&store->arena))
		return 0;
	return tree_block(&store->env, head)->tree;
}

static int find_tree(const struct store *store, const char *name, uint32_t *id)
{
	for (const struct named_tree *tree = store->trees; tree != NULL; tree = tree->next) {
		if (tree->state == CATALOG_LIVE && tree->tree.id >= TREE_ID_FIRST &&
		    strcmp(tree->name, name) == 0) {
			*id = tree->tree.id;
			return BWT_OK;
		}
	}
	return error_set(BWT_NOT_FOUND, "no tree is named \"%s\"", name);
}

const char *inside_tree_title(const struct named_tree *tree)
{
	if (tree->tree.id == TREE_ID_CATALOG)
		return "the catalogue";
	return tree->tree.id == TREE_ID_MAIN ? "the main tree" : tree->name;
}

int inside_walk_pages(const char *path, const char *tree_name, const struct inside_walk *walk)
{
	const struct store *store;
	struct bwt_db *db;
	uint32_t only = 0;
	uint64_t end;
	int rc;

	rc = open_inside(path, &db);
	if (rc < 0)
		return rc;
	store = &db->store;
	if (tree_name != NULL)
		rc = find_tree(store, tree_name, &only);
	if (rc == BWT_OK) {
		walk->begin(store, only);
		end = atomic_load_explicit(&store->mapping.next_id, memory_order_relaxed);
		for (page_id page = 1; page < end; page++) {
			uint64_t word = mapping_load(&store->mapping, page);

			if (mapping_head(word) != 0 && (only == 0 || tree_of(store, word) == only))
				walk->page(store, page, word);
		}
	}
	bwt_close(db);
	return rc;
}

static void print_trees(const struct store *store, uint32_t only)
{
	(void)only;
	for (const struct named_tree *tree = store->trees; tree != NULL; tree = tree->next)
		printf("tree %" PRIu32 ": %s, root page %" PRIu64 ", %" PRIu64 " keys%s\n",
		       tree->tree.id, inside_tree_title(tree), tree->tree.root,
		       tree_keys(&tree->tree),
		       tree->state == CATALOG_DROPPING ? ", being dropped" : "");
}

static void print_page_briefly(const struct store *store, page_id page, uint64_t word)
{
	print_page(store, page, word, false);
}

int inside_show_pages(const char *path, const char *tree_name)
{
	static const struct inside_walk walk = {print_trees, print_page_briefly};

	return inside_walk_pages(path, tree_name, &walk);
}

int inside_show_page(const char *path, uint64_t page)
{
	const struct store *store;
	struct bwt_db *db;
	uint64_t word = 0;
	int rc;

	rc = open_inside(path, &db);
	if (rc < 0)
		return rc;
	store = &db->store;
	if (page < atomic_load_explicit(&store->mapping.next_id, memory_order_relaxed))
		word = mapping_load(&store->mapping, page);
	if (mapping_head(word) != 0)
		print_page(store, page, word, true);
	else
		rc = error_set(BWT_NOT_FOUND, "page %" PRIu64 " is not in use", page);
	bwt_close(db);
	return rc;
}
