/* SPDX-License-Identifier: MIT */
/*
 * play.h - one store, and transactions on it played by hand: keys and values are said in text
 *
 *   struct bwt_txn *a = begin(0), *b = begin(0);
 *
 *   put(a, "k", "1");
 *   CU_ASSERT_TRUE(has(b, "k", NULL));              b does not see it
 *   CU_ASSERT_EQUAL(bwt_commit(a), BWT_OK);
 *   CU_ASSERT_STRING_EQUAL(walk(NULL), "k=1");
 *
 * Everything here is by the public interface. Helpers without a result end the test when the store
 * refuses.
 */
#ifndef BWT_TESTS_PLAY_H
#define BWT_TESTS_PLAY_H

#include <stdbool.h>
#include <string.h>

#include "bwt.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

struct play {
	char path[TMPSTORE_PATH_MAX];
	struct bwt_options options; /* of the next opening */
	struct bwt_db *db;
	struct bwt_tree *tree; /* the main one */
};

extern struct play play; /* of this program */

/** play_set_up, play_tear_down - for suite_run(): an empty store, not sync; closed, verified, removed */
void play_set_up(void);
void play_tear_down(void);
/** play_reopen - close, and open with play.options */
void play_reopen(void);

/** begin - a transaction; ends the test when there is none */
struct bwt_txn *begin(unsigned flags);

static inline struct bwt_slice text(const char *bytes)
{
	return (struct bwt_slice){bytes, strlen(bytes)};
}

/** put - must be accepted */
void put(struct bwt_txn *txn, const char *key, const char *value);
/** try_put, try_delete - the code */
int try_put(struct bwt_txn *txn, const char *key, const char *value, unsigned flags);
int try_delete(struct bwt_txn *txn, const char *key);
/** has - is @value (NULL: nothing) under @key? */
bool has(struct bwt_txn *txn, const char *key, const char *value);
/** fill - puts "@prefix00000" and so on, @count of them, without a transaction; the key is the value */
void fill(const char *prefix, unsigned count);

/** walk, walk_back - everything in the tree, as "a=1 b=2"; good until the next walk */
const char *walk(struct bwt_txn *txn);
const char *walk_back(struct bwt_txn *txn);
const char *walk_tree(struct bwt_tree *tree, struct bwt_txn *txn, bool forward);
/** at - what an open cursor stands on, "a=1"; "-": nothing */
const char *at(struct bwt_cursor *cursor);

/** lost - did it end in BWT_CONFLICT, at @rc (of the last call in it) or at commit? It is freed. */
bool lost(struct bwt_txn *txn, int rc);

/** key_count - bwt_count() of the main tree */
uint64_t key_count(void);
struct bwt_stats stats_now(void);

#endif
