/* SPDX-License-Identifier: MIT */
/*
 * bench_report.c - a run as key=value text or as JSON, from one list of fields
 */
#include "bench_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "workload.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BUILD_SANITIZER ", sanitizer"
#else
#define BUILD_SANITIZER ""
#endif
#ifdef __OPTIMIZE__
#define BUILD_OPTIMIZED ", optimized"
#else
#define BUILD_OPTIMIZED ", NOT optimized"
#endif
#ifdef __clang__
#define BUILD_COMPILER __VERSION__
#else
#define BUILD_COMPILER "gcc " __VERSION__
#endif

struct report {
	FILE *out;
	bool json;
	bool is_first;
};

static void begin_field(struct report *report, const char *name)
{
	if (!report->is_first)
		fputs(report->json ? ", " : " ", report->out);
	report->is_first = false;
	if (report->json)
		fprintf(report->out, "\"%s\": ", name);
	else
		fprintf(report->out, "%s=", name);
}

__attribute__((format(printf, 3, 4))) static void number(struct report *report, const char *name,
                                                         const char *format, ...)
{
	va_list args;

	begin_field(report, name);
	va_start(args, format);
	vfprintf(report->out, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized): it is */
	va_end(args);
}

/* Quoted in both forms; quotes, backslashes and control characters are left out of the text. */
static void text(struct report *report, const char *name, const char *value)
{
	begin_field(report, name);
	putc('"', report->out);
	for (const char *c = value; *c != '\0'; c++)
		if (*c != '"' && *c != '\\' && (unsigned char)*c >= ' ')
			putc(*c, report->out);
	putc('"', report->out);
}

/* " name=1 other=2" as fields of their own. */
static void counters(struct report *report, const char *pairs)
{
	char copy[BACKEND_TEXT_MAX];
	char *rest = copy;
	char *pair;

	snprintf(copy, sizeof copy, "%s", pairs);
	while ((pair = strsep(&rest, " ")) != NULL) {
		char *value = strchr(pair, '=');

		if (value == NULL)
			continue;
		*value = '\0';
		number(report, pair, "%s", value + 1);
	}
}

static double per(uint64_t amount, uint64_t unit)
{
	return unit == 0 ? 0 : (double)amount / (double)unit;
}

static const char *shape_name(enum random_shape shape)
{
	switch (shape) {
	case RANDOM_UNIFORM:
		return "uniform";
	case RANDOM_ZIPFIAN:
		return "zipfian";
	case RANDOM_LATEST:
		return "latest";
	default:
		return "none";
	}
}

static void print_result(struct report *report, const struct run_result *result)
{
	const double seconds = (double)result->elapsed_ns / 1e9;
	const struct histogram *latency = &result->latency;

	number(report, "ops_per_s", "%.0f", seconds > 0 ? (double)result->ops / seconds : 0);
	number(report, "entries_per_s", "%.0f", seconds > 0 ? (double)result->entries / seconds : 0);
	number(report, "ops", "%" PRIu64, result->ops);
	number(report, "seconds", "%.3f", seconds);
	number(report, "p50_us", "%.2f", (double)histogram_percentile(latency, 50) / 1e3);
	number(report, "p90_us", "%.2f", (double)histogram_percentile(latency, 90) / 1e3);
	number(report, "p99_us", "%.2f", (double)histogram_percentile(latency, 99) / 1e3);
	number(report, "p999_us", "%.2f", (double)histogram_percentile(latency, 99.9) / 1e3);
	number(report, "p9999_us", "%.2f", (double)histogram_percentile(latency, 99.99) / 1e3);
	number(report, "max_us", "%.2f", (double)latency->max / 1e3);
	number(report, "cpu_us_per_op", "%.3f", per(result->cpu_ns, result->ops) / 1e3);
	number(report, "timed", "%" PRIu64, latency->total);
	number(report, "misses", "%" PRIu64, result->misses);
	number(report, "conflicts", "%" PRIu64, result->conflicts);
	number(report, "put_bytes", "%" PRIu64, result->put_bytes);
	number(report, "write_amp", "%.2f", per(result->written.process, result->put_bytes));
	number(report, "device_write_amp", "%.2f", per(result->written.device, result->put_bytes));
	number(report, "disk_bytes", "%" PRIu64, result->disk_bytes);
	number(report, "space_amp", "%.2f", per(result->disk_bytes, result->live_bytes));
	number(report, "data_growth", "%.3f", per(result->data_max, result->data_first));
	number(report, "data_over_live", "%.3f", per(result->data_max, result->live_bytes));
	number(report, "anon_mib", "%.1f", (double)result->anon_peak / 1048576.0);
}

static void print_settings(struct report *report, const struct run *run,
                           const struct report_context *context)
{
	number(report, "records", "%" PRIu64, run->options->records);
	number(report, "key_size", "%u", run->keys->key_size);
	number(report, "value_size", "%u", run->keys->value_size);
	number(report, "value_least", "%u", run->keys->value_least);
	number(report, "batch", "%u", run->options->batch);
	number(report, "read_batch", "%u", run->options->read_batch);
	number(report, "memory", "%" PRIu64, run->options->memory);
	number(report, "scan_length", "%u", run->options->scan_length);
	text(report, "distribution", shape_name(run->shape));
	text(report, "order", context->ordered ? "key" : "random");
	number(report, "seed", "%" PRIu64, run->options->seed);
	text(report, "sync", context->sync == BACKEND_SYNC ? "sync" : "none");
	text(report, "store", context->store);
	text(report, "file_system", context->names.file_system);
	text(report, "cpu", context->names.cpu);
	text(report, "kernel", context->names.kernel);
	text(report, "build", BUILD_COMPILER BUILD_OPTIMIZED BUILD_SANITIZER);
	text(report, "libbwt", bwt_version());
}

/* For people: what most look for; its titles when the output begins. */
static void print_table_line(FILE *out, const struct run *run, const struct run_result *result)
{
	static bool has_titles; /* one thread prints */
	const double seconds = result->elapsed_ns > 0 ? (double)result->elapsed_ns / 1e9 : 1;
	const struct histogram *latency = &result->latency;
	char work[48];

	if (!has_titles)
		fprintf(out, "%-12s %-18s %12s %12s %9s %9s %9s %10s %8s %8s %8s\n", "store",
		        "workload", "operations/s", "entries/s", "p50 us", "p99 us", "p99.9 us",
		        "max us", "cpu us", "written", "space");
	has_titles = true;
	snprintf(work, sizeof work, "%s:%u", run->workload->name, run->thread_count);
	fprintf(out, "%-12s %-18s %12.0f %12.0f %9.2f %9.2f %9.2f %10.2f %8.2f %8.2f %8.2f\n",
	        run->options->backend->name, work, (double)result->ops / seconds,
	        (double)result->entries / seconds, (double)histogram_percentile(latency, 50) / 1e3,
	        (double)histogram_percentile(latency, 99) / 1e3,
	        (double)histogram_percentile(latency, 99.9) / 1e3, (double)latency->max / 1e3,
	        per(result->cpu_ns, result->ops) / 1e3,
	        per(result->written.process, result->put_bytes),
	        per(result->disk_bytes, result->live_bytes));
	fflush(out);
}

void report_print(FILE *out, const struct run *run, const struct run_result *result,
                  const struct report_context *context)
{
	struct report report = {out, run->options->format == OPTIONS_JSON, true};

	if (run->options->format == OPTIONS_TABLE) {
		print_table_line(out, run, result);
		return;
	}
	if (report.json)
		putc('{', out);
	text(&report, "workload", run->workload->name);
	if (run->options->label[0] != '\0')
		text(&report, "label", run->options->label);
	text(&report, "backend", run->options->backend->name);
	number(&report, "threads", "%u", run->thread_count);
	number(&report, "round", "%u", context->round);
	print_result(&report, result);
	counters(&report, context->counters);
	print_settings(&report, run, context);
	fputs(report.json ? "}\n" : "\n", out);
	fflush(out);
}
