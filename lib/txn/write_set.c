/* SPDX-License-Identifier: MIT */
/*
 * write_set.c - a skip list over blocks of memory, and the journal that undoes changes
 *
 *   WS1  next[0] from head[0] on passes every entry once, ascending by (tree id, key).
 *   WS2  An entry is on its first `levels` lists, and stays there until write_set_free().
 *   WS3  count and bytes are those of the entries that are not WRITE_NONE.
 *
 * A rewritten value stays in memory, because the journal may bring it back; so memory is proportional to
 * what was written, not to what is left of it. Blocks begin small: most transactions write little.
 */
#include "txn/write_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define BLOCK_FIRST 1024u               /* bytes of the first block, its head included */
#define BLOCK_LARGEST ((size_t)1 << 20) /* blocks double up to this */
#define RANDOM_SEED 0x9e3779b97f4a7c15u

struct write_block {
	struct write_block *older;
	size_t size; /* of bytes */
	size_t used;
	uint8_t bytes[];
};

struct write_change {               /* what an entry was before */
	struct write_change *older; /* in the journal, or the next spare one */
	struct write_entry *entry;
	struct bwt_slice value;
	uint64_t expected_lsn;
	uint8_t kind;
	bool expects;
};

/* ---- memory ---- */

static struct write_block *block_new(size_t size)
{
	struct write_block *block = malloc(sizeof *block + size);

	if (block == NULL)
		return NULL;
	block->size = size;
	block->used = 0;
	return block;
}

/* A fresh block that @size bytes fit into; what is large gets one of its own, behind the one in use. */
static struct write_block *block_add(struct write_set *set, size_t size)
{
	struct write_block *newest = set->blocks, *block;
	size_t usual = newest == NULL ? BLOCK_FIRST : 2 * (newest->size + sizeof *newest);

	usual = (usual < BLOCK_LARGEST ? usual : BLOCK_LARGEST) - sizeof *block;
	if (newest != NULL && size > usual / 4) {
		block = block_new(size);
		if (block == NULL)
			return NULL;
		block->older = newest->older;
		newest->older = block;
		return block;
	}
	block = block_new(size < usual ? usual : size);
	if (block == NULL)
		return NULL;
	block->older = newest;
	set->blocks = block;
	return block;
}

/* Memory of the set's, aligned to 8 bytes. */
static void *take(struct write_set *set, size_t size)
{
	struct write_block *block = set->blocks;
	void *memory;

	size = (size + 7) & ~(size_t)7;
	if (block == NULL || block->size - block->used < size)
		block = block_add(set, size);
	if (block == NULL)
		return NULL;
	memory = block->bytes + block->used;
	block->used += size;
	return memory;
}

void write_set_free(struct write_set *set)
{
	struct write_block *block = set->blocks;

	while (block != NULL) {
		struct write_block *older = block->older;

		free(block);
		block = older;
	}
	memset(set, 0, sizeof *set);
}

/* ---- the skip list ---- */

/* Does @entry come before (@id, @key), or with @equal at it? */
static bool precedes(const struct write_entry *entry, uint32_t id, struct bwt_slice key, bool equal)
{
	if (entry->tree->id != id)
		return entry->tree->id < id;
	return key_compare(entry->key, key) < (equal ? 1 : 0);
}

/*
 * The last entry before (@id, @key) (or at it, with @equal); NULL: none.
 * @links: NULL, or out: on each level the link that leads on from there
 */
static struct write_entry *search(struct write_set *set, uint32_t id, struct bwt_slice key,
                                  bool equal, struct write_entry ***links)
{
	struct write_entry *at = NULL;

	for (unsigned level = WRITE_LEVELS; level-- > 0;) {
		struct write_entry **link = at == NULL ? &set->head[level] : &at->next[level];

		while (*link != NULL && precedes(*link, id, key, equal)) {
			at = *link;
			link = &at->next[level];
		}
		if (links != NULL)
			links[level] = link;
	}
	return at;
}

/* The same without a change to follow: the set is only looked at. */
static struct write_entry *last_before(const struct write_set *set, uint32_t id,
                                       struct bwt_slice key, bool equal)
{
	return search((struct write_set *)(uintptr_t)set, id, key, equal, NULL);
}

static struct write_entry *successor(const struct write_set *set, const struct write_entry *entry)
{
	return entry == NULL ? set->head[0] : entry->next[0];
}

/* One level more for each two random bits that are zero. */
static uint8_t random_levels(struct write_set *set)
{
	uint64_t random = set->random != 0 ? set->random : RANDOM_SEED;
	uint8_t levels = 1;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	set->random = random;
	for (; levels < WRITE_LEVELS && (random & 3) == 0; random >>= 2)
		levels++;
	return levels;
}

/* A new entry behind @links, WRITE_NONE. NULL: no memory. */
static struct write_entry *entry_add(struct write_set *set, struct tree *tree, struct bwt_slice key,
                                     struct write_entry ***links)
{
	uint8_t levels = random_levels(set);
	size_t head = sizeof(struct write_entry) + levels * sizeof(struct write_entry *);
	struct write_entry *entry = take(set, head + key.size);
	uint8_t *bytes;

	if (entry == NULL)
		return NULL;
	bytes = (uint8_t *)entry + head;
	memset(entry, 0, sizeof *entry);
	if (key.size > 0)
		memcpy(bytes, key.data, key.size);
	entry->tree = tree;
	entry->key = (struct bwt_slice){bytes, key.size};
	entry->hash = key_hash(key);
	entry->levels = levels;
	for (unsigned level = 0; level < levels; level++) {
		entry->next[level] = *links[level];
		*links[level] = entry;
	}
	return entry;
}

/* ---- changes ---- */

/* Bytes that @entry counts for. */
static uint64_t weight(const struct write_entry *entry)
{
	return entry->kind == WRITE_NONE ? 0 : entry->key.size + entry->value.size;
}

/* What @entry is, from @kind and @value on (WS3). */
static void become(struct write_set *set, struct write_entry *entry, uint8_t kind,
                   struct bwt_slice value)
{
	set->bytes -= weight(entry);
	set->count -= entry->kind != WRITE_NONE;
	entry->kind = kind;
	entry->value = value;
	set->count += entry->kind != WRITE_NONE;
	set->bytes += weight(entry);
}

static struct write_change *change_new(struct write_set *set)
{
	struct write_change *change = set->spare;

	if (change == NULL)
		return take(set, sizeof *change);
	set->spare = change->older;
	return change;
}

static void change_note(struct write_set *set, struct write_change *change, struct write_entry *entry)
{
	*change = (struct write_change){
		.older = set->journal,
		.entry = entry,
		.value = entry->value,
		.expected_lsn = entry->expected_lsn,
		.kind = entry->kind,
		.expects = entry->expects,
	};
	set->journal = change;
	set->journal_length++;
}

static int check_limits(const struct write_set *set, const struct write_entry *entry,
                        struct bwt_slice key, struct bwt_slice value)
{
	bool fresh = entry == NULL || entry->kind == WRITE_NONE;
	uint64_t before = entry == NULL ? 0 : weight(entry);

	if (fresh && set->count >= WRITE_SET_COUNT_MAX)
		return error_set(BWT_TOO_BIG, "a transaction of more than %llu keys",
		                 (unsigned long long)WRITE_SET_COUNT_MAX);
	if (set->bytes - before + key.size + value.size > WRITE_SET_BYTES_MAX)
		return error_set(BWT_TOO_BIG,
		                 "a transaction of more than %llu bytes of keys and values",
		                 (unsigned long long)WRITE_SET_BYTES_MAX);
	return BWT_OK;
}

int write_set_change(struct write_set *set, struct tree *tree, struct bwt_slice key,
                     struct bwt_slice value, enum write_kind kind, struct write_entry **out)
{
	struct write_entry **links[WRITE_LEVELS];
	struct write_entry *entry;
	struct write_change *change;
	void *bytes = NULL;
	int rc;

	search(set, tree->id, key, false, links);
	entry = *links[0];
	if (entry != NULL && (entry->tree->id != tree->id || key_compare(entry->key, key) != 0))
		entry = NULL;
	rc = check_limits(set, entry, key, value);
	if (rc < 0)
		return rc;
	if (value.size > 0) {
		bytes = take(set, value.size);
		if (bytes == NULL)
			return -ENOMEM;
		memcpy(bytes, value.data, value.size);
	}
	change = change_new(set);
	if (change == NULL)
		return -ENOMEM;
	if (entry == NULL)
		entry = entry_add(set, tree, key, links);
	if (entry == NULL) {
		change->older = set->spare;
		set->spare = change;
		return -ENOMEM;
	}
	change_note(set, change, entry);
	become(set, entry, (uint8_t)kind, (struct bwt_slice){bytes, value.size});
	if (out != NULL)
		*out = entry;
	return BWT_OK;
}

int write_set_rollback(struct write_set *set, size_t mark)
{
	if (mark > set->journal_length)
		return error_set(BWT_INVALID, "the mark lies beyond the transaction's changes");
	while (set->journal_length > mark) {
		struct write_change *change = set->journal;
		struct write_entry *entry = change->entry;

		become(set, entry, change->kind, change->value);
		entry->expects = change->expects;
		entry->expected_lsn = change->expected_lsn;
		set->journal = change->older;
		set->journal_length--;
		change->older = set->spare;
		set->spare = change;
	}
	return BWT_OK;
}

/* ---- looking ---- */

struct write_entry *write_set_find(const struct write_set *set, const struct tree *tree,
                                   struct bwt_slice key)
{
	struct write_entry *entry;

	if (set->count == 0)
		return NULL;
	entry = last_before(set, tree->id, key, true);
	if (entry == NULL || entry->kind == WRITE_NONE || entry->tree->id != tree->id ||
	    key_compare(entry->key, key) != 0)
		return NULL;
	return entry;
}

struct write_entry *write_set_above(const struct write_set *set, const struct tree *tree,
                                    struct bwt_slice key, bool included)
{
	struct write_entry *entry = successor(set, last_before(set, tree->id, key, !included));

	while (entry != NULL && entry->kind == WRITE_NONE)
		entry = entry->next[0];
	return entry != NULL && entry->tree->id == tree->id ? entry : NULL;
}

/* From @entry on downwards, to the first that is a write of tree @id. */
static struct write_entry *settle_below(const struct write_set *set, uint32_t id,
                                        struct write_entry *entry)
{
	while (entry != NULL && entry->tree->id == id && entry->kind == WRITE_NONE)
		entry = last_before(set, id, entry->key, false);
	return entry != NULL && entry->tree->id == id ? entry : NULL;
}

struct write_entry *write_set_below(const struct write_set *set, const struct tree *tree,
                                    struct bwt_slice key, bool included)
{
	return settle_below(set, tree->id, last_before(set, tree->id, key, included));
}

struct write_entry *write_set_last(const struct write_set *set, const struct tree *tree)
{
	/* Ids are never reused, and far from the end of their range. */
	return settle_below(set, tree->id,
	                    last_before(set, tree->id + 1, (struct bwt_slice){NULL, 0}, false));
}

struct write_entry *write_set_next(const struct write_set *set, const struct write_entry *entry)
{
	struct write_entry *next = successor(set, entry);

	while (next != NULL && next->kind == WRITE_NONE)
		next = next->next[0];
	return next;
}
