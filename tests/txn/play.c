/* SPDX-License-Identifier: MIT */
/* play.c - what directed tests of transactions share */
#include "tests/txn/play.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WALK_MAX 65536u

struct play play;

static void open_store(void)
{
	CU_ASSERT_EQUAL_FATAL(bwt_open(play.path, &play.options, &play.db), BWT_OK);
	CU_ASSERT_EQUAL_FATAL(bwt_tree_open(play.db, NULL, 0, &play.tree), BWT_OK);
}

void play_set_up(void)
{
	memset(&play, 0, sizeof play);
	tmpstore_new(play.path);
	play.options = (struct bwt_options){
		.flags = BWT_CREATE,
		.durability = BWT_NONE,
		.max_size = (uint64_t)1 << 30,
		.inline_max = 200,
		.wal_segment_size = (uint64_t)1 << 20,
		.vlog_segment_size = (uint64_t)1 << 20,
		.checkpoint_wal_bytes = UINT64_MAX,
		.checkpoint_interval_ms = UINT32_MAX,
	};
	open_store();
}

static void print_finding(void *ctx, const struct bwt_finding *finding)
{
	(void)ctx;
	if (finding->severity != BWT_NOTE)
		printf("         finding: %s, offset %" PRIu64 ", page %" PRIu64 ": %s\n",
		       finding->file != NULL ? finding->file : "", finding->offset, finding->page,
		       finding->text);
}

void play_tear_down(void)
{
	if (play.db != NULL) {
		int rc = bwt_close(play.db);

		CU_ASSERT_EQUAL(rc, BWT_OK);
		if (rc == BWT_OK)
			CU_ASSERT_EQUAL(bwt_verify(play.path, 0, print_finding, NULL), BWT_OK);
	}
	tmpstore_free(play.path);
}

void play_reopen(void)
{
	CU_ASSERT_EQUAL_FATAL(bwt_close(play.db), BWT_OK);
	open_store();
}

struct bwt_txn *begin(unsigned flags)
{
	struct bwt_txn *txn = NULL;

	CU_ASSERT_EQUAL_FATAL(bwt_begin(play.db, flags, &txn), BWT_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(txn);
	return txn;
}

int try_put(struct bwt_txn *txn, const char *key, const char *value, unsigned flags)
{
	return bwt_put(play.tree, txn, text(key), text(value), flags);
}

void put(struct bwt_txn *txn, const char *key, const char *value)
{
	CU_ASSERT_EQUAL_FATAL(try_put(txn, key, value, 0), BWT_OK);
}

int try_delete(struct bwt_txn *txn, const char *key)
{
	return bwt_delete(play.tree, txn, text(key));
}

bool has(struct bwt_txn *txn, const char *key, const char *value)
{
	struct bwt_buf got = {NULL, 0, 0};
	int rc = bwt_get(play.tree, txn, text(key), &got);
	bool same = value == NULL ? rc == BWT_NOT_FOUND
	                          : rc == BWT_OK && got.size == strlen(value) &&
	                                    memcmp(got.data, value, got.size) == 0;

	bwt_buf_free(&got);
	return same;
}

void fill(const char *prefix, unsigned count)
{
	char key[64];

	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof key, "%s%05u", prefix, i);
		put(NULL, key, key);
	}
}

const char *at(struct bwt_cursor *cursor)
{
	static char entry[4][512]; /* some can be compared with each other */
	static unsigned next;
	char *out = entry[next++ % 4];
	struct bwt_slice key, value;

	if (bwt_cursor_key(cursor, &key) != BWT_OK || bwt_cursor_value(cursor, &value) != BWT_OK)
		return "-";
	snprintf(out, sizeof entry[0], "%.*s=%.*s", (int)key.size, (const char *)key.data,
	         (int)value.size, (const char *)value.data);
	return out;
}

const char *walk_tree(struct bwt_tree *tree, struct bwt_txn *txn, bool forward)
{
	static char list[WALK_MAX];
	struct bwt_cursor *cursor;
	size_t size = 0;
	int rc;

	list[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(bwt_cursor_open(tree, txn, &cursor), BWT_OK);
	while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK &&
	       size < WALK_MAX - 600)
		size += (size_t)snprintf(list + size, WALK_MAX - size, "%s%s", size == 0 ? "" : " ",
		                         at(cursor));
	if (rc != BWT_NOT_FOUND)
		snprintf(list, WALK_MAX, "code %d", rc);
	bwt_cursor_close(cursor);
	return list;
}

const char *walk(struct bwt_txn *txn)
{
	return walk_tree(play.tree, txn, true);
}

const char *walk_back(struct bwt_txn *txn)
{
	return walk_tree(play.tree, txn, false);
}

bool lost(struct bwt_txn *txn, int rc)
{
	int end = bwt_commit(txn);

	CU_ASSERT_TRUE(rc == BWT_OK || rc == BWT_CONFLICT);
	CU_ASSERT_TRUE(rc != BWT_CONFLICT || end == BWT_CONFLICT); /* it stays lost */
	return end == BWT_CONFLICT;
}

uint64_t key_count(void)
{
	uint64_t count = UINT64_MAX;

	CU_ASSERT_EQUAL(bwt_count(play.tree, &count), BWT_OK);
	return count;
}

struct bwt_stats stats_now(void)
{
	struct bwt_stats stats;

	CU_ASSERT_EQUAL_FATAL(bwt_stat(play.db, &stats), BWT_OK);
	return stats;
}
