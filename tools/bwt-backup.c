/* SPDX-License-Identifier: MIT */
/*
 * bwt-backup.c - copy a store that no process has open
 *
 * A store belongs to the process that has it open, which copies it by bwt_backup() itself while it goes on
 * (man/examples/backup.c); this tool is for the hours between. One that needs recovery is recovered first.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bwt.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"

static const struct tool_option backup_options[] = {
	{'c', "check", NULL, "read the copy from end to end afterwards, as bwt-fsck does"},
	{'r', "rate", "MIB", "copy at most MIB MiB a second"},
	{0, NULL, NULL, NULL},
};

static const struct tool backup_tool = {
	.name = "bwt-backup",
	.purpose = "Copies a store to a folder that is absent, empty, or an unfinished backup.\n"
		   "The copy is a store of its own; to restore it, use it, or copy it back.",
	.options = backup_options,
	.usage_status = TOOL_EXIT_USAGE,
	.second = "COPY",
};

struct backup {
	const char *store, *copy;
	unsigned damages;
	uint64_t rate;     /* bytes a second at most, 0: as fast as it goes */
	uint64_t begun_ns; /* when copying did */
	struct tool_progress progress;
};

static int fail(struct backup *backup, const char *what, int rc)
{
	tool_progress_end(&backup->progress);
	return tool_fail(backup_tool.name, what, rc);
}

/* bwt_verify() callback. */
static void report(void *ctx, const struct bwt_finding *finding)
{
	struct backup *backup = ctx;

	if (finding->severity == BWT_NOTE)
		return;
	backup->damages++;
	tool_progress_end(&backup->progress);
	fprintf(stderr, "%s: %s/%s: offset %llu: %s\n", backup_tool.name, backup->copy,
	        finding->file, (unsigned long long)finding->offset, finding->text);
}

static int check(struct backup *backup)
{
	int rc = bwt_verify(backup->copy, 0, report, backup);

	if (rc != BWT_OK)
		return fail(backup, backup->copy, rc);
	return backup->damages == 0 ? EXIT_SUCCESS : TOOL_EXIT_FAILURE;
}

/* bwt_options.progress: the library copies on when it returns, so it returns when the next piece is due. */
static void pace(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct backup *backup = ctx;
	struct timespec due;
	uint64_t due_ns;

	tool_progress_show(&backup->progress, phase, done, total);
	if (backup->rate == 0 || strcmp(phase, "backup") != 0)
		return;
	due_ns = backup->begun_ns + (uint64_t)((double)done / (double)backup->rate * 1e9);
	due = (struct timespec){(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void say(void *ctx, int level, const char *text)
{
	struct backup *backup = ctx;

	tool_log(&backup->progress, level, text);
}

static int copy(struct backup *backup)
{
	const struct bwt_options options = {
		.flags = BWT_CATCH_SIGBUS,
		.log = say,
		.progress = pace,
		.ctx = backup,
	};
	struct timespec now;
	struct bwt_db *db;
	int rc, status;

	rc = bwt_open(backup->store, &options, &db);
	if (rc != BWT_OK)
		return fail(backup, backup->store, rc);
	clock_gettime(CLOCK_MONOTONIC, &now);
	backup->begun_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	rc = bwt_backup(db, backup->copy);
	status = rc == BWT_OK ? EXIT_SUCCESS : fail(backup, backup->copy, rc);
	tool_progress_end(&backup->progress);
	rc = bwt_close(db);
	if (rc != BWT_OK && status == EXIT_SUCCESS)
		status = fail(backup, backup->store, rc);
	return status;
}

int main(int argc, char **argv)
{
	struct backup backup = {0};
	bool checked = false;
	const char *value;
	int letter, status;

	while ((letter = tool_args_next(&backup_tool, argc, argv, &value)) != -1) {
		if (letter == 'r')
			backup.rate = tool_args_number(&backup_tool, "--rate", value, 1, 1u << 20)
			              << 20;
		else
			checked = true;
	}
	backup.store = tool_args_store(&backup_tool, argc, argv);
	backup.copy = tool_args_second(argv);
	tool_progress_init(&backup.progress, backup_tool.name);
	backup.progress.bytes = true;
	status = copy(&backup);
	if (status == EXIT_SUCCESS && checked)
		status = check(&backup);
	return tool_close_output(backup_tool.name) ? status : TOOL_EXIT_FAILURE;
}
