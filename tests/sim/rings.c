/* SPDX-License-Identifier: MIT */
/*
 * rings.c - the engine behind sys/ring.h: stands in for lib/sys/ring_sync.c and ring_uring.c
 *
 * The operations of a batch run in any order, in pieces, and are interrupted, as the system may do it.
 * What a result means is decided in lib/sys/ring.c, as ever.
 */
#include <errno.h>
#include <stdlib.h>

#include "sys/ring_engine.h"
#include "tests/sim/sim.h"

static const char write_site[] = "ring write", read_site[] = "ring read", sync_site[] = "ring sync";

static int64_t transfer(struct ring_op *op)
{
	const struct sys_io *io = op->io;
	uint64_t off = io->off + op->done;
	size_t size = io->size - op->done;
	struct inode *inode = sim_inode(io->fd);
	int error = sim_before(op->step == RING_WRITE ? write_site : read_site, EIO);

	if (error != 0)
		return -error;
	if (sim->short_percent > 0 && rng_chance(&sim->rng, sim->short_percent)) {
		if (rng_chance(&sim->rng, 30))
			return rng_chance(&sim->rng, 50) ? -EINTR : -EAGAIN;
		if (size > DISK_SECTOR)
			size = DISK_SECTOR * (size_t)rng_range(&sim->rng, 1, size / DISK_SECTOR);
	}
	if (op->step == RING_READ) {
		if (off >= inode->size)
			return 0;
		if (size > inode->size - off)
			size = (size_t)(inode->size - off);
		inode_read(inode, (uint8_t *)io->data + op->done, size, off);
		return (int64_t)size;
	}
	if (sim->disk->limit != 0 && off + size > inode->size &&
	    disk_bytes(sim->disk) + size > sim->disk->limit)
		return -ENOSPC;
	inode_write(inode, (uint8_t *)io->data + op->done, size, off);
	if (op->dsync) {
		sim_after(write_site);
		inode_sync_range(inode, off, size);
	}
	sim_after(write_site);
	return (int64_t)size;
}

static int64_t sync_op(const struct ring_op *op)
{
	int error;

	if (op->io->fd < 0)
		return -EBADF;
	error = sim_sync(op->io->fd, sim_before(sync_site, EIO));
	sim_after(sync_site);
	return -error;
}

void ring_run_plain(struct sys_ring *ring, struct ring_op *op)
{
	while (op->step != RING_DONE)
		ring_advance(ring, op, op->step == RING_SYNC ? sync_op(op) : transfer(op));
}

static void run(struct sys_ring *ring, struct ring_op *ops, unsigned count)
{
	unsigned left = count;

	while (left > 0) {
		unsigned at = (unsigned)rng_below(&sim->rng, count);

		if (ops[at].step == RING_DONE) {
			left = 0;
			for (unsigned i = 0; i < count; i++)
				left += ops[i].step != RING_DONE;
			continue;
		}
		ring_advance(ring, &ops[at],
		             ops[at].step == RING_SYNC ? sync_op(&ops[at]) : transfer(&ops[at]));
	}
}

static void register_file(struct sys_ring *ring, int fd)
{
	(void)ring, (void)fd;
}

static void abandon(struct sys_ring *ring)
{
	(void)ring;
}

static void free_ring(struct sys_ring *ring)
{
	free(ring);
}

static const struct ring_engine engine = {
	.name = "simulated",
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

struct sys_ring *ring_uring_new(void *buffer, size_t buffer_size)
{
	(void)buffer, (void)buffer_size;
	return NULL;
}
