/* SPDX-License-Identifier: MIT */
/*
 * fixture.h - one open store for each test of single calls
 */
#ifndef BWT_TESTS_FIXTURE_H
#define BWT_TESTS_FIXTURE_H

#include "bwt.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"

struct fixture {
	char folder[TMPSTORE_PATH_MAX]; /* with the stores of one test */
	char path[TMPSTORE_PATH_MAX];   /* of the store, folder/store at first */
	struct bwt_db *db;              /* NULL: closed */
	struct bwt_tree *tree;          /* the main one */
};

extern struct fixture fixture;

/** A pair to put. */
extern const struct bwt_slice fixture_key, fixture_value;

/** fixture_set_up - a new store, open; fixture_tear_down - closes it if it is open, removes all */
void fixture_set_up(void);
void fixture_tear_down(void);

/** fixture_open - open fixture.path; what bwt_open() returned */
int fixture_open(unsigned flags);
void fixture_close(void);

/** fixture_refuse - opening fixture.path must fail with @expected, and leave the handle alone */
void fixture_refuse(unsigned flags, int expected);

#endif
