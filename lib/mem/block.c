/* SPDX-License-Identifier: MIT */
/*
 * block.c - seal and check the blocks of the arena
 */
#include "mem/block.h"

#include "base/assert.h"
#include "base/crc32c.h"

#define CRC_SIZE sizeof(uint32_t)  /* the CRC itself is not part of what it covers */
#define SKIP_SIZE sizeof(uint64_t) /* an LSN word */
#define DELTA_WORD_OFF 0x20u       /* of leaf deltas; page/delta.c asserts that it is the field's */
#define IMAGE_TAG_FIRST BLOCK_IMAGE_SEGMENT
#define IMAGE_TAG_LAST BLOCK_IMAGE_ROOT

static uint32_t block_crc(const struct block_head *block, uint32_t skip_off)
{
	const uint8_t *bytes = (const uint8_t *)block;
	uint32_t crc;

	if (skip_off == 0)
		return crc32c(0, bytes + CRC_SIZE, block->size - CRC_SIZE);
	crc = crc32c(0, bytes + CRC_SIZE, skip_off - CRC_SIZE);
	return crc32c(crc, bytes + skip_off + SKIP_SIZE, block->size - skip_off - SKIP_SIZE);
}

void block_seal(struct block_head *block, uint32_t skip_off)
{
	BWT_ASSERT(block->size >= sizeof *block && block->size % BLOCK_ALIGN == 0);
	BWT_ASSERT(skip_off == 0 || (skip_off >= CRC_SIZE && skip_off + SKIP_SIZE <= block->size));
	block->crc = block_crc(block, skip_off);
}

static bool tag_known(uint8_t tag)
{
	return (tag >= BLOCK_FILLER && tag <= BLOCK_INDEX_MERGE) ||
	       (tag >= IMAGE_TAG_FIRST && tag <= IMAGE_TAG_LAST);
}

bool block_valid(const struct block_head *block, size_t room)
{
	uint32_t skip_off;

	if (room < sizeof *block || block->size < sizeof *block || block->size > room ||
	    block->size > BLOCK_SIZE_MAX || block->size % BLOCK_ALIGN != 0 || !tag_known(block->tag))
		return false;
	skip_off = block->tag == BLOCK_PUT || block->tag == BLOCK_DELETE ? DELTA_WORD_OFF : 0;
	if (skip_off != 0 && block->size < skip_off + SKIP_SIZE)
		return false;
	return block->crc == block_crc(block, skip_off);
}
