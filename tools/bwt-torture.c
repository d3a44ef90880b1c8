/* SPDX-License-Identifier: MIT */
/*
 * bwt-torture.c - kill a process that writes to a store, on the disk that it is to live on; again and again
 *
 * Without --write and --check this process starts one that writes, kills it at a random moment, also while it
 * opens and recovers, and checks what is there. With them it is one half of that, for crashes that only
 * somebody else can make: pulling a plug, killing a virtual machine, failing a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bwt.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"
#include "tools/torture_work.h"

#define STORE_NAME "bwt-torture.store"
#define SECONDS_USUAL 60u
#define KILL_LATE_US 120000u /* a process is killed within this time */
#define KILL_EARLY_US 8000u  /* or, while it opens, within this */

enum {
	OPTION_DIR = TOOL_LONG_ONLY + 1,
	OPTION_SECONDS,
	OPTION_SEED,
	OPTION_WRITERS,
	OPTION_KEEP,
	OPTION_JSON,
	OPTION_WRITE,
	OPTION_STEPS,
	OPTION_CHECK,
	OPTION_CATCH,
	OPTION_PLAIN,
};

static const struct tool_option torture_options[] = {
	{OPTION_DIR, "dir", "DIR", "folder on the disk to be tried; " STORE_NAME " is made in it"},
	{OPTION_SECONDS, "seconds", "N", "how long (60; --write: until killed)"},
	{OPTION_SEED, "seed", "N", "of the random moments and options (of the time)"},
	{OPTION_WRITERS, "writers", "N", "threads that write, 1 to 16 (3)"},
	{OPTION_KEEP, "keep", NULL, "leave the store there when all is well, too"},
	{OPTION_JSON, "json", NULL, "the summary as one JSON object"},
	{OPTION_WRITE, "write", NULL, "only write, and say on standard output what is durable"},
	{OPTION_STEPS, "steps", "N", "with --write: so many changes of each writer, then close"},
	{OPTION_CHECK, "check", "FILE", "only check, against what --write said; - is standard input"},
	{OPTION_CATCH, "catch-sigbus", NULL, "open with BWT_CATCH_SIGBUS"},
	{OPTION_PLAIN, "no-uring", NULL, "open with BWT_NO_URING"},
	{0, NULL, NULL, NULL},
};

static const struct tool torture_tool = {
	.name = "bwt-torture",
	.purpose = "Kills a process that writes to a store, at random moments, and checks each "
		   "time that\n"
		   "nothing acknowledged was lost and nothing invented. Needs no privileges.\n"
		   "Exit status: 0 all is well, 1 something is not, 2 usage, 3 (--write) the store "
		   "refused.",
	.options = torture_options,
	.usage_status = TOOL_EXIT_USAGE,
	.no_operands = true,
};

struct run {
	struct torture torture;
	const char *dir;
	const char *check; /* file of lines */
	double seconds;
	uint64_t steps;
	bool write, json, keep;
	uint64_t random; /* state of the generator */
	/* what happened */
	uint64_t rounds, kills, early_kills, acknowledged;
	double slowest_check;
	struct tool_progress progress;
};

static uint64_t random_below(struct run *run, uint64_t bound)
{
	run->random = run->random * 6364136223846793005u + 1442695040888963407u;
	return (run->random >> 20) % bound;
}

/* ---- lines of a writer ---- */

struct lines { /* a line may come in two reads of a file */
	char bytes[8 * TORTURE_LINE_MAX];
	size_t size;
};

static void take_lines(struct run *run, struct lines *lines)
{
	char *line = lines->bytes, *end;

	while ((end = memchr(line, '\n', lines->size - (size_t)(line - lines->bytes))) != NULL) {
		*end = '\0';
		(void)torture_note(&run->torture, line);
		if (strncmp(line, "ack ", 4) == 0)
			run->acknowledged++;
		line = end + 1;
	}
	lines->size -= (size_t)(line - lines->bytes);
	memmove(lines->bytes, line, lines->size);
	if (lines->size == sizeof lines->bytes)
		lines->size = 0; /* no line of ours is so long */
}

/* What is in @fd now; false at its end. */
static bool read_lines(struct run *run, int fd, struct lines *lines)
{
	ssize_t got = read(fd, lines->bytes + lines->size, sizeof lines->bytes - lines->size);

	if (got <= 0)
		return got < 0 && (errno == EINTR || errno == EAGAIN);
	lines->size += (size_t)got;
	take_lines(run, lines);
	return true;
}

/* ---- rounds ---- */

static bool wrong(const struct run *run, const char *why)
{
	fprintf(stderr,
	        "bwt-torture: round %" PRIu64 " of --seed %" PRIu64
	        ": %s\nthe store is left in %s\n",
	        run->rounds, run->torture.seed, why, run->torture.store);
	return false;
}

/* A process that writes, killed within @most microseconds. */
static bool kill_a_writer(struct run *run, uint64_t most)
{
	double end = torture_seconds() + (double)random_below(run, most) * 1e-6, left;
	struct torture torture = run->torture;
	struct lines lines = {.size = 0};
	int fds[2], status;
	pid_t child;

	torture.seed = run->torture.seed + run->rounds;
	fflush(stdout);
	if (pipe(fds) != 0 || (child = fork()) < 0)
		return wrong(run, "no process");
	if (child == 0) {
		close(fds[0]);
		_exit(torture_work(&torture, 0, 0, fds[1]));
	}
	close(fds[1]);
	while ((left = end - torture_seconds()) > 0) {
		struct pollfd wait = {.fd = fds[0], .events = POLLIN};

		if (poll(&wait, 1, 1 + (int)(left * 1000)) > 0 && !read_lines(run, fds[0], &lines))
			break; /* it has ended, which it should not */
	}
	kill(child, SIGKILL);
	while (read_lines(run, fds[0], &lines))
		;
	close(fds[0]);
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return wrong(run, "the process that wrote ended by itself");
	return true;
}

static bool check(struct run *run)
{
	double begun = torture_seconds(), took;
	char why[400];

	if (!torture_check(&run->torture, run->rounds, why))
		return wrong(run, why);
	took = torture_seconds() - begun;
	run->slowest_check = took > run->slowest_check ? took : run->slowest_check;
	return true;
}

static bool kill_and_check(struct run *run)
{
	double begun = torture_seconds();
	bool good = true;

	while (good && torture_seconds() - begun < run->seconds) {
		good = kill_a_writer(run, KILL_LATE_US);
		/* Sometimes again and again while it opens and recovers. */
		for (run->kills++; good && random_below(run, 100) < 30; run->kills++) {
			good = kill_a_writer(run, KILL_EARLY_US);
			run->early_kills++;
		}
		good = good && check(run);
		run->rounds++;
		tool_progress_show(&run->progress, "torture", (uint64_t)(torture_seconds() - begun),
		                   (uint64_t)run->seconds);
	}
	tool_progress_end(&run->progress);
	return good;
}

/* ---- the three ways to call it ---- */

static void summarize(const struct run *run, bool good)
{
	uint64_t steps = 0;

	for (unsigned i = 0; i < run->torture.writers; i++)
		steps += run->torture.known[i].state.step;
	if (run->json) {
		printf("{\"dir\": ");
		tool_json_string(stdout, run->dir);
		printf(", \"seed\": %" PRIu64 ", \"kills\": %" PRIu64
		       ", \"kills_while_opening\": %" PRIu64 ", \"checks\": %" PRIu64
		       ", \"acknowledged\": %" PRIu64 ", \"steps\": %" PRIu64
		       ", \"slowest_check_ms\": %.0f, \"result\": \"%s\"}\n",
		       run->torture.seed, run->kills, run->early_kills, run->rounds,
		       run->acknowledged, steps, run->slowest_check * 1000, good ? "ok" : "wrong");
	} else if (good && run->check != NULL) {
		printf("%s: %" PRIu64 " changes, %" PRIu64 " acknowledgements, none lost\n",
		       run->dir, steps, run->acknowledged);
	} else if (good) {
		printf("%s: killed %" PRIu64 " times, %" PRIu64 " of them while it opened; %" PRIu64
		       " changes, %" PRIu64
		       " acknowledgements, none lost; slowest check %.0f ms; seed %" PRIu64 "\n",
		       run->dir, run->kills, run->early_kills, steps, run->acknowledged,
		       run->slowest_check * 1000, run->torture.seed);
	}
}

static void remove_store(const char *store)
{
	pid_t child = fork();

	if (child == 0) {
		execlp("rm", "rm", "-rf", "--", store, (char *)NULL);
		_exit(EXIT_FAILURE);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

static int torture(struct run *run)
{
	bool good;

	if (access(run->torture.store, F_OK) == 0) {
		fprintf(stderr, "bwt-torture: %s is there already: look at it, and remove it\n",
		        run->torture.store);
		return TOOL_EXIT_FAILURE;
	}
	good = kill_and_check(run);
	summarize(run, good);
	if (good && !run->keep)
		remove_store(run->torture.store);
	return good ? EXIT_SUCCESS : TOOL_EXIT_FAILURE;
}

/* It goes on behind what an earlier one wrote. */
static int only_write(struct run *run)
{
	char why[400];

	for (unsigned i = 0; i < run->torture.writers; i++)
		run->torture.known[i].begun = TORTURE_UNKNOWN;
	if (access(run->torture.store, F_OK) == 0 && !torture_check(&run->torture, 3, why)) {
		fprintf(stderr, "bwt-torture: %s: %s\n", run->torture.store, why);
		return TOOL_EXIT_FAILURE;
	}
	return torture_work(&run->torture, run->seconds, run->steps, STDOUT_FILENO);
}

static int only_check(struct run *run)
{
	int fd = strcmp(run->check, "-") == 0 ? STDIN_FILENO : open(run->check, O_RDONLY | O_CLOEXEC);
	struct lines lines = {.size = 0};
	bool good;

	if (fd < 0) {
		fprintf(stderr, "bwt-torture: %s: %s\n", run->check, strerror(errno));
		return TOOL_EXIT_FAILURE;
	}
	while (read_lines(run, fd, &lines))
		;
	for (unsigned i = 0; run->acknowledged == 0 && i < run->torture.writers; i++)
		run->torture.known[i].begun = TORTURE_UNKNOWN; /* it had not even begun */
	good = check(run);
	summarize(run, good);
	return good ? EXIT_SUCCESS : TOOL_EXIT_FAILURE;
}

static void read_option(struct run *run, int letter, const char *value)
{
	const struct tool *tool = &torture_tool;

	switch (letter) {
	case OPTION_DIR:
		run->dir = value;
		break;
	case OPTION_SECONDS:
		run->seconds = (double)tool_args_number(tool, "--seconds", value, 1, 10000000);
		break;
	case OPTION_SEED:
		run->torture.seed = tool_args_number(tool, "--seed", value, 0, UINT64_MAX);
		break;
	case OPTION_WRITERS:
		run->torture.writers =
			(unsigned)tool_args_number(tool, "--writers", value, 1, TORTURE_WRITERS_MAX);
		break;
	case OPTION_STEPS:
		run->steps = tool_args_number(tool, "--steps", value, 1, UINT64_MAX >> 16);
		break;
	case OPTION_CHECK:
		run->check = value;
		break;
	case OPTION_CATCH:
		run->torture.catch_sigbus = true;
		break;
	case OPTION_PLAIN:
		run->torture.plain = true;
		break;
	case OPTION_WRITE:
		run->write = true;
		break;
	case OPTION_KEEP:
		run->keep = true;
		break;
	default:
		run->json = true;
		break;
	}
}

int main(int argc, char **argv)
{
	static struct run run;
	const char *value;
	int letter, status;

	run.torture.seed = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
	run.torture.writers = 3;
	while ((letter = tool_args_next(&torture_tool, argc, argv, &value)) != -1)
		read_option(&run, letter, value);
	tool_args_none(&torture_tool, argc, argv);
	if (run.dir == NULL)
		tool_usage(&torture_tool, "which folder? --dir DIR");
	if (run.write && run.check != NULL)
		tool_usage(&torture_tool, "either --write or --check");
	if (snprintf(run.torture.store, sizeof run.torture.store, "%s/%s", run.dir, STORE_NAME) >=
	    (int)sizeof run.torture.store)
		tool_usage(&torture_tool, "the name of the folder is too long");
	if (access(run.dir, W_OK | X_OK) != 0) {
		fprintf(stderr, "bwt-torture: %s: %s\n", run.dir, strerror(errno));
		return TOOL_EXIT_FAILURE;
	}
	run.random = run.torture.seed * 2 + 1;
	tool_progress_init(&run.progress, torture_tool.name);
	if (run.seconds == 0 && !run.write)
		run.seconds = SECONDS_USUAL;
	signal(SIGPIPE, SIG_IGN);
	status = run.write           ? only_write(&run)
	         : run.check != NULL ? only_check(&run)
	                             : torture(&run);
	return tool_close_output(torture_tool.name) ? status : TOOL_EXIT_FAILURE;
}
