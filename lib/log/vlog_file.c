/* SPDX-License-Identifier: MIT */
/*
 * vlog_file.c - value-log files: keeping them open for readers, walking, listing, removing
 *
 * Readers share descriptors. Each file has one slot in which it may be kept open, told by its number,
 * so finding it is one load; a file whose slot another file occupies is opened for one read.
 *
 *   empty --slot_open()--> opening --slot_open()--> open, n users --slot_leave()--> open, n-1 users
 *   open, 0 users --slot_open() of another file, slot_evict()--> opening, empty
 *   open, n users --slot_evict()--> closing, n users --slot_leave() of the last--> empty
 *
 *   R1  A descriptor is closed by the thread that took the slot's word from "0 users" to opening or empty.
 *   R2  Stored numbers and offsets are input: what does not check is BWT_CORRUPT with file and offset.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "log/vlog_private.h"
#include "sys/file.h"
#include "sys/thread.h"

#define SLOT_NUMBER_SHIFT 16u
#define SLOT_NUMBER_MAX (UINT64_MAX >> SLOT_NUMBER_SHIFT)
#define SLOT_OPENING 0x8000u /* one thread has it */
#define SLOT_CLOSING 0x4000u /* no new users; the last one closes */
#define SLOT_USERS 0x3fffu

void vlog_name(char name[VLOG_NAME_SIZE], uint64_t number)
{
	snprintf(name, VLOG_NAME_SIZE, "%016" PRIx64 ".vlog", number);
}

bool vlog_parse(const char *name, uint64_t *number)
{
	char again[VLOG_NAME_SIZE];
	uint64_t value;

	if (sscanf(name, "%16" SCNx64, &value) != 1)
		return false;
	vlog_name(again, value);
	if (value == 0 || strcmp(name, again) != 0)
		return false;
	*number = value;
	return true;
}

bool vlog_head_valid(const struct vlog *vlog, const struct vlog_record *head)
{
	return (head->magic == VLOG_MAGIC || head->magic == VLOG_MAGIC_PACKED) &&
	       head->head_crc == vlog_head_crc(head) && head->store_id == vlog->config.store_id;
}

/* --- Slots --- */

void vlog_slots_init(struct vlog *vlog)
{
	for (unsigned i = 0; i < VLOG_OPEN_MAX; i++)
		vlog->slots[i].fd = -1;
}

void vlog_slots_close(struct vlog *vlog)
{
	for (unsigned i = 0; i < VLOG_OPEN_MAX; i++) {
		sys_file_close(vlog->slots[i].fd);
		vlog->slots[i].fd = -1;
	}
}

static struct vlog_slot *slot_of(struct vlog *vlog, uint64_t number)
{
	return &vlog->slots[number % VLOG_OPEN_MAX];
}

static uint64_t load_word(const struct vlog_slot *slot)
{
	return atomic_load_explicit(&slot->word, memory_order_acquire);
}

/* ACQ_REL: a new user sees the descriptor; who closes comes after the last user's reads. */
static bool swap_word(struct vlog_slot *slot, uint64_t *seen, uint64_t next)
{
	return atomic_compare_exchange_strong_explicit(&slot->word, seen, next,
	                                               memory_order_acq_rel, memory_order_acquire);
}

/* Become a user of an open @number. */
static bool slot_enter(struct vlog_slot *slot, uint64_t number)
{
	uint64_t word = load_word(slot);

	while (word >> SLOT_NUMBER_SHIFT == number && (word & (SLOT_OPENING | SLOT_CLOSING)) == 0 &&
	       (word & SLOT_USERS) != SLOT_USERS) {
		if (swap_word(slot, &word, word + 1))
			return true;
	}
	return false;
}

static void close_slot_file(struct vlog_slot *slot)
{
	sys_file_close(slot->fd);
	slot->fd = -1;
}

static void slot_leave(struct vlog_slot *slot)
{
	uint64_t word = load_word(slot);

	for (;;) {
		bool last = (word & SLOT_CLOSING) != 0 && (word & SLOT_USERS) == 1;

		if (!swap_word(slot, &word, last ? SLOT_OPENING : word - 1))
			continue;
		if (last) {
			close_slot_file(slot);
			atomic_store_explicit(&slot->word, 0, memory_order_release);
		}
		return;
	}
}

/* Open @number into its slot and become its user; false: the slot is taken, or it did not open. */
static bool slot_open(struct vlog *vlog, struct vlog_slot *slot, uint64_t number, int *rc)
{
	uint64_t word = load_word(slot);
	char name[VLOG_NAME_SIZE];

	*rc = BWT_OK;
	if ((word & (SLOT_OPENING | SLOT_CLOSING | SLOT_USERS)) != 0 ||
	    !swap_word(slot, &word, SLOT_OPENING))
		return false;
	close_slot_file(slot);
	vlog_name(name, number);
	*rc = sys_file_open(vlog->config.dir_fd, name, SYS_RDONLY, &slot->fd);
	if (*rc < 0)
		slot->fd = -1;
	atomic_store_explicit(&slot->word, *rc < 0 ? 0 : number << SLOT_NUMBER_SHIFT | 1,
	                      memory_order_release);
	return *rc == BWT_OK;
}

/* Nobody gets @number's descriptor any more. The name is gone, so nobody begins to open it either. */
static void slot_evict(struct vlog_slot *slot, uint64_t number)
{
	uint64_t word;

	while (((word = load_word(slot)) & SLOT_OPENING) != 0)
		sys_yield(); /* whoever is opening may have found the name still there */

	while (word >> SLOT_NUMBER_SHIFT == number && (word & (SLOT_OPENING | SLOT_CLOSING)) == 0) {
		bool unused = (word & SLOT_USERS) == 0;

		if (!swap_word(slot, &word, unused ? SLOT_OPENING : word | SLOT_CLOSING))
			continue;
		if (unused) {
			close_slot_file(slot);
			atomic_store_explicit(&slot->word, 0, memory_order_release);
		}
		return;
	}
}

static int open_shared(struct vlog *vlog, uint64_t number, struct vlog_opened *opened)
{
	struct vlog_slot *slot = slot_of(vlog, number);
	char name[VLOG_NAME_SIZE];
	int rc = BWT_OK;

	*opened = (struct vlog_opened){NULL, -1};
	if (number == 0 || number > SLOT_NUMBER_MAX)
		return error_set(BWT_CORRUPT, "a value refers to value-log file %" PRIu64, number);
	if (slot_enter(slot, number) || slot_open(vlog, slot, number, &rc)) {
		*opened = (struct vlog_opened){slot, slot->fd};
		return BWT_OK;
	}
	if (rc == BWT_OK) {
		vlog_name(name, number);
		rc = sys_file_open(vlog->config.dir_fd, name, SYS_RDONLY, &opened->fd);
	}
	if (rc == -ENOENT)
		return error_set(BWT_CORRUPT, "value-log file %016" PRIx64 ".vlog is missing",
		                 number);
	return rc;
}

void vlog_close_file(const struct vlog_opened *opened)
{
	if (opened->slot != NULL)
		slot_leave(opened->slot);
	else
		sys_file_close(opened->fd);
}

/* --- References --- */

/* R2: arithmetic on the reference cannot overflow. */
static int check_ref(const struct value_ref *ref)
{
	if (ref->offset > INT64_MAX / 2 || ref->offset % VLOG_ALIGN != 0)
		return error_set(BWT_CORRUPT,
		                 "%016" PRIx32 ".vlog: a value refers to offset %" PRIu64,
		                 ref->segment, ref->offset);
	return BWT_OK;
}

int vlog_open_file(struct vlog *vlog, const struct value_ref *ref, struct vlog_opened *opened)
{
	int rc = check_ref(ref);

	return rc < 0 ? rc : open_shared(vlog, ref->segment, opened);
}

/* --- Whole files --- */

struct listing {
	struct vlog *vlog;
	int (*each)(void *ctx, uint64_t number, uint64_t bytes);
	void *ctx;
};

static int list_one(void *ctx, const char *name)
{
	const struct listing *listing = ctx;
	uint64_t number, bytes;
	int fd, rc;

	if (!vlog_parse(name, &number))
		return BWT_OK;
	rc = sys_file_open(listing->vlog->config.dir_fd, name, SYS_RDONLY, &fd);
	if (rc < 0) /* it may have gone meanwhile */
		return rc == -ENOENT ? BWT_OK : rc;
	rc = sys_file_size(fd, &bytes);
	sys_file_close(fd);
	return rc < 0 ? rc : listing->each(listing->ctx, number, bytes);
}

int vlog_list(struct vlog *vlog, int (*each)(void *ctx, uint64_t segment, uint64_t bytes), void *ctx)
{
	struct listing listing = {vlog, each, ctx};

	return sys_dir_list(vlog->config.dir_fd, list_one, &listing);
}

static int sync_one(void *ctx, const char *name)
{
	const struct vlog *vlog = ctx;
	uint64_t number;
	int fd, rc;

	if (!vlog_parse(name, &number))
		return BWT_OK;
	rc = sys_file_open(vlog->config.dir_fd, name, SYS_RDONLY, &fd);
	if (rc < 0)
		return rc;
	rc = sys_file_drop_cache(fd); /* syncs first */
	sys_file_close(fd);
	return rc;
}

int vlog_sync_all(struct vlog *vlog)
{
	int rc = sys_dir_list(vlog->config.dir_fd, sync_one, vlog);

	return rc < 0 ? rc : sys_dir_sync(vlog->config.dir_fd);
}

int vlog_unlink(struct vlog *vlog, uint64_t segment)
{
	char name[VLOG_NAME_SIZE];
	uint64_t bytes = 0;
	int fd, rc;

	vlog_name(name, segment);
	rc = sys_file_open(vlog->config.dir_fd, name, SYS_RDONLY, &fd);
	if (rc == BWT_OK) {
		rc = sys_file_size(fd, &bytes);
		sys_file_close(fd);
	}
	if (rc == BWT_OK)
		rc = sys_file_unlink(vlog->config.dir_fd, name);
	slot_evict(slot_of(vlog, segment), segment);
	if (rc == BWT_OK)
		atomic_fetch_sub_explicit(&vlog->file_bytes, vlog_round_up(bytes),
		                          memory_order_relaxed);
	return rc;
}

/* The next offset from @off on with a byte that is not zero, in steps of records; @end: none. */
static int skip_zeroes(int fd, uint64_t *off, uint64_t end)
{
	static const uint8_t zeroes[VLOG_ALIGN];
	uint8_t bytes[4096];

	while (*off < end) {
		size_t got;
		int rc = sys_file_read_some(fd, bytes, sizeof bytes, *off, &got);

		if (rc < 0)
			return rc;
		memset(bytes + got, 0, sizeof bytes - got);
		for (size_t at = 0; at < sizeof bytes; at += VLOG_ALIGN) {
			if (memcmp(bytes + at, zeroes, VLOG_ALIGN) != 0) {
				*off += at;
				return BWT_OK;
			}
		}
		*off += sizeof bytes;
	}
	*off = end;
	return BWT_OK;
}

static int walk(struct vlog *vlog, int fd, uint64_t segment,
                int (*each)(void *ctx, uint64_t offset, const struct vlog_record *record), void *ctx)
{
	struct vlog_record head;
	uint64_t off = 0, end;
	int rc = sys_file_size(fd, &end);

	while (rc == BWT_OK) {
		rc = skip_zeroes(fd, &off, end); /* what failed appends and crashes leave */
		if (rc < 0 || off >= end)
			break;
		rc = end - off < sizeof head ? BWT_CORRUPT
		                             : sys_file_read(fd, &head, sizeof head, off);
		if (rc == BWT_CORRUPT || (rc == BWT_OK && !vlog_head_valid(vlog, &head)))
			return error_set(BWT_CORRUPT,
			                 "%016" PRIx64 ".vlog at offset %" PRIu64 ": not a record",
			                 segment, off);
		if (rc == BWT_OK)
			rc = each(ctx, off, &head);
		off += vlog_round_up(sizeof head + head.size);
	}
	return rc;
}

int vlog_walk(struct vlog *vlog, uint64_t segment,
              int (*each)(void *ctx, uint64_t offset, const struct vlog_record *record), void *ctx)
{
	struct vlog_opened opened;
	int rc = open_shared(vlog, segment, &opened);

	if (rc < 0)
		return rc;
	rc = walk(vlog, opened.fd, segment, each, ctx);
	vlog_close_file(&opened);
	return rc;
}
