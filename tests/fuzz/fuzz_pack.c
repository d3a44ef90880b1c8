/* SPDX-License-Identifier: MIT */
/*
 * fuzz_pack.c - any bytes as a compressed value, its checksum put right: the first 4 say its size
 *
 * As a file, by each way to read one, and as a block in memory of its own size.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "log/vlog_private.h"
#include "tests/fuzz/fuzz.h"

#define SIZE_MOST 600000u /* of a value: three blocks */

static void one_block(const uint8_t *data, size_t size)
{
	struct packer *packer = packer_new();
	size_t room = 1 + data[0] * 37u;
	uint8_t *from, *to = malloc(room);
	uint32_t word;

	memcpy(&word, data, sizeof word);
	size -= sizeof word;
	from = malloc(size + 1);
	memcpy(from, data + sizeof word, size);
	word = (word & 0x80000000u) | (uint32_t)size;
	for (enum pack_codec codec = PACK_LZ4; codec <= PACK_ZSTD; codec++)
		if (packer != NULL && to != NULL && size <= room &&
		    unpack_block(packer, codec, word, from, to, room))
			fuzz_touch(to, room);
	packer_free(packer);
	free(from);
	free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vlog_config config = {.dir_fd = fuzz_dir(), .store_id = 1, .readonly = true};
	struct value_ref ref = {.segment = 1};
	struct vlog_read reads[2];
	struct vlog *vlog;
	uint8_t *file, *value, *more;
	bool equal;

	if (size < 2 * sizeof(uint32_t))
		return 0;
	one_block(data, size);
	memcpy(&ref.size, data, sizeof ref.size);
	ref.size = 1 + ref.size % SIZE_MOST;
	size -= sizeof ref.size;
	file = calloc(1, sizeof(struct vlog_record) + size);
	memcpy(file + sizeof(struct vlog_record), data + sizeof ref.size, size);
	memcpy(file + sizeof(struct vlog_record), &ref.size, sizeof ref.size);
	ref.packed = (uint32_t)size;
	ref.crc = crc32c(0, file + sizeof(struct vlog_record), size);
	fuzz_dir_file("0000000000000001.vlog", file, sizeof(struct vlog_record) + size,
	              sizeof(struct vlog_record) + size);
	value = malloc(ref.size);
	more = malloc(ref.size);
	if (vlog_open(&config, &vlog) == BWT_OK) {
		if (vlog_read(vlog, &ref, value) == BWT_OK) {
			fuzz_touch(value, ref.size);
			if (vlog_compare(vlog, &ref, value, &equal) != BWT_OK || !equal)
				abort();
		}
		reads[0] = (struct vlog_read){.ref = ref, .to = value};
		reads[1] = (struct vlog_read){.ref = ref, .to = more};
		vlog_read_many(vlog, reads, 2);
		if (reads[0].rc == BWT_OK && memcmp(value, more, ref.size) != 0)
			abort();
		vlog_close(vlog);
	}
	free(file);
	free(value);
	free(more);
	return 0;
}
