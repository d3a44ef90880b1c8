/* SPDX-License-Identifier: MIT */
/*
 * crash_compact.c - SIGKILL while the arena is made smaller: both checkpoints on disk stay whole
 *
 * Children fill a store, delete most of it, and call bwt_compact() all the time; each is killed at a random moment. In
 * every other round the newest superblock is damaged then, so that the store has to be recovered from the older
 * checkpoint, which loses nothing (I11).
 *
 *   passes that are durable <= passes in the store <= passes begun      for each writer
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "bwt.h"
#include "mem/superblock.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define WRITERS 2u
#define KEYS 6000u /* of one writer */
#define STAY 16u   /* one key in so many is never deleted */
#define VALUE_SIZE 1500u
#define ROUNDS 15u

struct shared {                           /* with the children */
	_Atomic(uint64_t) begun[WRITERS]; /* passes: one puts all keys, and deletes most of them */
	_Atomic(uint64_t) durable[WRITERS];
	_Atomic(uint64_t) compactions;
	_Atomic(uint64_t) smallest, largest; /* bytes of the file that were seen */
};

static struct shared *shared;
static char path[TMPSTORE_PATH_MAX];
static struct rng rng;
static uint64_t seed;

static struct bwt_options options_of(void)
{
	return (struct bwt_options){
		.flags = BWT_CREATE,
		.durability = BWT_INTERVAL,
		.sync_interval_ms = 20,
		.max_size = (uint64_t)1 << 30,
		.wal_segment_size = (uint64_t)4 << 20,
		.inline_max = 2 * VALUE_SIZE,
		.checkpoint_interval_ms = 15,
		.worker_count = 1,
	};
}

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	printf("  %s: %d (%s): %s\n", what, rc, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static struct bwt_slice key_of(unsigned writer, unsigned number, char room[16])
{
	return (struct bwt_slice){room, (size_t)snprintf(room, 16, "%u-%06u", writer, number)};
}

/* ---- the child ---- */

struct writer {
	unsigned number;
	uint64_t first; /* pass to begin with */
	struct bwt_db *db;
	struct bwt_tree *tree;
};

static void *write_passes(void *ctx)
{
	struct writer *me = ctx;
	uint8_t value[VALUE_SIZE];
	char key[16];

	for (uint64_t pass = me->first;; pass++) {
		atomic_store(&shared->begun[me->number], pass);
		memset(value, (int)pass, sizeof value);
		memcpy(value, &pass, sizeof pass);
		for (unsigned i = 0; i < KEYS; i++)
			need("bwt_put", bwt_put(me->tree, NULL, key_of(me->number, i, key),
			                        (struct bwt_slice){value, sizeof value}, 0));
		for (unsigned i = 0; i < KEYS; i++)
			if (i % STAY != 0)
				need("bwt_delete",
				     bwt_delete(me->tree, NULL, key_of(me->number, i, key)));
		need("bwt_sync", bwt_sync(me->db));
		atomic_store(&shared->durable[me->number], pass);
	}
	return NULL;
}

static void note_size(void)
{
	char name[TMPSTORE_PATH_MAX + 16];
	struct stat stat_buf;
	uint64_t size;

	snprintf(name, sizeof name, "%s/arena", path);
	if (stat(name, &stat_buf) != 0)
		return;
	size = (uint64_t)stat_buf.st_size;
	if (size < atomic_load(&shared->smallest))
		atomic_store(&shared->smallest, size);
	if (size > atomic_load(&shared->largest))
		atomic_store(&shared->largest, size);
}

static int open_patiently(struct bwt_db **db)
{
	struct bwt_options options = options_of();
	int rc = BWT_BUSY;

	for (unsigned i = 0; rc == BWT_BUSY && i < 200; i++) {
		rc = bwt_open(path, &options, db);
		if (rc == BWT_BUSY)
			usleep(10000);
	}
	return rc;
}

static void run_child(void) __attribute__((noreturn));

static void run_child(void)
{
	static struct writer writers[WRITERS];
	struct bwt_tree *tree;
	struct bwt_db *db;
	pthread_t thread;

	need("bwt_open", open_patiently(&db));
	need("bwt_tree_open", bwt_tree_open(db, NULL, 0, &tree));
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){i, atomic_load(&shared->begun[i]) + 1, db, tree};
		if (pthread_create(&thread, NULL, write_passes, &writers[i]) != 0)
			exit(EXIT_FAILURE);
	}
	for (;;) {
		int rc;

		note_size();
		rc = bwt_compact(db, 0);
		need("bwt_compact", rc == BWT_BUSY ? BWT_OK : rc);
		atomic_fetch_add(&shared->compactions, 1);
		note_size();
	}
}

/* ---- the parent ---- */

/* Whatever the machine has else to do: some data was deleted, and the file made smaller. */
static bool is_under_way(uint64_t compactions, const uint64_t begun[WRITERS])
{
	bool all = atomic_load(&shared->compactions) > compactions;

	for (unsigned i = 0; i < WRITERS; i++)
		all = all && atomic_load(&shared->begun[i]) > begun[i] + 1;
	return all;
}

static void kill_a_child(void)
{
	uint64_t compactions = atomic_load(&shared->compactions), begun[WRITERS];
	pid_t child;
	int status;

	for (unsigned i = 0; i < WRITERS; i++)
		begun[i] = atomic_load(&shared->begun[i]);
	fflush(stdout);
	child = fork();
	if (child == 0)
		run_child();
	for (unsigned i = 0; i < 5000 && !is_under_way(compactions, begun); i++)
		usleep(1000);
	usleep((unsigned)rng_below(&rng, 100000));
	kill(child, SIGKILL);
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) {
		printf("FAILED, SEED=%" PRIu64 ": the child ended by itself\n", seed);
		exit(EXIT_FAILURE);
	}
}

/* The superblock with the larger number is none any more. */
static void damage_newest(void)
{
	char name[TMPSTORE_PATH_MAX + 16];
	struct superblock supers[2];
	uint8_t rubbish[64];
	int fd;

	snprintf(name, sizeof name, "%s/arena", path);
	fd = open(name, O_RDWR);
	memset(rubbish, 0x5a, sizeof rubbish);
	if (fd >= 0 && superblock_read(fd, 0, &supers[0]) == BWT_OK &&
	    superblock_read(fd, 1, &supers[1]) == BWT_OK) {
		unsigned newest = supers[1].checkpoint > supers[0].checkpoint;

		if (pwrite(fd, rubbish, sizeof rubbish, (off_t)SUPERBLOCK_OFF(newest) + 16) < 0)
			exit(EXIT_FAILURE);
	}
	close(fd);
}

/* Are the keys of @writer as in the middle of some pass between the two? What stays was put by it or the one before. */
static bool writer_holds(struct bwt_tree *tree, unsigned writer)
{
	uint64_t durable = atomic_load(&shared->durable[writer]);
	uint64_t begun = atomic_load(&shared->begun[writer]);
	struct bwt_buf buf = {0};
	bool good = true;

	for (unsigned i = 0; i < KEYS && good; i++) {
		char key[16];
		uint64_t pass = 0;
		int rc = bwt_get(tree, NULL, key_of(writer, i, key), &buf);

		if (rc == BWT_OK && buf.size == VALUE_SIZE)
			memcpy(&pass, buf.data, sizeof pass);
		good = rc == BWT_OK ? pass >= durable && pass <= begun &&
		                              ((uint8_t *)buf.data)[VALUE_SIZE - 1] == (uint8_t)pass
		                    : rc == BWT_NOT_FOUND && (i % STAY != 0 || durable == 0);
	}
	bwt_buf_free(&buf);
	return good;
}

/* false: something is wrong with what the child left. */
static bool look(bool damage)
{
	struct bwt_tree *tree;
	struct bwt_db *db;
	bool good = true;
	int rc;

	if (damage)
		damage_newest();
	else if (bwt_verify(path, 0, NULL, NULL) != BWT_OK)
		return false;
	if (open_patiently(&db) != BWT_OK)
		return false;
	good = bwt_tree_open(db, NULL, 0, &tree) == BWT_OK;
	for (unsigned i = 0; i < WRITERS && good; i++) {
		good = writer_holds(tree, i);
		atomic_store(&shared->durable[i], 0); /* the next child writes anew */
	}
	rc = bwt_close(db);
	return good && rc == BWT_OK && bwt_verify(path, 0, NULL, NULL) == BWT_OK;
}

static void begin(void)
{
	memset(shared, 0, sizeof *shared);
	atomic_store(&shared->smallest, UINT64_MAX);
	tmpstore_new(path);
}

static void kills_while_the_file_becomes_smaller_lose_nothing(void)
{
	unsigned rounds = suite_short() ? ROUNDS / 3 : ROUNDS;

	begin();
	for (unsigned round = 0; round < rounds; round++) {
		kill_a_child();
		CU_ASSERT_TRUE_FATAL(look(round % 2 == 1));
	}
	printf("    %" PRIu64 " compactions, the file had %" PRIu64 " to %" PRIu64 " KiB\n",
	       atomic_load(&shared->compactions), atomic_load(&shared->smallest) >> 10,
	       atomic_load(&shared->largest) >> 10);
	CU_ASSERT_TRUE(atomic_load(&shared->smallest) < atomic_load(&shared->largest));
	tmpstore_free(path);
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(kills_while_the_file_becomes_smaller_lose_nothing),
		CU_TEST_INFO_NULL,
	};

	/* Where writing costs nothing, more happens before each kill. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	if (shared == MAP_FAILED)
		return EXIT_FAILURE;
	seed = rng_seed();
	rng_init(&rng, seed);
	return suite_run("crash_compact", NULL, NULL, tests);
}
