/* SPDX-License-Identifier: MIT */
/*
 * commit_record.h - commit one operation under another log record than its own (catalogue changes)
 */
#ifndef BWT_TXN_COMMIT_RECORD_H
#define BWT_TXN_COMMIT_RECORD_H

#include "txn/commit.h"

/**
 * commit_record - as commit_one(), but COMMIT_CAS must change something
 * @record: the log record to write, not prepared yet; NULL: a WAL_OP that describes @op
 */
int commit_record(struct store *store, struct tree *tree, struct commit_op *op,
                  struct wal_payload *record);

#endif
