/* SPDX-License-Identifier: MIT */
/*
 * script_txn.c - transactions of a script, and what the history is told of them
 *
 * What a transaction reads below its snapshot is noted in a look; its writes become operations of the
 * history when it has committed, each with the commit's interval and LSN.
 */
#include <string.h>

#include "tests/sched/script_private.h"

void script_txn_begin(struct player *player, enum script_word word)
{
	static const enum txn_level levels[] = {TXN_SNAPSHOT, TXN_SERIALIZABLE, TXN_READ_COMMITTED};
	enum txn_level level = levels[word - SCRIPT_BEGIN];
	struct history_look *look;

	script_txn_end(player);
	look = player_snap(player, true);
	look->serializable = level == TXN_SERIALIZABLE;
	look->unseen = level == TXN_READ_COMMITTED;
	txn_begin(&player->txn, &world->store, level, look->unseen ? READ_NEWEST : look->lsn);
	player->in_txn = true;
	player->lost = false;
	memset(player->wrote, 0, sizeof player->wrote);
	script_txn_mark(player);
}

void script_txn_end(struct player *player)
{
	if (player->in_txn)
		txn_end(&player->txn);
	player->in_txn = false;
}

void script_txn_write(struct player *player, unsigned key, bool delete)
{
	struct epoch_slot *slot = epoch_slot(&world->store.epoch);
	history_value value = delete ? 0 : (history_value)((player->fiber + 1) * 1000 + player->at);
	struct world_op op;
	int rc;

	if (!player->in_txn || player->lost)
		return;
	world_op_make(&op, delete ? COMMIT_DELETE : COMMIT_PUT, key, value);
	rc = txn_write(&player->txn, world->tree, slot, &op.op);
	if (rc == BWT_CONFLICT) {
		player->lost = true;
		return;
	}
	if (delete &&rc == BWT_NOT_FOUND) {
		if (player->wrote[key] ? player->own[key] != 0 : false)
			sim_fail("a transaction does not find its own write of key %u", key);
		if (!player->wrote[key] && !player->look->unseen)
			player_saw(player, key, 0);
		return;
	}
	if (rc != BWT_OK)
		sim_fail("a transaction's write of key %u: %s, %s", key, bwt_strerror(rc),
		         bwt_detail());
	player->wrote[key] = true;
	player->own[key] = value;
}

void script_txn_get(struct player *player, unsigned key)
{
	uint8_t bytes[WORLD_VALUE_SIZE * 2];
	struct bwt_buf buffer = {.data = bytes, .capacity = sizeof bytes};
	struct world_op op;
	struct history_op *read = NULL;
	history_value value;
	int rc;

	if (!player->in_txn)
		return;
	world_op_make(&op, COMMIT_PUT, key, 0);
	if (player->look->unseen && !player->wrote[key])
		read = player_begin(player, HISTORY_GET, key);
	rc = txn_get(&player->txn, world->tree, epoch_slot(&world->store.epoch), op.op.key, &buffer);
	if (rc != BWT_OK && rc != BWT_NOT_FOUND)
		sim_fail("a transaction's read of key %u: %s, %s", key, bwt_strerror(rc),
		         bwt_detail());
	value = rc == BWT_OK ? world_value(&buffer) : 0;
	if (player->wrote[key]) {
		if (value != player->own[key])
			sim_fail("a transaction wrote %d to key %u and reads %d", player->own[key],
			         key, value);
		return;
	}
	if (read == NULL) {
		player_saw(player, key, value);
		return;
	}
	read->value = value;
	read->end = sim_stamp();
}

void script_txn_mark(struct player *player)
{
	if (!player->in_txn)
		return;
	player->mark = write_set_mark(&player->txn.writes);
	memcpy(player->wrote_there, player->wrote, sizeof player->wrote);
	memcpy(player->own_there, player->own, sizeof player->own);
}

void script_txn_back(struct player *player)
{
	if (!player->in_txn || player->lost)
		return;
	if (write_set_rollback(&player->txn.writes, player->mark) != BWT_OK)
		sim_fail("a rollback: %s", bwt_detail());
	memcpy(player->wrote, player->wrote_there, sizeof player->wrote);
	memcpy(player->own, player->own_there, sizeof player->own);
}

/* The transaction is committed: each of its writes took effect between @begin and now. */
static void note_writes(struct player *player, uint32_t begin)
{
	for (unsigned key = 0; key < HISTORY_KEYS; key++) {
		struct history_op *op;

		if (!player->wrote[key])
			continue;
		op = player_begin(player, HISTORY_PUT, key);
		op->begin = begin;
		op->end = sim_stamp();
		op->value = player->own[key];
		op->done = true;
		op->lsn = player->look->commit_lsn;
		op->txn = (unsigned)(player->look - player->history->look) + 1;
	}
}

void script_txn_commit(struct player *player)
{
	uint32_t begin = sim_stamp();
	uint64_t lsn;
	int rc;

	if (!player->in_txn)
		return;
	rc = player->lost ? BWT_CONFLICT : txn_commit(&player->txn, &lsn);
	if (rc != BWT_OK && rc != BWT_CONFLICT)
		sim_fail("a commit: %s, %s", bwt_strerror(rc), bwt_detail());
	if (rc == BWT_OK && player->txn.writes.count > 0) {
		player->look->commit_lsn = lsn;
		note_writes(player, begin);
	}
	script_txn_end(player);
}
