/* SPDX-License-Identifier: MIT */
/* log_fixture.c - a log in a temporary folder */
#include "tests/unit/log/log_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/file.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"

#define SIZE_MAX_BY_ID 600u
#define ID_SIZE sizeof(uint64_t)

char fixture_dir[TMPSTORE_PATH_MAX];
int fixture_dir_fd;

void fixture_set_up(void)
{
	tmpstore_new(fixture_dir);
	if (sys_dir_open(fixture_dir, &fixture_dir_fd) < 0)
		abort();
}

void fixture_tear_down(void)
{
	sys_file_close(fixture_dir_fd);
	tmpstore_free(fixture_dir);
}

struct vlog *fixture_vlog(uint64_t segment_size)
{
	struct vlog_config config = {
		.dir_fd = fixture_dir_fd, .store_id = FIXTURE_STORE_ID, .segment_size = segment_size};
	struct vlog *vlog;

	if (vlog_open(&config, &vlog) < 0)
		abort();
	return vlog;
}

struct wal_config fixture_config(void)
{
	return (struct wal_config){
		.dir_fd = fixture_dir_fd,
		.store_id = FIXTURE_STORE_ID,
		.segment_size = 1 << 20,
		.ring_size = 4 << 20,
		.sync = true,
	};
}

struct wal *fixture_reopen(struct wal_config config, uint64_t lsn)
{
	struct found *found = read_all(config.dir_fd, lsn);
	struct wal *wal = NULL;

	CU_ASSERT_EQUAL_FATAL(found->open_rc, BWT_OK);
	CU_ASSERT_EQUAL_FATAL(found->rc, BWT_NOT_FOUND);
	config.end_lsn = found->end_lsn;
	config.end_incarnation = found->incarnation;
	config.last_seq = found->last_seq;
	free(found);
	CU_ASSERT_EQUAL_FATAL(wal_open(&config, &wal), BWT_OK);
	return wal;
}

/* --- Records --- */

static uint32_t size_of(uint64_t id, uint32_t wanted)
{
	struct rng rng;

	if (wanted != FIXTURE_SIZE_BY_ID)
		return wanted < ID_SIZE ? ID_SIZE : wanted;
	rng_init(&rng, id);
	return ID_SIZE + (uint32_t)rng_below(&rng, SIZE_MAX_BY_ID);
}

static void fill_bytes(uint64_t id, uint8_t *bytes, uint32_t size)
{
	struct rng rng;

	memcpy(bytes, &id, ID_SIZE);
	rng_init(&rng, ~id);
	rng_fill(&rng, bytes + ID_SIZE, size - ID_SIZE);
}

/* In three pieces, as a commit does it. */
static uint8_t *make_payload(uint64_t id, uint32_t wanted, struct wal_payload *payload)
{
	uint32_t size = size_of(id, wanted);
	uint8_t *bytes = malloc(size);
	size_t middle = (size - ID_SIZE) / 2;

	fill_bytes(id, bytes, size);
	*payload = (struct wal_payload){.type = WAL_OP, .count = 3};
	payload->part[0] = (struct bwt_slice){bytes, ID_SIZE};
	payload->part[1] = (struct bwt_slice){bytes + ID_SIZE, middle};
	payload->part[2] = (struct bwt_slice){bytes + ID_SIZE + middle, size - ID_SIZE - middle};
	wal_payload_prepare(payload);
	return bytes;
}

uint64_t record_put_rc(struct wal *wal, uint64_t id, uint32_t payload_size, int *rc)
{
	struct wal_payload payload;
	uint8_t *bytes = make_payload(id, payload_size, &payload);
	uint64_t lsn = 0;

	*rc = wal_room_take(wal, payload.frame_len);
	if (*rc == BWT_OK) {
		lsn = wal_reserve(wal, payload.frame_len);
		wal_fill(wal, lsn, &payload);
		lsn += payload.frame_len;
	}
	free(bytes);
	return lsn;
}

uint64_t record_put(struct wal *wal, uint64_t id, uint32_t payload_size)
{
	int rc;
	uint64_t end = record_put_rc(wal, id, payload_size, &rc);

	CU_ASSERT_EQUAL_FATAL(rc, BWT_OK);
	return end;
}

uint64_t record_put_durable(struct wal *wal, uint64_t id, uint32_t payload_size)
{
	uint64_t end = record_put(wal, id, payload_size);

	CU_ASSERT_EQUAL_FATAL(wal_wait(wal, end), BWT_OK);
	CU_ASSERT_TRUE(wal_durable_lsn(wal) >= end);
	return end;
}

void hole_make(struct wal *wal, uint64_t id, uint32_t payload_size, struct hole *hole)
{
	hole->bytes = make_payload(id, payload_size, &hole->payload);
	CU_ASSERT_EQUAL_FATAL(wal_room_take(wal, hole->payload.frame_len), BWT_OK);
	hole->lsn = wal_reserve(wal, hole->payload.frame_len);
}

void hole_fill(struct wal *wal, struct hole *hole)
{
	wal_fill(wal, hole->lsn, &hole->payload);
	free(hole->bytes);
}

/* --- Reading back --- */

bool found_id(const struct found *found, uint64_t id)
{
	return id < FIXTURE_IDS_MAX && (found->seen[id / 8] & 1u << id % 8) != 0;
}

static bool bytes_are_those_of_id(const struct wal_record *record, uint64_t id)
{
	static _Thread_local uint8_t expected[WAL_PAYLOAD_MAX + 16];
	uint32_t size = (uint32_t)record->payload.size;
	uint32_t certain = size < ID_SIZE + 15 ? ID_SIZE : size - 15; /* the rest may be padding */

	fill_bytes(id, expected, size);
	if (memcmp(record->payload.data, expected, certain) != 0)
		return false;
	for (uint32_t at = certain; at < size; at++) {
		uint8_t byte = ((const uint8_t *)record->payload.data)[at];

		if (byte != expected[at] && byte != 0)
			return false;
	}
	return true;
}

static void look_at(struct found *found, const struct wal_record *record)
{
	uint64_t id;

	memcpy(&id, record->payload.data, sizeof id);
	if (record->lsn < found->last_end || record->end_lsn <= record->lsn ||
	    id >= FIXTURE_IDS_MAX || !bytes_are_those_of_id(record, id))
		found->bad++;
	else
		found->seen[id / 8] |= (uint8_t)(1u << id % 8);
	found->last_lsn = record->lsn;
	found->last_end = record->end_lsn;
	found->count++;
}

struct found *read_all(int dir_fd, uint64_t lsn)
{
	struct found *found = calloc(1, sizeof *found);
	struct wal_reader *reader;
	struct wal_record record;

	found->open_rc = wal_reader_open(dir_fd, FIXTURE_STORE_ID, lsn == 0 ? WAL_BLOCK : lsn,
	                                 false, &reader);
	if (found->open_rc < 0)
		return found;
	while ((found->rc = wal_reader_next(reader, &record)) == BWT_OK)
		look_at(found, &record);
	wal_reader_end(reader, &found->end_lsn, &found->incarnation, &found->last_seq);
	wal_reader_close(reader);
	return found;
}

/* --- Files --- */

int segment_file(uint64_t seq)
{
	char name[32];
	int fd = -1;

	snprintf(name, sizeof name, "%016llx.wal", (unsigned long long)seq);
	fd = openat(fixture_dir_fd, name, O_RDWR | O_CLOEXEC);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	return fd;
}

void file_flip(int fd, uint64_t off)
{
	uint8_t byte;

	CU_ASSERT_EQUAL_FATAL(pread(fd, &byte, 1, (off_t)off), 1);
	byte ^= 0x40;
	CU_ASSERT_EQUAL_FATAL(pwrite(fd, &byte, 1, (off_t)off), 1);
}

struct counting {
	const char *text;
	unsigned count;
};

static int count_one(void *ctx, const char *name)
{
	struct counting *counting = ctx;

	if (strstr(name, counting->text) != NULL)
		counting->count++;
	return 0;
}

unsigned count_files(const char *text)
{
	struct counting counting = {text, 0};

	CU_ASSERT_EQUAL_FATAL(sys_dir_list(fixture_dir_fd, count_one, &counting), BWT_OK);
	return counting.count;
}
