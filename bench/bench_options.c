/* SPDX-License-Identifier: MIT */
/*
 * bench_options.c - parse and check the command line; --help, --version, --list
 */
#include "bench_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench_keys.h"
#include "workload.h"

#define MEMORY_MIN 1000000u /* below that, nothing works at all */

#define INLINE_LIMIT 65536u /* bwt_open(3) */

enum option_code {
	OPTION_BACKEND = 'b',
	OPTION_WORKLOAD = 'w',
	OPTION_RECORDS = 'n',
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
	OPTION_VALUE_SIZE = 256,
	OPTION_KEY_SIZE,
	OPTION_THREADS,
	OPTION_SECONDS,
	OPTION_OPS,
	OPTION_SEED,
	OPTION_SYNC,
	OPTION_DIR,
	OPTION_JSON,
	OPTION_KEEP,
	OPTION_REPEAT,
	OPTION_BATCH,
	OPTION_READ_BATCH,
	OPTION_SCAN_LENGTH,
	OPTION_TIME_EVERY,
	OPTION_DISTRIBUTION,
	OPTION_SPACE_TARGET,
	OPTION_WORKERS,
	OPTION_LIST,
	OPTION_LABEL,
	OPTION_KEY_PREFIX,
	OPTION_MEMORY,
	OPTION_CACHE,
	OPTION_STORE,
	OPTION_CRASH,
	OPTION_SERIES,
	OPTION_PLOT,
	OPTION_TABLE,
	OPTION_SWEEP,
	OPTION_INLINE_MAX,
	OPTION_CHECKPOINT_BYTES,
	OPTION_VALUE_LEAST,
	OPTION_VLOG_SPACE_TARGET,
};

static const struct option long_options[] = {
	{"backend", required_argument, NULL, OPTION_BACKEND},
	{"workload", required_argument, NULL, OPTION_WORKLOAD},
	{"records", required_argument, NULL, OPTION_RECORDS},
	{"value-size", required_argument, NULL, OPTION_VALUE_SIZE},
	{"key-size", required_argument, NULL, OPTION_KEY_SIZE},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"ops", required_argument, NULL, OPTION_OPS},
	{"seed", required_argument, NULL, OPTION_SEED},
	{"sync", required_argument, NULL, OPTION_SYNC},
	{"dir", required_argument, NULL, OPTION_DIR},
	{"json", no_argument, NULL, OPTION_JSON},
	{"keep", no_argument, NULL, OPTION_KEEP},
	{"repeat", required_argument, NULL, OPTION_REPEAT},
	{"batch", required_argument, NULL, OPTION_BATCH},
	{"read-batch", required_argument, NULL, OPTION_READ_BATCH},
	{"scan-length", required_argument, NULL, OPTION_SCAN_LENGTH},
	{"time-every", required_argument, NULL, OPTION_TIME_EVERY},
	{"distribution", required_argument, NULL, OPTION_DISTRIBUTION},
	{"space-target", required_argument, NULL, OPTION_SPACE_TARGET},
	{"vlog-space-target", required_argument, NULL, OPTION_VLOG_SPACE_TARGET},
	{"value-least", required_argument, NULL, OPTION_VALUE_LEAST},
	{"workers", required_argument, NULL, OPTION_WORKERS},
	{"label", required_argument, NULL, OPTION_LABEL},
	{"key-prefix", required_argument, NULL, OPTION_KEY_PREFIX},
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"cache", required_argument, NULL, OPTION_CACHE},
	{"store", required_argument, NULL, OPTION_STORE},
	{"crash", no_argument, NULL, OPTION_CRASH},
	{"series", required_argument, NULL, OPTION_SERIES},
	{"plot", required_argument, NULL, OPTION_PLOT},
	{"table", no_argument, NULL, OPTION_TABLE},
	{"sweep", optional_argument, NULL, OPTION_SWEEP},
	{"inline-max", required_argument, NULL, OPTION_INLINE_MAX},
	{"checkpoint-bytes", required_argument, NULL, OPTION_CHECKPOINT_BYTES},
	{"list", no_argument, NULL, OPTION_LIST},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char help_text[] =
	"usage: bwt-bench [OPTION]...\n"
	"Measure libbwt, or a peer, and print one line of key=value for each run.\n"
	"\n"
	"  -b, --backend=LIST       NAME,... stores to measure (bwt); --list names them\n"
	"  -w, --workload=LIST      NAME[:THREADS],... on one store, in that order (load,read)\n"
	"  -n, --records=N          records of the store (1M); k, M and G are decimal\n"
	"      --key-size=BYTES     8..1024 (8); from 24 on keys are text\n"
	"      --key-prefix=TEXT    keys are TEXT and the record's number in decimal\n"
	"      --value-size=BYTES   (100)\n"
	"      --value-least=BYTES  values are from here up to --value-size (all are of that)\n"
	"      --threads=N          where the workload does not say (1)\n"
	"      --seconds=S          length of a run (5)\n"
	"      --ops=N              operations of a run, instead of a length\n"
	"      --sync=none|sync     puts do not wait for the disk, or do (none)\n"
	"      --distribution=uniform|zipfian|latest   instead of the workload's own\n"
	"      --batch=N            pairs in the transaction of one put (1)\n"
	"      --read-batch=N       keys of one call of read-many (64)\n"
	"      --scan-length=N      entries of one scan (100)\n"
	"      --space-target=PCT   libbwt: percent of arena bytes over live bytes (250)\n"
	"      --vlog-space-target=PCT|off   libbwt: the same of the value log (150)\n"
	"      --workers=N|off      libbwt: background threads (1)\n"
	"      --memory=BYTES       once loaded, of this process and its page cache (no bound)\n"
	"      --cache=BYTES        of stores that have their own (half of --memory)\n"
	"      --inline-max=BYTES   libbwt: larger values go to the value log (2048)\n"
	"      --checkpoint-bytes=BYTES   libbwt: log that makes one due (256 MiB)\n"
	"      --repeat=N           measure each run so often (1)\n"
	"      --time-every=N       time every Nth operation (16; durable puts 1)\n"
	"      --seed=N             of all random choices (from the clock)\n"
	"      --dir=DIR            make the store's directory below DIR ($TMPDIR or /var/tmp)\n"
	"      --store=DIR          make the store in DIR, or use the one there; stays\n"
	"      --crash              end by SIGKILL, all that was put in the log\n"
	"      --label=TEXT         write TEXT into each line\n"
	"      --keep               leave the store behind, and say where\n"
	"      --series=FILE        write throughput and latency over time\n"
	"      --plot=FILE.svg      draw them (gnuplot)\n"
	"      --sweep[=SETTING]    libbwt: each value of a setting, or of all, as tables\n"
	"      --table              a table, as on a terminal\n"
	"      --json               one JSON object for each run\n"
	"      --list               backends and workloads of this build\n"
	"  -h, --help               this text\n"
	"  -V, --version            version of libbwt\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage.\n";

static int wrong(const char *what, const char *text)
{
	fprintf(stderr, "bwt-bench: %s: '%s'\nTry 'bwt-bench --help'.\n", what, text);
	return -EINVAL;
}

/* A whole number with a decimal suffix, in [@min, @max]. */
static int parse_number(const char *name, const char *text, uint64_t min, uint64_t max,
                        uint64_t *number)
{
	unsigned long long parsed;
	uint64_t unit = 1;
	char *end;

	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (end == text || errno != 0 || strchr(text, '-') != NULL)
		return wrong(name, text);
	if (*end == 'k' || *end == 'K')
		unit = 1000;
	else if (*end == 'M' || *end == 'm')
		unit = 1000000;
	else if (*end == 'G' || *end == 'g')
		unit = 1000000000;
	if (unit > 1)
		end++;
	if (*end != '\0' || parsed > max / unit || parsed * unit < min)
		return wrong(name, text);
	*number = parsed * unit;
	return 0;
}

static int parse_unsigned(const char *name, const char *text, unsigned min, unsigned max,
                          unsigned *number)
{
	uint64_t parsed = 0;
	int rc = parse_number(name, text, min, max, &parsed);

	if (rc == 0)
		*number = (unsigned)parsed;
	return rc;
}

static int parse_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(*seconds) || *seconds <= 0 || *seconds > 1e6)
		return wrong("--seconds", text);
	return 0;
}

static int parse_sync(const char *text, enum backend_sync *sync)
{
	if (strcmp(text, "none") == 0)
		*sync = BACKEND_NONE;
	else if (strcmp(text, "sync") == 0)
		*sync = BACKEND_SYNC;
	else
		return wrong("--sync", text);
	return 0;
}

static int parse_shape(const char *text, enum random_shape *shape)
{
	if (strcmp(text, "uniform") == 0)
		*shape = RANDOM_UNIFORM;
	else if (strcmp(text, "zipfian") == 0)
		*shape = RANDOM_ZIPFIAN;
	else if (strcmp(text, "latest") == 0)
		*shape = RANDOM_LATEST;
	else
		return wrong("--distribution", text);
	return 0;
}

bool options_next_backend(struct bench_options *options, const char **rest)
{
	const size_t size = strcspn(*rest, ",");
	char name[32];

	if (**rest == '\0')
		return false;
	snprintf(name, sizeof name, "%.*s", (int)size, *rest);
	options->backend = backend_find(name);
	*rest += (*rest)[size] == ',' ? size + 1 : size;
	return true;
}

/* A list of names, each of which is known. */
static int parse_backends(const char *text, struct bench_options *options)
{
	const char *rest = text;

	options->backends = text;
	options->backend = NULL;
	while (options_next_backend(options, &rest))
		if (options->backend == NULL)
			break;
	return options->backend != NULL ? 0 : wrong("no such backend in this build", text);
}

static void print_list(void)
{
	const struct backend *backend;
	const struct workload *workload;

	puts("backends:");
	for (size_t i = 0; (backend = backend_at(i)) != NULL; i++)
		printf("  %-11s %s\n", backend->name, backend->about);
	puts("workloads:");
	for (size_t i = 0; (workload = workload_at(i)) != NULL; i++)
		printf("  %-11s %s\n", workload->name, workload->about);
}

static int parse_or_off(const char *name, const char *text, unsigned least, unsigned most,
                        unsigned *value)
{
	*value = (unsigned)BWT_OFF;
	return strcmp(text, "off") == 0 ? 0 : parse_unsigned(name, text, least, most, value);
}

/* One option with a value. */
static int parse_valued(struct bench_options *options, int code, const char *text)
{
	switch (code) {
	case OPTION_BACKEND:
		return parse_backends(text, options);
	case OPTION_WORKLOAD:
		options->workloads = text;
		return 0;
	case OPTION_RECORDS:
		return parse_number("--records", text, 1, UINT32_MAX * 1000ull, &options->records);
	case OPTION_VALUE_SIZE:
		return parse_unsigned("--value-size", text, 0, OPTIONS_VALUE_MAX,
		                      &options->value_size);
	case OPTION_KEY_SIZE:
		return parse_unsigned("--key-size", text, KEYS_SIZE_MIN, KEYS_SIZE_MAX,
		                      &options->key_size);
	case OPTION_THREADS:
		return parse_unsigned("--threads", text, 1, OPTIONS_THREADS_MAX, &options->threads);
	case OPTION_SECONDS:
		return parse_seconds(text, &options->seconds);
	case OPTION_OPS:
		return parse_number("--ops", text, 1, UINT64_MAX, &options->ops);
	case OPTION_SEED:
		return parse_number("--seed", text, 0, UINT64_MAX, &options->seed);
	case OPTION_SYNC:
		return parse_sync(text, &options->sync);
	case OPTION_DIR:
		options->dir = text;
		return 0;
	case OPTION_REPEAT:
		return parse_unsigned("--repeat", text, 1, 1000, &options->repeat);
	case OPTION_BATCH:
		return parse_unsigned("--batch", text, 1, OPTIONS_BATCH_MAX, &options->batch);
	case OPTION_READ_BATCH:
		return parse_unsigned("--read-batch", text, 1, OPTIONS_BATCH_MAX,
		                      &options->read_batch);
	case OPTION_SCAN_LENGTH:
		return parse_unsigned("--scan-length", text, 1, UINT32_MAX, &options->scan_length);
	case OPTION_TIME_EVERY:
		return parse_unsigned("--time-every", text, 1, UINT32_MAX, &options->time_every);
	case OPTION_DISTRIBUTION:
		return parse_shape(text, &options->shape);
	case OPTION_LABEL:
		options->label = text;
		return 0;
	case OPTION_KEY_PREFIX:
		options->key_prefix = text;
		return 0;
	case OPTION_MEMORY:
		return parse_number("--memory", text, MEMORY_MIN, UINT64_MAX, &options->memory);
	case OPTION_CACHE:
		return parse_number("--cache", text, MEMORY_MIN, UINT64_MAX, &options->cache);
	case OPTION_STORE:
		options->store = text;
		return 0;
	case OPTION_INLINE_MAX:
		return parse_unsigned("--inline-max", text, 1, INLINE_LIMIT, &options->inline_max);
	case OPTION_CHECKPOINT_BYTES:
		return parse_number("--checkpoint-bytes", text, MEMORY_MIN, UINT64_MAX,
		                    &options->checkpoint_bytes);
	case OPTION_SERIES:
		options->series = text;
		return 0;
	case OPTION_PLOT:
		options->plot = text;
		return 0;
	case OPTION_SPACE_TARGET:
		return parse_unsigned("--space-target", text, 110, 100000, &options->space_target);
	case OPTION_WORKERS:
		return parse_or_off("--workers", text, 1, 64, &options->workers);
	case OPTION_VLOG_SPACE_TARGET:
		return parse_or_off("--vlog-space-target", text, 110, 100000,
		                    &options->vlog_space_target);
	case OPTION_VALUE_LEAST:
		return parse_unsigned("--value-least", text, 0, OPTIONS_VALUE_MAX,
		                      &options->value_least);
	default:
		return -EINVAL; /* getopt_long() has said why */
	}
}

static void set_defaults(struct bench_options *options)
{
	struct timespec now;
	const char *tmp = getenv("TMPDIR");

	clock_gettime(CLOCK_REALTIME, &now);
	*options = (struct bench_options){
		.backends = "bwt",
		.backend = &backend_bwt,
		.format = isatty(STDOUT_FILENO) ? OPTIONS_TABLE : OPTIONS_LINES,
		.label = "",
		.workloads = "load,read",
		.dir = tmp != NULL && tmp[0] != '\0' ? tmp : "/var/tmp",
		.records = 1000000,
		.seconds = 5,
		.seed = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
		.key_size = 8,
		.value_size = 100,
		.threads = 1,
		.repeat = 1,
		.batch = 1,
		.read_batch = 64,
		.scan_length = 100,
	};
}

enum options_outcome options_parse(struct bench_options *options, int argc, char **argv)
{
	int code;

	set_defaults(options);
	while ((code = getopt_long(argc, argv, "b:w:n:hV", long_options, NULL)) != -1) {
		switch (code) {
		case OPTION_HELP:
			fputs(help_text, stdout);
			return OPTIONS_DONE;
		case OPTION_VERSION:
			printf("bwt-bench %s\n", bwt_version());
			return OPTIONS_DONE;
		case OPTION_LIST:
			print_list();
			return OPTIONS_DONE;
		case OPTION_JSON:
			options->format = OPTIONS_JSON;
			break;
		case OPTION_SWEEP:
			options->sweep = optarg != NULL ? optarg : "";
			break;
		case OPTION_TABLE:
			options->format = OPTIONS_TABLE;
			break;
		case OPTION_CRASH:
			options->crash = true;
			break;
		case OPTION_KEEP:
			options->keep = true;
			break;
		default:
			if (parse_valued(options, code, optarg) < 0)
				return OPTIONS_WRONG;
		}
	}
	if (options->key_prefix != NULL && strlen(options->key_prefix) >= options->key_size) {
		(void)wrong("--key-prefix is not shorter than keys", options->key_prefix);
		return OPTIONS_WRONG;
	}
	if (optind < argc) {
		(void)wrong("unexpected argument", argv[optind]);
		return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}
