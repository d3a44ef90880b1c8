/* SPDX-License-Identifier: MIT */
/*
 * tool_args.h - the command line of every tool: options from one table, --help and --version
 *
 * A tool describes itself once (struct tool); parsing, the help text and the usage line come from
 * that, so they cannot disagree. The first operand of a tool, if it has any, is the folder of a store.
 */
#ifndef BWT_TOOLS_TOOL_ARGS_H
#define BWT_TOOLS_TOOL_ARGS_H

#include <stdbool.h>
#include <stdint.h>

/** Exit statuses; a tool may have others (bwt-fsck has those of fsck(8)). */
#define TOOL_EXIT_FAILURE 1
#define TOOL_EXIT_USAGE 2
#define TOOL_EXIT_BUSY 8 /* another process has the store open */

/** Values of an option's letter above this have no short form. */
#define TOOL_LONG_ONLY 0x100
#define TOOL_OPTIONS_MAX 16

struct tool_option {
	int letter;           /* 'p', or above TOOL_LONG_ONLY; what tool_args_next() returns */
	const char *name;     /* long name, without dashes */
	const char *argument; /* what follows it, for people; NULL: nothing does */
	const char *help;     /* one line */
};

struct tool {
	const char *name;                  /* "bwt-dump" */
	const char *purpose;               /* one sentence for --help */
	const struct tool_option *options; /* at most TOOL_OPTIONS_MAX, ends with letter 0 */
	int usage_status;                  /* exit status on wrong usage */
	const char *second;                /* name of a second operand, NULL: there is none */
	bool no_operands;                  /* not even a store */
};

/**
 * tool_args_next - the next option of the command line
 * @value:   out: its argument, or NULL
 * Returns:  the option's letter; -1 when only operands are left. Exits on --help and --version
 *           (status 0) and on anything unknown (usage_status)
 */
int tool_args_next(const struct tool *tool, int argc, char **argv, const char **value);

/** tool_args_store - the first operand, after the options; exits with usage_status on too few or too many */
const char *tool_args_store(const struct tool *tool, int argc, char **argv);
/** tool_args_second - the other one, of a tool that has two; after tool_args_store() */
const char *tool_args_second(char **argv);

/** tool_args_none - a tool without operands has none; exits with usage_status if it has */
void tool_args_none(const struct tool *tool, int argc, char **argv);

/**
 * tool_args_number - an option's argument as a number
 * @what:    name of the option, for the message
 * Returns:  a number in @low..@high; exits with usage_status on anything else
 */
uint64_t tool_args_number(const struct tool *tool, const char *what, const char *text, uint64_t low,
                          uint64_t high);

/** tool_usage - say what is wrong and how to call the tool, on standard error; exits */
void tool_usage(const struct tool *tool, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

#endif
