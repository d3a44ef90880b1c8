/* SPDX-License-Identifier: MIT */
/*
 * fuzz_wal.c - any bytes as the log behind a good header, read as opening and as salvaging do
 *
 * Frames that stand where they begin get their position, incarnation and CRC put right.
 */
#include <stdlib.h>
#include <string.h>

#include "log/wal_private.h"
#include "log/wal_reader.h"
#include "recovery/salvage.h"
#include "tests/fuzz/fuzz.h"

#define LOG_BYTES ((size_t)64 << 10)
#define LIFE 7u

static void seal_frames(uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + sizeof(struct wal_frame) <= size;) {
		struct wal_frame frame;
		size_t len;

		memcpy(&frame, bytes + at, sizeof frame);
		len = frame.len_type & WAL_LEN_MASK;
		if (len < 2 * WAL_ALIGN || len % WAL_ALIGN != 0 || len > size - at)
			break;
		frame.lsn = WAL_BLOCK + at;
		frame.incarnation = LIFE;
		frame.crc = wal_frame_crc(crc32c(0, bytes + at + sizeof frame, len - sizeof frame),
		                          &frame);
		memcpy(bytes + at, &frame, sizeof frame);
		at += len;
	}
}

static void read_log(int dir_fd)
{
	struct wal_reader *reader;
	struct wal_record record;

	if (wal_reader_open(dir_fd, 1, WAL_BLOCK, true, &reader) < 0)
		return;
	while (wal_reader_next(reader, &record) == BWT_OK)
		fuzz_touch(record.payload.data, record.payload.size);
	wal_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wal_segment_head head = {
		.magic = WAL_MAGIC,
		.version = WAL_VERSION,
		.seq = 1,
		.start_lsn = WAL_BLOCK,
		.capacity = LOG_BYTES,
		.store_id = 1,
		.incarnation = LIFE,
	};
	struct salvage_log log = {0};
	uint8_t *bytes;

	if (size > LOG_BYTES)
		return 0;
	head.crc = wal_head_crc(&head);
	bytes = calloc(1, WAL_HEADER_SIZE + LOG_BYTES);
	memcpy(bytes, &head, sizeof head);
	memcpy(bytes + WAL_BLOCK, &head, sizeof head);
	memcpy(bytes + WAL_HEADER_SIZE, data, size);
	seal_frames(bytes + WAL_HEADER_SIZE, size);
	fuzz_dir_file("0000000000000001.wal", bytes, WAL_HEADER_SIZE + size,
	              WAL_HEADER_SIZE + LOG_BYTES);
	free(bytes);
	read_log(fuzz_dir());
	salvage_read_log(&log, fuzz_dir());
	for (size_t i = 0; i < log.count; i++) {
		fuzz_touch(log.ops[i].key, log.ops[i].key_size);
		fuzz_touch(log.ops[i].value, log.ops[i].value_size);
	}
	salvage_log_free(&log);
	return 0;
}
