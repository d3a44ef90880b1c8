/* SPDX-License-Identifier: MIT */
/*
 * parallel_scan.c - several threads walk parts of one snapshot, while a writer goes on
 *
 *   parallel_scan STORE
 */
#include <bwt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS 50000u
#define THREADS 4u

static struct bwt_db *db;
static struct bwt_tree *tree;
static struct bwt_txn *snapshot; /* read-only: shared by all */
static atomic_bool stop;

struct part {
	pthread_t thread;
	unsigned number;
	uint64_t count;
};

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

/* The first byte is spread evenly over 0 to 255, so equal parts of it are equal parts of the keys. */
static void make_key(uint32_t number, uint8_t key[5])
{
	key[0] = (uint8_t)number;
	for (unsigned i = 0; i < 4; i++)
		key[1 + i] = (uint8_t)(number >> (24 - 8 * i));
}

static void put(uint32_t number)
{
	uint8_t key[5];

	make_key(number, key);
	need("put", bwt_put(tree, NULL, (struct bwt_slice){key, 5}, (struct bwt_slice){"x", 1}, 0));
}

static void *write_on(void *arg)
{
	(void)arg;
	for (uint32_t i = KEYS; !atomic_load(&stop); i++)
		put(i);
	return NULL;
}

static void *scan(void *arg)
{
	struct part *part = arg;
	uint8_t from = (uint8_t)(part->number * 256u / THREADS);
	unsigned to = (part->number + 1) * 256u / THREADS;
	struct bwt_cursor *cursor;
	struct bwt_slice key;
	int rc;

	need("cursor", bwt_cursor_open(tree, snapshot, &cursor));
	for (rc = bwt_cursor_seek(cursor, (struct bwt_slice){&from, 1}, BWT_GE); rc == BWT_OK;
	     rc = bwt_cursor_next(cursor)) {
		need("key", bwt_cursor_key(cursor, &key));
		if (*(const uint8_t *)key.data >= to)
			break;
		part->count++;
	}
	if (rc != BWT_NOT_FOUND) /* the end of the tree, for the last part */
		need("next", rc);
	bwt_cursor_close(cursor);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bwt_options options = {.flags = BWT_CREATE, .durability = BWT_NONE};
	struct part parts[THREADS] = {0};
	uint64_t count = 0;
	pthread_t writer;

	if (argc != 2)
		return fprintf(stderr, "usage: parallel_scan STORE\n"), 2;
	need("open", bwt_open(argv[1], &options, &db));
	need("tree", bwt_tree_open(db, NULL, 0, &tree));
	for (uint32_t i = 0; i < KEYS; i++)
		put(i);
	need("begin", bwt_begin(db, BWT_RDONLY, &snapshot));
	if (pthread_create(&writer, NULL, write_on, NULL) != 0)
		abort();
	for (unsigned i = 0; i < THREADS; i++) {
		parts[i].number = i;
		if (pthread_create(&parts[i].thread, NULL, scan, &parts[i]) != 0)
			abort();
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(parts[i].thread, NULL);
		count += parts[i].count;
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	bwt_abort(snapshot);
	printf("%u threads counted %llu keys\n", THREADS, (unsigned long long)count);
	need("close", bwt_close(db));
	return count == KEYS ? 0 : 1;
}
