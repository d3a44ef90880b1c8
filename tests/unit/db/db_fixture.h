/* SPDX-License-Identifier: MIT */
/*
 * db_fixture.h - an open store in a temporary folder, by the public functions
 *
 * By default: no sync, plain calls, small files, no checkpoint of its own accord. Keys and values
 * are said in text.
 */
#ifndef BWT_TESTS_DB_FIXTURE_H
#define BWT_TESTS_DB_FIXTURE_H

#include <stdbool.h>

#include "db/db.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

struct fixture {
	char path[TMPSTORE_PATH_MAX];
	struct bwt_options options; /* of the next opening */
	struct bwt_db *db;
	struct bwt_tree *tree; /* the main one */
	char said[2000];       /* the newest words of the store, level warning or worse */
	unsigned said_count;   /* how many there were; the service thread may say something, too */
};

/** fixture_new - make the folder and the options; opens nothing */
void fixture_new(struct fixture *fixture);
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
void fixture_reopen(struct fixture *fixture);
/** fixture_free - close if open, and remove the folder */
void fixture_free(struct fixture *fixture);

struct bwt_slice text_slice(const char *text);
int fixture_put(struct fixture *fixture, const char *key, const char *value);
/** fixture_fill - keys "00000000" and so on, [@from, @to), each its own value */
void fixture_fill(struct fixture *fixture, unsigned from, unsigned to);
/** fixture_has - is @value (NULL: nothing) under @key, for @txn? */
bool fixture_has(struct fixture *fixture, struct bwt_txn *txn, const char *key, const char *value);
bool fixture_filled(struct fixture *fixture, unsigned from, unsigned to);
struct bwt_stats fixture_stats(struct fixture *fixture);
/** fixture_until - wait until @true_now(@fixture), at most ten seconds; false: it never was */
bool fixture_until(struct fixture *fixture, bool (*true_now)(struct fixture *fixture));

#endif
