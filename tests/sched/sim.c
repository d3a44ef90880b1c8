/* SPDX-License-Identifier: MIT */
/*
 * sim.c - points, store buffers, switching, and how a run ends
 *
 * A run ends when every fiber has returned and @after has looked at what they left, or at the first
 * sim_fail(), wherever it is called: the fibers' stacks are left as they are and never gone back to,
 * for the world is put back whole before the next run. A fault of the processor in a fiber (a reader
 * led to memory that is not there) is such a failure, too.
 */
#include "tests/sched/sim.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sched/region.h"
#include "tests/sched/sim_private.h"

#define STACK_SIZE ((size_t)256 << 10)
#define STEP_NS 1000u
#define FAIR_FROM (SIM_STEPS_MAX / 3)
#define QUIET_MAX 4u

struct sim sim;
bool sim_trace;

static struct {
	const volatile uint8_t *from, *to;
} quiet[QUIET_MAX];
static unsigned quiet_count;
static uint8_t *stacks;
static uint8_t main_tls[4096];

/* The linker's names for the section of the library's thread-local variables. */
extern uint8_t __start_sim_tls[], __stop_sim_tls[];
/* And for that of the texts of SIM_HERE. */
extern const char *const __start_sim_places[], *const __stop_sim_places[];

static void (*on_held)(unsigned stopped, uint32_t asleep);

void sim_on_held(void (*held)(unsigned stopped, uint32_t asleep))
{
	on_held = held;
}

const char *const *sim_places(unsigned *count)
{
	*count = (unsigned)(__stop_sim_places - __start_sim_places);
	return __start_sim_places;
}

size_t sim_tls_size(void)
{
	return (size_t)(__stop_sim_tls - __start_sim_tls);
}

void sim_tls_clear(void)
{
	memset(__start_sim_tls, 0, sim_tls_size());
}

void sim_tls_of(unsigned fiber, void *memory)
{
	sim.fiber[fiber].tls = memory;
}

static void tls_swap(void *from, const void *to)
{
	size_t size = sim_tls_size();

	memcpy(from, __start_sim_tls, size);
	memcpy(__start_sim_tls, to, size);
}

void sim_as(unsigned fiber, void (*act)(unsigned fiber))
{
	tls_swap(main_tls, sim.fiber[fiber].tls);
	sim.self = fiber;
	act(fiber);
	tls_swap(sim.fiber[fiber].tls, main_tls);
}

/* ---- failing ---- */

void sim_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sim.result->why, sizeof sim.result->why, format, arguments);
	va_end(arguments);
	sim.result->failed = true;
	siglongjmp(sim.escape, 1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (number == SIGSEGV && region_write(info->si_addr))
		return;
	if (sim.result == NULL) {
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	snprintf(sim.result->why, sizeof sim.result->why, "signal %d (%s) in fiber %u", number,
	         strsignal(number), sim.self);
	sim.result->failed = true;
	siglongjmp(sim.escape, 1);
}

void sim_init(void)
{
	static uint8_t signal_stack[64 << 10];
	stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
	struct sigaction action = {.sa_sigaction = on_signal,
	                           .sa_flags = SA_ONSTACK | SA_NODEFER | SA_SIGINFO};

	stacks = mmap(NULL, STACK_SIZE * SIM_FIBERS_MAX, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stacks == MAP_FAILED || sim_tls_size() > sizeof main_tls) {
		fprintf(stderr, "sched: no memory for stacks\n");
		exit(EXIT_FAILURE);
	}
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGILL, &action, NULL);
}

void sim_quiet_clear(void)
{
	quiet_count = 0;
}

void sim_quiet(const volatile void *memory, size_t size)
{
	if (quiet_count == QUIET_MAX)
		abort();
	quiet[quiet_count].from = memory;
	quiet[quiet_count++].to = (const volatile uint8_t *)memory + size;
}

static bool is_quiet(const volatile void *address)
{
	for (unsigned i = 0; i < quiet_count; i++)
		if ((const volatile uint8_t *)address >= quiet[i].from &&
		    (const volatile uint8_t *)address < quiet[i].to)
			return true;
	return false;
}

/* ---- switching ---- */

static void switch_to(unsigned next)
{
	struct sim_fiber *from = &sim.fiber[sim.self], *to = &sim.fiber[next];

	if (next == sim.self)
		return;
	sim.self = next;
	tls_swap(from->tls, to->tls);
	fiber_switch(&from->fiber, &to->fiber);
}

static void trace_step(enum sim_reason reason, const volatile void *address, enum sim_access access,
                       const char *where)
{
	static const char *const names[] = {"load ", "store", "rmw  ", "fence"};
	const char *file = where == NULL ? "" : strstr(where, "lib/");
	uint64_t value = 0;

	if (address != NULL)
		memcpy(&value, (const void *)(uintptr_t)address, 4);
	printf("%6u  fiber %u  %s  %-34s %p = %llx\n", sim.step, sim.self,
	       reason == SIM_AT_YIELD   ? "yield"
	       : reason == SIM_AT_BLOCK ? "block"
	                                : names[access],
	       file != NULL ? file : where, (void *)(uintptr_t)address, (unsigned long long)value);
}

static void apply(struct sim_fiber *fiber)
{
	struct sim_pending *first = &fiber->buffer[0];

	memcpy((void *)(uintptr_t)first->address, &first->value, first->size);
	fiber->buffered--;
	memmove(first, first + 1, fiber->buffered * sizeof *first);
}

void sim_drain(void)
{
	struct sim_fiber *self = &sim.fiber[sim.self];

	while (self->buffered > 0)
		apply(self);
}

/* Stores leave their buffers when it pleases the machine. */
static void drain_some(void)
{
	unsigned fiber = (unsigned)rng_below(&sim.rng, sim.fibers);

	if (sim.fiber[fiber].buffered > 0 && rng_chance(&sim.rng, sim.drain_percent))
		apply(&sim.fiber[fiber]);
}

static void wake_by_time(void);

/* A stop plan: has the running fiber come to where it stops? */
static void stop_if_there(const char *where)
{
	struct sim_fiber *self = &sim.fiber[sim.self];

	if (self->state != SIM_READY || sim.plan.choice_count == 0 ||
	    sim.plan.choice[0].fiber != sim.self || ++self->points != sim.plan.choice[0].step)
		return;
	sim.result->stopped = true;
	sim.result->stopped_at = where;
	sim.first_from = UINT32_MAX;
	sim.stopped = 1u << sim.self;
	sim.runnable &= ~sim.stopped;
	if (sim.runnable == 0)
		wake_by_time();
}

void sim_step(enum sim_reason reason, const volatile void *address, enum sim_access access,
              const char *where)
{
	sim.step++;
	sim.now_ns += STEP_NS;
	if (sim_trace)
		trace_step(reason, address, access, where);
	if (sim.step >= FAIR_FROM) {
		sim.fair = true;
		if (sim.step >= SIM_STEPS_MAX)
			sim_fail("no progress: %u steps, and fiber %u is still at %s", sim.step,
			         sim.self, where == NULL ? "a wait" : where);
	}
	if (sim.plan.tso)
		drain_some();
	if (sim.plan.strategy == SIM_STOP)
		stop_if_there(where);
	switch_to(strategy_pick(reason, address, access));
}

void sim_point(const volatile void *address, enum sim_access access, const char *where)
{
	if (!sim.running)
		return;
	if (!is_quiet(address)) {
		sim.fiber[sim.self].spun = false;
		sim_step(SIM_AT_POINT, address, access, where);
	}
	if (access == SIM_RMW || access == SIM_FENCE)
		sim_drain();
}

void sim_yield(void)
{
	if (sim.running)
		sim_step(SIM_AT_YIELD, NULL, SIM_FENCE, "yield");
}

void sim_relax(void)
{
	if (!sim.running || sim.fiber[sim.self].spun)
		return;
	sim.fiber[sim.self].spun = true;
	sim_yield();
}

/* Nobody but the stopped fiber can go on. */
static void go_on(void)
{
	uint32_t asleep = 0;
	bool running = sim.running;

	for (unsigned i = 0; i < sim.fibers; i++)
		if (sim.fiber[i].state == SIM_PARKED)
			asleep |= 1u << i;
	sim.running = false;
	if (on_held != NULL)
		on_held((unsigned)__builtin_ctz(sim.stopped), asleep & ~sim.stopped);
	sim.running = running;
	sim.runnable |= sim.stopped;
	sim.stopped = 0;
	sim.plan.choice_count = 0;
}

/* No fiber can go on: the one whose time is up first does, if there is one. */
static void wake_by_time(void)
{
	struct sim_fiber *first = NULL;

	for (unsigned i = 0; i < sim.fibers; i++) {
		struct sim_fiber *fiber = &sim.fiber[i];

		if (fiber->state == SIM_PARKED && fiber->deadline_ns != 0 &&
		    (first == NULL || fiber->deadline_ns < first->deadline_ns))
			first = fiber;
	}
	if (first == NULL && sim.stopped != 0) {
		go_on();
		return;
	}
	if (first == NULL)
		sim_fail(
			"deadlock: every fiber that has not ended sleeps, and nobody will wake it");
	if (sim.stopped == 0 && *(const volatile uint32_t *)first->word != first->seen)
		sim_fail("fiber %u sleeps, and what it waits for has come: nobody woke it",
		         (unsigned)(first - sim.fiber));
	if (first->deadline_ns > sim.now_ns)
		sim.now_ns = first->deadline_ns;
	first->timed_out = true;
	first->state = SIM_READY;
	sim.runnable |= 1u << (unsigned)(first - sim.fiber);
}

void sim_block(void)
{
	sim.runnable &= ~(1u << sim.self);
	if (sim.runnable == 0)
		wake_by_time();
	sim_step(SIM_AT_BLOCK, NULL, SIM_FENCE, "sleep");
}

/* ---- the operations ---- */

void sim_load(const volatile void *address, void *to, size_t size, const char *where)
{
	const struct sim_fiber *self = &sim.fiber[sim.self];

	sim_point(address, SIM_LOAD, where);
	if (sim.running)
		for (unsigned i = self->buffered; i-- > 0;)
			if (self->buffer[i].address == address) {
				memcpy(to, &self->buffer[i].value, size);
				return;
			}
	memcpy(to, (const void *)(uintptr_t)address, size);
}

void sim_store(volatile void *address, const void *value, size_t size, memory_order order,
               const char *where)
{
	struct sim_fiber *self = &sim.fiber[sim.self];

	sim_point(address, SIM_STORE, where);
	if (sim.running && sim.plan.tso) {
		if (order != memory_order_seq_cst) {
			struct sim_pending *last;

			if (self->buffered == SIM_BUFFER_MAX)
				apply(self);
			last = &self->buffer[self->buffered++];
			*last = (struct sim_pending){.address = address, .size = (uint8_t)size};
			memcpy(&last->value, value, size);
			return;
		}
		sim_drain();
	}
	memcpy((void *)(uintptr_t)address, value, size);
}

bool sim_cas(volatile void *address, void *expected, const void *desired, size_t size, bool weak,
             const char *where)
{
	void *plain = (void *)(uintptr_t)address;

	sim_point(address, SIM_RMW, where);
	if (memcmp(plain, expected, size) != 0) {
		memcpy(expected, plain, size);
		return false;
	}
	if (weak && sim.running && sim.plan.strategy != SIM_BOUNDED && sim_chance(32) == 0)
		return false;
	memcpy(plain, desired, size);
	return true;
}

/* ---- a run ---- */

unsigned sim_self(void)
{
	return sim.self;
}

uint32_t sim_stamp(void)
{
	return ++sim.stamp;
}

uint32_t sim_chance(uint32_t bound)
{
	return (uint32_t)rng_below(&sim.rng, bound);
}

static void fiber_main(void)
{
	struct sim_fiber *self = &sim.fiber[sim.self];

	sim.body(sim.self);
	sim_drain();
	self->state = SIM_DONE;
	sim.runnable &= ~(1u << sim.self);
	if (sim.runnable == 0) {
		bool all = true;

		for (unsigned i = 0; i < sim.fibers; i++)
			all = all && sim.fiber[i].state == SIM_DONE;
		if (all)
			fiber_switch(&self->fiber, &sim.main);
		wake_by_time();
	}
	sim_step(SIM_AT_BLOCK, NULL, SIM_FENCE, "end");
	abort();
}

static void begin(const struct sim_plan *plan, unsigned fibers, void (*body)(unsigned fiber))
{
	sim.plan = *plan;
	sim.fibers = fibers;
	sim.body = body;
	sim.runnable = (1u << fibers) - 1;
	sim.self = fibers - 1; /* who stops before the first step; the next in turn is 0 */
	sim.step = sim.stamp = 0;
	sim.now_ns = 1000000;
	sim.fair = false;
	sim.stopped = 0;
	rng_init(&sim.rng, plan->seed);
	for (unsigned i = 0; i < fibers; i++) {
		struct sim_fiber *fiber = &sim.fiber[i];

		fiber->state = SIM_READY;
		fiber->spun = fiber->timed_out = false;
		fiber->points = 0;
		fiber->buffered = 0;
		fiber_make(&fiber->fiber, stacks + i * STACK_SIZE, STACK_SIZE, fiber_main);
	}
	strategy_begin();
}

void sim_run(const struct sim_plan *plan, unsigned fibers, void (*body)(unsigned fiber),
             void (*after)(void), struct sim_result *result)
{
	result->failed = result->stopped = false;
	sim.result = result;
	begin(plan, fibers, body);
	memcpy(main_tls, __start_sim_tls, sim_tls_size());
	if (sigsetjmp(sim.escape, 0) == 0) {
		sim.running = true;
		sim.self = strategy_pick(SIM_AT_BLOCK, NULL, SIM_FENCE);
		memcpy(__start_sim_tls, sim.fiber[sim.self].tls, sim_tls_size());
		fiber_switch(&sim.main, &sim.fiber[sim.self].fiber);
		sim.running = false;
		memcpy(sim.fiber[sim.self].tls, __start_sim_tls, sim_tls_size());
		memcpy(__start_sim_tls, main_tls, sim_tls_size());
		after();
	}
	sim.running = false;
	memcpy(__start_sim_tls, main_tls, sim_tls_size());
	sim.result = NULL;
	result->steps = sim.step;
	result->note = strategy_notes(&result->note_count);
}
