/* SPDX-License-Identifier: MIT */
/*
 * fuzz_image.c - a superblock and the image that it names, out of any bytes
 *
 * The first 32 bytes say what the superblock says; the rest is the arena behind the superblocks, as
 * blocks one after another whose CRCs are put right.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recovery/image.h"
#include "tests/fuzz/fuzz.h"

#define ARENA_SIZE (4 * EXTENT_SMALL_SIZE)
#define PREFIX 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct superblock super = {.store_id = 1}, read_back;
	struct arena arena = {0};
	struct image image = {0};
	uint64_t word[PREFIX / 8];
	uint8_t *bytes;
	int fd;

	if (size < PREFIX || size > PREFIX + ARENA_SIZE - EXTENT_SMALL_SIZE)
		return 0;
	memcpy(word, data, PREFIX);
	bytes = aligned_alloc(4096, ARENA_SIZE);
	memset(bytes, 0, ARENA_SIZE);
	memcpy(bytes + EXTENT_SMALL_SIZE, data + PREFIX, size - PREFIX);
	for (size_t off = EXTENT_SMALL_SIZE; off + sizeof(struct block_head) <= ARENA_SIZE;) {
		struct block_head *head = (struct block_head *)(bytes + off);

		fuzz_seal(head, ARENA_SIZE - off);
		off += head->size >= sizeof *head && head->size % BLOCK_ALIGN == 0 ? head->size
		                                                                   : BLOCK_ALIGN;
	}
	fd = fuzz_file(bytes, ARENA_SIZE);
	free(bytes);
	super.checkpoint = word[0] % 4;
	super.start_lsn = word[1] % 4096 * 16;
	super.root = EXTENT_SMALL_SIZE + word[2] % 1024 * 16;
	super.root_size = (uint32_t)(word[3] % 4096 * 16);
	super.arena_size = ARENA_SIZE;
	if (superblock_write(fd, 0, &super) == BWT_OK &&
	    superblock_read(fd, 0, &read_back) == BWT_OK &&
	    arena_open(&arena, fd, EXTENT_SIZE, true) == BWT_OK) {
		if (image_read(&arena, &read_back, &image) == BWT_OK) {
			uint64_t words[COW_SEGMENT_WORDS];

			for (unsigned t = 0; t < IMAGE_TABLES; t++)
				image_segment_words(&arena, &image, (enum image_table)t, 0, words);
		}
		image_free(&image);
		arena_close(&arena);
	}
	close(fd);
	return 0;
}
