/* SPDX-License-Identifier: MIT */
/*
 * tree_fixture.h - one tree on a temporary arena, with a clock and a horizon that the test sets
 *
 * Keys are numbers made into text of eight digits; a value is any slice. Writes commit at once, at
 * the next LSN, unless the test asks for another first word.
 */
#ifndef BWT_TESTS_TREE_FIXTURE_H
#define BWT_TESTS_TREE_FIXTURE_H

#include "tests/support/fixture_arena.h"
#include "tests/support/suite.h"
#include "tree/consolidate.h"
#include "tree/scan.h"
#include "tree/split.h"
#include "tree/tree_check.h"
#include "tree/write.h"

#define NEWEST UINT64_MAX /* as a snapshot: sees every committed version */

struct fixture {
	struct fixture_arena file;
	struct arena arena;
	struct epoch epoch;
	struct extents extents;
	_Atomic(uint64_t) interval;
	struct mapping mapping;
	struct stats stats;
	struct tree_env env;
	struct tree tree;
	struct epoch_slot *slot;            /* of the main thread */
	_Atomic(uint64_t) clock;            /* the newest LSN; every write takes 16 more */
	struct horizon horizon;             /* what pruning respects; future 0: the clock */
	_Atomic(uint64_t) values_stored;    /* calls of value_stored */
	_Atomic(uint64_t) values_dropped;   /* calls of value_dropped */
	_Atomic(uint64_t) dropped_segments; /* sum of the segments that they named */
};

struct key_text {
	char bytes[16];
};

/** fixture_new - pages of at most @page_bytes, chains of at most @chain deltas before consolidation */
void fixture_new(struct fixture *fixture, uint32_t page_bytes, uint32_t chain);
void fixture_free(struct fixture *fixture);

struct bwt_slice key_of(unsigned number, struct key_text *text);
struct bwt_slice slice_of_text(const char *text);

/** fixture_add - prepend a version with first word @word; pins and unpins; NULL: it failed with *@rc */
struct leaf_delta *fixture_add(struct fixture *fixture, const struct version_spec *spec,
                               uint64_t word, int *rc);
/** fixture_put - commit @value under key @number; its LSN */
uint64_t fixture_put(struct fixture *fixture, unsigned number, const char *value);
/** fixture_put_large - commit a version whose value is said to lie in value-log file @segment */
uint64_t fixture_put_large(struct fixture *fixture, unsigned number, uint64_t segment);
uint64_t fixture_delete(struct fixture *fixture, unsigned number);
/** fixture_pending - prepend @value with a word that is PENDING; its delta */
struct leaf_delta *fixture_pending(struct fixture *fixture, unsigned number, const char *value);
/** fixture_fill - keys [@from, @to) in order, each with its own text as its value */
void fixture_fill(struct fixture *fixture, unsigned from, unsigned to);

/** fixture_has - does a reader at @snapshot see @value (NULL: nothing) under key @number? */
bool fixture_has(struct fixture *fixture, unsigned number, uint64_t snapshot, const char *value);
/** fixture_filled - keys [@from, @to) are as fixture_fill() left them */
bool fixture_filled(struct fixture *fixture, unsigned from, unsigned to);
/** fixture_locate - the leaf of key @number; pins, and leaves pinned */
struct place fixture_locate(struct fixture *fixture, unsigned number);
/** fixture_consolidate - the leaf of key @number, whatever its chain */
int fixture_consolidate(struct fixture *fixture, unsigned number, enum patience patience);
/** fixture_levels - levels of the tree */
unsigned fixture_levels(struct fixture *fixture);
/**
 * fixture_sound - tree_check() finds nothing, and every live byte and page id is one that it reached:
 *                 nothing leaked, nothing retired that is still there. Nobody else is inside
 */
bool fixture_sound(struct fixture *fixture);

#endif
