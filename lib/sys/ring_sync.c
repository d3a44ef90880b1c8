/* SPDX-License-Identifier: MIT */
/*
 * ring_sync.c - the plain engine: the operations of a batch one after another
 *
 * Why: io_uring is forbidden in many containers and absent on old kernels; a store must work there.
 * For one write at a time it is no slower. ring_uring.c falls back on ring_run_plain() too.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/ring_engine.h"

static int64_t or_errno(ssize_t result)
{
	return result < 0 ? -(int64_t)errno : result;
}

static int64_t make_call(const struct ring_op *op)
{
	const struct sys_io *io = op->io;
	off_t off = (off_t)(io->off + op->done);
	struct iovec iov;

	if (op->step == RING_SYNC)
		return or_errno(fdatasync(io->fd));
	iov.iov_base = (uint8_t *)io->data + op->done;
	iov.iov_len = io->size - op->done;
	if (op->step == RING_READ)
		return or_errno(pread(io->fd, iov.iov_base, iov.iov_len, off));
	if (op->dsync)
		return or_errno(pwritev2(io->fd, &iov, 1, off, RWF_DSYNC));
	return or_errno(pwrite(io->fd, iov.iov_base, iov.iov_len, off));
}

void ring_run_plain(struct sys_ring *ring, struct ring_op *op)
{
	while (op->step != RING_DONE)
		ring_advance(ring, op, make_call(op));
}

static void run(struct sys_ring *ring, struct ring_op *ops, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ring_run_plain(ring, &ops[i]);
}

static void register_file(struct sys_ring *ring, int fd)
{
	(void)ring, (void)fd;
}

static void abandon(struct sys_ring *ring)
{
	(void)ring; /* holds no descriptor */
}

static void free_ring(struct sys_ring *ring)
{
	free(ring);
}

static const struct ring_engine engine = {
	.name = "plain",
	.run = run,
	.register_file = register_file,
	.abandon = abandon,
	.free = free_ring,
};

struct sys_ring *ring_sync_new(void)
{
	struct sys_ring *ring = calloc(1, sizeof *ring);

	if (ring != NULL)
		ring->engine = &engine;
	return ring;
}
