/* SPDX-License-Identifier: MIT */
/*
 * tool_print.h - what tools say: failures, notes of the library, progress bars, JSON
 *
 * Standard output carries results and nothing else; all of this but the JSON writer goes to
 * standard error.
 */
#ifndef BWT_TOOLS_TOOL_PRINT_H
#define BWT_TOOLS_TOOL_PRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "bwt.h"

/** A bar on standard error while it is a terminal; nothing where it is not. One thread's. */
struct tool_progress {
	const char *tool_name;
	uint64_t shown_ns; /* when it was drawn last */
	bool on;           /* standard error is a terminal */
	bool visible;      /* a bar stands on the last line */
	bool bytes;        /* set by the tool: its numbers are bytes, so their rate is shown */
	char phase[16];    /* of the bar, */
	uint64_t begun_ns; /* when that began, */
	uint64_t begun_at; /* and what was done then */
};

void tool_progress_init(struct tool_progress *progress, const char *tool_name);

/**
 * tool_progress_show - draw the bar, and how long it will take, at most ten times a second
 * @total:   0: unknown, then only @done is shown
 * @ctx:     a struct tool_progress: this has the shape of bwt_options.progress
 */
void tool_progress_show(void *ctx, const char *phase, uint64_t done, uint64_t total);

/** tool_progress_end - take the bar away; call before printing anything else */
void tool_progress_end(struct tool_progress *progress);

/** tool_log - bwt_options.log: warnings and worse go to standard error; @ctx as above */
void tool_log(void *ctx, int level, const char *text);

/**
 * tool_fail - say "NAME: STORE: what @rc means: bwt_detail()", and who holds a store that is busy
 * Returns:  the exit status: TOOL_EXIT_BUSY for BWT_BUSY, else TOOL_EXIT_FAILURE
 */
int tool_fail(const char *tool_name, const char *store, int rc);

/** tool_holder - process id of whoever has the store open, 0 when nobody or unknown */
pid_t tool_holder(const char *store);

/** tool_json_string - @text as a JSON string, quotes included; bytes that are not UTF-8 as U+FFFD */
void tool_json_string(FILE *file, const char *text);

/** tool_json_hex - bytes as a JSON string of hexadecimal digits; null when @bytes.data is NULL */
void tool_json_hex(FILE *file, struct bwt_slice bytes);

/** tool_key_print - a key for people, in quotes, other than printable ASCII as \xx, cut when long */
void tool_key_print(FILE *file, struct bwt_slice key);

/** Bytes that tool_human() needs at most. */
#define TOOL_HUMAN_SIZE 24

/** tool_human - "1.5 MiB"; returns @to */
const char *tool_human(char to[TOOL_HUMAN_SIZE], uint64_t bytes);

/** tool_close_output - true when everything written to standard output got there */
bool tool_close_output(const char *tool_name);

#endif
