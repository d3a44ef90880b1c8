/* SPDX-License-Identifier: MIT */
/*
 * sim_sys.c - lib/sys as the simulator has it: threads, sleep, time, chance, memory, one log device
 *
 * In the place of thread.c, tls.c, map.c, persist.c and the rings. Files are the real ones: only
 * setting a world up touches them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "sys/map.h"
#include "sys/ring.h"
#include "sys/thread.h"
#include "tests/sched/region.h"
#include "tests/sched/sim_private.h"

#define CLOCK_STEP_NS 500000u /* each look at the clock: patience ends after few looks */
#define TLS_MAX 8u
#define SPURIOUS 256u /* one sleep in so many ends for nothing */

/* ---- threads ---- */

int sys_thread_start(void (*run)(void *ctx), void *ctx, const char *name, struct sys_thread **thread)
{
	(void)run, (void)ctx, (void)name, (void)thread;
	return -EAGAIN;
}

void sys_thread_join(struct sys_thread *thread)
{
	(void)thread;
}

bool sys_park(_Atomic(uint32_t) *word, uint32_t seen, uint64_t timeout_ns)
{
	struct sim_fiber *self = &sim.fiber[sim.self];

	if (!sim.running)
		return true;
	sim_point(word, SIM_RMW, "park");
	if (*(const volatile uint32_t *)(const volatile void *)word != seen)
		return true;
	if (sim.plan.strategy != SIM_BOUNDED && sim_chance(SPURIOUS) == 0)
		return true;
	/* Its time is up while others, who may be slow, have not come to waking it. */
	if (timeout_ns > 0 && sim.plan.strategy != SIM_BOUNDED && sim_chance(SPURIOUS) == 0) {
		sim.now_ns += timeout_ns;
		return false;
	}
	self->state = SIM_PARKED;
	self->word = word;
	self->seen = seen;
	self->deadline_ns = timeout_ns > 0 ? sim.now_ns + timeout_ns : 0;
	self->timed_out = false;
	sim_block();
	return !self->timed_out;
}

void sys_wake(_Atomic(uint32_t) *word, unsigned count)
{
	unsigned from;

	if (!sim.running)
		return;
	sim_point(word, SIM_RMW, "wake");
	from = sim_chance(sim.fibers);
	for (unsigned i = 0; i < sim.fibers && count > 0; i++) {
		struct sim_fiber *fiber = &sim.fiber[(from + i) % sim.fibers];

		if (fiber->state != SIM_PARKED || fiber->word != word)
			continue;
		fiber->state = SIM_READY;
		sim.runnable |= 1u << (unsigned)(fiber - sim.fiber);
		count--;
	}
}

uint64_t sys_now_ns(void)
{
	sim.now_ns += CLOCK_STEP_NS;
	return sim.now_ns;
}

uint64_t sys_wall_ns(void)
{
	return sys_now_ns();
}

int sys_random(void *data, size_t size)
{
	memset(data, 0x5c, size);
	return BWT_OK;
}

void sys_yield(void)
{
	sim_yield();
}

long sys_pid(void)
{
	return 1;
}

uint32_t sys_thread_id(void)
{
	return 1;
}

int sys_eventfd_new(int *fd)
{
	*fd = -1;
	return BWT_OK;
}

void sys_eventfd_signal(int fd)
{
	(void)fd;
}

void sys_eventfd_clear(int fd)
{
	(void)fd;
}

_Atomic(uint32_t) sys_fork_count; /* nobody forks here */

int sys_fork_watch(void (*child)(void *ctx), void *ctx, void **handle)
{
	(void)child, (void)ctx;
	*handle = NULL;
	return BWT_OK;
}

void sys_fork_forget(void *handle)
{
	(void)handle;
}

/* ---- a value per thread ---- */

struct sys_tls {
	unsigned slot;
};

static _Thread_local void *tls_values[TLS_MAX];
static struct sys_tls tls_slots[TLS_MAX];
static unsigned tls_count;

int sys_tls_new(void (*at_exit)(void *value), struct sys_tls **tls)
{
	(void)at_exit;
	*tls = &tls_slots[tls_count % TLS_MAX];
	(*tls)->slot = tls_count++ % TLS_MAX;
	return BWT_OK;
}

void sys_tls_free(struct sys_tls *tls)
{
	(void)tls;
}

int sys_tls_set(struct sys_tls *tls, void *value)
{
	tls_values[tls->slot] = value;
	return BWT_OK;
}

void *sys_tls_get(struct sys_tls *tls)
{
	return tls_values[tls->slot];
}

/* ---- memory ---- */

void *sys_reserve(size_t size)
{
	return region_take(size, 4096);
}

void sys_release(void *memory, size_t size)
{
	(void)memory, (void)size;
}

int sys_map_open(int fd, size_t size, unsigned flags, struct sys_map *map)
{
	*map = (struct sys_map){
		.base = region_take(size, 4096), .size = size, .flags = flags, .fd = fd};
	return BWT_OK;
}

void sys_map_close(struct sys_map *map)
{
	(void)map;
}

int sys_map_populate(struct sys_map *map, uint64_t off, uint64_t len)
{
	(void)map, (void)off, (void)len;
	return BWT_OK;
}

int sys_map_sync(struct sys_map *map, uint64_t off, uint64_t len)
{
	(void)map, (void)off, (void)len;
	return BWT_OK;
}

int sys_map_catch_faults(struct sys_map *map, _Atomic(uint32_t) *failed)
{
	(void)map, (void)failed;
	return BWT_OK;
}

void sys_persist_flush(const struct sys_map *map, const void *addr, size_t len)
{
	(void)map, (void)addr, (void)len;
}

void sys_persist_copy(const struct sys_map *map, void *to, const void *from, size_t len)
{
	(void)map;
	memcpy(to, from, len);
}

void sys_persist_drain(const struct sys_map *map)
{
	(void)map;
}

int sys_persist_deep(const struct sys_map *map, const void *addr, size_t len)
{
	(void)map, (void)addr, (void)len;
	return BWT_OK;
}

enum sys_media sys_map_media(int fd)
{
	(void)fd;
	return SYS_MEDIA_FILE;
}

const char *sys_persist_instruction(void)
{
	return "none";
}

/* ---- the log's device: everything succeeds at once ---- */

int sys_ring_new(bool plain, void *buffer, size_t buffer_size, struct sys_ring **ring)
{
	(void)plain, (void)buffer, (void)buffer_size;
	*ring = NULL;
	return BWT_OK;
}

void sys_ring_free(struct sys_ring *ring)
{
	(void)ring;
}

const char *sys_ring_name(const struct sys_ring *ring)
{
	(void)ring;
	return "none";
}

void sys_ring_register_file(struct sys_ring *ring, int fd)
{
	(void)ring, (void)fd;
}

int sys_ring_run(struct sys_ring *ring, struct sys_io *ops, unsigned count)
{
	(void)ring;
	sim_point(NULL, SIM_FENCE, "device");
	for (unsigned i = 0; i < count; i++)
		ops[i].rc = BWT_OK;
	return BWT_OK;
}

void sys_ring_abandon(struct sys_ring *ring)
{
	(void)ring;
}

/* ---- test points, and what an assertion of the library does ---- */

static const char *fault;
static const char *forced;
static uint64_t fault_hits;

void sim_fault_set(const char *name)
{
	fault = name;
	fault_hits = 0;
}

uint64_t sim_fault_hits(void)
{
	return fault_hits;
}

void sim_point_force(const char *name)
{
	forced = name;
}

bool testpoint_hit(const char *name)
{
	if (forced != NULL && sim.running && strcmp(name, forced) == 0)
		return true;
	if (fault == NULL || !sim.running || strcmp(name, fault) != 0)
		return false;
	fault_hits++;
	return true;
}

void sim_abort(void)
{
	const void *from = __builtin_return_address(0);

	if (sim.result == NULL) {
		fprintf(stderr, "sched: an assertion failed at %p, outside a run\n", from);
		_Exit(EXIT_FAILURE);
	}
	sim_fail("an assertion of the library failed: addr2line -fie PROGRAM %p", from);
}
