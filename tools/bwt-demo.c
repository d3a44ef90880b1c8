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
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "bwt.h"
#include "tools/demo_records.h"

#define THREADS 2
#define STRIDE 1000003u /* records are put in steps of this prime: scattered over both trees */
#define LOOKUPS 100000u

static const char *const tree_names[2] = {NULL, "paths"};

static void die_rc(const char *what, int rc) __attribute__((noreturn));

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
			demo_die("write", "acknowledgement");
		atomic_fetch_add_explicit(&loader->put_count, 1, memory_order_relaxed);
	}
}

/* Join a loading thread; say every ten seconds how far they all are. */
static void wait_for(pthread_t thread, struct loader *loader)
{
	struct timespec limit;
	uint32_t turn;

	for (;;) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += 10;
		if (pthread_timedjoin_np(thread, NULL, &limit) != ETIMEDOUT)
			return;
		turn = atomic_load_explicit(&loader->next, memory_order_relaxed);
		printf("loader %d: at record %u of %u\n", (int)getpid(), turn,
		       loader->records->first[2]);
		fflush(stdout);
	}
}

static int load(const char *store, const struct records *records, const char *acks)
{
	struct loader loader = {.records = records};
	double begin = seconds(), opened;
	pthread_t threads[THREADS];
	uint32_t before, put_count;
	struct bwt_db *db;

	loader.acked = demo_read_acks(acks, records->first[2], &before);
	loader.ack_fd = open(acks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (loader.ack_fd < 0)
		demo_die("write", acks);
	db = open_store(store, BWT_CREATE, loader.trees);
	opened = seconds();
	printf("loader %d: opened in %.2f s, %u of %u acknowledged so far\n", (int)getpid(),
	       opened - begin, before, records->first[2]);
	fflush(stdout);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, load_thread, &loader) != 0)
			demo_die("start", "a thread");
	for (int i = 0; i < THREADS; i++)
		wait_for(threads[i], &loader);
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
		while (at < end && demo_compare(records->all[at].key, found.key) < 0)
			at++; /* not there: fine unless acknowledged, which was looked up */
		if (at == end || demo_compare(records->all[at].key, found.key) != 0)
			wrong += complain("never put, or out of order", &found);
		else if (demo_compare(records->all[at++].value, found.value) != 0)
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
	bool *acked = demo_read_acks(acks, records->first[2], &ack_count);
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

/* The first lines of a value, for people. */
static void print_lines(const char *text, size_t size, unsigned lines)
{
	const char *end = text + size;

	while (text < end && lines-- > 0) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));

		eol = eol == NULL ? end : eol;
		printf("  %.*s\n", (int)(eol - text), text);
		text = eol + 1;
	}
	if (text < end)
		printf("  ...\n");
}

static void show_lookup(struct bwt_tree *tree, struct bwt_slice key)
{
	struct bwt_buf value = {0};
	double begin = seconds();
	int rc = bwt_get(tree, NULL, key, &value);

	if (rc < 0 && rc != BWT_NOT_FOUND)
		die_rc("get", rc);
	printf("\"");
	print_key(key);
	printf("\": %s in %.1f us\n", rc == BWT_OK ? "found" : "not there",
	       1e6 * (seconds() - begin));
	if (rc == BWT_OK)
		print_lines(value.data, value.size, 4);
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
	static const char there[] = "/usr/bin/env", missing[] = "/usr/bin/no such program";

	if (trees[0] == NULL || trees[1] == NULL || records->first[1] == 0)
		demo_die("find", "both trees");
	show_lookup(trees[0], records->all[records->first[1] / 2].key);
	show_lookup(trees[1], (struct bwt_slice){there, sizeof there - 1});
	show_lookup(trees[1], (struct bwt_slice){missing, sizeof missing - 1});
	show_scan(trees[0], "bash", 5);
	show_scan(trees[1], "/usr/bin/z", 5);
	time_lookups(records, trees);
	close_store(db);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct records records;

	if (argc == 5 && strcmp(argv[1], "prepare") == 0 &&
	    (strcmp(argv[2], "packages") == 0 || strcmp(argv[2], "paths") == 0))
		return demo_prepare(argv[2], argv[3], argv[4]);
	if (argc >= 5)
		demo_read_records(&records, argv[3], argv[4]);
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
