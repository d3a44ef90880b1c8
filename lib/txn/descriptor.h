/* SPDX-License-Identifier: MIT */
/*
 * descriptor.h - the one word that decides all versions of a transaction at once
 *
 * While a transaction is undecided its versions carry a reference, {slot, generation}, in place of an
 * LSN word; the word in the slot decides for all of them, by the same states and changes as the word of
 * a single version (page/visibility.h): readers push it, other writers wound it, the owner publishes it.
 *
 *   FREE --take--> PENDING --CAS--> COMMITTED or ABORTED --owner stamps every version--> done --epoch--> FREE
 *
 *   DS1  Only a reference whose descriptor was seen PENDING under the same pin is ever copied (by
 *        consolidation), and who copied it looks again after installing the copy, and stamps it if it
 *        is decided by then (C2).
 *   DS2  descriptor_done() comes after the owner has stamped every version that it can reach, and the slot
 *        is taken again only when all who were pinned then are gone. So no reference outlives its slot's
 *        use: those that the owner could not reach are copies in the hands of somebody pinned (DS1).
 *   DS3  A reader compares generations before and after it loads the word; a mismatch means that
 *        the version was stamped meanwhile, and its own word says (C3).
 */
#ifndef BWT_TXN_DESCRIPTOR_H
#define BWT_TXN_DESCRIPTOR_H

#include "mem/epoch.h"
#include "page/visibility.h"

#define DESCRIPTOR_SLOT_BITS 14u
#define DESCRIPTORS_MAX                                                                            \
	(1u << DESCRIPTOR_SLOT_BITS) /* transactions between install and stamp at once */
#define DESCRIPTOR_BLOCK 64u         /* slots are made in blocks, never freed before close */

struct descriptor {
	_Alignas(64) _Atomic(uint64_t) word; /* PENDING(floor), COMMITTED(lsn), ABORTED; free: ABORTED */
	_Atomic(uint64_t) generation;        /* of the present use; counted up when it is taken */
	_Atomic(uint64_t) first_lsn; /* of its first log fragment, 0: none. Changed in the gate */
	_Atomic(uint64_t) order; /* serializable: place in the order of beginning; 0: another level */
	_Atomic(uint64_t) patience_ns; /* what others grant before they wound it (wound.h) */
	_Atomic(uint32_t) bell;        /* futex word, counted up when it is decided */
	_Atomic(uint32_t) sleepers;    /* on it */
	_Atomic(uint32_t) in_use;      /* 1 from take to done; changed in the gate, read by a cut */
	_Atomic(uint32_t) next;        /* link of the free or limbo stack: slot + 1 */
	uint32_t slot;
	uint64_t died; /* epoch at done */
};

struct descriptors {
	_Atomic(struct descriptor *) blocks[DESCRIPTORS_MAX / DESCRIPTOR_BLOCK];
	struct epoch *epoch;
	_Atomic(uint32_t) count;             /* slots ever made */
	_Alignas(64) _Atomic(uint64_t) free; /* stacks: tag << 32 | slot + 1 */
	_Alignas(64) _Atomic(uint64_t) limbo;
};

void descriptors_init(struct descriptors *descriptors, struct epoch *epoch);
void descriptors_deinit(struct descriptors *descriptors);

/**
 * descriptor_take - a descriptor that is PENDING, with floor 0
 * @patience_ns, @order: see struct descriptor
 * Returns: BWT_OK; BWT_BUSY: DESCRIPTORS_MAX are in use; -ENOMEM
 * Threads: inside the gate or not; wait-free but for making a block
 */
int descriptor_take(struct descriptors *descriptors, uint64_t patience_ns, uint64_t order,
                    struct descriptor **out);
/** It is decided and stamped (DS2). Threads: the owner, inside the gate. */
void descriptor_done(struct descriptors *descriptors, struct descriptor *descriptor);

/** It was decided: wake those who wait for that. Any thread. */
void descriptor_ring(struct descriptor *descriptor);

/** The LSN word of a version of @descriptor's transaction. */
uint64_t descriptor_ref(const struct descriptor *descriptor);
struct descriptor *descriptor_at(const struct descriptors *descriptors, uint32_t slot);

/**
 * version_word - who decides a version, and what it says now
 * @word:  of the version
 * @seen:  out: PENDING, COMMITTED or ABORTED
 * Returns: @word itself or the word of its descriptor: what a push or a wound changes by CAS from *@seen
 * Threads: pinned
 */
_Atomic(uint64_t) *version_word(const struct descriptors *descriptors, _Atomic(uint64_t) *word,
                                uint64_t *seen);

/** The descriptor behind @word, as version_word() returned it beside a version whose own word is @own; NULL: none. */
static inline struct descriptor *descriptor_of(_Atomic(uint64_t) *word, const _Atomic(uint64_t) *own)
{
	return word == own ? NULL : (struct descriptor *)(void *)word; /* its first member */
}

#endif
