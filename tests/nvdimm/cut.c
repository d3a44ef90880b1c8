/* SPDX-License-Identifier: MIT */
/*
 * cut.c - what runs on the machine whose power is cut (nvdimm.sh)
 *
 *   cut work STORE        put 1, 2, 3, ... for ever, each durable; "ACK n" says that n is
 *   cut check STORE N     verify, then open: 1 to some M >= N have to be there, right, and nothing beyond
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bwt.h"
#include "tests/support/rng.h"

#define VALUE_MAX 3000u
#define SAY_EVERY 20u
#define CHECKPOINT_EVERY 400u

static struct bwt_db *db;
static struct bwt_tree *tree;

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	printf("FAILED %s: %s (%s)\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static struct bwt_slice key_of(uint64_t number, char text[24])
{
	snprintf(text, 24, "%016llx", (unsigned long long)(number * 0x9e3779b97f4a7c15u));
	return (struct bwt_slice){text, 16};
}

static struct bwt_slice value_of(uint64_t number)
{
	static uint8_t bytes[VALUE_MAX];
	struct rng rng;
	size_t size;

	rng_init(&rng, number);
	size = (size_t)rng_below(&rng, number % 10 == 0 ? VALUE_MAX : 200);
	rng_fill(&rng, bytes, size);
	return (struct bwt_slice){bytes, size};
}

static void open_store(const char *path, unsigned flags)
{
	struct bwt_options options = {.flags = flags | BWT_CATCH_SIGBUS, .inline_max = 2000};
	struct bwt_stats stats;

	must(bwt_open(path, &options, &db), "open");
	must(bwt_tree_open(db, NULL, 0, &tree), "tree");
	must(bwt_stat(db, &stats), "stat");
	printf("MEDIA arena %s, log %s, %s\n", stats.media, stats.wal_media, stats.flush_instruction);
}

static void work(const char *path) __attribute__((noreturn));

static void work(const char *path)
{
	uint64_t number;
	char text[24];

	open_store(path, BWT_CREATE);
	must(bwt_count(tree, &number), "count");
	for (;;) {
		number++;
		must(bwt_put(tree, NULL, key_of(number, text), value_of(number), 0), "put");
		if (number % SAY_EVERY == 0) {
			printf("ACK %llu\n", (unsigned long long)number);
			fflush(stdout);
		}
		if (number % CHECKPOINT_EVERY == 0)
			must(bwt_checkpoint(db), "checkpoint");
	}
}

static void finding(void *ctx, const struct bwt_finding *found)
{
	(void)ctx;
	if (found->severity > BWT_NOTE)
		printf("FAILED verification: %s at %llu: %s\n", found->file,
		       (unsigned long long)found->offset, found->text);
}

static int check(const char *path, uint64_t acknowledged)
{
	struct bwt_buf buf = {0};
	uint64_t count;
	char text[24];

	must(bwt_verify(path, 0, finding, NULL), "verify");
	open_store(path, 0);
	must(bwt_count(tree, &count), "count");
	for (uint64_t number = 1; number <= count; number++) {
		struct bwt_slice value = value_of(number);

		must(bwt_get(tree, NULL, key_of(number, text), &buf), "get");
		if (buf.size != value.size || memcmp(buf.data, value.data, value.size) != 0)
			must(BWT_CORRUPT, "value");
	}
	bwt_buf_free(&buf);
	if (count < acknowledged) {
		printf("FAILED %llu were acknowledged, %llu are there\n",
		       (unsigned long long)acknowledged, (unsigned long long)count);
		return EXIT_FAILURE;
	}
	printf("CHECKED %llu acknowledged, %llu there\n", (unsigned long long)acknowledged,
	       (unsigned long long)count);
	must(bwt_close(db), "close");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "work") == 0)
		work(argv[2]);
	if (argc == 4 && strcmp(argv[1], "check") == 0)
		return check(argv[2], strtoull(argv[3], NULL, 10));
	fprintf(stderr, "usage: cut work STORE | cut check STORE N\n");
	return 2;
}
