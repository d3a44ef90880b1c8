/* SPDX-License-Identifier: MIT */
/*
 * txns.c - read-write transactions, several open at a time, among all other operations
 *
 * Each has an oracle of its own, its snapshot with its changes over it, a journal of the changes, and a
 * list of the keys that others have changed since it began. From these follows what its commit may say:
 *
 *   snapshot       refused if and only if somebody changed a key that it changed
 *   serializable   also if what it read is another thing now; may be for whatever changed where it walked
 *   read committed never (its changes here are blind)
 *
 * An operation may say early that it is lost, if its key was changed by another.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/model/world.h"

#define JOURNAL_MAX 400u /* changes, then it ends */
#define WALK_MAX 500u    /* keys of a tree that is walked or deleted by the range */

struct note { /* a key, and what was put under it or read of it */
	unsigned tree;
	uint8_t *key;
	size_t key_size;
	struct oracle_value value;
};

struct notes {
	struct note *notes;
	size_t count, capacity;
};

struct mark {
	bool there;
	unsigned mark;
	size_t journal_count;
	struct oracle sees;
};

struct open_txn {
	struct bwt_txn *txn; /* NULL: free */
	unsigned level;      /* flags */
	struct oracle then;  /* its snapshot */
	struct oracle sees;  /* with its own changes; not under read committed */
	struct notes journal, changed, reads;
	unsigned walked; /* trees of which it read ranges: a bit each */
	struct mark mark;
};

static struct open_txn open_txns[WORLD_TXNS];

/* ---- notes ---- */

static void note_add(struct notes *notes, unsigned tree, struct bwt_slice key,
                     struct oracle_value value)
{
	struct note *note;

	if (notes->count == notes->capacity) {
		notes->capacity = 2 * notes->capacity + 32;
		notes->notes = realloc(notes->notes, notes->capacity * sizeof *notes->notes);
	}
	note = &notes->notes[notes->count++];
	*note = (struct note){tree, malloc(key.size + 1), key.size, value};
	if (key.size != 0)
		memcpy(note->key, key.data, key.size);
}

static void notes_cut(struct notes *notes, size_t count)
{
	while (notes->count > count)
		free(notes->notes[--notes->count].key);
}

static const struct note *note_find(const struct notes *notes, unsigned tree, struct bwt_slice key)
{
	for (size_t i = notes->count; i-- > 0;) /* the newest one */
		if (notes->notes[i].tree == tree && notes->notes[i].key_size == key.size &&
		    (key.size == 0 || memcmp(notes->notes[i].key, key.data, key.size) == 0))
			return &notes->notes[i];
	return NULL;
}

static struct bwt_slice note_key(const struct note *note)
{
	return (struct bwt_slice){note->key, note->key_size};
}

static bool same_value(struct oracle_value a, struct oracle_value b)
{
	return a.there == b.there && (!a.there || (a.seed == b.seed && a.size == b.size));
}

/* ---- one transaction ---- */

static void forget(struct open_txn *open)
{
	oracle_free(&open->then);
	oracle_free(&open->sees);
	notes_cut(&open->journal, 0);
	notes_cut(&open->changed, 0);
	notes_cut(&open->reads, 0);
	free(open->journal.notes);
	free(open->changed.notes);
	free(open->reads.notes);
	if (open->mark.there)
		oracle_free(&open->mark.sees);
	memset(open, 0, sizeof *open);
}

void world_txns_changed(unsigned tree, struct bwt_slice key)
{
	for (unsigned i = 0; i < WORLD_TXNS; i++)
		if (open_txns[i].txn != NULL)
			note_add(&open_txns[i].changed, tree, key, (struct oracle_value){0, 0, true});
}

void world_end_txns(void)
{
	for (unsigned i = 0; i < WORLD_TXNS; i++)
		if (open_txns[i].txn != NULL) {
			bwt_abort(open_txns[i].txn);
			forget(&open_txns[i]);
		}
}

static bool is_moving(const struct open_txn *open)
{
	return (open->level & BWT_READ_COMMITTED) != 0;
}

/* What it sees now: freed by the caller. */
static void view_of(const struct world *world, const struct open_txn *open, struct oracle *view)
{
	oracle_copy(view, is_moving(open) ? &world->now : &open->sees);
	for (size_t i = 0; is_moving(open) && i < open->journal.count; i++) {
		const struct note *note = &open->journal.notes[i];

		oracle_set(&view->trees[note->tree], note_key(note), note->value);
	}
	for (unsigned tree = 0; tree < ORACLE_TREES; tree++) /* made since it began: empty for it */
		view->trees[tree].there = world->now.trees[tree].there;
}

static struct oracle_value sees_key(const struct world *world, const struct open_txn *open,
                                    unsigned tree, struct bwt_slice key)
{
	const struct note *own = note_find(&open->journal, tree, key);

	if (own != NULL)
		return own->value;
	return oracle_get(is_moving(open) ? &world->now.trees[tree] : &open->then.trees[tree], key);
}

static void changes(struct open_txn *open, unsigned tree, struct bwt_slice key,
                    struct oracle_value value)
{
	note_add(&open->journal, tree, key, value);
	oracle_set(&open->sees.trees[tree], key, value);
}

static void has_read(const struct world *world, struct open_txn *open, unsigned tree,
                     struct bwt_slice key)
{
	if (note_find(&open->journal, tree, key) == NULL)
		note_add(&open->reads, tree, key, sees_key(world, open, tree, key));
}

/* Did @rc say early that it is lost? It may if @key was changed; then it is over. */
static bool lost_early(struct world *world, struct open_txn *open, int rc, unsigned tree,
                       struct bwt_slice key)
{
	if (rc != BWT_CONFLICT)
		return false;
	if (is_moving(open) || note_find(&open->changed, tree, key) == NULL)
		world_fail(world, "an operation was refused with BWT_CONFLICT for no reason");
	if (rng_chance(&world->rng, 50))
		world_expect(world, "bwt_commit of a lost transaction", bwt_commit(open->txn),
		             BWT_CONFLICT);
	else
		bwt_abort(open->txn);
	forget(open);
	return true;
}

/* ---- operations in it ---- */

static struct oracle_value some_value(struct world *world)
{
	uint32_t size = (uint32_t)rng_below(&world->rng, rng_chance(&world->rng, 5) ? 20000 : 150);

	return (struct oracle_value){rng_u64(&world->rng), size, true};
}

static void txn_put(struct world *world, struct open_txn *open, unsigned tree)
{
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value before = sees_key(world, open, tree, key), value = some_value(world);
	bool conditional = !is_moving(open) && rng_chance(&world->rng, 40);
	unsigned flags = !conditional ? 0 : rng_chance(&world->rng, 50) ? BWT_INSERT : BWT_UPDATE;
	int rc = bwt_put(world_tree(world, tree), open->txn, key, oracle_bytes(value), flags);

	if (lost_early(world, open, rc, tree, key))
		return;
	world_expect(world, "bwt_put in a transaction", rc,
	             flags == BWT_INSERT && before.there    ? BWT_EXISTS
	             : flags == BWT_UPDATE && !before.there ? BWT_NOT_FOUND
	                                                    : BWT_OK);
	if (conditional)
		has_read(world, open, tree, key);
	if (rc == BWT_OK)
		changes(open, tree, key, value);
}

static void txn_delete(struct world *world, struct open_txn *open, unsigned tree)
{
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value before = sees_key(world, open, tree, key), none = {0, 0, false};
	int rc;

	if (is_moving(open))
		return; /* conditional, which read committed holds to in its own way */
	rc = rng_chance(&world->rng, 70)
	             ? bwt_delete(world_tree(world, tree), open->txn, key)
	             : bwt_cas(world_tree(world, tree), open->txn, key,
	                       before.there
	                               ? &(struct bwt_slice){oracle_bytes(before).data, before.size}
	                               : NULL,
	                       NULL);
	if (lost_early(world, open, rc, tree, key))
		return;
	if (rc != BWT_OK || before.there)
		world_expect(world, "bwt_delete in a transaction", rc,
		             before.there ? BWT_OK : BWT_NOT_FOUND);
	has_read(world, open, tree, key);
	if (before.there)
		changes(open, tree, key, none);
}

static void txn_delete_range(struct world *world, struct open_txn *open, unsigned tree)
{
	struct bwt_slice from = random_key(world, &world->now.trees[tree]), to;
	uint8_t *low = malloc(from.size + 1);
	struct oracle view;
	bool found;
	int rc;

	if (from.size != 0)
		memcpy(low, from.data, from.size);
	from.data = low;
	to = random_key(world, &world->now.trees[tree]);
	view_of(world, open, &view);
	if (!is_moving(open) && view.trees[tree].count <= WALK_MAX) {
		size_t first = oracle_lower(&view.trees[tree], from, &found);
		size_t end = oracle_lower(&view.trees[tree], to, &found);

		rc = bwt_delete_range(world_tree(world, tree), open->txn, from, to);
		open->walked |= 1u << tree;
		world_expect(world, "bwt_delete_range", rc, BWT_OK);
		for (size_t i = first; i < end; i++)
			changes(open, tree, oracle_key(&view.trees[tree].entries[i]),
			        (struct oracle_value){0, 0, false});
	}
	oracle_free(&view);
	free(low);
}

static void txn_get(struct world *world, struct open_txn *open, unsigned tree)
{
	struct bwt_slice key = random_key(world, &world->now.trees[tree]);
	struct oracle_value expected = sees_key(world, open, tree, key);
	int result = BWT_OK, rc;

	if (rng_chance(&world->rng, 50)) {
		rc = bwt_get(world_tree(world, tree), open->txn, key, &world->buf);
	} else {
		rc = bwt_get_many(world_tree(world, tree), open->txn, 1, &key, &world->buf, &result);
		world_expect(world, "bwt_get_many in a transaction", rc, BWT_OK);
		rc = result;
	}
	world_expect(world, "bwt_get in a transaction", rc, expected.there ? BWT_OK : BWT_NOT_FOUND);
	if (rc == BWT_OK && !oracle_same(expected, world->buf.data, world->buf.size))
		world_fail(world, "a transaction read another value of %zu bytes", world->buf.size);
	has_read(world, open, tree, key);
}

static void txn_walk(struct world *world, struct open_txn *open, unsigned tree)
{
	bool forward = rng_chance(&world->rng, 50);
	struct bwt_cursor *cursor;
	struct oracle view;
	size_t seen = 0, count;
	int rc;

	view_of(world, open, &view);
	count = view.trees[tree].count;
	world_expect(world, "bwt_cursor_open",
	             bwt_cursor_open(world_tree(world, tree), open->txn, &cursor), BWT_OK);
	open->walked |= 1u << tree;
	while ((rc = forward ? bwt_cursor_next(cursor) : bwt_cursor_prev(cursor)) == BWT_OK &&
	       seen < count && seen < WALK_MAX) {
		const struct oracle_entry *entry =
			&view.trees[tree].entries[forward ? seen : count - 1 - seen];
		struct bwt_slice key, value;

		world_expect(world, "bwt_cursor_key", bwt_cursor_key(cursor, &key), BWT_OK);
		world_expect(world, "bwt_cursor_value", bwt_cursor_value(cursor, &value), BWT_OK);
		if (key.size != entry->key_size || memcmp(key.data, entry->key, key.size) != 0 ||
		    !oracle_same(entry->value, value.data, value.size))
			world_fail(world, "entry %zu of a walk in a transaction is another one",
			           seen);
		seen++;
	}
	if (seen < WALK_MAX)
		world_expect(world, "the end of a walk in a transaction", rc, BWT_NOT_FOUND);
	if (seen < WALK_MAX && seen != count)
		world_fail(world, "a walk in a transaction has %zu of %zu keys", seen, count);
	bwt_cursor_close(cursor);
	oracle_free(&view);
}

static void txn_mark(struct world *world, struct open_txn *open)
{
	struct mark *mark = &open->mark;

	if (mark->there && rng_chance(&world->rng, 60)) {
		world_expect(world, "bwt_rollback_to", bwt_rollback_to(open->txn, mark->mark),
		             BWT_OK);
		notes_cut(&open->journal, mark->journal_count);
		oracle_free(&open->sees);
		oracle_copy(&open->sees, &mark->sees);
		return;
	}
	if (mark->there)
		oracle_free(&mark->sees);
	mark->there = true;
	mark->journal_count = open->journal.count;
	world_expect(world, "bwt_savepoint", bwt_savepoint(open->txn, &mark->mark), BWT_OK);
	oracle_copy(&mark->sees, &open->sees);
}

/* ---- the end ---- */

/* Must its commit be refused, and may it be? */
static void outlook(const struct world *world, const struct open_txn *open, bool *must, bool *may)
{
	bool strict = (open->level & BWT_SERIALIZABLE) != 0;

	*must = *may = false;
	for (size_t i = 0; !is_moving(open) && i < open->journal.count; i++) {
		const struct note *note = &open->journal.notes[i];
		unsigned tree = note->tree;

		if (note_find(&open->changed, tree, note_key(note)) == NULL)
			continue;
		*may = true;
		/* Put and deleted where nothing was leaves no trace to be found. */
		*must |= oracle_get(&world->now.trees[tree], note_key(note)).there ||
		         oracle_get(&open->then.trees[tree], note_key(note)).there;
	}
	for (size_t i = 0; strict && i < open->reads.count; i++) {
		const struct note *note = &open->reads.notes[i];

		*may |= note_find(&open->changed, note->tree, note_key(note)) != NULL;
		*must |= open->journal.count != 0 &&
		         !same_value(note->value,
		                     oracle_get(&world->now.trees[note->tree], note_key(note)));
	}
	for (size_t i = 0; strict && i < open->changed.count; i++)
		*may |= (open->walked >> open->changed.notes[i].tree & 1) != 0;
}

static void txn_commit(struct world *world, struct open_txn *open)
{
	struct open_txn done = *open;
	bool must, may;
	int rc;

	outlook(world, open, &must, &may);
	memset(open, 0, sizeof *open); /* what it changes is no change by others */
	rc = bwt_commit(done.txn);
	if (rc == BWT_CONFLICT && !may)
		world_fail(world, "a commit was refused for no reason");
	if (rc == BWT_OK && must)
		world_fail(world, "a commit that had to be refused was not");
	if (rc != BWT_CONFLICT && !world_refused(world, rc)) {
		world_expect(world, "bwt_commit", rc, BWT_OK);
		for (size_t i = 0; i < done.journal.count; i++) {
			const struct note *note = &done.journal.notes[i];

			world_changed(world, note->tree, note_key(note), note->value);
			if (i != 0)
				world_joined(world);
		}
	}
	forget(&done);
}

static void txn_begin(struct world *world, struct open_txn *open)
{
	static const unsigned levels[] = {0, 0, BWT_SERIALIZABLE, BWT_READ_COMMITTED};

	open->level = levels[rng_below(&world->rng, 4)];
	world_expect(world, "bwt_begin", bwt_begin(world->db, open->level, &open->txn), BWT_OK);
	oracle_copy(&open->then, &world->now);
	oracle_copy(&open->sees, &world->now);
}

void op_txn(struct world *world)
{
	struct open_txn *open = &open_txns[rng_below(&world->rng, WORLD_TXNS)];
	unsigned tree = random_tree(world);
	uint64_t choice = rng_below(&world->rng, 100);

	if (open->txn == NULL)
		txn_begin(world, open);
	else if (open->journal.count > JOURNAL_MAX || choice < 10)
		txn_commit(world, open);
	else if (choice < 13) {
		bwt_abort(open->txn);
		forget(open);
	} else if (choice < 50)
		txn_put(world, open, tree);
	else if (choice < 65)
		txn_delete(world, open, tree);
	else if (choice < 80)
		txn_get(world, open, tree);
	else if (choice < 88)
		txn_walk(world, open, tree);
	else if (choice < 90)
		txn_delete_range(world, open, tree);
	else
		txn_mark(world, open);
}
