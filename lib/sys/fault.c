/* SPDX-License-Identifier: MIT */
/*
 * fault.c - mapping faults (SIGBUS) inside our mappings: a zero page instead of a killed process
 *
 * Why: a store reads its file through memory, so a disk error or a file that somebody cut short
 * arrives as a signal in the middle of a load or store; so does memory that is found poisoned. The handler puts a page of zeroes there,
 * which no reader takes for a record, and raises the mapping's flag; the operation then runs into
 * its own checks and the store fails with BWT_IO. Source: design.md section 7, SIGBUS.
 *
 * The handler may run in any thread at any instruction, so it takes no lock: it walks a fixed
 * table. Each entry carries a version that says whether its other fields may be believed:
 *
 *   free (4n) --claim()--> busy (4n+1) --publish()--> live (4n+2) --sys_fault_forget()--> free (4n+4)
 *
 *   B1  The fields of an entry change only while it is busy.
 *   B2  The handler believes what it read if the version was live before and is the same after.
 *   B3  What was the action for SIGBUS before ours still gets every fault that is not ours.
 */
#include "sys/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/error.h"
#include "sys/fail.h"

enum entry_state { /* version modulo STATES */
	ENTRY_FREE = 0,
	ENTRY_BUSY = 1,
	ENTRY_LIVE = 2,
};
#define STATES 4u
#define LOST_BITS_MAX 30 /* of the bytes that one fault takes: a page of 1 GiB */

/* Writer: the thread that claimed the entry. Readers: handlers in any thread (B2). */
struct fault_entry {
	_Atomic(uint64_t) version;
	_Atomic(uintptr_t) start;
	_Atomic(uintptr_t) end;
	_Atomic(int) prot;
	_Atomic(uint32_t) pages; /* faults answered; only the handler writes it while it is live */
	_Atomic(_Atomic(uint32_t) *) failed;
};

static struct fault_entry entries[SYS_FAULT_MAPS_MAX];
static struct sigaction previous; /* written before our handler can run, then only read */
static size_t page_size;          /* the same */
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_error; /* errno of the one attempt; 0 is success */

/* --- In the handler: system calls by number, for a sanitizer's wrappers are not signal-safe --- */

/* Fresh zero pages over [start, end), which breaks their tie to the file for this process. */
static bool map_zeroes(uintptr_t start, uintptr_t end, int prot)
{
	long rc = syscall(SYS_mmap, start, end - start, prot,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	return rc != -1;
}

/*
 * What the system says is lost with @info's address: for poisoned memory (BUS_MCEERR_AR, or BUS_MCEERR_AO where
 * nobody touched it yet) perhaps more than a page, else the page.
 */
static uintptr_t lost_bytes(const siginfo_t *info)
{
	uintptr_t bytes = page_size;

	if ((info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO) &&
	    info->si_addr_lsb > 0 && info->si_addr_lsb <= LOST_BITS_MAX)
		bytes = (uintptr_t)1 << info->si_addr_lsb;
	return bytes > page_size ? bytes : page_size;
}

/* Answer the fault at @address, with which @lost bytes around it are gone, if it lies in a mapping of ours. */
static bool answer(uintptr_t address, uintptr_t lost)
{
	for (unsigned i = 0; i < SYS_FAULT_MAPS_MAX; i++) {
		struct fault_entry *entry = &entries[i];
		/* ACQUIRE everywhere: no later read may move before an earlier one (B2). The first
		 * pairs with the RELEASE in publish(), so a live entry's fields are visible. */
		uint64_t version = atomic_load_explicit(&entry->version, memory_order_acquire);
		uintptr_t start = atomic_load_explicit(&entry->start, memory_order_acquire);
		uintptr_t end = atomic_load_explicit(&entry->end, memory_order_acquire);
		int prot = atomic_load_explicit(&entry->prot, memory_order_acquire);
		_Atomic(uint32_t) *failed =
			atomic_load_explicit(&entry->failed, memory_order_acquire);
		uintptr_t from = address & ~(lost - 1), to = from + lost;

		if (version % STATES != ENTRY_LIVE || address < start || address >= end)
			continue;
		if (atomic_load_explicit(&entry->version, memory_order_relaxed) != version)
			continue;
		/* Relaxed: the flag carries nothing else; this thread goes on after it. */
		atomic_store_explicit(failed, 1, memory_order_relaxed);
		if (from < start)
			from = start;
		if (to > end)
			to = end;
		/* One page keeps the rest readable, at the price of two more mappings, of which a
		 * process has some 65,000 (vm.max_map_count). */
		if (atomic_fetch_add_explicit(&entry->pages, 1, memory_order_relaxed) >=
		    SYS_FAULT_PAGES_MAX)
			return map_zeroes(from, end, prot);
		return map_zeroes(from, to, prot);
	}
	return false;
}

/* B3. Returning after the default action is set repeats the fault, which then ends the process. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	struct sigaction default_action = {.sa_handler = SIG_DFL};
	bool sent = info->si_code <= 0; /* by kill() and the like: nothing would repeat it */

	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(number, info, context);
	} else if (previous.sa_handler == SIG_DFL || (previous.sa_handler == SIG_IGN && !sent)) {
		sigaction(number, &default_action, NULL);
		if (sent)
			raise(number); /* delivered when this handler returns */
	} else if (previous.sa_handler != SIG_IGN) {
		previous.sa_handler(number);
	}
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	if (info->si_code <= 0 || !answer((uintptr_t)info->si_addr, lost_bytes(info)))
		pass_on(number, info, context);
	errno = saved_errno;
}

/* --- Registration --- */

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	if (sigaction(SIGBUS, NULL, &previous) < 0) {
		install_error = errno;
		return;
	}
	/* The mask of the previous handler counts for it still; ON_STACK: the fault may be deep. */
	action.sa_mask = previous.sa_mask;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | (previous.sa_flags & SA_RESTART);
	if (sigaction(SIGBUS, &action, NULL) < 0)
		install_error = errno;
}

/* Take a free entry; NULL when there is none. */
static struct fault_entry *claim(void)
{
	for (unsigned i = 0; i < SYS_FAULT_MAPS_MAX; i++) {
		uint64_t version = atomic_load_explicit(&entries[i].version, memory_order_relaxed);

		/* ACQUIRE: pairs with the RELEASE in sys_fault_forget(); its owner is done. */
		if (version % STATES == ENTRY_FREE &&
		    atomic_compare_exchange_strong_explicit(
			    &entries[i].version, &version, version + ENTRY_BUSY,
			    memory_order_acquire, memory_order_relaxed))
			return &entries[i];
	}
	return NULL;
}

static void publish(struct fault_entry *entry, const struct sys_map *map, _Atomic(uint32_t) *failed)
{
	uint64_t version = atomic_load_explicit(&entry->version, memory_order_relaxed);
	uintptr_t start = (uintptr_t)map->base;
	int prot = map->flags & SYS_MAP_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;

	/* RELEASE on each: a handler that reads any of them sees the entry busy afterwards (B2). */
	atomic_store_explicit(&entry->start, start, memory_order_release);
	atomic_store_explicit(&entry->end, start + map->size, memory_order_release);
	atomic_store_explicit(&entry->prot, prot, memory_order_release);
	atomic_store_explicit(&entry->pages, 0, memory_order_release);
	atomic_store_explicit(&entry->failed, failed, memory_order_release);
	/* RELEASE: pairs with the ACQUIRE in answer(). */
	atomic_store_explicit(&entry->version, version + 1, memory_order_release);
}

int sys_map_catch_faults(struct sys_map *map, _Atomic(uint32_t) *failed)
{
	struct fault_entry *entry;

	pthread_once(&install_once, install);
	if (install_error != 0)
		return sys_fail(install_error, "catch faults of", map->fd, SYS_NO_OFF);
	entry = claim();
	if (entry == NULL)
		return error_set(-ENOMEM, "more than %u mappings want their faults caught",
		                 SYS_FAULT_MAPS_MAX);
	publish(entry, map, failed);
	return BWT_OK;
}

void sys_fault_forget(const struct sys_map *map)
{
	for (unsigned i = 0; i < SYS_FAULT_MAPS_MAX; i++) {
		struct fault_entry *entry = &entries[i];
		uint64_t version = atomic_load_explicit(&entry->version, memory_order_acquire);

		if (version % STATES != ENTRY_LIVE ||
		    atomic_load_explicit(&entry->start, memory_order_relaxed) != (uintptr_t)map->base)
			continue;
		/* RELEASE: pairs with the ACQUIRE in claim(). */
		atomic_store_explicit(&entry->version, version - ENTRY_LIVE + STATES,
		                      memory_order_release);
		return;
	}
}
