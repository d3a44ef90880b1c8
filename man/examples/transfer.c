/* SPDX-License-Identifier: MIT */
/*
 * transfer.c - transactions that are run again when they are refused: threads move money, the sum stays
 *
 *   transfer STORE
 */
#include <bwt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS 20u
#define THREADS 4u
#define TRANSFERS 2000u
#define OPENING 100

static struct bwt_db *db;
static struct bwt_tree *tree;

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static int get_balance(struct bwt_txn *txn, unsigned account, struct bwt_buf *buf, int *balance)
{
	int rc = bwt_get(tree, txn, (struct bwt_slice){&account, sizeof account}, buf);

	if (rc == BWT_OK)
		memcpy(balance, buf->data, sizeof *balance);
	return rc;
}

static int put_balance(struct bwt_txn *txn, unsigned account, int balance)
{
	return bwt_put(tree, txn, (struct bwt_slice){&account, sizeof account},
	               (struct bwt_slice){&balance, sizeof balance}, 0);
}

/* One attempt. Whatever goes wrong, nothing has happened. */
static int transfer(unsigned from, unsigned to, int amount, struct bwt_buf *buf)
{
	struct bwt_txn *txn;
	int has, gets, rc = bwt_begin(db, BWT_TXN_NOSYNC, &txn);

	if (rc != BWT_OK)
		return rc;
	rc = get_balance(txn, from, buf, &has);
	if (rc == BWT_OK)
		rc = get_balance(txn, to, buf, &gets);
	if (rc == BWT_OK && has >= amount)
		rc = put_balance(txn, from, has - amount);
	if (rc == BWT_OK && has >= amount)
		rc = put_balance(txn, to, gets + amount);
	if (rc == BWT_OK)
		return bwt_commit(txn); /* ends it, also when it is refused */
	bwt_abort(txn);
	return rc;
}

static void *move_money(void *arg)
{
	unsigned random = (unsigned)(size_t)arg * 7919u + 1;
	struct bwt_buf buf = {0};

	for (unsigned i = 0; i < TRANSFERS; i++) {
		unsigned from, to;
		int rc;

		random = random * 1103515245u + 12345u;
		from = random / 65536u % ACCOUNTS;
		to = (from + 1 + random / 1024u % (ACCOUNTS - 1)) % ACCOUNTS;
		do
			rc = transfer(from, to, (int)(random % 10u), &buf);
		while (rc == BWT_CONFLICT); /* somebody changed one of the two meanwhile: run it again */
		need("transfer", rc);
	}
	bwt_buf_free(&buf);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bwt_options options = {.flags = BWT_CREATE};
	pthread_t threads[THREADS];
	struct bwt_buf buf = {0};
	struct bwt_txn *txn;
	int sum = 0;

	if (argc != 2)
		return fprintf(stderr, "usage: transfer STORE\n"), 2;
	need("open", bwt_open(argv[1], &options, &db));
	need("tree", bwt_tree_open(db, "accounts", BWT_CREATE, &tree));
	for (unsigned i = 0; i < ACCOUNTS; i++)
		need("put", put_balance(NULL, i, OPENING));
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, move_money, (void *)i) != 0)
			abort();
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);

	need("sync", bwt_sync(db)); /* the transfers did not wait each for itself */
	need("begin", bwt_begin(db, BWT_RDONLY, &txn));
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		int balance;

		need("get", get_balance(txn, i, &buf, &balance));
		sum += balance;
	}
	bwt_abort(txn);
	bwt_buf_free(&buf);
	printf("%u transfers later there are still %d\n", THREADS * TRANSFERS, sum);
	need("close", bwt_close(db));
	return sum == (int)ACCOUNTS * OPENING ? 0 : 1;
}
