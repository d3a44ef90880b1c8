/* SPDX-License-Identifier: MIT */
/*
 * write_golden.c - a store with one of everything that the format has, the same contents each time
 *
 * write_golden STORE closed: closed as programs close it. write_golden STORE killed: the process
 * ends at once, with a checkpoint behind it and changes of every kind in the log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bwt.h"

#define VALUE_MAX 30000u

static void need(const char *what, int rc)
{
	if (rc == BWT_OK)
		return;
	fprintf(stderr, "write_golden: %s: %s: %s\n", what, bwt_strerror(rc), bwt_detail());
	exit(EXIT_FAILURE);
}

static void put(struct bwt_tree *tree, const void *key, size_t key_size, unsigned value_seed,
                size_t value_size)
{
	static unsigned char value[VALUE_MAX];

	/* A pattern that the archive can shorten. */
	for (size_t i = 0; i < value_size; i++)
		value[i] = (unsigned char)(value_seed + i / 8 * (value_seed % 7));
	need("bwt_put", bwt_put(tree, NULL, (struct bwt_slice){key, key_size},
	                        (struct bwt_slice){value, value_size}, 0));
}

static void put_text(struct bwt_tree *tree, const char *key, unsigned value_seed, size_t value_size)
{
	put(tree, key, strlen(key), value_seed, value_size);
}

/* Numbered keys with a common prefix, so that pages split, and some have large values. */
static void put_many(struct bwt_tree *tree, unsigned from, unsigned to, unsigned salt)
{
	char key[64];

	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof key, "some common prefix/%05u", i * 7919u % 100000u);
		put_text(tree, key, i + salt, i % 100 == 99 ? VALUE_MAX : i % 80);
	}
}

static void delete_some(struct bwt_tree *tree, unsigned from, unsigned to)
{
	char key[64];

	for (unsigned i = from; i < to; i += 3) {
		snprintf(key, sizeof key, "some common prefix/%05u", i * 7919u % 100000u);
		need("bwt_delete", bwt_delete(tree, NULL, (struct bwt_slice){key, strlen(key)}));
	}
}

/* Puts and deletes in one transaction: a few, or so many that its record comes in parts. */
static void together(struct bwt_db *db, struct bwt_tree *tree, unsigned count, unsigned salt)
{
	struct bwt_txn *txn;
	char key[64];

	need("bwt_begin", bwt_begin(db, 0, &txn));
	for (unsigned i = 0; i < count; i++) {
		struct bwt_slice slice = {key, 0};

		slice.size = (size_t)snprintf(key, sizeof key, "together %u/%05u", salt, i);
		need("bwt_put", bwt_put(tree, txn, slice, slice, 0));
	}
	need("bwt_delete", bwt_delete(tree, txn, (struct bwt_slice){key, strlen(key)}));
	need("bwt_commit", bwt_commit(txn));
}

/* A tree that grew, and shrank to less than a leaf. */
static void grow_and_shrink(struct bwt_tree *tree)
{
	put_many(tree, 0, 600, 12);
	for (unsigned i = 0; i < 590; i++) {
		char key[64];

		snprintf(key, sizeof key, "some common prefix/%05u", i * 7919u % 100000u);
		need("bwt_delete", bwt_delete(tree, NULL, (struct bwt_slice){key, strlen(key)}));
	}
}

static struct bwt_tree *tree_of(struct bwt_db *db, const char *name)
{
	struct bwt_tree *tree;

	need("bwt_tree_open", bwt_tree_open(db, name, name == NULL ? 0 : BWT_CREATE, &tree));
	return tree;
}

/* Large values that become smaller, and one that does not. */
static void put_packed(struct bwt_db *db, const char *name, unsigned packing)
{
	struct bwt_tree *tree;
	unsigned char noise[3000];
	unsigned word = 1;

	need("bwt_tree_open", bwt_tree_open(db, name, BWT_CREATE | packing, &tree));
	put_many(tree, 0, 300, 13);
	for (size_t i = 0; i < sizeof noise; i++) {
		word = word * 1103515245u + 12345u;
		noise[i] = (unsigned char)(word >> 16);
	}
	need("bwt_put", bwt_put(tree, NULL, (struct bwt_slice){"noise", 5},
	                        (struct bwt_slice){noise, sizeof noise}, 0));
}

/* A tree that is loaded, with values in the value log. */
static void load(struct bwt_db *db, const char *name)
{
	struct bwt_bulk *bulk;

	need("bwt_bulk_open", bwt_bulk_open(db, name, 0, &bulk));
	for (unsigned i = 0; i < 1000; i++) {
		unsigned char value[3000];
		char key[16];
		struct bwt_slice key_slice = {key, 0};
		size_t size = i % 250 == 9 ? sizeof value : i % 30;

		memset(value, (int)('a' + i % 26), size);
		key_slice.size = (size_t)snprintf(key, sizeof key, "loaded %05u", i);
		need("bwt_bulk_put", bwt_bulk_put(bulk, key_slice, (struct bwt_slice){value, size}));
	}
	need("bwt_bulk_finish", bwt_bulk_finish(bulk, NULL));
}

/* One who reads the changes, by name; it is not at the end. */
static void read_changes(struct bwt_db *db)
{
	const struct bwt_changes_options options = {.reader = "a reader"};
	struct bwt_changes *changes;
	struct bwt_change change;

	need("bwt_sync", bwt_sync(db));
	need("bwt_changes_open", bwt_changes_open(db, 0, &options, &changes));
	for (unsigned i = 0; i < 100; i++)
		need("bwt_changes_next", bwt_changes_next(changes, 0, &change));
	need("bwt_changes_ack", bwt_changes_ack(changes, bwt_changes_position(changes)));
	bwt_changes_close(changes);
}

static void odd_keys(struct bwt_tree *tree)
{
	static unsigned char longest[BWT_KEY_MAX];

	memset(longest, 'k', sizeof longest);
	put(tree, "", 0, 1, 10);
	put(tree, "\0", 1, 2, 0);
	put(tree, "\0\0", 2, 3, 1);
	put(tree, "\xff\xff\xff", 3, 4, 100);
	put(tree, longest, sizeof longest, 5, 2048);
	put(tree, longest, 3000, 6, 2049);
}

int main(int argc, char **argv)
{
	const struct bwt_options options = {.flags = BWT_CREATE | BWT_EXCL, .durability = BWT_NONE};
	struct bwt_tree *main_tree;
	struct bwt_db *db;

	if (argc != 3)
		return 2;
	need("bwt_open", bwt_open(argv[1], &options, &db));
	main_tree = tree_of(db, NULL);
	put_many(main_tree, 0, 1500, 0);
	odd_keys(main_tree);
	put_many(tree_of(db, "names"), 0, 200, 7);
	read_changes(db);
	put_many(tree_of(db, "dropped before"), 0, 50, 8);
	need("bwt_tree_drop", bwt_tree_drop(db, "dropped before"));
	delete_some(main_tree, 0, 500);
	grow_and_shrink(tree_of(db, "shrunk before"));
	put_packed(db, "packed by lz4", BWT_LZ4);
	load(db, "loaded before");
	need("bwt_checkpoint", bwt_checkpoint(db));
	put_packed(db, "packed by zstd", BWT_ZSTD);
	together(db, main_tree, 20, 1);
	together(db, main_tree, 300, 2);
	grow_and_shrink(tree_of(db, "shrunk after"));
	put_many(main_tree, 1400, 1700, 9); /* some of them again */
	delete_some(main_tree, 900, 1000);
	put_many(tree_of(db, "after the checkpoint"), 0, 120, 10);
	load(db, "loaded after");
	put_many(tree_of(db, "dropped after"), 0, 20, 11);
	need("bwt_tree_drop", bwt_tree_drop(db, "dropped after"));
	need("bwt_sync", bwt_sync(db));
	if (strcmp(argv[2], "killed") == 0)
		_exit(EXIT_SUCCESS);
	need("bwt_close", bwt_close(db));
	return EXIT_SUCCESS;
}
