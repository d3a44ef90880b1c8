/* SPDX-License-Identifier: MIT */
/*
 * wal_mapped.c - segments in persistent memory
 *
 * Why: where storing and flushing is all that durability takes, the system has no part in a commit. The bytes
 * are those of a segment that is written as a file, so the reader knows no difference.
 *
 *   WM1  All segments of a life are mapped, or none (wal->media).
 *   WM2  A segment is mapped, and its page tables filled, before it gets its name, and so before its room
 *        is handed out: no fault that would ask the file system for anything happens under a commit.
 *   WM3  Lines are shared by records that follow each other. The flusher alone writes, and what it writes again
 *        of a line that is durable are the same bytes. Behind the end stands what an earlier use left, which
 *        W3 tells.
 *   WM4  Copies and fence are the same thread's: a fence knows nothing of other processors' stores. So each
 *        step of a flusher ends with one, also where nobody asked for durability.
 */
#include <errno.h>

#include "log/wal_private.h"

int wal_segment_map(struct wal *wal, struct wal_segment *segment)
{
	size_t size = (size_t)wal_round_up(segment->file_size, SYS_MAP_ALIGN);
	int rc = sys_map_open(segment->fd, size, 0, &segment->map);

	if (rc < 0)
		return rc;
	if (segment->map.media != wal->media)
		rc = error_set(
			-ENOTSUP,
			"log segment %llu is not in persistent memory, unlike the one before",
			(unsigned long long)segment->seq);
	if (rc == BWT_OK)
		rc = sys_map_populate(&segment->map, 0, segment->file_size);
	if (rc == BWT_OK && wal->config.catch_sigbus)
		rc = sys_map_catch_faults(&segment->map, &wal->faulted);
	if (rc < 0)
		sys_map_close(&segment->map);
	return rc;
}

/* [from, to) of one segment, which lies in one piece in the ring. */
static void copy_piece(struct wal *wal, const struct wal_segment *segment, uint64_t from, uint64_t to)
{
	uint8_t *place = segment->map.base + WAL_HEADER_SIZE + (from - segment->start_lsn);
	const uint8_t *bytes = wal->ring + (from & (wal->ring_size - 1));

	sys_persist_copy(&segment->map, place, bytes, (size_t)(to - from));
}

void wal_mapped_copy(struct wal *wal, uint64_t from, uint64_t to)
{
	sys_file_count_written(to - from);
	while (from < to) {
		const struct wal_segment *segment = wal_segment_at(wal, from);
		uint64_t ring_end = (from | (wal->ring_size - 1)) + 1;
		uint64_t end = to < segment->end_lsn ? to : segment->end_lsn;

		if (end > ring_end)
			end = ring_end;
		copy_piece(wal, segment, from, end);
		from = end;
	}
}

int wal_mapped_drain(struct wal *wal)
{
	sys_persist_drain(&wal->current->map);
	/* Relaxed: the fault was this thread's own, or it does not concern what this thread wrote. */
	if (atomic_load_explicit(&wal->faulted, memory_order_relaxed) == 0)
		return BWT_OK;
	return error_set(BWT_IO, "memory of the log failed");
}
