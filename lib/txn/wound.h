/* SPDX-License-Identifier: MIT */
/*
 * wound.h - another writer's pending version is in the way: wait a little, then abort it
 *
 * A single write is about to be decided: a short backoff, then its word is set to ABORTED, and its owner
 * starts over. A transaction is granted patience by its size and by how often it was aborted before
 * (C5), in which the other side sleeps until it is decided; so large ones do not starve, and a thread
 * that was stopped for good holds others up for PATIENCE_MAX_NS, once.
 *
 *   wound_look()  pinned: notes the obstacle, or aborts it when patience is over
 *   wound_wait()  not pinned, if wound_look() asks for it: sleep until it is decided or patience is over
 */
#ifndef BWT_TXN_WOUND_H
#define BWT_TXN_WOUND_H

#include "sys/backoff.h"
#include "txn/store.h"

#define PATIENCE_LEAST_NS ((uint64_t)200 * 1000) /* for a transaction of one write */
#define PATIENCE_WRITE_NS ((uint64_t)2 * 1000)   /* more for each of its writes */
#define PATIENCE_MAX_NS ((uint64_t)2 * 1000 * 1000 * 1000)
#define PATIENCE_ABORTS_MAX 8u /* doublings for aborts, at most */

struct wound {                     /* zeroed: nobody is in the way */
	struct backoff backoff;    /* against single writes */
	struct descriptor *victim; /* the transaction waited for; only compared, and slept on */
	uint64_t ref;              /* of it: another use of the slot is another transaction */
	uint64_t since_ns;
	uint32_t bell; /* victim->bell when it was last looked at */
};

enum wound_result {
	WOUND_GONE, /* aborted now, or decided: look again */
	WOUND_WAIT, /* a transaction: leave the pin and call wound_wait() */
	WOUND_YIELD, /* a transaction that is granted the most and has had it: give way (BWT_CONFLICT) if you can */
};

/**
 * wound_look - the version with LSN word @own is pending and in the way
 * @give_way: the caller may return BWT_CONFLICT; false (plain writes): WOUND_YIELD is never returned
 * Threads: pinned, not in the gate
 */
enum wound_result wound_look(struct store *store, struct epoch_slot *slot, struct wound *wound,
                             _Atomic(uint64_t) *own, bool give_way);
void wound_wait(const struct wound *wound);

/** Patience that a transaction with @writes writes is granted after @aborts aborts, in ns: for descriptor_take(). */
uint64_t wound_patience(uint64_t writes, unsigned aborts);

#endif
