/* SPDX-License-Identifier: MIT */
/* tool_args.c - getopt_long() driven by the table of a tool */
#include "tools/tool_args.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"

enum {
	LETTER_HELP = 'h',
	LETTER_VERSION = 'V',
};

/* "[-p] [--tree NAME]" and so on, to @file. */
static void print_synopsis(const struct tool *tool, FILE *file)
{
	fprintf(file, "usage: %s", tool->name);
	for (const struct tool_option *option = tool->options; option->letter != 0; option++) {
		if (option->letter < TOOL_LONG_ONLY)
			fprintf(file, " [-%c", option->letter);
		else
			fprintf(file, " [--%s", option->name);
		fprintf(file, "%s%s]", option->argument != NULL ? " " : "",
		        option->argument != NULL ? option->argument : "");
	}
	fprintf(file, "%s%s%s\n", tool->no_operands ? "" : " STORE",
	        tool->second != NULL ? " " : "", tool->second != NULL ? tool->second : "");
}

static void print_option(int letter, const char *name, const char *argument, const char *help)
{
	char left[64];

	snprintf(left, sizeof left, "--%s%s%s", name, argument != NULL ? " " : "",
	         argument != NULL ? argument : "");
	if (letter < TOOL_LONG_ONLY)
		printf("  -%c, %-20s %s\n", letter, left, help);
	else
		printf("      %-20s %s\n", left, help);
}

static void print_help(const struct tool *tool)
{
	print_synopsis(tool, stdout);
	printf("\n%s\n\n", tool->purpose);
	for (const struct tool_option *option = tool->options; option->letter != 0; option++)
		print_option(option->letter, option->name, option->argument, option->help);
	print_option(LETTER_HELP, "help", NULL, "this text");
	print_option(LETTER_VERSION, "version", NULL, "the version of libbwt");
	printf("\nThe manual page %s(1) has the details.\n", tool->name);
}

/* The tables that getopt_long() wants. */
static void build_tables(const struct tool *tool, struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* tell a missing argument from an unknown option */
	for (const struct tool_option *option = tool->options; option->letter != 0; option++) {
		*longs++ = (struct option){
			.name = option->name,
			.has_arg = option->argument != NULL ? required_argument : no_argument,
			.val = option->letter,
		};
		if (option->letter < TOOL_LONG_ONLY) {
			*shorts++ = (char)option->letter;
			if (option->argument != NULL)
				*shorts++ = ':';
		}
	}
	*longs++ = (struct option){.name = "help", .val = LETTER_HELP};
	*longs++ = (struct option){.name = "version", .val = LETTER_VERSION};
	memset(longs, 0, sizeof *longs);
	*shorts++ = (char)LETTER_HELP;
	*shorts++ = (char)LETTER_VERSION;
	*shorts = '\0';
}

int tool_args_next(const struct tool *tool, int argc, char **argv, const char **value)
{
	struct option longs[TOOL_OPTIONS_MAX + 3];
	char shorts[2 * TOOL_OPTIONS_MAX + 4];
	int letter;

	build_tables(tool, longs, shorts);
	opterr = 0;
	letter = getopt_long(argc, argv, shorts, longs, NULL);
	switch (letter) {
	case LETTER_HELP:
		print_help(tool);
		exit(EXIT_SUCCESS);
	case LETTER_VERSION:
		printf("%s %s\n", tool->name, bwt_version());
		exit(EXIT_SUCCESS);
	case ':':
		tool_usage(tool, "option %s needs an argument", argv[optind - 1]);
	case '?':
		if (optopt != 0 && optopt < TOOL_LONG_ONLY)
			tool_usage(tool, "unknown option -%c", optopt);
		tool_usage(tool, "unknown or wrong option %s", argv[optind - 1]);
	default:
		*value = optarg;
		return letter;
	}
}

const char *tool_args_store(const struct tool *tool, int argc, char **argv)
{
	if (argc - optind < 1)
		tool_usage(tool, "which store?");
	if (tool->second != NULL && argc - optind < 2)
		tool_usage(tool, "%s is missing", tool->second);
	if (argc - optind > (tool->second != NULL ? 2 : 1))
		tool_usage(tool, "one store at a time, not also %s", argv[argc - 1]);
	return argv[optind];
}

const char *tool_args_second(char **argv)
{
	return argv[optind + 1];
}

void tool_args_none(const struct tool *tool, int argc, char **argv)
{
	if (argc > optind)
		tool_usage(tool, "nothing is expected behind the options, not %s", argv[optind]);
}

uint64_t tool_args_number(const struct tool *tool, const char *what, const char *text, uint64_t low,
                          uint64_t high)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 0);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < low ||
	    number > high)
		tool_usage(tool, "%s is a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"", what,
		           low, high, text);
	return number;
}

void tool_usage(const struct tool *tool, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", tool->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	print_synopsis(tool, stderr);
	fprintf(stderr, "\"%s --help\" says more\n", tool->name);
	exit(tool->usage_status);
}
