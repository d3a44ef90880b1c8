/* SPDX-License-Identifier: MIT */
/*
 * bwt-fsck.c - check a store and say what is wrong with it
 *
 * Reads only. Exit statuses are those of fsck(8), of which these occur:
 *
 *   0   nothing is wrong (a store that only needs recovery included)
 *   4   something is: every finding was printed
 *   8   the check could not be made: the store is open elsewhere, or cannot be read
 *   16  wrong usage
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bwt.h"
#include "tools/fsck_check.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"

enum {
	EXIT_CLEAN = 0,
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
	{OPTION_REPAIR, "repair", NULL, "not in this version: answered as wrong usage"},
	{OPTION_REBUILD, "rebuild", NULL, "not in this version: answered as wrong usage"},
	{0, NULL, NULL, NULL},
};

static const struct tool fsck_tool = {
	.name = "bwt-fsck",
	.purpose = "Checks every part of a store and reports what is wrong. Changes nothing.\n"
		   "Exit status: 0 clean, 4 errors found, 8 could not check, 16 wrong usage.",
	.options = fsck_options,
	.usage_status = EXIT_WRONG_USAGE,
};

struct fsck {
	const char *store;
	bool json;
	uint64_t findings[3]; /* by severity */
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
	bool first = fsck->findings[0] + fsck->findings[1] + fsck->findings[2] == 0;

	tool_progress_end(&fsck->progress);
	if (fsck->json)
		print_json(finding, first);
	else
		print_text(finding);
	fsck->findings[finding->severity >= 0 && finding->severity <= 2 ? finding->severity : 2]++;
}

static void show_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct fsck *fsck = ctx;

	tool_progress_show(&fsck->progress, phase, done, total);
}

/* The last words on standard output, and the exit status. */
static int conclude(const struct fsck *fsck, int rc)
{
	int status = rc == BWT_OK        ? EXIT_CLEAN
	             : rc == BWT_CORRUPT ? EXIT_ERRORS_LEFT
	                                 : EXIT_OPERATIONAL;

	if (fsck->json) {
		printf("%s], \"status\": %d, \"code\": %d, \"result\": ",
		       fsck->findings[0] + fsck->findings[1] + fsck->findings[2] != 0 ? "\n" : "",
		       status, rc);
		tool_json_string(stdout, rc == BWT_OK ? "clean" : bwt_strerror(rc));
		fputs("}\n", stdout);
	} else if (status == EXIT_CLEAN) {
		printf("%s: clean\n", fsck->store);
	} else if (status == EXIT_ERRORS_LEFT) {
		printf("%s: %" PRIu64 " findings of damage, %" PRIu64 " warnings\n", fsck->store,
		       fsck->findings[BWT_DAMAGE], fsck->findings[BWT_WARNING]);
	}
	return status;
}

static int check(struct fsck *fsck)
{
	int rc;

	if (fsck->json) {
		fputs("{\"store\": ", stdout);
		tool_json_string(stdout, fsck->store);
		fputs(", \"findings\": [", stdout);
	}
	rc = fsck_check(fsck->store, show_progress, report, fsck);
	tool_progress_end(&fsck->progress);
	if (rc != BWT_OK && rc != BWT_CORRUPT)
		tool_fail(fsck_tool.name, fsck->store, rc);
	return conclude(fsck, rc);
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
			tool_usage(&fsck_tool, "--%s is not in version %s: this tool only checks",
			           letter == OPTION_REPAIR ? "repair" : "rebuild", bwt_version());
		}
	}
	fsck.store = tool_args_store(&fsck_tool, argc, argv);
	tool_progress_init(&fsck.progress, fsck_tool.name);
	status = check(&fsck);
	return tool_close_output(fsck_tool.name) ? status : EXIT_OPERATIONAL;
}
