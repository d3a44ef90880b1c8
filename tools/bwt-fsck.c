/* SPDX-License-Identifier: MIT */
/*
 * bwt-fsck.c - check a store, say what is wrong with it, and mend it if asked
 *
 * Without --repair and --rebuild it reads only. With one of them it checks, mends if it found anything,
 * and checks again. Exit statuses are those of fsck(8), of which these occur:
 *
 *   0   nothing is wrong (a store that only needs recovery included)
 *   1   something was, and is not any more
 *   4   something is: every finding was printed
 *   8   the check could not be made: the store is open elsewhere, or cannot be read
 *   16  wrong usage
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"
#include "tools/fsck_check.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"

enum {
	EXIT_CLEAN = 0,
	EXIT_CORRECTED = 1,
	EXIT_ERRORS_LEFT = 4,
	EXIT_OPERATIONAL = 8,
	EXIT_WRONG_USAGE = 16,
};

enum {
	OPTION_REPAIR = TOOL_LONG_ONLY + 1,
	OPTION_REBUILD,
	OPTION_JSON,
};

static const struct tool_option fsck_options[] = {
	{OPTION_JSON, "json", NULL, "one JSON object on standard output"},
	{OPTION_REPAIR, "repair", NULL, "mend what can be mended in place"},
	{OPTION_REBUILD, "rebuild", NULL, "make a new store of everything that checks out"},
	{0, NULL, NULL, NULL},
};

static const struct tool fsck_tool = {
	.name = "bwt-fsck",
	.purpose =
		"Checks every part of a store and reports what is wrong. Changes nothing, unless\n"
		"asked to repair; then it says each action first, and keeps what it takes away\n"
		"in the store's folder lost+found.\n"
		"Exit status: 0 clean, 1 corrected, 4 errors left, 8 could not check, 16 usage.",
	.options = fsck_options,
	.usage_status = EXIT_WRONG_USAGE,
};

struct fsck {
	const char *store;
	bool json;
	int mode;             /* 0, OPTION_REPAIR or OPTION_REBUILD */
	uint64_t findings[3]; /* by severity, of the last check */
	uint64_t printed;     /* elements of the JSON array at hand */
	struct tool_progress progress;
};

static const char *severity_name(int severity)
{
	switch (severity) {
	case BWT_NOTE:
		return "note";
	case BWT_WARNING:
		return "warning";
	default:
		return "damage";
	}
}

static void print_json(const struct bwt_finding *finding, bool first)
{
	printf("%s\n  {\"severity\": \"%s\", \"file\": ", first ? "" : ",",
	       severity_name(finding->severity));
	if (finding->file != NULL && finding->file[0] != '\0')
		tool_json_string(stdout, finding->file);
	else
		fputs("null", stdout);
	printf(", \"offset\": %" PRIu64 ", \"page\": %" PRIu64 ", \"low_key_hex\": ", finding->offset,
	       finding->page);
	tool_json_hex(stdout, finding->low_key);
	fputs(", \"high_key_hex\": ", stdout);
	tool_json_hex(stdout, finding->high_key);
	fputs(", \"text\": ", stdout);
	tool_json_string(stdout, finding->text != NULL ? finding->text : "");
	putchar('}');
}

static void print_text(const struct bwt_finding *finding)
{
	printf("%s: ", severity_name(finding->severity));
	if (finding->file != NULL && finding->file[0] != '\0')
		printf("%s, offset %" PRIu64 ": ", finding->file, finding->offset);
	if (finding->page != 0)
		printf("page %" PRIu64 ": ", finding->page);
	fputs(finding->text != NULL ? finding->text : "", stdout);
	if (finding->low_key.data != NULL || finding->high_key.data != NULL) {
		fputs("; keys from ", stdout);
		if (finding->low_key.data != NULL)
			tool_key_print(stdout, finding->low_key);
		else
			fputs("the first", stdout);
		fputs(" to ", stdout);
		if (finding->high_key.data != NULL)
			tool_key_print(stdout, finding->high_key);
		else
			fputs("the last", stdout);
	}
	putchar('\n');
}

static void report(void *ctx, const struct bwt_finding *finding)
{
	struct fsck *fsck = ctx;

	tool_progress_end(&fsck->progress);
	if (fsck->json)
		print_json(finding, fsck->printed++ == 0);
	else
		print_text(finding);
	fsck->findings[finding->severity >= 0 && finding->severity <= 2 ? finding->severity : 2]++;
}

static void show_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct fsck *fsck = ctx;

	tool_progress_show(&fsck->progress, phase, done, total);
}

/* An action, before it is done: it must be seen even if what follows never comes back. */
static void say_action(void *ctx, const char *action)
{
	struct fsck *fsck = ctx;

	tool_progress_end(&fsck->progress);
	if (fsck->json) {
		fputs(fsck->printed++ == 0 ? "\n  " : ",\n  ", stdout);
		tool_json_string(stdout, action);
	} else {
		printf("action: %s\n", action);
	}
	fflush(stdout);
}

static void begin_array(struct fsck *fsck, const char *name)
{
	fsck->printed = 0;
	if (fsck->json)
		printf(", \"%s\": [", name);
}

static void end_array(const struct fsck *fsck)
{
	if (fsck->json)
		fputs(fsck->printed != 0 ? "\n]" : "]", stdout);
}

/* The last words on standard output. */
static void conclude(const struct fsck *fsck, int status, int rc)
{
	if (fsck->json) {
		printf(", \"status\": %d, \"code\": %d, \"result\": ", status, rc);
		tool_json_string(stdout, rc == BWT_OK ? "clean" : bwt_strerror(rc));
		fputs("}\n", stdout);
	} else if (status == EXIT_CLEAN) {
		printf("%s: clean\n", fsck->store);
	} else if (status == EXIT_CORRECTED) {
		printf("%s: corrected, clean now\n", fsck->store);
	} else if (status == EXIT_ERRORS_LEFT) {
		printf("%s: %" PRIu64 " findings of damage, %" PRIu64 " warnings\n", fsck->store,
		       fsck->findings[BWT_DAMAGE], fsck->findings[BWT_WARNING]);
	}
}

static int check(struct fsck *fsck, const char *name)
{
	int rc;

	memset(fsck->findings, 0, sizeof fsck->findings);
	begin_array(fsck, name);
	rc = fsck_check(fsck->store, show_progress, report, fsck);
	tool_progress_end(&fsck->progress);
	end_array(fsck);
	return rc;
}

/* Mend, and check again. The status; *rc: of the last check. */
static int mend(struct fsck *fsck, int *rc)
{
	const struct fsck_calls calls = {show_progress, say_action, report, fsck};
	int mended;

	begin_array(fsck, "actions");
	mended = fsck->mode == OPTION_REPAIR ? fsck_repair(fsck->store, &calls)
	                                     : fsck_rebuild(fsck->store, &calls);
	tool_progress_end(&fsck->progress);
	end_array(fsck);
	if (mended != BWT_OK)
		tool_fail(fsck_tool.name, fsck->store, mended);
	*rc = check(fsck, "left");
	return *rc == BWT_OK ? EXIT_CORRECTED : EXIT_ERRORS_LEFT;
}

static int run(struct fsck *fsck)
{
	int rc, status;

	if (fsck->json) {
		fputs("{\"store\": ", stdout);
		tool_json_string(stdout, fsck->store);
	}
	if (fsck->mode == OPTION_REBUILD && fsck_rebuild_unfinished(fsck->store)) {
		begin_array(fsck, "findings");
		end_array(fsck);
		rc = BWT_CORRUPT; /* there is no store to check until it is finished */
	} else {
		rc = check(fsck, "findings");
	}
	status = rc == BWT_OK        ? EXIT_CLEAN
	         : rc == BWT_CORRUPT ? EXIT_ERRORS_LEFT
	                             : EXIT_OPERATIONAL;
	if (status == EXIT_OPERATIONAL)
		tool_fail(fsck_tool.name, fsck->store, rc);
	if (status == EXIT_ERRORS_LEFT && fsck->mode != 0)
		status = mend(fsck, &rc);
	conclude(fsck, status, rc);
	return status;
}

int main(int argc, char **argv)
{
	struct fsck fsck = {0};
	const char *value;
	int letter, status;

	while ((letter = tool_args_next(&fsck_tool, argc, argv, &value)) != -1) {
		switch (letter) {
		case OPTION_JSON:
			fsck.json = true;
			break;
		default:
			if (fsck.mode != 0 && fsck.mode != letter)
				tool_usage(&fsck_tool, "either --repair or --rebuild");
			fsck.mode = letter;
			break;
		}
	}
	fsck.store = tool_args_store(&fsck_tool, argc, argv);
	tool_progress_init(&fsck.progress, fsck_tool.name);
	status = run(&fsck);
	return tool_close_output(fsck_tool.name) ? status : EXIT_OPERATIONAL;
}
