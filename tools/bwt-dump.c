/* SPDX-License-Identifier: MIT */
/*
 * bwt-dump.c - all pairs of a store as text, or the inside of the store for people
 *
 * The store is opened read-only: what needs recovery is recovered in memory, and nothing is
 * written. The looks at the inside (dump_inside.c) that read files do not open the store at all,
 * so that they show one that cannot be opened.
 *
 * A large value that is damaged is left out, named on standard error, and makes the exit status 1.
 * Where the tree itself cannot be read on, the section ends without DATA=END, so that no program
 * takes it for whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"
#include "tools/dump_dot.h"
#include "tools/dump_inside.h"
#include "tools/dump_salvage.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"
#include "tools/tool_text.h"

#define PROGRESS_PAIRS 1024u

/*
 * mdb_load maps 1 MiB unless the dump says more, and stops when that is full. LMDB gives a value of
 * half a page a page of its own and fills the others to two thirds or so; address space costs it
 * nothing. db_load stops at the line mapsize=, so a small store does without it.
 */
#define MAPSIZE_DEFAULT ((uint64_t)1 << 20)
#define MAPSIZE_FACTOR 8u
#define OVERHEAD_BYTES ((uint64_t)192 << 10) /* live bytes of a store with next to nothing in it */

enum {
	OPTION_TREE = TOOL_LONG_ONLY + 1,
	OPTION_FOR,
	OPTION_PAGES,
	OPTION_PAGE,
	OPTION_WAL,
	OPTION_VLOG,
	OPTION_SUPER,
	OPTION_DOT,
	OPTION_SALVAGE,
};

static const struct tool_option dump_options[] = {
	{'p', "print", NULL, "text with \\xx for other bytes, not hexadecimal"},
	{OPTION_TREE, "tree", "NAME", "this tree alone (pairs and pages)"},
	{OPTION_FOR, "for", "PEER",
         "lmdb (as without it), or db: no line mapsize=, which db_load refuses"},
	{OPTION_PAGES, "pages", NULL, "show every page and the records on it"},
	{OPTION_PAGE, "page", "ID", "show one page, with values"},
	{OPTION_WAL, "wal", NULL, "show the write-ahead log"},
	{OPTION_VLOG, "vlog", NULL, "show the value log"},
	{OPTION_SUPER, "super", NULL, "show the superblocks"},
	{OPTION_DOT, "dot", NULL, "draw pages and chains, for Graphviz"},
	{OPTION_SALVAGE, "salvage", NULL,
         "write every pair that checks out, however damaged the store"},
	{0, NULL, NULL, NULL},
};

static const struct tool dump_tool = {
	.name = "bwt-dump",
	.purpose = "Writes all pairs of a store in the text format of Berkeley DB and LMDB, for\n"
		   "bwt-load, mdb_load and db_load; or shows the inside of the store. The store\n"
		   "may be damaged or in need of recovery; it is not changed.",
	.options = dump_options,
	.usage_status = TOOL_EXIT_USAGE,
};

struct dump {
	const char *store;
	const char *tree_name; /* --tree, or NULL */
	bool print;
	bool for_db;      /* Berkeley DB */
	int status;       /* exit status; not 0: something could not be read */
	uint64_t mapsize; /* for the first section, then 0 */
	uint64_t done;    /* pairs so far */
	uint64_t total;   /* keys of the store */
	struct bwt_db *db;
	struct tool_progress progress;
};

struct names {
	char **name; /* each allocated */
	size_t count, capacity;
};

static void complain(struct dump *dump, int rc)
{
	tool_progress_end(&dump->progress);
	dump->status = tool_fail(dump_tool.name, dump->store, rc);
}

/* The pair that @cursor stands on. BWT_OK also when its value is damaged: the next may be good. */
static int dump_pair(struct dump *dump, struct bwt_cursor *cursor)
{
	struct bwt_slice key, value;
	int rc = bwt_cursor_key(cursor, &key);

	if (rc != BWT_OK)
		return rc;
	rc = bwt_cursor_value(cursor, &value);
	if (rc == BWT_CORRUPT || rc == BWT_IO) {
		complain(dump, rc);
		fprintf(stderr, "%s: left out: the key ", dump_tool.name);
		tool_key_print(stderr, key);
		fputc('\n', stderr);
		return BWT_OK;
	}
	if (rc != BWT_OK)
		return rc;
	text_write(stdout, key, dump->print);
	text_write(stdout, value, dump->print);
	if (++dump->done % PROGRESS_PAIRS == 0)
		tool_progress_show(&dump->progress, "dumping", dump->done, dump->total);
	return BWT_OK;
}

static int dump_pairs(struct dump *dump, struct bwt_tree *tree)
{
	struct bwt_cursor *cursor;
	int rc = bwt_cursor_open(tree, NULL, &cursor);

	if (rc != BWT_OK)
		return rc;
	rc = bwt_cursor_seek(cursor, (struct bwt_slice){NULL, 0}, BWT_FIRST);
	while (rc == BWT_OK && !ferror(stdout)) {
		rc = dump_pair(dump, cursor);
		if (rc == BWT_OK)
			rc = bwt_cursor_next(cursor);
	}
	bwt_cursor_close(cursor);
	return rc == BWT_NOT_FOUND ? BWT_OK : rc;
}

/* The section of one tree; NULL: the main tree. */
static int dump_tree(struct dump *dump, const char *name)
{
	struct bwt_tree *tree;
	int rc = bwt_tree_open(dump->db, name, 0, &tree);

	if (rc != BWT_OK)
		return rc;
	text_write_head(stdout, name, dump->print, dump->mapsize);
	dump->mapsize = 0;
	rc = dump_pairs(dump, tree);
	if (rc == BWT_OK)
		text_write_end(stdout);
	return rc;
}

/* bwt_tree_list() callback: remember the name, in order. */
static int collect_name(void *ctx, const char *name)
{
	struct names *names = ctx;

	if (names->count == names->capacity) {
		size_t capacity = names->capacity == 0 ? 16 : 2 * names->capacity;
		char **grown = realloc(names->name, capacity * sizeof *grown);

		if (grown == NULL)
			return -ENOMEM;
		names->name = grown;
		names->capacity = capacity;
	}
	names->name[names->count] = strdup(name);
	if (names->name[names->count] == NULL)
		return -ENOMEM;
	names->count++;
	return BWT_OK;
}

static int dump_named_trees(struct dump *dump)
{
	struct names names = {NULL, 0, 0};
	int rc = bwt_tree_list(dump->db, collect_name, &names);

	for (size_t i = 0; rc == BWT_OK && i < names.count; i++)
		rc = dump_tree(dump, names.name[i]);
	for (size_t i = 0; i < names.count; i++)
		free(names.name[i]);
	free(names.name);
	return rc;
}

/* For the bar, and for mdb_load. */
static void look_at_size(struct dump *dump)
{
	struct bwt_stats stats;
	uint64_t data;

	if (bwt_stat(dump->db, &stats) != BWT_OK)
		return;
	dump->total = stats.key_count;
	data = stats.arena_live_bytes + stats.vlog_live_bytes;
	data = data > OVERHEAD_BYTES ? data - OVERHEAD_BYTES : 0;
	if (!dump->for_db && data * MAPSIZE_FACTOR > MAPSIZE_DEFAULT)
		dump->mapsize = (data * MAPSIZE_FACTOR | (MAPSIZE_DEFAULT - 1)) + 1;
}

static void dump_store(struct dump *dump)
{
	struct bwt_options options = {
		.flags = BWT_RDONLY | BWT_CATCH_SIGBUS,
		.log = tool_log,
		.progress = tool_progress_show,
		.ctx = &dump->progress,
	};
	int rc = bwt_open(dump->store, &options, &dump->db);

	tool_progress_end(&dump->progress);
	if (rc != BWT_OK) {
		complain(dump, rc);
		return;
	}
	look_at_size(dump);
	rc = dump_tree(dump, dump->tree_name);
	if (rc == BWT_OK && dump->tree_name == NULL)
		rc = dump_named_trees(dump);
	if (rc != BWT_OK)
		complain(dump, rc);
	tool_progress_end(&dump->progress);
	bwt_close(dump->db);
}

/* The look that --pages and so on ask for. */
static int show_inside(const struct dump *dump, int look, uint64_t page)
{
	switch (look) {
	case OPTION_SUPER:
		return inside_show_super(dump->store);
	case OPTION_WAL:
		return inside_show_wal(dump->store);
	case OPTION_VLOG:
		return inside_show_vlog(dump->store);
	case OPTION_PAGES:
		return inside_show_pages(dump->store, dump->tree_name);
	case OPTION_DOT:
		return inside_show_dot(dump->store, dump->tree_name);
	default:
		return inside_show_page(dump->store, page);
	}
}

int main(int argc, char **argv)
{
	struct dump dump = {0};
	const char *value;
	uint64_t page = 0;
	int letter, look = 0;

	while ((letter = tool_args_next(&dump_tool, argc, argv, &value)) != -1) {
		switch (letter) {
		case 'p':
			dump.print = true;
			break;
		case OPTION_TREE:
			dump.tree_name = value;
			break;
		case OPTION_FOR:
			if (strcmp(value, "db") != 0 && strcmp(value, "lmdb") != 0)
				tool_usage(&dump_tool, "--for is lmdb or db, not \"%s\"", value);
			dump.for_db = strcmp(value, "db") == 0;
			break;
		default:
			if (look != 0 && look != letter)
				tool_usage(&dump_tool, "one look at the inside at a time");
			look = letter;
			if (letter == OPTION_PAGE)
				page = tool_args_number(&dump_tool, "a page id", value, 1,
				                        UINT32_MAX);
			break;
		}
	}
	dump.store = tool_args_store(&dump_tool, argc, argv);
	tool_progress_init(&dump.progress, dump_tool.name);
	if (look == 0) {
		dump_store(&dump);
	} else if (look == OPTION_SALVAGE) {
		bool whole;
		int rc;

		if (dump.tree_name != NULL)
			tool_usage(&dump_tool, "--salvage writes all trees: no --tree");
		rc = salvage_dump(dump.store, dump.print, &whole);

		if (rc != BWT_OK)
			complain(&dump, rc);
		else if (!whole)
			dump.status = TOOL_EXIT_FAILURE;
	} else {
		int rc = show_inside(&dump, look, page);

		if (rc != BWT_OK)
			complain(&dump, rc);
	}
	return tool_close_output(dump_tool.name) ? dump.status : TOOL_EXIT_FAILURE;
}
