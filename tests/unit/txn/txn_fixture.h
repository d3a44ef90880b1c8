/* SPDX-License-Identifier: MIT */
/*
 * txn_fixture.h - a store wired by hand, without recovery and checkpoints: arena, log, value log,
 *                 the main tree and the catalogue
 *
 * Operations are said in text: fixture_put(&fixture, "key", "value").
 */
#ifndef BWT_TESTS_TXN_FIXTURE_H
#define BWT_TESTS_TXN_FIXTURE_H

#include "tests/support/fixture_arena.h"
#include "tests/support/suite.h"
#include "txn/commit.h"
#include "txn/read.h"

#define INLINE_MAX 100u

struct fixture {
	struct fixture_arena file;
	struct store store;
	pthread_mutex_t trees_lock;
	struct epoch_slot *slot; /* of the main thread */
	struct tree *tree;       /* the main one */
};

void fixture_new(struct fixture *fixture, int durability);
void fixture_free(struct fixture *fixture);

struct bwt_slice text_slice(const char *text);
/** fixture_commit - one operation, expected and desired NULL; its code. @end_lsn may be NULL */
int fixture_commit(struct fixture *fixture, enum commit_kind kind, const char *key,
                   const char *value, uint64_t *end_lsn);
/** fixture_put - must succeed; the end of its record */
uint64_t fixture_put(struct fixture *fixture, const char *key, const char *value);
int fixture_cas(struct fixture *fixture, const char *key, const char *expected, const char *desired);
/** fixture_get - is @value (NULL: nothing) what a reader at @snapshot gets? Any thread */
bool fixture_get(struct fixture *fixture, const char *key, uint64_t snapshot, const char *value);
/** fixture_snapshot - where a snapshot taken now stands */
uint64_t fixture_snapshot(struct fixture *fixture);
/** fixture_top - the newest delta of the leaf of @key; NULL: there is none */
struct leaf_delta *fixture_top(struct fixture *fixture, const char *key);

struct logged { /* a record of the log, read back */
	uint64_t lsn;
	uint64_t end_lsn;
	uint8_t type;
	char text[120]; /* WAL_OP: "key=value" or "key!"; trees: the name */
};

/** fixture_log - flush, and read the whole log back; the number of records, at most @room */
unsigned fixture_log(struct fixture *fixture, struct logged *records, unsigned room);

#endif
