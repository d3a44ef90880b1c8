/* SPDX-License-Identifier: MIT */
/*
 * log_fixture.h - a log in a temporary folder, records that can be recognised, and reading them back
 *
 * Record @id has a size and bytes that follow from @id alone, so a reader can tell it without any list.
 */
#ifndef BWT_TESTS_LOG_FIXTURE_H
#define BWT_TESTS_LOG_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "log/vlog.h"
#include "log/wal.h"
#include "log/wal_reader.h"
#include "tests/support/tmpstore.h"

#define FIXTURE_STORE_ID 0x1122334455667788u
#define FIXTURE_SIZE_BY_ID 0u /* record_put: the size follows from the id */
#define FIXTURE_IDS_MAX 200000u

extern char fixture_dir[TMPSTORE_PATH_MAX];
extern int fixture_dir_fd;

void fixture_set_up(void);
void fixture_tear_down(void);

/** A value log of files of @segment_size in the folder, which is empty. */
struct vlog *fixture_vlog(uint64_t segment_size);

/** Small ring, 1 MiB segments, sync. */
struct wal_config fixture_config(void);
/** Read to the end from @lsn on (0: the first record), then open for appending there. */
struct wal *fixture_reopen(struct wal_config config, uint64_t lsn);

/** Room, reserve, fill: returns the end of the record, or 0 and *rc. */
uint64_t record_put_rc(struct wal *wal, uint64_t id, uint32_t payload_size, int *rc);
uint64_t record_put(struct wal *wal, uint64_t id, uint32_t payload_size);
/** record_put() and wal_wait() */
uint64_t record_put_durable(struct wal *wal, uint64_t id, uint32_t payload_size);
/** Room and reserve; the fill follows: a hole until then. */
struct hole {
	struct wal_payload payload;
	uint8_t *bytes;
	uint64_t lsn;
};
void hole_make(struct wal *wal, uint64_t id, uint32_t payload_size, struct hole *hole);
void hole_fill(struct wal *wal, struct hole *hole);

struct found {  /* what a reader met */
	int rc; /* of the last call: BWT_NOT_FOUND is a clean end */
	int open_rc;
	uint64_t count;
	uint64_t last_lsn; /* start and end of the last record */
	uint64_t last_end;
	uint64_t end_lsn; /* as wal_reader_end() says */
	uint64_t last_seq;
	uint32_t incarnation;
	uint64_t bad; /* records whose bytes are not those of their id, or that are out of order */
	uint8_t seen[FIXTURE_IDS_MAX / 8]; /* bit per id */
};
bool found_id(const struct found *found, uint64_t id);
/** Reads the folder @dir from @lsn (0: the first record) to the end; freed with free(). */
struct found *read_all(int dir_fd, uint64_t lsn);

/** The file of segment @seq, for damage: an open descriptor. */
int segment_file(uint64_t seq);
void file_flip(int fd, uint64_t off);
/** Files whose name contains @text. */
unsigned count_files(const char *text);

#endif
