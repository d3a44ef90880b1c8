/* SPDX-License-Identifier: MIT */
/*
 * backup.c - copy a store while it is written to, check the copy, and read from it
 *
 *   backup STORE COPY
 */
#include <bwt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 20000u

static struct bwt_tree *tree;
static atomic_bool stop;

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static void put(unsigned number)
{
	need("put", bwt_put(tree, NULL, (struct bwt_slice){&number, sizeof number},
	                    (struct bwt_slice){"value", 5}, 0));
}

static void *write_on(void *arg)
{
	(void)arg;
	for (unsigned i = KEYS; !atomic_load(&stop); i++)
		put(i);
	return NULL;
}

static void report(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	fprintf(stderr, "%s at %llu: %s\n", finding->file, (unsigned long long)finding->offset,
	        finding->text);
}

int main(int argc, char **argv)
{
	struct bwt_options options = {.flags = BWT_CREATE, .durability = BWT_NONE};
	struct bwt_db *db;
	pthread_t writer;
	uint64_t count;

	if (argc != 3)
		return fprintf(stderr, "usage: backup STORE COPY\n"), 2;
	need("open", bwt_open(argv[1], &options, &db));
	need("tree", bwt_tree_open(db, NULL, 0, &tree));
	for (unsigned i = 0; i < KEYS; i++)
		put(i);
	if (pthread_create(&writer, NULL, write_on, NULL) != 0)
		abort();
	need("backup", bwt_backup(db, argv[2]));
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	need("close", bwt_close(db));

	need("verify", bwt_verify(argv[2], 0, report, NULL));
	options = (struct bwt_options){.flags = BWT_RDONLY};
	need("open the copy", bwt_open(argv[2], &options, &db));
	need("tree", bwt_tree_open(db, NULL, 0, &tree));
	need("count", bwt_count(tree, &count));
	need("close the copy", bwt_close(db));
	printf("the copy has %s\n", count >= KEYS ? "all that was there when it began" : "too few keys");
	return count >= KEYS ? 0 : 1;
}
