/* SPDX-License-Identifier: MIT */
/*
 * wal_ops.h - what a record of the log says, decoded: operations, transactions, names of trees
 *
 * Records are input: what does not decode is answered with false, and nothing was read beyond its bytes.
 */
#ifndef BWT_LOG_WAL_OPS_H
#define BWT_LOG_WAL_OPS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "log/wal_reader.h"

struct wal_op_view { /* points into the record */
	uint32_t tree;
	uint8_t flags; /* enum version_flags */
	struct bwt_slice key;
	struct bwt_slice value; /* VERSION_VLOG: a struct value_ref, unaligned */
};

/** The next operation of @bytes. */
bool wal_op_next(struct bytes_reader *bytes, struct wal_op_view *op);
/** The operations of a WAL_TXN. */
bool wal_txn_ops(const struct wal_record *record, struct bwt_slice *ops, uint32_t *count);
/** Head and operations of a WAL_TXN_PART. */
bool wal_part_ops(const struct wal_record *record, struct wal_txn_part *part, struct bwt_slice *ops);
/** A WAL_TXN_COMMIT whose first part lies before it. */
bool wal_commit_parts(const struct wal_record *record, struct wal_txn_commit *commit);
/** The tree of a WAL_TREE_CREATE, WAL_TREE_LOAD or WAL_TREE_DROP. */
bool wal_tree_name(const struct wal_record *record, uint32_t *id, char name[BWT_TREE_NAME_MAX + 1]);

#endif
