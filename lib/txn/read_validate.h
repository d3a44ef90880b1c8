/* SPDX-License-Identifier: MIT */
/*
 * read_validate.h - does what a serializable transaction read still hold?
 *
 *   read_validate()   once everything is installed, before the LSN is reserved: all ranges, leaf by leaf
 *   read_revalidate() between reserving c and publishing: leaves whose word changed, or that held
 *                     pending versions, again; what is pending is pushed to c (or aborted, C4)
 *
 * Every writer with a smaller LSN installed its version before it reserved, so the second look sees it: it
 * is committed below c, or it can no longer be (design.md section 6, W7).
 */
#ifndef BWT_TXN_READ_VALIDATE_H
#define BWT_TXN_READ_VALIDATE_H

#include "txn/txn.h"

struct seen_leaf { /* as read_validate() found it */
	uint64_t word;
	page_id page;
	uint32_t range; /* index into the read set */
	bool pending;   /* versions of others in the range are undecided */
};

struct validation { /* zeroed = empty */
	struct seen_leaf *leaves;
	size_t count, capacity;
};

void validation_free(struct validation *validation);
/**
 * read_validate - no version at or above the snapshot lies in what @txn read
 * @own: the transaction's descriptor
 * Returns: BWT_OK; BWT_CONFLICT; BWT_CORRUPT; -ENOMEM
 * Threads: pinned
 */
int read_validate(const struct txn *txn, const struct descriptor *own, struct validation *validation);
/** The same as of LSN @lsn, reserved; pinned, in the gate; neither waits nor allocates. BWT_OK, BWT_CONFLICT, BWT_CORRUPT. */
int read_revalidate(const struct txn *txn, const struct descriptor *own,
                    const struct validation *validation, uint64_t lsn);

#endif
