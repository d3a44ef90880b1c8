/* SPDX-License-Identifier: MIT */
/*
 * history.h - what transactions on lists saw and did, and whether any order explains it
 *
 * Each transaction reads lists and appends elements to them; no element is appended twice. A list that
 * somebody read tells the order in which its elements were appended, so the order of versions is
 * known without asking the store. From it follow the edges of Adya's graph:
 *
 *   ww  a appended the element before b's              wr  b read a list that ends with a's element
 *   rw  a read a list that b's element comes after     so  a committed before b began, in one session
 *
 * and from circles in it the anomalies. Besides, the LSNs that the store returned must agree with all
 * of it: LSN order is the serial order (design.md, sections 1 and 6).
 *
 * Sources: A. Adya, "Weak Consistency", MIT 1999; K. Kingsbury, P. Alvaro, "Elle: Inferring Isolation
 *          Anomalies from Experimental Observations", VLDB 2020; A. Cerone, A. Gotsman, "Analysing
 *          Snapshot Isolation", PODC 2016 (snapshot isolation: no circle without two rw in a row);
 *          R. Tarjan, "Depth-First Search and Linear Graph Algorithms", 1972.
 */
#ifndef BWT_TESTS_HISTORY_H
#define BWT_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum history_level {
	HISTORY_READ_COMMITTED, /* G0, G1a, G1b, G1c */
	HISTORY_SNAPSHOT, /* and no circle without two rw in a row: lost update, G-single, ... */
	HISTORY_SERIALIZABLE, /* no circle */
};

struct history_op {
	bool append;
	uint32_t list;
	uint64_t element; /* appended */
	size_t seen;      /* read: index of its first element in history.elements */
	size_t seen_count;
};

struct history_txn {
	uint32_t session;
	bool committed;    /* else it was refused or aborted */
	bool strict;       /* serializable, or read-only: its LSNs are places in the serial order */
	uint64_t snapshot; /* it saw all commits that end at or below it; 0: not known */
	uint64_t lsn;      /* end of its commit record; 0: not known, or it wrote nothing */
	size_t op, op_count;
};

struct history { /* zeroed = empty; one thread at a time */
	struct history_txn *txns;
	struct history_op *ops;
	uint64_t *elements;
	size_t txn_count, txn_capacity, op_count, op_capacity, element_count, element_capacity;
};

/** history_begin - a transaction of @session begins; transactions of a session in their order */
void history_begin(struct history *history, uint32_t session);
void history_append(struct history *history, uint32_t list, uint64_t element);
/** history_read - the whole list, own elements of this transaction included */
void history_read(struct history *history, uint32_t list, const uint64_t *elements, size_t count);
/** history_end - of the transaction begun last; see struct history_txn */
void history_end(struct history *history, bool committed, bool strict, uint64_t snapshot,
                 uint64_t lsn);
/** history_merge - all of @from, whose sessions @into does not have yet; @from is emptied */
void history_merge(struct history *into, struct history *from);
void history_free(struct history *history);

/**
 * history_check - is there an order that explains what was seen?
 *
 * The last transaction of the history is to read all lists, after all others have ended: what
 * was committed and is not in a list then was lost.
 *
 * @why:     out, when something is wrong: what, in words
 * Returns:  NULL: yes; or the anomaly:
 *           "garbage"      an element that nobody appended
 *           "duplicate"    an element twice in a list
 *           "internal"     a transaction did not see its own appends, or what it had read before
 *           "G1a"          aborted read
 *           "G1b"          intermediate read
 *           "order"        two lists of one name of which neither begins with the other
 *           "lost update"  a committed append is not in the list
 *           "G0", "G1c"    a circle of ww; of ww, wr and so
 *           "G-single"     a circle with one rw (snapshot and above)
 *           "G-nonadjacent" with several rw, no two in a row (snapshot and above)
 *           "G2"           any circle (serializable)
 *           "clock"        an edge against the order of LSNs
 */
const char *history_check(const struct history *history, enum history_level level, char why[1000]);

#endif
