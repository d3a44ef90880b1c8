/* SPDX-License-Identifier: MIT */
/*
 * txn.h - the commit protocol of transactions (design.md section 6, rules C2 to C4) as a model
 *
 * Two keys, each on a page of its own: a mapping word and a chain of versions. A version's word is COMMITTED(lsn),
 * ABORTED, or a reference {slot, generation} to a descriptor, whose word decides. Threads run
 * transactions that read at most one key and write some, readers of both keys in one snapshot, and
 * consolidation. The log, the gate and pruning are in model.h; here an LSN is a number, 0 that of the first version.
 *
 * What is checked, in every state:
 *   I1       committed versions of a key lie in LSN order
 *   I2       a read in snapshot S returned the newest version with lsn < S, and nothing below S comes after
 *   kept     the newest version of each key is in its page
 *   lost update   who wrote a key with snapshot S has no other commit of it between S and its own LSN
 *   serial   what a serializable transaction read is the newest version below its own LSN: LSN order is
 *            the serial order
 *   dangling no page refers to a descriptor that is in another use
 */
#ifndef BWT_TESTS_PROTOCOL_TXN_H
#define BWT_TESTS_PROTOCOL_TXN_H

#include "search.h"

enum {
	TX_THREAD_MAX = 4,
	TX_PROGRAM_MAX = 2,
	TX_KEYS = 2,
	TX_NODE_MAX = 12,
	TX_LSN_MAX = 12,
	TX_SLOT_MAX = 3,
	TX_CHAIN_MAX = 4, /* versions that consolidation finds in a page */
};

enum tx_kind {
	TX_END,
	TX_COMMIT,      /* reads a key (or none), writes others, commits */
	TX_READER,      /* key 0, then key 1, in one snapshot */
	TX_CONSOLIDATE, /* the page of a key */
};

#define TX_NO_KEY 0xff

struct tx_op {
	unsigned char kind;   /* enum tx_kind */
	unsigned char read;   /* TX_COMMIT: a key or TX_NO_KEY; TX_CONSOLIDATE: the key */
	unsigned char writes; /* TX_COMMIT: a bit for each key */
	bool serializable;
};

enum tx_flaw {
	TX_FLAW_NONE,
	TX_FLAW_NO_PUSH,        /* a reader passes over what is pending */
	TX_FLAW_PUSH_GIVES_UP,  /* a push that fails means "not visible" */
	TX_FLAW_VALIDATE_FIRST, /* reads are validated before the LSN is reserved, and not again */
	TX_FLAW_NO_VALIDATION,  /* reads are not validated */
	TX_FLAW_LOOK_NO_PUSH,   /* the second look passes over what is pending */
	TX_FLAW_PUBLISH_FIRST,  /* publishes before the second look */
	TX_FLAW_FLOOR_IGNORED,  /* publishes below the floor of a push */
	TX_FLAW_NO_CONFLICT,    /* installs over a version newer than its snapshot */
	TX_FLAW_OVER_PENDING,   /* installs over another's pending version */
	TX_FLAW_NO_GENERATION,  /* takes a descriptor's word without looking at its generation */
	TX_FLAW_WORD_FIRST,     /* a slot's next use sets the word, then counts the generation */
	TX_FLAW_REUSE_EARLY,    /* a slot is used again while somebody is inside who may know it */
	TX_FLAW_NO_STAMP,       /* a decided transaction leaves its references */
	TX_FLAW_NAIVE_COPY,     /* consolidation copies references and does not look again */
	TX_FLAW_DROP_PENDING,   /* consolidation takes pending for aborted */
};

struct tx_scenario {
	const char *name;
	struct tx_op program[TX_THREAD_MAX][TX_PROGRAM_MAX + 1]; /* each ends with TX_END */
	unsigned char thread_count;
	unsigned char slot_count;
	unsigned char attempts; /* of a commit, then it gives up with BWT_CONFLICT */
	unsigned char pushes;   /* reservations of one attempt */
	bool by_generation; /* a slot is free when its owner has stamped; words carry the generation: no epochs */
	bool big; /* SHORT=1 leaves it out */
	enum tx_flaw flaw;
};

/** The model of @scenario as search_run() wants it. */
struct search_model tx_model_of(const struct tx_scenario *scenario);

#endif
