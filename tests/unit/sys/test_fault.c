/* SPDX-License-Identifier: MIT */
/*
 * test_fault.c - a file cut short under its mapping
 *
 * The handler is installed once per process and for good, so each case about it is a child.
 */
#include "sys/fault.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/atomic.h"
#include "bwt.h"
#include "sys/file.h"
#include "sys/map.h"
#include "tests/support/rng.h"
#include "tests/support/suite.h"
#include "tests/support/tmpstore.h"
#include "tests/unit/sys/child.h"

#define STEP SYS_MAP_ALIGN
#define PAGE 4096u
#define THREADS 4

static char dir[TMPSTORE_PATH_MAX];
static int dir_fd, file;
static struct sys_map map;
static _Atomic(uint32_t) failed;

static void set_up(void)
{
	tmpstore_new(dir);
	if (sys_dir_open(dir, &dir_fd) < 0 || sys_file_open(dir_fd, "arena", SYS_CREATE, &file) < 0 ||
	    sys_file_allocate(file, 0, 2 * STEP) < 0 || sys_map_open(file, 4 * STEP, 0, &map) < 0)
		abort();
	map.base[0] = 'a';
	map.base[STEP] = 'b';
	atomic_store_explicit(&failed, 0, memory_order_relaxed);
}

static void tear_down(void)
{
	sys_map_close(&map);
	sys_file_close(file);
	sys_file_close(dir_fd);
	tmpstore_free(dir);
}

static bool has_failed(void)
{
	return atomic_load_explicit(&failed, memory_order_relaxed) == 1;
}

static uint8_t load(uint64_t off)
{
	return ((volatile uint8_t *)map.base)[off];
}

/* As a program without a sanitizer starts: nobody has asked for SIGBUS yet. */
static void forget_sanitizer(void)
{
	signal(SIGBUS, SIG_DFL);
}

static void cut_and_read(void)
{
	CHILD_CHECK(sys_file_truncate(file, STEP) == BWT_OK);
	(void)load(STEP);
}

static void catch_cut_and_read(void)
{
	forget_sanitizer();
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	CHILD_CHECK(load(STEP) == 'b' && !has_failed());
	CHILD_CHECK(sys_file_truncate(file, STEP + PAGE) == BWT_OK);
	CHILD_CHECK(load(STEP) == 'b' && !has_failed()); /* that page is still there */
	errno = 77;
	CHILD_CHECK(load(STEP + PAGE) == 0 && has_failed());
	CHILD_CHECK(errno == 77);
	CHILD_CHECK(load(0) == 'a' && load(STEP) == 'b');
	map.base[STEP + PAGE] = 1; /* the page is memory now */
	CHILD_CHECK(load(STEP + PAGE) == 1);
	map.base[4 * STEP - 1] = 2; /* never was in the file */
	CHILD_CHECK(load(4 * STEP - 1) == 2);
	sys_map_close(&map);
}

static void a_caught_fault_reads_zeroes_and_sets_the_flag(void)
{
	CU_ASSERT_TRUE(child_passes(catch_cut_and_read));
}

static void die_uncaught(void)
{
	forget_sanitizer();
	cut_and_read();
}

static void die_after_close(void)
{
	struct sys_map other;

	forget_sanitizer();
	CHILD_CHECK(sys_map_open(file, STEP, 0, &other) == BWT_OK);
	CHILD_CHECK(sys_map_catch_faults(&other, &failed) == BWT_OK);
	sys_map_close(&other);
	cut_and_read();
}

static void a_fault_in_a_mapping_that_nobody_watches_kills(void)
{
	CU_ASSERT_EQUAL(child_killed_by(die_uncaught), SIGBUS);
	CU_ASSERT_EQUAL(sys_file_allocate(file, STEP, STEP), BWT_OK);
	CU_ASSERT_EQUAL(child_killed_by(die_after_close), SIGBUS);
}

static void watch_two_mappings(void)
{
	_Atomic(uint32_t) other_failed = 0;
	struct sys_map other;

	CHILD_CHECK(sys_map_open(file, 4 * STEP, SYS_MAP_RDONLY, &other) == BWT_OK);
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	CHILD_CHECK(sys_map_catch_faults(&other, &other_failed) == BWT_OK);
	CHILD_CHECK(sys_file_truncate(file, STEP) == BWT_OK);
	CHILD_CHECK(((volatile uint8_t *)other.base)[2 * STEP - 1] == 0);
	CHILD_CHECK(!has_failed());
	CHILD_CHECK(atomic_load_explicit(&other_failed, memory_order_relaxed) == 1);
	CHILD_CHECK(load(STEP) == 0 && has_failed());
	sys_map_close(&other);
}

static void only_the_flag_of_the_faulting_mapping_is_set(void)
{
	CU_ASSERT_TRUE(child_passes(watch_two_mappings));
}

/* --- The handler that was there before --- */

static sigjmp_buf back;
static volatile sig_atomic_t seen_signal;
static void *volatile seen_address;

static void plain_handler(int number)
{
	seen_signal = number;
	siglongjmp(back, 1);
}

static void full_handler(int number, siginfo_t *info, void *context)
{
	(void)context;
	seen_signal = number;
	seen_address = info->si_addr;
	siglongjmp(back, 1);
}

static void returning_handler(int number)
{
	seen_signal = number;
}

/* A watched mapping, and one that is not, cut short. */
static struct sys_map watch_another(void)
{
	struct sys_map other;

	CHILD_CHECK(sys_map_open(file, 4 * STEP, 0, &other) == BWT_OK);
	CHILD_CHECK(sys_map_catch_faults(&other, &failed) == BWT_OK);
	CHILD_CHECK(sys_file_truncate(file, STEP) == BWT_OK);
	return other;
}

static void fault_with_a_plain_handler(void)
{
	signal(SIGBUS, plain_handler);
	watch_another();
	for (volatile int times = 0; times < 3; times++) {
		seen_signal = 0;
		if (sigsetjmp(back, 1) == 0) {
			(void)load(STEP);
			_exit(2); /* the fault was swallowed */
		}
		CHILD_CHECK(seen_signal == SIGBUS && !has_failed());
	}
}

static void fault_with_a_full_handler(void)
{
	struct sigaction action = {.sa_sigaction = full_handler, .sa_flags = SA_SIGINFO};
	struct sys_map other;

	CHILD_CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	other = watch_another();
	if (sigsetjmp(back, 1) == 0) {
		(void)load(STEP + 100);
		_exit(2); /* the fault was swallowed */
	}
	CHILD_CHECK(seen_signal == SIGBUS && seen_address == map.base + STEP + 100);
	CHILD_CHECK(((volatile uint8_t *)other.base)[STEP] == 0 && has_failed());
}

static void fault_with_default_action(void)
{
	forget_sanitizer();
	watch_another();
	(void)load(STEP);
}

static void fault_with_ignored_signal(void)
{
	signal(SIGBUS, SIG_IGN); /* the kernel kills nevertheless: the load cannot go on */
	watch_another();
	(void)load(STEP);
}

static void faults_that_are_not_ours_go_where_they_went_before(void)
{
	CU_ASSERT_TRUE(child_passes(fault_with_a_plain_handler));
	CU_ASSERT_EQUAL(sys_file_allocate(file, STEP, STEP), BWT_OK);
	CU_ASSERT_TRUE(child_passes(fault_with_a_full_handler));
	CU_ASSERT_EQUAL(sys_file_allocate(file, STEP, STEP), BWT_OK);
	CU_ASSERT_EQUAL(child_killed_by(fault_with_default_action), SIGBUS);
	CU_ASSERT_EQUAL(sys_file_allocate(file, STEP, STEP), BWT_OK);
	CU_ASSERT_EQUAL(child_killed_by(fault_with_ignored_signal), SIGBUS);
}

static void send_with_default_action(void)
{
	forget_sanitizer();
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	kill(getpid(), SIGBUS);
}

static void send_where_it_is_ignored_or_handled(void)
{
	signal(SIGBUS, SIG_IGN);
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	kill(getpid(), SIGBUS);
	CHILD_CHECK(!has_failed());
}

static void send_where_it_is_handled(void)
{
	signal(SIGBUS, returning_handler);
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	kill(getpid(), SIGBUS);
	CHILD_CHECK(seen_signal == SIGBUS && !has_failed());
}

static void send_with_an_address_of_ours(void)
{
	siginfo_t info = {.si_signo = SIGBUS, .si_code = SI_QUEUE};

	info.si_addr = map.base;
	signal(SIGBUS, returning_handler);
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	CHILD_CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info) == 0);
	CHILD_CHECK(seen_signal == SIGBUS && !has_failed());
	CHILD_CHECK(load(0) == 'a');
}

static void a_signal_that_somebody_sent_is_not_a_fault(void)
{
	CU_ASSERT_TRUE(child_passes(send_with_an_address_of_ours));
	CU_ASSERT_EQUAL(child_killed_by(send_with_default_action), SIGBUS);
	CU_ASSERT_TRUE(child_passes(send_where_it_is_ignored_or_handled));
	CU_ASSERT_TRUE(child_passes(send_where_it_is_handled));
}

/* --- Limits --- */

static void fill_the_table(void)
{
	static struct sys_map maps[SYS_FAULT_MAPS_MAX];
	struct sys_map more;

	for (unsigned i = 0; i < SYS_FAULT_MAPS_MAX; i++) {
		CHILD_CHECK(sys_map_open(file, STEP, 0, &maps[i]) == BWT_OK);
		CHILD_CHECK(sys_map_catch_faults(&maps[i], &failed) == BWT_OK);
	}
	CHILD_CHECK(sys_map_open(file, 2 * STEP, 0, &more) == BWT_OK);
	CHILD_CHECK(sys_map_catch_faults(&more, &failed) == -ENOMEM);
	CHILD_CHECK(strstr(bwt_detail(), "1024") != NULL);
	sys_map_close(&maps[17]);
	CHILD_CHECK(sys_map_catch_faults(&more, &failed) == BWT_OK);
	CHILD_CHECK(sys_file_truncate(file, STEP) == BWT_OK);
	CHILD_CHECK(((volatile uint8_t *)more.base)[STEP] == 0 && has_failed());
}

static void the_table_of_mappings_has_a_limit_and_forgets_closed_ones(void)
{
	CU_ASSERT_TRUE(child_passes(fill_the_table));
}

/* As the system sends it when memory is found poisoned; only to itself may a process do so. */
static void send_poison(int code, uint64_t off, short bits)
{
	siginfo_t info;

	memset(&info, 0, sizeof info);
	info.si_signo = SIGBUS;
	info.si_code = code;
	info.si_addr = map.base + off;
	info.si_addr_lsb = bits;
	CHILD_CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS,
	                    &info) == 0);
}

static void find_poison(void)
{
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	CHILD_CHECK(sys_file_allocate(file, 0, 3 * STEP) == BWT_OK);
	memset(map.base, 'x', 3 * STEP);
	send_poison(BUS_MCEERR_AR, PAGE + 100, 12); /* this thread has touched it */
	CHILD_CHECK(has_failed());
	CHILD_CHECK(load(PAGE - 1) == 'x' && load(PAGE) == 0 && load(2 * PAGE - 1) == 0 &&
	            load(2 * PAGE) == 'x');
	send_poison(BUS_MCEERR_AO, STEP + 5 * PAGE, 21); /* the system has come across it: a huge page */
	CHILD_CHECK(load(STEP - 1) == 'x' && load(STEP) == 0 && load(2 * STEP - 1) == 0 &&
	            load(2 * STEP) == 'x');
	send_poison(BUS_MCEERR_AR, 2 * STEP, 99); /* no such page: this one alone */
	CHILD_CHECK(load(2 * STEP) == 0 && load(2 * STEP + PAGE) == 'x');
}

static void poisoned_memory_is_a_fault_as_wide_as_the_system_says(void)
{
	CU_ASSERT_TRUE(child_passes(find_poison));
}

static void find_poison_elsewhere(void)
{
	siginfo_t info;

	forget_sanitizer();
	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	memset(&info, 0, sizeof info);
	info.si_signo = SIGBUS;
	info.si_code = BUS_MCEERR_AO;
	info.si_addr = &info;
	(void)syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, &info);
	raise(SIGBUS); /* what was sent once is not repeated by the default action: this is */
}

static void poison_in_other_memory_goes_where_it_went_before(void)
{
	CU_ASSERT_EQUAL(child_killed_by(find_poison_elsewhere), SIGBUS);
}

static void fault_on_every_second_page(void)
{
	struct sys_map large;
	uint64_t size = (uint64_t)600 << 20;
	uint64_t wrong = 0, at = (uint64_t)2 * PAGE * SYS_FAULT_PAGES_MAX;

	CHILD_CHECK(sys_map_open(file, size, 0, &large) == BWT_OK);
	CHILD_CHECK(sys_map_catch_faults(&large, &failed) == BWT_OK);
	CHILD_CHECK(sys_file_truncate(file, 0) == BWT_OK);
	/* One by one each would need two more mappings; the kernel allows 65,530 by default. */
	for (uint64_t off = 0; off < size; off += (uint64_t)2 * PAGE)
		wrong += ((volatile uint8_t *)large.base)[off];
	CHILD_CHECK(wrong == 0 && has_failed());
	/* Up to the limit the pages between the replaced ones still belong to the file. */
	CHILD_CHECK(sys_file_allocate(file, 0, 2 * at) == BWT_OK);
	CHILD_CHECK(sys_file_write(file, "x", 1, at - PAGE) == BWT_OK);
	CHILD_CHECK(sys_file_write(file, "x", 1, at + PAGE) == BWT_OK);
	CHILD_CHECK(((volatile uint8_t *)large.base)[at - PAGE] == 'x');
	CHILD_CHECK(((volatile uint8_t *)large.base)[at + PAGE] == 0);
}

static void very_many_faults_do_not_use_up_the_systems_mappings(void)
{
	CU_ASSERT_TRUE(child_passes(fault_on_every_second_page));
}

/* --- Many threads --- */

static _Atomic(uint32_t) stop;
static uint64_t seed;

static void *read_everywhere(void *ctx)
{
	struct rng rng;
	unsigned wrong = 0;

	rng_init(&rng, seed + *(unsigned *)ctx);
	for (int i = 0; i < 20000; i++)
		wrong += load(STEP + rng_below(&rng, 3 * STEP));
	return wrong == 0 ? NULL : ctx;
}

static void *open_and_close(void *ctx)
{
	while (atomic_load_explicit(&stop, memory_order_relaxed) == 0) {
		struct sys_map other;

		if (sys_map_open(file, STEP, SYS_MAP_PRIVATE, &other) < 0 ||
		    sys_map_catch_faults(&other, &failed) < 0)
			return ctx;
		sys_map_close(&other);
	}
	return NULL;
}

static void read_and_register_in_threads(void)
{
	static unsigned numbers[THREADS] = {1, 2, 3, 4};
	pthread_t readers[THREADS], registrar;
	void *wrong;

	CHILD_CHECK(sys_map_catch_faults(&map, &failed) == BWT_OK);
	CHILD_CHECK(sys_file_truncate(file, STEP) == BWT_OK);
	CHILD_CHECK(pthread_create(&registrar, NULL, open_and_close, &stop) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		CHILD_CHECK(pthread_create(&readers[i], NULL, read_everywhere, &numbers[i]) == 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(readers[i], &wrong);
		CHILD_CHECK(wrong == NULL);
	}
	atomic_store_explicit(&stop, 1, memory_order_relaxed);
	pthread_join(registrar, &wrong);
	CHILD_CHECK(wrong == NULL && has_failed());
}

static void threads_may_fault_while_others_open_and_close(void)
{
	seed = rng_seed();
	CU_ASSERT_TRUE(child_passes(read_and_register_in_threads));
}

int main(void)
{
	CU_TestInfo tests[] = {
		TEST(a_caught_fault_reads_zeroes_and_sets_the_flag),
		TEST(a_fault_in_a_mapping_that_nobody_watches_kills),
		TEST(only_the_flag_of_the_faulting_mapping_is_set),
		TEST(faults_that_are_not_ours_go_where_they_went_before),
		TEST(a_signal_that_somebody_sent_is_not_a_fault),
		TEST(the_table_of_mappings_has_a_limit_and_forgets_closed_ones),
		TEST(poisoned_memory_is_a_fault_as_wide_as_the_system_says),
		TEST(poison_in_other_memory_goes_where_it_went_before),
		TEST(very_many_faults_do_not_use_up_the_systems_mappings),
		TEST(threads_may_fault_while_others_open_and_close),
		CU_TEST_INFO_NULL,
	};
	return suite_run("fault", set_up, tear_down, tests);
}
