/* SPDX-License-Identifier: MIT */
/*
 * bwt-demo.c - the part of "make demo" that is a program: load while being killed, then prove
 *
 *   bwt-demo prepare packages|paths INPUT RECORDS    cut real data into records
 *   bwt-demo load   STORE PACKAGES PATHS ACKS        put what ACKS does not name yet, 2 threads
 *   bwt-demo verify STORE PACKAGES PATHS ACKS [all]  compare the store with the records
 *   bwt-demo look   STORE PACKAGES PATHS             lookups and scans, timed
 *
 * PACKAGES and PATHS are record files: u32 key size, u32 value size, key, value, and so on. Packages
 * go to the main tree, paths to the tree "paths". Records are numbered through both files.
 *
 * ACKS is what a client of the store would remember: the number of each record, appended after the
 * durable put of it returned. It is written by write(2) and so outlives SIGKILL.
 *
 *   D1  A number is in ACKS only if the put of that record has returned BWT_OK.
 *   D2  Each record is put by one thread at a time with one value, so that a record which was put but
 *       not acknowledged may be there or not, but never with other bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "bwt.h"

#define THREADS 2
#define KEY_SIZE_MAX 511u /* of LMDB, with which the result is compared */
#define STRIDE 1000003u   /* records are put in steps of this prime: scattered over both trees */
#define LOOKUPS 100000u

struct record {
	struct bwt_slice key, value;
	uint32_t number;
};

/* All records of both files, sorted by tree and key within [first[t], first[t + 1]). */
struct records {
	struct record *all;
	uint32_t first[3];
};

static const char *const tree_names[2] = {NULL, "paths"};

static void die(const char *what, const char *name) __attribute__((noreturn));
static void die_rc(const char *what, int rc) __attribute__((noreturn));

static void die(const char *what, const char *name)
{
	fprintf(stderr, "bwt-demo: cannot %s %s: %s\n", what, name, strerror(errno));
	exit(EXIT_FAILURE);
}

static void die_rc(const char *what, int rc)
{
	fprintf(stderr, "bwt-demo: %s: %s%s%s\n", what, bwt_strerror(rc),
	        bwt_detail()[0] != '\0' ? ": " : "", bwt_detail());
	exit(EXIT_FAILURE);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *grow(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (memory == NULL)
		die("get", "memory");
	return memory;
}

/* The whole file in memory; a missing one is empty when @may_miss. */
static struct bwt_slice read_file(const char *path, bool may_miss)
{
	struct bwt_slice bytes = {"", 0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && may_miss && errno == ENOENT)
		return bytes;
	if (fd < 0 || fstat(fd, &st) != 0)
		die("read", path);
	if (st.st_size > 0) {
		bytes.data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes.data == MAP_FAILED)
			die("map", path);
		bytes.size = (size_t)st.st_size;
	}
	close(fd);
	return bytes;
}

/* ---- records --------------------------------------------------------------------------------- */

static int compare_slices(struct bwt_slice a, struct bwt_slice b)
{
	size_t common = a.size < b.size ? a.size : b.size;
	int order = memcmp(a.data, b.data, common);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_records(const void *a, const void *b)
{
	const struct record *left = a, *right = b;
	int order = compare_slices(left->key, right->key);

	return order != 0 ? order : (left->number > right->number) - (left->number < right->number);
}

static void append_record(struct record **list, uint32_t *count, const char *key, size_t key_size,
                          const char *value, size_t value_size)
{
	if ((*count & (*count + 1)) == 0)
		*list = grow(*list, 2 * ((size_t)*count + 1) * sizeof **list);
	(*list)[*count] = (struct record){{key, key_size}, {value, value_size}, *count};
	++*count;
}

static const char *field(const char *text, const char *end, const char *name, size_t *size)
{
	size_t name_size = strlen(name);

	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		eol = eol == NULL ? end : eol;
		if ((size_t)(eol - text) > name_size && memcmp(text, name, name_size) == 0) {
			*size = (size_t)(eol - text) - name_size;
			return text + name_size;
		}
		text = eol + 1;
	}
	*size = 0;
	return "";
}

/* Paragraphs of a Debian package index; key: name, version, architecture. */
static void cut_packages(struct bwt_slice input, struct record **list, uint32_t *count)
{
	const char *pos = input.data, *end = pos + input.size;

	while (pos < end) {
		const char *stop = memmem(pos, (size_t)(end - pos), "\n\n", 2);
		const char *next = stop == NULL ? end : stop + 2;
		size_t name_size, version_size, arch_size;
		const char *name, *version, *arch;
		char *key = NULL;
		int key_size;

		stop = stop == NULL ? end : stop + 1;
		name = field(pos, stop, "Package: ", &name_size);
		version = field(pos, stop, "Version: ", &version_size);
		arch = field(pos, stop, "Architecture: ", &arch_size);
		key_size = asprintf(&key, "%.*s %.*s %.*s", (int)name_size, name, (int)version_size,
		                    version, (int)arch_size, arch);
		if (key_size < 0)
			die("get", "memory");
		if (name_size > 0)
			append_record(list, count, key, (size_t)key_size, pos, (size_t)(stop - pos));
		pos = next;
	}
}

/* Pairs of strings, a zero byte after each: path and stat line. */
static void cut_paths(struct bwt_slice input, struct record **list, uint32_t *count)
{
	const char *pos = input.data, *end = pos + input.size;

	while (pos < end) {
		const char *key_end = memchr(pos, '\0', (size_t)(end - pos));
		const char *value_end;

		if (key_end == NULL)
			break;
		value_end = memchr(key_end + 1, '\0', (size_t)(end - key_end - 1));
		if (value_end == NULL)
			break;
		append_record(list, count, pos, (size_t)(key_end - pos), key_end + 1,
		              (size_t)(value_end - key_end - 1));
		pos = value_end + 1;
	}
}

/* Write the records sorted by key, each key once (the first wins), none longer than LMDB takes. */
static int prepare(const char *kind, const char *input, const char *output)
{
	struct record *list = NULL;
	uint32_t count = 0, kept = 0, too_long = 0;
	size_t bytes = 0, largest = 0;
	FILE *file = fopen(output, "we");

	if (file == NULL)
		die("write", output);
	if (strcmp(kind, "packages") == 0)
		cut_packages(read_file(input, false), &list, &count);
	else
		cut_paths(read_file(input, false), &list, &count);
	if (count == 0) {
		fprintf(stderr, "bwt-demo: %s has no records\n", input);
		return EXIT_FAILURE;
	}
	qsort(list, count, sizeof *list, compare_records);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t sizes[2] = {(uint32_t)list[i].key.size, (uint32_t)list[i].value.size};

		if (list[i].key.size > KEY_SIZE_MAX) {
			too_long++;
			continue;
		}
		if (i > 0 && compare_slices(list[i - 1].key, list[i].key) == 0)
			continue;
		fwrite(sizes, sizeof sizes, 1, file);
		fwrite(list[i].key.data, 1, list[i].key.size, file);
		fwrite(list[i].value.data, 1, list[i].value.size, file);
		kept++;
		bytes += list[i].key.size + list[i].value.size;
		largest = list[i].value.size > largest ? list[i].value.size : largest;
	}
	if (fclose(file) != 0)
		die("write", output);
	printf("%s: %u records, %.1f MiB, largest value %zu bytes", kind, kept,
	       (double)bytes / 1048576, largest);
	if (too_long > 0)
		printf(" (%u keys above %u bytes left out: LMDB refuses them)", too_long,
		       KEY_SIZE_MAX);
	printf("\n");
	return EXIT_SUCCESS;
}

static void read_records(struct records *records, const char *packages, const char *paths)
{
	const char *names[2] = {packages, paths};
	uint32_t count = 0;

	records->all = NULL;
	for (int tree = 0; tree < 2; tree++) {
		struct bwt_slice bytes = read_file(names[tree], false);
		const char *pos = bytes.data, *end = pos + bytes.size;
		uint32_t sizes[2];

		records->first[tree] = count;
		while ((size_t)(end - pos) >= sizeof sizes) {
			memcpy(sizes, pos, sizeof sizes);
			pos += sizeof sizes;
			append_record(&records->all, &count, pos, sizes[0], pos + sizes[0], sizes[1]);
			pos += sizes[0] + sizes[1];
		}
	}
	records->first[2] = count;
}

/* One flag per record, set when ACKS names it; *@count says how many are set. */
static bool *read_acks(const char *path, uint32_t total, uint32_t *count)
{
	struct bwt_slice bytes = read_file(path, true);
	bool *acked = grow(NULL, total);
	uint32_t number;

	memset(acked, 0, total);
	*count = 0;
	for (size_t off = 0; off + sizeof number <= bytes.size; off += sizeof number) {
		memcpy(&number, (const char *)bytes.data + off, sizeof number);
		if (number >= total) {
			fprintf(stderr, "bwt-demo: %s does not belong to these records\n", path);
			exit(EXIT_FAILURE);
		}
		*count += !acked[number];
		acked[number] = true;
	}
	return acked;
}

static struct bwt_db *open_store(const char *path, unsigned flags, struct bwt_tree *trees[2])
{
	struct bwt_options options = {.flags = flags | BWT_CATCH_SIGBUS};
	struct bwt_db *db;
	int rc = bwt_open(path, &options, &db);

	if (rc < 0)
		die_rc(path, rc);
	for (int tree = 0; tree < 2; tree++) {
		rc = bwt_tree_open(db, tree_names[tree], flags & BWT_CREATE, &trees[tree]);
		if (rc == BWT_NOT_FOUND)
			trees[tree] = NULL; /* killed before it was created */
		else if (rc < 0)
			die_rc("open a tree", rc);
	}
	return db;
}

static void close_store(struct bwt_db *db)
{
	int rc = bwt_close(db);

	if (rc < 0)
		die_rc("close", rc);
}

/* ---- load ------------------------------------------------------------------------------------ */

struct loader {
	const struct records *records;
	struct bwt_tree *trees[2];
	const bool *acked; /* by earlier runs */
	int ack_fd;
	_Atomic uint32_t next; /* position in the scattered order, taken by both threads */
	_Atomic uint32_t put_count;
};

static void *load_thread(void *arg)
{
	struct loader *loader = arg;
	const struct records *records = loader->records;
	uint32_t total = records->first[2];
	uint32_t stride = total % STRIDE == 0 ? 1 : STRIDE;

	for (;;) {
		uint32_t turn = atomic_fetch_add_explicit(&loader->next, 1, memory_order_relaxed);
		uint32_t number = (uint32_t)((uint64_t)turn * stride % total);
		const struct record *record = &records->all[number];
		int rc;

		if (turn >= total)
			return NULL;
		if (loader->acked[number])
			continue;
		rc = bwt_put(loader->trees[number >= records->first[1]], NULL, record->key,
		             record->value, 0);
		if (rc < 0)
			die_rc("put", rc);
		if (write(loader->ack_fd, &number, sizeof number) != sizeof number) /* D1 */
			die("write", "acknowledgement");
		atomic_fetch_add_explicit(&loader->put_count, 1, memory_order_relaxed);
	}
}

static int load(const char *store, const struct records *records, const char *acks)
{
	struct loader loader = {.records = records};
	double begin = seconds(), opened;
	pthread_t threads[THREADS];
	uint32_t before, put_count;
	struct bwt_db *db;

	loader.acked = read_acks(acks, records->first[2], &before);
	loader.ack_fd = open(acks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (loader.ack_fd < 0)
		die("write", acks);
	db = open_store(store, BWT_CREATE, loader.trees);
	opened = seconds();
	printf("loader %d: opened in %.2f s, %u of %u acknowledged so far\n", (int)getpid(),
	       opened - begin, before, records->first[2]);
	fflush(stdout);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, load_thread, &loader) != 0)
			die("start", "a thread");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	put_count = atomic_load_explicit(&loader.put_count, memory_order_relaxed);
	printf("loader %d: %u durable commits by %d threads in %.2f s (%.0f a second)\n",
	       (int)getpid(), put_count, THREADS, seconds() - opened,
	       put_count / (seconds() - opened));
	close(loader.ack_fd);
	begin = seconds();
	close_store(db);
	printf("loader %d: closed in %.2f s\n", (int)getpid(), seconds() - begin);
	return EXIT_SUCCESS;
}

/* ---- verify ---------------------------------------------------------------------------------- */

static void print_key(struct bwt_slice key)
{
	const unsigned char *bytes = key.data;

	for (size_t i = 0; i < key.size; i++)
		if (bytes[i] >= ' ' && bytes[i] < 127 && bytes[i] != '\\')
			putchar(bytes[i]);
		else
			printf("\\x%02x", bytes[i]);
}

static uint64_t complain(const char *what, const struct record *record)
{
	static unsigned said;

	if (++said <= 10) {
		printf("  DIFFERENT: %s: ", what);
		print_key(record->key);
		printf("\n");
	}
	return 1;
}

/* Acknowledged records by lookup: there, and equal. */
static uint64_t verify_acked(const struct records *records, const bool *acked,
                             struct bwt_tree *trees[2])
{
	struct bwt_buf value = {0};
	uint64_t wrong = 0;

	for (uint32_t n = 0; n < records->first[2]; n++) {
		const struct record *record = &records->all[n];
		struct bwt_tree *tree = trees[n >= records->first[1]];
		int rc;

		if (!acked[n])
			continue;
		rc = tree == NULL ? BWT_NOT_FOUND : bwt_get(tree, NULL, record->key, &value);
		if (rc == BWT_NOT_FOUND)
			wrong += complain("acknowledged, not there", record);
		else if (rc < 0)
			die_rc("get", rc);
		else if (value.size != record->value.size ||
		         memcmp(value.data, record->value.data, value.size) != 0)
			wrong += complain("acknowledged, other bytes", record);
	}
	bwt_buf_free(&value);
	return wrong;
}

/* All that a walk over one tree gives: in order, known, and equal. */
static uint64_t verify_walk(const struct records *records, int which, struct bwt_tree *tree,
                            uint64_t *walked)
{
	uint32_t at = records->first[which], end = records->first[which + 1];
	struct bwt_cursor *cursor;
	struct record found = {0};
	uint64_t wrong = 0, counted;
	int rc = bwt_cursor_open(tree, NULL, &cursor);

	if (rc < 0)
		die_rc("open a cursor", rc);
	*walked = 0;
	for (rc = bwt_cursor_next(cursor); rc == BWT_OK; rc = bwt_cursor_next(cursor)) {
		if ((rc = bwt_cursor_key(cursor, &found.key)) < 0 ||
		    (rc = bwt_cursor_value(cursor, &found.value)) < 0)
			break;
		++*walked;
		while (at < end && compare_slices(records->all[at].key, found.key) < 0)
			at++; /* not there: fine unless acknowledged, which was looked up */
		if (at == end || compare_slices(records->all[at].key, found.key) != 0)
			wrong += complain("never put, or out of order", &found);
		else if (compare_slices(records->all[at++].value, found.value) != 0)
			wrong += complain("walk gives other bytes", &found);
	}
	if (rc != BWT_NOT_FOUND)
		die_rc("walk", rc);
	bwt_cursor_close(cursor);
	rc = bwt_count(tree, &counted);
	if (rc < 0)
		die_rc("count", rc);
	if (counted != *walked) {
		printf("  DIFFERENT: a walk finds %llu keys, bwt_count() says %llu\n",
		       (unsigned long long)*walked, (unsigned long long)counted);
		wrong++;
	}
	return wrong;
}

static int verify(const char *store, const struct records *records, const char *acks, bool all)
{
	double begin = seconds();
	struct bwt_tree *trees[2];
	uint32_t ack_count;
	bool *acked = read_acks(acks, records->first[2], &ack_count);
	struct bwt_db *db = open_store(store, 0, trees);
	double opened = seconds();
	uint64_t wrong = verify_acked(records, acked, trees), walked, total = 0;

	for (int tree = 0; tree < 2; tree++) {
		if (trees[tree] == NULL)
			continue;
		wrong += verify_walk(records, tree, trees[tree], &walked);
		total += walked;
	}
	if (all && (ack_count != records->first[2] || total != records->first[2])) {
		printf("  DIFFERENT: %u records, %u acknowledged, %llu in the store\n",
		       records->first[2], ack_count, (unsigned long long)total);
		wrong++;
	}
	printf("verify: opened in %.2f s; %u acknowledged records %s; %llu more were put and not "
	       "yet "
	       "acknowledged\n",
	       opened - begin, ack_count,
	       wrong == 0 ? "are all there, byte for byte" : "CHECKED WITH DIFFERENCES",
	       (unsigned long long)(total > ack_count ? total - ack_count : 0));
	close_store(db);
	free(acked);
	return wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- look ------------------------------------------------------------------------------------ */

static void show_scan(struct bwt_tree *tree, const char *prefix, unsigned limit)
{
	struct bwt_slice key = {prefix, strlen(prefix)}, value;
	double begin = seconds();
	struct bwt_cursor *cursor;
	uint64_t count = 0;
	int rc = bwt_cursor_open(tree, NULL, &cursor);

	if (rc < 0)
		die_rc("open a cursor", rc);
	printf("keys that begin with \"%s\":\n", prefix);
	for (rc = bwt_cursor_seek(cursor, key, BWT_PREFIX); rc == BWT_OK;
	     rc = bwt_cursor_next(cursor)) {
		if (count++ >= limit)
			continue;
		if ((rc = bwt_cursor_key(cursor, &key)) < 0 ||
		    (rc = bwt_cursor_value(cursor, &value)) < 0)
			die_rc("read a cursor", rc);
		printf("  ");
		print_key(key);
		printf("  (%zu bytes)\n", value.size);
	}
	if (rc != BWT_NOT_FOUND)
		die_rc("scan", rc);
	bwt_cursor_close(cursor);
	printf("  %llu keys in %.2f ms\n", (unsigned long long)count, 1e3 * (seconds() - begin));
}

static void show_lookup(struct bwt_tree *tree, const char *text)
{
	struct bwt_slice key = {text, strlen(text)};
	struct bwt_buf value = {0};
	int rc = bwt_get(tree, NULL, key, &value);

	if (rc < 0 && rc != BWT_NOT_FOUND)
		die_rc("get", rc);
	if (rc == BWT_NOT_FOUND)
		printf("\"%s\" -> not there\n", text);
	else
		printf("\"%s\" -> %.*s\n", text, (int)value.size, (const char *)value.data);
	bwt_buf_free(&value);
}

static void time_lookups(const struct records *records, struct bwt_tree *trees[2])
{
	struct bwt_buf value = {0};
	double begin = seconds(), took;
	uint64_t at = 1, bytes = 0;

	for (unsigned i = 0; i < LOOKUPS; i++) {
		uint32_t number;
		int rc;

		at = at * 6364136223846793005u + 1442695040888963407u;
		number = (uint32_t)((at >> 33) % records->first[2]);
		rc = bwt_get(trees[number >= records->first[1]], NULL, records->all[number].key,
		             &value);
		if (rc < 0)
			die_rc("get", rc);
		bytes += value.size;
	}
	took = seconds() - begin;
	printf("%u random lookups, %.1f MiB, by 1 thread in %.2f s: %.2f us each\n", LOOKUPS,
	       (double)bytes / 1048576, took, 1e6 * took / LOOKUPS);
	bwt_buf_free(&value);
}

static int look(const char *store, const struct records *records)
{
	struct bwt_tree *trees[2];
	struct bwt_db *db = open_store(store, 0, trees);
	const struct record *middle = &records->all[records->first[1] / 2];
	char *name = strndup(middle->key.data, middle->key.size);

	if (trees[1] == NULL || name == NULL)
		die("find", "the tree of paths");
	show_lookup(trees[1], "/usr/bin/env");
	show_lookup(trees[1], "/usr/bin/no such program");
	show_lookup(trees[0], name);
	show_scan(trees[0], "bash", 5);
	show_scan(trees[1], "/usr/bin/z", 5);
	time_lookups(records, trees);
	free(name);
	close_store(db);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct records records;

	if (argc == 5 && strcmp(argv[1], "prepare") == 0 &&
	    (strcmp(argv[2], "packages") == 0 || strcmp(argv[2], "paths") == 0))
		return prepare(argv[2], argv[3], argv[4]);
	if (argc >= 5)
		read_records(&records, argv[3], argv[4]);
	if (argc == 6 && strcmp(argv[1], "load") == 0)
		return load(argv[2], &records, argv[5]);
	if (argc == 6 && strcmp(argv[1], "verify") == 0)
		return verify(argv[2], &records, argv[5], false);
	if (argc == 7 && strcmp(argv[1], "verify") == 0 && strcmp(argv[6], "all") == 0)
		return verify(argv[2], &records, argv[5], true);
	if (argc == 5 && strcmp(argv[1], "look") == 0)
		return look(argv[2], &records);
	fprintf(stderr, "usage: bwt-demo prepare packages|paths INPUT RECORDS\n"
	                "       bwt-demo load   STORE PACKAGES PATHS ACKS\n"
	                "       bwt-demo verify STORE PACKAGES PATHS ACKS [all]\n"
	                "       bwt-demo look   STORE PACKAGES PATHS\n");
	return 2;
}
