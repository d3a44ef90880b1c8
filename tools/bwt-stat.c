/* SPDX-License-Identifier: MIT */
/*
 * bwt-stat.c - the counters of a store, also while another process has it open
 *
 *   not open elsewhere   opened read-only for a moment; the counters of events are zero then,
 *                        because they count from opening
 *   open elsewhere       read from the file "stats" that the owner keeps (db/stat_file.h)
 *
 * With --watch it asks anew each time, so it never keeps a store from being opened for long.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bwt.h"
#include "db/stat_file.h"
#include "tools/tool_args.h"
#include "tools/tool_print.h"

enum {
	OPTION_JSON = TOOL_LONG_ONLY + 1,
	OPTION_PROMETHEUS,
};

#define WATCH_SECONDS_MAX 86400u
#define WATCH_HEAD_EVERY 20u   /* lines */
#define EVENTS "Since opening" /* heading of the counters; all numbers before it are gauges */

static const struct tool_option stat_options[] = {
	{'w', "watch", "SECONDS", "go on: a line of rates every SECONDS seconds"},
	{OPTION_JSON, "json", NULL, "one JSON object; with --watch one a line"},
	{OPTION_PROMETHEUS, "prometheus", NULL, "the text format that Prometheus collects"},
	{0, NULL, NULL, NULL},
};

static const struct tool stat_tool = {
	.name = "bwt-stat",
	.purpose = "Shows sizes, counts and counters of a store, also while it is in use.",
	.options = stat_options,
	.usage_status = TOOL_EXIT_USAGE,
};

enum field_kind {
	FIELD_COUNT,
	FIELD_BYTES,
	FIELD_LSN
};

/* Every number of struct bwt_stats; a test holds this complete. */
static const struct field {
	const char *name;
	size_t offset;
	enum field_kind kind;
	const char *group; /* heading before this line, or NULL */
	const char *label;
} fields[] = {
#define FIELD(name, kind, group, label)                                                            \
	{                                                                                          \
#name, offsetof(struct bwt_stats, name), kind, group, label                        \
	}
	FIELD(key_count, FIELD_COUNT, "Content", "keys"),
	FIELD(tree_count, FIELD_COUNT, NULL, "named trees"),
	FIELD(page_count, FIELD_COUNT, NULL, "pages"),
	FIELD(tree_depth, FIELD_COUNT, NULL, "levels of the main tree"),
	FIELD(arena_bytes, FIELD_BYTES, "Space", "arena"),
	FIELD(arena_live_bytes, FIELD_BYTES, NULL, "  of which live"),
	FIELD(arena_free_bytes, FIELD_BYTES, NULL, "  of which free"),
	FIELD(wal_bytes, FIELD_BYTES, NULL, "write-ahead log"),
	FIELD(vlog_bytes, FIELD_BYTES, NULL, "value log"),
	FIELD(vlog_live_bytes, FIELD_BYTES, NULL, "  of which live"),
	FIELD(newest_lsn, FIELD_LSN, "Log", "newest LSN"),
	FIELD(durable_lsn, FIELD_LSN, NULL, "durable LSN"),
	FIELD(snapshot_count, FIELD_COUNT, NULL, "snapshots in use"),
	FIELD(oldest_snapshot_lsn, FIELD_LSN, NULL, "oldest snapshot"),
	FIELD(oldest_snapshot_ms, FIELD_COUNT, NULL, "  its age, milliseconds"),
	FIELD(oldest_snapshot_thread, FIELD_COUNT, NULL, "  begun by thread"),
	FIELD(oldest_snapshot_keeps, FIELD_BYTES, NULL, "  keeps at most"),
	FIELD(checkpoint_lsn, FIELD_LSN, NULL, "replay would start at"),
	FIELD(checkpoint_count, FIELD_COUNT, EVENTS, "checkpoints"),
	FIELD(commits, FIELD_COUNT, NULL, "commits"),
	FIELD(conflicts, FIELD_COUNT, NULL, "conflicts"),
	FIELD(user_bytes_written, FIELD_BYTES, NULL, "keys and values put"),
	FIELD(device_bytes_written, FIELD_BYTES, NULL, "written to files"),
	FIELD(wal_written_bytes, FIELD_BYTES, NULL, "  of which log"),
	FIELD(vlog_written_bytes, FIELD_BYTES, NULL, "  of which values"),
	FIELD(arena_written_bytes, FIELD_BYTES, NULL, "  of which new pages"),
	FIELD(image_written_bytes, FIELD_BYTES, NULL, "  of which checkpoints"),
	FIELD(log_flushes, FIELD_COUNT, NULL, "group commits"),
	FIELD(consolidations, FIELD_COUNT, NULL, "consolidations"),
	FIELD(splits, FIELD_COUNT, NULL, "splits"),
	FIELD(merges, FIELD_COUNT, NULL, "merges"),
	FIELD(swaps_lost, FIELD_COUNT, NULL, "swaps lost"),
	FIELD(pushes, FIELD_COUNT, NULL, "pending versions pushed"),
	FIELD(wounds, FIELD_COUNT, NULL, "pending versions aborted"),
	FIELD(extents_cleaned, FIELD_COUNT, NULL, "extents cleaned"),
	FIELD(cleaned_pages, FIELD_COUNT, NULL, "  pages moved for that"),
	FIELD(cleaned_bytes, FIELD_BYTES, NULL, "  bytes written for that"),
	FIELD(values_moved, FIELD_COUNT, NULL, "values collected"),
	FIELD(value_bytes_moved, FIELD_BYTES, NULL, "  bytes written for that"),
	FIELD(value_files_freed, FIELD_COUNT, NULL, "  files removed"),
	FIELD(changes_readers, FIELD_COUNT, NULL, "readers of changes"),
	FIELD(changes_lsn, FIELD_LSN, NULL, "  the furthest behind"),
	FIELD(changes_cut_off, FIELD_COUNT, NULL, "  cut off"),
	FIELD(gate_retries, FIELD_COUNT, NULL, "checkpoint cuts retried"),
#undef FIELD
};

#define FIELD_TOTAL (sizeof fields / sizeof fields[0])

static const struct latency_field {
	const char *name;
	size_t offset;
	const char *label;
} latency_fields[] = {
	{"get_latency", offsetof(struct bwt_stats, get_latency), "gets"},
	{"commit_latency", offsetof(struct bwt_stats, commit_latency), "commits"},
	{"durable_latency", offsetof(struct bwt_stats, durable_latency), "durable commits"},
};

#define LATENCY_TOTAL (sizeof latency_fields / sizeof latency_fields[0])
#define MOST 99.9 /* percent */

static_assert(sizeof(struct bwt_stats) ==
                      FIELD_TOTAL * 8 + 4 * 16 + LATENCY_TOTAL * sizeof(struct bwt_latency),
              "a number has no line above");

struct source {      /* where the numbers come from */
	bool live;   /* of a process that has the store open */
	pid_t owner; /* its id */
	double age;  /* seconds since it wrote them */
};

struct watcher {
	const char *store;
	bool json, prometheus;
	unsigned seconds; /* 0: once */
	struct bwt_stats stats, before;
	struct source source;
	unsigned lines;
};

static uint64_t field_value(const struct bwt_stats *stats, const struct field *field)
{
	uint64_t value;

	memcpy(&value, (const char *)stats + field->offset, sizeof value);
	return value;
}

static const struct bwt_latency *latency_of(const struct bwt_stats *stats, size_t index)
{
	const char *start = (const char *)stats + latency_fields[index].offset;

	return (const struct bwt_latency *)start;
}

/* Does another process have the store open than the one that wrote its number? Not to be told from another namespace. */
static bool left_behind(const char *store, pid_t writer)
{
	pid_t holder = tool_holder(store);
	struct stat here, there;
	char path[64];

	if (holder == 0 || holder == writer)
		return false;
	snprintf(path, sizeof path, "/proc/%ld/ns/pid", (long)holder);
	return stat("/proc/self/ns/pid", &here) == 0 && stat(path, &there) == 0 &&
	       here.st_ino == there.st_ino;
}

/* The file that the owner keeps. False: it has none that can be read, or an earlier one left it. */
static bool read_stat_file(struct watcher *watcher)
{
	char path[4096];
	size_t size = sizeof(struct stat_file);
	struct timespec now;
	struct stat st;
	uint64_t pid, updated_ns;
	void *map;
	bool good;
	int fd;

	snprintf(path, sizeof path, "%s/%s", watcher->store, STAT_FILE_NAME);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	map = MAP_FAILED;
	if (fstat(fd, &st) == 0 && st.st_size > 0) { /* an older library's may be shorter (SF2) */
		size = (size_t)st.st_size < size ? (size_t)st.st_size : size;
		map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	}
	close(fd);
	if (map == MAP_FAILED)
		return false;
	good = stat_file_read(map, size, &watcher->stats, &pid, &updated_ns);
	munmap(map, size);
	if (!good || left_behind(watcher->store, (pid_t)pid))
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	watcher->source.live = true;
	watcher->source.owner = (pid_t)pid;
	watcher->source.age =
		(double)now.tv_sec + (double)now.tv_nsec * 1e-9 - (double)updated_ns * 1e-9;
	if (watcher->source.age < 0)
		watcher->source.age = 0;
	return true;
}

static int collect(struct watcher *watcher)
{
	const struct bwt_options options = {.flags = BWT_RDONLY | BWT_CATCH_SIGBUS};
	struct bwt_db *db;
	int rc = bwt_open(watcher->store, &options, &db);

	if (rc == BWT_BUSY && read_stat_file(watcher))
		return BWT_OK;
	if (rc != BWT_OK)
		return rc;
	watcher->source = (struct source){.live = false};
	rc = bwt_stat(db, &watcher->stats);
	bwt_close(db);
	return rc;
}

/* Buckets as [nanoseconds that they are below, count], the empty ones left out. */
static void print_json_latency(const char *name, const struct bwt_latency *latency)
{
	const char *comma = "";

	printf(", \"%s\": {\"count\": %" PRIu64 ", \"sum_ns\": %" PRIu64, name, latency->count,
	       latency->sum_ns);
	printf(", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64,
	       bwt_latency_percentile(latency, 50), bwt_latency_percentile(latency, 99),
	       bwt_latency_percentile(latency, MOST));
	fputs(", \"buckets\": [", stdout);
	for (unsigned i = 0; i < BWT_LATENCY_BUCKETS; i++) {
		if (latency->buckets[i] == 0)
			continue;
		printf("%s[%" PRIu64 ", %" PRIu64 "]", comma, bwt_latency_bound(i),
		       latency->buckets[i]);
		comma = ", ";
	}
	fputs("]}", stdout);
}

static void print_json(const struct watcher *watcher)
{
	fputs("{\"store\": ", stdout);
	tool_json_string(stdout, watcher->store);
	for (size_t i = 0; i < FIELD_TOTAL; i++)
		printf(", \"%s\": %" PRIu64, fields[i].name,
		       field_value(&watcher->stats, &fields[i]));
	for (size_t i = 0; i < LATENCY_TOTAL; i++)
		print_json_latency(latency_fields[i].name, latency_of(&watcher->stats, i));
	fputs(", \"io_engine\": ", stdout);
	tool_json_string(stdout, watcher->stats.io_engine);
	fputs(", \"media\": ", stdout);
	tool_json_string(stdout, watcher->stats.media);
	fputs(", \"wal_media\": ", stdout);
	tool_json_string(stdout, watcher->stats.wal_media);
	fputs(", \"flush_instruction\": ", stdout);
	tool_json_string(stdout, watcher->stats.flush_instruction);
	if (watcher->source.live)
		printf(", \"owner_pid\": %ld, \"age_seconds\": %.3f}\n",
		       (long)watcher->source.owner, watcher->source.age);
	else
		fputs(", \"owner_pid\": null, \"age_seconds\": 0}\n", stdout);
}

/* A label's value, as the text format wants it. */
static void print_label(const char *name, const char *value)
{
	printf("%s=\"", name);
	for (; *value != '\0'; value++)
		if (*value == '\n')
			fputs("\\n", stdout);
		else
			printf("%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
	putchar('"');
}

static void print_metric(const struct watcher *watcher, const char *name, bool counter, double value)
{
	const char *suffix = counter ? "_total" : "";

	printf("# TYPE bwt_%s%s %s\nbwt_%s%s{", name, suffix, counter ? "counter" : "gauge", name,
	       suffix);
	print_label("store", watcher->store);
	printf("} %.17g\n", value);
}

/* A histogram by powers of two: a fourth of the buckets, which count all calls below their bound there. */
static void print_histogram(const struct watcher *watcher, const char *name,
                            const struct bwt_latency *latency)
{
	uint64_t below = 0;

	printf("# TYPE bwt_%s_seconds histogram\n", name);
	for (unsigned i = 0; i < BWT_LATENCY_BUCKETS - 1; i++) {
		below += latency->buckets[i];
		if (i % 4 != 3)
			continue;
		printf("bwt_%s_seconds_bucket{", name);
		print_label("store", watcher->store);
		printf(",le=\"%.9g\"} %" PRIu64 "\n", (double)bwt_latency_bound(i) * 1e-9, below);
	}
	printf("bwt_%s_seconds_bucket{", name);
	print_label("store", watcher->store);
	printf(",le=\"+Inf\"} %" PRIu64 "\nbwt_%s_seconds_sum{", latency->count, name);
	print_label("store", watcher->store);
	printf("} %.17g\nbwt_%s_seconds_count{", (double)latency->sum_ns * 1e-9, name);
	print_label("store", watcher->store);
	printf("} %" PRIu64 "\n", latency->count);
}

static void print_prometheus(const struct watcher *watcher)
{
	bool counter = false;

	for (size_t i = 0; i < FIELD_TOTAL; i++) {
		if (fields[i].group != NULL)
			counter = strcmp(fields[i].group, EVENTS) == 0;
		print_metric(watcher, fields[i].name, counter,
		             (double)field_value(&watcher->stats, &fields[i]));
	}
	for (size_t i = 0; i < LATENCY_TOTAL; i++)
		print_histogram(watcher, latency_fields[i].name, latency_of(&watcher->stats, i));
	print_metric(watcher, "open", false, watcher->source.live);
	print_metric(watcher, "age_seconds", false, watcher->source.age);
	fputs("# TYPE bwt_info gauge\nbwt_info{", stdout);
	print_label("store", watcher->store);
	putchar(',');
	print_label("io_engine", watcher->stats.io_engine);
	putchar(',');
	print_label("media", watcher->stats.media);
	putchar(',');
	print_label("wal_media", watcher->stats.wal_media);
	putchar(',');
	print_label("flush_instruction", watcher->stats.flush_instruction);
	puts("} 1");
}

static uint64_t without(uint64_t all, uint64_t part)
{
	return part < all ? all - part : 0; /* the two were not read at one instant */
}

/* Bytes written for each byte of keys and values put, by what they were written for. */
static void print_amplification(const struct bwt_stats *stats)
{
	const struct {
		const char *label;
		uint64_t bytes;
	} sources[] = {
		{"log", stats->wal_written_bytes},
		{"values", without(stats->vlog_written_bytes, stats->value_bytes_moved)},
		{"values collected", stats->value_bytes_moved},
		{"new pages", without(stats->arena_written_bytes, stats->cleaned_bytes)},
		{"extents cleaned", stats->cleaned_bytes},
		{"checkpoints", stats->image_written_bytes},
		{"all that was written", stats->device_bytes_written},
	};

	if (stats->user_bytes_written == 0)
		return;
	puts("Written for each byte put");
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
		printf("  %-26s %20.2f\n", sources[i].label,
		       (double)sources[i].bytes / (double)stats->user_bytes_written);
}

static void print_latencies(const struct bwt_stats *stats)
{
	bool any = false;

	for (size_t i = 0; i < LATENCY_TOTAL; i++) {
		const struct bwt_latency *latency = latency_of(stats, i);

		if (latency->count == 0)
			continue;
		if (!any)
			printf("%-28s %9s %9s %9s %9s\n", "Microseconds, of a sample", "p50", "p99",
			       "p99.9", "timed");
		any = true;
		printf("  %-26s %9.1f %9.1f %9.1f %9" PRIu64 "\n", latency_fields[i].label,
		       (double)bwt_latency_percentile(latency, 50) * 1e-3,
		       (double)bwt_latency_percentile(latency, 99) * 1e-3,
		       (double)bwt_latency_percentile(latency, MOST) * 1e-3, latency->count);
	}
}

static void print_all(const struct watcher *watcher)
{
	char human[TOOL_HUMAN_SIZE];

	if (watcher->source.live)
		printf("%s: open in process %ld, numbers %.1f s old\n", watcher->store,
		       (long)watcher->source.owner, watcher->source.age);
	else
		printf("%s: not open elsewhere\n", watcher->store);
	for (size_t i = 0; i < FIELD_TOTAL; i++) {
		uint64_t value = field_value(&watcher->stats, &fields[i]);

		if (fields[i].group != NULL)
			printf("%s\n", fields[i].group);
		printf("  %-26s %20" PRIu64, fields[i].label, value);
		if (fields[i].kind == FIELD_BYTES && value >= 1024)
			printf("  %s", tool_human(human, value));
		putchar('\n');
	}
	print_amplification(&watcher->stats);
	print_latencies(&watcher->stats);
	printf("System\n  %-26s %20s\n  %-26s %20s\n  %-26s %20s\n", "I/O engine",
	       watcher->stats.io_engine, "media", watcher->stats.media, "media of the log",
	       watcher->stats.wal_media);
	if (watcher->stats.flush_instruction[0] != '\0')
		printf("  %-26s %20s\n", "flush instruction", watcher->stats.flush_instruction);
}

/* Events per second; a counter that went back belongs to a new opening. */
static double rate(const struct watcher *watcher, uint64_t now, uint64_t before)
{
	return now < before ? 0.0 : (double)(now - before) / (double)watcher->seconds;
}

/* Adds what was timed since the line before; all of it when the store was opened meanwhile. */
static void add_since(struct bwt_latency *sum, const struct bwt_latency *now,
                      const struct bwt_latency *before)
{
	bool anew = now->count < before->count;

	for (unsigned i = 0; i < BWT_LATENCY_BUCKETS; i++) {
		uint64_t calls = now->buckets[i] - (anew ? 0 : before->buckets[i]);

		sum->buckets[i] += calls;
		sum->count += calls;
	}
}

/* The 99th percentile, in microseconds, of what latency_fields[@from..@to] timed since the line before. */
static double p99_since(const struct watcher *watcher, size_t from, size_t to)
{
	struct bwt_latency sum = {0};

	for (size_t i = from; i <= to; i++)
		add_since(&sum, latency_of(&watcher->stats, i), latency_of(&watcher->before, i));
	return (double)bwt_latency_percentile(&sum, 99) * 1e-3;
}

static void print_rates(struct watcher *watcher)
{
	const struct bwt_stats *now = &watcher->stats, *before = &watcher->before;
	double live = now->arena_bytes == 0
	                      ? 0
	                      : 100.0 * (double)now->arena_live_bytes / (double)now->arena_bytes;
	char put[TOOL_HUMAN_SIZE], device[TOOL_HUMAN_SIZE], arena[TOOL_HUMAN_SIZE];
	char wal[TOOL_HUMAN_SIZE], vlog[TOOL_HUMAN_SIZE];

	if (watcher->lines++ % WATCH_HEAD_EVERY == 0)
		printf("%10s %12s %10s %10s %12s %12s %10s %10s %5s %10s %10s %6s\n", "commits/s",
		       "flushes/s", "get p99", "commit p99", "put/s", "written/s", "keys", "arena",
		       "live", "log", "values", "cuts");
	tool_human(put, (uint64_t)rate(watcher, now->user_bytes_written, before->user_bytes_written));
	tool_human(device,
	           (uint64_t)rate(watcher, now->device_bytes_written, before->device_bytes_written));
	tool_human(arena, now->arena_bytes);
	tool_human(wal, now->wal_bytes);
	tool_human(vlog, now->vlog_bytes);
	printf("%10.0f %12.0f %8.1fus %8.1fus %12s %12s %10" PRIu64
	       " %10s %4.0f%% %10s %10s %6" PRIu64 "\n",
	       rate(watcher, now->commits, before->commits),
	       rate(watcher, now->log_flushes, before->log_flushes), p99_since(watcher, 0, 0),
	       p99_since(watcher, 1, 2), put, device, now->key_count, arena, live, wal, vlog,
	       now->checkpoint_count);
}

static void print(struct watcher *watcher, bool first)
{
	if (watcher->json)
		print_json(watcher);
	else if (watcher->prometheus)
		print_prometheus(watcher);
	else if (first)
		print_all(watcher);
	else
		print_rates(watcher);
	fflush(stdout);
}

/* Until the output is closed (head) or somebody interrupts. */
static int watch(struct watcher *watcher)
{
	for (bool first = true;; first = false) {
		int rc = collect(watcher);

		if (rc != BWT_OK)
			return rc;
		print(watcher, first);
		if (watcher->seconds == 0 || ferror(stdout))
			return BWT_OK;
		watcher->before = watcher->stats;
		sleep(watcher->seconds);
	}
}

int main(int argc, char **argv)
{
	struct watcher watcher = {0};
	const char *value;
	int letter, rc, status = EXIT_SUCCESS;

	while ((letter = tool_args_next(&stat_tool, argc, argv, &value)) != -1) {
		if (letter == OPTION_JSON)
			watcher.json = true;
		else if (letter == OPTION_PROMETHEUS)
			watcher.prometheus = true;
		else
			watcher.seconds = (unsigned)tool_args_number(&stat_tool, "--watch", value,
			                                             1, WATCH_SECONDS_MAX);
	}
	if (watcher.prometheus && (watcher.json || watcher.seconds != 0))
		tool_usage(&stat_tool, "--prometheus goes alone");
	watcher.store = tool_args_store(&stat_tool, argc, argv);
	rc = watch(&watcher);
	if (rc != BWT_OK)
		status = tool_fail(stat_tool.name, watcher.store, rc);
	return tool_close_output(stat_tool.name) ? status : TOOL_EXIT_FAILURE;
}
