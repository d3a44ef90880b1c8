/* SPDX-License-Identifier: MIT */
/*
 * bwt-load.c - put the pairs of a text dump into a store
 *
 * Three passes over the input, so that a refused one changes nothing:
 *
 *   check   parse everything; the store is not touched, and not created
 *   absent  only with -n: no key of the input may be there
 *   put     without waiting for the disk; one bwt_sync() at the end
 *
 * A section whose keys ascend, as those of most dumps do, and whose tree has a name and is not there yet, is loaded
 * (bwt_bulk_open()) instead of put pair by pair.
 *
 * An input that cannot be read twice (a pipe) is copied to a temporary file first. What can still
 * go wrong in the last pass is the system (no space, an I/O error) and, with -n, a key that the
 * input has twice. With -n everything put so far is then taken back: all of it was absent before.
 * Without -n the values that were overwritten are gone, so what was put stays, and is counted out.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "bwt.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"
#include "tools/tool_text.h"

#define COPY_SIZE ((size_t)1 << 20)
#define PROGRESS_PAIRS 256u
#define SECTIONS_MAX 4096u /* whose order is remembered; what comes behind is put pair by pair */

static const struct tool_option load_options[] = {
	{'T', "text", NULL, "plain lines instead of a dump: key, value, key, value, ..."},
	{'n', "no-overwrite", NULL, "refuse the input if one of its keys is in the store"},
	{'f', "file", "FILE", "read FILE, not standard input"},
	{TOOL_LONG_ONLY + 't', "tree", "NAME", "into this tree, whatever the dump says"},
	{0, NULL, NULL, NULL},
};

static const struct tool load_tool = {
	.name = "bwt-load",
	.purpose = "Reads a text dump (of bwt-dump, mdb_dump or db_dump) into a store, which is\n"
		   "created if it is not there. All or nothing: bad input changes nothing.",
	.options = load_options,
	.usage_status = TOOL_EXIT_USAGE,
};

struct new_tree { /* a tree that was not there before */
	struct new_tree *next;
	char name[BWT_TREE_NAME_MAX + 1];
};

struct load {
	const char *store;
	const char *tree_name; /* --tree, or NULL */
	const char *input_name;
	bool plain, no_overwrite;
	FILE *input;
	off_t start;    /* of the dump in @input */
	off_t end;      /* for the bar */
	uint64_t pairs; /* in the input, known after the check */
	uint64_t put;   /* pairs put so far */
	unsigned sections;
	bool unsorted[SECTIONS_MAX]; /* known after the check */
	unsigned section;            /* in the pass that puts: number of the next one */
	char *last;                  /* in the check: the key before */
	size_t last_size;
	bool first;            /* there is none */
	struct bwt_bulk *bulk; /* the section goes into it; NULL: into tree */
	uint64_t in_bulk;      /* pairs of it */
	struct bwt_db *db;
	struct bwt_tree *tree;    /* of the section that a pass is in; NULL: it is not there */
	struct new_tree *created; /* newest first */
	struct tool_progress progress;
};

/* What a pass does with each section and pair; false: it failed and said so. */
struct pass {
	const char *phase;
	bool (*section)(struct load *load, const struct text_reader *reader);
	bool (*pair)(struct load *load, const struct text_reader *reader, struct bwt_slice key,
	             struct bwt_slice value);
};

static void say(struct load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct load *load, const char *format, ...)
{
	va_list args;

	tool_progress_end(&load->progress);
	fprintf(stderr, "%s: ", load_tool.name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int fail(struct load *load, int rc)
{
	tool_progress_end(&load->progress);
	return tool_fail(load_tool.name, load->store, rc);
}

/* Which tree a section goes to; NULL: the main one. */
static const char *target(const struct load *load, const struct text_reader *reader)
{
	if (load->tree_name != NULL)
		return load->tree_name;
	return reader->database[0] != '\0' ? reader->database : NULL;
}

static bool run_pass(struct load *load, const struct pass *pass)
{
	struct text_reader reader;
	struct bwt_slice key, value;
	enum text_answer answer;
	uint64_t count = 0;
	bool good = true;

	if (fseeko(load->input, load->start, SEEK_SET) != 0) {
		say(load, "%s: %s", load->input_name, strerror(errno));
		return false;
	}
	text_reader_init(&reader, load->input, load->plain);
	while (good && (answer = text_section(&reader)) == TEXT_MORE) {
		good = pass->section(load, &reader);
		while (good && (answer = text_pair(&reader, &key, &value)) == TEXT_MORE) {
			good = pass->pair(load, &reader, key, value);
			if (++count % PROGRESS_PAIRS == 0)
				tool_progress_show(&load->progress, pass->phase,
				                   (uint64_t)(ftello(load->input) - load->start),
				                   (uint64_t)(load->end - load->start));
		}
		if (good && answer == TEXT_ERROR)
			break;
	}
	if (good && answer == TEXT_ERROR) {
		say(load, "%s: %s", load->input_name, reader.error);
		good = false;
	}
	text_reader_deinit(&reader);
	tool_progress_end(&load->progress);
	return good;
}

/* ---- check ---- */

static bool check_section(struct load *load, const struct text_reader *reader)
{
	if (++load->sections > 1 && load->tree_name != NULL) {
		say(load, "%s: line %" PRIu64 ": a dump of several trees cannot go into one (--tree)",
		    load->input_name, reader->line_no);
		return false;
	}
	load->first = true;
	return true;
}

/* A key that is longer than any may be will be refused anyhow. */
static bool follows(struct load *load, struct bwt_slice key)
{
	size_t common = key.size < load->last_size ? key.size : load->last_size;
	int order = load->first || common == 0 ? 0 : memcmp(load->last, key.data, common);
	bool ascends = load->first || order < 0 || (order == 0 && load->last_size < key.size);

	if (key.size > BWT_KEY_MAX)
		return false;
	if (key.size > 0)
		memcpy(load->last, key.data, key.size);
	load->last_size = key.size;
	load->first = false;
	return ascends;
}

static bool check_pair(struct load *load, const struct text_reader *reader, struct bwt_slice key,
                       struct bwt_slice value)
{
	(void)reader;
	(void)value;
	load->pairs++;
	if (load->sections <= SECTIONS_MAX && !follows(load, key))
		load->unsorted[load->sections - 1] = true;
	return true;
}

static const struct pass check_pass = {"checking", check_section, check_pair};

/* ---- absent ---- */

static bool absent_section(struct load *load, const struct text_reader *reader)
{
	int rc = bwt_tree_open(load->db, target(load, reader), 0, &load->tree);

	if (rc == BWT_NOT_FOUND)
		load->tree = NULL;
	else if (rc != BWT_OK)
		fail(load, rc);
	return rc == BWT_OK || rc == BWT_NOT_FOUND;
}

static void say_existing(struct load *load, const struct text_reader *reader, struct bwt_slice key)
{
	tool_progress_end(&load->progress);
	fprintf(stderr, "%s: %s: line %" PRIu64 ": the key is there already: ", load_tool.name,
	        load->input_name, reader->line_no - 1);
	tool_key_print(stderr, key);
	fputc('\n', stderr);
}

static bool absent_pair(struct load *load, const struct text_reader *reader, struct bwt_slice key,
                        struct bwt_slice value)
{
	int rc = load->tree == NULL ? BWT_NOT_FOUND : bwt_get(load->tree, NULL, key, NULL);

	(void)value;
	if (rc == BWT_OK)
		say_existing(load, reader, key);
	else if (rc != BWT_NOT_FOUND)
		fail(load, rc);
	return rc == BWT_NOT_FOUND;
}

static const struct pass absent_pass = {"looking for keys", absent_section, absent_pair};

/* ---- put ---- */

/* The section is complete: its tree is there now. */
static bool finish_bulk(struct load *load)
{
	int rc = load->bulk == NULL ? BWT_OK : bwt_bulk_finish(load->bulk, NULL);

	if (rc != BWT_OK) {
		fail(load, rc);
		return false;
	}
	load->bulk = NULL;
	load->put += load->in_bulk;
	load->in_bulk = 0;
	return true;
}

/* The tree of section @number, which is not there; noted, so that it can be taken back. */
static int make_tree(struct load *load, const char *name, unsigned number)
{
	struct new_tree *created = calloc(1, sizeof *created);

	if (created == NULL)
		return -ENOMEM;
	snprintf(created->name, sizeof created->name, "%s", name);
	created->next = load->created;
	load->created = created;
	if (number < SECTIONS_MAX && !load->unsorted[number])
		return bwt_bulk_open(load->db, name, 0, &load->bulk);
	return bwt_tree_open(load->db, name, BWT_CREATE, &load->tree);
}

static bool put_section(struct load *load, const struct text_reader *reader)
{
	const char *name = target(load, reader);
	unsigned number = load->section++;
	int rc;

	if (!finish_bulk(load))
		return false;
	rc = bwt_tree_open(load->db, name, 0, &load->tree);
	if (rc == BWT_NOT_FOUND)
		rc = make_tree(load, name, number);
	if (rc != BWT_OK)
		fail(load, rc);
	return rc == BWT_OK;
}

static bool put_pair(struct load *load, const struct text_reader *reader, struct bwt_slice key,
                     struct bwt_slice value)
{
	int rc = load->bulk != NULL
	                 ? bwt_bulk_put(load->bulk, key, value)
	                 : bwt_put(load->tree, NULL, key, value, load->no_overwrite ? BWT_INSERT : 0);

	if (rc == BWT_OK && load->bulk != NULL) {
		load->in_bulk++;
		return true;
	}
	if (rc == BWT_EXISTS)
		say_existing(load, reader, key);
	else if (rc != BWT_OK)
		fail(load, rc);
	else
		load->put++;
	return rc == BWT_OK;
}

static const struct pass put_pass = {"loading", put_section, put_pair};

/* ---- taking back, with -n ---- */

static bool take_back_pair(struct load *load, const struct text_reader *reader,
                           struct bwt_slice key, struct bwt_slice value)
{
	int rc;

	(void)reader;
	(void)value;
	if (load->put == 0)
		return false; /* the rest was never put */
	load->put--;
	rc = load->tree == NULL ? BWT_OK : bwt_delete(load->tree, NULL, key);
	if (rc != BWT_OK)
		fail(load, rc);
	return rc == BWT_OK;
}

static const struct pass take_back_pass = {"taking back", absent_section, take_back_pair};

static void take_back(struct load *load)
{
	run_pass(load, &take_back_pass);
	for (struct new_tree *tree = load->created; tree != NULL; tree = tree->next) {
		int rc = bwt_tree_drop(load->db, tree->name);

		if (rc != BWT_OK && rc != BWT_NOT_FOUND)
			fail(load, rc);
	}
}

/* ---- the whole ---- */

/* An empty file without a name, for reading and writing; NULL: errno says why. */
static FILE *temporary_file(void)
{
	const char *folder = getenv("TMPDIR");
	char name[4096];
	int fd;

	snprintf(name, sizeof name, "%s/bwt-load-XXXXXX",
	         folder != NULL && folder[0] != '\0' ? folder : "/var/tmp");
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return NULL;
	unlink(name);
	return fdopen(fd, "w+");
}

/* A file that can be read again from load->start on. */
static bool prepare_input(struct load *load)
{
	FILE *copy;
	char *block;
	size_t got;

	load->start = ftello(load->input);
	if (load->start >= 0 && fseeko(load->input, 0, SEEK_END) == 0) {
		load->end = ftello(load->input);
		return true;
	}
	load->start = 0;
	copy = temporary_file();
	block = malloc(COPY_SIZE);
	if (copy == NULL || block == NULL) {
		say(load, "no temporary file for the input: %s", strerror(errno));
		free(block);
		return false;
	}
	while ((got = fread(block, 1, COPY_SIZE, load->input)) > 0) {
		if (fwrite(block, 1, got, copy) != got)
			break;
		load->end += (off_t)got;
		tool_progress_show(&load->progress, "bytes read", (uint64_t)load->end, 0);
	}
	free(block);
	tool_progress_end(&load->progress);
	if (ferror(load->input) || ferror(copy) || fflush(copy) != 0) {
		say(load, "%s: cannot copy the input: %s", load->input_name, strerror(errno));
		fclose(copy);
		return false;
	}
	load->input = copy;
	return true;
}

static bool put_all(struct load *load)
{
	int rc;

	if (load->no_overwrite && !run_pass(load, &absent_pass))
		return false;
	if (!run_pass(load, &put_pass) || !finish_bulk(load)) {
		bwt_bulk_abort(load->bulk);
		if (load->no_overwrite)
			take_back(load);
		else if (load->put > 0)
			say(load, "the first %" PRIu64 " of %" PRIu64 " pairs are in the store",
			    load->put, load->pairs);
		return false;
	}
	rc = bwt_sync(load->db);
	if (rc != BWT_OK)
		fail(load, rc);
	return rc == BWT_OK;
}

static void free_created(struct load *load)
{
	while (load->created != NULL) {
		struct new_tree *next = load->created->next;

		free(load->created);
		load->created = next;
	}
}

static int load_store(struct load *load)
{
	struct bwt_options options = {
		.flags = BWT_CREATE | BWT_CATCH_SIGBUS,
		.durability = BWT_NONE,
		.log = tool_log,
		.progress = tool_progress_show,
		.ctx = &load->progress,
	};
	bool good;
	int rc;

	load->last = malloc(BWT_KEY_MAX);
	if (load->last == NULL)
		return fail(load, -ENOMEM);
	good = prepare_input(load) && run_pass(load, &check_pass);
	free(load->last);
	if (!good)
		return TOOL_EXIT_FAILURE;
	rc = bwt_open(load->store, &options, &load->db);
	tool_progress_end(&load->progress);
	if (rc != BWT_OK)
		return fail(load, rc);
	good = put_all(load);
	free_created(load);
	rc = bwt_close(load->db);
	tool_progress_end(&load->progress);
	if (rc != BWT_OK)
		return fail(load, rc);
	return good ? EXIT_SUCCESS : TOOL_EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct load load = {.input = stdin, .input_name = "standard input"};
	const char *value, *file = NULL;
	int letter;

	while ((letter = tool_args_next(&load_tool, argc, argv, &value)) != -1) {
		switch (letter) {
		case 'T':
			load.plain = true;
			break;
		case 'n':
			load.no_overwrite = true;
			break;
		case 'f':
			file = value;
			break;
		default:
			load.tree_name = value;
			break;
		}
	}
	if (load.tree_name != NULL &&
	    (load.tree_name[0] == '\0' || strlen(load.tree_name) > BWT_TREE_NAME_MAX))
		tool_usage(&load_tool, "a name of a tree has 1 to %u bytes", BWT_TREE_NAME_MAX);
	load.store = tool_args_store(&load_tool, argc, argv);
	tool_progress_init(&load.progress, load_tool.name);
	load.progress.bytes = true;
	if (file != NULL) {
		load.input_name = file;
		load.input = fopen(file, "re");
		if (load.input == NULL) {
			say(&load, "%s: %s", file, strerror(errno));
			return TOOL_EXIT_FAILURE;
		}
	}
	return load_store(&load);
}
