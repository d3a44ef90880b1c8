/* SPDX-License-Identifier: MIT */
/* dump_salvage.c - what salvage() finds, as a dump */
#include "tools/dump_salvage.h"

#include <stdio.h>

#include "recovery/salvage.h"
#include "recovery/store_files.h"
#include "tools/tool_print.h"
#include "tools/tool_text.h"

struct dumping {
	bool print;
	bool begun;
	struct tool_progress progress;
};

static int dump_tree(void *ctx, const char *name)
{
	struct dumping *dumping = ctx;

	if (dumping->begun)
		text_write_end(stdout);
	dumping->begun = true;
	text_write_head(stdout, name, dumping->print, 0);
	return BWT_OK;
}

static int dump_pair(void *ctx, struct bwt_slice key, struct bwt_slice value)
{
	const struct dumping *dumping = ctx;

	text_write(stdout, key, dumping->print);
	text_write(stdout, value, dumping->print);
	return BWT_OK;
}

static void print_bound(const char *word, struct bwt_slice key, const char *none)
{
	fprintf(stderr, " %s ", word);
	if (key.data != NULL)
		tool_key_print(stderr, key);
	else
		fputs(none, stderr);
}

static void print_report(void *ctx, const struct bwt_finding *finding)
{
	struct dumping *dumping = ctx;

	tool_progress_end(&dumping->progress);
	fprintf(stderr, "bwt-dump: %s", finding->text);
	if (finding->severity != BWT_NOTE &&
	    (finding->low_key.data != NULL || finding->high_key.data != NULL)) {
		print_bound("; keys from", finding->low_key, "the first");
		print_bound("to", finding->high_key, "the last");
	}
	fputc('\n', stderr);
}

static void show_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct dumping *dumping = ctx;

	tool_progress_show(&dumping->progress, phase, done, total);
}

int salvage_dump(const char *path, bool print, bool *whole)
{
	struct dumping dumping = {.print = print};
	struct salvage_calls calls = {dump_tree, dump_pair, print_report, show_progress, &dumping};
	struct recover_config config = {.path = path, .readonly = true};
	struct store files = {
		.dir_fd = -1, .wal_dir_fd = -1, .vlog_dir_fd = -1, .lock_fd = -1, .arena_fd = -1};
	struct salvaged found = {0};
	bool create;
	int rc;

	files.readonly = true;
	tool_progress_init(&dumping.progress, "bwt-dump");
	rc = store_files_open(&files, &config, &create);
	if (rc == BWT_OK)
		rc = salvage(&files, &calls, &found);
	store_files_close(&files);
	tool_progress_end(&dumping.progress);
	if (rc == BWT_OK && dumping.begun)
		text_write_end(stdout);
	*whole = rc == BWT_OK && found.exact;
	return rc;
}
