/* SPDX-License-Identifier: MIT */
/*
 * bench_sweep.c - spawn, read the result lines, print medians as Markdown
 *
 * Rounds go through all values before the next round starts: a machine that gets busier meanwhile hits all alike.
 */
#include "bench_sweep.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_run.h"

#define VALUES_MAX 8
#define ROUNDS_MAX 15
#define ARGUMENT_MAX 4128
#define LINE_MAX_SIZE 8192

#ifdef BWT_SWEEP
#define HAS_CONSTANTS true
#else
#define HAS_CONSTANTS false
#endif

struct knob {
	const char *name;
	const char *values[VALUES_MAX];
	const char *normal;
	bool is_constant;    /* of the library; else an option of this program */
	unsigned value_size; /* of the records; 0: as the command line says */
};

static const struct knob knobs[] = {
	{"leaf_bytes", {"2048", "4096", "8192", "16384"}, "8192", true, 0},
	{"leaf_chain", {"4", "8", "16", "32", "48"}, "16", true, 0},
	{"inner_bytes", {"2048", "4096", "8192", "16384"}, "8192", true, 0},
	{"inner_chain", {"1", "2", "4", "8"}, "2", true, 0},
	{"quiet_times", {"1", "2", "4", "8", "16"}, "4", true, 0},
	{"backoff_spins", {"1", "8", "32", "128"}, "8", true, 0},
	{"backoff_yield", {"2", "4", "6", "8"}, "6", true, 0},
	{"wal_ring", {"4194304", "8388608", "16777216", "33554432"}, "8388608", true, 0},
	{"inline-max", {"256", "1024", "2048", "4096"}, "2048", false, 1500},
	{"workers", {"off", "1", "2"}, "1", false, 0},
	{"space-target", {"130", "160", "200", "250", "400"}, "250", false, 0},
	{"checkpoint-bytes", {"16M", "64M", "256M", "1G"}, "256M", false, 0},
};

/* What a column shows: a field of the line of one workload. */
static const struct column {
	const char *title;
	const char *workload;
	const char *field;
	const char *format;
} columns[] = {
	{"puts/s, load", "load", "ops_per_s", " %.0f |"},
	{"gets/s", "read", "ops_per_s", " %.0f |"},
	{"puts/s", "put", "ops_per_s", " %.0f |"},
	{"scanned/s", "scan", "entries_per_s", " %.0f |"},
	{"us of processor: load", "load", "cpu_us_per_op", " %.2f |"},
	{"get", "read", "cpu_us_per_op", " %.2f |"},
	{"put", "put", "cpu_us_per_op", " %.2f |"},
	{"scan", "scan", "cpu_us_per_op", " %.2f |"},
	{"arena bytes a put", "put", "bwt_arena_bytes_per_put", " %.0f |"},
	{"on disk per live byte", "put", "space_amp", " %.2f |"},
};

#define COLUMNS (sizeof columns / sizeof columns[0])
#define KNOBS (sizeof knobs / sizeof knobs[0])

struct figures {
	double of[COLUMNS][ROUNDS_MAX];
};

/* The number of the field @name in @line; 0 where there is none. */
static double field_of(const char *line, const char *name)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof wanted, " %s=", name);
	at = strstr(line, wanted);
	return at != NULL ? strtod(at + strlen(wanted), NULL) : 0;
}

static void keep_line(const char *line, struct figures *figures, unsigned round)
{
	char begin[64];

	for (size_t i = 0; i < COLUMNS; i++) {
		snprintf(begin, sizeof begin, "workload=\"%s\"", columns[i].workload);
		if (strncmp(line, begin, strlen(begin)) == 0)
			figures->of[i][round] = field_of(line, columns[i].field);
	}
}

/* The program, its standard output in *@lines. Returns the process, or a negative code. */
static pid_t spawn_self(char *const arguments[], FILE **lines)
{
	posix_spawn_file_actions_t actions;
	int ends[2];
	pid_t pid;
	int error;

	if (pipe(ends) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	posix_spawn_file_actions_addclose(&actions, ends[1]);
	error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	*lines = error == 0 ? fdopen(ends[0], "r") : NULL;
	if (*lines == NULL)
		close(ends[0]);
	return error == 0 ? pid : -error;
}

/* One round of one value; @setting is "" or an option. */
static int measure(const struct bench_options *options, const struct knob *knob,
                   const char *setting, struct figures *figures, unsigned round)
{
	const unsigned value_size = knob->value_size > 0 ? knob->value_size : options->value_size;
	const uint64_t records = knob->value_size > 0 ? options->records * 100 / knob->value_size + 1
	                                              : options->records;
	char texts[6][ARGUMENT_MAX];
	char *arguments[] = {"bwt-bench", "--workload=load,read:2,put:2,scan:2",
	                     texts[0],    texts[1],
	                     texts[2],    texts[3],
	                     texts[4],    texts[5],
	                     NULL};
	char line[LINE_MAX_SIZE];
	FILE *lines = NULL;
	int status = 0;
	pid_t pid;

	snprintf(texts[0], sizeof texts[0], "--records=%ju", (uintmax_t)records);
	snprintf(texts[1], sizeof texts[1], "--seconds=%g", options->seconds);
	snprintf(texts[2], sizeof texts[2], "--seed=%ju", (uintmax_t)options->seed + round);
	snprintf(texts[3], sizeof texts[3], "--dir=%s", options->dir);
	snprintf(texts[4], sizeof texts[4], "--value-size=%u", value_size);
	snprintf(texts[5], sizeof texts[5], "%s", setting[0] != '\0' ? setting : "--repeat=1");
	pid = spawn_self(arguments, &lines);
	if (pid < 0)
		return pid;
	while (lines != NULL && fgets(line, sizeof line, lines) != NULL)
		keep_line(line, figures, round);
	if (lines != NULL)
		fclose(lines);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

static int measure_value(const struct bench_options *options, const struct knob *knob,
                         const char *value, struct figures *figures, unsigned round)
{
	char name[64];
	char setting[128] = "";
	int rc;

	if (!knob->is_constant) {
		snprintf(setting, sizeof setting, "--%s=%s", knob->name, value);
		return measure(options, knob, setting, figures, round);
	}
	snprintf(name, sizeof name, "BWT_SWEEP_%s", knob->name);
	if (setenv(name, value, 1) < 0)
		return -errno;
	rc = measure(options, knob, setting, figures, round);
	(void)unsetenv(name);
	return rc;
}

static int compare(const void *a, const void *b)
{
	const double left = *(const double *)a;
	const double right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static void print_table(const struct knob *knob, struct figures figures[], unsigned rounds)
{
	printf("| %s |", knob->name);
	for (size_t i = 0; i < COLUMNS; i++)
		printf(" %s |", columns[i].title);
	fputs("\n|", stdout);
	for (size_t i = 0; i <= COLUMNS; i++)
		fputs("---|", stdout);
	putchar('\n');
	for (unsigned i = 0; i < VALUES_MAX && knob->values[i] != NULL; i++) {
		const bool is_normal = strcmp(knob->values[i], knob->normal) == 0;

		printf("| %s%s |", knob->values[i], is_normal ? ", the default" : "");
		for (size_t j = 0; j < COLUMNS; j++) {
			qsort(figures[i].of[j], rounds, sizeof(double), compare);
			printf(columns[j].format, figures[i].of[j][rounds / 2]);
		}
		putchar('\n');
	}
	putchar('\n');
	fflush(stdout);
}

static int sweep(const struct bench_options *options, const struct knob *knob)
{
	const unsigned rounds = options->repeat < ROUNDS_MAX ? options->repeat : ROUNDS_MAX;
	struct figures *figures = calloc(VALUES_MAX, sizeof *figures);
	int rc = 0;

	if (figures == NULL)
		return -ENOMEM;
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < VALUES_MAX && knob->values[i] != NULL; i++) {
			rc = measure_value(options, knob, knob->values[i], &figures[i], round);
			if (rc < 0) {
				fprintf(stderr, "bwt-bench: %s=%s failed\n", knob->name,
				        knob->values[i]);
				goto fail_figures;
			}
		}
	print_table(knob, figures, rounds);

fail_figures:
	free(figures);
	return rc;
}

int sweep_run(const struct bench_options *options)
{
	bool is_found = options->sweep[0] == '\0';
	int rc = 0;

	for (size_t i = 0; i < KNOBS && rc == 0; i++) {
		const bool is_named = strcmp(options->sweep, knobs[i].name) == 0;

		if (options->sweep[0] != '\0' && !is_named)
			continue;
		is_found = true;
		if (knobs[i].is_constant && !HAS_CONSTANTS)
			fprintf(stderr,
			        "bwt-bench: %s is fixed in this build; see make bench-sweep\n",
			        knobs[i].name);
		else
			rc = sweep(options, &knobs[i]);
	}
	if (!is_found)
		fprintf(stderr, "bwt-bench: --sweep: no such setting: '%s'\n", options->sweep);
	return is_found ? rc : -EINVAL;
}
