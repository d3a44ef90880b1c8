/* SPDX-License-Identifier: MIT */
/* tool_print.c - messages, bars and JSON of the tools */
#include "tools/tool_print.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "tools/tool_args.h"

#define BAR_WIDTH 30u
#define BAR_INTERVAL_NS 100000000u
#define RATE_SECONDS_MIN 0.5 /* before that a rate says nothing */
#define KEY_SHOWN_MAX 64u

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tool_progress_init(struct tool_progress *progress, const char *tool_name)
{
	*progress = (struct tool_progress){.tool_name = tool_name, .on = isatty(STDERR_FILENO) == 1};
}

/* Units a second since the phase began; 0: too early to tell. */
static double rate_of(struct tool_progress *progress, const char *phase, uint64_t done)
{
	double seconds;

	if (strncmp(progress->phase, phase, sizeof progress->phase - 1) != 0 ||
	    done < progress->begun_at) {
		snprintf(progress->phase, sizeof progress->phase, "%s", phase);
		progress->begun_ns = progress->shown_ns;
		progress->begun_at = done;
	}
	seconds = (double)(progress->shown_ns - progress->begun_ns) * 1e-9;
	return seconds < RATE_SECONDS_MIN ? 0 : (double)(done - progress->begun_at) / seconds;
}

static void print_left(double seconds)
{
	unsigned long left = (unsigned long)(seconds + 0.5);

	if (left >= 3600)
		fprintf(stderr, ", %lu h %02lu min left", left / 3600, left / 60 % 60);
	else if (left >= 60)
		fprintf(stderr, ", %lu min %02lu s left", left / 60, left % 60);
	else
		fprintf(stderr, ", %lu s left", left);
}

static void print_bar(const char *phase, double part)
{
	char bar[BAR_WIDTH + 1];

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (unsigned)(part * BAR_WIDTH));
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%%", phase, bar, part * 100.0);
}

void tool_progress_show(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct tool_progress *progress = ctx;
	char human[TOOL_HUMAN_SIZE];
	uint64_t now;
	double rate;

	if (!progress->on)
		return;
	now = now_ns();
	if (progress->visible && now - progress->shown_ns < BAR_INTERVAL_NS)
		return;
	progress->shown_ns = now;
	progress->visible = true;
	rate = rate_of(progress, phase, done);
	if (total == 0)
		fprintf(stderr, "\r\033[K%s: %" PRIu64, phase, done);
	else
		print_bar(phase, done < total ? (double)done / (double)total : 1.0);
	if (rate == 0)
		return;
	if (progress->bytes)
		fprintf(stderr, ", %s/s", tool_human(human, (uint64_t)rate));
	if (total > done)
		print_left((double)(total - done) / rate);
}

void tool_progress_end(struct tool_progress *progress)
{
	if (progress->visible)
		fprintf(stderr, "\r\033[K");
	progress->visible = false;
}

void tool_log(void *ctx, int level, const char *text)
{
	struct tool_progress *progress = ctx;

	if (level > LOG_WARNING)
		return;
	tool_progress_end(progress);
	fprintf(stderr, "%s: %s\n", progress->tool_name, text);
}

int tool_fail(const char *tool_name, const char *store, int rc)
{
	const char *detail = bwt_detail();
	pid_t holder = rc == BWT_BUSY ? tool_holder(store) : 0;

	fprintf(stderr, "%s: %s: %s%s%s\n", tool_name, store, bwt_strerror(rc),
	        detail[0] != '\0' ? ": " : "", detail);
	if (holder > 0)
		fprintf(stderr, "%s: %s is open in process %ld\n", tool_name, store, (long)holder);
	return rc == BWT_BUSY ? TOOL_EXIT_BUSY : TOOL_EXIT_FAILURE;
}

/* The lock as the kernel lists it: "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF". */
static pid_t holder_in_kernel(const struct stat *lock)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	pid_t holder = 0;

	if (locks == NULL)
		return 0;
	while (holder == 0 && fgets(line, sizeof line, locks) != NULL) {
		unsigned major_no, minor_no;
		unsigned long inode;
		int pid;

		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &major_no, &minor_no,
		           &inode) == 4 &&
		    inode == lock->st_ino && major_no == major(lock->st_dev) &&
		    minor_no == minor(lock->st_dev))
			holder = pid;
	}
	fclose(locks);
	return holder;
}

pid_t tool_holder(const char *store)
{
	char path[4096];
	struct stat lock;
	FILE *file;
	long noted = 0;
	pid_t holder;

	snprintf(path, sizeof path, "%s/LOCK", store);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	holder = fstat(fileno(file), &lock) == 0 ? holder_in_kernel(&lock) : 0;
	/* Some file systems show another device number there; the holder also notes its pid. */
	if (holder == 0 && fscanf(file, "%ld", &noted) == 1 && noted > 0)
		holder = (pid_t)noted;
	fclose(file);
	return holder;
}

/* Length of the UTF-8 character at @at, 0 when there is none. Source: RFC 3629, section 4. */
static unsigned utf8_length(const unsigned char *at)
{
	unsigned length = at[0] < 0x80   ? 1
	                  : at[0] < 0xc2 ? 0
	                  : at[0] < 0xe0 ? 2
	                  : at[0] < 0xf0 ? 3
	                  : at[0] < 0xf5 ? 4
	                                 : 0;

	for (unsigned i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

void tool_json_string(FILE *file, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	fputc('"', file);
	while (*at != '\0') {
		unsigned length = utf8_length(at);

		if (*at == '"' || *at == '\\')
			fprintf(file, "\\%c", *at);
		else if (*at < 0x20)
			fprintf(file, "\\u%04x", *at);
		else if (length == 0)
			fputs("\\ufffd", file);
		else
			fwrite(at, 1, length, file);
		at += length == 0 ? 1 : length;
	}
	fputc('"', file);
}

void tool_json_hex(FILE *file, struct bwt_slice bytes)
{
	const unsigned char *at = bytes.data;

	if (at == NULL) {
		fputs("null", file);
		return;
	}
	fputc('"', file);
	for (size_t i = 0; i < bytes.size; i++)
		fprintf(file, "%02x", at[i]);
	fputc('"', file);
}

void tool_key_print(FILE *file, struct bwt_slice key)
{
	const unsigned char *at = key.data;

	fputc('"', file);
	for (size_t i = 0; i < key.size && i < KEY_SHOWN_MAX; i++) {
		if (at[i] >= 0x20 && at[i] < 0x7f && at[i] != '\\' && at[i] != '"')
			fputc(at[i], file);
		else
			fprintf(file, "\\%02x", at[i]);
	}
	fputc('"', file);
	if (key.size > KEY_SHOWN_MAX)
		fprintf(file, "... (%zu bytes)", key.size);
}

const char *tool_human(char to[TOOL_HUMAN_SIZE], uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned unit = 0;

	if (bytes < 1024) {
		snprintf(to, TOOL_HUMAN_SIZE, "%" PRIu64 " B", bytes);
		return to;
	}
	for (value /= 1024.0; value >= 1024.0 && unit < 5; unit++)
		value /= 1024.0;
	snprintf(to, TOOL_HUMAN_SIZE, "%.1f %s", value, units[unit]);
	return to;
}

bool tool_close_output(const char *tool_name)
{
	bool bad = ferror(stdout) != 0;

	if (fclose(stdout) != 0 || bad) {
		fprintf(stderr, "%s: cannot write the output: %s\n", tool_name, strerror(errno));
		return false;
	}
	return true;
}
