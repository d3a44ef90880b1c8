/* SPDX-License-Identifier: MIT */
/*
 * ring.c - batches of file writes and syncs: choice of the engine, and the rules that both obey
 *
 * Why: whether io_uring may be used is known only at run time (containers often forbid it), and
 * what a result means must not depend on it. The engines are ring_uring.c and ring_sync.c.
 *
 *   R1  BWT_OK means every byte was taken, and on stable storage if the operation says so.
 *   R2  A failed sync or durable write is final: it is reported, never repeated.
 *   R3  sys_ring_run() returns when no operation of the batch is in flight, whatever happened.
 */
#include "sys/ring.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/testpoint.h"
#include "sys/fail.h"
#include "sys/file.h"
#include "sys/ring_engine.h"

int sys_ring_new(bool plain, void *buffer, size_t buffer_size, struct sys_ring **ring)
{
	struct sys_ring *made = NULL;

#ifndef BWT_NO_LIBURING
	if (!plain)
		made = ring_uring_new(buffer, buffer_size);
#else
	(void)plain, (void)buffer, (void)buffer_size;
#endif
	if (made == NULL)
		made = ring_sync_new();
	if (made == NULL)
		return -ENOMEM;
	*ring = made;
	return BWT_OK;
}

void sys_ring_free(struct sys_ring *ring)
{
	if (ring != NULL)
		ring->engine->free(ring);
}

const char *sys_ring_name(const struct sys_ring *ring)
{
	return ring->engine->name;
}

void sys_ring_register_file(struct sys_ring *ring, int fd)
{
	if (!ring->abandoned)
		ring->engine->register_file(ring, fd);
}

void sys_ring_abandon(struct sys_ring *ring)
{
	if (ring->abandoned)
		return;
	ring->abandoned = true;
	ring->engine->abandon(ring);
}

static enum ring_step first_step(enum sys_io_kind kind)
{
	if (kind == SYS_IO_WRITE || kind == SYS_IO_WRITE_DURABLE)
		return RING_WRITE;
	if (kind == SYS_IO_READ)
		return RING_READ;
	BWT_CHECK(kind == SYS_IO_SYNC);
	return RING_SYNC;
}

static bool refuses_dsync(const struct ring_op *op, int error)
{
	return op->dsync && op->done == 0 && (error == EOPNOTSUPP || error == EINVAL);
}

/* Nothing was done, and nothing is wrong. ECANCELED: io_uring lost the worker it had. */
static bool not_now(int error)
{
	return error == EINTR || error == EAGAIN || error == EBUSY || error == ECANCELED;
}

static void transferred(struct sys_ring *ring, struct ring_op *op, size_t bytes)
{
	bool write = op->step == RING_WRITE;

	BWT_CHECK(bytes <= op->io->size - op->done);
	op->done += bytes;
	op->retries = 0;
	if (write)
		sys_file_count_written(bytes);
	if (op->done < op->io->size) {
		if (bytes > 0 && !TEST_FAULT("ring_short_is_whole"))
			return; /* short: the same step goes on from here */
		if (bytes == 0)
			op->error = write ? EIO : RING_END_OF_FILE;
	}
	op->step = RING_DONE;
	if (write && op->error == 0 && op->io->kind == SYS_IO_WRITE_DURABLE && !op->dsync) {
		ring->dsync_refused = true; /* the plain write worked, so it was the flag */
		op->step = RING_SYNC;
	}
}

void ring_advance(struct sys_ring *ring, struct ring_op *op, int64_t result)
{
	if (result >= 0 && op->step == RING_SYNC) {
		op->step = RING_DONE;
	} else if (result >= 0) {
		transferred(ring, op, (size_t)result);
	} else if (refuses_dsync(op, (int)-result)) {
		op->dsync = false;
	} else if (not_now((int)-result) && op->retries < RING_RETRIES_MAX) {
		op->retries++; /* the same step again */
	} else {
		op->error = (int)-result;
		op->step = RING_DONE;
	}
}

static int result_of(const struct ring_op *op)
{
	const struct sys_io *io = op->io;
	const char *operation = io->kind == SYS_IO_READ   ? "read"
	                        : io->kind == SYS_IO_SYNC ? "sync"
	                                                  : "write";

	if (op->error == 0)
		return BWT_OK;
	if (op->error == RING_END_OF_FILE)
		return sys_fail_short(io->fd, io->off, io->size, op->done);
	return sys_fail(op->error, operation, io->fd,
	                io->kind == SYS_IO_SYNC ? SYS_NO_OFF : io->off + op->done);
}

int sys_ring_run(struct sys_ring *ring, struct sys_io *ops, unsigned count)
{
	struct ring_op states[SYS_RING_BATCH_MAX];
	int rc = BWT_OK;

	BWT_ASSERT(count >= 1 && count <= SYS_RING_BATCH_MAX);
	if (ring->abandoned)
		return error_set(BWT_INVALID, "the store belongs to the process before the fork");
	for (unsigned i = 0; i < count; i++) {
		states[i] = (struct ring_op){.io = &ops[i], .step = first_step(ops[i].kind)};
		states[i].dsync = ops[i].kind == SYS_IO_WRITE_DURABLE && !ring->dsync_refused;
		if (ops[i].size == 0 && states[i].step != RING_SYNC)
			states[i].step = RING_DONE;
	}
	ring->engine->run(ring, states, count);
	/* Backwards, so that the words left in bwt_detail() are those of the failure returned. */
	for (unsigned i = count; i-- > 0;) {
		BWT_CHECK(states[i].step == RING_DONE); /* or it would count as written */
		ops[i].rc = result_of(&states[i]);
		if (ops[i].rc < 0)
			rc = ops[i].rc;
	}
	return rc;
}
