/* SPDX-License-Identifier: MIT */
/*
 * threads.c - fibers, locks and time: stands in for lib/sys/thread.c and tls.c, and for the mutexes
 *
 * One runs at a time. Others go on when it parks, yields, waits for a lock, and, by chance, at any
 * call of the disk. When all are parked, the clock jumps to the first that wakes by itself; when there is
 * none, that is a deadlock, and the end.
 */
#include "sys/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "bwt.h"
#include "tests/sim/sim.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_SIZE ((size_t)1 << 20)
#define STACKS 16u
#define SPINS_MAX 100000u /* yields without anybody having been able to go on */

enum fiber_state {
	FIBER_READY,
	FIBER_PARKED,
	FIBER_ENDED
};

struct fiber_value {
	uint64_t id; /* of the sys_tls */
	struct sys_tls *tls;
	void *value;
};

struct fiber {
	ucontext_t context;
	enum fiber_state state;
	void (*run)(void *ctx);
	void *ctx;
	void *stack;
	const _Atomic(uint32_t) *word; /* parked on it */
	uint64_t deadline_ns;          /* 0: none */
	bool timed_out;
	struct epoch_cache cache;
	struct fiber_value values[SIM_TLS];
#ifdef __SANITIZE_ADDRESS__
	void *fake_stack;
	const void *bottom;
	size_t bottom_size;
#endif
};

static void *stacks[STACKS];

/* ---- switching ---- */

void fiber_save_cache(struct fiber *fiber)
{
	fiber->cache = epoch_cache;
}

void fiber_load_cache(const struct fiber *fiber)
{
	epoch_cache = fiber->cache;
}

static void go_to(struct fiber *to)
{
	struct fiber *from = sim->running;

	if (to == from)
		return;
	fiber_save_cache(from);
	sim->running = to;
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(from->state == FIBER_ENDED ? NULL : &from->fake_stack,
	                               to->stack != NULL ? to->stack : to->bottom,
	                               to->stack != NULL ? STACK_SIZE : to->bottom_size);
#endif
	swapcontext(&from->context, &to->context);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
	fiber_load_cache(from);
}

static bool can_run(struct fiber *fiber)
{
	if (fiber->state == FIBER_PARKED && fiber->deadline_ns != 0 &&
	    fiber->deadline_ns <= sim->now_ns) {
		fiber->timed_out = true;
		fiber->state = FIBER_READY;
	}
	return fiber->state == FIBER_READY;
}

/* Somebody who can run, by chance; NULL: nobody. */
static struct fiber *pick(void)
{
	struct fiber *can[SIM_FIBERS];
	unsigned count = 0;

	for (unsigned i = 0; i < sim->fiber_count; i++) {
		if (can_run(sim->fibers[i]))
			can[count++] = sim->fibers[i];
	}
	return count == 0 ? NULL : can[rng_below(&sim->rng, count)];
}

/* The running one cannot go on: let another, whenever that is. */
static void let_others(void)
{
	struct fiber *next;

	while ((next = pick()) == NULL) {
		uint64_t first = UINT64_MAX;

		for (unsigned i = 0; i < sim->fiber_count; i++) {
			const struct fiber *fiber = sim->fibers[i];

			if (fiber->state == FIBER_PARKED && fiber->deadline_ns != 0 &&
			    fiber->deadline_ns < first)
				first = fiber->deadline_ns;
		}
		if (first == UINT64_MAX) {
			fprintf(stderr, "sim: deadlock: everybody sleeps for ever\n");
			abort();
		}
		sim->now_ns = first;
	}
	go_to(next);
}

void sim_switch(unsigned percent)
{
	struct fiber *next;

	if (sim->in_instant || percent == 0 || sim->fiber_count < 2 ||
	    !rng_chance(&sim->rng, percent))
		return;
	next = pick();
	if (next != NULL)
		go_to(next);
}

/* ---- life ---- */

struct sys_tls {
	uint64_t id;
	void (*at_exit)(void *value);
};

/* A fiber ends before the stores that it used are closed. */
static void fiber_ends(struct fiber *fiber)
{
	for (unsigned i = 0; i < SIM_TLS; i++) {
		if (fiber->values[i].value != NULL)
			fiber->values[i].tls->at_exit(fiber->values[i].value);
	}
}

static void fiber_entry(void)
{
	struct fiber *self = sim->running;

#ifdef __SANITIZE_ADDRESS__
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(NULL, &bottom, &size);
	if (sim->main->bottom == NULL) {
		sim->main->bottom = bottom;
		sim->main->bottom_size = size;
	}
#endif
	fiber_load_cache(self);
	self->run(self->ctx);
	fiber_ends(self);
	self->state = FIBER_ENDED;
	let_others();
	abort();
}

static void *stack_take(void)
{
	for (unsigned i = 0; i < STACKS; i++) {
		void *stack = stacks[i];

		stacks[i] = NULL;
		if (stack != NULL)
			return stack;
	}
	return mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void stack_give(void *stack)
{
	for (unsigned i = 0; i < STACKS; i++) {
		if (stacks[i] == NULL) {
			stacks[i] = stack;
			return;
		}
	}
	munmap(stack, STACK_SIZE);
}

void sim_stacks_free(void)
{
	for (unsigned i = 0; i < STACKS; i++) {
		if (stacks[i] != NULL)
			munmap(stacks[i], STACK_SIZE);
		stacks[i] = NULL;
	}
}

struct fiber *fiber_main_new(void)
{
	return sim_alloc(sizeof(struct fiber));
}

void fiber_main_free(struct fiber *fiber)
{
	sim_free(fiber);
}

struct fiber *fiber_start(void (*run)(void *ctx), void *ctx)
{
	struct fiber *fiber = sim_alloc(sizeof *fiber);

	if (sim->fiber_count == SIM_FIBERS)
		abort();
	fiber->run = run;
	fiber->ctx = ctx;
	fiber->stack = stack_take();
	getcontext(&fiber->context);
	fiber->context.uc_stack.ss_sp = fiber->stack;
	fiber->context.uc_stack.ss_size = STACK_SIZE;
	makecontext(&fiber->context, fiber_entry, 0);
	sim->fibers[sim->fiber_count++] = fiber;
	return fiber;
}

void fiber_join(struct fiber *fiber)
{
	unsigned i = 0;

	while (fiber->state != FIBER_ENDED) {
		struct fiber *self = sim->running;

		/* Asleep until the next one sleeps: then this is looked at again. */
		self->state = FIBER_PARKED;
		self->word = NULL;
		self->deadline_ns = sim->now_ns + 1000;
		let_others();
	}
	while (sim->fibers[i] != fiber)
		i++;
	memmove(sim->fibers + i, sim->fibers + i + 1, (--sim->fiber_count - i) * sizeof *sim->fibers);
	stack_give(fiber->stack);
	sim_free(fiber);
}

/* ---- sys/thread.h ---- */

struct sys_thread {
	struct fiber *fiber;
};

int sys_thread_start(void (*run)(void *ctx), void *ctx, const char *name, struct sys_thread **thread)
{
	(void)name;
	if (sim_fails(false, SIM_SITE))
		return -EAGAIN;
	*thread = sim_alloc(sizeof **thread);
	(*thread)->fiber = fiber_start(run, ctx);
	return BWT_OK;
}

void sys_thread_join(struct sys_thread *thread)
{
	fiber_join(thread->fiber);
	sim_free(thread);
}

bool sys_park(_Atomic(uint32_t) *word, uint32_t seen, uint64_t timeout_ns)
{
	struct fiber *self = sim->running;

	if (atomic_load_explicit(word, memory_order_acquire) != seen)
		return true;
	self->state = FIBER_PARKED;
	self->word = word;
	self->deadline_ns = timeout_ns == 0 ? 0 : sim->now_ns + timeout_ns;
	self->timed_out = false;
	let_others();
	self->word = NULL;
	return !self->timed_out;
}

void sys_wake(_Atomic(uint32_t) *word, unsigned count)
{
	for (unsigned i = 0; i < sim->fiber_count && count > 0; i++) {
		struct fiber *fiber = sim->fibers[i];

		if (fiber->state == FIBER_PARKED && fiber->word == word) {
			fiber->state = FIBER_READY;
			count--;
		}
	}
}

uint64_t sys_now_ns(void)
{
	return sim->now_ns += 50;
}

/* Somebody sets it now and then, to any time: nothing may depend on it but what is shown to people. */
uint64_t sys_wall_ns(void)
{
	if (sim->wall_ns == 0 || rng_chance(&sim->rng, 20))
		sim->wall_ns = rng_u64(&sim->rng) >> rng_below(&sim->rng, 64);
	return sim->wall_ns += 50;
}

int sys_random(void *data, size_t size)
{
	rng_fill(&sim->rng, data, size);
	return BWT_OK;
}

void sys_yield(void)
{
	sim->now_ns += 1000;
	if (!sim->in_instant)
		go_to(pick());
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
	(void)fd;
	return -EMFILE;
}

void sys_eventfd_signal(int fd)
{
	(void)fd;
}

void sys_eventfd_clear(int fd)
{
	(void)fd;
}

/* ---- values of a thread ---- */

static uint64_t tls_last;

int sys_tls_new(void (*at_exit)(void *value), struct sys_tls **tls)
{
	if (sim_fails(false, SIM_SITE))
		return -ENOMEM;
	*tls = sim_alloc(sizeof **tls);
	(*tls)->id = ++tls_last;
	(*tls)->at_exit = at_exit;
	return BWT_OK;
}

void sys_tls_free(struct sys_tls *tls)
{
	sim_free(tls);
}

int sys_tls_set(struct sys_tls *tls, void *value)
{
	struct fiber_value *values = sim->running->values;

	/* The oldest goes: a fiber uses one store at a time. */
	memmove(values + 1, values, (SIM_TLS - 1) * sizeof *values);
	values[0] = (struct fiber_value){.id = tls->id, .tls = tls, .value = value};
	return BWT_OK;
}

void *sys_tls_get(struct sys_tls *tls)
{
	const struct fiber_value *values = sim->running->values;

	for (unsigned i = 0; i < SIM_TLS; i++) {
		if (values[i].id == tls->id)
			return values[i].value;
	}
	return NULL;
}

/* ---- locks: the linker sends the library's calls here ---- */

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

static _Atomic(uint32_t) *mutex_word(pthread_mutex_t *mutex)
{
	return (_Atomic(uint32_t) *)(void *)mutex;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	(void)attributes;
	memset(mutex, 0, sizeof *mutex);
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	(void)mutex;
	return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	while (atomic_exchange_explicit(mutex_word(mutex), 1, memory_order_acquire) != 0)
		sys_park(mutex_word(mutex), 1, 0);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	atomic_store_explicit(mutex_word(mutex), 0, memory_order_release);
	if (sim != NULL)
		sys_wake(mutex_word(mutex), UINT32_MAX);
	return 0;
}
