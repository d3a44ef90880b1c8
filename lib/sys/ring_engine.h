/* SPDX-License-Identifier: MIT */
/*
 * ring_engine.h - what ring.c asks of an engine, and what the engines share
 *
 * ring.c owns the interface of ring.h; an engine only moves bytes. The state of one operation is a
 * ring_op, whose steps are the same whoever makes the calls:
 *
 *   RING_WRITE --whole--> RING_DONE            a plain or durable write
 *   RING_WRITE --whole--> RING_SYNC --> DONE   a durable write where RWF_DSYNC is refused
 *   RING_READ  --whole--> RING_DONE
 *   RING_SYNC  ---------> RING_DONE
 *   any        --error--> RING_DONE            with op->error set
 *
 * A transfer that came back short stays in its step with op->done moved on.
 */
#ifndef BWT_SYS_RING_ENGINE_H
#define BWT_SYS_RING_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/ring.h"

enum ring_step {
	RING_WRITE = 1,
	RING_READ = 2,
	RING_SYNC = 3,
	RING_DONE = 4,
};

#define RING_END_OF_FILE (-1)  /* ring_op.error: a read met the end of the file */
#define RING_RETRIES_MAX 1000u /* EINTR, EAGAIN and the like in a row for one operation */

struct ring_op {
	struct sys_io *io;
	enum ring_step step;
	size_t done;      /* bytes transferred */
	unsigned retries; /* since the last progress */
	bool dsync;       /* the write carries its own sync */
	int error;        /* 0, a positive errno, or RING_END_OF_FILE */
};

struct ring_engine {
	const char *name;
	/* Bring every operation to RING_DONE. */
	void (*run)(struct sys_ring *ring, struct ring_op *ops, unsigned count);
	void (*register_file)(struct sys_ring *ring, int fd);
	void (*abandon)(struct sys_ring *ring); /* may be called in a forked child */
	void (*free)(struct sys_ring *ring);    /* after abandon() too */
};

struct sys_ring {
	const struct ring_engine *engine;
	bool dsync_refused; /* RWF_DSYNC failed where a plain write worked: not asked again */
	bool abandoned;
};

/**
 * ring_advance - account for what the system answered to the operation's current step
 * @result: bytes transferred, 0 for a sync, or -errno
 * Returns: nothing; a refused RWF_DSYNC turns the operation into a write and a sync
 */
void ring_advance(struct sys_ring *ring, struct ring_op *op, int64_t result);

/**
 * ring_run_plain - bring one operation to RING_DONE by plain system calls
 * Blocks:  until the device is done
 */
void ring_run_plain(struct sys_ring *ring, struct ring_op *op);

/** Each returns NULL when the engine is not to be had. */
struct sys_ring *ring_sync_new(void);
struct sys_ring *ring_uring_new(void *buffer, size_t buffer_size);

#endif
