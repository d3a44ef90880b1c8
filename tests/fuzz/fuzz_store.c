/* SPDX-License-Identifier: MIT */
/*
 * fuzz_store.c - the superblocks of a store that is otherwise in order, changed anyhow: opened and read
 *
 * The input is what differs from the true ones, so zeroes leave them as they are. Magic number and CRC are put right,
 * because no chance meets them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "bwt.h"
#include "mem/superblock.h"
#include "tests/fuzz/fuzz.h"

#define FIELDS offsetof(struct superblock, reserved)
#define FROM offsetof(struct superblock, major) /* what is before is put right */
#define PAIRS 200

static char store[64];
static struct superblock original[2];

static void need(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s: %s\n", what, bwt_detail());
	abort();
}

static void make_store(void)
{
	const struct bwt_options options = {
		.flags = BWT_CREATE, .durability = BWT_NONE, .max_size = (uint64_t)64 << 20};
	struct bwt_tree *tree;
	struct bwt_db *db;
	int fd;

	snprintf(store, sizeof store, "/proc/self/fd/%d/store", fuzz_dir());
	need(bwt_open(store, &options, &db) == BWT_OK, "open");
	need(bwt_tree_open(db, NULL, 0, &tree) == BWT_OK, "tree");
	for (uint32_t i = 0; i < PAIRS; i++) {
		struct bwt_slice key = {&i, sizeof i};

		need(bwt_put(tree, NULL, key, key, 0) == BWT_OK, "put");
	}
	need(bwt_close(db) == BWT_OK, "close");
	fd = openat(fuzz_dir(), "store/arena", O_RDONLY | O_CLOEXEC);
	for (unsigned slot = 0; slot < 2; slot++)
		need(superblock_read(fd, slot, &original[slot]) == BWT_OK, "superblock");
	close(fd);
}

static void write_superblocks(const uint8_t *data, size_t size)
{
	int fd = openat(fuzz_dir(), "store/arena", O_RDWR | O_CLOEXEC);

	for (unsigned slot = 0; slot < 2; slot++) {
		struct superblock super = original[slot];
		size_t part = size < FIELDS - FROM ? size : FIELDS - FROM;

		for (size_t i = 0; i < part; i++)
			((uint8_t *)&super)[FROM + i] ^= data[i];
		data += part;
		size -= part;
		super.crc = crc32c(0, (const uint8_t *)&super + FROM, sizeof super - FROM);
		need(pwrite(fd, &super, sizeof super, (off_t)SUPERBLOCK_OFF(slot)) == sizeof super,
		     "pwrite");
	}
	close(fd);
}

static void read_all(struct bwt_db *db)
{
	struct bwt_cursor *cursor;
	struct bwt_tree *tree;

	if (bwt_tree_open(db, NULL, 0, &tree) != BWT_OK ||
	    bwt_cursor_open(tree, NULL, &cursor) != BWT_OK)
		return;
	while (bwt_cursor_next(cursor) == BWT_OK) {
		struct bwt_slice value;

		if (bwt_cursor_value(cursor, &value) == BWT_OK)
			fuzz_touch(value.data, value.size);
	}
	bwt_cursor_close(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bwt_options options = {.flags = BWT_RDONLY, .max_size = (uint64_t)64 << 20};
	struct bwt_db *db;

	if (size > 2 * (FIELDS - FROM))
		return 0;
	if (store[0] == '\0')
		make_store();
	write_superblocks(data, size);
	if (bwt_open(store, &options, &db) == BWT_OK) {
		read_all(db);
		bwt_close(db);
	}
	return 0;
}
