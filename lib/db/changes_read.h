/* SPDX-License-Identifier: MIT */
/*
 * changes_read.h - transactions out of the log, one after another, change by change
 */
#ifndef BWT_DB_CHANGES_READ_H
#define BWT_DB_CHANGES_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "db/db.h"
#include "log/wal_ops.h"
#include "log/wal_reader.h"

struct tree_id_name { /* of a tree that was dropped */
	uint32_t id;
	char name[BWT_TREE_NAME_MAX + 1];
};

struct feed { /* zeroed but for db, position and the filter: nothing read yet */
	struct bwt_db *db;
	uint64_t position; /* everything up to here was handed out */
	/* the filter */
	bool one_tree;
	uint32_t tree;
	uint8_t *prefix;
	size_t prefix_size;
	/* the log */
	struct wal_reader *reader; /* NULL: to be opened at position */
	bool read_before;          /* so position is between two records for sure */
	/* the transaction that is being handed out */
	struct wal_record record;     /* its only record, or its commit; end_lsn 0: none */
	struct wal_txn_commit commit; /* WAL_TXN_COMMIT */
	struct wal_reader *parts; /* WAL_TXN_COMMIT: reads its parts; NULL: from the first one on */
	uint64_t parts_seen, ops_seen;
	struct bytes_reader ops; /* what is left of the operations of the record, or of the part */
	uint32_t ops_left;
	uint64_t wanted, given; /* changes that pass the filter: all, and those handed out */
	/* what is handed out points to these, or into the record */
	struct bwt_buf value;
	char name[BWT_TREE_NAME_MAX + 1];
	uint32_t name_id;             /* whose name that is; 0: nobody's */
	struct tree_id_name *dropped; /* trees whose names only the log has */
	size_t dropped_count, dropped_capacity;
};

/**
 * feed_next - the next change below @durable that passes the filter
 * Returns: BWT_OK; BWT_NOT_FOUND: there is none, position may have moved; BWT_INVALID: position is not between two
 *          records; BWT_CORRUPT: damage, or it was released; BWT_IO, -ENOMEM: call it again
 * Blocks:  on the disk
 */
int feed_next(struct feed *feed, uint64_t durable, struct bwt_change *change);
/** feed_rewind - forget the transaction that was begun: it comes again */
void feed_rewind(struct feed *feed);
void feed_free(struct feed *feed);

#endif
