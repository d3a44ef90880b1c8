/* SPDX-License-Identifier: MIT */
/* script.c - words to calls, calls to a history */
#include "tests/sched/script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sched/script_private.h"

static const char *const words[SCRIPT_WORDS] = {
	"put",      "ins",     "upd",   "del",   "cas",  "sync",   "get",    "scan",
	"snap",     "read",    "look",  "drop",  "fix",  "force",  "fixup",  "reclaim",
	"advance",  "cut",     "chunk", "leave", "tree", "yield",  "stable", "begin",
	"beginser", "beginrc", "tput",  "tdel",  "tget", "commit", "clean",  "push",
	"take",     "shrink",  "abort", "mark",  "back",
};

static bool names_key(enum script_word word)
{
	switch (word) {
	case SCRIPT_PUT:
	case SCRIPT_INS:
	case SCRIPT_UPD:
	case SCRIPT_DEL:
	case SCRIPT_CAS:
	case SCRIPT_SYNC:
	case SCRIPT_GET:
	case SCRIPT_READ:
	case SCRIPT_FIX:
	case SCRIPT_FORCE:
	case SCRIPT_FIXUP:
	case SCRIPT_TPUT:
	case SCRIPT_TDEL:
	case SCRIPT_TGET:
	case SCRIPT_SHRINK:
		return true;
	default:
		return false;
	}
}

static bool takes_number(enum script_word word)
{
	return names_key(word) || word == SCRIPT_CHUNK || word == SCRIPT_LEAVE ||
	       word == SCRIPT_TREE || word == SCRIPT_PUSH || word == SCRIPT_TAKE;
}

static void bad(const char *text, const char *at)
{
	fprintf(stderr, "sched: script \"%s\": not understood: \"%s\"\n", text, at);
	exit(EXIT_FAILURE);
}

void script_parse(struct script *script, const char *text, bool keys[HISTORY_KEYS])
{
	const char *at = text;

	script->count = 0;
	for (;;) {
		struct script_step *step = &script->step[script->count];
		size_t length;

		at += strspn(at, " ;\n\t");
		if (*at == '\0')
			return;
		length = strcspn(at, " ;\n\t");
		step->word = 0;
		step->number = 0;
		while (step->word < SCRIPT_WORDS && (strlen(words[step->word]) != length ||
		                                     strncmp(words[step->word], at, length) != 0))
			step->word++;
		if (step->word == SCRIPT_WORDS || script->count + 1 == SCRIPT_STEPS_MAX)
			bad(text, at);
		at += length;
		at += strspn(at, " ");
		if (takes_number(step->word) != (isdigit((unsigned char)*at) != 0))
			bad(text, at);
		if (takes_number(step->word))
			step->number = (unsigned)strtoul(at, (char **)(uintptr_t)&at, 10);
		if (names_key(step->word)) {
			if (step->number >= HISTORY_KEYS)
				bad(text, at);
			keys[step->number] = true;
		}
		script->count++;
	}
}

void script_print(const struct script *script)
{
	for (unsigned i = 0; i < script->count; i++) {
		const struct script_step *step = &script->step[i];

		printf("%s%s", i > 0 ? "; " : "", words[step->word]);
		if (takes_number(step->word))
			printf(" %02u", step->number);
	}
	printf("\n");
}

/* ---- playing ---- */

struct history_op *player_begin(struct player *player, enum history_kind kind, unsigned key)
{
	struct history_op *op = history_begin(player->history, (uint8_t)player->fiber, kind,
	                                      (uint8_t)key, sim_stamp());

	if (op == NULL)
		sim_fail("the history is full");
	return op;
}

static void write(struct player *player, enum history_kind kind, unsigned key, bool durable)
{
	static const enum commit_kind kinds[] = {COMMIT_PUT, COMMIT_INSERT, COMMIT_UPDATE,
	                                         COMMIT_DELETE, COMMIT_CAS};
	struct history_op *op = player_begin(player, kind, key);
	const history_value *expected = NULL;
	int rc;

	if (kind != HISTORY_DELETE)
		op->value = (history_value)((player->fiber + 1) * 1000 + player->at);
	if (kind == HISTORY_CAS) {
		op->expected = player->last[key];
		expected = op->expected != 0 ? &op->expected : NULL;
	}
	rc = world_commit(kinds[kind], key, op->value, expected, durable, &op->lsn);
	op->end = sim_stamp();
	op->done = rc == BWT_OK;
	op->synced = durable;
	if (op->done != (op->lsn != 0))
		sim_fail("a write of key %u answered %d with LSN %llu", key, rc,
		         (unsigned long long)op->lsn);
	if (rc != BWT_OK && !(rc == BWT_EXISTS && kind == HISTORY_INSERT) &&
	    !(rc == BWT_NOT_FOUND && (kind == HISTORY_UPDATE || kind == HISTORY_DELETE)) &&
	    !(rc == BWT_MISMATCH && kind == HISTORY_CAS))
		sim_fail("a write of key %u: %s, %s", key, bwt_strerror(rc), bwt_detail());
	if (durable && op->done && wal_durable_lsn(world->store.wal) < op->lsn)
		sim_fail("a synced write of key %u is not durable", key);
}

static void get(struct player *player, unsigned key)
{
	struct history_op *op = player_begin(player, HISTORY_GET, key);
	int rc = world_get(READ_NEWEST, key, &op->value);

	op->end = sim_stamp();
	player->last[key] = op->value;
	if (rc != BWT_OK && rc != BWT_NOT_FOUND)
		sim_fail("a get of key %u: %s, %s", key, bwt_strerror(rc), bwt_detail());
}

static void scanned(void *ctx, unsigned from, unsigned to, const history_value *values,
                    uint32_t begin_stamp, uint32_t end_stamp)
{
	struct player *player = ctx;

	for (unsigned key = from; key < to; key++) {
		struct history_op *op;

		if (!player->keys[key] && values[key] != 0)
			sim_fail("a scan met key %u, which nobody wrote", key);
		if (!player->keys[key])
			continue;
		op = player_begin(player, HISTORY_GET, key);
		op->begin = begin_stamp;
		op->end = end_stamp;
		op->value = values[key];
	}
}

void player_saw(struct player *player, unsigned key, history_value value)
{
	struct history_look *look = player->look;

	if (look->looked[key] && look->seen[key] != value)
		sim_fail("snapshot %llu of fiber %u: key %u was %d and is %d",
		         (unsigned long long)look->lsn, player->fiber, key, look->seen[key], value);
	look->looked[key] = true;
	look->seen[key] = value;
}

static void looked(void *ctx, unsigned from, unsigned to, const history_value *values,
                   uint32_t begin_stamp, uint32_t end_stamp)
{
	struct player *player = ctx;

	(void)begin_stamp, (void)end_stamp;
	for (unsigned key = from; key < to; key++)
		if (player->keys[key] || values[key] != 0)
			player_saw(player, key, values[key]);
}

/* As db/txns.c does it for a read-only transaction, or (@newest) for a cursor. */
struct history_look *player_snap(struct player *player, bool newest)
{
	struct store *store = &world->store;

	if (player->snapshot != NULL)
		snapshot_release(player->snapshot);
	player->look = history_look(player->history, (uint8_t)player->fiber, sim_stamp());
	if (player->look == NULL)
		sim_fail("the history is full");
	if (!newest && commit_wait_seen(store) < 0)
		sim_fail("the log does not become durable");
	if (snapshot_acquire(&store->snapshots, newest ? store_clock : store_stable_clock, store,
	                     &player->snapshot) < 0)
		sim_fail("no snapshot to be had");
	player->look->stable = !newest;
	player->look->lsn = snapshot_lsn(player->snapshot);
	player->look->end = sim_stamp();
	return player->look;
}

static void read_key(struct player *player, unsigned key)
{
	history_value value;
	int rc = world_get(snapshot_lsn(player->snapshot), key, &value);

	if (rc != BWT_OK && rc != BWT_NOT_FOUND)
		sim_fail("a snapshot's read of key %u: %s, %s", key, bwt_strerror(rc), bwt_detail());
	player_saw(player, key, value);
}

static void drop(struct player *player)
{
	if (player->snapshot != NULL)
		snapshot_release(player->snapshot);
	player->snapshot = NULL;
}

static void play(struct player *player, const struct script_step *step)
{
	switch (step->word) {
	case SCRIPT_PUT:
	case SCRIPT_INS:
	case SCRIPT_UPD:
	case SCRIPT_DEL:
	case SCRIPT_CAS:
		write(player, (enum history_kind)(step->word - SCRIPT_PUT) + HISTORY_PUT,
		      step->number, false);
		break;
	case SCRIPT_SYNC:
		write(player, HISTORY_PUT, step->number, true);
		break;
	case SCRIPT_GET:
		get(player, step->number);
		break;
	case SCRIPT_SCAN:
		world_scan(READ_NEWEST, scanned, player);
		break;
	case SCRIPT_SNAP:
		player_snap(player, true);
		break;
	case SCRIPT_READ:
		read_key(player, step->number);
		break;
	case SCRIPT_LOOK:
		world_scan(snapshot_lsn(player->snapshot), looked, player);
		break;
	case SCRIPT_DROP:
		drop(player);
		break;
	case SCRIPT_FIX:
	case SCRIPT_FORCE:
		world_consolidate(step->number, 0, step->word == SCRIPT_FORCE);
		break;
	case SCRIPT_FIXUP:
		world_consolidate(step->number, 1, false);
		break;
	case SCRIPT_RECLAIM:
		world_reclaim();
		break;
	case SCRIPT_ADVANCE:
		epoch_advance(&world->store.epoch);
		break;
	case SCRIPT_CUT:
		world_cut();
		break;
	case SCRIPT_CHUNK:
		world_chunk(step->number);
		break;
	case SCRIPT_LEAVE:
		world_leave(step->number);
		break;
	case SCRIPT_TREE:
		world_tree(step->number);
		break;
	case SCRIPT_YIELD:
		sim_yield();
		break;
	case SCRIPT_STABLE:
		player_snap(player, false);
		break;
	case SCRIPT_BEGIN:
	case SCRIPT_BEGINSER:
	case SCRIPT_BEGINRC:
		script_txn_begin(player, step->word);
		break;
	case SCRIPT_TPUT:
	case SCRIPT_TDEL:
		script_txn_write(player, step->number, step->word == SCRIPT_TDEL);
		break;
	case SCRIPT_TGET:
		script_txn_get(player, step->number);
		break;
	case SCRIPT_COMMIT:
		script_txn_commit(player);
		break;
	case SCRIPT_ABORT:
		script_txn_end(player);
		break;
	case SCRIPT_MARK:
		script_txn_mark(player);
		break;
	case SCRIPT_BACK:
		script_txn_back(player);
		break;
	case SCRIPT_CLEAN:
		world_clean();
		break;
	case SCRIPT_PUSH:
		world_push(step->number);
		break;
	case SCRIPT_TAKE:
		world_take(step->number);
		break;
	case SCRIPT_SHRINK:
		world_shrink(step->number);
		break;
	case SCRIPT_WORDS:
		abort();
	}
}

static enum script_word playing[SIM_FIBERS_MAX + 1]; /* the last one is the set-up's */

enum script_word script_word(unsigned fiber)
{
	return playing[fiber];
}

void script_play(const struct script *script, unsigned fiber, struct history *history,
                 const bool keys[HISTORY_KEYS])
{
	struct player player = {.fiber = fiber, .history = history, .keys = keys};

	memcpy(player.last, history->first, sizeof player.last);
	for (player.at = 0; player.at < script->count; player.at++) {
		playing[fiber] = script->step[player.at].word;
		play(&player, &script->step[player.at]);
	}
	script_txn_end(&player);
	drop(&player);
}
