/* SPDX-License-Identifier: MIT */
/*
 * ring_uring.c - the io_uring engine: the operations of a batch side by side
 *
 * Why: a group of log records, the values that they need and the sync of a second file then cost
 * one wait, not one each. An operation has at most one entry in the ring, the ring has room for a
 * whole batch, and a batch is over before the next begins, so the queues can never overflow.
 *
 *   U1  What may be missing (opcodes, registration, set-up flags) is probed when the ring is made;
 *       liburing's header may be older than the kernel, and the kernel older than the header.
 *   U2  A queue entry is in the kernel once a submit call counted it, and in flight until its
 *       completion was reaped. Its data stays untouched that long; run() leaves none in flight.
 *   U3  A ring that the kernel refuses to go on with is not asked again: plain calls do the rest.
 *   U4  Threads may take turns, so there is no SINGLE_ISSUER and no registered ring descriptor.
 */
#ifndef BWT_NO_LIBURING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sys/ring_engine.h"
#include "sys/thread.h"

#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8) /* Linux 5.19 */
#endif

#define FIXED_BUFFER_MAX ((size_t)1 << 30) /* bytes; io_uring_register(2) */

struct uring {
	struct sys_ring ring; /* first: engines get and give the address of this */
	struct io_uring uring;
	uint8_t *buffer; /* registered memory, NULL for none */
	size_t buffer_size;
	int file;       /* registered as number 0, -1 for none */
	bool file_slot; /* the kernel has a table of registered files */
	bool broken;    /* U3 */
};

static struct uring *uring_of(struct sys_ring *ring)
{
	return (struct uring *)ring;
}

/* --- Set-up --- */

static bool has_operations(struct io_uring *uring)
{
	static const int needed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_WRITE_FIXED,
	                             IORING_OP_FSYNC};
	struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
	bool all = probe != NULL;

	for (size_t i = 0; all && i < sizeof needed / sizeof needed[0]; i++)
		all = io_uring_opcode_supported(probe, needed[i]) != 0;
	io_uring_free_probe(probe);
	return all;
}

static bool start(struct io_uring *uring)
{
	/* Without COOP_TASKRUN a completion interrupts this thread while it already waits for it. */
	static const unsigned flags[] = {IORING_SETUP_COOP_TASKRUN, 0};

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		if (io_uring_queue_init(SYS_RING_BATCH_MAX, uring, flags[i]) < 0)
			continue;
		if (has_operations(uring))
			return true;
		io_uring_queue_exit(uring);
		return false;
	}
	return false;
}

/* Acceleration only: a refusal (RLIMIT_MEMLOCK on old kernels) leaves the ring as it is. */
static void register_buffer(struct uring *self, void *buffer, size_t size)
{
	struct iovec iov = {buffer, size};

	if (buffer == NULL || size == 0 || size > FIXED_BUFFER_MAX ||
	    io_uring_register_buffers(&self->uring, &iov, 1) < 0)
		return;
	self->buffer = buffer;
	self->buffer_size = size;
}

static void register_file(struct sys_ring *ring, int fd)
{
	struct uring *self = uring_of(ring);

	self->file = -1;
	if (self->file_slot && io_uring_register_files_update(&self->uring, 0, &fd, 1) == 1)
		self->file = fd;
}

/* --- One operation --- */

static bool in_buffer(const struct uring *self, const uint8_t *data, size_t size)
{
	return self->buffer != NULL && (uintptr_t)data >= (uintptr_t)self->buffer &&
	       (uintptr_t)data + size <= (uintptr_t)self->buffer + self->buffer_size;
}

/* @number, the operation's place in the batch, comes back with the completion. */
static void queue(struct uring *self, const struct ring_op *op, unsigned number)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->uring);
	const struct sys_io *io = op->io;
	uint8_t *data = op->step == RING_SYNC ? NULL : (uint8_t *)io->data + op->done;
	size_t left = io->size - op->done;
	unsigned size = left > INT32_MAX ? INT32_MAX & ~4095u : (unsigned)left;
	uint64_t off = io->off + op->done;
	bool fixed = self->file >= 0 && io->fd == self->file;
	int fd = fixed ? 0 : io->fd;

	if (op->step == RING_SYNC)
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	else if (op->step == RING_READ)
		io_uring_prep_read(sqe, fd, data, size, off);
	else if (in_buffer(self, data, size))
		io_uring_prep_write_fixed(sqe, fd, data, size, off, 0);
	else
		io_uring_prep_write(sqe, fd, data, size, off);
	if (op->step == RING_WRITE && op->dsync)
		sqe->rw_flags = RWF_DSYNC;
	if (fixed)
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, number);
}

/* --- One batch --- */

struct batch {
	struct ring_op *ops;
	unsigned count;
	unsigned in_flight; /* entries that the kernel took and has not completed (U2) */
	uint32_t queued;    /* bit per operation: it has an entry, taken or not */
};

static_assert(SYS_RING_BATCH_MAX <= 32, "a bit for each operation");

/* Give every operation that is not done an entry. */
static void queue_ready(struct uring *self, struct batch *batch)
{
	for (unsigned i = 0; i < batch->count; i++) {
		if (batch->ops[i].step == RING_DONE || (batch->queued & 1u << i))
			continue;
		queue(self, &batch->ops[i], i);
		batch->queued |= 1u << i;
	}
}

/* Take over what the kernel completed. Returns how many that were. */
static unsigned reap(struct uring *self, struct batch *batch)
{
	struct io_uring_cqe *cqe;
	unsigned head, reaped = 0;

	io_uring_for_each_cqe(&self->uring, head, cqe)
	{
		unsigned number = (unsigned)io_uring_cqe_get_data64(cqe);

		batch->queued &= ~(1u << number);
		ring_advance(&self->ring, &batch->ops[number], cqe->res);
		reaped++;
	}
	io_uring_cq_advance(&self->uring, reaped);
	batch->in_flight -= reaped;
	return reaped;
}

/*
 * Submit what is queued and wait for a completion of each entry.
 * Returns false when the kernel gave an error that waiting does not cure.
 */
static bool submit(struct uring *self, struct batch *batch, unsigned *refusals)
{
	unsigned waiting = batch->in_flight + io_uring_sq_ready(&self->uring);
	int rc = io_uring_submit_and_wait(&self->uring, waiting);

	if (rc >= 0) {
		batch->in_flight += (unsigned)rc;
		*refusals = 0;
		return true;
	}
	if (rc == -EINTR)
		return true; /* by a signal, before anything was submitted */
	/* EAGAIN, EBUSY: memory is short, or completions wait to be reaped. Both pass. */
	if ((rc != -EAGAIN && rc != -EBUSY) || ++*refusals > RING_RETRIES_MAX)
		return false;
	sys_yield();
	return true;
}

/* U3: wait for what is in flight without asking the ring for anything, then finish by calls. */
static void finish_plain(struct uring *self, struct batch *batch)
{
	self->broken = true;
	while (batch->in_flight > 0) {
		if (reap(self, batch) == 0)
			sys_yield();
	}
	for (unsigned i = 0; i < batch->count; i++)
		ring_run_plain(&self->ring, &batch->ops[i]);
}

static void run(struct sys_ring *ring, struct ring_op *ops, unsigned count)
{
	struct uring *self = uring_of(ring);
	struct batch batch = {.ops = ops, .count = count};
	unsigned refusals = 0;

	if (self->broken) {
		finish_plain(self, &batch);
		return;
	}
	/* One alone has nothing to run beside: a write that carries its sync goes to a kernel worker
	 * in the ring, which costs a fifth of its time and more on a busy machine. */
	if (count == 1) {
		ring_run_plain(ring, &ops[0]);
		return;
	}
	for (;;) {
		queue_ready(self, &batch);
		if (batch.queued == 0)
			return;
		if (!submit(self, &batch, &refusals)) {
			finish_plain(self, &batch);
			return;
		}
		reap(self, &batch);
	}
}

/* --- Life --- */

/* Unmaps and closes; in a forked child that takes nothing from the parent, whose ring lives on. */
static void abandon(struct sys_ring *ring)
{
	io_uring_queue_exit(&uring_of(ring)->uring);
}

static void free_ring(struct sys_ring *ring)
{
	struct uring *self = uring_of(ring);

	if (!ring->abandoned)
		io_uring_queue_exit(&self->uring);
	free(self);
}

static const struct ring_engine engine = {
	.name = "io_uring",
	.run = run,
	.register_file = register_file,
	.abandon = abandon,
	.free = free_ring,
};

struct sys_ring *ring_uring_new(void *buffer, size_t buffer_size)
{
	struct uring *self = calloc(1, sizeof *self);
	int none = -1;

	if (self == NULL)
		return NULL;
	if (!start(&self->uring)) {
		free(self);
		return NULL;
	}
	self->ring.engine = &engine;
	self->file = -1;
	self->file_slot = io_uring_register_files(&self->uring, &none, 1) == 0;
	register_buffer(self, buffer, buffer_size);
	return &self->ring;
}

#endif
