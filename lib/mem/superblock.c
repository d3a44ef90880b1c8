/* SPDX-License-Identifier: MIT */
/*
 * superblock.c - reading and writing the two roots (layout in the header)
 */
#include "mem/superblock.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "sys/file.h"

#define CRC_FROM offsetof(struct superblock, major)
#define FEATURES_REFUSED                                                                           \
	(0xffffffffull & ~FEATURES_WRITTEN) /* bits that must be known and are not */

static uint32_t superblock_crc(const struct superblock *super)
{
	return crc32c(0, (const uint8_t *)super + CRC_FROM, sizeof *super - CRC_FROM);
}

int superblock_read(int fd, unsigned slot, struct superblock *super)
{
	_Alignas(SUPERBLOCK_SIZE) struct superblock found; /* for reads past the page cache */
	uint64_t off = SUPERBLOCK_OFF(slot);
	int rc = sys_file_read(fd, &found, sizeof found, off);

	if (rc < 0)
		return rc;
	if (found.magic != SUPERBLOCK_MAGIC)
		return error_set(BWT_CORRUPT, "arena: no superblock at offset %llu",
		                 (unsigned long long)off);
	/* The version comes before the CRC: another format may sum other bytes. */
	if (found.major > FORMAT_MAJOR)
		return error_set(BWT_VERSION, "arena: format %u.%u, this library knows up to %u",
		                 found.major, found.minor, FORMAT_MAJOR);
	if (found.crc != superblock_crc(&found))
		return error_set(BWT_CORRUPT,
		                 "arena: superblock at offset %llu does not match its checksum",
		                 (unsigned long long)off);
	if ((found.features & FEATURES_REFUSED) != 0)
		return error_set(BWT_VERSION, "arena: unknown features %#llx",
		                 (unsigned long long)found.features);
	*super = found;
	return BWT_OK;
}

bool superblock_matches(int fd, unsigned slot)
{
	_Alignas(SUPERBLOCK_SIZE) struct superblock found;

	return sys_file_read(fd, &found, sizeof found, SUPERBLOCK_OFF(slot)) == BWT_OK &&
	       found.crc == superblock_crc(&found);
}

int superblock_newest(int fd, struct superblock *super)
{
	struct superblock found[2];
	int first = superblock_read(fd, 0, &found[0]);
	int second = superblock_read(fd, 1, &found[1]);

	if (first < 0 && second < 0)
		return first;
	if (first < 0 || (second == BWT_OK && found[1].checkpoint > found[0].checkpoint))
		*super = found[1];
	else
		*super = found[0];
	return BWT_OK;
}

static void complete(struct superblock *super)
{
	super->magic = SUPERBLOCK_MAGIC;
	super->major = FORMAT_MAJOR;
	super->minor = FORMAT_MINOR;
	super->features |= FEATURES_WRITTEN;
	super->crc = superblock_crc(super);
}

int superblock_write(int fd, unsigned slot, struct superblock *super)
{
	int rc;

	complete(super);
	rc = sys_file_write(fd, super, sizeof *super, SUPERBLOCK_OFF(slot));
	return rc < 0 ? rc : sys_file_sync(fd);
}

/*
 * Deep: a platform that loses the queues of its memory controller would lose part of what was flushed. After
 * this no part of the checkpoint is there any more, so such a loss costs commits, as it must, but never the
 * checkpoint, nor the older one, whose space is used again from here on.
 */
int superblock_store(const struct arena *arena, unsigned slot, struct superblock *super)
{
	uint8_t *to = arena->base + SUPERBLOCK_OFF(slot);

	if (arena->map.media == SYS_MEDIA_FILE)
		return superblock_write(arena->fd, slot, super);
	complete(super);
	memcpy(to, super, sizeof *super);
	sys_file_count_written(sizeof *super);
	return sys_persist_deep(&arena->map, to, sizeof *super);
}
