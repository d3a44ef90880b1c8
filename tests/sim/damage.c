/* SPDX-License-Identifier: MIT */
/*
 * damage.c - one damaged thing that a store must do without (I11), and one that it must notice (W4)
 */
#include <stdio.h>
#include <string.h>

#include "log/wal_private.h"
#include "recovery/checkpoint_load.h"
#include "recovery/image.h"
#include "tests/sim/world.h"

static void flip(struct world *world, struct inode *inode, uint64_t off, uint64_t len)
{
	uint64_t at = off + rng_below(&world->rng, len);
	uint8_t byte;

	inode_read(inode, &byte, 1, at);
	byte = (uint8_t)(byte ^ (1u << rng_below(&world->rng, 8)));
	inode_write(inode, &byte, 1, at);
	inode_sync(inode);
}

static bool read_super(const struct inode *arena, unsigned slot, struct superblock *super)
{
	if (arena->size < SUPERBLOCK_OFF(slot) + sizeof *super)
		return false;
	inode_read(arena, super, sizeof *super, SUPERBLOCK_OFF(slot));
	return super->magic == SUPERBLOCK_MAGIC &&
	       super->crc == crc32c(0, (const uint8_t *)super + offsetof(struct superblock, major),
	                            sizeof *super - offsetof(struct superblock, major));
}

/* One of the two superblocks, or the root block of the image that the newer one names. */
static bool damage_checkpoint(struct world *world, struct inode *arena)
{
	struct superblock super[2];
	unsigned slot;

	if (!read_super(arena, 0, &super[0]) || !read_super(arena, 1, &super[1]))
		return false;
	slot = rng_chance(&world->rng, 50);
	if (rng_chance(&world->rng, 50)) {
		flip(world, arena, SUPERBLOCK_OFF(slot), 0x60);
		return true;
	}
	flip(world, arena, super[slot].root, super[slot].root_size);
	return true;
}

static bool damage_head(struct world *world, const struct inode *wal)
{
	for (unsigned tries = 0; tries < 8 && wal->entry_count > 0; tries++) {
		struct dir_entry *entry = &wal->entries[rng_below(&world->rng, wal->entry_count)];
		uint64_t seq;

		if (!wal_segment_parse(entry->name, &seq))
			continue;
		flip(world, entry->inode, rng_chance(&world->rng, 50) ? WAL_BLOCK : 0,
		     sizeof(struct wal_segment_head));
		return true;
	}
	return false;
}

bool world_damage(struct world *world, struct disk *disk, char *what, size_t size)
{
	size_t at = strlen(what);

	struct inode *store = inode_find(disk->root, SIM_PATH), *arena, *wal;

	if (store == NULL || !world->created)
		return false;
	arena = inode_find(store, "arena");
	wal = inode_find(store, "wal");
	if (arena == NULL || wal == NULL)
		return false;
	if (!rng_chance(&world->rng, 70)) {
		snprintf(what + at, size - at, ", a log header damaged");
		return damage_head(world, wal);
	}
	snprintf(what + at, size - at, ", a checkpoint damaged");
	return damage_checkpoint(world, arena);
}

/* ---- the log ---- */

/* The newest segment of @wal that holds the byte before @lsn, and where in it that byte stands. */
static struct inode *segment_of(const struct inode *wal, uint64_t lsn, uint64_t *off)
{
	struct inode *found = NULL;
	uint64_t newest = 0;

	for (unsigned i = 0; i < wal->entry_count; i++) {
		struct inode *file = wal->entries[i].inode;
		struct wal_segment_head head;
		uint64_t seq;

		if (!wal_segment_parse(wal->entries[i].name, &seq) || seq < newest ||
		    file->size < WAL_HEADER_SIZE)
			continue;
		inode_read(file, &head, sizeof head, 0);
		if (lsn <= head.start_lsn || lsn > head.start_lsn + head.capacity)
			continue;
		found = file;
		newest = seq;
		*off = WAL_HEADER_SIZE + (lsn - head.start_lsn);
	}
	return found;
}

/*
 * With one fiber and sync durability each record claims that all before it are durable. So any but the last one
 * that was acknowledged will do.
 */
bool world_damage_log(struct world *world, struct disk *disk)
{
	struct inode *store = inode_find(disk->root, SIM_PATH), *file;
	const struct history *history = &world->history;
	unsigned last = history->op_count;
	const struct op *victim;
	uint64_t off;

	if (store == NULL || world->db == NULL || history->fibers != 1 ||
	    world->profile.options.durability != BWT_SYNC)
		return false;
	while (last > 0 && (history->ops[last - 1].none || !history->ops[last - 1].durable))
		last--;
	if (last < 2)
		return false;
	victim = &history->ops[rng_below(&world->rng, last - 1)];
	if (victim->none || !victim->durable || victim->kind != OP_CHANGES ||
	    victim->lsn == UINT64_MAX)
		return false;
	file = segment_of(inode_find(store, "wal"), victim->lsn, &off);
	if (file == NULL)
		return false;
	flip(world, file, off - 16, 16);
	return true;
}
