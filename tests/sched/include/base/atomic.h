/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - what the schedule simulator puts in the place of lib/base/atomic.h
 *
 * Every operation first goes through sim_point() (tests/sched/sim.h), where another fiber may take
 * over; the operation itself is then a plain access, because fibers share one thread. What the real
 * header has beside the C11 names is here, too; a name that the library uses and that is missing here
 * stays the compiler's own, and would be no point: keep the list complete.
 */
#ifndef BWT_BASE_ATOMIC_H
#define BWT_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE_SIZE 64

enum sim_access {
	SIM_LOAD,
	SIM_STORE,
	SIM_RMW,
	SIM_FENCE
};

/** sim_point - the running fiber is about to access @address; others may run first */
void sim_point(const volatile void *address, enum sim_access access, const char *where);
/** sim_load - after a point: the value that this fiber sees (its store buffer first), to @to */
void sim_load(const volatile void *address, void *to, size_t size, const char *where);
/** sim_store - a point, and the store, which may wait in the store buffer unless @order is seq_cst */
void sim_store(volatile void *address, const void *value, size_t size, memory_order order,
               const char *where);
bool sim_cas(volatile void *address, void *expected, const void *desired, size_t size, bool weak,
             const char *where);
/** sim_relax - a turn of a spin loop */
void sim_relax(void);

#define SIM_TEXT_(line) #line
#define SIM_TEXT(line) SIM_TEXT_(line)
/* The place as a text, and all of them in a section: sim_places(). */
#define SIM_HERE                                                                                   \
	__extension__({                                                                            \
		static const char *const sim_place __attribute__((section("sim_places"), used)) =  \
			__FILE__ ":" SIM_TEXT(__LINE__);                                           \
		sim_place;                                                                         \
	})

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_thread_fence

/* The type of *@p without _Atomic and qualifiers. */
#define SIM_PLAIN(p) __typeof__((void)0, *(p))

#define atomic_load_explicit(p, order)                                                             \
	__extension__({                                                                            \
		const volatile void *sim_p = (p);                                                  \
		SIM_PLAIN(p) sim_v;                                                                \
		(void)(order);                                                                     \
		sim_load(sim_p, &sim_v, sizeof sim_v, SIM_HERE);                                   \
		sim_v;                                                                             \
	})

#define atomic_store_explicit(p, value, order)                                                     \
	__extension__({                                                                            \
		volatile void *sim_p = (p);                                                        \
		SIM_PLAIN(p) sim_v = (value);                                                      \
		sim_store(sim_p, &sim_v, sizeof sim_v, (order), SIM_HERE);                         \
	})

#define SIM_RMW_(p, ...)                                                                           \
	__extension__({                                                                            \
		volatile void *sim_p = (p);                                                        \
		SIM_PLAIN(p) sim_old, sim_new;                                                     \
		sim_point(sim_p, SIM_RMW, SIM_HERE);                                               \
		__builtin_memcpy(&sim_old, (const void *)(uintptr_t)sim_p, sizeof sim_old);        \
		sim_new = (SIM_PLAIN(p))(__VA_ARGS__);                                             \
		__builtin_memcpy((void *)(uintptr_t)sim_p, &sim_new, sizeof sim_new);              \
		sim_old;                                                                           \
	})

#define atomic_exchange_explicit(p, value, order) ((void)(order), SIM_RMW_(p, value))
#define atomic_fetch_add_explicit(p, value, order) ((void)(order), SIM_RMW_(p, sim_old + (value)))
#define atomic_fetch_sub_explicit(p, value, order) ((void)(order), SIM_RMW_(p, sim_old - (value)))
#define atomic_fetch_or_explicit(p, value, order) ((void)(order), SIM_RMW_(p, sim_old | (value)))
#define atomic_fetch_and_explicit(p, value, order) ((void)(order), SIM_RMW_(p, sim_old & (value)))

#define SIM_CAS_(p, expected, desired, success, failure, weak)                                     \
	__extension__({                                                                            \
		volatile void *sim_p = (p);                                                        \
		void *sim_e = (expected);                                                          \
		SIM_PLAIN(p) sim_v = (desired);                                                    \
		(void)(success), (void)(failure);                                                  \
		sim_cas(sim_p, sim_e, &sim_v, sizeof sim_v, (weak), SIM_HERE);                     \
	})

#define atomic_compare_exchange_strong_explicit(p, expected, desired, success, failure)            \
	SIM_CAS_(p, expected, desired, success, failure, false)
#define atomic_compare_exchange_weak_explicit(p, expected, desired, success, failure)              \
	SIM_CAS_(p, expected, desired, success, failure, true)

#define atomic_thread_fence(order) ((void)(order), sim_point(NULL, SIM_FENCE, SIM_HERE))

static inline void cpu_relax(void)
{
	sim_relax();
}

#endif
