/* SPDX-License-Identifier: MIT */
/*
 * data_path.c - threads that commit durably and read, between two marks that strace(1) can see
 *
 * data_path STORE COUNT THREADS: each thread overwrites and reads COUNT keys, to bring the store to its size, and
 * as many between the marks. Exit status 77: the store is not in persistent memory, unless a fourth argument says
 * that it need not be.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bwt.h"

#define KEYS 20000u
#define THREADS_MAX 8u
#define LOAD_BATCH 1000u /* of pairs: both numbers are multiples of it */
#define ROOM_PAIRS 40000u
#define ROOM_VALUE 2000u
#define MARK 4711u /* no user's number: the call changes and tells nothing */

static struct bwt_db *db;
static struct bwt_tree *tree;
static unsigned long count;
static pthread_barrier_t barrier;

static void need(int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "data_path: %s: %s\n", bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static void mark(void)
{
	(void)getpriority(PRIO_USER, MARK);
}

static void commit_and_read(unsigned long from, struct bwt_buf *buf)
{
	unsigned char value[100];

	for (unsigned long i = from; i < from + count; i++) {
		unsigned long number = i * 2654435761u % KEYS;
		struct bwt_slice key = {&number, sizeof number};

		memset(value, (int)i, sizeof value);
		need(bwt_put(tree, NULL, key, (struct bwt_slice){value, sizeof value}, 0));
		number = (i * 40503u + 7) % KEYS;
		need(bwt_get(tree, NULL, key, buf));
	}
}

static void *thread_run(void *ctx)
{
	unsigned long from = *(const unsigned *)ctx * 1000000007ul;
	struct bwt_buf buf = {0};

	commit_and_read(from, &buf);
	pthread_barrier_wait(&barrier);
	/* The main thread makes what was freed usable meanwhile. */
	pthread_barrier_wait(&barrier);
	mark();
	commit_and_read(from + count, &buf);
	mark();
	bwt_buf_free(&buf);
	return NULL;
}

static void load(struct bwt_tree *to, unsigned long pairs, size_t size)
{
	static unsigned char value[ROOM_VALUE];
	struct bwt_txn *txn = NULL;

	for (unsigned long number = 0; number < pairs; number++) {
		if (txn == NULL)
			need(bwt_begin(db, BWT_TXN_NOSYNC, &txn));
		need(bwt_put(to, txn, (struct bwt_slice){&number, sizeof number},
		             (struct bwt_slice){value, size}, 0));
		if (number % LOAD_BATCH == LOAD_BATCH - 1) {
			need(bwt_commit(txn));
			txn = NULL;
		}
	}
}

/* The file of the arena grows for what is dropped again: it need not grow between the marks. */
static void make_room(void)
{
	struct bwt_tree *room;

	need(bwt_tree_open(db, "room", BWT_CREATE, &room));
	load(room, ROOM_PAIRS, ROOM_VALUE);
	need(bwt_tree_drop(db, "room"));
	need(bwt_checkpoint(db));
	need(bwt_checkpoint(db));
}

int main(int argc, char **argv)
{
	const struct bwt_options options = {.flags = BWT_CREATE | BWT_EXCL};
	struct bwt_stats stats;
	pthread_t threads[THREADS_MAX];
	unsigned numbers[THREADS_MAX], thread_count;

	if (argc < 4 || strtoul(argv[3], NULL, 10) > THREADS_MAX)
		return 2;
	count = strtoul(argv[2], NULL, 10);
	thread_count = (unsigned)strtoul(argv[3], NULL, 10);
	/* Memory for the heap is not what is looked at: it is got before. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TOP_PAD, 64 << 20);
	need(bwt_open(argv[1], &options, &db));
	need(bwt_stat(db, &stats));
	if (argc == 4 && strcmp(stats.wal_media, "file") == 0)
		return 77;
	need(bwt_tree_open(db, NULL, 0, &tree));
	make_room();
	load(tree, KEYS, 100);
	pthread_barrier_init(&barrier, NULL, thread_count + 1);
	for (unsigned i = 0; i < thread_count; i++) {
		numbers[i] = i;
		if (pthread_create(&threads[i], NULL, thread_run, &numbers[i]) != 0)
			return EXIT_FAILURE;
	}
	pthread_barrier_wait(&barrier);
	need(bwt_checkpoint(db));
	need(bwt_checkpoint(db));
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	need(bwt_close(db));
	return EXIT_SUCCESS;
}
