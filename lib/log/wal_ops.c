/* SPDX-License-Identifier: MIT */
/* wal_ops.c - what a record of the log says, decoded; the layouts are in wal_format.h */
#include "log/wal_ops.h"

#include <string.h>

#include "page/delta.h"

#define OP_FLAGS (VERSION_TOMBSTONE | VERSION_VLOG)

bool wal_op_next(struct bytes_reader *bytes, struct wal_op_view *op)
{
	const void *head = bytes_take(bytes, offsetof(struct wal_op, bytes));
	struct wal_op stored;

	if (head == NULL)
		return false;
	memcpy(&stored, head, sizeof stored);
	*op = (struct wal_op_view){.tree = stored.tree, .flags = stored.flags};
	op->key.data = bytes_take(bytes, stored.key_size);
	op->key.size = stored.key_size;
	op->value.data = bytes_take(bytes, stored.value_size);
	op->value.size = stored.value_size;
	if (op->key.data == NULL || op->value.data == NULL || (op->flags & ~OP_FLAGS) != 0)
		return false;
	if ((op->flags & VERSION_TOMBSTONE) != 0)
		return op->value.size == 0 && (op->flags & VERSION_VLOG) == 0;
	return (op->flags & VERSION_VLOG) == 0 || op->value.size == sizeof(struct value_ref);
}

bool wal_txn_ops(const struct wal_record *record, struct bwt_slice *ops, uint32_t *count)
{
	struct wal_txn head;

	if (record->payload.size < sizeof head)
		return false;
	memcpy(&head, record->payload.data, sizeof head);
	*ops = (struct bwt_slice){(const uint8_t *)record->payload.data + sizeof head, head.size};
	*count = head.count;
	return head.size <= record->payload.size - sizeof head;
}

bool wal_part_ops(const struct wal_record *record, struct wal_txn_part *part, struct bwt_slice *ops)
{
	if (record->payload.size < sizeof *part)
		return false;
	memcpy(part, record->payload.data, sizeof *part);
	*ops = (struct bwt_slice){(const uint8_t *)record->payload.data + sizeof *part, part->size};
	return part->size <= record->payload.size - sizeof *part;
}

bool wal_commit_parts(const struct wal_record *record, struct wal_txn_commit *commit)
{
	if (record->payload.size < sizeof *commit)
		return false;
	memcpy(commit, record->payload.data, sizeof *commit);
	return commit->first_lsn < record->lsn && commit->first_lsn % 16 == 0;
}

bool wal_tree_name(const struct wal_record *record, uint32_t *id, char name[BWT_TREE_NAME_MAX + 1])
{
	struct bytes_reader bytes;
	const char *text;
	size_t size;

	bytes_reader_init(&bytes, record->payload.data, record->payload.size);
	if (!bytes_take_u32(&bytes, id))
		return false;
	size = bytes_left(&bytes);
	text = bytes_take(&bytes, size);
	size = text == NULL ? 0 : strnlen(text, size);
	if (size == 0 || size > BWT_TREE_NAME_MAX)
		return false;
	memset(name, 0, BWT_TREE_NAME_MAX + 1);
	memcpy(name, text, size);
	return true;
}
